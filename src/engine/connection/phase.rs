//! The names of a connection's life: its phases, the four states they show as, and its ends.
//!
//! Owns the definitions alone. Which event leads from which phase to which is the table in
//! `connection/mod.rs`. A [`CloseReason`] is an end as a value: each is counted, logged and shown
//! by the API under its name, and no error bubbles up to the loop instead. Imports nothing of the
//! engine.

use std::fmt;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a request head.
    Head,
    /// Sending an answer; nothing is read meanwhile.
    Reply,
    /// An open WebSocket.
    Open,
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
    /// Not yet, or never to be, a WebSocket.
    Connecting,
    /// An open WebSocket.
    Connected,
    /// On the way out.
    Disconnecting,
    /// Over.
    Disconnected,
}

impl Phase {
    /// The state that this phase belongs to.
    pub fn state(self) -> State {
        match self {
            Phase::Head | Phase::Reply => State::Connecting,
            Phase::Open => State::Connected,
            Phase::Closing | Phase::Draining | Phase::Lingering => State::Disconnecting,
            Phase::Dead => State::Disconnected,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            State::Connecting => "CONNECTING",
            State::Connected => "CONNECTED",
            State::Disconnecting => "DISCONNECTING",
            State::Disconnected => "DISCONNECTED",
        })
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
    /// The peer ended the connection: between requests, or a WebSocket without a close frame.
    PeerLeft = "peer_left",
    /// The peer sent a close frame.
    PeerClosed = "peer_closed",
    /// The handler closed the WebSocket.
    Closed = "closed",
    /// The handler closed the WebSocket because of what its peer did.
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
        let states = [Head, Reply, Open, Closing, Draining, Lingering, Dead]
            .map(|phase| phase.state().to_string());
        assert_eq!(
            states,
            [
                "CONNECTING",
                "CONNECTING",
                "CONNECTED",
                "DISCONNECTING",
                "DISCONNECTING",
                "DISCONNECTING",
                "DISCONNECTED"
            ]
        );
    }
}
