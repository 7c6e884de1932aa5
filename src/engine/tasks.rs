//! Named jobs, with an owner and a state.
//!
//! Whatever happens later or again and again is a task: the tick, the accept retry, the end of a
//! drain, a connection's stream. A repeating task keeps to a grid: its next run is the first grid
//! point after now, so it neither drifts nor runs a burst after a pause; the points it missed are
//! counted. A task is RUNNING until it is COMPLETED or is cancelled: then it is CANCELLING, runs no
//! more, and has [`CANCEL_TIMEOUT`] to wind down before it is CANCELLED by force. The end of an
//! owner cancels its tasks. The table owns no timer; the engine arms at most one for each task. A
//! connection's stream stands in its connection, whose deadlines are its own; here it is counted.

use std::fmt;
use std::time::Duration;

use slab::Slab;

use super::clock::Tick;
use super::handle::Handle;
use super::wheel::TimerId;

/// How long a cancelled task may wind down.
pub const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// Places in the table for the engine's own tasks, so that a handler cannot take them: the accept
/// retry and the end of a drain.
pub(crate) const ENGINE_TASKS: usize = 2;

/// The name of the task that each open WebSocket and each event stream is.
pub const STREAM: &str = "stream";

/// A task, or nothing once it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId {
    index: u32,
    generation: u32,
}

/// Whose end is a task's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The engine itself.
    Engine,
    /// The handler: ends when a drain begins.
    Handler,
    /// One connection.
    Connection(Handle),
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Engine => formatter.write_str("engine"),
            Owner::Handler => formatter.write_str("handler"),
            Owner::Connection(handle) => handle.fmt(formatter),
        }
    }
}

/// Where a task is in its life. The last two are over: only their counts remain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It will run, or runs.
    Running,
    /// It runs no more and winds down.
    Cancelling,
    /// It was ended.
    Cancelled,
    /// It came to its own end.
    Completed,
}

impl fmt::Display for TaskState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            TaskState::Running => "RUNNING",
            TaskState::Cancelling => "CANCELLING",
            TaskState::Cancelled => "CANCELLED",
            TaskState::Completed => "COMPLETED",
        })
    }
}

/// One run of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which task.
    pub id: TaskId,
    /// Its name.
    pub name: &'static str,
    /// Whose it is.
    pub owner: Owner,
    /// When it was due.
    pub due: Tick,
    /// Grid points that passed since the last run without one of their own.
    pub skipped: u64,
}

/// A living task, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// Its name.
    pub name: &'static str,
    /// Whose it is.
    pub owner: Owner,
    /// Running or cancelling.
    pub state: TaskState,
}

/// How many tasks are, and have been, in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Running now.
    pub running: u64,
    /// Winding down now.
    pub cancelling: u64,
    /// Ended by being cancelled, since the start.
    pub cancelled: u64,
    /// Ended of their own accord, since the start.
    pub completed: u64,
    /// Of the cancelled, those that did not wind down in time.
    pub forced: u64,
}

impl TaskCounts {
    /// Takes note of a task that begins.
    pub(crate) fn begin(&mut self) {
        self.running += 1;
    }

    /// Takes note of a running task that is cancelled.
    pub(crate) fn begin_cancel(&mut self) {
        self.running -= 1;
        self.cancelling += 1;
    }

    /// Takes note of a task's end.
    pub(crate) fn end(&mut self, from: TaskState, to: TaskState) {
        match from {
            TaskState::Running => self.running -= 1,
            TaskState::Cancelling => self.cancelling -= 1,
            TaskState::Cancelled | TaskState::Completed => panic!("a task ends once"),
        }
        match to {
            TaskState::Cancelled => self.cancelled += 1,
            TaskState::Completed => self.completed += 1,
            TaskState::Running | TaskState::Cancelling => panic!("that is no end"),
        }
    }
}

#[derive(Debug)]
struct Task {
    name: &'static str,
    owner: Owner,
    state: TaskState,
    generation: u32,
    due: Tick,
    period: Option<Duration>,
    timer: Option<TimerId>,
}

/// What a task's timer meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    /// Run it; the next run is due then.
    Run(Run, Option<Tick>),
    /// It has not wound down in time.
    Overdue(&'static str, Owner),
}

