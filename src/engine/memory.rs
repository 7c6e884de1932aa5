//! The engine's memory: what the limits add up to.
//!
//! Owns the sum that is printed at start, and no memory. The ceiling counts the bytes asked of the
//! allocator, all limits reached at once; what the allocator needs itself and the gaps it leaves
//! come on top, and so does the program with its libraries. `tests/ceiling.rs` fills every limit
//! and holds the sum against an allocator that counts.

use super::Engine;
use super::addresses::Addresses;
use super::clock::Clock;
use super::compressor::Compressor;
use super::connection::Connection;
use super::connection::frame::{Frame, OVERHEAD_BYTES};
use super::connection::inflater::Inflater;
use super::connection::outbox::Outbox;
use super::connection::websocket::WebSocket;
use super::core::TimerKey;
use super::handle::{Handle, Slot};
use super::handler::Handler;
use super::limits::{INPUT_BYTES_MAX, Limits};
use super::measures::Measures;
use super::net::{EVENTS_PER_POLL, Event, Net};
use super::tasks::Tasks;
use super::wheel::Wheel;

/// The answer to one who is turned away, with what its keeping takes.
const REFUSAL_BYTES: usize = 256;

impl Limits {
    /// Bytes of memory that the engine takes at most, whatever its peers do. Sockets and the
    /// handler come on top: [`Engine::memory_ceiling`].
    pub fn memory_ceiling(&self) -> usize {
        self.table_bytes()
            // Input that waits: one stretch, reserved at start, and which parts of it are free.
            + self.inputs_max * (INPUT_BYTES_MAX + size_of::<u32>())
            // Where a read goes first, and where a control frame does before its lane is known.
            + INPUT_BYTES_MAX + 256
            // What each connection that is served may be owed and may have begun to say.
            + self.connections_max * self.connection_bytes()
            // What one who is turned away is told.
            + self.refusals_max * REFUSAL_BYTES
            // Control bytes that wait: up to the limit a peer is read on, and one read can hold
            // pings alone. The lane grows by doubling.
            + self.slots() * 2 * (self.control_bytes_max + INPUT_BYTES_MAX)
            // Frames that are shared, and the pool's list of them.
            + self.frames_max() * (self.shared_bytes_max + OVERHEAD_BYTES + size_of::<Frame>())
            // Bodies that are long and shared, one of them being made, and the pool's list of them.
            + self.long_frames_max * (self.long_bytes_max + OVERHEAD_BYTES + size_of::<Frame>())
            + self.long_bytes_max
            // The frame and the answer that are being made, which grow by doubling.
            + 2 * (self.shared_bytes_max + self.reply_bytes_max)
            // What compresses, and what inflates.
            + Compressor::MEMORY_CEILING + self.inflater_bytes()
            // A drain's list of connections and an ending's list of tasks.
            + self.slots() * size_of::<Slot>() + Tasks::list_bytes(self.tasks_max)
    }

    /// What inflates the messages of clients, if any may agree to compress theirs.
    fn inflater_bytes(&self) -> usize {
        if self.deflates() { Inflater::memory_ceiling(self.message_bytes_max) } else { 0 }
    }

    /// The tables and lists that are made at start and never grow.
    fn table_bytes(&self) -> usize {
        let slots = self.slots();
        // A connection, or the number of the next free place.
        slots * (size_of::<Connection>() + size_of::<usize>())
            // What is measured.
            + size_of::<Measures>()
            // The generation of each place.
            + slots * size_of::<u32>()
            // Ready: twice as many as there are places, for those that have ended.
            + 2 * slots * size_of::<Handle>()
            // Touched: each place once, and whether it is there.
            + slots * (size_of::<Slot>() + size_of::<bool>())
            // Doomed.
            + slots * size_of::<Slot>()
            // What a poll has found.
            + (slots + EVENTS_PER_POLL) * size_of::<Event>()
            // How many connections each address has.
            + Addresses::memory_bytes(slots)
            // A timer for each connection and each task.
            + Wheel::<TimerKey>::memory_bytes(self.timers())
            // The tasks, and those whose cancelling the handler is to hear of.
            + Tasks::memory_bytes(self.tasks_max) + Tasks::list_bytes(self.tasks_max)
    }

    /// What one connection that is served may hold beside its place, its input and its control
    /// lane.
    fn connection_bytes(&self) -> usize {
        // A WebSocket's state, with half a frame beside the fragments that came before it.
        WebSocket::memory_ceiling(self.message_bytes_max)
            // Answers, the frame that is begun among them; an HTTP body is one.
            + self.reply_bytes_max + OVERHEAD_BYTES
            // The lists of answers and of events that wait, and a gap.
            + Outbox::MEMORY_CEILING
    }
}

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// Bytes of memory that the engine, its sockets and its handler take at most, whatever peers
    /// do: [`Limits::memory_ceiling`], the handler's own, and the value itself. What the host's
    /// size decides and no peer can change, such as the length of the names it gives its disks, is
    /// the handler's to leave out.
    pub fn memory_ceiling(&self) -> usize {
        let limits = &self.core.limits;
        limits.memory_ceiling()
            + self.handler.memory_ceiling(limits)
            + limits.slots() * (size_of::<Option<N::Stream>>() + self.net.stream_memory_ceiling())
            + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_grows_with_each_limit_that_takes_memory() {
        let base = Limits::default();
        let grown = [
            Limits { connections_max: base.connections_max + 1, ..Limits::default() },
            Limits { refusals_max: base.refusals_max + 1, ..Limits::default() },
            Limits { inputs_max: base.inputs_max + 1, ..Limits::default() },
            Limits { message_bytes_max: base.message_bytes_max + 1, ..Limits::default() },
            Limits { reply_bytes_max: base.reply_bytes_max + 1, ..Limits::default() },
            Limits { long_bytes_max: base.long_bytes_max + 1, ..Limits::default() },
            Limits { long_frames_max: base.long_frames_max + 1, ..Limits::default() },
            Limits { control_bytes_max: base.control_bytes_max + 1, ..Limits::default() },
            Limits { classes_max: base.classes_max + 1, ..Limits::default() },
            Limits { shared_bytes_max: base.shared_bytes_max + 1, ..Limits::default() },
            Limits { tasks_max: base.tasks_max + 1, ..Limits::default() },
        ];
        for limits in grown {
            assert!(limits.memory_ceiling() > base.memory_ceiling(), "{limits:?}");
        }
    }
}
