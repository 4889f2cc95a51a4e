//! What a connection tells: events that lend, and the `Copy` tokens they are made of.

use crate::error::ErrorCode;
use crate::grpc::{Code, Piece};
use crate::http2::{Fields, Span, StreamKey};
use crate::time::Duration;

/// A call. `slot` is dense (`0..streams`), so that an application keeps its state of a call in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    /// The stream's id.
    pub id: u32,
    /// Index into the stream table; reused after the call's last event.
    pub slot: u16,
}

impl CallId {
    /// The slot as an index.
    pub const fn index(self) -> usize {
        self.slot as usize
    }

    pub(super) const fn key(self) -> StreamKey {
        StreamKey { id: self.id, slot: self.slot }
    }

    pub(super) const fn of(key: StreamKey) -> CallId {
        CallId { id: key.id, slot: key.slot }
    }
}

/// What became of a call that failed (gRFC A6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its HEADERS lay wholly in the outbox: it can be tried again until the deadline.
    NeverLeft,
    /// REFUSED_STREAM, or above GOAWAY's last id: it can be tried again once, on another endpoint.
    Refused,
    /// The server may have seen it.
    Seen,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Status<'c> {
    /// grpc-status, or what stands for it.
    pub code: Code,
    /// grpc-message, percent-decoded: UTF-8, unless the peer sent something else. Or words of this library.
    pub message: &'c [u8],
    /// Trailing metadata, `-bin` values raw; with a Trailers-Only response all there was.
    pub trailers: Fields<'c>,
    /// Whether it may be tried again.
    pub fate: Fate,
}

/// What happened. Fields and texts borrow the connection, message bytes the input alone.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'c, 'i> {
    /// The peer's SETTINGS arrived: the connection is usable.
    Ready,
    /// Server: a new call.
    Call {
        /// The call.
        call: CallId,
        /// `:path`, as it came.
        path: &'c [u8],
        /// `:authority`, or `host` in its place; empty when there was neither.
        authority: &'c [u8],
        /// The deadline, from now; the connection minds it by itself.
        timeout: Option<Duration>,
        /// Custom metadata and `user-agent`, `-bin` values raw.
        metadata: Fields<'c>,
        /// Whether no message follows.
        end: bool,
    },
    /// Client: the response's initial metadata.
    Metadata {
        /// The call.
        call: CallId,
        /// Custom metadata, `-bin` values raw.
        metadata: Fields<'c>,
    },
    /// A part of a message. Its octets count against the receive window until
    /// [`release`](super::Connection::release).
    Message {
        /// The call.
        call: CallId,
        /// The part, and where it belongs.
        piece: Piece<'i>,
        /// It is the last part, and the peer sends no more (its half-close came along). Never at a client: the
        /// status comes there.
        end: bool,
    },
    /// Server: the client half-closed, apart from any message.
    End {
        /// The call.
        call: CallId,
    },
    /// Client: the call is over. Exactly one a call, and its last event. Server: the call is over before a status was
    /// sent; it was cancelled, ran out of its deadline, broke the protocol, or lost its connection.
    Status {
        /// The call.
        call: CallId,
        /// How it ended.
        status: Status<'c>,
    },
    /// A send that was `Blocked`, or took a part only, can go on.
    Writable {
        /// The call.
        call: CallId,
    },
    /// `start_call` was `Blocked` and can be tried again.
    Startable,
    /// The peer takes no new calls on this connection; those above `last` end with [`Fate::Refused`].
    GoAway {
        /// Last stream id that the peer may have processed.
        last: u32,
        /// Why.
        code: ErrorCode,
        /// The peer's words.
        debug: &'c [u8],
    },
}

/// A text: in the arena, or this library's own.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// In the arena.
    Peer(Span),
    /// Words of this library.
    Own(&'static str),
}

/// An [`Event`] that borrows nothing but the input: fields are places in the arena, valid until the next `recv`.
/// See [`Connection::recv_batch`](super::Connection::recv_batch).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields are those of `Event`.
pub enum Token<'i> {
    /// [`Event::Ready`].
    Ready,
    /// [`Event::Call`].
    Call { call: CallId, path: Span, authority: Span, timeout: Option<Duration>, metadata: Span, end: bool },
    /// [`Event::Metadata`].
    Metadata { call: CallId, metadata: Span },
    /// [`Event::Message`].
    Message { call: CallId, piece: Piece<'i>, end: bool },
    /// [`Event::End`].
    End { call: CallId },
    /// [`Event::Status`].
    Status { call: CallId, code: Code, message: Text, trailers: Span, fate: Fate },
    /// [`Event::Writable`].
    Writable { call: CallId },
    /// [`Event::Startable`].
    Startable,
    /// [`Event::GoAway`].
    GoAway { last: u32, code: ErrorCode, debug: Span },
}

impl<'i> Token<'i> {
    /// The event, with what it lends from the arena.
    pub(super) fn lend<'c>(self, arena: &'c [u8]) -> Event<'c, 'i> {
        let bytes = |span: Span| cut(arena, span);
        let fields = |span: Span| Fields::new(cut(arena, span));
        match self {
            Token::Ready => Event::Ready,
            Token::Call { call, path, authority, timeout, metadata, end } => Event::Call {
                call,
                path: bytes(path),
                authority: bytes(authority),
                timeout,
                metadata: fields(metadata),
                end,
            },
            Token::Metadata { call, metadata } => Event::Metadata { call, metadata: fields(metadata) },
            Token::Message { call, piece, end } => Event::Message { call, piece, end },
            Token::End { call } => Event::End { call },
            Token::Status { call, code, message, trailers, fate } => {
                let message = match message {
                    Text::Peer(span) => bytes(span),
                    Text::Own(text) => text.as_bytes(),
                };
                Event::Status { call, status: Status { code, message, trailers: fields(trailers), fate } }
            }
            Token::Writable { call } => Event::Writable { call },
            Token::Startable => Event::Startable,
            Token::GoAway { last, code, debug } => Event::GoAway { last, code, debug: bytes(debug) },
        }
    }
}

/// What lies at `span`.
pub(super) fn cut(arena: &[u8], span: Span) -> &[u8] {
    arena.get(span.at as usize..).and_then(|rest| rest.get(..span.len as usize)).unwrap_or_default()
}

/// What lies at `span`, to be rewritten.
pub(super) fn cut_mut(arena: &mut [u8], span: Span) -> &mut [u8] {
    arena.get_mut(span.at as usize..).and_then(|rest| rest.get_mut(..span.len as usize)).unwrap_or_default()
}
