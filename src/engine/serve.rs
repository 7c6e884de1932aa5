//! A connection's share of a turn: read, transition, write, under budgets.
//!
//! Everything that comes from a peer enters here, and everything that goes to one leaves in
//! `write_out`, the only place that writes to a socket. Input is used in the shared scratch; what
//! cannot be consumed now (half a head, pipelined requests, messages beyond a budget) is parked in
//! a pooled buffer, and comes back to the scratch before the socket is read again. So the scratch
//! is always free when the next connection is served.

mod frames;
mod request;
mod write;

use std::io;
use std::mem;

use self::request::SLOW_HEAD;
pub(super) use self::request::{DRAINING, NO_ROOM, NO_SHARE};
use super::Engine;
use super::clock::Clock;
use super::connection::websocket::PING;
use super::connection::{CloseReason, CloseWanted, Deadline, Phase};
use super::handle::Slot;
use super::handler::Handler;
use super::net::{Net, Stream};

/// A comment and the end of an event that has no data, which the reader of an event stream throws
/// away (HTML, section 9.2.6).
const HEARTBEAT: &[u8] = b":\n\n";

/// What one read counts for at least: a stream may have much to do for few bytes, as a record of
/// TLS is 16 KiB of padding around one, and each read is a system call in any case.
const READ_BYTES_MIN: usize = 512;

/// What a connection may still take of this turn.
struct Budget {
    bytes: usize,
    messages: usize,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.bytes == 0 || self.messages == 0
    }
}

