//! Compression on the way out: DEFLATE (RFC 1951) for WebSocket messages, gzip for HTTP bodies.
//!
//! An engine has one [`Compressor`] for all its connections: nothing of an input is used for the
//! next, so there is no state to keep for each of them. It takes its memory at the first use and
//! keeps it; with room in `out`, nothing is allocated after that. Built without the feature
//! `compression` it takes none and says that it cannot. miniz_oxide is used as it is: flate2
//! around it adds a checksum with 16 KB of tables, and inflates only by way of a window of 32 KB.
//! Imports nothing of the crate.

/// What compresses. It keeps memory from one input to the next, and nothing of what was in it.
#[derive(Default)]
pub struct Compressor {
    state: Option<Box<State>>,
}

impl Compressor {
    /// Whether this program can compress: whether it was built with the feature `compression`.
    pub const IS_ABLE: bool = cfg!(feature = "compression");

    /// Bytes beyond which gzip takes less pains: 7 us a KiB at most, where it is 22 below.
    pub const LONG_BYTES: usize = 64 * 1024;

    /// Bytes of heap that it takes at most, from its first use on.
    pub const MEMORY_CEILING: usize = State::BYTES;

    /// Appends `input` as a message of permessage-deflate has it (RFC 7692, section 7.2.1): blocks
    /// of DEFLATE, none of them marked as the last, less the 00 00 FF FF at their end. False, and
    /// `out` as it was, when this program cannot compress.
    #[must_use]
    pub fn raw(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        let is_done = self.state.get_or_insert_default().raw(input, out);
        if !is_done {
            out.truncate(begin);
        }
        is_done
    }

    /// Appends `input` as a gzip member (RFC 1952) that tells neither a time nor a system. False,
    /// and `out` as it was, when this program cannot compress.
    #[must_use]
    pub fn gzip(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        let is_done = self.state.get_or_insert_default().gzip(input, out);
        if !is_done {
            out.truncate(begin);
        }
        is_done
    }
}

#[cfg(not(feature = "compression"))]
#[derive(Default)]
struct State;

#[cfg(not(feature = "compression"))]
impl State {
    const BYTES: usize = 0;

    fn raw(&mut self, _: &[u8], _: &mut Vec<u8>) -> bool {
        false
    }

    fn gzip(&mut self, _: &[u8], _: &mut Vec<u8>) -> bool {
        false
    }
}

#[cfg(feature = "compression")]
use self::miniz::State;

#[cfg(feature = "compression")]
mod miniz {
    use super::Compressor;
    use crc::{CRC_32_ISO_HDLC, Crc};
    use miniz_oxide::DataFormat;
    use miniz_oxide::deflate::CompressionLevel;
    use miniz_oxide::deflate::core::{
        CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output,
    };

    /// How hard matches are looked for: bytes, microseconds, and thousands of instructions less the
    /// clearing of the tables (5 us), which is the same for all; x86_64, release profile.
    ///
    /// | level | metrics, 1,774 B | hello, 25,781 B |
    /// |---|---|---|
    /// | 1 | 748 B, 10 us, 99 | 5,482 B, 47 us, 692 |
    /// | 3 | 706 B, 16 us, 221 | 4,538 B, 111 us, 1,910 |
    /// | 4 | 690 B, 17 us, 248 | 4,300 B, 134 us, 2,379 |
    /// | 6 | 690 B, 18 us, 254 | 4,185 B, 381 us, 4,015 |
    const LEVEL: u8 = 4;

    /// The same for gzip of what is long. A history of noise of 150 KB becomes 50 KB in 1.0 ms, at
    /// 4 it is 38 KB in 3.2 ms; an answer to a Prometheus server of 513 KB becomes 79 KB in 2.3 ms,
    /// or 61 KB in 4.1 ms.
    const LEVEL_LONG: u8 = 1;

    /// What ends a message that is flushed, and is left out of it.
    const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

    /// By one table of 1 KB: 16 of them would be some four times as fast, at 16 KB.
    static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

    pub(super) struct State {
        oxide: CompressorOxide,
    }

    impl Default for State {
        fn default() -> State {
            let mut oxide = CompressorOxide::with_format_and_level(
                DataFormat::Raw,
                CompressionLevel::NoCompression,
            );
            oxide.set_format_and_level(DataFormat::Raw, LEVEL);
            State { oxide }
        }
    }

    impl State {
        /// Itself, and what it has boxed: a dictionary with room for a match behind it, two tables
        /// of 32,768 places, the counts, codes and sizes of three times 288 symbols, and what goes
        /// out, which is 1.3 times the codes.
        pub(super) const BYTES: usize = size_of::<State>()
            + (32 * 1024 + 258)
            + 2 * 2 * 32 * 1024
            + 3 * 288 * 5
            + 64 * 1024 * 13 / 10;

