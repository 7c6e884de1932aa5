//! Which topics, records and figures a reader wants, in one canonical form.
//!
//! Owns the grammar of paths: `cpu` (a topic), `memory.usage` and `cpu.cores` (a field),
//! `server.messages` (a group of fields), `disks.vda` (a row), `disks.vda.utilisation` (a field of a
//! row), `disks.*.utilisation` (a field of every row, rows to come included; `disks.*` is `disks`).
//! Promises: two selections that ask for the same things are equal and hash alike, whatever the
//! order, the doubles and the overlaps of their paths, so that they can share encoded bytes.
//! Topics and fields are checked; rows are not, for a disk may be plugged in later. No row can be
//! named `*` alone; a mount that has the letter in its path is a row like any other.
//! May import: `definition`.

use std::fmt;

use super::definition::{self, Field, TOPIC_NAMES, Topic};

/// The names of the topics, in the order of JSON.
pub const TOPICS: &[&str] = TOPIC_NAMES;

/// Stands for every row in the place of a row's key, as it does in a rule.
const EVERY_ROW: &str = "*";

/// What vitald measures of itself.
const OWN_TOPIC: &str = "server";

/// What a reader wants to see of each snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Ascending by topic, at most one part a topic, none empty.
    parts: Vec<Part>,
}

/// What is wanted of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Part {
    /// The topic's position in the table.
    pub(super) topic: usize,
    pub(super) scope: Scope,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// Everything, rows to come included.
    Whole,
    /// Some fields of a single record; never all of them, that is `Whole`.
    Fields(Mask),
    /// Some rows of a list, or some fields of all of them.
    Rows(Chosen),
}

/// What is wanted of the rows of a list. A mask that wants anything of a row has its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Chosen {
    /// Of every row; `NONE` where only named rows are wanted, never `ALL`, that is `Scope::Whole`.
    every: Mask,
    /// Of single rows, ascending by key, with what is wanted of every row; never just that.
    named: Vec<(String, Mask)>,
}

/// Fields by position, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mask(u128);

/// A path whose topic or field does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPath(pub String);

impl fmt::Display for UnknownPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unknown metric path {:?}", self.0)
    }
}

impl std::error::Error for UnknownPath {}

impl Selection {
    /// Every topic.
    pub fn all() -> Selection {
        let parts = (0..TOPICS.len()).map(|topic| Part { topic, scope: Scope::Whole }).collect();
        Selection { parts }
    }

    /// What is sent unless something else is asked for: all of the host, and nothing of vitald.
    pub fn standard() -> Selection {
        let mut selection = Selection::all();
        selection.parts.retain(|part| TOPICS[part.topic] != OWN_TOPIC);
        selection
    }

    /// The topics of the standard selection that are single records: what does not grow with the
    /// host.
    pub fn without_rows() -> Selection {
        let mut selection = Selection::standard();
        selection.parts.retain(|part| definition::TOPICS[part.topic].key.is_none());
        selection
    }

    /// The selection that `paths` add up to; the first path that cannot exist is the error.
    pub fn parse<'a>(paths: impl IntoIterator<Item = &'a str>) -> Result<Selection, UnknownPath> {
        let mut selection = Selection { parts: Vec::new() };
        for path in paths {
            let part = Part::parse(path).ok_or_else(|| UnknownPath(path.to_owned()))?;
            selection.add(part);
        }
        Ok(selection)
    }

    /// The canonical paths: parsing them gives this selection again.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for part in &self.parts {
            part.name_into(&mut names);
        }
        names
    }

    /// Whether all that `other` selects is selected here too.
    pub fn covers(&self, other: &Selection) -> bool {
        let covers = |part: &Part| {
            let mine = self.parts.binary_search_by_key(&part.topic, |known| known.topic);
            mine.is_ok_and(|found| self.parts[found].scope.covers(&part.scope))
        };
        other.parts.iter().all(covers)
    }

    /// True if nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn add(&mut self, part: Part) {
        match self.parts.binary_search_by_key(&part.topic, |known| known.topic) {
            Ok(found) => self.parts[found].merge(part.scope),
            Err(gap) => self.parts.insert(gap, part),
        }
    }
}

