//! One connection's state machine.
//!
//! A connection owns its phase, its outbox and what the protocol needs; it owns no socket and does
//! no I/O. The engine reads and writes for it (`engine/serve.rs`) and asks it what may be done now,
//! by when something must have happened, and what it means if it has not.
//!
//! | phase | state | holds | deadline |
//! |---|---|---|---|
//! | Head | CONNECTING | maybe an input buffer | head 5 s from accept or first byte; idle 30 s |
//! | Reply | CONNECTING | an answer, or nothing yet | answer 10 s; stall 10 s, frame 30 s |
//! | Open | CONNECTED | WebSocket state | ping at 30 s of silence, dead at 45 s; stall, frame |
//! | Streaming | CONNECTED | nothing | heartbeat at 15 s without a word of ours; stall, frame |
//! | Closing | DISCONNECTING | our close frame | 1 s |
//! | Draining | DISCONNECTING | last bytes | 1 s |
//! | Lingering | DISCONNECTING | nothing | 1 s |
//! | Dead | DISCONNECTED | a place on the doomed list | none |
//!
//! Which event leads from which phase to which is the table at [`Phase`]. Lingering is there
//! because closing a socket with unread input sends RST, which can destroy the last answer on its
//! way.

pub mod extension;
pub mod frame;
pub mod head;
mod incoming;
pub mod inflater;
pub mod outbox;
mod phase;
pub mod response;
mod traffic;
pub mod websocket;

use self::extension::Window;
use self::frame::Envelope;
use self::outbox::Outbox;
pub use self::phase::{CloseReason, Phase, State};
use self::traffic::Traffic;
use self::websocket::WebSocket;
use super::clock::Tick;
use super::handle::Handle;
use super::inputs::Input;
use super::limits::Limits;
use super::net::Peer;
use super::tasks::TaskState;
use super::wheel::TimerId;

/// What a connection's one deadline is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The request head must be whole.
    Head,
    /// The next request must begin.
    Idle,
    /// The handler must have answered.
    Answer,
    /// Some unsent bytes must leave, or the frame that is begun must be complete.
    Stall,
    /// A silent peer is to be pinged.
    Ping,
    /// A silent peer is to be given up.
    Silence,
    /// An event stream on which nothing is sent is to show that it is there.
    Heartbeat,
    /// This step of the end must be over.
    Close,
}

/// A connection, less its socket.
#[derive(Debug)]
pub struct Connection {
    /// Its name.
    pub(crate) handle: Handle,
    /// Where it comes from.
    pub(crate) peer: Peer,
    phase: Phase,
    /// What is to be sent.
    pub(crate) outbox: Outbox,
    /// Bytes that the outbox still held when it was last written out.
    pub(crate) queued_bytes: usize,
    /// What has been sent, and how fast the peer answers.
    pub(crate) traffic: Traffic,
    /// Bytes that were received and not consumed: a partial head, pipelined requests, or frames
    /// beyond a turn's budget.
    pub(crate) input: Option<Input>,
    /// Whether `input` may hold something whole. Cleared when parsing has found it partial.
    pub(crate) input_due: bool,
    /// From Open to the end.
    pub(crate) websocket: Option<Box<WebSocket>>,
    /// Of a WebSocket that agreed on permessage-deflate: how far back its client can look.
    pub(crate) deflates: Option<Window>,
    /// The connection's one entry in the wheel, and the instant it stands for. The entry may be
    /// early: the deadline moves without it and is looked at when it fires.
    pub(crate) timer: Option<(TimerId, Tick)>,
    /// Set by events, cleared by `WouldBlock` and by the end of input.
    pub(crate) readable: bool,
    /// Set by events, cleared by `WouldBlock`.
    pub(crate) writable: bool,
    /// On the ready list.
    pub(crate) is_ready: bool,
    /// The handler knows it as an open WebSocket or an event stream.
    pub(crate) is_member: bool,
    /// The task that an open WebSocket or an event stream is, until it is released: running or
    /// cancelling.
    pub(crate) stream: Option<TaskState>,
    /// Tasks of the handler have been spawned for it.
    pub(crate) owns_tasks: bool,
    /// This connection's next answer may be followed by another request.
    pub(crate) keep_alive: bool,
    /// In Reply: the answer that the handler still owes.
    awaited: Option<Awaited>,
    ping: Ping,
    /// The close that the handler has asked for and that is not yet carried out.
    pub(crate) close_wanted: Option<CloseWanted>,
    /// The first cause of the end.
    pub(crate) cause: Option<CloseReason>,
    /// Input thrown away while streaming and lingering.
    pub(crate) lingered_bytes: usize,
    since: Tick,
    opened: Tick,
    heard: Tick,
    /// When bytes last left.
    spoken: Tick,
    /// When the bytes that wait now began to wait, or last moved.
    stalled: Option<Tick>,
    /// When the frame that is half on the wire was begun. Control bytes count as one frame for as
    /// long as some wait: who asks faster than it reads has the time of one frame to catch up.
    frame_begun: Option<Tick>,
    /// When the first byte of the head at hand came.
    head_begun: Option<Tick>,
    /// Whether a request has been answered on this connection.
    answered: bool,
    /// Let in only to be told that there is no room.
    pub(crate) is_refused: bool,
    /// Set by `release`, asserted when dropped.
    pub(crate) is_released: bool,
}

