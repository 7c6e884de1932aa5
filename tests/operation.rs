//! What an operator does with the binary: listeners of every kind, signals, limits.

mod support;

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use rustix::process::{getgid, getuid};
use support::{PATIENCE, Vitald, answer, close_code, next, socket_path, unix_websocket, until};

#[test]
fn a_unix_socket_serves_any_host_and_its_file_goes_with_the_server() {
    let path = socket_path("unix");
    let mut vitald = Vitald::start_with(&["-l", &format!("unix:{}", path.display())]);
    assert_eq!(vitald.line(), format!("vitald listening on unix:{}\n", path.display()));
    let mut stream = UnixStream::connect(&path).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let head = b"GET /healthz HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n";
    stream.write_all(head).expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers and ends");
    assert!(text.ends_with("ok"), "{text}");
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
    let cause = "Address already in use (os error 98); stop what listens there or choose another \
                 with --listen";
    assert_eq!(refusal(second), (1, format!("vitald: cannot listen on {listen}: {cause}\n")));
    assert_eq!(next(&mut unix_websocket(&path))["type"], "hello");
}

/// The exit status and what is said of it.
fn refusal(output: Output) -> (i32, String) {
    let sentence = String::from_utf8(output.stderr).expect("a sentence is UTF-8");
    (output.status.code().expect("it ends by itself"), sentence)
}

/// How it ends when it is to listen on `path` alone, with what the file says.
fn refused(path: &Path, file: &str) -> (i32, String) {
    let config = path.with_extension("toml");
    fs::write(&config, file).expect("a file can be written");
    let mut command = support::command();
    command.args(["-l", &format!("unix:{}", path.display()), "--log-level", "error", "-c"]);
    let output = command.arg(&config).output().expect("the binary starts");
    fs::remove_file(&config).expect("it is there");
    refusal(output)
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let path = socket_path("file");
    fs::write(&path, "precious").expect("a file can be written");
    let sentence = format!(
        "vitald: cannot listen on unix:{}: there is a file already that is no socket; remove it or \
         choose another path\n",
        path.display()
    );
    assert_eq!(refused(&path, ""), (1, sentence));
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "precious");
    fs::remove_file(&path).expect("it is there");
}

#[test]
fn what_a_listener_needs_and_is_not_there_is_named() {
    let path = Path::new("/nowhere/vitald.sock");
    let sentence = "vitald: cannot listen on unix:/nowhere/vitald.sock: No such file or directory \
                    (os error 2); make its directory first\n";
    let config = socket_path("absent").with_extension("toml");
    let run = |file: &str| {
        fs::write(&config, format!("listen = \"unix:{}\"\n{file}", path.display()))
            .expect("a file can be written");
        let mut command = support::command();
        let output = command.args(["--log-level", "error", "-c"]).arg(&config).output();
        refusal(output.expect("the binary starts"))
    };
    assert_eq!(run(""), (1, sentence.to_owned()));
    let sentence = format!(
        "vitald: {}:2: unix_group: there is no group \"nowhere\" in /etc/group: write one that is \
         there, or a number\n",
        config.display()
    );
    assert_eq!(run("unix_group = \"nowhere\""), (2, sentence));
    fs::remove_file(&config).expect("it is there");
}

#[test]
fn a_listener_with_a_full_queue_is_not_taken_for_one_that_is_gone() {
    let path = socket_path("full");
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    let address = SocketAddrUnix::new(&path).expect("the path is short");
    bind(&socket, &address).expect("the path is free");
    listen(&socket, 0).expect("it can listen");
    // One waits to be accepted, and there is room for no other.
    let _waiting = UnixStream::connect(&path).expect("there is room for one");
    let (status, sentence) = refused(&path, "");
    assert!(sentence.contains("Address already in use"), "{sentence}");
    assert_eq!(status, 1);
    assert!(path.exists());
    fs::remove_file(&path).expect("it is there");
}

#[test]
fn the_file_of_a_successor_outlives_its_predecessor() {
    let path = socket_path("successor");
    let listen = format!("unix:{}", path.display());
    let mut old = Vitald::start_with(&["-l", &listen]);
    assert_eq!(next(&mut unix_websocket(&path))["type"], "hello");
    fs::remove_file(&path).expect("it is there");
    let mut new = Vitald::start_with(&["-l", &listen]);
    old.signal("-TERM");
    assert!(old.wait().success());
    assert_eq!(next(&mut unix_websocket(&path))["type"], "hello");
    new.signal("-TERM");
    assert!(new.wait().success());
    assert!(!path.exists());
}

