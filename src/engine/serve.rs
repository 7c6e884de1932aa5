//! A connection's share of a turn: read, transition, write, under budgets.
//!
//! Everything that comes from a peer enters here, and everything that goes to one leaves in
//! [`Engine::write_out`], the only place that writes to a socket. Input is taken from the shared
//! scratch in place; what cannot be consumed now (half a head, pipelined requests, messages beyond a
//! budget) is parked in a pooled buffer, and the socket is not read until that is used up. So the
//! scratch is always free when the next connection is served.

use std::io;
use std::mem;

use super::Engine;
use super::clock::Clock;
use super::connection::head::{self, Fields, Head, HeadError, Request};
use super::connection::response::{self, Response};
use super::connection::websocket::{PING, Received, WebSocket};
use super::connection::{CloseReason, CloseWanted, Deadline, Phase};
use super::handle::Slot;
use super::handler::{Answer, Context, Handler, Message};
use super::ledger::Resource;
use super::limits::INPUT_BYTES_MAX;
use super::net::{Net, Stream};

/// What a connection may still take of this turn.
struct Budget {
    bytes: usize,
    messages: usize,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.bytes == 0 || self.messages == 0
    }
}

/// What became of bytes offered to a connection.
enum Taken {
    /// All that can come of them has come; a rest is half of something.
    All,
    /// The budget or the outbox stopped it: the rest is to be offered again.
    Some,
}

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// Serves the connections that are ready now. Those that become ready meanwhile wait for the
    /// next turn, so that no connection can hold the loop.
    pub(super) fn serve_ready(&mut self) {
        for _ in 0..self.core.ready.len() {
            let Some(handle) = self.core.ready.pop_front() else { break };
            if let Some(connection) = self.core.get_mut(handle) {
                connection.is_ready = false;
                self.serve(handle.slot);
            }
        }
    }

    fn serve(&mut self, slot: Slot) {
        let mut budget = Budget {
            bytes: self.core.limits.read_bytes_per_turn,
            messages: self.core.limits.messages_per_turn,
        };
        loop {
            self.close_if_wanted(slot);
            while self.take_input(slot, &mut budget) {}
            self.close_if_wanted(slot);
            let was_answering = self.core.at(slot).phase() == Phase::Reply;
            self.write_out(slot);
            let next_request = was_answering && self.core.at(slot).phase() == Phase::Head;
            if !next_request || budget.is_spent() {
                break;
            }
        }
        self.settle(slot);
    }

    /// Leaves a connection for now: back on the ready list if more can be done, and with a deadline.
    pub(super) fn settle(&mut self, slot: Slot) {
        let connection = &self.core.connections[slot as usize];
        if connection.has_work(&self.core.limits) {
            let handle = connection.handle;
            self.core.queue(handle);
        }
        self.core.arm(slot);
    }

    /// Takes one read's worth of input, or what was parked. Says whether to come again.
    fn take_input(&mut self, slot: Slot, budget: &mut Budget) -> bool {
        let connection = &self.core.connections[slot as usize];
        if budget.is_spent() || !connection.wants_input(&self.core.limits) {
            return false;
        }
        if connection.input_due {
            let input = self.core.at(slot).input.take();
            return self.take_parked(slot, input, budget);
        }
        if !connection.readable {
            return false;
        }
        match self.core.at(slot).input.take() {
            Some(input) => self.read_behind(slot, input, budget),
            None => self.read_scratch(slot, budget),
        }
    }

    /// Reads into the scratch and uses the bytes there.
    fn read_scratch(&mut self, slot: Slot, budget: &mut Budget) -> bool {
        let mut scratch = mem::take(&mut self.scratch);
        let read = self.read_into(slot, &mut scratch[..], budget);
        if let Some(length) = read {
            self.use_scratch(slot, &scratch[..length], budget);
        }
        self.scratch = scratch;
        read.is_some()
    }

    fn use_scratch(&mut self, slot: Slot, bytes: &[u8], budget: &mut Budget) {
        let can_park = self.core.has_input_buffer();
        let mut rest = bytes;
        let taken = self.consume(slot, &mut rest, can_park, budget);
        let connection = self.core.at(slot);
        connection.input_due = matches!(taken, Taken::Some);
        let connection_phase = connection.phase();
        if rest.is_empty() || !keeps_input(connection_phase) {
            return;
        }
        match self.core.take_input_buffer() {
            Some(mut input) => {
                input.extend_from_slice(rest);
                self.core.at(slot).input = Some(input);
            }
            // Half a head cannot wait. Anything else was told not to come again: the answer before
            // it ends the connection.
            None if connection_phase == Phase::Head => {
                self.refuse(slot, CloseReason::Full, NO_ROOM)
            }
            None => {}
        }
    }

    /// Reads behind the half of a head that is there already.
    fn read_behind(&mut self, slot: Slot, mut input: Vec<u8>, budget: &mut Budget) -> bool {
        let held = input.len();
        input.resize(INPUT_BYTES_MAX, 0);
        let read = self.read_into(slot, &mut input[held..], budget);
        input.truncate(held + read.unwrap_or(0));
        if read.is_some() {
            return self.take_parked(slot, Some(input), budget);
        }
        self.park(slot, Some(input));
        false
    }

    /// Uses what was parked, and parks what is left.
    fn take_parked(&mut self, slot: Slot, input: Option<Vec<u8>>, budget: &mut Budget) -> bool {
        let bytes = input.as_deref().unwrap_or_default();
        let mut rest = bytes;
        let taken = self.consume(slot, &mut rest, true, budget);
        let consumed = bytes.len() - rest.len();
        self.core.at(slot).input_due = matches!(taken, Taken::Some);
        let input = input.map(|mut input| {
            input.drain(..consumed);
            input
        });
        self.park(slot, input);
        true
    }

    /// Puts an input buffer back into the connection if it holds anything of use, else into the
    /// pool.
    fn park(&mut self, slot: Slot, input: Option<Vec<u8>>) {
        let Some(input) = input else { return };
        let connection = self.core.at(slot);
        if !input.is_empty() && keeps_input(connection.phase()) {
            connection.input = Some(input);
        } else {
            self.core.return_input_buffer(input);
        }
    }

    /// One read. `None` when there was nothing to be had; the end and errors are dealt with here.
    fn read_into(&mut self, slot: Slot, buffer: &mut [u8], budget: &mut Budget) -> Option<usize> {
        let stream = self.streams[slot as usize].as_mut().expect("an occupied slot has a stream");
        self.core.stats.reads += 1;
        let now = self.core.now;
        match stream.read(buffer) {
            Ok(0) => {
                self.doom(slot, CloseReason::PeerLeft);
                None
            }
            Ok(length) => {
                self.core.stats.bytes_read += length as u64;
                self.core.at(slot).note_heard(now);
                budget.bytes = budget.bytes.saturating_sub(length);
                Some(length)
            }
            Err(error) => {
                match error.kind() {
                    io::ErrorKind::WouldBlock => self.core.at(slot).readable = false,
                    io::ErrorKind::Interrupted => {}
                    kind => self.doom(slot, reason_of(kind)),
                }
                None
            }
        }
    }

    /// Uses bytes as the phase says, until they are used up or something stops it. Without room to
    /// park a rest, budgets do not stop it: one read's worth is then handled at once.
    fn consume(
        &mut self,
        slot: Slot,
        rest: &mut &[u8],
        can_park: bool,
        budget: &mut Budget,
    ) -> Taken {
        loop {
            match self.core.at(slot).phase() {
                Phase::Head if rest.is_empty() => return Taken::All,
                Phase::Head => {
                    if let Taken::All = self.take_head(slot, rest, can_park, budget) {
                        return Taken::All;
                    }
                }
                // Pipelined requests wait until the answer is out.
                Phase::Reply => return Taken::Some,
                Phase::Open | Phase::Closing => {
                    return self.take_frames(slot, rest, can_park, budget);
                }
                Phase::Lingering => {
                    self.discard(slot, rest.len());
                    *rest = &[];
                    return Taken::All;
                }
                Phase::Draining | Phase::Dead => return Taken::All,
            }
        }
    }

    /// Parses a request head and answers it. `Taken::All` means that more bytes are needed.
    fn take_head(
        &mut self,
        slot: Slot,
        rest: &mut &[u8],
        can_park: bool,
        budget: &mut Budget,
    ) -> Taken {
        let mut fields = Fields::new();
        match head::parse(rest, &mut fields, self.core.limits.target_bytes_max) {
            Ok(Head::Partial) if rest.len() >= INPUT_BYTES_MAX => {
                let error = head::overflow(rest);
                self.refuse(slot, CloseReason::BadRequest, error);
                Taken::Some
            }
            Ok(Head::Partial) => Taken::All,
            Ok(Head::Complete(request, length)) => {
                budget.messages -= 1;
                let is_last = length == rest.len();
                self.answer(slot, &request, is_last || can_park);
                *rest = &rest[length..];
                Taken::Some
            }
            Err(error) => {
                self.refuse(slot, CloseReason::BadRequest, error);
                Taken::Some
            }
        }
    }

    fn answer(&mut self, slot: Slot, request: &Request<'_>, may_follow: bool) {
        self.core.stats.requests += 1;
        let handle = self.core.at(slot).handle;
        let mut context = Context::new(&mut self.core, &self.clock);
        match self.handler.request(&mut context, handle, request) {
            Answer::Respond(response) => {
                let keep_alive = may_follow && request.keeps_alive() && !self.core.is_draining;
                self.respond(slot, response, keep_alive, request.method() == "HEAD");
                let now = self.core.now;
                self.core.at(slot).enter(Phase::Reply, now);
            }
            Answer::Upgrade { .. } if self.core.is_draining => {
                self.refuse(slot, CloseReason::Shutdown, DRAINING);
            }
            Answer::Upgrade { protocol } => match request.websocket_key() {
                Ok(key) => self.upgrade(slot, request, key, protocol),
                Err(error) => self.refuse(slot, CloseReason::BadRequest, error),
            },
        }
    }

    fn upgrade(
        &mut self,
        slot: Slot,
        request: &Request<'_>,
        key: &str,
        protocol: Option<&'static str>,
    ) {
        let (now, message_bytes_max) = (self.core.now, self.core.limits.message_bytes_max);
        let connection = self.core.at(slot);
        response::write_switching(connection.outbox.control(), key, protocol);
        connection.websocket = Some(Box::new(WebSocket::new(message_bytes_max)));
        connection.enter(Phase::Open, now);
        connection.is_member = true;
        let handle = connection.handle;
        self.core.ledger.open(Resource::Member);
        let mut context = Context::new(&mut self.core, &self.clock);
        self.handler.open(&mut context, handle, request);
    }

    /// Queues an answer.
    fn respond(&mut self, slot: Slot, response: Response, keep_alive: bool, is_head: bool) {
        let wall = self.clock.wall();
        let connection = self.core.at(slot);
        connection.keep_alive = keep_alive;
        let body = response.write_head(connection.outbox.control(), keep_alive, wall);
        if let Some(body) = body.filter(|_| !is_head) {
            connection.outbox.push_reply(body);
        }
    }

    /// Answers with a refusal after which nothing more is read as a request.
    pub(super) fn refuse(&mut self, slot: Slot, reason: CloseReason, error: HeadError) {
        let mut response = Response::text(error.status, error.reason);
        if error.status == 426 {
            response = response.with("Upgrade", "websocket").with("Sec-WebSocket-Version", "13");
        }
        if error.status == 503 {
            response = response.with("Retry-After", "1");
        }
        self.respond(slot, response, false, false);
        let now = self.core.now;
        let connection = self.core.at(slot);
        connection.cause.get_or_insert(reason);
        connection.enter(Phase::Draining, now);
    }

    /// Reads frames and hands messages to the handler.
    fn take_frames(
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
            let received = websocket.read(rest, &mut control);
            if matches!(received, Received::Nothing) {
                break;
            }
            budget.messages = budget.messages.saturating_sub(1);
            if self.receive(slot, received, &mut control) {
                *rest = &[];
                break;
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
        let mut context = Context::new(&mut self.core, &self.clock);
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

    /// Begins the closing handshake that the handler has asked for.
    fn close_if_wanted(&mut self, slot: Slot) {
        let Some(wanted) = self.core.at(slot).close_wanted.take() else { return };
        if self.core.at(slot).phase() == Phase::Open {
            self.close(slot, wanted);
        }
    }

    /// Begins the closing handshake from our side.
    pub(super) fn close(&mut self, slot: Slot, wanted: CloseWanted) {
        self.leave(slot, wanted.reason);
        let now = self.core.now;
        let connection = self.core.at(slot);
        let mut control = Vec::new();
        let websocket = connection.websocket.as_mut().expect("an open WebSocket has its state");
        websocket.close(wanted.code, wanted.text, &mut control);
        connection.outbox.seal(&mut control);
        connection.cause.get_or_insert(wanted.reason);
        connection.enter(Phase::Closing, now);
    }

    /// Tells the handler, once, that a WebSocket is open no more.
    pub(super) fn leave(&mut self, slot: Slot, reason: CloseReason) {
        let connection = self.core.at(slot);
        if mem::take(&mut connection.is_member) {
            let handle = connection.handle;
            self.core.ledger.close(Resource::Member);
            let mut context = Context::new(&mut self.core, &self.clock);
            self.handler.closed(&mut context, handle, reason);
        }
    }

    /// Throws away what a refused peer still sends, up to a limit.
    fn discard(&mut self, slot: Slot, length: usize) {
        let linger_bytes_max = self.core.limits.linger_bytes_max;
        let connection = self.core.at(slot);
        connection.lingered_bytes += length;
        if connection.lingered_bytes > linger_bytes_max {
            self.doom(slot, CloseReason::Finished);
        }
    }

    /// Writes what a connection has to send, as far as the peer takes it: the one road to a socket.
    pub(super) fn write_out(&mut self, slot: Slot) {
        let now = self.core.now;
        let mut room = self.core.limits.write_bytes_per_turn;
        let mut moved = false;
        let stream = self.streams[slot as usize].as_mut().expect("an occupied slot has a stream");
        let stats = &mut self.core.stats;
        let connection =
            self.core.connections.get_mut(slot as usize).expect("the slot was found occupied");
        let mut failed = None;
        while connection.phase() != Phase::Dead
            && connection.writable
            && room > 0
            && !connection.outbox.is_empty()
        {
            stats.writes += 1;
            match connection.outbox.with_slices(|slices| stream.write_vectored(slices)) {
                Ok(0) => failed = Some(CloseReason::Failed),
                Ok(length) => {
                    let completed = connection.outbox.advance(length);
                    connection.note_frames(completed, now);
                    stats.frames_sent += completed as u64;
                    stats.bytes_written += length as u64;
                    room = room.saturating_sub(length);
                    moved = true;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => connection.writable = false,
                    io::ErrorKind::Interrupted => {}
                    kind => failed = Some(reason_of(kind)),
                },
            }
            if failed.is_some() {
                break;
            }
        }
        connection.note_written(moved, now);
        match failed {
            Some(reason) => self.doom(slot, reason),
            None => self.note_sent(slot),
        }
    }

    /// Moves on when everything is sent.
    fn note_sent(&mut self, slot: Slot) {
        let now = self.core.now;
        let connection = self.core.at(slot);
        if !connection.outbox.is_empty() {
            return;
        }
        match connection.phase() {
            Phase::Reply if connection.keep_alive => connection.enter(Phase::Head, now),
            Phase::Reply | Phase::Draining => {
                connection.cause.get_or_insert(CloseReason::Finished);
                connection.enter(Phase::Lingering, now);
                connection.input_due = false;
                let stream = self.streams[slot as usize].as_mut();
                // Fails when the peer is gone, which the next read will find.
                let _ = stream.expect("an occupied slot has a stream").shutdown_write();
                if let Some(input) = self.core.at(slot).input.take() {
                    self.core.return_input_buffer(input);
                }
            }
            _ => {}
        }
    }

    /// Acts on a deadline that has passed.
    pub(super) fn expire(&mut self, slot: Slot, deadline: Deadline) {
        match deadline {
            Deadline::Head if self.core.at(slot).has_begun_head() => {
                self.refuse(slot, CloseReason::HeadTimeout, SLOW_HEAD);
                self.write_out(slot);
            }
            Deadline::Head => self.doom(slot, CloseReason::HeadTimeout),
            Deadline::Idle => self.doom(slot, CloseReason::IdleTimeout),
            Deadline::Stall => self.doom(slot, CloseReason::SlowReader),
            Deadline::Silence => self.doom(slot, CloseReason::Silent),
            Deadline::Close => self.doom(slot, CloseReason::CloseTimeout),
            Deadline::Ping => {
                let connection = self.core.at(slot);
                connection.outbox.control().extend_from_slice(&PING);
                connection.note_pinged();
                self.write_out(slot);
            }
        }
    }
}

/// Whether bytes that came in this phase may be of use later.
fn keeps_input(phase: Phase) -> bool {
    matches!(phase, Phase::Head | Phase::Reply | Phase::Open | Phase::Closing)
}

fn reason_of(kind: io::ErrorKind) -> CloseReason {
    match kind {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => CloseReason::Reset,
        _ => CloseReason::Failed,
    }
}

/// The refusal of a peer that there is no room for.
pub(super) const NO_ROOM: HeadError =
    HeadError { status: 503, reason: "no room for another connection; try again" };

const DRAINING: HeadError = HeadError { status: 503, reason: "the server is stopping" };

const SLOW_HEAD: HeadError = HeadError { status: 408, reason: "the request head took too long" };
