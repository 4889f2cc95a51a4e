//! Many threads on one channel: leader and followers never hang, and every call gets its own answer.

mod common;

use common::Watchdog;
use grpclb::core::balancer::Connectivity;
use grpclb::core::grpc::Code;
use grpclb::{Call, Channel, Server, ServerHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ECHO: &str = "/test.Service/Echo";
const SLOW: &str = "/test.Service/Slow";
const STREAM: &str = "/test.Service/Stream";
const ROUND_ROBIN: &str = r#"{"loadBalancingPolicy":"round_robin"}"#;

fn backend() -> ServerHandle {
    Server::builder()
        .unary(ECHO, |request, response| {
            response.message.extend_from_slice(request.message);
            Ok(())
        })
        .unary_blocking(SLOW, |_, _| {
            thread::sleep(Duration::from_millis(1000));
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

fn backends(n: usize) -> (Vec<ServerHandle>, String) {
    let servers: Vec<_> = (0..n).map(|_| backend()).collect();
    let addresses: Vec<_> =
        servers.iter().map(|server| server.local_addr().expect("an address").to_string()).collect();
    (servers, format!("ipv4:{}", addresses.join(",")))
}

fn stop(servers: Vec<ServerHandle>) {
    for server in servers {
        server.stop();
        server.join();
    }
}

fn call(path: &str) -> Call<'_> {
    Call::new(path).timeout(Duration::from_secs(20))
}

/// What may cross threads, and what may be shared by them.
#[test]
fn bounds() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Channel>();
    shared::<grpclb::ChannelBuilder>();
    shared::<grpclb::Status>();
    sent::<grpclb::Stream>();
    sent::<grpclb::Reply>();
    sent::<grpclb::host::reactor::Reactor>();
}

#[test]
fn sixty_four_threads_in_forty_runs() {
    let _watchdog = Watchdog::new(120);
    let (servers, target) = backends(3);
    for run in 0..40 {
        let channel = Channel::builder(&target).service_config(ROUND_ROBIN).build().unwrap();
        thread::scope(|scope| {
            for caller in 0..64 {
                let channel = &channel;
                scope.spawn(move || {
                    let mut response = Vec::new();
                    for n in 0..20 {
                        let request = format!("{run} {caller} {n}");
                        let reply = channel.unary(&call(ECHO), request.as_bytes(), &mut response);
                        assert_eq!(response, request.as_bytes(), "{reply:?}");
                    }
                });
            }
        });
    }
    stop(servers);
}

/// Calls without deadlines and with very short ones, streams and watchers, all at once.
#[test]
fn everything_at_once() {
    let _watchdog = Watchdog::new(120);
    let (servers, target) = backends(2);
    let channel = Channel::builder(&target).service_config(ROUND_ROBIN).build().unwrap();
    let over = AtomicBool::new(false);
    let late = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (channel, over, late) = (&channel, &over, &late);
        for _ in 0..8 {
            scope.spawn(move || {
                let mut response = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    channel.unary(&Call::new(ECHO), b"x", &mut response).expect("an echo");
                }
            });
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let hurried = Call::new(SLOW).timeout(Duration::from_millis(5));
                    let status = channel.unary(&hurried, b"", &mut Vec::new()).expect_err("too slow");
                    assert_eq!(status.code, Code::DEADLINE_EXCEEDED, "{status}");
                    late.fetch_add(1, Ordering::Relaxed);
                }
            });
            scope.spawn(move || {
                let mut message = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let stream = channel.stream(&call(STREAM)).expect("a stream");
                    for n in 0..10u8 {
                        stream.send(&[n; 100]).expect("sent");
                        assert!(stream.recv(&mut message).expect("an echo"));
                        assert_eq!(message, [n; 100]);
                    }
                    stream.half_close().expect("closed");
                    assert!(!stream.recv(&mut message).expect("the end"));
                }
            });
        }
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                channel.wait_for_state_change(Connectivity::Ready, Duration::from_millis(20));
            }
        });
        thread::sleep(Duration::from_secs(3));
        over.store(true, Ordering::Relaxed);
    });
    assert!(late.load(Ordering::Relaxed) > 50);
    stop(servers);
}

