//! Alerts as JSON: the event of a transition, and the answer that has all of them.
//!
//! Pure: written straight into the bytes of a frame. A rule's command is never in it, for its
//! arguments may be secrets; only whether there is one.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Alarm;
use super::commands::CommandCounts;
use crate::metrics::alerts::{Alerts, Bound, Row, Transition};

/// The `alert` message.
pub struct AlertMessage<'a>(pub &'a Transition);

impl Serialize for AlertMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Transition { rule, metric, value, since_ms, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "alert")?;
        map.serialize_entry("rule", &rule.name)?;
        map.serialize_entry("metric", &**metric)?;
        map.serialize_entry("state", self.0.state())?;
        map.serialize_entry("value", &rule.show(*value))?;
        map.serialize_entry("threshold", &Exact(rule.bound.threshold()))?;
        map.serialize_entry("since", since_ms)?;
        map.serialize_entry("severity", rule.severity.name())?;
        map.end()
    }
}

/// The alerts that fire, as messages in a list.
pub struct Firing<'a>(pub &'a Alerts);

impl Serialize for Firing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Own(Transition);
        impl Serialize for Own {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                AlertMessage(&self.0).serialize(serializer)
            }
        }
        serializer.collect_seq(self.0.firing().map(Own))
    }
}

/// All that is known of alerts.
pub(super) struct Whole<'a>(pub(super) &'a Alarm);

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Alarm { alerts, commands } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("rules", &Rules(alerts))?;
        map.serialize_entry("transitions", &Transitions(alerts))?;
        let (running, waiting) = commands.lengths();
        let counts = commands.counts();
        map.serialize_entry("commands", &Commands { running, waiting, counts })?;
        map.end()
    }
}

struct Rules<'a>(&'a Alerts);

impl Serialize for Rules<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows().map(RuleRow))
    }
}

struct RuleRow<'a>(Row<'a>);

impl Serialize for RuleRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Row { rule, metric, state, value, since_ms, is_flapping } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &rule.name)?;
        map.serialize_entry("metric", metric)?;
        match rule.bound {
            Bound::Above(above) => map.serialize_entry("above", &Exact(above))?,
            Bound::Below(below) => map.serialize_entry("below", &Exact(below))?,
        }
        map.serialize_entry("clear", &Exact(rule.clear))?;
        map.serialize_entry("hold_s", &Exact(rule.hold.as_secs_f64()))?;
        map.serialize_entry("severity", rule.severity.name())?;
        map.serialize_entry("state", state.name())?;
        map.serialize_entry("value", &rule.show(value))?;
        map.serialize_entry("since", &(since_ms > 0).then_some(since_ms))?;
        map.serialize_entry("flapping", &is_flapping)?;
        map.serialize_entry("command", &!rule.command.is_empty())?;
        map.end()
    }
}

struct Transitions<'a>(&'a Alerts);

impl Serialize for Transitions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.transitions().map(AlertMessage))
    }
}

#[derive(serde::Serialize)]
struct Commands {
    running: usize,
    waiting: usize,
    #[serde(flatten)]
    counts: CommandCounts,
}

/// A number as the operator has it: not rounded, and without a point where it is whole.
struct Exact(f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Below 2^53 every whole number is one of 64 bits, exactly.
        const WHOLE_BELOW: f64 = 9_007_199_254_740_992.0;
        match self.0 {
            number if number.fract() == 0.0 && number.abs() < WHOLE_BELOW => {
                serializer.serialize_i64(number as i64)
            }
            number => serializer.serialize_f64(number),
        }
    }
}
