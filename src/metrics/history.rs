//! The newest samples of every single figure, in memory of a fixed size.
//!
//! Owns the raw tier: one ring of timestamps and, for each scalar path, one ring of 16-bit values.
//! Rows stand one step apart: a tick that was missed is a row without values, so that a position is
//! a time. Wall time only labels rows; it never decides where one goes backwards. Promises: at most
//! [`SERIES_MAX`] series; no allocation while the set of rows in the snapshot stays the same;
//! timestamps never fall, even when the wall clock does. May import: `definition`, `snapshot`,
//! `selected` (how numbers are written).

mod decimal;
mod query;

use std::time::Duration;

use super::definition::{Kind, TOPICS, Unit};
use super::snapshot::{Content, Record, Snapshot};
use decimal::Decimal;
pub use query::{Recent, Series};

/// Series kept by default. A small host has 40 single figures and 5 to 8 a disk, file system or
/// interface; half would drop its interfaces, twice costs 115 KiB more in this tier.
pub const SERIES_MAX: usize = 96;

/// How far back single samples reach.
const SPAN: Duration = Duration::from_secs(600);
/// Most samples kept, whatever the interval: 1200 bytes a series.
const SAMPLES_MAX: u128 = 600;
/// Fewest samples kept: with intervals above ten seconds ten minutes would not draw a line.
const SAMPLES_MIN: u128 = 60;

/// The newest samples of every single figure.
#[derive(Debug)]
pub struct History {
    step_ms: u64,
    capacity: usize,
    series_max: usize,
    /// Rows ever written, those of missed ticks included. Row `n` lives at `n % capacity`.
    rows: u64,
    /// The sequence of the newest row; meaningless while `rows` is 0.
    sequence: u64,
    /// Unix milliseconds of each row; strictly rising in row order.
    times_ms: Vec<u64>,
    series: Vec<Track>,
    /// Where the figures of the latest snapshot go, one binding a record, in walking order.
    bindings: Vec<Binding>,
}

/// One series.
#[derive(Debug)]
struct Track {
    metric: String,
    unit: Unit,
    values: Box<[Decimal]>,
    /// The last row known to have bound it; one ring's length later the series is empty.
    row_bound: u64,
}

/// Where the figures of one record go.
#[derive(Debug)]
struct Binding {
    topic: usize,
    /// Empty for a topic that is a single record.
    key: String,
    /// (column, series), for the columns that have one.
    columns: Vec<(usize, usize)>,
}

impl History {
    /// Room for the samples of ten minutes, taken every `interval`.
    pub fn new(interval: Duration) -> History {
        History::with_series_max(interval, SERIES_MAX)
    }

    /// The same with another bound on the number of series.
    pub fn with_series_max(interval: Duration, series_max: usize) -> History {
        let step_ms = interval.as_millis().max(1);
        let samples = (SPAN.as_millis() / step_ms).clamp(SAMPLES_MIN, SAMPLES_MAX);
        History {
            step_ms: step_ms as u64,
            capacity: samples as usize,
            series_max,
            rows: 0,
            sequence: 0,
            times_ms: vec![0; samples as usize],
            series: Vec::new(),
            bindings: Vec::new(),
        }
    }

    /// Bytes that the rings take at most. Names of series and of records are as long as the host
    /// makes them, and are not in it.
    pub fn memory_ceiling(&self) -> usize {
        let track = size_of::<Track>() + self.capacity * size_of::<Decimal>();
        self.capacity * size_of::<u64>() + self.series_max * (track + size_of::<Track>())
    }

    /// Keeps the single figures of `snapshot` as the next row.
    pub fn record(&mut self, snapshot: &Snapshot) {
        self.open_row(snapshot);
        if !self.is_bound(snapshot) {
            self.bind(snapshot);
        }
        let slot = self.slot(self.rows - 1);
        let mut bindings = self.bindings.iter();
        for_each_record(snapshot, |_topic, record| {
            let Some(binding) = bindings.next() else { return };
            for &(column, series) in &binding.columns {
                self.series[series].values[slot] = Decimal::encode(record.figure(column));
            }
        });
    }

