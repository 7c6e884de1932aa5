//! What the engine measures and counts of itself, on a wire and a clock of the test's own, where
//! every figure is known.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::io::ErrorKind;
use std::time::Duration;

use frames::{CLOSE, PONG, TEXT, UPGRADE, client_frame};
use vitald::engine::Engine;
use vitald::engine::clock::{Clock, Manual, Tick};
use vitald::engine::connection::CloseReason;
use vitald::engine::connection::frame::{Frame, Kind};
use vitald::engine::connection::head::Request;
use vitald::engine::connection::response::Response;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::histogram::{Summary, Total};
use vitald::engine::limits::Limits;
use wire::{Wire, run_until, settle};

const WIDE: usize = 1 << 20;

/// An address that has a share.
const ADDRESS: &str = "192.0.2.1:1";

/// What state takes on the wire.
const STATE_BYTES: usize = 1_000;

/// Answers with the path, to `/full` that there is no room, to `/later/...` never; publishes when
/// it is told to.
#[derive(Default)]
struct Gauge {
    open: Vec<Handle>,
    /// The engine's, to let time pass while it works.
    clock: Manual,
}

impl Gauge {
    /// Makes state that was due at `due`, or just state, the newest of everyone's.
    fn publish(&self, context: &mut Context<'_>, due: Option<Tick>) {
        let write = |out: &mut Vec<u8>| out.resize(out.len() + STATE_BYTES - 4, b'x');
        let frame = match due {
            Some(due) => context.encode_due(Kind::Text, due, write),
            None => context.encode(Kind::Text, write),
        };
        let frame = frame.expect("there is room");
        for &handle in &self.open {
            assert!(context.publish(handle, 0, frame.clone()));
        }
    }
}

impl Handler for Gauge {
    fn request(&mut self, _: &mut Context<'_>, _: Handle, request: &Request<'_>) -> Answer {
        match request.path() {
            "/ws" => Answer::Upgrade { protocol: None },
            "/full" => Answer::Respond(Response::text(503, "there is no room")),
            path if path.starts_with("/later/") => Answer::Later,
            path => Answer::Respond(Response::text(200, path)),
        }
    }

    fn open(&mut self, _: &mut Context<'_>, handle: Handle, _: &Request<'_>) {
        self.open.push(handle);
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, message: Message<'_>) {
        match message {
            Message::Text("close") => context.close(handle, 1000, "", CloseReason::Closed),
            Message::Text("policy") => context.close(handle, 1008, "", CloseReason::Policy),
            Message::Text("work") => self.clock.advance(Duration::from_millis(7)),
            _ => {
                let frame = Frame::new(Kind::Text, |out| out.extend_from_slice(b"said"));
                assert!(context.reply(handle, frame));
            }
        }
    }

    fn closed(&mut self, _: &mut Context<'_>, handle: Handle, _: CloseReason) {
        self.open.retain(|open| *open != handle);
    }
}

type Gauged = Engine<Gauge, Wire, Manual>;

fn start_with(limits: Limits) -> (Gauged, Wire) {
    let wire = Wire::new();
    let gauge = Gauge { clock: wire.clock(), ..Gauge::default() };
    let engine = Engine::with_parts(limits, wire.clone(), wire.clock(), gauge);
    (engine.expect("the limits make sense"), wire)
}

fn start() -> (Gauged, Wire) {
    start_with(Limits::default())
}

/// A WebSocket that has taken its handshake, whose window then holds `capacity` bytes.
fn open(engine: &mut Gauged, wire: &Wire, capacity: usize) -> usize {
    let client = wire.connect(capacity);
    wire.send(client, UPGRADE);
    take_all(engine, wire, client);
    client
}

fn take_all(engine: &mut Gauged, wire: &Wire, client: usize) -> usize {
    let mut length = 0;
    loop {
        settle(engine);
        let taken = wire.take(client, usize::MAX).len();
        if taken == 0 {
            return length;
        }
        length += taken;
    }
}

fn publish(engine: &mut Gauged, due: Option<Tick>) {
    engine.act(|gauge, context| gauge.publish(context, due));
}

