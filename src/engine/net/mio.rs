//! The production network: mio's poll over TCP and Unix sockets.
//!
//! Owns the poll, the listeners and every registration. On epoll mio is always edge-triggered, its
//! readiness may be spurious and its hints may be absent (documentation of `mio::Poll`), so a
//! stream is registered once for both directions and never again; the engine keeps the readiness.
//! A Unix listener's file is `file_listener`'s.

use std::fmt;
use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::io::ioctl_fionbio;
use rustix::net::sockopt::socket_type;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendFlags, SocketType, getsockname, send, sendmsg,
};

use super::file_listener::{FileListener, FileRights};
#[cfg(feature = "tls")]
use super::tls::{Identity, TlsStream};
use super::{EVENTS_PER_POLL, Event, Net, Peer, Stream};
use crate::engine::handle::Slot;

/// Unsent bytes at which the kernel takes no more of a TCP connection's (`TCP_NOTSENT_LOWAT`): it
/// takes a write once all before it is on its way to the peer. What waits longer waits in the
/// outbox, where the newest state replaces the one before. There is no half: 0 is the system's
/// default, megabytes. Double changes nothing below a frame's size: a reader at 1 KB/s is 2.8 s
/// behind, 5.5 s with 4 KiB, and with 16 KiB 14 s until it is dropped, for the kernel says that
/// there is room again at half of the mark, which such a reader reaches later than `stall_timeout`.
///
/// A Unix connection's kernel buffer stays as it is, 139 KB of samples: its one bound, `SO_SNDBUF`,
/// holds for what a quick reader has yet to read as well, and the page took 1.2 to 1.8 times as
/// long with 32 to 8 KiB.
#[cfg(any(target_os = "linux", target_os = "android"))]
const TCP_UNSENT_BYTES_MAX: u32 = 1;

/// How bytes are written to a TCP connection. Linux would append a write to unsent bytes, up to
/// 40 KB of them, without a look at [`TCP_UNSENT_BYTES_MAX`]; not to a write that ended a record.
/// The peer sees no difference. Other systems may refuse the flag on a stream.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) const TCP_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::EOR);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const TCP_FLAGS: SendFlags = SendFlags::NOSIGNAL;

/// Tokens from here up are listeners; below, connections, by slot.
const LISTENER_BASE: usize = usize::MAX / 2;

/// The token of the descriptor that wakes the loop.
const WAKE: Token = Token(usize::MAX - 1);

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A file.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(formatter),
            ListenAddress::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// The network that vitald runs on.
pub struct MioNet {
    poll: Poll,
    events: Events,
    listeners: Vec<Listener>,
    /// The one that was tried last.
    last_listener: usize,
    rights: FileRights,
    wake: Option<StdUnixStream>,
    #[cfg(feature = "tls")]
    identity: Option<Identity>,
}

struct Listener {
    socket: ListenerSocket,
    /// Set by an event, cleared by `WouldBlock`: the listener's edge.
    ready: bool,
}

enum ListenerSocket {
    Tcp(TcpListener),
    Unix(FileListener),
}

