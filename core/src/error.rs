//! HTTP/2 error codes (RFC 9113 §7).

use core::fmt;

/// An HTTP/2 error code (RFC 9113 §7). Unknown codes pass through.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: ErrorCode = ErrorCode($code);)*

            /// The name of the registry, or `None` for a code that RFC 9113 does not define.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($code => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

codes! {
    /// Graceful shutdown, or a stream no longer needed.
    NO_ERROR = 0x00,
    /// A protocol error that no other code describes.
    PROTOCOL_ERROR = 0x01,
    /// An internal fault of the endpoint.
    INTERNAL_ERROR = 0x02,
    /// The peer broke the flow-control protocol.
    FLOW_CONTROL_ERROR = 0x03,
    /// SETTINGS were not acknowledged in time.
    SETTINGS_TIMEOUT = 0x04,
    /// A frame for a stream that is half-closed.
    STREAM_CLOSED = 0x05,
    /// A frame of an invalid size.
    FRAME_SIZE_ERROR = 0x06,
    /// Refused before any processing: safe to try again (RFC 9113 §8.7).
    REFUSED_STREAM = 0x07,
    /// The stream is no longer needed.
    CANCEL = 0x08,
    /// The header compression context is lost.
    COMPRESSION_ERROR = 0x09,
    /// The connection of a CONNECT request failed.
    CONNECT_ERROR = 0x0a,
    /// The peer makes too much work.
    ENHANCE_YOUR_CALM = 0x0b,
    /// The transport's security is too weak.
    INADEQUATE_SECURITY = 0x0c,
    /// The peer wants HTTP/1.1.
    HTTP_1_1_REQUIRED = 0x0d,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error code 0x{:x}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
