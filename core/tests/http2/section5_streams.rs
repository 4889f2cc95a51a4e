//! RFC 9113 §5.1: stream states and identifiers.

use super::support::*;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Kind, flags};
use grpclb_core::http2::{Config, ResetCause, StreamError};

const CANCEL: ErrorCode = ErrorCode::CANCEL;

/// A server with stream 1 in a state.
fn server_open() -> Conn {
    let mut server = server_ready();
    feed(&mut server, &headers(1, &POST, false), usize::MAX).unwrap();
    server
}

fn server_half_closed_remote() -> Conn {
    let mut server = server_ready();
    feed(&mut server, &headers(1, &POST, true), usize::MAX).unwrap();
    server
}

fn server_ended() -> Conn {
    let mut server = server_half_closed_remote();
    let stream = grpclb_core::http2::StreamKey { id: 1, slot: 0 };
    server.send_headers(stream, list(&OK), true).unwrap();
    take(&mut server);
    assert_eq!(server.open_streams(), 0);
    server
}

fn server_peer_reset() -> Conn {
    let mut server = server_open();
    feed(&mut server, &rst_stream(1, CANCEL), usize::MAX).unwrap();
    server
}

fn server_own_reset() -> Conn {
    let mut server = server_open();
    server.reset(grpclb_core::http2::StreamKey { id: 1, slot: 0 }, CANCEL);
    assert_eq!(take(&mut server), rst_stream(1, CANCEL));
    assert_eq!(server.open_streams(), 0);
    server
}