impl MioNet {
    /// A network that listens nowhere yet.
    ///
    /// # Errors
    /// When the system gives no poll descriptor.
    pub fn new() -> io::Result<MioNet> {
        Ok(MioNet {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_POLL),
            listeners: Vec::new(),
            last_listener: 0,
            rights: FileRights::default(),
            wake: None,
            #[cfg(feature = "tls")]
            identity: None,
        })
    }

    /// Has the files of Unix listeners that are added from now on have these rights.
    pub fn set_file_rights(&mut self, rights: FileRights) {
        self.rights = rights;
    }

    /// Listens on `address`; gives it as it was bound.
    ///
    /// # Errors
    /// When it cannot be bound: in use, not this host's, not permitted.
    pub fn listen(&mut self, address: &ListenAddress) -> io::Result<ListenAddress> {
        match address {
            ListenAddress::Tcp(address) => {
                let listener = TcpListener::bind(*address)?;
                let bound = listener.local_addr()?;
                self.add(ListenerSocket::Tcp(listener))?;
                Ok(ListenAddress::Tcp(bound))
            }
            ListenAddress::Unix(path) => {
                self.add(ListenerSocket::Unix(FileListener::bind(path, self.rights)?))?;
                Ok(address.clone())
            }
        }
    }

    /// Listens on a socket that somebody else has bound and that listens already; gives its address.
    ///
    /// # Errors
    /// When it is no socket, no listening stream, or neither of TCP nor a Unix one.
    pub fn adopt(&mut self, socket: OwnedFd) -> io::Result<ListenAddress> {
        if socket_type(&socket)? != SocketType::STREAM || !is_listening(&socket)? {
            return Err(io::Error::other("it is no stream socket that listens"));
        }
        let family = getsockname(&socket)?.address_family();
        ioctl_fionbio(&socket, true)?;
        match family {
            AddressFamily::INET | AddressFamily::INET6 => {
                let listener = TcpListener::from_std(socket.into());
                let bound = listener.local_addr()?;
                self.add(ListenerSocket::Tcp(listener))?;
                Ok(ListenAddress::Tcp(bound))
            }
            AddressFamily::UNIX => {
                let (listener, path) = FileListener::adopt(socket)?;
                self.add(ListenerSocket::Unix(listener))?;
                Ok(ListenAddress::Unix(path))
            }
            _ => Err(io::Error::other("it is neither a TCP nor a Unix socket")),
        }
    }

    fn add(&mut self, mut socket: ListenerSocket) -> io::Result<()> {
        let token = Token(LISTENER_BASE + self.listeners.len());
        let registry = self.poll.registry();
        match &mut socket {
            ListenerSocket::Tcp(listener) => {
                registry.register(listener, token, Interest::READABLE)?;
            }
            ListenerSocket::Unix(file) => {
                registry.register(&mut file.socket, token, Interest::READABLE)?;
            }
        }
        self.listeners.push(Listener { socket, ready: false });
        Ok(())
    }

    /// Lets bytes that arrive on `stream` wake the loop: each batch is one [`Event::Wake`]. The
    /// bytes are thrown away.
    ///
    /// # Errors
    /// When the descriptor cannot be registered.
    pub fn wake_on(&mut self, stream: StdUnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let descriptor = stream.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&descriptor), WAKE, Interest::READABLE)?;
        self.wake = Some(stream);
        Ok(())
    }

    /// From now on speaks TLS with those who come by TCP, as `identity`; without one, plainly.
    /// Connections that are open stay as they are.
    #[cfg(feature = "tls")]
    pub fn identify(&mut self, identity: Option<Identity>) {
        self.identity = identity;
    }

    /// Puts TLS around a TCP connection, if it is spoken.
    #[cfg(feature = "tls")]
    fn dress(&self, stream: MioStream) -> io::Result<MioStream> {
        match (stream, &self.identity) {
            (MioStream::Tcp(stream), Some(identity)) => {
                Ok(MioStream::Tls(Box::new(identity.accept(stream)?)))
            }
            (stream, _) => Ok(stream),
        }
    }

    /// What TLS is put around, with the feature.
    #[cfg(not(feature = "tls"))]
    fn dress(&self, stream: MioStream) -> io::Result<MioStream> {
        Ok(stream)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut timeout = timeout;
        while let Err(error) = self.poll.poll(&mut self.events, timeout) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            // Who was stopped and goes on finds an interruption first, and then what has come.
            timeout = Some(Duration::ZERO);
        }
        Ok(())
    }

    /// Puts one batch of the kernel's into `events`; says whether there was a wake-up.
    fn pass_on(&mut self, events: &mut Vec<Event>) -> bool {
        let mut woken = false;
        for event in &self.events {
            let token = event.token();
            if token == WAKE {
                woken = true;
                events.push(Event::Wake);
            } else if token.0 >= LISTENER_BASE {
                if let Some(listener) = self.listeners.get_mut(token.0 - LISTENER_BASE) {
                    listener.ready = true;
                    events.push(Event::Accept);
                }
            } else {
                // An end or an error shows when reading or writing is tried, so both hints count as
                // readiness in both directions.
                let ended = event.is_error() || event.is_read_closed() || event.is_write_closed();
                events.push(Event::Connection {
                    slot: token.0 as Slot,
                    readable: event.is_readable() || ended,
                    writable: event.is_writable() || ended,
                });
            }
        }
        woken
    }

    /// Empties the wake descriptor, so that its next byte is an edge again.
    fn drain_wake(&mut self) {
        let Some(stream) = &mut self.wake else { return };
        let mut bytes = [0; 64];
        while matches!(stream.read(&mut bytes), Ok(read) if read > 0) {}
    }
}

