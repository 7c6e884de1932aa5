//! Linux: the processes under /proc, a few files at a time.
//!
//! Owns what a scan needs while somebody watches: the counters of this scan and of the one before,
//! the ranking, the names of users and two tables, one of them being made. A scan lists, reads
//! /proc/PID/stat of each process, ranks, and reads of those that rank what only rows have: user,
//! command line, traffic. The first scan of a watch, and each one while somebody ranks by traffic,
//! reads everybody's traffic. Where /proc is mounted with hidepid, the processes of others are not
//! there. Promises: a step opens no more files than it may; no allocation once
//! the tables have grown; a process that goes in between costs its own row only. Time of processors
//! comes in ticks of 10 ms, so a second's share is exact to one percent.
//! May import: the data model.

mod counters;
mod details;
mod files;
mod parse;
mod seen;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use self::counters::{Counters, Origin};
use self::details::Detail;
use self::files::{Files, LISTED_MAX};
use self::seen::Seen;
use crate::metrics::processes::ranking::{Key, Ranking};
use crate::metrics::processes::{
    COMMAND_BYTES_MAX, NAME_BYTES_MAX, ORDERS, Order, PROCESSES_MAX, ROWS_MAX, Row, Table, Wanted,
};
use crate::metrics::source::processes::{FILES_PER_STEP_MIN, ProcessSource, Progress};
use crate::metrics::source::users::{self, Users};

/// Threads that take as long to sum up as a file to open: 6 us. The kernel makes the stat and io
/// files of a process from all of its threads, 0.2 us each.
const THREADS_PER_FILE: usize = 32;

/// What tells a wall clock that was set from one that is read a little later than the time since
/// boot, between which the process may have waited, or is slewed: half of it a busy host would pass
/// now and then, with twice starts could be wrong by as much.
const CLOCK_SET_MS: u64 = 1000;

/// Reads the processes of a Linux host.
pub struct Processes {
    root: PathBuf,
    /// Time since boot. Not that of /proc/uptime, which in a container of LXC is the container's
    /// (lxcfs), while the kernel tells starts by this clock; in a time namespace both are shifted
    /// (timens_add_boottime_ns in include/linux/time_namespace.h).
    uptime: fn() -> Option<Duration>,
    /// What is held while somebody watches.
    scan: Option<Box<Scan>>,
    /// That they cannot be listed is said once.
    was_logged: bool,
}

struct Scan {
    files: Files,
    users: Users,
    units: Units,
    phase: Phase,
    wanted: Wanted,
    /// Unix milliseconds at boot, by which every start is told: from the first scan, or from the
    /// last that found the wall clock set to another time.
    boot_ms: Option<u64>,
    /// Of the scan under way, and of the one before if that was complete.
    counters: Counters,
    before: Option<Counters>,
    /// Processes that are listed and not yet read, the next one last.
    listed: Vec<u32>,
    /// One whose stat line is read and whose traffic is not.
    half: Option<Seen>,
    rankings: [Ranking<Seen>; ORDERS.len()],
    running: usize,
    /// The table that is being made, and what its rows have for the details.
    making: Table,
    details: Vec<Detail>,
    table: Table,
    has_table: bool,
    is_full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is under way.
    Idle,
    Beginning,
    Reading,
    /// So many parts of the rows' details have been read, [`details::PARTS`] a row.
    Detailing(usize),
}

/// In what the kernel counts.
#[derive(Clone, Copy, Debug)]
struct Units {
    ticks_per_s: u64,
    page_bytes: u64,
}

impl Processes {
    /// The host this runs on.
    pub fn new() -> Processes {
        Processes::at(Path::new("/"))
    }

    /// The host whose /proc and /etc/passwd are under `root`.
    pub fn at(root: &Path) -> Processes {
        Processes { root: root.to_owned(), uptime, scan: None, was_logged: false }
    }

    /// Files opened, and looked at, since the first scan: none when nothing is held.
    pub fn files_opened(&self) -> u64 {
        self.scan.as_ref().map_or(0, |scan| scan.files.opened)
    }
}

/// Time since boot, by the kernel's clock.
fn uptime() -> Option<Duration> {
    Duration::try_from(clock_gettime(ClockId::Boottime)).ok()
}

impl Default for Processes {
    fn default() -> Processes {
        Processes::new()
    }
}

