//! Why the library itself ends a call, and with what status.

use crate::grpc::Code;

/// Why this side ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    // Of this side.
    Cancelled,
    Deadline,
    BodyFirst,
    // Of the way.
    CarrierLost,
    NoHead,
    // Of the peer.
    Http,
    ContentType,
    HeadersTooLarge,
    Text,
    Flag,
    Compressed,
    Encoding,
    MessageTooLarge,
    CompressedTrailers,
    TrailersTooLarge,
    BadTrailers,
    AfterTrailers,
    Truncated,
    NoTrailers,
    NoStatus,
    BadStatus,
}

impl Reason {
    /// The status code, when the response says nothing better.
    pub(super) const fn code(self) -> Code {
        match self {
            Reason::Cancelled => Code::CANCELLED,
            Reason::Deadline => Code::DEADLINE_EXCEEDED,
            Reason::CarrierLost | Reason::NoHead => Code::UNAVAILABLE,
            Reason::HeadersTooLarge | Reason::MessageTooLarge | Reason::TrailersTooLarge => {
                Code::RESOURCE_EXHAUSTED
            }
            Reason::Http
            | Reason::ContentType
            | Reason::NoTrailers
            | Reason::NoStatus
            | Reason::BadStatus => Code::UNKNOWN,
            _ => Code::INTERNAL,
        }
    }

    /// In words.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Reason::Cancelled => "cancelled",
            Reason::Deadline => "the deadline passed",
            Reason::BodyFirst => "the response's body was given before its head",
            Reason::CarrierLost => "the connection was lost",
            Reason::NoHead => "the response ended before its head",
            Reason::Http => "the response has an HTTP status other than 2xx and no grpc-status",
            Reason::ContentType => "the response's content-type is not gRPC-Web, and it has no grpc-status",
            Reason::HeadersTooLarge => "the response's headers are larger than this side takes",
            Reason::Text => "the response's text is not base64",
            Reason::Flag => "the flag octet of a frame is none of 0x00, 0x01, 0x80",
            Reason::Compressed => "a message is marked as compressed, but the response has no grpc-encoding",
            Reason::Encoding => {
                "a message is compressed by a grpc-encoding that this side does not know; it takes identity"
            }
            Reason::MessageTooLarge => "a message is larger than this side takes",
            Reason::CompressedTrailers => "the trailers frame is compressed",
            Reason::TrailersTooLarge => "the trailers are larger than this side takes",
            Reason::BadTrailers => "the trailers frame has a line that is no field",
            Reason::AfterTrailers => "the response goes on after its trailers frame",
            Reason::Truncated => "the response ended within a frame",
            Reason::NoTrailers => "the response ended without a trailers frame",
            Reason::NoStatus => "the response ended without grpc-status",
            Reason::BadStatus => "grpc-status is not a decimal number",
        }
    }

    /// Whether this side decided so: then nothing that the peer said matters.
    pub(super) const fn is_own(self) -> bool {
        matches!(self, Reason::Cancelled | Reason::Deadline | Reason::BodyFirst)
    }
}
