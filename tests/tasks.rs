//! The life of tasks on a wire and a clock of the test's own. The engine audits its books, tasks
//! among them, after each turn of these tests; the handler has them checked within it.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use frames::UPGRADE;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::connection::CloseReason;
use vitald::engine::connection::head::Request;
use vitald::engine::connection::response::Response;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Cancel, Context, Handler, Message};
use vitald::engine::ledger::Resource;
use vitald::engine::limits::Limits;
use vitald::engine::tasks::{Owner, Run, TaskCounts, TaskId, TaskState};
use wire::{Wire, run_until, settle};

/// Spawns and cancels as the paths that are asked for say.
#[derive(Default)]
struct Jobs {
    /// Say `Wait` to a cancelled task.
    winds_down: bool,
    spawned: Vec<TaskId>,
    refused: usize,
    runs: Vec<&'static str>,
    told: usize,
    forced: usize,
}

impl Handler for Jobs {
    fn request(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        request: &Request<'_>,
    ) -> Answer {
        assert_eq!(context.check(), Ok(()));
        let second = Duration::from_secs(1);
        let first = context.now() + second;
        let spawned = match request.path() {
            "/ws" => return Answer::Upgrade { protocol: None },
            "/every" => context.spawn_every("every", Owner::Handler, first, second),
            "/mine" => context.spawn_every("mine", Owner::Connection(handle), first, second),
            "/after" => context.spawn_after("after", Owner::Handler, second),
            "/engine" => context.spawn_after("not yours", Owner::Engine, second),
            "/cancel" => {
                self.spawned.iter().for_each(|task| context.cancel(*task));
                None
            }
            _ => {
                self.spawned.iter().for_each(|task| context.end(*task));
                None
            }
        };
        self.refused += usize::from(spawned.is_none());
        self.spawned.extend(spawned);
        Answer::Respond(Response::text(200, "so be it"))
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, _: Message<'_>) {
        assert_eq!(context.check(), Ok(()));
        context.close(handle, 1000, "bye", CloseReason::Closed);
    }

    fn task(&mut self, context: &mut Context<'_>, run: Run) {
        assert_eq!(context.check(), Ok(()));
        self.runs.push(run.name);
    }

    fn cancel(&mut self, _: &mut Context<'_>, _: TaskId) -> Cancel {
        self.told += 1;
        if self.winds_down { Cancel::Wait } else { Cancel::Done }
    }

    fn forced(&mut self, _: &mut Context<'_>, _: TaskId) {
        self.forced += 1;
    }
}

type Jobbed = Engine<Jobs, Wire, Manual>;

fn start(winds_down: bool) -> (Jobbed, Wire) {
    Wire::engine(Limits::default(), Jobs { winds_down, ..Jobs::default() })
}

