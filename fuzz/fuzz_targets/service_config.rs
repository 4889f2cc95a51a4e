//! Any text as service config: no panic, errors that can be shown, and what is taken is JSON and means the same when it
//! is read again.
#![no_main]

use grpclb_core::balancer::{Address, Channel, Config, Endpoint, Inline, ResolutionError, ServiceConfig};
use grpclb_core::time::Instant;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let config = match ServiceConfig::parse(text) {
        Ok(config) => config,
        Err(error) => {
            assert!(error.at as usize <= text.len());
            let shown = error.display(text).to_string();
            assert!(shown.starts_with('$') && shown.contains(": expected "));
            return;
        }
    };
    let json: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text);
    assert!(json.is_ok(), "taken, but not JSON: {json:?}");
    for path in ["/a.B/c", "/a.B/", "/", ""] {
        let _ = config.method(path);
    }
    let addresses = ["10.0.0.1:1", "10.0.0.1:2", "[::1]:1", "unix:/a"].map(|a| Address::parse(a).unwrap());
    let endpoints = addresses.each_ref().map(|a| Endpoint { addresses: core::slice::from_ref(a), weight: 1 });
    let mut channel = Channel::new(Inline::<4, 16>::new(), &Config::default());
    match channel.handle_resolution(Instant::from_nanos(0), &endpoints, &config) {
        Ok(()) | Err(ResolutionError::AllWeightsZero) => {}
        Err(error) => panic!("{error}"),
    }
});
