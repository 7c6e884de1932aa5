//! The names of users, from a file like /etc/passwd.
//!
//! Owns a copy of the file and an index of it by number. It is parsed here because a program that
//! is linked statically with glibc cannot ask its name services; users of a directory service are
//! therefore numbers. Promises: the file is read again when its time or its size changes, its first
//! [`BYTES_MAX`] at most, and a line that makes no sense costs that line. May import: std only.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

/// Bytes of the file: some 4,000 users. Parsing them takes half a millisecond.
const BYTES_MAX: usize = 256 << 10;

/// Users that are kept: twice as many as usual lines of so many bytes name.
const USERS_MAX: usize = 8192;

/// Bytes that the names take at most; the copy of the file grows by doubling.
pub const MEMORY_BYTES_MAX: usize = 2 * BYTES_MAX + USERS_MAX * size_of::<Entry>();

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    uid: u32,
    /// Where the name begins and how long it is.
    start: u32,
    length: u32,
}

/// Users by number.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    /// When the file that was read had been changed last, and its size.
    version: Option<(SystemTime, u64)>,
    text: Vec<u8>,
    entries: Vec<Entry>,
}

impl Users {
    /// The users in the file at `path`, which is not read yet.
    pub fn new(path: PathBuf) -> Users {
        Users { path, version: None, text: Vec::new(), entries: Vec::new() }
    }

    /// Reads the file if it has changed. Without a file there are no names.
    pub fn refresh(&mut self) {
        let metadata = fs::metadata(&self.path).ok();
        let version = metadata.and_then(|file| Some((file.modified().ok()?, file.len())));
        if version.is_some() && version == self.version {
            return;
        }
        self.version = version;
        self.text.clear();
        self.entries.clear();
        if let Ok(file) = File::open(&self.path) {
            // What was read before an error is as good as it ever was.
            let _ = file.take(BYTES_MAX as u64).read_to_end(&mut self.text);
        }
        let mut start = 0;
        for line in self.text.split(|byte| *byte == b'\n') {
            if let Some((length, uid)) = parse(line)
                && self.entries.len() < USERS_MAX
            {
                self.entries.push(Entry { uid, start, length });
            }
            start += line.len() as u32 + 1;
        }
        // Of two names for a number the first counts, as for the system.
        self.entries.sort_unstable();
        self.entries.dedup_by_key(|entry| entry.uid);
    }

    /// A user's name.
    pub fn name(&self, uid: u32) -> Option<&[u8]> {
        let index = self.entries.binary_search_by_key(&uid, |entry| entry.uid).ok()?;
        let Entry { start, length, .. } = self.entries[index];
        self.text.get(start as usize..(start + length) as usize)
    }
}

/// The length of the name on a line, and the number.
fn parse(line: &[u8]) -> Option<(u32, u32)> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty() && name[0] != b'#')?;
    let uid = str::from_utf8(fields.nth(1)?).ok()?;
    let is_number = uid.bytes().all(|byte| byte.is_ascii_digit());
    Some((name.len() as u32, uid.parse().ok().filter(|_| is_number)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of the test's own, removed in the end.
    struct Passwd(PathBuf);

    impl Passwd {
        fn new(name: &str) -> Passwd {
            let name = format!("vitald-users-{name}-{}", std::process::id());
            Passwd(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Passwd {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn names_are_found_and_lines_without_sense_are_passed_over() {
        let file = Passwd::new("parse");
        let text = b"root:x:0:0:root:/root:/bin/sh\n#a:x:7:\ntoor:x:0:0\n\n:x:5:5\nlone\n\
            big:x:4294967296:0\nsigned:x:+8:0\n\xff\xfe:x:9:0\nlast:x:1000:1000";
        fs::write(&file.0, text).unwrap();
        let mut users = Users::new(file.0.clone());
        assert_eq!(users.name(0), None);
        users.refresh();
        assert_eq!(users.name(0), Some(&b"root"[..]));
        assert_eq!(users.name(1000), Some(&b"last"[..]));
        assert_eq!(users.name(9), Some(&b"\xff\xfe"[..]));
        for uid in [1, 5, 7, 8, u32::MAX] {
            assert_eq!(users.name(uid), None, "{uid}");
        }
    }

    #[test]
    fn a_file_that_changes_or_goes_is_noticed() {
        let file = Passwd::new("change");
        let mut users = Users::new(file.0.clone());
        users.refresh();
        assert_eq!(users.name(1), None);
        fs::write(&file.0, "one:x:1:1").unwrap();
        users.refresh();
        assert_eq!(users.name(1), Some(&b"one"[..]));
        fs::write(&file.0, "another:x:1:1").unwrap();
        users.refresh();
        assert_eq!(users.name(1), Some(&b"another"[..]));
        fs::remove_file(&file.0).unwrap();
        users.refresh();
        assert_eq!(users.name(1), None);
    }

    #[test]
    fn a_file_beyond_its_bound_is_read_up_to_it() {
        let file = Passwd::new("bound");
        for (line, last) in [(":x:", USERS_MAX - 1), (":comment in the place of a password:", 6000)]
        {
            let text: String = (0..60_000).map(|uid| format!("u{line}{uid}\n")).collect();
            fs::write(&file.0, text).unwrap();
            let mut users = Users::new(file.0.clone());
            users.refresh();
            assert_eq!(users.text.len(), BYTES_MAX);
            assert!(users.name(last as u32).is_some(), "{line}");
            assert_eq!(users.name(USERS_MAX as u32), None);
            let held = users.text.capacity() + users.entries.capacity() * size_of::<Entry>();
            assert!(held <= MEMORY_BYTES_MAX, "{held}");
        }
    }
}
