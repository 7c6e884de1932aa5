//! The pool of frames that are shared: buffers that are used again, so many and no more.
//!
//! A [`FramePool`] keeps a count of every frame that it has given away by holding it too. Imports
//! frames alone.

use std::sync::Arc;

use super::{Buffer, Frame, HEADROOM, Kind, deflate};
use crate::engine::clock::Tick;
use crate::engine::compressor::Compressor;
use crate::engine::stats::PoolStatistics;

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
        let room = buffer.bytes.capacity();
        buffer.encode(kind, write);
        buffer.due = due;
        if buffer.bytes.capacity() > room && self.bounds.kept_max > 0 {
            // What is copied whole has just the room it needs, and the next may have a digit more.
            buffer.bytes.reserve_exact(buffer.bytes.len() / 4);
        }
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
