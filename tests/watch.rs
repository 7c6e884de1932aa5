//! `vitald watch` as whoever types it meets it: the real binary on both sides, and servers of the
//! test's own where what they are told or say is looked at.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use support::{PATIENCE, Vitald, command, socket_path, until};
use tungstenite::{Message, WebSocket};

/// The binary that watches, with nothing from this machine's environment.
fn watcher(arguments: &[&str]) -> Command {
    let mut command = command();
    command.env_remove("VITALD_LISTEN").env_remove("VITALD_TOKEN").env_remove("VITALD_INTERVAL");
    command.arg("watch").args(arguments);
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the binary starts")
}

fn watch(arguments: &[&str]) -> Output {
    run(&mut watcher(arguments))
}

/// Lines of standard output of a run that ends well.
fn lines(arguments: &[&str]) -> Vec<String> {
    let output = watch(arguments);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("lines are UTF-8");
    assert!(text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

/// The one line on standard error of a run that ends with `status` and has shown nothing.
fn refusal(output: Output, status: i32) -> String {
    let error = String::from_utf8(output.stderr).expect("a sentence is UTF-8");
    assert_eq!(output.status.code(), Some(status), "{error}");
    assert!(output.stdout.is_empty());
    // This host may be busy enough for an alert.
    let lines: Vec<&str> = error.lines().filter(|line| !line.starts_with("alert ")).collect();
    assert_eq!(lines.len(), 1, "{error}");
    assert!(lines[0].starts_with("vitald: "), "{error}");
    lines[0].to_owned()
}

/// A watcher that runs, killed when dropped.
struct Watching {
    child: Child,
    out: Option<BufReader<ChildStdout>>,
    error: BufReader<ChildStderr>,
}

impl Watching {
    fn start(arguments: &[&str]) -> Watching {
        Watching::start_as(&mut watcher(arguments))
    }

    /// One that heeds signals, also where what runs the tests ignores some, as a shell does in the
    /// background and nohup does.
    fn start_heeding(arguments: &[&str]) -> Watching {
        let inner = watcher(arguments);
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP,INT,TERM").arg(inner.get_program());
        command.args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Watching::start_as(&mut command)
    }

    fn start_as(command: &mut Command) -> Watching {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary starts");
        let out = child.stdout.take().map(BufReader::new);
        let error = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        Watching { child, out, error }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let out = self.out.as_mut().expect("standard output is open");
        out.read_line(&mut line).expect("a line comes");
        line
    }

    /// The next line on standard error that has `part` in it.
    fn error_with(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            self.error.read_line(&mut line).expect("a line comes");
            assert!(!line.is_empty(), "standard error ended before {part:?}");
            if line.contains(part) {
                return line;
            }
        }
    }

    fn end(&mut self) -> std::process::ExitStatus {
        until(PATIENCE, "it ends", || self.child.try_wait().expect("it can be waited for"))
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The request head of the next connection.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a whole head comes");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("a head is text")
}

/// A server that answers the one request it gets with `answer`, and gives that request.
fn answering(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it is called");
        let head = head(&mut stream);
        stream.write_all(answer.as_bytes()).expect("it is heard");
        head
    });
    (address, thread)
}

/// A server that greets its one viewer as vitald does, and says `messages` when it is asked.
fn speaking(messages: Vec<Value>) -> (String, JoinHandle<Value>) {
    saying(messages.iter().map(Value::to_string).collect())
}

/// The same of messages that are texts already.
fn saying(messages: Vec<String>) -> (String, JoinHandle<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("it is called");
        let mut socket = tungstenite::accept(stream).expect("the handshake succeeds");
        let say = |socket: &mut WebSocket<TcpStream>, message: &str| {
            let _ = socket.send(Message::text(message));
        };
        let hello = json!({"type": "hello", "protocol": 1, "interval_ms": 1000});
        say(&mut socket, &hello.to_string());
        let asked = socket.read().expect("it subscribes").into_text().expect("a request is text");
        let asked = serde_json::from_str(&asked).expect("a request is JSON");
        support::schema::Schema::ours().check_client_message(&asked);
        for message in &messages {
            say(&mut socket, message);
        }
        while socket.read().is_ok() {}
        asked
    });
    (address, thread)
}

fn sample(sequence: u64, figures: Value) -> Value {
    let mut message = json!({"type": "metrics", "seq": sequence, "t": 1000 * sequence});
    message.as_object_mut().expect("an object").extend(
        figures.as_object().expect("an object").iter().map(|(k, v)| (k.clone(), v.clone())),
    );
    message
}

