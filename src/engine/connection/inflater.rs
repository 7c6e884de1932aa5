//! Inflating what clients have compressed, a whole message at a time.
//!
//! An engine has one [`Inflater`] for all its connections, because a message refers to none before
//! it. It takes its memory at the first use and keeps it: some 10 KB, and as many bytes as a
//! message may have. Beyond those nothing is inflated, nor beyond a number of blocks, so a message
//! that is made to grow, or to go on for nothing, has its bound; and it says how many blocks there
//! were, for those are what costs. What comes out is written as a frame, for whoever reads frames.
//! Without the feature `compression` there is nobody to call it. Imports tungstenite's frame header
//! alone.

use std::mem;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// Bytes of the longest header, with a mask (RFC 6455, section 5.2).
const HEADROOM: usize = 14;

/// What every message that ends with a flush lacks (RFC 7692, section 7.2.2), and an empty last
/// block: with it a message that is cut off is known by its end, which has not come.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// What inflates. It keeps memory from one message to the next, and uses nothing of what is in it.
#[derive(Default)]
pub struct Inflater {
    state: Option<Box<State>>,
    /// Blocks that have been inflated and not been asked for.
    blocks: usize,
}

/// Why a message could not be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInflated {
    /// It is not DEFLATE, or ends within a block.
    Corrupt,
    /// It has more bytes than a message may have, or more blocks than one could need.
    TooBig,
}

impl Inflater {
    /// Bytes of heap that it takes at most, for messages of up to so many bytes.
    pub const fn memory_ceiling(message_bytes_max: usize) -> usize {
        State::BYTES + HEADROOM + message_bytes_max + 1
    }

    /// How many blocks have been inflated since the last time, and what was refused is counted
    /// too. Each takes some microseconds, whatever is in it.
    pub fn take_blocks(&mut self) -> usize {
        mem::take(&mut self.blocks)
    }

    /// Bytes that [`Inflater::frame`] appends to what it is given.
    pub const TAIL_BYTES: usize = TAIL.len();

    /// Inflates a message, which is used up, and gives it as a client's frame (RFC 6455, section
    /// 5.2), whole and with a mask that changes nothing.
    ///
    /// # Errors
    /// When it is corrupt, or has more than `message_bytes_max` bytes, which must be the same with
    /// each call, or has far more blocks than as many bytes could need.
    pub fn frame(
        &mut self,
        data: Data,
        message: &mut Vec<u8>,
        message_bytes_max: usize,
    ) -> Result<&[u8], NotInflated> {
        let state = self.state.get_or_insert_with(|| Box::new(State::new(message_bytes_max)));
        let message_bytes = message.len();
        message.extend_from_slice(&TAIL);
        // No byte at all is what zlib makes of nothing behind another flush, and so an empty
        // message, though one byte would be right (RFC 7692, section 7.2.3.6).
        let length = match message_bytes {
            0 => 0,
            _ => state.inflate(message, message_bytes, &mut self.blocks)?,
        };
        if length > message_bytes_max {
            return Err(NotInflated::TooBig);
        }
        let opcode = OpCode::Data(data);
        let header = FrameHeader { opcode, mask: Some([0; 4]), ..FrameHeader::default() };
        let start = HEADROOM - header.len(length as u64);
        let mut room = &mut state.frame[start..HEADROOM];
        header.format(length as u64, &mut room).expect("the headroom holds the longest header");
        Ok(&state.frame[start..HEADROOM + length])
    }
}

#[cfg(feature = "compression")]
use self::miniz::State;

#[cfg(feature = "compression")]
mod miniz {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::inflate_flags::{
        TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
    };
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

    use super::{HEADROOM, NotInflated};

    /// Blocks that a message may have, however short: one that is flushed after each of its pieces
    /// has two for each.
    const BLOCKS_MIN: usize = 64;

    /// Bytes of what a message may have that allow one block more. Each costs its tables, even if
    /// there is nothing in it: 3 us if they are those of the standard, three times as much if it
    /// brings the worst of its own. Without a bound 4 KiB of nothing took 9.4 ms, and now a quarter
    /// of one. Compressors end a block after tens of thousands of bytes.
    const BYTES_PER_BLOCK: usize = 256;

    pub(super) struct State {
        oxide: DecompressorOxide,
        /// Room for a header, and for one byte more than a message may have: when that is needed,
        /// there is too much.
        pub(super) frame: Vec<u8>,
    }

    impl State {
        pub(super) const BYTES: usize = size_of::<State>();

        pub(super) fn new(message_bytes_max: usize) -> State {
            let frame = vec![0; HEADROOM + message_bytes_max + 1];
            State { oxide: DecompressorOxide::new(), frame }
        }

        /// Inflates `input`, of which the first `message_bytes` are a client's. Gives how many
        /// bytes have come of them, and adds to `blocks`.
        pub(super) fn inflate(
            &mut self,
            input: &[u8],
            message_bytes: usize,
            blocks: &mut usize,
        ) -> Result<usize, NotInflated> {
            let flags =
                TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
            let blocks_max = BLOCKS_MIN + self.frame.len() / BYTES_PER_BLOCK;
            let (mut read, mut start, mut length) = (0, 0, 0);
            self.oxide.init();
            for _ in 0..blocks_max {
                *blocks += 1;
                let out = &mut self.frame[HEADROOM + start..];
                let (status, taken, made) =
                    decompress(&mut self.oxide, &input[read..], out, length - start, flags);
                read += taken;
                length += made;
                match status {
                    TINFLStatus::Done if read >= message_bytes => return Ok(length),
                    // After a block that is marked as the last there may be more, from the next
                    // byte on (RFC 7692, section 7.2.3.4). It refers to nothing before.
                    TINFLStatus::Done => {
                        self.oxide.init();
                        start = length;
                    }
                    TINFLStatus::BlockBoundary => {}
                    TINFLStatus::HasMoreOutput => return Err(NotInflated::TooBig),
                    _ => return Err(NotInflated::Corrupt),
                }
            }
            Err(NotInflated::TooBig)
        }
    }
}

#[cfg(not(feature = "compression"))]
struct State {
    frame: Vec<u8>,
}

#[cfg(not(feature = "compression"))]
impl State {
    const BYTES: usize = 0;

    fn new(_: usize) -> State {
        State { frame: Vec::new() }
    }

    fn inflate(&mut self, _: &[u8], _: usize, _: &mut usize) -> Result<usize, NotInflated> {
        Err(NotInflated::Corrupt)
    }
}
