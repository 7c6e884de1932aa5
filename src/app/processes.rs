//! The process table on the loop: read only while somebody watches, a slice at a time.
//!
//! Owns the reader, what is wanted of it, the one task that goes on with a scan, and the requests
//! and messages that wait for one. Who asks makes the table watched for [`WATCHED_FOR`]; while it
//! is, a scan begins every second, or every interval of the sampling if that is longer, up to 5 s.
//! A slice ends after half a millisecond, and the next one is due in a later turn, a granule of the
//! timers further on (4.2 ms): so a scan takes an eighth of the time, and others are served in
//! between. When nobody has asked for [`WATCHED_FOR`], all memory is given back. Promises: an
//! answer has rates, and comes in a later turn if need be; no more wait than [`WAITING_MAX`].
//! Imports the engine's tasks and answers, and the reader's trait.

mod waiting;
mod watch;

use std::time::Duration;

pub use self::waiting::Reader;
use self::waiting::{Asker, Waiting, busy, messages, response, too_long};
use self::watch::Watch;
use super::gzip::Gzip;
use super::protocol::{ErrorCode, Id, Refusal};
use super::unix_ms;
use crate::engine::clock::Tick;
use crate::engine::connection::response::Response;
use crate::engine::handle::Handle;
use crate::engine::handler::{Answer, Context};
use crate::engine::tasks::{Owner, Run, TaskId};
use crate::metrics::processes::{ORDERS, Question, View, Wanted};
use crate::metrics::source::processes::{ProcessSource, Progress};

/// How long the table is kept up after a question: a page that asks every few seconds finds it, and
/// one that was closed costs little more.
pub const WATCHED_FOR: Duration = Duration::from_secs(10);

/// The least from one scan to the next: processors are counted in ticks of 10 ms, so a second's
/// share is exact to one percent.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// The most, however rarely the host is sampled: who looks at a table wants to see it move.
const EVERY_MAX: Duration = Duration::from_secs(5);

/// From one scan to the next while a request waits. Half a second is exact to two percent.
const EVERY_WAITED_FOR: Duration = Duration::from_millis(500);

/// A slice is over when it has lasted this long, and overshoots by one step, some 0.2 ms. Half
/// would make a scan of thousands last twice as long; double would make every tick late.
const SLICE_MAX: Duration = Duration::from_micros(500);

/// What a step may open: 0.1 ms at 6 us a file. A file of a process of thousands of threads, which
/// takes the kernel a millisecond, ends its step.
const FILES_PER_STEP: usize = 16;

/// Steps of a slice at most, should the clock stand still.
const STEPS_PER_SLICE_MAX: usize = 32;

/// Requests and messages that wait for a scan, of each connection one at a time. Beyond them one is
/// asked to try again: a table is worth waiting for to a few readers, and each makes the answers
/// come later.
pub const WAITING_MAX: usize = 64;

/// Answers made in a slice. A hundred rows take 0.1 ms to write.
const ANSWERS_PER_SLICE: usize = 4;

const NO_TASK: &str = "there is no room for another task; try again";

/// What makes the next slice due in a later turn: a delay of nothing could be due in this one.
const NEXT_TURN: Duration = Duration::from_nanos(1);

/// Watches the processes.
pub struct Processes {
    source: Box<dyn ProcessSource + Send>,
    every: Duration,
    /// Who watches, for each order.
    watches: [Option<Watch>; ORDERS.len()],
    waiting: Vec<Waiting>,
    /// What comes next, and the task that brings it.
    phase: Phase,
    task: Option<TaskId>,
    /// When that is due, and when the last scan began.
    due: Tick,
    began: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody watches, and nothing is held.
    Idle,
    /// A scan is under way.
    Scanning,
    /// A scan is complete, and those who waited for it get their answers.
    Answering,
    /// The next scan is due with the task.
    Resting,
}

impl Processes {
    /// The processes that `source` reads, on a host that is sampled every `interval`.
    pub fn new(source: Box<dyn ProcessSource + Send>, interval: Duration) -> Processes {
        Processes {
            source,
            every: interval.clamp(EVERY_MIN, EVERY_MAX),
            watches: [None; ORDERS.len()],
            waiting: Vec::new(),
            phase: Phase::Idle,
            task: None,
            due: Tick::ZERO,
            began: Tick::ZERO,
        }
    }

    /// Bytes that are held at most because somebody watches.
    pub fn memory_ceiling(&self) -> usize {
        self.source.memory_ceiling() + WAITING_MAX * Waiting::BYTES_MAX
    }

