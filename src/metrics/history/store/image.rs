//! A history file in a test's hands: every write is kept, and any can be made to fail.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use super::format::Layout;
use super::medium::Medium;
use super::{Store, WRITE_EVERY_MIN};

/// What a file holds, shared between a test and a store.
#[derive(Clone, Debug, Default)]
pub struct Image(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    writes: Vec<(usize, Vec<u8>)>,
    fails: bool,
}

impl Image {
    /// A store over it, written once a minute.
    pub fn store(&self, series_max: usize) -> Store {
        let layout = Layout { series_max };
        Store::new(Some(Box::new(self.clone())), Path::new("image"), layout, WRITE_EVERY_MIN)
    }

    /// Another one with the same bytes.
    pub fn copy(&self) -> Image {
        Image::of(self.bytes())
    }

    pub fn of(bytes: Vec<u8>) -> Image {
        Image(Arc::new(Mutex::new(State { bytes, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("a test that has panicked is over")
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// Every write since the last time, as (offset, bytes).
    pub fn take_writes(&self) -> Vec<(usize, Vec<u8>)> {
        std::mem::take(&mut self.state().writes)
    }

    /// From now on every write fails, or none.
    pub fn set_failing(&self, fails: bool) {
        self.state().fails = fails;
    }

    /// Puts `bytes` in place, beyond the end as well.
    pub fn put(&self, offset: usize, bytes: &[u8]) {
        let mut state = self.state();
        let end = state.bytes.len().max(offset + bytes.len());
        state.bytes.resize(end, 0);
        state.bytes[offset..][..bytes.len()].copy_from_slice(bytes);
    }
}

impl Medium for Image {
    fn read_at(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.state();
        let there = state.bytes.get(offset as usize..).unwrap_or_default();
        let count = there.len().min(bytes.len());
        bytes[..count].copy_from_slice(&there[..count]);
        bytes[count..].fill(0);
        Ok(())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.state().fails {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.put(offset as usize, bytes);
        self.state().writes.push((offset as usize, bytes.to_vec()));
        Ok(())
    }

    fn amiss(&self, _path: &Path, _bytes: u64) -> Option<&'static str> {
        None
    }
}
