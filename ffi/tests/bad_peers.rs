//! The client before peers that are none: each call ends in time, with the status that gRPC prescribes and words that
//! help.

mod common;

use common::*;
use grpclb::core::grpc::Code;
use grpclb::{Call, Channel, ChannelBuilder, Status};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PATH: &str = "/test.Service/Method";

/// One call that fails.
fn status_of(builder: ChannelBuilder, timeout: Duration) -> Status {
    let channel = builder.build().expect("a channel");
    let mut response = Vec::new();
    let started = Instant::now();
    let status = channel
        .unary(&Call::new(PATH).timeout(timeout), b"hello", &mut response)
        .expect_err("the call cannot be OK");
    assert!(started.elapsed() < timeout + Duration::from_secs(2), "{status}");
    status
}

fn fails(peer: &Peer, code: Code, words: &str) {
    let status = status_of(Channel::builder(&peer.target()), Duration::from_secs(10));
    assert_eq!(status.code, code, "{status}");
    assert!(status.message.contains(words), "{words:?} is not in {:?}", status.message);
    assert!(status.message.contains(&peer.address.to_string()) || code != Code::UNAVAILABLE, "{status}");
}

/// A peer that takes a request and then says `octets`.
fn answers(octets: Vec<u8>) -> Peer {
    Peer::new(move |mut wire| {
        let mut serve = || {
            wire.shake_hands(&[])?;
            wire.request()?;
            wire.send(&octets)
        };
        if serve().is_ok() {
            wire.linger();
        }
    })
}

#[test]
fn nobody_there() {
    let _watchdog = Watchdog::new(20);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for policy in ["{}", r#"{"loadBalancingPolicy":"round_robin"}"#] {
        let builder = Channel::builder(&format!("ipv4:{address}")).service_config(policy);
        let status = status_of(builder, Duration::from_secs(10));
        assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
        assert!(status.message.starts_with("failed to connect to all addresses; last error: "), "{status}");
        assert!(status.message.contains(&format!("{address}: Connection refused")), "{status}");
    }
}

#[test]
fn nobody_at_a_unix_socket() {
    let _watchdog = Watchdog::new(20);
    let status = status_of(Channel::builder("unix:/nonexistent/socket"), Duration::from_secs(10));
    assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
    assert!(status.message.contains("unix:/nonexistent/socket: No such file"), "{status}");
}

#[test]
fn garbage() {
    let _watchdog = Watchdog::new(30);
    for octets in [vec![0xff; 4096], vec![0; 4096], b"\x00\x00\x00\x63\x00\x00\x00\x00\x00".to_vec()] {
        let peer = Peer::new(move |mut wire| {
            let _ = wire.send(&octets);
            wire.linger();
        });
        fails(&peer, Code::UNAVAILABLE, "_ERROR");
    }
}

#[test]
fn other_protocols() {
    let _watchdog = Watchdog::new(30);
    for (octets, words) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
            "the peer speaks HTTP/1.1, not HTTP/2",
        ),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the peer speaks TLS, not HTTP/2"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "the peer speaks TLS, not HTTP/2"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the peer speaks SSH, not HTTP/2"),
    ] {
        let peer = Peer::new(move |mut wire| {
            let mut some = [0; 24];
            let _ = std::io::Read::read(&mut wire.socket, &mut some);
            let _ = wire.send(octets);
        });
        fails(&peer, Code::UNAVAILABLE, words);
    }
}

#[test]
fn closes_at_once() {
    let _watchdog = Watchdog::new(20);
    fails(&Peer::new(drop), Code::UNAVAILABLE, "");
}

#[test]
fn says_nothing() {
    let _watchdog = Watchdog::new(20);
    let silent = Peer::new(|mut wire| wire.linger());
    let status = status_of(Channel::builder(&silent.target()), Duration::from_millis(300));
    assert_eq!(status.code, Code::DEADLINE_EXCEEDED, "{status}");
    // The same once hands were shaken.
    let status = status_of(Channel::builder(&answers(Vec::new()).target()), Duration::from_millis(300));
    assert_eq!(status.code, Code::DEADLINE_EXCEEDED, "{status}");
}

