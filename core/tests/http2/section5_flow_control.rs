//! RFC 9113 §5.2, §6.9: windows both ways.

use super::support::*;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Kind, flags};
use grpclb_core::http2::{Config, Event, ResetCause, StreamError, StreamKey};
use proptest::prelude::*;

const ONE: StreamKey = StreamKey { id: 1, slot: 0 };
const FLOW: ErrorCode = ErrorCode::FLOW_CONTROL_ERROR;

fn windows(stream_window: u32, connection_window: u32) -> Conn {
    let config = Config { stream_window, connection_window, ..Config::server() };
    let mut server = server_with(Memory::default(), &config);
    feed(&mut server, &headers(1, &POST, false), usize::MAX).unwrap();
    server
}

/// DATA of `n` octets in frames of up to 16 KiB.
fn much_data(stream: u32, n: usize) -> Vec<u8> {
    vec![0; n].chunks(16_384).flat_map(|part| data(stream, part, false)).collect()
}

#[test]
fn data_beyond_the_streams_window_is_a_stream_error() {
    let mut server = windows(100, 65_535);
    assert_eq!(resets(&mut server, &data(1, &[0; 100], false)), []);
    assert_eq!(resets(&mut server, &data(1, &[0; 1], false)), [(1, FLOW)]);
}

#[test]
fn data_beyond_the_connections_window_ends_the_connection() {
    let mut server = windows(1 << 20, 0);
    assert_eq!(resets(&mut server, &much_data(1, 65_535)), []);
    assert_eq!(connection_error(server, &data(1, &[0], false)), FLOW);
    // What a stream had not released is the connection's again when the stream ends, once the peer has heard so.
    for told in [false, true] {
        let mut server = windows(1 << 20, 0);
        feed(&mut server, &[much_data(1, 65_535), rst_stream(1, ErrorCode::CANCEL)].concat(), usize::MAX)
            .unwrap();
        if told {
            assert_eq!(take(&mut server), window_update(0, 65_535));
        }
        let more = [headers(3, &POST, false), data(3, b"x", false)].concat();
        assert_eq!(feed(&mut server, &more, usize::MAX).is_ok(), told);
    }
}

#[test]
fn padding_counts_and_releases_itself() {
    let mut server = windows(200, 65_535);
    let padded = |n: u8| frame(Kind::DATA, flags::PADDED, 1, &[&[n][..], b"ab", &vec![0; n.into()]].concat());
    for step in [1, 7, usize::MAX] {
        let told = feed(&mut server, &padded(150), step).unwrap();
        assert_eq!(told, [Told::Data { stream: 1, bytes: b"ab".to_vec(), end: false }]);
        assert_eq!(take(&mut server), window_update(1, 151), "all but the content");
    }
}

#[test]
fn half_a_window_is_announced_at_once() {
    let mut server = windows(1_000, 65_535);
    feed(&mut server, &data(1, &[0; 1_000], false), usize::MAX).unwrap();
    server.release(ONE, 499);
    assert_eq!(take(&mut server), []);
    server.release(ONE, 1);
    assert_eq!(take(&mut server), window_update(1, 500));
    // No more than was received.
    server.release(ONE, u32::MAX as usize);
    assert_eq!(take(&mut server), window_update(1, 500));
    server.release(ONE, 1_000);
    assert_eq!(take(&mut server), []);
}

#[test]
fn a_side_that_has_ended_gets_no_window() {
    let mut server = windows(1_000, 65_535);
    feed(&mut server, &data(1, &[0; 1_000], true), usize::MAX).unwrap();
    server.release(ONE, 1_000);
    assert_eq!(take(&mut server), []);
}

#[test]
fn the_connections_window_comes_back_whatever_becomes_of_the_stream() {
    for way in 0..4 {
        let mut server = windows(1 << 20, 65_535);
        feed(&mut server, &much_data(1, 60_000), usize::MAX).unwrap();
        match way {
            0 => server.release(ONE, 60_000),
            1 => server.reset(ONE, ErrorCode::CANCEL),
            2 => _ = feed(&mut server, &rst_stream(1, ErrorCode::CANCEL), usize::MAX).unwrap(),
            _ => {
                feed(&mut server, &data(1, b"", true), usize::MAX).unwrap();
                server.send_headers(ONE, list(&OK), true).unwrap();
            }
        }
        let out = frames(&take(&mut server));
        let update = out.iter().find(|(head, _)| head.kind == Kind::WINDOW_UPDATE && head.stream == 0);
        assert_eq!(
            update.map(|(_, payload)| payload.clone()),
            Some(60_000_u32.to_be_bytes().to_vec()),
            "{way}"
        );
    }
}

