//! A connection's share of a turn: read, transition, write, under budgets.
//!
//! Everything that comes from a peer enters here, and everything that goes to one leaves in
//! `write_out`, the only place that writes to a socket. Input is taken from the shared
//! scratch in place; what cannot be consumed now (half a head, pipelined requests, messages beyond
//! a budget) is parked in a pooled buffer, and the socket is not read until that is used up. So the
//! scratch is always free when the next connection is served.

mod frames;
mod request;
mod write;

use std::io;
use std::mem;

use self::request::SLOW_HEAD;
pub(super) use self::request::{NO_ROOM, NO_SHARE};
use super::Engine;
use super::clock::Clock;
use super::connection::websocket::PING;
use super::connection::{CloseReason, Deadline, Phase};
use super::handle::Slot;
use super::handler::Handler;
use super::limits::INPUT_BYTES_MAX;
use super::net::{Net, Stream};

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
        self.settle(slot);
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

    /// Takes one read's worth of input, or what was parked. Says whether to come again.
    fn take_input(&mut self, slot: Slot, budget: &mut Budget) -> bool {
        let connection = &self.core.connections[slot as usize];
        if budget.is_spent() || !connection.wants_input(&self.core.limits) {
            return false;
        }
        if connection.input_due {
            let input = self.core.at(slot).input.take();
            return self.take_parked(slot, input, budget);
        }
        if !connection.readable {
            return false;
        }
        match self.core.at(slot).input.take() {
            Some(input) => self.read_behind(slot, input, budget),
            None => self.read_scratch(slot, budget),
        }
    }

    /// Reads into the scratch and uses the bytes there.
    fn read_scratch(&mut self, slot: Slot, budget: &mut Budget) -> bool {
        let mut scratch = mem::take(&mut self.scratch);
        let read = self.read_into(slot, &mut scratch[..], budget);
        if let Some(length) = read {
            self.use_scratch(slot, &scratch[..length], budget);
        }
        self.scratch = scratch;
        read.is_some()
    }

    fn use_scratch(&mut self, slot: Slot, bytes: &[u8], budget: &mut Budget) {
        let can_park = self.core.has_input_buffer();
        let mut rest = bytes;
        let taken = self.consume(slot, &mut rest, can_park, budget);
        let connection = self.core.at(slot);
        connection.input_due = matches!(taken, Taken::Some);
        let connection_phase = connection.phase();
        if rest.is_empty() || !keeps_input(connection_phase) {
            return;
        }
        match self.core.take_input_buffer() {
            Some(mut input) => {
                input.extend_from_slice(rest);
                self.core.at(slot).input = Some(input);
            }
            // Half a head cannot wait. Anything else was told not to come again: the answer before
            // it ends the connection.
            None if connection_phase == Phase::Head => {
                self.refuse(slot, CloseReason::Full, NO_ROOM)
            }
            None => {}
        }
    }

    /// Reads behind the half of a head that is there already.
    fn read_behind(&mut self, slot: Slot, mut input: Vec<u8>, budget: &mut Budget) -> bool {
        let held = input.len();
        input.resize(INPUT_BYTES_MAX, 0);
        let read = self.read_into(slot, &mut input[held..], budget);
        input.truncate(held + read.unwrap_or(0));
        if read.is_some() {
            return self.take_parked(slot, Some(input), budget);
        }
        self.park(slot, Some(input));
        false
    }

    /// Uses what was parked, and parks what is left.
    fn take_parked(&mut self, slot: Slot, input: Option<Vec<u8>>, budget: &mut Budget) -> bool {
        let bytes = input.as_deref().unwrap_or_default();
        let mut rest = bytes;
        self.core.is_input_at_hand = input.is_some();
        let taken = self.consume(slot, &mut rest, true, budget);
        self.core.is_input_at_hand = false;
        let consumed = bytes.len() - rest.len();
        self.core.at(slot).input_due = matches!(taken, Taken::Some);
        let input = input.map(|mut input| {
            input.drain(..consumed);
            input
        });
        self.park(slot, input);
        true
    }

    /// Puts an input buffer back into the connection if it holds anything of use, else into the
    /// pool.
    fn park(&mut self, slot: Slot, input: Option<Vec<u8>>) {
        let Some(input) = input else { return };
        let connection = self.core.at(slot);
        if !input.is_empty() && keeps_input(connection.phase()) {
            connection.input = Some(input);
        } else {
            self.core.return_input_buffer(input);
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
                budget.bytes = budget.bytes.saturating_sub(length);
                Some(length)
            }
            Err(error) => {
                match error.kind() {
                    io::ErrorKind::WouldBlock => self.core.at(slot).readable = false,
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
                Phase::Lingering => {
                    self.discard(slot, rest.len());
                    *rest = &[];
                    return Taken::All;
                }
                Phase::Draining | Phase::Dead => return Taken::All,
            }
        }
    }

    /// Throws away what a refused peer still sends, up to a limit.
    fn discard(&mut self, slot: Slot, length: usize) {
        let linger_bytes_max = self.core.limits.linger_bytes_max;
        let connection = self.core.at(slot);
        connection.lingered_bytes += length;
        if connection.lingered_bytes > linger_bytes_max {
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
            Deadline::Stall => self.doom(slot, CloseReason::SlowReader),
            Deadline::Silence => self.doom(slot, CloseReason::Silent),
            // What began the end is why it ended: a step of it that is late is no cause of its own.
            Deadline::Close => {
                let cause =
                    self.core.at(slot).cause.expect("whoever is on the way out has a cause");
                self.doom(slot, cause);
            }
            Deadline::Ping => {
                let now = self.core.now;
                let connection = self.core.at(slot);
                connection.outbox.control().extend_from_slice(&PING);
                connection.note_pinged(now);
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
        _ => CloseReason::Failed,
    }
}
