//! Who is silent: a peer that says nothing although all that it was sent has left and it is read.
//! One that is slow to take what it is owed is judged by that instead.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use frames::{PING, UPGRADE, client_frame, take_frames, take_switching};
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::connection::CloseReason;
use vitald::engine::connection::frame::{Frame, Kind};
use vitald::engine::connection::head::Request;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use vitald::engine::tasks::{Owner, Run};
use wire::{Wire, run_until, settle};

/// Publishes a state of so many bytes each second, and answers each message with as many answers.
#[derive(Default)]
struct Talker {
    open: Vec<Handle>,
    state_bytes: usize,
    answer_bytes: usize,
    answers: usize,
}

impl Handler for Talker {
    fn start(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        context.spawn_every("state", Owner::Handler, now, Duration::from_secs(1));
    }

    fn request(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) -> Answer {
        Answer::Upgrade { protocol: None }
    }

    fn open(&mut self, _: &mut Context<'_>, handle: Handle, _: &Request<'_>) {
        self.open.push(handle);
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, _: Message<'_>) {
        for _ in 0..self.answers {
            let bytes = self.answer_bytes;
            let frame = Frame::new(Kind::Text, |out| out.resize(out.len() + bytes, b'x'));
            assert!(context.reply(handle, frame), "half of what may wait is free");
        }
    }

    fn closed(&mut self, _: &mut Context<'_>, handle: Handle, _: CloseReason) {
        self.open.retain(|open| *open != handle);
    }

    fn task(&mut self, context: &mut Context<'_>, _: Run) {
        if self.state_bytes > 0 {
            let bytes = self.state_bytes;
            let frame = context.encode(Kind::Text, |out| out.resize(out.len() + bytes, b'x'));
            let frame = frame.expect("it is short, and few are held");
            for handle in &self.open {
                context.publish(*handle, 0, frame.clone());
            }
        }
    }
}

type Talking = Engine<Talker, Wire, Manual>;

/// A WebSocket with a small window.
fn open(handler: Talker) -> (Talking, Wire, usize) {
    let (mut engine, wire) = Wire::engine(Limits::default(), handler);
    let client = wire.connect(4000);
    wire.send(client, UPGRADE);
    settle(&mut engine);
    (engine, wire, client)
}

fn assert_open(engine: &Talking, wire: &Wire, client: usize, second: u64) {
    let closes = |reason| engine.stats().closes(reason);
    let (silent, slow) = (closes(CloseReason::Silent), closes(CloseReason::SlowReader));
    assert!(!wire.is_closed(client), "closed at {second} s: silent {silent}, slow {slow}");
}

#[test]
fn a_ping_that_waits_behind_a_frame_is_answered_in_time() {
    let (mut engine, wire, client) = open(Talker { state_bytes: 60_000, ..Talker::default() });
    let (mut taken, mut pings) = (Vec::new(), 0);
    let mut is_switched = false;
    for second in 1..200 {
        run_until(&mut engine, &wire, second * 1000);
        assert_open(&engine, &wire, client, second);
        // Each frame takes 22 s; a ping is answered as soon as it is seen.
        taken.extend(wire.take(client, 2700));
        is_switched = is_switched || take_switching(&mut taken);
        for frame in take_frames(&mut taken) {
            if frame.opcode == PING {
                pings += 1;
                wire.send(client, &client_frame(0x8a, b""));
            }
        }
    }
    assert!(pings >= 3, "{pings} pings");
}

#[test]
fn who_talks_all_the_time_is_not_silent_while_it_is_not_read() {
    // It takes three of the five, 25 s each, until less than half of what may wait is left.
    let talker = Talker { answer_bytes: 51_000, answers: 5, ..Talker::default() };
    let (mut engine, wire, client) = open(talker);
    wire.send(client, &client_frame(0x81, b"ask"));
    settle(&mut engine);
    for second in 1..150 {
        run_until(&mut engine, &wire, second * 1000);
        assert_open(&engine, &wire, client, second);
        wire.take(client, 2050);
        if second % 2 == 0 {
            wire.send(client, &client_frame(0x8a, b""));
        }
    }
}

#[test]
fn who_says_nothing_when_its_answers_are_taken_is_silent_in_its_time() {
    let (mut engine, wire, client) = open(Talker { state_bytes: 1000, ..Talker::default() });
    for second in 1..45 {
        run_until(&mut engine, &wire, second * 1000);
        assert_open(&engine, &wire, client, second);
        wire.take(client, usize::MAX);
    }
    run_until(&mut engine, &wire, 45_100);
    assert_eq!(engine.stats().closes(CloseReason::Silent), 1);
}