    /// The metrics kept, by path.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.iter().map(|track| track.metric.as_str())
    }

    /// Every sample of `metric` that is kept; `None` if there is no such series.
    pub fn recent(&self, metric: &str) -> Option<Recent<'_>> {
        Some(Recent::new(self, self.track(metric)?))
    }

    /// The samples of `metric` from `since_ms` to `until_ms`, both included, reduced to at most
    /// `points` points; `None` if there is no such series.
    pub fn query(
        &self,
        metric: &str,
        since_ms: Option<u64>,
        until_ms: Option<u64>,
        points: Option<usize>,
    ) -> Option<Series<'_>> {
        Some(Series::new(self, self.track(metric)?, since_ms, until_ms, points))
    }

    /// Puts a row without values at the end, after as many as there were ticks missed.
    fn open_row(&mut self, snapshot: &Snapshot) {
        let mut time_ms = snapshot.time_ms;
        if self.rows > 0 {
            let newest_ms = self.times_ms[self.slot(self.rows - 1)];
            // A sequence that starts again is just the next row.
            let ticks = snapshot.sequence.checked_sub(self.sequence).unwrap_or(1).max(1);
            if time_ms <= newest_ms {
                // The wall clock was set back. The new time is taken for the right one, and older
                // rows move with it: ages stay right and times keep rising.
                let expected_ms = newest_ms.saturating_add(ticks.saturating_mul(self.step_ms));
                let shift_ms = expected_ms - time_ms;
                self.times_ms.iter_mut().for_each(|time| *time = time.saturating_sub(shift_ms));
            }
            let newest_ms = self.times_ms[self.slot(self.rows - 1)];
            // Near 1970 the shift may have hit zero.
            time_ms = time_ms.max(newest_ms + 1);
            // A host that slept has no ticks for it, but the wall clock tells.
            let steps = (time_ms - newest_ms + self.step_ms / 2) / self.step_ms;
            let missed = ticks.max(steps).saturating_sub(1);
            self.skip_rows(missed, newest_ms, time_ms);
        }
        self.sequence = snapshot.sequence;
        self.push_row(time_ms);
    }

    fn skip_rows(&mut self, missed: u64, newest_ms: u64, time_ms: u64) {
        // A ring's length of empty rows clears everything; more would only take longer.
        let missed = missed.min(self.capacity as u64);
        for row in 0..missed {
            let back_ms = (missed - row).saturating_mul(self.step_ms);
            self.push_row(time_ms.saturating_sub(back_ms).max(newest_ms));
        }
    }

    fn push_row(&mut self, time_ms: u64) {
        let slot = self.slot(self.rows);
        self.times_ms[slot] = time_ms;
        for track in &mut self.series {
            track.values[slot] = Decimal::NONE;
        }
        self.rows += 1;
    }

    /// True if each record of `snapshot` still has the binding it had in the last one.
    fn is_bound(&self, snapshot: &Snapshot) -> bool {
        let mut bindings = self.bindings.iter();
        let mut same = true;
        for_each_record(snapshot, |topic, record| {
            same &= bindings
                .next()
                .is_some_and(|binding| binding.topic == topic && binding.key == key(topic, record));
        });
        same && bindings.next().is_none()
    }

    /// Finds or makes the series of each figure. Runs when disks, mounts or interfaces come or go.
    fn bind(&mut self, snapshot: &Snapshot) {
        let row = self.rows - 1;
        // What is bound now was written up to the row before; the time until reuse starts there.
        for series in self.bindings.iter().flat_map(|binding| &binding.columns) {
            self.series[series.1].row_bound = row;
        }
        let mut bindings = Vec::with_capacity(self.bindings.len());
        for_each_record(snapshot, |topic, record| {
            let key = key(topic, record);
            let columns = TOPICS[topic].fields.iter().enumerate();
            let columns =
                columns.filter(|(_, field)| field.kind == Kind::Figure && !field.is_counter);
            let columns = columns.filter_map(|(column, field)| {
                let metric = match key {
                    "" => format!("{}.{}", TOPICS[topic].name, field.name),
                    key => format!("{}.{key}.{}", TOPICS[topic].name, field.name),
                };
                Some((column, self.series_for(metric, field.unit, row)?))
            });
            bindings.push(Binding { topic, key: key.to_owned(), columns: columns.collect() });
        });
        self.bindings = bindings;
    }

    /// The series of `metric`: the one there is, a new one, or one whose last value has left the
    /// ring. `None` when all are taken.
    fn series_for(&mut self, metric: String, unit: Unit, row: u64) -> Option<usize> {
        let found = self.series.iter().position(|track| track.metric == metric);
        let index = found.or_else(|| {
            let values = vec![Decimal::NONE; self.capacity].into_boxed_slice();
            let track = Track { metric, unit, values, row_bound: row };
            if self.series.len() < self.series_max {
                self.series.push(track);
                return Some(self.series.len() - 1);
            }
            let expired = row.checked_sub(self.capacity as u64)?;
            let old = self.series.iter().position(|old| old.row_bound <= expired)?;
            self.series[old] = track;
            Some(old)
        })?;
        self.series[index].row_bound = row;
        Some(index)
    }

    fn track(&self, metric: &str) -> Option<&Track> {
        self.series.iter().find(|track| track.metric == metric)
    }

    /// The rows that the ring still holds.
    fn rows_kept(&self) -> std::ops::Range<u64> {
        self.rows.saturating_sub(self.capacity as u64)..self.rows
    }

    fn slot(&self, row: u64) -> usize {
        (row % self.capacity as u64) as usize
    }
}

/// Single records first, so that a host with many interfaces keeps its memory series.
fn for_each_record(snapshot: &Snapshot, mut visit: impl FnMut(usize, &dyn Record)) {
    for topic in 0..TOPICS.len() {
        if let Content::One(record) = snapshot.content(topic) {
            visit(topic, record);
        }
    }
    for topic in 0..TOPICS.len() {
        if let Content::Many(rows) = snapshot.content(topic) {
            rows.iter().for_each(|record| visit(topic, record));
        }
    }
}

fn key(topic: usize, record: &dyn Record) -> &str {
    if TOPICS[topic].key.is_some() { record.key() } else { "" }
}
