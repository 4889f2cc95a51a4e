//! Tokens in batches: the fields of all of them stay in the arena until it is cleared.

use super::support::*;
use grpclb_core::frame::{Kind, flags};
use grpclb_core::http2::{Config, Engine, Fields, Span, State, Storage, Token};

/// Batches of header lists as they are after each batch's end, and how many batches there were.
fn batches(memory: &mut Memory, wire: &[u8], step: usize) -> (Vec<Vec<(String, String)>>, usize) {
    let mut state = State::new(&Config::server(), NOW);
    let (mut lists, mut count) = (Vec::new(), 0);
    for mut input in wire.chunks(step) {
        loop {
            let before = input.len();
            let mut spans: Vec<Span> = Vec::new();
            loop {
                let mut engine = Engine { state: &mut state, parts: memory.parts() };
                match engine.recv(NOW, &mut input).unwrap() {
                    Some(Token::Headers { fields, .. }) => spans.push(fields),
                    Some(_) => {}
                    None => break,
                }
            }
            for span in &spans {
                let octets = &memory.arena[span.at as usize..][..span.len as usize];
                let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
                lists.push(Fields::new(octets).map(|(name, value)| (text(name), text(value))).collect());
            }
            count += usize::from(!spans.is_empty());
            state.arena_clear();
            if input.is_empty() {
                break;
            }
            assert!(!spans.is_empty() || input.len() < before, "recv stalls");
        }
    }
    (lists, count)
}

fn path(i: usize) -> String {
    format!("/{i:0>width$}", width = 1 + i % 90)
}

/// Requests, each third in fragments.
fn requests(n: usize) -> Vec<u8> {
    let mut wire = [MAGIC, &settings(&[]), &settings_ack()].concat();
    for i in 0..n {
        let (id, path) = (1 + 2 * i as u32, path(i));
        let fields = [GET[0], GET[1], (":path", &path[..])];
        if i % 3 < 2 {
            wire.extend(headers(id, &fields, true));
        } else {
            let all = block(&fields);
            wire.extend(frame(Kind::HEADERS, flags::END_STREAM, id, &[]));
            wire.extend(frame(Kind::CONTINUATION, 0, id, &all[..9]));
            wire.extend(frame(Kind::CONTINUATION, 0, id, &[]));
            wire.extend(frame(Kind::CONTINUATION, 0, id, &all[9..]));
            wire.extend(frame(Kind::CONTINUATION, flags::END_HEADERS, id, &[]));
        }
    }
    wire
}

#[test]
fn fields_stay_until_the_arena_is_cleared() {
    let wire = requests(200);
    for arena in [700, 1_024, 3_000, 100_000] {
        for step in [1, 7, 64, 1_000, usize::MAX] {
            let mut memory = Memory::new(200, 4_096, arena, 8_192);
            let (lists, count) = batches(&mut memory, &wire, step);
            assert_eq!(lists.len(), 200, "{arena} {step}");
            for (i, list) in lists.iter().enumerate() {
                assert_eq!(list[2], (":path".to_owned(), path(i)), "{arena} {step}");
            }
            assert!(step < 1_000 || count < 150, "lists lie side by side: {count} batches");
        }
    }
}

#[test]
fn a_block_of_nothing_is_not_what_lies_in_the_arena() {
    let mut wire = requests(1);
    wire.extend(frame(Kind::HEADERS, flags::END_STREAM, 3, &[]));
    wire.extend(frame(Kind::CONTINUATION, flags::END_HEADERS, 3, &[]));
    wire.extend(headers(5, &GET, true));
    let (lists, _) = batches(&mut Memory::default(), &wire, usize::MAX);
    assert_eq!(lists.len(), 2, "a request without fields is malformed");
}
