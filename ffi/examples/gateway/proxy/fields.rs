//! Header fields on their way through: which of a client's become metadata, which of a backend's become header fields.

use grpclb::core::bytes::Fields;
use grpclb::core::grpc::metadata;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// Tells the client which backend served it.
pub(crate) const PEER: &str = "grpclb-peer";

/// Fields of HTTP's own, beside those that gRPC reserves: of this hop (RFC 9110 §7.6.1), of the body, or for the gateway.
fn is_http(name: &[u8]) -> bool {
    matches!(
        name,
        b"accept"
            | b"accept-encoding"
            | b"content-encoding"
            | b"content-length"
            | b"date"
            | b"expect"
            | b"proxy-authenticate"
            | b"proxy-authorization"
            | b"trailer"
            | b"vary"
            | b"x-grpc-web"
    ) || name.starts_with(b"access-control-")
        || name == PEER.as_bytes()
}

/// Whether metadata may go on: gRPC allows it, and it is not of another layer.
pub(crate) fn may_leave(name: &[u8], value: &[u8]) -> bool {
    metadata::check(name, value).is_ok() && !is_http(name)
}

/// A request's metadata, `-bin` values decoded. What gRPC does not allow is left out, as core's `web` does.
pub(crate) fn metadata_of(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let of_hop = named_by_connection(headers);
    let mut entries = Vec::new();
    for (name, value) in headers {
        let value = metadata::trim(value.as_bytes());
        let name = name.as_str();
        if !may_leave(name.as_bytes(), value) || of_hop.iter().any(|other| other == name) {
            continue;
        }
        if !metadata::is_binary(name.as_bytes()) {
            entries.push((name.to_owned(), value.to_vec()));
            continue;
        }
        for text in metadata::split(value) {
            let mut text = text.to_vec();
            if let Some(len) = metadata::decode_in_place(&mut text) {
                text.truncate(len);
                entries.push((name.to_owned(), text));
            }
        }
    }
    entries
}

/// Names that Connection lists: theirs end here (RFC 9110 §7.6.1).
fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all("connection").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// Those of a backend's metadata that may go on.
pub(crate) fn leaving(entries: &Entries) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    let entries = entries.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    entries.filter(|(name, value)| may_leave(name, value))
}

/// Appends a field, unless HTTP does not allow it.
pub(crate) fn put(headers: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        headers.append(name, value);
    }
}

/// Packed fields as a map.
pub(crate) fn map(fields: Fields<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        put(&mut headers, name, value);
    }
    headers
}

/// Metadata that outlives what it was lent from.
pub(crate) type Entries = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) fn owned<'f>(metadata: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Entries {
    metadata.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}
