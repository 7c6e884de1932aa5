//! Reading history: the single samples for drawing, or a window over all tiers as points.
//!
//! Owns the two views and how they are written, as JSON or CSV. Promises: positions are times in
//! `Recent`; in `Series` a gap stays a gap, each sample counts once, and joined points keep their
//! borders as time moves on, so that a chart does not shimmer. May import: `history`,
//! `definition`, `selected` (how numbers are written), `tally`.

use std::io::Write;
use std::ops::Range;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::bucket::{COLUMNS, add_codes};
use super::decimal::Decimal;
use super::ring::Ring;
use super::{Bucket, History};
use crate::metrics::definition::Unit;
use crate::metrics::selected::Rounded;
use crate::metrics::tally::Tally;

/// All single samples of one series: `{"t0","step_ms","values":[number|null,...]}`.
#[derive(Debug)]
pub struct Recent<'a> {
    samples: &'a Ring,
    series: usize,
    unit: Unit,
    /// From the first row that has a value to the newest.
    rows: Range<u64>,
}

impl<'a> Recent<'a> {
    pub(super) fn new(history: &'a History, series: usize) -> Recent<'a> {
        let unit = history.directory.series()[series].unit;
        let mut recent = Recent { samples: &history.samples, series, unit, rows: 0..0 };
        let rows = history.samples.held();
        let first = rows.clone().find(|row| recent.value(*row).is_some()).unwrap_or(rows.end);
        recent.rows = first..rows.end;
        recent
    }

    /// Unix milliseconds of the first value; 0 if there is none.
    pub fn t0(&self) -> u64 {
        if self.rows.is_empty() { 0 } else { self.samples.time_ms(self.rows.start) }
    }

    /// The values, one step apart, from the first known one to the newest tick.
    pub fn values(&self) -> impl Iterator<Item = Option<f64>> {
        self.rows.clone().map(|row| self.value(row))
    }

    fn value(&self, row: u64) -> Option<f64> {
        Decimal::from_bits(self.samples.codes(row)[self.series]).decode()
    }
}

impl Serialize for Recent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Recent", 3)?;
        fields.serialize_field("t0", &self.t0())?;
        fields.serialize_field("step_ms", &self.samples.step_ms())?;
        let values = Sequence(|| self.values().map(|value| Rounded(value, self.unit)));
        fields.serialize_field("values", &values)?;
        fields.end()
    }
}

/// The first record of a series as CSV (RFC 4180): what each field is.
pub const CSV_HEADER: &str = "metric,t,min,mean,max\r\n";

/// A window of one series.
#[derive(Debug)]
pub struct Series<'a> {
    history: &'a History,
    series: usize,
    /// The rows of each tier that are in it, coarsest first; the first row that is not complete
    /// comes after the last that is held.
    parts: [Range<u64>; TIERS],
    /// Milliseconds that are joined to one point; `None` if each row is one.
    join_ms: Option<u64>,
    step_ms: u64,
}

/// Tiers, coarsest first: minutes, tens, samples.
const TIERS: usize = 3;

