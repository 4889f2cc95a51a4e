//! The client's exchange: what peers really answer, at every split and cut at every octet.

use grpclb_core::bytes::Writer;
use grpclb_core::grpc::{Code, message};
use grpclb_core::web::text::{Encoder, encode_in_place, encoded_len};
use grpclb_core::web::{Body, Config, Event, Exchange, Form, RequestHead};
use proptest::prelude::*;
use std::time::Duration;

type Pairs = Vec<(String, Vec<u8>)>;

/// What an application learns.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    metadata: Option<Pairs>,
    messages: Vec<Vec<u8>>,
    open: Vec<u8>,
    status: Option<(u32, String, Pairs)>,
}

impl Told {
    fn note(&mut self, event: Event<'_, '_>) {
        assert!(self.status.is_none(), "the status is the last event");
        let pairs = |fields: grpclb_core::web::Fields<'_>| -> Pairs {
            fields.map(|(name, value)| (String::from_utf8(name.into()).unwrap(), value.into())).collect()
        };
        match event {
            Event::Metadata { metadata } => assert!(self.metadata.replace(pairs(metadata)).is_none()),
            Event::Message { piece } => {
                assert_eq!(piece.offset as usize, self.open.len());
                self.open.extend(piece.bytes);
                if piece.is_last() {
                    assert_eq!(self.open.len(), piece.len as usize);
                    self.messages.push(std::mem::take(&mut self.open));
                }
            }
            Event::Status { status } => {
                let message = String::from_utf8_lossy(status.message).into_owned();
                self.status = Some((status.code.0, message, pairs(status.trailers)));
            }
            _ => unreachable!(),
        }
    }

    fn code(&self) -> u32 {
        self.status.as_ref().expect("a status").0
    }

    fn text(&self) -> &str {
        &self.status.as_ref().expect("a status").1
    }

    fn trailers(&self) -> Vec<(&str, &[u8])> {
        self.status.as_ref().expect("a status").2.iter().map(|(n, v)| (&n[..], &v[..])).collect()
    }
}

struct Answer<'a> {
    http: u16,
    head: &'a [(&'a str, &'a str)],
    max: u32,
    arena: usize,
}

const BINARY: Answer<'_> =
    Answer { http: 200, head: &[("content-type", "application/grpc-web+proto")], max: 100, arena: 1024 };
const TEXT: Answer<'_> = Answer { head: &[("content-type", "application/grpc-web-text+proto")], ..BINARY };

impl Answer<'_> {
    /// The exchange up to its body's end, the body in pieces.
    fn begin<'t>(&self, pieces: impl IntoIterator<Item = &'t [u8]>) -> (Exchange<Vec<u8>>, Told) {
        let mut exchange = Exchange::new(vec![0xee; self.arena], &Config { max_message_size: self.max });
        let mut told = Told::default();
        let head = self.head.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        if let Some(event) = exchange.recv_head(self.http, head) {
            told.note(event);
        }
        for piece in pieces {
            let mut piece = piece.to_vec();
            let mut input = exchange.decode(&mut piece);
            while let Some(event) = exchange.recv(&mut input) {
                told.note(event);
            }
            assert!(input.is_empty(), "all is taken");
        }
        (exchange, told)
    }

    fn told<'t>(&self, pieces: impl IntoIterator<Item = &'t [u8]>) -> Told {
        let (mut exchange, mut told) = self.begin(pieces);
        if let Some(event) = exchange.finish() {
            told.note(event);
        }
        assert!(exchange.is_ended() && told.status.is_some());
        assert!(
            exchange.finish().is_none() && exchange.carrier_lost().is_none() && exchange.cancel().is_none()
        );
        assert!(exchange.recv(&mut &b"more"[..]).is_none());
        told
    }

    /// Whole; the same in pieces of each size and cut at each octet.
    fn any(&self, body: &[u8]) -> Told {
        let whole = self.told([body]);
        for size in 1..body.len().max(2) {
            assert_eq!(self.told(body.chunks(size)), whole, "{size} octets at a time");
            let (a, b) = body.split_at(size.min(body.len()));
            assert_eq!(self.told([a, &[], b, &[]]), whole, "cut at {size}");
        }
        whole
    }
}