    /// Answers a request: at once if the table has what it asks for, or else after the scan that
    /// will have.
    pub fn answer(
        &mut self,
        context: &mut Context<'_>,
        gzip: &mut Gzip,
        handle: Handle,
        question: Question,
        reader: Reader,
    ) -> Answer {
        if let Some(view) = self.table(question) {
            let response = response(&view, context.limits());
            let response = gzip.code(context, reader.takes_gzip, response);
            self.watch(context, question);
            return Answer::Respond(response);
        }
        match self.wait(context, Waiting::new(handle, question, Asker::Request(reader))) {
            Ok(()) => Answer::Later,
            Err(reason) => Answer::Respond(busy(reason)),
        }
    }

    /// Answers a message in the same way.
    ///
    /// # Errors
    /// A refusal with code `limit` when another of the connection's waits already, or as many wait
    /// as may.
    pub fn get(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        question: Question,
        id: Option<&Id>,
    ) -> Result<(), Refusal> {
        let limit = |reason| Err(Refusal::new(ErrorCode::Limit, reason));
        if self.waiting.iter().any(|waiting| waiting.handle == handle) {
            return limit("another get for the process table waits; try again when it is answered");
        }
        if let Some(view) = self.table(question) {
            let messages = messages(&view, context.limits(), id).map_err(too_long)?;
            self.watch(context, question);
            return match context.reply_all(handle, messages) {
                true => Ok(()),
                false => limit("answers before this one are not taken yet"),
            };
        }
        let asker = Asker::Message { id: id.cloned(), asked: context.now() };
        self.wait(context, Waiting::new(handle, question, asker)).or_else(limit)
    }

    /// Forgets what a WebSocket that has ended waits for.
    pub fn forget(&mut self, handle: Handle) {
        self.waiting.retain(|waiting| waiting.handle != handle);
    }

    /// Has one wait for the next scan, or says why not.
    fn wait(&mut self, context: &mut Context<'_>, waiting: Waiting) -> Result<(), &'static str> {
        self.forget_gone(context);
        if self.waiting.len() == WAITING_MAX || context.is_draining() {
            return Err("too many wait for the process table; try again");
        }
        if !self.watch(context, waiting.question) {
            return Err(NO_TASK);
        }
        self.waiting.push(waiting);
        Ok(())
    }

    /// Keeps the table up for a question for [`WATCHED_FOR`] from now. False when there is no task
    /// to be had.
    pub fn watch(&mut self, context: &mut Context<'_>, question: Question) -> bool {
        let now = context.now();
        let watch = &mut self.watches[question.order as usize];
        *watch = Some(Watch::renewed(*watch, question, now));
        match self.phase {
            Phase::Idle => self.schedule(context, Phase::Resting, NEXT_TURN),
            // Who waits for an order that was not asked for need not wait for the usual time.
            Phase::Resting if self.table(question).is_none() => {
                let due = (self.began + EVERY_WAITED_FOR).max(now + NEXT_TURN);
                due >= self.due || self.schedule(context, Phase::Resting, due - now)
            }
            _ => true,
        }
    }

    /// The newest table as one who asks sees it; `None` until the scan that a [`Processes::watch`]
    /// for the same question brings is complete.
    pub fn table(&self, question: Question) -> Option<View<'_>> {
        self.source.table().and_then(|table| table.view(question))
    }

    /// Whether this is the task that goes on with a scan.
    pub fn owns(&self, run: &Run) -> bool {
        self.task == Some(run.id)
    }

    /// Goes on: the task is due.
    pub fn run(&mut self, context: &mut Context<'_>, gzip: &mut Gzip) {
        self.task = None;
        match self.phase {
            Phase::Idle => {}
            Phase::Resting => self.begin(context, gzip),
            Phase::Scanning => self.slice(context, gzip),
            Phase::Answering => self.answer_some(context, gzip),
        }
    }

    /// Gives everything back: the loop is about to stop. The engine answers those who wait.
    pub fn stop(&mut self, context: &mut Context<'_>) {
        if let Some(task) = self.task.take() {
            context.cancel(task);
        }
        self.release();
    }

    fn release(&mut self) {
        self.source.release();
        self.watches = [None; ORDERS.len()];
        self.waiting = Vec::new();
        self.phase = Phase::Idle;
    }

    fn begin(&mut self, context: &mut Context<'_>, gzip: &mut Gzip) {
        let now = context.now();
        self.forget_gone(context);
        let mut wanted = Wanted::default();
        let watched = self.watches.iter().flatten().flat_map(|watch| watch.questions(now));
        watched.for_each(|question| wanted.add(question));
        for waiting in &mut self.waiting {
            wanted.add(waiting.question);
            waiting.is_put_off = false;
        }
        if wanted == Wanted::default() {
            return self.release();
        }
        self.began = now;
        self.source.begin(now.since_origin(), unix_ms(context.wall()), wanted);
        self.phase = Phase::Scanning;
        self.slice(context, gzip);
    }

