//! Where the bytes of a history file are: a file, or what a test puts in its place.
//!
//! Owns opening and locking. Promises: one call is one write, without fsync, which on a memory card
//! may take seconds; a file is opened only if no other process has it. May import: nothing.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// Bytes by position.
pub(super) trait Medium: fmt::Debug + Send {
    /// Fills `bytes` from `offset` on; zeros stand for what is beyond the end.
    fn read_at(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes `bytes` at `offset`, in one call.
    ///
    /// # Errors
    /// Also when only some were written.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// What has happened to it, if it is not at `path` any more or has less than `bytes`.
    fn amiss(&self, path: &Path, bytes: u64) -> Option<&'static str>;
}

impl Medium for File {
    fn read_at(&mut self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match read_some(self, bytes, offset) {
                Ok(0) => {
                    bytes.fill(0);
                    break;
                }
                Ok(count) => {
                    bytes = &mut bytes[count..];
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let count = write_some(self, bytes, offset)?;
        if count < bytes.len() {
            let reason = format!("only {count} of {} bytes were written", bytes.len());
            return Err(io::Error::new(io::ErrorKind::WriteZero, reason));
        }
        Ok(())
    }

    fn amiss(&self, path: &Path, bytes: u64) -> Option<&'static str> {
        if is_at(self, path).is_ok_and(|is_at| !is_at) {
            return Some("was removed or replaced");
        }
        let is_cut = self.metadata().is_ok_and(|own| own.len() < bytes);
        is_cut.then_some("was cut")
    }
}

/// Why a file cannot be had.
pub(super) enum Refusal {
    Locked,
    NotAFile,
    Failed(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Failed(error)
    }
}

/// Opens the file at `path`, an empty one if there is none, and locks it for this process until it
/// is dropped.
pub(super) fn open_locked(path: &Path) -> Result<File, Refusal> {
    // Whoever sets the file aside between our opening and locking it leaves us with the old one.
    for _ in 0..8 {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(Refusal::NotAFile);
        }
        match file.try_lock() {
            Ok(()) if is_at(&file, path)? => return Ok(file),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Refusal::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Err(Refusal::Locked)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let own = file.metadata()?;
    match path.metadata() {
        Ok(there) => Ok((own.dev(), own.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn read_some(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(unix)]
fn write_some(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> io::Result<bool> {
    // An open file cannot be renamed there.
    Ok(true)
}

#[cfg(not(unix))]
fn read_some(file: &mut File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read(bytes)
}

#[cfg(not(unix))]
fn write_some(file: &mut File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(offset))?;
    file.write(bytes)
}
