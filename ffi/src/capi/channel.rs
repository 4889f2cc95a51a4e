//! The blocking channel. Any thread may use it; the one that waits drives the sockets for all.

use super::call::{Place, grpclb_call, grpclb_reply, with_call};
use super::config::{self, Sized32};
use super::{GRPCLB_ERR_NULL, GRPCLB_ERR_SERVICE_CONFIG, GRPCLB_ERR_SYSTEM, GRPCLB_ERR_TARGET};
use super::{guard, guard_quietly, text};
use crate::host::channel::{Channel, ChannelBuilder, ConnectError};
use grpclb_core::balancer::Connectivity;
use std::ffi::{c_char, c_void};
use std::fmt::Write as _;
use std::time::Duration;

/// No connection and no wish for one.
pub const GRPCLB_STATE_IDLE: i32 = 0;
/// Trying to connect.
pub const GRPCLB_STATE_CONNECTING: i32 = 1;
/// Calls can go out.
pub const GRPCLB_STATE_READY: i32 = 2;
/// Failed; trying again later.
pub const GRPCLB_STATE_TRANSIENT_FAILURE: i32 = 3;
/// Closed for good.
pub const GRPCLB_STATE_SHUTDOWN: i32 = 4;

/// A channel to all endpoints of a target.
pub struct grpclb_channel(pub(super) Channel);

/// Settings of a channel. 0 or NULL is each field's default. All is borrowed for the call that takes it, but for
/// `interrupt_context`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_channel_config {
    /// sizeof(grpclb_channel_config).
    pub size: u32,
    /// Largest message taken, octets (default 4 MiB); a larger one ends its call with RESOURCE_EXHAUSTED.
    pub max_message_size: u32,
    /// gRPC's service config, JSON; default {}, which is pick_first.
    pub service_config: *const c_char,
    /// ":authority"; default: the target's.
    pub authority: *const c_char,
    /// A PING after so long without an octet received, nanoseconds, at least 10 s; default: none.
    pub keepalive_time_ns: u64,
    /// How long a PING waits for an octet, nanoseconds (default 20 s).
    pub keepalive_timeout_ns: u64,
    /// How long an attempt to connect may take, nanoseconds (default 20 s).
    pub connect_timeout_ns: u64,
    /// First backoff between attempts to connect, nanoseconds (default 1 s).
    pub initial_backoff_ns: u64,
    /// Largest backoff, nanoseconds (default 120 s).
    pub max_backoff_ns: u64,
    /// Without calls for so long the channel goes IDLE, nanoseconds (default 30 min); UINT64_MAX: never.
    pub idle_timeout_ns: u64,
    /// Asked while a call waits, at least every 100 ms and when a signal comes; other than 0 ends the wait, and the
    /// call with CANCELLED. On the thread that waits, without a lock, from several threads at once. It must return
    /// (no longjmp, no exception).
    pub interrupt: Option<unsafe extern "C" fn(context: *mut c_void) -> i32>,
    /// Handed to `interrupt`; kept until the channel and all its streams are freed.
    pub interrupt_context: *mut c_void,
}

// SAFETY: `repr(C)`, begins with a `u32`, zero is a value of every field.
unsafe impl Sized32 for grpclb_channel_config {
    const FIRST: usize = size_of::<grpclb_channel_config>();
}

/// What a C program gives to its hook.
struct Context(*mut c_void);

// SAFETY: it is handed to the hook and never looked at; that the hook is called by several threads stands in the
// header.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

/// Makes a channel to `target` ("dns:///host:port", "ipv4:a:p,b:p", "ipv6:[a]:p", "unix:/path", "file:///path");
/// connects to nothing yet. `config` may be NULL. 0, and `*out` is yours to free with grpclb_channel_free; else a
/// GRPCLB_ERR_* number, `*out` is NULL, and `error` (which may be NULL) holds what was wrong as one NUL-terminated
/// line, shortened to `error_size` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_channel_new(
    target: *const c_char,
    config: *const grpclb_channel_config,
    out: *mut *mut grpclb_channel,
    error: *mut c_char,
    error_size: usize,
) -> i32 {
    let build = |builder: ChannelBuilder| builder.build().map(grpclb_channel);
    // SAFETY: the pointers are the caller's, as the header says.
    unsafe { make(target, config, out, error, error_size, build) }
}

/// What grpclb_channel_new and grpclb_reactor_new share: an object from a target and a config, by `build`, into `*out`.
///
/// # Safety
/// The pointers are the caller's, or NULL, as grpclb_channel_new says.
pub(super) unsafe fn make<T>(
    target: *const c_char,
    config: *const grpclb_channel_config,
    out: *mut *mut T,
    error: *mut c_char,
    error_size: usize,
    build: impl FnOnce(ChannelBuilder) -> Result<T, ConnectError>,
) -> i32 {
    // SAFETY: the buffer is the caller's, as the header says.
    let explain = |words: &str| unsafe { text::put(words, error, error_size) };
    let code = guard(|| {
        explain("");
        if out.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        // SAFETY: not NULL, so the caller's.
        unsafe { out.write(std::ptr::null_mut()) };
        // SAFETY: a string of the caller's or NULL.
        let mut builder = Channel::builder(unsafe { text::string(target) }?);
        if !config.is_null() {
            // SAFETY: a config of the caller's.
            builder = unsafe { configure(builder, config) }?;
        }
        let made = build(builder).map_err(|error| {
            explain(&error.to_string());
            refused(&error)
        })?;
        // SAFETY: not NULL, so the caller's.
        unsafe { out.write(Box::into_raw(Box::new(made))) };
        Ok(0)
    });
    explain_error(code, explain);
    code
}

