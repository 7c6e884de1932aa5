//! What vitald tells of itself: on a wire and a clock of the test's own, where every figure is
//! known, and from the binary.

#[path = "support/frames.rs"]
mod frames;
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::io::Write;
use std::time::Duration;

use frames::UPGRADE_WITHOUT_HISTORY;
use serde_json::{Value, json};
use support::{Vitald, answer, next_of};
use vitald::app::App;
use vitald::app::access::Access;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::ledger::{RESOURCES, Resource};
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, run_until, settle};

type Server = Engine<App, Wire, Manual>;

/// A host of which there is nothing to say.
struct Mute;

impl Source for Mute {
    fn read(&mut self, _: Duration, _: &mut Snapshot) {}
}

const WIDE: usize = 1 << 20;

/// Clients' frames, masked with zeros.
const CLOSE: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
const BINARY: &[u8] = &[0x82, 0x81, 0, 0, 0, 0, b'x'];
const PONG: &[u8] = &[0x8a, 0x80, 0, 0, 0, 0];
const UNMASKED: &[u8] = &[0x81, 0x01, b'x'];

/// vitald, sampling each second.
fn start(limits: Limits) -> (Server, Wire) {
    let second = Duration::from_secs(1);
    let metrics = MetricsService::with_source(Box::new(Mute), Facts::default(), second);
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    Wire::engine(limits, app)
}

fn head(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// What comes of a request: the head and the body.
fn ask(server: &mut Server, wire: &Wire, client: usize, target: &str) -> (String, String) {
    wire.send(client, &head(target));
    settle(server);
    let answer = wire.text(client);
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head.to_owned(), body.to_owned())
}

fn ask_json(server: &mut Server, wire: &Wire, client: usize, target: &str) -> Value {
    let (head, body) = ask(server, wire, client, target);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head} {body}");
    assert!(head.contains("\r\nCache-Control: no-store\r\n"), "{head}");
    serde_json::from_str(&body).expect("it is JSON")
}

fn open_websocket(server: &mut Server, wire: &Wire, capacity: usize) -> usize {
    let client = wire.connect(capacity);
    wire.send(client, UPGRADE_WITHOUT_HISTORY);
    settle(server);
    client
}

/// The entries of a map that are not zero.
fn those_counted(map: &Value) -> Value {
    let map = map.as_object().expect("a map").iter();
    map.filter(|(_, count)| **count != 0)
        .map(|(name, count)| (name.clone(), count.clone()))
        .collect()
}

/// Lengths of the WebSocket text messages in what a client was sent, with their headers.
fn messages(bytes: &[u8]) -> Vec<usize> {
    let start = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an upgrade") + 4;
    let (mut rest, mut found) = (&bytes[start..], Vec::new());
    while let &[first, length, ..] = rest {
        let length = match length {
            126 => 4 + usize::from(u16::from_be_bytes([rest[2], rest[3]])),
            short => 2 + usize::from(short),
        };
        found.extend((first == 0x81).then_some(length));
        rest = &rest[length..];
    }
    found
}

