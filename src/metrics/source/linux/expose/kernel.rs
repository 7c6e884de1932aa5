//! The collectors loadavg, pressure, and stat.

use super::super::text;
use crate::metrics::exposition::{Exposition, Kind};

/// /proc/loadavg.
pub fn load(bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    let mut words = text::words(bytes).map(text::decimal);
    let mut next = || words.next().flatten();
    let (one, five, fifteen) = (next(), next(), next());
    out.gauge("node_load1", "1m load average.", one);
    out.gauge("node_load5", "5m load average.", five);
    out.gauge("node_load15", "15m load average.", fifteen);
    one.is_some()
}

/// One of the files in /proc/pressure (Documentation/accounting/psi.rst).
pub fn pressure(resource: &str, bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    let some = total(bytes, b"some");
    let full = total(bytes, b"full");
    match resource {
        "cpu" => out.counter(
            "node_pressure_cpu_waiting_seconds_total",
            "Total time in seconds that processes have waited for CPU time",
            some,
        ),
        "memory" => {
            out.counter(
                "node_pressure_memory_waiting_seconds_total",
                "Total time in seconds that processes have waited for memory",
                some,
            );
            out.counter(
                "node_pressure_memory_stalled_seconds_total",
                "Total time in seconds no process could make progress due to memory congestion",
                full,
            );
        }
        "io" => {
            out.counter(
                "node_pressure_io_waiting_seconds_total",
                "Total time in seconds that processes have waited due to IO congestion",
                some,
            );
            out.counter(
                "node_pressure_io_stalled_seconds_total",
                "Total time in seconds no process could make progress due to IO congestion",
                full,
            );
        }
        _ => out.counter(
            "node_pressure_irq_stalled_seconds_total",
            "Total time in seconds no process could make progress due to IRQ congestion",
            full,
        ),
    }
    some.or(full).is_some()
}

/// The seconds that a line counts in microseconds.
fn total(bytes: &[u8], line: &[u8]) -> Option<f64> {
    let total = text::pressure_word(bytes, line, b"total=")?;
    text::number(total).map(|microseconds| microseconds as f64 / 1e6)
}

/// What /proc/stat counts beside processor time: its word, and the family.
const COUNTS: [(&[u8], &str, &str, Kind); 6] = [
    (b"btime", "node_boot_time_seconds", "Node boot time, in unixtime.", Kind::Gauge),
    (b"ctxt", "node_context_switches_total", "Total number of context switches.", Kind::Counter),
    (b"intr", "node_intr_total", "Total number of interrupts serviced.", Kind::Counter),
    (b"processes", "node_forks_total", "Total number of forks.", Kind::Counter),
    (b"procs_running", "node_procs_running", "Number of processes in runnable state.", Kind::Gauge),
    (
        b"procs_blocked",
        "node_procs_blocked",
        "Number of processes blocked waiting for I/O to complete.",
        Kind::Gauge,
    ),
];

/// What /proc/stat counts beside processor time.
pub fn stat(bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    let mut is_any = false;
    for line in text::lines(bytes) {
        let mut words = text::words(line);
        let Some(word) = words.next() else { continue };
        let known = COUNTS.into_iter().find(|(known, ..)| *known == word);
        let (Some((_, name, help, kind)), Some(value)) =
            (known, words.next().and_then(text::number))
        else {
            continue;
        };
        let family = out.family(name, help, kind);
        out.sample(family, &[], value);
        is_any = true;
    }
    is_any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pressure_file_counts_in_microseconds() {
        let file = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=2437925949\n\
            full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
        assert_eq!(total(file, b"some"), Some(2437.925949));
        assert_eq!(total(file, b"full"), Some(0.000012));
        assert_eq!(total(b"some avg10=0.00\n", b"some"), None);
    }
}
