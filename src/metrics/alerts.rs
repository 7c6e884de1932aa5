//! Rules over figures: what has gone beyond its bound and what has come back.
//!
//! Owns [`Alerts`], which takes each sample and tells of transitions, and the last of those.
//! Promises: no clock of its own, no sockets; a tick that changes nothing allocates nothing and
//! parses nothing; at most [`WATCHES_MAX`] figures and [`TRANSITIONS_KEPT`] transitions. A row that
//! is gone keeps its state, as every figure that is not known does, but one of a rule for every
//! row: after [`GONE_AFTER`] that has resolved, and its place is free. May import: the data model.

mod rule;
mod target;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use self::rule::{
    Bound, COMMAND_BYTES_MAX, COMMAND_WORDS_MAX, HOLD, HOLD_MAX, METRIC_BYTES_MAX, Mistake,
    NAME_BYTES_MAX, RULES_MAX, Rule, Rules, Setting, Severity,
};
use self::target::Scope;
pub use self::watch::State;
use self::watch::{News, Watch};
use super::selected::Rounded;
use super::snapshot::Snapshot;

/// Figures that are watched at a time: one for each rule, the rest for the rows of those with `*`.
/// 300 bytes each. With half of it ten rules could not watch a dozen rows each.
pub const WATCHES_MAX: usize = 256;

/// Transitions that are kept to be looked up.
pub const TRANSITIONS_KEPT: usize = 64;

/// How long a row may be away before a rule for every row forgets it: an interface that is set up
/// anew, or a disk that is plugged in elsewhere, is back by then.
pub const GONE_AFTER: Duration = Duration::from_secs(300);

/// The tick at which a figure that has never been there is worth a word: rates need a second
/// sample.
const MISSING_AT: u64 = 2;

/// A figure that fires, or has resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// By which rule.
    pub rule: Arc<Rule>,
    /// The figure's path; of one row, where the rule is for every row.
    pub metric: Arc<str>,
    /// Whether it fires now or has resolved.
    pub is_firing: bool,
    /// The value of that tick; `None` if it is not known.
    pub value: Option<f64>,
    /// When that state began, in Unix milliseconds.
    pub since_ms: u64,
}

/// The state of one figure under one rule.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The figure's path; that of the rule where it is for every row and there is none.
    pub metric: &'a str,
    /// Where it is.
    pub state: State,
    /// The newest value; `None` if it is not known.
    pub value: Option<f64>,
    /// When the state began, in Unix milliseconds; 0 before the first value.
    pub since_ms: u64,
    /// Whether it goes to and fro too often to be told of each time.
    pub is_flapping: bool,
}

/// The rules at work.
#[derive(Debug)]
pub struct Alerts {
    ruled: Vec<Ruled>,
    /// The newest last.
    transitions: VecDeque<Transition>,
    /// Samples taken so far.
    ticks: u64,
    /// Whether there has been a row for which there was no place, which is said once.
    is_full: bool,
}

/// When a sample was taken.
#[derive(Clone, Copy)]
struct Tick {
    number: u64,
    now: Duration,
    wall_ms: u64,
}

/// A rule and what it watches.
#[derive(Debug)]
struct Ruled {
    rule: Arc<Rule>,
    watched: Vec<Watched>,
}

/// One figure.
#[derive(Debug)]
struct Watched {
    metric: Arc<str>,
    /// Of its row, where the rule is for every row.
    key: String,
    /// The tick at which the row was last there, and when that was.
    seen: u64,
    seen_at: Duration,
    watch: Watch,
}

impl Alerts {
    /// The rules that are enabled, each with what it watches in its first state.
    pub fn new(rules: Rules) -> Alerts {
        Alerts {
            ruled: rules.into_enabled().map(Ruled::new).collect(),
            transitions: VecDeque::with_capacity(TRANSITIONS_KEPT),
            ticks: 0,
            is_full: false,
        }
    }

