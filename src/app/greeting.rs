//! What each subscriber begins with: hello, and a first subscription.
//!
//! These are the methods of [`App`] for one that has just come. Hello is encoded once between two
//! ticks, however many come, and is shorter where it would be too long to be sent. Owns no state;
//! imports the hub's terms and the engine's frames.

use super::protocol::{ErrorMessage, Hello, Refusal, Subscribed};
use super::terms::Terms;
use super::{App, deflated, event_stream, reply, routes};
use crate::engine::connection::frame::{Envelope, Frame};
use crate::engine::connection::head::Request;
use crate::engine::handle::Handle;
use crate::engine::handler::Context;
use crate::metrics::history::History;
use crate::metrics::selection::Selection;

impl App {
    /// Greets one who has come, and subscribes it to what it begins with.
    pub(super) fn welcome(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        request: &Request<'_>,
    ) {
        let Some(envelope) = context.envelope(handle) else { return };
        self.greet(context, handle, envelope, routes::wants_history(request.query()));
        if let Err(refusal) = self.begin(context, handle, envelope, request) {
            reply(context, handle, &ErrorMessage::new(&refusal, None));
        }
    }

    fn greet(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        envelope: Envelope,
        with_history: bool,
    ) {
        let hello = self.hello(context, envelope, with_history);
        if context.reply(handle, hello) {
            return;
        }
        // On a host with very much of everything the past may be what does not fit, or the rows.
        for selection in [&self.everything, &Selection::without_rows()] {
            if context.reply(handle, self.encode_hello(envelope, selection, None)) {
                return;
            }
        }
    }

    /// Gives a connection what it begins with. A stream, whose query is not answered, is told what
    /// it is granted where that is something else.
    fn begin(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        envelope: Envelope,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        let asked = match envelope {
            Envelope::Message | Envelope::Deflated(_) => Terms::standard(),
            Envelope::Event => self.stream_terms(request.query())?,
        };
        let interval_ms = self.interval_ms();
        let (_, granted) = self.hub.subscribe(handle, asked.clone())?;
        if *granted != asked {
            reply(context, handle, &Subscribed::new(granted, interval_ms, None));
        }
        Ok(())
    }

    fn hello(
        &mut self,
        context: &mut Context<'_>,
        envelope: Envelope,
        with_history: bool,
    ) -> Frame {
        self.refresh(context);
        if !with_history {
            let frame = self.encode_hello(envelope, &self.everything, None);
            return deflated(context, envelope, frame);
        }
        let envelope_plain = envelope.of_payload(0);
        let frame = self.cache.hello[envelope_plain.index()].take();
        let history = Some(self.metrics.history());
        let frame = frame.unwrap_or_else(|| self.encode_hello(envelope, &self.everything, history));
        let is_sendable = frame.len() <= context.limits().reply_bytes_max;
        self.cache.hello[envelope_plain.index()] = is_sendable.then(|| frame.clone());
        if envelope.of_payload(frame.payload().len()) == envelope_plain {
            return frame;
        }
        let kept = &mut self.cache.hello[envelope.index()];
        let frame = kept.take().unwrap_or_else(|| context.deflated(&frame));
        *kept = is_sendable.then(|| frame.clone());
        frame
    }

    fn encode_hello(
        &self,
        envelope: Envelope,
        selection: &Selection,
        history: Option<&History>,
    ) -> Frame {
        let (facts, alerts) = (self.metrics.facts(), self.alarm.firing());
        let snapshot = self.newest(selection);
        let hello = Hello::new(facts, self.interval_ms(), snapshot, history, alerts);
        event_stream::first_frame(envelope, &hello)
    }
}
