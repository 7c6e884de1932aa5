//! What one scan leaves for the next: counters by process.
//!
//! Owns two tables, one of processor time for every process and one of traffic with storage for
//! those whose file was read, each in the order of numbers once the scan is complete. A process is
//! the one of before if its number and its start are: numbers are given again. 24 bytes a process
//! and 32 more for traffic.

use std::time::Duration;

/// When and of which process something was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub pid: u32,
    /// Since the beginning of the scan; it would have to last an hour to reach the end.
    pub offset_us: u32,
    /// When the process started, in clock ticks since boot.
    pub start: u64,
}

#[derive(Clone, Copy, Debug)]
struct Time {
    origin: Origin,
    ticks: u64,
}

#[derive(Clone, Copy, Debug)]
struct Traffic {
    pid: u32,
    offset_us: u32,
    /// The low bits; they would be the same for another process with this number after 497 days.
    start: u32,
    /// How its stat line had it just before.
    reaped: u32,
    bytes: [u64; 2],
}

/// Bytes that the counters of one process take at most.
pub const BYTES_MAX: usize = size_of::<Time>() + size_of::<Traffic>();

/// How far ahead of its reading a start may be: the clocks are not read at the same moment, and a
/// step in between may last.
const START_AHEAD_MAX: Duration = Duration::from_secs(1);

/// The counters of one scan.
#[derive(Debug, Default)]
pub struct Counters {
    /// When it began.
    pub began: Duration,
    /// The same since boot, as processes' starts are; `None` if not known.
    uptime: Option<Duration>,
    ticks_per_s: u64,
    /// Whether traffic was read for every process.
    pub has_all_traffic: bool,
    times: Vec<Time>,
    traffic: Vec<Traffic>,
}

/// How much was counted, and in how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth<T> {
    pub by: T,
    pub elapsed_s: f64,
}

impl Counters {
    /// Begins anew and keeps the memory.
    pub fn restart(&mut self, began: Duration, uptime: Option<Duration>, ticks_per_s: u64) {
        self.times.clear();
        self.traffic.clear();
        (self.began, self.has_all_traffic) = (began, false);
        (self.uptime, self.ticks_per_s) = (uptime, ticks_per_s);
    }

    /// Whether a process can have started when it says. One that starts in the future tells time
    /// by a clock that is not ours.
    pub fn is_start(&self, origin: Origin) -> bool {
        let passed = Duration::from_micros(origin.offset_us.into()) + START_AHEAD_MAX;
        self.uptime.is_some_and(|uptime| origin.start <= self.ticks(uptime + passed))
    }

    fn ticks(&self, duration: Duration) -> u64 {
        let ticks = duration.as_nanos() * u128::from(self.ticks_per_s) / 1_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// Processes counted so far.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// The mark of what is counted at `now`.
    pub fn origin(&self, pid: u32, start: u64, now: Duration) -> Origin {
        let offset = now.saturating_sub(self.began).as_micros();
        Origin { pid, start, offset_us: u32::try_from(offset).unwrap_or(u32::MAX) }
    }

    pub fn add_time(&mut self, origin: Origin, ticks: u64) {
        self.times.push(Time { origin, ticks });
    }

    pub fn add_traffic(&mut self, origin: Origin, bytes: [u64; 2], reaped: u32) {
        let Origin { pid, offset_us, start } = origin;
        self.traffic.push(Traffic { pid, offset_us, start: start as u32, reaped, bytes });
    }

    /// Whether a process has waited for a child since its traffic was counted in this scan, which
    /// is complete: the child's is in its own then.
    pub fn has_reaped(&self, origin: Origin, reaped: u32) -> bool {
        self.traffic_of(origin).is_some_and(|before| before.reaped != reaped)
    }

    fn traffic_of(&self, origin: Origin) -> Option<Traffic> {
        let place = self.traffic.binary_search_by_key(&origin.pid, |traffic| traffic.pid).ok()?;
        Some(self.traffic[place]).filter(|before| before.start == origin.start as u32)
    }

    /// Makes the tables searchable. The kernel lists by number, so there is next to nothing to do.
    pub fn finish(&mut self) {
        self.times.sort_unstable_by_key(|time| time.origin.pid);
        self.traffic.sort_unstable_by_key(|traffic| traffic.pid);
    }

    /// How many ticks a process has used since this scan, which is complete. `None` when it was
    /// not counted although it was there, or has gone back.
    pub fn ticks_until(&self, ticks: u64, origin: Origin, began: Duration) -> Option<Growth<u64>> {
        let place = self.times.binary_search_by_key(&origin.pid, |time| time.origin.pid).ok();
        let before = place.map(|place| self.times[place]);
        match before.filter(|before| before.origin.start == origin.start) {
            Some(before) => Some(Growth {
                by: ticks.checked_sub(before.ticks)?,
                elapsed_s: self.elapsed_s(Some(before.origin), origin, began)?,
            }),
            None => self.since_start(ticks, origin, began),
        }
    }

    /// How many bytes a process has read and written since this scan; `None` as above, or when its
    /// traffic was not read.
    pub fn traffic_until(
        &self,
        bytes: [u64; 2],
        origin: Origin,
        began: Duration,
    ) -> Option<Growth<[u64; 2]>> {
        match self.traffic_of(origin) {
            Some(before) => {
                let [read, written] = bytes;
                let by =
                    [read.checked_sub(before.bytes[0])?, written.checked_sub(before.bytes[1])?];
                let at = Origin { offset_us: before.offset_us, ..origin };
                Some(Growth { by, elapsed_s: self.elapsed_s(Some(at), origin, began)? })
            }
            None => self.since_start(bytes, origin, began),
        }
    }

    /// Whoever started after this scan began has counted everything since; the time is that of the
    /// whole interval, as for the others.
    fn since_start<T>(&self, by: T, origin: Origin, began: Duration) -> Option<Growth<T>> {
        let uptime = self.uptime?;
        let elapsed_s = self.elapsed_s(None, origin, began)?;
        let elapsed = Duration::try_from_secs_f64(elapsed_s).ok()?;
        let latest = self.ticks(uptime.saturating_add(elapsed).saturating_add(START_AHEAD_MAX));
        let is_new = (self.ticks(uptime)..=latest).contains(&origin.start);
        is_new.then_some(Growth { by, elapsed_s })
    }

    fn elapsed_s(&self, before: Option<Origin>, after: Origin, began: Duration) -> Option<f64> {
        let at = |offset_us: u32| Duration::from_micros(offset_us.into());
        let before = self.began + before.map_or(Duration::ZERO, |before| at(before.offset_us));
        let elapsed = (began + at(after.offset_us)).checked_sub(before)?;
        Some(elapsed.as_secs_f64()).filter(|elapsed_s| *elapsed_s > 0.0)
    }
}
