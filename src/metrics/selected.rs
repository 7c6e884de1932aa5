//! A snapshot seen through a selection, as JSON.
//!
//! Owns the wire form of values: nested by topic and row, numbers rounded to what can be seen,
//! whole numbers without a point, unknown figures as `null`.
//! Promises: no allocation, no `serde_json::Value`; rows always carry their key.
//! May import: `definition`, `selection`, `snapshot`.

use std::ops::Range;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::definition::{Field, Kind, TOPICS, Topic, Unit};
use super::selection::{Mask, Scope, Selection};
use super::snapshot::{Content, Extreme, Record, Rows, Snapshot, Topics, Value};

/// A snapshot, or what several came to, seen through a selection: `{"cpu":{...},"disks":[...]}`.
pub struct Selected<'a> {
    topics: &'a dyn Topics,
    selection: &'a Selection,
    /// If only the figures are shown, at this end of what they were.
    extreme: Option<Extreme>,
}

impl Snapshot {
    /// This snapshot seen through `selection`, ready to be serialised.
    pub fn select<'a>(&'a self, selection: &'a Selection) -> Selected<'a> {
        Selected::new(self, selection)
    }
}

impl<'a> Selected<'a> {
    pub(super) fn new(topics: &'a dyn Topics, selection: &'a Selection) -> Selected<'a> {
        Selected { topics, selection, extreme: None }
    }

    /// The least or the most of each figure in the same shape, without texts and flags. Rows keep
    /// their key.
    pub(super) fn extreme(self, extreme: Extreme) -> Selected<'a> {
        Selected { extreme: Some(extreme), ..self }
    }

    /// Writes each topic as an entry of `map`, for a message that has entries of its own.
    pub fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for part in self.selection.parts() {
            let topic = &TOPICS[part.topic];
            let (fields, extreme, shown) = (topic.fields, self.extreme, self.shown(topic));
            match self.topics.topic(part.topic) {
                Some(Content::One(record)) => {
                    let mask = part.scope.of_record().common(shown);
                    map.serialize_entry(topic.name, &Row { record, fields, mask, extreme })?;
                }
                Some(Content::Many(rows)) => {
                    let list = List { rows, fields, scope: &part.scope, shown, extreme };
                    map.serialize_entry(topic.name, &list)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The columns that can be seen, wanted or not.
    fn shown(&self, topic: &Topic) -> Mask {
        if self.extreme.is_none() {
            return Mask::ALL;
        }
        Mask::of(topic.fields, |index, field| match field.kind {
            Kind::Figure | Kind::List => true,
            Kind::Text | Kind::Flag => index == 0 && topic.key.is_some(),
        })
    }
}

impl Serialize for Selected<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_into(&mut map)?;
        map.end()
    }
}

/// A figure as a reader sees it: rounded by its unit, whole numbers without a point.
pub struct Rounded(pub Option<f64>, pub Unit);

impl Serialize for Rounded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Beyond 2^53 a double no longer holds every whole number; nothing measured gets there.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let Some(value) = self.0.filter(|value| value.is_finite()) else {
            return serializer.serialize_none();
        };
        let rounded = self.1.round(value);
        if rounded.fract() == 0.0 && rounded.abs() <= EXACT {
            serializer.serialize_i64(rounded as i64)
        } else {
            serializer.serialize_f64(rounded)
        }
    }
}

struct Row<'a> {
    record: &'a dyn Record,
    fields: &'static [Field],
    mask: Mask,
    extreme: Option<Extreme>,
}

impl<'a> Row<'a> {
    fn value(&self, index: usize) -> Value<'a> {
        match self.extreme {
            None => self.record.value(index),
            Some(extreme) => self.record.extreme(index, extreme),
        }
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        Group::of(self).serialize_into(&mut map)?;
        map.end()
    }
}

/// Every column of one record, for an answer that is made of it.
pub struct Fields<'a> {
    /// The record.
    pub record: &'a dyn Record,
    /// Its columns.
    pub fields: &'static [Field],
}

impl Fields<'_> {
    /// Writes each column, or group of them, as an entry of `map`.
    pub fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let (record, fields) = (self.record, self.fields);
        let row = Row { record, fields, mask: Mask::ALL, extreme: None };
        Group::of(&row).serialize_into(map)
    }
}

