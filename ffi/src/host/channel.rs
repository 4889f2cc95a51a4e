//! The blocking channel: any thread calls, the one that finds nobody driving drives.

use super::call::{Call, Reply, Status, Stream};
use grpclb_core::balancer::Connectivity;
use std::time::Duration;

/// Why a channel cannot be made; `Display` names the target's or config's place and what was expected.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The target does not parse.
    Target(String),
    /// The service config does not parse: JSON path and what was expected.
    ServiceConfig(String),
    /// The system refused (descriptors, memory).
    Io(std::io::Error),
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::error::Error for ConnectError {}

/// Settings of a channel.
#[derive(Clone, Debug)]
pub struct ChannelBuilder {}

#[allow(unused_variables)]
impl ChannelBuilder {
    /// Service config JSON (gRPC's format, and `weights`).
    #[must_use]
    pub fn service_config(self, json: &str) -> ChannelBuilder {
        todo!()
    }
    /// `:authority`; default: the target's.
    #[must_use]
    pub fn authority(self, authority: &str) -> ChannelBuilder {
        todo!()
    }
    /// Keepalive (gRFC A8).
    #[must_use]
    pub fn keepalive(self, time: Duration, timeout: Duration) -> ChannelBuilder {
        todo!()
    }
    /// Largest message taken, octets (default 4 MiB).
    #[must_use]
    pub fn max_message_size(self, octets: u32) -> ChannelBuilder {
        todo!()
    }
    /// First and largest backoff between attempts (defaults 1 s and 120 s).
    #[must_use]
    pub fn backoff(self, initial: Duration, max: Duration) -> ChannelBuilder {
        todo!()
    }
    /// A resolver of the program's own in place of the target's: asked on the helper thread exactly when DNS would
    /// be asked (at the start, and when a connection is lost), so that what it returns is noticed no sooner.
    #[must_use]
    pub fn resolver(
        self,
        resolve: impl Fn() -> Result<Vec<std::net::SocketAddr>, String> + Send + Sync + 'static,
    ) -> ChannelBuilder {
        todo!()
    }
    /// Makes the channel; connects to nothing yet.
    pub fn build(self) -> Result<Channel, ConnectError> {
        todo!()
    }
}

/// A channel to all endpoints of a target. Clones share it; any thread may call.
#[derive(Clone, Debug)]
pub struct Channel {}

#[allow(unused_variables)]
impl Channel {
    /// A channel to `target` (`dns:///host:port`, `ipv4:a:p,b:p`, `ipv6:`, `unix:`, `file:///path`).
    pub fn builder(target: &str) -> ChannelBuilder {
        todo!()
    }
    /// One message out, one back into `response` (cleared first; reuse it and a call allocates nothing).
    pub fn unary(&self, call: &Call<'_>, request: &[u8], response: &mut Vec<u8>) -> Result<Reply, Status> {
        todo!()
    }
    /// A streaming call of any kind.
    pub fn stream(&self, call: &Call<'_>) -> Result<Stream, Status> {
        todo!()
    }
    /// The channel's state; `connect` leaves IDLE.
    pub fn state(&self, connect: bool) -> Connectivity {
        todo!()
    }
    /// Waits until the state is not `last`; `false` when the time ran out.
    pub fn wait_for_state_change(&self, last: Connectivity, timeout: Duration) -> bool {
        todo!()
    }
    /// Connects, and waits until `count` endpoints are READY; `false` when the time ran out.
    pub fn wait_for_ready_endpoints(&self, count: usize, timeout: Duration) -> bool {
        todo!()
    }
    /// Each endpoint's address and state, for demo and diagnosis.
    pub fn endpoints(&self) -> Vec<(String, Connectivity)> {
        todo!()
    }
    /// Ends the channel: running calls end with CANCELLED... later ones with UNAVAILABLE.
    pub fn close(&self) {
        todo!()
    }
}
