//! The file that keeps history across restarts.
//!
//! Owns the file, what of it is valid, and the order of writes. Promises: no bytes in it are
//! trusted that their checksum does not fit, and none make it panic; it survives a kill at any
//! moment, at the cost of what was not written yet; at most one round of writes each `write_every`,
//! but for a clean stop; an error, at the start or later, costs one warning and is tried again at
//! the next round; no fsync: after a loss of power the kernel may not have written the last half
//! minute. Nothing that stands at the path is ever overwritten but our own file: see `opening`.
//! May import: nothing but its own parts.
//!
//! The directory is written before the first block that needs it, to the place of the older of its
//! two copies. A block says under which generation it was written: if that is newer than the copy
//! that can be read, nobody knows what its series are called, and it is left out, and erased before
//! there is a directory that would claim it.
//!
//! A file that could not be opened, or was removed, replaced or cut under us, is begun anew from
//! what is in memory, which is all that it held.

mod error;
mod format;
mod medium;
mod opening;
mod order;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::Error;
pub(super) use format::{BLOCKS, Block, Entry, PARTS_MAX};
use format::{Layout, NAME_BYTES_MAX};
use medium::Medium;
pub(super) use order::Held;
use order::in_time;

/// Least time between two writes: each costs a memory card a page of 4 KiB or more.
pub const WRITE_EVERY_MIN: Duration = Duration::from_secs(60);
/// Most time between two writes: what is not written is lost by a kill.
pub const WRITE_EVERY_MAX: Duration = Duration::from_secs(3600);

/// Blocks in one round: an hour of them, so that a round may fail and the next one catches up, and
/// half a megabyte is the most that a tick waits for the kernel to take.
const BLOCKS_PER_ROUND: u64 = 120;

/// The file.
#[derive(Debug)]
pub(super) struct Store {
    /// `None` while the file cannot be had.
    medium: Option<Box<dyn Medium>>,
    layout: Layout,
    path: PathBuf,
    /// The highest there is, of the directory or of a block; 0 if there is none.
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
    /// Slots of the blocks that belong to a directory that cannot be read.
    orphans: Vec<u64>,
    /// The last round failed, and the log says so.
    is_failing: bool,
    /// The log says that a name is too long for the file.
    is_length_told: bool,
    block: Box<[u8]>,
}

