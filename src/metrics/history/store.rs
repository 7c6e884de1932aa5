//! The file that keeps history across restarts.
//!
//! Owns the file, what of it is valid, and the order of writes. Promises: no bytes in it are
//! trusted that their checksum does not fit, and none make it panic; it survives a kill at any
//! moment, at the cost of what was not written yet; at most one round of writes each `write_every`,
//! but for a clean stop; an error while running costs one warning and is tried again at the next
//! round; no fsync: after a loss of power the kernel may not have written the last half minute.
//! A file that cannot be read as a whole is renamed to `<path>.broken`. May import: nothing but its
//! own parts.
//!
//! The directory is written before the first block that needs it, to the place of the older of its
//! two copies. A block says under which generation it was written: if that is newer than the copy
//! that can be read, nobody knows what its series are called, and it is left out.

mod error;
mod format;
mod medium;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::Error;
pub(super) use format::{BLOCKS, Block, Entry, PARTS_MAX};
use format::{Layout, PAGE_BYTES};
use medium::{Medium, Refusal, open_locked};

/// Least time between two writes: each costs a memory card a page of 4 KiB or more.
pub const WRITE_EVERY_MIN: Duration = Duration::from_secs(60);
/// Most time between two writes: what is not written is lost by a kill.
pub const WRITE_EVERY_MAX: Duration = Duration::from_secs(3600);

/// Blocks in one round: an hour of them, so that a round may fail and the next one catches up, and
/// half a megabyte is the most that a tick waits for the kernel to take.
const BLOCKS_PER_ROUND: u64 = 120;

/// A block that can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) slot: u64,
    pub(super) sequence: u64,
    pub(super) time_ms: u64,
    last_ms: u64,
    pub(super) parts: usize,
}

/// The file.
#[derive(Debug)]
pub(super) struct Store {
    medium: Box<dyn Medium>,
    layout: Layout,
    /// For the log.
    path: PathBuf,
    /// Of the directory that is in the file; 0 if there is none.
    generation: u32,
    entries: Vec<Entry>,
    /// Whether `entries` are in the file.
    is_directory_written: bool,
    /// What the next block is.
    sequence: u64,
    /// Whether the newest row in memory is the block before that.
    is_newest_last: bool,
    /// The first row of minutes that is not in the file.
    next_row: u64,
    write_every_ms: u64,
    /// Since the last round.
    waited_ms: u64,
    /// The last round failed, and the log says so.
    is_failing: bool,
    block: Box<[u8]>,
}

impl Store {
    /// Opens the file at `path`, begins one if there is none, and sets one aside that cannot be
    /// used.
    pub(super) fn open(
        path: &Path,
        series_max: usize,
        write_every: Duration,
    ) -> Result<Store, Error> {
        if !(WRITE_EVERY_MIN..=WRITE_EVERY_MAX).contains(&write_every) {
            return Err(Error::WriteEvery(write_every));
        }
        let layout = Layout { series_max };
        let refused = |refusal| match refusal {
            Refusal::Locked => Error::Locked(path.to_owned()),
            Refusal::NotAFile => Error::NotAFile(path.to_owned()),
            Refusal::Failed(error) => Error::Failed(path.to_owned(), error),
        };
        let failed = |error| Error::Failed(path.to_owned(), error);
        let mut file = open_locked(path).map_err(refused)?;
        if let Some(reason) = refuse(&mut file, layout).map_err(failed)? {
            let aside = aside(path);
            std::fs::rename(path, &aside).map_err(failed)?;
            log::warn!(
                "history path={} set_aside={}: {reason}; beginning a new file",
                path.display(),
                aside.display()
            );
            file = open_locked(path).map_err(refused)?;
        }
        if file.metadata().map_err(failed)?.len() == 0 {
            file.write_at(&layout.header(), 0).map_err(failed)?;
        }
        // What is not written yet takes no room on the disk. A file that was cut is mended.
        file.set_len(layout.file_bytes()).map_err(failed)?;
        Ok(Store::new(Box::new(file), path, layout, write_every))
    }

