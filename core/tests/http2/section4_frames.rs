//! RFC 9113 §4: sizes, unknown types, header blocks.

use super::support::*;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Kind, flags};

#[test]
fn section_4_1_unknown_types_and_flags_are_passed_over() {
    let mut server = server_ready();
    let ping = frame(Kind::PING, 0x16, 0, b"whatever");
    let wire = [frame(Kind(0xff), 0xff, 0, b"payload"), frame(Kind(0x10), 0, 77, &[]), ping].concat();
    for step in [1, usize::MAX] {
        assert_eq!(feed(&mut server, &wire, step).unwrap(), []);
        assert_eq!(take(&mut server), frame(Kind::PING, flags::ACK, 0, b"whatever"));
    }
}

#[test]
fn section_4_1_the_reserved_bit_is_ignored() {
    let mut server = server_ready();
    let mut wire = headers(1, &GET, true);
    wire[5] |= 0x80;
    assert!(matches!(&feed(&mut server, &wire, 4).unwrap()[..], [Told::Headers { stream: 1, .. }]));
}

#[test]
fn section_4_2_frames_up_to_16_384_octets() {
    let mut server = server_ready();
    let wire = [headers(1, &POST, false), data(1, &[7; 16_384], true)].concat();
    let told = feed(&mut server, &wire, 1_000).unwrap();
    assert_eq!(told[1], Told::Data { stream: 1, bytes: vec![7; 16_384], end: true });
    for kind in [Kind::DATA, Kind::HEADERS, Kind::SETTINGS, Kind(0x77)] {
        let wire = frame(kind, 0, 1, &[0; 16_385]);
        assert_eq!(connection_error(server_ready(), &wire), ErrorCode::FRAME_SIZE_ERROR, "{kind:?}");
    }
}

#[test]
fn section_4_3_a_block_that_does_not_decode_ends_the_connection() {
    let wire = frame(Kind::HEADERS, flags::END_HEADERS, 1, &[0x80]);
    assert_eq!(connection_error(server_ready(), &wire), ErrorCode::COMPRESSION_ERROR);
    // Half a field, at every place.
    let whole = block(&[("name", "value")]);
    for cut in 1..whole.len() {
        let wire = frame(Kind::HEADERS, flags::END_HEADERS, 1, &whole[..cut]);
        assert_eq!(connection_error(server_ready(), &wire), ErrorCode::COMPRESSION_ERROR, "{cut}");
    }
}

#[test]
fn section_4_3_blocks_are_decoded_even_where_nobody_wants_them() {
    // Literals with incremental indexing, on a stream that was reset and one that is refused: the table follows.
    let mut client = client_ready();
    let stream = opened(&mut client, true);
    client.reset(stream, ErrorCode::CANCEL);
    take(&mut client);
    let indexed = |name: &str, value: &str| {
        [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    let first = [vec![0x88], indexed("x-one", "1")].concat();
    let late = frame(Kind::HEADERS, flags::END_HEADERS, stream.id, &first);
    assert_eq!(feed(&mut client, &late, usize::MAX).unwrap(), []);
    let second = opened(&mut client, true);
    let answer = frame(Kind::HEADERS, flags::END_HEADERS | flags::END_STREAM, second.id, &[0x88, 0xbe]);
    let told = feed(&mut client, &answer, usize::MAX).unwrap();
    let Told::Headers { fields, .. } = &told[0] else { panic!("{told:?}") };
    assert_eq!(fields[1], ("x-one".to_owned(), "1".to_owned()));
}
