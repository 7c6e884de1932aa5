//! Temperatures: chips under /sys/class/hwmon (Documentation/hwmon/sysfs-interface.rst) and those
//! thermal zones that are not chips as well (Documentation/driver-api/thermal/sysfs-api.rst).
//!
//! `sensor`, the key, is the chip and the sensor on it, such as `coretemp.temp1`; what the chip is
//! called is in `sensors`. Sensors are looked for anew each minute and their limits read once; a
//! reading opens the file, for there can be more sensors than descriptors to spare.

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::sensors::Found;
use super::file::HeldFile;
use super::lookups::Lookups;
use super::text;
use crate::metrics::snapshot::Temperature;

mod sensors;

pub use self::sensors::is_of_disk;

/// Rows at most: two processors of 48 cores and a dozen disks.
const SENSORS_MAX: usize = 128;

/// How often a sensor is read whose driver sends a command to a disk for it. A disk's temperature
/// takes minutes to change, and the command waits its turn behind others.
pub const DISKS_EVERY: Duration = Duration::from_secs(60);

struct Sensor {
    key: String,
    label: String,
    file: HeldFile,
    of_disk: bool,
    high: Option<f64>,
    critical: Option<f64>,
    celsius: Option<f64>,
    read_at: Option<Duration>,
}

/// Reads sensors.
pub struct Temperatures {
    class: PathBuf,
    files: Lookups,
    sensors: Vec<Sensor>,
}

impl Temperatures {
    pub fn new(sys: &Path) -> Temperatures {
        Temperatures { class: sys.join("class"), files: Lookups::default(), sensors: Vec::new() }
    }

    /// Looks for sensors; those that are known stay as they are.
    pub fn find(&mut self, now: Duration) {
        let mut known = std::mem::take(&mut self.sensors);
        for found in sensors::list(&self.class, now, &mut self.files, SENSORS_MAX) {
            let is_it = |sensor: &Sensor| {
                sensor.key == found.key && sensor.file.path() == found.input.as_path()
            };
            let sensor = match known.iter().position(is_it) {
                Some(index) => known.swap_remove(index),
                None => Sensor::new(found, now, &mut self.files),
            };
            self.sensors.push(sensor);
        }
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, rows: &mut Vec<Temperature>) {
        for (index, sensor) in self.sensors.iter_mut().enumerate() {
            sensor.read(now, buffer);
            let row = Temperature::at(rows, index, &sensor.key);
            row.label.clone_from(&sensor.label);
            row.celsius = sensor.celsius;
            (row.high, row.critical) = (sensor.high, sensor.critical);
        }
        rows.truncate(self.sensors.len());
    }
}

impl Sensor {
    fn new(found: Found, now: Duration, files: &mut Lookups) -> Sensor {
        let mut limit = |path: Option<PathBuf>| read_limit(&path?, now, files);
        Sensor {
            high: limit(found.high),
            critical: limit(found.critical),
            key: found.key,
            label: found.label,
            file: HeldFile::of_one_record(found.input).reopened(),
            of_disk: found.of_disk,
            celsius: None,
            read_at: None,
        }
    }

    fn read(&mut self, now: Duration, buffer: &mut Vec<u8>) {
        let is_due = |at: Duration| !self.of_disk || now >= at + DISKS_EVERY;
        if self.read_at.is_none_or(is_due) {
            self.read_at = Some(now);
            self.celsius = self.file.read(now, buffer).and_then(celsius);
        }
    }
}

/// Thousandths of a degree. A sensor that is not connected shows the end of its register.
fn celsius(bytes: &[u8]) -> Option<f64> {
    let thousandths = text::words(bytes).next().and_then(text::signed)?;
    let degrees = thousandths as f64 / 1000.0;
    Some(degrees).filter(|degrees| (-100.0..1000.0).contains(degrees))
}

/// A limit that was never set is zero, or either end of its register.
fn read_limit(path: &Path, now: Duration, files: &mut Lookups) -> Option<f64> {
    celsius(files.read(now, path)?).filter(|degrees| *degrees > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_can_be_below_zero_but_not_below_any_that_is_measured() {
        assert_eq!(celsius(b"45123\n"), Some(45.123));
        assert_eq!(celsius(b"-4000\n"), Some(-4.0));
        for register in [&b"-273150\n"[..], b"65261850\n", b"", b"N/A\n"] {
            assert_eq!(celsius(register), None);
        }
    }
}
