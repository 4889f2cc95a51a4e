//! The client's side of gRPC-Web responses: `grpclb_core::web::Exchange`.

use crate::buffer::Single;
use crate::slab::Slab;
use crate::{REPORT, SHARED, Shared, place};
use alloc::boxed::Box;
use grpclb_core::web::{Config, Event, Exchange, Form, Token};
use wasm_bindgen::prelude::wasm_bindgen;

/// Parts of messages in one turn of [`exchange_recv`].
const PIECES: usize = 1024;

/// Octets for the header fields of a response, and for its trailers; what is larger is RESOURCE_EXHAUSTED.
const ARENA: usize = 16 * 1024;

type Web = Exchange<Box<[u8]>>;

static EXCHANGES: Single<Slab<Web>> = Single::new(Slab::new());

/// Four words for each part of a message: see [`exchange_recv`].
static TABLE: Single<[[u32; 4]; PIECES]> = Single::new([[0; 4]; PIECES]);

/// What an event is, for JavaScript.
const NOTHING: u32 = 0;
/// Report: place and length of packed fields.
const METADATA: u32 = 1;
/// Report: place and length of packed fields, the code, place and length of the message.
const STATUS: u32 = 2;

/// Leaves an event in the report, and gives what it is.
fn tell(report: &mut [u32; REPORT], event: Option<Event<'_, '_>>) -> u32 {
    match event {
        Some(Event::Metadata { metadata }) => {
            [report[0], report[1]] = place(metadata.packed());
            METADATA
        }
        Some(Event::Status { status }) => {
            [report[0], report[1]] = place(status.trailers.packed());
            report[2] = status.code.0;
            [report[3], report[4]] = place(status.message);
            STATUS
        }
        _ => NOTHING,
    }
}

/// Runs a verb of an exchange; nothing when the number is nobody's.
fn verb(number: u32, run: impl FnOnce(&mut Web, &mut Shared) -> u32) -> u32 {
    EXCHANGES.with(|all| match all.get(number) {
        Some(exchange) => SHARED.with(|shared| run(exchange, shared)),
        None => NOTHING,
    })
}

/// An exchange before its response; gives its number.
#[wasm_bindgen]
pub fn exchange_new(max_message_size: u32) -> u32 {
    let arena = alloc::vec![0; ARENA].into_boxed_slice();
    EXCHANGES.with(|all| all.insert(Exchange::new(arena, &Config { max_message_size })))
}

/// Gives it back. Its memory waits for the next one (`buffer`).
#[wasm_bindgen]
pub fn exchange_free(number: u32) {
    EXCHANGES.with(|all| drop(all.remove(number)));
}

/// A header field of the response: name and value lie one behind the other in the input.
#[wasm_bindgen]
pub fn exchange_header(number: u32, name: u32, value: u32) {
    verb(number, |exchange, shared| {
        let octets = shared.input(name.saturating_add(value));
        let (name, value) = octets.split_at_checked(name as usize).unwrap_or_default();
        exchange.header(name, value);
        NOTHING
    });
}

/// The head is complete. Gives an event.
#[wasm_bindgen]
pub fn exchange_head(number: u32, status: u16) -> u32 {
    verb(number, |exchange, shared| tell(&mut shared.report, exchange.recv_head(status, [])))
}

/// A chunk of the body is in the input: gives the octets of frames that it makes, at the input's front. Report, last
/// word: whether they are others than before, as the response is text.
#[wasm_bindgen]
pub fn exchange_decode(number: u32, len: u32) -> u32 {
    verb(number, |exchange, shared| {
        shared.report[7] = u32::from(exchange.form() == Some(Form::Text));
        let chunk = shared.input.get_mut(..len as usize).unwrap_or_default();
        exchange.decode(chunk).len() as u32
    })
}

/// Takes the frames in the input from `from` to `to`. Gives [`STATUS`] or nothing; the report's last two words: how many
/// parts of messages lie in the table, and how far the input was taken. A part is four words: its place in the input, its
/// length, its place in the message, the message's length.
#[wasm_bindgen]
pub fn exchange_recv(number: u32, from: u32, to: u32) -> u32 {
    verb(number, |exchange, shared| {
        let frames = shared.input.get(from as usize..to as usize).unwrap_or_default();
        let mut rest = frames;
        let mut parts = 0;
        let mut ended = None;
        TABLE.with(|table| {
            for entry in table {
                match exchange.recv_token(&mut rest) {
                    Some(Token::Message { piece }) => {
                        let at = to - (rest.len() + piece.bytes.len()) as u32;
                        *entry = [at, piece.bytes.len() as u32, piece.offset, piece.len];
                        parts += 1;
                    }
                    token => {
                        ended = token;
                        break;
                    }
                }
            }
        });
        shared.report[6] = parts;
        shared.report[7] = to - rest.len() as u32;
        tell(&mut shared.report, ended.map(|token| exchange.event(token)))
    })
}

/// The response ended: as HTTP wants it, or because its connection was lost. Gives an event.
#[wasm_bindgen]
pub fn exchange_end(number: u32, lost: bool) -> u32 {
    verb(number, |exchange, shared| {
        let event = if lost { exchange.carrier_lost() } else { exchange.finish() };
        tell(&mut shared.report, event)
    })
}

/// Where the table of message parts is; it does not move.
#[wasm_bindgen]
pub fn table_pointer() -> u32 {
    TABLE.with(|table| table.as_ptr() as usize as u32)
}
