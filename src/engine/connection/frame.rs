//! Bytes that are encoded once and shared by everyone who gets them.
//!
//! A [`Frame`] is a whole WebSocket frame (or the body of an HTTP answer): immutable, reference
//! counted, contiguous. [`FramePool`] keeps the buffers of frames that nobody holds any more and
//! encodes the next ones into them, so that a steady publish allocates nothing. Server frames are
//! not masked (RFC 6455, section 5.1), which is why one encoding serves all.

use std::sync::Arc;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

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
}

/// Whole, immutable, shared bytes on their way to one or many connections.
#[derive(Clone, Debug)]
pub struct Frame(Arc<Buffer>);

#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    /// Where the frame begins in `bytes`: between 0 and [`HEADROOM`].
    start: usize,
}

impl Frame {
    /// A frame of its own, outside any pool: for answers to one client. `write` appends the
    /// payload.
    pub fn new(kind: Kind, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
        let mut buffer = Buffer { bytes: Vec::new(), start: 0 };
        buffer.encode(kind, write);
        buffer.bytes.shrink_to_fit();
        Frame(Arc::new(buffer))
    }

    /// The frame as it goes to the wire.
    pub fn as_slice(&self) -> &[u8] {
        &self.0.bytes[self.0.start..]
    }

    /// Bytes on the wire, header included.
    pub fn len(&self) -> usize {
        self.0.bytes.len() - self.0.start
    }

    /// Whether there is nothing to write: only a plain frame can be empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nobody but the asker holds the frame.
    fn is_unshared(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }
}

impl Buffer {
    fn encode(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.clear();
        self.bytes.resize(HEADROOM, 0);
        write(&mut self.bytes);
        let opcode = match kind {
            Kind::Text => OpCode::Data(Data::Text),
            Kind::Binary => OpCode::Data(Data::Binary),
            Kind::Plain => {
                self.start = HEADROOM;
                return;
            }
        };
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let length = (self.bytes.len() - HEADROOM) as u64;
        self.start = HEADROOM - header.len(length);
        let mut room = &mut self.bytes[self.start..HEADROOM];
        header.format(length, &mut room).expect("the headroom holds the longest header");
    }
}

/// Buffers for frames that are published again and again.
#[derive(Debug)]
pub struct FramePool {
    frames: Vec<Frame>,
    frames_max: usize,
    /// Where the search for a free buffer begins: after the newest, at the one free the longest.
    next: usize,
    reused: u64,
}

impl FramePool {
    /// A pool that keeps at most `frames_max` buffers.
    pub fn new(frames_max: usize) -> FramePool {
        FramePool { frames: Vec::with_capacity(frames_max), frames_max, next: 0, reused: 0 }
    }

    /// Encodes a frame into a buffer that nobody holds, or into a new one. `write` appends the
    /// payload. When the pool is at its bound and every buffer is held, the frame is one of its
    /// own, and its memory is returned when the last holder lets go.
    pub fn encode(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) -> Frame {
        let count = self.frames.len();
        for offset in 0..count {
            let index = (self.next + offset) % count;
            if let Some(buffer) = Arc::get_mut(&mut self.frames[index].0) {
                buffer.encode(kind, write);
                self.next = (index + 1) % count;
                self.reused += 1;
                return self.frames[index].clone();
            }
        }
        let mut buffer = Buffer { bytes: Vec::new(), start: 0 };
        buffer.encode(kind, write);
        let frame = Frame(Arc::new(buffer));
        if count < self.frames_max {
            self.frames.push(frame.clone());
        }
        frame
    }

    /// What the pool holds. Walks it.
    pub fn statistics(&mut self) -> PoolStatistics {
        let live = self.frames.iter_mut().filter_map(|frame| (!frame.is_unshared()).then_some(()));
        let live = live.count();
        PoolStatistics { live, high: self.frames.len(), reused: self.reused }
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

    #[test]
    fn a_buffer_is_used_again_only_when_nobody_holds_it() {
        let mut pool = FramePool::new(4);
        let first = pool.encode(Kind::Text, |bytes| bytes.push(b'1'));
        let second = pool.encode(Kind::Text, |bytes| bytes.push(b'2'));
        assert_eq!(pool.statistics(), PoolStatistics { live: 2, high: 2, reused: 0 });
        let address = first.as_slice().as_ptr();
        drop(first);
        let third = pool.encode(Kind::Text, |bytes| bytes.push(b'3'));
        assert_eq!(third.as_slice().as_ptr(), address);
        assert_eq!(second.as_slice(), b"\x81\x012");
        assert_eq!(pool.statistics(), PoolStatistics { live: 2, high: 2, reused: 1 });
    }

    #[test]
    fn a_full_pool_gives_frames_that_it_does_not_keep() {
        let mut pool = FramePool::new(1);
        let _held = pool.encode(Kind::Text, |_| {});
        let beyond = pool.encode(Kind::Text, |bytes| bytes.push(b'x'));
        assert_eq!(beyond.as_slice(), b"\x81\x01x");
        assert_eq!(pool.statistics().high, 1);
    }
}
