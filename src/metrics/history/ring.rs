//! One tier: a ring of rows, each a time and a code for each of its columns.
//!
//! Owns the rows and which of them are held. Row-major and in three allocations that come zeroed
//! from the kernel: a row that was never written takes no memory, and a tick touches one place.
//! Promises: no allocation after `new`; times never fall from row to row. May import: nothing.

use std::ops::Range;

/// A ring of rows. Row `n` lives at `n % capacity`.
#[derive(Debug)]
pub(super) struct Ring {
    /// Milliseconds that a row stands for.
    step_ms: u64,
    capacity: usize,
    /// Codes a row.
    width: usize,
    /// The rows held: never more than `capacity`. Both ends only rise, but for `pop`.
    held: Range<u64>,
    times_ms: Vec<u64>,
    /// Samples in each row.
    counts: Vec<u16>,
    codes: Vec<u16>,
}

impl Ring {
    pub(super) fn new(step_ms: u64, capacity: usize, width: usize) -> Ring {
        Ring {
            step_ms,
            capacity,
            width,
            held: 0..0,
            times_ms: vec![0; capacity],
            counts: vec![0; capacity],
            codes: vec![0; capacity * width],
        }
    }

    /// Bytes that the rows take when all are written.
    pub(super) const fn bytes(capacity: usize, width: usize) -> usize {
        capacity * (size_of::<u64>() + size_of::<u16>() + width * size_of::<u16>())
    }

    /// Appends a row without values and gives its codes, to be filled in.
    pub(super) fn push(&mut self, time_ms: u64, count: u16) -> &mut [u16] {
        let row = self.held.end;
        self.held.end += 1;
        self.held.start = self.held.start.max(self.held.end.saturating_sub(self.capacity as u64));
        let slot = self.slot(row);
        self.times_ms[slot] = time_ms;
        self.counts[slot] = count;
        let codes = &mut self.codes[slot * self.width..][..self.width];
        codes.fill(0);
        codes
    }

    /// Forgets the newest row, if there is one. The one it had replaced does not come back.
    pub(super) fn pop(&mut self) {
        self.held.end = self.held.end.saturating_sub(1).max(self.held.start);
    }

    /// Forgets `columns` in every row held.
    pub(super) fn clear_columns(&mut self, columns: Range<usize>) {
        for row in self.held() {
            self.codes_mut(row)[columns.clone()].fill(0);
        }
    }

    /// Moves every row back in time.
    pub(super) fn shift_back(&mut self, shift_ms: u64) {
        for row in self.held() {
            let slot = self.slot(row);
            self.times_ms[slot] = self.times_ms[slot].saturating_sub(shift_ms);
        }
    }

    pub(super) fn codes_mut(&mut self, row: u64) -> &mut [u16] {
        let slot = self.slot(row);
        &mut self.codes[slot * self.width..][..self.width]
    }

    pub(super) fn step_ms(&self) -> u64 {
        self.step_ms
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The rows held, oldest first; the end is the number of rows ever pushed and not popped.
    pub(super) fn held(&self) -> Range<u64> {
        self.held.clone()
    }

    pub(super) fn time_ms(&self, row: u64) -> u64 {
        self.times_ms[self.slot(row)]
    }

    pub(super) fn count(&self, row: u64) -> u16 {
        self.counts[self.slot(row)]
    }

    pub(super) fn codes(&self, row: u64) -> &[u16] {
        &self.codes[self.slot(row) * self.width..][..self.width]
    }

    pub(super) fn newest_ms(&self) -> Option<u64> {
        (!self.held.is_empty()).then(|| self.time_ms(self.held.end - 1))
    }

    /// The first row held that is not before `time_ms`.
    pub(super) fn first_from(&self, time_ms: u64) -> u64 {
        let Range { mut start, mut end } = self.held;
        while start < end {
            let middle = start + (end - start) / 2;
            if self.time_ms(middle) < time_ms {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        start
    }

    fn slot(&self, row: u64) -> usize {
        (row % self.capacity as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ring: &Ring) -> Vec<u64> {
        ring.held().map(|row| ring.time_ms(row)).collect()
    }

    #[test]
    fn a_full_ring_holds_its_newest_rows() {
        let mut ring = Ring::new(1, 3, 2);
        assert_eq!(ring.newest_ms(), None);
        for time in 10..15 {
            ring.push(time, 1)[1] = time as u16;
        }
        assert_eq!(times(&ring), [12, 13, 14]);
        assert_eq!(ring.codes(ring.held().start), [0, 12]);
        assert_eq!((ring.first_from(0), ring.first_from(13), ring.first_from(99)), (2, 3, 5));
    }

    #[test]
    fn a_popped_row_does_not_bring_back_the_one_it_had_replaced() {
        let mut ring = Ring::new(1, 3, 1);
        (0..5).for_each(|time| ring.push(time, 1)[0] = 7);
        ring.pop();
        assert_eq!(times(&ring), [2, 3]);
        assert_eq!(ring.push(9, 1), [0], "nothing of the old row is left");
        assert_eq!(times(&ring), [2, 3, 9]);
        (0..9).for_each(|_| ring.pop());
        assert!(times(&ring).is_empty());
    }
}
