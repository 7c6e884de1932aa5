//! The collector netclass: /sys/class/net (Documentation/ABI/testing/sysfs-class-net).

use std::path::Path;
use std::time::Duration;

use super::attributes::{Attributes, Listing, Place};
use crate::metrics::exposition::{Exposition, Kind};

/// Interfaces that are told apart.
const INTERFACES_MAX: usize = 64;

/// A flag of an interface that has been set up (IFF_UP of include/uapi/linux/if.h).
const IFF_UP: u64 = 1;

/// Files of an interface and the metrics that their numbers are, all of one shape of help.
const NUMBERS: [(&str, &str, Kind); 18] = [
    ("addr_assign_type", "address_assign_type", Kind::Gauge),
    ("carrier", "carrier", Kind::Gauge),
    ("carrier_changes", "carrier_changes_total", Kind::Counter),
    ("carrier_up_count", "carrier_up_changes_total", Kind::Counter),
    ("carrier_down_count", "carrier_down_changes_total", Kind::Counter),
    ("dev_id", "device_id", Kind::Gauge),
    ("dormant", "dormant", Kind::Gauge),
    ("flags", "flags", Kind::Gauge),
    ("ifindex", "iface_id", Kind::Gauge),
    ("iflink", "iface_link", Kind::Gauge),
    ("link_mode", "iface_link_mode", Kind::Gauge),
    ("mtu", "mtu_bytes", Kind::Gauge),
    ("name_assign_type", "name_assign_type", Kind::Gauge),
    ("netdev_group", "net_dev_group", Kind::Gauge),
    ("speed", "speed_bytes", Kind::Gauge),
    ("tx_queue_len", "transmit_queue_length", Kind::Gauge),
    ("type", "protocol_type", Kind::Gauge),
    // By its counterpart a figure of netdev, which asks by netlink; /proc/net/dev does not have it.
    ("statistics/rx_nohandler", "receive_nohandler_total", Kind::Counter),
];

/// Where `flags` stands among them.
const FLAGS: usize = 7;

const TEXTS: [&str; 5] = ["address", "broadcast", "duplex", "operstate", "ifalias"];

/// Reads the interfaces' files.
pub struct Interfaces {
    listing: Listing,
    attributes: Attributes,
    known: Vec<Interface>,
}

struct Interface {
    name: String,
    numbers: [Place; NUMBERS.len()],
    texts: [Place; TEXTS.len()],
}

impl Interfaces {
    pub fn new(sys: &Path) -> Interfaces {
        Interfaces {
            listing: Listing::new(sys.join("class/net"), INTERFACES_MAX),
            attributes: Attributes::default(),
            known: Vec::new(),
        }
    }

    pub fn expose(&mut self, now: Duration, out: &mut Exposition<'_>) -> bool {
        self.list(now);
        self.attributes.refresh(now, out);
        let attributes = &self.attributes;
        for (index, (_, name, kind)) in NUMBERS.into_iter().enumerate() {
            let help = match name.strip_suffix("_total") {
                Some("receive_nohandler") => {
                    "Network device statistic receive_nohandler.".to_owned()
                }
                _ => format!("Network device property: {name}"),
            };
            let family = out.family(format!("node_network_{name}"), help, kind);
            for interface in &self.known {
                let Some(value) = attributes.number(interface.numbers[index]) else { continue };
                // Told in megabits a second; -1 of an interface that is down.
                let value = if name == "speed_bytes" { value * 1e6 / 8.0 } else { value };
                out.sample(family, &[("device", &interface.name)], value);
            }
        }
        let help = "Value is 1 if operstate is 'up', 0 otherwise.";
        let up = out.family("node_network_up", help, Kind::Gauge);
        let help = "Non-numeric data from /sys/class/net/<iface>, value is always 1.";
        let info = out.family("node_network_info", help, Kind::Gauge);
        for Interface { name, numbers, texts } in &self.known {
            let text = |index: usize| attributes.text(texts[index]).unwrap_or_default();
            // Before it has been read nothing is known, and nothing told.
            let Some(state) = attributes.text(texts[3]) else { continue };
            let admin = match attributes.number(numbers[FLAGS]) {
                None => "unknown",
                Some(flags) if flags as u64 & IFF_UP != 0 => "up",
                Some(_) => "down",
            };
            out.sample(up, &[("device", name)], state == "up");
            let labels = [
                ("device", name.as_str()),
                ("address", text(0)),
                ("broadcast", text(1)),
                ("duplex", text(2)),
                ("operstate", state),
                ("adminstate", admin),
                ("ifalias", text(4)),
            ];
            out.sample(info, &labels, 1);
        }
        !self.known.is_empty()
    }

    fn list(&mut self, now: Duration) {
        let class = self.listing.path().to_owned();
        let Some(names) = self.listing.changed(now) else { return };
        let attributes = &mut self.attributes;
        attributes.restart();
        // A directory of another kind may stand there, as `bonding_masters` does, a file.
        let names = names.iter().filter(|name| class.join(name).is_dir());
        self.known = names
            .map(|name| {
                let mut add = |file: &str| attributes.add(class.join(name).join(file));
                Interface {
                    name: name.clone(),
                    numbers: NUMBERS.map(|(file, ..)| add(file)),
                    texts: TEXTS.map(&mut add),
                }
            })
            .collect();
    }
}
