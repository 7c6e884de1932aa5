//! What windows of samples come to.

use super::super::snapshot::{Disk, Network, Temperature};
use super::*;

fn selection(paths: &[&str]) -> Selection {
    Selection::parse(paths.iter().copied()).unwrap()
}

fn snapshot(fill: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let mut snapshot = Snapshot::default();
    fill(&mut snapshot);
    snapshot
}

fn aggregate(paths: &[&str], samples: &[Snapshot]) -> Aggregate {
    let mut aggregate = Aggregate::new(&selection(paths));
    samples.iter().for_each(|sample| aggregate.add(sample));
    aggregate
}

fn json(aggregate: &Aggregate) -> String {
    serde_json::to_string(aggregate).unwrap()
}

fn disk(name: &str, utilisation: f64) -> Disk {
    Disk { name: name.into(), utilisation: Some(utilisation), ..Disk::default() }
}

/// The utilisation of those disks in a window of samples, and its extremes, by name.
fn disks(samples: &[&[(&str, f64)]]) -> String {
    let mut aggregate = Aggregate::new(&selection(&["disks"]));
    for rows in samples {
        let rows = rows.iter().map(|(name, utilisation)| disk(name, *utilisation));
        aggregate.add(&snapshot(|snapshot| snapshot.disks = rows.collect()));
    }
    let json = serde_json::to_value(&aggregate).unwrap();
    let column = |rows: &serde_json::Value| {
        let rows = rows.as_array().unwrap().iter();
        let texts = rows.map(|row| format!("{}={}", row["name"], row["utilisation"]));
        texts.collect::<Vec<_>>().join(" ").replace('"', "")
    };
    let [mean, min, max] =
        [&json["disks"], &json["min"]["disks"], &json["max"]["disks"]].map(column);
    format!("{mean} | {min} | {max}")
}

#[test]
fn means_stand_in_the_topics_and_the_extremes_beside_them() {
    let samples = [(10.0, 1.0), (20.0, 4.0), (60.0, 2.0)].map(|(usage, one)| {
        snapshot(|snapshot| {
            snapshot.memory.usage = Some(usage);
            snapshot.load.one = Some(one);
        })
    });
    assert_eq!(
        json(&aggregate(&["memory.usage", "load.one"], &samples)),
        "{\"load\":{\"one\":2.33},\"memory\":{\"usage\":30},\
         \"min\":{\"load\":{\"one\":1},\"memory\":{\"usage\":10}},\
         \"max\":{\"load\":{\"one\":4},\"memory\":{\"usage\":60}}}"
    );
}

#[test]
fn a_sample_in_which_a_figure_was_not_known_does_not_count() {
    let samples = [Some(1.0), None, Some(f64::NAN), Some(2.0)]
        .map(|one| snapshot(|snapshot| snapshot.load.one = one));
    assert_eq!(
        json(&aggregate(&["load.one", "load.five"], &samples)),
        "{\"load\":{\"one\":1.5,\"five\":null},\"min\":{\"load\":{\"one\":1,\"five\":null}},\
         \"max\":{\"load\":{\"one\":2,\"five\":null}}}"
    );
}

#[test]
fn of_what_only_rises_the_newest_value_takes_the_place_of_the_mean() {
    let samples = [Some(10.0), Some(40.0), None].map(|count| {
        snapshot(|snapshot| {
            snapshot.server.messages_sent = count;
            snapshot.server.connections_peak = count;
            snapshot.server.connections_active = count;
        })
    });
    let paths = ["server.messages.sent", "server.connections.peak", "server.connections.active"];
    let of = |active, peak, sent| {
        format!(
            "{{\"server\":{{\"connections\":{{\"active\":{active},\"peak\":{peak}}},\
             \"messages\":{{\"sent\":{sent}}}}}"
        )
    };
    let (mean, min, max) = (of(25, 40, 40), of(10, 10, 10), of(40, 40, 40));
    let expected = format!("{mean},\"min\":{min}}},\"max\":{max}}}}}");
    assert_eq!(json(&aggregate(&paths, &samples)), expected);
}

#[test]
fn texts_and_flags_are_the_newest_and_have_no_extremes() {
    let samples = [(true, "core"), (false, "package")].map(|(up, label)| {
        snapshot(|snapshot| {
            let (sensor, label) = ("cpu".into(), label.into());
            snapshot.temperatures = vec![Temperature { sensor, label, ..Default::default() }];
            let (name, up) = ("eth0".into(), Some(up));
            snapshot.networks = vec![Network { name, up, ..Default::default() }];
        })
    });
    assert_eq!(
        json(&aggregate(&["networks.eth0.up", "temperatures.cpu.label"], &samples)),
        "{\"networks\":[{\"name\":\"eth0\",\"up\":false}],\
         \"temperatures\":[{\"sensor\":\"cpu\",\"label\":\"package\"}],\
         \"min\":{\"networks\":[{\"name\":\"eth0\"}],\"temperatures\":[{\"sensor\":\"cpu\"}]},\
         \"max\":{\"networks\":[{\"name\":\"eth0\"}],\"temperatures\":[{\"sensor\":\"cpu\"}]}}"
    );
}

