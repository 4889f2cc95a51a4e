//! What is set for a channel, checked once.

use super::super::resolve::{
    Resolver,
    dns::{Dns, LookUp},
};
use grpclb_core::balancer::{self, MethodConfig, ServiceConfig, Target};
use grpclb_core::call;
use grpclb_core::memory::Sizes;
use grpclb_core::time::Duration;
use mio::Waker;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

/// Keepalive more often than this is taken for an attack by servers (gRFC A8).
const MIN_KEEPALIVE: Duration = Duration::from_secs(10);

/// Calls at once on one connection; more wait for a place.
const STREAMS: u16 = 256;

/// Receive windows: a stream's holds what a fast link brings in a round trip. The connection's holds that of all streams:
/// those that nobody receives must not hold up the others, which whoever is to receive them may wait for. Twice, because
/// half of it may be given back and not announced yet.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 2 * STREAMS as u32 * STREAM_WINDOW;

/// Methods whose part of the service config is remembered.
const MAX_METHODS: usize = 1024;

/// Settings of a channel.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) target: String,
    pub(crate) service_config: Option<String>,
    pub(crate) authority: Option<String>,
    pub(crate) keepalive: Option<(Duration, Duration)>,
    pub(crate) max_message_size: u32,
    pub(crate) initial_backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) look_up: Option<LookUp>,
    /// Service config by path, as far as it was asked for.
    methods: HashMap<Box<str>, MethodConfig>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("target", &self.target)
            .field("service_config", &self.service_config)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl Settings {
    pub(crate) fn new(target: &str) -> Settings {
        let balancer = balancer::Config::default();
        Settings {
            target: target.into(),
            service_config: None,
            authority: None,
            keepalive: None,
            max_message_size: call::Config::client().max_message_size,
            initial_backoff: balancer.initial_backoff,
            max_backoff: balancer.max_backoff,
            connect_timeout: balancer.min_connect_timeout,
            idle_timeout: balancer.idle_timeout,
            look_up: None,
            methods: HashMap::new(),
        }
    }

    /// Why the target is wrong, if it is, or the authority that goes with it.
    pub(crate) fn check_target(&self) -> Result<(), String> {
        if let Some(authority) = &self.authority
            && (authority.is_empty() || !authority.bytes().all(|octet| octet.is_ascii_graphic()))
        {
            return Err(format!("{:?}: authority {authority:?} is not printable ASCII", self.target));
        }
        Target::parse(&self.target).map(drop).map_err(|error| format!("{:?}: {error}", self.target))
    }

    /// Why the service config is wrong, if it is: JSON path and what was expected.
    pub(crate) fn check_service_config(&self) -> Result<(), String> {
        let Some(text) = &self.service_config else { return Ok(()) };
        ServiceConfig::parse(text).map(drop).map_err(|error| error.display(text).to_string())
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    pub(crate) fn resolver(&self, waker: Arc<Waker>) -> Result<Resolver, String> {
        if let Some(look_up) = &self.look_up {
            return Ok(Resolver::Dns(Dns::with(look_up.clone(), waker)));
        }
        let target = Target::parse(&self.target).map_err(|error| format!("{:?}: {error}", self.target))?;
        Resolver::new(&target, waker)
    }

    pub(crate) fn authority(&self) -> String {
        match (&self.authority, Target::parse(&self.target)) {
            (Some(authority), _) => authority.clone(),
            (None, Ok(target)) => target.authority().to_string(),
            (None, Err(_)) => "localhost".into(),
        }
    }

    pub(crate) fn balancer(&self, seed: u64) -> balancer::Config {
        balancer::Config {
            initial_backoff: self.initial_backoff,
            max_backoff: self.max_backoff,
            min_connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
            seed,
            ..balancer::Config::default()
        }
    }

    /// The service config, checked when the channel was made.
    pub(crate) fn service_config(&self) -> ServiceConfig<'_> {
        let parsed = self.service_config.as_deref().map(ServiceConfig::parse);
        match parsed {
            Some(Ok(config)) => config,
            _ => ServiceConfig::DEFAULT,
        }
    }

    /// What the service config says of a method.
    pub(crate) fn method(&mut self, path: &str) -> MethodConfig {
        if self.service_config.is_none() {
            return MethodConfig::default();
        }
        if let Some(config) = self.methods.get(path) {
            return *config;
        }
        let config = self.service_config();
        let method = if config.has_methods() { config.method(path) } else { MethodConfig::default() };
        if self.methods.len() >= MAX_METHODS {
            self.methods.clear();
        }
        self.methods.insert(path.into(), method);
        method
    }

    /// Of each connection.
    pub(crate) fn connection(&self) -> (Sizes, call::Config) {
        let sizes = Sizes { streams: STREAMS, outbox: 64 * 1024, ..Sizes::default() };
        let mut config = call::Config::client();
        config.max_message_size = self.max_message_size;
        config.http2.stream_window = STREAM_WINDOW;
        config.http2.connection_window = CONNECTION_WINDOW;
        if let Some((time, timeout)) = self.keepalive {
            config.http2.keepalive_time = Some(time.max(MIN_KEEPALIVE));
            config.http2.keepalive_timeout = timeout;
        }
        config.http2.seed = seed();
        (sizes, config)
    }

    /// A server complained of too many PINGs: new connections wait twice as long (gRFC A8).
    pub(crate) fn double_keepalive(&mut self) {
        if let Some((time, _)) = &mut self.keepalive {
            *time = (*time).max(MIN_KEEPALIVE).saturating_mul(2);
        }
    }
}

/// A number that differs from run to run and from call to call: the keys of the standard library's hash maps are random.
pub(crate) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepalive_has_a_floor_and_doubles() {
        let mut settings = Settings::new("ipv4:127.0.0.1:1");
        settings.double_keepalive();
        assert_eq!(settings.connection().1.http2.keepalive_time, None, "off stays off");
        settings.keepalive = Some((Duration::from_secs(1), Duration::from_secs(5)));
        assert_eq!(settings.connection().1.http2.keepalive_time, Some(Duration::from_secs(10)));
        settings.double_keepalive();
        assert_eq!(settings.connection().1.http2.keepalive_time, Some(Duration::from_secs(20)));
        assert_eq!(settings.connection().1.http2.keepalive_timeout, Duration::from_secs(5));
    }

    #[test]
    fn authorities() {
        for (target, authority) in [
            ("dns:///example.org:50051", "example.org:50051"),
            ("unix:/run/socket", "localhost"),
            ("ipv4:127.0.0.1:80", "127.0.0.1:80"),
        ] {
            assert_eq!(Settings::new(target).authority(), authority, "{target}");
        }
        let mut settings = Settings::new("unix:/run/socket");
        settings.authority = Some("own".into());
        assert_eq!(settings.authority(), "own");
    }
}
