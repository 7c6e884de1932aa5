//! What comes back after a restart, a kill, a torn write, a full disk, another clock.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::super::store::image::Image;
use super::super::*;
use crate::metrics::snapshot::Network;

const START_MS: u64 = 1_700_006_400_000;
const SECOND: Duration = Duration::from_secs(1);
/// All single records and an interface or two.
const SERIES: usize = 96;

/// One run of vitald over an image of a file.
struct Run {
    history: History,
    snapshot: Snapshot,
}

/// A figure that its time determines, one for each ten seconds, without a fall within a minute: so
/// rows of ten seconds, of a minute and of what is left of one can be foretold.
fn figure(time_ms: u64) -> f64 {
    (time_ms / 10_000 % 600) as f64
}

impl Run {
    fn over(image: &Image, time_ms: u64) -> Run {
        Run::every(SECOND, image, time_ms)
    }

    fn every(interval: Duration, image: &Image, time_ms: u64) -> Run {
        let mut history = History::with_limits(interval, SERIES);
        history.attach(image.store(SERIES));
        let snapshot = Snapshot { sequence: 100, time_ms, ..Snapshot::default() };
        Run { history, snapshot }
    }

    /// Samples each second for `seconds`.
    fn run(&mut self, seconds: u64) -> &mut Run {
        for _ in 0..seconds {
            self.tick(1000);
        }
        self
    }

    fn tick(&mut self, later_ms: i64) {
        self.snapshot.cpu.usage = Some(figure(self.snapshot.time_ms));
        self.history.record(&self.snapshot);
        self.snapshot.sequence += 1;
        self.snapshot.time_ms = self.snapshot.time_ms.saturating_add_signed(later_ms);
    }

    fn stop(mut self) {
        self.history.flush();
    }

    fn points(&self) -> Vec<Point> {
        points(&self.history, "cpu.usage")
    }
}

fn points(history: &History, metric: &str) -> Vec<Point> {
    let series = history.query(metric, Some(0), None, None);
    series.map(|series| series.points().collect()).unwrap_or_default()
}

/// How many samples are held in all tiers together, none twice.
fn samples(history: &History) -> u64 {
    let series = history.query("cpu.usage", Some(0), None, None);
    series.map_or(0, |series| series.sample_counts().sum())
}

/// Asserts that each point is what was measured at its time.
fn assert_true(points: &[Point]) {
    for point in points {
        let minute_ms = point.time_ms / 60_000 * 60_000;
        let possible = figure(point.time_ms)..=figure(minute_ms + 59_000);
        assert_eq!(point.min, *possible.start(), "{point:?}");
        assert!(possible.contains(&point.max), "{point:?}");
        assert!(point.min <= point.mean && point.mean <= point.max, "{point:?}");
    }
    assert!(points.is_sorted_by(|one, next| one.time_ms < next.time_ms));
}

#[test]
fn a_restart_goes_on_where_a_clean_stop_has_ended() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.run(3 * 3600 + 25);
    let before = run.points();
    let now_ms = run.snapshot.time_ms;
    run.stop();
    let mut run = Run::over(&image, now_ms);
    run.run(1);
    let after = run.points();
    assert_true(&after);
    // Nothing is lost, and the tens reach as far as they did; only the single samples are gone.
    assert_eq!(samples(&run.history), 3 * 3600 + 26);
    assert_eq!(after[..60], before[..60], "the minutes");
    let tens = |points: &[Point]| {
        points.windows(2).filter(|two| two[1].time_ms - two[0].time_ms == 10_000).count()
    };
    assert!(tens(&after) >= 700, "{}", tens(&after));
    assert_eq!(run.history.minutes.held().end, 180, "the minute that was cut is open again");
}

