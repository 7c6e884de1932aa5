//! What history shows: tiers, gaps, windows, series.

use super::*;
use crate::metrics::snapshot::{Disk, Network};
use proptest::prelude::*;

/// A whole number of days and minutes.
const START_MS: u64 = 1_700_006_400_000;
const SECOND: Duration = Duration::from_secs(1);

/// Ticks a history by hand.
struct Ticking {
    history: History,
    snapshot: Snapshot,
}

impl Ticking {
    fn every(interval: Duration) -> Ticking {
        let snapshot = Snapshot { time_ms: START_MS, ..Snapshot::default() };
        Ticking { history: History::with_limits(interval, 40), snapshot }
    }

    /// The next sample, `later_ms` after the last one.
    fn tick(&mut self, later_ms: i64, usage: Option<f64>) {
        self.snapshot.sequence += 1;
        self.snapshot.time_ms = self.snapshot.time_ms.saturating_add_signed(later_ms);
        self.snapshot.cpu.usage = usage;
        self.history.record(&self.snapshot);
    }

    fn points(&self, since_ms: impl Into<Option<u64>>, points: Option<usize>) -> Vec<Point> {
        let series = self.history.query("cpu.usage", since_ms.into(), None, points);
        series.unwrap().points().collect()
    }

    fn step_ms(&self, since_ms: u64, points: Option<usize>) -> u64 {
        let series = self.history.query("cpu.usage", Some(since_ms), None, points).unwrap();
        serde_json::to_value(series.head()).unwrap()["step_ms"].as_u64().unwrap()
    }

    fn recent(&self) -> Vec<Option<f64>> {
        self.history.recent("cpu.usage").unwrap().values().collect()
    }
}

/// Points as (seconds after the start, min, mean, max).
fn shown(points: &[Point]) -> Vec<(f64, f64, f64, f64)> {
    let seconds = |point: &Point| (point.time_ms as f64 - START_MS as f64) / 1000.0;
    points.iter().map(|point| (seconds(point), point.min, point.mean, point.max)).collect()
}

#[test]
fn a_day_is_in_minutes_two_hours_in_tens_and_ten_minutes_in_samples() {
    let mut ticking = Ticking::every(SECOND);
    for second in 0..26 * 3600 {
        ticking.tick(1000, Some(f64::from(second % 60)));
    }
    let now_ms = ticking.snapshot.time_ms;
    let points = ticking.points(0, None);
    let steps: Vec<u64> = points.windows(2).map(|two| two[1].time_ms - two[0].time_ms).collect();
    let minutes = steps.iter().filter(|step| **step == 60_000).count();
    let tens = steps.iter().filter(|step| **step == 10_000).count();
    let samples = steps.iter().filter(|step| **step == 1000).count();
    assert!((1318..=1321).contains(&minutes), "{minutes}");
    assert!((655..=661).contains(&tens), "{tens}");
    assert!((590..=600).contains(&samples), "{samples}");
    assert_eq!(minutes + tens + samples, steps.len(), "no gap, nothing twice");
    assert!(now_ms - points[0].time_ms >= 24 * 3600 * 1000 - 60_000);
    // A minute begins on the minute, with the second whose value is 59.
    assert_eq!(shown(&points[..1])[0].0 % 60.0, 0.0);
    assert_eq!((points[0].min, points[0].mean, points[0].max), (0.0, 29.5, 59.0));
    assert_eq!(ticking.step_ms(0, None), 60_000);
    // The finest tier that covers the window, alone.
    assert_eq!(ticking.step_ms(now_ms - 500_000, None), 1000);
    assert_eq!(ticking.points(now_ms - 500_000, None).len(), 501);
    assert_eq!(ticking.step_ms(now_ms - 7_000_000, None), 10_000);
    assert_eq!(ticking.points(None, None).len(), 600);
}

#[test]
fn without_a_beginning_the_window_is_the_single_samples() {
    let mut ticking = Ticking::every(SECOND);
    (0..2000).for_each(|second| ticking.tick(1000, Some(f64::from(second))));
    assert_eq!(ticking.points(None, None).len(), 600);
    assert_eq!(ticking.points(None, Some(60)).len(), 56, "11 s each");
}

