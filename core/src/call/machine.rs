//! The machine behind the verbs: tokens of HTTP/2 become tokens of calls. What client and server share.

use super::event::{CallId, Fate, Text, Token, cut_mut};
use super::reason::{Reason, peer_reset, stream_error};
use super::received::{self, Custom};
use super::slot::{CallSlot, Flags, Pending, Timers};
use super::{Config, End, SendError, StartCallError};
use crate::bytes::Exact;
use crate::error::ErrorCode;
use crate::grpc::Code;
use crate::grpc::message::{self, PrefixError};
use crate::http2::{
    self, ConnectionError, Engine, HeadersKind, OpenError, ResetCause, Span, StreamError, StreamKey,
};
use crate::time::Instant;

/// What is not one call's.
#[derive(Debug)]
pub(super) struct State {
    pub(super) server: bool,
    pub(super) max_message_size: u32,
    /// Calls that run.
    pub(super) running: u16,
    pub(super) timers: Timers,
    pub(super) pending: Pending,
    carry: Option<Carry>,
    /// Why the connection is over, when it is.
    pub(super) failure: Option<&'static str>,
    /// The socket is gone: nothing is transmitted any more.
    pub(super) lost: bool,
}

/// DATA of which the caller has seen a part: `left` octets of it stand at the front of the next input.
#[derive(Clone, Copy, Debug)]
struct Carry {
    stream: StreamKey,
    left: u32,
    end: bool,
}

impl State {
    pub(super) fn new(config: &Config) -> State {
        State {
            server: config.http2.server,
            max_message_size: config.max_message_size,
            running: 0,
            timers: Timers::default(),
            pending: Pending::default(),
            carry: None,
            failure: None,
            lost: false,
        }
    }
}

/// State and lent parts, put together for the length of one verb.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) engine: Engine<'a>,
    pub(super) calls: &'a mut [CallSlot],
    pub(super) state: &'a mut State,
}

