//! The balancer without sockets, for programs that keep connections of their own.

use super::growing::Room;
use grpclb_core::balancer::{
    Action, Boxed, Channel, Config, Connectivity, Endpoint, Pick, Position, ResolutionError, ServiceConfig,
    Shape, SubchannelEvent, SubchannelId, Table,
};
use grpclb_core::time::{Duration, Instant};
use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Picks are noted for the idle timeout at most this often, so that not each of them writes.
const NOTED_EVERY: Duration = Duration::from_millis(1);

/// An update that [`Picker::handle_resolution`] did not take as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PickerError {
    /// The service config does not parse: JSON path and what was expected. The endpoints were taken with the last good
    /// one; when there was none, this counted as [`Picker::handle_resolution_error`] (gRFC A21).
    ServiceConfig(String),
    /// Every endpoint's weight is 0. It counted as [`Picker::handle_resolution_error`].
    AllWeightsZero,
    /// More than 65 535 addresses. It counted as [`Picker::handle_resolution_error`].
    TooMany {
        /// How many there are.
        addresses: usize,
    },
}

impl fmt::Display for PickerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PickerError::ServiceConfig(text) => write!(f, "service config: {text}"),
            PickerError::AllWeightsZero => ResolutionError::AllWeightsZero.fmt(f),
            PickerError::TooMany { addresses } => write!(f, "{addresses} addresses, of 65535 at most"),
        }
    }
}

impl std::error::Error for PickerError {}

/// One endpoint as a picker sees it now; [`Picker::endpoint`] gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PickerEndpoint {
    /// The address in use, or else the first.
    pub address: String,
    /// Its state.
    pub state: Connectivity,
    /// The weight that picks go by (1 for policies without weights).
    pub weight: u32,
    /// Of the address.
    pub id: SubchannelId,
}

/// Which connection a call goes to, for programs that keep connections of their own: gRPC's policies, connectivity
/// states, backoff and Happy Eyeballs, without a socket or a clock. [`grpclb_core::balancer::Channel`] with storage that
/// grows by itself; the verbs are the same.
///
/// Any thread may use it. While the channel is READY, a pick takes no lock: one atomic addition on a number that all
/// share. A pick that begins after another verb returned goes by what that verb changed.
///
/// ```
/// use grpclb::Picker;
/// use grpclb::core::balancer::{Action, Address, Config, Endpoint, Pick, SubchannelEvent};
/// use grpclb::core::time::Instant;
///
/// let now = Instant::from_nanos(0); // your monotonic clock
/// let picker = Picker::new(&Config { seed: 42, ..Config::default() }, 0);
/// picker.connect(now);
/// assert_eq!(picker.poll_action(), Some(Action::Resolve));
///
/// let addresses = [Address::parse("10.0.0.1:50051").unwrap(), Address::parse("10.0.0.2:50051").unwrap()];
/// let endpoints = addresses.each_ref().map(|a| Endpoint { addresses: std::slice::from_ref(a), weight: 1 });
/// picker.handle_resolution(now, &endpoints, r#"{"loadBalancingPolicy":"round_robin"}"#)?;
/// while let Some(action) = picker.poll_action() {
///     if let Action::Connect(id) = action {
///         // You connect to picker.address(id), and then:
///         picker.handle_subchannel(now, id, SubchannelEvent::Ready);
///     }
/// }
/// let Pick::Subchannel(id) = picker.pick(now) else { unreachable!() };
/// assert_eq!(picker.address(id).as_deref(), Some("10.0.0.1:50051"));
/// # Ok::<(), grpclb::PickerError>(())
/// ```
pub struct Picker {
    /// What the picks of all threads write: alone on its cache line, or each of them would wait for the others' reads.
    position: Alone<Position>,
    /// What a [`Shared`] must have to count: this picker's number, and below it the channel's version.
    stamp: AtomicU64,
    /// The latest pick that was noted, nanoseconds.
    last_pick: AtomicU64,
    inner: Mutex<Inner>,
}

#[repr(align(128))] // two lines of 64: processors fetch them in pairs
struct Alone<T>(T);

/// What picks go by, until the stamp changes.
struct Shared {
    stamp: u64,
    state: Connectivity,
    shape: Shape,
    words: Box<[u32]>,
}

/// Pickers that a thread goes to in turn without taking a lock.
const SLOTS: usize = 4;

