//! Sending: header blocks in pieces, fairness, all or nothing, and what has left.

use super::support::*;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Kind, flags};
use grpclb_core::http2::{Config, HeadersKind, OpenError, StreamError, StreamKey};

#[test]
fn header_blocks_above_the_peers_frame_size_become_continuations() {
    let text = |i: usize| {
        (0..300)
            .map(|j| (i * 7_919 + j * j * 31) % 90_000 + 10_000)
            .fold(String::new(), |all, n| all + &n.to_string())
    };
    let long: Vec<String> = (0..40).map(text).collect();
    let fields: Vec<(&str, &str)> =
        POST.iter().copied().chain(long.iter().map(|value| ("long", &value[..]))).collect();
    let mut client = client_with(Memory::new(4, 0, 16_384, 100_000), &Config::client(), &[]);
    client.open(NOW, list(&fields), true).unwrap();
    let wire = take(&mut client);
    let out = frames(&wire);
    assert!(out.len() >= 3, "one after the other moves up: {}", out.len());
    for (i, (head, _)) in out.iter().enumerate() {
        let last = i + 1 == out.len();
        assert_eq!(head.kind, if i == 0 { Kind::HEADERS } else { Kind::CONTINUATION });
        assert_eq!((head.has(flags::END_HEADERS), i == 0 && head.has(flags::END_STREAM)), (last, i == 0));
        assert!(if last { head.length <= 16_384 } else { head.length == 16_384 });
    }
    let config = Config { max_header_list_size: 100_000, ..Config::server() };
    for step in [1, 5_000, usize::MAX] {
        let mut server = server_with(Memory::new(4, 4_096, 200_000, 8_192), &config);
        let told = feed(&mut server, &wire, step).unwrap();
        let [Told::Headers { kind: HeadersKind::Request, fields: got, .. }] = &told[..] else {
            panic!("{told:?}")
        };
        let got: Vec<_> = got.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        assert_eq!(got, fields);
    }
}

#[test]
fn a_block_of_exactly_the_frame_size_is_one_frame() {
    for extra in 0..4 {
        let value = "~".repeat(120);
        let mut client = client_with(Memory::new(4, 0, 16_384, 100_000), &Config::client(), &[]);
        // "~" takes 13 bits Huffman-coded, so it stays as it is: 1 + 1 + 1 + 1 + 120 octets a field, after an octet
        // that says that there is no table.
        let count = 16_384 / 124;
        let mut fields = vec![("a", &value[..]); count - 1];
        let rest = "~".repeat(16_384 - (count - 1) * 124 - 6 + extra);
        assert!(rest.len() >= 127, "a length of two octets");
        fields.push(("a", &rest));
        client.open(NOW, list(&fields), true).unwrap();
        let lengths: Vec<_> = frames(&take(&mut client)).iter().map(|(head, _)| head.length).collect();
        assert_eq!(lengths.iter().sum::<u32>() as usize, 16_384 + extra);
        assert_eq!(lengths.len(), lengths.iter().sum::<u32>().div_ceil(16_384) as usize);
    }
}

#[test]
fn what_does_not_fit_now_is_blocked_and_what_never_fits_too_large() {
    let mut client = client_with(Memory::new(4, 4_096, 4_096, 400), &Config::client(), &[]);
    let long = "x".repeat(400);
    assert_eq!(client.open(NOW, list(&[("a", &long)]), true), Err(OpenError::TooLarge));
    let mut opened = 0;
    while client.open(NOW, list(&POST), false).is_ok() {
        opened += 1;
    }
    assert!((1..=4).contains(&opened));
    let mut client = client_with(Memory::new(4, 4_096, 4_096, 300), &Config::client(), &[]);
    let stream = super::support::opened(&mut client, false);
    assert_eq!(client.send_headers(stream, list(&[("a", &long)]), true), Err(StreamError::TooLarge));
    assert_eq!(client.send_data(stream, &[0; 1_000], false), Ok(291));
    assert_eq!(client.send_headers(stream, list(&[("a", "b")]), true), Err(StreamError::Blocked));
    assert_eq!(client.open(NOW, list(&POST), false), Err(OpenError::Blocked));
    assert_eq!(polled(&mut client), []);
    take(&mut client);
    assert_eq!(polled(&mut client), [Told::Writable { stream: 1 }, Told::Openable]);
    client.send_headers(stream, list(&[("a", "b")]), true).unwrap();
    assert_eq!(client.open(NOW, list(&POST), false).unwrap().id, 3, "no id was spent in vain");
}

#[test]
fn streams_take_turns() {
    let mut client = client_with(Memory::new(8, 4_096, 4_096, 500), &Config::client(), &[]);
    let streams: Vec<StreamKey> = (0..5).map(|_| opened(&mut client, false)).collect();
    for stream in &streams {
        _ = client.send_data(*stream, &[0; 10_000], false);
    }
    let mut order = Vec::new();
    for _ in 0..20 {
        take(&mut client);
        for event in polled(&mut client) {
            let Told::Writable { stream } = event else { panic!("{event:?}") };
            order.push(stream);
            _ = client.send_data(streams[stream as usize / 2], &[0; 10_000], false);
        }
    }
    let count = |id| order.iter().filter(|stream| **stream == id).count();
    assert!([1, 3, 5, 7, 9].iter().all(|id| count(*id) == order.len() / 5), "{order:?}");
}

