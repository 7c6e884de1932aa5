//! What a Prometheus server is told of hosts of many kinds, from files.
//!
//! `node_exporter.txt` of a fixture is what node_exporter says of the same files, recorded by
//! `tests/prometheus --record`: names, labels and values that others have chosen.

#![cfg(target_os = "linux")]

#[path = "support/fixture.rs"]
mod fixture;
#[path = "support/exposition.rs"]
mod reader;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use fixture::{HOSTS, Host};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::time::{ClockId, clock_gettime};
use vitald::metrics::exposition::Format;

/// Fixtures with a recording: one made to have something for each collector, and two of the hosts.
const RECORDED: [&str; 3] = ["laptop", "raspberry-pi", "server-64-core"];

fn families(series: &BTreeMap<String, f64>) -> BTreeSet<&str> {
    series.keys().map(|series| series.split('{').next().unwrap_or_default()).collect()
}

#[test]
fn every_host_is_told_of_in_both_formats() {
    for name in HOSTS.into_iter().chain(["laptop"]) {
        let mut host = Host::new(name);
        let text = host.expose(0, Format::Text);
        let series = reader::check(&text, false).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        let openmetrics = host.expose(0, Format::OpenMetrics);
        let same =
            reader::check(&openmetrics, true).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        assert_eq!(series, same, "{name}");
        assert!(series.len() > 100, "{name} has {} series", series.len());
    }
}

/// Labels that the recorded version of node_exporter does not have yet.
const NEWER: [&str; 2] = ["adminstate", "rotational"];

/// A series without them.
fn without_newer(series: &str) -> String {
    let mut parts: Vec<&str> = series.split("(\"").collect();
    parts.retain(|part| !NEWER.iter().any(|label| part.starts_with(label)));
    parts.join("(\"").replace(", }", "}")
}

#[test]
fn each_figure_of_node_exporter_is_the_same_here() {
    for name in RECORDED {
        let mut host = Host::new(name);
        let text = host.expose(0, Format::Text);
        let ours = reader::check(&text, false).expect("it is an exposition");
        let ours: BTreeMap<String, f64> =
            ours.into_iter().map(|(series, value)| (without_newer(&series), value)).collect();
        let recording = fs::read_to_string(host.recorded()).expect("there is a recording");
        let theirs = reader::check(&recording, false).expect("so is the recording");
        let mut complaints = Vec::new();
        for (series, value) in &theirs {
            match ours.get(series) {
                None => complaints.push(format!("{series} is missing")),
                Some(found) if (found - value).abs() > 1e-9 * value.abs() => {
                    complaints.push(format!("{series} is {found}, not {value}"));
                }
                Some(_) => {}
            }
        }
        for line in recording.lines().filter(|line| line.starts_with('#')) {
            // Newer versions write CPU where older ones have cpu.
            if !text.lines().any(|ours| ours.eq_ignore_ascii_case(line)) {
                complaints.push(format!("{line} is announced otherwise"));
            }
        }
        let told = families(&theirs);
        for series in ours.keys().filter(|series| !theirs.contains_key(*series)) {
            let family = series.split('{').next().unwrap_or_default();
            if told.contains(family) {
                complaints.push(format!("{series} is too much"));
            }
        }
        assert!(complaints.is_empty(), "{name}:\n{}", complaints.join("\n"));
    }
}

/// Gives a host of 64 cores all that such a host has and the fixture leaves out, and as many cores as
/// `cores` says.
fn furnish(host: &Host, cores: usize) {
    let interfaces = fs::read_dir(host.root.join("sys/class/net")).expect("it has interfaces");
    let names: Vec<_> = interfaces.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.len() >= 30, "{}", names.len());
    for name in names {
        let name = name.to_string_lossy();
        for (file, value) in [
            ("addr_assign_type", "3"),
            ("address", "02:02:02:02:02:02"),
            ("broadcast", "ff:ff:ff:ff:ff:ff"),
            ("carrier", "1"),
            ("carrier_changes", "2"),
            ("carrier_up_count", "1"),
            ("carrier_down_count", "1"),
            ("dev_id", "0x0"),
            ("dormant", "0"),
            ("duplex", "full"),
            ("flags", "0x1003"),
            ("ifalias", ""),
            ("ifindex", "4"),
            ("iflink", "4"),
            ("link_mode", "0"),
            ("mtu", "1500"),
            ("name_assign_type", "4"),
            ("netdev_group", "0"),
            ("speed", "10000"),
            ("tx_queue_len", "1000"),
            ("type", "1"),
            ("statistics/rx_nohandler", "0"),
        ] {
            host.write(&format!("sys/class/net/{name}/{file}"), value);
        }
    }
    let (mut softnet, mut schedstat) = (String::new(), String::from("version 15\ntimestamp 1\n"));
    for core in 0..cores {
        for (file, value) in [
            ("cpuinfo_min_freq", "1500000"),
            ("cpuinfo_max_freq", "3400000"),
            ("scaling_cur_freq", "3399876"),
            ("scaling_min_freq", "1500000"),
            ("scaling_max_freq", "3400000"),
            ("scaling_governor", "schedutil"),
            (
                "scaling_available_governors",
                "conservative ondemand userspace powersave performance schedutil",
            ),
        ] {
            host.write(&format!("sys/devices/system/cpu/cpu{core}/cpufreq/{file}"), value);
        }
        let zeros = "00000000 ".repeat(11);
        softnet += &format!("{:08x} {zeros}{core:08x} 00000000 00000000\n", 12_345_678 * core);
        schedstat += &format!("cpu{core} 0 0 0 0 0 0 498494191123456 353343855296983 3853684107\n");
    }
    let stat = host.text("proc/stat");
    let own: String = stat.lines().filter(|line| line.starts_with("cpu63 ")).collect();
    let more: String = (64..cores)
        .map(|core| format!("{}\n", own.replace("cpu63", &format!("cpu{core}"))))
        .collect();
    host.write("proc/stat", stat.replace(&format!("{own}\n"), &format!("{own}\n{more}")));
    host.write("proc/net/softnet_stat", softnet);
    host.write("proc/schedstat", schedstat);
    for file in ["netstat", "snmp6"] {
        let path = format!("proc/net/{file}");
        host.write(&path, Host::new("laptop").text(&path));
    }
}

