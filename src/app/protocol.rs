//! The WebSocket messages, in and out.
//!
//! JSON text, one object each, `type` first. What a client sends is read into a [`Request`] or
//! answered with an [`ErrorCode`]; what it is sent is written by one function for each message,
//! straight into the bytes of a frame. Pure functions: who gets what is the hub's business.

use std::fmt;

use serde::de::IgnoredAny;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::alerts::messages::Firing;
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

/// Bytes of a message from a client, and of a message's `id` where that is a text.
pub const MESSAGE_BYTES_MAX: usize = 4096;
const ID_BYTES_MAX: usize = 64;

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

/// What a client asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// To be sent these topics at this interval.
    Subscribe {
        /// The subscription's name.
        sub: String,
        /// What it covers.
        selection: Selection,
        /// Base intervals between two messages.
        divisor: u32,
    },
    /// To be sent a subscription no more.
    Unsubscribe {
        /// Its name.
        sub: String,
    },
    /// A sign of life.
    Ping,
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

/// The fields of a client's message, all optional; unknown ones are ignored.
#[derive(Deserialize)]
struct Fields {
    r#type: String,
    sub: Option<String>,
    topics: Option<Vec<String>>,
    interval_ms: Option<u64>,
    mode: Option<String>,
}

#[derive(Deserialize)]
struct OnlyId {
    id: Option<Id>,
}

/// Reads a client's message: its `id`, as far as it can be made out, and what it asks for.
pub fn parse(text: &str, base_interval_ms: u64) -> (Option<Id>, Result<Request, Refusal>) {
    // The structs below would also be read from an array, by position.
    if !text.trim_ascii_start().starts_with('{') {
        return (None, Err(not_an_object(text)));
    }
    let id = serde_json::from_str::<OnlyId>(text).ok().and_then(|only| only.id);
    let id = id.filter(|id| !matches!(id, Id::Text(text) if text.len() > ID_BYTES_MAX));
    let fields = serde_json::from_str::<Fields>(text).map_err(|error| {
        let code = if error.is_data() { ErrorCode::BadRequest } else { ErrorCode::BadJson };
        Refusal::new(code, error)
    });
    (id, fields.and_then(|fields| request(fields, base_interval_ms)))
}

fn not_an_object(text: &str) -> Refusal {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Refusal::new(ErrorCode::BadRequest, "a message is an object"),
        Err(error) => Refusal::new(ErrorCode::BadJson, error),
    }
}

fn request(fields: Fields, base_interval_ms: u64) -> Result<Request, Refusal> {
    match fields.r#type.as_str() {
        "subscribe" => subscribe(fields, base_interval_ms),
        "unsubscribe" => Ok(Request::Unsubscribe { sub: name(fields.sub)? }),
        "ping" => Ok(Request::Ping),
        other => {
            let shown: String = other.chars().take(NAME_BYTES_MAX).collect();
            Err(Refusal::new(ErrorCode::UnknownType, format_args!("unknown type {shown:?}")))
        }
    }
}

fn subscribe(fields: Fields, base_interval_ms: u64) -> Result<Request, Refusal> {
    let bad = |message| Err(Refusal::new(ErrorCode::BadRequest, message));
    if fields.mode.is_some_and(|mode| mode != "last") {
        return bad("the mode must be \"last\"");
    }
    let selection = match fields.topics {
        None => Selection::standard(),
        Some(topics) if topics.is_empty() => return bad("topics is empty"),
        Some(topics) => Selection::parse(topics.iter().map(String::as_str))
            .map_err(|unknown| Refusal::new(ErrorCode::UnknownTopic, unknown))?,
    };
    let divisor = divisor(fields.interval_ms.unwrap_or(0), base_interval_ms);
    Ok(Request::Subscribe { sub: name(fields.sub)?, selection, divisor })
}

fn name(sub: Option<String>) -> Result<String, Refusal> {
    let sub = sub.unwrap_or_else(|| DEFAULT_SUBSCRIPTION.to_owned());
    if sub.is_empty() || sub.len() > NAME_BYTES_MAX {
        let message = format_args!("sub must have 1 to {NAME_BYTES_MAX} bytes");
        return Err(Refusal::new(ErrorCode::BadRequest, message));
    }
    Ok(sub)
}