/// An answer that is to come in a later turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// It is to a HEAD request, so its body is left out (RFC 9110, section 9.3.2).
    pub(crate) is_head: bool,
}

/// What has come of the ping that a silent peer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    /// None is due an answer.
    None,
    /// It waits behind what the peer has not yet taken.
    Queued,
    /// Its last byte has left, then.
    Sent(Tick),
}

/// A close that a handler asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseWanted {
    /// The close code (RFC 6455, section 7.4).
    pub code: u16,
    /// At most 123 bytes for the peer's log.
    pub text: &'static str,
    /// What it counts as.
    pub reason: CloseReason,
}

impl Connection {
    /// A connection that has just been accepted.
    pub(crate) fn new(handle: Handle, peer: Peer, now: Tick) -> Connection {
        Connection {
            handle,
            peer,
            phase: Phase::Head,
            outbox: Outbox::default(),
            queued_bytes: 0,
            traffic: Traffic::default(),
            input: None,
            input_due: false,
            websocket: None,
            deflates: None,
            timer: None,
            readable: false,
            writable: true,
            is_ready: false,
            is_member: false,
            stream: None,
            owns_tasks: false,
            keep_alive: true,
            awaited: None,
            ping: Ping::None,
            close_wanted: None,
            cause: None,
            lingered_bytes: 0,
            since: now,
            opened: now,
            heard: now,
            spoken: now,
            stalled: None,
            frame_begun: None,
            head_begun: None,
            answered: false,
            is_refused: false,
            is_released: false,
        }
    }

    /// Where it is in its life.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When it was accepted.
    pub fn opened(&self) -> Tick {
        self.opened
    }

    /// Moves on to `phase`. The one place where a phase changes.
    pub(crate) fn enter(&mut self, phase: Phase, now: Tick) {
        assert!(self.phase != Phase::Dead, "{} is dead and cannot be {phase:?}", self.handle);
        log::debug!(
            "connection={} peer={} from={:?} to={phase:?} state={}",
            self.handle,
            self.peer,
            self.phase,
            phase.state(),
        );
        if self.phase == Phase::Reply && phase == Phase::Head {
            self.answered = true;
            self.head_begun = self.input.as_ref().map(|_| now);
        }
        self.phase = phase;
        self.since = now;
        self.heard = now;
    }

    /// Takes note that bytes came from the peer.
    pub(crate) fn note_heard(&mut self, now: Tick) {
        self.heard = now;
        self.ping = Ping::None;
        if self.phase == Phase::Head {
            self.head_begun.get_or_insert(now);
        }
    }

    /// Takes note that a ping is in the outbox.
    pub(crate) fn note_pinged(&mut self) {
        self.ping = Ping::Queued;
    }

    /// Takes note that the peer is read again. What it has said meanwhile waits to be read: it has
    /// not been silent.
    pub(crate) fn note_read_again(&mut self, now: Tick) {
        self.heard = now;
        if let Ping::Sent(_) = self.ping {
            self.ping = Ping::Sent(now);
        }
    }

    /// Takes note that the answer to the request at hand comes later. The next step is Reply.
    pub(crate) fn await_answer(&mut self, awaited: Awaited) {
        debug_assert!(self.phase == Phase::Head, "one request is answered at a time");
        self.awaited = Some(awaited);
    }

    /// How what is sent to it is wrapped, if anything can be.
    pub(crate) fn envelope(&self) -> Envelope {
        match self.phase {
            Phase::Streaming => Envelope::Event,
            _ => self.deflates.map_or(Envelope::Message, Envelope::Deflated),
        }
    }

    /// Whether the handler owes it an answer.
    pub(crate) fn awaits(&self) -> bool {
        self.phase == Phase::Reply && self.awaited.is_some()
    }

