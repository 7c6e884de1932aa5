//! What each message of a WebSocket client is answered with.
//!
//! These are the methods of [`App`] that answer. Who sends too much, or what is no text, is closed;
//! everything else is answered, if only by an error, and the connection stays. Owns what is counted
//! of each speaker; imports the engine's messages and the hub's terms.

use std::time::Duration;

use super::App;
use super::getting::Wanted;
use super::history;
use super::parts::Head;
use super::protocol::{self, ErrorCode, ErrorMessage, Pong, Refusal, Subscribed, Unsubscribed};
use super::terms::Terms;
use super::{reply, unix_ms};
use crate::engine::clock::Tick;
use crate::engine::connection::CloseReason;
use crate::engine::handle::Handle;
use crate::engine::handler::{Context, Message};
use crate::metrics::processes::Question;

/// Close codes (RFC 6455, section 7.4.1).
const UNSUPPORTED_DATA: u16 = 1003;
const POLICY_VIOLATION: u16 = 1008;

#[derive(Clone, Copy, Default)]
pub(super) struct Rate {
    since: Tick,
    messages: u32,
}

impl Rate {
    /// That of a connection that begins.
    pub(super) fn new(now: Tick) -> Rate {
        Rate { since: now, messages: 0 }
    }
}

impl App {
    /// Answers a message, or closes the connection for what it has sent.
    pub(super) fn answer_message(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        message: Message<'_>,
    ) {
        if !self.may_speak(handle, context.now()) {
            let text = "too many messages";
            context.close(handle, POLICY_VIOLATION, text, CloseReason::Policy);
            return;
        }
        match message {
            Message::Text(text) => self.text(context, handle, text),
            Message::Binary(_) => {
                let text = "messages are text";
                context.close(handle, UNSUPPORTED_DATA, text, CloseReason::Policy);
            }
        }
    }

    /// Counts a message; false when the connection has sent too many in its current second.
    fn may_speak(&mut self, handle: Handle, now: Tick) -> bool {
        let rate = &mut self.rates[handle.slot()];
        if now - rate.since >= Duration::from_secs(1) {
            *rate = Rate { since: now, messages: 0 };
        }
        rate.messages += 1;
        rate.messages <= protocol::MESSAGES_PER_SECOND_MAX
    }

    fn text(&mut self, context: &mut Context<'_>, handle: Handle, text: &str) {
        let (id, request) = protocol::parse(text, self.interval_ms());
        let id = id.as_ref();
        let result = match request {
            Ok(protocol::Request::Ping) => {
                let t = unix_ms(context.wall());
                reply(context, handle, &Pong::new(id, t));
                Ok(())
            }
            Ok(protocol::Request::Subscribe(terms)) => self.subscribe(context, handle, terms, id),
            Ok(protocol::Request::Unsubscribe { sub }) => {
                self.unsubscribe(context, handle, &sub, id)
            }
            Ok(protocol::Request::Get(wanted)) => self.get(context, handle, wanted, id),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = result {
            reply(context, handle, &ErrorMessage::new(&refusal, id));
        }
    }

    /// Tells what is asked for, now or, of the process table, when there is one.
    fn get(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        wanted: Wanted,
        id: Option<&protocol::Id>,
    ) -> Result<(), Refusal> {
        let messages = match wanted {
            Wanted::History(query) => {
                let head = Head { kind: "history", id };
                history::messages(self.metrics.history(), &query, head, context.limits())
                    .map_err(|missing| missing.refusal())?
            }
            Wanted::Server => {
                let inside = self.inside(context.instant().since_origin());
                vec![self.own.message(context, inside, Head { kind: "server", id })]
            }
            Wanted::Processes(question) => {
                let with_commands = self.may_see_commands(handle);
                let question = Question { with_commands, ..question };
                return self.processes.get(context, handle, question, id);
            }
        };
        match context.reply_all(handle, messages) {
            true => Ok(()),
            false => {
                Err(Refusal::new(ErrorCode::Limit, "answers before this one are not taken yet"))
            }
        }
    }

    fn subscribe(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        terms: Terms,
        id: Option<&protocol::Id>,
    ) -> Result<(), Refusal> {
        let interval_ms = self.interval_ms();
        let (channel, granted) = self.hub.subscribe(handle, terms)?;
        context.retract(handle, channel);
        reply(context, handle, &Subscribed::new(granted, interval_ms, id));
        Ok(())
    }

    fn unsubscribe(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        sub: &str,
        id: Option<&protocol::Id>,
    ) -> Result<(), Refusal> {
        let channel = self.hub.unsubscribe(handle, sub).ok_or_else(|| {
            let message = format_args!("there is no subscription {sub:?}");
            Refusal::new(ErrorCode::BadRequest, message)
        })?;
        context.retract(handle, channel);
        reply(context, handle, &Unsubscribed::new(sub, id));
        Ok(())
    }
}
