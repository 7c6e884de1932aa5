//! Reading history: a whole ring for drawing, or a window of it reduced to points.
//!
//! Owns the two views and how they are written, as JSON or CSV. Promises: positions are times in
//! `Recent`; in `Series` a gap stays a gap (a bucket without values is left out); buckets keep
//! their borders as time moves on, so that a chart does not shimmer. May import: `history`,
//! `definition`, `selected` (how numbers are written).

use std::io::Write;
use std::ops::Range;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{History, Track};
use crate::metrics::selected::Rounded;

/// All that is kept of one series: `{"t0","step_ms","values":[number|null,...]}`.
#[derive(Debug)]
pub struct Recent<'a> {
    history: &'a History,
    track: &'a Track,
    /// From the first row that has a value to the newest.
    rows: Range<u64>,
}

impl<'a> Recent<'a> {
    pub(super) fn new(history: &'a History, track: &'a Track) -> Recent<'a> {
        let rows = history.rows_kept();
        let has_value = |row: &u64| track.values[history.slot(*row)].decode().is_some();
        let first = rows.clone().find(has_value).unwrap_or(rows.end);
        Recent { history, track, rows: first..rows.end }
    }

    /// Unix milliseconds of the first value; 0 if there is none.
    pub fn t0(&self) -> u64 {
        if self.rows.is_empty() { 0 } else { self.history.time_ms(self.rows.start) }
    }

    /// The values, one step apart, from the first known one to the newest tick.
    pub fn values(&self) -> impl Iterator<Item = Option<f64>> {
        self.rows.clone().map(|row| self.track.values[self.history.slot(row)].decode())
    }
}

impl Serialize for Recent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Recent", 3)?;
        fields.serialize_field("t0", &self.t0())?;
        fields.serialize_field("step_ms", &self.history.step_ms)?;
        let unit = self.track.unit;
        fields.serialize_field("values", &Sequence(|| self.values().map(|v| Rounded(v, unit))))?;
        fields.end()
    }
}

/// A window of one series: `{"metric","unit","step_ms","points":[[t,min,mean,max],...]}`.
#[derive(Debug)]
pub struct Series<'a> {
    history: &'a History,
    track: &'a Track,
    rows: Range<u64>,
    /// Rows that make one point.
    stride: u64,
}

/// What became of the rows of one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Unix milliseconds of the first value.
    pub time_ms: u64,
    /// The smallest value.
    pub min: f64,
    /// The mean of the values.
    pub mean: f64,
    /// The largest value.
    pub max: f64,
}

impl<'a> Series<'a> {
    pub(super) fn new(
        history: &'a History,
        track: &'a Track,
        since_ms: Option<u64>,
        until_ms: Option<u64>,
        points: Option<usize>,
    ) -> Series<'a> {
        let kept = history.rows_kept();
        // Times rise with rows, so that a window of time is a range of rows.
        let before = |time_ms: u64| history.rows_before(time_ms);
        let start = since_ms.map_or(kept.start, before);
        let end = until_ms.map_or(kept.end, |until_ms| before(until_ms.saturating_add(1)));
        let rows = start..end.max(start);
        let stride = points.map_or(1, |points| stride(&rows, points as u64));
        Series { history, track, rows, stride }
    }

    /// The points, oldest first.
    pub fn points(&self) -> impl Iterator<Item = Point> {
        let buckets = buckets(&self.rows, self.stride);
        buckets.filter_map(|bucket| {
            let first = (bucket * self.stride).max(self.rows.start);
            let end = ((bucket + 1) * self.stride).min(self.rows.end);
            self.point(first..end)
        })
    }

    /// Appends `metric,t,min,mean,max` lines, after a header if `out` is empty: several
    /// series can follow each other in one file.
    pub fn write_csv(&self, out: &mut Vec<u8>) {
        if out.is_empty() {
            out.extend_from_slice(b"metric,t,min,mean,max\n");
        }
        for point in self.points() {
            write_csv_text(&self.track.metric, out);
            let unit = self.track.unit;
            let [min, mean, max] =
                [point.min, point.mean, point.max].map(|value| unit.round(value));
            // Writing to a vector cannot fail.
            let _ = writeln!(out, ",{},{min},{mean},{max}", point.time_ms);
        }
    }

    fn point(&self, rows: Range<u64>) -> Option<Point> {
        let values = |row: u64| {
            let value = self.track.values[self.history.slot(row)].decode()?;
            Some((row, value))
        };
        let mut values = rows.filter_map(values);
        let (row, first) = values.next()?;
        let mut point =
            Point { time_ms: self.history.time_ms(row), min: first, mean: first, max: first };
        let mut count = 1.0;
        for (_, value) in values {
            point.min = point.min.min(value);
            point.max = point.max.max(value);
            point.mean += value;
            count += 1.0;
        }
        // Rounding must not carry a mean of equal values past them.
        point.mean = (point.mean / count).clamp(point.min, point.max);
        Some(point)
    }
}

impl Serialize for Series<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unit = self.track.unit;
        let rounded = |value| Rounded(Some(value), unit);
        let tuple = |p: Point| (p.time_ms, rounded(p.min), rounded(p.mean), rounded(p.max));
        let mut fields = serializer.serialize_struct("Series", 4)?;
        fields.serialize_field("metric", &self.track.metric)?;
        fields.serialize_field("unit", unit.name())?;
        fields.serialize_field("step_ms", &(self.history.step_ms.saturating_mul(self.stride)))?;
        fields.serialize_field("points", &Sequence(|| self.points().map(tuple)))?;
        fields.end()
    }
}

impl History {
    fn time_ms(&self, row: u64) -> u64 {
        self.times_ms[self.slot(row)]
    }

    /// The first kept row that is not before `time_ms`.
    fn rows_before(&self, time_ms: u64) -> u64 {
        let Range { mut start, mut end } = self.rows_kept();
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
}

/// An iterator that serialises as a sequence; serde asks for `&self`, hence a function that makes
/// it.
struct Sequence<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Sequence<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// The fewest rows a point, so that `rows` make at most `points` points. Borders lie at multiples
/// of the stride, not at the start of the window, which may cost one point more than the division
/// says.
fn stride(rows: &Range<u64>, points: u64) -> u64 {
    let points = points.max(1);
    let mut stride = (rows.end - rows.start).div_ceil(points).max(1);
    while buckets(rows, stride).count() as u64 > points {
        stride += 1;
        if points == 1 {
            // One bucket must hold all, wherever the borders are: no finite stride need do so.
            return rows.end.max(1);
        }
    }
    stride
}

/// The buckets that `rows` touch, by number.
fn buckets(rows: &Range<u64>, stride: u64) -> Range<u64> {
    if rows.is_empty() { 0..0 } else { rows.start / stride..(rows.end - 1) / stride + 1 }
}

fn write_csv_text(text: &str, out: &mut Vec<u8>) {
    if !text.contains([',', '"', '\n', '\r']) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}
