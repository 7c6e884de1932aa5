//! Bytes that are encoded once and shared by everyone who gets them.
//!
//! A [`Frame`] is a whole WebSocket frame (or the body of an HTTP answer, or events of an event
//! stream): immutable, reference counted, contiguous. [`FramePool`] keeps the buffers of frames that
//! nobody holds any more and encodes the next ones into them, so that a steady publish allocates
//! nothing; and it bounds how many there are and how long one is, so that readers who take nothing
//! cannot make them grow.
//! Server frames are not masked (RFC 6455, section 5.1), which is why one encoding serves all.

use std::sync::Arc;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::extension::Window;
use crate::engine::clock::Tick;
use crate::engine::compressor::Compressor;
use crate::engine::stats::PoolStatistics;

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

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrame {
    /// As many are held as there may be.
    Full,
    /// It would have so many bytes, more than a shared frame may have.
    TooLong(usize),
}

/// Frames looked at for one to free in a turn. A burst's surplus is gone after a few turns; twice
/// as many would cost twice the time while slow readers hold them all.
const LOOKS_PER_TURN: usize = 16;

/// Buffers for frames that are published again and again. It knows every frame that it has given
/// away and that somebody still holds, so it can bound them.
#[derive(Debug)]
pub struct FramePool {
    frames: Vec<Frame>,
    bounds: PoolBounds,
    /// Where the search for a free buffer begins: after the newest, at the one free the longest.
    next: usize,
    /// Where the search for a surplus goes on.
    surplus: usize,
    high: usize,
    reused: u64,
}

/// What a pool keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolBounds {
    /// Frames at a time: those that somebody holds and those that wait to be used again.
    pub frames_max: usize,
    /// Of them, those beyond this number are freed when nobody holds them.
    pub kept_max: usize,
    /// Bytes of a frame, header included.
    pub frame_bytes_max: usize,
}

impl FramePool {
    /// An empty pool.
    pub fn new(bounds: PoolBounds) -> FramePool {
        let frames = Vec::with_capacity(bounds.frames_max);
        FramePool { frames, bounds, next: 0, surplus: 0, high: 0, reused: 0 }
    }

