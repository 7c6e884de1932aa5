//! A peer that has said all it will say is still told all it is owed, on a wire and a clock of the
//! test's own.

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

/// Receive buffers of clients: nobody waits, and everybody waits for every byte.
const WIDTHS: [usize; 2] = [1 << 20, 1];

/// Answers with the path, echoes text, and publishes when told to.
#[derive(Default)]
struct Echo {
    ends: Vec<CloseReason>,
}

impl Handler for Echo {
    fn request(&mut self, _: &mut Context<'_>, _: Handle, request: &Request<'_>) -> Answer {
        match request.path() {
            "/ws" => Answer::Upgrade { protocol: None },
            path => Answer::Respond(Response::text(200, path)),
        }
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, message: Message<'_>) {
        let Message::Text(text) = message else { return };
        let frame = Frame::new(Kind::Text, |out| out.extend_from_slice(text.as_bytes()));
        match text {
            "publish" => context.publish(handle, 0, frame),
            _ => context.reply(handle, frame),
        };
    }

    fn closed(&mut self, _: &mut Context<'_>, _: Handle, reason: CloseReason) {
        self.ends.push(reason);
    }
}

type Echoed = Engine<Echo, Wire, Manual>;

fn start() -> (Echoed, Wire) {
    Wire::engine(Limits::default(), Echo::default())
}

/// A client's text frame, masked with zeros.
fn text(payload: &str) -> Vec<u8> {
    [&[0x81, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload.as_bytes()].concat()
}

/// Takes everything that comes until nothing more does.
fn take_all(engine: &mut Echoed, wire: &Wire, client: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        settle(engine);
        let taken = wire.take(client, usize::MAX);
        if taken.is_empty() {
            return all;
        }
        all.extend(taken);
    }
}

#[test]
fn pipelined_requests_that_end_in_a_half_close_are_all_answered() {
    for width in WIDTHS {
        let (mut engine, wire) = start();
        let client = wire.connect(width);
        // More than one turn's share of requests.
        for index in 0..40 {
            wire.send(client, format!("GET /{index} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        }
        wire.end(client);
        let answers = String::from_utf8(take_all(&mut engine, &wire, client)).expect("it is text");
        let bodies: Vec<&str> = answers.lines().filter(|line| line.starts_with('/')).collect();
        let expected: Vec<String> = (0..40).map(|index| format!("/{index}")).collect();
        assert_eq!(bodies, expected, "a buffer of {width}");
        assert!(wire.is_closed(client), "a buffer of {width}");
        assert_eq!(engine.stats().closes(CloseReason::PeerLeft), 1);
        assert_eq!(wire.now_ms(), 0, "no deadline was needed");
    }
}

#[test]
fn half_a_request_that_ends_in_a_half_close_takes_no_answer_from_those_before_it() {
    for width in WIDTHS {
        let (mut engine, wire) = start();
        let client = wire.connect(width);
        wire.send(client, b"GET /whole HTTP/1.1\r\nHost: h\r\n\r\nGET /half HTTP");
        wire.end(client);
        let answers = take_all(&mut engine, &wire, client);
        assert!(answers.ends_with(b"\r\n\r\n/whole\n"), "a buffer of {width}");
        assert!(wire.is_closed(client), "a buffer of {width}");
    }
}

#[test]
fn a_last_request_that_ends_in_a_half_close_is_answered_and_finished() {
    for width in WIDTHS {
        let (mut engine, wire) = start();
        let client = wire.connect(width);
        wire.send(client, b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        wire.end(client);
        let answer = take_all(&mut engine, &wire, client);
        assert!(answer.ends_with(b"\r\n\r\n/last\n"), "a buffer of {width}");
        assert_eq!(engine.stats().closes(CloseReason::Finished), 1);
        assert_eq!(wire.now_ms(), 0, "no deadline was needed");
    }
}

#[test]
fn a_websocket_that_ends_in_a_half_close_gets_its_handshake_and_every_answer() {
    for width in WIDTHS {
        let (mut engine, wire) = start();
        let client = wire.connect(width);
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        wire.send(client, &[UPGRADE, &text("one"), &ping, &text("two")].concat());
        wire.end(client);
        let all = take_all(&mut engine, &wire, client);
        let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a whole head");
        let mut frames = all[end + 4..].to_vec();
        assert!(all.starts_with(b"HTTP/1.1 101 "), "a buffer of {width}");
        // Control may pass answers that wait.
        let pong = frames.windows(2).position(|bytes| bytes == [0x8a, 0]).expect("a pong");
        frames.drain(pong..pong + 2);
        assert_eq!(frames, b"\x81\x03one\x81\x03two", "a buffer of {width}");
        assert!(wire.is_closed(client), "a buffer of {width}");
        assert_eq!(engine.handler().ends, [CloseReason::PeerLeft]);
        assert_eq!(engine.stats().closes(CloseReason::PeerLeft), 1);
        assert_eq!(wire.now_ms(), 0, "no deadline was needed");
    }
}

#[test]
fn state_that_waits_is_no_answer_and_is_dropped_with_a_websocket_that_has_ended() {
    let (mut engine, wire) = start();
    let client = wire.connect(1);
    wire.send(client, UPGRADE);
    take_all(&mut engine, &wire, client);
    wire.send(client, &[text("answer"), text("publish")].concat());
    settle(&mut engine);
    wire.end(client);
    assert_eq!(take_all(&mut engine, &wire, client), b"\x81\x06answer");
    assert!(wire.is_closed(client));
}

#[test]
fn what_a_half_closed_peer_does_not_take_in_a_second_is_lost() {
    let (mut engine, wire) = start();
    let client = wire.connect(1);
    wire.send(client, UPGRADE);
    take_all(&mut engine, &wire, client);
    wire.send(client, &text("answer"));
    wire.end(client);
    run_until(&mut engine, &wire, 900);
    assert!(!wire.is_closed(client));
    run_until(&mut engine, &wire, 1_010);
    assert!(wire.is_closed(client));
    assert_eq!(engine.stats().closes(CloseReason::PeerLeft), 1);
}
