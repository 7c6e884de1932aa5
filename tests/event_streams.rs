//! Event streams on a wire and a clock of the test's own: what the engine sends on them, when, and
//! how they end. The engine audits its books after each turn of these tests.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::io::ErrorKind;

use frames::{UPGRADE, take_frames, take_switching};
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::connection::frame::{Envelope, Frame, Kind};
use vitald::engine::connection::head::Request;
use vitald::engine::connection::response::Response;
use vitald::engine::connection::{CloseReason, Phase};
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::ledger::Resource;
use vitald::engine::limits::{EVENTS_MAX, Limits};
use vitald::engine::tasks::TaskCounts;
use wire::{Wire, run_until, settle};

const STREAM: &[u8] = b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n";
const HEARTBEAT: &str = ":\n\n";

/// A wide receive buffer.
const WIDE: usize = 1 << 20;

/// Lets in whoever asks, and keeps what it is told.
#[derive(Default)]
struct Probe {
    open: Vec<(Handle, Envelope)>,
    opened: usize,
    ends: Vec<CloseReason>,
}

impl Handler for Probe {
    fn request(&mut self, _: &mut Context<'_>, _: Handle, request: &Request<'_>) -> Answer {
        match request.path() {
            "/ws" => Answer::Upgrade { protocol: None },
            "/events" => {
                Answer::Stream(Response::new(200).with("Content-Type", "text/event-stream"))
            }
            path => Answer::Respond(Response::text(200, path)),
        }
    }

    fn open(&mut self, context: &mut Context<'_>, handle: Handle, _: &Request<'_>) {
        self.opened += 1;
        self.open.push((handle, context.envelope(handle).expect("it can be sent to")));
    }

    fn message(&mut self, _: &mut Context<'_>, _: Handle, message: Message<'_>) {
        panic!("nobody says anything: {message:?}");
    }

    fn closed(&mut self, context: &mut Context<'_>, handle: Handle, reason: CloseReason) {
        assert_eq!(context.envelope(handle), None, "nothing can be sent to it");
        self.open.retain(|(open, _)| *open != handle);
        self.ends.push(reason);
    }
}

type Probed = Engine<Probe, Wire, Manual>;

fn start() -> (Probed, Wire) {
    Wire::engine(Limits::default(), Probe::default())
}

/// The reader of a stream, which has taken the head. Its buffer then holds `window_bytes`.
fn stream(engine: &mut Probed, wire: &Wire, window_bytes: usize) -> usize {
    let client = wire.connect(window_bytes);
    wire.send(client, STREAM);
    let head = hear(engine, wire, client);
    assert!(head.ends_with("\r\n\r\n"), "nothing comes of itself: {head:?}");
    client
}

/// All that a client gets at this instant.
fn hear(engine: &mut Probed, wire: &Wire, client: usize) -> String {
    let mut heard = String::new();
    loop {
        settle(engine);
        match wire.text(client) {
            more if more.is_empty() => return heard,
            more => heard.push_str(&more),
        }
    }
}

fn event(words: &str) -> String {
    format!("data: {words}\n\n")
}

fn write<'a>(words: &'a str) -> impl Fn(&mut Vec<u8>) + 'a {
    move |out| out.extend_from_slice(words.as_bytes())
}

fn first(engine: &Probed) -> Handle {
    engine.handler().open[0].0
}

fn reply(engine: &mut Probed, handle: Handle, words: &str) -> bool {
    let frame = Frame::new(Kind::Event, write(words));
    engine.act(|_, context| context.reply(handle, frame))
}

fn publish(engine: &mut Probed, handle: Handle, words: &str) -> bool {
    engine.act(|_, context| {
        let frame = context.encode(Kind::Event, write(words)).expect("there is room");
        context.publish(handle, 0, frame)
    })
}

fn announce(engine: &mut Probed, handle: Handle, words: &str) -> bool {
    engine.act(|_, context| {
        let frame = context.encode(Kind::Event, write(words)).expect("there is room");
        context.event(handle, frame, |missed| {
            Frame::new(Kind::Event, write(&event(&format!("missed {missed}"))))
        })
    })
}

fn phase(engine: &Probed) -> Option<Phase> {
    engine.connections().next().map(|connection| connection.phase)
}

