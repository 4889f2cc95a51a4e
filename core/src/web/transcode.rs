//! The server's side: what a gateway needs between a gRPC-Web client and a gRPC call, as plain values.
//!
//! Method, path, CORS and the wire below are the gateway's.

use super::form::{Form, put_field};
use super::request::{Body, HeadError, put_metadata};
use super::text::{self, TextError, TextErrorKind};
use super::trailers::{self, TrailersError};
use crate::bytes::{Exact, Fields, Writer};
use crate::grpc::message::{self, PREFIX, PrefixError, Reader};
use crate::grpc::{Code, Piece, percent};
use core::fmt;

/// What is wrong with a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Its text is not base64.
    Text(TextErrorKind),
    /// The prefix of a message: its flag, or it is too large.
    Prefix(PrefixError),
    /// A message is compressed; this version knows `identity` alone.
    Compressed,
    /// It ended within a message.
    Truncated,
}

impl RequestError {
    /// The status to answer with.
    pub const fn code(self) -> Code {
        match self {
            RequestError::Prefix(PrefixError::TooLarge { .. }) => Code::RESOURCE_EXHAUSTED,
            RequestError::Compressed => Code::UNIMPLEMENTED,
            _ => Code::INTERNAL,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Text(kind) => TextError { kind: *kind, decoded: 0 }.fmt(f),
            RequestError::Prefix(PrefixError::TooLarge { len }) => {
                write!(f, "a message of {len} octets is larger than this side takes")
            }
            RequestError::Prefix(PrefixError::Flag(flag)) => {
                write!(f, "flag octet 0x{flag:02x} of a message is neither 0 nor 1")
            }
            RequestError::Compressed => f.write_str("a message is compressed; this side takes identity"),
            RequestError::Truncated => f.write_str("the request ended within a message"),
        }
    }
}

/// A request: which form it has, which form its response shall have, and its messages.
///
/// ```
/// use grpclb_core::web::{Form, transcode::Request};
/// let mut request = Request::new(b"application/grpc-web-text", None, 1_000).unwrap();
/// assert_eq!((request.form(), request.response_form()), (Form::Text, Form::Text));
/// let mut chunk = *b"AAAAAAYKBHRlc3Q=";
/// let mut input = request.decode(&mut chunk);
/// let piece = request.recv(&mut input).unwrap().unwrap();
/// assert_eq!(piece.whole(), Some(&b"\n\x04test"[..]));
/// assert_eq!((request.recv(&mut input), request.finish()), (Ok(None), Ok(())));
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    form: Form,
    response: Form,
    max_message_size: u32,
    text: text::Decoder,
    error: Option<RequestError>,
    /// Whether `recv` told the error: what was good before it is taken first.
    told: bool,
    reader: Reader,
}

impl Request {
    /// By the request's content-type and accept; `None`: it is not gRPC-Web. Without an accept that names a form the
    /// response has the request's. Messages above `max_message_size` octets are refused.
    pub fn new(content_type: &[u8], accept: Option<&[u8]>, max_message_size: u32) -> Option<Request> {
        let (form, _) = Form::parse(content_type)?;
        let response = accept.and_then(Form::accepted).unwrap_or(form);
        let (text, reader) = (text::Decoder::START, Reader::START);
        Some(Request { form, response, max_message_size, text, error: None, told: false, reader })
    }

    /// The body's form.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The form that the response is to have.
    pub const fn response_form(&self) -> Form {
        self.response
    }

    /// Makes frames of a chunk of the body, in place: text is decoded, what is binary stays.
    pub fn decode<'b>(&mut self, chunk: &'b mut [u8]) -> &'b [u8] {
        if self.form == Form::Binary {
            return chunk;
        }
        let decoded = match self.error {
            Some(_) => 0,
            None => self.text.decode_in_place(chunk).unwrap_or_else(|error| {
                // What was good is taken first.
                self.error = Some(RequestError::Text(error.kind));
                error.decoded
            }),
        };
        chunk.get(..decoded).unwrap_or_default()
    }

    /// Messages in what [`decode`](Self::decode) gave, a part at a time; `Ok(None)` when all was taken. Errors stay.
    pub fn recv<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Piece<'i>>, RequestError> {
        if let (Some(error), true) = (self.error, self.told) {
            return Err(error);
        }
        let error = match self.reader.read(input, self.max_message_size) {
            Ok(Some(piece)) if piece.compressed => RequestError::Compressed,
            Ok(Some(piece)) => return Ok(Some(piece)),
            // What was good of the text is taken; now the rest.
            Ok(None) => match self.error {
                Some(error) => error,
                None => return Ok(None),
            },
            Err(error) => RequestError::Prefix(error),
        };
        (self.error, self.told) = (Some(error), true);
        Err(error)
    }

    /// The body ended: the client's half-close.
    pub fn finish(&self) -> Result<(), RequestError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.reader.is_inside() || self.text.finish().is_err() {
            return Err(RequestError::Truncated);
        }
        Ok(())
    }
}

