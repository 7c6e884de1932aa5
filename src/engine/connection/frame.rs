//! Bytes that are encoded once and shared by everyone who gets them.
//!
//! A [`Frame`] is a whole WebSocket frame (or the body of an HTTP answer, or events of an event
//! stream): immutable, reference counted, contiguous. [`FramePool`] keeps the buffers of frames
//! that nobody holds any more and encodes the next ones into them, so that a steady publish
//! allocates nothing; and it bounds how many there are and how long one is, so that readers who
//! take nothing cannot make them grow. Server frames are not masked (RFC 6455, section 5.1), which
//! is why one encoding serves all.

mod pool;

use std::sync::Arc;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

pub use self::pool::{FramePool, NoFrame, PoolBounds};
use super::extension::Window;
use crate::engine::clock::Tick;
use crate::engine::compressor::Compressor;

/// Room before the payload for the longest header of an unmasked frame: 2 bytes and a 64-bit length
/// (RFC 6455, section 5.2). The header is put right before the payload, so the frame is one slice.
const HEADROOM: usize = 10;

/// What a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text message: UTF-8.
    Text,
    /// A binary message.
    Binary,
    /// No WebSocket frame at all: the bytes as they are, for the body of an HTTP answer.
    Plain,
    /// Whole events of an event stream, written with their field names and blank lines: the bytes
    /// as they are. They count as a message.
    Event,
}

/// How what is sent to a connection is wrapped. One payload has a frame for each that has a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// A WebSocket message: a frame of [`Kind::Text`] or [`Kind::Binary`].
    Message,
    /// A WebSocket message that may be compressed (RFC 7692), where [`Envelope::deflates`] says so:
    /// a frame of [`Context::encode_deflated`](crate::engine::handler::Context::encode_deflated).
    /// Any frame that goes in [`Envelope::Message`] will do as well.
    Deflated(Window),
    /// An event of an event stream: a frame of [`Kind::Event`].
    Event,
}

/// How many envelopes there are.
pub const ENVELOPES: usize = 3;

impl Envelope {
    /// Its place among the envelopes, whatever the window: below [`ENVELOPES`].
    pub fn index(self) -> usize {
        match self {
            Envelope::Message => 0,
            Envelope::Deflated(_) => 1,
            Envelope::Event => 2,
        }
    }

    /// The envelope in which a payload of so many bytes goes: not compressed if that is not better.
    pub fn of_payload(self, payload_bytes: usize) -> Envelope {
        match self {
            Envelope::Deflated(_) if !self.deflates(payload_bytes) => Envelope::Message,
            envelope => envelope,
        }
    }

    /// Whether a payload of so many bytes is better sent compressed. The frame is the same for all
    /// of whom this is true.
    pub fn deflates(self, payload_bytes: usize) -> bool {
        match self {
            Envelope::Deflated(window) => {
                payload_bytes >= DEFLATED_BYTES_MIN && window.holds(payload_bytes)
            }
            Envelope::Message | Envelope::Event => false,
        }
    }
}

/// Payloads with fewer bytes are not worth compressing: 128 bytes of JSON become some 100, which
/// still takes a packet of its own; a third of a full segment of TCP may become a sixth.
const DEFLATED_BYTES_MIN: usize = 128;

/// Whole, immutable, shared bytes on their way to one or many connections.
#[derive(Clone, Debug)]
pub struct Frame(Arc<Buffer>);

#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    /// Where the frame begins in `bytes`: between 0 and [`HEADROOM`], which is without a header.
    start: usize,
    /// What it is.
    kind: Kind,
    /// Whether its payload is compressed, and if so, how many bytes it is without.
    deflated_from: Option<usize>,
    /// Whether a pool knows of it.
    is_pooled: bool,
    /// When what it says was due, if that is to be measured.
    due: Option<Tick>,
}

/// Bytes that a frame takes beside its own: two reference counts, the buffer's description, the
/// headroom, and its place in a queue that grows by doubling.
pub(crate) const OVERHEAD_BYTES: usize =
    2 * size_of::<usize>() + size_of::<Buffer>() + HEADROOM + 2 * size_of::<Frame>();

impl Frame {
    /// A frame of its own, outside any pool: for answers to one client. `write` appends the
    /// payload.
    pub fn new(kind: Kind, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
        Frame::from_writer(kind, |bytes| {
            write(bytes);
            None
        })
    }

    /// The same message in a frame of its own, compressed if that makes it shorter.
    pub(crate) fn deflated(&self, compressor: &mut Compressor) -> Frame {
        if self.0.deflated_from.is_some() {
            return self.clone();
        }
        let kind = self.kind();
        Frame::from_writer(kind, |bytes| deflate(kind, self.payload(), bytes, compressor))
    }

    fn from_writer(kind: Kind, write: impl FnOnce(&mut Vec<u8>) -> Option<usize>) -> Frame {
        let mut buffer = Buffer::new(false);
        buffer.encode(kind, write);
        buffer.bytes.shrink_to_fit();
        Frame(Arc::new(buffer))
    }

