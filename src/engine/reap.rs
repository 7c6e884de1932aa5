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
use super::tasks::{Owner, STREAM, TaskState};

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// Ends a connection: it does nothing more and is released at the end of the turn. The first
    /// cause that was noted is the one that counts.
    pub(super) fn doom(&mut self, slot: Slot, reason: CloseReason) {
        let now = self.core.now;
        let connection = self.core.at(slot);
        if connection.phase() == Phase::Dead {
            return;
        }
        let cause = *connection.cause.get_or_insert(reason);
        self.leave(slot, cause);
        self.end_stream(slot, reason);
        let connection = self.core.at(slot);
        if connection.owns_tasks {
            let owner = Owner::Connection(connection.handle);
            self.core.cancel_owned(owner);
        }
        self.core.at(slot).enter(Phase::Dead, now);
        self.core.doomed.push(slot);
    }

    /// Ends the task that an open WebSocket or an event stream is. One that we were closing is
    /// cancelled, by force if its peer has not answered in time; one that its peer ended is
    /// complete.
    fn end_stream(&mut self, slot: Slot, reason: CloseReason) {
        let connection = self.core.at(slot);
        let Some(from) = connection.stream.take() else { return };
        let cause = connection.cause.unwrap_or(reason);
        let (handle, phase) = (connection.handle, connection.phase());
        let is_cancelled = from == TaskState::Cancelling || !cause.is_the_peers();
        let to = if is_cancelled { TaskState::Cancelled } else { TaskState::Completed };
        self.core.tasks.counts.end(from, to);
        let is_overdue = phase == Phase::Closing && !reason.is_the_peers();
        if from == TaskState::Cancelling && is_overdue {
            self.core.note_forced(STREAM, Owner::Connection(handle));
        }
    }

    /// Releases every doomed connection.
    pub(super) fn reap(&mut self) {
        while let Some(slot) = self.core.doomed.pop() {
            self.release(slot);
            // What kept the listeners waiting may have been this connection's room.
            self.stop_retrying();
        }
    }

    fn release(&mut self, slot: Slot) {
        self.core.disarm(slot);
        self.core.release_input(slot);
        let index = slot as usize;
        let mut connection = self.core.connections.remove(index);
        assert!(!connection.is_member, "the handler was told before the release");
        let stream = self.streams[index].take().expect("an occupied slot has a stream");
        self.net.close(stream);
        self.core.ledger.close(Resource::Socket);
        self.core.generations[index] = self.core.generations[index].wrapping_add(1);
        self.core.ledger.close(Resource::Slot);
        self.core.addresses.remove(&connection.peer);
        if connection.is_refused {
            self.accepting.refused -= 1;
        }
        let reason = connection.cause.expect("the dead have a cause");
        self.core.stats.count_close(reason);
        self.core.measures.note_queued(connection.queued_bytes, 0);
        let lifetime = self.core.now.since(connection.opened());
        self.core.measures.lifetimes.record(lifetime);
        connection.is_released = true;
        log::debug!(
            "connection={} peer={} state=DISCONNECTED reason={reason} open_ms={} conflated={}",
            connection.handle,
            connection.peer,
            lifetime.as_millis(),
            connection.outbox.conflated(),
        );
    }
}
