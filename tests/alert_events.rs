//! What subscribers are told of alerts, on a wire, a clock and figures of the test's own; and the
//! commands as tasks of the engine, which are real processes on that clock.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use frames::{UPGRADE, UPGRADE_WITHOUT_HISTORY, take_frames, take_switching};
use serde_json::{Value, json};
use vitald::app::App;
use vitald::app::access::Access;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::limits::Limits;
use vitald::engine::tasks::TaskState;
use vitald::metrics::MetricsService;
use vitald::metrics::alerts::{Rules, Setting};
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, run_until, settle};

type Vitald = Engine<App, Wire, Manual>;

/// A load that the test sets.
#[derive(Clone, Default)]
struct Load(Arc<AtomicU64>);

impl Load {
    fn set(&self, load: u64) {
        self.0.store(load, Ordering::Relaxed);
    }
}

impl Source for Load {
    fn read(&mut self, _: Duration, into: &mut Snapshot) {
        into.load.one = Some(self.0.load(Ordering::Relaxed) as f64);
    }
}

fn rules(name: &str, command: &[&str]) -> Rules {
    rules_that_hold(name, command, Duration::ZERO)
}

fn rules_that_hold(name: &str, command: &[&str], hold: Duration) -> Rules {
    let mut rules = Rules::none();
    let setting = Setting {
        name: name.to_owned(),
        metric: Some("load.one".to_owned()),
        above: Some(10.0),
        hold: Some(hold),
        command: Some(command.iter().map(|&word| word.to_owned()).collect()),
        ..Setting::default()
    };
    rules.set(&setting).expect("the setting is right");
    rules
}

/// Samples each second.
fn start(rules: Rules) -> (Vitald, Wire, Load) {
    start_with(rules, None)
}

/// The same, and while nobody watches only as often as `idle` says.
fn start_with(rules: Rules, idle: Option<Duration>) -> (Vitald, Wire, Load) {
    let (limits, load) = (Limits::default(), Load::default());
    let second = Duration::from_secs(1);
    let mut metrics = MetricsService::with_source(Box::new(load.clone()), Facts::default(), second);
    metrics.sample_when_idle(idle);
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots()).with_alerts(rules);
    let (server, wire) = Wire::engine(limits, app);
    (server, wire, load)
}

fn open(server: &mut Vitald, wire: &Wire, upgrade: &[u8]) -> usize {
    let client = wire.connect(1 << 20);
    wire.send(client, upgrade);
    settle(server);
    client
}

/// What a client has been sent, metrics left out; the handshake's answer is taken first.
fn heard(wire: &Wire, client: usize, is_new: bool) -> Vec<Value> {
    let mut taken = wire.take(client, usize::MAX);
    assert!(!is_new || take_switching(&mut taken));
    let frames = take_frames(&mut taken).into_iter();
    let messages = frames.map(|frame| serde_json::from_slice(&frame.payload).expect("JSON"));
    messages.filter(|message: &Value| message["type"] != "metrics").collect()
}

/// The event of a second, in which the tick comes up to a step of the timers late.
fn alert(heard: &Value, state: &str, value: u64, second: u64) -> Value {
    let since = heard["since"].as_u64().unwrap_or_default();
    assert_eq!(since / 1000, second, "{heard}");
    json!({
        "type": "alert", "rule": "load", "metric": "load.one", "state": state, "value": value,
        "threshold": 10, "since": since, "severity": "warning",
    })
}

/// The one event that a client has been sent.
fn event(wire: &Wire, client: usize, state: &str, value: u64, second: u64) -> Value {
    let heard = heard(wire, client, false);
    assert_eq!(heard, [alert(&heard[0], state, value, second)]);
    heard[0].clone()
}

#[test]
fn who_is_there_is_told_by_an_event_and_who_comes_is_told_by_hello() {
    let (mut server, wire, load) = start(rules("load", &[]));
    let client = open(&mut server, &wire, UPGRADE);
    assert_eq!(heard(&wire, client, true)[0]["alerts"], json!([]));
    load.set(11);
    run_until(&mut server, &wire, 1500);
    let event_fired = event(&wire, client, "firing", 11, 1);
    for upgrade in [UPGRADE, UPGRADE_WITHOUT_HISTORY] {
        let late = open(&mut server, &wire, upgrade);
        assert_eq!(heard(&wire, late, true)[0]["alerts"], json!([event_fired]));
    }
    load.set(1);
    run_until(&mut server, &wire, 2500);
    event(&wire, client, "resolved", 1, 2);
    let late = open(&mut server, &wire, UPGRADE);
    assert_eq!(heard(&wire, late, true)[0]["alerts"], json!([]));
}

