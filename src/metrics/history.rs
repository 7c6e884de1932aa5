//! The figures of the last day, in memory of a fixed size, and in a file if one is given.
//!
//! Owns three tiers, each a ring of rows over the same series: every sample for ten minutes, min,
//! mean and max of 10 s for two hours, and of a minute for a day. Values take 16 bits. A series
//! takes 14,160 bytes (1,200 + 4,320 + 8,640); the default 96 take 1,359,360, with times and sums
//! [`History::memory_ceiling`] says 1.4 MB. Memory becomes resident as rows are written.
//!
//! With an interval of a tier's step or more every sample is a row of that tier, which reaches as
//! far back with fewer rows. Otherwise rows begin at multiples of the step in Unix time. A tier is
//! bounded by its rows: after a pause it holds what is older than its span.
//!
//! Gaps stay gaps. Single samples stand one step apart: a tick that was missed is a row without
//! values. One that was not to be sampled, because nobody watches, is a row with the figures that
//! stood then: those of the sample before. Above, what had no sample has no row, and a series without a value no point. Wall time
//! labels rows and never decides where one goes backwards: when the clock is set back the new time
//! is taken for right and older rows move with it, in every tier; when it jumps forward there is a
//! gap, as if the host had slept.
//!
//! Where rows are joined, a mean weighs each by its samples, of which a series may have had fewer.
//!
//! Promises: a fixed number of series; no allocation while the set of rows in the snapshot stays
//! the same; labels never fall; each sample is in exactly one row of each tier.
//! May import: `definition`, `snapshot`, `selected` (how numbers are written), `tally`.

mod bucket;
mod decimal;
mod directory;
mod persistence;
mod query;
mod ring;
mod store;

use std::path::PathBuf;
use std::time::Duration;

use super::snapshot::Snapshot;
use bucket::{Bucket, COLUMNS};
use decimal::Decimal;
use directory::Directory;
pub use query::{CSV_HEADER, Point, Recent, Series};
use ring::Ring;
use store::Store;
pub use store::{Error, WRITE_EVERY_MAX, WRITE_EVERY_MIN};

/// Series kept by default. A small host has 40 single figures and 5 to 8 a disk, file system or
/// interface; half would drop its interfaces, twice costs 1.4 MB more.
pub const SERIES_MAX: usize = 96;

/// Most series that can be asked for: 14.6 MB, and a file of 62 MB.
pub const SERIES_LIMIT: usize = 1024;

/// How far back single samples reach.
const SAMPLES_SPAN_MS: u64 = 10 * 60 * 1000;
/// Most samples kept, whatever the interval: 1200 bytes a series.
const SAMPLES_MAX: u64 = 600;
/// Fewest samples kept: with intervals above ten seconds ten minutes would not draw a line.
const SAMPLES_MIN: u64 = 60;

/// The middle tier: fine enough to see what a minute's mean hides, for a third of the memory.
const TEN_MS: u64 = 10 * 1000;
const TENS_SPAN_MS: u64 = 2 * 60 * 60 * 1000;

/// The coarse tier: the same hour of yesterday stays in sight.
const MINUTE_MS: u64 = 60 * 1000;
const MINUTES_SPAN_MS: u64 = 24 * 60 * 60 * 1000;

/// Rows of the middle tier in one of the coarse.
const TENS_PER_MINUTE: usize = (MINUTE_MS / TEN_MS) as usize;

/// The latest label, in the year 6429: sums of labels need not be checked.
const TIME_MS_MAX: u64 = 1 << 47;

/// What can be set of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryOptions {
    /// Series kept, 1 to [`SERIES_LIMIT`].
    pub series_max: usize,
    /// The file that keeps history across restarts; none if it is in memory alone.
    pub path: Option<PathBuf>,
    /// Time between two writes, [`WRITE_EVERY_MIN`] to [`WRITE_EVERY_MAX`]. What a kill or a loss
    /// of power costs at most, and a minute.
    pub write_every: Duration,
}

impl Default for HistoryOptions {
    fn default() -> HistoryOptions {
        HistoryOptions { series_max: SERIES_MAX, path: None, write_every: WRITE_EVERY_MIN }
    }
}

/// The figures of the last day.
#[derive(Debug)]
pub struct History {
    step_ms: u64,
    series_max: usize,
    /// The sequence of the newest sample; meaningless before the first.
    sequence: u64,
    /// Every sample, one code a series; a row each tick, missed ones included.
    samples: Ring,
    /// Rows of 10 s, three codes a series.
    tens: Ring,
    /// Rows of a minute; each is the sum of at most [`TENS_PER_MINUTE`] rows of `tens`.
    minutes: Ring,
    /// The row of `tens` that is not complete; open from the first sample on.
    open_ten: Bucket,
    /// The row of `minutes` that is not complete, without `open_ten`.
    open_minute: Bucket,
    directory: Directory,
    store: Option<Store>,
}

