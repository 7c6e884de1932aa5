//! Which figure a rule watches: a scalar path, resolved once.
//!
//! Owns [`Target`]. Promises: reading a figure neither parses nor allocates. A path is refused
//! unless its topic and its column exist and the column is a single figure or a flag; rows are not
//! checked, for a disk may be plugged in later. May import: `definition`,
//! `snapshot`, the spelling of names.

use crate::metrics::definition::{Field, Kind, TOPICS, Topic, Unit};
use crate::metrics::snapshot::{Content, Record, Rows, Snapshot};
use crate::spelling::choices;

/// Stands for every row in the place of a row's key.
const EVERY_ROW: &str = "*";

/// A scalar path as positions in the tables of the definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    topic: usize,
    column: usize,
    pub(super) scope: Scope,
}

/// Of which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The topic is a single record.
    Single,
    /// The row with this key.
    Row(String),
    /// Each row, now and later.
    Every,
}

impl Target {
    /// Resolves a path: `memory.usage`, `disks.vda.utilisation`, `filesystems.*.usage`. A key may
    /// hold dots: it is what stands between the first and the last.
    ///
    /// # Errors
    /// What is wrong, to follow the path in a sentence.
    pub(super) fn parse(path: &str) -> Result<Target, String> {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        let topic = Topic::position(name).ok_or_else(|| {
            let topics = choices(name, TOPICS.iter().map(|topic| topic.name));
            format!("names no topic: begin it with one of {topics}")
        })?;
        let table = &TOPICS[topic];
        let (scope, column) = match table.key {
            None => (Scope::Single, rest),
            Some(_) => match rest.rsplit_once('.') {
                Some((EVERY_ROW, column)) => (Scope::Every, column),
                Some((key, column)) if !key.is_empty() => (Scope::Row(key.to_owned()), column),
                _ => {
                    let form = format!("{name}.*.{}", example(table));
                    return Err(format!("names no row: write it as in {form}"));
                }
            },
        };
        let found = table.field(column).filter(|&column| is_scalar(&table.fields[column]));
        let column = found.ok_or_else(|| {
            let figures = table.fields.iter().filter(|field| is_scalar(field));
            let figures = choices(column, figures.map(|field| field.name));
            format!("names no figure of {name}: end it with one of {figures}")
        })?;
        Ok(Target { topic, column, scope })
    }

    /// What the figure counts.
    pub(super) fn unit(&self) -> Unit {
        self.field().unit
    }

    /// The highest value that the figure can have, where there is one.
    pub(super) fn highest(&self) -> Option<f64> {
        match self.field() {
            Field { kind: Kind::Flag, .. } => Some(1.0),
            Field { unit: Unit::Percent, .. } => Some(100.0),
            _ => None,
        }
    }

    /// Whether the figure is of vitald itself: unknown until enough has happened, on any host.
    pub(super) fn is_own(&self) -> bool {
        TOPICS[self.topic].name == "server"
    }

    /// The path of the figure in the row called `key`.
    pub(super) fn path_of(&self, key: &str) -> String {
        format!("{}.{key}.{}", TOPICS[self.topic].name, self.field().name)
    }

    /// The figure, for one that is not of every row.
    pub(super) fn figure(&self, snapshot: &Snapshot) -> Option<f64> {
        match (snapshot.content(self.topic), &self.scope) {
            (Content::One(record), _) => self.figure_of(record),
            (Content::Many(rows), Scope::Row(key)) => {
                self.figure_of(rows.iter().find(|record| record.key() == key)?)
            }
            (Content::Many(_), _) => None,
        }
    }

    /// The rows of the topic; none for a single record.
    pub(super) fn rows<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a dyn Rows> {
        match snapshot.content(self.topic) {
            Content::Many(rows) => Some(rows),
            Content::One(_) => None,
        }
    }

    /// The figure in a record of the topic. What is not finite is not known.
    pub(super) fn figure_of(&self, record: &dyn Record) -> Option<f64> {
        record.figure(self.column).filter(|figure| figure.is_finite())
    }

    fn field(&self) -> &'static Field {
        &TOPICS[self.topic].fields[self.column]
    }
}

fn is_scalar(field: &Field) -> bool {
    matches!(field.kind, Kind::Figure | Kind::Flag)
}

/// The name of a figure of the topic, to show what one looks like.
fn example(topic: &Topic) -> &'static str {
    topic.fields.iter().find(|field| is_scalar(field)).map_or("", |field| field.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::snapshot::{Disk, Network};

    #[test]
    fn a_path_finds_its_figure() {
        let mut snapshot = Snapshot::default();
        snapshot.memory.usage = Some(7.0);
        snapshot.load.one = Some(f64::NAN);
        let utilisation = |name: &str, figure| Disk {
            name: name.into(),
            utilisation: Some(figure),
            ..Disk::default()
        };
        snapshot.disks = vec![utilisation("sda", 1.0), utilisation("sdb", 2.0)];
        snapshot.networks =
            vec![Network { name: "eth0.100".into(), up: Some(false), ..Network::default() }];
        for (path, figure) in [
            ("memory.usage", Some(7.0)),
            ("load.one", None),
            ("cpu.usage", None),
            ("disks.sdb.utilisation", Some(2.0)),
            ("disks.sdc.utilisation", None),
            ("networks.eth0.100.up", Some(0.0)),
        ] {
            let target = Target::parse(path).unwrap();
            assert_eq!(target.figure(&snapshot), figure, "{path}");
            assert_eq!(target.figure(&Snapshot::default()), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_single_figure_is_refused() {
        for path in [
            "",
            "cpu",
            "cpu.",
            "cpu.cores",
            "cpu.nope",
            "cup.usage",
            "disks",
            "disks.vda",
            "disks.utilisation",
            "disks..utilisation",
            "disks.vda.name",
            "disks.vda.nope",
            "filesystems./.device",
        ] {
            let mistake = Target::parse(path).unwrap_err();
            assert!(mistake.starts_with("names no "), "{path}: {mistake}");
        }
    }

    #[test]
    fn what_there_is_is_listed_with_the_nearest_first_and_briefly() {
        let mistake = |path: &str| Target::parse(path).unwrap_err();
        assert!(mistake("cup.usage").contains("begin it with one of cpu, "));
        assert!(mistake("filesystem./.usage").contains("one of filesystems, "));
        let figure = mistake("disks.vda.utilization");
        assert!(figure.contains("end it with one of utilisation, "), "{figure}");
        for path in ["x".repeat(256), format!("cpu.{}", "x".repeat(250))] {
            assert!(mistake(&path).len() < 250, "{}", mistake(&path));
        }
    }

    #[test]
    fn a_star_is_every_row_only_where_it_is_the_whole_key() {
        assert_eq!(Target::parse("disks.*.utilisation").unwrap().scope, Scope::Every);
        let scope = Target::parse("filesystems./mnt/*.usage").unwrap().scope;
        assert_eq!(scope, Scope::Row("/mnt/*".to_owned()));
        assert_eq!(
            Target::parse("filesystems.*.usage").unwrap().path_of("/"),
            "filesystems./.usage"
        );
    }
}
