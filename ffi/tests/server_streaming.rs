//! Streaming methods of the server, by bytes on a socket.

mod wire;

use grpclb::core::grpc::Code;
use grpclb::{Server, ServerStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use wire::{Client, DATA, PATIENCE, RST_STREAM, Running, WINDOW_UPDATE, prefixed};

fn over(code: Code) -> (Code, String) {
    (code, "over".to_owned())
}

fn echo(stream: &mut ServerStream) -> Result<(), (Code, String)> {
    let mut message = Vec::new();
    while stream.recv(&mut message).map_err(over)? {
        stream.send(&message).map_err(over)?;
    }
    Ok(())
}

#[test]
fn ping_pong_and_empty_streams() {
    let server = Running::new(Server::builder().streaming("/t.T/Echo", echo));
    let mut client = server.client();
    let stream = client.start("/t.T/Echo", &[], true);
    let response = client.finish(stream);
    assert_eq!((response.status(), response.body.len()), (Some(0), 0));

    let stream = client.start("/t.T/Echo", &[], false);
    for round in 0..50_u8 {
        let message = vec![round; usize::from(round) * 100];
        client.message(stream, &message, false);
        client.until(|client| {
            let body = &client.responses[&stream].body;
            body.ends_with(&prefixed(&message))
        });
    }
    client.end(stream);
    let response = client.finish(stream);
    assert_eq!((response.status(), response.messages().len()), (Some(0), 50));
}

#[test]
fn headers_and_trailers() {
    let server = Running::new(Server::builder().streaming("/t.T/Meta", |stream| {
        let value = stream.metadata("x-in").unwrap_or_default();
        stream.send_headers(&[("x-head", &value)]).map_err(over)?;
        assert_eq!(stream.send_headers(&[]), Err(Code::FAILED_PRECONDITION), "a second time");
        let mut message = Vec::new();
        assert_eq!(stream.recv(&mut message), Ok(false));
        stream.trailer("x-tail", &value);
        Err((Code::ABORTED, "so it goes".to_owned()))
    }));
    let mut client = server.client();
    let stream = client.start("/t.T/Meta", &[("x-in", b"v")], false);
    client.until(|client| !client.responses[&stream].headers.is_empty());
    assert_eq!(client.responses[&stream].header("x-head"), Some(&b"v"[..]), "before anything else happens");
    client.end(stream);
    let response = client.finish(stream);
    assert_eq!(response.trailer("x-tail"), Some(&b"v"[..]));
    assert_eq!((response.status(), response.status_message()), (Some(10), "so it goes".to_owned()));
}

#[test]
fn one_request_or_unimplemented() {
    let server = Running::new(Server::builder().streaming("/t.T/One", |stream| {
        let mut message = Vec::new();
        stream.recv_only(&mut message)?;
        stream.send(&message).map_err(over)
    }));
    let mut client = server.client();
    assert_eq!(client.unary("/t.T/One", &[], b"x").messages(), [b"x"]);
    let none = client.start("/t.T/One", &[], true);
    assert_eq!(client.finish(none).status(), Some(12));
    let two = client.start("/t.T/One", &[], false);
    client.message(two, b"a", false);
    client.message(two, b"b", true);
    assert_eq!(client.finish(two).status(), Some(12));
}

/// A client that sends faster than the handler takes is held back by its window, and no octet of window is lost.
#[test]
fn a_slow_handler_holds_the_client_back() {
    let (gate, open) = mpsc::channel::<()>();
    let open = Mutex::new(open);
    let server = Running::new(Server::builder().streaming("/t.T/Slow", move |stream| {
        open.lock().expect("gate").recv().expect("opens");
        let (mut message, mut sum) = (Vec::new(), 0);
        while stream.recv(&mut message).map_err(over)? {
            sum += message.len();
        }
        stream.send(&sum.to_be_bytes()).map_err(over)
    }));
    let mut client = server.client();
    let stream = client.start("/t.T/Slow", &[], false);
    // Messages until the window is used up.
    let message = prefixed(&[1; 1019]);
    let mut sent = 0;
    let all = 4_000_000 / message.len() * message.len();
    let mut stopped_at = None;
    client.socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    while sent < all {
        let room = client.window(stream) - sent;
        if room < message.len() {
            // Only as much window as octets can wait: reading brings nothing until the handler runs.
            match client.step() {
                Ok(_) => {}
                Err(error) if wire::is_timeout(&error) && stopped_at.is_none() => {
                    stopped_at = Some(sent);
                    gate.send(()).expect("handler waits");
                    client.socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                }
                Err(error) => panic!("the window does not open: {error}"),
            }
            continue;
        }
        client.send(DATA, 0, stream, &message);
        sent += message.len();
    }
    let stopped_at = stopped_at.expect("the window closes");
    assert!(stopped_at < 2_000_000, "{stopped_at} octets wait for a handler that takes none");
    client.end(stream);
    let response = client.finish(stream);
    let sum = all / message.len() * 1019;
    assert_eq!((response.status(), response.messages()), (Some(0), vec![sum.to_be_bytes().to_vec()]));
}

/// A handler that sends faster than the client takes waits.
#[test]
fn a_slow_client_holds_the_handler_back() {
    const MESSAGES: usize = 5000;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = Running::new(Server::builder().streaming("/t.T/Flood", move |stream| {
        for _ in 0..MESSAGES {
            stream.send(&[5; 1000]).map_err(over)?;
            count.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }));
    let mut client = Client::with_window(server.address(), 10_000);
    let stream = client.start("/t.T/Flood", &[], true);
    client.until(|client| client.responses[&stream].body.len() == 10_000);
    // The handler has come to a stop: what it has sent does not grow any more.
    let mut last = usize::MAX;
    let deadline = Instant::now() + PATIENCE;
    while last != sent.load(Ordering::SeqCst) {
        assert!(Instant::now() < deadline, "the handler does not stop");
        last = sent.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(last < 500, "{last} messages of 1 kB wait for a client that takes 10 kB");
    client.send(WINDOW_UPDATE, 0, stream, &0x4000_0000_u32.to_be_bytes());
    let response = client.finish(stream);
    assert_eq!((response.status(), response.messages().len()), (Some(0), MESSAGES));
}

#[test]
fn messages_larger_than_the_window_move() {
    let server = Running::new(Server::builder().streaming("/t.T/Echo", echo));
    let mut client = server.client();
    let stream = client.start("/t.T/Echo", &[], false);
    let message: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 253) as u8).collect();
    let bytes = prefixed(&message);
    let mut sent = 0;
    while sent < bytes.len() {
        let n = (client.window(stream) - sent).min(16_384).min(bytes.len() - sent);
        if n == 0 {
            client.step().expect("a WINDOW_UPDATE");
            continue;
        }
        client.send(DATA, 0, stream, &bytes[sent..sent + n]);
        sent += n;
    }
    client.end(stream);
    let response = client.finish(stream);
    assert_eq!(response.status(), Some(0));
    assert!(response.messages() == [message]);
}

#[test]
fn a_flood_of_empty_messages_is_bounded() {
    let (gate, open) = mpsc::channel::<()>();
    let open = Mutex::new(open);
    let server = Running::new(Server::builder().streaming("/t.T/Stuck", move |_| {
        // Takes nothing until the test is over.
        let _ = open.lock().expect("gate").recv();
        Ok(())
    }));
    let mut client = server.client();
    let stream = client.start("/t.T/Stuck", &[], false);
    let flood = prefixed(b"").repeat(2000);
    let (mut sent, mut messages) = (0, 0);
    while !client.responses[&stream].ended {
        // The prefixes' window comes back at once, as nothing of a message waits: only counting helps.
        if client.window(stream) - sent < flood.len() {
            client.step().expect("window, or the end");
            continue;
        }
        client.send(DATA, 0, stream, &flood);
        sent += flood.len();
        messages += 2000;
        assert!(messages < 3 * client.initial_window, "{messages} messages wait");
    }
    let response = client.finish(stream);
    assert_eq!(response.status(), Some(8), "{response:?}");
    drop(gate);
}

#[test]
fn cancellation_wakes_every_wait_of_a_handler() {
    let (told, hears) = mpsc::channel();
    let handler = move |wait: fn(&mut ServerStream) -> Code| {
        let told = told.clone();
        move |stream: &mut ServerStream| {
            told.send(Code::OK).expect("the test listens");
            told.send(wait(stream)).expect("the test listens");
            Ok(())
        }
    };
    let server = Running::new(
        Server::builder()
            .streaming(
                "/t.T/Recv",
                handler(|stream| stream.recv(&mut Vec::new()).map(drop).expect_err("cancelled")),
            )
            .streaming("/t.T/Sleep", handler(|stream| stream.sleep(PATIENCE * 10).expect_err("cancelled")))
            .streaming(
                "/t.T/Send",
                handler(|stream| {
                    loop {
                        if let Err(code) = stream.send(&[0; 1000]) {
                            return code;
                        }
                    }
                }),
            ),
    );
    for path in ["/t.T/Recv", "/t.T/Sleep", "/t.T/Send"] {
        let mut client = Client::with_window(server.address(), 1000);
        let stream = client.start(path, &[], false);
        assert_eq!(hears.recv_timeout(PATIENCE), Ok(Code::OK), "{path}: the handler runs");
        client.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        assert_eq!(hears.recv_timeout(PATIENCE), Ok(Code::CANCELLED), "{path}");
        let stream = client.start(path, &[("grpc-timeout", b"20m")], false);
        assert_eq!(hears.recv_timeout(PATIENCE), Ok(Code::OK), "{path}: the handler runs");
        assert_eq!(hears.recv_timeout(PATIENCE), Ok(Code::DEADLINE_EXCEEDED), "{path}");
        let _ = client.finish(stream);
    }
}

#[test]
fn workers_are_bounded_and_the_queue_too() {
    let (gate, open) = mpsc::channel::<()>();
    let open = Mutex::new(open);
    let (told, hears) = mpsc::channel();
    let server = Running::new(Server::builder().workers(2, 1).streaming("/t.T/Wait", move |_| {
        told.send(()).expect("the test listens");
        open.lock().expect("gate").recv().expect("opens");
        Ok(())
    }));
    let mut client = server.client();
    let running: Vec<_> = (0..2).map(|_| client.start("/t.T/Wait", &[], true)).collect();
    for _ in 0..2 {
        hears.recv_timeout(PATIENCE).expect("two handlers run");
    }
    let waits = client.start("/t.T/Wait", &[], true);
    let refused = client.start("/t.T/Wait", &[], true);
    assert_eq!(client.finish(refused).status(), Some(8));
    for _ in 0..3 {
        gate.send(()).expect("handlers wait");
    }
    for stream in running.into_iter().chain([waits]) {
        assert_eq!(client.finish(stream).status(), Some(0));
    }
}

#[test]
fn a_panic_ends_its_call_alone() {
    let server =
        Running::new(Server::builder().streaming("/t.T/Echo", echo).streaming("/t.T/Panic", |stream| {
            stream.send(b"before").map_err(over)?;
            panic!("on purpose")
        }));
    let mut client = server.client();
    let stream = client.start("/t.T/Panic", &[], true);
    let response = client.finish(stream);
    assert_eq!((response.status(), response.messages()), (Some(2), vec![b"before".to_vec()]));
    assert_eq!(client.unary("/t.T/Echo", &[], b"x").messages(), [b"x"]);
}
