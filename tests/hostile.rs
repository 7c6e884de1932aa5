//! What strangers send does not reach anybody else: while hostile connections come and go by the
//! thousand, a subscriber in good standing gets every tick, and at the end the books are as before,
//! and so are the process's descriptors.
//!
//! `VITALD_HOSTILE` is the number of hostile connections, 100000 if it is not set; `VITALD_SEED`
//! the seed of what they do, which is printed and else taken from the clock.

#![cfg(target_os = "linux")]

#[path = "support/live.rs"]
mod live;

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use live::{CLOSE, Clients, Reader, Stop, UPGRADE, UPGRADE_WITHOUT_HISTORY, Watch};
use serde_json::Value;
use vitald::engine::connection::CloseReason;
use vitald::engine::ledger::Resource;
use vitald::engine::limits::Limits;
use vitald::engine::random::Random;
use vitald::metrics::source;

/// Connections served at a time, and hostile ones that are open at a time: some are refused for
/// lack of room, and none waits for others to go.
const SERVED: usize = 128;
const OPEN: usize = 136;

/// Which of the hostile ones stay, and how many at a time: each for some 2,000 others.
const STAYS_ONE_IN: u64 = 50;
const STAYING: usize = 40;

/// Connections by which the clients may be ahead of the server. More would overflow the kernel's
/// accept queue, and then nobody knows who was let in.
const AHEAD: u64 = 50;

/// What one hostile connection sends.
fn malice(random: &mut Random) -> Vec<u8> {
    let upgraded = |frames: &[u8]| [UPGRADE, frames].concat();
    match random.below(10) {
        // Nothing: whether it then leaves at once or stays, it is heard of no more.
        0 => Vec::new(),
        1 => {
            let length = 1 + random.below(2000);
            random.bytes(length)
        }
        2 => UPGRADE[..random.below(UPGRADE.len())].to_vec(),
        3 => {
            let mut head = UPGRADE.to_vec();
            let place = random.below(head.len());
            head[place] = random.draw() as u8;
            head
        }
        4 => {
            let length = 1 + random.below(200);
            upgraded(&random.bytes(length))
        }
        // Half a frame.
        5 => upgraded(&b"\x81\xe4\0\0\0\0half"[..2 + random.below(9)]),
        // A frame of 5000 bytes, and one that says it has 2^40.
        6 => upgraded(&[&b"\x81\xfe\x13\x88\0\0\0\0"[..], &[b'x'; 5000]].concat()),
        7 => upgraded(b"\x82\xff\0\0\x01\0\0\0\0\0\0\0\0\0xxxx"),
        // More messages than anybody may send, each of which wants an answer that is not read.
        8 => upgraded(&b"\x81\x8f\0\0\0\0{\"type\":\"ping\"}".repeat(10 + random.below(200))),
        _ => {
            let get: &[u8] = match random.below(3) {
                0 => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                1 => b"GET /api/v1/snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n",
                _ => b"X: what a head would hold without an end",
            };
            get.repeat(1 + random.below(300))
        }
    }
}

/// Opens hostile connections one after the other. Most go after some milliseconds, as others come;
/// one in [`STAYS_ONE_IN`] stays, for the server's deadlines to find.
fn attack(clients: &mut Clients<'_>, random: &mut Random, count: u64) {
    let mut open: VecDeque<TcpStream> = VecDeque::new();
    let mut staying: VecDeque<TcpStream> = VecDeque::new();
    for number in 0..count {
        let ahead = clients.opened;
        clients.watch.wait("it accepts", |seen| seen.stats.accepted + AHEAD > ahead);
        let mut stream = clients.connect();
        stream.set_nonblocking(true).expect("a mode can be set");
        // As much as goes: the server need not read it, and may have ended it.
        let _ = stream.write(&malice(random));
        if number % STAYS_ONE_IN == 0 {
            staying.push_back(stream);
            if staying.len() > STAYING {
                end(staying.pop_front().expect("somebody stays"), random);
            }
        } else if random.below(4) == 0 {
            end(stream, random);
        } else {
            open.push_back(stream);
        }
        if open.len() > OPEN {
            let place = random.below(open.len());
            end(open.remove(place).expect("the place is below the length"), random);
        }
    }
}

