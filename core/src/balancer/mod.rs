//! The channel: endpoints, subchannels, policies, picks.
//!
//! CONTRACT for the host library, refine but keep the shape.

use crate::time::Instant;

/// Where one connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address<'a> {
    /// TCP.
    Ip(core::net::SocketAddr),
    /// A Unix socket's path; abstract when it begins with a NUL.
    Unix(&'a [u8]),
    /// Anything else (a URL, say), opaque to the balancer.
    Other(&'a [u8]),
}

/// One backend: its addresses are alternatives.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// In order of preference.
    pub addresses: &'a [Address<'a>],
    /// What the resolver says of it; 1 when it says nothing.
    pub weight: u32,
}

/// One subchannel. A freed index is reused at once under a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubchannelId {
    /// Dense.
    pub index: u16,
    /// Tells successors apart.
    pub generation: u16,
}

/// What the host tells of a subchannel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubchannelEvent {
    /// Connected, and the peer's SETTINGS arrived.
    Ready,
    /// The attempt failed.
    Failed,
    /// A connection that was READY is gone or takes no new calls (GOAWAY).
    Lost,
}

/// What the host is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Resolve the target (again).
    Resolve,
    /// Connect to [`Channel::address`]. An attempt has a time limit of its own; the channel says `Close` when it is over.
    Connect(SubchannelId),
    /// Close the connection (let its calls end) or give up the attempt.
    Close(SubchannelId),
}

/// The answer to "where does this call go?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// There.
    Subchannel(SubchannelId),
    /// Wait: try again when `picker_version` changes.
    Queue,
    /// TRANSIENT_FAILURE: fail with UNAVAILABLE, but a wait_for_ready call waits.
    Fail,
    /// The policy drops it: never tried again.
    Drop,
}

/// gRPC's connectivity states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connectivity {
    /// No connection and no wish for one.
    Idle,
    /// Trying.
    Connecting,
    /// Calls can go out.
    Ready,
    /// Failed; trying again later.
    TransientFailure,
    /// Closed for good.
    Shutdown,
}

#[allow(dead_code)]
const _LATER: Option<Instant> = None;
// The author of the balancer defines, as in shared/DESIGN.md section 3: ServiceConfig::parse, Target::parse,
// Channel<S: Storage>, Storage/Parts/Inline/Slices (and Boxed, growable, under feature std), Position, Table, Shape.
