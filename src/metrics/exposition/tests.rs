//! The writer, judged by the strict reader of both formats that every test of an exposition has.

use proptest::prelude::*;

use super::*;

#[path = "../../../tests/support/exposition.rs"]
mod reader;

/// Whether `text` is an exposition.
pub fn check(text: &str, format: Format) -> Result<BTreeMap<String, f64>, String> {
    reader::check(text, format == Format::OpenMetrics)
}

/// What `fill` gives, as text.
pub fn text_of(format: Format, fill: impl FnOnce(&mut Exposition<'_>)) -> String {
    let clock = || Duration::ZERO;
    let mut exposition = Exposition::new(format, 1 << 20, &clock);
    fill(&mut exposition);
    assert!(!exposition.is_too_long());
    let mut out = Vec::new();
    exposition.write(&mut out);
    String::from_utf8(out).expect("an exposition is UTF-8")
}

fn example(out: &mut Exposition<'_>) {
    let total = out.family("b_total", "How \"many\" \\ of\nthem.", Kind::Counter);
    out.sample(total, &[("device", "a\"b\\c\nd")], 7);
    out.gauge("a_celsius", "How warm.", Some(-1.5));
    out.sample(total, &[("device", "e"), ("mode", "")], u64::MAX);
    let untyped = out.family("c", "Whatever.", Kind::Untyped);
    out.sample(untyped, &[], f64::INFINITY);
}

#[test]
fn families_are_sorted_and_whole_in_the_text_format() {
    assert_eq!(
        text_of(Format::Text, example),
        "# HELP a_celsius How warm.\n# TYPE a_celsius gauge\na_celsius -1.5\n\
         # HELP b_total How \"many\" \\\\ of\\nthem.\n# TYPE b_total counter\n\
         b_total{device=\"a\\\"b\\\\c\\nd\"} 7\n\
         b_total{device=\"e\",mode=\"\"} 18446744073709551615\n\
         # HELP c Whatever.\n# TYPE c untyped\nc +Inf\n"
    );
}

#[test]
fn openmetrics_announces_a_counter_without_its_suffix_and_ends_with_eof() {
    assert_eq!(
        text_of(Format::OpenMetrics, example),
        "# TYPE a_celsius gauge\n# HELP a_celsius How warm.\na_celsius -1.5\n\
         # TYPE b counter\n# HELP b How \\\"many\\\" \\\\ of\\nthem.\n\
         b_total{device=\"a\\\"b\\\\c\\nd\"} 7\n\
         b_total{device=\"e\",mode=\"\"} 18446744073709551615\n\
         # TYPE c unknown\n# HELP c Whatever.\nc +Inf\n# EOF\n"
    );
}

#[test]
fn a_count_below_nothing_is_left_out_and_a_gauge_is_not() {
    let text = text_of(Format::Text, |out| {
        let total = out.family("b_total", "Bytes.", Kind::Counter);
        out.sample(total, &[("device", "a")], -3.0);
        out.sample(total, &[("device", "b")], f64::NAN);
        out.sample(total, &[("device", "c")], 0.0);
        out.gauge("a_celsius", "How warm.", Some(-3.0));
    });
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(samples, ["a_celsius -3", "b_total{device=\"c\"} 0"]);
}

#[test]
fn the_first_of_a_series_stays() {
    let text = text_of(Format::Text, |out| {
        let family = out.family("a", "A.", Kind::Gauge);
        for value in 1..4u64 {
            out.sample(family, &[("b", "c")], value);
            out.gauge("d", "D.", Some(value));
        }
    });
    assert_eq!(check(&text, Format::Text).unwrap().into_values().sum::<f64>(), 2.0);
}

#[test]
fn a_name_that_is_none_or_that_another_kind_has_gives_no_family() {
    let clock = || Duration::ZERO;
    let mut out = Exposition::new(Format::Text, 1000, &clock);
    for name in ["", "1a", "a b", "a\n", "ä", "a-b", "a{"] {
        assert!(out.family(name, "", Kind::Gauge).is_none(), "{name}");
    }
    assert!(out.family("a", "", Kind::Counter).is_none(), "a counter's name ends with _total");
    assert!(out.family("a_total", "", Kind::Gauge).is_none(), "and no other's does");
    assert!(out.family("_total", "", Kind::Counter).is_none());
    assert!(out.family("a_total", "", Kind::Counter).is_some());
    assert!(out.family("a", "", Kind::Gauge).is_none(), "OpenMetrics would have two families a");
    assert!(out.family("a_total", "", Kind::Counter).is_some());
}

#[test]
fn it_stops_growing_at_its_limit_and_says_so() {
    let clock = || Duration::ZERO;
    let mut out = Exposition::new(Format::Text, 1000, &clock);
    let family = out.family("a", "A.", Kind::Gauge);
    for number in 0..1_000_000u64 {
        out.sample(family, &[("number", &number.to_string())], number);
    }
    assert!(out.is_too_long() && out.bytes < 1100, "{}", out.bytes);
    assert!(out.family("b", "B.", Kind::Gauge).is_none());
}

#[test]
fn what_it_counts_is_about_what_it_writes() {
    for format in [Format::Text, Format::OpenMetrics] {
        let clock = || Duration::ZERO;
        let mut out = Exposition::new(format, 1000, &clock);
        example(&mut out);
        let mut bytes = Vec::new();
        out.write(&mut bytes);
        // Names of types, and suffixes and escapes in announcements, differ in length.
        assert!(out.bytes.abs_diff(bytes.len()) < 20, "{} {}", out.bytes, bytes.len());
    }
}

#[test]
fn a_collector_is_timed_by_the_clock_and_says_whether_it_found_anything() {
    let time = std::cell::Cell::new(Duration::ZERO);
    let clock = || time.get();
    let mut out = Exposition::new(Format::Text, 10_000, &clock);
    out.collector("quick", |_| true);
    out.collector("slow", |_| {
        time.set(Duration::from_millis(250));
        false
    });
    let mut bytes = Vec::new();
    out.write(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    for line in [
        "node_scrape_collector_success{collector=\"quick\"} 1\n",
        "node_scrape_collector_success{collector=\"slow\"} 0\n",
        "node_scrape_collector_duration_seconds{collector=\"slow\"} 0.25\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_is_put_in_comes_out_valid(
        rows in prop::collection::vec(
            ("[a-c_1:]{0,3}(_total)?", ".{0,4}", 0..3usize, "[ab\"\\\\\n]{0,2}", any::<f64>()),
            0..40,
        ),
    ) {
        for format in [Format::Text, Format::OpenMetrics] {
            let text = text_of(format, |out| {
                for (name, help, kind, label, value) in &rows {
                    let kind = [Kind::Gauge, Kind::Untyped, Kind::Counter][*kind];
                    let value = if kind == Kind::Counter { value.abs().min(1e300) } else { *value };
                    let family = out.family(name.clone(), help.clone(), kind);
                    out.sample(family, &[("label", label)], value);
                }
            });
            let result = check(&text, format);
            prop_assert!(result.is_ok(), "{result:?} in {text}");
        }
    }
}