/// What became of bytes offered to a connection.
enum Taken {
    /// All that can come of them has come; a rest is half of something.
    All,
    /// The budget or the outbox stopped it: the rest is to be offered again.
    Some,
}

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// Serves the connections that are ready now. Those that become ready meanwhile wait for the
    /// next turn, so that no connection can hold the loop.
    pub(super) fn serve_ready(&mut self) {
        for _ in 0..self.core.ready.len() {
            let Some(handle) = self.core.ready.pop_front() else { break };
            if let Some(connection) = self.core.get_mut(handle) {
                connection.is_ready = false;
                self.serve(handle.slot);
            }
        }
    }

    fn serve(&mut self, slot: Slot) {
        let mut budget = Budget {
            bytes: self.core.limits.read_bytes_per_turn,
            messages: self.core.limits.messages_per_turn,
        };
        loop {
            self.close_if_wanted(slot);
            while self.take_input(slot, &mut budget) {}
            self.close_if_wanted(slot);
            let was_answering = self.core.at(slot).phase() == Phase::Reply;
            self.write_out(slot);
            let next_request = was_answering && self.core.at(slot).phase() == Phase::Head;
            if !next_request || budget.is_spent() {
                break;
            }
        }
        if self.core.at(slot).awaits() {
            self.look_for_error(slot);
        }
        self.settle(slot);
    }

    /// Ends a connection that awaits an answer and whose peer has reset it. It is neither read nor
    /// written, which would tell, and its answer may cost the handler much.
    fn look_for_error(&mut self, slot: Slot) {
        let stream = self.streams[slot as usize].as_mut().expect("an occupied slot has a stream");
        if let Some(error) = stream.take_error() {
            self.doom(slot, reason_of(error.kind()));
        }
    }

    /// Leaves a connection for now: back on the ready list if more can be done, and with a
    /// deadline.
    pub(super) fn settle(&mut self, slot: Slot) {
        let connection = &self.core.connections[slot as usize];
        if connection.has_work(&self.core.limits) {
            let handle = connection.handle;
            self.core.queue(handle);
        }
        self.core.arm(slot);
    }

    /// Takes what was parked, or one read's worth of input. Says whether to come again.
    fn take_input(&mut self, slot: Slot, budget: &mut Budget) -> bool {
        let connection = &self.core.connections[slot as usize];
        let may_come = connection.input_due || connection.readable;
        if budget.is_spent() || !may_come || !connection.wants_input(&self.core.limits) {
            return false;
        }
        let mut scratch = mem::take(&mut self.scratch);
        let gathered = self.gather(slot, &mut scratch, budget);
        if let Some(length) = gathered {
            self.use_input(slot, &scratch[..length], budget);
        }
        self.scratch = scratch;
        gathered.is_some()
    }

    /// Puts the input to be used next into the scratch: what was parked, if something may come of
    /// it alone; else one read, behind the half of a head that is there already.
    fn gather(&mut self, slot: Slot, scratch: &mut [u8], budget: &mut Budget) -> Option<usize> {
        let connection = &self.core.connections[slot as usize];
        let parked = connection.input.as_ref();
        let held = parked.map_or(0, |input| self.core.inputs.load(input, scratch));
        if connection.input_due {
            return Some(held);
        }
        let length = self.read_into(slot, &mut scratch[held..], budget)?;
        Some(held + length)
    }

    /// Uses what is in the scratch, and parks what is left.
    fn use_input(&mut self, slot: Slot, bytes: &[u8], budget: &mut Budget) {
        let can_park =
            self.core.at(slot).input.is_some() || self.core.inputs.has_room() || bytes.is_empty();
        let mut rest = bytes;
        let taken = self.consume(slot, &mut rest, can_park, budget);
        let connection = self.core.at(slot);
        connection.input_due = matches!(taken, Taken::Some);
        let phase = connection.phase();
        if rest.is_empty() || !keeps_input(phase) {
            self.core.release_input(slot);
        } else if !self.core.park_input(slot, rest) && phase == Phase::Head {
            // Half a head cannot wait. Anything else was told not to come again: the answer before
            // it ends the connection.
            self.refuse(slot, CloseReason::Full, NO_ROOM);
        }
    }

    /// One read. `None` when there was nothing to be had; the end and errors are dealt with here.
    fn read_into(&mut self, slot: Slot, buffer: &mut [u8], budget: &mut Budget) -> Option<usize> {
        let stream = self.streams[slot as usize].as_mut().expect("an occupied slot has a stream");
        let now = self.core.now;
        // An interruption says nothing about what is there, and deadlines are judged by that.
        let read = loop {
            self.core.stats.reads += 1;
            match stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(0) => {
                self.take_end(slot);
                None
            }
            Ok(length) => {
                self.core.stats.bytes_read += length as u64;
                self.core.at(slot).note_heard(now);
                budget.bytes = budget.bytes.saturating_sub(length.max(READ_BYTES_MIN));
                Some(length)
            }
            Err(error) => {
                match error.kind() {
                    io::ErrorKind::WouldBlock => self.core.at(slot).readable = false,
                    // Who does not speak the stream's own protocol: no attempt of his has succeeded.
                    io::ErrorKind::InvalidData if self.core.at(slot).phase() == Phase::Head => {
                        self.core.stats.count_attempt(true);
                        self.doom(slot, CloseReason::BadRequest);
                    }
                    kind => self.doom(slot, reason_of(kind)),
                }
                None
            }
        }
    }

    /// The peer has said all it will say. The answers that it is owed still go out; state, which
    /// answers nothing, does not.
    fn take_end(&mut self, slot: Slot) {
        self.leave(slot, CloseReason::PeerLeft);
        let now = self.core.now;
        let connection = self.core.at(slot);
        connection.outbox.drop_news();
        if connection.outbox.is_empty() {
            self.doom(slot, CloseReason::PeerLeft);
        } else {
            connection.cause.get_or_insert(CloseReason::PeerLeft);
            connection.enter(Phase::Draining, now);
        }
    }

    /// Uses bytes as the phase says, until they are used up or something stops it. Without room to
    /// park a rest, budgets do not stop it: one read's worth is then handled at once.
    fn consume(
        &mut self,
        slot: Slot,
        rest: &mut &[u8],
        can_park: bool,
        budget: &mut Budget,
    ) -> Taken {
        loop {
            match self.core.at(slot).phase() {
                Phase::Head if rest.is_empty() => return Taken::All,
                Phase::Head => {
                    if let Taken::All = self.take_head(slot, rest, can_park, budget) {
                        return Taken::All;
                    }
                }
                // Pipelined requests wait until the answer is out.
                Phase::Reply => return Taken::Some,
                Phase::Open | Phase::Closing => {
                    return self.take_frames(slot, rest, can_park, budget);
                }
                Phase::Streaming | Phase::Lingering => {
                    self.discard(slot, rest.len());
                    *rest = &[];
                    return Taken::All;
                }
                Phase::Draining | Phase::Dead => return Taken::All,
            }
        }
    }

    /// Throws away what a peer sends that has nothing more to say, up to a limit.
    fn discard(&mut self, slot: Slot, length: usize) {
        let linger_bytes_max = self.core.limits.linger_bytes_max;
        let connection = self.core.at(slot);
        connection.lingered_bytes += length;
        if connection.lingered_bytes <= linger_bytes_max {
            return;
        }
        if connection.phase() == Phase::Streaming {
            let reason = CloseReason::Policy;
            self.close(slot, CloseWanted { code: 1008, text: "too much input", reason });
        } else {
            self.doom(slot, CloseReason::Finished);
        }
    }

    /// Acts on a deadline that has passed.
    pub(super) fn expire(&mut self, slot: Slot, deadline: Deadline) {
        match deadline {
            Deadline::Head if self.core.at(slot).has_begun_head() => {
                self.refuse(slot, CloseReason::HeadTimeout, SLOW_HEAD);
                self.write_out(slot);
            }
            Deadline::Head => self.doom(slot, CloseReason::HeadTimeout),
            Deadline::Idle => self.doom(slot, CloseReason::IdleTimeout),
            Deadline::Answer => {
                self.give_up_answer(slot);
                self.write_out(slot);
            }
            Deadline::Stall => self.doom(slot, CloseReason::SlowReader),
            Deadline::Silence => self.doom(slot, CloseReason::Silent),
            // What began the end is why it ended: a step of it that is late is no cause of its own.
            Deadline::Close => {
                let cause =
                    self.core.at(slot).cause.expect("whoever is on the way out has a cause");
                self.doom(slot, cause);
            }
            Deadline::Heartbeat => {
                self.core.at(slot).outbox.control().extend_from_slice(HEARTBEAT);
                self.write_out(slot);
            }
            Deadline::Ping => {
                let now = self.core.now;
                let connection = self.core.at(slot);
                connection.outbox.control().extend_from_slice(&PING);
                connection.note_pinged();
                connection.traffic.note_pinged(now);
                self.write_out(slot);
            }
        }
    }
}

/// Whether bytes that came in this phase may be of use later.
fn keeps_input(phase: Phase) -> bool {
    matches!(phase, Phase::Head | Phase::Reply | Phase::Open | Phase::Closing)
}

/// What an error of the network means.
fn reason_of(kind: io::ErrorKind) -> CloseReason {
    match kind {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => CloseReason::Reset,
        io::ErrorKind::InvalidData => CloseReason::ProtocolError,
        _ => CloseReason::Failed,
    }
}
