//! The two forms of a body, and the media types that tell them apart (gRPC-Web, "Protocol differences").

use crate::bytes::{Exact, Writer};

/// How a body is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// `application/grpc-web`: frames as they are.
    #[default]
    Binary,
    /// `application/grpc-web-text`: frames in base64.
    Text,
}

impl Form {
    /// The media type, without a message format.
    pub const fn media_type(self) -> &'static [u8] {
        match self {
            Form::Binary => b"application/grpc-web",
            Form::Text => b"application/grpc-web-text",
        }
    }

    /// Appends a content-type: the media type, and `+` and the message format (`proto`, `json`) unless that is empty.
    pub fn put_content_type(self, format: &[u8], to: &mut Writer<'_>) {
        to.put(self.media_type());
        if !format.is_empty() {
            to.put(b"+");
            to.put(format);
        }
    }

    /// Reads a content-type or one member of Accept; any case, parameters are passed over. `None`: not gRPC-Web.
    ///
    /// ```
    /// use grpclb_core::web::Form;
    /// assert_eq!(Form::parse(b"Application/Grpc-Web-Text+Proto; version=1"), Some((Form::Text, &b"Proto"[..])));
    /// assert_eq!(Form::parse(b"application/grpc"), None);
    /// ```
    pub fn parse(content_type: &[u8]) -> Option<(Form, &[u8])> {
        let essence = content_type.split(|&octet| octet == b';').next()?.trim_ascii();
        let rest = strip(essence, b"application/grpc-web")?;
        let (form, rest) = match strip(rest, b"-text") {
            // The name that the specification also lists and nobody sends.
            Some(rest) => (Form::Text, strip(rest, b"-base64").unwrap_or(rest)),
            None => (Form::Binary, rest),
        };
        match rest {
            [] => Some((form, &[])),
            [b'+', format @ ..] if !format.is_empty() => Some((form, format)),
            _ => None,
        }
    }

    /// The form that an Accept header asks for first; `None` when it names neither.
    pub fn accepted(accept: &[u8]) -> Option<Form> {
        accept.split(|&octet| octet == b',').find_map(Form::parse).map(|(form, _)| form)
    }

    /// Octets that `len` octets take when they are written as one fragment.
    pub const fn encoded_len(self, len: usize) -> usize {
        match self {
            Form::Binary => len,
            Form::Text => super::text::encoded_len(len),
        }
    }
}

/// What follows `prefix`, whatever its case.
fn strip<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (begin, rest) = text.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Whether a content-type begins with `application/grpc`: some servers answer so where gRPC-Web is due.
pub(super) fn is_any_grpc(content_type: &[u8]) -> bool {
    strip(content_type, b"application/grpc").is_some()
}

/// Appends a packed field whose value `write` makes; nothing when it is longer than 65 535 octets, which counts as full.
pub(super) fn put_field(to: &mut Writer<'_>, name: &[u8], write: impl FnOnce(&mut Writer<'_>)) {
    let at = to.len();
    to.put_u16(u16::try_from(name.len()).unwrap_or_default());
    to.put_u16(0);
    to.put(name);
    let begin = to.len();
    write(to);
    let len = to.len().minus(begin);
    match (u16::try_from(len), u16::try_from(name.len())) {
        (Ok(len), Ok(_)) => {
            if let Some(place) = to.written().get_mut(at.saturating_add(2)..) {
                crate::bytes::copy(place, &len.to_be_bytes());
            }
        }
        // Too long for the packed form: as if there were no room.
        _ => to.advance(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        let binary = |format| Some((Form::Binary, format));
        let text = |format| Some((Form::Text, format));
        for (content_type, expected) in [
            ("application/grpc-web", binary(&b""[..])),
            ("application/grpc-web+proto", binary(b"proto")),
            ("Application/Grpc-Web+Proto", binary(b"Proto")),
            ("application/grpc-web+json; charset=utf-8", binary(b"json")),
            ("application/grpc-web    ; version=1; foo=bar", binary(b"")),
            ("application/grpc-web+thrift", binary(b"thrift")),
            (" application/grpc-web-text ", text(&b""[..])),
            ("application/grpc-web-text+proto", text(b"proto")),
            ("application/grpc-web-text-base64", text(b"")),
            ("application/grpc-web-texture", None),
            ("application/grpc-web+", None),
            ("application/grpc-webx", None),
            ("application/grpc", None),
            ("application/grpc+proto", None),
            ("text/html", None),
            ("", None),
        ] {
            assert_eq!(Form::parse(content_type.as_bytes()), expected, "{content_type}");
        }
    }

    #[test]
    fn accept() {
        assert_eq!(Form::accepted(b"application/grpc-web-text"), Some(Form::Text));
        assert_eq!(Form::accepted(b"text/html, application/grpc-web+proto;q=0.9, */*"), Some(Form::Binary));
        assert_eq!(Form::accepted(b"*/*"), None);
        assert_eq!(Form::accepted(b""), None);
    }

    #[test]
    fn content_types_go_round() {
        for (form, format) in [(Form::Binary, &b""[..]), (Form::Text, b"proto"), (Form::Binary, b"json")] {
            let mut buffer = [0; 64];
            let mut writer = Writer::new(&mut buffer);
            form.put_content_type(format, &mut writer);
            assert_eq!(Form::parse(writer.written()), Some((form, format)));
        }
    }

    #[test]
    fn a_field_that_is_too_long_is_refused() {
        let mut buffer = vec![0; 70_000];
        let mut writer = Writer::new(&mut buffer);
        put_field(&mut writer, b"a", |to| to.put(&[b'x'; 65_535]));
        assert_eq!(writer.len(), 4 + 1 + 65_535);
        assert!(writer.finish().is_some());
        let mut writer = Writer::new(&mut buffer);
        put_field(&mut writer, b"a", |to| to.put(&[b'x'; 65_536]));
        assert_eq!(writer.finish(), None);
    }
}
