//! What fails costs its own figures only, is told of once and once when it is back, and is tried
//! again after 30 s; what comes and goes between two readings takes its row along.

#![cfg(target_os = "linux")]

#[path = "support/fixture.rs"]
mod fixture;

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once};

use fixture::{HOSTS, Host};
use serde_json::Value;

/// Every line that was logged; the tests of this file run side by side and look for their own.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LINES.lock().expect("no test fails while it logs").push(line);
    }
    fn flush(&self) {}
}

fn listen() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        log::set_logger(&Lines).expect("it is the only one");
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// What was logged of a path of this host: for each line its level and whether it is good news.
fn told(host: &Host, path: &str) -> Vec<(String, bool)> {
    let source = format!("source={} ", host.root.join(path).display());
    let lines = LINES.lock().expect("no test fails while it logs");
    let about = lines.iter().filter(|line| line.contains(&source));
    about
        .map(|line| {
            let level = line.split(' ').next().unwrap_or_default().to_owned();
            (level, line.ends_with("available again"))
        })
        .collect()
}

/// Every figure that is null in one and not in the other, by topic and field.
fn lost(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (topic, fields) in before.as_object().unwrap() {
        match fields {
            Value::Object(fields) => {
                let is_lost = |name: &&String| {
                    fields[*name] != Value::Null && after[topic][*name] == Value::Null
                };
                found.extend(fields.keys().filter(is_lost).map(|name| format!("{topic}.{name}")));
            }
            rows if rows.as_array().unwrap().len() > after[topic].as_array().unwrap().len() => {
                found.push(topic.clone());
            }
            _ => {}
        }
    }
    found
}

/// What each file of the host is needed for.
const NEEDED_FOR: [(&str, &[&str]); 12] = [
    ("proc/loadavg", &["load.fifteen", "load.five", "load.one", "load.running", "load.threads"]),
    ("proc/uptime", &["system.uptime_s"]),
    ("proc/vmstat", &["system.oom_kills"]),
    ("proc/pressure/cpu", &["pressure.cpu_some"]),
    ("proc/pressure/io", &["pressure.io_full", "pressure.io_some"]),
    ("proc/diskstats", &["disks"]),
    ("proc/net/dev", &["networks"]),
    ("proc/net/snmp", &["sockets.tcp_established"]),
    ("proc/net/sockstat", &["sockets.tcp_time_wait", "sockets.udp"]),
    ("proc/net/tcp", &["sockets.tcp_listen"]),
    ("proc/sys/fs/file-nr", &["sockets.file_handles", "sockets.file_handles_max"]),
    ("sys/fs/cgroup/cpu.stat", &["cgroup.cpu_throttled", "cgroup.cpu_usage"]),
];

/// Reads the host without `path`, and again with it.
fn read_without(path: &str, expected: &[&str], level: &str, take: impl FnOnce(&Host)) {
    let mut whole = Host::new("container-cgroup-v2");
    whole.read(0);
    whole.read(60);
    let mut host = Host::new("container-cgroup-v2");
    let text = host.text(path);
    host.remove(path);
    take(&host);
    host.read(0);
    host.read(60);
    assert_eq!(lost(&whole.json(), &host.json()), expected, "without {path}");
    if host.root.join(path).exists() {
        host.remove(path);
    }
    host.write(path, text);
    host.read(120);
    host.read(180);
    assert_eq!(lost(&whole.json(), &host.json()), [""; 0], "{path} is back");
    let expected = [(level.to_owned(), false), ("INFO".to_owned(), true)];
    assert_eq!(told(&host, path), expected, "of {path}");
}

#[test]
fn a_file_that_is_missing_costs_its_own_figures_alone() {
    listen();
    for (path, expected) in NEEDED_FOR {
        read_without(path, expected, "INFO", |_| {});
    }
}

#[test]
fn a_file_that_gives_an_error_costs_its_own_figures_alone() {
    listen();
    for (path, expected) in NEEDED_FOR {
        // Reading a directory is an error.
        let spoil = |host: &Host| fs::create_dir(host.root.join(path)).expect("nothing is there");
        read_without(path, expected, "WARN", spoil);
    }
}

