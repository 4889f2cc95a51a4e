//! What the tests of the client share: a watchdog, and peers that speak HTTP/2 octet by octet.
#![allow(dead_code, unreachable_pub)] // each test includes it and uses a part

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Ends the process when a test hangs.
pub struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    pub fn new(seconds: u64) -> Watchdog {
        let done = Arc::new(AtomicBool::new(false));
        let seen = done.clone();
        let name = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            let end = Instant::now() + Duration::from_secs(seconds);
            while !seen.load(Ordering::Relaxed) {
                if Instant::now() > end {
                    // Past the capture of test output.
                    let _ = writeln!(io::stderr(), "{name} hangs: no end within {seconds} s");
                    std::process::exit(3);
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        Watchdog(done)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A listener on loopback that runs `serve` for each connection, on a thread each.
pub struct Peer {
    pub address: SocketAddr,
}

impl Peer {
    pub fn new(serve: impl Fn(Wire) + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for (number, socket) in listener.incoming().enumerate() {
                let Ok(socket) = socket else { return };
                let serve = serve.clone();
                thread::spawn(move || serve(Wire { socket, number }));
            }
        });
        Peer { address }
    }

    pub fn target(&self) -> String {
        format!("ipv4:{}", self.address)
    }
}

/// One accepted connection.
pub struct Wire {
    pub socket: TcpStream,
    /// The how-manieth it is, from 0.
    pub number: usize,
}

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame's octets (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// A header block of literals that are not indexed (RFC 7541 §6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut octets = Vec::new();
    for (name, value) in fields {
        assert!(name.len() < 127 && value.len() < 127);
        octets.extend([0, name.len() as u8]);
        octets.extend(name.as_bytes());
        octets.push(value.len() as u8);
        octets.extend(value.as_bytes());
    }
    octets
}

/// A message with its length prefix.
pub fn message(octets: &[u8]) -> Vec<u8> {
    let mut prefixed = vec![0];
    prefixed.extend((octets.len() as u32).to_be_bytes());
    prefixed.extend(octets);
    prefixed
}

/// Head of a good response.
pub fn head(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(&[(":status", "200"), ("content-type", "application/grpc")]))
}

/// Trailers with a status.
pub fn trailers(stream: u32, status: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&[("grpc-status", status)]))
}

/// A whole good response.
pub fn answer(stream: u32, octets: &[u8]) -> Vec<u8> {
    [head(stream), frame(DATA, 0, stream, &message(octets)), trailers(stream, "0")].concat()
}

impl Wire {
    /// Reads the client's preface and sends SETTINGS with these entries.
    pub fn shake_hands(&mut self, settings: &[(u16, u32)]) -> io::Result<()> {
        let mut preface = [0; 24];
        self.socket.read_exact(&mut preface)?;
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.send(&frame(SETTINGS, 0, 0, &payload))
    }

    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.socket.write_all(octets)
    }

    /// The next frame.
    pub fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head)?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; len];
        self.socket.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads up to the next request's HEADERS, and gives its stream. Answers SETTINGS and PINGs.
    pub fn request(&mut self) -> io::Result<u32> {
        loop {
            let frame = self.read()?;
            match frame.kind {
                HEADERS => return Ok(frame.stream),
                SETTINGS if frame.flags & 1 == 0 => self.send(&self::frame(SETTINGS, 1, 0, &[]))?,
                PING if frame.flags & 1 == 0 => self.send(&self::frame(PING, 1, 0, &frame.payload))?,
                _ => {}
            }
        }
    }

    /// Reads until the client closes.
    pub fn linger(&mut self) {
        let mut sink = [0; 4096];
        while matches!(self.socket.read(&mut sink), Ok(n) if n > 0) {}
    }
}