thread_local! {
    /// What this thread picked from last, by the picker's number. To look whether it still counts costs a load, where
    /// counting the readers of a common one would cost each pick two atomic operations more.
    static SEEN: RefCell<[Option<Arc<Shared>>; SLOTS]> = const { RefCell::new([const { None }; SLOTS]) };
}

struct Inner {
    /// The one for the latest stamp that was picked with.
    shared: Arc<Shared>,
    channel: Channel<Boxed>,
    room: Room,
    busy: bool,
    /// The last good one.
    service_config: Option<String>,
}

impl Picker {
    /// An IDLE picker that knows no endpoints yet. `position` is the number of its first pick: take it, as the config's
    /// seed, from a random source, or every client's first call goes to the same endpoint.
    pub fn new(config: &Config, position: u64) -> Picker {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let stamp = u64::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 32;
        let room = Room::new();
        let channel = Channel::new(room.storage(), config);
        let shared = Arc::new(Shared {
            stamp,
            state: channel.state(),
            shape: Shape::default(),
            words: Box::default(),
        });
        Picker {
            position: Alone(Position::new(position)),
            stamp: AtomicU64::new(stamp),
            last_pick: AtomicU64::new(0),
            inner: Mutex::new(Inner { shared, channel, room, busy: false, service_config: None }),
        }
    }

    /// The resolver's endpoints, and the service config as JSON (`{}` when there is none) to go with them. Addresses that
    /// stay keep their connections and their backoff. An address that occurs twice belongs to the first endpoint that has
    /// it. No endpoints: calls fail, and the picker asks for a resolution again with backoff. O(n).
    pub fn handle_resolution(
        &self,
        now: Instant,
        endpoints: &[Endpoint<'_>],
        service_config: &str,
    ) -> Result<(), PickerError> {
        let wrong = ServiceConfig::parse(service_config).err();
        let wrong = wrong.map(|error| PickerError::ServiceConfig(error.display(service_config).to_string()));
        self.verb(|Inner { channel, room, service_config: good, .. }| {
            if wrong.is_none() && good.as_deref() != Some(service_config) {
                *good = Some(service_config.into());
            }
            let Some(Ok(good)) = good.as_deref().map(ServiceConfig::parse) else {
                channel.handle_resolution_error(now);
                return Ok(());
            };
            room.handle_resolution(channel, now, endpoints, &good).map_err(|error| match error {
                ResolutionError::TooMany { needed } => {
                    channel.handle_resolution_error(now);
                    PickerError::TooMany { addresses: needed.addresses }
                }
                _ => PickerError::AllWeightsZero,
            })
        })?;
        wrong.map_or(Ok(()), Err)
    }

    /// The resolver failed. With an earlier list the picker goes on with it, without one it is in TRANSIENT_FAILURE. It
    /// asks again with backoff.
    pub fn handle_resolution_error(&self, now: Instant) {
        self.verb(|inner| inner.channel.handle_resolution_error(now));
    }

    /// What became of a subchannel. Ids that are out of use are passed over.
    pub fn handle_subchannel(&self, now: Instant, id: SubchannelId, event: SubchannelEvent) {
        self.verb(|inner| inner.channel.handle_subchannel(now, id, event));
    }

    /// Leaves IDLE.
    pub fn connect(&self, now: Instant) {
        self.verb(|inner| inner.channel.connect(now));
    }

    /// Whether calls are running (streams count as long as they last): while some are, the idle timeout does not run.
    /// Tell it when their number leaves 0 and when it comes back to 0.
    pub fn set_busy(&self, now: Instant, busy: bool) {
        self.verb(|inner| {
            inner.busy = busy;
            inner.channel.set_busy(now, busy);
        });
    }

    /// Ends the picker: SHUTDOWN; every connection is to be closed (actions follow).
    pub fn shutdown(&self) {
        self.verb(|inner| inner.channel.shutdown());
    }

    /// What to do next; `None`: nothing. Ask after every other verb (after a pick, when it was [`Pick::Queue`]), until
    /// `None`.
    pub fn poll_action(&self) -> Option<Action> {
        self.lock().channel.poll_action()
    }

    /// Where a subchannel goes; `None` for an id out of use.
    pub fn address(&self, id: SubchannelId) -> Option<String> {
        self.lock().channel.address(id).map(|address| address.to_string())
    }

    /// The state.
    pub fn state(&self) -> Connectivity {
        self.lock().channel.state()
    }

    /// Where a call goes. A pick takes an IDLE picker out of IDLE.
    #[inline]
    pub fn pick(&self, now: Instant) -> Pick {
        self.note(now);
        let stamp = self.stamp.load(Ordering::Acquire);
        // `Err`: the thread is ending.
        let pick = SEEN.try_with(|seen| {
            let seen = seen.borrow();
            let shared = seen[slot(stamp)].as_ref().filter(|shared| shared.stamp == stamp)?;
            shared.pick(&self.position.0)
        });
        match pick {
            Ok(Some(pick)) => pick,
            _ => self.pick_anew(now),
        }
    }

    /// Changes whenever picks may come out differently, the state included: a call that was told [`Pick::Queue`] tries
    /// again when it is another than before that pick.
    pub fn version(&self) -> u32 {
        self.stamp.load(Ordering::Acquire) as u32
    }

    /// When to call [`Picker::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.verb(|inner| inner.channel.poll_timeout())
    }

