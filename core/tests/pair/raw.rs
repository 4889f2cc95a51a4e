//! A peer that speaks HTTP/2 alone, and so can say anything.

use crate::heap::{Heap, Sizes};
use grpclb_core::call::{self, Config};
use grpclb_core::hpack::{Field, Indexing};
use grpclb_core::http2::{self, Event, StreamKey};
use grpclb_core::time::Instant;

impl http2::Storage for Heap {
    fn parts(&mut self) -> http2::Parts<'_> {
        call::Storage::parts(self).http2
    }
}

pub type Fields = Vec<(String, String)>;

/// What the raw peer was sent on its one stream.
#[derive(Debug, Default)]
pub struct Seen {
    pub stream: Option<StreamKey>,
    pub headers: Vec<Fields>,
    pub data: Vec<u8>,
    pub end: bool,
    pub reset: Option<grpclb_core::error::ErrorCode>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().flatten();
        all.find(|(field, _)| field == name).map(|(_, value)| &value[..])
    }
}

pub struct Raw {
    pub connection: http2::Connection<Heap>,
    pub seen: Seen,
}

impl Raw {
    pub fn new(server: bool) -> Raw {
        let config = if server { http2::Config::server() } else { http2::Config::client() };
        let connection = http2::Connection::new(Heap::new(Sizes::USUAL), &config, Instant::default());
        Raw { connection, seen: Seen::default() }
    }

    pub fn receive(&mut self, mut input: &[u8]) {
        while let Some(event) = self.connection.recv(Instant::default(), &mut input).unwrap() {
            match event {
                Event::Headers { stream, fields, end, .. } => {
                    self.seen.stream = Some(stream);
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    self.seen.headers.push(fields.map(|(name, value)| (text(name), text(value))).collect());
                    self.seen.end |= end;
                }
                Event::Data { bytes, end, .. } => {
                    self.seen.data.extend(bytes);
                    self.seen.end |= end;
                }
                Event::Reset { code, .. } => self.seen.reset = Some(code),
                _ => {}
            }
        }
        while self.connection.poll_event().is_some() {}
    }

    pub fn headers(&mut self, fields: &[(&str, &str)], end: bool) {
        let stream = self.seen.stream.unwrap();
        self.connection.send_headers(stream, list(fields), end).unwrap();
    }

    pub fn data(&mut self, bytes: &[u8], end: bool) {
        let stream = self.seen.stream.unwrap();
        assert_eq!(self.connection.send_data(stream, bytes, end), Ok(bytes.len()));
    }

    /// What it has to say.
    pub fn transmit(&mut self) -> Vec<u8> {
        let bytes = self.connection.transmit(Instant::default()).to_vec();
        self.connection.transmitted(bytes.len());
        bytes
    }
}

/// Fields as the encoder takes them.
pub fn list<'f>(fields: &'f [(&'f str, &'f str)]) -> impl Iterator<Item = Field<'f>> + Clone {
    fields.iter().map(|(name, value)| Field {
        name: name.as_bytes(),
        value: value.as_bytes(),
        indexing: Indexing::Without,
    })
}

/// A connection of calls, for the other side.
pub fn calls(server: bool) -> call::Connection<Heap> {
    let config = if server { Config::server() } else { Config::client() };
    call::Connection::new(Heap::new(Sizes::USUAL), &config, Instant::default())
}
