//! Which figure goes into which series.
//!
//! Owns the names, and for each record of a snapshot where its figures go. Promises: at most
//! `series_max` series; no allocation while the set of rows in the snapshot stays the same; a
//! series keeps its number for as long as it has its name. May import: `definition`, `snapshot`.

use crate::metrics::definition::{Field, Kind, TOPICS, Topic, Unit};
use crate::metrics::snapshot::{Content, Record, Snapshot};

/// When topics get their series: lower comes first, so that a host with many interfaces keeps its
/// memory series. What vitald measures of itself comes last: the host is what it is there for.
fn rank(topic: &Topic) -> u8 {
    match (topic.name, topic.key) {
        ("server", _) => 2,
        (_, None) => 0,
        (_, Some(_)) => 1,
    }
}

/// Whether history keeps a figure.
fn is_kept(field: &Field) -> bool {
    field.kind == Kind::Figure && !field.only_rises
}

/// The series, and where the figures of the latest snapshot go.
#[derive(Debug)]
pub(super) struct Directory {
    series_max: usize,
    /// Topics by position in the table, in the order in which they get series.
    order: Vec<usize>,
    series: Vec<Series>,
    /// One a record, in walking order.
    bindings: Vec<Binding>,
    /// When a series that is gone can make room for a figure that has none.
    room_at: Option<u64>,
    /// The log says that there are more figures than series.
    is_shortage_told: bool,
}

/// One series.
#[derive(Debug)]
pub(super) struct Series {
    /// Empty if the number is free.
    pub(super) metric: String,
    pub(super) unit: Unit,
    /// Whether the latest snapshot has it.
    is_bound: bool,
    /// The last tick known to have had it.
    bound_at: u64,
}

/// Where the figures of one record go.
#[derive(Debug)]
struct Binding {
    topic: usize,
    /// Empty for a topic that is a single record.
    key: String,
    /// (column, series), for the columns that have one.
    columns: Vec<(usize, usize)>,
}

impl Directory {
    pub(super) fn new(series_max: usize) -> Directory {
        let mut order: Vec<usize> = (0..TOPICS.len()).collect();
        order.sort_by_key(|topic| rank(&TOPICS[*topic]));
        Directory {
            series_max,
            order,
            series: Vec::new(),
            bindings: Vec::new(),
            room_at: None,
            is_shortage_told: false,
        }
    }

    pub(super) const fn bytes(series_max: usize) -> usize {
        // A list that grows by doubling.
        2 * series_max * size_of::<Series>()
    }

    /// Makes the series at `number` the one called `metric`, if there is such a metric: for names
    /// that a file has kept. Numbers come in rising order.
    pub(super) fn restore(&mut self, number: usize, metric: &str) -> bool {
        let Some(unit) = unit(metric).filter(|_| number < self.series_max) else { return false };
        if self.find(metric).is_some() {
            return false;
        }
        self.series.resize_with(number, Series::vacant);
        let metric = metric.to_owned();
        self.series.push(Series { metric, unit, is_bound: false, bound_at: 0 });
        true
    }

    /// True if each record of `snapshot` still has the binding it had in the last one, and there is
    /// no more room than then.
    pub(super) fn is_bound(&self, snapshot: &Snapshot, tick: u64) -> bool {
        let mut bindings = self.bindings.iter();
        let mut same = self.room_at.is_none_or(|room_at| tick < room_at);
        for_each_record(&self.order, snapshot, |topic, record| {
            same &= bindings
                .next()
                .is_some_and(|binding| binding.topic == topic && binding.key == key(topic, record));
        });
        same && bindings.next().is_none()
    }

    /// Finds or makes the series of each figure, at `tick`, and gives the numbers that now mean
    /// something else than before. Runs when disks, mounts or interfaces come or go. A series that
    /// is gone keeps its number until there is none left for a new one; then the one longest gone
    /// makes room, if that is at least `patience` ticks.
    pub(super) fn bind(&mut self, snapshot: &Snapshot, tick: u64, patience: u64) -> Vec<usize> {
        for series in self.series.iter_mut().filter(|series| series.is_bound) {
            // It was there until the tick before; the time until reuse starts there.
            series.bound_at = tick;
            series.is_bound = false;
        }
        let mut taken = Vec::new();
        let mut without = 0;
        let mut bindings = Vec::with_capacity(self.bindings.len());
        let order = std::mem::take(&mut self.order);
        // Those that have a number keep it, whoever comes before them.
        for_each_metric(&order, snapshot, |metric, _| {
            if let Some(number) = self.find(metric) {
                self.series[number].is_bound = true;
            }
        });
        for_each_record(&order, snapshot, |topic, record| {
            let key = key(topic, record);
            let mut columns = Vec::new();
            for_each_field(topic, key, |column, metric, unit| {
                let expired = tick.checked_sub(patience);
                let found = self.find(metric).or_else(|| {
                    let number = self.room(expired)?;
                    let metric = metric.to_owned();
                    self.series[number] = Series { metric, unit, is_bound: true, bound_at: tick };
                    taken.push(number);
                    Some(number)
                });
                without += u32::from(found.is_none());
                columns.extend(found.map(|number| (column, number)));
            });
            bindings.push(Binding { topic, key: key.to_owned(), columns });
        });
        self.order = order;
        self.bindings = bindings;
        let gone = self.series.iter().filter(|series| !series.is_bound);
        let room_at = gone.map(|series| series.bound_at + patience).min();
        self.room_at = room_at.filter(|_| without > 0);
        self.tell_shortage(without);
        taken
    }

