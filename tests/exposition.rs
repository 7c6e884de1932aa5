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

use fixture::{HOSTS, Host};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
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

/// Gives a host of 64 cores all that such a host has and the fixture leaves out.
fn furnish(host: &Host) {
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
    for core in 0..64 {
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
    host.write("proc/net/softnet_stat", softnet);
    host.write("proc/schedstat", schedstat);
    for file in ["netstat", "snmp6"] {
        let path = format!("proc/net/{file}");
        host.write(&path, Host::new("laptop").text(&path));
    }
}

#[test]
fn a_host_of_64_cores_and_40_interfaces_fits_into_an_answer() {
    let mut host = Host::new("server-64-core");
    furnish(&host);
    let text = host.expose(0, Format::Text);
    let series = reader::check(&text, false).expect("it is an exposition");
    for (name, count) in [
        ("node_cpu_seconds_total{", 512),
        ("node_cpu_scaling_governor{", 384),
        ("node_softnet_processed_total{", 64),
        ("node_schedstat_running_seconds_total{", 64),
    ] {
        let found = series.keys().filter(|series| series.starts_with(name)).count();
        assert_eq!(found, count, "{name}");
    }
    println!("{} series, {} bytes", series.len(), text.len());
    // With room for what vitald tells of itself, which is 6 KB.
    assert!(text.len() < 248 * 1024, "{} bytes", text.len());
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
