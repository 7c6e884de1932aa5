//! GET /metrics, on a wire and a clock of the test's own: what a scrape is answered with and how
//! often the host is read for it.

#[path = "support/exposition.rs"]
mod reader;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use serde_json::Value;
use vitald::app::App;
use vitald::app::access::Access;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::exposition::{Exposition, Kind};
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, run_until, settle};

type Server = Engine<App, Wire, Manual>;

const OPENMETRICS: &str = "Accept: application/openmetrics-text; version=1.0.0\r\n";

/// A host that counts how often it is told of, in so many samples.
struct Counting {
    told: u64,
    samples: usize,
}

impl Source for Counting {
    fn read(&mut self, _: Duration, _: &mut Snapshot) {}

    fn expose(&mut self, _: Duration, wall_ms: u64, out: &mut Exposition<'_>) {
        self.told += 1;
        assert!(wall_ms < 1 << 50, "milliseconds");
        out.counter("host_told_total", "How often.", Some(self.told));
        let family = out.family("host_sample", "One of many.", Kind::Gauge);
        for number in 0..self.samples {
            out.sample(family, &[("number", &number.to_string())], 1.0);
        }
    }
}

fn start(samples: usize, interval: Duration) -> (Server, Wire, usize) {
    let limits = Limits::default();
    let source = Box::new(Counting { told: 0, samples });
    let metrics = MetricsService::with_source(source, Facts::default(), interval);
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    let (server, wire) = Wire::engine(limits, app);
    let client = wire.connect(2 << 20);
    (server, wire, client)
}

/// The head and the body of an answer.
fn ask(
    server: &mut Server,
    wire: &Wire,
    client: usize,
    request: &str,
    fields: &str,
) -> (String, String) {
    wire.send(client, format!("{request} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes());
    settle(server);
    let answer = wire.text(client);
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head.to_owned(), body.to_owned())
}

/// How often the host had been told of when this was written.
fn told(body: &str) -> u64 {
    let line = body.lines().find_map(|line| line.strip_prefix("host_told_total "));
    line.and_then(|value| value.parse().ok()).expect("it counts")
}

fn reads(server: &mut Server, wire: &Wire, client: usize) -> (u64, u64) {
    let (_, body) = ask(server, wire, client, "GET /api/v1/server", "");
    let figures: Value = serde_json::from_str(&body).expect("it is JSON");
    let count = |name: &str| figures["cache"][name].as_u64().expect("a count");
    (count("hits"), count("misses"))
}

#[test]
fn a_scrape_is_answered_in_the_format_that_it_asks_for() {
    let (mut server, wire, client) = start(3, Duration::from_secs(1));
    for (fields, kind, is_openmetrics) in [
        ("", "text/plain; version=0.0.4; charset=utf-8", false),
        ("Accept: */*\r\n", "text/plain; version=0.0.4; charset=utf-8", false),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8", true),
    ] {
        let (head, body) = ask(&mut server, &wire, client, "GET /metrics", fields);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Type: {kind}\r\n")), "{head}");
        assert!(head.contains("\r\nCache-Control: no-store\r\nVary: Accept\r\n"), "{head}");
        let series = reader::check(&body, is_openmetrics).expect("it is an exposition");
        assert!(series.keys().any(|series| series.starts_with("vitald_build_info")), "{body}");
        let opened = "vitald_connections_opened_total{}";
        assert_eq!(series[opened], 1.0, "what vitald tells of itself is of this moment");
    }
}

#[test]
fn head_gives_the_fields_and_no_body() {
    let (mut server, wire, client) = start(3, Duration::from_secs(1));
    let (get, body) = ask(&mut server, &wire, client, "GET /metrics", "");
    let (head, rest) = ask(&mut server, &wire, client, "HEAD /metrics", "");
    assert_eq!((head, rest.as_str()), (get, ""));
    assert!(!body.is_empty());
}

#[test]
fn scrapes_within_a_second_share_an_answer_and_are_counted_as_reads() {
    for interval in [Duration::from_secs(1), Duration::from_secs(3600)] {
        let (mut server, wire, client) = start(3, interval);
        let mut scrape = |wire: &Wire, fields| {
            let (_, body) = ask(&mut server, wire, client, "GET /metrics", fields);
            told(&body)
        };
        assert_eq!([scrape(&wire, ""), scrape(&wire, "")], [1, 1]);
        assert_eq!(scrape(&wire, OPENMETRICS), 2, "the other format is another answer");
        assert_eq!(reads(&mut server, &wire, client), (1, 2));
        run_until(&mut server, &wire, wire.now_ms() + 1000);
        let (_, body) = ask(&mut server, &wire, client, "GET /metrics", OPENMETRICS);
        assert_eq!(told(&body), 3);
        assert_eq!(reads(&mut server, &wire, client), (1, 3));
    }
}

#[test]
fn an_answer_over_the_limit_is_refused_whole() {
    let bytes_max = Limits::default().long_bytes_max;
    let line_bytes = "host_sample{number=\"12345\"} 1\n".len();
    // The first ten thousand are shorter by a byte or more.
    let fits = bytes_max / line_bytes + 100;
    for (samples, status) in [(fits, 200), (fits + 400, 503), (1_000_000, 503)] {
        let (mut server, wire, client) = start(samples, Duration::from_secs(1));
        let (head, body) = ask(&mut server, &wire, client, "GET /metrics", "");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{samples}: {head}");
        if status == 503 {
            assert!(body.contains(&bytes_max.to_string()) && body.len() < 200, "{body}");
        } else {
            assert!(body.len() > bytes_max - 20_000, "{} bytes", body.len());
        }
    }
}
