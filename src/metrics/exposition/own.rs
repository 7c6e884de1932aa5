//! What vitald measures that no other exporter does, from the one table of metrics.
//!
//! A column becomes `vitald_` with its topic and its name in base units, as Prometheus names things
//! (<https://prometheus.io/docs/practices/naming/>): `server.messages.latency_ms.p99` becomes
//! `vitald_messages_latency_p99_seconds`, a percentage a ratio from 0 to 1, a rate one a second,
//! and a count since the start ends with `_total`. The topic `server` is vitald itself and adds no
//! word. Columns whose name has a part `by_state` or `closed_by_reason` are one family, told apart
//! by a label `state` or `reason`; the column that is their sum is left out, for Prometheus can
//! add.
//! May import: the data model and the writer.

use super::{Exposition, Kind};
use crate::metrics::definition::{Field, TOPICS, Topic, Unit};
use crate::metrics::snapshot::{Cgroup, Record, Server};

/// Adds vitald's version, what it measures of itself, and the limits of its control group. Every
/// other topic has figures that rules and dashboards know by node_exporter's names.
pub fn expose(server: &Server, cgroup: &Cgroup, out: &mut Exposition<'_>) {
    let help = "Always 1; the label has the version.";
    let family = out.family("vitald_build_info", help, Kind::Gauge);
    out.sample(family, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let own: [(&str, &dyn Record); 2] = [("server", server), ("cgroup", cgroup)];
    for (name, record) in own {
        if let Some(position) = Topic::position(name) {
            expose_record(&TOPICS[position], record, out);
        }
    }
}

/// Adds a sample for each figure of a record that is known.
fn expose_record(topic: &Topic, record: &dyn Record, out: &mut Exposition<'_>) {
    let columns: Vec<Column> = topic.fields.iter().map(|field| Column::new(topic, field)).collect();
    for (index, column) in columns.iter().enumerate() {
        let Some(value) = record.figure(index) else { continue };
        let is_sum = column.label.is_none()
            && columns.iter().any(|other| other.label.is_some() && other.name == column.name);
        if is_sum {
            continue;
        }
        let kind = if topic.fields[index].is_counter { Kind::Counter } else { Kind::Gauge };
        let family = out.family(column.name.clone(), column.help.clone(), kind);
        let value = value * column.factor;
        match column.label {
            Some(label) => out.sample(family, &[label], value),
            None => out.sample(family, &[], value),
        }
    }
}

/// How a column of the table is exposed.
#[derive(Debug, PartialEq)]
struct Column {
    name: String,
    help: String,
    label: Option<(&'static str, &'static str)>,
    /// From the table's unit to the base unit.
    factor: f64,
}

impl Column {
    fn new(topic: &Topic, field: &Field) -> Column {
        let (path, label) = match split_label(field.name) {
            Some((path, name, value)) => (path, Some((name, value))),
            None => (field.name, None),
        };
        let (factor, unit, spoken): (f64, &str, &[&str]) = match field.unit {
            Unit::Percent => (0.01, "ratio", &["rate"]),
            Unit::Bytes => (1.0, "bytes", &["bytes"]),
            Unit::BytesPerSecond => (1.0, "bytes_per_second", &["bytes", "per", "s"]),
            Unit::PerSecond => (1.0, "per_second", &["per", "s"]),
            Unit::PerMinute => (1.0 / 60.0, "per_second", &["per", "min"]),
            Unit::Seconds => (1.0, "seconds", &["s"]),
            Unit::Milliseconds => (0.001, "seconds", &["ms"]),
            Unit::Megahertz => (1e6, "hertz", &["mhz"]),
            Unit::Celsius => (1.0, "celsius", &["celsius"]),
            Unit::Count | Unit::Number | Unit::Nothing => (1.0, "", &[]),
        };
        let topic = if topic.name == "server" { "" } else { topic.name };
        let words = path.split(['.', '_']).filter(|word| !spoken.contains(word));
        let total = if field.is_counter { "total" } else { "" };
        let words = ["vitald", topic].into_iter().chain(words).chain([unit, total]);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let help = match label {
            Some((name, _)) => sentence(&format!("{} by {name}", path.replace(['.', '_'], " "))),
            None => sentence(field.help),
        };
        Column { name: words.join("_"), help, label, factor }
    }
}

/// A column's name without the parts that are a label, and the label: `connections.by_state.OPEN`
/// is `connections` with `state` of `OPEN`, and `connections.closed_by_reason.reset` is
/// `connections.closed` with `reason` of `reset`.
fn split_label(name: &'static str) -> Option<(&'static str, &'static str, &'static str)> {
    let (path, value) = name.rsplit_once('.')?;
    let (start, label) = path.rsplit_once("by_")?;
    let is_word = matches!(start.as_bytes().last(), Some(b'.' | b'_'));
    (is_word && !label.contains('.')).then(|| (&start[..start.len() - 1], label, value))
}

/// With a capital and a full stop, as node_exporter has them.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).chain(['.']).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::{check, text_of};
    use super::*;

    fn name(path: &str) -> (String, Option<(&'static str, &'static str)>, f64) {
        let (topic, field) = path.split_once('.').unwrap();
        let topic = &TOPICS[Topic::position(topic).unwrap()];
        let column = Column::new(topic, &topic.fields[topic.field(field).unwrap()]);
        (column.name, column.label, column.factor)
    }

    #[test]
    fn a_column_is_named_in_base_units() {
        for (path, expected, factor) in [
            ("server.messages.latency_ms.p99", "vitald_messages_latency_p99_seconds", 0.001),
            ("server.messages.bytes", "vitald_messages_bytes_total", 1.0),
            ("server.queues.bytes_max", "vitald_queues_max_bytes", 1.0),
            ("server.connections.error_rate", "vitald_connections_error_ratio", 0.01),
            ("server.connections.duration_s.mean", "vitald_connections_duration_mean_seconds", 1.0),
            ("server.loop.turns", "vitald_loop_turns_total", 1.0),
            ("server.loop.wakeups_per_s", "vitald_loop_wakeups_per_second", 1.0),
            ("cgroup.memory_limit", "vitald_cgroup_memory_limit_bytes", 1.0),
            ("cgroup.cpu_quota_cores", "vitald_cgroup_cpu_quota_cores", 1.0),
            ("cpu.frequency_mhz", "vitald_cpu_frequency_hertz", 1e6),
        ] {
            assert_eq!(name(path), (expected.to_owned(), None, factor), "{path}");
        }
        let (name, _, factor) = name("server.connections.disconnects_per_min");
        assert_eq!(
            (name.as_str(), factor * 60.0),
            ("vitald_connections_disconnects_per_second", 1.0)
        );
    }

    #[test]
    fn columns_that_a_state_or_a_reason_tells_apart_are_one_family() {
        let (family, label, _) = name("server.connections.by_state.CONNECTED");
        assert_eq!((family.as_str(), label), ("vitald_connections", Some(("state", "CONNECTED"))));
        let (family, label, _) = name("server.connections.closed_by_reason.reset");
        assert_eq!(family, "vitald_connections_closed_total");
        assert_eq!(label, Some(("reason", "reset")));
    }

    #[test]
    fn every_column_of_the_own_topics_is_valid_and_its_sums_are_left_out() {
        let server = Server {
            connections_closed: Some(5.0),
            connections_closed_by_reason_reset: Some(2.0),
            connections_closed_by_reason_silent: Some(3.0),
            connections_by_state_connected: Some(1.0),
            messages_latency_ms_p99: Some(12.5),
            ..Server::default()
        };
        let cgroup =
            Cgroup { memory_limit: Some(1048576.0), memory_usage: Some(25.0), ..Cgroup::default() };
        for format in [Format::Text, Format::OpenMetrics] {
            let text = text_of(format, |out| expose(&server, &cgroup, out));
            check(&text, format).unwrap();
            for line in [
                "vitald_connections_closed_total{reason=\"reset\"} 2\n",
                "vitald_connections_closed_total{reason=\"silent\"} 3\n",
                "vitald_connections{state=\"CONNECTED\"} 1\n",
                "vitald_messages_latency_p99_seconds 0.0125\n",
                "vitald_cgroup_memory_limit_bytes 1048576\n",
                "vitald_cgroup_memory_usage_ratio 0.25\n",
                " Connections closed by reason.\n",
            ] {
                assert!(text.contains(line), "{line} is not in {text}");
            }
            assert!(!text.contains("_total 5"), "{text}");
            assert!(!text.contains("opened"), "a figure that is unknown is left out: {text}");
        }
    }

    #[test]
    fn no_two_columns_of_the_own_topics_have_one_series() {
        let mut series = std::collections::BTreeSet::new();
        for topic in TOPICS.iter().filter(|topic| matches!(topic.name, "server" | "cgroup")) {
            for field in topic.fields {
                let column = Column::new(topic, field);
                assert!(series.insert((column.name, column.label)), "{}", field.name);
            }
        }
    }
}
