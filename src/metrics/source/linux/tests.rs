//! This host, hosts without files, and files that say anything: reading them does no harm. A case
//! of the last kind spoils plausible files, or replaces them by bytes without any sense, and reads
//! the whole host from them twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::{Linux, PARTS};
use crate::metrics::definition::{TOPICS, Unit};
use crate::metrics::snapshot::{Content, Record, Snapshot, Value};
use crate::metrics::source::Source;

const FILES: [(&str, &str); 29] = [
    ("proc/loadavg", "0.52 0.58 0.59 2/345 12345\n"),
    (
        "proc/stat",
        "cpu  10 1 5 800 9 1 2 3 0 0\ncpu0 5 1 2 400 4 1 1 1 0 0\ncpu1 5 0 3 400 5 0 1 2 0 0\n\
         intr 123 4 5 6\nctxt 456\nbtime 1700000000\nprocesses 789\nprocs_blocked 1\n",
    ),
    (
        "proc/meminfo",
        "MemTotal: 948304 kB\nMemFree: 123456 kB\nMemAvailable: 500000 kB\nBuffers: 20000 kB\n\
         Cached: 300000 kB\nDirty: 40 kB\nSwapTotal: 102396 kB\nSwapFree: 51198 kB\n",
    ),
    ("proc/uptime", "12345.67 23456.78\n"),
    ("proc/vmstat", "nr_free_pages 1\noom_kill 2\n"),
    ("proc/pressure/cpu", "some avg10=1.25 avg60=0.50 avg300=0.10 total=1\n"),
    ("proc/pressure/memory", "some avg10=1.25 avg60=0 total=1\nfull avg10=0.75 total=0\n"),
    ("proc/pressure/io", "some avg10=100.00 avg60=0 total=1\nfull avg10=0.75 total=0\n"),
    (
        "proc/diskstats",
        "254 0 vda 100 5 2000 40 50 6 1000 20 0 55 60 7 0 8 9\n\
         254 1 vda1 1 2 3 4 5 6 7 8 9 10 11\n",
    ),
    (
        "proc/net/dev",
        "Inter-| Receive | Transmit\n face |bytes packets|bytes packets\n\
         eth0: 100 2 3 4 5 6 7 8 900 10 11 12 13 14 15 16\n lo: 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6\n",
    ),
    (
        "proc/self/mountinfo",
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n\
         30 22 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
         31 22 0:29 /x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    ),
    ("proc/self/cgroup", "4:memory:/x/y\n0::/z\n"),
    ("sys/fs/cgroup/memory/y/memory.limit_in_bytes", "1000000\n"),
    ("sys/fs/cgroup/memory/y/memory.usage_in_bytes", "600000\n"),
    ("sys/fs/cgroup/z/cpu.max", "150000 100000\n"),
    ("sys/fs/cgroup/z/cpu.stat", "usage_usec 10\nuser_usec 5\nnr_periods 4\nnr_throttled 2\n"),
    ("proc/net/snmp", "Tcp: RtoMin CurrEstab InSegs\nTcp: 200 3 99\n"),
    ("proc/net/sockstat", "TCP: inuse 1 orphan 0 tw 1 alloc 1 mem 239\nUDP: inuse 2 mem 0\n"),
    ("proc/net/sockstat6", "UDP6: inuse 3\n"),
    ("proc/net/tcp", "sl local rem st\n0: 0:1 0:0 0A 0\n1: 0:2 0:0 0A 0\n2: 0:1 1:5 01 0\n"),
    ("proc/net/tcp6", "sl local rem st\n0: 0:1 0:0 0A 0\n"),
    ("proc/sys/fs/file-nr", "657\t0\t2466170\n"),
    ("sys/class/hwmon/hwmon0/name", "k10temp\n"),
    ("sys/class/hwmon/hwmon0/temp1_input", "45123\n"),
    ("sys/class/hwmon/hwmon0/temp1_label", "Tctl\n"),
    ("sys/class/thermal/thermal_zone0/type", "acpitz\n"),
    ("sys/class/thermal/thermal_zone0/temp", "-2000\n"),
    ("sys/class/net/eth0/operstate", "up\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000\n"),
];

/// A directory of its own for each test, removed at the end.
struct Root(PathBuf);

impl Root {
    fn new() -> Root {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("vitald-host-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let root = Root(std::env::temp_dir().join(name));
        fs::create_dir_all(root.0.join("sys/block/vda")).unwrap();
        for (path, text) in FILES {
            root.write(path, text.as_bytes());
        }
        root
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A way to spoil a text.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Vec<u8>),
    CutAt(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let noise = prop::collection::vec(
        prop_oneof![any::<u8>(), Just(b' '), Just(b'\n'), Just(b'9'), Just(b'-'), Just(b'\\')],
        0..60,
    );
    prop_oneof![
        noise.clone().prop_map(Damage::Replace),
        any::<prop::sample::Index>().prop_map(Damage::CutAt),
        (any::<prop::sample::Index>(), noise).prop_map(|(at, noise)| Damage::Insert(at, noise)),
        (any::<prop::sample::Index>(), 1usize..40).prop_map(|(at, n)| Damage::Remove(at, n)),
        (2usize..300).prop_map(Damage::Repeat),
    ]
}

fn spoil(text: &str, damage: &Damage) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    match damage {
        Damage::Replace(noise) => return noise.clone(),
        Damage::CutAt(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Insert(at, noise) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, noise.iter().copied());
        }
        Damage::Remove(at, count) => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Damage::Repeat(times) => bytes = bytes.repeat(*times),
    }
    bytes
}