#[test]
fn what_was_not_measured_has_no_point_in_any_tier() {
    let mut ticking = Ticking::every(SECOND);
    for second in 0..3600 {
        let is_known = !(1200..1335).contains(&second);
        ticking.tick(1000, is_known.then_some(5.0));
    }
    // The first is 1 s after the start. The row of ten seconds in which they come back says when
    // it began itself.
    let gap = START_MS + 1_201_000..START_MS + 1_330_000;
    let is_in_gap = |point: &&Point| gap.contains(&point.time_ms);
    assert_eq!(ticking.points(0, None).iter().find(is_in_gap), None);
    let minutes = &ticking.history.minutes;
    let empty = minutes.held().filter(|row| minutes.codes(*row)[0] == 0).count();
    assert_eq!(empty, 1, "one whole minute is without a value");
}

#[test]
fn a_host_that_slept_has_a_gap_as_long_as_its_sleep() {
    let mut ticking = Ticking::every(SECOND);
    ticking.tick(0, Some(1.0));
    ticking.tick(5000, Some(2.0));
    assert_eq!(ticking.recent(), [Some(1.0), None, None, None, None, Some(2.0)]);
    ticking.tick(100_000_000, Some(3.0));
    assert_eq!(ticking.recent(), [Some(3.0)], "all else is older than ten minutes");
    let points = shown(&ticking.points(0, None));
    assert_eq!(points, [(0.0, 1.0, 1.5, 2.0), (100_005.0, 3.0, 3.0, 3.0)]);
}

#[test]
fn missed_ticks_are_empty_samples() {
    let mut ticking = Ticking::every(SECOND);
    ticking.tick(0, Some(1.0));
    ticking.snapshot.sequence += 2;
    ticking.tick(3000, Some(2.0));
    assert_eq!(ticking.recent(), [Some(1.0), None, None, Some(2.0)]);
}

#[test]
fn a_clock_set_back_moves_what_is_older_in_every_tier() {
    let mut ticking = Ticking::every(SECOND);
    (0..1000).for_each(|_| ticking.tick(1000, Some(4.0)));
    ticking.tick(-3_600_000 + 1000, Some(9.0));
    let points = ticking.points(0, None);
    assert!(points.is_sorted_by(|one, next| one.time_ms < next.time_ms));
    let newest_ms = ticking.snapshot.time_ms;
    assert_eq!((points.last().unwrap().time_ms, points.last().unwrap().max), (newest_ms, 9.0));
    assert_eq!(points[0].time_ms, newest_ms - 1_000_000, "ages stay right");
    assert_eq!(ticking.recent().len(), 600, "and there is no gap");
}

#[test]
fn a_clock_at_the_epoch_or_beyond_all_bounds_does_no_harm() {
    let mut ticking = Ticking::every(SECOND);
    (0..100).for_each(|_| ticking.tick(1000, Some(4.0)));
    for later_ms in [i64::MIN, 0, 0, i64::MAX, 0, i64::MAX, i64::MIN, 5] {
        ticking.tick(later_ms, Some(5.0));
        let points = ticking.points(0, None);
        assert!(points.is_sorted_by(|one, next| one.time_ms <= next.time_ms));
        assert!(ticking.points(0, Some(3)).len() <= 3);
    }
}

#[test]
fn with_a_longer_interval_each_sample_is_a_row_that_reaches_as_far() {
    for (seconds, tens, minutes) in
        [(10, 720, 1440), (30, 240, 1440), (600, 12, 144), (3600, 2, 24)]
    {
        let mut ticking = Ticking::every(Duration::from_secs(seconds));
        assert_eq!(ticking.history.tens.capacity(), tens);
        assert_eq!(ticking.history.minutes.capacity(), minutes);
        // Alternately a little after a border and a little before one: no two share a row, and
        // none is left empty.
        ticking.snapshot.time_ms -= 1;
        for tick in 0..26 * 3600 / seconds.min(1560) {
            let late_ms = if tick % 2 == 0 { 2 } else { -2 };
            ticking.tick(seconds as i64 * 1000 + late_ms, Some(1.0));
        }
        let points = ticking.points(0, None);
        let reach_ms = ticking.snapshot.time_ms - points[0].time_ms;
        let step_ms = seconds * 1000;
        let longest_ms = u64::max(60_000, step_ms);
        assert!(reach_ms + 2 * longest_ms >= MINUTES_SPAN_MS, "{seconds} s: {reach_ms}");
        for (ring, minimum_ms) in
            [(&ticking.history.tens, 10_000), (&ticking.history.minutes, 60_000)]
        {
            let labels: Vec<u64> = ring.held().map(|row| ring.time_ms(row)).collect();
            let widest_ms = labels.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(0);
            // Where rows have borders, a sample may come up to an interval after one.
            let late_ms = if step_ms < minimum_ms { step_ms } else { 0 };
            assert!(widest_ms <= ring.step_ms() + late_ms + 4, "{seconds} s: {widest_ms}");
        }
    }
}

