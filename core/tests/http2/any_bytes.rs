//! Whatever comes in: no panic, no stall, and the same at every split.

use super::support::*;
use grpclb_core::frame::{Head, Kind};
use grpclb_core::http2::{Config, StreamKey};
use proptest::prelude::*;

/// Frames that are likely to be nearly right.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop_oneof![Just(0_u32), Just(1), Just(2), Just(3), Just(5), 0_u32..40, any::<u32>()];
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(block(&GET)),
        Just(block(&OK)),
        Just(block(&[("a", "b")])),
        Just(vec![0; 4]),
        Just(vec![0, 0, 0, 9]),
        Just(vec![0; 8]),
        Just(vec![0, 3, 0, 0, 0, 1]),
    ];
    let cut = prop_oneof![9 => Just(0_u32), 1 => 0_u32..20];
    (0_u8..11, prop_oneof![Just(0_u8), Just(4), Just(5), Just(1), any::<u8>()], stream, payload, cut)
        .prop_map(|(kind, flags, stream, payload, cut)| {
            let length = (payload.len() as u32).saturating_add(cut);
            let mut wire = Head { length, kind: Kind(kind), flags, stream }.to_wire().to_vec();
            wire.extend(payload);
            wire
        })
}

/// What becomes of `wire`: the events, the error, and all that is transmitted at the end.
fn outcome(mut conn: Conn, wire: &[u8], step: usize) -> (Vec<Told>, Option<&'static str>, Vec<u8>) {
    let mut all = Vec::new();
    let mut failed = None;
    for part in wire.chunks(step) {
        match feed(&mut conn, part, step) {
            Ok(told) => all.extend(told),
            Err(error) => {
                failed = Some(error.reason);
                break;
            }
        }
    }
    let out = take(&mut conn);
    (all, failed, out)
}

/// DATA arrives in other pieces at other splits.
fn join_data(told: Vec<Told>) -> Vec<Told> {
    let mut all: Vec<Told> = Vec::new();
    for event in told {
        match (all.last_mut(), event) {
            (
                Some(Told::Data { stream: a, bytes, end: end @ false }),
                Told::Data { stream: b, bytes: more, end: last },
            ) if *a == b => {
                bytes.extend(more);
                *end = last;
            }
            (_, event) => all.push(event),
        }
    }
    all
}

fn with_streams(server: bool) -> Conn {
    if server {
        let mut conn = server_ready();
        feed(&mut conn, &headers(1, &POST, false), usize::MAX).unwrap();
        conn
    } else {
        let mut conn = client_ready();
        opened(&mut conn, false);
        opened(&mut conn, true);
        conn
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_frames(server in any::<bool>(), wire in prop::collection::vec(any_frame(), 1..12), step in 1_usize..30) {
        let wire = wire.concat();
        let (told, failed, out) = outcome(with_streams(server), &wire, usize::MAX);
        let (told_split, failed_split, out_split) = outcome(with_streams(server), &wire, step);
        let told = join_data(told);
        let told_split = join_data(told_split);
        if failed.is_some() && told != told_split {
            // A frame that fails before it is whole fails earlier, never with other events.
            let n = told.len().min(told_split.len());
            prop_assert_eq!(&told[..n], &told_split[..n]);
        } else {
            prop_assert_eq!(told, told_split);
        }
        prop_assert_eq!(failed, failed_split);
        prop_assert_eq!(frames(&out), frames(&out_split));
    }

    #[test]
    fn random_octets(server in any::<bool>(), wire in prop::collection::vec(any::<u8>(), 0..200)) {
        for conn in [with_streams(server), if server { self::server() } else { self::client() }] {
            let (_, _, out) = outcome(conn, &wire, 7);
            frames(&out);
        }
    }

    /// Small memory of every kind, random commands in between: still whole frames, still no panic.
    #[test]
    fn random_commands_in_little_memory(
        streams in 1_usize..4,
        table in prop_oneof![Just(0_usize), Just(64), Just(4_096)],
        arena in 64_usize..600,
        outbox in 64_usize..600,
        steps in prop::collection::vec((0_u8..9, any_frame(), 0_usize..700), 1..40),
    ) {
        let config = Config { stream_window: 1_000, ..Config::server() };
        let mut conn = Conn::new(Memory::new(streams, table, arena, outbox), &config, NOW);
        let mut out = Vec::new();
        let hello = [MAGIC, &settings(&[]), &settings_ack()].concat();
        let mut alive = feed(&mut conn, &hello, usize::MAX).is_ok();
        for (what, wire, n) in steps {
            let stream = StreamKey { id: 1 + 2 * (n as u32 % 5), slot: n as u16 % 4 };
            match what {
                0..=3 if alive => alive = feed(&mut conn, &wire, usize::MAX).is_ok(),
                4 => _ = conn.send_headers(stream, list(&OK), n % 3 == 0),
                5 => _ = conn.send_data(stream, &vec![0; n], n % 2 == 0),
                6 => conn.release(stream, n),
                7 => conn.reset(stream, grpclb_core::error::ErrorCode::CANCEL),
                _ => {
                    let lent = conn.transmit(NOW);
                    let part = lent[..lent.len().min(n)].to_vec();
                    conn.transmitted(part.len());
                    out.extend(part);
                }
            }
            polled(&mut conn);
        }
        out.extend(take(&mut conn));
        frames(&out);
    }
}