impl Scope {
    /// The fields that are wanted of a topic that is a single record.
    pub(super) fn of_record(&self) -> Mask {
        match self {
            Scope::Fields(mask) => *mask,
            Scope::Whole | Scope::Rows(_) => Mask::ALL,
        }
    }

    /// The fields that are wanted of the row with this key, which it always carries; `None` if it
    /// is not wanted at all.
    pub(super) fn of_row(&self, key: &str) -> Option<Mask> {
        match self {
            Scope::Rows(chosen) => chosen.of(key),
            Scope::Whole | Scope::Fields(_) => Some(Mask::ALL),
        }
    }

    fn covers(&self, other: &Scope) -> bool {
        match (self, other) {
            (Scope::Whole, _) => true,
            (Scope::Fields(mask), Scope::Fields(other)) => mask.covers(*other),
            (Scope::Rows(rows), Scope::Rows(others)) => rows.cover(others),
            _ => false,
        }
    }
}

impl Part {
    fn parse(path: &str) -> Option<Part> {
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let topic = Topic::position(name)?;
        let table = &definition::TOPICS[topic];
        let scope = match rest {
            None => Scope::Whole,
            Some(rest) if table.key.is_some() => match parse_row(table, rest)? {
                (EVERY_ROW, Mask::ALL) => Scope::Whole,
                (EVERY_ROW, every) => Scope::Rows(Chosen { every, named: Vec::new() }),
                (key, mask) => {
                    Scope::Rows(Chosen { every: Mask::NONE, named: vec![(key.to_owned(), mask)] })
                }
            },
            Some(rest) => Scope::Fields(Mask::of_fields(table, rest)?),
        };
        Some(Part { topic, scope })
    }

    fn merge(&mut self, more: Scope) {
        let fields = definition::TOPICS[self.topic].fields.len();
        match (&mut self.scope, more) {
            (Scope::Fields(mask), Scope::Fields(more)) => {
                *mask = mask.union(more, fields);
                if *mask == Mask::ALL {
                    self.scope = Scope::Whole;
                }
            }
            (Scope::Rows(chosen), Scope::Rows(more)) => {
                chosen.merge(more, fields);
                if chosen.every == Mask::ALL {
                    self.scope = Scope::Whole;
                }
            }
            // One of the two is the whole topic: a topic has either fields or rows, never both.
            _ => self.scope = Scope::Whole,
        }
    }

    fn name_into(&self, names: &mut Vec<String>) {
        let topic = &definition::TOPICS[self.topic];
        match &self.scope {
            Scope::Whole => names.push(topic.name.to_owned()),
            Scope::Fields(mask) => mask.name_into(topic, topic.name, names),
            Scope::Rows(chosen) => {
                let every = format!("{}.{EVERY_ROW}", topic.name);
                chosen.every.without_idle_key().name_into(topic, &every, names);
                for (key, mask) in &chosen.named {
                    let row = format!("{}.{key}", topic.name);
                    if *mask == Mask::ALL {
                        names.push(row);
                    } else {
                        let more = mask.minus(chosen.every);
                        more.without_idle_key().name_into(topic, &row, names);
                    }
                }
            }
        }
    }
}

impl Chosen {
    /// What is wanted of the row called `key`, if anything is.
    pub(super) fn of(&self, key: &str) -> Option<Mask> {
        let found = self.named.binary_search_by(|(known, _)| known.as_str().cmp(key));
        let mask = found.map_or(self.every, |found| self.named[found].1);
        (mask != Mask::NONE).then_some(mask)
    }

    fn cover(&self, other: &Chosen) -> bool {
        let covers =
            |(key, mask): &(String, Mask)| self.of(key).is_some_and(|mine| mine.covers(*mask));
        self.every.covers(other.every) && other.named.iter().all(covers)
    }

