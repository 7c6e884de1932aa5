//! Answers that come in a later turn than their request: on a wire and a clock of the test's own,
//! and on real sockets.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Once;
use std::time::{Duration, Instant};

use frames::UPGRADE;
use log::{LevelFilter, Log, Metadata, Record};
use vitald::engine::Engine;
use vitald::engine::clock::{Clock, Manual, Monotonic};
use vitald::engine::connection::CloseReason;
use vitald::engine::connection::frame::{Frame, Kind};
use vitald::engine::connection::head::Request;
use vitald::engine::connection::response::Response;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use vitald::engine::net::{ListenAddress, MioNet, Net};
use wire::{Wire, run_until, settle};

const WIDE: usize = 1 << 20;

/// How long real sockets may take before a test gives up on them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers `/later/...` when it is told to, and everything else at once; each with the path.
#[derive(Default)]
struct Clerk {
    waiting: Vec<(Handle, String)>,
    /// How many answers to give when a drain begins.
    parting: usize,
}

impl Clerk {
    /// Answers who has waited longest; says whether that was taken.
    fn answer(&mut self, context: &mut Context<'_>) -> bool {
        let (handle, path) = self.waiting.remove(0);
        let awaits = context.awaits(handle);
        let is_taken = context.respond(handle, Response::text(200, &path));
        assert_eq!(is_taken, awaits, "what awaits an answer takes it");
        assert!(!context.awaits(handle), "and awaits no other");
        is_taken
    }
}

impl Handler for Clerk {
    fn request(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        request: &Request<'_>,
    ) -> Answer {
        let path = request.path();
        assert!(
            !context.respond(handle, Response::text(200, "too soon")),
            "nothing is awaited yet"
        );
        match path {
            "/ws" => Answer::Upgrade { protocol: None },
            _ if path.starts_with("/later/") => {
                self.waiting.push((handle, path.to_owned()));
                Answer::Later
            }
            _ => Answer::Respond(Response::text(200, path)),
        }
    }

    fn message(&mut self, _: &mut Context<'_>, _: Handle, _: Message<'_>) {}

    fn drain(&mut self, context: &mut Context<'_>) {
        for _ in 0..self.parting {
            assert!(self.answer(context), "a drain that begins can be answered before");
        }
    }
}

type Office = Engine<Clerk, Wire, Manual>;

fn start() -> (Office, Wire) {
    listen();
    Wire::engine(Limits::default(), Clerk::default())
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// Answers who has waited longest.
fn answer<N: Net, C: Clock>(engine: &mut Engine<Clerk, N, C>) -> bool {
    engine.act(Clerk::answer)
}

/// The bodies of what has come; they are paths with a line end.
fn bodies(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with('/')).collect()
}

#[test]
fn an_answer_that_comes_later_is_the_one_to_its_request_and_the_next_request_waits_for_it() {
    for capacity in [WIDE, 1] {
        let (mut engine, wire) = start();
        let client = wire.connect(capacity);
        wire.send(client, &[get("/later/1"), get("/now/2"), get("/later/3")].concat());
        let mut heard = String::new();
        let mut hear = |engine: &mut Office| {
            loop {
                settle(engine);
                let taken = wire.text(client);
                if taken.is_empty() {
                    return bodies(&heard).join(" ");
                }
                heard.push_str(&taken);
            }
        };
        run_until(&mut engine, &wire, 5_000);
        assert_eq!(hear(&mut engine), "", "nothing passes an answer that is awaited");
        assert!(answer(&mut engine));
        assert_eq!(hear(&mut engine), "/later/1 /now/2");
        run_until(&mut engine, &wire, 14_000);
        assert!(answer(&mut engine), "each wait has a time of its own");
        assert_eq!(hear(&mut engine), "/later/1 /now/2 /later/3");
        wire.send(client, &get("/now/4"));
        assert_eq!(hear(&mut engine), "/later/1 /now/2 /later/3 /now/4");
    }
}

