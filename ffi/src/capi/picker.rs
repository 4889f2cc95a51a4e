//! The balancer without sockets.

use super::channel::state_number;
use super::config::{self, Sized32};
use super::{
    GRPCLB_ERR_ARGUMENT, GRPCLB_ERR_ENDPOINTS, GRPCLB_ERR_NULL, GRPCLB_ERR_PANIC, GRPCLB_ERR_SERVICE_CONFIG,
    guard, guard_quietly, guard_value, text,
};
use crate::host::picker::{Picker, PickerEndpoint, PickerError};
use grpclb_core::balancer::{
    Action, Address, AddressError, Config, Endpoint, Pick, SubchannelEvent, SubchannelId,
};
use grpclb_core::time::{Duration, Instant};
use std::ffi::c_char;

/// To grpclb_picker_handle_subchannel: connected, and the peer's SETTINGS arrived.
pub const GRPCLB_SUBCHANNEL_READY: i32 = 1;
/// The attempt to connect failed.
pub const GRPCLB_SUBCHANNEL_FAILED: i32 = 2;
/// A connection that was READY is gone or takes no new calls (GOAWAY).
pub const GRPCLB_SUBCHANNEL_LOST: i32 = 3;

/// Of grpclb_picker_poll_action: there is nothing to do.
pub const GRPCLB_ACTION_NONE: i32 = 0;
/// Resolve the target (again); answer with grpclb_picker_handle_resolution or grpclb_picker_handle_resolution_error.
pub const GRPCLB_ACTION_RESOLVE: i32 = 1;
/// Connect to grpclb_picker_address. An attempt has its time limit; CLOSE comes when it is over.
pub const GRPCLB_ACTION_CONNECT: i32 = 2;
/// Close the connection (let its calls end) or give up the attempt. Nothing need be told of it any more.
pub const GRPCLB_ACTION_CLOSE: i32 = 3;

/// Of grpclb_picker_pick: the call goes to the subchannel.
pub const GRPCLB_PICK_SUBCHANNEL: i32 = 0;
/// The call waits: pick again when grpclb_picker_version is another than before this pick.
pub const GRPCLB_PICK_QUEUE: i32 = 1;
/// TRANSIENT_FAILURE: the call fails with UNAVAILABLE; one that waits for ready waits as for QUEUE.
pub const GRPCLB_PICK_FAIL: i32 = 2;
/// The policy drops the call: UNAVAILABLE, never tried again.
pub const GRPCLB_PICK_DROP: i32 = 3;

/// Which connection a call goes to, for programs that keep connections of their own: policies, connectivity states,
/// backoff and Happy Eyeballs without a socket. Any thread may use it; picks take no lock while the state is READY.
/// `now_ns` is nanoseconds of a clock of yours that never goes back. A subchannel is one attempt to connect and the
/// connection that came of it; its number is never used for another, and `subchannel >> 16` is dense from 0: keep your
/// connections in an array.
pub struct grpclb_picker(Picker);

/// Settings of a picker. 0 is the default of all durations.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_picker_config {
    /// sizeof(grpclb_picker_config).
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// For jitter and shuffling; take it from a random source.
    pub seed: u64,
    /// The number of the first pick; take it from a random source, or every client's first call goes to the same endpoint.
    pub position: u64,
    /// First backoff between attempts to connect, nanoseconds (default 1 s, at least 1 ms).
    pub initial_backoff_ns: u64,
    /// Largest backoff, nanoseconds (default 120 s).
    pub max_backoff_ns: u64,
    /// How long an attempt to connect may take, nanoseconds (default 20 s); longer when the backoff is.
    pub min_connect_timeout_ns: u64,
    /// Between attempts of Happy Eyeballs, nanoseconds (default 250 ms, kept within 100 ms and 2 s).
    pub happy_eyeballs_delay_ns: u64,
    /// Without picks and calls for so long the picker goes IDLE, nanoseconds (default 30 min); UINT64_MAX: never.
    pub idle_timeout_ns: u64,
}

