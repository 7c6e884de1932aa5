//! The memory ceiling is true, and no fantasy. Every limit of the engine is reached at once, with
//! the default limits: every place taken, a frame of its own begun by each connection, every
//! class's newest frame and as many events as may wait owed, answers up to their limit, control
//! lanes beyond theirs, half a frame beside a collected fragment or parked input in each WebSocket,
//! and all tasks. The peak of the live heap of this thread, which is the whole engine's, stays
//! below the ceiling and comes near it; and when all has ended the heap is what it was.
//!
//! What a test network and its clients keep is not the engine's: it is not counted.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/heap.rs"]
mod heap;
#[path = "support/wire.rs"]
mod wire;

use std::io::{self, IoSlice};
#[cfg(target_os = "linux")]
use std::os::unix::fs::symlink;
use std::time::Duration;

use frames::{BINARY, PING, TEXT, UPGRADE, client_frame};
use heap::uncounted;
use tungstenite::protocol::frame::coding::Data;
use vitald::app::App;
use vitald::app::access::Access;
use vitald::app::protocol::{self, MESSAGE_BYTES_MAX, Request as Wish};
use vitald::app::terms::Terms;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
#[cfg(feature = "compression")]
use vitald::engine::compressor::Compressor;
use vitald::engine::connection::CloseReason;
use vitald::engine::connection::frame::{ENVELOPES, Frame, Kind, NoFrame};
use vitald::engine::connection::head::Request;
use vitald::engine::connection::inflater::Inflater;
use vitald::engine::connection::websocket::{Received, WebSocket};
use vitald::engine::handle::{Handle, Slot};
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::ledger::Resource;
use vitald::engine::limits::{EVENTS_MAX, Limits};
use vitald::engine::net::{Event, Net, Peer, Stream};
use vitald::engine::tasks::Owner;
use vitald::metrics::MetricsService;
use vitald::metrics::exposition::{Exposition, Kind as MetricKind};
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
#[cfg(target_os = "linux")]
use vitald::metrics::{
    processes::{ORDERS, Order, PROCESSES_MAX, Question, ROWS_MAX, Wanted},
    source::linux::processes::Processes,
    source::processes::{ProcessSource, Progress},
};
use wire::{Wire, WireStream};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// The wire, with its own memory left uncounted. A turn is given at most as many events as a poll
/// with one registration for each socket could give.
struct Quiet {
    wire: Wire,
    found: Vec<Event>,
    events_max: usize,
}

struct QuietStream(WireStream);

impl Net for Quiet {
    type Stream = QuietStream;

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        if self.found.is_empty() {
            uncounted(|| self.wire.poll(&mut self.found, timeout))?;
        }
        let count = self.found.len().min(self.events_max);
        events.extend(self.found.drain(..count));
        Ok(())
    }

    fn accept(&mut self) -> io::Result<(QuietStream, Peer)> {
        let (stream, peer) = uncounted(|| self.wire.accept())?;
        Ok((QuietStream(stream), peer))
    }

    fn open(&mut self, stream: &mut QuietStream, slot: Slot) -> io::Result<()> {
        uncounted(|| self.wire.open(&mut stream.0, slot))
    }

    fn close(&mut self, stream: QuietStream) {
        uncounted(|| self.wire.close(stream.0));
    }

    fn stop_listening(&mut self) {
        self.wire.stop_listening();
    }
}

impl Stream for QuietStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        uncounted(|| self.0.read(buffer))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        uncounted(|| self.0.write_vectored(slices))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown_write()
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.0.take_error()
    }
}

/// Takes as much as it can, when its leader says so.
struct Hoarder {
    open: Vec<Handle>,
}

impl Hoarder {
    /// The longest frame that may be shared, if there may be another one.
    fn try_encode(&self, context: &mut Context<'_>) -> Result<Frame, NoFrame> {
        let payload_bytes = context.limits().shared_bytes_max - 4;
        context.encode(Kind::Binary, |out| (0..payload_bytes).for_each(|_| out.push(b'x')))
    }

    fn encode(&self, context: &mut Context<'_>) -> Frame {
        self.try_encode(context).expect("there is room for every frame that the limits promise")
    }

    /// A frame for each connection, of which it will take the beginning.
    fn begin(&self, context: &mut Context<'_>) {
        for &handle in &self.open {
            let frame = self.encode(context);
            assert!(context.publish(handle, 0, frame));
        }
    }