#[test]
fn a_head_request_gets_the_length_of_a_later_answer_and_no_body() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    wire.send(client, b"HEAD /later/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    settle(&mut engine);
    assert!(answer(&mut engine));
    settle(&mut engine);
    let head = wire.text(client);
    assert!(head.contains("\r\nContent-Length: 9\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    wire.send(client, &get("/now/2"));
    settle(&mut engine);
    assert_eq!(bodies(&wire.text(client)), ["/now/2"], "the connection goes on");
}

#[test]
fn a_later_answer_to_a_last_request_ends_its_connection() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    wire.send(client, b"GET /later/1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    settle(&mut engine);
    assert!(answer(&mut engine));
    settle(&mut engine);
    let text = wire.text(client);
    assert!(text.contains("\r\nConnection: close\r\n") && text.ends_with("/later/1\n"), "{text}");
    assert!(wire.has_ended(client));
}

#[test]
fn a_peer_that_has_said_its_end_gets_the_answer_it_waits_for() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    wire.send(client, &[get("/later/1"), get("/later/2")].concat());
    wire.end(client);
    for path in ["/later/1", "/later/2"] {
        run_until(&mut engine, &wire, wire.now_ms() + 3_000);
        assert!(answer(&mut engine));
        settle(&mut engine);
        assert_eq!(bodies(&wire.text(client)), [path]);
    }
    assert!(wire.is_closed(client));
    assert_eq!(engine.stats().closes(CloseReason::PeerLeft), 1);
}

#[test]
fn a_reset_ends_the_wait_and_the_answer_reaches_nobody_else() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    wire.send(client, &get("/later/1"));
    settle(&mut engine);
    wire.fail(client, ErrorKind::ConnectionReset);
    settle(&mut engine);
    assert!(wire.is_closed(client), "nobody waits for a deadline");
    assert_eq!(engine.stats().closes(CloseReason::Reset), 1);
    let successor = wire.connect(WIDE);
    wire.send(successor, &get("/later/2"));
    settle(&mut engine);
    assert!(!answer(&mut engine), "who asked is gone");
    settle(&mut engine);
    assert_eq!(wire.text(successor), "");
    assert!(answer(&mut engine));
    settle(&mut engine);
    assert_eq!(bodies(&wire.text(successor)), ["/later/2"]);
}

#[test]
fn nothing_is_read_while_an_answer_is_awaited() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    wire.send(client, &get("/later/1"));
    settle(&mut engine);
    let read = engine.stats().bytes_read;
    for _ in 0..10 {
        wire.send(client, &[b'x'; 10_000]);
        settle(&mut engine);
    }
    assert_eq!(engine.stats().bytes_read, read);
    engine.audit();
}

#[test]
fn an_answer_that_does_not_come_is_503_after_ten_seconds_whatever_else_comes() {
    for method in ["GET", "HEAD"] {
        let (mut engine, wire) = start();
        let client = wire.connect(WIDE);
        wire.send(client, format!("{method} /later/1 HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        for second in 1..=9 {
            run_until(&mut engine, &wire, second * 1000);
            wire.send(client, &get("/later/2"));
        }
        run_until(&mut engine, &wire, 9_990);
        assert_eq!(wire.text(client), "");
        run_until(&mut engine, &wire, 10_010);
        let text = wire.text(client);
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: 1\r\n"));
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        assert_eq!(text.ends_with("\r\n\r\n"), method == "HEAD", "{text}");
        assert_eq!(engine.handler().waiting.len(), 1, "what waited behind it is not served");
        assert!(!answer(&mut engine), "it comes too late");
        wire.end(client);
        settle(&mut engine);
        assert!(wire.is_closed(client));
        assert_eq!(engine.stats().closes(CloseReason::Unanswered), 1);
    }
}

#[test]
fn answers_that_do_not_come_are_complained_of_once_in_ten_seconds() {
    let (mut engine, wire) = start();
    for _ in 0..20 {
        let client = wire.connect(WIDE);
        wire.send(client, &get("/later/1"));
    }
    run_until(&mut engine, &wire, 12_000);
    assert_eq!(engine.stats().closes(CloseReason::Unanswered), 20);
    assert_eq!(COMPLAINTS.get(), 1);
}

#[test]
fn a_late_answer_has_its_full_time_to_be_taken() {
    let (mut engine, wire) = start();
    let client = wire.connect(1);
    wire.send(client, &get("/later/1"));
    run_until(&mut engine, &wire, 9_900);
    assert!(answer(&mut engine));
    run_until(&mut engine, &wire, 19_800);
    assert!(!wire.is_closed(client), "it has not stalled for ten seconds");
    run_until(&mut engine, &wire, 20_000);
    assert!(wire.is_closed(client));
    assert_eq!(engine.stats().closes(CloseReason::SlowReader), 1);
}

#[test]
fn an_answer_that_the_next_turn_is_late_to_send_is_sent_all_the_same() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    wire.send(client, &get("/later/1"));
    run_until(&mut engine, &wire, 9_900);
    assert!(answer(&mut engine));
    wire.clock().advance(Duration::from_millis(200));
    settle(&mut engine);
    assert_eq!(bodies(&wire.text(client)), ["/later/1"]);
    assert!(!wire.is_closed(client));
}

#[test]
fn a_drain_answers_who_waits_503_and_is_over_without_them() {
    let (mut engine, wire) = start();
    let clients = [(); 3].map(|()| wire.connect(WIDE));
    for client in clients {
        wire.send(client, &get("/later/1"));
    }
    let late = wire.connect(WIDE);
    wire.send(late, b"GET /later/2 HTTP/1.1\r\n");
    settle(&mut engine);
    engine.act(|clerk, _| clerk.parting = 1);
    engine.shutdown();
    settle(&mut engine);
    let texts = clients.map(|client| wire.text(client));
    assert_eq!(bodies(&texts[0]), ["/later/1"], "the handler may answer when it begins");
    for text in &texts[1..] {
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("\r\nRetry-After: 1\r\n"));
    }
    assert!(texts.iter().all(|text| text.contains("\r\nConnection: close\r\n")), "{texts:?}");
    assert!(!answer(&mut engine), "the others have had their answer");
    wire.send(late, b"Host: h\r\n\r\n");
    settle(&mut engine);
    assert!(wire.text(late).starts_with("HTTP/1.1 503 "), "nothing would bring its answer");
    for client in clients.into_iter().chain([late]) {
        wire.end(client);
    }
    assert!(settle(&mut engine).finished);
    assert_eq!(wire.now_ms(), 0, "no deadline was needed");
}

