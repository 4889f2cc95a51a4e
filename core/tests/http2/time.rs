//! Keepalive (gRFC A8), connection age and idleness (gRFC A9).

use super::support::*;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Kind, flags};
use grpclb_core::http2::{Config, Limits};
use grpclb_core::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(n: u64) -> Instant {
    NOW.after(Duration::from_secs(n))
}

fn keepalive(without_calls: bool) -> Conn {
    let config = Config {
        keepalive_time: Some(10 * SECOND),
        keepalive_timeout: 3 * SECOND,
        keepalive_without_calls: without_calls,
        ..Config::client()
    };
    client_with(Memory::default(), &config, &[])
}

#[test]
fn keepalive_asks_after_silence_and_any_octet_answers() {
    let mut client = keepalive(false);
    opened(&mut client, false);
    assert_eq!(client.poll_timeout(), Some(seconds(10)));
    // From the last octet read, not written.
    feed_at(&mut client, seconds(4), &settings(&[]), usize::MAX).unwrap();
    assert_eq!(client.poll_timeout(), Some(seconds(14)));
    take(&mut client);
    client.handle_timeout(seconds(13)).unwrap();
    assert_eq!(take(&mut client), []);
    client.handle_timeout(seconds(14)).unwrap();
    let out = frames(&take(&mut client));
    assert_eq!((out.len(), out[0].0.kind, out[0].0.flags), (1, Kind::PING, 0));
    assert_eq!(client.poll_timeout(), Some(seconds(17)));
    feed_at(&mut client, seconds(16), &window_update(0, 1), 1).unwrap();
    assert_eq!(client.poll_timeout(), Some(seconds(26)));
    client.handle_timeout(seconds(26)).unwrap();
    assert_eq!(client.poll_timeout(), Some(seconds(29)));
    let error = client.handle_timeout(seconds(29)).unwrap_err();
    assert_eq!(error.reason, "keepalive: the peer does not answer");
    assert_eq!(feed(&mut client, b"x", 1), Err(error));
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn keepalive_sleeps_without_streams_unless_it_is_told_to() {
    let mut client = keepalive(false);
    assert_eq!(client.poll_timeout(), None);
    // gRFC A8: a new stream after long silence is asked for at once.
    client.open(seconds(60), list(&GET), true).unwrap();
    assert!(client.poll_timeout() <= Some(seconds(60)));
    assert_eq!(keepalive(true).poll_timeout(), Some(seconds(10)));
}

#[test]
fn age_is_a_two_step_goaway_with_jitter_and_grace() {
    let mut ages = Vec::new();
    for seed in 0..40 {
        let config = Config {
            max_connection_age: Some(100 * SECOND),
            max_connection_age_grace: Some(5 * SECOND),
            keepalive_timeout: 20 * SECOND,
            seed: seed * 77_777_777_777_777,
            ..Config::server()
        };
        let mut server = server_with(Memory::default(), &config);
        feed(&mut server, &headers(1, &GET, true), usize::MAX).unwrap();
        let due = server.poll_timeout().unwrap();
        assert!((seconds(90)..=seconds(110)).contains(&due));
        ages.push(due);
        server.handle_timeout(due).unwrap();
        let out = frames(&take(&mut server));
        assert_eq!((out[0].0.kind, out[1].0.kind), (Kind::GOAWAY, Kind::PING));
        feed_at(&mut server, due, &frame(Kind::PING, flags::ACK, 0, &out[1].1), usize::MAX).unwrap();
        assert_eq!(frames(&take(&mut server))[0].0.kind, Kind::GOAWAY);
        assert_eq!(server.poll_timeout(), Some(due.after(5 * SECOND)));
        let error = server.handle_timeout(due.after(5 * SECOND)).unwrap_err();
        assert_eq!(error.code, ErrorCode::NO_ERROR);
        take(&mut server);
        assert!(server.is_closed());
    }
    ages.dedup();
    assert!(ages.len() > 30, "jitter varies");
}

#[test]
fn idleness_counts_from_the_last_streams_end() {
    let config = Config { max_connection_idle: Some(10 * SECOND), ..Config::server() };
    let mut server = server_with(Memory::default(), &config);
    assert_eq!(server.poll_timeout(), Some(seconds(10)));
    feed_at(&mut server, seconds(5), &headers(1, &GET, true), usize::MAX).unwrap();
    assert_eq!(server.poll_timeout(), None);
    feed_at(&mut server, seconds(30), &rst_stream(1, ErrorCode::CANCEL), usize::MAX).unwrap();
    assert_eq!(server.poll_timeout(), Some(seconds(40)));
    server.handle_timeout(seconds(40)).unwrap();
    assert_eq!(frames(&take(&mut server))[0].0.kind, Kind::GOAWAY);
}

#[test]
fn pings_that_come_too_often() {
    let ping = frame(Kind::PING, 0, 0, &[1; 8]);
    let mut server = server_ready();
    for _ in 0..3 {
        feed_at(&mut server, seconds(1), &ping, usize::MAX).unwrap();
    }
    let error = feed_at(&mut server, seconds(299), &ping, usize::MAX).unwrap_err();
    assert_eq!((error.code, error.reason), (ErrorCode::ENHANCE_YOUR_CALM, "too_many_pings"));
    let goaway = &frames(&take(&mut server)).pop().unwrap().1;
    assert_eq!(&goaway[8..], b"too_many_pings");
    // Every five minutes is fine while a stream is open.
    let mut server = server_ready();
    feed(&mut server, &headers(1, &POST, false), usize::MAX).unwrap();
    for i in 0..20 {
        feed_at(&mut server, seconds(300 * i), &ping, usize::MAX).unwrap();
    }
    // Sending forgives.
    let mut server = server_ready();
    feed(&mut server, &headers(1, &POST, false), usize::MAX).unwrap();
    let stream = grpclb_core::http2::StreamKey { id: 1, slot: 0 };
    server.send_headers(stream, list(&OK), false).unwrap();
    for _ in 0..50 {
        feed(&mut server, &ping, usize::MAX).unwrap();
        server.send_data(stream, b"x", false).unwrap();
    }
    // Clients do not count, and a server may be told not to.
    let config = Config { limits: Limits { ping_strikes: None, ..Limits::server() }, ..Config::server() };
    for mut conn in [client_ready(), server_with(Memory::default(), &config)] {
        feed(&mut conn, &ping.repeat(100), usize::MAX).unwrap();
    }
}