    /// Takes a sample, at `now` of a clock that never goes back, and tells of each transition. A
    /// caller that samples at an interval gives the time that the sample was due: of a sample that
    /// is a little late, the real time would make the next hold a little too short, and its rule
    /// fire an interval later.
    pub fn evaluate(
        &mut self,
        now: Duration,
        snapshot: &Snapshot,
        mut tell: impl FnMut(&Transition),
    ) {
        self.ticks += 1;
        let tick = Tick { number: self.ticks, now, wall_ms: snapshot.time_ms };
        // New rules may have come beside those that have all their rows.
        let taken = self.ruled.iter().map(Ruled::places).sum();
        let mut room = WATCHES_MAX.saturating_sub(taken);
        let transitions = &mut self.transitions;
        let mut note = |transition: Transition| {
            tell(&transition);
            keep(transitions, transition);
        };
        let mut is_full = false;
        for ruled in &mut self.ruled {
            match ruled.rule.target.scope {
                Scope::Every => is_full |= !ruled.every(tick, snapshot, &mut room, &mut note),
                Scope::Single | Scope::Row(_) => ruled.one(tick, snapshot, &mut note),
            }
            if self.ticks == MISSING_AT {
                ruled.warn_if_missing();
            }
        }
        if is_full && !self.is_full {
            log::warn!("limit=watches watches_max={WATCHES_MAX} action=\"watch no more rows\"");
        }
        self.is_full |= is_full;
    }

    /// Puts `rules` in the place of those at work. A rule that is as it was keeps its states; what
    /// fires by one that is gone or changed has resolved, and that is told.
    pub fn replace(&mut self, rules: Rules, wall_ms: u64, mut tell: impl FnMut(&Transition)) {
        let mut old = std::mem::take(&mut self.ruled);
        for rule in rules.into_enabled() {
            let same = old.iter().position(|ruled| *ruled.rule == rule);
            self.ruled.push(same.map_or_else(|| Ruled::new(rule), |index| old.swap_remove(index)));
        }
        for ruled in &old {
            for watched in ruled.watched.iter().filter(|watched| watched.watch.is_told_firing) {
                let transition = ruled.transition(watched, false, wall_ms);
                tell(&transition);
                keep(&mut self.transitions, transition);
            }
        }
    }

    /// The state of every figure that is watched, by rule.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.ruled.iter().flat_map(Ruled::rows)
    }

    /// What those who have been told of each transition take to fire. A figure that flaps may be
    /// elsewhere.
    pub fn firing(&self) -> impl Iterator<Item = Transition> {
        self.ruled.iter().flat_map(|ruled| {
            let told = ruled.watched.iter().filter(|watched| watched.watch.is_told_firing);
            told.map(|watched| ruled.transition(watched, true, watched.watch.since_ms))
        })
    }

    /// The last transitions, the newest first.
    pub fn transitions(&self) -> impl Iterator<Item = &Transition> {
        self.transitions.iter().rev()
    }

    /// Bytes that the rules and their states take at most. The paths of rows are as long as the
    /// host makes them, and are not in it.
    pub fn memory_ceiling() -> usize {
        let texts = NAME_BYTES_MAX + METRIC_BYTES_MAX + COMMAND_BYTES_MAX;
        let rule = size_of::<Ruled>() + size_of::<Rule>() + texts;
        // A list of watches grows by doubling.
        RULES_MAX * (rule + COMMAND_WORDS_MAX * size_of::<String>())
            + 2 * (WATCHES_MAX + RULES_MAX) * size_of::<Watched>()
            + TRANSITIONS_KEPT * size_of::<Transition>()
    }
}

/// Keeps a transition, and no more than the last ones.
fn keep(transitions: &mut VecDeque<Transition>, transition: Transition) {
    if transitions.len() == TRANSITIONS_KEPT {
        transitions.pop_front();
    }
    transitions.push_back(transition);
}

impl Ruled {
    fn new(rule: Rule) -> Ruled {
        let mut ruled = Ruled { rule: Arc::new(rule), watched: Vec::new() };
        if ruled.rule.target.scope != Scope::Every {
            ruled.watched.push(Watched::new(&ruled.rule.metric, ""));
        }
        ruled
    }

    /// The places that it takes; one, where it has yet to see a row, is kept for it.
    fn places(&self) -> usize {
        self.watched.len().max(1)
    }

    /// Takes the value of a single figure.
    fn one(&mut self, tick: Tick, snapshot: &Snapshot, note: &mut impl FnMut(Transition)) {
        let value = self.rule.target.figure(snapshot);
        self.observe(0, tick, value, note);
    }

