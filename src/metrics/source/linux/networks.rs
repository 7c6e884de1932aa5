//! /proc/net/dev (Documentation/filesystems/proc.rst, section 1.4), and each interface's state from
//! /sys/class/net (Documentation/ABI/testing/sysfs-class-net).

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::HeldFile;
use super::text;
use crate::metrics::rates::{Counters, Keyed};
use crate::metrics::snapshot::Network;

/// Interfaces that are told apart.
const NETWORKS_MAX: usize = 64;

/// How often an interface is asked whether it has a link.
const STATE_EVERY: Duration = Duration::from_secs(5);

/// Over how many ticks the asking is spread, at the usual second a tick.
const STATE_TICKS: u32 = 5;

/// Bytes, packets, errors and drops, received and then sent.
type Columns = [Option<u64>; 8];

struct Known {
    counters: Counters<8>,
    state: HeldFile,
    up: Option<bool>,
    ask_at: Option<Duration>,
}

/// Reads /proc/net/dev.
pub struct Networks {
    pub(super) file: HeldFile,
    class: PathBuf,
    known: Keyed<Known>,
    /// For the small files of states: the other buffer still holds the listing.
    buffer: Vec<u8>,
}

impl Networks {
    pub fn new(proc: &Path, sys: &Path) -> Networks {
        Networks {
            file: HeldFile::of_lines(proc.join("net/dev")),
            class: sys.join("class/net"),
            known: Keyed::with_limit(NETWORKS_MAX),
            buffer: Vec::new(),
        }
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, networks: &mut Vec<Network>) {
        let mut count = 0;
        self.known.begin();
        let bytes = self.file.read(now, buffer).unwrap_or_default();
        for line in text::lines(bytes) {
            let Some((name, columns)) = parse(line).filter(|(name, _)| *name != "lo") else {
                continue;
            };
            let class = &self.class;
            let known = self.known.next(name, || Known {
                counters: Counters::default(),
                state: HeldFile::of_one_record(class.join(name).join("operstate")).reopened(),
                up: None,
                ask_at: None,
            });
            let Some(known) = known else { break };
            if known.ask_at.is_none_or(|ask_at| now >= ask_at) {
                // All are asked at first, and then a few at each tick.
                let spread = known.ask_at.map_or(count as u32 % STATE_TICKS, |_| 0);
                known.ask_at = Some(now + STATE_EVERY - spread * (STATE_EVERY / STATE_TICKS));
                known.up = known.state.read(now, &mut self.buffer).and_then(is_up);
            }
            let network = Network::at(networks, count, name);
            network.up = known.up;
            fill(network, &mut known.counters, now, columns);
            count += 1;
        }
        self.known.finish();
        networks.truncate(count);
    }
}

/// The name stands before the colon; numbers may follow it without a space.
pub(super) fn split(line: &[u8]) -> Option<(&str, impl Iterator<Item = Option<u64>>)> {
    let colon = line.iter().rposition(|byte| *byte == b':')?;
    let name = str::from_utf8(line[..colon].trim_ascii()).ok()?;
    Some((name, text::words(&line[colon + 1..]).map(text::number)))
}

fn parse(line: &[u8]) -> Option<(&str, Columns)> {
    let (name, mut numbers) = split(line)?;
    let mut column = |skipped: usize| numbers.nth(skipped).flatten();
    // Received: bytes packets errs drop fifo frame compressed multicast; then the same of sent.
    let columns =
        [column(0), column(0), column(0), column(0), column(4), column(0), column(0), column(0)];
    Some((name, columns)).filter(|(name, columns)| !name.is_empty() && columns[0].is_some())
}

/// What an interface says of itself (Documentation/ABI/testing/sysfs-class-net): a driver that
/// cannot tell says "unknown", and then traffic would be the only sign.
fn is_up(state: &[u8]) -> Option<bool> {
    match state.trim_ascii() {
        b"up" => Some(true),
        b"down" | b"lowerlayerdown" | b"notpresent" | b"dormant" => Some(false),
        _ => None,
    }
}

fn fill(network: &mut Network, counters: &mut Counters<8>, now: Duration, columns: Columns) {
    let deltas = counters.advance(now, columns);
    network.rx_bytes_per_s = deltas.per_second(0);
    network.rx_packets_per_s = deltas.per_second(1);
    network.rx_errors_per_s = deltas.per_second(2);
    network.rx_dropped_per_s = deltas.per_second(3);
    network.tx_bytes_per_s = deltas.per_second(4);
    network.tx_packets_per_s = deltas.per_second(5);
    network.tx_errors_per_s = deltas.per_second(6);
    network.tx_dropped_per_s = deltas.per_second(7);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_sixteen_columns_behind_its_name() {
        let line = b"  eth0: 100 2 3 4 5 6 7 8 900 10 11 12 13 14 15 16";
        let expected = [100, 2, 3, 4, 900, 10, 11, 12].map(Some);
        assert_eq!(parse(line), Some(("eth0", expected)));
        let tight = b"eth0:100 2 3 4 5 6 7 8 900 10 11 12 13 14 15 16";
        assert_eq!(parse(tight), Some(("eth0", expected)));
    }

    #[test]
    fn headings_are_no_interfaces() {
        assert_eq!(parse(b"Inter-|   Receive                                 |  Transmit"), None);
        assert_eq!(parse(b" face |bytes    packets errs drop fifo|bytes    packets"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn an_interface_that_cannot_tell_is_neither_up_nor_down() {
        assert_eq!(is_up(b"up\n"), Some(true));
        assert_eq!(is_up(b"down\n"), Some(false));
        assert_eq!(is_up(b"unknown\n"), None);
    }
}
