//! What a rule says: which figure, which bound, for how long, and what to do.
//!
//! Owns [`Rule`], [`Setting`] (what an operator says of a rule, some of it left out) and [`Rules`],
//! the built-in rules with the operator's over them. Promises: a [`Rule`] that exists can be
//! evaluated: its figure is there to be watched, its numbers are finite, `clear` is on the good
//! side of the bound, and every text has its limit. May import: `target`.

use std::fmt;
use std::time::Duration;

use super::target::Target;

/// Rules at a time, the built-in ones and those that are switched off included. Each is a few
/// hundred bytes and 50 ns a tick; more than 64 are better said with `*`.
pub const RULES_MAX: usize = 64;

/// Bytes of a rule's name.
pub const NAME_BYTES_MAX: usize = 64;

/// Bytes of a metric's path. A mount is the only long part of one.
pub const METRIC_BYTES_MAX: usize = 256;

/// Words of a command, and bytes of them together. What does not fit belongs in a script.
pub const COMMAND_WORDS_MAX: usize = 32;
/// See [`COMMAND_WORDS_MAX`].
pub const COMMAND_BYTES_MAX: usize = 4096;

/// The longest hold: longer is a slip in the unit.
pub const HOLD_MAX: Duration = Duration::from_secs(24 * 3600);

/// The hold of a rule that states none: longer than what a host does in passing, such as starting a
/// program.
pub const HOLD: Duration = Duration::from_secs(10);

/// How far `clear` is from the bound where a rule does not say: this share of the bound's size.
const CLEAR_SHARE: f64 = 0.1;

/// The names of the built-in rules, with the figure and the bound that each must stay below.
const BUILT_IN: [(&str, &str, f64); 5] = [
    ("cpu", "cpu.usage", 50.0),
    ("memory", "memory.usage", 75.0),
    ("connection_errors", "server.connections.error_rate", 1.0),
    ("connection_failures", "server.connections.failure_rate", 5.0),
    ("latency", "server.messages.latency_ms.p99", 100.0),
];

/// Where the bad side begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Values above this are bad.
    Above(f64),
    /// Values below this are bad.
    Below(f64),
}

/// How much an alert matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// To be known.
    Info,
    /// To be looked at.
    #[default]
    Warning,
    /// To be acted on.
    Critical,
}

impl Severity {
    /// Each, from the least.
    pub const ALL: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

    /// The name in JSON and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// A rule, checked. Made by [`Rules::set`].
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique among the rules.
    pub name: String,
    /// A scalar path; `*` in the place of a row's key watches each row by itself.
    pub metric: String,
    /// Where the bad side begins; finite.
    pub bound: Bound,
    /// Where a firing alert resolves: at this value or beyond it, on the good side of the bound.
    pub clear: f64,
    /// For how long every value must be bad before the rule fires; 0 fires at the first.
    pub hold: Duration,
    /// How much it matters.
    pub severity: Severity,
    /// A program and its arguments to run at each transition; empty for none.
    pub command: Vec<String>,
    /// Whether it is evaluated.
    pub enabled: bool,
    pub(super) target: Target,
}

// Its numbers are finite, so each rule equals itself.
impl Eq for Rule {}

/// What an operator says of a rule. What is left out stays as it is in the built-in rule of that
/// name, or takes the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setting {
    /// Which rule.
    pub name: String,
    /// Whether it is evaluated; default true.
    pub enabled: Option<bool>,
    /// A scalar path.
    pub metric: Option<String>,
    /// Values above this are bad. Either this or `below`.
    pub above: Option<f64>,
    /// Values below this are bad.
    pub below: Option<f64>,
    /// Default: a tenth of the bound's size on its good side, or the end of the figure's range
    /// where that comes before.
    pub clear: Option<f64>,
    /// Default [`HOLD`].
    pub hold: Option<Duration>,
    /// Default warning.
    pub severity: Option<Severity>,
    /// Default none.
    pub command: Option<Vec<String>>,
}

/// Why a setting cannot be a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key that is wrong, as the configuration has it.
    pub key: &'static str,
    /// What is wrong with it: what to write, to follow the key and a colon.
    pub sentence: String,
}

