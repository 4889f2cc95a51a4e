//! The server: methods by path, one thread that drives, handlers on it or on worker threads.
//!
//! ```no_run
//! use grpclb::Server;
//! # fn main() -> std::io::Result<()> {
//! Server::builder()
//!     .unary("/demo.Echo/Echo", |request, response| {
//!         response.message.extend_from_slice(request.message);
//!         Ok(())
//!     })
//!     .health()
//!     .bind("127.0.0.1:50051")?
//!     .serve()
//! # }
//! ```
//!
//! Messages are bytes: encoding is the application's matter. What a client does wrong, and what the server cannot
//! take, is answered as gRPC prescribes: an unknown path, a unary request of none or several messages, or a
//! compressed one with UNIMPLEMENTED; a message above the limit, or a call above that of the workers, with
//! RESOURCE_EXHAUSTED; a handler that panics with UNKNOWN.

mod calls;
mod context;
mod driver;
mod inbox;
mod listen;
mod metadata;
mod methods;
mod notes;
mod outgoing;
mod pool;
mod request;
mod stream;
mod work;

use super::clock;
use super::health::{self, Health, ServingStatus};
use context::Context;
use driver::{Driver, Limits};
use grpclb_core::call::Config;
use grpclb_core::grpc::Code;
use grpclb_core::memory::Sizes;
use listen::Listener;
use methods::{Method, Methods};
use notes::{Note, Notes};
use pool::Pool;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

pub use request::{Request, Response};
pub use stream::ServerStream;

/// How a handler ends a call that is not OK: the status code and its message.
pub type Handler<T> = Result<T, (Code, String)>;

/// Settings and methods of a server.
#[derive(Debug)]
pub struct ServerBuilder {
    methods: Methods,
    health: Option<Arc<Health>>,
    limits: Limits,
    max_workers: usize,
    max_waiting: usize,
}

impl ServerBuilder {
    /// A unary method that answers at once, on the driving thread: while it runs, nothing else does.
    ///
    /// `path` is `/package.Service/Method`. A path that is registered again replaces the first.
    #[must_use]
    pub fn unary(
        mut self,
        path: &str,
        handler: impl Fn(&Request<'_>, &mut Response<'_>) -> Handler<()> + Send + Sync + 'static,
    ) -> Self {
        self.methods.insert(path, Method::Unary(Box::new(handler)));
        self
    }

    /// A unary method that may block, on a worker thread.
    #[must_use]
    pub fn unary_blocking(
        mut self,
        path: &str,
        handler: impl Fn(&Request<'_>, &mut Response<'_>) -> Handler<()> + Send + Sync + 'static,
    ) -> Self {
        self.methods.insert(path, Method::Blocking(Box::new(handler)));
        self
    }

    /// A streaming method of any kind, on a worker thread for as long as the call lives.
    #[must_use]
    pub fn streaming(
        mut self,
        path: &str,
        handler: impl Fn(&mut ServerStream) -> Handler<()> + Send + Sync + 'static,
    ) -> Self {
        self.methods.insert(path, Method::Streaming(Box::new(handler)));
        self
    }

    /// GOAWAY to each connection at this age, jittered by ±10 % (gRFC A9); close it `grace` later whatever runs
    /// (`None`: wait for its calls). Default: connections live for ever.
    #[must_use]
    pub fn max_connection_age(mut self, age: Duration, grace: Option<Duration>) -> Self {
        self.limits.config.http2.max_connection_age = Some(age);
        self.limits.config.http2.max_connection_age_grace = grace;
        self
    }

    /// PING to a client that sent nothing for `time`, and end of the connection when it sends nothing for `timeout`
    /// after that (gRFC A8). Default: 2 h and 20 s.
    #[must_use]
    pub fn keepalive(mut self, time: Duration, timeout: Duration) -> Self {
        self.limits.config.http2.keepalive_time = Some(time);
        self.limits.config.http2.keepalive_timeout = timeout;
        self
    }

    /// The largest request message taken, octets (default 4 MiB). A larger one ends its call with
    /// RESOURCE_EXHAUSTED.
    #[must_use]
    pub fn max_message_size(mut self, octets: u32) -> Self {
        self.limits.config.max_message_size = octets;
        self
    }

    /// Calls at once on one connection (default 128, at least 1), announced to the client, whose further calls wait.
    #[must_use]
    pub fn max_concurrent_calls(mut self, calls: u16) -> Self {
        self.limits.sizes.streams = calls.max(1);
        self.limits.config.http2.max_concurrent_streams = u32::from(calls.max(1));
        self
    }