/// The smallest of [`DIVISORS`] that gives at least `interval_ms`, or the largest.
fn divisor(interval_ms: u64, base_interval_ms: u64) -> u32 {
    let wanted = interval_ms.div_ceil(base_interval_ms.max(1));
    let fits = DIVISORS.into_iter().find(|&divisor| u64::from(divisor) >= wanted);
    fits.unwrap_or(DIVISORS[DIVISORS.len() - 1])
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

impl Serialize for Metrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "metrics")?;
        map.serialize_entry("seq", &self.sequence)?;
        map.serialize_entry("t", &self.snapshot.time_ms)?;
        if self.sub != DEFAULT_SUBSCRIPTION {
            map.serialize_entry("sub", self.sub)?;
        }
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
    id: Option<&'a Id>,
}

impl<'a> Subscribed<'a> {
    /// States a subscription.
    pub fn new(
        sub: &'a str,
        selection: &Selection,
        interval_ms: u64,
        id: Option<&'a Id>,
    ) -> Subscribed<'a> {
        let topics = selection.names();
        Subscribed { r#type: "subscribed", sub, topics, interval_ms, mode: "last", id }
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
    use proptest::prelude::*;

    fn refused(text: &str) -> ErrorCode {
        parse(text, 1000).1.unwrap_err().code
    }

    fn json(message: &impl Serialize) -> String {
        let mut out = Vec::new();
        write_json(message, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_subscription_is_read_with_its_defaults() {
        let (id, request) = parse(r#"{"type":"subscribe"}"#, 1000);
        assert_eq!(id, None);
        let expected = Request::Subscribe {
            sub: "default".to_owned(),
            selection: Selection::standard(),
            divisor: 1,
        };
        assert_eq!(request, Ok(expected));
    }

    #[test]
    fn an_interval_is_rounded_up_to_a_multiple_of_the_base() {
        for (interval_ms, expected) in
            [(0, 1), (1, 1), (1000, 1), (1001, 2), (3000, 5), (59_000, 60), (u64::MAX, 60)]
        {
            assert_eq!(divisor(interval_ms, 1000), expected, "{interval_ms}");
        }
    }

    #[test]
    fn each_mistake_has_its_code_and_keeps_its_id() {
        assert_eq!(refused("{"), ErrorCode::BadJson);
        assert_eq!(refused(""), ErrorCode::BadJson);
        assert_eq!(refused("[]"), ErrorCode::BadRequest);
        assert_eq!(refused("{}"), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"dance"}"#), ErrorCode::UnknownType);
        assert_eq!(refused(r#"{"type":"subscribe","topics":"cpu"}"#), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"subscribe","topics":[]}"#), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"subscribe","topics":["cup"]}"#), ErrorCode::UnknownTopic);
        assert_eq!(refused(r#"{"type":"subscribe","interval_ms":-1}"#), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"subscribe","mode":"loud"}"#), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"subscribe","sub":""}"#), ErrorCode::BadRequest);
        let (id, request) = parse(r#"{"type":"subscribe","topics":5,"id":"x"}"#, 1000);
        assert_eq!(id, Some(Id::Text("x".to_owned())));
        assert!(request.is_err());
    }

    #[test]
    fn a_message_is_an_object_and_not_its_values_in_a_row() {
        for text in [r#"["ping",null,null,null,null]"#, "[7]", " 7", r#""ping""#, "null"] {
            let (id, request) = parse(text, 1000);
            assert_eq!((id, request.unwrap_err().code), (None, ErrorCode::BadRequest), "{text}");
        }
        assert_eq!(refused("[7"), ErrorCode::BadJson);
        assert_eq!(parse(" \n{\"type\":\"ping\"}", 1000).1, Ok(Request::Ping));
    }

    #[test]
    fn an_unknown_field_is_ignored() {
        assert_eq!(parse(r#"{"type":"ping","colour":"red"}"#, 1000).1, Ok(Request::Ping));
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

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = parse(&text, 1000);
        }

        #[test]
        fn a_divisor_never_makes_the_interval_shorter_than_asked(
            interval_ms in 0u64..60_000, base in 100u64..10_000
        ) {
            let granted = u64::from(divisor(interval_ms, base)) * base;
            prop_assert!(granted >= interval_ms || granted == 60 * base);
        }
    }
}
