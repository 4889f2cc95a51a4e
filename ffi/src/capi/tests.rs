//! What C cannot do: panics inside of the library. None crosses, and what it left can be freed.

use super::call::{grpclb_call, grpclb_reply, grpclb_reply_clear};
use super::channel::{grpclb_channel, grpclb_channel_close, grpclb_channel_free, grpclb_channel_unary};
use super::conn::*;
use super::conn_event::*;
use super::conn_memory::*;
use super::fields::*;
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

/// Two connections through C's functions alone, octet by octet: for Miri, which knows whether the memory is used as Rust
/// allows (`.ci/c-miri.sh`).
#[test]
fn two_connections_talk() {
    let config = |flags| grpclb_conn_config {
        size: size_of::<grpclb_conn_config>() as u32,
        flags,
        streams: 2,
        decoder_table: 256,
        encoder_table: 256,
        arena: 1024,
        outbox: 1024,
        ..zeroed_config()
    };
    let (client_config, server_config) =
        (config(0), config(GRPCLB_CONFIG_SERVER | GRPCLB_CONFIG_AUTO_RELEASE));
    let mut answers = 0;
    // SAFETY: all of it is ours, and C's rules are kept.
    unsafe {
        let size = grpclb_conn_size(&client_config) as usize;
        let mut memory = vec![0xa5a5_a5a5_a5a5_a5a5_u64; size.div_ceil(8)];
        let client = grpclb_conn_init(memory.as_mut_ptr().cast(), memory.len() * 8, &client_config, 1);
        let server = grpclb_conn_new(&server_config, 1);
        assert!(!client.is_null() && !server.is_null());
        let mut head = [0; 64];
        let put = |head: &mut [u8; 64], used: usize, name: &str, value: &[u8]| {
            let (name, at) = (name.as_bytes(), head.as_mut_ptr());
            grpclb_fields_put(at, 64, used, name.as_ptr().cast(), name.len(), value.as_ptr(), value.len())
                as usize
        };
        let used = put(&mut head, 0, ":path", b"/a/b");
        let used = put(&mut head, used, "raw-bin", &[0, 255]);
        for message in [&b"hello"[..], b""] {
            let started =
                grpclb_conn_unary(client, 1, head.as_ptr(), used, 0, message.as_ptr(), message.len());
            assert_eq!(started.taken, message.len() as i64);
        }
        loop {
            let mut moved = 0;
            for (from, to) in [(client, server), (server, client)] {
                let lent = grpclb_conn_transmit(from, 1);
                let wire = if lent.len == 0 {
                    Vec::new()
                } else {
                    std::slice::from_raw_parts(lent.at, lent.len).to_vec()
                };
                assert_eq!(grpclb_conn_transmitted(from, wire.len()), 0);
                for octet in &wire {
                    answers += deliver(to, std::slice::from_ref(octet));
                }
                answers += deliver(from, &[]);
                moved += wire.len();
            }
            if moved == 0 {
                break;
            }
        }
        assert_eq!((grpclb_conn_calls(client), grpclb_conn_calls(server), answers), (0, 0, 2));
        grpclb_conn_free(server);
    }
}

fn zeroed_config() -> grpclb_conn_config {
    // SAFETY: zero is a value of every field, as the header says.
    unsafe { std::mem::zeroed() }
}

/// Input to a connection, whose server answers whole messages; how many calls have ended well.
///
/// # Safety
/// A connection.
unsafe fn deliver(conn: *mut grpclb_conn, input: &[u8]) -> u32 {
    // SAFETY: zero is a value of every field.
    let mut events: [grpclb_conn_event; 2] = unsafe { std::mem::zeroed() };
    let (mut rest, mut ended) = (input, 0);
    loop {
        // SAFETY: all of it is ours.
        unsafe {
            let batch = grpclb_conn_recv_batch(conn, 1, rest.as_ptr(), rest.len(), events.as_mut_ptr(), 2);
            for event in &events[..batch.count as usize] {
                match u32::from(event.kind) {
                    GRPCLB_CONN_CALL | GRPCLB_CONN_METADATA if event.fields.len > 0 => {
                        let fields = std::slice::from_raw_parts(event.fields.at, event.fields.len);
                        assert!(fields.ends_with(b"\0\x07\0\x02raw-bin\0\xff"));
                    }
                    GRPCLB_CONN_MESSAGE if event.flags & GRPCLB_CONN_FLAG_END as u8 != 0 => {
                        assert_eq!(grpclb_conn_reply(conn, event.call, b"you".as_ptr(), 3), 0);
                    }
                    GRPCLB_CONN_STATUS => {
                        assert_eq!(event.code, 0);
                        ended += 1;
                    }
                    _ => {}
                }
            }
            rest = &rest[batch.taken..];
            match batch.code {
                1 => {}
                0 => return ended,
                code => panic!("{code}"),
            }
        }
    }
}
