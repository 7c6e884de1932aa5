//! What comes and goes leaves nothing behind. Connections are opened and ended in each of eight
//! ways, on real sockets, while ticks go on; then every row of the ledger, the process's
//! descriptors and the live heap of the server's thread, in bytes and in blocks, are what they were
//! before.
//!
//! `VITALD_CYCLES` is the number of connections in each way, 20000 if it is not set.
//!
//! Equal means equal. What could differ is warmed up or bounded: each way runs once before the
//! baseline, with as many connections at a time as later, so that the list of members has grown; no
//! frame is kept, since one that was copied whole has less room than one that grew as it was
//! written; and the hello that is kept for the next reader is dropped before each look (`settle`).
//! The source gives one sample again and again: a mount that comes or a number that grows longer
//! would be the host's doing.

#![cfg(target_os = "linux")]

#[path = "support/heap.rs"]
mod heap;
#[path = "support/live.rs"]
mod live;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use live::{CLOSE, Clients, Reader, Seen, Stop, UPGRADE, UPGRADE_WITHOUT_HISTORY, Watch};
use vitald::engine::connection::CloseReason;
use vitald::engine::ledger::Resource;
use vitald::engine::limits::Limits;
use vitald::metrics::definition::Filesystem;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// This thread's live heap. Nothing that a server's thread allocates is freed by another.
fn heap() -> (i64, i64) {
    (heap::live_bytes(), heap::live_blocks())
}

/// Keeps every line of level warn or error: a clean run writes none.
struct Complaints(Mutex<Vec<String>>);

static COMPLAINTS: Complaints = Complaints(Mutex::new(Vec::new()));

impl log::Log for Complaints {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}", record.level(), record.args());
            self.0.lock().expect("nothing panics with the lock").push(line);
        }
    }

    fn flush(&self) {}
}

/// Mounts of the host that is made up, and bytes of the path of each: a sample of them takes 68 KB
/// as a message, more than the kernel holds for a peer with a small window that does not read. A
/// few long texts are written faster than many figures. A buffer that is written a mount at a time
/// doubles at the first, second, fourth, eighth and sixteenth: one mount more, and the digits of a
/// sequence number do not decide whether it doubles once again.
const MOUNTS: usize = 17;
const PATH_BYTES: usize = 4000;

/// A host on which nothing changes.
struct Still;

impl Source for Still {
    fn read(&mut self, _: Duration, into: &mut Snapshot) {
        if into.filesystems.is_empty() {
            into.filesystems.extend((0..MOUNTS).map(|index| Filesystem {
                mount: format!("/{index:0PATH_BYTES$}"),
                usage: Some(78.9),
                ..Filesystem::default()
            }));
        }
        into.cpu.usage = Some(12.3);
        into.memory.usage = Some(45.6);
    }
}

/// A request for an event stream, without history in the hello.
const STREAM: &[u8] = b"GET /events?history=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Bytes that the reader of a stream has room for: the hello, which has a sample, and some samples.
const ROOM: usize = 512 << 10;

/// Connections at a time.
const BATCH: u64 = 100;

/// How connections end.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// With the closing handshake, begun by the client.
    ClosingHandshake,
    /// By RST, as open WebSockets.
    Reset,
    /// After half a request head.
    VanishBeforeUpgrade,
    /// As open WebSockets, after half a frame.
    VanishMidFrame,
    /// By the server, because they are open WebSockets that never read.
    NeverRead,
    /// As event streams whose readers have what they wanted and leave.
    LeaveStream,
    /// By RST, as event streams.
    ResetStream,
    /// By the server, because they are event streams that are never read.
    NeverReadStream,
}

const WAYS: [(Way, CloseReason); 8] = [
    (Way::ClosingHandshake, CloseReason::PeerClosed),
    (Way::Reset, CloseReason::Reset),
    (Way::VanishBeforeUpgrade, CloseReason::PeerLeft),
    (Way::VanishMidFrame, CloseReason::PeerLeft),
    (Way::NeverRead, CloseReason::SlowReader),
    (Way::LeaveStream, CloseReason::PeerLeft),
    (Way::ResetStream, CloseReason::Reset),
    (Way::NeverReadStream, CloseReason::SlowReader),
];