/// A process whose files fail once it is over, as those of a device that is gone.
struct Dying(Child);

impl Dying {
    fn new() -> Dying {
        let child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn();
        Dying(child.expect("there is a sleep"))
    }

    fn end(&mut self) {
        self.0.kill().expect("it is ours");
        self.0.wait().expect("it is ours");
    }
}

impl Drop for Dying {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_held_file_that_fails_is_opened_anew_after_30_s_and_told_of_twice() {
    listen();
    let mut host = Host::new("vm-no-sensors");
    let mut process = Dying::new();
    let (path, place) = ("proc/uptime", host.root.join("proc/uptime"));
    fs::remove_file(&place).unwrap();
    // One number and the end of the line.
    let number = format!("/proc/{}/oom_score_adj", process.0.id());
    std::os::unix::fs::symlink(number, &place).unwrap();
    assert!(host.read(0).system.uptime_s.is_some());
    assert!(host.read(1).system.uptime_s.is_some());
    assert_eq!(told(&host, path), []);

    process.end();
    let snapshot = host.read(2);
    assert_eq!(snapshot.system.uptime_s, None);
    assert!(snapshot.load.one.is_some() && snapshot.memory.usage.is_some());
    assert_eq!(told(&host, path), [("WARN".to_owned(), false)]);
    fs::remove_file(&place).unwrap();
    host.write(path, "77.00 1.00\n");
    for second in 3..32 {
        assert_eq!(host.read(second).system.uptime_s, None, "it is left alone for 30 s");
    }
    assert_eq!(host.read(32).system.uptime_s, Some(77.0));
    assert_eq!(told(&host, path), [("WARN".to_owned(), false), ("INFO".to_owned(), true)]);
}

#[test]
fn a_source_that_stays_away_is_told_of_once() {
    listen();
    let mut host = Host::new("openwrt-router");
    (0..600).for_each(|second| drop(host.read(second).clone()));
    for name in ["cpu", "memory", "io"] {
        assert_eq!(told(&host, &format!("proc/pressure/{name}")), [("INFO".to_owned(), false)]);
    }
}

#[test]
fn a_file_system_that_fails_keeps_its_row_and_loses_its_figures() {
    listen();
    static FAILS: AtomicBool = AtomicBool::new(false);
    let mut host = Host::asking("raspberry-pi", |space, mount| {
        let fails = mount == "/srv/data" && FAILS.load(Ordering::SeqCst);
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(space) }
    });
    let all = host.read(0).filesystems.clone();
    FAILS.store(true, Ordering::SeqCst);
    let rows = host.read(60).filesystems.clone();
    assert_eq!(rows[..2], all[..2]);
    assert_eq!((rows[2].mount.as_str(), rows[2].kind.as_str()), ("/srv/data", "f2fs"));
    assert_eq!((rows[2].total, rows[2].usage, rows[2].inodes_usage), (None, None, None));
    host.read(120);
    FAILS.store(false, Ordering::SeqCst);
    assert_eq!(host.read(180).filesystems, all);
    let lines = LINES.lock().unwrap();
    let about: Vec<_> = lines.iter().filter(|line| line.contains("source=/srv/data ")).collect();
    assert_eq!(about.len(), 2, "{about:?}");
    assert!(about[0].starts_with("WARN") && about[1].ends_with("available again"));
}

