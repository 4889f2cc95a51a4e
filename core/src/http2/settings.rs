//! SETTINGS of both sides (RFC 9113 §6.5).

use core::num::NonZeroUsize;

use super::window::{DEFAULT_WINDOW, MAX_WINDOW};
use super::{ConnectionError, Engine, Token};
use crate::error::ErrorCode;
use crate::frame::{DEFAULT_MAX_FRAME_SIZE, LARGEST_MAX_FRAME_SIZE, Setting, SettingId};

/// What the peer said, or the defaults of RFC 9113 §6.5.2.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerSettings {
    pub(super) header_table_size: u32,
    /// The smallest that a frame went through on its way to that one (RFC 7541 §4.2).
    lowest_table_size: u32,
    pub(super) max_concurrent_streams: u32,
    pub(super) initial_window_size: u32,
    pub(super) max_frame_size: u32,
    pub(super) max_header_list_size: u32,
}

impl PeerSettings {
    pub(super) const DEFAULT: PeerSettings = PeerSettings {
        header_table_size: 4_096,
        lowest_table_size: 4_096,
        max_concurrent_streams: u32::MAX,
        initial_window_size: DEFAULT_WINDOW,
        max_frame_size: DEFAULT_MAX_FRAME_SIZE,
        max_header_list_size: u32::MAX,
    };

    /// What holds until the peer's SETTINGS arrive: streams are not limited then, but a first burst had better stay
    /// below what most servers allow (RFC 9113 §6.5.2 recommends no less than 100).
    pub(super) const UNKNOWN: PeerSettings =
        PeerSettings { max_concurrent_streams: 100, ..PeerSettings::DEFAULT };

    /// The largest payload to send, octets.
    pub(super) fn max_frame(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.max_frame_size as usize).unwrap_or(NonZeroUsize::MIN)
    }

    /// Checks one entry and notes it. Unknown identifiers are ignored (RFC 9113 §6.5.2).
    fn set(&mut self, setting: Setting, server: bool) -> Result<(), ConnectionError> {
        let Setting { id, value } = setting;
        let wrong = |code, reason| Err(ConnectionError { code, reason });
        match id {
            SettingId::HEADER_TABLE_SIZE => {
                self.header_table_size = value;
                self.lowest_table_size = self.lowest_table_size.min(value);
            }
            SettingId::ENABLE_PUSH if value > 1 => {
                return wrong(ErrorCode::PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH is neither 0 nor 1");
            }
            SettingId::ENABLE_PUSH if value == 1 && !server => {
                return wrong(ErrorCode::PROTOCOL_ERROR, "a server sent SETTINGS_ENABLE_PUSH 1");
            }
            SettingId::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value,
            SettingId::INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                return wrong(ErrorCode::FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE is above 2^31-1");
            }
            SettingId::INITIAL_WINDOW_SIZE => self.initial_window_size = value,
            SettingId::MAX_FRAME_SIZE
                if !(DEFAULT_MAX_FRAME_SIZE..=LARGEST_MAX_FRAME_SIZE).contains(&value) =>
            {
                return wrong(ErrorCode::PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE is out of its range");
            }
            SettingId::MAX_FRAME_SIZE => self.max_frame_size = value,
            SettingId::MAX_HEADER_LIST_SIZE => self.max_header_list_size = value,
            _ => {}
        }
        Ok(())
    }
}

impl Engine<'_> {
    /// Our settings, as announced.
    pub(super) fn own_settings(&self) -> [Setting; 4] {
        let config = &self.state.config;
        let entry = |id, value| Setting { id, value };
        let table = u32::try_from(self.parts.decoder_table.len()).unwrap_or(u32::MAX);
        let streams = if config.server {
            entry(SettingId::MAX_CONCURRENT_STREAMS, self.max_peer_streams())
        } else {
            entry(SettingId::ENABLE_PUSH, 0)
        };
        [
            entry(SettingId::HEADER_TABLE_SIZE, table),
            streams,
            entry(SettingId::INITIAL_WINDOW_SIZE, config.stream_window.min(MAX_WINDOW)),
            entry(SettingId::MAX_HEADER_LIST_SIZE, self.state.max_header_list),
        ]
    }

    /// Streams that the peer may have open at once.
    pub(super) fn max_peer_streams(&self) -> u32 {
        self.state.config.max_concurrent_streams.min(self.parts.streams.len() as u32)
    }

    /// One entry of a SETTINGS frame; what it changes takes effect at the frame's end.
    pub(super) fn setting_received(&mut self, wire: &[u8; 6]) -> Result<(), ConnectionError> {
        self.state.incoming.set(Setting::from_wire(wire), self.state.config.server)
    }

    /// The end of a SETTINGS frame (RFC 9113 §6.5.3).
    pub(super) fn settings_received(&mut self) -> Result<Option<Token<'static>>, ConnectionError> {
        let first = !self.state.ready;
        let old = core::mem::replace(&mut self.state.peer, self.state.incoming);
        let new = self.state.peer;
        // RFC 9113 §6.5.3: values count in the order they appear, and the peer may have evicted at the smallest.
        if new.lowest_table_size < old.header_table_size {
            self.state.encoder.set_peer_limit(new.lowest_table_size);
        }
        if new.header_table_size != new.lowest_table_size.min(old.header_table_size) {
            self.state.encoder.set_peer_limit(new.header_table_size);
        }
        self.state.peer.lowest_table_size = new.header_table_size;
        if new.initial_window_size != old.initial_window_size {
            let delta = i64::from(new.initial_window_size).wrapping_sub(i64::from(old.initial_window_size));
            self.shift_send_windows(delta)?;
        }
        self.settings_ack_due()?;
        self.state.ready = true;
        Ok(first.then_some(Token::Ready))
    }

    /// RFC 9113 §6.9.2. The one thing that a frame makes us do for every stream.
    fn shift_send_windows(&mut self, delta: i64) -> Result<(), ConnectionError> {
        for index in 0..self.parts.streams.len().min(usize::from(u16::MAX)) {
            let Some(slot) = self.parts.streams.get_mut(index) else { break };
            if slot.id == 0 {
                continue;
            }
            if !slot.send_window.shift(delta) {
                return Err(ConnectionError {
                    code: ErrorCode::FLOW_CONTROL_ERROR,
                    reason: "SETTINGS_INITIAL_WINDOW_SIZE takes a window above 2^31-1",
                });
            }
            self.wake(index as u16);
        }
        Ok(())
    }

    /// The peer's acknowledgement: from now on it keeps to our SETTINGS_INITIAL_WINDOW_SIZE.
    pub(super) fn settings_acknowledged(&mut self) -> Result<(), ConnectionError> {
        if self.state.acknowledged {
            return self.idle_frame("SETTINGS acknowledgements without end");
        }
        self.state.acknowledged = true;
        let smaller = i64::from(self.state.config.stream_window).wrapping_sub(i64::from(DEFAULT_WINDOW));
        if smaller < 0 {
            for slot in self.parts.streams.iter_mut().filter(|slot| slot.id != 0) {
                slot.recv_window.shift(smaller);
            }
        }
        Ok(())
    }

    /// The receive window that a stream opens with: a smaller one than the default holds only once the peer has
    /// acknowledged it, a larger one from the start.
    pub(super) fn initial_recv_window(&self) -> u32 {
        let window = self.state.config.stream_window;
        if self.state.acknowledged { window } else { window.max(DEFAULT_WINDOW) }
    }
}