#[test]
fn a_minute_row_never_holds_more_than_six_of_ten_seconds() {
    let mut ticking = Ticking::every(Duration::from_secs(10));
    // Seven ticks in one minute: the clock is being slowed down.
    (0..60).for_each(|tick| ticking.tick(8000, Some(f64::from(tick))));
    let (minutes, tens) = (&ticking.history.minutes, &ticking.history.tens);
    for row in minutes.held().take(5) {
        let parts =
            tens.first_from(minutes.time_ms(row + 1)) - tens.first_from(minutes.time_ms(row));
        assert!((1..=6).contains(&parts), "{parts}");
    }
}

#[test]
fn means_count_samples_and_not_rows() {
    let mut ticking = Ticking::every(SECOND);
    (0..9).for_each(|_| ticking.tick(1000, Some(1.0)));
    (0..60).for_each(|_| ticking.tick(1000, Some(100.0)));
    // Out of reach of samples and tens' worth of pause.
    ticking.tick(4_000_000, Some(1.0));
    let whole = ticking.points(0, Some(1));
    assert_eq!(whole.len(), 1);
    let expected = (9.0 + 6000.0 + 1.0) / 70.0;
    assert!((whole[0].mean - expected).abs() < 0.5, "{whole:?}");
    assert_eq!((whole[0].min, whole[0].max), (1.0, 100.0));
}

#[test]
fn joined_points_keep_their_borders_as_time_moves() {
    let mut ticking = Ticking::every(SECOND);
    (0..7200).for_each(|second| ticking.tick(1000, Some(f64::from(second % 97))));
    let window = |ticking: &Ticking| {
        let since_ms = ticking.snapshot.time_ms - 3_600_000;
        (ticking.points(since_ms, Some(100)), ticking.step_ms(since_ms, Some(100)))
    };
    let (before, step_ms) = window(&ticking);
    assert_eq!(step_ms, 40_000);
    for _ in 0..100 {
        ticking.tick(1000, Some(50.0));
        let (after, same_ms) = window(&ticking);
        assert_eq!(same_ms, step_ms);
        assert!(after.len() <= 100);
        // But for the first, which leaves, the last, which fills, and those where samples have
        // become rows of ten seconds, which changes a mean in its last figure.
        for point in &after[1..] {
            assert!(point.time_ms % step_ms < 2000, "{}", point.time_ms);
            let same = before[..before.len() - 1].iter().find(|old| old.time_ms == point.time_ms);
            if let Some(old) = same {
                assert_eq!((old.min, old.max), (point.min, point.max));
                assert!((old.mean - point.mean).abs() <= 0.005 * old.mean);
            }
        }
    }
}

#[test]
fn json_and_csv_have_their_shapes() {
    let mut ticking = Ticking::every(SECOND);
    (0..3).for_each(|second| ticking.tick(1000, Some(f64::from(second))));
    let series = ticking.history.query("cpu.usage", None, None, Some(1)).unwrap();
    let expected = serde_json::json!({"metric": "cpu.usage", "unit": "percent", "step_ms": 3000});
    assert_eq!(serde_json::to_value(series.head()).unwrap(), expected);
    let point = series.points().next().unwrap();
    let expected = serde_json::json!([START_MS + 1000, 0, 1, 2]);
    assert_eq!(serde_json::to_value(series.shown(point)).unwrap(), expected);
    let mut csv = Vec::new();
    series.write_csv(point, &mut csv);
    let expected = format!("cpu.usage,{},0,1,2\r\n", START_MS + 1000);
    assert_eq!(String::from_utf8(csv).unwrap(), expected);
    let recent = serde_json::to_value(ticking.history.recent("cpu.usage").unwrap()).unwrap();
    let expected = serde_json::json!({"t0": START_MS + 1000, "step_ms": 1000, "values": [0, 1, 2]});
    assert_eq!(recent, expected);
    assert!(ticking.history.query("", None, None, None).is_none());
    assert!(ticking.history.query("cpu.colour", None, None, None).is_none());
}