// SAFETY: `repr(C)`, begins with a `u32`, zero is a value of every field.
unsafe impl Sized32 for grpclb_picker_config {
    const FIRST: usize = size_of::<grpclb_picker_config>();
}

/// What to do next.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_action {
    /// GRPCLB_ACTION_*, or GRPCLB_ERR_*.
    pub action: i32,
    /// Of CONNECT and CLOSE.
    pub subchannel: u32,
}

/// Where a call goes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_pick {
    /// GRPCLB_PICK_*, or GRPCLB_ERR_*.
    pub result: i32,
    /// Of GRPCLB_PICK_SUBCHANNEL.
    pub subchannel: u32,
}

/// One endpoint as the picker sees it now.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_endpoint {
    /// GRPCLB_STATE_*, or GRPCLB_ERR_* (GRPCLB_ERR_ARGUMENT: there is no such endpoint).
    pub state: i32,
    /// The weight that picks go by (1 for policies without weights).
    pub weight: u32,
    /// Of the address in use, or else of the first.
    pub subchannel: u32,
    /// Octets of that address without its NUL.
    pub address_len: u32,
}

/// Makes a picker, IDLE and without endpoints. `config` is borrowed for the call; NULL: the defaults, seed and position
/// 0. 0, and `*out` is yours to free with grpclb_picker_free; else GRPCLB_ERR_*, and `*out` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_new(
    config: *const grpclb_picker_config,
    out: *mut *mut grpclb_picker,
) -> i32 {
    guard(|| {
        if out.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        // SAFETY: not NULL, so the caller's.
        unsafe { out.write(std::ptr::null_mut()) };
        let (settings, position) = if config.is_null() {
            (Config::default(), 0)
        } else {
            // SAFETY: a config of the caller's.
            let given = unsafe { config::read(config) }?;
            if given.reserved != 0 {
                return Err(GRPCLB_ERR_ARGUMENT);
            }
            settings(&given)
        };
        let picker = Box::new(grpclb_picker(Picker::new(&settings, position)));
        // SAFETY: not NULL, so the caller's.
        unsafe { out.write(Box::into_raw(picker)) };
        Ok(0)
    })
}

/// Frees a picker. No other thread may be using it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_free(picker: *mut grpclb_picker) {
    guard_quietly(|| {
        if !picker.is_null() {
            // SAFETY: made by grpclb_picker_new, freed once.
            drop(unsafe { Box::from_raw(picker) });
        }
    });
}

/// The resolver's endpoints, and the service config (JSON) to go with them; both are borrowed for the call.
/// `endpoints` has one in a line: its addresses ("ip:port", "[ip]:port", "unix:path"; several are separated by commas
/// without spaces, and are ways to the same backend), then, if it is not 1, a space and its weight. Empty lines count for
/// nothing. Addresses that stay keep their connections. No endpoints: picks fail. A service config of
/// length 0: there is none.
///
/// 0; or, with words in `error` (which may be NULL; one NUL-terminated line, shortened to `error_size` octets):
/// GRPCLB_ERR_ARGUMENT, a line is wrong or a text not UTF-8, and nothing was changed; GRPCLB_ERR_SERVICE_CONFIG, the
/// words have the JSON path, and the endpoints were taken with the last good one, or, without one, all of it counts
/// as grpclb_picker_handle_resolution_error; GRPCLB_ERR_ENDPOINTS, which counts as that, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_handle_resolution(
    picker: *const grpclb_picker,
    now_ns: u64,
    endpoints: *const c_char,
    endpoints_len: usize,
    service_config: *const c_char,
    service_config_len: usize,
    error: *mut c_char,
    error_size: usize,
) -> i32 {
    // SAFETY: the buffer is the caller's, as the header says.
    let explain = |words: &str| unsafe { text::put(words, error, error_size) };
    let code = guard(|| {
        explain("");
        // SAFETY: each is the caller's or NULL.
        let (picker, endpoints, json) = unsafe {
            (
                borrow(picker)?,
                text::slice(endpoints.cast::<u8>(), endpoints_len)?,
                text::slice(service_config.cast::<u8>(), service_config_len)?,
            )
        };
        let utf8 = |octets| {
            str::from_utf8(octets).map_err(|_| {
                explain("a text is not UTF-8");
                GRPCLB_ERR_ARGUMENT
            })
        };
        let (endpoints, json) = (utf8(endpoints)?, utf8(json)?);
        let json = if json.is_empty() { "{}" } else { json };
        let lines = lines(endpoints).map_err(|words| {
            explain(&words);
            GRPCLB_ERR_ARGUMENT
        })?;
        let list: Vec<Endpoint<'_>> =
            lines.iter().map(|(addresses, weight)| Endpoint { addresses, weight: *weight }).collect();
        picker.handle_resolution(Instant::from_nanos(now_ns), &list, json).map_err(|error| {
            explain(&error.to_string());
            match error {
                PickerError::ServiceConfig(_) => GRPCLB_ERR_SERVICE_CONFIG,
                _ => GRPCLB_ERR_ENDPOINTS,
            }
        })?;
        Ok(0)
    });
    match code {
        GRPCLB_ERR_NULL => explain("a pointer is NULL"),
        GRPCLB_ERR_PANIC => explain("a fault of the library"),
        _ => {}
    }
    code
}

