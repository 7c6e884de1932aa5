//! One table of the configuration file: its values by key, each with the place where it stands.
//!
//! A [`Section`] hands out an [`Item`] a key; an item gives its value as the type that is asked
//! for. Every error is whole: `FILE:LINE: KEY: what is wrong: what to write`, and
//! [`Item::wrong`] makes one of what a caller finds wrong with a value. Whoever reads a section
//! ends with [`Section::finish`], which refuses keys that nobody has asked for.
//! May import: nothing of ours.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration::parse_duration;

/// Bytes of a text: a path of Linux has no more, and everything else is shorter. A sentence that
/// quotes it stays readable.
pub(crate) const TEXT_BYTES_MAX: usize = 4096;

/// Bytes of a key that are shown, and that are compared with the keys there are: twice the longest.
pub(crate) const KEY_BYTES_MAX: usize = 48;

/// The file: what messages call it, and its text.
#[derive(Clone, Copy)]
pub(crate) struct Source<'f> {
    path: &'f Path,
    text: &'f str,
}

impl<'f> Source<'f> {
    /// The text of the file at `path`.
    pub(crate) fn new(path: &'f Path, text: &'f str) -> Source<'f> {
        Source { path, text }
    }

    /// The file and the line of the byte `at`.
    pub(crate) fn place(&self, at: usize) -> String {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        format!("{}:{line}", self.path.display())
    }
}

/// One table.
pub(crate) struct Section<'f> {
    source: Source<'f>,
    /// What messages say before a key: nothing at the top, `[history]`, `[[alert]] "cpu"`.
    label: String,
    at: usize,
    table: &'f DeTable<'f>,
    asked: Vec<&'static str>,
}

impl<'f> Section<'f> {
    /// The whole file.
    pub(crate) fn top(source: Source<'f>, table: &'f DeTable<'f>) -> Section<'f> {
        Section { source, label: String::new(), at: 0, table, asked: Vec::new() }
    }

    /// Changes what messages say before a key, such as when the table's name is known.
    pub(crate) fn rename(&mut self, label: String) {
        self.label = label;
    }

    /// The value of `key`, which is a known one from here on.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Item<'f>> {
        self.asked.push(key);
        let (key, value) = self.table.get_key_value(key)?;
        let at = key.span().start;
        Some(Item { source: self.source, name: self.name_of(key.get_ref()), at, value })
    }

    /// The table `key`, called `label` in messages.
    pub(crate) fn take_section(
        &mut self,
        key: &'static str,
        label: &str,
    ) -> Result<Option<Section<'f>>, String> {
        self.take(key).map(|item| item.section(label)).transpose()
    }

    /// The tables of the array `key`, each called `label` in messages until it is renamed.
    #[allow(dead_code, reason = "for what may be there several times")]
    pub(crate) fn take_sections(
        &mut self,
        key: &'static str,
        label: &str,
    ) -> Result<Vec<Section<'f>>, String> {
        let Some(item) = self.take(key) else {
            return Ok(Vec::new());
        };
        match item.value.get_ref() {
            DeValue::Array(values) => {
                values.iter().map(|value| item.part(value).section(label)).collect()
            }
            _ => Err(item.wrong_type(&format!("sections that begin with {label}"))),
        }
    }

    /// What is wrong with the section as a whole, such as a key that it lacks.
    pub(crate) fn wrong(&self, sentence: impl fmt::Display) -> String {
        format!("{}: {}: {sentence}", self.source.place(self.at), self.label)
    }

    /// Refuses keys that were not asked for; the first in the file is named.
    pub(crate) fn finish(self) -> Result<(), String> {
        let is_unknown = |key: &&Spanned<_>| !self.asked.contains(&key_text(key));
        let unknown = self.table.keys().filter(is_unknown).min_by_key(|key| key.span().start);
        let Some(key) = unknown else {
            return Ok(());
        };
        let (place, name) = (self.source.place(key.span().start), self.name_of(key_text(key)));
        Err(match nearest(key_text(key), &self.asked) {
            Some(meant) => format!("{place}: {name}: there is no such key: is {meant} meant?"),
            None => format!(
                "{place}: {name}: there is no such key: the keys here are {}",
                self.asked.join(", ")
            ),
        })
    }

    fn name_of(&self, key: &str) -> String {
        let shown = match key.char_indices().find(|(at, _)| *at >= KEY_BYTES_MAX) {
            Some((end, _)) => format!("{}...", &key[..end]),
            None => key.to_owned(),
        };
        if self.label.is_empty() { shown } else { format!("{} {shown}", self.label) }
    }
}