fn frame(flag: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = message::prefix(payload.len() as u32, false).to_vec();
    frame[0] = flag;
    frame.extend(payload);
    frame
}

fn fragment(octets: &[u8]) -> Vec<u8> {
    let mut text = octets.to_vec();
    text.resize(encoded_len(octets.len()), 0);
    encode_in_place(&mut text, octets.len()).unwrap();
    text
}

const OK: &[u8] = b"\x80\0\0\0\x0fgrpc-status:0\r\n";

#[test]
fn frames_of_peers() {
    let none: &[&[u8]] = &[];
    for (body, messages, code) in [
        (&[OK].concat()[..], none, 0),
        (&[b"\0\0\0\0\x02&'", OK].concat(), &[b"&'"], 0),
        (&[b"\0\0\0\0\x02&'\0\0\0\0\x03*+,", OK].concat(), &[b"&'", b"*+,"], 0),
        (&[&b"\0\0\0\0\0"[..], OK].concat(), &[b""], 0),
        // connect-node: with a space, and a lone trailers frame for an error.
        (b"\x80\0\0\0\x10grpc-status: 0\r\n", none, 0),
        (b"\x80\0\0\0\x10grpc-status: 8\r\n", none, 8),
        (b"\0\0\0\0\x02&'\x80\0\0\0\x0fgrpc-status:99\n", &[b"&'"], 99),
        // The flag 40 (grpc-web's own vector), the flag 2, and what is compressed without grpc-encoding.
        (&[0, 0, 0, 0, 2, 38, 39, 40, 0, 0, 0, 0], &[b"&'"], 13),
        (&[2, 0, 0, 0, 0], none, 13),
        (&[1, 0, 0, 0, 0], none, 13),
        (b"\x81\0\0\0\x0fgrpc-status:0\r\n", none, 13),
        (&[OK, OK].concat(), none, 13),
        (&[OK, b"\0\0\0\0\0"].concat(), none, 13),
        (&[OK, b"\0"].concat(), none, 13),
        // An error stands, whatever comes behind it.
        (b"\x80\0\0\0\x0fgrpc-status:7\r\n\0", none, 7),
        (b"\x80\0\0\0\x0bno-status:0", none, 2),
        (b"\x80\0\0\0\x0fgrpc-status:x\r\n", none, 2),
        (b"\x80\0\0\0\x0bgrpc-status", none, 13),
        (&[0, 0, 0, 0, 101], none, 8),
        (&[0, 255, 255, 255, 255], none, 8),
        (&[0x80, 255, 255, 255, 255], none, 8),
        (b"", none, 2),
        (b"\x80\0\0\0\0", none, 2),
    ] {
        let told = BINARY.any(body);
        assert_eq!(
            (&told.messages[..], told.code()),
            (&messages.iter().map(|m| m.to_vec()).collect::<Vec<_>>()[..], code),
            "{body:?}"
        );
        assert_eq!(told.metadata, Some(vec![]));
    }
}

/// tonic-web: a message, then an error in the trailers.
#[test]
fn an_error_after_a_message() {
    let body = b"\0\0\0\0\x13\n\x11first ok response\x80\0\0\0Agrpc-status:10\r\ngrpc-message:error%20after%20partial%20response\r\n";
    let told = BINARY.any(body);
    assert_eq!(told.messages, [b"\n\x11first ok response"]);
    assert_eq!((told.code(), told.text()), (10, "error after partial response"));
}

