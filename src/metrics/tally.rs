//! The least, the mean and the most of one figure over several samples.
//!
//! Owns the sum. Promises: min <= mean <= max, and finite figures give finite ones; nothing where
//! there was no sample; no allocation. May import: nothing.

/// What became of one figure.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    count: u32,
    min: f64,
    max: f64,
    sum: f64,
}

impl Tally {
    /// What `weight` samples came to, when all that is known of them is this.
    pub(super) fn of(weight: u32, min: f64, mean: f64, max: f64) -> Tally {
        Tally { count: weight, min, max, sum: mean * f64::from(weight) }
    }

    /// Adds one sample, which is finite. Runs for each figure of each tick.
    pub(super) fn add(&mut self, figure: f64) {
        if self.count == 0 {
            *self = Tally { count: 1, min: figure, max: figure, sum: figure };
            return;
        }
        // Figures are finite: comparing them is enough, and less than `min` and `max` do.
        self.min = if figure < self.min { figure } else { self.min };
        self.max = if figure > self.max { figure } else { self.max };
        self.sum += figure;
        self.count = self.count.saturating_add(1);
    }

    /// Adds the samples of another.
    pub(super) fn merge(&mut self, other: Tally) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        self.min = if other.min < self.min { other.min } else { self.min };
        self.max = if other.max > self.max { other.max } else { self.max };
        self.sum += other.sum;
        self.count = self.count.saturating_add(other.count);
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> u64 {
        self.count.into()
    }

    /// Min, mean and max, if there was a sample.
    pub(super) fn figures(&self) -> Option<[f64; 3]> {
        // A sum of equal values may come out past them, and one of huge values not finite.
        let mean = self.sum / f64::from(self.count);
        let mean = if mean.is_nan() { self.min } else { mean.max(self.min).min(self.max) };
        (self.count > 0).then_some([self.min, mean, self.max])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(samples: &[f64]) -> Option<[f64; 3]> {
        let mut tally = Tally::default();
        samples.iter().for_each(|sample| tally.add(*sample));
        tally.figures()
    }

    #[test]
    fn a_mean_lies_between_the_least_and_the_most_whatever_rounding_does() {
        assert_eq!(figures(&[]), None);
        assert_eq!(figures(&[3.0, -1.0, 4.0]), Some([-1.0, 2.0, 4.0]));
        assert_eq!(figures(&[0.1; 3]), Some([0.1; 3]), "the sum is 0.30000000000000004");
        assert_eq!(figures(&[f64::MAX; 2]), Some([f64::MAX; 3]));
        let [min, mean, max] = figures(&[f64::MAX, f64::MAX, f64::MIN, f64::MIN]).unwrap();
        assert!(min <= mean && mean <= max);
    }

    #[test]
    fn tallies_that_are_merged_weigh_by_their_samples() {
        let mut tally = Tally::default();
        tally.merge(Tally::default());
        assert_eq!(tally.figures(), None);
        tally.merge(Tally::of(3, 1.0, 2.0, 5.0));
        tally.add(6.0);
        assert_eq!(tally.figures(), Some([1.0, 3.0, 6.0]));
    }
}
