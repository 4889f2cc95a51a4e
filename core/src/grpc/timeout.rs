//! `grpc-timeout` (gRPC/HTTP2, "Requests"): one to eight digits and a unit.

use core::time::Duration;

/// The largest number of eight digits.
const LARGEST: u64 = 99_999_999;

/// The units, finest first: nanoseconds in one, and the letter.
const UNITS: [(u64, u8); 6] = [
    (1, b'n'),
    (1_000, b'u'),
    (1_000_000, b'm'),
    (1_000_000_000, b'S'),
    (60_000_000_000, b'M'),
    (3_600_000_000_000, b'H'),
];

/// A `grpc-timeout` value.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    text: [u8; 9],
    start: usize,
}

impl Encoded {
    /// The text, ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }
}

/// Encodes in the finest unit that eight digits allow. What that unit cannot say is cut off, so that the peer never
/// waits longer than this side; only zero, which is not positive, becomes `1n`.
///
/// ```
/// use core::time::Duration;
/// use grpclb_core::grpc::timeout;
/// assert_eq!(timeout::encode(Duration::from_millis(20)).as_bytes(), b"20000000n");
/// assert_eq!(timeout::encode(Duration::from_secs(20)).as_bytes(), b"20000000u");
/// ```
pub fn encode(timeout: Duration) -> Encoded {
    // More nanoseconds than 64 bits hold are 584 years: hours, whatever they are.
    let (nanos, hours) = match u64::try_from(timeout.as_nanos()) {
        Ok(nanos) => (nanos.max(1), 0),
        Err(_) => (u64::MAX, timeout.as_secs() / 3_600),
    };
    let (mut rest, mut letter) = (hours.min(LARGEST) as u32, b'H');
    for (unit, name) in UNITS {
        let count = nanos.checked_div(unit).unwrap_or(u64::MAX);
        if hours == 0 && count <= LARGEST {
            (rest, letter) = (count as u32, name);
            break;
        }
    }
    let mut encoded = Encoded { text: [b'0'; 9], start: 8 };
    for (at, place) in encoded.text.iter_mut().enumerate().rev() {
        if at == 8 {
            *place = letter;
            continue;
        }
        *place = b'0' | (rest % 10) as u8;
        encoded.start = at;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    encoded
}

/// Decodes strictly: one to eight digits and one of `H M S m u n`, nothing else. Zero is taken: that deadline has
/// passed.
pub fn decode(text: &[u8]) -> Option<Duration> {
    let (&letter, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let (unit, _) = UNITS.iter().find(|(_, name)| *name == letter)?;
    let value = digits.iter().try_fold(0u64, |sum, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    // At most 10^8 hours, 3.6 × 10^11 seconds.
    match unit / 1_000_000_000 {
        0 => Some(Duration::from_nanos(value.checked_mul(*unit)?)),
        seconds => Some(Duration::from_secs(value.checked_mul(seconds)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(nanos: u128) -> String {
        let timeout = Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32);
        String::from_utf8(encode(timeout).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_finest_unit_of_eight_digits() {
        let second = 1_000_000_000u128;
        for (nanos, text) in [
            (0, "1n"),
            (1, "1n"),
            (99_999_999, "99999999n"),
            (100_000_000, "100000u"),
            (100_000_999, "100000u"),
            (second, "1000000u"),
            (99 * second + 999_999_999, "99999999u"),
            (100 * second, "100000m"),
            (99_999_999_999_999, "99999999m"),
            (100_000 * second, "100000S"),
            (100_000_000 * second, "1666666M"),
            (99_999_999 * 60 * second, "99999999M"),
            (100_000_000 * 60 * second, "1666666H"),
            (u64::MAX as u128 * second, "99999999H"),
        ] {
            assert_eq!(encoded(nanos), text);
        }
    }

    #[test]
    fn decodes_each_unit() {
        for (text, expected) in [
            ("1n", Duration::from_nanos(1)),
            ("2u", Duration::from_micros(2)),
            ("3m", Duration::from_millis(3)),
            ("4S", Duration::from_secs(4)),
            ("5M", Duration::from_secs(300)),
            ("6H", Duration::from_secs(21_600)),
            ("00000001S", Duration::from_secs(1)),
            ("0S", Duration::ZERO),
            ("99999999H", Duration::from_secs(359_999_996_400)),
        ] {
            assert_eq!(decode(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for bad in ["", "1", "S", "123456789S", "1s", "1h", " 1S", "1 S", "1S ", "-1S", "+1S", "1.5S", "1SS"]
        {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_longer_and_never_much_shorter(nanos in 1u64..) {
            let timeout = Duration::from_nanos(nanos);
            let back = decode(encode(timeout).as_bytes()).unwrap();
            prop_assert!(back <= timeout);
            prop_assert!(back.as_nanos() + timeout.as_nanos() / 1_000_000 + 1 >= timeout.as_nanos());
        }
    }
}
