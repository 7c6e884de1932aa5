//! The one place where a connection is released.
//!
//! Every end is first a push on the doomed list; at the end of the turn each is released here, in a
//! fixed order. Until then its slot is not used again, so nothing that a turn has noted about it
//! can mean another connection; afterwards its generation has grown, so no handle finds it.

use super::Engine;
use super::clock::Clock;
use super::connection::{CloseReason, Phase};
use super::handle::Slot;
use super::handler::Handler;
use super::ledger::Resource;
use super::net::Net;

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// Ends a connection: it does nothing more and is released at the end of the turn. The first
    /// cause that was noted is the one that counts.
    pub(super) fn doom(&mut self, slot: Slot, reason: CloseReason) {
        let now = self.core.now;
        let connection = self.core.at(slot);
        if connection.phase() == Phase::Dead {
            return;
        }
        let reason = *connection.cause.get_or_insert(reason);
        self.leave(slot, reason);
        self.core.at(slot).enter(Phase::Dead, now);
        self.core.doomed.push(slot);
    }

    /// Releases every doomed connection.
    pub(super) fn reap(&mut self) {
        while let Some(slot) = self.core.doomed.pop() {
            self.release(slot);
            // What kept the listeners waiting may have been this connection's room.
            self.accepting.paused_until = None;
        }
    }

    fn release(&mut self, slot: Slot) {
        self.core.disarm(slot);
        let index = slot as usize;
        let mut connection = self.core.connections.remove(index);
        assert!(!connection.is_member, "the handler was told before the release");
        if let Some(input) = connection.input.take() {
            self.core.return_input_buffer(input);
        }
        let stream = self.streams[index].take().expect("an occupied slot has a stream");
        self.net.close(stream);
        self.core.ledger.close(Resource::Socket);
        self.core.generations[index] = self.core.generations[index].wrapping_add(1);
        self.core.ledger.close(Resource::Slot);
        if connection.is_refused {
            self.accepting.refused -= 1;
        }
        let reason = connection.cause.expect("the dead have a cause");
        self.core.stats.count_close(reason);
        connection.is_released = true;
        log::debug!(
            "connection={} peer={} state=DISCONNECTED reason={reason} open_ms={} conflated={}",
            connection.handle,
            connection.peer,
            self.core.now.since(connection.opened()).as_millis(),
            connection.outbox.conflated(),
        );
    }
}
