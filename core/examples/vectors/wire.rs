//! Frames that arrive a few octets at a time.

use grpclb_core::bytes::Writer;
use grpclb_core::frame::{Continuation, DEFAULT_MAX_FRAME_SIZE, Frame, FrameError, Head, Headers};

/// Collects one frame.
#[derive(Default)]
pub(crate) struct Reader {
    octets: Vec<u8>,
}

impl Reader {
    /// Takes what belongs to the frame off the front of `input`. The frame's head when it is whole.
    ///
    /// # Errors
    /// FRAME_SIZE_ERROR as soon as a head announces more than SETTINGS_MAX_FRAME_SIZE (RFC 9113 §4.2).
    pub(crate) fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Head>, FrameError> {
        loop {
            let (wanted, head) = match self.octets.first_chunk() {
                None => (Head::LEN, None),
                Some(head) => {
                    let head = Head::parse(head);
                    if head.length > DEFAULT_MAX_FRAME_SIZE {
                        let code = grpclb_core::error::ErrorCode::FRAME_SIZE_ERROR;
                        let reason = "the frame is larger than SETTINGS_MAX_FRAME_SIZE";
                        let scope = grpclb_core::frame::Scope::Connection;
                        return Err(FrameError { code, scope, reason });
                    }
                    (Head::LEN + head.length as usize, Some(head))
                }
            };
            if self.octets.len() == wanted && head.is_some() {
                return Ok(head);
            }
            let (front, rest) = input.split_at(input.len().min(wanted - self.octets.len()));
            if front.is_empty() {
                return Ok(None);
            }
            self.octets.extend_from_slice(front);
            *input = rest;
        }
    }

    /// The payload collected so far.
    pub(crate) fn payload(&self) -> &[u8] {
        self.octets.get(Head::LEN..).unwrap_or_default()
    }

    /// Begins with the next frame.
    pub(crate) fn next(&mut self) {
        self.octets.clear();
    }
}

/// A header block as a peer could send it: HEADERS and CONTINUATION with fragments of up to `chunk` octets, written,
/// read `chunk` octets at a time, and put together again.
pub(crate) fn through_frames(block: &[u8], chunk: usize) -> Result<Vec<u8>, String> {
    let chunk = chunk.min(DEFAULT_MAX_FRAME_SIZE as usize);
    let mut wire = vec![0; block.len() + Head::LEN * (block.len() / chunk + 1)];
    let mut out = Writer::new(&mut wire);
    let fragments = block.len().div_ceil(chunk).max(1);
    for i in 0..fragments {
        let fragment = &block[i * chunk..block.len().min((i + 1) * chunk)];
        let end_headers = i + 1 == fragments;
        if i == 0 {
            Headers { stream: 1, end_stream: false, end_headers, padding: None, priority: None, fragment }
                .write(&mut out);
        } else {
            Continuation { stream: 1, end_headers, fragment }.write(&mut out);
        }
    }
    let len = out.finish().ok_or("the frames do not fit")?;

    let mut reader = Reader::default();
    let mut joined = Vec::new();
    for mut piece in wire[..len].chunks(chunk) {
        while let Some(head) = reader.feed(&mut piece).map_err(|e| e.reason)? {
            match Frame::parse(&head, reader.payload()).map_err(|e| e.reason)? {
                Frame::Headers(frame) => joined.extend_from_slice(frame.fragment),
                Frame::Continuation(frame) => joined.extend_from_slice(frame.fragment),
                other => return Err(format!("unexpected {other:?}")),
            }
            if head.has(grpclb_core::frame::flags::END_HEADERS) {
                return Ok(joined);
            }
            reader.next();
        }
    }
    Err("the header block does not end".into())
}