/// A follower's deadline is its own, whatever the leader waits for.
#[test]
fn deadlines_of_followers() {
    let _watchdog = Watchdog::new(30);
    let (servers, target) = backends(1);
    let channel = Channel::builder(&target).build().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| channel.unary(&Call::new(SLOW), b"", &mut Vec::new()).expect("slow, but sure"));
        thread::sleep(Duration::from_millis(50));
        for _ in 0..4 {
            scope.spawn(|| {
                let started = Instant::now();
                let hurried = Call::new(SLOW).timeout(Duration::from_millis(50));
                let status = channel.unary(&hurried, b"", &mut Vec::new()).expect_err("too slow");
                assert_eq!(status.code, Code::DEADLINE_EXCEEDED, "{status}");
                assert!(started.elapsed() < Duration::from_millis(700), "{:?}", started.elapsed());
            });
        }
    });
    stop(servers);
}

#[test]
fn closing_ends_calls_everywhere() {
    let _watchdog = Watchdog::new(30);
    let (servers, target) = backends(1);
    let channel = Channel::builder(&target).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let status = channel.unary(&Call::new(SLOW), b"", &mut Vec::new()).expect_err("closed");
                assert_eq!(status.code, Code::CANCELLED, "{status}");
            });
        }
        scope.spawn(|| {
            let stream = channel.stream(&Call::new(STREAM)).expect("a stream");
            let status = stream.recv(&mut Vec::new()).expect_err("closed");
            assert_eq!(status.code, Code::CANCELLED, "{status}");
        });
        thread::sleep(Duration::from_millis(100));
        channel.close();
    });
    let status = channel.unary(&call(ECHO), b"", &mut Vec::new()).expect_err("closed");
    assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
    assert_eq!(channel.state(true), Connectivity::Shutdown);
    stop(servers);
}

#[test]
fn a_background_driver_notices_by_itself() {
    let _watchdog = Watchdog::new(30);
    let (mut servers, target) = backends(2);
    let channel = Channel::builder(&target).service_config(ROUND_ROBIN).build().unwrap();
    channel.drive_in_background().expect("a thread");
    assert!(channel.wait_for_ready_endpoints(2, Duration::from_secs(5)));
    let mut response = Vec::new();
    for n in 0..100u32 {
        channel.unary(&call(ECHO), &n.to_be_bytes(), &mut response).expect("an echo");
        assert_eq!(response, n.to_be_bytes());
    }
    let gone = servers.pop().expect("two servers");
    gone.stop();
    gone.join();
    thread::sleep(Duration::from_millis(200));
    // Known without any call having found it out.
    let ready = channel.endpoints().iter().filter(|(_, state)| *state == Connectivity::Ready).count();
    assert_eq!(ready, 1, "{:?}", channel.endpoints());
    drop(channel);
    stop(servers);
}

#[test]
fn an_interrupted_call_hands_over() {
    let _watchdog = Watchdog::new(30);
    let (servers, target) = backends(1);
    let stop_all = Arc::new(AtomicBool::new(false));
    let asked = stop_all.clone();
    let main = thread::current().id();
    let channel = Channel::builder(&target)
        .interrupt(move || thread::current().id() == main && asked.load(Ordering::Relaxed))
        .build()
        .unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            stop_all.store(true, Ordering::Relaxed);
        });
        let other = scope.spawn(|| {
            thread::sleep(Duration::from_millis(20));
            channel.unary(&Call::new(SLOW), b"", &mut Vec::new()).expect("not interrupted");
        });
        // This thread leads.
        let status = channel.unary(&Call::new(SLOW), b"", &mut Vec::new()).expect_err("interrupted");
        assert_eq!(status.code, Code::CANCELLED, "{status}");
        other.join().expect("the other call goes on");
    });
    stop(servers);
}

