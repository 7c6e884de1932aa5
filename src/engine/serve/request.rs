//! Requests and their answers: from a head to a response, a refusal, an open WebSocket or an event
//! stream.

use std::time::SystemTime;

use super::{Budget, Taken};
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::connection::extension::Agreement;
use crate::engine::connection::head::{self, Fields, Head, HeadError, Request};
use crate::engine::connection::response::{self, Response};
use crate::engine::connection::websocket::WebSocket;
use crate::engine::connection::{Awaited, CloseReason, Phase};
use crate::engine::core::{Core, Warning};
use crate::engine::handle::{Handle, Slot};
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
        let is_head = request.method() == "HEAD";
        let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
        match self.handler.request(&mut context, handle, request) {
            Answer::Respond(response) => {
                let is_failed_upgrade = request.wants_websocket() && !self.core.is_draining;
                self.core.count_answered(&response, is_failed_upgrade);
                let keep_alive = may_follow && request.keeps_alive() && !self.core.is_draining;
                self.core.respond(slot, response, Form { keep_alive, is_head }, self.clock.wall());
                let now = self.core.now;
                self.core.at(slot).enter(Phase::Reply, now);
            }
            Answer::Upgrade { .. } | Answer::Stream(_) | Answer::Later if self.core.is_draining => {
                self.refuse_in_form(slot, CloseReason::Shutdown, DRAINING, is_head);
            }
            Answer::Later => {
                let now = self.core.now;
                let connection = self.core.at(slot);
                connection.keep_alive = may_follow && request.keeps_alive();
                connection.await_answer(Awaited { is_head });
                connection.enter(Phase::Reply, now);
            }
            Answer::Stream(response) => self.stream(slot, request, response),
            Answer::Upgrade { protocol } => match self.check_upgrade(request) {
                Ok((key, extension)) => self.upgrade(slot, request, key, protocol, extension),
                Err(error) => self.refuse(slot, CloseReason::BadRequest, error),
            },
        }
    }

    /// The key of a correct handshake, and the extension that it agrees on.
    fn check_upgrade<'a>(
        &self,
        request: &Request<'a>,
    ) -> Result<(&'a str, Option<Agreement>), HeadError> {
        let key = request.websocket_key()?;
        let extension = if self.core.limits.deflates() { request.extension()? } else { None };
        Ok((key, extension))
    }

    fn upgrade(
        &mut self,
        slot: Slot,
        request: &Request<'_>,
        key: &str,
        protocol: Option<&'static str>,
        extension: Option<Agreement>,
    ) {
        self.core.stats.count_attempt(false);
        let (now, message_bytes_max) = (self.core.now, self.core.limits.message_bytes_max);
        let connection = self.core.at(slot);
        response::write_switching(connection.outbox.control(), key, protocol, extension);
        let websocket = WebSocket::new(message_bytes_max, extension.is_some());
        connection.websocket = Some(Box::new(websocket));
        connection.deflates = extension.map(Agreement::window);
        connection.enter(Phase::Open, now);
        self.join(slot, request);
    }

    /// Begins an event stream: the answer's body, which ends with the connection.
    fn stream(&mut self, slot: Slot, request: &Request<'_>, response: Response) {
        self.core.count_answered(&response, false);
        let (now, wall) = (self.core.now, self.clock.wall());
        let connection = self.core.at(slot);
        response.write_stream_head(connection.outbox.control(), wall);
        connection.keep_alive = false;
        // The head is all there is of an answer to HEAD (RFC 9110, section 9.3.2).
        if request.method() == "HEAD" {
            connection.enter(Phase::Reply, now);
            return;
        }
        connection.enter(Phase::Streaming, now);
        self.join(slot, request);
    }

    /// Tells the handler, once, that a connection has become a subscriber.
    fn join(&mut self, slot: Slot, request: &Request<'_>) {
        let connection = self.core.at(slot);
        connection.is_member = true;
        connection.stream = Some(TaskState::Running);
        let handle = connection.handle;
        self.core.ledger.open(Resource::Member);
        self.core.tasks.counts.begin();
        let mut context = Context::new(&mut self.core, &self.clock, &self.streams);
        self.handler.open(&mut context, handle, request);
    }

    /// Answers with a refusal after which nothing more is read as a request.
    pub(in crate::engine) fn refuse(&mut self, slot: Slot, reason: CloseReason, error: HeadError) {
        self.refuse_in_form(slot, reason, error, false);
    }

    /// Ends the wait for an answer that does not come: the engine's own is the last on this
    /// connection. So one that comes too late can never be taken for that to another request.
    pub(in crate::engine) fn refuse_awaited(
        &mut self,
        slot: Slot,
        reason: CloseReason,
        error: HeadError,
    ) {
        let now = self.core.now;
        let awaited = self.core.at(slot).take_awaited(now).expect("an answer is awaited");
        self.refuse_in_form(slot, reason, error, awaited.is_head);
    }

    fn refuse_in_form(&mut self, slot: Slot, reason: CloseReason, error: HeadError, is_head: bool) {
        self.core.stats.count_attempt(reason != CloseReason::Shutdown);
        let mut response = Response::text(error.status, error.reason);
        if error.status == 426 {
            response = response.with("Upgrade", "websocket").with("Sec-WebSocket-Version", "13");
        }
        if error.status == 503 {
            response = response.with("Retry-After", "1");
        }
        let form = Form { keep_alive: false, is_head };
        self.core.respond(slot, response, form, self.clock.wall());
        let now = self.core.now;
        let connection = self.core.at(slot);
        connection.cause.get_or_insert(reason);
        connection.enter(Phase::Draining, now);
    }

    /// Answers for a handler that has not done so in time.
    pub(super) fn give_up_answer(&mut self, slot: Slot) {
        if self.core.may_warn(Warning::Unanswered) {
            let handle = self.core.at(slot).handle;
            let timeout_ms = self.core.limits.answer_timeout.as_millis();
            log::warn!(
                "limit=answer_timeout connection={handle} timeout_ms={timeout_ms} action=refuse \
                 status=503"
            );
        }
        self.refuse_awaited(slot, CloseReason::Unanswered, UNANSWERED);
    }
}

