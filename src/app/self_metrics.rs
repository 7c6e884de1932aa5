//! What vitald measures of itself, and how it tells of it.
//!
//! [`SelfMetrics`] owns the figures that the application takes and the windows over which rates are
//! made; the engine's figures are the engine's, and what the process takes a source knows. All of
//! it together fills the record of the `server` topic, at each tick and when somebody asks, so that
//! there is one name for each figure in messages, history, alerts and exposition. Promises: no
//! allocation at a tick, memory of fixed size; a figure that is not known is `null`.
//! Imports the engine, the data model and the way answers are made.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::json;
use super::parts::Head;
use super::protocol::write_json;
use crate::engine::clock::Tick;
use crate::engine::connection::frame::{Frame, Kind};
use crate::engine::connection::response::Response;
use crate::engine::connection::{CloseReason, State};
use crate::engine::handler::Context;
use crate::engine::histogram::{Summary, Window};
use crate::engine::ledger::{Ledger, RESOURCES, Resource};
use crate::engine::stats::PoolStatistics;
use crate::metrics::CacheStatistics;
use crate::metrics::selected::Fields;
use crate::metrics::sliding::Sliding;
use crate::metrics::snapshot::{Figure, Server};
use crate::metrics::source::Process;

/// From one audit on request to the next. It walks every connection, 0.3 ms for 10,000 of them; who
/// asks again and again could otherwise have the loop do little else.
const AUDIT_EVERY: Duration = Duration::from_secs(1);

/// Fewest events of which a share is told: of fewer, one would be five percent or more.
const EVENTS_MIN: u64 = 20;

/// Over how long the lateness of ticks is told.
const LATELY: Duration = Duration::from_secs(300);

/// The counters whose rise over the last minutes is told, in the order they are kept.
#[derive(Clone, Copy)]
enum Total {
    Ended,
    EndedByError,
    Attempts,
    AttemptsFailed,
    Hits,
    Reads,
    Wakeups,
    CpuMicros,
}

const TOTALS: usize = Total::CpuMicros as usize + 1;

/// What other parts of the application know.
#[derive(Clone, Copy, Debug)]
pub struct Inside {
    /// What this process takes.
    pub process: Process,
    /// How reads of samples fared.
    pub cache: CacheStatistics,
    /// Subscriptions in all.
    pub subscriptions: usize,
    /// Different kinds of them.
    pub classes: usize,
    /// Samples encoded since the start.
    pub encoded: u64,
}

/// What the application measures of itself.
#[derive(Debug)]
pub struct SelfMetrics {
    /// From a tick's due time to its beginning.
    lateness: Window<5>,
    totals: Sliding<TOTALS>,
    /// When the last audit on request was.
    audited: Option<Tick>,
    /// Where the states and the reasons begin among the columns.
    states: usize,
    reasons: usize,
}

impl Default for SelfMetrics {
    fn default() -> SelfMetrics {
        SelfMetrics {
            lateness: Window::new(LATELY),
            totals: Sliding::new(),
            audited: None,
            states: first_of("connections.by_state."),
            reasons: first_of("connections.closed_by_reason."),
        }
    }
}

/// The first column of a group.
fn first_of(group: &str) -> usize {
    let first = Server::FIELDS.iter().position(|field| field.name.starts_with(group));
    first.expect("the table of metrics has the group")
}

impl SelfMetrics {
    /// Takes note of a tick that was due at `due` and begins at `now`.
    pub fn note_tick(&mut self, now: Tick, due: Tick) {
        self.lateness.record(now, now - due);
    }

    /// From a tick's due time to its beginning, in the last minutes.
    pub fn lateness(&self, now: Tick) -> Summary {
        self.lateness.summary(now)
    }

