//! /proc/stat: processor time, and the kernel's counters (Documentation/filesystems/proc.rst).

use std::path::Path;
use std::time::Duration;

use super::file::HeldFile;
use super::text;
use crate::metrics::rates::Counters;
use crate::metrics::snapshot::{Cpu, Snapshot};

/// Cores whose usage is told apart. More are in the total all the same.
const CORES_MAX: usize = 1024;

/// Columns of a cpu line: user, nice, system, idle, iowait, irq, softirq, steal. The guest columns
/// behind them are counted in user and nice already.
const COLUMNS: usize = 8;
const IDLE: usize = 3;
const IOWAIT: usize = 4;

type Times = [Option<u64>; COLUMNS];

/// Reads /proc/stat.
pub struct Stat {
    file: HeldFile,
    total: Times,
    cores: Vec<Times>,
    counters: Counters<3>,
    /// `None` on a host whose cores do not scale, as virtual ones: it is not asked again.
    frequency: Option<HeldFile>,
}

impl Stat {
    pub fn new(proc: &Path, sys: &Path) -> Stat {
        let frequency = sys.join("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq");
        Stat {
            file: HeldFile::new(proc.join("stat")),
            total: [None; COLUMNS],
            cores: Vec::new(),
            counters: Counters::default(),
            frequency: frequency.exists().then(|| HeldFile::new(frequency)),
        }
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, into: &mut Snapshot) {
        into.cpu.clear();
        let (mut interrupts, mut switches, mut forks) = (None, None, None);
        if let Some(bytes) = self.file.read(now, buffer) {
            let mut cores = 0;
            for line in text::lines(bytes) {
                let mut words = text::words(line);
                let value =
                    |words: &mut dyn Iterator<Item = &[u8]>| words.next().and_then(text::number);
                match words.next() {
                    Some(b"cpu") => self.take_total(times(words), &mut into.cpu),
                    Some(name) if name.starts_with(b"cpu") && cores < CORES_MAX => {
                        self.take_core(cores, times(words), &mut into.cpu);
                        cores += 1;
                    }
                    Some(b"intr") => interrupts = value(&mut words),
                    Some(b"ctxt") => switches = value(&mut words),
                    Some(b"processes") => forks = value(&mut words),
                    Some(b"procs_blocked") => {
                        into.load.blocked = value(&mut words).map(|count| count as f64);
                    }
                    _ => {}
                }
            }
            self.cores.truncate(cores);
        }
        let deltas = self.counters.advance(now, [switches, interrupts, forks]);
        into.system.context_switches_per_s = deltas.per_second(0);
        into.system.interrupts_per_s = deltas.per_second(1);
        into.system.forks_per_s = deltas.per_second(2);
        into.cpu.frequency_mhz = self.read_frequency(now, buffer);
    }

    fn take_total(&mut self, times: Times, cpu: &mut Cpu) {
        if let Some(shares) = shares(&self.total, &times) {
            let [user, nice, system, idle, iowait, irq, softirq, steal] = shares;
            cpu.usage = Some((100.0 - idle - iowait).clamp(0.0, 100.0));
            cpu.user = Some(user);
            cpu.nice = Some(nice);
            cpu.system = Some(system);
            cpu.iowait = Some(iowait);
            cpu.irq = Some(irq + softirq);
            cpu.steal = Some(steal);
        }
        self.total = times;
    }

    fn take_core(&mut self, core: usize, times: Times, cpu: &mut Cpu) {
        if core == self.cores.len() {
            self.cores.push([None; COLUMNS]);
        }
        let shares = shares(&self.cores[core], &times);
        cpu.cores
            .push(shares.map(|shares| (100.0 - shares[IDLE] - shares[IOWAIT]).clamp(0.0, 100.0)));
        self.cores[core] = times;
    }

    /// The first core's frequency: most hosts scale all cores together, and a read a core would
    /// cost a large host more than everything else.
    fn read_frequency(&mut self, now: Duration, buffer: &mut Vec<u8>) -> Option<f64> {
        let bytes = self.frequency.as_mut()?.read(now, buffer)?;
        let kilohertz = text::words(bytes).next().and_then(text::number)?;
        Some(kilohertz as f64 / 1000.0)
    }
}

fn times<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Times {
    std::array::from_fn(|_| words.next().and_then(text::number))
}

/// Each column's share of the time between two readings, in percent; `None` without an earlier
/// reading, without time, or when a counter that never goes back has done so. iowait may go back
/// by a little (proc.rst says so); it then counts as nothing.
fn shares(before: &Times, after: &Times) -> Option<[f64; COLUMNS]> {
    let mut deltas = [0.0; COLUMNS];
    for (index, delta) in deltas.iter_mut().enumerate() {
        // Kernels before 2.6.11 have fewer columns; those count as nothing.
        let Some(after) = after[index] else { continue };
        let before = before[index]?;
        *delta = match after.checked_sub(before) {
            Some(delta) => delta as f64,
            None if index == IOWAIT || index == IDLE => 0.0,
            None => return None,
        };
    }
    let total: f64 = deltas.iter().sum();
    (total > 0.0).then(|| deltas.map(|delta| 100.0 * delta / total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(values: [u64; COLUMNS]) -> Times {
        values.map(Some)
    }

    #[test]
    fn shares_are_of_the_time_that_passed() {
        let before = times([100, 0, 100, 800, 0, 0, 0, 0]);
        let after = times([110, 0, 105, 880, 5, 0, 0, 0]);
        let shares = shares(&before, &after).unwrap();
        assert_eq!((shares[0], shares[2], shares[IDLE], shares[IOWAIT]), (10.0, 5.0, 80.0, 5.0));
    }

    #[test]
    fn waiting_time_that_went_back_counts_as_none() {
        let before = times([0, 0, 0, 0, 10, 0, 0, 0]);
        let after = times([50, 0, 0, 50, 9, 0, 0, 0]);
        assert_eq!(shares(&before, &after).unwrap()[IOWAIT], 0.0);
    }

    #[test]
    fn nothing_is_told_of_a_first_reading_a_reset_or_no_time() {
        let some = times([1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(shares(&[None; COLUMNS], &some), None);
        assert_eq!(shares(&some, &some), None);
        assert_eq!(shares(&times([9; 8]), &some), None);
    }
}
