//! Subscriptions in each mode, as a client sees them; and what is left of ten thousand of them.

#[path = "support/frames.rs"]
mod frames;
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use serde_json::Value;
use support::{Vitald, next_of};
use tungstenite::Message;
use vitald::app::App;
use vitald::app::access::Access;
use vitald::app::hub::CLASSES_MAX;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::limits::Limits;
use vitald::engine::random::Random;
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, run_until, settle};

fn sequences(batch: &Value) -> Vec<u64> {
    let samples = batch["samples"].as_array().expect("a list");
    samples.iter().map(|sample| sample["seq"].as_u64().expect("a number")).collect()
}

#[test]
fn a_batch_holds_so_many_samples_and_the_next_one_those_after_them() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws?history=0");
    let wanted = r#"{"type":"subscribe","sub":"b","topics":["load.one"],"mode":"batch","batch":3}"#;
    socket.send(Message::text(wanted)).expect("it reads");
    let granted = next_of(&mut socket, "subscribed");
    assert_eq!((&granted["mode"], &granted["batch"]), (&"batch".into(), &3.into()));
    assert_eq!(granted["interval_ms"], 100);
    let batches = [next_of(&mut socket, "batch"), next_of(&mut socket, "batch")];
    assert!(batches.iter().all(|batch| batch["sub"] == "b"));
    assert!(batches[0]["samples"][0]["load"]["one"].is_number(), "{}", batches[0]);
    let sequences = batches.map(|batch| sequences(&batch)).concat();
    assert_eq!(sequences.len(), 6);
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "{sequences:?}");
}

#[test]
fn a_mean_lies_between_the_least_and_the_most_of_its_interval() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws?history=0");
    let wanted = r#"{"type":"subscribe","sub":"m","topics":["memory.available"],"mode":"mean","interval_ms":500}"#;
    socket.send(Message::text(wanted)).expect("it reads");
    assert_eq!(next_of(&mut socket, "subscribed")["mode"], "mean");
    let message = loop {
        let message = next_of(&mut socket, "metrics");
        if message.get("sub").is_some() {
            break message;
        }
    };
    let [min, mean, max] = [&message["min"], &message, &message["max"]]
        .map(|part| part["memory"]["available"].as_f64().expect("a number"));
    assert!(min <= mean && mean <= max, "{message}");
}

#[test]
fn a_subscription_may_change_its_mode_at_any_time_and_end() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws?history=0");
    for (mode, expected) in [("batch", "batch"), ("last", "metrics"), ("batch", "batch")] {
        let wanted = format!(
            r#"{{"type":"subscribe","sub":"s","topics":["load"],"mode":"{mode}","batch":2}}"#
        );
        socket.send(Message::text(wanted)).expect("it reads");
        assert_eq!(next_of(&mut socket, "subscribed")["mode"], mode);
        while next_of(&mut socket, expected).get("sub").is_none() {}
    }
    for sub in ["s", "default"] {
        let wanted = format!(r#"{{"type":"unsubscribe","sub":"{sub}"}}"#);
        socket.send(Message::text(wanted)).expect("it reads");
        assert_eq!(next_of(&mut socket, "unsubscribed")["sub"], sub);
    }
    // What comes next is the answer, though some ticks pass.
    let wanted = r#"{"type":"subscribe","topics":["load"],"interval_ms":500}"#;
    socket.send(Message::text(wanted)).expect("it reads");
    assert_eq!(support::next(&mut socket)["type"], "subscribed");
}

/// A host without anything.
struct Nothing;

impl Source for Nothing {
    fn read(&mut self, _: Duration, _: &mut Snapshot) {}
}

fn host_without_anything() -> (Engine<App, Wire, Manual>, Wire) {
    let interval = Duration::from_secs(1);
    let metrics = MetricsService::with_source(Box::new(Nothing), Facts::default(), interval);
    let limits = Limits::default();
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    Wire::engine(limits, app)
}

