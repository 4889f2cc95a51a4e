//! The connection without sockets: bytes in, events out, bytes out, the caller's clock. `core::call` behind C.

use super::conn_event::{Places, call as call_of, grpclb_conn_event, number};
use super::conn_memory::{Asked, Lent, grpclb_conn_config};
use super::fields::{Listed, grpclb_bytes, with_head};
use super::{
    GRPCLB_ERR_ARGUMENT, GRPCLB_ERR_BLOCKED, GRPCLB_ERR_CLOSED, GRPCLB_ERR_GOING_AWAY, GRPCLB_ERR_HEAD_SENT,
    GRPCLB_ERR_HTTP2, GRPCLB_ERR_METADATA, GRPCLB_ERR_NULL, GRPCLB_ERR_PANIC, GRPCLB_ERR_TOO_LARGE,
    GRPCLB_ERR_WRONG_LENGTH, guard_value, text,
};
use core::ptr::{null, null_mut};
use grpclb_core::call::{Connection, End, SendError, StartCallError, Token};
use grpclb_core::grpc::Code;
use grpclb_core::http2::ConnectionError;
use grpclb_core::time::Instant;

/// One HTTP/2 connection and its gRPC calls, without a socket and without a clock: one thread at a time. The rule for
/// whoever drives it: after grpclb_conn_recv_batch deliver the events; after the functions that say so, those of
/// grpclb_conn_poll_events; then transmit until there is nothing to transmit, and wait for octets, for the socket to
/// take more, or for grpclb_conn_poll_timeout. `now_ns` is nanoseconds of a clock of yours that never goes back.
pub struct grpclb_conn {
    connection: Connection<Lent>,
    error: Option<ConnectionError>,
    auto_release: bool,
    /// Within a function; after a panic for good.
    entered: bool,
}

/// What grpclb_conn_recv_batch did.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_conn_batch {
    /// Octets of the input that are taken.
    pub taken: usize,
    /// Events in the array, also when `code` is below 0.
    pub count: u32,
    /// 0: all is taken and told; 1: there is more, call again with the rest of the input; GRPCLB_ERR_HTTP2: the
    /// connection is over (transmit, then close); or another GRPCLB_ERR_*.
    pub code: i32,
}

/// What grpclb_conn_unary did.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_conn_started {
    /// As of grpclb_conn_start_call.
    pub call: i64,
    /// As of grpclb_conn_send_message; 0 when the call was not started.
    pub taken: i64,
}

/// Why a connection is over.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_conn_error {
    /// 0: it is not over by an error; else GRPCLB_ERR_HTTP2, or why it cannot be said.
    pub code: i32,
    /// HTTP/2's error code (RFC 9113 section 7).
    pub http2: u32,
    /// In words, static; not NUL-terminated.
    pub text: grpclb_bytes,
}

/// Octets that a connection with this config takes, tables included, or GRPCLB_ERR_*: a config that is refused here is
/// refused by grpclb_conn_init and grpclb_conn_new. NULL: a client's defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_size(config: *const grpclb_conn_config) -> i64 {
    guard_value(GRPCLB_ERR_PANIC.into(), || {
        // SAFETY: a config of the caller's or NULL.
        let plan = unsafe { Asked::read(config) }.and_then(|asked| asked.plan());
        plan.map_or_else(i64::from, |plan| plan.layout.size() as i64)
    })
}

/// What the address of a connection's memory must be a multiple of, octets.
#[unsafe(no_mangle)]
pub extern "C" fn grpclb_conn_align() -> usize {
    align_of::<grpclb_conn>()
}

/// Makes a connection in `memory`, which is lent until you use the connection no more (there is nothing to free) and
/// stays where it is. NULL when the memory is NULL, misaligned or smaller than grpclb_conn_size, or the config refused.
/// `config` is borrowed for the call; NULL: a client's defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_init(
    memory: *mut u8,
    size: usize,
    config: *const grpclb_conn_config,
    now_ns: u64,
) -> *mut grpclb_conn {
    guard_value(null_mut(), || {
        // SAFETY: a config of the caller's or NULL.
        let Ok(asked) = (unsafe { Asked::read(config) }) else { return null_mut() };
        let Ok(plan) = asked.plan() else { return null_mut() };
        if plan.fits(memory, size).is_err() {
            return null_mut();
        }
        // SAFETY: the memory is lent, aligned and large enough.
        unsafe {
            let storage = plan.divide(memory);
            let connection = Connection::new(storage, &asked.core, Instant::from_nanos(now_ns));
            let conn = memory.cast::<grpclb_conn>();
            conn.write(grpclb_conn {
                connection,
                error: None,
                auto_release: asked.auto_release,
                entered: false,
            });
            conn
        }
    })
}

