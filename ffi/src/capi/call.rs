//! What a call is asked and what it answers, by value.

use super::config::{self, Sized32};
use super::{GRPCLB_ERR_ARGUMENT, GRPCLB_ERR_NULL};
use super::{guard_quietly, text};
use crate::host::call::{Call, Reply, Status};
use crate::host::reactor::calls::Outcome;
use crate::host::reactor::metadata::PAIRS;
use grpclb_core::grpc::Code;
use std::ffi::{c_char, c_void};
use std::time::Duration;

/// One entry of metadata. In a grpclb_call: borrowed for the call. In a grpclb_reply: valid until the reply's next use.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_metadata {
    /// Lower case; not NUL-terminated.
    pub name: *const c_char,
    /// Octets of the name.
    pub name_len: usize,
    /// Raw octets; for a name that ends with "-bin" any, they are base64 on the wire alone.
    pub value: *const u8,
    /// Octets of the value.
    pub value_len: usize,
}

/// What to call. Everything it points to is borrowed for the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_call {
    /// sizeof(grpclb_call).
    pub size: u32,
    /// 1: wait through TRANSIENT_FAILURE; 0: fail fast.
    pub wait_for_ready: u32,
    /// "/package.Service/Method", NUL-terminated.
    pub path: *const c_char,
    /// Nanoseconds from now until the call ends with DEADLINE_EXCEEDED; 0: no deadline.
    pub timeout_ns: u64,
    /// Custom metadata in order, may be NULL when there is none.
    pub metadata: *const grpclb_metadata,
    /// Entries of it.
    pub metadata_len: usize,
    /// Largest response message taken, octets, below the channel's own limit; 0: that one.
    pub max_response_size: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, begins with a `u32`, zero is a value of every field.
unsafe impl Sized32 for grpclb_call {
    const FIRST: usize = size_of::<grpclb_call>();
}

/// What came of a call. Set it to zero once, then its size, and use it for one call after the other: its memory is
/// used again. grpclb_reply_clear gives the memory back. All pointers are valid until its next use, so a call that
/// fills it takes neither request nor metadata from it.
#[repr(C)]
pub struct grpclb_reply {
    /// sizeof(grpclb_reply).
    pub size: u32,
    /// What the function returned: gRPC's status code, 0 is OK; or a GRPCLB_ERR_* number.
    pub code: i32,
    /// Why it is not OK, in words; NUL-terminated, never NULL after a call. A server's message may hold a NUL.
    pub message: *const c_char,
    /// Octets of the message without its NUL.
    pub message_len: usize,
    /// The endpoint that served the call, "ip:port", "[ip]:port" or "unix:path"; NUL-terminated; "" when none did.
    pub peer: *const c_char,
    /// Octets of the peer without its NUL.
    pub peer_len: usize,
    /// The response message of a unary call; not NUL-terminated, not NULL after a call.
    pub response: *const u8,
    /// Octets of the response; 0 unless the call is OK.
    pub response_len: usize,
    /// Initial metadata in order; "-bin" values are raw.
    pub headers: *const grpclb_metadata,
    /// Entries of it.
    pub headers_len: usize,
    /// Trailing metadata, also of a call that failed.
    pub trailers: *const grpclb_metadata,
    /// Entries of it.
    pub trailers_len: usize,
    /// The how-manieth pick of the channel the call was, from 0.
    pub pick_order: u64,
    /// The library's own; NULL at first.
    pub memory: *mut c_void,
}

/// Gives the reply's memory back; all but its size is zero then, and it may be used again. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reply_clear(reply: *mut grpclb_reply) {
    guard_quietly(|| {
        // SAFETY: a reply of the caller's, or NULL.
        if let Ok(place) = unsafe { Place::check(reply) } {
            // SAFETY: checked just now.
            let reply = unsafe { &mut *place.0 };
            if !reply.memory.is_null() {
                // SAFETY: only `Place::memory` sets it, to a box of this type.
                drop(unsafe { Box::from_raw(reply.memory.cast::<Memory>()) });
            }
            *reply = grpclb_reply::empty(reply.size);
        }
    });
}

