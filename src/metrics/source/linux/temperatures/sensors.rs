//! Which sensors there are, and what they are called.
//!
//! A name must outlive a reboot, so the number that the kernel gives a chip in the order of probing
//! (`hwmon3`) is not in it. It is the driver's name, `coretemp.temp1`. Disks come and go, so theirs
//! is always told by the device: `nvme0.temp1`, and `drivetemp-sda.temp1` as in the list of disks.
//! Where several others share a driver's name, each has its device's as well, without what repeats
//! the driver: `coretemp-0.temp1`, `k10temp-0000:00:18.3.temp1`. A zone has one sensor,
//! `cpu-thermal.temp`, and its number where several are of a type: `acpitz-0.temp`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::lookups::Lookups;

/// Chips and zones that are looked at, and sensors of each; a directory that has more is not one of
/// a kernel.
const ENTRIES_MAX: usize = 256;

/// Trip points of a zone (THERMAL_MAX_TRIPS is 12 in kernels that have a limit).
const TRIPS_MAX: usize = 16;

/// A sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is called.
    pub key: String,
    /// What it measures, in the driver's words; its name where there are none.
    pub label: String,
    /// The file with its temperature.
    pub input: PathBuf,
    /// Where its limits would be.
    pub high: Option<PathBuf>,
    /// As above.
    pub critical: Option<PathBuf>,
    /// Whether reading it asks a disk.
    pub of_disk: bool,
}

/// Sensors by chip and number. Two that could not be told apart would be one path: the first stays.
/// Sorting by insertion is quick for a hundred, and a hundredth of the code of a sort.
struct Sorted(Vec<Found>);

impl Sorted {
    fn insert(&mut self, sensor: Found) {
        let place = self.0.partition_point(|known| known.order() < sensor.order());
        if self.0.get(place).is_none_or(|known| known.key != sensor.key) {
            self.0.insert(place, sensor);
        }
    }
}

impl Found {
    /// So that `temp10` comes after `temp9`.
    fn order(&self) -> (&str, u32) {
        let (chip, number) = self.key.rsplit_once(".temp").unwrap_or((&self.key, ""));
        (chip, number.parse().unwrap_or_default())
    }
}

struct Chip {
    path: PathBuf,
    /// The driver's name.
    name: String,
    /// The device's, without what repeats the driver's.
    device: String,
}

/// All sensors, by chip and number; `sys_class` is /sys/class.
pub fn list(
    sys_class: &Path,
    now: Duration,
    files: &mut Lookups,
    sensors_max: usize,
) -> Vec<Found> {
    let mut found = Sorted(Vec::new());
    let hwmon = sys_class.join("hwmon");
    let chips: Vec<Chip> = entries(&hwmon, "hwmon", "")
        .into_iter()
        .filter_map(|(_, name)| Chip::at(hwmon.join(name), now, files))
        .collect();
    for chip in &chips {
        chip.sensors(&chips, now, files, &mut found);
    }
    zones(&sys_class.join("thermal"), &chips, now, files, &mut found);
    found.0.truncate(sensors_max);
    found.0
}

impl Chip {
    fn at(path: PathBuf, now: Duration, files: &mut Lookups) -> Option<Chip> {
        let name = read_word(&path.join("name"), now, files)?;
        let device = fs::canonicalize(path.join("device")).ok();
        let device = device.as_deref().and_then(Path::file_name);
        let device = device.map(|device| device.to_string_lossy().into_owned());
        let device = device.unwrap_or_default();
        let rest = device.strip_prefix(name.as_str()).unwrap_or(&device);
        let rest = rest.trim_start_matches(['.', '-', '_']).to_owned();
        Some(Chip { path, name, device: rest })
    }

    fn key(&self, all: &[Chip]) -> String {
        let Chip { path, name, device } = self;
        match name.as_str() {
            "nvme" if !device.is_empty() => format!("nvme{device}"),
            "drivetemp" => {
                let block = fs::read_dir(path.join("device/block")).ok();
                let block = block.and_then(|mut entries| entries.next()?.ok());
                let block = block.map(|entry| entry.file_name().to_string_lossy().into_owned());
                format!("drivetemp-{}", block.as_ref().unwrap_or(device))
            }
            _ if all.iter().filter(|other| other.name == *name).count() > 1 => {
                format!("{name}-{device}")
            }
            _ => name.clone(),
        }
    }

