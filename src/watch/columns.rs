//! Which columns there are, and what stands in them.
//!
//! Owns the default set (a list of paths with heads) and the columns of any other paths, which are
//! made from what a sample holds: units come from the table of metrics, and a figure that this
//! table does not know, of a newer server, has a column all the same. Pure but for what [`Totals`]
//! remembers. May import: the table of metrics.

use serde_json::Value;

use super::format::{self, NONE};
use super::heads;
use super::totals::{Totals, entries};
use crate::metrics::definition::{Field, Kind, TOPICS, Topic, Unit};

/// What stands in a path for every row, in the place of its key.
const EVERY_ROW: &str = "*";

/// Columns that are shown at most; what a sample of 64 KiB can hold is more than anybody can read.
const COLUMNS_MAX: usize = 512;

/// One column, and what a sample has for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// What tells it from others: a path.
    pub path: String,
    /// What stands over it and its neighbours.
    pub group: String,
    /// What stands over it.
    pub head: String,
    /// What its figures are in.
    pub unit: Unit,
    /// How wide it is.
    pub width: usize,
    /// What the sample has for it, as wide as the column.
    pub cell: String,
}

/// What to show of each sample.
#[derive(Debug)]
pub enum Choice {
    /// The default set.
    Standard(Standard),
    /// These paths, in this order.
    Paths(Vec<String>),
}

impl Choice {
    /// The columns of a sample.
    pub fn columns(&mut self, sample: &Value) -> Vec<Column> {
        match self {
            Choice::Standard(standard) => standard.columns(sample),
            Choice::Paths(paths) => chosen(paths, sample),
        }
    }
}

/// The default set, 80 columns wide where a host has all of it.
#[derive(Debug, Default)]
pub struct Standard {
    totals: Totals,
    has_pressure: bool,
    has_temperatures: bool,
}

/// Where a column of the default set has its figure.
#[derive(Clone, Copy)]
enum Source {
    Path(&'static str, &'static str),
    Total(&'static str, &'static str),
    Hottest,
}

/// Group, head and source of each column.
const STANDARD: [(&str, &str, Source); 12] = [
    ("cpu", "usage", Source::Path("cpu", "usage")),
    ("cpu", "wait", Source::Path("cpu", "iowait")),
    ("load", "1min", Source::Path("load", "one")),
    ("memory", "used", Source::Path("memory", "usage")),
    ("memory", "avail", Source::Path("memory", "available")),
    ("swap", "used", Source::Path("memory", "swap_usage")),
    ("disk", "read", Source::Total("disks", "read_bytes_per_s")),
    ("disk", "write", Source::Total("disks", "write_bytes_per_s")),
    ("net", "in", Source::Total("networks", "rx_bytes_per_s")),
    ("net", "out", Source::Total("networks", "tx_bytes_per_s")),
    ("press", "io", Source::Path("pressure", "io_some")),
    ("temp", "max", Source::Hottest),
];

impl Standard {
    /// The set for a host that has given this sample.
    pub fn of(sample: &Value) -> Standard {
        Standard {
            totals: Totals::default(),
            has_pressure: sample["pressure"]["io_some"].is_number(),
            has_temperatures: hottest(sample).is_some(),
        }
    }

    /// The paths to subscribe to. Of disks and interfaces, which come and go, all rows.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        for (_, _, source) in STANDARD.iter().filter(|(_, _, source)| self.has(*source)) {
            let path = match source {
                Source::Path(topic, field) => format!("{topic}.{field}"),
                Source::Total(list, _) => (*list).to_owned(),
                Source::Hottest => "temperatures".to_owned(),
            };
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }

    fn has(&self, source: Source) -> bool {
        match source {
            Source::Path("pressure", _) => self.has_pressure,
            Source::Hottest => self.has_temperatures,
            _ => true,
        }
    }

    fn columns(&mut self, sample: &Value) -> Vec<Column> {
        let shown: Vec<_> =
            STANDARD.into_iter().filter(|(_, _, source)| self.has(*source)).collect();
        let column = |(group, head, source): (&str, &str, Source)| {
            let (value, topic, field) = match source {
                Source::Path(topic, field) => (sample[topic][field].as_f64(), topic, field),
                Source::Total(list, field) => (self.totals.total(sample, list, field), list, field),
                Source::Hottest => (hottest(sample), "temperatures", "celsius"),
            };
            let unit = definition(topic, field).map_or(Unit::Number, |field| field.unit);
            let width = format::width(unit);
            Column {
                path: format!("{topic}.{field}"),
                group: group.to_owned(),
                head: head.to_owned(),
                unit,
                width,
                cell: format::figure(value, unit, width),
            }
        };
        shown.into_iter().map(column).collect()
    }
}

