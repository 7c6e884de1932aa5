//! The collector filesystem: how full local file systems are.
//!
//! Every mount is a row, where the tick's reader has one a device. What is left out by its kind or
//! place is what node_exporter leaves out, and beyond that whatever is not known to be local: a
//! dead network mount or FUSE program would keep statvfs(3), and so the loop, waiting for ever. So is
//! what such a mount lies over, and so is what another mount hides, whose figures nobody can ask for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::file::HeldFile;
use super::super::filesystems::{Ask, Space};
use super::super::mounts::{LOCAL, Mount, Reachable, unescape};
use super::super::text;
use crate::metrics::exposition::{Exposition, Kind};

/// Rows at most.
const ROWS_MAX: usize = 256;

/// How old figures may become: a sleeping disk may have to wake for them.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Local kinds that node_exporter tells of and that the tick's reader does not: there, memory is
/// counted as memory.
const LOCAL_TOO: [&[u8]; 6] = [b"tmpfs", b"ramfs", b"efivarfs", b"hfs", b"hfsplus", b"udf"];

/// Mounts and how full they were.
pub struct Mounts {
    rows: Vec<Row>,
    asked_at: Option<Duration>,
    /// The first process's view.
    host: HeldFile,
    buffer: Vec<u8>,
}

struct Row {
    device: String,
    point: String,
    kind: String,
    is_read_only: bool,
    space: Option<Space>,
}

impl Mounts {
    pub fn new(root: &Path) -> Mounts {
        Mounts {
            rows: Vec::new(),
            asked_at: None,
            host: HeldFile::new(root.join("proc/1/mountinfo")).reopened(),
            buffer: Vec::new(),
        }
    }

    /// Whether the list is to be read and the kernel to be asked again.
    pub fn is_due(&self, now: Duration) -> bool {
        self.asked_at.is_none_or(|asked_at| now >= asked_at + KEPT_FOR)
    }

    /// Asks for the room of each mount of our own listing; `root` is where the mounts are for us.
    pub fn ask(&mut self, now: Duration, bytes: &[u8], root: &Path, ask: &mut Ask) {
        self.asked_at = Some(now);
        self.rows.clear();
        let host = self.host.read(now, &mut self.buffer).unwrap_or_default();
        for mount in as_the_host_has_them(bytes, host) {
            let point = unescape(mount.point);
            if is_excluded(&point) || self.rows.len() == ROWS_MAX {
                continue;
            }
            let path: PathBuf = root.join(point.trim_start_matches('/'));
            // Of the mount and of the file system itself.
            let is_read_only = has(mount.point_options, b"ro") || has(mount.options, b"ro");
            self.rows.push(Row {
                device: unescape(mount.device),
                kind: String::from_utf8_lossy(mount.kind).into_owned(),
                is_read_only,
                space: ask(&path).ok(),
                point,
            });
        }
    }

    pub fn expose(&self, out: &mut Exposition<'_>) -> bool {
        let mut family =
            |name: &'static str, help: &'static str| out.family(name, help, Kind::Gauge);
        let families = [
            family("node_filesystem_size_bytes", "Filesystem size in bytes."),
            family("node_filesystem_free_bytes", "Filesystem free space in bytes."),
            family(
                "node_filesystem_avail_bytes",
                "Filesystem space available to non-root users in bytes.",
            ),
            family("node_filesystem_files", "Filesystem total file nodes."),
            family("node_filesystem_files_free", "Filesystem total free file nodes."),
        ];
        let read_only = family("node_filesystem_readonly", "Filesystem read-only status.");
        let help = "Whether an error occurred while getting statistics for the given device.";
        let error = family("node_filesystem_device_error", help);
        for row in &self.rows {
            let labels =
                [("device", &*row.device), ("mountpoint", &*row.point), ("fstype", &*row.kind)];
            out.sample(error, &labels, row.space.is_none());
            let Some(space) = row.space else { continue };
            let bytes = |blocks: u64| blocks.saturating_mul(space.block_bytes);
            let values = [
                bytes(space.blocks),
                bytes(space.blocks_free),
                bytes(space.blocks_available),
                space.inodes,
                space.inodes_free,
            ];
            for (family, value) in families.into_iter().zip(values) {
                out.sample(family, &labels, value);
            }
            out.sample(read_only, &labels, row.is_read_only);
        }
        !self.rows.is_empty()
    }
}

/// The mounts to tell of that our own paths lead to, each as the host's listing has it. What the host
/// does not have is ours alone: it is told if it is all that there is of a device, such as a folder
/// of the host in a container, and otherwise is one more name for what the host has.
fn as_the_host_has_them<'l>(own: &'l [u8], host: &'l [u8]) -> Vec<Mount<'l>> {
    let host = text::lines(host).filter_map(Mount::parse);
    // The last one at a place lies over those before it.
    let host: HashMap<&[u8], Mount<'l>> = host.map(|mount| (mount.point, mount)).collect();
    let reachable = Reachable::new(own);
    let told = reachable.mounts().filter(|mount| is_told(mount)).map(|own| {
        let there = host.get(own.point);
        let is_same =
            |there: &&Mount<'l>| there.device_number == own.device_number && there.root == own.root;
        (*own, there.filter(is_same).copied())
    });
    let told: Vec<_> = told.collect();
    let is_known =
        |number| told.iter().any(|(own, of_host)| of_host.is_some() && own.device_number == number);
    let chosen = told.iter().filter_map(|(own, of_host)| match of_host {
        Some(_) => *of_host,
        None => (!is_known(own.device_number)).then_some(*own),
    });
    chosen.collect()
}

