//! What comes of a reactor's calls, many at a time, and its streaming calls. Results are values and nothing here takes
//! a pointer to a pointer, so that a language whose memory is collected crosses once a turn and allocates nothing.

use super::call::{grpclb_call, number, with_call, with_pairs};
use super::channel::{endpoints_text, state_number};
use super::reactor::{Inner, borrow, grpclb_call_id, grpclb_reactor, key, lock};
use super::{GRPCLB_ERR_ARGUMENT, GRPCLB_ERR_BLOCKED, GRPCLB_ERR_ENDED, GRPCLB_ERR_NULL, GRPCLB_ERR_SYSTEM};
use super::{guard, guard_quietly, text};
use crate::host::call::Call;
use crate::host::reactor::CallKey;
use crate::host::reactor::calls::{Kind, Record, Stage};
use grpclb_core::bytes::Fields;
use grpclb_core::grpc::Code;
use std::ffi::c_char;
use std::ptr::null;
use std::time::Duration;

/// Initial metadata is here: `metadata`, `headers_len`.
pub const GRPCLB_EVENT_HEADERS: u32 = 1;
/// grpclb_reactor_recv has a message.
pub const GRPCLB_EVENT_MESSAGE: u32 = 2;
/// grpclb_reactor_send takes a message.
pub const GRPCLB_EVENT_WRITABLE: u32 = 4;
/// The call has ended: `code` and all fields below it are set.
pub const GRPCLB_EVENT_ENDED: u32 = 8;

/// A streaming call, for grpclb_reactor_start_packed; else it is unary.
pub const GRPCLB_CALL_STREAM: u32 = 1;
/// Wait through TRANSIENT_FAILURE, for grpclb_reactor_start_packed.
pub const GRPCLB_CALL_WAIT_FOR_READY: u32 = 2;

/// How a call stands. What it points to is valid until the next function of that reactor, those that start calls and send
/// messages excepted: it may be handed to them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_event {
    /// The call.
    pub call: grpclb_call_id,
    /// GRPCLB_EVENT_*, added up: how it stands now, also what an earlier event has said.
    pub what: u32,
    /// gRPC's status code, 0 is OK.
    pub code: i32,
    /// Why it is not OK, in words; not NUL-terminated.
    pub message: *const c_char,
    /// Octets of the message.
    pub message_len: usize,
    /// The response of a unary call.
    pub response: *const u8,
    /// Octets of the response; 0 unless the call is OK.
    pub response_len: usize,
    /// Initial and then trailing metadata. Each entry: uint16_t name length, uint16_t value length (both with the high
    /// octet first), name, value; "-bin" values are raw.
    pub metadata: *const u8,
    /// Octets of the initial metadata.
    pub headers_len: usize,
    /// Octets of the trailing metadata, which follows.
    pub trailers_len: usize,
    /// The endpoint that serves the call, "ip:port", "[ip]:port" or "unix:path"; not NUL-terminated. In any event.
    pub peer: *const c_char,
    /// Octets of the peer; 0 while there is none.
    pub peer_len: usize,
    /// The how-manieth pick of the channel the call was, from 0.
    pub pick_order: u64,
}

/// Where a reactor stands.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_turn {
    /// How many events there were, or GRPCLB_ERR_*.
    pub count: i32,
    /// GRPCLB_STATE_*.
    pub state: i32,
    /// Endpoints that are READY.
    pub ready_endpoints: u64,
    /// How long the descriptor may be waited for, nanoseconds; 0: there is more to do at once; UINT64_MAX: for ever.
    pub timeout_ns: u64,
}

/// A call that was started, or why not.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_started {
    /// 0, or GRPCLB_ERR_*.
    pub result: i32,
    /// Valid when the result is 0.
    pub call: grpclb_call_id,
}

/// A message that came on a stream, or why there is none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_message {
    /// 1: a message; 0: none yet; GRPCLB_ERR_ENDED: none, and none will come; or another GRPCLB_ERR_*.
    pub result: i32,
    /// Its octets, valid as long as what an event points to; not NULL when there is a message.
    pub octets: *const u8,
    /// How many.
    pub len: usize,
}

