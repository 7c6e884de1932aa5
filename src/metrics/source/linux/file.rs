//! A file of /proc or /sys that is read again and again.
//!
//! Knows what proves the end of each file, so that most need one call a reading. The kernel makes
//! these files by seq_file (Documentation/filesystems/seq_file.rst): it collects whole records, as
//! many as fit, in a buffer of a page, gives what was asked for of them, and keeps the rest for the
//! next read. So a read that gives less than was asked for has emptied that buffer, which proves
//! the end of a file that is one record; of a file of many it proves that the next one did not fit.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::outage::Outage;

/// What is read at first, and the least that a page has.
const BYTES_MIN: usize = 4096;

/// The most that is read of one file. /proc/stat of 1,024 cores has about 120 KB.
const BYTES_MAX: usize = 1 << 20;

/// More than a record has where records are counted upon to be short. The longest are the lines of
/// /proc/net/dev: a name of 15 bytes and 16 columns of at most 21. The records of /proc/vmstat,
/// net/arp, net/stat/nf_conntrack and net/softnet_stat are a line as well. A record of
/// /proc/diskstats is not: it is a disk with all its partitions, 3 KB of them where there are 16.
const RECORD_BYTES_MAX: usize = 1024;

/// What proves that nothing follows, beside a read that gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A read that gives less than was asked for.
    Short,
    /// One that gives so little that any further record would have been given as well.
    WithRoom,
    /// Nothing: records can be longer than a page.
    Empty,
}

/// One file of /proc or /sys.
pub struct HeldFile {
    path: PathBuf,
    file: Option<File>,
    end: End,
    is_held: bool,
    outage: Outage,
}

impl HeldFile {
    /// A file of records of any length; each reading ends with a read that gives nothing.
    pub fn new(path: PathBuf) -> HeldFile {
        HeldFile { path, file: None, end: End::Empty, is_held: true, outage: Outage::default() }
    }

    /// A file that the kernel makes as a whole (`single_open`, sysctl, sysfs and control groups).
    pub fn of_one_record(path: PathBuf) -> HeldFile {
        HeldFile { end: End::Short, ..HeldFile::new(path) }
    }

    /// A file of which each record is a line, of at most [`RECORD_BYTES_MAX`].
    pub fn of_lines(path: PathBuf) -> HeldFile {
        HeldFile { end: End::WithRoom, ..HeldFile::new(path) }
    }

    /// Opens it anew for each reading: for files that are read now and then, or that there can be
    /// many of, such as one an interface. The descriptors of a process are counted.
    pub fn reopened(self) -> HeldFile {
        HeldFile { is_held: false, ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the host does not have it, as far as was seen.
    pub fn is_absent(&self) -> bool {
        self.outage.is_absence()
    }

    /// The whole content, at the front of `buffer`, which grows to the largest file and keeps its
    /// length: filling it with zeros again for each file would cost more than all the parsing.
    /// `None` when the file cannot be had now.
    pub fn read<'b>(&mut self, now: Duration, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        if !self.outage.is_over(now) {
            return None;
        }
        let result = self.try_read(buffer);
        if !self.is_held || result.is_err() {
            self.file = None;
        }
        match result {
            Ok(length) => {
                self.outage.succeed(self.path.display());
                Some(&buffer[..length])
            }
            Err(error) => {
                self.outage.fail(now, self.path.display(), &error);
                None
            }
        }
    }

    fn try_read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        read_to_end(|into, offset| file.read_at(into, offset), self.end, buffer)
    }
}

/// Reads a file that the kernel makes as a whole and gives its length: for one that is wanted once.
/// What cannot be read is told by whoever asks.
///
/// # Errors
/// When it cannot be opened or read.
pub fn read_once(path: &Path, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let file = File::open(path)?;
    read_to_end(|into, offset| file.read_at(into, offset), End::Short, buffer)
}

