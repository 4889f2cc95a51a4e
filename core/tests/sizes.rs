//! What a connection and a call cost in memory. These figures are in the documentation: who makes something larger
//! sees it here.

use grpclb_core::call::{CallSlot, Connection, Event, Storage, Token};
use grpclb_core::http2::StreamSlot;
use grpclb_core::memory::Inline;

#[test]
fn a_call_takes_at_most_112_octets() {
    assert!(size_of::<CallSlot>() <= 48, "{}", size_of::<CallSlot>());
    assert!(size_of::<StreamSlot>() <= 64, "{}", size_of::<StreamSlot>());
}

#[test]
fn a_connection_takes_at_most_1_664_octets_without_its_storage() {
    let size = size_of::<Connection<&mut Inline<1>>>();
    assert!(size <= 1_664, "{size}");
}

#[test]
fn storage_has_no_hidden_parts() {
    type Memory = Inline<4, 512, 256, 1024, 2048>;
    let slots = 4 * (size_of::<CallSlot>() + size_of::<StreamSlot>());
    assert_eq!(size_of::<Memory>(), slots + 512 + 256 + 1024 + 2048);
    let mut memory = Memory::new();
    let parts = memory.parts();
    assert_eq!((parts.calls.len(), parts.http2.streams.len()), (4, 4));
    assert_eq!((parts.http2.decoder_table.len(), parts.http2.encoder_table.len()), (512, 256));
    assert_eq!((parts.http2.arena.len(), parts.http2.outbox.len()), (1024, 2048));
}

#[test]
fn events_are_small_enough_to_return() {
    assert!(size_of::<Event<'_, '_>>() <= 96, "{}", size_of::<Event<'_, '_>>());
    assert!(size_of::<Token<'_>>() <= 72, "{}", size_of::<Token<'_>>());
}
