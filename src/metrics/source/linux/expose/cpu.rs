//! The collectors cpu (of /proc/stat) and schedstat (Documentation/scheduler/sched-stats.rst).

use super::super::text;
use crate::metrics::exposition::{Exposition, Kind};

/// Cores that are told apart.
const CORES_MAX: usize = 1024;

/// Columns of a line: the modes, and time of guests, which user and nice count as well.
const COLUMNS: usize = 10;

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;

/// The unit of /proc/stat: USER_HZ, which is 100 for user space on every architecture but Alpha and
/// Itanium.
const TICKS_PER_SECOND: f64 = 100.0;

/// A core whose idle time has fallen by so many ticks has been taken out and put back, and counts
/// from anew; one that has fallen by less has been accounted for inexactly. The value is
/// node_exporter's, 3 s.
const RESET_TICKS: u64 = 300;

type Times = [Option<u64>; COLUMNS];

/// Processor time of each core. Idle and waiting time may fall by a little (proc.rst says so),
/// which Prometheus would take for a counter that begins again: so the highest is kept.
#[derive(Default)]
pub struct CpuTimes {
    highest: Vec<Times>,
}

impl CpuTimes {
    /// Node's processor seconds, from /proc/stat.
    pub fn expose(&mut self, bytes: &[u8], out: &mut Exposition<'_>) -> bool {
        let help = "Seconds the CPUs spent in each mode.";
        let seconds = out.family("node_cpu_seconds_total", help, Kind::Counter);
        let help = "Seconds the CPUs spent in guests (VMs) for each mode.";
        let guests = out.family("node_cpu_guest_seconds_total", help, Kind::Counter);
        let mut is_any = false;
        for line in text::lines(bytes) {
            let Some((core, times)) = parse(line) else { continue };
            let times = self.monotonic(core, times);
            let core = core.to_string();
            let value = |column: usize| times[column].map(|ticks| ticks as f64 / TICKS_PER_SECOND);
            for (column, mode) in MODES.into_iter().enumerate() {
                if let Some(value) = value(column) {
                    out.sample(seconds, &[("cpu", &core), ("mode", mode)], value);
                }
            }
            for (column, mode) in [(8, "user"), (9, "nice")] {
                if let Some(value) = value(column) {
                    out.sample(guests, &[("cpu", &core), ("mode", mode)], value);
                }
            }
            is_any = true;
        }
        is_any
    }

    fn monotonic(&mut self, core: usize, times: Times) -> Times {
        if self.highest.len() <= core {
            self.highest.resize(core + 1, [None; COLUMNS]);
        }
        let highest = &mut self.highest[core];
        let fell = highest[IDLE].zip(times[IDLE]).map(|(before, now)| before.saturating_sub(now));
        if fell.is_some_and(|fell| fell >= RESET_TICKS) {
            *highest = times;
        }
        for (highest, now) in highest.iter_mut().zip(times) {
            *highest = now.map(|now| now.max(highest.unwrap_or(0)));
        }
        *highest
    }
}

/// The number and the times of a core's line; the line of all together has no number.
fn parse(line: &[u8]) -> Option<(usize, Times)> {
    let mut words = text::words(line);
    let core = text::number(words.next()?.strip_prefix(b"cpu")?)?;
    let core = usize::try_from(core).ok().filter(|core| *core < CORES_MAX)?;
    Some((core, std::array::from_fn(|_| words.next().and_then(text::number))))
}

/// Time that each core ran something and that something waited for it, from /proc/schedstat.
pub fn scheduling(bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    let help = "Number of seconds CPU spent running a process.";
    let running = out.family("node_schedstat_running_seconds_total", help, Kind::Counter);
    let help = "Number of seconds spent by processing waiting for this CPU.";
    let waiting = out.family("node_schedstat_waiting_seconds_total", help, Kind::Counter);
    let help = "Number of timeslices executed by CPU.";
    let slices = out.family("node_schedstat_timeslices_total", help, Kind::Counter);
    let mut is_any = false;
    for line in text::lines(bytes) {
        let mut words = text::words(line);
        let core = words.next().and_then(|word| word.strip_prefix(b"cpu")).and_then(text::number);
        let Some(core) = core.filter(|core| *core < CORES_MAX as u64) else { continue };
        // Behind six columns of the scheduler's own: nanoseconds running and waiting, timeslices.
        let mut words = words.skip(6).map(text::number);
        let (Some(Some(ran)), Some(Some(waited)), Some(Some(count))) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let core = core.to_string();
        let labels = [("cpu", core.as_str())];
        out.sample(running, &labels, ran as f64 / 1e9);
        out.sample(waiting, &labels, waited as f64 / 1e9);
        out.sample(slices, &labels, count);
        is_any = true;
    }
    is_any
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::exposition::Format;
    use crate::metrics::exposition::tests::text_of;

    fn idle(times: &mut CpuTimes, ticks: u64) -> f64 {
        let line = format!("cpu0 1 1 1 {ticks} 5 0 0 0 0 0\n");
        let text = text_of(Format::Text, |out| assert!(times.expose(line.as_bytes(), out)));
        let line = text.lines().find(|line| line.contains("mode=\"idle\"")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    #[test]
    fn idle_time_that_falls_a_little_stays_and_that_of_a_core_put_back_begins_anew() {
        let mut times = CpuTimes::default();
        let seen = [1000, 990, 1005, 705, 900].map(|ticks| idle(&mut times, ticks));
        assert_eq!(seen, [10.0, 10.0, 10.05, 7.05, 9.0]);
    }

    #[test]
    fn the_line_of_all_cores_and_one_beyond_the_last_are_left_out() {
        assert_eq!(parse(b"cpu  1 2 3 4"), None);
        assert_eq!(parse(b"cpu1024 1 2 3 4"), None);
        assert_eq!(parse(b"cpu7 1 2").unwrap().0, 7);
        assert_eq!(parse(b"cpux 1 2"), None);
    }

    #[test]
    fn schedstat_has_the_three_last_columns_of_a_core() {
        let bytes = b"version 15\ntimestamp 1\ncpu0 1 2 3 4 5 6 1500000000 250000000 77\n\
            domain0 3 1 2\ncpu1 0 0\n";
        let text = text_of(Format::Text, |out| assert!(scheduling(bytes, out)));
        for line in [
            "running_seconds_total{cpu=\"0\"} 1.5\n",
            "waiting_seconds_total{cpu=\"0\"} 0.25\n",
            "timeslices_total{cpu=\"0\"} 77\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("cpu=\"1\""));
    }
}
