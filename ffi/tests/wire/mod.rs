//! An HTTP/2 client of a few lines, so that the server is tested by bytes and not by our own client's idea of them.
//! It decodes responses with core's HPACK decoder, which has tests of its own, and encodes requests by hand.
#![allow(dead_code)] // each test uses a part of it

use grpclb::core::hpack::{Decoder, Step};
use grpclb::{ServerBuilder, ServerHandle};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

/// How long anything may take. Long, since the machine may be busy; nothing waits for it in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Stops its server at the end of a test.
pub(crate) struct Running(pub(crate) ServerHandle);

impl Running {
    pub(crate) fn new(builder: ServerBuilder) -> Running {
        Running(builder.bind("127.0.0.1:0").expect("binds").spawn())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    pub(crate) fn client(&self) -> Client<TcpStream> {
        Client::connect(self.address())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
        self.0.join();
    }
}

/// One frame (RFC 9113 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
        Frame { kind, flags, stream, payload: payload.to_vec() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = u32::try_from(self.payload.len()).expect("small").to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The four octets at `at`, as a number.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four octets"))
    }
}

/// What came back on one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// END_STREAM came.
    pub(crate) ended: bool,
    /// RST_STREAM came, with this code.
    pub(crate) reset: Option<u32>,
}

impl Response {
    fn field<'a>(list: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
        list.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_slice())
    }
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        Response::field(&self.headers, name)
    }
    pub(crate) fn trailer(&self, name: &str) -> Option<&[u8]> {
        Response::field(&self.trailers, name)
    }
    /// grpc-status, of a Trailers-Only response as well.
    pub(crate) fn status(&self) -> Option<u32> {
        let value = self.trailer("grpc-status").or_else(|| self.header("grpc-status"))?;
        Some(std::str::from_utf8(value).expect("ASCII").parse().expect("a number"))
    }
    pub(crate) fn status_message(&self) -> String {
        let value = self.trailer("grpc-message").or_else(|| self.header("grpc-message"));
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    }
    /// The messages of the body; panics when it is not made of whole ones.
    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        let (mut rest, mut messages) = (self.body.as_slice(), Vec::new());
        while !rest.is_empty() {
            let len = u32::from_be_bytes(rest[1..5].try_into().expect("four octets")) as usize;
            assert_eq!(rest[0], 0, "the compressed flag");
            messages.push(rest[5..5 + len].to_vec());
            rest = &rest[5 + len..];
        }
        messages
    }
}

/// A connection that has sent its preface and SETTINGS.
pub(crate) struct Client<S> {
    pub(crate) socket: S,
    decoder: Decoder,
    table: Vec<u8>,
    next: u32,
    pub(crate) responses: HashMap<u32, Response>,
    /// Every GOAWAY so far: last stream id and code.
    pub(crate) goaways: Vec<(u32, u32)>,
    /// The last one's debug data.
    pub(crate) goaway_debug: Vec<u8>,
    /// Whether PINGs are answered; the second step of a graceful GOAWAY waits for that.
    pub(crate) answers_pings: bool,
    /// Octets of window that the server gave, by stream, its SETTINGS apart.
    pub(crate) window_updates: HashMap<u32, u64>,
    /// SETTINGS_INITIAL_WINDOW_SIZE of the server.
    pub(crate) initial_window: u32,
}

impl Client<TcpStream> {
    /// Connects, with all the window there is.
    pub(crate) fn connect(address: SocketAddr) -> Client<TcpStream> {
        Client::with_window(address, 0x7fff_ffff)
    }

