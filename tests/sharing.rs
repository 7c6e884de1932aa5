//! Shared frames have a bound, and it is never a good reader's loss: neither when every other place
//! in the table holds a frame of its own, nor when a sample is too long to be sent.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frames::UPGRADE_WITHOUT_HISTORY;
use serde_json::Value;
use vitald::app::App;
use vitald::app::access::Access;
use vitald::app::hub::CLASSES_MAX;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::limits::{CHANNELS, Limits};
use vitald::metrics::MetricsService;
use vitald::metrics::definition::Filesystem;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, run_until, settle};

const INTERVAL: Duration = Duration::from_millis(100);

/// A host with one file system, whose path is as long as the test says.
struct Host {
    path_bytes: Arc<AtomicUsize>,
}

impl Source for Host {
    fn read(&mut self, _: Duration, into: &mut Snapshot) {
        let mount = format!("/{}", "x".repeat(self.path_bytes.load(Ordering::Relaxed)));
        into.cpu.usage = Some(12.3);
        into.filesystems = vec![Filesystem { mount, ..Filesystem::default() }];
    }
}

type Served = Engine<App, Wire, Manual>;

fn start(limits: Limits, path_bytes: usize) -> (Served, Wire, Arc<AtomicUsize>) {
    let path_bytes = Arc::new(AtomicUsize::new(path_bytes));
    let host = Host { path_bytes: Arc::clone(&path_bytes) };
    let metrics = MetricsService::with_source(Box::new(host), Facts::default(), INTERVAL);
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    let (engine, wire) = Wire::engine(limits, app);
    (engine, wire, path_bytes)
}

fn text(text: &str) -> Vec<u8> {
    frames::client_frame(0x80 | frames::TEXT, text.as_bytes())
}

/// A subscriber who takes everything at once.
struct Reader {
    client: usize,
    held: Vec<u8>,
}

impl Reader {
    fn open(engine: &mut Served, wire: &Wire) -> Reader {
        let client = wire.connect(1 << 20);
        wire.send(client, UPGRADE_WITHOUT_HISTORY);
        settle(engine);
        let mut held = wire.take(client, usize::MAX);
        assert!(frames::take_switching(&mut held), "the handshake succeeds");
        Reader { client, held }
    }

    /// The messages that have come since the last time.
    fn messages(&mut self, wire: &Wire) -> Vec<Value> {
        self.held.extend(wire.take(self.client, usize::MAX));
        let frames = frames::take_frames(&mut self.held);
        frames.iter().map(|frame| serde_json::from_slice(&frame.payload).expect("JSON")).collect()
    }
}

#[test]
fn the_limits_have_room_for_every_class_of_the_hub() {
    assert_eq!(Limits::default().classes_max, CLASSES_MAX);
}

