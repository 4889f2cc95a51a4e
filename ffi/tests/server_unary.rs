//! Unary methods of the server, by bytes on a socket.

mod wire;

use grpclb::Server;
use grpclb::core::grpc::Code;
use std::sync::mpsc;
use std::time::Duration;
use wire::{DATA, END_STREAM, PATIENCE, RST_STREAM, Running, prefixed};

fn echo_server() -> Running {
    Running::new(
        Server::builder()
            .unary("/t.T/Inline", |request, response| {
                response.message.extend_from_slice(request.message);
                Ok(())
            })
            .unary_blocking("/t.T/Blocking", |request, response| {
                response.message.extend_from_slice(request.message);
                Ok(())
            })
            .unary("/t.T/Fail", |_, _| Err((Code::NOT_FOUND, "nichts da: 50 % ☺".to_owned())))
            .unary("/t.T/Panic", |_, _| panic!("on purpose"))
            .unary_blocking("/t.T/PanicBlocking", |_, _| panic!("on purpose"))
            .max_message_size(1 << 20),
    )
}

#[test]
fn echoes_on_either_kind_of_thread() {
    let server = echo_server();
    let mut client = server.client();
    for path in ["/t.T/Inline", "/t.T/Blocking"] {
        for message in [&b"hello"[..], b"", &[7; 300]] {
            let response = client.unary(path, &[], message);
            assert_eq!(response.header(":status"), Some(&b"200"[..]));
            assert_eq!(response.header("content-type"), Some(&b"application/grpc"[..]));
            assert_eq!((response.status(), response.messages()), (Some(0), vec![message.to_vec()]), "{path}");
        }
    }
    assert_eq!(server.0.connections_accepted(), 1);
}

#[test]
fn half_close_apart_and_message_in_pieces() {
    let server = echo_server();
    let mut client = server.client();
    for path in ["/t.T/Inline", "/t.T/Blocking"] {
        let stream = client.start(path, &[], false);
        for octet in prefixed(b"in pieces") {
            client.send(DATA, 0, stream, &[octet]);
        }
        client.end(stream);
        let response = client.finish(stream);
        assert_eq!(
            (response.status(), response.messages()),
            (Some(0), vec![b"in pieces".to_vec()]),
            "{path}"
        );
    }
}

#[test]
fn messages_larger_than_any_window_or_outbox() {
    let server = echo_server();
    for path in ["/t.T/Inline", "/t.T/Blocking"] {
        let message: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        // The whole request is more than the server's window: send as it opens.
        let mut client = server.client();
        let stream = client.start(path, &[], false);
        let bytes = prefixed(&message);
        let mut sent = 0;
        while sent < bytes.len() {
            let room = client.window(stream) - sent;
            if room == 0 {
                client.step().expect("a WINDOW_UPDATE");
                continue;
            }
            let n = room.min(16_384).min(bytes.len() - sent);
            client.send(DATA, 0, stream, &bytes[sent..sent + n]);
            sent += n;
        }
        client.end(stream);
        let response = client.finish(stream);
        assert_eq!(response.status(), Some(0), "{path}: {}", response.status_message());
        assert_eq!(response.messages(), [message], "{path}");
    }
}

#[test]
fn errors_of_calls_leave_the_connection_alone() {
    let server = echo_server();
    let mut client = server.client();
    let response = client.unary("/t.T/Fail", &[], b"");
    assert_eq!((response.status(), response.body.as_slice()), (Some(5), &b""[..]));
    assert_eq!(response.status_message(), "nichts da: 50 %25 %E2%98%BA");
    for path in ["/t.T/Panic", "/t.T/PanicBlocking"] {
        let response = client.unary(path, &[], b"");
        assert_eq!(response.status(), Some(2), "{path}");
    }
    for path in ["/t.T/None", "/t.U/Inline", "/", "/t.T/inline"] {
        let response = client.unary(path, &[], b"");
        assert_eq!(response.status(), Some(12), "{path}");
        assert!(response.status_message().contains(path), "{}", response.status_message());
    }
    assert_eq!(client.unary("/t.T/Inline", &[], b"still here").messages(), [b"still here"]);
    assert_eq!(server.0.connections_accepted(), 1);
}

#[test]
fn cardinality_is_unimplemented() {
    let server = echo_server();
    let mut client = server.client();
    for path in ["/t.T/Inline", "/t.T/Blocking"] {
        let stream = client.start(path, &[], true);
        assert_eq!(client.finish(stream).status(), Some(12), "{path}: none, END_STREAM with HEADERS");
        let stream = client.start(path, &[], false);
        client.end(stream);
        assert_eq!(client.finish(stream).status(), Some(12), "{path}: none");
        let stream = client.start(path, &[], false);
        client.message(stream, b"one", false);
        client.message(stream, b"two", true);
        assert_eq!(client.finish(stream).status(), Some(12), "{path}: two");
        let stream = client.start(path, &[], false);
        let mut both = prefixed(b"one");
        both.extend(prefixed(b"two"));
        client.send(DATA, END_STREAM, stream, &both);
        assert_eq!(client.finish(stream).status(), Some(12), "{path}: two in one frame");
    }
    assert_eq!(client.unary("/t.T/Inline", &[], b"x").status(), Some(0));
}

