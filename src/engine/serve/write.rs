//! The one road to a socket, and what follows when everything is sent.

use std::io;
use std::mem;

use super::reason_of;
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::connection::{CloseReason, Phase};
use crate::engine::handle::Slot;
use crate::engine::handler::Handler;
use crate::engine::net::{Net, Stream};

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// Writes what a connection has to send, as far as the peer takes it: the one road to a socket.
    pub(in crate::engine) fn write_out(&mut self, slot: Slot) {
        let now = self.core.now;
        let mut room = self.core.limits.write_bytes_per_turn;
        let mut moved = false;
        let stream = self.streams[slot as usize].as_mut().expect("an occupied slot has a stream");
        let (stats, measures) = (&mut self.core.stats, &mut *self.core.measures);
        let connection =
            self.core.connections.get_mut(slot as usize).expect("the slot was found occupied");
        let was_read = connection.wants_input(&self.core.limits);
        let mut failed = None;
        if connection.writable && connection.outbox.is_empty() {
            failed = stream.flush().err().map(|error| reason_of(error.kind()));
        }
        while connection.phase() != Phase::Dead
            && connection.writable
            && room > 0
            && !connection.outbox.is_empty()
        {
            stats.writes += 1;
            match connection.outbox.with_slices(|slices| stream.write_vectored(slices)) {
                Ok(0) => failed = Some(CloseReason::Failed),
                Ok(length) => {
                    let mut taken = None;
                    let completed = connection.outbox.advance(length, |due| {
                        let taken = *taken.get_or_insert_with(|| self.clock.now());
                        measures.latency.record_since(taken, due);
                    });
                    connection.note_frames(completed.frames, now);
                    connection.traffic.bytes_sent += length as u64;
                    stats.messages_sent += completed.messages as u64;
                    stats.message_bytes_sent += completed.message_bytes as u64;
                    stats.bytes_written += length as u64;
                    room = room.saturating_sub(length);
                    moved = true;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => connection.writable = false,
                    io::ErrorKind::Interrupted => {}
                    kind => failed = Some(reason_of(kind)),
                },
            }
            if failed.is_some() {
                break;
            }
        }
        connection.note_written(moved, now);
        let left = if connection.outbox.is_empty() { 0 } else { connection.outbox.unsent_bytes() };
        measures.note_queued(mem::replace(&mut connection.queued_bytes, left), left);
        if !was_read && connection.wants_input(&self.core.limits) {
            connection.note_read_again(now);
        }
        match failed {
            Some(reason) => self.doom(slot, reason),
            None => self.note_sent(slot),
        }
    }

    /// Moves on when everything is sent.
    fn note_sent(&mut self, slot: Slot) {
        let now = self.core.now;
        let connection = self.core.at(slot);
        if !connection.outbox.is_empty() || connection.awaits() {
            return;
        }
        match connection.phase() {
            Phase::Reply if connection.keep_alive => connection.enter(Phase::Head, now),
            Phase::Reply | Phase::Draining => {
                connection.cause.get_or_insert(CloseReason::Finished);
                connection.enter(Phase::Lingering, now);
                connection.input_due = false;
                let stream = self.streams[slot as usize].as_mut();
                // Fails when the peer is gone, which the next read will find.
                let _ = stream.expect("an occupied slot has a stream").shutdown_write();
                self.core.release_input(slot);
            }
            _ => {}
        }
    }
}