/// Ends a connection: in order, if there is nothing unread, or by RST.
fn end(stream: TcpStream, random: &mut Random) {
    if random.below(2) == 0 {
        let reset = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        reset.expect("an option can be set");
    }
}

/// The process's descriptors, but for files: a sample opens some for a moment, on another thread.
fn descriptors() -> usize {
    let entries = fs::read_dir("/proc/self/fd").expect("the descriptors can be listed");
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    // A file has a path; a socket or a poll has a kind and a number.
    targets.filter(|target| target.is_relative()).count()
}

/// A client's pong without payload, masked with zeros.
const PONG: &[u8] = &[0x8a, 0x80, 0, 0, 0, 0];

/// The sequence number of the next `metrics` message. Answers pings on the way to it.
fn sequence(reader: &mut Reader) -> u64 {
    let (opcode, payload) = reader.frame();
    if opcode == 9 {
        reader.stream.write_all(PONG).expect("it reads");
        return sequence(reader);
    }
    assert_eq!(opcode, 1, "a sample is text");
    let message: Value = serde_json::from_slice(payload).expect("a message is JSON");
    assert_eq!(message["type"], "metrics");
    message["seq"].as_u64().expect("a number")
}

/// Reads until told to stop, and asserts that no tick is missing. Gives the number of ticks.
fn follow(reader: &mut Reader, is_over: &AtomicBool) -> u64 {
    let first = sequence(reader);
    let mut newest = first;
    while !is_over.load(Ordering::Relaxed) {
        let next = sequence(reader);
        assert_eq!(next, newest + 1, "every tick comes, in order");
        newest = next;
    }
    newest - first
}

#[test]
fn a_subscriber_misses_no_tick_whatever_strangers_do() {
    let count = live::number_from("VITALD_HOSTILE", 100_000);
    let clock = SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970").as_nanos() as u64;
    let seed = live::number_from("VITALD_SEED", clock);
    println!("VITALD_SEED={seed}");
    let limits = Limits {
        connections_max: SERVED,
        head_timeout: Duration::from_millis(50),
        frame_timeout: Duration::from_millis(50),
        stall_timeout: Duration::from_millis(50),
        close_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let (watch, is_over) = (Watch::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let _stop = Stop(&watch);
        scope.spawn(|| live::serve(&watch, limits, source::for_this_host(), || (0, 0)));
        let mut clients = Clients::new(&watch);
        let mut reader = clients.upgrade(UPGRADE_WITHOUT_HISTORY);
        reader.take_head();
        assert_eq!(reader.frame().0, 1, "hello is text");
        let before = watch.wait("it is open", |seen| seen.live(Resource::Member) == 1);
        let descriptors_before = descriptors();
        let subscriber = scope.spawn(|| {
            let ticks = follow(&mut reader, &is_over);
            (reader, ticks)
        });
        let began = Instant::now();
        attack(&mut clients, &mut Random::new(seed), count);
        let after = clients.wait_for_release(1);
        let elapsed = began.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let (mut reader, ticks) = subscriber.join().expect("the subscriber was served");
        let rate = count as f64 / elapsed.as_secs_f64();
        println!("{count} hostile connections, {rate:.0} a second, {ticks} ticks");
        assert_eq!(after.rows(), before.rows(), "they have left something");
        assert_eq!(descriptors(), descriptors_before, "they have left descriptors");
        // What they did has reached every refusal that it was meant for.
        for &reason in CloseReason::ALL {
            println!("{reason}: {}", after.stats.closes(reason));
        }
        if count >= 10_000 {
            use CloseReason::*;
            for reason in [
                PeerLeft,
                HeadTimeout,
                BadRequest,
                Full,
                Policy,
                SlowReader,
                ProtocolError,
                TooBig,
                Reset,
            ] {
                assert!(after.stats.closes(reason) > 0, "nobody was ended as {reason}");
            }
        }
        reader.stream.write_all(CLOSE).expect("it reads");
        reader.take_close();
        clients.wait_for_release(0);
    });
}
