//! Any system that sysinfo knows: what it gives, and nothing for the rest.
//!
//! Compiled and tested on Linux too, where it is not used and costs the binary nothing. Promises no
//! figure that sysinfo makes up: its first processor usage is an average since boot and is left
//! out, and so is its highest temperature, which is the highest it has seen. It knows bytes of the
//! disks and no requests, and no split of processor time, no pressure and no sockets.
//!
//! What it cannot avoid: on macOS, FreeBSD and NetBSD sysinfo asks every mount as it lists them, so
//! that a network mount whose server is dead can keep the loop waiting. Their kinds are not asked
//! again here and have no rows; whoever mounts such a thing there does better to unmount it. On
//! Windows sysinfo leaves network drives out by itself, and on Linux NFS and CIFS.

pub mod processes;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::time::Duration;

use sysinfo::{
    Components, CpuRefreshKind, DiskRefreshKind, Disks, MemoryRefreshKind, Networks,
    ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System,
};

use super::Source;
use crate::metrics::rates::{Counters, Keyed};
use crate::metrics::snapshot::{Cpu, Disk, Filesystem, Network, Snapshot, Temperature};

/// Rows of each list.
const ROWS_MAX: usize = 64;

/// How often file systems, sensors, the frequency and processes are looked at: they change slowly,
/// and a list of all processes takes ten milliseconds where there are hundreds.
const SLOWLY: Duration = Duration::from_secs(10);

/// Kinds of file systems that a server or a program has to answer for, in small letters.
const REMOTE: [&str; 14] = [
    "9p",
    "afpfs",
    "autofs",
    "ceph",
    "cifs",
    "ftp",
    "glusterfs",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
    "virtiofs",
    "webdav",
];

/// Reads a host through sysinfo.
pub struct Portable {
    system: Option<System>,
    networks: Option<Networks>,
    disks: Option<Disks>,
    sensors: Option<Components>,
    traffic: Keyed<Counters<6>>,
    transfers: Keyed<Counters<2>>,
    has_usage: bool,
    slow_at: Option<Duration>,
}

/// What a constructor gave, if anything; told of once otherwise.
fn given<T>(what: &str, result: Result<T, sysinfo::Error>) -> Option<T> {
    result.inspect_err(|error| log::info!("source={what} unavailable error=\"{error}\"")).ok()
}

