//! core allocates nothing: thousands of calls of every kind through both of its sides, counted by the allocator.

use grpclb_core::call::{CallHead, CallId, Config, Connection, End, Event};
use grpclb_core::grpc::Code;
use grpclb_core::memory::Inline;
use grpclb_core::time::{Duration, Instant};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(place, layout, size) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

type Memory = Inline<8, 4096, 4096, 8192, 16384>;

/// Both ends, and what they have counted.
struct Pair<'m> {
    client: Connection<&'m mut Memory>,
    server: Connection<&'m mut Memory>,
    now: Instant,
    ended: [u64; 17],
    messages: u64,
    startable: bool,
}

impl Pair<'_> {
    /// Carries bytes both ways until there are none: the outbox of one side is the input of the other.
    fn run(&mut self) {
        loop {
            let (there, back) = (self.there(), self.back());
            if there + back == 0 {
                return;
            }
        }
    }

    fn there(&mut self) -> usize {
        let Pair { client, server, now, .. } = self;
        let bytes = client.transmit(*now);
        let (n, mut input) = (bytes.len(), bytes);
        while let Some(event) = server.recv(*now, &mut input).unwrap() {
            // What is to be answered is noted, since the event still borrows the connection.
            let Some((call, echo, end)) = asked(event) else { continue };
            let mut octets = [0; 4096];
            if let Some(bytes) = echo {
                octets[..bytes.len()].copy_from_slice(bytes);
                server.release(call, bytes.len());
                server.send_metadata(call, &[(b"head-bin", &[1, 2, 3])]).ok();
                server.send_message(call, &octets[..bytes.len()], End::More).unwrap();
            }
            if end {
                server.send_status(call, Code::OK, b"fine \xe2\x98\xba", &[(b"trailer", b"x")]).unwrap();
            }
        }
        while server.poll_event().is_some() {}
        client.transmitted(n);
        n
    }

    fn back(&mut self) -> usize {
        let Pair { client, server, now, .. } = self;
        let bytes = server.transmit(*now);
        let (n, mut input) = (bytes.len(), bytes);
        while let Some(event) = client.recv(*now, &mut input).unwrap() {
            let release = match event {
                Event::Message { call, piece, .. } => {
                    self.messages += u64::from(piece.is_last());
                    Some((call, piece.bytes.len()))
                }
                Event::Status { status, .. } => {
                    self.ended[status.code.0 as usize] += 1;
                    None
                }
                Event::Startable => {
                    self.startable = true;
                    None
                }
                _ => None,
            };
            if let Some((call, n)) = release {
                client.release(call, n);
            }
        }
        self.poll_client();
        self.server.transmitted(n);
        n
    }

    fn poll_client(&mut self) {
        while let Some(event) = self.client.poll_event() {
            if let Event::Status { status, .. } = event {
                self.ended[status.code.0 as usize] += 1;
            }
        }
    }
}

/// What a server's event asks for: a message to send back, and whether that is all.
fn asked<'i>(event: Event<'_, 'i>) -> Option<(CallId, Option<&'i [u8]>, bool)> {
    match event {
        Event::Message { call, piece, end } => Some((call, Some(piece.whole()?), end)),
        Event::End { call } => Some((call, None, true)),
        _ => None,
    }
}

#[test]
fn thousands_of_calls_allocate_nothing() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(1u8)));
    assert_eq!(allocations(), before + 1, "the allocator counts");

    let mut memory = [Box::new(Memory::new()), Box::new(Memory::new())];
    let [one, two] = &mut memory;
    let now = Instant::default();
    let mut pair = Pair {
        client: Connection::new(&mut **one, &Config::client(), now),
        server: Connection::new(&mut **two, &Config::server(), now),
        now,
        ended: [0; 17],
        messages: 0,
        startable: false,
    };
    pair.run();

    let message = [7; 300];
    let before = allocations();
    for round in 0..2_000u32 {
        let id = round.to_be_bytes();
        let metadata: &[(&[u8], &[u8])] =
            &[(b"id-bin", &id), (b"plain", b"value"), (b"authorization", b"secret")];
        let timeout = Some(Duration::from_millis(u64::from(round % 5)));
        let head = CallHead { path: b"/a.B/C", authority: b"host", metadata, ..CallHead::default() };
        // Unary, streaming, a deadline that passes, and a cancelled one.
        let unary = pair.client.start_call(pair.now, &head).unwrap();
        pair.client.send_message(unary, &message, End::Last).unwrap();
        let streaming = pair.client.start_call(pair.now, &head).unwrap();
        for size in [0, 1, 100] {
            pair.client.send_message(streaming, &message[..size], End::More).unwrap();
        }
        pair.client.half_close(streaming).unwrap();
        pair.client.start_call(pair.now, &CallHead { timeout, ..head }).unwrap();
        let cancelled = pair.client.start_call(pair.now, &head).unwrap();
        pair.run();
        pair.client.cancel(cancelled);
        pair.now = pair.now.after(Duration::from_millis(5));
        pair.client.handle_timeout(pair.now).unwrap();
        pair.poll_client();
        pair.run();
        assert_eq!((pair.client.calls(), pair.server.calls()), (0, 0));
    }
    assert_eq!(allocations(), before);
    let ended = |code: Code| pair.ended[code.0 as usize];
    let codes = [Code::OK, Code::DEADLINE_EXCEEDED, Code::CANCELLED].map(ended);
    assert_eq!((codes, pair.messages), ([4_000, 2_000, 2_000], 8_000));
}