#[test]
fn a_minute_that_restarts_have_cut_is_one_row_and_one_block() {
    let image = Image::default();
    let mut now_ms = START_MS + 3000;
    for seconds in [7, 1, 1, 12, 2, 9] {
        let mut run = Run::over(&image, now_ms);
        run.run(seconds);
        now_ms = run.snapshot.time_ms;
        run.stop();
    }
    let mut run = Run::over(&image, now_ms);
    assert_eq!(run.history.minutes.held(), 0..1);
    assert_eq!(run.history.tens.held(), 0..4, "0, 10, 20, 30");
    assert_eq!(samples(&run.history), 32);
    run.run(60).history.flush();
    let run = Run::over(&image, now_ms + 60_000);
    assert_eq!(run.history.minutes.held(), 0..2);
    assert_eq!(samples(&run.history), 92);
}

#[test]
fn without_a_clean_stop_the_minute_that_was_open_is_lost_and_no_more() {
    let image = Image::default();
    Run::over(&image, START_MS + 30_000).run(600 + 5);
    // From 30 s on for 605 s: the end is 10:35 after the start.
    let run = Run::over(&image, START_MS + 3_600_000);
    assert_eq!(samples(&run.history), 570);
    assert_true(&run.points());
}

#[test]
fn a_write_is_one_block_a_minute_and_one_directory_when_names_change() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.run(59);
    assert!(image.take_writes().is_empty());
    run.run(2);
    let lengths = |image: &Image| -> Vec<usize> {
        image.take_writes().iter().map(|(_, bytes)| bytes.len()).collect()
    };
    assert_eq!(lengths(&image), [8192, 4096]);
    run.run(600);
    assert_eq!(lengths(&image), [4096; 10]);
    Network::at(&mut run.snapshot.networks, 0, "eth0").rx_bytes_per_s = Some(5.0);
    run.run(60);
    assert_eq!(lengths(&image), [8192, 4096]);
    run.history.flush();
    assert_eq!(lengths(&image), [4096], "the open minute");
    run.history.flush();
    assert!(image.take_writes().is_empty(), "there is nothing new");
}

#[test]
fn a_longer_time_between_writes_is_kept_whatever_the_clock_does() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.history.store.as_mut().unwrap().set_write_every(Duration::from_secs(600));
    for tick in 0..7200 {
        run.tick(if tick % 100 == 0 { 61_000 } else { 1000 });
    }
    let writes = image.take_writes();
    let rounds = 1 + 7200 / 562;
    assert!(run.history.minutes.held().end > 180);
    assert!(writes.len() > 150, "each minute is there in the end");
    let mut changes = 0;
    let mut run = Run::over(&Image::default(), START_MS);
    run.history.store.as_mut().unwrap().set_write_every(Duration::from_secs(600));
    let mut written = 0;
    for tick in 0..7200 {
        run.tick(if tick % 100 == 0 { 61_000 } else { 1000 });
        let now = run.history.store.as_ref().unwrap().next_row();
        changes += u32::from(now != written);
        written = now;
    }
    assert!((10..=rounds).contains(&changes), "{changes} rounds");
}

#[test]
fn a_day_fills_the_file_and_it_grows_no_further() {
    let image = Image::default();
    let mut run = Run::every(Duration::from_secs(7), &image, START_MS);
    for _ in 0..30 * 3600 / 7 {
        run.tick(7000);
    }
    let layout_bytes = image.bytes().len();
    let now_ms = run.snapshot.time_ms;
    let before = run.points();
    run.stop();
    assert_eq!(image.bytes().len(), layout_bytes);
    let run = Run::every(Duration::from_secs(7), &image, now_ms);
    let after = run.points();
    assert_eq!(run.history.minutes.held().end, 1440);
    let first = before.iter().position(|point| point.time_ms == after[0].time_ms).unwrap();
    assert_eq!(after[..1000], before[first..][..1000]);
}

