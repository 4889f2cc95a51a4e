//! pick_first (gRFCs A61 and A62): Happy Eyeballs over the addresses of one endpoint.

use crate::balancer::connectivity::Connectivity;
use crate::balancer::endpoint::Family;
use crate::bytes::Exact;

/// The addresses of one endpoint, as the machine below sees them: numbers from 0.
pub(in crate::balancer) trait Addresses {
    /// How many.
    fn len(&self) -> u16;
    /// IDLE, CONNECTING, READY, or TRANSIENT_FAILURE: in backoff.
    fn state(&self, i: u16) -> Connectivity;
    /// Starts an attempt.
    fn connect(&mut self, i: u16);
    /// Arms the Connection Attempt Delay (RFC 8305 §5) on an attempt.
    fn delay(&mut self, i: u16);
    /// Closes the connection, gives up the attempt, forgets the backoff.
    fn stop(&mut self, i: u16);
    /// Asks for another resolution.
    fn resolve(&mut self);
}

/// The state of one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::balancer) struct PickFirst {
    /// What it reports. TRANSIENT_FAILURE is sticky: it stays until READY (gRFC A62).
    state: Connectivity,
    pass: Pass,
    /// In the first pass: the address to attempt next.
    next: u16,
    /// In the first pass: addresses before `next` that failed. Later: failures since the last resolution was asked for.
    failures: u16,
    /// READY: by this address.
    selected: u16,
}

/// In the first pass attempts are started one after another; later (A61, "after the first pass"), all at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pass {
    /// Or none.
    #[default]
    Later,
    /// The first, without an attempt yet.
    First,
    /// The first, with one attempt at least.
    Attempted,
}

impl PickFirst {
    pub(in crate::balancer) const IDLE: PickFirst =
        PickFirst { state: Connectivity::Idle, pass: Pass::Later, next: 0, failures: 0, selected: 0 };

    pub(in crate::balancer) fn new(state: Connectivity) -> PickFirst {
        PickFirst { state, ..PickFirst::default() }
    }

    pub(in crate::balancer) fn state(&self) -> Connectivity {
        self.state
    }

    fn first_pass(&self) -> bool {
        self.pass != Pass::Later
    }

    /// The address in use.
    pub(in crate::balancer) fn selected(&self) -> Option<u16> {
        if self.state == Connectivity::Ready { Some(self.selected) } else { None }
    }

    /// Leaves IDLE, or takes up a new list: a new first pass.
    pub(in crate::balancer) fn begin(&mut self, addresses: &mut impl Addresses) {
        if self.state != Connectivity::TransientFailure {
            self.state = Connectivity::Connecting;
        }
        self.pass = Pass::First;
        self.next = 0;
        self.failures = 0;
        self.advance(addresses);
    }

    /// The next attempt of the first pass, if one is left.
    fn advance(&mut self, addresses: &mut impl Addresses) {
        while self.next < addresses.len() {
            let i = self.next;
            self.next = i.plus(1);
            match addresses.state(i) {
                // One that an earlier list left CONNECTING counts as just started.
                state @ (Connectivity::Idle | Connectivity::Connecting) => {
                    if state == Connectivity::Idle {
                        addresses.connect(i);
                    }
                    self.pass = Pass::Attempted;
                    if self.next < addresses.len() {
                        addresses.delay(i);
                    }
                    return;
                }
                // One in backoff counts as attempted.
                _ => self.failures = self.failures.saturating_add(1),
            }
        }
        self.end_pass_if_over(addresses);
    }

    /// The pass is over when every address failed once.
    fn end_pass_if_over(&mut self, addresses: &mut impl Addresses) {
        if self.next < addresses.len() || self.failures < addresses.len() {
            return;
        }
        let attempted = self.pass == Pass::Attempted;
        self.pass = Pass::Later;
        self.failures = 0;
        self.state = Connectivity::TransientFailure;
        // A pass without an attempt says nothing new, and asking would go in circles with a resolver that answers at once.
        if attempted {
            addresses.resolve();
        }
        for i in 0..addresses.len() {
            self.backoff_over(i, addresses);
        }
    }

