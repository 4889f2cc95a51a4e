//! How a connection begins (RFC 9113 §3.4), and what else people send to an HTTP/2 port.

use super::ConnectionError;
use crate::error::ErrorCode;

/// The client's first octets.
pub(super) const MAGIC: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Octets of `input` that continue the client's magic after `have` of it.
pub(super) fn match_magic(have: usize, input: &[u8]) -> Result<usize, ConnectionError> {
    let wanted = MAGIC.get(have..).unwrap_or_default();
    let n = wanted.len().min(input.len());
    match wanted.iter().zip(input).position(|(a, b)| a != b) {
        None => Ok(n),
        Some(at) => Err(ConnectionError {
            code: ErrorCode::PROTOCOL_ERROR,
            reason: match input.get(at) {
                Some(0x16) if have == 0 && at == 0 => "the peer speaks TLS, not plaintext HTTP/2",
                Some(octet) if octet.is_ascii_alphabetic() => "the peer speaks HTTP/1.1, not HTTP/2",
                _ => "the peer does not speak HTTP/2: no connection preface",
            },
        }),
    }
}

/// What the first nine octets of a server are when they do not begin a SETTINGS frame.
pub(super) fn not_settings(wire: &[u8; 9]) -> ConnectionError {
    let reason = match wire {
        // RFC 8446 §5.1: content types alert and handshake, then a record version 3.x.
        [0x15 | 0x16, 3, ..] => "the peer speaks TLS, not plaintext HTTP/2",
        [b'H', b'T', b'T', b'P', b'/', b'1', ..] => "the peer speaks HTTP/1.1, not HTTP/2",
        _ => "the peer does not speak HTTP/2: its first frame is not SETTINGS",
    };
    ConnectionError { code: ErrorCode::PROTOCOL_ERROR, reason }
}
