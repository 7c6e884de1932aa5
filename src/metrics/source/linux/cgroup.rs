//! The control group that vitald runs in: what limits its memory and its processor time.
//!
//! Sources: /proc/self/cgroup and mountinfo for where it is; memory.max, memory.current, cpu.max
//! and cpu.stat (Documentation/admin-guide/cgroup-v2.rst), or of version 1
//! memory.limit_in_bytes, memory.usage_in_bytes (Documentation/admin-guide/cgroup-v1/memory.rst),
//! cpu.cfs_quota_us, cpu.cfs_period_us, cpu.stat (Documentation/scheduler/sched-bwc.rst) and
//! cpuacct.usage. Memory and processor are looked up apart: the versions can be mixed. A limit holds
//! for all that is below it, so of the group and those above it the one counts that is in force: for
//! memory the one with the least room left, for the processor the one with the least quota; of equal
//! ones the nearest. Its figures are of all that is in it. Which it is, is found with the limits, so
//! another that comes to have less room is shown at the next look.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::HeldFile;
use super::lookups::Lookups;
use super::mounts::{self, Mount};
use super::text;
use crate::metrics::rates::Counters;
use crate::metrics::snapshot;

/// Groups above one another that are looked at; more than systemd and Kubernetes make together.
const DEPTH_MAX: usize = 32;

/// A limit from here on is none: version 1 has the largest number of pages there can be.
const MEMORY_UNLIMITED: u64 = 1 << 60;

struct Memory {
    group: PathBuf,
    limit: u64,
    used: HeldFile,
}

struct Processor {
    group: PathBuf,
    quota_cores: f64,
    statistics: HeldFile,
    /// Of version 1, where time used stands in a file of its own, in nanoseconds.
    usage: Option<HeldFile>,
    /// Microseconds used, periods, periods in which the group had to wait.
    counters: Counters<3>,
}

/// Reads the control group's figures.
pub struct Cgroup {
    root: PathBuf,
    membership: HeldFile,
    mounts: HeldFile,
    files: Lookups,
    memory: Option<Memory>,
    processor: Option<Processor>,
}

impl Cgroup {
    pub fn new(root: &Path) -> Cgroup {
        Cgroup {
            membership: HeldFile::of_one_record(root.join("proc/self/cgroup")).reopened(),
            mounts: HeldFile::new(root.join("proc/self/mountinfo")).reopened(),
            files: Lookups::default(),
            root: root.to_owned(),
            memory: None,
            processor: None,
        }
    }

    /// Looks for the limits: they change by hand, and a process can be moved.
    pub fn find(&mut self, now: Duration, buffer: &mut Vec<u8>) {
        let membership = self.membership.read(now, buffer).unwrap_or_default().to_vec();
        let mounts = self.mounts.read(now, buffer).unwrap_or_default().to_vec();
        let place = |controller: &[u8]| Place::of(controller, &membership, &mounts, &self.root);
        let files = &mut self.files;
        let memory = place(b"memory").and_then(|place| find_memory(&place, now, files));
        let limited = place(b"cpu");
        let processor = limited.as_ref().and_then(|place| find_processor(place, now, files));
        // Of version 1: where time is counted need not be where it is limited.
        let counted = limited.filter(|place| place.is_old).and_then(|limited| {
            let counted = place(b"cpuacct").filter(|counted| counted.is_old)?;
            Some((limited.top, counted.top))
        });
        self.memory = memory.map(|(group, limit, used)| match self.memory.take() {
            Some(known) if known.group == group => Memory { limit, ..known },
            _ => Memory { group, limit, used: HeldFile::of_one_record(used) },
        });
        self.processor = processor.map(|(group, quota_cores)| match self.processor.take() {
            Some(known) if known.group == group => Processor { quota_cores, ..known },
            _ => Processor {
                quota_cores,
                statistics: HeldFile::of_one_record(group.join("cpu.stat")),
                usage: counted.as_ref().map(|(limited, counted)| {
                    let below = group.strip_prefix(limited).unwrap_or(Path::new(""));
                    HeldFile::of_one_record(counted.join(below).join("cpuacct.usage"))
                }),
                counters: Counters::default(),
                group,
            },
        });
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, into: &mut snapshot::Cgroup) {
        into.clear();
        if let Some(memory) = &mut self.memory {
            let limit = memory.limit as f64;
            let used = memory.used.read(now, buffer).and_then(first_number).map(|used| used as f64);
            into.memory_limit = Some(limit);
            into.memory_used = used;
            into.memory_usage = used.filter(|_| limit > 0.0).map(|used| share(used, limit));
        }
        if let Some(processor) = &mut self.processor {
            processor.read(now, buffer, into);
        }
    }
}

