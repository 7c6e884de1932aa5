//! What happens at each limit, and just before it.

#[path = "support/wire.rs"]
mod wire;

use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::connection::CloseReason;
use vitald::engine::connection::head::Request;
use vitald::engine::connection::response::Response;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use wire::{Wire, run_until, settle};

struct Hello;

impl Handler for Hello {
    fn request(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) -> Answer {
        Answer::Respond(Response::text(200, "hello"))
    }

    fn message(&mut self, _: &mut Context<'_>, _: Handle, _: Message<'_>) {}
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn start(limits: Limits) -> (Engine<Hello, Wire, Manual>, Wire) {
    Wire::engine(limits, Hello)
}

/// Connects `count` clients from `address` and gives what each is told.
fn connect(
    engine: &mut Engine<Hello, Wire, Manual>,
    wire: &Wire,
    address: &str,
    count: usize,
) -> Vec<String> {
    let clients: Vec<usize> = (0..count).map(|_| wire.connect_from(address, 1 << 20)).collect();
    clients.iter().for_each(|client| wire.send(*client, GET));
    settle(engine);
    clients.iter().map(|client| wire.text(*client)).collect()
}

fn is_served(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ")
}

#[test]
fn an_address_gets_its_share_and_the_next_is_told_503() {
    let (mut engine, wire) = start(Limits::default());
    let answers = connect(&mut engine, &wire, "192.0.2.1:9", 65);
    assert!(answers[..64].iter().all(|answer| is_served(answer)));
    assert!(answers[64].starts_with("HTTP/1.1 503 ") && answers[64].contains("Retry-After: 1"));
    assert!(answers[64].contains("from your address"));
    assert!(connect(&mut engine, &wire, "192.0.2.2:9", 1).iter().all(|answer| is_served(answer)));
    run_until(&mut engine, &wire, 2_500);
    assert_eq!(engine.stats().closes(CloseReason::AddressFull), 1);
}

#[test]
fn a_share_that_is_given_back_can_be_had_again() {
    let limits = Limits { connections_per_address_max: 1, ..Limits::default() };
    let (mut engine, wire) = start(limits);
    assert!(connect(&mut engine, &wire, "192.0.2.1:9", 1).iter().all(|answer| is_served(answer)));
    run_until(&mut engine, &wire, 31_000);
    assert!(connect(&mut engine, &wire, "192.0.2.1:9", 1).iter().all(|answer| is_served(answer)));
}

#[test]
fn loopback_may_use_every_place() {
    let (mut engine, wire) = start(Limits::default());
    assert!(connect(&mut engine, &wire, "127.0.0.1:9", 256).iter().all(|answer| is_served(answer)));
}

#[test]
fn an_address_beyond_its_share_cannot_take_the_places_of_others() {
    let (mut engine, wire) = start(Limits::default());
    let answers = connect(&mut engine, &wire, "192.0.2.1:9", 1000);
    assert_eq!(answers.iter().filter(|answer| is_served(answer)).count(), 64);
    let told = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 503 ")).count();
    assert_eq!(told, 16, "as many as there are places for refusals");
    assert!(connect(&mut engine, &wire, "192.0.2.2:9", 64).iter().all(|answer| is_served(answer)));
}
