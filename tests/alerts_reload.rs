//! SIGHUP as an operator sends it: the real binary reads its file again, or stops with its
//! terminal.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use serde_json::Value;
use support::{PATIENCE, Vitald, command, socket_path, until};

/// A vitald with a configuration file and a log of its own, and no terminal.
struct Desk {
    vitald: Vitald,
    file: PathBuf,
    log: PathBuf,
}

impl Desk {
    fn start(name: &str, text: &str) -> Desk {
        let path = socket_path(name);
        let (file, log) = (path.with_extension("toml"), path.with_extension("log"));
        fs::write(&file, text).expect("a file can be written");
        let mut command = command();
        command.args(["-l", "127.0.0.1:0", "--config"]).arg(&file).stdin(Stdio::null());
        command.stderr(File::create(&log).expect("a file can be made"));
        Desk { vitald: Vitald::start_as(&mut command), file, log }
    }

    /// Has it read `text`.
    fn reload(&self, text: &str) {
        fs::write(&self.file, text).expect("a file can be written");
        self.vitald.signal("-HUP");
    }

    fn alerts(&self) -> Value {
        let answer = self.vitald.get("/api/v1/alerts", "");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).expect("JSON")
    }

    /// Waits until these rules fire, and no other is there; gives since when.
    fn firing(&self, names: &[&str]) -> Vec<Value> {
        until(PATIENCE, "the rules fire", || {
            let rules = self.alerts()["rules"].take();
            let rules = rules.as_array().expect("a list");
            let is_so = rules.len() == names.len()
                && rules.iter().zip(names).all(|(r, n)| r["name"] == *n && r["state"] == "firing");
            is_so.then(|| rules.iter().map(|rule| rule["since"].clone()).collect())
        })
    }

    /// Waits for a line of the log that has all the `parts`, and gives it.
    fn logged(&self, parts: &[&str]) -> String {
        until(PATIENCE, &format!("{parts:?} is logged"), || {
            let log = fs::read_to_string(&self.log).expect("the log is there");
            let mut lines = log.lines();
            lines.find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        })
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = (fs::remove_file(&self.file), fs::remove_file(&self.log));
    }
}

/// A file with the rules of these names, which fire at once, and with further keys.
fn with_rules(names: &[&str], keys: &str) -> String {
    let mut text = format!("{keys}\n");
    for name in ["cpu", "memory", "connection_errors", "connection_failures", "latency"] {
        text += &format!("[[alert]]\nname = \"{name}\"\nenabled = false\n");
    }
    for name in names {
        text += &format!(
            "[[alert]]\nname = \"{name}\"\nmetric = \"memory.total\"\nabove = 0\n\
             hold = \"0s\"\n"
        );
    }
    text
}

const QUICK: &str = "interval = \"100ms\"";

#[test]
fn a_rule_added_by_a_reload_fires_and_one_that_fired_stays_as_it_was() {
    let desk = Desk::start("reload-adds", &with_rules(&["old"], QUICK));
    let since = desk.firing(&["old"]);
    desk.reload(&with_rules(&["old", "new"], QUICK));
    assert_eq!(desk.firing(&["old", "new"])[0], since[0]);
    desk.reload(&with_rules(&["new"], QUICK));
    desk.firing(&["new"]);
    let transitions = desk.alerts()["transitions"].take();
    let told: Vec<_> = transitions.as_array().expect("a list").iter().rev().collect();
    let told: Vec<_> = told.iter().map(|told| (&told["rule"], &told["state"])).collect();
    let expected = [("old", "firing"), ("new", "firing"), ("old", "resolved")];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((rule, state), expected) in told.into_iter().zip(expected) {
        assert_eq!((rule.as_str(), state.as_str()), (Some(expected.0), Some(expected.1)));
    }
}

#[test]
fn a_broken_file_is_refused_whole_and_its_line_and_key_are_logged() {
    let desk = Desk::start("reload-broken", &with_rules(&["old"], QUICK));
    let since = desk.firing(&["old"]);
    let broken = with_rules(&["new"], QUICK) + "abov = 5\n";
    desk.reload(&broken);
    let place =
        format!("{}:{}: [[alert]] \"new\" abov: ", desk.file.display(), broken.lines().count());
    let line = desk.logged(&["WARN", "reload refused=true", &place]);
    assert!(line.ends_with("is above meant?"), "{line}");
    assert_eq!(desk.firing(&["old"]), since);
    fs::remove_file(&desk.file).expect("it is there");
    desk.vitald.signal("-HUP");
    desk.logged(&["reload refused=true", "there is no such file"]);
    assert_eq!(desk.firing(&["old"]), since);
}

#[test]
fn the_level_changes_with_a_reload_and_what_does_not_is_named() {
    let desk = Desk::start("reload-level", &with_rules(&[], QUICK));
    desk.reload(&with_rules(&[], "interval = \"200ms\"\nlog_level = \"debug\"\nno_auth = true"));
    desk.logged(&["INFO", "reload keys=interval,no_auth ", "restart"]);
    desk.vitald.get("/healthz", "");
    desk.logged(&["DEBUG", "vitald"]);
}

#[test]
fn a_command_that_is_no_program_is_named_at_start_and_a_good_one_is_not() {
    let command =
        |name, program| format!("[[alert]]\nname = \"{name}\"\ncommand = \"{program}\"\n");
    let text = command("cpu", "/bin/sh") + &command("memory", "/etc/passwd");
    let text = text + &command("latency", "/nowhere/at/all");
    let desk = Desk::start("reload-program", &text);
    desk.logged(&["WARN", "rule=\"memory\" program=\"/etc/passwd\" executable=false"]);
    desk.logged(&["WARN", "rule=\"latency\" program=\"/nowhere/at/all\" executable=false"]);
    let log = fs::read_to_string(&desk.log).expect("the log is there");
    assert_eq!(log.matches("executable=").count(), 2, "{log}");
}

#[test]
fn a_terminal_that_goes_stops_it_in_order() {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
    unlockpt(&master).expect("it can be unlocked");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let terminal = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(name.to_str().expect("UTF-8"))
        .expect("it can be opened");
    let mut command = command();
    command.args(["-l", "127.0.0.1:0"]).stdin(Stdio::null()).stderr(terminal);
    let mut vitald = Vitald::start_as(&mut command);
    drop((command, master));
    // A terminal that goes may send two.
    for _ in 0..2 {
        vitald.signal("-HUP");
    }
    assert!(vitald.wait().success());
}
