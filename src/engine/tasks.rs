//! Named jobs on the wheel.
//!
//! Whatever happens later or again and again, other than a connection's own deadline, is a task
//! with a name: the tick, the accept retry, the end of a drain. A repeating task keeps to a grid:
//! its next run is the first grid point after now, so it neither drifts nor runs a burst after a
//! pause; the points it missed are counted. The table owns no timer; the engine arms one for each
//! task.

use std::time::Duration;

use slab::Slab;

use super::clock::Tick;
use super::wheel::TimerId;

/// A task, or nothing once it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId {
    index: u32,
    generation: u32,
}

/// One run of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which task.
    pub id: TaskId,
    /// Its name.
    pub name: &'static str,
    /// When it was due.
    pub due: Tick,
    /// Grid points that passed since the last run without one of their own.
    pub skipped: u64,
}

/// How many tasks are, and have been, in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Armed now.
    pub running: u64,
    /// Ended by being cancelled, since the start.
    pub cancelled: u64,
    /// Ended by having run, since the start.
    pub completed: u64,
}

#[derive(Debug)]
struct Task {
    name: &'static str,
    generation: u32,
    due: Tick,
    period: Option<Duration>,
    timer: Option<TimerId>,
}

/// The table of tasks.
#[derive(Debug)]
pub(crate) struct Tasks {
    tasks: Slab<Task>,
    tasks_max: usize,
    generation: u32,
    counts: TaskCounts,
}

impl Tasks {
    pub(crate) fn new(tasks_max: usize) -> Tasks {
        Tasks {
            tasks: Slab::with_capacity(tasks_max),
            tasks_max,
            generation: 0,
            counts: TaskCounts::default(),
        }
    }

    /// Enters a task; `None` when the table is full.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        due: Tick,
        period: Option<Duration>,
    ) -> Option<TaskId> {
        if self.tasks.len() == self.tasks_max {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let task = Task { name, generation, due, period, timer: None };
        let index = self.tasks.insert(task) as u32;
        self.counts.running += 1;
        log::debug!("task={name} state=RUNNING");
        Some(TaskId { index, generation })
    }

    /// Remembers the timer that stands for the task.
    pub(crate) fn set_timer(&mut self, id: TaskId, timer: TimerId) {
        self.get_mut(id).expect("a task is armed while it is in the table").timer = Some(timer);
    }

    /// Takes a task out before it is over; gives its timer to be cancelled.
    pub(crate) fn cancel(&mut self, id: TaskId) -> Option<TimerId> {
        let timer = self.get_mut(id)?.timer;
        let task = self.tasks.remove(id.index as usize);
        self.counts.running -= 1;
        self.counts.cancelled += 1;
        log::debug!("task={} state=CANCELLED", task.name);
        timer
    }

    /// Takes note that the task's timer has fired: gives the run, and when the next one is due.
    pub(crate) fn fire(&mut self, id: TaskId, now: Tick) -> Option<(Run, Option<Tick>)> {
        let task = self.get_mut(id)?;
        task.timer = None;
        let (name, due) = (task.name, task.due);
        let Some(period) = task.period else {
            self.tasks.remove(id.index as usize);
            self.counts.running -= 1;
            self.counts.completed += 1;
            log::debug!("task={name} state=COMPLETED");
            return Some((Run { id, name, due, skipped: 0 }, None));
        };
        let (next, skipped) = next_on_grid(due, period, now);
        task.due = next;
        Some((Run { id, name, due, skipped }, Some(next)))
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn counts(&self) -> TaskCounts {
        self.counts
    }

    fn get_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        let task = self.tasks.get_mut(id.index as usize)?;
        (task.generation == id.generation).then_some(task)
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
        let id = tasks.add("once", millis(5), None).unwrap();
        let (run, next) = tasks.fire(id, millis(9)).unwrap();
        assert_eq!((run.name, run.due, next), ("once", millis(5), None));
        assert_eq!(tasks.counts(), TaskCounts { running: 0, cancelled: 0, completed: 1 });
        assert_eq!(tasks.fire(id, millis(10)), None);
    }

    #[test]
    fn a_cancelled_task_is_gone_and_its_name_does_not_fit_its_successor() {
        let mut tasks = Tasks::new(1);
        let first = tasks.add("first", millis(5), Some(SECOND)).unwrap();
        assert_eq!(tasks.cancel(first), None);
        let second = tasks.add("second", millis(6), Some(SECOND)).unwrap();
        assert_eq!(first.index, second.index);
        assert_eq!(tasks.fire(first, millis(9)), None);
        assert!(tasks.fire(second, millis(9)).is_some());
        assert_eq!(tasks.counts(), TaskCounts { running: 1, cancelled: 1, completed: 0 });
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let mut tasks = Tasks::new(1);
        assert!(tasks.add("first", millis(5), None).is_some());
        assert!(tasks.add("second", millis(5), None).is_none());
    }
}
