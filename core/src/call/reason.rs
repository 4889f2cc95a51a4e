//! Why the library itself ends a call, and with what status.

use crate::error::ErrorCode;
use crate::grpc::Code;

/// Why this side ends a call. The default stands for "nothing yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reason {
    #[default]
    None = 0,
    Cancelled,
    Deadline,
    /// The connection is over: `State::failure` says why.
    Connection,
    MessageTooLarge,
    HeadersTooLarge,
    MetadataTooLarge,
    Flag,
    Compressed,
    Truncated,
    NoTrailers,
    NoStatus,
    BadStatus,
    ContentType,
    Encoding,
    Binary,
    BadTimeout,
    Method,
    Te,
}

impl Reason {
    /// The status code (gRPC/HTTP2; statuscodes.md, "library-generated").
    pub(super) const fn code(self) -> Code {
        match self {
            Reason::Cancelled => Code::CANCELLED,
            Reason::Deadline => Code::DEADLINE_EXCEEDED,
            Reason::Connection => Code::UNAVAILABLE,
            Reason::MessageTooLarge | Reason::HeadersTooLarge | Reason::MetadataTooLarge => {
                Code::RESOURCE_EXHAUSTED
            }
            Reason::Encoding => Code::UNIMPLEMENTED,
            Reason::None | Reason::NoStatus | Reason::BadStatus => Code::UNKNOWN,
            _ => Code::INTERNAL,
        }
    }

    /// In words: visible ASCII without `%`, so that it goes onto the wire as it is.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Reason::None => "",
            Reason::Cancelled => "cancelled",
            Reason::Deadline => "the deadline passed",
            Reason::Connection => "the connection was lost",
            Reason::MessageTooLarge => "a message is larger than this side takes",
            Reason::HeadersTooLarge => "the header list is larger than this side takes",
            Reason::MetadataTooLarge => "joined -bin metadata does not fit when it is split",
            Reason::Flag => "the flag octet of a message is neither 0 nor 1",
            Reason::Compressed => "a message is marked as compressed, but the call has no grpc-encoding",
            Reason::Truncated => "the stream ended within a message",
            Reason::NoTrailers => "the stream ended without trailers",
            Reason::NoStatus => "the response ended without grpc-status",
            Reason::BadStatus => "grpc-status is not a decimal number",
            Reason::ContentType => "content-type is not application/grpc",
            Reason::Encoding => "grpc-encoding is not one that this side knows; it takes identity",
            Reason::Binary => "a -bin metadata value is not base64",
            Reason::BadTimeout => "grpc-timeout is not 1 to 8 digits and a unit of H, M, S, m, u, n",
            Reason::Method => ":method is not POST",
            Reason::Te => "te is not trailers: an intermediary does not forward trailers",
        }
    }

    /// `:status` of a response that is this status alone. Wrong media types and methods get HTTP's own answer, so
    /// that clients that do not speak gRPC see an error, too.
    pub(super) const fn http(self) -> &'static [u8] {
        match self {
            Reason::ContentType => b"415",
            Reason::Method => b"405",
            _ => b"200",
        }
    }
}

macro_rules! reset_texts {
    ($($name:ident)*) => {
        /// "RST_STREAM with CANCEL" and the like: the peer's.
        pub(super) const fn peer_reset(code: ErrorCode) -> &'static str {
            match code {
                $(ErrorCode::$name => concat!("the peer sent RST_STREAM with ", stringify!($name)),)*
                _ => "the peer sent RST_STREAM with an unknown error code",
            }
        }

        /// A stream error (RFC 9113 §5.4.2) that was found here.
        pub(super) const fn stream_error(code: ErrorCode) -> &'static str {
            match code {
                $(ErrorCode::$name => concat!("the peer made a stream error, ", stringify!($name)),)*
                _ => "the peer made a stream error",
            }
        }
    };
}

reset_texts! {
    NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR
    REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_need_no_percent_encoding() {
        for number in 0..=Reason::Te as u8 {
            let reason = ALL[number as usize];
            assert_eq!(reason as u8, number);
            assert_eq!(crate::grpc::percent::encoded_len(reason.text().as_bytes()), reason.text().len());
        }
    }

    const ALL: [Reason; 19] = [
        Reason::None,
        Reason::Cancelled,
        Reason::Deadline,
        Reason::Connection,
        Reason::MessageTooLarge,
        Reason::HeadersTooLarge,
        Reason::MetadataTooLarge,
        Reason::Flag,
        Reason::Compressed,
        Reason::Truncated,
        Reason::NoTrailers,
        Reason::NoStatus,
        Reason::BadStatus,
        Reason::ContentType,
        Reason::Encoding,
        Reason::Binary,
        Reason::BadTimeout,
        Reason::Method,
        Reason::Te,
    ];
}