impl Processor {
    fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, into: &mut snapshot::Cgroup) {
        let mut counters = [None; 3];
        if let Some(bytes) = self.statistics.read(now, buffer) {
            let names: [&[u8]; 3] = [b"usage_usec", b"nr_periods", b"nr_throttled"];
            counters = names.map(|name| text::value_of(bytes, name));
        }
        if let Some(usage) = &mut self.usage {
            counters[0] = usage.read(now, buffer).and_then(first_number).map(|ns| ns / 1000);
        }
        let deltas = self.counters.advance(now, counters);
        into.cpu_quota_cores = Some(self.quota_cores);
        let cores = deltas.per_second(0).map(|us| us / 1e6);
        into.cpu_usage = cores.map(|cores| share(cores, self.quota_cores));
        // A group with nothing to run has no periods, and has not waited.
        let periods = deltas.delta(1).zip(deltas.delta(2));
        into.cpu_throttled = periods.map(|(all, waited)| share(waited, all.max(1.0)));
    }
}

/// A percentage. Time and periods are counted a little apart, and a limit can be lowered below what
/// is in use.
fn share(part: f64, whole: f64) -> f64 {
    (100.0 * part / whole).min(100.0)
}

/// Where the groups of a controller are.
struct Place {
    /// Where the hierarchy is mounted.
    top: PathBuf,
    /// The group itself, at or below it.
    group: PathBuf,
    is_old: bool,
}

impl Place {
    /// By version 1 if a hierarchy of it has the controller, else by version 2.
    fn of(controller: &[u8], membership: &[u8], mounts: &[u8], root: &Path) -> Option<Place> {
        let is_named =
            |list: &[u8]| list.split(|byte| *byte == b',').any(|name| name == controller);
        let find = |is_old: bool| {
            // A number, controllers with commas between them, a path that may hold colons.
            let path = text::lines(membership).find_map(|line| {
                let mut parts = line.splitn(3, |byte| *byte == b':').skip(1);
                let (controllers, path) = (parts.next()?, parts.next()?);
                let is_it = if is_old { is_named(controllers) } else { controllers.is_empty() };
                is_it.then_some(path)
            })?;
            let mount = text::lines(mounts).filter_map(Mount::parse).find(|mount| {
                let is_old_it = mount.kind == b"cgroup" && is_named(mount.options);
                if is_old { is_old_it } else { mount.kind == b"cgroup2" }
            })?;
            let top = root.join(mounts::unescape(mount.point).trim_start_matches('/'));
            let below = below(path, mounts::unescape(mount.root).as_bytes());
            let group = top.join(String::from_utf8_lossy(below).as_ref());
            Some(Place { top, group, is_old })
        };
        find(true).or_else(|| find(false))
    }

    /// The group and those above it, the nearest first.
    fn groups(&self) -> impl Iterator<Item = &Path> {
        let is_inside = |group: &&Path| group.starts_with(&self.top);
        self.group.ancestors().take_while(is_inside).take(DEPTH_MAX)
    }
}

/// The part of a group's path that is below what is mounted. In a container the mount often begins
/// at the container's own group, which `path` then names, or, in a namespace of its own, does not.
fn below<'a>(path: &'a [u8], mounted: &[u8]) -> &'a [u8] {
    let mounted = mounted.strip_suffix(b"/").unwrap_or(mounted);
    let is_outside = path.split(|byte| *byte == b'/').any(|part| part == b"..");
    match path.strip_prefix(mounted) {
        Some(rest) if !is_outside && (rest.is_empty() || rest[0] == b'/') => {
            &rest[rest.len().min(1)..]
        }
        _ => b"",
    }
}

