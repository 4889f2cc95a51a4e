//! A connection's settings, and its one piece of memory: the object, then its tables.

use super::config::{self, Sized32};
use super::conn::grpclb_conn;
use super::{GRPCLB_ERR_ARGUMENT, GRPCLB_ERR_NULL};
use core::alloc::Layout;
use core::ptr::slice_from_raw_parts_mut;
use grpclb_core::call::{CallSlot, Config, Parts, Storage};
use grpclb_core::http2::{self, StreamSlot};
use grpclb_core::time::Duration;

/// Flag: this side is the server.
pub const GRPCLB_CONFIG_SERVER: u32 = 1;
/// Flag: keepalive also while no call runs (gRFC A8).
pub const GRPCLB_CONFIG_KEEPALIVE_WITHOUT_CALLS: u32 = 2;
/// Flag: the octets of messages are released as they are told, so that grpclb_conn_release is never needed: for
/// programs that take all that comes.
pub const GRPCLB_CONFIG_AUTO_RELEASE: u32 = 4;

/// Settings of a connection. 0 is each field's default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct grpclb_conn_config {
    /// sizeof(grpclb_conn_config).
    pub size: u32,
    /// GRPCLB_CONFIG_*, or'ed.
    pub flags: u32,
    /// Calls at once (default 128, at most 65 534).
    pub streams: u32,
    /// HPACK table of what is received, octets (default 4 096); UINT32_MAX: none.
    pub decoder_table: u32,
    /// HPACK table of what is sent, octets (default 4 096); UINT32_MAX: none.
    pub encoder_table: u32,
    /// Header fields of a batch, and header blocks that come in pieces, octets (default 16 384, at least 1 024); half of
    /// it bounds the header lists that are taken.
    pub arena: u32,
    /// What waits to be transmitted, octets (default 32 768, at least 1 024).
    pub outbox: u32,
    /// Largest message taken, octets (default 4 MiB); a larger one ends its call with RESOURCE_EXHAUSTED.
    pub max_message_size: u32,
    /// Largest header list taken, octets as RFC 9113 section 6.5.2 counts them (default 16 384).
    pub max_header_list_size: u32,
    /// Receive window of a call, octets (default 1 MiB, at most 2^31-1).
    pub stream_window: u32,
    /// Receive window of the connection, octets (default 4 MiB, 65 535 to 2^31-1).
    pub connection_window: u32,
    /// Zero.
    pub reserved: u32,
    /// A PING after so long without an octet received, nanoseconds (gRFC A8); default: none.
    pub keepalive_time_ns: u64,
    /// How long a PING waits for an octet, nanoseconds (default 20 s).
    pub keepalive_timeout_ns: u64,
    /// Server: GOAWAY after so long, give or take a tenth (gRFC A9); default: never.
    pub max_age_ns: u64,
    /// Server: the end so long after that GOAWAY; default: when the calls are done.
    pub max_age_grace_ns: u64,
    /// Server: GOAWAY after so long without a call (gRFC A9); default: never.
    pub max_idle_ns: u64,
    /// Any number; a server that faces strangers takes one that they cannot guess.
    pub seed: u64,
}

// SAFETY: `repr(C)`, begins with a `u32`, zero is a value of every field.
unsafe impl Sized32 for grpclb_conn_config {
    const FIRST: usize = size_of::<grpclb_conn_config>();
}

/// What a config asks for, checked.
pub(super) struct Asked {
    pub(super) core: Config,
    pub(super) auto_release: bool,
    sizes: Sizes,
}

/// Octets of each part, and how many streams.
#[derive(Clone, Copy)]
struct Sizes {
    streams: usize,
    decoder_table: usize,
    encoder_table: usize,
    arena: usize,
    outbox: usize,
}