#[test]
fn connections_are_counted_by_state_and_by_reason_as_they_are() {
    let (mut server, wire) = start(Limits::default());
    let asking = wire.connect(WIDE);
    let viewer = open_websocket(&mut server, &wire, WIDE);
    // Two have said goodbye and not ended yet; the second did not like what it was told.
    let leaving = open_websocket(&mut server, &wire, WIDE);
    wire.send(leaving, CLOSE);
    let wrong = open_websocket(&mut server, &wire, WIDE);
    wire.send(wrong, UNMASKED);
    for request in [&b"NONSENSE\r\n\r\n"[..], UPGRADE_WITHOUT_HISTORY, b"GET / HT"] {
        let client = wire.connect(WIDE);
        wire.send(client, request);
        settle(&mut server);
        wire.end(client);
        settle(&mut server);
    }
    let policed = open_websocket(&mut server, &wire, WIDE);
    wire.send(policed, BINARY);
    settle(&mut server);
    wire.send(policed, CLOSE);
    settle(&mut server);
    wire.end(policed);
    settle(&mut server);
    let figures = ask_json(&mut server, &wire, asking, "/api/v1/server");
    let connections = &figures["connections"];
    assert_eq!(
        connections["by_state"],
        json!({"CONNECTING": 1, "CONNECTED": 1, "DISCONNECTING": 2, "DISCONNECTED": 0})
    );
    assert_eq!(
        those_counted(&connections["closed_by_reason"]),
        json!({"peer_left": 2, "bad_request": 1, "policy": 1})
    );
    let of_all = ["active", "peak", "opened", "closed"].map(|name| connections[name].as_u64());
    assert_eq!(of_all, [4, 5, 8, 4].map(Some));
    assert_eq!(wire.text(viewer).matches("hello").count(), 1);
    // A second later the two that were leaving are gone, each for its first cause.
    run_until(&mut server, &wire, 2_000);
    let figures = ask_json(&mut server, &wire, asking, "/api/v1/server");
    let by_reason = those_counted(&figures["connections"]["closed_by_reason"]);
    let expected = json!({"peer_left": 2, "bad_request": 1, "policy": 1,
        "peer_closed": 1, "protocol_error": 1});
    assert_eq!(by_reason, expected);
}

#[test]
fn one_that_has_ended_in_the_turn_of_the_question_is_disconnected() {
    let (mut server, wire) = start(Limits::default());
    let (ended, asking) = (wire.connect(WIDE), wire.connect(WIDE));
    settle(&mut server);
    wire.end(ended);
    let figures = ask_json(&mut server, &wire, asking, "/api/v1/server?audit=1");
    assert_eq!(figures["connections"]["by_state"]["DISCONNECTED"], 1);
    assert_eq!(figures["connections"]["active"], 2);
    let figures = ask_json(&mut server, &wire, asking, "/api/v1/server");
    assert_eq!(figures["connections"]["by_state"]["DISCONNECTED"], 0);
}

#[test]
fn the_ledger_has_a_row_for_each_resource_with_what_is_there() {
    let (mut server, wire) = start(Limits::default());
    let asking = wire.connect(WIDE);
    for _ in 0..3 {
        open_websocket(&mut server, &wire, WIDE);
    }
    let halved = wire.connect(WIDE);
    wire.send(halved, b"GET / HT");
    let left = wire.connect(WIDE);
    settle(&mut server);
    wire.end(left);
    settle(&mut server);
    let figures = ask_json(&mut server, &wire, asking, "/api/v1/server");
    let ledger = figures["ledger"].as_object().expect("a map");
    let live = |name: &str| (name.to_owned(), ledger[name]["live"].as_u64().expect("a number"));
    // Five that are here, each with its deadline; the timer beyond them is the tick's.
    let expected = [("socket", 5), ("slot", 5), ("timer", 6), ("input", 1), ("member", 3)]
        .map(|(name, live)| (name.to_owned(), live));
    assert_eq!(RESOURCES.map(|resource| live(resource.name())), expected);
    for resource in RESOURCES {
        let (row, told) = (server.ledger().row(resource), &ledger[resource.name()]);
        if resource != Resource::Timer {
            let expected = json!({"opened": row.opened, "closed": row.closed,
                "live": row.live(), "high": row.high});
            assert_eq!(*told, expected, "{resource:?}");
        }
    }
    assert_eq!(figures["tasks"]["running"], 4, "three streams and the tick");
}

