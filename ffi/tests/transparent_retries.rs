//! Calls that go on elsewhere without their caller knowing (gRFC A6), and calls that wait for their turn.

mod common;

use common::*;
use grpclb::core::grpc::Code;
use grpclb::{Call, Channel};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

fn call() -> Call<'static> {
    Call::new("/test.Service/Method").timeout(Duration::from_secs(10))
}

/// A peer that refuses every call, by RST_STREAM or by GOAWAY, and counts them.
fn refuses(by_goaway: bool) -> (Peer, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let peer = Peer::new(move |mut wire| {
        let mut serve = || -> std::io::Result<()> {
            wire.shake_hands(&[])?;
            loop {
                let stream = wire.request()?;
                counted.fetch_add(1, Ordering::SeqCst);
                if by_goaway {
                    // Last stream id 0: nothing was processed.
                    wire.send(&frame(GOAWAY, 0, 0, &[0; 8]))?;
                } else {
                    wire.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 7]))?;
                }
            }
        };
        let _ = serve();
    });
    (peer, count)
}

fn serves() -> (Peer, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let peer = Peer::new(move |mut wire| {
        let mut serve = || -> std::io::Result<()> {
            wire.shake_hands(&[])?;
            loop {
                let stream = wire.request()?;
                counted.fetch_add(1, Ordering::SeqCst);
                wire.send(&answer(stream, b"good"))?;
            }
        };
        let _ = serve();
    });
    (peer, count)
}

#[test]
fn a_refused_call_goes_to_another_endpoint() {
    let _watchdog = Watchdog::new(30);
    for by_goaway in [false, true] {
        let ((bad, refused), (good, served)) = (refuses(by_goaway), serves());
        // Three picks of four go to the bad one: the next pick is likely to be that again.
        let config = format!(
            r#"{{"loadBalancingConfig":[{{"weighted_round_robin":{{"weights":{{"{}":3}}}}}}]}}"#,
            bad.address
        );
        let channel = Channel::builder(&format!("ipv4:{},{}", bad.address, good.address))
            .service_config(&config)
            .build()
            .unwrap();
        assert!(channel.wait_for_ready_endpoints(2, Duration::from_secs(5)));
        let mut response = Vec::new();
        for _ in 0..20 {
            let reply = channel.unary(&call(), b"", &mut response).expect("served by the other");
            assert_eq!((reply.peer(), &*response), (&*good.address.to_string(), &b"good"[..]));
        }
        assert!(refused.load(Ordering::SeqCst) > 0, "the bad peer was never asked");
        assert_eq!(served.load(Ordering::SeqCst), 20);
    }
}

#[test]
fn it_is_tried_again_once() {
    let _watchdog = Watchdog::new(30);
    let (bad, refused) = refuses(false);
    let channel = Channel::builder(&bad.target()).build().unwrap();
    let status = channel.unary(&call(), b"", &mut Vec::new()).expect_err("refused");
    assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
    assert_eq!(refused.load(Ordering::SeqCst), 2);
}

#[test]
fn goaway_moves_new_calls_and_lets_old_ones_end() {
    let _watchdog = Watchdog::new(30);
    let peer = Peer::new(|mut wire| {
        let mut serve = || -> std::io::Result<()> {
            wire.shake_hands(&[])?;
            let first = wire.request()?;
            if wire.number == 0 {
                wire.send(&frame(GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]))?;
                thread::sleep(Duration::from_millis(300));
                wire.send(&frame(GOAWAY, 0, 0, &[0, 0, 0, first as u8, 0, 0, 0, 0]))?;
            }
            wire.send(&answer(first, wire.number.to_string().as_bytes()))?;
            loop {
                let stream = wire.request()?;
                wire.send(&answer(stream, wire.number.to_string().as_bytes()))?;
            }
        };
        let _ = serve();
    });
    let channel = Channel::builder(&peer.target()).build().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut response = Vec::new();
            channel.unary(&call(), b"", &mut response).expect("the old connection lets it end");
            assert_eq!(response, b"0");
        });
        thread::sleep(Duration::from_millis(150));
        let mut response = Vec::new();
        channel.unary(&call(), b"", &mut response).expect("a new connection");
        assert_eq!(response, b"1");
    });
    let mut response = Vec::new();
    channel.unary(&call(), b"", &mut response).expect("the new connection");
    assert_eq!(response, b"1");
}

#[test]
fn calls_wait_for_a_place_on_the_connection() {
    let _watchdog = Watchdog::new(30);
    let at_once = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (at_once.clone(), most.clone());
    let peer = Peer::new(move |mut wire| {
        let mut serve = || -> std::io::Result<()> {
            // SETTINGS_MAX_CONCURRENT_STREAMS 2
            wire.shake_hands(&[(3, 2)])?;
            loop {
                let first = wire.request()?;
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let mut answerer = wire.socket.try_clone()?;
                let now = now.clone();
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(20));
                    now.fetch_sub(1, Ordering::SeqCst);
                    let _ = std::io::Write::write_all(&mut answerer, &answer(first, b"good"));
                });
            }
        };
        let _ = serve();
    });
    let channel = Channel::builder(&peer.target()).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut response = Vec::new();
                channel.unary(&call(), b"", &mut response).expect("its turn comes");
                assert_eq!(response, b"good");
            });
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[test]
fn a_deadline_ends_a_call_that_waits() {
    let _watchdog = Watchdog::new(30);
    let peer = Peer::new(|mut wire| {
        if wire.shake_hands(&[(3, 1)]).is_ok() {
            wire.linger();
        }
    });
    let channel = Channel::builder(&peer.target()).build().unwrap();
    thread::scope(|scope| {
        for millis in [300, 150, 200] {
            let channel = &channel;
            scope.spawn(move || {
                let call = call().timeout(Duration::from_millis(millis));
                let status = channel.unary(&call, b"", &mut Vec::new()).expect_err("nobody answers");
                assert_eq!(status.code, Code::DEADLINE_EXCEEDED, "{status}");
            });
        }
    });
}

#[test]
fn wait_for_ready_waits() {
    let _watchdog = Watchdog::new(30);
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let channel = Channel::builder(&format!("ipv4:{address}"))
        .backoff(Duration::from_millis(100), Duration::from_millis(100))
        .build()
        .unwrap();
    let status = channel.unary(&call(), b"", &mut Vec::new()).expect_err("fails fast");
    assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
    let waiting = call().wait_for_ready(true);
    let short = waiting.timeout(Duration::from_millis(250));
    let status = channel.unary(&short, b"", &mut Vec::new()).expect_err("its deadline holds");
    assert_eq!(status.code, Code::DEADLINE_EXCEEDED, "{status}");
    assert!(status.message.contains("Connection refused"), "{status}");
    thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let mut response = Vec::new();
            channel.unary(&waiting, b"", &mut response).map(|_| response)
        });
        thread::sleep(Duration::from_millis(200));
        let listener = std::net::TcpListener::bind(address).expect("the same port");
        let (socket, _) = listener.accept().unwrap();
        let mut wire = Wire { socket, number: 0 };
        wire.shake_hands(&[]).unwrap();
        let stream = wire.request().unwrap();
        wire.send(&answer(stream, b"at last")).unwrap();
        assert_eq!(caller.join().unwrap().expect("served"), b"at last");
    });
}
