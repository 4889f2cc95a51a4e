//! The client's side: calls that start, responses that arrive.

use super::event::{CallId, Fate, Text, Token, cut, cut_mut};
use super::head::{self, CONTENT_TYPE, CallHead, Fixed, List, USER_AGENT, common, unique};
use super::machine::{Machine, NOTHING};
use super::reason::Reason;
use super::received::{self, Response};
use super::slot::Flags;
use super::{SendError, StartCallError};
use crate::bytes::{Exact, copy};
use crate::error::ErrorCode;
use crate::grpc::{Code, metadata, timeout};
use crate::http2::{Span, StreamKey};
use crate::time::Instant;

impl Machine<'_> {
    /// Starts a call: gRPC/HTTP2, "Requests", in the order that is asked for there.
    pub(super) fn start_call(&mut self, now: Instant, head: &CallHead<'_>) -> Result<CallId, StartCallError> {
        if self.is_over() || self.state.server {
            return Err(StartCallError::Closed);
        }
        if !head.is_valid() {
            return Err(StartCallError::BadPath);
        }
        head::check(head.metadata).map_err(StartCallError::BadMetadata)?;
        let timeout = head.timeout.map(timeout::encode);
        let user_agent =
            if head.user_agent.is_empty() { USER_AGENT } else { metadata::trim(head.user_agent) };
        let mut fixed = Fixed::new();
        fixed.push(common(b":method", b"POST"));
        fixed.push(common(b":scheme", if head.secure { b"https" } else { b"http" }));
        fixed.push(common(b":path", head.path));
        if !head.authority.is_empty() {
            fixed.push(common(b":authority", head.authority));
        }
        if let Some(timeout) = &timeout {
            fixed.push(unique(b"grpc-timeout", timeout.as_bytes()));
        }
        fixed.push(common(b"te", b"trailers"));
        fixed.push(common(b"content-type", CONTENT_TYPE));
        fixed.push(common(b"user-agent", user_agent));

        let stream = self.with_scratch(|machine, scratch| {
            if head::base64_len(head.metadata) > scratch.len() {
                return Err(StartCallError::TooLarge);
            }
            let list = List::new(fixed.as_slice(), head.metadata, scratch);
            Ok(machine.engine.open(now, list, false)?)
        })?;
        self.occupy(stream);
        if let Some(timeout) = head.timeout {
            self.state.timers.insert(self.calls, stream.slot, now.after(timeout));
        }
        Ok(CallId::of(stream))
    }

    /// Ends this side of a call without a message.
    pub(super) fn half_close(&mut self, call: CallId) -> Result<(), SendError> {
        let slot = self.open_call(call)?;
        if slot.is_sending() {
            return Err(SendError::WrongLength);
        }
        if self.state.server {
            return Err(SendError::Closed);
        }
        self.engine.send_data(call.key(), &[], &[], true)?;
        self.set(call.key(), Flags::LOCAL_END);
        Ok(())
    }

    /// A response's head, its trailers, or both in one (gRPC/HTTP2, "Responses").
    pub(super) fn response(
        &mut self,
        stream: StreamKey,
        fields: Span,
        end: bool,
        too_large: bool,
    ) -> Option<Token<'static>> {
        if end {
            self.set(stream, Flags::REMOTE_END);
        }
        let slot = self.slot(stream)?;
        if slot.is(Flags::PENDING) {
            return end.then(|| self.tell(stream));
        }
        if too_large {
            return self.fail(stream, Reason::HeadersTooLarge);
        }
        let response = received::response(cut(self.engine.parts.arena, fields));
        if end { self.last(stream, fields, response) } else { self.first(stream, fields, response) }
    }

    /// A head that more follows.
    fn first(&mut self, stream: StreamKey, fields: Span, response: Response) -> Option<Token<'static>> {
        if response.status != 200 {
            // A `grpc-status` here is not the last word, and what follows is not gRPC.
            return self.http_error(stream, fields, &response);
        }
        let metadata = match (response.grpc, response.encoding_ok) {
            (false, _) => Err(Reason::ContentType),
            (_, false) => Err(Reason::Encoding),
            _ => self.metadata(fields, response.custom),
        };
        match metadata {
            Ok(metadata) => {
                self.set(stream, Flags::HEAD);
                Some(Token::Metadata { call: CallId::of(stream), metadata })
            }
            Err(reason) => self.fail(stream, reason),
        }
    }

    /// Trailers, or a Trailers-Only response.
    fn last(&mut self, stream: StreamKey, fields: Span, mut response: Response) -> Option<Token<'static>> {
        let slot = self.slot(stream)?;
        let (trailers_only, inside) = (!slot.is(Flags::HEAD), slot.reader.is_inside());
        let code = match response.code {
            Some(Some(Code::OK)) if inside => return self.fail(stream, Reason::Truncated),
            Some(Some(code)) => code,
            Some(None) => return self.fail(stream, Reason::BadStatus),
            // http-grpc-status-mapping.md: only when there is no grpc-status.
            None if trailers_only && response.status != 200 => {
                return self.http_error(stream, fields, &response);
            }
            None if trailers_only && !response.grpc => return self.fail(stream, Reason::ContentType),
            None => return self.fail(stream, Reason::NoStatus),
        };
        let message = response.take_message(cut_mut(self.engine.parts.arena, fields), fields);
        let trailers = match self.metadata(fields, response.custom) {
            Ok(trailers) => trailers,
            Err(reason) => return self.fail(stream, reason),
        };
        self.over(stream, ErrorCode::NO_ERROR);
        let (call, message) = (CallId::of(stream), Text::Peer(message));
        Some(Token::Status { call, code, message, trailers, fate: Fate::Seen })
    }

    /// A response that HTTP's status alone speaks for.
    fn http_error(&mut self, stream: StreamKey, fields: Span, response: &Response) -> Option<Token<'static>> {
        let trailers = self.metadata(fields, response.custom).unwrap_or(NOTHING);
        // Words with the number need a place: ":status" and its two lengths take as many octets as "HTTP error ",
        // and the three digits stand right behind them.
        const WORDS: &[u8] = b"HTTP error ";
        let len = WORDS.len().plus(3);
        let at = response.custom.start.saturating_sub(len);
        let place =
            cut_mut(self.engine.parts.arena, fields).get_mut(at..response.custom.start).unwrap_or_default();
        copy(place, WORDS);
        let message = Text::Peer(Span { at: fields.at.plus(at as u32), len: place.len() as u32 });
        self.over(stream, ErrorCode::CANCEL);
        let (call, code) = (CallId::of(stream), Code::from_http(response.status));
        Some(Token::Status { call, code, message, trailers, fate: Fate::Seen })
    }

    /// A call that got its status: what is still open of the stream is closed. After a complete response that is
    /// NO_ERROR (RFC 9113 §8.1).
    fn over(&mut self, stream: StreamKey, code: ErrorCode) {
        let closed = Flags::REMOTE_END.or(Flags::LOCAL_END);
        if !self.slot(stream).is_some_and(|slot| slot.is_all(closed)) {
            self.engine.reset(stream, code);
        }
        self.free(stream);
    }
}
