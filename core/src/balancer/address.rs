//! IP addresses as text. (`core::net`'s parser leaves a panic path in the binary.)

use crate::bytes::Exact;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// Octets before the place that is wrong.
    pub at: u32,
    /// What should stand there.
    pub expected: &'static str,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: expected {}", self.at.saturating_add(1), self.expected)
    }
}
impl core::error::Error for AddressError {}

const IP: &str = "an IP address";
const IPV6: &str = "an IPv6 address";
const ZONE: &str = "the number of an interface";
const BRACKET: &str = "`]`";
pub(super) const PORT: &str = "a port from 1 to 65535";
const COLON: &str = "`:` and a port";

/// An error `at` octets into the text.
pub(super) fn error<T>(at: usize, expected: &'static str) -> Result<T, AddressError> {
    Err(AddressError { at: u32::try_from(at).unwrap_or(u32::MAX), expected })
}

/// `A`, `A:P`, `[A]` or `[A]:P`, and an IPv6 address without brackets (which then has no port).
pub(super) fn ip_and_port(text: &str) -> Result<(IpAddr, u32, Option<u16>), AddressError> {
    let bytes = text.as_bytes();
    if bytes.first() == Some(&b'[') {
        let Some(close) = bytes.iter().position(|&b| b == b']') else { return error(bytes.len(), BRACKET) };
        let (ip, zone) = ipv6(bytes.get(1..close).unwrap_or_default()).map_err(|e| moved(e, 1))?;
        let after = close.plus(1);
        return match bytes.get(after..).unwrap_or_default() {
            [] => Ok((IpAddr::V6(ip), zone, None)),
            [b':', digits @ ..] => Ok((IpAddr::V6(ip), zone, Some(port(digits, after.plus(1))?))),
            _ => error(after, COLON),
        };
    }
    let mut colons = bytes.iter().enumerate().filter(|(_, b)| **b == b':').map(|(at, _)| at);
    match (colons.next(), colons.next()) {
        (None, _) => Ok((IpAddr::V4(ipv4(bytes)?), 0, None)),
        (Some(colon), None) => {
            let ip = ipv4(bytes.get(..colon).unwrap_or_default())?;
            let at = colon.plus(1);
            Ok((IpAddr::V4(ip), 0, Some(port(bytes.get(at..).unwrap_or_default(), at)?)))
        }
        _ => {
            let (ip, zone) = ipv6(bytes)?;
            Ok((IpAddr::V6(ip), zone, None))
        }
    }
}

/// Joined again; the zone counts for IPv6 only.
pub(super) fn socket(ip: IpAddr, zone: u32, port: u16) -> SocketAddr {
    match ip {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V4(ip), port),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, zone)),
    }
}

fn moved(e: AddressError, by: u32) -> AddressError {
    AddressError { at: e.at.saturating_add(by), ..e }
}

/// 1 to 65535, `at` octets into the text.
pub(super) fn port(digits: &[u8], at: usize) -> Result<u16, AddressError> {
    match decimal(digits, 5).and_then(|value| u16::try_from(value).ok()) {
        Some(port) if port > 0 => Ok(port),
        _ => error(at, PORT),
    }
}

