//! The engine as a handler sees it: what it may ask, and what it may want done.
//!
//! [`Context`] owns nothing; it lends what the engine has for the time of a call. Whatever it gives
//! or takes is named by [`Handle`]s, and one that is stale is as if nobody were there.

use std::time::{Duration, SystemTime};

use crate::engine::clock::{Clock, Tick};
use crate::engine::connection::frame::{ENVELOPES, Envelope, Frame, Kind, NoFrame};
use crate::engine::connection::response::Response;
use crate::engine::connection::{CloseReason, CloseWanted, Connection};
use crate::engine::core::Core;
use crate::engine::handle::Handle;
use crate::engine::ledger::Ledger;
use crate::engine::limits::Limits;
use crate::engine::measures::Measured;
use crate::engine::net::Peer;
use crate::engine::stats::Stats;
use crate::engine::tasks::{Owner, TaskCounts, TaskId};
use crate::engine::view::{ConnectionView, Pools, Sockets};

/// The engine as a handler sees it.
pub struct Context<'a> {
    core: &'a mut Core,
    clock: &'a dyn Clock,
    sockets: &'a dyn Sockets,
}

impl<'a> Context<'a> {
    pub(in crate::engine) fn new(
        core: &'a mut Core,
        clock: &'a dyn Clock,
        sockets: &'a dyn Sockets,
    ) -> Context<'a> {
        Context { core, clock, sockets }
    }

    /// The instant that this turn counts as now.
    pub fn now(&self) -> Tick {
        self.core.now
    }

    /// The instant it is at this very moment, for measuring what a call costs.
    pub fn instant(&self) -> Tick {
        self.clock.now()
    }

    /// The clock itself, for measuring while the engine is at work.
    pub fn clock(&self) -> &'a dyn Clock {
        self.clock
    }

    /// Wall-clock time, for timestamps in output.
    pub fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// Whether the engine is on its way to stop.
    pub fn is_draining(&self) -> bool {
        self.core.is_draining
    }

    /// What the engine has counted.
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// What the engine has measured.
    pub fn measured(&self) -> Measured<'_> {
        self.core.measured()
    }

    /// What was taken and given back.
    pub fn ledger(&self) -> &Ledger {
        &self.core.ledger
    }

    /// What the pools hold. Walks the frames.
    pub fn pools(&self) -> Pools {
        self.core.pools()
    }

    /// Tasks by state.
    pub fn task_counts(&self) -> TaskCounts {
        self.core.tasks.counts
    }

    /// Every connection, those among them that are to be released at the end of the turn.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionView> {
        self.core.views()
    }

    /// Compares the ledger with the structures. Walks every connection. For requests, messages and
    /// tasks: [`Handler::closed`](super::Handler::closed) is called in the middle of an end, when
    /// the two may differ.
    ///
    /// # Errors
    /// The first disagreement, as a sentence: something leaked or was released twice.
    pub fn check(&self) -> Result<(), String> {
        self.core.check(self.sockets.held())
    }

    /// Encodes a frame to share: state to publish, or an event. `write` appends the payload. A
    /// frame that is not had is counted, and there is a warning, at most one in ten seconds.
    ///
    /// # Errors
    /// When the frame is longer than [`Limits::shared_bytes_max`]. When as many are held as there
    /// may be ([`Limits::frames_max`]), which does not come to a handler that keeps none of them
    /// itself, publishes no more than [`Limits::classes_max`] kinds of state, and sends every
    /// reader the same events.
    pub fn encode(
        &mut self,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Frame, NoFrame> {
        self.encode_frame(kind, None, write)
    }

    /// Like [`Context::encode`], of what was due at `due`: the time from then to the frame's last
    /// byte's being taken is measured for each of its readers ([`Measured::latency`]).
    ///
    /// # Errors
    /// Those of [`Context::encode`].
    pub fn encode_due(
        &mut self,
        kind: Kind,
        due: Tick,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Frame, NoFrame> {
        self.encode_frame(kind, Some(due), write)
    }

    fn encode_frame(
        &mut self,
        kind: Kind,
        due: Option<Tick>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Frame, NoFrame> {
        let result = self.core.frames.encode(kind, due, write);
        self.noted(result)
    }

    /// The same, with the lack of a frame noted.
    fn noted(&mut self, result: Result<Frame, NoFrame>) -> Result<Frame, NoFrame> {
        result.inspect_err(|cause| self.core.note_no_frame(*cause))
    }

    /// Encodes a message to share among those who may have it compressed
    /// ([`Envelope::deflates`]): compressed, unless that would make it longer. `due` is as for
    /// [`Context::encode_due`].
    ///
    /// # Errors
    /// Those of [`Context::encode`].
    pub fn encode_deflated(
        &mut self,
        kind: Kind,
        due: Option<Tick>,
        payload: &[u8],
    ) -> Result<Frame, NoFrame> {
        let Core { frames, compressor, .. } = &mut *self.core;
        let result = frames.encode_deflated(kind, due, payload, compressor);
        self.noted(result)
    }

    /// Makes a message's frame over again, compressed, unless that would make it longer: an answer
    /// to one who may have it so ([`Envelope::deflates`]).
    pub fn deflated(&mut self, frame: &Frame) -> Frame {
        frame.deflated(&mut self.core.compressor)
    }

    /// Encodes an HTTP body that may be longer than [`Limits::reply_bytes_max`], to be shared.
    ///
    /// # Errors
    /// When it is longer than [`Limits::long_bytes_max`], or [`Limits::long_frames_max`] are held.
    pub fn encode_long(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Frame, NoFrame> {
        self.core.long_frames.encode(Kind::Plain, None, write)
    }

    /// Appends `input` as a gzip member (RFC 1952). False, and `out` as it was, in a program
    /// without the feature `compression`. The first time takes memory that is kept
    /// ([`Compressor::MEMORY_CEILING`](crate::engine::compressor::Compressor::MEMORY_CEILING)).
    #[must_use]
    pub fn gzip(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        self.core.compressor.gzip(input, out)
    }

    /// Where a connection comes from.
    pub fn peer(&self, handle: Handle) -> Option<Peer> {
        self.core.get(handle).map(|connection| connection.peer)
    }

    /// How what is sent to a connection is to be wrapped; `None` when nothing can be sent to it.
    pub fn envelope(&mut self, handle: Handle) -> Option<Envelope> {
        self.core.sendable(handle).map(|connection| connection.envelope())
    }

    /// Answers a request that was to be answered later ([`Answer::Later`](super::Answer::Later)).
    /// False when the connection awaits no answer: it has ended, or the engine has answered for the
    /// handler.
    pub fn respond(&mut self, handle: Handle, response: Response) -> bool {
        self.core.respond_later(handle, response, self.clock.wall())
    }

    /// Whether a connection awaits an answer of the handler's.
    pub fn awaits(&self, handle: Handle) -> bool {
        self.core.get(handle).is_some_and(Connection::awaits)
    }

    /// Queues an answer to one subscriber. False when it cannot be sent: the connection is on its
    /// way out, or takes another [`Envelope`] than the frame is for, or with this frame its answers
    /// would hold more than [`Limits::reply_bytes_max`].
    /// While they hold more than half of that, the peer is not read: so whoever answers each
    /// message with at most the other half is never refused, unless the pool of input buffers
    /// ([`Limits::inputs_max`]) is smaller than the table and used up: then one read's worth of
    /// messages comes all at once. Beside its own bytes an answer counts
    /// with those that its keeping takes, about 80.
    pub fn reply(&mut self, handle: Handle, frame: Frame) -> bool {
        let bytes_max = self.core.limits.reply_bytes_max;
        let Some(connection) = self.core.sendable(handle) else { return false };
        let reply_bytes = connection.outbox.reply_bytes() + frame.memory_bytes();
        if reply_bytes > bytes_max || !frame.fits(connection.envelope()) {
            return false;
        }
        connection.outbox.push_reply(frame);
        self.core.touch(handle);
        true
    }

    /// Queues an answer of several messages to one WebSocket, all of them or none: false when they
    /// cannot be sent, as [`Context::reply`] has it.
    pub fn reply_all(&mut self, handle: Handle, frames: Vec<Frame>) -> bool {
        let bytes_max = self.core.limits.reply_bytes_max;
        let Some(connection) = self.core.sendable(handle) else { return false };
        let bytes: usize = frames.iter().map(Frame::memory_bytes).sum();
        let fits = frames.iter().all(|frame| frame.fits(connection.envelope()));
        if !fits || connection.outbox.reply_bytes() + bytes > bytes_max {
            return false;
        }
        frames.into_iter().for_each(|frame| connection.outbox.push_reply(frame));
        self.core.touch(handle);
        true
    }

    /// Makes `frame` the newest state on one of a subscriber's
    /// [`CHANNELS`](crate::engine::limits::CHANNELS); one that has not been begun is replaced.
    /// False when it can no longer be sent, is for another [`Envelope`], or is not one of
    /// [`Context::encode`]: others are not bounded.
    pub fn publish(&mut self, handle: Handle, channel: usize, frame: Frame) -> bool {
        let Some(connection) = self.core.sendable(handle) else { return false };
        if !frame.is_pooled() || !frame.fits(connection.envelope()) {
            return false;
        }
        let conflated = connection.outbox.set_pending(channel, frame);
        self.core.stats.frames_published += 1;
        self.core.stats.frames_conflated += u64::from(conflated);
        self.core.touch(handle);
        true
    }

    /// Queues an event, a frame of [`Context::encode`], for one subscriber. When
    /// [`EVENTS_MAX`](crate::engine::limits::EVENTS_MAX) wait already the oldest goes, and the
    /// frame that `gap` makes of the number that have gone since the last that was sent comes
    /// before the next. False when it can no longer be sent, is for another [`Envelope`], or is not
    /// one of [`Context::encode`].
    pub fn event(&mut self, handle: Handle, frame: Frame, gap: impl FnOnce(u64) -> Frame) -> bool {
        let Some(connection) = self.core.sendable(handle) else { return false };
        if !frame.is_pooled() || !frame.fits(connection.envelope()) {
            return false;
        }
        let dropped = connection.outbox.push_event(frame, gap);
        self.core.stats.events_dropped += u64::from(dropped);
        self.core.touch(handle);
        true
    }

    /// Queues an event for every subscriber, as [`Context::event`] does for one; gives for how
    /// many. `encode` makes its frame for an envelope, by [`Context::encode`]: once for each that
    /// somebody takes, before anything is queued. `gap` makes the frame for a gap, as there. Events
    /// are short: they go to nobody compressed.
    ///
    /// # Errors
    /// Those of `encode`: nobody is sent anything then.
    pub fn broadcast(
        &mut self,
        mut encode: impl FnMut(&mut Context<'_>, Envelope) -> Result<Frame, NoFrame>,
        gap: impl Fn(Envelope, u64) -> Frame,
    ) -> Result<usize, NoFrame> {
        let mut frames: [Option<Frame>; ENVELOPES] = Default::default();
        for slot in 0..self.core.limits.slots() {
            let Some((_, envelope)) = self.subscriber(slot) else { continue };
            if frames[envelope.index()].is_none() {
                frames[envelope.index()] = Some(encode(self, envelope)?);
            }
        }
        let mut count = 0;
        for slot in 0..self.core.limits.slots() {
            let Some((handle, envelope)) = self.subscriber(slot) else { continue };
            let Some(frame) = &frames[envelope.index()] else { continue };
            let is_sent = self.event(handle, frame.clone(), |missed| gap(envelope, missed));
            count += usize::from(is_sent);
        }
        Ok(count)
    }

    /// Who in a place of the table can be sent something, and the envelope of what is short.
    fn subscriber(&mut self, slot: usize) -> Option<(Handle, Envelope)> {
        let handle = self.core.connections.get(slot)?.handle;
        Some((handle, self.envelope(handle)?.of_payload(0)))
    }

    /// Forgets the state that waits on a channel.
    pub fn retract(&mut self, handle: Handle, channel: usize) {
        if let Some(connection) = self.core.sendable(handle) {
            connection.outbox.clear_pending(channel);
        }
    }

    /// Closes a WebSocket with a close code (RFC 6455, section 7.4) and at most 123 bytes of text,
    /// or an event stream, which has no place for them. Answers queued before go out first; nothing
    /// can be queued from here on.
    pub fn close(&mut self, handle: Handle, code: u16, text: &'static str, reason: CloseReason) {
        let Some(connection) = self.core.sendable(handle) else { return };
        connection.close_wanted = Some(CloseWanted { code, text, reason });
        // It would not be sent, and a frame that waits for nobody is one that others cannot have.
        connection.outbox.drop_news();
        self.core.queue(handle);
    }

    /// Has [`Handler::resume`](super::Handler::resume) called in the next turn, which is then due
    /// at once: for work that would keep the others waiting if it were done in one.
    pub fn resume(&mut self) {
        self.core.is_resuming = true;
    }

    /// Spawns a task that runs once, `delay` from now. `None` when there is no room for it, or when
    /// the connection that is to own it has ended; [`Owner::Engine`] owns only the engine's.
    pub fn spawn_after(
        &mut self,
        name: &'static str,
        owner: Owner,
        delay: Duration,
    ) -> Option<TaskId> {
        let due = self.core.now + delay;
        self.spawn(name, owner, due, None)
    }

    /// Spawns a task that runs each `period`, on the grid that begins at `first`.
    pub fn spawn_every(
        &mut self,
        name: &'static str,
        owner: Owner,
        first: Tick,
        period: Duration,
    ) -> Option<TaskId> {
        self.spawn(name, owner, first, Some(period))
    }

    /// The engine's own tasks have places of their own, which are not for others.
    fn spawn(
        &mut self,
        name: &'static str,
        owner: Owner,
        due: Tick,
        period: Option<Duration>,
    ) -> Option<TaskId> {
        if owner == Owner::Engine {
            return None;
        }
        self.core.spawn(name, owner, due, period)
    }

    /// Cancels a task: it runs no more, and [`Handler::cancel`](super::Handler::cancel) is asked
    /// whether it is over. Nothing happens if it is over or is being cancelled already.
    pub fn cancel(&mut self, task: TaskId) {
        self.core.cancel(task);
    }

    /// Reports that a task is over: of its own accord, or because it has wound down.
    pub fn end(&mut self, task: TaskId) {
        self.core.end_task(task);
    }
}
