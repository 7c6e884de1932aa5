//! What can be seen of the engine from outside: by the handler through its
//! [`Context`](super::handler::Context), and by the program that drives the loop.
//!
//! Owns the plain values that are shown and the ways to get them. Looking changes nothing and shows
//! the moment: nothing is kept for it. How the values are written down is for whoever asked.

use std::time::Duration;

use super::Engine;
use super::clock::{Clock, Tick};
use super::connection::{Connection, Phase};
use super::core::Core;
use super::handle::Handle;
use super::handler::Handler;
use super::ledger::{Ledger, Resource};
use super::measures::Measured;
use super::net::{Net, Peer};
use super::stats::{PoolStatistics, Stats};
use super::tasks::{Owner, STREAM, TaskCounts, TaskView};

/// A connection, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    /// Its name.
    pub handle: Handle,
    /// Where it comes from.
    pub peer: Peer,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it was accepted.
    pub opened: Tick,
    /// Bytes that the kernel has taken for it.
    pub bytes_sent: u64,
    /// State frames that were replaced before they were begun.
    pub frames_conflated: u64,
    /// Bytes that wait for it here.
    pub bytes_queued: usize,
    /// From our last ping that was answered to its pong; `None` before the first.
    pub round_trip: Option<Duration>,
}

/// What is taken from a pool and given back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pools {
    /// Buffers of frames that subscribers share.
    pub frames: PoolStatistics,
    /// Input buffers, for half-received heads above all.
    pub inputs: PoolStatistics,
    /// Places in the connection table.
    pub slots: PoolStatistics,
}

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// What the engine has counted.
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// What the engine has measured, as it is at the turn's instant.
    pub fn measured(&self) -> Measured<'_> {
        self.core.measured()
    }

    /// What was taken and given back.
    pub fn ledger(&self) -> &Ledger {
        &self.core.ledger
    }

    /// What the pools hold. Walks the frames.
    pub fn pools(&self) -> Pools {
        self.core.pools()
    }

    /// Tasks by state.
    pub fn task_counts(&self) -> TaskCounts {
        self.core.tasks.counts
    }

    /// Every living task, those of subscribers among them.
    pub fn tasks(&self) -> impl Iterator<Item = TaskView> {
        let streams = self.core.connections.iter().filter_map(|(_, connection)| {
            let owner = Owner::Connection(connection.handle);
            connection.stream.map(|state| TaskView { name: STREAM, owner, state })
        });
        self.core.tasks.iter().map(|(_, task)| task).chain(streams)
    }

    /// Every connection, those among them that are to be released at the end of the turn.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionView> {
        self.core.views()
    }

    /// Compares the ledger with the structures. Walks every connection.
    ///
    /// # Errors
    /// The first disagreement, as a sentence: something leaked or was released twice.
    pub fn check(&self) -> Result<(), String> {
        self.core.check(self.streams.held())
    }

    /// Like [`Engine::check`], for tests and builds that had better stop.
    ///
    /// # Panics
    /// With the first disagreement.
    pub fn audit(&self) {
        if let Err(disagreement) = self.check() {
            panic!("{disagreement}");
        }
    }
}

impl Core {
    /// Every connection in the table.
    pub(super) fn views(&self) -> impl Iterator<Item = ConnectionView> {
        self.connections.iter().map(|(_, connection)| view(connection))
    }

    pub(super) fn measured(&self) -> Measured<'_> {
        Measured::new(&self.measures, self.now)
    }

    /// What the pools hold.
    pub(super) fn pools(&self) -> Pools {
        let frames = self.frames.statistics();
        let slots = self.ledger.row(Resource::Slot);
        Pools {
            frames,
            inputs: self.inputs.statistics(),
            // The table takes a new place only when none is free, so it has had `high` of them.
            slots: PoolStatistics {
                live: slots.live() as usize,
                high: slots.high as usize,
                reused: slots.opened - slots.high,
            },
        }
    }
}

fn view(connection: &Connection) -> ConnectionView {
    ConnectionView {
        handle: connection.handle,
        peer: connection.peer,
        phase: connection.phase(),
        opened: connection.opened(),
        bytes_sent: connection.traffic.bytes_sent,
        frames_conflated: connection.outbox.conflated(),
        bytes_queued: connection.outbox.unsent_bytes(),
        round_trip: connection.traffic.round_trip(),
    }
}

/// The sockets by slot, of whatever kind they are, so that a [`Context`](super::handler::Context)
/// can have them compared with the ledger.
pub(super) trait Sockets {
    /// How many there are.
    fn held(&self) -> usize;
}

impl<S> Sockets for Vec<Option<S>> {
    fn held(&self) -> usize {
        self.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::limits::Limits;

    fn core() -> Core {
        Core::new(Limits::default(), Tick::ZERO)
    }

    #[test]
    fn books_and_house_agree_at_the_start() {
        assert_eq!(core().check(0), Ok(()));
    }

    #[test]
    fn each_kind_of_leak_is_named() {
        for resource in crate::engine::ledger::RESOURCES {
            let mut core = core();
            core.ledger.open(resource);
            let disagreement = format!("ledger says 1 of {resource:?} are out, 0 are held");
            assert_eq!(core.check(0), Err(disagreement));
        }
        assert!(core().check(1).is_err_and(|sentence| sentence.contains("Socket")));
    }

    #[test]
    fn a_timer_of_nobody_and_a_task_without_an_entry_are_found() {
        let mut leaked = core();
        let task = leaked.spawn("job", Owner::Handler, Tick::from_millis(5), None).unwrap();
        leaked.tasks.take_timer(task);
        assert_eq!(leaked.check(0), Err("a timer belongs to nobody".to_owned()));
        let mut leaked = core();
        leaked.tasks.counts.begin();
        assert_eq!(leaked.check(0), Err("a task is counted and is not there".to_owned()));
    }
}
