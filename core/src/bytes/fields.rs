//! Header lists as they lie in an arena, and places in it.

/// A place in a header arena. Valid until the next `recv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset, octets.
    pub at: u32,
    /// Length, octets.
    pub len: u32,
}

/// Packed header fields: `u16 name length, u16 value length, name, value`, repeated (network byte order).
///
/// ```
/// use grpclb_core::bytes::Fields;
/// let mut fields = Fields::new(b"\0\x04\0\x02nameok\0\x05\0\0empty");
/// assert_eq!(fields.get(b"name"), Some(&b"ok"[..]));
/// assert_eq!(fields.nth(1), Some((&b"empty"[..], &b""[..])));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    packed: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&[n0, n1, v0, v1], rest) = self.packed.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u16::from_be_bytes([n0, n1]).into())?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([v0, v1]).into())?;
        self.packed = rest;
        Some((name, value))
    }
}

impl<'a> Fields<'a> {
    /// Of that packed form.
    pub const fn new(packed: &'a [u8]) -> Fields<'a> {
        Fields { packed }
    }

    /// The value of the first field of that (lower-case) name.
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.into_iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// The packed form, as C, Go and Python read it.
    pub const fn packed(&self) -> &'a [u8] {
        self.packed
    }
}
