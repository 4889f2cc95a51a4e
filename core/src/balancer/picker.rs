//! Which subchannel a call goes to.

use super::SubchannelId;

/// Where the picks stand: shared by all threads and by all pickers, one after another, of a channel.
#[derive(Debug)]
pub struct Position {
    _private: (),
}

impl Position {
    /// Begins at `start`. Take it from a random source, or every client's first call goes to the same endpoint.
    pub const fn new(_start: u64) -> Position {
        Position { _private: () }
    }
}

/// The shape of the words that `Channel::build_picker` wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    _private: (),
}

/// The words lent are too few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall {
    /// How many would do.
    pub needed: usize,
}

/// A picker: immutable, shared by threads, one atomic operation a pick.
#[derive(Clone, Copy, Debug)]
pub struct Table<'w> {
    _words: &'w [u32],
}

#[allow(unused_variables)]
impl<'w> Table<'w> {
    /// Over what `Channel::build_picker` wrote.
    pub fn new(shape: Shape, words: &'w [u32]) -> Table<'w> {
        todo!()
    }

    /// The next pick; `None` when no endpoint is READY (ask the channel what that means for a call).
    #[inline]
    pub fn pick(&self, position: &Position) -> Option<SubchannelId> {
        todo!()
    }

    /// Pick number `k`.
    #[inline]
    pub fn at(&self, k: u64) -> Option<SubchannelId> {
        todo!()
    }
}
