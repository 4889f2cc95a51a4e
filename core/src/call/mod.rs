//! gRPC calls over one HTTP/2 connection: the four verbs.
//!
//! CONTRACT for the host library, refine but keep the shape.

use crate::error::ErrorCode;
use crate::grpc::Code;
pub use crate::grpc::Piece;
use crate::http2::{self, ConnectionError, Fields};
use crate::time::{Duration, Instant};

/// A call. `slot` is dense (`0..streams`), so that an application keeps its state of a call in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    /// The stream's id.
    pub id: u32,
    /// Index into the stream table; reused after the call's last event.
    pub slot: u16,
}

/// What became of a call that failed (gRFC A6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its HEADERS lay wholly in the outbox: can be tried again until the deadline.
    NeverLeft,
    /// REFUSED_STREAM, or above GOAWAY's last id: once, on another endpoint.
    Refused,
    /// The server may have seen it.
    Seen,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Status<'c> {
    /// grpc-status, or what stands for it.
    pub code: Code,
    /// grpc-message, percent-decoded UTF-8 (lossless bytes when the peer sent something else), or our own words.
    pub message: &'c [u8],
    /// Trailing metadata; all fields of a Trailers-Only response.
    pub trailers: Fields<'c>,
    /// Whether it may be tried again.
    pub fate: Fate,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'c, 'i> {
    /// The peer's SETTINGS arrived: usable.
    Ready,
    /// Server: a new call. `end`: no message follows.
    Call { call: CallId, path: &'c [u8], authority: &'c [u8], timeout: Option<Duration>, metadata: Fields<'c>, end: bool },
    /// Client: the response's initial metadata.
    Metadata { call: CallId, metadata: Fields<'c> },
    /// A part of a message. `end`: it is the last part, and the peer sends no more (its half-close came along).
    /// Its octets count against the receive window until [`Connection::release`].
    Message { call: CallId, piece: Piece<'i>, end: bool },
    /// Server: the client half-closed, apart from any message.
    End { call: CallId },
    /// Client: the call is over; exactly one a call, its last event. Server: the call was cancelled, ran out of
    /// its deadline, or lost its connection before a status was sent.
    Status { call: CallId, status: Status<'c> },
    /// A send that was `Blocked` can go on.
    Writable { call: CallId },
    /// `start_call` was `Blocked` and can be tried again.
    Startable,
    /// The peer takes no new calls on this connection; those above `last` end with [`Fate::Refused`].
    GoAway { last: u32, code: ErrorCode, debug: &'c [u8] },
}

/// The head of a call to start. Timeout and metadata are checked; `-bin` values are raw here and become base64.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallHead<'a> {
    /// `/package.Service/Method`.
    pub path: &'a [u8],
    /// `:authority`.
    pub authority: &'a [u8],
    /// Whether `:scheme` is https.
    pub secure: bool,
    /// Deadline from now; core ends the call itself when it passes, and sends `grpc-timeout`.
    pub timeout: Option<Duration>,
    /// Custom metadata, lower-case names, in order.
    pub metadata: &'a [(&'a [u8], &'a [u8])],
    /// `user-agent`; empty: `grpc-libgrpclb/VERSION`.
    pub user_agent: &'a [u8],
}

/// Why a call cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartCallError {
    /// [`Event::Startable`] says when to try again.
    Blocked,
    /// The head can never fit.
    TooLarge,
    /// This connection takes no new calls.
    GoingAway,
    /// The connection is over.
    Closed,
    /// Metadata entry of that index has a name or value that gRPC does not allow.
    BadMetadata(u16),
    /// The path does not begin with `/`, or has octets that HTTP does not allow.
    BadPath,
}

/// Why a message, head or status cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// [`Event::Writable`] says when to try again.
    Blocked,
    /// Can never fit.
    TooLarge,
    /// The call is over, or this side is closed.
    Closed,
    /// `bytes` is not the rest of the message that was begun.
    WrongLength,
    /// Metadata entry of that index.
    BadMetadata(u16),
}

/// Whether more follows on this side of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More messages may follow.
    More,
    /// This was the last (half-close).
    Last,
}

/// Lends a connection its memory.
pub trait Storage {
    /// The parts; the same memory at each call.
    fn parts(&mut self) -> Parts<'_>;
}

/// The lent memory of one connection of calls.
#[derive(Debug)]
pub struct Parts<'a> {
    /// HTTP/2's share.
    pub http2: http2::Parts<'a>,
    /// One a stream.
    pub calls: &'a mut [CallSlot],
}

