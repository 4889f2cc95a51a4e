//! Base64 of gRPC-Web's text form: any split, padding in the middle, what is not base64.

use grpclb_core::bytes::Writer;
use grpclb_core::web::text::{Decoder, Encoder, TextErrorKind, encode_in_place, encoded_len};
use proptest::prelude::*;

/// Decodes in the given pieces; what was decoded and how it ended.
fn decode<'t>(pieces: impl IntoIterator<Item = &'t [u8]>) -> (Vec<u8>, Result<(), TextErrorKind>) {
    let (mut decoder, mut all) = (Decoder::START, Vec::new());
    for piece in pieces {
        let mut piece = piece.to_vec();
        match decoder.decode_in_place(&mut piece) {
            Ok(n) => all.extend(&piece[..n]),
            Err(error) => {
                all.extend(&piece[..error.decoded]);
                return (all, Err(error.kind));
            }
        }
    }
    (all, decoder.finish().map_err(|error| error.kind))
}

/// The same however it is split: whole, by each size, in two at each octet.
fn decode_any(text: &[u8]) -> (Vec<u8>, Result<(), TextErrorKind>) {
    let whole = decode([text]);
    for size in 1..text.len().max(2) {
        assert_eq!(decode(text.chunks(size)), whole, "{size} octets at a time");
        let (a, b) = text.split_at(size.min(text.len()));
        assert_eq!(decode([a, &[], b]), whole, "cut at {size}");
    }
    whole
}

fn encode<'t>(pieces: impl IntoIterator<Item = &'t [u8]>, by_fragment: bool) -> String {
    let mut buffer = vec![0; 10_000];
    let mut to = Writer::new(&mut buffer);
    let mut encoder = Encoder::START;
    for mut piece in pieces {
        encoder.encode(&mut piece, &mut to);
        assert!(piece.is_empty());
        if by_fragment {
            encoder.finish(&mut to);
        }
    }
    encoder.finish(&mut to);
    let n = to.finish().unwrap();
    String::from_utf8(buffer[..n].to_vec()).unwrap()
}

/// RFC 4648 §10.
#[test]
fn vectors() {
    for (value, text) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(encode([value.as_bytes()], false), text);
        assert_eq!(encode(value.as_bytes().chunks(1), false), text);
        assert_eq!(decode_any(text.as_bytes()), (value.into(), Ok(())));
        assert_eq!(encoded_len(value.len()), text.len());
        let mut buffer = [value.as_bytes(), &[0; 8]].concat();
        assert_eq!(encode_in_place(&mut buffer, value.len()), Some(text.len()));
        assert_eq!(&buffer[..text.len()], text.as_bytes());
    }
    assert_eq!(encode_in_place(&mut [0; 7], 4), None);
    assert_eq!(encode_in_place(&mut [0; 7], 9), None);
}

#[test]
fn every_octet_at_every_place() {
    for octet in 0..=255u8 {
        for at in 0..20 {
            let mut value = [0x5a; 20];
            value[at] = octet;
            let text = encode([&value[..]], false);
            assert_eq!(decode([text.as_bytes()]), (value.to_vec(), Ok(())));
        }
    }
}

/// tonic-web, Envoy and grpc-dotnet pad at every flush.
#[test]
fn padding_in_the_middle() {
    let joined = b"AAAAAAYKBHRlc3Q=gAAAABBncnBjLXN0YXR1czogMA0K";
    let expected = [&b"\0\0\0\0\x06\n\x04test"[..], b"\x80\0\0\0\x10grpc-status: 0\r\n"].concat();
    assert_eq!(decode_any(joined), (expected, Ok(())));
    assert_eq!(decode_any(b"AA==AA=="), (vec![0, 0], Ok(())));
    assert_eq!(decode_any(b"AAA=AAA="), (vec![0; 4], Ok(())));
    let fragments = encode([&b"f"[..], b"oo", b"bar"], true);
    assert_eq!(fragments, "Zg==b28=YmFy");
    assert_eq!(decode_any(fragments.as_bytes()), (b"foobar".to_vec(), Ok(())));
}

