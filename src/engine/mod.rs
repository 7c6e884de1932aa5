//! A single-threaded HTTP, WebSocket and event-stream engine. Knows nothing of metrics.
//!
//! [`Engine`] owns a table of connections, a timer wheel, a network and a [`Handler`]; one call of
//! [`Engine::turn`] is one pass of the loop. It is generic over the network, the clock and the
//! handler, so the same code runs in production and against a network and a time of a test's own.
//! It starts no thread, installs no signal handler and no logger, and every bound it keeps is in
//! [`Limits`]. May import nothing of the crate outside this wing.

pub mod clock;
pub mod compressor;
pub mod connection;
pub mod descriptors;
pub mod handle;
pub mod handler;
pub mod histogram;
pub mod ledger;
pub mod limits;
pub mod measures;
pub mod net;
pub mod random;
pub mod stats;
pub mod tasks;
pub mod view;
pub mod wheel;

mod accept;
pub(crate) mod addresses;
mod core;
mod inputs;
mod memory;
mod reap;
mod serve;

use std::io;
use std::mem;
use std::time::Duration;

use self::accept::Accepting;
use self::clock::{Clock, Tick};
use self::connection::{CloseReason, CloseWanted, Phase};
use self::core::{Core, TimerKey};
use self::handle::Slot;
use self::handler::{Cancel, Context, Handler};
use self::limits::{INPUT_BYTES_MAX, Limits};
use self::net::{EVENTS_PER_POLL, Event, Net};
use self::serve::DRAINING;
use self::tasks::{Fired, Owner, TaskId};

/// How old a turn is when it flushes no more of what was published. The rest is carried on in the
/// next, so that a publish to thousands does not keep a request waiting. With half, a turn's other
/// costs would be paid twice as often; with double, one could come near the 5 ms that nobody is to
/// wait.
const FLUSH_MAX: Duration = Duration::from_millis(2);

/// Connections flushed between two looks at the clock: 0.1 ms.
const FLUSHES_PER_LOOK: usize = 16;

/// Connections flushed in a turn at the most, should the clock stand still.
const FLUSHES_PER_TURN: usize = 1000;

/// What a turn has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whether anything was done; if so, another turn without waiting may find more.
    pub worked: bool,
    /// Whether a wake-up from outside the loop was noted.
    pub woken: bool,
    /// Connections in the table.
    pub live: usize,
    /// Whether a drain is complete: there is nothing left to do.
    pub finished: bool,
}