impl Mistake {
    fn new(key: &'static str, sentence: impl Into<String>) -> Mistake {
        Mistake { key, sentence: sentence.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.key, self.sentence)
    }
}

/// Every rule: the built-in ones first, then the operator's in their order.
#[derive(Clone, Debug, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
    /// The names that have been set, so that none is set twice.
    set: Vec<String>,
}

/// Rules are the same if they do the same, whoever has set them.
impl PartialEq for Rules {
    fn eq(&self, other: &Rules) -> bool {
        self.rules == other.rules
    }
}

impl Default for Rules {
    /// The built-in rules.
    fn default() -> Rules {
        let mut rules = Rules::none();
        for (name, metric, above) in BUILT_IN {
            let setting = Setting {
                name: name.to_owned(),
                metric: Some(metric.to_owned()),
                above: Some(above),
                ..Setting::default()
            };
            rules.rules.push(Rule::new(&setting, None).expect("a built-in rule is a rule"));
        }
        rules
    }
}

impl Rules {
    /// No rule at all, not even the built-in ones.
    pub fn none() -> Rules {
        Rules { rules: Vec::new(), set: Vec::new() }
    }

    /// Changes the built-in rule that `setting` names, or adds a rule of that name.
    ///
    /// # Errors
    /// What is wrong with the setting; nothing is changed then.
    pub fn set(&mut self, setting: &Setting) -> Result<(), Mistake> {
        if self.set.contains(&setting.name) {
            return Err(Mistake::new("name", "another alert has it: give each one of its own"));
        }
        let known = self.rules.iter().position(|rule| rule.name == setting.name);
        let rule = Rule::new(setting, known.map(|index| &self.rules[index]))?;
        match known {
            Some(index) => self.rules[index] = rule,
            None if self.rules.len() < RULES_MAX => self.rules.push(rule),
            None => {
                let sentence = format!(
                    "this is one too many: write at most {RULES_MAX} alerts, the {} built-in ones \
                     included",
                    BUILT_IN.len()
                );
                return Err(Mistake::new("name", sentence));
            }
        }
        self.set.push(setting.name.clone());
        Ok(())
    }

    /// Every rule, those that are switched off included.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The rules that are evaluated.
    pub fn into_enabled(self) -> impl Iterator<Item = Rule> {
        self.rules.into_iter().filter(|rule| rule.enabled)
    }
}

impl Rule {
    /// The rule that `setting` makes of `base`.
    fn new(setting: &Setting, base: Option<&Rule>) -> Result<Rule, Mistake> {
        check_name(&setting.name)?;
        let metric = setting.metric.as_ref().or(base.map(|rule| &rule.metric));
        let metric = metric.ok_or_else(|| {
            let names = BUILT_IN.map(|(name, ..)| name).join(", ");
            let sentence =
                format!("there is none: write one, for only the built-in alerts ({names}) have it");
            Mistake::new("metric", sentence)
        })?;
        let target = resolve(metric)?;
        let bound = bound(setting, base)?;
        let default_clear = bound.default_clear(target.highest());
        // Another bound has another default, and another figure has other values.
        let is_other = base.is_none_or(|rule| rule.bound != bound || rule.metric != *metric);
        let kept = base.filter(|_| !is_other).map(|rule| rule.clear);
        let clear = setting.clear.or(kept).unwrap_or(default_clear);
        check_clear(bound, clear)?;
        let hold = setting.hold.or(base.map(|rule| rule.hold)).unwrap_or(HOLD);
        if hold > HOLD_MAX {
            return Err(Mistake::new("hold", "it is too long: write at most 24h"));
        }
        let command = setting.command.as_ref().or(base.map(|rule| &rule.command));
        let command = command.cloned().unwrap_or_default();
        check_command(&command)?;
        Ok(Rule {
            name: setting.name.clone(),
            metric: metric.clone(),
            bound,
            clear,
            hold,
            severity: setting.severity.or(base.map(|rule| rule.severity)).unwrap_or_default(),
            command,
            enabled: setting.enabled.unwrap_or(true),
            target,
        })
    }

