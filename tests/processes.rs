//! The process table: on a wire and a clock of the test's own, where each step of a scan is known;
//! and from the binary, on this host.

#[path = "support/frames.rs"]
mod frames;
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frames::{UPGRADE_WITHOUT_HISTORY, client_frame, take_frames, take_switching};
use serde_json::{Value, json};
use support::Vitald;
use vitald::app::App;
use vitald::app::access::Access;
use vitald::app::processes::{WAITING_MAX, WATCHED_FOR};
use vitald::config::{CommandLines, Token};
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::processes::{ORDERS, Order, Table, Wanted};
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use vitald::metrics::source::processes::{ProcessSource, Progress};
use wire::{Wire, run_until, settle};

type Server = Engine<App, Wire, Manual>;

/// A host of which there is nothing to say.
struct Mute;

impl Source for Mute {
    fn read(&mut self, _: Duration, _: &mut Snapshot) {}
}

/// What was done to the reader.
#[derive(Default)]
struct Log {
    begun_ms: Vec<u128>,
    wanted: Vec<Wanted>,
    steps: u64,
    is_held: bool,
}

thread_local! {
    /// The clock of this thread's test, which the reader moves.
    static CLOCK: RefCell<Option<Manual>> = const { RefCell::new(None) };
}

/// A reader of so many steps, each of which lets 0.3 ms pass.
struct Scripted {
    log: Arc<Mutex<Log>>,
    steps_each: usize,
    step: usize,
    is_failing: bool,
    wanted: Wanted,
    scans: usize,
    table: Table,
}

impl ProcessSource for Scripted {
    fn begin(&mut self, now: Duration, wall_ms: u64, wanted: Wanted) {
        let mut log = self.log.lock().unwrap();
        log.begun_ms.push(now.as_millis());
        log.wanted.push(wanted);
        log.is_held = true;
        (self.step, self.wanted) = (0, wanted);
        self.table.time_ms = wall_ms;
    }

    fn step(&mut self, _: Duration, _: usize) -> Progress {
        self.log.lock().unwrap().steps += 1;
        if self.is_failing {
            return Progress::Failed;
        }
        CLOCK.with_borrow(|clock| {
            clock.iter().for_each(|clock| clock.advance(Duration::from_micros(300)));
        });
        self.step += 1;
        if self.step < self.steps_each {
            return Progress::Pending;
        }
        self.scans += 1;
        self.table.clear();
        (self.table.total, self.table.covers) = (self.scans, self.wanted);
        for order in ORDERS {
            for pid in 1..=self.wanted.rows(order) as u32 {
                self.table.push(order, pid, |row| {
                    row.name.push_str("name");
                    row.command.push_str("secret");
                    row.cpu_usage = Some(12.345);
                });
            }
        }
        Progress::Done
    }

    fn table(&self) -> Option<&Table> {
        (self.scans > 1).then_some(&self.table)
    }

    fn release(&mut self) {
        self.scans = 0;
        self.log.lock().unwrap().is_held = false;
    }

    fn memory_ceiling(&self) -> usize {
        1_000_000
    }
}

struct Host {
    server: Server,
    wire: Wire,
    log: Arc<Mutex<Log>>,
}

impl Host {
    fn with(limits: Limits, steps_each: usize, is_failing: bool) -> Host {
        Host::made(limits, steps_each, is_failing, CommandLines::Authenticated)
    }

    fn made(limits: Limits, steps_each: usize, is_failing: bool, commands: CommandLines) -> Host {
        let access = Access::new(&[], &[], None);
        Host::with_access(limits, steps_each, is_failing, commands, access)
    }

    fn with_access(
        limits: Limits,
        steps_each: usize,
        is_failing: bool,
        commands: CommandLines,
        access: Access,
    ) -> Host {
        let second = Duration::from_secs(1);
        let metrics = MetricsService::with_source(Box::new(Mute), Facts::default(), second);
        let log = Arc::new(Mutex::new(Log::default()));
        let source = Scripted {
            log: Arc::clone(&log),
            steps_each,
            step: 0,
            is_failing,
            wanted: Wanted::default(),
            scans: 0,
            table: Table::default(),
        };
        let app = App::new(metrics, access, limits.slots());
        let (server, wire) = Wire::engine(limits, app.with_processes(Box::new(source), commands));
        CLOCK.set(Some(wire.clock()));
        Host { server, wire, log }
    }

