//! Streaming calls: order, size, back-pressure, and their ends.

mod common;

use common::*;
use grpclb::core::grpc::Code;
use grpclb::{Call, Channel, Server, ServerHandle, ServerStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn server(
    handler: impl Fn(&mut ServerStream) -> grpclb::Handler<()> + Send + Sync + 'static,
) -> ServerHandle {
    Server::builder()
        .streaming("/test.Service/Stream", handler)
        .bind("127.0.0.1:0")
        .expect("a server")
        .spawn()
}

fn channel_to(server: &ServerHandle) -> Channel {
    Channel::builder(&format!("ipv4:{}", server.local_addr().expect("an address"))).build().unwrap()
}

fn call() -> Call<'static> {
    Call::new("/test.Service/Stream").timeout(Duration::from_secs(30))
}

fn lost(code: Code) -> (Code, String) {
    (code, String::new())
}

/// What stands in message `n`: its size varies from nothing to more than any window.
fn body(n: usize) -> Vec<u8> {
    let len = [0, 1, 5, 1_000, 16_384, 70_000, 1_200_000][n % 7];
    (0..len).map(|at| (at + n) as u8).collect()
}

#[test]
fn messages_of_all_sizes_both_ways() {
    let _watchdog = Watchdog::new(60);
    let server = server(|stream| {
        let mut message = Vec::new();
        while stream.recv(&mut message).map_err(lost)? {
            stream.send(&message).map_err(lost)?;
        }
        Ok(())
    });
    let channel = channel_to(&server);
    let stream = channel.stream(&call()).unwrap();
    let mut message = Vec::new();
    for n in 0..70 {
        stream.send(&body(n)).expect("sent");
        assert!(stream.recv(&mut message).expect("an echo"));
        assert!(message == body(n), "message {n}: {} octets", message.len());
    }
    stream.half_close().expect("closed");
    assert!(!stream.recv(&mut message).expect("the end"));
    assert_eq!(stream.peer(), Some(&*server.local_addr().unwrap().to_string()));
    // And after the end.
    assert!(!stream.recv(&mut message).expect("still the end"));
    let status = stream.send(b"more").expect_err("it is over");
    assert_eq!(status.code, Code::OK, "{status}");
}

