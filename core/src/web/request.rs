//! The client's request: the header fields to send and the body.

use super::form::{Form, put_field};
use super::text::Encoder;
use crate::bytes::{Fields, Writer};
use crate::grpc::{message, metadata, timeout};
use core::fmt;
use core::time::Duration;

/// `x-user-agent` when the application gives none: browsers keep `user-agent` for themselves.
const USER_AGENT: &[u8] = concat!("grpc-web-libgrpclb/", env!("CARGO_PKG_VERSION")).as_bytes();

/// A request's head. The method is POST, the path `/package.Service/Method` behind whatever the server's base is.
///
/// ```
/// use grpclb_core::web::{Form, RequestHead};
/// let head = RequestHead { form: Form::Text, metadata: &[(b"tenant", b"blue")], ..RequestHead::default() };
/// let mut memory = [0; 256];
/// let fields = head.fields(&mut memory).unwrap();
/// assert_eq!(fields.get(b"content-type"), Some(&b"application/grpc-web-text+proto"[..]));
/// assert_eq!(fields.get(b"accept"), Some(&b"application/grpc-web-text"[..]));
/// assert_eq!(fields.get(b"tenant"), Some(&b"blue"[..]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// How the body is written, and what is asked for in return.
    pub form: Form,
    /// The message format behind the `+` of content-type (default `proto`); empty: none is told.
    pub format: &'a [u8],
    /// Deadline from now, sent as `grpc-timeout`; the caller's clock minds it
    /// ([`deadline_passed`](super::Exchange::deadline_passed)).
    pub timeout: Option<Duration>,
    /// Custom metadata, lower-case names, `-bin` values raw.
    pub metadata: &'a [(&'a [u8], &'a [u8])],
    /// `x-user-agent`; empty: `grpc-web-libgrpclb/VERSION`.
    pub user_agent: &'a [u8],
}

impl Default for RequestHead<'_> {
    fn default() -> Self {
        RequestHead { form: Form::Binary, format: b"proto", timeout: None, metadata: &[], user_agent: b"" }
    }
}

/// Why a head cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// The lent memory has no room for it, or a field is longer than 65 535 octets.
    TooLarge,
    /// The metadata entry of that index has a name or value that gRPC does not allow.
    BadMetadata(u16),
    /// Message format or user agent have octets that HTTP does not allow.
    BadValue,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadError::TooLarge => f.write_str("the head does not fit"),
            HeadError::BadMetadata(at) => {
                write!(f, "metadata entry {at} has a name or value that gRPC forbids")
            }
            HeadError::BadValue => f.write_str("message format or user agent has octets that HTTP forbids"),
        }
    }
}

impl RequestHead<'_> {
    /// The header fields, packed into `memory`.
    pub fn fields<'m>(&self, memory: &'m mut [u8]) -> Result<Fields<'m>, HeadError> {
        let printable = |text: &[u8]| text.iter().all(|octet| matches!(octet, b' '..=b'~'));
        if !printable(self.user_agent) || !self.format.iter().all(u8::is_ascii_alphanumeric) {
            return Err(HeadError::BadValue);
        }
        let mut to = Writer::new(memory);
        put_field(&mut to, b"content-type", |to| self.form.put_content_type(self.format, to));
        // Servers choose the response's form by this alone.
        put_field(&mut to, b"accept", |to| to.put(self.form.media_type()));
        // Some servers know a preflight request by this name.
        put_field(&mut to, b"x-grpc-web", |to| to.put(b"1"));
        let user_agent = if self.user_agent.is_empty() { USER_AGENT } else { self.user_agent };
        put_field(&mut to, b"x-user-agent", |to| to.put(user_agent));
        if let Some(timeout) = self.timeout {
            put_field(&mut to, b"grpc-timeout", |to| to.put(timeout::encode(timeout).as_bytes()));
        }
        put_metadata(&mut to, self.metadata.iter().copied())?;
        let len = to.finish().ok_or(HeadError::TooLarge)?;
        Ok(Fields::new(memory.get(..len).unwrap_or_default()))
    }
}

/// Checks and packs metadata to send.
pub(super) fn put_metadata<'f>(
    to: &mut Writer<'_>,
    entries: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
) -> Result<(), HeadError> {
    for (at, (name, value)) in entries.into_iter().enumerate() {
        metadata::check(name, value)
            .map_err(|_| HeadError::BadMetadata(u16::try_from(at).unwrap_or(u16::MAX)))?;
        put_field(to, name, |to| {
            if metadata::is_binary(name) { metadata::encode(value, to) } else { to.put(value) }
        });
    }
    Ok(())
}

/// Writes messages as a body. All of them are one text, padded at its end: servers refuse padding in the middle when it
/// comes to them in one read.
///
/// ```
/// use grpclb_core::{bytes::Writer, web::{Body, Form}};
/// let mut memory = [0; 16];
/// let mut to = Writer::new(&mut memory);
/// let mut body = Body::new(Form::Text);
/// body.message(b"\n\x03aaa", &mut to);
/// body.finish(&mut to);
/// assert_eq!(to.written(), b"AAAAAAUKA2FhYQ==");
/// assert_eq!(Form::Text.encoded_len(5 + 5), 16);
/// ```
#[derive(Clone, Debug)]
pub struct Body {
    form: Form,
    encoder: Encoder,
}

impl Body {
    /// Of that form.
    pub const fn new(form: Form) -> Body {
        Body { form, encoder: Encoder::START }
    }

    /// Appends a message with its prefix. What has no room makes `to` full: [`Form::encoded_len`] of the messages and five
    /// octets each is what a whole body takes.
    pub fn message(&mut self, message: &[u8], to: &mut Writer<'_>) {
        match u32::try_from(message.len()) {
            Ok(len) => {
                self.put(&message::prefix(len, false), to);
                self.put(message, to);
            }
            Err(_) => to.advance(usize::MAX),
        }
    }

    /// Appends octets of frames, as they are to come out at the other end.
    pub fn put(&mut self, mut octets: &[u8], to: &mut Writer<'_>) {
        match self.form {
            Form::Binary => to.put(octets),
            Form::Text => {
                self.encoder.encode(&mut octets, to);
                if !octets.is_empty() {
                    // As the writer has it: what does not fit is remembered.
                    to.advance(usize::MAX);
                }
            }
        }
    }

    /// Ends the text, or a fragment of it, by padding.
    pub fn finish(&mut self, to: &mut Writer<'_>) {
        self.encoder.finish(to);
    }
}