/// The table of tasks.
#[derive(Debug)]
pub(crate) struct Tasks {
    tasks: Slab<Task>,
    tasks_max: usize,
    generation: u32,
    pub(crate) counts: TaskCounts,
}

impl Tasks {
    /// A table for `tasks_max` tasks beside the engine's own.
    pub(crate) fn new(tasks_max: usize) -> Tasks {
        Tasks {
            tasks: Slab::with_capacity(tasks_max + ENGINE_TASKS),
            tasks_max,
            generation: 0,
            counts: TaskCounts::default(),
        }
    }

    /// Bytes that the table for `tasks_max` tasks takes: a task, or the number of the next free
    /// place.
    pub(super) fn memory_bytes(tasks_max: usize) -> usize {
        (tasks_max + ENGINE_TASKS) * (size_of::<Task>() + size_of::<usize>())
    }

    /// Bytes that a list of all tasks takes.
    pub(super) fn list_bytes(tasks_max: usize) -> usize {
        (tasks_max + ENGINE_TASKS) * size_of::<TaskId>()
    }

    /// Enters a task; `None` when the table is full.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        owner: Owner,
        due: Tick,
        period: Option<Duration>,
    ) -> Option<TaskId> {
        if owner != Owner::Engine && self.others().count() == self.tasks_max {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let state = TaskState::Running;
        let task = Task { name, owner, state, generation, due, period, timer: None };
        let index = self.tasks.insert(task) as u32;
        self.counts.begin();
        log::debug!("task={name} owner={owner} state=RUNNING");
        Some(TaskId { index, generation })
    }

    /// Remembers the timer that stands for the task.
    pub(crate) fn set_timer(&mut self, id: TaskId, timer: TimerId) {
        self.get_mut(id).expect("a task is armed while it is in the table").timer = Some(timer);
    }

    /// Forgets the timer that stands for the task, for it to be taken out of the wheel.
    pub(crate) fn take_timer(&mut self, id: TaskId) -> Option<TimerId> {
        self.get_mut(id)?.timer.take()
    }

    /// Makes a running task a cancelling one; false when it is not running.
    pub(crate) fn begin_cancel(&mut self, id: TaskId) -> bool {
        let Some(task) = self.get_mut(id) else { return false };
        if task.state != TaskState::Running {
            return false;
        }
        task.state = TaskState::Cancelling;
        log::debug!("task={} owner={} state=CANCELLING", task.name, task.owner);
        self.counts.begin_cancel();
        true
    }

    /// Takes a task out: a running one has completed, a cancelling one is cancelled. Its timer has
    /// been taken before.
    pub(crate) fn end(&mut self, id: TaskId) -> bool {
        let Some(task) = self.get_mut(id) else { return false };
        assert!(task.timer.is_none(), "the timer of {} would outlive it", task.name);
        let from = task.state;
        let to = match from {
            TaskState::Running => TaskState::Completed,
            _ => TaskState::Cancelled,
        };
        log::debug!("task={} owner={} state={to}", task.name, task.owner);
        self.tasks.remove(id.index as usize);
        self.counts.end(from, to);
        true
    }

    /// Takes note that the task's timer has fired. One that does not repeat is over by its run.
    pub(crate) fn fire(&mut self, id: TaskId, now: Tick) -> Option<Fired> {
        let task = self.get_mut(id)?;
        task.timer = None;
        let (name, owner, due) = (task.name, task.owner, task.due);
        if task.state == TaskState::Cancelling {
            return Some(Fired::Overdue(name, owner));
        }
        let Some(period) = task.period else {
            self.end(id);
            return Some(Fired::Run(Run { id, name, owner, due, skipped: 0 }, None));
        };
        let (next, skipped) = next_on_grid(due, period, now);
        task.due = next;
        Some(Fired::Run(Run { id, name, owner, due, skipped }, Some(next)))
    }

    /// The owner and the state of a living task.
    pub(crate) fn get(&self, id: TaskId) -> Option<TaskView> {
        let task = self.tasks.get(id.index as usize)?;
        (task.generation == id.generation).then(|| task.view())
    }

    /// Every task, with its name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TaskId, TaskView)> {
        self.tasks.iter().map(|(index, task)| {
            (TaskId { index: index as u32, generation: task.generation }, task.view())
        })
    }

    /// The tasks that are not the engine's.
    pub(crate) fn others(&self) -> impl Iterator<Item = (TaskId, TaskView)> {
        self.iter().filter(|(_, task)| task.owner != Owner::Engine)
    }

    /// How many timers stand for tasks.
    pub(crate) fn armed(&self) -> usize {
        self.tasks.iter().filter(|(_, task)| task.timer.is_some()).count()
    }

    fn get_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        let task = self.tasks.get_mut(id.index as usize)?;
        (task.generation == id.generation).then_some(task)
    }
}

