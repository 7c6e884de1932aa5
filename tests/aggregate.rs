//! Means over a window against a model that keeps every sample, over random samples: figures that
//! come and go, rows that do, and a selection of any kind.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value as Json};
use vitald::metrics::aggregate::Aggregate;
use vitald::metrics::definition::{Field, TOPICS, Topic};
use vitald::metrics::selected::Rounded;
use vitald::metrics::selection::Selection;
use vitald::metrics::snapshot::{
    Content, Disk, Figure, Filesystem, Network, Record, Snapshot, Temperature, Value,
};

/// What a mean, a least and a most are of, by path: every sample in which the figure was known.
type Known = BTreeMap<String, Vec<f64>>;

/// Selections of every kind: whole topics, fields, groups, rows, fields of rows.
const SELECTIONS: [&[&str]; 7] = [
    &["cpu", "memory", "disks", "filesystems", "networks", "temperatures", "system"],
    &["server", "pressure"],
    &["cpu.cores", "cpu.usage", "server.messages", "server.loop.turns"],
    &["disks.a", "disks.c.await_ms", "networks.b.up", "networks.d.rx_bytes_per_s"],
    &["filesystems.a.kind", "temperatures.e"],
    &["networks", "load.one"],
    &[],
];

/// One sample, drawn: which rows there are, in their order, and what the figures come from.
#[derive(Clone, Debug)]
struct Draw {
    seed: u64,
    rows: [Vec<char>; 4],
    cores: usize,
}

fn draw() -> impl Strategy<Value = Draw> {
    let rows = || prop::sample::subsequence(vec!['a', 'b', 'c', 'd', 'e'], 0..=5).prop_shuffle();
    (any::<u64>(), [rows(), rows(), rows(), rows()], 0usize..5)
        .prop_map(|(seed, rows, cores)| Draw { seed, rows, cores })
}

impl Draw {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ self.seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn figure(&mut self) -> Figure {
        let fraction = self.next() as f64 / u64::MAX as f64;
        match self.next() % 8 {
            0 | 1 => None,
            2 => Some(f64::NAN),
            3 => Some(0.0),
            4 => Some((fraction * 1000.0).round()),
            5 => Some(fraction * 1e12),
            6 => Some(fraction * 2.0 - 1.0),
            _ => Some(fraction * 100.0),
        }
    }

    fn flag(&mut self) -> Option<bool> {
        [None, Some(false), Some(true)][(self.next() % 3) as usize]
    }

    /// The sample.
    fn sample(mut self, sequence: u64) -> Snapshot {
        let mut snapshot = Snapshot { sequence, time_ms: 1000 * sequence, ..Snapshot::default() };
        macro_rules! fill {
            ($($record:expr),*) => { $(
                for index in 0..128 {
                    if let Some(figure) = $record.figure_mut(index) {
                        *figure = self.figure();
                    }
                }
            )* };
        }
        fill!(snapshot.cpu, snapshot.load, snapshot.memory, snapshot.pressure);
        fill!(snapshot.sockets, snapshot.system, snapshot.cgroup, snapshot.server);
        snapshot.cpu.cores = (0..self.cores).map(|_| self.figure()).collect();
        let [disks, filesystems, networks, temperatures] = self.rows.clone();
        for key in disks {
            let mut row = Disk { name: key.into(), ..Disk::default() };
            fill!(row);
            snapshot.disks.push(row);
        }
        for key in filesystems {
            let kind = ["ext4", "btrfs"][(self.next() % 2) as usize].to_owned();
            let mut row = Filesystem { mount: key.into(), kind, ..Filesystem::default() };
            fill!(row);
            snapshot.filesystems.push(row);
        }
        for key in networks {
            let up = self.flag();
            let mut row = Network { name: key.into(), up, ..Network::default() };
            fill!(row);
            snapshot.networks.push(row);
        }
        for key in temperatures {
            let mut row = Temperature { sensor: key.into(), ..Temperature::default() };
            fill!(row);
            snapshot.temperatures.push(row);
        }
        snapshot
    }
}

