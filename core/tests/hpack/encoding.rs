//! Which representation an encoder chooses, size updates, and that it finds its entries again.

use super::{Header, Receiver, Sender, header};
use grpclb_core::bytes::Writer;
use grpclb_core::hpack::{Encoder, Field, Indexing};

/// First octets of the blocks of one field each.
fn kinds(sender: &mut Sender, fields: &[(&str, &str, Indexing)]) -> Vec<u8> {
    fields.iter().map(|(name, value, indexing)| sender.encode(&[header(name, value)], *indexing)[0]).collect()
}

#[test]
fn representations() {
    use Indexing::{ByName, Incremental, Never, Without};
    let mut sender = Sender::new(4096);
    let fields = [
        (":method", "GET", Incremental, 0x82),
        (":method", "POST", Without, 0x83),
        (":status", "500", ByName, 0x8e),
        (":status", "501", Incremental, 0x48), // name 8, added
        (":status", "501", Without, 0xbe),     // 62
        ("x", "1", Without, 0x00),
        ("x", "1", Incremental, 0x40),
        ("x", "1", Incremental, 0xbe),
        ("x", "2", Incremental, 0x7e), // name 62
        ("x", "3", Without, 0x0f),     // name 62
        ("x", "1", Incremental, 0xbf),
        ("x", "1", Never, 0x1f), // a literal although the table has it
        ("y", "1", Never, 0x10),
        (":method", "GET", Never, 0x12),
        ("accept-encoding", "gzip, deflate", ByName, 0x90),
        (":authority", "", ByName, 0x81),
    ];
    for (name, value, indexing, first) in fields {
        assert_eq!(kinds(&mut sender, &[(name, value, indexing)]), [first], "{name}: {value}");
    }
}

#[test]
fn by_name() {
    let first = |name, value| kinds(&mut Sender::new(4096), &[(name, value, Indexing::ByName)])[0] & 0xf0;
    for name in ["authorization", "proxy-authorization", "cookie"] {
        assert_eq!(first(name, "short"), 0x10, "{name}");
    }
    assert_eq!(first("cookie", "long enough not to be guessed"), 0x60);
    let seldom_twice = [
        ":path",
        "age",
        "content-length",
        "etag",
        "if-modified-since",
        "if-none-match",
        "location",
        "set-cookie",
    ];
    for name in seldom_twice {
        assert_eq!(first(name, "17"), 0x00, "{name}");
    }
    for name in ["user-agent", "content-type", ":authority", "grpc-timeout", "x"] {
        assert_eq!(first(name, "17") & 0xc0, 0x40, "{name}");
    }
}

#[test]
fn huffman_only_when_shorter() {
    let mut sender = Sender::new(4096);
    // "307" takes three octets both ways; octets above 127 take more than eight bits each.
    assert_eq!(sender.encode(&[header(":status", "307")], Indexing::Without), b"\x08\x03307");
    assert_eq!(sender.encode(&[header(":status", "302")], Indexing::Without), b"\x08\x82\x64\x02");
    let block = sender.encode(&[(b"x".to_vec(), vec![0xff; 5])], Indexing::Without);
    assert_eq!(block, b"\x00\x01x\x05\xff\xff\xff\xff\xff");
}

/// Around 128 octets, where lengths begin to take two octets: as long, and shorter, when Huffman-coded.
#[test]
fn strings_around_128_octets() {
    let mut sender = Sender::new(4096);
    let mut receiver = Receiver::new(4096);
    for n in 100..300 {
        let as_long = "X".repeat(n); // 8 bits each
        let wire = sender.encode(&[header("x", &as_long)], Indexing::Without);
        assert!(wire.ends_with(as_long.as_bytes()), "spelt out");
        assert_eq!(receiver.decode(&wire), Ok(vec![header("x", &as_long)]));
        for zeros in [8, 16, 40] {
            let shorter = as_long.clone() + &"0".repeat(zeros); // 5 bits each
            let wire = sender.encode(&[header("x", &shorter)], Indexing::Without);
            let length = n + zeros / 8 * 5;
            assert_eq!(
                wire.len(),
                3 + if length < 127 { 1 } else { 2 + usize::from(length >= 127 + 128) } + length
            );
            assert_eq!(receiver.decode(&wire), Ok(vec![header("x", &shorter)]));
        }
    }
}

#[test]
fn every_octet_in_names_and_values() {
    let all: Vec<u8> = (0..=255).collect();
    let mut sender = Sender::new(4096);
    let mut receiver = Receiver::new(4096);
    for n in [0, 1, 2, 3, 4, 5, 7, 8, 9, 126, 127, 128, 129, 256] {
        let headers = vec![(all[..n].to_vec(), all[256 - n..].to_vec()), (vec![b'0'; n], vec![b'a'; 2 * n])];
        for indexing in [Indexing::Incremental, Indexing::Without, Indexing::Never] {
            let wire = sender.encode(&headers, indexing);
            assert_eq!(receiver.decode(&wire), Ok(headers.clone()));
        }
    }
}

/// The octets of the size updates that `begin` writes.
fn updates(sender: &mut Sender) -> Vec<u8> {
    sender.encode(&[], Indexing::Without)
}

