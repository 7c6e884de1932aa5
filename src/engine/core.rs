//! The engine less its sockets: what handlers may touch, through a `Context`.
//!
//! Owns the connection table with its generations, the timers, the lists that steer a turn, the
//! pools and the books. Nothing here is generic and nothing here does I/O, so the code exists once
//! whatever the network. An entry of a list whose connection has ended is passed over.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use slab::Slab;

use super::addresses::Addresses;
use super::clock::Tick;
use super::compressor::Compressor;
use super::connection::frame::{FramePool, NoFrame, PoolBounds};
use super::connection::inflater::Inflater;
use super::connection::{Connection, Phase};
use super::handle::{Handle, Slot};
use super::inputs::Inputs;
use super::ledger::{Ledger, Resource, ensure};
use super::limits::Limits;
use super::measures::Measures;
use super::stats::Stats;
use super::tasks::{CANCEL_TIMEOUT, Owner, TaskId, TaskState, Tasks};
use super::wheel::Wheel;

/// At most one warning of a kind in this time.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// The kinds of warning, each limited by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Warning {
    Full,
    AddressFull,
    AcceptFailed,
    NoFrame,
    TaskForced,
    Unanswered,
}

const WARNINGS: usize = Warning::Unanswered as usize + 1;

/// What a timer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerKey {
    Connection(Handle),
    Task(TaskId),
}

pub(super) struct Core {
    pub(super) limits: Limits,
    pub(super) now: Tick,
    pub(super) connections: Slab<Connection>,
    pub(super) generations: Vec<u32>,
    pub(super) addresses: Addresses,
    pub(super) wheel: Wheel<TimerKey>,
    /// Connections that can be served without a new event.
    pub(super) ready: VecDeque<Handle>,
    /// Whose outbox was filled by the handler, to be flushed at the end of the turn or of a later
    /// one. A place is on the list once, whoever has it by then: an entry may outlive many.
    pub(super) touched: VecDeque<Slot>,
    /// Which places are on that list.
    pub(super) is_touched: Vec<bool>,
    /// Connections to release at the end of the turn.
    pub(super) doomed: Vec<Slot>,
    pub(super) frames: FramePool,
    /// Long bodies of HTTP answers.
    pub(super) long_frames: FramePool,
    pub(super) compressor: Compressor,
    pub(super) inflater: Inflater,
    pub(super) inputs: Inputs,
    pub(super) tasks: Tasks,
    /// Tasks whose cancelling the handler has not been told of.
    pub(super) cancelled: Vec<TaskId>,
    /// When each kind of warning was last written.
    warned: [Option<Tick>; WARNINGS],
    pub(super) stats: Stats,
    /// Apart, so that what a turn looks at lies close together.
    pub(super) measures: Box<Measures>,
    pub(super) ledger: Ledger,
    pub(super) is_draining: bool,
    /// The handler has asked to go on in the next turn.
    pub(super) is_resuming: bool,
}

impl Core {
    pub(super) fn new(limits: Limits, now: Tick) -> Core {
        let slots = limits.slots();
        Core {
            now,
            connections: Slab::with_capacity(slots),
            generations: vec![0; slots],
            addresses: Addresses::new(slots),
            wheel: Wheel::with_capacity(limits.timers(), now),
            ready: VecDeque::with_capacity(2 * slots),
            touched: VecDeque::with_capacity(slots),
            is_touched: vec![false; slots],
            doomed: Vec::with_capacity(slots),
            frames: FramePool::new(PoolBounds {
                frames_max: limits.frames_max(),
                kept_max: limits.frames_kept_max,
                frame_bytes_max: limits.shared_bytes_max,
            }),
            // Each is as long as the host has it, and seldom asked for: none is kept.
            long_frames: FramePool::new(PoolBounds {
                frames_max: limits.long_frames_max,
                kept_max: 0,
                frame_bytes_max: limits.long_bytes_max,
            }),
            compressor: Compressor::default(),
            inflater: Inflater::default(),
            inputs: Inputs::new(limits.inputs_max),
            tasks: Tasks::new(limits.tasks_max),
            cancelled: Vec::with_capacity(limits.tasks_max),
            warned: [None; WARNINGS],
            stats: Stats::new(),
            measures: Box::new(Measures::new()),
            ledger: Ledger::default(),
            is_draining: false,
            is_resuming: false,
            limits,
        }
    }

    /// The connection that `handle` names, if it is still there.
    pub(super) fn get(&self, handle: Handle) -> Option<&Connection> {
        let connection = self.connections.get(handle.slot())?;
        (connection.handle == handle).then_some(connection)
    }

