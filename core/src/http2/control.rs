//! Frames that are due: what a peer provokes waits here as bits and counters, until the outbox has room.

use heapless::Deque;

use super::preface::MAGIC;
use super::recv::error;
use super::stream::{self, Ending};
use super::{ConnectionError, Engine};
use crate::bytes::{Exact, Writer};
use crate::error::ErrorCode;
use crate::frame::{GoAway, Head, Ping, RstStream, Setting, Settings, WindowUpdate};

/// Which frames are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due(u16);

impl Due {
    /// The client's magic, SETTINGS, and the connection's whole window.
    pub(super) const PREFACE: Due = Due(1 << 0);
    /// Acknowledgements of SETTINGS.
    pub(super) const ACKS: Due = Due(1 << 1);
    /// Answers to PINGs.
    pub(super) const PONGS: Due = Due(1 << 2);
    /// Keepalive's PING.
    pub(super) const KEEPALIVE: Due = Due(1 << 3);
    /// RST_STREAM of streams that have no slot.
    pub(super) const REFUSED: Due = Due(1 << 4);
    /// Slots in the queue of frames that are due.
    pub(super) const STREAMS: Due = Due(1 << 5);
    /// The connection's WINDOW_UPDATE.
    pub(super) const WINDOW: Due = Due(1 << 6);
    /// GOAWAY.
    pub(super) const GOAWAY: Due = Due(1 << 7);
    /// The PING behind the first GOAWAY of two.
    pub(super) const DRAIN_PING: Due = Due(1 << 8);

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(super) fn has(self, due: Due) -> bool {
        self.0 & due.0 != 0
    }

    #[inline]
    pub(super) fn set(&mut self, due: Due) {
        self.0 |= due.0;
    }

    pub(super) fn clear(&mut self, due: Due) {
        self.0 &= !due.0;
    }

    pub(super) const fn and(self, other: Due) -> Due {
        Due(self.0 | other.0)
    }
}

/// Streams that were refused: every second id from `first` on. A burst of requests above the limit is one of these.
#[derive(Clone, Copy, Debug)]
struct Refused {
    first: u32,
    count: u32,
    code: ErrorCode,
}

/// Counters and rings behind [`Due`].
#[derive(Debug)]
pub(super) struct Control {
    pub(super) due: Due,
    acks: u16,
    pongs: Deque<[u8; 8], 16>,
    refused: Deque<Refused, 16>,
}

/// Our PINGs are told apart by their content.
pub(super) const KEEPALIVE_PING: [u8; 8] = *b"keep up?";
pub(super) const DRAIN_PING: [u8; 8] = *b"draining";

const FRAME_OF_4: usize = Head::LEN + 4;
const FRAME_OF_8: usize = Head::LEN + 8;

impl Control {
    pub(super) fn new() -> Control {
        Control { due: Due::PREFACE.and(Due::WINDOW), acks: 0, pongs: Deque::new(), refused: Deque::new() }
    }

    /// The connection has failed: only the GOAWAY is due, behind the preface.
    pub(super) fn fail(&mut self) {
        self.due = Due(self.due.0 & Due::PREFACE.0 | Due::GOAWAY.0);
    }
}