/// Takes note of every figure of `snapshot`.
fn note(known: &mut Known, snapshot: &Snapshot) {
    let mut note = |path: String, figure: Figure| {
        known.entry(path).or_default().extend(figure.filter(|figure| figure.is_finite()));
    };
    for_each_record(snapshot, |topic, record| {
        for (index, field) in topic.fields.iter().enumerate() {
            let path = path(topic, record, field);
            match record.value(index) {
                Value::Figure(figure) => note(path, figure),
                Value::List(figures) => {
                    for (element, figure) in figures.iter().enumerate() {
                        note(format!("{path}[{element}]"), *figure);
                    }
                }
                Value::Text(_) | Value::Flag(_) => {}
            }
        }
    });
}

fn for_each_record(snapshot: &Snapshot, mut visit: impl FnMut(&Topic, &dyn Record)) {
    for (position, topic) in TOPICS.iter().enumerate() {
        match snapshot.content(position) {
            Content::One(record) => visit(topic, record),
            Content::Many(rows) => rows.iter().for_each(|record| visit(topic, record)),
        }
    }
}

fn path(topic: &Topic, record: &dyn Record, field: &Field) -> String {
    format!("{}.{}.{}", topic.name, record.key(), field.name)
}

/// The figure that `what` makes of the samples of each path, in place of every figure of `newest`.
fn replace(
    newest: &Snapshot,
    known: &Known,
    what: impl Fn(&Field, &[f64]) -> f64,
) -> BTreeMap<String, Json> {
    let mut found = BTreeMap::new();
    let value = |field: &Field, path: &str| {
        let samples = known.get(path).filter(|samples| !samples.is_empty());
        let figure = samples.map(|samples| what(field, samples));
        serde_json::to_value(Rounded(figure, field.unit)).unwrap()
    };
    for_each_record(newest, |topic, record| {
        for (index, field) in topic.fields.iter().enumerate() {
            let path = path(topic, record, field);
            let json = match record.value(index) {
                Value::Figure(_) => value(field, &path),
                Value::List(figures) => {
                    let elements = 0..figures.len();
                    elements.map(|element| value(field, &format!("{path}[{element}]"))).collect()
                }
                Value::Text(_) | Value::Flag(_) => continue,
            };
            found.insert(path, json);
        }
    });
    found
}

/// `message`, a `Selected` one, with the figures replaced; texts and flags only if `with_others`.
fn expected(message: &Json, figures: &BTreeMap<String, Json>, with_others: bool) -> Json {
    let topics = message.as_object().unwrap().iter().map(|(name, content)| {
        let topic = TOPICS.iter().find(|topic| topic.name == name).unwrap();
        let row = |row: &Json| {
            let key = topic.key.map_or("", |key| row[key].as_str().unwrap());
            rewrite(row, &format!("{name}.{key}"), "", figures, with_others, topic.key)
        };
        let content = match content {
            Json::Array(rows) => rows.iter().map(row).collect(),
            record => row(record),
        };
        (name.clone(), content)
    });
    Json::Object(topics.collect())
}

fn rewrite(
    group: &Json,
    row: &str,
    start: &str,
    figures: &BTreeMap<String, Json>,
    with_others: bool,
    key: Option<&str>,
) -> Json {
    let mut written = Map::new();
    for (name, value) in group.as_object().unwrap() {
        let field = format!("{start}{name}");
        let value = match figures.get(&format!("{row}.{field}")) {
            Some(figure) => figure.clone(),
            None if value.is_object() => {
                rewrite(value, row, &format!("{field}."), figures, with_others, None)
            }
            None if with_others || key == Some(name) => value.clone(),
            None => continue,
        };
        written.insert(name.clone(), value);
    }
    Json::Object(written)
}

/// The text without its figures, so that only names, their order and their nesting are left.
fn shape(json: &str) -> String {
    let mut is_text = false;
    let kept = json.chars().filter(|character| {
        is_text ^= *character == '"';
        is_text || "{}[]:,\"".contains(*character)
    });
    kept.collect()
}

fn mean(field: &Field, samples: &[f64]) -> f64 {
    if field.only_rises {
        return samples[samples.len() - 1];
    }
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    mean.clamp(least(field, samples), most(field, samples))
}