/// One call's state. All zero is free.
#[derive(Clone, Debug, Default)]
pub struct CallSlot {}

impl CallSlot {
    /// A free slot: all zero, so that a static of them lies in `.bss`.
    pub const FREE: CallSlot = CallSlot {};
}

/// What is set for a connection of calls.
#[derive(Clone, Debug)]
pub struct Config {
    /// HTTP/2's settings.
    pub http2: http2::Config,
    /// Largest message taken, octets (default 4 MiB as in grpc-go); above: RESOURCE_EXHAUSTED.
    pub max_message_size: u32,
}

impl Config {
    /// The client's defaults.
    pub const fn client() -> Config {
        Config { http2: http2::Config::client(), max_message_size: 4 * 1024 * 1024 }
    }

    /// The server's defaults.
    pub const fn server() -> Config {
        Config { http2: http2::Config::server(), max_message_size: 4 * 1024 * 1024 }
    }
}

/// One HTTP/2 connection and its calls.
#[derive(Debug)]
pub struct Connection<S> {
    #[allow(dead_code)]
    storage: S,
}

#[allow(unused_variables)]
impl<S: Storage> Connection<S> {
    /// A new connection over lent memory.
    pub fn new(storage: S, config: &Config, now: Instant) -> Connection<S> {
        todo!()
    }
    /// Bytes in, an event at a time; moves `input` forward; `Ok(None)` when all was taken. Errors are terminal and sticky.
    pub fn recv<'c, 'i>(&'c mut self, now: Instant, input: &mut &'i [u8]) -> Result<Option<Event<'c, 'i>>, ConnectionError> {
        todo!()
    }
    /// An event made by time, by a command, by the wire's end or by `transmitted`. Call it after `recv`, `transmitted`, `handle_timeout`
    /// and `carrier_lost`, until `None`.
    pub fn poll_event(&mut self) -> Option<Event<'_, 'static>> {
        todo!()
    }
    /// Client: starts a call; its HEADERS wait in the outbox.
    pub fn start_call(&mut self, now: Instant, head: &CallHead<'_>) -> Result<CallId, StartCallError> {
        todo!()
    }
    /// Sends (a part of) one message: the first call's length is the message's, later calls pass exactly the rest.
    /// Returns octets taken; `Ok(0)` only for an empty message.
    pub fn send_message(&mut self, call: CallId, bytes: &[u8], end: End) -> Result<usize, SendError> {
        todo!()
    }
    /// Client: no more messages.
    pub fn half_close(&mut self, call: CallId) -> Result<(), SendError> {
        todo!()
    }
    /// Server: the response's initial metadata, before the first message (sent by itself, empty, if it was not).
    pub fn send_metadata(&mut self, call: CallId, metadata: &[(&[u8], &[u8])]) -> Result<(), SendError> {
        todo!()
    }
    /// Server: ends the call. Trailers-Only when nothing was sent before.
    pub fn send_status(&mut self, call: CallId, code: Code, message: &[u8], trailers: &[(&[u8], &[u8])]) -> Result<(), SendError> {
        todo!()
    }
    /// Server: head, one message and status OK, all or nothing.
    pub fn reply(&mut self, call: CallId, bytes: &[u8]) -> Result<(), SendError> {
        todo!()
    }
    /// Gives `n` octets of message bytes back to the receive window.
    pub fn release(&mut self, call: CallId, n: usize) {
        todo!()
    }
    /// Ends the call: RST_STREAM(CANCEL); the client's Status CANCELLED comes from `poll_event`.
    pub fn cancel(&mut self, call: CallId) {
        todo!()
    }
    /// The socket is gone: every call ends, with its fate.
    pub fn carrier_lost(&mut self, now: Instant) {
        todo!()
    }
    /// Graceful end: no new calls, those that run go on.
    pub fn shutdown(&mut self, now: Instant) {
        todo!()
    }
    /// Whether everything is said and done: close the socket once `transmit` is empty.
    pub fn is_closed(&self) -> bool {
        todo!()
    }
    /// Calls that run.
    pub fn calls(&self) -> usize {
        todo!()
    }
    /// The outbox, lent.
    pub fn transmit(&mut self, now: Instant) -> &[u8] {
        todo!()
    }
    /// Octets of it that were written.
    pub fn transmitted(&mut self, n: usize) {
        todo!()
    }
    /// When `handle_timeout` is due: deadlines, keepalive, connection age.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
    /// The clock reached `poll_timeout`.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        todo!()
    }
    /// The storage, to lend an idle connection less.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }
}