fn say(words: &str) -> Vec<u8> {
    client_frame(0x80 | TEXT, words.as_bytes())
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Whether a figure is at most an eighth more than what it stands for.
fn is_about(told: Option<Duration>, exact: Duration) -> bool {
    told.is_some_and(|told| told >= exact && told <= exact + exact / 8)
}

#[test]
fn latency_is_from_the_due_time_to_the_last_byte_for_each_reader_and_conflated_state_is_none() {
    let (mut engine, wire) = start();
    for _ in 0..8 {
        open(&mut engine, &wire, WIDE);
    }
    let slow = open(&mut engine, &wire, 600);
    wire.clock().advance(ms(1_000));
    let due = wire.clock().now();
    publish(&mut engine, Some(due));
    wire.clock().advance(ms(30));
    settle(&mut engine);
    let summary = engine.measured().latency();
    assert_eq!((summary.count, summary.max), (8, Some(ms(30))), "not yet the one that waits");
    // Two that are replaced before they are begun, and one that is not.
    for _ in 0..3 {
        publish(&mut engine, Some(wire.clock().now()));
        settle(&mut engine);
    }
    run_until(&mut engine, &wire, 2_000);
    take_all(&mut engine, &wire, slow);
    let summary = engine.measured().latency();
    assert_eq!(summary.count, 8 + 3 * 8 + 2);
    assert_eq!(summary.max, Some(ms(1_000)), "from 1 s to 2 s");
    assert_eq!(summary.p50, Some(Duration::ZERO));
    assert!(is_about(summary.p99, ms(1_000)), "{summary:?}");
    let sum = 8 * ms(30) + ms(1_000) + ms(970);
    assert_eq!(engine.measured().latency_total(), Total { count: 34, sum });
}

#[test]
fn latency_has_in_it_what_its_own_turn_takes() {
    let (mut engine, wire) = start();
    let client = open(&mut engine, &wire, WIDE);
    publish(&mut engine, Some(wire.clock().now()));
    wire.send(client, &say("work"));
    engine.turn(Some(Duration::ZERO)).expect("the wire does not fail");
    assert_eq!(engine.measured().latency().max, Some(ms(7)));
}

#[test]
fn latencies_are_those_of_the_last_minute_and_their_total_is_kept() {
    let (mut engine, wire) = start();
    let client = open(&mut engine, &wire, WIDE);
    publish(&mut engine, Some(Tick::ZERO));
    wire.clock().advance(ms(5));
    settle(&mut engine);
    let told = Summary { count: 1, p50: Some(ms(5)), p99: Some(ms(5)), max: Some(ms(5)) };
    run_until(&mut engine, &wire, 45_000);
    wire.send(client, &client_frame(0x80 | PONG, b""));
    run_until(&mut engine, &wire, 59_900);
    assert_eq!(engine.measured().latency(), told);
    run_until(&mut engine, &wire, 60_010);
    assert_eq!(engine.measured().latency(), Summary::default());
    assert_eq!(engine.measured().latency_total(), Total { count: 1, sum: ms(5) });
}

#[test]
fn what_has_no_due_time_is_not_measured() {
    let (mut engine, wire) = start();
    let client = open(&mut engine, &wire, WIDE);
    publish(&mut engine, None);
    wire.send(client, &say("hello"));
    publish(&mut engine, Some(Tick::ZERO));
    settle(&mut engine);
    // Buffers that have had a due time are used again.
    for _ in 0..4 {
        publish(&mut engine, None);
        settle(&mut engine);
    }
    assert_eq!(engine.measured().latency_total().count, 1);
}

#[test]
fn round_trips_are_those_of_all_websockets_and_a_pong_that_answers_nothing_is_none() {
    let (mut engine, wire) = start();
    let clients = [(); 2].map(|()| open(&mut engine, &wire, WIDE));
    let pong = client_frame(0x80 | PONG, b"");
    wire.send(clients[0], &pong);
    settle(&mut engine);
    assert_eq!(engine.measured().round_trips(), Summary::default());
    let pinged_ms = loop {
        run_until(&mut engine, &wire, wire.now_ms() + 1);
        assert!(wire.now_ms() < 31_000, "they are pinged after 30 s of silence");
        if !clients.map(|client| wire.take(client, WIDE)).concat().is_empty() {
            break wire.now_ms();
        }
    };
    run_until(&mut engine, &wire, pinged_ms + 20);
    wire.send(clients[0], &pong);
    run_until(&mut engine, &wire, pinged_ms + 80);
    wire.send(clients[1], &pong);
    settle(&mut engine);
    let summary = engine.measured().round_trips();
    assert_eq!(summary.count, 2);
    assert!(summary.p50 >= Some(ms(20)) && summary.p50 < Some(ms(28)), "{summary:?}");
    assert!(summary.max >= Some(ms(80)) && summary.max < Some(ms(85)), "{summary:?}");
}

#[test]
fn lifetimes_are_of_connections_of_every_kind_from_accept_to_release() {
    let limits = Limits { connections_per_address_max: 1, refusals_max: 0, ..Limits::default() };
    let (mut engine, wire) = start_with(limits);
    let kept = wire.connect_from(ADDRESS, WIDE);
    let viewer = open(&mut engine, &wire, WIDE);
    wire.connect_from(ADDRESS, WIDE);
    settle(&mut engine);
    assert_eq!(engine.measured().lifetimes().count(), 1, "one is turned away at once");
    run_until(&mut engine, &wire, 2_000);
    wire.end(kept);
    run_until(&mut engine, &wire, 4_000);
    // Open for ten days of pings and pongs.
    let pong = client_frame(0x80 | PONG, b"");
    for _ in 0..10 * 24 * 60 * 3 {
        wire.clock().advance(ms(20_000));
        wire.send(viewer, &pong);
        settle(&mut engine);
    }
    wire.end(viewer);
    settle(&mut engine);
    let ten_days = Duration::from_secs(10 * 24 * 60 * 60) + ms(4_000);
    let lifetimes = engine.measured().lifetimes();
    assert_eq!((lifetimes.count(), lifetimes.max()), (3, ten_days));
    assert!(is_about(lifetimes.quantile(0.5), ms(2_000)), "{:?}", lifetimes.quantile(0.5));
    assert_eq!(lifetimes.mean(), Some((ten_days + ms(2_000)) / 3));
}

#[test]
fn a_busy_turn_is_measured_from_the_polls_return_and_a_wait_is_not() {
    let (mut engine, wire) = start();
    let client = open(&mut engine, &wire, WIDE);
    run_until(&mut engine, &wire, 1_000);
    assert_eq!(engine.measured().busy().max, Some(Duration::ZERO));
    wire.send(client, &say("work"));
    settle(&mut engine);
    let busy = engine.measured().busy();
    assert_eq!(busy.max, Some(ms(7)));
    assert_eq!(busy.count, engine.stats().turns);
    run_until(&mut engine, &wire, 29_000);
    run_until(&mut engine, &wire, 299_000);
    assert_eq!(engine.measured().busy().max, Some(ms(7)), "five minutes");
    run_until(&mut engine, &wire, 301_000);
    assert_eq!(engine.measured().busy().max, Some(Duration::ZERO));
}

#[test]
fn a_turn_that_was_free_to_wait_is_a_wakeup_and_one_with_work_left_over_is_none() {
    let (mut engine, wire) = start();
    settle(&mut engine);
    assert_eq!(engine.stats().wakeups, 0, "nobody let it wait");
    engine.turn(Some(ms(10))).expect("the wire does not fail");
    assert_eq!(engine.stats().wakeups, 1);
    open(&mut engine, &wire, WIDE);
    publish(&mut engine, None);
    let turns = engine.stats().turns;
    engine.turn(Some(ms(10))).expect("the wire does not fail");
    assert_eq!((engine.stats().wakeups, engine.stats().turns), (1, turns + 1));
}

#[test]
fn bytes_that_wait_are_summed_and_their_most_is_kept() {
    let (mut engine, wire) = start();
    let waiting = |engine: &Gauged| {
        let sum: usize = engine.connections().map(|connection| connection.bytes_queued).sum();
        assert_eq!(engine.measured().queued_bytes(), sum);
        (sum, engine.measured().queued_bytes_max())
    };
    open(&mut engine, &wire, WIDE);
    let slow = [(); 3].map(|()| open(&mut engine, &wire, 600));
    publish(&mut engine, None);
    settle(&mut engine);
    assert_eq!(waiting(&engine), (3 * 400, 3 * 400), "what the kernel has not taken");
    publish(&mut engine, None);
    settle(&mut engine);
    let most = 3 * (400 + STATE_BYTES);
    assert_eq!(waiting(&engine), (most, most));
    publish(&mut engine, None);
    settle(&mut engine);
    assert_eq!(waiting(&engine), (most, most), "state replaces state");
    take_all(&mut engine, &wire, slow[0]);
    assert_eq!(waiting(&engine), (most / 3 * 2, most));
    wire.fail(slow[1], ErrorKind::ConnectionReset);
    settle(&mut engine);
    assert_eq!(waiting(&engine), (most / 3, most), "with its connection it is gone");
    run_until(&mut engine, &wire, 10_100);
    assert_eq!(waiting(&engine), (0, most), "the last has stalled");
}

/// Attempts, and those of them that failed.
fn attempts(engine: &Gauged) -> (u64, u64) {
    let stats = engine.stats();
    assert!(stats.attempts_failed <= stats.attempts);
    (stats.attempts, stats.attempts_failed)
}

/// What one client comes to that sends `bytes`, waits for `wait_ms` and ends.
fn attempts_of(limits: Limits, bytes: &[u8], wait_ms: u64) -> (u64, u64) {
    let (mut engine, wire) = start_with(limits);
    let client = wire.connect(WIDE);
    wire.send(client, bytes);
    run_until(&mut engine, &wire, wait_ms);
    wire.end(client);
    run_until(&mut engine, &wire, wait_ms + 2_000);
    assert!(wire.is_closed(client));
    attempts(&engine)
}

const GET: &[u8] = b"GET /now HTTP/1.1\r\nHost: h\r\n\r\n";
const FULL: &[u8] = b"GET /full HTTP/1.1\r\nHost: h\r\n\r\n";
const LATER: &[u8] = b"GET /later/1 HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn an_attempt_is_counted_when_it_is_served_or_fails_and_not_when_it_is_given_up() {
    let usual = Limits::default;
    let no_input = || Limits { inputs_max: 0, ..Limits::default() };
    let old = String::from_utf8_lossy(UPGRADE).replace("Version: 13", "Version: 12");
    // Served.
    assert_eq!(attempts_of(usual(), GET, 0), (1, 0));
    assert_eq!(attempts_of(usual(), &GET.repeat(3), 0), (3, 0));
    assert_eq!(attempts_of(usual(), UPGRADE, 0), (1, 0));
    // Failed.
    assert_eq!(attempts_of(usual(), b"NONSENSE\r\n\r\n", 0), (1, 1));
    assert_eq!(attempts_of(usual(), &[GET, b"NONSENSE\r\n\r\n"].concat(), 0), (2, 1));
    assert_eq!(attempts_of(usual(), b"GET /", 6_000), (1, 1), "a late head");
    assert_eq!(attempts_of(usual(), &[GET, b"GET /"].concat(), 6_000), (2, 1));
    assert_eq!(attempts_of(no_input(), b"GET /", 0), (1, 1), "no room for half a head");
    assert_eq!(attempts_of(usual(), old.as_bytes(), 0), (1, 1), "a wrong upgrade");
    assert_eq!(attempts_of(usual(), LATER, 11_000), (1, 1), "no answer in time");
    let upgrade_nowhere = String::from_utf8_lossy(UPGRADE).replace("/ws", "/now");
    assert_eq!(attempts_of(usual(), upgrade_nowhere.as_bytes(), 0), (1, 1), "a refused upgrade");
    assert_eq!(attempts_of(usual(), FULL, 0), (1, 1), "the handler has no room");
    // Given up, or never begun.
    assert_eq!(attempts_of(usual(), b"", 6_000), (0, 0), "a connection in reserve");
    assert_eq!(attempts_of(usual(), GET, 31_000), (1, 0), "one that idles");
    assert_eq!(attempts_of(usual(), b"GET /", 0), (0, 0), "half a head");
}

