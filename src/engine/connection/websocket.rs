//! tungstenite as a codec without a socket.
//!
//! `WebSocketContext` takes its stream with each call. It is given an adaptor whose `Read` drains
//! the bytes at hand and whose `Write` appends to the outbox's control lane, all or nothing; so the
//! library does the protocol (framing, masking, fragmentation, UTF-8, control rules, the close
//! handshake of RFC 6455) and never meets the network. Data frames are not sent through it: it
//! would copy each into a buffer that it keeps. This leans on behaviour that tungstenite does not
//! promise, so its version is pinned and the tests below hold it.

use std::io::{self, Read, Write};

use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Message, Utf8Bytes};

/// One connection's WebSocket state.
#[derive(Debug)]
pub struct WebSocket {
    context: WebSocketContext,
}

/// What came of reading.
#[derive(Debug)]
pub enum Received {
    /// All input has been taken in; a message may be incomplete.
    Nothing,
    /// A whole text message.
    Text(Utf8Bytes),
    /// A whole binary message.
    Binary(Bytes),
    /// A ping (its pong is in the control lane) or a pong.
    Control,
    /// The closing handshake is complete. Our part of it, if it was still owed, is in the control
    /// lane; the peer's code, if it gave one.
    Closed(Option<u16>),
    /// The peer broke the protocol or a limit; the close frame that says so is in the control lane.
    Failed(Failure),
}

/// Why a WebSocket connection was failed, with the close code that the peer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 1002: a frame that the protocol does not allow.
    Protocol,
    /// 1007: text that is not UTF-8.
    Utf8,
    /// 1009: a message over the limit.
    TooBig,
}

impl Failure {
    /// The close code (RFC 6455, section 7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Failure::Protocol => 1002,
            Failure::Utf8 => 1007,
            Failure::TooBig => 1009,
        }
    }

    fn of(error: &Error) -> Failure {
        match error {
            Error::Capacity(_) => Failure::TooBig,
            Error::Utf8(_) => Failure::Utf8,
            _ => Failure::Protocol,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Failure::Protocol => "protocol error",
            Failure::Utf8 => "text is not UTF-8",
            Failure::TooBig => "message too big",
        }
    }
}

impl WebSocket {
    /// The state after the handshake. A message, and each frame of it, may have `message_bytes_max`
    /// bytes.
    pub fn new(message_bytes_max: usize) -> WebSocket {
        // No eager buffers: the source is a slice in memory, so reading it in small pieces costs a
        // copy each and no system call. An idle connection then holds no heap but this struct. The
        // declared length of a frame is reserved as soon as its header is there, hence the limits.
        let config = WebSocketConfig::default()
            .read_buffer_size(0)
            .write_buffer_size(0)
            .max_write_buffer_size(4096)
            .max_frame_size(Some(message_bytes_max))
            .max_message_size(Some(message_bytes_max))
            .accept_unmasked_frames(false);
        WebSocket { context: WebSocketContext::new(Role::Server, Some(config)) }
    }

    /// Bytes of heap that one state takes at most: itself; the frame that is being received and the
    /// fragments of a message before it, both in buffers that grow by doubling, the first with up
    /// to a header before and behind it; and control frames on their way out.
    pub fn memory_ceiling(message_bytes_max: usize) -> usize {
        size_of::<WebSocket>() + 2 * (message_bytes_max + 32) + 2 * message_bytes_max + 512
    }

    /// Whether frames may still be sent: no close frame has gone either way.
    pub fn can_send(&self) -> bool {
        self.context.can_write()
    }

    /// Takes in bytes from `input` until something has come of them, and puts what the protocol
    /// answers by itself into `control`. Call until [`Received::Nothing`], which means that `input`
    /// is empty.
    pub fn read(&mut self, input: &mut &[u8], control: &mut Vec<u8>) -> Received {
        let mut adaptor = Adaptor { input, control };
        match self.context.read(&mut adaptor) {
            Ok(Message::Text(text)) => Received::Text(text),
            Ok(Message::Binary(bytes)) => Received::Binary(bytes),
            Ok(Message::Close(frame)) => {
                self.finish(&mut adaptor);
                Received::Closed(frame.map(|frame| frame.code.into()))
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                // The pong must be out before anything else is queued: `close` would put its frame
                // before a pong that still waits inside.
                match self.context.flush(&mut adaptor) {
                    Ok(()) => Received::Control,
                    Err(error) => self.fail(&error, &mut adaptor),
                }
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
            Err(Error::ConnectionClosed) => Received::Closed(None),
            Err(error) => self.fail(&error, &mut adaptor),
        }
    }

    /// Begins the closing handshake: puts a close frame into `control`, once.
    pub fn close(&mut self, code: u16, reason: &'static str, control: &mut Vec<u8>) {
        debug_assert!(reason.len() <= 123, "a control frame's payload has at most 125 bytes");
        let frame =
            CloseFrame { code: CloseCode::from(code), reason: Utf8Bytes::from_static(reason) };
        let mut adaptor = Adaptor { input: &mut &[][..], control };
        // The adaptor takes every byte, so the frame is in the lane whatever this gives: `Ok`, or
        // `ConnectionClosed` when the peer's close frame came first.
        let _ = self.context.close(&mut adaptor, Some(frame));
    }

    /// Lets the answer to the peer's close frame out.
    fn finish(&mut self, adaptor: &mut Adaptor<'_, '_>) {
        let result = self.context.flush(adaptor);
        debug_assert!(matches!(result, Err(Error::ConnectionClosed)), "{result:?}");
    }

    fn fail(&mut self, error: &Error, adaptor: &mut Adaptor<'_, '_>) -> Received {
        debug_assert!(!matches!(error, Error::AlreadyClosed), "read after the end");
        debug_assert!(
            !matches!(error, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)),
            "the adaptor never reports an end"
        );
        let failure = Failure::of(error);
        self.close(failure.code(), failure.reason(), adaptor.control);
        Received::Failed(failure)
    }
}

