//! The trailers frame (gRPC-Web, "Protocol differences"): the last frame of a response, flag 0x80, whose payload is
//! `name:value` lines as in HTTP/1.1.

use crate::bytes::{Exact, Writer};
use crate::grpc::{Code, metadata, percent};
use core::fmt;

/// The flag of a trailers frame; bit 0 would say that it is compressed.
pub const FLAG: u8 = 0x80;

/// What is wrong with a trailers frame, received or to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrailersError {
    /// A line without a colon, or without a name before it.
    NoName,
    /// A name with octets that are none of a token's (RFC 9110 §5.6.2), or a name to send that gRPC does not allow.
    Name,
    /// A value with control characters other than tab.
    Value,
    /// To send: there is no room for it.
    TooLarge,
    /// To send: a message was begun and is not complete.
    InsideMessage,
}

impl fmt::Display for TrailersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrailersError::NoName => "a line of the trailers has no name and colon",
            TrailersError::Name => "a name in the trailers is not one that HTTP or gRPC allows",
            TrailersError::Value => "a value in the trailers has control characters",
            TrailersError::TooLarge => "the trailers do not fit",
            TrailersError::InsideMessage => "trailers cannot stand within a message",
        })
    }
}

/// Reads the payload of a trailers frame, a field at a time and in its order; duplicates stay. Names are as they came, maybe
/// in upper case; values without the white space around them. A missing last line end, a bare LF and empty lines are taken;
/// after an error there is no further item.
///
/// ```
/// use grpclb_core::web::trailers;
/// let mut fields = trailers::parse(b"grpc-status:0\r\nnote: a:b \r\n");
/// assert_eq!(fields.next(), Some(Ok((&b"grpc-status"[..], &b"0"[..]))));
/// assert_eq!(fields.next(), Some(Ok((&b"note"[..], &b"a:b"[..]))));
/// assert_eq!(fields.next(), None);
/// ```
pub fn parse(payload: &[u8]) -> Parse<'_> {
    Parse { rest: payload }
}

/// See [`parse`].
#[derive(Clone, Debug)]
pub struct Parse<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Parse<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), TrailersError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = self.rest.iter().position(|&octet| octet == b'\n').unwrap_or(self.rest.len());
            let (line, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest.get(1..).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let field = field(line);
            if field.is_err() {
                self.rest = &[];
            }
            return Some(field);
        }
        None
    }
}

fn field(line: &[u8]) -> Result<(&[u8], &[u8]), TrailersError> {
    // The first colon: values have some, too.
    let colon = line.iter().position(|&octet| octet == b':').ok_or(TrailersError::NoName)?;
    let (name, value) = line.split_at_checked(colon).ok_or(TrailersError::NoName)?;
    let (name, value) = (ows(name), ows(value.get(1..).unwrap_or_default()));
    if name.is_empty() {
        return Err(TrailersError::NoName);
    }
    if !name.iter().all(|&octet| is_token(octet)) {
        return Err(TrailersError::Name);
    }
    if !is_value(value) {
        return Err(TrailersError::Value);
    }
    Ok((name, value))
}

/// Without optional white space around it (RFC 9110 §5.6.3).
fn ows(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// tchar (RFC 9110 §5.6.2).
const fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// field-value (RFC 9110 §5.5): no control characters but tab, or a line could be smuggled in.
fn is_value(value: &[u8]) -> bool {
    value.iter().all(|&octet| octet == b'\t' || (octet >= b' ' && octet != 0x7f))
}

/// Octets of the frame that [`write`] makes.
pub fn frame_len<'f>(
    code: Code,
    message: &[u8],
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
) -> usize {
    let line = |name: usize, value: usize| name.saturating_add(value).saturating_add(3);
    let message = if message.is_empty() { 0 } else { line(12, percent::encoded_len(message)) };
    fields.into_iter().fold(
        line(11, code.decimal().as_bytes().len()).saturating_add(message).saturating_add(5),
        |sum, (name, value)| {
            let len =
                if metadata::is_binary(name) { metadata::encoded_len(value.len()) } else { value.len() };
            sum.saturating_add(line(name.len(), len))
        },
    )
}

/// Appends a trailers frame, binary: status, message (percent-encoded here; no line for an empty one), then metadata, whose
/// `-bin` values are raw and become base64. Names must be those of [`metadata`], lower-case and not the protocol's own.
///
/// On an error the writer holds a part of a frame.
///
/// ```
/// use grpclb_core::{bytes::Writer, grpc::Code, web::trailers};
/// let mut buffer = [0; 64];
/// let mut to = Writer::new(&mut buffer);
/// trailers::write(Code::OK, b"", [], &mut to).unwrap();
/// assert_eq!(to.written(), b"\x80\0\0\0\x0fgrpc-status:0\r\n");
/// ```
pub fn write<'f>(
    code: Code,
    message: &[u8],
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    to: &mut Writer<'_>,
) -> Result<(), TrailersError> {
    let at = to.len();
    to.put(&[FLAG, 0, 0, 0, 0]);
    let begin = to.len();
    to.put(b"grpc-status:");
    to.put(code.decimal().as_bytes());
    to.put(b"\r\n");
    if !message.is_empty() {
        to.put(b"grpc-message:");
        percent::encode(message, to);
        to.put(b"\r\n");
    }
    for (name, value) in fields {
        if !metadata::is_name(name) || metadata::is_reserved(name) {
            return Err(TrailersError::Name);
        }
        to.put(name);
        to.put(b":");
        if metadata::is_binary(name) {
            metadata::encode(value, to);
        } else if is_value(value) {
            to.put(value);
        } else {
            return Err(TrailersError::Value);
        }
        to.put(b"\r\n");
    }
    let len = u32::try_from(to.len().minus(begin)).map_err(|_| TrailersError::TooLarge)?;
    if to.is_full() {
        return Err(TrailersError::TooLarge);
    }
    if let Some(place) = to.written().get_mut(at.saturating_add(1)..) {
        crate::bytes::copy(place, &len.to_be_bytes());
    }
    Ok(())
}