#[test]
fn a_stream_has_a_head_without_a_length_and_then_what_is_sent() {
    for version in ["1.1", "1.0"] {
        let (mut engine, wire) = start();
        let client = wire.connect(WIDE);
        wire.send(client, format!("GET /events HTTP/{version}\r\nHost: h\r\n\r\n").as_bytes());
        let head = hear(&mut engine, &wire, client);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"));
        assert!(head.contains("\r\nConnection: close\r\n") && !head.contains("Content-Length"));
        assert!(head.ends_with("\r\n\r\n"), "{head:?}");
        assert_eq!(engine.handler().open, [(first(&engine), Envelope::Event)]);
        let handle = first(&engine);
        assert!(publish(&mut engine, handle, &event("state")));
        assert!(announce(&mut engine, handle, &event("event")));
        assert!(reply(&mut engine, handle, &event("answer")));
        let heard = hear(&mut engine, &wire, client);
        assert_eq!(heard, event("answer") + &event("event") + &event("state"));
        assert_eq!(engine.stats().messages_sent, 3, "events count as messages");
    }
}

#[test]
fn the_head_alone_is_asked_for_and_is_no_stream() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    wire.send(client, b"HEAD /events HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = hear(&mut engine, &wire, client);
    assert!(head.contains("text/event-stream") && head.contains("\r\nConnection: close\r\n"));
    assert!(head.ends_with("\r\n\r\n") && !head.contains("Content-Length"), "{head:?}");
    assert!(wire.has_ended(client));
    wire.end(client);
    settle(&mut engine);
    assert_eq!(engine.stats().closes(CloseReason::Finished), 1);
    assert_eq!(engine.handler().opened, 0);
}

#[test]
fn a_stream_is_a_member_and_a_running_task_until_it_ends() {
    let (mut engine, wire) = start();
    let client = stream(&mut engine, &wire, WIDE);
    assert_eq!(phase(&engine).map(|phase| phase.state().name()), Some("CONNECTED"));
    assert_eq!(engine.ledger().row(Resource::Member).live(), 1);
    assert_eq!(engine.task_counts(), TaskCounts { running: 1, ..TaskCounts::default() });
    wire.end(client);
    settle(&mut engine);
    assert!(wire.is_closed(client));
    assert_eq!(engine.handler().ends, [CloseReason::PeerLeft]);
    assert_eq!(engine.ledger().row(Resource::Member).live(), 0);
    assert_eq!(engine.task_counts(), TaskCounts { completed: 1, ..TaskCounts::default() });
}

#[test]
fn a_stream_on_which_nothing_is_sent_shows_every_fifteen_seconds_that_it_is_there() {
    let (mut engine, wire) = start();
    let client = stream(&mut engine, &wire, WIDE);
    run_until(&mut engine, &wire, 14_900);
    assert_eq!(wire.text(client), "");
    run_until(&mut engine, &wire, 15_010);
    assert_eq!(wire.text(client), HEARTBEAT);
    run_until(&mut engine, &wire, 3_600_000);
    let heard = wire.text(client);
    let count = heard.len() / HEARTBEAT.len();
    assert_eq!(heard, HEARTBEAT.repeat(count));
    assert!((235..240).contains(&count), "{count} more in an hour");
    assert_eq!(phase(&engine), Some(Phase::Streaming), "its silence is not held against it");
}

#[test]
fn whatever_is_sent_puts_the_heartbeat_off() {
    let (mut engine, wire) = start();
    let client = stream(&mut engine, &wire, WIDE);
    for step in 1..=9 {
        run_until(&mut engine, &wire, 10_000 * step);
        let handle = first(&engine);
        assert!(publish(&mut engine, handle, &event("state")));
        assert_eq!(hear(&mut engine, &wire, client), event("state"), "and nothing before it");
    }
    run_until(&mut engine, &wire, 104_900);
    assert_eq!(wire.text(client), "");
    run_until(&mut engine, &wire, 105_010);
    assert_eq!(wire.text(client), HEARTBEAT);
}

#[test]
fn nothing_comes_into_an_event_that_is_half_sent() {
    let (mut engine, wire) = start();
    let client = stream(&mut engine, &wire, 20);
    let handle = first(&engine);
    let long = event(&"x".repeat(100));
    assert!(publish(&mut engine, handle, &long));
    let mut heard = String::new();
    // Longer than the time after which a heartbeat is due, and less than a frame may take.
    for second in (4..=28).step_by(4) {
        run_until(&mut engine, &wire, 1000 * second);
        heard.push_str(&String::from_utf8_lossy(&wire.take(client, 1)));
    }
    assert!(publish(&mut engine, handle, &event("newer")));
    heard.push_str(&hear(&mut engine, &wire, client));
    assert_eq!(heard, long + &event("newer"));
}

