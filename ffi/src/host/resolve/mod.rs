//! Where endpoints come from: the target's resolvers. None of them blocks its caller: names are looked up on a
//! helper thread, which reports by a wake.

pub(crate) mod dns;
mod file;

use grpclb_core::balancer::{Address, Target};
use grpclb_core::time::Instant;
use mio::Waker;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// One endpoint that a resolver found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) address: OwnedAddress,
    /// What the resolver says of it; 1 when it says nothing.
    pub(crate) weight: u32,
}

/// An address that owns its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnedAddress {
    /// TCP.
    Ip(SocketAddr),
    /// A Unix socket's path; abstract when it begins with a NUL.
    Unix(Box<[u8]>),
    /// Opaque.
    Other(Box<[u8]>),
}

impl OwnedAddress {
    /// As the balancer takes it.
    pub(crate) fn lend(&self) -> Address<'_> {
        match self {
            OwnedAddress::Ip(address) => Address::Ip(*address),
            OwnedAddress::Unix(path) => Address::Unix(path),
            OwnedAddress::Other(text) => Address::Other(text),
        }
    }
}

impl From<Address<'_>> for OwnedAddress {
    fn from(address: Address<'_>) -> OwnedAddress {
        match address {
            Address::Ip(address) => OwnedAddress::Ip(address),
            Address::Unix(path) => OwnedAddress::Unix(path.into()),
            Address::Other(text) => OwnedAddress::Other(text.into()),
        }
    }
}

/// All endpoints, or in words why there are none.
pub(crate) type Answer = Result<Vec<Found>, String>;

/// The resolver of one target.
#[derive(Debug)]
pub(crate) enum Resolver {
    /// Addresses that stand in the target: the same answer every time.
    Literal {
        /// The answer.
        found: Vec<Found>,
        /// It was asked for.
        wanted: bool,
    },
    /// A name, or a program's own resolver.
    Dns(dns::Dns),
    /// A file that is read again when it changes.
    File(file::File),
}

impl Resolver {
    /// The resolver that `target` asks for. A target that this library cannot resolve is an error in words.
    pub(crate) fn new(target: &Target<'_>, waker: Arc<Waker>) -> Result<Resolver, String> {
        let literal = |addresses: Vec<OwnedAddress>| Resolver::Literal {
            found: addresses.into_iter().map(|address| Found { address, weight: 1 }).collect(),
            wanted: false,
        };
        match *target {
            Target::Dns { authority, host, port } => {
                if !authority.is_empty() {
                    return Err(format!(
                        "name server {authority:?} in a dns target: only the system's is supported, write dns:///"
                    ));
                }
                let host = text(host.bytes())?;
                // An IP address needs no look-up.
                Ok(match host.parse::<IpAddr>() {
                    Ok(ip) => literal(vec![OwnedAddress::Ip(SocketAddr::new(ip, port))]),
                    Err(_) => Resolver::Dns(dns::Dns::new(host, port, waker)),
                })
            }
            Target::Addresses(addresses) => Ok(literal(addresses.map(OwnedAddress::Ip).collect())),
            Target::Unix(path) => Ok(literal(vec![OwnedAddress::Unix(path.bytes().collect())])),
            Target::UnixAbstract(name) => {
                let name = std::iter::once(0).chain(name.bytes()).collect();
                Ok(literal(vec![OwnedAddress::Unix(name)]))
            }
            Target::File(path) => Ok(Resolver::File(file::File::new(PathBuf::from(text(path.bytes())?)))),
            _ => Err("no resolver knows this target".into()),
        }
    }

    /// The balancer wants an answer. It comes from [`Resolver::poll`], now or after a wake or timeout; it may be
    /// put off (names are not looked up more often than gRPC allows) or, when nothing has changed, left out.
    pub(crate) fn request(&mut self, now: Instant) {
        match self {
            Resolver::Literal { wanted, .. } => *wanted = true,
            Resolver::Dns(dns) => dns.request(now),
            Resolver::File(file) => file.request(now),
        }
    }

    /// Whether an answer is under way, on its thread.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Resolver::Dns(dns) if dns.is_running())
    }

    /// The answer, when there is a new one. Ask after a request, a wake and a timeout.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Answer> {
        match self {
            Resolver::Literal { found, wanted } => std::mem::take(wanted).then(|| Ok(found.clone())),
            Resolver::Dns(dns) => dns.poll(now),
            Resolver::File(file) => file.poll(now),
        }
    }

    /// When to call [`Resolver::poll`] at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Resolver::Literal { .. } => None,
            Resolver::Dns(dns) => dns.poll_timeout(),
            Resolver::File(file) => file.poll_timeout(),
        }
    }
}

fn text(bytes: impl Iterator<Item = u8>) -> Result<String, String> {
    String::from_utf8(bytes.collect()).map_err(|_| "the target is not UTF-8 once percent-decoded".into())
}
