//! Lines of /proc/self/mountinfo (Documentation/filesystems/proc.rst, section 3.5), and which of the
//! mounts may be asked.
//!
//! A path is all there is to ask by, and the kernel walks it from mount to mount. So what counts is
//! not the kind of a mount alone: of one that another lies over, or lies over the way to, the path
//! leads to that other, which may be a network mount whose server is dead, and never returns.
//! [`Reachable`] walks each path as the kernel would, by the parents that the listing tells. Its
//! order tells less: an early boot mounts /run before the root that it then moves it to.

use super::text;

/// Local kinds that can fill up. Read-only images (squashfs, erofs, iso9660) are always full, and
/// memory (tmpfs) is counted as memory.
pub const LOCAL: [&[u8]; 17] = [
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

/// Other kinds that a path may lead through without leaving this host. FUSE is none of them, for its
/// program can hang, nor is autofs, which waits for one.
const LOCAL_ON_THE_WAY: [&[u8]; 19] = [
    b"tmpfs",
    b"ramfs",
    b"rootfs",
    b"devtmpfs",
    b"proc",
    b"sysfs",
    b"cgroup",
    b"cgroup2",
    b"efivarfs",
    b"securityfs",
    b"debugfs",
    b"squashfs",
    b"erofs",
    b"cramfs",
    b"romfs",
    b"iso9660",
    b"udf",
    b"hfs",
    b"hfsplus",
];

/// One mount, as it stands there: paths may hold escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Its number.
    pub id: u64,
    /// The number of the mount that it is mounted on.
    pub parent: u64,
    /// Major and minor number, by which a device that is mounted twice is known.
    pub device_number: &'a [u8],
    /// What of the file system is mounted.
    pub root: &'a [u8],
    /// Where.
    pub point: &'a [u8],
    /// Options of the mount, with commas between them.
    pub point_options: &'a [u8],
    /// The type of file system.
    pub kind: &'a [u8],
    /// What is mounted, as the type sees it.
    pub device: &'a [u8],
    /// Options of the file system, with commas between them.
    pub options: &'a [u8],
}

impl Mount<'_> {
    /// Reads a line: id, parent, device number, root, mount point, its options, optional fields, a
    /// dash, type, device, options of the file system.
    pub fn parse(line: &[u8]) -> Option<Mount<'_>> {
        let mut words = text::words(line);
        let mut number = || words.next().and_then(text::number);
        let (id, parent) = (number()?, number()?);
        let (device_number, root, point) = (words.next()?, words.next()?, words.next()?);
        let point_options = words.next()?;
        let mut words = words.skip_while(|word| *word != b"-").skip(1);
        let (kind, device) = (words.next()?, words.next()?);
        let options = words.next().unwrap_or_default();
        Some(Mount { id, parent, device_number, root, point, point_options, kind, device, options })
    }

    /// Whether looking something up in it is known not to leave this host. An overlay is where it
    /// is all there is: the root of a container or a router.
    fn is_local(&self) -> bool {
        LOCAL.contains(&self.kind)
            || LOCAL_ON_THE_WAY.contains(&self.kind)
            || (self.kind == b"overlay" && self.point == b"/")
    }
}

/// The mounts of a listing, by what they are mounted on and where.
pub struct Reachable<'a> {
    mounts: Vec<Mount<'a>>,
    /// Parent, mount point and place in `mounts`, sorted.
    children: Vec<(u64, &'a [u8], usize)>,
}

impl<'a> Reachable<'a> {
    /// Reads a listing.
    pub fn new(bytes: &'a [u8]) -> Reachable<'a> {
        let mounts: Vec<_> = text::lines(bytes).filter_map(Mount::parse).collect();
        let children = mounts.iter().enumerate();
        let mut children: Vec<_> =
            children.map(|(index, mount)| (mount.parent, mount.point, index)).collect();
        children.sort_unstable();
        Reachable { mounts, children }
    }

    /// In the order of the listing, the mounts that their own paths lead to, through mounts alone
    /// that are known to be local. Of what is known of none of them nothing is given: where no root
    /// is listed, as in a chroot that is no mount, that is all.
    pub fn mounts(&self) -> impl Iterator<Item = &Mount<'a>> {
        let root = self.root();
        self.mounts.iter().enumerate().filter_map(move |(index, mount)| {
            let is_reached = mount.is_local() && self.walk(root?, mount.point) == Some(index);
            is_reached.then_some(mount)
        })
    }

