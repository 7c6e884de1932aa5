//! What is known of a source that fails: when to try it again, and whether it was told.

use std::fmt::Display;
use std::io;
use std::time::Duration;

/// How long a source that has failed is left alone: an operator sees it back within the minute,
/// and a missing file costs two calls in that time.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The state of one source: a file, or a file system that is asked how full it is.
#[derive(Debug, Default)]
pub struct Outage {
    retry_at: Option<Duration>,
    kind: Option<io::ErrorKind>,
    has_worked: bool,
}

impl Outage {
    /// Whether the source may be tried now.
    pub fn is_over(&self, now: Duration) -> bool {
        self.retry_at.is_none_or(|retry_at| now >= retry_at)
    }

    /// Whether the source is not there at all, which is no fault of a host that lacks it.
    pub fn is_absence(&self) -> bool {
        self.kind == Some(io::ErrorKind::NotFound)
    }

    /// Notes a failure. Told once, until the source has worked again: as a warning where it has
    /// worked or is there, and otherwise as news, for then this host just does not have it.
    pub fn fail(&mut self, now: Duration, source: impl Display, error: &io::Error) {
        self.retry_at = Some(now + RETRY_AFTER);
        if self.kind.replace(error.kind()).is_none() {
            let is_news = self.is_absence() && !self.has_worked;
            let level = if is_news { log::Level::Info } else { log::Level::Warn };
            log::log!(level, "source={source} unavailable error=\"{error}\"");
        }
    }

    /// Notes a success, and tells of it after a failure.
    pub fn succeed(&mut self, source: impl Display) {
        self.has_worked = true;
        if self.kind.take().is_some() {
            self.retry_at = None;
            log::info!("source={source} available again");
        }
    }
}