impl Core {
    /// Queues an answer.
    pub(in crate::engine) fn respond(
        &mut self,
        slot: Slot,
        response: Response,
        form: Form,
        wall: SystemTime,
    ) {
        // The frames of a pool are bounded there, however many connections share one.
        let is_too_big =
            response.body_len() > self.limits.reply_bytes_max && !response.is_body_pooled();
        let response = match is_too_big {
            true => Response::text(500, "the answer is larger than this server may hold"),
            false => response,
        };
        let connection = self.at(slot);
        connection.keep_alive = form.keep_alive;
        let body = response.write_head(connection.outbox.control(), form.keep_alive, wall);
        if let Some(body) = body.filter(|_| !form.is_head) {
            connection.outbox.push_reply(body);
        }
    }

    /// Takes note of an attempt that the handler has answered.
    fn count_answered(&mut self, response: &Response, is_failed_upgrade: bool) {
        let is_without_room = response.status() == 503 && !self.is_draining;
        self.stats.count_attempt(is_failed_upgrade || is_without_room);
    }

    /// Queues the answer that a connection awaits. False when it awaits none.
    pub(in crate::engine) fn respond_later(
        &mut self,
        handle: Handle,
        response: Response,
        wall: SystemTime,
    ) -> bool {
        let (now, is_draining) = (self.now, self.is_draining);
        let Some(connection) = self.get_mut(handle) else { return false };
        let Some(Awaited { is_head }) = connection.take_awaited(now) else { return false };
        let keep_alive = connection.keep_alive && !is_draining;
        self.count_answered(&response, false);
        self.respond(handle.slot, response, Form { keep_alive, is_head }, wall);
        self.touch(handle);
        true
    }
}

/// How an answer is written, whatever it says.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Form {
    /// Another request may follow.
    keep_alive: bool,
    /// The body is left out.
    is_head: bool,
}

/// The refusal of a peer that there is no room for.
pub(in crate::engine) const NO_ROOM: HeadError =
    HeadError { status: 503, reason: "no room for another connection; try again" };

/// The refusal of a peer whose address has its share already.
pub(in crate::engine) const NO_SHARE: HeadError =
    HeadError { status: 503, reason: "too many connections from your address; try again" };

/// The refusal of what a drain leaves no time for.
pub(in crate::engine) const DRAINING: HeadError =
    HeadError { status: 503, reason: "the server is stopping" };

const UNANSWERED: HeadError =
    HeadError { status: 503, reason: "no answer came in time; try again" };

pub(super) const SLOW_HEAD: HeadError =
    HeadError { status: 408, reason: "the request head took too long" };