impl History {
    /// History in memory of the default number of series, sampled every `interval`.
    pub fn new(interval: Duration) -> History {
        History::with_limits(interval, SERIES_MAX)
    }

    /// The same with another bound on the number of series, 1 to [`SERIES_LIMIT`]; what lies
    /// outside becomes the nearest.
    pub fn with_limits(interval: Duration, series_max: usize) -> History {
        let series_max = series_max.clamp(1, SERIES_LIMIT);
        let step_ms = step_ms(interval);
        let tier = |step, span| {
            let step_ms = step_ms.max(step);
            Ring::new(step_ms, rows(step_ms, span), COLUMNS * series_max)
        };
        History {
            step_ms,
            series_max,
            sequence: 0,
            samples: Ring::new(step_ms, samples(step_ms), series_max),
            tens: tier(TEN_MS, TENS_SPAN_MS),
            minutes: tier(MINUTE_MS, MINUTES_SPAN_MS),
            open_ten: Bucket::new(series_max),
            open_minute: Bucket::new(series_max),
            directory: Directory::new(series_max),
            store: None,
        }
    }

    /// History as `options` have it, sampled every `interval`; with a path it goes on from what the
    /// file holds. A file that is not one of these, is broken or is for another number of series is
    /// set aside, with a warning. When the disk is full, busy or broken there is one warning too:
    /// history goes on in memory, and the file is tried again at later rounds.
    ///
    /// # Errors
    /// A sentence, when the options are out of range, when another process has the file, or when
    /// its place cannot be: no folder, no permission, no regular file.
    pub fn open(options: &HistoryOptions, interval: Duration) -> Result<History, Error> {
        if !(1..=SERIES_LIMIT).contains(&options.series_max) {
            return Err(Error::Series(options.series_max));
        }
        let mut history = History::with_limits(interval, options.series_max);
        if let Some(path) = &options.path {
            let store = Store::open(path, options.series_max, options.write_every)?;
            history.attach(store);
        }
        Ok(history)
    }

    /// Bytes taken at most, the buffer for the file included. Names of series and of records are as
    /// long as the host makes them, and are not in it.
    pub fn memory_ceiling(&self) -> usize {
        Ring::bytes(self.samples.capacity(), self.series_max)
            + Ring::bytes(self.tens.capacity(), COLUMNS * self.series_max)
            + Ring::bytes(self.minutes.capacity(), COLUMNS * self.series_max)
            + 2 * Bucket::bytes(self.series_max)
            + Directory::bytes(self.series_max)
            + self.store.as_ref().map_or(0, Store::bytes)
    }

    /// Keeps the figures of `snapshot` as the next sample, and writes to the file what is due.
    pub fn record(&mut self, snapshot: &Snapshot) {
        self.record_at(snapshot, snapshot.time_ms, snapshot.sequence);
    }

    /// The same for the tick of another time and number, at which no sample was to be taken: the
    /// figures of `snapshot` stand until the next one.
    pub fn record_at(&mut self, snapshot: &Snapshot, time_ms: u64, sequence: u64) {
        let time_ms = self.place(time_ms, sequence);
        self.close_before(time_ms);
        self.samples.push(time_ms, 1);
        self.open_ten.begin_sample(time_ms);
        let row = self.samples.held().end - 1;
        if !self.directory.is_bound(snapshot, row) {
            self.bind(snapshot, row);
        }
        let codes = self.samples.codes_mut(row);
        let open_ten = &mut self.open_ten;
        self.directory.for_each_figure(snapshot, |series, figure| {
            codes[series] = Decimal::encode(Some(figure)).bits();
            open_ten.add(series, figure);
        });
    }

    /// Writes everything that is complete or not to the file, for a clean stop.
    pub fn flush(&mut self) {
        self.close_ten();
        self.close_minute();
        while self.write() {}
    }