impl Task {
    fn view(&self) -> TaskView {
        TaskView { name: self.name, owner: self.owner, state: self.state }
    }
}

/// The first point of the grid `due + n x period` after `now`, and how many points were passed
/// over.
fn next_on_grid(due: Tick, period: Duration, now: Tick) -> (Tick, u64) {
    let period_nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
    let late_nanos = now.as_nanos().saturating_sub(due.as_nanos());
    let skipped = late_nanos / period_nanos;
    let ahead = period_nanos.saturating_mul(skipped.saturating_add(1));
    (Tick::from_nanos(due.as_nanos().saturating_add(ahead)), skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn millis(milliseconds: u64) -> Tick {
        Tick::from_millis(milliseconds)
    }

    fn add(tasks: &mut Tasks, period: Option<Duration>) -> Option<TaskId> {
        tasks.add("job", Owner::Handler, millis(5), period)
    }

    #[test]
    fn a_late_run_does_not_move_the_grid() {
        assert_eq!(next_on_grid(millis(1000), SECOND, millis(1000)), (millis(2000), 0));
        assert_eq!(next_on_grid(millis(1000), SECOND, millis(1999)), (millis(2000), 0));
        assert_eq!(next_on_grid(millis(1000), SECOND, millis(2000)), (millis(3000), 1));
        assert_eq!(next_on_grid(millis(1000), SECOND, millis(61_500)), (millis(62_000), 60));
    }

    #[test]
    fn a_task_that_does_not_repeat_completes_when_it_runs() {
        let mut tasks = Tasks::new(4);
        let id = add(&mut tasks, None).unwrap();
        let Some(Fired::Run(run, next)) = tasks.fire(id, millis(9)) else { panic!("no run") };
        assert_eq!((run.name, run.due, next), ("job", millis(5), None));
        assert_eq!(tasks.counts, TaskCounts { completed: 1, ..TaskCounts::default() });
        assert_eq!(tasks.fire(id, millis(10)), None);
    }

    #[test]
    fn a_cancelling_task_runs_no_more_and_is_overdue_when_its_timer_fires() {
        let mut tasks = Tasks::new(4);
        let id = add(&mut tasks, Some(SECOND)).unwrap();
        assert!(tasks.begin_cancel(id));
        assert!(!tasks.begin_cancel(id), "it is cancelled once");
        assert_eq!(tasks.counts, TaskCounts { cancelling: 1, ..TaskCounts::default() });
        assert_eq!(tasks.fire(id, millis(1005)), Some(Fired::Overdue("job", Owner::Handler)));
        assert!(tasks.end(id));
        assert_eq!(tasks.counts, TaskCounts { cancelled: 1, ..TaskCounts::default() });
    }

    #[test]
    fn a_task_that_is_over_is_gone_and_its_name_does_not_fit_its_successor() {
        let mut tasks = Tasks::new(1);
        let first = add(&mut tasks, Some(SECOND)).unwrap();
        assert!(tasks.end(first));
        let second = add(&mut tasks, Some(SECOND)).unwrap();
        assert_eq!(first.index, second.index);
        assert_eq!(tasks.fire(first, millis(9)), None);
        assert!(!tasks.begin_cancel(first) && !tasks.end(first));
        assert!(tasks.fire(second, millis(9)).is_some());
    }

    #[test]
    fn a_full_table_takes_no_more_but_has_room_for_the_engine() {
        let mut tasks = Tasks::new(1);
        assert!(add(&mut tasks, None).is_some());
        assert!(add(&mut tasks, None).is_none());
        assert!(tasks.add("own", Owner::Engine, millis(5), None).is_some());
    }
}