    fn new(medium: Box<dyn Medium>, path: &Path, layout: Layout, write_every: Duration) -> Store {
        let write_every_ms = u64::try_from(write_every.as_millis()).unwrap_or(u64::MAX);
        let none = Entry { metric: String::new(), since: 0 };
        Store {
            medium,
            layout,
            path: path.to_owned(),
            generation: 0,
            entries: vec![none; layout.series_max],
            is_directory_written: true,
            sequence: 1,
            is_newest_last: false,
            next_row: 0,
            write_every_ms,
            // The first minute of a run is written when it is over.
            waited_ms: write_every_ms,
            is_failing: false,
            block: vec![0; layout.block_bytes()].into_boxed_slice(),
        }
    }

    /// Reads the directory, then every block; gives those that are valid, oldest first. Where two
    /// overlap, because the clock was set back, the one written later counts.
    pub(super) fn load(&mut self) -> io::Result<Vec<Held>> {
        self.load_directory()?;
        let mut blocks = Vec::new();
        let mut torn = 0;
        for slot in 0..BLOCKS {
            // Most of a young file is empty, and an empty block shows in its first bytes.
            let mut start = [0; 64];
            self.medium.read_at(&mut start, self.layout.block_offset(slot))?;
            if start == [0; 64] {
                continue;
            }
            match self.check(slot)? {
                Some(block) => blocks.push(Held {
                    slot,
                    sequence: block.sequence,
                    time_ms: block.time_ms,
                    last_ms: block.last_ms(),
                    parts: block.parts,
                }),
                None => torn += 1,
            }
        }
        let newest = blocks.iter().map(|block| block.sequence).max().unwrap_or(0);
        let blocks = in_time(blocks);
        self.sequence = newest + 1;
        self.is_newest_last = blocks.last().is_some_and(|block| block.sequence == newest);
        log::info!("history path={} minutes={}", self.path.display(), blocks.len());
        if torn > 0 {
            log::warn!(
                "history path={} blocks_skipped={torn}: they are damaged or belong to a directory \
                 that is; the rest is used",
                self.path.display()
            );
        }
        Ok(blocks)
    }

