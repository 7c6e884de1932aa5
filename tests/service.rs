//! The binary under a service manager, whose part the test plays: sockets that are passed.

mod support;

use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use support::{Vitald, close_code, next, socket_path, unix_websocket};

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
        let text = std::fs::read_to_string(path).expect("it is open");
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
    std::fs::remove_file(&path).expect("it was not removed");
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