/// Opens and ends `count` connections, and waits until the server has released them.
fn cycle(clients: &mut Clients<'_>, way: Way, count: u64) {
    let mut left = count;
    while left > 0 {
        let size = left.min(BATCH);
        match way {
            Way::ClosingHandshake => end_with_closing_handshake(clients, size),
            Way::Reset => end_with_reset(clients, size),
            Way::VanishBeforeUpgrade => vanish_before_upgrade(clients, size),
            Way::VanishMidFrame => vanish_mid_frame(clients, size),
            Way::NeverRead => never_read(clients, size, UPGRADE),
            Way::LeaveStream => leave_streams(clients, size),
            Way::ResetStream => reset(open_streams(clients, size)),
            Way::NeverReadStream => never_read(clients, size, STREAM),
        }
        clients.wait_for_release(0);
        left -= size;
    }
}

/// Open WebSockets, as many as asked for, that have taken the head of the answer.
fn open(clients: &mut Clients<'_>, size: u64) -> Vec<Reader> {
    let mut readers: Vec<Reader> = (0..size).map(|_| clients.upgrade(UPGRADE)).collect();
    readers.iter_mut().for_each(Reader::take_head);
    readers
}

fn end_with_closing_handshake(clients: &mut Clients<'_>, size: u64) {
    let mut readers = open(clients, size);
    for reader in &mut readers {
        reader.stream.write_all(CLOSE).expect("it reads");
    }
    readers.iter_mut().for_each(Reader::take_close);
}

fn end_with_reset(clients: &mut Clients<'_>, size: u64) {
    reset(open(clients, size).into_iter().map(|reader| reader.stream));
}

/// Ends each by RST.
fn reset(streams: impl IntoIterator<Item = TcpStream>) {
    for stream in streams {
        let linger = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        linger.expect("an option can be set");
    }
}

/// Event streams, as many as asked for, that have taken their hello.
fn open_streams(clients: &mut Clients<'_>, size: u64) -> Vec<TcpStream> {
    let mut streams: Vec<TcpStream> = (0..size).map(|_| clients.connect()).collect();
    for stream in &mut streams {
        stream.write_all(STREAM).expect("it reads");
    }
    let mut bytes = vec![0; ROOM];
    for stream in &mut streams {
        let mut held = 0;
        // Two blank lines: behind the head, and behind the first event.
        while !bytes[..held].ends_with(b"}\n\n") {
            let length = stream.read(&mut bytes[held..]).expect("it greets");
            assert!(length > 0, "the stream has ended");
            held += length;
        }
        assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n"), "a stream begins");
    }
    streams
}

fn leave_streams(clients: &mut Clients<'_>, size: u64) {
    let streams = open_streams(clients, size);
    for stream in &streams {
        // A descriptor that is closed with input unread would send RST, which is another way.
        stream.shutdown(Shutdown::Write).expect("the server has not ended it");
    }
    clients.wait_for_release(0);
}

fn vanish_before_upgrade(clients: &mut Clients<'_>, size: u64) {
    let half = &UPGRADE[..UPGRADE.len() / 2];
    let streams: Vec<TcpStream> = (0..size)
        .map(|_| {
            let mut stream = clients.connect();
            stream.write_all(half).expect("it reads");
            stream
        })
        .collect();
    clients.watch.wait("every half head is held", |seen| seen.live(Resource::Input) == size);
    drop(streams);
}

fn vanish_mid_frame(clients: &mut Clients<'_>, size: u64) {
    /// The header of a text frame of 100 bytes, and some of them.
    const HALF: &[u8] = b"\x81\xe4\0\0\0\0half a frame";
    let mut readers = open(clients, size);
    let before = clients.watch.wait("all are open", |seen| seen.live(Resource::Member) == size);
    let bytes = before.stats.bytes_read + size * HALF.len() as u64;
    for reader in &mut readers {
        reader.stream.write_all(HALF).expect("it reads");
    }
    clients.watch.wait("every half frame is read", |seen| seen.stats.bytes_read == bytes);
    for reader in &readers {
        // A descriptor that is closed with input unread would send RST, which is another way.
        reader.stream.shutdown(Shutdown::Write).expect("the server has not ended it");
    }
    clients.wait_for_release(0);
}