impl Engine<'_> {
    /// SETTINGS of the peer's to acknowledge.
    pub(super) fn settings_ack_due(&mut self) -> Result<(), ConnectionError> {
        self.state.control.acks = self.state.control.acks.saturating_add(1);
        self.state.control.due.set(Due::ACKS);
        // As many as a peer can send while it does not read; Limits::settings stops it long before.
        match self.state.control.acks {
            u16::MAX => Err(error(ErrorCode::ENHANCE_YOUR_CALM, "too many SETTINGS")),
            _ => Ok(()),
        }
    }

    /// A PING of the peer's to answer.
    pub(super) fn pong_due(&mut self, data: [u8; 8]) -> Result<(), ConnectionError> {
        if self.state.control.pongs.is_full() {
            self.flush();
        }
        self.state.control.due.set(Due::PONGS);
        self.state
            .control
            .pongs
            .push_back(data)
            .map_err(|_| error(ErrorCode::ENHANCE_YOUR_CALM, "PINGs while the answers are not read"))
    }

    /// A stream that has no slot ends with RST_STREAM.
    pub(super) fn refuse(&mut self, id: u32, code: ErrorCode) -> Result<(), ConnectionError> {
        self.charge_reset()?;
        self.state.control.due.set(Due::REFUSED);
        if let Some(last) = self.state.control.refused.back_mut()
            && last.code == code
            && last.first.wrapping_add(last.count.wrapping_mul(2)) == id
        {
            last.count = last.count.saturating_add(1);
            return Ok(());
        }
        if self.state.control.refused.is_full() {
            self.flush();
        }
        self.state.control.refused.push_back(Refused { first: id, count: 1, code }).map_err(|_| {
            error(ErrorCode::ENHANCE_YOUR_CALM, "stream errors while their RST_STREAMs are not read")
        })
    }

    /// An open stream ends with RST_STREAM; its slot is free once that lies in the outbox.
    pub(super) fn reset_slot(&mut self, index: u16, code: ErrorCode) {
        self.stop_waiting(index);
        let Some(slot) = self.slot(index) else { return };
        slot.set(stream::RST_DUE);
        slot.code = code.0;
        let unreleased = core::mem::take(&mut slot.unreleased);
        if !slot.has(stream::IN_CONTROL) {
            self.control_due(index);
        }
        self.release_connection(unreleased);
    }

    /// A stream has a frame due; it must not be in the queue.
    pub(super) fn control_due(&mut self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        slot.set(stream::IN_CONTROL);
        self.state.streams.control.push(self.parts.streams, index);
        self.state.control.due.set(Due::STREAMS);
    }

    pub(super) fn window_due(&mut self) {
        self.state.control.due.set(Due::WINDOW);
    }

    /// Moves what is due into the outbox, as far as it fits.
    #[inline]
    pub(super) fn flush(&mut self) {
        if !self.state.control.due.is_empty() {
            self.flush_due();
        }
    }

    fn flush_due(&mut self) {
        if !self.state.begun {
            return self.begin();
        }
        let due = self.state.control.due;
        // In this order: what comes first must not be overtaken (RFC 9113 §3.4, §6.5.3).
        let _ = (!due.has(Due::PREFACE) || self.flush_preface())
            && (!due.has(Due::ACKS) || self.flush_acks())
            && (!due.has(Due::PONGS) || self.flush_pongs())
            && (!due.has(Due::KEEPALIVE) || self.flush_ping(Due::KEEPALIVE, KEEPALIVE_PING))
            && (!due.has(Due::REFUSED) || self.flush_refused())
            && (!due.has(Due::STREAMS) || self.flush_streams())
            && (!due.has(Due::WINDOW) || self.flush_window())
            && (!due.has(Due::GOAWAY) || self.flush_goaway())
            && (!due.has(Due::DRAIN_PING) || self.flush_ping(Due::DRAIN_PING, DRAIN_PING));
    }

    /// Puts a frame of `n` octets, if it fits.
    fn put(&mut self, n: usize, write: impl FnOnce(&mut Writer<'_>)) -> bool {
        let Some(mut out) = self.state.outbox.writer(self.parts.outbox, n) else { return false };
        write(&mut out);
        let written = out.len();
        self.state.outbox.put(written);
        true
    }

    fn flush_preface(&mut self) -> bool {
        let settings = self.own_settings();
        let magic: &[u8] = if self.state.config.server { &[] } else { MAGIC };
        let n = magic.len().plus(Head::LEN).plus(settings.len().saturating_mul(Setting::LEN));
        let put = self.put(n, |out| {
            out.put(magic);
            Settings::write_entries(&settings, out);
        });
        if put {
            self.state.control.due.clear(Due::PREFACE);
        }
        put
    }

    fn flush_acks(&mut self) -> bool {
        while self.state.control.acks > 0 {
            if !self.put(Head::LEN, |out| Settings::ACK.write(out)) {
                return false;
            }
            self.state.control.acks = self.state.control.acks.minus(1);
        }
        self.state.control.due.clear(Due::ACKS);
        true
    }

    fn flush_pongs(&mut self) -> bool {
        while let Some(&data) = self.state.control.pongs.front() {
            if !self.put(FRAME_OF_8, |out| Ping { ack: true, data }.write(out)) {
                return false;
            }
            self.state.control.pongs.pop_front();
        }
        self.state.control.due.clear(Due::PONGS);
        true
    }

    fn flush_ping(&mut self, due: Due, data: [u8; 8]) -> bool {
        let put = self.put(FRAME_OF_8, |out| Ping { ack: false, data }.write(out));
        if put {
            self.state.control.due.clear(due);
        }
        put
    }

    fn flush_refused(&mut self) -> bool {
        while let Some(&Refused { first, count, code }) = self.state.control.refused.front() {
            if !self.put(FRAME_OF_4, |out| RstStream { stream: first, code }.write(out)) {
                return false;
            }
            match self.state.control.refused.front_mut() {
                Some(range) if count > 1 => {
                    (range.first, range.count) = (first.wrapping_add(2), count.minus(1));
                }
                _ => _ = self.state.control.refused.pop_front(),
            }
        }
        self.state.control.due.clear(Due::REFUSED);
        true
    }

    fn flush_streams(&mut self) -> bool {
        while let Some(index) = self.state.streams.control.first() {
            let Some(slot) = self.parts.streams.get(usize::from(index)) else { break };
            let (stream, increment, code) = (slot.id, slot.released, ErrorCode(slot.code));
            let reset = slot.has(stream::RST_DUE);
            let put = self.put(FRAME_OF_4, |out| match reset {
                true => RstStream { stream, code }.write(out),
                false => WindowUpdate { stream, increment }.write(out),
            });
            if !put {
                return false;
            }
            if reset {
                self.finish(index, Ending::OwnReset);
                continue;
            }
            self.state.streams.control.remove(self.parts.streams, index);
            if let Some(slot) = self.slot(index) {
                slot.clear(stream::IN_CONTROL);
                slot.released = 0;
                slot.recv_window.grow(increment);
            }
        }
        self.state.control.due.clear(Due::STREAMS);
        true
    }

    fn flush_window(&mut self) -> bool {
        let increment = self.state.released;
        if increment > 0 && !self.put(FRAME_OF_4, |out| WindowUpdate { stream: 0, increment }.write(out)) {
            return false;
        }
        self.state.released = 0;
        self.state.recv_window.grow(increment);
        self.state.control.due.clear(Due::WINDOW);
        true
    }

    fn flush_goaway(&mut self) -> bool {
        let (last, code, reason) = self.goaway();
        let n = Head::LEN.plus(GoAway::FIXED_LEN).saturating_add(reason.len());
        let put = self.put(n, |out| GoAway { last, code, debug: reason.as_bytes() }.write(out));
        if put {
            self.state.control.due.clear(Due::GOAWAY);
        }
        put
    }
}
