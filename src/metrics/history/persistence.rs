//! Between the tiers and the file: going on from what was kept, and keeping what is complete.
//!
//! Owns what happens at the seam of two runs. A minute that a clean stop has cut is opened again if
//! the next run begins within it. If the clock says less than the newest row kept, it was set back
//! or the host has none that runs while it is off: rows move back in memory, as when that happens
//! at run time, while the file keeps its labels, so that the next start has them right. Rows more
//! than a day ahead were labelled by a clock that was wrong, and are left out.
//! Promises: each row kept is in memory once. May import: `history`.

use super::bucket::COLUMNS;
use super::ring::Ring;
use super::store::{Block, Held, PARTS_MAX, Store};
use super::{History, MINUTE_MS, MINUTES_SPAN_MS, TEN_MS, TENS_PER_MINUTE};

const _: () = assert!(TENS_PER_MINUTE == PARTS_MAX);

impl History {
    /// Goes on from what `store` holds, and writes to it from now on.
    pub(super) fn attach(&mut self, mut store: Store) {
        if store.has_file() {
            match store.load() {
                Ok(blocks) => self.restore(&mut store, &blocks),
                Err(error) => {
                    // What it holds cannot be told from what would be written to it: it makes room.
                    store.lose();
                    store.end_round(Err(error));
                }
            }
        }
        store.begin_at(self.minutes.held().end);
        self.store = Some(store);
    }

    fn restore(&mut self, store: &mut Store, blocks: &[Held]) {
        // The codes of a number without a name that is known now are of nobody.
        let mut since = vec![u64::MAX; self.series_max];
        for (number, entry) in store.entries().iter().enumerate() {
            if self.directory.restore(number, &entry.metric) {
                since[number] = entry.since;
            }
        }
        let first = blocks.len().saturating_sub(self.minutes.capacity());
        let blocks = &blocks[first..];
        // Rows of 10 s are taken as far back as there are any without a hole: before that, minutes
        // are all there is, and a finer tier must not hide them.
        let holes = blocks.iter().rposition(|block| block.parts == 0).map_or(0, |hole| hole + 1);
        for (index, held) in blocks.iter().enumerate() {
            let ranges: [_; 1 + PARTS_MAX] = std::array::from_fn(|row| store.codes(row));
            let Ok(Some((block, bytes))) = store.read(held) else { continue };
            let count = block.counts[0].max(1);
            fill(self.minutes.push(block.time_ms, count), &bytes[ranges[0].clone()]);
            self.forget_foreign(&since, block.sequence, true);
            let parts = if index < holes { 0 } else { block.parts };
            for part in 0..parts {
                let time_ms = block.time_ms + u64::from(block.offsets_ms[part]);
                let count = block.counts[1 + part].max(1);
                fill(self.tens.push(time_ms, count), &bytes[ranges[1 + part].clone()]);
                self.forget_foreign(&since, block.sequence, false);
            }
        }
    }

    /// Takes out of the newest row what was not of the series that has the number now.
    fn forget_foreign(&mut self, since: &[u64], sequence: u64, is_minute: bool) {
        let ring = if is_minute { &mut self.minutes } else { &mut self.tens };
        let row = ring.held().end - 1;
        for (codes, since) in ring.codes_mut(row).chunks_exact_mut(COLUMNS).zip(since) {
            if *since > sequence {
                codes.fill(0);
            }
        }
    }

    /// The label of the first sample of this run, which comes after all that was kept.
    pub(super) fn place_after_restored(&mut self, time_ms: u64) -> u64 {
        let limit_ms = time_ms.saturating_add(MINUTES_SPAN_MS);
        let minutes = drop_from(&mut self.minutes, limit_ms);
        drop_from(&mut self.tens, limit_ms);
        if minutes > 0 {
            log::warn!(
                "history has {minutes} minutes that lie more than a day ahead of the clock; they \
                 are left out"
            );
            if let Some(store) = &mut self.store {
                store.begin_at(self.minutes.held().end);
            }
        }
        let newest_ms = |ring: &Ring| ring.newest_ms().map(|label_ms| (label_ms, ring.step_ms()));
        let newest = newest_ms(&self.tens).max(newest_ms(&self.minutes));
        let Some((newest_ms, row_ms)) = newest else { return time_ms };
        if time_ms > newest_ms {
            return time_ms;
        }
        log::warn!(
            "history ends {} s ahead of the clock; it is moved back by as much in memory",
            (newest_ms - time_ms) / 1000
        );
        // To before the minute that begins now: none of those kept is to go on, and be written
        // again with a label that is not its own.
        let shift_ms = newest_ms + row_ms - time_ms / MINUTE_MS * MINUTE_MS;
        self.shift_back(shift_ms);
        // Near 1970 the shift may have hit zero.
        time_ms.max(newest_ms.saturating_sub(shift_ms) + 1)
    }

