//! The client's side of one exchange.

use super::event::{Event, Text, Token};
use super::form::{Form, is_any_grpc};
use super::pack::pack;
use super::reason::Reason;
use super::{text, trailers};
use crate::bytes::{Exact, Span, copy};
use crate::grpc::message::Reader;
use crate::grpc::{Code, Piece, encoding, percent};

/// What is set for an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Largest message taken, octets (default 4 MiB as in gRPC's other implementations); above: RESOURCE_EXHAUSTED.
    pub max_message_size: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { max_message_size: 4 * 1024 * 1024 }
    }
}

/// One call's response: head and body in, events out. See [the module](super) for the order of the verbs.
///
/// The lent arena holds header fields and the trailers frame, the latter twice while it is read: RESOURCE_EXHAUSTED when
/// they do not fit. 8 KiB is a good size, 256 octets do for a plain status.
#[derive(Debug)]
pub struct Exchange<A> {
    arena: A,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Body,
    Ended,
}

#[derive(Debug)]
struct State {
    max_message_size: u32,
    phase: Phase,
    /// The HTTP status.
    http: u16,
    /// Of the response; `None`: it is not gRPC-Web.
    form: Option<Form>,
    /// Whether it is at least `application/grpc…`, or has no content-type as an empty response may.
    grpc: bool,
    /// What a message with the flag of compression means.
    compressed: Reason,
    /// grpc-status; `Some(None)`: it was there and cannot be read.
    code: Option<Option<Code>>,
    /// grpc-message, decoded.
    message: Option<Span>,
    /// The custom fields, packed.
    fields: Span,
    /// Octets at the arena's end that hold the head's grpc-message.
    tail: u32,
    /// The head does not fit.
    full: bool,
    text: text::Decoder,
    text_failed: bool,
    reader: Reader,
    /// Whether a message came.
    messages: bool,
    /// Whether the trailers frame is complete.
    trailers: bool,
    /// Whether it had a grpc-status.
    status_in_trailers: bool,
}

impl<A: AsMut<[u8]>> Exchange<A> {
    /// Before the response; `arena` is lent memory.
    pub fn new(arena: A, config: &Config) -> Exchange<A> {
        let state = State {
            max_message_size: config.max_message_size,
            phase: Phase::Head,
            http: 0,
            form: None,
            grpc: true,
            compressed: Reason::Compressed,
            code: None,
            message: None,
            fields: EMPTY,
            tail: 0,
            full: false,
            text: text::Decoder::START,
            text_failed: false,
            reader: Reader::START,
            messages: false,
            trailers: false,
            status_in_trailers: false,
        };
        Exchange { arena, state }
    }

    /// One of the response's header fields, before [`recv_head`](Self::recv_head), for those who have them one by one. Names
    /// in any case.
    pub fn header(&mut self, name: &[u8], value: &[u8]) {
        if self.state.phase == Phase::Head {
            self.state.header(self.arena.as_mut(), name, value);
        }
    }

    /// The response's head: its HTTP status and header fields (those that were not given before, of any iterator, such as
    /// [`Fields`](crate::bytes::Fields)). Gives the initial metadata; or the status, when no body can change it; or nothing
    /// when the head has the status and the body may not contradict.
    pub fn recv_head<'f>(
        &mut self,
        status: u16,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Option<Event<'_, 'static>> {
        if self.state.phase != Phase::Head {
            return None;
        }
        for (name, value) in fields {
            self.state.header(self.arena.as_mut(), name, value);
        }
        self.state.http = status;
        let token = self.state.head()?;
        Some(self.event(token))
    }

