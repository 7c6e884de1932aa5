//! The real application on loopback sockets, on a thread of its own that shows after each turn what
//! it holds; and clients that choose where they come from and how they end.

#![allow(dead_code, reason = "each test file uses its own part")]

#[path = "frames.rs"]
mod frames;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

pub use frames::{UPGRADE, UPGRADE_WITHOUT_HISTORY};
use socket2::{Domain, Socket, Type};
use vitald::app::App;
use vitald::app::access::Access;
use vitald::engine::Engine;
use vitald::engine::clock::Monotonic;
use vitald::engine::ledger::{Ledger, RESOURCES, Resource};
use vitald::engine::limits::Limits;
use vitald::engine::net::{ListenAddress, MioNet};
use vitald::engine::stats::Stats;
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::source::Source;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// From one tick to the next.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// Client addresses, from 127.0.0.2 up. Each has 28,000 ports by default, and a port rests for a
/// minute after an ordinary end: 200 addresses have enough for five million ends a minute.
const ADDRESSES: u64 = 200;

/// A client's close frame with code 1000, masked with zeros.
pub const CLOSE: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// What a server held after a turn. Holds no heap itself, so that showing it changes nothing.
#[derive(Clone)]
pub struct Seen {
    pub address: SocketAddr,
    pub stats: Stats,
    pub ledger: Ledger,
    /// Live heap of the server's thread: bytes and blocks.
    pub heap: (i64, i64),
}

impl Seen {
    pub fn live(&self, resource: Resource) -> u64 {
        self.ledger.row(resource).live()
    }

    /// How many of each resource are out.
    pub fn rows(&self) -> [(Resource, u64); RESOURCES.len()] {
        RESOURCES.map(|resource| (resource, self.live(resource)))
    }
}

/// Where a server's thread shows what it holds and is told to stop.
#[derive(Default)]
pub struct Watch {
    seen: Mutex<Option<Seen>>,
    changed: Condvar,
    is_over: AtomicBool,
}

impl Watch {
    /// Waits until what the server holds is as `is_so` asks.
    pub fn wait(&self, what: &str, is_so: impl Fn(&Seen) -> bool) -> Seen {
        let patience = Instant::now() + PATIENCE;
        let mut seen = self.seen.lock().expect("nothing panics with the lock");
        loop {
            if let Some(seen) = seen.as_ref().filter(|seen| is_so(seen)) {
                return seen.clone();
            }
            let left = patience.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let rows = seen.as_ref().map(Seen::rows);
                drop(seen);
                panic!("the server never came to this: {what}; it holds {rows:?}");
            }
            let waited = self.changed.wait_timeout(seen, left);
            seen = waited.expect("nothing panics with the lock").0;
        }
    }

    fn show(&self, seen: Seen) {
        *self.seen.lock().expect("nothing panics with the lock") = Some(seen);
        self.changed.notify_all();
    }
}

/// Stops the server's thread when it goes, however the test ends.
pub struct Stop<'a>(pub &'a Watch);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// Runs the application on a free port of loopback until told to stop. Made here, on the thread
/// that runs it, so that all its memory is this thread's.
pub fn serve(
    watch: &Watch,
    limits: Limits,
    source: Box<dyn Source + Send>,
    heap: fn() -> (i64, i64),
) {
    let mut net = MioNet::new().expect("the system has a poll");
    let any_port = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    let bound = net.listen(&any_port).expect("loopback has a free port");
    let ListenAddress::Tcp(address) = bound else { panic!("a TCP address was asked for") };
    let metrics = MetricsService::with_source(source, Facts::default(), INTERVAL);
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    let mut engine =
        Engine::with_parts(limits, net, Monotonic::new(), app).expect("the limits make sense");
    while !watch.is_over.load(Ordering::Relaxed) {
        engine.turn(Some(INTERVAL)).expect("the poll works");
        let (stats, ledger) = (engine.stats().clone(), engine.ledger().clone());
        watch.show(Seen { address, stats, ledger, heap: heap() });
    }
}