    /// Connection Attempt Delay: the next attempt starts beside this one.
    pub(in crate::balancer) fn delay_over(&mut self, i: u16, addresses: &mut impl Addresses) {
        if self.first_pass() && self.next == i.saturating_add(1) {
            self.advance(addresses);
        }
    }

    pub(in crate::balancer) fn failed(&mut self, i: u16, addresses: &mut impl Addresses) {
        if self.first_pass() {
            // One that the pass has not come to counts when it does.
            if i < self.next {
                self.failures = self.failures.saturating_add(1);
            }
            if self.next == i.saturating_add(1) {
                self.advance(addresses);
            } else {
                self.end_pass_if_over(addresses);
            }
        } else {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= addresses.len() {
                self.failures = 0;
                addresses.resolve();
            }
        }
    }

    /// After the first pass every address is attempted again as soon as its backoff is over.
    pub(in crate::balancer) fn backoff_over(&mut self, i: u16, addresses: &mut impl Addresses) {
        if !self.first_pass()
            && self.state == Connectivity::TransientFailure
            && addresses.state(i) == Connectivity::Idle
        {
            addresses.connect(i);
        }
    }

    /// The first that is READY wins; all others are dropped, their backoff too.
    pub(in crate::balancer) fn ready(&mut self, i: u16, addresses: &mut impl Addresses) {
        self.state = Connectivity::Ready;
        self.selected = i;
        self.pass = Pass::Later;
        self.failures = 0;
        for other in 0..addresses.len() {
            if other != i {
                addresses.stop(other);
            }
        }
    }

    /// The connection in use is gone: IDLE until the next call (or at once, if the policy says so).
    pub(in crate::balancer) fn lost(&mut self, i: u16, addresses: &mut impl Addresses) {
        if self.selected() == Some(i) {
            self.state = Connectivity::Idle;
            addresses.resolve();
        }
    }
}

/// RFC 8305 §4 as gRFC A61 has it: one of each family in turn, families in order of their first address. `flat` is lent,
/// as long as `order`.
pub(in crate::balancer) fn interleave(order: &mut [u16], flat: &mut [u32], family: impl Fn(u16) -> Family) {
    let Some(&first) = order.first() else { return };
    if order.iter().all(|&slot| family(slot) == family(first)) {
        return;
    }
    for (place, &slot) in flat.iter_mut().zip(order.iter()) {
        *place = u32::from(slot);
    }
    let flat = flat.get(..order.len()).unwrap_or_default();
    let of = |place: usize| flat.get(place).map(|&slot| (slot as u16, family(slot as u16)));
    // Families in order of appearance, and how far each one is.
    let mut families = [(Family::Other, usize::MAX); 3];
    let mut known = 0usize;
    for place in 0..flat.len() {
        let Some((_, family)) = of(place) else { break };
        if !families.iter().take(known).any(|(other, _)| *other == family)
            && let Some(entry) = families.get_mut(known)
        {
            *entry = (family, place);
            known = known.plus(1);
        }
    }
    let mut turns = (0..known).cycle();
    let mut left = order.iter_mut();
    let mut out = left.next();
    while let (Some(place), Some(turn)) = (&mut out, turns.next()) {
        let Some((family, at)) = families.get_mut(turn) else { return };
        // Once `at` is past the end, the family is used up.
        if let Some((slot, _)) = of(*at) {
            **place = slot;
            *at = (at.plus(1)..flat.len())
                .find(|&next| of(next).is_some_and(|(_, f)| f == *family))
                .unwrap_or(usize::MAX);
            out = left.next();
        }
    }
}

