//! What gRPC says regardless of its carrier: status, metadata, length prefix, timeout.

/// A gRPC status code (grpc/doc/statuscodes.md). Unknown numbers pass through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

impl Code {
    /// Success.
    pub const OK: Code = Code(0);
}