#[test]
fn texts_of_peers() {
    for (body, messages, code, trailers) in [
        // tonic-web and Envoy: a fragment a frame.
        (
            "AAAAAAMKAQA=AAAAAAUKAQEQAQ==gAAAAA9ncnBjLXN0YXR1czowDQo=",
            &[&b"\n\x01\0"[..], b"\n\x01\x01\x10\x01"][..],
            0,
            &[][..],
        ),
        // grpc-web: one text, the join without padding.
        (
            "AAAAAAUKA2FhYYAAAAAkZ3JwYy1zdGF0dXM6IDANCngtY3VzdG9tLTE6IGFiYWJhYg0K",
            &[b"\n\x03aaa"],
            0,
            &[("x-custom-1", &b"ababab"[..])],
        ),
        (
            "AAAAAAUKA2FhYYAAAAAkZ3JwYy1zdGF0dXM6IDINCngtY3VzdG9tLTE6IGFiYWJhYg0K",
            &[b"\n\x03aaa"],
            2,
            &[("x-custom-1", b"ababab")],
        ),
        ("gAAAABBncnBjLXN0YXR1czoxMA0K", &[], 10, &[]),
        // grpc-dotnet
        ("AAAAAAYKBHRlc3Q=gAAAABBncnBjLXN0YXR1czogMA0K", &[b"\n\x04test"], 0, &[]),
        (
            "AAAAAAYKBHRlc3Q=AAAAAAYKBHRlc3Q=AAAAAAYKBHRlc3Q=AAAAAAYKBHRlc3Q=AAAAAAYKBHRlc3Q=gAAAABBncnBjLXN0YXR1czogMA0K",
            &[&b"\n\x04test"[..]; 5],
            0,
            &[],
        ),
        ("AAAAAAYKBHRlc3QAAAAABgoEdGVzdAAAAAAGCgR0ZXN0", &[&b"\n\x04test"[..]; 3], 2, &[]),
        // Says 26, has 18.
        ("AAAAABoKCwgBEgdGaWN0aW9uCgsIAhI", &[], 13, &[]),
        ("ZZZZZ", &[], 13, &[]),
        ("AAAAAAUKA2FhYQ==*", &[b"\n\x03aaa"], 13, &[]),
        ("AAAAAAUKA2FhYQ==\r\n", &[b"\n\x03aaa"], 13, &[]),
        // The last padding is missing.
        ("gAAAAA9ncnBjLXN0YXR1czowDQo", &[], 13, &[]),
        // Base64 of -bin values stays base64 within the text: all servers do so.
        (
            "gAAAACVncnBjLXN0YXR1czowDQp4LWRhdGEtYmluOisvLysgLCBBUQ0K",
            &[],
            0,
            &[("x-data-bin", &[0xfb, 0xff, 0xfe]), ("x-data-bin", &[1])],
        ),
    ] {
        let told = TEXT.any(body.as_bytes());
        assert_eq!(
            (&told.messages[..], told.code(), told.trailers()),
            (&messages.iter().map(|m| m.to_vec()).collect::<Vec<_>>()[..], code, trailers.to_vec()),
            "{body}"
        );
    }
}

/// The whole of a response in both forms; every cut before its end is an error.
#[test]
fn truncation_is_an_error_at_every_octet() {
    let frames = [&frame(0, b"one")[..], &frame(0, b""), &frame(0, b"three"), OK];
    let text = |joined: bool| match joined {
        true => fragment(&frames.concat()),
        false => frames.iter().flat_map(|frame| fragment(frame)).collect(),
    };
    for (answer, body) in [(BINARY, frames.concat()), (TEXT, text(true)), (TEXT, text(false))] {
        assert_eq!(answer.any(&body).code(), 0);
        for cut in 0..body.len() {
            let told = answer.any(&body[..cut]);
            assert!([2, 13].contains(&told.code()), "cut at {cut}: {told:?}");
            assert!(told.trailers().is_empty());
            let (mut exchange, _) = answer.begin([&body[..cut]]);
            let Some(Event::Status { status }) = exchange.carrier_lost() else { panic!("lost at {cut}") };
            // A text's last padding tells nothing: then the status is known.
            let known = body[cut..].iter().all(|octet| *octet == b'=');
            assert_eq!(status.code, if known { Code::OK } else { Code::UNAVAILABLE }, "lost at {cut}");
        }
    }
}

