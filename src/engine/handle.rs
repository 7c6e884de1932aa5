//! Names for connections that cannot go stale unnoticed.
//!
//! A [`Slot`] is an index into the connection table and is reused; a [`Handle`] adds the slot's
//! generation, which grows at every release. Looking up a handle whose connection has ended finds
//! nothing, never a stranger. Whoever keeps a reference to a connection across turns keeps a
//! handle.

use std::fmt;

/// An index into the connection table.
pub type Slot = u32;

/// A connection, or nothing once that connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    pub(crate) slot: Slot,
    pub(crate) generation: u32,
}

impl Handle {
    /// The place in the connection table. Unique among the living, reused after the end: a table
    /// that runs parallel to the engine's may be indexed by it.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

impl fmt::Display for Handle {
    /// `slot.generation`, as logs and the API show it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.slot, self.generation)
    }
}
