//! Linux: files of /proc and /sys, read with pread and parsed in place.
//!
//! Owns one descriptor for each file that is read at every tick, and one buffer for all of them.
//! What is read together is a [`Part`], with its own cadence where it costs more than it tells.
//! Promises: no allocation in a steady tick; what cannot be read or parsed costs its own figures
//! only, is logged once, and once when it is back, and tried again every 30 s. The root is given,
//! statvfs included, so that tests read another host. May import: the data model, `rates`.

mod cgroup;
mod disks;
mod expose;
mod file;
mod filesystems;
mod lookups;
mod memory;
mod mounts;
mod networks;
mod outage;
mod own;
mod pressure;
pub mod processes;
mod sockets;
mod stat;
mod system;
mod temperatures;
mod text;

use std::path::Path;
use std::time::Duration;

use self::cgroup::Cgroup;
use self::disks::Disks;
use self::expose::Collectors;
use self::file::HeldFile;
use self::filesystems::Filesystems;
use self::networks::Networks;
use self::own::Own;
use self::pressure::Pressure;
use self::sockets::Sockets;
use self::stat::Stat;
use self::system::System;
use self::temperatures::Temperatures;
use super::{Process, Source};
use crate::metrics::exposition::Exposition;
use crate::metrics::snapshot::{Load, Snapshot};

pub use self::filesystems::{Ask, Space};

/// Reads a Linux host.
pub struct Linux {
    buffer: Vec<u8>,
    load: HeldFile,
    stat: Stat,
    memory: HeldFile,
    pressure: Pressure,
    system: System,
    disks: Disks,
    networks: Networks,
    sockets: Sockets,
    cgroup: Cgroup,
    temperatures: Temperatures,
    filesystems: Filesystems,
    own: Own,
    collectors: Collectors,
    /// When each part that has a cadence is due, by its place in [`PARTS`].
    due: [Option<Duration>; PARTS.len()],
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

/// What is read together.
#[derive(Clone, Copy)]
pub struct Part {
    /// What it is called where its cost is told.
    pub name: &'static str,
    /// How often it is read; at each reading if nothing is said.
    pub every: Option<Duration>,
    read: fn(&mut Linux, Duration, &mut Snapshot),
}

impl Part {
    const fn always(name: &'static str, read: fn(&mut Linux, Duration, &mut Snapshot)) -> Part {
        Part { name, every: None, read }
    }

    const fn every(
        seconds: u64,
        name: &'static str,
        read: fn(&mut Linux, Duration, &mut Snapshot),
    ) -> Part {
        Part { name, every: Some(Duration::from_secs(seconds)), read }
    }
}

/// Everything that is read, in this order.
///
/// | figures | file | described in |
/// |---|---|---|
/// | `cpu`, `load.blocked`, rates of `system` | /proc/stat | filesystems/proc.rst |
/// | `cpu.frequency_mhz` | cpu0/cpufreq/scaling_cur_freq | admin-guide/pm/cpufreq.rst |
/// | `load` | /proc/loadavg | filesystems/proc.rst |
/// | `memory` | /proc/meminfo | filesystems/proc.rst |
/// | `pressure` | /proc/pressure/{cpu,memory,io} | accounting/psi.rst |
/// | `disks` | /proc/diskstats | admin-guide/iostats.rst |
/// | `filesystems` | /proc/self/mountinfo, statvfs(3) | filesystems/proc.rst |
/// | `networks` | /proc/net/dev; operstate | proc.rst; ABI/testing/sysfs-class-net |
/// | `sockets.tcp_established` | /proc/net/snmp | RFC 4022, tcpCurrEstab |
/// | `sockets.tcp_listen` | /proc/net/{tcp,tcp6} | networking/proc_net_tcp.rst |
/// | `sockets.tcp_time_wait`, `udp` | /proc/net/{sockstat,sockstat6} | proc_pid_net(5) |
/// | `sockets.file_handles`, `_max` | /proc/sys/fs/file-nr | admin-guide/sysctl/fs.rst |
/// | `temperatures` | hwmon; zones | hwmon/sysfs-interface.rst; thermal/sysfs-api.rst |
/// | `system.uptime_s` | /proc/uptime | filesystems/proc.rst |
/// | `system.oom_kills` | /proc/vmstat, `oom_kill` | proc_vmstat(5) |
/// | `system.processes` | directories of /proc | filesystems/proc.rst |
/// | `cgroup` | memory.max, cpu.max and so on | admin-guide/cgroup-v2.rst, cgroup-v1 |
///
/// The cadences: a frequency can need an interrupt of another processor; the count of processes
/// walks /proc, a few hundred entries at a time; vmstat has a hundred lines for the one that is
/// wanted; statvfs can wake a disk and sensors are slow; for the sockets that listen the kernel
/// looks through its table of connections, 1.0 to 1.6 ms in one call; what limits a control group
/// and which sensors there are takes a hundred calls and changes by hand.
pub const PARTS: [Part; 17] = [
    Part::always("load", Linux::read_load),
    Part::every(5, "frequency", |linux, now, _| linux.stat.read_frequency(now, &mut linux.buffer)),
    Part::always("stat", |linux, now, into| linux.stat.read(now, &mut linux.buffer, into)),
    Part::always("memory", Linux::read_memory),
    Part::always("pressure", |linux, now, into| {
        linux.pressure.read(now, &mut linux.buffer, &mut into.pressure);
    }),
    Part::always("uptime", |linux, now, into| {
        linux.system.read_uptime(now, &mut linux.buffer, &mut into.system);
    }),
    Part::always("disks", |linux, now, into| {
        linux.disks.read(now, &mut linux.buffer, &mut into.disks);
    }),
    Part::always("networks", |linux, now, into| {
        linux.networks.read(now, &mut linux.buffer, &mut into.networks);
    }),
    Part::always("sockets", |linux, now, into| {
        linux.sockets.read(now, &mut linux.buffer, &mut into.sockets);
    }),
    Part::every(30, "cgroup_limits", |linux, now, _| linux.cgroup.find(now, &mut linux.buffer)),
    Part::always("cgroup", |linux, now, into| {
        linux.cgroup.read(now, &mut linux.buffer, &mut into.cgroup);
    }),
    Part::every(10, "filesystems", |linux, now, into| {
        linux.filesystems.read(now, &mut linux.buffer, &mut into.filesystems);
    }),
    // A count begins every 10 s, and each reading goes a part of the way.
    Part::always("processes", |linux, now, into| {
        linux.system.count_processes(now, &mut into.system);
    }),
    Part::every(10, "vmstat", |linux, now, into| {
        linux.system.read_vmstat(now, &mut linux.buffer, &mut into.system);
    }),
    Part::every(60, "sensors", |linux, now, _| linux.temperatures.find(now)),
    Part::every(10, "temperatures", |linux, now, into| {
        linux.temperatures.read(now, &mut linux.buffer, &mut into.temperatures);
    }),
    // One family at a time, so each every minute.
    Part::every(30, "listeners", |linux, now, into| {
        linux.sockets.read_listeners(now, &mut linux.buffer, &mut into.sockets);
    }),
];

impl Linux {
    /// The host this runs on.
    pub fn new() -> Linux {
        Linux::at(Path::new("/"), Box::new(filesystems::ask_kernel))
    }

