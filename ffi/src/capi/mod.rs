//! The C door. `ffi/include/grpclb.h` is generated from these files and compared with them in a test.
//!
//! | file | what it is |
//! |---|---|
//! | `config` | sized structs: what a caller of an older or newer header gave |
//! | `text` | strings and arrays of C, borrowed |
//! | `call` | what a call is asked and what it answers: `grpclb_call`, `grpclb_reply`, `grpclb_metadata` |
//! | `channel` | the blocking channel |
//! | `stream` | its streaming calls |
//! | `reactor` | the channel driven by the caller's event loop |
//! | `events` | what comes of its calls, many at a time; its streaming calls |
//! | `picker` | the balancer without sockets |
//! | `conn`, `conn_memory` | the connection without sockets, in the caller's memory |
//! | `conn_event`, `fields` | what it tells: plain events, packed header fields |
//!
//! Without the feature `host` this is a `no_std` library of `conn` and what it needs, for programs without an
//! operating system (`.ci/build-bare.sh`).
//!
//! Rules: no panic crosses (every function's body runs in [`guard`]); a pointer that must not be NULL is looked at
//! before it is used; numbers are never given a second meaning. `unsafe` is confined to this folder, and here to
//! what a pointer from C needs.
#![allow(unsafe_code)]
// The header's names are C's.
#![allow(non_camel_case_types)]
// What a C program must keep to stands in the header's own words, which are these documents.
#![allow(clippy::missing_safety_doc)]

#[cfg(all(target_os = "none", not(feature = "host")))]
mod bare;
#[cfg(feature = "host")]
pub mod call;
#[cfg(feature = "host")]
pub mod channel;
mod config;
pub mod conn;
pub mod conn_event;
pub mod conn_memory;
#[cfg(feature = "host")]
pub mod events;
pub mod fields;
#[cfg(feature = "host")]
pub mod picker;
#[cfg(feature = "host")]
pub mod reactor;
#[cfg(feature = "host")]
pub mod stream;
#[cfg(all(test, feature = "host"))]
mod tests;
mod text;

#[cfg(feature = "host")]
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A pointer that must not be NULL is NULL.
pub const GRPCLB_ERR_NULL: i32 = -1;
/// A struct's `size` is none that this library knows: it was not set, or a newer header's field is in use.
pub const GRPCLB_ERR_SIZE: i32 = -2;
/// A value is out of its range, or a text is not UTF-8.
pub const GRPCLB_ERR_ARGUMENT: i32 = -3;
/// The target does not parse, or nothing here resolves it.
pub const GRPCLB_ERR_TARGET: i32 = -4;
/// The service config does not parse; the error text has the JSON path.
pub const GRPCLB_ERR_SERVICE_CONFIG: i32 = -5;
/// The system refused: descriptors, memory, threads.
pub const GRPCLB_ERR_SYSTEM: i32 = -6;
/// A fault of the library itself, held back at the boundary. The object may be freed and nothing else.
pub const GRPCLB_ERR_PANIC: i32 = -7;
/// Another thread is using the stream.
pub const GRPCLB_ERR_BUSY: i32 = -8;
/// The call has ended; grpclb_stream_finish, or the event with GRPCLB_EVENT_ENDED, tells how. Or it was half-closed.
pub const GRPCLB_ERR_ENDED: i32 = -9;
/// The call has not ended, or there is no such call.
pub const GRPCLB_ERR_RUNNING: i32 = -10;
/// Nothing was taken: the message before is still being sent, or outbox or window are full. An event says when to try
/// again: GRPCLB_EVENT_WRITABLE; of a grpclb_conn, GRPCLB_CONN_WRITABLE or GRPCLB_CONN_STARTABLE.
pub const GRPCLB_ERR_BLOCKED: i32 = -11;

/// It can never fit: outbox, arena, or the peer's limits.
pub const GRPCLB_ERR_TOO_LARGE: i32 = -20;
/// The connection takes no new calls: take another one.
pub const GRPCLB_ERR_GOING_AWAY: i32 = -21;
/// The call or connection is over, or this side of the call is.
pub const GRPCLB_ERR_CLOSED: i32 = -22;
/// A name or value of the metadata is not allowed, or there are more than 32 entries.
pub const GRPCLB_ERR_METADATA: i32 = -23;
/// The octets are not the rest of the message that was begun.
pub const GRPCLB_ERR_WRONG_LENGTH: i32 = -24;
/// The response's head was sent before.
pub const GRPCLB_ERR_HEAD_SENT: i32 = -25;
/// The connection is over by an HTTP/2 error; grpclb_conn_last_error has its number and words.
pub const GRPCLB_ERR_HTTP2: i32 = -26;

