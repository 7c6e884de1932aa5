//! The rules on a clock and figures of the test's own.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::metrics::snapshot::Filesystem;

/// A rule on `load.one`, which has no range, unless the setting says otherwise.
fn setting(name: &str) -> Setting {
    Setting { name: name.to_owned(), metric: Some("load.one".to_owned()), ..Setting::default() }
}

fn above(threshold: f64, hold_s: u64) -> Setting {
    let hold = Some(Duration::from_secs(hold_s));
    Setting { above: Some(threshold), hold, ..setting("test") }
}

/// Rules at work, one sample a second.
struct Desk {
    alerts: Alerts,
    seconds: u64,
    snapshot: Snapshot,
}

impl Desk {
    fn new(settings: &[Setting]) -> Desk {
        let mut rules = Rules::none();
        for setting in settings {
            rules.set(setting).expect("the setting is right");
        }
        Desk { alerts: Alerts::new(rules), seconds: 0, snapshot: Snapshot::default() }
    }

    /// Takes the next sample; what is told of it, with the path, the state and the second.
    fn tick(&mut self) -> Vec<(String, &'static str, u64)> {
        self.seconds += 1;
        self.snapshot.time_ms = 1_000_000 + self.seconds * 1000;
        let mut told = Vec::new();
        let now = Duration::from_secs(self.seconds);
        self.alerts.evaluate(now, &self.snapshot, |transition| {
            let second = (transition.since_ms - 1_000_000) / 1000;
            told.push((transition.metric.to_string(), transition.state(), second));
        });
        told
    }

    /// Takes these values of `load.one`, one a second; the states told, with their seconds.
    fn take(&mut self, values: impl IntoIterator<Item = Option<f64>>) -> Vec<(&'static str, u64)> {
        let mut told = Vec::new();
        for value in values {
            self.snapshot.load.one = value;
            told.extend(self.tick().into_iter().map(|(_, state, second)| (state, second)));
        }
        told
    }

    fn fill(&mut self, filesystems: &[(&str, f64)]) -> Vec<(String, &'static str, u64)> {
        let row = |&(mount, usage): &(&str, f64)| Filesystem {
            mount: mount.to_owned(),
            usage: Some(usage),
            ..Filesystem::default()
        };
        self.snapshot.filesystems = filesystems.iter().map(row).collect();
        self.tick()
    }

    fn row(&self) -> Row<'_> {
        self.alerts.rows().next().expect("there is a rule")
    }
}

fn filesystems() -> Setting {
    let metric = Some("filesystems.*.usage".to_owned());
    Setting { metric, ..above(90.0, 0) }
}

#[test]
fn a_rule_fires_when_its_hold_is_over_and_resolves_at_clear() {
    let mut desk = Desk::new(&[above(50.0, 3)]);
    assert_eq!(desk.take([Some(50.0), Some(50.1), Some(90.0), Some(51.0)]), []);
    assert_eq!((desk.row().state, desk.row().since_ms), (State::Pending, 1_002_000));
    assert_eq!(desk.take([Some(51.0)]), [("firing", 5)]);
    // Within the bound, but not yet at 45.
    assert_eq!(desk.take([Some(49.0), Some(45.1), Some(60.0), Some(46.0)]), []);
    assert_eq!(desk.row().state, State::Firing);
    assert_eq!(desk.take([Some(45.0)]), [("resolved", 10)]);
    assert_eq!((desk.row().state, desk.row().value), (State::Ok, Some(45.0)));
}

#[test]
fn a_value_within_the_bound_ends_the_hold() {
    let mut desk = Desk::new(&[above(50.0, 3)]);
    assert_eq!(desk.take([60.0, 60.0, 60.0, 50.0, 60.0, 60.0, 60.0].map(Some)), []);
    assert_eq!(desk.take([Some(60.0)]), [("firing", 8)]);
}

#[test]
fn a_rule_without_a_hold_fires_at_the_first_bad_value() {
    let mut desk = Desk::new(&[above(0.0, 0)]);
    assert_eq!(desk.take([Some(0.0), Some(0.1)]), [("firing", 2)]);
    assert_eq!(desk.take([Some(0.05), Some(0.0)]), [("resolved", 4)]);
}

