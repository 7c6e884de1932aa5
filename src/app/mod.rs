//! vitald itself: the handler that joins the engine and the metrics.
//!
//! [`App`] samples on a task of the engine, keeps the sequence number, publishes each sample to the
//! classes of the hub that are due, and answers messages, in `messages`, and requests, in
//! `answers`; who comes is greeted in `greeting`. It owns no socket and no timer. This is the only
//! wing that imports both others.

pub mod access;
mod admission;
pub mod alerts;
mod answers;
pub mod assets;
mod connections;
mod event_stream;
mod exposition;
pub mod getting;
mod greeting;
mod gzip;
mod history;
pub mod hub;
mod messages;
mod parts;
pub mod policy;
pub mod processes;
pub mod protocol;
mod publishing;
mod report;
pub mod routes;
pub mod schema;
pub mod self_metrics;
pub mod server;
pub mod terms;

use std::time::{Duration, SystemTime};

use self::access::Access;
use self::access::attempts::Guesses;
use self::alerts::Alarm;
use self::exposition::Exposed;
use self::gzip::{Gzip, Kept};
use self::hub::Hub;
use self::messages::Rate;
use self::policy::Policy;
use self::processes::Processes;
use self::protocol::{DEFAULT_SUBSCRIPTION, Gap, Metrics};
use self::publishing::Publishing;
use self::self_metrics::{Inside, SelfMetrics};
use crate::config::{CommandLines, DashboardSettings};
use crate::engine::connection::CloseReason;
use crate::engine::connection::frame::{ENVELOPES, Envelope, Frame, NoFrame, OVERHEAD_BYTES};
use crate::engine::connection::head::Request;
use crate::engine::connection::response::Response;
use crate::engine::handle::Handle;
use crate::engine::handler::{Answer, Cancel, Context, Handler, Message};
use crate::engine::limits::Limits;
use crate::engine::tasks::{Owner, Run, TaskId};
use crate::metrics::MetricsService;
use crate::metrics::alerts::Rules;
use crate::metrics::selection::Selection;
use crate::metrics::source::processes::{NoProcesses, ProcessSource};

/// The handler that is vitald.
pub struct App {
    metrics: MetricsService,
    hub: Hub,
    publishing: Publishing,
    access: Access,
    /// Who has shown wrong tokens.
    guesses: Guesses,
    /// Whether the last request of each connection has shown the token or a session, by slot.
    has_shown: Vec<bool>,
    everything: Selection,
    /// Base ticks since the start, those that were skipped included.
    sequence: u64,
    tick: Option<TaskId>,
    /// What has been encoded for readers between two ticks, by the time and number of its sample.
    cache: Cache,
    gzip: Gzip,
    /// What the last Prometheus server was told.
    exposed: Option<Exposed>,
    /// How many messages each connection has sent in its current second, by slot.
    rates: Vec<Rate>,
    /// What it measures of itself.
    own: SelfMetrics,
    alarm: Alarm,
    /// The process table, while somebody watches.
    processes: Processes,
    /// Who is shown command lines.
    commands: CommandLines,
    /// What the configuration says of the page.
    policy: Policy,
}

#[derive(Default)]
struct Cache {
    time_ms: u64,
    sequence: u64,
    snapshot: Option<Kept>,
    /// By envelope.
    hello: [Option<Frame>; ENVELOPES],
}

impl App {
    /// An application that samples by `metrics` and serves at most `slots` connections. It has no
    /// alerts until it is given some.
    pub fn new(metrics: MetricsService, access: Access, slots: usize) -> App {
        let host = metrics.facts().name.clone().unwrap_or_default();
        let processes = Processes::new(Box::new(NoProcesses), metrics.interval());
        App {
            metrics,
            hub: Hub::new(slots),
            publishing: Publishing::default(),
            access,
            guesses: Guesses::new(),
            has_shown: vec![false; slots],
            everything: Selection::standard(),
            sequence: 0,
            tick: None,
            cache: Cache::default(),
            gzip: Gzip::default(),
            exposed: None,
            rates: vec![Rate::default(); slots],
            own: SelfMetrics::default(),
            alarm: Alarm::new(Rules::none(), &host),
            processes,
            commands: CommandLines::Authenticated,
            policy: Policy::new(&DashboardSettings::default()),
        }
    }

    /// The same with these alerts, which begin in their first state.
    pub fn with_alerts(mut self, rules: Rules) -> App {
        let host = self.metrics.facts().name.as_deref().unwrap_or_default();
        self.alarm = Alarm::new(rules, host);
        self
    }