/// Does what grpclb_reactor_process does until there are events or nothing is left to do, and writes how the calls stand
/// that ended or have something new, at most `capacity` of them (at least 1; one event a call). Call it until there are
/// none, and wait then: what is to be written goes out by the next one, with what you start meanwhile. Use either this
/// or grpclb_reactor_process with grpclb_reactor_poll_call.
///
/// A unary call is told once, when it has ended, and is gone with the next such function of the reactor. A stream stays
/// until grpclb_reactor_forget, and what it received can still be taken after its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_poll_events(
    reactor: *const grpclb_reactor,
    events: *mut grpclb_event,
    capacity: usize,
) -> grpclb_turn {
    let step = |inner: &mut Inner| {
        if events.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        if capacity == 0 || !events.is_aligned() {
            return Err(GRPCLB_ERR_ARGUMENT);
        }
        let mut count = 0;
        // News of calls that were forgotten, or that say nothing, are no reason to leave the descriptor half read.
        while count == 0 {
            if inner.reactor.news() == 0
                && inner.reactor.process_and_hold().map_err(|_| GRPCLB_ERR_SYSTEM)? == 0
            {
                break;
            }
            while count < capacity && count < i32::MAX as usize {
                let Some(key) = inner.reactor.poll_call() else { break };
                let Some(record) = inner.reactor.record(key) else { continue };
                let Some(event) = event(key, record) else { continue };
                if record.kind == Kind::Unary {
                    inner.told.push(key);
                }
                // SAFETY: not NULL, aligned, and the caller vouches for `capacity` places.
                unsafe { events.add(count).write(event) };
                count += 1;
            }
        }
        Ok(count as i32)
    };
    // SAFETY: a reactor of ours or NULL.
    unsafe { turn(reactor, step) }
}

/// Writes what commands made, and nothing else. Events that commands made wait for grpclb_reactor_poll_events; the
/// turn's timeout is 0 then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_flush(reactor: *const grpclb_reactor) -> grpclb_turn {
    let step = |inner: &mut Inner| {
        inner.reactor.flush();
        Ok(0)
    };
    // SAFETY: a reactor of ours or NULL.
    unsafe { turn(reactor, step) }
}

/// Starts a streaming call. `call` is borrowed for the call. 0, and the call's id in `*out`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_start_stream(
    reactor: *const grpclb_reactor,
    call: *const grpclb_call,
    out: *mut grpclb_call_id,
) -> i32 {
    guard(|| {
        if out.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        // SAFETY: each is the caller's or NULL.
        let key = unsafe {
            let mut inner = lock(reactor)?;
            with_call(call, |call| Ok(inner.reactor.start_stream(call)))
        }?;
        // SAFETY: not NULL, so the caller's.
        unsafe { out.write(id(key)) };
        Ok(0)
    })
}

