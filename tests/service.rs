//! The binary under a service manager, whose part the test plays: sockets that are passed, and what
//! the manager is told.

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use support::{PATIENCE, Vitald, close_code, next, socket_path, unix_websocket};
use vitald::engine::clock::monotonic_us;

/// The binary with descriptors from number 3 on, one or two, as `variables` of the shell say.
fn passing(variables: &str, descriptors: Vec<OwnedFd>) -> Command {
    let mut descriptors = descriptors.into_iter();
    let mut command = Command::new("sh");
    let script = format!(
        "exec 3<&0 0</dev/null; [ -n \"$SECOND\" ] && exec 4>&2 2>/dev/null; \
         export {variables}; exec \"$0\" \"$@\""
    );
    command.args(["-c", &script, env!("CARGO_BIN_EXE_vitald"), "-i", "100ms"]);
    command.env("VITALD_CONFIG", "/dev/null").env_remove("VITALD_TOKEN");
    command.stdin(descriptors.next().map_or(Stdio::null(), Stdio::from));
    if let Some(second) = descriptors.next() {
        command.env("SECOND", "yes").stderr(second);
    }
    assert!(descriptors.next().is_none(), "there are two ways to hand one in");
    command
}

/// As systemd says it.
const OURS: &str = "LISTEN_PID=$$ LISTEN_FDS=";

/// The exit status of `command`, and what it says on standard error.
fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().expect("the binary starts");
    (output.status.code(), String::from_utf8(output.stderr).expect("a sentence is UTF-8"))
}

#[test]
fn passed_sockets_take_the_place_of_the_addresses_and_stay_who_passed_them() {
    let path = socket_path("passed");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let unix = UnixListener::bind(&path).expect("the path is free");
    let copies = vec![
        OwnedFd::from(tcp.try_clone().expect("it can be copied")),
        OwnedFd::from(unix.try_clone().expect("it can be copied")),
    ];
    let mut command = passing(&format!("{OURS}2"), copies);
    // What could not be listened on is not listened on.
    let mut vitald = Vitald::start_as(command.args(["-l", "unix:/nowhere/socket"]));
    drop(command);
    assert_eq!(vitald.address, tcp.local_addr().expect("it has one"));
    assert_eq!(vitald.line(), format!("vitald listening on unix:{}\n", path.display()));
    for descriptor in [3, 4] {
        // O_CLOEXEC: what alerts start does not inherit it.
        let path = format!("/proc/{}/fdinfo/{descriptor}", vitald.id());
        let text = fs::read_to_string(path).expect("it is open");
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).expect("it has some");
        let flags = u32::from_str_radix(flags.trim(), 8).expect("octal");
        assert!(flags & OFlags::CLOEXEC.bits() != 0, "{text}");
    }
    assert!(vitald.get("/healthz", "").ends_with("ok"));
    let mut sockets = [vitald.websocket("/ws")];
    assert_eq!(next(&mut sockets[0])["type"], "hello");
    assert_eq!(next(&mut unix_websocket(&path))["type"], "hello");
    vitald.signal("-TERM");
    assert_eq!(close_code(&mut sockets[0]), 1001);
    let _ = sockets[0].flush();
    assert!(vitald.wait().success());
    // Who comes now waits for the next one to be started.
    let waiting = UnixStream::connect(&path).expect("the file is there and somebody listens");
    drop(TcpStream::connect(vitald.address).expect("somebody listens"));
    drop(waiting);
    let both = vec![OwnedFd::from(tcp), OwnedFd::from(unix)];
    let mut command = passing(&format!("{OURS}2"), both);
    let next_one = Vitald::start_as(&mut command);
    drop(command);
    assert!(next_one.get("/healthz", "").ends_with("ok"));
    fs::remove_file(&path).expect("it was not removed");
}

#[test]
fn what_was_passed_to_another_process_is_left_alone() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    for variables in ["LISTEN_PID=1 LISTEN_FDS=1", "LISTEN_FDS=1", "LISTEN_PID=$$ LISTEN_FDS=0"] {
        let copy = OwnedFd::from(tcp.try_clone().expect("it can be copied"));
        let mut command = passing(variables, vec![copy]);
        let vitald = Vitald::start_as(command.args(["-l", "127.0.0.1:0", "--log-level", "warn"]));
        assert_ne!(vitald.address, tcp.local_addr().expect("it has one"), "{variables}");
        assert!(vitald.get("/healthz", "").ends_with("ok"));
    }
}