#[test]
fn many_messages_wait_in_order() {
    let _watchdog = Watchdog::new(60);
    let server = server(|stream| {
        for n in 0..35 {
            stream.send(&body(n)).map_err(lost)?;
        }
        Ok(())
    });
    let channel = channel_to(&server);
    channel.drive_in_background().unwrap();
    let stream = channel.stream(&call()).unwrap();
    let mut message = Vec::new();
    for n in 0..35 {
        assert!(stream.recv(&mut message).expect("a message"));
        assert!(message == body(n), "message {n}: {} octets", message.len());
        if n % 10 == 0 {
            thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(!stream.recv(&mut message).expect("the end"));
}

/// Who does not take its messages holds up its own stream, and no other of the connection.
#[test]
fn back_pressure() {
    let _watchdog = Watchdog::new(60);
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let server = server(move |stream| {
        let mut request = Vec::new();
        stream.recv(&mut request).map_err(lost)?;
        if request == b"flood" {
            for _ in 0..64 * 16 {
                stream.send(&[1; 65_536]).map_err(lost)?;
                counted.fetch_add(65_536, Ordering::SeqCst);
            }
        }
        stream.send(b"done").map_err(lost)
    });
    let channel = channel_to(&server);
    // It reads whatever the kernel has: the windows alone hold the peer up.
    channel.drive_in_background().unwrap();
    let flooded = channel.stream(&call()).unwrap();
    flooded.send(b"flood").unwrap();
    thread::sleep(Duration::from_millis(500));
    let waiting = sent.load(Ordering::SeqCst);
    assert!(waiting < 3 << 20, "{waiting} octets were sent to one who takes none");

    let mut message = Vec::new();
    for _ in 0..20 {
        let other = channel.stream(&call()).unwrap();
        other.send(b"quick").unwrap();
        assert!(other.recv(&mut message).expect("in spite of the flood"));
        assert_eq!(message, b"done");
    }
    let mut octets = 0;
    while flooded.recv(&mut message).expect("a message") {
        octets += message.len();
    }
    assert_eq!(octets, (64 << 20) + 4);
}

#[test]
fn metadata_and_status() {
    let _watchdog = Watchdog::new(30);
    let server = server(|stream| {
        stream
            .send_headers(&[("x-initial", b"one"), ("x-initial", b"two"), ("x-bin", &[0, 44, 255])])
            .map_err(lost)?;
        stream.trailer("x-trailing", b"last");
        stream.send(b"only").map_err(lost)?;
        Err((Code::FAILED_PRECONDITION, "not today, 100 % \u{1f4a7}".into()))
    });
    let channel = channel_to(&server);
    let stream = channel.stream(&call()).unwrap();
    assert_eq!(stream.header("x-initial").unwrap().as_deref(), Some(&b"one,two"[..]));
    assert_eq!(stream.header("x-bin").unwrap().as_deref(), Some(&[0, 44, 255][..]));
    assert_eq!(stream.header("x-none").unwrap(), None);
    let mut message = Vec::new();
    assert!(stream.recv(&mut message).expect("the message comes before the status"));
    assert_eq!(message, b"only");
    let status = stream.recv(&mut message).expect_err("the status");
    assert_eq!((status.code, &*status.message), (Code::FAILED_PRECONDITION, "not today, 100 % \u{1f4a7}"));
    assert_eq!(status.peer, server.local_addr().map(|address| address.to_string()));
    assert_eq!(stream.trailer("x-trailing").as_deref(), Some(&b"last"[..]));
}

#[test]
fn cancelled_and_dropped() {
    let _watchdog = Watchdog::new(30);
    let cancelled = Arc::new(AtomicUsize::new(0));
    let counted = cancelled.clone();
    let server = server(move |stream| {
        stream.send(b"first").map_err(lost)?;
        while let Ok(true) = stream.recv(&mut Vec::new()) {}
        if stream.sleep(Duration::from_secs(20)).is_err() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    let channel = channel_to(&server);
    let stream = channel.stream(&call()).unwrap();
    let mut message = Vec::new();
    assert!(stream.recv(&mut message).unwrap());
    stream.cancel();
    assert_eq!(stream.recv(&mut message).expect_err("cancelled").code, Code::CANCELLED);
    assert_eq!(stream.send(b"x").expect_err("cancelled").code, Code::CANCELLED);
    let dropped = channel.stream(&call()).unwrap();
    assert!(dropped.recv(&mut message).unwrap());
    drop(dropped);
    // The server hears of both, although nobody drives the channel any more.
    let started = Instant::now();
    while cancelled.load(Ordering::SeqCst) < 2 {
        assert!(started.elapsed() < Duration::from_secs(5));
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_that_ends_early() {
    let _watchdog = Watchdog::new(30);
    let server = server(|_| Ok(()));
    let channel = channel_to(&server);
    let stream = channel.stream(&call()).unwrap();
    let chunk = vec![0; 100_000];
    let mut last = Ok(());
    for _ in 0..1_000 {
        last = stream.send(&chunk);
        if last.is_err() {
            break;
        }
    }
    assert_eq!(last.expect_err("nobody reads").code, Code::OK);
    assert!(!stream.recv(&mut Vec::new()).expect("OK"));
}

#[test]
fn the_deadline_of_a_stream() {
    let _watchdog = Watchdog::new(30);
    let server = server(|stream| {
        stream.recv(&mut Vec::new()).map_err(lost)?;
        stream.sleep(Duration::from_secs(20)).map_err(lost)
    });
    let channel = channel_to(&server);
    let started = Instant::now();
    let stream = channel.stream(&call().timeout(Duration::from_millis(200))).unwrap();
    let status = stream.recv(&mut Vec::new()).expect_err("late");
    assert_eq!(status.code, Code::DEADLINE_EXCEEDED, "{status}");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(190) && took < Duration::from_secs(2), "{took:?}");
}

/// A peer that floods with empty messages, which cost it no window.
#[test]
fn empty_messages_have_a_bound() {
    let _watchdog = Watchdog::new(60);
    let peer = Peer::new(|mut wire| {
        let mut serve = || -> std::io::Result<()> {
            wire.shake_hands(&[])?;
            let stream = wire.request()?;
            wire.send(&head(stream))?;
            let many = frame(DATA, 0, stream, &[0; 5 * 3_000]);
            loop {
                wire.send(&many)?;
            }
        };
        let _ = serve();
    });
    let channel = Channel::builder(&peer.target()).build().unwrap();
    channel.drive_in_background().unwrap();
    let stream = channel.stream(&call()).unwrap();
    let _ = stream.half_close(); // refused where the flood was there first
    thread::sleep(Duration::from_millis(100));
    let mut message = Vec::new();
    let started = Instant::now();
    let status = loop {
        match stream.recv(&mut message) {
            // Taken slowly at first, so that the flood is faster.
            Ok(true) if started.elapsed() < Duration::from_secs(3) => thread::sleep(Duration::from_millis(1)),
            Ok(true) => {}
            Ok(false) => panic!("it cannot be OK"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code, Code::RESOURCE_EXHAUSTED, "{status}");
}

/// One thread sends what the other receives, and a third one waits for the end; whoever finds nobody driving drives.
#[test]
fn threads_share_a_stream() {
    const MESSAGES: usize = 200;
    let _watchdog = Watchdog::new(60);
    let server = server(|stream| {
        stream.send_headers(&[("x-head", b"h")]).map_err(lost)?;
        let mut message = Vec::new();
        while stream.recv(&mut message).map_err(lost)? {
            stream.send(&message).map_err(lost)?;
        }
        stream.trailer("x-tail", b"t");
        Ok(())
    });
    let channel = channel_to(&server);
    for round in 0..5 {
        let stream = channel.stream(&call()).unwrap();
        thread::scope(|scope| {
            let end = scope.spawn(|| stream.finish());
            scope.spawn(|| {
                for n in 0..MESSAGES {
                    stream.send(&body((n + round) % 6)).expect("sent");
                }
                stream.half_close().expect("closed");
            });
            let head = scope.spawn(|| stream.headers());
            let mut message = Vec::new();
            for n in 0..MESSAGES {
                assert!(stream.recv(&mut message).expect("an echo"));
                assert!(message == body((n + round) % 6), "message {n}");
            }
            assert!(!stream.recv(&mut message).expect("the end"));
            let end = end.join().unwrap().expect("nothing interrupts it");
            assert_eq!((end.code, end.reply.trailer("x-tail").as_deref()), (Code::OK, Some(&b"t"[..])));
            assert_eq!(end.reply.peer(), server.local_addr().unwrap().to_string());
            assert_eq!(head.join().unwrap().unwrap(), [(b"x-head".to_vec(), b"h".to_vec())]);
            assert!(stream.has_ended());
        });
    }
}

#[test]
fn a_cancel_reaches_all_who_wait() {
    let _watchdog = Watchdog::new(30);
    let server = server(|stream| {
        let mut message = Vec::new();
        while stream.recv(&mut message).map_err(lost)? {}
        Ok(())
    });
    let channel = channel_to(&server);
    let stream = channel.stream(&call()).unwrap();
    let started = Instant::now();
    thread::scope(|scope| {
        let waits = [0, 1, 2].map(|_| scope.spawn(|| stream.recv(&mut Vec::new()).unwrap_err().code));
        let end = scope.spawn(|| stream.finish().unwrap().code);
        thread::sleep(Duration::from_millis(100));
        stream.cancel();
        assert_eq!(waits.map(|wait| wait.join().unwrap()), [Code::CANCELLED; 3]);
        assert_eq!(end.join().unwrap(), Code::CANCELLED);
    });
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// The reader drives, and what ends the call comes from no socket.
#[test]
fn a_message_too_large_to_be_sent_reaches_who_reads() {
    let _watchdog = Watchdog::new(30);
    let server = server(|stream| {
        let mut message = Vec::new();
        while stream.recv(&mut message).map_err(lost)? {}
        Ok(())
    });
    let target = format!("ipv4:{}", server.local_addr().expect("an address"));
    let config = r#"{"methodConfig":[{"name":[{}],"maxRequestMessageBytes":10}]}"#;
    let channel = Channel::builder(&target).service_config(config).build().unwrap();
    let stream = channel.stream(&call()).unwrap();
    let started = Instant::now();
    thread::scope(|scope| {
        let read = scope.spawn(|| stream.recv(&mut Vec::new()).unwrap_err().code);
        thread::sleep(Duration::from_millis(100));
        assert_eq!(stream.send(&[0; 11]).unwrap_err().code, Code::RESOURCE_EXHAUSTED);
        assert_eq!(read.join().unwrap(), Code::RESOURCE_EXHAUSTED);
    });
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn close_ends_the_wait_for_endpoints() {
    let _watchdog = Watchdog::new(30);
    let channel = Channel::builder("ipv4:127.0.0.1:1").build().unwrap();
    thread::scope(|scope| {
        let waits = [1, 2].map(|count| {
            let channel = &channel;
            scope.spawn(move || channel.wait_for_ready_endpoints(count, Duration::from_secs(60)))
        });
        thread::sleep(Duration::from_millis(100));
        channel.close();
        assert_eq!(waits.map(|wait| wait.join().unwrap()), [false; 2]);
    });
    assert!(!channel.wait_for_ready_endpoints(1, Duration::from_secs(60)));
}

#[test]
fn a_stream_of_one_request_does_not_wait() {
    let _watchdog = Watchdog::new(30);
    let server = server(|stream| {
        let mut message = Vec::new();
        stream.recv_only(&mut message)?;
        (0..3).try_for_each(|_| stream.send(&message)).map_err(lost)
    });
    let channel = channel_to(&server);
    let request = body(6);
    let stream = channel.stream_of_one(&call(), &request).unwrap();
    let mut message = Vec::new();
    for _ in 0..3 {
        assert!(stream.recv(&mut message).unwrap() && message == request);
    }
    assert!(!stream.recv(&mut message).unwrap());
    // Nobody is there to take it, and still it does not wait.
    let nowhere = Channel::builder("ipv4:127.0.0.1:1").build().unwrap();
    let started = Instant::now();
    let waits = call().wait_for_ready(true).timeout(Duration::from_millis(300));
    let stream = nowhere.stream_of_one(&waits, b"x").unwrap();
    assert!(started.elapsed() < Duration::from_millis(200));
    assert_eq!(stream.finish().unwrap().code, Code::DEADLINE_EXCEEDED);
}