#[test]
fn messages_and_their_bytes_are_those_that_clients_have_got() {
    let (mut server, wire) = start(Limits::default());
    let asking = wire.connect(WIDE);
    let clients = [(); 2].map(|()| open_websocket(&mut server, &wire, WIDE));
    // The third takes the upgrade and no more: four ticks later three have replaced one another.
    let stuck = open_websocket(&mut server, &wire, 140);
    run_until(&mut server, &wire, 4_100);
    wire.send(clients[0], CLOSE);
    settle(&mut server);
    let told = ask_json(&mut server, &wire, asking, "/api/v1/server")["messages"].clone();
    let got = clients.map(|client| messages(&wire.take(client, usize::MAX))).concat();
    assert_eq!(got.len(), 2 * (1 + 4), "hello and each tick");
    let bytes: usize = got.iter().sum();
    let told = ["sent", "bytes", "conflated", "dropped"].map(|name| told[name].as_u64());
    assert_eq!(told, [10, bytes as u64, 3, 0].map(Some));
    let rows = ask_json(&mut server, &wire, asking, "/api/v1/connections");
    let conflated: Vec<_> =
        rows.as_array().expect("rows").iter().map(|row| &row["conflated"]).collect();
    assert_eq!(conflated, [0, 0, 0, 3]);
    assert_eq!(rows[3]["sent"], 140);
    assert!(rows[3]["queued_bytes"].as_u64() > Some(500), "a hello and a sample: {}", rows[3]);
    let queued = wire.take(stuck, usize::MAX).len();
    assert_eq!(queued, 140);
}

#[test]
fn pools_tell_what_is_out_and_what_has_been_used_again() {
    let (mut server, wire) = start(Limits::default());
    let asking = wire.connect(WIDE);
    for _ in 0..3 {
        let client = wire.connect(WIDE);
        wire.send(client, b"GET / HT");
        settle(&mut server);
        wire.end(client);
        settle(&mut server);
    }
    open_websocket(&mut server, &wire, WIDE);
    run_until(&mut server, &wire, 3_100);
    let pools = &ask_json(&mut server, &wire, asking, "/api/v1/server")["pools"];
    assert_eq!(pools["heads"], json!({"live": 0, "high": 1, "reused": 2}));
    assert_eq!(pools["slots"], json!({"live": 2, "high": 2, "reused": 3}));
    assert_eq!(pools["frames"], json!({"live": 0, "high": 1, "reused": 2}), "one a tick");
}

#[test]
fn lateness_is_null_until_there_was_a_tick() {
    let (mut server, wire) = start(Limits::default());
    let asking = wire.connect(WIDE);
    let before = ask_json(&mut server, &wire, asking, "/api/v1/server");
    assert_eq!(before["loop"]["lateness_ms"], json!({"p99": null, "max": null}));
    run_until(&mut server, &wire, 1_100);
    let after = ask_json(&mut server, &wire, asking, "/api/v1/server");
    // A timer fires at most one granule, 4.2 ms, late.
    assert!(after["loop"]["lateness_ms"]["max"].as_f64() < Some(4.2), "{after}");
    assert!(after["loop"]["turns"].as_u64() > before["loop"]["turns"].as_u64());
}

#[test]
fn shares_are_of_the_last_five_minutes_and_of_twenty_events_or_more() {
    let (mut server, wire) = start(Limits::default());
    let asking = wire.connect(WIDE);
    let told = |server: &mut Server, asking| {
        let connections = ask_json(server, &wire, asking, "/api/v1/server")["connections"].clone();
        ["failure_rate", "error_rate"].map(|name| connections[name].as_f64())
    };
    let end_in_error = |server: &mut Server| {
        let client = open_websocket(server, &wire, WIDE);
        wire.send(client, UNMASKED);
        settle(server);
        wire.end(client);
        settle(server);
    };
    for _ in 0..9 {
        end_in_error(&mut server);
        let client = wire.connect(WIDE);
        wire.send(client, b"NONSENSE\r\n\r\n");
        settle(&mut server);
        wire.end(client);
        settle(&mut server);
    }
    assert_eq!(told(&mut server, asking), [None, None], "18 have ended");
    end_in_error(&mut server);
    end_in_error(&mut server);
    // Of 21 attempts, our first question among them, nine were no request; of 20 that ended, eleven
    // broke the protocol.
    let [failure_rate, error_rate] = told(&mut server, asking).map(|rate| rate.expect("known"));
    assert!((failure_rate - 100.0 * 9.0 / 21.0).abs() < 0.06, "{failure_rate}");
    assert!((error_rate - 55.0).abs() < 0.06, "{error_rate}");
    run_until(&mut server, &wire, 320_000);
    // The one that asked first was idle for too long.
    let asking = wire.connect(WIDE);
    assert_eq!(told(&mut server, asking), [None, None], "it was long ago");
}

