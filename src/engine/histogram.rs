//! How long things took, in fixed memory: since the start ([`Histogram`]) or lately ([`Window`]).
//!
//! Durations are counted in buckets, eight to an octave of microseconds, so that a quantile is off
//! by at most an eighth; the longest is kept exactly. Recording is a shift and an increment and
//! never allocates. A window is a ring of histograms, each of one part of its span: the part at
//! hand and those before it are what it shows, and the oldest goes as a new one begins. Time comes
//! in as an argument. Imports the clock's [`Tick`].

use std::time::Duration;

use super::clock::Tick;

/// Buckets in each octave, as a power of two.
const FINE_BITS: u32 = 3;
const FINE: usize = 1 << FINE_BITS;

/// Buckets for durations below `2^octaves` microseconds.
const fn buckets(octaves: u32) -> usize {
    (octaves - FINE_BITS + 1) as usize * FINE
}

/// Up to 2^46 us, 814 days: connections live that long. Each octave more takes 64 bytes.
const BUCKETS: usize = buckets(46);

/// Up to 2^27 us, 134 s: what is measured lately is meant to take milliseconds, and the deadlines
/// of the engine end what takes a minute. Each octave more takes 32 bytes a part.
const WINDOW_BUCKETS: usize = buckets(27);

/// Counts of durations since the start. 2.9 KB.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum: Sum,
    max: Duration,
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Histogram {
        Histogram { counts: [0; BUCKETS], sum: Sum::default(), max: Duration::ZERO }
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let nanos = nanoseconds(duration);
        self.counts[bucket(nanos / 1000).min(BUCKETS - 1)] += 1;
        self.sum.add(nanos);
        self.max = self.max.max(duration);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.sum.count
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The mean; `None` of nothing.
    pub fn mean(&self) -> Option<Duration> {
        self.sum.total().mean()
    }

    /// The duration that a share of `quantile` (0 to 1) does not exceed, rounded up to its bucket's
    /// end, at most an eighth too much; `None` of nothing. What is out of range, from 814 days up,
    /// counts as the longest.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = rank(quantile, self.sum.count);
        let index = position(self.counts.iter().copied(), rank)?;
        Some(end_of(index, BUCKETS, self.max))
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

/// How many durations, and what they come to, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
}

impl Total {
    /// The mean; `None` of nothing.
    pub fn mean(&self) -> Option<Duration> {
        let nanoseconds = self.sum.as_nanos().checked_div(u128::from(self.count))?;
        Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }
}

/// A total in the making. 64 bits of nanoseconds are 584 years.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    nanos: u64,
}

impl Sum {
    fn add(&mut self, nanos: u64) {
        self.count += 1;
        self.nanos = self.nanos.saturating_add(nanos);
    }

    fn total(self) -> Total {
        Total { count: self.count, sum: Duration::from_nanos(self.nanos) }
    }
}

/// What a window shows. All but the count is `None` of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many durations.
    pub count: u64,
    /// Half of them took no longer, at most an eighth too much.
    pub p50: Option<Duration>,
    /// Of a hundred, 99 took no longer, at most an eighth too much.
    pub p99: Option<Duration>,
    /// The longest, exactly.
    pub max: Option<Duration>,
}

/// Counts of durations in the last part of time, and how many there were since the start. With
/// `PARTS` parts it takes 816 bytes each and 40 more: 4,936 for six, 4,120 for five.
#[derive(Clone, Debug)]
pub struct Window<const PARTS: usize> {
    parts: [Part; PARTS],
    /// Which of them is recorded into, until when.
    current: usize,
    until: Tick,
    part_nanos: u64,
    sum: Sum,
}

/// What was counted in one part of time.
#[derive(Clone, Debug)]
struct Part {
    /// Which part since the clock's origin.
    number: u64,
    max_nanos: u64,
    counts: [u32; WINDOW_BUCKETS],
}

impl Part {
    const fn new(number: u64) -> Part {
        Part { number, max_nanos: 0, counts: [0; WINDOW_BUCKETS] }
    }
}

impl<const PARTS: usize> Window<PARTS> {
    /// An empty window. It shows what was recorded in the part at hand and in the `PARTS - 1`
    /// before it: of a span of 60 s in six parts, the last 50 to 60 s.
    ///
    /// # Panics
    /// If the span has no nanosecond for each part.
    pub fn new(span: Duration) -> Window<PARTS> {
        let span_nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let part_nanos = span_nanos / PARTS as u64;
        assert!(part_nanos > 0, "a span of {span:?} has no {PARTS} parts");
        Window {
            parts: [const { Part::new(0) }; PARTS],
            current: 0,
            until: Tick::from_nanos(part_nanos),
            part_nanos,
            sum: Sum::default(),
        }
    }

