//! Which topics, records and figures a reader wants, in one canonical form.
//!
//! Owns the grammar of paths: `cpu` (a topic), `memory.usage` and `cpu.cores` (a field),
//! `server.messages` (a group of fields), `disks.vda` (a row), `disks.vda.utilisation` (a field of a
//! row).
//! Promises: two selections that ask for the same things are equal and hash alike, whatever the
//! order, the doubles and the overlaps of their paths, so that they can share encoded bytes.
//! Topics and fields are checked; rows are not, for a disk may be plugged in later.
//! May import: `definition`.

use std::fmt;

use super::definition::{self, Field, TOPIC_NAMES, Topic};

/// The names of the topics, in the order of JSON.
pub const TOPICS: &[&str] = TOPIC_NAMES;

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
    /// Some rows of a list, ascending by key.
    Rows(Vec<(String, Mask)>),
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
    fn covers(&self, other: &Scope) -> bool {
        match (self, other) {
            (Scope::Whole, _) => true,
            (Scope::Fields(mask), Scope::Fields(other)) => mask.covers(*other),
            (Scope::Rows(rows), Scope::Rows(others)) => others.iter().all(|(key, other)| {
                let mine = rows.binary_search_by(|(known, _)| known.cmp(key));
                mine.is_ok_and(|found| rows[found].1.covers(*other))
            }),
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
            Some(rest) if table.key.is_some() => {
                let (key, mask) = parse_row(table, rest)?;
                Scope::Rows(vec![(key.to_owned(), mask)])
            }
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
            (Scope::Rows(rows), Scope::Rows(more)) => {
                for (key, more) in more {
                    match rows.binary_search_by(|(known, _)| known.cmp(&key)) {
                        Ok(found) => rows[found].1 = rows[found].1.union(more, fields),
                        Err(gap) => rows.insert(gap, (key, more)),
                    }
                }
            }
            // One of the two is the whole topic: a topic has either fields or rows, never both.
            _ => self.scope = Scope::Whole,
        }
    }

    fn name_into(&self, names: &mut Vec<String>) {
        let topic = &definition::TOPICS[self.topic];
        let chosen =
            |mask: Mask| topic.fields.iter().enumerate().filter(move |(index, _)| mask.has(*index));
        match &self.scope {
            Scope::Whole => names.push(topic.name.to_owned()),
            Scope::Fields(mask) => {
                names.extend(
                    chosen(*mask).map(|(_, field)| format!("{}.{}", topic.name, field.name)),
                );
            }
            Scope::Rows(rows) => {
                for (key, mask) in rows {
                    let row = format!("{}.{key}", topic.name);
                    if *mask == Mask::ALL {
                        names.push(row);
                    } else {
                        names.extend(
                            chosen(*mask).map(|(_, field)| format!("{row}.{}", field.name)),
                        );
                    }
                }
            }
        }
    }
}

impl Mask {
    pub(super) const ALL: Mask = Mask(u128::MAX);

    pub(super) fn has(self, index: usize) -> bool {
        index < 128 && self.0 >> index & 1 == 1
    }

    fn covers(self, other: Mask) -> bool {
        other.0 & !self.0 == 0
    }

    fn one(index: usize) -> Mask {
        Mask(1 << index)
    }

    /// The field of that name, or all in the group of that name.
    fn of_fields(topic: &Topic, name: &str) -> Option<Mask> {
        if let Some(index) = topic.field(name) {
            return Some(Mask::one(index));
        }
        let is_in_group =
            |field: &Field| field.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let fields = topic.fields.iter().enumerate().filter(|(_, field)| is_in_group(field));
        let mask = fields.fold(0, |mask, (index, _)| mask | 1 << index);
        (mask != 0).then_some(Mask(mask))
    }

    /// The same with the key, which every row of a list carries.
    pub(super) fn with_key(self) -> Mask {
        Mask(self.0 | 1)
    }

    /// Both together; of a record with `fields` columns, so that all of them become `ALL`.
    fn union(self, other: Mask, fields: usize) -> Mask {
        let union = Mask(self.0 | other.0);
        if (0..fields).all(|index| union.has(index)) { Mask::ALL } else { union }
    }
}

