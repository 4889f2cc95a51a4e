//! How a client speaks gRPC: plain, or as gRPC-Web in one of its two forms. What differs between them stands here.

use super::fields;
use grpclb::core::bytes::Writer;
use grpclb::core::grpc::message::{self, Reader};
use grpclb::core::grpc::{Code, Piece, metadata, percent};
use grpclb::core::web::transcode::{self, RequestError};
use grpclb::core::web::{self, trailers};
use grpclb::host::reactor::Completion;
use hyper::HeaderMap;
use hyper::header::HeaderValue;

/// The largest message that is taken from a client, octets; the backends' are bounded by the channel.
pub(crate) const MAX_MESSAGE: u32 = 4 * 1024 * 1024;

/// Which form a request has, and its response shall have.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Grpc,
    /// What reads the request, and whether its content-type told `+proto`.
    Web {
        request: transcode::Request,
        proto: bool,
    },
}

/// What a content-type says.
#[derive(Debug)]
pub(crate) enum Spoken {
    Form(Form),
    /// gRPC of some kind, with messages that are no protobuf.
    Format(String),
    Other,
}

impl Form {
    /// By content-type and accept.
    pub(crate) fn of(headers: &HeaderMap) -> Spoken {
        let text = |name| headers.get(name).map(HeaderValue::as_bytes);
        let content_type = text("content-type").unwrap_or_default();
        if let Some((_, format)) = web::Form::parse(content_type) {
            return match transcode::Request::new(content_type, text("accept"), MAX_MESSAGE) {
                Some(request) if format.is_empty() || format.eq_ignore_ascii_case(b"proto") => {
                    Spoken::Form(Form::Web { request, proto: !format.is_empty() })
                }
                _ => Spoken::Format(String::from_utf8_lossy(format).into_owned()),
            };
        }
        let essence = content_type.split(|&octet| octet == b';').next().unwrap_or_default().trim_ascii();
        match essence.to_ascii_lowercase().strip_prefix(b"application/grpc") {
            Some(b"" | b"+proto") => Spoken::Form(Form::Grpc),
            Some([b'+', format @ ..]) => Spoken::Format(String::from_utf8_lossy(format).into_owned()),
            _ => Spoken::Other,
        }
    }

    /// What reads the request's body.
    pub(crate) fn reader(&self) -> Incoming {
        match self {
            Form::Grpc => Incoming::Grpc(Reader::START),
            Form::Web { request, .. } => Incoming::Web(request.clone()),
        }
    }

    /// What writes the response.
    pub(crate) fn writer(&self) -> Outgoing {
        match self {
            Form::Grpc => Outgoing::Grpc,
            Form::Web { request, proto } => {
                let form = request.response_form();
                let format: &[u8] = if *proto { b"proto" } else { b"" };
                Outgoing::Web { form, format, response: transcode::Response::new(form) }
            }
        }
    }
}

/// Finds the messages in a request's body.
#[derive(Debug)]
pub(crate) enum Incoming {
    Grpc(Reader),
    Web(transcode::Request),
}

impl Incoming {
    /// Makes frames of a chunk, in place.
    pub(crate) fn decode<'b>(&mut self, chunk: &'b mut [u8]) -> &'b [u8] {
        match self {
            Incoming::Grpc(_) => chunk,
            Incoming::Web(request) => request.decode(chunk),
        }
    }

    /// The next part of a message; `None` when all was taken.
    pub(crate) fn recv<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Piece<'i>>, RequestError> {
        match self {
            Incoming::Grpc(reader) => match reader.read(input, MAX_MESSAGE) {
                Ok(Some(piece)) if piece.compressed => Err(RequestError::Compressed),
                other => other.map_err(RequestError::Prefix),
            },
            Incoming::Web(request) => request.recv(input),
        }
    }

    /// The body ended.
    pub(crate) fn finish(&self) -> Result<(), RequestError> {
        match self {
            Incoming::Grpc(reader) if reader.is_inside() => Err(RequestError::Truncated),
            Incoming::Grpc(_) => Ok(()),
            Incoming::Web(request) => request.finish(),
        }
    }
}

/// Writes a response.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Grpc,
    Web { form: web::Form, format: &'static [u8], response: transcode::Response },
}

/// How a call ended, with its trailing metadata.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// `-bin` values raw.
    pub(crate) metadata: fields::Entries,
}

impl Status {
    /// One of the gateway's own.
    pub(crate) fn own(code: Code, message: impl Into<String>) -> Status {
        Status { code, message: message.into(), metadata: Vec::new() }
    }

