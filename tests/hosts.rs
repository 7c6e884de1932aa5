//! Hosts of many kinds, from files: what vitald says of each, and what it does when they fail.
//!
//! To write the expected figures anew after a change: `VITALD_BLESS=1 cargo test --test hosts`,
//! then read the difference.

#![cfg(target_os = "linux")]

#[path = "support/fixture.rs"]
mod fixture;

use std::fs;

use fixture::{HOSTS, Host};
use proptest::prelude::*;
use serde_json::Value;
use vitald::metrics::definition::{TOPICS, Unit};
use vitald::metrics::snapshot::{Content, Record, Snapshot};

/// The host a minute after its first reading, when everything is read again.
fn after_a_minute(name: &str) -> Host {
    let mut host = Host::new(name);
    host.read(0);
    host.advance();
    host.read(60);
    host
}

#[test]
fn every_host_gives_exactly_the_figures_that_its_files_hold() {
    for name in HOSTS {
        let host = after_a_minute(name);
        let found = serde_json::to_string_pretty(&host.json()).unwrap() + "\n";
        if std::env::var_os("VITALD_BLESS").is_some() {
            fs::write(host.expected(), &found).unwrap();
        }
        let expected = fs::read_to_string(host.expected()).unwrap();
        for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "{name}, line {} of expected.json", number + 1);
        }
        assert_eq!(found.lines().count(), expected.lines().count(), "{name}");
    }
}

#[test]
fn what_a_host_does_not_have_is_null() {
    let cases: [(&str, &[&str]); 6] = [
        ("raspberry-pi", &["pressure.*", "cgroup.*"]),
        ("server-64-core", &["cgroup.*", "sockets.file_handles_max"]),
        ("container-cgroup-v2", &["cpu.frequency_mhz", "memory.swap_usage", "temperatures"]),
        ("container-cgroup-v1", &["pressure.*", "system.oom_kills", "temperatures"]),
        ("openwrt-router", &["pressure.*", "memory.swap_usage", "cgroup.*", "cpu.frequency_mhz"]),
        ("vm-no-sensors", &["cpu.frequency_mhz", "temperatures", "cgroup.*"]),
    ];
    for (name, missing) in cases {
        let json = after_a_minute(name).json();
        for path in missing {
            let (topic, field) = path.split_once('.').unwrap_or((path, ""));
            let is_empty = match (&json[topic], field) {
                (Value::Array(rows), _) => rows.is_empty(),
                (Value::Object(fields), "*") => fields.values().all(Value::is_null),
                (topic, field) => topic.get(field).is_some_and(Value::is_null),
            };
            assert!(is_empty, "{name} has {path}: {}", json[topic]);
        }
    }
}

#[test]
fn a_first_reading_has_no_rates_and_the_next_has() {
    for name in HOSTS {
        let mut host = Host::new(name);
        let snapshot = host.read(0);
        let rates = [snapshot.cpu.usage, snapshot.system.context_switches_per_s];
        let disks = snapshot.disks.iter().map(|disk| disk.utilisation);
        let networks = snapshot.networks.iter().map(|network| network.rx_bytes_per_s);
        for rate in rates.into_iter().chain(disks).chain(networks) {
            assert_eq!(rate, None, "{name}");
        }
        host.advance();
        let snapshot = host.read(1);
        assert!(snapshot.cpu.usage.is_some() && snapshot.disks[0].utilisation.is_some(), "{name}");
    }
}

#[test]
fn slow_figures_are_kept_between_two_readings() {
    let mut host = Host::new("server-64-core");
    let first = host.read(0).clone();
    // Everything has its second turn by then.
    host.read(60);
    let second = host.read(61);
    assert_eq!(second.temperatures, first.temperatures);
    assert_eq!(second.filesystems, first.filesystems);
    assert_eq!(second.sockets.tcp_listen, Some(40.0));
    assert_eq!(second.system.processes, Some(23.0));
    assert_eq!(second.cpu.frequency_mhz, Some(3400.0));
}

/// A way to spoil a text.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Vec<u8>),
    CutAt(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(usize),
    Delete,
}

fn damage() -> impl Strategy<Value = Damage> {
    let noise = prop::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(&b" \n9-\\/.:0,"[..]),],
        0..60,
    );
    prop_oneof![
        noise.clone().prop_map(Damage::Replace),
        any::<prop::sample::Index>().prop_map(Damage::CutAt),
        (any::<prop::sample::Index>(), noise).prop_map(|(at, noise)| Damage::Insert(at, noise)),
        (any::<prop::sample::Index>(), 1usize..40).prop_map(|(at, n)| Damage::Remove(at, n)),
        (2usize..300).prop_map(Damage::Repeat),
        Just(Damage::Delete),
    ]
}

fn spoil(host: &Host, path: &str, damage: &Damage) {
    let Ok(mut bytes) = fs::read(host.root.join(path)) else { return };
    match damage {
        Damage::Delete => return host.remove(path),
        Damage::Replace(noise) => bytes = noise.clone(),
        Damage::CutAt(at) if !bytes.is_empty() => bytes.truncate(at.index(bytes.len())),
        Damage::Insert(at, noise) => {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, noise.iter().copied());
        }
        Damage::Remove(at, count) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Damage::Repeat(times) => bytes = bytes.repeat(*times),
        Damage::CutAt(_) | Damage::Remove(..) => {}
    }
    host.write(path, bytes);
}

/// Asserts that every figure can be shown and every table is bounded.
fn check(snapshot: &Snapshot) {
    let check_row = |topic: usize, row: &dyn Record| {
        for (index, field) in TOPICS[topic].fields.iter().enumerate() {
            let Some(value) = row.figure(index) else { continue };
            let name = format!("{}.{} is {value}", TOPICS[topic].name, field.name);
            let least = if field.unit == Unit::Celsius { -100.0 } else { 0.0 };
            assert!(value.is_finite() && value >= least, "{name}");
            assert!(field.unit != Unit::Percent || value <= 100.0, "{name}");
        }
    };
    for (topic, definition) in TOPICS.iter().enumerate() {
        match snapshot.content(topic) {
            Content::One(row) => check_row(topic, row),
            Content::Many(rows) => {
                assert!(rows.count() <= 128, "{} has no end", definition.name);
                rows.iter().for_each(|row| check_row(topic, row));
            }
        }
    }
    assert!(snapshot.cpu.cores.len() <= 1024);
    let shares = snapshot.cpu.cores.iter().flatten();
    assert!(shares.copied().all(|share| (0.0..=100.0).contains(&share)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_the_files_say_figures_are_sane_and_tables_bounded(
        name in prop::sample::select(&HOSTS[..]),
        spoilt in prop::collection::vec((any::<prop::sample::Index>(), damage(), 0..2u64), 1..8),
    ) {
        let files = Host::files(name);
        let mut host = Host::new(name);
        for round in 0..3 {
            for (file, damage, when) in &spoilt {
                if *when == round {
                    spoil(&host, &files[file.index(files.len())], damage);
                }
            }
            check(host.read(60 * round));
            if round == 0 {
                host.advance();
            }
        }
    }
}
