//! Metadata kept beyond the event that brought it, or gathered by a handler until it can be sent.

/// Names and values in order, in two buffers that are reused: nothing is allocated once they have grown.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    octets: Vec<u8>,
    /// Lengths of name and value.
    entries: Vec<(usize, usize)>,
}

impl Metadata {
    /// Appends one entry. Core checks it when it is sent.
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.octets.extend_from_slice(name);
        self.octets.extend_from_slice(value);
        self.entries.push((name.len(), value.len()));
    }

    /// Forgets everything, and large buffers too.
    pub(crate) fn clear(&mut self) {
        super::empty(&mut self.octets);
        self.entries.clear();
        self.entries.shrink_to(256);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.octets.as_slice();
        self.entries.iter().map(move |&(name, value)| {
            let (entry, tail) = rest.split_at(name + value);
            rest = tail;
            entry.split_at(name)
        })
    }

    /// Runs `f` over the entries as core takes them. Up to 16 need no allocation.
    pub(crate) fn with_slices<R>(&self, f: impl FnOnce(&[(&[u8], &[u8])]) -> R) -> R {
        const INLINE: usize = 16;
        if self.entries.len() > INLINE {
            return f(&self.iter().collect::<Vec<_>>());
        }
        let mut slices: [(&[u8], &[u8]); INLINE] = [(b"", b""); INLINE];
        for (slot, entry) in slices.iter_mut().zip(self.iter()) {
            *slot = entry;
        }
        f(&slices[..self.entries.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::Metadata;

    #[test]
    fn entries_keep_their_order_and_edges() {
        let mut list = Metadata::default();
        assert!(list.is_empty());
        let entries: Vec<_> = (0..20).map(|i| (format!("name-{i}"), vec![i; usize::from(i)])).collect();
        for (n, (name, value)) in entries.iter().enumerate() {
            list.push(name.as_bytes(), value);
            list.with_slices(|slices| {
                let expected = entries[..=n].iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
                assert!(slices.iter().copied().eq(expected));
            });
        }
        list.clear();
        assert!(list.with_slices(|slices| slices.is_empty()));
    }
}
