//! A row that is not complete yet: the least, the most and the mean of each series so far.
//!
//! Owns the sums. Promises: no allocation after `new`; what is written out keeps min <= mean <= max
//! for each series, and a series without a value has none. May import: `decimal`, `ring`.

use super::decimal::Decimal;
use super::ring::Ring;

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
    cells: Vec<Cell>,
}

/// What became of one series.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    count: u32,
    min: f64,
    max: f64,
    sum: f64,
}

impl Cell {
    /// Adds one sample. Runs for each figure of each tick.
    pub(super) fn add(&mut self, figure: f64) {
        if self.count == 0 {
            *self = Cell { count: 1, min: figure, max: figure, sum: figure };
            return;
        }
        // Figures are finite: comparing them is enough, and less than `min` and `max` do.
        self.min = if figure < self.min { figure } else { self.min };
        self.max = if figure > self.max { figure } else { self.max };
        self.sum += figure;
        self.count = self.count.saturating_add(1);
    }

    /// Adds a row's codes of this series, which stand for `weight` samples.
    pub(super) fn add_codes(&mut self, codes: &[u16], weight: u32) {
        let [min, mean, max] = [0, 1, 2].map(|index| Decimal::from_bits(codes[index]).decode());
        if let (Some(min), Some(mean), Some(max)) = (min, mean, max) {
            self.merge(Cell { count: weight, min, max, sum: mean * f64::from(weight) });
        }
    }

    pub(super) fn merge(&mut self, other: Cell) {
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

    /// Min, mean and max, if there was a value.
    pub(super) fn figures(&self) -> Option<[f64; COLUMNS]> {
        // A sum of equal values may come out past them, and one of huge values not finite.
        let mean = self.sum / f64::from(self.count);
        let mean = if mean.is_nan() { self.min } else { mean.max(self.min).min(self.max) };
        (self.count > 0).then_some([self.min, mean, self.max])
    }
}

impl Bucket {
    pub(super) fn new(series_max: usize) -> Bucket {
        Bucket { time_ms: 0, count: 0, parts: 0, cells: vec![Cell::default(); series_max] }
    }

    pub(super) const fn bytes(series_max: usize) -> usize {
        series_max * size_of::<Cell>()
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
        self.cells[series].add(figure);
    }

    pub(super) fn cell(&self, series: usize) -> Cell {
        self.cells[series]
    }

    /// Adds what a row of the finer tier came to.
    pub(super) fn merge(&mut self, finer: &Bucket) {
        if !self.is_open() {
            self.time_ms = finer.time_ms;
        }
        self.count = self.count.saturating_add(finer.count);
        self.parts += 1;
        for (cell, other) in self.cells.iter_mut().zip(&finer.cells) {
            cell.merge(*other);
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
        for (cell, codes) in self.cells.iter_mut().zip(ring.codes(row).chunks_exact(COLUMNS)) {
            cell.add_codes(codes, count);
        }
    }

    /// Appends itself to `ring` and begins anew.
    pub(super) fn close_into(&mut self, ring: &mut Ring) {
        let codes = ring.push(self.time_ms, u16::try_from(self.count).unwrap_or(u16::MAX));
        for (cell, codes) in self.cells.iter_mut().zip(codes.chunks_exact_mut(COLUMNS)) {
            if let Some([min, mean, max]) = cell.figures() {
                let encode = |figure| Decimal::encode(Some(figure)).bits();
                codes[0] = encode(min);
                // Sizes, limits and what is idle: half of what a host has stands still.
                let is_still = min == max;
                codes[1] = if is_still { codes[0] } else { encode(mean) };
                codes[2] = if is_still { codes[0] } else { encode(max) };
                *cell = Cell::default();
            }
        }
        self.count = 0;
        self.parts = 0;
    }

    pub(super) fn clear_series(&mut self, series: usize) {
        self.cells[series] = Cell::default();
    }

    pub(super) fn shift_back(&mut self, shift_ms: u64) {
        self.time_ms = self.time_ms.saturating_sub(shift_ms);
    }
}
