//! What a client says and hears: the handshake, frames to the server, and frames from it, each held
//! against what RFC 6455 lets a server send.

#![allow(dead_code, reason = "each test file uses its own part")]

/// A correct handshake.
pub const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The same without history in the hello.
pub const UPGRADE_WITHOUT_HISTORY: &[u8] = b"GET /ws?history=0 HTTP/1.1\r\nHost: localhost\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A correct handshake that offers permessage-deflate, as browsers do.
pub const UPGRADE_DEFLATE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Takes the whole frames off the front of `bytes`, checking each against what RFC 6455 lets a
/// server send and that none follows a close frame. What is left is half a frame, or nothing.
pub fn take_frames(bytes: &mut Vec<u8>) -> Vec<Frame> {
    take_frames_by(bytes, false)
}

/// The same for one who offered permessage-deflate: messages that are compressed are inflated.
pub fn take_inflated_frames(bytes: &mut Vec<u8>) -> Vec<Frame> {
    take_frames_by(bytes, true)
}

fn take_frames_by(bytes: &mut Vec<u8>, may_deflate: bool) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = 0;
    while let Some((frame, length)) = first_frame(&bytes[at..], may_deflate) {
        assert!(frames.last().is_none_or(|last| last.opcode != CLOSE), "{frame:?} after the close");
        at += length;
        frames.push(frame);
    }
    bytes.drain(..at);
    let is_over = frames.last().is_some_and(|last| last.opcode == CLOSE);
    assert!(!is_over || bytes.is_empty(), "{} bytes after the close frame", bytes.len());
    frames
}

fn first_frame(bytes: &[u8], may_deflate: bool) -> Option<(Frame, usize)> {
    let &[first, second, ..] = bytes else { return None };
    let opcode = first & 0x0f;
    let is_deflated = may_deflate && opcode < CLOSE && first & 0x40 != 0;
    let bits = if is_deflated { 0xc0 } else { 0x80 };
    assert_eq!(first & 0xf0, bits, "whole messages, with no extension that was not agreed on");
    assert!([TEXT, BINARY, CLOSE, PING, PONG].contains(&opcode), "opcode {opcode}");
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (length, header) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    assert!(opcode < CLOSE || length <= 125, "a control frame of {length} bytes");
    let mut payload = bytes.get(header..header + length)?.to_vec();
    if is_deflated {
        payload = inflated(&payload).expect("the server compresses as RFC 7692 says");
    }
    if opcode == TEXT {
        assert!(std::str::from_utf8(&payload).is_ok(), "text that is not UTF-8: {payload:x?}");
    }
    if opcode == CLOSE {
        check_close(&payload);
    }
    Some((Frame { opcode, payload }, header + length))
}

/// A compressed message, inflated by flate2: streams of DEFLATE one behind another, if one ends
/// before it does. `None` when it is none.
pub fn inflated(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.is_empty() {
        return Some(Vec::new());
    }
    // What a flush ends with (RFC 7692, section 7.2.2), and a last block, so that there is an end.
    let input = [payload, b"\x00\x00\xff\xff\x01\x00\x00\xff\xff"].concat();
    // DEFLATE makes at most 1,032 bytes of one. All at once: into less room flate2 inflates by way
    // of a window that begins full of zeros, to which a message may not refer.
    let (mut out, mut read) = (Vec::with_capacity(1032 * input.len()), 0);
    while read < payload.len() {
        let mut decompress = flate2::Decompress::new(false);
        let flush = flate2::FlushDecompress::Finish;
        match decompress.decompress_vec(&input[read..], &mut out, flush).ok()? {
            flate2::Status::StreamEnd => read += decompress.total_in() as usize,
            flate2::Status::Ok | flate2::Status::BufError => return None,
        }
    }
    Some(out)
}

/// RFC 6455, section 7.4: the codes that may be on the wire.
fn check_close(payload: &[u8]) {
    let Some(code) = payload.first_chunk().map(|code| u16::from_be_bytes(*code)) else {
        assert!(payload.is_empty(), "half a close code");
        return;
    };
    let is_allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    assert!(is_allowed, "close code {code}");
    assert!(std::str::from_utf8(&payload[2..]).is_ok(), "a reason that is not UTF-8");
}

/// A client's frame, masked with zeros.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Takes the answer to [`UPGRADE`] off the front of `bytes`; false when it is not whole.
pub fn take_switching(bytes: &mut Vec<u8>) -> bool {
    let start = b"HTTP/1.1 101 ";
    let length = start.len().min(bytes.len());
    assert_eq!(bytes[..length], start[..length], "{:?}", String::from_utf8_lossy(bytes));
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    end.map(|end| bytes.drain(..end + 4)).is_some()
}