impl Asked {
    /// Reads a config; NULL stands for a client's defaults.
    ///
    /// # Safety
    /// NULL or a config as the header says.
    pub(super) unsafe fn read(config: *const grpclb_conn_config) -> Result<Asked, i32> {
        if config.is_null() {
            return Asked::of(&grpclb_conn_config { size: 0, ..DEFAULTS });
        }
        // SAFETY: as this function's own.
        Asked::of(&unsafe { config::read(config) }?)
    }

    fn of(given: &grpclb_conn_config) -> Result<Asked, i32> {
        let flag = |flag: u32| given.flags & flag != 0;
        let known = GRPCLB_CONFIG_SERVER | GRPCLB_CONFIG_KEEPALIVE_WITHOUT_CALLS | GRPCLB_CONFIG_AUTO_RELEASE;
        let mut core = if flag(GRPCLB_CONFIG_SERVER) { Config::server() } else { Config::client() };
        let http2 = &mut core.http2;
        let sizes = Sizes {
            streams: or(given.streams, 128) as usize,
            decoder_table: table(given.decoder_table),
            encoder_table: table(given.encoder_table),
            arena: or(given.arena, 16_384) as usize,
            outbox: or(given.outbox, 32_768) as usize,
        };
        http2.stream_window = or(given.stream_window, http2.stream_window);
        http2.connection_window = or(given.connection_window, http2.connection_window);
        http2.max_header_list_size = or(given.max_header_list_size, http2.max_header_list_size);
        http2.keepalive_time = duration(given.keepalive_time_ns);
        http2.keepalive_timeout = duration(given.keepalive_timeout_ns).unwrap_or(http2.keepalive_timeout);
        http2.keepalive_without_calls = flag(GRPCLB_CONFIG_KEEPALIVE_WITHOUT_CALLS);
        http2.max_connection_age = duration(given.max_age_ns);
        http2.max_connection_age_grace = duration(given.max_age_grace_ns);
        http2.max_connection_idle = duration(given.max_idle_ns);
        http2.seed = given.seed;
        core.max_message_size = or(given.max_message_size, core.max_message_size);
        let in_range = sizes.streams <= 65_534
            && sizes.arena >= 1_024
            && sizes.outbox >= 1_024
            && core.http2.stream_window <= MAX_WINDOW
            && (65_535..=MAX_WINDOW).contains(&core.http2.connection_window)
            && given.flags & !known == 0
            && given.reserved == 0;
        if !in_range {
            return Err(GRPCLB_ERR_ARGUMENT);
        }
        Ok(Asked { core, auto_release: flag(GRPCLB_CONFIG_AUTO_RELEASE), sizes })
    }

    /// How the memory is divided.
    pub(super) fn plan(&self) -> Result<Plan, i32> {
        Plan::of(self.sizes).ok_or(GRPCLB_ERR_ARGUMENT)
    }
}

/// RFC 9113 section 6.9.1.
const MAX_WINDOW: u32 = 0x7fff_ffff;

const DEFAULTS: grpclb_conn_config = grpclb_conn_config {
    size: 0,
    flags: 0,
    streams: 0,
    decoder_table: 0,
    encoder_table: 0,
    arena: 0,
    outbox: 0,
    max_message_size: 0,
    max_header_list_size: 0,
    stream_window: 0,
    connection_window: 0,
    reserved: 0,
    keepalive_time_ns: 0,
    keepalive_timeout_ns: 0,
    max_age_ns: 0,
    max_age_grace_ns: 0,
    max_idle_ns: 0,
    seed: 0,
};

fn or(given: u32, default: u32) -> u32 {
    if given == 0 { default } else { given }
}

fn table(given: u32) -> usize {
    if given == u32::MAX { 0 } else { or(given, 4_096) as usize }
}