/// A picker's endpoints were not taken: every weight is 0, or there are more than 65 535 addresses.
pub const GRPCLB_ERR_ENDPOINTS: i32 = -30;

/// The version of the library as text, "0.1.0". Static.
#[unsafe(no_mangle)]
pub extern "C" fn grpclb_version() -> *const core::ffi::c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// A status code's or GRPCLB_ERR_* number's name, "UNAVAILABLE", "GRPCLB_ERR_NULL"; "UNKNOWN" for numbers that are
/// neither. Static, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn grpclb_code_name(code: i32) -> *const core::ffi::c_char {
    let name = match code {
        GRPCLB_ERR_NULL => c"GRPCLB_ERR_NULL",
        GRPCLB_ERR_SIZE => c"GRPCLB_ERR_SIZE",
        GRPCLB_ERR_ARGUMENT => c"GRPCLB_ERR_ARGUMENT",
        GRPCLB_ERR_TARGET => c"GRPCLB_ERR_TARGET",
        GRPCLB_ERR_SERVICE_CONFIG => c"GRPCLB_ERR_SERVICE_CONFIG",
        GRPCLB_ERR_SYSTEM => c"GRPCLB_ERR_SYSTEM",
        GRPCLB_ERR_PANIC => c"GRPCLB_ERR_PANIC",
        GRPCLB_ERR_BUSY => c"GRPCLB_ERR_BUSY",
        GRPCLB_ERR_ENDED => c"GRPCLB_ERR_ENDED",
        GRPCLB_ERR_RUNNING => c"GRPCLB_ERR_RUNNING",
        GRPCLB_ERR_BLOCKED => c"GRPCLB_ERR_BLOCKED",
        GRPCLB_ERR_TOO_LARGE => c"GRPCLB_ERR_TOO_LARGE",
        GRPCLB_ERR_GOING_AWAY => c"GRPCLB_ERR_GOING_AWAY",
        GRPCLB_ERR_CLOSED => c"GRPCLB_ERR_CLOSED",
        GRPCLB_ERR_METADATA => c"GRPCLB_ERR_METADATA",
        GRPCLB_ERR_WRONG_LENGTH => c"GRPCLB_ERR_WRONG_LENGTH",
        GRPCLB_ERR_HEAD_SENT => c"GRPCLB_ERR_HEAD_SENT",
        GRPCLB_ERR_HTTP2 => c"GRPCLB_ERR_HTTP2",
        GRPCLB_ERR_ENDPOINTS => c"GRPCLB_ERR_ENDPOINTS",
        0 => c"OK",
        1 => c"CANCELLED",
        3 => c"INVALID_ARGUMENT",
        4 => c"DEADLINE_EXCEEDED",
        5 => c"NOT_FOUND",
        6 => c"ALREADY_EXISTS",
        7 => c"PERMISSION_DENIED",
        8 => c"RESOURCE_EXHAUSTED",
        9 => c"FAILED_PRECONDITION",
        10 => c"ABORTED",
        11 => c"OUT_OF_RANGE",
        12 => c"UNIMPLEMENTED",
        13 => c"INTERNAL",
        14 => c"UNAVAILABLE",
        15 => c"DATA_LOSS",
        16 => c"UNAUTHENTICATED",
        _ => c"UNKNOWN",
    };
    name.as_ptr()
}

/// Runs a function's body; a panic becomes `panicked`.
#[cfg(feature = "host")]
fn guard_value<T>(panicked: T, body: impl FnOnce() -> T) -> T {
    // Objects that a panic left half changed say so by what they answer later: all state is behind the host's locks,
    // which recover, in a reply, whose pointers are set last, or in a connection, which answers nothing any more.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(panic) => {
            // A payload may panic in its own drop.
            std::mem::forget(panic);
            panicked
        }
    }
}

/// Without an operating system a panic ends in the program's own handler.
#[cfg(not(feature = "host"))]
fn guard_value<T>(_: T, body: impl FnOnce() -> T) -> T {
    body()
}

/// The same for functions with a number.
#[cfg(feature = "host")]
fn guard(body: impl FnOnce() -> Result<i32, i32>) -> i32 {
    guard_value(GRPCLB_ERR_PANIC, || body().unwrap_or_else(|error| error))
}

/// The same for functions without a result.
#[cfg(feature = "host")]
fn guard_quietly(body: impl FnOnce()) {
    guard_value((), body);
}
