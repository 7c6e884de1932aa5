//! Every deadline of the connection machine, on a wire and a clock of the test's own. The engine
//! audits its books after each turn of these tests.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use frames::UPGRADE;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::connection::CloseReason;
use vitald::engine::connection::frame::{Frame, Kind};
use vitald::engine::connection::head::Request;
use vitald::engine::connection::response::Response;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use wire::{Wire, run_until, settle};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A wide receive buffer.
const WIDE: usize = 1 << 20;

/// Answers requests, echoes text, publishes and closes when told to.
#[derive(Default)]
struct Probe {
    open: Vec<Handle>,
    ends: Vec<CloseReason>,
    taken: usize,
}

impl Handler for Probe {
    fn request(&mut self, _: &mut Context<'_>, _: Handle, request: &Request<'_>) -> Answer {
        match request.path() {
            "/ws" => Answer::Upgrade { protocol: None },
            path => Answer::Respond(Response::text(200, path)),
        }
    }

    fn open(&mut self, _: &mut Context<'_>, handle: Handle, _: &Request<'_>) {
        self.open.push(handle);
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, message: Message<'_>) {
        match message {
            Message::Text("close") => context.close(handle, 1000, "bye", CloseReason::Closed),
            Message::Text("publish") => {
                let frame = context.encode(Kind::Text, |out| out.resize(out.len() + 1000, b'x'));
                context.publish(handle, 0, frame.expect("there is room"));
            }
            Message::Text("flood") => {
                let frame = Frame::new(Kind::Text, |out| out.resize(out.len() + 100_000, b'x'));
                self.taken += (0..5).filter(|_| context.reply(handle, frame.clone())).count();
            }
            Message::Text(text) => {
                let frame = Frame::new(Kind::Text, |out| out.extend_from_slice(text.as_bytes()));
                context.reply(handle, frame);
            }
            Message::Binary(_) => {}
        }
    }

    fn closed(&mut self, _: &mut Context<'_>, handle: Handle, reason: CloseReason) {
        self.open.retain(|open| *open != handle);
        self.ends.push(reason);
    }
}

type Probed = Engine<Probe, Wire, Manual>;

fn start() -> (Probed, Wire) {
    Wire::engine(Limits::default(), Probe::default())
}

/// A client's text frame of at most 125 bytes, masked with zeros.
fn text(payload: &str) -> Vec<u8> {
    [&[0x81, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload.as_bytes()].concat()
}

/// A connected WebSocket client whose 101 has been taken.
fn websocket(engine: &mut Probed, wire: &Wire, capacity: usize) -> usize {
    let client = wire.connect(capacity.max(1000));
    wire.send(client, UPGRADE);
    settle(engine);
    assert!(wire.text(client).starts_with("HTTP/1.1 101 "));
    client
}

fn closes(engine: &Probed, reason: CloseReason) -> u64 {
    engine.stats().closes(reason)
}

#[test]
fn a_peer_that_sends_nothing_is_dropped_after_five_seconds() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    run_until(&mut engine, &wire, 4_900);
    assert!(!wire.is_closed(client));
    run_until(&mut engine, &wire, 5_010);
    assert!(wire.is_closed(client));
    assert_eq!(wire.text(client), "");
    assert_eq!(closes(&engine, CloseReason::HeadTimeout), 1);
}

#[test]
fn half_a_head_is_answered_with_408_however_it_trickles() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    for (second, byte) in GET[..5].iter().enumerate() {
        run_until(&mut engine, &wire, 1000 * second as u64);
        wire.send(client, &[*byte]);
    }
    run_until(&mut engine, &wire, 5_010);
    assert!(wire.text(client).starts_with("HTTP/1.1 408 "));
    assert!(wire.has_ended(client) && !wire.is_closed(client), "it lingers");
    run_until(&mut engine, &wire, 6_100);
    assert!(wire.is_closed(client));
}