    fn new() -> Host {
        Host::with(Limits::default(), 10, false)
    }

    fn send(&mut self, client: usize, target: &str) {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.wire.send(client, head.as_bytes());
        settle(&mut self.server);
    }

    /// Asks on a connection of its own.
    fn ask(&mut self, target: &str) -> usize {
        let client = self.wire.connect(WIDE);
        self.send(client, target);
        client
    }

    fn run_for(&mut self, milliseconds: u64) {
        let until = self.wire.now_ms() + milliseconds;
        run_until(&mut self.server, &self.wire, until);
    }

    fn table(&self, client: usize) -> Value {
        let answer = self.wire.text(client);
        let (head, body) = answer.split_once("\r\n\r\n").expect("there is an answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head} {body}");
        serde_json::from_str(body).expect("it is JSON")
    }

    fn scans(&self) -> usize {
        self.log.lock().unwrap().begun_ms.len()
    }

    fn tasks(&self) -> u64 {
        self.server.task_counts().running
    }
}

const WIDE: usize = 1 << 20;

const CPU: &str = "/api/v1/processes";

#[test]
fn a_first_request_is_answered_when_there_are_rates() {
    let mut host = Host::new();
    let client = host.ask(CPU);
    host.run_for(450);
    assert_eq!((host.wire.text(client).as_str(), host.scans()), ("", 1));
    host.run_for(150);
    let table = host.table(client);
    assert_eq!((&table["sort"], &table["total"]), (&"cpu".into(), &2.into()));
    assert!(table["t"].is_u64());
    let rows = table["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["pid"]), (20, &1.into()));
    assert_eq!((&rows[0]["cpu_usage"], &rows[0]["user"]), (&12.3.into(), &Value::Null));
}

#[test]
fn others_are_served_between_the_slices_of_a_scan() {
    let mut host = Host::with(Limits::default(), 1000, false);
    host.ask(CPU);
    let mut steps = 0;
    for _ in 0..50 {
        let client = host.ask("/healthz");
        assert!(host.wire.text(client).ends_with("ok"));
        host.run_for(5);
        // A slice is over at half a millisecond: two steps, each of which takes 0.3 ms.
        let before = std::mem::replace(&mut steps, host.log.lock().unwrap().steps);
        assert!((1..=4).contains(&(steps - before)), "{}", steps - before);
    }
}

#[test]
fn a_watched_table_answers_at_once_and_is_kept_up() {
    let mut host = Host::new();
    host.ask(CPU);
    host.run_for(3000);
    let scans = host.scans();
    let client = host.ask("/api/v1/processes?limit=7");
    assert_eq!(host.table(client)["rows"].as_array().unwrap().len(), 7);
    host.run_for(5000);
    assert!((4..=6).contains(&(host.scans() - scans)), "one a second");
}

#[test]
fn who_asks_for_less_takes_nothing_from_who_asks_for_more() {
    let mut host = Host::new();
    host.ask("/api/v1/processes?limit=50");
    host.run_for(3000);
    host.ask("/api/v1/processes?limit=7");
    host.run_for(2000);
    let client = host.ask("/api/v1/processes?limit=50");
    assert_eq!(host.table(client)["rows"].as_array().unwrap().len(), 50);
}

#[test]
fn who_asked_for_more_and_went_is_forgotten_while_others_go_on() {
    let mut host = Host::new();
    host.ask("/api/v1/processes?limit=100");
    let rows = |host: &Host| host.log.lock().unwrap().wanted.last().unwrap().rows(Order::Cpu);
    for second in 0..30 {
        host.ask("/api/v1/processes?limit=7");
        host.run_for(1000);
        // It is kept for as long as anybody who asks; two windows are enough.
        match second {
            ..=8 => assert_eq!(rows(&host), 100, "{second}"),
            22.. => assert_eq!(rows(&host), 7, "{second}"),
            _ => {}
        }
    }
}

#[test]
fn a_table_that_nobody_asks_for_is_given_back() {
    let mut host = Host::new();
    host.ask(CPU);
    let tasks = host.tasks();
    host.run_for(WATCHED_FOR.as_millis() as u64 - 1000);
    assert!(host.log.lock().unwrap().is_held);
    host.run_for(3000);
    assert!(!host.log.lock().unwrap().is_held);
    assert_eq!(host.tasks(), tasks - 1);
    let scans = host.scans();
    host.run_for(60_000);
    assert_eq!(host.scans(), scans);
    // And asked for again it is made again.
    let client = host.ask(CPU);
    host.run_for(600);
    assert_eq!(host.table(client)["total"], 2);
}

#[test]
fn an_order_that_is_new_waits_for_the_next_scan_and_that_comes_soon() {
    let mut host = Host::new();
    host.ask(CPU);
    // Just after a scan: the next one is due in most of a second.
    host.run_for(1600);
    let scans = host.scans();
    let client = host.ask("/api/v1/processes?sort=memory&limit=3");
    host.run_for(550);
    assert_eq!(host.scans(), scans + 1);
    let table = host.table(client);
    assert_eq!(table["sort"], "memory");
    assert_eq!(table["rows"].as_array().unwrap().len(), 3);
    let wanted = *host.log.lock().unwrap().wanted.last().unwrap();
    assert_eq!((wanted.rows(Order::Cpu), wanted.rows(Order::Memory)), (20, 3));
}

#[test]
fn who_waits_has_its_limit_and_beyond_it_one_is_asked_to_try_again() {
    let mut host = Host::new();
    let targets = ["/api/v1/processes?limit=1", "/api/v1/processes?sort=io&limit=2"];
    let clients: Vec<usize> = (0..WAITING_MAX).map(|index| host.ask(targets[index % 2])).collect();
    let refused = host.ask(CPU);
    let text = host.wire.text(refused);
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("Retry-After: "), "{text}");
    host.run_for(700);
    for (index, client) in clients.into_iter().enumerate() {
        assert_eq!(host.table(client)["rows"].as_array().unwrap().len(), 1 + index % 2);
    }
}

