//! Sockets and open files of the host.
//!
//! Sources: `CurrEstab` of /proc/net/snmp (RFC 4022, tcpCurrEstab), /proc/net/sockstat and
//! sockstat6, /proc/net/tcp and tcp6 (Documentation/networking/proc_net_tcp.rst), and
//! /proc/sys/fs/file-nr (Documentation/admin-guide/sysctl/fs.rst). Those of the network are of the
//! network namespace that vitald runs in.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::HeldFile;
use super::outage::Outage;
use super::text;
use crate::metrics::snapshot;

/// The most that is read of a list of connections: 1,700 sockets that listen, each a line of 150
/// bytes. On a host with more the number stays unknown.
const LISTENERS_BYTES_MAX: u64 = 256 << 10;

/// What is read of it at a time. The kernel makes no more lines than were asked for, and where few
/// are connected it looks through its whole table for the next: 1.0 to 1.6 ms were measured, in one
/// call that cannot be divided. Once a minute for each family that is borne. It is less
/// than a page by more than a line, so that a read that gives less has come to the end.
const PIECE_BYTES: usize = 1200;

/// The state in which a socket listens (TCP_LISTEN of include/net/tcp_states.h).
const LISTEN: &[u8] = b"0A";

/// From this on a limit is none: systemd sets the largest number there is, and beyond it a double
/// no longer holds every whole number.
const HANDLES_UNLIMITED: u64 = 1 << 53;

/// Reads sockets and open files.
pub struct Sockets {
    pub(super) statistics: HeldFile,
    pub(super) sockstat: HeldFile,
    pub(super) sockstat6: HeldFile,
    pub(super) handles: HeldFile,
    listeners: [Listeners; 2],
    /// Which of the two is counted next.
    turn: usize,
}

impl Sockets {
    pub fn new(proc: &Path) -> Sockets {
        let held = |name: &str| HeldFile::of_one_record(proc.join(name));
        Sockets {
            statistics: held("net/snmp"),
            sockstat: held("net/sockstat"),
            sockstat6: held("net/sockstat6"),
            handles: held("sys/fs/file-nr"),
            listeners: ["net/tcp", "net/tcp6"].map(|name| Listeners::new(proc.join(name))),
            turn: 0,
        }
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, into: &mut snapshot::Sockets) {
        let statistics = self.statistics.read(now, buffer);
        into.tcp_established = statistics.and_then(established);
        let (mut udp, mut time_wait) = (None, None);
        if let Some(bytes) = self.sockstat.read(now, buffer) {
            udp = text::word_after(bytes, b"UDP:", b"inuse").and_then(text::number);
            time_wait = text::word_after(bytes, b"TCP:", b"tw").and_then(text::number);
        }
        let udp6 = self.sockstat6.read(now, buffer);
        let udp6 = udp6.and_then(|bytes| text::word_after(bytes, b"UDP6:", b"inuse"));
        // A host without IPv6 has no such file, which is no reason not to know the rest.
        let udp6 = udp6.and_then(text::number).or(self.sockstat6.is_absent().then_some(0));
        into.tcp_time_wait = time_wait.map(|count| count as f64);
        into.udp = udp.zip(udp6).map(|(udp, udp6)| udp as f64 + udp6 as f64);
        let handles = self.handles.read(now, buffer).map(handles);
        (into.file_handles, into.file_handles_max) = handles.unwrap_or_default();
    }

    /// Counts the sockets that listen, of one family at a time and the other one the next time;
    /// both at first.
    pub fn read_listeners(
        &mut self,
        now: Duration,
        buffer: &mut Vec<u8>,
        into: &mut snapshot::Sockets,
    ) {
        self.listeners[self.turn].count(now, buffer);
        self.turn = 1 - self.turn;
        if self.listeners[self.turn].is_new {
            self.listeners[self.turn].count(now, buffer);
        }
        let [four, six] = &self.listeners;
        let six = six.counted.or(six.outage.is_absence().then_some(0));
        into.tcp_listen = four.counted.zip(six).map(|(four, six)| f64::from(four + six));
    }
}

