//! An in-memory network with edge-triggered readiness and a clock that moves only while the engine
//! waits: hours pass in milliseconds, and a readiness that is lost shows as a wait that never ends.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use vitald::engine::clock::{Clock, Manual};
use vitald::engine::handle::Slot;
use vitald::engine::handler::Handler;
use vitald::engine::limits::Limits;
use vitald::engine::net::{Event, Net, Peer, Stream};
use vitald::engine::{Engine, Turn};

#[derive(Default)]
struct Pipe {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// Bytes that `to_client` holds before a write would block.
    capacity: usize,
    slot: Option<Slot>,
    client_ended: bool,
    server_ended: bool,
    closed: bool,
    /// What reading and writing give from now on.
    failure: Option<io::ErrorKind>,
}

#[derive(Default)]
struct State {
    pipes: Vec<Pipe>,
    waiting: VecDeque<(usize, Peer)>,
    events: Vec<Event>,
    is_listening: bool,
}

/// The network; clones share it, so a test keeps one and the engine has one.
#[derive(Clone)]
pub struct Wire {
    state: Rc<RefCell<State>>,
    clock: Manual,
}

/// One end of a connection, the server's.
pub struct WireStream {
    state: Rc<RefCell<State>>,
    index: usize,
}

impl Wire {
    /// A wire that nobody is connected to.
    pub fn new() -> Wire {
        let state = State { is_listening: true, ..State::default() };
        Wire { state: Rc::new(RefCell::new(state)), clock: Manual::new() }
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
        let mut state = self.state.borrow_mut();
        state.pipes.push(Pipe { capacity, ..Pipe::default() });
        let index = state.pipes.len() - 1;
        state.waiting.push_back((index, peer));
        state.events.push(Event::Accept);
        index
    }

    /// Sends from the client.
    pub fn send(&self, client: usize, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        state.pipes[client].to_server.extend(bytes);
        state.edge(client, true, false);
    }

    /// The client says that it will send no more.
    pub fn end(&self, client: usize) {
        let mut state = self.state.borrow_mut();
        state.pipes[client].client_ended = true;
        state.edge(client, true, false);
    }

    /// The connection breaks: the server's next attempts to read and to write give `kind`.
    pub fn fail(&self, client: usize, kind: io::ErrorKind) {
        let mut state = self.state.borrow_mut();
        state.pipes[client].failure = Some(kind);
        state.edge(client, true, true);
    }

    /// Takes up to `length` bytes at the client.
    pub fn take(&self, client: usize, length: usize) -> Vec<u8> {
        let mut state = self.state.borrow_mut();
        let pipe = &mut state.pipes[client];
        let was_full = pipe.to_client.len() >= pipe.capacity;
        let length = length.min(pipe.to_client.len());
        let taken = pipe.to_client.drain(..length).collect();
        if was_full && length > 0 {
            state.edge(client, false, true);
        }
        taken
    }

    /// Takes everything at the client, as text.
    pub fn text(&self, client: usize) -> String {
        String::from_utf8_lossy(&self.take(client, usize::MAX)).into_owned()
    }

    /// Whether the server has said that it will send no more, or has closed.
    pub fn has_ended(&self, client: usize) -> bool {
        let pipe = &self.state.borrow().pipes[client];
        pipe.server_ended || pipe.closed
    }

    /// Whether the server has closed.
    pub fn is_closed(&self, client: usize) -> bool {
        self.state.borrow().pipes[client].closed
    }

    /// Whether the listener is still there.
    pub fn is_listening(&self) -> bool {
        self.state.borrow().is_listening
    }
}

impl Pipe {
    fn check(&self) -> io::Result<()> {
        self.failure.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl State {
    fn edge(&mut self, index: usize, readable: bool, writable: bool) {
        if let (Some(slot), false) = (self.pipes[index].slot, self.pipes[index].closed) {
            self.events.push(Event::Connection { slot, readable, writable });
        }
    }
}

impl Net for Wire {
    type Stream = WireStream;

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        if state.events.is_empty() {
            let timeout = timeout.expect("an engine with nothing to wait for would sleep for ever");
            self.clock.advance(timeout);
        }
        events.append(&mut state.events);
        Ok(())
    }

    fn accept(&mut self) -> io::Result<(WireStream, Peer)> {
        let waiting = self.state.borrow_mut().waiting.pop_front();
        let (index, peer) = waiting.ok_or(io::ErrorKind::WouldBlock)?;
        Ok((WireStream { state: Rc::clone(&self.state), index }, peer))
    }

    fn open(&mut self, stream: &mut WireStream, slot: Slot) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.pipes[stream.index].slot = Some(slot);
        let pipe = &state.pipes[stream.index];
        let readable = !pipe.to_server.is_empty() || pipe.client_ended;
        state.edge(stream.index, readable, true);
        Ok(())
    }

    fn close(&mut self, stream: WireStream) {
        let mut state = self.state.borrow_mut();
        let slot = state.pipes[stream.index].slot;
        state.pipes[stream.index].closed = true;
        // As in a kernel: a descriptor that is closed gives no further events.
        state.events.retain(
            |event| !matches!(event, Event::Connection { slot: of, .. } if Some(*of) == slot),
        );
    }

    fn stop_listening(&mut self) {
        self.state.borrow_mut().is_listening = false;
    }
}

impl Stream for WireStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let pipe = &mut state.pipes[self.index];
        pipe.check()?;
        let length = buffer.len().min(pipe.to_server.len());
        for (place, byte) in buffer.iter_mut().zip(pipe.to_server.drain(..length)) {
            *place = byte;
        }
        if length == 0 && !pipe.client_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(length)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let pipe = &mut state.pipes[self.index];
        assert!(!pipe.server_ended && !pipe.closed, "a byte after the end");
        pipe.check()?;
        let room = pipe.capacity.saturating_sub(pipe.to_client.len());
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let length = bytes.len().min(room);
        pipe.to_client.extend(&bytes[..length]);
        Ok(length)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.state.borrow_mut().pipes[self.index].server_ended = true;
        Ok(())
    }
}

/// Turns until there is nothing to do at this instant. Panics if that is never so.
pub fn settle<H: Handler>(engine: &mut Engine<H, Wire, Manual>) -> Turn {
    for _ in 0..10_000 {
        let turn = engine.turn(Some(Duration::ZERO)).expect("the wire does not fail");
        if !turn.worked || turn.finished {
            return turn;
        }
    }
    panic!("the engine works on and on, and nothing comes of it");
}

/// Turns until the clock shows `until_ms`, or a drain is complete.
pub fn run_until<H: Handler>(engine: &mut Engine<H, Wire, Manual>, wire: &Wire, until_ms: u64) {
    settle(engine);
    while wire.now_ms() < until_ms {
        let rest = Duration::from_millis(until_ms - wire.now_ms());
        if engine.turn(Some(rest)).expect("the wire does not fail").finished {
            break;
        }
    }
    settle(engine);
}
