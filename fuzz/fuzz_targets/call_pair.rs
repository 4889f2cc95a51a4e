//! Our client and our server, joined by a link that the fuzzer drives: no connection error, messages arrive whole and in
//! order, and every call of the client has exactly one status, its last event.
#![no_main]

use grpclb_core::call::{CallHead, CallId, Config, Connection, End, Event};
use grpclb_core::grpc::Code;
use grpclb_core::http2;
use grpclb_core::memory::{Boxed, Sizes};
use grpclb_core::time::{Duration, Instant};
use grpclb_fuzz::Choices;
use libfuzzer_sys::fuzz_target;
use std::collections::{HashMap, VecDeque};

/// One side's view of a call.
#[derive(Default)]
struct Call {
    over: bool,
    /// The message being sent, and how much of it was taken.
    sending: Option<(Vec<u8>, usize, End)>,
    sent: u32,
    half_closed: bool,
    /// Message bytes not given back yet, messages received, and the octets of the one that is coming.
    owed: usize,
    received: u32,
    at: u32,
}

struct Side {
    conn: Connection<Boxed>,
    client: bool,
    calls: HashMap<CallId, Call>,
    /// Octets on the link that this side has not read yet.
    inbox: VecDeque<u8>,
    failed: bool,
}

/// Octet `at` of message `number` of any call.
fn octet(number: u32, at: u32) -> u8 {
    (number.wrapping_mul(31) ^ at) as u8
}

impl Side {
    fn new(client: bool, small: bool, now: Instant) -> Side {
        // Before it has seen a server's SETTINGS, a client may use 4 096 octets of the server's table.
        let decoder_table = if client { 64 } else { 4_096 };
        let sizes = if small {
            Sizes { streams: 3, decoder_table, encoder_table: 64, arena: 2_048, outbox: 1_024 }
        } else {
            Sizes::default()
        };
        let config = if client { Config::client() } else { Config::server() };
        let http2 = http2::Config {
            stream_window: if small { 200 } else { 1 << 20 },
            keepalive_time: client.then(|| Duration::from_secs(100)),
            max_connection_age: (!client && small).then(|| Duration::from_secs(500)),
            limits: http2::Limits { ping_strikes: None, ..config.http2.limits },
            ..config.http2
        };
        let config = Config { http2, max_message_size: 5_000 };
        Side {
            conn: Connection::new(Boxed::new(&sizes), &config, now),
            client,
            calls: HashMap::new(),
            inbox: VecDeque::new(),
            failed: false,
        }
    }

    fn read(&mut self, now: Instant, n: usize, choices: &mut Choices<'_>) {
        let bytes: Vec<u8> = self.inbox.drain(..n.min(self.inbox.len())).collect();
        let mut input = &bytes[..];
        while !self.failed {
            let before = input.len();
            match self.conn.recv(now, &mut input) {
                Ok(Some(event)) => {
                    let ready = note(&mut self.calls, self.client, event);
                    self.give_back(ready, choices);
                }
                Ok(None) if input.is_empty() => break,
                Ok(None) => assert!(input.len() < before, "recv stalls"),
                Err(error) => panic!("between our own: {error}"),
            }
        }
        self.poll();
    }

    fn give_back(&mut self, call: Option<CallId>, choices: &mut Choices<'_>) {
        if let Some(id) = call
            && choices.u8() & 3 != 3
            && let Some(call) = self.calls.get_mut(&id)
        {
            self.conn.release(id, std::mem::take(&mut call.owed));
        }
    }

    fn poll(&mut self) {
        for n in 0.. {
            assert!(n < 100_000, "poll_event does not end");
            let Some(event) = self.conn.poll_event() else { return };
            note(&mut self.calls, self.client, event);
        }
    }

    fn write(&mut self, now: Instant, to: &mut VecDeque<u8>, most: usize) {
        let bytes = self.conn.transmit(now);
        let n = bytes.len().min(most);
        to.extend(&bytes[..n]);
        self.conn.transmitted(n);
        self.poll();
    }

    /// A call that is not over, if there is one.
    fn some_call(&self, choices: &mut Choices<'_>) -> Option<CallId> {
        let mut calls: Vec<CallId> = self.calls.iter().filter(|(_, c)| !c.over).map(|(id, _)| *id).collect();
        calls.sort_by_key(|id| id.id);
        if calls.is_empty() { None } else { Some(calls[choices.below(calls.len())]) }
    }

    fn send(&mut self, id: CallId, len: usize, end: End) {
        let call = self.calls.get_mut(&id).unwrap();
        let number = call.sent;
        let (bytes, at, end) = call
            .sending
            .get_or_insert_with(|| ((0..len as u32).map(|at| octet(number, at)).collect(), 0, end));
        if let Ok(n) = self.conn.send_message(id, &bytes[*at..], *end) {
            *at += n;
            if *at == bytes.len() {
                call.half_closed |= *end == End::Last;
                call.sending = None;
                call.sent += 1;
            }
        }
    }
}