fn duration(nanos: u64) -> Option<Duration> {
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

/// Where each part lies, octets from the object's begin.
pub(super) struct Plan {
    pub(super) layout: Layout,
    sizes: Sizes,
    streams: usize,
    calls: usize,
    octets: usize,
}

// The object's alignment is that of the whole: grpclb_conn_align says it, and grpclb_conn_free makes the layout again.
const _: () = assert!(
    align_of::<grpclb_conn>() >= align_of::<StreamSlot>()
        && align_of::<grpclb_conn>() >= align_of::<CallSlot>()
);

impl Plan {
    fn of(sizes: Sizes) -> Option<Plan> {
        let octets = sizes.decoder_table.checked_add(sizes.encoder_table)?;
        let octets = octets.checked_add(sizes.arena)?.checked_add(sizes.outbox)?;
        let layout = Layout::new::<grpclb_conn>();
        let (layout, streams) = layout.extend(Layout::array::<StreamSlot>(sizes.streams).ok()?).ok()?;
        let (layout, calls) = layout.extend(Layout::array::<CallSlot>(sizes.streams).ok()?).ok()?;
        let (layout, octets) = layout.extend(Layout::array::<u8>(octets).ok()?).ok()?;
        Some(Plan { layout: layout.pad_to_align(), sizes, streams, calls, octets })
    }

    /// Checks memory that the caller lends.
    pub(super) fn fits(&self, memory: *mut u8, size: usize) -> Result<(), i32> {
        if memory.is_null() {
            return Err(GRPCLB_ERR_NULL);
        }
        let aligned = (memory as usize).is_multiple_of(self.layout.align());
        if aligned && size >= self.layout.size() { Ok(()) } else { Err(GRPCLB_ERR_ARGUMENT) }
    }

    /// The parts in memory, made ready.
    ///
    /// # Safety
    /// `memory` has this plan's layout, is nobody else's, and stays where it is while the result lives.
    pub(super) unsafe fn divide(&self, memory: *mut u8) -> Lent {
        let Sizes { streams, decoder_table, encoder_table, arena, outbox } = self.sizes;
        // SAFETY: the offsets are those of the layout; each value is written before it is referred to.
        unsafe {
            let (stream_slots, call_slots) =
                (memory.add(self.streams).cast::<StreamSlot>(), memory.add(self.calls).cast::<CallSlot>());
            for slot in 0..streams {
                stream_slots.add(slot).write(StreamSlot::FREE);
                call_slots.add(slot).write(CallSlot::FREE);
            }
            let mut rest = memory.add(self.octets);
            rest.write_bytes(0, decoder_table + encoder_table + arena + outbox);
            let mut cut = |len: usize| {
                let part = slice_from_raw_parts_mut(rest, len);
                rest = rest.add(len);
                part
            };
            Lent {
                streams: slice_from_raw_parts_mut(stream_slots, streams),
                calls: slice_from_raw_parts_mut(call_slots, streams),
                decoder_table: cut(decoder_table),
                encoder_table: cut(encoder_table),
                arena: cut(arena),
                outbox: cut(outbox),
            }
        }
    }
}

/// The parts behind the object. Not core's `Slices`: C reads the arena and the outbox between two verbs, and a
/// reference that is kept would say that nobody does.
pub(super) struct Lent {
    streams: *mut [StreamSlot],
    calls: *mut [CallSlot],
    decoder_table: *mut [u8],
    encoder_table: *mut [u8],
    arena: *mut [u8],
    outbox: *mut [u8],
}

impl Lent {
    /// Where fields lie.
    pub(super) fn arena(&self) -> (*const u8, usize) {
        (self.arena.cast(), self.arena.len())
    }
}

impl Storage for Lent {
    fn parts(&mut self) -> Parts<'_> {
        // SAFETY: `divide` made them; they do not overlap, and `&mut self` is the only way to them.
        unsafe {
            Parts {
                http2: http2::Parts {
                    streams: &mut *self.streams,
                    decoder_table: &mut *self.decoder_table,
                    encoder_table: &mut *self.encoder_table,
                    arena: &mut *self.arena,
                    outbox: &mut *self.outbox,
                },
                calls: &mut *self.calls,
            }
        }
    }
}
