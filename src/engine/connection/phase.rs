//! The names of a connection's life: its phases, the four states they show as, and its ends.
//!
//! Owns the definitions alone; which event leads from which phase to which is the table at
//! [`Phase`]. A [`CloseReason`] is an end as a value: each is counted, logged and shown by the API
//! under its name, and no error bubbles up to the loop instead. Imports nothing of the engine.

use std::fmt;

/// Where a connection is in its life.
///
/// Which event leads where; `tests/machine.rs` holds the engine and this table to each other. The
/// action is what the peer is sent, then what else is done. An end counts as its first cause: where
/// the last column is empty it is not decided yet (Head, Reply, Open, Streaming) or has been
/// before.
///
/// | phase | event | action | next | counts as |
/// |---|---|---|---|---|
/// | Head | request | answer | Reply | |
/// | Head | last request | answer; it says that it is the last | Reply | Finished |
/// | Head | several requests | answer; the rest is kept | Reply | |
/// | Head | several requests, no room | answer; it says that it is the last | Reply | Finished |
/// | Head | request, answered later | nothing | Reply | |
/// | Head | request, answered later, in a drain | 503 | Draining | Shutdown |
/// | Head | event stream | answer; its head, and the handler is told | Streaming | |
/// | Head | event stream, head alone | answer; it says that it is the last | Reply | Finished |
/// | Head | event stream in a drain | 503 | Draining | Shutdown |
/// | Head | upgrade | 101; the handler is told | Open | |
/// | Head | upgrade and a message | 101; then the message is handled | Open | |
/// | Head | upgrade, unknown version | 426; 400 if it is wrong otherwise | Draining | BadRequest |
/// | Head | upgrade in a drain | 503 | Draining | Shutdown |
/// | Head | half a head, no room | 503 | Draining | Full |
/// | Head | malformed head | 400; or the status of what is wrong | Draining | BadRequest |
/// | Head | head too large | 431; 414 if it is the target | Draining | BadRequest |
/// | Head | peer's end | nothing | Dead | PeerLeft |
/// | Head | reset | nothing | Dead | Reset |
/// | Head | another error | nothing | Dead | Failed |
/// | Head | head deadline, nothing came | nothing | Dead | HeadTimeout |
/// | Head | head deadline, half came | 408 | Draining | HeadTimeout |
/// | Head | idle deadline | nothing | Dead | IdleTimeout |
/// | Head | drain begun | nothing | Dead | Shutdown |
/// | Head | drain's time over | nothing | Dead | ShutdownForced |
/// | Head | turned away, full | 503 | Draining | Full |
/// | Head | turned away, address full | 503 | Draining | AddressFull |
/// | Head | turned away, no room to say so | nothing | Dead | AddressFull |
/// | Reply | reset | nothing | Dead | Reset |
/// | Reply | another error | nothing | Dead | Failed |
/// | Reply | answer comes | answer | Reply | |
/// | Reply | answer deadline | 503 | Draining | Unanswered |
/// | Reply | drain begun, answer awaited | 503 | Draining | Shutdown |
/// | Reply | reset, answer awaited | nothing | Dead | Reset |
/// | Reply | all sent | answer; that was it | Head | |
/// | Reply | last answer sent | answer; that was it, and our end | Lingering | Finished |
/// | Reply | answer sent, a request waits | answer; to the next, by way of Head | Reply | |
/// | Reply | stall deadline | nothing | Dead | SlowReader |
/// | Reply | frame deadline | nothing | Dead | SlowReader |
/// | Reply | drain begun | answer; it becomes the last | Reply | Finished |
/// | Reply | drain's time over | nothing | Dead | ShutdownForced |
/// | Open | close frame | close frame; with its code | Draining | PeerClosed |
/// | Open | ping | pong | Open | |
/// | Open | message | answer; if the handler has one | Open | |
/// | Open | protocol error | close 1002 | Draining | ProtocolError |
/// | Open | message too big | close 1009 | Draining | TooBig |
/// | Open | text not UTF-8 | close 1007 | Draining | ProtocolError |
/// | Open | peer's end | nothing | Dead | PeerLeft |
/// | Open | peer's end, answers owed | answer; state is dropped | Draining | PeerLeft |
/// | Open | reset | nothing | Dead | Reset |
/// | Open | another error | nothing | Dead | Failed |
/// | Open | handler's close | close frame; with its code, after answers | Closing | Closed |
/// | Open | stall deadline | nothing; a close frame could not leave | Dead | SlowReader |
/// | Open | frame deadline | nothing; a close frame could not leave | Dead | SlowReader |
/// | Open | ping deadline | ping | Open | |
/// | Open | silence deadline | nothing | Dead | Silent |
/// | Open | drain begun | close 1001 | Closing | Shutdown |
/// | Streaming | more input than may linger | nothing | Draining | Policy |
/// | Streaming | peer's end | nothing | Dead | PeerLeft |
/// | Streaming | peer's end, answers owed | answer; state is dropped | Draining | PeerLeft |
/// | Streaming | reset | nothing | Dead | Reset |
/// | Streaming | another error | nothing | Dead | Failed |
/// | Streaming | handler's close | nothing; after answers | Draining | Closed |
/// | Streaming | stall deadline | nothing | Dead | SlowReader |
/// | Streaming | frame deadline | nothing | Dead | SlowReader |
/// | Streaming | heartbeat deadline | comment | Streaming | |
/// | Streaming | drain begun | nothing; after answers | Draining | Shutdown |
/// | Closing | close frame | nothing | Draining | |
/// | Closing | protocol error | nothing | Draining | |
/// | Closing | message too big | nothing | Draining | |
/// | Closing | text not UTF-8 | nothing | Draining | |
/// | Closing | peer's end | nothing | Dead | |
/// | Closing | peer's end, answers owed | close frame; the last of what is owed | Draining | |
/// | Closing | reset | nothing | Dead | |
/// | Closing | another error | nothing | Dead | |
/// | Closing | close deadline | nothing; counted as forced | Dead | |
/// | Closing | drain's time over | nothing; counted as forced | Dead | |
/// | Draining | reset | nothing | Dead | |
/// | Draining | another error | nothing | Dead | |
/// | Draining | all sent | the rest; and our end | Lingering | |
/// | Draining | close deadline | nothing | Dead | |
/// | Draining | drain's time over | nothing | Dead | |
/// | Lingering | more input than may linger | nothing | Dead | |
/// | Lingering | peer's end | nothing | Dead | |
/// | Lingering | reset | nothing | Dead | |
/// | Lingering | another error | nothing | Dead | |
/// | Lingering | close deadline | nothing | Dead | |
/// | Lingering | drain's time over | nothing | Dead | |
///
/// Whatever is not listed leaves a connection where it is, and its peer is sent nothing for it:
///
/// - Head reads what comes as request heads (a frame is a malformed one) and keeps half a head.
///   Open and Closing read frames (a head is a protocol error); Closing takes no message to the
///   handler and answers no ping. Streaming and Lingering throw away what comes.
/// - Reply and Draining do not read: bytes and the peer's end wait for the next phase that does.
///   So a peer that has said its end while its answer is awaited gets the answer all the same. A
///   reset is found as soon as the network tells of it, at the latest when the answer is written.
/// - The handler can close what is Open or Streaming and nothing else. A drain leaves alone a head
///   that has begun, and what is on its way out.
/// - Draining with nothing to send is over in the same turn.
/// - Whoever leaves Open or Streaming is reported to the handler before anything else is done,
///   once; nothing can be sent to it then.
/// - Dead has no way out. It is released at the end of the turn and its slot is not used before
///   that, so nothing that is noted for it can reach its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a request head.
    Head,
    /// Sending an answer, or awaiting it from the handler; nothing is read meanwhile.
    Reply,
    /// An open WebSocket.
    Open,
    /// An event stream: the body of an answer that goes on until the connection ends.
    Streaming,
    /// We have sent a close frame and wait for the peer's.
    Closing,
    /// Sending the last bytes.
    Draining,
    /// All is sent and we have said so; waiting for the peer's end.
    Lingering,
    /// Over; released at the end of the turn.
    Dead,
}