    /// Puts these alerts in the place of those at work. One that is as it was keeps its state.
    pub fn set_alerts(&mut self, context: &mut Context<'_>, rules: Rules) {
        if self.alarm.replace(context, rules, unix_ms(context.wall())) {
            self.cache.hello = Default::default();
        }
    }

    /// The same with a process table, which `source` reads; `commands` says who is shown command
    /// lines.
    #[must_use]
    pub fn with_processes(
        mut self,
        source: Box<dyn ProcessSource + Send>,
        commands: CommandLines,
    ) -> App {
        self.processes = Processes::new(source, self.metrics.interval());
        self.commands = commands;
        self
    }

    /// The same with a page of which the configuration says this.
    #[must_use]
    pub fn with_dashboard(mut self, settings: &DashboardSettings) -> App {
        self.policy = Policy::new(settings);
        self
    }

    /// Subscriptions that there are now, at most
    /// [`SUBSCRIPTIONS_MAX`](protocol::SUBSCRIPTIONS_MAX) a connection.
    pub fn subscriptions(&self) -> usize {
        self.hub.len()
    }

    /// Different kinds of subscription that there are now, at most [`CLASSES_MAX`](hub::CLASSES_MAX).
    pub fn classes(&self) -> usize {
        self.hub.classes()
    }

    fn interval_ms(&self) -> u64 {
        self.metrics.interval().as_millis() as u64
    }

    /// Samples and sends the sample to every class that is due.
    fn tick(&mut self, context: &mut Context<'_>, run: Run) {
        self.own.note_tick(context.now(), run.due);
        self.sequence += 1 + run.skipped;
        if run.skipped > 0 {
            log::info!("tick skipped={} seq={}", run.skipped, self.sequence);
        }
        let now = context.instant().since_origin();
        if !self.metrics.is_due(now, !self.hub.is_empty()) {
            self.metrics.pass(unix_ms(context.wall()), self.sequence);
            return;
        }
        self.sample(context, now);
        // Of ticks that were skipped this one stands for the last.
        let skipped = u32::try_from(run.skipped).unwrap_or(u32::MAX);
        let due = run.due + self.metrics.interval().saturating_mul(skipped);
        let snapshot = self.metrics.latest();
        if self.alarm.evaluate(context, due.since_origin(), snapshot) {
            // It lists what fires, and two samples may have one time.
            self.cache.hello = Default::default();
        }
        self.begin_publishing(context, run.skipped, run.due);
    }

    /// Takes the sample of a base tick.
    fn sample(&mut self, context: &Context<'_>, now: Duration) {
        let inside = self.inside(now);
        let own = &mut self.own;
        self.metrics.tick(now, unix_ms(context.wall()), self.sequence, |server| {
            own.fill(server, context, inside);
        });
    }

    /// What the parts of the application know of themselves.
    fn inside(&mut self, now: Duration) -> Inside {
        Inside {
            process: self.metrics.process(now),
            cache: self.metrics.cache(),
            subscriptions: self.hub.len(),
            classes: self.hub.classes(),
            encoded: self.publishing.encoded,
        }
    }

    /// Brings the cache up to the newest sample, taking one if the newest is over.
    fn refresh(&mut self, context: &Context<'_>) {
        let now = context.instant().since_origin();
        let time_ms = self.metrics.read(now, unix_ms(context.wall())).time_ms;
        let sequence = self.sequence;
        if (self.cache.time_ms, self.cache.sequence) != (time_ms, sequence) {
            self.cache = Cache { time_ms, sequence, ..Cache::default() };
        }
    }

    fn newest<'a>(&'a self, selection: &'a Selection) -> Metrics<'a> {
        let (snapshot, sequence) = (self.metrics.latest(), self.sequence);
        Metrics { snapshot, sequence, sub: DEFAULT_SUBSCRIPTION, selection }
    }
}

