//! Streaming calls of any kind on the blocking channel.

use super::call::{Place, grpclb_call, grpclb_reply, with_call};
use super::channel::{borrow as borrow_channel, grpclb_channel};
use super::{GRPCLB_ERR_BUSY, GRPCLB_ERR_ENDED, GRPCLB_ERR_NULL};
use super::{guard, guard_quietly, text};
use crate::host::call::{Canceller, Stream};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// A streaming call. One thread at a time (another's function returns GRPCLB_ERR_BUSY), but for grpclb_stream_cancel.
pub struct grpclb_stream {
    inner: Mutex<Inner>,
    canceller: Canceller,
}

struct Inner {
    stream: Stream,
    /// The message that was received last.
    message: Vec<u8>,
}

/// Starts a streaming call. 0, and `*out` is yours to free with grpclb_stream_free; else a GRPCLB_ERR_* number or a
/// status code (after a fork), and `*out` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_stream_start(
    channel: *const grpclb_channel,
    call: *const grpclb_call,
    out: *mut *mut grpclb_stream,
) -> i32 {
    guard(|| {
        if out.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        // SAFETY: not NULL, so the caller's.
        unsafe { out.write(std::ptr::null_mut()) };
        // SAFETY: a channel of ours or NULL.
        let channel = unsafe { borrow_channel(channel) }?;
        // SAFETY: a call of the caller's or NULL.
        let started = unsafe { with_call(call, |call| Ok(channel.stream(call))) }?;
        let stream = match started {
            Ok(stream) => stream,
            Err(status) => return Ok(i32::try_from(status.code.0).unwrap_or(2)),
        };
        let canceller = stream.canceller();
        let inner = Mutex::new(Inner { stream, message: Vec::new() });
        // SAFETY: not NULL, so the caller's.
        unsafe { out.write(Box::into_raw(Box::new(grpclb_stream { inner, canceller }))) };
        Ok(0)
    })
}

/// Sends one message; waits while the peer's window is full. `message` is borrowed for the call. 0, or
/// GRPCLB_ERR_ENDED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_stream_send(
    stream: *const grpclb_stream,
    message: *const u8,
    message_len: usize,
) -> i32 {
    guard(|| {
        // SAFETY: each is the caller's or NULL.
        let (inner, message) = unsafe { (borrow(stream)?, text::slice(message, message_len)?) };
        inner.stream.send(message).map(|()| 0).map_err(|_| GRPCLB_ERR_ENDED)
    })
}

/// No more messages will be sent. 0, or GRPCLB_ERR_ENDED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_stream_half_close(stream: *const grpclb_stream) -> i32 {
    guard(|| {
        // SAFETY: a stream of ours or NULL.
        let inner = unsafe { borrow(stream) }?;
        inner.stream.half_close().map(|()| 0).map_err(|_| GRPCLB_ERR_ENDED)
    })
}

/// Waits for the next message. 1: `*message` is valid until the next grpclb_stream_recv, grpclb_stream_finish or
/// grpclb_stream_free; 0: there are no more, the call has ended and grpclb_stream_finish tells how.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_stream_recv(
    stream: *const grpclb_stream,
    message: *mut *const u8,
    message_len: *mut usize,
) -> i32 {
    guard(|| {
        if message.is_null() || message_len.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        // SAFETY: not NULL, so the caller's.
        unsafe {
            message.write(std::ptr::null());
            message_len.write(0);
        }
        // SAFETY: a stream of ours or NULL.
        let mut inner = unsafe { borrow(stream) }?;
        let inner = &mut *inner;
        let Ok(true) = inner.stream.recv(&mut inner.message) else { return Ok(0) };
        // SAFETY: not NULL, so the caller's.
        unsafe {
            message.write(inner.message.as_ptr());
            message_len.write(inner.message.len());
        }
        Ok(1)
    })
}

/// Half-closes, waits for the end of the call and drops messages that were not received. Returns gRPC's status code,
/// 0 is OK; `reply` has message, peer and metadata, and no response. The stream is still to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_stream_finish(stream: *const grpclb_stream, reply: *mut grpclb_reply) -> i32 {
    guard(|| {
        // SAFETY: a reply of the caller's or NULL.
        let place = unsafe { Place::check(reply) }?;
        place.fill(|place| {
            // SAFETY: a stream of ours or NULL.
            let mut inner = unsafe { borrow(stream) }?;
            let inner = &mut *inner;
            // That the call has ended is what is waited for.
            let _ = inner.stream.half_close();
            while let Ok(true) = inner.stream.recv(&mut inner.message) {}
            inner.message.clear();
            Ok(match inner.stream.outcome(|outcome, order| place.outcome_again(outcome, order)) {
                Ok(code) => code,
                Err(status) => place.status(&status),
            })
        })
    })
}

/// Cancels the call: it ends with CANCELLED, unless it has ended. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_stream_cancel(stream: *const grpclb_stream) -> i32 {
    guard(|| {
        // SAFETY: a stream of ours or NULL.
        unsafe { stream.as_ref() }.ok_or(GRPCLB_ERR_NULL)?.canceller.cancel();
        Ok(0)
    })
}

/// Frees a stream; one that has not ended is cancelled. No other thread may be using it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn grpclb_stream_free(stream: *mut grpclb_stream) {
    guard_quietly(|| {
        if !stream.is_null() {
            // SAFETY: made by grpclb_stream_start, freed once.
            drop(unsafe { Box::from_raw(stream) });
        }
    });
}

/// # Safety
/// NULL or a stream of ours that is not freed for `'a`.
unsafe fn borrow<'a>(stream: *const grpclb_stream) -> Result<MutexGuard<'a, Inner>, i32> {
    // SAFETY: as this function's own.
    let stream = unsafe { stream.as_ref() }.ok_or(GRPCLB_ERR_NULL)?;
    match stream.inner.try_lock() {
        Ok(inner) => Ok(inner),
        Err(TryLockError::Poisoned(inner)) => Ok(inner.into_inner()),
        Err(TryLockError::WouldBlock) => Err(GRPCLB_ERR_BUSY),
    }
}
