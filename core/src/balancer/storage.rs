//! The memory that a channel is lent.

/// How much a channel can hold. About 100 octets of memory an address, and the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Addresses of all endpoints (an endpoint has one or more), at most 65 535.
    pub addresses: usize,
    /// Octets of all addresses that are not IP: Unix paths, URLs.
    pub text: usize,
}

/// Lends a channel its memory.
pub trait Storage {
    /// All of it. Must lend the same memory every time.
    fn parts(&mut self) -> Parts<'_>;
}

impl<S: Storage + ?Sized> Storage for &mut S {
    fn parts(&mut self) -> Parts<'_> {
        (**self).parts()
    }
}

/// The memory of a channel. The lengths should go together (see [`Inline`]); the shortest decides.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Octets of addresses that are not IP.
    pub text: &'a mut [u8],
}

/// Storage of a size fixed when compiling: all zero at first, so that a static of it lies in `.bss`.
#[derive(Debug)]
pub struct Inline<const ADDRESSES: usize, const TEXT: usize> {
    text: [u8; TEXT],
}

impl<const ADDRESSES: usize, const TEXT: usize> Inline<ADDRESSES, TEXT> {
    /// All zero.
    pub const fn new() -> Self {
        Inline { text: [0; TEXT] }
    }
}

impl<const ADDRESSES: usize, const TEXT: usize> Default for Inline<ADDRESSES, TEXT> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const ADDRESSES: usize, const TEXT: usize> Storage for Inline<ADDRESSES, TEXT> {
    fn parts(&mut self) -> Parts<'_> {
        Parts { text: &mut self.text }
    }
}

/// Storage in slices of the caller's.
#[derive(Debug)]
pub struct Slices<'a> {
    /// The slices.
    pub parts: Parts<'a>,
}

impl Storage for Slices<'_> {
    fn parts(&mut self) -> Parts<'_> {
        Parts { text: self.parts.text }
    }
}

/// Storage on the heap. To hold more, make a larger one and hand it to [`Channel::grow`](super::Channel::grow).
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct Boxed {
    text: Box<[u8]>,
}

#[cfg(feature = "std")]
impl Boxed {
    /// Room for `sizes`.
    pub fn new(sizes: Sizes) -> Boxed {
        Boxed { text: vec![0; sizes.text].into_boxed_slice() }
    }
}

#[cfg(feature = "std")]
impl Storage for Boxed {
    fn parts(&mut self) -> Parts<'_> {
        Parts { text: &mut self.text }
    }
}
