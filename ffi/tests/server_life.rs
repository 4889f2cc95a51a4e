//! The server's life: bad clients, limits, health, graceful and other ends.

mod wire;

use grpclb::core::grpc::Code;
use grpclb::{Server, ServerBuilder, ServingStatus};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use wire::{
    Client, DATA, END_HEADERS, Frame, GOAWAY, HEADERS, PATIENCE, PREFACE, Running, SETTINGS, prefixed,
};

/// Echo, and a method that takes as long as its message says, in milliseconds.
fn builder() -> ServerBuilder {
    Server::builder()
        .unary("/t.T/Echo", |request, response| {
            response.message.extend_from_slice(request.message);
            Ok(())
        })
        .unary_blocking("/t.T/Delay", |request, response| {
            let milliseconds = request.message.first().copied().map_or(0, u64::from) * 10;
            request.sleep(Duration::from_millis(milliseconds)).map_err(|code| (code, "over".to_owned()))?;
            response.message.push(1);
            Ok(())
        })
        .health()
}

fn connect(server: &Running) -> TcpStream {
    let socket = TcpStream::connect(server.address()).expect("connects");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Reads to the end; panics when the server does not close.
fn read_to_end(mut socket: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match socket.read_to_end(&mut said) {
        Err(error) if wire::is_timeout(&error) => panic!("the server does not close; it said {said:?}"),
        _ => said,
    }
}

#[test]
fn what_is_not_http2_is_closed_at_once() {
    let server = Running::new(builder());
    let tls = b"\x16\x03\x01\x00\xb5\x01\x00\x00\xb1\x03\x03".repeat(10);
    let nearly = [&PREFACE[..23], b"x"].concat();
    let bad: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &tls,
        &[0; 500],
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        &nearly,
        b"\r\n\r\n\r\n",
    ];
    for bytes in bad {
        let started = Instant::now();
        let mut socket = connect(&server);
        socket.write_all(bytes).expect("writes");
        read_to_end(socket);
        assert!(started.elapsed() < Duration::from_secs(5), "{bytes:?}");
    }
    assert_eq!(server.client().unary("/t.T/Echo", &[], b"x").messages(), [b"x"]);
}

#[test]
fn frames_that_break_the_rules_end_the_connection_with_goaway() {
    let server = Running::new(builder());
    let settings = Frame::new(SETTINGS, 0, 0, b"").bytes();
    let cases: [(&str, Vec<u8>, u32); 4] = [
        ("DATA before SETTINGS", Frame::new(DATA, 0, 1, b"x").bytes(), 1),
        (
            "HEADERS on stream 0",
            [settings.clone(), Frame::new(HEADERS, END_HEADERS, 0, b"").bytes()].concat(),
            1,
        ),
        (
            "SETTINGS of 5 octets",
            [settings.clone(), Frame::new(SETTINGS, 0, 0, b"12345").bytes()].concat(),
            6,
        ),
        ("broken HPACK", [settings, Frame::new(HEADERS, END_HEADERS, 1, &[0xff; 9]).bytes()].concat(), 9),
    ];
    for (name, bytes, code) in cases {
        let mut socket = connect(&server);
        socket.write_all(PREFACE).expect("writes");
        socket.write_all(&bytes).expect("writes");
        let said = read_to_end(socket);
        let mut rest = said.as_slice();
        let mut goaway = None;
        while let Ok(frame) = wire::read_frame(&mut rest) {
            if frame.kind == GOAWAY {
                goaway = Some(frame.number(4));
            }
        }
        assert_eq!(goaway, Some(code), "{name}");
    }
    assert_eq!(server.client().unary("/t.T/Echo", &[], b"x").messages(), [b"x"]);
}