/// The column of /proc/net/snmp's second line of TCP that its first one calls `CurrEstab`: all
/// connections of both families that are established or that the peer has closed its half of.
fn established(bytes: &[u8]) -> Option<f64> {
    let mut lines = text::lines(bytes).filter(|line| line.starts_with(b"Tcp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let column = text::words(names).position(|name| name == b"CurrEstab")?;
    text::words(values).nth(column).and_then(text::number).map(|count| count as f64)
}

/// Handles in use and the most that can be: allocated, allocated and unused (0 since Linux 2.6),
/// the most.
fn handles(bytes: &[u8]) -> (Option<f64>, Option<f64>) {
    let mut words = text::words(bytes).map(text::number);
    let (allocated, unused, most) =
        (words.next().flatten(), words.next().flatten(), words.next().flatten());
    let used = allocated.zip(unused).map(|(allocated, unused)| allocated.saturating_sub(unused));
    let most = most.filter(|most| *most < HANDLES_UNLIMITED);
    (used.map(|used| used as f64), most.map(|most| most as f64))
}

/// One list of connections, of which the first part is of interest: the kernel lists the sockets
/// that listen before all others.
struct Listeners {
    path: PathBuf,
    outage: Outage,
    counted: Option<u32>,
    is_new: bool,
}

impl Listeners {
    fn new(path: PathBuf) -> Listeners {
        Listeners { path, outage: Outage::default(), counted: None, is_new: true }
    }

    fn count(&mut self, now: Duration, buffer: &mut Vec<u8>) {
        self.is_new = false;
        self.counted = None;
        if !self.outage.is_over(now) {
            return;
        }
        let counted = File::open(&self.path)
            .and_then(|file| count_listeners(|into, offset| file.read_at(into, offset), buffer));
        match counted {
            Ok(counted) => {
                self.outage.succeed(self.path.display());
                self.counted = Some(counted);
            }
            Err(error) => self.outage.fail(now, self.path.display(), &error),
        }
    }
}

/// Counts lines until one is of another state. A line can come in two pieces.
fn count_listeners(
    mut read_at: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    buffer: &mut Vec<u8>,
) -> io::Result<u32> {
    if buffer.len() < 2 * PIECE_BYTES {
        buffer.resize(2 * PIECE_BYTES, 0);
    }
    let (mut counted, mut offset, mut held) = (0, 0, 0);
    let mut is_heading = true;
    while offset < LISTENERS_BYTES_MAX {
        let read = match read_at(&mut buffer[held..held + PIECE_BYTES], offset) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        offset += read as u64;
        let bytes = &buffer[..held + read];
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in text::lines(&bytes[..whole]).filter(|line| !line.is_empty()) {
            // Number, local address, remote address, state.
            let is_listening = text::words(line).nth(3) == Some(LISTEN);
            if !is_heading && !is_listening {
                return Ok(counted);
            }
            counted += u32::from(!is_heading);
            is_heading = false;
        }
        if read < PIECE_BYTES {
            return Ok(counted);
        }
        held = bytes.len() - whole;
        if held >= PIECE_BYTES {
            return Err(io::Error::other("a line is longer than any that is known"));
        }
        buffer.copy_within(whole..whole + held, 0);
    }
    Err(io::Error::other("more sockets listen than are counted"))
}

#[cfg(test)]
mod tests {
    use super::super::seq_file::SeqFile;
    use super::*;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n";

    fn line(number: usize, state: &str) -> String {
        let line = format!("{number:4}: 0100007F:1F90 00000000:0000 {state} 00000000:00000000");
        format!("{line:149}\n")
    }

    /// Counts as the kernel gives the lines, and says in how many reads.
    fn count(lines: &[String]) -> (io::Result<u32>, usize) {
        let records = lines.iter().map(|line| line.clone().into_bytes()).collect();
        let mut file = SeqFile::new(records);
        let counted = count_listeners(|into, _| Ok(file.read(into)), &mut Vec::new());
        (counted, file.reads)
    }

    #[test]
    fn sockets_are_counted_until_one_does_not_listen() {
        for listening in [0, 1, 6, 7, 8, 9, 100, 1000] {
            let mut lines = vec![HEADING.to_owned()];
            lines.extend((0..listening).map(|number| line(number, "0A")));
            assert_eq!(count(&lines).0.unwrap(), listening as u32);
            lines.push(line(listening, "01"));
            lines.push(line(listening + 1, "0A"));
            assert_eq!(count(&lines).0.unwrap(), listening as u32);
        }
        assert_eq!(count(&[]).0.unwrap(), 0);
    }

    #[test]
    fn a_short_list_takes_one_read() {
        let lines: Vec<_> = [HEADING.to_owned()].into_iter().chain([line(0, "0A")]).collect();
        assert_eq!(count(&lines).1, 1);
    }

    #[test]
    fn a_list_beyond_the_limit_is_unknown() {
        let lines: Vec<_> = (0..3000).map(|number| line(number, "0A")).collect();
        assert!(count(&lines).0.is_err());
        assert!(count(&["x".repeat(9000)]).0.is_err());
    }

    #[test]
    fn a_column_is_found_by_its_name() {
        let text = b"Ip: Forwarding\nIp: 1\nTcp: A CurrEstab B\nTcp: 1 7 -1\n";
        assert_eq!(established(text), Some(7.0));
        assert_eq!(established(b"Tcp: A B\nTcp: 1 2\n"), None);
        assert_eq!(established(b"Tcp: CurrEstab\n"), None);
    }

    #[test]
    fn a_limit_that_is_none_is_unknown() {
        assert_eq!(handles(b"657\t0\t2466170\n"), (Some(657.0), Some(2466170.0)));
        assert_eq!(handles(b"657 57 9223372036854775807\n"), (Some(600.0), None));
        assert_eq!(handles(b""), (None, None));
    }
}
