//! gRPC-Web (PROTOCOL-WEB.md of the gRPC project, cited as *gRPC-Web*): gRPC where HTTP/2's frames are out of reach, as
//! in a browser's `fetch`.
//!
//! The client's side is a [`RequestHead`], a [`Body`] and then an [`Exchange`] that takes the response; the server's side is
//! in [`transcode`]. Whoever uses them moves the bytes.
//!
//! # The verbs of an exchange
//!
//! [`recv_head`](Exchange::recv_head) once; for each chunk of the body [`decode`](Exchange::decode), then
//! [`recv`](Exchange::recv) until it gives nothing; [`finish`](Exchange::finish) at the body's end. Instead of the latter
//! [`carrier_lost`](Exchange::carrier_lost), [`cancel`](Exchange::cancel) or
//! [`deadline_passed`](Exchange::deadline_passed) at any time.
//!
//! ```
//! use grpclb_core::grpc::Code;
//! use grpclb_core::web::{Config, Event, Exchange};
//!
//! let mut exchange = Exchange::new([0; 1024], &Config::default());
//! let head = [(&b"content-type"[..], &b"application/grpc-web-text"[..])];
//! assert!(matches!(exchange.recv_head(200, head), Some(Event::Metadata { .. })));
//!
//! let mut chunk = *b"AAAAAAYKBHRlc3Q=gAAAABBncnBjLXN0YXR1czogMA0K";
//! let mut input = exchange.decode(&mut chunk);
//! let Some(Event::Message { piece }) = exchange.recv(&mut input) else { panic!() };
//! assert!(exchange.recv(&mut input).is_none());
//! assert_eq!(piece.whole(), Some(&b"\n\x04test"[..]));
//!
//! let Some(Event::Status { status }) = exchange.finish() else { panic!() };
//! assert_eq!(status.code, Code::OK);
//! ```
//!
//! # What is promised
//!
//! * An exchange has exactly one [`Event::Status`], and it is the last event, whatever the peer and the network do.
//! * A response that is cut, at whatever octet, never ends with OK: UNAVAILABLE when the connection was lost, INTERNAL when
//!   the body ended within a frame, UNKNOWN when it ended between frames without a trailers frame.
//! * The events are the same however the network cuts the body, padding within it included.
//! * A message's bytes are lent from the caller's input, in text as well, which is decoded where it lies.
//! * How many messages a call must have is the caller's to check: one for a unary call that ended with OK.

mod event;
mod exchange;
mod form;
mod pack;
mod reason;
mod request;
pub mod text;
pub mod trailers;
pub mod transcode;

pub use crate::bytes::{Fields, Span};
pub use crate::grpc::Piece;
pub use event::{Event, Status, Text, Token};
pub use exchange::{Config, Exchange};
pub use form::Form;
pub use request::{Body, HeadError, RequestHead};
