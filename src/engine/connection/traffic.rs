//! What one connection's traffic has come to, for those who look at it. Decides nothing: deadlines
//! and back-pressure have figures of their own. Imports the clock's [`Tick`].

use std::time::Duration;

use crate::engine::clock::Tick;

/// Figures of one connection since it was accepted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Bytes that the kernel has taken.
    pub(crate) bytes_sent: u64,
    /// When the ping was queued that no pong has answered.
    pinged: Option<Tick>,
    round_trip: Option<Duration>,
}

impl Traffic {
    /// Takes note that a ping was queued.
    pub(crate) fn note_pinged(&mut self, now: Tick) {
        self.pinged = Some(now);
    }

    /// Takes note of a pong; gives the time since its ping. One that nobody asked for (RFC 6455,
    /// section 5.5.3) says nothing.
    pub(crate) fn note_pong(&mut self, now: Tick) -> Option<Duration> {
        let round_trip = now - self.pinged.take()?;
        self.round_trip = Some(round_trip);
        self.round_trip
    }

    /// From our last ping that was answered to its pong, the time in our outbox included.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_that_of_the_last_ping_that_was_answered() {
        let mut traffic = Traffic::default();
        traffic.note_pong(Tick::from_millis(5));
        assert_eq!(traffic.round_trip(), None);
        traffic.note_pinged(Tick::from_millis(10));
        assert_eq!(traffic.note_pong(Tick::from_millis(17)), Some(Duration::from_millis(7)));
        assert_eq!(traffic.note_pong(Tick::from_millis(90)), None);
        traffic.note_pinged(Tick::from_millis(100));
        assert_eq!(traffic.round_trip(), Some(Duration::from_millis(7)));
    }
}