#[test]
fn connections_that_are_cut_anywhere_leave_nothing_behind() {
    let server = Running::new(builder());
    let mut bytes = PREFACE.to_vec();
    bytes.extend(Frame::new(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).bytes());
    let block = wire::request_block("/t.T/Delay", &[("x-a", b"b")]);
    bytes.extend(Frame::new(HEADERS, END_HEADERS, 1, &block).bytes());
    bytes.extend(Frame::new(DATA, 0, 1, &prefixed(&[200])).bytes());
    for cut in 0..=bytes.len() {
        let mut socket = connect(&server);
        socket.write_all(&bytes[..cut]).expect("writes");
        // Some half close, some reset.
        if cut % 2 == 0 {
            socket.shutdown(Shutdown::Write).expect("shuts down");
            read_to_end(socket);
        }
    }
    let mut client = server.client();
    assert_eq!(client.unary("/t.T/Echo", &[], b"x").messages(), [b"x"]);
    // Graceful: nothing waits for the calls of connections that have gone.
    let started = Instant::now();
    drop(client);
    server.0.graceful_stop(PATIENCE);
    server.0.join();
    assert!(started.elapsed() < PATIENCE / 2);
}

#[test]
fn silence_ends_by_the_handshake_timeout() {
    let timeout = Duration::from_millis(200);
    let server = Running::new(builder().handshake_timeout(timeout));
    let mut speaks = server.client();
    assert_eq!(speaks.unary("/t.T/Echo", &[], b"x").status(), Some(0));
    for bytes in [&b""[..], &PREFACE[..10], PREFACE] {
        let started = Instant::now();
        let mut socket = connect(&server);
        socket.write_all(bytes).expect("writes");
        read_to_end(socket);
        let closed = started.elapsed();
        assert!(closed >= timeout && closed < timeout * 20, "{bytes:?}: {closed:?}");
    }
    assert_eq!(speaks.unary("/t.T/Echo", &[], b"y").status(), Some(0), "who has spoken may be silent");
}

/// Frames of every type with random flags, streams and payloads: each ends in a clean close or goes on, and the
/// server serves the others meanwhile.
#[test]
fn random_frames() {
    let server = Running::new(builder());
    let mut honest = server.client();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for connection in 0..300_u32 {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(Frame::new(SETTINGS, 0, 0, b"").bytes());
        for _ in 0..next(40) {
            let kind = if next(8) == 0 { next(256) } else { next(11) } as u8;
            let stream = [0, 1, 3, 5, 2, 7][next(6) as usize];
            let payload: Vec<u8> = if kind == HEADERS && next(2) == 0 {
                wire::request_block(["/t.T/Echo", "/t.T/Delay", "/x"][next(3) as usize], &[])
            } else if kind == DATA && next(2) == 0 {
                prefixed(&[1])
            } else {
                (0..next(40)).map(|_| next(256) as u8).collect()
            };
            let flags = if next(2) == 0 { END_HEADERS } else { next(256) as u8 };
            bytes.extend(Frame::new(kind, flags, stream, &payload).bytes());
        }
        let mut socket = connect(&server);
        // The server may close before it has read all.
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(Shutdown::Write);
        read_to_end(socket);
        let message = connection.to_be_bytes();
        assert_eq!(honest.unary("/t.T/Echo", &[], &message).messages(), [message]);
    }
}

#[test]
fn connections_above_the_limit_are_closed() {
    let server = Running::new(builder().max_connections(2));
    let mut first = server.client();
    let mut second = server.client();
    assert_eq!(first.unary("/t.T/Echo", &[], b"1").messages(), [b"1"]);
    assert_eq!(second.unary("/t.T/Echo", &[], b"2").messages(), [b"2"]);
    read_to_end(connect(&server));
    assert_eq!(first.unary("/t.T/Echo", &[], b"3").messages(), [b"3"]);
    drop(second);
    // Its place is free as soon as the server has seen that.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut socket = connect(&server);
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let mut octet = [0];
        if socket.read(&mut octet).is_ok_and(|n| n == 1) || Instant::now() > deadline {
            break;
        }
    }
    assert!(Instant::now() < deadline, "the place of a closed connection is not used again");
}

