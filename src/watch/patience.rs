//! How long a server may be silent, and how long to wait before it is called again.
//!
//! Pure: instants come in. Imports the engine's instants alone.

use std::time::Duration;

use crate::engine::clock::Tick;

/// How long after a ping there must be a sign of life.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The longest silence that is not asked about: of an interval of an hour, not hours.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// Waits between two attempts: the first, twice as long each time, and the last.
const RETRY_WAIT_MIN: Duration = Duration::from_secs(1);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Intervals that may pass without a message, and the time on top of them.
const INTERVALS_MAX: u32 = 3;
const MESSAGE_WAIT: Duration = Duration::from_secs(10);

/// What to do about a silence.
#[derive(Debug, PartialEq, Eq)]
pub enum Advice {
    /// Listen for so long, then ask again.
    Listen(Duration),
    /// Send a ping.
    Ping,
    /// The server is gone.
    GiveUp,
}

/// What has been heard of a server.
#[derive(Debug)]
pub struct Patience {
    interval: Duration,
    /// The last message.
    message: Tick,
    /// The last sign of life.
    life: Tick,
    pinged: Option<Tick>,
}

impl Patience {
    /// With a server that sends a message each `interval`.
    pub fn new(interval: Duration, now: Tick) -> Patience {
        Patience { interval, message: now, life: now, pinged: None }
    }

    /// A message of any kind has come.
    pub fn message(&mut self, now: Tick) {
        self.message = now;
        self.life(now);
    }

    /// Anything has come.
    pub fn life(&mut self, now: Tick) {
        self.life = now;
        self.pinged = None;
    }

    /// The server says that its messages come each `interval`.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// A ping has been sent.
    pub fn pinged(&mut self, now: Tick) {
        self.pinged = Some(now);
    }

    /// What to do now.
    pub fn advice(&self, now: Tick) -> Advice {
        let intervals = self.interval.saturating_mul(INTERVALS_MAX);
        let end = self.message + intervals.saturating_add(MESSAGE_WAIT);
        let (next, advice) = match self.pinged {
            Some(pinged) => (pinged + ANSWER_WAIT, Advice::GiveUp),
            None => (self.life + intervals.min(QUIET_MAX), Advice::Ping),
        };
        if now >= end {
            return Advice::GiveUp;
        }
        if now >= next {
            return advice;
        }
        Advice::Listen(next.min(end) - now)
    }
}

/// Waits between attempts.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new() -> Backoff {
        Backoff { next: RETRY_WAIT_MIN }
    }

    /// How long to wait before the next attempt.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(RETRY_WAIT_MAX);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::from_millis(1000 * seconds)
    }

    fn listen(seconds: u64) -> Advice {
        Advice::Listen(Duration::from_secs(seconds))
    }

    #[test]
    fn a_silent_server_is_pinged_after_3_intervals_and_gone_10_s_later() {
        let mut patience = Patience::new(Duration::from_secs(2), at(0));
        assert_eq!(patience.advice(at(0)), listen(6));
        assert_eq!(patience.advice(at(6)), Advice::Ping);
        patience.pinged(at(6));
        assert_eq!(patience.advice(at(6)), listen(10));
        assert_eq!(patience.advice(at(16)), Advice::GiveUp);
    }

    #[test]
    fn a_server_that_only_answers_pings_is_gone_as_well() {
        let mut patience = Patience::new(Duration::from_secs(1), at(0));
        patience.pinged(at(3));
        patience.life(at(4));
        assert_eq!(patience.advice(at(7)), Advice::Ping);
        patience.pinged(at(7));
        patience.life(at(12));
        assert_eq!(patience.advice(at(13)), Advice::GiveUp);
    }

    #[test]
    fn of_a_long_interval_the_connection_is_asked_about_in_between() {
        let mut patience = Patience::new(Duration::from_secs(3600), at(0));
        assert_eq!(patience.advice(at(30)), Advice::Ping);
        patience.pinged(at(30));
        assert_eq!(patience.advice(at(40)), Advice::GiveUp);
        patience.life(at(31));
        assert_eq!(patience.advice(at(31)), listen(30));
        patience.message(at(3600));
        assert_eq!(patience.advice(at(3600)), listen(30));
    }

    #[test]
    fn attempts_are_from_1_to_30_s_apart() {
        let mut backoff = Backoff::new();
        let waits: Vec<u64> = (0..7).map(|_| backoff.wait().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }
}
