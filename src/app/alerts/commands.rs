//! The commands of alerts: who runs, who waits, what became of them.
//!
//! Owns [`Commands`]. Each running command is a task of the engine, whose one run is its timeout:
//! RUNNING until the process has ended; CANCELLING from SIGTERM on, and by force, with SIGKILL, a
//! second later. A task that winds down runs no more, so one task beside them, the poller, looks
//! after all processes while there are any; a drain cancels that too, and so it is spawned anew.
//! Promises: at most [`RUNNING_MAX`] processes and [`WAITING_MAX`] who wait; of one figure one
//! after the other, as it fired and resolved; no call waits for a process; each is reaped, and
//! nothing that it has started in its group outlives it.

use std::collections::VecDeque;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use super::process::{End, Process};
use super::words::command;
use crate::engine::handler::{Cancel, Context};
use crate::engine::tasks::{Owner, Run, TaskId};
use crate::metrics::alerts::Transition;

/// Commands that run at a time. More would be a load of their own on a small host that is in
/// trouble already.
pub const RUNNING_MAX: usize = 4;

/// Transitions whose command waits for a place. With every place taken until its timeout, 16 are 40
/// seconds of waiting: later they would be no news.
pub const WAITING_MAX: usize = 16;

/// How long a command may run. Half would stop one that sends mail over a slow link.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// From one look at the processes to the next. Twenty looks a second cost nothing that can be
/// measured beside the command itself.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The names of the tasks.
const TASK: &str = "alert-command";
const POLLER: &str = "alert-poller";

/// What became of the commands so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CommandCounts {
    /// Processes started.
    pub started: u64,
    /// Ended with status 0.
    pub succeeded: u64,
    /// Could not be started, ended with another status or by a signal, or were stopped by a drain.
    pub failed: u64,
    /// Stopped because their time was over.
    pub timed_out: u64,
    /// Not started: others came after them and there was no room to wait, or vitald stopped.
    pub dropped: u64,
}

/// Every command, on its way or done.
#[derive(Debug)]
pub struct Commands {
    host: String,
    running: Vec<Running>,
    waiting: VecDeque<Transition>,
    poller: Option<TaskId>,
    counts: CommandCounts,
}

#[derive(Debug)]
struct Running {
    transition: Transition,
    process: Process,
    /// Until it is over for the engine: a process may outlive its task by a moment.
    task: Option<TaskId>,
    stop: Option<Stop>,
}

/// Why a command is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Timeout,
    Drain,
}

impl Commands {
    /// No command yet. `host` is what they are told that this host is called.
    pub fn new(host: &str) -> Commands {
        Commands {
            host: host.to_owned(),
            running: Vec::with_capacity(RUNNING_MAX),
            waiting: VecDeque::with_capacity(WAITING_MAX),
            poller: None,
            counts: CommandCounts::default(),
        }
    }

    /// Bytes that the lists of those who run and wait take.
    pub fn memory_ceiling() -> usize {
        RUNNING_MAX * size_of::<Running>() + WAITING_MAX * size_of::<Transition>()
    }

    /// What became of the commands so far.
    pub fn counts(&self) -> CommandCounts {
        self.counts
    }

    /// Commands that run, and transitions that wait for theirs.
    pub fn lengths(&self) -> (usize, usize) {
        (self.running.len(), self.waiting.len())
    }