#[cfg(target_os = "linux")]
#[test]
fn no_descriptors_left() {
    // A process of its own, with few descriptors: this test again, as its own server.
    const INSIDE: &str = "GRPCLB_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(INSIDE).is_some() {
        let server = builder().bind("127.0.0.1:0").expect("binds");
        println!("listening on {}", server.local_addr().expect("an address"));
        server.serve().expect("serves");
        return;
    }
    let program = std::env::current_exe().expect("this test");
    let mut child = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 20 && exec \"$0\" --exact no_descriptors_left --nocapture"])
        .arg(program)
        .env(INSIDE, "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("sh starts");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut output, &mut line).expect("reads"), 0, "no address");
        if let Some((_, address)) = line.trim().split_once("listening on ") {
            break address.parse().expect("an address");
        }
    };
    let mut served = Client::connect(address);
    assert_eq!(served.unary("/t.T/Echo", &[], b"x").messages(), [b"x"]);
    // More connections than the process has descriptors; some wait in the backlog.
    let many: Vec<_> = (0..40).map(|_| TcpStream::connect(address).expect("the backlog takes it")).collect();
    let ticks = |child: &std::process::Child| -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("proc");
        let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
    };
    let before = ticks(&child);
    std::thread::sleep(Duration::from_millis(1500));
    let used = ticks(&child) - before;
    assert!(used < 30, "{used} of 150 ticks of processor time used for nothing");
    assert_eq!(served.unary("/t.T/Echo", &[], b"y").messages(), [b"y"], "those that are there are served");
    drop(many);
    assert_eq!(Client::connect(address).unary("/t.T/Echo", &[], b"z").messages(), [b"z"]);
    child.kill().expect("was running");
    child.wait().expect("ends");
}

#[test]
fn graceful_stop_lets_calls_end() {
    let server = Running::new(builder());
    let mut client = server.client();
    let stream = client.start("/t.T/Delay", &[], false);
    client.message(stream, &[40], true);
    let mut idle = server.client();
    assert_eq!(idle.unary("/t.T/Echo", &[], b"x").status(), Some(0));
    server.0.graceful_stop(PATIENCE);
    client.until(|client| !client.goaways.is_empty());
    assert!(TcpStream::connect(server.address()).is_err(), "nobody listens while it drains");
    let response = client.finish(stream);
    assert_eq!((response.status(), response.messages()), (Some(0), vec![vec![1]]));
    client.until_closed();
    idle.until_closed();
    for client in [&client, &idle] {
        let codes: Vec<_> = client.goaways.iter().map(|(_, code)| *code).collect();
        assert_eq!(codes, [0, 0], "two steps, NO_ERROR");
    }
    assert_eq!(client.goaways, [(0x7fff_ffff, 0), (stream, 0)], "RFC 9113 §6.8");
    server.0.join();
}

#[test]
fn graceful_stop_ends_what_takes_too_long() {
    let (told, hears) = mpsc::channel();
    let server = Running::new(Server::builder().unary_blocking("/t.T/Sleep", move |request, _| {
        told.send(Code::OK).expect("the test listens");
        told.send(request.sleep(PATIENCE * 10).expect_err("ended")).expect("the test listens");
        Ok(())
    }));
    let mut client = server.client();
    let stream = client.start("/t.T/Sleep", &[], false);
    client.message(stream, b"", true);
    assert_eq!(hears.recv_timeout(PATIENCE), Ok(Code::OK), "the handler runs");
    server.0.graceful_stop(Duration::from_millis(100));
    let response = client.finish(stream);
    assert_eq!(response.status(), Some(14), "{response:?}");
    assert_eq!(hears.recv_timeout(PATIENCE), Ok(Code::UNAVAILABLE));
    client.until_closed();
    server.0.join();
}

