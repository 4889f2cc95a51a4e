//! What a connection tells, as one plain struct.

use super::fields::grpclb_bytes;
use grpclb_core::bytes::Span;
use grpclb_core::call::{CallId, Fate, Text, Token};
use grpclb_core::time::Duration;

/// The peer's SETTINGS arrived: the connection is usable.
pub const GRPCLB_CONN_READY: u32 = 1;
/// Server: a new call. `text` is its path; `authority`, `timeout_ns`, `fields` and GRPCLB_CONN_FLAG_END.
pub const GRPCLB_CONN_CALL: u32 = 2;
/// Client: the response's initial metadata, in `fields`.
pub const GRPCLB_CONN_METADATA: u32 = 3;
/// A piece of a message: `at` and `len` in the input, `offset` and `total` in the message; GRPCLB_CONN_FLAG_LAST and
/// GRPCLB_CONN_FLAG_END. Its octets count against the receive window until grpclb_conn_release.
pub const GRPCLB_CONN_MESSAGE: u32 = 4;
/// Server: the client has half-closed, apart from any message.
pub const GRPCLB_CONN_HALF_CLOSE: u32 = 5;
/// The call is over; its last event, one a call at a client. `code`, `text`, `fields` (trailers), `fate`. At a server:
/// it was over before a status was sent.
pub const GRPCLB_CONN_STATUS: u32 = 6;
/// A send that was blocked, or took a part only, can go on.
pub const GRPCLB_CONN_WRITABLE: u32 = 7;
/// A call that could not be started for GRPCLB_ERR_BLOCKED can be tried again.
pub const GRPCLB_CONN_STARTABLE: u32 = 8;
/// The peer takes no new calls here. `call` is the last stream id that it may process, `code` HTTP/2's error code,
/// `text` its words.
pub const GRPCLB_CONN_GOAWAY: u32 = 9;

/// Flag: the peer sends no more on this call.
pub const GRPCLB_CONN_FLAG_END: u32 = 1;
/// Flag: the piece is the message's last.
pub const GRPCLB_CONN_FLAG_LAST: u32 = 2;

/// Fate: the server may have seen the call.
pub const GRPCLB_FATE_SEEN: u32 = 0;
/// Fate: nothing of it has left this side; it can be tried again elsewhere until its deadline (gRFC A6).
pub const GRPCLB_FATE_NEVER_LEFT: u32 = 1;
/// Fate: the server did not process it; it can be tried again elsewhere once (gRFC A6).
pub const GRPCLB_FATE_REFUSED: u32 = 2;

/// What happened. The pointers are valid until the next grpclb_conn_recv_batch.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_conn_event {
    /// GRPCLB_CONN_READY and so on.
    pub kind: u8,
    /// GRPCLB_CONN_FLAG_END and GRPCLB_CONN_FLAG_LAST, or'ed.
    pub flags: u8,
    /// GRPCLB_FATE_*, of a status.
    pub fate: u8,
    /// Zero.
    pub reserved: u8,
    /// gRPC's status code, or HTTP/2's error code.
    pub code: u32,
    /// The call; 0 when it is none's.
    pub call: i64,
    /// Where in the input a piece begins, octets.
    pub at: u32,
    /// Octets of the piece.
    pub len: u32,
    /// Where in its message the piece begins, octets.
    pub offset: u32,
    /// Octets of the whole message.
    pub total: u32,
    /// Words or a path; not NUL-terminated.
    pub text: grpclb_bytes,
    /// Packed fields, see grpclb_fields_get; "-bin" values are raw.
    pub fields: grpclb_bytes,
    /// ":authority" of a request.
    pub authority: grpclb_bytes,
    /// Time that the client gives a call, nanoseconds; 0: no deadline. The connection minds it by itself.
    pub timeout_ns: u64,
}

/// A call as C knows it: the stream's id below, its slot above.
pub(super) fn number(call: CallId) -> i64 {
    i64::from(call.slot) << 32 | i64::from(call.id)
}

