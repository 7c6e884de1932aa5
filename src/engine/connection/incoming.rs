//! The frames of a WebSocket on their way in, followed in front of tungstenite.
//!
//! tungstenite looks at a frame when all of it is there. Text that is not UTF-8 must fail the
//! connection (RFC 6455, section 8.1), and need not be waited for: [`Incoming`] says so at the
//! first byte that no text can have there. It deals out the input one frame at a time, so all that
//! tungstenite makes of earlier frames comes first; a frame that tungstenite will refuse for
//! another reason is left to it. Of the input it keeps what has come of a header, and no payload.
//! An extension that changes payloads, such as permessage-deflate, has its place here, between
//! frames as they come and frames as tungstenite is to see them. Imports tungstenite's header
//! alone.

#[cfg(test)]
mod tests;
mod utf8;

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use self::utf8::Utf8;

/// Bytes of the longest header: a 64-bit length and a mask (RFC 6455, section 5.2).
const HEADER_BYTES_MAX: usize = 14;

/// Where the input is in its frame, and that frame in its message.
#[derive(Debug, Default)]
pub struct Incoming {
    place: Place,
    /// A message has begun, and its last frame has not.
    is_fragmented: bool,
    /// Of the newest message, like the two below.
    is_text: bool,
    /// How its text stands.
    utf8: Utf8,
    /// Bytes that its frames have, as their headers say.
    message_bytes: u64,
}

/// Text that is not UTF-8.
#[derive(Debug)]
pub struct NotUtf8;

/// What the next byte belongs to.
#[derive(Debug)]
enum Place {
    /// A header, of which these bytes have come.
    Header { begun: [u8; HEADER_BYTES_MAX], length: u8 },
    /// A payload, of which so many bytes are still to come. If it is text to be checked, with its
    /// mask, turned so that its first byte is the next one's.
    Payload { rest: u64, mask: Option<[u8; 4]> },
    /// Nothing: the header before it is one that fails the connection.
    Lost,
}

impl Default for Place {
    fn default() -> Place {
        Place::Header { begun: [0; HEADER_BYTES_MAX], length: 0 }
    }
}

impl Incoming {
    /// Takes from `input` what it has of one frame. A message may have `message_bytes_max` bytes.
    pub fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        message_bytes_max: usize,
    ) -> Result<&'a [u8], NotUtf8> {
        let header = self.take_header(input, message_bytes_max);
        let payload = self.take_payload(&input[header..])?;
        let (piece, rest) = input.split_at(header + payload);
        *input = rest;
        Ok(piece)
    }

    /// Says how many of `bytes` belong to a header.
    fn take_header(&mut self, bytes: &[u8], message_bytes_max: usize) -> usize {
        let Place::Header { begun, length } = &mut self.place else { return 0 };
        let held = usize::from(*length);
        let end = HEADER_BYTES_MAX.min(held + bytes.len());
        begun[held..end].copy_from_slice(&bytes[..end - held]);
        let mut cursor = Cursor::new(&begun[..end]);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, rest))) => {
                let header_bytes = cursor.position() as usize;
                let mask = self.begin_frame(&header, rest, message_bytes_max);
                self.place = Place::Payload { rest, mask };
                header_bytes - held
            }
            Ok(None) => {
                *length = end as u8;
                bytes.len()
            }
            Err(_) => {
                self.place = Place::Lost;
                bytes.len()
            }
        }
    }

    /// Notes what a frame does to its message. Gives the mask of a payload that is to be checked.
    fn begin_frame(
        &mut self,
        header: &FrameHeader,
        payload_bytes: u64,
        message_bytes_max: usize,
    ) -> Option<[u8; 4]> {
        let OpCode::Data(data) = header.opcode else { return None };
        let begins = data != Data::Continue;
        // The start of a message within another, or what continues none (RFC 6455, section 5.4).
        if begins == self.is_fragmented {
            return None;
        }
        if begins {
            self.is_text = data == Data::Text;
            self.utf8 = Utf8::default();
            self.message_bytes = 0;
        }
        self.is_fragmented = !header.is_final;
        self.message_bytes = self.message_bytes.saturating_add(payload_bytes);
        let is_refused = header.rsv1
            || header.rsv2
            || header.rsv3
            || self.message_bytes > message_bytes_max as u64;
        header.mask.filter(|_| self.is_text && !is_refused)
    }

    /// Says how many of `bytes` belong to the frame at hand.
    fn take_payload(&mut self, bytes: &[u8]) -> Result<usize, NotUtf8> {
        let Place::Payload { rest, mask } = &mut self.place else { return Ok(bytes.len()) };
        let length = usize::try_from(*rest).map_or(bytes.len(), |rest| rest.min(bytes.len()));
        if let Some(mask) = mask {
            self.utf8.take(&bytes[..length], *mask)?;
            mask.rotate_left(length % 4);
        }
        *rest -= length as u64;
        if *rest == 0 {
            self.place = Place::default();
        }
        Ok(length)
    }
}
