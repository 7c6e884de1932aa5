//! Who offers permessage-deflate (RFC 7692) gets messages compressed, and may compress its own; who
//! does not gets them as they are. Both see the same.

#![cfg(feature = "compression")]

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use frames::{TEXT, client_frame};
use vitald::app::App;
use vitald::app::access::Access;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::compressor::Compressor;
use vitald::engine::connection::head::Request;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::{Network, Snapshot};
use vitald::metrics::source::Source;
use wire::{Wire, run_until, settle};

const INTERVAL: Duration = Duration::from_secs(1);

/// A host with some interfaces, so that a sample has some 1,500 bytes.
struct Host;

impl Source for Host {
    fn read(&mut self, _: Duration, into: &mut Snapshot) {
        let interface = |number| Network { name: format!("eth{number}"), ..Network::default() };
        into.networks = (0..6).map(interface).collect();
    }
}

type Served = Engine<App, Wire, Manual>;

fn start(limits: Limits) -> (Served, Wire) {
    let metrics = MetricsService::with_source(Box::new(Host), Facts::default(), INTERVAL);
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    Wire::engine(limits, app)
}

/// A client that has made these offers, with the answer's head, and what has come behind it.
struct Client {
    id: usize,
    head: String,
    held: Vec<u8>,
}

impl Client {
    fn open(engine: &mut Served, wire: &Wire, offers: &[&str]) -> Client {
        let mut request = frames::UPGRADE[..frames::UPGRADE.len() - 2].to_vec();
        for offer in offers {
            request.extend(format!("Sec-WebSocket-Extensions: {offer}\r\n").bytes());
        }
        request.extend_from_slice(b"\r\n");
        let id = wire.connect(1 << 20);
        wire.send(id, &request);
        settle(engine);
        let mut held = wire.take(id, usize::MAX);
        let end = held.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer's head");
        let head: Vec<u8> = held.drain(..end + 4).collect();
        Client { id, head: String::from_utf8(head).expect("a head is ASCII"), held }
    }

    /// The answer's extensions; none without the field.
    fn agreed(&self) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "))
    }

    /// How many bytes came since the last time, and the messages that they are.
    fn hear(&mut self, wire: &Wire) -> (usize, Vec<String>) {
        self.held.extend(wire.take(self.id, usize::MAX));
        let bytes = self.held.len();
        let take = if self.agreed().is_some() {
            frames::take_inflated_frames
        } else {
            frames::take_frames
        };
        let frames = take(&mut self.held);
        let text = |frame: frames::Frame| String::from_utf8(frame.payload).expect("text");
        (bytes, frames.into_iter().map(text).collect())
    }
}

#[test]
fn both_kinds_of_reader_see_the_same_and_one_takes_half_the_bytes() {
    let (mut engine, wire) = start(Limits::default());
    let mut plain = Client::open(&mut engine, &wire, &[]);
    let mut packed = Client::open(&mut engine, &wire, &["permessage-deflate"]);
    assert_eq!(plain.agreed(), None);
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(packed.agreed(), Some(both));
    for tick in 0..3 {
        run_until(&mut engine, &wire, tick * 1000 + 10);
        let (plain_bytes, plain_messages) = plain.hear(&wire);
        let (packed_bytes, packed_messages) = packed.hear(&wire);
        assert_eq!(plain_messages, packed_messages);
        assert_eq!(plain_messages.len(), 1, "hello, then each sample");
        assert!(packed_bytes * 2 < plain_bytes, "{packed_bytes} of {plain_bytes}");
    }
}