/// The call of that number; one that there cannot be is no call.
pub(super) fn call(number: i64) -> CallId {
    let (id, slot) = (number as u32, u16::try_from(number >> 32));
    slot.map_or(CallId { id: 0, slot: 0 }, |slot| CallId { id, slot })
}

/// Where the pointers of an event point to.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) arena: *const u8,
    pub(super) arena_len: usize,
    pub(super) input: *const u8,
}

impl Places {
    fn bytes(self, span: Span) -> grpclb_bytes {
        let (at, len) = (span.at as usize, span.len as usize);
        match at.checked_add(len) {
            Some(end) if end <= self.arena_len && len > 0 => {
                grpclb_bytes { at: self.arena.wrapping_add(at), len }
            }
            _ => grpclb_bytes::NONE,
        }
    }

    /// The event that a token stands for.
    pub(super) fn event(self, token: &Token<'_>) -> grpclb_conn_event {
        let mut event = grpclb_conn_event {
            kind: 0,
            flags: 0,
            fate: 0,
            reserved: 0,
            code: 0,
            call: 0,
            at: 0,
            len: 0,
            offset: 0,
            total: 0,
            text: grpclb_bytes::NONE,
            fields: grpclb_bytes::NONE,
            authority: grpclb_bytes::NONE,
            timeout_ns: 0,
        };
        let mut is = |kind: u32, call: i64| {
            event.kind = kind as u8;
            event.call = call;
        };
        match *token {
            Token::Ready => is(GRPCLB_CONN_READY, 0),
            Token::Call { call, path, authority, timeout, metadata, end } => {
                is(GRPCLB_CONN_CALL, number(call));
                event.text = self.bytes(path);
                event.authority = self.bytes(authority);
                event.fields = self.bytes(metadata);
                event.timeout_ns = timeout.map_or(0, nanos);
                event.flags = end_flag(end);
            }
            Token::Metadata { call, metadata } => {
                is(GRPCLB_CONN_METADATA, number(call));
                event.fields = self.bytes(metadata);
            }
            Token::Message { call, piece, end } => {
                is(GRPCLB_CONN_MESSAGE, number(call));
                event.at = (piece.bytes.as_ptr() as usize).wrapping_sub(self.input as usize) as u32;
                event.len = piece.bytes.len() as u32;
                event.offset = piece.offset;
                event.total = piece.len;
                event.flags = end_flag(end) | if piece.is_last() { GRPCLB_CONN_FLAG_LAST as u8 } else { 0 };
            }
            Token::End { call } => is(GRPCLB_CONN_HALF_CLOSE, number(call)),
            Token::Status { call, code, message, trailers, fate } => {
                is(GRPCLB_CONN_STATUS, number(call));
                event.code = code.0;
                event.text = match message {
                    Text::Peer(span) => self.bytes(span),
                    Text::Own(text) => grpclb_bytes { at: text.as_ptr(), len: text.len() },
                };
                event.fields = self.bytes(trailers);
                event.fate = match fate {
                    Fate::Seen => GRPCLB_FATE_SEEN,
                    Fate::NeverLeft => GRPCLB_FATE_NEVER_LEFT,
                    Fate::Refused => GRPCLB_FATE_REFUSED,
                } as u8;
            }
            Token::Writable { call } => is(GRPCLB_CONN_WRITABLE, number(call)),
            Token::Startable => is(GRPCLB_CONN_STARTABLE, 0),
            Token::GoAway { last, code, debug } => {
                is(GRPCLB_CONN_GOAWAY, last.into());
                event.code = code.0;
                event.text = self.bytes(debug);
            }
            // What a later core tells, an older program need not know.
            _ => {}
        }
        event
    }
}

fn end_flag(end: bool) -> u8 {
    if end { GRPCLB_CONN_FLAG_END as u8 } else { 0 }
}

/// A timeout that is over already is one of a nanosecond: 0 stands for none.
fn nanos(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1)
}
