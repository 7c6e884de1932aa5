//! /proc/stat: processor time, and the kernel's counters (Documentation/filesystems/proc.rst), and
//! the clock frequency (Documentation/admin-guide/pm/cpufreq.rst).

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
    pub(super) file: HeldFile,
    total: Times,
    cores: Vec<Times>,
    counters: Counters<3>,
    /// `None` on a host whose cores do not scale, as virtual ones: it is not asked again.
    frequency: Option<HeldFile>,
    frequency_mhz: Option<f64>,
}

impl Stat {
    pub fn new(proc: &Path, sys: &Path) -> Stat {
        let frequency = sys.join("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq");
        Stat {
            file: HeldFile::of_one_record(proc.join("stat")),
            total: [None; COLUMNS],
            cores: Vec::new(),
            counters: Counters::default(),
            frequency: frequency.exists().then(|| HeldFile::of_one_record(frequency).reopened()),
            frequency_mhz: None,
        }
    }

    pub fn read(&mut self, now: Duration, buffer: &mut Vec<u8>, into: &mut Snapshot) {
        into.cpu.clear();
        into.cpu.frequency_mhz = self.frequency_mhz;
        into.load.blocked = None;
        let (mut interrupts, mut switches, mut forks) = (None, None, None);
        for line in text::lines(self.file.read(now, buffer).unwrap_or_default()) {
            let mut words = text::words(line);
            let name = words.next().unwrap_or_default();
            if let Some(number) = name.strip_prefix(b"cpu") {
                match text::number(number) {
                    _ if number.is_empty() => self.take_total(times(words), &mut into.cpu),
                    Some(core) => self.take_core(core, times(words), &mut into.cpu),
                    None => {}
                }
                continue;
            }
            // Each has what is wanted first: the line of interrupts goes on with one for each.
            let mut value = || words.next().and_then(text::number);
            match name {
                b"intr" => interrupts = value(),
                b"ctxt" => switches = value(),
                b"processes" => forks = value(),
                b"procs_blocked" => into.load.blocked = value().map(|count| count as f64),
                _ => {}
            }
        }
        self.cores.truncate(into.cpu.cores.len());
        let deltas = self.counters.advance(now, [switches, interrupts, forks]);
        into.system.context_switches_per_s = deltas.per_second(0);
        into.system.interrupts_per_s = deltas.per_second(1);
        into.system.forks_per_s = deltas.per_second(2);
    }

    /// The first core's frequency, which the next reading shows: most hosts scale all cores
    /// together, and a read a core would cost a large host more than everything else.
    pub fn read_frequency(&mut self, now: Duration, buffer: &mut Vec<u8>) {
        let bytes = self.frequency.as_mut().and_then(|file| file.read(now, buffer));
        let kilohertz = bytes.and_then(|bytes| text::words(bytes).next().and_then(text::number));
        self.frequency_mhz = kilohertz.map(|kilohertz| kilohertz as f64 / 1000.0);
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

    /// The kernel leaves out cores that are off line; their places stay, without a figure.
    fn take_core(&mut self, core: u64, times: Times, cpu: &mut Cpu) {
        let place = usize::try_from(core).unwrap_or(CORES_MAX);
        if place >= CORES_MAX || place < cpu.cores.len() {
            return;
        }
        self.cores.resize(self.cores.len().max(place + 1), [None; COLUMNS]);
        self.cores[cpu.cores.len()..place].fill([None; COLUMNS]);
        cpu.cores.resize(place, None);
        let shares = shares(&self.cores[place], &times);
        cpu.cores
            .push(shares.map(|shares| (100.0 - shares[IDLE] - shares[IOWAIT]).clamp(0.0, 100.0)));
        self.cores[place] = times;
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
    fn a_core_that_is_off_line_keeps_its_place_and_has_no_figure() {
        let mut stat = Stat::new(Path::new("/"), Path::new("/nonexistent"));
        let mut cpu = Cpu::default();
        let (before, after) = (times([0; COLUMNS]), times([1, 0, 0, 1, 0, 0, 0, 0]));
        for core in 0..3 {
            stat.take_core(core, before, &mut cpu);
        }
        cpu.cores.clear();
        stat.take_core(0, before, &mut cpu);
        stat.take_core(2, after, &mut cpu);
        assert_eq!(cpu.cores, [None, None, Some(50.0)]);
        cpu.cores.clear();
        for core in [0, 1, 2, 2, 1 << 40] {
            stat.take_core(core, after, &mut cpu);
        }
        assert_eq!(cpu.cores, [Some(50.0), None, None], "what was off line has no rate at first");
    }

    #[test]
    fn nothing_is_told_of_a_first_reading_a_reset_or_no_time() {
        let some = times([1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(shares(&[None; COLUMNS], &some), None);
        assert_eq!(shares(&some, &some), None);
        assert_eq!(shares(&times([9; 8]), &some), None);
    }
}
