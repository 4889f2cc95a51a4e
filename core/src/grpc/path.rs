//! `:path` of a call: `/` Service-Name `/` method name (gRPC/HTTP2, "Requests"), case-sensitive.

/// Whether a client may send it: begins with `/`, and visible ASCII only.
pub fn is_valid(path: &[u8]) -> bool {
    path.first() == Some(&b'/') && path.iter().all(u8::is_ascii_graphic)
}

/// Service and method: the method is what follows the last slash.
///
/// ```
/// use grpclb_core::grpc::path;
/// assert_eq!(path::split(b"/helloworld.Greeter/SayHello"), Some((&b"helloworld.Greeter"[..], &b"SayHello"[..])));
/// assert_eq!(path::split(b"/nothing"), None);
/// ```
pub fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = path.strip_prefix(b"/")?;
    let slash = path.iter().rposition(|&octet| octet == b'/')?;
    let (service, method) = path.split_at_checked(slash)?;
    Some((service, method.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_paths() {
        assert!(is_valid(b"/a.B/C"));
        for bad in ["", "a/B", "/a b/C", "/a/\u{7f}", "/ü/C", "/a/B\n"] {
            assert!(!is_valid(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn the_method_follows_the_last_slash() {
        assert_eq!(split(b"/a/b/c"), Some((&b"a/b"[..], &b"c"[..])));
        assert_eq!(split(b"//"), Some((&b""[..], &b""[..])));
        assert_eq!(split(b"a/b"), None);
        assert_eq!(split(b""), None);
    }
}