impl Portable {
    /// The host this runs on.
    pub fn new() -> Portable {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage().with_frequency())
            .with_memory(MemoryRefreshKind::everything());
        Portable {
            system: given("sysinfo", System::new_with_specifics(wanted)),
            networks: given("networks", Networks::new_with_refreshed_list()),
            disks: given("disks", Disks::new()),
            sensors: given("sensors", Components::new_with_refreshed_list()),
            traffic: Keyed::with_limit(ROWS_MAX),
            transfers: Keyed::with_limit(ROWS_MAX),
            has_usage: false,
            slow_at: None,
        }
    }

    fn read_system(&mut self, is_slow: bool, into: &mut Snapshot) {
        let frequency_mhz = into.cpu.frequency_mhz;
        into.cpu.clear();
        let average = System::load_average().ok();
        into.load.one = average.as_ref().map(|average| average.one);
        into.load.five = average.as_ref().map(|average| average.five);
        into.load.fifteen = average.as_ref().map(|average| average.fifteen);
        into.system.uptime_s = System::uptime().ok().map(|seconds| seconds as f64);
        let Some(system) = &mut self.system else { return };
        system.refresh_memory();
        system.refresh_cpu_usage();
        read_memory(system, into);
        if self.has_usage {
            into.cpu.usage = Some(f64::from(system.global_cpu_usage()).clamp(0.0, 100.0));
            let usage = |core: &sysinfo::Cpu| Some(f64::from(core.usage()).clamp(0.0, 100.0));
            into.cpu.cores.extend(system.cpus().iter().map(usage));
        }
        self.has_usage = true;
        into.cpu.frequency_mhz = frequency_mhz;
        if is_slow {
            read_slowly(system, &mut into.cpu);
            into.system.processes = count_processes(system);
        }
    }

    fn read_networks(&mut self, now: Duration, rows: &mut Vec<Network>) {
        let Some(networks) = &mut self.networks else { return };
        networks.refresh(true);
        // The map has no order; a table needs one.
        let mut list: Vec<_> =
            networks.iter().map(|(name, data)| (name.to_string_lossy(), data)).collect();
        list.sort_by(|one, other| one.0.cmp(&other.0));
        self.traffic.begin();
        let mut count = 0;
        for (name, data) in list.iter().filter(|(name, _)| !is_loopback(name)) {
            let Some(counters) = self.traffic.next(name, Counters::default) else { break };
            let deltas = counters.advance(
                now,
                [
                    Some(data.total_received()),
                    Some(data.total_transmitted()),
                    Some(data.total_packets_received()),
                    Some(data.total_packets_transmitted()),
                    Some(data.total_errors_on_received()),
                    Some(data.total_errors_on_transmitted()),
                ],
            );
            let row = Network::at(rows, count, name);
            row.rx_bytes_per_s = deltas.per_second(0);
            row.tx_bytes_per_s = deltas.per_second(1);
            row.rx_packets_per_s = deltas.per_second(2);
            row.tx_packets_per_s = deltas.per_second(3);
            row.rx_errors_per_s = deltas.per_second(4);
            row.tx_errors_per_s = deltas.per_second(5);
            count += 1;
        }
        self.traffic.finish();
        rows.truncate(count);
    }

    /// Of a device that is mounted at several places sysinfo has a disk each; the first counts.
    fn read_disks(&mut self, now: Duration, rows: &mut Vec<Disk>) {
        let Some(disks) = &mut self.disks else { return };
        let mut list: Vec<(Cow<'_, str>, _)> =
            local(disks).map(|disk| (disk.name().to_string_lossy(), disk.usage())).collect();
        list.sort_by(|one, other| one.0.cmp(&other.0));
        list.dedup_by(|later, earlier| later.0 == earlier.0);
        self.transfers.begin();
        let mut count = 0;
        for (name, usage) in &list {
            let Some(counters) = self.transfers.next(name, Counters::default) else { break };
            let totals = [usage.total_read_bytes, usage.total_written_bytes].map(Some);
            let deltas = counters.advance(now, totals);
            let row = Disk::at(rows, count, name);
            row.read_bytes_per_s = deltas.per_second(0);
            row.write_bytes_per_s = deltas.per_second(1);
            count += 1;
        }
        self.transfers.finish();
        rows.truncate(count);
    }

    fn read_filesystems(&self, rows: &mut Vec<Filesystem>) {
        let mut count = 0;
        for disk in self.disks.iter().flat_map(local).take(ROWS_MAX) {
            let row = Filesystem::at(rows, count, &disk.mount_point().to_string_lossy());
            let (total, available) = (disk.total_space() as f64, disk.available_space() as f64);
            row.device = disk.name().to_string_lossy().into_owned();
            row.kind = disk.file_system().to_string_lossy().into_owned();
            (row.total, row.available) = (Some(total), Some(available));
            row.used = Some((total - available).max(0.0));
            row.usage = (total > 0.0).then(|| 100.0 * (total - available).max(0.0) / total);
            count += 1;
        }
        rows.truncate(count);
    }

    fn read_temperatures(&mut self, rows: &mut Vec<Temperature>) {
        let Some(sensors) = &mut self.sensors else { return };
        sensors.refresh(true);
        let mut list: Vec<_> = sensors.iter().collect();
        list.sort_by(|one, other| one.label().cmp(other.label()));
        // Two that could not be told apart would be one path.
        list.dedup_by(|later, earlier| later.label() == earlier.label());
        let mut count = 0;
        for sensor in list.iter().take(ROWS_MAX) {
            let row = Temperature::at(rows, count, sensor.label());
            sensor.label().clone_into(&mut row.label);
            let degrees = |value: Option<f32>| value.filter(|v| v.is_finite()).map(f64::from);
            row.celsius = degrees(sensor.temperature());
            row.critical = degrees(sensor.critical());
            count += 1;
        }
        rows.truncate(count);
    }
}

fn read_memory(system: &System, into: &mut Snapshot) {
    let (total, available) = (system.total_memory() as f64, system.available_memory() as f64);
    let memory = &mut into.memory;
    memory.total = Some(total).filter(|total| *total > 0.0);
    memory.available = memory.total.map(|_| available);
    memory.used = memory.total.map(|total| (total - available).max(0.0));
    memory.usage = memory.total.map(|total| 100.0 * (total - available).max(0.0) / total);
    let (swap_total, swap_used) = (system.total_swap() as f64, system.used_swap() as f64);
    (memory.swap_total, memory.swap_used) = (Some(swap_total), Some(swap_used));
    memory.swap_usage = (swap_total > 0.0).then(|| (100.0 * swap_used / swap_total).min(100.0));
}

/// The first core's frequency, as on Linux; 0 is sysinfo's word for not known.
fn read_slowly(system: &mut System, cpu: &mut Cpu) {
    system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_frequency());
    let first = system.cpus().first().map(sysinfo::Cpu::frequency);
    cpu.frequency_mhz = first.filter(|mhz| *mhz > 0).map(|mhz| mhz as f64);
}

fn count_processes(system: &mut System) -> Option<f64> {
    let wanted = ProcessRefreshKind::nothing().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, wanted);
    Some(system.processes().len() as f64).filter(|count| *count > 0.0)
}