/// The number of what is wrong with a channel's settings.
fn refused(error: &ConnectError) -> i32 {
    match error {
        ConnectError::Target(_) => GRPCLB_ERR_TARGET,
        ConnectError::ServiceConfig(_) => GRPCLB_ERR_SERVICE_CONFIG,
        ConnectError::Io(_) => GRPCLB_ERR_SYSTEM,
    }
}

/// Words for what was wrong before a target or config was looked at.
fn explain_error(code: i32, explain: impl Fn(&str)) {
    match code {
        GRPCLB_ERR_NULL => explain("target or out is NULL"),
        super::GRPCLB_ERR_SIZE => explain("the config's size is not set, or of another header"),
        super::GRPCLB_ERR_ARGUMENT => explain("the target or a text of the config is not UTF-8"),
        super::GRPCLB_ERR_PANIC => explain("a fault of the library"),
        _ => {}
    }
}

/// # Safety
/// A config as the header says.
unsafe fn configure(
    mut builder: ChannelBuilder,
    config: *const grpclb_channel_config,
) -> Result<ChannelBuilder, i32> {
    // SAFETY: as this function's own; and so for its texts.
    let (config, json, authority) = unsafe {
        let config = config::read(config)?;
        (config, text::string_or_null(config.service_config)?, text::string_or_null(config.authority)?)
    };
    let nanos = |value: u64, default: Duration| match value {
        0 => default,
        nanos => Duration::from_nanos(nanos),
    };
    if let Some(json) = json {
        builder = builder.service_config(json);
    }
    if let Some(authority) = authority {
        builder = builder.authority(authority);
    }
    if config.max_message_size > 0 {
        builder = builder.max_message_size(config.max_message_size);
    }
    if config.keepalive_time_ns > 0 {
        let timeout = nanos(config.keepalive_timeout_ns, Duration::from_secs(20));
        builder = builder.keepalive(Duration::from_nanos(config.keepalive_time_ns), timeout);
    }
    if config.connect_timeout_ns > 0 {
        builder = builder.connect_timeout(Duration::from_nanos(config.connect_timeout_ns));
    }
    if config.initial_backoff_ns > 0 || config.max_backoff_ns > 0 {
        let initial = nanos(config.initial_backoff_ns, Duration::from_secs(1));
        builder =
            builder.backoff(initial, nanos(config.max_backoff_ns, Duration::from_secs(120)).max(initial));
    }
    match config.idle_timeout_ns {
        0 => {}
        u64::MAX => builder = builder.idle_timeout(None),
        nanos => builder = builder.idle_timeout(Some(Duration::from_nanos(nanos))),
    }
    if let Some(hook) = config.interrupt {
        let context = Context(config.interrupt_context);
        builder = builder.interrupt(move || {
            let context = &context;
            // SAFETY: the header says what the hook may expect and must keep to.
            unsafe { hook(context.0) != 0 }
        });
    }
    Ok(builder)
}

/// Frees a channel; running streams go on until they are freed. No other thread may be using it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_channel_free(channel: *mut grpclb_channel) {
    guard_quietly(|| {
        if !channel.is_null() {
            // SAFETY: made by grpclb_channel_new, freed once.
            drop(unsafe { Box::from_raw(channel) });
        }
    });
}

/// Ends the channel: running calls end with CANCELLED, later ones with UNAVAILABLE. Any thread, any number of times.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_channel_close(channel: *const grpclb_channel) -> i32 {
    guard(|| {
        // SAFETY: a channel of ours or NULL.
        unsafe { borrow(channel) }?.close();
        Ok(0)
    })
}

/// A unary call: one message out, one back. Returns gRPC's status code (0 is OK), or a GRPCLB_ERR_* number when the
/// call could not be made. `reply` holds the response and all else that came; see there. `request` is borrowed for
/// the call and may be NULL when `request_len` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_channel_unary(
    channel: *const grpclb_channel,
    call: *const grpclb_call,
    request: *const u8,
    request_len: usize,
    reply: *mut grpclb_reply,
) -> i32 {
    guard(|| {
        // SAFETY: a reply of the caller's or NULL.
        let place = unsafe { Place::check(reply) }?;
        place.fill(|place| {
            // SAFETY: each is the caller's or NULL.
            let (channel, request) = unsafe { (borrow(channel)?, text::slice(request, request_len)?) };
            // SAFETY: a call of the caller's or NULL.
            unsafe {
                with_call(call, |call| {
                    Ok(match channel.shared() {
                        Ok(shared) => {
                            shared.unary(call, request, |outcome, order| place.outcome(outcome, order))
                        }
                        Err(status) => place.status(&status),
                    })
                })
            }
        })
    })
}

