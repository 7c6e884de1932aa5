//! `[[alert]]`: rules as an operator writes them.
//!
//! Promises: a rule that cannot be evaluated is refused with the file, the line, the key and the
//! rule's name. May import: the rules themselves.

use super::section::{Item, Section};
use crate::metrics::alerts::{Rules, Setting, Severity};

/// What messages call the tables.
const LABEL: &str = "[[alert]]";

/// Reads every `[[alert]]` over the built-in rules.
pub(super) fn read(item: &Item<'_>) -> Result<Rules, String> {
    let mut rules = Rules::default();
    // One table in single brackets is most likely a slip, and has one meaning.
    for item in item.one_or_more() {
        read_one(item.section(LABEL)?, &mut rules)?;
    }
    Ok(rules)
}

fn read_one(mut section: Section<'_>, rules: &mut Rules) -> Result<(), String> {
    let mut setting = Setting::default();
    // For what is found wrong when it comes together.
    let mut said = Said::new();
    let Some(name) = take(&mut section, &mut said, "name") else {
        return Err(section.wrong("there is no name: give each alert one of its own"));
    };
    setting.name = name.text()?.to_owned();
    section.rename(format!("{LABEL} {:?}", shown(&setting.name)));
    if let Some(item) = take(&mut section, &mut said, "enabled") {
        setting.enabled = Some(item.flag()?);
    }
    if let Some(item) = take(&mut section, &mut said, "metric") {
        setting.metric = Some(item.text()?.to_owned());
    }
    if let Some(item) = take(&mut section, &mut said, "above") {
        setting.above = Some(item.number()?);
    }
    if let Some(item) = take(&mut section, &mut said, "below") {
        setting.below = Some(item.number()?);
    }
    if let Some(item) = take(&mut section, &mut said, "clear") {
        setting.clear = Some(item.number()?);
    }
    if let Some(item) = take(&mut section, &mut said, "hold") {
        setting.hold = Some(item.duration()?);
    }
    if let Some(item) = take(&mut section, &mut said, "severity") {
        setting.severity = Some(item.read(severity)?);
    }
    if let Some(item) = take(&mut section, &mut said, "command") {
        setting.command = Some(command(&item)?);
    }
    let place = section.place();
    // First of all: a key may be missing because of a slip in it.
    section.finish()?;
    rules.set(&setting).map_err(|mistake| {
        let item = said.iter().find(|(key, _)| *key == mistake.key);
        match item {
            Some((_, item)) => item.wrong(&mistake.sentence),
            None => format!("{place} {mistake}"),
        }
    })
}

/// What is said of a rule, by key.
type Said<'f> = Vec<(&'static str, Item<'f>)>;

fn take<'f>(section: &mut Section<'f>, said: &mut Said<'f>, key: &'static str) -> Option<Item<'f>> {
    let item = section.take(key)?;
    said.push((key, item.clone()));
    Some(item)
}

/// A name as messages show it: one that is too long is refused with its beginning.
fn shown(name: &str) -> &str {
    name.char_indices().nth(40).map_or(name, |(end, _)| &name[..end])
}

/// A program and its arguments. One text is a program without any: there is no shell that would
/// take it apart.
fn command(item: &Item<'_>) -> Result<Vec<String>, String> {
    let is_line = item.text().is_ok_and(|text| text.contains(char::is_whitespace));
    if is_line {
        return Err(item.wrong(
            "the text has white space and is not taken apart: write an array, \
             [\"/path/program\", \"argument\"]",
        ));
    }
    item.texts()
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::ALL.into_iter().find(|severity| severity.name() == text).ok_or_else(|| {
        format!("\"{text}\" is not a severity: write \"info\", \"warning\" or \"critical\"")
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::{Config, Draft, read_into};
    use crate::metrics::alerts::{Bound, HOLD, RULES_MAX, Rule, Severity};

    fn read(text: &str) -> Result<Config, String> {
        let mut draft = Draft::default();
        read_into(&mut draft, Path::new("f"), text)?;
        draft.finish()
    }

    fn find<'a>(config: &'a Config, name: &str) -> &'a Rule {
        config.alerts.iter().find(|rule| rule.name == name).expect("there is such a rule")
    }

    const EACH_KEY: &str = r#"
        [[alert]]
        name = "disk \"full\""
        metric = "filesystems.*.usage"
        above = 9e1
        clear = 80.5
        hold = "1m"
        severity = "critical"
        command = ["/usr/local/bin/notify", "--title", "{name}"]

        [[alert]]
        name = "link"
        metric = "networks.eth0.up"
        below = 1

        [[alert]]
        name = "memory"
        enabled = false
    "#;

    #[test]
    fn an_alert_is_read_with_what_it_says_and_its_defaults() {
        let config = read(EACH_KEY).unwrap();
        let disk = find(&config, "disk \"full\"");
        assert_eq!((disk.bound, disk.clear), (Bound::Above(90.0), 80.5));
        assert_eq!((disk.hold, disk.severity), (Duration::from_secs(60), Severity::Critical));
        assert_eq!(disk.command, ["/usr/local/bin/notify", "--title", "{name}"]);
        let link = find(&config, "link");
        assert_eq!((link.bound, link.clear, link.hold), (Bound::Below(1.0), 1.0, HOLD));
        assert!(!find(&config, "memory").enabled && find(&config, "cpu").enabled);
        let names: Vec<_> = config.alerts.iter().skip(5).map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["disk \"full\"", "link"], "in their order");
    }

    #[test]
    fn a_lone_text_is_a_program_and_an_array_may_name_one_with_a_space() {
        for (command, words) in [("\"/bin/x\"", "/bin/x"), ("[\"/bin/a b\"]", "/bin/a b")] {
            let text = format!("[[alert]]\nname = \"cpu\"\ncommand = {command}");
            assert_eq!(find(&read(&text).unwrap(), "cpu").command, [words]);
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_rules() {
        for text in ["", EACH_KEY, "[[alert]]\nname = \"cpu\"\nbelow = -1e300\nclear = 0.1"] {
            let config = read(text).unwrap();
            assert_eq!(read(&config.to_toml()), Ok(config));
        }
    }

    #[test]
    fn one_alert_too_many_is_named() {
        let table = |index| {
            format!("[[alert]]\nname = \"r{index}\"\nmetric = \"load.one\"\nabove = {index}\n")
        };
        let own = RULES_MAX - 5;
        assert!(read(&(0..own).map(table).collect::<String>()).is_ok());
        let sentence = read(&(0..=own).map(table).collect::<String>()).unwrap_err();
        let place = format!("f:{}: [[alert]] name: this is one too many", 4 * own + 2);
        assert!(sentence.starts_with(&place), "{sentence}");
    }
}
