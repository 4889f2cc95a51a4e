//! Storage of any size, for tests.

use grpclb_core::call::{CallSlot, Parts, Storage};
use grpclb_core::http2::{self, StreamSlot};

/// How much a connection gets.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub streams: usize,
    pub tables: usize,
    pub arena: usize,
    pub outbox: usize,
}

impl Sizes {
    pub const USUAL: Sizes = Sizes { streams: 16, tables: 4096, arena: 16_384, outbox: 32_768 };
}

pub struct Heap {
    streams: Vec<StreamSlot>,
    calls: Vec<CallSlot>,
    decoder_table: Vec<u8>,
    encoder_table: Vec<u8>,
    arena: Vec<u8>,
    outbox: Vec<u8>,
}

impl Heap {
    pub fn new(sizes: Sizes) -> Heap {
        Heap {
            streams: vec![StreamSlot::FREE; sizes.streams],
            calls: vec![CallSlot::FREE; sizes.streams],
            decoder_table: vec![0; sizes.tables],
            encoder_table: vec![0; sizes.tables],
            arena: vec![0; sizes.arena],
            outbox: vec![0; sizes.outbox],
        }
    }
}

impl Storage for Heap {
    fn parts(&mut self) -> Parts<'_> {
        Parts {
            http2: http2::Parts {
                streams: &mut self.streams,
                decoder_table: &mut self.decoder_table,
                encoder_table: &mut self.encoder_table,
                arena: &mut self.arena,
                outbox: &mut self.outbox,
            },
            calls: &mut self.calls,
        }
    }
}