#[test]
fn a_host_of_64_128_and_256_cores_with_36_interfaces_fits_into_an_answer() {
    for (cores, kilobytes_max) in [(64, 256), (128, 512), (256, 1000)] {
        let mut host = Host::new("server-64-core");
        furnish(&host, cores);
        let text = host.expose(0, Format::Text);
        let series = reader::check(&text, false).expect("it is an exposition");
        for (name, count) in [
            ("node_cpu_seconds_total{", 8 * cores),
            ("node_cpu_scaling_governor{", 6 * cores),
            ("node_softnet_processed_total{", cores),
            ("node_schedstat_running_seconds_total{", cores),
        ] {
            let found = series.keys().filter(|series| series.starts_with(name)).count();
            assert_eq!(found, count, "{name} of {cores}");
        }
        println!("{cores} cores: {} series, {} bytes", series.len(), text.len());
        // With room for what vitald tells of itself, which is 6 KB.
        assert!(text.len() < kilobytes_max * 1024, "{} bytes", text.len());
    }
}

/// The series of a collector, by the beginning of their names.
fn count(host: &mut Host, second: u64, start: &str) -> usize {
    // What a reading takes on a small host.
    let text = host.expose_slowly(second, Format::Text, Duration::from_micros(10));
    text.lines().filter(|line| line.starts_with(start)).count()
}

#[test]
fn no_series_of_36_interfaces_is_missing_and_none_goes_when_another_interface_comes() {
    let mut host = Host::new("server-64-core");
    furnish(&host, 64);
    let all = 36;
    assert_eq!(count(&mut host, 0, "node_network_mtu_bytes{"), all);
    assert_eq!(count(&mut host, 0, "node_network_info{"), all);
    for (file, value) in [("mtu", "1500"), ("operstate", "up")] {
        host.write(&format!("sys/class/net/aaa0/{file}"), value);
    }
    // Every value is due, and the list is new.
    assert_eq!(count(&mut host, 60, "node_network_mtu_bytes{"), all + 1);
    assert_eq!(count(&mut host, 61, "node_network_info{"), all + 1);
    host.remove("sys/class/net/aaa0");
    assert_eq!(count(&mut host, 120, "node_network_mtu_bytes{"), all);
    assert_eq!(count(&mut host, 121, "node_network_info{"), all);
}

#[test]
fn no_series_of_a_sensor_core_or_zone_goes_when_another_comes() {
    for (name, start, file) in [
        ("laptop", "node_hwmon_temp_celsius{", "class/hwmon/hwmon9/temp1_input"),
        ("laptop", "node_thermal_zone_temp{", "class/thermal/thermal_zone9/temp"),
        ("laptop", "node_cpu_scaling_frequency_hertz{", "devices/system/cpu/cpu99/cpufreq/x"),
    ] {
        let mut host = Host::new(name);
        let step = Duration::from_millis(20);
        let count = |host: &mut Host, second| {
            let text = host.expose_slowly(second, Format::Text, step);
            text.lines().filter(|line| line.starts_with(start)).count()
        };
        // One file a scrape.
        let seen: Vec<usize> = (0..200).map(|_| count(&mut host, 1)).collect();
        let most = seen[199];
        assert!(most > 0, "{start}");
        host.write(&format!("sys/{file}"), "1000");
        let seen = count(&mut host, 60);
        assert!(seen >= most, "{start}: {seen} of {most}");
    }
}

