//! Header blocks in: collected when they were split, decoded, checked and handed up (RFC 9113 §4.3, §6.2, §8).

use super::recv::{Lookup, Phase, error};
use super::stream::{self, Ending};
use super::validate::{Expected, Validator};
use super::window::Window;
use super::{ConnectionError, Engine, HeadersKind, Span, StreamKey, Token};
use crate::bytes::{self, Exact, take_up_to};
use crate::error::ErrorCode;
use crate::frame::{Head, Priority, flags};
use crate::hpack;

/// A header block between its HEADERS and the frame with END_HEADERS.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) stream: u32,
    end_stream: bool,
    /// A fragment (or a GOAWAY's debug data) is being collected.
    pub(super) open: bool,
    /// Octets that were collected, at the front of the arena.
    pub(super) len: usize,
    /// CONTINUATIONs so far.
    continuations: u32,
    /// A stream error that HEADERS itself showed; the block is decoded all the same.
    depends_on_itself: bool,
    /// What was decoded before all of the block was there, in the counting of RFC 9113 §6.5.2: the arena could not hold
    /// it, so the list is too large and its fields are of no interest.
    ahead: Option<u64>,
}

impl Block {
    /// Whether fragments lie in the arena or are to come.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether collecting has to wait until nobody needs what lies in the arena.
    #[inline]
    pub(super) fn waits(&self, arena_used: usize) -> bool {
        self.len != arena_used
    }

    /// A few octets of a block can stand for very many: a limit for the work of decoding a list that is too large.
    fn check_size(&self, size: u64, max: u32) -> Result<(), ConnectionError> {
        if size <= u64::from(max).saturating_mul(4).max(65_536) {
            return Ok(());
        }
        Err(error(ErrorCode::ENHANCE_YOUR_CALM, "a header list is far larger than we take"))
    }
}

type Received<'i> = Result<Option<Token<'i>>, ConnectionError>;

/// What a decoded block amounts to.
struct List {
    fields: Span,
    too_large: bool,
    malformed: bool,
}

