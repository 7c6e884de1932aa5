//! A network without faults and a clock that moves only while the engine waits: the simulated one
//! of the engine, with what tests ask of it in few words. Hours pass in milliseconds, and a
//! readiness that is lost shows as a wait that never ends.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io;
use std::time::Duration;

use vitald::engine::clock::{Clock, Manual};
use vitald::engine::handle::Slot;
use vitald::engine::handler::Handler;
use vitald::engine::limits::Limits;
use vitald::engine::net::sim::{Faults, SimNet, SimStream};
use vitald::engine::net::{Event, Net, Peer};
use vitald::engine::random::Random;
use vitald::engine::{Engine, Turn};

/// One end of a connection, the server's.
pub type WireStream = SimStream;

/// The network; clones share it, so a test keeps one and the engine has one.
#[derive(Clone)]
pub struct Wire {
    net: SimNet,
    clock: Manual,
}

impl Wire {
    /// A wire that nobody is connected to.
    pub fn new() -> Wire {
        let clock = Manual::new();
        Wire { net: SimNet::new(clock.clone(), Faults::default(), Random::new(0)), clock }
    }

    /// The clock that moves as the wire waits.
    pub fn clock(&self) -> Manual {
        self.clock.clone()
    }

    /// An engine with `handler` on a new wire.
    pub fn engine<H: Handler>(limits: Limits, handler: H) -> (Engine<H, Wire, Manual>, Wire) {
        let wire = Wire::new();
        let engine = Engine::with_parts(limits, wire.clone(), wire.clock.clone(), handler);
        (engine.expect("the limits make sense"), wire)
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.clock.now().since_origin().as_millis() as u64
    }

    /// Connects a client whose receive buffer holds `capacity` bytes.
    pub fn connect(&self, capacity: usize) -> usize {
        self.connect_from("127.0.0.1:1", capacity)
    }

    /// Connects a client from an address.
    pub fn connect_from(&self, address: &str, capacity: usize) -> usize {
        let peer = Peer::tcp(address.parse().expect("an address"));
        self.net.connect(peer, capacity).expect("it listens")
    }

    /// Connects a client by a Unix socket.
    pub fn connect_unix(&self, capacity: usize) -> usize {
        self.net.connect(Peer::Unix, capacity).expect("it listens")
    }

    /// Sends from the client.
    pub fn send(&self, client: usize, bytes: &[u8]) {
        let sent = self.net.send(client, bytes);
        assert!(sent == bytes.len(), "there was room for {sent} of {} bytes", bytes.len());
    }

    /// The client says that it will send no more.
    pub fn end(&self, client: usize) {
        self.net.end(client);
    }

    /// The connection breaks: the server's next attempts to read and to write give `kind`.
    pub fn fail(&self, client: usize, kind: io::ErrorKind) {
        self.net.fail(client, kind);
    }

    /// Takes up to `length` bytes at the client.
    pub fn take(&self, client: usize, length: usize) -> Vec<u8> {
        self.net.take(client, length)
    }

    /// Takes everything at the client, as text.
    pub fn text(&self, client: usize) -> String {
        String::from_utf8_lossy(&self.take(client, usize::MAX)).into_owned()
    }

    /// Whether the server has said that it will send no more, or has closed.
    pub fn has_ended(&self, client: usize) -> bool {
        self.net.has_server_ended(client)
    }

    /// Whether the server has closed.
    pub fn is_closed(&self, client: usize) -> bool {
        self.net.is_closed(client)
    }

    /// Whether the listener is still there.
    pub fn is_listening(&self) -> bool {
        self.net.is_listening()
    }
}

impl Net for Wire {
    type Stream = WireStream;

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        self.net.poll(events, timeout)
    }

    fn accept(&mut self) -> io::Result<(WireStream, Peer)> {
        self.net.accept()
    }

    fn open(&mut self, stream: &mut WireStream, slot: Slot) -> io::Result<()> {
        self.net.open(stream, slot)
    }

    fn close(&mut self, stream: WireStream) {
        self.net.close(stream);
    }

    fn stop_listening(&mut self) {
        self.net.stop_listening();
    }
}

/// Turns until there is nothing to do at this instant. Panics if that is never so.
pub fn settle<H: Handler, C: Clock>(engine: &mut Engine<H, Wire, C>) -> Turn {
    for _ in 0..10_000 {
        let turn = engine.turn(Some(Duration::ZERO)).expect("the wire does not fail");
        if !turn.worked || turn.finished {
            return turn;
        }
    }
    panic!("the engine works on and on, and nothing comes of it");
}

/// Turns until the clock shows `until_ms`, or a drain is complete.
pub fn run_until<H: Handler, C: Clock>(
    engine: &mut Engine<H, Wire, C>,
    wire: &Wire,
    until_ms: u64,
) {
    settle(engine);
    while wire.now_ms() < until_ms {
        let rest = Duration::from_millis(until_ms - wire.now_ms());
        if engine.turn(Some(rest)).expect("the wire does not fail").finished {
            break;
        }
    }
    settle(engine);
}
