//! A handler with more to do than a turn should take goes on in the next, and others come between.

#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use vitald::engine::connection::head::Request;
use vitald::engine::connection::response::Response;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use wire::Wire;

/// Answers at once, and then has this many steps of its own to do.
struct Busy {
    steps: u32,
}

impl Handler for Busy {
    fn request(&mut self, context: &mut Context<'_>, _: Handle, request: &Request<'_>) -> Answer {
        if request.path() == "/work" {
            self.steps = 3;
            context.resume();
        }
        Answer::Respond(Response::text(200, "done"))
    }

    fn message(&mut self, _: &mut Context<'_>, _: Handle, _: Message<'_>) {}

    fn resume(&mut self, context: &mut Context<'_>) {
        self.steps -= 1;
        if self.steps > 0 {
            context.resume();
        }
    }
}

#[test]
fn it_goes_on_once_a_turn_without_waiting_and_others_are_served_meanwhile() {
    let (mut engine, wire) = Wire::engine(Limits::default(), Busy { steps: 0 });
    let (worker, other) = (wire.connect(1 << 20), wire.connect(1 << 20));
    wire.send(worker, b"GET /work HTTP/1.1\r\nHost: h\r\n\r\n");
    while engine.handler().steps == 0 {
        engine.turn(None).expect("the wire does not fail");
    }
    let began = wire.now_ms();
    wire.send(other, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    // Whoever drives the loop is told that a turn is due, and need not wait for anything.
    for steps in [2, 1, 0] {
        assert!(engine.next_deadline().is_some_and(|due| due.since_origin() <= now(&wire)));
        assert!(engine.turn(None).expect("the wire does not fail").worked);
        assert_eq!(engine.handler().steps, steps);
        assert_eq!(wire.now_ms(), began, "no time passes");
    }
    assert!(wire.text(other).contains("done"), "it was served in between");
    assert!(engine.next_deadline().is_none_or(|due| due.since_origin() > now(&wire)));
}

fn now(wire: &Wire) -> Duration {
    Duration::from_millis(wire.now_ms())
}
