//! How long things took, in fixed memory.
//!
//! Durations are counted in buckets: eight to an octave, from 1 us to about 70 s, so that a
//! quantile is off by at most an eighth. Recording is a shift and an increment and never allocates.

use std::time::Duration;

/// Buckets in each octave, as a power of two.
const FINE_BITS: u32 = 3;
const FINE: usize = 1 << FINE_BITS;

/// 2^26 us are 67 s; what takes longer is counted with the longest.
const OCTAVES: usize = 27 - FINE_BITS as usize;
const BUCKETS: usize = (OCTAVES + 1) * FINE;

/// Counts of durations.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    count: u64,
    sum_us: u64,
    max: Duration,
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Histogram {
        Histogram { counts: [0; BUCKETS], count: 0, sum_us: 0, max: Duration::ZERO }
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(micros);
        self.max = self.max.max(duration);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The mean; `None` of nothing.
    pub fn mean(&self) -> Option<Duration> {
        self.sum_us.checked_div(self.count).map(Duration::from_micros)
    }

    /// The duration that a share of `quantile` (0 to 1) does not exceed, rounded up to its bucket's
    /// end, at most an eighth too much; `None` of nothing.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut below = 0;
        let index = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        Some(Duration::from_micros(bucket_end(index)).min(self.max))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Histogram::new();
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

/// The bucket of a duration: exact below eight, then by octave and its next three bits.
fn bucket(micros: u64) -> usize {
    if micros < FINE as u64 {
        return micros as usize;
    }
    let octave = micros.ilog2() - FINE_BITS;
    let fine = (micros >> octave) as usize & (FINE - 1);
    ((octave as usize + 1) * FINE + fine).min(BUCKETS - 1)
}

/// The longest duration in a bucket.
fn bucket_end(index: usize) -> u64 {
    if index < FINE {
        return index as u64;
    }
    let octave = index / FINE - 1;
    let fine = (index % FINE) as u64;
    ((FINE as u64 + fine + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Histogram::new().quantile(0.99), None);
        assert_eq!(Histogram::new().mean(), None);
    }

    #[test]
    fn quantiles_follow_the_ranks() {
        let mut histogram = Histogram::new();
        (1..=100).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        let p50 = histogram.quantile(0.5).unwrap().as_secs_f64();
        assert!((0.050..0.0563).contains(&p50), "{p50}");
        assert_eq!(histogram.quantile(1.0), Some(Duration::from_millis(100)));
        assert_eq!(histogram.mean(), Some(Duration::from_micros(50_500)));
        histogram.clear();
        assert_eq!(histogram.count(), 0);
    }

    #[test]
    fn it_takes_two_kilobytes() {
        assert!(size_of::<Histogram>() <= 2048);
    }

    #[test]
    fn more_than_the_range_counts_with_the_longest() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::from_secs(1 << 40));
        assert!(histogram.quantile(0.5).unwrap() >= Duration::from_secs(60));
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_an_eighth_too_much(micros in 0u64..60_000_000) {
            let end = bucket_end(bucket(micros));
            prop_assert!(end >= micros && end as f64 <= micros as f64 * 1.125 + 1e-9);
        }
    }
}
