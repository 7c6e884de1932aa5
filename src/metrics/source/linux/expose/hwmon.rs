//! The collector hwmon: /sys/class/hwmon (Documentation/hwmon/sysfs-interface.rst).
//!
//! A file `temp1_input` is the element `input` of the sensor `temp1` of its chip. Each element
//! becomes a metric, named after the kind of sensor, the element, and the unit. A chip is named by
//! where its device stands, which is the same after each boot, and not by the order of drivers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::temperatures::{DISKS_EVERY, is_of_disk};
use super::attributes::{self, Attributes, Listing, Place, names};
use crate::metrics::exposition::{Exposition, Kind};

/// Chips that are told apart.
const CHIPS_MAX: usize = 64;

/// Names looked at in a chip's directory, and in that of its device, where old drivers have them.
const NAMES_MAX: usize = 1024;

/// Elements of all chips together. A board with 20 voltages and as many fans has 300.
const ELEMENTS_MAX: usize = 2048;

const KINDS: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// The frequency of a graphics card.
const FREQUENCY: &str = "node_hwmon_freq_freq_mhz";

const MILLI: f64 = 0.001;
const MICRO: f64 = 0.000_001;

/// Reads the sensors.
pub struct Sensors {
    listing: Listing,
    attributes: Attributes,
    /// Each chip and what its driver calls it.
    chips: Vec<(String, String)>,
    /// Chip, sensor, and the file with its label.
    labels: Vec<Label>,
    elements: Vec<Element>,
}

type Label = (String, String, Place);

/// One file and the metric that it is.
struct Element {
    chip: String,
    sensor: String,
    place: Place,
    metric: Metric,
}

/// How an element is told.
#[derive(Debug, PartialEq)]
struct Metric {
    name: String,
    help: String,
    kind: Kind,
    factor: f64,
}

impl Sensors {
    pub fn new(sys: &Path) -> Sensors {
        Sensors {
            listing: Listing::new(sys.join("class/hwmon"), CHIPS_MAX),
            attributes: Attributes::default(),
            chips: Vec::new(),
            labels: Vec::new(),
            elements: Vec::new(),
        }
    }

    pub fn expose(&mut self, now: Duration, out: &mut Exposition<'_>) -> bool {
        self.list(now);
        self.attributes.refresh(now, out);
        let help = "Annotation metric for human-readable chip names";
        let family = out.family("node_hwmon_chip_names", help, Kind::Gauge);
        for (chip, name) in &self.chips {
            out.sample(family, &[("chip", chip), ("chip_name", name)], 1);
        }
        let help = "Label for given chip and sensor";
        let family = out.family("node_hwmon_sensor_label", help, Kind::Gauge);
        for (chip, sensor, place) in &self.labels {
            let label = self.attributes.line(*place).unwrap_or_default();
            if !label.is_empty() {
                out.sample(family, &[("chip", chip), ("sensor", sensor), ("label", label)], 1);
            }
        }
        for Element { chip, sensor, place, metric } in &self.elements {
            let Some(value) = self.attributes.number(*place) else { continue };
            let family = out.family(metric.name.clone(), metric.help.clone(), metric.kind);
            let mut sensor = Cow::Borrowed(sensor.as_str());
            if metric.name == FREQUENCY {
                // Its label stands for its number, and without one it is not told.
                let is_its = |label: &&Label| label.0 == *chip && label.1 == sensor;
                let label = self.labels.iter().find(is_its).map(|label| label.2);
                let label = label.and_then(|label| self.attributes.text(label)).map(clean);
                let Some(label) = label.filter(|label| !label.is_empty()) else { continue };
                sensor = Cow::Owned(label);
            }
            out.sample(family, &[("chip", chip), ("sensor", &sensor)], value * metric.factor);
        }
        !self.chips.is_empty() || !self.elements.is_empty()
    }

    fn list(&mut self, now: Duration) {
        let class = self.listing.path().to_owned();
        let Some(chips) = self.listing.changed(now) else { return };
        let folders: Vec<PathBuf> = chips.iter().map(|chip| class.join(chip)).collect();
        self.attributes.restart();
        (self.chips, self.labels, self.elements) = (Vec::new(), Vec::new(), Vec::new());
        for folder in folders {
            self.add_chip(&folder);
        }
    }

