//! HTTP/2 frames (RFC 9113 §4, §6): one file a frame type, parsed from and written into lent bytes.
//!
//! [`Frame::parse`] takes a [`Head`] and a whole payload; each type can be used by itself, too. What is checked
//! here is what can be seen in one frame alone: sizes, padding, stream 0 or not. The rest is `http2`'s.

mod continuation;
mod data;
mod goaway;
mod head;
mod headers;
mod parse;
mod ping;
mod priority;
mod push_promise;
mod rst_stream;
mod settings;
mod window_update;

pub use continuation::Continuation;
pub use data::Data;
pub use goaway::GoAway;
pub use head::{Head, Kind, flags};
pub use headers::Headers;
pub use ping::Ping;
pub use priority::Priority;
pub use push_promise::PushPromise;
pub use rst_stream::RstStream;
pub use settings::{Setting, SettingId, Settings};
pub use window_update::WindowUpdate;

use crate::bytes::Writer;
use crate::error::ErrorCode;

/// The largest payload that every endpoint takes (RFC 9113 §4.2), octets.
pub const DEFAULT_MAX_FRAME_SIZE: u32 = 16_384;
/// The largest value that SETTINGS_MAX_FRAME_SIZE can have (RFC 9113 §6.5.2), octets.
pub const LARGEST_MAX_FRAME_SIZE: u32 = (1 << 24) - 1;
/// The largest stream identifier (RFC 9113 §5.1.1).
pub const MAX_STREAM_ID: u32 = (1 << 31) - 1;

/// How far an error reaches (RFC 9113 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The connection ends with GOAWAY (RFC 9113 §5.4.1).
    Connection,
    /// The stream ends with RST_STREAM (RFC 9113 §5.4.2).
    Stream,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// The code that RFC 9113 §6 gives it.
    pub code: ErrorCode,
    /// How far it reaches.
    pub scope: Scope,
    /// What is wrong, in a few words.
    pub reason: &'static str,
}

impl FrameError {
    pub(crate) const fn size(reason: &'static str) -> FrameError {
        FrameError { code: ErrorCode::FRAME_SIZE_ERROR, scope: Scope::Connection, reason }
    }

    pub(crate) const fn protocol(reason: &'static str) -> FrameError {
        FrameError { code: ErrorCode::PROTOCOL_ERROR, scope: Scope::Connection, reason }
    }

    pub(crate) const fn of_stream(self) -> FrameError {
        FrameError { scope: Scope::Stream, ..self }
    }
}

/// A frame of any type; bytes are borrowed from the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// RFC 9113 §6.1.
    Data(Data<'a>),
    /// RFC 9113 §6.2.
    Headers(Headers<'a>),
    /// RFC 9113 §6.3: the stream it is sent for, and its content.
    Priority(u32, Priority),
    /// RFC 9113 §6.4.
    RstStream(RstStream),
    /// RFC 9113 §6.5.
    Settings(Settings<'a>),
    /// RFC 9113 §6.6.
    PushPromise(PushPromise<'a>),
    /// RFC 9113 §6.7.
    Ping(Ping),
    /// RFC 9113 §6.8.
    GoAway(GoAway<'a>),
    /// RFC 9113 §6.9.
    WindowUpdate(WindowUpdate),
    /// RFC 9113 §6.10.
    Continuation(Continuation<'a>),
    /// A type that RFC 9113 does not define: passed over (RFC 9113 §4.1).
    Unknown(Head, &'a [u8]),
}

impl<'a> Frame<'a> {
    /// The frame of `head` and its whole `payload`.
    ///
    /// # Errors
    /// What RFC 9113 §6 says about the type; FRAME_SIZE_ERROR when `payload` is not as long as `head` says.
    ///
    /// ```
    /// use grpclb_core::frame::{Frame, Head, Ping};
    /// let wire = [0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    /// let (head, payload) = wire.split_first_chunk().unwrap();
    /// let frame = Frame::parse(&Head::parse(head), payload).unwrap();
    /// assert_eq!(frame, Frame::Ping(Ping { ack: true, data: [1, 2, 3, 4, 5, 6, 7, 8] }));
    /// ```
    pub fn parse(head: &Head, payload: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        if payload.len() != head.length as usize {
            return Err(FrameError::size("the payload is not as long as its head says"));
        }
        Ok(match head.kind {
            Kind::DATA => Frame::Data(Data::parse(head, payload)?),
            Kind::HEADERS => Frame::Headers(Headers::parse(head, payload)?),
            Kind::PRIORITY => Frame::Priority(head.stream, Priority::parse(head, payload)?),
            Kind::RST_STREAM => Frame::RstStream(RstStream::parse(head, payload)?),
            Kind::SETTINGS => Frame::Settings(Settings::parse(head, payload)?),
            Kind::PUSH_PROMISE => Frame::PushPromise(PushPromise::parse(head, payload)?),
            Kind::PING => Frame::Ping(Ping::parse(head, payload)?),
            Kind::GOAWAY => Frame::GoAway(GoAway::parse(head, payload)?),
            Kind::WINDOW_UPDATE => Frame::WindowUpdate(WindowUpdate::parse(head, payload)?),
            Kind::CONTINUATION => Frame::Continuation(Continuation::parse(head, payload)?),
            _ => Frame::Unknown(*head, payload),
        })
    }

    /// Writes head and payload.
    pub fn write(&self, out: &mut Writer<'_>) {
        match self {
            Frame::Data(frame) => frame.write(out),
            Frame::Headers(frame) => frame.write(out),
            Frame::Priority(stream, priority) => priority.write(*stream, out),
            Frame::RstStream(frame) => frame.write(out),
            Frame::Settings(frame) => frame.write(out),
            Frame::PushPromise(frame) => frame.write(out),
            Frame::Ping(frame) => frame.write(out),
            Frame::GoAway(frame) => frame.write(out),
            Frame::WindowUpdate(frame) => frame.write(out),
            Frame::Continuation(frame) => frame.write(out),
            Frame::Unknown(head, payload) => {
                head.write(out);
                out.put(payload);
            }
        }
    }
}
