//! What the engine counts of itself. Plain numbers in fixed memory; recording never allocates.

use super::connection::CloseReason;

/// Counters since the start, and a few figures of now.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Passes of the loop.
    pub turns: u64,
    /// Of these, those whose poll was free to wait: there was nothing left to do.
    pub wakeups: u64,
    /// Connections taken from the listeners.
    pub accepted: u64,
    /// Of these, told 503 for lack of room.
    pub refused: u64,
    /// The most connections at one time.
    pub connections_high: u64,
    /// Connections that were released.
    pub ended: u64,
    /// Of these, those that an error ended ([`CloseReason::is_error`]).
    pub ended_by_error: u64,
    /// Attempts to be served, each counted as it is decided: a request that was answered or became
    /// a WebSocket, one that the engine refused, or a connection that was turned away. What a peer
    /// gives up is none: a connection on which nothing came (browsers keep some in reserve), half a
    /// head that ends or is reset, a reset while an answer is awaited.
    pub attempts: u64,
    /// Of these, those that failed: a head that was late, malformed or had no room, a wrong
    /// upgrade, an upgrade that the handler refuses, an answer that did not come in time, a
    /// connection turned away for lack of room, and what the handler answers with 503. What a drain
    /// refuses has not failed, nor has anything else that the handler answers, whatever it says.
    pub attempts_failed: u64,
    /// Requests handed to the handler.
    pub requests: u64,
    /// Messages handed to the handler.
    pub messages: u64,
    /// State frames put into outboxes.
    pub frames_published: u64,
    /// Of these, replaced by a newer one before they were begun.
    pub frames_conflated: u64,
    /// Shared frames that were not had: too long, or as many held as there may be.
    pub frames_refused: u64,
    /// Events that were dropped because their reader was slow, each told of by a gap.
    pub events_dropped: u64,
    /// WebSocket messages (answers and state) whose last byte the kernel has taken.
    pub messages_sent: u64,
    /// Bytes of their frames.
    pub message_bytes_sent: u64,
    /// Calls to read from a connection.
    pub reads: u64,
    /// Calls to write to a connection.
    pub writes: u64,
    /// Bytes received.
    pub bytes_read: u64,
    /// Bytes that the kernel has taken.
    pub bytes_written: u64,
    /// Failed attempts to accept, other than "nothing there".
    pub accept_errors: u64,
    closes: [u64; CloseReason::ALL.len()],
}

impl Stats {
    pub(super) fn new() -> Stats {
        Stats {
            turns: 0,
            wakeups: 0,
            accepted: 0,
            refused: 0,
            connections_high: 0,
            ended: 0,
            ended_by_error: 0,
            attempts: 0,
            attempts_failed: 0,
            requests: 0,
            messages: 0,
            frames_published: 0,
            frames_conflated: 0,
            frames_refused: 0,
            events_dropped: 0,
            messages_sent: 0,
            message_bytes_sent: 0,
            reads: 0,
            writes: 0,
            bytes_read: 0,
            bytes_written: 0,
            accept_errors: 0,
            closes: [0; CloseReason::ALL.len()],
        }
    }

    pub(super) fn count_close(&mut self, reason: CloseReason) {
        self.closes[reason as usize] += 1;
        self.ended += 1;
        self.ended_by_error += u64::from(reason.is_error());
    }

    /// Takes note of an attempt in the moment it is decided, so that in no stretch of time more
    /// have failed than there were.
    pub(super) fn count_attempt(&mut self, has_failed: bool) {
        self.attempts += 1;
        self.attempts_failed += u64::from(has_failed);
    }

    /// Connections that ended for `reason`.
    pub fn closes(&self, reason: CloseReason) -> u64 {
        self.closes[reason as usize]
    }
}

/// What a pool of buffers has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatistics {
    /// Buffers that are out now.
    pub live: usize,
    /// The most that there were at one time.
    pub high: usize,
    /// Times a buffer was used again.
    pub reused: u64,
}
