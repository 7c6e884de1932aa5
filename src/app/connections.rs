//! The list of connections, as it is told.
//!
//! Pure: a row for each of the engine's views, whoever asks among them. Bounded by what an answer
//! may hold; a list that is longer is refused, not cut off.

use std::fmt::Display;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::json;
use super::protocol::write_json;
use super::unix_ms;
use crate::engine::connection::frame::{Frame, Kind};
use crate::engine::connection::response::Response;
use crate::engine::handle::Handle;
use crate::engine::handler::Context;
use crate::engine::net::Peer;
use crate::engine::view::ConnectionView;

/// Answers with a row for each connection, whoever asks among them.
pub fn answer(context: &Context<'_>) -> Response {
    let bytes_max = context.limits().reply_bytes_max;
    let (instant, wall_ms) = (context.instant(), unix_ms(context.wall()));
    let frame = Frame::new(Kind::Plain, |out| {
        let start = out.len();
        out.push(b'[');
        for (index, connection) in context.connections().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let age_ms = (instant - connection.opened).as_millis() as u64;
            write_json(&ConnectionRow::new(&connection, wall_ms.saturating_sub(age_ms)), out);
            // Of a list that is refused, no more is made than it takes to know.
            if out.len() - start > bytes_max {
                break;
            }
        }
        out.push(b']');
    });
    if frame.len() > bytes_max {
        let reason = format!("more connections than the {bytes_max} bytes of an answer can list");
        return Response::text(503, &reason).with("Retry-After", "1");
    }
    json(frame)
}

/// One of the connections.
#[derive(Serialize)]
struct ConnectionRow {
    #[serde(serialize_with = "as_text")]
    id: Handle,
    #[serde(serialize_with = "as_text")]
    peer: Peer,
    state: &'static str,
    phase: &'static str,
    since: u64,
    sent: u64,
    conflated: u64,
    queued_bytes: usize,
    round_trip_ms: Option<f64>,
}

impl ConnectionRow {
    fn new(connection: &ConnectionView, since: u64) -> ConnectionRow {
        ConnectionRow {
            id: connection.handle,
            peer: connection.peer,
            state: connection.phase.state().name(),
            phase: connection.phase.name(),
            since,
            sent: connection.bytes_sent,
            conflated: connection.frames_conflated,
            queued_bytes: connection.bytes_queued,
            round_trip_ms: connection.round_trip.map(milliseconds),
        }
    }
}

fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// With three decimals: a microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