/// Opens connections, each from the next address.
pub struct Clients<'a> {
    pub watch: &'a Watch,
    pub address: SocketAddr,
    /// Connections opened so far.
    pub opened: u64,
}

impl<'a> Clients<'a> {
    pub fn new(watch: &'a Watch) -> Clients<'a> {
        let address = watch.wait("it listens", |_| true).address;
        Clients { watch, address, opened: 0 }
    }

    /// A socket that is bound but not connected.
    pub fn socket(&mut self) -> Socket {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are descriptors");
        let source = [127, 0, 0, 2 + (self.opened % ADDRESSES) as u8];
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("the address has a free port");
        self.opened += 1;
        socket
    }

    /// One that has room for a hello and some samples, so that the server need not wait for it,
    /// however late it comes to read.
    pub fn connect(&mut self) -> TcpStream {
        let socket = self.socket();
        socket.set_recv_buffer_size(1 << 20).expect("the kernel rounds down");
        self.finish(socket)
    }

    /// Connects what [`Clients::socket`] has made.
    pub fn finish(&self, socket: Socket) -> TcpStream {
        socket.connect(&self.address.into()).expect("it accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        socket.into()
    }

    /// A WebSocket whose handshake has been sent and not yet answered.
    pub fn upgrade(&mut self, head: &[u8]) -> Reader {
        let mut stream = self.connect();
        stream.write_all(head).expect("it reads");
        Reader::new(stream)
    }

    /// Waits until every connection of these clients but `kept` has been released.
    pub fn wait_for_release(&self, kept: u64) -> Seen {
        self.watch.wait("every connection that has ended is released", |seen| {
            seen.stats.accepted == self.opened && seen.live(Resource::Slot) == kept
        })
    }
}

/// The client's end of a WebSocket, which looks at whole frames.
pub struct Reader {
    pub stream: TcpStream,
    /// Bytes from `start` to `end` have come and have not been taken.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// Bytes that a reader has room for: the longest frame, and then some.
const ROOM: usize = 256 << 10;

impl Reader {
    fn new(stream: TcpStream) -> Reader {
        Reader { stream, buffer: vec![0; ROOM], start: 0, end: 0 }
    }

    /// Takes the head of the answer, which must be 101.
    pub fn take_head(&mut self) {
        const END: &[u8] = b"\r\n\r\n";
        let end = loop {
            let found = self.held().windows(END.len()).position(|bytes| bytes == END);
            match found {
                Some(end) => break end,
                None => assert!(self.fill(), "the connection ended in the head"),
            }
        };
        assert!(self.held().starts_with(b"HTTP/1.1 101 "), "the handshake succeeds");
        self.start += end + END.len();
    }

    /// The next frame's opcode and payload.
    pub fn frame(&mut self) -> (u8, &[u8]) {
        self.need(2);
        let header = self.held();
        let (opcode, length) = (header[0] & 0x0f, header[1]);
        assert!(length < 128, "a server's frame is not masked");
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        self.need(2 + extended);
        let bytes = &self.held()[2..2 + extended];
        let number = bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        let length = if extended == 0 { usize::from(length) } else { number };
        self.need(2 + extended + length);
        let payload = self.start + 2 + extended;
        self.start = payload + length;
        (opcode, &self.buffer[payload..payload + length])
    }

    /// Takes what comes up to the server's close frame, and asserts that nothing follows it.
    pub fn take_close(&mut self) {
        while self.frame().0 != 8 {}
        assert!(self.held().is_empty(), "bytes came with the close frame, after it");
        assert!(!self.fill(), "bytes came after the close frame");
    }

    fn held(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn need(&mut self, length: usize) {
        while self.held().len() < length {
            assert!(self.fill(), "the connection ended inside a frame");
        }
    }

    /// Reads once; false at the end.
    fn fill(&mut self) -> bool {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        assert!(self.end < ROOM, "a frame is longer than any of vitald's");
        let read = loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.expect("the server goes on or ends in order"),
            }
        };
        self.end += read;
        read > 0
    }
}

/// A number from the environment, or `default`.
pub fn number_from(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
        Err(_) => default,
    }
}
