//! The blocking channel: any thread calls, the one that finds nobody driving drives.

use super::blocking::{Interrupt, Shared};
use super::call::{Call, Reply, Status, Stream};
use super::reactor::{self, Completion, settings::Settings};
use grpclb_core::balancer::Connectivity;
use grpclb_core::grpc::Code;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a channel cannot be made; `Display` names the target's or config's place and what was expected.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The target does not parse, or nothing here resolves it.
    Target(String),
    /// The service config does not parse: JSON path and what was expected.
    ServiceConfig(String),
    /// The system refused (descriptors, memory).
    Io(std::io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Target(text) => write!(f, "target {text}"),
            ConnectError::ServiceConfig(text) => write!(f, "service config: {text}"),
            ConnectError::Io(error) => write!(f, "the system refused a channel: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectError::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Settings of a channel.
///
/// ```
/// use grpclb::Channel;
/// let config = r#"{"loadBalancingConfig": [{"weighted_round_robin": {"weights": {"10.0.0.1": 3}}}]}"#;
/// let channel = Channel::builder("ipv4:10.0.0.1:50051,10.0.0.2:50051").service_config(config).build()?;
///
/// let error = Channel::builder("dns:///example.org").service_config(r#"{"loadBalancingPolicy": 1}"#).build();
/// assert!(error.unwrap_err().to_string().starts_with("service config: $.loadBalancingPolicy"));
/// # Ok::<(), grpclb::ConnectError>(())
/// ```
#[derive(Clone)]
pub struct ChannelBuilder {
    settings: Settings,
    interrupt: Option<Interrupt>,
}

impl fmt::Debug for ChannelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.settings, f)
    }
}

impl ChannelBuilder {
    /// Service config JSON (gRPC's format, and `weights`). Default: `{}`, which is `pick_first`.
    #[must_use]
    pub fn service_config(mut self, json: &str) -> ChannelBuilder {
        self.settings.service_config = Some(json.into());
        self
    }

    /// `:authority`; default: the target's.
    #[must_use]
    pub fn authority(mut self, authority: &str) -> ChannelBuilder {
        self.settings.authority = Some(authority.into());
        self
    }

    /// Keepalive (gRFC A8): a PING after `time` (at least 10 s) without an octet received, and how long to wait for
    /// one after it. Off by default. A server that complains of too many has the time doubled.
    #[must_use]
    pub fn keepalive(mut self, time: Duration, timeout: Duration) -> ChannelBuilder {
        self.settings.keepalive = Some((time, timeout));
        self
    }

    /// Largest message taken, octets (default 4 MiB); a larger one ends its call with RESOURCE_EXHAUSTED.
    #[must_use]
    pub fn max_message_size(mut self, octets: u32) -> ChannelBuilder {
        self.settings.max_message_size = octets;
        self
    }

    /// First and largest backoff between attempts to connect (defaults 1 s and 120 s).
    #[must_use]
    pub fn backoff(mut self, initial: Duration, max: Duration) -> ChannelBuilder {
        self.settings.initial_backoff = initial;
        self.settings.max_backoff = max;
        self
    }

    /// How long an attempt to connect may take until the peer's SETTINGS are there (default 20 s); more when the
    /// backoff is longer.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> ChannelBuilder {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Without calls for this long the channel closes its connections and goes IDLE (gRFC A62; default 30 min);
    /// `None`: never.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> ChannelBuilder {
        self.settings.idle_timeout = timeout;
        self
    }

    /// A resolver of the program's own in place of the target's: asked on the helper thread exactly when DNS would
    /// be asked (at the start, and when a connection is lost), so that what it returns is noticed no sooner. The
    /// 30 s that pass between two successful look-ups of DNS do not apply. The target still gives `:authority`.
    #[must_use]
    pub fn resolver(
        mut self,
        resolve: impl Fn() -> Result<Vec<std::net::SocketAddr>, String> + Send + Sync + 'static,
    ) -> ChannelBuilder {
        self.settings.look_up = Some(Arc::new(resolve));
        self
    }

    /// Asked while a call waits: at least every 100 ms, and when a signal interrupts the wait. `true` ends the wait,
    /// and the call with CANCELLED. This is how Ctrl-C reaches an interpreter. It runs on the thread that waits,
    /// without a lock. A panic of its own does the same, and then goes on to the caller.
    #[must_use]
    pub fn interrupt(mut self, hook: impl Fn() -> bool + Send + Sync + 'static) -> ChannelBuilder {
        self.interrupt = Some(Arc::new(hook));
        self
    }

    /// Makes the channel; connects to nothing yet.
    pub fn build(self) -> Result<Channel, ConnectError> {
        let (machine, lead, waker) = reactor::new(self.settings)?;
        let shared = Arc::new(Shared::new(machine, lead, waker, self.interrupt));
        Ok(Channel { handle: Arc::new(Handle { shared }) })
    }

    pub(crate) fn into_settings(self) -> Settings {
        self.settings
    }
}

/// A channel to all endpoints of a target. Clones share it; any thread may call. It is closed when the last clone,
/// and the last stream, is dropped.
///
/// There is no hidden thread: the thread that waits for its own call drives everyone's. When nobody calls, nobody
/// reads; a call after a pause first looks at what happened meanwhile. Programs that want connections watched all
/// the time ask for [`Channel::drive_in_background`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use grpclb::{Call, Channel, Server};
///
/// let server = Server::builder()
///     .unary("/echo.Echo/Say", |request, response| {
///         response.message.extend_from_slice(request.message);
///         Ok(())
///     })
///     .bind("127.0.0.1:0")?
///     .spawn();
/// let address = server.local_addr().expect("TCP has one");
///
/// let channel = Channel::builder(&format!("ipv4:{address}")).build()?;
/// let mut response = Vec::new();
/// let reply = channel.unary(&Call::new("/echo.Echo/Say"), b"hello", &mut response)?;
/// assert_eq!(response, b"hello");
/// assert_eq!(reply.peer(), address.to_string());
/// # server.stop();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Channel {
    handle: Arc<Handle>,
}

