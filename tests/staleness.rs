//! What waits for a slow reader waits in its outbox, where the newest state replaces the one
//! before, and not in the kernel, where it only grows old.
//!
//! Over a real TCP connection, on a clock that the test moves: the reader takes nothing while ticks
//! pass, then everything, with the engine on the same thread. What its own kernel holds for it is
//! its own affair, and is told apart by asking for it.

#![cfg(target_os = "linux")]

#[path = "support/frames.rs"]
mod frames;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use frames::UPGRADE;
use socket2::{Domain, Socket, Type};
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::connection::frame::Kind;
use vitald::engine::connection::head::Request;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use vitald::engine::net::{ListenAddress, MioNet};
use vitald::engine::tasks::{Owner, Run};

/// How long anything may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// From one tick to the next: all ticks together are less than a slow reader's deadlines.
const INTERVAL: Duration = Duration::from_millis(8);

/// Ticks of which the reader is spared the state: it is behind by as many at least.
const TICKS: u64 = 300;

/// A payload of a sample's usual size, and the frame that it makes.
const PAYLOAD_BYTES: usize = 1500;
const FRAME_BYTES: usize = PAYLOAD_BYTES + 4;

/// Publishes its number at each tick.
#[derive(Default)]
struct Ticker {
    viewers: Vec<Handle>,
    tick: u64,
}

impl Handler for Ticker {
    fn start(&mut self, context: &mut Context<'_>) {
        let first = context.now() + INTERVAL;
        context.spawn_every("tick", Owner::Handler, first, INTERVAL).expect("there is room");
    }

    fn request(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) -> Answer {
        Answer::Upgrade { protocol: None }
    }

    fn open(&mut self, _: &mut Context<'_>, handle: Handle, _: &Request<'_>) {
        self.viewers.push(handle);
    }

    fn message(&mut self, _: &mut Context<'_>, _: Handle, _: Message<'_>) {}

    fn task(&mut self, context: &mut Context<'_>, _: Run) {
        self.tick += 1;
        let text = format!("{:0PAYLOAD_BYTES$}", self.tick);
        let frame = context.encode(Kind::Text, |bytes| bytes.extend(text.bytes()));
        let frame = frame.expect("it is short, and few are held");
        for viewer in &self.viewers {
            context.publish(*viewer, 0, frame.clone());
        }
    }
}

/// An engine with one viewer.
struct Rig {
    engine: Engine<Ticker, MioNet, Manual>,
    clock: Manual,
    viewer: TcpStream,
}

impl Rig {
    /// Connects what `prepare` has made of a socket.
    fn new(prepare: impl FnOnce(&Socket)) -> Rig {
        let mut net = MioNet::new().expect("the system has a poll");
        let any_port = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let bound = net.listen(&any_port).expect("loopback has a free port");
        let ListenAddress::Tcp(address) = bound else { panic!("a TCP address was asked for") };
        let clock = Manual::new();
        let engine = Engine::with_parts(Limits::default(), net, clock.clone(), Ticker::default());
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are descriptors");
        prepare(&socket);
        socket.connect(&address.into()).expect("it accepts");
        socket.set_nonblocking(true).expect("a socket can be non-blocking");
        let engine = engine.expect("the limits make sense");
        let mut rig = Rig { engine, clock, viewer: socket.into() };
        rig.viewer.write_all(UPGRADE).expect("there is room for a head");
        rig.turn_until("the handshake is done", |rig| !rig.engine.handler().viewers.is_empty());
        rig
    }

    /// Turns until there is nothing to do at this instant.
    fn settle(&mut self) {
        while self.engine.turn(Some(Duration::ZERO)).expect("the poll works").worked {}
    }

    fn turn_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Rig) -> bool) {
        let patience = Instant::now() + PATIENCE;
        loop {
            self.settle();
            if is_so(self) {
                return;
            }
            let held = self.kernel_holds();
            assert!(Instant::now() < patience, "never: {what}; the kernel holds {held} bytes");
        }
    }

    fn tick(&mut self) {
        self.clock.advance(INTERVAL);
        self.settle();
    }

    /// Bytes that have arrived at the viewer and wait to be read.
    fn arrived(&self) -> usize {
        rustix::io::ioctl_fionread(&self.viewer).expect("a socket has a queue") as usize
    }

    /// Bytes that the kernel has taken from the engine and not brought to the viewer.
    fn kernel_holds(&self) -> usize {
        self.engine.stats().bytes_written as usize - self.arrived()
    }

    /// Takes everything that comes up to the newest frame; gives the number in each and where it
    /// ends in the stream.
    fn read_all(&mut self) -> Vec<(u64, usize)> {
        let newest = self.engine.handler().tick;
        let mut bytes = Vec::new();
        let mut frames = Vec::new();
        self.turn_until("the newest frame arrives", |rig| {
            let mut piece = [0; 4096];
            match rig.viewer.read(&mut piece) {
                Ok(0) => panic!("the server has ended the connection"),
                Ok(length) => bytes.extend_from_slice(&piece[..length]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            frames = parse(&bytes);
            frames.last().is_some_and(|(number, _)| *number == newest)
        });
        frames
    }
}

/// The frames that are whole, behind the head of the answer.
fn parse(bytes: &[u8]) -> Vec<(u64, usize)> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(start) = head.map(|end| end + 4) else { return Vec::new() };
    let frames = bytes[start..].chunks_exact(FRAME_BYTES).enumerate();
    frames
        .map(|(index, frame)| {
            let text = std::str::from_utf8(&frame[4..]).expect("frames come whole");
            let number = text.parse().expect("a payload is a number");
            (number, start + (index + 1) * FRAME_BYTES)
        })
        .collect()
}

/// Lets ticks pass that nobody reads, and looks at what was kept.
fn assert_that_nothing_grows_old(mut rig: Rig) {
    while rig.engine.stats().frames_conflated < TICKS {
        rig.tick();
    }
    // What is on its way between the two queues arrives meanwhile.
    rig.turn_until("the kernel holds at most one frame", |rig| rig.kernel_holds() <= FRAME_BYTES);
    let arrived = rig.arrived();
    let newest = rig.engine.handler().tick;

    let frames = rig.read_all();
    assert!(frames.is_sorted_by(|one, next| one.0 < next.0), "{frames:?}");
    let old: Vec<_> =
        frames.iter().filter(|(number, end)| *end > arrived && *number < newest).collect();
    // The one that the kernel holds, and one that it had begun to take when it was full.
    assert!(old.len() <= 2, "{} frames came late, before the newest: {old:?}", old.len());
}

#[test]
fn a_reader_that_has_taken_nothing_gets_the_newest_behind_what_had_arrived() {
    assert_that_nothing_grows_old(Rig::new(|_| {}));
}

#[test]
fn so_does_one_with_the_smallest_window() {
    assert_that_nothing_grows_old(Rig::new(|socket| {
        socket.set_tcp_mss(88).expect("a segment's size can be set");
        socket.set_recv_buffer_size(1).expect("a buffer's size can be set");
    }));
}