    /// The newest frame of every class, and all events that can wait, to all who are concerned;
    /// each in every envelope.
    fn share(&self, context: &mut Context<'_>) {
        let kinds = context.limits().classes_max * ENVELOPES;
        for kind in 0..kinds {
            let frame = self.encode(context);
            for (index, &handle) in self.open.iter().enumerate() {
                if index % kinds == kind {
                    assert!(context.publish(handle, 1, frame.clone()));
                }
            }
        }
        for _ in 0..EVENTS_MAX {
            self.announce(context);
        }
        // Two more at least, in each envelope, and then no further one before one is let go.
        let mut held: Vec<Frame> = (0..2 * ENVELOPES).map(|_| self.encode(context)).collect();
        held.extend(std::iter::from_fn(|| self.try_encode(context).ok()));
        assert_eq!(self.try_encode(context).unwrap_err(), NoFrame::Full);
        drop(held);
        self.announce(context);
        let foreign = Frame::new(Kind::Text, |_| {});
        assert!(!context.publish(self.open[0], 0, foreign), "nobody would have counted it");
    }

    /// An event to everybody, in a frame for each envelope.
    fn announce(&self, context: &mut Context<'_>) {
        for envelope in 0..ENVELOPES {
            let frame = self.encode(context);
            for &handle in self.open.iter().skip(envelope).step_by(ENVELOPES) {
                let gap =
                    |missed| Frame::new(Kind::Text, |out| out.extend(format!("{missed}").bytes()));
                assert!(context.event(handle, frame.clone(), gap));
            }
        }
    }

    /// Answers until no more is taken: long ones, then short ones.
    fn answer(&self, context: &mut Context<'_>) {
        for &handle in &self.open {
            for bytes in [48 << 10, 1 << 10, 1] {
                let frame = || Frame::new(Kind::Binary, |out| out.resize(out.len() + bytes, b'x'));
                while context.reply(handle, frame()) {}
            }
        }
    }
}

impl Handler for Hoarder {
    fn memory_ceiling(&self, _: &Limits) -> usize {
        self.open.capacity() * size_of::<Handle>()
    }

    fn start(&mut self, context: &mut Context<'_>) {
        let hour = Duration::from_secs(3600);
        while context.spawn_after("sleep", Owner::Handler, hour).is_some() {}
    }

    fn request(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) -> Answer {
        Answer::Upgrade { protocol: None }
    }

    fn open(&mut self, _: &mut Context<'_>, handle: Handle, _: &Request<'_>) {
        self.open.push(handle);
    }

    fn message(&mut self, context: &mut Context<'_>, _: Handle, message: Message<'_>) {
        match message {
            Message::Text("begin") => self.begin(context),
            Message::Text("share") => self.share(context),
            Message::Text("answer") => self.answer(context),
            other => panic!("{other:?}"),
        }
    }

    fn closed(&mut self, _: &mut Context<'_>, handle: Handle, _: CloseReason) {
        self.open.retain(|open| *open != handle);
    }
}

type Hoard = Engine<Hoarder, Quiet, Manual>;

/// As much of a message as may come without its end, in two fragments: what collects them doubles
/// for the second.
fn fragments() -> Vec<u8> {
    let second = [b'x'; 26];
    let first = [b'x'; MESSAGE_BYTES_MAX - 26];
    [client_frame(BINARY, &first), client_frame(0, &second)].concat()
}

/// As many compressed bytes as a message may have, in two fragments.
fn stored() -> Vec<u8> {
    let length = (MESSAGE_BYTES_MAX - 6) as u16;
    let mut block = vec![0];
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(&(!length).to_le_bytes());
    block.resize(MESSAGE_BYTES_MAX - 1, b'x');
    block.push(0);
    let (first, second) = block.split_at(MESSAGE_BYTES_MAX - 26);
    [client_frame(0x40 | BINARY, first), client_frame(0x80, second)].concat()
}

/// Some of the longest frame: what receives it doubles, because the one before was shorter.
fn half_frame() -> Vec<u8> {
    client_frame(0x80, &[b'x'; MESSAGE_BYTES_MAX])[..100].to_vec()
}

/// Pings whose pongs take `bytes`, a multiple of 127.
fn pings(bytes: usize) -> Vec<u8> {
    client_frame(0x80 | PING, &[b'p'; 125]).repeat(bytes / 127)
}