/// What became of some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Unix milliseconds of the first sample.
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
        series: usize,
        since_ms: Option<u64>,
        until_ms: Option<u64>,
        points: Option<usize>,
    ) -> Series<'a> {
        let parts = history.parts(since_ms, until_ms.unwrap_or(u64::MAX));
        let coarsest = parts.iter().position(|part| !part.is_empty()).unwrap_or(TIERS - 1);
        let step_ms = history.ring(coarsest).step_ms();
        let mut window = Series { history, series, parts, join_ms: None, step_ms };
        let rows: u64 = window.parts.iter().map(|part| part.end - part.start).sum();
        if let Some(points) = points.filter(|points| rows > *points as u64) {
            window.join(points.max(1) as u64);
        }
        window
    }

    /// The points, oldest first.
    pub fn points(&self) -> impl Iterator<Item = Point> {
        let mut rows = self.rows().peekable();
        std::iter::from_fn(move || {
            loop {
                let (time_ms, mut tally) = rows.next()?;
                let mut begun_ms = time_ms;
                while let Some(join_ms) = self.join_ms {
                    let is_joined = |next: &(u64, Tally)| next.0 / join_ms == begun_ms / join_ms;
                    let Some((time_ms, next)) = rows.next_if(is_joined) else { break };
                    // A point begins where the series does.
                    if tally.figures().is_none() {
                        begun_ms = time_ms;
                    }
                    tally.merge(next);
                }
                if let Some([min, mean, max]) = tally.figures() {
                    return Some(Point { time_ms: begun_ms, min, mean, max });
                }
            }
        })
    }

    /// What it is called.
    pub fn metric(&self) -> &str {
        &self.history.directory.series()[self.series].metric
    }

    /// What it is a series of, as an object without its points: `{"metric","unit","step_ms"}`.
    pub fn head(&self) -> impl Serialize {
        Head { metric: self.metric(), unit: self.unit().name(), step_ms: self.step_ms }
    }

    /// A point as it is shown: `[t,min,mean,max]`.
    pub fn shown(&self, point: Point) -> impl Serialize + use<> {
        let [min, mean, max] =
            [point.min, point.mean, point.max].map(|value| Rounded(Some(value), self.unit()));
        (point.time_ms, min, mean, max)
    }

    /// Appends a point as a record of the fields of [`CSV_HEADER`].
    pub fn write_csv(&self, point: Point, out: &mut Vec<u8>) {
        write_csv_text(self.metric(), out);
        let [min, mean, max] =
            [point.min, point.mean, point.max].map(|value| self.unit().round(value));
        // Writing to a vector cannot fail.
        let _ = write!(out, ",{},{min},{mean},{max}\r\n", point.time_ms);
    }

    /// Sets the stretches so that there are at most `points`.
    fn join(&mut self, points: u64) {
        let mut ends = self.parts.iter().enumerate().filter(|(_, part)| !part.is_empty());
        let Some((tier, part)) = ends.next() else { return };
        let oldest_ms = self.history.row_ms(tier, part.start);
        let (tier, part) = ends.next_back().unwrap_or((tier, part));
        let newest_ms = self.history.row_ms(tier, part.end - 1);
        let span_ms = newest_ms - oldest_ms;
        // A span of whole stretches touches one more, wherever their borders are. That counts on
        // the worst place, so that the length is the same when the window has moved.
        self.step_ms = match points {
            1 => (span_ms + 1).next_multiple_of(self.step_ms),
            _ => span_ms.div_ceil(points - 1).max(1).next_multiple_of(self.step_ms),
        };
        // No stretch between two multiples need hold all of a window; one from the epoch does.
        self.join_ms = Some(if points == 1 { newest_ms + 1 } else { self.step_ms });
    }

    fn rows(&self) -> impl Iterator<Item = (u64, Tally)> {
        let parts = self.parts.iter().enumerate();
        parts.flat_map(move |(tier, part)| {
            part.clone().map(move |row| {
                (self.history.row_ms(tier, row), self.history.row_tally(tier, row, self.series))
            })
        })
    }

    /// How many samples each row stands for.
    #[cfg(test)]
    pub(super) fn sample_counts(&self) -> impl Iterator<Item = u64> {
        self.rows().map(|(_, tally)| tally.weight())
    }

    fn unit(&self) -> Unit {
        self.history.directory.series()[self.series].unit
    }
}

#[derive(Serialize)]
struct Head<'a> {
    metric: &'a str,
    unit: &'static str,
    step_ms: u64,
}

