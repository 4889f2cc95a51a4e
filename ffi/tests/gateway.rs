//! The gateway as a module of another program: routes, server-sent events, other backends while it runs.

#[path = "../examples/gateway/proxy/mod.rs"]
mod proxy;

use grpclb::core::grpc::Code;
use grpclb::{Channel, Server, ServerHandle};
use proxy::{Gateway, Handle, Reply};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

const ROUND_ROBIN: &str = r#"{"loadBalancingPolicy":"round_robin"}"#;

/// A backend that answers with its name, after `delay`.
fn backend(name: &'static str, delay: Duration) -> (ServerHandle, SocketAddr) {
    let server = Server::builder()
        .unary_blocking("/a.B/Name", move |request, response| {
            request.sleep(delay).map_err(|code| (code, "over".to_owned()))?;
            response.message.extend_from_slice(name.as_bytes());
            Ok(())
        })
        .bind("127.0.0.1:0")
        .expect("binds")
        .spawn();
    let address = server.local_addr().expect("TCP has an address");
    (server, address)
}

fn gateway(
    target: &str,
    routes: impl Fn(&proxy::Request<'_>) -> Option<Reply> + Send + 'static,
) -> (SocketAddr, Handle) {
    let backends = Channel::builder(target).service_config(ROUND_ROBIN);
    let gateway = Gateway::bind("127.0.0.1:0", backends).expect("listens").routes(routes);
    (gateway.local_addr(), gateway.spawn().expect("starts"))
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("connects");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("is set");
    socket
}

/// A whole exchange on a connection of its own.
fn ask(address: SocketAddr, method: &str, path: &str, fields: &str, body: &[u8]) -> String {
    let mut socket = connect(address);
    let len = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {len}\r\n{fields}\r\n"
    );
    socket.write_all(head.as_bytes()).expect("is written");
    socket.write_all(body).expect("is written");
    let mut said = Vec::new();
    socket.read_to_end(&mut said).expect("is read");
    String::from_utf8_lossy(&said).into_owned()
}

/// What a call is answered with.
fn call(address: SocketAddr) -> String {
    ask(address, "POST", "/a.B/Name", "content-type: application/grpc-web\r\n", &[0; 5])
}

#[test]
fn routes_answer_what_is_no_call() {
    let (server, at) = backend("one", Duration::ZERO);
    let kills = Mutex::new(0);
    let (address, handle) =
        gateway(&format!("ipv4:{at}"), move |request| match (request.method, request.path) {
            ("GET", "/state") => Some(Reply::json(200, format!("[{}]", request.query))),
            ("POST", "/kill") => {
                *kills.lock().unwrap() += 1;
                let kills = kills.lock().unwrap();
                Some(Reply::new(
                    202,
                    "text/plain",
                    format!("{kills} {}", String::from_utf8_lossy(request.body)),
                ))
            }
            _ => None,
        });
    let state = ask(address, "GET", "/state?a=1", "", b"");
    assert!(state.starts_with("HTTP/1.1 200") && state.ends_with("[a=1]"), "{state}");
    assert!(state.contains("content-type: application/json"), "{state}");
    let own = format!("origin: http://{address}\r\n");
    assert!(ask(address, "POST", "/kill", &own, b"it").ends_with("1 it"));
    let foreign = ask(address, "POST", "/kill", "origin: http://evil.example\r\n", b"it");
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    assert!(
        ask(address, "POST", "/kill", "", b"").ends_with("2 "),
        "the page of another origin had no effect"
    );
    assert!(ask(address, "POST", "/kill", "", &[b'x'; 70_000]).starts_with("HTTP/1.1 413"));
    assert!(ask(address, "GET", "/other", "", b"").starts_with("HTTP/1.1 405"));
    assert!(call(address).contains("one"), "calls are no matter of routes");
    handle.stop();
    server.stop();
}