#[test]
fn a_series_that_took_the_place_of_another_has_nothing_of_it() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    for index in 0..40 {
        Network::at(&mut run.snapshot.networks, 0, &format!("v{index}")).rx_bytes_per_s =
            Some(f64::from(index));
        // Long enough that the next but two may take its place.
        run.run(610);
    }
    let now_ms = run.snapshot.time_ms;
    let names = |history: &History| -> BTreeMap<String, Vec<Point>> {
        let all = (0..40).map(|index| format!("networks.v{index}.rx_bytes_per_s"));
        all.filter(|name| history.query(name, None, None, None).is_some())
            .map(|name| (name.clone(), points(history, &name)))
            .collect()
    };
    let before = names(&run.history);
    run.stop();
    let run = Run::over(&image, now_ms);
    let after = names(&run.history);
    assert!(after.keys().eq(before.keys()), "{:?}", after.keys());
    assert!((2..40).contains(&after.len()));
    for (name, points) in &after {
        let index: f64 = name["networks.v".len()..].split('.').next().unwrap().parse().unwrap();
        assert!(!points.is_empty(), "{name}");
        assert!(points.iter().all(|point| (point.min, point.max) == (index, index)), "{name}");
        let total = |points: &[Point]| points.iter().map(|point| point.time_ms / 60_000).max();
        assert_eq!(total(points), total(&before[name]));
    }
}

#[test]
fn a_disk_that_is_full_for_hours_costs_the_rows_of_ten_seconds_and_no_minute() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.run(600);
    image.set_failing(true);
    run.run(3 * 3600);
    assert!(run.history.store.as_ref().unwrap().is_failing());
    image.set_failing(false);
    run.run(180);
    assert!(!run.history.store.as_ref().unwrap().is_failing());
    let now_ms = run.snapshot.time_ms;
    let held = samples(&run.history);
    run.stop();
    let mut run = Run::over(&image, now_ms);
    assert_eq!(samples(&run.history), held);
    assert_true(&run.points());
    assert_eq!(run.history.minutes.held().end, 193);
    run.run(1);
    assert_eq!(samples(&run.history), held + 1);
}

#[test]
fn minutes_without_their_rows_of_ten_seconds_are_not_hidden_by_those_of_others() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.run(600);
    image.set_failing(true);
    run.run(6 * 3600);
    image.set_failing(false);
    // One round of two hours of minutes, whose rows of ten seconds are gone; then a kill.
    run.run(60);
    let now_ms = run.snapshot.time_ms;
    drop(run);
    let mut run = Run::over(&image, now_ms);
    let written = (9 + 120) * 60;
    assert_eq!(samples(&run.history), written);
    // The first row of ten seconds after them is not complete yet.
    run.run(1);
    assert_eq!(samples(&run.history), written + 1);
    run.run(600);
    assert_eq!(samples(&run.history), written + 601);
    run.stop();
    let run = Run::over(&image, now_ms + 1_000_000);
    assert_eq!(samples(&run.history), written + 601);
    assert_true(&run.points());
}

#[test]
fn a_write_torn_at_any_byte_costs_what_it_would_have_added() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.run(130);
    let before = image.copy();
    image.take_writes();
    // A name comes, so that the next round writes the directory and a block.
    Network::at(&mut run.snapshot.networks, 0, "eth0").rx_bytes_per_s = Some(5.0);
    run.run(60);
    let writes = image.take_writes();
    assert_eq!(writes.len(), 2);
    let held = samples(&Run::over(&before, START_MS).history);
    assert_eq!(held, 120);
    let whole = image.bytes();
    for (number, (offset, bytes)) in writes.iter().enumerate() {
        // Bytes that are the same before and after tear nothing: only where they change.
        let old = before.copy();
        for end in 0..=bytes.len() {
            let is_change = end == bytes.len() || end == 0 || bytes[end - 1] != 0;
            old.put(*offset, &bytes[..end]);
            if !is_change {
                continue;
            }
            let run = Run::over(&old, START_MS + 600_000);
            let mut now = old.bytes();
            now.resize(whole.len(), 0);
            let is_complete = now == whole;
            let expected = if number == 1 && is_complete { 180 } else { held };
            assert_eq!(samples(&run.history), expected, "write {number}, {end} bytes");
            assert_true(&run.points());
        }
        before.put(*offset, bytes);
    }
}