    /// Counts one duration, now. An instant before one that was given earlier counts as that.
    pub fn record(&mut self, now: Tick, duration: Duration) {
        self.record_nanos(now, nanoseconds(duration));
    }

    /// Counts the time from `earlier` to now; none if `earlier` is later.
    pub fn record_since(&mut self, now: Tick, earlier: Tick) {
        self.record_nanos(now, now.as_nanos().saturating_sub(earlier.as_nanos()));
    }

    fn record_nanos(&mut self, now: Tick, nanos: u64) {
        if now >= self.until {
            self.begin_part(now);
        }
        let part = &mut self.parts[self.current];
        let count = &mut part.counts[window_bucket(nanos)];
        // Four billion in a part would take four of them a nanosecond for a second.
        *count = count.saturating_add(1);
        part.max_nanos = part.max_nanos.max(nanos);
        self.sum.add(nanos);
    }

    #[cold]
    fn begin_part(&mut self, now: Tick) {
        let number = now.as_nanos() / self.part_nanos;
        self.current = (number % PARTS as u64) as usize;
        self.parts[self.current] = Part::new(number);
        self.until = Tick::from_nanos((number + 1).saturating_mul(self.part_nanos));
    }

    /// What the window shows at `now`. Walks its buckets up to that of the longest: less than a
    /// microsecond.
    pub fn summary(&self, now: Tick) -> Summary {
        let mut counts = [0; WINDOW_BUCKETS];
        let (mut end, mut max_nanos) = (0, 0);
        for part in self.shown(now) {
            let part_end = window_bucket(part.max_nanos) + 1;
            for (sum, count) in counts[..part_end].iter_mut().zip(&part.counts) {
                *sum += u64::from(*count);
            }
            end = end.max(part_end);
            max_nanos = max_nanos.max(part.max_nanos);
        }
        let counts = &counts[..end];
        let count = counts.iter().sum();
        if count == 0 {
            return Summary::default();
        }
        let max = Duration::from_nanos(max_nanos);
        let quantile = |quantile| {
            let index = position(counts.iter().copied(), rank(quantile, count))?;
            Some(end_of(index, WINDOW_BUCKETS, max))
        };
        Summary { count, p50: quantile(0.5), p99: quantile(0.99), max: Some(max) }
    }

    /// How many were counted since the start, and their sum.
    pub fn total(&self) -> Total {
        self.sum.total()
    }

