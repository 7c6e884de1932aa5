//! Events: every open WebSocket and event stream gets each of them in order, and one that is slow
//! is told how many it has missed.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use frames::{UPGRADE, take_frames, take_switching};
use serde_json::{Value, json};
use vitald::app::access::Access;
use vitald::app::{App, broadcast};
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::connection::frame::NoFrame;
use vitald::engine::limits::{EVENTS_MAX, Limits};
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, settle};

struct Still;

impl Source for Still {
    fn read(&mut self, _: Duration, _: &mut Snapshot) {}
}

type Vitald = Engine<App, Wire, Manual>;

fn start() -> (Vitald, Wire) {
    let limits = Limits::default();
    let hour = Duration::from_secs(3600);
    let metrics = MetricsService::with_source(Box::new(Still), Facts::default(), hour);
    Wire::engine(limits.clone(), App::new(metrics, Access::new(&[], &[], None), limits.slots()))
}

/// A WebSocket that has taken its hello.
fn open(server: &mut Vitald, wire: &Wire, window_bytes: usize) -> usize {
    let client = wire.connect(window_bytes);
    wire.send(client, UPGRADE);
    let mut taken = Vec::new();
    loop {
        settle(server);
        let more = wire.take(client, usize::MAX);
        if more.is_empty() {
            break;
        }
        taken.extend(more);
    }
    assert!(take_switching(&mut taken));
    assert_eq!(take_frames(&mut taken).len(), 1, "hello");
    client
}