/// The resolver failed. With an earlier list the picker goes on with it, without one picks fail. RESOLVE comes again,
/// with backoff.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_handle_resolution_error(
    picker: *const grpclb_picker,
    now_ns: u64,
) -> i32 {
    // SAFETY: a picker of ours or NULL.
    unsafe { plainly(picker, |picker| picker.handle_resolution_error(Instant::from_nanos(now_ns))) }
}

/// What became of a subchannel: GRPCLB_SUBCHANNEL_*. Numbers that are out of use are passed over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_handle_subchannel(
    picker: *const grpclb_picker,
    now_ns: u64,
    subchannel: u32,
    event: i32,
) -> i32 {
    guard(|| {
        let event = match event {
            GRPCLB_SUBCHANNEL_READY => SubchannelEvent::Ready,
            GRPCLB_SUBCHANNEL_FAILED => SubchannelEvent::Failed,
            GRPCLB_SUBCHANNEL_LOST => SubchannelEvent::Lost,
            _ => return Err(GRPCLB_ERR_ARGUMENT),
        };
        // SAFETY: a picker of ours or NULL.
        unsafe { borrow(picker) }?.handle_subchannel(Instant::from_nanos(now_ns), id(subchannel), event);
        Ok(0)
    })
}

/// Leaves IDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_connect(picker: *const grpclb_picker, now_ns: u64) -> i32 {
    // SAFETY: a picker of ours or NULL.
    unsafe { plainly(picker, |picker| picker.connect(Instant::from_nanos(now_ns))) }
}

/// Whether calls are running, 0 or not: while some are, the idle timeout does not run. Tell it when their number leaves
/// 0 and when it comes back to 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_set_busy(picker: *const grpclb_picker, now_ns: u64, busy: i32) -> i32 {
    // SAFETY: a picker of ours or NULL.
    unsafe { plainly(picker, |picker| picker.set_busy(Instant::from_nanos(now_ns), busy != 0)) }
}

/// Ends the picker: SHUTDOWN, every connection is to be closed (actions follow), picks fail.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_shutdown(picker: *const grpclb_picker) -> i32 {
    // SAFETY: a picker of ours or NULL.
    unsafe { plainly(picker, Picker::shutdown) }
}

/// What to do next. Ask after every other function that changes something (after a pick, when it was QUEUE), until
/// GRPCLB_ACTION_NONE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_poll_action(picker: *const grpclb_picker) -> grpclb_action {
    let nothing = |action| grpclb_action { action, subchannel: 0 };
    guard_value(nothing(GRPCLB_ERR_PANIC), || {
        // SAFETY: a picker of ours or NULL.
        match unsafe { borrow(picker) }.map(Picker::poll_action) {
            Err(code) => nothing(code),
            Ok(None) => nothing(GRPCLB_ACTION_NONE),
            Ok(Some(Action::Resolve)) => nothing(GRPCLB_ACTION_RESOLVE),
            Ok(Some(Action::Connect(id))) => {
                grpclb_action { action: GRPCLB_ACTION_CONNECT, subchannel: number(id) }
            }
            Ok(Some(Action::Close(id))) => {
                grpclb_action { action: GRPCLB_ACTION_CLOSE, subchannel: number(id) }
            }
        }
    })
}

