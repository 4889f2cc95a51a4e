//! Look-ups that block, on a helper thread: names by the system's resolver, or a program's own function. As gRPC's
//! resolvers have it, a name is not looked up within 30 s of a success; after errors the balancer asks again, with
//! its backoff.

use super::{Answer, Found, OwnedAddress};
use grpclb_core::time::{Duration, Instant};
use mio::Waker;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// From a success to the next look-up of a name.
const MIN_INTERVAL: Duration = Duration::from_secs(30);

/// A look-up that takes longer counts as failed.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What a program gives as a resolver: blocks, and says which addresses there are or why none are known.
pub(crate) type LookUp = Arc<dyn Fn() -> Result<Vec<SocketAddr>, String> + Send + Sync>;

/// Looks something up now and then.
pub(crate) struct Dns {
    look_up: LookUp,
    min_interval: Duration,
    waker: Arc<Waker>,
    /// The look-up under way, and when it began.
    running: Option<(Receiver<Answer>, Instant)>,
    succeeded: Option<Instant>,
    /// A look-up is put off until then.
    due: Option<Instant>,
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").field("running", &self.running.is_some()).field("due", &self.due).finish()
    }
}

impl Dns {
    /// Of a name.
    pub(crate) fn new(host: String, port: u16, waker: Arc<Waker>) -> Dns {
        let look_up = move || match (host.as_str(), port).to_socket_addrs() {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => Err(format!("cannot resolve {host}: {error}")),
        };
        Dns { min_interval: MIN_INTERVAL, ..Dns::with(Arc::new(look_up), waker) }
    }

    /// By a function of the program's, which keeps its own least time between two.
    pub(crate) fn with(look_up: LookUp, waker: Arc<Waker>) -> Dns {
        Dns { look_up, min_interval: Duration::ZERO, waker, running: None, succeeded: None, due: None }
    }

    pub(crate) fn request(&mut self, now: Instant) {
        if self.running.is_none() {
            self.due = Some(self.succeeded.map_or(now, |at| at.after(self.min_interval)).max(now));
        }
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Option<Answer> {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            if let Err(error) = self.start(now) {
                return Some(Err(format!("no thread to look a name up: {error}")));
            }
        }
        let (receiver, began) = self.running.as_ref()?;
        let answer = match receiver.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Disconnected) => Err("the look-up of a name died".into()),
            Err(TryRecvError::Empty) if began.after(TIME_LIMIT) <= now => {
                // The thread ends by itself, and nobody listens any more.
                Err(format!("no answer to the look-up of a name within {} s", TIME_LIMIT.as_secs()))
            }
            Err(TryRecvError::Empty) => return None,
        };
        self.running = None;
        if answer.is_ok() {
            self.succeeded = Some(now);
        }
        Some(answer)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.running {
            Some((_, began)) => Some(began.after(TIME_LIMIT)),
            None => self.due,
        }
    }

    /// Whether an answer is under way.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn start(&mut self, now: Instant) -> std::io::Result<()> {
        let (sender, receiver) = channel();
        let (look_up, waker) = (self.look_up.clone(), self.waker.clone());
        std::thread::Builder::new().name("grpclb-dns".into()).spawn(move || {
            // Dropped last, after the sender: even a look-up that panics is noticed.
            let _wake = WakeAtEnd(waker);
            let sender = sender;
            let found = |ip| Found { address: OwnedAddress::Ip(ip), weight: 1 };
            // Nobody listens when the channel was closed meanwhile.
            let _ = sender.send(look_up().map(|addresses| addresses.into_iter().map(found).collect()));
        })?;
        self.running = Some((receiver, now));
        Ok(())
    }
}

struct WakeAtEnd(Arc<Waker>);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        // It fails when the channel is gone, and then nobody waits.
        let _ = self.0.wake();
    }
}