/// The columns of a row whose names begin alike: `messages.latency_ms.p99` is
/// `"messages":{"latency_ms":{"p99"`.
struct Group<'a> {
    row: &'a Row<'a>,
    columns: Range<usize>,
    /// How much of each name is written already, the dot behind it included.
    depth: usize,
}

impl<'a> Group<'a> {
    fn of(row: &'a Row<'a>) -> Group<'a> {
        Group { row, columns: 0..row.fields.len(), depth: 0 }
    }

    /// The columns from `first` on that share its name up to `dot`.
    fn part(&self, first: usize, dot: usize) -> Group<'a> {
        let start = &self.row.fields[first].name[..=self.depth + dot];
        let rest = &self.row.fields[first..self.columns.end];
        let count = rest.iter().take_while(|field| field.name.starts_with(start)).count();
        Group { row: self.row, columns: first..first + count, depth: start.len() }
    }

    fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let mut index = self.columns.start;
        while index < self.columns.end {
            let field = &self.row.fields[index];
            let name = &field.name[self.depth..];
            if let Some(dot) = name.find('.') {
                let part = self.part(index, dot);
                index = part.columns.end;
                if part.columns.clone().any(|column| self.row.mask.has(column)) {
                    map.serialize_entry(&name[..dot], &part)?;
                }
                continue;
            }
            if self.row.mask.has(index) {
                let cell = Cell { value: self.row.value(index), unit: field.unit };
                map.serialize_entry(name, &cell)?;
            }
            index += 1;
        }
        Ok(())
    }
}

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_into(&mut map)?;
        map.end()
    }
}

struct List<'a> {
    rows: &'a dyn Rows,
    fields: &'static [Field],
    scope: &'a Scope,
    shown: Mask,
    extreme: Option<Extreme>,
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.iter().filter_map(|record| {
            let mask = self.scope.of_row(record.key())?.common(self.shown);
            Some(Row { record, fields: self.fields, mask, extreme: self.extreme })
        }))
    }
}

