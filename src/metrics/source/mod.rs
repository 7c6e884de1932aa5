//! Where figures come from.
//!
//! Owns the trait that a host's reader implements, and the choice among readers. A source fills a
//! snapshot in place and keeps what it needs between two readings. Promises: a figure that cannot
//! be read is `None`, and reading never fails as a whole. May import: the data model and `rates`.

#[cfg(target_os = "linux")]
pub mod linux;
pub mod portable;
pub mod processes;
mod users;

use std::time::Duration;

use super::exposition::Exposition;
use super::snapshot::Snapshot;

/// Reads a host.
pub trait Source {
    /// Fills `into` with the figures of this moment; rates are over the time since the last call.
    /// `now` is monotonic time since any origin.
    fn read(&mut self, now: Duration, into: &mut Snapshot);

    /// What this process itself takes at this moment; nothing is known unless a source tells.
    fn process(&mut self, now: Duration) -> Process {
        let _ = now;
        Process::default()
    }

    /// Adds what a Prometheus server is told of the host, read at this moment: counters as they
    /// are, which a snapshot does not hold. `wall_ms` is Unix milliseconds. Nothing, unless a
    /// source has something to tell.
    fn expose(&mut self, now: Duration, wall_ms: u64, out: &mut Exposition<'_>) {
        let _ = (now, wall_ms, out);
    }
}

/// What a process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Processor time since its start, of all its threads.
    pub cpu_time: Option<Duration>,
    /// Bytes of memory that are resident.
    pub rss: Option<f64>,
    /// Of these, bytes without a file behind them.
    pub heap: Option<f64>,
    /// Open file descriptors.
    pub fds: Option<f64>,
}

/// The best source there is for the host this runs on.
pub fn for_this_host() -> Box<dyn Source + Send> {
    #[cfg(target_os = "linux")]
    return Box::new(linux::Linux::new());
    #[cfg(not(target_os = "linux"))]
    return Box::new(portable::Portable::new());
}