/// The same in memory of the heap: yours to free with grpclb_conn_free. NULL when the config is refused or there is no
/// memory.
#[cfg(feature = "host")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_new(config: *const grpclb_conn_config, now_ns: u64) -> *mut grpclb_conn {
    guard_value(null_mut(), || {
        // SAFETY: a config of the caller's or NULL.
        let Ok(plan) = (unsafe { Asked::read(config) }).and_then(|asked| asked.plan()) else {
            return null_mut();
        };
        let Ok((block, begin)) = heap_layout(plan.layout) else { return null_mut() };
        // SAFETY: the block is not empty; before the connection stands the block's size.
        unsafe {
            let memory = std::alloc::alloc(block);
            if memory.is_null() {
                return null_mut();
            }
            let conn = memory.add(begin);
            conn.cast::<usize>().sub(1).write(plan.layout.size());
            grpclb_conn_init(conn, plan.layout.size(), config, now_ns)
        }
    })
}

/// Frees a connection of grpclb_conn_new. NULL is fine.
#[cfg(feature = "host")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_free(conn: *mut grpclb_conn) {
    guard_value((), || {
        if conn.is_null() {
            return;
        }
        // SAFETY: made by grpclb_conn_new, freed once; a connection has nothing else to give back.
        unsafe {
            let memory = conn.cast::<u8>();
            let size = memory.cast::<usize>().sub(1).read();
            let layout = std::alloc::Layout::from_size_align(size, align_of::<grpclb_conn>());
            if let Ok((block, begin)) = layout.map_err(|_| ()).and_then(heap_layout) {
                std::alloc::dealloc(memory.sub(begin), block);
            }
        }
    });
}

/// A block with the connection's size before it.
#[cfg(feature = "host")]
fn heap_layout(layout: std::alloc::Layout) -> Result<(std::alloc::Layout, usize), ()> {
    std::alloc::Layout::new::<usize>().extend(layout).map_err(|_| ())
}

/// Takes octets that arrived, and fills `events`, until the array, the room for header fields or the input ends; then
/// what grpclb_conn_poll_events has to tell. `input` is borrowed for the call: the events' `at` counts from it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_recv_batch(
    conn: *mut grpclb_conn,
    now_ns: u64,
    input: *const u8,
    input_len: usize,
    events: *mut grpclb_conn_event,
    capacity: usize,
) -> grpclb_conn_batch {
    // SAFETY: a connection of ours or NULL.
    let done = unsafe {
        within(conn, |conn| {
            // SAFETY: the input is the caller's or NULL.
            let input = text::slice(input, input_len)?;
            // SAFETY: the array is the caller's or NULL.
            let mut events = Events::new(conn, input.as_ptr(), events, capacity)?;
            Ok(conn.recv_batch(now_ns, input, &mut events))
        })
    };
    done.unwrap_or_else(|code| grpclb_conn_batch { taken: 0, count: 0, code })
}

/// Fills `events` with what time, commands and grpclb_conn_transmitted made: their number. Call it again while the
/// array comes full. It is due after grpclb_conn_handle_timeout, _transmitted, _take, _cancel and _carrier_lost, and
/// after a batch whose code is GRPCLB_ERR_HTTP2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_poll_events(
    conn: *mut grpclb_conn,
    events: *mut grpclb_conn_event,
    capacity: usize,
) -> i32 {
    // SAFETY: a connection of ours or NULL.
    let done = unsafe {
        within(conn, |conn| {
            // SAFETY: the array is the caller's or NULL.
            let mut events = Events::new(conn, null(), events, capacity)?;
            events.poll(conn);
            Ok(i32::try_from(events.count).unwrap_or(i32::MAX))
        })
    };
    done.unwrap_or_else(|code| code)
}

