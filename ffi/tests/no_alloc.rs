//! The blocking client allocates nothing per call once its buffers have their size. Counted on the calling thread alone,
//! which here drives its channel itself: connection, balancer and reactor run on it. Nor does the server's driving
//! thread, counted there.

mod common;

use common::Watchdog;
use grpclb::core::balancer::{Action, Address, Config, Endpoint, Pick, SubchannelEvent};
use grpclb::core::time::Instant;
use grpclb::{Call, Channel, Picker, Server};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every method hands its arguments on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn no_allocation_a_call() {
    let _watchdog = Watchdog::new(60);
    let servers: Vec<_> = (0..3)
        .map(|_| {
            Server::builder()
                .unary("/test.Service/Echo", |request, response| {
                    response.message.extend_from_slice(request.message);
                    response.header("x-server", b"one");
                    response.trailer("x-cost-bin", &[1, 2, 3]);
                    Ok(())
                })
                .bind("127.0.0.1:0")
                .expect("a port")
                .spawn()
        })
        .collect();
    let addresses: Vec<_> =
        servers.iter().map(|server| server.local_addr().expect("an address").to_string()).collect();
    let channel = Channel::builder(&format!("ipv4:{}", addresses.join(",")))
        .service_config(
            r#"{"loadBalancingConfig":[{"round_robin":{}}],
                "methodConfig":[{"name":[{"service":"test.Service"}],"timeout":"10s"}]}"#,
        )
        .build()
        .unwrap();
    assert!(channel.wait_for_ready_endpoints(3, Duration::from_secs(5)));

    let mut response = Vec::new();
    let metadata: [(&str, &[u8]); 2] = [("x-tenant", b"blue"), ("x-trace-bin", &[0, 255])];
    let mut calls = |n: u32, request: &[u8]| {
        for _ in 0..n {
            let call = Call::new("/test.Service/Echo").timeout(Duration::from_secs(5)).metadata(&metadata);
            let reply = channel.unary(&call, request, &mut response).expect("an echo");
            assert_eq!(response, request);
            assert!(!reply.peer().is_empty());
            assert!(reply.trailers().eq([(&b"x-cost-bin"[..], &[1u8, 2, 3][..])]));
        }
    };
    // Warm: tables, buffers, and one of each size.
    let large = vec![7; 100_000];
    calls(300, b"hello");
    calls(30, &large);
    assert_eq!(allocations(|| calls(3_000, b"hello")), 0, "small calls");
    assert_eq!(allocations(|| calls(300, &large)), 0, "calls that flow out in parts");
    // It counts.
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
    for server in servers {
        server.stop();
        server.join();
    }
}

#[test]
fn no_allocation_a_call_at_the_server() {
    let _watchdog = Watchdog::new(60);
    let over = |code| (code, "over".to_owned());
    let server = Server::builder()
        // Runs on the driving thread, so it reads that thread's counter.
        .unary("/test.Service/Count", |_, response| {
            response.message.extend_from_slice(&ALLOCATIONS.with(Cell::get).to_be_bytes());
            Ok(())
        })
        .unary("/test.Service/Echo", |request, response| {
            response.message.extend_from_slice(request.message);
            Ok(())
        })
        .unary("/test.Service/Metadata", |request, response| {
            response.message.extend_from_slice(request.message);
            response.header("x-server", b"one");
            response.trailer("x-cost-bin", &[1, 2, 3]);
            Ok(())
        })
        .unary_blocking("/test.Service/Blocking", |request, response| {
            response.message.extend_from_slice(request.message);
            Ok(())
        })
        .streaming("/test.Service/Stream", move |stream| {
            let mut message = Vec::new();
            while stream.recv(&mut message).map_err(over)? {
                stream.send(&message).map_err(over)?;
            }
            Ok(())
        })
        .bind("127.0.0.1:0")
        .expect("a port")
        .spawn();
    let target = format!("ipv4:{}", server.local_addr().expect("an address"));
    let channel = Channel::builder(&target).build().expect("a channel");
    let mut response = Vec::new();
    let mut unary = |path: &str, message: &[u8]| {
        let call = Call::new(path).timeout(Duration::from_secs(20)).metadata(&[("x-tenant", b"blue")]);
        channel.unary(&call, message, &mut response).expect("OK");
    };
    for (path, allowed) in [
        ("/test.Service/Echo", 0),
        ("/test.Service/Metadata", 0),
        // A worker may still hold the last call's record when the next one begins: a new one, now and then.
        ("/test.Service/Blocking", 100),
        ("/test.Service/Stream", 100),
    ] {
        let mut calls = |n| {
            for _ in 0..n {
                if path.ends_with("Stream") {
                    let call = Call::new(path).timeout(Duration::from_secs(20));
                    let stream = channel.stream(&call).expect("begins");
                    let mut message = Vec::new();
                    for _ in 0..3 {
                        stream.send(b"hello").expect("sends");
                        assert!(stream.recv(&mut message).expect("a message"));
                    }
                    stream.half_close().expect("half-closes");
                    assert!(!stream.recv(&mut message).expect("the end"));
                } else {
                    unary(path, b"hello");
                }
            }
        };
        calls(50);
        let read = |channel: &Channel| {
            let mut response = Vec::new();
            channel.unary(&Call::new("/test.Service/Count"), b"", &mut response).expect("OK");
            u64::from_be_bytes(response.try_into().expect("eight octets"))
        };
        let before = read(&channel);
        calls(1000);
        let used = read(&channel) - before;
        assert!(used <= allowed, "{path}: {used} allocations in 1000 calls");
        println!("{path}: {used} allocations in 1000 calls");
    }
    server.stop();
    server.join();
}

#[test]
fn no_allocation_a_pick() {
    let picker = Picker::new(&Config::default(), 0);
    let now = |ms: u64| Instant::from_nanos(ms * 1_000_000);
    picker.connect(now(0));
    let addresses = [1, 2, 3].map(|n| Address::Ip(([10, 0, 0, n], 50051).into()));
    let endpoints =
        addresses.each_ref().map(|address| Endpoint { addresses: std::slice::from_ref(address), weight: 1 });
    picker.handle_resolution(now(0), &endpoints, r#"{"loadBalancingPolicy":"round_robin"}"#).expect("good");
    while let Some(action) = picker.poll_action() {
        if let Action::Connect(id) = action {
            picker.handle_subchannel(now(0), id, SubchannelEvent::Ready);
        }
    }
    // The first makes the table.
    assert!(matches!(picker.pick(now(0)), Pick::Subchannel(_)));
    let picks = || (1..1_000).for_each(|ms| assert!(matches!(picker.pick(now(ms)), Pick::Subchannel(_))));
    assert_eq!(allocations(picks), 0);
}