    /// The frame as it goes to the wire.
    pub fn as_slice(&self) -> &[u8] {
        &self.0.bytes[self.0.start..]
    }

    /// What it carries, as it goes to the wire: without a header.
    pub fn payload(&self) -> &[u8] {
        &self.0.bytes[HEADROOM..]
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Bytes on the wire, header included.
    pub fn len(&self) -> usize {
        self.0.bytes.len() - self.0.start
    }

    /// Whether there is nothing to write: only a plain frame can be empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is a message: a WebSocket's, with its header, or an event stream's.
    pub fn is_message(&self) -> bool {
        self.0.kind != Kind::Plain
    }

    /// Whether a connection with this envelope can be sent it.
    pub(crate) fn fits(&self, envelope: Envelope) -> bool {
        let is_readable = match (self.0.deflated_from, envelope) {
            (None, _) => true,
            (Some(bytes), Envelope::Deflated(window)) => window.holds(bytes),
            (Some(_), Envelope::Message | Envelope::Event) => false,
        };
        is_readable && (self.0.kind == Kind::Event) == (envelope == Envelope::Event)
    }

    /// When what it says was due, if that is to be measured.
    pub fn due(&self) -> Option<Tick> {
        self.0.due
    }

    /// Bytes of memory that the frame takes in an outbox, at most.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.len() + OVERHEAD_BYTES
    }

    /// Whether it is one of a [`FramePool`]'s.
    pub(crate) fn is_pooled(&self) -> bool {
        self.0.is_pooled
    }

    /// Whether anybody but the pool holds the frame.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// Appends a message compressed, if that makes it shorter, else as it is. Gives how many bytes it
/// was if it is compressed.
fn deflate(
    kind: Kind,
    payload: &[u8],
    bytes: &mut Vec<u8>,
    compressor: &mut Compressor,
) -> Option<usize> {
    let begin = bytes.len();
    let is_message = matches!(kind, Kind::Text | Kind::Binary);
    if is_message && compressor.raw(payload, bytes) && bytes.len() - begin < payload.len() {
        return Some(payload.len());
    }
    bytes.truncate(begin);
    bytes.extend_from_slice(payload);
    None
}

impl Buffer {
    fn new(is_pooled: bool) -> Buffer {
        Buffer {
            bytes: Vec::new(),
            start: 0,
            kind: Kind::Plain,
            deflated_from: None,
            is_pooled,
            due: None,
        }
    }

    /// `write` appends the payload, and gives how many bytes it was if it is compressed.
    fn encode(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>) -> Option<usize>) {
        self.kind = kind;
        self.bytes.clear();
        self.bytes.resize(HEADROOM, 0);
        self.deflated_from = write(&mut self.bytes);
        let opcode = match kind {
            Kind::Text => OpCode::Data(Data::Text),
            Kind::Binary => OpCode::Data(Data::Binary),
            Kind::Plain | Kind::Event => {
                self.start = HEADROOM;
                return;
            }
        };
        // RSV1 says that the message is compressed (RFC 7692, section 6).
        let rsv1 = self.deflated_from.is_some();
        let header = FrameHeader { opcode, rsv1, ..FrameHeader::default() };
        let length = (self.bytes.len() - HEADROOM) as u64;
        self.start = HEADROOM - header.len(length);
        let mut room = &mut self.bytes[self.start..HEADROOM];
        header.format(length, &mut room).expect("the headroom holds the longest header");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &[u8]) -> Frame {
        Frame::new(Kind::Text, |bytes| bytes.extend_from_slice(payload))
    }

    #[test]
    fn a_short_text_has_the_header_of_rfc_6455_section_5_7() {
        assert_eq!(text(b"Hello").as_slice(), b"\x81\x05Hello");
    }

    #[test]
    fn lengths_take_the_shortest_form_at_each_border() {
        for (length, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = text(&vec![b'x'; length]);
            assert_eq!(&frame.as_slice()[..header.len()], header);
            assert_eq!(frame.len(), header.len() + length);
        }
    }

    #[test]
    fn a_plain_frame_is_the_bytes_alone() {
        let frame = Frame::new(Kind::Plain, |bytes| bytes.extend_from_slice(b"body"));
        assert_eq!(frame.as_slice(), b"body");
        assert!(Frame::new(Kind::Plain, |_| {}).is_empty());
    }

    #[cfg(feature = "compression")]
    #[test]
    fn what_is_compressed_fits_those_alone_who_can_inflate_it() {
        let plain = text(&[b'x'; 300]);
        let packed = plain.deflated(&mut Compressor::default());
        assert!(packed.len() < 100);
        let narrow = Window::of_bits(8).unwrap();
        for (envelope, fits) in [
            (Envelope::Message, [true, false]),
            (Envelope::Deflated(Window::LONGEST), [true, true]),
            (Envelope::Deflated(narrow), [true, false]),
            (Envelope::Event, [false, false]),
        ] {
            assert_eq!([&plain, &packed].map(|frame| frame.fits(envelope)), fits, "{envelope:?}");
        }
    }
}