#[test]
fn the_head_says_it_all() {
    let web = ("content-type", "application/grpc-web");
    let head = |http, head| Answer { http, head, ..BINARY };
    for (http, fields, code, text) in [
        // Trailers-only: tonic-web, Envoy; bodies of nothing, and of Traefik's empty trailers frame.
        (
            200,
            &[web, ("grpc-status", "7"), ("grpc-message", "no:%20100%25%20%C3%A9%0A")][..],
            7,
            "no: 100% é\n",
        ),
        (200, &[("Content-Type", "application/grpc-web"), ("Grpc-Status", "0")], 0, ""),
        (200, &[web, ("grpc-status", "5"), ("grpc-message", "50%zz")], 5, "50%zz"),
        (200, &[("grpc-status", "8"), ("content-length", "0")], 8, ""),
        // Envoy's refusal of bad base64, its deadline, and tonic's, which is not even gRPC-Web.
        (
            400,
            &[web, ("grpc-status", "13"), ("grpc-message", "Bad gRPC-web request, invalid base64 data.")],
            13,
            "Bad gRPC-web request, invalid base64 data.",
        ),
        (
            504,
            &[
                ("content-type", "application/grpc"),
                ("grpc-status", "14"),
                ("grpc-message", "downstream duration timeout"),
            ],
            14,
            "downstream duration timeout",
        ),
        (
            200,
            &[
                ("content-type", "application/grpc"),
                ("grpc-status", "1"),
                ("grpc-message", "Timeout expired"),
            ],
            1,
            "Timeout expired",
        ),
        (401, &[("content-type", "text/html"), ("grpc-status", "8")], 8, ""),
        (200, &[web, ("grpc-status", "eight")], 2, "grpc-status is not a decimal number"),
        (200, &[web, ("grpc-status", "99")], 99, ""),
        // No grpc-status: the HTTP status is mapped.
        (
            401,
            &[("content-type", "text/html")],
            16,
            "the response has an HTTP status other than 2xx and no grpc-status",
        ),
        (404, &[], 12, "the response has an HTTP status other than 2xx and no grpc-status"),
        (503, &[web], 14, "the response has an HTTP status other than 2xx and no grpc-status"),
        (500, &[web], 2, "the response has an HTTP status other than 2xx and no grpc-status"),
        (302, &[("location", "/")], 2, "the response has an HTTP status other than 2xx and no grpc-status"),
        (
            200,
            &[("content-type", "text/html")],
            2,
            "the response's content-type is not gRPC-Web, and it has no grpc-status",
        ),
        (
            200,
            &[("content-type", "application/grpc")],
            2,
            "the response's content-type is not gRPC-Web, and it has no grpc-status",
        ),
        (200, &[], 2, "the response's content-type is not gRPC-Web, and it has no grpc-status"),
    ] {
        for body in [&b""[..], b"\x80\0\0\0\0"] {
            let told = head(http, fields).any(body);
            // An empty trailers frame is one all the same: then its status is what is missing.
            let missing = told.text() == "the response ended without grpc-status";
            assert!((told.code(), told.text()) == (code, text) || missing, "{fields:?}: {told:?}");
        }
    }
}

#[test]
fn status_in_head_and_trailers() {
    let head = [
        ("content-type", "application/grpc-web"),
        ("grpc-status", "0"),
        ("grpc-message", "head"),
        ("a", "1"),
    ];
    let ok = Answer { head: &head, ..BINARY };
    // Rule 1: the frame's. What the head said beside its own is void.
    let told = ok.any(b"\x80\0\0\0\x1egrpc-status:7\r\ngrpc-foo:1\r\nb:2");
    assert_eq!((told.code(), told.text(), told.trailers()), (7, "", vec![("b", &b"2"[..])]));
    // Rule 2: the head's; an empty frame, or one without a status, does not override it.
    let told = ok.any(b"\x80\0\0\0\0");
    assert_eq!((told.code(), told.text(), told.trailers()), (0, "head", vec![("a", &b"1"[..])]));
    let told = ok.any(b"\x80\0\0\0\x03b:2");
    assert_eq!((told.code(), told.trailers()), (0, vec![("a", &b"1"[..]), ("b", b"2")]));
    // An OK before messages says nothing of their end.
    assert_eq!(ok.any(b"\0\0\0\0\x01m").code(), 2);
    assert_eq!(ok.any(b"\0\0\0\0\x01m\x80\0\0\0\0").code(), 0);
    assert_eq!(ok.any(b"\0\0\0\0\x01").code(), 13);
    let (mut lost, _) = ok.begin([&b"\0\0\0\0"[..]]);
    assert!(
        matches!(lost.carrier_lost(), Some(Event::Status { status }) if status.code == Code::UNAVAILABLE)
    );
    // An error there stands.
    let failed = Answer { head: &[("content-type", "application/grpc-web"), ("grpc-status", "9")], ..BINARY };
    for body in ["", "\0\0\0\0\x01m", "\0\0", "*"] {
        assert_eq!(failed.any(body.as_bytes()).code(), 9);
    }
}