#[test]
fn size_updates() {
    let mut sender = Sender::new(4096);
    assert_eq!(updates(&mut sender), []);
    sender.encoder.set_peer_limit(4096);
    assert_eq!(updates(&mut sender), [], "nothing changed");
    sender.encoder.set_peer_limit(65_536);
    assert_eq!(updates(&mut sender), [], "the capacity stays");
    sender.encoder.set_peer_limit(100);
    assert_eq!(updates(&mut sender), [0x3f, 69]);
    assert_eq!(updates(&mut sender), []);
    // RFC 7541 §4.2: of several changes the smallest and the final one.
    for limit in [50, 0, 30, 4096, 200] {
        sender.encoder.set_peer_limit(limit);
    }
    assert_eq!(updates(&mut sender), [0x20, 0x3f, 0xa9, 0x01]);
    // Raised, lowered not below what there was.
    for limit in [1000, 300] {
        sender.encoder.set_peer_limit(limit);
    }
    assert_eq!(updates(&mut sender), [0x3f, 0x8d, 0x02]);
    // A smaller capacity than the protocol's 4 096 octets is told first of all.
    assert_eq!(updates(&mut Sender::new(31)), [0x3f, 0]);
    assert_eq!(updates(&mut Sender::new(0)), [0x20]);
    // A larger one as soon as the peer allows it.
    let mut sender = Sender::new(10_000);
    assert_eq!(updates(&mut sender), []);
    sender.encoder.set_peer_limit(u32::MAX);
    assert_eq!(updates(&mut sender), [0x3f, 0xf1, 0x4d]);
}

#[test]
fn begin_writes_no_more_than_its_bound() {
    let capacity = (1 << 24) - 1;
    let mut sender = Sender::new(capacity);
    sender.encoder.set_peer_limit(1 << 20);
    sender.encoder.set_peer_limit(u32::MAX);
    let mut buffer = [0; Encoder::BEGIN_BOUND];
    let mut out = Writer::new(&mut buffer);
    sender.encoder.begin(&mut sender.table, &mut out);
    assert!(out.finish().is_some());
}

#[test]
fn a_smaller_storage_than_the_capacity_counts() {
    let mut sender = Sender { encoder: Encoder::new(4096), table: vec![0; 100] };
    assert_eq!(updates(&mut sender), [0x3f, 69]);
}

#[test]
fn no_table_no_entries() {
    let mut sender = Sender::new(4096);
    let mut receiver = Receiver::new(4096);
    sender.encoder.set_peer_limit(0);
    for _ in 0..3 {
        let wire = sender.encode(&[header("a", "b")], Indexing::Incremental);
        assert_eq!(wire.last_chunk(), Some(b"\x00\x01a\x01b"));
        assert_eq!(receiver.decode(&wire), Ok(vec![header("a", "b")]));
    }
    assert_eq!(receiver.table(), []);
}

#[test]
fn what_takes_most_of_the_table_is_not_added() {
    let mut sender = Sender::new(400);
    updates(&mut sender);
    let value = |n: usize| "v".repeat(n);
    assert_eq!(sender.encode(&[header("n", &value(267))], Indexing::Incremental)[0], 0x40); // 300 of 400
    assert_eq!(sender.encode(&[header("n", &value(268))], Indexing::Incremental)[0] & 0xf0, 0x00);
}

/// Every field that the table holds is found, and none that it does not: after many entries, evictions and the wrap
/// of the entries' numbers at 2^16.
#[test]
fn finds_what_the_table_holds() {
    for capacity in [128, 1000, 4096] {
        let mut sender = Sender::new(capacity);
        let mut receiver = Receiver::new(4096);
        let mut state = 1_u64;
        let mut hits = 0;
        for i in 0..70_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = (state >> 33) as u32;
            let name = ["accept", "x", "x-request-id", "content-type", "cache-control"][(pick % 5) as usize];
            let value = if pick & 0x700 == 0 { (pick >> 12) % 30_000 } else { (pick >> 12) % 10 };
            let field: Header = header(name, &value.to_string());
            let known = (i % 64 == 0).then(|| receiver.table().contains(&field));
            let wire = sender.encode(std::slice::from_ref(&field), Indexing::Incremental);
            let indexed = wire[0] & 0x80 != 0;
            if let Some(known) = known {
                assert_eq!(indexed, known, "{field:?} in a table of {capacity}, field {i}");
            }
            hits += u32::from(indexed);
            assert_eq!(receiver.decode(&wire), Ok(vec![field]));
        }
        assert!(hits > 1000);
    }
}

#[test]
fn bound_holds() {
    for (name, value) in [(0, 0), (1, 1), (127, 127), (128, 40_000), (300, 2)] {
        let (name, value) = (vec![0xf8; name], vec![0xf8; value]); // 28 bits each when Huffman-coded
        let mut buffer = vec![0; Encoder::bound(name.len(), value.len())];
        let mut out = Writer::new(&mut buffer);
        let mut table = [0; 4096];
        let field = Field { name: &name, value: &value, indexing: Indexing::Never };
        Encoder::new(4096).encode(&mut table, &field, &mut out);
        assert!(out.finish().is_some());
    }
}