/// Writes where a subchannel goes into `out`, NUL-terminated and shortened to `size` octets; returns how long the whole
/// text is without its NUL. 0: the number is out of use, or the picker NULL. `out` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_address(
    picker: *const grpclb_picker,
    subchannel: u32,
    out: *mut c_char,
    size: usize,
) -> usize {
    guard_value(0, || {
        // SAFETY: a picker of ours or NULL.
        let address = unsafe { borrow(picker) }.ok().and_then(|picker| picker.address(id(subchannel)));
        let address = address.unwrap_or_default();
        // SAFETY: the buffer is the caller's, as the header says.
        unsafe { text::put(&address, out, size) };
        address.len()
    })
}

/// The state, GRPCLB_STATE_*.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_state(picker: *const grpclb_picker) -> i32 {
    // SAFETY: a picker of ours or NULL.
    guard(|| Ok(state_number(unsafe { borrow(picker) }?.state())))
}

/// Where a call goes. A pick takes an IDLE picker out of IDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_pick(picker: *const grpclb_picker, now_ns: u64) -> grpclb_pick {
    let none = |result| grpclb_pick { result, subchannel: 0 };
    guard_value(none(GRPCLB_ERR_PANIC), || {
        // SAFETY: a picker of ours or NULL.
        match unsafe { borrow(picker) }.map(|picker| picker.pick(Instant::from_nanos(now_ns))) {
            Ok(Pick::Subchannel(id)) => {
                grpclb_pick { result: GRPCLB_PICK_SUBCHANNEL, subchannel: number(id) }
            }
            Ok(Pick::Queue) => none(GRPCLB_PICK_QUEUE),
            Ok(Pick::Fail) => none(GRPCLB_PICK_FAIL),
            Ok(Pick::Drop) => none(GRPCLB_PICK_DROP),
            Err(code) => none(code),
        }
    })
}

/// Changes whenever picks may come out differently, the state included. Without a lock. 0 also when the picker is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_version(picker: *const grpclb_picker) -> u32 {
    // SAFETY: a picker of ours or NULL.
    guard_value(0, || unsafe { borrow(picker) }.map_or(0, Picker::version))
}

/// When grpclb_picker_handle_timeout is due, by your clock; UINT64_MAX: never. Ask again after every other function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_poll_timeout(picker: *const grpclb_picker) -> u64 {
    guard_value(u64::MAX, || {
        // SAFETY: a picker of ours or NULL.
        let at = unsafe { borrow(picker) }.ok().and_then(Picker::poll_timeout);
        at.map_or(u64::MAX, Instant::as_nanos)
    })
}

/// Time passed. Call it at the latest at grpclb_picker_poll_timeout; more often does no harm.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_handle_timeout(picker: *const grpclb_picker, now_ns: u64) -> i32 {
    // SAFETY: a picker of ours or NULL.
    unsafe { plainly(picker, |picker| picker.handle_timeout(Instant::from_nanos(now_ns))) }
}

/// How many endpoints there are, or with pick_first addresses. 0 also when the picker is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_endpoint_count(picker: *const grpclb_picker) -> usize {
    // SAFETY: a picker of ours or NULL.
    guard_value(0, || unsafe { borrow(picker) }.map_or(0, Picker::endpoint_count))
}

/// How many of them are READY. 0 also when the picker is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_ready_count(picker: *const grpclb_picker) -> usize {
    // SAFETY: a picker of ours or NULL.
    guard_value(0, || unsafe { borrow(picker) }.map_or(0, Picker::ready_count))
}