    fn add_chip(&mut self, folder: &Path) {
        let driver = attributes::read(&folder.join("name")).map(|name| clean(&name));
        let driver = driver.filter(|name| !name.is_empty());
        let Some(chip) = chip_name(folder).or_else(|| driver.clone()).or_else(|| last(folder))
        else {
            return;
        };
        let is_of_disk = driver.as_deref().is_some_and(is_of_disk);
        if let Some(driver) = driver {
            self.chips.push((chip.clone(), driver));
        }
        for ((kind, number), files) in sensors(folder) {
            let sensor = format!("{kind}{number}");
            let has_bare = files.contains_key("");
            for (element, path) in files {
                if self.elements.len() + self.labels.len() == ELEMENTS_MAX {
                    return;
                }
                let (chip, sensor) = (chip.clone(), sensor.clone());
                let place = match is_of_disk {
                    true => self.attributes.add_kept_for(DISKS_EVERY, path),
                    false => self.attributes.add(path),
                };
                if element == "label" {
                    self.labels.push((chip, sensor, place));
                    continue;
                }
                let metric = Metric::new(kind, &element, has_bare);
                self.elements.push(Element { chip, sensor, place, metric });
            }
        }
    }
}

impl Metric {
    /// What the element of a sensor is called; `has_bare` says that the sensor also has a file
    /// without an element, as `pwm1` beside `pwm1_input`.
    fn new(kind: &str, element: &str, has_bare: bool) -> Metric {
        let mut name = format!("node_hwmon_{kind}");
        if element == "input" {
            name += if has_bare { "_input" } else { "" };
        } else if !element.is_empty() {
            name = format!("{name}_{}", clean(element));
        }
        let monitor = |what: &str| format!("Hardware monitor for {what} ({element})");
        let (suffix, help, factor) = match (kind, element) {
            ("beep_enable" | "vrm" | "update_interval", _) => return Metric::of_the_chip(kind),
            (_, "fault" | "alarm") => {
                ("", format!("Hardware sensor {element} status ({kind})"), 1.0)
            }
            (_, "beep") => {
                ("_enabled", "Hardware monitor sensor has beeping enabled".to_owned(), 1.0)
            }
            ("in" | "cpu", _) => ("_volts", monitor("voltage"), MILLI),
            ("temp", element) if element != "type" => {
                ("_celsius", monitor("temperature").replace("()", "(input)"), MILLI)
            }
            ("freq", "input") => {
                ("_freq_mhz", "Hardware monitor for GPU frequency in MHz".to_owned(), MICRO)
            }
            ("curr", _) => ("_amps", monitor("current"), MILLI),
            ("energy", _) => ("_joule_total", monitor("joules used so far"), MICRO),
            ("power", "accuracy") => {
                ("", "Hardware monitor power meter accuracy, as a ratio".to_owned(), MICRO)
            }
            ("power", element) if element.starts_with("average_interval") => (
                "_seconds",
                format!("Hardware monitor power usage update interval ({element})"),
                MILLI,
            ),
            ("power", _) => ("_watt", monitor("power usage in watts"), MICRO),
            ("humidity", _) => {
                let what = "humidity, as a ratio (multiply with 100.0 to get the humidity as a \
                    percentage)";
                ("", monitor(what), MICRO)
            }
            ("fan", "input" | "min" | "max" | "target") => {
                ("_rpm", monitor("fan revolutions per minute"), 1.0)
            }
            _ => ("", format!("Hardware monitor {kind} element {element}"), 1.0),
        };
        let kind = if suffix.ends_with("_total") { Kind::Counter } else { Kind::Gauge };
        Metric { name: name + suffix, help, kind, factor }
    }

    /// What a chip says of itself, as a sensor without a number.
    fn of_the_chip(kind: &str) -> Metric {
        let (name, help, factor) = match kind {
            "beep_enable" => ("node_hwmon_beep_enabled", "Hardware beep enabled", 1.0),
            "vrm" => ("node_hwmon_voltage_regulator_version", "Hardware voltage regulator", 1.0),
            _ => ("node_hwmon_update_interval_seconds", "Hardware monitor update interval", MILLI),
        };
        Metric { name: name.to_owned(), help: help.to_owned(), kind: Kind::Gauge, factor }
    }
}