/// The response's content-type tells its form, whatever was asked for.
#[test]
fn metadata_comes_first() {
    let head = [
        ("x-note", "one"),
        ("content-type", "Application/Grpc-Web-Text; charset=utf-8"),
        ("X-Note", " two "),
        ("data-bin", "AQI=, Aw"),
        ("broken-bin", "*"),
        ("grpc-encoding", "identity"),
        ("grpc-accept-encoding", "gzip"),
    ];
    let told = Answer { head: &head, ..BINARY }.any(&fragment(OK));
    let field = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    assert_eq!(
        told.metadata,
        Some(vec![
            field("x-note", b"one"),
            field("x-note", b"two"),
            field("data-bin", &[1, 2]),
            field("data-bin", &[3])
        ])
    );
    assert_eq!((told.code(), told.trailers()), (0, vec![]));
}

#[test]
fn compression_is_refused() {
    for (encoding, text) in [("identity", "no grpc-encoding"), ("gzip", "does not know")] {
        let head = [("content-type", "application/grpc-web"), ("grpc-encoding", encoding)];
        let answer = Answer { head: &head, ..BINARY };
        let told = answer.any(&[1, 0, 0, 0, 1, 9]);
        assert_eq!(told.code(), 13);
        assert!(told.text().contains(text), "{}", told.text());
        // What is not compressed is taken.
        assert_eq!(answer.any(&[&frame(0, b"m")[..], OK].concat()).code(), 0);
    }
}

