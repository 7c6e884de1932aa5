//! What reading this host costs, part by part: processor time and allocations of each, and of the
//! same by sysinfo. `bench/tick` runs it, counts its system calls and adds other programs.
//!
//! `cargo run --release --example tick [--trace]`
//!
//! Prints one JSON line a row. Processor time is this thread's, the kernel's part included, less
//! what asking for it costs. With `--trace` it does each a few times between two calls that a
//! tracer can see, `statx` of `/begin/ROW` and `/end/ROW`, and measures nothing.

#[cfg(target_os = "linux")]
#[path = "../tests/support/heap.rs"]
mod heap;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

#[cfg(target_os = "linux")]
fn main() {
    rows::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("only Linux is read part by part");
}

#[cfg(target_os = "linux")]
mod rows {
    use std::path::Path;
    use std::thread::sleep;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};
    use sysinfo::{Components, Disks, MemoryRefreshKind, Networks, RefreshKind, System};
    use vitald::metrics::snapshot::Snapshot;
    use vitald::metrics::source::Source;
    use vitald::metrics::source::linux::{Linux, PARTS};
    use vitald::metrics::source::portable::Portable;

    use super::heap;

    /// Readings of a row at most, and the processor time after which there are enough.
    const READINGS_MAX: usize = 2000;
    const BUDGET: Duration = Duration::from_millis(400);
    const READINGS_MIN: usize = 30;
    /// Readings of a row that needs time between them: sysinfo keeps the processors' figures for
    /// 200 ms, and what others have put in the caches meanwhile counts as well.
    const SPACED: usize = 30;
    const SPACE: Duration = Duration::from_millis(210);
    /// Readings under a tracer.
    const TRACED: u64 = 10;

    fn cpu() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    struct Bench {
        is_trace: bool,
        /// What asking for the time costs.
        overhead: Duration,
    }

    impl Bench {
        /// Measures `read`, whose argument is the number of the reading: a second passes between
        /// two of them, as far as it is told.
        fn row(&self, by: &str, what: &str, every: Option<Duration>, mut read: impl FnMut(u64)) {
            // Buffers and tables find their size.
            (0..3).for_each(&mut read);
            if self.is_trace {
                mark("begin", by, what);
                (3..3 + TRACED).for_each(read);
                mark("end", by, what);
                return;
            }
            let mut times = Vec::with_capacity(READINGS_MAX);
            let (mut total, mut readings) = (Duration::ZERO, 3);
            let mut allocations = 0;
            while times.len() < READINGS_MIN || (times.len() < READINGS_MAX && total < BUDGET) {
                let before = heap::allocations();
                let time = self.time(|| read(readings));
                allocations += heap::allocations() - before;
                readings += 1;
                total += time;
                times.push(time);
            }
            let count = times.len();
            let median = median(times);
            let spaced = (0..SPACED as u64).map(|number| {
                sleep(SPACE);
                self.time(|| read(readings + number))
            });
            let is_tick = every.is_none() && matches!(what, "every tick" | "all");
            let spaced = if is_tick { us(self::median(spaced.collect())) } else { "null".into() };
            let every = every.map_or("null".into(), |every| every.as_secs().to_string());
            println!(
                "{{\"by\":\"{by}\",\"what\":\"{what}\",\"every_s\":{every},\"readings\":{count},\
                 \"cpu_us_median\":{},\"cpu_us_mean\":{},\"cpu_us_median_spaced\":{spaced},\
                 \"allocations\":{:.2}}}",
                us(median),
                us(total / count as u32),
                allocations as f64 / count as f64,
            );
        }

        fn time(&self, act: impl FnOnce()) -> Duration {
            let before = cpu();
            act();
            (cpu() - before).saturating_sub(self.overhead)
        }
    }

    fn mark(when: &str, by: &str, what: &str) {
        let _ = std::fs::metadata(format!("/{when}/{by}/{what}"));
    }

    fn median(mut times: Vec<Duration>) -> Duration {
        times.sort();
        times[times.len() / 2]
    }

    fn us(time: Duration) -> String {
        format!("{:.1}", time.as_nanos() as f64 / 1000.0)
    }

    pub fn main() {
        let is_trace = std::env::args().any(|argument| argument == "--trace");
        let idle = Bench { is_trace, overhead: Duration::ZERO };
        let overhead = median((0..1000).map(|_| idle.time(|| ())).collect());
        let bench = Bench { is_trace, overhead };
        vitald(&bench);
        sysinfo(&bench);
    }

    fn vitald(bench: &Bench) {
        let (mut linux, mut snapshot) = (Linux::new(), Snapshot::default());
        let always = || PARTS.iter().filter(|part| part.every.is_none());
        linux.read(Duration::ZERO, &mut snapshot);
        bench.row("vitald", "every tick", None, |second| {
            let now = Duration::from_secs(second);
            always().for_each(|part| linux.read_part(part, now, &mut snapshot));
        });
        let (mut linux, mut snapshot) = (Linux::new(), Snapshot::default());
        bench.row("vitald", "all", None, |second| {
            linux.read(Duration::from_secs(second), &mut snapshot);
        });
        // The kernel does not make these files: what is left is mostly parsing.
        let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/server-64-core");
        let ask = Box::new(|_: &Path| Err(std::io::ErrorKind::Unsupported.into()));
        let (mut linux, mut snapshot) = (Linux::at(&host, ask), Snapshot::default());
        bench.row("vitald", "every tick of 64 cores, 48 disks, 36 interfaces", None, |second| {
            let now = Duration::from_secs(second);
            always().for_each(|part| linux.read_part(part, now, &mut snapshot));
        });
        let (mut linux, mut snapshot) = (Linux::new(), Snapshot::default());
        for part in &PARTS {
            bench.row("vitald", part.name, part.every, |second| {
                // A part with a cadence is told that as much time has passed.
                let now = part.every.unwrap_or(Duration::from_secs(1)) * second as u32;
                linux.read_part(part, now + Duration::from_secs(1 << 20), &mut snapshot);
            });
        }
    }

    fn sysinfo(bench: &Bench) {
        let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
        let mut system = System::new_with_specifics(wanted).expect("sysinfo knows this host");
        let mut networks = Networks::new_with_refreshed_list().expect("there are networks");
        let mut disks = Disks::new_with_refreshed_list().expect("there are disks");
        let mut sensors = Components::new_with_refreshed_list().expect("sensors can be listed");
        bench.row("sysinfo", "every tick", None, |_| {
            system.refresh_cpu_usage();
            system.refresh_memory();
            let _ = System::load_average();
            let _ = System::uptime();
            networks.refresh(true);
            disks.refresh(true);
        });
        bench.row("sysinfo", "cpu, memory, load, uptime", None, |_| {
            system.refresh_cpu_usage();
            system.refresh_memory();
            let _ = System::load_average();
            let _ = System::uptime();
        });
        bench.row("sysinfo", "networks", None, |_| networks.refresh(true));
        bench.row("sysinfo", "disks and filesystems", None, |_| disks.refresh(true));
        bench.row("sysinfo", "temperatures", None, |_| sensors.refresh(true));
        let (mut portable, mut snapshot) = (Portable::new(), Snapshot::default());
        bench.row("portable source", "all", None, |second| {
            portable.read(Duration::from_secs(second), &mut snapshot);
        });
    }
}