/// The head of a response with a body, packed into `memory`: content-type and metadata (`-bin` values raw). The HTTP status
/// is 200.
pub fn head<'m, 'f>(
    form: Form,
    format: &[u8],
    metadata: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    memory: &'m mut [u8],
) -> Result<Fields<'m>, HeadError> {
    let mut to = Writer::new(memory);
    put_field(&mut to, b"content-type", |to| form.put_content_type(format, to));
    put_metadata(&mut to, metadata)?;
    let len = to.finish().ok_or(HeadError::TooLarge)?;
    Ok(Fields::new(memory.get(..len).unwrap_or_default()))
}

/// The head of a response that is a status alone, with no body. In browsers the page sees these fields only when CORS exposes
/// them (`grpc-status`, `grpc-message`, `grpc-status-details-bin` and the metadata's names).
pub fn trailers_only<'m, 'f>(
    form: Form,
    format: &[u8],
    code: Code,
    message: &[u8],
    metadata: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    memory: &'m mut [u8],
) -> Result<Fields<'m>, HeadError> {
    let mut to = Writer::new(memory);
    put_field(&mut to, b"content-type", |to| form.put_content_type(format, to));
    put_field(&mut to, b"grpc-status", |to| to.put(code.decimal().as_bytes()));
    if !message.is_empty() {
        put_field(&mut to, b"grpc-message", |to| percent::encode(message, to));
    }
    put_metadata(&mut to, metadata)?;
    let len = to.finish().ok_or(HeadError::TooLarge)?;
    Ok(Fields::new(memory.get(..len).unwrap_or_default()))
}

/// Writes a response's body. In text every message and the trailers are one padded fragment each, so that none of them waits
/// for octets of the next.
///
/// ```
/// use grpclb_core::{bytes::Writer, grpc::Code, web::{Form, transcode::Response}};
/// let mut memory = [0; 64];
/// let mut to = Writer::new(&mut memory);
/// let mut response = Response::new(Form::Text);
/// response.message(b"\n\x01\0", &mut to);
/// response.trailers(Code::OK, b"", [], &mut to).unwrap();
/// assert_eq!(to.written(), b"AAAAAAMKAQA=gAAAAA9ncnBjLXN0YXR1czowDQo=");
/// ```
#[derive(Clone, Debug)]
pub struct Response {
    form: Form,
    body: Body,
    /// A message has begun and not ended.
    inside: bool,
}

impl Response {
    /// Of that form.
    pub const fn new(form: Form) -> Response {
        Response { form, body: Body::new(form), inside: false }
    }

    /// Appends a whole message. It takes [`Form::encoded_len`] of its octets and five.
    pub fn message(&mut self, message: &[u8], to: &mut Writer<'_>) {
        self.body.message(message, to);
        self.body.finish(to);
    }

    /// Appends a part of a message, in their order, with the prefix before the first. It takes at most
    /// [`piece_room`](Self::piece_room).
    pub fn piece(&mut self, piece: &Piece<'_>, to: &mut Writer<'_>) {
        if piece.is_first() {
            self.body.put(&message::prefix(piece.len, piece.compressed), to);
        }
        self.body.put(piece.bytes, to);
        self.inside = !piece.is_last();
        if piece.is_last() {
            self.body.finish(to);
        }
    }

    /// Octets that a part may take.
    pub fn piece_room(&self, piece: &Piece<'_>) -> usize {
        // Two octets may wait from before.
        self.form.encoded_len(piece.bytes.len().saturating_add(PREFIX).saturating_add(2))
    }

    /// Appends the trailers frame, the last of the body; metadata's `-bin` values are raw. It takes
    /// [`Form::encoded_len`] of [`trailers::frame_len`]. On an error the body cannot be
    /// ended so: cut the connection, that the client sees it.
    pub fn trailers<'f>(
        &mut self,
        code: Code,
        message: &[u8],
        metadata: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
        to: &mut Writer<'_>,
    ) -> Result<(), TrailersError> {
        if self.inside {
            return Err(TrailersError::InsideMessage);
        }
        let begin = to.len();
        trailers::write(code, message, metadata, to)?;
        if self.form == Form::Text {
            let len = to.len().minus(begin);
            let room = to.rest().len();
            let encoded = text::encoded_len(len);
            if encoded.minus(len) > room {
                return Err(TrailersError::TooLarge);
            }
            to.advance(encoded.minus(len));
            let written = to.written().get_mut(begin..).unwrap_or_default();
            text::encode_in_place(written, len).ok_or(TrailersError::TooLarge)?;
        }
        Ok(())
    }
}