    /// Opens the newest rows again, which a stop has closed, if a sample at `time_ms` belongs to
    /// them.
    pub(super) fn resume(&mut self, time_ms: u64) {
        let Some(begun_ms) = self.minutes.newest_ms() else { return };
        if !self.share(MINUTE_MS, begun_ms, time_ms) {
            return;
        }
        let tens = self.tens.first_from(begun_ms)..self.tens.held().end;
        let is_whole = !tens.is_empty() && self.tens.time_ms(tens.start) == begun_ms;
        let newest_ms = self.tens.newest_ms().unwrap_or(0);
        let is_ten_open = self.share(TEN_MS, newest_ms, time_ms);
        let complete = tens.end - tens.start - u64::from(is_ten_open && is_whole);
        if !is_whole || complete >= TENS_PER_MINUTE as u64 {
            return;
        }
        self.minutes.pop();
        if let Some(store) = &mut self.store {
            store.reopen(self.minutes.held().end);
        }
        for row in tens.start..tens.start + complete {
            self.open_minute.merge_row(&self.tens, row);
        }
        if is_ten_open {
            self.open_ten.merge_row(&self.tens, tens.end - 1);
            self.tens.pop();
        }
    }

    pub(super) fn write_if_due(&mut self) {
        if self.store.as_ref().is_some_and(Store::is_due) {
            self.write();
        }
    }

    /// Writes the minutes that are complete and not in the file yet, an hour or two of them. Says
    /// whether there are more.
    pub(super) fn write(&mut self) -> bool {
        let Some(store) = &mut self.store else { return false };
        let (minutes, tens) = (&self.minutes, &self.tens);
        let mut outcome = Ok(());
        match store.begin_round(minutes.held()) {
            Ok(rows) => {
                for row in rows {
                    outcome = write_minute(store, minutes, tens, row);
                    if outcome.is_err() {
                        break;
                    }
                }
            }
            Err(error) => outcome = Err(error),
        }
        store.end_round(outcome) && store.next_row() < minutes.held().end
    }
}

fn write_minute(store: &mut Store, minutes: &Ring, tens: &Ring, row: u64) -> std::io::Result<()> {
    let time_ms = minutes.time_ms(row);
    let end = match row + 1 < minutes.held().end {
        true => tens.first_from(minutes.time_ms(row + 1)),
        false => tens.held().end,
    };
    let mut parts = tens.first_from(time_ms)..end.max(tens.first_from(time_ms));
    let offset_ms = |row| u32::try_from(tens.time_ms(row) - time_ms);
    // A write that comes two hours late finds the rows of 10 s gone, or only the last of them.
    let is_whole = !parts.is_empty() && offset_ms(parts.start) == Ok(0);
    if !is_whole || parts.end - parts.start > PARTS_MAX as u64 {
        parts.end = parts.start;
    }
    let mut block = Block {
        generation: 0,
        sequence: 0,
        time_ms,
        parts: (parts.end - parts.start) as usize,
        offsets_ms: [0; PARTS_MAX],
        counts: [0; 1 + PARTS_MAX],
    };
    block.counts[0] = minutes.count(row);
    for (part, row) in parts.clone().enumerate() {
        block.offsets_ms[part] = offset_ms(row).unwrap_or(u32::MAX);
        block.counts[1 + part] = tens.count(row);
    }
    let rows = std::iter::once(minutes.codes(row)).chain(parts.map(|row| tens.codes(row)));
    store.write(block, rows)
}

fn fill(codes: &mut [u16], bytes: &[u8]) {
    for (code, bytes) in codes.iter_mut().zip(bytes.chunks_exact(2)) {
        *code = u16::from_le_bytes([bytes[0], bytes[1]]);
    }
}

/// Forgets the rows after `limit_ms`, and says how many there were.
fn drop_from(ring: &mut Ring, limit_ms: u64) -> u64 {
    let before = ring.held().end;
    while ring.newest_ms().is_some_and(|newest_ms| newest_ms > limit_ms) {
        ring.pop();
    }
    before - ring.held().end
}

#[cfg(test)]
mod tests;