impl Default for Portable {
    fn default() -> Portable {
        Portable::new()
    }
}

impl Source for Portable {
    fn read(&mut self, now: Duration, into: &mut Snapshot) {
        let is_slow = self.slow_at.is_none_or(|at| now >= at + SLOWLY);
        self.read_system(is_slow, into);
        self.read_networks(now, &mut into.networks);
        if let Some(disks) = self.disks.as_mut() {
            disks.refresh_specifics(is_slow, DiskRefreshKind::nothing().with_io_usage());
            // Asking for the space can wake a disk.
            let disks = disks.iter_mut().filter(|disk| is_slow && !is_remote(disk.file_system()));
            for disk in disks {
                disk.refresh_specifics(DiskRefreshKind::nothing().with_storage());
            }
        }
        self.read_disks(now, &mut into.disks);
        if is_slow {
            self.slow_at = Some(now);
            self.read_filesystems(&mut into.filesystems);
            self.read_temperatures(&mut into.temperatures);
        }
    }
}

/// The disks that need nobody else to answer.
fn local(disks: &Disks) -> impl Iterator<Item = &sysinfo::Disk> {
    disks.iter().filter(|disk| !is_remote(disk.file_system()))
}

/// Whether a network or, by FUSE, a program stands behind a kind of file system.
fn is_remote(kind: &OsStr) -> bool {
    let kind = kind.to_string_lossy().to_ascii_lowercase();
    REMOTE.contains(&&*kind)
        || ["fuse", "macfuse", "osxfuse"].iter().any(|start| kind.starts_with(start))
}

/// Whether an interface is the host talking to itself: `lo` on Linux, `lo0` and so on on the BSDs
/// and macOS, `Loopback Pseudo-Interface 1` on Windows.
fn is_loopback(name: &str) -> bool {
    let number = name.strip_prefix("lo");
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        || name.starts_with("Loopback")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_or_a_program_answers_for_is_not_local() {
        let remote =
            ["nfs", "smbfs", "CIFS", "fusefs.sshfs", "fuseblk", "macfuse", "autofs", "webdav"]
                .map(|kind| is_remote(OsStr::new(kind)));
        assert_eq!(remote, [true; 8]);
        for kind in ["apfs", "hfs", "NTFS", "ufs", "zfs", "ext4", "exfat", "nfsd", ""] {
            assert!(!is_remote(OsStr::new(kind)), "{kind}");
        }
    }

    #[test]
    fn only_the_loopback_interface_is_left_out() {
        let shown = ["lo", "lo0", "Loopback Pseudo-Interface 1", "lowpan0", "eth0", "Local Area"]
            .map(|name| !is_loopback(name));
        assert_eq!(shown, [false, false, false, true, true, true]);
    }

    #[test]
    fn this_host_has_plausible_figures_at_the_second_reading() {
        let (mut portable, mut snapshot) = (Portable::new(), Snapshot::default());
        portable.read(Duration::ZERO, &mut snapshot);
        assert_eq!(snapshot.cpu.usage, None, "the first figure is an average since boot");
        portable.read(Duration::from_secs(1), &mut snapshot);
        assert!(snapshot.cpu.usage.is_some_and(|usage| (0.0..=100.0).contains(&usage)));
        assert!(snapshot.memory.total.is_some_and(|total| total > 1e6));
        assert!(snapshot.memory.usage.is_some_and(|usage| (0.0..=100.0).contains(&usage)));
        assert!(snapshot.load.one.is_some() && snapshot.system.uptime_s.is_some());
        assert!(snapshot.system.processes.is_some_and(|count| count >= 1.0));
        assert!(!snapshot.filesystems.is_empty());
        assert!(snapshot.disks.iter().all(|disk| disk.read_bytes_per_s.is_some()));
        assert!(snapshot.networks.iter().all(|network| network.rx_bytes_per_s.is_some()));
    }

    #[test]
    fn what_sysinfo_does_not_know_is_null() {
        let (mut portable, mut snapshot) = (Portable::new(), Snapshot::default());
        for second in 0..2 {
            portable.read(Duration::from_secs(second), &mut snapshot);
        }
        assert_eq!(snapshot.pressure, Default::default());
        assert_eq!(snapshot.sockets, Default::default());
        assert_eq!(snapshot.cgroup, Default::default());
        assert_eq!(
            (snapshot.cpu.user, snapshot.cpu.steal, snapshot.memory.dirty),
            (None, None, None)
        );
        assert!(snapshot.disks.iter().all(|disk| disk.await_ms.is_none()));
        assert!(snapshot.temperatures.iter().all(|sensor| sensor.high.is_none()));
    }
}
