//! Local file systems: /proc/self/mountinfo, and statvfs(3) of each.
//!
//! statvfs of a dead network mount never returns and would stop the loop, so only kinds that are
//! known to be local are asked, and of those the ones whose path leads to them through local mounts
//! alone; a FUSE program can hang as well, and is left out too. So are files that are mounted, as
//! /etc/hosts in a container. What asks is given, so that a test has figures for the mounts of
//! another host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::HeldFile;
use super::mounts::{self, LOCAL, Mount, Reachable};
use super::outage::Outage;
use crate::metrics::snapshot::Filesystem;

/// Rows at most.
const FILESYSTEMS_MAX: usize = 64;

/// How much room a file system has, as statvfs(3) counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes of a block.
    pub block_bytes: u64,
    /// All blocks.
    pub blocks: u64,
    /// Blocks not in use.
    pub blocks_free: u64,
    /// Those that programs without privilege may use.
    pub blocks_available: u64,
    /// All inodes; 0 where their number is not fixed.
    pub inodes: u64,
    /// Inodes not in use.
    pub inodes_free: u64,
}

/// Asks how much room the file system at a path has.
pub type Ask = Box<dyn FnMut(&Path) -> io::Result<Space> + Send>;

/// Asks the kernel.
pub fn ask_kernel(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Space {
        block_bytes: found.f_frsize,
        blocks: found.f_blocks,
        blocks_free: found.f_bfree,
        blocks_available: found.f_bavail,
        inodes: found.f_files,
        inodes_free: found.f_ffree,
    })
}

struct Mounted {
    device_number: Vec<u8>,
    mount: String,
    /// The mount under the root that this host has for us.
    path: PathBuf,
    device: String,
    kind: String,
    outage: Outage,
}

/// Reads mounts and asks each how full it is.
pub struct Filesystems {
    pub(super) file: HeldFile,
    pub(super) root: PathBuf,
    pub(super) ask: Ask,
    /// The listing that `mounts` are from.
    listing: Vec<u8>,
    mounts: Vec<Mounted>,
}

impl Filesystems {
    pub fn new(root: &Path, ask: Ask) -> Filesystems {
        Filesystems {
            // Options of an overlay can fill a page: this one is read until nothing comes.
            file: HeldFile::new(root.join("proc/self/mountinfo")).reopened(),
            root: root.to_owned(),
            ask,
            listing: Vec::new(),
            mounts: Vec::new(),
        }
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, rows: &mut Vec<Filesystem>) {
        let bytes = self.file.read(now, buffer).unwrap_or_default();
        if bytes != self.listing {
            self.listing.clear();
            self.listing.extend_from_slice(bytes);
            let mut before = std::mem::take(&mut self.mounts);
            self.mounts = list(bytes, &self.root);
            for mounted in &mut self.mounts {
                let known = before.iter_mut().find(|known| known.mount == mounted.mount);
                mounted.outage =
                    known.map(|known| std::mem::take(&mut known.outage)).unwrap_or_default();
            }
        }
        for (index, mounted) in self.mounts.iter_mut().enumerate() {
            let row = Filesystem::at(rows, index, &mounted.mount);
            row.device.clone_from(&mounted.device);
            row.kind.clone_from(&mounted.kind);
            fill(row, mounted.space(now, &mut self.ask));
        }
        rows.truncate(self.mounts.len());
    }
}

impl Mounted {
    fn space(&mut self, now: Duration, ask: &mut Ask) -> Option<Space> {
        if !self.outage.is_over(now) {
            return None;
        }
        match ask(&self.path) {
            Ok(space) => {
                self.outage.succeed(&self.mount);
                Some(space)
            }
            Err(error) => {
                self.outage.fail(now, &self.mount, &error);
                None
            }
        }
    }
}

/// The mounts worth asking, one a device: the one with the shortest path.
fn list(bytes: &[u8], root: &Path) -> Vec<Mounted> {
    let mut mounts: Vec<Mounted> = Vec::new();
    for mount in Reachable::new(bytes).mounts().filter(|mount| can_fill_up(mount)) {
        let mounted = Mounted::new(mount, root);
        let same_device = mounts.iter().position(|known| known.is_of_the_device_of(&mounted));
        match same_device {
            Some(index) if mounted.mount.len() >= mounts[index].mount.len() => {}
            None if mounts.len() == FILESYSTEMS_MAX => {}
            _ if mounted.is_file() => {}
            Some(index) => mounts[index] = mounted,
            None => mounts.push(mounted),
        }
    }
    mounts
}

/// An overlay is worth asking where it is all there is: the root of a container or a router.
fn can_fill_up(mount: &Mount<'_>) -> bool {
    LOCAL.contains(&mount.kind) || (mount.kind == b"overlay" && mount.point == b"/")
}

