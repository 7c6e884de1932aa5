//! The configuration file: any bytes in it.

use std::ffi::OsString;
use std::path::Path;

use vitald::cli;

use super::config;

pub fn run(data: &[u8]) {
    let words = ["vitald", "once", "--config", "f"].map(OsString::from);
    let result = cli::parse(words, |_| None, |_: &Path| Ok(data.to_vec()));
    if let Err(sentence) = &result {
        let place =
            sentence.strip_prefix("f:").or(sentence.strip_prefix("--config: f: it is larger"));
        let place = place.or(sentence.strip_prefix("--config: f:"));
        assert!(place.is_some(), "no place in: {sentence}");
    }
    config::check(result);
}
