//! The wall clock is set while vitald runs: what is due comes when it is due, and what is kept stays
//! in order. The network, the clock and the figures are of the test's own.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use frames::{UPGRADE, take_frames, take_switching};
use serde_json::Value;
use vitald::app::App;
use vitald::app::access::Access;
use vitald::config::Token;
use vitald::engine::Engine;
use vitald::engine::clock::{Clock, Manual, Tick};
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::alerts::{Rules, Setting};
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, run_until, settle};

const DAY_MS: i64 = 86_400_000;

/// 2025-01-01, in Unix milliseconds.
const START_MS: i64 = 1_735_689_600_000;

const TOKEN: &str = "a-token-that-is-long-enough";

/// A clock whose wall time can be set.
#[derive(Clone)]
struct Set {
    manual: Manual,
    ahead_ms: Rc<Cell<i64>>,
}

impl Clock for Set {
    fn now(&self) -> Tick {
        self.manual.now()
    }

    fn wall(&self) -> SystemTime {
        let began_ms = (START_MS + self.ahead_ms.get()) as u64;
        SystemTime::UNIX_EPOCH + Duration::from_millis(began_ms) + self.now().since_origin()
    }
}

/// A load that is too high from the second second on.
struct Loaded;

impl Source for Loaded {
    fn read(&mut self, now: Duration, into: &mut Snapshot) {
        into.load.one = Some(if now < Duration::from_millis(1500) { 0.0 } else { 11.0 });
    }
}

struct Host {
    server: Engine<App, Wire, Set>,
    wire: Wire,
    clock: Set,
}

impl Host {
    /// Samples each second, and has an alert that holds for ten.
    fn new(token: Option<&str>) -> Host {
        let (limits, wire) = (Limits::default(), Wire::new());
        let second = Duration::from_secs(1);
        let metrics = MetricsService::with_source(Box::new(Loaded), Facts::default(), second);
        let mut rules = Rules::none();
        let rule = Setting {
            name: "load".to_owned(),
            metric: Some("load.one".to_owned()),
            above: Some(10.0),
            hold: Some(Duration::from_secs(10)),
            ..Setting::default()
        };
        rules.set(&rule).expect("the setting is right");
        let token = token.map(|token| Token::new(token).expect("it is a token"));
        let access = Access::new(&[], &[], None).with_token(token.as_ref());
        let app = App::new(metrics, access, limits.slots()).with_alerts(rules);
        let clock = Set { manual: wire.clock(), ahead_ms: Rc::default() };
        let server = Engine::with_parts(limits, wire.clone(), clock.clone(), app);
        Host { server: server.expect("the limits make sense"), wire, clock }
    }

    /// Goes on to the middle of a second.
    fn run_to(&mut self, second: u64) {
        run_until(&mut self.server, &self.wire, 1000 * second + 500);
    }

    fn set_ahead(&self, days: i64) {
        self.clock.ahead_ms.set(days * DAY_MS);
    }

    fn exchange(&mut self, head: &str) -> String {
        let client = self.wire.connect(1 << 20);
        self.wire.send(client, format!("{head}\r\nHost: localhost\r\n\r\n").as_bytes());
        settle(&mut self.server);
        let answer = self.wire.text(client);
        self.wire.end(client);
        settle(&mut self.server);
        answer
    }
}

/// The messages that a client has been sent; the handshake's answer is taken first.
fn heard(wire: &Wire, client: usize, is_new: bool) -> Vec<Value> {
    let mut taken = wire.take(client, usize::MAX);
    assert!(!is_new || take_switching(&mut taken));
    let frames = take_frames(&mut taken).into_iter();
    frames.map(|frame| serde_json::from_slice(&frame.payload).expect("JSON")).collect()
}

/// Days ahead of the clock that was right at first, from a second on.
const STEPS: [(u64, i64); 4] = [(5, 1), (8, 0), (14, -1), (17, 0)];

#[test]
fn a_clock_that_is_set_moves_no_tick_and_no_hold_of_an_alert() {
    let mut host = Host::new(None);
    let client = host.wire.connect(1 << 20);
    host.wire.send(client, UPGRADE);
    host.run_to(0);
    assert_eq!(heard(&host.wire, client, true)[0]["type"], "hello");
    for second in 1..=20 {
        let step = STEPS.iter().rfind(|(from, _)| *from <= second);
        let days = step.map_or(0, |(_, days)| *days);
        host.set_ahead(days);
        host.run_to(second);
        let mut messages = heard(&host.wire, client, false);
        // The first bad value is that of second 2.
        if second == 12 {
            let alert = messages.remove(0);
            let said = (alert["type"].as_str(), alert["state"].as_str());
            assert_eq!(said, (Some("alert"), Some("firing")));
        }
        assert_eq!(messages.len(), 1, "second {second}: {messages:?}");
        assert_eq!(messages[0]["seq"], second);
        let late_ms = messages[0]["t"].as_i64().unwrap() - START_MS - days * DAY_MS;
        assert!((0..1000).contains(&(late_ms - 1000 * second as i64)), "{late_ms} in {second}");
    }
}

#[test]
fn history_is_in_order_and_ends_now_whatever_the_clock_is_set_to() {
    let mut host = Host::new(None);
    for second in 1..=20 {
        let step = STEPS.iter().rfind(|(from, _)| *from <= second);
        host.set_ahead(step.map_or(0, |(_, days)| *days));
        host.run_to(second);
        let answer = host.exchange("GET /api/v1/history?metric=load.one&since=0 HTTP/1.1");
        let body = answer.split("\r\n\r\n").nth(1).expect("it has a body");
        let series: Value = serde_json::from_str(body).expect("JSON");
        let points = series[0]["points"].as_array().expect("a list");
        let times: Vec<i64> = points.iter().map(|point| point[0].as_i64().unwrap()).collect();
        assert!(times.is_sorted_by(|one, next| one < next), "second {second}: {times:?}");
        let wall = host.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let age_ms = wall.as_millis() as i64 - times.last().unwrap();
        assert!((0..10_000).contains(&age_ms), "second {second}: {times:?}");
    }
}

#[test]
fn a_session_outlives_a_clock_that_is_set() {
    let mut host = Host::new(Some(TOKEN));
    let begin = format!("POST /api/v1/session HTTP/1.1\r\nAuthorization: Bearer {TOKEN}");
    let answer = host.exchange(&begin);
    let cookie = answer.lines().find_map(|line| line.strip_prefix("Set-Cookie: "));
    let cookie = cookie.and_then(|cookie| cookie.split(';').next()).expect("a session begins");
    for days in [1, 0, -1, 400, 0] {
        host.set_ahead(days);
        let ask = format!("GET /api/v1/snapshot HTTP/1.1\r\nCookie: {cookie}");
        let answer = host.exchange(&ask);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{days} days ahead: {answer}");
    }
}
