//! `recv_batch` and `recv` are the same machine.

use crate::heap::{Heap, Sizes};
use grpclb_core::call::{CallHead, Config, Connection, End};
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
        client.send_message(call, &[], if i % 2 == 0 { End::Last } else { End::More }).unwrap();
    }
    client.transmit(now).to_vec()
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
}
