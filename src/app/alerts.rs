//! Alerts at work: what the rules say of a sample reaches those who are to know.
//!
//! Owns [`Alarm`], the rules with their states and the commands that run. A transition goes to the
//! log, to every subscriber as an event, and to the rule's command; the last ones can be asked for.
//! Owns no clock and no socket; joins the rules of the metrics and the tasks of the engine.

pub mod commands;
pub mod messages;
mod process;
mod words;

use std::path::Path;
use std::time::Duration;

use self::commands::Commands;
use self::messages::{AlertMessage, Firing, Whole};
use super::broadcast;
use super::json;
use super::protocol::write_json;
use crate::engine::connection::frame::{Frame, Kind};
use crate::engine::connection::response::Response;
use crate::engine::handler::{Cancel, Context};
use crate::engine::tasks::{Run, TaskId};
use crate::metrics::alerts::{Alerts, Rules, Severity, Transition};
use crate::metrics::snapshot::Snapshot;

/// The rules and their commands.
#[derive(Debug)]
pub struct Alarm {
    alerts: Alerts,
    commands: Commands,
}

impl Alarm {
    /// These rules, each in its first state, on the host of that name.
    pub fn new(rules: Rules, host: &str) -> Alarm {
        Alarm { alerts: Alerts::new(rules), commands: Commands::new(host) }
    }

    /// Bytes that it takes at most; what [`Alerts::memory_ceiling`] leaves out is not in it.
    pub fn memory_ceiling() -> usize {
        Alerts::memory_ceiling() + Commands::memory_ceiling()
    }

    /// Takes the sample of the tick that was due at `due`; true if there was a transition.
    pub fn evaluate(
        &mut self,
        context: &mut Context<'_>,
        due: Duration,
        snapshot: &Snapshot,
    ) -> bool {
        let Alarm { alerts, commands } = self;
        let mut is_told = false;
        alerts.evaluate(due, snapshot, |transition| {
            is_told = true;
            tell(context, commands, transition);
        });
        is_told
    }

    /// Puts other rules in the place of those at work; true if one that fired is not among them.
    /// What a command runs for by an old one goes on.
    pub fn replace(&mut self, context: &mut Context<'_>, rules: Rules, wall_ms: u64) -> bool {
        let Alarm { alerts, commands } = self;
        let mut is_told = false;
        alerts.replace(rules, wall_ms, |transition| {
            is_told = true;
            tell(context, commands, transition);
        });
        is_told
    }

    /// The alerts that fire, as messages in a list.
    pub fn firing(&self) -> Firing<'_> {
        Firing(&self.alerts)
    }

    /// Answers with all rules, the last transitions and what became of the commands.
    pub fn answer(&self, context: &Context<'_>) -> Response {
        let bytes_max = context.limits().reply_bytes_max;
        let frame = Frame::new(Kind::Plain, |out| write_json(&Whole(self), out));
        if frame.len() > bytes_max {
            let reason = format!("more rows than the {bytes_max} bytes of an answer can list");
            return Response::text(503, &reason).with("Retry-After", "1");
        }
        json(frame)
    }

    /// A task is due: true if it is a command's.
    pub fn task(&mut self, context: &mut Context<'_>, run: Run) -> bool {
        self.commands.task(context, run)
    }

    /// A task is being cancelled: `None` if it is not a command's.
    pub fn cancel(&mut self, context: &mut Context<'_>, task: TaskId) -> Option<Cancel> {
        self.commands.cancel(context, task)
    }

    /// A task has not wound down in time.
    pub fn forced(&mut self, task: TaskId) {
        self.commands.forced(task);
    }

    /// A drain has begun.
    pub fn drain(&mut self) {
        self.commands.drain();
    }
}

/// Says which commands cannot be started as things are. One without a path is looked for when it
/// runs.
pub fn warn_of_programs(rules: &Rules) {
    for rule in rules.iter().filter(|rule| rule.enabled) {
        let program = rule.command.first().map(Path::new).filter(|program| program.is_absolute());
        if let Some(program) = program.filter(|program| !process::is_program(program)) {
            log::warn!(
                "alert command rule={:?} program={program:?} executable=false action=\"try anyway\"",
                rule.name
            );
        }
    }
}

fn tell(context: &mut Context<'_>, commands: &mut Commands, transition: &Transition) {
    log_transition(transition);
    let mut message = Vec::new();
    write_json(&AlertMessage(transition), &mut message);
    let message = String::from_utf8(message).expect("JSON is UTF-8");
    // If there is no frame for it, the engine has counted that and says so; a page that comes anew
    // finds the state in its hello.
    let _ = broadcast(context, &message);
    commands.run(context, transition);
}

fn log_transition(transition: &Transition) {
    let rule = &*transition.rule;
    let is_loud = transition.is_firing && rule.severity != Severity::Info;
    let level = if is_loud { log::Level::Warn } else { log::Level::Info };
    // With the decimals that a reader of JSON sees as well.
    let value = serde_json::to_string(&rule.show(transition.value));
    log::log!(
        level,
        "alert rule={:?} metric={:?} state={} value={} threshold={} severity={}",
        rule.name,
        transition.metric,
        transition.state(),
        value.expect("a number can be written"),
        rule.bound.threshold(),
        rule.severity.name(),
    );
}