/// Client: starts a call. `head` is a packed list (grpclb_fields_put) of ":path", ":authority", ":scheme" ("http", the
/// default, or "https"), "user-agent" and up to 32 entries of metadata, lower-case names, "-bin" values raw; make it
/// once and use it for many calls. `timeout_ns` 0: no deadline. The call, above 0, or GRPCLB_ERR_*: BLOCKED
/// (GRPCLB_CONN_STARTABLE comes), TOO_LARGE, GOING_AWAY, CLOSED, METADATA, ARGUMENT (":path" and the like). The upper
/// 32 bits of a call are its slot, dense from 0: keep what you know of a call in an array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_start_call(
    conn: *mut grpclb_conn,
    now_ns: u64,
    head: *const u8,
    head_len: usize,
    timeout_ns: u64,
) -> i64 {
    // SAFETY: each is the caller's or NULL.
    let call =
        unsafe { within(conn, |conn| conn.start_call(now_ns, text::slice(head, head_len)?, timeout_ns)) };
    call.unwrap_or_else(i64::from)
}

/// Client: grpclb_conn_start_call, then grpclb_conn_send_message with the end, in one. When the message is not taken
/// whole, the call is there all the same, and the rest is to be sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_unary(
    conn: *mut grpclb_conn,
    now_ns: u64,
    head: *const u8,
    head_len: usize,
    timeout_ns: u64,
    message: *const u8,
    message_len: usize,
) -> grpclb_conn_started {
    // SAFETY: each is the caller's or NULL.
    let started = unsafe {
        within(conn, |conn| {
            let message = text::slice(message, message_len)?;
            let call = conn.start_call(now_ns, text::slice(head, head_len)?, timeout_ns)?;
            let taken = conn.connection.send_message(call_of(call), message, End::Last);
            Ok(grpclb_conn_started {
                call,
                taken: taken.map_or_else(|error| send_error(error).into(), octets),
            })
        })
    };
    started.unwrap_or_else(|code| grpclb_conn_started { call: code.into(), taken: 0 })
}

/// Sends (a part of) one message; `last` other than 0: a client's side ends behind it. The first call's length is the
/// message's, later calls pass exactly the rest (but see grpclb_conn_begin_message). Octets taken (0 for an empty
/// message alone), or GRPCLB_ERR_*: BLOCKED (GRPCLB_CONN_WRITABLE comes, also after a part), CLOSED, WRONG_LENGTH,
/// TOO_LARGE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_send_message(
    conn: *mut grpclb_conn,
    call: i64,
    message: *const u8,
    message_len: usize,
    last: i32,
) -> i64 {
    let end = if last == 0 { End::More } else { End::Last };
    // SAFETY: each is the caller's or NULL.
    let taken = unsafe {
        within(conn, |conn| {
            let message = text::slice(message, message_len)?;
            conn.connection.send_message(call_of(call), message, end).map_err(send_error)
        })
    };
    taken.map_or_else(i64::from, octets)
}

/// Announces a message of `len` octets whose pieces come one by one, of any size, by grpclb_conn_send_message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_begin_message(conn: *mut grpclb_conn, call: i64, len: u32) -> i32 {
    // SAFETY: a connection of ours or NULL.
    unsafe { command(conn, |conn| conn.connection.begin_message(call_of(call), len)) }
}

/// Client: no more messages.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_half_close(conn: *mut grpclb_conn, call: i64) -> i32 {
    // SAFETY: a connection of ours or NULL.
    unsafe { command(conn, |conn| conn.connection.half_close(call_of(call))) }
}

/// Server: the response's initial metadata, a packed list; sent by itself, empty, if you never do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_send_head(
    conn: *mut grpclb_conn,
    call: i64,
    metadata: *const u8,
    metadata_len: usize,
) -> i32 {
    // SAFETY: each is the caller's or NULL.
    let done = unsafe {
        within(conn, |conn| {
            let listed = Listed::read(text::slice(metadata, metadata_len)?, |_, _| false)?;
            conn.connection.send_metadata(call_of(call), listed.as_slice()).map_err(send_error)
        })
    };
    done.map_or_else(|code| code, |()| 0)
}

/// Server: ends the call with gRPC's status `code`, a message (UTF-8), and trailers, a packed list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_send_status(
    conn: *mut grpclb_conn,
    call: i64,
    code: u32,
    message: *const u8,
    message_len: usize,
    trailers: *const u8,
    trailers_len: usize,
) -> i32 {
    // SAFETY: each is the caller's or NULL.
    let done = unsafe {
        within(conn, |conn| {
            let message = text::slice(message, message_len)?;
            let listed = Listed::read(text::slice(trailers, trailers_len)?, |_, _| false)?;
            let (connection, call) = (&mut conn.connection, call_of(call));
            connection.send_status(call, Code(code), message, listed.as_slice()).map_err(send_error)
        })
    };
    done.map_or_else(|code| code, |()| 0)
}