impl ProcessSource for Processes {
    fn begin(&mut self, now: Duration, wall_ms: u64, wanted: Wanted) {
        let scan = self.scan.get_or_insert_with(|| Box::new(Scan::new(&self.root)));
        scan.begin(now, wall_ms, wanted, (self.uptime)());
    }

    fn step(&mut self, now: Duration, files: usize) -> Progress {
        let Some(scan) = &mut self.scan else { return Progress::Done };
        let progress = scan.step(now, files.max(FILES_PER_STEP_MIN));
        if progress == Progress::Failed && !self.was_logged {
            self.was_logged = true;
            log::warn!("source={} unavailable", self.root.join("proc").display());
        }
        progress
    }

    fn table(&self) -> Option<&Table> {
        self.scan.as_ref().filter(|scan| scan.has_table).map(|scan| &scan.table)
    }

    fn release(&mut self) {
        self.scan = None;
    }

    fn memory_ceiling(&self) -> usize {
        // A row has three texts; lists grow by doubling.
        let row = size_of::<Row>() + 2 * (2 * NAME_BYTES_MAX + COMMAND_BYTES_MAX);
        let rows_max = ORDERS.len() * ROWS_MAX;
        let ranking = 2 * ROWS_MAX * (size_of::<Seen>() + size_of::<Key>());
        size_of::<Scan>()
            // This scan's and the one before's. A list that grows is for a moment there twice.
            + 2 * PROCESSES_MAX * counters::BYTES_MAX
            + PROCESSES_MAX / 2 * counters::BYTES_MAX
            + 2 * 2 * rows_max * row
            + 2 * rows_max * size_of::<Detail>()
            + ORDERS.len() * ranking
            + 2 * LISTED_MAX * size_of::<u32>()
            + users::MEMORY_BYTES_MAX
            // The buffers of files.
            + (4 << 10)
    }
}

impl Scan {
    fn new(root: &Path) -> Scan {
        Scan {
            files: Files::new(root.join("proc")),
            users: Users::new(root.join("etc/passwd")),
            units: Units {
                ticks_per_s: rustix::param::clock_ticks_per_second().max(1),
                page_bytes: rustix::param::page_size() as u64,
            },
            phase: Phase::Idle,
            wanted: Wanted::default(),
            boot_ms: None,
            counters: Counters::default(),
            before: None,
            listed: Vec::with_capacity(LISTED_MAX),
            half: None,
            rankings: Default::default(),
            running: 0,
            making: Table::default(),
            details: Vec::new(),
            table: Table::default(),
            has_table: false,
            is_full: false,
        }
    }

    fn begin(&mut self, now: Duration, wall_ms: u64, wanted: Wanted, uptime: Option<Duration>) {
        self.wanted = wanted;
        self.making.clear();
        self.making.time_ms = wall_ms;
        self.listed.clear();
        self.details.clear();
        self.half = None;
        self.running = 0;
        self.counters.restart(now, uptime, self.units.ticks_per_s);
        self.place_boot(wall_ms, uptime);
        self.phase = Phase::Beginning;
    }

    /// Starts stand still from scan to scan, unless the wall clock was set.
    fn place_boot(&mut self, wall_ms: u64, uptime: Option<Duration>) {
        let boot_ms = |uptime: Duration| wall_ms.saturating_sub(uptime.as_millis() as u64);
        let Some(boot_ms) = uptime.map(boot_ms) else { return };
        if self.boot_ms.is_none_or(|known_ms| known_ms.abs_diff(boot_ms) > CLOCK_SET_MS) {
            self.boot_ms = Some(boot_ms);
        }
    }

    fn step(&mut self, now: Duration, files: usize) -> Progress {
        match self.phase {
            Phase::Idle => Progress::Done,
            Phase::Beginning => self.prepare(),
            Phase::Reading => self.read_some(now, files),
            Phase::Detailing(place) => self.detail_some(now, place, files),
        }
    }

    /// What comes before the first process.
    fn prepare(&mut self) -> Progress {
        if self.files.open().is_err() {
            self.phase = Phase::Idle;
            return Progress::Failed;
        }
        self.users.refresh();
        let reads_all = self.before.is_none() || self.wanted.rows(Order::Io) > 0;
        self.counters.has_all_traffic = reads_all;
        self.making.covers = self.wanted;
        if !self.before.as_ref().is_some_and(|before| before.has_all_traffic) {
            self.making.covers.remove(Order::Io);
        }
        for (ranking, order) in self.rankings.iter_mut().zip(ORDERS) {
            let covers = &self.making.covers;
            ranking.restart(self.before.as_ref().map_or(0, |_| covers.rows(order)));
        }
        self.phase = Phase::Reading;
        Progress::Pending
    }