#[test]
fn a_window_without_rows_is_empty() {
    let ticking = Ticking::every(SECOND);
    assert!(ticking.history.query("cpu.usage", None, None, None).is_none());
    let mut ticking = Ticking::every(SECOND);
    ticking.tick(1000, Some(1.0));
    for (since, until) in [(5, 3), (0, 5), (u64::MAX, u64::MAX), (START_MS + 1001, u64::MAX)] {
        for points in [None, Some(1), Some(usize::MAX)] {
            let series = ticking.history.query("cpu.usage", Some(since), Some(until), points);
            assert_eq!(series.unwrap().points().count(), 0);
        }
    }
    let exact = START_MS + 1000;
    let series = ticking.history.query("cpu.usage", Some(exact), Some(exact), Some(1));
    assert_eq!(series.unwrap().points().count(), 1, "both ends are included");
}

#[test]
fn series_are_bounded_and_single_records_come_first() {
    let mut single = History::with_limits(SECOND, SERIES_LIMIT);
    single.record(&Snapshot::default());
    // Room for the host's own figures and one disk; vitald's would come behind the disks.
    let is_own = |name: &&str| name.starts_with("server.");
    let room = single.names().filter(|name| !is_own(name)).count() + 7;
    let mut history = History::with_limits(SECOND, room);
    let mut snapshot = Snapshot::default();
    (0..20).for_each(|index| {
        Disk::at(&mut snapshot.disks, index, &format!("d{index}"));
    });
    history.record(&snapshot);
    let names: Vec<&str> = history.names().collect();
    assert_eq!(names.len(), room);
    assert!(names.contains(&"system.uptime_s"), "single records are all in");
    assert!(names.contains(&"disks.d0.utilisation"));
    assert!(!names.contains(&"disks.d2.utilisation"));
    assert!(history.directory.is_shortage_told(), "the log says so");
    assert!(!single.directory.is_shortage_told());
    assert_eq!(History::with_limits(SECOND, 0).series_max, 1);
    assert_eq!(History::with_limits(SECOND, usize::MAX).series_max, SERIES_LIMIT);
}

/// A history with room for two interfaces of eight figures, and how its interfaces come and go.
struct Networks {
    history: History,
    snapshot: Snapshot,
}

impl Networks {
    fn new() -> Networks {
        let mut single = History::with_limits(SECOND, SERIES_LIMIT);
        single.record(&Snapshot::default());
        let history = History::with_limits(SECOND, single.names().count() + 16);
        Networks { history, snapshot: Snapshot { time_ms: START_MS, ..Snapshot::default() } }
    }

    fn tick(&mut self, names: &[&str], ticks: u64) {
        for _ in 0..ticks {
            self.snapshot.networks.clear();
            for (index, name) in names.iter().enumerate() {
                let network = Network::at(&mut self.snapshot.networks, index, name);
                network.rx_bytes_per_s = Some(7.0);
            }
            self.snapshot.sequence += 1;
            self.snapshot.time_ms += 1000;
            self.history.record(&self.snapshot);
        }
    }

    /// How many samples there are of an interface, if it has a series. A row counts whole: so runs
    /// here end with a row of ten seconds.
    fn samples(&self, name: &str) -> Option<u64> {
        let metric = format!("networks.{name}.rx_bytes_per_s");
        let series = self.history.query(&metric, Some(0), None, None)?;
        Some(series.sample_counts().sum())
    }
}

#[test]
fn a_new_series_takes_the_place_of_the_one_longest_gone_and_nothing_of_it_is_left() {
    let mut networks = Networks::new();
    networks.tick(&["first", "second"], 59);
    networks.tick(&["second"], 60);
    networks.tick(&["second", "third"], 100);
    assert_eq!(networks.samples("first"), Some(59), "it has been gone for two minutes");
    assert_eq!(networks.samples("third"), None);
    networks.tick(&[], 600);
    networks.tick(&["fourth"], 20);
    assert_eq!(networks.samples("first"), None, "it made room");
    assert_eq!(networks.samples("second"), Some(219), "gone for less long, it did not");
    assert_eq!(networks.samples("fourth"), Some(20), "only what is its own");
}

#[test]
fn a_new_series_has_nothing_of_the_old_in_the_tiers_that_reach_far_back() {
    let mut networks = Networks::new();
    networks.tick(&["first", "second"], 59);
    networks.tick(&[], 3 * 3600);
    networks.tick(&["third", "fourth"], 10);
    assert_eq!((networks.samples("third"), networks.samples("fourth")), (Some(10), Some(10)));
}

