//! One table of the configuration file: its values by key, each with the place where it stands.
//!
//! A [`Section`] hands out an [`Item`] a key; an item gives its value as the type that is asked
//! for. Every error is whole: `FILE:LINE: KEY: what is wrong: what to write`, and
//! [`Item::wrong`] makes one of what a caller finds wrong with a value. Whoever reads a section
//! ends with [`Section::finish`], which refuses keys that nobody has asked for.
//! May import: the spelling of names.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration::parse_duration;
use crate::spelling::{WORD_BYTES_MAX, nearest};

/// Bytes of a text: a path of Linux has no more, and everything else is shorter. A sentence that
/// quotes it stays readable.
pub(crate) const TEXT_BYTES_MAX: usize = 4096;

/// Bytes of a key that are shown: as many as are compared with the keys there are.
pub(crate) const KEY_BYTES_MAX: usize = WORD_BYTES_MAX;

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

    /// Where it is.
    pub(crate) fn place(&self) -> String {
        format!("{}: {}", self.source.place(self.at), self.label)
    }

    /// What is wrong with the section as a whole, such as a key that it lacks.
    pub(crate) fn wrong(&self, sentence: impl fmt::Display) -> String {
        format!("{}: {sentence}", self.place())
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
            DeValue::String(text) if text.len() > TEXT_BYTES_MAX => Err(self.wrong(format!(
                "the text has {} bytes: write {TEXT_BYTES_MAX} at most",
                text.len()
            ))),
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
