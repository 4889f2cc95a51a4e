//! RFC 9113 §6: each frame type's own errors; layouts byte by byte.

use super::support::*;
use grpclb_core::bytes::Writer;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{
    Continuation, Data, Frame, GoAway, Head, Headers, Kind, Ping, Priority, PushPromise, RstStream, Setting,
    SettingId, Settings, WindowUpdate, flags,
};

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
const SIZE: ErrorCode = ErrorCode::FRAME_SIZE_ERROR;

/// The frame reads as `frame` and writes as `wire`.
fn layout(wire: &[u8], frame: Frame<'_>) {
    let (head, payload) = wire.split_first_chunk().unwrap();
    assert_eq!(Frame::parse(&Head::parse(head), payload), Ok(frame));
    let mut buffer = vec![0; wire.len()];
    let mut out = Writer::new(&mut buffer);
    frame.write(&mut out);
    assert_eq!(out.finish(), Some(wire.len()));
    assert_eq!(buffer, wire);
}

#[test]
fn layouts() {
    layout(
        b"\0\0\x03\0\x01\0\0\0\x05abc",
        Frame::Data(Data { stream: 5, end_stream: true, padding: None, data: b"abc" }),
    );
    layout(
        b"\0\0\x06\0\x08\0\0\0\x05\x02abc\0\0",
        Frame::Data(Data { stream: 5, end_stream: false, padding: Some(2), data: b"abc" }),
    );
    let priority = Priority { exclusive: true, dependency: 3, weight: 15 };
    layout(
        b"\0\0\x09\x01\x2d\0\0\0\x07\x01\x80\0\0\x03\x0f\x82\x86\0",
        Frame::Headers(Headers {
            stream: 7,
            end_stream: true,
            end_headers: true,
            padding: Some(1),
            priority: Some(priority),
            fragment: &[0x82, 0x86],
        }),
    );
    layout(b"\0\0\x05\x02\0\0\0\0\x09\x80\0\0\x03\x0f", Frame::Priority(9, priority));
    let code = ErrorCode::CANCEL;
    layout(b"\0\0\x04\x03\0\0\0\0\x09\0\0\0\x08", Frame::RstStream(RstStream { stream: 9, code }));
    layout(b"\0\0\0\x04\x01\0\0\0\0", Frame::Settings(Settings::ACK));
    layout(
        b"\0\0\x08\x05\x0c\0\0\0\x01\x01\0\0\0\x02\x82\x86\0",
        Frame::PushPromise(PushPromise {
            stream: 1,
            end_headers: true,
            padding: Some(1),
            promised: 2,
            fragment: &[0x82, 0x86],
        }),
    );
    layout(b"\0\0\x08\x06\x01\0\0\0\0pingpong", Frame::Ping(Ping { ack: true, data: *b"pingpong" }));
    let code = ErrorCode::ENHANCE_YOUR_CALM;
    layout(
        b"\0\0\x0b\x07\0\0\0\0\0\0\0\0\x09\0\0\0\x0bwhy",
        Frame::GoAway(GoAway { last: 9, code, debug: b"why" }),
    );
    layout(
        b"\0\0\x04\x08\0\0\0\0\x01\x7f\xff\xff\xff",
        Frame::WindowUpdate(WindowUpdate { stream: 1, increment: (1 << 31) - 1 }),
    );
    layout(
        b"\0\0\x02\x09\x04\0\0\0\x01\x82\x86",
        Frame::Continuation(Continuation { stream: 1, end_headers: true, fragment: &[0x82, 0x86] }),
    );
    let wire = b"\0\0\x01\x77\xff\0\0\0\x01x";
    let (head, payload) = wire.split_first_chunk().unwrap();
    layout(wire, Frame::Unknown(Head::parse(head), payload));
}

