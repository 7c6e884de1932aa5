//! How a figure is written into a cell of fixed width.
//!
//! Pure. Promises: a cell has exactly the width of its column, whatever the figure is, so that none
//! shifts another; what cannot be shown in it is a row of `#`, what is not known a `-`. Sizes are
//! in units of 1024, counts in units of 1000. May import: the units of the metrics.

use std::borrow::Cow;

use crate::metrics::definition::Unit;

/// What stands for a figure that is not known.
pub const NONE: &str = "-";

/// The letters of 1024, 1024^2 and so on; of counts, those of 1000.
const SIZES: &str = "KMGTPE";
const COUNTS: &str = "kMGTPE";

/// The width of a text.
pub const TEXT_WIDTH: usize = 12;

/// How wide a column of this unit is: what such a figure of an ordinary host needs.
pub fn width(unit: Unit) -> usize {
    match unit {
        // 100.0, 999K, 3800, 45.5 and 12.34: with 4 there would be no room for 100.0 or a sign.
        Unit::Percent | Unit::Bytes | Unit::BytesPerSecond | Unit::Megahertz => 5,
        Unit::Celsius | Unit::Number | Unit::Seconds => 5,
        // Twelve thousand interrupts a second, or some hundred thousand files.
        Unit::PerSecond | Unit::PerMinute | Unit::Count | Unit::Milliseconds => 6,
        Unit::Nothing => TEXT_WIDTH,
    }
}

/// A figure in a cell, to the right.
pub fn figure(value: Option<f64>, unit: Unit, width: usize) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else { return text(NONE, width) };
    let written = match unit {
        Unit::Bytes | Unit::BytesPerSecond => scaled(value, 1024.0, SIZES),
        Unit::Seconds => duration(value),
        _ => decimal(value, decimals(unit, value)),
    };
    if written.len() <= width {
        return text(&written, width);
    }
    let fewer = decimal(value, 0);
    let shorter = match unit {
        Unit::Bytes | Unit::BytesPerSecond | Unit::Seconds => written,
        _ if fewer.len() <= width => fewer,
        _ => scaled(value, 1000.0, COUNTS),
    };
    match shorter.len() <= width {
        true => text(&shorter, width),
        false => "#".repeat(width),
    }
}

/// A text in a cell, to the right; of one that is too long the beginning.
pub fn text(text: &str, width: usize) -> String {
    let shown: String = printable(text).chars().take(width).collect();
    format!("{shown:>width$}")
}

/// A text that does nothing to a terminal: whoever has named a disk has not written an escape
/// sequence into it.
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// A JSON text as one line of the same meaning that does nothing to a terminal.
pub fn json_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // Those below a space stand between the parts alone, others in texts alone (RFC 8259,
            // sections 2 and 7).
            '\0'..' ' => line.push(' '),
            letter if letter.is_control() => {
                line.push_str(&format!("\\u{:04x}", u32::from(letter)))
            }
            letter => line.push(letter),
        }
    }
    Cow::Owned(line)
}