fn least(_field: &Field, samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(_field: &Field, samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Asserts that each mean lies between the extremes at its place.
fn assert_between(min: &Json, mean: &Json, max: &Json) {
    match (min, mean, max) {
        (Json::Object(fields), ..) => {
            fields.keys().for_each(|name| assert_between(&min[name], &mean[name], &max[name]))
        }
        (Json::Array(elements), ..) => (0..elements.len())
            .for_each(|index| assert_between(&min[index], &mean[index], &max[index])),
        (Json::Number(_), ..) => {
            let [least, middle, most] = [min, mean, max].map(Json::as_f64);
            assert!(least <= middle && middle <= most, "{mean} is not in {min} to {max}");
        }
        _ => assert!(min == mean && mean == max, "{min}, {mean} and {max}"),
    }
}

/// Cuts a window's JSON into the topics, the least and the most.
fn parts(text: &str) -> [Json; 3] {
    let Json::Object(mut topics) = serde_json::from_str(text).unwrap() else { panic!("{text}") };
    let [min, max] = ["min", "max"].map(|name| topics.remove(name).expect("it has extremes"));
    [Json::Object(topics), min, max]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn windows_are_what_a_model_that_keeps_every_sample_says(
        paths in prop::sample::select(&SELECTIONS[..]),
        windows in prop::collection::vec(prop::collection::vec(draw(), 1..7), 1..4),
    ) {
        let selection = Selection::parse(paths.iter().copied()).unwrap();
        let mut aggregate = Aggregate::new(&selection);
        let mut sequence = 0;
        for window in windows {
            let (mut known, mut newest) = (Known::new(), Snapshot::default());
            let count = window.len();
            aggregate.clear();
            for draw in window {
                sequence += 1;
                newest = draw.sample(sequence);
                note(&mut known, &newest);
                aggregate.add(&newest);
            }
            prop_assert_eq!(aggregate.samples() as usize, count);
            prop_assert_eq!(aggregate.sequence(), sequence);
            let message = serde_json::to_value(newest.select(&selection)).unwrap();
            let found = parts(&serde_json::to_string(&aggregate).unwrap());
            let means = replace(&newest, &known, mean);
            prop_assert_eq!(&found[0], &expected(&message, &means, true));
            let min = replace(&newest, &known, least);
            prop_assert_eq!(&found[1], &expected(&message, &min, false));
            let max = replace(&newest, &known, most);
            prop_assert_eq!(&found[2], &expected(&message, &max, false));
            assert_between(&found[1], &found[0], &found[2]);
        }
    }

    #[test]
    fn names_stand_in_the_order_of_a_single_sample(
        paths in prop::sample::select(&SELECTIONS[..]),
        window in prop::collection::vec(draw(), 1..7),
    ) {
        let selection = Selection::parse(paths.iter().copied()).unwrap();
        let mut aggregate = Aggregate::new(&selection);
        let mut newest = Snapshot::default();
        for draw in window {
            newest = draw.sample(1);
            aggregate.add(&newest);
        }
        let single = shape(&serde_json::to_string(&newest.select(&selection)).unwrap());
        let found = shape(&serde_json::to_string(&aggregate).unwrap());
        let found = found.split_once("\"min\":").expect("the extremes come last").0;
        prop_assert_eq!(found.strip_suffix(',').unwrap_or(found), &single[..single.len() - 1]);
    }

    #[test]
    fn a_window_of_one_sample_is_that_sample_three_times(draw in draw()) {
        let sample = draw.sample(1);
        // Without texts and flags the three are alike.
        let figures = ["cpu", "load", "memory", "pressure", "disks", "system", "server"];
        for paths in [&figures[..], SELECTIONS[0]] {
            let selection = Selection::parse(paths.iter().copied()).unwrap();
            let mut aggregate = Aggregate::new(&selection);
            aggregate.add(&sample);
            let single = serde_json::to_string(&sample.select(&selection)).unwrap();
            let topics = &single[..single.len() - 1];
            let found = serde_json::to_string(&aggregate).unwrap();
            prop_assert!(found.starts_with(&format!("{topics},\"min\":")), "{}", found);
            if paths == figures {
                let expected = format!("{topics},\"min\":{single},\"max\":{single}}}");
                prop_assert_eq!(found, expected);
            }
        }
    }
}