#[test]
fn settings_entries() {
    let wire = settings(&[(3, 100), (0x4d, 7)]);
    let (head, payload) = wire.split_first_chunk().unwrap();
    let Ok(Frame::Settings(parsed)) = Frame::parse(&Head::parse(head), payload) else { panic!() };
    let entries: Vec<_> = parsed.entries().collect();
    let unknown = Setting { id: SettingId(0x4d), value: 7 };
    assert_eq!(entries, [Setting { id: SettingId::MAX_CONCURRENT_STREAMS, value: 100 }, unknown]);
    let mut buffer = [0; 100];
    let mut out = Writer::new(&mut buffer);
    Settings::write_entries(&entries, &mut out);
    assert_eq!(out.finish(), Some(wire.len()));
    assert_eq!(buffer[..wire.len()], wire);
}

/// A server with stream 1 open.
fn open() -> Conn {
    let mut server = server_ready();
    feed(&mut server, &headers(1, &POST, false), usize::MAX).unwrap();
    server
}

#[track_caller]
fn ends_connection(code: ErrorCode, wire: &[u8]) {
    assert_eq!(connection_error(open(), wire), code, "{wire:?}");
}

#[test]
fn section_6_1_data() {
    ends_connection(PROTOCOL, &data(0, b"x", false));
    ends_connection(PROTOCOL, &frame(Kind::DATA, flags::PADDED, 1, &[1]));
    ends_connection(PROTOCOL, &frame(Kind::DATA, flags::PADDED, 1, &[6, 0, 0, 0, 0, 0]));
    ends_connection(SIZE, &frame(Kind::DATA, flags::PADDED, 1, &[]));
    // Padding alone is content of nothing.
    let all = frame(Kind::DATA, flags::PADDED | flags::END_STREAM, 1, &[5, 0, 0, 0, 0, 0]);
    for step in [1, usize::MAX] {
        let told = feed(&mut open(), &all, step).unwrap();
        assert_eq!(told, [Told::Data { stream: 1, bytes: vec![], end: true }]);
    }
}

#[test]
fn section_6_2_headers() {
    ends_connection(PROTOCOL, &headers(0, &GET, true));
    let padded = |n: u8| frame(Kind::HEADERS, flags::PADDED | flags::END_HEADERS, 3, &[n, 0x82]);
    ends_connection(PROTOCOL, &padded(2));
    let cut = |flags, n: usize| frame(Kind::HEADERS, flags | flags::END_HEADERS, 3, &[0; 8][..n]);
    ends_connection(SIZE, &cut(flags::PADDED, 0));
    ends_connection(SIZE, &cut(flags::PRIORITY, 4));
    ends_connection(SIZE, &cut(flags::PRIORITY | flags::PADDED, 5));
    // Padding and priority around a block, at every split.
    let payload = [&[3, 0x80, 0, 0, 9, 16], &block(&GET)[..], &[0; 3]].concat();
    let all = flags::PADDED | flags::PRIORITY | flags::END_HEADERS | flags::END_STREAM;
    let wire = [frame(Kind::HEADERS, all, 3, &payload), headers(5, &GET, true)].concat();
    for step in 1..wire.len() {
        let told = feed(&mut open(), &wire, step).unwrap();
        assert!(
            matches!(
                &told[..],
                [Told::Headers { stream: 3, end: true, .. }, Told::Headers { stream: 5, .. }]
            ),
            "{step}: {told:?}"
        );
    }
    let itself = [&[0, 0, 0, 3, 16], &block(&GET)[..]].concat();
    let wire = frame(Kind::HEADERS, flags::PRIORITY | flags::END_HEADERS, 3, &itself);
    assert_eq!(resets(&mut open(), &wire), [(3, PROTOCOL)]);
}

#[test]
fn section_6_3_priority() {
    ends_connection(PROTOCOL, &frame(Kind::PRIORITY, 0, 0, &[0; 5]));
    assert_eq!(resets(&mut open(), &frame(Kind::PRIORITY, 0, 1, &[0; 4])), [(1, SIZE)]);
    assert_eq!(resets(&mut open(), &frame(Kind::PRIORITY, 0, 1, &[0; 6])), [(1, SIZE)]);
    assert_eq!(resets(&mut open(), &frame(Kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 16])), [(1, PROTOCOL)]);
    // What it says has no effect.
    assert_eq!(feed(&mut open(), &frame(Kind::PRIORITY, 0, 1, &[0x80, 0, 0, 0, 16]), 2).unwrap(), []);
}