#[test]
fn an_answer_that_comes_later_is_an_attempt_when_it_comes() {
    let (mut engine, wire) = start();
    let clients = [(); 2].map(|()| wire.connect(WIDE));
    clients.iter().for_each(|client| wire.send(*client, LATER));
    settle(&mut engine);
    assert_eq!(attempts(&engine), (0, 0));
    wire.fail(clients[0], ErrorKind::ConnectionReset);
    settle(&mut engine);
    assert_eq!(attempts(&engine), (0, 0), "who asked has given up");
    let handle = engine.connections().next().expect("one is left").handle;
    assert!(engine.act(|_, context| context.respond(handle, Response::text(200, "here"))));
    settle(&mut engine);
    assert_eq!(attempts(&engine), (1, 0));
}

#[test]
fn who_is_turned_away_is_an_attempt_that_failed_told_or_not() {
    let told = Limits { connections_max: 1, ..Limits::default() };
    let untold = Limits { connections_per_address_max: 1, refusals_max: 0, ..Limits::default() };
    for limits in [told, untold] {
        let (mut engine, wire) = start_with(limits);
        for _ in 0..3 {
            let client = wire.connect_from(ADDRESS, WIDE);
            wire.send(client, GET);
        }
        settle(&mut engine);
        assert_eq!(attempts(&engine), (3, 2));
        assert_eq!(engine.stats().ended_by_error, 0, "a refusal is no error");
    }
}