#[test]
fn a_later_answer_over_the_limit_is_500() {
    let (mut engine, wire) = start();
    let client = wire.connect(WIDE);
    wire.send(client, &get("/later/1"));
    settle(&mut engine);
    let bytes = Limits::default().reply_bytes_max + 1;
    let body = Frame::new(Kind::Plain, |out| out.resize(out.len() + bytes, b'x'));
    let response = Response::new(200).with_body("text/plain", body);
    let handle = engine.handler().waiting[0].0;
    assert!(engine.act(|_, context| context.respond(handle, response)));
    settle(&mut engine);
    assert!(wire.text(client).starts_with("HTTP/1.1 500 "));
}

#[test]
fn who_awaits_nothing_takes_no_answer() {
    let (mut engine, wire) = start();
    let clients = [(); 2].map(|()| wire.connect(WIDE));
    wire.send(clients[0], UPGRADE);
    settle(&mut engine);
    assert!(wire.text(clients[0]).starts_with("HTTP/1.1 101 "));
    let handles: Vec<Handle> = engine.connections().map(|connection| connection.handle).collect();
    for handle in handles {
        assert!(!engine.act(|_, context| context.respond(handle, Response::text(200, "what?"))));
    }
    settle(&mut engine);
    assert_eq!(clients.map(|client| wire.text(client)), ["", ""]);
}

/// An engine on loopback, and where it listens.
fn serve() -> (Engine<Clerk, MioNet, Monotonic>, SocketAddr) {
    let mut net = MioNet::new().expect("the system has a poll");
    let any_port = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    let bound = net.listen(&any_port).expect("loopback has a free port");
    let ListenAddress::Tcp(address) = bound else { panic!("a TCP address was asked for") };
    let engine = Engine::with_parts(Limits::default(), net, Monotonic::new(), Clerk::default());
    (engine.expect("the limits make sense"), address)
}

/// Turns until it is so.
fn turn_until(
    engine: &mut Engine<Clerk, MioNet, Monotonic>,
    what: &str,
    mut is_so: impl FnMut(&Engine<Clerk, MioNet, Monotonic>) -> bool,
) {
    let patience = Instant::now() + PATIENCE;
    while !is_so(engine) {
        assert!(Instant::now() < patience, "it never came to this: {what}");
        engine.turn(Some(Duration::from_millis(10))).expect("the poll works");
    }
}

#[test]
fn a_real_peer_that_has_said_its_end_gets_every_later_answer() {
    let (mut engine, address) = serve();
    let mut client = TcpStream::connect(address).expect("it listens");
    client
        .write_all(&[get("/later/1"), get("/now/2"), get("/later/3")].concat())
        .expect("it reads");
    client.shutdown(Shutdown::Write).expect("it is connected");
    for _ in 0..2 {
        turn_until(&mut engine, "it asks", |engine| !engine.handler().waiting.is_empty());
        assert!(answer(&mut engine));
    }
    turn_until(&mut engine, "it is released", |engine| engine.connections().count() == 0);
    let mut text = String::new();
    client.read_to_string(&mut text).expect("it answers and ends");
    assert_eq!(bodies(&text), ["/later/1", "/now/2", "/later/3"]);
}

#[test]
fn a_real_reset_ends_the_wait_at_once() {
    let (mut engine, address) = serve();
    let mut client = TcpStream::connect(address).expect("it listens");
    client.write_all(&[get("/later/1"), get("/later/2")].concat()).expect("it reads");
    turn_until(&mut engine, "it asks", |engine| !engine.handler().waiting.is_empty());
    let lingering = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
    lingering.expect("a socket can be told to end by a reset");
    drop(client);
    let began = Instant::now();
    turn_until(&mut engine, "it is released", |engine| engine.connections().count() == 0);
    assert!(began.elapsed() < Limits::default().answer_timeout / 2, "no deadline was needed");
    assert_eq!(engine.stats().closes(CloseReason::Reset), 1);
    assert!(!answer(&mut engine));
}

thread_local! {
    /// Complaints of answers that did not come, on this test's thread.
    static COMPLAINTS: Cell<usize> = const { Cell::new(0) };
}

struct Listener;

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.args().to_string().starts_with("limit=answer_timeout ") {
            COMPLAINTS.set(COMPLAINTS.get() + 1);
        }
    }

    fn flush(&self) {}
}

fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        log::set_logger(&Listener).expect("no other logger is set");
        log::set_max_level(LevelFilter::Warn);
    });
}