#[test]
fn one_that_has_gone_leaves_its_place_to_another() {
    let mut host = Host::new();
    for _ in 0..3 * WAITING_MAX {
        let client = host.ask(CPU);
        host.wire.fail(client, std::io::ErrorKind::ConnectionReset);
        settle(&mut host.server);
    }
    let client = host.ask(CPU);
    host.run_for(600);
    assert_eq!(host.table(client)["total"], 2);
}

#[test]
fn answers_to_different_questions_are_made_over_several_turns_and_all_come() {
    let mut host = Host::new();
    let clients: Vec<usize> =
        (1..=40).map(|limit| host.ask(&format!("/api/v1/processes?limit={limit}"))).collect();
    host.run_for(700);
    for (client, limit) in clients.into_iter().zip(1..) {
        assert_eq!(host.table(client)["rows"].as_array().unwrap().len(), limit);
    }
}

/// Opens a WebSocket that is sent no samples.
fn open(host: &mut Host, capacity: usize) -> usize {
    let client = host.wire.connect(capacity);
    host.wire.send(client, UPGRADE_WITHOUT_HISTORY);
    settle(&mut host.server);
    let mut bytes = host.wire.take(client, usize::MAX);
    assert!(take_switching(&mut bytes));
    say(host, client, &json!({"type": "unsubscribe", "sub": "default"}));
    host.wire.take(client, usize::MAX);
    client
}

fn say(host: &mut Host, client: usize, message: &Value) {
    host.wire.send(client, &client_frame(0x81, message.to_string().as_bytes()));
    settle(&mut host.server);
}

