//! Backends of unequal capacity: real servers on loopback ports, in this process.

use crate::proto::helloworld::{HelloReply, SAY_HELLO};
use grpclb::core::grpc::Code;
use grpclb::{Server, ServerHandle};
use prost::Message;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one call keeps one place of a backend busy.
const SERVICE_TIME: Duration = Duration::from_millis(5);

/// What a backend can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// As it is called in the story.
    pub(crate) name: &'static str,
    /// Calls that it works on at a time; the others queue.
    pub(crate) places: usize,
}

impl Kind {
    /// Calls a second.
    pub(crate) fn capacity(self) -> usize {
        self.places * 1_000 / SERVICE_TIME.as_millis() as usize
    }
}

/// The three that every act begins with: 200, 400 and 800 calls a second.
pub(crate) const TRIO: [Kind; 3] = [
    Kind { name: "small", places: 1 },
    Kind { name: "middle", places: 2 },
    Kind { name: "large", places: 4 },
];

/// The one that comes later.
pub(crate) const EXTRA: Kind = Kind { name: "late", places: 2 };

/// A backend that runs.
#[derive(Debug)]
pub(crate) struct Backend {
    /// What it can do.
    pub(crate) kind: Kind,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    /// To stop it.
    pub(crate) server: ServerHandle,
}

impl Backend {
    /// Starts one on a free port, or on `address` again.
    pub(crate) fn start(
        kind: Kind,
        address: Option<&str>,
        max_connection_age: Option<Duration>,
    ) -> io::Result<Backend> {
        let places = Places::new(kind.places);
        let mut builder = Server::builder().unary_blocking(SAY_HELLO, move |_request, response| {
            std::thread::sleep(places.wait(Instant::now()));
            let reply = HelloReply { message: format!("Hello from {}", kind.name) };
            reply.encode(response.message).map_err(|error| (Code::INTERNAL, error.to_string()))
        });
        if let Some(age) = max_connection_age {
            // Calls take milliseconds here; who is not done after two seconds will not be.
            builder = builder.max_connection_age(age, Some(Duration::from_secs(2)));
        }
        let server = builder.bind(address.unwrap_or("127.0.0.1:0"))?.spawn();
        let address =
            server.local_addr().ok_or_else(|| io::Error::other("a TCP server without an address"))?;
        Ok(Backend { kind, address: address.to_string(), server })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.stop();
    }
}

/// The places of one backend, each with the time at which it is free: a queue without waiting threads'
/// races, so that a backend's capacity is the same on every machine.
#[derive(Debug)]
struct Places {
    free_at: Mutex<Vec<Option<Instant>>>,
}

impl Places {
    fn new(places: usize) -> Places {
        Places { free_at: Mutex::new(vec![None; places]) }
    }

    /// Takes the place that is free first; how long from `now` until its call is done.
    fn wait(&self, now: Instant) -> Duration {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = free_at.iter_mut().min() else { return SERVICE_TIME };
        let done = place.map_or(now, |free| free.max(now)) + SERVICE_TIME;
        *place = Some(done);
        done - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_queue_when_the_places_are_taken() {
        let (places, now) = (Places::new(2), Instant::now());
        let waits = [(); 5].map(|()| places.wait(now).as_millis());
        assert_eq!(waits, [5, 5, 10, 10, 15]);
        let later = now + Duration::from_secs(1);
        assert_eq!(places.wait(later), SERVICE_TIME);
    }
}
