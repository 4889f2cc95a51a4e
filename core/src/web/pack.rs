//! Packing fields that arrived: lower-case names, the protocol's own left out, `-bin` values raw.

use crate::bytes::{Exact, Writer};
use crate::grpc::metadata;

/// Packs a field of the peer at the front of `list` and returns the octets it takes: none when it is the protocol's own,
/// `None` when there is no room. Values of a `-bin` field that commas join become fields of their own; one that is not
/// base64 is left out, since no metadata may hide the call's status.
pub(super) fn pack(list: &mut [u8], name: &[u8], value: &[u8]) -> Option<usize> {
    let front = LENGTHS.plus(name.len());
    entry(list, name, &[])?;
    let own = list.get(LENGTHS..front)?;
    if metadata::is_reserved(own) {
        return Some(0);
    }
    if !metadata::is_binary(own) {
        return Some(entry(list, name, value.trim_ascii())?.len());
    }
    let mut at = 0usize;
    for text in metadata::split(value) {
        let entry = entry(list.get_mut(at..)?, name, text)?;
        let Some(len) = metadata::decode_in_place(entry.get_mut(front..)?) else { continue };
        crate::bytes::copy(entry.get_mut(2..4)?, &u16::try_from(len).ok()?.to_be_bytes());
        at = at.plus(front).plus(len);
    }
    Some(at)
}

const LENGTHS: usize = 4;

/// Writes an entry with a lower-case name at the front of `list`; all of it.
fn entry<'l>(list: &'l mut [u8], name: &[u8], value: &[u8]) -> Option<&'l mut [u8]> {
    let (names, values) = (u16::try_from(name.len()).ok()?, u16::try_from(value.len()).ok()?);
    let mut to = Writer::new(list);
    to.put_u16(names);
    to.put_u16(values);
    to.put(name);
    to.put(value);
    let len = to.finish()?;
    let entry = list.get_mut(..len)?;
    entry.get_mut(LENGTHS..LENGTHS.plus(name.len()))?.make_ascii_lowercase();
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Fields;

    fn packed(name: &[u8], value: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut list = [0; 200];
        let n = pack(&mut list, name, value).unwrap();
        for room in 0..n {
            assert_eq!(pack(&mut vec![0; room], name, value), None);
        }
        Fields::new(&list[..n]).map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn fields() {
        let field = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
        assert_eq!(packed(b"X-Note", b" a, b "), [field("x-note", b"a, b")]);
        assert_eq!(packed(b"x-bin", b"q6ur"), [field("x-bin", b"\xab\xab\xab")]);
        assert_eq!(
            packed(b"X-Bin", b"AA==, ,*,AQ"),
            ["\0", "", "\x01"].map(|v| field("x-bin", v.as_bytes()))
        );
        for own in ["Grpc-Status", "content-type", "te", ":status"] {
            assert_eq!(packed(own.as_bytes(), b"1"), [], "{own}");
        }
        assert_eq!(pack(&mut [0; 70_000], b"a", &[b'x'; 65_536]), None);
    }
}
