//! Target URIs (grpc/doc/naming.md, RFC 3986).

use super::address::{self, AddressError};
use super::text::{cut, cut_last, parts};
use crate::bytes::Exact;
use core::fmt::{self, Write};
use core::net::SocketAddr;

/// Where a channel's endpoints come from.
///
/// ```
/// use grpclb_core::balancer::Target;
/// let target = Target::parse("ipv4:10.0.0.1:50051,10.0.0.2").unwrap();
/// assert_eq!(target.authority().to_string(), "10.0.0.1:50051");
/// let Target::Addresses(addresses) = target else { unreachable!() };
/// assert_eq!(addresses.map(|a| a.to_string()).collect::<Vec<_>>(), ["10.0.0.1:50051", "10.0.0.2:443"]);
///
/// let error = Target::parse("dns:///greeter:grpc").unwrap_err();
/// assert_eq!(error.to_string(), "target, column 16: expected a port from 1 to 65535");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target<'t> {
    /// `dns:[//AUTHORITY/]HOST[:PORT]`, or no scheme. An IP address as host needs no look-up: the resolver answers it
    /// once.
    Dns {
        /// The name server to ask; empty: the system's.
        authority: &'t str,
        /// Without brackets.
        host: Text<'t>,
        /// 443 when not given.
        port: u16,
    },
    /// `ipv4:A[:P][,…]` or `ipv6:[A]:P[,…]`: static.
    Addresses(Addresses<'t>),
    /// `unix:PATH` or `unix:///ABSOLUTE`.
    Unix(Text<'t>),
    /// `unix-abstract:NAME` (without the leading NUL).
    UnixAbstract(Text<'t>),
    /// `file:///PATH`: an [`EndpointList`](super::EndpointList), read again when it changes.
    File(Text<'t>),
}

/// A target that is wrong. `Display`: `target, column 6: expected …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetError {
    /// Octets before the place that is wrong.
    pub at: u32,
    /// What should stand there.
    pub expected: &'static str,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "target, column {}: expected {}", self.at.saturating_add(1), self.expected)
    }
}
impl core::error::Error for TargetError {}

const DEFAULT_PORT: u16 = 443;
const HOST: &str = "a host name or address";
const SCHEME: &str = "dns:, ipv4:, ipv6:, unix:, unix-abstract:, file: or host:port";
const SLASHES: &str = "`/` after the authority (as in dns:///host:port)";
const NO_AUTHORITY: &str = "`/`: this scheme has no authority (as in unix:///path)";

type Result<T> = core::result::Result<T, TargetError>;

fn error<T>(at: usize, expected: &'static str) -> Result<T> {
    Err(TargetError { at: u32::try_from(at).unwrap_or(u32::MAX), expected })
}

/// A part of the target and where it stands in it.
#[derive(Clone, Copy)]
struct Part<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Part<'t> {
    /// What follows the first `n` octets.
    fn after(&self, n: usize) -> Part<'t> {
        Part { text: self.text.get(n..).unwrap_or_default(), at: self.at.saturating_add(n) }
    }
}

impl<'t> Target<'t> {
    /// Reads a target. An unknown scheme means `dns:///` and the whole text, as gRPC prescribes.
    pub fn parse(text: &'t str) -> Result<Target<'t>> {
        let whole = Part { text, at: 0 };
        let (scheme, Some(_)) = cut(text, b':') else { return dns("", whole) };
        let rest = whole.after(scheme.len().plus(1));
        let is = |name: &str| scheme.eq_ignore_ascii_case(name);
        if is("dns") {
            let (authority, host) = split_authority(rest)?;
            dns(authority, host)
        } else if is("ipv4") || is("ipv6") {
            addresses(without_authority(rest)?, is("ipv6"))
        } else if is("unix") {
            let path = without_authority_keep_slash(rest)?;
            Ok(Target::Unix(Text::checked(path, "the path of a socket")?))
        } else if is("unix-abstract") {
            Ok(Target::UnixAbstract(Text::checked(rest, "the name of a socket")?))
        } else if is("file") {
            let path = without_authority_keep_slash(rest)?;
            if !path.text.starts_with('/') {
                return error(path.at, "an absolute path (as in file:///path)");
            }
            Ok(Target::File(Text::checked(path, "a path")?))
        } else if rest.text.starts_with("//") {
            error(0, SCHEME) // no host name has slashes: say so before a look-up fails
        } else {
            dns("", whole)
        }
    }

    /// What goes into `:authority` when the application gives nothing (`Display`): the host as the target has it, of a
    /// list the first, `localhost` where there is none.
    pub fn authority(&self) -> Authority<'t> {
        Authority(match *self {
            Target::Dns { host, port, .. } => Kind::Host { host: host.raw, port },
            Target::Addresses(list) => Kind::Listed(list.first()),
            Target::Unix(_) | Target::UnixAbstract(_) | Target::File(_) => Kind::Localhost,
        })
    }
}