#[test]
fn limits_and_broken_messages() {
    let server = echo_server();
    let mut client = server.client();
    for path in ["/t.T/Inline", "/t.T/Blocking"] {
        let stream = client.start(path, &[], false);
        client.send(DATA, 0, stream, &[0, 0, 0x10, 0, 1]); // 1 MiB and one octet
        assert_eq!(client.finish(stream).status(), Some(8), "{path}: above the limit");
        let stream = client.start(path, &[], false);
        client.send(DATA, END_STREAM, stream, &[0, 0, 0, 0, 9, 1, 2]);
        assert_eq!(client.finish(stream).status(), Some(13), "{path}: cut short");
        let stream = client.start(path, &[], false);
        client.send(DATA, END_STREAM, stream, &[1, 0, 0, 0, 1, 1]);
        assert_eq!(client.finish(stream).status(), Some(13), "{path}: compressed without grpc-encoding");
        let stream = client.start(path, &[("grpc-encoding", b"gzip")], false);
        client.send(DATA, END_STREAM, stream, &[1, 0, 0, 0, 1, 1]);
        assert_eq!(client.finish(stream).status(), Some(12), "{path}: an encoding that is not known");
    }
    assert_eq!(client.unary("/t.T/Inline", &[], b"x").status(), Some(0));
}

#[test]
fn metadata_both_ways() {
    let server = Running::new(Server::builder().unary("/t.T/Meta", |request, response| {
        for (name, trailing) in [("x-a", false), ("x-b-bin", true), ("x-c-bin", false)] {
            let value = request.metadata(name).ok_or((Code::INVALID_ARGUMENT, name.to_owned()))?;
            if trailing { response.trailer(name, &value) } else { response.header(name, &value) }
        }
        response.message.extend_from_slice(b"m");
        Ok(())
    }));
    let mut client = server.client();
    let response =
        client.unary("/t.T/Meta", &[("x-a", b"one"), ("x-b-bin", b"q6ur"), ("x-c-bin", b"AQ==")], b"");
    assert_eq!(response.status(), Some(0), "{}", response.status_message());
    assert_eq!(response.header("x-a"), Some(&b"one"[..]));
    assert_eq!(response.header("x-c-bin"), Some(&b"AQ"[..]), "sent unpadded");
    assert_eq!(response.trailer("x-b-bin"), Some(&b"q6ur"[..]));
    assert_eq!(response.messages(), [b"m"]);
    assert_eq!(client.unary("/t.T/Meta", &[], b"").status(), Some(3));
}

#[test]
fn metadata_that_a_handler_must_not_send() {
    let server = Running::new(
        Server::builder()
            .unary("/t.T/Header", |_, response| {
                response.header("Upper", b"x");
                Ok(())
            })
            .unary("/t.T/Trailer", |_, response| {
                response.message.push(1);
                response.trailer("grpc-status", b"0");
                Ok(())
            })
            .unary("/t.T/Large", |_, response| {
                response.trailer("x-large", &[b'x'; 100_000]);
                Ok(())
            }),
    );
    let mut client = server.client();
    for (path, part) in
        [("/t.T/Header", "Upper"), ("/t.T/Trailer", "grpc-status"), ("/t.T/Large", "too large")]
    {
        let response = client.unary(path, &[], b"");
        assert_eq!(response.status(), Some(13), "{path}");
        assert!(response.status_message().contains(part), "{path}: {}", response.status_message());
    }
}

#[test]
fn the_deadline_reaches_a_handler_that_sleeps() {
    let (told, hears) = mpsc::channel();
    let server = Running::new(Server::builder().unary_blocking("/t.T/Sleep", move |request, _| {
        let left = request.time_left().expect("a deadline");
        assert!(left <= Duration::from_millis(50), "{left:?}");
        let result = request.sleep(PATIENCE * 10);
        told.send((result, request.over())).expect("the test listens");
        Ok(())
    }));
    let mut client = server.client();
    let stream = client.start("/t.T/Sleep", &[("grpc-timeout", b"50m")], false);
    client.message(stream, b"", true);
    let (result, over) = hears.recv_timeout(PATIENCE).expect("the handler wakes");
    assert_eq!((result, over), (Err(Code::DEADLINE_EXCEEDED), Some(Code::DEADLINE_EXCEEDED)));
    let response = client.finish(stream);
    assert!(response.reset.is_some() || response.status() == Some(4), "{response:?}");
}

#[test]
fn cancellation_and_loss_reach_a_handler() {
    let (told, hears) = mpsc::channel();
    let server = Running::new(Server::builder().unary_blocking("/t.T/Sleep", move |request, _| {
        told.send(None).expect("the test listens");
        assert_eq!(request.time_left(), None);
        told.send(Some(request.sleep(PATIENCE * 10))).expect("the test listens");
        Ok(())
    }));
    for by_reset in [true, false] {
        let mut client = server.client();
        let stream = client.start("/t.T/Sleep", &[], false);
        client.message(stream, b"", true);
        assert_eq!(hears.recv_timeout(PATIENCE), Ok(None), "the handler runs");
        if by_reset {
            client.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        } else {
            drop(client);
        }
        let result = hears.recv_timeout(PATIENCE).expect("the handler wakes").expect("the second word");
        assert!(result.is_err(), "by_reset {by_reset}: {result:?}");
    }
}

#[test]
fn many_calls_at_once_on_one_connection() {
    let server = echo_server();
    let mut client = server.client();
    for round in 0..20_u8 {
        let streams: Vec<_> = (0..100_u8)
            .map(|i| {
                let path = if i % 3 == 0 { "/t.T/Blocking" } else { "/t.T/Inline" };
                let stream = client.start(path, &[], false);
                client.message(stream, &[round, i], true);
                (stream, [round, i])
            })
            .collect();
        for (stream, message) in streams {
            let response = client.finish(stream);
            assert_eq!((response.status(), response.messages()), (Some(0), vec![message.to_vec()]));
        }
    }
}
