//! weighted_round_robin: which weights count. How calls follow them is [`picker`](crate::balancer::picker)'s.
//!
//! Configured weights are exact: gRFC A58's limits on how far weights may lie apart are for measured ones.

use crate::balancer::endpoint::{Address, Endpoint, Key};

/// Finds the endpoints that a key of `weights` means, in O(1) expected: a hash table of all their addresses in lent
/// words, by whole addresses or by IP alone.
pub(in crate::balancer) struct Index<'a> {
    endpoints: &'a [Endpoint<'a>],
    by_ip: bool,
    seed: u64,
    /// First entry of each chain, plus 1.
    heads: &'a mut [u32],
    /// Next entry in the chain, plus 1.
    next: &'a mut [u32],
    /// Endpoint (high half) and address (low half).
    entries: &'a mut [u32],
}

impl<'a> Index<'a> {
    /// `words` must be three for each address.
    pub(in crate::balancer) fn new(
        endpoints: &'a [Endpoint<'a>],
        by_ip: bool,
        seed: u64,
        words: &'a mut [u32],
    ) -> Option<Index<'a>> {
        let third = words.len() / 3;
        let (heads, rest) = words.split_at_mut_checked(third)?;
        let (next, entries) = rest.split_at_mut_checked(third)?;
        heads.fill(0);
        let index = Index { endpoints, by_ip, seed, heads, next, entries };
        let mut n = 0u32;
        for (i, endpoint) in endpoints.iter().enumerate() {
            for (j, address) in endpoint.addresses.iter().enumerate() {
                let chain = index.chain(index.key(address))?;
                let head = index.heads.get_mut(chain)?;
                *index.next.get_mut(n as usize)? = *head;
                *index.entries.get_mut(n as usize)? = (i as u32) << 16 | (j as u32 & 0xffff);
                n = n.saturating_add(1);
                *head = n;
            }
        }
        Some(index)
    }

    /// Tells `found` each endpoint (its number) with an address under `key`.
    pub(in crate::balancer) fn find(&self, key: Key, mut found: impl FnMut(usize)) {
        let first = self.chain(key).and_then(|chain| self.heads.get(chain));
        let mut entry = first.copied().unwrap_or(0);
        while let Some(at) = entry.checked_sub(1) {
            let Some(&place) = self.entries.get(at as usize) else { return };
            let endpoint = (place >> 16) as usize;
            let address = self
                .endpoints
                .get(endpoint)
                .and_then(|endpoint| endpoint.addresses.get((place & 0xffff) as usize));
            if address.is_some_and(|address| self.key(address) == key) {
                found(endpoint);
            }
            entry = self.next.get(at as usize).copied().unwrap_or(0);
        }
    }

    fn key(&self, address: &Address<'_>) -> Key {
        let key = Key::of(address);
        if self.by_ip { key.without_port() } else { key }
    }

    fn chain(&self, key: Key) -> Option<usize> {
        (key.hash(self.seed) as usize).checked_rem(self.heads.len())
    }
}
