//! Client and server, joined.

use crate::heap::Sizes;
use crate::link::{Link, Weather};
use crate::side::{Application, Finish, Metadata, Side};
use grpclb_core::call::{CallHead, Config, StartCallError};
use grpclb_core::grpc::Code;
use grpclb_core::time::{Duration, Instant};

/// What both sides are made of.
#[derive(Clone, Debug)]
pub struct Setup {
    pub client: Config,
    pub server: Config,
    pub client_sizes: Sizes,
    pub server_sizes: Sizes,
    pub weather: Weather,
    /// The link breaks when that many octets were carried, both ways together.
    pub cut: u64,
}

impl Setup {
    pub fn usual() -> Setup {
        Setup {
            client: Config::client(),
            server: Config::server(),
            client_sizes: Sizes::USUAL,
            server_sizes: Sizes::USUAL,
            weather: Weather::FAIR,
            cut: u64::MAX,
        }
    }
}

/// The server that all tests call. Its methods are the four kinds of calls, and the ways to misbehave.
pub struct Server;

impl Application for Server {
    fn told(&mut self, side: &mut Side, number: usize, _: Instant) {
        let call = &mut side.calls[number];
        if call.status.is_some() || call.finished || call.answered {
            return;
        }
        // The other kinds answer once; Writable, which comes later, is not for them.
        call.answered = call.peer_ended && call.path != "/test/Echo";
        let ok = Some(Finish::Status { code: Code::OK, message: String::new(), trailers: echoed(call) });
        match &call.path[..] {
            // One message there, the same back.
            "/test/Unary" if call.peer_ended && call.messages.len() == 1 => {
                let message = call.messages.pop();
                side.send(number, message, ok);
            }
            "/test/Unary" if call.peer_ended => {
                let finish = Finish::Status {
                    code: Code::UNIMPLEMENTED,
                    message: "a unary call has one message".into(),
                    trailers: vec![],
                };
                side.send(number, None, Some(finish));
            }
            // Many there, their sum's length back.
            "/test/Collect" if call.peer_ended => {
                let sum: usize = call.messages.drain(..).map(|message| message.len()).sum();
                side.send(number, Some(sum.to_be_bytes().to_vec()), ok);
            }
            // One there, its octets back as messages of that many octets each.
            "/test/Expand" if call.peer_ended => {
                let message = call.messages.pop().unwrap_or_default();
                side.send(number, message.into_iter().map(|n| vec![n; n as usize]), ok);
            }
            // Each back at once.
            "/test/Echo" => {
                let messages = std::mem::take(&mut call.messages);
                let ok = ok.filter(|_| call.peer_ended);
                side.send(number, messages, ok);
            }
            // A status before the client's end.
            "/test/Early" => {
                let finish = Finish::Status {
                    code: Code::RESOURCE_EXHAUSTED,
                    message: "enough ☺ 100%".into(),
                    trailers: vec![("why-bin".into(), vec![0, 1, 255]), ("why".into(), b"because".to_vec())],
                };
                side.send(number, None, Some(finish));
            }
            _ => {}
        }
    }
}

/// Metadata of the request that the server sends back in its trailers.
fn echoed(call: &crate::side::Call) -> Metadata {
    let all = call.metadata.iter().flatten();
    all.filter(|(name, _)| name.starts_with("echo-")).cloned().collect()
}

/// A client that only listens.
pub struct Listener;

impl Application for Listener {
    fn told(&mut self, _: &mut Side, _: usize, _: Instant) {}
}

/// Both ends and the time.
pub struct Pair {
    pub now: Instant,
    pub client: Side,
    pub server: Side,
    pub there: Link,
    pub back: Link,
    cut: u64,
}

impl Pair {
    pub fn new(setup: &Setup) -> Pair {
        let now = Instant::from_nanos(1_000_000_000);
        Pair {
            now,
            client: Side::new("client", setup.client_sizes, &setup.client, now),
            server: Side::new("server", setup.server_sizes, &setup.server, now),
            there: Link::new(setup.weather, 1),
            back: Link::new(setup.weather, 2),
            cut: setup.cut,
        }
    }

