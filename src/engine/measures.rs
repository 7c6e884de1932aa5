//! What the engine measures of itself, beside what it counts (`stats.rs`).
//!
//! Owns four histograms and the sum of the bytes that wait: 17 KB, fixed. Recording allocates
//! nothing and takes a few dozen instructions. Besides the reading of the clock that a turn needs
//! anyway it takes one at the turn's end, and one after each write that completed a frame with a
//! due time. [`Measured`] is how they are looked at, from outside and by handlers; looking walks
//! buckets and changes nothing. Imports the histograms and the clock's [`Tick`].

use std::time::Duration;

use super::clock::Tick;
use super::histogram::{Histogram, Summary, Total, Window};

/// What messages and pings took: long enough for a p99 at one message a second, short enough for an
/// alert to clear soon.
const RECENTLY: Duration = Duration::from_secs(60);

/// What turns took: a long one is rare, and is to be seen when somebody looks.
const LATELY: Duration = Duration::from_secs(5 * 60);

/// The figures.
#[derive(Debug)]
pub(super) struct Measures {
    /// From a frame's due time to its last byte's being taken.
    pub(super) latency: Window<6>,
    /// From pings to their pongs.
    pub(super) round_trips: Window<6>,
    /// From polls' returns to the ends of their turns.
    pub(super) busy: Window<5>,
    /// From accept to release.
    pub(super) lifetimes: Histogram,
    /// Bytes that were left of all outboxes when each was last written out.
    queued_bytes: usize,
    queued_bytes_max: usize,
}

impl Measures {
    pub(super) fn new() -> Measures {
        Measures {
            latency: Window::new(RECENTLY),
            round_trips: Window::new(RECENTLY),
            busy: Window::new(LATELY),
            lifetimes: Histogram::new(),
            queued_bytes: 0,
            queued_bytes_max: 0,
        }
    }

    /// Takes note that `left` bytes wait where `before` did.
    pub(super) fn note_queued(&mut self, before: usize, left: usize) {
        self.queued_bytes = self.queued_bytes - before + left;
        self.queued_bytes_max = self.queued_bytes_max.max(self.queued_bytes);
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }
}

/// The engine's measures at an instant, to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    measures: &'a Measures,
    now: Tick,
}

impl<'a> Measured<'a> {
    pub(super) fn new(measures: &'a Measures, now: Tick) -> Measured<'a> {
        Measured { measures, now }
    }

    /// From the due time of a frame to its last byte's being taken by the kernel, once for each
    /// reader, over the last 60 s. A frame that a newer one has replaced is none; nor is one
    /// without a due time.
    pub fn latency(&self) -> Summary {
        self.measures.latency.summary(self.now)
    }

    /// How many such frames since the start, and what they took in all.
    pub fn latency_total(&self) -> Total {
        self.measures.latency.total()
    }

    /// From pings to their pongs, the time in our outboxes included, of all WebSockets together
    /// over the last 60 s.
    pub fn round_trips(&self) -> Summary {
        self.measures.round_trips.summary(self.now)
    }

    /// How long connections lived that have ended, of every kind, from accept to release, since the
    /// start. Those that live are not among them.
    pub fn lifetimes(&self) -> &'a Histogram {
        &self.measures.lifetimes
    }

    /// What turns had to do: from the poll's return to the end of the turn, over the last 5
    /// minutes. What the program that drives the loop does between two turns is not in it.
    pub fn busy(&self) -> Summary {
        self.measures.busy.summary(self.now)
    }

    /// Bytes that the kernel has not taken, of all connections together, as each was when it was
    /// last written out. That is exact between turns, but for what more than a turn's share of
    /// readers (1,000) are still to be offered and what a handler has withdrawn since. What this
    /// turn has queued is not in it yet.
    pub fn queued_bytes(&self) -> usize {
        self.measures.queued_bytes
    }

    /// The most that these were at one time.
    pub fn queued_bytes_max(&self) -> usize {
        self.measures.queued_bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_take_as_much_memory_as_the_docs_say() {
        assert!((16_000..17_500).contains(&size_of::<Measures>()), "{}", size_of::<Measures>());
    }

    #[test]
    fn the_most_that_waited_is_of_one_time() {
        let mut measures = Measures::new();
        measures.note_queued(0, 30);
        measures.note_queued(0, 20);
        measures.note_queued(30, 0);
        measures.note_queued(20, 25);
        assert_eq!((measures.queued_bytes, measures.queued_bytes_max), (25, 50));
    }
}
