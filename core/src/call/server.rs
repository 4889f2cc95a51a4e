//! The server's side: requests that arrive, responses that leave.

use super::SendError;
use super::event::{CallId, Token, cut_mut};
use super::head::{self, CONTENT_TYPE, Fixed, List, Metadata, common, unique};
use super::machine::Machine;
use super::reason::Reason;
use super::received;
use super::slot::Flags;
use crate::bytes::{Exact, Writer};
use crate::error::ErrorCode;
use crate::grpc::{Code, encoding, message, percent};
use crate::hpack::Encoder;
use crate::http2::{Span, StreamError, StreamKey};
use crate::time::Instant;

/// What the head and the trailers of a [`Machine::reply`] take of the outbox at most: two frames' heads and blocks.
const REPLY_HEAD: usize = 9 + Encoder::BEGIN_BOUND + Encoder::bound(7, 3) + Encoder::bound(12, 16);
const REPLY_TRAILERS: usize = 9 + Encoder::BEGIN_BOUND + Encoder::bound(11, 1);

impl Machine<'_> {
    /// A new call, or one that is answered without the application.
    pub(super) fn request(
        &mut self,
        now: Instant,
        stream: StreamKey,
        fields: Span,
        end: bool,
        too_large: bool,
    ) -> Option<Token<'static>> {
        self.occupy(stream);
        if end {
            self.set(stream, Flags::REMOTE_END);
        }
        if too_large {
            self.owe(stream, Reason::HeadersTooLarge);
            return None;
        }
        let list = cut_mut(self.engine.parts.arena, fields);
        let mut request = received::request(list, fields);
        request.take_host(list, fields);
        let metadata = match request.refusal {
            Some(reason) => Err(reason),
            None => self.metadata(fields, request.custom),
        };
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(reason) => {
                self.owe(stream, reason);
                return None;
            }
        };
        if let Some(timeout) = request.timeout {
            self.state.timers.insert(self.calls, stream.slot, now.after(timeout));
        }
        Some(Token::Call {
            call: CallId::of(stream),
            path: request.path,
            authority: request.authority,
            timeout: request.timeout,
            metadata,
            end,
        })
    }

    /// Trailers of a request: gRPC has none, HTTP/2 allows them. They end the client's side.
    pub(super) fn request_trailers(&mut self, stream: StreamKey) -> Option<Token<'static>> {
        let inside = self.slot(stream)?.reader.is_inside();
        let end = self.remote_end(stream)?;
        if inside { self.fail(stream, Reason::Truncated) } else { Some(end) }
    }

    /// The response's head.
    pub(super) fn send_metadata(&mut self, call: CallId, custom: &Metadata<'_>) -> Result<(), SendError> {
        let slot = self.open_call(call)?;
        if !self.state.server {
            return Err(SendError::Closed);
        }
        if slot.is(Flags::HEAD) {
            return Err(SendError::HeadSent);
        }
        head::check(custom).map_err(SendError::BadMetadata)?;
        let fixed = [common(b":status", b"200"), common(b"content-type", CONTENT_TYPE)];
        self.with_scratch(|machine, scratch| {
            if head::base64_len(custom) > scratch.len() {
                return Err(SendError::TooLarge);
            }
            let list = List::new(&fixed, custom, scratch);
            Ok(machine.engine.send_headers(call.key(), list, false)?)
        })?;
        self.set(call.key(), Flags::HEAD);
        Ok(())
    }

    /// Trailers, or Trailers-Only.
    pub(super) fn send_status(
        &mut self,
        call: CallId,
        code: Code,
        message: &[u8],
        trailers: &Metadata<'_>,
    ) -> Result<(), SendError> {
        let slot = self.open_call(call)?;
        if !self.state.server {
            return Err(SendError::Closed);
        }
        if code == Code::OK && slot.is_sending() {
            return Err(SendError::WrongLength);
        }
        head::check(trailers).map_err(SendError::BadMetadata)?;
        let head = slot.is(Flags::HEAD);
        let decimal = code.decimal();
        self.with_scratch(|machine, scratch| {
            let (text_len, base64_len) = (percent::encoded_len(message), head::base64_len(trailers));
            let Some((text, base64)) = scratch.split_at_mut_checked(text_len) else {
                return Err(SendError::TooLarge);
            };
            if base64_len > base64.len() {
                return Err(SendError::TooLarge);
            }
            percent::encode(message, &mut Writer::new(text));
            let mut fixed = Fixed::new();
            if !head {
                fixed.push(common(b":status", b"200"));
                fixed.push(common(b"content-type", CONTENT_TYPE));
            }
            fixed.push(common(b"grpc-status", decimal.as_bytes()));
            if !text.is_empty() {
                fixed.push(unique(b"grpc-message", text));
            }
            let list = List::new(fixed.as_slice(), trailers, base64);
            Ok(machine.engine.send_headers(call.key(), list, true)?)
        })?;
        self.finish(call.key());
        Ok(())
    }

    /// Head, message and status OK, all or nothing.
    pub(super) fn reply(&mut self, call: CallId, bytes: &[u8]) -> Result<(), SendError> {
        let slot = self.open_call(call)?;
        if !self.state.server {
            return Err(SendError::Closed);
        }
        if slot.is_sending() {
            return Err(SendError::WrongLength);
        }
        let head = slot.is(Flags::HEAD);
        let data = bytes.len().checked_add(message::PREFIX).ok_or(SendError::TooLarge)?;
        let headers = if head { REPLY_TRAILERS } else { REPLY_HEAD.plus(REPLY_TRAILERS) };
        self.engine.check_room(call.key(), headers, data)?;
        if !head {
            self.send_metadata(call, &[])?;
        }
        let taken = self.send_message(call, bytes, super::End::More)?;
        debug_assert_eq!(taken, bytes.len());
        self.send_status(call, Code::OK, b"", &[])
    }

    /// This side's own status for a call that the application has no part in (any more).
    pub(super) fn owe(&mut self, stream: StreamKey, reason: Reason) {
        self.state.timers.remove(self.calls, stream.slot);
        let Some(slot) = self.slot_mut(stream) else { return };
        slot.reason = reason;
        slot.set(Flags::OWED);
        self.send_owed(stream);
    }

    /// Sends the status that is owed, if there is room.
    pub(super) fn send_owed(&mut self, stream: StreamKey) {
        let Some(slot) = self.slot(stream) else { return };
        let (reason, head) = (slot.reason, slot.is(Flags::HEAD));
        let decimal = reason.code().decimal();
        let mut fixed = Fixed::new();
        if !head {
            fixed.push(common(b":status", reason.http()));
            fixed.push(common(b"content-type", CONTENT_TYPE));
        }
        fixed.push(common(b"grpc-status", decimal.as_bytes()));
        fixed.push(unique(b"grpc-message", reason.text().as_bytes()));
        match reason {
            // compression.md: an answer to an unknown encoding names those that are known.
            Reason::Encoding => fixed.push(unique(b"grpc-accept-encoding", encoding::ACCEPT)),
            // RFC 9110 §15.5.6: a 405 names the methods that are allowed.
            Reason::Method if !head => fixed.push(unique(b"allow", b"POST")),
            _ => {}
        }
        let list = List::new(fixed.as_slice(), &[], &mut []);
        match self.engine.send_headers(stream, list, true) {
            Ok(()) => self.finish(stream),
            Err(StreamError::Blocked) => {}
            Err(StreamError::TooLarge) => {
                self.engine.reset(stream, ErrorCode::INTERNAL_ERROR);
                self.free(stream);
            }
            Err(StreamError::Closed) => self.free(stream),
        }
    }

    /// The status is sent. A client that is still sending is told to stop (RFC 9113 §8.1).
    fn finish(&mut self, stream: StreamKey) {
        if !self.slot(stream).is_some_and(|slot| slot.is(Flags::REMOTE_END)) {
            self.engine.reset(stream, ErrorCode::NO_ERROR);
        }
        self.free(stream);
    }
}