/// Every place but one has a connection that stopped in the middle of a frame of a tick of its own,
/// and in every class somebody is owed the newest frame.
#[test]
fn a_good_reader_misses_no_tick_while_all_others_hold_a_frame_each() {
    let limits = Limits {
        stall_timeout: Duration::from_secs(600),
        frame_timeout: Duration::from_secs(600),
        silence_timeout: Duration::from_secs(600),
        ..Limits::default()
    };
    let stalled = limits.connections_max - 1;
    let (mut engine, wire, _) = start(limits, 100);
    let mut good = Reader::open(&mut engine, &wire);
    // What comes before the first sample, for one that subscribes as the others will.
    let wanted = |index: usize| -> Vec<u8> {
        let names = (0..CHANNELS - 1).map(|sub| (index * (CHANNELS - 1) + sub) % (CLASSES_MAX - 1));
        let subscribe = |name| format!(r#"{{"type":"subscribe","sub":"s{name:02}"}}"#);
        names.flat_map(|name| text(&subscribe(name))).collect()
    };
    let probe = wire.connect(1 << 20);
    wire.send(probe, &[UPGRADE_WITHOUT_HISTORY, &wanted(0)].concat());
    settle(&mut engine);
    let before_state = wire.take(probe, usize::MAX).len();
    wire.end(probe);
    // From here on each look is half an interval after a tick.
    run_until(&mut engine, &wire, 50);
    let mut newest = None;
    let mut check = |engine: &mut Served, good: &mut Reader| {
        run_until(engine, &wire, wire.now_ms() + 100);
        let samples: Vec<u64> = good
            .messages(&wire)
            .iter()
            .filter(|message| message["type"] == "metrics")
            .map(|message| message["seq"].as_u64().expect("a number"))
            .collect();
        assert!(!samples.is_empty(), "no sample after {newest:?}");
        for seq in samples {
            assert!(newest.is_none_or(|newest| seq == newest + 1), "{seq} follows {newest:?}");
            newest = Some(seq);
        }
    };
    for index in 0..stalled {
        // Room for some of the first sample and never for more.
        let client = wire.connect(before_state + 60);
        wire.send(client, &[UPGRADE_WITHOUT_HISTORY, &wanted(index)].concat());
        check(&mut engine, &mut good);
    }
    for _ in 0..20 {
        check(&mut engine, &mut good);
    }
    let frames = engine.pools().frames;
    assert_eq!(
        frames.live,
        stalled + CLASSES_MAX,
        "one begun by each, and the newest of each class"
    );
    assert_eq!(engine.stats().frames_refused, 0);
}

/// Messages of a type.
fn count(messages: &[Value], kind: &str) -> usize {
    messages.iter().filter(|message| message["type"] == kind).count()
}

#[test]
fn a_sample_that_is_too_long_is_an_error_once_and_comes_when_it_is_shorter() {
    let (mut engine, wire, path_bytes) = start(Limits::default(), 70_000);
    let mut reader = Reader::open(&mut engine, &wire);
    let narrow = r#"{"type":"subscribe","sub":"narrow","topics":["cpu"]}"#;
    wire.send(reader.client, &text(narrow));
    run_until(&mut engine, &wire, 1_050);
    let messages = reader.messages(&wire);
    let errors: Vec<&Value> =
        messages.iter().filter(|message| message["type"] == "error").collect();
    let [error] = errors[..] else { panic!("one error, not {errors:?}") };
    assert_eq!(error["code"], "limit");
    let sentence = error["message"].as_str().expect("a text");
    assert!(sentence.contains("\"default\"") && sentence.contains("65536"), "{sentence}");
    let narrow = |message: &&Value| message["type"] == "metrics" && message["sub"] == "narrow";
    assert_eq!(messages.iter().filter(narrow).count(), 10, "what is short enough is not held up");
    assert_eq!(count(&messages, "metrics"), 10);
    assert_eq!(engine.stats().frames_refused, 10);

    path_bytes.store(100, Ordering::Relaxed);
    run_until(&mut engine, &wire, 2_050);
    let messages = reader.messages(&wire);
    assert_eq!((count(&messages, "metrics"), count(&messages, "error")), (20, 0));
}

#[test]
fn who_subscribes_to_what_is_too_long_is_told_as_well() {
    let (mut engine, wire, _) = start(Limits::default(), 70_000);
    let mut first = Reader::open(&mut engine, &wire);
    run_until(&mut engine, &wire, 250);
    let mut second = Reader::open(&mut engine, &wire);
    run_until(&mut engine, &wire, 550);
    for reader in [&mut first, &mut second] {
        assert_eq!(count(&reader.messages(&wire), "error"), 1);
    }
    // To ask again is to be told again.
    wire.send(first.client, &text(r#"{"type":"subscribe"}"#));
    run_until(&mut engine, &wire, 850);
    assert_eq!(count(&first.messages(&wire), "error"), 1);
    assert_eq!(count(&second.messages(&wire), "error"), 0);
}

#[test]
fn a_stream_whose_samples_are_too_long_is_told_once_in_an_event() {
    let (mut engine, wire, path_bytes) = start(Limits::default(), 70_000);
    let client = wire.connect(1 << 20);
    wire.send(client, b"GET /events?history=0 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    run_until(&mut engine, &wire, 550);
    let taken = wire.text(client);
    let (_, events) = taken.split_once("\r\n\r\n").expect("a head comes first");
    let events: Vec<&str> = events.split_terminator("\n\n").collect();
    let [hello, error] = events[..] else { panic!("{} events", events.len()) };
    assert!(hello.starts_with("retry: 3000\ndata: {\"type\":\"hello\","));
    let error: Value = error.strip_prefix("data: ").expect("data").parse().expect("JSON");
    assert_eq!((&error["type"], &error["code"]), (&"error".into(), &"limit".into()));

    path_bytes.store(100, Ordering::Relaxed);
    run_until(&mut engine, &wire, 750);
    let samples = wire.text(client);
    assert!(samples.starts_with("id: 6\ndata: {\"type\":\"metrics\",\"seq\":6,"), "{samples}");
    assert_eq!(samples.matches("\n\n").count(), 2);
}

#[test]
fn on_a_host_of_very_much_hello_comes_without_rows() {
    let (mut engine, wire, _) = start(Limits::default(), 300_000);
    let mut reader = Reader::open(&mut engine, &wire);
    let stream = wire.connect(1 << 20);
    wire.send(stream, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    run_until(&mut engine, &wire, 250);
    let messages = reader.messages(&wire);
    let taken = wire.text(stream);
    let (_, events) = taken.split_once("\r\n\r\n").expect("a head comes first");
    let (event, _) = events.split_once("\n\n").expect("an event comes");
    let data = event.strip_prefix("retry: 3000\ndata: ").expect("it says when to come again");
    for hello in [messages[0].clone(), data.parse().expect("JSON")] {
        assert_eq!(hello["type"], "hello");
        assert_eq!(hello["snapshot"]["cpu"]["usage"], 12.3);
        assert!(hello["snapshot"].get("filesystems").is_none(), "{hello}");
    }
}