    /// Ends the wait for an answer, which is to be queued now; `None` when none is awaited. What
    /// the answer's bytes may take is counted from here.
    pub(crate) fn take_awaited(&mut self, now: Tick) -> Option<Awaited> {
        if !self.awaits() {
            return None;
        }
        self.since = now;
        self.awaited.take()
    }

    /// Whether any byte of a head has come.
    pub(crate) fn has_begun_head(&self) -> bool {
        self.head_begun.is_some()
    }

    /// Takes note of what an attempt to write has left: whether bytes moved.
    pub(crate) fn note_written(&mut self, moved: bool, now: Tick) {
        if moved {
            self.spoken = now;
        }
        if self.outbox.is_empty() {
            self.stalled = None;
        } else if moved || self.stalled.is_none() {
            self.stalled = Some(now);
        }
        if self.ping == Ping::Queued && self.outbox.control_len() == 0 {
            self.ping = Ping::Sent(now);
        }
    }

    /// Takes note of how many frames completed and whether one is half on the wire.
    pub(crate) fn note_frames(&mut self, completed: usize, now: Tick) {
        if !self.outbox.is_mid_frame() {
            self.frame_begun = None;
        } else if completed > 0 || self.frame_begun.is_none() {
            self.frame_begun = Some(now);
        }
    }

    /// Whether input would be taken now: the phase reads, and the peer takes its answers.
    pub(crate) fn wants_input(&self, limits: &Limits) -> bool {
        match self.phase {
            Phase::Head | Phase::Closing | Phase::Lingering => true,
            Phase::Open => {
                self.close_wanted.is_none()
                    && !self.outbox.is_full_of_replies()
                    && self.outbox.reply_bytes() <= limits.reply_bytes_max / 2
                    && self.outbox.control_len() <= limits.control_bytes_max
            }
            // It has nothing to say: its bytes are thrown away, whatever waits for it.
            Phase::Streaming => self.close_wanted.is_none(),
            Phase::Reply | Phase::Draining | Phase::Dead => false,
        }
    }

    /// Whether something can be done for it without a new event.
    pub(crate) fn has_work(&self, limits: &Limits) -> bool {
        let can_read = (self.readable || self.input_due) && self.wants_input(limits);
        let can_write = self.writable && !self.outbox.is_empty() && self.phase != Phase::Dead;
        can_read || can_write || (self.close_wanted.is_some() && self.phase.is_connected())
    }

    /// By when something must have happened, and what; `None` for the dead.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<(Tick, Deadline)> {
        let stall = self.stall_deadline(limits);
        match self.phase {
            Phase::Head => Some(match (self.head_begun, self.answered) {
                (Some(begun), true) => (begun + limits.head_timeout, Deadline::Head),
                (None, true) => (self.since + limits.idle_timeout, Deadline::Idle),
                // From accept, whatever comes: a head that trickles in gains nothing by it.
                (_, false) => (self.opened + limits.head_timeout, Deadline::Head),
            }),
            Phase::Reply if self.awaits() => {
                Some((self.since + limits.answer_timeout, Deadline::Answer))
            }
            Phase::Reply => {
                Some(stall.unwrap_or((self.since + limits.stall_timeout, Deadline::Stall)))
            }
            Phase::Open => {
                let silence = self.silence_deadline(limits);
                [stall, silence].into_iter().flatten().min_by_key(|(due, _)| *due)
            }
            // What waits is as good a sign of life, as soon as the peer takes it.
            Phase::Streaming => Some(stall.unwrap_or_else(|| {
                (self.since.max(self.spoken) + limits.heartbeat_after, Deadline::Heartbeat)
            })),
            Phase::Closing | Phase::Draining | Phase::Lingering => {
                Some((self.since + limits.close_timeout, Deadline::Close))
            }
            Phase::Dead => None,
        }
    }

    /// `None` while silence says nothing: the ping has not left, or the peer is not read. Then
    /// bytes wait for it, and it is judged by how it takes them.
    fn silence_deadline(&self, limits: &Limits) -> Option<(Tick, Deadline)> {
        if self.stalled.is_some() && !self.wants_input(limits) {
            return None;
        }
        match self.ping {
            Ping::None => Some((self.heard + limits.ping_after, Deadline::Ping)),
            Ping::Queued => None,
            // From the ping, not from the silence before it: after a pause of the whole host a peer
            // has its time to answer all the same.
            Ping::Sent(at) => Some((at + limits.pong_timeout(), Deadline::Silence)),
        }
    }

    fn stall_deadline(&self, limits: &Limits) -> Option<(Tick, Deadline)> {
        let stall = self.stalled? + limits.stall_timeout;
        let frame = self.frame_begun.map(|begun| begun + limits.frame_timeout);
        Some((frame.map_or(stall, |frame| frame.min(stall)), Deadline::Stall))
    }
}