#[test]
fn a_clock_that_is_behind_the_file_moves_it_back_in_memory_alone() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.run(3600);
    run.stop();
    let bytes = image.bytes();
    // Without power for some minutes, and a clock that was saved half an hour ago.
    let mut run = Run::over(&image, START_MS + 1_800_000);
    run.run(30);
    let all = run.points();
    assert_eq!(samples(&run.history), 3630);
    assert!(all.is_sorted_by(|one, next| one.time_ms < next.time_ms));
    assert_eq!(all[0].time_ms, START_MS - 1_800_000);
    assert_eq!(image.bytes(), bytes);
    // The time comes over the network.
    run.tick(3_000_000);
    run.run(40);
    let now_ms = run.snapshot.time_ms;
    run.stop();
    // What was labelled right is so again; where the wrong clock has been, it has been there last.
    let run = Run::over(&image, now_ms);
    let all = run.points();
    assert_true(&all);
    assert_eq!(all[0].time_ms, START_MS);
    assert_eq!(samples(&run.history), 3600 - 60 + 31 + 40);
}

#[test]
fn rows_of_a_clock_that_was_days_ahead_are_left_out_and_the_others_kept() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.run(300);
    run.tick(400 * 24 * 3_600_000);
    run.run(300);
    run.stop();
    let mut run = Run::over(&image, START_MS + 400_000);
    run.run(1);
    assert_eq!(samples(&run.history), 302);
    run.run(200);
    run.stop();
    let mut run = Run::over(&image, START_MS + 700_000);
    run.run(1);
    assert_eq!(samples(&run.history), 302 + 200 + 1, "what came after is there the next time");
    // A host whose clock begins in 1970.
    let mut run = Run::over(&image, 5000);
    run.run(10);
    assert_eq!(samples(&run.history), 10);
}

#[test]
fn the_directory_that_is_older_than_a_block_says_nothing_of_it() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.run(130);
    image.take_writes();
    Network::at(&mut run.snapshot.networks, 0, "eth0").rx_bytes_per_s = Some(5.0);
    run.run(60);
    let (offset, bytes) = image.take_writes().swap_remove(0);
    assert_eq!(bytes.len(), 8192);
    image.put(offset + 100, &[0xff]);
    assert_eq!(samples(&Run::over(&image, START_MS).history), 120);
}

#[test]
fn what_a_lost_directory_named_is_never_shown_under_another_name() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.run(130);
    image.take_writes();
    Network::at(&mut run.snapshot.networks, 0, "eth0").rx_bytes_per_s = Some(5.0);
    run.run(300);
    let (offset, bytes) = image.take_writes().swap_remove(0);
    assert_eq!(bytes.len(), 8192);
    image.put(offset + 100, &[0xff]);
    let mut run = Run::over(&image, START_MS + 600_000);
    assert_eq!(samples(&run.history), 120);
    Network::at(&mut run.snapshot.networks, 0, "wlan0").rx_bytes_per_s = Some(9.0);
    run.run(70);
    run.stop();
    let run = Run::over(&image, START_MS + 700_000);
    let others = points(&run.history, "networks.wlan0.rx_bytes_per_s");
    assert!(!others.is_empty());
    assert!(others.iter().all(|point| point.max == 9.0), "{others:?}");
    assert_eq!(samples(&run.history), 190);
    assert_true(&run.points());
}

