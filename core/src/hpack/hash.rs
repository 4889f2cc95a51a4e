//! The hash behind the look-ups of the encoder, and the comparison: eight octets at a time, without a call for what is as
//! short as names and values are.

/// Odd, and such that the names of the static table fall into different places (`static_table::BY_HASH`).
const MULTIPLIER: u64 = 0x3086_b84d_5330_8e3b;

/// Hash of `octets`; `seed` is 0 or the hash of what stands before them.
#[inline]
pub(super) const fn hash(seed: u64, octets: &[u8]) -> u64 {
    let mut hash = seed ^ (octets.len() as u64) << 56;
    let Some(last) = octets.last_chunk::<8>() else { return mix(hash ^ short(octets)) };
    let mut rest = octets;
    while let Some((eight, tail)) = rest.split_first_chunk::<8>() {
        hash = mix(hash ^ u64::from_le_bytes(*eight));
        rest = tail;
    }
    // What is left after the eights, and some of them once more.
    if rest.is_empty() { hash } else { mix(hash ^ u64::from_le_bytes(*last)) }
}

#[inline(always)]
const fn word(four: [u8; 4]) -> u64 {
    u32::from_le_bytes(four) as u64
}

#[inline(always)]
const fn mix(value: u64) -> u64 {
    let product = value.wrapping_mul(MULTIPLIER);
    product ^ product >> 32
}

/// Whether `a` and `b` are the same.
#[inline]
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(end_a), Some(end_b)) if a.len() <= 32 => {
            // What is left after the eights overlaps the last of them.
            let (eights_a, eights_b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
            end_a == end_b && eights_a.iter().zip(eights_b).all(|(a, b)| a == b)
        }
        (Some(_), Some(_)) => a == b,
        _ => short(a) == short(b),
    }
}

/// Up to seven octets as a number, different for different octets of the same length.
#[inline(always)]
const fn short(octets: &[u8]) -> u64 {
    match (octets.first_chunk::<4>(), octets.last_chunk::<4>()) {
        (Some(front), Some(back)) => word(*front) | word(*back) << 32,
        _ => match *octets {
            [a, b, c] => word([a, b, c, 0]),
            [a, b] => word([a, b, 0, 0]),
            [a] => word([a, 0, 0, 0]),
            _ => 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_is_equality() {
        for length in 0..70 {
            let octets: Vec<u8> = (0..length).collect();
            assert!(same(&octets, &octets.clone()));
            for i in 0..octets.len() {
                let mut other = octets.clone();
                other[i] ^= 0x80;
                assert!(!same(&octets, &other), "octet {i} of {length}");
                assert!(!same(&octets, &octets[..i]));
                assert_ne!(hash(0, &octets), hash(0, &other));
                assert_ne!(hash(0, &octets), hash(0, &octets[..i]));
            }
        }
    }
}