#[test]
fn a_hello_that_is_kept_is_not_one_from_before_the_alert() {
    let (mut server, wire, load) = start(rules("load", &[]));
    let first = wire.connect(1 << 20);
    settle(&mut server);
    // Served in the turn of the tick and before it: the sample is over, so hello takes another, and
    // the tick's has the same time.
    load.set(11);
    wire.send(first, UPGRADE);
    // Past the step of the timers in which the tick is.
    wire.clock().advance(Duration::from_millis(1008));
    settle(&mut server);
    let told = heard(&wire, first, true);
    assert_eq!(told[0]["alerts"], json!([]), "it was there before");
    assert_eq!(told[1..], [alert(&told[1], "firing", 11, 1)]);
    let second = open(&mut server, &wire, UPGRADE);
    let hello = heard(&wire, second, true).remove(0);
    assert_eq!(hello["snapshot"]["t"], told[0]["snapshot"]["t"], "the samples have one time");
    assert_eq!(hello["alerts"], json!([told[1]]));
}

#[test]
fn an_alert_whose_rule_is_taken_away_has_resolved() {
    let (mut server, wire, load) = start(rules("load", &[]));
    load.set(11);
    let client = open(&mut server, &wire, UPGRADE);
    run_until(&mut server, &wire, 1500);
    heard(&wire, client, true);
    server.act(|app, context| app.set_alerts(context, rules("load", &[])));
    assert!(heard(&wire, client, false).is_empty(), "nothing has changed");
    server.act(|app, context| app.set_alerts(context, rules("other", &[])));
    settle(&mut server);
    event(&wire, client, "resolved", 11, 1);
    let late = open(&mut server, &wire, UPGRADE);
    assert_eq!(heard(&wire, late, true)[0]["alerts"], json!([]));
}

/// The second of the first alert, where the tick of each second is served these milliseconds late.
fn fired_in(rules: Rules, idle_s: Option<u64>, late_ms: &[u64]) -> Option<u64> {
    let (mut server, wire, load) = start_with(rules, idle_s.map(Duration::from_secs));
    settle(&mut server);
    load.set(11);
    for (second, late_ms) in (1..).zip(late_ms) {
        let rest_ms = (second * 1000 + late_ms).saturating_sub(wire.now_ms());
        wire.clock().advance(Duration::from_millis(rest_ms));
        settle(&mut server);
        let client = wire.connect(1 << 20);
        wire.send(client, b"GET /api/v1/alerts HTTP/1.1\r\nHost: localhost\r\n\r\n");
        settle(&mut server);
        if wire.text(client).contains(r#""state":"firing""#) {
            return Some(second);
        }
        wire.end(client);
        settle(&mut server);
    }
    None
}

#[test]
fn a_hold_takes_its_time_and_no_interval_more_whichever_tick_is_late() {
    let hold = |seconds| rules_that_hold("load", &[], Duration::from_secs(seconds));
    for late_ms in [[8, 8, 8, 8], [400, 8, 8, 8], [9, 60, 8, 8], [8, 8, 400, 8], [30, 20, 10, 8]] {
        assert_eq!(fired_in(hold(2), None, &late_ms), Some(3), "{late_ms:?}");
    }
    // Samples are taken in the seconds 0, 10 and 20.
    let mut late_ms = [8; 30];
    late_ms[9] = 100;
    assert_eq!(fired_in(hold(10), Some(10), &late_ms), Some(20));
}

#[test]
fn ticks_that_are_skipped_count_for_the_hold_and_those_after_them_no_more_than_others() {
    let hold = |seconds| rules_that_hold("load", &[], Duration::from_secs(seconds));
    // The second is served with the fourth, in which it stands for that.
    assert_eq!(fired_in(hold(4), None, &[8, 2400, 8, 8]), None);
    let late_ms = [8, 2400];
    assert_eq!(fired_in(hold(3), None, &late_ms), Some(2), "in the fourth second");
}

/// The command's task, if it is there.
fn command_task(server: &Vitald) -> Option<TaskState> {
    server.tasks().find(|task| task.name == "alert-command").map(|task| task.state)
}

/// Asks again until there is an answer; many seconds' worth of times.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3_000_000 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::yield_now();
    }
    panic!("it never came to this: {what}");
}

