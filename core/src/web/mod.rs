//! gRPC-Web (PROTOCOL-WEB.md of the gRPC project, cited as *gRPC-Web*): gRPC where HTTP/2's frames are out of reach, as
//! in a browser's `fetch`.

mod form;
pub mod text;
pub mod trailers;

pub use crate::grpc::Piece;
pub use form::Form;