    /// Takes the value of each row; false if there was no place for one.
    fn every(
        &mut self,
        tick: Tick,
        snapshot: &Snapshot,
        room: &mut usize,
        note: &mut impl FnMut(Transition),
    ) -> bool {
        let Some(rows) = self.rule.target.rows(snapshot) else { return true };
        let mut has_room = true;
        for (index, record) in rows.iter().enumerate() {
            let key = record.key();
            // In the steady case each row is where it was.
            let known = match self.watched.get(index) {
                Some(watched) if watched.key == key => Some(index),
                _ => self.watched.iter().position(|watched| watched.key == key),
            };
            let Some(place) = known.or_else(|| self.enter(key, room)) else {
                has_room = false;
                continue;
            };
            let watched = &mut self.watched[place];
            // Of two rows with one key, such as mounts on each other, a path means the first.
            if watched.seen != tick.number {
                (watched.seen, watched.seen_at) = (tick.number, tick.now);
                let value = self.rule.target.figure_of(record);
                self.observe(place, tick, value, note);
            }
        }
        self.leave(tick, note);
        has_room
    }

    /// A place for a new row, unless all are taken.
    fn enter(&mut self, key: &str, room: &mut usize) -> Option<usize> {
        if !self.watched.is_empty() {
            *room = room.checked_sub(1)?;
        }
        self.watched.push(Watched::new(&self.rule.target.path_of(key), key));
        Some(self.watched.len() - 1)
    }

    /// Looks at the rows that are not there. One that has been away for long is let go; others have
    /// a value that is not known.
    fn leave(&mut self, tick: Tick, note: &mut impl FnMut(Transition)) {
        let mut place = 0;
        while let Some(watched) = self.watched.get(place) {
            if watched.seen == tick.number {
                place += 1;
            } else if tick.now.saturating_sub(watched.seen_at) < GONE_AFTER {
                self.observe(place, tick, None, note);
                place += 1;
            } else {
                let mut watched = self.watched.remove(place);
                watched.watch.value = None;
                if watched.watch.is_told_firing {
                    note(self.transition(&watched, false, tick.wall_ms));
                }
            }
        }
    }

    fn observe(
        &mut self,
        place: usize,
        tick: Tick,
        value: Option<f64>,
        note: &mut impl FnMut(Transition),
    ) {
        let watched = &mut self.watched[place];
        let Tick { now, wall_ms, .. } = tick;
        let News { firing, flapping } = watched.watch.observe(&self.rule, now, wall_ms, value);
        let (name, metric) = (&self.rule.name, &watched.metric);
        match flapping {
            Some(true) => log::warn!(
                "alert rule={name:?} metric={metric:?} flapping=true action=\"hold back until calm\""
            ),
            Some(false) => log::info!("alert rule={name:?} metric={metric:?} flapping=false"),
            None => {}
        }
        if let Some(is_firing) = firing {
            let watched = &self.watched[place];
            note(self.transition(watched, is_firing, watched.watch.since_ms));
        }
    }

    fn transition(&self, watched: &Watched, is_firing: bool, since_ms: u64) -> Transition {
        Transition {
            rule: Arc::clone(&self.rule),
            metric: Arc::clone(&watched.metric),
            is_firing,
            value: watched.watch.value,
            since_ms,
        }
    }

    /// Says that the host does not have the figure, if it has never had it. Figures of vitald itself
    /// come with time.
    fn warn_if_missing(&self) {
        let is_known = self.watched.iter().any(|watched| watched.watch.is_known);
        if !is_known && !self.rule.target.is_own() {
            let Rule { name, metric, .. } = &*self.rule;
            log::warn!("alert rule={name:?} metric={metric:?} missing=true action=wait");
        }
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let rule = &*self.rule;
        let none = Row {
            rule,
            metric: &rule.metric,
            state: State::Ok,
            value: None,
            since_ms: 0,
            is_flapping: false,
        };
        let none = self.watched.is_empty().then_some(none);
        let rows = self.watched.iter().map(move |Watched { metric, watch, .. }| Row {
            rule,
            metric,
            state: watch.state,
            value: watch.value,
            since_ms: watch.since_ms,
            is_flapping: watch.is_flapping,
        });
        none.into_iter().chain(rows)
    }
}

impl Watched {
    fn new(metric: &str, key: &str) -> Watched {
        Watched {
            metric: metric.into(),
            key: key.to_owned(),
            seen: 0,
            seen_at: Duration::ZERO,
            watch: Watch::default(),
        }
    }
}

impl Rule {
    /// A value of the figure as a reader sees it.
    pub fn show(&self, value: Option<f64>) -> impl Serialize {
        Rounded(value, self.target.unit())
    }
}

impl Transition {
    /// The name of the state in JSON.
    pub fn state(&self) -> &'static str {
        if self.is_firing { State::Firing.name() } else { "resolved" }
    }
}
