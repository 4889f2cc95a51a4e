//! What an exchange tells: events that lend, and the `Copy` tokens they are made of.

use crate::bytes::{Fields, Span};
use crate::grpc::{Code, Piece};

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Status<'c> {
    /// grpc-status, or what stands for it.
    pub code: Code,
    /// grpc-message, percent-decoded: UTF-8, unless the peer sent something else. Or words of this library.
    pub message: &'c [u8],
    /// Trailing metadata, `-bin` values raw (`grpc-status-details-bin` too); when the status was in the response's head, all
    /// there was.
    pub trailers: Fields<'c>,
}

/// What happened. Fields and texts borrow the exchange, message bytes the input alone.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'c, 'i> {
    /// The response's initial metadata.
    Metadata {
        /// The fields that are not gRPC's own, `-bin` values raw.
        metadata: Fields<'c>,
    },
    /// A part of a message.
    Message {
        /// The part, and where it belongs.
        piece: Piece<'i>,
    },
    /// The call is over. Exactly one, and the last event.
    Status {
        /// How it ended.
        status: Status<'c>,
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

/// An [`Event`] that borrows nothing but the input; [`Exchange::event`](super::Exchange::event) tells what it stands for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields are those of `Event`.
pub enum Token<'i> {
    /// [`Event::Metadata`].
    Metadata { metadata: Span },
    /// [`Event::Message`].
    Message { piece: Piece<'i> },
    /// [`Event::Status`].
    Status { code: Code, message: Text, trailers: Span },
}

impl<'i> Token<'i> {
    /// The event, with what it lends from the arena.
    pub(super) fn lend<'c>(self, arena: &'c [u8]) -> Event<'c, 'i> {
        match self {
            Token::Metadata { metadata } => Event::Metadata { metadata: Fields::new(cut(arena, metadata)) },
            Token::Message { piece } => Event::Message { piece },
            Token::Status { code, message, trailers } => {
                let message = match message {
                    Text::Peer(span) => cut(arena, span),
                    Text::Own(text) => text.as_bytes(),
                };
                Event::Status {
                    status: Status { code, message, trailers: Fields::new(cut(arena, trailers)) },
                }
            }
        }
    }
}

fn cut(arena: &[u8], span: Span) -> &[u8] {
    arena.get(span.at as usize..).and_then(|rest| rest.get(..span.len as usize)).unwrap_or_default()
}