#[test]
fn stop_closes_at_once() {
    let server = Running::new(builder());
    let mut client = server.client();
    let stream = client.start("/t.T/Delay", &[], false);
    client.message(stream, &[255], true);
    let started = Instant::now();
    server.0.stop();
    client.until_closed();
    server.0.join();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn retired_connections_go_on_with_their_calls() {
    let server = Running::new(builder());
    let mut client = server.client();
    assert_eq!(client.unary("/t.T/Echo", &[], b"x").status(), Some(0), "the server knows this connection");
    let stream = client.start("/t.T/Delay", &[], false);
    client.message(stream, &[10], true);
    client.answers_pings = false;
    server.0.retire_connections();
    client.until(|client| !client.goaways.is_empty());
    // Between the two steps, calls that the client had started meanwhile are served (RFC 9113 §6.8).
    let late = client.start("/t.T/Echo", &[], false);
    client.message(late, b"late", true);
    assert_eq!(client.finish(late).messages(), [b"late"]);
    assert_eq!(client.finish(stream).status(), Some(0));
    assert_eq!(server.client().unary("/t.T/Echo", &[], b"x").status(), Some(0), "new connections are taken");
}

#[test]
fn connections_retire_by_age() {
    let age = Duration::from_millis(300);
    let server = Running::new(builder().max_connection_age(age, Some(Duration::from_millis(200))));
    let started = Instant::now();
    let mut client = server.client();
    let stream = client.start("/t.T/Delay", &[], false);
    client.message(stream, &[255], true);
    client.until(|client| !client.goaways.is_empty());
    let retired = started.elapsed();
    assert_eq!(client.goaway_debug, b"max_age", "gRFC A9");
    assert!(retired >= age.mul_f64(0.89), "{retired:?} is earlier than 300 ms less 10 %");
    client.until_closed();
    let closed = started.elapsed();
    assert!(closed >= retired + Duration::from_millis(190), "closed {closed:?}, retired {retired:?}");
    assert!(closed < Duration::from_millis(2000), "the grace ended what ran: {closed:?}");
}

#[test]
fn health_check_and_watch() {
    const CHECK: &str = "/grpc.health.v1.Health/Check";
    let server = Running::new(builder());
    let mut client = server.client();
    assert_eq!(client.unary(CHECK, &[], b"").messages(), [b"\x08\x01"]);
    assert_eq!(client.unary(CHECK, &[], b"\x0a\x01s").status(), Some(5), "NOT_FOUND");
    let watch = client.start("/grpc.health.v1.Health/Watch", &[], false);
    client.message(watch, b"\x0a\x01s", true);
    let mut expected = vec![];
    let mut expect = |client: &mut Client<TcpStream>, status: u8| {
        expected.extend(prefixed(&[8, status]));
        client.until(|client| client.responses[&watch].body.len() >= expected.len());
        assert_eq!(client.responses[&watch].body, expected);
    };
    expect(&mut client, 3);
    server.0.set_serving("s", ServingStatus::NotServing);
    expect(&mut client, 2);
    server.0.set_serving("s", ServingStatus::NotServing); // not a change: not told
    server.0.set_serving("s", ServingStatus::Serving);
    expect(&mut client, 1);
    assert_eq!(client.unary(CHECK, &[], b"\x0a\x01s").messages(), [b"\x08\x01"]);
    server.0.graceful_stop(PATIENCE);
    expect(&mut client, 2);
    let response = client.finish(watch);
    assert_eq!(response.status(), Some(14), "a watch does not hold up the end");
    client.until_closed();
    server.0.join();
}

#[test]
fn a_server_that_never_served_has_ended_too() {
    let server = builder().bind("127.0.0.1:0").expect("binds");
    let handle = server.handle();
    drop(server);
    handle.join();
}

#[cfg(unix)]
#[test]
fn unix_sockets() {
    let path = std::env::temp_dir().join(format!("grpclb-life-{}", std::process::id()));
    let server = builder().bind(&format!("unix:{}", path.display())).expect("binds");
    assert_eq!(server.local_addr(), None);
    let handle = server.spawn();
    let socket = std::os::unix::net::UnixStream::connect(&path).expect("connects");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut client = Client::over(socket, 65_535);
    assert_eq!(client.unary("/t.T/Echo", &[], b"x").messages(), [b"x"]);
    handle.graceful_stop(PATIENCE);
    client.until_closed();
    handle.join();
    assert!(!path.exists(), "the file goes with the server");
}
