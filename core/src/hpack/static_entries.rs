//! The static table (RFC 7541 Appendix A), laid out for look-ups when it is compiled.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a wrong index does not compile

use super::hash::hash;

/// An entry: its name and value lie in [`TEXT`] without a gap, as `Decoder::step` hands them out.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) at: u16,
    pub(super) name: u8,
    pub(super) value: u8,
}

/// Places of the perfect hash over the 52 names.
const PLACES: usize = 256;

#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // 8 bits
pub(super) const fn place(hash: u64) -> usize {
    hash.wrapping_shr(56) as usize
}

/// RFC 7541 Appendix A.
const ENTRIES: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

const TEXT_LENGTH: usize = {
    let mut sum = 0;
    let mut i = 0;
    while i < ENTRIES.len() {
        sum += ENTRIES[i].0.len() + ENTRIES[i].1.len();
        i += 1;
    }
    sum
};

/// All names and values, one after the other.
pub(super) static TEXT: [u8; TEXT_LENGTH] = {
    let mut text = [0; TEXT_LENGTH];
    let mut at = 0;
    let mut i = 0;
    while i < ENTRIES.len() {
        let pair = [ENTRIES[i].0.as_bytes(), ENTRIES[i].1.as_bytes()];
        let mut part = 0;
        while part < 2 {
            let mut j = 0;
            while j < pair[part].len() {
                text[at] = pair[part][j];
                at += 1;
                j += 1;
            }
            part += 1;
        }
        i += 1;
    }
    text
};

pub(super) static TABLE: [Entry; 61] = {
    let mut table = [Entry { at: 0, name: 0, value: 0 }; 61];
    let mut at = 0;
    let mut i = 0;
    while i < ENTRIES.len() {
        let (name, value) = (ENTRIES[i].0.len(), ENTRIES[i].1.len());
        table[i] = Entry { at: at as u16, name: name as u8, value: value as u8 };
        at += name + value;
        i += 1;
    }
    table
};

/// By the index of the first entry with a name: how many entries with that name there are, one after the other; but 0 where
/// it is one, without a value.
pub(super) static VALUES: [u8; 62] = {
    let mut counts = [0; 62];
    let mut first = 0;
    let mut i = 0;
    while i < ENTRIES.len() {
        if !equal(ENTRIES[first].0, ENTRIES[i].0) {
            first = i;
        }
        if i != first || !ENTRIES[i].1.is_empty() {
            counts[first + 1] += 1;
        }
        i += 1;
    }
    counts
};

/// By [`place`]: the first entry with a name, or 0. A perfect hash: that no two names meet is checked here, when this
/// is compiled.
pub(super) static BY_HASH: [u8; PLACES] = {
    let mut places = [0; PLACES];
    let mut i = 0;
    while i < ENTRIES.len() {
        if i == 0 || !equal(ENTRIES[i - 1].0, ENTRIES[i].0) {
            let at = place(hash(0, ENTRIES[i].0.as_bytes()));
            assert!(
                places[at] == 0,
                "two names of the static table fall into one place: choose another multiplier"
            );
            places[at] = i as u8 + 1;
        }
        i += 1;
    }
    places
};

const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}
