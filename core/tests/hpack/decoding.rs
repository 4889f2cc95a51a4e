//! What a decoder refuses, size updates, and fields that are too large for the caller.

use super::{Header, Receiver, header, integer, plain, unhex};
use grpclb_core::hpack::{DecodeError, Decoder, Step};

fn fails(wire: &str, error: DecodeError) {
    assert_eq!(Receiver::new(4096).decode(&unhex(wire)), Err(error), "{wire}");
}

#[test]
fn index_0_and_beyond_the_tables() {
    fails("80", DecodeError::InvalidIndex);
    fails("be", DecodeError::InvalidIndex); // 62, in an empty table
    fails("ff 8001", DecodeError::InvalidIndex);
    fails("ff ffffffff 07", DecodeError::InvalidIndex);
    for literal in ["7f 00 00", "0f 2f 00", "1f 2f 00"] {
        fails(literal, DecodeError::InvalidIndex); // names 63 and 62
    }
    // One entry: 62 is there, 63 is not.
    let mut receiver = Receiver::new(4096);
    receiver.decode(&unhex("40 01 61 01 62 be")).unwrap();
    assert_eq!(receiver.decode(&[0xbf]), Err(DecodeError::InvalidIndex));
}

#[test]
fn every_static_entry() {
    let mut receiver = Receiver::new(4096);
    let mut names = Vec::new();
    for index in 1..=61_u8 {
        let mut rest = &[0x80 | index][..];
        receiver.decoder.begin();
        let step = receiver.decoder.step(&mut receiver.table, &mut rest, &mut receiver.out).unwrap();
        let Step::Field(field) = step else { panic!("{step:?}") };
        assert_eq!(field.static_name, index);
        let (name, value) = receiver.out.split_at(field.name.into());
        names.push((String::from_utf8_lossy(name).into_owned(), value[..field.value.into()].to_vec()));
    }
    // RFC 7541 Appendix A: its ends, its middle and its only sorted part.
    assert_eq!(names[0], (":authority".into(), vec![]));
    assert_eq!(names[7], (":status".into(), b"200".to_vec()));
    assert_eq!(names[15], ("accept-encoding".into(), b"gzip, deflate".to_vec()));
    assert_eq!(names[31], ("cookie".into(), vec![]));
    assert_eq!(names[60], ("www-authenticate".into(), vec![]));
    assert!(names[19..].is_sorted());
}

#[test]
fn static_names_are_known_through_the_dynamic_table() {
    let mut receiver = Receiver::new(4096);
    receiver.decode(&unhex("58 01 61 40 01 62 01 63")).unwrap(); // cache-control: a, and b: c
    for (wire, static_name) in [("bf", 24), ("be", 0), ("0f 30 01 78", 24), ("0f 2f 01 78", 0)] {
        let wire = unhex(wire);
        receiver.decoder.begin();
        let step =
            receiver.decoder.step(&mut receiver.table, &mut wire.as_slice(), &mut receiver.out).unwrap();
        assert!(matches!(step, Step::Field(field) if field.static_name == static_name), "{step:?}");
    }
}

#[test]
fn blocks_that_end_too_early() {
    // An index, an integer, a name's length, its octets, a value's length, its octets; a size update.
    for wire in [
        "ff",
        "ff 80",
        "40",
        "40 7f",
        "40 02 61",
        "40 01 61",
        "40 01 61 02 62",
        "44",
        "04 82 ff",
        "3f",
        "3f 80",
    ] {
        fails(wire, DecodeError::Truncated);
    }
    // A length far beyond the block.
    fails("44 7f ff ff ff ff 0f", DecodeError::IntegerOverflow);
    fails("44 7f ff ff ff ff 07 61", DecodeError::Truncated);
}

#[test]
fn integers_that_overflow() {
    for wire in ["ff ff ff ff ff ff 01", "ff 80 80 80 80 80 00", "7f ff ff ff ff 1f", "3f ff ff ff ff ff"] {
        fails(wire, DecodeError::IntegerOverflow);
    }
}