/// The bytes at hand as a stream.
struct Adaptor<'a, 'b> {
    input: &'a mut &'b [u8],
    control: &'a mut Vec<u8>,
}

impl Read for Adaptor<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for Adaptor<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.control.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A ping without payload, as it goes to the wire.
pub const PING: [u8; 2] = [0x89, 0x00];

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked client frame with the mask 1, 2, 3, 4.
    fn client(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
        frame
    }

    /// Reads all of `input` and gives what was received, in words, and the control lane.
    fn read(socket: &mut WebSocket, mut input: &[u8]) -> (Vec<String>, Vec<u8>) {
        let (mut seen, mut control) = (Vec::new(), Vec::new());
        loop {
            match socket.read(&mut input, &mut control) {
                Received::Nothing => break,
                Received::Text(text) => seen.push(format!("text {text}")),
                Received::Binary(bytes) => seen.push(format!("binary {bytes:?}")),
                Received::Control => seen.push("control".to_owned()),
                Received::Closed(code) => {
                    seen.push(format!("closed {code:?}"));
                    break;
                }
                Received::Failed(failure) => {
                    seen.push(format!("failed {}", failure.code()));
                    break;
                }
            }
        }
        (seen, control)
    }

    #[test]
    fn a_message_may_come_in_any_pieces() {
        let mut socket = WebSocket::new(4096);
        let frame = client(0x81, b"hello");
        for byte in &frame[..frame.len() - 1] {
            assert!(read(&mut socket, std::slice::from_ref(byte)).0.is_empty());
        }
        let (seen, control) = read(&mut socket, &frame[frame.len() - 1..]);
        assert_eq!(seen, ["text hello"]);
        assert!(control.is_empty());
    }

    #[test]
    fn each_ping_of_a_batch_gets_its_pong_in_order() {
        let mut socket = WebSocket::new(4096);
        let input = [client(0x89, b"a"), client(0x89, b"b"), client(0x81, b"x")].concat();
        let (seen, control) = read(&mut socket, &input);
        assert_eq!(seen, ["control", "control", "text x"]);
        assert_eq!(control, b"\x8a\x01a\x8a\x01b");
    }

    #[test]
    fn nothing_follows_our_close_frame_not_even_a_pong() {
        let mut socket = WebSocket::new(4096);
        let (mut input, mut control) = (client(0x89, b"p"), Vec::new());
        input.extend_from_slice(&client(0x89, b"q"));
        let mut rest = &input[..];
        assert!(matches!(socket.read(&mut rest, &mut control), Received::Control));
        socket.close(1001, "going away", &mut control);
        assert!(!socket.can_send());
        assert!(matches!(socket.read(&mut rest, &mut control), Received::Control));
        assert_eq!(control, b"\x8a\x01p\x88\x0c\x03\xe9going away");
    }

    #[test]
    fn the_peers_close_frame_is_answered_with_its_code() {
        let mut socket = WebSocket::new(4096);
        let (seen, control) = read(&mut socket, &client(0x88, &[0x03, 0xe8]));
        assert_eq!(seen, ["closed Some(1000)"]);
        assert_eq!(control, b"\x88\x02\x03\xe8");
    }

    #[test]
    fn the_answer_to_our_close_frame_ends_the_handshake() {
        let mut socket = WebSocket::new(4096);
        let mut control = Vec::new();
        socket.close(1000, "", &mut control);
        let (seen, more) = read(&mut socket, &client(0x88, &[0x03, 0xe8]));
        assert_eq!(seen, ["closed Some(1000)"]);
        assert!(more.is_empty());
    }

    #[test]
    fn what_the_protocol_forbids_is_failed_with_its_code() {
        let unmasked = b"\x81\x02hi".to_vec();
        for (input, failure) in [
            (unmasked, "failed 1002"),
            (client(0xc1, b"rsv"), "failed 1002"),
            (client(0x83, b"opcode"), "failed 1002"),
            (client(0x09, b"fragmented ping"), "failed 1002"),
            (client(0x80, b"nothing to continue"), "failed 1002"),
            (client(0x89, &[0; 126]), "failed 1002"),
            (client(0x81, b"\xff"), "failed 1007"),
            (client(0x88, b"\x03\xe8\xff"), "failed 1007"),
            (client(0x81, &[b'x'; 4097]), "failed 1009"),
        ] {
            let mut socket = WebSocket::new(4096);
            let (seen, control) = read(&mut socket, &input);
            assert_eq!(seen, [failure], "{input:x?}");
            assert_eq!(control[0], 0x88, "{input:x?}");
        }
    }

    #[test]
    fn fragments_count_together_against_the_limit() {
        let mut socket = WebSocket::new(4096);
        let input = [client(0x01, &[b'x'; 4000]), client(0x80, &[b'x'; 100])].concat();
        assert_eq!(read(&mut socket, &input).0, ["failed 1009"]);
        let mut socket = WebSocket::new(4096);
        let input = [client(0x01, &[b'x'; 4000]), client(0x80, &[b'x'; 96])].concat();
        assert_eq!(read(&mut socket, &input).0.len(), 1);
    }

    #[test]
    fn the_ping_is_an_empty_control_frame() {
        assert_eq!(PING, [0x89, 0x00]);
    }
}