/// A group that this process may give a file to, by name and number; not its own, if it may.
fn group() -> (String, u32) {
    let own = getgid().as_raw();
    let groups = fs::read_to_string("/etc/group").expect("there are groups");
    let mut groups = groups.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields[0].to_owned(), fields.get(2)?.parse().ok()?))
    });
    let may = |(_, number): &(String, u32)| (*number != own) == getuid().is_root();
    groups.find(may).expect("there is a group")
}

#[test]
fn a_socket_file_has_the_mode_and_the_group_that_are_set_whatever_the_umask() {
    let path = socket_path("rights");
    let config = path.with_extension("toml");
    let (name, number) = group();
    let identifier = number.to_string();
    for (mode, group) in [("0660", &name), ("606", &identifier)] {
        let text = format!("unix_mode = \"{mode}\"\nunix_group = \"{group}\"\n");
        fs::write(&config, text).expect("a file can be written");
        // By way of a shell, which can set the umask.
        let mut command = Command::new("sh");
        command.env("VITALD_CONFIG", &config).env_remove("VITALD_TOKEN");
        command.args(["-c", "umask 077; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_vitald")]);
        command.args(["-l", "127.0.0.1:0", "--log-level", "warn"]);
        command.args(["-l", &format!("unix:{}", path.display())]);
        let _vitald = Vitald::start_as(&mut command);
        let file = fs::metadata(&path).expect("it is there");
        assert_eq!(file.mode() & 0o7777, u32::from_str_radix(mode, 8).expect("octal"));
        assert_eq!(file.gid(), number);
        assert_eq!(next(&mut unix_websocket(&path))["type"], "hello");
    }
    fs::remove_file(&config).expect("it is there");
    fs::remove_file(&path).expect("the process was killed");
}

#[test]
fn a_group_that_cannot_be_given_is_refused_and_leaves_no_file() {
    let folder = socket_path("foreign").with_extension("");
    fs::create_dir_all(&folder).expect("a folder can be made");
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("it is ours");
    // Another user may not be let into the folders of the build. Copied by another process: what
    // this one writes, its other tests' children hold open for a moment, and it cannot be run then.
    let binary = folder.join("vitald");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_vitald")).arg(&binary).status();
    assert!(copied.expect("cp runs").success());
    let (config, path) = (folder.join("vitald.toml"), folder.join("socket"));
    fs::write(&config, "unix_group = \"0\"").expect("a file can be written");
    let mut command = Command::new(&binary);
    command.args(["-l", &format!("unix:{}", path.display()), "--log-level", "error", "-c"]);
    command.arg(&config).env_remove("VITALD_TOKEN");
    if getuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().expect("the binary starts");
    let sentence = format!(
        "vitald: cannot listen on unix:{}: the file cannot be given to group 0: Operation not \
         permitted (os error 1); name a group that vitald's user is in\n",
        path.display()
    );
    assert_eq!(refusal(output), (1, sentence));
    assert!(!path.exists());
    fs::remove_dir_all(&folder).expect("it is ours");
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
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers and ends");
    assert!(text.ends_with("ok"), "{text}");
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
fn a_probe_that_had_begun_before_the_stop_is_told_of_it() {
    let mut vitald = Vitald::start();
    let mut probe = vitald.connect();
    vitald.send_get(&mut probe, "GET", "/healthz");
    assert!(answer(&mut probe, true).0.starts_with("HTTP/1.1 200 "));
    let mut socket = vitald.websocket("/ws");
    next(&mut socket);
    probe.write_all(b"GET /healthz HTTP/1.0\r\n").expect("it reads");
    vitald.signal("-TERM");
    assert_eq!(close_code(&mut socket), 1001);
    probe.write_all(b"\r\n").expect("it reads");
    let (head, body) = answer(&mut probe, true);
    assert!(head.starts_with("HTTP/1.1 503 ") && body == "draining", "{head}{body}");
    let _ = socket.flush();
    drop((probe, socket));
    assert!(vitald.wait().success());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for signals in [["-TERM", "-TERM"], ["-INT", "-TERM"], ["-TERM", "-INT"]] {
        let mut vitald = Vitald::start();
        let mut socket = vitald.websocket("/ws");
        next(&mut socket);
        vitald.signal(signals[0]);
        // The peer has our close frame and keeps silent: the drain would wait for its answer.
        assert_eq!(close_code(&mut socket), 1001);
        vitald.signal(signals[1]);
        assert_eq!(vitald.wait().code(), Some(1), "{signals:?}");
    }
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