    fn merge(&mut self, more: Chosen, fields: usize) {
        self.every = self.every.union(more.every, fields);
        for (key, more) in more.named {
            match self.named.binary_search_by(|(known, _)| known.cmp(&key)) {
                Ok(found) => self.named[found].1 = self.named[found].1.union(more, fields),
                Err(gap) => self.named.insert(gap, (key, more)),
            }
        }
        for (_, mask) in &mut self.named {
            *mask = mask.union(self.every, fields);
        }
        self.named.retain(|(_, mask)| *mask != self.every);
    }
}

impl Mask {
    pub(super) const ALL: Mask = Mask(u128::MAX);

    const NONE: Mask = Mask(0);

    /// The key's column, the first of a list.
    const KEY: Mask = Mask(1);

    pub(super) fn has(self, index: usize) -> bool {
        index < 128 && self.0 >> index & 1 == 1
    }

    fn covers(self, other: Mask) -> bool {
        other.0 & !self.0 == 0
    }

    fn one(index: usize) -> Mask {
        Mask(1 << index)
    }

    /// The fields of the table that `is_chosen` chooses.
    pub(super) fn of(fields: &[Field], is_chosen: impl Fn(usize, &Field) -> bool) -> Mask {
        let chosen = fields.iter().enumerate().filter(|(index, field)| is_chosen(*index, field));
        Mask(chosen.fold(0, |mask, (index, _)| mask | 1 << index))
    }

    /// How many of them come before the field at `index`.
    pub(super) fn rank(self, index: usize) -> usize {
        let before = 1u128.checked_shl(index as u32).map_or(u128::MAX, |bit| bit - 1);
        (self.0 & before).count_ones() as usize
    }

    /// The field of that name, or all in the group of that name.
    fn of_fields(topic: &Topic, name: &str) -> Option<Mask> {
        if let Some(index) = topic.field(name) {
            return Some(Mask::one(index));
        }
        let is_in_group =
            |field: &Field| field.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let mask = Mask::of(topic.fields, |_, field| is_in_group(field));
        (mask != Mask(0)).then_some(mask)
    }

    fn minus(self, other: Mask) -> Mask {
        Mask(self.0 & !other.0)
    }

    /// Without the key where it is there only because every row carries it.
    fn without_idle_key(self) -> Mask {
        if self == Mask::KEY { self } else { self.minus(Mask::KEY) }
    }

    /// Appends a path for each field, behind `start`.
    fn name_into(self, topic: &Topic, start: &str, names: &mut Vec<String>) {
        let fields = topic.fields.iter().enumerate().filter(|(index, _)| self.has(*index));
        names.extend(fields.map(|(_, field)| format!("{start}.{}", field.name)));
    }

    /// What is in both.
    pub(super) fn common(self, other: Mask) -> Mask {
        Mask(self.0 & other.0)
    }

    /// Both together; of a record with `fields` columns, so that all of them become `ALL`.
    fn union(self, other: Mask, fields: usize) -> Mask {
        let union = Mask(self.0 | other.0);
        if (0..fields).all(|index| union.has(index)) { Mask::ALL } else { union }
    }
}

/// The key, or [`EVERY_ROW`], and the fields that `rest` names, the path after the topic.
///
/// Keys may hold dots (`networks.eth0.100` is a VLAN, a mount may be anything), so the last dot
/// splits only where a field follows it. What looks like a field and is none is an error, because
/// a slip in a name must not select nothing in silence; a mount alone may end in any word.
fn parse_row<'a>(topic: &Topic, rest: &'a str) -> Option<(&'a str, Mask)> {
    if rest.is_empty() {
        return None;
    }
    let Some((key, last)) = rest.rsplit_once('.') else {
        return Some((rest, Mask::ALL));
    };
    if let Some(index) = topic.field(last) {
        return (!key.is_empty()).then(|| (key, Mask(Mask::one(index).0 | Mask::KEY.0)));
    }
    let like_a_field = last.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (rest.starts_with('/') || !like_a_field).then_some((rest, Mask::ALL))
}

#[cfg(test)]
mod tests;