#[test]
fn closed_in_the_middle() {
    let _watchdog = Watchdog::new(60);
    let data = frame(DATA, 0, 1, &message(b"hello"));
    let response = block(&[(":status", "200"), ("content-type", "application/grpc")]);
    let first_half = frame(HEADERS, 0, 1, &response[..10]);
    let cases = [
        (Vec::new(), Vec::new()),
        (Vec::new(), head(1)),
        (head(1), data.clone()),
        (Vec::new(), frame(PRIORITY, 0, 1, &[0; 5])),
        (Vec::new(), frame(RST_STREAM, 0, 1, &[0; 4])),
        (Vec::new(), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        (Vec::new(), frame(PING, 0, 0, &[0; 8])),
        (Vec::new(), frame(GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\0debug data")),
        (Vec::new(), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        (first_half, frame(CONTINUATION, END_HEADERS, 1, &response[10..])),
        (Vec::new(), frame(0x63, 0, 0, &[0; 30])),
    ];
    for (before, cut) in cases {
        for keep in [cut.len() / 2, cut.len().saturating_sub(1)] {
            let octets = [&before[..], &cut[..keep]].concat();
            let peer = Peer::new(move |mut wire| {
                let mut serve = || {
                    wire.shake_hands(&[])?;
                    wire.request()?;
                    wire.send(&octets)
                };
                serve().expect("a client that goes on");
                // Half-closed first: what was sent arrives before the connection ends.
                let _ = wire.socket.shutdown(std::net::Shutdown::Write);
                wire.linger();
            });
            fails(&peer, Code::UNAVAILABLE, "closed by the peer");
        }
    }
    // Its head alone is an error already: push is off (RFC 9113 §6.6).
    let promise = frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 20]);
    fails(&answers(promise[..15].to_vec()), Code::UNAVAILABLE, "PROTOCOL_ERROR");
}

#[test]
fn wrong_answers() {
    let _watchdog = Watchdog::new(60);
    let hello = frame(DATA, 0, 1, &message(b"hello"));
    let compressed = {
        let mut octets = message(b"hello");
        octets[0] = 1;
        frame(DATA, 0, 1, &octets)
    };
    for (octets, code) in [
        // statuscodes.md: cardinality.
        ([head(1), trailers(1, "0")].concat(), Code::UNIMPLEMENTED),
        ([head(1), hello.clone(), hello.clone(), trailers(1, "0")].concat(), Code::UNIMPLEMENTED),
        ([head(1), compressed, trailers(1, "0")].concat(), Code::INTERNAL),
        ([head(1), hello.clone(), trailers(1, "5")].concat(), Code::NOT_FOUND),
        (frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), Code::CANCELLED),
        (frame(RST_STREAM, 0, 1, &[0, 0, 0, 11]), Code::RESOURCE_EXHAUSTED),
        (frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":status", "503")])), Code::UNAVAILABLE),
    ] {
        let status = status_of(Channel::builder(&answers(octets).target()), Duration::from_secs(10));
        assert_eq!(status.code, code, "{status}");
    }
    let large = [head(1), frame(DATA, 0, 1, &message(&[0; 101])), trailers(1, "0")].concat();
    let status =
        status_of(Channel::builder(&answers(large).target()).max_message_size(100), Duration::from_secs(10));
    assert_eq!(status.code, Code::RESOURCE_EXHAUSTED, "{status}");
}

