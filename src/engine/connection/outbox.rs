//! The only road to a socket.
//!
//! An outbox holds what one connection still has to be sent, in lanes that are written in a fixed
//! order: the frame that has been begun, control bytes, replies, events, state frames. Only whole
//! frames enter, so the order of bytes on the wire is the order of lanes. A close frame is the last
//! reply. Replies are bounded by the reader's gate (nothing more is read from a peer that does not
//! take its answers). Of events the last [`EVENTS_MAX`] wait, and a gap frame stands for those that
//! had to go. A state frame replaces the one before it on its channel: a slow reader holds a few
//! pointers, never a queue.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;

use super::frame::{Frame, Kind, OVERHEAD_BYTES};
use crate::engine::clock::Tick;
use crate::engine::limits::{CHANNELS, EVENTS_MAX, REPLIES_MAX};

/// Slices given to one system call: one begun, one control, [`REPLIES_MAX`] and [`CHANNELS`] make
/// ten, and some events. A peer to whom more is owed has not kept up and can wait for the next
/// call.
const SLICES_MAX: usize = 16;

/// Bytes of capacity that the control lane keeps when it is empty. Enough for pings and pongs; an
/// HTTP head's buffer goes back to the allocator.
const CONTROL_CAPACITY_KEPT: usize = 160;

/// Frames of replies and state whose last byte has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// How many, of every kind.
    pub frames: usize,
    /// How many of them were messages: neither bodies of HTTP answers nor close frames.
    pub messages: usize,
    /// Bytes of the messages' frames.
    pub message_bytes: usize,
}

impl Completed {
    fn count(&mut self, frame: &Frame, note_due: &mut impl FnMut(Tick)) {
        self.frames += 1;
        if let Some(due) = frame.due() {
            note_due(due);
        }
        if frame.is_message() {
            self.messages += 1;
            self.message_bytes += frame.len();
        }
    }
}

/// What is on its way to one peer.
#[derive(Debug, Default)]
pub struct Outbox {
    /// A frame that the kernel has taken in part; `in_flight_sent` bytes of it are gone, at least
    /// one and not all. It can never be dropped: the peer would lose its place in the stream.
    in_flight: Option<Frame>,
    in_flight_sent: usize,
    /// Response heads, pings, pongs and close frames, in order; the first `control_sent` bytes are
    /// gone.
    control: Vec<u8>,
    control_sent: usize,
    /// Bytes of the lane have gone since it was last empty. No frame is in flight then.
    is_control_begun: bool,
    replies: VecDeque<Frame>,
    /// Boxed, because few connections ever wait for an event and each would pay for the lane.
    events: Option<Box<Events>>,
    pending: [Option<Frame>; CHANNELS],
    /// State frames that were replaced before they were begun.
    conflated: u64,
    /// The close frame is queued: nothing may be added.
    is_sealed: bool,
}

/// Events that wait. Not there at all while none does.
#[derive(Debug, Default)]
struct Events {
    /// Says how many were dropped before the first of `frames`.
    gap: Option<Frame>,
    missed: u64,
    frames: VecDeque<Frame>,
}

/// Bytes of a gap's frame: what a handler writes around one number.
const GAP_BYTES_MAX: usize = 160;

impl Outbox {
    /// Bytes of heap that an outbox takes at most beside its control lane, its answers and the
    /// frames it shares: the least list of answers, what holds events, a list of them that has
    /// grown by doubling, and a gap.
    pub(crate) const MEMORY_CEILING: usize = 4 * size_of::<Frame>()
        + size_of::<Events>()
        + 2 * EVENTS_MAX * size_of::<Frame>()
        + GAP_BYTES_MAX
        + OVERHEAD_BYTES;