#[test]
fn a_lower_bound_is_the_mirror_image() {
    let below = Setting { below: Some(-10.0), hold: Some(Duration::ZERO), ..setting("test") };
    let mut desk = Desk::new(&[below]);
    assert_eq!(desk.take([Some(-10.0), Some(-10.1)]), [("firing", 2)]);
    assert_eq!(desk.take([Some(-9.1), Some(-9.0)]), [("resolved", 4)]);
}

#[test]
fn a_figure_that_is_not_known_changes_no_state_and_the_hold_begins_anew() {
    let mut desk = Desk::new(&[above(50.0, 2)]);
    assert_eq!(desk.take([None, Some(60.0), Some(60.0), None, Some(60.0), Some(60.0)]), []);
    assert_eq!(desk.row().state, State::Pending);
    assert_eq!(desk.take([Some(60.0), None, None, Some(f64::NAN)]), [("firing", 7)]);
    assert_eq!((desk.row().state, desk.row().value), (State::Firing, None));
    assert_eq!(desk.take([Some(1.0)]), [("resolved", 11)]);
}

#[test]
fn a_host_that_slept_through_the_hold_fires_at_once() {
    let mut desk = Desk::new(&[above(50.0, 10)]);
    assert_eq!(desk.take([Some(60.0)]), []);
    desk.seconds += 60;
    assert_eq!(desk.take([Some(60.0)]), [("firing", 62)]);
}

/// Fires and resolves in turn, a second each.
fn to_and_fro(changes: usize) -> impl Iterator<Item = Option<f64>> {
    (0..changes).map(|index| Some(if index % 2 == 0 { 60.0 } else { 0.0 }))
}

#[test]
fn the_seventh_change_in_five_minutes_is_held_back_until_it_is_calm() {
    let mut desk = Desk::new(&[above(50.0, 0)]);
    assert_eq!(desk.take(to_and_fro(6)).len(), 6);
    assert!(!desk.row().is_flapping);
    assert_eq!(desk.take(to_and_fro(9)), []);
    let row = desk.row();
    assert!(row.is_flapping && row.state == State::Firing);
    assert_eq!(desk.alerts.firing().count(), 0, "nobody has been told");
    // The last change was in the 15th second.
    assert_eq!(desk.take((16..75).map(|_| Some(60.0))), []);
    assert_eq!(desk.take([Some(60.0)]), [("firing", 15)]);
    assert!(!desk.row().is_flapping);
    assert_eq!(desk.alerts.firing().count(), 1);
}

#[test]
fn a_figure_that_ends_up_where_it_was_told_to_be_is_not_told_again() {
    let mut desk = Desk::new(&[above(50.0, 0)]);
    assert_eq!(desk.take(to_and_fro(8)).len(), 6);
    assert_eq!(desk.take((0..200).map(|_| Some(0.0))), []);
    assert!(!desk.row().is_flapping && desk.row().state == State::Ok);
}

#[test]
fn a_flapping_figure_that_is_not_known_is_not_calm_and_nobody_is_told() {
    let mut desk = Desk::new(&[above(50.0, 0)]);
    assert_eq!(desk.take(to_and_fro(9)).len(), 6);
    assert_eq!(desk.take((0..400).map(|_| None)), []);
    assert!(desk.row().is_flapping);
    assert_eq!(desk.take((0..30).map(|_| Some(60.0))), []);
    assert_eq!(desk.take([None]), []);
    assert_eq!(desk.take((0..60).map(|_| Some(60.0))), [], "the calm has begun anew");
    assert_eq!(desk.take([Some(60.0)]), [("firing", 9)]);
}

#[test]
fn changes_that_are_spread_out_are_all_told() {
    let mut desk = Desk::new(&[above(50.0, 0)]);
    for change in 0..20 {
        let value = Some(if change % 2 == 0 { 60.0 } else { 0.0 });
        assert_eq!(desk.take((0..50).map(|_| value)).len(), 1, "{change}");
    }
}

