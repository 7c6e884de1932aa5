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
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;
    use proptest::prelude::*;

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
        let all = parse(&["cpu", "memory.usage", "memory.used", "disks.vda", "networks.*.up"]);
        for part in [
            &["cpu"][..],
            &["cpu.usage", "memory.used"],
            &["disks.vda.await_ms", "networks.lo.up"],
            &["memory.usage", "disks.vda"],
            &["networks.*.up", "networks.eth0.up"],
        ] {
            assert!(all.covers(&parse(part)), "{part:?}");
        }
        for other in ["memory", "memory.total", "disks.*.await_ms", "disks.sda", "networks.lo"] {
            assert!(!all.covers(&parse(&["cpu", other])), "{other}");
        }
        assert!(Selection::all().covers(&all) && !all.covers(&Selection::all()));
    }

    #[test]
    fn a_star_is_every_row_and_what_it_covers_is_not_said_again() {
        let names = ["disks.*.utilisation", "disks.vda.await_ms"];
        assert_eq!(parse(&names).names(), names);
        let more = ["disks.vda.utilisation", "disks.vda.await_ms", "disks.*.utilisation"];
        assert_eq!(parse(&more), parse(&names));
        let covered = ["disks.vda.utilisation", "disks.sda.name", "disks.*.utilisation"];
        assert_eq!(parse(&covered).names(), ["disks.*.utilisation"]);
        assert_eq!(parse(&["disks.*"]), parse(&["disks"]));
        assert_eq!(parse(&["disks.*.await_ms", "disks.*"]), parse(&["disks"]));
        let names = ["disks.*.utilisation", "disks.vda"];
        assert_eq!(parse(&names).names(), names);
    }

    #[test]
    fn a_star_with_each_field_is_the_topic() {
        let fields = definition::TOPICS[Topic::position("networks").unwrap()].fields;
        let paths: Vec<String> = fields.iter().map(|f| format!("networks.*.{}", f.name)).collect();
        // The key comes with any other field.
        let selection = Selection::parse(paths[1..].iter().map(String::as_str)).unwrap();
        assert_eq!(selection, parse(&["networks"]));
        assert_eq!(parse(&["networks.*.name"]).names(), ["networks.*.name"]);
    }

    #[test]
    fn a_star_stands_for_a_whole_key_and_only_in_a_list() {
        let names = ["filesystems./mnt/*.usage", "filesystems./srv/*"];
        assert_eq!(parse(&names).names(), names);
        assert_eq!(parse(&["networks.*.100"]).names(), ["networks.*.100"]);
        for path in ["*", "cpu.*", "server.*.sent", "disks.*.nope", "disks.*.", "*.usage"] {
            assert!(Selection::parse([path]).is_err(), "{path}");
        }
    }

    /// A path of a topic of few fields, as its row and its field by position.
    #[derive(Clone, Copy, Debug)]
    struct Path {
        row: &'static str,
        field: Option<usize>,
    }

    const ROWS: [&str; 3] = [EVERY_ROW, "a", "b.0"];

    impl Path {
        fn text(self) -> String {
            let table = &definition::TOPICS[Topic::position("temperatures").unwrap()];
            let row = format!("temperatures.{}", self.row);
            self.field.map_or(row.clone(), |field| format!("{row}.{}", table.fields[field].name))
        }

        fn strategy() -> impl Strategy<Value = Path> {
            let field = prop_oneof![1 => Just(None), 8 => (0..5usize).prop_map(Some)];
            (prop::sample::select(&ROWS[..]), field).prop_map(|(row, field)| Path { row, field })
        }
    }

    /// Which fields of the rows `a`, `b.0` and any other are wanted, said in the plainest way.
    fn wanted(paths: &[Path]) -> [[bool; 5]; 3] {
        ["a", "b.0", "another"].map(|row| {
            let of_row = paths.iter().filter(|path| [EVERY_ROW, row].contains(&path.row));
            of_row.fold([false; 5], |mut fields, path| {
                for (index, is_wanted) in fields.iter_mut().enumerate() {
                    *is_wanted |= index == 0 || path.field.is_none_or(|field| field == index);
                }
                fields
            })
        })
    }

    fn of_paths(paths: &[Path]) -> Selection {
        let texts: Vec<String> = paths.iter().map(|path| path.text()).collect();
        Selection::parse(texts.iter().map(String::as_str)).unwrap()
    }

    fn hash(selection: &Selection) -> u64 {
        let mut hasher = DefaultHasher::new();
        selection.hash(&mut hasher);
        hasher.finish()
    }

    proptest! {
        #[test]
        fn what_asks_for_the_same_is_the_same(
            paths in prop::collection::vec(Path::strategy(), 1..8),
            more in prop::collection::vec(Path::strategy(), 0..3),
            turned in 0..8usize,
        ) {
            let selection = of_paths(&paths);
            let mut others = [&paths[..], &more[..]].concat();
            others.rotate_left(turned % paths.len());
            let other = of_paths(&others);
            let is_same = wanted(&paths) == wanted(&others);
            prop_assert_eq!(selection == other, is_same, "{:?} and {:?}", paths, others);
            prop_assert_eq!(hash(&selection) == hash(&other), is_same);
        }

        #[test]
        fn the_names_of_a_selection_ask_for_what_its_paths_did(
            paths in prop::collection::vec(Path::strategy(), 1..8)
        ) {
            let selection = of_paths(&paths);
            let names = selection.names();
            prop_assert_eq!(
                Selection::parse(names.iter().map(String::as_str)).unwrap(), selection.clone()
            );
            let Scope::Rows(chosen) = &selection.parts()[0].scope else {
                prop_assert_eq!(wanted(&paths), [[true; 5]; 3]);
                return Ok(());
            };
            let given = ["a", "b.0", "another"].map(|row| {
                let mask = chosen.of(row).unwrap_or(Mask::NONE);
                [0, 1, 2, 3, 4].map(|field| mask.has(field))
            });
            prop_assert_eq!(given, wanted(&paths));
        }
    }

    #[test]
    fn names_parse_to_the_same_selection() {
        let selection = parse(&["system", "cpu.cores", "networks.br-lan", "filesystems./a.b.used"]);
        let names = selection.names();
        assert_eq!(Selection::parse(names.iter().map(String::as_str)).unwrap(), selection);
    }
}
