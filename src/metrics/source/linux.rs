//! Linux: held-open files of /proc and /sys, read with pread and parsed in place.
//!
//! Owns one descriptor for each file that is read at every tick, and one buffer for all of them.
//! Promises: no allocation in a steady tick; a file that is missing or cannot be parsed costs its
//! own figures only, is logged once and tried again every 30 s. What costs more than a read
//! (mounts, block devices, counting processes) has a slower cadence. The root is injectable for
//! tests. May import: the data model, `rates`.

mod disks;
mod file;
mod filesystems;
mod memory;
mod networks;
mod own;
mod stat;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::disks::Disks;
use self::file::HeldFile;
use self::filesystems::Filesystems;
use self::networks::Networks;
use self::own::Own;
use self::stat::Stat;
use super::{Process, Source};
use crate::metrics::snapshot::{Load, Snapshot};

/// How often processes are counted, which walks /proc, and /proc/vmstat is read, which has a
/// hundred lines for the one that is wanted: either costs as much as all other files together.
const COUNTS_EVERY: Duration = Duration::from_secs(10);

/// Reads a Linux host.
pub struct Linux {
    proc: PathBuf,
    buffer: Vec<u8>,
    stat: Stat,
    load: HeldFile,
    memory: HeldFile,
    uptime: HeldFile,
    vmstat: HeldFile,
    pressure: [HeldFile; 3],
    disks: Disks,
    networks: Networks,
    filesystems: Filesystems,
    counts: Cadence<Counts>,
    own: Own,
}

/// What is counted now and then.
#[derive(Clone, Copy, Default)]
struct Counts {
    processes: Option<f64>,
    oom_kills: Option<f64>,
}

/// A value that is looked up now and then and kept in between.
struct Cadence<T> {
    every: Duration,
    next: Option<Duration>,
    value: T,
}

impl<T> Cadence<T> {
    fn new(every: Duration, value: T) -> Cadence<T> {
        Cadence { every, next: None, value }
    }

    /// Whether to look again; if so, the next time is `every` from now.
    fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.next.is_none_or(|next| now >= next);
        if is_due {
            self.next = Some(now + self.every);
        }
        is_due
    }
}

impl Linux {
    /// The host this runs on.
    pub fn new() -> Linux {
        Linux::at(Path::new("/"))
    }

    /// The host whose /proc and /sys are under `root`.
    pub fn at(root: &Path) -> Linux {
        let proc = root.join("proc");
        let held = |path: &str| HeldFile::new(proc.join(path));
        Linux {
            buffer: Vec::new(),
            stat: Stat::new(&proc, &root.join("sys")),
            load: held("loadavg"),
            memory: held("meminfo"),
            uptime: held("uptime"),
            vmstat: held("vmstat"),
            pressure: [held("pressure/cpu"), held("pressure/memory"), held("pressure/io")],
            disks: Disks::new(&proc, &root.join("sys")),
            networks: Networks::new(&proc, &root.join("sys")),
            filesystems: Filesystems::new(&proc),
            counts: Cadence::new(COUNTS_EVERY, Counts::default()),
            own: Own::new(&proc),
            proc,
        }
    }

    fn read_load(&mut self, now: Duration, load: &mut Load) {
        load.clear();
        let Some(bytes) = self.load.read(now, &mut self.buffer) else { return };
        let mut words = text::words(bytes);
        load.one = words.next().and_then(text::decimal);
        load.five = words.next().and_then(text::decimal);
        load.fifteen = words.next().and_then(text::decimal);
        let mut threads = words.next().unwrap_or_default().split(|byte| *byte == b'/');
        load.running = threads.next().and_then(text::number).map(|count| count as f64);
        load.threads = threads.next().and_then(text::number).map(|count| count as f64);
    }

    fn read_pressure(&mut self, now: Duration, into: &mut Snapshot) {
        let buffer = &mut self.buffer;
        let mut averages = self.pressure.iter_mut().map(|file| {
            file.read(now, buffer).map_or((None, None), |bytes| {
                (text::pressure(bytes, b"some"), text::pressure(bytes, b"full"))
            })
        });
        let mut next = || averages.next().unwrap_or_default();
        // The kernel's "full" of the processors is always zero for a whole host.
        let (cpu_some, _) = next();
        let (memory_some, memory_full) = next();
        let (io_some, io_full) = next();
        let pressure = &mut into.pressure;
        pressure.cpu_some = cpu_some;
        (pressure.memory_some, pressure.memory_full) = (memory_some, memory_full);
        (pressure.io_some, pressure.io_full) = (io_some, io_full);
    }

    fn read_system(&mut self, now: Duration, into: &mut Snapshot) {
        let uptime = self.uptime.read(now, &mut self.buffer);
        into.system.uptime_s =
            uptime.and_then(|bytes| text::words(bytes).next().and_then(text::decimal));
        if self.counts.is_due(now) {
            let vmstat = self.vmstat.read(now, &mut self.buffer);
            let kills = vmstat.and_then(|bytes| text::value_of(bytes, b"oom_kill"));
            let oom_kills = kills.map(|kills| kills as f64);
            self.counts.value = Counts { processes: count_processes(&self.proc), oom_kills };
        }
        let Counts { processes, oom_kills } = self.counts.value;
        (into.system.processes, into.system.oom_kills) = (processes, oom_kills);
    }
}

impl Default for Linux {
    fn default() -> Linux {
        Linux::new()
    }
}

impl Source for Linux {
    fn read(&mut self, now: Duration, into: &mut Snapshot) {
        self.read_load(now, &mut into.load);
        self.stat.read(now, &mut self.buffer, into);
        into.memory.clear();
        if let Some(bytes) = self.memory.read(now, &mut self.buffer) {
            memory::parse(bytes, &mut into.memory);
        }
        self.read_pressure(now, into);
        self.read_system(now, into);
        self.disks.read(now, &mut self.buffer, &mut into.disks);
        self.networks.read(now, &mut self.buffer, &mut into.networks);
        self.filesystems.read(now, &mut self.buffer, &mut into.filesystems);
    }

    fn process(&mut self, now: Duration) -> Process {
        self.own.read(now, &mut self.buffer)
    }
}

/// Counts the directories of /proc that are numbers. The counter in /proc/loadavg is of threads and
/// that in /proc/stat of forks since boot; there is no file with the number of processes.
fn count_processes(proc: &Path) -> Option<f64> {
    let entries = fs::read_dir(proc).ok()?;
    let is_process = |name: &[u8]| name.first().is_some_and(u8::is_ascii_digit);
    let processes =
        entries.flatten().filter(|entry| is_process(entry.file_name().as_encoded_bytes()));
    Some(processes.count() as f64).filter(|count| *count > 0.0)
}

#[cfg(test)]
mod tests;
