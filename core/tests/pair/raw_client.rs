//! The client, and servers that are not what they should be (gRPC/HTTP2 "Responses", "Errors";
//! http-grpc-status-mapping.md).

use crate::heap::Heap;
use crate::raw::{Raw, calls};
use crate::side::{Metadata, owned};
use grpclb_core::call::{CallHead, CallId, Connection, End, Event, Fate};
use grpclb_core::error::ErrorCode;
use grpclb_core::grpc::Code;
use grpclb_core::time::{Duration, Instant};

/// What the application was told.
#[derive(Debug, Default)]
struct Told {
    metadata: Option<Metadata>,
    messages: Vec<Vec<u8>>,
    partial: Vec<u8>,
    status: Option<(Code, String, Metadata, Fate)>,
}

struct Client {
    connection: Connection<Heap>,
    call: CallId,
    told: Told,
    now: Instant,
}

impl Client {
    fn tell(told: &mut Told, event: Event<'_, '_>) {
        match event {
            Event::Metadata { metadata, .. } => {
                assert!(told.metadata.replace(owned(metadata)).is_none() && told.status.is_none());
            }
            Event::Message { piece, end, .. } => {
                assert!(told.metadata.is_some() && told.status.is_none() && !end);
                told.partial.extend(piece.bytes);
                if piece.is_last() {
                    told.messages.push(std::mem::take(&mut told.partial));
                }
            }
            Event::Status { status, .. } => {
                let message = String::from_utf8_lossy(status.message).into_owned();
                let ended = (status.code, message, owned(status.trailers), status.fate);
                assert!(told.status.replace(ended).is_none(), "a second status");
            }
            _ => {}
        }
    }

    fn receive(&mut self, mut input: &[u8]) {
        while let Some(event) = self.connection.recv(self.now, &mut input).unwrap() {
            Client::tell(&mut self.told, event);
        }
        while let Some(event) = self.connection.poll_event() {
            Client::tell(&mut self.told, event);
        }
    }

    fn transmit(&mut self) -> Vec<u8> {
        let bytes = self.connection.transmit(self.now).to_vec();
        self.connection.transmitted(bytes.len());
        bytes
    }
}

/// A call, what the server does with it, and both sides after it.
fn call(head: &CallHead<'_>, answer: impl FnOnce(&mut Raw)) -> (Client, Raw) {
    let (mut connection, mut server) = (calls(false), Raw::new(true));
    let call = connection.start_call(Instant::default(), head).unwrap();
    connection.send_message(call, b"ask", End::Last).unwrap();
    let mut client = Client { connection, call, told: Told::default(), now: Instant::default() };
    let exchange = |client: &mut Client, server: &mut Raw| {
        for _ in 0..4 {
            server.receive(&client.transmit());
            client.receive(&server.transmit());
        }
    };
    exchange(&mut client, &mut server);
    answer(&mut server);
    exchange(&mut client, &mut server);
    (client, server)
}

fn head() -> CallHead<'static> {
    CallHead { path: b"/a.B/C", authority: b"host", ..CallHead::default() }
}

/// The status of a call that the server answers so.
fn status(answer: impl FnOnce(&mut Raw)) -> (Code, String) {
    let (client, _) = call(&head(), answer);
    let (code, message, _, fate) = client.told.status.expect("a status");
    assert_eq!(fate, Fate::Seen);
    assert_eq!(client.connection.calls(), 0);
    (code, message)
}

const OK_HEAD: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/grpc+proto")];

#[test]
fn the_request_is_as_documented() {
    let timeout = Some(Duration::from_millis(50));
    let metadata: &[(&[u8], &[u8])] = &[(b"own", b"1")];
    let (_, server) = call(&CallHead { timeout, metadata, ..head() }, |_| {});
    let user_agent = concat!("grpc-libgrpclb/", env!("CARGO_PKG_VERSION"));
    let expected = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a.B/C"),
        (":authority", "host"),
        ("grpc-timeout", "50000000n"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", user_agent),
        ("own", "1"),
    ];
    let seen: Vec<_> = server.seen.headers[0].iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(seen, expected);
    assert_eq!(server.seen.data, b"\0\0\0\0\x03ask");
    assert!(server.seen.end);
}