    fn sensors(&self, all: &[Chip], now: Duration, files: &mut Lookups, found: &mut Sorted) {
        let key = self.key(all);
        for (number, name) in entries(&self.path, "temp", "_input") {
            let file = |what: &str| self.path.join(format!("temp{number}_{what}"));
            let label = read_line(&file("label"), now, files);
            found.insert(Found {
                key: format!("{key}.temp{number}"),
                label: label.unwrap_or_else(|| self.name.clone()),
                input: self.path.join(name),
                high: Some(file("max")),
                critical: Some(file("crit")),
                of_disk: is_of_disk(&self.name),
            });
        }
    }
}

/// Whether a chip's driver, of this name, sends a command to a disk for each reading.
pub fn is_of_disk(driver: &str) -> bool {
    matches!(driver, "drivetemp" | "nvme")
}

/// The zones that are not shown as chips. The kernel makes a chip of all zones of a type, with `_`
/// for `-`; and x86_pkg_temp is what coretemp shows as the package.
fn zones(thermal: &Path, chips: &[Chip], now: Duration, files: &mut Lookups, found: &mut Sorted) {
    let has_chip = |name: &str| chips.iter().any(|chip| chip.name == name);
    let listed = entries(thermal, "thermal_zone", "");
    let mut types = listed.into_iter().filter_map(|(number, name)| {
        let path = thermal.join(name);
        let kind = read_word(&path.join("type"), now, files)?;
        let is_shown =
            has_chip(&kind.replace('-', "_")) || (kind == "x86_pkg_temp" && has_chip("coretemp"));
        (!is_shown).then_some((number, path, kind))
    });
    let zones: Vec<_> = types.by_ref().collect();
    for (number, path, kind) in &zones {
        let is_alone = zones.iter().filter(|(_, _, other)| other == kind).count() == 1;
        let key = if is_alone { format!("{kind}.temp") } else { format!("{kind}-{number}.temp") };
        found.insert(Found {
            key,
            label: kind.clone(),
            input: path.join("temp"),
            high: trip(path, "hot", now, files),
            critical: trip(path, "critical", now, files),
            of_disk: false,
        });
    }
}

/// The file with the temperature of a zone's trip point of this type.
fn trip(zone: &Path, kind: &str, now: Duration, files: &mut Lookups) -> Option<PathBuf> {
    (0..TRIPS_MAX)
        .map(|number| (number, zone.join(format!("trip_point_{number}_type"))))
        .take_while(|(_, path)| path.exists())
        .find(|(_, path)| read_word(path, now, files).as_deref() == Some(kind))
        .map(|(number, _)| zone.join(format!("trip_point_{number}_temp")))
}

/// What is called `start`, a number and `end` in a directory, by number.
fn entries(directory: &Path, start: &str, end: &str) -> Vec<(u32, String)> {
    let Ok(listed) = fs::read_dir(directory) else { return Vec::new() };
    let numbered = listed.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let number = name.strip_prefix(start)?.strip_suffix(end)?.parse().ok()?;
        Some((number, name))
    });
    let mut found: Vec<(u32, String)> = Vec::new();
    for (number, name) in numbered.take(ENTRIES_MAX) {
        let place = found.partition_point(|(known, _)| *known < number);
        found.insert(place, (number, name));
    }
    found
}

/// A file's line as text; `None` where it is missing or empty.
fn read_line(path: &Path, now: Duration, files: &mut Lookups) -> Option<String> {
    let bytes = files.read(now, path)?;
    let line = String::from_utf8_lossy(bytes).trim().chars().take(64).collect::<String>();
    (!line.is_empty()).then_some(line)
}

/// As [`read_line`], as one word that can stand in a path.
fn read_word(path: &Path, now: Duration, files: &mut Lookups) -> Option<String> {
    let line = read_line(path, now, files)?;
    Some(line.replace(|letter: char| letter.is_whitespace() || letter.is_control(), "_"))
}