#[test]
fn idle_streams_take_headers_and_priority_alone() {
    for wire in [data(1, b"x", false), rst_stream(1, CANCEL), window_update(1, 1)] {
        assert_eq!(connection_error(server_ready(), &wire), ErrorCode::PROTOCOL_ERROR, "{wire:?}");
        assert_eq!(connection_error(client_ready(), &wire), ErrorCode::PROTOCOL_ERROR, "{wire:?}");
    }
    // What would be a stream's error ends the connection: an idle stream cannot be reset.
    let itself = frame(Kind::PRIORITY, 0, 9, &[0, 0, 0, 9, 16]);
    assert_eq!(connection_error(server_ready(), &itself), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(connection_error(server_ready(), &window_update(9, 0)), ErrorCode::PROTOCOL_ERROR);
    let mut server = server_ready();
    assert_eq!(feed(&mut server, &frame(Kind::PRIORITY, 0, 9, &[0, 0, 0, 1, 16]), 1).unwrap(), []);
    assert_eq!(take(&mut server), []);
    // The ids below a new one are closed, not idle.
    feed(&mut server, &headers(5, &GET, false), usize::MAX).unwrap();
    assert_eq!(feed(&mut server, &[window_update(3, 1), rst_stream(3, CANCEL)].concat(), 1).unwrap(), []);
}

#[test]
fn half_closed_remote_takes_no_data_or_headers() {
    for wire in [data(1, b"x", false), headers(1, &[("a", "b")], true)] {
        let mut server = server_half_closed_remote();
        let told = feed(&mut server, &wire, usize::MAX).unwrap();
        let reset = Told::Reset { stream: 1, code: ErrorCode::STREAM_CLOSED, cause: ResetCause::Local };
        assert_eq!(told, [reset]);
        assert_eq!(take(&mut server), rst_stream(1, ErrorCode::STREAM_CLOSED));
    }
    let mut server = server_half_closed_remote();
    assert_eq!(feed(&mut server, &window_update(1, 5), 1).unwrap(), []);
    let told = feed(&mut server, &rst_stream(1, CANCEL), 1).unwrap();
    assert_eq!(told, [Told::Reset { stream: 1, code: CANCEL, cause: ResetCause::Peer }]);
}

#[test]
fn half_closed_local_still_receives() {
    let mut client = client_ready();
    let stream = opened(&mut client, true);
    assert_eq!(client.send_data(stream, b"x", false), Err(StreamError::Closed));
    assert_eq!(client.send_headers(stream, list(&[("a", "b")]), true), Err(StreamError::Closed));
    let wire = [headers(1, &OK, false), data(1, b"body", true)].concat();
    let told = feed(&mut client, &wire, usize::MAX).unwrap();
    assert_eq!(told[1], Told::Data { stream: 1, bytes: b"body".to_vec(), end: true });
    assert_eq!(client.open_streams(), 0);
}

#[test]
fn closed_by_end_stream_data_and_headers_end_the_connection() {
    for wire in [data(1, b"x", false), headers(1, &[("a", "b")], true)] {
        assert_eq!(connection_error(server_ended(), &wire), ErrorCode::STREAM_CLOSED);
    }
}

#[test]
fn closed_by_the_peers_reset_data_and_headers_are_stream_errors() {
    for wire in [data(1, b"x", false), headers(1, &[("a", "b")], true)] {
        let mut server = server_peer_reset();
        assert_eq!(resets(&mut server, &wire), [(1, ErrorCode::STREAM_CLOSED)]);
    }
}

#[test]
fn closed_by_our_reset_everything_is_let_through() {
    let late = [
        data(1, b"x", false),
        window_update(1, 1),
        headers(1, &[("a", "b")], true),
        rst_stream(1, CANCEL),
        frame(Kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
    ];
    for wire in late {
        let mut server = server_own_reset();
        assert_eq!(feed(&mut server, &wire, 1).unwrap(), [], "{wire:?}");
        assert_eq!(take(&mut server), [], "{wire:?}");
    }
}

#[test]
fn closed_streams_take_window_update_priority_and_reset_for_a_while() {
    for mut server in [server_ended(), server_peer_reset(), server_own_reset()] {
        let priority = frame(Kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
        let wire = [window_update(1, 1), priority, rst_stream(1, CANCEL)].concat();
        assert_eq!(feed(&mut server, &wire, 1).unwrap(), []);
        assert_eq!(take(&mut server), []);
    }
}

#[test]
fn errors_on_closed_streams_are_answered() {
    // Whether the answer was faster or not.
    let (size, protocol) = (ErrorCode::FRAME_SIZE_ERROR, ErrorCode::PROTOCOL_ERROR);
    for make in [server_half_closed_remote, server_ended, server_peer_reset] {
        assert_eq!(resets(&mut make(), &frame(Kind::PRIORITY, 0, 1, &[0; 4])), [(1, size)]);
        assert_eq!(resets(&mut make(), &frame(Kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 9])), [(1, protocol)]);
        assert_eq!(resets(&mut make(), &window_update(1, 0)), [(1, protocol)]);
    }
}

#[test]
fn a_reset_before_the_rst_stream_left_is_the_end_too() {
    let mut server = server_open();
    server.reset(grpclb_core::http2::StreamKey { id: 1, slot: 0 }, CANCEL);
    // Still in its slot: what comes now is ignored.
    assert_eq!(feed(&mut server, &data(1, b"x", true), usize::MAX).unwrap(), []);
    assert_eq!(feed(&mut server, &rst_stream(1, CANCEL), usize::MAX).unwrap(), []);
    assert_eq!(take(&mut server), []);
    assert_eq!(server.open_streams(), 0);
}

#[test]
fn section_5_1_1_identifiers_are_odd_and_grow() {
    assert_eq!(connection_error(server_ready(), &headers(2, &GET, true)), ErrorCode::PROTOCOL_ERROR);
    let wire = [headers(5, &GET, true), headers(3, &GET, true)].concat();
    assert_eq!(connection_error(server_ready(), &wire), ErrorCode::PROTOCOL_ERROR);
    // A server opens none.
    assert_eq!(connection_error(client_ready(), &headers(2, &OK, true)), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(connection_error(client_ready(), &headers(1, &OK, true)), ErrorCode::PROTOCOL_ERROR);
    let mut client = client_ready();
    let ids: Vec<u32> = (0..4).map(|_| opened(&mut client, true).id).collect();
    assert_eq!(ids, [1, 3, 5, 7]);
}

#[test]
fn section_5_1_2_streams_above_the_limit_are_refused() {
    let config = Config { max_concurrent_streams: 2, ..Config::server() };
    let mut server = server_with(Memory::default(), &config);
    let wire: Vec<u8> = [1, 3, 5, 7, 9].iter().flat_map(|id| headers(*id, &GET, true)).collect();
    let refused = ErrorCode::REFUSED_STREAM;
    assert_eq!(resets(&mut server, &wire), [(5, refused), (7, refused), (9, refused)]);
    assert_eq!(server.open_streams(), 2);
    server.send_headers(grpclb_core::http2::StreamKey { id: 1, slot: 0 }, list(&OK), true).unwrap();
    take(&mut server);
    let told = feed(&mut server, &headers(11, &GET, true), usize::MAX).unwrap();
    assert!(matches!(told[..], [Told::Headers { stream: 11, .. }]), "room again: {told:?}");
}

#[test]
fn section_5_1_2_refused_streams_need_not_be_neighbours() {
    let config = Config { max_concurrent_streams: 0, ..Config::server() };
    let mut server = server_with(Memory::default(), &config);
    let bad = [GET[0], GET[1]];
    let wire = [
        headers(1, &GET, true),
        headers(5, &GET, true),
        headers(7, &GET, true),
        headers(9, &bad, true),
        headers(11, &GET, true),
    ];
    let (refused, wrong) = (ErrorCode::REFUSED_STREAM, ErrorCode::PROTOCOL_ERROR);
    let expected = [(1, refused), (5, refused), (7, refused), (9, wrong), (11, refused)];
    assert_eq!(resets(&mut server, &wire.concat()), expected);
}

#[test]
fn section_5_1_2_a_client_keeps_to_the_servers_limit() {
    let mut client = client_with(Memory::default(), &Config::client(), &[(3, 2)]);
    let (first, _second) = (opened(&mut client, true), opened(&mut client, true));
    assert_eq!(client.room(), 0);
    assert_eq!(client.open(NOW, list(&GET), true), Err(grpclb_core::http2::OpenError::Blocked));
    assert_eq!(polled(&mut client), []);
    feed(&mut client, &headers(first.id, &OK, true), usize::MAX).unwrap();
    assert_eq!(polled(&mut client), [Told::Openable]);
    assert_eq!(polled(&mut client), [], "once");
    opened(&mut client, true);
    // A raised limit is room, too.
    assert_eq!(client.open(NOW, list(&GET), true), Err(grpclb_core::http2::OpenError::Blocked));
    feed(&mut client, &settings(&[(3, 3)]), usize::MAX).unwrap();
    assert_eq!(polled(&mut client), [Told::Openable]);
}

#[test]
fn section_5_4_2_no_reset_is_answered_by_a_reset() {
    let mut server = server_open();
    feed(&mut server, &rst_stream(1, ErrorCode(0xdead)), usize::MAX).unwrap();
    assert_eq!(take(&mut server), []);
    assert_eq!(flags::ACK, 1);
}

#[test]
fn slots_are_reused_and_old_keys_do_nothing() {
    let mut client = client_with(Memory::new(1, 4_096, 16_384, 8_192), &Config::client(), &[]);
    let old = opened(&mut client, false);
    assert_eq!(client.open(NOW, list(&POST), false), Err(grpclb_core::http2::OpenError::Blocked));
    feed(&mut client, &rst_stream(1, CANCEL), usize::MAX).unwrap();
    assert_eq!(polled(&mut client), [Told::Openable]);
    let new = opened(&mut client, false);
    assert_eq!((new.slot, new.id), (old.slot, 3));
    assert_eq!(client.send_data(old, b"x", true), Err(StreamError::Closed));
    client.release(old, 1_000_000);
    client.reset(old, CANCEL);
    assert_eq!(take(&mut client), []);
    assert_eq!(client.open_streams(), 1);
}