#[test]
fn a_kept_connection_may_idle_for_thirty_seconds_between_requests() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    wire.send(client, GET);
    run_until(&mut engine, &wire, 29_900);
    assert!(wire.text(client).starts_with("HTTP/1.1 200 "));
    wire.send(client, GET);
    run_until(&mut engine, &wire, 59_800);
    assert!(wire.text(client).starts_with("HTTP/1.1 200 "));
    assert!(!wire.is_closed(client));
    run_until(&mut engine, &wire, 60_000);
    assert!(wire.is_closed(client));
    assert_eq!(closes(&engine, CloseReason::IdleTimeout), 1);
}

#[test]
fn a_silent_websocket_is_pinged_at_thirty_and_dropped_at_forty_five_seconds() {
    let (mut engine, wire) = start();
    let client = websocket(&mut engine, &wire, WIDE);
    run_until(&mut engine, &wire, 29_900);
    assert!(wire.take(client, 99).is_empty());
    run_until(&mut engine, &wire, 30_010);
    assert_eq!(wire.take(client, 99), [0x89, 0x00]);
    run_until(&mut engine, &wire, 44_900);
    assert!(!wire.is_closed(client));
    run_until(&mut engine, &wire, 45_010);
    assert!(wire.is_closed(client));
    assert_eq!(engine.handler().ends, [CloseReason::Silent]);
}

#[test]
fn a_pong_keeps_a_websocket_for_hours() {
    let (mut engine, wire) = start();
    let client = websocket(&mut engine, &wire, WIDE);
    let mut pings = 0;
    for second in 1..=7200 {
        run_until(&mut engine, &wire, 1000 * second);
        if wire.take(client, 99) == [0x89, 0x00] {
            pings += 1;
            wire.send(client, &[0x8a, 0x80, 0, 0, 0, 0]);
        }
    }
    assert!(!wire.is_closed(client));
    assert!((230..=240).contains(&pings), "{pings} pings in two hours");
}

#[test]
fn a_reader_that_takes_nothing_for_ten_seconds_is_dropped() {
    let (mut engine, wire) = start();
    let client = websocket(&mut engine, &wire, 1000);
    wire.send(client, &text("publish"));
    wire.send(client, &text("publish"));
    run_until(&mut engine, &wire, 9_900);
    assert!(!wire.is_closed(client));
    run_until(&mut engine, &wire, 10_010);
    assert!(wire.is_closed(client));
    assert_eq!(engine.handler().ends, [CloseReason::SlowReader]);
}

#[test]
fn a_reader_that_takes_a_byte_every_nine_seconds_is_dropped_after_thirty() {
    let (mut engine, wire) = start();
    let client = websocket(&mut engine, &wire, 1000);
    wire.send(client, &text("publish"));
    for step in 1..=3 {
        run_until(&mut engine, &wire, 9_000 * step);
        assert_eq!(wire.take(client, 1).len(), 1);
    }
    run_until(&mut engine, &wire, 29_900);
    assert!(!wire.is_closed(client));
    run_until(&mut engine, &wire, 30_100);
    assert!(wire.is_closed(client));
}

#[test]
fn a_close_that_is_not_answered_ends_after_a_second() {
    let (mut engine, wire) = start();
    let client = websocket(&mut engine, &wire, WIDE);
    wire.send(client, &text("close"));
    run_until(&mut engine, &wire, 900);
    assert_eq!(wire.take(client, 99), b"\x88\x05\x03\xe8bye");
    assert!(!wire.is_closed(client));
    run_until(&mut engine, &wire, 1_100);
    assert!(wire.is_closed(client));
    assert_eq!(closes(&engine, CloseReason::Closed), 1);
}