    /// The mount at `/` that no other listed there is below.
    fn root(&self) -> Option<usize> {
        let is_at_root = |mount: &&Mount<'_>| mount.point == b"/";
        let at_root: Vec<_> = self.mounts.iter().filter(is_at_root).map(|mount| mount.id).collect();
        let is_lowest = |mount: &Mount<'_>| {
            mount.point == b"/" && (mount.parent == mount.id || !at_root.contains(&mount.parent))
        };
        self.mounts.iter().rposition(is_lowest)
    }

    /// Where a path leads; `None` if something would be looked up where that may not return.
    fn walk(&self, root: usize, path: &[u8]) -> Option<usize> {
        let mut at = self.topmost(root, b"/");
        let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
        let ends = ends.map(|(end, _)| end).chain([path.len()]);
        for end in ends.filter(|end| *end > 1) {
            if !self.mounts[at].is_local() {
                return None;
            }
            at = self.topmost(at, &path[..end]);
        }
        Some(at)
    }

    /// What lies on top at a point of a mount; the mount itself if nothing does.
    fn topmost(&self, mut at: usize, point: &[u8]) -> usize {
        // A listing that goes in a circle is none of a kernel.
        for _ in 0..self.mounts.len() {
            let id = self.mounts[at].id;
            let key = (id, point, usize::MAX);
            let place = self.children.partition_point(|child| *child <= key);
            let Some(&(parent, found, index)) = place.checked_sub(1).map(|i| &self.children[i])
            else {
                break;
            };
            if (parent, found) != (id, point) || index == at {
                break;
            }
            at = index;
        }
        at
    }
}

/// White space and backslashes stand as three octal digits.
pub fn unescape(word: &[u8]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_end_with_a_dash() {
        let line = b"24 22 0:20 /a /b rw shared:2 master:1 - cgroup c rw,cpu,cpuacct";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.root, mount.point, mount.kind), (&b"/a"[..], &b"/b"[..], &b"cgroup"[..]));
        assert_eq!((mount.device, mount.options), (&b"c"[..], &b"rw,cpu,cpuacct"[..]));
        assert_eq!(Mount::parse(b"24 22 0:20 / /b rw shared:2 cgroup c rw"), None);
    }

    /// The mount points that may be asked, of lines without what does not matter here.
    fn reachable(lines: &[&str]) -> Vec<String> {
        let whole = |line: &&str| {
            let words: Vec<_> = line.split(' ').collect();
            let [id, parent, point, kind] = words[..] else { panic!("{line}") };
            format!("{id} {parent} 8:1 / {point} rw - {kind} x rw\n")
        };
        let listing: String = lines.iter().map(whole).collect();
        let reachable = Reachable::new(listing.as_bytes());
        reachable.mounts().map(|mount| unescape(mount.point)).collect()
    }

    #[test]
    fn what_a_network_mount_lies_over_is_not_asked() {
        let root = "20 1 / ext4";
        assert_eq!(reachable(&[root, "21 20 /a ext4", "22 21 /a nfs4"]), ["/"]);
        assert_eq!(reachable(&[root, "21 20 /a/b ext4", "22 20 /a nfs4"]), ["/"]);
        assert_eq!(reachable(&[root, "21 20 /a/b ext4", "22 20 /a/b/c nfs4"]), ["/", "/a/b"]);
        assert_eq!(reachable(&[root, "21 20 /ab ext4", "22 20 /a nfs4"]), ["/", "/ab"]);
    }

    #[test]
    fn what_is_below_a_network_mount_is_not_asked() {
        let root = "20 1 / ext4";
        assert_eq!(reachable(&[root, "21 20 /a nfs4", "22 21 /a/b/c xfs"]), ["/"]);
        assert_eq!(reachable(&[root, "21 20 /a fuse.x", "22 21 /a/b xfs"]), ["/"]);
        assert_eq!(reachable(&["20 1 / nfs", "21 20 /a xfs"]), [""; 0], "all is below it");
        assert_eq!(reachable(&["21 20 /a xfs"]), [""; 0], "nothing is known of what is above");
    }

    #[test]
    fn what_another_local_mount_lies_over_is_not_asked_in_its_stead() {
        let root = "20 1 / ext4";
        assert_eq!(reachable(&[root, "21 20 /a/b xfs", "22 20 /a vfat"]), ["/", "/a"]);
        assert_eq!(reachable(&[root, "21 20 /a xfs", "22 21 /a vfat", "23 22 /a/b xfs"]).len(), 3);
        assert_eq!(reachable(&["1 1 / rootfs", "20 1 / ext4", "21 20 /a xfs"]), ["/", "/a"]);
    }

    #[test]
    fn what_lies_over_a_mount_that_waits_is_asked_for_nothing_is_looked_up_below() {
        let mounts = ["20 1 / ext4", "21 20 /boot autofs", "22 21 /boot vfat"];
        assert_eq!(reachable(&mounts), ["/", "/boot"]);
    }

    #[test]
    fn a_root_that_is_listed_last_covers_nothing() {
        let early = ["20 60 /run tmpfs", "21 60 /sys sysfs", "60 1 / xfs", "61 60 /boot ext4"];
        assert_eq!(reachable(&early), ["/run", "/sys", "/", "/boot"]);
    }

    #[test]
    fn a_listing_that_goes_in_a_circle_comes_to_an_end() {
        reachable(&["1 1 / ext4", "2 3 / ext4", "3 2 / ext4", "4 3 /a ext4", "5 4 /a ext4"]);
        reachable(&["1 9 / ext4", "2 1 /a ext4", "3 2 /a ext4", "2 3 /a ext4"]);
    }

    #[test]
    fn escapes_are_three_octal_digits_and_anything_else_is_itself() {
        assert_eq!(unescape(b"a\\040b\\134c"), "a b\\c");
        assert_eq!(unescape(b"a\\04"), "a\\04");
        assert_eq!(unescape(b"\\777"), "\\777");
    }
}