fn hottest(sample: &Value) -> Option<f64> {
    entries(sample, "temperatures").filter_map(|one| one["celsius"].as_f64()).reduce(f64::max)
}

fn definition(topic: &str, field: &str) -> Option<&'static Field> {
    let topic = &TOPICS[Topic::position(topic)?];
    Some(&topic.fields[topic.field(field)?])
}

/// One value of a sample.
struct Entry<'a> {
    path: String,
    group: String,
    field: String,
    value: &'a Value,
    defined: Option<&'static Field>,
}

impl Entry<'_> {
    /// Whether it is shown without having been named itself.
    fn is_figure(&self) -> bool {
        match self.defined {
            Some(field) => field.kind == Kind::Figure,
            None => self.value.is_number() || self.value.is_null(),
        }
    }

    /// Its path with `*` in the place of its row, if it is of one.
    fn path_of_every_row(&self) -> Option<String> {
        let (topic, rest) = self.path.split_once('.')?;
        (rest.len() > self.field.len()).then(|| format!("{topic}.{EVERY_ROW}.{}", self.field))
    }

    /// Whether `path` names it, or what it is a part of and it is a figure.
    fn is_asked_for(&self, path: &str) -> bool {
        let is_of_every_row = path
            .split_once('.')
            .is_some_and(|(_, rest)| rest == EVERY_ROW || rest.starts_with("*."));
        let own = match is_of_every_row {
            true => self.path_of_every_row(),
            false => Some(self.path.clone()),
        };
        let rest = own.as_ref().and_then(|own| own.strip_prefix(path));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && self.is_figure())
    }

    /// Where it is sorted: in the order of the table, and behind it what that does not know.
    fn place(&self) -> usize {
        let topic = self.path.split('.').next().and_then(Topic::position);
        let field = topic.and_then(|topic| TOPICS[topic].field(&self.field));
        field.unwrap_or(usize::MAX)
    }

    fn columns(&self, out: &mut Vec<Column>) {
        let Some(items) = self.value.as_array() else {
            return out.push(self.column(None, self.value));
        };
        for (index, item) in items.iter().enumerate() {
            out.push(self.column(Some(index), item));
        }
    }

    fn column(&self, index: Option<usize>, value: &Value) -> Column {
        let unit = self.defined.map_or(Unit::Number, |field| field.unit);
        let (path, group, field) = match index {
            // The items of a list are told apart by their number, below its name.
            Some(index) => {
                (format!("{}.{index}", self.path), self.field.clone(), index.to_string())
            }
            None => (self.path.clone(), self.group.clone(), self.field.clone()),
        };
        let least = match (value, self.defined.map(|field| field.kind)) {
            (Value::Bool(_), _) | (_, Some(Kind::Flag)) => "yes".len(),
            _ => format::width(unit),
        };
        let (group, last) = match field.rsplit_once('.') {
            Some((inner, last)) => (format!("{group}.{inner}"), last.to_owned()),
            None => (group, field),
        };
        Column { path, group, head: last, unit, width: least, cell: String::new() }.filled(value)
    }
}

impl Column {
    /// With what `value` is, written as wide as the head allows.
    fn filled(mut self, value: &Value) -> Column {
        self.cell = match value {
            Value::Number(number) => return self.with_figure(number.as_f64()),
            Value::String(text) => text.clone(),
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "no".to_owned(),
            _ => NONE.to_owned(),
        };
        self.cell = format::text(&self.cell, self.width);
        self
    }

    fn with_figure(mut self, value: Option<f64>) -> Column {
        self.cell = format::figure(value, self.unit, self.width);
        self
    }
}

