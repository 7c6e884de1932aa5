//! `get` on a WebSocket: the same answers as by HTTP, in as many messages as it takes.

#[path = "support/frames.rs"]
mod frames;
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::collections::HashSet;
use std::time::Duration;

use frames::{UPGRADE_WITHOUT_HISTORY, client_frame, take_frames, take_switching};
use serde_json::{Value, json};
use support::{Vitald, close_code, next_of};
use tungstenite::Message;
use vitald::app::App;
use vitald::app::access::Access;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, settle};

const SECOND: Duration = Duration::from_secs(1);
/// Three hours: single samples, rows of ten seconds and rows of a minute.
const SECONDS: u32 = 3 * 3600;
const START_MS: u64 = 1_700_006_400_000;
const PART_BYTES_MAX: usize = 64 * 1024;

/// Figures with as many digits as there are, none of which stands still.
struct Restless(u64);

impl Source for Restless {
    fn read(&mut self, _: Duration, into: &mut Snapshot) {
        self.0 += 1;
        let figure = (self.0 % 997) as f64;
        into.memory.used = Some(1e12 + figure * 1e9);
        into.memory.total = Some(2e12 + figure * 1e9);
        into.memory.available = Some(3e12 + figure * 1e9);
        into.load.one = Some(figure / 10.0);
        into.load.five = Some(figure / 10.0);
        into.load.fifteen = Some(figure / 10.0);
        into.cpu.usage = Some(figure / 10.0);
        into.system.forks_per_s = Some(figure);
    }
}

const METRICS: [&str; 8] = [
    "memory.used",
    "memory.total",
    "memory.available",
    "load.one",
    "load.five",
    "load.fifteen",
    "cpu.usage",
    "system.forks_per_s",
];

/// A server with a past, and a client of it.
struct Past {
    server: Engine<App, Wire, Manual>,
    wire: Wire,
    client: usize,
}

impl Past {
    fn new() -> Past {
        let mut service =
            MetricsService::with_source(Box::new(Restless(0)), Facts::default(), SECOND);
        for second in 0..SECONDS {
            let wall_ms = START_MS + u64::from(second) * 1000;
            service.tick(SECOND * second, wall_ms, second.into(), |_| {});
        }
        let limits = Limits::default();
        let app = App::new(service, Access::new(&[], &[], None), limits.slots());
        let wire = Wire::new();
        wire.clock().advance(Duration::from_millis(START_MS) + SECOND * SECONDS);
        let server = Engine::with_parts(limits, wire.clone(), wire.clock(), app);
        let mut server = server.expect("the limits make sense");
        let client = wire.connect(1 << 20);
        wire.send(client, UPGRADE_WITHOUT_HISTORY);
        settle(&mut server);
        let mut bytes = wire.take(client, usize::MAX);
        assert!(take_switching(&mut bytes));
        assert_eq!(take_frames(&mut bytes).len(), 1, "hello");
        Past { server, wire, client }
    }

    /// The length of each answer on the wire, and what it says.
    fn get(&mut self, request: &Value) -> Vec<(usize, Value)> {
        self.wire.send(self.client, &client_frame(0x81, request.to_string().as_bytes()));
        settle(&mut self.server);
        let mut bytes = self.wire.take(self.client, usize::MAX);
        let frames = take_frames(&mut bytes);
        assert!(bytes.is_empty());
        let answers = frames.iter().map(|frame| {
            let header = if frame.payload.len() < 65_536 { 4 } else { 10 };
            (header + frame.payload.len(), serde_json::from_slice(&frame.payload).expect("JSON"))
        });
        answers.collect()
    }

    fn http(&mut self, target: &str) -> (String, String) {
        let client = self.wire.connect(1 << 20);
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.wire.send(client, head.as_bytes());
        settle(&mut self.server);
        let text = self.wire.text(client);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }
}

/// The series of all parts, put together as a reader does.
fn together(parts: &[(usize, Value)]) -> Value {
    let mut series: Vec<Value> = Vec::new();
    for one in parts.iter().flat_map(|(_, part)| part["series"].as_array().expect("series")) {
        match series.iter_mut().find(|known| known["metric"] == one["metric"]) {
            Some(known) => {
                let points = one["points"].as_array().expect("points").iter().cloned();
                known["points"].as_array_mut().expect("points").extend(points);
            }
            None => series.push(one.clone()),
        }
    }
    series.into()
}

#[test]
fn parts_put_together_are_the_answer_by_http() {
    let mut past = Past::new();
    let parts = past.get(&json!({
        "type": "get", "what": "history", "metric": ["memory.used", "cpu.usage"], "since": 0, "id": 2,
    }));
    assert_eq!(parts.len(), 2);
    for ((length, part), number) in parts.iter().zip(1..) {
        assert!(*length <= PART_BYTES_MAX, "{length}");
        let place = (&part["type"], &part["id"], &part["part"], &part["parts"]);
        assert_eq!(place, (&json!("history"), &json!(2), &json!(number), &json!(2)));
    }
    assert!(parts[0].0 > PART_BYTES_MAX - 100, "the first part is full: {}", parts[0].0);
    let (_, body) = past.http("/api/v1/history?metric=memory.used&metric=cpu.usage&since=0");
    assert_eq!(together(&parts), serde_json::from_str::<Value>(&body).expect("JSON"));
}

#[test]
fn who_does_not_say_how_many_points_gets_as_many_as_fit() {
    let mut past = Past::new();
    let request = json!({"type": "get", "what": "history", "metric": METRICS, "since": 0});
    let parts = past.get(&request);
    let bytes: usize = parts.iter().map(|(length, _)| length).sum();
    assert!((40_000..=128 * 1024).contains(&bytes), "{bytes}");
    let series = together(&parts);
    let series = series.as_array().expect("series");
    assert_eq!(series.len(), METRICS.len());
    for (one, metric) in series.iter().zip(METRICS) {
        assert_eq!(one["metric"], metric);
        assert!(one["points"].as_array().expect("points").len() > 100);
    }
}

