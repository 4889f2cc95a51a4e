//! Header lists to send: gRPC's own fields first, in the order of gRPC/HTTP2, then custom metadata.

use crate::bytes::{Exact, Writer};
use crate::grpc::{metadata, path};
use crate::hpack::{Field, Indexing};
use crate::time::Duration;

/// Custom metadata as an application hands it over: lower-case names, `-bin` values raw.
pub(super) type Metadata<'a> = [(&'a [u8], &'a [u8])];

/// `user-agent` when the application gives none: `grpc-` language `/` version (gRPC/HTTP2, "User Agents").
pub(super) const USER_AGENT: &[u8] = concat!("grpc-libgrpclb/", env!("CARGO_PKG_VERSION")).as_bytes();

/// `content-type`, both ways.
pub(super) const CONTENT_TYPE: &[u8] = b"application/grpc";

/// The head of a call to start. Timeout and metadata are checked; `-bin` values are raw here and become base64.
///
/// ```
/// use grpclb_core::call::CallHead;
/// let head = CallHead { path: b"/helloworld.Greeter/SayHello", authority: b"localhost", ..CallHead::default() };
/// assert!(!head.secure && head.timeout.is_none());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CallHead<'a> {
    /// `/package.Service/Method`.
    pub path: &'a [u8],
    /// `:authority`; left out when empty.
    pub authority: &'a [u8],
    /// Whether `:scheme` is https.
    pub secure: bool,
    /// Deadline from now: the connection ends the call itself when it passes, and sends `grpc-timeout`.
    pub timeout: Option<Duration>,
    /// Custom metadata, lower-case names, in order.
    pub metadata: &'a [(&'a [u8], &'a [u8])],
    /// `user-agent`; empty: `grpc-libgrpclb/VERSION`.
    pub user_agent: &'a [u8],
}

impl CallHead<'_> {
    /// Whether path, authority and user agent may stand in a header.
    pub(super) fn is_valid(&self) -> bool {
        path::is_valid(self.path)
            && self.authority.iter().all(u8::is_ascii_graphic)
            && self.user_agent.iter().all(|octet| matches!(octet, b' '..=b'~'))
    }
}

/// A field that is the same in many calls: both sides' tables learn it.
pub(super) const fn common<'f>(name: &'static [u8], value: &'f [u8]) -> Field<'f> {
    Field { name, value, indexing: Indexing::Incremental }
}

/// A field that is another in each call.
pub(super) const fn unique<'f>(name: &'static [u8], value: &'f [u8]) -> Field<'f> {
    Field { name, value, indexing: Indexing::Without }
}

/// Checks metadata to send; the index of the first bad entry.
pub(super) fn check(entries: &Metadata<'_>) -> Result<(), u16> {
    match entries.iter().position(|(name, value)| metadata::check(name, value).is_err()) {
        Some(bad) => Err(u16::try_from(bad).unwrap_or(u16::MAX)),
        None => Ok(()),
    }
}

/// Octets that the base64 forms of `entries` take.
pub(super) fn base64_len(entries: &Metadata<'_>) -> usize {
    entries
        .iter()
        .filter(|(name, _)| metadata::is_binary(name))
        .fold(0, |sum: usize, (_, value)| sum.saturating_add(metadata::encoded_len(value.len())))
}

/// A header list: fixed fields, then metadata, whose `-bin` values lie encoded, one after the other, in `base64`.
#[derive(Clone, Debug)]
pub(super) struct List<'f> {
    fixed: core::slice::Iter<'f, Field<'f>>,
    custom: core::slice::Iter<'f, (&'f [u8], &'f [u8])>,
    base64: &'f [u8],
}

impl<'f> List<'f> {
    /// The list; `scratch` has room for [`base64_len`] octets.
    pub(super) fn new(fixed: &'f [Field<'f>], custom: &'f Metadata<'f>, scratch: &'f mut [u8]) -> List<'f> {
        let mut base64 = Writer::new(scratch);
        for (_, value) in custom.iter().filter(|(name, _)| metadata::is_binary(name)) {
            metadata::encode(value, &mut base64);
        }
        let len = base64.len();
        List { fixed: fixed.iter(), custom: custom.iter(), base64: scratch.get(..len).unwrap_or_default() }
    }
}

impl<'f> Iterator for List<'f> {
    type Item = Field<'f>;

    #[inline]
    fn next(&mut self) -> Option<Field<'f>> {
        if let Some(field) = self.fixed.next() {
            return Some(*field);
        }
        let (name, value) = *self.custom.next()?;
        if metadata::is_binary(name) {
            let (value, rest) = self.base64.split_at_checked(metadata::encoded_len(value.len()))?;
            self.base64 = rest;
            return Some(Field { name, value, indexing: Indexing::Without });
        }
        let value = metadata::trim(value);
        Some(Field { name, value, indexing: indexing(name, value) })
    }
}

/// How a custom field is sent. Credentials are in no table on the way (RFC 7541 §7.1.3); long values are not worth
/// their room in the table.
fn indexing(name: &[u8], value: &[u8]) -> Indexing {
    match name {
        b"authorization" | b"proxy-authorization" | b"cookie" | b"set-cookie" => Indexing::Never,
        _ if value.len() > 128 => Indexing::Without,
        _ => Indexing::Incremental,
    }
}

/// The protocol's own fields of a list.
#[derive(Debug)]
pub(super) struct Fixed<'f> {
    fields: [Field<'f>; 8],
    len: usize,
}

impl<'f> Fixed<'f> {
    /// None yet.
    pub(super) const fn new() -> Fixed<'f> {
        Fixed { fields: [common(b"", b""); 8], len: 0 }
    }

    /// Appends a field; there are never more than eight.
    pub(super) fn push(&mut self, field: Field<'f>) {
        debug_assert!(self.len < self.fields.len());
        if let Some(place) = self.fields.get_mut(self.len) {
            *place = field;
            self.len = self.len.plus(1);
        }
    }

    /// The fields.
    pub(super) fn as_slice(&self) -> &[Field<'f>] {
        self.fields.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_fields_follow_the_fixed_ones() {
        let fixed = [common(b":status", b"200")];
        let custom: &[(&[u8], &[u8])] =
            &[(b"a-bin", &[0xab; 3]), (b"b", b"  spaces  "), (b"c-bin", b"f"), (b"authorization", b"x")];
        assert_eq!(base64_len(custom), 6);
        let mut scratch = [0; 6];
        let list: Vec<_> = List::new(&fixed, custom, &mut scratch).collect();
        let plain: Vec<_> = list.iter().map(|field| (field.name, field.value)).collect();
        let expected: [(&[u8], &[u8]); 5] = [
            (b":status", b"200"),
            (b"a-bin", b"q6ur"),
            (b"b", b"spaces"),
            (b"c-bin", b"Zg"),
            (b"authorization", b"x"),
        ];
        assert_eq!(plain, expected);
        assert_eq!(list[4].indexing, Indexing::Never);
    }

    #[test]
    fn the_first_bad_entry_is_named() {
        assert_eq!(check(&[(b"a", b"1"), (b"A", b"2"), (b"te", b"3")]), Err(1));
        assert_eq!(check(&[(b"a", b"1"), (b"te", b"3")]), Err(1));
        assert_eq!(check(&[]), Ok(()));
    }
}