fn key_text<'k>(key: &'k Spanned<std::borrow::Cow<'_, str>>) -> &'k str {
    key.get_ref()
}

/// One value and its place.
#[derive(Clone)]
pub(crate) struct Item<'f> {
    source: Source<'f>,
    /// The key, with its section.
    name: String,
    at: usize,
    value: &'f Spanned<DeValue<'f>>,
}

impl<'f> Item<'f> {
    /// The key as messages name it: `interval`, `[history] series`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `FILE:LINE: KEY`.
    pub(crate) fn place(&self) -> String {
        format!("{}: {}", self.source.place(self.at), self.name)
    }

    /// An error: the place, and what is wrong there.
    pub(crate) fn wrong(&self, sentence: impl fmt::Display) -> String {
        format!("{}: {sentence}", self.place())
    }

    /// A text.
    pub(crate) fn text(&self) -> Result<&'f str, String> {
        match self.value.get_ref() {
            DeValue::String(text) if text.len() > TEXT_BYTES_MAX => {
                Err(self.wrong(format!("the text is longer than {TEXT_BYTES_MAX} bytes")))
            }
            DeValue::String(text) => Ok(text),
            _ => Err(self.wrong_type("a text in quotes")),
        }
    }

    /// What `read` makes of a text.
    pub(crate) fn read<T>(&self, read: fn(&str) -> Result<T, String>) -> Result<T, String> {
        read(self.text()?).map_err(|sentence| self.wrong(sentence))
    }

    /// A duration.
    pub(crate) fn duration(&self) -> Result<Duration, String> {
        match self.value.get_ref() {
            DeValue::String(_) => self.read(parse_duration),
            _ => Err(self.wrong_type("a duration in quotes, such as \"10s\"")),
        }
    }

    /// True or false.
    pub(crate) fn flag(&self) -> Result<bool, String> {
        self.value.get_ref().as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// A whole number from 0.
    pub(crate) fn count(&self) -> Result<usize, String> {
        let number = self.value.get_ref().as_integer();
        let number = number.ok_or_else(|| self.wrong_type("a whole number without quotes"))?;
        usize::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| self.wrong("this is out of range: write a whole number from 0"))
    }

    /// A finite number, whole or with a fraction.
    pub(crate) fn number(&self) -> Result<f64, String> {
        let number = match self.value.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix());
                number.ok().map(|number| number as f64)
            }
            _ => return Err(self.wrong_type("a number without quotes")),
        };
        let number = number.filter(|number| number.is_finite());
        number.ok_or_else(|| self.wrong("this is out of range: write a finite number"))
    }

    /// The values of an array, or the one value that stands for an array of one.
    pub(crate) fn one_or_more(&self) -> Vec<Item<'f>> {
        match self.value.get_ref() {
            DeValue::Array(values) => values.iter().map(|value| self.part(value)).collect(),
            _ => vec![self.clone()],
        }
    }

    /// The texts of an array, or one text.
    pub(crate) fn texts(&self) -> Result<Vec<String>, String> {
        self.one_or_more().iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    /// A table, called `label` in messages.
    pub(crate) fn section(&self, label: &str) -> Result<Section<'f>, String> {
        let table = self.value.get_ref().as_table();
        let table =
            table.ok_or_else(|| self.wrong_type(&format!("a section that begins with {label}")))?;
        let (source, label, at) = (self.source, label.to_owned(), self.at);
        Ok(Section { source, label, at, table, asked: Vec::new() })
    }

    /// A value in this array, with its own line.
    fn part(&self, value: &'f Spanned<DeValue<'f>>) -> Item<'f> {
        Item { source: self.source, name: self.name.clone(), at: value.span().start, value }
    }

    fn wrong_type(&self, wanted: &str) -> String {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.wrong(format!("this is {found}: write {wanted}"))
    }
}

