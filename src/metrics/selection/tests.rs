//! What paths are taken for, and that what asks for the same is the same.

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
    assert_eq!(one.names(), ["cpu", "memory.usage", "disks.vda.utilisation", "disks.vda.await_ms"]);
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
