//! Totals over the disks and the interfaces of a host, counted as the dashboard counts them.
//!
//! A bridge and its port, or a volume and its disk, would count the same bytes twice: what lies on
//! another device is left out. One unknown part makes the sum unknown, for a dip that did not
//! happen is worse than a hole; but a device that has never given a figure is no part. Imports nothing.

use std::collections::BTreeSet;

use serde_json::Value;

/// Devices that are looked at: of a host with more the rest is left out.
const DEVICES_MAX: usize = 4096;

/// Remembers which devices have given a figure.
#[derive(Debug, Default)]
pub struct Totals {
    /// A device's name and the field.
    measured: BTreeSet<(String, &'static str)>,
}

impl Totals {
    /// The sum of `field` over the devices of `list` in a sample.
    pub fn total(&mut self, sample: &Value, list: &str, field: &'static str) -> Option<f64> {
        let devices: Vec<(&str, Option<f64>)> = entries(sample, list)
            .filter_map(|one| Some((one["name"].as_str()?, one[field].as_f64())))
            .take(DEVICES_MAX)
            .collect();
        for (name, value) in &devices {
            if value.is_some() {
                self.measured.insert(((*name).to_owned(), field));
            }
        }
        // A device that has gone and comes back begins anew.
        let is_there = |name: &str| devices.iter().any(|(there, _)| *there == name);
        self.measured.retain(|(name, of)| *of != field || is_there(name));
        let is_measured = |name: &str| self.measured.contains(&(name.to_owned(), field));
        let names: Vec<&str> = devices.iter().map(|(name, _)| *name).collect();
        let counted = counted(list, &names);
        let parts: Vec<Option<f64>> = devices
            .iter()
            .filter(|(name, _)| counted.contains(name) && is_measured(name))
            .map(|(_, value)| *value)
            .collect();
        match parts.is_empty() {
            true => None,
            false => parts.into_iter().sum(),
        }
    }
}

/// The records of a list.
pub fn entries<'a>(sample: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    sample[list].as_array().into_iter().flatten().filter(|one| one.is_object())
}

/// Devices that the total counts; if all of them look layered, all count.
fn counted<'a>(list: &str, names: &[&'a str]) -> Vec<&'a str> {
    let is_layered = |name: &str| match list {
        "disks" => is_layered_disk(name, names),
        _ => is_layered_interface(name),
    };
    let plain: Vec<&str> = names.iter().copied().filter(|name| !is_layered(name)).collect();
    match plain.is_empty() {
        true => names.iter().copied().filter(|name| !is_loopback(name)).collect(),
        false => plain,
    }
}

fn is_layered_disk(name: &str, names: &[&str]) -> bool {
    const LAYERS: [&str; 8] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"];
    LAYERS.iter().any(|layer| name.starts_with(layer))
        || names.iter().any(|disk| {
            let rest = name.strip_prefix(disk).map(|rest| rest.strip_prefix('p').unwrap_or(rest));
            rest.is_some_and(|rest| !rest.is_empty() && is_number(rest))
        })
}

fn is_layered_interface(name: &str) -> bool {
    const LAYERS: [&str; 19] = [
        "veth",
        "docker",
        "br",
        "virbr",
        "vnet",
        "tun",
        "tap",
        "wg",
        "tailscale",
        "zt",
        "bond",
        "team",
        "dummy",
        "ifb",
        "cni",
        "flannel",
        "cali",
        "podman",
        "lxc",
    ];
    is_loopback(name)
        || LAYERS.iter().any(|layer| name.starts_with(layer))
        || name.contains(['.', '@'])
}

fn is_loopback(name: &str) -> bool {
    name.strip_prefix("lo").is_some_and(is_number)
}

/// Digits alone, or nothing.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn disks(rows: &[(&str, Option<f64>)]) -> Value {
        let rows = rows.iter().map(|(name, value)| json!({"name": name, "reads_per_s": value}));
        json!({ "disks": rows.collect::<Vec<_>>() })
    }

    #[test]
    fn what_lies_on_another_device_is_not_counted_twice() {
        for (list, names, expected) in [
            (
                "disks",
                &["sda", "sda1", "dm-0", "nvme0n1", "nvme0n1p1"][..],
                &["sda", "nvme0n1"][..],
            ),
            ("disks", &["dm-0", "md1"], &["dm-0", "md1"]),
            ("networks", &["eth0", "eth0.100", "br-lan", "wlan0", "veth1"], &["eth0", "wlan0"]),
            ("networks", &["lo", "docker0"], &["docker0"]),
            ("networks", &["lo", "lorawan"], &["lorawan"]),
        ] {
            assert_eq!(counted(list, names), expected, "{names:?}");
        }
    }

    #[test]
    fn one_unknown_part_makes_the_sum_unknown_if_it_was_ever_known() {
        let mut totals = Totals::default();
        let mut total =
            |rows: &[(&str, Option<f64>)]| totals.total(&disks(rows), "disks", "reads_per_s");
        assert_eq!(total(&[("sda", None)]), None);
        assert_eq!(total(&[("sda", Some(1.0)), ("sdb", None)]), Some(1.0));
        assert_eq!(total(&[("sda", None), ("sdb", Some(2.0))]), None);
        assert_eq!(total(&[("sda", Some(1.0)), ("sdb", Some(2.0))]), Some(3.0));
        assert_eq!(total(&[("sdb", Some(2.0))]), Some(2.0));
        assert_eq!(total(&[("sda", None), ("sdb", Some(2.0))]), Some(2.0), "it has been away");
        assert_eq!(total(&[]), None);
    }

    #[test]
    fn a_sample_of_any_shape_has_a_total_or_none() {
        for sample in [json!(null), json!({"disks": 1}), json!({"disks": [1, null, {"name": 1}]})] {
            assert_eq!(Totals::default().total(&sample, "disks", "reads_per_s"), None);
        }
    }
}
