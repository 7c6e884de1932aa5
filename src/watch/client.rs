//! One WebSocket to a vitald, from this side.
//!
//! Owns the connection, its handshake and the sentences about why there is none. Promises: waiting
//! ends as soon as nobody reads standard output any more, and no longer than it may; the token is
//! in the handshake and nowhere else. May import: the engine's clock, the command line's secret.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::client::{Request, generate_key};
use tungstenite::http::StatusCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

use super::format::printable;
use super::target::{Address, Target};
use crate::config::Secret;
use crate::engine::clock::{Clock, Monotonic};

/// How long a connection, and each step of the handshake, may take.
const STEP_WAIT: Duration = Duration::from_secs(10);

/// Bytes of a message: those of vitald have 64 KiB, a greeting some more.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// What is asked to be read at a time: a message on a small host.
const READ_BYTES: usize = 4 << 10;

/// The close code of a server that stops (RFC 6455, section 7.4.1).
const GOING_AWAY: u16 = 1001;

/// Why there is no connection.
#[derive(Debug)]
pub struct Failure {
    /// In words, with the address.
    pub sentence: String,
    /// Whether another attempt would fail alike.
    pub is_final: bool,
}

/// What has come.
#[derive(Debug)]
pub enum Received {
    /// A message.
    Text(String),
    /// A sign of life that is no message.
    Life,
    /// Nothing, for as long as was to be waited.
    Nothing,
    /// The connection is over, for this reason.
    Gone(String),
    /// Nobody reads standard output any more.
    OutputClosed,
}

/// An open connection.
pub struct Client {
    socket: WebSocket<Stream>,
}

impl Client {
    /// Connects to `target`.
    ///
    /// # Errors
    /// A sentence with the address, the cause and what to do.
    pub fn connect(target: &Target, token: Option<&Secret>) -> Result<Client, Failure> {
        let stream = Stream::connect(&target.address).map_err(|error| Failure {
            sentence: format!("cannot connect to {target}: {error}: {}", remedy(error.kind())),
            is_final: false,
        })?;
        let request =
            request(target, token).map_err(|sentence| Failure { sentence, is_final: true })?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let result = tungstenite::client::client_with_config(request, stream, Some(config));
        let (mut socket, _) = result.map_err(|error| failure(target, token.is_some(), &error))?;
        socket.get_mut().set_nonblocking().map_err(|error| Failure {
            sentence: format!("cannot wait for {target}: {error}: try again"),
            is_final: false,
        })?;
        Ok(Client { socket })
    }

    /// Sends a message. What goes wrong is seen by the next [`Client::receive`].
    pub fn send(&mut self, text: &str) {
        let _ = self.socket.send(Message::text(text));
    }

    /// Sends a ping, which any server answers.
    pub fn ping(&mut self) {
        let _ = self.socket.send(Message::Ping(Bytes::new()));
    }

    /// Says goodbye, as far as that goes without waiting.
    pub fn close(&mut self) {
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }

    /// What comes within `patience`, while `output` is read.
    pub fn receive(&mut self, patience: Duration, output: BorrowedFd<'_>) -> Received {
        let clock = Monotonic::new();
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Received::Text(text.as_str().to_owned()),
                Ok(Message::Close(frame)) => {
                    let _ = self.socket.flush();
                    return Received::Gone(farewell(frame.as_ref()));
                }
                Ok(_) => return Received::Life,
                Err(Error::Io(error)) if is_passing(&error) => {}
                Err(Error::Io(error)) => return Received::Gone(error.to_string()),
                Err(error) => return Received::Gone(printable(&error.to_string())),
            }
            let left = patience.saturating_sub(clock.now().since_origin());
            if left.is_zero() {
                return Received::Nothing;
            }
            if wait(Some(self.socket.get_ref().as_fd()), output, left) {
                return Received::OutputClosed;
            }
        }
    }
}

