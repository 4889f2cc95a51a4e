//! The examples of RFC 7541 Appendix C: blocks, fields and the dynamic table after each.

use super::{Header, Receiver, Sender, header, unhex};
use grpclb_core::bytes::Writer;
use grpclb_core::hpack::{Decoder, Encoder, Field, Indexing, Step};

/// A block, its fields, the table after it (newest first) and the size that the RFC states for the table.
struct Example {
    wire: &'static str,
    fields: &'static [(&'static str, &'static str)],
    table: &'static [(&'static str, &'static str)],
    size: usize,
}

fn headers(pairs: &[(&str, &str)]) -> Vec<Header> {
    pairs.iter().map(|(name, value)| header(name, value)).collect()
}

fn check_table(receiver: &mut Receiver, example: &Example) {
    let table = receiver.table();
    assert_eq!(table, headers(example.table));
    // RFC 7541 §4.1.
    assert_eq!(table.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>(), example.size);
}

fn decode_all(limit: u32, examples: &[Example]) {
    let mut receiver = Receiver::new(limit);
    for example in examples {
        assert_eq!(receiver.decode(&unhex(example.wire)), Ok(headers(example.fields)));
        check_table(&mut receiver, example);
    }
}

/// Encodes, compares with the blocks (after `ours` has changed them), and decodes again to see the table.
fn encode_all(capacity: u32, examples: &[Example], ours: impl Fn(String) -> String) {
    let mut sender = Sender::new(capacity);
    let mut receiver = Receiver::new(4096);
    for (i, example) in examples.iter().enumerate() {
        let mut expected = unhex(&ours(example.wire.replace(' ', "")));
        if i == 0 && capacity == 256 {
            // The examples presume a table of 256 octets; an encoder has to say so (RFC 7541 §4.2).
            expected.splice(0..0, [0x3f, 0xe1, 0x01]);
        }
        let wire = sender.encode(&headers(example.fields), Indexing::Incremental);
        assert_eq!(wire, expected);
        assert_eq!(receiver.decode(&wire), Ok(headers(example.fields)));
        check_table(&mut receiver, example);
    }
}

fn single(block: &str, name: &str, value: &str, table: &[(&str, &str)], never: bool) {
    let mut receiver = Receiver::new(4096);
    let block = unhex(block);
    let mut rest = block.as_slice();
    receiver.decoder.begin();
    let step = receiver.decoder.step(&mut receiver.table, &mut rest, &mut receiver.out).unwrap();
    let Step::Field(field) = step else { panic!("{step:?}") };
    assert_eq!(receiver.out[..name.len() + value.len()], [name.as_bytes(), value.as_bytes()].concat());
    assert_eq!((field.name as usize, field.value as usize), (name.len(), value.len()));
    assert_eq!(field.never_indexed, never);
    assert!(rest.is_empty());
    assert_eq!(receiver.table(), headers(table));
}

#[test]
fn c_2_1_literal_with_incremental_indexing() {
    let wire = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    single(wire, "custom-key", "custom-header", &[("custom-key", "custom-header")], false);
}

#[test]
fn c_2_2_literal_without_indexing() {
    single("040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path", &[], false);
}

#[test]
fn c_2_3_literal_never_indexed() {
    single("1008 7061 7373 776f 7264 0673 6563 7265 74", "password", "secret", &[], true);
}

#[test]
fn c_2_4_indexed() {
    single("82", ":method", "GET", &[], false);
}

#[test]
fn c_2_encoded() {
    for (name, value, indexing, plain, huffman) in [
        // Huffman coding is shorter in all but the last, so the blocks are not the RFC's, which spell strings out.
        ("custom-key", "custom-header", Indexing::Incremental, "400a637573746f6d2d6b6579", 0x40),
        (":path", "/sample/path", Indexing::Without, "040c2f73616d706c652f70617468", 0x04),
        ("password", "secret", Indexing::Never, "100870617373776f7264", 0x10),
    ] {
        let wire = Sender::new(4096).encode(&[header(name, value)], indexing);
        assert_eq!(wire[0], huffman);
        assert!(wire.len() < unhex(plain).len() + value.len() + 1);
        assert_eq!(Receiver::new(4096).decode(&wire), Ok(vec![header(name, value)]));
    }
    assert_eq!(Sender::new(4096).encode(&[header(":method", "GET")], Indexing::Incremental), [0x82]);
}

const REQUESTS_PLAIN: [&str; 3] = [
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
];

const REQUESTS_HUFFMAN: [&str; 3] = [
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
];

