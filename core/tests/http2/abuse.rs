//! RFC 9113 §10.5: what a peer may provoke, and when it is told to calm down. Honest bursts pass.

use super::support::*;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Kind, flags};
use grpclb_core::http2::{Config, Limits, Rate};
use grpclb_core::time::Duration;

const CALM: ErrorCode = ErrorCode::ENHANCE_YOUR_CALM;

fn limited(limits: Limits) -> Conn {
    server_with(Memory::default(), &Config { limits, ..Config::server() })
}

/// Feeds `wire(i)` again and again, what is transmitted taken each time or never; how often until an error.
fn how_often(server: &mut Conn, read: bool, most: u32, wire: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    for i in 0..most {
        if let Err(error) = feed(server, &wire(i), usize::MAX) {
            assert_eq!(error.code, CALM, "{error}");
            return Some(i);
        }
        if read {
            take(server);
        }
    }
    None
}

#[test]
fn rapid_reset() {
    let rate = Rate { burst: 50, per_second: 10 };
    let mut server = limited(Limits { resets: Some(rate), ..Limits::server() });
    let storm = |i: u32| [headers(1 + 2 * i, &GET, true), rst_stream(1 + 2 * i, ErrorCode::CANCEL)].concat();
    assert_eq!(how_often(&mut server, true, 1_000, storm), Some(50));
    // At the rate, it goes on for ever.
    let mut server = limited(Limits { resets: Some(rate), ..Limits::server() });
    for i in 0..500 {
        let now = NOW.after(Duration::from_millis(u64::from(i) * 100));
        feed_at(&mut server, now, &storm(i), usize::MAX).unwrap();
    }
}

#[test]
fn a_busy_client_may_cancel_by_the_thousand() {
    let mut server = server_with(Memory::new(1_000, 4_096, 16_384, 8_192), &Config::server());
    let storm = |i: u32| [headers(1 + 2 * i, &GET, true), rst_stream(1 + 2 * i, ErrorCode::CANCEL)].concat();
    assert_eq!(how_often(&mut server, true, 7_000, storm), None);
}

#[test]
fn made_you_reset() {
    let mut server = limited(Limits { resets: Some(Rate { burst: 50, per_second: 0 }), ..Limits::server() });
    let storm = |i: u32| [headers(1 + 2 * i, &POST, false), window_update(1 + 2 * i, 0)].concat();
    assert_eq!(how_often(&mut server, true, 1_000, storm), Some(50));
}

#[test]
fn a_first_flight_above_the_limit_is_refused_and_no_more() {
    // A client that does not know the limit yet opens 500 streams at once, before we can write.
    let mut server = server_with(Memory::new(10, 4_096, 16_384, 8_192), &Config::server());
    let flight: Vec<u8> = (0..500).flat_map(|i| headers(1 + 2 * i, &GET, true)).collect();
    let told = feed(&mut server, &flight, usize::MAX).unwrap();
    assert_eq!(told.len(), 10);
    let refused = frames(&take(&mut server));
    assert_eq!(refused.len(), 490);
    assert!(refused.iter().all(|(head, _)| head.kind == Kind::RST_STREAM));
}

#[test]
fn continuation_flood() {
    let mut server = server_ready();
    feed(&mut server, &frame(Kind::HEADERS, 0, 1, &[]), usize::MAX).unwrap();
    let one = |_| frame(Kind::CONTINUATION, 0, 1, &[]);
    assert_eq!(how_often(&mut server, true, 1_000, one), Some(16 + 8));
    // And a block without end: 4 368 octets a frame in the counting of RFC 9113 §6.5.2, 65 536 are taken.
    let mut server = server_ready();
    feed(&mut server, &frame(Kind::HEADERS, 0, 1, &[]), usize::MAX).unwrap();
    let kilobytes = block(&[("a", &"x".repeat(240))]).repeat(16);
    assert_eq!(how_often(&mut server, true, 100, |_| frame(Kind::CONTINUATION, 0, 1, &kilobytes)), Some(16));
}

