//! The real binary on a free port, and clients that wait for conditions, never for durations.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod schema;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::{Message, WebSocket};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running vitald, killed when dropped.
pub struct Vitald {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: SocketAddr,
}

/// The binary, deaf to a configuration that this machine may have.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitald"));
    command.env("VITALD_CONFIG", "/dev/null").env_remove("VITALD_TOKEN");
    command
}

impl Vitald {
    /// Starts the binary on loopback, sampling ten times a second.
    pub fn start() -> Vitald {
        Vitald::start_with(&[])
    }

    /// Starts it with further arguments. Lines for further listeners are left unread.
    pub fn start_with(arguments: &[&str]) -> Vitald {
        let mut command = command();
        command.args(["-l", "127.0.0.1:0", "-i", "100ms", "--log-level", "warn"]).args(arguments);
        Vitald::start_as(&mut command)
    }

    /// Starts it as `command` has it, which has a listener on loopback.
    pub fn start_as(command: &mut Command) -> Vitald {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        stdout.read_line(&mut line).expect("the binary says where it listens");
        let address = line
            .strip_prefix("vitald listening on http")
            .map(|rest| rest.strip_prefix('s').unwrap_or(rest))
            .and_then(|rest| rest.strip_prefix("://"))
            .and_then(|rest| rest.trim_end().strip_suffix('/'))
            .unwrap_or_else(|| panic!("not the line of the contract: {line:?}"));
        Vitald { address: address.parse().expect("an address"), child, stdout }
    }

    /// The next line on standard output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("standard output is open");
        line
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream
    }

    /// Sends `text` on a connection of its own and gives all that comes until the server ends it.
    pub fn exchange(&self, text: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers and ends");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// GET with `Connection: close` and further `fields`, each with its line end.
    pub fn get(&self, target: &str, fields: &str) -> String {
        self.exchange(&format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{fields}\r\n",
            self.address
        ))
    }

    pub fn websocket(&self, target: &str) -> WebSocket<TcpStream> {
        let url = format!("ws://{}{target}", self.address);
        let (socket, _) = tungstenite::client(url, self.connect()).expect("the handshake succeeds");
        socket
    }

    /// Sends a request head in the form of the routes' contract and leaves the connection open.
    pub fn send_get(&self, stream: &mut TcpStream, method: &str, target: &str) {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).expect("it reads");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the process can be waited for")
    }
}

impl Drop for Vitald {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a GET asks for and the token guards: the event stream first, and a path that is not there
/// last.
pub const GUARDED: [&str; 11] = [
    "/events",
    "/dashboard.json",
    "/metrics",
    "/api/v1/snapshot",
    "/api/v1/history?metric=cpu.usage",
    "/api/v1/alerts",
    "/api/v1/server",
    "/api/v1/connections",
    "/api/v1/processes",
    "/api/v1/schema",
    "/nothing",
];

/// A path for a Unix socket of a test's own.
pub fn socket_path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("vitald-{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// A WebSocket client on a Unix socket.
pub fn unix_websocket(path: &Path) -> WebSocket<UnixStream> {
    let stream = UnixStream::connect(path).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let (socket, _) =
        tungstenite::client("ws://vitald/ws", stream).expect("the handshake succeeds");
    socket
}

/// One HTTP answer, as its head and its body, from a connection that stays open.
pub fn answer(stream: &mut TcpStream, has_body: bool) -> (String, String) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a whole head comes");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head is text");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length = length.map_or(0, |length| length.parse().expect("a length is a number"));
    let mut body = vec![0; if has_body { length } else { 0 }];
    stream.read_exact(&mut body).expect("a whole body comes");
    (head, String::from_utf8_lossy(&body).into_owned())
}

/// The next message, as JSON. Each is held against the schema that clients are given.
pub fn next<S: Read + Write>(socket: &mut WebSocket<S>) -> Value {
    loop {
        match socket.read().expect("a message comes") {
            Message::Text(text) => return schema::read_message(&text),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("not a text message: {other:?}"),
        }
    }
}

/// The next message of a type.
pub fn next_of<S: Read + Write>(socket: &mut WebSocket<S>, kind: &str) -> Value {
    loop {
        let message = next(socket);
        if message["type"] == kind {
            return message;
        }
    }
}

/// The close code that ends the connection, after whatever messages were on their way.
pub fn close_code<S: Read + Write>(socket: &mut WebSocket<S>) -> u16 {
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => return frame.expect("a close code").code.into(),
            Ok(Message::Text(text)) => drop(schema::read_message(&text)),
            Ok(_) => {}
            Err(error) => panic!("no close frame: {error}"),
        }
    }
}

/// Asks again until there is an answer, for no longer than `patience`.
pub fn until<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "it never came to this: {what}");
        std::thread::yield_now();
    }
}