#[test]
fn each_row_has_a_state_of_its_own() {
    let mut desk = Desk::new(&[filesystems()]);
    assert_eq!(desk.tick(), []);
    assert_eq!(desk.row().metric, "filesystems.*.usage");
    assert_eq!(
        desk.fill(&[("/", 50.0), ("/srv/a.b", 91.0)]),
        [("filesystems./srv/a.b.usage".to_owned(), "firing", 2)]
    );
    // The order of rows does not matter, and of two with one key the first counts.
    assert_eq!(
        desk.fill(&[("/srv/a.b", 92.0), ("/", 95.0), ("/", 5.0)]),
        [("filesystems./.usage".to_owned(), "firing", 3)]
    );
    assert_eq!(
        desk.fill(&[("/", 10.0), ("/srv/a.b", 92.0)]),
        [("filesystems./.usage".to_owned(), "resolved", 4)]
    );
    let rows: Vec<_> = desk.alerts.rows().map(|row| (row.metric, row.state)).collect();
    let expected =
        [("filesystems./.usage", State::Ok), ("filesystems./srv/a.b.usage", State::Firing)];
    assert_eq!(rows, expected);
}

#[test]
fn a_row_that_is_gone_keeps_its_state_for_five_minutes_and_has_then_resolved() {
    let mut desk = Desk::new(&[filesystems()]);
    assert_eq!(desk.fill(&[("/", 10.0), ("/mnt", 95.0)]).len(), 1);
    for _ in 0..299 {
        assert_eq!(desk.fill(&[("/", 10.0)]), []);
    }
    assert_eq!(desk.alerts.rows().count(), 2);
    let told = desk.fill(&[("/", 10.0)]);
    assert_eq!(told, [("filesystems./mnt.usage".to_owned(), "resolved", 301)]);
    assert_eq!(desk.alerts.transitions().next().map(|newest| newest.value), Some(None));
    assert_eq!(desk.alerts.rows().count(), 1);
}

#[test]
fn rows_beyond_the_limit_are_not_watched_until_others_are_gone() {
    let single = Setting { name: "single".to_owned(), ..above(1.0, 0) };
    let mut desk = Desk::new(&[filesystems(), single]);
    let names: Vec<String> = (0..WATCHES_MAX).map(|index| format!("/{index}")).collect();
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), 10.0)).collect();
    desk.fill(&rows);
    assert_eq!(desk.alerts.rows().count(), WATCHES_MAX);
    let last = names.last().expect("there are names").as_str();
    assert_eq!(desk.fill(&[(last, 99.0)]), [], "the single figure has the last place");
    desk.seconds += GONE_AFTER.as_secs();
    desk.fill(&[]);
    assert_eq!(desk.fill(&[(last, 99.0)]).len(), 1);
    assert_eq!(desk.alerts.rows().count(), 2);
}

#[test]
fn the_last_transitions_are_kept_and_no_more() {
    let mut desk = Desk::new(&[above(50.0, 0)]);
    for change in 0..70 {
        let value = Some(if change % 2 == 0 { 60.0 } else { 0.0 });
        desk.take((0..50).map(|_| value));
    }
    let kept: Vec<_> = desk.alerts.transitions().map(|transition| transition.since_ms).collect();
    assert_eq!(kept.len(), TRANSITIONS_KEPT);
    assert_eq!(kept[0], 1_000_000 + 69 * 50_000 + 1000, "the newest comes first");
    assert!(kept.is_sorted_by(|newer, older| newer > older));
}

#[test]
fn new_rules_keep_the_states_of_those_that_stay_and_resolve_the_others() {
    let other = |threshold| Setting { name: "other".to_owned(), ..above(threshold, 0) };
    let mut desk = Desk::new(&[above(50.0, 0), other(20.0)]);
    assert_eq!(desk.take([Some(60.0)]).len(), 2);
    let mut rules = Rules::none();
    rules.set(&other(30.0)).expect("the setting is right");
    rules.set(&above(50.0, 0)).expect("the setting is right");
    let mut told = Vec::new();
    desk.alerts.replace(rules, 5, |transition| {
        told.push((transition.rule.name.clone(), transition.state(), transition.since_ms));
    });
    assert_eq!(told, [("other".to_owned(), "resolved", 5)]);
    assert_eq!(desk.alerts.firing().map(|one| one.rule.name.clone()).collect::<Vec<_>>(), ["test"]);
    assert_eq!(desk.take([Some(60.0)]), [("firing", 2)], "the changed rule begins anew");
}

fn built_in(name: &str) -> Setting {
    Setting { name: name.to_owned(), ..Setting::default() }
}

