//! What can be seen of the engine from outside: by the handler through its
//! [`Context`](super::handler::Context), and by the program that drives the loop.
//!
//! Owns the ways to look. Looking changes nothing and shows the moment: nothing is kept for it.

use super::Engine;
use super::clock::Clock;
use super::connection::Phase;
use super::handle::Handle;
use super::handler::Handler;
use super::ledger::Ledger;
use super::net::{Net, Peer};
use super::stats::Stats;
use super::tasks::{Owner, STREAM, TaskCounts, TaskView};

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// What the engine has counted.
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// What was taken and given back.
    pub fn ledger(&self) -> &Ledger {
        &self.core.ledger
    }

    /// Tasks by state.
    pub fn task_counts(&self) -> TaskCounts {
        self.core.tasks.counts
    }

    /// Every living task, the streams of open WebSockets among them.
    pub fn tasks(&self) -> impl Iterator<Item = TaskView> {
        let streams = self.core.connections.iter().filter_map(|(_, connection)| {
            let owner = Owner::Connection(connection.handle);
            connection.stream.map(|state| TaskView { name: STREAM, owner, state })
        });
        self.core.tasks.iter().map(|(_, task)| task).chain(streams)
    }

    /// Every connection: its name, where it comes from, and its phase.
    pub fn connections(&self) -> impl Iterator<Item = (Handle, Peer, Phase)> {
        self.core
            .connections
            .iter()
            .map(|(_, connection)| (connection.handle, connection.peer, connection.phase()))
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
    use crate::engine::clock::Tick;
    use crate::engine::core::Core;
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
