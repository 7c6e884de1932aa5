//! Every bound of the engine, fixed at start.
//!
//! Beyond a limit there is a clear refusal, never growth. The limits multiply out to one number,
//! [`Limits::memory_ceiling`] (in `memory.rs`, which knows the structures); with the handler's part
//! it is logged at start. Imports only the numbers of the engine's own tasks and of the envelopes,
//! and whether it can compress.

use std::time::Duration;

use super::compressor::Compressor;
use super::connection::frame::ENVELOPES;
use super::tasks::ENGINE_TASKS;

/// Bytes that one read takes at most, and that a partial request head or bytes left over from a
/// budget may hold. Half would refuse heads with large cookies; double buys nothing: a head that
/// needs more is an attack or a mistake.
pub const INPUT_BYTES_MAX: usize = 8 * 1024;

/// Frames that wait in a connection's outbox as answers. When they are there, the peer is not read.
pub const REPLIES_MAX: usize = 4;

/// Events that wait in a connection's outbox. Beyond them the oldest go, and a gap is told.
pub const EVENTS_MAX: usize = 16;

/// Places for state frames in a connection's outbox: one for each subscription.
pub const CHANNELS: usize = 4;

/// What the engine takes at most. `Limits::default()` is what the `vitald` program uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at a time, of every kind.
    pub connections_max: usize,
    /// Connections from one address, a v6 address by its /64; loopback and Unix sockets, where
    /// proxies come from, are exempt.
    pub connections_per_address_max: usize,
    /// Further connections that are only told 503. Beyond them new peers wait in the kernel's
    /// accept queue until one ends.
    pub refusals_max: usize,
    /// Input buffers ([`INPUT_BYTES_MAX`] each) for half-received request heads and input that
    /// waits for its turn; reserved at start, each taken only while needed.
    pub inputs_max: usize,
    /// Bytes of a request target.
    pub target_bytes_max: usize,
    /// Bytes of a WebSocket message, and of each frame of it.
    pub message_bytes_max: usize,
    /// Bytes of the answers that one connection is owed: an HTTP body, or messages to one client
    /// together. A WebSocket is not read while more than half of it waits. A body that many share
    /// may be longer: `long_bytes_max`.
    pub reply_bytes_max: usize,
    /// Bytes of an HTTP body that is longer than that: one of
    /// [`Context::encode_long`](super::handler::Context::encode_long).
    pub long_bytes_max: usize,
    /// Such bodies at a time, each shared by all who are sent it.
    pub long_frames_max: usize,
    /// Bytes of pongs and the like that wait for a peer before it is read no more.
    pub control_bytes_max: usize,
    /// Kinds of state that the handler publishes. Of each kind only the newest waits, as the same
    /// frame for all its readers of one envelope.
    pub classes_max: usize,
    /// Whether clients may have WebSocket messages compressed, and send theirs so (RFC 7692). A
    /// program without the feature `compression` agrees to it never.
    pub deflate: bool,
    /// Bytes of a frame that is shared by its readers, header included.
    pub shared_bytes_max: usize,
    /// Shared frames whose buffers are kept when nobody holds them. Beyond them a burst's are
    /// freed.
    pub frames_kept_max: usize,
    /// Bytes read from one connection in a turn.
    pub read_bytes_per_turn: usize,
    /// Bytes written to one connection in a turn.
    pub write_bytes_per_turn: usize,
    /// Messages or requests handled for one connection in a turn. A compressed message that is long
    /// to inflate counts for several.
    pub messages_per_turn: usize,
    /// Connections accepted in a turn.
    pub accepts_per_turn: usize,
    /// Tasks of the handler and of its connections, beside the engine's own.
    pub tasks_max: usize,
    /// From accept, or from a head's first byte, to the whole head.
    pub head_timeout: Duration,
    /// A kept-alive connection without a request.
    pub idle_timeout: Duration,
    /// From a request that the handler answers later to its answer.
    pub answer_timeout: Duration,
    /// Unsent bytes without any progress.
    pub stall_timeout: Duration,
    /// One frame from its first byte to its last, however steady the trickle.
    pub frame_timeout: Duration,
    /// Silence on a WebSocket after which it is pinged.
    pub ping_after: Duration,
    /// Silence on a WebSocket after which it is given up. More than `ping_after`.
    pub silence_timeout: Duration,
    /// An event stream on which nothing is sent, until it is sent a comment that shows that it is
    /// there. More than nothing.
    pub heartbeat_after: Duration,
    /// Each step of the end: the peer's close frame, the last bytes out, the peer's end.
    pub close_timeout: Duration,
    /// From the wish to stop until the connections left are dropped.
    pub drain_timeout: Duration,
    /// Bytes that a peer may send which has nothing more to say: one that is refused, while it is
    /// left to read the reason, and the reader of an event stream.
    pub linger_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 256,
            connections_per_address_max: 64,
            refusals_max: 16,
            inputs_max: 256,
            target_bytes_max: 2 * 1024,
            message_bytes_max: 4 * 1024,
            reply_bytes_max: 256 * 1024,
            // What a Prometheus server is told of a host of 256 cores and 36 interfaces has 560 KB;
            // half would refuse that, and double is for hosts that there are hardly any of.
            long_bytes_max: 1024 * 1024,
            // One that is kept, and one for each of three that read the one before slowly. With
            // half two slow readers would leave nothing for a third; double takes 4 MB more.
            long_frames_max: 4,
            control_bytes_max: 4 * 1024,
            classes_max: 32,
            deflate: true,
            shared_bytes_max: 64 * 1024,
            frames_kept_max: 64,
            read_bytes_per_turn: 64 * 1024,
            write_bytes_per_turn: 64 * 1024,
            messages_per_turn: 16,
            accepts_per_turn: 64,
            tasks_max: 64,
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            // What a handler does over several turns it does in a few seconds; half would cut off a
            // busy host's, double would leave a browser without a word for long.
            answer_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(30),
            ping_after: Duration::from_secs(30),
            silence_timeout: Duration::from_secs(45),
            // The interval that the HTML standard advises (section 9.2.7), for proxies that give up
            // on what is silent; many do so after 60 s, some after 30. Half would be twice the
            // wake-ups of a phone's radio; with double those would have given up.
            heartbeat_after: Duration::from_secs(15),
            close_timeout: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(5),
            linger_bytes_max: 64 * 1024,
        }
    }
}

