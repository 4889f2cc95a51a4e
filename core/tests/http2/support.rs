//! What the HTTP/2 tests share: storage, a link between two connections, hand-made frames.
#![allow(dead_code)] // each test uses a part

use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Frame, Head, Kind, Settings, flags};
use grpclb_core::hpack::{Field, Indexing};
use grpclb_core::http2::{
    Config, Connection, ConnectionError, Event, HeadersKind, Parts, ResetCause, Storage, StreamKey,
    StreamSlot,
};
use grpclb_core::time::Instant;

pub(crate) const MAGIC: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const NOW: Instant = Instant::from_nanos(1_000_000_000);

/// Memory of a connection.
pub(crate) struct Memory {
    pub(crate) streams: Vec<StreamSlot>,
    pub(crate) decoder_table: Vec<u8>,
    pub(crate) encoder_table: Vec<u8>,
    pub(crate) arena: Vec<u8>,
    pub(crate) outbox: Vec<u8>,
}

impl Memory {
    pub(crate) fn new(streams: usize, table: usize, arena: usize, outbox: usize) -> Memory {
        Memory {
            streams: vec![StreamSlot::FREE; streams],
            decoder_table: vec![0; table],
            encoder_table: vec![0; table],
            arena: vec![0; arena],
            outbox: vec![0; outbox],
        }
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new(16, 4_096, 16_384, 8_192)
    }
}

impl Storage for Memory {
    fn parts(&mut self) -> Parts<'_> {
        Parts {
            streams: &mut self.streams,
            decoder_table: &mut self.decoder_table,
            encoder_table: &mut self.encoder_table,
            arena: &mut self.arena,
            outbox: &mut self.outbox,
        }
    }
}

pub(crate) type Conn = Connection<Memory>;

pub(crate) fn client() -> Conn {
    Connection::new(Memory::default(), &Config::client(), NOW)
}

pub(crate) fn server() -> Conn {
    Connection::new(Memory::default(), &Config::server(), NOW)
}

/// An event that owns what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Headers { stream: u32, kind: HeadersKind, fields: Vec<(String, String)>, end: bool, too_large: bool },
    Data { stream: u32, bytes: Vec<u8>, end: bool },
    Reset { stream: u32, code: ErrorCode, cause: ResetCause },
    Ready,
    GoAway { last: u32, code: ErrorCode, debug: String },
    Writable { stream: u32 },
    Openable,
}

pub(crate) fn told(event: Event<'_, '_>) -> Told {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    match event {
        Event::Headers { stream, kind, fields, end, too_large } => Told::Headers {
            stream: stream.id,
            kind,
            fields: fields.map(|(name, value)| (text(name), text(value))).collect(),
            end,
            too_large,
        },
        Event::Data { stream, bytes, end } => Told::Data { stream: stream.id, bytes: bytes.to_vec(), end },
        Event::Reset { stream, code, cause } => Told::Reset { stream: stream.id, code, cause },
        Event::Ready => Told::Ready,
        Event::GoAway { last, code, debug } => Told::GoAway { last, code, debug: text(debug) },
        Event::Writable { stream } => Told::Writable { stream: stream.id },
        Event::Openable => Told::Openable,
        other => panic!("{other:?}"),
    }
}

/// Hands `bytes` in, `step` octets at a time; DATA of one frame is joined. Nothing is released.
pub(crate) fn feed(conn: &mut Conn, bytes: &[u8], step: usize) -> Result<Vec<Told>, ConnectionError> {
    feed_at(conn, NOW, bytes, step)
}

pub(crate) fn feed_at(
    conn: &mut Conn,
    now: Instant,
    bytes: &[u8],
    step: usize,
) -> Result<Vec<Told>, ConnectionError> {
    let mut all = Vec::new();
    for mut input in bytes.chunks(step.max(1)) {
        loop {
            let before = input.len();
            match conn.recv(now, &mut input)? {
                Some(event) => {
                    let event = told(event);
                    match (all.last_mut(), event) {
                        (
                            Some(Told::Data { stream: a, bytes, end: end @ false }),
                            Told::Data { stream: b, bytes: more, end: last },
                        ) if *a == b => {
                            bytes.extend(more);
                            *end = last;
                        }
                        (_, event) => all.push(event),
                    }
                }
                None if input.is_empty() => break,
                None => assert!(input.len() < before, "recv stalls"),
            }
        }
    }
    Ok(all)
}

/// All events that are not made by input.
pub(crate) fn polled(conn: &mut Conn) -> Vec<Told> {
    let mut all = Vec::new();
    while let Some(event) = conn.poll_event() {
        all.push(told(event));
        assert!(all.len() < 10_000, "poll_event does not end");
    }
    all
}

/// Takes all that the connection transmits.
pub(crate) fn take(conn: &mut Conn) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = conn.transmit(NOW).to_vec();
        if bytes.is_empty() {
            return all;
        }
        conn.transmitted(bytes.len());
        all.extend(bytes);
    }
}

