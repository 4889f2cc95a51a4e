//! Ready-made storages (CONTRACT: `Inline`, `Slices`, `Boxed` come from the author of `call`).

#[cfg(feature = "std")]
mod boxed {
    use crate::call;

    /// How much a connection gets.
    #[derive(Clone, Copy, Debug)]
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

    /// Storage on the heap, for hosts.
    #[derive(Debug)]
    pub struct Boxed {}

    impl Boxed {
        /// All of it, zeroed.
        pub fn new(_sizes: &Sizes) -> Boxed {
            todo!()
        }
    }

    impl call::Storage for Boxed {
        fn parts(&mut self) -> call::Parts<'_> {
            todo!()
        }
    }
}
#[cfg(feature = "std")]
pub use boxed::{Boxed, Sizes};