#[test]
fn section_6_4_rst_stream() {
    ends_connection(PROTOCOL, &rst_stream(0, ErrorCode::CANCEL));
    ends_connection(SIZE, &frame(Kind::RST_STREAM, 0, 1, &[0; 3]));
    ends_connection(SIZE, &frame(Kind::RST_STREAM, 0, 1, &[0; 5]));
    ends_connection(PROTOCOL, &frame(Kind::RST_STREAM, 0, 0, &[0; 5]));
}

#[test]
fn section_6_6_push_promise_although_push_is_off() {
    let promise =
        frame(Kind::PUSH_PROMISE, flags::END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block(&GET)].concat());
    ends_connection(PROTOCOL, &promise);
    let mut client = client_ready();
    opened(&mut client, true);
    assert_eq!(connection_error(client, &promise), PROTOCOL);
}

#[test]
fn section_6_7_ping() {
    ends_connection(PROTOCOL, &frame(Kind::PING, 0, 1, &[0; 8]));
    ends_connection(SIZE, &frame(Kind::PING, 0, 0, &[0; 7]));
    ends_connection(SIZE, &frame(Kind::PING, 0, 0, &[0; 9]));
    ends_connection(SIZE, &frame(Kind::PING, flags::ACK, 0, &[]));
    let mut server = open();
    feed(&mut server, &frame(Kind::PING, 0, 0, b"12345678"), 3).unwrap();
    assert_eq!(take(&mut server), frame(Kind::PING, flags::ACK, 0, b"12345678"));
    feed(&mut server, &frame(Kind::PING, flags::ACK, 0, b"12345678"), 3).unwrap();
    assert_eq!(take(&mut server), [], "answers are not answered");
}

#[test]
fn section_6_9_window_update() {
    ends_connection(SIZE, &frame(Kind::WINDOW_UPDATE, 0, 1, &[0; 3]));
    ends_connection(SIZE, &frame(Kind::WINDOW_UPDATE, 0, 0, &[0; 5]));
}

#[test]
fn section_6_10_continuation() {
    let fields = block(&GET);
    let first = frame(Kind::HEADERS, flags::END_STREAM, 3, &fields[..7]);
    let last = frame(Kind::CONTINUATION, flags::END_HEADERS, 3, &fields[7..]);
    // Nothing may come between.
    for other in [
        data(1, b"x", false),
        headers(3, &GET, true),
        frame(Kind::PRIORITY, 0, 3, &[0; 5]),
        frame(Kind::PING, 0, 0, &[0; 8]),
        settings(&[]),
        frame(Kind(0x99), 0, 0, &[]),
        frame(Kind::CONTINUATION, flags::END_HEADERS, 5, &fields[7..]),
        frame(Kind::CONTINUATION, flags::END_HEADERS, 0, &fields[7..]),
    ] {
        ends_connection(PROTOCOL, &[&first[..], &other].concat());
    }
    ends_connection(PROTOCOL, &last);
    ends_connection(PROTOCOL, &[headers(3, &GET, false), last.clone()].concat());
    // In any number of fragments, empty ones too, at any split.
    for size in 1..fields.len() {
        let mut wire = frame(Kind::HEADERS, flags::END_STREAM, 3, &[]);
        let parts: Vec<_> = fields.chunks(size.max(4)).collect();
        for (i, part) in parts.iter().enumerate() {
            let flags = if i + 1 == parts.len() { flags::END_HEADERS } else { 0 };
            wire.extend(frame(Kind::CONTINUATION, flags, 3, part));
        }
        for step in [1, 2, 9, 10, 11, usize::MAX] {
            let told = feed(&mut open(), &wire, step).unwrap();
            assert!(
                matches!(&told[..], [Told::Headers { stream: 3, end: true, .. }]),
                "{size} {step}: {told:?}"
            );
        }
    }
}
