//! The history file survives a kill at any moment, and recording into it allocates nothing.
//!
//! The killed process is this test binary, executed again: it records minutes by a clock of its
//! own, much faster than time passes, and says on standard output which minute it has recorded.
//! Figures follow from their time, so that whatever comes back can be checked.

#[path = "support/heap.rs"]
mod heap;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use vitald::metrics::history::{History, HistoryOptions};
use vitald::metrics::snapshot::{Network, Snapshot};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const PATH: &str = "VITALD_TEST_HISTORY";
const SERIES: &str = "VITALD_TEST_HISTORY_SERIES";
const UNWRITABLE: &str = "VITALD_TEST_HISTORY_UNWRITABLE";
const START_MS: u64 = 1_700_006_400_000;
const MINUTE_MS: u64 = 60_000;
const INTERVAL: Duration = Duration::from_secs(5);

/// Kills of each kind: a block that is one page, and one of three, which a kill may tear.
const KILLS: usize = 100;

fn open(path: &Path, series_max: usize) -> History {
    let path = Some(path.to_owned());
    let options = HistoryOptions { series_max, path, ..HistoryOptions::default() };
    History::open(&options, INTERVAL).expect("the file is there and nobody else's")
}

/// The figure of a time: one for each row of ten seconds, rising within a minute.
fn figure(time_ms: u64) -> f64 {
    (time_ms / 10_000 % 600) as f64
}

/// The newest minute and how many there are, after a look at every point: it must be what was
/// recorded at its time, and between two there must be none missing.
fn checked(history: &History) -> Option<(u64, usize)> {
    let mut found = None;
    for metric in ["cpu.usage", "memory.used", "system.forks_per_s"] {
        let series = history.query(metric, Some(0), None, None)?;
        let mut minutes = Vec::new();
        let mut last_ms = 0;
        for point in series.points() {
            assert!(point.time_ms > last_ms, "{metric}");
            last_ms = point.time_ms;
            let minute = last_ms / MINUTE_MS;
            let most = figure(minute * MINUTE_MS + 59_999);
            assert_eq!(point.min, figure(last_ms), "{metric} at {last_ms}");
            assert!(point.max == point.min || point.max == most, "{metric}: {point:?}");
            minutes.push(minute);
        }
        minutes.dedup();
        let (oldest, newest) = (*minutes.first()?, *minutes.last()?);
        assert_eq!(newest - oldest + 1, minutes.len() as u64, "{metric}: a minute is missing");
        assert!(found.is_none_or(|found| found == (newest, minutes.len())), "{metric}");
        found = Some((newest, minutes.len()));
    }
    found
}

fn fill(snapshot: &mut Snapshot, time_ms: u64, interface: &str) {
    let value = Some(figure(time_ms));
    snapshot.time_ms = time_ms;
    snapshot.sequence += 1;
    snapshot.cpu.usage = value;
    snapshot.memory.used = value;
    snapshot.system.forks_per_s = value;
    Network::at(&mut snapshot.networks, 0, interface).rx_bytes_per_s = value;
}

/// What the killed process does; an ordinary run of the tests passes over it.
#[test]
fn records_until_it_is_killed() {
    let Ok(path) = std::env::var(PATH) else { return };
    let series_max = std::env::var(SERIES).expect("they come together").parse();
    let mut history = open(Path::new(&path), series_max.expect("it is a number"));
    let newest = checked(&history).map_or(START_MS / MINUTE_MS, |(newest, _)| newest);
    let mut snapshot = Snapshot::default();
    for minute in newest + 1.. {
        // A new name every half an hour: the directory is written while blocks are.
        let interface = format!("v{}", minute / 30 % 7);
        for tick in 0..12 {
            fill(&mut snapshot, minute * MINUTE_MS + tick * 5000, &interface);
            history.record(&snapshot);
        }
        // The one before is complete, and was written with the first sample of this.
        println!("minute {}", minute - 1);
    }
}