/// `//AUTHORITY/REST`, or `REST`.
fn split_authority(rest: Part<'_>) -> Result<(&str, Part<'_>)> {
    let Some(after) = rest.text.strip_prefix("//") else { return Ok(("", rest)) };
    match cut(after, b'/') {
        (authority, Some(_)) => Ok((authority, rest.after(authority.len().plus(3)))),
        _ => error(rest.at.saturating_add(rest.text.len()), SLASHES),
    }
}

fn without_authority(rest: Part<'_>) -> Result<Part<'_>> {
    match split_authority(rest)? {
        ("", path) => Ok(path),
        _ => error(rest.at.saturating_add(2), NO_AUTHORITY),
    }
}

fn without_authority_keep_slash(rest: Part<'_>) -> Result<Part<'_>> {
    if !rest.text.starts_with("//") {
        return Ok(rest);
    }
    if rest.text.starts_with("///") {
        Ok(rest.after(2))
    } else {
        error(rest.at.saturating_add(2), NO_AUTHORITY)
    }
}

/// `HOST`, `HOST:PORT`, `:PORT` (localhost), `[V6]`, `[V6]:PORT`, `V6`.
fn dns<'t>(authority: &'t str, part: Part<'t>) -> Result<Target<'t>> {
    let text = part.text;
    let (host, port) = if text.starts_with('[') {
        let inner = part.after(1);
        let (address, Some(_)) = cut(inner.text, b']') else {
            return error(part.at.saturating_add(text.len()), "`]`");
        };
        let host = Part { text: address, at: inner.at };
        let after = inner.after(address.len().plus(1));
        match after.text.strip_prefix(':') {
            Some(_) => (host, Some(after.after(1))),
            None if after.text.is_empty() => (host, None),
            None => return error(after.at, "`:` and a port"),
        }
    } else {
        match cut(text, b':') {
            (name, Some(port)) if !port.contains(':') => {
                let host = if name.is_empty() { "localhost" } else { name };
                (Part { text: host, at: part.at }, Some(part.after(name.len().plus(1))))
            }
            _ => (part, None), // none, or an IPv6 address without brackets
        }
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => address::port(port.text.as_bytes(), port.at).map_err(moved_by(0))?,
    };
    if host.text.contains(':') || text.starts_with('[') {
        // The zone may be a name here: that is the system's business.
        let (address, _) = cut(host.text, b'%');
        let (ip, _, _) = address::ip_and_port(address).map_err(moved_by(host.at))?;
        if ip.is_ipv4() {
            return error(host.at, "an IPv6 address");
        }
    }
    let strange = |b: u8| b <= b' ' || b == 0x7f || b"/?#@[]\\\"<>".contains(&b);
    if let Some(at) = host.text.bytes().position(strange) {
        return error(host.at.saturating_add(at), HOST);
    }
    Ok(Target::Dns { authority, host: Text::checked(host, HOST)?, port })
}

fn moved_by(by: usize) -> impl Fn(AddressError) -> TargetError {
    let by = u32::try_from(by).unwrap_or(u32::MAX);
    move |e| TargetError { at: e.at.saturating_add(by), expected: e.expected }
}

fn addresses<'t>(part: Part<'t>, v6: bool) -> Result<Target<'t>> {
    let mut at = part.at;
    for item in parts(part.text, b',') {
        let (ip, _, _) = address::ip_and_port(item).map_err(moved_by(at))?;
        if ip.is_ipv6() != v6 {
            return error(at, if v6 { "an IPv6 address" } else { "an IPv4 address" });
        }
        at = at.saturating_add(item.len()).saturating_add(1);
    }
    Ok(Target::Addresses(Addresses { rest: Some(part.text) }))
}

/// A part of a URI, percent-encoding checked but not yet undone: `bytes` undoes it, `Display` writes it undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'t> {
    raw: &'t str,
}