#[test]
fn a_compressed_message_is_answered_as_a_plain_one_is() {
    let (mut engine, wire) = start(Limits::default());
    let mut client = Client::open(&mut engine, &wire, &["permessage-deflate"]);
    client.hear(&wire);
    let mut payload = Vec::new();
    assert!(Compressor::default().raw(br#"{"type":"unsubscribe","id":"x"}"#, &mut payload));
    wire.send(client.id, &client_frame(0xc0 | TEXT, &payload));
    settle(&mut engine);
    let (bytes, messages) = client.hear(&wire);
    assert_eq!(messages, [r#"{"type":"unsubscribed","sub":"default","id":"x"}"#]);
    assert_eq!(bytes, messages[0].len() + 2, "what is short goes as it is");
}

#[test]
fn what_is_longer_than_a_clients_window_goes_as_it_is() {
    let (mut engine, wire) = start(Limits::default());
    let offer = "permessage-deflate; server_max_window_bits=";
    for (bits, is_packed) in [(8, false), (9, false), (12, true), (15, true)] {
        let mut client = Client::open(&mut engine, &wire, &[&format!("{offer}{bits}")]);
        let agreed = client.agreed().expect("every window is granted");
        assert!(agreed.ends_with(&format!("; server_max_window_bits={bits}")), "{agreed}");
        client.hear(&wire);
        let next = wire.now_ms() + 1010;
        run_until(&mut engine, &wire, next);
        let (bytes, messages) = client.hear(&wire);
        assert!((512..4096).contains(&messages[0].len()), "{}", messages[0].len());
        assert_eq!(bytes < messages[0].len(), is_packed, "{bits} bits");
    }
}

#[test]
fn offers_that_cannot_be_kept_are_passed_over_and_what_is_none_is_refused() {
    let (mut engine, wire) = start(Limits::default());
    let unknown = "permessage-deflate; mystery";
    for (offers, is_agreed) in [
        (&[unknown][..], false),
        (&["x-webkit-deflate-frame"], false),
        (&[unknown, "permessage-deflate"], true),
    ] {
        let client = Client::open(&mut engine, &wire, offers);
        assert!(client.head.starts_with("HTTP/1.1 101 "), "{}", client.head);
        assert_eq!(client.agreed().is_some(), is_agreed, "{offers:?}");
    }
    let client = Client::open(&mut engine, &wire, &["permessage-deflate;"]);
    assert!(client.head.starts_with("HTTP/1.1 400 "), "{}", client.head);
}

#[test]
fn an_engine_that_is_not_to_compress_agrees_to_nothing() {
    let (mut engine, wire) = start(Limits { deflate: false, ..Limits::default() });
    let mut client = Client::open(&mut engine, &wire, &["permessage-deflate"]);
    assert_eq!(client.agreed(), None);
    assert_eq!(client.hear(&wire).1.len(), 1, "hello, as it is");
    wire.send(client.id, &client_frame(0xc0 | TEXT, b"\x00"));
    settle(&mut engine);
    let frames = frames::take_frames(&mut wire.take(client.id, usize::MAX));
    assert_eq!(frames[0].payload[..2], 1002_u16.to_be_bytes());
}

/// The longest compressed message that may come is a bomb: it is refused at the size that a message
/// may have.
#[test]
fn a_bomb_is_refused_as_too_big() {
    let (mut engine, wire) = start(Limits::default());
    let client = Client::open(&mut engine, &wire, &["permessage-deflate"]);
    let mut payload = Vec::new();
    assert!(Compressor::default().raw(&vec![b' '; 3 << 20], &mut payload));
    wire.take(client.id, usize::MAX);
    wire.send(client.id, &client_frame(0xc0 | TEXT, &payload));
    settle(&mut engine);
    let frames = frames::take_frames(&mut wire.take(client.id, usize::MAX));
    assert_eq!(frames[0].payload[..2], 1009_u16.to_be_bytes(), "{} bytes", payload.len());
}

/// Opens a WebSocket for everybody, and has nothing to say.
struct Listener;

impl Handler for Listener {
    fn request(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) -> Answer {
        Answer::Upgrade { protocol: None }
    }

    fn message(&mut self, _: &mut Context<'_>, _: Handle, _: Message<'_>) {}
}

/// Each block costs the making of its tables, even if there is nothing in it.
#[test]
fn messages_that_are_long_to_inflate_count_for_several_of_a_turns() {
    let mut short = Vec::new();
    assert!(Compressor::default().raw(b"a message as any other", &mut short));
    // Sixty blocks, each of them with nothing in it and marked as the last.
    let slow = b"\x03\x00".repeat(60);
    for (payload, messages_per_turn) in [(short, 16), (slow, 4)] {
        let (mut engine, wire) = Wire::engine(Limits::default(), Listener);
        let client = wire.connect(1 << 20);
        wire.send(client, frames::UPGRADE_DEFLATE);
        settle(&mut engine);
        wire.send(client, &client_frame(0xc0 | TEXT, &payload).repeat(40));
        let mut counts = Vec::new();
        while counts.iter().sum::<u64>() < 40 {
            let before = engine.stats().messages;
            assert!(engine.turn(Some(Duration::ZERO)).expect("the wire does not fail").worked);
            counts.push(engine.stats().messages - before);
        }
        counts.pop();
        assert!(!counts.is_empty() && counts.iter().all(|count| *count == messages_per_turn));
    }
}
