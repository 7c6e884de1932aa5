//! What is fuzzed: one function for each target, which takes any bytes and panics where a promise
//! is broken. `tests/fuzz.rs` runs them on the corpus and on mutated inputs with the stable
//! compiler, `fuzz/` under libFuzzer; neither knows more of a target than its name and its
//! function.

#![allow(dead_code, reason = "each driver uses its own part")]

pub mod config;
pub mod file;
pub mod head;
pub mod message;
pub mod peer;
pub mod websocket;

#[path = "../support/frames.rs"]
mod frames;
#[path = "../support/wire.rs"]
mod wire;