impl<'t> Text<'t> {
    fn checked(part: Part<'t>, expected: &'static str) -> Result<Text<'t>> {
        if part.text.is_empty() {
            return error(part.at, expected);
        }
        let octets = part.text.as_bytes();
        for (at, octet) in octets.iter().enumerate() {
            let code = octets.get(at.plus(1)..).and_then(|rest| rest.first_chunk::<2>());
            match (octet, code.map(|code| hex(*code))) {
                (b'%', None | Some(None)) => {
                    return error(part.at.saturating_add(at), "`%` and two hexadecimal digits");
                }
                (b'%', Some(Some(0))) | (0, _) => return error(part.at.saturating_add(at), "no NUL"),
                _ => {}
            }
        }
        Ok(Text { raw: part.text })
    }

    /// As written in the target.
    pub fn raw(&self) -> &'t str {
        self.raw
    }

    /// Percent-decoded.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + Clone + 't {
        let mut rest = self.raw.as_bytes();
        core::iter::from_fn(move || {
            let (&octet, tail) = rest.split_first()?;
            rest = tail;
            if octet == b'%'
                && let Some((code, tail)) = rest.split_first_chunk::<2>()
                && let Some(value) = hex(*code)
            {
                rest = tail;
                return Some(value);
            }
            Some(octet)
        })
    }
}

fn hex([high, low]: [u8; 2]) -> Option<u8> {
    let (high, low) = (char::from(high).to_digit(16)?, char::from(low).to_digit(16)?);
    u8::try_from(high << 4 | low).ok()
}

impl fmt::Display for Text<'_> {
    /// Octets that are not UTF-8 are written as `\x..`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.raw.contains('%') {
            return f.write_str(self.raw);
        }
        // Whole characters at a time.
        let mut pending = [0u8; 4];
        let mut n = 0usize;
        for octet in self.bytes() {
            if let Some(place) = pending.get_mut(n) {
                *place = octet;
            }
            n = n.plus(1);
            match core::str::from_utf8(pending.get(..n).unwrap_or_default()) {
                Ok(text) => f.write_str(text)?,
                Err(e) if e.error_len().is_none() && n < 4 => continue,
                Err(_) => write!(f, "{}", pending.get(..n).unwrap_or_default().escape_ascii())?,
            }
            n = 0;
        }
        write!(f, "{}", pending.get(..n).unwrap_or_default().escape_ascii())
    }
}

/// The addresses of an `ipv4:` or `ipv6:` target, checked when it was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses<'t> {
    rest: Option<&'t str>,
}

impl<'t> Addresses<'t> {
    fn first(&self) -> &'t str {
        self.rest.map_or("", |rest| cut(rest, b',').0)
    }
}

impl Iterator for Addresses<'_> {
    type Item = SocketAddr;
    fn next(&mut self) -> Option<SocketAddr> {
        let (item, rest) = cut(self.rest?, b',');
        self.rest = rest;
        let (ip, zone, port) = address::ip_and_port(item).ok()?;
        Some(address::socket(ip, zone, port.unwrap_or(DEFAULT_PORT)))
    }
}

/// The `:authority` of a target.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'t>(Kind<'t>);

#[derive(Clone, Copy, Debug)]
enum Kind<'t> {
    Localhost,
    Host { host: &'t str, port: u16 },
    Listed(&'t str),
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Localhost => f.write_str("localhost"),
            Kind::Host { host, port } => {
                if host.contains(':') {
                    write!(f, "[{}]", without_zone(host))?;
                } else {
                    encode(f, host)?;
                }
                if port == DEFAULT_PORT { Ok(()) } else { write!(f, ":{port}") }
            }
            Kind::Listed(item) => match (item.strip_prefix('['), cut_last(item, b']')) {
                (Some(inner), Some((_, after))) => write!(f, "[{}]{after}", without_zone(inner)),
                _ if item.bytes().filter(|b| *b == b':').count() > 1 => write!(f, "[{}]", without_zone(item)),
                _ => f.write_str(item),
            },
        }
    }
}

/// A zone means something on this machine only (RFC 6874 §4).
fn without_zone(address: &str) -> &str {
    cut(cut(address, b'%').0, b']').0
}

