//! The messages of subscribers, in and out.
//!
//! JSON text, one object each, `type` first. What a client sends is read into a [`Request`] or
//! answered with an [`ErrorCode`], in `requests`; what it is sent is written by one type for each
//! message, straight into the bytes of a frame. Pure: who gets what is the hub's business.

mod requests;

use std::fmt;

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

pub use self::requests::{Request, parse, parse_query};
use super::alerts::messages::Firing;
use super::terms::Terms;
use crate::metrics::aggregate::Aggregate;
use crate::metrics::facts::Facts;
use crate::metrics::history::History;
use crate::metrics::selection::{Selection, TOPICS};
use crate::metrics::snapshot::Snapshot;

/// The version that `hello` states and the subprotocol names.
pub const VERSION: u32 = 1;

/// The subprotocol (RFC 6455, section 1.9).
pub const SUBPROTOCOL: &str = "vitald.v1";

/// The name of the subscription that exists from the start.
pub const DEFAULT_SUBSCRIPTION: &str = "default";

/// Subscriptions of one connection.
pub const SUBSCRIPTIONS_MAX: usize = crate::engine::limits::CHANNELS;

/// Bytes of a subscription's name.
pub const NAME_BYTES_MAX: usize = 32;

/// Messages that a client may send in a second.
pub const MESSAGES_PER_SECOND_MAX: u32 = 20;

/// Bytes of a message from a client.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// Bytes of a message's `id` where that is a text.
pub const ID_BYTES_MAX: usize = 64;

/// Fewest samples that mode `batch` sends at a time.
pub const BATCH_MIN: u32 = 2;

/// Most samples that mode `batch` sends at a time: a minute of them at one a second. The first has
/// waited for the last, so with double a viewer would be two minutes behind.
pub const BATCH_MAX: u32 = 60;

/// Multiples of the base interval that a subscription can have; what is asked is rounded up.
pub const DIVISORS: [u32; 6] = [1, 2, 5, 10, 30, 60];

/// A client's own name for a message, given back with the answer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Id {
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

/// The kinds of error, by their names on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON.
    BadJson,
    /// JSON of the wrong shape or with a value out of range.
    BadRequest,
    /// A `type` that is not known.
    UnknownType,
    /// A topic or field that is not known.
    UnknownTopic,
    /// A limit is reached.
    Limit,
}

impl ErrorCode {
    /// Each of them.
    pub const ALL: [ErrorCode; 5] = [
        ErrorCode::BadJson,
        ErrorCode::BadRequest,
        ErrorCode::UnknownType,
        ErrorCode::UnknownTopic,
        ErrorCode::Limit,
    ];
}

/// Why a message was not carried out.
#[derive(Debug, PartialEq)]
pub struct Refusal {
    /// The kind.
    pub code: ErrorCode,
    /// In words.
    pub message: String,
}

impl Refusal {
    /// A refusal of a kind, in words.
    pub fn new(code: ErrorCode, message: impl fmt::Display) -> Refusal {
        Refusal { code, message: message.to_string() }
    }
}

/// A `metrics` message, as a map that is written field by field.
pub struct Metrics<'a> {
    /// The sample.
    pub snapshot: &'a Snapshot,
    /// Its number in the sequence of base ticks.
    pub sequence: u64,
    /// The subscription, unless it is the default one.
    pub sub: &'a str,
    /// What of the sample is sent.
    pub selection: &'a Selection,
}

/// A `metrics` message of means, with `min` and `max` beside them.
pub struct Means<'a> {
    /// What the samples came to.
    pub means: &'a Aggregate,
    /// The number of the newest in the sequence of base ticks.
    pub sequence: u64,
    /// The subscription, unless it is the default one.
    pub sub: &'a str,
}

impl Serialize for Means<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_head(&mut map, self.sequence, self.means.time_ms(), self.sub)?;
        self.means.serialize_into(&mut map)?;
        map.end()
    }
}

/// What each `metrics` message begins with.
fn serialize_head<M: SerializeMap>(
    map: &mut M,
    sequence: u64,
    time_ms: u64,
    sub: &str,
) -> Result<(), M::Error> {
    map.serialize_entry("type", "metrics")?;
    map.serialize_entry("seq", &sequence)?;
    map.serialize_entry("t", &time_ms)?;
    if sub != DEFAULT_SUBSCRIPTION {
        map.serialize_entry("sub", sub)?;
    }
    Ok(())
}

impl Serialize for Metrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_head(&mut map, self.sequence, self.snapshot.time_ms, self.sub)?;
        self.snapshot.select(self.selection).serialize_into(&mut map)?;
        map.end()
    }
}

/// The first message: all that a page needs to draw itself.
#[derive(Serialize)]
pub struct Hello<'a> {
    r#type: &'static str,
    protocol: u32,
    server: Server,
    host: &'a Facts,
    interval_ms: u64,
    topics: &'static [&'static str],
    limits: Limits,
    snapshot: Metrics<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<PageHistory<'a>>,
    alerts: Firing<'a>,
}

#[derive(Serialize)]
struct Server {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Limits {
    message_bytes: usize,
    messages_per_s: u32,
    subscriptions: usize,
    interval_multiples: [u32; DIVISORS.len()],
}

impl<'a> Hello<'a> {
    /// The greeting with `snapshot` and what fires in it, and the page's series of `history`
    /// unless declined.
    pub fn new(
        facts: &'a Facts,
        interval_ms: u64,
        snapshot: Metrics<'a>,
        history: Option<&'a History>,
        alerts: Firing<'a>,
    ) -> Hello<'a> {
        Hello {
            r#type: "hello",
            protocol: VERSION,
            server: Server { name: "vitald", version: env!("CARGO_PKG_VERSION") },
            host: facts,
            interval_ms,
            topics: TOPICS,
            limits: Limits {
                message_bytes: MESSAGE_BYTES_MAX,
                messages_per_s: MESSAGES_PER_SECOND_MAX,
                subscriptions: SUBSCRIPTIONS_MAX,
                interval_multiples: DIVISORS,
            },
            snapshot,
            history: history.map(PageHistory),
            alerts,
        }
    }
}

