//! Taking in new connections, and not taking them.
//!
//! A connection gets everything that can fail before it gets its slot, so a failure leaves nothing
//! behind. Beyond `connections_max`, and beyond an address's share, a few more are let in only to
//! be told 503. Beyond those an address that is over its share is closed without a word, and
//! everybody else waits in the kernel's queue, as while the system has no descriptors: no busy
//! loop, no growth.
//!
//! Some servers keep a descriptor in reserve for that case, to take a peer in with and close it at
//! once. It is not needed here and serves nobody better: Linux looks for a descriptor before it
//! takes a peer off the queue, so none is lost; the edge that told of it is remembered, so none is
//! forgotten; and who waits is served as soon as there is room, where a reserve would turn it away.

use std::io;
use std::time::Duration;

use super::Engine;
use super::clock::Clock;
use super::connection::{CloseReason, Connection};
use super::core::Warning;
use super::handle::{Handle, Slot};
use super::handler::Handler;
use super::ledger::Resource;
use super::net::{Net, Peer};
use super::serve::{NO_ROOM, NO_SHARE};
use super::tasks::{Owner, TaskId};

/// How long to leave the listeners alone when the system has run out of descriptors or memory; a
/// connection that ends makes for an earlier attempt.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What is known of the listeners.
#[derive(Debug, Default)]
pub(super) struct Accepting {
    /// A listener may have a connection.
    pub(super) is_pending: bool,
    /// The system has no room: the listeners are left alone until this task runs, or a connection
    /// ends.
    pub(super) retry: Option<TaskId>,
    /// Connections in the table that are only there to be refused.
    pub(super) refused: usize,
}

/// Which limit has no room for a new connection.
#[derive(Clone, Copy, Debug)]
enum Turned {
    Full,
    AddressFull,
}

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// Whether accepting now could give a connection.
    pub(super) fn can_accept(&self) -> bool {
        let has_slot = self.core.connections.len() < self.core.limits.slots();
        self.accepting.is_pending && has_slot && self.accepting.retry.is_none()
    }

    /// Accepts until there is nothing more, a limit is met, or the turn's share is used. Says
    /// whether anybody came.
    pub(super) fn accept_some(&mut self) -> bool {
        let accepted_before = self.core.stats.accepted;
        for _ in 0..self.core.limits.accepts_per_turn {
            if !self.can_accept() {
                break;
            }
            match self.net.accept() {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.accepting.is_pending = false;
                }
                Err(error) => self.note_accept_error(&error),
            }
        }
        self.core.stats.accepted > accepted_before
    }

    fn admit(&mut self, mut stream: N::Stream, peer: Peer) {
        let slot = self.core.connections.vacant_key() as Slot;
        if let Err(error) = self.net.open(&mut stream, slot) {
            self.net.close(stream);
            self.note_accept_error(&error);
            return;
        }
        let handle = Handle { slot, generation: self.core.generations[slot as usize] };
        let connection = Connection::new(handle, peer, self.core.now);
        let inserted = self.core.connections.insert(connection);
        assert!(inserted == slot as usize, "the slot is the one that was announced");
        self.streams[inserted] = Some(stream);
        self.core.ledger.open(Resource::Socket);
        self.core.ledger.open(Resource::Slot);
        let stats = &mut self.core.stats;
        stats.accepted += 1;
        stats.connections_high = stats.connections_high.max(self.core.connections.len() as u64);
        log::debug!("connection={handle} peer={peer} state=CONNECTING");
        let limits = &self.core.limits;
        let served = self.core.connections.len() - self.accepting.refused;
        if self.core.addresses.add(&peer) > limits.connections_per_address_max {
            self.turn_away(slot, Turned::AddressFull);
        } else if served > limits.connections_max {
            self.turn_away(slot, Turned::Full);
        }
        self.settle(slot);
    }

    /// Tells a peer that there is no room, if there is room to tell it.
    fn turn_away(&mut self, slot: Slot, turned: Turned) {
        let (reason, answer, warning) = match turned {
            Turned::Full => (CloseReason::Full, NO_ROOM, Warning::Full),
            Turned::AddressFull => (CloseReason::AddressFull, NO_SHARE, Warning::AddressFull),
        };
        self.core.stats.refused += 1;
        if self.core.may_warn(warning) {
            let peer = self.core.at(slot).peer;
            log::warn!("limit={} peer={peer} action=refuse status=503", reason.name());
        }
        if self.accepting.refused == self.core.limits.refusals_max {
            debug_assert!(matches!(turned, Turned::AddressFull), "the table has no such place");
            self.core.stats.count_attempt(true);
            self.doom(slot, reason);
            return;
        }
        self.accepting.refused += 1;
        self.core.at(slot).is_refused = true;
        self.refuse(slot, reason, answer);
    }

    fn note_accept_error(&mut self, error: &io::Error) {
        self.core.stats.accept_errors += 1;
        // A peer that is gone again, or an interruption, says nothing about the next one.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
        ) {
            return;
        }
        let due = self.core.now + RETRY_AFTER;
        self.accepting.retry = self.core.spawn("accept_retry", Owner::Engine, due, None);
        if self.core.may_warn(Warning::AcceptFailed) {
            let retry_ms = RETRY_AFTER.as_millis();
            log::warn!("accept failed error=\"{error}\" action=pause retry_ms={retry_ms}");
        }
    }

    /// Makes the next attempt to accept possible at once.
    pub(super) fn stop_retrying(&mut self) {
        if let Some(task) = self.accepting.retry.take() {
            self.core.cancel(task);
        }
    }
}