    /// Says, once, that so many figures have no series.
    fn tell_shortage(&mut self, without: u32) {
        if without == 0 || self.is_shortage_told {
            return;
        }
        self.is_shortage_told = true;
        // No more than info: what is left out first is vitald's own, on many a host with several
        // disks and interfaces.
        log::info!(
            "history series={} are all taken, figures_not_kept={without}: raise [history] series",
            self.series_max
        );
    }

    #[cfg(test)]
    pub(super) fn is_shortage_told(&self) -> bool {
        self.is_shortage_told
    }

    /// Visits each figure that there is and that has a series.
    pub(super) fn for_each_figure(&self, snapshot: &Snapshot, mut visit: impl FnMut(usize, f64)) {
        let mut bindings = self.bindings.iter();
        for_each_record(&self.order, snapshot, |_topic, record| {
            let Some(binding) = bindings.next() else { return };
            for &(column, number) in &binding.columns {
                if let Some(figure) = record.figure(column).filter(|figure| figure.is_finite()) {
                    visit(number, figure);
                }
            }
        });
    }

    /// The series by number, free numbers included.
    pub(super) fn series(&self) -> &[Series] {
        &self.series
    }

    /// The metrics that had a figure at `tick` or later.
    pub(super) fn names_since(&self, tick: u64) -> impl Iterator<Item = &str> {
        let known = self.series.iter().filter(|series| !series.metric.is_empty());
        let recent = known.filter(move |series| series.is_bound || series.bound_at > tick);
        recent.map(|series| series.metric.as_str())
    }

    /// The number of the series called `metric`.
    pub(super) fn find(&self, metric: &str) -> Option<usize> {
        let is_it = |series: &Series| !metric.is_empty() && series.metric == metric;
        self.series.iter().position(is_it)
    }

    /// A number for a new series.
    fn room(&mut self, expired: Option<u64>) -> Option<usize> {
        if let Some(free) = self.series.iter().position(|series| series.metric.is_empty()) {
            return Some(free);
        }
        if self.series.len() < self.series_max {
            self.series.push(Series::vacant());
            return Some(self.series.len() - 1);
        }
        let gone = self.series.iter().enumerate().filter(|(_, series)| !series.is_bound);
        let (number, series) = gone.min_by_key(|(_, series)| series.bound_at)?;
        (series.bound_at <= expired?).then_some(number)
    }
}

impl Series {
    fn vacant() -> Series {
        Series { metric: String::new(), unit: Unit::Nothing, is_bound: false, bound_at: 0 }
    }
}

/// The unit of the metric called `metric`; `None` if no figure that is kept can have that name.
fn unit(metric: &str) -> Option<Unit> {
    let (name, rest) = metric.split_once('.')?;
    let topic = &TOPICS[Topic::position(name)?];
    let field = match topic.key {
        None => rest,
        Some(_) => rest.rsplit_once('.').filter(|(key, _)| !key.is_empty())?.1,
    };
    let field = &topic.fields[topic.field(field)?];
    is_kept(field).then_some(field.unit)
}

fn for_each_record(
    order: &[usize],
    snapshot: &Snapshot,
    mut visit: impl FnMut(usize, &dyn Record),
) {
    for &topic in order {
        match snapshot.content(topic) {
            Content::One(record) => visit(topic, record),
            Content::Many(rows) => rows.iter().for_each(|record| visit(topic, record)),
        }
    }
}

fn for_each_metric(order: &[usize], snapshot: &Snapshot, mut visit: impl FnMut(&str, Unit)) {
    for_each_record(order, snapshot, |topic, record| {
        for_each_field(topic, key(topic, record), |_column, metric, unit| visit(metric, unit));
    });
}

/// Visits the figures that are kept of a record: column, metric and unit.
fn for_each_field(topic: usize, key: &str, mut visit: impl FnMut(usize, &str, Unit)) {
    let topic = &TOPICS[topic];
    for (column, field) in topic.fields.iter().enumerate().filter(|(_, field)| is_kept(field)) {
        let metric = match key {
            "" => format!("{}.{}", topic.name, field.name),
            key => format!("{}.{key}.{}", topic.name, field.name),
        };
        visit(column, &metric, field.unit);
    }
}

fn key(topic: usize, record: &dyn Record) -> &str {
    if TOPICS[topic].key.is_some() { record.key() } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_comes_before_its_parts_and_vitald_itself_last() {
        let topic = |name, key| Topic { name, help: "", fields: &[], key };
        assert!(rank(&topic("memory", None)) < rank(&topic("disks", Some("name"))));
        assert!(rank(&topic("disks", Some("name"))) < rank(&topic("server", None)));
    }

    #[test]
    fn a_kept_name_has_the_unit_of_its_metric_and_what_is_no_metric_none() {
        assert_eq!(unit("memory.usage"), Some(Unit::Percent));
        assert_eq!(unit("filesystems./srv/a.b.used"), Some(Unit::Bytes));
        for name in ["", "memory", "memory.colour", "disks.usage", "disks..await_ms", "cpu.cores"] {
            assert_eq!(unit(name), None, "{name}");
        }
    }
}
