use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command};

use proptest::prelude::*;

use super::*;
use crate::metrics::processes::Question;

const SECOND: Duration = Duration::from_secs(1);

/// What a step may open in these tests.
const FILES: usize = 16;

/// 2025-01-01, in Unix milliseconds.
const WALL_MS: u64 = 1_735_689_600_000;

/// A host of the test's own, removed in the end.
struct Host(PathBuf);

impl Host {
    fn new(name: &str) -> Host {
        let name = format!("vitald-processes-{name}-{}", std::process::id());
        let host = Host(std::env::temp_dir().join(name));
        let _ = fs::remove_dir_all(&host.0);
        fs::create_dir_all(host.0.join("proc")).unwrap();
        fs::create_dir_all(host.0.join("etc")).unwrap();
        // That of a container which has just been started.
        host.write("proc/uptime", b"3.00 1.00\n");
        // What /proc has beside processes.
        for name in ["self", "sys", "0", "007", "99999999999", "12x"] {
            fs::create_dir_all(host.0.join("proc").join(name)).unwrap();
        }
        host
    }

    /// Reads it: 1000 s after boot, when the test's clock is at one second.
    fn processes(&self) -> Processes {
        Processes { uptime: || Some(1000 * SECOND), ..Processes::at(&self.0) }
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A process that started 500 s after boot, by its use of processors and its memory.
    fn process(&self, pid: u32, name: &[u8], ticks: u64, pages: u64) {
        self.process_since(pid, name, ticks, pages, 50_000);
    }

    fn process_since(&self, pid: u32, name: &[u8], ticks: u64, pages: u64, start: u64) {
        let head = format!("{pid} (");
        let rest = format!(
            ") S 1 1 1 0 -1 4194560 1 0 0 0 {ticks} 0 0 0 20 0 3 0 {start} 99 {pages} 18446744"
        );
        let line = [head.as_bytes(), name, rest.as_bytes()].concat();
        self.write(&format!("proc/{pid}/stat"), &line);
    }

    fn traffic(&self, pid: u32, read: u64, written: u64) {
        let text = format!("rchar: 1\nread_bytes: {read}\nwrite_bytes: {written}\n");
        self.write(&format!("proc/{pid}/io"), text.as_bytes());
    }

    fn remove(&self, pid: u32) {
        fs::remove_dir_all(self.0.join(format!("proc/{pid}"))).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn question(order: Order) -> Question {
    Question { order, limit: ROWS_MAX, with_commands: true }
}

fn wanted(orders: &[Order]) -> Wanted {
    let mut wanted = Wanted::default();
    orders.iter().for_each(|order| wanted.add(question(*order)));
    wanted
}

/// Goes on with a scan until it is complete; no step opens more than it may. Gives the steps.
fn go_on(processes: &mut Processes, now: Duration) -> usize {
    for steps in 1..100_000 {
        let before = processes.files_opened();
        let progress = processes.step(now, FILES);
        assert!(processes.files_opened() - before <= FILES as u64);
        match progress {
            Progress::Pending => {}
            Progress::Done => return steps,
            Progress::Failed => panic!("there is a directory to list"),
        }
    }
    panic!("the scan does not end");
}

fn scan(processes: &mut Processes, second: u32, orders: &[Order]) -> usize {
    processes.begin(SECOND * second, WALL_MS, wanted(orders));
    go_on(processes, SECOND * second)
}

fn ranked(processes: &Processes, order: Order) -> Vec<(u32, Option<f64>)> {
    let table = processes.table().expect("there have been two scans");
    table.ranked(order).map(|row| (row.pid, row.cpu_usage)).collect()
}

fn row(processes: &Processes, pid: u32) -> Row {
    let rows = processes.table().expect("there have been two scans").rows();
    rows.iter().find(|row| row.pid == pid).expect("it ranks").clone()
}

#[test]
fn a_second_scan_tells_what_was_used_since_the_first() {
    let host = Host::new("rates");
    let mut processes = host.processes();
    host.write("etc/passwd", format!("me:x:{}:0\n", rustix::process::getuid().as_raw()).as_bytes());
    host.process(7, b"idle", 500, 100);
    host.process(8, b"busy", 100, 1);
    host.write("proc/8/cmdline", b"busy\0--with\0two words\0");
    host.traffic(8, 1000, 2000);
    scan(&mut processes, 1, &[Order::Cpu]);
    assert!(processes.table().is_none());
    host.process(8, b"busy", 350, 2);
    host.traffic(8, 1000, 6000);
    scan(&mut processes, 3, &[Order::Cpu]);
    assert_eq!(ranked(&processes, Order::Cpu), [(8, Some(125.0)), (7, Some(0.0))]);
    let busy = row(&processes, 8);
    assert_eq!((busy.user.as_str(), busy.name.as_str()), ("me", "busy"));
    assert_eq!(busy.command, "busy --with two words");
    assert_eq!((busy.read_bytes_per_s, busy.write_bytes_per_s), (Some(0.0), Some(2000.0)));
    assert_eq!(busy.rss, Some(2 * rustix::param::page_size() as u64));
    assert_eq!((busy.threads, busy.state), (Some(3), Some('S')));
    // Boot was 1000 s before the first scan, and it started 500 s after that.
    assert_eq!(busy.started_ms, Some(WALL_MS - 500_000));
    let table = processes.table().unwrap();
    assert_eq!((table.total, table.running, table.time_ms), (2, Some(0), WALL_MS));
}

#[test]
fn a_number_that_is_given_again_is_another_process() {
    let host = Host::new("reuse");
    let mut processes = host.processes();
    for pid in [5, 6] {
        host.process(pid, b"old", 10_000, 1);
    }
    scan(&mut processes, 1, &[Order::Cpu]);
    // One since the first scan, which was 1000 s after boot; one that was there and not seen.
    host.process_since(5, b"new", 40, 1, 100_050);
    host.process_since(6, b"hidden", 40, 1, 60_000);
    processes.uptime = || Some(1002 * SECOND);
    scan(&mut processes, 3, &[Order::Cpu]);
    assert_eq!(ranked(&processes, Order::Cpu), [(5, Some(20.0)), (6, None)]);
    assert_eq!(row(&processes, 5).name, "new");
}

#[test]
fn what_a_child_has_written_is_not_told_as_its_parents_rate() {
    for order in [Order::Cpu, Order::Io] {
        let host = Host::new("reaped");
        let mut processes = host.processes();
        let write = |reaped: u32, bytes: u64| {
            let line =
                format!("5 (a) S 1 1 1 0 -1 0 1 {reaped} 0 0 1 0 0 0 20 0 3 0 50000 99 1 1844");
            host.write("proc/5/stat", line.as_bytes());
            host.traffic(5, bytes, bytes);
        };
        // A child is waited for in the third second.
        for (second, reaped, bytes, rate) in [
            (1, 7, 10, None),
            (2, 7, 20, Some(10.0)),
            (3, 90, 1_000_000, None),
            (4, 90, 1_000_030, Some(30.0)),
        ] {
            write(reaped, bytes);
            scan(&mut processes, second, &[order, Order::Memory]);
            if second > 1 {
                let row = row(&processes, 5);
                assert_eq!((row.read_bytes_per_s, row.write_bytes_per_s), (rate, rate), "{second}");
            }
        }
        // And one between the stat line and the traffic is found by a second look.
        processes.begin(SECOND * 5, WALL_MS, wanted(&[order, Order::Memory]));
        while !matches!(processes.scan.as_ref().unwrap().phase, Phase::Detailing(_)) {
            processes.step(SECOND * 5, FILES);
        }
        write(91, 2_000_000);
        go_on(&mut processes, SECOND * 5);
        assert!(row(&processes, 5).write_bytes_per_s.is_none_or(|rate| rate == 0.0));
    }
}

#[test]
fn a_process_of_many_threads_has_a_step_for_each_of_its_files() {
    let host = Host::new("threads");
    let mut processes = host.processes();
    for pid in 1..=40 {
        let threads = if pid % 4 == 0 { 6000 } else { 1 };
        let line =
            format!("{pid} (a) S 1 1 1 0 -1 0 1 0 0 0 1 0 0 0 20 0 {threads} 0 50000 99 1 1844");
        host.write(&format!("proc/{pid}/stat"), line.as_bytes());
        host.traffic(pid, 1, 1);
    }
    // Ten of them, whose stat and io files end a step each.
    let steps = scan(&mut processes, 1, &[Order::Io]);
    assert!(steps >= 20, "{steps}");
    // And for details the io file alone.
    scan(&mut processes, 2, &[Order::Cpu]);
    let steps = scan(&mut processes, 3, &[Order::Cpu]);
    assert!(steps >= 20, "{steps}");
}

#[test]
fn a_start_in_the_future_is_not_known_and_makes_nobody_new() {
    let host = Host::new("future");
    let mut processes = host.processes();
    host.process_since(1, b"a", 10, 1, 100_000);
    scan(&mut processes, 1, &[Order::Cpu]);
    processes.uptime = || Some(1001 * SECOND);
    // Another appears that started an hour from now.
    host.process_since(2, b"ahead", 5000, 1, 460_000);
    scan(&mut processes, 2, &[Order::Cpu]);
    let ahead = row(&processes, 2);
    assert_eq!((ahead.started_ms, ahead.cpu_usage), (None, None));
    assert_eq!(row(&processes, 1).started_ms, Some(WALL_MS));
}

#[test]
fn starts_move_with_a_wall_clock_that_is_set_and_stand_still_otherwise() {
    let host = Host::new("set");
    let mut processes = host.processes();
    host.process(1, b"a", 10, 1);
    scan(&mut processes, 1, &[Order::Cpu]);
    let day_ms = 86_400_000;
    let mut started_ms = |second: u32, wall_ms| {
        processes.begin(SECOND * second, wall_ms, wanted(&[Order::Cpu]));
        go_on(&mut processes, SECOND * second);
        row(&processes, 1).started_ms
    };
    let at = |wall_ms: u64| Some(wall_ms - 500_000);
    assert_eq!(started_ms(2, WALL_MS + 900), at(WALL_MS), "the clocks are read one by one");
    assert_eq!(started_ms(3, WALL_MS + day_ms), at(WALL_MS + day_ms));
    assert_eq!(started_ms(4, WALL_MS + day_ms - 900), at(WALL_MS + day_ms));
    assert_eq!(started_ms(5, WALL_MS), at(WALL_MS));
}

#[test]
fn a_counter_that_went_back_gives_nothing_once() {
    let host = Host::new("back");
    let mut processes = host.processes();
    for (second, ticks) in [(1, 100), (2, 50), (3, 60)] {
        host.process(5, b"a", ticks, 1);
        host.traffic(5, ticks, ticks);
        scan(&mut processes, second, &[Order::Cpu]);
        if second == 2 {
            assert_eq!(row(&processes, 5).cpu_usage, None);
            assert_eq!(row(&processes, 5).read_bytes_per_s, None);
        }
    }
    assert_eq!(row(&processes, 5).cpu_usage, Some(10.0));
    assert_eq!(row(&processes, 5).read_bytes_per_s, Some(10.0));
}

#[test]
fn names_are_shown_as_they_are_and_cannot_disguise_themselves() {
    let host = Host::new("names");
    let mut processes = host.processes();
    let names: [(&[u8], &str); 7] = [
        (b"((sd-pam))", "((sd-pam))"),
        (b"a) R 1 (b", "a) R 1 (b"),
        (b"Web Content", "Web Content"),
        (b"", ""),
        (b"\xffx\xfe", "\u{fffd}x\u{fffd}"),
        (b"a\nb\x1b[1m", "a\u{fffd}b\u{fffd}[1m"),
        ("\u{202e}txt.\u{2066}\u{e4}".as_bytes(), "\u{fffd}txt.\u{fffd}\u{e4}"),
    ];
    for (pid, (name, _)) in (1..).zip(names) {
        host.process(pid, name, 0, 1);
        host.write(&format!("proc/{pid}/cmdline"), name);
    }
    for second in 1..=2 {
        scan(&mut processes, second, &[Order::Memory]);
    }
    for (pid, (_, shown)) in (1..).zip(names) {
        let row = row(&processes, pid);
        assert_eq!((row.name.as_str(), row.command.as_str()), (shown, shown));
    }
}

#[test]
fn a_long_command_line_is_cut_with_an_ellipsis() {
    let host = Host::new("long");
    let mut processes = host.processes();
    host.process(1, b"exact", 0, 2);
    host.write("proc/1/cmdline", &[b'x'; COMMAND_BYTES_MAX]);
    host.process(2, b"long", 0, 1);
    host.write("proc/2/cmdline", "\u{e4}".repeat(4000).as_bytes());
    for second in 1..=2 {
        scan(&mut processes, second, &[Order::Memory]);
    }
    assert_eq!(row(&processes, 1).command, "x".repeat(COMMAND_BYTES_MAX));
    let command = row(&processes, 2).command;
    assert!(command.len() <= COMMAND_BYTES_MAX && command.len() > COMMAND_BYTES_MAX - 4);
    assert_eq!(command.trim_end_matches('\u{2026}').trim_matches('\u{e4}'), "");
}

#[test]
fn what_a_process_hides_is_not_known_and_the_rest_is() {
    let host = Host::new("hidden");
    let mut processes = host.processes();
    let kernel = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 5 1 0 0 20 0 1 0 3 0 0 1";
    host.write("proc/2/stat", kernel);
    host.write("proc/2/cmdline", b"not to be read");
    host.process(3, b"private", 0, 1);
    // Reading it fails, as it does for a process of another user.
    fs::create_dir_all(host.0.join("proc/3/io")).unwrap();
    host.process(4, b"torn", 0, 1);
    host.write("proc/4/io", b"read_bytes: 12\nwrite_by");
    for second in 1..=2 {
        scan(&mut processes, second, &[Order::Cpu, Order::Io]);
    }
    let kernel = row(&processes, 2);
    assert_eq!((kernel.name.as_str(), kernel.command.as_str()), ("kthreadd", ""));
    for pid in [3, 4] {
        let row = row(&processes, pid);
        assert_eq!((row.read_bytes_per_s, row.write_bytes_per_s), (None, None));
        // There is no such user here, so the number stands for the name.
        assert_eq!(row.user, rustix::process::getuid().as_raw().to_string());
        assert_eq!(row.cpu_usage, Some(0.0));
    }
}

#[test]
fn one_that_waits_in_the_kernel_is_not_asked_for_its_command_line() {
    let host = Host::new("waiting");
    let mut processes = host.processes();
    let waiting = |start: u64| {
        let line = format!("5 (a) D 1 1 1 0 -1 0 1 0 0 0 1 0 0 0 20 0 3 0 {start} 99 1 18446744");
        host.write("proc/5/stat", line.as_bytes());
        host.write("proc/5/cmdline", b"would wait");
    };
    waiting(50_000);
    for second in 1..=2 {
        scan(&mut processes, second, &[Order::Cpu]);
    }
    assert_eq!(row(&processes, 5).command, "");
    host.process(5, b"a", 1, 1);
    host.write("proc/5/cmdline", b"answered");
    scan(&mut processes, 3, &[Order::Cpu]);
    // What it last said stands for it, but not for another with its number.
    for (second, start, command) in [(4, 50_000, "answered"), (5, 60_000, "")] {
        waiting(start);
        scan(&mut processes, second, &[Order::Cpu]);
        assert_eq!(row(&processes, 5).command, command);
    }
}

#[test]
fn traffic_of_everybody_is_read_only_while_somebody_ranks_by_it() {
    let host = Host::new("traffic");
    let mut processes = host.processes();
    let write = |second: u64| {
        for pid in 1..=300u32 {
            host.process(pid, b"a", 0, u64::from(pid));
            host.traffic(pid, second * u64::from(1000 - pid), 0);
        }
    };
    let mut files = 0;
    let mut opened = |processes: &mut Processes, second: u32, order: Order| {
        write(second.into());
        scan(processes, second, &[order]);
        let before = std::mem::replace(&mut files, processes.files_opened());
        files - before
    };
    // For the first scan everybody's traffic.
    assert_eq!(opened(&mut processes, 1, Order::Memory), 2 * 300);
    // The fourth because each of them has read something: whether that is its own.
    let rows = 4 * ROWS_MAX as u64;
    assert_eq!(opened(&mut processes, 2, Order::Memory), 300 + rows);
    assert_eq!(row(&processes, 300).read_bytes_per_s, Some(700.0));
    assert_eq!(opened(&mut processes, 3, Order::Memory), 300 + rows);
    assert_eq!(row(&processes, 300).read_bytes_per_s, Some(700.0));
    // It takes two scans until there is an order by traffic.
    assert_eq!(opened(&mut processes, 4, Order::Io), 2 * 300);
    assert!(processes.table().unwrap().view(question(Order::Io)).is_none());
    assert_eq!(opened(&mut processes, 5, Order::Io), 2 * 300 + 3 * ROWS_MAX as u64);
    let first: Vec<u32> = ranked(&processes, Order::Io).iter().map(|row| row.0).take(3).collect();
    assert_eq!(first, [1, 2, 3]);
}

#[test]
fn one_that_goes_between_listing_and_reading_costs_its_own_row() {
    let host = Host::new("gone");
    let mut processes = host.processes();
    (1..=40).for_each(|pid| host.process(pid, b"a", 0, 1));
    scan(&mut processes, 1, &[Order::Cpu]);
    processes.begin(SECOND * 2, WALL_MS, wanted(&[Order::Cpu]));
    // Opened, and listed.
    for _ in 0..2 {
        assert_eq!(processes.step(SECOND * 2, FILES), Progress::Pending);
    }
    (10..=30).for_each(|pid| host.remove(pid));
    go_on(&mut processes, SECOND * 2);
    assert_eq!(processes.table().unwrap().total, 19);
    // And one that goes before its details are read keeps what was read of it.
    processes.begin(SECOND * 3, WALL_MS, wanted(&[Order::Cpu]));
    while !matches!(processes.scan.as_ref().unwrap().phase, Phase::Detailing(_)) {
        assert_eq!(processes.step(SECOND * 3, FILES), Progress::Pending);
    }
    host.remove(40);
    go_on(&mut processes, SECOND * 3);
    let row = row(&processes, 40);
    assert_eq!((row.cpu_usage, row.user.as_str(), row.name.as_str()), (Some(0.0), "", "a"));
}

#[test]
fn ten_thousand_are_read_in_steps_that_keep_to_their_budget() {
    let host = Host::new("many");
    let mut processes = host.processes();
    (1..=10_000).for_each(|pid| host.process(pid, b"a", 0, u64::from(pid)));
    for second in 1..=2 {
        // Each step is checked by itself; together they are no fewer than the budget allows.
        let steps = scan(&mut processes, second, &[Order::Cpu, Order::Memory]);
        assert!(steps > 10_000 / FILES, "{steps}");
    }
    let table = processes.table().unwrap();
    assert_eq!((table.total, table.ranked(Order::Cpu).len()), (10_000, ROWS_MAX));
    assert_eq!(table.ranked(Order::Memory).next().unwrap().pid, 10_000);
    assert_eq!(table.rows().len(), ROWS_MAX, "both orders have the same rows, each once");
}

#[test]
fn a_scan_without_a_directory_fails_and_the_next_one_may_not() {
    let host = Host::new("missing");
    let mut processes = host.processes();
    processes.uptime = || None;
    fs::remove_dir_all(host.0.join("proc")).unwrap();
    processes.begin(SECOND, WALL_MS, wanted(&[Order::Cpu]));
    assert_eq!(processes.step(SECOND, FILES), Progress::Failed);
    host.process(1, b"a", 0, 1);
    for second in 2..=3 {
        scan(&mut processes, second, &[Order::Cpu]);
    }
    // Without an uptime there is no telling when anything started.
    assert_eq!(row(&processes, 1).started_ms, None);
}

#[test]
fn a_scan_that_is_begun_again_starts_from_nothing() {
    let host = Host::new("again");
    let mut processes = host.processes();
    (1..=40).for_each(|pid| host.process(pid, b"a", 0, 1));
    for second in 1..=3 {
        processes.begin(SECOND * second, WALL_MS, wanted(&[Order::Cpu]));
        for _ in 0..3 {
            processes.step(SECOND * second, FILES);
        }
        scan(&mut processes, second, &[Order::Cpu]);
    }
    assert_eq!(processes.table().unwrap().total, 40);
}

#[test]
fn a_release_gives_back_everything() {
    let host = Host::new("release");
    let mut processes = host.processes();
    host.process(1, b"a", 0, 1);
    for second in 1..=2 {
        scan(&mut processes, second, &[Order::Cpu]);
    }
    processes.release();
    assert!(processes.scan.is_none() && processes.table().is_none());
    assert_eq!(processes.step(SECOND * 3, FILES), Progress::Done);
}

#[test]
fn no_more_processes_are_counted_than_there_is_room_for() {
    let mut counters = Counters::default();
    for pid in 0..PROCESSES_MAX as u32 {
        let origin = counters.origin(pid, 0, SECOND);
        counters.add_time(origin, 0);
        counters.add_traffic(origin, [0, 0], 0);
    }
    assert_eq!(counters.len(), PROCESSES_MAX);
    assert_eq!(counters::BYTES_MAX, 56);
    let host = Host::new("room");
    let mut processes = host.processes();
    (1..=40).for_each(|pid| host.process(pid, b"a", 0, 1));
    processes.begin(SECOND, WALL_MS, wanted(&[Order::Cpu]));
    processes.step(SECOND, FILES);
    let scan = processes.scan.as_mut().unwrap();
    // Room for ten more.
    for pid in 0..PROCESSES_MAX as u32 - 10 {
        let origin = scan.counters.origin(1_000_000 + pid, 0, SECOND);
        scan.counters.add_time(origin, 0);
    }
    go_on(&mut processes, SECOND);
    assert_eq!(processes.scan.unwrap().before.unwrap().len(), PROCESSES_MAX);
}

/// A child that ends with the test.
struct Running(Child);

impl Running {
    fn new(program: &str, arguments: &[&str]) -> Running {
        Running(Command::new(program).args(arguments).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn this_process_and_a_busy_child_are_told_by_the_kernel_itself() {
    let host = Host::new("real");
    let spinning = Running::new("sh", &["-c", "while :; do :; done"]);
    let sleeping = Running::new("sleep", &["1000"]);
    let (own, busy) = (std::process::id(), spinning.0.id());
    for pid in [own, busy, sleeping.0.id()] {
        symlink(format!("/proc/{pid}"), host.0.join(format!("proc/{pid}"))).unwrap();
    }
    let ticks = || {
        let line = fs::read(format!("/proc/{busy}/stat")).unwrap();
        parse::stat(&line).unwrap().ticks
    };
    let mut processes = Processes::at(&host.0);
    let before = ticks();
    scan(&mut processes, 1, &[Order::Cpu, Order::Memory]);
    while ticks() < before + 50 {
        std::thread::yield_now();
    }
    scan(&mut processes, 2, &[Order::Cpu, Order::Memory]);
    let table = processes.table().unwrap();
    // Other tests make this process busy as well.
    let first = table.ranked(Order::Cpu).find(|row| row.pid != own).unwrap();
    // A tick of a second is a percent, and half of them may have passed before the first scan.
    assert!(first.pid == busy && first.cpu_usage > Some(25.0), "{first:?}");
    assert_eq!(first.command, "sh -c while :; do :; done");
    assert!(table.ranked(Order::Memory).next().unwrap().pid == own);
    // The first scan was at this time, by the test's wall clock, and the child is a little older.
    let started_ms = first.started_ms.unwrap();
    assert!(started_ms.abs_diff(WALL_MS) < 60_000, "{started_ms}");
    let this = row(&processes, own);
    let tasks = fs::read_dir("/proc/self/task").unwrap().count() as u32;
    assert!(this.threads.is_some_and(|threads| threads.abs_diff(tasks) <= 16), "{this:?}");
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    let expected = pages * rustix::param::page_size() as u64;
    let rss = this.rss.unwrap();
    assert!(rss.abs_diff(expected) < expected / 2 + (32 << 20), "{rss} {expected}");
}

#[test]
fn this_host_can_be_scanned() {
    let mut processes = Processes::new();
    for second in 1..=2 {
        scan(&mut processes, second, &ORDERS);
    }
    let table = processes.table().unwrap();
    assert!(table.total > 0 && table.running <= Some(table.total));
    for order in ORDERS {
        assert_eq!(table.ranked(order).len(), table.total.min(ROWS_MAX));
    }
    let memory: Vec<_> = table.ranked(Order::Memory).map(|row| row.rss).collect();
    assert!(memory.is_sorted_by(|one, other| one >= other), "{memory:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_damage_is_survived_and_what_is_told_is_fit_to_be_shown(
        files in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "1/stat", "1/io", "1/cmdline", "2/stat", "3/stat", "uptime", "../etc/passwd",
                ]),
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..1200),
                    "[0-9]{1,20} \\(.{0,80}\\) [RSDZ] ([-0-9]{1,21} ){0,25}"
                        .prop_map(String::into_bytes),
                    "(read|write)_bytes: [0-9]{1,21}\n(read|write)_bytes: -?[0-9]{1,21}"
                        .prop_map(String::into_bytes),
                ],
                1..=3u32,
            ),
            0..20,
        ),
    ) {
        let host = Host::new("damage");
        let mut processes = host.processes();
        (1..=3).for_each(|pid| host.process(pid, b"a", 0, 1));
        for second in 1..=3 {
            for (path, bytes, _) in files.iter().filter(|(_, _, at)| *at == second) {
                host.write(&format!("proc/{path}"), bytes);
            }
            scan(&mut processes, second, &ORDERS);
        }
        for order in ORDERS {
            let view = processes.table().unwrap().view(question(order)).unwrap();
            let text = serde_json::to_string(&view).unwrap();
            let told: serde_json::Value = serde_json::from_str(&text).unwrap();
            for row in told["rows"].as_array().unwrap() {
                let texts = row.as_object().unwrap().values().filter_map(|value| value.as_str());
                for text in texts {
                    prop_assert!(!text.contains(char::is_control), "{}", row);
                }
                for figure in ["cpu_usage", "rss", "read_bytes_per_s", "write_bytes_per_s"] {
                    let figure = &row[figure];
                    prop_assert!(figure.is_null() || figure.as_f64() >= Some(0.0), "{}", row);
                }
            }
        }
    }
}
