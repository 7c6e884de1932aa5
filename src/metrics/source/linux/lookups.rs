//! Small files that are looked up now and then, by paths that come and go: labels, limits, types.
//!
//! Owns a buffer for them, and what is known of the ones that fail. A file that is not there is no
//! failure: most are optional. Promises that a failure is told once a path, and once when it is over,
//! although nothing else is kept of a file from one look to the next.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file;
use super::outage::Outage;

/// Files whose failure is remembered. More that fail at once are not told of: a host where half of
/// this do needs no further line.
const FAILING_MAX: usize = 64;

/// Reads files that are wanted once.
#[derive(Default)]
pub struct Lookups {
    buffer: Vec<u8>,
    failing: Vec<(PathBuf, Outage)>,
}

impl Lookups {
    /// The content of a file that the kernel makes as a whole; `None` where it cannot be had.
    pub fn read(&mut self, now: Duration, path: &Path) -> Option<&[u8]> {
        let failing = self.failing.iter().position(|(known, _)| known == path);
        match file::read_once(path, &mut self.buffer) {
            Ok(length) => {
                if let Some(place) = failing {
                    self.failing.swap_remove(place).1.succeed(path.display());
                }
                Some(&self.buffer[..length])
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                if let Some(place) = failing {
                    self.failing.swap_remove(place);
                }
                None
            }
            Err(error) => {
                if failing.is_none() && self.has_room() {
                    let mut outage = Outage::default();
                    outage.fail(now, path.display(), &error);
                    self.failing.push((path.to_owned(), outage));
                }
                None
            }
        }
    }

    /// What is gone makes room: nobody asks for it any more.
    fn has_room(&mut self) -> bool {
        if self.failing.len() == FAILING_MAX {
            self.failing.retain(|(path, _)| path.exists());
        }
        self.failing.len() < FAILING_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_fails_is_remembered_until_it_works_or_is_gone_and_the_table_is_bounded() {
        let root = std::env::temp_dir().join(format!("vitald-lookups-{}", std::process::id()));
        let mut files = Lookups::default();
        for number in 0..=FAILING_MAX {
            // Reading a directory is an error.
            fs::create_dir_all(root.join(number.to_string())).unwrap();
            assert_eq!(files.read(Duration::ZERO, &root.join(number.to_string())), None);
        }
        assert_eq!(files.failing.len(), FAILING_MAX);
        let path = root.join("0");
        fs::remove_dir(&path).unwrap();
        assert_eq!(files.read(Duration::ZERO, &path), None);
        assert_eq!(files.failing.len(), FAILING_MAX - 1, "what is gone has not failed");
        fs::remove_dir(root.join("1")).unwrap();
        fs::write(root.join("1"), "1").unwrap();
        assert_eq!(files.read(Duration::ZERO, &root.join("1")), Some(&b"1"[..]));
        assert_eq!(files.failing.len(), FAILING_MAX - 2);
        for number in 2..FAILING_MAX {
            fs::remove_dir(root.join(number.to_string())).unwrap();
        }
        for name in ["x", "y", "z"] {
            fs::create_dir(root.join(name)).unwrap();
            files.read(Duration::ZERO, &root.join(name));
        }
        fs::remove_dir_all(root).unwrap();
        assert_eq!(files.failing.len(), 3, "what is gone has made room");
    }
}
