//! Messages that a client has compressed (RFC 7692, section 6), on their way in.
//!
//! [`Deflated`] keeps the payload of the one that is coming, unmasked, as far as it has come, and
//! has it inflated when it is whole. What the protocol asks of frames is checked here for those
//! that are held back, since nobody behind sees them: tungstenite gets one plain frame in their
//! place.

use std::mem;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::Refused;
use super::utf8::unmask;
use crate::engine::connection::inflater::{Inflater, NotInflated};

/// The bits of a frame's first byte.
const RSV1: u8 = 0x40;
const OPCODE: u8 = 0x0f;

/// The compressed message of a connection that agreed on the extension.
#[derive(Debug, Default)]
pub struct Deflated {
    /// What the message is, from its first frame to its last.
    data: Option<Data>,
    /// What has come of it. Takes no memory between messages.
    payload: Vec<u8>,
}

impl Deflated {
    /// Whether a frame that begins with this byte is held back. `is_fragmented` says that a message
    /// which is not compressed has begun: what comes into it in error is left to tungstenite.
    pub fn claims(&self, first: u8, is_fragmented: bool) -> bool {
        match first & OPCODE {
            0 => self.data.is_some(),
            // Another within a compressed message, too: only here is it known to be one.
            1 | 2 => self.data.is_some() || (first & RSV1 != 0 && !is_fragmented),
            _ => false,
        }
    }

    /// Takes in the header of a frame that is held back. Gives the mask.
    pub fn begin(
        &mut self,
        header: &FrameHeader,
        payload_bytes: u64,
        message_bytes_max: usize,
    ) -> Result<[u8; 4], Refused> {
        let OpCode::Data(data) = header.opcode else { return Err(Refused::Protocol) };
        let begins = data != Data::Continue;
        // The first frame alone says that the message is compressed.
        let is_right = begins == self.data.is_none() && header.rsv1 == begins;
        if !is_right || header.rsv2 || header.rsv3 {
            return Err(Refused::Protocol);
        }
        let mask = header.mask.ok_or(Refused::Protocol)?;
        let room = message_bytes_max - self.payload.len().min(message_bytes_max);
        if payload_bytes > room as u64 {
            return Err(Refused::TooBig);
        }
        if begins {
            self.data = Some(data);
        }
        Ok(mask)
    }

    /// Takes in some of a payload, the first byte of it masked with the first of `mask`.
    pub fn take(&mut self, masked: &[u8], mask: [u8; 4]) {
        let held = self.payload.len();
        self.payload.resize(held + masked.len(), 0);
        unmask(&mut self.payload[held..], masked, mask);
    }

    /// The message is whole: inflates it, and gives it as one plain frame.
    pub fn finish<'a>(
        &mut self,
        inflater: &'a mut Inflater,
        message_bytes_max: usize,
    ) -> Result<&'a [u8], Refused> {
        let mut payload = mem::take(&mut self.payload);
        let data = self.data.take().ok_or(Refused::Protocol)?;
        let frame = inflater.frame(data, &mut payload, message_bytes_max);
        frame.map_err(|cause| match cause {
            NotInflated::Corrupt => Refused::Corrupt,
            NotInflated::TooBig => Refused::TooBig,
        })
    }
}