/// Every figure with its name and unit.
fn figures(snapshot: &Snapshot) -> Vec<(String, Unit, f64)> {
    let mut found = Vec::new();
    let mut take = |topic: usize, record: &dyn Record| {
        for (index, field) in TOPICS[topic].fields.iter().enumerate() {
            let name = format!("{}.{}", TOPICS[topic].name, field.name);
            match record.value(index) {
                Value::Figure(Some(value)) => found.push((name, field.unit, value)),
                Value::List(values) => {
                    found.extend(values.iter().flatten().map(|v| (name.clone(), field.unit, *v)));
                }
                _ => {}
            }
        }
    };
    for topic in 0..TOPICS.len() {
        match snapshot.content(topic) {
            Content::One(record) => take(topic, record),
            Content::Many(rows) => rows.iter().for_each(|row| take(topic, row)),
        }
    }
    found
}

#[test]
fn this_host_has_plausible_figures_at_the_second_reading() {
    let (mut linux, mut snapshot) = (Linux::new(), Snapshot::default());
    linux.read(Duration::ZERO, &mut snapshot);
    assert_eq!(snapshot.cpu.usage, None, "a rate needs two readings");
    std::hint::black_box((0..20_000_000u64).map(std::hint::black_box).sum::<u64>());
    linux.read(Duration::from_millis(100), &mut snapshot);
    // Where many processes run, their count takes several readings.
    for tick in 2..1000 {
        if snapshot.system.processes.is_none() {
            linux.read(Duration::from_millis(100 * tick), &mut snapshot);
        }
    }
    assert!(snapshot.memory.total.is_some_and(|total| total > 1e6));
    assert!(snapshot.memory.usage.is_some_and(|usage| (0.0..=100.0).contains(&usage)));
    assert!(snapshot.cpu.usage.is_none_or(|usage| (0.0..=100.0).contains(&usage)));
    assert!(snapshot.load.one.is_some() && snapshot.system.uptime_s.is_some());
    assert!(snapshot.system.processes.is_some_and(|count| count >= 1.0));
    assert!(!snapshot.filesystems.is_empty());
}

#[test]
fn a_host_without_proc_gives_nothing_and_does_no_harm() {
    let mut linux = Linux::at(Path::new("/nonexistent"), Box::new(super::filesystems::ask_kernel));
    let mut snapshot = Snapshot::default();
    for second in 0..3 {
        linux.read(Duration::from_secs(second), &mut snapshot);
    }
    assert_eq!(snapshot, Snapshot::default());
}

#[test]
fn plausible_files_give_every_topic() {
    let root = Root::new();
    let (mut linux, mut snapshot) =
        (Linux::at(&root.0, Box::new(super::filesystems::ask_kernel)), Snapshot::default());
    linux.read(Duration::ZERO, &mut snapshot);
    assert_eq!((snapshot.disks.len(), snapshot.networks.len()), (1, 1));
    for topic in TOPICS {
        let found = figures(&snapshot).iter().any(|(name, ..)| name.starts_with(topic.name));
        // Disks and networks have nothing but rates, which need a second reading.
        let is_later = matches!(topic.name, "disks" | "networks");
        let is_of_ours = topic.name == "server";
        assert!(found || is_later || is_of_ours, "{}", topic.name);
    }
}

#[test]
fn slow_parts_keep_their_cadence_and_do_not_all_fall_on_one_tick() {
    let mut linux = Linux::at(Path::new("/nonexistent"), Box::new(super::filesystems::ask_kernel));
    let slow: Vec<_> = (0..PARTS.len()).filter(|index| PARTS[*index].every.is_some()).collect();
    let mut readings = [0u64; PARTS.len()];
    for second in 0..=600 {
        // A tick is a little early or late.
        let now = Duration::from_millis(1000 * second + 5 + second * 7 % 10);
        let due: Vec<_> = slow.iter().filter(|index| linux.is_due(**index, now)).collect();
        assert!(second == 0 || due.len() <= 3, "{due:?} after {second} s");
        due.into_iter().for_each(|index| readings[*index] += 1);
    }
    for index in slow {
        let expected = 600 / PARTS[index].every.unwrap().as_secs() + 1;
        assert!(readings[index].abs_diff(expected) <= 1, "{}", PARTS[index].name);
    }
}

proptest! {
    #[test]
    fn whatever_the_files_say_figures_are_sane_and_tables_bounded(
        first in prop::collection::vec((0..FILES.len(), damage()), 1..4),
        second in prop::collection::vec((0..FILES.len(), damage()), 1..4),
    ) {
        let root = Root::new();
        let ask = Box::new(super::filesystems::ask_kernel);
        let (mut linux, mut snapshot) = (Linux::at(&root.0, ask), Snapshot::default());
        for (second, spoilt) in [first, second].into_iter().enumerate() {
            for (file, damage) in &spoilt {
                let (path, text) = FILES[*file];
                root.write(path, &spoil(text, damage));
            }
            linux.read(Duration::from_secs(60 * second as u64), &mut snapshot);
            for (name, unit, value) in figures(&snapshot) {
                let least = if unit == Unit::Celsius { -100.0 } else { 0.0 };
                prop_assert!(value.is_finite() && value >= least, "{name} is {value}");
                prop_assert!(unit != Unit::Percent || value <= 100.0, "{name} is {value}");
            }
            prop_assert!(snapshot.cpu.cores.len() <= 1024);
            prop_assert!(snapshot.disks.len() <= 64 && snapshot.networks.len() <= 64);
            prop_assert!(snapshot.filesystems.len() <= 64);
        }
    }
}
