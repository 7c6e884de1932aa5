//! The directory of processes, and the files in it, without allocation.
//!
//! Owns the descriptor of /proc while a scan is under way, and the two buffers that everything is
//! read into. Each file is opened relative to the directory, read once and closed: the kernel makes
//! these files whole with the first read. Counts what it opens.

use std::io::Write as _;
use std::mem::MaybeUninit;
use std::path::PathBuf;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, openat, statat};
use rustix::io::{Errno, read};

/// Bytes of a listing: some 80 processes. The kernel takes about a microsecond for each, and a
/// listing cannot be broken off.
const LISTING_BYTES: usize = 2048;

/// Bytes of a file. A stat line has at most 63 bytes of name and 51 numbers, of which the first 23
/// are wanted; a command line is cut off anyway.
const FILE_BYTES: usize = 1024;

/// Processes in a listing: an entry has at least 24 bytes.
pub const LISTED_MAX: usize = LISTING_BYTES / 24;

/// /proc, and what is read of it.
pub struct Files {
    path: PathBuf,
    directory: Option<OwnedFd>,
    listing: Box<[MaybeUninit<u8>; LISTING_BYTES]>,
    bytes: Box<[u8; FILE_BYTES]>,
    /// Files opened, and looked at, so far.
    pub opened: u64,
}

impl Files {
    /// The processes under `path`.
    pub fn new(path: PathBuf) -> Files {
        Files {
            path,
            directory: None,
            listing: Box::new([MaybeUninit::uninit(); LISTING_BYTES]),
            bytes: Box::new([0; FILE_BYTES]),
            opened: 0,
        }
    }

    /// Opens the directory, at its beginning.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(&mut self) -> Result<(), Errno> {
        self.close();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.directory = Some(openat(CWD, &self.path, flags, Mode::empty())?);
        Ok(())
    }

    /// Closes the directory.
    pub fn close(&mut self) {
        self.directory = None;
    }

    /// Lists the next processes into `pids`, at most [`LISTED_MAX`]; false at the end.
    ///
    /// # Errors
    /// Those of the system.
    pub fn list(&mut self, pids: &mut Vec<u32>) -> Result<bool, Errno> {
        let Some(directory) = &self.directory else { return Ok(false) };
        let mut entries = RawDir::new(directory, &mut self.listing[..]);
        let mut has_any = false;
        while let Some(entry) = entries.next() {
            has_any = true;
            pids.extend(number(entry?.file_name().to_bytes()));
            // One more would ask the kernel again.
            if entries.is_buffer_empty() {
                break;
            }
        }
        Ok(has_any)
    }

    /// The beginning of a file of a process; `None` when it cannot be had, or is gone.
    pub fn read(&mut self, pid: u32, name: &str) -> Option<&mut [u8]> {
        let mut path = [0; 32];
        let path = joined(&mut path, pid, name)?;
        self.read_at(path)
    }

    /// The beginning of a file of the directory itself.
    pub fn read_at(&mut self, path: &[u8]) -> Option<&mut [u8]> {
        self.opened += 1;
        let directory = self.directory.as_ref()?;
        let file = openat(directory, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let length = read(&file, &mut self.bytes[..]).ok()?;
        Some(&mut self.bytes[..length])
    }

    /// Who runs a process: the owner of its directory is the effective user, whatever else of it is
    /// hidden (task_dump_owner in fs/proc/base.c says so), and costs less than the status file.
    pub fn owner(&mut self, pid: u32) -> Option<u32> {
        self.opened += 1;
        let mut path = [0; 32];
        let path = joined(&mut path, pid, "")?;
        Some(statat(self.directory.as_ref()?, path, AtFlags::empty()).ok()?.st_uid)
    }
}

/// A name that is a number as the kernel writes one.
fn number(name: &[u8]) -> Option<u32> {
    let is_first = name.first().is_some_and(|first| (b'1'..=b'9').contains(first));
    super::super::text::number(name).filter(|_| is_first)?.try_into().ok()
}

fn joined<'a>(path: &'a mut [u8; 32], pid: u32, name: &str) -> Option<&'a [u8]> {
    let mut rest = &mut path[..];
    write!(rest, "{pid}/{name}").ok()?;
    let length = 32 - rest.len();
    Some(&path[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_a_plain_number() {
        assert_eq!(number(b"4194304"), Some(4_194_304));
        for name in [&b"self"[..], b"", b"0", b"007", b"1x", b"99999999999", b".", b"-1"] {
            assert_eq!(number(name), None);
        }
    }

    #[test]
    fn a_path_is_the_number_and_the_name() {
        assert_eq!(joined(&mut [0; 32], u32::MAX, "cmdline"), Some(&b"4294967295/cmdline"[..]));
        assert_eq!(joined(&mut [0; 32], 1, &"x".repeat(31)), None);
    }
}
