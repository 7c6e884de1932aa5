//! Which blocks count, and in what order.
//!
//! Promises: times rise, and no two blocks overlap. May import: how far back `history` reaches.

use crate::metrics::history::MINUTES_SPAN_MS;

/// A block that can be read.
#[derive(Clone, Copy, Debug)]
pub(in crate::metrics::history) struct Held {
    pub(in crate::metrics::history) slot: u64,
    pub(in crate::metrics::history) sequence: u64,
    pub(in crate::metrics::history) time_ms: u64,
    pub(in crate::metrics::history) last_ms: u64,
    pub(in crate::metrics::history) parts: usize,
}

/// The blocks by time; of two that overlap the one written later. The newest block tells what time
/// it was: an older one that claims to come after it is of a clock that ran ahead, and is left out.
/// Where it lies more than a day ahead either may be wrong, and whoever knows the time decides.
pub(super) fn in_time(mut blocks: Vec<Held>) -> Vec<Held> {
    if let Some(newest) = blocks.iter().copied().max_by_key(|block| block.sequence) {
        let ahead_ms = newest.time_ms..=newest.time_ms + MINUTES_SPAN_MS;
        blocks.retain(|block| {
            block.sequence == newest.sequence || !ahead_ms.contains(&block.time_ms)
        });
    }
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
