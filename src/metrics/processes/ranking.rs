//! The best so many of a long list, in one pass and in fixed memory.
//!
//! Owns a heap of the best so far, the worst of them on top, so that one that does not rank costs a
//! comparison. Promises: the same ranks whatever the order of the list, because no two keys are
//! equal; no allocation from the second list on. Imports nothing.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// What ranks: the value, then the tie-breaker, then the lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    value: u64,
    tie: u64,
    pid: Reverse<u32>,
}

impl Key {
    /// A key of whole numbers.
    pub fn new(value: u64, tie: u64, pid: u32) -> Key {
        Key { value, tie, pid: Reverse(pid) }
    }

    /// A key of a figure that is not negative; one that is not known ranks last.
    pub fn of_figure(figure: Option<f64>, tie: u64, pid: u32) -> Key {
        // The bits of doubles that are not negative are in the order of what they stand for.
        let value = figure.filter(|figure| *figure >= 0.0);
        Key::new(value.map_or(0, |figure| 1 + (figure + 0.0).to_bits()), tie, pid)
    }
}

#[derive(Debug)]
struct Ranked<T> {
    key: Key,
    item: T,
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Ranked<T> {}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// The best of what is offered.
#[derive(Debug)]
pub struct Ranking<T> {
    limit: usize,
    best: BinaryHeap<Reverse<Ranked<T>>>,
}

impl<T> Default for Ranking<T> {
    fn default() -> Self {
        Ranking { limit: 0, best: BinaryHeap::new() }
    }
}

impl<T> Ranking<T> {
    /// Begins anew, with room for `limit`.
    pub fn restart(&mut self, limit: usize) {
        self.best.clear();
        self.limit = limit;
    }

    /// Offers an item, which is made only if it ranks so far.
    pub fn offer(&mut self, key: Key, make: impl FnOnce() -> T) {
        if self.best.len() < self.limit {
            self.best.push(Reverse(Ranked { key, item: make() }));
        } else if let Some(mut worst) = self.best.peek_mut()
            && worst.0.key < key
        {
            *worst = Reverse(Ranked { key, item: make() });
        }
    }

    /// Takes the items out, the best first.
    pub fn take(&mut self, mut each: impl FnMut(T)) {
        let mut ranked = std::mem::take(&mut self.best).into_vec();
        ranked.sort_unstable();
        ranked.drain(..).for_each(|Reverse(Ranked { item, .. })| each(item));
        self.best = BinaryHeap::from(ranked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken(ranking: &mut Ranking<u32>) -> Vec<u32> {
        let mut items = Vec::new();
        ranking.take(|item| items.push(item));
        items
    }

    #[test]
    fn what_is_not_known_ranks_behind_nothing_at_all() {
        let mut ranking = Ranking::default();
        ranking.restart(9);
        let figures = [None, Some(0.0), Some(0.1), Some(100.0), Some(-0.0), Some(f64::NAN)];
        for (pid, figure) in (0u32..).zip(figures) {
            ranking.offer(Key::of_figure(figure, 0, pid), || pid);
        }
        assert_eq!(taken(&mut ranking), [3, 2, 1, 4, 0, 5]);
    }

    #[test]
    fn one_without_room_takes_nothing() {
        let mut ranking = Ranking::default();
        ranking.restart(0);
        ranking.offer(Key::new(1, 1, 1), || panic!("it cannot rank"));
        assert!(taken(&mut ranking).is_empty());
    }

    proptest! {
        #[test]
        fn the_best_are_those_that_a_sort_puts_first(
            values in prop::collection::vec((0..5u64, 0..5u64), 0..60),
            limit in 0..70usize,
        ) {
            let mut ranking = Ranking::default();
            for _ in 0..2 {
                ranking.restart(limit);
                let mut expected = Vec::new();
                for (pid, (value, tie)) in (0u32..).zip(&values) {
                    ranking.offer(Key::new(*value, *tie, pid), || pid);
                    expected.push((Reverse((*value, *tie)), pid));
                }
                expected.sort_unstable();
                expected.truncate(limit);
                let expected: Vec<u32> = expected.into_iter().map(|(_, pid)| pid).collect();
                prop_assert_eq!(taken(&mut ranking), expected);
            }
        }
    }
}
