//! The channel.

use super::connectivity::Connectivity;
use super::endpoint::{Address, Endpoint};
use super::engine::{Engine, Mode, State};
use super::picker::{Position, Shape, Table, TooSmall};
use super::service_config::ServiceConfig;
use super::storage::{NONE, Sizes, Storage};
use super::subchannel::{Action, Pick, SubchannelEvent, SubchannelId};
use crate::time::{Duration, Instant};
use core::fmt;

/// Settings of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Before the second attempt to connect, counted from the start of the first (1 s; at least 1 ms).
    pub initial_backoff: Duration,
    /// The backoff grows by 1.6 up to this (120 s), with a jitter of 0.2 both ways.
    pub max_backoff: Duration,
    /// An attempt may take at least this long (20 s; at least 1 ms); more when the backoff is longer.
    pub min_connect_timeout: Duration,
    /// Connection Attempt Delay of Happy Eyeballs (RFC 8305 §5): 250 ms, kept within 100 ms and 2 s (gRFC A61).
    pub happy_eyeballs_delay: Duration,
    /// Without calls for this long the channel goes IDLE (gRFC A62): 30 min; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// For jitter and shuffling: from a random source.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(120),
            min_connect_timeout: Duration::from_secs(20),
            happy_eyeballs_delay: Duration::from_millis(250),
            idle_timeout: Some(Duration::from_secs(30 * 60)),
            seed: 0,
        }
    }
}

/// An update that was not taken; the channel is as it was, but [`ResolutionError::AllWeightsZero`] counts as
/// [`Channel::handle_resolution_error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResolutionError {
    /// The storage is too small: [`Channel::grow`] it and hand the update in again.
    TooMany {
        /// What the update needs.
        needed: Sizes,
    },
    /// Every endpoint's weight is 0: no call could go anywhere.
    AllWeightsZero,
}

impl fmt::Display for ResolutionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolutionError::TooMany { needed: Sizes { addresses, text } } => {
                write!(
                    f,
                    "too many endpoints: room for {addresses} addresses and {text} octets of text needed"
                )
            }
            ResolutionError::AllWeightsZero => f.write_str("the weight of every endpoint is 0"),
        }
    }
}
impl core::error::Error for ResolutionError {}

/// One endpoint as the channel sees it now.
#[derive(Clone, Copy, Debug)]
pub struct EndpointState<'a> {
    /// The address in use, or else the first.
    pub address: Address<'a>,
    /// Its state.
    pub state: Connectivity,
    /// The weight that picks go by (1 for policies without weights).
    pub weight: u32,
    /// Of the address; [`Channel::handle_subchannel`] knows it by this.
    pub id: SubchannelId,
}

/// A channel to all endpoints of a target: which subchannels there are, and which one a call goes to.
///
/// ```
/// use grpclb_core::balancer::{
///     Action, Address, Channel, Config, Endpoint, Inline, Pick, Position, ServiceConfig, SubchannelEvent,
/// };
/// use grpclb_core::time::Instant;
///
/// let now = Instant::from_nanos(0);
/// let mut channel = Channel::new(Inline::<8, 0>::new(), &Config::default());
/// channel.connect(now);
/// assert_eq!(channel.poll_action(), Some(Action::Resolve));
///
/// // The host resolves …
/// let addresses = [Address::parse("10.0.0.1:50051").unwrap(), Address::parse("10.0.0.2:50051").unwrap()];
/// let endpoints = addresses.each_ref().map(|a| Endpoint { addresses: std::slice::from_ref(a), weight: 1 });
/// let config = ServiceConfig::parse(r#"{"loadBalancingPolicy":"round_robin"}"#).unwrap();
/// channel.handle_resolution(now, &endpoints, &config).unwrap();
///
/// // … and connects.
/// let position = Position::new(0);
/// assert_eq!(channel.pick(now, &position), Pick::Queue);
/// while let Some(Action::Connect(id)) = channel.poll_action() {
///     channel.handle_subchannel(now, id, SubchannelEvent::Ready);
/// }
/// let Pick::Subchannel(id) = channel.pick(now, &position) else { unreachable!() };
/// assert_eq!(channel.address(id), Some(addresses[0]));
/// ```
#[derive(Debug)]
pub struct Channel<S> {
    state: State,
    storage: S,
}

impl<S: Storage> Channel<S> {
    /// An IDLE channel that knows no endpoints yet.
    pub fn new(storage: S, config: &Config) -> Channel<S> {
        let mut channel = Channel { state: State::new(config), storage };
        channel.engine().buckets.fill(NONE);
        channel
    }