    /// Encodes a frame into a buffer that nobody holds, or into a new one. `write` appends the
    /// payload. `due` is when what it says was due, if that is to be measured.
    ///
    /// # Errors
    /// When as many frames are held as there may be: `write` is not called then. When the frame is
    /// too long: its memory has been given back.
    pub fn encode(
        &mut self,
        kind: Kind,
        due: Option<Tick>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Frame, NoFrame> {
        self.encode_by(kind, due, |bytes| {
            write(bytes);
            None
        })
    }

    /// The same of a message, compressed if that makes it shorter.
    ///
    /// # Errors
    /// Those of [`FramePool::encode`].
    pub(crate) fn encode_deflated(
        &mut self,
        kind: Kind,
        due: Option<Tick>,
        payload: &[u8],
        compressor: &mut Compressor,
    ) -> Result<Frame, NoFrame> {
        self.encode_by(kind, due, |bytes| deflate(kind, payload, bytes, compressor))
    }

    fn encode_by(
        &mut self,
        kind: Kind,
        due: Option<Tick>,
        write: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
    ) -> Result<Frame, NoFrame> {
        let index = self.free_index().ok_or(NoFrame::Full)?;
        let frame = &mut self.frames[index];
        let buffer = Arc::get_mut(&mut frame.0).expect("the pool alone holds a free frame");
        buffer.encode(kind, write);
        buffer.due = due;
        // Writing grows a buffer by doubling, past what a frame may have.
        let bytes_max = self.bounds.frame_bytes_max;
        if buffer.bytes.capacity() > HEADROOM + bytes_max {
            buffer.bytes.shrink_to(HEADROOM + bytes_max);
        }
        let length = buffer.bytes.len() - buffer.start;
        if length > bytes_max {
            buffer.bytes = Vec::new();
            return Err(NoFrame::TooLong(length));
        }
        self.next = index + 1;
        Ok(frame.clone())
    }

    /// A frame that nobody holds: one of those there are, or a new one.
    fn free_index(&mut self) -> Option<usize> {
        let count = self.frames.len();
        let mut indices = (0..count).map(|offset| (self.next + offset) % count);
        let free = indices.find(|&index| !self.frames[index].is_held());
        if free.is_some() {
            self.reused += 1;
            return free;
        }
        if count == self.bounds.frames_max {
            return None;
        }
        self.frames.push(Frame(Arc::new(Buffer::new(true))));
        self.high = self.high.max(count + 1);
        Some(count)
    }

    /// Frees some of what a burst has left. For each turn to call.
    pub fn free_surplus(&mut self) {
        for _ in 0..LOOKS_PER_TURN {
            if self.frames.len() <= self.bounds.kept_max {
                return;
            }
            self.surplus %= self.frames.len();
            if self.frames[self.surplus].is_held() {
                self.surplus += 1;
            } else {
                self.frames.swap_remove(self.surplus);
            }
        }
    }

    /// What the pool holds. Walks it.
    pub fn statistics(&self) -> PoolStatistics {
        let live = self.frames.iter().filter(|frame| frame.is_held()).count();
        PoolStatistics { live, high: self.high, reused: self.reused }
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

    fn pool(frames_max: usize, kept_max: usize) -> FramePool {
        FramePool::new(PoolBounds { frames_max, kept_max, frame_bytes_max: 100 })
    }

    fn encode(pool: &mut FramePool, payload: &[u8]) -> Result<Frame, NoFrame> {
        pool.encode(Kind::Text, None, |bytes| bytes.extend_from_slice(payload))
    }

    #[test]
    fn a_buffer_is_used_again_only_when_nobody_holds_it() {
        let mut pool = pool(4, 4);
        let first = encode(&mut pool, b"1").unwrap();
        let second = encode(&mut pool, b"2").unwrap();
        assert_eq!(pool.statistics(), PoolStatistics { live: 2, high: 2, reused: 0 });
        let address = first.as_slice().as_ptr();
        drop(first);
        let third = encode(&mut pool, b"3").unwrap();
        assert_eq!(third.as_slice().as_ptr(), address);
        assert_eq!(second.as_slice(), b"\x81\x012");
        assert_eq!(pool.statistics(), PoolStatistics { live: 2, high: 2, reused: 1 });
    }

    #[test]
    fn there_are_no_more_frames_than_the_bound_and_one_that_is_let_go_makes_room() {
        let mut pool = pool(2, 2);
        let (held, let_go) = (encode(&mut pool, b"1").unwrap(), encode(&mut pool, b"2").unwrap());
        assert_eq!(
            pool.encode(Kind::Text, None, |_| panic!("for nothing")).unwrap_err(),
            NoFrame::Full
        );
        drop(let_go);
        assert_eq!(encode(&mut pool, b"3").unwrap().as_slice(), b"\x81\x013");
        assert_eq!(held.as_slice(), b"\x81\x011");
    }

    #[test]
    fn a_frame_that_is_too_long_is_none_and_leaves_nothing() {
        let mut pool = pool(1, 1);
        let longest = pool.encode(Kind::Text, None, |bytes| (0..98).for_each(|_| bytes.push(b'x')));
        let longest = longest.unwrap();
        assert!(longest.0.bytes.capacity() <= HEADROOM + 100, "{}", longest.0.bytes.capacity());
        drop(longest);
        assert_eq!(encode(&mut pool, &[b'x'; 99]).unwrap_err(), NoFrame::TooLong(101));
        assert_eq!(pool.frames[0].0.bytes.capacity(), 0);
        assert_eq!(encode(&mut pool, b"short").unwrap().as_slice(), b"\x81\x05short");
    }

    #[test]
    fn what_a_burst_leaves_is_freed_and_what_is_held_stays() {
        let mut pool = pool(100, 2);
        let mut burst: Vec<Frame> = (0..100).map(|_| encode(&mut pool, b"x").unwrap()).collect();
        burst.truncate(10);
        for _ in 0..100 / LOOKS_PER_TURN + 1 {
            pool.free_surplus();
        }
        assert_eq!(pool.frames.len(), 10);
        drop(burst);
        pool.free_surplus();
        assert_eq!(pool.frames.len(), 2);
        assert_eq!(pool.statistics().high, 100);
    }
}