fn find<'a>(rules: &'a Rules, name: &str) -> &'a Rule {
    rules.iter().find(|rule| rule.name == name).expect("there is such a rule")
}

#[test]
fn the_built_in_rules_are_those_of_the_contract() {
    let rules = Rules::default();
    let said: Vec<_> =
        rules.iter().map(|rule| (rule.metric.as_str(), rule.bound, rule.clear)).collect();
    assert_eq!(
        said,
        [
            ("cpu.usage", Bound::Above(50.0), 45.0),
            ("memory.usage", Bound::Above(75.0), 67.5),
            ("server.connections.error_rate", Bound::Above(1.0), 0.9),
            ("server.connections.failure_rate", Bound::Above(5.0), 4.5),
            ("server.messages.latency_ms.p99", Bound::Above(100.0), 90.0),
        ]
    );
    for rule in rules.iter() {
        assert_eq!((rule.hold, rule.severity), (HOLD, Severity::Warning));
        assert!(rule.enabled && rule.command.is_empty());
    }
}

#[test]
fn a_built_in_rule_is_changed_in_what_is_said_and_can_be_switched_off() {
    let mut rules = Rules::default();
    let command = Some(vec!["/bin/true".to_owned()]);
    rules.set(&Setting { above: Some(80.0), command, ..built_in("cpu") }).unwrap();
    rules.set(&Setting { clear: Some(10.0), ..built_in("memory") }).unwrap();
    rules.set(&Setting { enabled: Some(false), ..built_in("latency") }).unwrap();
    let cpu = find(&rules, "cpu");
    assert_eq!(
        (cpu.metric.as_str(), cpu.bound, cpu.clear),
        ("cpu.usage", Bound::Above(80.0), 72.0)
    );
    assert_eq!(cpu.command, ["/bin/true"]);
    let memory = find(&rules, "memory");
    assert_eq!((memory.bound, memory.clear), (Bound::Above(75.0), 10.0));
    assert_eq!(rules.iter().count(), 5);
    assert!(rules.into_enabled().all(|rule| rule.name != "latency"));
}

#[test]
fn clear_is_by_default_a_tenth_on_the_good_side_and_a_value_that_can_be_had() {
    let clear = |metric: &str, bound| {
        let mut rules = Rules::none();
        let (above, below) = match bound {
            Bound::Above(above) => (Some(above), None),
            Bound::Below(below) => (None, Some(below)),
        };
        let metric = Some(metric.to_owned());
        rules.set(&Setting { metric, above, below, ..setting("test") }).unwrap();
        find(&rules, "test").clear
    };
    assert_eq!(clear("load.one", Bound::Above(-5.0)), -5.5);
    assert_eq!(clear("load.one", Bound::Below(5.0)), 5.5);
    assert_eq!(clear("load.one", Bound::Above(0.0)), 0.0);
    assert_eq!(clear("load.one", Bound::Below(0.0)), 0.0);
    assert_eq!(clear("server.cache.hit_rate", Bound::Below(95.0)), 100.0);
    assert_eq!(clear("networks.eth0.up", Bound::Below(1.0)), 1.0);
    assert_eq!(clear("cpu.usage", Bound::Below(200.0)), 200.0);
}

