//! The machine's parts, and what all its verbs share.

use super::control::Control;
use super::header_block::Block;
use super::keepalive::Timers;
use super::limits::{Bucket, Rate};
use super::outbox::Outbox;
use super::recv::Input;
use super::settings::PeerSettings;
use super::shutdown::GoingAway;
use super::stream::{self, Ending, StreamSlot, Streams};
use super::window::{DEFAULT_WINDOW, MAX_WINDOW, Window};
use super::{Config, ConnectionError, Fields, ResetCause, Span, StreamKey, Token};
use crate::error::ErrorCode;
use crate::hpack;
use crate::time::Instant;

/// The lent memory of one connection.
#[derive(Debug)]
pub struct Parts<'a> {
    /// One a concurrent stream, at most 65 534.
    pub streams: &'a mut [StreamSlot],
    /// Dynamic table of the decoder, octets; announced as SETTINGS_HEADER_TABLE_SIZE. With less than 4 096, a peer that
    /// sends many different fields before it has read our SETTINGS can refer to one that was let go:
    /// COMPRESSION_ERROR.
    pub decoder_table: &'a mut [u8],
    /// Dynamic table of the encoder, octets.
    pub encoder_table: &'a mut [u8],
    /// Header fields and split header blocks.
    pub arena: &'a mut [u8],
    /// Bytes to transmit.
    pub outbox: &'a mut [u8],
}

/// Everything of a connection that is not lent.
#[derive(Debug)]
pub struct State {
    pub(super) config: Config,
    pub(super) error: Option<ConnectionError>,
    /// Whether the lent memory was prepared.
    pub(super) begun: bool,
    /// Whether the peer's first SETTINGS arrived.
    pub(super) ready: bool,
    /// Whether the peer acknowledged our SETTINGS.
    pub(super) acknowledged: bool,
    pub(super) input: Input,
    pub(super) block: Block,
    /// Octets at the front of the arena that are in use.
    pub(super) arena_used: usize,
    pub(super) decoder: hpack::Decoder,
    pub(super) encoder: hpack::Encoder,
    pub(super) peer: PeerSettings,
    /// Settings of the SETTINGS frame that is being received.
    pub(super) incoming: PeerSettings,
    /// The largest header list taken: what is announced.
    pub(super) max_header_list: u32,
    pub(super) streams: Streams,
    /// The connection's windows.
    pub(super) send_window: Window,
    pub(super) recv_window: Window,
    /// Octets of the connection's receive window that were released and not announced.
    pub(super) released: u32,
    pub(super) outbox: Outbox,
    pub(super) control: Control,
    pub(super) away: GoingAway,
    pub(super) timers: Timers,
    /// Of the two queues of sends that wait, the next turn is the one's that waits for the outbox.
    pub(super) outbox_turn: bool,
    /// Room in the outbox that a blocked `open` waits for; 0: none waits.
    pub(super) open_needs: usize,
    pub(super) resets: Bucket,
    pub(super) idle_frames: Bucket,
    pub(super) settings_frames: Bucket,
    pub(super) pings: Bucket,
    /// The stream of the last `Reset` token, and whether its HEADERS had left.
    pub(super) last_reset: (u32, bool),
}

