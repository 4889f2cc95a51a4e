//! Metadata in one reused buffer, packed as core packs header fields
//! (`u16 name length, u16 value length, name, value`), so that neither side allocates an entry.

use grpclb_core::http2::Fields;

/// Metadata to send, or initial and trailing metadata that came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    octets: Vec<u8>,
    /// Where the trailing metadata starts.
    trailers_at: usize,
    /// An entry's name or value has more than 65 535 octets: that entry's index.
    oversize: Option<u16>,
}

/// Pairs for core, on the stack up to this many.
pub(crate) const PAIRS: usize = 16;

impl Packed {
    /// Empty.
    pub(crate) const fn new() -> Packed {
        Packed { octets: Vec::new(), trailers_at: 0, oversize: None }
    }

    /// Whether it has a buffer.
    pub(crate) fn is_allocated(&self) -> bool {
        self.octets.capacity() > 0
    }

    pub(crate) fn clear(&mut self) {
        self.octets.clear();
        self.trailers_at = 0;
        self.oversize = None;
    }

    /// Appends an entry that is to be sent.
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        let (Ok(name_len), Ok(value_len)) = (u16::try_from(name.len()), u16::try_from(value.len())) else {
            let index = self.pairs().count();
            self.oversize.get_or_insert(index as u16);
            return;
        };
        self.octets.extend_from_slice(&name_len.to_be_bytes());
        self.octets.extend_from_slice(&value_len.to_be_bytes());
        self.octets.extend_from_slice(name);
        self.octets.extend_from_slice(value);
    }

    /// The entry that cannot be sent since it is too long.
    pub(crate) fn oversize(&self) -> Option<u16> {
        self.oversize
    }

    /// Takes over initial metadata that came.
    pub(crate) fn set_header(&mut self, fields: Fields<'_>) {
        self.octets.clear();
        self.octets.extend_from_slice(fields.packed());
        self.trailers_at = self.octets.len();
    }

    /// Takes over trailing metadata that came.
    pub(crate) fn set_trailer(&mut self, fields: Fields<'_>) {
        self.octets.truncate(self.trailers_at);
        self.octets.extend_from_slice(fields.packed());
    }

    pub(crate) fn header(&self) -> Fields<'_> {
        Fields::new(&self.octets[..self.trailers_at])
    }

    pub(crate) fn trailer(&self) -> Fields<'_> {
        Fields::new(&self.octets[self.trailers_at..])
    }

    /// The entries to send.
    pub(crate) fn pairs(&self) -> Fields<'_> {
        Fields::new(&self.octets)
    }

    /// Calls `then` with the entries to send, as core wants them.
    pub(crate) fn with_pairs<R>(&self, then: impl FnOnce(&[(&[u8], &[u8])]) -> R) -> R {
        if self.octets.is_empty() {
            return then(&[]);
        }
        let mut few: [(&[u8], &[u8]); PAIRS] = [(&[], &[]); PAIRS];
        let mut count = 0;
        for pair in self.pairs() {
            let Some(place) = few.get_mut(count) else {
                let all: Vec<_> = self.pairs().collect();
                return then(&all);
            };
            *place = pair;
            count += 1;
        }
        then(&few[..count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_out_as_they_went_in() {
        for count in [0, 1, PAIRS, PAIRS + 1, 3 * PAIRS] {
            let mut packed = Packed::new();
            let entries: Vec<_> = (0..count).map(|n| (format!("name-{n}"), vec![n as u8; n])).collect();
            for (name, value) in &entries {
                packed.push(name.as_bytes(), value);
            }
            packed.with_pairs(|pairs| {
                let expected: Vec<_> = entries.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())).collect();
                assert_eq!(pairs, expected);
            });
            assert_eq!(packed.oversize(), None);
        }
    }

    #[test]
    fn an_entry_that_is_too_long_is_known_by_its_number() {
        let mut packed = Packed::new();
        packed.push(b"a", b"1");
        packed.push(b"b", &vec![0; 65_536]);
        packed.push(b"c", &vec![0; 65_535]);
        assert_eq!(packed.oversize(), Some(1));
        packed.clear();
        assert_eq!(packed.oversize(), None);
    }

    #[test]
    fn trailers_follow_the_header() {
        let (mut header, mut trailer, mut both) = (Packed::new(), Packed::new(), Packed::new());
        header.push(b"h", b"1");
        trailer.push(b"t", b"2");
        both.set_header(header.pairs());
        both.set_trailer(trailer.pairs());
        assert!(both.header().eq([(&b"h"[..], &b"1"[..])]));
        assert!(both.trailer().eq([(&b"t"[..], &b"2"[..])]));
    }
}