    fn load_directory(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; self.layout.directory_bytes()];
        for copy in 0..2 {
            self.medium.read_at(&mut bytes, self.layout.directory_offset(copy))?;
            let Some((generation, entries)) = self.layout.decode_directory(&bytes) else {
                continue;
            };
            if generation > self.generation && generation % 2 == copy {
                self.generation = generation;
                self.entries = entries;
            }
        }
        Ok(())
    }

    /// The block in `slot`, if it is valid.
    fn check(&mut self, slot: u64) -> io::Result<Option<Block>> {
        self.medium.read_at(&mut self.block, self.layout.block_offset(slot))?;
        let block = self.layout.decode_block(&self.block, slot);
        Ok(block.filter(|block| block.generation <= self.generation))
    }

    /// A block that was found valid, with its bytes. The lock keeps it so: its checksum, which is
    /// most of what a start takes, is not computed again.
    pub(super) fn read(&mut self, held: &Held) -> io::Result<Option<(Block, &[u8])>> {
        self.medium.read_at(&mut self.block, self.layout.block_offset(held.slot))?;
        let block = self.layout.decode_header(&self.block, held.slot);
        let block = block.filter(|block| block.sequence == held.sequence);
        Ok(block.map(|block| (block, &self.block[..])))
    }

    /// Where the codes of a row are in a block's bytes; row 0 is the minute's.
    pub(super) fn codes(&self, row: usize) -> std::ops::Range<usize> {
        self.layout.codes(row)
    }

    /// The series by number.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The number `series` means `metric` from the minute on that will be row `row`.
    pub(super) fn rename(&mut self, series: usize, metric: &str, row: u64) {
        let since = self.sequence + row.saturating_sub(self.next_row);
        self.entries[series] = Entry { metric: metric.to_owned(), since };
        self.is_directory_written = false;
    }

    /// States that every row before `row` is in the file or gone.
    pub(super) fn begin_at(&mut self, row: u64) {
        self.next_row = row;
    }

    /// The newest row, which was `row`, has been opened again: it will be written in its old place.
    pub(super) fn reopen(&mut self, row: u64) {
        if self.next_row > row {
            self.next_row = row;
            if self.is_newest_last {
                self.sequence -= 1;
            }
        }
    }

    /// Lets time pass.
    pub(super) fn wait_more(&mut self, elapsed_ms: u64) {
        self.waited_ms = self.waited_ms.saturating_add(elapsed_ms);
    }

    /// Whether it is time for a round. A sixteenth is forgiven: minutes of a clock that is being
    /// corrected are not all of the same number of ticks, and each is to be written when over.
    pub(super) fn is_due(&self) -> bool {
        self.waited_ms >= self.write_every_ms - self.write_every_ms / 16
    }

    /// Begins a round: the rows to be written, of those `held`.
    pub(super) fn begin_round(
        &mut self,
        held: std::ops::Range<u64>,
    ) -> io::Result<std::ops::Range<u64>> {
        self.waited_ms = 0;
        self.next_row = self.next_row.max(held.start);
        if self.next_row < held.end && !self.is_directory_written {
            let generation = self.generation + 1;
            let bytes = self.layout.encode_directory(generation, &self.entries);
            self.medium.write_at(&bytes, self.layout.directory_offset(generation))?;
            self.generation = generation;
            self.is_directory_written = true;
        }
        Ok(self.next_row..held.end.min(self.next_row + BLOCKS_PER_ROUND))
    }

    /// Writes the next block: `block` with the codes of its rows, the minute's first.
    pub(super) fn write<'a>(
        &mut self,
        mut block: Block,
        rows: impl Iterator<Item = &'a [u16]>,
    ) -> io::Result<()> {
        block.generation = self.generation;
        block.sequence = self.sequence;
        self.block.fill(0);
        for (row, codes) in rows.enumerate() {
            let place = &mut self.block[self.layout.codes(row)];
            for (bytes, code) in place.chunks_exact_mut(2).zip(codes) {
                bytes.copy_from_slice(&code.to_le_bytes());
            }
        }
        self.layout.finish_block(&mut self.block, &block);
        let slot = (self.sequence - 1) % BLOCKS;
        self.medium.write_at(&self.block, self.layout.block_offset(slot))?;
        self.sequence += 1;
        self.next_row += 1;
        self.is_newest_last = true;
        Ok(())
    }

    /// Ends a round. The first failure is told, and the first success after it.
    pub(super) fn end_round(&mut self, outcome: io::Result<()>) {
        let path = self.path.display();
        match outcome {
            Err(error) if !self.is_failing => {
                log::warn!("history path={path} cannot be written, kept in memory: {error}");
                self.is_failing = true;
            }
            Ok(()) if self.is_failing => {
                log::info!("history path={path} can be written again");
                self.is_failing = false;
            }
            _ => {}
        }
    }

    #[cfg(test)]
    pub(super) fn set_write_every(&mut self, write_every: Duration) {
        self.write_every_ms = write_every.as_millis() as u64;
    }

    #[cfg(test)]
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    #[cfg(test)]
    pub(super) fn next_row(&self) -> u64 {
        self.next_row
    }

    /// Bytes of the buffers.
    pub(super) fn bytes(&self) -> usize {
        let entry = size_of::<Entry>() + format::NAME_BYTES_MAX;
        self.block.len() + self.layout.directory_bytes() + self.layout.series_max * entry
    }
}

/// Why the file is not one that can be used; an empty one can.
fn refuse(file: &mut std::fs::File, layout: Layout) -> io::Result<Option<String>> {
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    let mut page = [0; PAGE_BYTES];
    match file.read_at(&mut page, 0) {
        Ok(()) => Ok(layout.refuse(&page)),
        Err(error) => Ok(Some(format!("it cannot be read: {error}"))),
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".broken");
    PathBuf::from(aside)
}

/// The blocks by time; of two that overlap the one written later.
fn in_time(mut blocks: Vec<Held>) -> Vec<Held> {
    blocks.sort_by_key(|block| (block.time_ms, block.sequence));
    let mut kept: Vec<Held> = Vec::with_capacity(blocks.len());
    for block in blocks {
        let mut is_kept = true;
        while let Some(last) = kept.last().filter(|last| last.last_ms >= block.time_ms) {
            if last.sequence > block.sequence {
                is_kept = false;
                break;
            }
            kept.pop();
        }
        if is_kept {
            kept.push(block);
        }
    }
    kept
}

#[cfg(test)]
pub(super) mod image;
