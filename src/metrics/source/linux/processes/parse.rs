//! The files of one process (Documentation/filesystems/proc.rst).

use super::super::text;

/// Set in the flags of a kernel thread (PF_KTHREAD in include/linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What /proc/PID/stat tells, as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// What is between the outer parentheses.
    pub name: &'a [u8],
    pub state: u8,
    pub is_kernel: bool,
    /// The low bits of how many pages children that were waited for have had to be given: it rises
    /// with each of them, for none runs without.
    pub reaped: u32,
    /// User and system time, in clock ticks.
    pub ticks: u64,
    pub threads: u32,
    /// Since boot, in clock ticks.
    pub start: u64,
    /// Resident memory. Approximate: the kernel's counters are of each processor, and it sums them
    /// up as they stand.
    pub rss_pages: u64,
}

/// Reads the line. The name may hold spaces and parentheses: it ends with the last one.
pub fn stat(line: &[u8]) -> Option<Stat<'_>> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')').filter(|close| *close > open)?;
    let mut fields = text::words(&line[close + 1..]);
    let state = fields.next().filter(|state| state.len() == 1 && state[0].is_ascii_graphic())?[0];
    // Field 9, then 11, 14 and 15, 20, 22 and 24; the first is the process's number.
    let flags = fields.nth(5).and_then(text::number)?;
    let reaped = fields.nth(1).and_then(text::number)?;
    let user = fields.nth(2).and_then(text::number)?;
    let system = fields.next().and_then(text::number)?;
    let threads = fields.nth(4).and_then(text::number)?;
    let start = fields.nth(1).and_then(text::number)?;
    // May be a little below zero while the counters are being summed up.
    let rss_pages = fields.nth(1).map(|pages| text::number(pages).unwrap_or(0))?;
    Some(Stat {
        name: &line[open + 1..close],
        state,
        is_kernel: flags & KERNEL_THREAD != 0,
        reaped: reaped as u32,
        ticks: user.saturating_add(system),
        threads: u32::try_from(threads).unwrap_or(u32::MAX),
        start,
        rss_pages,
    })
}

/// Bytes read from and written to storage, of /proc/PID/io. What was written to memory and never
/// had to go on to storage counts as written.
pub fn traffic(bytes: &[u8]) -> Option<[u64; 2]> {
    Some([text::value_of(bytes, b"read_bytes:")?, text::value_of(bytes, b"write_bytes:")?])
}

/// A command line as one text: its arguments end with NUL, which become spaces. A program that
/// writes over its arguments leaves any number of them at the end.
pub fn command(bytes: &mut [u8]) -> &[u8] {
    for byte in bytes.iter_mut().filter(|byte| **byte == 0) {
        *byte = b' ';
    }
    bytes.trim_ascii_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &[u8]) -> Vec<u8> {
        let rest = b") S 1 7 7 0 -1 4194560 30 0 5 0 125 75 0 0 20 0 3 0 4711 9000000 512 184467";
        [b"7 (", name, rest].concat()
    }

    #[test]
    fn every_name_is_read_whole() {
        for name in
            [&b"sleep"[..], b"(sd-pam)", b"a) R 1 (b", b"Web Content", b"\xff\n(", b"", b")"]
        {
            let line = line(name);
            let stat = stat(&line).unwrap();
            assert_eq!((stat.name, stat.state, stat.is_kernel), (name, b'S', false));
            assert_eq!((stat.ticks, stat.threads), (200, 3));
            assert_eq!((stat.start, stat.rss_pages), (4711, 512));
        }
    }

    #[test]
    fn a_kernel_thread_is_told_by_its_flag() {
        let line = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 1 0 0 20 0 1 0 3 0 0 1";
        assert!(stat(line).unwrap().is_kernel);
    }

    #[test]
    fn a_line_that_is_cut_off_is_no_process() {
        let line = line(b"a) (b");
        let whole = line.iter().rposition(|byte| *byte == b' ').unwrap();
        let pages = line[..whole].iter().rposition(|byte| *byte == b' ').unwrap() + 1;
        for end in 0..whole {
            let cut = stat(&line[..end]);
            assert!(cut.is_none() || end > pages, "{:?}", cut);
        }
    }

    #[test]
    fn memory_below_zero_is_none() {
        let line = b"2 (x) S 0 0 0 0 -1 0 0 0 0 0 0 1 0 0 20 0 1 0 3 0 -5 1";
        assert_eq!(stat(line).unwrap().rss_pages, 0);
    }

    #[test]
    fn traffic_with_storage_has_both_counters_or_none() {
        let file = b"rchar: 5\nwchar: 6\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\n\
            cancelled_write_bytes: 1\n";
        assert_eq!(traffic(file), Some([4096, 8192]));
        assert_eq!(traffic(b"read_bytes: 1\nwrite_bytes: -1\n"), None);
        assert_eq!(traffic(b""), None);
    }

    #[test]
    fn arguments_are_parted_by_spaces() {
        assert_eq!(command(&mut b"sh\0-c\0echo a\0".to_vec()), b"sh -c echo a");
        assert_eq!(command(&mut b"title   \0\0\0".to_vec()), b"title");
        assert_eq!(command(&mut b"\0".to_vec()), b"");
    }
}
