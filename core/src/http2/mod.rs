//! One HTTP/2 connection, client or server (RFC 9113): preface, settings, streams, flow control, shutdown.
//!
//! CONTRACT between http2 and call (refine, keep the shape). [`Engine`] is the machine, over lent [`Parts`];
//! [`Connection`] is the public four-verb form of it for HTTP/2 alone (h2_server, h2_client use it).

use crate::error::ErrorCode;
use crate::hpack;
use crate::time::{Duration, Instant};

/// A stream and its place in the stream table. `slot` is dense: `0..streams`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// RFC 9113 §5.1.1.
    pub id: u32,
    /// Index into the lent table; reused after the stream's last event, under a new id.
    pub slot: u16,
}

/// A place in the header arena. Valid until the next `recv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset, octets.
    pub at: u32,
    /// Length, octets.
    pub len: u32,
}

/// Packed header fields: `u16 name length, u16 value length, name, value`, repeated (network byte order).
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    #[allow(dead_code)]
    packed: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

impl<'a> Fields<'a> {
    /// Of that packed form.
    pub const fn new(packed: &'a [u8]) -> Fields<'a> {
        Fields { packed }
    }
    /// The first field of that name.
    pub fn get(&self, _name: &[u8]) -> Option<&'a [u8]> {
        todo!()
    }
    /// The packed form, as C, Go and Python read it.
    pub fn packed(&self) -> &'a [u8] {
        self.packed
    }
}

/// Which header list it is (RFC 9113 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersKind {
    /// A request: a new stream at the server.
    Request,
    /// 1xx.
    Informational,
    /// The final response.
    Response,
    /// Trailers, of either side.
    Trailers,
}

/// What happened; bytes are the caller's input, fields lie in the arena.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Token<'i> {
    /// A validated header list (RFC 9113 §8.2, §8.3).
    Headers { stream: StreamKey, kind: HeadersKind, fields: Span, end: bool, too_large: bool },
    /// Bytes of a DATA frame, padding apart. They count against the windows until [`Engine::release`]. When this
    /// token is given, `*input` begins right behind `bytes` (padding is passed over by the next `recv`): `call`
    /// moves `*input` back to the second message of a frame.
    Data { stream: StreamKey, bytes: &'i [u8], end: bool },
    /// The stream ended early: the peer's RST_STREAM, a stream error of the peer's found here (a RST_STREAM is
    /// due or sent), or the peer's GOAWAY named a lower last id. The stream's last token.
    Reset { stream: StreamKey, code: ErrorCode, cause: ResetCause },
    /// The peer's first SETTINGS arrived: the connection is usable (READY).
    Ready,
    /// The peer goes away; no new streams. `debug` lies in the arena.
    GoAway { last: u32, code: ErrorCode, debug: Span },
    /// A send on this stream that was blocked can go on.
    Writable { stream: StreamKey },
    /// `open` was blocked (outbox, or the peer's SETTINGS_MAX_CONCURRENT_STREAMS) and can be tried again.
    Openable,
}

/// Who ended a stream early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// The peer's RST_STREAM.
    Peer,
    /// A stream error found here (RFC 9113 §5.4.2).
    Local,
    /// Above the last stream id of the peer's GOAWAY: not processed (RFC 9113 §6.8).
    GoAway,
}

/// The lent memory of one connection.
#[derive(Debug)]
pub struct Parts<'a> {
    /// One a concurrent stream, at most 65 534.
    pub streams: &'a mut [StreamSlot],
    /// Dynamic table of the decoder, octets; announced as SETTINGS_HEADER_TABLE_SIZE.
    pub decoder_table: &'a mut [u8],
    /// Dynamic table of the encoder, octets.
    pub encoder_table: &'a mut [u8],
    /// Header fields and split header blocks.
    pub arena: &'a mut [u8],
    /// Bytes to transmit.
    pub outbox: &'a mut [u8],
}

/// One stream's state. All zero is free.
#[derive(Clone, Debug, Default)]
pub struct StreamSlot {}