/// The known key that `key` is a slip of, if it is near one.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    if key.len() > KEY_BYTES_MAX {
        return None;
    }
    let distance = |known: &str| distance(&plain(key), &plain(known));
    let best = known.iter().copied().min_by_key(|known| distance(known))?;
    // A third of the letters may be wrong: half would find "path" in "auth".
    (distance(best) <= best.len() / 3).then_some(best)
}

/// Without what is written in several ways.
fn plain(key: &str) -> Vec<u8> {
    key.bytes().map(|byte| byte.to_ascii_lowercase()).filter(|byte| !b"-_".contains(byte)).collect()
}

/// How many bytes have to be added, removed or changed to make one of the other (Levenshtein).
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, byte) in left.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (at, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(byte != other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules with names, as a part of the file that is an array of tables would be read.
    fn read(text: &str) -> Result<Vec<(String, f64)>, String> {
        let source = Source::new(Path::new("/f"), text);
        let table = DeTable::parse(text).expect("it is TOML");
        let mut top = Section::top(source, table.get_ref());
        let mut rules = Vec::new();
        for mut rule in top.take_sections("rule", "[[rule]]")? {
            let name = rule.take("name").ok_or_else(|| rule.wrong("there is no name: give one"))?;
            let name = name.text()?.to_owned();
            rule.rename(format!("[[rule]] \"{name}\""));
            let above = rule.take("above").ok_or_else(|| rule.wrong("above is missing"))?;
            let threshold = above.number()?;
            if threshold < 0.0 {
                return Err(above.wrong("it is below 0"));
            }
            rule.finish()?;
            rules.push((name, threshold));
        }
        top.finish()?;
        Ok(rules)
    }

    #[test]
    fn tables_of_an_array_are_read_in_their_order() {
        let text = "[[rule]]\nname = \"b\"\nabove = 1\n[[rule]]\nname = \"a\"\nabove = 2.5";
        assert_eq!(read(text), Ok(vec![("b".to_owned(), 1.0), ("a".to_owned(), 2.5)]));
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn a_mistake_in_a_table_of_an_array_names_the_table_by_its_line_or_its_name() {
        let first = "[[rule]]\nname = \"a\"\nabove = 1\n";
        for (rest, sentence) in [
            ("\n[[rule]]\nabove = 1", "/f:5: [[rule]]: there is no name: give one"),
            ("[[rule]]\nname = \"b\"", "/f:4: [[rule]] \"b\": above is missing"),
            ("[[rule]]\nname = \"b\"\nabove = -1", "/f:6: [[rule]] \"b\" above: it is below 0"),
            (
                "[[rule]]\nname = \"b\"\nabove = nan",
                "/f:6: [[rule]] \"b\" above: this is out of range: write a finite number",
            ),
            (
                "[[rule]]\nname = \"b\"\nabove = 1\nabov = 2",
                "/f:7: [[rule]] \"b\" abov: there is no such key: is above meant?",
            ),
        ] {
            assert_eq!(read(&format!("{first}{rest}")), Err(sentence.to_owned()));
        }
        let sentence = "/f:1: rule: this is a table: write sections that begin with [[rule]]";
        assert_eq!(read("[rule]\nname = \"a\""), Err(sentence.to_owned()));
    }

    #[test]
    fn a_key_is_near_where_a_third_of_it_is_wrong() {
        for (key, meant) in [
            ("interval", Some("interval")),
            ("Interval", Some("interval")),
            ("inter-val", Some("interval")),
            ("intrvl", Some("interval")),
            ("rates", Some("rate")),
            ("ra", None),
            ("", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(key, &["interval", "rate"]), meant, "{key}");
        }
        assert_eq!(nearest("interval", &[]), None);
    }
}