/// gRFC A113's key for shuffling endpoints by weight, `u^(1/w)` with the highest first, as −log2(u)/w with the lowest
/// first, in 48 bits. With equal weights this is a plain shuffle.
pub(in crate::balancer) fn shuffle_key(random: u64, weight: u32) -> u64 {
    let random = random | 1;
    let shift = random.leading_zeros();
    // log2 by squaring: a bit of the fraction each time.
    let mut mantissa = random.wrapping_shl(shift) >> 32; // 1 to 2, with 31 places
    let mut fraction = 0u64;
    for _ in 0..32 {
        mantissa = mantissa.wrapping_mul(mantissa) >> 31;
        fraction <<= 1;
        if mantissa >> 32 != 0 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    let log = u64::from(63u32.saturating_sub(shift)) << 32 | fraction;
    let minus_log = (64u64 << 32).saturating_sub(log); // 39 bits
    (minus_log << 9).checked_div(u64::from(weight)).unwrap_or(u64::MAX >> 16)
}

/// Heapsort: in place, O(n log n), and without the panic path of the standard library's sorts.
pub(in crate::balancer) fn sort(items: &mut [[u32; 2]]) {
    let mut len = items.len();
    for root in (0..len / 2).rev() {
        sift(items, root);
    }
    while len > 1 {
        len = len.minus(1);
        if let Some(head) = items.get_mut(..=len) {
            exchange(head, 0, len);
        }
        if let Some(head) = items.get_mut(..len) {
            sift(head, 0);
        }
    }
}

fn sift(items: &mut [[u32; 2]], mut root: usize) {
    loop {
        let left = root.plus(root).plus(1);
        let Some(mut largest) = items.get(left) else { return };
        let mut child = left;
        if let Some(right) = items.get(left.plus(1))
            && right > largest
        {
            largest = right;
            child = left.plus(1);
        }
        if items.get(root).is_none_or(|item| item >= largest) {
            return;
        }
        exchange(items, root, child);
        root = child;
    }
}

fn exchange(items: &mut [[u32; 2]], a: usize, b: usize) {
    if let Ok([a, b]) = items.get_disjoint_mut([a, b]) {
        core::mem::swap(a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// 4 = IPv4, 6 = IPv6, 0 = other in the tens.
    fn interleaved(order: &[u16]) -> Vec<u16> {
        let mut order = order.to_vec();
        let mut flat = std::vec![0; order.len()];
        interleave(&mut order, &mut flat, |slot| match slot / 10 {
            4 => Family::V4,
            6 => Family::V6,
            _ => Family::Other,
        });
        order
    }

    #[test]
    fn families_in_turn() {
        assert!(interleaved(&[]).is_empty());
        assert_eq!(interleaved(&[41, 42, 43]), [41, 42, 43]);
        assert_eq!(interleaved(&[41, 42, 43, 44, 61, 62]), [41, 61, 42, 62, 43, 44]);
        assert_eq!(interleaved(&[61, 62, 41, 42, 43, 44]), [61, 41, 62, 42, 43, 44]);
        assert_eq!(interleaved(&[61, 1, 41, 42, 2, 62]), [61, 1, 41, 62, 2, 42]);
        assert_eq!(interleaved(&[1, 61, 62, 63]), [1, 61, 62, 63]);
    }

    #[test]
    fn sorts() {
        let mut random = 1u64;
        for n in 0..100usize {
            let mut items: Vec<[u32; 2]> = (0..n)
                .map(|_| {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                    [(random >> 60) as u32, (random >> 33) as u32]
                })
                .collect();
            let mut expected = items.clone();
            expected.sort();
            sort(&mut items);
            assert_eq!(items, expected);
        }
    }

    #[test]
    fn weight_decides_who_comes_first() {
        // With weights 1 and 3, the second comes first in 3 of 4 shuffles.
        let mut random = crate::balancer::backoff::Random(7);
        let n = 100_000;
        let first = (0..n).filter(|_| shuffle_key(random.next(), 3) < shuffle_key(random.next(), 1)).count();
        assert!((first as f64 / n as f64 - 0.75).abs() < 0.01, "{first}");
        assert!(shuffle_key(0, 1) < 1 << 48);
        assert!(shuffle_key(u64::MAX, 0) < 1 << 48);
    }
}
