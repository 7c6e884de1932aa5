//! What can happen to a connection, as facts, and what its peer can get: the names, and the bytes.
//!
//! [`Event::name`] and [`Sent::name`] are the words of the table in the docs of `Phase`.

use crate::frames::UPGRADE;

/// One whole thing that a peer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Nothing, or something cut off.
    Nothing,
    /// An HTTP answer.
    Status(u16),
    /// A message.
    Message,
    /// A ping.
    Ping,
    /// A pong.
    Pong,
    /// The comment that shows an event stream's reader that it is there.
    Heartbeat,
    /// A close frame.
    Close(u16),
}

impl Sent {
    /// Its name in the docs. Codes that a peer or the handler chose have none there.
    pub fn name(self) -> String {
        match self {
            Sent::Nothing => "nothing".to_owned(),
            Sent::Status(200 | 404) | Sent::Message => "answer".to_owned(),
            Sent::Status(status) => status.to_string(),
            Sent::Ping => "ping".to_owned(),
            Sent::Pong => "pong".to_owned(),
            Sent::Heartbeat => "comment".to_owned(),
            Sent::Close(1000) => "close frame".to_owned(),
            Sent::Close(code) => format!("close {code}"),
        }
    }

    /// The first thing in `bytes`; nothing, if it is not whole.
    pub fn first(bytes: &[u8]) -> Sent {
        if bytes.starts_with(b"HTTP/1.1 ") {
            return Sent::first_answer(bytes);
        }
        if bytes.first().is_some_and(|first| b":d".contains(first)) {
            let is_whole = bytes.windows(2).any(|two| two == b"\n\n");
            let sent = if bytes[0] == b':' { Sent::Heartbeat } else { Sent::Message };
            return if is_whole { sent } else { Sent::Nothing };
        }
        let Some((&[opcode, length], rest)) = bytes.split_first_chunk() else {
            return Sent::Nothing;
        };
        match (opcode, rest.get(..length.into())) {
            (_, None) => Sent::Nothing,
            (0x81, _) => Sent::Message,
            (0x88, Some([high, low, ..])) => Sent::Close(u16::from_be_bytes([*high, *low])),
            (0x89, _) => Sent::Ping,
            (0x8a, _) => Sent::Pong,
            (opcode, rest) => panic!("a frame of kind {opcode:#x}: {rest:?}"),
        }
    }

    fn first_answer(bytes: &[u8]) -> Sent {
        let text = String::from_utf8_lossy(bytes);
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { return Sent::Nothing };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        let status = head[9..12].parse().expect("a status");
        if rest.len() < length { Sent::Nothing } else { Sent::Status(status) }
    }
}

macro_rules! events {
    ($($name:ident = $text:literal,)*) => {
        /// Something that has happened to a connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event {
            $($name,)*
        }

        impl Event {
            /// Every event.
            pub const ALL: &[Event] = &[$(Event::$name,)*];

            /// Its name in the docs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Event::$name => $text,)*
                }
            }
        }
    };
}

events! {
    Request = "request",
    LastRequest = "last request",
    Requests = "several requests",
    RequestsNoRoom = "several requests, no room",
    RequestLater = "request, answered later",
    RequestLaterInDrain = "request, answered later, in a drain",
    StreamRequest = "event stream",
    StreamHeadAlone = "event stream, head alone",
    LateStream = "event stream in a drain",
    Upgrade = "upgrade",
    UpgradeAndMore = "upgrade and a message",
    BadUpgrade = "upgrade, unknown version",
    LateUpgrade = "upgrade in a drain",
    HalfHead = "half a head",
    HalfHeadNoRoom = "half a head, no room",
    BadHead = "malformed head",
    LargeHead = "head too large",
    CloseFrame = "close frame",
    PingFrame = "ping",
    PongFrame = "pong",
    TextFrame = "message",
    BadFrame = "protocol error",
    LargeFrame = "message too big",
    BadText = "text not UTF-8",
    Flood = "more input than may linger",
    PeerEnds = "peer's end",
    PeerEndsOwed = "peer's end, answers owed",
    PeerResets = "reset",
    SocketFails = "another error",
    AllSent = "all sent",
    LastSent = "last answer sent",
    NextWaits = "answer sent, a request waits",
    AnswerComes = "answer comes",
    PeerEndsAwaiting = "peer's end, answer awaited",
    PeerResetsAwaiting = "reset, answer awaited",
    HandlerCloses = "handler's close",
    HeadLate = "head deadline, nothing came",
    HeadCut = "head deadline, half came",
    IdleLate = "idle deadline",
    AnswerLate = "answer deadline",
    StallLate = "stall deadline",
    FrameLate = "frame deadline",
    PingDue = "ping deadline",
    SilenceLate = "silence deadline",
    HeartbeatDue = "heartbeat deadline",
    CloseLate = "close deadline",
    DrainBegins = "drain begun",
    DrainBeginsAwaiting = "drain begun, answer awaited",
    DrainBeginsMidHead = "drain begun amid a head",
    DrainEnds = "drain's time over",
    TurnedFull = "turned away, full",
    TurnedAddress = "turned away, address full",
    TurnedUntold = "turned away, no room to say so",
}