#[test]
fn what_a_drain_refuses_is_no_failure_and_no_error() {
    let (mut engine, wire) = start();
    let (half, later, viewer) = (wire.connect(WIDE), wire.connect(WIDE), wire.connect(WIDE));
    wire.send(half, &UPGRADE[..20]);
    wire.send(later, LATER);
    wire.send(viewer, UPGRADE);
    settle(&mut engine);
    engine.shutdown();
    wire.send(half, &UPGRADE[20..]);
    run_until(&mut engine, &wire, 6_000);
    assert_eq!(engine.connections().count(), 0);
    assert_eq!(attempts(&engine), (3, 0));
    assert_eq!((engine.stats().ended, engine.stats().ended_by_error), (3, 0));
}

/// Whether the end of a WebSocket to which `happen` happens is counted as an error.
fn is_counted_as_error(happen: impl FnOnce(&mut Gauged, &Wire, usize)) -> bool {
    let (mut engine, wire) = start();
    let client = open(&mut engine, &wire, 600);
    happen(&mut engine, &wire, client);
    run_until(&mut engine, &wire, wire.now_ms() + 2_000);
    assert_eq!(engine.stats().ended, 1, "it has ended, and once");
    engine.stats().ended_by_error == 1
}

#[test]
fn each_error_counts_as_one() {
    let sends = |bytes: &'static [u8]| {
        is_counted_as_error(|_, wire: &Wire, client| wire.send(client, bytes))
    };
    assert!(sends(b"\x81\x01x"), "a frame that is not masked");
    assert!(sends(b"\x81\x81\0\0\0\0\xff"), "text that is not UTF-8");
    assert!(sends(b"\x81\xfe\x10\x01\0\0\0\0"), "a message that is too big");
    assert!(is_counted_as_error(|_, wire, client| wire.send(client, &say("policy"))));
    assert!(is_counted_as_error(|_, wire, client| wire.fail(client, ErrorKind::ConnectionReset)));
    assert!(is_counted_as_error(|_, wire, client| wire.fail(client, ErrorKind::TimedOut)));
    assert!(is_counted_as_error(|engine, wire, _| run_until(engine, wire, 46_000)), "silence");
    let stalls = |engine: &mut Gauged, wire: &Wire, _: usize| {
        publish(engine, None);
        run_until(engine, wire, 11_000);
    };
    assert!(is_counted_as_error(stalls));
    let (mut engine, wire) = start();
    wire.send(wire.connect(WIDE), LATER);
    run_until(&mut engine, &wire, 13_000);
    assert_eq!((engine.stats().ended, engine.stats().ended_by_error), (1, 1), "unanswered");
}