/// The four states that the API and the logs show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not yet, or never to be, a subscriber.
    Connecting,
    /// A subscriber: an open WebSocket or an event stream.
    Connected,
    /// On the way out.
    Disconnecting,
    /// Over.
    Disconnected,
}

impl Phase {
    /// The phase's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Head => "head",
            Phase::Reply => "reply",
            Phase::Open => "open",
            Phase::Streaming => "streaming",
            Phase::Closing => "closing",
            Phase::Draining => "draining",
            Phase::Lingering => "lingering",
            Phase::Dead => "dead",
        }
    }

    /// The state that this phase belongs to.
    pub fn state(self) -> State {
        match self {
            Phase::Head | Phase::Reply => State::Connecting,
            Phase::Open | Phase::Streaming => State::Connected,
            Phase::Closing | Phase::Draining | Phase::Lingering => State::Disconnecting,
            Phase::Dead => State::Disconnected,
        }
    }

    /// Whether it is that of a subscriber, who can be sent messages.
    pub fn is_connected(self) -> bool {
        self.state() == State::Connected
    }
}

impl State {
    /// Every state, in the order of a connection's life.
    pub const ALL: [State; 4] =
        [State::Connecting, State::Connected, State::Disconnecting, State::Disconnected];

    /// The state's name in logs and in the API.
    pub fn name(self) -> &'static str {
        match self {
            State::Connecting => "CONNECTING",
            State::Connected => "CONNECTED",
            State::Disconnecting => "DISCONNECTING",
            State::Disconnected => "DISCONNECTED",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

macro_rules! close_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a connection ended. The first cause counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum CloseReason {
            $($(#[$doc])* $name,)*
        }

        impl CloseReason {
            /// Every reason, in the order of their counters.
            pub const ALL: &[CloseReason] = &[$(CloseReason::$name,)*];

            /// The reason's name in logs and in the API.
            pub fn name(self) -> &'static str {
                match self {
                    $(CloseReason::$name => $text,)*
                }
            }
        }
    };
}

close_reasons! {
    /// The last answer of an HTTP connection was sent.
    Finished = "finished",
    /// The peer ended the connection: between requests, an event stream, or a WebSocket without a
    /// close frame.
    PeerLeft = "peer_left",
    /// The peer sent a close frame.
    PeerClosed = "peer_closed",
    /// The handler closed the WebSocket or the event stream.
    Closed = "closed",
    /// The handler closed the WebSocket because of what its peer did, or the peer of an event
    /// stream said too much.
    Policy = "policy",
    /// A drain ended it in order.
    Shutdown = "shutdown",
    /// A drain's time was over, or the engine was dropped.
    ShutdownForced = "shutdown_forced",
    /// A request head did not become whole in time.
    HeadTimeout = "head_timeout",
    /// No further request came.
    IdleTimeout = "idle_timeout",
    /// A request that is refused by its form.
    BadRequest = "bad_request",
    /// There was no room for it.
    Full = "full",
    /// Its address had its share already.
    AddressFull = "address_full",
    /// The handler did not answer a request in time.
    Unanswered = "unanswered",
    /// The peer did not take what was sent to it.
    SlowReader = "slow_reader",
    /// The peer did not answer a ping.
    Silent = "silent",
    /// The peer broke the WebSocket protocol.
    ProtocolError = "protocol_error",
    /// The peer sent a message over the limit.
    TooBig = "too_big",
    /// The peer reset the connection.
    Reset = "reset",
    /// The system reported another error.
    Failed = "failed",
}

impl CloseReason {
    /// Whether an error ended the connection: the peer broke the protocol or its bounds, reset the
    /// connection, took nothing or was silent; or the system or the handler failed. A peer that
    /// leaves, with or without a word, is none, nor is an end in order, a drain, or a request that
    /// was refused for its form, its lateness or for lack of room.
    pub fn is_error(self) -> bool {
        match self {
            CloseReason::Policy
            | CloseReason::ProtocolError
            | CloseReason::TooBig
            | CloseReason::SlowReader
            | CloseReason::Silent
            | CloseReason::Reset
            | CloseReason::Failed
            | CloseReason::Unanswered => true,
            CloseReason::Finished
            | CloseReason::PeerLeft
            | CloseReason::PeerClosed
            | CloseReason::Closed
            | CloseReason::Shutdown
            | CloseReason::ShutdownForced
            | CloseReason::HeadTimeout
            | CloseReason::IdleTimeout
            | CloseReason::BadRequest
            | CloseReason::Full
            | CloseReason::AddressFull => false,
        }
    }

    /// Whether the end was the peer's doing and not a decision of ours.
    pub fn is_the_peers(self) -> bool {
        matches!(
            self,
            CloseReason::Finished
                | CloseReason::PeerLeft
                | CloseReason::PeerClosed
                | CloseReason::Reset
                | CloseReason::Failed
        )
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_belongs_to_one_of_the_four_states() {
        use Phase::*;
        let states = [Head, Reply, Open, Streaming, Closing, Draining, Lingering, Dead]
            .map(|phase| phase.state().to_string());
        assert_eq!(
            states,
            [
                "CONNECTING",
                "CONNECTING",
                "CONNECTED",
                "CONNECTED",
                "DISCONNECTING",
                "DISCONNECTING",
                "DISCONNECTING",
                "DISCONNECTED"
            ]
        );
    }
}