#[test]
fn a_disk_is_asked_for_its_temperature_once_a_minute() {
    let mut host = Host::new("laptop");
    let chip = "sys/class/hwmon/hwmon9";
    host.write(&format!("{chip}/name"), "drivetemp");
    let mut seen = |second, millidegrees: &str| {
        host.write(&format!("{chip}/temp1_input"), millidegrees);
        let text = host.expose(second, Format::Text);
        let start = "node_hwmon_temp_celsius{chip=\"drivetemp\",sensor=\"temp1\"} ";
        text.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned)
    };
    assert_eq!(seen(0, "30000").as_deref(), Some("30"));
    assert_eq!(seen(59, "40000").as_deref(), Some("30"));
    assert_eq!(seen(60, "50000").as_deref(), Some("50"));
}

#[test]
fn the_end_of_support_and_a_graphics_card_are_told_as_by_newer_versions() {
    let mut host = Host::new("laptop");
    host.write("etc/os-release", "ID=amzn\nSUPPORT_END=\"2026-06-30\"\n");
    for (file, value) in [
        ("name", "amdgpu"),
        ("freq1_input", "214000000"),
        ("freq1_label", "sclk"),
        ("freq2_input", "300000000"),
    ] {
        host.write(&format!("sys/class/hwmon/hwmon9/{file}"), value);
    }
    let text = host.expose(0, Format::Text);
    let series = reader::check(&text, false).expect("it is an exposition");
    assert_eq!(series["node_os_support_end_timestamp_seconds{}"], 1_782_777_600.0);
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("node_hwmon_freq")).collect();
    assert_eq!(told, ["node_hwmon_freq_freq_mhz{chip=\"amdgpu\",sensor=\"sclk\"} 214"]);
}

/// Processor time that this thread has had.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What a scrape of a large host takes in the median, but for the loop's part.
#[test]
#[ignore = "measures, and asserts nothing"]
fn cost_of_a_scrape_of_a_large_host() {
    for cores in [64, 128, 256] {
        let mut host = Host::new("server-64-core");
        furnish(&host, cores);
        host.expose(0, Format::Text);
        // Each time everything is due; or nothing of what is kept.
        for (what, every) in [("nothing kept is due", 0), ("all that is kept is due", 60)] {
            let mut times: Vec<_> = (1..=60)
                .map(|number| {
                    let before = cpu();
                    host.expose(60 + number * every, Format::Text);
                    cpu() - before
                })
                .collect();
            times.sort();
            println!("{cores} cores, {what}: {:?}", times[times.len() / 2]);
        }
    }
}

/// A way to spoil a text.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Vec<u8>),
    CutAt(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let noise = prop::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(&b" \n9-\\/.:0,\"{}_="[..])],
        0..60,
    );
    prop_oneof![
        noise.clone().prop_map(Damage::Replace),
        any::<prop::sample::Index>().prop_map(Damage::CutAt),
        (any::<prop::sample::Index>(), noise).prop_map(|(at, noise)| Damage::Insert(at, noise)),
        (2usize..20).prop_map(Damage::Repeat),
    ]
}

fn spoilt(mut bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    match damage {
        Damage::Replace(noise) => bytes = noise.clone(),
        Damage::CutAt(at) => bytes.truncate(at.index(bytes.len() + 1)),
        Damage::Insert(at, noise) => {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, noise.iter().copied());
        }
        Damage::Repeat(times) => bytes = bytes.repeat(*times),
    }
    bytes
}

/// One host for all cases, mended after each: to make its 170 files anew would take most of the
/// time. Minutes pass between two cases, so that nothing is kept from one to the next.
#[test]
fn whatever_the_files_say_it_is_an_exposition() {
    let files: Vec<String> =
        Host::files("laptop").into_iter().map(|file| file.replace("%3A", ":")).collect();
    let host = RefCell::new((Host::new("laptop"), 0));
    let config = Config { cases: 100, failure_persistence: None, ..Config::default() };
    let damages = prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..30);
    let result = TestRunner::new(config).run(&damages, |damages| {
        let (host, second) = &mut *host.borrow_mut();
        let mut whole = Vec::new();
        for (file, damage) in &damages {
            let file = &files[file.index(files.len())];
            let bytes = fs::read(host.root.join(file)).expect("it is there");
            host.write(file, spoilt(bytes.clone(), damage));
            whole.push((file, bytes));
        }
        let told = [Format::Text, Format::OpenMetrics].map(|format| {
            *second += 60;
            (host.expose(*second, format), format == Format::OpenMetrics)
        });
        // Before it is judged, for a failure is tried again in smaller. What was spoilt twice is
        // whole again at the end.
        for (file, bytes) in whole.into_iter().rev() {
            host.write(file, bytes);
        }
        for (text, is_openmetrics) in told {
            let result = reader::check(&text, is_openmetrics);
            prop_assert!(result.is_ok(), "{result:?} in {text}");
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
