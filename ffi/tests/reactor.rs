//! The reactor as an event loop has it: one descriptor, one timeout, `process` until it yields 0.
#![cfg(unix)]

mod common;

use common::Watchdog;
use grpclb::core::balancer::Connectivity;
use grpclb::core::grpc::Code;
use grpclb::host::reactor::{Progress, Reactor};
use grpclb::{Call, Channel, Server, ServerHandle};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// The poll(2) of the system, which an event loop stands on: level-triggered.
mod poll {
    use std::os::fd::AsRawFd;
    use std::os::fd::BorrowedFd;
    use std::time::Duration;

    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: i16,
        revents: i16,
    }

    unsafe extern "C" {
        fn poll(fds: *mut PollFd, count: std::ffi::c_ulong, timeout: i32) -> i32;
    }

    /// Whether the descriptor is readable within the time.
    pub(super) fn readable(fd: BorrowedFd<'_>, limit: Option<Duration>) -> bool {
        let mut one = PollFd { fd: fd.as_raw_fd(), events: 1, revents: 0 };
        let millis = limit.map_or(-1, |limit| limit.as_millis() as i32 + 1);
        // SAFETY: one entry, which outlives the call.
        unsafe { poll(&mut one, 1, millis) > 0 }
    }
}

const ECHO: &str = "/test.Service/Echo";
const STREAM: &str = "/test.Service/Stream";

fn backend() -> ServerHandle {
    Server::builder()
        .unary(ECHO, |request, response| {
            response.message.extend_from_slice(request.message);
            response.header("x-initial", b"i");
            response.trailer("x-trailing", b"t");
            Ok(())
        })
        .streaming(STREAM, |stream| {
            let mut message = Vec::new();
            while stream.recv(&mut message).map_err(|code| (code, String::new()))? {
                stream.send(&message).map_err(|code| (code, String::new()))?;
            }
            Ok(())
        })
        .bind("127.0.0.1:0")
        .expect("a port")
        .spawn()
}