    /// A backend's, or what stands for it.
    pub(crate) fn of(completion: &Completion) -> Status {
        let metadata = fields::owned(completion.reply.trailers());
        Status { code: completion.code, message: completion.message.clone(), metadata }
    }
}

impl Outgoing {
    /// The header fields of a response with a body.
    pub(crate) fn head(&self, metadata: &fields::Entries) -> HeaderMap {
        let metadata = fields::leaving(metadata);
        match self {
            Outgoing::Grpc => {
                let mut headers = HeaderMap::new();
                headers.insert("content-type", HeaderValue::from_static("application/grpc"));
                put_encoded(&mut headers, metadata);
                headers
            }
            Outgoing::Web { form, format, .. } => {
                let mut memory = vec![0; room(0, metadata.clone())];
                fields::map(transcode::head(*form, format, metadata, &mut memory).unwrap_or(EMPTY))
            }
        }
    }

    /// The header fields of a response that is a status alone.
    pub(crate) fn trailers_only(&self, status: &Status) -> HeaderMap {
        match self {
            Outgoing::Grpc => {
                let mut headers = self.head(&Vec::new());
                headers.extend(trailers_of(status));
                headers
            }
            Outgoing::Web { form, format, .. } => {
                let text = status.message.as_bytes();
                let metadata = fields::leaving(&status.metadata);
                let mut memory = vec![0; room(text.len(), metadata.clone())];
                let only = transcode::trailers_only(*form, format, status.code, text, metadata, &mut memory);
                fields::map(only.unwrap_or(EMPTY))
            }
        }
    }

    /// Appends a message.
    pub(crate) fn message(&mut self, message: &[u8], to: &mut Vec<u8>) {
        match self {
            Outgoing::Grpc => {
                // What came from a connection has a length of 32 bits.
                to.extend_from_slice(&message::prefix(message.len() as u32, false));
                to.extend_from_slice(message);
            }
            Outgoing::Web { form, response, .. } => {
                let room = form.encoded_len(message.len() + message::PREFIX);
                append(to, room, |to| response.message(message, to));
            }
        }
    }

    /// The end: what is to be appended to the body is; what is to follow it as HTTP trailers is given.
    pub(crate) fn end(&mut self, status: &Status, to: &mut Vec<u8>) -> Option<HeaderMap> {
        match self {
            Outgoing::Grpc => Some(trailers_of(status)),
            Outgoing::Web { form, response, .. } => {
                let (text, metadata) = (status.message.as_bytes(), fields::leaving(&status.metadata));
                let room = form.encoded_len(trailers::frame_len(status.code, text, metadata.clone()));
                append(to, room, |to| {
                    // There is room for it, its fields were looked at, and messages are written whole.
                    let written = response.trailers(status.code, text, metadata, to);
                    debug_assert_eq!(written, Ok(()));
                });
                None
            }
        }
    }
}

/// grpc-status and what belongs to it (gRPC/HTTP2, "Responses").
fn trailers_of(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    fields::put(&mut headers, b"grpc-status", status.code.decimal().as_bytes());
    if !status.message.is_empty() {
        let (octets, mut text) = (status.message.as_bytes(), Vec::new());
        append(&mut text, percent::encoded_len(octets), |to| percent::encode(octets, to));
        fields::put(&mut headers, b"grpc-message", &text);
    }
    put_encoded(&mut headers, fields::leaving(&status.metadata));
    headers
}

/// In place of a head that does not fit: there is [`room`] for all that a backend's connection lets through.
const EMPTY: web::Fields<'static> = web::Fields::new(&[]);

/// Metadata in its form on the wire of HTTP/2.
fn put_encoded<'f>(headers: &mut HeaderMap, metadata: impl Iterator<Item = (&'f [u8], &'f [u8])>) {
    for (name, value) in metadata {
        if metadata::is_binary(name) {
            let mut text = Vec::new();
            append(&mut text, metadata::encoded_len(value.len()), |to| metadata::encode(value, to));
            fields::put(headers, name, &text);
        } else {
            fields::put(headers, name, value);
        }
    }
}

/// Octets that suffice for a packed head with this message and metadata.
fn room<'f>(message: usize, metadata: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> usize {
    metadata.fold(256 + 3 * message, |sum, (name, value)| sum + 4 + name.len() + value.len() * 4 / 3 + 4)
}

/// Has `write` append to `to`, at most `room` octets.
fn append(to: &mut Vec<u8>, room: usize, write: impl FnOnce(&mut Writer<'_>)) {
    let begin = to.len();
    to.resize(begin + room, 0);
    let mut writer = Writer::new(&mut to[begin..]);
    write(&mut writer);
    let written = writer.len();
    to.truncate(begin + written);
}