    /// Whether everything has been taken by the kernel.
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_none()
            && self.control.is_empty()
            && self.replies.is_empty()
            && self.events.is_none()
            && self.pending.iter().all(Option::is_none)
    }

    /// Bytes of memory that answers hold here: those that wait, and the frame that is begun.
    pub fn reply_bytes(&self) -> usize {
        self.in_flight.iter().chain(&self.replies).map(Frame::memory_bytes).sum()
    }

    /// Bytes that the kernel has not taken, of every lane.
    pub fn unsent_bytes(&self) -> usize {
        let frames: usize = self.in_flight.iter().chain(self.waiting()).map(Frame::len).sum();
        self.control_len() + frames - self.in_flight_sent
    }

    /// Bytes of control that wait.
    pub fn control_len(&self) -> usize {
        self.control.len() - self.control_sent
    }

    /// Whether no further reply is taken before one has left.
    pub fn is_full_of_replies(&self) -> bool {
        self.replies.len() >= REPLIES_MAX
    }

    /// Whether a frame is half on the wire.
    pub fn is_mid_frame(&self) -> bool {
        self.in_flight.is_some() || self.is_control_begun
    }

    /// State frames replaced before they were begun, since the start of the connection.
    pub fn conflated(&self) -> u64 {
        self.conflated
    }

    /// The control lane, to append whole frames or a response head to. What has gone makes room
    /// first: the lane would grow for ever with a peer that pings and always leaves a byte.
    pub fn control(&mut self) -> &mut Vec<u8> {
        if self.control_sent > 0 {
            self.control.drain(..mem::take(&mut self.control_sent));
        }
        &mut self.control
    }

    /// Queues an answer. The caller has looked at [`Outbox::reply_bytes`].
    pub fn push_reply(&mut self, frame: Frame) {
        debug_assert!(!self.is_sealed, "a reply behind the close frame");
        if !frame.is_empty() {
            self.replies.push_back(frame);
        }
    }

    /// Queues an event; says whether the oldest that waited had to go for it. `gap` makes the frame
    /// that then stands for all that have gone, from their number.
    pub fn push_event(&mut self, frame: Frame, gap: impl FnOnce(u64) -> Frame) -> bool {
        debug_assert!(!self.is_sealed, "an event behind the close frame");
        let events = self.events.get_or_insert_default();
        let is_full = events.frames.len() == EVENTS_MAX;
        if is_full {
            events.frames.pop_front();
            events.missed += 1;
            let gap = gap(events.missed);
            debug_assert!(gap.len() <= GAP_BYTES_MAX, "a gap of {} bytes", gap.len());
            events.gap = Some(gap);
        }
        events.frames.push_back(frame);
        is_full
    }

    /// Makes `frame` the newest state on `channel`; says whether it replaced one not yet begun.
    pub fn set_pending(&mut self, channel: usize, frame: Frame) -> bool {
        debug_assert!(!self.is_sealed, "state behind the close frame");
        let replaced = self.pending[channel].replace(frame).is_some();
        self.conflated += u64::from(replaced);
        replaced
    }

    /// Forgets the state frame on `channel`.
    pub fn clear_pending(&mut self, channel: usize) {
        self.pending[channel] = None;
    }

    /// Forgets every event and state frame that has not been begun: what answers nothing.
    pub fn drop_news(&mut self) {
        self.events = None;
        self.pending = Default::default();
    }

    /// Queues the last bytes of a WebSocket, its close frame, and empties `last`. Control and
    /// replies that wait go out before it, events and state are forgotten, and nothing can follow
    /// it.
    pub fn seal(&mut self, last: &mut Vec<u8>) {
        debug_assert!(!self.is_sealed, "a second close frame");
        self.drop_news();
        self.push_reply(Frame::new(Kind::Plain, |bytes| bytes.append(last)));
        self.is_sealed = true;
    }

    /// Gives `write` the unsent bytes in their order, as many as fit one call.
    pub fn with_slices<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let in_flight = self.in_flight.iter().map(|frame| &frame.as_slice()[self.in_flight_sent..]);
        let control = Some(&self.control[self.control_sent..]).filter(|bytes| !bytes.is_empty());
        let frames = self.waiting().map(Frame::as_slice);
        for slice in in_flight.chain(control).chain(frames).take(SLICES_MAX) {
            slices[count] = IoSlice::new(slice);
            count += 1;
        }
        write(&slices[..count])
    }

    /// Takes note that the kernel has taken the next `sent` bytes; says which frames that
    /// completed, and tells `note_due` of each of them that has a due time.
    ///
    /// # Panics
    /// If `sent` is more than was offered.
    pub fn advance(&mut self, mut sent: usize, mut note_due: impl FnMut(Tick)) -> Completed {
        let mut completed = Completed::default();
        if let Some(frame) = &self.in_flight {
            let rest = frame.len() - self.in_flight_sent;
            if sent < rest {
                self.in_flight_sent += sent;
                return completed;
            }
            sent -= rest;
            completed.count(frame, &mut note_due);
            self.in_flight = None;
            self.in_flight_sent = 0;
        }
        let taken = sent.min(self.control_len());
        self.control_sent += taken;
        self.is_control_begun |= taken > 0;
        sent -= taken;
        if self.control_sent < self.control.len() {
            return completed;
        }
        self.reset_control();
        while sent > 0 {
            let frame = self.take_next().expect("the kernel takes no more than it was offered");
            if sent < frame.len() {
                self.in_flight = Some(frame);
                self.in_flight_sent = sent;
                return completed;
            }
            sent -= frame.len();
            completed.count(&frame, &mut note_due);
        }
        completed
    }

    /// The frames that have not been begun, in their order.
    fn waiting(&self) -> impl Iterator<Item = &Frame> {
        let events = self.events.iter().flat_map(|events| events.gap.iter().chain(&events.frames));
        self.replies.iter().chain(events).chain(self.pending.iter().flatten())
    }

    fn take_next(&mut self) -> Option<Frame> {
        let reply = self.replies.pop_front().or_else(|| self.take_event());
        reply.or_else(|| self.pending.iter_mut().find_map(Option::take))
    }

    fn take_event(&mut self) -> Option<Frame> {
        let events = self.events.as_mut()?;
        let frame = events.gap.take().or_else(|| events.frames.pop_front());
        // What is dropped from here on comes after the gap that has been told.
        events.missed = 0;
        if events.frames.is_empty() && events.gap.is_none() {
            self.events = None;
        }
        frame
    }

    fn reset_control(&mut self) {
        self.control_sent = 0;
        self.is_control_begun = false;
        self.control.clear();
        if self.control.capacity() > CONTROL_CAPACITY_KEPT {
            self.control = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(text: &str) -> Frame {
        Frame::new(Kind::Plain, |bytes| bytes.extend_from_slice(text.as_bytes()))
    }

    /// Takes up to `room` bytes, as a kernel with that much buffer would.
    fn write(outbox: &mut Outbox, room: usize) -> String {
        let offered = outbox.with_slices(|slices| {
            slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>()
        });
        let taken = offered.len().min(room);
        outbox.advance(taken, |_| {});
        String::from_utf8(offered[..taken].to_vec()).unwrap()
    }

    #[test]
    fn lanes_leave_in_their_order() {
        let mut outbox = Outbox::default();
        outbox.set_pending(0, frame("<state>"));
        outbox.push_reply(frame("<reply>"));
        outbox.control().extend_from_slice(b"<control>");
        assert_eq!((outbox.reply_bytes(), outbox.unsent_bytes()), (7 + OVERHEAD_BYTES, 23));
        assert_eq!(write(&mut outbox, usize::MAX), "<control><reply><state>");
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_peer_that_pings_and_always_leaves_a_byte_does_not_make_the_lane_grow() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.control().extend_from_slice(&[b'p'; 127]);
            let rest = outbox.control_len() - 1;
            write(&mut outbox, rest);
            assert!(outbox.is_mid_frame() && outbox.control_len() == 1);
        }
        assert!(outbox.control.capacity() <= 512, "{}", outbox.control.capacity());
        assert_eq!(write(&mut outbox, usize::MAX), "p");
        assert!(!outbox.is_mid_frame());
    }

    #[test]
    fn a_frame_that_is_begun_is_finished_before_anything_else() {
        let mut outbox = Outbox::default();
        outbox.set_pending(0, frame("<state>"));
        assert_eq!(write(&mut outbox, 3), "<st");
        assert!(outbox.is_mid_frame());
        assert_eq!(outbox.unsent_bytes(), 4);
        outbox.control().extend_from_slice(b"<pong>");
        outbox.set_pending(0, frame("<newer>"));
        outbox.seal(&mut b"<close>".to_vec());
        assert_eq!(write(&mut outbox, usize::MAX), "ate><pong><close>");
        assert!(outbox.is_empty());
    }

    #[test]
    fn answers_go_out_before_the_close_frame_and_state_does_not() {
        let mut outbox = Outbox::default();
        outbox.push_reply(frame("<reply>"));
        outbox.set_pending(0, frame("<state>"));
        outbox.seal(&mut b"<close>".to_vec());
        assert_eq!(write(&mut outbox, usize::MAX), "<reply><close>");
    }

    #[test]
    fn half_written_control_goes_before_a_later_frame() {
        let mut outbox = Outbox::default();
        outbox.control().extend_from_slice(b"<one>");
        assert_eq!(write(&mut outbox, 2), "<o");
        outbox.push_reply(frame("<reply>"));
        outbox.control().extend_from_slice(b"<two>");
        assert_eq!(write(&mut outbox, usize::MAX), "ne><two><reply>");
    }

    #[test]
    fn the_newest_state_replaces_one_that_is_not_begun_and_is_counted() {
        let mut outbox = Outbox::default();
        assert!(!outbox.set_pending(1, frame("old")));
        assert!(outbox.set_pending(1, frame("new")));
        assert_eq!(outbox.conflated(), 1);
        assert_eq!(write(&mut outbox, usize::MAX), "new");
    }

    fn gap(missed: u64) -> Frame {
        frame(&format!("<gap {missed}>"))
    }

    #[test]
    fn events_go_out_in_order_behind_replies_and_before_state() {
        let mut outbox = Outbox::default();
        outbox.set_pending(0, frame("<state>"));
        assert!(!outbox.push_event(frame("<one>"), gap));
        assert!(!outbox.push_event(frame("<two>"), gap));
        outbox.push_reply(frame("<reply>"));
        assert_eq!(write(&mut outbox, usize::MAX), "<reply><one><two><state>");
        assert!(outbox.is_empty());
    }

    #[test]
    fn the_oldest_events_make_room_and_one_gap_tells_how_many() {
        let mut outbox = Outbox::default();
        for number in 0..EVENTS_MAX + 3 {
            let went = outbox.push_event(frame(&format!("<{number}>")), gap);
            assert_eq!(went, number >= EVENTS_MAX);
        }
        let expected: String = (3..EVENTS_MAX + 3).map(|number| format!("<{number}>")).collect();
        let mut wire = String::new();
        while !outbox.is_empty() {
            wire.push_str(&write(&mut outbox, usize::MAX));
        }
        assert_eq!(wire, format!("<gap 3>{expected}"));
    }

    #[test]
    fn a_gap_that_has_been_begun_counts_no_further() {
        let mut outbox = Outbox::default();
        for number in 0..=EVENTS_MAX {
            outbox.push_event(frame(&format!("<{number}>")), gap);
        }
        assert_eq!(write(&mut outbox, 2), "<g");
        outbox.push_event(frame("<last>"), gap);
        let mut wire = String::new();
        while !outbox.is_empty() {
            wire.push_str(&write(&mut outbox, usize::MAX));
        }
        assert!(wire.starts_with("ap 1><gap 1><2><3>"), "{wire}");
    }

    #[test]
    fn events_that_wait_do_not_follow_the_close_frame() {
        let mut outbox = Outbox::default();
        outbox.push_event(frame("<event>"), gap);
        outbox.seal(&mut b"<close>".to_vec());
        assert_eq!(write(&mut outbox, usize::MAX), "<close>");
        assert!(outbox.is_empty());
    }

    #[test]
    fn channels_do_not_replace_each_other() {
        let mut outbox = Outbox::default();
        for channel in 0..CHANNELS {
            assert!(!outbox.set_pending(channel, frame(&channel.to_string())));
        }
        outbox.clear_pending(2);
        assert_eq!(write(&mut outbox, usize::MAX), "013");
    }

    #[test]
    fn messages_are_counted_with_their_last_byte_and_other_frames_are_none() {
        let mut outbox = Outbox::default();
        outbox.push_reply(Frame::new(Kind::Text, |bytes| bytes.extend_from_slice(b"reply")));
        outbox.set_pending(0, Frame::new(Kind::Text, |bytes| bytes.extend_from_slice(b"state")));
        assert_eq!(outbox.advance(6, |_| {}), Completed::default());
        let one = Completed { frames: 1, messages: 1, message_bytes: 7 };
        assert_eq!((outbox.advance(2, |_| {}), outbox.advance(6, |_| {})), (one, one));
        outbox.push_reply(frame("body"));
        outbox.seal(&mut b"<close>".to_vec());
        let other = Completed { frames: 2, ..Completed::default() };
        assert_eq!(outbox.advance(11, |_| {}), other);
    }

    #[test]
    fn an_empty_lane_keeps_a_small_buffer_and_returns_a_large_one() {
        let mut outbox = Outbox::default();
        outbox.control().extend_from_slice(&[b'x'; 4000]);
        write(&mut outbox, usize::MAX);
        assert_eq!(outbox.control.capacity(), 0);
        outbox.control().extend_from_slice(&[b'x'; 100]);
        write(&mut outbox, usize::MAX);
        assert!(outbox.control.capacity() >= 100);
    }

    proptest! {
        #[test]
        fn whatever_the_kernel_takes_every_frame_arrives_whole(
            steps in prop::collection::vec((0u8..5, 0usize..20), 1..200)
        ) {
            let mut outbox = Outbox::default();
            let mut wire = String::new();
            for (index, (step, amount)) in steps.into_iter().enumerate() {
                match step {
                    0 => outbox.control().extend_from_slice(format!("<c{index}>").as_bytes()),
                    1 if !outbox.is_full_of_replies() => outbox.push_reply(frame(&format!("<r{index}>"))),
                    2 => { outbox.set_pending(amount % CHANNELS, frame(&format!("<s{index}>"))); }
                    3 => { outbox.push_event(frame(&format!("<e{index}>")), gap); }
                    _ => wire.push_str(&write(&mut outbox, amount)),
                }
            }
            while !outbox.is_empty() {
                wire.push_str(&write(&mut outbox, usize::MAX));
            }
            prop_assert_eq!(outbox.reply_bytes(), 0);
            // Every "<" is followed by a kind, digits and ">" before the next "<".
            for part in wire.split_terminator('>') {
                prop_assert!(part.starts_with('<'), "torn frame {part:?} in {wire:?}");
                prop_assert!(!part[1..].contains('<'), "torn frame {part:?} in {wire:?}");
            }
        }
    }
}