#[test]
fn a_name_too_long_for_the_file_is_told_and_kept_in_memory() {
    let mut run = Run::over(&Image::default(), START_MS);
    let told = |run: &Run| run.history.store.as_ref().unwrap().is_length_told();
    Network::at(&mut run.snapshot.networks, 0, "eth0").rx_bytes_per_s = Some(5.0);
    run.run(1);
    assert!(!told(&run));
    let long = "n".repeat(60);
    Network::at(&mut run.snapshot.networks, 0, &long).rx_bytes_per_s = Some(5.0);
    run.run(1);
    assert!(told(&run));
    assert_eq!(points(&run.history, &format!("networks.{long}.rx_bytes_per_s")).len(), 1);
}

#[test]
fn a_clock_that_ran_ahead_for_a_minute_moves_nothing_at_the_next_start() {
    let image = Image::default();
    let mut run = Run::over(&image, START_MS);
    run.run(300);
    run.stop();
    // It starts five hours ahead, and is set right after a minute.
    let ahead_ms = 5 * 3_600_000;
    let mut run = Run::over(&image, START_MS + 600_000 + ahead_ms);
    run.run(70);
    run.tick(1000 - ahead_ms as i64);
    run.run(300);
    let now_ms = run.snapshot.time_ms;
    run.stop();
    let mut run = Run::over(&image, now_ms);
    run.run(1);
    let all = run.points();
    assert_true(&all);
    assert_eq!(all[0].time_ms, START_MS);
    assert_eq!(all.last().unwrap().time_ms / 10_000, now_ms / 10_000);
}

#[test]
fn a_name_that_came_while_the_disk_was_full_for_longer_than_a_day_is_kept() {
    let image = Image::default();
    let every = Duration::from_secs(7);
    let mut run = Run::every(every, &image, START_MS);
    (0..100).for_each(|_| run.tick(7000));
    image.set_failing(true);
    (0..26 * 3600 / 7).for_each(|_| run.tick(7000));
    Network::at(&mut run.snapshot.networks, 0, "eth0").rx_bytes_per_s = Some(5.0);
    (0..3600 / 7).for_each(|_| run.tick(7000));
    image.set_failing(false);
    let now_ms = run.snapshot.time_ms;
    let held = points(&run.history, "networks.eth0.rx_bytes_per_s");
    run.stop();
    let run = Run::every(every, &image, now_ms);
    let kept = points(&run.history, "networks.eth0.rx_bytes_per_s");
    assert_eq!(kept.first().map(|point| point.time_ms), held.first().map(|point| point.time_ms));
    assert_eq!(run.history.minutes.held().end, 1440, "a clean stop writes all there is");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_damage_is_left_out_and_nothing_false_comes_of_it(
        damages in prop::collection::vec(
            (0usize..40_000, prop::collection::vec(any::<u8>(), 1..200)), 1..12
        ),
        cut in prop::option::of(0usize..60_000),
    ) {
        let image = Image::default();
        Run::over(&image, START_MS).run(700);
        let mut bytes = image.bytes();
        for (offset, damage) in &damages {
            let end = bytes.len().min(offset + damage.len());
            let start = end.min(*offset);
            bytes[start..end].copy_from_slice(&damage[..end - start]);
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        let image = Image::of(bytes);
        let mut run = Run::over(&image, START_MS + 900_000);
        assert_true(&run.points());
        prop_assert!(samples(&run.history) <= 660);
        run.run(130);
        prop_assert_eq!(run.points().last().unwrap().time_ms, START_MS + 1_029_000);
        let now_ms = run.snapshot.time_ms;
        run.stop();
        let run = Run::over(&image, now_ms);
        prop_assert!(samples(&run.history) >= 130, "it is a good file again");
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..30_000)) {
        let mut run = Run::over(&Image::of(bytes), START_MS);
        run.run(3);
        prop_assert_eq!(samples(&run.history), 3);
    }
}