/// The group that limits memory, the limit, and the file with what is in use.
fn find_memory(
    place: &Place,
    now: Duration,
    files: &mut Lookups,
) -> Option<(PathBuf, u64, PathBuf)> {
    let [limit, used] = match place.is_old {
        true => ["memory.limit_in_bytes", "memory.usage_in_bytes"],
        false => ["memory.max", "memory.current"],
    };
    let limits = place.groups().filter_map(|group| {
        // "max", where there is none, is no number.
        let found = files.read(now, &group.join(limit)).and_then(first_number);
        let limit = found.filter(|limit| *limit < MEMORY_UNLIMITED)?;
        let used = group.join(used);
        let room = limit.saturating_sub(files.read(now, &used).and_then(first_number).unwrap_or(0));
        Some((room, (group.to_owned(), limit, used)))
    });
    Some(limits.min_by_key(|(room, _)| *room)?.1)
}

/// The group that limits processor time, and the limit in cores.
fn find_processor(place: &Place, now: Duration, files: &mut Lookups) -> Option<(PathBuf, f64)> {
    let quotas = place.groups().filter_map(|group| {
        let mut read = |name: &str| {
            let bytes = files.read(now, &group.join(name))?;
            let mut words = text::words(bytes).map(text::number);
            Some((words.next()?, words.next().flatten()))
        };
        // -1 or "max", where there is none, is no number.
        let (quota, period) = if place.is_old {
            (read("cpu.cfs_quota_us")?.0, read("cpu.cfs_period_us")?.0)
        } else {
            read("cpu.max")?
        };
        let cores = quota.zip(period).map(|(quota, period)| quota as f64 / period as f64);
        let cores = cores.filter(|cores| *cores > 0.0 && cores.is_finite())?;
        Some((group.to_owned(), cores))
    });
    quotas.min_by(|(_, one), (_, other)| one.total_cmp(other))
}

fn first_number(bytes: &[u8]) -> Option<u64> {
    text::words(bytes).next().and_then(text::number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD_MOUNTS: &[u8] =
        b"31 25 0:28 /docker/ab /sys/fs/cgroup/memory ro - cgroup c rw,memory\n\
        32 25 0:29 / /sys/fs/cgroup/cpu,cpuacct ro - cgroup c rw,cpu,cpuacct\n\
        33 25 0:30 / /sys/fs/cgroup/unified ro - cgroup2 c rw\n";

    fn place(controller: &[u8], membership: &[u8]) -> (String, bool) {
        let place = Place::of(controller, membership, OLD_MOUNTS, Path::new("/")).unwrap();
        (place.group.to_string_lossy().into_owned(), place.is_old)
    }

    #[test]
    fn a_group_is_below_what_is_mounted() {
        let membership = b"4:memory:/docker/ab/c:d\n2:cpuacct,cpu:/docker/ab\n0::/docker/ab\n";
        assert_eq!(place(b"memory", membership), ("/sys/fs/cgroup/memory/c:d".into(), true));
        let expected = "/sys/fs/cgroup/cpu,cpuacct/docker/ab";
        assert_eq!(place(b"cpu", membership), (expected.into(), true));
        let expected = "/sys/fs/cgroup/unified/docker/ab";
        assert_eq!(place(b"pids", membership), (expected.into(), false));
    }

    #[test]
    fn a_path_that_leads_outside_is_that_of_the_mount() {
        assert_eq!(below(b"/../../x", b"/"), b"");
        assert_eq!(below(b"/other", b"/docker/ab"), b"");
        assert_eq!(below(b"/docker/abc", b"/docker/ab"), b"");
        assert_eq!(below(b"/docker/ab", b"/docker/ab"), b"");
        assert_eq!(below(b"/", b"/"), b"");
        assert_eq!(below(b"/a/b", b"/"), b"a/b");
    }
}
