//! The frames of a WebSocket on their way in, followed in front of tungstenite.
//!
//! tungstenite looks at a frame when all of it is there. Text that is not UTF-8 must fail the
//! connection (RFC 6455, section 8.1), and need not be waited for: [`Incoming`] says so at the
//! first byte that no text can have there. It deals out the input one frame at a time, so all that
//! tungstenite makes of earlier frames comes first; a frame that tungstenite will refuse for
//! another reason is left to it. Of the input it keeps what has come of a header, and no payload.
//! The frames of a compressed message are held back instead: tungstenite, which does not know of
//! permessage-deflate, sees the message inflated, as one frame. Imports tungstenite's header and
//! the inflater.

mod deflated;
#[cfg(test)]
mod tests;
mod utf8;

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use self::deflated::Deflated;
use self::utf8::Utf8;
use super::inflater::Inflater;

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
    /// Of a connection that agreed on permessage-deflate.
    deflated: Option<Box<Deflated>>,
}

/// Why a frame is refused before tungstenite has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is of a compressed message, and the protocol does not allow it.
    Protocol,
    /// Its text is not UTF-8.
    NotUtf8,
    /// The compressed message that it ends cannot be inflated.
    Corrupt,
    /// The message has too many bytes, compressed or inflated.
    TooBig,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum Place {
    /// A header, of which these bytes have come.
    Header { begun: [u8; HEADER_BYTES_MAX], length: u8 },
    /// A payload, of which so many bytes are still to come. If it is text to be checked, with its
    /// mask, turned so that its first byte is the next one's.
    Payload { rest: u64, mask: Option<[u8; 4]> },
    /// The same of a frame that is held back, and whether it is its message's last.
    HeldBack { rest: u64, mask: [u8; 4], is_final: bool },
    /// Nothing: the header before it is one that fails the connection.
    Lost,
}

impl Default for Place {
    fn default() -> Place {
        Place::Header { begun: [0; HEADER_BYTES_MAX], length: 0 }
    }
}

impl Incoming {
    /// The state after a handshake, which agreed on permessage-deflate or did not.
    pub fn new(deflates: bool) -> Incoming {
        let deflated = deflates.then(Box::default);
        Incoming { deflated, ..Incoming::default() }
    }

    /// Bytes of heap that it takes at most beside itself: a compressed message, in a buffer that
    /// grows by doubling.
    pub const fn memory_ceiling(message_bytes_max: usize) -> usize {
        size_of::<Deflated>() + 2 * (message_bytes_max + Inflater::TAIL_BYTES)
    }

    /// Takes from `input` what it has of one frame, and gives what tungstenite is to see of it. A
    /// message may have `message_bytes_max` bytes.
    pub fn next<'b, 'a: 'b>(
        &mut self,
        input: &mut &'a [u8],
        message_bytes_max: usize,
        inflater: &'b mut Inflater,
    ) -> Result<&'b [u8], Refused> {
        let holds_back = self.holds_back(input);
        let header = self.take_header(input, message_bytes_max, holds_back)?;
        let (payload, ends) = self.take_payload(&input[header..])?;
        let (piece, rest) = input.split_at(header + payload);
        *input = rest;
        match &mut self.deflated {
            Some(deflated) if ends => deflated.finish(inflater, message_bytes_max),
            _ if holds_back => Ok(&[]),
            _ => Ok(piece),
        }
    }

    /// Whether the frame at hand, or the one that `input` begins, is held back. Its first byte says
    /// so: what has come of a header is passed on before the rest of it is there.
    fn holds_back(&self, input: &[u8]) -> bool {
        let Some(deflated) = &self.deflated else { return false };
        let first = match &self.place {
            Place::Header { length: 0, .. } => input.first().copied(),
            Place::Header { begun, .. } => Some(begun[0]),
            Place::HeldBack { .. } => return true,
            Place::Payload { .. } | Place::Lost => None,
        };
        first.is_some_and(|first| deflated.claims(first, self.is_fragmented))
    }

    /// Says how many of `bytes` belong to a header.
    fn take_header(
        &mut self,
        bytes: &[u8],
        message_bytes_max: usize,
        holds_back: bool,
    ) -> Result<usize, Refused> {
        let Place::Header { begun, length } = &mut self.place else { return Ok(0) };
        let held = usize::from(*length);
        let end = HEADER_BYTES_MAX.min(held + bytes.len());
        begun[held..end].copy_from_slice(&bytes[..end - held]);
        let mut cursor = Cursor::new(&begun[..end]);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, rest))) => {
                let header_bytes = cursor.position() as usize;
                self.place = match &mut self.deflated {
                    Some(deflated) if holds_back => {
                        let mask = deflated.begin(&header, rest, message_bytes_max)?;
                        Place::HeldBack { rest, mask, is_final: header.is_final }
                    }
                    _ => {
                        let mask = self.begin_frame(&header, rest, message_bytes_max);
                        Place::Payload { rest, mask }
                    }
                };
                Ok(header_bytes - held)
            }
            Ok(None) => {
                *length = end as u8;
                Ok(bytes.len())
            }
            Err(_) => {
                self.place = Place::Lost;
                Ok(bytes.len())
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

    /// Says how many of `bytes` belong to the frame at hand, and whether with them a message is
    /// whole that was held back.
    fn take_payload(&mut self, bytes: &[u8]) -> Result<(usize, bool), Refused> {
        let (rest, ends) = match &mut self.place {
            Place::Payload { rest, .. } => (rest, false),
            Place::HeldBack { rest, is_final, .. } => (rest, *is_final),
            Place::Header { .. } | Place::Lost => return Ok((bytes.len(), false)),
        };
        let length = usize::try_from(*rest).map_or(bytes.len(), |rest| rest.min(bytes.len()));
        *rest -= length as u64;
        let is_over = *rest == 0;
        let bytes = &bytes[..length];
        match (&mut self.place, &mut self.deflated) {
            (Place::Payload { mask: Some(mask), .. }, _) => {
                self.utf8.take(bytes, *mask)?;
                mask.rotate_left(length % 4);
            }
            (Place::HeldBack { mask, .. }, Some(deflated)) => {
                deflated.take(bytes, *mask);
                mask.rotate_left(length % 4);
            }
            _ => {}
        }
        if is_over {
            self.place = Place::default();
        }
        Ok((length, is_over && ends))
    }
}