#[test]
fn a_good_response() {
    let (client, server) = call(&head(), |server| {
        server.headers(OK_HEAD, false);
        server.data(b"\0\0\0\0\x02hi\0\0\0\0\0", false);
        server.headers(&[("grpc-status", "0"), ("own", "x"), ("own-bin", "q6s=,Zm8")], true);
    });
    assert_eq!(client.told.metadata, Some(vec![]));
    assert_eq!(client.told.messages, [&b"hi"[..], b""]);
    let own = [("own", &b"x"[..]), ("own-bin", b"\xab\xab"), ("own-bin", b"fo")];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_vec())).to_vec();
    assert_eq!(client.told.status, Some((Code::OK, String::new(), own, Fate::Seen)));
    assert_eq!(server.seen.reset, None);
}

#[test]
fn trailers_only() {
    let fields: &[_] = &[
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("before-bin", "q6s"),
        ("grpc-status", "5"),
        ("grpc-message", "no %E2%98%BA here, 100%"),
        ("own", "x"),
    ];
    let (client, _) = call(&head(), |server| server.headers(fields, true));
    let own = [("before-bin", &b"\xab\xab"[..]), ("own", b"x")];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_vec())).to_vec();
    assert_eq!(client.told.status, Some((Code::NOT_FOUND, "no ☺ here, 100%".to_owned(), own, Fate::Seen)));
    assert_eq!(client.told.metadata, None);
}

#[test]
fn responses_that_only_http_speaks_for() {
    for (http, code) in [
        ("400", Code::INTERNAL),
        ("401", Code::UNAUTHENTICATED),
        ("403", Code::PERMISSION_DENIED),
        ("404", Code::UNIMPLEMENTED),
        ("429", Code::UNAVAILABLE),
        ("502", Code::UNAVAILABLE),
        ("503", Code::UNAVAILABLE),
        ("504", Code::UNAVAILABLE),
        ("500", Code::UNKNOWN),
        ("204", Code::UNKNOWN),
    ] {
        let words = format!("HTTP error {http}");
        let html: &[_] = &[(":status", http), ("content-type", "text/html")];
        assert_eq!(status(|server| server.headers(html, true)), (code, words.clone()));
        assert_eq!(
            status(|server| {
                server.headers(html, false);
                server.data(b"<html>", true);
            }),
            (code, words.clone())
        );
        // grpc-status wins, but only where it is the last word.
        let with: &[_] = &[(":status", http), ("grpc-status", "7")];
        assert_eq!(status(|server| server.headers(with, true)).0, Code::PERMISSION_DENIED);
        assert_eq!(status(|server| server.headers(with, false)), (code, words));
    }
}

#[test]
fn a_200_that_is_not_grpc() {
    let html: &[_] = &[(":status", "200"), ("content-type", "text/html")];
    let expected = (Code::UNKNOWN, "content-type is not application/grpc".to_owned());
    assert_eq!(status(|server| server.headers(html, true)), expected);
    assert_eq!(status(|server| server.headers(html, false)), expected);
    assert_eq!(status(|server| server.headers(&[(":status", "200")], false)), expected);
    let near: &[_] = &[(":status", "200"), ("content-type", "application/grpcx")];
    assert_eq!(status(|server| server.headers(near, false)), expected);
}

#[test]
fn informational_responses_are_passed_over() {
    let (client, _) = call(&head(), |server| {
        server.headers(&[(":status", "103"), ("link", "x")], false);
        server.headers(&[(":status", "100")], false);
        server.headers(OK_HEAD, false);
        server.headers(&[("grpc-status", "0")], true);
    });
    assert_eq!(client.told.status.unwrap().0, Code::OK);
}