impl Handler for App {
    /// The sample, and what the sources need to read it, are as large as the host, and not in it.
    fn memory_ceiling(&self, limits: &Limits) -> usize {
        // Who gets what.
        Hub::memory_ceiling(limits)
            // The message that is being handed out, and a sample for a batch, both of which grow by
            // doubling.
            + 2 * 2 * limits.shared_bytes_max
            // How many messages each connection has sent, and whether it has shown the token.
            + limits.slots() * (size_of::<Rate>() + size_of::<bool>())
            // Who has shown wrong ones.
            + Guesses::MEMORY_BYTES
            // The snapshot and the hellos that are kept between two ticks.
            + (1 + ENVELOPES) * (limits.reply_bytes_max + OVERHEAD_BYTES)
            + Kept::memory_ceiling(limits)
            // What the last Prometheus server was told, and what the next one is about to be.
            + exposition::memory_ceiling(limits)
            // The last day.
            + self.metrics.history().memory_ceiling()
            // Rules, what they watch, and their commands.
            + Alarm::memory_ceiling()
            // The process table.
            + self.processes.memory_ceiling()
            // A message that is being read: the shortest path, six bytes with its quotes and comma,
            // is a text in a list that grows by doubling; what comes of it; and the same in answer.
            + 32 * limits.message_bytes_max
    }

    fn start(&mut self, context: &mut Context<'_>) {
        // A first sample at once, so that the first page is not empty; rates need a second one.
        let now = context.now();
        self.sample(context, now.since_origin());
        let interval = self.metrics.interval();
        self.tick = context.spawn_every("tick", Owner::Handler, now + interval, interval);
        assert!(self.tick.is_some(), "an engine that starts has room for a task");
    }

    fn request(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        request: &Request<'_>,
    ) -> Answer {
        let peer = context.peer(handle).expect("who asks is there");
        self.answer(context, handle, peer, request)
    }

    fn open(&mut self, context: &mut Context<'_>, handle: Handle, request: &Request<'_>) {
        self.rates[handle.slot()] = Rate::new(context.now());
        self.welcome(context, handle, request);
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, message: Message<'_>) {
        self.answer_message(context, handle, message);
    }

    fn closed(&mut self, _: &mut Context<'_>, handle: Handle, _: CloseReason) {
        self.hub.remove(handle);
        self.processes.forget(handle);
    }

    fn task(&mut self, context: &mut Context<'_>, run: Run) {
        if self.tick == Some(run.id) {
            self.tick(context, run);
        } else if self.processes.owns(&run) {
            self.processes.run(context, &mut self.gzip);
        } else {
            self.alarm.task(context, run);
        }
    }

    fn resume(&mut self, context: &mut Context<'_>) {
        self.publish(context);
    }

    fn cancel(&mut self, context: &mut Context<'_>, task: TaskId) -> Cancel {
        self.alarm.cancel(context, task).unwrap_or(Cancel::Done)
    }

    fn forced(&mut self, _: &mut Context<'_>, task: TaskId) {
        self.alarm.forced(task);
    }

    fn drain(&mut self, context: &mut Context<'_>) {
        self.metrics.stop();
        self.alarm.drain();
        self.processes.stop(context);
        let lateness = self.own.lateness(context.now());
        if let Some(p99) = lateness.p99 {
            log::info!("tick seq={} lateness_p99_us={}", self.sequence, p99.as_micros());
        }
    }
}

/// Sends a message, which is JSON, to every subscriber as an event: a slow reader misses the oldest
/// of those that wait for it, and is told how many. Gives how many it goes to.
///
/// # Errors
/// When it is too long for one of those who would get it, or too many frames are held: nobody gets
/// it then.
pub fn broadcast(context: &mut Context<'_>, message: &str) -> Result<usize, NoFrame> {
    let encode = |context: &mut Context<'_>, envelope| {
        context.encode(event_stream::kind(envelope), |out| {
            let write = |out: &mut Vec<u8>| out.extend_from_slice(message.as_bytes());
            event_stream::wrap(envelope, None, out, write);
        })
    };
    context.broadcast(encode, |envelope, missed| event_stream::frame(envelope, &Gap::new(missed)))
}

fn reply(context: &mut Context<'_>, handle: Handle, message: &impl serde::Serialize) -> bool {
    let Some(envelope) = context.envelope(handle) else { return false };
    let frame = event_stream::frame(envelope, message);
    let frame = deflated(context, envelope, frame);
    context.reply(handle, frame)
}

/// A frame as it goes in an envelope: compressed where that is better.
fn deflated(context: &mut Context<'_>, envelope: Envelope, frame: Frame) -> Frame {
    match envelope.deflates(frame.payload().len()) {
        true => context.deflated(&frame),
        false => frame,
    }
}

/// JSON that is true of this moment: nobody may keep it.
fn json(body: Frame) -> Response {
    Response::new(200).with("Cache-Control", "no-store").with_body("application/json", body)
}

/// Unix milliseconds; 0 for a clock before 1970.
pub fn unix_ms(wall: SystemTime) -> u64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
