//! One GET over HTTP/2 in plaintext.

mod args;
mod h2;

use args::{Flag, Usage};
use grpclb::core::hpack::{Field, Indexing};
use grpclb::core::http2::{Config, Event, HeadersKind, OpenError};
use h2::{End, Wire};
use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const USAGE: Usage = Usage {
    program: "h2_client",
    about: "Sends one GET over HTTP/2 in plaintext (h2c with prior knowledge), prints the body and ends.\n\
            Exit code 0: a response came, whatever its status. 1: none came.",
    operands: &["URL"],
    flags: &[
        Flag::with_default("timeout-ms", "N", "5000", "give up after so long"),
        Flag::switch("head", "print the response's header fields, too"),
    ],
};

/// How long the connection stays after the answer while nothing comes.
const LINGER: Duration = Duration::from_millis(50);

fn main() {
    let args = USAGE.parse();
    let url = args.operand(0);
    let Some(rest) = url.strip_prefix("http://") else {
        args.fail(&format!("{url}: expected http://HOST[:PORT][/PATH]"));
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    if authority.is_empty() || authority.contains('@') {
        args.fail(&format!("{url}: expected http://HOST[:PORT][/PATH]"));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let patience = Duration::from_millis(args.number("timeout-ms"));
    if let Err(message) = run(&address, authority, &path, patience, args.on("head")) {
        eprintln!("h2_client: {message}");
        std::process::exit(1);
    }
}

fn run(address: &str, authority: &str, path: &str, patience: Duration, head: bool) -> Result<(), String> {
    let until = Instant::now() + patience;
    let mut addresses = address.to_socket_addrs().map_err(|error| format!("{address}: {error}"))?;
    let address = addresses.next().ok_or_else(|| format!("{address}: no address"))?;
    let socket = TcpStream::connect_timeout(&address, patience.max(Duration::from_millis(1)))
        .map_err(|error| format!("{address}: {error}"))?;
    let mut wire = Wire::new(socket, &Config::client()).map_err(|error| error.to_string())?;
    let field = |name, value| Field { name, value, indexing: Indexing::Incremental };
    let fields = [
        field(b":method", b"GET"),
        field(b":scheme", b"http"),
        field(b":authority", authority.as_bytes()),
        field(b":path", path.as_bytes()),
        field(b"user-agent", b"libgrpclb-h2_client"),
    ];
    let now = wire.now();
    wire.connection.open(now, fields.into_iter(), true).map_err(|error| match error {
        OpenError::TooLarge => "the request is too large".to_owned(),
        error => format!("the request cannot be sent: {error:?}"),
    })?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut outcome = None;
        let mut received = Vec::new();
        let mut out = std::io::stdout().lock();
        let mut written = Ok(());
        let result = wire.turn(left, |event| match event {
            Event::Headers { kind, fields, end, .. } => {
                if head && kind != HeadersKind::Informational {
                    for (name, value) in fields {
                        let line = [name, b": ", value, b"\n"].concat();
                        written = out.write_all(&line);
                    }
                }
                if end {
                    outcome = Some(Ok(()));
                }
            }
            Event::Data { stream, bytes, end } => {
                written = out.write_all(bytes);
                received.push((stream, bytes.len()));
                if end {
                    outcome = Some(Ok(()));
                }
            }
            Event::Reset { code, .. } => outcome = Some(Err(format!("the stream was reset: {code}"))),
            _ => {}
        });
        written.map_err(|error| format!("standard output: {error}"))?;
        for (stream, n) in received {
            wire.connection.release(stream, n);
        }
        if let Some(outcome) = outcome {
            // The answer is there already. What the server had on its way behind it (a PING, say) is still heard.
            while Instant::now() < until && wire.turn(LINGER, |_| {}).is_ok() {}
            let now = wire.now();
            wire.connection.shutdown(now);
            wire.close();
            return outcome;
        }
        match result {
            Ok(()) => {}
            Err(End::Done) => return Err("the server went away before it answered".to_owned()),
            Err(End::TimedOut) => return Err(format!("no answer within {} ms", patience.as_millis())),
            Err(End::Socket(error)) => {
                return Err(format!("the connection broke before an answer came: {error}"));
            }
            Err(End::Protocol(error)) => return Err(error.to_string()),
        }
    }
}
