//! gRPC calls over one HTTP/2 connection, client or server, behind four verbs: bytes in
//! ([`recv`](Connection::recv)), bytes out ([`transmit`](Connection::transmit),
//! [`transmitted`](Connection::transmitted)), clock ([`poll_timeout`](Connection::poll_timeout),
//! [`handle_timeout`](Connection::handle_timeout)), and commands (`start_call`, `send_message`, …).
//!
//! # The driver's rule
//!
//! After `recv`, `transmitted`, `handle_timeout`, `cancel` and `carrier_lost`, call
//! [`poll_event`](Connection::poll_event) until it gives nothing; then transmit. A turn is done when `transmit` is
//! empty.
//!
//! ```
//! use grpclb_core::call::{CallHead, Config, Connection, End, Event};
//! use grpclb_core::grpc::Code;
//! use grpclb_core::memory::Inline;
//! use grpclb_core::time::Instant;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::from_nanos(0); // of the caller's clock
//! let mut client = Connection::new(Inline::<2>::new(), &Config::client(), now);
//! let mut server = Connection::new(Inline::<2>::new(), &Config::server(), now);
//!
//! let head = CallHead { path: b"/helloworld.Greeter/SayHello", authority: b"localhost", ..CallHead::default() };
//! let call = client.start_call(now, &head).unwrap();
//! client.send_message(call, b"hello", End::Last).unwrap();
//!
//! let mut answer = Vec::<u8>::new();
//! while client.calls() > 0 {
//!     // What one side transmits, the other receives; a socket would stand between them.
//!     let bytes = client.transmit(now);
//!     let (written, mut input) = (bytes.len(), bytes);
//!     while let Some(event) = server.recv(now, &mut input)? {
//!         if let Event::Message { call, piece, end } = event {
//!             assert_eq!((piece.whole(), end), (Some(&b"hello"[..]), true));
//!             server.release(call, piece.bytes.len());
//!             server.reply(call, b"hello yourself").unwrap();
//!         }
//!     }
//!     client.transmitted(written);
//!
//!     let bytes = server.transmit(now);
//!     let (written, mut input) = (bytes.len(), bytes);
//!     while let Some(event) = client.recv(now, &mut input)? {
//!         match event {
//!             Event::Message { call, piece, .. } => {
//!                 answer.extend(piece.bytes);
//!                 client.release(call, piece.bytes.len());
//!             }
//!             Event::Status { status, .. } => assert_eq!(status.code, Code::OK),
//!             _ => {}
//!         }
//!     }
//!     server.transmitted(written);
//! }
//! assert_eq!(answer, b"hello yourself");
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! * A client's call has exactly one [`Event::Status`], and it is the call's last event, whatever the peer and the
//!   network do.
//! * A message's bytes are lent from the caller's input. They are not copied here.
//! * Nothing is allocated; what cannot be held is refused with RESOURCE_EXHAUSTED or `Blocked`.

mod client;
mod connection;
mod event;
mod head;
mod machine;
mod reason;
mod received;
mod server;
mod slot;

pub use crate::grpc::Piece;
pub use connection::Connection;
pub use event::{CallId, Event, Fate, Status, Text, Token};
pub use head::CallHead;
pub use slot::CallSlot;

use crate::http2;

/// Why a call cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartCallError {
    /// [`Event::Startable`] says when to try again.
    Blocked,
    /// The head can never fit: the outbox, the arena (base64 of `-bin` values), or the peer's
    /// SETTINGS_MAX_HEADER_LIST_SIZE is smaller.
    TooLarge,
    /// This connection takes no new calls: GOAWAY, or its stream ids are used up.
    GoingAway,
    /// The connection is over.
    Closed,
    /// The metadata entry of that index has a name or value that gRPC does not allow.
    BadMetadata(u16),
    /// The path does not begin with `/`, or path, authority or user agent have octets that HTTP does not
    /// allow.
    BadPath,
}

/// Why a message, head or status cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// [`Event::Writable`] says when to try again.
    Blocked,
    /// It can never fit.
    TooLarge,
    /// The call is over, or this side of it is closed.
    Closed,
    /// `bytes` is not the rest of the message that was begun, or the message that was begun is not complete.
    WrongLength,
    /// The metadata entry of that index has a name or value that gRPC does not allow.
    BadMetadata(u16),
    /// Server: the response's head was sent before.
    HeadSent,
}

/// Whether more follows on this side of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More messages may follow.
    More,
    /// This was the last (half-close). A server's side ends with its status; it says `More`.
    Last,
}

/// Lends a connection its memory. [`memory`](crate::memory) has ready-made ones.
pub trait Storage {
    /// The parts; the same memory, of the same sizes, at each call.
    fn parts(&mut self) -> Parts<'_>;
}

/// The lent memory of one connection of calls.
#[derive(Debug)]
pub struct Parts<'a> {
    /// HTTP/2's share.
    pub http2: http2::Parts<'a>,
    /// One a stream.
    pub calls: &'a mut [CallSlot],
}

/// What is set for a connection of calls.
#[derive(Clone, Debug)]
pub struct Config {
    /// HTTP/2's settings.
    pub http2: http2::Config,
    /// Largest message taken, octets (default 4 MiB as in gRPC's other implementations); above:
    /// RESOURCE_EXHAUSTED.
    pub max_message_size: u32,
}

impl Config {
    /// The client's defaults.
    pub const fn client() -> Config {
        Config { http2: http2::Config::client(), max_message_size: 4 * 1024 * 1024 }
    }

    /// The server's defaults.
    pub const fn server() -> Config {
        Config { http2: http2::Config::server(), max_message_size: 4 * 1024 * 1024 }
    }
}
