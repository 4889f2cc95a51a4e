//! The memory that a channel is lent: 104 octets an address, and the text of addresses that are not IP.

use super::endpoint::Key;
use super::policy::pick_first::PickFirst;
use crate::time::Instant;
use core::fmt;

/// How much a channel can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Addresses of all endpoints (an endpoint has one or more), at most 65 535. At least 1.
    pub addresses: usize,
    /// Octets for addresses that are not IP (Unix paths, URLs): each one's length and 6. 0 when there are none.
    pub text: usize,
}

/// Lends a channel its memory.
pub trait Storage {
    /// All of it: the same memory every time.
    fn parts(&mut self) -> Parts<'_>;
}

impl<S: Storage + ?Sized> Storage for &mut S {
    fn parts(&mut self) -> Parts<'_> {
        (**self).parts()
    }
}

/// The memory of a channel. The channel holds as many addresses as the shortest of the first four allows.
pub struct Parts<'a> {
    /// One an address.
    pub subchannels: &'a mut [SubchannelSlot],
    /// One an address.
    pub endpoints: &'a mut [EndpointSlot],
    /// Four an address: orders, timers, an index.
    pub links: &'a mut [u16],
    /// Four an address: the picker; scratch during an update.
    pub words: &'a mut [u32],
    /// [`Sizes::text`].
    pub text: &'a mut [u8],
}

impl fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("addresses", &self.subchannels.len())
            .field("text", &self.text.len())
            .finish()
    }
}

/// What a channel remembers of a subchannel: opaque, made with `default`.
#[derive(Clone, Copy, Debug)]
pub struct SubchannelSlot {
    pub(super) key: Key,
    /// The start of the latest attempt.
    pub(super) since: Instant,
    /// When its timer, if it has one, runs out.
    pub(super) deadline: Instant,
    /// Where its text lies.
    pub(super) text_at: u32,
    /// Of the latest attempt.
    pub(super) generation: u16,
    /// The generation that `Close` is pending for.
    pub(super) closing: u16,
    /// Whose address it is, and which one.
    pub(super) endpoint: u16,
    pub(super) place: u16,
    /// The next in the chain of the index, or of free slots.
    pub(super) chain: u16,
    /// The next with pending actions.
    pub(super) queued: u16,
    /// Where in the heap of timers.
    pub(super) timer: u16,
    pub(super) phase: Phase,
    pub(super) flags: Flags,
    /// Attempts that failed since it was READY.
    pub(super) failures: u8,
}

/// What a subchannel is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not in use.
    Free,
    Idle,
    Connecting,
    Ready,
    /// Failed, and the time for the next attempt has not come.
    Backoff,
}

/// Bits of a subchannel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    /// `Connect` is pending: the host knows nothing of the attempt yet.
    pub(super) const CONNECT: Flags = Flags(1);
    /// `Close` of the generation in `closing` is pending.
    pub(super) const CLOSE: Flags = Flags(2);
    /// In the queue of pending actions.
    pub(super) const QUEUED: Flags = Flags(4);
    /// The timer is the Connection Attempt Delay, not yet the attempt's limit.
    pub(super) const DELAY: Flags = Flags(8);
    /// During an update: in the new list.
    pub(super) const LISTED: Flags = Flags(16);
    /// During an update: put in its new place.
    pub(super) const PLACED: Flags = Flags(32);
    /// During an update: its endpoint was in TRANSIENT_FAILURE.
    pub(super) const FAILED: Flags = Flags(64);

    pub(super) fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub(super) fn set(&mut self, flag: Flags) {
        self.0 |= flag.0;
    }

    /// Whether it was set.
    pub(super) fn clear(&mut self, flag: Flags) -> bool {
        let had = self.has(flag);
        self.0 &= !flag.0;
        had
    }
}

/// No slot.
pub(super) const NONE: u16 = u16::MAX;

impl SubchannelSlot {
    /// Of a storage that no channel used yet.
    pub const EMPTY: SubchannelSlot = SubchannelSlot {
        key: Key::NONE,
        since: Instant::from_nanos(0),
        deadline: Instant::from_nanos(0),
        text_at: 0,
        generation: 0,
        closing: 0,
        endpoint: 0,
        place: 0,
        chain: 0,
        queued: 0,
        timer: 0,
        phase: Phase::Free,
        flags: Flags(0),
        failures: 0,
    };
}