#[test]
fn statuses_that_are_missing_or_broken() {
    let trailers = |fields: &'static [(&str, &str)]| {
        status(move |server| {
            server.headers(OK_HEAD, false);
            server.headers(fields, true);
        })
    };
    assert_eq!(trailers(&[("own", "x")]).0, Code::UNKNOWN);
    assert_eq!(trailers(&[("grpc-status", "one")]).0, Code::UNKNOWN);
    assert_eq!(trailers(&[("grpc-status", "")]).0, Code::UNKNOWN);
    // A number that nobody has defined passes through.
    assert_eq!(trailers(&[("grpc-status", "99")]).0, Code(99));
    assert_eq!(trailers(&[("grpc-status", "0"), ("own-bin", "*")]).0, Code::INTERNAL);
    assert_eq!(status(|server| server.headers(OK_HEAD, true)).0, Code::UNKNOWN);
    // Fields of a head that more follows are not the status, whatever they say.
    let early: &[_] = &[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")];
    let seen = status(|server| {
        server.headers(early, false);
        server.headers(&[("grpc-status", "9")], true);
    });
    assert_eq!(seen.0, Code::FAILED_PRECONDITION);
}

#[test]
fn data_that_are_not_messages() {
    let data = |bytes: &'static [u8]| {
        let (client, server) = call(&head(), move |server| {
            server.headers(OK_HEAD, false);
            server.data(bytes, false);
            server.headers(&[("grpc-status", "0")], true);
        });
        (client.told.status.unwrap().0, server.seen.reset)
    };
    // A flag octet that does not exist, a compressed message without an encoding.
    assert_eq!(data(b"\x02\0\0\0\x01x").0, Code::INTERNAL);
    assert_eq!(data(b"\x01\0\0\0\x01x").0, Code::INTERNAL);
    assert_eq!(data(b"\0\xff\xff\xff\xffx").0, Code::RESOURCE_EXHAUSTED);
    // OK within a message is not OK; another status stands.
    assert_eq!(data(b"\0\0\0\0\x02x").0, Code::INTERNAL);
    assert_eq!(data(b"\0\0\0").0, Code::INTERNAL);
    let seen = status(|server| {
        server.headers(OK_HEAD, false);
        server.data(b"\0\0\0\0\x02x", false);
        server.headers(&[("grpc-status", "10")], true);
    });
    assert_eq!(seen.0, Code::ABORTED);
}

#[test]
fn an_end_without_trailers() {
    for bytes in [&b""[..], b"\0\0\0\0\x01x", b"\0\0\0\0\x01x\0\0\0\0\x01y", b"\0\0"] {
        let seen = status(|server| {
            server.headers(OK_HEAD, false);
            server.data(bytes, true);
        });
        assert_eq!(seen, (Code::INTERNAL, "the stream ended without trailers".to_owned()));
    }
}

