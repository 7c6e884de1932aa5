//! How many wrong tokens each address has shown of late.
//!
//! Owns a table of [`ADDRESSES_MAX`] addresses, reserved at start: it never grows. When it is full,
//! the address that has been silent for longest makes room, and may then begin anew: who has more
//! addresses than that has more allowances anyway. A v6 address counts by its /64. Loopback and
//! Unix sockets count as one address together: what comes from there is a proxy's, for anybody, and
//! what a proxy says of its clients (X-Forwarded-For) anybody may write.
//!
//! This keeps guesses out of the log and tells a visitor who is wrong to stop. It is no lock, for a
//! right token always passes, or anybody could lock others out from behind a shared address: what
//! withstands guessing is the length of the token. Time comes by argument.

use std::time::Duration;

use crate::engine::addresses::Key;
use crate::engine::clock::Tick;
use crate::engine::net::Peer;

/// Addresses that are remembered. Half would let 64 networks at a time hide each other; double is
/// memory that is hardly ever used.
pub const ADDRESSES_MAX: usize = 128;

/// Wrong tokens within [`PERIOD`] after which an address is told to wait: more than anybody
/// mistypes.
pub const WRONG_MAX: usize = 10;

/// The time in which they are counted, and for which the address is then refused.
pub const PERIOD: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Attempts {
    /// `None` for loopback and Unix sockets.
    address: Option<Key>,
    /// When its last wrong tokens came, the oldest first; those behind `count` mean nothing.
    times: [Tick; WRONG_MAX],
    count: usize,
    /// The last that was heard of it.
    seen: Tick,
    /// Until when it is refused.
    refused_until: Tick,
}

impl Attempts {
    fn new(address: Option<Key>, now: Tick) -> Attempts {
        let times = [now; WRONG_MAX];
        Attempts { address, times, count: 0, seen: now, refused_until: now }
    }

    fn note(&mut self, now: Tick) -> Verdict {
        self.seen = now;
        if self.refused_until > now {
            return Verdict::Wait(self.refused_until - now);
        }
        let times = &mut self.times[..self.count];
        let past = times.iter().filter(|time| now - **time >= PERIOD).count();
        times.rotate_left(past);
        self.count -= past;
        self.times[self.count] = now;
        self.count += 1;
        if self.count < WRONG_MAX {
            return Verdict::Counted;
        }
        (self.count, self.refused_until) = (0, now + PERIOD);
        Verdict::Last
    }
}

/// What is to be done about a wrong token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has been counted.
    Counted,
    /// It has been counted, and those that follow are refused.
    Last,
    /// The address is to wait for so long.
    Wait(Duration),
}

/// The table.
#[derive(Debug)]
pub struct Guesses {
    table: Vec<Attempts>,
}

impl Guesses {
    /// Bytes that the table takes.
    pub const MEMORY_BYTES: usize = ADDRESSES_MAX * size_of::<Attempts>();

    /// An empty one.
    pub fn new() -> Guesses {
        Guesses { table: Vec::with_capacity(ADDRESSES_MAX) }
    }

    /// Takes note of a wrong token that `peer` has shown.
    pub fn note(&mut self, peer: &Peer, now: Tick) -> Verdict {
        let address = Key::of(peer);
        if let Some(known) = self.table.iter_mut().find(|known| known.address == address) {
            return known.note(now);
        }
        if self.table.len() == ADDRESSES_MAX {
            let silent = (0..ADDRESSES_MAX).min_by_key(|&place| self.table[place].seen);
            self.table.swap_remove(silent.expect("a table that is full is not empty"));
        }
        self.table.push(Attempts::new(address, now));
        self.table.last_mut().expect("one has just been added").note(now)
    }
}

impl Default for Guesses {
    fn default() -> Guesses {
        Guesses::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::tcp(address.parse().unwrap())
    }

    fn ms(milliseconds: u64) -> Tick {
        Tick::from_millis(milliseconds)
    }