/// Starts a call of either kind (`flags`: GRPCLB_CALL_*, added up) as grpclb_reactor_start_call and
/// grpclb_reactor_start_stream do, without a struct that holds pointers. `path` is not NUL-terminated; `metadata` is
/// packed as in grpclb_event; the other two are as in grpclb_call. `request` is the message of a unary call; a stream
/// has none here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_start_packed(
    reactor: *const grpclb_reactor,
    flags: u32,
    path: *const c_char,
    path_len: usize,
    metadata: *const u8,
    metadata_len: usize,
    timeout_ns: u64,
    max_response_size: u32,
    request: *const u8,
    request_len: usize,
) -> grpclb_started {
    let mut started = grpclb_started { result: 0, call: grpclb_call_id { index: 0, generation: 0 } };
    started.result = guard(|| {
        if flags & !(GRPCLB_CALL_STREAM | GRPCLB_CALL_WAIT_FOR_READY) != 0 {
            return Err(GRPCLB_ERR_ARGUMENT);
        }
        // SAFETY: each is the caller's or NULL.
        let (mut inner, path, metadata, request) = unsafe {
            let path = text::slice(path.cast::<u8>(), path_len)?;
            let metadata = text::slice(metadata, metadata_len)?;
            (lock(reactor)?, path, metadata, text::slice(request, request_len)?)
        };
        let path = str::from_utf8(path).map_err(|_| GRPCLB_ERR_ARGUMENT)?;
        let (mut count, mut fields) = (0, Fields::new(metadata));
        while fields.next().is_some() {
            count += 1;
        }
        let stream = flags & GRPCLB_CALL_STREAM != 0;
        if !fields.packed().is_empty() || stream && !request.is_empty() {
            return Err(GRPCLB_ERR_ARGUMENT);
        }
        let key = with_pairs(count, Fields::new(metadata).map(Ok), |metadata| {
            let call = Call {
                path,
                timeout: (timeout_ns > 0).then(|| Duration::from_nanos(timeout_ns)),
                metadata,
                wait_for_ready: flags & GRPCLB_CALL_WAIT_FOR_READY != 0,
                max_response_size: (max_response_size > 0).then_some(max_response_size),
            };
            let reactor = &mut inner.reactor;
            Ok(if stream { reactor.start_stream(&call) } else { reactor.start_call(&call, request) })
        })?;
        started.call = id(key);
        Ok(0)
    });
    started
}

/// A stream's next message, borrowed for the call and copied. 0: it is on its way; 1: it waits for a connection or for
/// the peer's window, and until an event has GRPCLB_EVENT_WRITABLE further ones are GRPCLB_ERR_BLOCKED.
/// GRPCLB_ERR_ENDED: the stream has ended or was half-closed. Goes out with the next grpclb_reactor_flush,
/// grpclb_reactor_poll_events or grpclb_reactor_process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_send(
    reactor: *const grpclb_reactor,
    call: grpclb_call_id,
    message: *const u8,
    message_len: usize,
) -> i32 {
    guard(|| {
        // SAFETY: each is the caller's or NULL.
        let (mut inner, message) = unsafe { (lock(reactor)?, text::slice(message, message_len)?) };
        let record = stream(&mut inner, call)?;
        if record.half_close {
            return Err(GRPCLB_ERR_ENDED);
        }
        if !inner.reactor.send(key(call), Some(message), false) {
            return Err(GRPCLB_ERR_BLOCKED);
        }
        let record = stream(&mut inner, call)?;
        Ok(i32::from(record.sending))
    })
}

/// No more messages will be sent on a stream; one that waits goes out before. 0, or GRPCLB_ERR_ENDED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_half_close(
    reactor: *const grpclb_reactor,
    call: grpclb_call_id,
) -> i32 {
    guard(|| {
        // SAFETY: a reactor of ours or NULL.
        let mut inner = unsafe { borrow(reactor) }?;
        stream(&mut inner, call)?;
        inner.reactor.half_close(key(call));
        Ok(0)
    })
}

/// Takes the next message that came on a stream, and with it makes room in the peer's window: what is not taken holds
/// the peer back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_recv(
    reactor: *const grpclb_reactor,
    call: grpclb_call_id,
) -> grpclb_message {
    let mut came = grpclb_message { result: 0, octets: null(), len: 0 };
    came.result = guard(|| {
        // SAFETY: a reactor of ours or NULL.
        let mut inner = unsafe { borrow(reactor) }?;
        let inner = &mut *inner;
        if !inner.reactor.recv(key(call), &mut inner.message) {
            return stream(inner, call).map(|_| 0);
        }
        (came.octets, came.len) = (inner.message.as_ptr(), inner.message.len());
        Ok(1)
    });
    came
}

/// Cancels a call unless it has ended, and forgets it: no event will name it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_forget(reactor: *const grpclb_reactor, call: grpclb_call_id) -> i32 {
    guard(|| {
        // SAFETY: a reactor of ours or NULL.
        unsafe { borrow(reactor) }?.reactor.forget(key(call));
        Ok(0)
    })
}