#[test]
fn an_unknown_encoding() {
    let gzip: &[_] = &[(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
    assert_eq!(status(|server| server.headers(gzip, false)).0, Code::INTERNAL);
    let identity: &[_] =
        &[(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "identity")];
    let seen = status(|server| {
        server.headers(identity, false);
        server.headers(&[("grpc-status", "0")], true);
    });
    assert_eq!(seen.0, Code::OK);
}

#[test]
fn resets_are_mapped() {
    for (code, expected, fate) in [
        (ErrorCode::NO_ERROR, Code::INTERNAL, Fate::Seen),
        (ErrorCode::PROTOCOL_ERROR, Code::INTERNAL, Fate::Seen),
        (ErrorCode::REFUSED_STREAM, Code::UNAVAILABLE, Fate::Refused),
        (ErrorCode::CANCEL, Code::CANCELLED, Fate::Seen),
        (ErrorCode::ENHANCE_YOUR_CALM, Code::RESOURCE_EXHAUSTED, Fate::Seen),
        (ErrorCode::INADEQUATE_SECURITY, Code::PERMISSION_DENIED, Fate::Seen),
        (ErrorCode(77), Code::UNKNOWN, Fate::Seen),
    ] {
        let (client, _) = call(&head(), |server| server.connection.reset(server.seen.stream.unwrap(), code));
        let (status, message, _, seen) = client.told.status.unwrap();
        assert_eq!((status, seen), (expected, fate), "{code}");
        assert!(message.contains(code.name().unwrap_or("unknown error code")), "{message}");
    }
}

#[test]
fn a_reset_after_the_deadline_is_a_passed_deadline() {
    let timeout = Some(Duration::from_millis(50));
    let (mut client, mut server) = call(&CallHead { timeout, ..head() }, |_| {});
    server.connection.reset(server.seen.stream.unwrap(), ErrorCode::CANCEL);
    // The clock has passed the deadline, and the timer has not been looked at.
    client.now = Instant::from_nanos(51_000_000);
    client.receive(&server.transmit());
    assert_eq!(client.told.status.unwrap().0, Code::DEADLINE_EXCEEDED);
    assert_eq!(client.connection.poll_timeout(), None);
}

#[test]
fn a_status_before_this_sides_end_closes_the_stream() {
    let (mut connection, mut server) = (calls(false), Raw::new(true));
    let call = connection.start_call(Instant::default(), &head()).unwrap();
    let mut client = Client { connection, call, told: Told::default(), now: Instant::default() };
    server.receive(&client.transmit());
    server.headers(&[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")], true);
    client.receive(&server.transmit());
    assert_eq!(client.told.status.take().unwrap().0, Code::OK);
    let late = client.connection.send_message(client.call, b"late", End::Last);
    assert_eq!(late, Err(grpclb_core::call::SendError::Closed));
    server.receive(&client.transmit());
    assert_eq!(server.seen.reset, Some(ErrorCode::NO_ERROR));
}

/// A call that is cancelled and of which more arrives before `poll_event` is asked: one status, and nothing else.
fn cancelled_in_between(answer: impl FnOnce(&mut Raw)) {
    let (mut client, mut server) = call(&head(), |_| {});
    client.connection.cancel(client.call);
    answer(&mut server);
    client.receive(&server.transmit());
    let told = std::mem::take(&mut client.told);
    assert_eq!((told.metadata, told.messages.len()), (None, 0));
    assert_eq!(told.status.unwrap().0, Code::CANCELLED);
    assert_eq!(client.connection.calls(), 0);
    server.receive(&client.transmit());
    client.receive(&server.transmit());
    assert!(client.told.status.is_none());
}

#[test]
fn what_arrives_after_a_cancellation_is_not_told() {
    cancelled_in_between(|_| {});
    cancelled_in_between(|server| server.headers(OK_HEAD, false));
    cancelled_in_between(|server| {
        server.headers(OK_HEAD, false);
        server.data(b"\0\0\0\0\x01a\0\0\0\0\x01b", false);
    });
    cancelled_in_between(|server| {
        server.headers(OK_HEAD, false);
        server.data(b"\0\0\0\0\x01a", true);
    });
    cancelled_in_between(|server| {
        server.headers(OK_HEAD, false);
        server.headers(&[("grpc-status", "0")], true);
    });
    cancelled_in_between(|server| {
        server.connection.reset(server.seen.stream.unwrap(), ErrorCode::REFUSED_STREAM);
    });
}

#[test]
fn goaway_tells_what_may_be_tried_again() {
    let (mut connection, mut server) = (calls(false), Raw::new(true));
    let now = Instant::default();
    let start = |connection: &mut Connection<Heap>| connection.start_call(now, &head()).unwrap();
    let (seen, refused) = (start(&mut connection), start(&mut connection));
    let bytes = connection.transmit(now).to_vec();
    connection.transmitted(bytes.len());
    server.receive(&bytes);
    let never_left = start(&mut connection);
    let mut bytes = server.transmit();
    // GOAWAY, last stream 1, NO_ERROR (RFC 9113 §6.8).
    bytes.extend([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    let mut input = &bytes[..];
    let mut told = Vec::new();
    while let Some(event) = connection.recv(now, &mut input).unwrap() {
        if let Event::GoAway { last, .. } = event {
            assert_eq!(last, seen.id);
        }
    }
    while let Some(event) = connection.poll_event() {
        if let Event::Status { call, status } = event {
            told.push((call, status.code, status.fate));
        }
    }
    let expected =
        [(refused, Code::UNAVAILABLE, Fate::Refused), (never_left, Code::UNAVAILABLE, Fate::NeverLeft)];
    assert_eq!(told, expected);
    assert_eq!(connection.calls(), 1);
    assert_eq!(connection.start_call(now, &head()), Err(grpclb_core::call::StartCallError::GoingAway));
}
