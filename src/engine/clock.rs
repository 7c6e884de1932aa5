//! The one place where time enters.
//!
//! Owns the definition of an instant ([`Tick`]) and the two clocks: [`Monotonic`] for production
//! and [`Manual`] for tests and simulation. Everything else in the engine takes `now` as an
//! argument, so that a run is a function of its inputs. Wall time is used for timestamps in output,
//! never for a decision. Imports nothing of the crate.

use std::cell::Cell;
use std::ops::{Add, Sub};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

/// An instant of the monotonic clock: nanoseconds since the clock's origin. 64 bits last 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The clock's origin.
    pub const ZERO: Tick = Tick(0);

    /// The instant `nanoseconds` after the clock's origin.
    pub const fn from_nanos(nanoseconds: u64) -> Tick {
        Tick(nanoseconds)
    }

    /// The instant `milliseconds` after the clock's origin.
    pub const fn from_millis(milliseconds: u64) -> Tick {
        Tick(milliseconds.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since the clock's origin.
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;

    /// Saturates: an instant past the range is the end of time, not the past.
    fn add(self, duration: Duration) -> Tick {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Tick(self.0.saturating_add(nanoseconds))
    }
}

impl Sub<Tick> for Tick {
    type Output = Duration;

    fn sub(self, earlier: Tick) -> Duration {
        self.since(earlier)
    }
}

/// Where the engine gets its time from.
pub trait Clock {
    /// The monotonic instant now. Never goes backwards.
    fn now(&self) -> Tick;

    /// The wall-clock time now, for timestamps in output only. May jump.
    fn wall(&self) -> SystemTime;
}

/// The system's monotonic clock. Its origin is the moment the value was made.
#[derive(Debug)]
pub struct Monotonic {
    origin: Instant,
}

impl Monotonic {
    /// A clock that starts now.
    pub fn new() -> Monotonic {
        Monotonic { origin: Instant::now() }
    }

    /// The standard library's instant for `tick`, for an outer loop that thinks in `Instant`.
    pub fn instant(&self, tick: Tick) -> Instant {
        self.origin + tick.since_origin()
    }
}

impl Default for Monotonic {
    fn default() -> Monotonic {
        Monotonic::new()
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Tick {
        Tick::ZERO + self.origin.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Microseconds of the system's monotonic clock, whose origin other processes share; for telling
/// them.
pub fn monotonic_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// A clock that moves only when told to. Clones share the time.
#[derive(Clone, Debug, Default)]
pub struct Manual {
    now: Rc<Cell<Tick>>,
}

impl Manual {
    /// A clock at its origin.
    pub fn new() -> Manual {
        Manual::default()
    }

    /// Moves the clock forward by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.now.set(self.now.get() + duration);
    }
}

impl Clock for Manual {
    fn now(&self) -> Tick {
        self.now.get()
    }

    /// The Unix epoch plus the monotonic time: the same in every run.
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.now.get().since_origin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_to() {
        let clock = Manual::new();
        let other = clock.clone();
        assert_eq!(other.now(), Tick::ZERO);
        clock.advance(Duration::from_millis(4));
        assert_eq!(other.now(), Tick::from_millis(4));
    }

    #[test]
    fn adding_past_the_range_saturates() {
        let late = Tick::from_nanos(u64::MAX - 1);
        assert_eq!(late + Duration::from_secs(1), Tick::from_nanos(u64::MAX));
        assert_eq!(Tick::ZERO - late, Duration::ZERO);
    }
}
