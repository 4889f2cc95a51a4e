//! Custom metadata (gRPC/HTTP2, "Requests"): names, values, and the base64 of `-bin` values.

use crate::bytes::{Exact, Writer};

/// What is wrong with a metadata entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataError {
    /// The name is empty or has octets other than `0-9 a-z _ - .`.
    Name,
    /// The name is the protocol's own.
    Reserved,
    /// The value of a name without `-bin` has octets outside 0x20..=0x7e.
    Value,
}

/// Checks an entry that this side is to send. Values of `-bin` names may be any octets.
pub fn check(name: &[u8], value: &[u8]) -> Result<(), MetadataError> {
    if !is_name(name) {
        return Err(MetadataError::Name);
    }
    if is_reserved(name) {
        return Err(MetadataError::Reserved);
    }
    if !is_binary(name) && !value.iter().all(|octet| matches!(octet, b' '..=b'~')) {
        return Err(MetadataError::Value);
    }
    Ok(())
}

/// Header-Name: `1*( %x30-39 / %x61-7A / "_" / "-" / ".")`.
pub fn is_name(name: &[u8]) -> bool {
    let allowed = |octet: &u8| matches!(octet, b'0'..=b'9' | b'a'..=b'z' | b'_' | b'-' | b'.');
    !name.is_empty() && name.iter().all(allowed)
}

/// Whether values of that name are binary: base64 on the wire, raw in the API.
pub fn is_binary(name: &[u8]) -> bool {
    name.ends_with(b"-bin")
}

/// Whether the protocol keeps that name for itself: it is refused in what an application sends, and taken out of what
/// it gets. Those are the fields of gRPC/HTTP2's own and the connection-specific ones (RFC 9113 §8.2.2). Names with
/// `grpc-` that other documents define for applications or policies pass: retry pushback and attempts (gRFC A6), and
/// the `-bin` ones (`grpc-status-details-bin`, `grpc-trace-bin`, `grpc-tags-bin`).
pub fn is_reserved(name: &[u8]) -> bool {
    match name {
        [b':', ..] => true,
        b"te" | b"host" | b"upgrade" | b"connection" | b"keep-alive" => true,
        b"content-type" | b"user-agent" | b"proxy-connection" | b"transfer-encoding" => true,
        b"grpc-previous-rpc-attempts" | b"grpc-retry-pushback-ms" => false,
        [b'g', b'r', b'p', b'c', b'-', ..] => !is_binary(name),
        _ => false,
    }
}

/// A value without the spaces at its edges: HTTP/2 does not carry them (RFC 9113 §8.2.1).
pub fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

/// The values of a `-bin` field: intermediaries may have joined several by commas, which are to be split before decoding.
pub fn split(joined: &[u8]) -> impl Iterator<Item = &[u8]> {
    joined.split(|&octet| octet == b',').map(trim)
}

/// Octets of the base64 form of `len` octets, unpadded.
pub const fn encoded_len(len: usize) -> usize {
    let (triples, rest) = (len / 3, len % 3);
    let tail = match rest {
        0 => 0,
        1 => 2,
        _ => 3,
    };
    triples.saturating_mul(4).saturating_add(tail)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the base64 form (RFC 4648 §4), unpadded as gRPC/HTTP2 wants it sent.
pub fn encode(value: &[u8], to: &mut Writer<'_>) {
    let digit = |bits: u32| ALPHABET.get((bits & 63) as usize).copied().unwrap_or_default();
    let (triples, rest) = value.as_chunks::<3>();
    for &[a, b, c] in triples {
        let bits = u32::from_be_bytes([0, a, b, c]);
        to.put(&[digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), digit(bits)]);
    }
    match *rest {
        [a] => to.put(&[digit(u32::from(a) >> 2), digit(u32::from(a) << 4)]),
        [a, b] => {
            let bits = u32::from_be_bytes([0, a, b, 0]);
            to.put(&[digit(bits >> 18), digit(bits >> 12), digit(bits >> 6)]);
        }
        _ => {}
    }
}

