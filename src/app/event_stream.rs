//! How a message is wrapped for each kind of subscriber, Server-Sent Events above all.
//!
//! A message is JSON. To a WebSocket it goes as it is, for the engine writes its header; in an event
//! stream (HTML, section 9.2.5) it is the data of an event, `id: SEQ` before it where it is a sample
//! and a blank line behind it. There is no `event` field: the message's own `type` says what it is.
//! Pure: wraps any payload, and owns what a stream begins with.

use std::io::Write as _;

use super::protocol::write_json;
use crate::engine::connection::frame::{Envelope, Frame, Kind};
use crate::engine::connection::response::Response;

/// What a stream begins with: after how many milliseconds a browser that has lost it comes again.
/// Half would have all readers of a server that starts anew on it at once; with double a page would
/// look dead.
const RETRY: &[u8] = b"retry: 3000\n";

/// The head of a stream. That proxies such as nginx are not to gather it is not in any standard.
pub fn head() -> Response {
    Response::new(200)
        .with("Content-Type", "text/event-stream")
        .with("Cache-Control", "no-store")
        .with("X-Accel-Buffering", "no")
}

/// The kind of frame that a message is in an envelope.
pub fn kind(envelope: Envelope) -> Kind {
    match envelope {
        Envelope::Message | Envelope::Deflated(_) => Kind::Text,
        Envelope::Event => Kind::Event,
    }
}

/// Appends what `write` appends, wrapped; `sequence` is the number of the sample that it is, if it
/// is one.
pub fn wrap(
    envelope: Envelope,
    sequence: Option<u64>,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    match envelope {
        Envelope::Message | Envelope::Deflated(_) => write(out),
        Envelope::Event => {
            if let Some(sequence) = sequence {
                // Writing to memory does not fail.
                let _ = writeln!(out, "id: {sequence}");
            }
            write_data(out, write);
        }
    }
}

/// A message of its own to one subscriber.
pub fn frame(envelope: Envelope, message: &impl serde::Serialize) -> Frame {
    Frame::new(kind(envelope), |out| {
        wrap(envelope, None, out, |out| write_json(message, out));
    })
}

/// The first message to a subscriber.
pub fn first_frame(envelope: Envelope, message: &impl serde::Serialize) -> Frame {
    Frame::new(kind(envelope), |out| {
        if envelope == Envelope::Event {
            out.extend_from_slice(RETRY);
        }
        wrap(envelope, None, out, |out| write_json(message, out));
    })
}

/// Appends a payload as the data of an event, and the event's end.
fn write_data(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"data: ");
    let start = out.len();
    write(out);
    // What we write ourselves is in one line. What an embedding program sends may be in several,
    // and a line that is not marked as data would be lost.
    if out[start..].iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        let lines = out.split_off(start);
        for byte in lines {
            match byte {
                // An end of line may be a CR, an LF or both; in JSON each alone is white space.
                b'\n' | b'\r' => out.extend_from_slice(b"\ndata: "),
                byte => out.push(byte),
            }
        }
    }
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(envelope: Envelope, sequence: Option<u64>, payload: &str) -> String {
        let mut out = Vec::new();
        wrap(envelope, sequence, &mut out, |out| out.extend_from_slice(payload.as_bytes()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_sample_has_its_number_and_any_other_message_has_none() {
        assert_eq!(wrapped(Envelope::Event, Some(7), "{}"), "id: 7\ndata: {}\n\n");
        assert_eq!(wrapped(Envelope::Event, None, "{}"), "data: {}\n\n");
        assert_eq!(wrapped(Envelope::Message, Some(7), "{}"), "{}");
    }

    #[test]
    fn a_payload_of_several_lines_stays_one_event() {
        for end in ["\n", "\r", "\r\n"] {
            let event = wrapped(Envelope::Event, None, &format!("{{{end}{end}}}"));
            let (data, rest) = event.split_once("\n\n").expect("it ends");
            assert_eq!(rest, "", "{event:?}");
            let lines: Vec<&str> =
                data.split('\n').map(|line| line.strip_prefix("data: ").unwrap()).collect();
            assert_eq!(lines.concat(), "{}", "{event:?}");
        }
    }

    #[test]
    fn the_first_message_says_when_to_come_again() {
        let frame = first_frame(Envelope::Event, &[1]);
        assert_eq!(frame.as_slice(), b"retry: 3000\ndata: [1]\n\n");
        assert_eq!(first_frame(Envelope::Message, &[1]).as_slice(), b"\x81\x03[1]");
    }
}
