//! The end of a connection: GOAWAY both ways (RFC 9113 §6.8).

use super::control::Due;
use super::recv::{Phase, error};
use super::stream::{self, Ending};
use super::{ConnectionError, Engine, ResetCause, Span, StreamKey, Token};
use crate::bytes::{Exact, take_up_to};
use crate::error::ErrorCode;
use crate::frame::MAX_STREAM_ID;
use crate::time::Instant;

/// How far this side has gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// GOAWAY with the largest id: new streams that are on their way are still taken.
    Notice,
    /// GOAWAY with the real last id.
    Final,
}

/// What was said about going away.
#[derive(Debug, Default)]
pub(super) struct GoingAway {
    stage: Stage,
    /// The last stream that this side takes; holds at the last stage.
    last: u32,
    /// Why this side goes, as debug data.
    why: &'static str,
    /// The last stream that the peer takes.
    peer_last: Option<u32>,
    peer_code: u32,
    /// Whether streams above `peer_last` are still to be ended, from slot `sweep_at` on.
    pub(super) sweeping: bool,
    sweep_at: u16,
}

/// Debug data that is kept, octets.
const MAX_DEBUG: usize = 256;

impl GoingAway {
    /// Whether no new streams can come, so that the connection is over when there are none.
    pub(super) fn is_decided(&self, server: bool) -> bool {
        self.stage == Stage::Final || (!server && self.peer_last.is_some())
    }

    /// Whether this side has told the peer that it goes.
    pub(super) fn has_begun(&self) -> bool {
        self.stage != Stage::Open
    }

    /// Whether the answer to the PING behind the first GOAWAY is waited for.
    pub(super) fn is_draining(&self) -> bool {
        self.stage == Stage::Notice
    }

    /// Whether the peer opened the stream after our last word: passed over (RFC 9113 §6.8).
    pub(super) fn is_past(&self, id: u32) -> bool {
        self.stage == Stage::Final && id > self.last
    }
}

impl Engine<'_> {
    /// Graceful: GOAWAY(2^31-1) and a PING, then after its answer GOAWAY(real last id) (RFC 9113 §6.8). A client
    /// sends one GOAWAY. [`State::is_closed`](super::State::is_closed) once the streams are done.
    pub fn shutdown(&mut self, now: Instant) {
        self.retire(now, "");
    }

    /// The same, and why (gRFC A9 names `max_age` and `max_idle`).
    pub(super) fn retire(&mut self, now: Instant, why: &'static str) {
        self.state.timers.now = now;
        if self.state.away.has_begun() || self.state.error.is_some() {
            return;
        }
        self.state.away.why = why;
        if !self.state.config.server {
            return self.last_word();
        }
        self.state.away.stage = Stage::Notice;
        self.state.control.due.set(Due::GOAWAY.and(Due::DRAIN_PING));
        self.state.timers.drain_at = now.after(self.state.config.keepalive_timeout);
    }

    /// The second GOAWAY of two, or the only one.
    pub(super) fn last_word(&mut self) {
        self.state.away.stage = Stage::Final;
        self.state.away.last = self.state.streams.last_peer;
        self.state.control.due.clear(Due::DRAIN_PING);
        self.state.control.due.set(Due::GOAWAY);
        self.state.timers.drain_at = Instant::NEVER;
    }

    /// At once: GOAWAY(code), nothing more is received.
    pub fn close(&mut self, code: ErrorCode, reason: &'static str) {
        self.fail(ConnectionError { code, reason });
    }

    /// What the GOAWAY that is due says.
    pub(super) fn goaway(&self) -> (u32, ErrorCode, &'static str) {
        match (self.state.error, self.state.away.stage) {
            (Some(error), _) => (self.state.streams.last_peer, error.code, error.reason),
            (None, Stage::Final) => (self.state.away.last, ErrorCode::NO_ERROR, self.state.away.why),
            (None, _) => (MAX_STREAM_ID, ErrorCode::NO_ERROR, self.state.away.why),
        }
    }

    /// Whether no stream can be opened any more.
    pub(super) fn is_going_away(&self) -> bool {
        self.state.away.has_begun()
            || self.state.away.peer_last.is_some()
            || self.state.error.is_some()
            || self.state.config.server
            || self.state.streams.next_local > MAX_STREAM_ID
    }

    /// The peer's GOAWAY; its debug data follows.
    pub(super) fn goaway_received(
        &mut self,
        last: u32,
        code: ErrorCode,
    ) -> Result<Option<Token<'static>>, ConnectionError> {
        let before = self.state.away.peer_last;
        if !self.state.config.server {
            if last != 0 && last & 1 == 0 {
                return Err(error(ErrorCode::PROTOCOL_ERROR, "GOAWAY names a stream that is not ours"));
            }
            // RFC 9113 §6.8: endpoints MUST NOT increase the value.
            if before.is_some_and(|before| last > before) {
                return Err(error(
                    ErrorCode::PROTOCOL_ERROR,
                    "GOAWAY names a higher stream than the one before",
                ));
            }
        }
        if before == Some(last) {
            self.idle_frame("GOAWAY frames without end")?;
        }
        let away = &mut self.state.away;
        (away.peer_last, away.peer_code) = (Some(last), code.0);
        (away.sweeping, away.sweep_at) = (!self.state.config.server, 0);
        self.state.block.open = true;
        self.state.block.len = 0;
        self.state.input.phase = Phase::Debug;
        if self.state.input.left == 0 { Ok(Some(self.goaway_token())) } else { Ok(None) }
    }

    /// A part of a GOAWAY's debug data.
    pub(super) fn debug_data(&mut self, input: &mut &[u8]) -> Option<Token<'static>> {
        let part = take_up_to(input, self.state.input.left as usize);
        self.state.input.left = self.state.input.left.minus(part.len() as u32);
        let room = MAX_DEBUG.saturating_sub(self.state.block.len);
        self.collect(part.get(..room).unwrap_or(part));
        (self.state.input.left == 0).then(|| self.goaway_token())
    }

    fn goaway_token(&mut self) -> Token<'static> {
        self.state.input.phase = Phase::Head;
        self.state.block.open = false;
        let away = &self.state.away;
        let debug = Span { at: 0, len: core::mem::take(&mut self.state.block.len) as u32 };
        Token::GoAway { last: away.peer_last.unwrap_or(0), code: ErrorCode(away.peer_code), debug }
    }

    /// Ends the next stream that the peer's GOAWAY says it did not process.
    pub(super) fn sweep(&mut self) -> Option<Token<'static>> {
        let last = self.state.away.peer_last.unwrap_or(MAX_STREAM_ID);
        let code = ErrorCode(self.state.away.peer_code);
        while let Some(slot) = self.parts.streams.get(usize::from(self.state.away.sweep_at)) {
            let index = self.state.away.sweep_at;
            let stream = StreamKey { id: slot.id, slot: index };
            let over = slot.has(stream::RST_DUE);
            self.state.away.sweep_at = index.saturating_add(1);
            if stream.id > last && !over {
                self.note_reset(index);
                self.finish(index, Ending::OwnReset);
                return Some(Token::Reset { stream, code, cause: ResetCause::GoAway });
            }
        }
        self.state.away.sweeping = false;
        None
    }
}