    /// The parts that show at `now`.
    fn shown(&self, now: Tick) -> impl Iterator<Item = &Part> {
        let number = now.as_nanos() / self.part_nanos;
        self.parts.iter().filter(move |part| number < part.number + PARTS as u64)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The bucket of a duration: exact below eight, then by octave and its next three bits.
fn bucket(micros: u64) -> usize {
    if micros < FINE as u64 {
        return micros as usize;
    }
    let octave = micros.ilog2() - FINE_BITS;
    let fine = (micros >> octave) as usize & (FINE - 1);
    (octave as usize + 1) * FINE + fine
}

/// The bucket of a window that a duration is counted in.
fn window_bucket(nanos: u64) -> usize {
    bucket(nanos / 1000).min(WINDOW_BUCKETS - 1)
}

/// The longest duration in a bucket, which is the longest of all in the last of `buckets`.
fn end_of(index: usize, buckets: usize, max: Duration) -> Duration {
    if index + 1 == buckets {
        return max;
    }
    Duration::from_micros(bucket_end(index)).min(max)
}

fn bucket_end(index: usize) -> u64 {
    if index < FINE {
        return index as u64;
    }
    let octave = index / FINE - 1;
    let fine = (index % FINE) as u64;
    ((FINE as u64 + fine + 1) << octave) - 1
}

/// Which of `count` durations, in their order, a quantile is.
fn rank(quantile: f64, count: u64) -> u64 {
    ((quantile.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1)
}

/// The first bucket up to which there are `rank` durations.
fn position(mut counts: impl Iterator<Item = u64>, rank: u64) -> Option<usize> {
    let mut below = 0;
    counts.position(|count| {
        below += count;
        below >= rank
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn seconds(seconds: u64) -> Tick {
        Tick::from_millis(seconds * 1000)
    }

    /// One minute in six parts.
    fn minute() -> Window<6> {
        Window::new(Duration::from_secs(60))
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Histogram::new().quantile(0.99), None);
        assert_eq!(Histogram::new().mean(), None);
        assert_eq!(minute().summary(seconds(5)), Summary::default());
    }

    #[test]
    fn quantiles_follow_the_ranks() {
        let mut histogram = Histogram::new();
        (1..=100).for_each(|duration| histogram.record(ms(duration)));
        let p50 = histogram.quantile(0.5).unwrap().as_secs_f64();
        assert!((0.050..0.0563).contains(&p50), "{p50}");
        assert_eq!(histogram.quantile(1.0), Some(ms(100)));
        assert_eq!(histogram.mean(), Some(Duration::from_micros(50_500)));
        histogram.clear();
        assert_eq!(histogram.count(), 0);
    }

    #[test]
    fn they_take_as_much_memory_as_the_docs_say() {
        assert!(size_of::<Histogram>() <= 2_900, "{}", size_of::<Histogram>());
        assert_eq!((size_of::<Window<6>>(), size_of::<Window<5>>()), (4_936, 4_120));
    }

    #[test]
    fn days_are_told_apart_and_what_is_out_of_range_counts_as_the_longest() {
        let mut histogram = Histogram::new();
        for days in [1, 30, 400, 800] {
            histogram.record(DAY * days);
        }
        let p50 = histogram.quantile(0.5).unwrap();
        assert!((DAY * 30..DAY * 34).contains(&p50), "{p50:?}");
        histogram.clear();
        histogram.record(DAY * 5_000);
        assert_eq!(histogram.quantile(0.5), Some(DAY * 5_000));
        let mut window = minute();
        window.record(seconds(1), DAY);
        assert_eq!(window.summary(seconds(1)).p50, Some(DAY));
    }

    #[test]
    fn a_window_shows_what_was_recorded_in_it_and_forgets_what_is_older() {
        let mut window = minute();
        window.record(seconds(5), ms(500));
        for second in 11..=20 {
            window.record(seconds(second), ms(100));
        }
        let all = window.summary(seconds(59));
        assert_eq!((all.count, all.max), (11, Some(ms(500))));
        assert!(all.p50 < Some(ms(113)) && all.p99 == Some(ms(500)), "{all:?}");
        let later = window.summary(seconds(60));
        assert_eq!((later.count, later.max), (10, Some(ms(100))));
        assert_eq!(window.summary(seconds(80)), Summary::default());
        assert_eq!(window.total(), Total { count: 11, sum: ms(1_500) });
    }

    #[test]
    fn a_part_of_the_ring_that_is_used_again_begins_empty() {
        let mut window = minute();
        window.record(seconds(1), ms(900));
        window.record(seconds(61), ms(3));
        let summary = window.summary(seconds(61));
        assert_eq!((summary.count, summary.max), (1, Some(ms(3))));
        // After a pause of the host, longer than the window.
        window.record(seconds(3_600), ms(4));
        assert_eq!(window.summary(seconds(3_600)).count, 1);
    }

    #[test]
    fn a_window_of_zeros_has_a_longest() {
        let mut window = minute();
        window.record(seconds(1), Duration::ZERO);
        let zero = Some(Duration::ZERO);
        assert_eq!(
            window.summary(seconds(1)),
            Summary { count: 1, p50: zero, p99: zero, max: zero }
        );
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_an_eighth_too_much(micros in 0u64..1 << 46) {
            let index = bucket(micros);
            let end = bucket_end(index);
            prop_assert!(index < BUCKETS);
            prop_assert!(end >= micros && end as f64 <= micros as f64 * 1.125 + 1e-9);
        }

        #[test]
        fn a_window_counts_what_a_list_would(
            records in prop::collection::vec((0u64..20_000, 0u64..100_000), 0..100)
        ) {
            let mut window = minute();
            let mut now_ms = 0;
            let mut all: Vec<(u64, u64)> = Vec::new();
            for (wait_ms, micros) in records {
                now_ms += wait_ms;
                window.record(Tick::from_millis(now_ms), Duration::from_micros(micros));
                all.push((now_ms, micros));
            }
            let first_ms = (now_ms / 10_000).saturating_sub(5) * 10_000;
            let mut shown: Vec<u64> =
                all.iter().filter(|(at, _)| *at >= first_ms).map(|(_, micros)| *micros).collect();
            shown.sort_unstable();
            let summary = window.summary(Tick::from_millis(now_ms));
            prop_assert_eq!(summary.count, shown.len() as u64);
            prop_assert_eq!(summary.max, shown.last().map(|micros| Duration::from_micros(*micros)));
            if let Some(p50) = summary.p50 {
                let exact = shown[shown.len().div_ceil(2) - 1] as f64;
                let told = p50.as_micros() as f64;
                prop_assert!(told >= exact && told <= exact * 1.125 + 1e-9, "{told} for {exact}");
            }
        }
    }
}
