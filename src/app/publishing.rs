//! Each sample on its way to those who are subscribed.
//!
//! These are the methods of [`App`] that publish. A class's message is encoded once and wrapped
//! once for each kind of reader it has, and all of them share the bytes. To thousands it is handed
//! out over several turns, and the next class's is made when everybody has it: so others are served
//! in between, and of one class at most are two messages on their way. Owns what is being handed
//! out; imports the hub and the engine's frames.

use std::time::Duration;

use super::App;
use super::hub::{Member, Sample};
use super::protocol::{ErrorCode, ErrorMessage, Refusal};
use super::{event_stream, reply};
use crate::engine::clock::Tick;
use crate::engine::connection::frame::{ENVELOPES, Envelope, Frame, NoFrame};
use crate::engine::handler::Context;

/// How long a turn publishes. What is left over is done in the next one.
const TURN_MAX: Duration = Duration::from_millis(1);

/// Members that are given a message between two looks at the clock: some microseconds. There is a
/// look after each message that is made too: one of 64 KiB takes up to half a millisecond.
const MEMBERS_PER_LOOK: usize = 64;

/// Members that are given a message in a turn at the most, should the clock stand still.
const MEMBERS_PER_TURN: usize = 10_000;

/// What is being handed out.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// The message of a class: the payload of its frames.
    payload: Vec<u8>,
    /// The number of its newest sample.
    sequence: u64,
    /// When that sample was due.
    due: Tick,
    /// When the sample that was taken last was due.
    sample_due: Tick,
    /// Where a sample is written that a batch keeps.
    scratch: Vec<u8>,
    /// The payload by envelope, wrapped for the first who wants it so.
    frames: [Option<Result<Frame, NoFrame>>; ENVELOPES],
    /// Whether somebody is still to be given the payload.
    is_begun: bool,
    /// Samples encoded since the start.
    pub(super) encoded: u64,
}

impl App {
    /// Takes note of a sample that was due at `due`, and begins to give it to whoever is due.
    pub(super) fn begin_publishing(&mut self, context: &mut Context<'_>, skipped: u64, due: Tick) {
        let bytes_max = context.limits().shared_bytes_max;
        let snapshot = self.metrics.latest();
        let sample = Sample { snapshot, sequence: self.sequence, skipped };
        let publishing = &mut self.publishing;
        publishing.encoded += self.hub.step(sample, &mut publishing.scratch, bytes_max);
        publishing.sample_due = due;
        publishing.scratch.shrink_to(bytes_max);
        self.publish(context);
    }

    /// Goes on giving those who are due what they are due, for a while.
    pub(super) fn publish(&mut self, context: &mut Context<'_>) {
        let start = context.instant();
        for given in 1.. {
            let Some(member) = self.next_member(context) else { return };
            let is_made = self.give(context, member);
            let is_look = is_made || given % MEMBERS_PER_LOOK == 0;
            if is_look && (given >= MEMBERS_PER_TURN || context.instant() - start >= TURN_MAX) {
                return context.resume();
            }
        }
    }

    /// The next who is due the message at hand; when everybody has it, of the next message.
    fn next_member(&mut self, context: &Context<'_>) -> Option<Member> {
        loop {
            if self.publishing.is_begun
                && let Some(member) = self.hub.next_member()
            {
                return Some(member);
            }
            let publishing = &mut self.publishing;
            // What nobody waits for can be used again for the next.
            publishing.frames = Default::default();
            publishing.payload.clear();
            publishing.payload.shrink_to(context.limits().shared_bytes_max);
            let payload = &mut publishing.payload;
            let taken = self.hub.take_due(self.metrics.latest(), self.sequence, payload);
            publishing.is_begun = taken.is_some();
            publishing.sequence = self.sequence;
            publishing.due = publishing.sample_due;
            publishing.encoded += taken?;
        }
    }

    /// Gives a member the message at hand; true if it had to be made for it.
    fn give(&mut self, context: &mut Context<'_>, member: Member) -> bool {
        let Some(envelope) = context.envelope(member.handle) else { return false };
        let Publishing { payload, sequence, frames, due, .. } = &mut self.publishing;
        let envelope = envelope.of_payload(payload.len());
        let is_made = frames[envelope.index()].is_none();
        let frame = frames[envelope.index()].get_or_insert_with(|| {
            let kind = event_stream::kind(envelope);
            if let Envelope::Deflated(_) = envelope {
                return context.encode_deflated(kind, Some(*due), payload);
            }
            context.encode_due(kind, *due, |out| {
                event_stream::wrap(envelope, Some(*sequence), out, |out| {
                    out.extend_from_slice(payload);
                });
            })
        });
        match frame {
            Ok(frame) => {
                context.publish(member.handle, member.channel, frame.clone());
            }
            Err(NoFrame::TooLong(_)) => self.tell_too_long(context, member),
            // The engine has counted it. Members keep what waits for them, and get the next.
            Err(NoFrame::Full) => {}
        }
        is_made
    }

    /// Tells a subscriber, once, that its samples are too long to be sent. They come as soon as
    /// they are not.
    fn tell_too_long(&mut self, context: &mut Context<'_>, member: Member) {
        let Some(sub) = self.hub.untold(member) else { return };
        let bytes_max = context.limits().shared_bytes_max;
        let message = format_args!(
            "samples of subscription {sub:?} have more than {bytes_max} bytes; name fewer topics"
        );
        let refusal = Refusal::new(ErrorCode::Limit, message);
        if reply(context, member.handle, &ErrorMessage::new(&refusal, None)) {
            self.hub.set_told(member);
        }
    }
}