impl Drop for Connection {
    /// A connection that is dropped without having been released is a leak in the making.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            debug_assert!(self.is_released, "{} is dropped without release", self.handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        let mut connection =
            Connection::new(Handle { slot: 0, generation: 0 }, Peer::Unix, Tick::ZERO);
        connection.is_released = true;
        connection
    }

    fn seconds(seconds: u64) -> Tick {
        Tick::from_millis(seconds * 1000)
    }

    #[test]
    fn a_trickling_first_head_gains_no_time() {
        let (limits, mut connection) = (Limits::default(), connection());
        for second in 1..5 {
            connection.note_heard(seconds(second));
            assert_eq!(connection.deadline(&limits), Some((seconds(5), Deadline::Head)));
        }
    }

    #[test]
    fn between_requests_a_connection_may_idle_and_a_begun_head_may_not() {
        let (limits, mut connection) = (Limits::default(), connection());
        connection.enter(Phase::Reply, seconds(1));
        connection.enter(Phase::Head, seconds(2));
        assert_eq!(connection.deadline(&limits), Some((seconds(32), Deadline::Idle)));
        connection.note_heard(seconds(10));
        assert_eq!(connection.deadline(&limits), Some((seconds(15), Deadline::Head)));
    }

    #[test]
    fn a_silent_websocket_is_pinged_and_then_given_up() {
        let (limits, mut connection) = (Limits::default(), connection());
        connection.enter(Phase::Open, seconds(1));
        assert_eq!(connection.deadline(&limits), Some((seconds(31), Deadline::Ping)));
        connection.note_pinged();
        connection.note_written(true, seconds(31));
        assert_eq!(connection.deadline(&limits), Some((seconds(46), Deadline::Silence)));
        connection.note_heard(seconds(32));
        assert_eq!(connection.deadline(&limits), Some((seconds(62), Deadline::Ping)));
    }

    #[test]
    fn a_ping_that_a_pause_has_made_late_leaves_the_time_to_answer() {
        let (limits, mut connection) = (Limits::default(), connection());
        connection.enter(Phase::Open, seconds(1));
        connection.note_pinged();
        connection.note_written(true, seconds(3600));
        assert_eq!(connection.deadline(&limits), Some((seconds(3615), Deadline::Silence)));
    }

    #[test]
    fn unsent_bytes_stall_from_their_last_progress() {
        let (limits, mut connection) = (Limits::default(), connection());
        connection.enter(Phase::Open, seconds(1));
        connection.outbox.control().extend_from_slice(b"xxxx");
        connection.note_written(false, seconds(2));
        connection.note_written(false, seconds(3));
        assert_eq!(connection.deadline(&limits), Some((seconds(12), Deadline::Stall)));
        connection.outbox.advance(1, |_| {});
        connection.note_written(true, seconds(4));
        assert_eq!(connection.deadline(&limits), Some((seconds(14), Deadline::Stall)));
        connection.outbox.advance(3, |_| {});
        connection.note_written(true, seconds(5));
        assert_eq!(connection.deadline(&limits), Some((seconds(31), Deadline::Ping)));
    }

    #[test]
    fn a_frame_that_only_trickles_out_has_its_own_deadline() {
        let (limits, mut connection) = (Limits::default(), connection());
        connection.enter(Phase::Open, seconds(1));
        connection.outbox.control().extend_from_slice(&[0; 100]);
        for second in (2..=29).step_by(9) {
            let completed = connection.outbox.advance(1, |_| {});
            connection.note_frames(completed.frames, seconds(second));
            connection.note_written(true, seconds(second));
            connection.note_heard(seconds(second));
        }
        assert_eq!(connection.deadline(&limits), Some((seconds(32), Deadline::Stall)));
    }

    #[test]
    fn a_peer_that_does_not_take_its_answers_is_not_read() {
        let (limits, mut connection) = (Limits::default(), connection());
        connection.enter(Phase::Open, Tick::ZERO);
        assert!(connection.wants_input(&limits));
        connection.outbox.control().resize(limits.control_bytes_max + 1, 0);
        assert!(!connection.wants_input(&limits));
    }

    #[test]
    #[should_panic(expected = "is dead")]
    fn nothing_rises_from_the_dead() {
        let mut connection = connection();
        connection.enter(Phase::Dead, Tick::ZERO);
        connection.enter(Phase::Open, Tick::ZERO);
    }
}