#[test]
fn a_passed_socket_that_is_not_fit_is_refused_in_a_sentence() {
    let listener = || TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let one = || vec![OwnedFd::from(listener())];
    let (half, _other) = UnixStream::pair().expect("a pair");
    let datagram = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let file = File::open("/dev/null").expect("it is there");
    for (variables, descriptors, sentence) in [
        (
            "1",
            vec![file.into()],
            "descriptor 3 cannot be used: Socket operation on non-socket (os \
                                  error 88)",
        ),
        (
            "1",
            vec![half.into()],
            "descriptor 3 cannot be used: it is no stream socket that listens",
        ),
        (
            "1",
            vec![datagram.into()],
            "descriptor 3 cannot be used: it is no stream socket that \
                                      listens",
        ),
        (
            "4 LISTEN_FDNAMES=web:lost",
            one(),
            "descriptor 4 (lost) cannot be used: Bad file \
                                              descriptor (os error 9)",
        ),
        ("many", one(), "\"many\" is not a number from 0 to 64"),
        ("65", one(), "\"65\" is not a number from 0 to 64"),
    ] {
        let mut command = passing(&format!("{OURS}{variables}"), descriptors);
        let sentence = format!("vitald: LISTEN_FDS: {sentence}\n");
        let command = command.args(["--log-level", "error"]);
        assert_eq!(refusal(command), (Some(2), sentence), "{variables}");
    }
}

#[test]
fn a_passed_socket_beyond_loopback_is_served_with_a_token_or_knowingly_alone() {
    let open = TcpListener::bind("0.0.0.0:0").expect("there is a free port");
    let copy = || vec![OwnedFd::from(open.try_clone().expect("it can be copied"))];
    let sentence = format!(
        "vitald: LISTEN_FDS: descriptor 3 (vitald.socket): {} can be reached from other hosts and \
         nobody is asked for a token: give one with --token-file, listen on a loopback address, or \
         pass --no-auth if everyone there may look\n",
        open.local_addr().expect("it has one")
    );
    let variables = format!("{OURS}1 LISTEN_FDNAMES=vitald.socket");
    let mut command = passing(&variables, copy());
    assert_eq!(refusal(command.args(["--log-level", "error"])), (Some(2), sentence));
    let mut command = passing(&variables, copy());
    command.args(["--no-auth", "--log-level", "info"]).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut line = [0; 19];
    child.stdout.take().expect("a pipe").read_exact(&mut line).expect("it listens");
    assert_eq!(&line, b"vitald listening on");
    child.kill().expect("it runs");
    let mut log = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut log).expect("it is text");
    child.wait().expect("it can be waited for");
    assert!(
        log.contains("listen passed=\"descriptor 3 (vitald.socket)\" address=0.0.0.0:"),
        "{log}"
    );
}

/// The service manager's end of what it is told.
struct Manager {
    socket: UnixDatagram,
    /// What the environment calls it.
    name: String,
}