fn reactor_to(servers: &[ServerHandle]) -> Reactor {
    let addresses: Vec<_> =
        servers.iter().map(|server| server.local_addr().expect("an address").to_string()).collect();
    let builder = Channel::builder(&format!("ipv4:{}", addresses.join(",")))
        .service_config(r#"{"loadBalancingPolicy":"round_robin"}"#);
    Reactor::new(builder).expect("a reactor")
}

/// One turn of an event loop.
fn turn(reactor: &mut Reactor) {
    let limit = reactor.poll_timeout();
    poll::readable(reactor.as_fd(), limit);
    while reactor.process().expect("it goes on") > 0 {}
}

#[test]
fn many_calls_at_once() {
    let _watchdog = Watchdog::new(60);
    let servers = [backend(), backend(), backend()];
    let mut reactor = reactor_to(&servers);
    assert_eq!(reactor.state(false), Connectivity::Idle);
    let mut expected = HashMap::new();
    let mut shares: HashMap<String, u32> = HashMap::new();
    let (mut started, mut done) = (0u32, 0u32);
    while done < 3_000 {
        while started < 3_000 && expected.len() < 100 {
            let request = started.to_be_bytes();
            let call = Call::new(ECHO).timeout(Duration::from_secs(20));
            let key = reactor.start_call(&call, &request);
            assert!(expected.insert(key, request).is_none());
            started += 1;
        }
        turn(&mut reactor);
        while let Some(key) = reactor.poll_call() {
            let completion = reactor.take(key).expect("a unary call has news once: at its end");
            assert_eq!(completion.code, Code::OK, "{}", completion.message);
            assert_eq!(completion.response, expected.remove(&key).expect("one of ours"));
            assert_eq!(completion.reply.header("x-initial").as_deref(), Some(&b"i"[..]));
            assert_eq!(completion.reply.trailer("x-trailing").as_deref(), Some(&b"t"[..]));
            *shares.entry(completion.reply.peer().into()).or_default() += 1;
            assert!(reactor.take(key).is_none(), "taken once");
            done += 1;
        }
    }
    assert_eq!(shares.len(), 3);
    assert!(expected.is_empty());
    assert!(reactor.as_fd().as_raw_fd() == reactor.as_raw_fd());
}

#[test]
fn streams_tell_when_there_is_something() {
    let _watchdog = Watchdog::new(60);
    let servers = [backend()];
    let mut reactor = reactor_to(&servers);
    let stream = reactor.start_stream(&Call::new(STREAM));
    let bodies: Vec<Vec<u8>> = [0, 10, 100_000, 1_500_000, 3].map(|len| vec![len as u8; len]).to_vec();
    let (mut sent, mut received) = (0, Vec::new());
    let mut message = Vec::new();
    let end = loop {
        while sent < bodies.len() && reactor.send(stream, Some(&bodies[sent]), sent + 1 == bodies.len()) {
            sent += 1;
        }
        turn(&mut reactor);
        while let Some(key) = reactor.poll_call() {
            assert_eq!(key, stream);
            while reactor.recv(key, &mut message) {
                received.push(std::mem::take(&mut message));
            }
        }
        if let Some(end) = reactor.take(stream) {
            break end;
        }
    };
    assert_eq!(end.code, Code::OK, "{}", end.message);
    assert!(received == bodies, "{:?}", received.iter().map(Vec::len).collect::<Vec<_>>());
}

#[test]
fn how_far_a_stream_is() {
    let _watchdog = Watchdog::new(60);
    let servers = [Server::builder()
        .streaming(STREAM, |stream| {
            stream.send_headers(&[("x-initial", b"i")]).map_err(|code| (code, String::new()))?;
            let mut message = Vec::new();
            while stream.recv(&mut message).map_err(|code| (code, String::new()))? {
                stream.send(&message).map_err(|code| (code, String::new()))?;
            }
            Ok(())
        })
        .bind("127.0.0.1:0")
        .expect("a port")
        .spawn()];
    let mut reactor = reactor_to(&servers);
    let stream = reactor.start_stream(&Call::new(STREAM));
    let begun = reactor.progress(stream).expect("it runs");
    assert_eq!(
        begun,
        Progress { has_headers: false, waiting: 0, is_sending: false, has_ended: false, is_late: false }
    );
    assert_eq!(reactor.headers(stream).count(), 0);
    assert!(reactor.send(stream, Some(b"one"), false));
    assert!(reactor.progress(stream).expect("it runs").is_sending, "there is no connection yet");
    while reactor.progress(stream).expect("it runs").waiting == 0 {
        turn(&mut reactor);
    }
    let running = reactor.progress(stream).expect("it runs");
    assert_eq!(
        running,
        Progress { has_headers: true, waiting: 1, is_sending: false, has_ended: false, is_late: false }
    );
    assert!(reactor.headers(stream).eq([(&b"x-initial"[..], &b"i"[..])]));
    assert!(reactor.peer(stream).is_some());
    reactor.half_close(stream);
    while !reactor.progress(stream).expect("not taken").has_ended {
        turn(&mut reactor);
    }
    assert_eq!(reactor.progress(stream).expect("not taken").waiting, 1, "messages outlive the end");
    let mut message = Vec::new();
    assert!(reactor.recv(stream, &mut message) && message == b"one");
    assert_eq!(reactor.take(stream).expect("ended").code, Code::OK);
    assert_eq!(reactor.progress(stream), None);
}

#[test]
fn time_and_cancelling() {
    let _watchdog = Watchdog::new(30);
    let servers = [backend()];
    let mut reactor = reactor_to(&servers);
    let started = Instant::now();
    let late = reactor.start_call(&Call::new(STREAM).timeout(Duration::from_millis(150)), b"");
    // A unary call to a method that waits for the end of the stream it never gets: the server echoes its one message.
    let cancelled = reactor.start_stream(&Call::new(STREAM));
    let quiet = reactor.start_stream(&Call::new(STREAM).timeout(Duration::from_millis(150)));
    reactor.cancel(cancelled);
    let mut ends = HashMap::new();
    loop {
        for key in [late, cancelled, quiet] {
            if let Some(completion) = reactor.take(key) {
                ends.insert(key, completion.code);
            }
        }
        if ends.len() == 3 {
            break;
        }
        turn(&mut reactor);
    }
    assert_eq!(ends[&cancelled], Code::CANCELLED);
    assert_eq!(ends[&late], Code::OK);
    assert_eq!(ends[&quiet], Code::DEADLINE_EXCEEDED);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(149) && took < Duration::from_secs(2), "{took:?}");
    let running = reactor.start_stream(&Call::new(STREAM));
    reactor.close();
    assert_eq!(reactor.take(running).expect("ended").code, Code::CANCELLED);
    let after = reactor.start_call(&Call::new(ECHO), b"");
    assert_eq!(reactor.take(after).expect("ended").code, Code::UNAVAILABLE);
}
