//! A network in memory for simulations: seeded, edge-triggered to the letter, and as unkind as it
//! is told to be.
//!
//! [`SimNet`] is the engine's network and, as a clone of it, the world's end of every connection.
//! A readiness is told once for each transition: after an attempt has met `WouldBlock`, and not
//! again before the next one does; so an engine that loses one waits for ever, and a check of
//! liveness sees it. Waiting moves the clock: hours pass in milliseconds. What [`Faults`] allows is
//! drawn from the seed; the same seed and the same calls give the same events, byte for byte, and
//! [`SimNet::fingerprint`] says so. It asserts what a server owes any network: nothing is written
//! after the end, nothing is used after it is closed.

mod pipe;
mod server;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use self::pipe::Pipe;
use super::{Event, Peer};
use crate::engine::clock::{Clock, Manual, Tick};
use crate::engine::random::Random;

/// A client's connection, for as long as the network lives.
pub type ClientId = usize;

/// Bytes that the way to the server holds: a client that sends more must wait until it reads.
const TO_SERVER_BYTES_MAX: usize = 128 * 1024;

/// What the network may do to a server; numbers are so many times in a thousand. The default is
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A read gives fewer bytes than there are.
    pub short_read: u32,
    /// A write takes fewer bytes than there is room for.
    pub short_write: u32,
    /// A read, a write, an accept or a poll is interrupted by a signal.
    pub interrupted: u32,
    /// A poll tells of a readiness that is none.
    pub spurious_event: u32,
    /// The events of a poll come in any order; else in the order in which they came about.
    pub is_shuffled: bool,
    /// An event is told twice.
    pub duplicate_event: u32,
    /// An event comes late, by up to `delay_max`.
    pub delayed_event: u32,
    /// The most that an event or a window is late.
    pub delay_max: Duration,
    /// A peer's window is shut for up to `delay_max`.
    pub zero_window: u32,
    /// A read or a write finds that the peer has reset the connection.
    pub reset: u32,
    /// An accept fails: no descriptors, no memory, or the peer is gone again.
    pub accept_error: u32,
    /// A connection cannot be registered.
    pub open_error: u32,
    /// An event is never told. No network may do this: it is here so that a simulation can prove
    /// that it would notice.
    pub lost_event: u32,
}

#[derive(Debug)]
struct State {
    clock: Manual,
    faults: Faults,
    random: Random,
    pipes: Vec<Pipe>,
    /// Connected and not yet accepted.
    backlog: VecDeque<ClientId>,
    events: Vec<(Tick, Event)>,
    /// Whose windows are shut for a time.
    shut: Vec<ClientId>,
    /// The listener has met `WouldBlock`: the next connection is told.
    is_accept_armed: bool,
    is_listening: bool,
    /// Hash of all that has happened (FNV-1a).
    fingerprint: u64,
}

/// The network; clones share it.
#[derive(Clone, Debug)]
pub struct SimNet {
    state: Rc<RefCell<State>>,
}

/// The server's end of a connection.
#[derive(Debug)]
pub struct SimStream {
    state: Rc<RefCell<State>>,
    client: ClientId,
}

/// The world's side.
impl SimNet {
    /// A network without connections. `clock` is the engine's; it moves while the engine waits.
    pub fn new(clock: Manual, faults: Faults, random: Random) -> SimNet {
        let state = State {
            clock,
            faults,
            random,
            pipes: Vec::new(),
            backlog: VecDeque::new(),
            events: Vec::new(),
            shut: Vec::new(),
            is_accept_armed: true,
            is_listening: true,
            fingerprint: 0xcbf2_9ce4_8422_2325,
        };
        SimNet { state: Rc::new(RefCell::new(state)) }
    }

    /// Makes the network kind from here on, for the end of a run that must come to rest.
    pub fn be_kind(&self) {
        self.state.borrow_mut().faults = Faults::default();
    }

    /// Connects a client whose window takes `window_bytes`. `None` when nobody listens.
    pub fn connect(&self, peer: Peer, window_bytes: usize) -> Option<ClientId> {
        let mut state = self.state.borrow_mut();
        if !state.is_listening {
            return None;
        }
        let client = state.pipes.len();
        state.pipes.push(Pipe::new(peer, window_bytes));
        state.backlog.push_back(client);
        state.note_backlog();
        Some(client)
    }

    /// Sends from the client; gives how many bytes there was room for. Bytes that reach a server
    /// which has closed come back as a reset, and take with them what the client has not yet read.
    pub fn send(&self, client: ClientId, bytes: &[u8]) -> usize {
        let mut state = self.state.borrow_mut();
        let pipe = &mut state.pipes[client];
        if pipe.is_closed {
            pipe.reset_client();
            return bytes.len();
        }
        let length = bytes.len().min(TO_SERVER_BYTES_MAX - pipe.to_server.len());
        pipe.to_server.extend(&bytes[..length]);
        state.note(client);
        length
    }

    /// Takes up to `length` bytes at the client.
    pub fn take(&self, client: ClientId, length: usize) -> Vec<u8> {
        let mut state = self.state.borrow_mut();
        let pipe = &mut state.pipes[client];
        let taken = pipe.take(length);
        state.note(client);
        taken
    }

    /// The client will send no more, and goes on reading.
    pub fn end(&self, client: ClientId) {
        let mut state = self.state.borrow_mut();
        state.pipes[client].client_ended = true;
        state.note(client);
    }

