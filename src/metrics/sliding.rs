//! How much counters rose over the last minutes, in fixed memory.
//!
//! Owns readings of counters that are taken together, one each [`STEP`], as far back as [`SPAN`].
//! Promises: a difference is over at most [`SPAN`] and at least [`SPAN`] less a step once the
//! counters have run so long, and over all the time there was before that; where readings are
//! further apart than the span, it is from the last to this one. Recording never allocates.
//! May import: std only.

use std::time::Duration;

/// How far back a difference reaches.
pub const SPAN: Duration = Duration::from_secs(300);

/// From one reading that is kept to the next. Half would take twice the memory for a window that
/// nobody could tell apart; at twice, a figure would jump visibly when a reading leaves.
pub const STEP: Duration = Duration::from_secs(10);

/// Readings kept: those of a span and the one that it began with.
const KEPT: usize = (SPAN.as_secs() / STEP.as_secs()) as usize + 1;

/// Counters that are read together.
#[derive(Clone, Debug)]
pub struct Sliding<const N: usize> {
    /// A ring of readings and their times.
    readings: [(Duration, [u64; N]); KEPT],
    /// Readings ever kept.
    count: usize,
    newest: (Duration, [u64; N]),
}

/// What happened in the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rise<const N: usize> {
    /// By how much each counter rose.
    pub counts: [u64; N],
    /// In how much time.
    pub elapsed: Duration,
}

impl<const N: usize> Sliding<N> {
    /// Counters of which nothing is known yet.
    pub fn new() -> Sliding<N> {
        let none = (Duration::ZERO, [0; N]);
        Sliding { readings: [none; KEPT], count: 0, newest: none }
    }

    /// Takes note of what the counters say at `now`, which never goes back.
    pub fn note(&mut self, now: Duration, counts: [u64; N]) {
        let last = self.count.checked_sub(1).map(|last| self.readings[last % KEPT].0);
        if last.is_none_or(|last| now >= last + STEP) {
            self.readings[self.count % KEPT] = (now, counts);
            self.count += 1;
        }
        self.newest = (now, counts);
    }

    /// By how much the counters rose from the oldest reading in the span to the newest.
    pub fn rise(&self) -> Rise<N> {
        let (now, counts) = self.newest;
        let kept = self.count.saturating_sub(KEPT)..self.count;
        let mut kept = kept.map(|reading| &self.readings[reading % KEPT]);
        let last = kept.clone().rfind(|(at, _)| *at < now);
        let oldest = match kept.find(|(at, _)| *at + SPAN >= now) {
            // It stands alone in the span.
            Some(found) if found.0 == now => last.unwrap_or(found),
            Some(found) => found,
            None => last.unwrap_or(&self.newest),
        };
        Rise {
            counts: std::array::from_fn(|index| counts[index].saturating_sub(oldest.1[index])),
            elapsed: now.saturating_sub(oldest.0),
        }
    }
}

impl<const N: usize> Default for Sliding<N> {
    fn default() -> Sliding<N> {
        Sliding::new()
    }
}

impl<const N: usize> Rise<N> {
    /// How much the counter at `index` rose a second; `None` of no time.
    pub fn per_second(&self, index: usize) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (seconds > 0.0).then(|| self.counts[index] as f64 / seconds)
    }

    /// The rise at `part` as a percentage of the rise at `whole`; `None` where the whole has risen
    /// by less than `least`, for a share of a few means little.
    pub fn share(&self, part: usize, whole: usize, least: u64) -> Option<f64> {
        let of = self.counts[whole];
        (of >= least.max(1)).then(|| 100.0 * self.counts[part] as f64 / of as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn before_the_span_is_over_the_rise_is_over_all_time() {
        let mut sliding = Sliding::new();
        assert_eq!(sliding.rise(), Rise { counts: [0], elapsed: Duration::ZERO });
        for second in 5..=15u64 {
            sliding.note(SECOND * second as u32, [100 + 2 * second]);
        }
        assert_eq!(sliding.rise(), Rise { counts: [20], elapsed: SECOND * 10 });
        assert_eq!(sliding.rise().per_second(0), Some(2.0));
    }

    #[test]
    fn what_is_older_than_the_span_counts_no_more() {
        let mut sliding = Sliding::new();
        for second in 0..=1000u64 {
            // A burst in the beginning, then one a second.
            sliding.note(SECOND * second as u32, [second + 1000 * u64::from(second > 100)]);
            let rise = sliding.rise();
            assert!(rise.elapsed <= SPAN, "after {second} s over {:?}", rise.elapsed);
            assert!(second < 300 || rise.elapsed > SPAN - STEP);
        }
        assert_eq!(sliding.rise(), Rise { counts: [300], elapsed: SPAN });
    }

    #[test]
    fn readings_further_apart_than_the_span_are_compared_one_with_the_next() {
        let mut sliding = Sliding::new();
        sliding.note(SECOND, [5]);
        assert_eq!(sliding.rise().per_second(0), None);
        for step in 1..100 {
            sliding.note(SECOND * (1 + 600 * step), [5 + 60 * u64::from(step)]);
            assert_eq!(sliding.rise(), Rise { counts: [60], elapsed: SECOND * 600 });
        }
    }

    #[test]
    fn a_share_of_few_is_none() {
        let rise = Rise { counts: [1, 19, 20, 0], elapsed: SECOND };
        assert_eq!(rise.share(0, 1, 20), None);
        assert_eq!(rise.share(0, 2, 20), Some(5.0));
        assert_eq!(rise.share(0, 3, 0), None);
    }
}
