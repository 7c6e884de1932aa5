//! Durations as people write them: one number and one unit.

use std::time::Duration;

/// Reads a duration as people write it: `500ms`, `1s`, `2m`, `1h`, `1.5s`.
///
/// # Errors
/// A sentence that says what a duration looks like.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = number.parse::<f64>().unwrap_or(f64::NAN) * unit_seconds;
    match Duration::try_from_secs_f64(seconds) {
        // To the nearest microsecond, so that 0.1 s is 100 ms.
        Ok(duration) if is_plain => {
            Ok(Duration::from_micros((duration.as_nanos() as f64 / 1000.0).round() as u64))
        }
        _ => Err(format!("\"{text}\" is not a duration: write 500ms, 1s, 2m or 1h")),
    }
}

/// Writes a duration as it is read, in the largest unit that it is a whole number of; what is
/// below a microsecond is left out.
pub fn duration_text(duration: Duration) -> String {
    let microseconds = duration.as_micros();
    if microseconds == 0 {
        return "0s".to_owned();
    }
    for (unit, size) in [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000)] {
        if microseconds.is_multiple_of(size) {
            return format!("{}{unit}", microseconds / size);
        }
    }
    format!("{}.{:03}ms", microseconds / 1000, microseconds % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (text, milliseconds) in
            [("100ms", 100), ("1s", 1000), ("1.5s", 1500), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "1", "s", "-1s", "1d", "1 s", "infs", "1e3s", "nan s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_in_their_largest_unit() {
        for text in ["1h", "90m", "61s", "1500ms", "0.250ms", "0s"] {
            assert_eq!(parse_duration(text).map(duration_text), Ok(text.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(microseconds in 0_u64..=3_600_000_000) {
            let duration = Duration::from_micros(microseconds);
            prop_assert_eq!(parse_duration(&duration_text(duration)), Ok(duration));
        }
    }
}