    /// The host whose files are under `root`. Its mounts are joined to it, and `ask` says how much
    /// room each has.
    pub fn at(root: &Path, ask: Ask) -> Linux {
        let (proc, sys) = (root.join("proc"), root.join("sys"));
        Linux {
            buffer: Vec::new(),
            load: HeldFile::of_one_record(proc.join("loadavg")),
            stat: Stat::new(&proc, &sys),
            memory: HeldFile::of_one_record(proc.join("meminfo")),
            pressure: Pressure::new(&proc),
            disks: Disks::new(&proc, &sys),
            networks: Networks::new(&proc, &sys),
            sockets: Sockets::new(&proc),
            cgroup: Cgroup::new(root),
            temperatures: Temperatures::new(&sys),
            filesystems: Filesystems::new(root, ask),
            own: Own::new(&proc),
            collectors: Collectors::new(root),
            system: System::new(proc),
            due: [None; PARTS.len()],
        }
    }

    /// Reads one part, due or not: for measuring what it costs.
    pub fn read_part(&mut self, part: &Part, now: Duration, into: &mut Snapshot) {
        (part.read)(self, now, into);
    }

    /// Whether the part at `index` is to be read. After the first time the parts are spread, so
    /// that no tick has to do all of them.
    fn is_due(&mut self, index: usize, now: Duration) -> bool {
        let Some(every) = PARTS[index].every else { return true };
        // Ticks come a little early or late: without room, one that is early would wait for the
        // next, and the cadence be a tick longer than it says.
        let room = every / 20;
        let next = match self.due[index] {
            None => {
                let spread_s = (1 + index as u64) % every.as_secs().max(1);
                now + if spread_s == 0 { every } else { Duration::from_secs(spread_s) }
            }
            Some(due) if now + room >= due => (due + every).max(now + every - room),
            Some(_) => return false,
        };
        self.due[index] = Some(next);
        true
    }

    /// /proc/loadavg (Documentation/filesystems/proc.rst): three averages, threads that run or are
    /// ready to, of all threads, and the newest process.
    fn read_load(&mut self, now: Duration, into: &mut Snapshot) {
        let load = &mut into.load;
        let blocked = load.blocked;
        *load = Load { blocked, ..Load::default() };
        let Some(bytes) = self.load.read(now, &mut self.buffer) else { return };
        let mut words = text::words(bytes);
        load.one = words.next().and_then(text::decimal);
        load.five = words.next().and_then(text::decimal);
        load.fifteen = words.next().and_then(text::decimal);
        let mut threads = words.next().unwrap_or_default().split(|byte| *byte == b'/');
        load.running = threads.next().and_then(text::number).map(|count| count as f64);
        load.threads = threads.next().and_then(text::number).map(|count| count as f64);
    }

    fn read_memory(&mut self, now: Duration, into: &mut Snapshot) {
        into.memory.clear();
        if let Some(bytes) = self.memory.read(now, &mut self.buffer) {
            memory::parse(bytes, &mut into.memory);
        }
    }
}

impl Default for Linux {
    fn default() -> Linux {
        Linux::new()
    }
}

impl Source for Linux {
    fn read(&mut self, now: Duration, into: &mut Snapshot) {
        for (index, part) in PARTS.iter().enumerate() {
            if self.is_due(index, now) {
                (part.read)(self, now, into);
            }
        }
    }

    fn process(&mut self, now: Duration) -> Process {
        self.own.read(now, &mut self.buffer)
    }

    fn expose(&mut self, now: Duration, wall_ms: u64, out: &mut Exposition<'_>) {
        self.expose_all(now, wall_ms, out);
    }
}

#[cfg(test)]
mod seq_file;
#[cfg(test)]
mod tests;