#[test]
fn a_reset_in_the_middle_of_a_frame_drops_its_rest() {
    let mut server = windows(1 << 20, 65_535);
    let wire = data(1, &[7; 10_000], true);
    assert_eq!(feed(&mut server, &wire[..5_000], usize::MAX).unwrap().len(), 1);
    server.reset(ONE, ErrorCode::CANCEL);
    take(&mut server);
    assert_eq!(feed(&mut server, &wire[5_000..], 100).unwrap(), []);
    let again = [headers(3, &POST, false), data(3, b"next", true)].concat();
    assert_eq!(feed(&mut server, &again, usize::MAX).unwrap().len(), 2);
}

#[test]
fn a_reset_before_the_pad_length_came_gives_the_whole_frame_back() {
    let mut server = windows(1 << 20, 65_535);
    let padded = frame(Kind::DATA, flags::PADDED, 1, &[&[5][..], &[7; 15_000]].concat());
    for stream in [1, 3, 5] {
        let slot = (stream / 2) as u16 % 2;
        let mut wire = padded.clone();
        wire[8] = stream;
        if stream > 1 {
            feed(&mut server, &headers(stream.into(), &POST, false), usize::MAX).unwrap();
        }
        feed(&mut server, &wire[..9], usize::MAX).unwrap();
        for slot in [slot, 0, 1] {
            server.reset(StreamKey { id: stream.into(), slot }, ErrorCode::CANCEL);
        }
        let early = frames(&take(&mut server));
        assert_eq!(early[0].0.kind, Kind::RST_STREAM);
        assert_eq!(feed(&mut server, &wire[9..], 1_000).unwrap(), []);
        let updates = frames(&take(&mut server)).len();
        assert_eq!(updates, usize::from(stream == 5), "45 003 octets are more than half of the window");
    }
}

