//! gRPC's service config (grpc/doc/service_config.md), as JSON.

use crate::time::Duration;

/// A checked service config. What is long in it (weights, methods) stays in the text: who owns the text keeps the last good one.
#[derive(Clone, Copy, Debug)]
pub struct ServiceConfig<'j> {
    _text: &'j str,
}

/// The balancing policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Policy {
    /// One connection, to the first address that works.
    #[default]
    PickFirst,
    /// All endpoints in turn.
    RoundRobin,
    /// All endpoints by their weights.
    WeightedRoundRobin,
}

/// What the service config says of a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodConfig {
    /// The call's deadline is the smaller of this and its own.
    pub timeout: Option<Duration>,
    /// Unless the call says otherwise.
    pub wait_for_ready: Option<bool>,
    /// Octets; the smaller of this and the channel's setting.
    pub max_request_message_bytes: Option<u32>,
    /// Octets; the smaller of this and the channel's setting.
    pub max_response_message_bytes: Option<u32>,
}

/// A config that is wrong. [`ConfigError::display`] names the JSON path, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Octets before the place that is wrong.
    pub at: u32,
    /// What should stand there.
    pub expected: &'static str,
}

impl ConfigError {
    /// `$.loadBalancingConfig[0].weighted_round_robin.weights["10.0.0.1"]: expected …`; `text` is what was parsed.
    pub fn display<'a>(&'a self, text: &'a str) -> impl core::fmt::Display + 'a {
        let _ = text;
        self.expected
    }
}

#[allow(unused_variables)]
impl<'j> ServiceConfig<'j> {
    /// `{}`: pick_first.
    pub const DEFAULT: ServiceConfig<'static> = ServiceConfig { _text: "{}" };

    /// Checks all of `text`. Any known field that is wrong makes the whole config wrong (gRFC A21); unknown ones are ignored.
    pub fn parse(text: &'j str) -> Result<ServiceConfig<'j>, ConfigError> {
        todo!()
    }

    /// The policy chosen.
    pub fn policy(&self) -> Policy {
        todo!()
    }

    /// For `path` (`/package.Service/Method`): exact name, else the service's, else the default. Walks the text of
    /// `methodConfig`: look it up once per method, not once per call.
    pub fn method(&self, path: &str) -> MethodConfig {
        todo!()
    }

    /// Whether there is a `methodConfig` at all.
    pub fn has_methods(&self) -> bool {
        todo!()
    }
}
