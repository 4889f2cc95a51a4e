//! The server, and clients that are not what they should be (gRPC/HTTP2 "Requests").

use crate::heap::Heap;
use crate::raw::{Raw, Seen, calls, list};
use grpclb_core::call::{CallId, Connection, Event, SendError};
use grpclb_core::error::ErrorCode;
use grpclb_core::grpc::Code;
use grpclb_core::time::{Duration, Instant};

pub const GOOD: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.B/C"),
    (":authority", "host"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
];

/// The good request with some fields changed; `None` takes one out.
fn request<'f>(changes: &[(&'f str, Option<&'f str>)]) -> Vec<(&'f str, &'f str)> {
    let mut fields = GOOD.to_vec();
    for (name, value) in changes {
        fields.retain(|(field, _)| field != name);
        if let Some(value) = value {
            let at = if name.starts_with(':') { 0 } else { fields.len() };
            fields.insert(at, (name, value));
        }
    }
    fields
}

/// What the application was told.
#[derive(Debug, Default)]
struct Told {
    call: Option<(CallId, Option<Duration>, bool)>,
    metadata: Vec<(String, Vec<u8>)>,
    messages: Vec<(Vec<u8>, bool)>,
    end: bool,
    status: Option<(Code, String)>,
    writable: bool,
}

struct Exchange {
    client: Raw,
    server: Connection<Heap>,
    told: Told,
}

impl Exchange {
    fn new() -> Exchange {
        Exchange { client: Raw::new(false), server: calls(true), told: Told::default() }
    }

    fn run(&mut self) {
        for _ in 0..4 {
            let bytes = self.client.transmit();
            let mut input = &bytes[..];
            while let Some(event) = self.server.recv(Instant::default(), &mut input).unwrap() {
                tell(&mut self.told, event);
            }
            while let Some(event) = self.server.poll_event() {
                tell(&mut self.told, event);
            }
            let bytes = self.server.transmit(Instant::default()).to_vec();
            self.server.transmitted(bytes.len());
            self.client.receive(&bytes);
        }
    }

    fn send(&mut self, fields: &[(&str, &str)], data: &[u8], end: bool) {
        let stream = self.client.connection.open(Instant::default(), list(fields), false).unwrap();
        self.client.seen = Seen { stream: Some(stream), ..Seen::default() };
        self.told = Told::default();
        if !data.is_empty() || end {
            self.client.data(data, end);
        }
        self.run();
    }
}

fn tell(told: &mut Told, event: Event<'_, '_>) {
    match event {
        Event::Call { call, timeout, metadata, end, path, authority } => {
            assert_eq!((path, authority), (&b"/a.B/C"[..], &b"host"[..]));
            told.call = Some((call, timeout, end));
            told.metadata = crate::side::owned(metadata);
        }
        Event::Message { piece, end, .. } => told.messages.push((piece.whole().unwrap().to_vec(), end)),
        Event::End { .. } => assert!(!std::mem::replace(&mut told.end, true)),
        Event::Writable { .. } => told.writable = true,
        Event::Status { status, .. } => {
            let message = String::from_utf8(status.message.to_vec()).unwrap();
            assert!(told.status.replace((status.code, message)).is_none());
        }
        _ => {}
    }
}

/// What a client is answered whose request never reaches the application: `:status`, `grpc-status`, RST_STREAM.
fn refusal(fields: &[(&str, &str)]) -> (String, String, Option<ErrorCode>) {
    let mut exchange = Exchange::new();
    exchange.send(fields, b"", false);
    let (seen, told) = (&exchange.client.seen, &exchange.told);
    assert!(told.call.is_none() && told.status.is_none(), "{told:?}");
    assert_eq!(exchange.server.calls(), 0);
    assert!(seen.end && seen.header("grpc-message").is_some_and(|message| !message.is_empty()));
    let header = |name| seen.header(name).unwrap().to_owned();
    (header(":status"), header("grpc-status"), seen.reset)
}

