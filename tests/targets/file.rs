//! The configuration file: any bytes in it.

use std::ffi::OsString;
use std::path::Path;

use vitald::cli;

use super::config;

pub fn run(data: &[u8]) {
    let words = ["vitald", "once", "--config", "f"].map(OsString::from);
    let result = cli::parse(words, |_| None, |_: &Path| Ok(data.to_vec()));
    if let Err(sentence) = &result {
        let is_placed = sentence.starts_with("f:") || sentence.starts_with("--config: f:");
        assert!(is_placed, "no place in: {sentence}");
    }
    config::check(result);
}