    /// Like [`Core::get`], to change it.
    pub(super) fn get_mut(&mut self, handle: Handle) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(handle.slot())?;
        (connection.handle == handle).then_some(connection)
    }

    /// The connection in an occupied slot.
    pub(super) fn at(&mut self, slot: Slot) -> &mut Connection {
        self.connections.get_mut(slot as usize).expect("the slot was found occupied in this turn")
    }

    /// A subscriber that frames may be queued for: one that the handler has not been told the
    /// end of, and has not asked to close.
    pub(super) fn sendable(&mut self, handle: Handle) -> Option<&mut Connection> {
        self.get_mut(handle)
            .filter(|connection| connection.is_member && connection.close_wanted.is_none())
    }

    /// Puts a connection on the ready list, once.
    pub(super) fn queue(&mut self, handle: Handle) {
        let Some(connection) = self.get_mut(handle) else { return };
        if !connection.is_ready {
            connection.is_ready = true;
            self.ready.push_back(handle);
        }
    }

    /// Puts a connection on the list of those to flush, once.
    pub(super) fn touch(&mut self, handle: Handle) {
        if self.get(handle).is_none() {
            return;
        }
        if !mem::replace(&mut self.is_touched[handle.slot()], true) {
            self.touched.push_back(handle.slot);
        }
    }

    /// Whether something is left over for a turn without waiting.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty()
            || !self.touched.is_empty()
            || !self.doomed.is_empty()
            || !self.cancelled.is_empty()
            || self.is_resuming
    }

    /// Makes sure that a connection's wheel entry is no later than its deadline. An earlier entry
    /// is left: it is cheaper to look again when it fires than to move it with each message.
    pub(super) fn arm(&mut self, slot: Slot) {
        let connection = &self.connections[slot as usize];
        let Some((due, _)) = connection.deadline(&self.limits) else { return };
        match connection.timer {
            Some((_, armed)) if armed <= due => return,
            Some(_) => self.disarm(slot),
            None => {}
        }
        let key = TimerKey::Connection(self.connections[slot as usize].handle);
        let timer = self.wheel.insert(due, key).expect("the wheel has room for every connection");
        self.ledger.open(Resource::Timer);
        self.at(slot).timer = Some((timer, due));
    }

    /// Takes a connection's entry out of the wheel.
    pub(super) fn disarm(&mut self, slot: Slot) {
        if let Some((timer, _)) = self.at(slot).timer.take() {
            let cancelled = self.wheel.cancel(timer);
            assert!(cancelled.is_some(), "a connection's timer is in the wheel until it fires");
            self.ledger.close(Resource::Timer);
        }
    }

    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        owner: Owner,
        due: Tick,
        period: Option<Duration>,
    ) -> Option<TaskId> {
        if let Owner::Connection(handle) = owner {
            let connection = self.get_mut(handle)?;
            if connection.phase() == Phase::Dead {
                return None;
            }
            connection.owns_tasks = true;
        }
        let task = self.tasks.add(name, owner, due, period)?;
        self.arm_task(task, due);
        Some(task)
    }

    pub(super) fn arm_task(&mut self, task: TaskId, due: Tick) {
        let timer = self.wheel.insert(due, TimerKey::Task(task));
        self.tasks.set_timer(task, timer.expect("the wheel has room for every task"));
        self.ledger.open(Resource::Timer);
    }

    fn disarm_task(&mut self, task: TaskId) {
        if let Some(timer) = self.tasks.take_timer(task) {
            let cancelled = self.wheel.cancel(timer);
            assert!(cancelled.is_some(), "a task's timer is in the wheel until it fires");
            self.ledger.close(Resource::Timer);
        }
    }

    /// Cancels a running task. The engine's own are over at once; of another the handler is told
    /// before the end of the turn.
    pub(super) fn cancel(&mut self, task: TaskId) {
        let Some(view) = self.tasks.get(task) else { return };
        if self.tasks.begin_cancel(task) {
            self.disarm_task(task);
            match view.owner {
                Owner::Engine => self.end_task(task),
                _ => self.cancelled.push(task),
            }
        }
    }

    /// Cancels every task of an owner.
    pub(super) fn cancel_owned(&mut self, owner: Owner) {
        let is_owned = |task: &TaskId, core: &Core| {
            core.tasks.get(*task).is_some_and(|view| view.owner == owner)
        };
        let tasks: Vec<TaskId> = self.tasks.iter().map(|(task, _)| task).collect();
        for task in tasks {
            if is_owned(&task, self) {
                self.cancel(task);
            }
        }
    }

    /// Gives a cancelled task its time to wind down.
    pub(super) fn await_task(&mut self, task: TaskId) {
        if self.tasks.get(task).is_some_and(|view| view.state == TaskState::Cancelling) {
            self.arm_task(task, self.now + CANCEL_TIMEOUT);
        }
    }

    /// Ends a task: it has completed, or has wound down.
    pub(super) fn end_task(&mut self, task: TaskId) {
        self.disarm_task(task);
        self.tasks.end(task);
    }

    /// Ends a task that did not wind down.
    pub(super) fn force_task(&mut self, task: TaskId) {
        if let Some(view) = self.tasks.get(task) {
            self.end_task(task);
            self.note_forced(view.name, view.owner);
        }
    }

    /// Takes note of a task that had to be ended by force.
    pub(super) fn note_forced(&mut self, name: &str, owner: Owner) {
        self.tasks.counts.forced += 1;
        if self.may_warn(Warning::TaskForced) {
            let timeout_ms = CANCEL_TIMEOUT.as_millis();
            log::warn!(
                "task={name} owner={owner} state=CANCELLED forced=true timeout_ms={timeout_ms}"
            );
        }
    }

    /// Takes note of a frame that could not be had.
    pub(super) fn note_no_frame(&mut self, cause: NoFrame) {
        self.stats.frames_refused += 1;
        if !self.may_warn(Warning::NoFrame) {
            return;
        }
        match cause {
            NoFrame::Full => {
                log::warn!("limit=frames frames_max={} action=skip", self.limits.frames_max());
            }
            NoFrame::TooLong(length) => {
                let bytes_max = self.limits.shared_bytes_max;
                log::warn!("limit=shared_bytes bytes={length} bytes_max={bytes_max} action=skip");
            }
        }
    }

    /// Whether a warning of this kind may be written now.
    pub(super) fn may_warn(&mut self, warning: Warning) -> bool {
        let warned = &mut self.warned[warning as usize];
        let is_quiet = warned.is_none_or(|warned| self.now - warned >= WARN_EVERY);
        if is_quiet {
            *warned = Some(self.now);
        }
        is_quiet
    }

    /// Parks `bytes` as a connection's input, in the buffer that it has or in one it takes now.
    /// False when there is none to be had.
    pub(super) fn park_input(&mut self, slot: Slot, bytes: &[u8]) -> bool {
        let held = self.at(slot).input.take();
        let taken = held.or_else(|| {
            let input = self.inputs.take()?;
            self.ledger.open(Resource::Input);
            Some(input)
        });
        let Some(mut input) = taken else { return false };
        self.inputs.store(&mut input, bytes);
        self.at(slot).input = Some(input);
        true
    }

    /// Gives back the input buffer that a connection has, if it has one.
    pub(super) fn release_input(&mut self, slot: Slot) {
        if let Some(input) = self.at(slot).input.take() {
            self.inputs.give_back(input);
            self.ledger.close(Resource::Input);
        }
    }

    /// Compares the books with the house, which has `sockets`.
    ///
    /// # Errors
    /// The first disagreement, as a sentence: something leaked or was released twice.
    pub(super) fn check(&self, sockets: usize) -> Result<(), String> {
        self.ledger.check(Resource::Socket, sockets)?;
        self.ledger.check(Resource::Slot, self.connections.len())?;
        self.ledger.check(Resource::Timer, self.wheel.len())?;
        self.wheel.check()?;
        let held = |holds: fn(&Connection) -> bool| {
            self.connections.iter().filter(|(_, connection)| holds(connection)).count()
        };
        self.ledger.check(Resource::Input, held(|connection| connection.input.is_some()))?;
        self.ledger.check(Resource::Input, self.inputs.statistics().live)?;
        self.ledger.check(Resource::Member, held(|connection| connection.is_member))?;
        let timers = held(|connection| connection.timer.is_some()) + self.tasks.armed();
        ensure(self.wheel.len() == timers, format_args!("a timer belongs to nobody"))?;
        let counted = self.addresses.total();
        let here = held(|connection| Addresses::counts(&connection.peer));
        ensure(counted == here, format_args!("an address is counted and is not there"))?;
        let queued = self.connections.iter().map(|(_, connection)| connection.queued_bytes);
        let is_summed = self.measures.queued_bytes() == queued.sum::<usize>();
        ensure(is_summed, format_args!("the bytes that wait do not add up"))?;
        let touched = self.is_touched.iter().filter(|is_touched| **is_touched).count();
        let is_once = self.touched.len() == touched;
        ensure(is_once, format_args!("a place is to be flushed more than once"))?;
        let counts = self.tasks.counts;
        let in_table = self.tasks.iter().count();
        let streams = held(|connection| connection.stream.is_some());
        let alive = counts.running + counts.cancelling;
        let there = (in_table + streams) as u64;
        ensure(alive == there, format_args!("a task is counted and is not there"))?;
        for (slot, connection) in &self.connections {
            let handle = connection.handle;
            ensure(handle.slot() == slot, format_args!("{handle} is in the slot {slot}"))?;
            let is_timed = connection.phase() == Phase::Dead || connection.timer.is_some();
            ensure(is_timed, format_args!("{handle} has no deadline"))?;
        }
        Ok(())
    }
}