    fn slice(&mut self, context: &mut Context<'_>, gzip: &mut Gzip) {
        let start = context.instant();
        let mut now = start;
        for _ in 0..STEPS_PER_SLICE_MAX {
            match self.source.step(now.since_origin(), FILES_PER_STEP) {
                Progress::Pending => {}
                Progress::Done => return self.answer_some(context, gzip),
                Progress::Failed => return self.fail(context),
            }
            now = context.instant();
            if now - start >= SLICE_MAX {
                break;
            }
        }
        self.schedule(context, Phase::Scanning, NEXT_TURN);
    }

    /// Answers some of those whom the table has an answer for, in the order in which they came;
    /// then rests until the next scan. Who has not taken the answers before waits for that one.
    fn answer_some(&mut self, context: &mut Context<'_>, gzip: &mut Gzip) {
        let mut made: Option<(Question, bool, Response)> = None;
        let mut made_count = 0;
        let mut index = 0;
        while let Some(waiting) = self.waiting.get(index) {
            let question = waiting.question;
            let is_made = match (&waiting.asker, &made) {
                (Asker::Request(reader), Some((known, is_coded, _))) => {
                    (*known, *is_coded) == (question, reader.takes_gzip)
                }
                _ => false,
            };
            let view = self.source.table().and_then(|table| table.view(question));
            let Some(view) = view.filter(|_| !waiting.is_put_off) else {
                index += 1;
                continue;
            };
            if !is_made {
                if made_count == ANSWERS_PER_SLICE {
                    self.schedule(context, Phase::Answering, NEXT_TURN);
                    return;
                }
                made_count += 1;
            }
            let is_given = match &waiting.asker {
                Asker::Request(Reader { takes_gzip, grant }) => {
                    let response = match made.take().filter(|_| is_made) {
                        Some((_, _, response)) => response,
                        None => gzip.code(context, *takes_gzip, response(&view, context.limits())),
                    };
                    context.respond(waiting.handle, grant.apply(response.clone()));
                    made = Some((question, *takes_gzip, response));
                    true
                }
                Asker::Message { id, .. } => match messages(&view, context.limits(), id.as_ref()) {
                    Ok(messages) => context.reply_all(waiting.handle, messages),
                    Err(cause) => {
                        waiting.tell(context, &too_long(cause));
                        true
                    }
                },
            };
            if is_given {
                self.waiting.remove(index);
            } else {
                self.waiting[index].is_put_off = true;
                index += 1;
            }
        }
        self.rest(context);
    }

    /// Waits for the next scan: unless somebody waits for that, at least as long as the last one
    /// took, so that a host with very many processes is not scanned all the time.
    fn rest(&mut self, context: &mut Context<'_>) {
        let taken = context.instant() - self.began;
        let delay = match self.waiting.is_empty() {
            true => self.every.saturating_sub(taken).max(taken),
            false => EVERY_WAITED_FOR.saturating_sub(taken).max(NEXT_TURN),
        };
        self.schedule(context, Phase::Resting, delay);
    }

    /// Processes cannot be listed here.
    fn fail(&mut self, context: &mut Context<'_>) {
        self.refuse_all(context, "the processes of this host cannot be listed");
        self.release();
    }

    fn refuse_all(&mut self, context: &mut Context<'_>, reason: &str) {
        std::mem::take(&mut self.waiting)
            .iter()
            .for_each(|waiting| waiting.refuse(context, reason));
    }

    /// Forgets those who wait no more.
    fn forget_gone(&mut self, context: &mut Context<'_>) {
        self.waiting.retain(|waiting| {
            let is_late = waiting.is_late(context);
            if is_late {
                waiting.refuse(context, "no answer came in time; try again");
            }
            waiting.is_there(context) && !is_late
        });
    }

    /// Lets the task run in `delay`, in place of one that there may be. False without a task: then
    /// nothing is held, and those who wait are told.
    fn schedule(&mut self, context: &mut Context<'_>, phase: Phase, delay: Duration) -> bool {
        if let Some(task) = self.task.take() {
            context.cancel(task);
        }
        self.task = context.spawn_after("processes", Owner::Handler, delay);
        (self.due, self.phase) = (context.now() + delay, phase);
        if self.task.is_none() {
            log::debug!("task=processes limit=tasks action=release");
            self.refuse_all(context, NO_TASK);
            self.release();
        }
        self.task.is_some()
    }
}