    /// Time passed. Call it at the latest at [`Picker::poll_timeout`]; more often does no harm.
    pub fn handle_timeout(&self, now: Instant) {
        self.verb(|inner| inner.channel.handle_timeout(now));
    }

    /// How many there are: endpoints, or with `pick_first` addresses.
    pub fn endpoint_count(&self) -> usize {
        self.lock().channel.endpoint_count()
    }

    /// How many of them are READY.
    pub fn ready_count(&self) -> usize {
        self.lock().channel.ready_count()
    }

    /// Number `i` in the resolver's order (with `pick_first`: in the order of attempts).
    pub fn endpoint(&self, i: usize) -> Option<PickerEndpoint> {
        let mut inner = self.lock();
        let one = inner.channel.endpoint(i)?;
        Some(PickerEndpoint {
            address: one.address.to_string(),
            state: one.state,
            weight: one.weight,
            id: one.id,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a verb under the lock: it knows of the picks that went without it, and they of what it changes.
    fn verb<R>(&self, run: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.lock();
        let (last_pick, busy) = (self.last_pick.load(Ordering::Relaxed), inner.busy);
        inner.channel.set_busy(Instant::from_nanos(last_pick), busy);
        let result = run(&mut inner);
        self.stamp.store(self.latest(&inner.channel), Ordering::Release);
        result
    }

    fn latest(&self, channel: &Channel<Boxed>) -> u64 {
        self.stamp.load(Ordering::Relaxed) >> 32 << 32 | u64::from(channel.picker_version())
    }

    /// For the idle timeout.
    fn note(&self, now: Instant) {
        let noted = self.last_pick.load(Ordering::Relaxed);
        if now >= Instant::from_nanos(noted).after(NOTED_EVERY) {
            // Who comes too late has another thread's pick, as late as its own, noted in its place.
            let _ =
                self.last_pick.compare_exchange(noted, now.as_nanos(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// A thread's first pick after a change, and the one that leaves IDLE. Not the change itself makes the table: a
    /// thousand endpoints that become READY one by one would make a thousand.
    #[cold]
    fn pick_anew(&self, now: Instant) -> Pick {
        let (shared, pick) = self.verb(|Inner { shared, channel, .. }| {
            let idle = channel.state() == Connectivity::Idle;
            if idle {
                channel.connect(now);
            }
            let stamp = self.latest(channel);
            if shared.stamp != stamp {
                let mut words = vec![0; channel.picker_words()].into_boxed_slice();
                // There are enough of them.
                let shape = channel.build_picker(&mut words).unwrap_or_default();
                *shared = Arc::new(Shared { stamp, state: channel.state(), shape, words });
            }
            // As the core has it, whatever comes of leaving IDLE.
            (shared.clone(), if idle { None } else { shared.pick(&self.position.0) })
        });
        let slot = slot(shared.stamp);
        let _ = SEEN.try_with(|seen| seen.borrow_mut()[slot] = Some(shared));
        pick.unwrap_or(Pick::Queue)
    }
}

fn slot(stamp: u64) -> usize {
    (stamp >> 32) as usize % SLOTS
}

impl Shared {
    /// `None`: IDLE.
    #[inline]
    fn pick(&self, position: &Position) -> Option<Pick> {
        match self.state {
            Connectivity::Ready => {
                let id = Table::new(self.shape, &self.words).pick(position);
                Some(id.map_or(Pick::Queue, Pick::Subchannel))
            }
            Connectivity::Connecting => Some(Pick::Queue),
            Connectivity::TransientFailure | Connectivity::Shutdown => Some(Pick::Fail),
            Connectivity::Idle => None,
        }
    }
}

impl fmt::Debug for Picker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picker").field("state", &self.state()).finish_non_exhaustive()
    }
}