    /// Notes `count` wrong tokens at one time and gives what came of the last.
    fn note(guesses: &mut Guesses, address: &str, now_ms: u64, count: usize) -> Verdict {
        let verdicts = (0..count).map(|_| guesses.note(&peer(address), ms(now_ms)));
        verdicts.last().expect("there is one at least")
    }

    #[test]
    fn the_tenth_in_a_minute_is_the_last_for_a_minute() {
        let mut guesses = Guesses::new();
        assert_eq!(note(&mut guesses, "192.0.2.1:1", 0, 9), Verdict::Counted);
        assert_eq!(note(&mut guesses, "192.0.2.1:2", 59_999, 1), Verdict::Last);
        let wait = |ms| Verdict::Wait(Duration::from_millis(ms));
        assert_eq!(note(&mut guesses, "192.0.2.1:3", 59_999, 5), wait(60_000));
        assert_eq!(note(&mut guesses, "192.0.2.1:3", 119_998, 50), wait(1));
        assert_eq!(note(&mut guesses, "192.0.2.1:3", 119_999, 9), Verdict::Counted);
        assert_eq!(note(&mut guesses, "192.0.2.1:3", 119_999, 1), Verdict::Last);
    }

    #[test]
    fn ten_that_are_spread_over_more_than_a_minute_are_let_be() {
        let mut guesses = Guesses::new();
        for second in 0..100 {
            let verdict = note(&mut guesses, "192.0.2.1:1", 6_667 * second, 1);
            assert_eq!(verdict, Verdict::Counted, "{second}");
        }
        // Nine of them are within the last minute, whenever that begins.
        assert_eq!(note(&mut guesses, "192.0.2.1:1", 6_667 * 99 + 1, 1), Verdict::Last);
    }

    #[test]
    fn addresses_are_counted_apart_and_v6_by_the_network() {
        let mut guesses = Guesses::new();
        assert_eq!(note(&mut guesses, "[2001:db8:1:2::1]:1", 0, 9), Verdict::Counted);
        assert_eq!(note(&mut guesses, "[2001:db8:1:3::1]:1", 0, 1), Verdict::Counted);
        assert_eq!(note(&mut guesses, "192.0.2.1:1", 0, 1), Verdict::Counted);
        assert_eq!(note(&mut guesses, "[2001:db8:1:2:3::9]:1", 0, 1), Verdict::Last);
    }

    #[test]
    fn loopback_and_unix_sockets_are_one_address() {
        let mut guesses = Guesses::new();
        assert_eq!(note(&mut guesses, "127.0.0.1:1", 0, 4), Verdict::Counted);
        assert_eq!(note(&mut guesses, "[::1]:1", 0, 5), Verdict::Counted);
        assert_eq!(guesses.note(&Peer::Unix, ms(0)), Verdict::Last);
    }

    #[test]
    fn a_table_that_is_full_forgets_who_has_been_silent_for_longest_and_does_not_grow() {
        let mut guesses = Guesses::new();
        let capacity = guesses.table.capacity();
        note(&mut guesses, "192.0.2.1:1", 0, 10);
        note(&mut guesses, "192.0.2.2:1", 1, 9);
        for address in 0..ADDRESSES_MAX as u32 - 1 {
            let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 + address);
            guesses.note(&Peer::tcp((ip, 1).into()), ms(2));
        }
        assert_eq!(note(&mut guesses, "192.0.2.2:1", 3, 1), Verdict::Last, "it is remembered");
        assert_eq!(note(&mut guesses, "192.0.2.1:1", 3, 1), Verdict::Counted, "it is forgotten");
        for address in 0..100_000u32 {
            let ip = std::net::Ipv4Addr::from_bits(0x0b00_0000 + address);
            guesses.note(&Peer::tcp((ip, 1).into()), ms(4));
        }
        assert_eq!((guesses.table.len(), guesses.table.capacity()), (ADDRESSES_MAX, capacity));
    }
}
