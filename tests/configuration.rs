//! The configuration file as an operator meets it: what the binary prints and how it ends.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::{Vitald, socket_path};

/// A file in the folder for temporary ones, removed when dropped.
struct Written(PathBuf);

impl Written {
    fn new(name: &str, bytes: impl AsRef<[u8]>) -> Written {
        let path = socket_path(name).with_extension("toml");
        fs::write(&path, bytes).expect("a file can be written");
        Written(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is UTF-8")
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitald"));
    for variable in
        ["VITALD_CONFIG", "VITALD_LISTEN", "VITALD_INTERVAL", "VITALD_LOG", "VITALD_TOKEN"]
    {
        command.env_remove(variable);
    }
    command.args(arguments).output().expect("the binary starts")
}

/// Asserts exit status 2 with one line on standard error and nothing else, and gives the line.
fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    let error = String::from_utf8(output.stderr).expect("a sentence is UTF-8");
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(output.stdout.is_empty());
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn check_prints_what_is_in_force_and_reads_it_back() {
    let file = Written::new("check", "interval = \"2s\"\n[history]\nseries = 5\n");
    let first = run(&["check", "-c", file.path(), "--allow-host", "box"]);
    assert!(first.status.success() && first.stderr.is_empty());
    let text = String::from_utf8(first.stdout.clone()).expect("TOML is UTF-8");
    for line in ["interval = \"2s\"", "series = 5", "allow_host = [\"box\"]", "no_auth = false"] {
        assert!(text.lines().any(|printed| printed == line), "{line} is not in: {text}");
    }
    let printed = Written::new("printed", &first.stdout);
    assert_eq!(run(&["check", "-c", printed.path()]).stdout, first.stdout);
}

#[test]
fn a_mistake_in_the_file_stops_whatever_was_asked_for() {
    let file = Written::new("mistake", "\ninterval = \"soon\"\n");
    for word in [&["check"][..], &["once"], &[]] {
        let sentence = refusal(&[word, &["--config", file.path()]].concat());
        let beginning = format!("vitald: {}:2: interval: \"soon\" is not a dur", file.path());
        assert!(sentence.starts_with(&beginning), "{sentence}");
    }
}

#[test]
fn what_is_no_configuration_file_is_refused_in_a_sentence() {
    let folder = std::env::temp_dir();
    let latin = Written::new("latin", b"# caf\xe9\n");
    for (path, part) in [
        (Path::new("/nowhere/vitald.toml"), "there is no such file"),
        (&folder, "this is a directory"),
        (Path::new("/dev/zero"), "larger than 256 KiB"),
        (&latin.0, ":1: this is not UTF-8"),
    ] {
        let sentence = refusal(&["check", "-c", path.to_str().expect("the path is UTF-8")]);
        let shown = path.display().to_string();
        assert!(sentence.contains(&shown) && sentence.contains(part), "{sentence}");
    }
    let sentence = refusal(&["check", "-c", latin.path()]);
    let beginning = format!("vitald: {}:1: this is not UTF-8: ", latin.path());
    assert!(sentence.starts_with(&beginning), "like any mistake in the file: {sentence}");
}

#[test]
fn once_and_the_server_take_the_file() {
    let file = Written::new("served", "interval = \"100ms\"\nmax_connections = 1\n");
    let once = run(&["once", "-c", file.path()]);
    let message: Value = serde_json::from_slice(&once.stdout).expect("a snapshot is JSON");
    assert_eq!(message["type"], "metrics");
    let vitald = Vitald::start_with(&["-c", file.path()]);
    let _first = vitald.websocket("/ws");
    assert!(vitald.get("/healthz", "").starts_with("HTTP/1.1 503 "));
}