#[test]
fn padding_of_huffman_strings() {
    // ":path" and "0" (00000), padded with 3 bits of EOS: right.
    assert_eq!(Receiver::new(4096).decode(&unhex("04 81 07")), Ok(vec![header(":path", "0")]));
    // An empty string with the flag is no error.
    assert_eq!(Receiver::new(4096).decode(&unhex("04 80")), Ok(vec![header(":path", "")]));
    // Padded with zeros, or with one bit wrong.
    for wire in ["04 81 00", "04 81 06", "04 81 03"] {
        let wire = unhex(wire);
        let result = Receiver::new(4096).decode(&wire);
        assert_eq!(result, Err(DecodeError::PaddingNotEos), "{wire:x?}");
    }
    // 8 bits or more of padding, alone or after a symbol; 29 bits.
    for wire in ["04 81 ff", "04 82 07 ff", "04 83 ff ff ff", "04 84 07 ff ff ff"] {
        fails(wire, DecodeError::PaddingTooLong);
    }
    // A code cut in its middle: "&" (11111000), then 8 of the 13 bits of "~" (1111111111101); then "X" (11111100), whole.
    fails("04 82 f8 ff", DecodeError::PaddingTooLong);
    assert_eq!(Receiver::new(4096).decode(&unhex("04 82 f8 fc")), Ok(vec![header(":path", "&X")]));
    fails("04 82 f8 fe", DecodeError::PaddingNotEos);
    // 7 bits of padding are right: "00:" takes 17 bits.
    assert_eq!(Receiver::new(4096).decode(&unhex("04 83 00 2e 7f")), Ok(vec![header(":path", "00:")]));
}

#[test]
fn eos_in_huffman_strings() {
    // EOS is thirty ones: at the beginning, after "0", and with more behind it.
    for wire in
        ["04 84 ff ff ff ff", "04 85 07 ff ff ff ff", "04 88 ff ff ff ff 00 00 00 00", "04 84 ff ff ff fc"]
    {
        fails(wire, DecodeError::EosInString);
    }
}

#[test]
fn errors_in_names_are_seen_as_well() {
    fails("40 81 ff 00", DecodeError::PaddingTooLong);
    fails("00 84 ff ff ff ff 00", DecodeError::EosInString);
}

#[test]
fn size_updates_only_at_the_beginning() {
    let mut receiver = Receiver::new(4096);
    assert_eq!(receiver.decode(&unhex("20 3f e1 1f 82")).map(|fields| fields.len()), Ok(1));
    assert_eq!(receiver.decode(&unhex("82 20")), Err(DecodeError::SizeUpdateMisplaced));
    assert_eq!(Receiver::new(4096).decode(&unhex("20 82 3f e1 1f")), Err(DecodeError::SizeUpdateMisplaced));
}

#[test]
fn size_updates_up_to_the_limit() {
    fails("3f e2 1f", DecodeError::SizeUpdateAboveLimit); // 4097
    assert_eq!(Receiver::new(100).decode(&unhex("3f 45")), Ok(vec![])); // 100
    assert_eq!(Receiver::new(100).decode(&unhex("3f 46")), Err(DecodeError::SizeUpdateAboveLimit));
    assert_eq!(Receiver::new(0).decode(&unhex("20 82")).map(|fields| fields.len()), Ok(1));
    assert_eq!(Receiver::new(0).decode(&unhex("21")), Err(DecodeError::SizeUpdateAboveLimit));
}

#[test]
fn size_updates_evict() {
    let mut receiver = Receiver::new(4096);
    receiver.decode(&unhex("40 01 61 01 31 40 01 62 01 32 40 01 63 01 33")).unwrap(); // 3 entries of 34 octets
    receiver.decode(&unhex("3f 45")).unwrap(); // 100: two of them
    assert_eq!(receiver.table(), [header("c", "3"), header("b", "2")]);
    receiver.decode(&unhex("3f 03")).unwrap(); // 34: one
    assert_eq!(receiver.table(), [header("c", "3")]);
    receiver.decode(&unhex("3f 02")).unwrap(); // 33: none
    assert_eq!(receiver.table(), []);
}

