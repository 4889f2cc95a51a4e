//! Answers every GET and POST with 200 and a body, over HTTP/2 in plaintext.

mod args;
mod h2;

use args::{Flag, Usage};
use grpclb::core::error::ErrorCode;
use grpclb::core::hpack::{Field, Indexing};
use grpclb::core::http2::{Config, Event, StreamError, StreamKey};
use h2::{End, Wire};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const USAGE: Usage = Usage {
    program: "h2_server",
    about: "Answers every GET and POST with 200 and a body, over HTTP/2 in plaintext (h2c with prior knowledge).\n\
            The first line on standard output is \"listening on ADDR\".",
    operands: &[],
    flags: &[
        Flag::required("listen", "ADDR", "ip:port or [ip]:port; port 0 takes a free one"),
        Flag::with_default("body-size", "N", "18", "octets of the body"),
    ],
};

const TEXT: &[u8] = b"Hello from HTTP/2\n";

fn main() {
    let args = USAGE.parse();
    let listen = args.text("listen");
    let body: Vec<u8> = TEXT.iter().copied().cycle().take(args.number("body-size")).collect();
    let address: std::net::SocketAddr = listen
        .parse()
        .unwrap_or_else(|_| args.fail(&format!("--listen {listen}: expected ip:port or [ip]:port")));
    let listener = TcpListener::bind(address)
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
        .unwrap_or_else(|error| args.fail(&format!("--listen {listen}: {error}")));
    println!("listening on {}", listener.0);
    for socket in listener.1.incoming() {
        let body = body.clone();
        match socket {
            Ok(socket) => _ = std::thread::spawn(move || serve(socket, &body)),
            Err(error) => eprintln!("h2_server: accept: {error}"),
        }
    }
}

/// A response that is being sent.
struct Answer {
    stream: StreamKey,
    head_sent: bool,
    sent: usize,
}

fn serve(socket: TcpStream, body: &[u8]) {
    let mut wire = match Wire::new(socket, &Config::server()) {
        Ok(wire) => wire,
        Err(error) => return eprintln!("h2_server: {error}"),
    };
    let mut answers: Vec<Answer> = Vec::new();
    loop {
        let mut received = Vec::new();
        let result = wire.turn(Duration::from_secs(600), |event| match event {
            Event::Headers { stream, end: true, .. } => {
                answers.push(Answer { stream, head_sent: false, sent: 0 });
            }
            Event::Data { stream, bytes, end } => {
                received.push((stream, bytes.len()));
                if end {
                    answers.push(Answer { stream, head_sent: false, sent: 0 });
                }
            }
            Event::Reset { stream, .. } => answers.retain(|answer| answer.stream != stream),
            _ => {}
        });
        match result {
            Ok(()) => {}
            Err(End::Protocol(error)) => return eprintln!("h2_server: {error}"),
            Err(_) => return,
        }
        for (stream, n) in received {
            wire.connection.release(stream, n);
        }
        answers.retain_mut(|answer| match go_on(&mut wire, answer, body) {
            Ok(done) => !done,
            Err(StreamError::Blocked) => true,
            Err(_) => {
                wire.connection.reset(answer.stream, ErrorCode::INTERNAL_ERROR);
                false
            }
        });
    }
}

/// Sends what can be sent of an answer; true when that was all.
fn go_on(wire: &mut Wire, answer: &mut Answer, body: &[u8]) -> Result<bool, StreamError> {
    let field = |name, value| Field { name, value, indexing: Indexing::Incremental };
    if !answer.head_sent {
        let length = body.len().to_string();
        let fields = [
            field(b":status", b"200"),
            field(b"content-type", b"text/plain"),
            field(b"content-length", length.as_bytes()),
        ];
        wire.connection.send_headers(answer.stream, fields.into_iter(), body.is_empty())?;
        answer.head_sent = true;
    }
    if answer.sent < body.len() {
        answer.sent += wire.connection.send_data(answer.stream, &body[answer.sent..], true)?;
    }
    Ok(answer.sent == body.len())
}