fn refused(http: &str, code: Code) -> (String, String, Option<ErrorCode>) {
    // The client has not ended: it is told to stop (RFC 9113 §8.1).
    (http.to_owned(), code.0.to_string(), Some(ErrorCode::NO_ERROR))
}

#[test]
fn requests_that_are_refused() {
    for content_type in [None, Some("application/json"), Some("application/grpcx"), Some("")] {
        let fields = request(&[("content-type", content_type)]);
        assert_eq!(refusal(&fields), refused("415", Code::INTERNAL), "{content_type:?}");
    }
    assert_eq!(refusal(&request(&[(":method", Some("GET"))])), refused("405", Code::INTERNAL));
    assert_eq!(refusal(&request(&[("te", None)])), refused("200", Code::INTERNAL));
    for timeout in ["", "1", "S", "123456789S", "1x", "-1S"] {
        let fields = request(&[("grpc-timeout", Some(timeout))]);
        assert_eq!(refusal(&fields), refused("200", Code::INTERNAL), "{timeout}");
    }
    assert_eq!(refusal(&request(&[("a-bin", Some("*"))])), refused("200", Code::INTERNAL));
    let gzip = request(&[("grpc-encoding", Some("gzip"))]);
    assert_eq!(refusal(&gzip), refused("200", Code::UNIMPLEMENTED));
    let mut exchange = Exchange::new();
    exchange.send(&gzip, b"", true);
    assert_eq!(exchange.client.seen.header("grpc-accept-encoding"), Some("identity"));
    assert_eq!(exchange.client.seen.reset, None);
}

#[test]
fn a_header_list_that_is_too_large() {
    let large = "x".repeat(9_000);
    let fields = request(&[("large", Some(&large))]);
    // The raw client's own SETTINGS would not let it say so: it has not read the server's yet.
    assert_eq!(refusal(&fields), refused("200", Code::RESOURCE_EXHAUSTED));
}

#[test]
fn requests_that_are_taken() {
    for content_type in
        ["application/grpc", "application/grpc+proto", "application/grpc;x=y", "Application/gRPC"]
    {
        let mut exchange = Exchange::new();
        exchange.send(&request(&[("content-type", Some(content_type))]), b"", false);
        assert!(exchange.told.call.is_some(), "{content_type}");
    }
    let mut exchange = Exchange::new();
    exchange.send(&request(&[("grpc-timeout", Some("5S")), ("grpc-encoding", Some("identity"))]), b"", true);
    let (_, timeout, end) = exchange.told.call.unwrap();
    assert_eq!((timeout, end, exchange.told.end), (Some(Duration::from_secs(5)), false, true));
    assert_eq!(exchange.server.poll_timeout(), Some(Instant::from_nanos(5_000_000_000)));
}