#[test]
fn a_table_begins_with_4096_octets_whatever_its_limit() {
    // RFC 9113 §4.3.1: more has to be asked for by a size update.
    let mut block = Vec::new();
    for i in 0..130_u8 {
        block.extend([0x40, 1, i, 0]); // 33 octets each
    }
    let mut receiver = Receiver::new(65_536);
    receiver.decode(&block).unwrap();
    assert_eq!(receiver.table().len(), 4096 / 33);
    let mut larger = Vec::new();
    integer(&mut larger, 0x20, 5, 65_536);
    larger.extend(block);
    receiver.decode(&larger).unwrap();
    assert_eq!(receiver.table().len(), 4096 / 33 + 130);
}

#[test]
fn a_lowered_limit_must_be_taken_up() {
    let with_table = || {
        let mut receiver = Receiver::new(4096);
        receiver.decode(&unhex("40 01 61 01 31 40 01 62 01 32")).unwrap();
        receiver
    };
    let mut receiver = with_table();
    receiver.decoder.set_limit(50);
    assert_eq!(receiver.decode(&[0x82]), Err(DecodeError::SizeUpdateMissing));
    let mut receiver = with_table();
    receiver.decoder.set_limit(50);
    assert_eq!(receiver.decode(&unhex("3f 13 82")).map(|fields| fields.len()), Ok(1));
    assert_eq!(receiver.table(), [header("b", "2")]);
    // Lowered and raised again between two blocks: the lowest must have been signalled (RFC 7541 §4.2).
    let mut receiver = with_table();
    receiver.decoder.set_limit(0);
    receiver.decoder.set_limit(4096);
    assert_eq!(receiver.decode(&unhex("3f e1 1f 82")), Err(DecodeError::SizeUpdateMissing));
    let mut receiver = with_table();
    receiver.decoder.set_limit(0);
    receiver.decoder.set_limit(4096);
    assert_eq!(receiver.decode(&unhex("20 3f e1 1f 82")).map(|fields| fields.len()), Ok(1));
    assert_eq!(receiver.table(), []);
    // Not below the table's size: nothing is due.
    let mut receiver = with_table();
    receiver.decode(&unhex("3f 45")).unwrap();
    receiver.decoder.set_limit(100);
    assert_eq!(receiver.decode(&[0x82]).map(|fields| fields.len()), Ok(1));
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut receiver = Receiver::new(64);
    receiver.decode(&unhex("40 01 61 01 31")).unwrap();
    let mut block = vec![0x40];
    plain(&mut block, b"name");
    plain(&mut block, &[b'v'; 29]);
    assert_eq!(receiver.decode(&block), Ok(vec![(b"name".to_vec(), vec![b'v'; 29])])); // 65 octets: no error
    assert_eq!(receiver.table(), []);
    // One octet less fits exactly.
    let mut block = vec![0x40];
    plain(&mut block, b"nam");
    plain(&mut block, &[b'v'; 29]);
    receiver.decode(&block).unwrap();
    assert_eq!(receiver.table().len(), 1);
}

#[test]
fn the_name_of_an_entry_that_is_evicted_for_the_new_one() {
    // RFC 7541 §4.4. The table takes one entry; the next has its name and pushes it out.
    for out in [1 << 16, 8, 0] {
        let mut receiver = Receiver::new(80);
        receiver.decode(&unhex("40 04 6e616d65 03 6f6e65")).unwrap(); // name: one
        let wire = unhex("7e 0a 74776f74776f74776f74"); // name of 62: twotwotwot
        let mut rest = wire.as_slice();
        let step = receiver.decoder.step(&mut receiver.table, &mut rest, &mut vec![0; out]).unwrap();
        assert_eq!(matches!(step, Step::TooLarge { size: 14 }), out < 14, "{step:?}");
        assert_eq!(receiver.table(), [header("name", "twotwotwot")]);
    }
}

/// Decodes with an `out` of `room` octets; what fits, and the sizes of what does not.
fn decode_in(receiver: &mut Receiver, room: usize, block: &[u8]) -> Vec<Result<Header, usize>> {
    let mut out = vec![0; room];
    let mut rest = block;
    let mut steps = Vec::new();
    receiver.decoder.begin();
    loop {
        match receiver.decoder.step(&mut receiver.table, &mut rest, &mut out).unwrap() {
            Step::End => return steps,
            Step::TooLarge { size } => steps.push(Err(size)),
            Step::Field(field) => {
                let (name, value) = out.split_at(field.name.into());
                steps.push(Ok((name.to_vec(), value[..field.value.into()].to_vec())));
            }
        }
    }
}