        pub(super) fn raw(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
            let is_done = self.append(input, TDEFLFlush::Sync, out) == TDEFLStatus::Okay
                && out.ends_with(&FLUSHED);
            out.truncate(out.len().saturating_sub(FLUSHED.len()));
            is_done
        }

        pub(super) fn gzip(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
            // No time, no extra flags, an unknown system.
            out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
            let level = if input.len() > Compressor::LONG_BYTES { LEVEL_LONG } else { LEVEL };
            self.oxide.set_format_and_level(DataFormat::Raw, level);
            let is_done = self.append(input, TDEFLFlush::Finish, out) == TDEFLStatus::Done;
            self.oxide.set_format_and_level(DataFormat::Raw, LEVEL);
            out.extend_from_slice(&CRC.checksum(input).to_le_bytes());
            // Its length, modulo 2^32 (RFC 1952, section 2.3.1).
            out.extend_from_slice(&(input.len() as u32).to_le_bytes());
            is_done
        }

        fn append(&mut self, input: &[u8], flush: TDEFLFlush, out: &mut Vec<u8>) -> TDEFLStatus {
            self.oxide.reset();
            let (status, _) = compress_to_output(&mut self.oxide, input, flush, |bytes| {
                out.extend_from_slice(bytes);
                true
            });
            status
        }
    }
}

#[cfg(test)]
#[cfg(feature = "compression")]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    /// As RFC 7692, section 7.2.2 has it: the four bytes are put back. flate2 stops where it needs
    /// more.
    fn inflated(message: &[u8]) -> Vec<u8> {
        let mut decompress = flate2::Decompress::new(false);
        let input = [message, &[0x00, 0x00, 0xff, 0xff]].concat();
        let mut out = Vec::with_capacity(1 << 20);
        let status = decompress.decompress_vec(&input, &mut out, flate2::FlushDecompress::Sync);
        assert_eq!(status.unwrap(), flate2::Status::Ok);
        assert_eq!(decompress.total_in(), input.len() as u64);
        out
    }

    fn unzipped(member: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        GzDecoder::new(member).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn an_empty_message_is_one_byte() {
        let mut out = Vec::new();
        assert!(Compressor::default().raw(b"", &mut out));
        assert_eq!(out, [0x00]);
    }

    #[test]
    fn hello_is_as_in_rfc_7692_section_7_2_3_1() {
        let mut out = Vec::new();
        assert!(Compressor::default().raw(b"Hello", &mut out));
        assert_eq!(out, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    }

    #[test]
    fn a_message_does_not_refer_to_the_one_before() {
        let (mut compressor, text) = (Compressor::default(), b"the same text again and again");
        let (mut first, mut second) = (Vec::new(), Vec::new());
        assert!(compressor.raw(text, &mut first));
        assert!(compressor.gzip(b"something between them", &mut Vec::new()));
        assert!(compressor.raw(text, &mut second));
        assert_eq!(first, second);
    }

    #[test]
    fn what_is_there_already_stays_in_front() {
        let mut compressor = Compressor::default();
        let mut out = b"head".to_vec();
        assert!(compressor.raw(b"message", &mut out));
        assert_eq!(inflated(out.strip_prefix(b"head").unwrap()), b"message");
        let mut out = b"head".to_vec();
        assert!(compressor.gzip(b"body", &mut out));
        assert_eq!(unzipped(out.strip_prefix(b"head").unwrap()), b"body");
    }

    #[test]
    fn gzip_tells_neither_time_nor_system() {
        let mut out = Vec::new();
        assert!(Compressor::default().gzip(b"", &mut out));
        assert_eq!(out[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        assert_eq!(out[out.len() - 8..], [0; 8]);
    }

    proptest! {
        #[test]
        fn others_read_what_was_written(
            // Words that come again, and bytes that do not.
            parts in prop::collection::vec((0usize..5, any::<u8>(), 0usize..40_000), 0..8),
        ) {
            let mut input = Vec::new();
            for (word, byte, length) in parts {
                let word: &[u8] = [&b"name"[..], b"\"usage\":", b"0.25,", b"", b"\xff\x00"][word];
                input.extend(word.iter().copied().cycle().take(word.len() * (length % 50)));
                let mut state = u32::from(byte) + 1;
                input.extend((0..length).map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8 & byte
                }));
            }
            let (mut compressor, mut raw, mut member) =
                (Compressor::default(), Vec::new(), Vec::new());
            prop_assert!(compressor.raw(&input, &mut raw));
            prop_assert!(compressor.gzip(&input, &mut member));
            prop_assert_eq!(&inflated(&raw), &input);
            prop_assert_eq!(&unzipped(&member), &input);
        }
    }
}