#[test]
fn events_come_one_by_one_until_the_last() {
    let (address, handle) = gateway("ipv4:127.0.0.1:1", |_| {
        let mut left = 3;
        Some(Reply::events(Duration::from_millis(10), move || {
            left -= 1;
            (left >= 0).then(|| format!("{left}\nleft"))
        }))
    });
    let said = ask(address, "GET", "/", "", b"");
    assert!(said.contains("content-type: text/event-stream"), "{said}");
    let events: Vec<_> = said.lines().filter(|line| line.starts_with("data: ")).collect();
    assert_eq!(events, ["data: 2", "data: left", "data: 1", "data: left", "data: 0", "data: left"]);
    handle.stop();
}

#[test]
fn new_calls_go_to_new_backends_and_those_that_run_end_where_they_are() {
    let (slow, slow_at) = backend("slow", Duration::from_millis(500));
    let (fast, fast_at) = backend("fast", Duration::ZERO);
    let (address, handle) = gateway(&format!("ipv4:{slow_at}"), |_| None);
    let running = std::thread::spawn(move || call(address));
    // It has to have reached its backend; if not, this tests a little less.
    std::thread::sleep(Duration::from_millis(200));
    handle.switch(Channel::builder(&format!("ipv4:{fast_at}"))).expect("a good target");
    assert!(handle.switch(Channel::builder("zoo:x")).is_err(), "a wrong one changes nothing");
    let mut answer = call(address);
    for _ in 0..100 {
        if answer.contains("fast") {
            break;
        }
        answer = call(address);
    }
    assert!(answer.contains("fast") && answer.contains(&format!("grpclb-peer: {fast_at}")), "{answer}");
    let first = running.join().expect("no panic");
    assert!(first.contains("slow") && first.contains("grpc-status:0"), "{first}");
    handle.stop();
    slow.stop();
    fast.stop();
}

#[test]
fn a_body_that_stands_still_ends_its_call() {
    let (server, at) = backend("one", Duration::ZERO);
    let gateway = Gateway::bind("127.0.0.1:0", Channel::builder(&format!("ipv4:{at}"))).expect("listens");
    let gateway = gateway.patience(Duration::from_millis(100));
    let address = gateway.local_addr();
    let handle = gateway.spawn().expect("starts");
    let mut socket = connect(address);
    let head = "POST /a.B/Name HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web\r\ncontent-length: 5\r\n\r\n\0\0";
    socket.write_all(head.as_bytes()).expect("is written");
    let mut said = String::new();
    // The connection cannot be used for another request, so it is closed.
    socket.read_to_string(&mut said).expect("is read");
    assert!(said.contains("grpc-status: 1") && said.contains("stands still"), "{said}");
    assert!(call(address).contains("one"));
    handle.stop();
    server.stop();
}

#[test]
fn a_client_that_takes_nothing_is_gone_after_a_while() {
    let (over, ended) = mpsc::channel();
    let over = Mutex::new(over);
    let server = Server::builder()
        .streaming("/a.B/Endless", move |stream| {
            while stream.send(&[0; 16_384]).is_ok() {}
            over.lock().unwrap().send(stream.over()).expect("the test listens");
            Ok(())
        })
        .bind("127.0.0.1:0")
        .expect("binds")
        .spawn();
    let target = format!("ipv4:{}", server.local_addr().expect("TCP has an address"));
    let gateway = Gateway::bind("127.0.0.1:0", Channel::builder(&target)).expect("listens");
    let gateway = gateway.patience(Duration::from_millis(200));
    let address = gateway.local_addr();
    let handle = gateway.spawn().expect("starts");
    let mut socket = connect(address);
    let head = "POST /a.B/Endless HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web\r\ncontent-length: 5\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("is written");
    socket.write_all(&[0; 5]).expect("is written");
    let code = ended.recv_timeout(Duration::from_secs(20)).expect("the backend hears of it");
    assert_eq!(code, Some(Code::CANCELLED));
    // It was there all the time.
    drop(socket);
    handle.stop();
    server.stop();
}

#[test]
fn a_gateway_that_is_stopped_closes_its_port() {
    let (address, handle) = gateway("ipv4:127.0.0.1:1", |_| None);
    let mut idle = connect(address);
    handle.stop();
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0, "connections are closed");
    for _ in 0..200 {
        if TcpStream::connect(address).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it still listens");
}