/// Reads until the end and gives the length.
fn read_to_end(
    mut read_at: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    end: End,
    buffer: &mut Vec<u8>,
) -> io::Result<usize> {
    let mut length = 0;
    loop {
        if length == buffer.len() {
            if length >= BYTES_MAX {
                return Err(io::Error::other("the file is larger than any that is known"));
            }
            buffer.resize((2 * length).max(BYTES_MIN), 0);
        }
        let wanted = buffer.len() - length;
        let read = match read_at(&mut buffer[length..], length as u64) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += read;
        let is_end = match end {
            End::Short => read < wanted,
            End::WithRoom => read < wanted && read + RECORD_BYTES_MAX <= BYTES_MIN,
            End::Empty => false,
        };
        if read == 0 || is_end {
            return Ok(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::seq_file::SeqFile;
    use super::*;

    impl HeldFile {
        /// Whether a reading as this file is read would get all that the kernel has.
        pub fn would_read_whole(&self, mut kernel: SeqFile) -> bool {
            let mut buffer = Vec::new();
            let length = read_to_end(|into, _| Ok(kernel.read(into)), self.end, &mut buffer);
            buffer[..length.unwrap()] == kernel.records.concat()
        }
    }

    fn records(lengths: &[usize]) -> Vec<Vec<u8>> {
        let letters = (b'a'..=b'z').cycle();
        lengths.iter().zip(letters).map(|(length, letter)| vec![letter; *length]).collect()
    }

    fn check(lengths: &[usize], end: End, buffer: &mut Vec<u8>) -> usize {
        let mut file = SeqFile::new(records(lengths));
        let length = read_to_end(|into, _| Ok(file.read(into)), end, buffer).unwrap();
        assert!(buffer[..length] == file.records.concat(), "{lengths:?} is cut off");
        file.reads
    }

    proptest! {
        #[test]
        fn a_file_that_comes_in_pieces_is_read_whole(
            lines in prop::collection::vec(1..=RECORD_BYTES_MAX, 0..120),
            any in prop::collection::vec(1..9000usize, 0..20),
            one in 0..60_000usize,
            buffer_bytes in 0..20_000usize,
        ) {
            let mut buffer = vec![0; buffer_bytes];
            check(&lines, End::WithRoom, &mut buffer);
            check(&any, End::Empty, &mut buffer);
            check(&[one], End::Short, &mut buffer);
        }
    }

    #[test]
    fn a_small_file_takes_one_read_whatever_it_is_made_of() {
        let mut buffer = Vec::new();
        assert_eq!(check(&[90; 30], End::WithRoom, &mut buffer), 1);
        assert_eq!(check(&[4000], End::Short, &mut buffer), 1);
        assert_eq!(check(&[90; 30], End::Empty, &mut buffer), 2);
    }

    #[test]
    fn a_long_file_of_one_record_takes_one_read_once_the_buffer_has_grown() {
        let mut buffer = Vec::new();
        check(&[20_000], End::Short, &mut buffer);
        assert_eq!(check(&[20_000], End::Short, &mut buffer), 1);
    }

    #[test]
    fn a_reader_that_gives_a_few_bytes_at_a_time_is_read_to_its_end() {
        let content: Vec<u8> = (0..20_000).map(|index| index as u8).collect();
        let mut buffer = Vec::new();
        let pieces = |into: &mut [u8], offset: u64| {
            let rest = &content[offset as usize..];
            let length = rest.len().min(into.len()).min(777);
            into[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        };
        let length = read_to_end(pieces, End::Empty, &mut buffer).unwrap();
        assert!(buffer[..length] == content);
    }

    #[test]
    fn a_file_without_an_end_is_given_up() {
        let mut buffer = Vec::new();
        for end in [End::Empty, End::WithRoom, End::Short] {
            assert!(read_to_end(|into, _| Ok(into.len()), end, &mut buffer).is_err());
        }
    }

    #[test]
    fn a_missing_file_is_tried_again_later() {
        let path = std::env::temp_dir().join(format!("vitald-held-{}", std::process::id()));
        let (mut file, mut buffer) = (HeldFile::new(path.clone()), Vec::new());
        assert_eq!(file.read(Duration::ZERO, &mut buffer), None);
        assert!(file.is_absent());
        std::fs::write(&path, "late").unwrap();
        assert_eq!(file.read(Duration::from_secs(29), &mut buffer), None);
        assert_eq!(file.read(Duration::from_secs(30), &mut buffer), Some(&b"late"[..]));
        assert!(!file.is_absent());
        std::fs::remove_file(path).unwrap();
    }
}
