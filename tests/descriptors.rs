//! Descriptors run out: at the start, which is refused, and later, which makes those who come wait
//! and nobody else. The binary meets the kernel's limits; a test network shows when it tries again.

#![cfg(target_os = "linux")]

mod support;
#[path = "support/wire.rs"]
mod wire;

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use support::{Vitald, next_of};
use vitald::engine::clock::Manual;
use vitald::engine::connection::head::Request;
use vitald::engine::connection::response::Response;
use vitald::engine::handle::{Handle, Slot};
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use vitald::engine::net::{Event, Net, Peer};
use vitald::engine::{Engine, Turn};
use wire::{Wire, WireStream};

/// Connections of the server under a low limit, and the descriptors that it needs for them: 16 for
/// refusals and 64 for everything else come on top.
const CONNECTIONS: &str = "100";
const NEEDED: u64 = 180;

/// A vitald that a shell has started after setting limits, and its first line on standard output.
struct Limited {
    child: Child,
    line: String,
}

impl Limited {
    fn start(limits: &str) -> Limited {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limits} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_vitald")])
            .args(["-l", "127.0.0.1:0", "--max-connections", CONNECTIONS, "--log-level", "warn"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        stdout.read_line(&mut line).expect("it is open");
        Limited { child, line }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_start_under_a_hard_limit_that_is_too_low_is_refused_with_both_numbers() {
    let mut refused = Limited::start(&format!("ulimit -n {}", NEEDED - 1));
    assert_eq!(refused.line, "", "it does not say that it listens");
    assert_eq!(refused.child.wait().expect("it can be waited for").code(), Some(1));
    let mut sentence = String::new();
    let stderr = refused.child.stderr.as_mut().expect("standard error is a pipe");
    stderr.read_to_string(&mut sentence).expect("it is open");
    assert!(sentence.contains(" 180 ") && sentence.contains(" 179;"), "{sentence}");
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
}

#[test]
fn a_soft_limit_is_raised_to_what_is_needed_and_no_further() {
    let vitald = Limited::start("ulimit -Sn 50 && ulimit -Hn 200");
    assert!(vitald.line.starts_with("vitald listening"), "{}", vitald.line);
    assert_eq!(limits(vitald.child.id()), [NEEDED, 200]);
}

/// The soft and the hard limit on a process's descriptors.
fn limits(id: u32) -> [u64; 2] {
    let text = fs::read_to_string(format!("/proc/{id}/limits")).expect("it runs");
    let row = text.lines().find_map(|row| row.strip_prefix("Max open files")).expect("a row");
    let mut words = row.split_whitespace();
    [(); 2].map(|()| words.next().and_then(|word| word.parse().ok()).expect("a number"))
}

/// Sets the soft limit while the process runs.
fn set_limit(id: u32, descriptors: u64) {
    let limit = Rlimit { current: Some(descriptors), maximum: Some(limits(id)[1]) };
    let process = Pid::from_raw(id as i32);
    prlimit(process, Resource::Nofile, limit).expect("the limit can be set");
}

/// Leaves a process no descriptor beyond those it has.
fn starve(id: u32) {
    let taken = |number: &u64| fs::symlink_metadata(format!("/proc/{id}/fd/{number}")).is_ok();
    set_limit(id, (0..).find(|number| !taken(number)).expect("a number is free"));
}

/// Processor time that a process has taken, in hundredths of a second.
fn processor_time(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
    let fields = text.rsplit_once(')').expect("a name in brackets").1.split_whitespace();
    fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
}

#[test]
fn without_descriptors_who_comes_waits_and_who_is_there_is_served() {
    let vitald = Vitald::start();
    let mut subscriber = vitald.websocket("/ws?history=0");
    let mut other = vitald.websocket("/ws?history=0");
    next_of(&mut other, "metrics");
    starve(vitald.id());
    let ask = || {
        let mut stream = vitald.connect();
        vitald.send_get(&mut stream, "GET", "/healthz");
        stream
    };
    let mut waiting = ask();
    // It has met the limit by the second of these samples; the other ten take a second.
    let mut seq = 0;
    for _ in 0..2 {
        seq = next_of(&mut subscriber, "metrics")["seq"].as_u64().expect("a number");
    }
    let before = processor_time(vitald.id());
    for _ in 0..10 {
        let next = next_of(&mut subscriber, "metrics")["seq"].as_u64().expect("a number");
        assert!(next > seq, "{next} after {seq}");
        seq = next;
    }
    let taken = processor_time(vitald.id()) - before;
    assert!(taken < 20, "it took {taken} hundredths of a second in one");
    waiting.set_nonblocking(true).expect("a mode can be set");
    let early = waiting.read(&mut [0; 1]).expect_err("nobody can have answered");
    assert_eq!(early.kind(), ErrorKind::WouldBlock);
    waiting.set_nonblocking(false).expect("a mode can be set");

    // A connection that ends leaves its descriptor to the one that waits.
    drop(other);
    assert!(support::answer(&mut waiting, true).1.contains("ok"));
    // So does the system, when it has one again.
    let mut late = ask();
    next_of(&mut subscriber, "metrics");
    set_limit(vitald.id(), 200);
    assert!(support::answer(&mut late, true).1.contains("ok"));
}

struct Hello;

impl Handler for Hello {
    fn request(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) -> Answer {
        Answer::Respond(Response::text(200, "hello"))
    }

    fn message(&mut self, _: &mut Context<'_>, _: Handle, _: Message<'_>) {}
}

/// A wire on a system that has run out of descriptors, while the cell says so.
struct Scarce {
    wire: Wire,
    is_starved: Rc<Cell<bool>>,
    /// When a connection was asked for in vain, in milliseconds.
    failed_ms: Rc<RefCell<Vec<u64>>>,
}

impl Net for Scarce {
    type Stream = WireStream;

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        self.wire.poll(events, timeout)
    }

    fn accept(&mut self) -> io::Result<(WireStream, Peer)> {
        if self.is_starved.get() {
            self.failed_ms.borrow_mut().push(self.wire.now_ms());
            return Err(rustix::io::Errno::MFILE.into());
        }
        self.wire.accept()
    }

    fn open(&mut self, stream: &mut WireStream, slot: Slot) -> io::Result<()> {
        self.wire.open(stream, slot)
    }

    fn close(&mut self, stream: WireStream) {
        self.wire.close(stream);
    }

    fn stop_listening(&mut self) {
        self.wire.stop_listening();
    }
}

type Served = Engine<Hello, Scarce, Manual>;

fn turn(engine: &mut Served, timeout: Duration) -> Turn {
    engine.turn(Some(timeout)).expect("the wire does not fail")
}

fn settle(engine: &mut Served) {
    while turn(engine, Duration::ZERO).worked {}
}

fn run_until(engine: &mut Served, wire: &Wire, until_ms: u64) {
    settle(engine);
    for _ in 0..1000 {
        if wire.now_ms() >= until_ms {
            return;
        }
        turn(engine, Duration::from_millis(until_ms - wire.now_ms()));
    }
    panic!("it spins: a thousand turns have taken it to {} ms", wire.now_ms());
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn is_served(wire: &Wire, client: usize) -> bool {
    wire.text(client).starts_with("HTTP/1.1 200 ")
}

#[test]
fn it_tries_again_ten_times_a_second_and_at_once_when_a_connection_ends() {
    let wire = Wire::new();
    let (is_starved, failed_ms) = (Rc::new(Cell::new(false)), Rc::default());
    let net = Scarce {
        wire: wire.clone(),
        is_starved: Rc::clone(&is_starved),
        failed_ms: Rc::clone(&failed_ms),
    };
    let mut engine = Engine::with_parts(Limits::default(), net, wire.clock(), Hello)
        .expect("the limits make sense");
    let first = wire.connect(1 << 20);
    wire.send(first, GET);
    settle(&mut engine);
    assert!(is_served(&wire, first));

    is_starved.set(true);
    let second = wire.connect(1 << 20);
    wire.send(second, GET);
    let turns = engine.stats().turns;
    run_until(&mut engine, &wire, 1_050);
    let attempts = failed_ms.take();
    assert_eq!(attempts.len(), 11, "{attempts:?}");
    let pauses = attempts.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(pauses.into_iter().all(|pause| (100..110).contains(&pause)), "{attempts:?}");
    assert!(engine.stats().turns - turns < 40, "{} turns", engine.stats().turns - turns);
    assert_eq!(engine.stats().accept_errors, 11);
    wire.send(first, GET);
    settle(&mut engine);
    assert!(is_served(&wire, first), "who is there is served meanwhile");

    // Its end is noticed without time passing, and so is the room that it leaves.
    is_starved.set(false);
    let now_ms = wire.now_ms();
    wire.end(first);
    settle(&mut engine);
    assert!(is_served(&wire, second));
    assert_eq!(wire.now_ms(), now_ms);

    is_starved.set(true);
    let third = wire.connect(1 << 20);
    wire.send(third, GET);
    settle(&mut engine);
    is_starved.set(false);
    run_until(&mut engine, &wire, now_ms + 110);
    assert!(is_served(&wire, third), "without an end the room is found by the next attempt");
}