#[test]
fn a_reader_that_takes_nothing_for_ten_seconds_is_dropped() {
    let (mut engine, wire) = start();
    let client = stream(&mut engine, &wire, 20);
    let handle = first(&engine);
    assert!(publish(&mut engine, handle, &event("more than the window holds")));
    run_until(&mut engine, &wire, 9_900);
    assert!(!wire.is_closed(client));
    run_until(&mut engine, &wire, 10_010);
    assert!(wire.is_closed(client));
    assert_eq!(engine.handler().ends, [CloseReason::SlowReader]);
}

#[test]
fn an_event_that_only_trickles_out_has_thirty_seconds() {
    let (mut engine, wire) = start();
    let client = stream(&mut engine, &wire, 20);
    let handle = first(&engine);
    assert!(publish(&mut engine, handle, &event(&"x".repeat(100))));
    for second in (5..30).step_by(5) {
        run_until(&mut engine, &wire, 1000 * second);
        assert_eq!(wire.take(client, 1).len(), 1);
    }
    run_until(&mut engine, &wire, 29_900);
    assert!(!wire.is_closed(client));
    run_until(&mut engine, &wire, 30_010);
    assert!(wire.is_closed(client));
    assert_eq!(engine.handler().ends, [CloseReason::SlowReader]);
}

#[test]
fn a_slow_reader_gets_the_newest_state_and_is_told_of_events_that_it_has_missed() {
    let (mut engine, wire) = start();
    let client = stream(&mut engine, &wire, 20);
    let handle = first(&engine);
    let begun = event("half of it is on the wire");
    assert!(publish(&mut engine, handle, &begun));
    settle(&mut engine);
    for number in 0..EVENTS_MAX + 3 {
        assert!(announce(&mut engine, handle, &event(&format!("event {number}"))));
        assert!(publish(&mut engine, handle, &event(&format!("state {number}"))));
    }
    let mut expected = begun + &event("missed 3");
    (3..EVENTS_MAX + 3).for_each(|number| expected += &event(&format!("event {number}")));
    expected += &event(&format!("state {}", EVENTS_MAX + 2));
    assert_eq!(hear(&mut engine, &wire, client), expected);
}

#[test]
fn what_the_reader_says_is_thrown_away_and_too_much_of_it_ends_the_stream() {
    let limit = Limits::default().linger_bytes_max;
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    // A second request behind the first is no exception.
    wire.send(client, &[STREAM, STREAM].concat());
    hear(&mut engine, &wire, client);
    wire.send(client, &vec![b'x'; limit - STREAM.len()]);
    settle(&mut engine);
    assert_eq!(phase(&engine), Some(Phase::Streaming));
    assert_eq!(engine.ledger().row(Resource::Input).live(), 0, "and nothing of it is kept");
    let handle = first(&engine);
    assert!(reply(&mut engine, handle, &event("owed")));
    wire.send(client, b"x");
    assert_eq!(hear(&mut engine, &wire, client), event("owed"));
    assert!(wire.has_ended(client));
    assert_eq!(engine.handler().ends, [CloseReason::Policy]);
}

#[test]
fn a_reset_ends_it_as_one() {
    let (mut engine, wire) = start();
    let client = stream(&mut engine, &wire, WIDE);
    wire.fail(client, ErrorKind::ConnectionReset);
    settle(&mut engine);
    assert_eq!(engine.handler().ends, [CloseReason::Reset]);
    assert!(wire.is_closed(client));
}

#[test]
fn a_close_lets_the_answers_out_and_no_state_and_then_there_is_the_end() {
    let (mut engine, wire) = start();
    let client = stream(&mut engine, &wire, WIDE);
    let handle = first(&engine);
    assert!(publish(&mut engine, handle, &event("state")));
    assert!(announce(&mut engine, handle, &event("event")));
    assert!(reply(&mut engine, handle, &event("farewell")));
    engine.act(|_, context| {
        context.close(handle, 1000, "bye", CloseReason::Closed);
        assert_eq!(context.envelope(handle), None, "nothing can be queued from here on");
    });
    assert!(!reply(&mut engine, handle, &event("late")));
    assert_eq!(hear(&mut engine, &wire, client), event("farewell"));
    assert!(wire.has_ended(client) && !wire.is_closed(client), "it lingers");
    assert_eq!(engine.handler().ends, [CloseReason::Closed]);
    wire.end(client);
    settle(&mut engine);
    assert!(wire.is_closed(client));
    assert_eq!(engine.task_counts(), TaskCounts { cancelled: 1, ..TaskCounts::default() });
}

