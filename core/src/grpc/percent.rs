//! Percent-encoding of `grpc-message` (gRPC/HTTP2, "Responses"): everything outside 0x20..=0x7e, and `%` itself.

use crate::bytes::{Exact, Writer};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Whether an octet stands for itself.
const fn is_plain(octet: u8) -> bool {
    matches!(octet, b' '..=b'~') && octet != b'%'
}

/// A space at the front, what is between, a space at the end. Spaces at the edges of a field's value are not of the value
/// (RFC 9110 §5.5), so they are encoded, too.
fn edges(message: &[u8]) -> (bool, &[u8], bool) {
    let (front, rest) = match message {
        [b' ', rest @ ..] => (true, rest),
        _ => (false, message),
    };
    match rest {
        [inner @ .., b' '] => (front, inner, true),
        _ => (front, rest, false),
    }
}

/// Octets of the encoded form.
pub fn encoded_len(message: &[u8]) -> usize {
    let (front, inner, back) = edges(message);
    let spaces = usize::from(front).plus(usize::from(back));
    let encoded = inner.iter().filter(|&&octet| !is_plain(octet)).count().plus(spaces);
    message.len().saturating_add(encoded.saturating_mul(2))
}

/// Appends the encoded form.
pub fn encode(message: &[u8], to: &mut Writer<'_>) {
    let (front, inner, back) = edges(message);
    if front {
        to.put(b"%20");
    }
    let mut rest = inner;
    while let Some((&octet, behind)) = rest.split_first() {
        let plain = rest.iter().take_while(|octet| is_plain(**octet)).count();
        rest = match rest.split_at_checked(plain) {
            Some((part, after)) if plain > 0 => {
                to.put(part);
                after
            }
            _ => {
                let digit = |value: u8| HEX.get(usize::from(value & 15)).copied().unwrap_or_default();
                to.put(&[b'%', digit(octet >> 4), digit(octet)]);
                behind
            }
        };
    }
    if back {
        to.put(b"%20");
    }
}

/// Decodes in place and returns the new length. Never fails and never drops an octet: a `%` that no two hex digits
/// follow stays as it is.
pub fn decode_in_place(text: &mut [u8]) -> usize {
    let Some(mut from) = text.iter().position(|&octet| octet == b'%') else { return text.len() };
    let mut to = from;
    while let Some(rest) = text.get(from..)
        && let Some(&octet) = rest.first()
    {
        let (octet, taken) = match *rest {
            [b'%', high, low, ..] => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (octet, 1),
            },
            _ => (octet, 1),
        };
        if let Some(place) = text.get_mut(to) {
            *place = octet;
        }
        from = from.plus(taken);
        to = to.plus(1);
    }
    to
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(message: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; encoded_len(message)];
        let mut writer = Writer::new(&mut buffer);
        encode(message, &mut writer);
        assert_eq!(writer.finish(), Some(encoded_len(message)));
        buffer
    }

    fn decoded(text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        let len = decode_in_place(&mut text);
        text.truncate(len);
        text
    }

    #[test]
    fn vectors() {
        for (message, text) in [
            ("", ""),
            ("plain words, ~ and all", "plain words, ~ and all"),
            (" ", "%20"),
            ("   ", "%20 %20"),
            (" a b ", "%20a b%20"),
            ("100%", "100%25"),
            (
                "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n",
                "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A",
            ),
            ("\u{7f}", "%7F"),
        ] {
            assert_eq!(encoded(message.as_bytes()), text.as_bytes());
            assert_eq!(decoded(text.as_bytes()), message.as_bytes());
        }
    }

    #[test]
    fn broken_escapes_stay() {
        for (text, message) in
            [("%", "%"), ("%2", "%2"), ("%zz", "%zz"), ("%%41", "%A"), ("a%4", "a%4"), ("%e2%98%ba", "☺")]
        {
            assert_eq!(decoded(text.as_bytes()), message.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn goes_round(message in prop::collection::vec(any::<u8>(), 0..100)) {
            let text = encoded(&message);
            prop_assert!(text.iter().all(|octet| (0x20..=0x7e).contains(octet)));
            prop_assert_eq!(decoded(&text), message);
        }

        #[test]
        fn decodes_anything(text in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(decoded(&text).len() <= text.len());
        }
    }
}