impl Event {
    /// Whether it happens to a connection whose answer has not come.
    pub fn is_while_awaiting(self) -> bool {
        use Event::*;
        matches!(
            self,
            AnswerComes | PeerEndsAwaiting | PeerResetsAwaiting | AnswerLate | DrainBeginsAwaiting
        )
    }

    /// What the peer sends, if that is what happens.
    pub fn bytes(self) -> Vec<u8> {
        use Event::*;
        match self {
            Request => GET.to_vec(),
            LastRequest => LAST.to_vec(),
            Requests | RequestsNoRoom => [GET, MISSING].concat(),
            RequestLater | RequestLaterInDrain => LATER.to_vec(),
            StreamRequest | LateStream => STREAM.to_vec(),
            StreamHeadAlone => {
                // Long enough to be a whole frame as well, to those who read frames.
                let stream = String::from_utf8_lossy(STREAM).replace("GET", "HEAD");
                stream
                    .replace("Host: h", "Host: h\r\nX: 0123456789012345678901234567890123456789")
                    .into_bytes()
            }
            Upgrade => UPGRADE.to_vec(),
            UpgradeAndMore => [UPGRADE, &text("hello")].concat(),
            BadUpgrade => {
                let upgrade = String::from_utf8_lossy(UPGRADE);
                upgrade.replace("Version: 13", "Version: 12").into_bytes()
            }
            LateUpgrade => UPGRADE.to_vec(),
            HalfHead | HalfHeadNoRoom => HALF.to_vec(),
            BadHead => BAD.to_vec(),
            LargeHead => [&GET[..GET.len() - 2], b"X: ", &[b'x'; 9000]].concat(),
            CloseFrame => vec![0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8],
            PingFrame => vec![0x89, 0x80, 0, 0, 0, 0],
            PongFrame => vec![0x8a, 0x80, 0, 0, 0, 0],
            TextFrame => text("hello"),
            // Not masked.
            BadFrame => b"\x81\x05hello".to_vec(),
            LargeFrame => [&[0x81, 0xfe, 0x10, 0x01, 0, 0, 0, 0][..], &[b'x'; 4097]].concat(),
            BadText => vec![0x81, 0x81, 0, 0, 0, 0, 0xff],
            Flood => vec![0; 70_000],
            _ => Vec::new(),
        }
    }
}

/// A request after which another may follow.
pub const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// One that is answered when the test says so. Begins like [`GET`].
pub const LATER: &[u8] = b"GET /later HTTP/1.1\r\nHost: h\r\n\r\n";

/// One for an event stream. Begins like [`GET`].
pub const STREAM: &[u8] = b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n";

/// One that is answered with 404.
pub const MISSING: &[u8] = b"GET /missing HTTP/1.1\r\nHost: h\r\n\r\n";

/// One after which nothing follows.
pub const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// The beginning of [`GET`] and of [`UPGRADE`] as well.
pub const HALF: &[u8] = b"GET /";

/// No head.
pub const BAD: &[u8] = b"NONSENSE\r\n\r\n";

/// A client's text frame of at most 125 bytes, masked with zeros.
pub fn text(payload: &str) -> Vec<u8> {
    [&[0x81, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload.as_bytes()].concat()
}
