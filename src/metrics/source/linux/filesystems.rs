//! Local file systems: /proc/self/mountinfo, and statvfs of each.
//!
//! statvfs of a dead network mount never returns and would stop the loop, so only kinds that are
//! known to be local are asked; a FUSE program can hang as well, and is left out too.

use std::path::Path;
use std::time::Duration;

use super::Cadence;
use super::file::HeldFile;
use super::text;
use crate::metrics::snapshot::Filesystem;

/// Rows at most.
const FILESYSTEMS_MAX: usize = 64;

/// How often the list and the figures are looked at: they change slowly, and a sleeping disk may
/// have to wake for them.
const EVERY: Duration = Duration::from_secs(10);

/// Local kinds that can fill up. Read-only images (squashfs, erofs, iso9660) are always full, and
/// memory (tmpfs) is counted as memory.
const LOCAL: [&[u8]; 17] = [
    b"ext2",
    b"ext3",
    b"ext4",
    b"xfs",
    b"btrfs",
    b"f2fs",
    b"vfat",
    b"exfat",
    b"ntfs",
    b"ntfs3",
    b"zfs",
    b"bcachefs",
    b"ubifs",
    b"jffs2",
    b"jfs",
    b"reiserfs",
    b"nilfs2",
];

struct Mount {
    /// Major and minor number, by which a device that is mounted twice is known.
    device_number: Vec<u8>,
    mount: String,
    device: String,
    kind: String,
}

/// Reads mounts and asks each how full it is.
pub struct Filesystems {
    file: HeldFile,
    cadence: Cadence<()>,
}

impl Filesystems {
    pub fn new(proc: &Path) -> Filesystems {
        Filesystems {
            file: HeldFile::new(proc.join("self/mountinfo")),
            cadence: Cadence::new(EVERY, ()),
        }
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, rows: &mut Vec<Filesystem>) {
        if !self.cadence.is_due(now) {
            return;
        }
        let bytes = self.file.read(now, buffer).unwrap_or_default();
        let mounts = list(bytes);
        let mut count = 0;
        for mount in mounts.iter().take(FILESYSTEMS_MAX) {
            let row = Filesystem::at(rows, count, &mount.mount);
            row.device.clone_from(&mount.device);
            row.kind.clone_from(&mount.kind);
            fill(row);
            count += 1;
        }
        rows.truncate(count);
    }
}

/// The mounts worth asking, one a device: the one with the shortest path.
fn list(bytes: &[u8]) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for mount in text::lines(bytes).filter_map(parse) {
        let same = |known: &&mut Mount| known.device_number == mount.device_number;
        match mounts.iter_mut().find(same) {
            Some(known) if mount.mount.len() < known.mount.len() => *known = mount,
            Some(_) => {}
            None => mounts.push(mount),
        }
    }
    mounts
}

/// A line of mountinfo (proc(5)): id, parent, device number, root, mount, options, optional fields,
/// a dash, kind, device, options.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = text::words(line).skip(2);
    let device_number = words.next()?.to_vec();
    let mount = unescape(words.nth(1)?);
    let mut words = words.skip_while(|word| *word != b"-").skip(1);
    let kind = words.next()?;
    let device = unescape(words.next()?);
    let is_local = LOCAL.contains(&kind) || (kind == b"overlay" && mount == "/");
    let kind = String::from_utf8_lossy(kind).into_owned();
    is_local.then_some(Mount { device_number, mount, device, kind })
}

/// White space and backslashes stand as three octal digits.
fn unescape(word: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|digits| {
            first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit))
        });
        let code = digits.map(|digits| {
            digits.iter().fold(0u32, |code, digit| code * 8 + u32::from(digit - b'0'))
        });
        match code.and_then(|code| u8::try_from(code).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks the kernel; figures as df(1) has them.
fn fill(row: &mut Filesystem) {
    let Ok(found) = rustix::fs::statvfs(row.mount.as_str()) else {
        (row.total, row.used, row.available) = (None, None, None);
        (row.usage, row.inodes_usage) = (None, None);
        return;
    };
    let block_bytes = found.f_frsize as f64;
    let used_blocks = found.f_blocks.saturating_sub(found.f_bfree) as f64;
    row.total = Some(found.f_blocks as f64 * block_bytes);
    row.used = Some(used_blocks * block_bytes);
    row.available = Some(found.f_bavail as f64 * block_bytes);
    let share = |part: f64, whole: f64| (whole > 0.0).then(|| 100.0 * part / whole);
    row.usage = share(used_blocks, used_blocks + found.f_bavail as f64);
    let used_inodes = found.f_files.saturating_sub(found.f_ffree) as f64;
    row.inodes_usage = share(used_inodes, found.f_files as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        23 22 8:1 /var /var/lib/x rw - ext4 /dev/sda1 rw\n\
        24 22 0:20 / /proc rw shared:2 master:1 - proc proc rw\n\
        25 22 8:2 / /media/my\\040disk rw - vfat /dev/sda2 rw\n\
        26 22 0:50 / /mnt/nfs rw - nfs4 server:/x rw\n\
        27 22 0:51 / /mnt/ssh rw - fuse.sshfs me@host: rw\n\
        28 22 0:52 / /snap/x rw - overlay overlay rw\n";

    #[test]
    fn local_devices_are_listed_once_by_their_shortest_path() {
        let mounts: Vec<_> = list(MOUNTS).into_iter().map(|mount| mount.mount).collect();
        assert_eq!(mounts, ["/", "/media/my disk"]);
    }

    #[test]
    fn the_root_of_a_container_counts() {
        let mounts = list(b"1 0 0:9 / / rw - overlay overlay rw,lowerdir=/x\n");
        assert_eq!((mounts.len(), mounts[0].kind.as_str()), (1, "overlay"));
    }

    #[test]
    fn escapes_are_three_octal_digits_and_anything_else_is_itself() {
        assert_eq!(unescape(b"a\\040b\\134c"), "a b\\c");
        assert_eq!(unescape(b"a\\04"), "a\\04");
        assert_eq!(unescape(b"\\777"), "\\777");
    }
}
