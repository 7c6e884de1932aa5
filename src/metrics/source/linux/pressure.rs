//! /proc/pressure: how long work stands still for want of something
//! (Documentation/accounting/psi.rst). Kernels before 4.20 do not have it, and some are built
//! without it or need `psi=1`.

use std::path::Path;
use std::time::Duration;

use super::file::HeldFile;
use super::text;
use crate::metrics::snapshot;

/// Reads the pressure on processors, memory and disks.
pub struct Pressure {
    pub(super) cpu: HeldFile,
    pub(super) memory: HeldFile,
    pub(super) io: HeldFile,
}

impl Pressure {
    pub fn new(proc: &Path) -> Pressure {
        let held = |name: &str| HeldFile::of_one_record(proc.join("pressure").join(name));
        Pressure { cpu: held("cpu"), memory: held("memory"), io: held("io") }
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, into: &mut snapshot::Pressure) {
        // The kernel's "full" of the processors is always zero for a whole host.
        (into.cpu_some, _) = averages(&mut self.cpu, now, buffer);
        (into.memory_some, into.memory_full) = averages(&mut self.memory, now, buffer);
        (into.io_some, into.io_full) = averages(&mut self.io, now, buffer);
    }
}

/// The share of the last 10 s in which some threads stood still, and in which all did.
fn averages(
    file: &mut HeldFile,
    now: Duration,
    buffer: &mut Vec<u8>,
) -> (Option<f64>, Option<f64>) {
    let bytes = file.read(now, buffer).unwrap_or_default();
    (text::pressure(bytes, b"some"), text::pressure(bytes, b"full"))
}