/// The channel's state, GRPCLB_STATE_*; `connect` other than 0 leaves IDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_channel_state(channel: *const grpclb_channel, connect: i32) -> i32 {
    // SAFETY: a channel of ours or NULL.
    guard(|| Ok(state_number(unsafe { borrow(channel) }?.state(connect != 0))))
}

/// Waits until the state is not `last` (GRPCLB_STATE_*), at most `timeout_ns` nanoseconds. 1: it is another; 0: the
/// time ran out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_channel_wait_state(
    channel: *const grpclb_channel,
    last: i32,
    timeout_ns: u64,
) -> i32 {
    guard(|| {
        // SAFETY: a channel of ours or NULL.
        let channel = unsafe { borrow(channel) }?;
        let last = match last {
            GRPCLB_STATE_IDLE => Connectivity::Idle,
            GRPCLB_STATE_CONNECTING => Connectivity::Connecting,
            GRPCLB_STATE_READY => Connectivity::Ready,
            GRPCLB_STATE_TRANSIENT_FAILURE => Connectivity::TransientFailure,
            GRPCLB_STATE_SHUTDOWN => Connectivity::Shutdown,
            _ => return Err(super::GRPCLB_ERR_ARGUMENT),
        };
        Ok(i32::from(channel.wait_for_state_change(last, Duration::from_nanos(timeout_ns))))
    })
}

/// Connects, and waits until `count` endpoints are READY, at most `timeout_ns` nanoseconds. 1: they are; 0: the time
/// ran out, or the channel is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_channel_wait_ready(
    channel: *const grpclb_channel,
    count: usize,
    timeout_ns: u64,
) -> i32 {
    guard(|| {
        // SAFETY: a channel of ours or NULL.
        let channel = unsafe { borrow(channel) }?;
        Ok(i32::from(channel.wait_for_ready_endpoints(count, Duration::from_nanos(timeout_ns))))
    })
}

/// Writes "address STATE, address STATE" of all endpoints into `out`, NUL-terminated and shortened to `size` octets;
/// returns how long the whole text is without its NUL (0 also for a channel that is NULL). `out` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_channel_endpoints(
    channel: *const grpclb_channel,
    out: *mut c_char,
    size: usize,
) -> usize {
    let mut length = 0;
    guard_quietly(|| {
        // SAFETY: the buffer is the caller's, as the header says.
        unsafe { text::put("", out, size) };
        // SAFETY: a channel of ours or NULL.
        let Ok(channel) = (unsafe { borrow(channel) }) else { return };
        let line = endpoints_text(channel.endpoints());
        length = line.len();
        // SAFETY: as above.
        unsafe { text::put(&line, out, size) };
    });
    length
}

/// Starts a thread that drives the channel until it is closed or freed: connections are watched, kept alive and made
/// again also while nobody calls. Without it there is no hidden thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_channel_drive_in_background(channel: *const grpclb_channel) -> i32 {
    guard(|| {
        // SAFETY: a channel of ours or NULL.
        let channel = unsafe { borrow(channel) }?;
        channel.drive_in_background().map(|()| 0).map_err(|_| GRPCLB_ERR_SYSTEM)
    })
}

/// # Safety
/// NULL or a channel of ours that is not freed for `'a`.
pub(super) unsafe fn borrow<'a>(channel: *const grpclb_channel) -> Result<&'a Channel, i32> {
    // SAFETY: as this function's own.
    unsafe { channel.as_ref() }.map(|channel| &channel.0).ok_or(GRPCLB_ERR_NULL)
}

pub(super) fn state_number(state: Connectivity) -> i32 {
    match state {
        Connectivity::Idle => GRPCLB_STATE_IDLE,
        Connectivity::Connecting => GRPCLB_STATE_CONNECTING,
        Connectivity::Ready => GRPCLB_STATE_READY,
        Connectivity::TransientFailure => GRPCLB_STATE_TRANSIENT_FAILURE,
        Connectivity::Shutdown => GRPCLB_STATE_SHUTDOWN,
    }
}

pub(super) fn endpoints_text(endpoints: Vec<(String, Connectivity)>) -> String {
    let mut line = String::new();
    for (address, state) in endpoints {
        let gap = if line.is_empty() { "" } else { ", " };
        let _ = write!(line, "{gap}{address} {}", state_name(state));
    }
    line
}

fn state_name(state: Connectivity) -> &'static str {
    match state {
        Connectivity::Idle => "IDLE",
        Connectivity::Connecting => "CONNECTING",
        Connectivity::Ready => "READY",
        Connectivity::TransientFailure => "TRANSIENT_FAILURE",
        Connectivity::Shutdown => "SHUTDOWN",
    }
}