#[test]
fn window_updates_of_nothing_and_of_too_much() {
    assert_eq!(connection_error(server_ready(), &window_update(0, 0)), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(resets(&mut windows(9, 65_535), &window_update(1, 0)), [(1, ErrorCode::PROTOCOL_ERROR)]);
    assert_eq!(connection_error(server_ready(), &window_update(0, (1 << 31) - 1)), FLOW);
    let mut server = windows(9, 65_535);
    let told = feed(&mut server, &window_update(1, (1 << 31) - 1), usize::MAX).unwrap();
    assert_eq!(told, [Told::Reset { stream: 1, code: FLOW, cause: ResetCause::Local }]);
    let mut server = windows(9, 65_535);
    assert_eq!(resets(&mut server, &window_update(1, (1 << 31) - 1 - 65_535)), []);
    assert_eq!(resets(&mut server, &window_update(1, 1)), [(1, FLOW)]);
}

#[test]
fn sends_no_more_than_both_windows_let() {
    let mut client = client_with(Memory::new(4, 4_096, 16_384, 100_000), &Config::client(), &[(4, 50_000)]);
    let (a, b) = (opened(&mut client, false), opened(&mut client, false));
    let body = [0; 60_000];
    assert_eq!(client.send_data(a, &body, false), Ok(50_000));
    assert_eq!(client.send_data(a, b"x", false), Err(StreamError::Blocked));
    assert_eq!(client.send_data(b, &body, false), Ok(15_535), "the connection's window");
    assert_eq!(client.send_data(b, b"x", false), Err(StreamError::Blocked));
    assert_eq!(polled(&mut client), []);
    take(&mut client);
    // The connection's window wakes who waits for it, the stream's who waits for that.
    feed(&mut client, &window_update(0, 10), usize::MAX).unwrap();
    assert_eq!(polled(&mut client), [Told::Writable { stream: b.id }]);
    assert_eq!(client.send_data(b, &body, false), Ok(10));
    feed(&mut client, &window_update(a.id, 10), usize::MAX).unwrap();
    assert_eq!(polled(&mut client), [], "no window of the connection's");
    feed(&mut client, &window_update(0, 5), usize::MAX).unwrap();
    assert_eq!(
        polled(&mut client),
        [Told::Writable { stream: b.id }, Told::Writable { stream: a.id }],
        "in turn"
    );
    // What needs no window goes.
    assert_eq!(client.send_data(a, b"", true), Ok(0));
}

#[test]
fn section_6_9_2_a_changed_initial_window_moves_all_streams() {
    let mut client = client_with(Memory::default(), &Config::client(), &[(4, 10)]);
    let (a, b) = (opened(&mut client, false), opened(&mut client, false));
    assert_eq!(client.send_data(a, &[0; 100], false), Ok(10));
    assert_eq!(client.send_data(b, &[0; 5], false), Ok(5));
    take(&mut client);
    // To below 0: what was sent counts.
    feed(&mut client, &settings(&[(4, 3)]), usize::MAX).unwrap();
    assert_eq!(client.send_data(b, b"x", false), Err(StreamError::Blocked));
    feed(&mut client, &settings(&[(4, 12)]), usize::MAX).unwrap();
    assert_eq!(polled(&mut client), [Told::Writable { stream: 1 }, Told::Writable { stream: 3 }]);
    assert_eq!(client.send_data(a, &[0; 100], false), Ok(2));
    assert_eq!(client.send_data(b, &[0; 100], false), Ok(7));
    // The connection's window does not move.
    let wire = [window_update(1, (1 << 31) - 1), settings(&[(4, 13)])].concat();
    assert_eq!(connection_error(client, &wire), FLOW);
}

#[test]
fn section_6_9_2_a_smaller_window_of_ours_holds_once_it_is_acknowledged() {
    let config = Config { stream_window: 100, ..Config::server() };
    let mut server = Conn::new(Memory::default(), &config, NOW);
    let early = [MAGIC, &settings(&[]), &headers(1, &POST, false), &data(1, &[0; 1_000], false)].concat();
    feed(&mut server, &early, usize::MAX).unwrap();
    assert!(!frames(&take(&mut server)).iter().any(|(head, _)| head.kind == Kind::RST_STREAM));
    let wire = [settings_ack(), headers(3, &POST, false), data(3, &[0; 101], false)].concat();
    assert_eq!(resets(&mut server, &wire), [(3, FLOW)]);
    // Stream 1 has used more than its window: nothing until that is released.
    assert_eq!(resets(&mut server, &data(1, b"x", false)), [(1, FLOW)]);
}

proptest! {
    /// Whatever is sent and released, the peer's view of the windows never exceeds what we set, and all that is
    /// released comes back in the end.
    #[test]
    fn windows_balance(
        stream_window in 1_u32..100_000,
        steps in prop::collection::vec((0_u8..4, 0_usize..20_000), 1..60),
    ) {
        let connection_window = 65_535_i64;
        let mut server = windows(stream_window, 65_535);
        let (mut stream_left, mut connection_left) = (i64::from(stream_window), connection_window);
        let mut held = 0_usize;
        let settle = |server: &mut Conn, stream_left: &mut i64, connection_left: &mut i64| {
            for (head, payload) in frames(&take(server)) {
                assert_eq!(head.kind, Kind::WINDOW_UPDATE);
                let n = i64::from(u32::from_be_bytes(payload.try_into().unwrap()));
                *if head.stream == 0 { &mut *connection_left } else { &mut *stream_left } += n;
            }
        };
        for (what, n) in steps {
            match what {
                0 | 1 => {
                    let n = n.min(16_384).min(stream_left as usize).min(connection_left as usize);
                    let wire = data(1, &vec![0; n], false);
                    let mut input = &wire[..];
                    let mut got = 0;
                    while !input.is_empty() {
                        if let Some(Event::Data { bytes, .. }) = server.recv(NOW, &mut input).unwrap() {
                            got += bytes.len();
                        }
                    }
                    prop_assert_eq!(got, n);
                    held += n;
                    stream_left -= n as i64;
                    connection_left -= n as i64;
                }
                2 => {
                    let n = n.min(held);
                    server.release(ONE, n);
                    held -= n;
                }
                _ => settle(&mut server, &mut stream_left, &mut connection_left),
            }
            prop_assert!(stream_left + held as i64 <= i64::from(stream_window));
            prop_assert!(connection_left + held as i64 <= connection_window);
        }
        server.release(ONE, held);
        settle(&mut server, &mut stream_left, &mut connection_left);
        prop_assert!(stream_left > i64::from(stream_window) / 2 - 1 && stream_left <= i64::from(stream_window));
        prop_assert!(connection_left > connection_window / 2 - 1 && connection_left <= connection_window);
    }
}