/// Decodes base64 (RFC 4648 §4) in place and returns the new length. Padded and unpadded are both taken, as
/// gRPC/HTTP2 demands; anything else that is not base64 is `None`, and `text` is then half decoded.
///
/// ```
/// let mut text = *b"q6ur";
/// assert_eq!(grpclb_core::grpc::metadata::decode_in_place(&mut text), Some(3));
/// assert_eq!(text[..3], [0xab, 0xab, 0xab]);
/// ```
pub fn decode_in_place(text: &mut [u8]) -> Option<usize> {
    let digits = unpadded(text)?;
    let (mut from, mut to) = (0usize, 0usize);
    while from < digits {
        let end = from.plus(4).min(digits);
        let group = text.get(from..end)?;
        let bits = group.iter().try_fold(0u32, |bits, &octet| Some(bits << 6 | value_of(octet)?))?;
        // A group of 4 digits is 3 octets, of 3 is 2, of 2 is 1.
        let (octets, aligned) = match group.len() {
            4 => (3usize, bits),
            3 => (2, bits << 6),
            2 => (1, bits << 12),
            _ => return None,
        };
        let [_, decoded @ ..] = aligned.to_be_bytes();
        let place = text.get_mut(to..to.plus(octets))?;
        crate::bytes::copy(place, &decoded);
        (from, to) = (end, to.plus(octets));
    }
    Some(to)
}

/// Number of digits before the padding, which must fill the last group when there is any.
fn unpadded(text: &[u8]) -> Option<usize> {
    match text {
        [rest @ .., b'=', b'='] if text.len().is_multiple_of(4) => Some(rest.len()),
        [rest @ .., b'='] if text.len().is_multiple_of(4) => Some(rest.len()),
        [.., b'='] => None,
        _ => Some(text.len()),
    }
}

fn value_of(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit.minus(b'A'),
        b'a'..=b'z' => digit.minus(b'a').plus(26),
        b'0'..=b'9' => digit.minus(b'0').plus(52),
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: &[u8]) -> String {
        let mut buffer = vec![0; encoded_len(value.len())];
        let mut writer = Writer::new(&mut buffer);
        encode(value, &mut writer);
        assert_eq!(writer.finish(), Some(encoded_len(value.len())));
        String::from_utf8(buffer).unwrap()
    }

    fn decoded(text: &str) -> Option<Vec<u8>> {
        let mut text = text.as_bytes().to_vec();
        let len = decode_in_place(&mut text)?;
        text.truncate(len);
        Some(text)
    }

    /// RFC 4648 §10.
    #[test]
    fn base64_vectors() {
        for (value, padded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let unpadded = padded.trim_end_matches('=');
            assert_eq!(encoded(value.as_bytes()), unpadded);
            assert_eq!(decoded(padded).unwrap(), value.as_bytes());
            assert_eq!(decoded(unpadded).unwrap(), value.as_bytes());
        }
        assert_eq!(encoded(&[0xab; 3]), "q6ur");
        assert_eq!(encoded(&[0xfb, 0xff]), "+/8");
    }

    #[test]
    fn not_base64() {
        for bad in ["A", "A===", "AA=", "====", "AAAA=", "AA==AA==", "A-_A", "AA A", "AAAAA", "=", "AAA\n"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }

    #[test]
    fn joined_values_are_split() {
        let values: Vec<_> = split(b"Zg==,Zm8, Zm9v").collect();
        assert_eq!(values, [&b"Zg=="[..], b"Zm8", b"Zm9v"]);
        assert_eq!(split(b"").collect::<Vec<_>>(), [&b""[..]]);
    }

    #[test]
    fn entries_to_send() {
        assert_eq!(check(b"x-grpc-test-echo-initial", b"value with ~ and space"), Ok(()));
        assert_eq!(check(b"0_a.b-", b""), Ok(()));
        assert_eq!(check(b"x-bin", &[0, 255, 10]), Ok(()));
        for bad in ["", "X-a", "a b", "a:b", "ü", ":path"] {
            assert_eq!(check(bad.as_bytes(), b""), Err(MetadataError::Name), "{bad}");
        }
        for bad in ["\n", "\u{7f}", "ü", "a\0"] {
            assert_eq!(check(b"x", bad.as_bytes()), Err(MetadataError::Value), "{bad}");
        }
        for own in
            ["te", "content-type", "user-agent", "grpc-timeout", "grpc-status", "grpc-foo", "connection"]
        {
            assert_eq!(check(own.as_bytes(), b""), Err(MetadataError::Reserved), "{own}");
        }
        for passes in ["grpc-retry-pushback-ms", "grpc-previous-rpc-attempts", "grpc-status-details-bin"] {
            assert_eq!(check(passes.as_bytes(), b""), Ok(()), "{passes}");
        }
    }

    proptest! {
        #[test]
        fn goes_round(value in prop::collection::vec(any::<u8>(), 0..100), pad in any::<bool>()) {
            let mut text = encoded(&value);
            while pad && !text.len().is_multiple_of(4) {
                text.push('=');
            }
            prop_assert_eq!(decoded(&text), Some(value));
        }

        #[test]
        fn decodes_anything(text in "[A-Za-z0-9+/=,]{0,40}") {
            let _ = decoded(&text);
        }
    }
}
