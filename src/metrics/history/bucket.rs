//! A row that is not complete yet: the least, the most and the mean of each series so far.
//!
//! Owns the sums. Promises: no allocation after `new`; what is written out keeps min <= mean <= max
//! for each series, and a series without a value has none. May import: `decimal`, `ring`, `tally`.

use super::decimal::Decimal;
use super::ring::Ring;
use crate::metrics::tally::Tally;

/// Codes that a series takes in a row of a tier above single samples: min, mean, max.
pub(super) const COLUMNS: usize = 3;

/// A row that is being added up; open while it has a sample.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Unix milliseconds of the first sample.
    pub(super) time_ms: u64,
    /// Samples, whatever they held.
    pub(super) count: u32,
    /// Rows of the finer tier that went in.
    pub(super) parts: usize,
    tallies: Vec<Tally>,
}

impl Bucket {
    pub(super) fn new(series_max: usize) -> Bucket {
        Bucket { time_ms: 0, count: 0, parts: 0, tallies: vec![Tally::default(); series_max] }
    }

    pub(super) const fn bytes(series_max: usize) -> usize {
        series_max * size_of::<Tally>()
    }

    pub(super) fn is_open(&self) -> bool {
        self.count > 0
    }

    /// Counts a sample taken at `time_ms`, before its figures are added.
    pub(super) fn begin_sample(&mut self, time_ms: u64) {
        if !self.is_open() {
            self.time_ms = time_ms;
        }
        self.count = self.count.saturating_add(1);
    }

    pub(super) fn add(&mut self, series: usize, figure: f64) {
        self.tallies[series].add(figure);
    }

    pub(super) fn tally(&self, series: usize) -> Tally {
        self.tallies[series]
    }

    /// Adds what a row of the finer tier came to.
    pub(super) fn merge(&mut self, finer: &Bucket) {
        if !self.is_open() {
            self.time_ms = finer.time_ms;
        }
        self.count = self.count.saturating_add(finer.count);
        self.parts += 1;
        for (tally, other) in self.tallies.iter_mut().zip(&finer.tallies) {
            tally.merge(*other);
        }
    }

    /// Adds `row` of `ring`, as far as its codes tell.
    pub(super) fn merge_row(&mut self, ring: &Ring, row: u64) {
        if !self.is_open() {
            self.time_ms = ring.time_ms(row);
        }
        let count = u32::from(ring.count(row));
        self.count = self.count.saturating_add(count);
        self.parts += 1;
        for (tally, codes) in self.tallies.iter_mut().zip(ring.codes(row).chunks_exact(COLUMNS)) {
            add_codes(tally, codes, count);
        }
    }

    /// Appends itself to `ring` and begins anew.
    pub(super) fn close_into(&mut self, ring: &mut Ring) {
        let codes = ring.push(self.time_ms, u16::try_from(self.count).unwrap_or(u16::MAX));
        for (tally, codes) in self.tallies.iter_mut().zip(codes.chunks_exact_mut(COLUMNS)) {
            if let Some([min, mean, max]) = tally.figures() {
                let encode = |figure| Decimal::encode(Some(figure)).bits();
                codes[0] = encode(min);
                // Sizes, limits and what is idle: half of what a host has stands still.
                let is_still = min == max;
                codes[1] = if is_still { codes[0] } else { encode(mean) };
                codes[2] = if is_still { codes[0] } else { encode(max) };
                *tally = Tally::default();
            }
        }
        self.count = 0;
        self.parts = 0;
    }

    pub(super) fn clear_series(&mut self, series: usize) {
        self.tallies[series] = Tally::default();
    }

    pub(super) fn shift_back(&mut self, shift_ms: u64) {
        self.time_ms = self.time_ms.saturating_sub(shift_ms);
    }
}

/// Adds a row's codes of one series, which stand for `weight` samples.
pub(super) fn add_codes(tally: &mut Tally, codes: &[u16], weight: u32) {
    let [min, mean, max] = [0, 1, 2].map(|index| Decimal::from_bits(codes[index]).decode());
    if let (Some(min), Some(mean), Some(max)) = (min, mean, max) {
        tally.merge(Tally::of(weight, min, mean, max));
    }
}
