//! Ready-made storages: [`Inline`] for statics, [`Slices`] for memory that comes from elsewhere, and `Boxed` (feature
//! `std`) for hosts. Any other type can be one: [`call::Storage`] has one method.
//!
//! | part | default | at least | why |
//! |---|---|---|---|
//! | streams | 128 | 1 | calls at once; 112 octets each (and a connection 1 664 beside its storage), announced by a server as SETTINGS_MAX_CONCURRENT_STREAMS |
//! | decoder table | 4 096 | 0 | what RFC 7541 lets a peer assume until it has seen our SETTINGS; less is announced, and taken once the peer has |
//! | encoder table | 4 096 | 0 | never more than the peer's SETTINGS_HEADER_TABLE_SIZE, by default 4 096, is used |
//! | arena | 16 384 | 1 024 | a header block that came in pieces and the fields that it decodes to: twice the largest header list |
//! | outbox | 32 768 | 1 024 | the preface and SETTINGS, then at least one head and one piece of a message; larger means fewer writes |

use crate::call::{self, CallSlot};
use crate::http2::{self, StreamSlot};

/// Storage as one value without pointers, all zero at first: in a static it lies in `.bss` and costs no flash.
///
/// The parameters are concurrent calls, then octets of decoder table, encoder table, arena and outbox.
///
/// ```
/// use grpclb_core::memory::Inline;
/// static STORAGE: Inline<4, 256, 256, 1024, 2048> = Inline::new();
/// ```
///
/// Firmware hands `&'static mut Inline` to the connection, so that the static stays all zero.
#[derive(Debug)]
pub struct Inline<
    const STREAMS: usize,
    const DECODER: usize = 4096,
    const ENCODER: usize = 4096,
    const ARENA: usize = 16_384,
    const OUTBOX: usize = 32_768,
> {
    streams: [StreamSlot; STREAMS],
    calls: [CallSlot; STREAMS],
    decoder_table: [u8; DECODER],
    encoder_table: [u8; ENCODER],
    arena: [u8; ARENA],
    outbox: [u8; OUTBOX],
}

impl<const S: usize, const D: usize, const E: usize, const A: usize, const O: usize> Inline<S, D, E, A, O> {
    /// All zero.
    pub const fn new() -> Self {
        Inline {
            streams: [const { StreamSlot::FREE }; S],
            calls: [const { CallSlot::FREE }; S],
            decoder_table: [0; D],
            encoder_table: [0; E],
            arena: [0; A],
            outbox: [0; O],
        }
    }
}

impl<const S: usize, const D: usize, const E: usize, const A: usize, const O: usize> Default
    for Inline<S, D, E, A, O>
{
    fn default() -> Self {
        Inline::new()
    }
}

impl<const S: usize, const D: usize, const E: usize, const A: usize, const O: usize> call::Storage
    for Inline<S, D, E, A, O>
{
    fn parts(&mut self) -> call::Parts<'_> {
        call::Parts {
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

impl<const S: usize, const D: usize, const E: usize, const A: usize, const O: usize> http2::Storage
    for Inline<S, D, E, A, O>
{
    fn parts(&mut self) -> http2::Parts<'_> {
        call::Storage::parts(self).http2
    }
}

/// Storage in slices that lie somewhere else. Slots must be [`StreamSlot::FREE`] and [`CallSlot::FREE`] at first.
#[derive(Debug)]
pub struct Slices<'a>(pub call::Parts<'a>);

impl call::Storage for Slices<'_> {
    fn parts(&mut self) -> call::Parts<'_> {
        let Slices(call::Parts { http2, calls }) = self;
        call::Parts {
            http2: http2::Parts {
                streams: http2.streams,
                decoder_table: http2.decoder_table,
                encoder_table: http2.encoder_table,
                arena: http2.arena,
                outbox: http2.outbox,
            },
            calls,
        }
    }
}

impl http2::Storage for Slices<'_> {
    fn parts(&mut self) -> http2::Parts<'_> {
        call::Storage::parts(self).http2
    }
}

impl<S: http2::Storage + ?Sized> http2::Storage for &mut S {
    fn parts(&mut self) -> http2::Parts<'_> {
        (**self).parts()
    }
}

impl<S: call::Storage + ?Sized> call::Storage for &mut S {
    fn parts(&mut self) -> call::Parts<'_> {
        (**self).parts()
    }
}

#[cfg(feature = "std")]
mod boxed {
    use super::*;
    use std::boxed::Box;
    use std::vec;

    /// How much memory a connection gets; see the table in [`memory`](crate::memory).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Sizes {
        /// Concurrent calls.
        pub streams: u16,
        /// HPACK decoder table, octets.
        pub decoder_table: usize,
        /// HPACK encoder table, octets.
        pub encoder_table: usize,
        /// Header arena, octets.
        pub arena: usize,
        /// Outbox, octets.
        pub outbox: usize,
    }

    impl Sizes {
        /// The least that works; [`Boxed::new`] raises what is below.
        pub const MIN: Sizes =
            Sizes { streams: 1, decoder_table: 0, encoder_table: 0, arena: 1_024, outbox: 1_024 };
    }

    impl Default for Sizes {
        fn default() -> Sizes {
            Sizes { streams: 128, decoder_table: 4_096, encoder_table: 4_096, arena: 16_384, outbox: 32_768 }
        }
    }

    /// Storage on the heap, for hosts.
    #[derive(Debug)]
    pub struct Boxed {
        streams: Box<[StreamSlot]>,
        calls: Box<[CallSlot]>,
        decoder_table: Box<[u8]>,
        encoder_table: Box<[u8]>,
        arena: Box<[u8]>,
        outbox: Box<[u8]>,
    }

    impl Boxed {
        /// All of it, zeroed.
        pub fn new(sizes: &Sizes) -> Boxed {
            let octets = |wanted: usize, least: usize| vec![0; wanted.max(least)].into_boxed_slice();
            let streams = usize::from(sizes.streams.max(Sizes::MIN.streams));
            Boxed {
                streams: (0..streams).map(|_| StreamSlot::FREE).collect(),
                calls: (0..streams).map(|_| CallSlot::FREE).collect(),
                decoder_table: octets(sizes.decoder_table, Sizes::MIN.decoder_table),
                encoder_table: octets(sizes.encoder_table, Sizes::MIN.encoder_table),
                arena: octets(sizes.arena, Sizes::MIN.arena),
                outbox: octets(sizes.outbox, Sizes::MIN.outbox),
            }
        }
    }

    impl call::Storage for Boxed {
        fn parts(&mut self) -> call::Parts<'_> {
            call::Parts {
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

    impl http2::Storage for Boxed {
        fn parts(&mut self) -> http2::Parts<'_> {
            call::Storage::parts(self).http2
        }
    }
}
#[cfg(feature = "std")]
pub use boxed::{Boxed, Sizes};
