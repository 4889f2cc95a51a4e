//! What a header list has to be (RFC 9113 §8.2, §8.3).

use super::HeadersKind;

/// Looks at a list field by field; what is wrong is remembered, since the block has to be decoded to its end.
#[derive(Debug)]
pub(super) struct Validator {
    kind: Expected,
    seen: u8,
    malformed: Option<&'static str>,
    regular: bool,
    connect: bool,
    pub(super) head: bool,
    pub(super) status: u16,
    pub(super) content_length: Option<u64>,
}

/// Which list it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Request,
    Response,
    Trailers,
}

const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const PATH: u8 = 4;
const AUTHORITY: u8 = 8;
const STATUS: u8 = 16;

/// Indexes of names in HPACK's static table (RFC 7541 Appendix A); those before the first are pseudo-header fields.
mod names {
    pub(super) const FIRST_REGULAR: u8 = 15;
    pub(super) const CONTENT_LENGTH: u8 = 28;
    pub(super) const TRANSFER_ENCODING: u8 = 57;
}

impl Validator {
    pub(super) fn new(kind: Expected) -> Validator {
        Validator {
            kind,
            seen: 0,
            malformed: None,
            regular: false,
            connect: false,
            head: false,
            status: 0,
            content_length: None,
        }
    }

    fn wrong(&mut self, reason: &'static str) {
        self.malformed.get_or_insert(reason);
    }

    /// The next field. `static_name` is the index of its name in HPACK's static table, or 0.
    #[inline]
    pub(super) fn field(&mut self, name: &[u8], value: &[u8], static_name: u8) {
        // RFC 9113 §8.2.1. White space at the ends is let through in responses: gRPC's percent-encoding of
        // grpc-message leaves spaces as they are, and a status must not be lost for one.
        if !is_value(value) || (self.kind == Expected::Request && has_white_ends(value)) {
            self.wrong("a field value has octets that HTTP does not allow");
        }
        if static_name >= names::FIRST_REGULAR {
            self.regular = true;
            match static_name {
                names::CONTENT_LENGTH => self.content_length(value),
                names::TRANSFER_ENCODING => self.wrong("transfer-encoding in HTTP/2"),
                _ => {}
            }
        } else if static_name != 0 || name.first() == Some(&b':') {
            self.pseudo(name, value, static_name);
        } else {
            self.regular = true;
            self.regular_name(name, value);
        }
    }

    fn regular_name(&mut self, name: &[u8], value: &[u8]) {
        // RFC 9113 §8.2: lower case; §8.2.1: token characters alone.
        if !is_name(name) {
            return self.wrong(
                "a field name is empty, or not in lower case, or has octets that HTTP does not allow",
            );
        }
        // RFC 9113 §8.2.2: fields of the connection have no place in HTTP/2.
        match name {
            b"te" if value != b"trailers" => self.wrong("te other than trailers"),
            b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding" | b"upgrade" => {
                self.wrong("a connection-specific field");
            }
            b"content-length" => self.content_length(value),
            _ => {}
        }
    }

    /// RFC 9113 §8.1.1, RFC 9110 §8.6.
    fn content_length(&mut self, value: &[u8]) {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = value.iter().try_fold(0_u64, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))
        });
        match number {
            Some(n) if digits && self.content_length.is_none_or(|other| other == n) => {
                self.content_length = Some(n);
            }
            _ => self.wrong("content-length is not one number"),
        }
    }

    /// RFC 9113 §8.3.
    fn pseudo(&mut self, name: &[u8], value: &[u8], static_name: u8) {
        if self.regular {
            return self.wrong("a pseudo-header field after regular ones");
        }
        let bit = match (static_name, name) {
            (1, _) | (0, b":authority") => AUTHORITY,
            (2 | 3, _) | (0, b":method") => METHOD,
            (4 | 5, _) | (0, b":path") => PATH,
            (6 | 7, _) | (0, b":scheme") => SCHEME,
            (8.., _) | (_, b":status") => STATUS,
            _ => return self.wrong("an unknown pseudo-header field"),
        };
        let of = if bit == STATUS { Expected::Response } else { Expected::Request };
        if of != self.kind {
            return self.wrong("a pseudo-header field that has no place here");
        }
        if self.seen & bit != 0 {
            return self.wrong("a pseudo-header field twice");
        }
        self.seen |= bit;
        match bit {
            METHOD => {
                (self.connect, self.head) = (value == b"CONNECT", value == b"HEAD");
                if value.is_empty() || !value.iter().all(|&octet| is_token(octet)) {
                    self.wrong(":method is not a token");
                }
            }
            // RFC 9113 §8.3.1: not empty, and absolute or an asterisk.
            PATH if value != b"*" && value.first() != Some(&b'/') => {
                self.wrong(":path is empty or not absolute")
            }
            STATUS => match value {
                [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                    let digit = |octet: &u8| u16::from(octet.wrapping_sub(b'0'));
                    self.status = digit(a)
                        .wrapping_mul(100)
                        .wrapping_add(digit(b).wrapping_mul(10))
                        .wrapping_add(digit(c));
                    // RFC 9113 §8.6: 101 has no place in HTTP/2.
                    if self.status == 101 {
                        self.wrong(":status 101 in HTTP/2");
                    }
                }
                _ => self.wrong(":status is not three digits"),
            },
            _ => {}
        }
    }

    /// What is wrong with the list, if anything. A list that was too large is not complete: what it lacks is no
    /// fault of the peer's.
    pub(super) fn verdict(&self, too_large: bool) -> Option<&'static str> {
        if self.malformed.is_some() || too_large {
            return self.malformed;
        }
        let wanted = match self.kind {
            // RFC 9113 §8.5: CONNECT has neither :scheme nor :path.
            Expected::Request if self.connect => {
                return (self.seen != METHOD | AUTHORITY).then_some("CONNECT with other than :authority");
            }
            Expected::Request => METHOD | SCHEME | PATH,
            Expected::Response => STATUS,
            Expected::Trailers => 0,
        };
        (self.seen & wanted != wanted).then_some("a pseudo-header field is missing")
    }

    /// Which list it is.
    pub(super) fn kind(&self) -> HeadersKind {
        match self.kind {
            Expected::Request => HeadersKind::Request,
            // 0: it was not seen, in a list that is too large.
            Expected::Response if (1..200).contains(&self.status) => HeadersKind::Informational,
            Expected::Response => HeadersKind::Response,
            Expected::Trailers => HeadersKind::Trailers,
        }
    }
}