/// An engine with a handler that hoards, on a wire that is not counted.
struct Trial {
    engine: Hoard,
    wire: Wire,
    limits: Limits,
    /// Bytes that a client's end holds without being read.
    pipe_bytes: usize,
    /// This thread's heap before there was an engine.
    before: i64,
}

impl Trial {
    fn new(limits: Limits, pipe_bytes: usize) -> Trial {
        let (wire, net) = uncounted(|| {
            let wire = Wire::new();
            let net = Quiet { wire: wire.clone(), found: Vec::new(), events_max: limits.slots() };
            (wire, net)
        });
        let before = heap::restart_peak();
        let handler = Hoarder { open: Vec::with_capacity(limits.connections_max) };
        let engine = Engine::with_parts(limits.clone(), net, wire.clock(), handler);
        let mut engine = engine.expect("the limits make sense");
        engine.turn(Some(Duration::ZERO)).expect("the wire does not fail");
        Trial { engine, wire, limits, pipe_bytes, before }
    }

    /// Bytes of heap that the engine has now.
    fn live(&self) -> i64 {
        heap::live_bytes() - self.before
    }

    fn settle(&mut self) {
        while self.engine.turn(Some(Duration::ZERO)).expect("the wire does not fail").worked {}
    }

    fn send(&self, client: usize, bytes: &[u8]) {
        uncounted(|| self.wire.send(client, bytes));
    }

    fn command(&mut self, leader: usize, text: &str) {
        let frame = uncounted(|| client_frame(0x80 | TEXT, text.as_bytes()));
        self.send(leader, &frame);
        self.settle();
        uncounted(|| drop(frame));
    }

    /// Brings everything to its limit.
    fn fill(&mut self) {
        let (places, pipe_bytes) = (self.limits.connections_max, self.pipe_bytes);
        let clients: Vec<usize> =
            uncounted(|| (0..places).map(|_| self.wire.connect(pipe_bytes)).collect());
        clients.iter().for_each(|client| self.send(*client, UPGRADE));
        self.settle();
        uncounted(|| clients.iter().for_each(|client| drop(self.wire.text(*client))));
        let leader = *clients.last().expect("there is a place");
        self.command(leader, "begin");
        // Every second one fills its control lane first and then begins a frame that will not end;
        // the others go on with pings until they are not read any more, and have some parked.
        let control_bytes = self.limits.control_bytes_max;
        let half = uncounted(|| [pings(control_bytes), fragments(), half_frame()].concat());
        let flood = uncounted(|| [fragments(), pings(16 << 10)].concat());
        for pair in clients[..places - 1].chunks(2) {
            self.send(pair[0], &half);
            pair[1..].iter().for_each(|client| self.send(*client, &flood));
        }
        self.settle();
        self.command(leader, "share");
        self.command(leader, "answer");
        let refusals = self.limits.refusals_max;
        uncounted(|| {
            (0..refusals).for_each(|_| {
                self.wire.connect(1);
            });
        });
        self.settle();
        uncounted(|| drop((clients, half, flood)));
    }

    fn assert_full(&self, inputs: usize) {
        let limits = &self.limits;
        for (resource, count) in [
            (Resource::Slot, limits.slots()),
            (Resource::Member, limits.connections_max),
            (Resource::Timer, limits.slots() + limits.tasks_max),
            (Resource::Input, inputs),
        ] {
            assert_eq!(self.engine.ledger().row(resource).live(), count as u64, "{resource:?}");
        }
    }

    /// Waits until every deadline has passed, and the surplus of frames is freed.
    fn end(&mut self) {
        while self.engine.connections().count() > 0 {
            self.engine.turn(None).expect("the wire does not fail");
        }
        for _ in 0..self.limits.frames_max() {
            self.engine.turn(Some(Duration::ZERO)).expect("the wire does not fail");
        }
    }

    /// The peak so far, as a share of the ceiling, which it must not pass.
    fn share(&self) -> f64 {
        let (ceiling, peak) =
            (self.engine.memory_ceiling() as i64, heap::peak_bytes() - self.before);
        let share = 100.0 * peak as f64 / ceiling as f64;
        // The test runner keeps what is printed, on this thread's heap.
        uncounted(|| println!("ceiling {ceiling}, peak {peak} ({share:.1} %)"));
        assert!(peak <= ceiling, "the peak of {peak} bytes is above the ceiling of {ceiling}");
        share
    }
}