impl State {
    /// The state of a new connection. The preface and SETTINGS are written into the outbox at the first verb.
    pub fn new(config: &Config, now: Instant) -> State {
        let limits = &config.limits;
        State {
            error: None,
            begun: false,
            ready: false,
            acknowledged: false,
            input: Input::new(config.server),
            block: Block::default(),
            arena_used: 0,
            decoder: hpack::Decoder::new(0),
            encoder: hpack::Encoder::new(0),
            peer: PeerSettings::UNKNOWN,
            incoming: PeerSettings::DEFAULT,
            max_header_list: config.max_header_list_size,
            streams: Streams::new(config.seed),
            send_window: Window::new(DEFAULT_WINDOW),
            recv_window: Window::new(DEFAULT_WINDOW),
            released: config.connection_window.min(MAX_WINDOW).saturating_sub(DEFAULT_WINDOW),
            outbox: Outbox::default(),
            control: Control::new(),
            away: GoingAway::default(),
            timers: Timers::new(config, now),
            outbox_turn: true,
            open_needs: 0,
            resets: Bucket::new(limits.resets.unwrap_or(Rate::UNLIMITED), now),
            idle_frames: Bucket::new(limits.idle_frames, now),
            settings_frames: Bucket::new(limits.settings, now),
            pings: Bucket::new(limits.pings, now),
            last_reset: (0, false),
            config: config.clone(),
        }
    }

    /// Octets at the front of the arena that are in use (fields of the tokens since the last batch began, a split
    /// header block). What lies behind them is scratch for `call` between two verbs (base64 of `-bin` values);
    /// `call` also rewrites the fields of a span in place.
    pub fn arena_used(&self) -> usize {
        self.arena_used
    }

    /// Counts `octets` more of the arena's front as used, when they are there: a list of fields that `call` rewrites
    /// becomes longer where joined `-bin` values are split. Valid right after the token whose fields lie last.
    pub fn arena_extend(&mut self, arena_len: usize, octets: usize) -> bool {
        match self.arena_used.checked_add(octets).filter(|used| *used <= arena_len) {
            Some(used) => {
                self.arena_used = used;
                true
            }
            None => false,
        }
    }

    /// The tokens given so far are done with: all of the arena but a split header block is free again.
    pub fn arena_clear(&mut self) {
        self.arena_used = if self.block.is_open() { self.block.len } else { 0 };
    }

    /// Whether everything is said and done: after an error, or a shutdown whose streams are done, once the outbox
    /// is empty.
    pub fn is_closed(&self) -> bool {
        let done =
            self.error.is_some() || (self.away.is_decided(self.config.server) && self.streams.open == 0);
        done && self.outbox.unsent() == 0 && self.control.due.is_empty()
    }

    /// Whether arena and outbox hold nothing that a later verb needs: then [`Parts`] may come with empty ones.
    pub fn is_idle(&self) -> bool {
        self.begun && self.outbox.unsent() == 0 && self.control.due.is_empty() && !self.block.is_open()
    }
}

/// The machine: state and lent parts, put together for the length of one call.
#[derive(Debug)]
pub struct Engine<'a> {
    /// Owned.
    pub state: &'a mut State,
    /// Lent.
    pub parts: Parts<'a>,
}

