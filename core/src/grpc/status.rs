//! Status codes, and what stands for them when the peer sent none.

use core::fmt;

/// A gRPC status code (statuscodes.md of the gRPC project). Unknown numbers pass through.
///
/// ```
/// use grpclb_core::grpc::Code;
/// assert_eq!(Code(14), Code::UNAVAILABLE);
/// assert_eq!(Code::UNAVAILABLE.to_string(), "UNAVAILABLE");
/// assert_eq!(Code(42).to_string(), "CODE(42)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Code = Code($code);)*

            /// Every code that gRPC defines, in order.
            pub const ALL: &'static [Code] = &[$(Code($code)),*];

            /// The code's name, or `None` for a number that gRPC does not define.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($code => Some(stringify!($name)),)* _ => None }
            }

            /// The code of that name, in upper case.
            pub fn from_name(name: &str) -> Option<Code> {
                match name { $(stringify!($name) => Some(Code($code)),)* _ => None }
            }

            /// The decimal of a defined code, as it stands in `grpc-status`.
            const fn known_decimal(self) -> Option<&'static str> {
                match self.0 { $($code => Some(stringify!($code)),)* _ => None }
            }
        }
    };
}

codes! {
    /// Success.
    OK = 0,
    /// The operation was cancelled, typically by the caller.
    CANCELLED = 1,
    /// An error without a better code: one from another error space, or an unparsable status.
    UNKNOWN = 2,
    /// The client named an invalid argument, whatever the state of the system. Never made by the library.
    INVALID_ARGUMENT = 3,
    /// The deadline passed before the operation was done.
    DEADLINE_EXCEEDED = 4,
    /// A requested entity does not exist. Never made by the library.
    NOT_FOUND = 5,
    /// The entity that was to be made exists already. Never made by the library.
    ALREADY_EXISTS = 6,
    /// The caller is known and may not do this.
    PERMISSION_DENIED = 7,
    /// A resource is used up: a quota, a table, the largest message size.
    RESOURCE_EXHAUSTED = 8,
    /// The system is not in the state that the operation needs. Never made by the library.
    FAILED_PRECONDITION = 9,
    /// Aborted, typically for a conflict of concurrent operations. Never made by the library.
    ABORTED = 10,
    /// Past the valid range. Never made by the library.
    OUT_OF_RANGE = 11,
    /// The method, encoding or cardinality is not implemented.
    UNIMPLEMENTED = 12,
    /// An invariant of the system is broken; a peer broke the protocol.
    INTERNAL = 13,
    /// The service is not there now; trying again may help.
    UNAVAILABLE = 14,
    /// Data is lost or corrupt beyond repair. Never made by the library.
    DATA_LOSS = 15,
    /// The caller is not authenticated.
    UNAUTHENTICATED = 16,
}

impl Code {
    /// What stands for `grpc-status` when a response ended without one (http-grpc-status-mapping.md). 1xx
    /// responses are not final and are to be passed over before.
    pub const fn from_http(status: u16) -> Code {
        match status {
            400 | 431 => Code::INTERNAL,
            401 => Code::UNAUTHENTICATED,
            403 => Code::PERMISSION_DENIED,
            404 => Code::UNIMPLEMENTED,
            429 | 502 | 503 | 504 => Code::UNAVAILABLE,
            _ => Code::UNKNOWN,
        }
    }

    /// What an HTTP/2 error code means that ended a stream (gRPC/HTTP2, "Errors"). A CANCELLED that comes after
    /// the call's deadline is to be read as DEADLINE_EXCEEDED.
    pub const fn from_reset(code: u32) -> Code {
        match code {
            // NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT,
            // STREAM_CLOSED, FRAME_SIZE_ERROR
            0x0..=0x6 => Code::INTERNAL,
            0x7 => Code::UNAVAILABLE,        // REFUSED_STREAM
            0x8 => Code::CANCELLED,          // CANCEL
            0x9 | 0xa => Code::INTERNAL,     // COMPRESSION_ERROR, CONNECT_ERROR
            0xb => Code::RESOURCE_EXHAUSTED, // ENHANCE_YOUR_CALM
            0xc => Code::PERMISSION_DENIED,  // INADEQUATE_SECURITY
            0xd => Code::INTERNAL,           // HTTP_1_1_REQUIRED
            _ => Code::UNKNOWN,
        }
    }

