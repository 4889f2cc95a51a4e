//! RFC 9113 §6.8: going away, both ways.

use super::support::*;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Kind, flags};
use grpclb_core::http2::{OpenError, ResetCause, StreamKey};

fn goaway(last: u32, code: ErrorCode, debug: &[u8]) -> Vec<u8> {
    frame(Kind::GOAWAY, 0, 0, &[&last.to_be_bytes(), &code.0.to_be_bytes(), debug].concat())
}

const NO_ERROR: ErrorCode = ErrorCode::NO_ERROR;
const MAX: u32 = (1 << 31) - 1;

#[test]
fn a_client_ends_the_streams_above_the_last_and_keeps_the_others() {
    for step in [1, 9, usize::MAX] {
        let mut client = client_ready();
        for _ in 0..4 {
            opened(&mut client, true);
        }
        let told = feed(&mut client, &goaway(3, NO_ERROR, b"bye"), step).unwrap();
        assert_eq!(told, [Told::GoAway { last: 3, code: NO_ERROR, debug: "bye".to_owned() }]);
        let reset = |stream| Told::Reset { stream, code: NO_ERROR, cause: ResetCause::GoAway };
        assert_eq!(polled(&mut client), [reset(5), reset(7)]);
        assert_eq!(client.open(NOW, list(&GET), true), Err(OpenError::GoingAway));
        assert_eq!(client.room(), 0);
        assert!(!client.is_closed());
        feed(&mut client, &[headers(1, &OK, true), headers(3, &OK, true)].concat(), usize::MAX).unwrap();
        assert!(client.is_closed());
    }
}

#[test]
fn the_last_stream_may_come_down_and_never_up() {
    let mut client = client_ready();
    opened(&mut client, true);
    opened(&mut client, true);
    feed(&mut client, &goaway(MAX, NO_ERROR, b""), usize::MAX).unwrap();
    assert_eq!(polled(&mut client), []);
    feed(&mut client, &goaway(1, NO_ERROR, b""), usize::MAX).unwrap();
    assert_eq!(polled(&mut client).len(), 1);
    assert_eq!(connection_error(client, &goaway(3, NO_ERROR, b"")), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(connection_error(client_ready(), &goaway(2, NO_ERROR, b"")), ErrorCode::PROTOCOL_ERROR);
}

#[test]
fn frames_that_are_wrong() {
    let on_stream = frame(Kind::GOAWAY, 0, 1, &[0; 8]);
    assert_eq!(connection_error(client_ready(), &on_stream), ErrorCode::PROTOCOL_ERROR);
    let short = frame(Kind::GOAWAY, 0, 0, &[0; 7]);
    assert_eq!(connection_error(client_ready(), &short), ErrorCode::FRAME_SIZE_ERROR);
}

#[test]
fn long_debug_data_is_cut() {
    for step in [7, usize::MAX] {
        let mut client = client_ready();
        let wire = [goaway(1, NO_ERROR, &[b'x'; 1_000]), frame(Kind::PING, 0, 0, &[0; 8])].concat();
        let told = feed(&mut client, &wire, step).unwrap();
        assert_eq!(told, [Told::GoAway { last: 1, code: NO_ERROR, debug: "x".repeat(256) }]);
        assert_eq!(frames(&take(&mut client)).len(), 1, "the PING is answered");
    }
}

#[test]
fn a_server_goes_in_two_steps() {
    let mut server = server_ready();
    feed(&mut server, &headers(1, &GET, true), usize::MAX).unwrap();
    server.shutdown(NOW);
    let out = frames(&take(&mut server));
    assert_eq!(out[0].1[..8], [MAX.to_be_bytes(), NO_ERROR.0.to_be_bytes()].concat());
    assert_eq!((out.len(), out[1].0.kind), (2, Kind::PING));
    // What was on its way is served.
    let told = feed(&mut server, &headers(3, &GET, true), usize::MAX).unwrap();
    assert_eq!(told.len(), 1);
    feed(&mut server, &frame(Kind::PING, flags::ACK, 0, &out[1].1), usize::MAX).unwrap();
    assert_eq!(take(&mut server), goaway(3, NO_ERROR, b""));
    // What comes now is passed over; the tables follow, the windows, too.
    let late = [headers(5, &POST, false), data(5, b"late", true), rst_stream(5, ErrorCode::CANCEL)].concat();
    assert_eq!(feed(&mut server, &late, usize::MAX).unwrap(), []);
    assert_eq!(take(&mut server), []);
    for slot in [0, 1] {
        assert!(!server.is_closed());
        let stream = StreamKey { id: 1 + 2 * u32::from(slot), slot };
        server.send_headers(stream, list(&OK), true).unwrap();
        take(&mut server);
    }
    assert!(server.is_closed());
}

#[test]
fn a_server_that_gets_no_answer_goes_all_the_same() {
    let mut server = server_ready();
    server.shutdown(NOW);
    take(&mut server);
    let due = server.poll_timeout().unwrap();
    server.handle_timeout(due).unwrap();
    assert_eq!(take(&mut server), goaway(0, NO_ERROR, b""));
    assert!(server.is_closed());
    assert_eq!(server.poll_timeout(), None);
}

#[test]
fn a_client_says_so_once_and_waits_for_its_streams() {
    let mut client = client_ready();
    let stream = opened(&mut client, true);
    client.shutdown(NOW);
    client.shutdown(NOW);
    assert_eq!(take(&mut client), goaway(0, NO_ERROR, b""));
    assert_eq!(client.open(NOW, list(&GET), true), Err(OpenError::GoingAway));
    assert!(!client.is_closed());
    feed(&mut client, &headers(stream.id, &OK, true), usize::MAX).unwrap();
    assert!(client.is_closed());
}

#[test]
fn close_is_at_once() {
    let mut client = client_ready();
    client.open(NOW, list(&GET), true).unwrap();
    client.close(ErrorCode::INTERNAL_ERROR, "no more");
    let out = frames(&take(&mut client));
    assert_eq!(out.last().unwrap().1, goaway(0, ErrorCode::INTERNAL_ERROR, b"no more")[9..]);
    assert!(client.is_closed());
    assert_eq!(feed(&mut client, b"x", 1).unwrap_err().reason, "no more");
    assert_eq!(client.open(NOW, list(&GET), true), Err(OpenError::Closed));
}
