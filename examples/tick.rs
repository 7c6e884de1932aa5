//! What reading this host costs, part by part: processor time and allocations of each, and of the
//! same by sysinfo. `bench/tick` runs it, counts its system calls and adds other programs.
//!
//! `cargo run --release --example tick [--trace] [--check]`
//!
//! Prints one JSON line a row. Processor time is this thread's, the kernel's part included, less
//! what asking for it costs. With `--trace` it does each a few times between two calls that a
//! tracer can see, `statx` of `/begin/ROW` and `/end/ROW`, and measures nothing. With `--check` there
//! is one row, what is read at every tick, and nothing else is done.

#[cfg(target_os = "linux")]
#[path = "../tests/support/heap.rs"]
mod heap;

#[cfg(target_os = "linux")]
#[path = "../tests/support/frames.rs"]
mod frames;

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
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::thread::sleep;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};
    use sysinfo::{Components, Disks, MemoryRefreshKind, Networks, RefreshKind, System};
    use vitald::app::App;
    use vitald::app::access::Access;
    use vitald::config::Config;
    use vitald::engine::Engine;
    use vitald::engine::clock::Manual;
    use vitald::engine::limits::Limits;
    use vitald::engine::net::{ListenAddress, MioNet};
    use vitald::metrics::MetricsService;
    use vitald::metrics::snapshot::Snapshot;
    use vitald::metrics::source::Source;
    use vitald::metrics::source::linux::{Linux, PARTS};
    use vitald::metrics::source::portable::Portable;

    use super::frames::{PONG, UPGRADE, client_frame};
    use super::heap;

    /// Readings of a row at most, and the processor time after which there are enough.
    const READINGS_MAX: usize = 2000;
    const BUDGET: Duration = Duration::from_millis(400);
    const READINGS_MIN: usize = 30;
    /// Readings of a row that needs time between them: sysinfo keeps the processors' figures for
    /// 200 ms, and what others have put in the caches meanwhile counts as well.
    const SPACED: usize = 30;
    const SPACE: Duration = Duration::from_millis(210);
    /// What the row of the whole program is called.
    const APPLICATION: &str = "a tick of the application with one viewer";
    /// Readings under a tracer.
    const TRACED: u64 = 10;

    fn cpu() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    struct Bench {
        is_trace: bool,
        is_check: bool,
        /// What asking for the time costs.
        overhead: Duration,
    }

    impl Bench {
        /// Measures `read`, whose argument is the number of the reading: a second passes between
        /// two of them, as far as it is told.
        fn row(&self, by: &str, what: &str, every: Option<Duration>, read: impl FnMut(u64)) {
            self.row_after(by, what, every, |_| (), read);
        }

        /// The same, with something before each reading that does not count.
        fn row_after(
            &self,
            by: &str,
            what: &str,
            every: Option<Duration>,
            mut before: impl FnMut(u64),
            mut read: impl FnMut(u64),
        ) {
            // Buffers and tables find their size.
            (0..3).for_each(|number| {
                before(number);
                read(number);
            });
            if self.is_trace {
                for number in 3..3 + TRACED {
                    before(number);
                    mark("begin", by, what);
                    read(number);
                    mark("end", by, what);
                }
                return;
            }
            let mut times = Vec::with_capacity(READINGS_MAX);
            let (mut total, mut readings) = (Duration::ZERO, 3);
            let mut allocations = 0;
            while times.len() < READINGS_MIN || (times.len() < READINGS_MAX && total < BUDGET) {
                before(readings);
                let allocated = heap::allocations();
                let time = self.time(|| read(readings));
                allocations += heap::allocations() - allocated;
                readings += 1;
                total += time;
                times.push(time);
            }
            let count = times.len();
            let median = median(times);
            let mut spaced = || {
                let times = (0..SPACED as u64).map(|number| {
                    sleep(SPACE);
                    before(readings + number);
                    self.time(|| read(readings + number))
                });
                us(self::median(times.collect()))
            };
            let is_tick = every.is_none() && matches!(what, "every tick" | "all" | APPLICATION);
            let spaced = if is_tick && !self.is_check { spaced() } else { "null".into() };
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
        let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
        let (is_trace, is_check) = (has("--trace"), has("--check"));
        let idle = Bench { is_trace, is_check, overhead: Duration::ZERO };
        let overhead = median((0..1000).map(|_| idle.time(|| ())).collect());
        let bench = Bench { is_trace, is_check, overhead };
        every_tick(&bench);
        if is_check {
            return;
        }
        vitald(&bench);
        application(&bench);
        sysinfo(&bench);
    }

    fn every_tick(bench: &Bench) {
        let (mut linux, mut snapshot) = (Linux::new(), Snapshot::default());
        linux.read(Duration::ZERO, &mut snapshot);
        bench.row("vitald", "every tick", None, |second| {
            let now = Duration::from_secs(second);
            let always = PARTS.iter().filter(|part| part.every.is_none());
            always.for_each(|part| linux.read_part(part, now, &mut snapshot));
        });
    }

    /// A whole turn of the loop at a tick: polling, reading all that is due, vitald's own figures,
    /// history, the built-in rules, encoding, and sending it to one viewer over a Unix socket. The
    /// clock is moved by a second, so that nobody has to wait for it.
    fn application(bench: &Bench) {
        let config = Config::default();
        let interval = Duration::from_secs(1);
        let path = std::env::temp_dir().join(format!("vitald-tick-{}.sock", std::process::id()));
        let mut net = MioNet::new().expect("there is a poll");
        net.listen(&ListenAddress::Unix(path.clone())).expect("the path is free");
        let mut metrics = MetricsService::for_this_host(interval);
        metrics.set_history(&config.history).expect("it is kept in memory");
        let (limits, clock) = (Limits::default(), Manual::new());
        let app = App::new(metrics, Access::new(&[], &[], None), limits.slots())
            .with_alerts(config.alerts.clone());
        let engine = Engine::with_parts(limits, net, clock.clone(), app);
        let mut engine = engine.expect("the limits make sense");
        let mut turn = || {
            engine.turn(Some(Duration::ZERO)).expect("the poll works");
            engine.stats().frames_published
        };
        turn();
        let mut viewer = UnixStream::connect(&path).expect("it listens");
        viewer.set_nonblocking(true).expect("a mode can be set");
        viewer.write_all(UPGRADE).expect("there is room");
        (0..5).for_each(|_| {
            turn();
        });
        let pong = client_frame(0x80 | PONG, b"");
        let mut bytes = vec![0; 64 << 10];
        let take = |number: u64| {
            loop {
                match viewer.read(&mut bytes) {
                    Ok(0) => panic!("the viewer was dropped"),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
            if number.is_multiple_of(20) {
                viewer.write_all(&pong).expect("there is room");
            }
        };
        // Timers have a granularity: at the very instant a tick is not due yet.
        clock.advance(interval / 100);
        let mut published = 0;
        bench.row_after("vitald", APPLICATION, None, take, |_| {
            clock.advance(interval);
            let now = turn();
            assert!(now > published, "a tick is sent");
            published = now;
        });
        std::fs::remove_file(&path).expect("it is there");
    }

    fn vitald(bench: &Bench) {
        let always = || PARTS.iter().filter(|part| part.every.is_none());
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
