//! `recv_batch` and `recv` are the same machine.

use crate::heap::{Heap, Sizes};
use crate::raw::{Raw, list};
use crate::raw_server::GOOD;
use grpclb_core::call::{CallHead, Config, Connection, End, Event};
use grpclb_core::grpc::message;
use grpclb_core::time::{Duration, Instant};
use proptest::prelude::*;

fn connection(server: bool, arena: usize) -> Connection<Heap> {
    let config = if server { Config::server() } else { Config::client() };
    Connection::new(Heap::new(Sizes { arena, ..Sizes::USUAL }), &config, Instant::default())
}

/// What a client with several calls sends, before it has heard anything.
fn requests() -> Vec<u8> {
    let now = Instant::default();
    let mut client = connection(false, 16_384);
    for i in 0..8u8 {
        let name = format!("name-{i}");
        let metadata: &[(&[u8], &[u8])] = &[(name.as_bytes(), b"value"), (b"raw-bin", &[i; 40])];
        let timeout = Some(Duration::from_secs(u64::from(i) + 1));
        let head = CallHead { path: b"/a.B/C", authority: b"host", metadata, timeout, ..CallHead::default() };
        let call = client.start_call(now, &head).unwrap();
        client.send_message(call, &[i; 30], End::More).unwrap();
        client.send_message(call, &[], End::More).unwrap();
        client.send_message(call, &[i; 3], if i % 2 == 0 { End::Last } else { End::More }).unwrap();
    }
    client.transmit(now).to_vec()
}

/// Eight requests with three messages each in one DATA frame; half of them end there.
fn frames_of_three() -> Vec<u8> {
    let mut client = Raw::new(false);
    for i in 0..8u8 {
        client.seen.stream = Some(client.connection.open(Instant::default(), list(GOOD), false).unwrap());
        let mut data = Vec::new();
        for message in [&[i; 30][..], &[], &[i; 3]] {
            data.extend(message::prefix(message.len() as u32, false));
            data.extend(message);
        }
        client.data(&data, i % 2 == 0);
    }
    client.transmit()
}

proptest! {
    #[test]
    fn a_batch_tells_what_single_events_tell(
        piece in 1usize..600,
        // From just two header lists to all of them.
        arena in 2_000usize..8_000,
        stop in 1usize..6,
    ) {
        let (now, bytes) = (Instant::default(), requests());
        let mut single = connection(true, arena);
        let mut expected = Vec::new();
        for mut input in bytes.chunks(piece) {
            while let Some(event) = single.recv(now, &mut input).unwrap() {
                expected.push(format!("{event:?}"));
            }
        }
        prop_assert!(expected.len() > 8 * 3);

        let mut batch = connection(true, arena);
        let mut got = Vec::new();
        for chunk in bytes.chunks(piece) {
            let mut input = chunk;
            loop {
                let (mut tokens, mut taken) = (Vec::new(), 0);
                let before = input.len();
                batch.recv_batch(now, &mut input, |token, so_far| {
                    assert!(taken <= so_far && so_far <= before);
                    taken = so_far;
                    tokens.push(token);
                    tokens.len() < stop
                }).unwrap();
                // All tokens of the batch can still be read.
                got.extend(tokens.iter().map(|token| format!("{:?}", batch.event(*token))));
                if input.is_empty() && tokens.len() < stop {
                    break;
                }
                prop_assert!(!tokens.is_empty() || input.len() < before, "no progress");
            }
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn what_is_left_may_come_in_other_pieces(lens in prop::collection::vec(1usize..90, 1..40)) {
        let (now, bytes) = (Instant::default(), frames_of_three());
        let mut server = connection(true, 16_384);
        let (mut at, mut lens) = (0, lens.iter().cycle());
        let (mut messages, mut open, mut ends) = (Vec::new(), Vec::<u8>::new(), 0);
        while at < bytes.len() {
            // Another slice at each call, whether the last one was used up or not.
            let end = bytes.len().min(at + lens.next().unwrap());
            let mut input = &bytes[at..end];
            match server.recv(now, &mut input).unwrap() {
                Some(Event::Message { piece, end, .. }) => {
                    prop_assert_eq!(piece.offset as usize, open.len());
                    open.extend(piece.bytes);
                    if piece.is_last() {
                        messages.push(std::mem::take(&mut open));
                    }
                    ends += usize::from(end);
                }
                Some(Event::End { .. }) => ends += 1,
                Some(_) => {}
                None => prop_assert!(input.is_empty()),
            }
            at = end - input.len();
        }
        while let Some(event) = server.recv(now, &mut &[][..]).unwrap() {
            ends += usize::from(matches!(event, Event::End { .. }));
        }
        let expected: Vec<_> = (0..8u8).flat_map(|i| [vec![i; 30], vec![], vec![i; 3]]).collect();
        prop_assert_eq!(messages, expected);
        prop_assert_eq!(ends, 4);
    }
}