    /// Writes the figures of this moment. Walks every connection.
    pub fn fill(&mut self, server: &mut Server, context: &Context<'_>, inside: Inside) {
        let Inside { process, cache, .. } = inside;
        self.note_totals(context, process, cache);
        self.fill_connections(server, context);
        self.fill_loop(server, context);
        fill_messages(server, context);
        server.messages_encoded = count(inside.encoded);
        server.subscriptions_active = count(inside.subscriptions as u64);
        server.subscriptions_classes = count(inside.classes as u64);
        fill_tasks(server, context);
        fill_pools(server, context);
        let rise = self.totals.rise();
        let share =
            |part: Total, whole: Total, least| rise.share(part as usize, whole as usize, least);
        server.connections_error_rate = share(Total::EndedByError, Total::Ended, EVENTS_MIN);
        server.connections_failure_rate = share(Total::AttemptsFailed, Total::Attempts, EVENTS_MIN);
        server.connections_disconnects_per_min =
            rise.per_second(Total::Ended as usize).map(|ended| 60.0 * ended);
        server.loop_wakeups_per_s = rise.per_second(Total::Wakeups as usize);
        server.cache_hits = Some(cache.hits as f64);
        server.cache_misses = Some(cache.misses as f64);
        server.cache_hit_rate = share(Total::Hits, Total::Reads, 1);
        let cpu_micros = rise.per_second(Total::CpuMicros as usize);
        server.process_cpu_usage = process.cpu_time.and(cpu_micros).map(|micros| micros / 1e4);
        server.process_rss = process.rss;
        server.process_heap = process.heap;
        server.process_fds = process.fds;
    }

    fn note_totals(&mut self, context: &Context<'_>, process: Process, cache: CacheStatistics) {
        let stats = context.stats();
        let mut totals = [0; TOTALS];
        totals[Total::Ended as usize] = stats.ended;
        totals[Total::EndedByError as usize] = stats.ended_by_error;
        totals[Total::Attempts as usize] = stats.attempts;
        totals[Total::AttemptsFailed as usize] = stats.attempts_failed;
        totals[Total::Hits as usize] = cache.hits;
        totals[Total::Reads as usize] = cache.hits + cache.misses;
        totals[Total::Wakeups as usize] = stats.wakeups;
        totals[Total::CpuMicros as usize] =
            process.cpu_time.map_or(0, |time| time.as_micros() as u64);
        self.totals.note(context.now().since_origin(), totals);
    }

    fn fill_loop(&self, server: &mut Server, context: &Context<'_>) {
        server.loop_turns = count(context.stats().turns);
        let lateness = self.lateness(context.now());
        server.loop_lateness_ms_p99 = lateness.p99.map(milliseconds);
        server.loop_lateness_ms_max = lateness.max.map(milliseconds);
        let busy = context.measured().busy();
        server.loop_busy_ms_p99 = busy.p99.map(milliseconds);
        server.loop_busy_ms_max = busy.max.map(milliseconds);
    }

    /// Everything in the table is active; what is over and not yet released is so as DISCONNECTED.
    /// So active is opened less closed, and the sum of the states.
    fn fill_connections(&self, server: &mut Server, context: &Context<'_>) {
        let slots = context.ledger().row(Resource::Slot);
        server.connections_active = count(slots.live());
        server.connections_peak = count(slots.high);
        server.connections_opened = count(slots.opened);
        server.connections_closed = count(slots.closed);
        let mut states = [0; State::ALL.len()];
        for connection in context.connections() {
            states[connection.phase.state() as usize] += 1;
        }
        set(server, self.states, states);
        let reasons = CloseReason::ALL.iter().map(|reason| context.stats().closes(*reason));
        set(server, self.reasons, reasons);
        let lifetimes = context.measured().lifetimes();
        server.connections_duration_s_mean = lifetimes.mean().map(|mean| mean.as_secs_f64());
        server.connections_duration_s_p50 = lifetimes.quantile(0.5).map(|p50| p50.as_secs_f64());
        server.connections_duration_s_p99 = lifetimes.quantile(0.99).map(|p99| p99.as_secs_f64());
    }

    /// Answers with all figures; after an audit, if one is asked for.
    pub fn answer(&mut self, context: &Context<'_>, inside: Inside, with_audit: bool) -> Response {
        if with_audit && let Err(refusal) = self.audit(context) {
            return refusal;
        }
        let audit = with_audit.then_some("ok");
        let answer = self.whole(context, inside, audit);
        json(Frame::new(Kind::Plain, |out| write_json(&answer, out)))
    }

    /// Answers a message with all figures.
    pub fn message(&mut self, context: &Context<'_>, inside: Inside, head: Head<'_>) -> Frame {
        head.message(&self.whole(context, inside, None))
    }

