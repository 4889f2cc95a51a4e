//! RFC 9113 §8: requests and responses, and those that are malformed.

use super::support::*;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Kind, flags};
use grpclb_core::http2::{Config, HeadersKind, ResetCause};

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;

/// A request with these fields is a stream error, and the application never hears of it.
#[track_caller]
fn malformed(fields: &[(&str, &str)]) {
    for step in [1, usize::MAX] {
        let mut server = server_ready();
        assert_eq!(feed(&mut server, &headers(1, fields, true), step).unwrap(), [], "{fields:?}");
        assert_eq!(take(&mut server), rst_stream(1, PROTOCOL), "{fields:?}");
        assert_eq!(server.open_streams(), 0);
    }
}

#[test]
fn section_8_2_and_8_3_malformed_requests() {
    let with = |more: (&'static str, &'static str)| [&GET[..], &[more]].concat();
    for field in [
        ("Name", "x"),
        ("na me", "x"),
        ("", "x"),
        ("name", "x\r\ny"),
        ("name", "\0"),
        ("name", " x"),
        ("connection", "close"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        (":status", "200"),
        (":method", "GET"),
        (":protocol", "websocket"),
        (":unknown", ""),
    ] {
        malformed(&with(field));
    }
    malformed(&[]);
    malformed(&GET[1..]);
    malformed(&[GET[0], GET[2]]);
    malformed(&[GET[0], GET[1]]);
    malformed(&[GET[0], GET[1], (":path", "")]);
    malformed(&[GET[0], GET[1], ("a", "b"), GET[2]]);
}

#[test]
fn section_8_1_1_content_length() {
    let request = |length: &'static str| [&POST[..], &[("content-length", length)]].concat();
    let ok = [headers(1, &request("5"), false), data(1, b"he", false), data(1, b"llo", true)].concat();
    assert_eq!(resets(&mut server_ready(), &ok), []);
    let empty_end = [headers(1, &request("5"), false), data(1, b"hello", false), data(1, b"", true)].concat();
    assert_eq!(resets(&mut server_ready(), &empty_end), []);
    for wire in [
        [headers(1, &request("5"), false), data(1, b"hello!", false)].concat(),
        [headers(1, &request("5"), false), data(1, b"hell", true)].concat(),
        [headers(1, &request("5"), false), data(1, b"hell", false), data(1, b"", true)].concat(),
        [headers(1, &request("5"), false), headers(1, &[("a", "b")], true)].concat(),
        headers(1, &request("5"), true),
        headers(1, &request("five"), false),
    ] {
        assert_eq!(resets(&mut server_ready(), &wire), [(1, PROTOCOL)]);
    }
    // Nothing of a body that is too long is handed up.
    let mut server = server_ready();
    let told =
        feed(&mut server, &[headers(1, &request("1"), false), data(1, b"ab", true)].concat(), 1).unwrap();
    assert!(matches!(
        told[..],
        [Told::Headers { .. }, Told::Reset { code: PROTOCOL, cause: ResetCause::Local, .. }]
    ));
}

#[test]
fn section_8_1_trailers_end_the_stream() {
    let trailers =
        |fields: &[(&str, &str)], end| [headers(1, &POST, false), headers(1, fields, end)].concat();
    let told = feed(&mut server_ready(), &trailers(&[("a", "b")], true), 3).unwrap();
    assert!(matches!(told[1], Told::Headers { kind: HeadersKind::Trailers, end: true, .. }));
    for wire in
        [trailers(&[("a", "b")], false), trailers(&[(":path", "/")], true), trailers(&[("A", "b")], true)]
    {
        assert_eq!(resets(&mut server_ready(), &wire), [(1, PROTOCOL)]);
    }
}

/// What a client with a request out makes of `wire`.
fn answered(wire: &[u8]) -> Vec<Told> {
    let mut client = client_ready();
    opened(&mut client, true);
    feed(&mut client, wire, 2).unwrap()
}

#[test]
fn section_8_1_responses() {
    let wire = [
        headers(1, &[(":status", "103"), ("link", "x")], false),
        headers(1, &[(":status", "100")], false),
        headers(1, &OK, false),
        data(1, b"body", false),
        headers(1, &[("grpc-status", "0")], true),
    ]
    .concat();
    let told = answered(&wire);
    let kinds: Vec<_> = told
        .iter()
        .filter_map(|told| if let Told::Headers { kind, .. } = told { Some(*kind) } else { None })
        .collect();
    use HeadersKind::*;
    assert_eq!(kinds, [Informational, Informational, Response, Trailers]);
    // grpc-message may end with a space.
    let told = answered(&headers(1, &[(":status", "200"), ("grpc-message", "no such ")], true));
    assert!(matches!(&told[..], [Told::Headers { end: true, .. }]));
}

#[test]
fn section_8_1_malformed_responses() {
    for wire in [
        headers(1, &[(":status", "103")], true),
        headers(1, &[(":status", "101")], false),
        headers(1, &[("a", "b")], false),
        headers(1, &[(":status", "20")], false),
        headers(1, &[(":status", "200"), (":status", "200")], false),
        headers(1, &[(":status", "200"), (":path", "/")], false),
        data(1, b"x", false),
        [headers(1, &OK, false), headers(1, &[("a", "b")], false)].concat(),
        [headers(1, &[(":status", "200"), ("content-length", "3")], false), data(1, b"four", true)].concat(),
        headers(1, &[(":status", "200"), ("content-length", "3")], true),
    ] {
        let told = answered(&wire);
        let reset = Told::Reset { stream: 1, code: PROTOCOL, cause: ResetCause::Local };
        assert_eq!(told.last(), Some(&reset), "{wire:?}");
    }
}

#[test]
fn content_length_promises_nothing_after_head_and_in_304() {
    let fields = [(":status", "304"), ("content-length", "3")];
    assert!(matches!(answered(&headers(1, &fields, true))[..], [Told::Headers { end: true, .. }]));
    let mut client = client_ready();
    let head = [(":method", "HEAD"), GET[1], GET[2]];
    client.open(NOW, list(&head), true).unwrap();
    let fields = [(":status", "200"), ("content-length", "3")];
    let told = feed(&mut client, &headers(1, &fields, true), usize::MAX).unwrap();
    assert!(matches!(told[..], [Told::Headers { end: true, .. }]));
}

#[test]
fn section_10_5_1_header_lists_that_are_too_large() {
    let config = Config { max_header_list_size: 300, ..Config::server() };
    let long = "v".repeat(200);
    let fields = [&GET[..], &[("a", &long[..]), ("b", "c")]].concat();
    let wire = headers(1, &fields, true);
    for step in [1, 50, usize::MAX] {
        let mut server = server_with(Memory::default(), &config);
        let told = feed(&mut server, &wire, step).unwrap();
        let [Told::Headers { too_large: true, end: true, fields, .. }] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(fields.len(), 4, "what fits is there");
        // The next list is whole again.
        let told = feed(&mut server, &headers(3, &GET, true), step).unwrap();
        assert!(matches!(&told[..], [Told::Headers { too_large: false, .. }]));
    }
}

#[test]
fn a_block_larger_than_the_arena_is_too_large_however_it_is_split() {
    // 12 KiB of fields that the dynamic table takes up, at a server with 4 KiB of everything.
    let value = "v".repeat(120);
    let fields: Vec<u8> = (0..100)
        .flat_map(|i| [&[0x40, 3, b'x', b'0' + i / 10, b'0' + i % 10, 120][..], value.as_bytes()].concat())
        .collect();
    let all = [block(&GET), fields].concat();
    for size in [1_000, 3_000, 16_384] {
        let mut wire = frame(Kind::HEADERS, flags::END_STREAM, 1, &[]);
        let parts: Vec<_> = all.chunks(size).collect();
        for (i, part) in parts.iter().enumerate() {
            let flags = if i + 1 == parts.len() { flags::END_HEADERS } else { 0 };
            wire.extend(frame(Kind::CONTINUATION, flags, 1, part));
        }
        for step in [1, 100, usize::MAX] {
            let mut server = server_with(Memory::new(4, 4_096, 4_096, 8_192), &Config::server());
            let told = feed(&mut server, &wire, step).unwrap();
            assert!(
                matches!(&told[..], [Told::Headers { stream: 1, too_large: true, end: true, .. }]),
                "{told:?}"
            );
            // The dynamic table has followed: its newest entry is the last field.
            let next = [block(&GET), vec![0xbe]].concat();
            let wire = frame(Kind::HEADERS, flags::END_HEADERS | flags::END_STREAM, 3, &next);
            let told = feed(&mut server, &wire, step).unwrap();
            let [Told::Headers { stream: 3, too_large: false, fields, .. }] = &told[..] else {
                panic!("{told:?}")
            };
            assert_eq!(fields[4], ("x99".to_owned(), value.clone()));
        }
    }
}

#[test]
fn a_response_that_is_too_large_is_the_response_all_the_same() {
    let value = "v".repeat(200);
    let fields: Vec<_> = OK.iter().copied().chain([("name", &value[..]); 30]).collect();
    let all = block(&fields);
    let wire = [
        frame(Kind::HEADERS, 0, 1, &all[..100]),
        frame(Kind::CONTINUATION, flags::END_HEADERS, 1, &all[100..]),
        headers(1, &[("grpc-status", "0")], true),
    ];
    let mut client = client_with(Memory::new(4, 4_096, 2_048, 8_192), &Config::client(), &[]);
    opened(&mut client, true);
    let told = feed(&mut client, &wire.concat(), 50).unwrap();
    assert!(
        matches!(&told[0], Told::Headers { kind: HeadersKind::Response, too_large: true, .. }),
        "{told:?}"
    );
    assert!(
        matches!(&told[1], Told::Headers { kind: HeadersKind::Trailers, too_large: false, .. }),
        "{told:?}"
    );
}