impl Default for SubchannelSlot {
    fn default() -> SubchannelSlot {
        SubchannelSlot::EMPTY
    }
}

/// What a channel remembers of an endpoint: opaque, made with `default`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointSlot {
    /// 0: no calls.
    pub(super) weight: u32,
    /// Its addresses: a range of the order.
    pub(super) first: u16,
    pub(super) count: u16,
    pub(super) leaf: PickFirst,
}

impl EndpointSlot {
    /// Of a storage that no channel used yet.
    pub const EMPTY: EndpointSlot = EndpointSlot { weight: 0, first: 0, count: 0, leaf: PickFirst::IDLE };
}

/// Storage of a size fixed when compiling. It is all zero at first: a static of it lies in `.bss`.
#[derive(Debug)]
pub struct Inline<const ADDRESSES: usize, const TEXT: usize> {
    subchannels: [SubchannelSlot; ADDRESSES],
    endpoints: [EndpointSlot; ADDRESSES],
    links: [[u16; 4]; ADDRESSES],
    words: [[u32; 4]; ADDRESSES],
    text: [u8; TEXT],
}

impl<const ADDRESSES: usize, const TEXT: usize> Inline<ADDRESSES, TEXT> {
    /// Unused.
    pub const fn new() -> Self {
        Inline {
            subchannels: [SubchannelSlot::EMPTY; ADDRESSES],
            endpoints: [EndpointSlot::EMPTY; ADDRESSES],
            links: [[0; 4]; ADDRESSES],
            words: [[0; 4]; ADDRESSES],
            text: [0; TEXT],
        }
    }
}

impl<const ADDRESSES: usize, const TEXT: usize> Default for Inline<ADDRESSES, TEXT> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const ADDRESSES: usize, const TEXT: usize> Storage for Inline<ADDRESSES, TEXT> {
    fn parts(&mut self) -> Parts<'_> {
        Parts {
            subchannels: &mut self.subchannels,
            endpoints: &mut self.endpoints,
            links: self.links.as_flattened_mut(),
            words: self.words.as_flattened_mut(),
            text: &mut self.text,
        }
    }
}

/// Storage in slices of the caller's.
#[derive(Debug)]
pub struct Slices<'a>(pub Parts<'a>);

impl Storage for Slices<'_> {
    fn parts(&mut self) -> Parts<'_> {
        Parts {
            subchannels: self.0.subchannels,
            endpoints: self.0.endpoints,
            links: self.0.links,
            words: self.0.words,
            text: self.0.text,
        }
    }
}

/// Storage on the heap. To hold more, make a larger one and hand it to [`Channel::grow`](super::Channel::grow).
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct Boxed {
    subchannels: Box<[SubchannelSlot]>,
    endpoints: Box<[EndpointSlot]>,
    links: Box<[u16]>,
    words: Box<[u32]>,
    text: Box<[u8]>,
}

#[cfg(feature = "std")]
impl Boxed {
    /// Room for `sizes`.
    pub fn new(sizes: Sizes) -> Boxed {
        let n = sizes.addresses;
        Boxed {
            subchannels: vec![SubchannelSlot::EMPTY; n].into_boxed_slice(),
            endpoints: vec![EndpointSlot::EMPTY; n].into_boxed_slice(),
            links: vec![0; n.saturating_mul(4)].into_boxed_slice(),
            words: vec![0; n.saturating_mul(4)].into_boxed_slice(),
            text: vec![0; sizes.text].into_boxed_slice(),
        }
    }
}

#[cfg(feature = "std")]
impl Storage for Boxed {
    fn parts(&mut self) -> Parts<'_> {
        Parts {
            subchannels: &mut self.subchannels,
            endpoints: &mut self.endpoints,
            links: &mut self.links,
            words: &mut self.words,
            text: &mut self.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_a_hundred_octets_an_address() {
        assert_eq!(size_of::<SubchannelSlot>(), 64);
        assert_eq!(size_of::<EndpointSlot>(), 16);
        assert_eq!(size_of::<Inline<10, 0>>(), 1040);
    }
}
