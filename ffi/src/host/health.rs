//! `grpc.health.v1.Health`: the registry of statuses and its two messages (gRFC A17, health.proto).
//!
//! `Check` is an ordinary unary method. A `Watch` lives as long as its client wants, so it takes no worker thread:
//! the driving thread keeps the watchers (`server/calls.rs`) and asks here what to tell them.

use grpclb_core::grpc::Code;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The path of `Check`.
pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";
/// The path of `Watch`.
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// How a service is (`HealthCheckResponse.ServingStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServingStatus {
    /// Not known (yet).
    Unknown,
    /// It answers calls.
    Serving,
    /// It does not; clients that check health send their calls elsewhere.
    NotServing,
}

/// `SERVICE_UNKNOWN`: what `Watch` says of a service that was never set.
const SERVICE_UNKNOWN: u8 = 3;

/// The registry of one server. The empty name stands for the server as a whole.
#[derive(Debug)]
pub(crate) struct Health {
    services: Mutex<Services>,
}

#[derive(Debug)]
struct Services {
    status: HashMap<String, ServingStatus>,
    /// Everything is NOT_SERVING, and stays so.
    stopping: bool,
}

impl Health {
    /// SERVING as a whole, nothing known of any single service.
    pub(crate) fn new() -> Health {
        let status = HashMap::from([(String::new(), ServingStatus::Serving)]);
        Health { services: Mutex::new(Services { status, stopping: false }) }
    }

    /// Sets one service's status. Without effect once the server stops.
    pub(crate) fn set(&self, service: &str, status: ServingStatus) {
        let mut services = self.lock();
        let status = if services.stopping { ServingStatus::NotServing } else { status };
        services.status.insert(service.to_owned(), status);
    }

    /// The server stops: every service is NOT_SERVING from now on.
    pub(crate) fn stop(&self) {
        let mut services = self.lock();
        services.stopping = true;
        services.status.values_mut().for_each(|status| *status = ServingStatus::NotServing);
    }

    /// Answers `Check`: NOT_FOUND for a service that was never set.
    pub(crate) fn check(&self, request: &[u8], response: &mut Vec<u8>) -> Result<(), (Code, String)> {
        let service = decode_request(request).map_err(|reason| (Code::INTERNAL, reason.to_owned()))?;
        match self.lock().status.get(service) {
            Some(status) => {
                encode_response(number(*status), response);
                Ok(())
            }
            None => Err((Code::NOT_FOUND, format!("service {service:?} is not known here"))),
        }
    }

    /// What a watcher of `service` is to be told now; SERVICE_UNKNOWN for one that was never set.
    pub(crate) fn watched(&self, service: &str) -> u8 {
        self.lock().status.get(service).map_or(SERVICE_UNKNOWN, |status| number(*status))
    }

    fn lock(&self) -> MutexGuard<'_, Services> {
        // Nothing under this lock can leave the map half changed.
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(status: ServingStatus) -> u8 {
    match status {
        ServingStatus::Unknown => 0,
        ServingStatus::Serving => 1,
        ServingStatus::NotServing => 2,
    }
}

/// Writes `HealthCheckResponse { status = 1 }`; proto3 leaves out a zero.
pub(crate) fn encode_response(status: u8, response: &mut Vec<u8>) {
    response.clear();
    if status != 0 {
        response.extend_from_slice(&[0x08, status]);
    }
}

/// Reads `HealthCheckRequest { string service = 1 }`. Unknown fields are skipped, the last of repeated ones counts.
pub(crate) fn decode_request(mut input: &[u8]) -> Result<&str, &'static str> {
    const TRUNCATED: &str = "HealthCheckRequest is cut short";
    let mut service: &[u8] = b"";
    while !input.is_empty() {
        let key = varint(&mut input).ok_or(TRUNCATED)?;
        let field = key >> 3;
        if field == 0 || field > 0x1fff_ffff {
            return Err("HealthCheckRequest has a field number out of range");
        }
        let skip = match key & 7 {
            0 => {
                varint(&mut input).ok_or(TRUNCATED)?;
                0
            }
            1 => 8,
            2 => varint(&mut input).ok_or(TRUNCATED)?,
            5 => 4,
            _ => return Err("HealthCheckRequest has a wire type that proto3 does not use"),
        };
        let value = usize::try_from(skip).ok().and_then(|skip| input.split_at_checked(skip));
        let (value, rest) = value.ok_or(TRUNCATED)?;
        input = rest;
        if field == 1 {
            if key & 7 != 2 {
                return Err("HealthCheckRequest.service is not a string");
            }
            service = value;
        }
    }
    std::str::from_utf8(service).map_err(|_| "HealthCheckRequest.service is not UTF-8")
}

/// A base-128 number of at most ten octets.
fn varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (octet, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(octet & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if octet & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        assert_eq!(decode_request(b""), Ok(""));
        assert_eq!(decode_request(b"\x0a\x03abc"), Ok("abc"));
        assert_eq!(decode_request(b"\x0a\x03abc\x0a\x01d"), Ok("d"), "the last one counts");
        let unknown = b"\x10\x96\x01\x19\0\0\0\0\0\0\0\0\x22\x02xy\x2d\0\0\0\0\x0a\x01s";
        assert_eq!(decode_request(unknown), Ok("s"), "unknown fields of every wire type are skipped");
    }

    #[test]
    fn broken_requests() {
        for cut in 1..6 {
            assert!(decode_request(&b"\x0a\x04abcd"[..cut]).is_err(), "cut at {cut}");
        }
        for (bytes, part) in [
            (&b"\x08\x01"[..], "not a string"),
            (b"\x0a\x01\xff", "UTF-8"),
            (b"\x02\x00", "out of range"),
            (b"\x0b", "wire type"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "cut short"),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "cut short"),
        ] {
            let error = decode_request(bytes).expect_err("broken");
            assert!(error.contains(part), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn check_and_watch() {
        let health = Health::new();
        let mut response = vec![9];
        assert_eq!(health.check(b"", &mut response), Ok(()));
        assert_eq!(response, b"\x08\x01");
        let (code, message) = health.check(b"\x0a\x01x", &mut response).expect_err("unknown");
        assert_eq!((code, message.as_str()), (Code::NOT_FOUND, "service \"x\" is not known here"));
        assert_eq!(health.watched("x"), SERVICE_UNKNOWN);
        health.set("x", ServingStatus::Unknown);
        assert_eq!(health.check(b"\x0a\x01x", &mut response), Ok(()));
        assert_eq!(response, b"");
        health.stop();
        health.set("x", ServingStatus::Serving);
        assert_eq!((health.watched(""), health.watched("x")), (2, 2));
    }
}