impl grpclb_reply {
    fn empty(size: u32) -> grpclb_reply {
        grpclb_reply {
            size,
            code: 0,
            message: std::ptr::null(),
            message_len: 0,
            peer: std::ptr::null(),
            peer_len: 0,
            response: std::ptr::null(),
            response_len: 0,
            headers: std::ptr::null(),
            headers_len: 0,
            trailers: std::ptr::null(),
            trailers_len: 0,
            pick_order: 0,
            memory: std::ptr::null_mut(),
        }
    }
}

/// Runs `then` with the call as the host takes it.
///
/// # Safety
/// `call` is NULL or a call as the header says.
pub(super) unsafe fn with_call<R>(
    call: *const grpclb_call,
    then: impl FnOnce(&Call<'_>) -> Result<R, i32>,
) -> Result<R, i32> {
    // SAFETY: as this function's own; and so for the texts and arrays it points to.
    let (given, path, metadata) = unsafe {
        let given = config::read(call)?;
        (given, text::string(given.path)?, text::slice(given.metadata, given.metadata_len)?)
    };
    if given.wait_for_ready > 1 || given.reserved != 0 {
        return Err(GRPCLB_ERR_ARGUMENT);
    }
    let entries = metadata.iter().map(|entry| {
        // SAFETY: the caller vouches for them, for the call.
        unsafe {
            Ok((
                text::slice(entry.name.cast::<u8>(), entry.name_len)?,
                text::slice(entry.value, entry.value_len)?,
            ))
        }
    });
    with_pairs(metadata.len(), entries, |pairs| {
        then(&Call {
            path,
            timeout: (given.timeout_ns > 0).then(|| Duration::from_nanos(given.timeout_ns)),
            metadata: pairs,
            wait_for_ready: given.wait_for_ready == 1,
            max_response_size: (given.max_response_size > 0).then_some(given.max_response_size),
        })
    })
}

/// Runs `then` with the entries as the host takes them; a few of them without allocation.
pub(super) fn with_pairs<'a, R>(
    count: usize,
    entries: impl Iterator<Item = Result<(&'a [u8], &'a [u8]), i32>>,
    then: impl FnOnce(&[(&str, &[u8])]) -> Result<R, i32>,
) -> Result<R, i32> {
    let mut few: [(&str, &[u8]); PAIRS] = [("", &[]); PAIRS];
    let mut many = Vec::new();
    let pairs = match few.get_mut(..count) {
        Some(few) => few,
        None => {
            many.resize(count, ("", &[][..]));
            &mut many[..]
        }
    };
    for (pair, entry) in pairs.iter_mut().zip(entries) {
        let (name, value) = entry?;
        *pair = (str::from_utf8(name).map_err(|_| GRPCLB_ERR_ARGUMENT)?, value);
    }
    then(pairs)
}

/// What a reply's pointers point to.
#[derive(Default)]
struct Memory {
    message: Vec<u8>,
    peer: Vec<u8>,
    response: Vec<u8>,
    reply: Reply,
    entries: Vec<grpclb_metadata>,
}

/// A reply of the caller's that was checked.
pub(super) struct Place(*mut grpclb_reply);

impl Place {
    /// Checks a reply.
    ///
    /// # Safety
    /// `reply` is NULL or a reply as the header says, of nobody else until this is dropped.
    pub(super) unsafe fn check(reply: *mut grpclb_reply) -> Result<Place, i32> {
        if reply.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        if !reply.is_aligned() {
            return Err(GRPCLB_ERR_ARGUMENT);
        }
        // SAFETY: not NULL, aligned, the caller's.
        if unsafe { (*reply).size } as usize != size_of::<grpclb_reply>() {
            return Err(super::GRPCLB_ERR_SIZE);
        }
        Ok(Place(reply))
    }

    /// Runs a call's body: what goes wrong before the call is made, or in a panic, stands in the reply as well.
    pub(super) fn fill(mut self, body: impl FnOnce(&mut Place) -> Result<i32, i32>) -> Result<i32, i32> {
        self.start();
        let code = super::guard(|| body(&mut self));
        if code < 0 {
            self.set(code, error_text(code).as_bytes(), "");
        }
        Ok(code)
    }