    /// Whether a value is on the bad side.
    pub(super) fn is_passed(&self, value: f64) -> bool {
        match self.bound {
            Bound::Above(threshold) => value > threshold,
            Bound::Below(threshold) => value < threshold,
        }
    }

    /// Whether a value ends a firing alert. `clear` itself does, for it may be the last value there
    /// is: no error rate is below 0.
    pub(super) fn is_clear(&self, value: f64) -> bool {
        match self.bound {
            Bound::Above(_) => value <= self.clear,
            Bound::Below(_) => value >= self.clear,
        }
    }
}

impl Bound {
    /// The value that is still good.
    pub fn threshold(self) -> f64 {
        match self {
            Bound::Above(threshold) | Bound::Below(threshold) => threshold,
        }
    }

    /// A tenth of the threshold's size on its good side, but a value that the figure can have. Of a
    /// threshold of 0 it is the threshold, which is good itself.
    fn default_clear(self, highest: Option<f64>) -> f64 {
        let distance = CLEAR_SHARE * self.threshold().abs();
        match self {
            Bound::Above(threshold) => threshold - distance,
            Bound::Below(threshold) => {
                let clear = threshold + distance;
                highest.map_or(clear, |highest| clear.min(highest)).max(threshold)
            }
        }
    }
}

fn resolve(metric: &str) -> Result<Target, Mistake> {
    if metric.len() > METRIC_BYTES_MAX {
        let sentence = format!("it is too long: write at most {METRIC_BYTES_MAX} bytes");
        return Err(Mistake::new("metric", sentence));
    }
    let wrong = |what| Mistake::new("metric", format!("{metric:?} {what}"));
    Target::parse(metric).map_err(wrong)
}

fn bound(setting: &Setting, base: Option<&Rule>) -> Result<Bound, Mistake> {
    let (key, bound) = match (setting.above, setting.below) {
        (Some(_), Some(_)) => {
            return Err(Mistake::new("below", "it stands beside above: write one of them"));
        }
        (Some(above), None) => ("above", Bound::Above(above)),
        (None, Some(below)) => ("below", Bound::Below(below)),
        (None, None) => {
            let none = || Mistake::new("above", "there is none, and no below: write one of them");
            return base.map(|rule| rule.bound).ok_or_else(none);
        }
    };
    if !bound.threshold().is_finite() {
        return Err(Mistake::new(key, "it is not finite: write a number"));
    }
    Ok(bound)
}

fn check_name(name: &str) -> Result<(), Mistake> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let sentence = format!("it has {} bytes: write 1 to {NAME_BYTES_MAX}", name.len());
        return Err(Mistake::new("name", sentence));
    }
    if name.chars().any(char::is_control) {
        return Err(Mistake::new("name", "it holds a control character: write letters"));
    }
    Ok(())
}

fn check_clear(bound: Bound, clear: f64) -> Result<(), Mistake> {
    let is_good = match bound {
        Bound::Above(threshold) => clear <= threshold,
        Bound::Below(threshold) => clear >= threshold,
    };
    if is_good && clear.is_finite() {
        return Ok(());
    }
    let sentence = match bound {
        Bound::Above(above) => format!("{clear} is beyond the bound: write at most {above}"),
        Bound::Below(below) => format!("{clear} is beyond the bound: write at least {below}"),
    };
    Err(Mistake::new("clear", sentence))
}

fn check_command(command: &[String]) -> Result<(), Mistake> {
    let wrong = |sentence: String| Err(Mistake::new("command", sentence));
    if command.first().is_some_and(String::is_empty) {
        return wrong("the program has no name: write one".to_owned());
    }
    if command.len() > COMMAND_WORDS_MAX {
        return wrong(format!("it is too long: write at most {COMMAND_WORDS_MAX} words"));
    }
    if command.iter().map(String::len).sum::<usize>() > COMMAND_BYTES_MAX {
        return wrong(format!("it is too long: write at most {COMMAND_BYTES_MAX} bytes"));
    }
    if command.iter().any(|word| word.contains('\0')) {
        return wrong("it holds a NUL byte: leave it out".to_owned());
    }
    Ok(())
}
