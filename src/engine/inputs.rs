//! Input buffers, reserved at start.
//!
//! Owns one stretch of memory, cut into buffers of [`INPUT_BYTES_MAX`], for half-received request
//! heads and for input that waits for its turn. The stretch comes zeroed from the system, which
//! puts pages behind it only when they are written: a buffer that was never taken costs nothing.
//! Who has a buffer holds an [`Input`], which cannot be copied, and gives it back. Bytes are used
//! in the engine's scratch, never here: a connection's input is copied out, and what is left of it
//! is copied back, so no buffer is borrowed while a connection is served.

use super::limits::INPUT_BYTES_MAX;
use super::stats::PoolStatistics;

/// All buffers.
#[derive(Debug)]
pub(super) struct Inputs {
    bytes: Box<[u8]>,
    /// Buffers that were given back. The last is taken first: its pages are there, and warm.
    free: Vec<u32>,
    /// Buffers from this one up have never been taken. It rises only when all below are out, so it
    /// is also the most that were out at one time.
    unused: usize,
    reused: u64,
}

/// A buffer that is out, and how many bytes of it are of use.
#[derive(Debug)]
pub(crate) struct Input {
    index: u32,
    length: u32,
}

impl Inputs {
    /// Room for `inputs_max` buffers, which is all that there will ever be.
    pub(super) fn new(inputs_max: usize) -> Inputs {
        Inputs {
            bytes: vec![0; inputs_max * INPUT_BYTES_MAX].into_boxed_slice(),
            free: Vec::with_capacity(inputs_max),
            unused: 0,
            reused: 0,
        }
    }

    /// Whether another buffer may be taken.
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.unused < self.capacity()
    }

    /// Takes an empty buffer; `None` when all are out.
    pub(super) fn take(&mut self) -> Option<Input> {
        if let Some(index) = self.free.pop() {
            self.reused += 1;
            return Some(Input { index, length: 0 });
        }
        if self.unused == self.capacity() {
            return None;
        }
        self.unused += 1;
        Some(Input { index: self.unused as u32 - 1, length: 0 })
    }

    /// Makes `bytes` the content of a buffer.
    pub(super) fn store(&mut self, input: &mut Input, bytes: &[u8]) {
        let start = input.index as usize * INPUT_BYTES_MAX;
        self.bytes[start..start + INPUT_BYTES_MAX][..bytes.len()].copy_from_slice(bytes);
        input.length = bytes.len() as u32;
    }

    /// Copies the content of a buffer to the start of `into`; gives its length.
    pub(super) fn load(&self, input: &Input, into: &mut [u8]) -> usize {
        let (start, length) = (input.index as usize * INPUT_BYTES_MAX, input.length as usize);
        into[..length].copy_from_slice(&self.bytes[start..start + length]);
        length
    }

    /// Gives a buffer back.
    pub(super) fn give_back(&mut self, input: Input) {
        debug_assert!(!self.free.contains(&input.index), "a buffer is given back once");
        self.free.push(input.index);
    }

    /// What is out, was out and was used again.
    pub(super) fn statistics(&self) -> PoolStatistics {
        let live = self.unused - self.free.len();
        PoolStatistics { live, high: self.unused, reused: self.reused }
    }

    fn capacity(&self) -> usize {
        self.bytes.len() / INPUT_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(inputs: &Inputs, input: &Input) -> Vec<u8> {
        let mut scratch = [0; INPUT_BYTES_MAX];
        let length = inputs.load(input, &mut scratch);
        scratch[..length].to_vec()
    }

    #[test]
    fn each_buffer_has_its_own_bytes_and_there_are_no_more_than_were_reserved() {
        let mut inputs = Inputs::new(2);
        let (mut one, mut two) = (inputs.take().unwrap(), inputs.take().unwrap());
        assert!(inputs.take().is_none() && !inputs.has_room());
        inputs.store(&mut one, &[b'1'; INPUT_BYTES_MAX]);
        inputs.store(&mut two, b"two");
        assert_eq!(content(&inputs, &one), [b'1'; INPUT_BYTES_MAX]);
        assert_eq!(content(&inputs, &two), b"two");
    }

    #[test]
    fn a_buffer_that_was_given_back_is_taken_before_one_that_was_never_used() {
        let mut inputs = Inputs::new(3);
        let (mut one, two) = (inputs.take().unwrap(), inputs.take().unwrap());
        inputs.store(&mut one, b"old");
        inputs.give_back(one);
        assert_eq!(inputs.statistics(), PoolStatistics { live: 1, high: 2, reused: 0 });
        let again = inputs.take().unwrap();
        assert_eq!(content(&inputs, &again), b"", "what a stranger sent is not to be seen");
        assert_eq!(inputs.statistics(), PoolStatistics { live: 2, high: 2, reused: 1 });
        inputs.give_back(again);
        inputs.give_back(two);
        assert_eq!(inputs.statistics(), PoolStatistics { live: 0, high: 2, reused: 1 });
    }

    #[test]
    fn there_may_be_none_at_all() {
        let mut inputs = Inputs::new(0);
        assert!(!inputs.has_room() && inputs.take().is_none());
    }
}