/// grpc-dotnet's pieces.
#[test]
fn octets_come_as_soon_as_they_are_known() {
    let mut decoder = Decoder::START;
    let mut sizes = Vec::new();
    for piece in ["SGVsb", "G8gd2", "9ybGQ="] {
        sizes.push(decoder.decode_in_place(&mut piece.as_bytes().to_vec()).unwrap());
    }
    assert_eq!(sizes, [3, 4, 4]);
    assert_eq!(decode([&b"A"[..], b"A=="]), (vec![0], Ok(())));
}

#[test]
fn what_is_not_base64() {
    use TextErrorKind::{Octet, Truncated, UnusedBits};
    for (text, decoded, kind) in [
        ("*", 0, Octet(b'*')),
        ("****", 0, Octet(b'*')),
        ("AAAA\r\n", 3, Octet(b'\r')),
        ("AAAA AAAA", 3, Octet(b' ')),
        ("AA-_", 1, Octet(b'-')),
        ("AAAAAAAAAAAAAAAAAAA_AAAA", 14, Octet(b'_')),
        ("=", 0, Octet(b'=')),
        ("A===", 0, Octet(b'=')),
        ("AAAA=", 3, Octet(b'=')),
        ("AA=A", 1, Octet(b'A')),
        ("AA===", 1, Octet(b'=')),
        ("AAA==", 2, Octet(b'=')),
        ("AB==", 1, UnusedBits),
        ("AAB=", 2, UnusedBits),
        ("a", 0, Truncated),
        ("AA", 1, Truncated),
        ("AA=", 1, Truncated),
        ("AAA", 2, Truncated),
        // Envoy's vector without its padding.
        ("AAAAABJncnBjLXdlYi10ZXh0LWRhdGE", 23, Truncated),
    ] {
        let (octets, end) = decode_any(text.as_bytes());
        assert_eq!((octets.len(), end), (decoded, Err(kind)), "{text}");
    }
    for octet in 0..=255u8 {
        let legal = octet.is_ascii_alphanumeric() || octet == b'+' || octet == b'/';
        for at in 0..16 {
            let mut text = [b'A'; 16];
            text[at] = octet;
            let whole = decode_any(&text);
            assert_eq!(whole.1.is_ok(), legal || (octet == b'=' && at % 4 == 3), "{octet} at {at}");
        }
    }
}

#[test]
fn an_encoder_takes_what_has_room() {
    let value: Vec<u8> = (0..100).collect();
    let whole = encode([&value[..]], false);
    for room in 4..20 {
        let (mut encoder, mut input, mut text) = (Encoder::START, &value[..], Vec::new());
        while !input.is_empty() {
            let mut buffer = vec![0; room];
            let mut to = Writer::new(&mut buffer);
            encoder.encode(&mut input, &mut to);
            text.extend_from_slice(to.written());
            assert!(to.finish().is_some());
        }
        let mut buffer = [0; 4];
        let mut to = Writer::new(&mut buffer);
        encoder.finish(&mut to);
        text.extend_from_slice(to.written());
        assert_eq!(String::from_utf8(text).unwrap(), whole);
    }
}

proptest! {
    #[test]
    fn goes_round(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..12),
                  by_fragment: bool, sizes in prop::collection::vec(1usize..40, 1..20)) {
        let text = encode(pieces.iter().map(|piece| &piece[..]), by_fragment);
        let (mut rest, mut cut, mut sizes) = (text.as_bytes(), Vec::new(), sizes.iter().cycle());
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            cut.push(piece);
            rest = tail;
        }
        prop_assert_eq!(decode(cut), (pieces.concat(), Ok(())));
    }

    #[test]
    fn anything_ends_the_same_at_any_split(text in prop::collection::vec(prop::sample::select(&b"AQg/=+z\n"[..]), 0..30)) {
        let (octets, _) = decode_any(&text);
        prop_assert!(octets.len() <= text.len());
    }
}