    /// Nothing of the last call stays visible.
    fn start(&mut self) {
        // SAFETY: checked when it was made, and nobody else's.
        let reply = unsafe { &mut *self.0 };
        let memory = if reply.memory.is_null() {
            Box::into_raw(Box::<Memory>::default()).cast()
        } else {
            reply.memory
        };
        *reply = grpclb_reply { memory, ..grpclb_reply::empty(reply.size) };
        self.set(super::GRPCLB_ERR_PANIC, b"", "");
    }

    fn parts(&mut self) -> (&mut grpclb_reply, &mut Memory) {
        // SAFETY: checked when it was made; `start` has set the memory, and both are nobody else's.
        unsafe {
            let reply = &mut *self.0;
            let memory = &mut *reply.memory.cast::<Memory>();
            (reply, memory)
        }
    }

    fn set(&mut self, code: i32, message: &[u8], peer: &str) {
        let (reply, memory) = self.parts();
        for (text, from) in [(&mut memory.message, message), (&mut memory.peer, peer.as_bytes())] {
            text.clear();
            text.extend_from_slice(from);
            text.push(0);
        }
        reply.code = code;
        reply.message = memory.message.as_ptr().cast();
        reply.message_len = memory.message.len() - 1;
        reply.peer = memory.peer.as_ptr().cast();
        reply.peer_len = memory.peer.len() - 1;
        reply.response = memory.response.as_ptr();
    }

    /// A status without more.
    pub(super) fn status(&mut self, status: &Status) -> i32 {
        let code = number(status.code);
        self.set(code, status.message.as_bytes(), status.peer.as_deref().unwrap_or_default());
        code
    }

    /// An outcome with all that it has. Its buffers are changed for the reply's spare ones.
    pub(super) fn outcome(&mut self, outcome: &mut Outcome, pick_order: u64) -> i32 {
        let code = number(outcome.code.unwrap_or(Code::UNKNOWN));
        self.set(code, &outcome.message, outcome.peer.as_deref().unwrap_or_default());
        let (reply, memory) = self.parts();
        std::mem::swap(&mut memory.response, &mut outcome.response);
        outcome.response.clear();
        if code != 0 {
            memory.response.clear();
        }
        memory.reply = Reply::take(outcome, pick_order);
        reply.response = memory.response.as_ptr();
        reply.response_len = memory.response.len();
        reply.pick_order = pick_order;
        self.entries();
        code
    }

    /// The same, and the outcome stays as it is.
    pub(super) fn outcome_again(&mut self, outcome: &Outcome, pick_order: u64) -> i32 {
        let mut copy = Outcome {
            response: Vec::new(),
            metadata: outcome.metadata.clone(),
            code: outcome.code,
            message: outcome.message.clone(),
            peer: outcome.peer.clone(),
        };
        self.outcome(&mut copy, pick_order)
    }

    /// Points at the metadata of `memory.reply`.
    fn entries(&mut self) {
        let (reply, memory) = self.parts();
        memory.entries.clear();
        memory.entries.extend(memory.reply.headers().map(entry));
        let headers = memory.entries.len();
        memory.entries.extend(memory.reply.trailers().map(entry));
        reply.headers = memory.entries.as_ptr();
        reply.headers_len = headers;
        reply.trailers = memory.entries[headers..].as_ptr();
        reply.trailers_len = memory.entries.len() - headers;
    }
}

fn entry((name, value): (&[u8], &[u8])) -> grpclb_metadata {
    grpclb_metadata {
        name: name.as_ptr().cast(),
        name_len: name.len(),
        value: value.as_ptr(),
        value_len: value.len(),
    }
}

pub(super) fn number(code: Code) -> i32 {
    // A server may send any number; one that is none of C's is an unknown one.
    i32::try_from(code.0).unwrap_or(2)
}

fn error_text(code: i32) -> &'static str {
    match code {
        GRPCLB_ERR_NULL => "a pointer of the call is NULL",
        super::GRPCLB_ERR_SIZE => "the call's size is not set, or of another header",
        GRPCLB_ERR_ARGUMENT => "a value of the call is out of its range, or a text not UTF-8",
        super::GRPCLB_ERR_BUSY => "another thread is using the stream",
        super::GRPCLB_ERR_PANIC => "a fault of the library",
        super::GRPCLB_ERR_RUNNING => "the call has not ended, or there is no such call",
        _ => "the call was not made",
    }
}
