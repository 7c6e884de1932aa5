//! Alerts from end to end: the real binary, a real configuration, real commands. The figure that
//! the rules watch is the number of connections, which the test has in its hand.

mod support;

use std::fs;
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::{Vitald, answer, next, next_of, until};

/// Long enough for a timeout of 10 s and what comes after it, on a host that is busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// A folder of a test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("vitald-alerts-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder can be made");
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Starts vitald with these alerts, each a name and a command, and without the built-in ones.
    /// They fire at more than 4 connections and resolve at 2; this one request is one.
    fn start(&self, alerts: &[(&str, &[&str])]) -> Watched {
        let mut text = String::new();
        for name in ["cpu", "memory", "connection_errors", "connection_failures", "latency"] {
            text += &format!("[[alert]]\nname = \"{name}\"\nenabled = false\n");
        }
        for (name, command) in alerts {
            text += &format!(
                "[[alert]]\nname = \"{name}\"\nmetric = \"server.connections.active\"\n\
                 above = 4\nclear = 2\nhold = \"0s\"\nseverity = \"critical\"\n\
                 command = {command:?}\n"
            );
        }
        fs::write(self.0.join("vitald.toml"), text).expect("a file can be written");
        Watched(Vitald::start_with(&["--config", &self.path("vitald.toml")]))
    }
}

/// A vitald whose commands end with it, even if a test fails: it is killed, and cannot see to it.
struct Watched(Vitald);

impl Deref for Watched {
    type Target = Vitald;

    fn deref(&self) -> &Vitald {
        &self.0
    }
}