fn never_read(clients: &mut Clients<'_>, size: u64, head: &[u8]) {
    let streams: Vec<TcpStream> = (0..size)
        .map(|_| {
            let socket = clients.socket();
            // The server's kernel gives a connection room for some segments: small ones make it
            // tens of kilobytes, where loopback's usual ones make it megabytes.
            socket.set_tcp_mss(536).expect("an option can be set");
            socket.set_recv_buffer_size(1).expect("the kernel rounds up");
            let mut stream = clients.finish(socket);
            stream.write_all(head).expect("it reads");
            stream
        })
        .collect();
    clients.wait_for_release(0);
    drop(streams);
}

/// What there is when no connection is.
#[derive(Debug, PartialEq)]
struct Rest {
    rows: Vec<(Resource, u64)>,
    descriptors: usize,
    heap_bytes: i64,
    heap_blocks: i64,
}

/// Drops what is kept for the next reader, and looks.
fn settle(clients: &mut Clients<'_>) -> (Seen, Rest) {
    // A hello with history is kept until one is asked for after a newer sample. The first
    // connection waits for that sample, the second asks, for one that is not kept.
    for wanted in [2, 1] {
        let mut reader = clients.upgrade(UPGRADE_WITHOUT_HISTORY);
        reader.take_head();
        for _ in 0..wanted {
            assert_eq!(reader.frame().0, 1, "hello and a sample are text");
        }
        reader.stream.write_all(CLOSE).expect("it reads");
        reader.take_close();
    }
    let seen = clients.wait_for_release(0);
    let entries = fs::read_dir("/proc/self/fd").expect("the descriptors can be listed");
    let rest = Rest {
        rows: seen.rows().to_vec(),
        descriptors: entries.count(),
        heap_bytes: seen.heap.0,
        heap_blocks: seen.heap.1,
    };
    (seen, rest)
}

#[test]
fn connections_that_end_in_any_way_leave_nothing_behind() {
    let cycles = live::number_from("VITALD_CYCLES", 20_000);
    log::set_logger(&COMPLAINTS).expect("no other logger is set");
    log::set_max_level(log::LevelFilter::Warn);
    let limits = Limits {
        connections_max: 128,
        shared_bytes_max: 128 << 10,
        frames_kept_max: 0,
        stall_timeout: Duration::from_millis(20),
        close_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let watch = Watch::default();
    thread::scope(|scope| {
        let _stop = Stop(&watch);
        scope.spawn(|| live::serve(&watch, limits, Box::new(Still), heap));
        let mut clients = Clients::new(&watch);
        for (way, _) in WAYS {
            cycle(&mut clients, way, 2 * BATCH);
        }
        let (_, before) = settle(&mut clients);
        assert!(before.heap_bytes > 0 && before.heap_blocks > 0, "the counter is in use");
        for (way, reason) in WAYS {
            let (then, began) = (clients.wait_for_release(0), Instant::now());
            cycle(&mut clients, way, cycles);
            let seconds = began.elapsed().as_secs_f64();
            let (seen, rest) = settle(&mut clients);
            println!("{way:?}: {cycles} cycles, {:.0} a second", cycles as f64 / seconds);
            let complaints = COMPLAINTS.0.lock().expect("nothing panics with the lock");
            assert!(
                complaints.is_empty(),
                "{way:?}: a clean run writes no warning: {complaints:?}"
            );
            let ended = seen.stats.closes(reason) - then.stats.closes(reason);
            // Looking has taken two connections, with the closing handshake.
            let looked = if reason == CloseReason::PeerClosed { 2 } else { 0 };
            assert_eq!(ended, cycles + looked, "{way:?} ends as {reason}");
            assert_eq!(rest, before, "{way:?} has left something");
        }
        println!("{before:?}");
    });
}