impl Machine<'_> {
    /// Takes input up to the next token. `batch`: the spans of earlier tokens stay valid.
    pub(super) fn next<'i>(
        &mut self,
        now: Instant,
        input: &mut &'i [u8],
        batch: bool,
    ) -> Result<Option<Token<'i>>, ConnectionError> {
        loop {
            if let Some(carry) = self.state.carry {
                let all = *input;
                let mut bytes = crate::bytes::take_up_to(input, carry.left as usize);
                let missing = carry.left.minus(bytes.len() as u32);
                self.state.carry = None;
                let token = self.data(carry.stream, &mut bytes, carry.end && missing == 0);
                self.carry_on(carry.stream, all, input, bytes.len(), missing, carry.end);
                if token.is_some() {
                    return Ok(token);
                }
                if missing != 0 {
                    return Ok(None);
                }
            }
            let all = *input;
            if !batch {
                self.engine.state.arena_clear();
            }
            let token = match self.engine.recv(now, input) {
                Ok(Some(token)) => token,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.end_all(error.reason);
                    return Err(error);
                }
            };
            let token = match token {
                http2::Token::Data { stream, mut bytes, end } => {
                    let token = self.data(stream, &mut bytes, end);
                    self.carry_on(stream, all, input, bytes.len(), 0, end);
                    token
                }
                other => self.other(now, other),
            };
            if token.is_some() {
                return Ok(token);
            }
        }
    }

    /// Moves `input` back to the `unread` octets of DATA that end where it begins, and notes them; `missing` more are
    /// to come.
    fn carry_on<'i>(
        &mut self,
        stream: StreamKey,
        all: &'i [u8],
        input: &mut &'i [u8],
        unread: usize,
        missing: u32,
        end: bool,
    ) {
        let taken = all.len().minus(input.len());
        if unread > 0 {
            *input = all.get(taken.minus(unread)..).unwrap_or_default();
        }
        let left = missing.plus(unread as u32);
        if left > 0 {
            self.state.carry = Some(Carry { stream, left, end });
        }
    }

    /// The next part of a message in DATA, moving `bytes` forward; `end`: END_STREAM stands behind `bytes`.
    fn data<'i>(&mut self, stream: StreamKey, bytes: &mut &'i [u8], end: bool) -> Option<Token<'i>> {
        let server = self.state.server;
        let max = self.state.max_message_size;
        let call = CallId::of(stream);
        let Some(slot) = self.calls.get_mut(call.index()).filter(|slot| slot.id == stream.id) else {
            // The call ended between two messages of a frame; its stream is over, and its window given back.
            *bytes = &[];
            return None;
        };
        if slot.is(Flags::PENDING) || slot.is(Flags::OWED) {
            // The window comes back with the stream's end, which is near.
            *bytes = &[];
            return if end { self.remote_end(stream) } else { None };
        }
        let before = bytes.len();
        if end && !server {
            // A response's last frame is HEADERS, or it has no status (gRPC/HTTP2, "Responses"). The messages of this
            // frame are not told: the stream is over, and another call may take the slot between two of them.
            return self.break_off(stream, bytes, before, end, Reason::NoTrailers);
        }
        let piece = match slot.reader.read(bytes, max) {
            Ok(piece) => piece,
            Err(error) => {
                let reason = match error {
                    PrefixError::TooLarge { .. } => Reason::MessageTooLarge,
                    PrefixError::Flag(_) => Reason::Flag,
                };
                return self.break_off(stream, bytes, before, end, reason);
            }
        };
        let inside = slot.reader.is_inside();
        let last = bytes.is_empty() && end;
        let Some(piece) = piece else {
            self.engine.release(stream, before as u32);
            return match last {
                true if inside => {
                    self.set(stream, Flags::REMOTE_END);
                    self.fail(stream, Reason::Truncated)
                }
                true => self.remote_end(stream),
                false => None,
            };
        };
        let compressed = piece.compressed;
        let prefix = before.minus(bytes.len()).minus(piece.bytes.len());
        if compressed || (last && inside) {
            let reason = if compressed { Reason::Compressed } else { Reason::Truncated };
            return self.break_off(stream, bytes, before, end, reason);
        }
        if prefix > 0 {
            self.engine.release(stream, prefix as u32);
        }
        if last {
            self.set(stream, Flags::REMOTE_END);
        }
        Some(Token::Message { call, piece, end: last })
    }

    /// Ends a call over what its DATA say; `before` octets of them are for nobody.
    fn break_off<'i>(
        &mut self,
        stream: StreamKey,
        bytes: &mut &'i [u8],
        before: usize,
        end: bool,
        reason: Reason,
    ) -> Option<Token<'i>> {
        *bytes = &[];
        self.engine.release(stream, before as u32);
        if end {
            self.set(stream, Flags::REMOTE_END);
        }
        self.fail(stream, reason)
    }

    /// END_STREAM without a message: a server's call, or one that the application knows to be over.
    pub(super) fn remote_end(&mut self, stream: StreamKey) -> Option<Token<'static>> {
        self.set(stream, Flags::REMOTE_END);
        let slot = self.slot(stream)?;
        if slot.is(Flags::PENDING) {
            return if self.state.server { None } else { Some(self.tell(stream)) };
        }
        if slot.is(Flags::OWED) {
            return None;
        }
        Some(Token::End { call: CallId::of(stream) })
    }

    /// What is not DATA.
    fn other<'i>(&mut self, now: Instant, token: http2::Token<'i>) -> Option<Token<'i>> {
        match token {
            http2::Token::Headers { stream, kind, fields, end, too_large } => match kind {
                HeadersKind::Request => self.request(now, stream, fields, end, too_large),
                HeadersKind::Informational => None,
                HeadersKind::Trailers if self.state.server => self.request_trailers(stream),
                HeadersKind::Response | HeadersKind::Trailers => {
                    self.response(stream, fields, end, too_large)
                }
            },
            http2::Token::Reset { stream, code, cause } => self.reset(now, stream, code, cause),
            http2::Token::Ready => Some(Token::Ready),
            http2::Token::GoAway { last, code, debug } => Some(Token::GoAway { last, code, debug }),
            http2::Token::Writable { stream } => {
                let slot = self.slot(stream)?;
                if slot.is(Flags::OWED) {
                    self.send_owed(stream);
                    return None;
                }
                (!slot.is(Flags::PENDING)).then_some(Token::Writable { call: CallId::of(stream) })
            }
            http2::Token::Openable => Some(Token::Startable),
            // DATA is handled where the input is at hand.
            http2::Token::Data { stream, bytes, .. } => {
                self.engine.release(stream, bytes.len() as u32);
                None
            }
        }
    }

    /// A stream that ended early.
    fn reset(
        &mut self,
        now: Instant,
        stream: StreamKey,
        code: ErrorCode,
        cause: ResetCause,
    ) -> Option<Token<'static>> {
        let never_left = !self.engine.has_left(stream);
        let slot = self.slot(stream)?;
        if slot.is(Flags::PENDING) {
            return Some(self.tell(stream));
        }
        if slot.is(Flags::OWED) {
            self.free(stream);
            return None;
        }
        let (mut status, mut message) = match cause {
            ResetCause::Peer => (Code::from_reset(code.0), peer_reset(code)),
            ResetCause::Local => (Code::from_reset(code.0), stream_error(code)),
            ResetCause::GoAway => (Code::UNAVAILABLE, "the peer went away before it processed the call"),
        };
        let fate = match cause {
            ResetCause::GoAway if never_left => Fate::NeverLeft,
            ResetCause::GoAway => Fate::Refused,
            ResetCause::Peer if code == ErrorCode::REFUSED_STREAM => Fate::Refused,
            _ => Fate::Seen,
        };
        if self.state.server && cause == ResetCause::Peer {
            status = Code::CANCELLED;
        }
        // A server whose timer was faster cancels what this side's timer is about to end.
        if status == Code::CANCELLED && slot.deadline().is_some_and(|at| at <= now) {
            (status, message) = (Code::DEADLINE_EXCEEDED, Reason::Deadline.text());
        }
        self.free(stream);
        let call = CallId::of(stream);
        Some(Token::Status { call, code: status, message: Text::Own(message), trailers: NOTHING, fate })
    }

    /// A token made without input.
    pub(super) fn poll(&mut self) -> Option<Token<'static>> {
        if let Some(slot) = self.state.pending.first() {
            let id = self.calls.get(usize::from(slot)).map_or(0, |call| call.id);
            return Some(self.tell(StreamKey { id, slot }));
        }
        while let Some(token) = self.engine.poll() {
            // What `poll` gives is made here, not by the peer; so the moment does not matter to a deadline.
            if let Some(token) = self.other(Instant::default(), token) {
                return Some(token);
            }
        }
        None
    }

    /// Tells the application of the end of a call that this side ended, and ends its stream.
    pub(super) fn tell(&mut self, stream: StreamKey) -> Token<'static> {
        self.state.pending.remove(self.calls, stream.slot);
        let slot = self.slot(stream);
        let reason = slot.map_or(Reason::None, |slot| slot.reason);
        let never_left = slot.is_some_and(|slot| slot.is(Flags::NEVER_LEFT));
        let (mut code, mut message) = (reason.code(), reason.text());
        if reason == Reason::Connection {
            message = self.state.failure.unwrap_or(message);
            if self.state.server {
                code = Code::CANCELLED;
            }
        }
        if self.state.server && self.state.failure.is_none() {
            self.owe(stream, reason);
        } else {
            if self.state.failure.is_none() {
                self.engine.reset(stream, ErrorCode::CANCEL);
            }
            self.free(stream);
        }
        let fate = if never_left { Fate::NeverLeft } else { Fate::Seen };
        Token::Status { call: CallId::of(stream), code, message: Text::Own(message), trailers: NOTHING, fate }
    }

    /// Ends a call over what the peer did, and tells so.
    pub(super) fn fail(&mut self, stream: StreamKey, reason: Reason) -> Option<Token<'static>> {
        if self.state.server {
            self.owe(stream, reason);
        } else {
            self.engine.reset(stream, ErrorCode::CANCEL);
            self.free(stream);
        }
        // What this side does not know is the client's fault at a server, and the peer's at a client.
        let code = match reason {
            Reason::Encoding if !self.state.server => Code::INTERNAL,
            Reason::ContentType if !self.state.server => Code::UNKNOWN,
            _ => reason.code(),
        };
        let message = Text::Own(reason.text());
        Some(Token::Status { call: CallId::of(stream), code, message, trailers: NOTHING, fate: Fate::Seen })
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        while let Some((slot, at)) = self.state.timers.first()
            && at <= now
        {
            self.state.timers.remove(self.calls, slot);
            let id = self.calls.get(usize::from(slot)).map_or(0, |call| call.id);
            self.end(StreamKey { id, slot }, Reason::Deadline);
        }
        if self.state.lost {
            return Ok(());
        }
        let result = self.engine.handle_timeout(now);
        if let Err(error) = &result {
            self.end_all(error.reason);
        }
        result
    }

    /// Notes that this side ends a call; [`tell`](Self::tell) does it. Till then the stream keeps its slot.
    pub(super) fn end(&mut self, stream: StreamKey, reason: Reason) {
        let never_left = !self.state.server && !self.engine.has_left(stream);
        let Some(slot) = self.slot_mut(stream) else { return };
        if slot.is(Flags::PENDING) || slot.is(Flags::OWED) {
            return;
        }
        slot.reason = reason;
        if never_left {
            slot.set(Flags::NEVER_LEFT);
        }
        self.state.timers.remove(self.calls, stream.slot);
        self.state.pending.append(self.calls, stream.slot);
    }

    /// The connection is over: ends every call.
    pub(super) fn end_all(&mut self, why: &'static str) {
        self.state.failure.get_or_insert(why);
        self.state.carry = None;
        for slot in 0..self.calls.len() {
            let Some(call) = self.calls.get(slot) else { continue };
            let stream = StreamKey { id: call.id, slot: slot as u16 };
            match (call.id, call.is(Flags::OWED)) {
                (0, _) => {}
                // The application knows already, or never knew of the call.
                (_, true) => self.free(stream),
                (_, false) => self.end(stream, Reason::Connection),
            }
        }
    }

    pub(super) fn cancel(&mut self, call: CallId) {
        if !self.state.server {
            self.end(call.key(), Reason::Cancelled);
        } else if self.open_call(call).is_ok() {
            if self.state.failure.is_none() {
                self.engine.reset(call.key(), ErrorCode::CANCEL);
            }
            self.free(call.key());
        }
    }

    /// Announces a message that will come in pieces.
    pub(super) fn begin_message(&mut self, call: CallId, len: u32) -> Result<(), SendError> {
        if self.open_call(call)?.is_sending() {
            return Err(SendError::WrongLength);
        }
        if let Some(slot) = self.slot_mut(call.key()) {
            slot.send_left = len;
            slot.set(Flags::PIECES.or(Flags::PREFIX));
        }
        Ok(())
    }

    /// Sends (a part of) a message of either side.
    pub(super) fn send_message(&mut self, call: CallId, bytes: &[u8], end: End) -> Result<usize, SendError> {
        let slot = self.open_call(call)?;
        let len = u32::try_from(bytes.len()).map_err(|_| SendError::TooLarge)?;
        let begins = !slot.is_sending();
        let left = if begins { len } else { slot.send_left };
        if len > left || (len < left && !slot.is(Flags::PIECES)) {
            return Err(SendError::WrongLength);
        }
        let (head, prefix) = (slot.is(Flags::HEAD), begins || slot.is(Flags::PREFIX));
        if self.state.server && !head {
            self.send_metadata(call, &[])?;
        }
        let last = end == End::Last && !self.state.server && len == left;
        let octets = message::prefix(left, false);
        let prefix: &[u8] = if prefix { &octets } else { &[] };
        let taken = self.engine.send_data(call.key(), prefix, bytes, last)?;
        if let Some(slot) = self.slot_mut(call.key()) {
            slot.clear(Flags::PREFIX);
            slot.send_left = left.minus(taken as u32);
            if slot.send_left == 0 {
                slot.clear(Flags::PIECES);
                slot.set(if last { Flags::LOCAL_END } else { Flags::NONE });
            }
        }
        Ok(taken)
    }

    /// A call on which the application may send.
    pub(super) fn open_call(&self, call: CallId) -> Result<&CallSlot, SendError> {
        let over = Flags::PENDING.or(Flags::OWED).or(Flags::LOCAL_END);
        match self.call(call) {
            Some(slot) if !slot.is(over) && self.state.failure.is_none() => Ok(slot),
            _ => Err(SendError::Closed),
        }
    }

    /// Lends the free part of the arena, and the machine that must not touch it meanwhile.
    pub(super) fn with_scratch<T>(&mut self, f: impl FnOnce(&mut Self, &mut [u8]) -> T) -> T {
        let used = self.engine.state.arena_used();
        let arena = core::mem::take(&mut self.engine.parts.arena);
        let result = f(self, arena.get_mut(used..).unwrap_or_default());
        self.engine.parts.arena = arena;
        result
    }

    /// Makes metadata of the custom fields of a list; its place.
    pub(super) fn metadata(&mut self, span: Span, custom: Custom) -> Result<Span, Reason> {
        if !custom.any {
            return Ok(NOTHING);
        }
        let Custom { start, growth, .. } = custom;
        let arena = &mut self.engine.parts.arena;
        if growth == 0 {
            return received::keep_custom(cut_mut(arena, span), span, start, start);
        }
        if !self.engine.state.arena_extend(arena.len(), growth) {
            return Err(Reason::MetadataTooLarge);
        }
        let list = cut_mut(arena, Span { len: span.len.plus(growth as u32), ..span });
        let from = start.plus(growth);
        crate::bytes::copy_within(list, start, from, (span.len as usize).minus(start));
        received::keep_custom(list, span, start, from)
    }

    /// The state of a call that is not over.
    pub(super) fn call(&self, call: CallId) -> Option<&CallSlot> {
        self.slot(call.key())
    }

    pub(super) fn slot(&self, stream: StreamKey) -> Option<&CallSlot> {
        self.calls.get(usize::from(stream.slot)).filter(|slot| slot.id == stream.id && slot.id != 0)
    }

    pub(super) fn slot_mut(&mut self, stream: StreamKey) -> Option<&mut CallSlot> {
        self.calls.get_mut(usize::from(stream.slot)).filter(|slot| slot.id == stream.id && slot.id != 0)
    }

    pub(super) fn set(&mut self, stream: StreamKey, flag: Flags) {
        if let Some(slot) = self.slot_mut(stream) {
            slot.set(flag);
        }
    }

    /// Takes the slot of a new stream.
    pub(super) fn occupy(&mut self, stream: StreamKey) {
        if let Some(slot) = self.calls.get_mut(usize::from(stream.slot)) {
            debug_assert!(slot.id == 0);
            slot.occupy(stream.id);
            self.state.running = self.state.running.plus(1);
        }
    }

    /// Gives the slot back: the call's last event is told, or it has none.
    pub(super) fn free(&mut self, stream: StreamKey) {
        if self.slot(stream).is_none() {
            return;
        }
        self.state.timers.remove(self.calls, stream.slot);
        self.state.pending.remove(self.calls, stream.slot);
        self.state.running = self.state.running.minus(1);
        if let Some(slot) = self.slot_mut(stream) {
            slot.occupy(0);
        }
    }

    /// Whether the connection is over.
    pub(super) fn is_over(&self) -> bool {
        self.state.failure.is_some()
    }
}

/// No fields.
pub(super) const NOTHING: Span = Span { at: 0, len: 0 };

impl From<StreamError> for SendError {
    fn from(error: StreamError) -> SendError {
        match error {
            StreamError::Blocked => SendError::Blocked,
            StreamError::TooLarge => SendError::TooLarge,
            StreamError::Closed => SendError::Closed,
        }
    }
}

impl From<OpenError> for StartCallError {
    fn from(error: OpenError) -> StartCallError {
        match error {
            OpenError::Blocked => StartCallError::Blocked,
            OpenError::TooLarge => StartCallError::TooLarge,
            OpenError::GoingAway => StartCallError::GoingAway,
            OpenError::Closed => StartCallError::Closed,
        }
    }
}