#[test]
fn the_commands_of_a_figure_run_one_after_the_other() {
    let name = format!("vitald-alert-order-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let script = "while [ $1 = firing ] && [ ! -e $0.go ]; do sleep 0.01; done; \
                  echo $1 >> $0; echo $$ > $0.$1.new; mv $0.$1.new $0.$1";
    let shown = path.to_str().expect("UTF-8");
    let (mut server, wire, load) = start(rules("load", &["sh", "-c", script, shown, "{state}"]));
    load.set(11);
    run_until(&mut server, &wire, 1500);
    load.set(1);
    run_until(&mut server, &wire, 2500);
    let commands = server.tasks().filter(|task| task.name == "alert-command").count();
    assert_eq!(commands, 1, "the other waits");
    let go = format!("{shown}.go");
    fs::write(&go, "").expect("a file can be written");
    // It is not the clock's time that the processes take.
    for (state, now_ms) in [("firing", 2700), ("resolved", 2900)] {
        let done = format!("{shown}.{state}");
        let pid = until("it is done", || fs::read_to_string(&done).ok());
        let stat = format!("/proc/{}/stat", pid.trim_end());
        until("it ends", || fs::read_to_string(&stat).ok().filter(|stat| stat.contains(") Z ")));
        run_until(&mut server, &wire, now_ms);
        fs::remove_file(&done).expect("it is there");
    }
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "firing\nresolved\n");
    assert_eq!(command_task(&server), None);
    for path in [shown, &go] {
        fs::remove_file(path).expect("it is there");
    }
}

/// Lets the clock go on until the processes have gone, which takes them as long as it takes.
fn run_until_reaped(server: &mut Vitald, wire: &Wire) {
    while server.tasks().any(|task| task.name.starts_with("alert-")) {
        let now_ms = wire.now_ms();
        run_until(server, wire, now_ms + 50);
        std::thread::yield_now();
    }
}

/// A file by which a command says that it no longer heeds SIGTERM: until then it would.
struct Sign(PathBuf);

impl Sign {
    fn new(name: &str) -> Sign {
        Sign(std::env::temp_dir().join(format!("vitald-sign-{name}-{}", std::process::id())))
    }

    /// A command that only SIGKILL ends.
    fn stubborn(&self) -> [&str; 4] {
        let path = self.0.to_str().expect("it is UTF-8");
        ["sh", "-c", "trap '' TERM; : > \"$0\"; while :; do sleep 1; done", path]
    }

    fn wait(&self) {
        let patience = Instant::now() + Duration::from_secs(10);
        while !self.0.exists() {
            assert!(Instant::now() < patience, "the command has not begun");
            std::thread::yield_now();
        }
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_command_is_cancelling_from_sigterm_to_sigkill() {
    let sign = Sign::new("cancelling");
    let (mut server, wire, load) = start(rules("load", &sign.stubborn()));
    load.set(11);
    run_until(&mut server, &wire, 2000);
    sign.wait();
    run_until(&mut server, &wire, 10_990);
    assert_eq!(command_task(&server), Some(TaskState::Running));
    run_until(&mut server, &wire, 11_010);
    assert_eq!(command_task(&server), Some(TaskState::Cancelling));
    run_until(&mut server, &wire, 12_010);
    assert_eq!(command_task(&server), None);
    run_until_reaped(&mut server, &wire);
}

#[test]
fn a_drain_waits_for_a_command_for_a_second_and_is_then_complete() {
    let sign = Sign::new("drain");
    let (mut server, wire, load) = start(rules("load", &sign.stubborn()));
    load.set(11);
    run_until(&mut server, &wire, 2000);
    sign.wait();
    server.shutdown();
    assert!(!settle(&mut server).finished);
    assert_eq!(command_task(&server), Some(TaskState::Cancelling));
    run_until(&mut server, &wire, 3010);
    assert_eq!((command_task(&server), server.task_counts().forced), (None, 1));
    run_until_reaped(&mut server, &wire);
    assert!(settle(&mut server).finished);
}

#[test]
fn a_command_that_heeds_sigterm_in_a_drain_is_cancelled_in_order() {
    let name = format!("vitald-alert-events-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let script = "echo $$ > $0.new; mv $0.new $0; exec sleep 1000";
    let command = ["sh", "-c", script, path.to_str().expect("UTF-8")];
    let (mut server, wire, load) = start(rules("load", &command));
    load.set(11);
    run_until(&mut server, &wire, 2000);
    let pid = until("it runs", || fs::read_to_string(&path).ok());
    fs::remove_file(&path).expect("it is there");
    server.shutdown();
    settle(&mut server);
    let stat = format!("/proc/{}/stat", pid.trim_end());
    until("it has ended", || fs::read_to_string(&stat).ok().filter(|stat| stat.contains(") Z ")));
    // It is not the clock's time that the process took.
    run_until(&mut server, &wire, 2100);
    assert!(fs::read_to_string(&stat).is_err(), "it has been reaped");
    assert!(settle(&mut server).finished);
    assert_eq!(server.task_counts().forced, 0);
}
