//! DATA in, and receive windows (RFC 9113 §6.1, §6.9).

use super::recv::{Lookup, Phase, error};
use super::stream::{self, Ending};
use super::window::{DEFAULT_WINDOW, MAX_WINDOW};
use super::{ConnectionError, Engine, StreamKey, Token};
use crate::bytes::{Exact, take_up_to};
use crate::error::ErrorCode;
use crate::frame::{Head, flags};

impl Engine<'_> {
    /// The header of a DATA frame. All of its payload counts against the windows, padding too (RFC 9113 §6.9.1).
    #[inline]
    pub(super) fn data(&mut self, head: Head) -> Result<Option<Token<'static>>, ConnectionError> {
        if head.stream == 0 {
            return Err(error(ErrorCode::PROTOCOL_ERROR, "DATA on stream 0"));
        }
        let index = match self.look_up(head.stream) {
            Lookup::Open(index) => index,
            Lookup::Idle => return Err(error(ErrorCode::PROTOCOL_ERROR, "DATA on an idle stream")),
            Lookup::Closed => return self.data_on_closed(head),
        };
        if !self.state.recv_window.take(head.length) {
            return Err(error(ErrorCode::FLOW_CONTROL_ERROR, "DATA beyond the connection's window"));
        }
        self.state.pings.refund(2);
        let Some(slot) = self.slot(index) else { return Ok(None) };
        let wrong = if slot.has(stream::RST_DUE) {
            self.discard(head.length);
            return Ok(None);
        } else if slot.has(stream::REMOTE_CLOSED) {
            ErrorCode::STREAM_CLOSED
        } else if !slot.has(stream::HEADERS_SEEN) {
            ErrorCode::PROTOCOL_ERROR
        } else if !slot.recv_window.take(head.length) {
            ErrorCode::FLOW_CONTROL_ERROR
        } else {
            self.state.input.slot = index;
            if head.has(flags::PADDED) {
                if head.length == 0 {
                    return Err(error(ErrorCode::FRAME_SIZE_ERROR, "DATA has no room for its pad length"));
                }
                self.state.input.left = head.length.minus(1);
                self.state.input.phase = Phase::Fixed(1);
                return Ok(None);
            }
            return self.content_begins(index, head.length);
        };
        self.discard(head.length);
        self.stream_error(index, wrong)
    }

    /// RFC 9113 §5.1, "closed": what a peer sent before it knew is let through; what it sent after it ended or
    /// reset the stream itself is an error.
    #[cold]
    fn data_on_closed(&mut self, head: Head) -> Result<Option<Token<'static>>, ConnectionError> {
        if !self.state.recv_window.take(head.length) {
            return Err(error(ErrorCode::FLOW_CONTROL_ERROR, "DATA beyond the connection's window"));
        }
        self.discard(head.length);
        match self.state.streams.ending(head.stream) {
            Some(Ending::Ended) => Err(error(ErrorCode::STREAM_CLOSED, "DATA after END_STREAM")),
            Some(Ending::PeerReset) => {
                self.refuse(head.stream, ErrorCode::STREAM_CLOSED)?;
                Ok(None)
            }
            // It costs less than DATA of an open stream; only what carries nothing is counted.
            _ if head.length == 0 => self.late_frame().map(|()| None),
            _ => Ok(None),
        }
    }

    /// Passes over a payload that nobody will release.
    fn discard(&mut self, n: u32) {
        self.release_connection(n);
        self.state.input.skip(n);
    }

    /// The pad length of a DATA frame: the rest is content and padding.
    pub(super) fn data_padding(&mut self, octets: &[u8]) -> Result<Option<Token<'static>>, ConnectionError> {
        let padding = octets.first().copied().unwrap_or(0);
        let Some(content) = self.state.input.left.checked_sub(padding.into()) else {
            return Err(error(ErrorCode::PROTOCOL_ERROR, "the padding is longer than the frame"));
        };
        self.state.input.padding = padding;
        let (index, overhead) = (self.state.input.slot, u32::from(padding).plus(1));
        let stream = StreamKey { id: self.state.input.head.stream, slot: index };
        if let Some(slot) = self.open_slot(stream) {
            // Released by itself: the application never sees it.
            slot.unreleased = slot.unreleased.plus(overhead);
            self.release(stream, overhead);
            return self.content_begins(index, content);
        }
        self.release_connection(overhead.plus(content));
        self.state.input.skip(content.plus(padding.into()));
        Ok(None)
    }

    /// The content of a DATA frame, padding apart. content-length is held to before anything is handed up
    /// (RFC 9113 §8.1.1).
    #[inline]
    fn content_begins(&mut self, index: u16, n: u32) -> Result<Option<Token<'static>>, ConnectionError> {
        let end = self.state.input.head.has(flags::END_STREAM);
        let padding = self.state.input.padding;
        let Some(slot) = self.slot(index) else { return Ok(None) };
        slot.unreleased = slot.unreleased.wrapping_add(n);
        if slot.has(stream::HAS_LENGTH) {
            let left = slot.expected.checked_sub(n.into());
            slot.expected = left.unwrap_or(0);
            if left.is_none() || (end && left != Some(0)) {
                self.state.input.skip(n.plus(padding.into()));
                return self.stream_error(index, ErrorCode::PROTOCOL_ERROR);
            }
        }
        if n > 0 {
            (self.state.input.phase, self.state.input.left) = (Phase::Data, n);
            return Ok(None);
        }
        self.state.input.skip_padding();
        if !end {
            self.idle_frame("empty DATA frames without end")?;
            return Ok(None);
        }
        let stream = self.key(index);
        self.side_closed(index, stream::REMOTE_CLOSED);
        Ok(Some(Token::Data { stream, bytes: &[], end }))
    }

    /// Content, as much of it as there is.
    #[inline]
    pub(super) fn content<'i>(&mut self, input: &mut &'i [u8]) -> Option<Token<'i>> {
        let received = &mut self.state.input;
        let bytes = take_up_to(input, received.left as usize);
        received.left = received.left.minus(bytes.len() as u32);
        let stream = StreamKey { id: received.head.stream, slot: received.slot };
        let last = received.left == 0;
        let end = last && received.head.has(flags::END_STREAM);
        if last {
            received.skip_padding();
        }
        // The application may have reset the stream since the frame began: its window was given back then.
        self.open_slot(stream)?;
        if end {
            self.side_closed(stream.slot, stream::REMOTE_CLOSED);
        }
        Some(Token::Data { stream, bytes, end })
    }

    /// Gives back `n` octets of receive window, of the stream and of the connection. Nothing when the stream is
    /// over: what it did not release at its end is given back to the connection by itself.
    pub fn release(&mut self, stream: StreamKey, n: u32) {
        let half = half(self.state.config.stream_window);
        let Some(slot) = self.open_slot(stream) else { return };
        let n = n.min(slot.unreleased);
        slot.unreleased = slot.unreleased.minus(n);
        // A peer that has ended its side needs no window.
        if !slot.has(stream::REMOTE_CLOSED) {
            slot.released = slot.released.saturating_add(n);
            if slot.released >= half && !slot.has(stream::IN_CONTROL) {
                self.control_due(stream.slot);
            }
        }
        self.release_connection(n);
    }

    /// The same for the connection's window alone.
    pub(super) fn release_connection(&mut self, n: u32) {
        self.state.released = self.state.released.saturating_add(n).min(MAX_WINDOW);
        if self.state.released >= half(self.state.config.connection_window.max(DEFAULT_WINDOW)) {
            self.window_due();
        }
    }
}

/// Half a window is announced at once: seldom enough to be cheap, early enough that the sender does not stop.
fn half(window: u32) -> u32 {
    (window.min(MAX_WINDOW) / 2).max(1)
}
