//! Any system that sysinfo knows: what it gives, and nothing for the rest.
//!
//! Compiled and tested on Linux too, where it is not used. Promises no figure that sysinfo makes
//! up: its first processor usage is an average since boot and is left out.

use std::time::Duration;

use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};

use super::Source;
use crate::metrics::rates::{Counters, Keyed};
use crate::metrics::snapshot::{Filesystem, Network, Snapshot};

/// Rows of each list.
const ROWS_MAX: usize = 64;

/// How often the file systems are listed.
const FILESYSTEMS_EVERY: Duration = Duration::from_secs(10);

/// Reads a host through sysinfo.
pub struct Portable {
    system: Option<System>,
    networks: Option<Networks>,
    traffic: Keyed<Counters<6>>,
    has_usage: bool,
    filesystems_at: Option<Duration>,
}

impl Portable {
    /// The host this runs on.
    pub fn new() -> Portable {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::everything());
        let system = System::new_with_specifics(wanted);
        let system = system.inspect_err(|error| log::info!("source=sysinfo error=\"{error}\""));
        Portable {
            system: system.ok(),
            networks: Networks::new_with_refreshed_list().ok(),
            traffic: Keyed::with_limit(ROWS_MAX),
            has_usage: false,
            filesystems_at: None,
        }
    }

    fn read_system(&mut self, into: &mut Snapshot) {
        let Some(system) = &mut self.system else { return };
        system.refresh_memory();
        system.refresh_cpu_usage();
        let (total, available) = (system.total_memory() as f64, system.available_memory() as f64);
        let memory = &mut into.memory;
        memory.total = Some(total).filter(|total| *total > 0.0);
        memory.available = memory.total.map(|_| available);
        memory.used = memory.total.map(|total| (total - available).max(0.0));
        memory.usage = memory.total.map(|total| 100.0 * (total - available).max(0.0) / total);
        let (swap_total, swap_used) = (system.total_swap() as f64, system.used_swap() as f64);
        (memory.swap_total, memory.swap_used) = (Some(swap_total), Some(swap_used));
        memory.swap_usage = (swap_total > 0.0).then(|| 100.0 * swap_used / swap_total);
        into.cpu.clear();
        if self.has_usage {
            into.cpu.usage = Some(f64::from(system.global_cpu_usage()));
            let usages = system.cpus().iter().map(|core| Some(f64::from(core.usage())));
            into.cpu.cores.extend(usages);
        }
        self.has_usage = true;
        let average = System::load_average().ok();
        into.load.one = average.as_ref().map(|average| average.one);
        into.load.five = average.as_ref().map(|average| average.five);
        into.load.fifteen = average.as_ref().map(|average| average.fifteen);
        into.system.uptime_s = System::uptime().ok().map(|seconds| seconds as f64);
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

    fn read_filesystems(&mut self, now: Duration, rows: &mut Vec<Filesystem>) {
        if self.filesystems_at.is_some_and(|at| now < at + FILESYSTEMS_EVERY) {
            return;
        }
        self.filesystems_at = Some(now);
        let Ok(disks) = Disks::new_with_refreshed_list() else { return };
        let mut count = 0;
        for disk in disks.iter().take(ROWS_MAX) {
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
}

impl Default for Portable {
    fn default() -> Portable {
        Portable::new()
    }
}

impl Source for Portable {
    fn read(&mut self, now: Duration, into: &mut Snapshot) {
        self.read_system(into);
        self.read_networks(now, &mut into.networks);
        self.read_filesystems(now, &mut into.filesystems);
    }
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
        assert!(snapshot.load.one.is_some());
    }
}
