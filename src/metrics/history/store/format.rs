//! The bytes of a history file.
//!
//! Owns the layout, all numbers little-endian: a page with the header; two copies of the directory,
//! which names the series; [`BLOCKS`] blocks, a ring by sequence. A block is one minute: its row,
//! the rows of 10 s that it is the sum of, their times. Each of these parts has a checksum.
//! Promises: any bytes are read without a panic; what its checksum does not fit is nothing.
//! May import: nothing of the project.
//!
//! | block | bytes |
//! |---|---|
//! | CRC-32C of the rest | 4 |
//! | generation of the directory it was written under | 4 |
//! | sequence, from 1; block `n` stands at `(n - 1) % BLOCKS` | 8 |
//! | Unix milliseconds of the row | 8 |
//! | the same of each row of 10 s, after the row's | 6 x 4 |
//! | samples of each of the seven rows | 7 x 2 |
//! | rows of 10 s there are | 2 |
//! | codes: min, mean, max of each series, for each row | 7 x series x 6 |

use crc::{CRC_32_ISCSI, Crc, Table};

/// Blocks in a file: a day of minutes.
pub const BLOCKS: u64 = 1440;
/// Rows of 10 s in a block.
pub const PARTS_MAX: usize = 6;
/// Bytes of a name at most; longer ones are not kept. A mount below two folders has 30.
pub(super) const NAME_BYTES_MAX: usize = 63;
/// What blocks are aligned to and whole multiples of: the kernel's page and the unit of most disks,
/// so that a write is not a read and a write. The default 96 series fill it to the last byte.
pub(super) const PAGE_BYTES: usize = 4096;

const MAGIC: [u8; 8] = *b"vitaldH\n";
const VERSION: u32 = 1;
const STEPS_MS: [u32; 2] = [10_000, 60_000];
const BLOCK_HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = NAME_BYTES_MAX + 1 + 8;
/// Times beyond the year 10,000 are none: sums of them need not be checked.
const TIME_MS_MAX: u64 = 1 << 48;
/// Generations beyond are none, so that there is always a next one: names change once a second for
/// 68 years.
const GENERATION_MAX: u32 = 1 << 31;

/// A start reads 6 MB with it before it answers, which takes 11 ms more by the table of 1 KB than by
/// this one of 16 KB.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// Where things are in a file for so many series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) series_max: usize,
}

/// The header of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub generation: u32,
    pub sequence: u64,
    pub time_ms: u64,
    /// Rows of 10 s.
    pub parts: usize,
    pub offsets_ms: [u32; PARTS_MAX],
    /// Samples of the row, then of each row of 10 s.
    pub counts: [u16; 1 + PARTS_MAX],
}

/// A series in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Empty if the series has no name that is kept.
    pub metric: String,
    /// The first block in which its codes are of this metric.
    pub since: u64,
}

impl Layout {
    const fn row_bytes(self) -> usize {
        self.series_max * 6
    }

    pub(super) const fn block_bytes(self) -> usize {
        let bytes = BLOCK_HEADER_BYTES + (1 + PARTS_MAX) * self.row_bytes();
        bytes.next_multiple_of(PAGE_BYTES)
    }

    pub(super) const fn directory_bytes(self) -> usize {
        (8 + self.series_max * ENTRY_BYTES).next_multiple_of(PAGE_BYTES)
    }

    pub(super) const fn directory_offset(self, generation: u32) -> u64 {
        (PAGE_BYTES + (generation % 2) as usize * self.directory_bytes()) as u64
    }

    pub(super) const fn block_offset(self, slot: u64) -> u64 {
        (PAGE_BYTES + 2 * self.directory_bytes()) as u64 + slot * self.block_bytes() as u64
    }

    pub(super) const fn file_bytes(self) -> u64 {
        self.block_offset(BLOCKS)
    }

    pub(super) fn header(self) -> [u8; PAGE_BYTES] {
        let mut page = [0; PAGE_BYTES];
        let figures = [
            VERSION,
            self.series_max as u32,
            STEPS_MS[0],
            STEPS_MS[1],
            BLOCKS as u32,
            self.block_bytes() as u32,
            self.directory_bytes() as u32,
        ];
        page[..8].copy_from_slice(&MAGIC);
        for (bytes, figure) in page[8..].chunks_exact_mut(4).zip(figures) {
            bytes.copy_from_slice(&figure.to_le_bytes());
        }
        let end = PAGE_BYTES - 4;
        let checksum = CRC.checksum(&page[..end]);
        page[end..].copy_from_slice(&checksum.to_le_bytes());
        page
    }

    /// Why a file that begins with `page` is not one of this layout.
    pub(super) fn refuse(self, page: &[u8; PAGE_BYTES]) -> Option<String> {
        if page[..] == self.header()[..] {
            return None;
        }
        let end = PAGE_BYTES - 4;
        Some(if page[..8] != MAGIC {
            "it is not a history file".to_owned()
        } else if CRC.checksum(&page[..end]) != u32_at(page, end) {
            "its header is damaged".to_owned()
        } else if u32_at(page, 8) != VERSION {
            format!("its format is {}, not {VERSION}", u32_at(page, 8))
        } else if u32_at(page, 12) as usize != self.series_max {
            format!("it is for {} series, not {}", u32_at(page, 12), self.series_max)
        } else {
            "its layout is another".to_owned()
        })
    }

