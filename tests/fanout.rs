//! A sample for thousands is encoded once for each kind of subscription, and nobody else waits for
//! it to be sent: on a wire where each write takes time.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::io::{self, IoSlice};
use std::time::{Duration, SystemTime};

use frames::{UPGRADE, UPGRADE_WITHOUT_HISTORY};
use vitald::app::App;
use vitald::app::access::Access;
use vitald::app::hub::CLASSES_MAX;
use vitald::engine::Engine;
use vitald::engine::clock::{Clock, Manual, Tick};
use vitald::engine::connection::frame::{Frame, Kind};
use vitald::engine::connection::head::Request;
use vitald::engine::handle::{Handle, Slot};
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use vitald::engine::net::{Event, Net, Peer, Stream};
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, WireStream};

/// What a write to a socket takes: on a small VM it is 4 to 6 us.
const WRITE_TAKES: Duration = Duration::from_micros(10);

/// What nobody is to wait longer for than the rest of a turn.
const WAIT_MAX: Duration = Duration::from_millis(5);

const SUBSCRIBERS: usize = 5000;

/// Five kinds of subscription, one of them the one that everybody begins with.
const KINDS: [Option<&str>; 5] = [
    None,
    Some(r#"{"type":"subscribe","topics":["cpu"]}"#),
    Some(r#"{"type":"subscribe","topics":["load.one"],"interval_ms":2000}"#),
    Some(r#"{"type":"subscribe","topics":["load"],"mode":"batch","batch":2}"#),
    Some(r#"{"type":"subscribe","topics":["memory"],"interval_ms":2000}"#),
];

/// A host without anything.
struct Nothing;

impl Source for Nothing {
    fn read(&mut self, _: Duration, _: &mut Snapshot) {}
}

/// A wire on which time passes with each write.
struct Slow {
    wire: Wire,
    clock: Manual,
}

struct SlowStream {
    stream: WireStream,
    clock: Manual,
}

impl Net for Slow {
    type Stream = SlowStream;

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        self.wire.poll(events, timeout)
    }

    fn accept(&mut self) -> io::Result<(SlowStream, Peer)> {
        let (stream, peer) = self.wire.accept()?;
        Ok((SlowStream { stream, clock: self.clock.clone() }, peer))
    }

    fn open(&mut self, stream: &mut SlowStream, slot: Slot) -> io::Result<()> {
        self.wire.open(&mut stream.stream, slot)
    }

    fn close(&mut self, stream: SlowStream) {
        self.wire.close(stream.stream);
    }

    fn stop_listening(&mut self) {
        self.wire.stop_listening();
    }
}

impl Stream for SlowStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.clock.advance(WRITE_TAKES);
        self.stream.write_vectored(slices)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.stream.take_error()
    }
}

struct Crowd {
    engine: Engine<App, Slow, Manual>,
    wire: Wire,
    clock: Manual,
}

impl Crowd {
    fn gather() -> Crowd {
        let (wire, limits) =
            (Wire::new(), Limits { connections_max: 2 * SUBSCRIBERS, ..Limits::default() });
        let clock = wire.clock();
        let interval = Duration::from_secs(1);
        let metrics = MetricsService::with_source(Box::new(Nothing), Facts::default(), interval);
        let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
        let net = Slow { wire: wire.clone(), clock: clock.clone() };
        let engine = Engine::with_parts(limits, net, clock.clone(), app).expect("they make sense");
        let mut crowd = Crowd { engine, wire, clock };
        for index in 0..SUBSCRIBERS {
            let client = crowd.wire.connect(1 << 20);
            crowd.wire.send(client, UPGRADE_WITHOUT_HISTORY);
            if let Some(message) = KINDS[index % KINDS.len()] {
                crowd.wire.send(client, &frames::client_frame(0x81, message.as_bytes()));
            }
            if index % 64 == 0 {
                crowd.turn(Duration::ZERO);
            }
        }
        while crowd.turn(Duration::ZERO) {}
        crowd
    }

    /// One turn, and whether there may be more to do.
    fn turn(&mut self, timeout: Duration) -> bool {
        self.engine.turn(Some(timeout)).expect("the wire does not fail").worked
    }

    /// What `server` says under a path of its own answer.
    fn figure(&mut self, pointer: &str) -> u64 {
        let client = self.wire.connect(1 << 20);
        self.wire.send(client, b"GET /api/v1/server HTTP/1.1\r\nHost: localhost\r\n\r\n");
        while self.turn(Duration::ZERO) {}
        let answer = self.wire.text(client);
        self.wire.end(client);
        let body = answer.split("\r\n\r\n").nth(1).expect("an answer has a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
        body.pointer(pointer).and_then(serde_json::Value::as_u64).expect("a number")
    }
}

#[test]
fn a_request_in_the_midst_of_a_sample_for_thousands_is_answered_within_5_ms() {
    let mut crowd = Crowd::gather();
    let probe = crowd.wire.connect(1 << 20);
    while crowd.turn(Duration::ZERO) {}
    let (mut worst, mut asked) = (Duration::ZERO, None);
    let published = crowd.engine.stats().frames_published;
    let until = crowd.clock.now() + Duration::from_secs(4);
    while crowd.clock.now() < until {
        let rest = until - crowd.clock.now();
        let sent = crowd.engine.stats().messages_sent;
        crowd.turn(if asked.is_some() { Duration::ZERO } else { rest });
        if asked.is_some() && crowd.wire.text(probe).contains("ok") {
            worst = worst.max(crowd.clock.now() - asked.take().expect("it was asked"));
        }
        // Somebody asks after each turn in which samples were sent.
        if crowd.engine.stats().messages_sent > sent && asked.is_none() {
            crowd.wire.send(probe, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
            asked = Some(crowd.clock.now());
        }
    }
    let published = crowd.engine.stats().frames_published - published;
    // In two seconds: 2 of each of the first two kinds, and 1 of each of the others.
    assert_eq!(published, 2 * (2 + 2 + 1 + 1 + 1) * SUBSCRIBERS as u64 / 5);
    println!("worst wait {worst:?}");
    assert!(worst > Duration::ZERO && worst <= WAIT_MAX, "{worst:?}");
    crowd.engine.check().expect("the books are in balance");
}

#[test]
fn a_sample_is_encoded_once_for_each_kind_of_subscription_that_is_due() {
    let mut crowd = Crowd::gather();
    let mut counts = Vec::new();
    for _ in 0..5 {
        counts.push(crowd.figure("/messages/encoded"));
        let until = crowd.clock.now() + Duration::from_secs(2);
        while crowd.clock.now() < until {
            crowd.turn(until - crowd.clock.now());
        }
    }
    // In two seconds two encodings of each kind at the base interval, and one of the others.
    let rises: Vec<u64> = counts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(rises, [2 + 2 + 1 + 2 + 1; 4]);
}

/// A clock that a look takes time at, as what was done since the look before would have.
#[derive(Clone)]
struct Hurried {
    clock: Manual,
}

/// What a message of 64 KiB takes to be made and compressed, on a small VM.
const MESSAGE_TAKES: Duration = Duration::from_micros(500);

impl Clock for Hurried {
    fn now(&self) -> Tick {
        self.clock.advance(MESSAGE_TAKES);
        self.clock.now()
    }

    fn wall(&self) -> SystemTime {
        self.clock.wall()
    }
}

#[test]
fn the_messages_of_many_kinds_are_not_all_made_in_one_turn() {
    let (wire, limits) = (Wire::new(), Limits::default());
    let interval = Duration::from_secs(1);
    let metrics = MetricsService::with_source(Box::new(Nothing), Facts::default(), interval);
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    let clock = Hurried { clock: wire.clock() };
    let mut engine = Engine::with_parts(limits, wire.clone(), clock, app).expect("they make sense");
    let mut turn = || {
        let before = engine.stats().frames_published;
        engine.turn(Some(Duration::from_millis(10))).expect("the wire does not fail");
        engine.stats().frames_published - before
    };
    for name in 1..CLASSES_MAX {
        let client = wire.connect(1 << 20);
        let wanted = format!(r#"{{"type":"subscribe","sub":"{name}"}}"#);
        wire.send(client, UPGRADE_WITHOUT_HISTORY);
        wire.send(client, &frames::client_frame(0x81, wanted.as_bytes()));
    }
    let until_ms = wire.now_ms() + 4000;
    let (mut published, mut most) = (0, 0);
    while wire.now_ms() < until_ms {
        let of_turn = turn();
        (published, most) = (published + of_turn, most.max(of_turn));
    }
    // Each has the first subscription and its own.
    assert!(published >= 3 * 2 * (CLASSES_MAX as u64 - 1), "{published}");
    // The first that is made is handed out to all who have it.
    let of_one_kind = CLASSES_MAX as u64 - 1;
    assert!(most <= of_one_kind + 3, "{most} in one turn");
}

/// Sends a word to whoever comes, and to whoever speaks.
struct Greeter;

impl Greeter {
    fn greet(context: &mut Context<'_>, handle: Handle) {
        let word = Frame::new(Kind::Text, |out| out.extend_from_slice(b"hello"));
        assert!(context.reply(handle, word));
    }
}

impl Handler for Greeter {
    fn request(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) -> Answer {
        Answer::Upgrade { protocol: None }
    }

    fn open(&mut self, context: &mut Context<'_>, handle: Handle, _: &Request<'_>) {
        Greeter::greet(context, handle);
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, _: Message<'_>) {
        Greeter::greet(context, handle);
    }
}

/// What is to be sent is carried over turns, so whom it was for may be gone when it is reached.
#[test]
fn those_who_come_and_go_while_others_are_sent_to_take_no_places_that_are_not_there() {
    const STAYING: usize = 400;
    const COMING: usize = 64;
    let (wire, limits) = (Wire::new(), Limits { connections_max: 600, ..Limits::default() });
    let clock = wire.clock();
    let net = Slow { wire: wire.clone(), clock: clock.clone() };
    let mut engine = Engine::with_parts(limits, net, clock, Greeter).expect("they make sense");
    let come = || {
        let client = wire.connect(1 << 20);
        wire.send(client, UPGRADE);
        client
    };
    let mut turn = || engine.turn(Some(Duration::ZERO)).expect("the wire does not fail");
    let staying: Vec<usize> = (0..STAYING).map(|_| come()).collect();
    while turn().worked {}
    let (mut opening, mut open) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        staying.iter().for_each(|client| wire.send(*client, &frames::client_frame(0x81, b"x")));
        let coming: Vec<usize> = (0..COMING).map(|_| come()).collect();
        let leaving = std::mem::replace(&mut open, std::mem::replace(&mut opening, coming));
        leaving.iter().for_each(|client| wire.fail(*client, io::ErrorKind::ConnectionReset));
        turn();
    }
    while turn().worked {}
    engine.check().expect("the books are in balance");
}

/// A host on which everything takes long: time passes whenever somebody looks.
struct Busy(Manual);

impl Clock for Busy {
    fn now(&self) -> Tick {
        self.0.advance(Duration::from_millis(2));
        self.0.now()
    }

    fn wall(&self) -> SystemTime {
        self.0.wall()
    }
}

#[test]
fn a_kind_of_subscription_whose_samples_take_longer_than_their_interval_leaves_time_to_others() {
    let wire = Wire::new();
    let interval = Duration::from_millis(100);
    let metrics = MetricsService::with_source(Box::new(Nothing), Facts::default(), interval);
    let limits = Limits::default();
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    let engine = Engine::with_parts(limits, wire.clone(), Busy(wire.clock()), app);
    let mut engine = engine.expect("they make sense");
    let clients: Vec<usize> = (0..251).map(|_| wire.connect(1 << 20)).collect();
    clients.iter().for_each(|client| wire.send(*client, UPGRADE_WITHOUT_HISTORY));
    let (other, many) = clients.split_first().expect("there are some");
    let message = br#"{"type":"subscribe","topics":["load"]}"#;
    wire.send(*other, &frames::client_frame(0x81, message));
    let mut turns = |count| {
        (0..count).for_each(|_| {
            engine.turn(Some(Duration::ZERO)).expect("the wire does not fail");
        });
    };
    turns(50);
    clients.iter().for_each(|client| drop(wire.take(*client, usize::MAX)));
    turns(200);
    let heard = |client: &usize| frames::take_frames(&mut wire.take(*client, usize::MAX)).len();
    let (others, least) = (heard(other), many.iter().map(heard).min().expect("there are many"));
    assert!(others > 10 && least > 10, "{others} and at least {least}");
}