#[test]
fn latency_is_told_of_the_last_minute_and_of_nobody_is_null() {
    let (mut server, wire) = start(Limits::default());
    let viewer = open_websocket(&mut server, &wire, WIDE);
    run_until(&mut server, &wire, 5_500);
    let asking = wire.connect(WIDE);
    let latency = |server: &mut Server, asking| {
        ask_json(server, &wire, asking, "/api/v1/server")["messages"]["latency_ms"].clone()
    };
    let told = latency(&mut server, asking);
    for name in ["p50", "p99", "max"] {
        // A timer fires at most one granule, 4.2 ms, late, and nothing else takes time here.
        assert!(told[name].as_f64().is_some_and(|ms| ms < 5.0), "{told}");
    }
    wire.end(viewer);
    run_until(&mut server, &wire, 70_000);
    let asking = wire.connect(WIDE);
    let told = latency(&mut server, asking);
    assert_eq!(told, json!({"p50": null, "p99": null, "max": null}));
}

#[test]
fn who_subscribes_to_the_topic_gets_it_and_nobody_else_does() {
    let (mut server, wire) = start(Limits::default());
    let viewer = open_websocket(&mut server, &wire, WIDE);
    run_until(&mut server, &wire, 1_100);
    assert!(!wire.text(viewer).contains("\"by_state\""));
    let wanted =
        br#"{"type":"subscribe","topics":["server.connections.by_state","server.process"]}"#;
    let mut frame = vec![0x81, 0x80 | wanted.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(wanted);
    wire.send(viewer, &frame);
    settle(&mut server);
    wire.take(viewer, usize::MAX);
    run_until(&mut server, &wire, 2_100);
    let text = wire.text(viewer);
    let message: Value =
        serde_json::from_str(&text[text.find('{').expect("a message")..]).expect("it is JSON");
    assert_eq!(
        message["server"],
        json!({
            "connections": {"by_state":
                {"CONNECTING": 0, "CONNECTED": 1, "DISCONNECTING": 0, "DISCONNECTED": 0}},
            "process": {"cpu_usage": null, "rss": null, "heap": null, "fds": null},
        })
    );
    let target = "/api/v1/history?metric=server.connections.active";
    let asking = wire.connect(WIDE);
    let history = ask_json(&mut server, &wire, asking, target);
    assert_eq!(history[0]["points"].as_array().map(Vec::len), Some(3), "{history}");
}

#[test]
fn an_audit_can_be_had_once_a_second_by_all_together() {
    let (mut server, wire) = start(Limits::default());
    let (one, other) = (wire.connect(WIDE), wire.connect(WIDE));
    let target = "/api/v1/server?audit=1";
    assert_eq!(ask_json(&mut server, &wire, one, target)["audit"], "ok");
    run_until(&mut server, &wire, 990);
    let (head, _) = ask(&mut server, &wire, other, target);
    assert!(head.starts_with("HTTP/1.1 429 ") && head.contains("\r\nRetry-After: 1\r\n"), "{head}");
    let plain = ask_json(&mut server, &wire, other, "/api/v1/server");
    assert!(plain.get("audit").is_none(), "nobody asked for one");
    run_until(&mut server, &wire, 1_000);
    assert_eq!(ask_json(&mut server, &wire, other, target)["audit"], "ok");
}

#[test]
fn an_audit_agrees_however_its_request_came() {
    let target = "/api/v1/server?audit=1";
    let pipelined = [head("/healthz"), head("/healthz"), head(target)].concat();
    let whole = head(target);
    let (half, rest) = whole.split_at(20);
    for pieces in [&[&pipelined[..]][..], &[half, rest]] {
        let (mut server, wire) = start(Limits::default());
        let client = wire.connect(WIDE);
        for piece in pieces {
            wire.send(client, piece);
            settle(&mut server);
        }
        let answer = wire.text(client);
        assert!(answer.contains("\"audit\":\"ok\""), "{answer}");
    }
}

#[test]
fn a_connection_is_listed_with_what_is_known_of_it() {
    let (mut server, wire) = start(Limits::default());
    let viewer = open_websocket(&mut server, &wire, WIDE);
    run_until(&mut server, &wire, 1_500);
    let asking = wire.connect_from("192.0.2.7:4711", WIDE);
    let rows = ask_json(&mut server, &wire, asking, "/api/v1/connections");
    let sent = wire.take(viewer, usize::MAX).len();
    let expected = json!([
        {"id": "0.0", "peer": "127.0.0.1:1", "state": "CONNECTED", "phase": "open", "since": 0,
            "sent": sent, "conflated": 0, "queued_bytes": 0, "round_trip_ms": null},
        {"id": "1.0", "peer": "192.0.2.7:4711", "state": "CONNECTING", "phase": "head",
            "since": 1_500, "sent": 0, "conflated": 0, "queued_bytes": 0, "round_trip_ms": null},
    ]);
    assert_eq!(rows, expected);
    // The place of one that has left is another's, under another name.
    wire.end(viewer);
    settle(&mut server);
    wire.connect(WIDE);
    let rows = ask_json(&mut server, &wire, asking, "/api/v1/connections");
    assert_eq!(rows[0]["id"], "0.1");
}

#[test]
fn the_round_trip_is_from_our_ping_to_its_pong() {
    let (mut server, wire) = start(Limits::default());
    let viewer = open_websocket(&mut server, &wire, WIDE);
    let pinged_ms = loop {
        let next_ms = wire.now_ms() + 5;
        assert!(next_ms < 40_000, "it is pinged after 30 s of silence");
        run_until(&mut server, &wire, next_ms);
        // Messages are ASCII, so the first byte of a ping is in none.
        if wire.take(viewer, usize::MAX).contains(&0x89) {
            break wire.now_ms();
        }
    };
    let asking = wire.connect(WIDE);
    run_until(&mut server, &wire, pinged_ms + 80);
    let before = ask_json(&mut server, &wire, asking, "/api/v1/connections");
    assert!(before[0]["round_trip_ms"].is_null(), "not answered yet");
    wire.send(viewer, PONG);
    let after = ask_json(&mut server, &wire, asking, "/api/v1/connections");
    let round_trip_ms = after[0]["round_trip_ms"].as_f64().expect("a number");
    assert!((80.0..86.0).contains(&round_trip_ms), "{round_trip_ms}");
}

/// Fills every place with connections whose rows are as long as rows can be at the start.
fn crowd(server: &mut Server, wire: &Wire, count: usize) -> usize {
    let clients: Vec<usize> = (0..count)
        .map(|index| {
            let peer = format!("[2001:db8:{index:x}:ffff:eeee:dddd:cccc:bbbb]:65535");
            wire.connect_from(&peer, WIDE)
        })
        .collect();
    settle(server);
    *clients.last().expect("somebody")
}

#[test]
fn the_list_of_a_full_table_fits_and_one_that_would_not_is_refused() {
    let (mut server, wire) = start(Limits::default());
    let asking = crowd(&mut server, &wire, 256);
    let (_, list) = ask(&mut server, &wire, asking, "/api/v1/connections");
    assert_eq!(list.matches("\"id\"").count(), 256);
    assert!(list.len() * 2 < Limits::default().reply_bytes_max, "{} bytes", list.len());

    let (mut server, wire) = start(Limits { connections_max: 3_000, ..Limits::default() });
    let asking = crowd(&mut server, &wire, 3_000);
    let (head, body) = ask(&mut server, &wire, asking, "/api/v1/connections");
    assert!(head.starts_with("HTTP/1.1 503 ") && body.contains("more connections than"), "{head}");
    assert_eq!(ask(&mut server, &wire, asking, "/healthz").1, "ok");
    let figures = ask_json(&mut server, &wire, asking, "/api/v1/server?audit=1");
    assert_eq!(figures["connections"]["active"], 3_000);
}

#[test]
fn the_longest_list_is_just_below_the_limit_or_refused() {
    let list_of = |reply_bytes_max: usize| {
        let (mut server, wire) = start(Limits { reply_bytes_max, ..Limits::default() });
        let asking = crowd(&mut server, &wire, 20);
        ask(&mut server, &wire, asking, "/api/v1/connections")
    };
    let length = list_of(256 * 1024).1.len();
    assert!(list_of(length).0.starts_with("HTTP/1.1 200 "));
    // A list that is broken off somewhere in its last rows must not pass for a whole one.
    for less in (1..400).step_by(3) {
        let head = list_of(length - less).0;
        assert!(head.starts_with("HTTP/1.1 503 "), "{less} bytes short: {head}");
    }
}

#[test]
fn the_binary_tells_of_itself() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws?history=0");
    next_of(&mut socket, "metrics");
    let mut stream = vitald.connect();
    let mut get = |target: &str| {
        vitald.send_get(&mut stream, "GET", target);
        let (head, body) = answer(&mut stream, true);
        assert!(head.starts_with("HTTP/1.1 200 "), "{target}: {head}");
        assert!(head.contains("\r\nCache-Control: no-store\r\n"), "{head}");
        serde_json::from_str::<Value>(&body).expect("it is JSON")
    };
    let figures = get("/api/v1/server");
    assert_eq!(figures["connections"]["by_state"]["CONNECTED"], 1);
    assert_eq!(figures["ledger"]["member"]["live"], 1);
    assert!(figures["messages"]["sent"].as_u64() >= Some(2));
    assert!(figures["loop"]["lateness_ms"]["p99"].is_number());
    let rows = get("/api/v1/connections");
    let viewer = socket.get_ref().local_addr().expect("an address").to_string();
    let rows = rows.as_array().expect("an array");
    let row = rows.iter().find(|row| row["peer"] == viewer.as_str()).expect("the viewer is listed");
    assert!(row["sent"].as_u64() > Some(1000), "{row}");
    assert!(row["since"].as_u64() > Some(1_500_000_000_000), "{row}");
}

#[test]
fn the_binary_audits_itself_and_not_at_any_rate() {
    let vitald = Vitald::start();
    let head = format!("GET /api/v1/server?audit=1 HTTP/1.1\r\nHost: {}\r\n\r\n", vitald.address);
    let mut stream = vitald.connect();
    // Both in one piece, so that they come in one second however busy the machine is.
    stream.write_all(head.repeat(2).as_bytes()).expect("it reads");
    let (head, body) = answer(&mut stream, true);
    assert!(head.starts_with("HTTP/1.1 200 ") && body.contains("\"audit\":\"ok\""), "{head}{body}");
    let (head, body) = answer(&mut stream, true);
    assert!(head.starts_with("HTTP/1.1 429 ") && head.contains("Retry-After: 1"), "{head}{body}");
    for (method, target) in [("POST", "/api/v1/server"), ("DELETE", "/api/v1/connections")] {
        vitald.send_get(&mut stream, method, target);
        let (head, _) = answer(&mut stream, true);
        assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET, HEAD\r\n"));
    }
}
