//! A gRPC-Web exchange before any server, in both forms: no panic, no stall; exactly one status, and it is the last event; the
//! same events however the body is split; OK only when a status said so.
#![no_main]

use grpclb_core::grpc::Code;
use grpclb_core::web::{Config, Event, Exchange, Fields, Form};
use grpclb_fuzz::Choices;
use libfuzzer_sys::fuzz_target;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Debug, Default, PartialEq)]
struct Told {
    metadata: Option<Pairs>,
    /// Length and octets of each message.
    messages: Vec<(u32, Vec<u8>)>,
    status: Option<(Code, Vec<u8>, Pairs)>,
}

fn pairs(fields: Fields<'_>) -> Pairs {
    let packed = fields.packed().len();
    let pairs: Pairs = fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    assert_eq!(packed, pairs.iter().map(|(name, value)| 4 + name.len() + value.len()).sum::<usize>());
    pairs
}

impl Told {
    fn note(&mut self, event: Event<'_, '_>) {
        assert!(self.status.is_none(), "the status is the last event");
        match event {
            Event::Metadata { metadata } => assert!(self.metadata.replace(pairs(metadata)).is_none()),
            Event::Message { piece } => {
                if piece.is_first() && (piece.offset, piece.bytes.len()) != (0, 0) || piece.len == 0 {
                    self.messages.push((piece.len, Vec::new()));
                }
                let (len, octets) = self.messages.last_mut().expect("a message that began");
                assert_eq!((*len, octets.len()), (piece.len, piece.offset as usize));
                octets.extend(piece.bytes);
                assert_eq!(piece.is_last(), octets.len() == piece.len as usize);
            }
            Event::Status { status } => {
                self.status = Some((status.code, status.message.to_vec(), pairs(status.trailers)));
            }
            _ => {}
        }
    }
}

struct Answer<'a> {
    http: u16,
    fields: Vec<(&'a [u8], &'a [u8])>,
    arena: usize,
    lost: bool,
}

impl Answer<'_> {
    fn told(&self, body: &[u8], step: usize) -> Told {
        let mut told = Told::default();
        let mut exchange = Exchange::new(vec![0xee; self.arena], &Config { max_message_size: 600 });
        if let Some(event) = exchange.recv_head(self.http, self.fields.iter().copied()) {
            told.note(event);
        }
        for chunk in body.to_vec().chunks_mut(step.max(1)) {
            let mut input = exchange.decode(chunk);
            loop {
                let before = input.len();
                match exchange.recv(&mut input) {
                    Some(event) => {
                        assert!(input.len() < before || matches!(event, Event::Status { .. }), "recv stalls");
                        told.note(event);
                    }
                    None => break,
                }
            }
            assert!(input.is_empty(), "all is taken");
        }
        let end = if self.lost { exchange.carrier_lost() } else { exchange.finish() };
        if let Some(event) = end {
            told.note(event);
        }
        assert!(told.status.is_some() && exchange.is_ended());
        assert!(exchange.finish().is_none() && exchange.recv(&mut &b"\0\0\0\0\0"[..]).is_none());
        told
    }
}

const NAMES: [&[u8]; 6] =
    [b"grpc-status", b"grpc-message", b"grpc-encoding", b"x-bin", b"Note", b"grpc-status-details-bin"];

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let what = choices.u8();
    let step = 1 + choices.below(40);
    let form = if what & 1 == 1 { Form::Text } else { Form::Binary };
    let mut fields = vec![(&b"content-type"[..], form.media_type())];
    if what & 2 == 2 {
        for _ in 0..choices.below(4) {
            let name = match choices.below(7) {
                6 => {
                    let len = choices.below(20);
                    choices.take(len)
                }
                known => NAMES[known],
            };
            let len = choices.below(64);
            fields.push((name, choices.take(len)));
        }
    }
    let http = if what & 4 == 4 { choices.u16() } else { 200 };
    let arena = if what & 8 == 8 { choices.u16() as usize & 0x1ff } else { 2048 };
    let answer = Answer { http, fields, arena, lost: what & 16 == 16 };
    let mut body = choices.0.to_vec();
    if what & 32 == 32 {
        // Whole frames, so that the fuzzer need not find lengths.
        body.clear();
        while !choices.is_empty() {
            let flag = [0, 0, 0x80, choices.u8()][choices.below(4)];
            let len = usize::from(choices.u8());
            let payload = choices.take(len);
            body.push(flag);
            body.extend((payload.len() as u32).to_be_bytes());
            body.extend(payload);
        }
        if form == Form::Text {
            let len = body.len();
            body.resize(form.encoded_len(len), 0);
            grpclb_core::web::text::encode_in_place(&mut body, len).expect("the room it takes");
        }
    }
    let whole = answer.told(&body, usize::MAX);
    assert_eq!(whole, answer.told(&body, step), "split by {step}");
    assert_eq!(whole, answer.told(&body, 1), "octet by octet");
});