#[test]
fn a_line_a_sample_comes_under_a_head_that_is_repeated_and_all_are_aligned() {
    let vitald = Vitald::start();
    let lines = lines(&[&vitald.address.to_string(), "--count", "22"]);
    let heads = lines.iter().enumerate().filter(|(_, line)| line.contains("     UTC"));
    let heads: Vec<usize> = heads.map(|(number, _)| number).collect();
    assert_eq!(heads, [1, 24], "{lines:#?}");
    assert_eq!(lines.len(), 22 + 6);
    assert_eq!(lines[2].split_whitespace().next(), Some("%"), "units stand below: {lines:#?}");
    for line in &lines {
        assert_eq!(line.len(), lines[0].len(), "{lines:#?}");
        assert!(line.len() <= 80);
    }
    // Each cell ends where its head ends.
    let ends = |line: &str| -> Vec<usize> {
        let is_end = |&(at, _): &(usize, char)| {
            let next = line.as_bytes().get(at + 1);
            line.as_bytes()[at] != b' ' && next.is_none_or(|&next| next == b' ')
        };
        line.char_indices().filter(is_end).map(|(at, _)| at).collect()
    };
    assert_eq!(ends(&lines[1]), ends(&lines[6]), "{lines:#?}");
    assert!(ends(&lines[2]).iter().all(|end| ends(&lines[1]).contains(end)), "{lines:#?}");
}

#[test]
fn json_has_each_message_as_it_comes_and_nothing_else() {
    let vitald = Vitald::start();
    let address = vitald.address.to_string();
    let arguments = [&address, "--json", "--topics", "cpu.usage,load", "--count", "3"];
    let mut last = 0;
    for line in lines(&arguments) {
        let message: Value = serde_json::from_str(&line).expect("a line is JSON");
        let sequence = message["seq"].as_u64().expect("a sample is numbered");
        assert!(sequence > last);
        last = sequence;
        assert_eq!(message["cpu"].as_object().expect("a record").len(), 1);
        assert!(message["memory"].is_null() && message["load"].is_object(), "{line}");
    }
    let all: Value =
        serde_json::from_str(&lines(&[&address, "--json", "--count", "1"])[0]).expect("JSON");
    assert!(all["memory"].is_object() && all["server"].is_null());
}

#[test]
fn topics_are_the_columns_in_their_order() {
    let vitald = Vitald::start();
    let url = format!("http://{}/", vitald.address);
    let topics = ["--topics", "memory.usage,server.tasks", "--topics", "load.one"];
    let lines = lines(&[&[url.as_str()][..], &topics, &["--count", "2"]].concat());
    let names: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(names[..3], ["UTC", "usage", "running"], "{lines:#?}");
    assert_eq!(names.last(), Some(&"one"));
    assert_eq!(lines[3].split_whitespace().count(), names.len());
    assert!(lines[0].contains("-server.tasks-"), "{lines:#?}");
}

#[test]
fn a_path_of_every_row_has_a_column_of_each() {
    let (address, _server) = speaking(vec![
        json!({"type": "subscribed", "interval_ms": 1000}),
        sample(
            1,
            json!({"networks": [{"name": "eth0", "rx_bytes_per_s": 2048},
            {"name": "wlan0", "rx_bytes_per_s": 512}]}),
        ),
    ]);
    let topics = "networks.*.rx_bytes_per_s";
    let lines = lines(&[&address, "--topics", topics, "--count", "1"]);
    let expected = ["         eth0- wlan0", "     UTC    rx    rx", "           B/s   B/s"];
    assert_eq!(lines[..3], expected);
    assert_eq!(lines[3], "00:00:01  2.0K   512");
}

#[test]
fn a_message_that_comes_over_several_lines_is_printed_as_one() {
    let message = "{\"type\":\"metrics\",\n \"seq\":1,\"disks\":[{\"name\":\"\u{9b}2J\u{7f}\"}]}";
    let (address, _server) =
        saying(vec![json!({"type": "subscribed"}).to_string(), message.into()]);
    let expected = r#"{"type":"metrics",  "seq":1,"disks":[{"name":"\u009b2J\u007f"}]}"#;
    assert_eq!(lines(&[&address, "--json", "--count", "1"]), [expected]);
}

#[test]
fn an_interval_is_asked_for() {
    let (address, server) = speaking(vec![
        json!({"type": "subscribed", "interval_ms": 5000}),
        sample(1, json!({"cpu": {"usage": 1}})),
    ]);
    assert_eq!(lines(&[&address, "--topics", "cpu.usage", "-i", "5s", "--count", "1"]).len(), 4);
    let asked = server.join().expect("it has been asked");
    assert_eq!(asked["topics"], json!(["cpu.usage"]));
    assert_eq!(asked["interval_ms"], 5000);
}

