//! /proc/diskstats (Documentation/admin-guide/iostats.rst).

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::HeldFile;
use super::text;
use crate::metrics::rates::{Counters, Keyed};
use crate::metrics::snapshot::Disk;

/// Disks that are told apart.
const DISKS_MAX: usize = 64;

/// A sector in this file has 512 bytes, whatever the device's own.
const SECTOR_BYTES: f64 = 512.0;

/// Devices that are no disks of their own: memory, files, and layers over disks that are listed
/// themselves, so that nothing is counted twice.
const VIRTUAL: [&str; 10] =
    ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "zd", "bcache", "drbd"];

/// How often a device that is listed is looked for again among the disks. The kernel lists a disk a
/// little before it has its entry in /sys/block; a partition never has one, and costs a call.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Reads, sectors read, ms reading, writes, sectors written, ms writing, ms with any in progress.
type Columns = [Option<u64>; 7];
const READS: usize = 0;
const WRITES: usize = 3;

struct Known {
    is_disk: bool,
    /// When to ask again whether it is one; never of a disk, nor of what can be none.
    ask_at: Option<Duration>,
    counters: Counters<7>,
}

/// Reads /proc/diskstats.
pub struct Disks {
    pub(super) file: HeldFile,
    block: Block,
    known: Keyed<Known>,
}

/// /sys/block, which lists whole disks and no partitions.
struct Block {
    path: PathBuf,
    /// A name as it stands there.
    name: String,
}

impl Disks {
    pub fn new(proc: &Path, sys: &Path) -> Disks {
        Disks {
            file: HeldFile::new(proc.join("diskstats")),
            block: Block { path: sys.join("block"), name: String::new() },
            // Partitions are listed between the disks: room for a few of each.
            known: Keyed::with_limit(16 * DISKS_MAX),
        }
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, disks: &mut Vec<Disk>) {
        let mut count = 0;
        self.known.begin();
        let bytes = self.file.read(now, buffer).unwrap_or_default();
        for line in text::lines(bytes) {
            let Some((name, columns)) = parse(line) else { continue };
            let Some(known) = self.known.next(name, || Known::new(name, now)) else { continue };
            if known.ask_at.is_some_and(|ask_at| now >= ask_at) {
                known.is_disk = self.block.has(name);
                known.ask_at = (!known.is_disk).then_some(now + ASK_EVERY);
            }
            if !known.is_disk || count == DISKS_MAX {
                continue;
            }
            // A place for a disk that is not there: a card reader, an unconnected nbd. To find its
            // partitions the kernel reads from every other.
            let is_untouched = columns[READS] == Some(0) && columns[WRITES] == Some(0);
            if !is_untouched {
                fill(Disk::at(disks, count, name), &mut known.counters, now, columns);
                count += 1;
            }
        }
        self.known.finish();
        disks.truncate(count);
    }
}

/// Major and minor number, the name, and what is counted, in as many columns as the kernel has.
pub(super) fn split(line: &[u8]) -> Option<((u64, u64), &str, impl Iterator<Item = Option<u64>>)> {
    let mut words = text::words(line);
    let numbers = (words.next().and_then(text::number)?, words.next().and_then(text::number)?);
    let name = str::from_utf8(words.next()?).ok()?;
    Some((numbers, name, words.map(text::number)))
}

fn parse(line: &[u8]) -> Option<(&str, Columns)> {
    let (_, name, mut numbers) = split(line)?;
    let mut column = |skipped: usize| numbers.nth(skipped).flatten();
    // Between them stand merged requests, and before the last those in progress.
    Some((name, [column(0), column(1), column(0), column(0), column(1), column(0), column(1)]))
}

impl Known {
    fn new(name: &str, now: Duration) -> Known {
        let is_virtual = VIRTUAL.iter().any(|start| name.starts_with(start));
        let ask_at = (!is_virtual).then_some(now);
        Known { is_disk: false, ask_at, counters: Counters::default() }
    }
}

impl Block {
    /// Allocates nothing once it has seen the longest name.
    fn has(&mut self, name: &str) -> bool {
        if matches!(name, "." | "..") {
            return false;
        }
        self.name.clear();
        self.name.extend(name.chars().map(|letter| if letter == '/' { '!' } else { letter }));
        self.path.push(&self.name);
        let has = self.path.exists();
        self.path.pop();
        has
    }
}

fn fill(disk: &mut Disk, counters: &mut Counters<7>, now: Duration, columns: Columns) {
    let deltas = counters.advance(now, columns);
    disk.reads_per_s = deltas.per_second(0);
    disk.read_bytes_per_s = deltas.per_second(1).map(|sectors| sectors * SECTOR_BYTES);
    disk.writes_per_s = deltas.per_second(3);
    disk.write_bytes_per_s = deltas.per_second(4).map(|sectors| sectors * SECTOR_BYTES);
    disk.utilisation = deltas.per_second(6).map(|busy_ms| (busy_ms / 10.0).min(100.0));
    let sum = |a, b| Some(deltas.delta(a)? + deltas.delta(b)?);
    let (waited_ms, requests) = (sum(2, 5), sum(0, 3));
    disk.await_ms = waited_ms.zip(requests).map(|(waited, requests)| waited / requests.max(1.0));
}

#[cfg(test)]
mod tests {
    use super::super::seq_file::SeqFile;
    use super::*;

    const OLD: &[u8] = b"   8       0 sda 100 5 2000 40 50 6 1000 20 0 55 60";
    const NEW: &[u8] = b" 254 0 vda 100 5 2000 40 50 6 1000 20 0 55 60 7 0 8 9 10 11";

    #[test]
    fn old_and_new_kernels_lines_have_the_same_columns() {
        let expected = [100, 2000, 40, 50, 1000, 20, 55].map(Some);
        assert_eq!(parse(OLD), Some(("sda", expected)));
        assert_eq!(parse(NEW), Some(("vda", expected)));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"8 0 \xff 1"), None);
    }

    #[test]
    fn rates_are_of_the_time_that_passed() {
        let (mut disk, mut counters) = (Disk::default(), Counters::default());
        let columns = [100, 2000, 40, 50, 1000, 20, 55].map(Some);
        fill(&mut disk, &mut counters, Duration::ZERO, columns);
        assert_eq!(disk.reads_per_s, None);
        let later = [110, 2400, 60, 60, 1000, 40, 1055].map(Some);
        fill(&mut disk, &mut counters, Duration::from_secs(2), later);
        assert_eq!(disk.reads_per_s, Some(5.0));
        assert_eq!(disk.read_bytes_per_s, Some(200.0 * 512.0));
        assert_eq!((disk.utilisation, disk.await_ms), (Some(50.0), Some(2.0)));
    }

    #[test]
    fn layers_and_memory_are_no_disks() {
        for name in ["loop0", "ram1", "zram0", "dm-3", "md0", "sr0"] {
            assert_eq!(Known::new(name, Duration::ZERO).ask_at, None, "{name}");
        }
        assert_eq!(Known::new("sda1", Duration::ZERO).ask_at, Some(Duration::ZERO));
    }

    #[test]
    fn a_disk_with_many_partitions_behind_another_is_read() {
        let disks = Disks::new(Path::new("/proc"), Path::new("/sys"));
        let mut records = vec![vec![b'a'; 150]; 7];
        records.push(vec![b'b'; 3072]);
        assert!(disks.file.would_read_whole(SeqFile::new(records)));
    }
}
