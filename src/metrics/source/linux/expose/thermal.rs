//! The collector thermal_zone: /sys/class/thermal (Documentation/driver-api/thermal/sysfs-api.rst).

use std::path::Path;
use std::time::Duration;

use super::attributes::{Attributes, Listing, Place};
use crate::metrics::exposition::{Exposition, Kind};

/// Zones and cooling devices together. A host has one for each core and a few more.
const ENTRIES_MAX: usize = 512;

/// Reads zones and cooling devices.
pub struct Thermal {
    listing: Listing,
    attributes: Attributes,
    zones: Vec<Entry<1>>,
    cooling: Vec<Entry<2>>,
}

struct Entry<const N: usize> {
    /// The number in its name, which is what node_exporter calls it.
    number: String,
    kind: Place,
    values: [Place; N],
}

impl Thermal {
    pub fn new(sys: &Path) -> Thermal {
        Thermal {
            listing: Listing::new(sys.join("class/thermal"), ENTRIES_MAX),
            attributes: Attributes::default(),
            zones: Vec::new(),
            cooling: Vec::new(),
        }
    }

    pub fn expose(&mut self, now: Duration, out: &mut Exposition<'_>) -> bool {
        self.list(now);
        self.attributes.refresh(now, out);
        let attributes = &self.attributes;
        let help = "Zone temperature in Celsius";
        let temperature = out.family("node_thermal_zone_temp", help, Kind::Gauge);
        for zone in &self.zones {
            let Some(kind) = attributes.text(zone.kind) else { continue };
            if let Some(value) = attributes.number(zone.values[0]) {
                out.sample(temperature, &[("zone", &zone.number), ("type", kind)], value / 1000.0);
            }
        }
        for (index, (name, help)) in [
            ("node_cooling_device_cur_state", "Current throttle state of the cooling device"),
            ("node_cooling_device_max_state", "Maximum throttle state of the cooling device"),
        ]
        .into_iter()
        .enumerate()
        {
            let family = out.family(name, help, Kind::Gauge);
            for device in &self.cooling {
                let Some(kind) = attributes.text(device.kind) else { continue };
                if let Some(value) = attributes.number(device.values[index]) {
                    out.sample(family, &[("name", &device.number), ("type", kind)], value);
                }
            }
        }
        !self.zones.is_empty() || !self.cooling.is_empty()
    }

    fn list(&mut self, now: Duration) {
        let class = self.listing.path().to_owned();
        let Some(names) = self.listing.changed(now) else { return };
        let attributes = &mut self.attributes;
        attributes.restart();
        (self.zones, self.cooling) = (Vec::new(), Vec::new());
        for name in names {
            let mut add = |file: &str| attributes.add(class.join(name).join(file));
            if let Some(number) = name.strip_prefix("thermal_zone") {
                let values = [add("temp")];
                let number = number.to_owned();
                self.zones.push(Entry { number, kind: add("type"), values });
            } else if let Some(number) = name.strip_prefix("cooling_device") {
                let values = [add("cur_state"), add("max_state")];
                let number = number.to_owned();
                self.cooling.push(Entry { number, kind: add("type"), values });
            }
        }
    }
}
