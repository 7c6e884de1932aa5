//! The words of an alert's command, and the facts in its environment.
//!
//! Pure: makes a [`Command`] and starts nothing. There is no shell: a word stays one word, whatever
//! a metric's path puts into it, and the program is named by the operator alone.

use std::process::Command;

use crate::metrics::alerts::Transition;
use crate::service::notify::VARIABLES;

/// The token of the service is not the command's to know.
const SECRET: &str = "VITALD_TOKEN";

/// The command of a transition's rule. In each argument the names in braces stand for facts; other
/// braces stay as they are. What is not known is empty.
///
/// # Panics
/// If the rule has no command.
pub(super) fn command(transition: &Transition, host: &str) -> Command {
    let facts = facts(transition);
    let (program, arguments) = transition.rule.command.split_first().expect("it has a command");
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| fill(argument, &facts)));
    for (name, value) in &facts {
        command.env(format!("VITALD_ALERT_{}", name.to_ascii_uppercase()), value);
    }
    command.env("VITALD_ALERT_HOST", host).env_remove(SECRET);
    // Nor is it to speak to the service manager for this process.
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command
}

fn facts(transition: &Transition) -> [(&'static str, String); 7] {
    let rule = &*transition.rule;
    let value = transition.value.map(|_| {
        let shown = serde_json::to_string(&rule.show(transition.value));
        shown.expect("a number can be written")
    });
    [
        ("name", rule.name.clone()),
        ("metric", transition.metric.to_string()),
        ("state", transition.state().to_owned()),
        ("value", value.unwrap_or_default()),
        ("threshold", rule.bound.threshold().to_string()),
        ("severity", rule.severity.name().to_owned()),
        ("since", transition.since_ms.to_string()),
    ]
}

/// `argument` with each `{name}` of a fact replaced. What comes in is not looked at again.
fn fill(argument: &str, facts: &[(&'static str, String)]) -> String {
    let mut filled = String::with_capacity(argument.len());
    let mut rest = argument;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        filled.push_str(before);
        let found = facts.iter().find_map(|(name, value)| {
            let after = from[1..].strip_prefix(name)?.strip_prefix('}')?;
            Some((value, after))
        });
        match found {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::metrics::alerts::{Alerts, Rules, Setting, Severity};
    use crate::metrics::snapshot::{Network, Snapshot};

    fn transition(command: &[&str], name: &str) -> Transition {
        let mut rules = Rules::none();
        let setting = Setting {
            name: "link".to_owned(),
            metric: Some("networks.*.rx_errors_per_s".to_owned()),
            above: Some(0.5),
            hold: Some(Duration::ZERO),
            severity: Some(Severity::Critical),
            command: Some(command.iter().map(|&word| word.to_owned()).collect()),
            ..Setting::default()
        };
        rules.set(&setting).expect("the setting is right");
        let mut snapshot = Snapshot { time_ms: 1_700_000_000_000, ..Snapshot::default() };
        let network =
            Network { name: name.to_owned(), rx_errors_per_s: Some(2.04), ..Network::default() };
        snapshot.networks = vec![network];
        let mut told = None;
        let tell = |transition: &Transition| told = Some(transition.clone());
        Alerts::new(rules).evaluate(Duration::ZERO, &snapshot, tell);
        told.expect("it fires at once")
    }

    fn arguments(command: &Command) -> Vec<&str> {
        command.get_args().map(|argument| argument.to_str().expect("UTF-8")).collect()
    }

    #[test]
    fn names_in_braces_are_replaced_and_other_braces_stay() {
        let words = [
            "/bin/{name}",
            "{name}: {metric} is {state}",
            "{value}>{threshold} {severity} {since}",
            "{\"a\": {value}}",
            "{nothing} {name {} }{",
            "",
        ];
        let command = command(&transition(&words, "eth0"), "pi");
        assert_eq!(command.get_program(), "/bin/{name}");
        assert_eq!(
            arguments(&command),
            [
                "link: networks.eth0.rx_errors_per_s is firing",
                "2>0.5 critical 1700000000000",
                "{\"a\": 2}",
                "{nothing} {name {} }{",
                "",
            ]
        );
    }

    #[test]
    fn what_is_filled_in_stays_in_its_word_and_is_not_filled_in_itself() {
        let command = command(&transition(&["x", "{metric}"], "$(reboot) ; {value}"), "pi");
        assert_eq!(arguments(&command), ["networks.$(reboot) ; {value}.rx_errors_per_s"]);
    }

    #[test]
    fn the_environment_has_each_fact_and_neither_the_token_nor_the_service_managers_words() {
        let command = command(&transition(&["x"], "eth0"), "pi");
        let environment: BTreeMap<_, _> = command
            .get_envs()
            .map(|(name, value)| {
                (name.to_str().unwrap(), value.map(|value| value.to_str().unwrap()))
            })
            .collect();
        let expected = [
            ("VITALD_ALERT_HOST", Some("pi")),
            ("VITALD_ALERT_METRIC", Some("networks.eth0.rx_errors_per_s")),
            ("VITALD_ALERT_NAME", Some("link")),
            ("VITALD_ALERT_SEVERITY", Some("critical")),
            ("VITALD_ALERT_SINCE", Some("1700000000000")),
            ("VITALD_ALERT_STATE", Some("firing")),
            ("VITALD_ALERT_THRESHOLD", Some("0.5")),
            ("VITALD_ALERT_VALUE", Some("2")),
            ("VITALD_TOKEN", None),
            ("WATCHDOG_PID", None),
            ("WATCHDOG_USEC", None),
            ("LISTEN_FDNAMES", None),
            ("LISTEN_FDS", None),
            ("LISTEN_PID", None),
            ("NOTIFY_SOCKET", None),
        ];
        assert_eq!(environment, BTreeMap::from(expected));
    }
}