impl Mounted {
    fn new(mount: &Mount<'_>, root: &Path) -> Mounted {
        let point = mounts::unescape(mount.point);
        Mounted {
            device_number: mount.device_number.to_vec(),
            path: root.join(point.trim_start_matches('/')),
            mount: point,
            device: mounts::unescape(mount.device),
            kind: String::from_utf8_lossy(mount.kind).into_owned(),
            outage: Outage::default(),
        }
    }
}

impl Mounted {
    /// What cannot be looked at counts as a directory: asking it tells what is wrong.
    fn is_file(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| !found.is_dir())
    }

    /// Each subvolume of btrfs has a device number of its own.
    fn is_of_the_device_of(&self, other: &Mounted) -> bool {
        self.device_number == other.device_number
            || (self.kind == "btrfs" && other.kind == "btrfs" && self.device == other.device)
    }
}

/// Figures as df(1) has them.
fn fill(row: &mut Filesystem, space: Option<Space>) {
    let Some(space) = space else {
        (row.total, row.used, row.available) = (None, None, None);
        (row.usage, row.inodes_usage) = (None, None);
        return;
    };
    let bytes = |blocks: u64| blocks as f64 * space.block_bytes as f64;
    let used = space.blocks.saturating_sub(space.blocks_free);
    row.total = Some(bytes(space.blocks));
    row.used = Some(bytes(used));
    row.available = Some(bytes(space.blocks_available));
    let share = |part: f64, whole: f64| (whole > 0.0).then(|| (100.0 * part / whole).min(100.0));
    row.usage = share(used as f64, used as f64 + space.blocks_available as f64);
    let inodes_used = space.inodes.saturating_sub(space.inodes_free);
    row.inodes_usage = share(inodes_used as f64, space.inodes as f64);
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
        let mounts: Vec<_> =
            list(MOUNTS, Path::new("/")).into_iter().map(|mount| mount.mount).collect();
        assert_eq!(mounts, ["/", "/media/my disk"]);
    }

    #[test]
    fn subvolumes_are_one_device() {
        let lines = b"30 1 0:31 /@ / rw - btrfs /dev/sda2 rw,subvol=/@\n\
            31 30 0:32 /@home /home rw - btrfs /dev/sda2 rw,subvol=/@home\n";
        assert_eq!(list(lines, Path::new("/")).len(), 1);
    }

    #[test]
    fn the_root_of_a_container_counts() {
        let mounts = list(b"1 0 0:9 / / rw - overlay overlay rw,lowerdir=/x\n", Path::new("/"));
        assert_eq!((mounts.len(), mounts[0].kind.as_str()), (1, "overlay"));
    }

    #[test]
    fn of_two_mounts_at_one_place_the_later_counts() {
        let over = [MOUNTS, b"29 25 8:3 / /media/my\\040disk rw - ext4 /dev/sdb1 rw\n"].concat();
        let mounts = list(&over, Path::new("/"));
        let devices: Vec<_> = mounts.iter().map(|mount| mount.device.as_str()).collect();
        assert_eq!(devices, ["/dev/sda1", "/dev/sdb1"]);
    }

    #[test]
    fn a_file_that_is_mounted_is_no_place_to_fill() {
        let root = std::env::temp_dir().join(format!("vitald-mounts-{}", std::process::id()));
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("volumes/data")).unwrap();
        fs::write(root.join("etc/hosts"), "").unwrap();
        let lines = b"1 0 0:9 / / rw - overlay overlay rw\n\
            2 1 8:1 /x/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n\
            3 1 8:1 /x /volumes/data rw - ext4 /dev/sda1 rw\n";
        let mounts: Vec<_> = list(lines, &root).into_iter().map(|mounted| mounted.mount).collect();
        fs::remove_dir_all(root).unwrap();
        assert_eq!(mounts, ["/", "/volumes/data"]);
    }

    #[test]
    fn a_disk_under_a_network_mount_is_not_asked() {
        let over = [MOUNTS, b"29 25 0:60 / /media/my\\040disk rw - nfs4 server:/y rw\n"].concat();
        let mounts: Vec<_> = list(&over, Path::new("/")).into_iter().map(|m| m.mount).collect();
        assert_eq!(mounts, ["/"]);
    }

    #[test]
    fn figures_are_those_of_df() {
        let mut row = Filesystem::default();
        let space = Space {
            block_bytes: 4096,
            blocks: 1000,
            blocks_free: 400,
            blocks_available: 200,
            inodes: 0,
            inodes_free: 0,
        };
        fill(&mut row, Some(space));
        assert_eq!((row.used, row.usage), (Some(600.0 * 4096.0), Some(75.0)));
        assert_eq!(row.inodes_usage, None, "btrfs and vfat have no fixed number");
        fill(&mut row, None);
        assert_eq!(row, Filesystem::default());
    }
}
