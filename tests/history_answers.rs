//! How long answers of GET /api/v1/history are, after a day, on a wire of the test's own.

#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use serde_json::Value;
use vitald::app::App;
use vitald::app::access::Access;
use vitald::engine::Engine;
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, settle};

const SECOND: Duration = Duration::from_secs(1);
/// An hour longer than history reaches.
const DAY_SECONDS: u32 = 25 * 3600;
const START_MS: u64 = 1_700_006_400_000;
/// What one request may name at most.
const METRICS: [&str; 8] = [
    "memory.used",
    "memory.total",
    "memory.available",
    "load.one",
    "load.five",
    "load.fifteen",
    "cpu.usage",
    "system.forks_per_s",
];

/// Figures with as many digits as there are, none of which stands still.
struct Restless(u64);

impl Source for Restless {
    fn read(&mut self, _: Duration, into: &mut Snapshot) {
        self.0 += 1;
        let figure = (self.0 % 997) as f64;
        into.memory.used = Some(1e12 + figure * 1e9);
        into.memory.total = Some(2e12 + figure * 1e9);
        into.memory.available = Some(3e12 + figure * 1e9);
        into.load.one = Some(figure / 10.0);
        into.load.five = Some(figure / 10.0);
        into.load.fifteen = Some(figure / 10.0);
        into.cpu.usage = Some(figure / 10.0);
        into.system.forks_per_s = Some(figure);
    }
}

/// The status line and the body of an answer about so many metrics after a day.
fn ask(metrics: usize, parameters: &str) -> (String, String) {
    let mut service = MetricsService::with_source(Box::new(Restless(0)), Facts::default(), SECOND);
    for second in 0..DAY_SECONDS {
        let wall_ms = START_MS + u64::from(second) * 1000;
        service.tick(SECOND * second, wall_ms, second.into(), |_| {});
    }
    let limits = Limits::default();
    let app = App::new(service, Access::new(&[], &[], None), limits.slots());
    let wire = Wire::new();
    // A day later, for the clock on the wall as well.
    wire.clock().advance(Duration::from_millis(START_MS) + SECOND * DAY_SECONDS);
    let server = Engine::with_parts(limits, wire.clone(), wire.clock(), app);
    let mut server = server.expect("the limits make sense");
    let client = wire.connect(1 << 20);
    let last = METRICS.iter().rev().take(metrics);
    let named: String = last.map(|name| format!("&metric={name}")).collect();
    let request = format!(
        "GET /api/v1/history?since=0{named}{parameters} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    );
    wire.send(client, request.as_bytes());
    settle(&mut server);
    let text = wire.text(client);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

fn points(body: &str) -> Vec<usize> {
    let series: Value = serde_json::from_str(body).expect("it is JSON");
    let series = series.as_array().expect("an array");
    series.iter().map(|one| one["points"].as_array().expect("points").len()).collect()
}

#[test]
fn whole_series_that_fit_an_answer_come_whole() {
    let (status, body) = ask(3, "");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(points(&body).iter().all(|points| *points > 2500), "{:?}", points(&body));
}

#[test]
fn more_of_them_come_with_fewer_points_rather_than_not_at_all() {
    let (status, body) = ask(8, "");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!((100_000..=256 * 1024).contains(&body.len()), "{}", body.len());
    let points = points(&body);
    assert_eq!(points.len(), 8);
    assert!(points.iter().all(|points| (350..=1440).contains(points)), "{points:?}");
    let (status, csv) = ask(8, "&format=csv");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!((100_000..=256 * 1024).contains(&csv.len()), "{}", csv.len());
}

#[test]
fn who_asks_for_too_many_points_is_told() {
    let (status, body) = ask(8, "&points=2500");
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    assert!(body.contains("fewer metrics or points"), "{body}");
}