#[test]
fn a_close_that_is_answered_ends_at_once_and_in_order() {
    let (mut engine, wire) = start();
    let client = websocket(&mut engine, &wire, WIDE);
    wire.send(client, &[text("one"), text("close"), text("two")].concat());
    wire.send(client, &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
    settle(&mut engine);
    assert_eq!(wire.take(client, 99), b"\x81\x03one\x88\x05\x03\xe8bye");
    assert!(wire.has_ended(client));
    wire.end(client);
    settle(&mut engine);
    assert!(wire.is_closed(client));
    assert_eq!(wire.now_ms(), 0);
}

#[test]
fn answers_to_what_came_before_the_peers_close_still_arrive() {
    let (mut engine, wire) = start();
    let client = websocket(&mut engine, &wire, WIDE);
    wire.send(client, &[text("one"), vec![0x88, 0x80, 0, 0, 0, 0]].concat());
    settle(&mut engine);
    assert_eq!(wire.take(client, 99), b"\x81\x03one\x88\x00");
    assert_eq!(engine.handler().ends, [CloseReason::PeerClosed]);
}

#[test]
fn a_hundred_pipelined_requests_are_answered_in_order_without_a_new_edge() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    let request = |index| format!("GET /{index} HTTP/1.1\r\nHost: h\r\n\r\n");
    let all: String = (0..100).map(request).collect();
    wire.send(client, all.as_bytes());
    settle(&mut engine);
    let answers = wire.text(client);
    let bodies: Vec<&str> = answers.lines().filter(|line| line.starts_with('/')).collect();
    let expected: Vec<String> = (0..100).map(|index| format!("/{index}")).collect();
    assert_eq!(bodies, expected);
}

#[test]
fn three_thousand_messages_at_once_are_answered_in_order_to_a_narrow_reader() {
    let (mut engine, wire) = start();
    let client = websocket(&mut engine, &wire, 1000);
    let payload = |index| format!("{index:05}");
    let all: Vec<u8> = (0..3000).flat_map(|index| text(&payload(index))).collect();
    wire.send(client, &all);
    let mut received = Vec::new();
    while received.len() < 3000 * 7 {
        settle(&mut engine);
        let taken = wire.take(client, 600);
        assert!(!taken.is_empty(), "a readiness was lost after {} bytes", received.len());
        received.extend(taken);
    }
    let expected: Vec<u8> =
        (0..3000).flat_map(|index| [b"\x81\x05", payload(index).as_bytes()].concat()).collect();
    assert!(received == expected);
}

#[test]
fn answers_beyond_the_limit_are_refused_to_the_handler_until_the_peer_has_taken_some() {
    let (mut engine, wire) = start();
    let client = websocket(&mut engine, &wire, 50_000);
    wire.send(client, &text("flood"));
    settle(&mut engine);
    assert_eq!(engine.handler().taken, 2, "256 KiB hold two answers of 100 kB");
    wire.send(client, &text("flood"));
    settle(&mut engine);
    assert_eq!(engine.handler().taken, 2, "the peer is not read while it takes nothing");
    while !wire.take(client, WIDE).is_empty() {
        settle(&mut engine);
    }
    assert_eq!(
        engine.handler().taken,
        3,
        "beside one that is half on the wire there is room again"
    );
}

#[test]
fn a_pool_without_buffers_loses_no_message() {
    let limits = Limits { inputs_max: 0, ..Limits::default() };
    let (mut engine, wire) = Wire::engine(limits, Probe::default());
    let client = websocket(&mut engine, &wire, WIDE);
    let all: Vec<u8> = (0..500).flat_map(|index| text(&format!("{index:05}"))).collect();
    wire.send(client, &all);
    settle(&mut engine);
    assert_eq!(wire.take(client, WIDE).len(), 500 * 7);
    let half = wire.connect(WIDE);
    wire.send(half, &GET[..9]);
    settle(&mut engine);
    assert!(wire.text(half).starts_with("HTTP/1.1 503 "));
}