#[test]
fn rows_are_matched_by_key_and_stand_as_in_the_newest_sample() {
    let found = disks(&[&[("a", 1.0), ("b", 10.0)], &[("b", 20.0), ("a", 3.0)]]);
    assert_eq!(found, "b=15 a=2 | b=10 a=1 | b=20 a=3");
    let found = disks(&[&[("a", 1.0)], &[("c", 5.0), ("a", 3.0)]]);
    assert_eq!(found, "c=5 a=2 | c=5 a=1 | c=5 a=3");
}

#[test]
fn a_row_that_is_gone_is_left_out_and_has_all_its_samples_when_it_is_back() {
    let (with, without): (&[_], &[_]) =
        (&[("a", 1.0), ("b", 10.0), ("c", 7.0)], &[("a", 3.0), ("c", 7.0)]);
    assert_eq!(disks(&[with, without]), "a=2 c=7 | a=1 c=7 | a=3 c=7");
    let back: &[_] = &[("b", 40.0), ("c", 7.0)];
    assert_eq!(disks(&[with, without, back]), "b=25 c=7 | b=10 c=7 | b=40 c=7");
    assert_eq!(disks(&[with, &[]]), " |  | ");
}

#[test]
fn of_rows_under_ever_new_names_only_the_latest_are_remembered() {
    let mut aggregate = aggregate(&["disks"], &[]);
    let mut add = |numbers: std::ops::Range<usize>| {
        let rows = numbers.map(|number| disk(&number.to_string(), number as f64)).collect();
        aggregate.add(&snapshot(|snapshot| snapshot.disks = rows));
        let Table::Many(table) = &aggregate.tables[0] else { panic!("disks are rows") };
        table.rows.iter().map(|row| row.key().to_owned()).collect::<Vec<_>>()
    };
    (0..100).for_each(|number| assert!(add(number..number + 2).len() <= 2 + GONE_ROWS_MAX));
    let rows = add(100..101);
    assert_eq!(rows.len(), 1 + GONE_ROWS_MAX);
    assert_eq!(rows[..3], ["100", "99", "98"]);
    aggregate.clear();
    let Table::Many(table) = &aggregate.tables[0] else { panic!("disks are rows") };
    assert_eq!(table.rows.len(), 1, "what is gone goes with its window");
}

#[test]
fn each_core_has_its_own_mean() {
    let sample = |cores: &[Figure]| snapshot(|snapshot| snapshot.cpu.cores = cores.to_vec());
    let two = [sample(&[Some(0.0), None]), sample(&[Some(50.0), Some(8.0)])];
    assert_eq!(
        json(&aggregate(&["cpu.cores"], &two)),
        "{\"cpu\":{\"cores\":[25,8]},\"min\":{\"cpu\":{\"cores\":[0,8]}},\
         \"max\":{\"cpu\":{\"cores\":[50,8]}}}"
    );
    // One is switched off and on again.
    let off = [sample(&[Some(0.0), Some(8.0)]), sample(&[Some(2.0)])];
    assert!(json(&aggregate(&["cpu.cores"], &off)).starts_with("{\"cpu\":{\"cores\":[1]}"));
    let [first, second] = off;
    let on = [first, second, sample(&[Some(4.0), Some(4.0)])];
    assert!(json(&aggregate(&["cpu.cores"], &on)).starts_with("{\"cpu\":{\"cores\":[2,6]}"));
}

#[test]
fn a_window_knows_nothing_of_the_one_before() {
    let samples = [90.0, 2.0, 4.0].map(|figure| {
        snapshot(|snapshot| {
            snapshot.cpu.cores = vec![Some(figure)];
            snapshot.load.one = Some(figure);
            snapshot.server.messages_sent = Some(figure);
            snapshot.disks = vec![disk("a", figure)];
        })
    });
    let paths = ["cpu.cores", "load", "server.messages.sent", "disks"];
    let mut found = aggregate(&paths, &samples[..1]);
    found.clear();
    assert_eq!(found.samples(), 0);
    assert!(!json(&found).contains("90"), "{}", json(&found));
    samples[1..].iter().for_each(|sample| found.add(sample));
    assert_eq!(found.samples(), 2);
    assert_eq!(json(&found), json(&aggregate(&paths, &samples[1..])));
}

#[test]
fn time_and_sequence_are_those_of_the_newest_sample() {
    let samples = [(7, 7000), (9, 9000)].map(|(sequence, time_ms)| Snapshot {
        sequence,
        time_ms,
        ..Snapshot::default()
    });
    let found = aggregate(&["load"], &samples);
    assert_eq!((found.sequence(), found.time_ms(), found.samples()), (9, 9000, 2));
}