#[test]
fn a_stream_that_ends_leaves_the_queue() {
    let mut client = client_with(Memory::new(8, 4_096, 4_096, 500), &Config::client(), &[]);
    let streams: Vec<StreamKey> = (0..3).map(|_| opened(&mut client, false)).collect();
    for stream in &streams {
        _ = client.send_data(*stream, &[0; 10_000], false);
    }
    feed(&mut client, &rst_stream(3, ErrorCode::CANCEL), usize::MAX).unwrap();
    client.reset(streams[0], ErrorCode::CANCEL);
    take(&mut client);
    assert_eq!(polled(&mut client), [Told::Writable { stream: 5 }]);
}

#[test]
fn data_is_cut_to_the_window_and_ends_once() {
    let mut client = client_with(Memory::default(), &Config::client(), &[(4, 3)]);
    let stream = opened(&mut client, false);
    assert_eq!(client.send_data(stream, b"hello", true), Ok(3));
    assert_eq!(take(&mut client), data(1, b"hel", false));
    feed(&mut client, &window_update(1, 100), usize::MAX).unwrap();
    assert_eq!(polled(&mut client), [Told::Writable { stream: 1 }]);
    assert_eq!(client.send_data(stream, b"lo", true), Ok(2));
    assert_eq!(take(&mut client), data(1, b"lo", true));
    assert_eq!(client.send_data(stream, b"", true), Err(StreamError::Closed));
}

#[test]
fn nothing_is_sent_after_our_reset() {
    let mut client = client_ready();
    let stream = opened(&mut client, false);
    client.reset(stream, ErrorCode::CANCEL);
    assert_eq!(client.send_data(stream, b"x", false), Err(StreamError::Closed));
    client.reset(stream, ErrorCode::INTERNAL_ERROR);
    assert_eq!(take(&mut client), rst_stream(1, ErrorCode::CANCEL));
}

#[test]
fn control_frames_come_through_however_much_is_sent() {
    // A sender that fills the outbox whenever there is room must not keep PINGs from being answered.
    let mut client = client_with(Memory::new(4, 4_096, 4_096, 400), &Config::client(), &[(4, 1 << 20)]);
    let stream = opened(&mut client, false);
    feed(&mut client, &window_update(0, 1 << 20), usize::MAX).unwrap();
    _ = client.send_data(stream, &[0; 1_000], false);
    feed(&mut client, &frame(Kind::PING, 0, 0, b"answered"), usize::MAX).unwrap();
    let mut out = Vec::new();
    for _ in 0..4 {
        let bytes = client.transmit(NOW).to_vec();
        client.transmitted(bytes.len());
        out.extend(bytes);
        _ = client.send_data(stream, &[0; 1_000], false);
    }
    assert!(frames(&out).iter().any(|(head, _)| head.kind == Kind::PING));
}

#[test]
fn a_stream_that_got_its_window_back_takes_its_turn_among_those_that_wait_for_room() {
    let mut client = client_with(Memory::new(8, 4_096, 4_096, 500), &Config::client(), &[]);
    feed(&mut client, &window_update(0, 1 << 20), usize::MAX).unwrap();
    let late = opened(&mut client, false);
    let mut left = 65_535;
    while left > 0 {
        left -= client.send_data(late, &vec![0; left], false).unwrap_or(0);
        take(&mut client);
        polled(&mut client);
    }
    assert_eq!(client.send_data(late, b"more", false), Err(StreamError::Blocked));
    let others: Vec<StreamKey> = (0..3).map(|_| opened(&mut client, false)).collect();
    for stream in &others {
        _ = client.send_data(*stream, &[0; 20_000], false);
    }
    feed(&mut client, &window_update(late.id, 1_000), usize::MAX).unwrap();
    let mut order = Vec::new();
    for _ in 0..8 {
        take(&mut client);
        while let Some(event) = client.poll_event().map(told) {
            let Told::Writable { stream } = event else { panic!("{event:?}") };
            order.push(stream);
            if stream != late.id {
                _ = client.send_data(others[stream as usize / 2 - 1], &[0; 20_000], false);
            }
        }
    }
    assert!(order.contains(&late.id), "{order:?}");
}

#[test]
fn calls_that_are_lost_with_the_connection_before_they_left_do_not_leave_with_the_goaway() {
    let mut client = client_ready();
    let sent = opened(&mut client, false);
    client.send_data(sent, b"on its way", false).unwrap();
    let kept = client.open(NOW, list(&POST), false).unwrap();
    client.send_data(kept, b"not yet", true).unwrap();
    let half = client.transmit(NOW).len() / 3;
    client.transmitted(half);
    feed(&mut client, &data(0, b"wrong", false), usize::MAX).unwrap_err();
    let wire = take(&mut client);
    assert!(wire.windows(6).all(|part| part != b"not ye"), "who asked was told that it never left");
    assert!(wire.ends_with(b"DATA on stream 0"), "the GOAWAY does: {wire:?}");
    assert!(client.is_closed());
}