#[test]
fn disks_and_interfaces_come_and_go() {
    let mut host = Host::new("vm-no-sensors");
    host.read(0);
    let (disks, networks) = (host.text("proc/diskstats"), host.text("proc/net/dev"));
    let usb = " 8 0 sda 10 0 80 5 0 0 0 0 0 5 5 0 0 0 0 0 0\n";
    let tunnel = "  tun0: 10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0\n";
    host.write("sys/block/sda/size", "1\n");
    host.write("proc/diskstats", usb.to_owned() + &disks);
    host.write("proc/net/dev", networks.clone() + tunnel);
    let snapshot = host.read(1);
    let names: Vec<_> = snapshot.disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["sda", "vda"]);
    let rates: Vec<_> = snapshot.disks.iter().map(|disk| disk.reads_per_s).collect();
    assert_eq!(rates, [None, Some(0.0)], "what is new has no rate yet");
    let rates: Vec<_> = snapshot.networks.iter().map(|network| network.rx_bytes_per_s).collect();
    assert_eq!(rates, [Some(0.0), None]);
    let rates: Vec<_> = host.read(2).disks.iter().map(|disk| disk.reads_per_s).collect();
    assert_eq!(rates, [Some(0.0), Some(0.0)]);
    host.write("proc/diskstats", &disks);
    host.write("proc/net/dev", &networks);
    let snapshot = host.read(3);
    assert_eq!((snapshot.disks.len(), snapshot.networks.len()), (1, 1));
    assert_eq!(snapshot.disks[0].reads_per_s, Some(0.0));
    host.write("proc/diskstats", usb.to_owned() + &disks);
    host.write("proc/net/dev", networks + tunnel);
    let snapshot = host.read(4);
    let rates = (snapshot.disks[0].reads_per_s, snapshot.networks[1].rx_bytes_per_s);
    assert_eq!(rates, (None, None), "what is back under the same name is another");
}

#[test]
fn a_disk_that_is_listed_before_its_entry_in_sys_appears_within_seconds() {
    let mut host = Host::new("vm-no-sensors");
    host.read(0);
    let disks = host.text("proc/diskstats");
    host.write("proc/diskstats", disks + " 8 0 sda 10 0 80 5 0 0 0 0 0 5 5 0 0 0 0 0 0\n");
    assert_eq!(host.read(1).disks.len(), 1);
    host.write("sys/block/sda/size", "1\n");
    let appeared = (2..60).find(|second| host.read(*second).disks.len() == 2);
    assert_eq!(appeared, Some(11));
}

#[test]
fn a_counter_that_went_back_is_null_once() {
    for name in HOSTS {
        let mut host = Host::new(name);
        let earlier = host.text("proc/stat");
        host.read(0);
        host.advance();
        let later = host.text("proc/stat");
        assert!(host.read(1).cpu.usage.is_some(), "{name}");
        host.write("proc/stat", &earlier);
        let snapshot = host.read(2);
        assert_eq!((snapshot.cpu.usage, snapshot.cpu.cores[0]), (None, None), "{name}");
        assert_eq!(snapshot.system.context_switches_per_s, None, "{name}");
        host.write("proc/stat", later);
        let snapshot = host.read(3);
        assert!(snapshot.cpu.usage.is_some() && snapshot.cpu.cores[0].is_some(), "{name}");
        assert!(snapshot.system.context_switches_per_s.is_some(), "{name}");
    }
}

#[test]
fn a_sensor_that_is_plugged_in_appears_within_a_minute_and_goes_with_its_chip() {
    let mut host = Host::new("vm-no-sensors");
    assert!(host.read(0).temperatures.is_empty());
    host.write("sys/class/hwmon/hwmon0/name", "k10temp\n");
    host.write("sys/class/hwmon/hwmon0/temp1_input", "-5500\n");
    (1..=75).for_each(|second| drop(host.read(second).clone()));
    let rows = &host.read(76).temperatures;
    assert_eq!((rows[0].sensor.as_str(), rows[0].celsius), ("k10temp.temp1", Some(-5.5)));
    host.remove("sys/class/hwmon/hwmon0");
    (77..=90).for_each(|second| drop(host.read(second).clone()));
    assert_eq!(host.read(91).temperatures[0].celsius, None, "it does not answer");
    (92..=150).for_each(|second| drop(host.read(second).clone()));
    assert!(host.read(151).temperatures.is_empty());
}