    /// Runs the command of a transition's rule, if it has one, as soon as there is a place.
    pub fn run(&mut self, context: &mut Context<'_>, transition: &Transition) {
        if transition.rule.command.is_empty() {
            return;
        }
        if self.waiting.len() == WAITING_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.drop_one(&oldest, "others wait");
        }
        self.waiting.push_back(transition.clone());
        self.start_waiting(context);
    }

    /// A task is due: true if it is one of these.
    pub fn task(&mut self, context: &mut Context<'_>, run: Run) -> bool {
        if self.poller == Some(run.id) {
            self.look(context);
            return true;
        }
        let Some(running) = self.running_as(run.id) else { return false };
        running.stop = Some(Stop::Timeout);
        context.cancel(run.id);
        true
    }

    /// A task is being cancelled: `None` if it is none of these.
    pub fn cancel(&mut self, context: &mut Context<'_>, task: TaskId) -> Option<Cancel> {
        if self.poller == Some(task) {
            self.poller = None;
            self.keep_looking(context);
            return Some(Cancel::Done);
        }
        let running = self.running_as(task)?;
        running.stop.get_or_insert(Stop::Drain);
        running.process.terminate();
        Some(Cancel::Wait)
    }

    /// A task has not wound down in time.
    pub fn forced(&mut self, task: TaskId) {
        if self.poller == Some(task) {
            self.poller = None;
        } else if let Some(running) = self.running_as(task) {
            running.task = None;
            running.process.kill();
        }
    }

    /// A drain has begun: who waits does so in vain.
    pub fn drain(&mut self) {
        while let Some(transition) = self.waiting.pop_front() {
            self.drop_one(&transition, "vitald stops");
        }
    }

    fn start_waiting(&mut self, context: &mut Context<'_>) {
        while self.running.len() < RUNNING_MAX
            && let Some(transition) = self.next_free()
        {
            self.start(context, transition);
        }
    }

    /// Takes out the first that waits for nothing but a place. The earlier command of its figure is
    /// over then: side by side, what says that it resolved could come before what says it fires.
    fn next_free(&mut self) -> Option<Transition> {
        let is_free = |waiting: &Transition| {
            !self.running.iter().any(|running| is_same_figure(&running.transition, waiting))
        };
        let index = self.waiting.iter().position(is_free)?;
        self.waiting.remove(index)
    }

    fn start(&mut self, context: &mut Context<'_>, transition: Transition) {
        let due = context.now() + TIMEOUT;
        let Some(task) = context.spawn_every(TASK, Owner::Handler, due, TIMEOUT) else {
            return self.drop_one(&transition, "there are too many tasks");
        };
        let mut command: Command = command(&transition, &self.host);
        match Process::start(&mut command) {
            Ok(process) => {
                self.counts.started += 1;
                self.running.push(Running { transition, process, task: Some(task), stop: None });
                self.keep_looking(context);
            }
            Err(error) => {
                context.end(task);
                self.counts.failed += 1;
                let (rule, program) = (&transition.rule.name, command.get_program());
                log::warn!("alert command rule={rule:?} program={program:?} error=\"{error}\"");
            }
        }
    }

    /// Sees to it that the poller is there while a process is.
    fn keep_looking(&mut self, context: &mut Context<'_>) {
        if self.poller.is_none() && !self.running.is_empty() {
            let first = context.now() + LOOK_EVERY;
            self.poller = context.spawn_every(POLLER, Owner::Handler, first, LOOK_EVERY);
        }
    }

    /// Takes those that have ended out, and lets others have their places.
    fn look(&mut self, context: &mut Context<'_>) {
        let mut index = 0;
        while let Some(running) = self.running.get_mut(index) {
            let Some(end) = running.process.reap() else {
                index += 1;
                continue;
            };
            let ended = self.running.swap_remove(index);
            if let Some(task) = ended.task {
                context.end(task);
            }
            self.note_end(&ended, end);
        }
        self.start_waiting(context);
        if self.running.is_empty()
            && let Some(poller) = self.poller.take()
        {
            context.end(poller);
        }
    }

    fn note_end(&mut self, ended: &Running, end: End) {
        let rule = &ended.transition.rule.name;
        let how = match end {
            End::Status(status) => status.to_string(),
            End::Unknown => "status unknown".to_owned(),
        };
        match (ended.stop, end) {
            (Some(Stop::Timeout), _) => {
                self.counts.timed_out += 1;
                let timeout_ms = TIMEOUT.as_millis();
                log::warn!("alert command rule={rule:?} timeout_ms={timeout_ms} end=\"{how}\"");
            }
            (Some(Stop::Drain), _) => {
                self.counts.failed += 1;
                log::warn!("alert command rule={rule:?} stopped=drain end=\"{how}\"");
            }
            (None, End::Status(status)) if status.success() => self.counts.succeeded += 1,
            (None, _) => {
                self.counts.failed += 1;
                log::warn!("alert command rule={rule:?} end=\"{how}\"");
            }
        }
    }

    fn drop_one(&mut self, transition: &Transition, why: &str) {
        self.counts.dropped += 1;
        let (rule, state) = (&transition.rule.name, transition.state());
        log::warn!("alert command rule={rule:?} state={state} dropped=true cause=\"{why}\"");
    }

    fn running_as(&mut self, task: TaskId) -> Option<&mut Running> {
        self.running.iter_mut().find(|running| running.task == Some(task))
    }
}

/// Whether two transitions are of one figure under rules of one name.
fn is_same_figure(one: &Transition, other: &Transition) -> bool {
    one.rule.name == other.rule.name && one.metric == other.metric
}
