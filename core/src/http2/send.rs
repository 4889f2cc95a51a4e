//! Commands that send on a stream: all or nothing, or as much as fits (RFC 9113 §8.1).

use core::num::NonZeroUsize;

use super::control::Due;
use super::stream::{self, StreamSlot};
use super::window::Window;
use super::{Engine, OpenError, StreamError, StreamKey};
use crate::bytes::{self, Exact};
use crate::error::ErrorCode;
use crate::frame::{Head, Kind, flags};
use crate::hpack::{Encoder, Field};
use crate::time::Instant;

/// What a header list takes.
struct Measure {
    /// Octets in the outbox at most, frame heads counted.
    needs: usize,
    /// In the counting of RFC 9113 §6.5.2.
    size: u64,
    /// Whether it is a HEAD request.
    head: bool,
}

impl Engine<'_> {
    /// Opens a stream (client). `fields` with the pseudo-header fields first; all or nothing.
    pub fn open<'f>(
        &mut self,
        now: Instant,
        fields: impl Iterator<Item = Field<'f>> + Clone,
        end: bool,
    ) -> Result<StreamKey, OpenError> {
        self.state.timers.now = now;
        if self.state.error.is_some() {
            return Err(OpenError::Closed);
        }
        if self.is_going_away() {
            return Err(OpenError::GoingAway);
        }
        let measure = self.measure(fields.clone());
        if measure.needs > self.parts.outbox.len()
            || measure.size > self.state.peer.max_header_list_size.into()
        {
            return Err(OpenError::TooLarge);
        }
        self.state.open_needs = measure.needs;
        if self.must_wait() || !self.can_open() {
            return Err(OpenError::Blocked);
        }
        self.state.open_needs = 0;
        let id = self.state.streams.next_local;
        let Some(index) = self.state.streams.insert(self.parts.streams, id) else {
            return Err(OpenError::Blocked);
        };
        self.state.streams.next_local = id.saturating_add(2);
        let send_window = Window::new(self.state.peer.initial_window_size);
        let recv_window = Window::new(self.initial_recv_window());
        let headers_at = self.state.outbox.position();
        if let Some(slot) = self.slot(index) {
            (slot.send_window, slot.recv_window, slot.headers_at) = (send_window, recv_window, headers_at);
            slot.set(if measure.head { stream::NO_CONTENT } else { 0 });
            slot.set(if end { stream::LOCAL_CLOSED } else { 0 });
        }
        self.write_block(id, measure.needs, fields, end);
        Ok(StreamKey { id, slot: index })
    }

    /// Sends a header list on an open stream: response, trailers.
    pub fn send_headers<'f>(
        &mut self,
        stream: StreamKey,
        fields: impl Iterator<Item = Field<'f>> + Clone,
        end: bool,
    ) -> Result<(), StreamError> {
        self.sendable(stream)?;
        let measure = self.measure(fields.clone());
        if measure.needs > self.parts.outbox.len()
            || measure.size > self.state.peer.max_header_list_size.into()
        {
            return Err(StreamError::TooLarge);
        }
        if self.must_wait() || self.outbox_room() < measure.needs {
            self.wait(stream.slot, stream::WAITS_OUTBOX, measure.needs, 0);
            return Err(StreamError::Blocked);
        }
        self.write_block(stream.id, measure.needs, fields, end);
        if end {
            self.side_closed(stream.slot, stream::LOCAL_CLOSED);
        }
        Ok(())
    }

    /// Sends DATA: `prefix` (a length prefix, say) whole or not at all, then as much of `bytes` as outbox and
    /// windows take; `end` is set on the frame that carries the last of `bytes`. Returns octets of `bytes` taken.
    /// Nothing taken at all (not even the prefix) is `Err(Blocked)`. The prefix goes only along with at least one
    /// octet of `bytes` (unless `bytes` is empty), so `Ok(0)` means that all was taken.
    /// [`Token::Writable`](super::Token::Writable) follows `Blocked` and a part.
    pub fn send_data(
        &mut self,
        stream: StreamKey,
        prefix: &[u8],
        bytes: &[u8],
        end: bool,
    ) -> Result<usize, StreamError> {
        let stream_window = self.sendable(stream)?.send_window.octets();
        let all = prefix.len().saturating_add(bytes.len());
        if all == 0 && !end {
            return Ok(0);
        }
        let least = prefix.len().saturating_add(bytes.len().min(1));
        if least.saturating_add(Head::LEN) > self.parts.outbox.len() || least > usize::from(u16::MAX) {
            return Err(StreamError::TooLarge);
        }
        let window = stream_window.min(self.state.send_window.octets());
        let room = if self.must_wait() { 0 } else { self.outbox_room() };
        let max_frame = self.state.peer.max_frame();
        let n = all.min(window as usize).min(content_room(room, max_frame));
        if n < least || room < Head::LEN {
            self.wait_for(stream.slot, all, least as u16);
            return Err(StreamError::Blocked);
        }
        self.write_data(stream.id, prefix, bytes, n, end && n == all);
        self.state.send_window.take(n as u32);
        if let Some(slot) = self.slot(stream.slot) {
            slot.send_window.take(n as u32);
        }
        if n < all {
            self.wait_for(stream.slot, all.minus(n), 1);
        } else if end {
            self.side_closed(stream.slot, stream::LOCAL_CLOSED);
        }
        Ok(n.minus(prefix.len()))
    }

    /// Whether header blocks of up to `headers` octets (their frame heads counted) and `data` octets of DATA can be
    /// taken now, all at once. `Blocked`: the outbox has no room now, [`Token::Writable`](super::Token::Writable)
    /// follows. `TooLarge`: the outbox can never hold it, or a window is smaller than `data`.
    pub fn check_room(&mut self, stream: StreamKey, headers: usize, data: usize) -> Result<(), StreamError> {
        let window = self.sendable(stream)?.send_window.octets().min(self.state.send_window.octets());
        let max_frame = self.state.peer.max_frame();
        let frames = data.div_ceil(max_frame.get());
        let needs = headers.saturating_add(data).saturating_add(frames.saturating_mul(Head::LEN));
        if needs > self.parts.outbox.len() || data > window as usize {
            return Err(StreamError::TooLarge);
        }
        if self.must_wait() || self.outbox_room() < needs {
            self.wait(stream.slot, stream::WAITS_OUTBOX, needs, 0);
            return Err(StreamError::Blocked);
        }
        Ok(())
    }

    /// Ends a stream by RST_STREAM; no token follows. NO_ERROR after a complete early response (RFC 9113 §8.1).
    pub fn reset(&mut self, stream: StreamKey, code: ErrorCode) {
        if self.open_slot(stream).is_some() {
            self.reset_slot(stream.slot, code);
        }
    }

    /// Streams that could be opened now.
    pub fn room(&self) -> u32 {
        if self.is_going_away() {
            return 0;
        }
        let allowed = self.state.peer.max_concurrent_streams.saturating_sub(self.open_streams());
        self.state.streams.room(self.parts.streams).min(allowed)
    }

    pub(super) fn can_open(&self) -> bool {
        self.room() > 0 && self.outbox_room() >= self.state.open_needs
    }

    fn outbox_room(&self) -> usize {
        self.state.outbox.room(self.parts.outbox)
    }

    /// What must come before any further HEADERS or DATA: the preface, and acknowledgements of settings that they
    /// depend on (RFC 9113 §3.4, §6.5.3).
    fn must_wait(&mut self) -> bool {
        let first = Due::PREFACE.and(Due::ACKS);
        if self.state.control.due.has(first) {
            self.flush();
        }
        self.state.control.due.has(first)
    }

    /// The slot of a stream whose local side is open.
    fn sendable(&mut self, stream: StreamKey) -> Result<&mut StreamSlot, StreamError> {
        self.open_slot(stream).filter(|slot| !slot.has(stream::LOCAL_CLOSED)).ok_or(StreamError::Closed)
    }

    fn measure<'f>(&self, fields: impl Iterator<Item = Field<'f>>) -> Measure {
        let mut measure = Measure { needs: Encoder::BEGIN_BOUND, size: 0, head: false };
        for Field { name, value, .. } in fields {
            let length = name.len().saturating_add(value.len());
            measure.size = measure.size.saturating_add(length as u64).saturating_add(32);
            measure.needs = measure.needs.saturating_add(Encoder::bound(name.len(), value.len()));
            measure.head |= value == b"HEAD" && name == b":method";
        }
        let frames = (measure.needs / self.state.peer.max_frame()).saturating_add(1);
        measure.needs = measure.needs.saturating_add(frames.saturating_mul(Head::LEN));
        measure
    }

    /// Encodes a header block into the outbox, which has `needs` octets of room for it.
    fn write_block<'f>(
        &mut self,
        stream: u32,
        needs: usize,
        fields: impl Iterator<Item = Field<'f>>,
        end: bool,
    ) {
        self.state.timers.sends();
        self.state.pings.refund(2);
        let max_frame = self.state.peer.max_frame();
        let Some(mut out) = self.state.outbox.writer(self.parts.outbox, needs) else { return };
        out.put(&[0; Head::LEN]);
        self.state.encoder.begin(self.parts.encoder_table, &mut out);
        for field in fields {
            self.state.encoder.encode(self.parts.encoder_table, &field, &mut out);
        }
        let block = out.len().minus(Head::LEN);
        let more = block.saturating_sub(1) / max_frame;
        out.advance(more.saturating_mul(Head::LEN));
        let end_stream = if end { flags::END_STREAM } else { 0 };
        let frame = out.written();
        // The last fragment moves first, so that none is overwritten.
        for fragment in (0..=more).rev() {
            let from = fragment.saturating_mul(max_frame.get()).saturating_add(Head::LEN);
            let to = from.saturating_add(fragment.saturating_mul(Head::LEN));
            let length = block.saturating_sub(fragment.saturating_mul(max_frame.get())).min(max_frame.get());
            let (kind, flags) = match fragment {
                0 => (Kind::HEADERS, end_stream),
                _ => {
                    bytes::copy_within(frame, from, to, length);
                    (Kind::CONTINUATION, 0)
                }
            };
            let flags = if fragment == more { flags | flags::END_HEADERS } else { flags };
            let head = Head { length: length as u32, kind, flags, stream };
            if let Some(place) = frame.get_mut(to.saturating_sub(Head::LEN)..) {
                bytes::copy(place, &head.to_wire());
            }
        }
        let written = out.len();
        self.state.outbox.put(written);
    }

    /// Writes `n` octets of `prefix` and `bytes` as DATA frames, for which the outbox has room.
    fn write_data(&mut self, stream: u32, prefix: &[u8], bytes: &[u8], n: usize, end: bool) {
        self.state.timers.sends();
        self.state.pings.refund(2);
        let max_frame = self.state.peer.max_frame();
        let needs = n.saturating_add(n.div_ceil(max_frame.get()).max(1).saturating_mul(Head::LEN));
        let Some(mut out) = self.state.outbox.writer(self.parts.outbox, needs) else { return };
        let (mut prefix, mut bytes, mut left) = (prefix, bytes, n);
        loop {
            let length = left.min(max_frame.get());
            left = left.minus(length);
            let flags = if end && left == 0 { flags::END_STREAM } else { 0 };
            out.put(&Head { length: length as u32, kind: Kind::DATA, flags, stream }.to_wire());
            let front = bytes::take_up_to(&mut prefix, length);
            out.put(front);
            out.put(bytes::take_up_to(&mut bytes, length.minus(front.len())));
            if left == 0 {
                break;
            }
        }
        let written = out.len();
        self.state.outbox.put(written);
    }

    /// Waits for whatever stands in the way of sending `all` octets of DATA, at least `least` of them.
    fn wait_for(&mut self, index: u16, all: usize, least: u16) {
        let window = self.state.send_window.octets();
        let Some(slot) = self.slot(index) else { return };
        let what = if slot.send_window.octets() < u32::from(least) {
            stream::WAITS_STREAM
        } else if window < u32::from(least) {
            stream::WAITS_CONNECTION
        } else {
            stream::WAITS_OUTBOX
        };
        // Not for every few octets of room.
        let enough = all.saturating_add(Head::LEN).min(self.parts.outbox.len() / 4);
        self.wait(index, what, enough.max(usize::from(least).plus(Head::LEN)), least);
    }

    fn wait(&mut self, index: u16, what: u16, needs: usize, needs_window: u16) {
        self.stop_waiting(index);
        let Some(slot) = self.slot(index) else { return };
        slot.set(what);
        (slot.needs, slot.needs_window) = (needs as u32, needs_window);
        match what {
            stream::WAITS_OUTBOX => self.state.streams.wait_outbox.push(self.parts.streams, index),
            stream::WAITS_CONNECTION => self.state.streams.wait_connection.push(self.parts.streams, index),
            _ => {}
        }
    }

    pub(super) fn stop_waiting(&mut self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        let flags = slot.flags;
        slot.clear(stream::WAITS_OUTBOX | stream::WAITS_CONNECTION | stream::WAITS_STREAM);
        if flags & stream::WAITS_OUTBOX != 0 {
            self.state.streams.wait_outbox.remove(self.parts.streams, index);
        }
        if flags & stream::WAITS_CONNECTION != 0 {
            self.state.streams.wait_connection.remove(self.parts.streams, index);
        }
    }

    /// The stream's window has grown: a send that waits for it goes on, in its turn.
    pub(super) fn wake(&mut self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        let (needs, needs_window) = (slot.needs, slot.needs_window);
        if slot.has(stream::WAITS_STREAM) && slot.send_window.octets() >= u32::from(needs_window) {
            self.wait(index, stream::WAITS_CONNECTION, needs as usize, needs_window);
        }
    }
}

/// Octets of DATA that fit into `room` with their frame heads.
fn content_room(room: usize, max_frame: NonZeroUsize) -> usize {
    let frame = max_frame.saturating_add(Head::LEN);
    let rest = (room % frame).saturating_sub(Head::LEN);
    (room / frame).saturating_mul(max_frame.get()).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_frame_heads_fill_the_room() {
        let max_frame = NonZeroUsize::new(100).unwrap();
        for (room, content) in
            [(0, 0), (9, 0), (10, 1), (109, 100), (110, 100), (118, 100), (119, 101), (218, 200)]
        {
            assert_eq!(content_room(room, max_frame), content, "{room}");
        }
    }
}