impl History {
    /// The rows of each tier that a window is made of, coarsest first.
    ///
    /// Each coarser tier is used for what lies before the finer ones, whole rows of it. The last of
    /// those may hold samples that the finer tiers have as well: these then begin with the next
    /// coarse row, which begins with one of theirs.
    fn parts(&self, since_ms: Option<u64>, until_ms: u64) -> [Range<u64>; TIERS] {
        let mut parts = [0..0, 0..0, 0..0];
        // Where what is covered so far begins.
        let mut reach_ms = u64::MAX;
        for tier in (0..TIERS).rev() {
            let start = self.first_row_from(tier, since_ms.unwrap_or(0));
            let end = self.first_row_from(tier, reach_ms);
            if start < end && tier + 1 < TIERS {
                let is_last = end == self.rows_end(tier);
                let cut_ms = if is_last { u64::MAX } else { self.row_ms(tier, end) };
                for (finer, part) in parts.iter_mut().enumerate().skip(tier + 1) {
                    part.start = part.start.max(self.first_row_from(finer, cut_ms));
                    part.end = part.end.max(part.start);
                }
            }
            parts[tier] = start..end.max(start);
            let oldest = self.ring(tier).held().start;
            if oldest < self.rows_end(tier) {
                reach_ms = reach_ms.min(self.row_ms(tier, oldest));
            }
            // Without a beginning the single samples are what is asked for.
            if since_ms.is_none_or(|since_ms| since_ms >= reach_ms) {
                break;
            }
        }
        for (tier, part) in parts.iter_mut().enumerate() {
            part.end = part.end.min(self.first_row_from(tier, until_ms.saturating_add(1)));
            part.start = part.start.min(part.end);
        }
        parts
    }

    fn ring(&self, tier: usize) -> &Ring {
        [&self.minutes, &self.tens, &self.samples][tier]
    }

    /// Whether the tier has a row that is not complete.
    fn has_open_row(&self, tier: usize) -> bool {
        match tier {
            0 => self.open_minute.is_open() || self.open_ten.is_open(),
            1 => self.open_ten.is_open(),
            _ => false,
        }
    }

    /// One past the last row, the one that is not complete included.
    fn rows_end(&self, tier: usize) -> u64 {
        self.ring(tier).held().end + u64::from(self.has_open_row(tier))
    }

    fn row_ms(&self, tier: usize, row: u64) -> u64 {
        let ring = self.ring(tier);
        if row < ring.held().end {
            return ring.time_ms(row);
        }
        let begun: &Bucket = match tier {
            0 if self.open_minute.is_open() => &self.open_minute,
            _ => &self.open_ten,
        };
        begun.time_ms
    }

    /// What a row knows of a series.
    fn row_tally(&self, tier: usize, row: u64, series: usize) -> Tally {
        let ring = self.ring(tier);
        let mut tally = Tally::default();
        if row >= ring.held().end {
            if tier == 0 {
                tally.merge(self.open_minute.tally(series));
            }
            tally.merge(self.open_ten.tally(series));
        } else if tier + 1 < TIERS {
            let codes = &ring.codes(row)[COLUMNS * series..][..COLUMNS];
            add_codes(&mut tally, codes, u32::from(ring.count(row)));
        } else if let Some(figure) = Decimal::from_bits(ring.codes(row)[series]).decode() {
            tally.add(figure);
        }
        tally
    }

    /// The first row that is not before `time_ms`, the one that is not complete included.
    fn first_row_from(&self, tier: usize, time_ms: u64) -> u64 {
        let ring = self.ring(tier);
        let row = ring.first_from(time_ms);
        let is_open_before =
            row == ring.held().end && self.has_open_row(tier) && self.row_ms(tier, row) < time_ms;
        row + u64::from(is_open_before)
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

/// A field, in quotes where it has to be (RFC 4180, section 2): a file system can be mounted on any
/// name.
fn write_csv_text(text: &str, out: &mut Vec<u8>) {
    if !text.contains([',', '"', '\n', '\r']) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_what_divides_fields_is_quoted_as_rfc_4180_has_it() {
        for (name, field) in [
            ("filesystems./srv.usage", "filesystems./srv.usage"),
            ("filesystems./a b.usage", "filesystems./a b.usage"),
            ("filesystems./a,b.usage", "\"filesystems./a,b.usage\""),
            ("filesystems./a\"b.usage", "\"filesystems./a\"\"b.usage\""),
            ("filesystems./a\nb.usage", "\"filesystems./a\nb.usage\""),
            ("filesystems./a\rb.usage", "\"filesystems./a\rb.usage\""),
        ] {
            let mut out = Vec::new();
            write_csv_text(name, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), field);
        }
    }
}
