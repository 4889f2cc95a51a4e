//! The channel that the caller's own event loop drives: one descriptor, one timeout, one verb.

use super::call::{Place, grpclb_call, grpclb_reply, with_call};
use super::channel::{grpclb_channel_config, make, state_number};
use super::{GRPCLB_ERR_BUSY, GRPCLB_ERR_NULL, GRPCLB_ERR_RUNNING, GRPCLB_ERR_SYSTEM};
use super::{guard, guard_quietly, text};
use crate::host::reactor::calls::Stage;
use crate::host::reactor::{CallKey, Reactor};
use std::ffi::c_char;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// A channel that its caller drives. One thread at a time (another's function returns GRPCLB_ERR_BUSY).
pub struct grpclb_reactor(Mutex<Inner>);

pub(super) struct Inner {
    pub(super) reactor: Reactor,
    /// Unary calls whose end was told: they go when the next function begins that takes no octets of the caller's.
    pub(super) told: Vec<CallKey>,
    /// The message that was received last.
    pub(super) message: Vec<u8>,
}

/// A call of a reactor, until grpclb_reactor_take gave its reply.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_call_id {
    /// Dense: keep what you know of a call in an array.
    pub index: u32,
    /// Tells successors at the same index apart.
    pub generation: u32,
}

/// Makes a reactor; arguments and results are those of grpclb_channel_new (the config's interrupt is not used), and
/// `*out` is yours to free with grpclb_reactor_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_new(
    target: *const c_char,
    config: *const grpclb_channel_config,
    out: *mut *mut grpclb_reactor,
    error: *mut c_char,
    error_size: usize,
) -> i32 {
    let build = |builder| {
        let reactor = Reactor::new(builder)?;
        Ok(grpclb_reactor(Mutex::new(Inner { reactor, told: Vec::new(), message: Vec::new() })))
    };
    // SAFETY: the pointers are the caller's, as the header says.
    unsafe { make(target, config, out, error, error_size, build) }
}

/// Frees a reactor and its calls. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_free(reactor: *mut grpclb_reactor) {
    guard_quietly(|| {
        if !reactor.is_null() {
            // SAFETY: made by grpclb_reactor_new, freed once.
            drop(unsafe { Box::from_raw(reactor) });
        }
    });
}

/// The descriptor to wait for: readable when grpclb_reactor_process has something to do, level- or edge-triggered.
/// It stays the reactor's. GRPCLB_ERR_SYSTEM where there are no descriptors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_descriptor(reactor: *const grpclb_reactor) -> i32 {
    guard(|| {
        // SAFETY: a reactor of ours or NULL.
        let reactor = unsafe { borrow(reactor) }?;
        #[cfg(unix)]
        return Ok(std::os::fd::AsRawFd::as_raw_fd(&reactor.reactor));
        #[cfg(not(unix))]
        {
            drop(reactor);
            Err(GRPCLB_ERR_SYSTEM)
        }
    })
}

/// How long the descriptor may be waited for. 1: `*timeout_ns` nanoseconds; 0: for ever. Ask before each wait: after
/// commands it is 0 ns, and grpclb_reactor_process writes what they made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_poll_timeout(
    reactor: *const grpclb_reactor,
    timeout_ns: *mut u64,
) -> i32 {
    guard(|| {
        if timeout_ns.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        // SAFETY: a reactor of ours or NULL.
        let timeout = unsafe { borrow(reactor) }?.reactor.poll_timeout();
        let nanos = timeout.map_or(u64::MAX, |timeout| timeout.as_nanos().try_into().unwrap_or(u64::MAX));
        // SAFETY: not NULL, so the caller's.
        unsafe { timeout_ns.write(nanos) };
        Ok(i32::from(timeout.is_some()))
    })
}

/// Reads, does what is due, writes; never waits. How many things there were: call it until it returns 0, when the
/// descriptor is readable or the time has come.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_process(reactor: *const grpclb_reactor) -> i32 {
    guard(|| {
        // SAFETY: a reactor of ours or NULL.
        let count = unsafe { borrow(reactor) }?.reactor.process().map_err(|_| GRPCLB_ERR_SYSTEM)?;
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    })
}