    /// The client's process is gone: its end is told, and what is sent to it comes back as a reset.
    pub fn vanish(&self, client: ClientId) {
        let mut state = self.state.borrow_mut();
        let pipe = &mut state.pipes[client];
        pipe.client_ended = true;
        pipe.is_client_gone = true;
        // As in a kernel: closing with input unread is a reset.
        if !pipe.to_client.is_empty() {
            pipe.failure = Some(io::ErrorKind::ConnectionReset);
        }
        state.note(client);
    }

    /// The client resets the connection.
    pub fn reset(&self, client: ClientId) {
        self.fail(client, io::ErrorKind::ConnectionReset);
    }

    /// The connection breaks: the server's attempts to read and to write give `kind` from now on.
    pub fn fail(&self, client: ClientId, kind: io::ErrorKind) {
        let mut state = self.state.borrow_mut();
        let pipe = &mut state.pipes[client];
        pipe.failure = Some(kind);
        pipe.is_client_gone = true;
        state.note(client);
    }

    /// Whether the client has been told the end: the server will send no more, and everything that
    /// it sent has been taken.
    pub fn is_at_end(&self, client: ClientId) -> bool {
        let pipe = &self.state.borrow().pipes[client];
        pipe.has_server_ended() && pipe.to_client.is_empty()
    }

    /// How many connections the server had when it took this one in, this one among them: in all,
    /// and from the same address.
    pub fn crowd_at_accept(&self, client: ClientId) -> (usize, usize) {
        self.state.borrow().pipes[client].crowd_at_accept
    }

    /// Until when the client's window is, or was last, shut.
    pub fn shut_until(&self, client: ClientId) -> Option<Tick> {
        self.state.borrow().pipes[client].shut_until
    }

    /// When the server took the connection in.
    pub fn accepted(&self, client: ClientId) -> Option<Tick> {
        self.state.borrow().pipes[client].accepted
    }

    /// Whether there is something for the client to notice: bytes, the end, or a reset.
    pub fn has_news(&self, client: ClientId) -> bool {
        let pipe = &self.state.borrow().pipes[client];
        !pipe.to_client.is_empty() || pipe.has_server_ended() || pipe.is_client_reset
    }

    /// Whether the client has been reset.
    pub fn is_client_reset(&self, client: ClientId) -> bool {
        self.state.borrow().pipes[client].is_client_reset
    }

    /// Whether the connection has met a fault that no peer could see through: a reset that the
    /// network made up, or a failure to register it.
    pub fn is_spoilt(&self, client: ClientId) -> bool {
        self.state.borrow().pipes[client].is_spoilt
    }

    /// Whether the server has said that it will send no more, or has closed.
    pub fn has_server_ended(&self, client: ClientId) -> bool {
        self.state.borrow().pipes[client].has_server_ended()
    }

    /// Whether the server has closed its end.
    pub fn is_closed(&self, client: ClientId) -> bool {
        self.state.borrow().pipes[client].is_closed
    }

    /// Whether the server listens.
    pub fn is_listening(&self) -> bool {
        self.state.borrow().is_listening
    }

    /// A number that stands for all that has happened: the same for the same run.
    pub fn fingerprint(&self) -> u64 {
        self.state.borrow().fingerprint
    }
}

impl State {
    fn record(&mut self, what: u8, client: usize, amount: usize) {
        for word in [u64::from(what), client as u64, amount as u64] {
            self.fingerprint = (self.fingerprint ^ word).wrapping_mul(0x100_0000_01b3);
        }
    }

    /// Tells of a connection's readiness where an attempt has met `WouldBlock` before.
    fn note(&mut self, client: ClientId) {
        let now = self.clock.now();
        if let Some(event) = self.pipes[client].transition(now) {
            self.tell(event);
        }
    }

    fn note_backlog(&mut self) {
        if self.is_accept_armed && !self.backlog.is_empty() {
            self.is_accept_armed = false;
            self.tell(Event::Accept);
        }
    }

    fn tell(&mut self, event: Event) {
        let is_connection = matches!(event, Event::Connection { .. });
        if is_connection && self.random.happens(self.faults.lost_event) {
            return;
        }
        let mut due = self.clock.now();
        if self.random.happens(self.faults.delayed_event) {
            due = due + self.delay();
        }
        self.events.push((due, event));
        if self.random.happens(self.faults.duplicate_event) {
            self.events.push((due, event));
        }
    }

    fn delay(&mut self) -> Duration {
        let nanoseconds = self.faults.delay_max.as_nanos() as u64;
        Duration::from_nanos(self.random.between(0, nanoseconds))
    }

    /// Opens the windows that were shut until now.
    fn open_windows(&mut self) {
        let now = self.clock.now();
        let (due, still): (Vec<_>, Vec<_>) = mem::take(&mut self.shut)
            .into_iter()
            .partition(|&client| self.pipes[client].shut_until <= Some(now));
        self.shut = still;
        due.into_iter().for_each(|client| self.note(client));
    }

    /// The next instant at which something happens of itself.
    fn next_due(&self) -> Option<Tick> {
        let events = self.events.iter().map(|(due, _)| *due);
        let windows = self.shut.iter().filter_map(|&client| self.pipes[client].shut_until);
        events.chain(windows).min()
    }

    fn has_due(&self) -> bool {
        let now = self.clock.now();
        self.events.iter().any(|(due, _)| *due <= now)
    }

    /// Tells of readiness that is none, of connections drawn from those that are there.
    fn add_spurious(&mut self, events: &mut Vec<Event>) {
        if self.pipes.is_empty() || !self.random.happens(self.faults.spurious_event) {
            return;
        }
        let client = self.random.below(self.pipes.len());
        if let Some(slot) = self.pipes[client].living_slot() {
            events.push(Event::Connection { slot, readable: true, writable: true });
        }
        events.push(Event::Accept);
    }
}

#[cfg(test)]
mod tests;