/// connect's vector, and a value that is not base64: neither may hide the status.
#[test]
fn details_do_not_mask_the_status() {
    let good =
        "CAgSDHNvaXLDqWUg8J+OiRo0Ci50eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5wcm90b2J1Zi5JbnQzMlZhbHVlEgIIew";
    for (details, len) in [(good, Some(70)), (&format!("{good}=="), Some(70)), ("!!", None), ("", Some(0))] {
        let payload = format!(
            "grpc-status:8\r\ngrpc-message:soir%C3%A9e%20%F0%9F%8E%89\r\ngrpc-status-details-bin:{details}\r\n"
        );
        let told = BINARY.any(&frame(0x80, payload.as_bytes()));
        assert_eq!((told.code(), told.text()), (8, "soirée 🎉"));
        let found = told
            .trailers()
            .iter()
            .find(|(name, _)| *name == "grpc-status-details-bin")
            .map(|(_, value)| value.len());
        assert_eq!(found, len, "{details}");
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let long = "x".repeat(300);
    let head = [("content-type", "application/grpc-web"), ("note", &long[..])];
    for arena in 0..400 {
        let told = Answer { head: &head, arena, ..BINARY }.told([OK]);
        // Packed, the field takes 308; the frame of 15 octets takes the same place.
        assert_eq!(told.code(), if arena < 308 { 8 } else { 0 }, "{arena}");
    }
    let message =
        [("content-type", "application/grpc-web"), ("grpc-status", "5"), ("grpc-message", &long[..])];
    for arena in [0, 100, 299, 300] {
        // The status is known, if not its words.
        let told = Answer { head: &message, arena, ..BINARY }.told([&b""[..]]);
        assert_eq!((told.code(), told.text().len()), (5, if arena < 300 { 0 } else { 300 }));
    }
    let trailers = frame(0x80, format!("grpc-status:0\r\nnote:{long}\r\n").as_bytes());
    for arena in 0..800 {
        let told = Answer { arena, ..BINARY }.told([&trailers[..]]);
        match told.code() {
            0 => assert!(arena >= 322 + 308 && told.trailers() == [("note", long.as_bytes())]),
            8 => assert!(arena < 322 + 308, "{arena}"),
            code => panic!("{code}"),
        }
    }
}

#[test]
fn this_side_ends_it() {
    let (mut exchange, _) = BINARY.begin([OK]);
    assert!(
        matches!(exchange.deadline_passed(), Some(Event::Status { status }) if status.code == Code::DEADLINE_EXCEEDED)
    );
    assert!(exchange.finish().is_none());
    let (mut exchange, _) = BINARY.begin([OK]);
    assert!(matches!(exchange.cancel(), Some(Event::Status { status }) if status.code == Code::CANCELLED));
    let (mut exchange, _) = BINARY.begin([OK]);
    assert!(matches!(exchange.carrier_lost(), Some(Event::Status { status }) if status.code == Code::OK));
    let fresh = || Exchange::new([0; 64], &Config::default());
    assert!(matches!(fresh().finish(), Some(Event::Status { status }) if status.code == Code::UNAVAILABLE));
    assert!(
        matches!(fresh().carrier_lost(), Some(Event::Status { status }) if status.code == Code::UNAVAILABLE)
    );
    assert!(
        matches!(fresh().recv(&mut &b"x"[..]), Some(Event::Status { status }) if status.code == Code::INTERNAL)
    );
}

#[test]
fn one_by_one_or_at_once() {
    let mut exchange = Exchange::new([0; 256], &Config::default());
    exchange.header(b"content-type", b"application/grpc-web");
    exchange.header(b"a", b"1");
    let Some(Event::Metadata { metadata }) = exchange.recv_head(200, [(&b"b"[..], &b"2"[..])]) else {
        panic!()
    };
    assert_eq!(metadata.count(), 2);
    exchange.header(b"c", b"3");
    assert!(exchange.recv_head(500, []).is_none());
    let mut input = OK;
    assert!(exchange.recv(&mut input).is_none());
    assert!(
        matches!(exchange.finish(), Some(Event::Status { status }) if status.code == Code::OK && status.trailers.count() == 0)
    );
}

#[test]
fn messages_are_lent_not_copied() {
    let mut exchange = Exchange::new([0; 256], &Config::default());
    exchange.recv_head(200, [(&b"content-type"[..], &b"application/grpc-web-text"[..])]);
    let mut chunk = fragment(&frame(0, b"message"));
    let range = chunk.as_ptr_range();
    let mut input = exchange.decode(&mut chunk);
    let Some(Event::Message { piece }) = exchange.recv(&mut input) else { panic!() };
    assert!(exchange.cancel().is_some(), "the exchange is free while the bytes are held");
    assert_eq!(piece.whole(), Some(&b"message"[..]));
    assert!(range.contains(&piece.bytes.as_ptr()));
}

#[test]
fn requests() {
    let mut memory = [0; 512];
    let head = RequestHead {
        timeout: Some(Duration::from_millis(1500)),
        metadata: &[(b"a", b"1"), (b"b-bin", &[0xfb, 0xff])],
        ..RequestHead::default()
    };
    let fields: Vec<_> = head.fields(&mut memory).unwrap().map(|(n, v)| [n, b": ", v].concat()).collect();
    let fields: Vec<_> = fields.iter().map(|field| std::str::from_utf8(field).unwrap()).collect();
    let agent = concat!("x-user-agent: grpc-web-libgrpclb/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        fields,
        [
            "content-type: application/grpc-web+proto",
            "accept: application/grpc-web",
            "x-grpc-web: 1",
            agent,
            "grpc-timeout: 1500000u",
            "a: 1",
            "b-bin: +/8",
        ]
    );
    use grpclb_core::web::HeadError::{BadMetadata, BadValue, TooLarge};
    for room in 0..100 {
        assert_eq!(head.fields(&mut memory[..room]).err(), Some(TooLarge));
    }
    let bad = RequestHead { metadata: &[(b"a", b"1"), (b"b", b"\r\n")], ..head };
    assert_eq!(bad.fields(&mut memory).err(), Some(BadMetadata(1)));
    let bad = RequestHead { format: b"proto\r\n", ..head };
    assert_eq!(bad.fields(&mut memory).err(), Some(BadValue));
    let bad = RequestHead { user_agent: b"a\nb", ..head };
    assert_eq!(bad.fields(&mut memory).err(), Some(BadValue));

    // grpc-web's own bodies.
    for (messages, text) in [
        (&[&b"\n\x03aaa"[..]][..], "AAAAAAUKA2FhYQ=="),
        (&[b"\n\x03aaa\x10\x03"], "AAAAAAcKA2FhYRAD"),
        (&[&b"\n\x03aaa"[..]; 3], "AAAAAAUKA2FhYQAAAAAFCgNhYWEAAAAABQoDYWFh"),
    ] {
        let frames: Vec<u8> = messages.iter().flat_map(|message| frame(0, message)).collect();
        for (form, expected) in [(Form::Text, text.as_bytes()), (Form::Binary, &frames)] {
            for room in 0..=expected.len() {
                let mut memory = vec![0; room];
                let mut to = Writer::new(&mut memory);
                let mut body = Body::new(form);
                messages.iter().for_each(|message| body.message(message, &mut to));
                body.finish(&mut to);
                assert_eq!(form.encoded_len(frames.len()), expected.len());
                if room == expected.len() {
                    assert_eq!(to.written(), expected);
                } else {
                    assert!(to.is_full());
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_response_goes_round(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6),
        code in 0u32..18, text: bool, flushes in prop::collection::vec(any::<bool>(), 8),
        sizes in prop::collection::vec(1usize..40, 1..20),
    ) {
        let mut frames: Vec<_> = messages.iter().map(|message| frame(0, message)).collect();
        frames.push(frame(0x80, format!("grpc-status:{code}\r\n").as_bytes()));
        let mut memory = vec![0; 10_000];
        let mut to = Writer::new(&mut memory);
        let mut encoder = Encoder::START;
        for (frame, flush) in frames.iter().zip(&flushes) {
            match text {
                true => encoder.encode(&mut &frame[..], &mut to),
                false => to.put(frame),
            }
            if *flush {
                encoder.finish(&mut to);
            }
        }
        encoder.finish(&mut to);
        let (mut rest, mut pieces, mut sizes) = (&*to.written(), Vec::new(), sizes.iter().cycle());
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            pieces.push(piece);
            rest = tail;
        }
        let told = if text { TEXT } else { BINARY }.told(pieces);
        prop_assert_eq!(told.code(), code);
        prop_assert_eq!(told.messages, messages);
    }

    #[test]
    fn anything_ends_the_same_at_any_split(
        body in prop::collection::vec(prop::sample::select(&b"\0\0\0\0\x01\x02\x80grpc-status:0\r\nAAAAAAA=g"[..]), 0..40),
        text: bool,
    ) {
        let told = if text { TEXT } else { BINARY }.any(&body);
        prop_assert!(told.code() <= 16);
    }
}

#[test]
fn the_form_is_that_of_the_content_type() {
    let types = [
        ("application/grpc-web+proto", Some(Form::Binary)),
        ("application/grpc-web-text", Some(Form::Text)),
        ("text/html", None),
    ];
    for (content_type, form) in types {
        let mut exchange = Exchange::new([0; 256], &Config::default());
        assert_eq!(exchange.form(), None);
        exchange.recv_head(200, [(&b"content-type"[..], content_type.as_bytes())]);
        assert_eq!(exchange.form(), form, "{content_type}");
    }
}