    /// Connections at once (default: as many as the system allows). Further ones are closed at once, so that their
    /// clients try another server.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.limits.max_connections = connections;
        self
    }

    /// How long a client may take to send its preface and SETTINGS (default 20 s); then its connection is closed.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.limits.handshake = timeout;
        self
    }

    /// Worker threads at once (default 256, at least 1), and calls that may wait for one (default 1 024). A call
    /// above both ends with RESOURCE_EXHAUSTED. Threads start as they are needed and end when they have been idle
    /// for ten seconds.
    #[must_use]
    pub fn workers(mut self, threads: usize, waiting: usize) -> Self {
        (self.max_workers, self.max_waiting) = (threads.max(1), waiting);
        self
    }

    /// Registers `grpc.health.v1.Health` (`Check` and `Watch`); SERVING from the start, NOT_SERVING from the
    /// beginning of a graceful stop. See [`ServerHandle::set_serving`].
    #[must_use]
    pub fn health(mut self) -> Self {
        let registry = Arc::new(Health::new());
        self.health = Some(Arc::clone(&registry));
        self.methods.insert(health::WATCH, Method::Watch);
        self.unary(health::CHECK, move |request, response| registry.check(request.message, response.message))
    }

    /// Listens: `127.0.0.1:0` (a free port), `[::]:50051`, `host:port`, `:50051` (every interface), `unix:/path` or
    /// `unix-abstract:name`.
    ///
    /// # Errors
    /// The address does not parse, is taken, or is not this machine's; or the system is out of descriptors.
    pub fn bind(self, address: &str) -> io::Result<Server> {
        let listener = Listener::bind(address)?;
        let address = listener.local_addr();
        let poll = mio::Poll::new()?;
        let notes = Arc::new(Notes::new(mio::Waker::new(poll.registry(), driver::WAKER)?));
        let methods = Arc::new(self.methods);
        let runner = Arc::clone(&methods);
        let context = Context {
            methods,
            pool: Pool::new(self.max_workers, self.max_waiting, move |work| runner.run(work)),
            health: self.health.clone(),
            notes: Arc::clone(&notes),
            now: clock::now(),
            stopping: false,
            stream_window: self.limits.config.http2.stream_window as usize,
            scratch: Vec::new(),
            spare: Vec::new(),
        };
        let accepted = Arc::new(AtomicU64::new(0));
        let driver = Driver::new(poll, listener, self.limits, context, Arc::clone(&accepted))?;
        let shared = Arc::new(Shared {
            address,
            notes,
            accepted,
            health: self.health,
            ended: Mutex::new(false),
            end: Condvar::new(),
        });
        Ok(Server { driver, _end: End(Arc::clone(&shared)), handle: ServerHandle { shared } })
    }
}

/// A server that listens. Dropped, it stops listening.
pub struct Server {
    // Dropped in this order: sockets are closed before anybody hears of the end.
    driver: Driver,
    _end: End,
    handle: ServerHandle,
}

/// Says that the server has ended, however that came: it was stopped, never served, or the driving thread panicked.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.end.notify_all();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Server {
    /// Begins a server.
    pub fn builder() -> ServerBuilder {
        let limits = Limits {
            config: Config::server(),
            sizes: Sizes::default(),
            max_connections: usize::MAX,
            handshake: Duration::from_secs(20),
        };
        ServerBuilder {
            methods: Methods::default(),
            health: None,
            limits,
            max_workers: 256,
            max_waiting: 1024,
        }
    }

    /// Where it listens; `None` for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.handle.local_addr()
    }

    /// A handle to stop it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves on this thread until it is stopped.
    ///
    /// # Errors
    /// The system's poll failed; what fails for a single connection ends that one only.
    pub fn serve(mut self) -> io::Result<()> {
        self.driver.run()
    }

    /// Serves on a thread of its own.
    ///
    /// # Panics
    /// When the system has no thread left, as [`std::thread::spawn`] does.
    pub fn spawn(self) -> ServerHandle {
        let handle = self.handle();
        std::thread::spawn(move || {
            if let Err(error) = self.serve() {
                eprintln!("grpclb: the server's poll failed: {error}");
            }
        });
        handle
    }
}

/// Watches and stops a server; cloned freely.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: Option<SocketAddr>,
    notes: Arc<Notes>,
    accepted: Arc<AtomicU64>,
    health: Option<Arc<Health>>,
    ended: Mutex<bool>,
    end: Condvar,
}

impl ServerHandle {
    /// Where it listens; `None` for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.address
    }

    /// Connections accepted since the start.
    pub fn connections_accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Sets what the health service says of `service`, and tells those who watch it. The empty name is the server as
    /// a whole. Without effect on a server without [`ServerBuilder::health`], or one that stops: that is
    /// NOT_SERVING.
    pub fn set_serving(&self, service: &str, status: ServingStatus) {
        if let Some(health) = &self.shared.health {
            health.set(service, status);
            self.shared.notes.push(Note::Health);
        }
    }

    /// No new connections; two-step GOAWAY; waits for the calls up to `grace`, then ends them with UNAVAILABLE.
    /// Returns at once: [`ServerHandle::join`] waits.
    pub fn graceful_stop(&self, grace: Duration) {
        self.shared.notes.push(Note::GracefulStop(grace));
    }

    /// At once: sockets are closed.
    pub fn stop(&self) {
        self.shared.notes.push(Note::Stop);
    }

    /// Retires every connection now, as its age would (for demos and drains): two-step GOAWAY, its calls go on.
    pub fn retire_connections(&self) {
        self.shared.notes.push(Note::Retire);
    }

    /// Waits until it has ended. Handlers that still run on worker threads do not hold it up; their calls are over.
    pub fn join(&self) {
        let mut ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            ended = self.shared.end.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Empties a buffer that is to be used again. A large one is not kept: one large message must not cost its memory in
/// every place that a message can have.
fn empty(buffer: &mut Vec<u8>) {
    const KEEP: usize = 64 * 1024;
    buffer.clear();
    buffer.shrink_to(KEEP);
}