impl<'a> Engine<'a> {
    /// A token made by time, by a command, by `recv` beside its own, or by `transmitted`. Call it until `None`.
    pub fn poll(&mut self) -> Option<Token<'static>> {
        if self.state.error.is_some() {
            return None;
        }
        if self.state.away.sweeping
            && let Some(token) = self.sweep()
        {
            return Some(token);
        }
        if let Some(slot) = self.next_writable() {
            return Some(Token::Writable { stream: self.key(slot) });
        }
        if self.state.open_needs > 0 && (self.can_open() || self.is_going_away()) {
            self.state.open_needs = 0;
            return Some(Token::Openable);
        }
        None
    }

    /// Fair order: the send that was blocked first goes on first, and the two queues take turns. Nobody overtakes one
    /// whose turn it is while it waits for room: there might never be enough of it again.
    fn next_writable(&mut self) -> Option<u16> {
        let room = self.state.outbox.room(self.parts.outbox);
        let window = self.state.send_window.octets();
        let slots = &*self.parts.streams;
        let slot = |index: u16| slots.get(usize::from(index));
        let streams = &self.state.streams;
        let for_outbox = streams.wait_outbox.first();
        let has_window =
            |index: &u16| slot(*index).is_some_and(|slot| u32::from(slot.needs_window) <= window);
        let for_window = streams.wait_connection.first().filter(has_window);
        let next = match for_outbox {
            Some(first) if for_window.is_none() || self.state.outbox_turn => first,
            _ => for_window?,
        };
        if slot(next).is_none_or(|slot| slot.needs as usize > room) {
            return None;
        }
        self.state.outbox_turn = for_outbox != Some(next);
        self.stop_waiting(next);
        Some(next)
    }

    /// The fields of a token, until the next `recv`.
    pub fn fields(&self, span: Span) -> Fields<'_> {
        Fields::new(self.octets(span))
    }

    /// The octets of a span: a GOAWAY's debug data.
    pub fn octets(&self, span: Span) -> &[u8] {
        let at = span.at as usize;
        self.parts.arena.get(at..at.saturating_add(span.len as usize)).unwrap_or_default()
    }

    /// Whether any octet of the stream's opening HEADERS was handed out by `transmitted` (else: never left). Also
    /// of the stream of a [`Token::Reset`], until the next verb.
    pub fn has_left(&self, stream: StreamKey) -> bool {
        match self.parts.streams.get(usize::from(stream.slot)) {
            Some(slot) if slot.id == stream.id => self.state.outbox.was_sent(slot.headers_at),
            _ => self.state.last_reset.0 != stream.id || self.state.last_reset.1,
        }
    }

    /// Open streams.
    pub fn open_streams(&self) -> u32 {
        self.state.streams.open.into()
    }

    /// Octets that wait in the outbox.
    pub fn unsent(&self) -> usize {
        self.state.outbox.unsent()
    }

    /// The outbox, lent (for as long as the parts are, so that `call` can hand it on).
    pub fn transmit(mut self, now: Instant) -> &'a [u8] {
        self.state.timers.now = now;
        self.flush();
        self.state.outbox.lent(self.parts.outbox)
    }

    /// Octets of `transmit` that were written.
    pub fn transmitted(&mut self, n: usize) {
        self.state.outbox.transmitted(n);
        // Before the sends that were blocked: they must not take all the room again.
        self.flush();
    }

    /// What the first verb does by itself. `call`, which takes the arena out of the parts for the length of a
    /// command, does it before.
    pub(crate) fn ensure_begun(&mut self) {
        if !self.state.begun {
            self.begin();
        }
    }

    /// What cannot be done before the memory is known; at the first verb.
    pub(super) fn begin(&mut self) {
        self.state.begun = true;
        for slot in self.parts.streams.iter_mut() {
            *slot = StreamSlot::FREE;
        }
        let table = |table: &[u8]| u32::try_from(table.len()).unwrap_or(u32::MAX);
        self.state.decoder = hpack::Decoder::new(table(self.parts.decoder_table));
        self.state.encoder = hpack::Encoder::new(table(self.parts.encoder_table));
        // Half for a header block that comes in pieces, half for what it decodes to.
        let half = u32::try_from(self.parts.arena.len() / 2).unwrap_or(u32::MAX);
        self.state.max_header_list = self.state.config.max_header_list_size.min(half);
        if self.state.config.limits.resets.is_none() {
            let rate = self.max_peer_streams().saturating_mul(8).max(1_000);
            self.state.resets = Bucket::new(Rate { burst: rate, per_second: rate }, self.state.timers.now);
        }
        self.flush();
    }

    pub(super) fn key(&self, slot: u16) -> StreamKey {
        StreamKey { id: self.parts.streams.get(usize::from(slot)).map_or(0, |slot| slot.id), slot }
    }

    #[inline]
    pub(super) fn slot(&mut self, index: u16) -> Option<&mut StreamSlot> {
        self.parts.streams.get_mut(usize::from(index))
    }

    /// The slot of a stream that is not over.
    #[inline]
    pub(super) fn open_slot(&mut self, stream: StreamKey) -> Option<&mut StreamSlot> {
        let over = self.state.error.is_some();
        self.slot(stream.slot)
            .filter(|slot| !over && slot.id == stream.id && stream.id != 0 && !slot.has(stream::RST_DUE))
    }

    /// Ends the connection; the GOAWAY is due.
    pub(super) fn fail(&mut self, error: ConnectionError) -> ConnectionError {
        if self.state.error.is_none() {
            self.state.error = Some(error);
            self.state.control.fail();
            self.keep_back();
        }
        self.state.error.unwrap_or(error)
    }

    /// Takes back what waits in the outbox from the first request on of which no octet has left: who made it is told
    /// so, and may make it again elsewhere. The GOAWAY must not take it along.
    fn keep_back(&mut self) {
        if self.state.config.server {
            return;
        }
        let outbox = &self.state.outbox;
        let waiting = self.parts.streams.iter().filter(|slot| slot.id != 0);
        let first = waiting.map(|slot| slot.headers_at).filter(|at| !outbox.was_sent(*at)).min();
        if let Some(first) = first {
            self.state.outbox.truncate(first);
        }
    }

    /// One side of the stream ended; when both have, the stream is over.
    pub(super) fn side_closed(&mut self, index: u16, side: u16) {
        let Some(slot) = self.slot(index) else { return };
        slot.set(side);
        if slot.flags & (stream::LOCAL_CLOSED | stream::REMOTE_CLOSED)
            == stream::LOCAL_CLOSED | stream::REMOTE_CLOSED
        {
            self.finish(index, Ending::Ended);
        }
    }

    /// Frees a stream's slot, and gives back what it did not release to the connection's window.
    pub(super) fn finish(&mut self, index: u16, ending: Ending) {
        let Some(slot) = self.slot(index) else { return };
        let unreleased = core::mem::take(&mut slot.unreleased);
        self.state.streams.remove(self.parts.streams, index, ending);
        self.release_connection(unreleased);
        if self.state.streams.open == 0 {
            self.state.timers.idle_since = self.state.timers.now;
        }
    }

    /// A stream error (RFC 9113 §5.4.2) on an open stream: RST_STREAM is due, and the application is told.
    pub(super) fn stream_error(
        &mut self,
        index: u16,
        code: ErrorCode,
    ) -> Result<Option<Token<'static>>, ConnectionError> {
        self.charge_reset()?;
        let stream = self.key(index);
        self.note_reset(index);
        self.reset_slot(index, code);
        Ok(Some(Token::Reset { stream, code, cause: ResetCause::Local }))
    }

    /// Keeps what [`Engine::has_left`] says of a stream whose slot is about to be freed.
    pub(super) fn note_reset(&mut self, index: u16) {
        if let Some(slot) = self.parts.streams.get(usize::from(index)) {
            self.state.last_reset = (slot.id, self.state.outbox.was_sent(slot.headers_at));
        }
    }

    /// A stream that the peer reset, or made us reset or refuse.
    pub(super) fn charge_reset(&mut self) -> Result<(), ConnectionError> {
        if !self.state.config.server || self.state.resets.spend(self.state.timers.now) {
            return Ok(());
        }
        Err(ConnectionError { code: ErrorCode::ENHANCE_YOUR_CALM, reason: "too many streams were reset" })
    }

    /// A frame on a stream that is over. A client lets all of them pass: it cancels calls that are being answered,
    /// as many as it likes.
    pub(super) fn late_frame(&mut self) -> Result<(), ConnectionError> {
        if self.state.config.server {
            self.idle_frame("frames on closed streams without end")
        } else {
            Ok(())
        }
    }

    /// A frame that does nothing.
    pub(super) fn idle_frame(&mut self, reason: &'static str) -> Result<(), ConnectionError> {
        if self.state.idle_frames.spend(self.state.timers.now) {
            return Ok(());
        }
        Err(ConnectionError { code: ErrorCode::ENHANCE_YOUR_CALM, reason })
    }
}