    fn whole<'a>(
        &mut self,
        context: &'a Context<'_>,
        inside: Inside,
        audit: Option<&'static str>,
    ) -> Answer<'a> {
        let mut server = Box::<Server>::default();
        self.fill(&mut server, context, inside);
        Answer { server, ledger: context.ledger(), audit }
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

/// The record of `server`, and beside it what only the books tell.
struct Answer<'a> {
    server: Box<Server>,
    ledger: &'a Ledger,
    audit: Option<&'static str>,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        Fields { record: &*self.server, fields: Server::FIELDS }.serialize_into(&mut map)?;
        map.serialize_entry("ledger", &Books(self.ledger))?;
        if let Some(audit) = self.audit {
            map.serialize_entry("audit", audit)?;
        }
        map.end()
    }
}

/// What was taken and given back, by resource.
struct Books<'a>(&'a Ledger);

#[derive(Serialize)]
struct Book {
    opened: u64,
    closed: u64,
    live: u64,
    high: u64,
}

impl Serialize for Books<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(RESOURCES.map(|resource| {
            let row = self.0.row(resource);
            let (live, high) = (row.live(), row.high);
            (resource.name(), Book { opened: row.opened, closed: row.closed, live, high })
        }))
    }
}

fn fill_messages(server: &mut Server, context: &Context<'_>) {
    let stats = context.stats();
    server.messages_sent = count(stats.messages_sent);
    server.messages_bytes = count(stats.message_bytes_sent);
    server.messages_conflated = count(stats.frames_conflated);
    server.messages_dropped = count(stats.events_dropped);
    let measured = context.measured();
    [
        server.messages_latency_ms_p50,
        server.messages_latency_ms_p99,
        server.messages_latency_ms_max,
    ] = quantiles(measured.latency());
    [
        server.messages_round_trip_ms_p50,
        server.messages_round_trip_ms_p99,
        server.messages_round_trip_ms_max,
    ] = quantiles(measured.round_trips());
    server.queues_bytes = count(measured.queued_bytes() as u64);
    server.queues_bytes_max = count(measured.queued_bytes_max() as u64);
}

fn quantiles(Summary { p50, p99, max, .. }: Summary) -> [Figure; 3] {
    [p50, p99, max].map(|duration| duration.map(milliseconds))
}

fn fill_tasks(server: &mut Server, context: &Context<'_>) {
    let tasks = context.task_counts();
    server.tasks_running = count(tasks.running);
    server.tasks_cancelling = count(tasks.cancelling);
    server.tasks_cancelled = count(tasks.cancelled);
    server.tasks_completed = count(tasks.completed);
    server.tasks_forced = count(tasks.forced);
}

fn fill_pools(server: &mut Server, context: &Context<'_>) {
    let pools = context.pools();
    server.queues_frames_live = count(pools.frames.live as u64);
    [server.pools_frames_live, server.pools_frames_high, server.pools_frames_reused] =
        figures(pools.frames);
    [server.pools_heads_live, server.pools_heads_high, server.pools_heads_reused] =
        figures(pools.inputs);
    [server.pools_slots_live, server.pools_slots_high, server.pools_slots_reused] =
        figures(pools.slots);
}

fn figures(PoolStatistics { live, high, reused }: PoolStatistics) -> [Figure; 3] {
    [count(live as u64), count(high as u64), count(reused)]
}

/// Sets the columns from `first` on.
fn set(server: &mut Server, first: usize, counts: impl IntoIterator<Item = u64>) {
    for (offset, counted) in counts.into_iter().enumerate() {
        if let Some(figure) = server.figure_mut(first + offset) {
            *figure = count(counted);
        }
    }
}

fn count(count: u64) -> Figure {
    Some(count as f64)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
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

    #[test]
    fn states_and_reasons_have_a_column_each_in_their_order() {
        let names = |group: &str| -> Vec<&str> {
            Server::FIELDS.iter().filter_map(|field| field.name.strip_prefix(group)).collect()
        };
        let states: Vec<&str> = State::ALL.iter().map(|state| state.name()).collect();
        assert_eq!(names("connections.by_state."), states);
        let reasons: Vec<&str> = CloseReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names("connections.closed_by_reason."), reasons);
    }
}