/// A leader whose hook panics takes the lead with it to nobody.
#[test]
fn a_panic_in_the_hook_is_the_callers_own() {
    let _watchdog = Watchdog::new(30);
    let (servers, target) = backends(1);
    let armed = Arc::new(AtomicBool::new(true));
    let seen = armed.clone();
    let channel = Channel::builder(&target)
        .interrupt(move || {
            let first = thread::current().name() == Some("unlucky");
            assert!(!(first && seen.swap(false, Ordering::SeqCst)), "the hook's own fault");
            false
        })
        .build()
        .unwrap();
    thread::scope(|scope| {
        let unlucky = thread::Builder::new()
            .name("unlucky".into())
            .spawn_scoped(scope, || {
                let _ = channel.unary(&Call::new(SLOW), b"", &mut Vec::new());
            })
            .unwrap();
        let others: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    channel.unary(&Call::new(SLOW), b"", &mut Vec::new()).expect("the others go on");
                })
            })
            .collect();
        assert!(unlucky.join().is_err(), "the hook panicked");
        for other in others {
            other.join().expect("no panic");
        }
    });
    assert!(!armed.load(Ordering::SeqCst));
    stop(servers);
}

/// One who follows, and whose hook panics, is given the lead no more; its call is cancelled.
#[test]
fn a_panic_in_the_hook_of_a_follower() {
    let _watchdog = Watchdog::new(30);
    let (servers, target) = backends(1);
    let channel = Channel::builder(&target)
        .interrupt(|| {
            assert!(thread::current().name() != Some("unlucky"), "the hook's own fault");
            false
        })
        .build()
        .unwrap();
    let slow = || channel.unary(&Call::new(SLOW), b"", &mut Vec::new());
    thread::scope(|scope| {
        let leader = scope.spawn(slow);
        thread::sleep(Duration::from_millis(300));
        let follower = scope.spawn(slow);
        thread::sleep(Duration::from_millis(200));
        let unlucky = thread::Builder::new().name("unlucky".into()).spawn_scoped(scope, slow).unwrap();
        let panic = unlucky.join().expect_err("the hook panicked");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"the hook's own fault"));
        leader.join().unwrap().expect("the leader goes on");
        follower.join().unwrap().expect("so does who follows it");
    });
    stop(servers);
}

/// A backend that is restarted while nobody calls: the next call succeeds.
#[test]
fn restarted_in_a_pause() {
    let _watchdog = Watchdog::new(60);
    for policy in ["{}", ROUND_ROBIN] {
        for failing_call_between in [false, true] {
            let first = backend();
            let address = first.local_addr().expect("an address");
            let channel = Channel::builder(&format!("ipv4:{address}"))
                .service_config(policy)
                .backoff(Duration::from_millis(50), Duration::from_millis(50))
                .build()
                .unwrap();
            let mut response = Vec::new();
            channel.unary(&call(ECHO), b"1", &mut response).expect("served");
            first.stop();
            first.join();
            if failing_call_between {
                thread::sleep(Duration::from_millis(60));
                let status = channel.unary(&call(ECHO), b"2", &mut response).expect_err("nobody there");
                assert_eq!(status.code, Code::UNAVAILABLE, "{status}");
            }
            let second = Server::builder()
                .unary(ECHO, |_, response| {
                    response.message.extend_from_slice(b"second");
                    Ok(())
                })
                .bind(&address.to_string())
                .expect("the same port")
                .spawn();
            thread::sleep(Duration::from_millis(120));
            channel.unary(&call(ECHO), b"3", &mut response).expect("served by the second");
            assert_eq!(response, b"second");
            second.stop();
            second.join();
        }
    }
}