/// Waits for `time`, or until `input` has something; true if nobody reads `output` any more.
pub fn wait(input: Option<BorrowedFd<'_>>, output: BorrowedFd<'_>, time: Duration) -> bool {
    let clock = Monotonic::new();
    loop {
        let left = time.saturating_sub(clock.now().since_origin());
        // Errors and hang-ups are told without being asked for.
        let mut both = vec![PollFd::from_borrowed_fd(output, PollFlags::empty())];
        both.extend(input.map(|input| PollFd::from_borrowed_fd(input, PollFlags::IN)));
        let timeout = Timespec::try_from(left).ok();
        let result = poll(&mut both, timeout.as_ref());
        if both[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return true;
        }
        // A signal that has stopped the process and let it go on is no reason to wait less.
        if left.is_zero() || !matches!(result, Ok(0) | Err(rustix::io::Errno::INTR)) {
            return false;
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn farewell(frame: Option<&CloseFrame>) -> String {
    match frame {
        None => "it has closed the connection".to_owned(),
        Some(frame) if u16::from(frame.code) == GOING_AWAY => "it is being stopped".to_owned(),
        Some(frame) => {
            let (code, reason) = (u16::from(frame.code), frame.reason.as_str());
            printable(&format!("it has closed the connection ({code} {reason})"))
        }
    }
}

fn request(target: &Target, token: Option<&Secret>) -> Result<Request, String> {
    let mut request = Request::builder()
        .uri(format!("ws://vitald{}?history=0", target.path))
        .header("Host", &target.host)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .header("User-Agent", concat!("vitald/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {}", token.reveal()));
    }
    // The library's words quote nothing.
    request.body(()).map_err(|error| format!("{target} cannot be asked: {error}: write it anew"))
}

/// What to do about an error of connecting.
fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
            "start vitald there, or write the address that it listens on"
        }
        ErrorKind::PermissionDenied => "this user may not open it: try another one",
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "see whether that host is up, and which firewalls are in between"
        }
        _ => "see whether the address is right",
    }
}

fn failure<T: tungstenite::handshake::HandshakeRole>(
    target: &Target,
    has_token: bool,
    error: &HandshakeError<T>,
) -> Failure {
    let words = match error {
        HandshakeError::Failure(Error::Http(response)) => {
            return refusal(target, has_token, response.status());
        }
        HandshakeError::Interrupted(_) => {
            let seconds = STEP_WAIT.as_secs();
            format!("there is no answer within {seconds} s: see whether it is a vitald")
        }
        HandshakeError::Failure(Error::Io(error)) => {
            format!("{error}: see whether it is a vitald")
        }
        HandshakeError::Failure(error) => {
            format!("{}: see whether it is a vitald", printable(&error.to_string()))
        }
    };
    Failure { sentence: format!("{target} gives no WebSocket: {words}"), is_final: false }
}

/// What an answer that is no WebSocket means (RFC 9110, section 15).
fn refusal(target: &Target, has_token: bool, status: StatusCode) -> Failure {
    let code = status.as_u16();
    let words = match code {
        401 if has_token => "has refused the token: see what --token-file or VITALD_TOKEN holds",
        401 => "asks for a token: give one with --token-file FILE, or in VITALD_TOKEN",
        403 => "does not allow this: ask whoever runs it",
        404 => "has no vitald at this path: write the path prefix, as in http://host/prefix",
        421 => "is not called so there: start that vitald with --allow-host, or write its IP",
        429 => "has heard too many wrong tokens from here: wait a minute",
        503 => "has no room for another viewer, or is being stopped: try again later",
        300..=399 => "is somewhere else: write the address where it is, if that is no https",
        _ => "gives no WebSocket: see whether it is a vitald",
    };
    let sentence = format!("{target} {words} (HTTP {code})");
    Failure { sentence, is_final: matches!(code, 401 | 403) }
}

/// A connection of either kind.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(address: &Address) -> io::Result<Stream> {
        let (host, port) = match address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(STEP_WAIT))?;
                stream.set_write_timeout(Some(STEP_WAIT))?;
                return Ok(Stream::Unix(stream));
            }
            Address::Tcp(host, port) => (host.as_str(), *port),
        };
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, STEP_WAIT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(STEP_WAIT))?;
                    stream.set_write_timeout(Some(STEP_WAIT))?;
                    return Ok(Stream::Tcp(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn set_nonblocking(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nonblocking(true),
            Stream::Unix(stream) => stream.set_nonblocking(true),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
