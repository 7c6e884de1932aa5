//! The collector diskstats (Documentation/admin-guide/iostats.rst), and what udev knows of a disk.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::disks::split;
use super::super::text;
use super::attributes::{self, FIRST_MAX, REFRESH_MAX};
use crate::metrics::exposition::{Exposition, Kind};

/// Devices that are told apart: disks, layers over them, and partitions that are named unlike most.
const DEVICES_MAX: usize = 256;

/// How often a disk's names are looked at again. They change when it is replaced.
const INFO_EVERY: Duration = Duration::from_secs(60);

/// The most that is read of udev's file of a disk. It is about 2 KB.
const UDEV_BYTES_MAX: u64 = 16 << 10;

/// A sector in this file has 512 bytes, whatever the device's own.
const SECTOR_BYTES: f64 = 512.0;
const MILLISECOND: f64 = 0.001;

/// The columns behind a device's name, and what one of each unit counts.
const COLUMNS: [(&str, &str, f64); 17] = [
    ("reads_completed_total", "The total number of reads completed successfully.", 1.0),
    ("reads_merged_total", "The total number of reads merged.", 1.0),
    ("read_bytes_total", "The total number of bytes read successfully.", SECTOR_BYTES),
    ("read_time_seconds_total", "The total number of seconds spent by all reads.", MILLISECOND),
    ("writes_completed_total", "The total number of writes completed successfully.", 1.0),
    ("writes_merged_total", "The number of writes merged.", 1.0),
    ("written_bytes_total", "The total number of bytes written successfully.", SECTOR_BYTES),
    (
        "write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        MILLISECOND,
    ),
    ("io_now", "The number of I/Os currently in progress.", 1.0),
    ("io_time_seconds_total", "Total seconds spent doing I/Os.", MILLISECOND),
    ("io_time_weighted_seconds_total", "The weighted # of seconds spent doing I/Os.", MILLISECOND),
    ("discards_completed_total", "The total number of discards completed successfully.", 1.0),
    ("discards_merged_total", "The total number of discards merged.", 1.0),
    ("discarded_sectors_total", "The total number of sectors discarded successfully.", 1.0),
    (
        "discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        MILLISECOND,
    ),
    ("flush_requests_total", "The total number of flush requests completed successfully", 1.0),
    (
        "flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        MILLISECOND,
    ),
];

/// Names that udev gives to disks.
pub struct DiskInfos {
    udev: PathBuf,
    block: PathBuf,
    known: Vec<DiskInfo>,
}

/// What is told of a disk beside its counters.
struct DiskInfo {
    device: String,
    numbers: (u64, u64),
    /// `None` before it has been read: then it is not told.
    read_at: Option<Duration>,
    rotational: String,
    /// path, wwn, model, serial, revision.
    names: [String; 5],
}

impl DiskInfos {
    pub fn new(root: &Path) -> DiskInfos {
        DiskInfos {
            udev: root.join("run/udev/data"),
            block: root.join("sys/block"),
            known: Vec::new(),
        }
    }

    /// /proc/diskstats.
    pub fn expose(&mut self, now: Duration, bytes: &[u8], out: &mut Exposition<'_>) -> bool {
        let families = COLUMNS.map(|(name, help, _)| {
            let kind = if name.ends_with("_total") { Kind::Counter } else { Kind::Gauge };
            out.family(format!("node_disk_{name}"), help, kind)
        });
        let mut spent = Duration::ZERO;
        let help = "Info of /sys/block/<block_device>.";
        let info = out.family("node_disk_info", help, Kind::Gauge);
        let mut count = 0;
        for line in text::lines(bytes) {
            let Some((numbers, device, columns)) = split(line) else { continue };
            if is_excluded(device) {
                continue;
            }
            if count == DEVICES_MAX {
                break;
            }
            let known = families.into_iter().zip(COLUMNS).zip(columns);
            for ((family, (_, _, factor)), value) in known {
                let Some(value) = value else { break };
                out.sample(family, &[("device", device)], value as f64 * factor);
            }
            let (major, minor) = (numbers.0.to_string(), numbers.1.to_string());
            count += 1;
            let began = out.now();
            if self.info(count - 1, now, spent, numbers, device) {
                spent += out.now().saturating_sub(began);
            }
            let known = &self.known[count - 1];
            if known.read_at.is_none() {
                continue;
            }
            let [path, wwn, model, serial, revision] = &known.names;
            let labels = [
                ("device", device),
                ("major", &major),
                ("minor", &minor),
                ("path", path),
                ("wwn", wwn),
                ("model", model),
                ("serial", serial),
                ("revision", revision),
                ("rotational", &known.rotational),
            ];
            out.sample(info, &labels, 1);
        }
        self.known.truncate(count);
        count > 0
    }

    /// Sees to what is known of the device in this place of the listing, which is mostly the same as
    /// the last time. True if it was read: when it is new or old, and reading has not taken longer
    /// in this scrape than it may.
    fn info(
        &mut self,
        place: usize,
        now: Duration,
        spent: Duration,
        numbers: (u64, u64),
        device: &str,
    ) -> bool {
        let is_it = |known: &DiskInfo| known.device == device && known.numbers == numbers;
        if !self.known.get(place).is_some_and(is_it) {
            match self.known.iter().skip(place).position(is_it) {
                Some(further) => self.known.swap(place, place + further),
                None => {
                    self.known.insert(place.min(self.known.len()), DiskInfo::new(device, numbers))
                }
            }
        }
        let known = &mut self.known[place];
        let is_due = match known.read_at {
            None => spent < FIRST_MAX,
            Some(read_at) => spent < REFRESH_MAX && now >= read_at + INFO_EVERY,
        };
        if is_due {
            let rotational = self.block.join(device.replace('/', "!")).join("queue/rotational");
            known.read_at = Some(now);
            // A partition has no queue of its own; node_exporter then has a zero.
            known.rotational = attributes::read(&rotational).unwrap_or_else(|| "0".to_owned());
            known.names = names(&self.udev.join(format!("b{}:{}", numbers.0, numbers.1)));
        }
        is_due
    }
}

