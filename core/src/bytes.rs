//! Bytes without panics: additions that are checked in debug builds, a writer that remembers that it was full,
//! packed header fields.

mod fields;

pub use fields::{Fields, Span};

/// Arithmetic that cannot overflow by construction: checked in debug builds (and by the fuzzer), free in
/// release builds. Use it where a bound stands nearby; use `checked_add` for numbers that a peer chooses.
pub trait Exact: Sized {
    /// `self + other`.
    #[must_use]
    fn plus(self, other: Self) -> Self;
    /// `self - other`.
    #[must_use]
    fn minus(self, other: Self) -> Self;
}

macro_rules! exact {
    ($($t:ty)*) => {$(
        impl Exact for $t {
            #[inline(always)]
            fn plus(self, other: $t) -> $t {
                debug_assert!(self.checked_add(other).is_some());
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn minus(self, other: $t) -> $t {
                debug_assert!(self.checked_sub(other).is_some());
                self.wrapping_sub(other)
            }
        }
    )*};
}
exact!(u8 u16 u32 u64 usize i32 i64);

/// Copies as much of `from` as fits into `to`; returns how many octets.
#[inline]
#[allow(clippy::disallowed_methods)] // both slices are cut to the same length first
pub fn copy(to: &mut [u8], from: &[u8]) -> usize {
    let n = to.len().min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..n), from.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}

/// Copies `n` octets of `buffer` from one place to another, which may overlap; does nothing when either is not there.
///
/// In pieces as long as the places are apart, since a piece does not overlap its copy: `slice::copy_within` keeps a panic
/// in small builds, where it is not inlined.
pub fn copy_within(buffer: &mut [u8], from: usize, to: usize, n: usize) {
    let inside = |at: usize| at.checked_add(n).is_some_and(|end| end <= buffer.len());
    let (low, high) = (from.min(to), from.max(to));
    if !inside(high) || low == high {
        return;
    }
    let mut left = n;
    while left > 0 {
        let piece = left.min(high.minus(low));
        // Down from the front, up from the back: nothing is overwritten before it is copied.
        let at = if to < from { n.minus(left) } else { left.minus(piece) };
        let Some((front, back)) = buffer.split_at_mut_checked(high.plus(at)) else { return };
        let Some(front) = front.get_mut(low.plus(at)..).and_then(|front| front.get_mut(..piece)) else {
            return;
        };
        if to < from {
            copy(front, back);
        } else {
            copy(back, front);
        }
        left = left.minus(piece);
    }
}

/// Splits off up to `n` octets of the front of `input` and moves `input` past them.
#[inline]
pub fn take_up_to<'i>(input: &mut &'i [u8], n: usize) -> &'i [u8] {
    match input.split_at_checked(n.min(input.len())) {
        Some((head, tail)) => {
            *input = tail;
            head
        }
        None => &[],
    }
}

/// Splits off exactly `n` octets, or nothing when there are fewer.
#[inline]
pub fn take<'i>(input: &mut &'i [u8], n: usize) -> Option<&'i [u8]> {
    let (head, tail) = input.split_at_checked(n)?;
    *input = tail;
    Some(head)
}

/// Writes into a lent slice. What does not fit is dropped whole and remembered: one check at the end
/// ([`Writer::finish`]) stands for a check at every step.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
    full: bool,
}

impl<'a> Writer<'a> {
    /// A writer that starts at the front of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Writer<'a> {
        Writer { buffer, at: 0, full: false }
    }

    /// Appends `bytes`.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.at..).and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(room) if !self.full => {
                copy(room, bytes);
                self.at = self.at.plus(bytes.len());
            }
            _ => self.full = true,
        }
    }

    /// Appends one octet.
    #[inline]
    pub fn put_u8(&mut self, value: u8) {
        match self.buffer.get_mut(self.at) {
            Some(place) if !self.full => {
                *place = value;
                self.at = self.at.plus(1);
            }
            _ => self.full = true,
        }
    }

    /// Appends two octets in network byte order.
    #[inline]
    pub fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    /// Appends four octets in network byte order.
    #[inline]
    pub fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// Octets written so far.
    pub fn len(&self) -> usize {
        self.at
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// Whether something did not fit: nothing is written any more.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Octets that still fit.
    pub fn room(&self) -> usize {
        if self.full { 0 } else { self.buffer.len().saturating_sub(self.at) }
    }

    /// The part not written yet, for who fills it in place and then calls [`Writer::advance`].
    pub fn rest(&mut self) -> &mut [u8] {
        let at = if self.full { self.buffer.len() } else { self.at };
        self.buffer.get_mut(at..).unwrap_or_default()
    }

    /// Counts `n` octets of [`Writer::rest`] as written.
    pub fn advance(&mut self, n: usize) {
        if n <= self.room() { self.at = self.at.plus(n) } else { self.full = true }
    }

    /// What was written so far.
    pub fn written(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.at).unwrap_or_default()
    }

    /// How much was written, or `None` when something did not fit.
    pub fn finish(self) -> Option<usize> {
        if self.full { None } else { Some(self.at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_within_is_that_of_slices() {
        for (from, to, n) in (0..2744).map(|i| (i / 196, i / 14 % 14, i % 14)) {
            let mut buffer: Vec<u8> = (0..12).collect();
            let mut expected = buffer.clone();
            if from + n <= 12 && to + n <= 12 {
                expected.copy_within(from..from + n, to);
            }
            copy_within(&mut buffer, from, to, n);
            assert_eq!(buffer, expected, "{n} octets from {from} to {to}");
        }
        copy_within(&mut [0; 4], usize::MAX, 0, 1);
        copy_within(&mut [0; 4], 1, 0, usize::MAX);
    }
}