#[test]
fn a_few_octets_that_stand_for_very_many() {
    // A field that never ends.
    let mut server = server_ready();
    feed(&mut server, &frame(Kind::HEADERS, 0, 1, &[0x40, 1, b'a', 127, 0xff, 0xff, 0x7f]), usize::MAX)
        .unwrap();
    assert_eq!(
        how_often(&mut server, true, 10, |_| frame(Kind::CONTINUATION, 0, 1, &[b'x'; 8_000])),
        Some(2)
    );
    // An entry of 3 000 octets in the table, then references to it of an octet each.
    let mut server = server_ready();
    let value = "x".repeat(240);
    let long: Vec<u8> =
        [&[0x40, 1, b'a', 127, 0xf9, 0x15][..], &value.repeat(13).as_bytes()[..2_936]].concat();
    let fields = [block(&GET), long, vec![0xbe; 5_000]].concat();
    let wire = frame(Kind::HEADERS, flags::END_HEADERS | flags::END_STREAM, 1, &fields);
    assert_eq!(feed(&mut server, &wire, usize::MAX).unwrap_err().code, CALM);
}

#[test]
fn frames_that_do_nothing() {
    let limits = Limits { idle_frames: Rate { burst: 100, per_second: 0 }, ..Limits::server() };
    for wire in [
        data(1, b"", false),
        frame(Kind::DATA, flags::PADDED, 1, &[3, 0, 0, 0]),
        frame(Kind::PRIORITY, 0, 9, &[0; 5]),
        frame(Kind(0x50), 0, 9, b"?"),
        settings_ack(),
    ] {
        let mut server = limited(limits);
        feed(&mut server, &headers(1, &POST, false), usize::MAX).unwrap();
        assert_eq!(how_often(&mut server, true, 1_000, |_| wire.clone()), Some(100), "{wire:?}");
    }
    // On a stream that we have reset: what carries something was sent in good faith.
    for (wire, calm) in [(data(1, b"", false), Some(100)), (data(1, b"x", false), None)] {
        let mut server = limited(limits);
        feed(&mut server, &headers(1, &POST, false), usize::MAX).unwrap();
        server.reset(grpclb_core::http2::StreamKey { id: 1, slot: 0 }, ErrorCode::CANCEL);
        take(&mut server);
        assert_eq!(how_often(&mut server, true, 1_000, |_| wire.clone()), calm);
    }
    // Small DATA that carries something is honest.
    let mut server = limited(limits);
    feed(&mut server, &headers(1, &POST, false), usize::MAX).unwrap();
    assert_eq!(how_often(&mut server, true, 10_000, |_| data(1, b"x", false)), None);
}

#[test]
fn settings_flood() {
    for read in [true, false] {
        assert_eq!(how_often(&mut server_ready(), read, 1_000, |_| settings(&[])), Some(99));
    }
    let many: Vec<_> = (0..65).map(|_| (4, 1)).collect();
    assert_eq!(connection_error(server_ready(), &settings(&many)), CALM);
}

#[test]
fn ping_flood_without_reading_the_answers() {
    let limits = Limits { ping_strikes: None, ..Limits::server() };
    let ping = |i: u32| frame(Kind::PING, 0, 0, &u64::from(i).to_be_bytes());
    // The outbox holds 8 192 octets of 17-octet answers, the ring 16 more.
    assert_eq!(how_often(&mut limited(limits), false, 10_000, ping), Some(8_192 / 17 + 16));
    assert_eq!(how_often(&mut limited(limits), true, 10_000, ping), Some(1_000));
}

#[test]
fn bandwidth_probes_pass() {
    // As grpc-go does: a PING with DATA, as often as the answers come.
    let mut server = server_ready();
    feed(&mut server, &headers(1, &POST, false), usize::MAX).unwrap();
    let stream = grpclb_core::http2::StreamKey { id: 1, slot: 0 };
    server.send_headers(stream, list(&OK), false).unwrap();
    for i in 0..20_000_u32 {
        let wire = [data(1, b"x", false), frame(Kind::PING, 0, 0, &[0; 8])].concat();
        feed(&mut server, &wire, usize::MAX).unwrap();
        server.release(stream, 1);
        if i % 2 == 0 {
            _ = server.send_data(stream, b"y", false);
            feed(&mut server, &[window_update(0, 1), window_update(1, 1)].concat(), usize::MAX).unwrap();
        }
        take(&mut server);
    }
}

#[test]
fn a_client_that_cancels_much_hears_late_answers() {
    let mut client = client_ready();
    for _ in 0..30_000 {
        let stream = opened(&mut client, true);
        client.reset(stream, ErrorCode::CANCEL);
        take(&mut client);
        let late = [
            headers(stream.id, &OK, false),
            data(stream.id, b"late", false),
            headers(stream.id, &[("a", "b")], true),
        ];
        assert_eq!(feed(&mut client, &late.concat(), usize::MAX).unwrap(), []);
        take(&mut client);
    }
}