/// Server: head, one message and status OK, all or nothing. GRPCLB_ERR_TOO_LARGE: send it in parts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_reply(
    conn: *mut grpclb_conn,
    call: i64,
    message: *const u8,
    message_len: usize,
) -> i32 {
    // SAFETY: each is the caller's or NULL.
    let done = unsafe {
        within(conn, |conn| {
            let message = text::slice(message, message_len)?;
            conn.connection.reply(call_of(call), message).map_err(send_error)
        })
    };
    done.map_or_else(|code| code, |()| 0)
}

/// Gives `n` octets of messages back to the receive window. Does nothing when the call is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_release(conn: *mut grpclb_conn, call: i64, n: usize) -> i32 {
    // SAFETY: a connection of ours or NULL.
    unsafe { plainly(conn, |conn| conn.connection.release(call_of(call), n)) }
}

/// Ends a call. A client's gets its status, CANCELLED, from grpclb_conn_poll_events; a server's has no further event.
/// Does nothing when the call is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_cancel(conn: *mut grpclb_conn, call: i64) -> i32 {
    // SAFETY: a connection of ours or NULL.
    unsafe { plainly(conn, |conn| conn.connection.cancel(call_of(call))) }
}

/// What is to be written to the socket, valid until the connection's next function. None: there is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_transmit(conn: *mut grpclb_conn, now_ns: u64) -> grpclb_bytes {
    // SAFETY: a connection of ours or NULL.
    let bytes = unsafe {
        within(conn, |conn| {
            let bytes = conn.connection.transmit(Instant::from_nanos(now_ns));
            Ok(grpclb_bytes { at: bytes.as_ptr(), len: bytes.len() })
        })
    };
    bytes.ok().filter(|bytes| bytes.len > 0).unwrap_or(grpclb_bytes::NONE)
}

/// `n` octets of grpclb_conn_transmit were written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_transmitted(conn: *mut grpclb_conn, n: usize) -> i32 {
    // SAFETY: a connection of ours or NULL.
    unsafe { plainly(conn, |conn| conn.connection.transmitted(n)) }
}

/// Both in one, by a copy: moves up to `size` octets to `out`. Octets moved, or GRPCLB_ERR_*.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_take(
    conn: *mut grpclb_conn,
    now_ns: u64,
    out: *mut u8,
    size: usize,
) -> i64 {
    // SAFETY: each is the caller's or NULL.
    let moved = unsafe {
        within(conn, |conn| {
            if out.is_null() && size > 0 {
                return Err(GRPCLB_ERR_NULL);
            }
            let mut moved = 0;
            // After a part was taken, control frames may have come behind it.
            while moved < size {
                let bytes = conn.connection.transmit(Instant::from_nanos(now_ns));
                let n = bytes.len().min(size - moved);
                if n == 0 {
                    break;
                }
                core::ptr::copy_nonoverlapping(bytes.as_ptr(), out.add(moved), n);
                conn.connection.transmitted(n);
                moved += n;
            }
            Ok(moved)
        })
    };
    moved.map_or_else(i64::from, octets)
}

/// When grpclb_conn_handle_timeout is due, by your clock; UINT64_MAX: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_poll_timeout(conn: *const grpclb_conn) -> u64 {
    // SAFETY: a connection of ours or NULL.
    let at = unsafe { within(conn.cast_mut(), |conn| Ok(conn.connection.poll_timeout())) };
    at.ok().flatten().map_or(u64::MAX, Instant::as_nanos)
}

/// The clock has reached grpclb_conn_poll_timeout (or not: then nothing happens). 0, or GRPCLB_ERR_HTTP2: the peer is
/// gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_handle_timeout(conn: *mut grpclb_conn, now_ns: u64) -> i32 {
    // SAFETY: a connection of ours or NULL.
    let done = unsafe {
        within(conn, |conn| {
            let result = conn.connection.handle_timeout(Instant::from_nanos(now_ns));
            result.map_err(|error| conn.failed(error))
        })
    };
    done.map_or_else(|code| code, |()| 0)
}

