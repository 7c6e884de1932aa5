//! An open WebSocket: its messages to the handler, and the closing handshake from either side. And
//! the end of an event stream, which has no handshake.

use std::mem;

use super::{Budget, Taken};
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::connection::websocket::Received;
use crate::engine::connection::{CloseReason, CloseWanted, Phase};
use crate::engine::handle::Slot;
use crate::engine::handler::{Context, Handler, Message};
use crate::engine::ledger::Resource;
use crate::engine::net::Net;
use crate::engine::tasks::TaskState;

/// Compressed blocks that count as one message of a turn's budget. An honest message has two or
/// three; of those that are made of blocks, each of which takes up to 10 us, a turn then inflates
/// some three, in 2 ms.
const BLOCKS_PER_MESSAGE: usize = 16;

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// Reads frames and hands messages to the handler.
    pub(super) fn take_frames(
        &mut self,
        slot: Slot,
        rest: &mut &[u8],
        can_park: bool,
        budget: &mut Budget,
    ) -> Taken {
        let connection = self.core.at(slot);
        let mut websocket = connection.websocket.take().expect("an open WebSocket has its state");
        let mut control = mem::take(&mut self.control);
        let mut taken = Taken::All;
        loop {
            let stop = budget.is_spent()
                || !self.core.connections[slot as usize].wants_input(&self.core.limits);
            if stop && can_park {
                taken = Taken::Some;
                break;
            }
            let received = websocket.read(rest, &mut control, &mut self.core.inflater);
            if matches!(received, Received::Nothing) {
                break;
            }
            let blocks = self.core.inflater.take_blocks();
            budget.messages = budget.messages.saturating_sub(1 + blocks / BLOCKS_PER_MESSAGE);
            if self.receive(slot, received, &mut control) {
                *rest = &[];
                break;
            }
            // What follows cannot wait until a close that the handler wants is carried out, so it
            // is carried out now: it came first and decides the code and the reason.
            if !can_park && self.core.at(slot).close_wanted.is_some() {
                self.core.at(slot).websocket = Some(websocket);
                self.close_if_wanted(slot);
                websocket = self.core.at(slot).websocket.take().expect("it has just been put back");
            }
        }
        control.clear();
        self.control = control;
        self.core.at(slot).websocket = Some(websocket);
        taken
    }

    /// Acts on what was received. Says whether the WebSocket's input is over.
    fn receive(&mut self, slot: Slot, received: Received, control: &mut Vec<u8>) -> bool {
        match received {
            Received::Nothing => {}
            // A pong. A ping puts its answer into the lane, but for one behind our close frame.
            Received::Control if control.is_empty() => {
                let now = self.core.now;
                let connection = self.core.at(slot);
                if connection.phase() == Phase::Open
                    && let Some(round_trip) = connection.traffic.note_pong(now)
                {
                    self.core.measures.round_trips.record(now, round_trip);
                }
            }
            Received::Control => {
                self.core.at(slot).outbox.control().append(control);
            }
            Received::Text(text) => self.hand_over(slot, Message::Text(&text)),
            Received::Binary(bytes) => self.hand_over(slot, Message::Binary(&bytes)),
            Received::Closed(code) => {
                log::debug!("connection={} close_code={code:?}", self.core.at(slot).handle);
                self.end_websocket(slot, CloseReason::PeerClosed, control);
                return true;
            }
            Received::Failed(failure) => {
                let reason = match failure.code() {
                    1009 => CloseReason::TooBig,
                    _ => CloseReason::ProtocolError,
                };
                self.end_websocket(slot, reason, control);
                return true;
            }
        }
        false
    }

    /// Gives a message to the handler, unless the WebSocket is already on its way out.
    fn hand_over(&mut self, slot: Slot, message: Message<'_>) {
        let connection = self.core.at(slot);
        if connection.phase() != Phase::Open || connection.close_wanted.is_some() {
            return;
        }
        let handle = connection.handle;
        self.core.stats.messages += 1;
        let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
        self.handler.message(&mut context, handle, message);
    }

    /// The close handshake is over, or has failed: what is owed goes out, last of all.
    fn end_websocket(&mut self, slot: Slot, reason: CloseReason, control: &mut Vec<u8>) {
        self.leave(slot, reason);
        let now = self.core.now;
        let connection = self.core.at(slot);
        // Nothing is owed when the peer has answered our own close frame.
        if !control.is_empty() {
            connection.outbox.seal(control);
        }
        connection.cause.get_or_insert(reason);
        connection.enter(Phase::Draining, now);
    }

    /// Begins the end that the handler has asked for.
    pub(super) fn close_if_wanted(&mut self, slot: Slot) {
        let Some(wanted) = self.core.at(slot).close_wanted.take() else { return };
        if self.core.at(slot).phase().is_connected() {
            self.close(slot, wanted);
        }
    }

    /// Begins the end of a subscriber from our side: with the closing handshake, or with the
    /// answers that are owed and no more.
    pub(in crate::engine) fn close(&mut self, slot: Slot, wanted: CloseWanted) {
        self.leave(slot, wanted.reason);
        let now = self.core.now;
        let connection = self.core.at(slot);
        let next = if connection.phase() == Phase::Streaming {
            connection.outbox.drop_news();
            Phase::Draining
        } else {
            let mut control = Vec::new();
            let websocket = connection.websocket.as_mut().expect("an open WebSocket has its state");
            websocket.close(wanted.code, wanted.text, &mut control);
            connection.outbox.seal(&mut control);
            Phase::Closing
        };
        connection.cause.get_or_insert(wanted.reason);
        connection.enter(next, now);
        connection.stream = Some(TaskState::Cancelling);
        self.core.tasks.counts.begin_cancel();
    }

    /// Tells the handler, once, that a subscriber is one no more.
    pub(in crate::engine) fn leave(&mut self, slot: Slot, reason: CloseReason) {
        let connection = self.core.at(slot);
        if mem::take(&mut connection.is_member) {
            let handle = connection.handle;
            self.core.ledger.close(Resource::Member);
            let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
            self.handler.closed(&mut context, handle, reason);
        }
    }
}
