//! Where the process table comes from.
//!
//! Owns the trait that a system's reader implements, and the choice among readers. A scan is begun
//! and then gone on with in steps, each of which does no more than it may, so that whoever runs a
//! loop can do other things in between. Promises: memory is held from the first scan to the
//! release, and a scan never fails because of one process. May import: the data model.

use std::time::Duration;

use crate::metrics::processes::{Table, Wanted};

/// Files that reading one process takes at most, and so the least that a step has to be allowed.
pub const FILES_PER_STEP_MIN: usize = 3;

/// How far a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    Pending,
    /// The scan is complete; there is a table if it was not the first.
    Done,
    /// Processes cannot be listed here.
    Failed,
}

/// Reads the processes of a host.
pub trait ProcessSource {
    /// Begins a scan for what is wanted, and drops one that is under way. `now` is monotonic time
    /// since any origin, `wall_ms` Unix milliseconds.
    fn begin(&mut self, now: Duration, wall_ms: u64, wanted: Wanted);

    /// Goes on with the scan: opens at most `files` files, at least [`FILES_PER_STEP_MIN`]; fewer
    /// if they take the system long, so that whoever steps can look at the clock.
    fn step(&mut self, now: Duration, files: usize) -> Progress;

    /// The newest table; `None` before the second complete scan, because rates need two.
    fn table(&self) -> Option<&Table>;

    /// Gives all memory and every descriptor back.
    fn release(&mut self);

    /// Bytes that are held at most between a scan and a release.
    fn memory_ceiling(&self) -> usize;
}

/// The best reader there is for the host this runs on.
pub fn for_this_host() -> Box<dyn ProcessSource + Send> {
    #[cfg(target_os = "linux")]
    return Box::new(super::linux::processes::Processes::new());
    #[cfg(not(target_os = "linux"))]
    return Box::new(super::portable::processes::Processes::new());
}

/// A host whose processes nobody can list; for tests and for embedding.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProcesses;

impl ProcessSource for NoProcesses {
    fn begin(&mut self, _: Duration, _: u64, _: Wanted) {}

    fn step(&mut self, _: Duration, _: usize) -> Progress {
        Progress::Failed
    }

    fn table(&self) -> Option<&Table> {
        None
    }

    fn release(&mut self) {}

    fn memory_ceiling(&self) -> usize {
        0
    }
}