/// Files by element, by sensor. What the device's own directory has comes before what the chip's
/// has.
type Files = BTreeMap<(&'static str, u32), BTreeMap<String, PathBuf>>;

fn sensors(folder: &Path) -> Files {
    let mut found = Files::new();
    for folder in [folder.to_owned(), folder.join("device")] {
        for name in names(&folder, NAMES_MAX) {
            if let Some((kind, number, element)) = split(&name) {
                let files = found.entry((kind, number)).or_default();
                files.insert(element.to_owned(), folder.join(&name));
            }
        }
    }
    found
}

/// A file's name as a kind of sensor, its number and the element: `temp1_input`.
fn split(name: &str) -> Option<(&'static str, u32, &str)> {
    let digit = name.find(|letter: char| letter.is_ascii_digit()).unwrap_or(name.len());
    let kind = KINDS.into_iter().find(|kind| *kind == &name[..digit])?;
    let rest = name[digit..].trim_start_matches(|letter: char| letter.is_ascii_digit());
    let number = &name[digit..name.len() - rest.len()];
    let number = if number.is_empty() { 0 } else { number.parse().ok()? };
    let element = match rest {
        "" => "",
        rest => rest.strip_prefix('_').filter(|element| !element.is_empty())?,
    };
    Some((kind, number, element))
}

/// The last two parts of the path of the chip's device: `platform_coretemp_0`.
fn chip_name(folder: &Path) -> Option<String> {
    let device = folder.join("device").canonicalize().ok()?;
    let name = last(&device)?;
    let kind = device.parent().and_then(last);
    Some(kind.map_or_else(|| name.clone(), |kind| format!("{kind}_{name}")))
}

/// The last part of a path, if anything of it is left when it is clean.
fn last(path: &Path) -> Option<String> {
    let name = clean(&path.file_name()?.to_string_lossy());
    (!name.is_empty()).then_some(name)
}

/// In small letters, with `_` for all that does not belong into a name.
fn clean(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, ':' | '_');
    let lower = name.to_lowercase();
    let replaced: String =
        lower.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    replaced.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_an_element_of_a_numbered_sensor() {
        for (name, expected) in [
            ("temp1_input", Some(("temp", 1, "input"))),
            ("temp12_crit_alarm", Some(("temp", 12, "crit_alarm"))),
            ("pwm1", Some(("pwm", 1, ""))),
            ("beep_enable", Some(("beep_enable", 0, ""))),
            ("in0_min", Some(("in", 0, "min"))),
            ("intrusion0_alarm", Some(("intrusion", 0, "alarm"))),
            ("name", None),
            ("temp1x", None),
            ("temp1_", None),
            ("temp99999999999_input", None),
            ("1", None),
            ("", None),
        ] {
            assert_eq!(split(name), expected, "{name}");
        }
    }

    #[test]
    fn an_element_is_named_with_its_unit() {
        for (kind, element, name, factor) in [
            ("temp", "input", "node_hwmon_temp_celsius", MILLI),
            ("temp", "crit", "node_hwmon_temp_crit_celsius", MILLI),
            ("temp", "crit_alarm", "node_hwmon_temp_crit_alarm_celsius", MILLI),
            ("temp", "alarm", "node_hwmon_temp_alarm", 1.0),
            ("temp", "type", "node_hwmon_temp_type", 1.0),
            ("temp", "beep", "node_hwmon_temp_beep_enabled", 1.0),
            ("in", "input", "node_hwmon_in_volts", MILLI),
            ("in", "max", "node_hwmon_in_max_volts", MILLI),
            ("curr", "input", "node_hwmon_curr_amps", MILLI),
            ("fan", "input", "node_hwmon_fan_rpm", 1.0),
            ("fan", "target", "node_hwmon_fan_target_rpm", 1.0),
            ("fan", "div", "node_hwmon_fan_div", 1.0),
            ("power", "input", "node_hwmon_power_watt", MICRO),
            ("power", "average_interval", "node_hwmon_power_average_interval_seconds", MILLI),
            ("energy", "input", "node_hwmon_energy_joule_total", MICRO),
            ("pwm", "", "node_hwmon_pwm", 1.0),
            ("pwm", "enable", "node_hwmon_pwm_enable", 1.0),
            ("humidity", "input", "node_hwmon_humidity", MICRO),
        ] {
            let metric = Metric::new(kind, element, false);
            assert_eq!((metric.name.as_str(), metric.factor), (name, factor), "{kind} {element}");
        }
        assert_eq!(Metric::new("pwm", "input", true).name, "node_hwmon_pwm_input");
    }

    #[test]
    fn a_name_is_clean() {
        assert_eq!(clean("coretemp.0"), "coretemp_0");
        assert_eq!(clean("0000:01:00.0"), "0000:01:00_0");
        assert_eq!(clean("Core 0\u{df}"), "core_0");
        assert_eq!(clean("-"), "");
    }
}