/// The socket is gone: every call ends; their statuses, with their fates, come from grpclb_conn_poll_events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_carrier_lost(conn: *mut grpclb_conn, now_ns: u64) -> i32 {
    // SAFETY: a connection of ours or NULL.
    unsafe { plainly(conn, |conn| conn.connection.carrier_lost(Instant::from_nanos(now_ns))) }
}

/// Graceful end: GOAWAY, no new calls, those that run go on until grpclb_conn_is_closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_shutdown(conn: *mut grpclb_conn, now_ns: u64) -> i32 {
    // SAFETY: a connection of ours or NULL.
    unsafe { plainly(conn, |conn| conn.connection.shutdown(Instant::from_nanos(now_ns))) }
}

/// 1: all is said and done, close the socket once there is nothing to transmit; 0: not yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_is_closed(conn: *const grpclb_conn) -> i32 {
    // SAFETY: a connection of ours or NULL.
    let closed = unsafe { within(conn.cast_mut(), |conn| Ok(conn.connection.is_closed())) };
    closed.map_or_else(|code| code, i32::from)
}

/// How many calls run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_calls(conn: *const grpclb_conn) -> i32 {
    // SAFETY: a connection of ours or NULL.
    let calls = unsafe { within(conn.cast_mut(), |conn| Ok(conn.connection.calls())) };
    calls.map_or_else(|code| code, |calls| i32::try_from(calls).unwrap_or(i32::MAX))
}

/// Why the connection is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_conn_last_error(conn: *const grpclb_conn) -> grpclb_conn_error {
    let none = |code| grpclb_conn_error { code, http2: 0, text: grpclb_bytes::NONE };
    // SAFETY: a connection of ours or NULL.
    let error = unsafe { within(conn.cast_mut(), |conn| Ok(conn.error)) };
    match error {
        Err(code) => none(code),
        Ok(None) => none(0),
        Ok(Some(ConnectionError { code, reason })) => grpclb_conn_error {
            code: GRPCLB_ERR_HTTP2,
            http2: code.0,
            text: grpclb_bytes { at: reason.as_ptr(), len: reason.len() },
        },
    }
}

impl grpclb_conn {
    fn recv_batch(&mut self, now_ns: u64, input: &[u8], events: &mut Events) -> grpclb_conn_batch {
        // `at` has 32 bits.
        let mut rest = input.get(..input.len().min(u32::MAX as usize)).unwrap_or_default();
        let (begin, offered) = (events.count, rest.len());
        let now = Instant::from_nanos(now_ns);
        let result = self.connection.recv_batch(now, &mut rest, |token, _| events.push(&token));
        if self.auto_release {
            events.release(self, begin);
        }
        let taken = offered - rest.len();
        let mut code = match result {
            Ok(()) => 0,
            Err(error) => self.failed(error),
        };
        if rest.is_empty() || code != 0 {
            events.poll(self);
        }
        if code == 0 && (taken < input.len() || events.is_full()) {
            code = 1;
        }
        grpclb_conn_batch { taken, count: events.count as u32, code }
    }

    fn start_call(&mut self, now_ns: u64, head: &[u8], timeout_ns: u64) -> Result<i64, i32> {
        with_head(head, timeout_ns, |head| {
            self.connection.start_call(Instant::from_nanos(now_ns), head).map(number).map_err(start_error)
        })
    }

    /// Notes why the connection is over.
    fn failed(&mut self, error: ConnectionError) -> i32 {
        self.error.get_or_insert(error);
        GRPCLB_ERR_HTTP2
    }
}

/// The caller's array, and how much of it is filled.
struct Events {
    places: Places,
    at: *mut grpclb_conn_event,
    capacity: usize,
    count: usize,
}

impl Events {
    /// # Safety
    /// `at` is NULL or has room for `capacity` events while this lives.
    unsafe fn new(
        conn: &mut grpclb_conn,
        input: *const u8,
        at: *mut grpclb_conn_event,
        capacity: usize,
    ) -> Result<Events, i32> {
        if at.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        if capacity == 0 || !at.is_aligned() {
            return Err(GRPCLB_ERR_ARGUMENT);
        }
        let (arena, arena_len) = conn.connection.storage_mut().arena();
        let places = Places { arena, arena_len, input };
        // A count has 31 bits.
        Ok(Events { places, at, capacity: capacity.min(i32::MAX as usize), count: 0 })
    }

