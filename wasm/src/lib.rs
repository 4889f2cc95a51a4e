//! The core for JavaScript: exports that take and give numbers, and memory that JavaScript looks into.
//!
//! JavaScript writes what is long (texts, header fields, a chunk of a body) into [`input`](input_reserve), calls, and reads
//! what came of it from [`report`](report_pointer), whose words may point to more. All of that is valid until the next
//! call. `js/module.js` is the only reader; what the numbers mean stands at each export.
//!
//! Nothing is allocated for a message: a body's chunk goes into the input, text is decoded there, and a table of words
//! says where the messages lie. Exchanges are used again.
#![no_std]
#![allow(unreachable_pub)] // Exports are `pub`, and nobody's but JavaScript's.

extern crate alloc;

mod balancer;
mod buffer;
mod exchange;
mod request;
mod slab;

use alloc::vec::Vec;
use buffer::Single;
use wasm_bindgen::prelude::wasm_bindgen;

/// Words of the report.
const REPORT: usize = 8;

/// What the exports share.
struct Shared {
    input: Vec<u8>,
    output: Vec<u8>,
    report: [u32; REPORT],
}

static SHARED: Single<Shared> =
    Single::new(Shared { input: Vec::new(), output: Vec::new(), report: [0; REPORT] });

impl Shared {
    /// The first `len` octets of the input.
    fn input(&self, len: u32) -> &[u8] {
        self.input.get(..len as usize).unwrap_or_default()
    }

    /// Leaves a text in the output, and its place in the report's first two words.
    fn tell(&mut self, text: &dyn core::fmt::Display) {
        use core::fmt::Write;
        struct Out<'o>(&'o mut Vec<u8>);
        impl Write for Out<'_> {
            fn write_str(&mut self, text: &str) -> core::fmt::Result {
                self.0.extend_from_slice(text.as_bytes());
                Ok(())
            }
        }
        self.output.clear();
        let _ = write!(Out(&mut self.output), "{text}"); // cannot fail
        [self.report[0], self.report[1]] = place(&self.output);
    }
}

/// Where octets lie in the module's memory.
fn place(octets: &[u8]) -> [u32; 2] {
    [octets.as_ptr() as usize as u32, octets.len() as u32]
}

/// Makes room for `len` octets of input and tells where; what was there before may be gone.
#[wasm_bindgen]
pub fn input_reserve(len: u32) -> u32 {
    SHARED.with(|shared| {
        if shared.input.len() < len as usize {
            shared.input.resize(len as usize, 0);
        }
        place(&shared.input)[0]
    })
}

/// Where the report's eight words are; they do not move.
#[wasm_bindgen]
pub fn report_pointer() -> u32 {
    SHARED.with(|shared| shared.report.as_ptr() as usize as u32)
}