/// Starts a unary call; grpclb_reactor_process sends it. `call` and `request` are borrowed for the call. 0, and the
/// call's id in `*out`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_start_call(
    reactor: *const grpclb_reactor,
    call: *const grpclb_call,
    request: *const u8,
    request_len: usize,
    out: *mut grpclb_call_id,
) -> i32 {
    guard(|| {
        if out.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        // SAFETY: each is the caller's or NULL.
        let (mut inner, request) = unsafe { (lock(reactor)?, text::slice(request, request_len)?) };
        // SAFETY: a call of the caller's or NULL.
        let key = unsafe { with_call(call, |call| Ok(inner.reactor.start_call(call, request))) }?;
        // SAFETY: not NULL, so the caller's.
        unsafe { out.write(grpclb_call_id { index: key.index, generation: key.generation }) };
        Ok(0)
    })
}

/// The next call that has ended and was not named yet. 1: it is `*out`; 0: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_poll_call(
    reactor: *const grpclb_reactor,
    out: *mut grpclb_call_id,
) -> i32 {
    guard(|| {
        if out.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        // SAFETY: a reactor of ours or NULL.
        let Some(key) = unsafe { borrow(reactor) }?.reactor.poll_call() else { return Ok(0) };
        // SAFETY: not NULL, so the caller's.
        unsafe { out.write(grpclb_call_id { index: key.index, generation: key.generation }) };
        Ok(1)
    })
}

/// What became of a call: its status code (0 is OK), and all else in `reply`. GRPCLB_ERR_RUNNING: it has not ended, or
/// there is no such call (any more).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_take(
    reactor: *const grpclb_reactor,
    call: grpclb_call_id,
    reply: *mut grpclb_reply,
) -> i32 {
    guard(|| {
        // SAFETY: a reply of the caller's or NULL.
        let place = unsafe { Place::check(reply) }?;
        place.fill(|place| {
            // SAFETY: a reactor of ours or NULL.
            let mut inner = unsafe { borrow(reactor) }?;
            let record = inner.reactor.record(key(call)).filter(|record| record.stage == Stage::Ended);
            let record = record.ok_or(GRPCLB_ERR_RUNNING)?;
            // The buffers change places, so that neither side allocates for the next call.
            let code = place.outcome(&mut record.outcome, record.pick_order);
            inner.reactor.forget(key(call));
            Ok(code)
        })
    })
}

/// Cancels a call: it ends with CANCELLED, unless it has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_cancel(reactor: *const grpclb_reactor, call: grpclb_call_id) -> i32 {
    guard(|| {
        // SAFETY: a reactor of ours or NULL.
        unsafe { borrow(reactor) }?.reactor.cancel(key(call));
        Ok(0)
    })
}

/// The channel's state, GRPCLB_STATE_*; `connect` other than 0 leaves IDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_state(reactor: *const grpclb_reactor, connect: i32) -> i32 {
    // SAFETY: a reactor of ours or NULL.
    guard(|| Ok(state_number(unsafe { borrow(reactor) }?.reactor.state(connect != 0))))
}

/// Ends the channel: running calls end with CANCELLED, later ones with UNAVAILABLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_reactor_close(reactor: *const grpclb_reactor) -> i32 {
    guard(|| {
        // SAFETY: a reactor of ours or NULL.
        unsafe { borrow(reactor) }?.reactor.close();
        Ok(0)
    })
}

pub(super) fn key(call: grpclb_call_id) -> CallKey {
    CallKey { index: call.index, generation: call.generation }
}

/// For functions that take octets of the caller's, which may be those that an event lends: the calls told stay.
///
/// # Safety
/// NULL or a reactor of ours that is not freed for `'a`.
pub(super) unsafe fn lock<'a>(reactor: *const grpclb_reactor) -> Result<MutexGuard<'a, Inner>, i32> {
    // SAFETY: as this function's own.
    let reactor = unsafe { reactor.as_ref() }.ok_or(GRPCLB_ERR_NULL)?;
    match reactor.0.try_lock() {
        Ok(inner) => Ok(inner),
        Err(TryLockError::Poisoned(inner)) => Ok(inner.into_inner()),
        Err(TryLockError::WouldBlock) => Err(GRPCLB_ERR_BUSY),
    }
}

/// # Safety
/// As [`lock`].
pub(super) unsafe fn borrow<'a>(reactor: *const grpclb_reactor) -> Result<MutexGuard<'a, Inner>, i32> {
    // SAFETY: as this function's own.
    let mut inner = unsafe { lock(reactor) }?;
    while let Some(key) = inner.told.pop() {
        inner.reactor.forget(key);
    }
    Ok(inner)
}