#[test]
fn who_asks_for_more_points_than_an_answer_holds_is_told_and_stays() {
    let mut past = Past::new();
    let request = json!({
        "type": "get", "what": "history", "metric": METRICS, "since": 0, "points": 2500, "id": "a",
    });
    let answers = past.get(&request);
    let [(_, error)] = &answers[..] else { panic!("{answers:?}") };
    let shown = (&error["type"], &error["code"], &error["id"]);
    assert_eq!(shown, (&json!("error"), &json!("limit"), &json!("a")));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("fewer metrics or points")));
    let pong = past.get(&json!({"type": "ping"}));
    assert_eq!(pong[0].1["type"], "pong");
}

#[test]
fn many_gets_at_once_are_all_answered_in_order() {
    let mut past = Past::new();
    let bytes: Vec<u8> = (0..19)
        .flat_map(|id| {
            let request = json!({
                "type": "get", "what": "history", "metric": ["memory.used", "cpu.usage"],
                "since": 0, "id": id,
            });
            client_frame(0x81, request.to_string().as_bytes())
        })
        .collect();
    past.wire.send(past.client, &bytes);
    settle(&mut past.server);
    let mut bytes = Vec::new();
    // The client's buffer holds some of it at a time.
    loop {
        let more = past.wire.take(past.client, usize::MAX);
        settle(&mut past.server);
        if more.is_empty() {
            break;
        }
        bytes.extend(more);
    }
    let ids: Vec<Value> = take_frames(&mut bytes)
        .iter()
        .map(|frame| serde_json::from_slice::<Value>(&frame.payload).expect("JSON"))
        .map(|answer| json!([answer["id"], answer["part"]]))
        .collect();
    let expected: Vec<Value> = (0..19).flat_map(|id| [json!([id, 1]), json!([id, 2])]).collect();
    assert_eq!(ids, expected);
}

fn ask(socket: &mut tungstenite::WebSocket<std::net::TcpStream>, request: &Value) {
    socket.send(Message::text(request.to_string())).expect("it reads");
}

#[test]
fn the_binary_answers_each_get_with_its_id() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws?history=0");
    let request =
        json!({"type": "get", "what": "processes", "sort": "memory", "limit": 3, "id": 1});
    ask(&mut socket, &request);
    ask(&mut socket, &json!({"type": "get", "what": "server", "id": "two"}));
    let server = next_of(&mut socket, "server");
    assert_eq!(server["id"], "two");
    let keys = |value: &Value| -> HashSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let by_http = vitald.get("/api/v1/server", "");
    let (_, body) = by_http.split_once("\r\n\r\n").expect("a head and a body");
    let by_http: Value = serde_json::from_str(body).expect("JSON");
    let beside = HashSet::from(["type".to_owned(), "id".to_owned()]);
    assert_eq!(keys(&server), &keys(&by_http) | &beside);
    // There are no rates before a second scan, and samples come meanwhile.
    let processes = next_of(&mut socket, "processes");
    let shown = (&processes["id"], &processes["sort"]);
    assert_eq!(shown, (&json!(1), &json!("memory")));
    assert!(processes["total"].as_u64() >= Some(1) && processes["t"].is_u64());
    assert!((1..=3).contains(&processes["rows"].as_array().expect("rows").len()));
    ask(&mut socket, &json!({"type": "get", "what": "history", "metric": "memory.usage"}));
    let history = next_of(&mut socket, "history");
    assert!(history.get("id").is_none() && history.get("parts").is_none());
    assert_eq!(history["series"][0]["metric"], "memory.usage");
    assert!(!history["series"][0]["points"].as_array().expect("points").is_empty());
}

#[test]
fn what_makes_no_sense_is_refused_in_the_words_of_http() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws?history=0");
    for (target, fields, code) in [
        ("/api/v1/history", json!({"what": "history"}), "bad_request"),
        (
            "/api/v1/history?metric=cpu.usage&points=0",
            json!({"what": "history", "metric": "cpu.usage", "points": 0}),
            "bad_request",
        ),
        (
            "/api/v1/history?metric=cpu.usage&since=x",
            json!({"what": "history", "metric": "cpu.usage", "since": "x"}),
            "bad_request",
        ),
        (
            "/api/v1/history?metric=cpu.colour",
            json!({"what": "history", "metric": ["cpu.colour"]}),
            "unknown_topic",
        ),
        ("/api/v1/processes?limit=101", json!({"what": "processes", "limit": 101}), "bad_request"),
    ] {
        let answer = vitald.get(target, "");
        let (_, sentence) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let mut request = json!({"type": "get", "id": 5});
        for (name, value) in fields.as_object().expect("an object") {
            request[name] = value.clone();
        }
        ask(&mut socket, &request);
        let error = next_of(&mut socket, "error");
        assert_eq!((&error["code"], &error["id"]), (&json!(code), &json!(5)));
        assert_eq!(error["message"].as_str(), Some(sentence.trim_end()), "{target}");
    }
}

#[test]
fn more_than_twenty_gets_in_a_second_are_too_many() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws?history=0");
    // Whatever border between two seconds they straddle.
    for _ in 0..41 {
        let request = json!({"type": "get", "what": "server"});
        if socket.send(Message::text(request.to_string())).is_err() {
            break;
        }
    }
    assert_eq!(close_code(&mut socket), 1008);
}