impl StreamSlot {
    /// A free slot: all zero, so that a static of them lies in `.bss`.
    pub const FREE: StreamSlot = StreamSlot {};
}

/// A connection error (RFC 9113 §5.4.1): terminal; `transmit` still yields the GOAWAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// What the GOAWAY says (or said, when the peer ended it).
    pub code: ErrorCode,
    /// What was wrong, in a few words.
    pub reason: &'static str,
}

/// What is set for a connection; every field has a documented default.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether this side is the server.
    pub server: bool,
    /// Receive window of a stream, octets.
    pub stream_window: u32,
    /// Receive window of the connection, octets.
    pub connection_window: u32,
    /// Streams that the peer may open at once (server), bounded by the stream table.
    pub max_concurrent_streams: u32,
    /// Largest header list taken, in RFC 9113 §6.5.2's counting.
    pub max_header_list_size: u32,
    /// Keepalive: PING after this long without a received byte (gRFC A8); `None`: off.
    pub keepalive_time: Option<Duration>,
    /// How long to wait for any byte after that PING.
    pub keepalive_timeout: Duration,
    /// Server: GOAWAY after this age, jittered ±10 % by `seed` (gRFC A9).
    pub max_connection_age: Option<Duration>,
    /// Server: close this long after that; `None`: wait for the streams.
    pub max_connection_age_grace: Option<Duration>,
    /// Varies jitter; no randomness inside.
    pub seed: u64,
}

impl Config {
    /// The client's defaults.
    pub const fn client() -> Config {
        todo!()
    }
    /// The server's defaults.
    pub const fn server() -> Config {
        todo!()
    }
}

/// Why a stream cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// No room in outbox, table, or the peer's SETTINGS_MAX_CONCURRENT_STREAMS: [`Token::Openable`] says when.
    Blocked,
    /// The fields can never fit the outbox, or are above the peer's SETTINGS_MAX_HEADER_LIST_SIZE.
    TooLarge,
    /// GOAWAY was received or sent, or the ids are used up: open it on another connection.
    GoingAway,
    /// The connection is over.
    Closed,
}

/// Why something cannot be sent on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// Outbox or flow-control window is full: [`Token::Writable`] says when.
    Blocked,
    /// Can never fit.
    TooLarge,
    /// The stream is over, or this side of it is closed.
    Closed,
}

/// Everything of a connection that is not lent.
#[derive(Debug)]
pub struct State {}

impl State {
    /// The state of a new connection. The preface and SETTINGS are written into the outbox at the first `transmit`.
    pub fn new(_config: &Config, _now: Instant) -> State {
        todo!()
    }
    /// Octets at the front of the arena that are in use (fields of the tokens since the last batch began, a split
    /// header block). What lies behind them is scratch for `call` between two verbs (base64 of `-bin` values);
    /// `call` also rewrites the fields of a span in place.
    pub fn arena_used(&self) -> usize {
        todo!()
    }
    /// When [`Engine::handle_timeout`] is due (without the parts: `call` says it from `&self`).
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
    /// Counts `octets` more of the arena's front as used, when they are there: a list of fields that `call` rewrites
    /// becomes longer where joined `-bin` values are split. Valid right after the token whose fields lie last.
    pub fn arena_extend(&mut self, arena_len: usize, octets: usize) -> bool {
        todo!()
    }
    /// The tokens given so far are done with: all of the arena but a split header block is free again. (A `recv`
    /// that begins a batch does so, too.)
    pub fn arena_clear(&mut self) {
        todo!()
    }
    /// Whether everything is said and done: after an error, or a shutdown whose streams are done, once the outbox is empty.
    pub fn is_closed(&self) -> bool {
        todo!()
    }
}

/// The machine: state and lent parts, put together for the length of one call.
#[derive(Debug)]
pub struct Engine<'a> {
    /// Owned.
    pub state: &'a mut State,
    /// Lent.
    pub parts: Parts<'a>,
}