    /// Makes frames of a chunk of the body, in place: text is decoded, what is binary stays. The chunks may be cut anywhere.
    pub fn decode<'b>(&mut self, chunk: &'b mut [u8]) -> &'b [u8] {
        let state = &mut self.state;
        if state.form != Some(Form::Text) || state.phase != Phase::Body {
            return chunk;
        }
        let decoded = match state.text_failed {
            true => 0,
            false => state.text.decode_in_place(chunk).unwrap_or_else(|error| {
                // What was good is taken first; `recv` tells when that is done.
                state.text_failed = true;
                error.decoded
            }),
        };
        chunk.get(..decoded).unwrap_or_default()
    }

    /// What [`decode`](Self::decode) gave, an event at a time; moves `input` forward; `None` when all was taken. The parts of
    /// messages are those of `input`, not copies.
    pub fn recv<'c, 'i>(&'c mut self, input: &mut &'i [u8]) -> Option<Event<'c, 'i>> {
        let token = self.recv_token(input)?;
        Some(self.event(token))
    }

    /// [`recv`](Self::recv) without the lending: what the token refers to stays until the next `recv` or `finish`.
    pub fn recv_token<'i>(&mut self, input: &mut &'i [u8]) -> Option<Token<'i>> {
        let token = match self.state.phase {
            Phase::Body => self.state.body(self.arena.as_mut(), input),
            Phase::Head => Some(self.state.end(Some(Reason::BodyFirst))),
            Phase::Ended => None,
        };
        if self.state.phase == Phase::Ended {
            *input = &[];
        }
        token
    }

    /// The body ended as HTTP wants it. The status is told here and not with the trailers frame, so that what follows one is
    /// seen however the network cuts it.
    pub fn finish(&mut self) -> Option<Event<'_, 'static>> {
        let reason = match self.state.phase {
            Phase::Head => Some(Reason::NoHead),
            _ if self.state.text_failed => Some(Reason::Text),
            _ if self.state.reader.is_inside() || self.state.text.finish().is_err() => {
                Some(Reason::Truncated)
            }
            _ => None,
        };
        self.end(reason)
    }

    /// The connection is gone before the body's end: UNAVAILABLE, unless the status is known.
    pub fn carrier_lost(&mut self) -> Option<Event<'_, 'static>> {
        self.end(Some(Reason::CarrierLost))
    }

    /// The caller gives up: CANCELLED.
    pub fn cancel(&mut self) -> Option<Event<'_, 'static>> {
        self.end(Some(Reason::Cancelled))
    }

    /// The deadline passed by this side's clock: DEADLINE_EXCEEDED, whatever the server says (gRPC/HTTP2).
    pub fn deadline_passed(&mut self) -> Option<Event<'_, 'static>> {
        self.end(Some(Reason::Deadline))
    }

    /// The form that the response's content-type names; `None`: there is no head yet, or it is not gRPC-Web.
    pub fn form(&self) -> Option<Form> {
        self.state.form
    }

    /// Whether the status was told: nothing more will come.
    pub fn is_ended(&self) -> bool {
        self.state.phase == Phase::Ended
    }

    /// What a token stands for.
    pub fn event<'c, 'i>(&'c mut self, token: Token<'i>) -> Event<'c, 'i> {
        token.lend(self.arena.as_mut())
    }

    fn end(&mut self, reason: Option<Reason>) -> Option<Event<'_, 'static>> {
        if self.is_ended() {
            return None;
        }
        let token = self.state.end(reason);
        Some(self.event(token))
    }
}

const EMPTY: Span = Span { at: 0, len: 0 };

impl State {
    fn header(&mut self, arena: &mut [u8], name: &[u8], value: &[u8]) {
        let is = |own: &[u8]| name.eq_ignore_ascii_case(own);
        let value = value.trim_ascii();
        if is(b"content-type") {
            self.form = Form::parse(value).map(|(form, _)| form);
            self.grpc = is_any_grpc(value);
        } else if is(b"grpc-status") {
            self.code = Some(Code::parse(value));
        } else if is(b"grpc-encoding") {
            // Identity compresses nothing: with it the flag is as wrong as without grpc-encoding.
            if !encoding::is_known(value) {
                self.compressed = Reason::Encoding;
            }
        } else if is(b"grpc-message") {
            if self.message.is_none() {
                self.keep_message(arena, value);
            }
        } else {
            let end = arena.len().saturating_sub(self.tail as usize);
            let free = arena.get_mut(self.fields.len as usize..end).unwrap_or_default();
            match pack(free, name, value) {
                Some(len) => self.fields.len = self.fields.len.plus(len as u32),
                None => self.full = true,
            }
        }
    }

    /// Keeps the head's grpc-message at the arena's end, where no field comes.
    fn keep_message(&mut self, arena: &mut [u8], value: &[u8]) {
        let free = arena.len().saturating_sub(self.fields.len as usize);
        if value.len() > free {
            self.full = true;
            return;
        }
        let at = arena.len().minus(value.len());
        let place = arena.get_mut(at..).unwrap_or_default();
        copy(place, value);
        let len = percent::decode_in_place(place) as u32;
        self.message = Some(Span { at: at as u32, len });
        self.tail = value.len() as u32;
    }

