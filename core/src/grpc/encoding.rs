//! `grpc-encoding`: how messages are compressed. This version knows `identity` alone.

/// What this side takes, as it stands in `grpc-accept-encoding`.
pub const ACCEPT: &[u8] = b"identity";

/// Whether a `grpc-encoding` value is one that this side reads. A server answers another with UNIMPLEMENTED and its
/// `grpc-accept-encoding`; a client ends the call with INTERNAL (compression.md of the gRPC project).
pub fn is_known(encoding: &[u8]) -> bool {
    encoding == b"identity"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_alone() {
        assert!(is_known(ACCEPT));
        for unknown in ["", "gzip", "Identity", "identity,gzip"] {
            assert!(!is_known(unknown.as_bytes()), "{unknown}");
        }
    }
}
