//! A steady tick allocates nothing: sampling, history, encoding, publishing and writing to every
//! subscriber, on the production network: half of them over TCP, with its options and its flags for
//! sending, and half over a Unix socket, compressed. Only this thread is counted, and it is the
//! whole server.
//!
//! What limits a control group and which sensors there are is looked up each half minute, which
//! does allocate and is left out. So is the process table, which nobody watches there; its scans
//! have a test of their own.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/heap.rs"]
mod heap;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use frames::{UPGRADE, UPGRADE_DEFLATE};
use socket2::Socket;
use vitald::Server;
use vitald::config::{Config, Listen};
use vitald::metrics::aggregate::Aggregate;
use vitald::metrics::alerts::{Alerts, RULES_MAX, Rules, Setting, State};
#[cfg(target_os = "linux")]
use vitald::metrics::processes::{ORDERS, Question, Wanted};
use vitald::metrics::selection::Selection;
use vitald::metrics::snapshot::{Filesystem, Snapshot};
use vitald::metrics::source::Source;
use vitald::metrics::source::portable::Portable;
#[cfg(target_os = "linux")]
use vitald::metrics::source::{
    linux::processes::Processes,
    processes::{ProcessSource, Progress},
};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const SUBSCRIBERS: usize = 20;

const STREAM: &[u8] = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Turns until `ticks` samples have gone to every subscriber, reading what they get.
fn run(server: &mut Server, clients: &mut [Socket], ticks: u64) {
    let mut bytes = [0; 4096];
    let wanted = server.stats().frames_published + ticks * clients.len() as u64;
    let patience = Instant::now() + Duration::from_secs(60);
    while server.stats().frames_published < wanted {
        assert!(Instant::now() < patience, "the ticks have stopped");
        server.turn(Some(Duration::from_millis(20))).expect("the poll works");
        for client in clients.iter_mut() {
            loop {
                match client.read(&mut bytes) {
                    Ok(0) => panic!("the server has closed"),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

/// The first lookup comes this long after the start: tested for with a second to spare.
const LOOKUP: Duration = Duration::from_secs(9);

/// Allocations in 30 ticks; `None` if they were not steady, because the machine was so busy that
/// frames of two ticks were held at a time, and there came to be more of them, or that they took
/// until a lookup.
fn allocations_of_ticks() -> Option<u64> {
    let name = format!("vitald-allocations-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let config = Config {
        listen: vec![Listen::Tcp("127.0.0.1:0".to_owned()), Listen::Unix(path.clone())],
        interval: Duration::from_millis(100),
        ..Config::default()
    };
    let began = Instant::now();
    let mut server = Server::bind(&config).expect("the path and a port are free");
    let url = server.addresses().next().expect("it listens on TCP first");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut clients: Vec<Socket> = Vec::new();
    for _ in 0..SUBSCRIBERS / 2 {
        clients.push(TcpStream::connect(address).expect("it listens").into());
        clients.push(UnixStream::connect(&path).expect("it listens").into());
    }
    for (index, client) in clients.iter_mut().enumerate() {
        // Of each kind of subscriber, by both kinds of socket.
        let first = [STREAM, STREAM, UPGRADE, UPGRADE, UPGRADE_DEFLATE, UPGRADE_DEFLATE][index % 6];
        client.write_all(first).expect("there is room");
        client.set_nonblocking(true).expect("a mode can be set");
    }
    run(&mut server, &mut clients, 5);
    let frames = server.pools().frames.high;
    run(&mut server, &mut clients, 5);
    let before = heap::allocations();
    assert!(before > 0, "the counter is in use");
    run(&mut server, &mut clients, 30);
    let allocations = heap::allocations() - before;
    let is_steady = server.pools().frames.high == frames && began.elapsed() < LOOKUP;
    is_steady.then_some(allocations)
}

#[test]
fn a_steady_tick_with_subscribers_allocates_nothing() {
    let allocations = (0..10).find_map(|_| allocations_of_ticks());
    let allocations = allocations.expect("of ten times one is steady");
    assert_eq!(allocations, 0, "in 30 ticks with {SUBSCRIBERS} subscribers");
}

#[test]
#[cfg(target_os = "linux")]
fn what_linux_reads_allocates_nothing_but_for_the_two_lookups() {
    use vitald::metrics::source::linux::{Linux, PARTS};
    let (mut linux, mut snapshot) = (Linux::new(), Snapshot::default());
    for part in PARTS.iter().filter(|part| !matches!(part.name, "cgroup_limits" | "sensors")) {
        let mut read = |second| {
            linux.read_part(part, Duration::from_secs(second), &mut snapshot);
        };
        (0..3).for_each(&mut read);
        let before = heap::allocations();
        (3..20).for_each(read);
        assert_eq!(heap::allocations() - before, 0, "{}", part.name);
    }
}

#[test]
fn the_portable_source_holds_no_more_after_many_readings() {
    let (mut portable, mut snapshot) = (Portable::new(), Snapshot::default());
    let mut read = |second| portable.read(Duration::from_secs(second), &mut snapshot);
    (0..20).for_each(&mut read);
    let before = heap::live_bytes();
    (20..220).for_each(read);
    // Other processes come and go, and sysinfo has a few hundred bytes for each.
    let grown = heap::live_bytes() - before;
    assert!(grown < 200 << 10, "it holds {grown} bytes more");
}

#[test]
fn evaluating_rules_allocates_nothing_while_no_figure_goes_beyond_its_bound_for_long() {
    const ROWS: usize = 10;
    let mut rules = Rules::default();
    let metrics = ["filesystems.*.usage", "filesystems./7.usage", "load.one"];
    for index in rules.iter().count()..RULES_MAX {
        let setting = Setting {
            name: format!("rule{index}"),
            metric: Some(metrics[index % metrics.len()].to_owned()),
            above: Some(50.0),
            ..Setting::default()
        };
        rules.set(&setting).expect("the setting is right");
    }
    let mut alerts = Alerts::new(rules);
    let mut snapshot = Snapshot::default();
    let row = |index| Filesystem { mount: format!("/{index}"), ..Filesystem::default() };
    snapshot.filesystems = (0..ROWS).map(row).collect();
    let mut before = 0;
    for tick in 1..=1000 {
        // Five ticks beyond the bound, five within it, and one in which nothing is known.
        let value = (tick % 11 > 0).then_some(if tick % 11 > 5 { 60.0 } else { 40.0 });
        snapshot.load.one = value;
        snapshot.filesystems.iter_mut().for_each(|row| row.usage = value);
        alerts.evaluate(Duration::from_secs(tick), &snapshot, |_| panic!("nothing fires"));
        if tick == 10 {
            assert!(alerts.rows().any(|row| row.state == State::Pending));
            before = heap::allocations();
        }
    }
    assert!(alerts.rows().count() > RULES_MAX + ROWS);
    assert_eq!(heap::allocations() - before, 0, "in 990 ticks with {RULES_MAX} rules");
}

#[test]
fn means_over_a_window_allocate_nothing_while_the_rows_stay() {
    let mut snapshot = Snapshot::default();
    snapshot.cpu.cores = vec![Some(1.0); 64];
    let row = |index| Filesystem { mount: format!("/{index}"), ..Filesystem::default() };
    snapshot.filesystems = (0..10).map(row).collect();
    let mut aggregate = Aggregate::new(&Selection::all());
    let mut message = Vec::with_capacity(64 << 10);
    let mut window = |first: u64| {
        for tick in first..first + 5 {
            let value = (tick % 7 > 0).then_some(tick as f64);
            snapshot.cpu.cores.fill(value);
            snapshot.server.messages_sent = value;
            snapshot.filesystems.iter_mut().for_each(|row| row.usage = value);
            // The system lists them in another order.
            snapshot.filesystems.rotate_left(1);
            aggregate.add(&snapshot);
        }
        message.clear();
        serde_json::to_writer(&mut message, &aggregate).expect("there is room");
        aggregate.clear();
    };
    window(1);
    let before = heap::allocations();
    (1..100).for_each(|count| window(5 * count));
    assert_eq!(heap::allocations() - before, 0, "in 99 windows");
}

#[cfg(target_os = "linux")]
#[test]
fn a_steady_scan_of_processes_allocates_nothing() {
    let root = std::env::temp_dir().join(format!("vitald-scan-{}", std::process::id()));
    let proc = root.join("proc");
    for pid in 1..=300 {
        let process = proc.join(pid.to_string());
        std::fs::create_dir_all(&process).expect("there is room");
        let line =
            format!("{pid} (name) S 1 1 1 0 -1 0 1 0 0 0 1 0 0 0 20 0 3 0 5 99 {pid} 18446744");
        for (name, text) in
            [("stat", &*line), ("io", "read_bytes: 1\nwrite_bytes: 1\n"), ("cmdline", "a\0b\0")]
        {
            std::fs::write(process.join(name), text).expect("there is room");
        }
    }
    let mut wanted = Wanted::default();
    for order in ORDERS {
        wanted.add(Question { order, limit: 50, with_commands: true });
    }
    let mut processes = Processes::at(&root);
    let mut scan = |second: u64| {
        let now = Duration::from_secs(second);
        processes.begin(now, 1000 * second, wanted);
        while processes.step(now, 16) == Progress::Pending {}
    };
    (1..=4).for_each(&mut scan);
    let before = heap::allocations();
    (5..=9).for_each(&mut scan);
    assert_eq!(heap::allocations() - before, 0, "in 5 scans of 300 processes");
    std::fs::remove_dir_all(&root).expect("it is there");
}