/// What comes on a new event stream before its first sample, hello left out.
fn events(engine: &mut Engine<App, Wire, Manual>, wire: &Wire, query: &str) -> Vec<Value> {
    let client = wire.connect(1 << 20);
    let head = format!("GET /events?history=0&{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wire.send(client, head.as_bytes());
    settle(engine);
    let text = wire.text(client);
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.skip(1).map(|data| data.parse().expect("it is JSON")).collect()
}

#[test]
fn a_stream_is_told_what_it_is_granted_where_that_is_not_what_it_asked_for() {
    let (mut engine, wire) = host_without_anything();
    let asked = "topics=load.one&interval_ms=5000";
    assert_eq!(events(&mut engine, &wire, asked), [Value::Null; 0], "it has what it asked for");
    for name in 0..CLASSES_MAX {
        let client = wire.connect(1 << 20);
        let wanted = format!(r#"{{"type":"subscribe","sub":"{name}"}}"#);
        wire.send(client, frames::UPGRADE_WITHOUT_HISTORY);
        wire.send(client, &frames::client_frame(0x81, wanted.as_bytes()));
        settle(&mut engine);
    }
    assert_eq!(engine.handler().classes(), CLASSES_MAX);
    assert_eq!(events(&mut engine, &wire, asked), [Value::Null; 0], "others have it too");
    let told = events(&mut engine, &wire, "topics=load.five&interval_ms=5000");
    let [granted] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&granted["type"], &granted["sub"]), (&"subscribed".into(), &"default".into()));
    assert_eq!(granted["interval_ms"], 1000);
    assert!(granted["topics"].as_array().is_some_and(|topics| topics.len() > 5), "{granted}");
    let told = events(&mut engine, &wire, "topics=load.five&mode=mean");
    let [refused] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&refused["type"], &refused["code"]), (&"error".into(), &"limit".into()));
}

/// A message that may ask for anything, or for nonsense.
fn random_message(random: &mut Random) -> String {
    let paths = ["cpu", "load.one", "memory", "disks.vda", "networks.eth0.up", "server", "nope"];
    let topics: Vec<&str> =
        (0..random.between(1, 4)).map(|_| paths[random.below(paths.len())]).collect();
    let sub = ["default", "a", "b", "c", "d", "e"][random.below(6)];
    if random.happens(100) {
        return format!(r#"{{"type":"unsubscribe","sub":"{sub}"}}"#);
    }
    let mode = ["last", "mean", "batch", "all"][random.below(4)];
    let (batch, interval_ms) = (random.between(0, 62), random.between(0, 70_000));
    format!(
        r#"{{"type":"subscribe","sub":"{sub}","topics":{topics:?},"mode":"{mode}","batch":{batch},"interval_ms":{interval_ms}}}"#
    )
}

#[test]
fn ten_thousand_random_subscriptions_leave_the_classes_at_their_bound_and_the_books_in_balance() {
    const CONNECTIONS: usize = 100;
    let (mut engine, wire) = host_without_anything();
    let mut random = Random::new(7);
    let clients: Vec<usize> = (0..CONNECTIONS)
        .map(|_| {
            let client = wire.connect(1 << 22);
            wire.send(client, frames::UPGRADE_WITHOUT_HISTORY);
            settle(&mut engine);
            let mut held = wire.take(client, usize::MAX);
            assert!(frames::take_switching(&mut held), "the handshake succeeds");
            client
        })
        .collect();
    let (mut granted, mut refused, mut classes_most) = (0, 0, 0);
    for second in 1..=10 {
        for &client in &clients {
            for _ in 0..10 {
                let message = random_message(&mut random);
                wire.send(client, &frames::client_frame(0x81, message.as_bytes()));
            }
        }
        run_until(&mut engine, &wire, second * 1000 + 500);
        classes_most = classes_most.max(engine.handler().classes());
        engine.check().expect("the books are in balance");
        for &client in &clients {
            let mut held = wire.take(client, usize::MAX);
            for frame in frames::take_frames(&mut held) {
                let message: Value = serde_json::from_slice(&frame.payload).expect("it is JSON");
                match message["type"].as_str().expect("a type") {
                    "subscribed" | "unsubscribed" => granted += 1,
                    "error" => refused += 1,
                    "hello" | "metrics" | "batch" => {}
                    other => panic!("{other}"),
                }
            }
        }
    }
    assert_eq!(granted + refused, 10_000, "each has its answer");
    assert!(granted > 500 && refused > 500, "{granted} granted, {refused} refused");
    assert_eq!(classes_most, CLASSES_MAX);
    assert_eq!(engine.stats().frames_refused, 0);
    clients.iter().for_each(|&client| wire.end(client));
    run_until(&mut engine, &wire, 20_000);
    assert_eq!((engine.handler().classes(), engine.connections().count()), (0, 0));
    engine.check().expect("the books are in balance");
}