impl Engine<'_> {
    /// The header of a HEADERS frame.
    pub(super) fn headers<'i>(&mut self, head: Head, input: &mut &'i [u8]) -> Received<'i> {
        if head.stream == 0 {
            return Err(error(ErrorCode::PROTOCOL_ERROR, "HEADERS on stream 0"));
        }
        let opens =
            self.state.config.server && head.stream & 1 == 1 && head.stream > self.state.streams.last_peer;
        if !opens {
            match self.look_up(head.stream) {
                Lookup::Idle => {
                    return Err(error(
                        ErrorCode::PROTOCOL_ERROR,
                        "HEADERS on a stream that is not the sender's to open",
                    ));
                }
                Lookup::Closed => self.headers_on_closed(head.stream)?,
                Lookup::Open(_) => {}
            }
        }
        self.state.block =
            Block { stream: head.stream, end_stream: head.has(flags::END_STREAM), ..Block::default() };
        let fixed = u32::from(head.has(flags::PADDED)).plus(if head.has(flags::PRIORITY) { 5 } else { 0 });
        let Some(left) = head.length.checked_sub(fixed) else {
            return Err(error(
                ErrorCode::FRAME_SIZE_ERROR,
                "HEADERS has no room for its pad length or priority",
            ));
        };
        self.state.input.left = left;
        if fixed > 0 {
            self.state.input.phase = Phase::Fixed(fixed as u8);
            return Ok(None);
        }
        self.fragment_begins(input)
    }

    /// RFC 9113 §5.1, "closed"; §5.1.1: a server sees no new id below one it has seen.
    fn headers_on_closed(&mut self, id: u32) -> Result<(), ConnectionError> {
        match self.state.streams.ending(id) {
            Some(Ending::Ended) => Err(error(ErrorCode::STREAM_CLOSED, "HEADERS after END_STREAM")),
            None if self.state.config.server => {
                Err(error(ErrorCode::PROTOCOL_ERROR, "a new stream below one that was opened"))
            }
            _ => self.late_frame(),
        }
    }

    /// Pad length and priority.
    pub(super) fn headers_front<'i>(&mut self, mut octets: &[u8], input: &mut &'i [u8]) -> Received<'i> {
        let head = self.state.input.head;
        if head.has(flags::PADDED)
            && let Some((padding, rest)) = octets.split_first()
        {
            (self.state.input.padding, octets) = (*padding, rest);
            match self.state.input.left.checked_sub(u32::from(*padding)) {
                Some(left) => self.state.input.left = left,
                None => return Err(error(ErrorCode::PROTOCOL_ERROR, "the padding is longer than the frame")),
            }
        }
        if let Some(priority) = octets.first_chunk() {
            self.state.block.depends_on_itself = Priority::from_wire(priority).dependency == head.stream;
        }
        self.fragment_begins(input)
    }

    /// The header of a CONTINUATION frame (RFC 9113 §6.10).
    pub(super) fn continuation<'i>(&mut self, head: Head, input: &mut &'i [u8]) -> Received<'i> {
        if !self.state.block.is_open() {
            return Err(error(ErrorCode::PROTOCOL_ERROR, "CONTINUATION without HEADERS"));
        }
        let block = &mut self.state.block;
        block.continuations = block.continuations.saturating_add(1);
        let default = (self.state.max_header_list / 1_024).saturating_add(16);
        if block.continuations > self.state.config.limits.continuations.map_or(default, u32::from) {
            return Err(error(ErrorCode::ENHANCE_YOUR_CALM, "too many CONTINUATIONs in a header block"));
        }
        self.state.input.left = head.length;
        self.fragment_begins(input)
    }

    /// A block that lies in the input whole is decoded there; else its fragments are collected.
    fn fragment_begins<'i>(&mut self, input: &mut &'i [u8]) -> Received<'i> {
        let left = self.state.input.left as usize;
        let last = self.state.input.head.has(flags::END_HEADERS);
        if last && !self.state.block.open && input.len() >= left {
            let block = take_up_to(input, left);
            self.state.input.skip_padding();
            let list = self.decode(Some(block))?;
            return self.header_list(list);
        }
        self.state.block.open = true;
        self.state.input.phase = Phase::Fragment;
        if left == 0 { self.fragment_ends() } else { Ok(None) }
    }

    /// A part of a fragment.
    pub(super) fn fragment<'i>(&mut self, input: &mut &'i [u8]) -> Received<'i> {
        let mut part = take_up_to(input, self.state.input.left as usize);
        self.state.input.left = self.state.input.left.minus(part.len() as u32);
        loop {
            let n = self.collect(part);
            part = part.get(n..).unwrap_or_default();
            if part.is_empty() {
                break;
            }
            self.decode_ahead()?;
        }
        if self.state.input.left > 0 { Ok(None) } else { self.fragment_ends() }
    }

    /// A block that the arena cannot hold is decoded as far as it goes, and forgotten.
    #[cold]
    fn decode_ahead(&mut self) -> Result<(), ConnectionError> {
        let Some(whole) = self.parts.arena.get(..self.state.block.len) else { return Ok(()) };
        if self.state.block.ahead.is_none() {
            self.state.decoder.begin();
        }
        let mut size = self.state.block.ahead.unwrap_or(0);
        let mut rest = whole;
        loop {
            // A field that is not there whole has changed nothing.
            let before = rest;
            match self.state.decoder.step(self.parts.decoder_table, &mut rest, &mut []) {
                Ok(hpack::Step::TooLarge { size: octets }) => {
                    size = size.saturating_add(octets as u64).saturating_add(32);
                }
                Ok(hpack::Step::Field(_)) => size = size.saturating_add(32),
                Ok(hpack::Step::End) => break,
                Err(hpack::DecodeError::Truncated) => {
                    rest = before;
                    break;
                }
                Err(wrong) => return Err(error(ErrorCode::COMPRESSION_ERROR, wrong.reason())),
            }
            self.state.block.check_size(size, self.state.max_header_list)?;
        }
        let taken = whole.len().saturating_sub(rest.len());
        if taken == 0 {
            return Err(error(ErrorCode::ENHANCE_YOUR_CALM, "a header field is larger than the arena"));
        }
        let left = whole.len().minus(taken);
        bytes::copy_within(self.parts.arena, taken, 0, left);
        (self.state.block.len, self.state.block.ahead) = (left, Some(size));
        Ok(())
    }

    /// Collects at the front of the arena, which nothing else uses then; returns how much fitted.
    pub(super) fn collect(&mut self, part: &[u8]) -> usize {
        let len = self.state.block.len;
        let n = bytes::copy(self.parts.arena.get_mut(len..).unwrap_or_default(), part);
        self.state.block.len = len.plus(n);
        self.state.arena_used = len.plus(n);
        n
    }

    fn fragment_ends<'i>(&mut self) -> Received<'i> {
        self.state.input.skip_padding();
        if !self.state.input.head.has(flags::END_HEADERS) {
            return Ok(None);
        }
        let list = self.decode(None)?;
        self.header_list(list)
    }

    /// Which list the block can hold.
    fn expected(&self) -> Expected {
        match self.look_up(self.state.block.stream) {
            Lookup::Open(index) => match self.parts.streams.get(usize::from(index)) {
                Some(slot) if slot.has(stream::HEADERS_SEEN) => Expected::Trailers,
                _ => Expected::Response,
            },
            _ if self.state.config.server => Expected::Request,
            _ => Expected::Response,
        }
    }

    /// Decodes the block, collected or lying in the input, to its end: the dynamic table has to follow even when
    /// nobody wants the list (RFC 9113 §4.3).
    fn decode(&mut self, in_place: Option<&[u8]>) -> Result<(List, Validator), ConnectionError> {
        let mut validator = Validator::new(self.expected());
        let max = u64::from(self.state.max_header_list);
        let used = self.state.arena_used;
        self.state.block.open = false;
        let (front, out) = self.parts.arena.split_at_mut_checked(used).unwrap_or_default();
        let mut block = in_place.or_else(|| front.get(..self.state.block.len)).unwrap_or_default();
        let (mut at, mut size) = (0_usize, self.state.block.ahead.unwrap_or(0));
        let mut too_large = self.state.block.ahead.is_some();
        if !too_large {
            self.state.decoder.begin();
        }
        loop {
            // The lengths come before the field; they are known once it is decoded.
            let room = out.get_mut(at.saturating_add(4)..).unwrap_or_default();
            let step = self.state.decoder.step(self.parts.decoder_table, &mut block, room);
            match step.map_err(|wrong| error(ErrorCode::COMPRESSION_ERROR, wrong.reason()))? {
                hpack::Step::End => break,
                hpack::Step::TooLarge { size: octets } => {
                    size = size.saturating_add(octets as u64).saturating_add(32);
                    too_large = true;
                }
                hpack::Step::Field(field) => {
                    let length = usize::from(field.name).plus(usize::from(field.value));
                    // RFC 9113 §6.5.2 counts 32 octets for a field.
                    size = size.saturating_add(length as u64).saturating_add(32);
                    too_large |= size > max;
                    let (name, rest) = room.split_at_checked(field.name.into()).unwrap_or_default();
                    let value = rest.get(..usize::from(field.value)).unwrap_or_default();
                    validator.field(name, value, field.static_name);
                    if !too_large && let Some(lengths) = out.get_mut(at..) {
                        let [n0, n1] = field.name.to_be_bytes();
                        let [v0, v1] = field.value.to_be_bytes();
                        bytes::copy(lengths, &[n0, n1, v0, v1]);
                        at = at.plus(4).plus(length);
                    }
                }
            }
            self.state.block.check_size(size, self.state.max_header_list)?;
        }
        self.state.arena_used = used.plus(at);
        let malformed = validator.verdict(too_large).is_some();
        Ok((List { fields: Span { at: used as u32, len: at as u32 }, too_large, malformed }, validator))
    }

    /// What a decoded list does to its stream.
    fn header_list<'i>(&mut self, (list, validator): (List, Validator)) -> Received<'i> {
        let id = self.state.block.stream;
        match self.look_up(id) {
            Lookup::Idle => self.request(list, &validator),
            Lookup::Closed => {
                if self.state.streams.ending(id) == Some(Ending::PeerReset) {
                    self.refuse(id, ErrorCode::STREAM_CLOSED)?;
                }
                Ok(None)
            }
            Lookup::Open(slot) if self.is_resetting(slot) => Ok(None),
            Lookup::Open(slot) => self.further_list(slot, list, &validator),
        }
    }

    /// A new stream at the server (RFC 9113 §5.1.1, §5.1.2).
    fn request<'i>(&mut self, list: List, validator: &Validator) -> Received<'i> {
        let Block { stream: id, end_stream: end, depends_on_itself, .. } = self.state.block;
        self.state.streams.last_peer = id;
        let short = validator.content_length.is_some_and(|length| length != 0 && end);
        if list.malformed || depends_on_itself || short {
            return self.refuse_request(id, ErrorCode::PROTOCOL_ERROR);
        }
        let full = self.open_streams() >= self.max_peer_streams();
        let index = if full { None } else { self.state.streams.insert(self.parts.streams, id) };
        let Some(index) = index else {
            return self.refuse_request(id, ErrorCode::REFUSED_STREAM);
        };
        let send_window = Window::new(self.state.peer.initial_window_size);
        let recv_window = Window::new(self.initial_recv_window());
        let Some(slot) = self.slot(index) else { return Ok(None) };
        (slot.send_window, slot.recv_window) = (send_window, recv_window);
        slot.set(stream::HEADERS_SEEN);
        if let Some(length) = validator.content_length {
            slot.set(stream::HAS_LENGTH);
            slot.expected = length;
        }
        if end {
            slot.set(stream::REMOTE_CLOSED);
        }
        let List { fields, too_large, .. } = list;
        let stream = StreamKey { id, slot: index };
        Ok(Some(Token::Headers { stream, kind: HeadersKind::Request, fields, end, too_large }))
    }

    /// What the client sends further on the stream, before it knows, is let through.
    fn refuse_request<'i>(&mut self, id: u32, code: ErrorCode) -> Received<'i> {
        self.state.streams.note_closed(id, Ending::OwnReset);
        self.refuse(id, code)?;
        Ok(None)
    }

    /// A response or trailers (RFC 9113 §8.1).
    fn further_list<'i>(&mut self, index: u16, list: List, validator: &Validator) -> Received<'i> {
        let end = self.state.block.end_stream;
        let depends_on_itself = self.state.block.depends_on_itself;
        let stream = self.key(index);
        let kind = validator.kind();
        let Some(slot) = self.slot(index) else { return Ok(None) };
        if slot.has(stream::REMOTE_CLOSED) {
            return self.stream_error(index, ErrorCode::STREAM_CLOSED);
        }
        let wrong = match kind {
            // Trailers end the stream, interim responses do not.
            HeadersKind::Trailers => !end || (slot.has(stream::HAS_LENGTH) && slot.expected != 0),
            HeadersKind::Informational => end,
            _ => {
                let content = !slot.has(stream::NO_CONTENT) && !matches!(validator.status, 204 | 304);
                slot.set(stream::HEADERS_SEEN);
                match validator.content_length.filter(|_| content) {
                    Some(length) => {
                        slot.set(stream::HAS_LENGTH);
                        slot.expected = length;
                        end && length != 0
                    }
                    None => false,
                }
            }
        };
        if wrong || list.malformed || depends_on_itself {
            return self.stream_error(index, ErrorCode::PROTOCOL_ERROR);
        }
        if end {
            self.side_closed(index, stream::REMOTE_CLOSED);
        }
        let List { fields, too_large, .. } = list;
        Ok(Some(Token::Headers { stream, kind, fields, end, too_large }))
    }
}
