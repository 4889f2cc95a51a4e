//! What C cannot do: panics inside of the library. None crosses, and what it left can be freed.

use super::call::{grpclb_call, grpclb_reply, grpclb_reply_clear};
use super::channel::{grpclb_channel, grpclb_channel_close, grpclb_channel_free, grpclb_channel_unary};
use super::conn::*;
use super::stream::*;
use super::*;
use crate::host::channel::Channel;
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Its payload panics, too, when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a payload that panics");
    }
}

#[test]
fn a_panic_becomes_a_number() {
    assert_eq!(guard(|| panic!("on purpose")), GRPCLB_ERR_PANIC);
    assert_eq!(guard(|| std::panic::panic_any(Bomb)), GRPCLB_ERR_PANIC);
    assert_eq!(guard_value(5, || panic!("on purpose")), 5);
    guard_quietly(|| panic!("on purpose"));
    assert_eq!(guard(|| Ok(7)), 7);
}

#[test]
fn a_connection_that_panicked_answers_nothing_more() {
    // SAFETY: NULL is a config; the connection is ours until it is freed.
    unsafe {
        let conn = grpclb_conn_new(null(), 0);
        assert!(!conn.is_null());
        assert_eq!(panic_within(conn), GRPCLB_ERR_PANIC);
        assert_eq!(grpclb_conn_calls(conn), GRPCLB_ERR_PANIC);
        assert_eq!(grpclb_conn_start_call(conn, 0, null(), 0, 0), i64::from(GRPCLB_ERR_PANIC));
        assert_eq!(grpclb_conn_transmit(conn, 0).len, 0);
        assert_eq!(grpclb_conn_poll_timeout(conn), u64::MAX);
        assert_eq!(grpclb_conn_last_error(conn).code, GRPCLB_ERR_PANIC);
        grpclb_conn_free(conn);
    }
}

/// A channel nobody listens to, whose hook panics at its first calls and then says that the wait is to end.
fn with_a_hook_that_panics(panics: usize, then: impl FnOnce(*mut grpclb_channel, &grpclb_call)) {
    let asked = AtomicUsize::new(0);
    let hook = move || if asked.fetch_add(1, Relaxed) < panics { panic!("in the hook") } else { true };
    let channel = Channel::builder("ipv4:127.0.0.1:1").interrupt(hook).build().expect("a channel");
    let channel = Box::into_raw(Box::new(grpclb_channel(channel)));
    // SAFETY: zero is a value of every field, as the header says.
    let mut call: grpclb_call = unsafe { std::mem::zeroed() };
    call.size = size_of::<grpclb_call>() as u32;
    call.wait_for_ready = 1;
    call.path = c"/a.B/C".as_ptr();
    then(channel, &call);
    // SAFETY: made just above.
    unsafe { grpclb_channel_free(channel) };
}

fn new_reply() -> grpclb_reply {
    // SAFETY: zero is a value of every field, as the header says.
    let mut reply: grpclb_reply = unsafe { std::mem::zeroed() };
    reply.size = size_of::<grpclb_reply>() as u32;
    reply
}

#[test]
fn a_panic_within_a_call_is_held_back() {
    with_a_hook_that_panics(2, |channel, call| {
        let mut reply = new_reply();
        // SAFETY: all of it is ours.
        unsafe {
            for wanted in [GRPCLB_ERR_PANIC, GRPCLB_ERR_PANIC, 1] {
                assert_eq!(grpclb_channel_unary(channel, call, null(), 0, &mut reply), wanted);
                assert_eq!(reply.code, wanted);
                assert!(!reply.message.is_null() && !reply.response.is_null());
            }
            assert_eq!(grpclb_channel_close(channel), 0);
            grpclb_reply_clear(&mut reply);
        }
        assert_eq!(reply.memory, null_mut::<c_void>());
    });
}

#[test]
fn a_panic_within_a_stream_is_held_back() {
    with_a_hook_that_panics(1, |channel, call| {
        let (mut message, mut len) = (null(), 0);
        let (mut stream, mut reply) = (null_mut(), new_reply());
        // SAFETY: all of it is ours.
        unsafe {
            assert_eq!(grpclb_stream_start(channel, call, &mut stream), 0);
            assert_eq!(grpclb_stream_recv(stream, &mut message, &mut len), GRPCLB_ERR_PANIC);
            assert_eq!(grpclb_stream_finish(stream, &mut reply), 1);
            grpclb_stream_free(stream);
            grpclb_reply_clear(&mut reply);
        }
    });
}