/// The columns of `paths`, in their order, each once.
fn chosen(paths: &[String], sample: &Value) -> Vec<Column> {
    let mut entries = Vec::new();
    if let Some(topics) = sample.as_object() {
        let mut topics: Vec<_> = topics.iter().collect();
        topics.sort_by_key(|(name, _)| Topic::position(name).unwrap_or(usize::MAX));
        topics.into_iter().for_each(|(name, value)| entries_of(name, value, &mut entries));
    }
    let mut columns: Vec<Column> = Vec::new();
    let mut is_taken = vec![false; entries.len()];
    for path in paths {
        let mut is_found = false;
        for (entry, is_taken) in entries.iter().zip(&mut is_taken) {
            if entry.is_asked_for(path) {
                is_found = true;
                if !std::mem::replace(is_taken, true) {
                    entry.columns(&mut columns);
                }
            }
        }
        if !is_found && let Some(absent) = absent(path) {
            columns.push(absent);
        }
    }
    columns.truncate(COLUMNS_MAX);
    heads::shorten(&mut columns);
    columns
}

/// The column of a figure whose row is not there now.
fn absent(path: &str) -> Option<Column> {
    let (topic, rest) = path.split_once('.')?;
    let (row, field) = rest.rsplit_once('.').unwrap_or(("", rest));
    let defined = definition(topic, field).filter(|field| field.kind == Kind::Figure)?;
    let group = if row.is_empty() { topic } else { row };
    let entry = Entry {
        path: path.to_owned(),
        group: group.to_owned(),
        field: field.to_owned(),
        value: &Value::Null,
        defined: Some(defined),
    };
    Some(entry.column(None, &Value::Null))
}

/// All values of a topic.
fn entries_of<'a>(topic: &str, value: &'a Value, out: &mut Vec<Entry<'a>>) {
    let key = Topic::position(topic).and_then(|topic| TOPICS[topic].key).unwrap_or("name");
    let mut record = |prefix: &str, group: &str, value: &'a Value| {
        let first = out.len();
        fields_of(topic, prefix, group, "", value, out);
        // The order of JSON is not kept by the reader.
        out[first..].sort_by_key(Entry::place);
    };
    match value {
        Value::Object(_) => record(topic, topic, value),
        Value::Array(rows) => {
            for row in rows {
                if let Some(name) = row[key].as_str() {
                    record(&format!("{topic}.{name}"), name, row);
                }
            }
        }
        _ => {}
    }
}

