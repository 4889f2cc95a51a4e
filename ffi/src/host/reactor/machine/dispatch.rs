//! Calls: each is given a pick and started there, or waits for one, until it ends.

use super::Machine;
use crate::host::call::Call;
use crate::host::carrier::{Carrier, Turn};
use crate::host::reactor::calls::{CallKey, Kind, Stage};
use crate::host::reactor::connection::{Sink, Started, key};
use grpclb_core::balancer::{Pick, SubchannelEvent};
use grpclb_core::call::CallId;
use grpclb_core::grpc::Code;
use grpclb_core::time::{Duration, Instant};

/// How often a pick is repeated to get away from the endpoint that refused a call.
const OTHER_ENDPOINT_PICKS: usize = 8;

/// What attempts that were overdue get before a call fails.
const PATIENCE: Duration = Duration::from_secs(1);

impl Machine {
    /// A new call: unary with its only message, or a stream. `patient`: nobody has driven this channel for a while,
    /// so attempts to connect that were overdue get a moment before the call fails.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        kind: Kind,
        call: &Call<'_>,
        request: &[u8],
        patient: bool,
    ) -> CallKey {
        self.latest = now;
        let call_key = self.work.calls.open(now, kind, call);
        if self.work.calls.len() == 1 {
            self.balancer.set_busy(now, true);
        }
        let method = self.settings.method(call.path);
        let record = self.work.calls.at(call_key.index);
        record.wait_for_ready |= method.wait_for_ready.unwrap_or_default();
        if let Some(timeout) = method.timeout {
            let deadline = now.after(timeout);
            record.deadline = Some(record.deadline.map_or(deadline, |own| own.min(deadline)));
        }
        let limits = [method.max_response_message_bytes, call.max_response_size];
        record.max_message = limits.into_iter().flatten().min().unwrap_or(u32::MAX);
        record.max_request = method.max_request_message_bytes.unwrap_or(u32::MAX);
        record.patience = patient.then(|| now.after(PATIENCE));
        if kind == Kind::Unary
            && let Err(message) = record.put(request, true)
        {
            self.work.end(call_key.index, Code::RESOURCE_EXHAUSTED, message.as_bytes());
            return call_key;
        }
        if self.closed {
            self.work.end(call_key.index, Code::UNAVAILABLE, b"the channel is closed");
            return call_key;
        }
        self.begin(call_key.index, now);
        self.settle(now);
        call_key
    }

    /// Picks for a call that is in no list, and starts it or lets it wait.
    pub(super) fn begin(&mut self, index: u32, now: Instant) {
        let record = self.work.calls.at(index);
        if record.deadline.is_some_and(|deadline| deadline <= now) {
            let message = match (&self.resolution_error, &self.connect_error) {
                (Some(error), _) | (None, Some(error)) => {
                    format!("no connection before the deadline; last error: {error}")
                }
                (None, None) => "no connection before the deadline".into(),
            };
            return self.work.end(index, Code::DEADLINE_EXCEEDED, message.as_bytes());
        }
        let refused_by = record.refused_by;
        let mut pick = self.balancer.pick(now, &self.position);
        if let Some(refused_by) = refused_by {
            for _ in 0..OTHER_ENDPOINT_PICKS {
                if pick != Pick::Subchannel(refused_by) {
                    break;
                }
                pick = self.balancer.pick(now, &self.position);
            }
        }
        self.place(index, pick, now);
    }

    /// Does what the pick says with a call that is in no list. Whether it has a connection or is over.
    pub(super) fn place(&mut self, index: u32, pick: Pick, now: Instant) -> bool {
        match pick {
            Pick::Subchannel(id) => match self.connection_of(id) {
                Some(conn) => return self.start_on(conn, index, now),
                // Its loss is among the events that the balancer has not seen yet.
                None => self.wait(index),
            },
            Pick::Queue => self.wait(index),
            Pick::Fail if self.waits_out_failure(index, now) => self.wait(index),
            Pick::Fail => {
                let message = self.failure();
                self.work.end(index, Code::UNAVAILABLE, message.as_bytes());
                return true;
            }
            Pick::Drop => {
                self.work.end(index, Code::UNAVAILABLE, b"dropped by the balancing policy");
                return true;
            }
        }
        false
    }

    /// Into the queue of those that wait for a pick.
    pub(super) fn wait(&mut self, index: u32) {
        let record = self.work.calls.at(index);
        record.stage = Stage::Queued;
        let due = match (record.deadline, record.patience) {
            (Some(deadline), Some(patience)) => Some(deadline.min(patience)),
            (deadline, patience) => deadline.or(patience),
        };
        self.work.timers.set(key::of_call(index), due);
        self.queue.push(&mut self.work.calls, index);
    }

    pub(super) fn waits_out_failure(&mut self, index: u32, now: Instant) -> bool {
        let trying = self.connecting > 0 || self.resolver.is_running();
        let record = self.work.calls.at(index);
        record.patience = record.patience.filter(|until| trying && *until > now);
        record.wait_for_ready || record.patience.is_some()
    }

    /// Why calls fail.
    pub(super) fn failure(&self) -> String {
        match (&self.resolution_error, &self.connect_error) {
            (Some(error), _) if self.balancer.endpoint_count() == 0 => error.clone(),
            (_, Some(error)) => format!("failed to connect to all addresses; last error: {error}"),
            (Some(error), None) => error.clone(),
            (None, None) => "no endpoint can be reached".into(),
        }
    }

    /// New picks for the calls that wait, first come, first served.
    pub(super) fn pick_for_queue(&mut self, now: Instant) {
        let mut next = self.queue.first();
        while let Some(index) = next {
            let pick = self.balancer.pick(now, &self.position);
            if pick == Pick::Queue {
                // It says the same to all of them.
                return;
            }
            next = self.queue.after(&mut self.work.calls, index);
            if pick == Pick::Fail && self.waits_out_failure(index, now) {
                continue;
            }
            self.queue.remove(&mut self.work.calls, index);
            if !self.place(index, pick, now) {
                // It is at the end of the queue again, until the balancer has heard of the loss.
                return;
            }
        }
    }

    /// Starts a call on a connection, or lets it wait for room there. Whether it found a place.
    pub(super) fn start_on(&mut self, conn_index: u32, index: u32, now: Instant) -> bool {
        let Some(Some(conn)) = self.conns.get_mut(conn_index as usize) else { return false };
        self.work.calls.at(index).pick_order = self.picks;
        let started = if conn.state.blocked.is_empty() {
            let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
            sink.start(conn.carrier.connection(), index)
        } else {
            Started::Blocked
        };
        match started {
            Started::Running => {}
            Started::Blocked => {
                let record = self.work.calls.at(index);
                record.stage = Stage::Blocked { conn: conn_index };
                let deadline = record.deadline;
                self.work.timers.set(key::of_call(index), deadline);
                conn.state.blocked.push(&mut self.work.calls, index);
            }
            Started::Ended => return true,
            Started::Unavailable => {
                // Out of stream ids, or closing: the balancer has to hear of it before it can pick another.
                self.work.events.push((conn.state.id, SubchannelEvent::Lost));
                conn.state.retire(&mut self.work);
                self.after(conn_index, now, Turn::Done);
                self.wait(index);
                return false;
            }
        }
        self.picks += 1;
        let due = conn.carrier.poll_timeout();
        self.work.timers.set(key::of_connection(conn_index), due);
        self.touch(conn_index);
        true
    }

    /// The deadline, or the end of the patience, of a call that is not running.
    pub(super) fn expire_call(&mut self, index: u32, now: Instant) {
        let record = self.work.calls.at(index);
        let over = record.deadline.is_some_and(|deadline| deadline <= now);
        match record.stage {
            Stage::Queued => {
                // Patience that is over must not be waited for again: its timer would be due for ever.
                record.patience = record.patience.filter(|until| *until > now);
                self.queue.remove(&mut self.work.calls, index);
                self.begin(index, now);
            }
            Stage::Blocked { conn } if over => {
                self.leave_blocked(conn, index);
                let message = b"no room on the connection before the deadline";
                self.work.end(index, Code::DEADLINE_EXCEEDED, message);
            }
            _ => {}
        }
    }

    pub(super) fn leave_blocked(&mut self, conn: u32, index: u32) {
        if let Some(Some(conn)) = self.conns.get_mut(conn as usize) {
            conn.state.blocked.remove(&mut self.work.calls, index);
        }
    }

    /// Goes on with a running call after a command for it: `what` gets the connection's sink.
    pub(super) fn with_running(
        &mut self,
        now: Instant,
        key: CallKey,
        what: impl FnOnce(&mut Sink<'_>, &mut Carrier, CallId),
    ) {
        let Some(record) = self.work.calls.get(key) else { return };
        let Stage::Running { conn: conn_index, id } = record.stage else { return };
        let Some(Some(conn)) = self.conns.get_mut(conn_index as usize) else { return };
        let mut sink = Sink { now, state: &mut conn.state, work: &mut self.work };
        what(&mut sink, &mut conn.carrier, id);
        self.touch(conn_index);
    }

    /// A stream's next message, and whether it is the last. Only when none is being sent.
    pub(crate) fn send(&mut self, now: Instant, key: CallKey, message: Option<&[u8]>, last: bool) {
        let Some(record) = self.work.calls.get(key).filter(|record| record.stage != Stage::Ended) else {
            return;
        };
        match message {
            Some(message) => {
                if let Err(error) = record.put(message, last) {
                    return self.abort(now, key, Code::RESOURCE_EXHAUSTED, &error);
                }
            }
            None => record.half_close |= last,
        }
        self.with_running(now, key, |sink, carrier, id| sink.send(carrier.connection(), id, key.index));
    }

    /// The next message that came, into `message` (cleared first).
    pub(crate) fn take_message(&mut self, now: Instant, key: CallKey, message: &mut Vec<u8>) -> bool {
        let Some(record) = self.work.calls.get(key) else { return false };
        let Some(released) = record.take_message(message) else { return false };
        if released > 0 {
            self.with_running(now, key, |_, carrier, id| carrier.connection().release(id, released));
        }
        true
    }

    /// Ends a call from this side.
    pub(crate) fn abort(&mut self, now: Instant, key: CallKey, code: Code, message: &str) {
        let Some(record) = self.work.calls.get(key) else { return };
        match record.stage {
            Stage::Free | Stage::Ended => return,
            Stage::Queued => self.queue.remove(&mut self.work.calls, key.index),
            Stage::Blocked { conn } => self.leave_blocked(conn, key.index),
            Stage::Again => self.work.restart.retain(|index| *index != key.index),
            Stage::Running { .. } => self.with_running(now, key, |sink, carrier, id| {
                carrier.connection().cancel(id);
                sink.state.detach(id);
            }),
        }
        self.work.end(key.index, code, message.as_bytes());
    }

    /// The caller has taken the outcome: the record is free again.
    pub(crate) fn finish(&mut self, key: CallKey) {
        if self.work.calls.get(key).is_some_and(|record| record.stage == Stage::Ended) {
            self.work.calls.close(key.index);
            if self.work.calls.len() == 0 {
                self.balancer.set_busy(self.latest, false);
            }
        }
    }
}
