//! The kernel as a whole: /proc/uptime and /proc/vmstat (Documentation/filesystems/proc.rst), and
//! how many processes /proc shows. Its rates are read with /proc/stat.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, RawDir};

use super::Cadence;
use super::file::HeldFile;
use super::outage::Outage;
use super::text;
use crate::metrics::snapshot;

/// Room for the entries that the kernel gives at a time, on the stack: at most 170, of 24 bytes.
const LISTING_BYTES: usize = 4 << 10;

/// How often a count of the processes begins.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// Entries of /proc after which a turn's share of a count ends with the listing at hand. The kernel
/// takes 3 us for a process, so a turn takes at most 1.3 ms, and 10,000 processes 40 turns.
const ENTRIES_PER_TURN: usize = 256;

/// Reads what concerns the kernel as a whole.
pub struct System {
    proc: PathBuf,
    listing: Outage,
    count_due: Cadence<()>,
    /// The count that has begun.
    walk: Option<Walk>,
    uptime: HeldFile,
    pub(super) vmstat: HeldFile,
}

impl System {
    pub fn new(proc: PathBuf) -> System {
        System {
            listing: Outage::default(),
            count_due: Cadence::new(COUNT_EVERY, ()),
            walk: None,
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
    /// Each call goes a part of the way; the figure stays as it was until the end.
    pub fn count_processes(&mut self, now: Duration, into: &mut snapshot::System) {
        if self.walk.is_none() && !(self.count_due.is_due(now) && self.listing.is_over(now)) {
            return;
        }
        match self.walk_on() {
            Ok(None) => {}
            Ok(Some(count)) => {
                self.listing.succeed(self.proc.display());
                into.processes = Some(count as f64).filter(|count| *count > 0.0);
            }
            Err(error) => {
                self.listing.fail(now, self.proc.display(), &error);
                into.processes = None;
            }
        }
    }

    /// The count, if this was the last part of the way.
    fn walk_on(&mut self) -> io::Result<Option<usize>> {
        let mut walk = match self.walk.take() {
            Some(walk) => walk,
            None => Walk::new(&self.proc)?,
        };
        if walk.advance(ENTRIES_PER_TURN)? {
            return Ok(Some(walk.count));
        }
        self.walk = Some(walk);
        Ok(None)
    }
}

/// A directory on the way through its entries, which are kept in the kernel: those that begin with a
/// digit are counted. std's listing allocates for each entry.
struct Walk {
    directory: OwnedFd,
    count: usize,
}

impl Walk {
    fn new(directory: &Path) -> io::Result<Walk> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Walk { directory: rustix::fs::open(directory, flags, Mode::empty())?, count: 0 })
    }

    /// Whether it has come to the end. It stops where `entries_max` have been seen and the kernel
    /// has to be asked for more.
    fn advance(&mut self, entries_max: usize) -> io::Result<bool> {
        let mut listing = [const { MaybeUninit::uninit() }; LISTING_BYTES];
        let mut entries = RawDir::new(&self.directory, &mut listing);
        let mut seen = 0;
        while let Some(entry) = entries.next() {
            let first = entry?.file_name().to_bytes().first().copied();
            self.count += usize::from(first.is_some_and(|first| first.is_ascii_digit()));
            seen += 1;
            if seen >= entries_max && entries.is_buffer_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The entries that begin with a digit, all at once: of a directory that has few.
///
/// # Errors
/// When the directory cannot be listed.
pub fn count_numbers(directory: &Path) -> io::Result<usize> {
    let mut walk = Walk::new(directory)?;
    walk.advance(usize::MAX)?;
    Ok(walk.count)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn many_processes_are_counted_over_many_turns_and_told_of_at_the_end() {
        let proc = std::env::temp_dir().join(format!("vitald-proc-{}", std::process::id()));
        for number in 1000..3000 {
            fs::create_dir_all(proc.join(number.to_string())).unwrap();
        }
        let (mut system, mut into) = (System::new(proc.clone()), snapshot::System::default());
        let (mut turns, mut counted) = (0, 0);
        while into.processes.is_none() {
            system.count_processes(Duration::from_secs(turns), &mut into);
            turns += 1;
            let count = system.walk.as_ref().map_or(2000, |walk| walk.count);
            assert!(count - counted <= ENTRIES_PER_TURN + LISTING_BYTES / 24, "turn {turns}");
            counted = count;
        }
        assert_eq!(into.processes, Some(2000.0));
        assert!((5..=8).contains(&turns), "it took {turns} turns");

        fs::create_dir(proc.join("3000")).unwrap();
        system.count_processes(Duration::from_secs(10), &mut into);
        assert_eq!(into.processes, Some(2000.0), "the figure stays until the next is known");
        for _ in 0..8 {
            system.count_processes(Duration::from_secs(11), &mut into);
        }
        assert_eq!(into.processes, Some(2001.0));
        fs::remove_dir_all(proc).unwrap();
        system.count_processes(Duration::from_secs(20), &mut into);
        assert_eq!(into.processes, None, "nothing is told of what cannot be listed");
    }
}
