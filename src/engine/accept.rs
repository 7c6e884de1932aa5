//! Taking in new connections, and not taking them.
//!
//! A connection gets everything that can fail before it gets its slot, so a failure leaves nothing
//! behind. Beyond `connections_max` a few more are let in only to be told 503; beyond those, and
//! while the system has no descriptors, peers wait in the kernel's queue: no busy loop, no growth.

use std::io;
use std::time::Duration;

use super::Engine;
use super::clock::{Clock, Tick};
use super::connection::{CloseReason, Connection};
use super::handle::{Handle, Slot};
use super::handler::Handler;
use super::ledger::Resource;
use super::net::{Net, Peer};
use super::serve::NO_ROOM;

/// How long to leave the listeners alone when the system has run out of descriptors or memory; a
/// connection that ends makes for an earlier attempt.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// At most one warning of a kind in this time.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What is known of the listeners.
#[derive(Debug, Default)]
pub(super) struct Accepting {
    /// A listener may have a connection.
    pub(super) is_pending: bool,
    /// The system has no room; not before this instant again, unless a connection ends.
    pub(super) paused_until: Option<Tick>,
    /// Connections in the table that are only there to be refused.
    pub(super) refused: usize,
    warned: Option<Tick>,
}

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// Whether accepting now could give a connection.
    pub(super) fn can_accept(&self) -> bool {
        let has_slot = self.core.connections.len() < self.core.limits.slots();
        let is_paused = self.accepting.paused_until.is_some_and(|until| until > self.core.now);
        self.accepting.is_pending && has_slot && !is_paused
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
        if self.core.connections.len() - self.accepting.refused > self.core.limits.connections_max {
            self.turn_away(slot);
        }
        self.settle(slot);
    }

    /// Tells a peer that there is no room.
    fn turn_away(&mut self, slot: Slot) {
        self.accepting.refused += 1;
        self.core.at(slot).is_refused = true;
        self.core.stats.refused += 1;
        let connections_max = self.core.limits.connections_max;
        if self.may_warn() {
            log::warn!("limit=connections_max value={connections_max} action=refuse status=503");
        }
        self.refuse(slot, CloseReason::Full, NO_ROOM);
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
        self.accepting.paused_until = Some(self.core.now + RETRY_AFTER);
        if self.may_warn() {
            let retry_ms = RETRY_AFTER.as_millis();
            log::warn!("accept failed error=\"{error}\" action=pause retry_ms={retry_ms}");
        }
    }

    fn may_warn(&mut self) -> bool {
        let now = self.core.now;
        let is_quiet = self.accepting.warned.is_none_or(|warned| now - warned >= WARN_EVERY);
        if is_quiet {
            self.accepting.warned = Some(now);
        }
        is_quiet
    }
}