fn ask(engine: &mut Jobbed, wire: &Wire, client: usize, path: &str) {
    wire.send(client, format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    settle(engine);
}

fn none() -> TaskCounts {
    TaskCounts::default()
}

#[test]
fn a_delayed_task_runs_once_and_is_completed() {
    let (mut engine, wire) = start(false);
    let client = wire.connect(1 << 20);
    ask(&mut engine, &wire, client, "/after");
    assert_eq!(engine.task_counts(), TaskCounts { running: 1, ..none() });
    run_until(&mut engine, &wire, 5_000);
    assert_eq!(engine.handler().runs, ["after"]);
    assert_eq!(engine.task_counts(), TaskCounts { completed: 1, ..none() });
}

#[test]
fn a_task_that_is_cancelled_runs_no_more() {
    let (mut engine, wire) = start(false);
    let client = wire.connect(1 << 20);
    ask(&mut engine, &wire, client, "/every");
    run_until(&mut engine, &wire, 2_500);
    ask(&mut engine, &wire, client, "/cancel");
    run_until(&mut engine, &wire, 9_000);
    assert_eq!(engine.handler().runs, ["every", "every"]);
    assert_eq!((engine.handler().told, engine.handler().forced), (1, 0));
    assert_eq!(engine.task_counts(), TaskCounts { cancelled: 1, ..none() });
}

#[test]
fn a_task_that_winds_down_in_time_is_cancelled_in_order() {
    let (mut engine, wire) = start(true);
    let client = wire.connect(1 << 20);
    ask(&mut engine, &wire, client, "/every");
    ask(&mut engine, &wire, client, "/cancel");
    let states: Vec<_> = engine.tasks().map(|task| (task.name, task.state)).collect();
    assert_eq!(states, [("every", TaskState::Cancelling)]);
    run_until(&mut engine, &wire, 900);
    ask(&mut engine, &wire, client, "/wound-down");
    run_until(&mut engine, &wire, 3_000);
    assert_eq!(engine.handler().forced, 0);
    assert_eq!(engine.task_counts(), TaskCounts { cancelled: 1, ..none() });
}

#[test]
fn a_task_that_does_not_wind_down_is_forced_after_one_second() {
    let (mut engine, wire) = start(true);
    let client = wire.connect(1 << 20);
    ask(&mut engine, &wire, client, "/every");
    ask(&mut engine, &wire, client, "/cancel");
    run_until(&mut engine, &wire, 990);
    assert_eq!(engine.task_counts(), TaskCounts { cancelling: 1, ..none() });
    run_until(&mut engine, &wire, 1_010);
    assert_eq!(engine.handler().forced, 1);
    assert_eq!(engine.task_counts(), TaskCounts { cancelled: 1, forced: 1, ..none() });
}

#[test]
fn the_end_of_a_connection_cancels_its_tasks_and_no_others() {
    let (mut engine, wire) = start(false);
    let (one, other) = (wire.connect(1 << 20), wire.connect(1 << 20));
    ask(&mut engine, &wire, one, "/mine");
    ask(&mut engine, &wire, other, "/every");
    wire.end(one);
    settle(&mut engine);
    assert_eq!(engine.task_counts(), TaskCounts { running: 1, cancelled: 1, ..none() });
    assert_eq!(engine.tasks().next().map(|task| task.name), Some("every"));
}

#[test]
fn a_drain_cancels_every_task_and_waits_for_those_that_wind_down() {
    let (mut engine, wire) = start(true);
    let client = wire.connect(1 << 20);
    ask(&mut engine, &wire, client, "/every");
    engine.shutdown();
    assert!(!settle(&mut engine).finished, "a task winds down");
    run_until(&mut engine, &wire, 2_000);
    assert!(settle(&mut engine).finished);
    let counts = engine.task_counts();
    assert_eq!((counts.running, counts.cancelling, counts.forced), (0, 0, 1));
    assert_eq!(engine.ledger().row(Resource::Timer).live(), 0, "nor is a timer left");
}

#[test]
fn an_open_websocket_is_a_task_that_its_peer_completes() {
    let (mut engine, wire) = start(false);
    let client = wire.connect(1 << 20);
    wire.send(client, UPGRADE);
    settle(&mut engine);
    let streams: Vec<_> = engine.tasks().map(|task| (task.name, task.state)).collect();
    assert_eq!(streams, [("stream", TaskState::Running)]);
    wire.end(client);
    settle(&mut engine);
    assert_eq!(engine.task_counts(), TaskCounts { completed: 1, ..none() });
}

#[test]
fn a_stream_that_we_close_is_cancelling_and_forced_if_its_peer_stays_mute() {
    let (mut engine, wire) = start(false);
    let client = wire.connect(1 << 20);
    wire.send(client, UPGRADE);
    wire.send(client, &[0x81, 0x81, 0, 0, 0, 0, b'x']);
    settle(&mut engine);
    assert_eq!(engine.task_counts(), TaskCounts { cancelling: 1, ..none() });
    run_until(&mut engine, &wire, 1_010);
    assert_eq!(engine.task_counts(), TaskCounts { cancelled: 1, forced: 1, ..none() });
}

#[test]
fn a_full_table_refuses_and_the_engines_places_are_not_for_others() {
    let limits = Limits { tasks_max: 2, ..Limits::default() };
    let (mut engine, wire) = Wire::engine(limits, Jobs::default());
    let client = wire.connect(1 << 20);
    ask(&mut engine, &wire, client, "/engine");
    assert_eq!((engine.handler().spawned.len(), engine.handler().refused), (0, 1));
    for _ in 0..3 {
        ask(&mut engine, &wire, client, "/every");
    }
    assert_eq!((engine.handler().spawned.len(), engine.handler().refused), (2, 2));
}