/// The frames in `wire`, by head and payload.
pub(crate) fn frames(wire: &[u8]) -> Vec<(Head, Vec<u8>)> {
    let mut wire = wire.strip_prefix(MAGIC).unwrap_or(wire);
    let mut all = Vec::new();
    while let Some((head, rest)) = wire.split_first_chunk() {
        let head = Head::parse(head);
        let (payload, rest) = rest.split_at(head.length as usize);
        assert!(Frame::parse(&head, payload).is_ok(), "{head:?} {payload:?}");
        all.push((head, payload.to_vec()));
        wire = rest;
    }
    assert!(wire.is_empty(), "half a frame was transmitted");
    all
}

/// A frame of any kind.
pub(crate) fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut wire = Head { length: payload.len() as u32, kind, flags, stream }.to_wire().to_vec();
    wire.extend(payload);
    wire
}

pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = entries
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(Kind::SETTINGS, 0, 0, &payload)
}

pub(crate) fn settings_ack() -> Vec<u8> {
    let mut out = [0; 9];
    Settings::ACK.write(&mut grpclb_core::bytes::Writer::new(&mut out));
    out.to_vec()
}

/// Fields as literals that no table takes up.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            assert!(text.len() < 127 + 128);
            if text.len() < 127 {
                out.push(text.len() as u8);
            } else {
                out.extend([127, (text.len() - 127) as u8]);
            }
            out.extend(text.as_bytes());
        }
    }
    out
}

pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test")];
pub(crate) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "test")];
pub(crate) const OK: [(&str, &str); 1] = [(":status", "200")];

pub(crate) fn headers(stream: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let end = if end { flags::END_STREAM } else { 0 };
    frame(Kind::HEADERS, flags::END_HEADERS | end, stream, &block(fields))
}

pub(crate) fn data(stream: u32, bytes: &[u8], end: bool) -> Vec<u8> {
    frame(Kind::DATA, if end { flags::END_STREAM } else { 0 }, stream, bytes)
}

pub(crate) fn window_update(stream: u32, n: u32) -> Vec<u8> {
    frame(Kind::WINDOW_UPDATE, 0, stream, &n.to_be_bytes())
}

pub(crate) fn rst_stream(stream: u32, code: ErrorCode) -> Vec<u8> {
    frame(Kind::RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

pub(crate) fn list<'f>(fields: &'f [(&'f str, &'f str)]) -> impl Iterator<Item = Field<'f>> + Clone {
    fields.iter().map(|(name, value)| Field {
        name: name.as_bytes(),
        value: value.as_bytes(),
        indexing: Indexing::Incremental,
    })
}

/// A server that has seen the client's preface; what it said so far is dropped.
pub(crate) fn server_ready() -> Conn {
    server_with(Memory::default(), &Config::server())
}

pub(crate) fn server_with(memory: Memory, config: &Config) -> Conn {
    let mut conn = Connection::new(memory, config, NOW);
    let hello = [MAGIC, &settings(&[]), &settings_ack()].concat();
    assert_eq!(feed(&mut conn, &hello, usize::MAX).unwrap(), [Told::Ready]);
    take(&mut conn);
    conn
}

pub(crate) fn client_ready() -> Conn {
    client_with(Memory::default(), &Config::client(), &[])
}

pub(crate) fn client_with(memory: Memory, config: &Config, entries: &[(u16, u32)]) -> Conn {
    let mut conn = Connection::new(memory, config, NOW);
    let hello = [settings(entries), settings_ack()].concat();
    assert_eq!(feed(&mut conn, &hello, usize::MAX).unwrap(), [Told::Ready]);
    take(&mut conn);
    conn
}

/// Opens a stream with POST; what is transmitted is dropped.
pub(crate) fn opened(conn: &mut Conn, end: bool) -> StreamKey {
    let stream = conn.open(NOW, list(&POST), end).unwrap();
    take(conn);
    stream
}

/// What the connection says to `wire`: the code of its GOAWAY and the error.
pub(crate) fn connection_error(mut conn: Conn, wire: &[u8]) -> ErrorCode {
    let mut codes = Vec::new();
    let error = feed(&mut conn, wire, usize::MAX).expect_err("no connection error");
    for (head, payload) in frames(&take(&mut conn)) {
        if head.kind == Kind::GOAWAY {
            codes.push(ErrorCode(u32::from_be_bytes(payload[4..8].try_into().unwrap())));
        }
    }
    assert_eq!(codes, [error.code], "GOAWAY says what recv says");
    assert_eq!(feed(&mut conn, b"x", 1), Err(error), "sticky");
    assert!(conn.is_closed());
    error.code
}

/// What the connection says to `wire`: the RST_STREAMs.
pub(crate) fn resets(conn: &mut Conn, wire: &[u8]) -> Vec<(u32, ErrorCode)> {
    feed(conn, wire, usize::MAX).unwrap();
    frames(&take(conn))
        .into_iter()
        .filter(|(head, _)| head.kind == Kind::RST_STREAM)
        .map(|(head, payload)| (head.stream, ErrorCode(u32::from_be_bytes(payload.try_into().unwrap()))))
        .collect()
}
