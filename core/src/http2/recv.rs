//! Bytes in: frames cut out of the input at any split, and each type's part of the work.

use super::preface::{self, match_magic};
use super::settings::PeerSettings;
use super::stream::{self, Ending};
use super::{ConnectionError, Engine, ResetCause, Token};
use crate::bytes::{self, Exact, take_up_to};
use crate::error::ErrorCode;
use crate::frame::{
    DEFAULT_MAX_FRAME_SIZE, FrameError, GoAway, Head, Kind, Ping, Priority, RstStream, Scope, Setting,
    Settings, WindowUpdate, flags,
};
use crate::time::Instant;

/// Where in the input we are.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) phase: Phase,
    /// The frame that is being received.
    pub(super) head: Head,
    /// A frame header, or the fixed part of a payload, that came in pieces.
    pieces: [u8; Head::LEN],
    have: u8,
    /// Octets of the payload that belong to the phase and were not received yet.
    pub(super) left: u32,
    /// Octets of padding that follow.
    pub(super) padding: u8,
    /// The stream's slot, of DATA.
    pub(super) slot: u16,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The rest of the client's magic.
    Magic,
    /// A frame header.
    Head,
    /// That many octets at the front of a payload: pad length, priority, a setting, ….
    Fixed(u8),
    /// Content of DATA.
    Data,
    /// A fragment of a header block.
    Fragment,
    /// Debug data of GOAWAY.
    Debug,
    /// Octets that are passed over: padding, unknown frames, frames of closed streams.
    Skip,
}

impl Input {
    pub(super) fn new(server: bool) -> Input {
        Input {
            phase: if server { Phase::Magic } else { Phase::Head },
            head: Head { length: 0, kind: Kind::DATA, flags: 0, stream: 0 },
            pieces: [0; Head::LEN],
            have: 0,
            left: 0,
            padding: 0,
            slot: 0,
        }
    }

    /// The next frame header, wherever the input was split.
    #[inline]
    fn gather_head(&mut self, input: &mut &[u8]) -> Option<[u8; Head::LEN]> {
        if self.have == 0
            && let Some((whole, rest)) = input.split_first_chunk()
        {
            *input = rest;
            return Some(*whole);
        }
        self.gather(Head::LEN, input)
    }

    /// The next `n` octets, at the front of the array.
    fn gather(&mut self, n: usize, input: &mut &[u8]) -> Option<[u8; Head::LEN]> {
        let free = self.pieces.get_mut(usize::from(self.have)..n)?;
        let taken = bytes::copy(free, take_up_to(input, free.len()));
        self.have = self.have.plus(taken as u8);
        if usize::from(self.have) < n {
            return None;
        }
        self.have = 0;
        Some(self.pieces)
    }

    /// What is left of the payload is of no interest.
    pub(super) fn skip(&mut self, n: u32) {
        (self.phase, self.left) = (Phase::Skip, n);
    }

    /// Passes over the padding, if any.
    pub(super) fn skip_padding(&mut self) {
        if self.padding == 0 { self.phase = Phase::Head } else { self.skip(self.padding.into()) }
    }
}

/// What an id stands for (RFC 9113 §5.1).
pub(super) enum Lookup {
    Open(u16),
    Closed,
    Idle,
}

type Received<'i> = Result<Option<Token<'i>>, ConnectionError>;

