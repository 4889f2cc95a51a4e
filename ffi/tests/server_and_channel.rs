//! Our server and our channel together: no call fails when connections retire, servers stop gracefully, or calls end
//! in any of the ways that the protocol has.

mod wire;

use grpclb::core::grpc::Code;
use grpclb::host::reactor::Completion;
use grpclb::{Call, Channel, Server, ServerBuilder};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wire::{PATIENCE, Running};

const ECHO: Call<'static> = Call {
    path: "/t.T/Echo",
    timeout: Some(PATIENCE),
    metadata: &[],
    wait_for_ready: false,
    max_response_size: None,
};

fn builder(handled: &Arc<AtomicU64>) -> ServerBuilder {
    let handled = Arc::clone(handled);
    let over = |code: Code| (code, "over".to_owned());
    Server::builder()
        .unary("/t.T/Echo", move |request, response| {
            handled.fetch_add(1, Ordering::SeqCst);
            response.message.extend_from_slice(request.message);
            Ok(())
        })
        .unary_blocking("/t.T/Sleep", move |request, _| request.sleep(PATIENCE * 10).map_err(over))
        .streaming("/t.T/Chat", move |stream| {
            let mut message = Vec::new();
            while stream.recv(&mut message).map_err(over)? {
                stream.send(&message).map_err(over)?;
            }
            Ok(())
        })
}

fn channel(servers: &[&Running]) -> Channel {
    let addresses: Vec<_> = servers.iter().map(|server| server.address().to_string()).collect();
    Channel::builder(&format!("ipv4:{}", addresses.join(",")))
        .service_config(r#"{"loadBalancingConfig":[{"round_robin":{}}]}"#)
        .build()
        .expect("a channel")
}

/// Calls on `threads` threads until `stop`; returns how many calls were OK, and panics at the first that was not.
fn load(channel: &Channel, threads: usize, during: impl FnOnce()) -> u64 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let (mut response, mut calls) = (Vec::new(), 0_u64);
                    while !stop.load(Ordering::SeqCst) {
                        let message = calls.to_be_bytes();
                        channel.unary(&ECHO, &message, &mut response).expect("no call fails");
                        assert_eq!(response, message);
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        during();
        stop.store(true, Ordering::SeqCst);
        callers.into_iter().map(|caller| caller.join().expect("no call fails")).sum()
    })
}

#[test]
fn no_call_fails_when_connections_age() {
    let handled = Arc::new(AtomicU64::new(0));
    let server = Running::new(builder(&handled).max_connection_age(Duration::from_millis(50), None));
    let channel = channel(&[&server]);
    let calls = load(&channel, 4, || std::thread::sleep(Duration::from_secs(2)));
    assert_eq!(handled.load(Ordering::SeqCst), calls, "none was handled twice");
    let connections = server.0.connections_accepted();
    assert!(connections > 10, "{connections} connections in 2 s");
}

#[test]
fn no_call_fails_when_all_connections_are_retired_at_once() {
    let handled = Arc::new(AtomicU64::new(0));
    let servers = [(); 3].map(|()| Running::new(builder(&handled)));
    let channel = channel(&servers.each_ref());
    let calls = load(&channel, 4, || {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(50));
            servers.iter().for_each(|server| server.0.retire_connections());
        }
    });
    assert_eq!(handled.load(Ordering::SeqCst), calls, "none was handled twice");
}

#[test]
fn no_call_fails_when_one_server_of_two_stops_gracefully() {
    let handled = Arc::new(AtomicU64::new(0));
    let stays = Running::new(builder(&handled));
    let goes = Running::new(builder(&handled));
    let channel = channel(&[&stays, &goes]);
    assert!(channel.wait_for_ready_endpoints(2, PATIENCE));
    let calls = load(&channel, 4, || {
        std::thread::sleep(Duration::from_millis(200));
        let started = Instant::now();
        goes.0.graceful_stop(PATIENCE);
        goes.0.join();
        assert!(started.elapsed() < PATIENCE / 2, "its end waits for nothing: {:?}", started.elapsed());
        std::thread::sleep(Duration::from_millis(200));
    });
    assert_eq!(handled.load(Ordering::SeqCst), calls, "none was handled twice");
}

#[test]
fn every_end_of_a_call() {
    let handled = Arc::new(AtomicU64::new(0));
    let server = Running::new(builder(&handled).max_message_size(1000));
    let channel = channel(&[&server]);
    let mut response = Vec::new();
    let code = |result: Result<grpclb::Reply, grpclb::Status>| result.expect_err("fails").code;
    let none = Call::new("/t.T/None").timeout(PATIENCE);
    assert_eq!(code(channel.unary(&none, b"", &mut response)), Code::UNIMPLEMENTED);
    assert_eq!(code(channel.unary(&ECHO, &[0; 1001], &mut response)), Code::RESOURCE_EXHAUSTED);
    let hurried = Call::new("/t.T/Sleep").timeout(Duration::from_millis(30));
    assert_eq!(code(channel.unary(&hurried, b"", &mut response)), Code::DEADLINE_EXCEEDED);
    channel.unary(&ECHO, &[7; 1000], &mut response).expect("OK");
    assert_eq!(response, [7; 1000]);
}

#[test]
fn streams() {
    let handled = Arc::new(AtomicU64::new(0));
    let server = Running::new(builder(&handled));
    let channel = channel(&[&server]);
    let chat = Call::new("/t.T/Chat").timeout(PATIENCE * 3);
    let mut message = Vec::new();
    let stream = channel.stream(&chat).expect("begins");
    for round in 0..100_usize {
        let out = vec![round as u8; round * 1000];
        stream.send(&out).expect("sends");
        assert!(stream.recv(&mut message).expect("a message"));
        assert!(message == out);
    }
    stream.half_close().expect("half-closes");
    assert!(!stream.recv(&mut message).expect("the end"));
    let sleep = Call::new("/t.T/Sleep").timeout(PATIENCE * 3);
    let stream = channel.stream(&sleep).expect("begins");
    stream.send(b"").expect("sends");
    stream.cancel();
    assert_eq!(stream.recv(&mut message).expect_err("cancelled").code, Code::CANCELLED);
}

#[test]
fn all_that_a_call_left_however_it_ended() {
    let server = Running::new(
        Server::builder()
            .unary("/t.T/Echo", |request, response| {
                response.message.extend_from_slice(request.message);
                response.header("x-initial", b"i");
                Ok(())
            })
            .unary("/t.T/Refuse", |_, response| {
                response.trailer("x-details-bin", &[0, 255]);
                Err((Code::NOT_FOUND, "gone".into()))
            }),
    );
    let channel = channel(&[&server]);
    let mut completion = Completion::default();
    for _ in 0..2 {
        channel.complete(&ECHO, b"hello", &mut completion);
        assert_eq!((completion.code, &completion.response[..]), (Code::OK, &b"hello"[..]));
        assert_eq!((completion.message.as_str(), completion.reply.trailers().count()), ("", 0));
        assert_eq!(completion.reply.header("x-initial").as_deref(), Some(&b"i"[..]));
        channel.complete(&Call { path: "/t.T/Refuse", ..ECHO }, b"hello", &mut completion);
        assert_eq!((completion.code, completion.message.as_str()), (Code::NOT_FOUND, "gone"));
        assert_eq!(completion.reply.trailer("x-details-bin").as_deref(), Some(&[0, 255][..]));
        assert_eq!(completion.reply.header("x-initial"), None);
        assert_eq!(completion.reply.peer(), server.address().to_string());
    }
}
