//! Many at once on the production network: more events than one call gives, more callers than
//! places.

#[path = "support/frames.rs"]
mod frames;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use frames::{UPGRADE, client_frame};
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::connection::CloseReason;
use vitald::engine::connection::head::Request;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use vitald::engine::net::{EVENTS_PER_POLL, ListenAddress, MioNet};

const PATIENCE: Duration = Duration::from_secs(20);

/// Lets everybody in and counts them.
#[derive(Default)]
struct Door {
    opened: usize,
}

impl Handler for Door {
    fn request(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) -> Answer {
        Answer::Upgrade { protocol: None }
    }

    fn open(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) {
        self.opened += 1;
    }

    fn message(&mut self, _: &mut Context<'_>, _: Handle, _: Message<'_>) {}
}

type Crowd = Engine<Door, MioNet, Manual>;

fn listen(net: &mut MioNet) -> SocketAddr {
    let any = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    match net.listen(&any).expect("loopback has a free port") {
        ListenAddress::Tcp(address) => address,
        ListenAddress::Unix(_) => panic!("a TCP address was asked for"),
    }
}

/// Turns until it is as `is_so` asks.
fn turn_until(engine: &mut Crowd, what: &str, is_so: impl Fn(&Crowd) -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !is_so(engine) {
        assert!(Instant::now() < patience, "never: {what}");
        engine.turn(Some(Duration::from_millis(1))).expect("the poll works");
    }
}

#[test]
fn after_a_pause_everybody_is_heard_before_anybody_is_judged() {
    let count = EVENTS_PER_POLL + 144;
    let mut net = MioNet::new().expect("the system has a poll");
    let address = listen(&mut net);
    let clock = Manual::new();
    let limits = Limits { connections_max: count, ..Limits::default() };
    let mut engine = Engine::with_parts(limits, net, clock.clone(), Door::default())
        .expect("the limits make sense");
    let mut clients: Vec<TcpStream> = Vec::new();
    for index in 0..count {
        let mut client = TcpStream::connect(address).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        client.write_all(UPGRADE).expect("it reads");
        turn_until(&mut engine, "it is open", |engine| engine.handler().opened == index + 1);
        let mut head = [0; 1000];
        assert!(client.read(&mut head).expect("it answers") > 0);
        clients.push(client);
    }
    clock.advance(Duration::from_millis(30_010));
    engine.turn(Some(Duration::ZERO)).expect("the poll works");
    for client in &mut clients {
        let mut ping = [0; 2];
        client.read_exact(&mut ping).expect("it is pinged");
        assert_eq!(ping, [0x89, 0]);
        client.write_all(&client_frame(0x8a, b"")).expect("it reads");
    }
    // Loopback delivers within the call that sends: every pong is there. Then the host was asleep.
    clock.advance(Duration::from_secs(16));
    engine.turn(Some(Duration::ZERO)).expect("the poll works");
    assert_eq!(engine.stats().closes(CloseReason::Silent), 0);
    assert_eq!(engine.connections().count(), count);
}

#[test]
fn a_listener_gets_its_turn_while_another_is_overrun() {
    let mut net = MioNet::new().expect("the system has a poll");
    let (overrun, quiet) = (listen(&mut net), listen(&mut net));
    let limits = Limits { connections_max: 4, refusals_max: 0, ..Limits::default() };
    let mut engine = Engine::with_parts(limits, net, Manual::new(), Door::default())
        .expect("the limits make sense");
    let connect = || TcpStream::connect(overrun).expect("it listens");
    let mut flood: VecDeque<TcpStream> = (0..50).map(|_| connect()).collect();
    let mut caller = TcpStream::connect(quiet).expect("it listens");
    caller.write_all(UPGRADE).expect("there is room");
    let patience = Instant::now() + PATIENCE;
    while engine.handler().opened == 0 {
        assert!(Instant::now() < patience, "never served, {} others were", engine.stats().accepted);
        for _ in 0..4 {
            flood.pop_front();
            flood.push_back(connect());
        }
        engine.turn(Some(Duration::from_millis(1))).expect("the poll works");
    }
}
