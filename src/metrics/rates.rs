//! From counters to rates.
//!
//! Owns the previous reading of each counter and the real time it was taken.
//! Promises: a rate uses the time that really passed, never the nominal interval; the first reading
//! has no rate, and neither has one that went back (a reset, a wrap, a device replaced under the
//! same name); keys that are no longer listed are forgotten at once.
//! May import: std only.

use std::time::Duration;

/// Counters that are read together.
#[derive(Clone, Debug)]
pub struct Counters<const N: usize> {
    previous: [Option<u64>; N],
    read_at: Option<Duration>,
}

/// What happened between two readings.
#[derive(Clone, Copy, Debug)]
pub struct Deltas<const N: usize> {
    deltas: [Option<u64>; N],
    elapsed_s: f64,
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Counters { previous: [None; N], read_at: None }
    }
}

impl<const N: usize> Counters<N> {
    /// Takes a reading and gives what changed since the one before.
    pub fn advance(&mut self, now: Duration, current: [Option<u64>; N]) -> Deltas<N> {
        let elapsed = self.read_at.and_then(|read_at| now.checked_sub(read_at));
        let mut deltas = [None; N];
        if elapsed.is_some_and(|elapsed| !elapsed.is_zero()) {
            for (delta, (current, previous)) in
                deltas.iter_mut().zip(current.iter().zip(&self.previous))
            {
                *delta = current.zip(*previous).and_then(|(now, before)| now.checked_sub(before));
            }
        }
        self.previous = current;
        self.read_at = Some(now);
        Deltas { deltas, elapsed_s: elapsed.unwrap_or_default().as_secs_f64() }
    }
}

impl<const N: usize> Deltas<N> {
    /// How much the counter at `index` grew.
    pub fn delta(&self, index: usize) -> Option<f64> {
        self.deltas.get(index).copied().flatten().map(|delta| delta as f64)
    }

    /// How much it grew a second.
    pub fn per_second(&self, index: usize) -> Option<f64> {
        self.delta(index).map(|delta| delta / self.elapsed_s)
    }

    /// The seconds between the two readings; 0 where there is no earlier one.
    pub fn elapsed_s(&self) -> f64 {
        self.elapsed_s
    }
}

/// State for each name in a listing that the kernel repeats, such as counters for each disk.
///
/// Entries stand in the order of the latest listing, so that the next one finds each at once.
#[derive(Debug)]
pub struct Keyed<T> {
    entries: Vec<(String, T)>,
    /// Entries before it belong to the listing under way.
    listed: usize,
    limit: usize,
}

impl<T> Keyed<T> {
    /// Room for `limit` names.
    pub fn with_limit(limit: usize) -> Self {
        Keyed { entries: Vec::new(), listed: 0, limit }
    }

    /// Begins a listing.
    pub fn begin(&mut self) {
        self.listed = 0;
    }

    /// The next name listed: its state from the listing before, or a new one from `make`.
    /// `None` once the limit is reached.
    pub fn next(&mut self, key: &str, make: impl FnOnce() -> T) -> Option<&mut T> {
        let place = self.listed;
        if place >= self.limit {
            return None;
        }
        let rest = &self.entries[place..];
        match rest.iter().position(|(known, _)| known == key) {
            Some(offset) => self.entries.swap(place, place + offset),
            None => self.entries.insert(place, (key.to_owned(), make())),
        }
        self.listed += 1;
        Some(&mut self.entries[place].1)
    }

    /// Ends a listing: what it did not name is forgotten.
    pub fn finish(&mut self) {
        self.entries.truncate(self.listed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_first_reading_has_no_rate() {
        let deltas = Counters::default().advance(SECOND, [Some(5)]);
        assert_eq!(deltas.per_second(0), None);
    }

    #[test]
    fn a_rate_uses_the_time_that_really_passed() {
        let mut counters = Counters::default();
        counters.advance(SECOND, [Some(100)]);
        let deltas = counters.advance(SECOND + Duration::from_millis(2500), [Some(600)]);
        assert_eq!(deltas.delta(0), Some(500.0));
        assert_eq!(deltas.per_second(0), Some(200.0));
    }

    #[test]
    fn a_counter_that_went_back_has_no_rate_once_and_the_others_keep_theirs() {
        let mut counters = Counters::default();
        counters.advance(SECOND, [Some(100), Some(1)]);
        let deltas = counters.advance(SECOND * 2, [Some(10), Some(3)]);
        assert_eq!((deltas.per_second(0), deltas.per_second(1)), (None, Some(2.0)));
        let deltas = counters.advance(SECOND * 3, [Some(15), Some(3)]);
        assert_eq!((deltas.per_second(0), deltas.per_second(1)), (Some(5.0), Some(0.0)));
    }

    #[test]
    fn no_time_or_a_clock_that_went_back_gives_no_rate() {
        let mut counters = Counters::default();
        counters.advance(SECOND * 2, [Some(1)]);
        assert_eq!(counters.advance(SECOND * 2, [Some(2)]).per_second(0), None);
        assert_eq!(counters.advance(SECOND, [Some(3)]).per_second(0), None);
        assert_eq!(counters.advance(SECOND * 2, [Some(4)]).per_second(0), Some(1.0));
    }

    #[test]
    fn a_listing_keeps_state_by_name_whatever_the_order_and_drops_the_rest() {
        let list = |keyed: &mut Keyed<u32>, names: &[&str]| -> Vec<Option<u32>> {
            keyed.begin();
            let states = names
                .iter()
                .map(|name| {
                    keyed.next(name, || 0).map(|count| {
                        *count += 1;
                        *count
                    })
                })
                .collect();
            keyed.finish();
            states
        };
        let mut keyed = Keyed::with_limit(3);
        assert_eq!(list(&mut keyed, &["a", "b", "c"]), [Some(1), Some(1), Some(1)]);
        assert_eq!(list(&mut keyed, &["c", "a"]), [Some(2), Some(2)]);
        assert_eq!(list(&mut keyed, &["a", "b", "c"]), [Some(3), Some(1), Some(3)]);
        assert_eq!(list(&mut keyed, &["x", "a", "b", "c"])[3], None);
    }
}
