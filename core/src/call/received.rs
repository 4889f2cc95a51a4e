//! Header lists that arrived: the fields that gRPC reads itself, and the metadata that is left for the application.
//!
//! The list lies packed in the arena and is rewritten in place: the protocol's own fields are taken out, `-bin`
//! values become raw, `grpc-message` is percent-decoded. So an application, in whatever language, gets metadata
//! that is ready for use, and nothing is copied elsewhere.

use super::reason::Reason;
use crate::bytes::{Exact, copy, copy_within};
use crate::grpc::{Code, encoding, metadata, percent, timeout};
use crate::http2::Span;
use crate::time::Duration;

/// Octets before the name: two lengths.
const LENGTHS: usize = 4;

/// An entry of a packed list, by offsets into it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: usize,
    name: usize,
    value: usize,
}

impl Entry {
    /// The entry at `at`.
    fn read(list: &[u8], at: usize) -> Option<Entry> {
        let &[a, b, c, d] = list.get(at..)?.first_chunk::<LENGTHS>()?;
        let entry =
            Entry { at, name: u16::from_be_bytes([a, b]).into(), value: u16::from_be_bytes([c, d]).into() };
        (entry.end() <= list.len()).then_some(entry)
    }

    fn value_at(self) -> usize {
        self.at.plus(LENGTHS).plus(self.name)
    }

    fn end(self) -> usize {
        self.value_at().plus(self.value)
    }

    fn name(self, list: &[u8]) -> &[u8] {
        list.get(self.at.plus(LENGTHS)..self.value_at()).unwrap_or_default()
    }

    fn value(self, list: &[u8]) -> &[u8] {
        list.get(self.value_at()..self.end()).unwrap_or_default()
    }

    /// The value's place, relative to the list's.
    fn value_span(self, list: Span) -> Span {
        Span { at: list.at.plus(self.value_at() as u32), len: self.value as u32 }
    }
}

/// The entries of a packed list.
fn entries(list: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    let mut at = 0;
    core::iter::from_fn(move || {
        let entry = Entry::read(list, at)?;
        at = entry.end();
        Some(entry)
    })
}

const EMPTY: Span = Span { at: 0, len: 0 };

/// The fields that are the application's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Custom {
    /// Where they may begin: behind the pseudo-header fields.
    pub(super) start: usize,
    /// Whether there are any.
    pub(super) any: bool,
    /// Octets that they grow by, at most, when joined `-bin` values become entries of their own.
    pub(super) growth: usize,
}

impl Custom {
    const NONE: Custom = Custom { start: 0, any: false, growth: 0 };

    /// Looks at a field that gRPC does not read.
    fn note(&mut self, name: &[u8], value: &[u8]) {
        if is_own(name) {
            return;
        }
        self.any = true;
        if metadata::is_binary(name) {
            let commas = value.iter().filter(|octet| **octet == b',').count();
            self.growth = self.growth.saturating_add(commas.saturating_mul(LENGTHS.plus(name.len())));
        }
    }
}

/// A request's head (gRPC/HTTP2, "Requests").
#[derive(Debug)]
pub(super) struct Request {
    pub(super) path: Span,
    pub(super) authority: Span,
    /// `host`, when there is no `:authority`.
    host: Option<Entry>,
    pub(super) timeout: Option<Duration>,
    /// What is wrong with it, when something is.
    pub(super) refusal: Option<Reason>,
    pub(super) custom: Custom,
}

/// Reads a request's head.
pub(super) fn request(list: &[u8], span: Span) -> Request {
    let mut request = Request {
        path: EMPTY,
        authority: EMPTY,
        host: None,
        timeout: None,
        refusal: None,
        custom: Custom::NONE,
    };
    let (mut post, mut grpc, mut te, mut timeout_ok, mut encoding_ok) = (false, false, false, true, true);
    for entry in entries(list) {
        let (name, value) = (entry.name(list), entry.value(list));
        match name {
            [b':', ..] => {
                match name {
                    b":path" => request.path = entry.value_span(span),
                    b":authority" => request.authority = entry.value_span(span),
                    b":method" => post = value == b"POST",
                    _ => {}
                }
                request.custom.start = entry.end();
            }
            b"content-type" => grpc = is_grpc(value),
            b"host" if request.authority.len == 0 => request.host = Some(entry),
            b"te" => te = value == b"trailers",
            b"grpc-timeout" => {
                request.timeout = timeout::decode(value);
                timeout_ok = request.timeout.is_some();
            }
            b"grpc-encoding" => encoding_ok = encoding::is_known(value),
            _ => request.custom.note(name, value),
        }
    }
    let checks = [
        (post, Reason::Method),
        (grpc, Reason::ContentType),
        (te, Reason::Te),
        (timeout_ok, Reason::BadTimeout),
        (encoding_ok, Reason::Encoding),
    ];
    request.refusal = checks.iter().find(|(ok, _)| !ok).map(|(_, reason)| *reason);
    request
}

/// A response's head or its trailers (gRPC/HTTP2, "Responses").
#[derive(Debug)]
pub(super) struct Response {
    /// `:status`; 0: there was none (trailers).
    pub(super) status: u16,
    pub(super) grpc: bool,
    pub(super) encoding_ok: bool,
    /// `grpc-status`; `Some(None)`: it was there and cannot be read.
    pub(super) code: Option<Option<Code>>,
    message: Option<Entry>,
    pub(super) custom: Custom,
}

