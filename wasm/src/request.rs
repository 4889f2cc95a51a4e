//! Requests: `grpclb_core::web::{RequestHead, Body}`.

use crate::buffer::Single;
use crate::{SHARED, place};
use alloc::vec::Vec;
use core::time::Duration;
use grpclb_core::bytes::{Fields, Writer};
use grpclb_core::web::{Body, Form, HeadError, RequestHead};
use wasm_bindgen::prelude::wasm_bindgen;

/// Octets for the fields of a request beside its metadata.
const OWN: usize = 512;

fn form(text: bool) -> Form {
    if text { Form::Text } else { Form::Binary }
}

/// Packs a request's header fields. The metadata is in the input, packed as the core has it; `timeout` is milliseconds, NaN
/// for none. Report: 0 place and length of the packed fields, or 1 + the entry that is wrong, or -1 when they do not fit.
#[wasm_bindgen]
pub fn request_head(text: bool, timeout: f64, len: u32) -> i32 {
    SHARED.with(|shared| {
        let input = shared.input.get(..len as usize).unwrap_or_default();
        let metadata: Vec<(&[u8], &[u8])> = Fields::new(input).collect();
        let timeout = (!timeout.is_nan()).then(|| Duration::from_nanos((timeout * 1e6) as u64));
        let head = RequestHead { form: form(text), timeout, metadata: &metadata, ..RequestHead::default() };
        // Base64 makes four octets of three.
        shared.output.clear();
        shared.output.resize(OWN + 2 * input.len(), 0);
        match head.fields(&mut shared.output) {
            Ok(fields) => {
                [shared.report[0], shared.report[1]] = place(fields.packed());
                0
            }
            Err(HeadError::BadMetadata(entry)) => 1 + i32::from(entry),
            Err(_) => -1,
        }
    })
}

static BODY: Single<Body> = Single::new(Body::new(Form::Binary));

/// Octets of a body with one message of `len` octets.
#[wasm_bindgen]
pub fn body_len(text: bool, len: u32) -> f64 {
    form(text).encoded_len(len as usize + 5) as f64
}

/// Begins a body with the prefix of a message of `len` octets. As the next two it gives how many octets of the body lie
/// in the output, and the report where. One body at a time.
#[wasm_bindgen]
pub fn body_begin(text: bool, len: u32) -> u32 {
    BODY.with(|body| *body = Body::new(form(text)));
    put(|body, _, to| body.put(&grpclb_core::grpc::message::prefix(len, false), to))
}

/// A part of the message, from the input.
#[wasm_bindgen]
pub fn body_put(len: u32) -> u32 {
    put(|body, input, to| body.put(input.get(..len as usize).unwrap_or_default(), to))
}

/// The body's end.
#[wasm_bindgen]
pub fn body_finish() -> u32 {
    put(|body, _, to| body.finish(to))
}

fn put(run: impl FnOnce(&mut Body, &[u8], &mut Writer<'_>)) -> u32 {
    BODY.with(|body| {
        SHARED.with(|shared| {
            let room = shared.input.len() * 2 + 16;
            if shared.output.len() < room {
                shared.output.resize(room, 0);
            }
            let mut to = Writer::new(&mut shared.output);
            run(body, &shared.input, &mut to);
            let len = to.finish().unwrap_or(0) as u32;
            shared.report[0] = place(&shared.output)[0];
            len
        })
    })
}