/// Endpoint `i` in the resolver's order (with pick_first: address `i` in the order of attempts). Its address is written
/// into `address`, NUL-terminated and shortened to `size` octets; it may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_picker_endpoint(
    picker: *const grpclb_picker,
    i: usize,
    address: *mut c_char,
    size: usize,
) -> grpclb_endpoint {
    let none = |state| grpclb_endpoint { state, weight: 0, subchannel: 0, address_len: 0 };
    guard_value(none(GRPCLB_ERR_PANIC), || {
        // SAFETY: a picker of ours or NULL.
        let one = match unsafe { borrow(picker) }.map(|picker| picker.endpoint(i)) {
            Ok(Some(one)) => one,
            Ok(None) => return none(GRPCLB_ERR_ARGUMENT),
            Err(code) => return none(code),
        };
        let PickerEndpoint { address: name, state, weight, id } = one;
        // SAFETY: the buffer is the caller's, as the header says.
        unsafe { text::put(&name, address, size) };
        let (state, address_len) = (state_number(state), u32::try_from(name.len()).unwrap_or(u32::MAX));
        grpclb_endpoint { state, weight, subchannel: number(id), address_len }
    })
}

fn settings(given: &grpclb_picker_config) -> (Config, u64) {
    let nanos = |value: u64, default: Duration| match value {
        0 => default,
        nanos => Duration::from_nanos(nanos),
    };
    let default = Config::default();
    let config = Config {
        initial_backoff: nanos(given.initial_backoff_ns, default.initial_backoff),
        max_backoff: nanos(given.max_backoff_ns, default.max_backoff),
        min_connect_timeout: nanos(given.min_connect_timeout_ns, default.min_connect_timeout),
        happy_eyeballs_delay: nanos(given.happy_eyeballs_delay_ns, default.happy_eyeballs_delay),
        idle_timeout: match given.idle_timeout_ns {
            0 => default.idle_timeout,
            u64::MAX => None,
            nanos => Some(Duration::from_nanos(nanos)),
        },
        seed: given.seed,
    };
    (config, given.position)
}

/// The addresses and the weight of each line; or which line is wrong, and why.
fn lines(text: &str) -> Result<Vec<(Vec<Address<'_>>, u32)>, String> {
    let mut endpoints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        let Some(addresses) = words.next() else { continue };
        let wrong = |at: usize, expected: &str| {
            format!("line {}, column {}: expected {expected}", number + 1, at + 1)
        };
        // Where a piece of the line begins.
        let place = |piece: &str| piece.as_ptr().addr() - line.as_ptr().addr();
        let parse = |piece| {
            Address::parse(piece)
                .map_err(|AddressError { at, expected }| wrong(place(piece) + at as usize, expected))
        };
        let addresses = addresses.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
        let weight = match words.next() {
            None => 1,
            Some(word) => {
                // `parse` takes a plus, too.
                let digits = word.bytes().all(|b| b.is_ascii_digit());
                let weight = word.parse().ok().filter(|_| digits);
                weight.ok_or_else(|| wrong(place(word), "a weight from 0 to 4294967295"))?
            }
        };
        if let Some(more) = words.next() {
            return Err(wrong(place(more), "the end of the line"));
        }
        endpoints.push((addresses, weight));
    }
    Ok(endpoints)
}

fn number(id: SubchannelId) -> u32 {
    u32::from(id.index) << 16 | u32::from(id.generation)
}

fn id(number: u32) -> SubchannelId {
    SubchannelId { index: (number >> 16) as u16, generation: number as u16 }
}

/// Runs a verb that gives nothing.
///
/// # Safety
/// NULL or a picker of ours.
unsafe fn plainly(picker: *const grpclb_picker, verb: impl FnOnce(&Picker)) -> i32 {
    guard(|| {
        // SAFETY: as this function's own.
        verb(unsafe { borrow(picker) }?);
        Ok(0)
    })
}

/// # Safety
/// NULL or a picker of ours that is not freed for `'a`.
unsafe fn borrow<'a>(picker: *const grpclb_picker) -> Result<&'a Picker, i32> {
    // SAFETY: as this function's own.
    unsafe { picker.as_ref() }.map(|picker| &picker.0).ok_or(GRPCLB_ERR_NULL)
}