impl DerefMut for Watched {
    fn deref_mut(&mut self) -> &mut Vitald {
        &mut self.0
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        for leader in children(self) {
            let _ = Command::new("kill").args(["-9", "--", &format!("-{leader}")]).status();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// More connections than the rules allow, which stay for the 30 s that an idle one may.
fn fire(vitald: &Vitald) -> Vec<TcpStream> {
    let mut crowd: Vec<_> = (0..5).map(|_| vitald.connect()).collect();
    for stream in &mut crowd {
        vitald.send_get(stream, "GET", "/healthz");
        assert_eq!(answer(stream, true).1, "ok");
    }
    crowd
}

fn alerts(vitald: &Vitald) -> Value {
    let answer = vitald.get("/api/v1/alerts", "");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    serde_json::from_str(body).expect("JSON")
}

/// Waits until the commands are as `is_so` asks.
fn commands(vitald: &Vitald, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    until(PATIENCE, what, || {
        let commands = alerts(vitald)["commands"].take();
        is_so(&commands).then_some(commands)
    })
}

/// Children of vitald that are there, zombies among them.
fn children(vitald: &Vitald) -> Vec<String> {
    let own = vitald.id();
    let list = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
    list.map(|list| list.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}

fn wait_for(path: impl AsRef<Path>) -> String {
    until(PATIENCE, "a file", || fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n')))
}

#[test]
fn a_rule_that_fires_and_resolves_tells_its_command_its_subscribers_and_the_api() {
    let folder = Folder::new("tells");
    let out = folder.path("out");
    let script = "env | grep ^VITALD_ | grep -v ^VITALD_CONFIG= | sort > $0.$1.new; echo \"$2\" >> $0.$1.new; \
                  mv $0.$1.new $0.$1";
    let command = ["sh", "-c", script, &out, "{state}", "{name}: {metric} > {threshold}"];
    let vitald = folder.start(&[("crowd", &command)]);
    let mut socket = vitald.websocket("/ws?history=0");
    assert_eq!(next(&mut socket)["alerts"], serde_json::json!([]));
    let crowd = fire(&vitald);
    let event = next_of(&mut socket, "alert");
    assert_eq!(event["rule"], "crowd");
    assert_eq!(event["metric"], "server.connections.active");
    assert_eq!((&event["state"], &event["threshold"]), (&"firing".into(), &4.into()));
    assert_eq!(event["severity"], "critical");
    let (value, since) = (event["value"].as_u64(), event["since"].as_u64());
    assert!(value.is_some_and(|value| value > 4) && since.is_some(), "{event}");
    // Whoever comes now is told by hello.
    let mut late = vitald.websocket("/ws");
    assert_eq!(next(&mut late)["alerts"], serde_json::json!([event]));
    drop(late);

    let told = wait_for(format!("{out}.firing"));
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("the host has a name");
    let expected = [
        format!("VITALD_ALERT_HOST={}", host.trim_end()),
        "VITALD_ALERT_METRIC=server.connections.active".to_owned(),
        "VITALD_ALERT_NAME=crowd".to_owned(),
        "VITALD_ALERT_SEVERITY=critical".to_owned(),
        format!("VITALD_ALERT_SINCE={}", event["since"]),
        "VITALD_ALERT_STATE=firing".to_owned(),
        "VITALD_ALERT_THRESHOLD=4".to_owned(),
        format!("VITALD_ALERT_VALUE={}", event["value"]),
        "crowd: server.connections.active > 4".to_owned(),
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);

    drop(crowd);
    let resolved = next_of(&mut socket, "alert");
    assert_eq!((&resolved["state"], &resolved["rule"]), (&"resolved".into(), &"crowd".into()));
    assert!(wait_for(format!("{out}.resolved")).contains("VITALD_ALERT_STATE=resolved\n"));
    commands(&vitald, "both have succeeded", |commands| commands["succeeded"] == 2);
    let answer = alerts(&vitald);
    assert_eq!(answer["transitions"], serde_json::json!([resolved, event]));
    let row = &answer["rules"][0];
    assert_eq!((&row["name"], &row["state"]), (&"crowd".into(), &"ok".into()));
    assert_eq!((&row["above"], &row["clear"], &row["hold_s"]), (&4.into(), &2.into(), &0.into()));
    assert_eq!((&row["command"], &row["flapping"]), (&true.into(), &false.into()));
    assert_eq!(answer["rules"].as_array().map(Vec::len), Some(1), "the built-in ones are off");
    assert!(!answer.to_string().contains("grep"), "a command's arguments are its own");
    assert_eq!(children(&vitald), [""; 0]);
}

#[test]
fn a_command_that_does_not_heed_sigterm_is_killed_with_all_it_has_started() {
    let folder = Folder::new("stubborn");
    let pids = folder.path("pids");
    let script = "trap '' TERM; (while :; do sleep 0.1; done) & \
                  echo $$ $! > $0.new; mv $0.new $0; while :; do sleep 0.1; done";
    let vitald = folder.start(&[("stubborn", &["sh", "-c", script, &pids])]);
    let _crowd = fire(&vitald);
    let pids = wait_for(&pids);
    assert_eq!(children(&vitald).len(), 1);
    let counts = commands(&vitald, "it has timed out", |commands| commands["timed_out"] == 1);
    assert_eq!((&counts["started"], &counts["running"]), (&1.into(), &0.into()));
    assert_eq!((&counts["succeeded"], &counts["failed"]), (&0.into(), &0.into()));
    assert_eq!(children(&vitald), [""; 0], "it has been reaped");
    for pid in pids.split_whitespace() {
        until(PATIENCE, "the group has ended", || (!is_running(pid)).then_some(()));
    }
    let server = vitald.get("/api/v1/server", "");
    let (_, body) = server.split_once("\r\n\r\n").expect("a head and a body");
    let server: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(server["tasks"]["forced"], 1);
}

/// Whether a process is there and is no zombie.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn four_commands_run_at_a_time_and_the_others_wait() {
    let folder = Folder::new("four");
    let go = folder.path("go");
    let script = "until [ -e $0 ]; do sleep 0.05; done";
    let command: &[&str] = &["sh", "-c", script, &go];
    let names: Vec<String> = (0..25).map(|index| format!("rule{index}")).collect();
    let rules: Vec<_> = names.iter().map(|name| (name.as_str(), command)).collect();
    let vitald = folder.start(&rules);
    let _crowd = fire(&vitald);
    let counts = commands(&vitald, "all have fired", |commands| commands["dropped"] == 5);
    assert_eq!((&counts["running"], &counts["waiting"]), (&4.into(), &16.into()));
    assert_eq!(children(&vitald).len(), 4);
    fs::write(&go, "").expect("a file can be written");
    let counts = commands(&vitald, "all have run", |commands| commands["succeeded"] == 20);
    assert_eq!((&counts["running"], &counts["waiting"]), (&0.into(), &0.into()));
    assert_eq!((&counts["started"], &counts["failed"]), (&20.into(), &0.into()));
}

#[test]
fn commands_that_fail_or_cannot_be_started_are_counted_and_nothing_else_happens() {
    let folder = Folder::new("fail");
    let missing = folder.path("missing");
    let vitald = folder.start(&[
        ("status", &["false"]),
        ("signal", &["sh", "-c", "kill -9 $$"]),
        ("missing", &[&missing]),
        ("folder", &["/"]),
        ("good", &["true"]),
    ]);
    let _crowd = fire(&vitald);
    let counts = commands(&vitald, "all have ended", |commands| {
        commands["failed"] == 4 && commands["succeeded"] == 1
    });
    assert_eq!((&counts["started"], &counts["running"]), (&3.into(), &0.into()));
    assert_eq!(children(&vitald), [""; 0]);
    assert_eq!(alerts(&vitald)["transitions"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_stop_ends_the_commands_that_run_and_waits_for_them() {
    let folder = Folder::new("stop");
    let (pid, ended) = (folder.path("pid"), folder.path("ended"));
    let script = "trap 'echo > $1; exit' TERM; echo $$ > $0.new; mv $0.new $0; \
                  while :; do sleep 0.05; done";
    let stubborn = "trap '' TERM; while :; do sleep 0.05; done";
    let mut vitald = folder.start(&[
        ("gentle", &["sh", "-c", script, &pid, &ended]),
        ("stubborn", &["sh", "-c", stubborn]),
    ]);
    let crowd = fire(&vitald);
    wait_for(&pid);
    let pids =
        until(PATIENCE, "both run", || Some(children(&vitald)).filter(|pids| pids.len() == 2));
    drop(crowd);
    vitald.signal("-TERM");
    assert!(vitald.wait().success());
    assert!(Path::new(&ended).exists(), "it had the time to clean up");
    for pid in pids {
        until(PATIENCE, "it has ended", || (!is_running(&pid)).then_some(()));
    }
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_refused_at_start_and_one_without_a_figure_is_not() {
    let folder = Folder::new("refused");
    let check = |metric: &str| {
        let text = format!("[[alert]]\nname = \"a\"\nmetric = \"{metric}\"\nabove = 1\n");
        fs::write(folder.0.join("vitald.toml"), text).expect("a file can be written");
        Command::new(env!("CARGO_BIN_EXE_vitald"))
            .args(["check", "--config", &folder.path("vitald.toml")])
            .output()
            .expect("the binary starts")
    };
    let refused = check("disks.vda.speed");
    assert_eq!(refused.status.code(), Some(2));
    let sentence = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(sentence.contains("vitald.toml:3: [[alert]] \"a\" metric: \"disks.vda.speed\" names"));
    let accepted = check("disks.nosuchdisk.utilisation");
    assert!(accepted.status.success());
    fs::write(folder.0.join("printed.toml"), &accepted.stdout).expect("a file can be written");
    let again = Command::new(env!("CARGO_BIN_EXE_vitald"))
        .args(["check", "--config", &folder.path("printed.toml")])
        .output()
        .expect("the binary starts");
    assert_eq!(accepted.stdout, again.stdout, "what is printed says the same");
}
