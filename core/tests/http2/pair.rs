//! A client and a server of ours, joined by a link that splits wherever it likes.

use super::support::*;

use grpclb_core::http2::{Config, HeadersKind, StreamError};
use proptest::prelude::*;

/// Carries bytes both ways, `step` octets at a time, until both are quiet.
fn settle(client: &mut Conn, server: &mut Conn, step: usize) -> (Vec<Told>, Vec<Told>) {
    let (mut at_client, mut at_server) = (Vec::new(), Vec::new());
    loop {
        let up = take(client);
        let down = take(server);
        if up.is_empty() && down.is_empty() {
            return (at_client, at_server);
        }
        at_server.extend(feed(server, &up, step).unwrap());
        at_client.extend(feed(client, &down, step).unwrap());
        at_server.extend(polled(server));
        at_client.extend(polled(client));
    }
}

fn headers_told(stream: u32, kind: HeadersKind, fields: &[(&str, &str)], end: bool) -> Told {
    let fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Told::Headers { stream, kind, fields, end, too_large: false }
}

#[test]
fn request_and_response_at_every_split() {
    for step in [1, 2, 3, 5, 8, 9, 10, 17, 64, 1_000_000] {
        let (mut client, mut server) = (client(), server());
        let stream = client.open(NOW, list(&POST), false).unwrap();
        assert_eq!(client.send_data(stream, b"hello", true), Ok(5));
        let (at_client, at_server) = settle(&mut client, &mut server, step);
        assert_eq!(at_client, [Told::Ready]);
        assert_eq!(
            at_server,
            [
                Told::Ready,
                headers_told(1, HeadersKind::Request, &POST, false),
                Told::Data { stream: 1, bytes: b"hello".to_vec(), end: true }
            ]
        );
        let fields = [(":status", "200"), ("content-type", "text/plain")];
        server.send_headers(stream, list(&fields), false).unwrap();
        assert_eq!(server.send_data(stream, b"hi", false), Ok(2));
        server.send_headers(stream, list(&[("trailer", "x")]), true).unwrap();
        assert_eq!(server.send_data(stream, b"more", true), Err(StreamError::Closed));
        let (at_client, at_server) = settle(&mut client, &mut server, step);
        assert_eq!(at_server, []);
        assert_eq!(
            at_client,
            [
                headers_told(1, HeadersKind::Response, &fields, false),
                Told::Data { stream: 1, bytes: b"hi".to_vec(), end: false },
                headers_told(1, HeadersKind::Trailers, &[("trailer", "x")], true)
            ]
        );
        assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
    }
}

/// Sends `len` octets on each of `streams` streams through small windows and outboxes; the receiver releases all.
fn transfer(streams: usize, len: usize, window: u32, outbox: usize, step: usize) {
    let config = Config { stream_window: window, connection_window: 65_535, ..Config::server() };
    let mut client = Conn::new(Memory::new(8, 4_096, 4_096, outbox), &Config::client(), NOW);
    let mut server = Conn::new(Memory::new(8, 4_096, 4_096, outbox), &config, NOW);
    settle(&mut client, &mut server, step);
    let body: Vec<u8> = (0..len).map(|i| i as u8).collect();
    let mut sending: Vec<_> =
        (0..streams).map(|_| (client.open(NOW, list(&POST), false).unwrap(), 0_usize)).collect();
    let mut received = vec![Vec::new(); streams];
    let mut ended = 0;
    for (stream, at) in &mut sending {
        if let Ok(n) = client.send_data(*stream, &body, true) {
            *at = n;
        }
    }
    for _round in 0..1_000_000 {
        if ended == streams {
            break;
        }
        let up = take_some(&mut client, step);
        let mut rest = &up[..];
        while !rest.is_empty() {
            let mut gained = None;
            if let Some(grpclb_core::http2::Event::Data { stream, bytes, end }) =
                server.recv(NOW, &mut rest).unwrap()
            {
                received[stream.id as usize / 2].extend_from_slice(bytes);
                ended += usize::from(end);
                gained = Some((stream, bytes.len()));
            }
            if let Some((stream, n)) = gained {
                server.release(stream, n);
            }
        }
        let down = take(&mut server);
        feed(&mut client, &down, step).unwrap();
        for event in polled(&mut client) {
            let Told::Writable { stream } = event else { panic!("{event:?}") };
            let (stream, at) = &mut sending[stream as usize / 2];
            match client.send_data(*stream, &body[*at..], true) {
                Ok(n) => *at += n,
                Err(error) => assert_eq!(error, StreamError::Blocked),
            }
        }
    }
    assert_eq!(ended, streams, "the transfer stalls");
    for got in received {
        assert!(got == body);
    }
}

/// As a socket that takes up to `n` octets.
fn take_some(conn: &mut Conn, n: usize) -> Vec<u8> {
    let bytes = conn.transmit(NOW);
    let bytes = bytes[..bytes.len().min(n)].to_vec();
    conn.transmitted(bytes.len());
    bytes
}

#[test]
fn large_bodies_through_small_windows() {
    transfer(1, 300_000, 65_535, 20_000, 1_000_000);
    transfer(4, 100_000, 1_000, 1_024, 777);
    transfer(3, 5_000, 7, 300, 13);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_transfer_ends(streams in 1_usize..8, len in 0_usize..20_000, window in 1_u32..70_000, outbox in 300_usize..40_000, step in 1_usize..5_000) {
        let len = len.min(window as usize * 100 + 70_000).min(step * 300 + 1);
        transfer(streams, len, window, outbox, step);
    }
}
