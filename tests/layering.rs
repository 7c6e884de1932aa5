//! The house keeps its directions: which wing may name which, and where time enters.

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file below `folder`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let mut waiting = vec![root];
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a source folder can be listed");
            waiting.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file can be read");
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "there are no sources in {folder}");
    found
}

/// Asserts that no file below `folder`, but for `exempt`, has any of `words`.
fn assert_absent(folder: &str, words: &[&str], exempt: &str) {
    for (path, text) in sources(folder) {
        if !exempt.is_empty() && path.ends_with(exempt) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for word in words {
                let place = format!("{}:{}", path.display(), number + 1);
                assert!(!line.contains(word), "{place} has {word}: {line}");
            }
        }
    }
}

#[test]
fn the_engine_knows_nothing_of_metrics_or_the_application() {
    assert_absent("engine", &["crate::metrics", "crate::app", "crate::config", "crate::cli"], "");
}

#[test]
fn the_metrics_know_nothing_of_the_engine_or_the_application() {
    assert_absent("metrics", &["crate::engine", "crate::app", "crate::config", "crate::cli"], "");
}

#[test]
fn a_connection_does_not_know_the_production_network() {
    assert_absent("engine/connection", &["net::mio", "MioNet", "MioStream", "use mio"], "");
}

#[test]
fn watching_is_the_binarys_and_takes_time_names_and_units_from_the_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (path, text) in sources("") {
        let is_watch = path == root.join("watch.rs") || path.starts_with(root.join("watch"));
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            if !is_watch && !path.ends_with("main.rs") {
                let is_named = ["crate::watch", "vitald::watch"].iter().any(|w| line.contains(w));
                assert!(!is_named, "{place} watches: {line}");
                continue;
            }
            for (wing, allowed) in [
                ("crate::app", "crate::app::protocol"),
                ("crate::engine", "crate::engine::clock"),
                ("crate::metrics", "crate::metrics::definition"),
            ] {
                let is_allowed = !line.contains(wing) || line.contains(allowed);
                assert!(is_allowed, "{place} takes more than {allowed}: {line}");
            }
        }
    }
}

#[test]
fn time_enters_through_the_clock_alone() {
    assert_absent("", &["Instant::now", "SystemTime::now"], "engine/clock.rs");
}

#[test]
fn nothing_unwraps_outside_tests() {
    for (path, text) in sources("") {
        if path.ends_with("tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let is_code = !line.trim_start().starts_with("//");
            let place = format!("{}:{}", path.display(), number + 1);
            assert!(!(is_code && line.contains(".unwrap()")), "{place} unwraps: {line}");
        }
    }
}