#[test]
fn names_that_do_not_resolve() {
    let _watchdog = Watchdog::new(90);
    let status = status_of(Channel::builder("dns:///no-such-name.invalid:50051"), Duration::from_secs(60));
    assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
    assert!(status.message.contains("no-such-name.invalid"), "{status}");

    let own = Channel::builder("dns:///name").resolver(|| Err("the oracle is silent".into()));
    let status = status_of(own, Duration::from_secs(10));
    assert_eq!((status.code, &*status.message), (Code::UNAVAILABLE, "the oracle is silent"));

    let none = Channel::builder("dns:///name").resolver(|| Ok(Vec::new()));
    let status = status_of(none, Duration::from_secs(10));
    assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
    assert!(status.message.contains("no endpoints for dns:///name"), "{status}");

    let panics = Channel::builder("dns:///name").resolver(|| panic!("a resolver that panics"));
    assert_eq!(status_of(panics, Duration::from_secs(10)).code, Code::UNAVAILABLE);

    let status = status_of(Channel::builder("file:///nonexistent/list"), Duration::from_secs(10));
    assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
    assert!(status.message.contains("/nonexistent/list: No such file"), "{status}");
}

#[test]
fn targets_and_configs_that_do_not_parse() {
    for target in ["", "ipv4:", "ipv4:nowhere", "ipv6:1.2.3.4:5", "dns:///host:port", "unix://host/path"] {
        let error = Channel::builder(target).build().expect_err(target).to_string();
        assert!(error.starts_with("target ") && error.contains("expected"), "{target:?}: {error}");
    }
    for (config, path) in [
        ("{", "$"),
        (r#"{"loadBalancingPolicy":7}"#, "$.loadBalancingPolicy"),
        (r#"{"loadBalancingConfig":[{"weighted_round_robin":{"weights":{"10.0.0.1":-1}}}]}"#, "weights"),
    ] {
        let error = Channel::builder("ipv4:127.0.0.1:1")
            .service_config(config)
            .build()
            .expect_err(config)
            .to_string();
        assert!(error.starts_with("service config: ") && error.contains(path), "{config}: {error}");
    }
}

/// A call that finds the channel undriven has patience with attempts that were overdue. When it ends while an attempt
/// is still under way, the call waits on for its deadline.
#[test]
fn patience_ends_while_the_attempt_goes_on() {
    let _watchdog = Watchdog::new(20);
    let peer = Peer::new(|mut wire| wire.linger());
    let channel = Channel::builder(&peer.target()).build().expect("a channel");
    std::thread::sleep(Duration::from_millis(100));
    let started = Instant::now();
    let status = channel
        .unary(&Call::new(PATH).timeout(Duration::from_millis(1_500)), b"", &mut Vec::new())
        .expect_err("nobody answers");
    assert_eq!(status.code, Code::DEADLINE_EXCEEDED, "{status}");
    assert!((1_500..5_000).contains(&(started.elapsed().as_millis() as u64)), "{:?}", started.elapsed());
}

/// A call that the interrupt hook ends is cancelled at the server too, though nobody drives the channel afterwards.
#[test]
fn the_server_hears_of_an_interrupted_call() {
    let _watchdog = Watchdog::new(20);
    let (begun, reset) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (has_begun, has_reset) = (begun.clone(), reset.clone());
    let peer = Peer::new(move |mut wire| {
        wire.shake_hands(&[]).and_then(|()| wire.request()).expect("a request");
        has_begun.store(true, Ordering::SeqCst);
        while let Ok(frame) = wire.read() {
            has_reset.fetch_or(frame.kind == RST_STREAM, Ordering::SeqCst);
        }
    });
    let channel = Channel::builder(&peer.target())
        .interrupt(move || begun.load(Ordering::SeqCst))
        .build()
        .expect("a channel");
    let status = channel.unary(&Call::new(PATH), b"", &mut Vec::new()).expect_err("interrupted");
    assert_eq!(status.code, Code::CANCELLED, "{status}");
    let end = Instant::now() + Duration::from_secs(5);
    while !reset.load(Ordering::SeqCst) {
        assert!(Instant::now() < end, "no RST_STREAM came");
        std::thread::sleep(Duration::from_millis(5));
    }
}