/// Checks an event; a message's call may be given its octets back.
fn note(calls: &mut HashMap<CallId, Call>, client: bool, event: Event<'_, '_>) -> Option<CallId> {
    match event {
        Event::Call { call, path, .. } => {
            assert!(!client && path == b"/a.B/c");
            assert!(calls.insert(call, Call::default()).is_none_or(|old| old.over));
            None
        }
        Event::Message { call: id, piece, .. } => {
            let call = calls.get_mut(&id).expect("a call");
            assert!(!call.over, "a message after the end");
            assert_eq!(piece.offset, call.at);
            for (i, byte) in piece.bytes.iter().enumerate() {
                assert_eq!(*byte, octet(call.received, piece.offset + i as u32));
            }
            call.owed += piece.bytes.len();
            call.at += piece.bytes.len() as u32;
            assert!(call.at <= piece.len);
            if call.at == piece.len {
                call.at = 0;
                call.received += 1;
            }
            Some(id)
        }
        Event::Metadata { call, .. } | Event::End { call } => {
            assert!(!calls[&call].over);
            None
        }
        Event::Status { call, .. } => {
            let call = calls.get_mut(&call).expect("a call");
            assert!(!std::mem::replace(&mut call.over, true), "a second status");
            None
        }
        _ => None,
    }
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let what = choices.u8();
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut client = Side::new(true, what & 1 == 1, now);
    let mut server = Side::new(false, what & 2 == 2, now);
    while !choices.is_empty() {
        match choices.below(12) {
            0 => {
                let timeout = choices.u8();
                let metadata: &[(&[u8], &[u8])] = &[(b"key", b"value"), (b"key-bin", &[0, 255, 7])];
                let head = CallHead {
                    path: b"/a.B/c",
                    authority: b"test",
                    timeout: (timeout > 0).then(|| Duration::from_secs(timeout.into())),
                    metadata: &metadata[..choices.below(3)],
                    ..CallHead::default()
                };
                if let Ok(id) = client.conn.start_call(now, &head) {
                    assert!(client.calls.insert(id, Call::default()).is_none());
                }
            }
            1 | 2 => {
                let side = if choices.u8() & 1 == 0 { &mut client } else { &mut server };
                if let Some(id) = side.some_call(&mut choices) {
                    let len = usize::from(choices.u16() & 0x0fff);
                    let end = if side.client && choices.u8() & 1 == 1 { End::Last } else { End::More };
                    side.send(id, len, end);
                }
            }
            3 => {
                if let Some(id) = client.some_call(&mut choices) {
                    let _ = client.conn.half_close(id);
                }
            }
            4 => {
                if let Some(id) = server.some_call(&mut choices) {
                    let code = Code(u32::from(choices.u8() & 15));
                    if server.conn.send_status(id, code, b"w\xc3\xb6rds", &[]).is_ok() {
                        server.calls.get_mut(&id).unwrap().over = true;
                    }
                }
            }
            5 => {
                let side = if choices.u8() & 1 == 0 { &mut client } else { &mut server };
                if let Some(id) = side.some_call(&mut choices) {
                    side.conn.cancel(id);
                    if !side.client {
                        side.calls.get_mut(&id).unwrap().over = true;
                    }
                }
                client.poll();
                server.poll();
            }
            6 => client.write(now, &mut server.inbox, choices.u16().into()),
            7 => server.write(now, &mut client.inbox, choices.u16().into()),
            8 => server.read(now, choices.u16().into(), &mut choices),
            9 => client.read(now, choices.u16().into(), &mut choices),
            10 => {
                now = now.after(Duration::from_millis(u64::from(choices.u8()) * 250));
                for side in [&mut client, &mut server] {
                    if side.conn.poll_timeout().is_some_and(|at| at <= now) {
                        // Only a keepalive that this link has not answered yet.
                        side.failed |= side.conn.handle_timeout(now).is_err();
                    }
                    side.poll();
                }
            }
            _ => {
                if choices.u8() == 0 {
                    server.conn.shutdown(now);
                } else if let Some(id) = server.some_call(&mut choices)
                    && server.conn.reply(id, &[]).is_ok()
                {
                    server.calls.get_mut(&id).unwrap().over = true;
                }
            }
        }
    }
    // The link goes quiet: then it breaks, and every call has its status.
    for n in 0.. {
        assert!(n < 1_000, "the two do not come to rest");
        let rests =
            |side: &mut Side| (side.failed || side.inbox.is_empty()) && side.conn.transmit(now).is_empty();
        if rests(&mut client) && rests(&mut server) {
            break;
        }
        client.write(now, &mut server.inbox, usize::MAX);
        server.write(now, &mut client.inbox, usize::MAX);
        client.read(now, usize::MAX, &mut Choices(&[]));
        server.read(now, usize::MAX, &mut Choices(&[]));
    }
    for side in [&mut client, &mut server] {
        side.conn.carrier_lost(now);
        side.poll();
        assert!(side.calls.values().all(|call| call.over), "a call without a status");
        assert_eq!(side.conn.calls(), 0);
    }
});
