//! Cutting texts at ASCII characters. (`str::split` and its relatives leave a panic path in the binary.)

use crate::bytes::Exact;

/// What stands before the first `at`, and what behind it, if there is one.
pub(super) fn cut(text: &str, at: u8) -> (&str, Option<&str>) {
    debug_assert!(at.is_ascii());
    match text.bytes().position(|b| b == at) {
        Some(place) => (text.get(..place).unwrap_or_default(), text.get(place.plus(1)..)),
        None => (text, None),
    }
}

/// What stands before the last `at`, and what behind it, if there is one.
pub(super) fn cut_last(text: &str, at: u8) -> Option<(&str, &str)> {
    debug_assert!(at.is_ascii());
    let place = text.bytes().rposition(|b| b == at)?;
    Some((text.get(..place)?, text.get(place.plus(1)..)?))
}

/// The parts between each `at`: one at least.
pub(super) fn parts(text: &str, at: u8) -> impl Iterator<Item = &str> + Clone {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let (part, behind) = cut(rest?, at);
        rest = behind;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn as_the_standard_library_cuts() {
        for text in ["", ",", "a", "a,b", ",a,,b,", "ä,ö"] {
            assert_eq!(parts(text, b',').collect::<Vec<_>>(), text.split(',').collect::<Vec<_>>());
            let (before, behind) = cut(text, b',');
            assert_eq!(behind.map(|behind| (before, behind)), text.split_once(','));
            assert_eq!(cut_last(text, b','), text.rsplit_once(','));
        }
    }
}