    /// Reads `grpc-status`: a decimal without sign or leading zeros. `None` stands for UNKNOWN.
    pub fn parse(text: &[u8]) -> Option<Code> {
        if text.is_empty() || text.len() > 10 || (text.len() > 1 && text.first() == Some(&b'0')) {
            return None;
        }
        text.iter()
            .try_fold(0u32, |sum, &digit| {
                let digit = char::from(digit).to_digit(10)?;
                sum.checked_mul(10)?.checked_add(digit)
            })
            .map(Code)
    }

    /// The code as it stands in `grpc-status`.
    pub fn decimal(self) -> Decimal {
        let mut decimal = Decimal { digits: [b'0'; 10], start: 10 };
        if let Some(known) = self.known_decimal() {
            decimal.start = 10usize.saturating_sub(known.len());
            if let Some(place) = decimal.digits.get_mut(decimal.start..) {
                crate::bytes::copy(place, known.as_bytes());
            }
            return decimal;
        }
        let mut rest = self.0;
        for (at, place) in decimal.digits.iter_mut().enumerate().rev() {
            *place = b'0' | (rest % 10) as u8;
            rest /= 10;
            decimal.start = at;
            if rest == 0 {
                break;
            }
        }
        decimal
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "CODE({})", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A code's decimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; 10],
    start: usize,
}

impl Decimal {
    /// The digits, ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_decimals_go_round() {
        assert_eq!(Code::ALL.len(), 17);
        for (number, &code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.0 as usize, number);
            assert_eq!(Code::from_name(code.name().unwrap()), Some(code));
        }
        for number in (0..=1000).chain([u32::MAX, 1_000_000_000]) {
            let code = Code(number);
            assert_eq!(code.decimal().as_bytes(), number.to_string().as_bytes());
            assert_eq!(Code::parse(code.decimal().as_bytes()), Some(code));
        }
    }

    #[test]
    fn unparsable_statuses() {
        for bad in ["", "00", "01", "-1", "+1", " 1", "1 ", "1a", "4294967296", "99999999999"] {
            assert_eq!(Code::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn from_http_is_the_published_table() {
        let table = [
            (400, Code::INTERNAL),
            (431, Code::INTERNAL),
            (401, Code::UNAUTHENTICATED),
            (403, Code::PERMISSION_DENIED),
            (404, Code::UNIMPLEMENTED),
            (429, Code::UNAVAILABLE),
            (502, Code::UNAVAILABLE),
            (503, Code::UNAVAILABLE),
            (504, Code::UNAVAILABLE),
        ];
        for status in 200..600 {
            let expected = table.iter().find(|(s, _)| *s == status).map_or(Code::UNKNOWN, |(_, code)| *code);
            assert_eq!(Code::from_http(status), expected, "{status}");
        }
    }

    #[test]
    fn from_reset_is_the_published_table() {
        use crate::error::ErrorCode as E;
        for (code, expected) in [
            (E::NO_ERROR, Code::INTERNAL),
            (E::PROTOCOL_ERROR, Code::INTERNAL),
            (E::INTERNAL_ERROR, Code::INTERNAL),
            (E::FLOW_CONTROL_ERROR, Code::INTERNAL),
            (E::SETTINGS_TIMEOUT, Code::INTERNAL),
            (E::STREAM_CLOSED, Code::INTERNAL),
            (E::FRAME_SIZE_ERROR, Code::INTERNAL),
            (E::REFUSED_STREAM, Code::UNAVAILABLE),
            (E::CANCEL, Code::CANCELLED),
            (E::COMPRESSION_ERROR, Code::INTERNAL),
            (E::CONNECT_ERROR, Code::INTERNAL),
            (E::ENHANCE_YOUR_CALM, Code::RESOURCE_EXHAUSTED),
            (E::INADEQUATE_SECURITY, Code::PERMISSION_DENIED),
            (E::HTTP_1_1_REQUIRED, Code::INTERNAL),
            (E(0xe), Code::UNKNOWN),
            (E(u32::MAX), Code::UNKNOWN),
        ] {
            assert_eq!(Code::from_reset(code.0), expected, "{code}");
        }
    }
}