impl Limits {
    /// Slots in the connection table: the served and the refused.
    pub fn slots(&self) -> usize {
        self.connections_max + self.refusals_max
    }

    /// Shared frames at a time. However slow the readers are, and however many, there is one for
    /// whoever takes what is sent: each connection holds one that it has begun; those that wait are
    /// the newest of each kind of state, and the last [`EVENTS_MAX`] events if all readers get the
    /// same; one is being made, and another being handed out, while those who have not been reached
    /// still have the one before; and of each there is one for each envelope.
    pub fn frames_max(&self) -> usize {
        self.connections_max + ENVELOPES * (self.classes_max + EVENTS_MAX + 2)
    }

    /// Whether WebSockets may agree on permessage-deflate.
    pub fn deflates(&self) -> bool {
        self.deflate && Compressor::IS_ABLE
    }

    /// Entries in the timer wheel: one a connection, one a task.
    pub fn timers(&self) -> usize {
        self.slots() + self.tasks_max + ENGINE_TASKS
    }

    /// How long a peer may take to answer a ping.
    pub fn pong_timeout(&self) -> Duration {
        self.silence_timeout.saturating_sub(self.ping_after)
    }

    /// Descriptors that the connections and `beside` others need.
    pub fn descriptors(&self, beside: usize) -> usize {
        self.slots() + beside
    }

    /// Whether the limits make sense together, or a sentence that says what does not.
    pub fn check(&self) -> Result<(), String> {
        if self.connections_max == 0 || self.connections_max > 1_000_000 {
            return Err(format!(
                "connections_max is {}: it must be between 1 and 1000000",
                self.connections_max
            ));
        }
        if self.connections_per_address_max == 0 {
            return Err("connections_per_address_max must be at least 1".to_owned());
        }
        if self.silence_timeout <= self.ping_after {
            return Err("silence_timeout must be longer than ping_after".to_owned());
        }
        if self.heartbeat_after.is_zero() {
            return Err("heartbeat_after must be more than nothing".to_owned());
        }
        let budgets = [
            self.messages_per_turn,
            self.accepts_per_turn,
            self.read_bytes_per_turn,
            self.write_bytes_per_turn,
        ];
        if budgets.contains(&0) {
            return Err("the budgets of a turn must be at least 1".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_limits_make_sense() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn limits_that_contradict_each_other_are_named() {
        let limits = Limits { silence_timeout: Duration::from_secs(1), ..Limits::default() };
        assert!(limits.check().unwrap_err().contains("silence_timeout"));
        let limits = Limits { heartbeat_after: Duration::ZERO, ..Limits::default() };
        assert!(limits.check().unwrap_err().contains("heartbeat_after"));
        for limits in [
            Limits { messages_per_turn: 0, ..Limits::default() },
            Limits { accepts_per_turn: 0, ..Limits::default() },
            Limits { read_bytes_per_turn: 0, ..Limits::default() },
            Limits { write_bytes_per_turn: 0, ..Limits::default() },
        ] {
            assert!(limits.check().unwrap_err().contains("budgets"));
        }
        let limits = Limits { connections_max: 0, ..Limits::default() };
        assert!(limits.check().unwrap_err().contains("connections_max"));
    }
}