/// Up to `most` decimal digits, at least one.
pub(super) fn decimal(digits: &[u8], most: usize) -> Option<u32> {
    if digits.is_empty() || digits.len() > most {
        return None;
    }
    digits.iter().try_fold(0u32, |value, digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

fn ipv4(text: &[u8]) -> Result<Ipv4Addr, AddressError> {
    let mut octets = [0u8; 4];
    let mut parts = text.split(|&b| b == b'.');
    for octet in &mut octets {
        // A leading zero could mean octal: refused, as everywhere today (RFC 6943 §3.1.1).
        let part = parts.next().filter(|part| part.len() == 1 || part.first() != Some(&b'0'));
        match part.and_then(|part| decimal(part, 3)).and_then(|value| u8::try_from(value).ok()) {
            Some(value) => *octet = value,
            None => return error(0, IP),
        }
    }
    if parts.next().is_some() { error(0, IP) } else { Ok(Ipv4Addr::from(octets)) }
}

/// RFC 4291 §2.2, and `%` and a zone's number (RFC 4007 §11; names of interfaces are the system's business).
fn ipv6(text: &[u8]) -> Result<(Ipv6Addr, u32), AddressError> {
    let mut halves = text.splitn(2, |&b| b == b'%');
    let address = halves.next().unwrap_or_default();
    let zone = match halves.next() {
        None => 0,
        Some(digits) => match decimal(digits, 10) {
            Some(zone) => zone,
            None => return error(address.len().plus(1), ZONE),
        },
    };
    let mut segments = [0u16; 8];
    let mut filled = 0usize;
    let mut gap = None; // where `::` stands
    let mut rest = address;
    if let [b':', b':', tail @ ..] = rest {
        gap = Some(0);
        rest = tail;
    }
    while !rest.is_empty() {
        let end = rest.iter().position(|&b| b == b':').unwrap_or(rest.len());
        let part = rest.get(..end).unwrap_or_default();
        if part.contains(&b'.') {
            // The last 32 bits in IPv4's form.
            let Ok(v4) = ipv4(part) else { return error(0, IPV6) };
            let [a, b, c, d] = v4.octets();
            if end != rest.len() || !put(&mut segments, &mut filled, u16::from_be_bytes([a, b])) {
                return error(0, IPV6);
            }
            if !put(&mut segments, &mut filled, u16::from_be_bytes([c, d])) {
                return error(0, IPV6);
            }
            break;
        }
        match hex(part) {
            Some(value) if put(&mut segments, &mut filled, value) => {}
            _ => return error(0, IPV6),
        }
        rest = rest.get(end..).unwrap_or_default();
        rest = match rest {
            [b':', b':', tail @ ..] if gap.is_none() => {
                gap = Some(filled);
                tail
            }
            [b':', tail @ ..] if !tail.is_empty() && tail.first() != Some(&b':') => tail,
            [] => rest,
            _ => return error(0, IPV6),
        };
    }
    match gap {
        None if filled == 8 => {}
        Some(gap) if filled < 8 => {
            // What was read after `::` moves to the end.
            let shift = 8usize.minus(filled);
            for at in (gap..filled).rev() {
                let value = segments.get_mut(at).map(core::mem::take).unwrap_or_default();
                if let Some(place) = segments.get_mut(at.plus(shift)) {
                    *place = value;
                }
            }
        }
        _ => return error(0, IPV6),
    }
    Ok((Ipv6Addr::from(segments), zone))
}

fn put(segments: &mut [u16; 8], filled: &mut usize, value: u16) -> bool {
    match segments.get_mut(*filled) {
        Some(place) => {
            *place = value;
            *filled = filled.plus(1);
            true
        }
        None => false,
    }
}

fn hex(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    digits.iter().try_fold(0u16, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value.wrapping_shl(4) | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "01.2.3.4",
            "1.2.3.4 ",
            "",
            ".",
            "1..2.3",
            "::",
            "::1",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7",
            "::ffff:1.2.3.4",
            "::1.2.3.4",
            "1:2:3:4:5:6:1.2.3.4",
            "1:2:3:4:5:6:7:1.2.3.4",
            "::1.2.3.4:5",
            "1::2::3",
            ":1",
            "1:",
            ":::",
            "1:::2",
            "fe80::1",
            "12345::",
            "g::",
            "1:2:3:4::5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "a:B:c:D:e:F:0:1",
        ] {
            let std: Option<IpAddr> = text.parse().ok();
            let ours = ip_and_port(text).ok().filter(|(_, _, port)| port.is_none()).map(|(ip, _, _)| ip);
            assert_eq!(ours, std, "{text:?}");
            let bracketed = std::format!("[{text}]:80");
            let std: Option<SocketAddr> = bracketed.parse().ok();
            let ours =
                ip_and_port(&bracketed).ok().map(|(ip, zone, port)| socket(ip, zone, port.unwrap_or(0)));
            assert_eq!(ours, std, "{bracketed:?}");
        }
    }

    #[test]
    fn errors_name_the_place() {
        for (text, at, expected) in [
            ("10.0.0.1:", 9, PORT),
            ("10.0.0.1:0", 9, PORT),
            ("10.0.0.1:65536", 9, PORT),
            ("10.0.0.1:http", 9, PORT),
            ("[::1", 4, BRACKET),
            ("[::1]x", 5, COLON),
            ("[::1]:x", 6, PORT),
            ("[::1%eth0]:1", 5, ZONE),
            ("[nonsense]:1", 1, IPV6),
            ("example.com:1", 0, IP),
        ] {
            assert_eq!(ip_and_port(text), error(at, expected), "{text:?}");
        }
    }
}
