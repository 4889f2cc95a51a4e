//! The channel's connections: made and closed as the balancer says, found by its names for them.

use super::{Machine, TOKEN_INDEX};
use crate::host::carrier::{Carrier, Turn};
use crate::host::reactor::calls::NONE;
use crate::host::reactor::connection::{Conn, State, key};
use crate::host::socket::Socket;
use grpclb_core::balancer::{SubchannelEvent, SubchannelId};
use grpclb_core::time::Instant;
use mio::Token;
use std::io;

impl Machine {
    pub(super) fn connect(&mut self, id: SubchannelId, now: Instant) -> Result<(), String> {
        let Some(address) = self.balancer.address(id) else { return Ok(()) };
        let peer = address.to_string();
        let failed = |error: io::Error| format!("{peer}: {error}");
        let socket = Socket::connect(&address).map_err(failed)?;
        let (sizes, config) = self.settings.connection();
        let mut carrier = Carrier::connecting(socket, &sizes, &config, now);
        let index = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            (self.conns.len() - 1) as u32
        });
        self.serial = self.serial.wrapping_add(1);
        let token = Token(index as usize | self.serial.wrapping_mul(TOKEN_INDEX + 1));
        if let Err(error) = carrier.register(&self.registry, token) {
            self.free.push(index);
            return Err(failed(error));
        }
        let state = State::new(index, token, id, peer.into());
        self.work.timers.set(key::of_connection(index), carrier.poll_timeout());
        self.conns[index as usize] = Some(Box::new(Conn { carrier, state }));
        self.connecting += 1;
        let place = usize::from(id.index);
        if place >= self.by_subchannel.len() {
            self.by_subchannel.resize(place + 1, NONE);
        }
        self.by_subchannel[place] = index;
        Ok(())
    }

    /// The current connection of a subchannel.
    pub(super) fn connection_of(&self, id: SubchannelId) -> Option<u32> {
        let index = *self.by_subchannel.get(usize::from(id.index))?;
        let conn = self.conns.get(index as usize)?.as_ref()?;
        (conn.state.current && conn.state.id == id).then_some(index)
    }

    /// The balancer wants it closed: its calls end first.
    pub(super) fn close_connection(&mut self, id: SubchannelId, now: Instant) {
        let Some(index) = self.connection_of(id) else { return };
        let Some(Some(conn)) = self.conns.get_mut(index as usize) else { return };
        conn.state.retire(&mut self.work);
        if conn.state.usable {
            conn.carrier.connection().shutdown(now);
            self.after(index, now, Turn::Done);
        } else {
            let reason = if conn.carrier.is_connecting() {
                "no connection in time"
            } else {
                "no HTTP/2 SETTINGS in time"
            };
            self.connect_error = Some(format!("{}: {reason}", conn.state.peer));
            self.remove(index);
        }
    }

    /// A connection is over; all its calls had their last event.
    pub(super) fn remove(&mut self, index: u32) {
        let Some(mut conn) = self.conns[index as usize].take() else { return };
        self.free.push(index);
        self.work.timers.set(key::of_connection(index), None);
        // Closing the socket takes it out of the poll as well; this is for systems where it does not.
        let _ = conn.carrier.deregister(&self.registry);
        if conn.state.attempt {
            self.connecting -= 1;
        }
        if conn.state.current {
            if let Some(lost) = conn.state.lost.take() {
                self.connect_error = Some(format!("{}: {lost}", conn.state.peer));
            }
            conn.state.retire(&mut self.work);
            let event = if conn.state.usable { SubchannelEvent::Lost } else { SubchannelEvent::Failed };
            self.work.events.push((conn.state.id, event));
        }
    }
}