/// Series in hello: those that the page draws.
const PAGE_SERIES_MAX: usize = 16;

/// Single figures that the page draws a line of.
const PAGE_FIGURES: [&str; 6] =
    ["cpu.usage", "cpu.system", "cpu.iowait", "memory.usage", "memory.swap_usage", "load.one"];

/// Figures of each disk and interface that the page draws a line of.
const PAGE_RATES: [(&str, [&str; 2]); 2] = [
    ("disks.", [".read_bytes_per_s", ".write_bytes_per_s"]),
    ("networks.", [".rx_bytes_per_s", ".tx_bytes_per_s"]),
];

/// The series of a history that the page starts from, as a map from name to values.
struct PageHistory<'a>(&'a History);

impl Serialize for PageHistory<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for name in self.0.names().filter(|name| is_drawn(name)).take(PAGE_SERIES_MAX) {
            if let Some(recent) = self.0.recent(name) {
                map.serialize_entry(name, &recent)?;
            }
        }
        map.end()
    }
}

fn is_drawn(name: &str) -> bool {
    PAGE_FIGURES.contains(&name)
        || PAGE_RATES.iter().any(|(start, ends)| {
            name.starts_with(start) && ends.iter().any(|end| name.ends_with(end))
        })
}

/// The answer to `subscribe`: what was granted.
#[derive(Serialize)]
pub struct Subscribed<'a> {
    r#type: &'static str,
    sub: &'a str,
    topics: Vec<String>,
    interval_ms: u64,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
}

impl<'a> Subscribed<'a> {
    /// States a subscription.
    pub fn new(terms: &'a Terms, base_interval_ms: u64, id: Option<&'a Id>) -> Subscribed<'a> {
        Subscribed {
            r#type: "subscribed",
            sub: &terms.sub,
            topics: terms.selection.names(),
            interval_ms: base_interval_ms * u64::from(terms.divisor),
            mode: terms.mode.name(),
            batch: terms.mode.batch(),
            id,
        }
    }
}

/// The answer to `unsubscribe`.
#[derive(Serialize)]
pub struct Unsubscribed<'a> {
    r#type: &'static str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
}

impl<'a> Unsubscribed<'a> {
    /// States that a subscription is over.
    pub fn new(sub: &'a str, id: Option<&'a Id>) -> Unsubscribed<'a> {
        Unsubscribed { r#type: "unsubscribed", sub, id }
    }
}

/// The answer to `ping`.
#[derive(Serialize)]
pub struct Pong<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
    t: u64,
}

impl<'a> Pong<'a> {
    /// The server's time, in Unix milliseconds.
    pub fn new(id: Option<&'a Id>, t: u64) -> Pong<'a> {
        Pong { r#type: "pong", id, t }
    }
}

/// Stands before the next event where others had to be dropped.
#[derive(Serialize)]
pub struct Gap {
    r#type: &'static str,
    missed: u64,
}

impl Gap {
    /// So many are missing.
    pub fn new(missed: u64) -> Gap {
        Gap { r#type: "gap", missed }
    }
}

/// The answer to what cannot be carried out.
#[derive(Serialize)]
pub struct ErrorMessage<'a> {
    r#type: &'static str,
    code: ErrorCode,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
}

impl<'a> ErrorMessage<'a> {
    /// States a refusal.
    pub fn new(refusal: &'a Refusal, id: Option<&'a Id>) -> ErrorMessage<'a> {
        ErrorMessage { r#type: "error", code: refusal.code, message: &refusal.message, id }
    }
}

/// Appends `message` as JSON.
pub fn write_json(message: &impl Serialize, out: &mut Vec<u8>) {
    // Writing to memory does not fail, and every key is a text.
    serde_json::to_writer(out, message).expect("our own messages can be written as JSON");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(message: &impl Serialize) -> String {
        let mut out = Vec::new();
        write_json(message, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_answer_gives_the_id_back_and_leaves_out_one_that_was_not_there() {
        assert_eq!(json(&Pong::new(Some(&Id::Number(3)), 9)), r#"{"type":"pong","id":3,"t":9}"#);
        let refusal = Refusal::new(ErrorCode::UnknownTopic, "cup");
        assert_eq!(
            json(&ErrorMessage::new(&refusal, None)),
            r#"{"type":"error","code":"unknown_topic","message":"cup"}"#
        );
    }

    #[test]
    fn the_type_comes_first_and_the_default_subscription_is_not_named() {
        let (snapshot, selection) = (Snapshot::default(), Selection::standard());
        let metrics =
            |sub| json(&Metrics { snapshot: &snapshot, sequence: 7, sub, selection: &selection });
        assert!(metrics("default").starts_with(r#"{"type":"metrics","seq":7,"t":0,"cpu":{"#));
        assert!(metrics("fast").starts_with(r#"{"type":"metrics","seq":7,"t":0,"sub":"fast","#));
    }

    #[test]
    fn the_page_gets_the_series_it_draws() {
        for name in ["cpu.usage", "disks.sda.read_bytes_per_s", "networks.eth0.tx_bytes_per_s"] {
            assert!(is_drawn(name), "{name}");
        }
        for name in ["cpu.user", "disks.sda.await_ms", "networks.eth0.rx_errors_per_s"] {
            assert!(!is_drawn(name), "{name}");
        }
    }
}