    /// Lists some processes, or reads some of those that are listed.
    fn read_some(&mut self, now: Duration, files: usize) -> Progress {
        if self.listed.is_empty() && self.half.is_none() {
            // After an error, what has been seen so far has been seen.
            let has_more = self.files.list(&mut self.listed).unwrap_or(false);
            self.listed.reverse();
            if !has_more || self.counters.len() >= PROCESSES_MAX {
                self.note_full(has_more);
                return self.rank(now);
            }
            return Progress::Pending;
        }
        let mut left = files;
        while left > 0 {
            let cost = match self.half.take() {
                // What is known to be long has a step of its own.
                Some(seen) if left < files && cost(seen.threads) > left => {
                    self.half = Some(seen);
                    break;
                }
                Some(mut seen) => {
                    seen.traffic = self.traffic(seen.origin, seen.reaped);
                    self.offer(&seen);
                    cost(seen.threads)
                }
                None => match self.listed.pop() {
                    Some(pid) if self.counters.len() < PROCESSES_MAX => self.read_one(pid, now),
                    Some(_) => 0,
                    None => break,
                },
            };
            left = left.saturating_sub(cost);
        }
        Progress::Pending
    }

    fn note_full(&mut self, has_more: bool) {
        if has_more && !self.is_full {
            self.is_full = true;
            log::warn!("limit=processes processes_max={PROCESSES_MAX} action=leave_out");
        }
    }

    /// Reads a stat line; gives what that took, in files.
    fn read_one(&mut self, pid: u32, now: Duration) -> usize {
        let Some(bytes) = self.files.read(pid, "stat") else { return 1 };
        let Some(stat) = parse::stat(bytes) else { return 1 };
        let origin = self.counters.origin(pid, stat.start, now);
        self.counters.add_time(origin, stat.ticks);
        self.running += usize::from(stat.state == b'R');
        let ticks = stat.ticks;
        let mut seen = Seen::new(origin, &stat, self.units.page_bytes);
        if let Some(before) = &self.before {
            let used = before.ticks_until(ticks, origin, self.counters.began);
            let per_s = |ticks: u64| 100.0 * ticks as f64 / self.units.ticks_per_s as f64;
            seen.cpu_usage = used.map(|used| per_s(used.by) / used.elapsed_s);
        }
        match self.counters.has_all_traffic {
            true => self.half = Some(seen),
            false => self.offer(&seen),
        }
        cost(seen.threads)
    }

    fn offer(&mut self, seen: &Seen) {
        if self.before.is_some() {
            for (ranking, order) in self.rankings.iter_mut().zip(ORDERS) {
                ranking.offer(seen.key(order), || *seen);
            }
        }
    }

    /// Reads how much a process reads and writes; the rates, if that was read before. `reaped` was
    /// read just before.
    fn traffic(&mut self, origin: Origin, reaped: u32) -> Option<[f64; 2]> {
        let bytes = parse::traffic(self.files.read(origin.pid, "io")?)?;
        self.counters.add_traffic(origin, bytes, reaped);
        let before = self.before.as_ref()?;
        if before.has_reaped(origin, reaped) {
            return None;
        }
        let grown = before.traffic_until(bytes, origin, self.counters.began)?;
        Some(grown.by.map(|bytes| bytes as f64 / grown.elapsed_s))
    }

    /// Makes the scan the one before, and its table the newest.
    fn finish(&mut self) {
        self.phase = Phase::Idle;
        self.files.close();
        self.counters.finish();
        self.making.total = self.counters.len();
        self.making.running = Some(self.running);
        if self.before.is_some() {
            std::mem::swap(&mut self.making, &mut self.table);
            self.has_table = true;
        }
        // The next scan has the memory of the one before.
        let complete = std::mem::take(&mut self.counters);
        self.counters = self.before.replace(complete).unwrap_or_default();
    }
}

/// What a stat or io file of a process of so many threads takes, in files.
fn cost(threads: u32) -> usize {
    1 + threads as usize / THREADS_PER_FILE
}

#[cfg(test)]
mod tests;