#[test]
fn a_close_by_the_handler_comes_before_what_follows_it_with_or_without_a_pool() {
    for inputs_max in [0, 1] {
        for last in [&[0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa0][..], &[0x81, 0x02, b'h', b'i']] {
            let limits = Limits { inputs_max, ..Limits::default() };
            let (mut engine, wire) = Wire::engine(limits, Probe::default());
            let client = websocket(&mut engine, &wire, WIDE);
            wire.send(client, &[&text("close"), last].concat());
            settle(&mut engine);
            assert_eq!(wire.take(client, 99), b"\x88\x05\x03\xe8bye", "{inputs_max} buffers");
            assert_eq!(engine.handler().ends, [CloseReason::Closed], "{inputs_max} buffers");
        }
    }
}

#[test]
fn one_connection_too_many_is_told_503_and_the_next_is_served_when_one_has_left() {
    let limits = Limits { connections_max: 2, refusals_max: 1, ..Limits::default() };
    let (mut engine, wire) = Wire::engine(limits, Probe::default());
    let first = wire.connect(WIDE);
    let second = wire.connect(WIDE);
    let third = wire.connect(WIDE);
    let fourth = wire.connect(WIDE);
    for client in [first, second, third, fourth] {
        wire.send(client, GET);
    }
    settle(&mut engine);
    assert!(wire.text(first).starts_with("HTTP/1.1 200 "));
    let refusal = wire.text(third);
    assert!(refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("\r\nRetry-After: 1\r\n"));
    assert_eq!(wire.text(fourth), "", "it waits in the kernel's queue");
    wire.end(first);
    wire.end(third);
    settle(&mut engine);
    assert!(wire.text(fourth).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_refused_peer_may_finish_speaking_but_not_for_ever() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    wire.send(client, b"NONSENSE\r\n\r\n");
    settle(&mut engine);
    assert!(wire.text(client).starts_with("HTTP/1.1 400 "));
    wire.send(client, &[b'x'; 60_000]);
    settle(&mut engine);
    assert!(!wire.is_closed(client));
    wire.send(client, &[b'x'; 10_000]);
    settle(&mut engine);
    assert!(wire.is_closed(client));
}

#[test]
fn a_drain_ends_each_connection_as_its_phase_asks() {
    let (mut engine, wire) = start();
    let idle = wire.connect(WIDE);
    wire.send(idle, GET);
    let answering = wire.connect(10);
    wire.send(answering, GET);
    let open = websocket(&mut engine, &wire, WIDE);
    engine.shutdown();
    settle(&mut engine);
    assert!(!wire.is_listening());
    assert!(wire.is_closed(idle));
    assert_eq!(&wire.take(open, 4)[..], [0x88, 24, 0x03, 0xe9]);
    let mut answer = String::new();
    while !wire.has_ended(answering) {
        answer.push_str(&wire.text(answering));
        settle(&mut engine);
    }
    assert!(answer.starts_with("HTTP/1.1 200 "));
    wire.end(answering);
    wire.send(open, &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);
    wire.end(open);
    let turn = settle(&mut engine);
    assert!(turn.finished, "{turn:?}");
    assert_eq!(engine.handler().ends, [CloseReason::Shutdown]);
}

#[test]
fn a_drain_is_over_after_five_seconds_whatever_the_peers_do() {
    let (mut engine, wire) = start();
    let stuck = wire.connect(10);
    wire.send(stuck, GET);
    settle(&mut engine);
    engine.shutdown();
    run_until(&mut engine, &wire, 4_900);
    assert!(!wire.is_closed(stuck));
    run_until(&mut engine, &wire, 5_010);
    assert!(wire.is_closed(stuck));
    assert_eq!(closes(&engine, CloseReason::ShutdownForced), 1);
}

#[test]
fn a_drain_of_nothing_is_over_at_once() {
    let (mut engine, wire) = start();
    settle(&mut engine);
    engine.shutdown();
    assert!(settle(&mut engine).finished);
    assert_eq!(wire.now_ms(), 0);
}
