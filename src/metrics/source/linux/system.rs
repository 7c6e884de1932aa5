//! The kernel as a whole: /proc/uptime and /proc/vmstat (Documentation/filesystems/proc.rst), and
//! how many processes /proc shows. Its rates are read with /proc/stat.

use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, RawDir};

use super::file::HeldFile;
use super::outage::Outage;
use super::text;
use crate::metrics::snapshot;

/// Room for the names of a few hundred processes at a time, on the stack.
const LISTING_BYTES: usize = 16 << 10;

/// Reads what concerns the kernel as a whole.
pub struct System {
    proc: PathBuf,
    listing: Outage,
    uptime: HeldFile,
    pub(super) vmstat: HeldFile,
}

impl System {
    pub fn new(proc: PathBuf) -> System {
        System {
            listing: Outage::default(),
            uptime: HeldFile::of_one_record(proc.join("uptime")),
            vmstat: HeldFile::of_lines(proc.join("vmstat")).reopened(),
            proc,
        }
    }

    pub fn read_uptime(
        &mut self,
        now: Duration,
        buffer: &mut Vec<u8>,
        into: &mut snapshot::System,
    ) {
        let uptime = self.uptime.read(now, buffer);
        into.uptime_s = uptime.and_then(|bytes| text::words(bytes).next().and_then(text::decimal));
    }

    /// `oom_kill` of /proc/vmstat, since Linux 4.13.
    pub fn read_vmstat(
        &mut self,
        now: Duration,
        buffer: &mut Vec<u8>,
        into: &mut snapshot::System,
    ) {
        let vmstat = self.vmstat.read(now, buffer);
        let kills = vmstat.and_then(|bytes| text::value_of(bytes, b"oom_kill"));
        into.oom_kills = kills.map(|kills| kills as f64);
    }

    /// Counts the directories of /proc that are numbers. The counter in /proc/loadavg is of
    /// threads and that in /proc/stat of forks since boot; no file has the number of processes.
    pub fn count_processes(&mut self, now: Duration, into: &mut snapshot::System) {
        into.processes = None;
        if !self.listing.is_over(now) {
            return;
        }
        match count_numbers(&self.proc) {
            Ok(count) => {
                self.listing.succeed(self.proc.display());
                into.processes = Some(count as f64).filter(|count| *count > 0.0);
            }
            Err(error) => self.listing.fail(now, self.proc.display(), &error),
        }
    }
}

/// The entries that begin with a digit. std's listing allocates for each entry.
///
/// # Errors
/// When the directory cannot be listed.
pub fn count_numbers(directory: &Path) -> io::Result<usize> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    let mut listing = [const { MaybeUninit::uninit() }; LISTING_BYTES];
    let mut entries = RawDir::new(directory, &mut listing);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let first = entry.file_name().to_bytes().first();
        count += usize::from(first.is_some_and(u8::is_ascii_digit));
    }
    Ok(count)
}