/// The loop and all it owns.
pub struct Engine<H: Handler, N: Net, C: Clock> {
    core: Core,
    net: N,
    /// Sockets, by slot; beside the table so that the table and all that works on it need not know
    /// what a socket is.
    streams: Vec<Option<N::Stream>>,
    clock: C,
    handler: H,
    events: Vec<Event>,
    /// Where every read goes first. Empty only while a connection is being served.
    scratch: Box<[u8]>,
    /// Where the WebSocket library's answers go before their lane is known.
    control: Vec<u8>,
    accepting: Accepting,
    drain_end: Option<TaskId>,
    is_started: bool,
}

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// An engine that has not begun. Everything that a limit bounds is reserved here.
    ///
    /// # Errors
    /// A sentence, if the limits contradict each other.
    pub fn with_parts(limits: Limits, net: N, clock: C, handler: H) -> Result<Self, String> {
        limits.check()?;
        let slots = limits.slots();
        let now = clock.now();
        Ok(Engine {
            core: Core::new(limits, now),
            net,
            streams: (0..slots).map(|_| None).collect(),
            clock,
            handler,
            events: Vec::with_capacity(slots + EVENTS_PER_POLL),
            scratch: vec![0; INPUT_BYTES_MAX].into_boxed_slice(),
            control: Vec::new(),
            accepting: Accepting::default(),
            drain_end: None,
            is_started: false,
        })
    }

    /// One pass of the loop: waits for at most `timeout` (for ever without one, but never past the
    /// next deadline), then does what there is to do, under budgets. What is left over makes the
    /// next turn's wait zero.
    ///
    /// # Errors
    /// When the network can no longer be waited for.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Turn> {
        self.start();
        let timeout = self.wait_at_most(timeout);
        self.core.stats.wakeups += u64::from(timeout != Some(Duration::ZERO));
        self.events.clear();
        self.net.poll(&mut self.events, timeout)?;
        self.core.now = self.clock.now();
        self.core.stats.turns += 1;
        let woken = self.note_events();
        let accepted = self.accept_some();
        let worked = accepted || !self.events.is_empty() || !self.core.ready.is_empty();
        let resumed = self.resume_handler();
        self.serve_ready();
        let fired = self.run_timers();
        let flushed = self.flush_touched();
        self.tell_cancelled();
        self.reap();
        self.core.frames.free_surplus();
        self.core.long_frames.free_surplus();
        self.finish_drain();
        let end = self.clock.now();
        self.core.measures.busy.record_since(end, self.core.now);
        if cfg!(debug_assertions) {
            self.audit();
        }
        Ok(Turn {
            worked: worked || resumed || fired || flushed,
            woken,
            live: self.core.connections.len(),
            finished: self.is_finished(),
        })
    }

    /// The instant by which the next turn is due; now if work is left over; `None` if only an event
    /// can bring work.
    pub fn next_deadline(&self) -> Option<Tick> {
        if self.core.has_work() || self.can_accept() || self.is_finished() {
            return Some(self.core.now);
        }
        self.core.wheel.next_deadline()
    }

    /// Lets the program that drives the loop act as the handler may, between two turns. What is
    /// queued leaves with the next turn, which is then due at once.
    pub fn act<R>(&mut self, act: impl FnOnce(&mut H, &mut Context<'_>) -> R) -> R {
        self.start();
        self.core.now = self.clock.now();
        let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
        act(&mut self.handler, &mut context)
    }

    /// Begins to stop: the listeners close at once, idle connections end, answers are finished,
    /// WebSockets get close code 1001 and event streams their end; after [`Limits::drain_timeout`]
    /// what is left is dropped.
    pub fn shutdown(&mut self) {
        self.start();
        if self.core.is_draining {
            return;
        }
        self.core.is_draining = true;
        self.core.now = self.clock.now();
        self.net.stop_listening();
        self.accepting.is_pending = false;
        log::info!("drain begun connections={}", self.core.connections.len());
        let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
        self.handler.drain(&mut context);
        self.core.cancel_owned(Owner::Handler);
        self.stop_retrying();
        let end = self.core.now + self.core.limits.drain_timeout;
        self.drain_end = self.core.spawn("drain_end", Owner::Engine, end, None);
        let slots: Vec<Slot> = self.core.connections.iter().map(|(slot, _)| slot as Slot).collect();
        for slot in slots {
            self.drain_connection(slot);
        }
    }

    /// Whether a stop has begun.
    pub fn is_draining(&self) -> bool {
        self.core.is_draining
    }

    fn drain_connection(&mut self, slot: Slot) {
        let connection = self.core.at(slot);
        let handle = connection.handle;
        match connection.phase() {
            Phase::Head if !connection.has_begun_head() => self.doom(slot, CloseReason::Shutdown),
            // What would bring the answer is cancelled with the handler's tasks. Whoever has one
            // all the same has given it in `drain`.
            Phase::Reply if connection.awaits() => {
                self.refuse_awaited(slot, CloseReason::Shutdown, DRAINING);
                self.core.arm(slot);
                self.core.touch(handle);
            }
            Phase::Reply => connection.keep_alive = false,
            Phase::Open | Phase::Streaming => {
                let reason = CloseReason::Shutdown;
                let stop = CloseWanted { code: 1001, text: "the server is stopping", reason };
                // What the handler has asked for before is still to be carried out, and comes
                // first.
                let wanted = connection.close_wanted.take().unwrap_or(stop);
                self.close(slot, wanted);
                self.core.arm(slot);
                self.core.touch(handle);
            }
            _ => {}
        }
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// The network.
    pub fn net_mut(&mut self) -> &mut N {
        &mut self.net
    }

    /// The clock.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    fn start(&mut self) {
        if !self.is_started {
            self.is_started = true;
            self.core.now = self.clock.now();
            let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
            self.handler.start(&mut context);
        }
    }

    fn wait_at_most(&self, timeout: Option<Duration>) -> Option<Duration> {
        let until = self.next_deadline().map(|deadline| deadline.since(self.clock.now()));
        [timeout, until].into_iter().flatten().min()
    }

    /// Notes what may have become possible. Does nothing about it yet: the engine runs at its own
    /// pace, not at its peers'.
    fn note_events(&mut self) -> bool {
        let mut woken = false;
        for event in &self.events {
            match *event {
                Event::Wake => woken = true,
                Event::Accept => self.accepting.is_pending = !self.core.is_draining,
                Event::Connection { slot, readable, writable } => {
                    let connection = self.core.connections.get_mut(slot as usize);
                    let Some(connection) = connection else { continue };
                    connection.readable |= readable;
                    connection.writable |= writable;
                    let handle = connection.handle;
                    self.core.queue(handle);
                }
            }
        }
        woken
    }

    /// Lets the handler go on, if it has asked for that in an earlier turn.
    fn resume_handler(&mut self) -> bool {
        let is_resuming = mem::take(&mut self.core.is_resuming);
        if is_resuming {
            let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
            self.handler.resume(&mut context);
        }
        is_resuming
    }

    fn run_timers(&mut self) -> bool {
        let mut fired = false;
        while let Some(key) = self.core.wheel.pop_expired(self.core.now) {
            self.core.ledger.close(ledger::Resource::Timer);
            fired = true;
            match key {
                TimerKey::Connection(handle) => self.look_at_deadline(handle.slot),
                TimerKey::Task(task) => self.run_task(task),
            }
        }
        fired
    }

    /// A connection's wheel entry has fired: its deadline may have moved since.
    fn look_at_deadline(&mut self, slot: Slot) {
        let now = self.core.now;
        let connection = self.core.at(slot);
        connection.timer = None;
        let Some((due, deadline)) = connection_deadline(&self.core, slot) else { return };
        if due <= now {
            self.expire(slot, deadline);
        }
        self.settle(slot);
    }

    fn run_task(&mut self, task: TaskId) {
        let (run, next) = match self.core.tasks.fire(task, self.core.now) {
            None => return,
            Some(Fired::Overdue(..)) => return self.force_task(task),
            Some(Fired::Run(run, next)) => (run, next),
        };
        if let Some(next) = next {
            self.core.arm_task(task, next);
        }
        if run.owner != Owner::Engine {
            let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
            self.handler.task(&mut context, run);
        } else if self.drain_end == Some(task) {
            self.drain_end = None;
            self.drop_everything(CloseReason::ShutdownForced);
        } else if self.accepting.retry == Some(task) {
            self.accepting.retry = None;
        }
    }

    fn force_task(&mut self, task: TaskId) {
        let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
        self.handler.forced(&mut context, task);
        self.core.force_task(task);
    }

    /// Asks the handler of each task that was cancelled in this turn whether it is over.
    fn tell_cancelled(&mut self) {
        while let Some(task) = self.core.cancelled.pop() {
            let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
            match self.handler.cancel(&mut context, task) {
                Cancel::Done => self.core.end_task(task),
                Cancel::Wait => self.core.await_task(task),
            }
        }
    }

    /// Whether a drain is complete.
    fn is_finished(&self) -> bool {
        self.core.is_draining
            && self.core.connections.is_empty()
            && self.core.tasks.others().next().is_none()
    }

    /// The end of a drain needs no deadline when everything is over before it.
    fn finish_drain(&mut self) {
        if self.is_finished()
            && let Some(task) = self.drain_end.take()
        {
            self.core.cancel(task);
        }
    }

    /// Ends every connection and every task now.
    fn drop_everything(&mut self, reason: CloseReason) {
        let slots: Vec<Slot> = self.core.connections.iter().map(|(slot, _)| slot as Slot).collect();
        for slot in slots {
            self.doom(slot, reason);
        }
        self.core.cancel_owned(Owner::Handler);
        self.tell_cancelled();
        let left: Vec<TaskId> = self.core.tasks.others().map(|(task, _)| task).collect();
        for task in left {
            self.force_task(task);
        }
    }

    /// Writes what handlers have queued, for a while: one system call for each connection.
    fn flush_touched(&mut self) -> bool {
        let count = self.core.touched.len().min(FLUSHES_PER_TURN);
        let begun = self.core.now;
        for flushed in 1..=count {
            let Some(slot) = self.core.touched.pop_front() else { break };
            self.core.is_touched[slot as usize] = false;
            if !self.core.connections.contains(slot as usize) {
                continue;
            }
            self.write_out(slot);
            self.settle(slot);
            if flushed % FLUSHES_PER_LOOK == 0 && self.clock.now() - begun >= FLUSH_MAX {
                break;
            }
        }
        count > 0
    }
}

fn connection_deadline(core: &Core, slot: Slot) -> Option<(Tick, connection::Deadline)> {
    core.connections[slot as usize].deadline(&core.limits)
}

impl<H: Handler, N: Net, C: Clock> Drop for Engine<H, N, C> {
    /// Gives everything back in order, so that the handler hears of every end.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.drop_everything(CloseReason::ShutdownForced);
            self.reap();
        }
    }
}