/// An event stream that has taken its hello.
fn open_stream(server: &mut Vitald, wire: &Wire, window_bytes: usize) -> usize {
    let client = wire.connect(window_bytes);
    wire.send(client, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let taken = take(server, wire, client);
    assert!(taken.starts_with("HTTP/1.1 200 OK\r\n") && taken.contains("\r\n\r\nretry: "));
    assert!(taken.ends_with("}\n\n"), "{taken}");
    client
}

/// All that a client is sent, as it is.
fn take(server: &mut Vitald, wire: &Wire, client: usize) -> String {
    let mut taken = String::new();
    loop {
        settle(server);
        match wire.text(client) {
            more if more.is_empty() => return taken,
            more => taken.push_str(&more),
        }
    }
}

fn event(message: &Value) -> String {
    format!("data: {message}\n\n")
}

fn announce(server: &mut Vitald, number: usize) -> usize {
    let message = json!({"type": "note", "number": number}).to_string();
    server.act(|_, context| broadcast(context, &message)).expect("it is short")
}

/// All that a client is sent, as JSON.
fn hear(server: &mut Vitald, wire: &Wire, client: usize) -> Vec<Value> {
    let mut taken = Vec::new();
    loop {
        settle(server);
        let more = wire.take(client, usize::MAX);
        if more.is_empty() {
            let frames = take_frames(&mut taken);
            let read = |frame: frames::Frame| serde_json::from_slice(&frame.payload);
            return frames.into_iter().map(|frame| read(frame).expect("JSON")).collect();
        }
        taken.extend(more);
    }
}

fn note(number: usize) -> Value {
    json!({"type": "note", "number": number})
}

#[test]
fn every_open_websocket_gets_an_event_and_nobody_else_does() {
    let (mut server, wire) = start();
    let open_ones = [(); 3].map(|()| open(&mut server, &wire, 1 << 20));
    let half = wire.connect(1 << 20);
    wire.send(half, &UPGRADE[..20]);
    settle(&mut server);
    assert_eq!(announce(&mut server, 1), 3);
    for client in open_ones {
        assert_eq!(hear(&mut server, &wire, client), [note(1)]);
    }
    assert!(wire.take(half, 1).is_empty());
}

#[test]
fn a_slow_reader_is_told_how_many_events_it_has_missed() {
    let (mut server, wire) = start();
    let quick = open(&mut server, &wire, 1 << 20);
    let slow = open(&mut server, &wire, 20);
    let count = EVENTS_MAX + 5;
    for number in 0..count {
        announce(&mut server, number);
        settle(&mut server);
    }
    let all: Vec<Value> = (0..count).map(note).collect();
    assert_eq!(hear(&mut server, &wire, quick), all);
    // The first is half on the wire and cannot be missed any more; of the others the last wait.
    let missed = count - 1 - EVENTS_MAX;
    let mut expected = vec![note(0), json!({"type": "gap", "missed": missed})];
    expected.extend((1 + missed..count).map(note));
    assert_eq!(hear(&mut server, &wire, slow), expected);
    assert_eq!(server.stats().events_dropped, missed as u64);
}

#[test]
fn an_event_that_is_too_long_is_refused_whole() {
    let (mut server, wire) = start();
    let client = open(&mut server, &wire, 1 << 20);
    let message = format!("{:?}", "x".repeat(Limits::default().shared_bytes_max));
    let refused = server.act(|_, context| broadcast(context, &message));
    assert!(matches!(refused, Err(NoFrame::TooLong(_))), "{refused:?}");
    assert!(hear(&mut server, &wire, client).is_empty());
}

#[test]
fn an_event_goes_to_streams_as_well_in_a_form_of_their_own() {
    let (mut server, wire) = start();
    let websocket = open(&mut server, &wire, 1 << 20);
    let streams = [(); 2].map(|()| open_stream(&mut server, &wire, 1 << 20));
    assert_eq!(announce(&mut server, 1), 3);
    assert_eq!(hear(&mut server, &wire, websocket), [note(1)]);
    for client in streams {
        assert_eq!(take(&mut server, &wire, client), event(&note(1)));
    }
    // What an embedding program sends may be in several lines.
    let pretty = serde_json::to_string_pretty(&note(2)).expect("JSON");
    assert_eq!(server.act(|_, context| broadcast(context, &pretty)), Ok(3));
    assert_eq!(hear(&mut server, &wire, websocket), [note(2)]);
    for client in streams {
        let taken = take(&mut server, &wire, client);
        let lines = taken.strip_suffix("\n\n").expect("it ends").split('\n');
        let data: Vec<&str> =
            lines.map(|line| line.strip_prefix("data: ").expect("data")).collect();
        assert_eq!(data.join("\n"), pretty);
    }
}

#[test]
fn a_slow_stream_is_told_how_many_events_it_has_missed() {
    let (mut server, wire) = start();
    let slow = open_stream(&mut server, &wire, 20);
    let count = EVENTS_MAX + 5;
    for number in 0..count {
        announce(&mut server, number);
        settle(&mut server);
    }
    let missed = count - 1 - EVENTS_MAX;
    let mut expected = event(&note(0));
    // Its fields are in the order in which the app writes them.
    expected += &format!("data: {{\"type\":\"gap\",\"missed\":{missed}}}\n\n");
    (1 + missed..count).for_each(|number| expected += &event(&note(number)));
    assert_eq!(take(&mut server, &wire, slow), expected);
}

#[test]
fn an_event_that_is_too_long_for_one_kind_of_reader_goes_to_nobody() {
    let (mut server, wire) = start();
    let websocket = open(&mut server, &wire, 1 << 20);
    // A message's header has four bytes, and what an event is wrapped in has eight.
    let bytes = Limits::default().shared_bytes_max - 4;
    let message = format!("{:?}", "x".repeat(bytes - 2));
    assert_eq!(server.act(|_, context| broadcast(context, &message)), Ok(1));
    assert_eq!(hear(&mut server, &wire, websocket).len(), 1);
    let stream = open_stream(&mut server, &wire, 1 << 20);
    let refused = server.act(|_, context| broadcast(context, &message));
    assert_eq!(refused, Err(NoFrame::TooLong(bytes + 8)));
    assert!(hear(&mut server, &wire, websocket).is_empty());
    assert_eq!(take(&mut server, &wire, stream), "");
}
