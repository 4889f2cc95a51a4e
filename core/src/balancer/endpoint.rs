//! What a resolver says: endpoints and their addresses.

use super::address::{self, AddressError};
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// Where one connection goes. `Display` writes it as lists and weights have it (`10.0.0.1:443`, `[::1]:443`,
/// `unix:/path`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address<'a> {
    /// TCP.
    Ip(SocketAddr),
    /// A Unix socket's path; abstract when it begins with a NUL.
    Unix(&'a [u8]),
    /// Anything else (a URL, say), opaque to the balancer.
    Other(&'a [u8]),
}

impl<'a> Address<'a> {
    /// Reads `10.0.0.1:443`, `[::1]:443`, `[fe80::1%2]:443` or `unix:PATH`.
    ///
    /// ```
    /// use grpclb_core::balancer::Address;
    /// assert_eq!(Address::parse("unix:/run/a.sock"), Ok(Address::Unix(b"/run/a.sock")));
    /// let error = Address::parse("10.0.0.1:http").unwrap_err();
    /// assert_eq!((error.at, error.expected), (9, "a port from 1 to 65535"));
    /// ```
    pub fn parse(text: &'a str) -> Result<Address<'a>, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                address::error(text.len(), "the path of a Unix socket")
            } else {
                Ok(Address::Unix(path.as_bytes()))
            };
        }
        match address::ip_and_port(text)? {
            (ip, zone, Some(port)) => Ok(Address::Ip(address::socket(ip, zone, port))),
            (_, _, None) => address::error(text.len(), "`:` and a port"),
        }
    }

    /// The text of an address that is not IP.
    pub(super) fn bytes(&self) -> &'a [u8] {
        match *self {
            Address::Ip(_) => &[],
            Address::Unix(text) | Address::Other(text) => text,
        }
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(ip) => fmt::Display::fmt(ip, f),
            Address::Unix([0, name @ ..]) => write!(f, "unix-abstract:{}", name.escape_ascii()),
            Address::Unix(path) => write!(f, "unix:{}", path.escape_ascii()),
            Address::Other(text) => write!(f, "{}", text.escape_ascii()),
        }
    }
}

/// One backend: its addresses are alternatives.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// In order of preference.
    pub addresses: &'a [Address<'a>],
    /// What the resolver says of it; 1 when it says nothing.
    pub weight: u32,
}

/// What Happy Eyeballs takes in turn (RFC 8305 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
    Other,
}

/// An address in 24 octets: what a subchannel remembers and is found by. Text lies in the storage, its key has a hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// Kind, port and zone; or kind and length.
    head: u64,
    /// The address; or the text's hash.
    high: u64,
    low: u64,
}

const V4: u64 = 1;
const V6: u64 = 2;
const UNIX: u64 = 3;
const OTHER: u64 = 4;

impl Key {
    pub(super) const NONE: Key = Key { head: 0, high: 0, low: 0 };

    pub(super) fn of(address: &Address<'_>) -> Key {
        match address {
            Address::Ip(SocketAddr::V4(ip)) => {
                Key { head: V4 | u64::from(ip.port()) << 16, high: 0, low: u64::from(u32::from(*ip.ip())) }
            }
            Address::Ip(SocketAddr::V6(ip)) => {
                let bits = u128::from(*ip.ip());
                let head = V6 | u64::from(ip.port()) << 16 | u64::from(ip.scope_id()) << 32;
                Key { head, high: (bits >> 64) as u64, low: bits as u64 }
            }
            Address::Unix(text) => Key::text(UNIX, text),
            Address::Other(text) => Key::text(OTHER, text),
        }
    }

    fn text(kind: u64, text: &[u8]) -> Key {
        let high = text.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3) // FNV-1a
        });
        Key { head: kind | (text.len() as u64) << 16, high, low: 0 }
    }

    /// The address again; `text` is what [`Address::bytes`] was.
    pub(super) fn address<'a>(&self, text: &'a [u8]) -> Address<'a> {
        let port = (self.head >> 16) as u16;
        match self.head & 0xffff {
            V4 => Address::Ip(address::socket(IpAddr::V4((self.low as u32).into()), 0, port)),
            V6 => {
                let bits = u128::from(self.high) << 64 | u128::from(self.low);
                Address::Ip(address::socket(IpAddr::V6(bits.into()), (self.head >> 32) as u32, port))
            }
            UNIX => Address::Unix(text),
            _ => Address::Other(text),
        }
    }

    /// The same address with every port, for weights of an IP alone. Text has no such key.
    pub(super) fn without_port(&self) -> Key {
        match self.head & 0xffff {
            V4 | V6 => Key { head: self.head & !0xffff_0000, ..*self },
            _ => *self,
        }
    }

    pub(super) fn family(&self) -> Family {
        match self.head & 0xffff {
            V4 => Family::V4,
            // A mapped address goes out over IPv4.
            V6 if self.high == 0 && self.low >> 32 == 0xffff => Family::V4,
            V6 => Family::V6,
            _ => Family::Other,
        }
    }

    /// The length of the text, if it is one.
    pub(super) fn text_len(&self) -> Option<usize> {
        match self.head & 0xffff {
            UNIX | OTHER => usize::try_from(self.head >> 16).ok(),
            _ => None,
        }
    }

    pub(super) fn hash(&self, seed: u64) -> u32 {
        let mix = |a: u64, b: u64| (a ^ b).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let mixed = mix(mix(mix(seed, self.head), self.high), self.low);
        (mixed ^ mixed >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_addresses_apart_and_give_them_back() {
        let addresses = [
            Address::parse("10.0.0.1:80").unwrap(),
            Address::parse("10.0.0.1:81").unwrap(),
            Address::parse("10.0.0.2:80").unwrap(),
            Address::parse("[::a00:1]:80").unwrap(),
            Address::parse("[fe80::1%3]:80").unwrap(),
            Address::parse("[fe80::1%4]:80").unwrap(),
            Address::Unix(b"/run/a"),
            Address::Unix(b"\0a"),
            Address::Other(b"/run/a"),
            Address::Other(b""),
        ];
        for (i, a) in addresses.iter().enumerate() {
            assert_eq!(Key::of(a).address(a.bytes()), *a);
            for (j, b) in addresses.iter().enumerate() {
                assert_eq!(Key::of(a) == Key::of(b), i == j, "{a} {b}");
            }
        }
        assert_eq!(Key::of(&addresses[0]).without_port(), Key::of(&addresses[1]).without_port());
        assert_ne!(Key::of(&addresses[4]).without_port(), Key::of(&addresses[5]).without_port());
    }

    #[test]
    fn display_is_what_parse_reads() {
        for text in ["10.0.0.1:80", "[::1]:80", "[fe80::1%3]:80", "unix:/run/a.sock"] {
            assert_eq!(std::format!("{}", Address::parse(text).unwrap()), text);
        }
        assert_eq!(std::format!("{}", Address::Unix(b"\0name")), "unix-abstract:name");
    }
}