/// Appendix C.3 and C.4: the same requests, without and with Huffman coding.
fn requests(wire: [&'static str; 3]) -> [Example; 3] {
    const AUTHORITY: (&str, &str) = (":authority", "www.example.com");
    const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");
    const CUSTOM: (&str, &str) = ("custom-key", "custom-value");
    [
        Example {
            wire: wire[0],
            fields: &[(":method", "GET"), (":scheme", "http"), (":path", "/"), AUTHORITY],
            table: &[AUTHORITY],
            size: 57,
        },
        Example {
            wire: wire[1],
            fields: &[(":method", "GET"), (":scheme", "http"), (":path", "/"), AUTHORITY, NO_CACHE],
            table: &[NO_CACHE, AUTHORITY],
            size: 110,
        },
        Example {
            wire: wire[2],
            fields: &[(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), AUTHORITY, CUSTOM],
            table: &[CUSTOM, NO_CACHE, AUTHORITY],
            size: 164,
        },
    ]
}

const RESPONSES_PLAIN: [&str; 3] = [
    "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 \
     474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "4803 3330 37c1 c0bf",
    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 \
     666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 \
     3630 303b 2076 6572 7369 6f6e 3d31",
];

const RESPONSES_HUFFMAN: [&str; 3] = [
    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 \
     63c7 8f0b 97c8 e9ae 82ae 43d3",
    "4883 640e ffc1 c0bf",
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 \
     b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
];

/// Appendix C.5 and C.6: the same responses, without and with Huffman coding; the table takes 256 octets.
fn responses(wire: [&'static str; 3]) -> [Example; 3] {
    const S302: (&str, &str) = (":status", "302");
    const S307: (&str, &str) = (":status", "307");
    const PRIVATE: (&str, &str) = ("cache-control", "private");
    const DATE21: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    const DATE22: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    const LOCATION: (&str, &str) = ("location", "https://www.example.com");
    const GZIP: (&str, &str) = ("content-encoding", "gzip");
    const COOKIE: (&str, &str) = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
    [
        Example {
            wire: wire[0],
            fields: &[S302, PRIVATE, DATE21, LOCATION],
            table: &[LOCATION, DATE21, PRIVATE, S302],
            size: 222,
        },
        Example {
            wire: wire[1],
            fields: &[S307, PRIVATE, DATE21, LOCATION],
            table: &[S307, LOCATION, DATE21, PRIVATE],
            size: 222,
        },
        Example {
            wire: wire[2],
            fields: &[(":status", "200"), PRIVATE, DATE22, LOCATION, GZIP, COOKIE],
            table: &[COOKIE, GZIP, DATE22],
            size: 215,
        },
    ]
}

#[test]
fn c_3_requests_decoded() {
    decode_all(4096, &requests(REQUESTS_PLAIN));
}

#[test]
fn c_4_requests_with_huffman_decoded() {
    decode_all(4096, &requests(REQUESTS_HUFFMAN));
}

#[test]
fn c_5_responses_decoded() {
    decode_all(256, &responses(RESPONSES_PLAIN));
}

#[test]
fn c_6_responses_with_huffman_decoded() {
    decode_all(256, &responses(RESPONSES_HUFFMAN));
}

#[test]
fn c_4_requests_encoded() {
    encode_all(4096, &requests(REQUESTS_HUFFMAN), |wire| wire);
}

#[test]
fn c_6_responses_encoded() {
    // "307" takes three octets either way; Huffman coding is for what gets shorter.
    encode_all(256, &responses(RESPONSES_HUFFMAN), |wire| wire.replace("4883640eff", "4803333037"));
}

/// Cut anywhere, a block gives the fields that end before the cut, and then an error unless a field ends right there.
#[test]
fn every_block_cut_at_every_octet() {
    let (requests, responses) = (requests(REQUESTS_HUFFMAN), responses(RESPONSES_HUFFMAN));
    let mut ends = 0;
    for (limit, examples) in [(4096, requests), (256, responses)] {
        for (i, example) in examples.iter().enumerate() {
            let wire = unhex(example.wire);
            for cut in 0..wire.len() {
                let mut receiver = Receiver::new(limit);
                for before in &examples[..i] {
                    receiver.decode(&unhex(before.wire)).unwrap();
                }
                match receiver.decode(&wire[..cut]) {
                    Ok(fields) => {
                        assert!(fields.len() < example.fields.len());
                        assert_eq!(fields, headers(&example.fields[..fields.len()]));
                        ends += 1;
                    }
                    Err(error) => assert_eq!(error, grpclb_core::hpack::DecodeError::Truncated),
                }
            }
        }
    }
    assert_eq!(ends, 4 + 5 + 5 + 4 + 4 + 6, "as many whole fronts as fields");
}

/// A decoder and an encoder are small: their tables are lent.
#[test]
fn state_is_small() {
    assert!(size_of::<Decoder>() <= 80, "{}", size_of::<Decoder>());
    assert!(size_of::<Encoder>() <= 272, "{}", size_of::<Encoder>());
    let mut buffer = [0; 1];
    let mut out = Writer::new(&mut buffer);
    let mut encoder = Encoder::new(0);
    encoder.begin(&mut [], &mut out);
    assert_eq!(out.len(), 1, "no table at all: a size update to 0");
    encoder.encode(&mut [], &Field { name: b"a", value: b"b", indexing: Indexing::Incremental }, &mut out);
    assert_eq!(out.finish(), None, "what does not fit is remembered");
}
