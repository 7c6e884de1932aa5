//! What the engine needs of a network.
//!
//! [`Net`] is the only owner of listeners and of registrations for readiness; [`Stream`] is one
//! connection's bytes. Readiness is edge-triggered: an event says that something may have changed,
//! and no further event comes until an attempt has met `WouldBlock`. Events may be spurious.
//! `mio` is the production network; a test may bring its own. Nothing here decides anything.

mod file_listener;
mod mio;
pub mod sim;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use self::file_listener::FileRights;
pub use self::mio::{ListenAddress, MioNet, MioStream};
#[cfg(feature = "tls")]
pub use self::tls::Identity;
use super::handle::Slot;

/// Events taken from the kernel at a time. Half costs a system call more for each further batch
/// under load, double is memory that idle hosts never use.
pub const EVENTS_PER_POLL: usize = 256;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP address; a v4 address mapped into v6 is given as v4.
    Tcp(SocketAddr),
    /// A Unix socket's client.
    Unix,
}

impl Peer {
    /// A TCP peer, normalised.
    pub fn tcp(address: SocketAddr) -> Peer {
        Peer::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// The IP address, where there is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(formatter),
            Peer::Unix => formatter.write_str("unix"),
        }
    }
}

/// What may have become possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A listener may have a connection to accept.
    Accept,
    /// A connection may be readable or writable.
    Connection {
        /// Which one.
        slot: Slot,
        /// Reading may give bytes, the end or an error.
        readable: bool,
        /// Writing may take bytes or give an error.
        writable: bool,
    },
    /// Somebody outside the loop wants its attention.
    Wake,
}

/// One connection's bytes. Never blocks: `WouldBlock` says "not now".
pub trait Stream {
    /// Reads into `buffer`; `Ok(0)` is the peer's end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes from `slices`, in order, as much as there is room for.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Goes on with what the stream itself has to send, such as a handshake's answer, as far as
    /// there is room: for a connection that can be written to and has nothing to write.
    ///
    /// # Errors
    /// Those that a write has, but for `WouldBlock`.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Tells the peer that nothing more will come.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// The error that has ended the connection, if one has, without a byte being moved: for a
    /// connection that is neither read nor written now. One that is told may be told no more.
    fn take_error(&mut self) -> Option<io::Error>;
}

/// A network that an engine can run on.
pub trait Net {
    /// A connection of this network.
    type Stream: Stream;

    /// Waits for events until `timeout` (for ever without one) and puts them into `events`, which
    /// is empty and has room for one of each connection: all that is ready is given, because the
    /// engine judges by it who has been silent for too long. So an interruption by a signal, which
    /// is no error, only ends the wait.
    ///
    /// # Errors
    /// When waiting itself has failed: the engine cannot go on.
    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()>;

    /// Takes a waiting connection; `WouldBlock` when no listener has one.
    ///
    /// # Errors
    /// Those of accept(2); the next call may succeed.
    fn accept(&mut self) -> io::Result<(Self::Stream, Peer)>;

    /// Registers `stream` for readiness in both directions, once and for all, under `slot`.
    ///
    /// # Errors
    /// When the system cannot register it; `stream` is then as before.
    fn open(&mut self, stream: &mut Self::Stream, slot: Slot) -> io::Result<()>;

    /// Ends the registration and the connection.
    fn close(&mut self, stream: Self::Stream);

    /// Bytes of memory that a stream takes at most beside its place.
    fn stream_memory_ceiling(&self) -> usize {
        0
    }

    /// Closes the listeners, so that a successor can bind their addresses.
    fn stop_listening(&mut self);
}