fn get(id: u64) -> Value {
    json!({"type": "get", "what": "processes", "limit": 3, "id": id})
}

/// What a client has been told, with what it has taken before of a message.
fn told(host: &Host, client: usize, bytes: &mut Vec<u8>) -> Vec<Value> {
    bytes.extend(host.wire.take(client, usize::MAX));
    let frames = take_frames(bytes);
    frames.iter().map(|frame| serde_json::from_slice(&frame.payload).expect("JSON")).collect()
}

#[test]
fn a_get_waits_for_a_scan_and_others_are_answered_meanwhile() {
    let mut host = Host::new();
    let client = open(&mut host, WIDE);
    say(&mut host, client, &get(1));
    say(&mut host, client, &json!({"type": "ping", "id": 2}));
    let answers = told(&host, client, &mut Vec::new());
    assert_eq!((answers.len(), &answers[0]["type"]), (1, &json!("pong")));
    host.run_for(600);
    let answers = told(&host, client, &mut Vec::new());
    assert_eq!(
        (answers.len(), &answers[0]["type"], &answers[0]["id"]),
        (1, &json!("processes"), &json!(1))
    );
    assert_eq!(answers[0]["rows"].as_array().unwrap().len(), 3);
    assert_eq!(answers[0]["rows"][0]["command"], Value::Null);
    // Now there is a table.
    say(&mut host, client, &get(3));
    assert_eq!(told(&host, client, &mut Vec::new())[0]["id"], 3);
}

#[test]
fn one_get_of_a_connection_waits_at_a_time_and_as_many_in_all_as_requests() {
    let mut host = Host::new();
    let first = open(&mut host, WIDE);
    say(&mut host, first, &get(1));
    say(&mut host, first, &get(2));
    let refused = |host: &Host, client, id: u64| {
        let answers = told(host, client, &mut Vec::new());
        let shown = (answers.len(), &answers[0]["code"], &answers[0]["id"]);
        assert_eq!(shown, (1, &json!("limit"), &json!(id)));
    };
    refused(&host, first, 2);
    (2..WAITING_MAX).for_each(|_| {
        host.ask(CPU);
    });
    let last = open(&mut host, WIDE);
    say(&mut host, last, &get(3));
    let late = open(&mut host, WIDE);
    say(&mut host, late, &get(4));
    refused(&host, late, 4);
    host.run_for(700);
    for (client, id) in [(first, 1), (last, 3)] {
        let answers = told(&host, client, &mut Vec::new());
        assert_eq!((&answers[0]["type"], &answers[0]["id"]), (&json!("processes"), &json!(id)));
    }
}

#[test]
fn a_websocket_that_ends_leaves_its_place_to_another() {
    let mut host = Host::new();
    for _ in 0..3 * WAITING_MAX {
        let client = open(&mut host, WIDE);
        say(&mut host, client, &get(1));
        host.wire.fail(client, std::io::ErrorKind::ConnectionReset);
        settle(&mut host.server);
    }
    let client = open(&mut host, WIDE);
    say(&mut host, client, &get(5));
    host.run_for(600);
    let answers = told(&host, client, &mut Vec::new());
    assert_eq!((&answers[0]["type"], &answers[0]["id"]), (&json!("processes"), &json!(5)));
}

#[test]
fn who_has_not_taken_the_answers_before_gets_the_table_of_a_later_scan() {
    // Two answers of the server's figures are half of this, and with a third there is no room for
    // the table.
    let limits = Limits { reply_bytes_max: 8000, ..Limits::default() };
    let mut host = Host::with(limits, 10, false);
    let (client, narrow) = (open(&mut host, WIDE), open_narrow(&mut host));
    for reader in [client, narrow] {
        let request = json!({"type": "get", "what": "processes", "limit": 22, "id": 1});
        say(&mut host, reader, &request);
    }
    for _ in 0..3 {
        say(&mut host, narrow, &json!({"type": "get", "what": "server"}));
    }
    host.run_for(600);
    let time_of = |answers: &[Value]| {
        let table = answers.iter().find(|answer| answer["type"] == "processes");
        table.map(|table| table["t"].as_u64().unwrap())
    };
    let first = time_of(&told(&host, client, &mut Vec::new())).expect("who takes it has it");
    let (mut bytes, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        answers.extend(told(&host, narrow, &mut bytes));
        host.run_for(10);
    }
    assert_eq!(answers.len(), 4);
    assert!(time_of(&answers) > Some(first));
}

