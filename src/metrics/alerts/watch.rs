//! One watched figure: from its values to the news of it.
//!
//! Owns the state machine of a rule on one figure: the hold before it fires, the hysteresis before
//! it resolves, and the damping of one that goes to and fro. Promises: what is told alternates
//! strictly between firing and resolved; a figure that is not known changes no state; no memory
//! beyond its own. Time is the caller's, monotonic, and the holds are as exact as it is. May import: `rule`.

use std::time::Duration;

use super::rule::Rule;

/// Changes of one figure that are told within [`FLAPPING_WINDOW`]: three alarms and their ends.
/// With half of it a figure that comes back once would be held back; with double, and the default
/// hold, nothing ever would.
const CHANGES_MAX: usize = 6;

/// The changes that are kept: those, and the one that is too many.
const CHANGES_KEPT: usize = CHANGES_MAX + 1;

/// A figure that changes oftener than [`CHANGES_MAX`] times within this is flapping.
const FLAPPING_WINDOW: Duration = Duration::from_secs(300);

/// How long beyond its hold a flapping figure keeps one state until that is believed. Half would
/// let a figure with a period of a minute through; double keeps a lasting alarm back for too long.
const CALM_AFTER: Duration = Duration::from_secs(60);

/// Where a watched figure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Within the bound.
    #[default]
    Ok,
    /// Beyond the bound, not yet for the time of the hold.
    Pending,
    /// Beyond the bound for that time, and not back beyond `clear` since.
    Firing,
}

impl State {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Pending => "pending",
            State::Firing => "firing",
        }
    }
}

/// What a value has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// It is to be told that the figure fires (true) or has resolved (false).
    pub(super) firing: Option<bool>,
    /// It has begun (true) or ceased (false) to flap.
    pub(super) flapping: Option<bool>,
}

/// The state of one figure under one rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    pub(super) state: State,
    /// When the state began, in Unix milliseconds; 0 before the first value.
    pub(super) since_ms: u64,
    /// The newest value, unless it is not known.
    pub(super) value: Option<f64>,
    /// Whether there has ever been one.
    pub(super) is_known: bool,
    pub(super) is_flapping: bool,
    /// Whether those who are told think that it fires.
    pub(super) is_told_firing: bool,
    /// Pending: since when every value was beyond the bound. `None` after one that is not known.
    held_from: Option<Duration>,
    /// Since when it has kept one state and every value was known.
    calm_from: Option<Duration>,
    /// When it last began or ceased to fire, told or not, the oldest at `next`.
    changes: [Option<Duration>; CHANGES_KEPT],
    next: usize,
}

impl Watch {
    /// Takes the value of one tick.
    ///
    /// One that is not known is neither beyond the bound nor back: the state stays. The hold
    /// promises that every value was beyond the bound, so it begins anew with the next one known,
    /// and so does the calm of a figure that flaps.
    pub(super) fn observe(
        &mut self,
        rule: &Rule,
        now: Duration,
        wall_ms: u64,
        value: Option<f64>,
    ) -> News {
        self.value = value;
        match value {
            Some(value) => {
                self.calm_from.get_or_insert(now);
                self.step(rule, now, wall_ms, value);
            }
            // Nothing can be told of it either: what is not known is not calm.
            None => (self.held_from, self.calm_from) = (None, None),
        }
        let flapping = self.damp(rule, now);
        let is_firing = self.state == State::Firing;
        let is_news = !self.is_flapping && is_firing != self.is_told_firing;
        if is_news {
            self.is_told_firing = is_firing;
        }
        News { firing: is_news.then_some(is_firing), flapping }
    }

    fn step(&mut self, rule: &Rule, now: Duration, wall_ms: u64, value: f64) {
        if !self.is_known {
            self.is_known = true;
            self.since_ms = wall_ms;
        }
        let next = match self.state {
            State::Firing if rule.is_clear(value) => State::Ok,
            State::Firing => State::Firing,
            State::Ok | State::Pending if rule.is_passed(value) => {
                let held_from = *self.held_from.get_or_insert(now);
                let is_held = now.saturating_sub(held_from) >= rule.hold;
                if is_held { State::Firing } else { State::Pending }
            }
            State::Ok | State::Pending => State::Ok,
        };
        if next != State::Pending {
            self.held_from = None;
        }
        if next == self.state {
            return;
        }
        if (next == State::Firing) != (self.state == State::Firing) {
            self.changes[self.next] = Some(now);
            self.calm_from = Some(now);
            self.next = (self.next + 1) % CHANGES_KEPT;
        }
        self.state = next;
        self.since_ms = wall_ms;
    }

    /// Finds out whether the figure goes to and fro too often to be told of each time.
    fn damp(&mut self, rule: &Rule, now: Duration) -> Option<bool> {
        let newest = self.changes[(self.next + CHANGES_KEPT - 1) % CHANGES_KEPT]?;
        if self.is_flapping {
            let is_calm = now.saturating_sub(self.calm_from?) >= CALM_AFTER + rule.hold;
            self.is_flapping = !is_calm;
            return is_calm.then_some(false);
        }
        // The change of this very tick is the first that is too many.
        let oldest = self.changes[self.next]?;
        let is_news = newest == now && now.saturating_sub(oldest) < FLAPPING_WINDOW;
        self.is_flapping = is_news;
        is_news.then_some(true)
    }
}
