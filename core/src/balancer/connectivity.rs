//! gRPC's connectivity states (grpc/doc/connectivity-semantics-and-api.md).

/// The state of a channel, an endpoint or a subchannel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connectivity {
    /// No connection and no wish for one.
    #[default]
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