/// The key and the fields that `rest` names, the path after the topic.
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
        return (!key.is_empty()).then(|| (key, Mask::one(index)));
    }
    let like_a_field = last.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (rest.starts_with('/') || !like_a_field).then_some((rest, Mask::ALL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(paths: &[&str]) -> Selection {
        Selection::parse(paths.iter().copied()).unwrap()
    }

    #[test]
    fn order_doubles_and_overlaps_do_not_matter() {
        let one = parse(&["disks.vda.utilisation", "memory.usage", "cpu", "disks.vda.await_ms"]);
        let two = parse(&[
            "cpu.usage",
            "disks.vda.await_ms",
            "cpu",
            "disks.vda.utilisation",
            "memory.usage",
            "cpu.cores",
            "memory.usage",
        ]);
        assert_eq!(one, two);
        assert_eq!(
            one.names(),
            ["cpu", "memory.usage", "disks.vda.utilisation", "disks.vda.await_ms"]
        );
    }

    #[test]
    fn every_field_together_is_the_topic_or_the_row() {
        let fields = definition::TOPICS[Topic::position("load").unwrap()].fields;
        let paths: Vec<String> = fields.iter().map(|f| format!("load.{}", f.name)).collect();
        assert_eq!(Selection::parse(paths.iter().map(String::as_str)).unwrap(), parse(&["load"]));
        let fields = definition::TOPICS[Topic::position("disks").unwrap()].fields;
        let paths: Vec<String> = fields.iter().map(|f| format!("disks.vda.{}", f.name)).collect();
        let selection = Selection::parse(paths.iter().map(String::as_str)).unwrap();
        assert_eq!(selection, parse(&["disks.vda"]));
        assert_eq!(selection.names(), ["disks.vda"]);
    }

    #[test]
    fn all_is_every_topic_by_name() {
        assert_eq!(parse(TOPIC_NAMES), Selection::all());
        assert_eq!(Selection::all().names(), TOPIC_NAMES);
    }

    #[test]
    fn keys_with_dots_and_slashes_are_keys() {
        assert_eq!(parse(&["networks.eth0.100"]).names(), ["networks.eth0.100"]);
        let names = ["networks.eth0.100.up", "networks.eth0.100.rx_bytes_per_s"];
        assert_eq!(parse(&names).names(), names);
        let names = ["filesystems./.usage", "filesystems./srv/a.example"];
        assert_eq!(parse(&names).names(), names);
    }

    #[test]
    fn a_group_is_all_its_fields_and_nothing_beside() {
        let latency = ["p50", "p99", "max"].map(|q| format!("server.messages.latency_ms.{q}"));
        assert_eq!(parse(&["server.messages.latency_ms"]).names(), latency);
        let pools = parse(&["server.pools"]).names();
        assert!(pools.len() == 9 && pools.iter().all(|name| name.starts_with("server.pools.")));
        assert!(Selection::parse(["server.pool"]).is_err());
        assert!(Selection::parse(["server.pools."]).is_err());
    }

    #[test]
    fn the_standard_selection_is_all_of_the_host_and_nothing_of_vitald() {
        let names = Selection::standard().names();
        assert_eq!(names, TOPIC_NAMES[..TOPIC_NAMES.len() - 1]);
        assert!(!names.contains(&"server".to_owned()));
    }

    #[test]
    fn unknown_topics_and_fields_are_refused_by_name() {
        let refused =
            ["", "nope", "cpu.nope", "cpu.", "disks.", "disks..usage", "disks.vda.nope", ".cpu"];
        for path in refused {
            let error = Selection::parse(["cpu", path]).unwrap_err();
            assert_eq!(error, UnknownPath(path.to_owned()));
        }
        assert_eq!(UnknownPath("nope".into()).to_string(), "unknown metric path \"nope\"");
    }

    #[test]
    fn rows_that_are_not_there_are_accepted() {
        assert_eq!(parse(&["disks.sdz.utilisation"]).names(), ["disks.sdz.utilisation"]);
    }

    #[test]
    fn a_selection_covers_its_parts_and_nothing_beside() {
        let all = parse(&["cpu", "memory.usage", "memory.used", "disks.vda", "networks.lo.up"]);
        for part in [
            &["cpu"][..],
            &["cpu.usage", "memory.used"],
            &["disks.vda.await_ms", "networks.lo.up"],
            &["memory.usage", "disks.vda"],
        ] {
            assert!(all.covers(&parse(part)), "{part:?}");
        }
        for other in ["memory", "memory.total", "disks", "disks.sda", "networks.lo", "load.one"] {
            assert!(!all.covers(&parse(&["cpu", other])), "{other}");
        }
        assert!(Selection::all().covers(&all) && !all.covers(&Selection::all()));
    }

    #[test]
    fn names_parse_to_the_same_selection() {
        let selection = parse(&["system", "cpu.cores", "networks.br-lan", "filesystems./a.b.used"]);
        let names = selection.names();
        assert_eq!(Selection::parse(names.iter().map(String::as_str)).unwrap(), selection);
    }
}
