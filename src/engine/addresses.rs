//! How many connections each address has.
//!
//! Owns one count for each address that is connected now, in a table reserved at start for as many
//! as there are slots: it never grows. A v6 address counts by its /64, which is what one customer
//! is given (RFC 6177), so that nobody has 2^64 allowances; a v4 address mapped into v6 counts as
//! v4. Loopback and Unix sockets, where proxies come from, are not counted at all.

use std::collections::HashMap;
use std::net::IpAddr;

use super::net::Peer;

/// What counts as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// All of it.
    V4(u32),
    /// The first 64 bits.
    V6(u64),
}

impl Key {
    /// `None` for peers that are exempt.
    pub(crate) fn of(peer: &Peer) -> Option<Key> {
        match peer.ip()?.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V4(address) => Some(Key::V4(address.to_bits())),
            IpAddr::V6(address) => Some(Key::V6((address.to_bits() >> 64) as u64)),
        }
    }
}

/// The counts.
#[derive(Debug)]
pub(super) struct Addresses {
    counts: HashMap<Key, u32>,
}

impl Addresses {
    /// A table for at most `slots` connections. Twice the room: a hash table at its capacity may
    /// reallocate to get rid of the traces of what was removed.
    pub(super) fn new(slots: usize) -> Addresses {
        Addresses { counts: HashMap::with_capacity(2 * slots) }
    }

    /// Bytes that the table takes at most: it has a power of two of places, of which seven in eight
    /// are used, and a byte beside each.
    pub(super) fn memory_bytes(slots: usize) -> usize {
        let places = (2 * slots * 8 / 7 + 1).next_power_of_two().max(16);
        places * (size_of::<(Key, u32)>() + 1) + 16
    }

    /// Counts a connection; gives how many its address has now, 0 if it is exempt.
    pub(super) fn add(&mut self, peer: &Peer) -> usize {
        let Some(key) = Key::of(peer) else { return 0 };
        let count = self.counts.entry(key).or_insert(0);
        *count += 1;
        *count as usize
    }

    /// Takes a connection off its address's count.
    ///
    /// # Panics
    /// If it was not counted.
    pub(super) fn remove(&mut self, peer: &Peer) {
        let Some(key) = Key::of(peer) else { return };
        let count = self.counts.get_mut(&key).expect("a connection was counted when it came");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&key);
        }
    }

    /// Connections counted, for the audit.
    pub(super) fn total(&self) -> usize {
        self.counts.values().map(|count| *count as usize).sum()
    }

    /// Whether connections of this peer are counted.
    pub(super) fn counts(peer: &Peer) -> bool {
        Key::of(peer).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::Tcp(address.parse().unwrap())
    }

    #[test]
    fn an_address_counts_whatever_its_ports_and_forgets_at_zero() {
        let mut addresses = Addresses::new(4);
        assert_eq!(addresses.add(&peer("192.0.2.1:1")), 1);
        assert_eq!(addresses.add(&peer("192.0.2.1:2")), 2);
        assert_eq!(addresses.add(&peer("192.0.2.2:1")), 1);
        assert_eq!(addresses.add(&peer("[::ffff:192.0.2.1]:9")), 3);
        assert_eq!(addresses.total(), 4);
        for _ in 0..3 {
            addresses.remove(&peer("192.0.2.1:1"));
        }
        addresses.remove(&peer("192.0.2.2:1"));
        assert_eq!(addresses.total(), 0);
        assert!(addresses.counts.is_empty());
    }

    #[test]
    fn a_v6_address_counts_by_its_network() {
        let mut addresses = Addresses::new(4);
        assert_eq!(addresses.add(&peer("[2001:db8:1:2::1]:1")), 1);
        assert_eq!(addresses.add(&peer("[2001:db8:1:2:ffff::9]:1")), 2);
        assert_eq!(addresses.add(&peer("[2001:db8:1:3::1]:1")), 1);
    }

    #[test]
    fn loopback_and_unix_sockets_are_exempt() {
        let mut addresses = Addresses::new(4);
        for exempt in [peer("127.0.0.1:1"), peer("127.9.9.9:1"), peer("[::1]:1"), Peer::Unix] {
            assert_eq!(addresses.add(&exempt), 0);
            addresses.remove(&exempt);
        }
        assert_eq!(addresses.add(&peer("[::ffff:127.0.0.1]:1")), 0);
    }

    #[test]
    fn cycling_through_many_addresses_does_not_grow_the_table() {
        let mut addresses = Addresses::new(8);
        let capacity = addresses.counts.capacity();
        for address in 0..100_000u32 {
            let peer = Peer::Tcp((std::net::Ipv4Addr::from_bits(0x0a00_0000 + address), 1).into());
            addresses.add(&peer);
            if address >= 8 {
                let oldest = std::net::Ipv4Addr::from_bits(0x0a00_0000 + address - 8);
                addresses.remove(&Peer::Tcp((oldest, 1).into()));
            }
        }
        assert_eq!(addresses.counts.capacity(), capacity);
    }
}