#[test]
fn joined_binary_values_are_split_even_without_room_between() {
    // No field of the protocol's own stands behind the pseudo-header fields to make room.
    let mut exchange = Exchange::new();
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a.B/C"),
        (":authority", "host"),
        ("long-name-of-metadata-bin", "QQ,QQ==, QUI ,,Zm9v"),
        ("plain", "a,b"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    exchange.send(&fields, b"", false);
    let name = "long-name-of-metadata-bin";
    let expected = [(name, "A"), (name, "A"), (name, "AB"), (name, ""), (name, "foo"), ("plain", "a,b")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    assert_eq!(exchange.told.metadata, expected);
}

#[test]
fn host_stands_for_an_authority_that_is_missing() {
    let mut fields = request(&[(":authority", None), ("first", Some("1"))]);
    fields.extend([("host", "host"), ("last-bin", "QQ,QQ")]);
    let mut exchange = Exchange::new();
    exchange.send(&fields, b"", false);
    let expected = [("first", "1"), ("last-bin", "A"), ("last-bin", "A")];
    assert_eq!(exchange.told.metadata, expected.map(|(name, value)| (name.to_owned(), value.into())));
    // Next to `:authority` it counts for nothing.
    let mut fields = GOOD.to_vec();
    fields.push(("host", "other"));
    let mut exchange = Exchange::new();
    exchange.send(&fields, b"", false);
    assert!(exchange.told.call.is_some() && exchange.told.metadata.is_empty());
}

#[test]
fn messages_and_the_end() {
    let mut exchange = Exchange::new();
    exchange.send(GOOD, b"\0\0\0\0\x01a\0\0\0\0\0\0\0\0\0\x02bc", true);
    // The end comes with the last message, and only once.
    let expected = [(b"a".to_vec(), false), (b"".to_vec(), false), (b"bc".to_vec(), true)];
    assert_eq!(exchange.told.messages, expected);
    assert!(!exchange.told.end);
    let (call, ..) = exchange.told.call.unwrap();
    exchange.server.reply(call, b"done").unwrap();
    exchange.run();
    let seen = &exchange.client.seen;
    assert_eq!(
        (&seen.data[..], seen.header("grpc-status"), seen.reset),
        (&b"\0\0\0\0\x04done"[..], Some("0"), None)
    );
    assert_eq!(exchange.server.reply(call, b"again"), Err(SendError::Closed));
    assert_eq!(exchange.server.send_status(call, Code::OK, b"", &[]), Err(SendError::Closed));
}

#[test]
fn requests_that_break_off() {
    for (data, end, code) in [
        (&b"\0\0\0\0\x02a"[..], true, Code::INTERNAL),
        (b"\0\0", true, Code::INTERNAL),
        (b"\x01\0\0\0\x01a", false, Code::INTERNAL),
        (b"\x07\0\0\0\x01a", false, Code::INTERNAL),
        (b"\0\xff\xff\xff\xffa", false, Code::RESOURCE_EXHAUSTED),
    ] {
        let mut exchange = Exchange::new();
        exchange.send(GOOD, data, end);
        assert_eq!(exchange.told.status.as_ref().unwrap().0, code, "{data:?}");
        let seen = &exchange.client.seen;
        assert_eq!(seen.header("grpc-status"), Some(&code.0.to_string()[..]));
        assert_eq!(seen.reset, if end { None } else { Some(ErrorCode::NO_ERROR) });
        assert_eq!(exchange.server.calls(), 0);
    }
}

#[test]
fn a_client_that_resets_has_cancelled() {
    for code in [ErrorCode::CANCEL, ErrorCode::NO_ERROR, ErrorCode::INTERNAL_ERROR] {
        let mut exchange = Exchange::new();
        exchange.send(GOOD, b"\0\0\0\0\x01a", false);
        exchange.client.connection.reset(exchange.client.seen.stream.unwrap(), code);
        exchange.run();
        assert_eq!(exchange.told.status.as_ref().unwrap().0, Code::CANCELLED);
        let (call, ..) = exchange.told.call.unwrap();
        assert_eq!(
            exchange.server.send_message(call, b"x", grpclb_core::call::End::More),
            Err(SendError::Closed)
        );
    }
}

#[test]
fn heads_statuses_and_their_order() {
    let mut exchange = Exchange::new();
    exchange.send(GOOD, b"", true);
    let (call, ..) = exchange.told.call.unwrap();
    let server = &mut exchange.server;
    assert_eq!(server.send_metadata(call, &[(b"Bad", b"")]), Err(SendError::BadMetadata(0)));
    server.send_metadata(call, &[(b"first", b"1"), (b"raw-bin", &[255])]).unwrap();
    assert_eq!(server.send_metadata(call, &[]), Err(SendError::HeadSent));
    let unfinished = vec![7; 5_000_000];
    let taken = server.send_message(call, &unfinished, grpclb_core::call::End::More).unwrap();
    assert!(taken > 0 && taken < unfinished.len());
    assert_eq!(
        server.send_message(call, b"other", grpclb_core::call::End::More),
        Err(SendError::WrongLength)
    );
    assert_eq!(server.send_status(call, Code::OK, b"", &[]), Err(SendError::WrongLength));
    assert_eq!(server.reply(call, b""), Err(SendError::WrongLength));
    exchange.run();
    exchange.server.send_status(call, Code::ABORTED, b"half\nway", &[(b"last", b"2")]).unwrap();
    exchange.run();
    let seen = &exchange.client.seen;
    for (name, value) in [
        ("first", "1"),
        ("raw-bin", "/w"),
        ("grpc-status", "10"),
        ("grpc-message", "half%0Away"),
        ("last", "2"),
    ] {
        assert_eq!(seen.header(name), Some(value));
    }
    assert_eq!(seen.headers.len(), 2);
}

#[test]
fn replies_are_all_or_nothing() {
    let mut exchange = Exchange::new();
    exchange.send(GOOD, b"", true);
    let (call, ..) = exchange.told.call.unwrap();
    // More than the outbox holds: nothing of it is sent.
    assert_eq!(exchange.server.reply(call, &[0; 40_000]), Err(SendError::TooLarge));
    exchange.run();
    assert!(exchange.client.seen.headers.is_empty());
    // While another reply waits there, it is for later.
    exchange.send(GOOD, b"", true);
    let (second, ..) = exchange.told.call.unwrap();
    exchange.server.reply(call, &[1; 20_000]).unwrap();
    assert_eq!(exchange.server.reply(second, &[2; 20_000]), Err(SendError::Blocked));
    exchange.run();
    assert!(exchange.told.writable);
    exchange.server.reply(second, &[2; 20_000]).unwrap();
    exchange.run();
    assert_eq!((exchange.server.calls(), exchange.client.seen.data.len()), (0, 40_010));
}

/// A server whose outbox is so full that the answer to a bad request has to wait.
fn owing() -> Exchange {
    let mut exchange = Exchange::new();
    exchange.send(GOOD, b"", true);
    let (call, ..) = exchange.told.call.unwrap();
    let fits = (0..33_000).rev().find(|len| exchange.server.reply(call, &vec![1; *len]).is_ok());
    assert!(fits > Some(32_000));
    let bad = request(&[("content-type", None)]);
    let stream = exchange.client.connection.open(Instant::default(), list(&bad), false).unwrap();
    exchange.client.seen = Seen { stream: Some(stream), ..Seen::default() };
    exchange.told = Told::default();
    let bytes = exchange.client.transmit();
    assert!(exchange.server.recv(Instant::default(), &mut &bytes[..]).unwrap().is_none());
    assert!(exchange.server.poll_event().is_none());
    assert_eq!(exchange.server.calls(), 1);
    exchange
}

#[test]
fn an_answer_that_has_to_wait_is_sent_in_the_end() {
    let mut exchange = owing();
    exchange.run();
    // The reply that filled the outbox came first.
    let statuses = exchange.client.seen.headers.iter().flatten().filter(|(name, _)| name == "grpc-status");
    assert_eq!(statuses.map(|(_, value)| &value[..]).collect::<Vec<_>>(), ["0", "13"]);
    assert_eq!(exchange.server.calls(), 0);
    assert!(exchange.told.call.is_none() && !exchange.told.writable);
}

#[test]
fn an_answer_that_waits_ends_with_its_stream_or_connection() {
    let mut exchange = owing();
    exchange.server.carrier_lost(Instant::default());
    assert_eq!(exchange.server.calls(), 0);
    assert!(exchange.server.poll_event().is_none());

    let mut exchange = owing();
    exchange.client.connection.reset(exchange.client.seen.stream.unwrap(), ErrorCode::CANCEL);
    let bytes = exchange.client.transmit();
    assert!(exchange.server.recv(Instant::default(), &mut &bytes[..]).unwrap().is_none());
    assert_eq!(exchange.server.calls(), 0);
}
