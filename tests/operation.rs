//! What an operator does with the binary: listeners of every kind, signals, limits.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use support::{PATIENCE, Vitald, close_code, next, socket_path, unix_websocket, until};

#[test]
fn a_unix_socket_serves_any_host_and_its_file_goes_with_the_server() {
    let path = socket_path("unix");
    let mut vitald = Vitald::start_with(&["-l", &format!("unix:{}", path.display())]);
    assert_eq!(vitald.line(), format!("vitald listening on unix:{}\n", path.display()));
    let mut stream = UnixStream::connect(&path).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let head = b"GET /healthz HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n";
    stream.write_all(head).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and ends");
    assert!(answer.ends_with("ok"), "{answer}");
    assert_eq!(next(&mut unix_websocket(&path))["type"], "hello");
    vitald.signal("-TERM");
    assert!(vitald.wait().success());
    assert!(!path.exists());
}

#[test]
fn a_socket_file_that_nobody_answers_on_is_replaced_and_a_live_one_is_not() {
    let path = socket_path("stale");
    drop(UnixListener::bind(&path).expect("the path is free"));
    let listen = format!("unix:{}", path.display());
    let _first = Vitald::start_with(&["-l", &listen]);
    let second = support::command()
        .args(["-l", &listen, "--log-level", "error"])
        .output()
        .expect("the binary starts");
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"));
    assert_eq!(next(&mut unix_websocket(&path))["type"], "hello");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let path = socket_path("file");
    std::fs::write(&path, "precious").expect("a file can be written");
    let output = support::command()
        .args(["-l", &format!("unix:{}", path.display()), "--log-level", "error"])
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "precious");
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn both_families_are_served_by_their_own_listeners() {
    let mut vitald = Vitald::start_with(&["-l", "[::1]:0"]);
    let line = vitald.line();
    let address = line.strip_prefix("vitald listening on http://[::1]:").expect("the second line");
    let port: u16 = address.trim_end_matches("/\n").parse().expect("a port");
    let mut stream = std::net::TcpStream::connect(("::1", port)).expect("it accepts");
    let head = format!("GET /healthz HTTP/1.1\r\nHost: [::1]:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and ends");
    assert!(answer.ends_with("ok"), "{answer}");
    assert!(vitald.get("/healthz", "").ends_with("ok"));
}

#[test]
fn a_stop_closes_the_listener_first_and_waits_for_what_is_open() {
    let mut vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws");
    next(&mut socket);
    vitald.signal("-TERM");
    assert_eq!(close_code(&mut socket), 1001);
    // The close frame is not answered yet, so the process is there, and its address is free.
    drop(std::net::TcpListener::bind(vitald.address).expect("a successor can bind the address"));
    let _ = socket.flush();
    assert!(vitald.wait().success());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws");
    next(&mut socket);
    vitald.signal("-TERM");
    // The peer has our close frame and keeps silent: the drain would wait for its answer.
    assert_eq!(close_code(&mut socket), 1001);
    vitald.signal("-TERM");
    assert_eq!(vitald.wait().code(), Some(1));
}

#[test]
fn one_too_many_is_told_503_and_served_when_another_has_left() {
    let vitald = Vitald::start_with(&["--max-connections", "2"]);
    let first = vitald.websocket("/ws");
    let mut second = vitald.websocket("/ws");
    let refused = vitald.get("/healthz", "");
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("Retry-After: "), "{refused}");
    drop(first);
    while !vitald.get("/healthz", "").ends_with("ok") {}
    next(&mut second);
}

#[test]
fn a_signal_has_the_log_told_what_is_held_unless_the_level_leaves_it_out() {
    for (level, is_told) in [("info", true), ("warn", false)] {
        let path = socket_path("report").with_extension("log");
        let mut command = support::command();
        command.args(["-l", "127.0.0.1:0", "-i", "1h", "--log-level", level]);
        command.stderr(File::create(&path).expect("a file can be made"));
        let mut vitald = Vitald::start_as(&mut command);
        let mut socket = vitald.websocket("/ws");
        next(&mut socket);
        let begun = vitald.connect();
        vitald.signal("-USR1");
        let log = || fs::read_to_string(&path).expect("the log is there");
        if is_told {
            until(PATIENCE, "the last line is logged", || {
                log().contains("subscriptions live=").then_some(())
            });
        }
        // It goes on, and ends as it always does.
        assert!(vitald.get("/healthz", "").ends_with("ok"));
        drop(begun);
        vitald.signal("-TERM");
        assert_eq!(close_code(&mut socket), 1001);
        let _ = socket.flush();
        assert!(vitald.wait().success());
        let log = log();
        fs::remove_file(&path).expect("it is there");
        for line in [
            "ledger resource=socket live=2 opened=2 closed=0 high=2",
            "ledger resource=slot live=2 opened=2 closed=0 high=2",
            "ledger resource=timer live=",
            "ledger resource=input live=0 opened=0 closed=0 high=0",
            "ledger resource=member live=1 opened=1 closed=0 high=1",
            "ledger audit=agrees",
            "connections live=2 connecting=1 connected=1 disconnecting=0 disconnected=0 \
             queued_bytes=0",
            "tasks running=2 cancelling=0 cancelled=0 completed=0 forced=0",
            "pool name=frames live=",
            "pool name=inputs live=0 high=0 reused=0",
            "pool name=slots live=2 high=2 reused=0",
            "subscriptions live=1 classes=1",
        ] {
            assert_eq!(log.contains(line), is_told, "{line} at {level}: {log}");
        }
    }
}