    /// Connects, with that window for each stream.
    pub(crate) fn with_window(address: SocketAddr, window: u32) -> Client<TcpStream> {
        let socket = TcpStream::connect(address).expect("connects");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client::over(socket, window)
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(socket: S, window: u32) -> Client<S> {
        let mut client = Client {
            socket,
            decoder: Decoder::new(4096),
            table: vec![0; 4096],
            next: 1,
            responses: HashMap::new(),
            goaways: Vec::new(),
            goaway_debug: Vec::new(),
            answers_pings: true,
            window_updates: HashMap::new(),
            initial_window: 65_535,
        };
        let mut settings = 4_u16.to_be_bytes().to_vec();
        settings.extend(window.to_be_bytes());
        client.raw(PREFACE);
        client.send(SETTINGS, 0, 0, &settings);
        client.send(WINDOW_UPDATE, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes());
        client
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the server reads");
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.raw(&Frame::new(kind, flags, stream, payload).bytes());
    }

    /// Starts a call and returns its stream.
    pub(crate) fn start(&mut self, path: &str, extra: &[(&str, &[u8])], end: bool) -> u32 {
        let stream = self.next;
        self.next += 2;
        let block = request_block(path, extra);
        self.responses.insert(stream, Response::default());
        self.send(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, &block);
        stream
    }

    /// Sends one message, in frames of 16 KiB. The caller minds the server's window.
    pub(crate) fn message(&mut self, stream: u32, message: &[u8], end: bool) {
        let bytes = prefixed(message);
        let mut chunks = bytes.chunks(16_384).peekable();
        while let Some(chunk) = chunks.next() {
            let last = end && chunks.peek().is_none();
            self.send(DATA, if last { END_STREAM } else { 0 }, stream, chunk);
        }
    }

    /// Half-closes.
    pub(crate) fn end(&mut self, stream: u32) {
        self.send(DATA, END_STREAM, stream, b"");
    }

    /// A whole unary call.
    pub(crate) fn unary(&mut self, path: &str, extra: &[(&str, &[u8])], message: &[u8]) -> Response {
        let stream = self.start(path, extra, false);
        self.message(stream, message, true);
        self.finish(stream)
    }

    /// Octets that the server has allowed so far on this connection, when this is its only stream.
    pub(crate) fn window(&self, stream: u32) -> usize {
        let updates = |stream| self.window_updates.get(&stream).copied().unwrap_or(0);
        let window = (u64::from(self.initial_window) + updates(stream)).min(65_535 + updates(0));
        usize::try_from(window).expect("64 bits")
    }

    /// Reads until the stream is over.
    pub(crate) fn finish(&mut self, stream: u32) -> Response {
        self.until(|client| {
            let response = &client.responses[&stream];
            response.ended || response.reset.is_some()
        });
        self.responses.remove(&stream).expect("was started")
    }

    /// Reads until `done`.
    pub(crate) fn until(&mut self, done: impl Fn(&Client<S>) -> bool) {
        while !done(self) {
            self.step().expect("the server goes on");
        }
    }

    /// Reads until the server closes; panics when it does not.
    pub(crate) fn until_closed(&mut self) {
        loop {
            match self.step() {
                Ok(_) => {}
                Err(error) if is_timeout(&error) => panic!("the server does not close"),
                Err(_) => return,
            }
        }
    }

    /// Reads and handles one frame.
    pub(crate) fn step(&mut self) -> io::Result<Frame> {
        let frame = read_frame(&mut self.socket)?;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => {
                for entry in frame.payload.chunks(6) {
                    if entry[..2] == [0, 4] {
                        self.initial_window = u32::from_be_bytes(entry[2..].try_into().expect("four octets"));
                    }
                }
                // The server may have closed already.
                let _ = self.socket.write_all(&Frame::new(SETTINGS, ACK, 0, b"").bytes());
            }
            PING if frame.flags & ACK == 0 && self.answers_pings => {
                let _ = self.socket.write_all(&Frame::new(PING, ACK, 0, &frame.payload).bytes());
            }
            GOAWAY => {
                self.goaways.push((frame.number(0), frame.number(4)));
                self.goaway_debug = frame.payload[8..].to_vec();
            }
            WINDOW_UPDATE => {
                *self.window_updates.entry(frame.stream).or_default() += u64::from(frame.number(0));
            }
            HEADERS => {
                assert_eq!(frame.flags & END_HEADERS, END_HEADERS, "small header blocks");
                let fields = self.decode(&frame.payload);
                if let Some(response) = self.responses.get_mut(&frame.stream) {
                    response.ended |= frame.flags & END_STREAM != 0;
                    if response.headers.is_empty() {
                        response.headers = fields;
                    } else {
                        response.trailers = fields;
                    }
                }
            }
            DATA => {
                if let Some(response) = self.responses.get_mut(&frame.stream) {
                    response.body.extend(&frame.payload);
                    response.ended |= frame.flags & END_STREAM != 0;
                }
            }
            RST_STREAM => {
                if let Some(response) = self.responses.get_mut(&frame.stream) {
                    response.reset = Some(frame.number(0));
                }
            }
            _ => {}
        }
        Ok(frame)
    }

    fn decode(&mut self, mut block: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut fields = Vec::new();
        let mut out = vec![0; 65_536];
        self.decoder.begin();
        loop {
            match self.decoder.step(&mut self.table, &mut block, &mut out).expect("HPACK") {
                Step::Field(field) => {
                    let (name, value) = (usize::from(field.name), usize::from(field.value));
                    let text = String::from_utf8(out[..name].to_vec()).expect("ASCII");
                    fields.push((text, out[name..name + value].to_vec()));
                }
                Step::End => return fields,
                Step::TooLarge { size } => panic!("a field of {size} octets"),
            }
        }
    }
}

/// Whether a read ended by its timeout.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

pub(crate) fn read_frame(socket: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; 9];
    socket.read_exact(&mut head)?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; len];
    socket.read_exact(&mut payload)?;
    let stream = u32::from_be_bytes(head[5..9].try_into().expect("four octets"));
    Ok(Frame { kind: head[3], flags: head[4], stream, payload })
}

/// A length-prefixed message.
pub(crate) fn prefixed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).expect("small").to_be_bytes());
    bytes.extend(message);
    bytes
}

/// The header block of a request: literals without indexing (RFC 7541 §6.2.2).
pub(crate) fn request_block(path: &str, extra: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    let fixed: [(&str, &[u8]); 6] = [
        (":method", b"POST"),
        (":scheme", b"http"),
        (":path", path.as_bytes()),
        (":authority", b"test"),
        ("te", b"trailers"),
        ("content-type", b"application/grpc"),
    ];
    for (name, value) in fixed.iter().chain(extra) {
        block.push(0);
        string(name.as_bytes(), &mut block);
        string(value, &mut block);
    }
    block
}

/// A string literal without Huffman code (RFC 7541 §5.2).
fn string(bytes: &[u8], block: &mut Vec<u8>) {
    if bytes.len() < 127 {
        block.push(bytes.len() as u8);
    } else {
        block.push(127);
        let mut rest = bytes.len() - 127;
        while rest >= 128 {
            block.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend(bytes);
}
