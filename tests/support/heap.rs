//! This thread's heap, counted: how often it has allocated, what it holds and the most it has held.
//!
//! A test crate that wants to know makes [`Counting`] its allocator, for all its threads; each is
//! counted by itself. So a thread's figures are right if no other frees what it allocates, nor the
//! other way round. The counters hold no heap themselves. What a test does for its own sake can be
//! left out with [`uncounted`], its freeing as well.

#![allow(unsafe_code, reason = "an allocator that counts can only be written with it")]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts.
pub struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
    static LIVE_BLOCKS: Cell<i64> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<i64> = const { Cell::new(0) };
    static IS_PAUSED: Cell<bool> = const { Cell::new(false) };
}

/// How often memory was asked for, be it for a block that grows or shrinks.
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// Bytes that are allocated and not freed.
pub fn live_bytes() -> i64 {
    LIVE_BYTES.get()
}

/// Blocks that are allocated and not freed.
pub fn live_blocks() -> i64 {
    LIVE_BLOCKS.get()
}

/// The most bytes that were live at a time since [`restart_peak`].
pub fn peak_bytes() -> i64 {
    PEAK_BYTES.get()
}

/// Lets the peak begin anew, at what is live now, which it gives.
pub fn restart_peak() -> i64 {
    PEAK_BYTES.set(live_bytes());
    live_bytes()
}

/// Does what is not to be counted.
pub fn uncounted<R>(act: impl FnOnce() -> R) -> R {
    let was_paused = IS_PAUSED.replace(true);
    let result = act();
    IS_PAUSED.set(was_paused);
    result
}

fn count(allocations: u64, bytes: i64, blocks: i64) {
    if IS_PAUSED.get() {
        return;
    }
    ALLOCATIONS.set(ALLOCATIONS.get() + allocations);
    LIVE_BYTES.set(LIVE_BYTES.get() + bytes);
    LIVE_BLOCKS.set(LIVE_BLOCKS.get() + blocks);
    PEAK_BYTES.set(PEAK_BYTES.get().max(LIVE_BYTES.get()));
}

// SAFETY: every call goes on to the system's allocator unchanged; the counts are plain cells of the
// thread, without a destructor, so they may be touched at any time in the thread's life.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64, 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64, 1);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64), -1);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64, 0);
        unsafe { System.realloc(pointer, layout, size) }
    }
}