/// A folder of its own for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("vitald-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn open(&self, series_max: usize) -> Result<History, Error> {
        let path = Some(self.0.join("history"));
        let options = HistoryOptions { series_max, path, ..HistoryOptions::default() };
        History::open(&options, SECOND)
    }

    fn file(&self) -> PathBuf {
        self.0.join("history")
    }

    fn aside(&self) -> PathBuf {
        self.0.join("history.broken")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_second_process_is_refused_and_may_come_when_the_first_is_gone() {
    let folder = Folder::new("history-lock");
    let first = folder.open(96).unwrap();
    let error = folder.open(96).unwrap_err().to_string();
    let place = folder.file().display().to_string();
    assert_eq!(
        error,
        format!(
            "the history file {place} is in use by another process: stop that one or choose \
             another path"
        )
    );
    drop(first);
    folder.open(96).unwrap();
    assert!(!folder.aside().exists());
}

#[test]
fn a_file_that_is_none_of_ours_is_set_aside_and_a_new_one_begun() {
    let folder = Folder::new("history-aside");
    let is_new = |file: &Path| fs::metadata(file).unwrap().len() == 5_918_720;
    let mut damaged = {
        drop(folder.open(96).unwrap());
        fs::read(folder.file()).unwrap()
    };
    damaged[4000] ^= 1;
    for content in [&b"x"[..], &[0; 5000], &[0xff; 9000], &damaged] {
        fs::write(folder.file(), content).unwrap();
        drop(folder.open(96).unwrap());
        assert!(is_new(&folder.file()));
        assert!(fs::read(folder.aside()).unwrap() == content);
        fs::remove_file(folder.aside()).unwrap();
        drop(folder.open(96).unwrap());
        assert!(!folder.aside().exists(), "the new one is good");
    }
}

/// Records minutes at a clock of its own.
fn record(history: &mut History, from_ms: u64, seconds: u64) {
    for second in 0..seconds {
        let time_ms = from_ms + second * 1000;
        let mut snapshot = Snapshot { sequence: time_ms / 1000, time_ms, ..Snapshot::default() };
        snapshot.cpu.usage = Some(figure(time_ms));
        history.record(&snapshot);
    }
}

#[test]
fn another_number_of_series_sets_aside_and_overwrites_nothing() {
    let folder = Folder::new("history-series");
    let mut history = folder.open(96).unwrap();
    record(&mut history, START_MS, 300);
    drop(history);
    let day = fs::read(folder.file()).unwrap();
    drop(folder.open(97).unwrap());
    drop(folder.open(96).unwrap());
    assert!(fs::read(folder.aside()).unwrap() == day, "the first is as it was");
    assert!(folder.0.join("history.broken.1").exists());
    // The first can be put back.
    fs::rename(folder.aside(), folder.file()).unwrap();
    assert_eq!(samples(&folder.open(96).unwrap()), 240);
}

#[test]
fn what_cannot_be_set_aside_stays_and_history_is_in_memory_until_it_can() {
    let folder = Folder::new("history-full-of-broken");
    let asides: Vec<PathBuf> = std::iter::once(folder.aside())
        .chain((1..10).map(|number| folder.0.join(format!("history.broken.{number}"))))
        .collect();
    asides.iter().for_each(|aside| fs::write(aside, "x").unwrap());
    fs::write(folder.file(), "not history").unwrap();
    let mut history = folder.open(96).unwrap();
    record(&mut history, START_MS, 300);
    assert_eq!(fs::read(folder.file()).unwrap(), b"not history");
    assert!(asides.iter().all(|aside| fs::read(aside).unwrap() == b"x"));
    fs::remove_file(&asides[4]).unwrap();
    record(&mut history, START_MS + 300_000, 120);
    assert_eq!(fs::read(&asides[4]).unwrap(), b"not history");
    drop(history);
    assert_eq!(samples(&folder.open(96).unwrap()), 360, "from the first minute on");
}

#[test]
fn a_file_removed_replaced_or_cut_under_us_is_begun_anew_from_memory() {
    let folder = Folder::new("history-lost");
    let mut history = folder.open(96).unwrap();
    record(&mut history, START_MS, 300);
    fs::remove_file(folder.file()).unwrap();
    record(&mut history, START_MS + 300_000, 300);
    drop(history);
    let mut history = folder.open(96).unwrap();
    assert_eq!(samples(&history), 540);
    assert!(!folder.aside().exists(), "there was nothing in the way");
    let start_ms = START_MS + 600_000;
    let cut = |bytes| fs::File::options().write(true).open(folder.file()).unwrap().set_len(bytes);
    for (round, bytes) in [0, 4096, 100_000].into_iter().enumerate() {
        cut(bytes).unwrap();
        record(&mut history, start_ms + round as u64 * 120_000, 120);
    }
    fs::rename(folder.file(), folder.0.join("elsewhere")).unwrap();
    fs::write(folder.file(), "another").unwrap();
    record(&mut history, start_ms + 360_000, 120);
    drop(history);
    let aside = fs::read(folder.0.join("history.broken.2")).unwrap();
    assert_eq!(aside, b"another", "after two that were cut");
    assert_eq!(samples(&folder.open(96).unwrap()), 540 + 480 - 60);
}

#[test]
fn only_a_mistake_in_the_configuration_stops_a_start() {
    use std::io::ErrorKind::*;
    let failed = |kind: std::io::ErrorKind| Error::Failed(PathBuf::from("h"), kind.into());
    for (kind, is_final, hint) in [
        (NotFound, true, "folder must exist"),
        (PermissionDenied, false, "writable for this user"),
        (NotADirectory, true, "folder"),
        (StorageFull, false, "make room"),
        (QuotaExceeded, false, "make room"),
        (ReadOnlyFilesystem, false, "file system must be writable"),
        (ResourceBusy, false, "disk"),
        (Other, false, "disk"),
    ] {
        assert_eq!(failed(kind).is_final(), is_final, "{kind}");
        assert!(failed(kind).to_string().contains(hint), "{kind}");
        assert!(!Error::Unready(PathBuf::from("h"), kind.into()).is_final());
        assert!(!Error::InTheWay(PathBuf::from("h"), kind.into()).is_final());
    }
}

#[test]
fn a_file_that_was_cut_or_never_begun_is_used() {
    let folder = Folder::new("history-cut");
    for bytes in [0, 4096, 4097, 30_000] {
        drop(folder.open(96).unwrap());
        fs::OpenOptions::new().write(true).open(folder.file()).unwrap().set_len(bytes).unwrap();
        drop(folder.open(96).unwrap());
        assert_eq!(fs::metadata(folder.file()).unwrap().len(), 5_918_720);
        assert!(!folder.aside().exists());
    }
}

#[test]
fn what_cannot_be_opened_is_said_in_a_sentence() {
    let folder = Folder::new("history-refused");
    fs::create_dir(folder.file()).unwrap();
    assert!(matches!(folder.open(96), Err(Error::Failed(..) | Error::NotAFile(_))));
    assert!(matches!(folder.open(0), Err(Error::Series(0))));
    assert!(matches!(folder.open(SERIES_LIMIT + 1), Err(Error::Series(_))));
    let options = |path: &str, seconds| HistoryOptions {
        path: Some(PathBuf::from(path)),
        write_every: Duration::from_secs(seconds),
        ..HistoryOptions::default()
    };
    let error = |path, seconds| History::open(&options(path, seconds), SECOND).unwrap_err();
    assert!(error("/dev/null", 60).to_string().contains("/dev/null is not a regular file"));
    assert!(error("/nowhere/history", 60).to_string().contains("its folder must exist"));
    assert!(error("/nowhere/history", 59).to_string().contains("choose 1m to 1h"));
    assert!(error("/nowhere/history", 3601).to_string().contains("choose 1m to 1h"));
}
