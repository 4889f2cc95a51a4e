//! The channel.

use super::{
    Action, Address, Connectivity, Endpoint, Pick, Position, ServiceConfig, Shape, Sizes, Storage,
    SubchannelEvent, SubchannelId, TooSmall,
};
use crate::time::{Duration, Instant};

/// Settings of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Before the second attempt to connect, counted from the start of the first (1 s).
    pub initial_backoff: Duration,
    /// The backoff grows by 1.6 up to this (120 s).
    pub max_backoff: Duration,
    /// An attempt may take at least this long (20 s); more when the backoff is longer.
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

/// An update that was not taken; the channel is as it was, but for [`ResolutionError::AllWeightsZero`], which counts as
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

impl core::fmt::Display for ResolutionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ResolutionError::TooMany { needed } => {
                write!(
                    f,
                    "too many endpoints: {} addresses and {} octets of text needed",
                    needed.addresses, needed.text
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

/// A channel to all endpoints of a target.
#[derive(Debug)]
pub struct Channel<S> {
    storage: S,
}

#[allow(unused_variables)]
impl<S: Storage> Channel<S> {
    /// An IDLE channel that knows no endpoints yet.
    pub fn new(storage: S, config: &Config) -> Channel<S> {
        Channel { storage }
    }

    /// The resolver's endpoints and the service config to go with them: all or nothing. Addresses that stay keep their
    /// connections, backoff included. An address that occurs twice belongs to the first endpoint that has it; an
    /// endpoint without addresses of its own counts for nothing. No endpoints: calls fail (UNAVAILABLE), and the
    /// channel asks for a resolution again with backoff.
    pub fn handle_resolution(
        &mut self,
        now: Instant,
        endpoints: &[Endpoint<'_>],
        config: &ServiceConfig<'_>,
    ) -> Result<(), ResolutionError> {
        todo!()
    }

    /// The resolver failed (or its service config is wrong and there was never a good one). With an earlier list the
    /// channel goes on with it, without one it is in TRANSIENT_FAILURE. It asks again with backoff.
    pub fn handle_resolution_error(&mut self, now: Instant) {
        todo!()
    }

    /// What became of a subchannel. Ids that are out of use are passed over.
    pub fn handle_subchannel(&mut self, now: Instant, id: SubchannelId, event: SubchannelEvent) {
        todo!()
    }

    /// Leaves IDLE.
    pub fn connect(&mut self, now: Instant) {
        todo!()
    }

    /// Whether calls are running (streams count as long as they last): while some are, the idle timeout does not run.
    /// Tell it when their number leaves 0 and when it comes back to 0.
    pub fn set_busy(&mut self, now: Instant, busy: bool) {
        todo!()
    }

    /// Ends the channel: SHUTDOWN; every connection is closed (actions follow).
    pub fn shutdown(&mut self) {
        todo!()
    }

    /// What to do next; `None`: nothing. Ask after every other verb, until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        todo!()
    }

    /// Where a subchannel goes; `None` for an id out of use.
    pub fn address(&mut self, id: SubchannelId) -> Option<Address<'_>> {
        todo!()
    }

    /// The channel's state.
    pub fn state(&self) -> Connectivity {
        todo!()
    }

    /// Where a call goes. A pick takes an IDLE channel out of IDLE.
    pub fn pick(&mut self, now: Instant, position: &Position) -> Pick {
        todo!()
    }

    /// Changes whenever picks may come out differently, the state included.
    pub fn picker_version(&self) -> u32 {
        todo!()
    }

    /// Words that [`Channel::build_picker`] needs now.
    pub fn picker_words(&self) -> usize {
        todo!()
    }

    /// Writes a picker for [`Table::new`](super::Table::new): over the READY endpoints, as the policy has it.
    pub fn build_picker(&mut self, words: &mut [u32]) -> Result<Shape, TooSmall> {
        todo!()
    }

    /// When to call [`Channel::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Time passed. Call it at the latest at [`Channel::poll_timeout`]; more often does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }

    /// How many there are: endpoints, or with `pick_first` addresses.
    pub fn endpoint_count(&self) -> usize {
        todo!()
    }

    /// How many of them are READY.
    pub fn ready_count(&self) -> usize {
        todo!()
    }

    /// Number `i` in the resolver's order.
    pub fn endpoint(&mut self, i: usize) -> Option<EndpointState<'_>> {
        todo!()
    }

    /// Moves everything into larger storage, ids stay; gives back the old one. `Err` gives back `storage`: too small.
    pub fn grow(&mut self, storage: S) -> Result<S, S> {
        todo!()
    }

    /// The storage.
    pub fn storage(&self) -> &S {
        &self.storage
    }
}