#[test]
fn a_topic_that_is_not_known_is_refused_in_the_servers_words() {
    let vitald = Vitald::start();
    let address = vitald.address.to_string();
    let sentence = refusal(watch(&[&address, "--topics", "cpu,nope"]), 1);
    assert_eq!(sentence, format!("vitald: {address}: unknown metric path \"nope\""));
}

#[test]
fn wrong_use_is_one_sentence_and_status_2() {
    for (arguments, part) in [
        (&["https://h/"][..], "ssh -L"),
        (&["h:port"], "\"h:port\" is not an address"),
        (&["http://me:hush@h"], "--token-file"),
        (&["a", "b"], "unexpected argument \"b\""),
        (&["--count", "0"], "--count"),
        (&["--topics", "cpu,,load"], "--topics"),
        (&["-i", "1ms"], "--interval"),
        (&["--no-auth"], "--no-auth does not go with watch"),
        (&["-l", "127.0.0.1:1"], "--listen does not go with watch"),
        (&["-c", "/dev/null", "h"], "--config"),
        (&["--token-file", "/nowhere/token", "h"], "--token-file: /nowhere/token"),
        (&["--topics", &"x".repeat(5000), "h"], "--topics"),
    ] {
        let sentence = refusal(watch(arguments), 2);
        assert!(sentence.contains(part) && !sentence.contains("hush"), "{sentence}");
    }
}

#[test]
fn a_first_connection_that_fails_is_told_with_address_cause_and_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    let sentence = refusal(watch(&[&address]), 1);
    for part in [address.as_str(), "Connection refused", "start vitald there"] {
        assert!(sentence.contains(part), "{sentence}");
    }
    let (address, _server) = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let sentence = refusal(watch(&[&address]), 1);
    assert!(sentence.contains("path prefix") && sentence.contains("404"), "{sentence}");
    let (address, _server) = answering("SSH-2.0-OpenSSH\r\n");
    let sentence = refusal(watch(&[&address]), 1);
    assert!(sentence.contains("see whether it is a vitald"), "{sentence}");
}

#[test]
fn without_an_address_it_watches_where_this_hosts_own_listens() {
    let path = socket_path("watched");
    let listen = format!("unix:{}", path.display());
    let _vitald = Vitald::start_with(&["-l", &listen]);
    let output = run(watcher(&["--count", "1"]).env("VITALD_LISTEN", &listen));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(&[&listen, "--count", "2"]).len(), 5);
}

#[test]
fn nobody_who_reads_is_a_quiet_end_at_once_however_long_the_interval() {
    let vitald = Vitald::start_with(&["-i", "1m"]);
    let mut watching = Watching::start(&[&vitald.address.to_string()]);
    // The first sample is that of the greeting: nobody waits a minute for a line.
    for _ in 0..3 {
        assert!(!watching.line().is_empty());
    }
    drop(watching.out.take());
    assert_eq!(watching.end().code(), Some(0));
    let mut error = String::new();
    watching.error.read_to_string(&mut error).expect("it is text");
    assert!(error.lines().all(|line| line.starts_with("alert ")), "{error}");
}

#[test]
fn a_server_that_is_started_again_is_watched_again_under_a_new_head() {
    let first = Vitald::start_with(&["-i", "500ms"]);
    let address = first.address.to_string();
    let mut watching = Watching::start(&[&address]);
    let groups = watching.line();
    watching.line();
    drop(first);
    let gone = watching.error_with("is gone");
    assert!(gone.contains(&address), "{gone}");
    let mut again = command();
    again.args(["-l", &address, "-i", "500ms", "--log-level", "warn"]);
    let _second = Vitald::start_as(&mut again);
    watching.error_with("is back");
    let lines = std::iter::from_fn(|| Some(watching.line()).filter(|line| *line != groups)).count();
    assert!((1..20).contains(&lines), "the head comes before it would have come anyway");
    assert!(watching.line().contains("UTC"));
}

#[test]
fn a_server_that_goes_once_a_line_was_shown_is_called_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let mut watching = Watching::start(&[&address]);
    let (stream, _) = listener.accept().expect("it is called");
    let mut socket = tungstenite::accept(stream).expect("the handshake succeeds");
    let snapshot = sample(1, json!({"cpu": {"usage": 1}}));
    let hello = json!({"type": "hello", "protocol": 1, "interval_ms": 1000, "snapshot": snapshot});
    socket.send(Message::text(hello.to_string())).expect("it is heard");
    assert!((0..4).any(|_| watching.line().starts_with("00:00:01 ")), "the greeting has a sample");
    drop(socket);
    watching.error_with("is gone");
    listener.accept().expect("it is called again");
}

#[test]
fn a_viewer_is_told_that_the_server_is_being_stopped() {
    let mut vitald = Vitald::start();
    let mut watching = Watching::start(&[&vitald.address.to_string(), "--json"]);
    watching.line();
    vitald.signal("-TERM");
    assert!(watching.error_with("is gone").contains("it is being stopped"));
    assert!(vitald.wait().success());
}