    fn engine(&mut self) -> Engine<'_> {
        Engine::new(&mut self.state, self.storage.parts())
    }

    /// Runs a verb, and counts the version up if picks may come out differently after it.
    fn verb<R>(&mut self, run: impl FnOnce(&mut Engine<'_>) -> R) -> R {
        let before = self.state.connectivity();
        let mut engine = self.engine();
        let result = run(&mut engine);
        engine.state.next_timer = engine.timers().first().map(|(_, at)| at);
        if core::mem::take(&mut self.state.changed) || self.state.connectivity() != before {
            self.state.table = None;
            self.state.version = self.state.version.wrapping_add(1);
        }
        result
    }

    /// The resolver's endpoints and the service config to go with them: all or nothing. Addresses that stay keep their
    /// connections and their backoff. An address that occurs twice belongs to the first endpoint that has it; an
    /// endpoint without addresses of its own counts for nothing. No endpoints: calls fail (UNAVAILABLE), and the
    /// channel asks for a resolution again with backoff. O(n).
    pub fn handle_resolution(
        &mut self,
        now: Instant,
        endpoints: &[Endpoint<'_>],
        config: &ServiceConfig<'_>,
    ) -> Result<(), ResolutionError> {
        let result = self.verb(|engine| engine.resolution(now, endpoints, config));
        if result == Err(ResolutionError::AllWeightsZero) {
            self.handle_resolution_error(now);
        }
        result
    }

    /// The resolver failed (or its service config is wrong and there was never a good one). With an earlier list the
    /// channel goes on with it, without one it is in TRANSIENT_FAILURE. It asks again with backoff.
    pub fn handle_resolution_error(&mut self, now: Instant) {
        self.verb(|engine| engine.resolution_failed(now));
    }

    /// What became of a subchannel. Ids that are out of use are passed over.
    pub fn handle_subchannel(&mut self, now: Instant, id: SubchannelId, event: SubchannelEvent) {
        self.verb(|engine| engine.subchannel(now, id, event));
    }

    /// Leaves IDLE.
    pub fn connect(&mut self, now: Instant) {
        self.verb(|engine| engine.connect(now));
    }

    /// Whether calls are running (streams count as long as they last): while some are, the idle timeout does not run.
    /// Tell it when their number leaves 0 and when it comes back to 0.
    pub fn set_busy(&mut self, now: Instant, busy: bool) {
        self.state.busy = busy;
        self.state.last_call = self.state.last_call.max(now);
    }

    /// Ends the channel: SHUTDOWN; every connection is closed (actions follow).
    pub fn shutdown(&mut self) {
        self.verb(|engine| engine.rest(Instant::from_nanos(0), Mode::Shutdown));
    }

    /// What to do next; `None`: nothing. Ask after every other verb, until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.engine().action()
    }

    /// Where a subchannel goes; `None` for an id out of use.
    pub fn address(&mut self, id: SubchannelId) -> Option<Address<'_>> {
        let parts = self.storage.parts();
        Engine::new(&mut self.state, parts).into_address(id)
    }

    /// The channel's state.
    pub fn state(&self) -> Connectivity {
        self.state.connectivity()
    }

    /// Where a call goes. A pick takes an IDLE channel out of IDLE.
    pub fn pick(&mut self, now: Instant, position: &Position) -> Pick {
        self.state.last_call = self.state.last_call.max(now);
        match self.state.connectivity() {
            Connectivity::Ready => {
                let id = self.engine().table().pick(position);
                debug_assert!(id.is_some(), "READY, but nothing to pick from");
                id.map_or(Pick::Queue, Pick::Subchannel)
            }
            Connectivity::Connecting => Pick::Queue,
            Connectivity::Idle => {
                self.connect(now);
                Pick::Queue
            }
            Connectivity::TransientFailure | Connectivity::Shutdown => Pick::Fail,
        }
    }

    /// Changes whenever picks may come out differently, the state included.
    pub fn picker_version(&self) -> u32 {
        self.state.version
    }

    /// How many words are enough for [`Channel::build_picker`] now.
    pub fn picker_words(&self) -> usize {
        Table::words_for(usize::from(self.state.ready))
    }

    /// Writes a picker for [`Table::new`]: over the READY endpoints, as the policy has it. O(n). Picks from the table do
    /// not count for the idle timeout: see [`Channel::set_busy`].
    pub fn build_picker(&mut self, words: &mut [u32]) -> Result<Shape, TooSmall> {
        self.engine().build(words)
    }

    /// When to call [`Channel::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.state.next_timer, self.state.resolve_at, self.state.idle_at()].into_iter().flatten().min()
    }

    /// Time passed. Call it at the latest at [`Channel::poll_timeout`]; more often does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.verb(|engine| engine.timeout(now));
    }

    /// How many there are: endpoints, or with `pick_first` addresses.
    pub fn endpoint_count(&self) -> usize {
        if self.state.policy.one_leaf() {
            usize::from(self.state.addresses)
        } else {
            usize::from(self.state.endpoints)
        }
    }

    /// How many of them are READY.
    pub fn ready_count(&self) -> usize {
        usize::from(self.state.ready)
    }

    /// Number `i` in the resolver's order (with `pick_first`: in the order of attempts).
    pub fn endpoint(&mut self, i: usize) -> Option<EndpointState<'_>> {
        if i >= self.endpoint_count() {
            return None;
        }
        let parts = self.storage.parts();
        Engine::new(&mut self.state, parts).into_endpoint(i)
    }

    /// Moves everything into larger storage, ids stay; gives back the old one. `Err` gives back `storage`: too small.
    pub fn grow(&mut self, mut storage: S) -> Result<S, S> {
        let moved = self.engine().copy_to(storage.parts());
        if !moved {
            return Err(storage);
        }
        let old = core::mem::replace(&mut self.storage, storage);
        self.state.table = None;
        let used = self.state.used;
        self.engine().index().rebuild(used);
        Ok(old)
    }

    /// The storage.
    pub fn storage(&self) -> &S {
        &self.storage
    }
}
