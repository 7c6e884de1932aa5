//! Requests and their answers: from a head to a response, a refusal or an open WebSocket.

use super::{Budget, Taken};
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::connection::head::{self, Fields, Head, HeadError, Request};
use crate::engine::connection::response::{self, Response};
use crate::engine::connection::websocket::WebSocket;
use crate::engine::connection::{CloseReason, Phase};
use crate::engine::handle::Slot;
use crate::engine::handler::{Answer, Context, Handler};
use crate::engine::ledger::Resource;
use crate::engine::limits::INPUT_BYTES_MAX;
use crate::engine::net::Net;
use crate::engine::tasks::TaskState;

impl<H: Handler, N: Net, C: Clock> Engine<H, N, C> {
    /// Parses a request head and answers it. `Taken::All` means that more bytes are needed.
    pub(super) fn take_head(
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
        let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
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
        connection.stream = Some(TaskState::Running);
        let handle = connection.handle;
        self.core.ledger.open(Resource::Member);
        self.core.tasks.counts.begin();
        let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
        self.handler.open(&mut context, handle, request);
    }

    /// Queues an answer.
    fn respond(&mut self, slot: Slot, response: Response, keep_alive: bool, is_head: bool) {
        let wall = self.clock.wall();
        let is_too_big = response.body_len() > self.core.limits.reply_bytes_max;
        let response = match is_too_big {
            true => Response::text(500, "the answer is larger than this server may hold"),
            false => response,
        };
        let connection = self.core.at(slot);
        connection.keep_alive = keep_alive;
        let body = response.write_head(connection.outbox.control(), keep_alive, wall);
        if let Some(body) = body.filter(|_| !is_head) {
            connection.outbox.push_reply(body);
        }
    }

    /// Answers with a refusal after which nothing more is read as a request.
    pub(in crate::engine) fn refuse(&mut self, slot: Slot, reason: CloseReason, error: HeadError) {
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
}

/// The refusal of a peer that there is no room for.
pub(in crate::engine) const NO_ROOM: HeadError =
    HeadError { status: 503, reason: "no room for another connection; try again" };

/// The refusal of a peer whose address has its share already.
pub(in crate::engine) const NO_SHARE: HeadError =
    HeadError { status: 503, reason: "too many connections from your address; try again" };

const DRAINING: HeadError = HeadError { status: 503, reason: "the server is stopping" };

pub(super) const SLOW_HEAD: HeadError =
    HeadError { status: 408, reason: "the request head took too long" };