#[allow(unused_variables)]
impl<'a> Engine<'a> {
    /// Takes input up to the next token. Sticky error. `Ok(None)`: all input was taken.
    pub fn recv<'i>(&mut self, now: Instant, input: &mut &'i [u8]) -> Result<Option<Token<'i>>, ConnectionError> {
        todo!()
    }
    /// A token made by time, by a command or by `transmitted`.
    pub fn poll(&mut self) -> Option<Token<'static>> {
        todo!()
    }
    /// The fields of a token, until the next `recv`.
    pub fn fields(&self, span: Span) -> Fields<'_> {
        todo!()
    }
    /// Opens a stream (client). `fields` with the pseudo-header fields first; all or nothing.
    pub fn open<'f>(&mut self, now: Instant, fields: impl Iterator<Item = hpack::Field<'f>> + Clone, end: bool) -> Result<StreamKey, OpenError> {
        todo!()
    }
    /// Sends a header list on an open stream: response, trailers.
    pub fn send_headers<'f>(&mut self, stream: StreamKey, fields: impl Iterator<Item = hpack::Field<'f>> + Clone, end: bool) -> Result<(), StreamError> {
        todo!()
    }
    /// Sends DATA: `prefix` (a length prefix, say) whole or not at all, then as much of `bytes` as outbox and
    /// windows take; `end` is set on the frame that carries the last of `bytes`. Returns octets of `bytes` taken.
    /// Nothing taken at all (not even the prefix) is `Err(Blocked)`. The prefix goes only along with at least one
    /// octet of `bytes` (unless `bytes` is empty), so `Ok(0)` means that all was taken. [`Token::Writable`]
    /// follows `Blocked` and a part.
    pub fn send_data(&mut self, stream: StreamKey, prefix: &[u8], bytes: &[u8], end: bool) -> Result<usize, StreamError> {
        todo!()
    }
    /// Whether header blocks of up to `headers` octets (their frame heads counted) and `data` octets of DATA can be
    /// taken now, all at once. `Blocked`: the outbox has no room now, [`Token::Writable`] follows. `TooLarge`: the
    /// outbox can never hold it, or a window is smaller than `data`.
    pub fn check_room(&mut self, stream: StreamKey, headers: usize, data: usize) -> Result<(), StreamError> {
        todo!()
    }
    /// Gives back `n` octets of receive window, of the stream and of the connection. Of the connection alone when
    /// the stream is over. (What a stream did not release at its end is given back to the connection by itself.)
    pub fn release(&mut self, stream: StreamKey, n: u32) {
        todo!()
    }
    /// Ends a stream by RST_STREAM; no token follows. NO_ERROR after a complete early response (RFC 9113 §8.1).
    pub fn reset(&mut self, stream: StreamKey, code: ErrorCode) {
        todo!()
    }
    /// Whether any octet of the stream's opening HEADERS was handed out by `transmitted` (else: never left). Also
    /// of the stream of a [`Token::Reset`], until the next verb.
    pub fn has_left(&self, stream: StreamKey) -> bool {
        todo!()
    }
    /// Streams that could be opened now.
    pub fn room(&self) -> u32 {
        todo!()
    }
    /// Open streams.
    pub fn open_streams(&self) -> u32 {
        todo!()
    }
    /// Graceful: GOAWAY(2^31-1) and a PING, then after its answer GOAWAY(real last id) (RFC 9113 §6.8). A client
    /// sends one GOAWAY. [`State::is_closed`] once the streams are done.
    pub fn shutdown(&mut self, now: Instant) {
        todo!()
    }
    /// At once: GOAWAY(code), nothing more is received.
    pub fn close(&mut self, code: ErrorCode, reason: &'static str) {
        todo!()
    }
    /// The outbox, lent (for as long as the parts are, so that `call` can hand it on).
    pub fn transmit(self, now: Instant) -> &'a [u8] {
        todo!()
    }
    /// Octets of `transmit` that were written.
    pub fn transmitted(&mut self, n: usize) {
        todo!()
    }
    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
    /// Keepalive, connection age. A keepalive that went unanswered is a connection error.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        todo!()
    }
}
