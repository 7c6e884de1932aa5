//! A file that is held open and read again and again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

/// How long a file that cannot be opened or read is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// What is read at first: a page, which is what the kernel makes at a time.
const BYTES_MIN: usize = 4096;

/// The most that is read of one file. /proc/stat of 1,024 cores has about 120 KB.
const BYTES_MAX: usize = 1 << 20;

/// One file of /proc or /sys.
pub struct HeldFile {
    path: PathBuf,
    file: Option<File>,
    retry_at: Option<Duration>,
    was_logged: bool,
}

impl HeldFile {
    pub fn new(path: PathBuf) -> HeldFile {
        HeldFile { path, file: None, retry_at: None, was_logged: false }
    }

    /// The whole content, at the front of `buffer`, which grows to the largest file and keeps its
    /// length: filling it with zeros again for each file would cost more than all the parsing.
    /// `None` when the file cannot be had now.
    pub fn read<'b>(&mut self, now: Duration, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        if self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return None;
        }
        match self.try_read(buffer) {
            Ok(length) => {
                self.retry_at = None;
                Some(&buffer[..length])
            }
            Err(error) => {
                self.file = None;
                self.retry_at = Some(now + RETRY_AFTER);
                if !self.was_logged {
                    self.was_logged = true;
                    log::info!("source={} unavailable error=\"{error}\"", self.path.display());
                }
                None
            }
        }
    }

    fn try_read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        read_to_end(|into, offset| file.read_at(into, offset), buffer)
    }
}

/// Reads until the end and gives the length. Files of /proc are made a page at a time: one read can
/// give a part, and a file that has grown past the buffer would be cut off.
fn read_to_end(
    mut read_at: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
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
        match read_at(&mut buffer[length..], length as u64) {
            Ok(0) => return Ok(length),
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_comes_in_pieces_is_read_whole() {
        let content: Vec<u8> = (0..20_000).map(|index| index as u8).collect();
        let mut buffer = Vec::new();
        let pieces = |into: &mut [u8], offset: u64| {
            let rest = &content[offset as usize..];
            let length = rest.len().min(into.len()).min(777);
            into[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        };
        let length = read_to_end(pieces, &mut buffer).unwrap();
        assert!(buffer[..length] == content);
    }

    #[test]
    fn a_file_without_an_end_is_given_up() {
        let mut buffer = Vec::new();
        assert!(read_to_end(|into, _| Ok(into.len()), &mut buffer).is_err());
    }

    #[test]
    fn a_missing_file_is_tried_again_later() {
        let path = std::env::temp_dir().join(format!("vitald-held-{}", std::process::id()));
        let (mut file, mut buffer) = (HeldFile::new(path.clone()), Vec::new());
        assert_eq!(file.read(Duration::ZERO, &mut buffer), None);
        std::fs::write(&path, "late").unwrap();
        assert_eq!(file.read(Duration::from_secs(29), &mut buffer), None);
        assert_eq!(file.read(Duration::from_secs(30), &mut buffer), Some(&b"late"[..]));
        std::fs::remove_file(path).unwrap();
    }
}
