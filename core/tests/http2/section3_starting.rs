//! RFC 9113 §3.4: the preface, and what else arrives at an HTTP/2 port.

use super::support::*;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Kind, flags};
use grpclb_core::http2::Config;

#[test]
fn a_client_sends_the_magic_settings_and_the_connection_window_at_once() {
    let config = Config { stream_window: 100_000, connection_window: 200_000, ..Config::client() };
    let mut client = Conn::new(Memory::default(), &config, NOW);
    let wire = take(&mut client);
    assert!(wire.starts_with(MAGIC));
    let entries = settings(&[(1, 4_096), (2, 0), (4, 100_000), (6, 8_192)]);
    assert_eq!(&wire[MAGIC.len()..], [entries, window_update(0, 200_000 - 65_535)].concat());
}

#[test]
fn a_server_sends_settings_without_waiting() {
    let config = Config { max_concurrent_streams: 5, ..Config::server() };
    let mut server = Conn::new(Memory::default(), &config, NOW);
    let wire = take(&mut server);
    let entries = settings(&[(1, 4_096), (3, 5), (4, 1 << 20), (6, 8_192)]);
    assert_eq!(wire, [entries, window_update(0, (4 << 20) - 65_535)].concat());
}

#[test]
fn concurrent_streams_are_announced_as_many_as_the_table_holds() {
    let mut server = Conn::new(Memory::new(3, 4_096, 16_384, 8_192), &Config::server(), NOW);
    let wire = take(&mut server);
    assert_eq!(frames(&wire)[0].1[6..12], [0, 3, 0, 0, 0, 3]);
}

#[test]
fn the_preface_is_taken_at_any_split() {
    for step in 1..40 {
        let mut server = server();
        let wire = [MAGIC, &settings(&[(4, 7)])].concat();
        assert_eq!(feed(&mut server, &wire, step).unwrap(), [Told::Ready], "{step}");
        assert!(
            frames(&take(&mut server))
                .iter()
                .any(|(head, _)| head.kind == Kind::SETTINGS && head.has(flags::ACK))
        );
    }
}

fn reason_at_server(wire: &[u8]) -> &'static str {
    let mut reasons: Vec<_> = [1, 2, 5, usize::MAX]
        .map(|step| {
            let error = feed(&mut server(), wire, step).expect_err("no error");
            assert_eq!(error.code, ErrorCode::PROTOCOL_ERROR);
            error.reason
        })
        .to_vec();
    reasons.dedup();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    reasons[0]
}

#[test]
fn a_server_says_what_it_was_sent_instead() {
    let tls = "the peer speaks TLS, not plaintext HTTP/2";
    let http1 = "the peer speaks HTTP/1.1, not HTTP/2";
    assert_eq!(reason_at_server(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), tls);
    for request in
        ["GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "PRIME / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n"]
    {
        assert_eq!(reason_at_server(request.as_bytes()), http1, "{request}");
    }
    let garbage = "the peer does not speak HTTP/2: no connection preface";
    assert_eq!(reason_at_server(b"\0\0\0\0"), garbage);
    assert_eq!(reason_at_server(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\0"), garbage);
}

fn reason_at_client(wire: &[u8]) -> &'static str {
    let mut reasons: Vec<_> = [1, 3, usize::MAX]
        .map(|step| {
            let error = feed(&mut client(), wire, step).expect_err("no error");
            assert_eq!(error.code, ErrorCode::PROTOCOL_ERROR);
            error.reason
        })
        .to_vec();
    reasons.dedup();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    reasons[0]
}

#[test]
fn a_client_says_what_it_was_sent_instead() {
    let alert = [0x15, 3, 3, 0, 2, 2, 70, 0, 0];
    assert_eq!(reason_at_client(&alert), "the peer speaks TLS, not plaintext HTTP/2");
    let response = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    assert_eq!(reason_at_client(response), "the peer speaks HTTP/1.1, not HTTP/2");
    let other = "the peer does not speak HTTP/2: its first frame is not SETTINGS";
    assert_eq!(reason_at_client(b"SSH-2.0-x\r\n"), other);
    assert_eq!(reason_at_client(&frame(Kind::PING, 0, 0, &[0; 8])), other);
    assert_eq!(reason_at_client(&settings_ack()), other);
}

#[test]
fn a_goaway_tells_the_peer_too() {
    let code = connection_error(server(), b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(code, ErrorCode::PROTOCOL_ERROR);
}
