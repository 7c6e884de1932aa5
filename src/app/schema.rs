//! JSON Schema (draft 2020-12) of every message, for whoever writes a client.
//!
//! Owns the text that is served. Messages stand in `schema/messages.json`, by hand, where marks
//! such as `"<batch_max>"` are filled in with what the parser checks; the topics come from the
//! table of metrics. Promises: made when it is asked for, so that the binary carries one and not
//! the other; open, as the protocol is: a field that is not in it may come. That it has neither
//! more nor less than the messages is what `tests/schema.rs` checks. Imports the protocol and that
//! table.

use std::hash::{DefaultHasher, Hasher};

use super::getting::METRICS_MAX;
use super::protocol::{self, write_json};
use crate::engine::connection::frame::{Frame, Kind};
use crate::engine::connection::head::Request;
use crate::engine::connection::response::Response;
use crate::metrics::alerts::Severity;
use crate::metrics::processes::{ORDERS, ROWS_MAX};
use crate::metrics::schema;

/// `schema/messages.json` without the white space, by `build.rs`.
const MESSAGES: &str = include_str!(concat!(env!("OUT_DIR"), "/messages.json"));

/// Answers with the schema. A browser or a generator may keep it, and asks each time whether it is
/// still so (`no-cache`): it changes when vitald is replaced, which no reader sees coming.
pub(super) fn answer(request: &Request<'_>) -> Response {
    let mut text = Vec::new();
    write(&mut text);
    let mut hasher = DefaultHasher::new();
    hasher.write(&text);
    // Weak (RFC 9110, section 8.8.1): it stands for the text, however that is coded on its way.
    let opaque = format!("\"{}-{:016x}\"", env!("CARGO_PKG_VERSION"), hasher.finish());
    let etag = format!("W/{opaque}");
    let is_known = request.knows(&opaque);
    let response = Response::new(if is_known { 304 } else { 200 })
        .with("ETag", &etag)
        .with("Cache-Control", "no-cache");
    if is_known {
        return response;
    }
    let body = Frame::new(Kind::Plain, |out| out.extend_from_slice(&text));
    response.with_body("application/schema+json", body)
}

/// Appends the schema.
pub fn write(out: &mut Vec<u8>) {
    let mut pieces = MESSAGES.split("\"<");
    out.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let (mark, rest) = piece.split_once(">\"").unwrap_or_default();
        fill(mark, out);
        // A mark in the place of properties has a value, so that the file is JSON.
        out.extend_from_slice(rest.strip_prefix(":{}").unwrap_or(rest).as_bytes());
    }
}

/// Appends what stands for a mark.
fn fill(mark: &str, out: &mut Vec<u8>) {
    match mark {
        "subprotocol" => write_json(&protocol::SUBPROTOCOL, out),
        "version" => write_json(&concat!("vitald ", env!("CARGO_PKG_VERSION")), out),
        "protocol" => write_json(&protocol::VERSION, out),
        "default_sub" => write_json(&protocol::DEFAULT_SUBSCRIPTION, out),
        "name_bytes_max" => write_json(&protocol::NAME_BYTES_MAX, out),
        "id_bytes_max" => write_json(&protocol::ID_BYTES_MAX, out),
        "batch_min" => write_json(&protocol::BATCH_MIN, out),
        "batch_max" => write_json(&protocol::BATCH_MAX, out),
        "metrics_max" => write_json(&METRICS_MAX, out),
        "rows_max" => write_json(&ROWS_MAX, out),
        "orders" => write_json(&ORDERS.map(|order| order.name()), out),
        "severities" => write_json(&Severity::ALL.map(Severity::name), out),
        "units" => schema::write_units(out),
        "topics" => schema::write_topics(out),
        "server" => schema::write_server(out),
        "definitions" => schema::write_definitions(out),
        unknown => debug_assert!(false, "nothing is known to stand for {unknown}"),
    }
}