    pub(super) fn encode_directory(self, generation: u32, entries: &[Entry]) -> Vec<u8> {
        let mut bytes = vec![0; self.directory_bytes()];
        bytes[4..8].copy_from_slice(&generation.to_le_bytes());
        for (place, entry) in bytes[8..].chunks_exact_mut(ENTRY_BYTES).zip(entries) {
            let name = entry.metric.as_bytes();
            if name.len() <= NAME_BYTES_MAX {
                place[0] = name.len() as u8;
                place[1..1 + name.len()].copy_from_slice(name);
            }
            place[NAME_BYTES_MAX + 1..].copy_from_slice(&entry.since.to_le_bytes());
        }
        seal(&mut bytes);
        bytes
    }

    /// The generation and the series of a copy of the directory, if it is whole.
    pub(super) fn decode_directory(self, bytes: &[u8]) -> Option<(u32, Vec<Entry>)> {
        if bytes.len() != self.directory_bytes() || !is_sealed(bytes) {
            return None;
        }
        let generation = Some(u32_at(bytes, 4)).filter(|number| *number < GENERATION_MAX)?;
        let entries = bytes[8..].chunks_exact(ENTRY_BYTES).take(self.series_max).map(|place| {
            let name = place.get(1..1 + usize::from(place[0])).unwrap_or_default();
            let metric = std::str::from_utf8(name).unwrap_or_default().to_owned();
            Entry { metric, since: u64_at(place, NAME_BYTES_MAX + 1) }
        });
        Some((generation, entries.collect()))
    }

    /// Where the codes of a row are in a block; row 0 is the minute's.
    pub(super) fn codes(self, row: usize) -> std::ops::Range<usize> {
        let start = BLOCK_HEADER_BYTES + row * self.row_bytes();
        start..start + self.row_bytes()
    }

    /// Puts the header and the checksum to a block that has its codes.
    pub(super) fn finish_block(self, bytes: &mut [u8], block: &Block) {
        bytes[4..8].copy_from_slice(&block.generation.to_le_bytes());
        bytes[8..16].copy_from_slice(&block.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&block.time_ms.to_le_bytes());
        for (place, offset) in bytes[24..48].chunks_exact_mut(4).zip(block.offsets_ms) {
            place.copy_from_slice(&offset.to_le_bytes());
        }
        for (place, count) in bytes[48..62].chunks_exact_mut(2).zip(block.counts) {
            place.copy_from_slice(&count.to_le_bytes());
        }
        bytes[62..64].copy_from_slice(&(block.parts as u16).to_le_bytes());
        seal(bytes);
    }

    /// The header of the block in `bytes`, if it is whole, makes sense and stands where it belongs.
    pub(super) fn decode_block(self, bytes: &[u8], slot: u64) -> Option<Block> {
        let is_whole = bytes.len() == self.block_bytes() && is_sealed(bytes);
        self.decode_header(bytes, slot).filter(|_| is_whole)
    }

    /// The same without a look at the rest of the block.
    pub(super) fn decode_header(self, bytes: &[u8], slot: u64) -> Option<Block> {
        let block = Block {
            generation: u32_at(bytes, 4),
            sequence: u64_at(bytes, 8),
            time_ms: u64_at(bytes, 16),
            parts: usize::from(u16_at(bytes, 62)),
            offsets_ms: std::array::from_fn(|part| u32_at(bytes, 24 + 4 * part)),
            counts: std::array::from_fn(|row| u16_at(bytes, 48 + 2 * row)),
        };
        let is_here = block.sequence.checked_sub(1).is_some_and(|n| n % BLOCKS == slot);
        let is_known = block.sequence < 1 << 62
            && block.time_ms < TIME_MS_MAX
            && block.generation < GENERATION_MAX;
        let offsets = block.offsets_ms.get(..block.parts)?;
        (is_here && is_known && offsets.is_sorted()).then_some(block)
    }
}

impl Block {
    /// When its last row of 10 s began.
    pub(super) fn last_ms(&self) -> u64 {
        let last = self.parts.checked_sub(1).map_or(0, |part| self.offsets_ms[part]);
        self.time_ms + u64::from(last)
    }
}

fn seal(bytes: &mut [u8]) {
    let checksum = CRC.checksum(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
}

fn is_sealed(bytes: &[u8]) -> bool {
    // The checksum of zeros is not zero: a place that was never written is not whole.
    CRC.checksum(&bytes[4..]) == u32_at(bytes, 0)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_block_is_a_page_to_the_last_byte() {
        let layout = Layout { series_max: 96 };
        assert_eq!(layout.block_bytes(), PAGE_BYTES);
        assert_eq!(layout.codes(PARTS_MAX).end, PAGE_BYTES);
        assert_eq!(layout.file_bytes(), 5_918_720);
        assert_eq!(Layout { series_max: 97 }.block_bytes(), 2 * PAGE_BYTES);
    }

    #[test]
    fn nothing_is_not_whole() {
        let layout = Layout { series_max: 1 };
        assert_eq!(layout.decode_block(&[0; PAGE_BYTES], 0), None);
        assert_eq!(layout.decode_directory(&[0; PAGE_BYTES]), None);
    }

    #[test]
    fn a_directory_comes_back_without_the_names_that_are_too_long() {
        let layout = Layout { series_max: 3 };
        let entry = |metric: String| Entry { metric, since: 7 };
        let longest = "n".repeat(NAME_BYTES_MAX);
        let entries = [entry(longest), entry("n".repeat(NAME_BYTES_MAX + 1)), entry("é".into())];
        let mut bytes = layout.encode_directory(9, &entries);
        let (generation, mut read) = layout.decode_directory(&bytes).unwrap();
        assert_eq!(std::mem::replace(&mut read[1].metric, "n".repeat(64)), "");
        assert_eq!((generation, &read[..]), (9, &entries[..]));
        bytes[20] ^= 1;
        assert_eq!(layout.decode_directory(&bytes), None);
    }
}