impl Engine<'_> {
    /// Takes input up to the next token. Sticky error. `Ok(None)`: all input was taken, or the arena has no room for
    /// the next header list beside those of earlier tokens; then [`State::arena_clear`](super::State::arena_clear)
    /// makes room and `recv` goes on.
    pub fn recv<'i>(&mut self, now: Instant, input: &mut &'i [u8]) -> Received<'i> {
        if let Some(error) = self.state.error {
            return Err(error);
        }
        self.state.timers.received(now, !input.is_empty());
        if !self.state.begun {
            self.begin();
        }
        self.advance(input).map_err(|error| self.fail(error))
    }

    fn advance<'i>(&mut self, input: &mut &'i [u8]) -> Received<'i> {
        loop {
            let received = &mut self.state.input;
            let token = match received.phase {
                Phase::Head => {
                    if self.arena_is_full(input) {
                        return Ok(None);
                    }
                    match self.state.input.gather_head(input) {
                        Some(wire) => self.frame(&wire, input)?,
                        None => return Ok(None),
                    }
                }
                Phase::Data if input.is_empty() => return Ok(None),
                Phase::Data => self.content(input),
                Phase::Fixed(n) => match self.fixed(n, input)? {
                    Some(token) => token,
                    None => return Ok(None),
                },
                Phase::Fragment | Phase::Debug
                    if input.is_empty() || self.state.block.waits(self.state.arena_used) =>
                {
                    return Ok(None);
                }
                Phase::Fragment => self.fragment(input)?,
                Phase::Debug => self.debug_data(input),
                Phase::Skip => {
                    let n = take_up_to(input, received.left as usize).len();
                    received.left = received.left.minus(n as u32);
                    if received.left > 0 {
                        return Ok(None);
                    }
                    received.phase = Phase::Head;
                    None
                }
                Phase::Magic => {
                    let n = match_magic(received.have.into(), input)?;
                    take_up_to(input, n);
                    received.have = received.have.plus(n as u8);
                    if usize::from(received.have) < preface::MAGIC.len() {
                        return Ok(None);
                    }
                    (received.have, received.phase) = (0, Phase::Head);
                    None
                }
            };
            if token.is_some() {
                return Ok(token);
            }
        }
    }

    /// Whether earlier lists of the batch have to be read before another one can be decoded.
    #[inline]
    fn arena_is_full(&self, input: &[u8]) -> bool {
        let used = self.state.arena_used;
        used > 0
            && !self.state.block.is_open()
            && !input.is_empty()
            && self.parts.arena.len().saturating_sub(used) < self.state.max_header_list as usize
    }

    /// A frame header.
    #[inline]
    fn frame<'i>(&mut self, wire: &[u8; Head::LEN], input: &mut &'i [u8]) -> Received<'i> {
        let head = Head::parse(wire);
        // RFC 9113 §3.4: SETTINGS come first.
        if !self.state.ready && (head.kind != Kind::SETTINGS || head.has(flags::ACK)) {
            return Err(preface::not_settings(wire));
        }
        if head.length > DEFAULT_MAX_FRAME_SIZE {
            return Err(error(ErrorCode::FRAME_SIZE_ERROR, "a frame is above SETTINGS_MAX_FRAME_SIZE"));
        }
        // RFC 9113 §6.10: nothing may come between the fragments of a header block.
        if self.state.block.is_open()
            && (head.kind != Kind::CONTINUATION || head.stream != self.state.block.stream)
        {
            return Err(error(ErrorCode::PROTOCOL_ERROR, "a frame between the fragments of a header block"));
        }
        self.state.input.head = head;
        self.state.input.padding = 0;
        match head.kind {
            Kind::DATA => self.data(head),
            Kind::HEADERS => self.headers(head, input),
            Kind::CONTINUATION => self.continuation(head, input),
            _ => self.control_frame(head),
        }
    }

    /// A frame of the connection, or about a stream: short, and taken whole.
    fn control_frame(&mut self, head: Head) -> Received<'static> {
        let (fixed, exact) = match head.kind {
            Kind::PRIORITY => {
                self.idle_frame("PRIORITY frames without end")?;
                if head.stream != 0 && head.length != Priority::LEN as u32 {
                    self.state.input.skip(head.length);
                    return self.error_on(
                        head.stream,
                        ErrorCode::FRAME_SIZE_ERROR,
                        "PRIORITY is not 5 octets long",
                    );
                }
                (Priority::LEN, true)
            }
            Kind::RST_STREAM => (RstStream::LEN, true),
            Kind::SETTINGS => return self.settings(head),
            Kind::PING => (Ping::LEN, true),
            Kind::GOAWAY => (GoAway::FIXED_LEN, false),
            Kind::WINDOW_UPDATE => (WindowUpdate::LEN, true),
            // RFC 9113 §8.4: clients cannot push, and servers were told not to.
            Kind::PUSH_PROMISE => {
                return Err(error(ErrorCode::PROTOCOL_ERROR, "PUSH_PROMISE although push is off"));
            }
            _ => {
                self.idle_frame("frames of unknown type without end")?;
                self.state.input.skip(head.length);
                return Ok(None);
            }
        };
        let fixed = fixed as u32;
        if head.length < fixed || (exact && head.length > fixed) {
            // Nothing of a wrong size parses; its parser says what is wrong.
            return self.fixed_part(&[]);
        }
        self.state.input.left = head.length.minus(fixed);
        self.state.input.phase = Phase::Fixed(fixed as u8);
        Ok(None)
    }

    fn settings(&mut self, head: Head) -> Received<'static> {
        Settings::check(&head).map_err(of_connection)?;
        self.state.input.phase = Phase::Head;
        if head.has(flags::ACK) {
            self.settings_acknowledged()?;
            return Ok(None);
        }
        // Far more than are defined: room for extensions and for values that are repeated.
        if head.length > 64_u32.wrapping_mul(Setting::LEN as u32)
            || !self.state.settings_frames.spend(self.state.timers.now)
        {
            return Err(error(ErrorCode::ENHANCE_YOUR_CALM, "too many SETTINGS"));
        }
        self.state.incoming = if self.state.ready { self.state.peer } else { PeerSettings::DEFAULT };
        self.state.input.left = head.length;
        if head.length == 0 {
            return self.settings_received();
        }
        self.state.input.phase = Phase::Fixed(Setting::LEN as u8);
        Ok(None)
    }

    /// The fixed part of a payload. `None`: not all of it is there yet.
    fn fixed<'i>(
        &mut self,
        n: u8,
        input: &mut &'i [u8],
    ) -> Result<Option<Option<Token<'i>>>, ConnectionError> {
        let Some(octets) = self.state.input.gather(n.into(), input) else { return Ok(None) };
        let octets = octets.get(..usize::from(n)).unwrap_or_default();
        Ok(Some(match self.state.input.head.kind {
            Kind::DATA => self.data_padding(octets)?,
            Kind::HEADERS => self.headers_front(octets, input)?,
            _ => self.fixed_part(octets)?,
        }))
    }

    /// The whole payload of a control frame, or its fixed part.
    fn fixed_part(&mut self, octets: &[u8]) -> Received<'static> {
        let head = self.state.input.head;
        self.state.input.phase = Phase::Head;
        match head.kind {
            Kind::SETTINGS => {
                let left = self.state.input.left.saturating_sub(Setting::LEN as u32);
                self.state.input.left = left;
                if let Some(entry) = octets.first_chunk() {
                    self.setting_received(entry)?;
                }
                if left == 0 {
                    return self.settings_received();
                }
                self.state.input.phase = Phase::Fixed(Setting::LEN as u8);
                Ok(None)
            }
            Kind::PRIORITY => {
                let priority = Priority::parse(&head, octets).map_err(of_connection)?;
                if priority.dependency == head.stream {
                    return self.error_on(
                        head.stream,
                        ErrorCode::PROTOCOL_ERROR,
                        "a stream depends on itself",
                    );
                }
                Ok(None)
            }
            Kind::RST_STREAM => {
                let RstStream { stream, code } = RstStream::parse(&head, octets).map_err(of_connection)?;
                self.reset_received(stream, code)
            }
            Kind::PING => {
                let ping = Ping::parse(&head, octets).map_err(of_connection)?;
                self.ping_received(ping)?;
                Ok(None)
            }
            Kind::GOAWAY => {
                let GoAway { last, code, .. } = GoAway::parse(&head, octets).map_err(of_connection)?;
                self.goaway_received(last, code)
            }
            _ => match WindowUpdate::parse(&head, octets) {
                Ok(WindowUpdate { stream, increment }) => self.window_update_received(stream, increment),
                Err(wrong) if wrong.scope == Scope::Connection => Err(of_connection(wrong)),
                Err(wrong) => self.error_on(head.stream, wrong.code, wrong.reason),
            },
        }
    }

    /// What `id` stands for. A stream's error that is found on an idle one is the connection's.
    pub(super) fn look_up(&self, id: u32) -> Lookup {
        let streams = &self.state.streams;
        let ours = (id & 1 == 1) != self.state.config.server;
        // Servers open none (push is off).
        let used = match self.state.config.server {
            true if !ours && self.state.away.is_past(id) => return Lookup::Closed,
            true => !ours && id <= streams.last_peer,
            false => ours && id < streams.next_local,
        };
        if !used {
            return Lookup::Idle;
        }
        match streams.find(self.parts.streams, id) {
            Some(slot) => Lookup::Open(slot),
            None => Lookup::Closed,
        }
    }

    /// A stream error on whatever `id` stands for.
    pub(super) fn error_on(&mut self, id: u32, code: ErrorCode, reason: &'static str) -> Received<'static> {
        match self.look_up(id) {
            Lookup::Idle => Err(error(code, reason)),
            Lookup::Closed => {
                self.refuse(id, code)?;
                Ok(None)
            }
            Lookup::Open(slot) if self.is_resetting(slot) => Ok(None),
            Lookup::Open(slot) => self.stream_error(slot, code),
        }
    }

    /// Whether the stream is over but for the RST_STREAM that is due.
    #[inline]
    pub(super) fn is_resetting(&self, slot: u16) -> bool {
        self.parts.streams.get(usize::from(slot)).is_none_or(|slot| slot.has(stream::RST_DUE))
    }

    /// RST_STREAM (RFC 9113 §6.4).
    fn reset_received(&mut self, id: u32, code: ErrorCode) -> Received<'static> {
        match self.look_up(id) {
            Lookup::Idle => Err(error(ErrorCode::PROTOCOL_ERROR, "RST_STREAM on an idle stream")),
            Lookup::Closed => {
                self.late_frame()?;
                Ok(None)
            }
            Lookup::Open(slot) => {
                let over = self.is_resetting(slot);
                self.charge_reset()?;
                let stream = self.key(slot);
                self.note_reset(slot);
                self.finish(slot, Ending::PeerReset);
                Ok((!over).then_some(Token::Reset { stream, code, cause: ResetCause::Peer }))
            }
        }
    }

    /// WINDOW_UPDATE (RFC 9113 §6.9).
    fn window_update_received(&mut self, id: u32, increment: u32) -> Received<'static> {
        if id == 0 {
            return match self.state.send_window.grow(increment) {
                true => Ok(None),
                false => {
                    Err(error(ErrorCode::FLOW_CONTROL_ERROR, "the connection's window goes above 2^31-1"))
                }
            };
        }
        match self.look_up(id) {
            Lookup::Idle => Err(error(ErrorCode::PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")),
            // RFC 9113 §5.1: may arrive for a while after the stream's end.
            Lookup::Closed => Ok(None),
            Lookup::Open(index) => {
                let Some(slot) = self.slot(index).filter(|slot| !slot.has(stream::RST_DUE)) else {
                    return Ok(None);
                };
                if !slot.send_window.grow(increment) {
                    return self.stream_error(index, ErrorCode::FLOW_CONTROL_ERROR);
                }
                if slot.has(stream::WAITS_STREAM) {
                    self.wake(index);
                }
                Ok(None)
            }
        }
    }
}

pub(super) const fn error(code: ErrorCode, reason: &'static str) -> ConnectionError {
    ConnectionError { code, reason }
}

/// An error of a frame that ends the connection (RFC 9113 §5.4.1 lets every error do so).
fn of_connection(wrong: FrameError) -> ConnectionError {
    error(wrong.code, wrong.reason)
}