/// Reads a response's head or its trailers.
pub(super) fn response(list: &[u8]) -> Response {
    let mut response = Response {
        status: 0,
        grpc: false,
        encoding_ok: true,
        code: None,
        message: None,
        custom: Custom::NONE,
    };
    for entry in entries(list) {
        let value = entry.value(list);
        match entry.name(list) {
            b":status" => {
                // HTTP/2 has checked that it is three digits.
                let digits = value.iter().filter_map(|digit| char::from(*digit).to_digit(10));
                response.status =
                    digits.fold(0u16, |sum, digit| sum.saturating_mul(10).saturating_add(digit as u16));
                response.custom.start = entry.end();
            }
            b"content-type" => response.grpc = is_grpc(value),
            b"grpc-encoding" => response.encoding_ok = encoding::is_known(value),
            b"grpc-status" => response.code = Some(Code::parse(value)),
            b"grpc-message" => response.message = Some(entry),
            name => response.custom.note(name, value),
        }
    }
    response
}

/// Content-Type: `application/grpc`, then nothing, `+` and a message format, or `;` and parameters.
fn is_grpc(content_type: &[u8]) -> bool {
    match content_type.split_at_checked(b"application/grpc".len()) {
        Some((begin, rest)) => {
            begin.eq_ignore_ascii_case(b"application/grpc") && matches!(rest, [] | [b'+' | b';' | b' ', ..])
        }
        None => false,
    }
}

impl Custom {
    /// Moves an entry to the front, where no metadata can be written over it. It is then no longer among the custom
    /// fields.
    fn take(&mut self, list: &mut [u8], entry: Entry) -> Entry {
        if let Some(part) = list.get_mut(self.start..entry.end()) {
            rotate_right(part, entry.end().minus(entry.at));
        }
        let entry = Entry { at: self.start, ..entry };
        self.start = entry.end();
        entry
    }
}

impl Request {
    /// Lets `host` stand for an `:authority` that is missing (RFC 9113 §8.3.1, gRFC A41).
    pub(super) fn take_host(&mut self, list: &mut [u8], span: Span) {
        if let Some(entry) = self.host.take() {
            self.authority = self.custom.take(list, entry).value_span(span);
        }
    }
}

impl Response {
    /// Decodes `grpc-message`; its place.
    pub(super) fn take_message(&mut self, list: &mut [u8], span: Span) -> Span {
        let Some(entry) = self.message.take() else { return EMPTY };
        let entry = self.custom.take(list, entry);
        let text = list.get_mut(entry.value_at()..entry.end()).unwrap_or_default();
        let len = percent::decode_in_place(text) as u32;
        Span { len, ..entry.value_span(span) }
    }
}

/// Rotation by three reversals: `slice::rotate_right` is fast for long parts, and much code.
fn rotate_right(part: &mut [u8], by: usize) {
    let Some(middle) = part.len().checked_sub(by) else { return };
    if middle == 0 {
        return;
    }
    part.reverse();
    if let Some((front, back)) = part.split_at_mut_checked(by) {
        front.reverse();
        back.reverse();
    }
}

/// Packs the custom fields, which begin at `from`, for the application: from `start` on, `-bin` values decoded.
/// There must be [`Custom::growth`] octets between the two.
pub(super) fn keep_custom(
    list: &mut [u8],
    span: Span,
    start: usize,
    mut from: usize,
) -> Result<Span, Reason> {
    let mut to = start;
    while let Some(entry) = Entry::read(list, from) {
        from = entry.end();
        let name = entry.name(list);
        if is_own(name) {
            continue;
        }
        if metadata::is_binary(name) {
            to = keep_binary(list, entry, to)?;
            continue;
        }
        let len = entry.end().minus(entry.at);
        if to != entry.at {
            copy_within(list, entry.at, to, len);
        }
        to = to.plus(len);
    }
    Ok(Span { at: span.at.plus(start as u32), len: to.minus(start) as u32 })
}

/// Whether a field is the protocol's. `user-agent` is not: a server may want to know it.
fn is_own(name: &[u8]) -> bool {
    metadata::is_reserved(name) && name != b"user-agent"
}

/// Decodes the value of `entry`, one entry for each of the values that commas join, and writes them from `to` on.
fn keep_binary(list: &mut [u8], entry: Entry, mut to: usize) -> Result<usize, Reason> {
    let mut from = entry.value_at();
    let mut name_at = entry.at.plus(LENGTHS);
    loop {
        let joined = list.get(from..entry.end()).unwrap_or_default();
        let comma = joined.iter().position(|&octet| octet == b',');
        let len = comma.unwrap_or(joined.len());
        let text = joined.get(..len).unwrap_or_default();
        // Spaces around a comma are not of the value (RFC 9110 §5.6.1).
        let begin = from.plus(len.minus(text.trim_ascii_start().len()));
        let end = begin.plus(text.trim_ascii().len());
        let next = from.plus(len).plus(1);
        let value = list.get_mut(begin..end).unwrap_or_default();
        let value_len = metadata::decode_in_place(value).ok_or(Reason::Binary)?;
        // The first value takes the entry's own name along, the others need a copy of it: `Custom::growth` made room.
        let [a, b] = (entry.name as u16).to_be_bytes();
        let [c, d] = (value_len as u16).to_be_bytes();
        let value_to = to.plus(LENGTHS).plus(entry.name);
        copy_within(list, name_at, to.plus(LENGTHS), entry.name);
        copy_within(list, begin, value_to, value_len);
        copy(list.get_mut(to..).unwrap_or_default(), &[a, b, c, d]);
        name_at = to.plus(LENGTHS);
        to = value_to.plus(value_len);
        if comma.is_none() {
            return Ok(to);
        }
        from = next;
    }
}
