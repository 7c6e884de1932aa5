//! What a simulated client hears: answers and frames, each held against what the server may say.
//!
//! Bytes are taken as they come and checked as soon as they make something whole. Nothing may
//! follow a close frame, a last answer or the end; numbers of states rise; events are consecutive
//! but for gaps that say exactly how many are missing; what was said is answered in order. An event
//! stream is its events and, between them, comments; every byte of it is one or the other's.

use vitald::engine::clock::Tick;

use super::frames::{BINARY, CLOSE, Frame, PING, PONG, TEXT, take_frames, take_inflated_frames};

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// What has been heard.
#[derive(Debug, Default)]
pub struct Hearing {
    bytes: Vec<u8>,
    pub answers: Vec<Answer>,
    /// The handshake has succeeded: frames follow, or events.
    pub is_open: bool,
    /// It is an event stream.
    pub is_stream: bool,
    /// An event stream has been told that it ends.
    pub is_farewelled: bool,
    pub heartbeats: u64,
    /// The number of the newest event that has one.
    id: Option<u64>,
    /// When anything last came.
    pub heard_at: Option<Tick>,
    /// The handshake has agreed on permessage-deflate.
    deflates: bool,
    pub is_greeted: bool,
    /// The last answer has said that it is the last.
    pub is_last: bool,
    /// Numbers that were said back, in order.
    pub said: Vec<u64>,
    /// Pings that have not been answered.
    pub pings: u64,
    state: Option<u64>,
    slow: Option<u64>,
    event: Option<u64>,
    missed: u64,
    pub gaps: u64,
    /// When the newest state came.
    pub state_at: Option<Tick>,
    /// The close frame's code, 1005 if it had none (RFC 6455, section 7.1.5).
    pub close_code: Option<u16>,
}

impl Hearing {
    /// Takes bytes in.
    pub fn hear(&mut self, bytes: &[u8], now: Tick) {
        if bytes.is_empty() {
            return;
        }
        assert!(self.close_code.is_none(), "bytes after the close frame");
        assert!(!self.is_last, "bytes after the last answer");
        self.bytes.extend_from_slice(bytes);
        self.heard_at = Some(now);
        while !self.is_open && self.take_answer() {}
        if self.is_stream {
            self.hear_events(now);
        } else if self.is_open {
            let take = if self.deflates { take_inflated_frames } else { take_frames };
            for frame in take(&mut self.bytes) {
                self.hear_frame(frame, now);
            }
        }
    }

    /// Whether something is half heard.
    pub fn is_mid_speech(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The bodies of all answers.
    pub fn bodies(&self) -> Vec<String> {
        self.answers.iter().map(|answer| answer.body.clone()).collect()
    }

    /// Whether the newest answer is a refusal with this status.
    pub fn was_refused_with(&self, status: u16) -> bool {
        self.answers.last().is_some_and(|answer| answer.status == status)
    }

    fn take_answer(&mut self) -> bool {
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { return false };
        let head = String::from_utf8(self.bytes[..end].to_vec()).expect("a head is ASCII");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status: u16 = status.and_then(|digits| digits.parse().ok()).expect("a status line");
        if status == 101 {
            assert!(self.answers.is_empty(), "an upgrade comes first");
            self.is_open = true;
            self.deflates = head.contains("\r\nSec-WebSocket-Extensions: permessage-deflate;");
            self.bytes.drain(..end + 4);
            return false;
        }
        let field = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim())
        };
        if field("Content-Type:") == Some("text/event-stream") {
            assert!(field("Content-Length:").is_none(), "a stream has no length: {head}");
            assert!(field("Connection:") == Some("close"), "it ends with its connection: {head}");
            (self.is_open, self.is_stream) = (true, true);
            self.bytes.drain(..end + 4);
            return false;
        }
        let length = field("Content-Length:").map_or(0, |value| value.parse().expect("a length"));
        if self.bytes.len() < end + 4 + length {
            return false;
        }
        let body = self.bytes[end + 4..end + 4 + length].to_vec();
        self.bytes.drain(..end + 4 + length);
        self.is_last = field("Connection:") == Some("close");
        assert!(!self.is_last || self.bytes.is_empty(), "bytes after the last answer");
        let body = String::from_utf8(body).expect("these bodies are text");
        self.answers.push(Answer { status, body });
        true
    }

    /// Takes the whole events and comments off the front.
    fn hear_events(&mut self, now: Tick) {
        while let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") {
            assert!(!self.is_farewelled, "something after the farewell");
            let event: Vec<u8> = self.bytes.drain(..end + 2).collect();
            let event = std::str::from_utf8(&event[..end]).expect("a stream is UTF-8");
            if event == ":" {
                self.heartbeats += 1;
                continue;
            }
            let (id, data) = match event.split_once('\n') {
                Some((id, data)) => (id.strip_prefix("id: "), data),
                None => (None, event),
            };
            let words = data.strip_prefix("data: ").filter(|words| !words.contains('\n'));
            let words = words.unwrap_or_else(|| panic!("no event: {event:?}"));
            self.hear_words(words, now);
            assert_eq!(id.is_some(), words.contains(r#""metrics""#), "{event:?}");
            if let Some(id) = id {
                let id = id.parse().expect("a number");
                assert_eq!(id, number(words), "{event:?}");
                rises(&mut self.id, id);
            }
        }
        assert!(!self.is_farewelled || self.bytes.is_empty(), "bytes after the farewell");
    }

    fn hear_frame(&mut self, frame: Frame, now: Tick) {
        assert!(self.close_code.is_none(), "{frame:?} after the close frame");
        match frame.opcode {
            PING => self.pings += 1,
            PONG | BINARY => {}
            CLOSE => {
                let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                self.close_code = Some(code.unwrap_or(1005));
            }
            TEXT => {
                let words = String::from_utf8(frame.payload).expect("text has been checked");
                self.hear_words(&words, now);
            }
            other => panic!("opcode {other}"),
        }
    }

    fn hear_words(&mut self, words: &str, now: Tick) {
        let kind = words.strip_prefix(r#"{"type":""#).and_then(|rest| rest.split('"').next());
        if kind == Some("hello") {
            assert!(!self.is_greeted, "it greets once");
            self.is_greeted = true;
            return;
        }
        assert!(self.is_greeted, "it greets first, before {words}");
        match kind {
            Some("flood") => {}
            Some("farewell") if self.is_stream => self.is_farewelled = true,
            Some("said") => self.said.push(number(words)),
            Some("metrics") => {
                rises(&mut self.state, number(words));
                self.state_at = Some(now);
            }
            Some("slow") => rises(&mut self.slow, number(words)),
            Some("gap") => {
                // What went while a gap was on the wire has one of its own.
                let missed = number(words);
                assert!(missed > 0, "a gap of nothing");
                self.missed += missed;
                self.gaps += 1;
            }
            Some("event") => {
                let event = number(words);
                if let Some(last) = self.event {
                    assert_eq!(event, last + 1 + self.missed, "an event is missing, untold");
                }
                self.missed = 0;
                self.event = Some(event);
            }
            _ => panic!("nobody may be sent this: {words}"),
        }
    }
}

fn number(words: &str) -> u64 {
    let digits = words.split(r#""n":"#).nth(1).expect("it is numbered");
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().expect("a number")
}

fn rises(last: &mut Option<u64>, number: u64) {
    assert!(last.is_none_or(|last| last < number), "state {number} after {last:?}");
    *last = Some(number);
}
