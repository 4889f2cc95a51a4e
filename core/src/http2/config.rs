//! What can be set.

use super::limits::Limits;
use crate::time::Duration;

/// What is set for a connection; every field has a documented default.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether this side is the server.
    pub server: bool,
    /// Receive window of a stream, octets, 1 to 2^31-1. Default 1 MiB (a round trip of 10 ms at 100 MB/s); a small
    /// device sets what it can hold.
    pub stream_window: u32,
    /// Receive window of the connection, octets, 65 535 (RFC 9113 §6.9.2 lets nobody begin with less) to 2^31-1.
    /// Default 4 MiB.
    pub connection_window: u32,
    /// Server: streams that the client may have open at once; the stream table bounds it, too. Default `u32::MAX`:
    /// as many as the table holds.
    pub max_concurrent_streams: u32,
    /// Largest header list taken, in RFC 9113 §6.5.2's counting (name, value and 32 for each field). Half the arena
    /// bounds it, too. Default 16 KiB.
    pub max_header_list_size: u32,
    /// Keepalive: PING after this long without a received byte (gRFC A8). Default off; gRPC asks for at least 10 s.
    pub keepalive_time: Option<Duration>,
    /// How long to wait for any byte after that PING, before the connection counts as dead; and how long a server that
    /// goes away waits for the answer between its two GOAWAYs. Default 20 s.
    pub keepalive_timeout: Duration,
    /// Keepalive also while no stream is open (gRFC A8). Default false.
    pub keepalive_without_calls: bool,
    /// Server: GOAWAY after this age, jittered ±10 % by `seed` (gRFC A9). Default never.
    pub max_connection_age: Option<Duration>,
    /// Server: close this long after that; `None`, the default: wait for the streams.
    pub max_connection_age_grace: Option<Duration>,
    /// Server: GOAWAY after this long without a stream (gRFC A9). Default never.
    pub max_connection_idle: Option<Duration>,
    /// What a peer may do before it is told ENHANCE_YOUR_CALM.
    pub limits: Limits,
    /// Varies jitter and the hashing of stream ids; no randomness inside. Any value works; a server that faces
    /// strangers takes one that they cannot guess.
    pub seed: u64,
}

impl Config {
    /// The client's defaults.
    pub const fn client() -> Config {
        Config {
            server: false,
            stream_window: 1 << 20,
            connection_window: 4 << 20,
            max_concurrent_streams: u32::MAX,
            max_header_list_size: 16_384,
            keepalive_time: None,
            keepalive_timeout: Duration::from_secs(20),
            keepalive_without_calls: false,
            max_connection_age: None,
            max_connection_age_grace: None,
            max_connection_idle: None,
            limits: Limits::client(),
            seed: 0,
        }
    }

    /// The server's defaults.
    pub const fn server() -> Config {
        Config { server: true, limits: Limits::server(), ..Config::client() }
    }
}