    fn is_full(&self) -> bool {
        self.count == self.capacity
    }

    /// Whether there is room for another one.
    fn push(&mut self, token: &Token<'_>) -> bool {
        if !self.is_full() {
            // SAFETY: `count` is less than `capacity`.
            unsafe { self.at.add(self.count).write(self.places.event(token)) };
            self.count += 1;
        }
        !self.is_full()
    }

    /// What was made without input.
    fn poll(&mut self, conn: &mut grpclb_conn) {
        while !self.is_full()
            && let Some(token) = conn.connection.poll_token()
        {
            self.push(&token);
        }
    }

    /// Gives back the octets of the pieces from the event at `begin` on.
    fn release(&self, conn: &mut grpclb_conn, begin: usize) {
        for k in begin..self.count {
            // SAFETY: written by `push`.
            let event = unsafe { self.at.add(k).read() };
            if event.kind == super::conn_event::GRPCLB_CONN_MESSAGE as u8 {
                conn.connection.release(call_of(event.call), event.len as usize);
            }
        }
    }
}

/// Runs a function's body on a connection. One in which a panic was held back answers nothing any more.
///
/// # Safety
/// NULL or a connection of ours that is in no other function.
unsafe fn within<T>(
    conn: *mut grpclb_conn,
    body: impl FnOnce(&mut grpclb_conn) -> Result<T, i32>,
) -> Result<T, i32> {
    if conn.is_null() {
        return Err(GRPCLB_ERR_NULL);
    }
    if !conn.is_aligned() {
        return Err(GRPCLB_ERR_ARGUMENT);
    }
    guard_value(Err(GRPCLB_ERR_PANIC), || {
        // SAFETY: not NULL, aligned, so the caller's.
        let conn = unsafe { &mut *conn };
        if core::mem::replace(&mut conn.entered, true) {
            return Err(GRPCLB_ERR_PANIC);
        }
        let result = body(conn);
        conn.entered = false;
        result
    })
}

/// # Safety
/// As [`within`].
unsafe fn command(
    conn: *mut grpclb_conn,
    body: impl FnOnce(&mut grpclb_conn) -> Result<(), SendError>,
) -> i32 {
    // SAFETY: as this function's own.
    let done = unsafe { within(conn, |conn| body(conn).map_err(send_error)) };
    done.map_or_else(|code| code, |()| 0)
}

/// # Safety
/// As [`within`].
unsafe fn plainly(conn: *mut grpclb_conn, body: impl FnOnce(&mut grpclb_conn)) -> i32 {
    // SAFETY: as this function's own.
    let done = unsafe {
        within(conn, |conn| {
            body(conn);
            Ok(())
        })
    };
    done.map_or_else(|code| code, |()| 0)
}

fn octets(taken: usize) -> i64 {
    i64::try_from(taken).unwrap_or(i64::MAX)
}

fn start_error(error: StartCallError) -> i32 {
    match error {
        StartCallError::Blocked => GRPCLB_ERR_BLOCKED,
        StartCallError::TooLarge => GRPCLB_ERR_TOO_LARGE,
        StartCallError::GoingAway => GRPCLB_ERR_GOING_AWAY,
        StartCallError::BadMetadata(_) => GRPCLB_ERR_METADATA,
        StartCallError::BadPath => GRPCLB_ERR_ARGUMENT,
        _ => GRPCLB_ERR_CLOSED,
    }
}

fn send_error(error: SendError) -> i32 {
    match error {
        SendError::Blocked => GRPCLB_ERR_BLOCKED,
        SendError::TooLarge => GRPCLB_ERR_TOO_LARGE,
        SendError::WrongLength => GRPCLB_ERR_WRONG_LENGTH,
        SendError::BadMetadata(_) => GRPCLB_ERR_METADATA,
        SendError::HeadSent => GRPCLB_ERR_HEAD_SENT,
        _ => GRPCLB_ERR_CLOSED,
    }
}

/// For the tests of the boundary.
///
/// # Safety
/// As [`within`].
#[cfg(all(test, feature = "host"))]
pub(super) unsafe fn panic_within(conn: *mut grpclb_conn) -> i32 {
    // SAFETY: as this function's own.
    unsafe { plainly(conn, |_| panic!("on purpose")) }
}