#[test]
fn each_mistake_names_its_key_and_changes_nothing() {
    let hour = Duration::from_secs(3600);
    let words = |count: usize, bytes| Some(vec!["x".repeat(bytes); count]);
    let with = |change: fn(&mut Setting)| {
        let mut setting = above(50.0, 1);
        change(&mut setting);
        setting
    };
    let mistakes = [
        ("name", with(|setting| setting.name = String::new())),
        ("name", with(|setting| setting.name = "x".repeat(NAME_BYTES_MAX + 1))),
        ("name", with(|setting| setting.name = "a\nb".to_owned())),
        ("metric", with(|setting| setting.metric = None)),
        ("metric", with(|setting| setting.metric = Some("cpu.nope".to_owned()))),
        ("metric", with(|setting| setting.metric = Some("cpu.cores".to_owned()))),
        (
            "metric",
            Setting {
                metric: Some(format!("filesystems./{}.usage", "x".repeat(METRIC_BYTES_MAX))),
                ..above(50.0, 1)
            },
        ),
        ("above", with(|setting| setting.above = None)),
        ("above", with(|setting| setting.above = Some(f64::NAN))),
        ("below", with(|setting| setting.below = Some(1.0))),
        ("below", Setting { below: Some(f64::INFINITY), above: None, ..above(50.0, 1) }),
        ("clear", with(|setting| setting.clear = Some(50.1))),
        ("clear", with(|setting| setting.clear = Some(f64::NEG_INFINITY))),
        ("hold", Setting { hold: Some(24 * hour + Duration::from_nanos(1)), ..above(50.0, 1) }),
        ("command", Setting { command: words(COMMAND_WORDS_MAX + 1, 1), ..above(50.0, 1) }),
        ("command", Setting { command: words(2, COMMAND_BYTES_MAX / 2 + 1), ..above(50.0, 1) }),
        ("command", Setting { command: words(1, 0), ..above(50.0, 1) }),
        ("command", with(|setting| setting.command = Some(vec!["a\0".to_owned()]))),
    ];
    for (key, setting) in mistakes {
        let mut rules = Rules::none();
        let mistake = rules.set(&setting).unwrap_err();
        assert_eq!(mistake.key, key, "{setting:?}: {}", mistake.sentence);
        assert!(!mistake.sentence.is_empty());
        assert_eq!(rules, Rules::none());
    }
    let longest = Setting {
        name: "x".repeat(NAME_BYTES_MAX),
        hold: Some(24 * hour),
        command: words(COMMAND_WORDS_MAX, COMMAND_BYTES_MAX / COMMAND_WORDS_MAX),
        ..above(50.0, 1)
    };
    assert_eq!(Rules::none().set(&longest), Ok(()));
}

#[test]
fn names_are_unique_and_rules_have_a_limit() {
    let mut rules = Rules::default();
    for index in rules.iter().count()..RULES_MAX {
        rules.set(&Setting { name: format!("r{index}"), ..above(1.0, 0) }).unwrap();
    }
    assert!(rules.set(&above(1.0, 0)).unwrap_err().sentence.contains("at most 64 alerts"));
    assert_eq!(rules.set(&built_in("cpu")), Ok(()), "a built-in one has its place");
    assert!(rules.set(&built_in("cpu")).unwrap_err().sentence.contains("another alert has it"));
}

proptest! {
    #[test]
    fn what_is_told_alternates_for_any_values_and_ends_where_the_figure_is(
        values in prop::collection::vec(prop::option::weighted(0.9, 0u8..100), 0..600),
        hold_s in 0u64..4,
        clear in 0u8..51,
    ) {
        let clear = Some(f64::from(clear));
        let mut desk = Desk::new(&[Setting { clear, ..above(50.0, hold_s) }]);
        let mut told = desk.take(values.iter().map(|value| value.map(f64::from)));
        // Whatever came before, it comes to rest.
        told.extend(desk.take((0..70).map(|_| Some(100.0))));
        let states: Vec<_> = told.iter().map(|(state, _)| *state).collect();
        prop_assert!(states.iter().step_by(2).all(|state| *state == "firing"));
        prop_assert!(states.iter().skip(1).step_by(2).all(|state| *state == "resolved"));
        prop_assert_eq!(states.last(), Some(&"firing"));
        prop_assert!(told.is_sorted_by(|one, next| one.1 < next.1));
        // Six in any five minutes, and what is told when it is calm.
        for window in told.windows(12) {
            prop_assert!(window[11].1 - window[0].1 >= 60, "{:?}", window);
        }
    }

    #[test]
    fn a_rule_that_fires_has_seen_bad_values_for_its_whole_hold(
        values in prop::collection::vec(prop::option::weighted(0.9, 40u8..60), 0..200),
        hold_s in 0u64..6,
    ) {
        let mut desk = Desk::new(&[above(50.0, hold_s)]);
        let mut bad_for = 0;
        for value in values {
            let value = value.map(f64::from);
            bad_for = if value.is_some_and(|value| value > 50.0) { bad_for + 1 } else { 0 };
            let was = desk.alerts.rows().next().map(|row| row.state);
            desk.take([value]);
            let is = desk.alerts.rows().next().map(|row| row.state);
            if was != Some(State::Firing) {
                prop_assert_eq!(is == Some(State::Firing), bad_for > hold_s, "{:?}", bad_for);
            }
        }
    }
}