#[test]
fn every_limit_reached_at_once_stays_below_the_ceiling_and_leaves_nothing() {
    let limits = Limits { frames_kept_max: 0, ..Limits::default() };
    let mut trial = Trial::new(limits.clone(), 300);
    let idle = trial.live();
    trial.fill();
    trial.assert_full(limits.connections_max / 2 - 1);
    let others = 2 * ENVELOPES;
    assert_eq!(trial.engine.pools().frames.live, limits.frames_max() - others);
    assert!(trial.share() > 70.0, "frames that are begun count among the answers, too");
    trial.end();
    let rest = trial.live();
    assert!(rest - idle <= 256, "{} bytes are left of everything that has ended", rest - idle);
    trial.fill();
    trial.end();
    assert_eq!(trial.live(), rest, "the second time leaves nothing");
}

/// What the first trial cannot reach at once with the rest: every shared frame waits in the pool to
/// be used again while the answers are the connections' own, and whoever floods finds no input
/// buffer.
#[test]
fn the_ceiling_is_not_far_above_what_can_be_reached() {
    let all = Limits::default();
    let frames_kept_max = all.frames_max();
    // Long answers have a test of their own.
    let limits = Limits { frames_kept_max, inputs_max: 0, long_frames_max: 0, ..all };
    let limits = Limits { long_bytes_max: 0, ..limits };
    let mut trial = Trial::new(limits.clone(), limits.shared_bytes_max);
    trial.fill();
    trial.assert_full(0);
    assert!(trial.share() > 90.0);
    trial.end();
}

#[test]
fn a_websocket_takes_no_more_than_is_counted_for_it() {
    let ceiling = WebSocket::memory_ceiling(MESSAGE_BYTES_MAX) as i64;
    let text = client_frame(TEXT, &[b'x'; MESSAGE_BYTES_MAX - 26]);
    let pinged = [client_frame(0x80 | PING, &[b'p'; 125]), fragments(), half_frame()].concat();
    let (mut most, mut inflater) = (0, Inflater::default());
    // What it keeps is the engine's.
    inflater.frame(Data::Text, &mut Vec::new(), MESSAGE_BYTES_MAX).expect("it is empty");
    for input in [
        half_frame(),
        [fragments(), half_frame()].concat(),
        [text, client_frame(0, &[b'x'; 26]), half_frame()].concat(),
        pinged,
        // A whole message, then a longer one: the buffer of the first is used again.
        [client_frame(0x82, &[b'x'; MESSAGE_BYTES_MAX / 2]), fragments(), half_frame()].concat(),
        // A compressed one that is collected, beside the buffer of the one before, and is whole in
        // the end: its bytes are one block that is not compressed.
        [client_frame(0x82, &[b'x'; MESSAGE_BYTES_MAX]), stored()].concat(),
    ] {
        let mut control = uncounted(|| Vec::with_capacity(1000));
        let before = heap::restart_peak();
        let mut websocket = Box::new(WebSocket::new(MESSAGE_BYTES_MAX, true));
        // Byte by byte, as the slowest network could bring it.
        for byte in &input {
            let mut rest = std::slice::from_ref(byte);
            loop {
                match websocket.read(&mut rest, &mut control, &mut inflater) {
                    Received::Nothing => break,
                    Received::Failed(failure) => panic!("{failure:?}"),
                    _ => {}
                }
            }
        }
        most = most.max(heap::peak_bytes() - before);
        drop(websocket);
        assert_eq!(heap::live_bytes(), before);
        uncounted(|| drop(control));
    }
    assert!((ceiling * 9 / 10..=ceiling).contains(&most), "{most} of {ceiling}");
}