#[test]
fn signals_end_it_without_a_word() {
    let vitald = Vitald::start();
    for (name, number) in [("-INT", 2), ("-HUP", 1), ("-TERM", 15)] {
        let mut watching = Watching::start_heeding(&[&vitald.address.to_string()]);
        watching.line();
        watching.signal(name);
        assert_eq!(watching.end().signal(), Some(number));
        let mut error = String::new();
        watching.error.read_to_string(&mut error).expect("it is text");
        assert!(error.lines().all(|line| line.starts_with("alert ")), "{error}");
    }
}

const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";

#[test]
fn the_token_is_in_the_handshake_and_in_no_sentence() {
    let (address, server) = answering(UNAUTHORIZED);
    let url = format!("ws://{address}/vitald/");
    let sentence = refusal(run(watcher(&[&url]).env("VITALD_TOKEN", "hush+/=")), 1);
    assert!(sentence.contains("has refused the token") && sentence.contains(&address));
    assert!(!sentence.contains("hush"), "{sentence}");
    let head = server.join().expect("it has been asked");
    assert!(head.starts_with("GET /vitald/ws?history=0 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("Host: {address}\r\n")), "{head}");
    assert!(head.to_lowercase().contains("\r\nauthorization: bearer hush+/=\r\n"), "{head}");
}

#[test]
fn who_has_no_token_sends_none_and_is_told_how_to_give_one() {
    let (address, server) = answering(UNAUTHORIZED);
    let sentence = refusal(watch(&[&address]), 1);
    assert!(sentence.contains("asks for a token") && sentence.contains("--token-file"));
    let head = server.join().expect("it has been asked");
    assert!(!head.to_lowercase().contains("authorization"), "{head}");
}

#[test]
fn a_token_file_comes_before_the_variable_and_one_that_all_can_read_is_warned_of() {
    let path = socket_path("token");
    fs::write(&path, "hush\n").expect("a file can be written");
    let shown = path.to_str().expect("the path is UTF-8");
    for (mode, is_warned) in [(0o600, false), (0o644, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        let (address, server) = answering(UNAUTHORIZED);
        let arguments = [&address, "--token-file", shown];
        let output = run(watcher(&arguments).env("VITALD_TOKEN", "other"));
        let error = String::from_utf8(output.stderr).expect("sentences are UTF-8");
        assert_eq!(error.contains("chmod 600"), is_warned, "{error}");
        assert!(!error.contains("hush"), "{error}");
        let head = server.join().expect("it has been asked").to_lowercase();
        assert!(head.contains("bearer hush\r\n"), "{head}");
    }
    fs::write(&path, "hush\u{7}hush").expect("a file can be written");
    let sentence = refusal(watch(&["h", "--token-file", shown]), 2);
    assert!(sentence.contains("control characters") && !sentence.contains("hush"), "{sentence}");
    fs::remove_file(&path).expect("it is there");
}

#[test]
fn an_alert_is_a_line_on_standard_error() {
    let alert = json!({"type": "alert", "rule": "cpu", "metric": "cpu.usage", "state": "firing",
        "value": 93, "threshold": 90, "since": 0, "severity": "warning"});
    let usage = json!({"cpu": {"usage": 93}});
    let subscribed = json!({"type": "subscribed", "interval_ms": 1000});
    let (address, _server) = speaking(vec![subscribed, alert, sample(1, usage)]);
    let output = watch(&[&address, "--topics", "cpu.usage", "--count", "1"]);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "alert cpu firing: cpu.usage 93 > 90\n");
}

#[test]
fn what_a_server_sends_does_not_reach_the_terminal_as_an_escape_sequence() {
    let evil = json!({"disks": [{"name": "a\u{1b}[2J\nb", "await_ms": 1e300}]});
    let (address, _server) = speaking(vec![
        json!({"type": "subscribed", "interval_ms": 1000}),
        json!({"type": "alert", "rule": "\u{1b}]0;x\u{7}", "metric": "\n", "state": "\r"}),
        sample(1, evil),
        json!({"type": "error", "code": "limit", "message": "\u{9b}2J\nvitald: all is well"}),
    ]);
    let output = watch(&[&address, "--topics", "disks"]);
    assert_eq!(output.status.code(), Some(1));
    for (text, count) in [(output.stdout, 4), (output.stderr, 2)] {
        let text = String::from_utf8(text).expect("it is UTF-8");
        let is_plain = |letter: char| letter == '\n' || !letter.is_control();
        assert!(text.chars().all(is_plain), "{text:?}");
        assert_eq!(text.lines().count(), count, "{text:?}");
    }
}