/// Closes the channel with the last clone; the background thread holds `shared` alone.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // After a fork the sockets are the parent's: nothing may be said on them.
        if self.shared.is_own_process() {
            self.shared.close();
        }
    }
}

impl Channel {
    /// A channel to `target`:
    ///
    /// | target | endpoints |
    /// |---|---|
    /// | `dns:///host:port` | the name's addresses, looked up again when a connection is lost (at most every 30 s) |
    /// | `ipv4:a:p,b:p`, `ipv6:[a]:p,[b]:p` | these |
    /// | `unix:path`, `unix:///path`, `unix-abstract:name` | that socket |
    /// | `file:///path` | a list, one a line: an address and, if you like, a weight; read again when it changes (within a second; replace the file rather than write into it) |
    ///
    /// Without a scheme it is a name; without a port, 443.
    pub fn builder(target: &str) -> ChannelBuilder {
        ChannelBuilder { settings: Settings::new(target), interrupt: None }
    }

    /// One message out, one back into `response` (cleared first; reuse it and a call allocates nothing).
    pub fn unary(&self, call: &Call<'_>, request: &[u8], response: &mut Vec<u8>) -> Result<Reply, Status> {
        response.clear();
        let shared = self.shared()?;
        shared.unary(call, request, |outcome, pick_order| {
            if outcome.code != Some(Code::OK) {
                return Err(Status::of(outcome));
            }
            std::mem::swap(response, &mut outcome.response);
            Ok(Reply::take(outcome, pick_order))
        })
    }

    /// As [`Channel::unary`], into `completion` with all that the call left, however it ended: the metadata of a call that
    /// failed, too. Use it again and a call allocates nothing.
    pub fn complete(&self, call: &Call<'_>, request: &[u8], completion: &mut Completion) {
        let shared = match self.shared() {
            Ok(shared) => shared,
            Err(Status { code, message, .. }) => {
                *completion = Completion { code, message, ..Completion::default() };
                return;
            }
        };
        shared.unary(call, request, |outcome, pick_order| completion.take(outcome, pick_order));
    }

    /// A streaming call of any kind. It does not wait: a call that cannot be made says so by its first verb.
    pub fn stream(&self, call: &Call<'_>) -> Result<Stream, Status> {
        let key = self.shared()?.start_stream(call, None);
        Ok(Stream::new(self.clone(), key))
    }

    /// A streaming call whose only request is at hand. It does not wait either: the request leaves as soon as it can.
    pub fn stream_of_one(&self, call: &Call<'_>, request: &[u8]) -> Result<Stream, Status> {
        let key = self.shared()?.start_stream(call, Some(request));
        Ok(Stream::new(self.clone(), key))
    }

    /// The channel's state; `connect` leaves IDLE.
    pub fn state(&self, connect: bool) -> Connectivity {
        match self.shared() {
            Ok(shared) => {
                shared.on_state(None, |_| true, |big, _| big.machine.state(super::clock::now(), connect))
            }
            Err(_) => Connectivity::Shutdown,
        }
    }

    /// Waits until the state is not `last`; `false` when the time ran out.
    pub fn wait_for_state_change(&self, last: Connectivity, timeout: Duration) -> bool {
        let changed = |state: Connectivity| state != last;
        let Ok(shared) = self.shared() else { return changed(Connectivity::Shutdown) };
        shared.on_state(
            Some(timeout),
            |big| changed(big.machine.state(super::clock::now(), false)),
            |big, _| changed(big.machine.state(super::clock::now(), false)),
        )
    }

    /// Connects, and waits until `count` endpoints are READY; `false` when the time ran out, or the channel was closed.
    pub fn wait_for_ready_endpoints(&self, count: usize, timeout: Duration) -> bool {
        let Ok(shared) = self.shared() else { return false };
        shared.on_state(
            Some(timeout),
            |big| {
                let state = big.machine.state(super::clock::now(), true);
                big.machine.ready_endpoints() >= count || state == Connectivity::Shutdown
            },
            |big, _| big.machine.ready_endpoints() >= count,
        )
    }

    /// Each endpoint's address and state, for demo and diagnosis.
    pub fn endpoints(&self) -> Vec<(String, Connectivity)> {
        match self.shared() {
            Ok(shared) => shared.on_state(None, |_| true, |big, _| big.machine.endpoints()),
            Err(_) => Vec::new(),
        }
    }

    /// Drives the channel on a thread of its own until it is closed: connections are watched, kept alive and made
    /// again also while nobody calls.
    pub fn drive_in_background(&self) -> std::io::Result<()> {
        let shared = self.handle.shared.clone();
        std::thread::Builder::new().name("grpclb".into()).spawn(move || shared.drive_in_background())?;
        Ok(())
    }

    /// Ends the channel: running calls end with CANCELLED, later ones with UNAVAILABLE.
    pub fn close(&self) {
        if self.handle.shared.is_own_process() {
            self.handle.shared.close();
        }
    }

    /// The shared part, unless this is a child process of the one that made it.
    pub(crate) fn shared(&self) -> Result<&Shared, Status> {
        if self.handle.shared.is_own_process() {
            return Ok(&self.handle.shared);
        }
        Err(Status {
            code: Code::INTERNAL,
            message: "this channel was made before a fork: make one of its own in the child process".into(),
            peer: None,
        })
    }
}