#[test]
fn an_end_in_order_is_no_error_and_neither_is_one_without_a_word() {
    let close = client_frame(0x80 | CLOSE, &1000u16.to_be_bytes());
    assert!(!is_counted_as_error(|_, wire, client| wire.end(client)));
    assert!(!is_counted_as_error(|_, wire, client| wire.send(client, &close)));
    assert!(!is_counted_as_error(|_, wire, client| wire.send(client, &say("close"))));
    for (bytes, wait_ms) in [
        (&b""[..], 6_000),
        (b"GET /", 7_000),
        (b"NONSENSE\r\n\r\n", 2_000),
        (GET, 31_000),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 2_000),
    ] {
        let (mut engine, wire) = start();
        wire.send(wire.connect(WIDE), bytes);
        run_until(&mut engine, &wire, wait_ms);
        assert_eq!((engine.stats().ended, engine.stats().ended_by_error), (1, 0));
    }
}

#[test]
fn every_reason_is_an_error_or_none_and_the_list_is_that_of_the_contract() {
    let errors = CloseReason::ALL.iter().filter(|reason| reason.is_error());
    let names: Vec<&str> = errors.map(|reason| reason.name()).collect();
    let expected = [
        "policy",
        "unanswered",
        "slow_reader",
        "silent",
        "protocol_error",
        "too_big",
        "reset",
        "failed",
    ];
    assert_eq!(names, expected);
}

#[test]
fn clients_that_come_and_go_in_order_have_no_errors_and_no_failures() {
    let (mut engine, wire) = start();
    let close = client_frame(0x80 | CLOSE, &1000u16.to_be_bytes());
    for cycle in 0..300 {
        let client = match cycle % 3 {
            0 => open(&mut engine, &wire, WIDE),
            _ => wire.connect(WIDE),
        };
        match cycle % 3 {
            0 => {
                publish(&mut engine, Some(wire.clock().now()));
                wire.send(client, &say("hello"));
                settle(&mut engine);
                wire.send(client, &close);
            }
            1 => wire.send(client, &GET.repeat(4)),
            // One that a browser keeps in reserve.
            _ => {}
        }
        run_until(&mut engine, &wire, wire.now_ms() + 100);
        wire.end(client);
        settle(&mut engine);
    }
    let stats = engine.stats();
    assert_eq!((stats.ended, stats.ended_by_error), (300, 0));
    assert_eq!(attempts(&engine), (100 + 4 * 100, 0));
}