/// A file in a folder that goes when it does.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("vitald-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("the folder for temporary files can be written");
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("history")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The next of a sequence of numbers that the seed decides.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn kill_at_random_points(series_max: usize, seed: u64, minutes_max: u64) {
    let folder = Folder::new(&format!("history-kill-{series_max}"));
    let program = std::env::current_exe().expect("a test runs from a file");
    let mut state = seed;
    let mut recorded = 0;
    for round in 0..KILLS {
        let mut child = Command::new(&program)
            .args(["records_until_it_is_killed", "--exact", "--nocapture"])
            .env(PATH, folder.file())
            .env(SERIES, series_max.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test binary can be executed");
        let mut output = child.stdout.take().expect("it is piped");
        // Killed after so many bytes of what it says: some have not got to a minute by then, and
        // where in the next one the kill finds it nobody can say.
        let mut said = vec![0; (random(&mut state) % (16 * minutes_max)) as usize];
        output.read_exact(&mut said).expect("it runs until it is killed");
        for _ in 0..random(&mut state) % 20_000 {
            std::hint::spin_loop();
        }
        child.kill().expect("it is ours");
        output.read_to_end(&mut said).expect("the rest of what it said");
        child.wait().expect("it is ours");
        let said = String::from_utf8(said).expect("it says minutes");
        let complete = said[..said.rfind('\n').map_or(0, |end| end + 1)].lines();
        let minutes = complete.filter_map(|line| line.strip_prefix("minute ")?.parse().ok());
        let told: u64 = minutes.max().unwrap_or(0);
        let history = open(&folder.file(), series_max);
        let newest = checked(&history).map_or(0, |(newest, _)| newest);
        let place = format!("seed {seed}, {series_max} series, round {round}");
        assert!(newest >= told, "{place}: {told} was written, {newest} is the newest");
        assert!(newest <= told.max(recorded) + 2, "{place}: {newest} was not recorded, {told}");
        recorded = newest;
    }
    let (_, minutes) = checked(&open(&folder.file(), series_max)).expect("there is history");
    assert!(minutes as u64 > 5 * minutes_max, "{minutes} minutes have come together");
    assert!(!folder.0.join("history.broken").exists());
}

#[test]
fn a_kill_at_any_point_loses_the_open_minute_at_most() {
    // Blocks of one page; the file comes around a few times.
    kill_at_random_points(96, 1, 200);
    // Blocks of three pages, which a kill may tear. Not at the same time: a process that is being
    // started has a copy of the other's lock for a moment.
    kill_at_random_points(200, 2, 20);
}

/// What the process does that may not write a byte to any file; an ordinary run passes over it.
#[test]
fn records_where_nothing_can_be_written() {
    let Ok(path) = std::env::var(UNWRITABLE) else { return };
    let mut history = open(Path::new(&path), 96);
    let mut snapshot = Snapshot::default();
    for tick in 0..60 {
        fill(&mut snapshot, START_MS + tick * 5000, "eth0");
        history.record(&snapshot);
    }
    history.flush();
    assert!(checked(&history).is_some_and(|(_, minutes)| minutes == 5));
}

#[test]
fn a_disk_that_takes_nothing_stops_neither_this_start_nor_the_next() {
    let folder = Folder::new("history-unwritable");
    let program = std::env::current_exe().expect("a test runs from a file");
    for _ in 0..2 {
        // A write beyond the limit fails, as one to a full disk, with the signal ignored.
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""])
            .arg(&program)
            .args(["records_where_nothing_can_be_written", "--exact"])
            .env(UNWRITABLE, folder.file())
            .stdin(Stdio::null())
            .output()
            .expect("there is a shell");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let length = std::fs::metadata(folder.file()).expect("it was begun").len();
        assert_eq!(length, 0, "nothing could be written");
    }
    let mut history = open(&folder.file(), 96);
    let mut snapshot = Snapshot::default();
    (0..60).for_each(|tick| {
        fill(&mut snapshot, START_MS + tick * 5000, "eth0");
        history.record(&snapshot);
    });
    drop(history);
    assert!(checked(&open(&folder.file(), 96)).is_some(), "an empty file is a new one");
    assert!(!folder.0.join("history.broken").exists());
}

#[test]
fn a_steady_tick_allocates_nothing_and_what_is_held_stays_below_the_ceiling() {
    let folder = Folder::new("history-heap");
    let before = heap::live_bytes();
    let mut history = open(&folder.file(), 96);
    let mut snapshot = heap::uncounted(Snapshot::default);
    let mut tick = |history: &mut History, ticks: std::ops::Range<u64>| {
        for tick in ticks {
            heap::uncounted(|| fill(&mut snapshot, START_MS + tick * 5000, "eth0"));
            history.record(&snapshot);
        }
    };
    tick(&mut history, 0..100);
    let (held, allocated) = (heap::live_bytes() - before, heap::allocations());
    let ceiling = history.memory_ceiling() as i64;
    // Names come on top: some sixty of them.
    assert!((ceiling * 9 / 10..ceiling + 4096).contains(&held), "{held} of {ceiling}");
    assert!(ceiling < 1_500_000, "{ceiling}");
    // Writes to the file included.
    tick(&mut history, 100..2300);
    assert_eq!(heap::allocations(), allocated);
    assert_eq!(heap::live_bytes() - before, held);
}
