//! What a Prometheus server is told of a Linux host, by the names that node_exporter has given.
//!
//! Owns the files that nobody but a scrape reads; the others it shares with the readers of the
//! tick. Names, labels, types and helps are node_exporter's, so that its dashboards and rules work
//! here: those of its version 1.5, and of later ones the queues of softnet, two figures of TCP,
//! pressure of interrupts, labels of disks and interfaces (1.9), the end of an OS's support (1.8)
//! and frequencies of hwmon (1.9). So are its defaults for what is left out. A collector bears the
//! name of its counterpart there. Promises: a file that is missing costs its own samples only;
//! tables are bounded; what may be slow is read a little at a time ([`attributes`]), because the
//! loop stands still meanwhile. May import: the writer and the readers of the tick.

mod attributes;
mod cpu;
mod disks;
mod filesystems;
mod frequencies;
mod host;
mod hwmon;
mod interfaces;
mod kernel;
mod memory;
mod network;
mod thermal;

use std::path::Path;
use std::time::Duration;

use self::cpu::CpuTimes;
use self::disks::DiskInfos;
use self::filesystems::Mounts;
use self::frequencies::Frequencies;
use self::host::Host;
use self::hwmon::Sensors;
use self::interfaces::Interfaces;
use self::network::Stack;
use self::thermal::Thermal;
use super::Linux;
use super::file::HeldFile;
use super::filesystems::Filesystems;
use super::pressure::Pressure;
use crate::metrics::exposition::Exposition;

/// What only a scrape needs.
pub struct Collectors {
    cpu: CpuTimes,
    disks: DiskInfos,
    frequencies: Frequencies,
    host: Host,
    interfaces: Interfaces,
    irq_pressure: HeldFile,
    mounts: Mounts,
    schedstat: HeldFile,
    sensors: Sensors,
    stack: Stack,
    thermal: Thermal,
}

impl Collectors {
    pub fn new(root: &Path) -> Collectors {
        let (proc, sys) = (root.join("proc"), root.join("sys"));
        Collectors {
            cpu: CpuTimes::default(),
            disks: DiskInfos::new(root),
            frequencies: Frequencies::new(&sys),
            host: Host::new(root),
            interfaces: Interfaces::new(&sys),
            irq_pressure: HeldFile::of_one_record(proc.join("pressure/irq")),
            mounts: Mounts::new(root),
            schedstat: HeldFile::new(proc.join("schedstat")),
            sensors: Sensors::new(&sys),
            stack: Stack::new(&proc),
            thermal: Thermal::new(&sys),
        }
    }
}

impl Linux {
    /// Every collector. The writer sorts what they find.
    pub(super) fn expose_all(&mut self, now: Duration, wall_ms: u64, out: &mut Exposition<'_>) {
        self.expose_kernel(now, wall_ms, out);
        self.expose_devices(now, out);
        self.expose_network(now, out);
    }

    fn expose_kernel(&mut self, now: Duration, wall_ms: u64, out: &mut Exposition<'_>) {
        let Linux { buffer, collectors, .. } = self;
        let host = &mut collectors.host;
        let mut stat = None;
        out.collector("entropy", |out| host.entropy(now, buffer, out));
        out.collector("filefd", |out| {
            let bytes = self.sockets.handles.read(now, buffer);
            bytes.is_some_and(|bytes| host::file_handles(bytes, out))
        });
        out.collector("loadavg", |out| {
            self.load.read(now, buffer).is_some_and(|bytes| kernel::load(bytes, out))
        });
        out.collector("meminfo", |out| {
            self.memory.read(now, buffer).is_some_and(|bytes| memory::meminfo(bytes, out))
        });
        out.collector("os", |out| host.release(now, out));
        out.collector("pressure", |out| {
            let Pressure { cpu, memory, io } = &mut self.pressure;
            let files = [("cpu", cpu), ("memory", memory), ("io", io)];
            let files = files.into_iter().chain([("irq", &mut collectors.irq_pressure)]);
            let found = files.map(|(resource, file)| {
                let bytes = file.read(now, buffer);
                bytes.is_some_and(|bytes| kernel::pressure(resource, bytes, out))
            });
            found.fold(false, |any, found| any | found)
        });
        out.collector("schedstat", |out| {
            let bytes = collectors.schedstat.read(now, buffer);
            bytes.is_some_and(|bytes| cpu::scheduling(bytes, out))
        });
        out.collector("time", |out| host.time(wall_ms, now, out));
        out.collector("uname", host::kernel_name);
        out.collector("vmstat", |out| {
            self.system.vmstat.read(now, buffer).is_some_and(|bytes| memory::vmstat(bytes, out))
        });
        // Last, for it keeps the buffer: one reading for two collectors.
        out.collector("cpu", |out| {
            stat = self.stat.file.read(now, buffer);
            stat.is_some_and(|bytes| collectors.cpu.expose(bytes, out))
        });
        out.collector("stat", |out| stat.is_some_and(|bytes| kernel::stat(bytes, out)));
    }

    fn expose_devices(&mut self, now: Duration, out: &mut Exposition<'_>) {
        let Linux { buffer, collectors, .. } = self;
        out.collector("cpufreq", |out| collectors.frequencies.expose(now, out));
        out.collector("diskstats", |out| {
            let bytes = self.disks.file.read(now, buffer);
            bytes.is_some_and(|bytes| collectors.disks.expose(now, bytes, out))
        });
        out.collector("filesystem", |out| {
            let Filesystems { file, root, ask, .. } = &mut self.filesystems;
            if collectors.mounts.is_due(now) {
                let bytes = file.read(now, buffer).unwrap_or_default();
                collectors.mounts.ask(now, bytes, root, ask);
            }
            collectors.mounts.expose(out)
        });
        out.collector("hwmon", |out| collectors.sensors.expose(now, out));
        out.collector("thermal_zone", |out| collectors.thermal.expose(now, out));
    }

    fn expose_network(&mut self, now: Duration, out: &mut Exposition<'_>) {
        let Linux { buffer, collectors, .. } = self;
        let stack = &mut collectors.stack;
        out.collector("arp", |out| stack.arp(now, buffer, out));
        out.collector("conntrack", |out| stack.conntrack(now, buffer, out));
        out.collector("netclass", |out| collectors.interfaces.expose(now, out));
        out.collector("netdev", |out| {
            let bytes = self.networks.file.read(now, buffer);
            bytes.is_some_and(|bytes| network::devices(bytes, out))
        });
        out.collector("netstat", |out| {
            stack.statistics(&mut self.sockets.statistics, now, buffer, out)
        });
        out.collector("sockstat", |out| {
            let files = [&mut self.sockets.sockstat, &mut self.sockets.sockstat6];
            files.into_iter().fold(false, |any, file| {
                let bytes = file.read(now, buffer).unwrap_or_default();
                any | network::sockets(bytes, out)
            })
        });
        out.collector("softnet", |out| stack.softnet(now, buffer, out));
    }
}