/// RFC 9110 §5.6.2.
fn is_token(octet: u8) -> bool {
    octet.is_ascii_uppercase() || is_name_octet(octet)
}

fn is_name_octet(octet: u8) -> bool {
    matches!(octet, b'a'..=b'z' | b'-' | b'0'..=b'9' | b'_' | b'.'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|' | b'~')
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&octet| is_name_octet(octet))
}

/// No NUL, CR or LF (RFC 9113 §8.2.1). Without an early way out, so that the compiler makes vectors of it.
fn is_value(value: &[u8]) -> bool {
    !value.iter().fold(false, |bad, octet| bad | matches!(octet, 0 | b'\r' | b'\n'))
}

fn has_white_ends(value: &[u8]) -> bool {
    let white = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    white(value.first()) || white(value.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(kind: Expected, fields: &[(&str, &str)]) -> Option<&'static str> {
        let mut validator = Validator::new(kind);
        for (name, value) in fields {
            validator.field(name.as_bytes(), value.as_bytes(), 0);
        }
        validator.verdict(false)
    }

    const GET: [(&str, &str); 3] = [(":method", "GET"), (":scheme", "http"), (":path", "/")];

    #[test]
    fn requests() {
        assert_eq!(verdict(Expected::Request, &GET), None);
        for missing in 0..3 {
            let fields: Vec<_> =
                GET.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, f)| *f).collect();
            assert!(verdict(Expected::Request, &fields).is_some());
        }
        let with =
            |more: &[(&'static str, &'static str)]| verdict(Expected::Request, &[&GET[..], more].concat());
        assert_eq!(with(&[(":authority", "a"), ("te", "trailers"), ("content-length", "5")]), None);
        for bad in [
            (":status", "200"),
            (":path", "/"),
            (":unknown", "x"),
            ("Upper", "x"),
            ("", "x"),
            ("white space", "x"),
            ("te", "gzip"),
            ("connection", "close"),
            ("keep-alive", "1"),
            ("proxy-connection", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("content-length", ""),
            ("content-length", "+5"),
            ("content-length", "99999999999999999999"),
            ("value", "a\rb"),
            ("value", "a\nb"),
            ("value", "a\0b"),
            ("value", " a"),
            ("value", "a\t"),
        ] {
            assert!(with(&[bad]).is_some(), "{bad:?}");
        }
        assert!(with(&[("content-length", "5"), ("content-length", "6")]).is_some());
        assert_eq!(with(&[("content-length", "5"), ("content-length", "5")]), None);
        assert!(with(&[("regular", "x"), (":authority", "a")]).is_some());
    }

    #[test]
    fn paths_and_connect() {
        let path = |path| verdict(Expected::Request, &[GET[0], GET[1], (":path", path)]);
        assert_eq!((path("/a?b"), path("*")), (None, None));
        assert!(path("").is_some() && path("a").is_some());
        let connect = [(":method", "CONNECT"), (":authority", "a:1")];
        assert_eq!(verdict(Expected::Request, &connect), None);
        assert!(verdict(Expected::Request, &connect[..1]).is_some());
        assert!(verdict(Expected::Request, &[connect[0], connect[1], GET[2]]).is_some());
    }

    #[test]
    fn responses_and_trailers() {
        assert_eq!(verdict(Expected::Response, &[(":status", "204"), ("a", " white ")]), None);
        for status in ["", "20", "2000", "0x1", "099", "101"] {
            assert!(verdict(Expected::Response, &[(":status", status)]).is_some(), "{status}");
        }
        assert!(verdict(Expected::Response, &[]).is_some());
        assert!(verdict(Expected::Response, &[(":status", "200"), (":path", "/")]).is_some());
        assert_eq!(verdict(Expected::Trailers, &[("grpc-status", "0")]), None);
        assert!(verdict(Expected::Trailers, &[(":status", "200")]).is_some());
    }
}