/// What is neither unreserved nor a sub-delimiter is percent-encoded (RFC 3986 §3.2.2); what is already, stays.
fn encode(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&octet) {
            f.write_char(char::from(octet))?;
        } else {
            write!(f, "%{octet:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn shown(text: &str) -> std::string::String {
        let target = match Target::parse(text) {
            Ok(target) => target,
            Err(e) => return e.to_string(),
        };
        let authority = target.authority();
        match target {
            Target::Dns { authority: server, host, port } => {
                std::format!("dns {server}/{host} {port} {authority}")
            }
            Target::Addresses(list) => {
                let list: Vec<_> = list.map(|a| a.to_string()).collect();
                std::format!("{} {authority}", list.join(" "))
            }
            Target::Unix(path) => std::format!("unix {path} {authority}"),
            Target::UnixAbstract(name) => std::format!("abstract {name} {authority}"),
            Target::File(path) => std::format!("file {path} {authority}"),
        }
    }

    #[test]
    fn targets() {
        for (text, expected) in [
            ("dns:///greeter:50051", "dns /greeter 50051 greeter:50051"),
            ("dns:greeter:50051", "dns /greeter 50051 greeter:50051"),
            ("DNS:greeter", "dns /greeter 443 greeter"),
            ("dns://8.8.8.8:53/greeter:1", "dns 8.8.8.8:53/greeter 1 greeter:1"),
            ("greeter", "dns /greeter 443 greeter"),
            ("greeter:1", "dns /greeter 1 greeter:1"),
            (
                "greeter.default.svc.cluster.local:80",
                "dns /greeter.default.svc.cluster.local 80 greeter.default.svc.cluster.local:80",
            ),
            (":80", "dns /localhost 80 localhost:80"),
            ("dns:///:80", "dns /localhost 80 localhost:80"),
            ("127.0.0.1:50051", "dns /127.0.0.1 50051 127.0.0.1:50051"),
            ("[::1]:50051", "dns /::1 50051 [::1]:50051"),
            ("::1", "dns /::1 443 [::1]"),
            ("dns:///[fe80::1%25eth0]:1", "dns /fe80::1%eth0 1 [fe80::1]:1"),
            ("dns:///gr%65eter:1", "dns /greeter 1 gr%65eter:1"),
            ("bücher.example:1", "dns /bücher.example 1 b%C3%BCcher.example:1"),
            ("ipv4:10.0.0.1:5,10.0.0.2", "10.0.0.1:5 10.0.0.2:443 10.0.0.1:5"),
            ("ipv4:///10.0.0.1", "10.0.0.1:443 10.0.0.1"),
            ("ipv6:[::1]:5,[::2],::3", "[::1]:5 [::2]:443 [::3]:443 [::1]:5"),
            ("ipv6:::3", "[::3]:443 [::3]"),
            ("ipv6:[fe80::1%2]:5", "[fe80::1%2]:5 [fe80::1]:5"),
            ("unix:run/a.sock", "unix run/a.sock localhost"),
            ("unix:/run/a.sock", "unix /run/a.sock localhost"),
            ("unix:///run/a%20b%ff.sock", "unix /run/a b\\xff.sock localhost"),
            ("unix-abstract:name", "abstract name localhost"),
            ("file:///etc/greeter", "file /etc/greeter localhost"),
            ("file:/etc/greeter", "file /etc/greeter localhost"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn errors_name_the_place_and_what_was_expected() {
        for (text, at, expected) in [
            ("", 0, HOST),
            ("dns:", 4, HOST),
            ("dns:///", 7, HOST),
            ("dns://greeter:50051", 19, SLASHES),
            ("dns:///greeter:", 15, address::PORT),
            ("dns:///greeter:0", 15, address::PORT),
            ("greeter:99999", 8, address::PORT),
            ("greeter:http", 8, address::PORT),
            ("dns:///a b:1", 8, HOST),
            ("dns:///a/b", 8, HOST),
            ("http://example.com:80", 0, SCHEME),
            ("dns:///[::1", 11, "`]`"),
            ("dns:///[::1]1", 12, "`:` and a port"),
            ("dns:///[1::2::3]:1", 8, "an IPv6 address"),
            ("dns:///[::1%25x;]]:1", 17, "`:` and a port"),
            ("1:2%25;:1", 0, "an IP address"),
            ("[10.0.0.1]:1", 1, "an IPv6 address"),
            ("[greeter]:1", 1, "an IP address"),
            ("dns:///a%2:1", 8, "`%` and two hexadecimal digits"),
            ("ipv4:", 5, "an IP address"),
            ("ipv4:10.0.0.1:5,", 16, "an IP address"),
            ("ipv4:10.0.0.1:5,10.0.0.2:x", 25, address::PORT),
            ("ipv4:greeter:5", 5, "an IP address"),
            ("ipv4:[::1]:5", 5, "an IPv4 address"),
            ("ipv6:10.0.0.1:5", 5, "an IPv6 address"),
            ("ipv4://x/10.0.0.1", 7, NO_AUTHORITY),
            ("unix:", 5, "the path of a socket"),
            ("unix://host/path", 7, NO_AUTHORITY),
            ("unix:/a%00b", 7, "no NUL"),
            ("unix-abstract:", 14, "the name of a socket"),
            ("file:etc/greeter", 5, "an absolute path (as in file:///path)"),
        ] {
            assert_eq!(Target::parse(text), error(at, expected), "{text}");
        }
    }
}