    /// The head is complete.
    fn head(&mut self) -> Option<Token<'static>> {
        self.phase = Phase::Body;
        if self.full {
            return Some(self.end(Some(Reason::HeadersTooLarge)));
        }
        if self.form.is_none() {
            // No frames can be read: the head is all there is.
            let reason = if self.grpc && self.code.is_some() { None } else { Some(Reason::ContentType) };
            return Some(self.end(reason));
        }
        if self.code.is_some() {
            return None;
        }
        Some(Token::Metadata { metadata: self.fields })
    }

    fn body<'i>(&mut self, arena: &mut [u8], input: &mut &'i [u8]) -> Option<Token<'i>> {
        let free = arena.len().saturating_sub(self.fields_end()).saturating_sub(self.tail as usize);
        loop {
            if self.trailers && !input.is_empty() {
                return Some(self.end(Some(Reason::AfterTrailers)));
            }
            let (max, compressed) = (self.max_message_size, self.compressed);
            let check = |flag, len: u32| match flag {
                0 if len > max => Err(Reason::MessageTooLarge),
                0 => Ok(()),
                1 => Err(compressed),
                trailers::FLAG if len as usize > free => Err(Reason::TrailersTooLarge),
                trailers::FLAG => Ok(()),
                0x81 => Err(Reason::CompressedTrailers),
                _ => Err(Reason::Flag),
            };
            match self.reader.read_frame(input, check) {
                Ok(Some((0, piece))) => {
                    self.messages = true;
                    return Some(Token::Message { piece });
                }
                Ok(Some((_, piece))) => {
                    if let Err(reason) = self.trailers(arena, piece) {
                        return Some(self.end(Some(reason)));
                    }
                }
                Ok(None) if self.text_failed => return Some(self.end(Some(Reason::Text))),
                Ok(None) => return None,
                Err(reason) => return Some(self.end(Some(reason))),
            }
        }
    }

    /// Where the custom fields end. Those of the head are told and gone, unless the head has the status.
    fn fields_end(&self) -> usize {
        if self.code.is_some() { self.fields.at.plus(self.fields.len) as usize } else { 0 }
    }

    /// A part of the trailers frame: gathered at the arena's end, then packed at its front.
    fn trailers(&mut self, arena: &mut [u8], piece: Piece<'_>) -> Result<(), Reason> {
        let end = arena.len().saturating_sub(self.tail as usize);
        let begin = end.saturating_sub(piece.len as usize);
        let used = self.fields_end();
        let (front, payload) = arena.split_at_mut_checked(begin).ok_or(Reason::TrailersTooLarge)?;
        copy(payload.get_mut(piece.offset as usize..).unwrap_or_default(), piece.bytes);
        if !piece.is_last() {
            return Ok(());
        }
        self.trailers = true;
        let payload = payload.get(..piece.len as usize).unwrap_or_default();
        let mut fields = Span { at: 0, len: used as u32 };
        let mut code = None;
        let mut message = None;
        for field in trailers::parse(payload) {
            let (name, value) = field.map_err(|_| Reason::BadTrailers)?;
            if name.eq_ignore_ascii_case(b"grpc-status") {
                code = Some(Code::parse(value));
            } else if name.eq_ignore_ascii_case(b"grpc-message") {
                message = Some(value);
            }
        }
        if let Some(code) = code {
            // The frame's status is the status, and what the head said with its own is void.
            (self.code, self.status_in_trailers) = (Some(code), true);
            let message = message.unwrap_or_default();
            let place = front.get_mut(..message.len()).ok_or(Reason::TrailersTooLarge)?;
            copy(place, message);
            let len = percent::decode_in_place(place) as u32;
            self.message = Some(Span { at: 0, len });
            fields = Span { at: len, len: 0 };
        }
        for (name, value) in trailers::parse(payload).flatten() {
            let free = front.get_mut(fields.at.plus(fields.len) as usize..).unwrap_or_default();
            let len = pack(free, name, value).ok_or(Reason::TrailersTooLarge)?;
            fields.len = fields.len.plus(len as u32);
        }
        self.fields = fields;
        Ok(())
    }

    /// The end: one status of what was said where, and of what went wrong.
    ///
    /// A grpc-status of the trailers frame is first, then one of the head, then the HTTP status (gRPC-Web; gRPC's
    /// http-grpc-status-mapping.md). An error that the peer told stands even if the response is broken behind it; an OK
    /// stands only at the end of a whole response.
    fn end(&mut self, reason: Option<Reason>) -> Token<'static> {
        self.phase = Phase::Ended;
        let ok = self.code == Some(Some(Code::OK));
        let whole = self.status_in_trailers || !self.messages || self.trailers;
        let reason = match reason {
            Some(reason) if reason.is_own() => Some(reason),
            Some(Reason::CarrierLost) if self.status_in_trailers => None,
            _ if self.code.is_some() && !ok => None,
            None if ok && whole => None,
            None if ok => Some(Reason::NoTrailers),
            Some(Reason::CarrierLost | Reason::NoHead | Reason::HeadersTooLarge) => reason,
            _ if !matches!(self.http, 200..=299) && !ok => Some(Reason::Http),
            None if self.trailers => Some(Reason::NoStatus),
            None => Some(Reason::NoTrailers),
            _ => reason,
        };
        let Some(reason) = reason else {
            let message = match (self.message, self.code) {
                (Some(span), _) if span.len > 0 => Text::Peer(span),
                (_, Some(None)) => Text::Own(Reason::BadStatus.text()),
                _ => Text::Own(""),
            };
            let code = self.code.flatten().unwrap_or(Reason::BadStatus.code());
            return Token::Status { code, message, trailers: self.fields };
        };
        let code = if reason == Reason::Http { Code::from_http(self.http) } else { reason.code() };
        Token::Status { code, message: Text::Own(reason.text()), trailers: EMPTY }
    }
}
