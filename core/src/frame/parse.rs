//! nom's parsers over primitives of our own: nom's `take` indexes, which leaves a panic path in small builds.

use nom::IResult;
use nom::error::{ErrorKind, ParseError};

use super::{FrameError, Head, flags};

pub(super) type Parsed<'i, T> = IResult<&'i [u8], T, FrameError>;

impl<'i> ParseError<&'i [u8]> for FrameError {
    fn from_error_kind(_: &'i [u8], _: ErrorKind) -> FrameError {
        FrameError::size("the frame is too short, or too long")
    }

    fn append(_: &'i [u8], _: ErrorKind, other: FrameError) -> FrameError {
        other
    }
}

fn too_short<T>() -> Result<T, nom::Err<FrameError>> {
    Err(nom::Err::Error(FrameError::size("the frame is too short for its type")))
}

pub(super) fn array<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    match input.split_first_chunk() {
        Some((front, rest)) => Ok((rest, *front)),
        None => too_short(),
    }
}

pub(super) fn u16(input: &[u8]) -> Parsed<'_, u16> {
    array(input).map(|(rest, octets)| (rest, u16::from_be_bytes(octets)))
}

pub(super) fn u32(input: &[u8]) -> Parsed<'_, u32> {
    array(input).map(|(rest, octets)| (rest, u32::from_be_bytes(octets)))
}

/// 31 bits: a reserved bit is ignored when received (RFC 9113 §4.1).
pub(super) fn u31(input: &[u8]) -> Parsed<'_, u32> {
    u32(input).map(|(rest, value)| (rest, value & super::MAX_STREAM_ID))
}

/// All that is left.
pub(super) fn rest(input: &[u8]) -> Parsed<'_, &[u8]> {
    Ok((&[], input))
}

/// Runs `parser` over the whole payload.
pub(super) fn whole<'i, T>(
    mut parser: impl nom::Parser<&'i [u8], Output = T, Error = FrameError>,
    payload: &'i [u8],
) -> Result<T, FrameError> {
    match parser.parse(payload) {
        Ok(([], value)) => Ok(value),
        Ok(_) => Err(FrameError::size("the frame is too long for its type")),
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(error),
        Err(nom::Err::Incomplete(_)) => Err(FrameError::size("the frame is too short for its type")),
    }
}

/// Takes padding off both ends (RFC 9113 §6.1): the content and, if PADDED is set, the pad length.
pub(super) fn unpad<'i>(head: &Head, payload: &'i [u8]) -> Result<(&'i [u8], Option<u8>), FrameError> {
    if !head.has(flags::PADDED) {
        return Ok((payload, None));
    }
    let Some((&padding, content)) = payload.split_first() else {
        return Err(FrameError::size("a padded frame has no room for its pad length"));
    };
    match content.len().checked_sub(padding.into()).and_then(|n| content.get(..n)) {
        Some(content) => Ok((content, Some(padding))),
        None => Err(TOO_MUCH_PADDING),
    }
}

/// "A padding length that is the length of the frame payload or greater" (RFC 9113 §6.1).
pub(super) const TOO_MUCH_PADDING: FrameError = FrameError::protocol("the padding is longer than the frame");

/// Frames of a stream on stream 0.
pub(super) fn on_stream(head: &Head, reason: &'static str) -> Result<(), FrameError> {
    if head.stream == 0 { Err(FrameError::protocol(reason)) } else { Ok(()) }
}

/// Frames of the connection on a stream.
pub(super) fn on_connection(head: &Head, reason: &'static str) -> Result<(), FrameError> {
    if head.stream != 0 { Err(FrameError::protocol(reason)) } else { Ok(()) }
}

/// The octets of padding at the end of a frame.
pub(super) fn put_padding(out: &mut crate::bytes::Writer<'_>, padding: Option<u8>) {
    let zeros = [0; 255];
    if let Some(zeros) = zeros.get(..usize::from(padding.unwrap_or(0))) {
        out.put(zeros);
    }
}
