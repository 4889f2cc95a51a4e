//! One HTTP/2 connection, client or server (RFC 9113): preface, settings, streams, flow control, shutdown.
//!
//! [`Engine`] is the machine, over lent [`Parts`]; `call` runs gRPC on it. [`Connection`] is the same machine with
//! its storage, four verbs over HTTP/2 alone: bytes in by `recv`, bytes out by `transmit` and `transmitted`, the
//! clock by `poll_timeout` and `handle_timeout`, and commands.
//!
//! `recv` takes all input it is given, at any split, a token at a time. Nothing is copied but header fields, into
//! the arena; nothing grows: streams live in lent slots, found by their id in constant time, and what a peer
//! provokes waits as bits in the slots and as small counters, never in the outbox.

mod config;
mod connection;
mod control;
mod data;
mod engine;
mod header_block;
mod keepalive;
mod limits;
mod outbox;
mod preface;
mod queue;
mod recv;
mod send;
mod settings;
mod shutdown;
mod stream;
mod validate;
mod window;

pub use crate::bytes::{Fields, Span};
pub use config::Config;
pub use connection::{Connection, Event, Storage};
pub use engine::{Engine, Parts, State};
pub use limits::{Limits, Rate};
pub use stream::StreamSlot;

use crate::error::ErrorCode;

/// A stream and its place in the stream table. `slot` is dense: `0..streams`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// RFC 9113 §5.1.1.
    pub id: u32,
    /// Index into the lent table; reused after the stream's last event, under a new id.
    pub slot: u16,
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
    Headers {
        /// Whose.
        stream: StreamKey,
        /// Which.
        kind: HeadersKind,
        /// The fields; [`Engine::fields`].
        fields: Span,
        /// The peer's side of the stream ends here.
        end: bool,
        /// The list was larger than we take: `fields` has its beginning, or nothing. A server answers 431.
        too_large: bool,
    },
    /// Bytes of a DATA frame, padding apart. They count against the windows until [`Engine::release`]. When this
    /// token is given, `*input` begins right behind `bytes` (padding is passed over by the next `recv`): `call`
    /// moves `*input` back to the second message of a frame.
    Data {
        /// Whose.
        stream: StreamKey,
        /// In the caller's input.
        bytes: &'i [u8],
        /// The peer's side of the stream ends behind them.
        end: bool,
    },
    /// The stream ended early: the peer's RST_STREAM, a stream error of the peer's found here (a RST_STREAM is
    /// due or sent), or the peer's GOAWAY named a lower last id. The stream's last token.
    Reset {
        /// Whose.
        stream: StreamKey,
        /// Why.
        code: ErrorCode,
        /// By whom.
        cause: ResetCause,
    },
    /// The peer's first SETTINGS arrived: the connection is usable (READY).
    Ready,
    /// The peer goes away; no new streams. `debug` lies in the arena.
    GoAway {
        /// The last of our streams that was or may be processed.
        last: u32,
        /// Why.
        code: ErrorCode,
        /// Words for people, up to 256 octets of them; not packed fields.
        debug: Span,
    },
    /// A send on this stream that was blocked can go on.
    Writable {
        /// Which.
        stream: StreamKey,
    },
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

/// A connection error (RFC 9113 §5.4.1): terminal; `transmit` still yields the GOAWAY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// What the GOAWAY says (or said, when the peer ended it).
    pub code: ErrorCode,
    /// What was wrong, in a few words.
    pub reason: &'static str,
}

impl core::fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

impl core::error::Error for ConnectionError {}

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