    /// A pair whose client knows that the server is there.
    pub fn ready(setup: &Setup) -> Pair {
        let mut pair = Pair::new(setup);
        pair.run();
        assert!(pair.client.ready && pair.server.ready);
        pair
    }

    pub fn start(&mut self, head: &CallHead<'_>) -> Result<usize, StartCallError> {
        let id = self.client.connection.start_call(self.now, head)?;
        Ok(self.client.started(id, std::str::from_utf8(head.path).unwrap()))
    }

    /// Starts a call and hands over all it is to send.
    pub fn call(&mut self, path: &str, messages: Vec<Vec<u8>>) -> usize {
        let number = self.start(&head(path)).unwrap();
        self.client.send(number, messages, Some(Finish::HalfClose));
        number
    }

    /// Lets time pass until nothing more happens.
    pub fn run(&mut self) {
        self.run_until(Instant::NEVER);
    }

    pub fn run_for(&mut self, time: Duration) {
        let end = self.now.after(time);
        self.run_until(end);
        self.now = end;
    }

    pub fn run_until(&mut self, end: Instant) {
        let mut overdue = 0;
        for turn in 0.. {
            assert!(turn < 2_000_000, "it never comes to rest");
            if self.turn() {
                continue;
            }
            let timeouts = [&self.client, &self.server].map(|side| side.connection.poll_timeout());
            let next = timeouts.into_iter().chain([self.there.next(), self.back.next()]).flatten().min();
            match next {
                Some(at) if at <= end => {
                    overdue = if at <= self.now { overdue + 1 } else { 0 };
                    assert!(overdue < 100, "a timeout that is due again and again");
                    self.now = at.max(self.now);
                    self.timeouts();
                }
                _ => return,
            }
        }
    }

    /// One turn of each side; whether anything happened.
    fn turn(&mut self) -> bool {
        let mut busy = false;
        while let Some(bytes) = self.there.read(self.now) {
            busy = true;
            self.server.receive(self.now, &bytes, &mut Server);
        }
        while let Some(bytes) = self.back.read(self.now) {
            busy = true;
            self.client.receive(self.now, &bytes, &mut Listener);
        }
        self.client.poll(self.now, &mut Listener);
        self.server.poll(self.now, &mut Server);
        busy |= self.client.transmit(self.now, &mut self.there, &mut Listener);
        busy |= self.server.transmit(self.now, &mut self.back, &mut Server);
        if self.there.carried + self.back.carried >= self.cut {
            self.cut = u64::MAX;
            self.lose();
        }
        busy
    }

    fn timeouts(&mut self) {
        for side in [&mut self.client, &mut self.server] {
            if side.connection.poll_timeout().is_some_and(|at| at <= self.now)
                && let Err(error) = side.connection.handle_timeout(self.now)
            {
                side.error.get_or_insert(error);
            }
        }
        self.client.poll(self.now, &mut Listener);
        self.server.poll(self.now, &mut Server);
    }

    /// The link breaks.
    pub fn lose(&mut self) {
        self.there.cut();
        self.back.cut();
        self.client.lose(self.now, &mut Listener);
        self.server.lose(self.now, &mut Server);
    }

    /// Every call has ended, on both sides, and nothing is left behind.
    pub fn check_rest(&self) {
        for side in [&self.client, &self.server] {
            assert_eq!(side.error, None, "{}", side.name);
            assert_eq!(side.connection.calls(), 0, "{}", side.name);
        }
        assert!(self.client.calls.iter().all(|call| call.status.is_some()));
        assert!(self.server.calls.iter().all(|call| call.status.is_some() || call.finished));
    }
}

pub fn head(path: &str) -> CallHead<'_> {
    CallHead { path: path.as_bytes(), authority: b"localhost:50051", ..CallHead::default() }
}