#[test]
fn a_drain_ends_streams_in_order_and_lets_no_further_one_begin() {
    let (mut engine, wire) = start();
    let reader = stream(&mut engine, &wire, WIDE);
    let late = wire.connect(WIDE);
    wire.send(late, &STREAM[..10]);
    settle(&mut engine);
    let handle = first(&engine);
    assert!(reply(&mut engine, handle, &event("owed")));
    engine.shutdown();
    assert_eq!(hear(&mut engine, &wire, reader), event("owed"));
    assert!(wire.has_ended(reader));
    assert_eq!(engine.handler().ends, [CloseReason::Shutdown]);
    wire.send(late, &STREAM[10..]);
    assert!(hear(&mut engine, &wire, late).starts_with("HTTP/1.1 503 "));
    wire.end(reader);
    wire.end(late);
    run_until(&mut engine, &wire, 1_000);
    assert_eq!(engine.connections().count(), 0, "the drain needs no force");
    assert_eq!(engine.stats().closes(CloseReason::Shutdown), 2);
}

#[test]
fn a_frame_in_another_envelope_is_not_taken() {
    let (mut engine, wire) = start();
    stream(&mut engine, &wire, WIDE);
    let websocket = wire.connect(WIDE);
    wire.send(websocket, UPGRADE);
    settle(&mut engine);
    let open = engine.handler().open.clone();
    assert_eq!([open[0].1, open[1].1], [Envelope::Event, Envelope::Message]);
    engine.act(|_, context| {
        for (kind, envelope) in [
            (Kind::Text, Envelope::Message),
            (Kind::Binary, Envelope::Message),
            (Kind::Event, Envelope::Event),
        ] {
            let frame = context.encode(kind, write("data: words\n\n")).expect("there is room");
            for (handle, takes) in &open {
                let is_right = *takes == envelope;
                assert_eq!(context.reply(*handle, frame.clone()), is_right, "{kind:?}");
                assert_eq!(context.publish(*handle, 0, frame.clone()), is_right, "{kind:?}");
                let is_taken = context.event(*handle, frame.clone(), |_| panic!("no gap"));
                assert_eq!(is_taken, is_right, "{kind:?}");
            }
        }
    });
}

#[test]
fn a_broadcast_is_encoded_once_for_each_envelope_that_somebody_takes() {
    let (mut engine, wire) = start();
    let mut encoded = Vec::new();
    let mut broadcast = |engine: &mut Probed| {
        encoded.clear();
        let count = engine.act(|_, context| {
            context.broadcast(
                |context, envelope| {
                    encoded.push(envelope);
                    match envelope {
                        Envelope::Message | Envelope::Deflated(_) => {
                            context.encode(Kind::Text, write("words"))
                        }
                        Envelope::Event => context.encode(Kind::Event, write("data: words\n\n")),
                    }
                },
                |_, _| panic!("nobody is slow"),
            )
        });
        (count.expect("there is room"), encoded.clone())
    };
    assert_eq!(broadcast(&mut engine), (0, vec![]));
    let readers = [(); 2].map(|()| stream(&mut engine, &wire, WIDE));
    assert_eq!(broadcast(&mut engine), (2, vec![Envelope::Event]));
    let websockets = [(); 3].map(|()| wire.connect(WIDE));
    websockets.iter().for_each(|client| wire.send(*client, UPGRADE));
    settle(&mut engine);
    assert_eq!(broadcast(&mut engine), (5, vec![Envelope::Event, Envelope::Message]));
    for client in readers {
        assert_eq!(hear(&mut engine, &wire, client), event("words").repeat(2));
    }
    for client in websockets {
        settle(&mut engine);
        let mut bytes = wire.take(client, usize::MAX);
        assert!(take_switching(&mut bytes));
        let payloads: Vec<_> =
            take_frames(&mut bytes).into_iter().map(|frame| frame.payload).collect();
        assert_eq!(payloads, [b"words"]);
    }
}