impl Store {
    /// Opens the file at `path`, begins one if there is none, and sets one aside that cannot be
    /// used. One that cannot be had now is tried again at later rounds, but for what only the
    /// operator can mend.
    pub(super) fn open(
        path: &Path,
        series_max: usize,
        write_every: Duration,
    ) -> Result<Store, Error> {
        if !(WRITE_EVERY_MIN..=WRITE_EVERY_MAX).contains(&write_every) {
            return Err(Error::WriteEvery(write_every));
        }
        let layout = Layout { series_max };
        let medium: Option<Box<dyn Medium>> = match opening::open(path, layout) {
            Ok(file) => Some(Box::new(file)),
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                log::warn!("{error}; history is in memory until it can be written");
                None
            }
        };
        Ok(Store::new(medium, path, layout, write_every))
    }

    fn new(
        medium: Option<Box<dyn Medium>>,
        path: &Path,
        layout: Layout,
        write_every: Duration,
    ) -> Store {
        let write_every_ms = u64::try_from(write_every.as_millis()).unwrap_or(u64::MAX);
        let none = Entry { metric: String::new(), since: 0 };
        Store {
            is_failing: medium.is_none(),
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
            orphans: Vec::new(),
            is_length_told: false,
            block: vec![0; layout.block_bytes()].into_boxed_slice(),
        }
    }

    /// Reads the directory, then every block; gives those that are valid, oldest first. Where two
    /// overlap, because the clock was set back, the one written later counts.
    pub(super) fn load(&mut self) -> io::Result<Vec<Held>> {
        self.load_directory()?;
        let readable = self.generation;
        let mut newest = 0;
        let mut blocks = Vec::new();
        let mut torn = 0;
        for slot in 0..BLOCKS {
            // Most of a young file is empty, and an empty block shows in its first bytes.
            let mut start = [0; 64];
            self.read_at(&mut start, slot)?;
            if start == [0; 64] {
                continue;
            }
            let Some(block) = self.check(slot)? else {
                torn += 1;
                continue;
            };
            newest = newest.max(block.sequence);
            // Nothing that is written from now on may be taken for what is left out.
            self.generation = self.generation.max(block.generation);
            if block.generation > readable {
                self.orphans.push(slot);
                continue;
            }
            blocks.push(Held {
                slot,
                sequence: block.sequence,
                time_ms: block.time_ms,
                last_ms: block.last_ms(),
                parts: block.parts,
            });
        }
        self.sequence = newest + 1;
        self.is_directory_written = self.orphans.is_empty();
        let blocks = in_time(blocks);
        self.is_newest_last = blocks.last().is_some_and(|block| block.sequence == newest);
        log::info!("history path={} minutes={}", self.path.display(), blocks.len());
        let skipped = torn + self.orphans.len();
        if skipped > 0 {
            log::warn!(
                "history path={} blocks_skipped={skipped}: they are damaged or belong to a \
                 directory that is; the rest is used",
                self.path.display()
            );
        }
        Ok(blocks)
    }

    fn load_directory(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; self.layout.directory_bytes()];
        for copy in 0..2 {
            medium(&mut self.medium)?.read_at(&mut bytes, self.layout.directory_offset(copy))?;
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
        medium(&mut self.medium)?.read_at(&mut self.block, self.layout.block_offset(slot))?;
        Ok(self.layout.decode_block(&self.block, slot))
    }

    fn read_at(&mut self, bytes: &mut [u8], slot: u64) -> io::Result<()> {
        medium(&mut self.medium)?.read_at(bytes, self.layout.block_offset(slot))
    }

    /// A block that was found valid, with its bytes. The lock keeps it so: its checksum, which is
    /// most of what a start takes, is not computed again.
    pub(super) fn read(&mut self, held: &Held) -> io::Result<Option<(Block, &[u8])>> {
        medium(&mut self.medium)?.read_at(&mut self.block, self.layout.block_offset(held.slot))?;
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

    /// The number `series` means `metric` from the next block on. Rows that are not written yet have
    /// nothing of what it was before.
    pub(super) fn rename(&mut self, series: usize, metric: &str) {
        self.entries[series] = Entry { metric: metric.to_owned(), since: self.sequence };
        self.is_directory_written = false;
        if metric.len() > NAME_BYTES_MAX && !self.is_length_told {
            self.is_length_told = true;
            log::warn!(
                "history path={} cannot keep names of more than {NAME_BYTES_MAX} bytes, such as \
                 {metric}: a restart forgets them",
                self.path.display()
            );
        }
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
        self.ensure(held.start)?;
        self.next_row = self.next_row.max(held.start);
        let medium = medium(&mut self.medium)?;
        if self.next_row < held.end && !self.is_directory_written {
            // A directory that is newer than they are would claim them.
            while let Some(&slot) = self.orphans.last() {
                medium.write_at(&[0; 64], self.layout.block_offset(slot))?;
                self.orphans.pop();
            }
            let generation = self.generation + 1;
            let bytes = self.layout.encode_directory(generation, &self.entries);
            medium.write_at(&bytes, self.layout.directory_offset(generation))?;
            self.generation = generation;
            self.is_directory_written = true;
        }
        Ok(self.next_row..held.end.min(self.next_row + BLOCKS_PER_ROUND))
    }

    /// Sees to it that there is a file to write to. One that is not ours any more is begun anew,
    /// with all rows from `first` on.
    fn ensure(&mut self, first: u64) -> io::Result<()> {
        if let Some(medium) = &self.medium {
            let Some(reason) = medium.amiss(&self.path, self.layout.file_bytes()) else {
                return Ok(());
            };
            log::warn!(
                "history path={} {reason}; it is begun anew from memory",
                self.path.display()
            );
            self.lose();
        }
        // Sentences of an error are for the log; end_round puts them there.
        let file = opening::begin_anew(&self.path, self.layout).map_err(io::Error::other)?;
        self.medium = Some(Box::new(file));
        self.generation = 0;
        self.sequence = 1;
        self.is_newest_last = false;
        self.next_row = first;
        self.orphans.clear();
        self.is_directory_written = false;
        // A series that took the place of another has nothing of it in memory.
        self.entries.iter_mut().for_each(|entry| entry.since = 1);
        Ok(())
    }

    /// Lets go of the file: it cannot be read, or is not ours any more.
    pub(super) fn lose(&mut self) {
        self.medium = None;
    }

    /// Whether there is a file now.
    pub(super) fn has_file(&self) -> bool {
        self.medium.is_some()
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
        medium(&mut self.medium)?.write_at(&self.block, self.layout.block_offset(slot))?;
        self.sequence += 1;
        self.next_row += 1;
        self.is_newest_last = true;
        Ok(())
    }

    /// Ends a round and says whether it went well. The first failure is told, and the first success
    /// after it.
    pub(super) fn end_round(&mut self, outcome: io::Result<()>) -> bool {
        let is_well = outcome.is_ok();
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
        is_well
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
    pub(super) fn is_length_told(&self) -> bool {
        self.is_length_told
    }

    /// The first row that is not written.
    pub(super) fn next_row(&self) -> u64 {
        self.next_row
    }

    /// Bytes of the buffers.
    pub(super) fn bytes(&self) -> usize {
        let entry = size_of::<Entry>() + NAME_BYTES_MAX;
        self.block.len() + self.layout.directory_bytes() + self.layout.series_max * entry
    }
}

/// The file, if it can be had; a function of the field, so that the others can be used beside it.
fn medium(medium: &mut Option<Box<dyn Medium>>) -> io::Result<&mut Box<dyn Medium>> {
    medium.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
pub(super) mod image;