    /// The metrics that have a sample of the last minutes, by path.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.directory.names_since(self.samples.held().start)
    }

    /// Every single sample of `metric` that is kept; `None` if there is no such series.
    pub fn recent(&self, metric: &str) -> Option<Recent<'_>> {
        Some(Recent::new(self, self.directory.find(metric)?))
    }

    /// The points of `metric` from `since_ms` to `until_ms`, both included, at most `points` of
    /// them; `None` if there is no such series.
    ///
    /// Without `since_ms` the window begins with the oldest single sample. With it, each stretch
    /// comes from the finest tier that reaches it, so that all that is held is in it, once. A point
    /// is in the window if its time, that of its first sample, is.
    ///
    /// Without `points` the rows come as they are held: coarse ones before fine ones where the
    /// window crosses tiers. With fewer `points` than rows they are joined in equal stretches of
    /// whole multiples of the coarsest step, which begin at multiples of their length in Unix time.
    /// `step_ms` is that length, or else the coarsest step in the window.
    pub fn query(
        &self,
        metric: &str,
        since_ms: Option<u64>,
        until_ms: Option<u64>,
        points: Option<usize>,
    ) -> Option<Series<'_>> {
        Some(Series::new(self, self.directory.find(metric)?, since_ms, until_ms, points))
    }

    /// The label of the row of this tick; rows for those missed before it are made.
    fn place(&mut self, time_ms: u64, sequence: u64) -> u64 {
        let mut time_ms = time_ms.min(TIME_MS_MAX);
        let last = std::mem::replace(&mut self.sequence, sequence);
        let Some(newest_ms) = self.samples.newest_ms() else {
            return self.place_after_restored(time_ms);
        };
        // A sequence that starts again is just the next row.
        let ticks = sequence.checked_sub(last).unwrap_or(1).max(1);
        if time_ms <= newest_ms {
            // The wall clock was set back. The new time is taken for the right one, and older
            // rows move with it: ages stay right and times keep rising.
            let expected_ms = newest_ms.saturating_add(ticks.saturating_mul(self.step_ms));
            self.shift_back(expected_ms - time_ms);
        }
        let newest_ms = self.samples.newest_ms().unwrap_or(0);
        // Near 1970 the shift may have hit zero.
        time_ms = time_ms.max(newest_ms + 1);
        // A host that slept has no ticks for it, but the wall clock tells.
        let steps = (time_ms - newest_ms).saturating_add(self.step_ms / 2) / self.step_ms;
        let missed = ticks.max(steps).saturating_sub(1);
        if let Some(store) = &mut self.store {
            store.wait_more(ticks.saturating_mul(self.step_ms));
        }
        self.skip_rows(missed, newest_ms, time_ms);
        time_ms
    }

    fn skip_rows(&mut self, missed: u64, newest_ms: u64, time_ms: u64) {
        // A ring's length of empty rows clears everything; more would only take longer.
        let missed = missed.min(self.samples.capacity() as u64);
        for row in 0..missed {
            let back_ms = (missed - row).saturating_mul(self.step_ms);
            self.samples.push(time_ms.saturating_sub(back_ms).max(newest_ms), 0);
        }
    }

    fn shift_back(&mut self, shift_ms: u64) {
        for ring in [&mut self.samples, &mut self.tens, &mut self.minutes] {
            ring.shift_back(shift_ms);
        }
        self.open_ten.shift_back(shift_ms);
        self.open_minute.shift_back(shift_ms);
    }

    /// Completes the rows that a sample at `time_ms` no longer belongs to.
    fn close_before(&mut self, time_ms: u64) {
        if self.open_ten.is_open() && !self.share(TEN_MS, self.open_ten.time_ms, time_ms) {
            self.close_ten();
        }
        if self.open_minute.is_open() && !self.open_ten.is_open() {
            let begun_ms = self.open_minute.time_ms;
            let is_full = self.open_minute.parts == TENS_PER_MINUTE;
            if is_full || !self.share(MINUTE_MS, begun_ms, time_ms) {
                self.close_minute();
                self.write_if_due();
            }
        }
        if !self.open_minute.is_open() && !self.open_ten.is_open() {
            self.resume(time_ms);
        }
    }

    /// Whether two samples belong to the same row of the tier with this step.
    fn share(&self, step_ms: u64, one_ms: u64, other_ms: u64) -> bool {
        // With an interval of the step or more each sample is a row: by borders, two that lie a
        // little less than a step apart would share one and leave the next empty.
        self.step_ms < step_ms && one_ms / step_ms == other_ms / step_ms
    }

    fn close_ten(&mut self) {
        if self.open_ten.is_open() {
            self.open_minute.merge(&self.open_ten);
            self.open_ten.close_into(&mut self.tens);
        }
    }

    fn close_minute(&mut self) {
        if self.open_minute.is_open() {
            self.open_minute.close_into(&mut self.minutes);
        }
    }

    /// Gives each figure of `snapshot` its series; one that has changed its meaning is emptied.
    fn bind(&mut self, snapshot: &Snapshot, row: u64) {
        let patience = self.samples.capacity() as u64;
        for series in self.directory.bind(snapshot, row, patience) {
            self.samples.clear_columns(series..series + 1);
            self.tens.clear_columns(COLUMNS * series..COLUMNS * (series + 1));
            self.minutes.clear_columns(COLUMNS * series..COLUMNS * (series + 1));
            self.open_ten.clear_series(series);
            self.open_minute.clear_series(series);
            if let Some(store) = &mut self.store {
                let metric = &self.directory.series()[series].metric;
                store.rename(series, metric);
            }
        }
    }
}

fn step_ms(interval: Duration) -> u64 {
    u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn samples(step_ms: u64) -> usize {
    (SAMPLES_SPAN_MS / step_ms).clamp(SAMPLES_MIN, SAMPLES_MAX) as usize
}

/// Rows of `step_ms` that reach over `span_ms`.
fn rows(step_ms: u64, span_ms: u64) -> usize {
    (span_ms / step_ms).max(1) as usize
}

#[cfg(test)]
mod tests;