impl DiskInfo {
    fn new(device: &str, numbers: (u64, u64)) -> DiskInfo {
        DiskInfo {
            device: device.to_owned(),
            numbers,
            read_at: None,
            rotational: String::new(),
            names: Default::default(),
        }
    }
}

/// As the pattern `^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$` says: memory, files,
/// floppies and partitions.
fn is_excluded(device: &str) -> bool {
    let stem = device.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_partition_of_nvme = || {
        let numbers = stem.strip_prefix("nvme")?.strip_suffix('p')?.split_once('n')?;
        Some(is_digits(numbers.0) && is_digits(numbers.1))
    };
    let is_partition = || {
        let disk = stem.strip_suffix(|letter: char| letter.is_ascii_lowercase())?;
        Some(matches!(disk, "hd" | "sd" | "vd" | "xvd"))
    };
    matches!(stem, "ram" | "zram" | "loop" | "fd")
        || is_partition().unwrap_or(false)
        || is_partition_of_nvme().unwrap_or(false)
}

/// Path, WWN, model, serial number and revision, as udev has noted them (udev(7)).
fn names(path: &Path) -> [String; 5] {
    let mut bytes = Vec::new();
    let file = File::open(path);
    let _ = file.and_then(|file| file.take(UDEV_BYTES_MAX).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let properties = || text.lines().filter_map(|line| line.strip_prefix("E:"));
    let value = |name: &str| {
        let mut pairs = properties().filter_map(|property| property.split_once('='));
        let found = pairs.find(|(found, _)| *found == name).map(|(_, value)| value);
        found.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let serial = value("SCSI_IDENT_SERIAL").or_else(|| value("ID_SERIAL_SHORT"));
    let names = [
        value("ID_PATH"),
        value("ID_WWN"),
        value("ID_MODEL"),
        serial.or_else(|| value("ID_SERIAL")),
        value("ID_REVISION"),
    ];
    names.map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::metrics::exposition::Format;

    #[test]
    fn memory_files_and_partitions_are_excluded() {
        for device in ["ram0", "zram0", "loop12", "fd0", "sda1", "vdb12", "xvda1", "nvme0n1p2"] {
            assert!(is_excluded(device), "{device}");
        }
        for device in [
            "sda",
            "vda",
            "nvme0n1",
            "dm-0",
            "md0",
            "sr0",
            "mmcblk0",
            "mmcblk0p1",
            "sdaa1",
            "",
            "1",
        ] {
            assert!(!is_excluded(device), "{device}");
        }
    }

    #[test]
    fn what_is_known_of_disks_is_read_a_little_at_a_time_and_kept_when_others_come_and_go() {
        let folder = std::env::temp_dir().join(format!("vitald-disks-{}", std::process::id()));
        let udev = folder.join("run/udev/data");
        std::fs::create_dir_all(&udev).unwrap();
        let note = |minor: u64, model: &str| {
            std::fs::write(udev.join(format!("b8:{minor}")), format!("E:ID_MODEL={model}\n"))
                .unwrap();
        };
        (0..8).for_each(|minor| note(minor, "old"));
        let mut infos = DiskInfos::new(&folder);
        // Each look at the clock finds 2 ms more, so that this is what a reading takes.
        let models = |infos: &mut DiskInfos, second: u64, minors: &[u64]| -> Vec<String> {
            let time = Cell::new(Duration::ZERO);
            let clock = || {
                time.set(time.get() + Duration::from_millis(2));
                time.get()
            };
            let lines = minors.iter().map(|minor| format!("8 {minor} disk-{minor} 1 2 3 4\n"));
            let mut out = Exposition::new(Format::Text, 1 << 20, &clock);
            let listing: String = lines.collect();
            assert!(infos.expose(Duration::from_secs(second), listing.as_bytes(), &mut out));
            let mut text = Vec::new();
            out.write(&mut text);
            let text = String::from_utf8(text).unwrap();
            let told = text.lines().filter_map(|line| line.strip_prefix("node_disk_info{device="));
            let model = |line: &str| line.split("model=").nth(1).unwrap()[1..4].to_owned();
            told.map(|line| line[6..7].to_owned() + " " + &model(line)).collect()
        };
        let all: Vec<u64> = (0..8).collect();
        let old = |minors: &[u64]| -> Vec<String> {
            minors.iter().map(|minor| format!("{minor} old")).collect()
        };
        assert_eq!(models(&mut infos, 0, &all), old(&[0, 1, 2, 3, 4]));
        assert_eq!(models(&mut infos, 1, &all), old(&all));
        (0..8).for_each(|minor| note(minor, "new"));
        assert_eq!(models(&mut infos, 2, &[0, 2, 3, 4, 5, 6, 7]), old(&[0, 2, 3, 4, 5, 6, 7]));
        let after = models(&mut infos, 70, &[0, 2, 3, 4, 5]);
        assert_eq!(after, ["0 new", "2 new", "3 new", "4 old", "5 old"]);
        let after = models(&mut infos, 71, &[0, 2, 3, 4, 5]);
        assert_eq!(after, ["0 new", "2 new", "3 new", "4 new", "5 new"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