#[test]
fn too_large_for_the_caller_and_still_in_step() {
    // Every kind of field, Huffman-coded and not; the blocks of RFC 7541 C.6 are among them.
    let block = unhex(
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 \
         63c7 8f0b 97c8 e9ae 82ae 43d3 4883 640e ffc1 c0bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 \
         6c75 65 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf 0f 2f 83 640eff 1f 2f 83 640eff 82 84",
    );
    let mut whole = Receiver::new(4096);
    let fields = whole.decode(&block).unwrap();
    let table = whole.table();
    for room in 0..64 {
        let mut receiver = Receiver::new(4096);
        let steps = decode_in(&mut receiver, room, &block);
        for (step, field) in steps.iter().zip(&fields) {
            let size = field.0.len() + field.1.len();
            assert_eq!(*step, if size <= room { Ok(field.clone()) } else { Err(size) });
        }
        assert_eq!(steps.len(), fields.len());
        assert_eq!(receiver.table(), table);
    }
    // Errors are found in what is too large, too.
    for (wire, error) in [
        ("40 81 ff 00", DecodeError::PaddingTooLong),
        ("40 01 61 84 ff ff ff ff", DecodeError::EosInString),
        ("40 01 61 05", DecodeError::Truncated),
    ] {
        let wire = unhex(wire);
        let mut receiver = Receiver::new(4096);
        assert_eq!(receiver.decoder.step(&mut receiver.table, &mut wire.as_slice(), &mut []), Err(error));
    }
}

#[test]
fn names_and_values_of_more_than_65535_octets() {
    let limit = 1 << 18;
    let mut table = vec![0; limit];
    let mut out = vec![0; limit];
    let mut decoder = Decoder::new(limit as u32);
    let mut block = Vec::new();
    integer(&mut block, 0x20, 5, limit as u32);
    block.push(0x40);
    plain(&mut block, b"large");
    plain(&mut block, &vec![b'v'; 65_536]);
    block.push(0xbe); // the entry itself
    block.extend([0x7e, 1, b'w']); // its name, another value
    block.extend([0x40]);
    plain(&mut block, &vec![b'n'; 65_535]);
    plain(&mut block, b"");
    let mut rest = block.as_slice();
    let mut steps = || decoder.step(&mut table, &mut rest, &mut out).unwrap();
    assert_eq!(steps(), Step::TooLarge { size: 65_541 });
    assert_eq!(steps(), Step::TooLarge { size: 65_541 });
    assert!(matches!(steps(), Step::Field(field) if (field.name, field.value) == (5, 1)));
    assert!(matches!(steps(), Step::Field(field) if (field.name, field.value) == (65_535, 0)));
    assert_eq!(steps(), Step::End);
}

#[test]
fn a_table_smaller_than_its_limit_is_no_panic() {
    for storage in [0, 1, 31, 33, 40, 100] {
        let mut decoder = Decoder::new(4096);
        let mut table = vec![0; storage];
        let mut out = [0; 256];
        for i in 0..200_u8 {
            let block = [0x40, 2, b'a', i, 3, i, i, i, 0xbe];
            let mut rest = &block[..];
            assert!(matches!(decoder.step(&mut table, &mut rest, &mut out), Ok(Step::Field(_))));
            let fits = storage >= 37;
            assert_eq!(decoder.step(&mut table, &mut rest, &mut out).is_ok(), fits);
        }
    }
}

#[test]
fn errors_name_the_section() {
    for error in [
        DecodeError::Truncated,
        DecodeError::IntegerOverflow,
        DecodeError::InvalidIndex,
        DecodeError::PaddingTooLong,
        DecodeError::PaddingNotEos,
        DecodeError::EosInString,
        DecodeError::SizeUpdateMisplaced,
        DecodeError::SizeUpdateAboveLimit,
        DecodeError::SizeUpdateMissing,
    ] {
        assert!(error.to_string().contains("RFC 7541 §"), "{error}");
    }
}