#[test]
fn a_figure_that_found_no_room_gets_it_when_another_has_been_gone_long_enough() {
    let mut networks = Networks::new();
    networks.tick(&["first", "second"], 59);
    networks.tick(&["second", "third"], 600);
    assert_eq!((networks.samples("first"), networks.samples("third")), (Some(59), None));
    networks.tick(&["second", "third"], 40);
    assert_eq!((networks.samples("first"), networks.samples("third")), (None, Some(40)));
    assert_eq!(networks.samples("second"), Some(699));
}

#[test]
fn memory_is_what_the_documentation_says() {
    let per_series = |history: &History| {
        let rows = [(&history.samples, 1), (&history.tens, COLUMNS), (&history.minutes, COLUMNS)];
        rows.map(|(ring, columns)| ring.capacity() * columns * size_of::<u16>())
    };
    let history = History::new(SECOND);
    assert_eq!(per_series(&history), [1200, 4320, 8640]);
    assert_eq!(per_series(&history).iter().sum::<usize>() * SERIES_MAX, 1_359_360);
    assert!((1_390_000..1_410_000).contains(&history.memory_ceiling()));
    for seconds in [0.1, 2.0, 10.0, 60.0, 3600.0] {
        let other = History::new(Duration::from_secs_f64(seconds));
        assert!(other.memory_ceiling() <= history.memory_ceiling());
        assert!(other.samples.capacity() >= 60);
    }
}

/// Samples as a model keeps them: the label, moved when the clock is set back.
fn labels_after(model: &mut Vec<u64>, history: &History) -> u64 {
    let newest_ms = history.samples.newest_ms().unwrap();
    if let Some(last) = model.last().copied()
        && newest_ms <= last
    {
        // By how much, the tier of samples tells: its newest but one is the model's last.
        let held = history.samples.held();
        let shift_ms = last - history.samples.time_ms(held.end - 2);
        model.iter_mut().for_each(|label| *label -= shift_ms);
    }
    model.push(newest_ms);
    newest_ms
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_sample_held_is_in_a_window_once_and_points_are_bounded(
        interval_ms in prop::sample::select(
            vec![100u64, 1000, 7000, 10_000, 25_000, 60_000, 90_000]
        ),
        steps in prop::collection::vec((1u32..400, 0u32..20, -300i64..300), 1..30),
        windows in prop::collection::vec((0.0f64..1.0, 0.0f64..1.2, 1usize..400), 1..8),
    ) {
        let mut ticking = Ticking::every(Duration::from_millis(interval_ms));
        let mut model = Vec::new();
        for (ticks, kind, jump) in steps {
            for tick in 0..ticks {
                let jump_ms = match (tick, kind) {
                    (0, 0) => -(jump.abs()) * 500,
                    (0, 1) => jump.abs() * 60_000,
                    (0, 2) => jump.abs() * 5_000,
                    _ => jump.signum() * (i64::from(tick) % 3),
                };
                let later_ms = interval_ms as i64 + jump_ms;
                ticking.tick(later_ms, Some(1.0));
                labels_after(&mut model, &ticking.history);
            }
        }
        let history = &ticking.history;
        let oldest_ms = model.iter().copied().find(|label| {
            let rings = [&history.minutes, &history.tens, &history.samples];
            rings.iter().any(|ring| {
                let held = ring.held();
                !held.is_empty() && *label >= ring.time_ms(held.start)
            })
        });
        let span = model[model.len() - 1] - model[0];
        for (from, to, points) in windows {
            // Everything held, once.
            let whole = history.query("cpu.usage", Some(0), None, None).unwrap();
            let counted: u64 = whole.sample_counts().sum();
            let first_ms = whole.points().next().unwrap().time_ms;
            let held = model.iter().filter(|label| **label >= first_ms).count();
            prop_assert_eq!(counted, held as u64);
            if let Some(oldest_ms) = oldest_ms {
                prop_assert!(first_ms <= oldest_ms);
            }
            // A window: bounded, in order, inside; joined or not the same extremes and count.
            let since_ms = model[0] + (span as f64 * from) as u64;
            let until_ms = since_ms + (span as f64 * to) as u64;
            let query = |points| history.query("cpu.usage", Some(since_ms), Some(until_ms), points);
            let series = query(Some(points)).unwrap();
            let all: Vec<Point> = series.points().collect();
            prop_assert!(all.len() <= points);
            prop_assert!(all.is_sorted_by(|one, next| one.time_ms < next.time_ms));
            prop_assert!(all.iter().all(|p| (since_ms..=until_ms).contains(&p.time_ms)));
            let plain = query(None).unwrap();
            prop_assert_eq!(plain.points().next().is_some(), !all.is_empty());
        }
    }
}
