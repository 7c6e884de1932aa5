//! tungstenite as a codec without a socket.
//!
//! `WebSocketContext` takes its stream with each call. It is given an adaptor whose `Read` drains
//! the bytes at hand and whose `Write` appends to the outbox's control lane, all or nothing; so the
//! library does the protocol (framing, masking, fragmentation, UTF-8, control rules, the close
//! handshake of RFC 6455) and never meets the network. Input comes to it a frame at a time through
//! `Incoming`, which sees a text go wrong before its frame is whole and has compressed messages
//! inflated. Data frames are not sent through the library: it would copy each into a buffer that it
//! keeps. This leans on behaviour
//! that tungstenite does not promise, so its version is pinned and the tests below hold it.

use std::io::{self, Read, Write};

use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Message, Utf8Bytes};

use super::incoming::{Incoming, Refused};
use super::inflater::Inflater;

/// One connection's WebSocket state.
#[derive(Debug)]
pub struct WebSocket {
    incoming: Incoming,
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
    /// 1007: a compressed message that cannot be inflated. RFC 7692 names no code; by RFC 6455 this
    /// one is for data that is not what its message says it is, and 1002 for the framing.
    Corrupt,
    /// 1009: a message over the limit.
    TooBig,
}

impl Failure {
    /// The close code (RFC 6455, section 7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Failure::Protocol => 1002,
            Failure::Utf8 | Failure::Corrupt => 1007,
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
            Failure::Corrupt => "message cannot be inflated",
            Failure::TooBig => "message too big",
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        match refused {
            Refused::Protocol => Failure::Protocol,
            Refused::NotUtf8 => Failure::Utf8,
            Refused::Corrupt => Failure::Corrupt,
            Refused::TooBig => Failure::TooBig,
        }
    }
}

impl WebSocket {
    /// The state after the handshake. A message, and each frame of it, may have `message_bytes_max`
    /// bytes. `deflates` says that permessage-deflate was agreed on.
    pub fn new(message_bytes_max: usize, deflates: bool) -> WebSocket {
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
        let context = WebSocketContext::new(Role::Server, Some(config));
        WebSocket { incoming: Incoming::new(deflates), context }
    }

    /// Bytes of heap that one state takes at most: itself; the frame that is being received and the
    /// fragments of a message before it, both in buffers that grow by doubling, the first with up
    /// to a header before and behind it; and control frames on their way out. A message that is
    /// compressed is collected instead of fragments, never beside them.
    pub fn memory_ceiling(message_bytes_max: usize) -> usize {
        let collected = (2 * message_bytes_max).max(Incoming::memory_ceiling(message_bytes_max));
        size_of::<WebSocket>() + 2 * (message_bytes_max + 32) + collected + 512
    }

    /// Whether frames may still be sent: no close frame has gone either way.
    pub fn can_send(&self) -> bool {
        self.context.can_write()
    }

    /// Takes in bytes from `input` until something has come of them, and puts what the protocol
    /// answers by itself into `control`. Call until [`Received::Nothing`], which means that `input`
    /// is empty.
    pub fn read(
        &mut self,
        input: &mut &[u8],
        control: &mut Vec<u8>,
        inflater: &mut Inflater,
    ) -> Received {
        let message_bytes_max = self.context.get_config().max_message_size.unwrap_or(usize::MAX);
        loop {
            let mut frame = match self.incoming.next(input, message_bytes_max, inflater) {
                Ok(frame) => frame,
                Err(refused) => return self.fail(refused.into(), control),
            };
            let received = self.read_frame(&mut frame, control);
            if input.is_empty() || !matches!(received, Received::Nothing) {
                return received;
            }
        }
    }

    /// Takes in what there is of a frame.
    fn read_frame(&mut self, input: &mut &[u8], control: &mut Vec<u8>) -> Received {
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
                    Err(error) => self.fail_by(&error, control),
                }
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
            Err(Error::ConnectionClosed) => Received::Closed(None),
            Err(error) => self.fail_by(&error, control),
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

    fn fail_by(&mut self, error: &Error, control: &mut Vec<u8>) -> Received {
        debug_assert!(!matches!(error, Error::AlreadyClosed), "read after the end");
        debug_assert!(
            !matches!(error, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)),
            "the adaptor never reports an end"
        );
        self.fail(Failure::of(error), control)
    }

    fn fail(&mut self, failure: Failure, control: &mut Vec<u8>) -> Received {
        self.close(failure.code(), failure.reason(), control);
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

#[cfg(all(test, feature = "compression"))]
mod deflated_tests;

#[cfg(test)]
mod tests;
