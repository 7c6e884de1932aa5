//! What vitald measures of itself, and how it tells of it.
//!
//! [`SelfMetrics`] owns the figures that the application takes; those of the engine are the
//! engine's and are read through the [`Context`] when somebody asks, so telling costs nothing while
//! nobody does. [`ServerFigures`] is both together, in the shape and under the names of the
//! contract's `server`. A figure that is not counted is `null`. Imports the engine and the way
//! answers are made.

use std::array;
use std::fmt::Display;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::answers::json;
use super::protocol::write_json;
use super::unix_ms;
use crate::engine::clock::Tick;
use crate::engine::connection::frame::{Frame, Kind};
use crate::engine::connection::response::Response;
use crate::engine::connection::{CloseReason, State};
use crate::engine::handle::Handle;
use crate::engine::handler::Context;
use crate::engine::histogram::Histogram;
use crate::engine::ledger::{RESOURCES, Resource, Row};
use crate::engine::net::Peer;
use crate::engine::stats::PoolStatistics;
use crate::engine::tasks::TaskCounts;
use crate::engine::view::ConnectionView;

/// From one audit on request to the next. It walks every connection, 0.3 ms for 10,000 of them; who
/// asks again and again could otherwise have the loop do little else.
const AUDIT_EVERY: Duration = Duration::from_secs(1);

/// What the application measures of itself.
#[derive(Debug, Default)]
pub struct SelfMetrics {
    /// From a tick's due time to its beginning.
    lateness: Histogram,
    /// When the last audit on request was.
    audited: Option<Tick>,
}

impl SelfMetrics {
    /// Takes note of a tick that began `lateness` after it was due.
    pub fn note_tick(&mut self, lateness: Duration) {
        self.lateness.record(lateness);
    }

    /// From a tick's due time to its beginning.
    pub fn lateness(&self) -> &Histogram {
        &self.lateness
    }

    /// Answers with all figures; after an audit, if one is asked for.
    pub fn server(&mut self, context: &mut Context<'_>, with_audit: bool) -> Response {
        if with_audit && let Err(refusal) = self.audit(context) {
            return refusal;
        }
        let mut figures = ServerFigures::of(context, &self.lateness);
        figures.audit = with_audit.then_some("ok");
        json(Frame::new(Kind::Plain, |out| write_json(&figures, out)))
    }

    /// Has the engine compare its books with what it holds.
    fn audit(&mut self, context: &Context<'_>) -> Result<(), Response> {
        let now = context.now();
        if self.audited.is_some_and(|audited| now - audited < AUDIT_EVERY) {
            let reason = "there was an audit within the last second; try again";
            return Err(Response::text(429, reason).with("Retry-After", "1"));
        }
        self.audited = Some(now);
        context.check().map_err(|disagreement| failed_audit(&disagreement))
    }
}

fn failed_audit(disagreement: &str) -> Response {
    log::error!("audit disagreement=\"{disagreement}\"");
    Response::text(500, disagreement)
}

/// Answers with a row for each connection, whoever asks among them.
pub fn connections(context: &Context<'_>) -> Response {
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

/// The figures of `server`.
#[derive(Serialize)]
pub struct ServerFigures {
    connections: Connections,
    messages: Messages,
    tasks: Tasks,
    pools: Pools,
    r#loop: Loop,
    ledger: Named<LedgerRow, { RESOURCES.len() }>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<&'static str>,
}

#[derive(Serialize)]
struct Connections {
    active: u64,
    peak: u64,
    opened: u64,
    closed: u64,
    by_state: Named<u64, { State::ALL.len() }>,
    closed_by_reason: Named<u64, { CloseReason::ALL.len() }>,
}

#[derive(Serialize)]
struct Messages {
    sent: u64,
    bytes: u64,
    conflated: u64,
    dropped: u64,
}

#[derive(Serialize)]
struct Tasks {
    running: u64,
    cancelling: u64,
    cancelled: u64,
    completed: u64,
    forced: u64,
}

#[derive(Serialize)]
struct Pools {
    frames: Pool,
    heads: Pool,
    slots: Pool,
}

#[derive(Serialize)]
struct Pool {
    live: usize,
    high: usize,
    reused: u64,
}

#[derive(Serialize)]
struct Loop {
    turns: u64,
    lateness_ms: Lateness,
}

#[derive(Serialize)]
struct Lateness {
    p99: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize)]
struct LedgerRow {
    opened: u64,
    closed: u64,
    live: u64,
    high: u64,
}

impl ServerFigures {
    /// The figures of this moment. Walks every connection.
    pub fn of(context: &mut Context<'_>, lateness: &Histogram) -> ServerFigures {
        let pools = context.pools();
        let (stats, ledger) = (context.stats(), context.ledger());
        let messages = Messages {
            sent: stats.messages_sent,
            bytes: stats.message_bytes_sent,
            conflated: stats.frames_conflated,
            dropped: stats.events_dropped,
        };
        let lateness_ms = Lateness {
            p99: lateness.quantile(0.99).map(milliseconds),
            max: (lateness.count() > 0).then(|| milliseconds(lateness.max())),
        };
        ServerFigures {
            connections: Connections::of(context),
            messages,
            tasks: context.task_counts().into(),
            pools: Pools {
                frames: pools.frames.into(),
                heads: pools.inputs.into(),
                slots: pools.slots.into(),
            },
            r#loop: Loop { turns: stats.turns, lateness_ms },
            ledger: Named(RESOURCES.map(|resource| (resource.name(), ledger.row(resource).into()))),
            audit: None,
        }
    }
}

impl Connections {
    /// Everything in the table is active; what is over and not yet released is so as DISCONNECTED.
    /// So active is opened less closed, and the sum of the states.
    fn of(context: &Context<'_>) -> Connections {
        let slots = context.ledger().row(Resource::Slot);
        let mut by_state = State::ALL.map(|state| (state.name(), 0));
        for connection in context.connections() {
            by_state[connection.phase.state() as usize].1 += 1;
        }
        Connections {
            active: slots.live(),
            peak: slots.high,
            opened: slots.opened,
            closed: slots.closed,
            by_state: Named(by_state),
            closed_by_reason: Named(array::from_fn(|index| {
                let reason = CloseReason::ALL[index];
                (reason.name(), context.stats().closes(reason))
            })),
        }
    }
}

impl From<TaskCounts> for Tasks {
    fn from(counts: TaskCounts) -> Tasks {
        let TaskCounts { running, cancelling, cancelled, completed, forced } = counts;
        Tasks { running, cancelling, cancelled, completed, forced }
    }
}

impl From<PoolStatistics> for Pool {
    fn from(PoolStatistics { live, high, reused }: PoolStatistics) -> Pool {
        Pool { live, high, reused }
    }
}

impl From<Row> for LedgerRow {
    fn from(row: Row) -> LedgerRow {
        LedgerRow { opened: row.opened, closed: row.closed, live: row.live(), high: row.high }
    }
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

/// A map whose names are not known to the type.
struct Named<T, const N: usize>([(&'static str, T); N]);

impl<T: Serialize, const N: usize> Serialize for Named<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// With three decimals: a microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_audit_is_answered_with_what_disagrees() {
        let answer = failed_audit("ledger says 1 of Slot are out, 0 are held");
        assert_eq!((answer.status(), answer.body_len()), (500, 42));
    }

    #[test]
    fn a_state_counts_under_its_own_name() {
        for (index, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, index);
        }
    }
}
