//! The hash behind the look-ups of the encoder: a few multiplications for a typical name, eight octets at a time.

/// Odd, and such that the names of the static table fall into different places (`static_table::BY_HASH`).
const MULTIPLIER: u64 = 0xa878_d13b_edaf_fcf9;

/// Hash of `bytes`; `seed` is 0 or the hash of what stands before them.
#[inline(always)]
pub(super) const fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(seed ^ bytes.len() as u64);
    let mut rest = bytes;
    while let Some((eight, tail)) = rest.split_first_chunk::<8>() {
        hash = mix(hash ^ u64::from_le_bytes(*eight));
        rest = tail;
    }
    let last = match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(front), Some(back)) => word(*front) | word(*back) << 32,
        _ => match *rest {
            [a, b, c] => word([a, b, c, 0]),
            [a, b] => word([a, b, 0, 0]),
            [a] => word([a, 0, 0, 0]),
            _ => return hash,
        },
    };
    mix(hash ^ last)
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
