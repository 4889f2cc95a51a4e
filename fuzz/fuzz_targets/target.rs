//! Any text as target, address and endpoint list: no panic, places within the text, IP addresses as the standard library
//! reads them.
#![no_main]

use core::net::SocketAddr;
use grpclb_core::balancer::{Address, EndpointList, Target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    match Target::parse(text) {
        Ok(target) => {
            let authority = target.authority().to_string();
            assert!(!authority.is_empty());
            assert!(authority.bytes().all(|b| b.is_ascii_graphic()), "{authority:?}");
            match target {
                Target::Addresses(list) => assert!(list.count() >= 1),
                Target::Dns { host, .. } => assert!(host.bytes().count() > 0 && !host.to_string().is_empty()),
                Target::Unix(name) | Target::UnixAbstract(name) | Target::File(name) => {
                    assert!(name.bytes().all(|b| b != 0) && name.bytes().count() <= name.raw().len());
                    let _ = name.to_string();
                }
                _ => {}
            }
        }
        Err(error) => assert!(error.at as usize <= text.len() && !error.to_string().is_empty()),
    }
    match Address::parse(text) {
        Ok(address) => {
            if let Address::Ip(ip) = address {
                assert_eq!(Address::parse(&address.to_string()), Ok(address));
                assert_eq!(text.parse(), Ok(ip));
            }
        }
        Err(error) => {
            assert!(error.at as usize <= text.len());
            // Ours takes no port 0 and no long rows of zeros.
            let canonical = text.parse().is_ok_and(|ip: SocketAddr| ip.port() != 0 && ip.to_string() == text);
            assert!(!canonical);
        }
    }
    let lines = text.lines().count();
    for entry in EndpointList::new(text) {
        match entry {
            Ok(endpoint) => _ = endpoint.address.to_string(),
            Err(error) => assert!(error.line >= 1 && error.line as usize <= lines),
        }
    }
});