#[test]
fn a_group_above_with_a_limit_counts_and_a_limit_can_be_lifted() {
    let mut host = Host::new("vm-no-sensors");
    let group = "sys/fs/cgroup/user.slice";
    host.write(&format!("{group}/memory.max"), "1000000\n");
    host.write(&format!("{group}/memory.current"), "250000\n");
    let inner = format!("{group}/user-1000.slice");
    host.write(&format!("{inner}/cpu.max"), "20000 10000\n");
    host.write(&format!("{inner}/cpu.stat"), "usage_usec 0\nnr_periods 0\nnr_throttled 0\n");
    let cgroup = host.read(0).cgroup.clone();
    assert_eq!((cgroup.memory_limit, cgroup.memory_usage), (Some(1e6), Some(25.0)));
    assert_eq!((cgroup.cpu_quota_cores, cgroup.cpu_usage), (Some(2.0), None));
    host.write(&format!("{inner}/cpu.stat"), "usage_usec 500000\nnr_periods 100\nnr_throttled 5\n");
    let cgroup = host.read(1).cgroup.clone();
    assert_eq!((cgroup.cpu_usage, cgroup.cpu_throttled), (Some(25.0), Some(5.0)));
    host.write(&format!("{group}/memory.max"), "max\n");
    let cgroup = host.read(60).cgroup.clone();
    assert_eq!((cgroup.memory_limit, cgroup.memory_used, cgroup.memory_usage), (None, None, None));
    assert_eq!(cgroup.cpu_quota_cores, Some(2.0));
}

#[test]
fn of_limits_one_above_another_the_one_in_force_counts() {
    let mut host = Host::new("vm-no-sensors");
    let outer = "sys/fs/cgroup/user.slice";
    let inner = format!("{outer}/user-1000.slice");
    host.write(&format!("{inner}/memory.max"), "8000000000\n");
    host.write(&format!("{inner}/memory.current"), "800000000\n");
    host.write(&format!("{outer}/memory.max"), "1000000000\n");
    host.write(&format!("{outer}/memory.current"), "900000000\n");
    host.write(&format!("{inner}/cpu.max"), "400000 100000\n");
    host.write(&format!("{inner}/cpu.stat"), "usage_usec 0\nnr_periods 0\nnr_throttled 0\n");
    host.write(&format!("{outer}/cpu.max"), "50000 100000\n");
    host.write(&format!("{outer}/cpu.stat"), "usage_usec 0\nnr_periods 0\nnr_throttled 0\n");
    let cgroup = host.read(0).cgroup.clone();
    assert_eq!((cgroup.memory_limit, cgroup.memory_used), (Some(1e9), Some(9e8)));
    assert_eq!((cgroup.memory_usage, cgroup.cpu_quota_cores), (Some(90.0), Some(0.5)));
    host.write(&format!("{outer}/cpu.stat"), "usage_usec 250000\nnr_periods 10\nnr_throttled 9\n");
    let cgroup = host.read(1).cgroup.clone();
    assert_eq!((cgroup.cpu_usage, cgroup.cpu_throttled), (Some(50.0), Some(90.0)));

    // Less room is left below a limit that is higher.
    host.write(&format!("{inner}/memory.current"), "7950000000\n");
    let cgroup = host.read(60).cgroup.clone();
    assert_eq!((cgroup.memory_limit, cgroup.memory_used), (Some(8e9), Some(7.95e9)));
}

#[test]
fn a_label_that_cannot_be_read_is_told_of_once() {
    listen();
    let mut host = Host::new("server-64-core");
    let path = "sys/class/hwmon/hwmon0/temp1_label";
    host.remove(path);
    // Reading a directory is an error.
    fs::create_dir(host.root.join(path)).unwrap();
    (0..600).for_each(|second| drop(host.read(second).clone()));
    assert_eq!(told(&host, path), [("WARN".to_owned(), false)]);
    fs::remove_dir(host.root.join(path)).unwrap();
    host.write(path, "Tctl\n");
    (600..660).for_each(|second| drop(host.read(second).clone()));
    assert_eq!(told(&host, path), [("WARN".to_owned(), false), ("INFO".to_owned(), true)]);
}