/// Writes "address STATE, address STATE" of all endpoints into `out`, as grpclb_channel_endpoints does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_endpoints(
    reactor: *const grpclb_reactor,
    out: *mut c_char,
    size: usize,
) -> usize {
    let mut length = 0;
    guard_quietly(|| {
        // SAFETY: the buffer is the caller's, as the header says.
        unsafe { text::put("", out, size) };
        // SAFETY: a reactor of ours or NULL.
        let Ok(mut inner) = (unsafe { borrow(reactor) }) else { return };
        let line = endpoints_text(inner.reactor.endpoints());
        length = line.len();
        // SAFETY: as above.
        unsafe { text::put(&line, out, size) };
    });
    length
}

/// A step of the reactor, and where it stands afterwards.
///
/// # Safety
/// `reactor` is NULL or a reactor of ours.
unsafe fn turn(
    reactor: *const grpclb_reactor,
    step: impl FnOnce(&mut Inner) -> Result<i32, i32>,
) -> grpclb_turn {
    let mut turn = grpclb_turn { count: 0, state: 0, ready_endpoints: 0, timeout_ns: 0 };
    turn.count = guard(|| {
        // SAFETY: as this function's own.
        let mut inner = unsafe { borrow(reactor) }?;
        let count = step(&mut inner)?;
        turn.state = state_number(inner.reactor.state(false));
        turn.ready_endpoints = inner.reactor.ready_endpoints() as u64;
        turn.timeout_ns = match inner.reactor.poll_timeout() {
            _ if inner.reactor.news() > 0 => 0,
            Some(timeout) => timeout.as_nanos().try_into().unwrap_or(u64::MAX),
            None => u64::MAX,
        };
        Ok(count)
    });
    turn
}

/// The record of a stream that has not ended.
fn stream(inner: &mut Inner, call: grpclb_call_id) -> Result<&mut Record, i32> {
    let record = inner.reactor.record(key(call)).filter(|record| record.stage != Stage::Ended);
    record.filter(|record| record.kind == Kind::Stream).ok_or(GRPCLB_ERR_ENDED)
}

/// How a call stands; `None`: there is nothing to say of it.
fn event(key: CallKey, record: &Record) -> Option<grpclb_event> {
    let ended = record.stage == Stage::Ended;
    let stream = record.kind == Kind::Stream;
    let outcome = &record.outcome;
    let flags = [
        (record.has_header, GRPCLB_EVENT_HEADERS),
        (stream && !record.inbox.whole.is_empty(), GRPCLB_EVENT_MESSAGE),
        (stream && !ended && !record.sending && !record.half_close, GRPCLB_EVENT_WRITABLE),
        (ended, GRPCLB_EVENT_ENDED),
    ];
    let what = flags.iter().filter(|(holds, _)| *holds).map(|(_, flag)| flag).sum();
    if what == 0 || !(stream || ended) {
        return None;
    }
    let (headers, trailers) = (outcome.metadata.header().packed(), outcome.metadata.trailer().packed());
    let peer = outcome.peer.as_deref().unwrap_or_default();
    let mut event = grpclb_event {
        call: id(key),
        what,
        code: 0,
        message: null(),
        message_len: 0,
        response: null(),
        response_len: 0,
        metadata: headers.as_ptr(),
        headers_len: headers.len(),
        trailers_len: 0,
        peer: peer.as_ptr().cast(),
        peer_len: peer.len(),
        pick_order: record.pick_order,
    };
    if ended {
        event.code = number(outcome.code.unwrap_or(Code::UNKNOWN));
        event.message = outcome.message.as_ptr().cast();
        event.message_len = outcome.message.len();
        event.trailers_len = trailers.len();
        if !stream && event.code == 0 {
            event.response = outcome.response.as_ptr();
            event.response_len = outcome.response.len();
        }
    }
    Some(event)
}

fn id(key: CallKey) -> grpclb_call_id {
    grpclb_call_id { index: key.index, generation: key.generation }
}
