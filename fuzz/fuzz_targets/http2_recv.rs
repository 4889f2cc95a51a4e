//! A client's or server's HTTP/2 connection before any peer: no panic, no stall; the same events however the bytes are
//! split; what we send is frames, and our own peer understands their heads.
#![no_main]

#[path = "../../core/tests/http2/support.rs"]
mod support;

use grpclb_core::error::ErrorCode;
use grpclb_core::http2::{Config, ConnectionError, Event, StreamKey};
use grpclb_core::time::{Duration, Instant};
use grpclb_fuzz::{Choices, frames};
use libfuzzer_sys::fuzz_target;
use support::{Conn, GET, MAGIC, Memory, NOW, OK, POST, Told, list, told};

fn connection(server: bool, small: bool) -> Conn {
    let config = if server { Config::server() } else { Config::client() };
    let config = if small {
        Config { stream_window: 100, max_connection_idle: Some(Duration::from_secs(60)), ..config }
    } else {
        Config { keepalive_time: Some(Duration::from_secs(30)), ..config }
    };
    let memory = if small { Memory::new(2, 128, 1_024, 1_024) } else { Memory::default() };
    let mut conn = Conn::new(memory, &config, NOW);
    if !server {
        let _ = conn.open(NOW, list(&GET), true);
        let _ = conn.open(NOW, list(&POST), false);
    }
    conn
}

/// Events until the error, DATA of one stream joined.
fn events(conn: &mut Conn, wire: &[u8], step: usize) -> (Vec<Told>, Option<ConnectionError>) {
    let mut all: Vec<Told> = Vec::new();
    for mut input in wire.chunks(step.max(1)) {
        loop {
            let before = input.len();
            match conn.recv(NOW, &mut input) {
                Ok(Some(event)) => match (all.last_mut(), told(event)) {
                    (
                        Some(Told::Data { stream: a, bytes, end: end @ false }),
                        Told::Data { stream: b, bytes: more, end: last },
                    ) if *a == b => {
                        bytes.extend(more);
                        *end = last;
                    }
                    (_, event) => all.push(event),
                },
                Ok(None) if input.is_empty() => break,
                Ok(None) => assert!(input.len() < before, "recv stalls"),
                Err(error) => return (all, Some(error)),
            }
        }
    }
    (all, None)
}

/// As a program would: answers, releases, sends, lets time pass.
fn serve(conn: &mut Conn, server: bool, wire: &[u8], step: usize, mut choices: Choices<'_>) {
    let mut now = NOW;
    let mut sent = Vec::new();
    let mut over = false;
    for mut input in wire.chunks(step.max(1)) {
        while !over {
            let before = input.len();
            let (stream, released) = match conn.recv(now, &mut input) {
                Ok(Some(Event::Headers { stream, .. })) => (Some(stream), 0),
                Ok(Some(Event::Data { stream, bytes, .. })) => (Some(stream), bytes.len()),
                Ok(Some(_)) => (None, 0),
                Ok(None) if input.is_empty() => break,
                Ok(None) => {
                    assert!(input.len() < before, "recv stalls");
                    (None, 0)
                }
                Err(error) => {
                    assert_eq!(conn.recv(now, &mut &b"more"[..]).err(), Some(error), "sticky");
                    over = true;
                    (None, 0)
                }
            };
            if let Some(stream) = stream {
                command(conn, stream, released, server, &mut choices);
            }
            polled(conn, now, &mut sent, &mut choices);
        }
        if choices.u8() & 7 == 0 {
            now = passed(conn, now, choices.u8());
        }
        polled(conn, now, &mut sent, &mut choices);
    }
    // All that is due can be sent, and is whole frames.
    for _ in 0..100_000 {
        let n = conn.transmit(now).len();
        if n == 0 {
            break;
        }
        sent.extend_from_slice(conn.transmit(now));
        conn.transmitted(n);
        polled(conn, now, &mut sent, &mut Choices(&[]));
    }
    assert!(conn.transmit(now).is_empty(), "transmit does not end");
    support::frames(&sent);
    assert!(conn.poll_timeout().is_none_or(|at| at > NOW));
}

fn command(conn: &mut Conn, stream: StreamKey, received: usize, server: bool, choices: &mut Choices<'_>) {
    conn.release(stream, received.saturating_sub(choices.below(4)));
    match choices.below(8) {
        0 if server => _ = conn.send_headers(stream, list(&OK), choices.u8() & 1 == 1),
        1 if server => _ = conn.send_headers(stream, list(&[("trailer", "x")]), true),
        2 | 3 => _ = conn.send_data(stream, &[7; 300][..choices.u8().into()], choices.u8() & 1 == 1),
        4 => conn.reset(stream, ErrorCode::CANCEL),
        5 if !server => _ = conn.open(NOW, list(&POST), false),
        6 if choices.u8() == 0 => conn.shutdown(NOW),
        _ => {}
    }
}

fn polled(conn: &mut Conn, now: Instant, sent: &mut Vec<u8>, choices: &mut Choices<'_>) {
    for n in 0.. {
        assert!(n < 100_000, "poll_event does not end");
        if conn.poll_event().is_none() {
            break;
        }
    }
    if choices.u8() & 1 == 0 {
        let n = conn.transmit(now).len();
        let n = if choices.u8() & 1 == 0 { n } else { n.min(choices.u8().into()) };
        sent.extend_from_slice(&conn.transmit(now)[..n]);
        conn.transmitted(n);
    }
}

fn passed(conn: &mut Conn, now: Instant, seconds: u8) -> Instant {
    let now = now.after(Duration::from_secs(seconds.into()));
    if conn.poll_timeout().is_some_and(|at| at <= now) {
        let _ = conn.handle_timeout(now);
    }
    now
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let what = choices.u8();
    let (server, small, raw) = (what & 1 == 1, what & 2 == 2, what & 4 == 4);
    let step = 1 + choices.below(40);
    let commands = choices.take(usize::from(what >> 3));
    let body = if raw { choices.0.to_vec() } else { frames(&mut choices) };
    let mut wire = if server && what & 8 == 0 { MAGIC.to_vec() } else { Vec::new() };
    // A SETTINGS first, so that it need not be found.
    wire.extend(support::settings(&[]));
    wire.extend(body);

    let whole = events(&mut connection(server, small), &wire, usize::MAX);
    assert_eq!(whole, events(&mut connection(server, small), &wire, step), "split by {step}");
    serve(&mut connection(server, small), server, &wire, step, Choices(commands));
});