/// The time of day of a Unix time, in UTC.
pub fn time_of_day(unix_ms: Option<u64>) -> String {
    let Some(unix_ms) = unix_ms else { return text(NONE, 8) };
    let seconds = unix_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The decimals that a reader can use.
fn decimals(unit: Unit, value: f64) -> usize {
    let size = value.abs();
    match unit {
        Unit::Percent if size < 1.0 && size > 0.0 => 2,
        Unit::Percent | Unit::Celsius => 1,
        Unit::Number | Unit::Milliseconds if size < 9.995 => 2,
        Unit::Number if size < 99.995 => 2,
        Unit::Number | Unit::Milliseconds | Unit::PerSecond | Unit::PerMinute if size < 99.95 => 1,
        Unit::Count if value.fract() != 0.0 => 1,
        _ => 0,
    }
}

fn decimal(value: f64, decimals: usize) -> String {
    let written = format!("{value:.decimals$}");
    let is_zero = !written.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0');
    match written.strip_prefix('-') {
        // A little less than nothing is nothing.
        Some(rest) if is_zero => rest.to_owned(),
        _ => written,
    }
}

/// With the letter that leaves one to three digits before it: `512`, `1.2M`, `34K`.
fn scaled(value: f64, base: f64, letters: &str) -> String {
    let mut rest = value;
    let mut letter = None;
    let mut letters = letters.chars();
    // At 1000 and not at 1024: 1.0M is shorter than 1003K.
    while rest.abs() >= 999.5
        && let Some(next) = letters.next()
    {
        rest /= base;
        letter = Some(next);
    }
    let is_short = letter.is_some() && rest.abs() < 9.95;
    let mut written = decimal(rest, usize::from(is_short));
    written.extend(letter);
    written
}

/// A duration in its nearest unit: `12.3s`, `140s`, `200m`, `4.2d`.
fn duration(seconds: f64) -> String {
    let (unit, size) = match seconds.abs() {
        size if size < 9999.5 => ("s", 1.0),
        size if size < 360_000.0 => ("m", 60.0),
        _ => ("d", 86_400.0),
    };
    let number = seconds / size;
    let decimals = match number.abs() {
        number if number < 9.995 && unit == "s" && number > 0.0 => 2,
        number if number < 99.95 && unit != "m" => 1,
        _ => 0,
    };
    decimal(number, decimals) + unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNITS: [Unit; 12] = [
        Unit::Percent,
        Unit::Bytes,
        Unit::BytesPerSecond,
        Unit::PerSecond,
        Unit::PerMinute,
        Unit::Count,
        Unit::Seconds,
        Unit::Milliseconds,
        Unit::Megahertz,
        Unit::Celsius,
        Unit::Number,
        Unit::Nothing,
    ];

    fn cell(value: f64, unit: Unit) -> String {
        figure(Some(value), unit, width(unit)).trim_start().to_owned()
    }

    #[test]
    fn sizes_have_the_letter_that_leaves_three_digits() {
        for (value, written) in [
            (0.0, "0"),
            (512.0, "512"),
            (999.0, "999"),
            (1000.0, "1.0K"),
            (1023.0, "1.0K"),
            (34.0 * 1024.0, "34K"),
            (1.25 * 1024.0 * 1024.0, "1.2M"),
            (9.96 * 1024.0, "10K"),
            (999.6 * 1024.0, "1.0M"),
            (-34.0 * 1024.0, "-34K"),
            (8e18, "6.9E"),
        ] {
            assert_eq!(cell(value, Unit::Bytes), written, "{value}");
        }
    }

    #[test]
    fn each_unit_has_the_decimals_that_can_be_used() {
        for (value, unit, written) in [
            (0.0, Unit::Percent, "0.0"),
            (0.04, Unit::Percent, "0.04"),
            (93.14, Unit::Percent, "93.1"),
            (100.0, Unit::Percent, "100.0"),
            (3200.0, Unit::Percent, "3200"),
            (-0.001, Unit::Percent, "0.00"),
            (0.456, Unit::Number, "0.46"),
            (12.345, Unit::Number, "12.35"),
            (123.45, Unit::Number, "123"),
            (17.0, Unit::Count, "17"),
            (123_456.0, Unit::Count, "123456"),
            (1_234_567.0, Unit::Count, "1.2M"),
            (2.5, Unit::PerSecond, "2.5"),
            (12_345.6, Unit::PerSecond, "12346"),
            (0.123, Unit::Milliseconds, "0.12"),
            (45.55, Unit::Celsius, "45.5"),
            (3800.0, Unit::Megahertz, "3800"),
            (0.25, Unit::Seconds, "0.25s"),
            (140.0, Unit::Seconds, "140s"),
            (36_000.0, Unit::Seconds, "600m"),
            (864_000.0, Unit::Seconds, "10.0d"),
            (1e300, Unit::Count, "######"),
        ] {
            assert_eq!(cell(value, unit), written, "{value} {unit:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        for value in [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
            assert_eq!(figure(value, Unit::Percent, 5), "    -");
        }
    }

    #[test]
    fn a_text_cannot_leave_its_cell_or_speak_to_the_terminal() {
        assert_eq!(text("a\u{1b}[2Jb", 5), "a?[2J");
        assert_eq!(text("\n", 3), "  ?");
        assert_eq!(printable("\u{9b}x\u{7f}"), "?x?");
    }

    #[test]
    fn a_json_text_is_a_line_of_the_same_meaning_that_does_nothing_to_a_terminal() {
        let text = "{\"b\":\r\n\t[\"a\u{9b}2J\u{7f}\u{e9}\"],\n\"a\":1}";
        let line = json_line(text);
        assert_eq!(line, "{\"b\":   [\"a\\u009b2J\\u007f\u{e9}\"], \"a\":1}");
        let value = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&line), value(text));
        assert!(matches!(json_line("[\"\u{e9}\"]"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_time_of_day_is_in_utc() {
        assert_eq!(time_of_day(Some(1_700_000_000_123)), "22:13:20");
        assert_eq!(time_of_day(Some(0)), "00:00:00");
        assert_eq!(time_of_day(Some(u64::MAX)).len(), 8);
        assert_eq!(time_of_day(None), "       -");
    }

    proptest! {
        #[test]
        fn a_cell_is_as_wide_as_its_column(bits: u64, wider in 0_usize..10) {
            for unit in UNITS {
                for width in [1, width(unit), width(unit) + wider] {
                    let shown = figure(Some(f64::from_bits(bits)), unit, width);
                    prop_assert_eq!(shown.len(), width, "{}", shown);
                }
            }
        }

        #[test]
        fn a_cell_of_an_ordinary_figure_is_never_hidden(large in -1e6..1e18, small in 0.0..1e5) {
            for value in [large, small] {
                for unit in UNITS {
                    let shown = figure(Some(value), unit, width(unit));
                    let is_hidden = shown.contains('#') && unit != Unit::Seconds;
                    prop_assert!(!is_hidden, "{:?} {}", unit, value);
                }
            }
        }

        #[test]
        fn a_text_is_as_wide_as_its_column(name: String, width in 1_usize..20) {
            let shown = text(&name, width);
            prop_assert_eq!(shown.chars().count(), width);
            prop_assert!(!shown.contains(char::is_control));
        }
    }
}