fn is_told(mount: &Mount<'_>) -> bool {
    LOCAL.contains(&mount.kind) || LOCAL_TOO.contains(&mount.kind)
}

/// As the pattern
/// `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)` says.
fn is_excluded(point: &str) -> bool {
    let whole = ["/dev", "/proc", "/sys"].iter().any(|start| {
        point.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let below = ["/run/credentials/", "/var/lib/docker/", "/var/lib/containers/storage/"]
        .iter()
        .any(|start| point.strip_prefix(start).is_some_and(|rest| !rest.is_empty()));
    whole || below
}

/// Whether a list with commas has an option.
fn has(options: &[u8], option: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|found| found == option)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::metrics::exposition::Format;
    use crate::metrics::exposition::tests::text_of;

    #[test]
    fn places_are_excluded_as_node_exporter_does() {
        for point in [
            "/dev",
            "/dev/shm",
            "/proc/x",
            "/sys",
            "/run/credentials/a.service",
            "/var/lib/docker/overlay2",
            "/var/lib/containers/storage/x/y",
        ] {
            assert!(is_excluded(point), "{point}");
        }
        for point in ["/", "/device", "/run", "/run/credentials", "/var/lib/docker", "/home/dev"] {
            assert!(!is_excluded(point), "{point}");
        }
    }

    #[test]
    fn local_mounts_are_told_and_others_never_asked() {
        let listing = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            23 22 0:5 / /run rw - tmpfs tmpfs ro,size=1k\n\
            24 22 8:2 / /data ro - xfs /dev/sda2 rw\n\
            25 22 8:3 / /dead rw - ext4 /dev/sda3 rw\n\
            26 22 0:50 / /mnt/nfs rw - nfs4 server:/x rw\n\
            27 22 0:51 / /mnt/ssh rw - fuse.sshfs me@host: rw\n\
            28 22 0:6 / /dev rw - tmpfs udev rw\n\
            29 26 8:4 / /mnt/nfs/disk rw - ext4 /dev/sdb1 rw\n\
            30 22 8:5 / /mnt/over rw - ext4 /dev/sdc1 rw\n\
            31 30 0:53 / /mnt/over rw - nfs4 server:/y rw\n";
        let mut ask: Ask = Box::new(|path| {
            assert!(!path.starts_with("/host/mnt") && !path.starts_with("/host/dev"), "{path:?}");
            let space = Space {
                block_bytes: 4096,
                blocks: 100,
                blocks_free: 50,
                blocks_available: 40,
                inodes: 10,
                inodes_free: 5,
            };
            if path.ends_with("dead") { Err(io::ErrorKind::Other.into()) } else { Ok(space) }
        });
        let mut mounts = Mounts::new(Path::new("/nowhere"));
        assert!(mounts.is_due(Duration::ZERO));
        mounts.ask(Duration::ZERO, listing, Path::new("/host"), &mut ask);
        assert!(!mounts.is_due(Duration::from_secs(9)) && mounts.is_due(Duration::from_secs(10)));
        let text = text_of(Format::Text, |out| assert!(mounts.expose(out)));
        let labels = |device: &str, point: &str, kind: &str| {
            format!("{{device=\"{device}\",mountpoint=\"{point}\",fstype=\"{kind}\"}}")
        };
        let root = labels("/dev/sda1", "/", "ext4");
        for line in [
            format!("node_filesystem_size_bytes{root} 409600\n"),
            format!("node_filesystem_avail_bytes{root} 163840\n"),
            format!("node_filesystem_files_free{root} 5\n"),
            format!("node_filesystem_readonly{root} 0\n"),
            format!("node_filesystem_readonly{} 1\n", labels("tmpfs", "/run", "tmpfs")),
            format!("node_filesystem_readonly{} 1\n", labels("/dev/sda2", "/data", "xfs")),
            format!("node_filesystem_device_error{} 1\n", labels("/dev/sda3", "/dead", "ext4")),
        ] {
            assert!(text.contains(&line), "{line} is not in {text}");
        }
        assert!(!text.contains("size_bytes{device=\"/dev/sda3\"") && !text.contains("/mnt"));
    }

    #[test]
    fn a_service_with_a_view_of_its_own_tells_the_hosts() {
        // As ProtectSystem, PrivateTmp and StateDirectory make it.
        let own = b"22 1 8:1 / / ro,relatime - ext4 /dev/sda1 rw\n\
            23 22 8:2 / /home ro - ext4 /dev/sda2 rw\n\
            24 22 8:1 /var/tmp/private/tmp /var/tmp rw - ext4 /dev/sda1 rw\n\
            25 22 8:3 / /data ro - xfs /dev/sda3 rw\n\
            26 22 8:4 /folder /only-here ro - ext4 /dev/sdb1 rw\n";
        let host = b"22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
            23 22 8:9 / /home rw - ext4 /dev/sdz1 rw\n\
            33 22 8:2 / /home rw - ext4 /dev/sda2 rw\n\
            25 22 8:3 / /data ro - xfs /dev/sda3 rw\n";
        let told = |own, host| {
            let mounts = as_the_host_has_them(own, host).into_iter();
            let shown = mounts.map(|mount| (mount.point, has(mount.point_options, b"ro")));
            shown.collect::<Vec<_>>()
        };
        assert_eq!(
            told(own, host),
            [(&b"/"[..], false), (b"/home", false), (b"/data", true), (b"/only-here", true),]
        );
        assert_eq!(told(own, b"").len(), 5, "without the host's all is told as it is");
    }
}