impl Net for MioNet {
    type Stream = MioStream;

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        self.wait(timeout)?;
        let mut woken = self.pass_on(events);
        // What did not fit is asked for at once: the engine goes on to judge who was silent.
        while self.events.iter().count() == EVENTS_PER_POLL
            && events.len() + EVENTS_PER_POLL <= events.capacity()
        {
            self.wait(Some(Duration::ZERO))?;
            woken |= self.pass_on(events);
        }
        if woken {
            self.drain_wake();
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<(MioStream, Peer)> {
        // One after another, so that none is passed over for ever where places are few.
        let count = self.listeners.len();
        for _ in 0..count {
            self.last_listener = (self.last_listener + 1) % count;
            let listener = &mut self.listeners[self.last_listener];
            if !listener.ready {
                continue;
            }
            let accepted = match &listener.socket {
                ListenerSocket::Tcp(socket) => socket.accept().map(|(stream, address)| {
                    prepare_tcp(&stream);
                    (MioStream::Tcp(stream), Peer::tcp(address))
                }),
                ListenerSocket::Unix(file) => {
                    file.socket.accept().map(|(stream, _)| (MioStream::Unix(stream), Peer::Unix))
                }
            };
            match accepted {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => listener.ready = false,
                Err(error) => return Err(error),
                Ok((stream, peer)) => return Ok((self.dress(stream)?, peer)),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn open(&mut self, stream: &mut MioStream, slot: Slot) -> io::Result<()> {
        let token = Token(slot as usize);
        let interest = Interest::READABLE | Interest::WRITABLE;
        match stream {
            MioStream::Tcp(stream) => self.poll.registry().register(stream, token, interest),
            MioStream::Unix(stream) => self.poll.registry().register(stream, token, interest),
            #[cfg(feature = "tls")]
            MioStream::Tls(stream) => {
                self.poll.registry().register(&mut stream.socket, token, interest)
            }
        }
    }

    fn close(&mut self, mut stream: MioStream) {
        // Fails only for a descriptor that is not registered, and closing it ends that anyway.
        let _ = match &mut stream {
            MioStream::Tcp(stream) => self.poll.registry().deregister(stream),
            MioStream::Unix(stream) => self.poll.registry().deregister(stream),
            #[cfg(feature = "tls")]
            MioStream::Tls(stream) => self.poll.registry().deregister(&mut stream.socket),
        };
    }

    #[cfg(feature = "tls")]
    fn stream_memory_ceiling(&self) -> usize {
        self.identity.as_ref().map_or(0, Identity::stream_memory_ceiling)
    }

    fn stop_listening(&mut self) {
        self.listeners.clear();
    }
}

/// A TCP or Unix connection.
pub enum MioStream {
    /// From a TCP listener.
    Tcp(TcpStream),
    /// From a Unix listener.
    Unix(UnixStream),
    /// From a TCP listener, with TLS.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

impl Stream for MioStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            MioStream::Tcp(stream) => stream.read(buffer),
            MioStream::Unix(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            MioStream::Tls(stream) => stream.read(buffer),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            MioStream::Tcp(stream) => send_slices(stream, slices, TCP_FLAGS),
            MioStream::Unix(stream) => send_slices(stream, slices, SendFlags::NOSIGNAL),
            #[cfg(feature = "tls")]
            MioStream::Tls(stream) => stream.write_vectored(slices),
        }
    }

    #[cfg(feature = "tls")]
    fn flush(&mut self) -> io::Result<()> {
        match self {
            MioStream::Tls(stream) => stream.flush(),
            MioStream::Tcp(_) | MioStream::Unix(_) => Ok(()),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            MioStream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            MioStream::Unix(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(feature = "tls")]
            MioStream::Tls(stream) => stream.shutdown_write(),
        }
    }

    fn take_error(&mut self) -> Option<io::Error> {
        let error = match self {
            MioStream::Tcp(stream) => stream.take_error(),
            MioStream::Unix(stream) => stream.take_error(),
            #[cfg(feature = "tls")]
            MioStream::Tls(stream) => return stream.take_error(),
        };
        error.unwrap_or_else(Some)
    }
}

/// Sets what a TCP connection needs. A peer that is gone already makes it fail; reading will tell.
fn prepare_tcp(stream: &TcpStream) {
    // Frames are written whole, so waiting for more (Nagle) only adds delay.
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(TCP_UNSENT_BYTES_MAX);
}

#[cfg(not(target_vendor = "apple"))]
fn is_listening(socket: &OwnedFd) -> io::Result<bool> {
    Ok(rustix::net::sockopt::socket_acceptconn(socket)?)
}

/// Apple's systems cannot tell.
#[cfg(target_vendor = "apple")]
fn is_listening(_: &OwnedFd) -> io::Result<bool> {
    Ok(true)
}

/// Sends slices in one system call. The flags have `NOSIGNAL`, which writev(2), the standard
/// library's `write_vectored`, cannot: a peer that is gone would kill a program that embeds us.
pub(super) fn send_slices(
    socket: &impl AsFd,
    slices: &[IoSlice<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    let sent = match slices {
        [slice] => send(socket, slice, flags),
        _ => sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags),
    };
    sent.map_err(io::Error::from)
}