#[cfg(feature = "compression")]
#[test]
fn what_compresses_and_what_inflates_take_no_more_than_is_counted_for_them() {
    let (mut input, mut out) = (Vec::with_capacity(100 << 10), Vec::with_capacity(4 << 10));
    let before = heap::restart_peak();
    let mut compressor = Compressor::default();
    assert_eq!(heap::live_bytes(), before, "nothing before the first use");
    for length in [0, 1 << 10, 100 << 10] {
        input.resize(length, b'x');
        assert!(compressor.raw(&input, &mut out) && compressor.gzip(&input, &mut out));
    }
    drop(compressor);
    let most = heap::peak_bytes() - before;
    let ceiling = Compressor::MEMORY_CEILING as i64;
    assert!((ceiling * 9 / 10..=ceiling).contains(&most), "{most} of {ceiling}");

    let mut message = Vec::with_capacity(64);
    let before = heap::restart_peak();
    let mut inflater = Inflater::default();
    message.extend_from_slice(b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    inflater.frame(Data::Text, &mut message, MESSAGE_BYTES_MAX).expect("it says Hello");
    let most = heap::peak_bytes() - before;
    let ceiling = Inflater::memory_ceiling(MESSAGE_BYTES_MAX) as i64;
    assert!((ceiling * 9 / 10..=ceiling).contains(&most), "{most} of {ceiling}");
}

/// What the longest messages of each shape leave as the terms of a class, and take while they are
/// read.
#[test]
fn what_a_message_can_ask_for_takes_no_more_than_is_counted_for_it() {
    let (mut kept_most, mut taken_most) = (0, 0);
    for path in ["cpu", "cpu.user", "disks.#", "disks.#.await_ms", "networks.#.up"] {
        let text = uncounted(|| {
            let mut text = r#"{"type":"subscribe","topics":["#.to_owned();
            for number in 0.. {
                let path = path.replace('#', &format!("{number:x}"));
                if text.len() + path.len() + 5 > MESSAGE_BYTES_MAX {
                    break;
                }
                text.push_str(&format!("{path:?},"));
            }
            text.truncate(text.len() - 1);
            text + "]}"
        });
        assert!(text.len() > MESSAGE_BYTES_MAX - 40 && text.len() <= MESSAGE_BYTES_MAX);
        let before = heap::restart_peak();
        let (_, request) = protocol::parse(&text, 1000);
        let (kept, taken) = (heap::live_bytes() - before, heap::peak_bytes() - before);
        let Ok(Wish::Subscribe(_)) = request else { panic!("{request:?}") };
        (kept_most, taken_most) = (kept_most.max(kept), taken_most.max(taken));
        drop(request);
        uncounted(|| drop(text));
    }
    let counted = Terms::bytes_max(MESSAGE_BYTES_MAX) as i64;
    assert!((counted / 2..=counted).contains(&kept_most), "{kept_most} of {counted}");
    // The other half is for what is made of it.
    let counted = 32 * MESSAGE_BYTES_MAX as i64 / 2;
    assert!((counted / 3..=counted).contains(&taken_most), "{taken_most} of {counted}");
}

/// As many processes as are taken in, of which another hundred ranks by each order, with texts as
/// long as they are kept. Most are links to one, for a directory of each would take too long.
#[cfg(target_os = "linux")]
fn crowded_host(root: &std::path::Path) {
    let proc = root.join("proc");
    let kinds = ["idle", "cpu", "memory", "io"];
    for kind in kinds {
        std::fs::create_dir_all(root.join(kind)).expect("there is room");
        std::fs::write(root.join(kind).join("cmdline"), [b'x'; 500]).expect("there is room");
    }
    std::fs::create_dir_all(&proc).expect("there is room");
    for pid in 1..=PROCESSES_MAX {
        let kind = kinds.get(1 + (pid - 1) / ROWS_MAX).unwrap_or(&kinds[0]);
        symlink(root.join(kind), proc.join(pid.to_string())).expect("there is room");
    }
    std::fs::create_dir_all(root.join("etc")).expect("there is room");
    let uid = rustix::process::getuid().as_raw();
    let line = |uid: u32| format!("{}:x:{uid}:0\n", "u".repeat(40));
    let users: String = std::iter::once(uid).chain(100_000..108_000).map(line).collect();
    std::fs::write(root.join("etc/passwd"), users).expect("there is room");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_table_of_a_crowded_host_stays_below_its_ceiling_and_comes_near_it() {
    let root = std::env::temp_dir().join(format!("vitald-crowded-{}", std::process::id()));
    crowded_host(&root);
    let mut wanted = Wanted::default();
    for order in ORDERS {
        wanted.add(Question { order, limit: ROWS_MAX, with_commands: true });
    }
    let before = heap::restart_peak();
    let mut processes = Processes::at(&root);
    let mut ceiling = 0;
    for second in 1..=4_u64 {
        uncounted(|| {
            for (kind, ticks, pages, bytes) in [
                ("idle", 0, 1, 0),
                ("cpu", second, 1, 0),
                ("memory", 0, 2, 0),
                ("io", 0, 1, second),
            ] {
                let name = "n".repeat(63);
                let stat = format!(
                    "1 ({name}) S 1 1 1 0 -1 0 1 0 0 0 {ticks} 0 0 0 20 0 3 0 5 99 {pages} 1844"
                );
                let io = format!("read_bytes: {bytes}\nwrite_bytes: 1\n");
                std::fs::write(root.join(kind).join("stat"), stat).expect("there is room");
                std::fs::write(root.join(kind).join("io"), io).expect("there is room");
            }
        });
        let now = Duration::from_secs(second);
        processes.begin(now, 1000 * second, wanted);
        while processes.step(now, 16) == Progress::Pending {}
        ceiling = processes.memory_ceiling() as i64;
    }
    let peak = heap::peak_bytes() - before;
    let table = processes.table().expect("there have been four scans");
    assert_eq!((table.total, table.rows().len()), (PROCESSES_MAX, ORDERS.len() * ROWS_MAX));
    assert_eq!(table.ranked(Order::Io).next().expect("it has rows").command.len(), 256);
    assert!(peak <= ceiling, "{peak} {ceiling}");
    assert!(peak > ceiling / 2, "the ceiling is {ceiling}, the peak {peak}");
    drop(processes);
    assert_eq!(heap::live_bytes(), before);
    std::fs::remove_dir_all(&root).expect("it is there");
}

/// A host with so many figures.
struct Figures(usize);

impl Source for Figures {
    fn read(&mut self, _: Duration, _: &mut Snapshot) {}

    fn expose(&mut self, _: Duration, _: u64, out: &mut Exposition<'_>) {
        let family = out.family("node_cpu_seconds_total", "Seconds.", MetricKind::Counter);
        for core in 0..self.0 {
            let labels = [("cpu", &*core.to_string()), ("mode", "idle")];
            out.sample(family, &labels, core as f64 / 7.0);
        }
    }
}

/// Peers that read nothing of the longest answers to a Prometheus server, a new one each second: no
/// more of them live than the limits say, and with those that are made they take no more memory
/// than is counted for them. Who comes in the same second shares; who is too late is told so, and
/// gets one when the first has been given up.
#[test]
fn long_answers_are_shared_and_no_more_than_are_counted() {
    const ASK: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let limits = Limits::default();
    let hour = Duration::from_secs(3600);
    let metrics = MetricsService::with_source(Box::new(Figures(14_900)), Facts::default(), hour);
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    // Of what is made and of what waits a part is counted for short answers already.
    let none = Limits { long_bytes_max: 0, long_frames_max: 0, ..limits.clone() };
    let counted = (limits.memory_ceiling() - none.memory_ceiling())
        + (app.memory_ceiling(&limits) - app.memory_ceiling(&none));
    let wire = Wire::new();
    let net = Quiet { wire: wire.clone(), found: Vec::new(), events_max: limits.slots() };
    let mut engine = Engine::with_parts(limits.clone(), net, wire.clock(), app).expect("it starts");
    let mut ask = |capacity| {
        let client = uncounted(|| wire.connect(capacity));
        uncounted(|| wire.send(client, ASK));
        while engine.turn(Some(Duration::ZERO)).expect("the wire does not fail").worked {}
        client
    };
    let before = heap::restart_peak();
    let mut lengths = Vec::new();
    for _ in 0..limits.long_frames_max {
        // Ten who come together.
        (0..10).for_each(|_| {
            ask(400);
        });
        lengths.push(heap::live_bytes() - before);
        wire.clock().advance(Duration::from_secs(1));
    }
    let late = ask(400);
    let text = uncounted(|| wire.text(late));
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: 1\r\n"), "{text}");
    let peak = heap::peak_bytes() - before;
    uncounted(|| println!("counted {counted}, peak {peak}, live {lengths:?}"));
    assert!(peak <= counted as i64, "the peak is {peak} of {counted} bytes");
    assert!(peak > counted as i64 * 2 / 3, "{peak} of {counted} bytes: it is a fantasy");
    wire.clock().advance(limits.stall_timeout);
    ask(400);
    let client = ask(2 << 20);
    let text = uncounted(|| wire.text(client));
    assert!(text.starts_with("HTTP/1.1 200 ") && text.len() > 900 << 10, "{} bytes", text.len());
}
