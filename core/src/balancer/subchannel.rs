//! One address and its connection.

/// One attempt to connect and the connection that came of it. An id is never used again for another attempt: the
/// next one, to the same address or to another that took over the index, has a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubchannelId {
    /// Dense: below the number of subchannels that the storage holds.
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
    /// Resolve the target (again) and answer with `handle_resolution` or `handle_resolution_error`. After an error the
    /// channel asks again by itself with the backoff of connections; the least time between two successful DNS
    /// look-ups (30 s with gRPC) is the resolver's to keep. A resolver that pushes its updates may pass over it.
    Resolve,
    /// Connect to `Channel::address`. An attempt has a time limit of its own; the channel says `Close` when it is over.
    Connect(SubchannelId),
    /// Close the connection (let its calls end) or give up the attempt. Nothing need be told of it any more.
    Close(SubchannelId),
}

/// The answer to "where does this call go?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// There.
    Subchannel(SubchannelId),
    /// Wait: try again when `picker_version` changes.
    Queue,
    /// TRANSIENT_FAILURE: fail with UNAVAILABLE, but a wait_for_ready call waits as for `Queue`.
    Fail,
    /// The policy drops it: never tried again.
    Drop,
}