/// The values of a record, those in groups by their dotted names.
fn fields_of<'a>(
    topic: &str,
    prefix: &str,
    group: &str,
    above: &str,
    value: &'a Value,
    out: &mut Vec<Entry<'a>>,
) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let field = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            // JSON is read 128 levels deep at most.
            Value::Object(_) => fields_of(topic, prefix, group, &field, value, out),
            _ => out.push(Entry {
                path: format!("{prefix}.{field}"),
                group: group.to_owned(),
                defined: definition(topic, &field),
                field,
                value,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Value {
        json!({
            "type": "metrics", "seq": 1, "t": 5,
            "memory": {"usage": 12.5, "total": 4096, "swap_usage": null},
            "cpu": {"usage": 3.0, "iowait": 0.5, "cores": [1.0, 200.0]},
            "load": {"one": 0.5},
            "disks": [
                {"name": "sdb", "read_bytes_per_s": 2048, "await_ms": 1.5},
                {"name": "sda", "read_bytes_per_s": 1024, "await_ms": null},
                {"name": "sda1", "read_bytes_per_s": 1024},
            ],
            "networks": [{"name": "eth0.1", "up": true, "rx_bytes_per_s": 5}],
            "temperatures": [{"sensor": "a", "label": "CPU", "celsius": 45.0},
                {"sensor": "b", "celsius": 51.5}, {"sensor": "c", "celsius": null}],
            "pressure": {"io_some": 0.0},
            "server": {"messages": {"latency_ms": {"p50": 0.1, "p99": 1.0}}},
            "custom": {"queue": 7},
        })
    }

    fn shown(paths: &[&str]) -> Vec<(String, String)> {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        let columns = Choice::Paths(paths).columns(&sample());
        for column in &columns {
            assert_eq!(column.cell.chars().count(), column.width, "{column:?}");
        }
        let pair = |column: Column| (column.path, column.cell.trim().to_owned());
        columns.into_iter().map(pair).collect()
    }

    fn paths(paths: &[&str]) -> Vec<String> {
        shown(paths).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn the_default_set_is_80_columns_wide_and_sums_what_is_physical() {
        let mut standard = Standard::of(&sample());
        let columns = standard.columns(&sample());
        let width: usize = columns.iter().map(|column| 1 + column.width).sum();
        assert_eq!("HH:MM:SS".len() + width, 80);
        let cells: Vec<&str> = columns.iter().map(|column| column.cell.trim()).collect();
        let expected =
            ["3.0", "0.50", "0.50", "12.5", "-", "-", "3.0K", "-", "5", "-", "0.0", "51.5"];
        assert_eq!(cells, expected);
    }

    #[test]
    fn a_host_without_sensors_and_pressure_has_no_columns_for_them() {
        let standard = Standard::of(&json!({"cpu": {"usage": 1.0}, "temperatures": []}));
        assert!(!standard.paths().iter().any(|path| path.contains("pressure")));
        assert!(!standard.paths().contains(&"temperatures".to_owned()));
        assert!(Standard::of(&sample()).paths().contains(&"temperatures".to_owned()));
    }

    #[test]
    fn a_topic_is_all_its_figures_in_the_order_of_the_table_and_a_row_too() {
        assert_eq!(paths(&["memory"]), ["memory.total", "memory.usage", "memory.swap_usage"]);
        assert_eq!(paths(&["disks.sdb"]), ["disks.sdb.read_bytes_per_s", "disks.sdb.await_ms"]);
        assert_eq!(paths(&["disks"])[..2], paths(&["disks.sdb"]), "rows keep their order");
        assert_eq!(paths(&["networks"]), ["networks.eth0.1.rx_bytes_per_s"]);
        assert_eq!(paths(&["server.messages"]).len(), 2);
    }

    #[test]
    fn paths_come_in_the_order_in_which_they_were_asked_for_each_once() {
        let asked = ["memory.usage", "cpu.usage", "memory"];
        let expected = ["memory.usage", "cpu.usage", "memory.total", "memory.swap_usage"];
        assert_eq!(paths(&asked), expected);
    }

    #[test]
    fn what_is_no_figure_is_shown_where_it_is_named_itself() {
        let pair = |path: &str, cell: &str| (path.to_owned(), cell.to_owned());
        assert_eq!(shown(&["networks.eth0.1.up"]), [pair("networks.eth0.1.up", "yes")]);
        assert_eq!(shown(&["temperatures.a.label"]), [pair("temperatures.a.label", "CPU")]);
        let cores = [pair("cpu.cores.0", "1.0"), pair("cpu.cores.1", "200.0")];
        assert_eq!(shown(&["cpu.cores"]), cores);
    }

    #[test]
    fn a_figure_that_is_not_there_keeps_its_column_and_one_that_is_new_has_one() {
        let pair = |path: &str, cell: &str| (path.to_owned(), cell.to_owned());
        assert_eq!(shown(&["disks.sdz.await_ms"]), [pair("disks.sdz.await_ms", "-")]);
        assert_eq!(shown(&["load.five"]), [pair("load.five", "-")]);
        assert_eq!(shown(&["custom"]), [pair("custom.queue", "7.00")]);
        assert_eq!(shown(&["sockets"]), []);
    }

    #[test]
    fn a_star_is_every_row_in_their_order() {
        let pair = |path: &str, cell: &str| (path.to_owned(), cell.to_owned());
        let waits = [pair("disks.sdb.await_ms", "1.50"), pair("disks.sda.await_ms", "-")];
        assert_eq!(shown(&["disks.*.await_ms"]), waits);
        assert_eq!(paths(&["disks.*"]), paths(&["disks"]));
        assert_eq!(shown(&["networks.*.up"]), [pair("networks.eth0.1.up", "yes")]);
        assert_eq!(shown(&["filesystems.*.usage"]), [pair("filesystems.*.usage", "-")]);
        assert_eq!(paths(&["disks.sda.await_ms", "disks.*.await_ms"]).len(), 2, "each once");
    }
}
