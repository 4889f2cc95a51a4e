//! RFC 9113 §6.5: SETTINGS both ways.

use super::support::*;
use grpclb_core::error::ErrorCode;
use grpclb_core::frame::{Kind, flags};
use grpclb_core::http2::{Config, OpenError};

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;

#[test]
fn every_settings_frame_is_acknowledged() {
    let mut server = server_ready();
    let wire = [settings(&[(4, 1)]), settings(&[]), settings(&[(1, 0), (5, 20_000)])].concat();
    for step in [1, 5, 6, 7, usize::MAX] {
        assert_eq!(feed(&mut server, &wire, step).unwrap(), []);
        assert_eq!(take(&mut server), settings_ack().repeat(3));
    }
}

#[test]
fn frames_that_are_wrong() {
    for (code, wire) in [
        (PROTOCOL, frame(Kind::SETTINGS, 0, 1, &[])),
        (PROTOCOL, frame(Kind::SETTINGS, flags::ACK, 1, &[])),
        (ErrorCode::FRAME_SIZE_ERROR, frame(Kind::SETTINGS, flags::ACK, 0, &[0; 6])),
        (ErrorCode::FRAME_SIZE_ERROR, frame(Kind::SETTINGS, 0, 0, &[0; 7])),
    ] {
        assert_eq!(connection_error(server_ready(), &wire), code, "{wire:?}");
    }
}

#[test]
fn values_that_are_wrong() {
    for (code, id, value) in [
        (PROTOCOL, 2, 2),
        (ErrorCode::FLOW_CONTROL_ERROR, 4, 1 << 31),
        (PROTOCOL, 5, 16_383),
        (PROTOCOL, 5, 1 << 24),
    ] {
        assert_eq!(connection_error(server_ready(), &settings(&[(id, value)])), code, "{id} {value}");
        assert_eq!(connection_error(client_ready(), &settings(&[(id, value)])), code, "{id} {value}");
        assert_eq!(connection_error(client(), &settings(&[(id, value)])), code, "the first one, too");
    }
    // RFC 9113 §6.5.2: a server does not switch push on.
    assert_eq!(connection_error(client_ready(), &settings(&[(2, 1)])), PROTOCOL);
    let fine = settings(&[(2, 1), (4, (1 << 31) - 1), (5, (1 << 24) - 1), (5, 16_384), (0x99, u32::MAX)]);
    assert_eq!(feed(&mut server_ready(), &fine, usize::MAX).unwrap(), []);
}

#[test]
fn the_last_of_repeated_entries_holds() {
    let mut client = client_with(Memory::default(), &Config::client(), &[(3, 0), (3, 1)]);
    assert_eq!(client.room(), 1);
    feed(&mut client, &settings(&[(3, 7), (3, 0)]), usize::MAX).unwrap();
    assert_eq!(client.room(), 0);
    // What a later frame leaves out stays.
    feed(&mut client, &settings(&[(4, 1)]), usize::MAX).unwrap();
    assert_eq!(client.room(), 0);
}

#[test]
fn acknowledgements_come_before_what_the_settings_changed() {
    let mut client = client_ready();
    feed(&mut client, &settings(&[(1, 0)]), usize::MAX).unwrap();
    client.open(NOW, list(&POST), false).unwrap();
    let out = frames(&take(&mut client));
    assert_eq!(out[0].0.kind, Kind::SETTINGS);
    assert!(out[0].0.has(flags::ACK));
    assert_eq!(out[1].0.kind, Kind::HEADERS);
    // RFC 7541 §4.2: the new size is told at the front of the next block.
    assert_eq!(out[1].1[0], 0x20);
}

#[test]
fn larger_frames_are_sent_when_the_peer_takes_them() {
    let config = Config::client();
    let memory = || Memory::new(4, 4_096, 16_384, 100_000);
    for (max, sizes) in [(16_384, vec![16_384, 16_384, 7_232]), (30_000, vec![30_000, 10_000])] {
        let mut client = client_with(memory(), &config, &[(5, max), (4, 100_000)]);
        let stream = opened(&mut client, false);
        assert_eq!(client.send_data(stream, &[1; 40_000], true), Ok(40_000));
        let out = frames(&take(&mut client));
        assert_eq!(out.iter().map(|(head, _)| head.length).collect::<Vec<_>>(), sizes);
        let ends: Vec<_> = out.iter().map(|(head, _)| head.has(flags::END_STREAM)).collect();
        assert!(ends.iter().rev().skip(1).all(|end| !end) && ends.last() == Some(&true));
    }
}

#[test]
fn header_lists_above_the_peers_limit_are_not_sent() {
    let mut client = client_with(Memory::default(), &Config::client(), &[(6, 200)]);
    let long = "x".repeat(100);
    let fields = [&POST[..], &[("a", &long[..])]].concat();
    assert_eq!(client.open(NOW, list(&fields), false), Err(OpenError::TooLarge));
    assert!(client.open(NOW, list(&POST), false).is_ok(), "4 fields of 32 and 29 octets");
}

/// RFC 9113 §6.5.3 and RFC 7541 §4.2: a table that was made small and large again within a frame is empty.
#[test]
fn a_table_size_that_a_frame_goes_through_is_signalled() {
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("a", "b")];
    let mut client = client_ready();
    let first = |client: &mut Conn| {
        client.open(NOW, list(&fields), true).unwrap();
        frames(&take(client)).last().map(|(_, block)| block.clone()).unwrap()
    };
    let (literal, indexed) = (first(&mut client), first(&mut client));
    assert!(indexed.len() < literal.len());
    feed(&mut client, &settings(&[(1, 0), (1, 4_096)]), usize::MAX).unwrap();
    // Size updates to 0 and to 4 096, then what was there is gone.
    assert_eq!(first(&mut client), [&[0x20, 0x3f, 0xe1, 0x1f], &literal[..]].concat());
    assert_eq!(first(&mut client), indexed);
    feed(&mut client, &settings(&[(1, 4_096), (1, 8_192), (1, 4_096)]), usize::MAX).unwrap();
    assert_eq!(first(&mut client), indexed);
}
