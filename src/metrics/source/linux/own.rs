//! What this process itself takes: /proc/self (Documentation/filesystems/proc.rst).

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

use super::Cadence;
use super::file::HeldFile;
use super::system;
use super::text;
use crate::metrics::source::Process;

/// How often descriptors are counted, which walks a directory.
const DESCRIPTORS_EVERY: Duration = Duration::from_secs(10);

/// Reads /proc/self.
pub struct Own {
    statm: HeldFile,
    descriptors: PathBuf,
    descriptors_count: Cadence<Option<f64>>,
}

impl Own {
    pub fn new(proc: &Path) -> Own {
        Own {
            statm: HeldFile::of_one_record(proc.join("self/statm")),
            descriptors: proc.join("self/fd"),
            descriptors_count: Cadence::new(DESCRIPTORS_EVERY, None),
        }
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>) -> Process {
        let pages = self.statm.read(now, buffer).and_then(parse);
        let bytes = |pages: u64| pages as f64 * page_size() as f64;
        if self.descriptors_count.is_due(now) {
            self.descriptors_count.value = count(&self.descriptors);
        }
        Process {
            cpu_time: cpu_time(),
            rss: pages.map(|(resident, _)| bytes(resident)),
            heap: pages.map(|(resident, shared)| bytes(resident.saturating_sub(shared))),
            fds: self.descriptors_count.value,
        }
    }
}

/// Pages that are resident, and those of them that a file or shared memory stands behind; the rest
/// is what /proc/self/status calls RssAnon.
fn parse(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut words = text::words(bytes).skip(1);
    let mut next = || words.next().and_then(text::number);
    Some((next()?, next()?))
}

/// To the nanosecond, where /proc/self/stat counts in hundredths of a second: of a process that
/// takes a thousandth of a core these would show nothing.
fn cpu_time() -> Option<Duration> {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()
}

/// The entries of a directory, less the descriptor that the walk itself takes.
fn count(descriptors: &Path) -> Option<f64> {
    let count = system::count_numbers(descriptors).ok()?;
    Some(count.saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_and_shared_pages_are_the_second_and_third_word() {
        assert_eq!(parse(b"5000 900 700 300 0 400 0\n"), Some((900, 700)));
        assert_eq!(parse(b"5000 900"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn this_process_takes_time_memory_and_descriptors() {
        let mut own = Own::new(Path::new("/proc"));
        let before = own.read(Duration::ZERO, &mut Vec::new());
        std::hint::black_box((0..2_000_000u64).map(std::hint::black_box).sum::<u64>());
        let after = own.read(Duration::from_secs(10), &mut Vec::new());
        assert!(after.cpu_time > before.cpu_time);
        assert!(after.rss.is_some_and(|rss| rss > 1e5) && after.heap < after.rss);
        assert!(after.fds.is_some_and(|fds| fds >= 3.0));
    }
}
