//! What gRPC says regardless of its carrier: the length prefix, metadata, status, timeout, path.
//!
//! Nothing here knows of HTTP/2, so that gRPC-Web can stand on it as well. The source is
//! PROTOCOL-HTTP2.md of the gRPC project, cited as *gRPC/HTTP2*.

pub mod encoding;
pub mod message;
pub mod metadata;
pub mod path;
pub mod percent;
pub mod status;
pub mod timeout;

pub use message::Piece;
pub use status::Code;
