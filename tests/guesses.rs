//! Wrong tokens on a network and a clock of the test's own: who is told to wait, and for how long.

#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use vitald::app::App;
use vitald::app::access::Access;
use vitald::config::Token;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, run_until, settle};

struct Mute;

impl Source for Mute {
    fn read(&mut self, _: Duration, _: &mut Snapshot) {}
}

const TOKEN: &str = "correct-horse";

struct Host {
    engine: Engine<App, Wire, Manual>,
    wire: Wire,
}

impl Host {
    fn new() -> Host {
        let hour = Duration::from_secs(3600);
        let metrics = MetricsService::with_source(Box::new(Mute), Facts::default(), hour);
        let token = Token::new(TOKEN).expect("it is one");
        let access = Access::new(&[], &[], None).with_token(Some(&token));
        let limits = Limits::default();
        let app = App::new(metrics, access, limits.slots());
        let (engine, wire) = Wire::engine(limits, app);
        Host { engine, wire }
    }

    /// The head of the answer to a request with `token` from an address; "unix" is a Unix socket.
    fn show(&mut self, address: &str, token: &str) -> String {
        let client = match address {
            "unix" => self.wire.connect_unix(1 << 20),
            address => self.wire.connect_from(address, 1 << 20),
        };
        let head = format!(
            "GET /api/v1/alerts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        self.wire.send(client, head.as_bytes());
        settle(&mut self.engine);
        let answer = self.wire.text(client);
        self.wire.end(client);
        settle(&mut self.engine);
        answer
    }

    /// The statuses of `count` answers in a row.
    fn statuses(&mut self, address: &str, token: &str, count: usize) -> Vec<u16> {
        let answers = (0..count).map(|_| self.show(address, token));
        answers.map(|answer| answer[9..12].parse().expect("a status")).collect()
    }
}

#[test]
fn the_eleventh_wrong_token_from_an_address_waits_and_others_do_not() {
    let mut host = Host::new();
    assert_eq!(host.statuses("192.0.2.1:1", "guess", 10), [401; 10]);
    assert_eq!(host.statuses("192.0.2.1:2", "guess", 3), [429; 3]);
    assert_eq!(host.statuses("192.0.2.2:1", "guess", 1), [401]);
    assert_eq!(host.statuses("192.0.2.1:3", TOKEN, 20), [200; 20]);
    assert_eq!(host.statuses("192.0.2.1:3", "guess", 1), [429]);
}

#[test]
fn the_wait_is_a_minute_long_and_is_told() {
    let mut host = Host::new();
    host.statuses("192.0.2.1:1", "guess", 10);
    assert!(host.show("192.0.2.1:1", "guess").contains("\r\nRetry-After: 60\r\n"));
    run_until(&mut host.engine, &host.wire, 59_500);
    assert!(host.show("192.0.2.1:1", "guess").contains("\r\nRetry-After: 1\r\n"));
    run_until(&mut host.engine, &host.wire, 60_100);
    assert_eq!(host.statuses("192.0.2.1:1", "guess", 11)[9..], [401, 429]);
}

#[test]
fn a_v6_network_is_one_address_and_so_are_loopback_and_unix_sockets_together() {
    let mut host = Host::new();
    for last in 1..=10 {
        let address = format!("[2001:db8:1:2::{last}]:1");
        assert_eq!(host.statuses(&address, "guess", 1), [401]);
    }
    assert_eq!(host.statuses("[2001:db8:1:2:ffff::]:1", "guess", 1), [429]);
    assert_eq!(host.statuses("[2001:db8:1:3::1]:1", "guess", 1), [401]);
    assert_eq!(host.statuses("127.0.0.1:1", "guess", 5), [401; 5]);
    assert_eq!(host.statuses("unix", "guess", 5), [401; 5]);
    assert_eq!(host.statuses("[::1]:1", "guess", 1), [429]);
    assert_eq!(host.statuses("unix", TOKEN, 1), [200]);
    assert_eq!(host.statuses("192.0.2.1:1", "guess", 1), [401]);
}

#[test]
fn ten_thousand_addresses_take_no_more_room_than_the_table_has() {
    let mut host = Host::new();
    let ceiling = host.engine.memory_ceiling();
    for number in 0..10_000 {
        let address = format!("10.{}.{}.1:1", number / 250, number % 250);
        assert_eq!(host.statuses(&address, "guess", 1), [401], "{address}");
    }
    assert_eq!(host.engine.memory_ceiling(), ceiling);
    assert_eq!(host.statuses("10.0.0.1:1", TOKEN, 1), [200]);
}
