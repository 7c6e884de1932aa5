//! What was taken and what was given back.
//!
//! Each resource has two counters that only grow: opened and closed. [`Ledger::check`] compares
//! their difference with what the structures really hold; a leak, or a thing released twice, shows
//! as an inequality with a name. Imports nothing of the engine.

use std::fmt;

/// A kind of thing that is taken and must be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Resource {
    /// A socket and its registration with the poll: accept, release.
    Socket,
    /// A place in the connection table: accept, release.
    Slot,
    /// An entry in the timer wheel: arm; fire or cancel.
    Timer,
    /// An input buffer: taken for a partial head or parked input; input consumed, release.
    Input,
    /// A subscriber, an open WebSocket or an event stream, that the handler knows of: open, closed.
    Member,
}

/// All resources, in the order of the ledger's rows.
pub const RESOURCES: [Resource; 5] =
    [Resource::Socket, Resource::Slot, Resource::Timer, Resource::Input, Resource::Member];

impl Resource {
    /// The resource's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Socket => "socket",
            Resource::Slot => "slot",
            Resource::Timer => "timer",
            Resource::Input => "input",
            Resource::Member => "member",
        }
    }
}

/// One resource's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Times one was taken.
    pub opened: u64,
    /// Times one was given back.
    pub closed: u64,
    /// The most that were out at one time.
    pub high: u64,
}

impl Row {
    /// How many are out now.
    pub fn live(&self) -> u64 {
        self.opened - self.closed
    }
}

/// The counters of every resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    rows: [Row; RESOURCES.len()],
}

impl Ledger {
    /// Records that one was taken.
    pub fn open(&mut self, resource: Resource) {
        let row = &mut self.rows[resource as usize];
        row.opened += 1;
        row.high = row.high.max(row.live());
    }

    /// Records that one was given back.
    ///
    /// # Panics
    /// If none is out: something was released twice.
    pub fn close(&mut self, resource: Resource) {
        let row = &mut self.rows[resource as usize];
        assert!(row.closed < row.opened, "{resource:?} is given back more often than taken");
        row.closed += 1;
    }

    /// One resource's counters.
    pub fn row(&self, resource: Resource) -> Row {
        self.rows[resource as usize]
    }

    /// Checks that as many of `resource` are out as the structures hold.
    ///
    /// # Errors
    /// A sentence, if not: the books and the house disagree.
    pub fn check(&self, resource: Resource, held: usize) -> Result<(), String> {
        let live = self.row(resource).live();
        let disagreement =
            format_args!("ledger says {live} of {resource:?} are out, {held} are held");
        ensure(live == held as u64, disagreement)
    }
}

/// One rule of an audit: nothing if it holds, else the sentence.
pub(super) fn ensure(holds: bool, otherwise: fmt::Arguments<'_>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_is_opened_less_closed_and_high_is_its_peak() {
        let mut ledger = Ledger::default();
        ledger.open(Resource::Slot);
        ledger.open(Resource::Slot);
        ledger.close(Resource::Slot);
        assert_eq!(ledger.row(Resource::Slot), Row { opened: 2, closed: 1, high: 2 });
        assert_eq!(ledger.check(Resource::Slot, 1), Ok(()));
    }

    #[test]
    #[should_panic(expected = "more often than taken")]
    fn giving_back_what_was_not_taken_is_a_bug() {
        Ledger::default().close(Resource::Timer);
    }

    #[test]
    fn a_leak_is_named() {
        let mut ledger = Ledger::default();
        ledger.open(Resource::Socket);
        let sentence = "ledger says 1 of Socket are out, 0 are held".to_owned();
        assert_eq!(ledger.check(Resource::Socket, 0), Err(sentence));
    }

    #[test]
    fn the_rows_are_in_the_order_of_the_resources() {
        for (index, resource) in RESOURCES.into_iter().enumerate() {
            assert_eq!(resource as usize, index);
        }
    }
}