/// Opens a WebSocket whose client has room for few bytes.
fn open_narrow(host: &mut Host) -> usize {
    let client = host.wire.connect(100);
    host.wire.send(client, UPGRADE_WITHOUT_HISTORY);
    let mut bytes = Vec::new();
    for _ in 0..100 {
        settle(&mut host.server);
        bytes.extend(host.wire.take(client, usize::MAX));
    }
    assert!(take_switching(&mut bytes));
    host.wire.send(client, &client_frame(0x81, br#"{"type":"unsubscribe","sub":"default"}"#));
    for _ in 0..100 {
        settle(&mut host.server);
        host.wire.take(client, usize::MAX);
    }
    client
}

#[test]
fn gets_are_told_when_processes_cannot_be_listed_or_there_is_no_task_to_be_had() {
    for (tasks_max, is_failing) in [(64, true), (1, false)] {
        let limits = Limits { tasks_max, ..Limits::default() };
        let mut host = Host::with(limits, 10, is_failing);
        let client = open(&mut host, WIDE);
        say(&mut host, client, &get(1));
        host.run_for(100);
        let answers = told(&host, client, &mut Vec::new());
        let shown = (answers.len(), &answers[0]["code"], &answers[0]["id"]);
        assert_eq!(shown, (1, &json!("limit"), &json!(1)));
    }
}

#[test]
fn a_stop_does_not_wait_for_a_scan() {
    let mut host = Host::new();
    let client = host.ask(CPU);
    host.run_for(50);
    assert!(host.log.lock().unwrap().is_held);
    host.server.shutdown();
    host.run_for(100);
    let text = host.wire.text(client);
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert!(!host.log.lock().unwrap().is_held);
    host.wire.end(client);
    run_until(&mut host.server, &host.wire, 2000);
    assert_eq!((host.tasks(), host.server.task_counts().forced), (0, 0));
}

#[test]
fn a_host_that_cannot_list_processes_says_so_each_time() {
    let mut host = Host::with(Limits::default(), 10, true);
    for _ in 0..2 {
        let client = host.ask(CPU);
        host.run_for(100);
        let text = host.wire.text(client);
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("cannot be listed"), "{text}");
        assert!(!host.log.lock().unwrap().is_held);
    }
}

#[test]
fn without_room_for_a_task_nothing_waits() {
    // The tick takes the only place.
    let mut host = Host::with(Limits { tasks_max: 1, ..Limits::default() }, 10, false);
    let client = host.ask(CPU);
    assert!(host.wire.text(client).starts_with("HTTP/1.1 503 "));
    host.run_for(2000);
    assert_eq!(host.scans(), 0);
}

#[test]
fn command_lines_are_told_to_those_they_are_meant_for() {
    for (commands, to_unix, to_tcp) in [
        (CommandLines::Always, "secret".into(), "secret".into()),
        // Nobody has shown a token; a reverse proxy comes by a Unix socket for anybody.
        (CommandLines::Authenticated, Value::Null, Value::Null),
        (CommandLines::Never, Value::Null, Value::Null),
    ] {
        let mut host = Host::made(Limits::default(), 10, false, commands);
        let (unix, tcp) = (host.wire.connect_unix(WIDE), host.wire.connect(WIDE));
        for client in [unix, tcp] {
            host.send(client, CPU);
        }
        host.run_for(600);
        assert_eq!(host.table(unix)["rows"][0]["command"], to_unix, "{commands:?}");
        assert_eq!(host.table(tcp)["rows"][0]["command"], to_tcp, "{commands:?}");
    }
}

#[test]
fn command_lines_are_read_only_for_those_who_may_see_them() {
    for commands in [CommandLines::Always, CommandLines::Authenticated, CommandLines::Never] {
        let mut host = Host::made(Limits::default(), 10, false, commands);
        for client in [host.wire.connect_unix(WIDE), host.wire.connect(WIDE)] {
            host.send(client, CPU);
        }
        host.run_for(600);
        let log = host.log.lock().unwrap();
        let is_read = log.wanted.iter().any(|wanted| wanted.commands());
        assert_eq!(is_read, commands == CommandLines::Always, "{commands:?}");
    }
}

#[test]
fn command_lines_are_shown_to_those_who_have_shown_the_token() {
    for (commands, is_shown) in [
        (CommandLines::Always, true),
        (CommandLines::Authenticated, true),
        (CommandLines::Never, false),
    ] {
        let token = Token::new("correct-horse").unwrap();
        let access = Access::new(&[], &[], None).with_token(Some(&token));
        let mut host = Host::with_access(Limits::default(), 10, false, commands, access);
        let client = host.wire.connect(WIDE);
        let bearer = b"Authorization: Bearer correct-horse\r\n\r\n";
        let get = |target| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n");
        host.wire.send(client, &[get(CPU).as_bytes(), bearer].concat());
        host.run_for(600);
        let rows = host.table(client)["rows"].take();
        assert_eq!(rows[0]["command"].as_str() == Some("secret"), is_shown, "{commands:?}");
        // A WebSocket is remembered for what its handshake has shown.
        let socket = host.wire.connect(WIDE);
        let upgrade = UPGRADE_WITHOUT_HISTORY.strip_suffix(b"\r\n").unwrap();
        host.wire.send(socket, &[upgrade, bearer].concat());
        settle(&mut host.server);
        let mut bytes = host.wire.take(socket, usize::MAX);
        take_switching(&mut bytes);
        let ask = json!({"type": "get", "what": "processes", "id": 1}).to_string();
        host.wire.send(socket, &client_frame(0x81, ask.as_bytes()));
        host.run_for(600);
        bytes.extend(host.wire.take(socket, usize::MAX));
        let frames = take_frames(&mut bytes);
        let texts = frames.iter().filter_map(|frame| serde_json::from_slice(&frame.payload).ok());
        let answer = texts.into_iter().find(|message: &Value| message["type"] == "processes");
        let rows = answer.expect("it is answered")["rows"].take();
        assert_eq!(rows[0]["command"].as_str() == Some("secret"), is_shown, "{commands:?}");
    }
}

#[test]
fn the_ceiling_has_the_table_in_it() {
    let host = Host::new();
    let metrics = MetricsService::with_source(Box::new(Mute), Facts::default(), WATCHED_FOR);
    let limits = Limits::default();
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    let (without, _) = Wire::engine(limits, app);
    assert!(host.server.memory_ceiling() >= without.memory_ceiling() + 1_000_000);
}

#[test]
fn the_binary_tells_of_this_hosts_processes() {
    let vitald = Vitald::start();
    for sort in ["cpu", "memory", "io"] {
        let answer = vitald.get(&format!("/api/v1/processes?sort={sort}&limit=5"), "");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head} {body}");
        let table: Value = serde_json::from_str(body).expect("it is JSON");
        assert_eq!(table["sort"], sort);
        assert!(table["total"].as_u64() >= Some(1), "{table}");
        let rows = table["rows"].as_array().expect("rows");
        assert!((1..=5).contains(&rows.len()), "{table}");
        let mut keys: Vec<&str> =
            rows[0].as_object().expect("a row").keys().map(String::as_str).collect();
        keys.sort_unstable();
        let expected = [
            "command",
            "cpu_usage",
            "name",
            "pid",
            "read_bytes_per_s",
            "rss",
            "started",
            "state",
            "threads",
            "user",
            "write_bytes_per_s",
        ];
        assert_eq!(keys, expected);
    }
    let refused = vitald.get("/api/v1/processes?limit=1000", "");
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("limit"), "{refused}");
}