struct Cell<'a> {
    value: Value<'a>,
    unit: Unit,
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Figure(figure) => Rounded(figure, self.unit).serialize(serializer),
            Value::Flag(flag) => flag.serialize(serializer),
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(list) => {
                serializer.collect_seq(list.iter().map(|figure| Rounded(*figure, self.unit)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::{Disk, Filesystem, Network};
    use super::*;

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.cpu.usage = Some(12.345);
        snapshot.cpu.user = Some(0.0449);
        snapshot.cpu.cores = vec![Some(100.0), None, Some(0.0)];
        snapshot.memory.total = Some(25_276_514_304.0);
        snapshot.memory.usage = Some(f64::NAN);
        snapshot.load.one = Some(0.5);
        snapshot.server.messages_sent = Some(7.0);
        snapshot.server.messages_latency_ms_p99 = Some(1.5);
        snapshot.disks =
            vec![Disk { name: "vda".into(), utilisation: Some(3.0), ..Disk::default() }];
        snapshot.networks = vec![
            Network { name: "eth0".into(), up: Some(true), ..Network::default() },
            Network { name: "eth0.100".into(), rx_bytes_per_s: Some(1.6), ..Network::default() },
        ];
        snapshot.filesystems = vec![Filesystem {
            mount: "/a \"b\".c".into(),
            usage: Some(50.0),
            ..Filesystem::default()
        }];
        snapshot
    }

    fn json(paths: &[&str]) -> String {
        let selection = Selection::parse(paths.iter().copied()).unwrap();
        serde_json::to_string(&snapshot().select(&selection)).unwrap()
    }

    #[test]
    fn a_whole_topic_has_every_field_and_null_for_the_unknown() {
        assert_eq!(
            json(&["cpu", "disks"]),
            "{\"cpu\":{\"usage\":12.3,\"user\":0.04,\"system\":null,\"nice\":null,\"iowait\":null,\
             \"irq\":null,\"steal\":null,\"cores\":[100,null,0],\"frequency_mhz\":null},\
             \"disks\":[{\"name\":\"vda\",\"read_bytes_per_s\":null,\"write_bytes_per_s\":null,\
             \"reads_per_s\":null,\"writes_per_s\":null,\"utilisation\":3,\"await_ms\":null}]}"
        );
    }

    #[test]
    fn chosen_fields_keep_the_nested_shape_and_rows_their_key() {
        assert_eq!(
            json(&["memory.total", "memory.usage", "networks.eth0.up", "cpu.cores"]),
            "{\"cpu\":{\"cores\":[100,null,0]},\"memory\":{\"total\":25276514304,\"usage\":null},\
             \"networks\":[{\"name\":\"eth0\",\"up\":true}]}"
        );
        assert_eq!(
            json(&["networks.eth0.100.rx_bytes_per_s", "filesystems./a \"b\".c.usage"]),
            "{\"filesystems\":[{\"mount\":\"/a \\\"b\\\".c\",\"usage\":50}],\
             \"networks\":[{\"name\":\"eth0.100\",\"rx_bytes_per_s\":2}]}"
        );
    }

    #[test]
    fn a_star_is_a_field_of_every_row_beside_what_is_asked_of_one() {
        assert_eq!(
            json(&["networks.*.up"]),
            "{\"networks\":[{\"name\":\"eth0\",\"up\":true},\
             {\"name\":\"eth0.100\",\"up\":null}]}"
        );
        assert_eq!(
            json(&["networks.*.up", "networks.eth0.100.rx_bytes_per_s"]),
            "{\"networks\":[{\"name\":\"eth0\",\"up\":true},\
             {\"name\":\"eth0.100\",\"up\":null,\"rx_bytes_per_s\":2}]}"
        );
        assert_eq!(json(&["temperatures.*.celsius"]), "{\"temperatures\":[]}");
    }

    #[test]
    fn a_name_with_dots_is_nested_and_a_group_without_chosen_fields_is_left_out() {
        assert_eq!(
            json(&[
                "server.messages.latency_ms.p99",
                "server.messages.sent",
                "server.process.rss",
                "server.connections.by_state.CONNECTED",
            ]),
            "{\"server\":{\"connections\":{\"by_state\":{\"CONNECTED\":null}},\"messages\":\
             {\"sent\":7,\"latency_ms\":{\"p99\":1.5}},\"process\":{\"rss\":null}}}"
        );
        let whole: serde_json::Value = serde_json::from_str(&json(&["server"])).unwrap();
        let names: Vec<&String> = whole["server"].as_object().unwrap().keys().collect();
        let expected = [
            "cache",
            "connections",
            "loop",
            "messages",
            "pools",
            "process",
            "queues",
            "subscriptions",
            "tasks",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_row_that_is_gone_leaves_an_empty_list() {
        assert_eq!(json(&["disks.sdz"]), "{\"disks\":[]}");
        assert_eq!(json(&[]), "{}");
    }

    #[test]
    fn topics_can_be_written_into_a_map_with_other_entries() {
        struct Message(Snapshot);
        impl Serialize for Message {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let selection = Selection::parse(["load.one"]).unwrap();
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("type", "metrics")?;
                self.0.select(&selection).serialize_into(&mut map)?;
                map.end()
            }
        }
        let text = serde_json::to_string(&Message(snapshot())).unwrap();
        assert_eq!(text, "{\"type\":\"metrics\",\"load\":{\"one\":0.5}}");
    }

    #[test]
    fn every_snapshot_is_valid_json_with_every_topic() {
        let text = serde_json::to_string(&snapshot().select(&Selection::all())).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        for topic in TOPICS {
            assert!(parsed.get(topic.name).is_some(), "{}", topic.name);
        }
    }

    #[test]
    fn paths_find_their_figures() {
        let snapshot = snapshot();
        assert_eq!(snapshot.value("disks.vda.utilisation"), Some(3.0));
        assert_eq!(snapshot.value("filesystems./a \"b\".c.usage"), Some(50.0));
        assert_eq!(snapshot.value("networks.eth0.100.rx_bytes_per_s"), Some(1.6));
        assert_eq!(snapshot.value("networks.eth0.up"), Some(1.0));
        let nothing = ["cpu", "cpu.cores", "cpu.nope", "disks.sda.utilisation", "memory.used", ""];
        for path in nothing {
            assert_eq!(snapshot.value(path), None, "{path}");
        }
    }
}