impl Manager {
    /// One that is a file.
    fn at(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).expect("the path is free");
        Manager::new(socket, path.display().to_string())
    }

    /// One that is a name without a file.
    fn named(name: &str) -> Manager {
        let name = format!("vitald-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("the name is short");
        Manager::new(UnixDatagram::bind_addr(&address).expect("it is free"), format!("@{name}"))
    }

    fn new(socket: UnixDatagram, name: String) -> Manager {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Manager { socket, name }
    }

    /// The binary, which is to tell this one; with a configuration file and without a terminal.
    fn start(&self, variables: &str, file: &Path) -> Vitald {
        let mut command = passing(&format!("NOTIFY_SOCKET={} {variables}", self.name), Vec::new());
        command.args(["-l", "127.0.0.1:0", "--log-level", "error", "-c"]).arg(file);
        Vitald::start_as(command.stderr(Stdio::null()))
    }

    /// The next message.
    fn hear(&self) -> String {
        self.hear_within(PATIENCE).expect("a message comes")
    }

    fn hear_within(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).expect("a timeout can be set");
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    /// The next message that is no sign of life.
    fn hear_other(&self) -> String {
        loop {
            let message = self.hear();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }
}

#[test]
fn the_service_manager_is_told_when_it_listens_and_when_it_stops() {
    let path = socket_path("notify");
    for manager in [Manager::at(&path), Manager::named("notify")] {
        let mut vitald = manager.start("WATCHDOG_USEC=", Path::new("/dev/null"));
        let ready = format!("READY=1\nSTATUS=listening on http://{}/", vitald.address);
        assert_eq!(manager.hear(), ready);
        let mut socket = vitald.websocket("/ws");
        assert_eq!(next(&mut socket)["type"], "hello");
        vitald.signal("-TERM");
        // While it still waits for the answer to its close frame.
        assert_eq!(manager.hear(), "STOPPING=1\nSTATUS=stopping, connections to end: 1");
        assert_eq!(close_code(&mut socket), 1001);
        let _ = socket.flush();
        assert!(vitald.wait().success());
    }
    fs::remove_file(&path).expect("it is the manager's");
}

#[test]
fn the_service_manager_is_told_of_a_reload_and_of_its_end() {
    let file = socket_path("reloading").with_extension("toml");
    fs::write(&file, "").expect("a file can be written");
    let manager = Manager::named("reloading");
    let vitald = manager.start("WATCHDOG_USEC=", &file);
    let ready = manager.hear();
    for (text, refused) in [
        ("", ""),
        ("x", "; the last reload was refused, see the log"),
        ("log_level = \"warn\"", ""),
    ] {
        fs::write(&file, text).expect("a file can be written");
        let before = monotonic_us();
        vitald.signal("-HUP");
        let reloading = manager.hear();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it begins");
        let time: u64 = time.parse().expect("a number");
        assert!((before..=monotonic_us()).contains(&time), "{before} {time}");
        assert_eq!(manager.hear(), format!("{ready}{refused}"));
    }
    fs::remove_file(&file).expect("it is there");
}

/// Half of what the watchdog is set to below.
const FEED: Duration = Duration::from_millis(50);

#[test]
fn the_loop_feeds_the_watchdog_and_a_loop_that_hangs_does_not() {
    let file = socket_path("hanging").with_extension("toml");
    fs::write(&file, "").expect("a file can be written");
    let manager = Manager::named("hanging");
    let mut vitald = manager.start("WATCHDOG_USEC=100000 WATCHDOG_PID=$$", &file);
    assert!(manager.hear().starts_with("READY=1\n"));
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(manager.hear(), "WATCHDOG=1");
    }
    assert!(begun.elapsed() >= 3 * FEED, "not at every turn");
    // To read its file again it has to wait for whoever writes into this one.
    fs::remove_file(&file).expect("it is there");
    mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).expect("a pipe can be made");
    vitald.signal("-HUP");
    assert!(manager.hear_other().starts_with("RELOADING=1\n"));
    assert_eq!(manager.hear_within(8 * FEED), None);
    drop(fs::write(&file, ""));
    assert!(manager.hear_other().starts_with("READY=1\n"));
    assert_eq!(manager.hear(), "WATCHDOG=1");
    // Who stops may take longer than a watchdog has patience.
    let mut socket = vitald.websocket("/ws");
    assert_eq!(next(&mut socket)["type"], "hello");
    vitald.signal("-TERM");
    assert!(manager.hear_other().starts_with("STOPPING=1\n"));
    assert_eq!(manager.hear(), "WATCHDOG=1");
    assert_eq!(close_code(&mut socket), 1001);
    let _ = socket.flush();
    assert!(vitald.wait().success());
    fs::remove_file(&file).expect("it is there");
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let manager = Manager::named("other");
    let vitald = manager.start("WATCHDOG_USEC=100000 WATCHDOG_PID=1", Path::new("/dev/null"));
    assert!(manager.hear().starts_with("READY=1\n"));
    let mut socket = vitald.websocket("/ws");
    // At ten samples a second, several times the watchdog's patience.
    for _ in 0..8 {
        next(&mut socket);
    }
    vitald.signal("-TERM");
    assert!(manager.hear().starts_with("STOPPING=1\n"));
}

#[test]
fn who_cannot_be_told_is_warned_of_and_vitald_serves() {
    for (name, part) in [
        ("/nowhere/notify", "message=READY=1 error=\"No such file or directory (os error 2)\""),
        ("nowhere", "socket=\"nowhere\" error=\"it is neither a path nor an abstract name\""),
    ] {
        let log = socket_path("untold").with_extension("log");
        let mut command = passing(&format!("NOTIFY_SOCKET={name} WATCHDOG_USEC=1s"), Vec::new());
        command.args(["-l", "127.0.0.1:0", "--log-level", "warn"]);
        command.stderr(File::create(&log).expect("a file can be made"));
        let vitald = Vitald::start_as(&mut command);
        assert!(vitald.get("/healthz", "").ends_with("ok"));
        let text = fs::read_to_string(&log).expect("the log is there");
        assert!(text.contains(part), "{text}");
        fs::remove_file(&log).expect("it is there");
    }
}
