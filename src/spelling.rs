//! Names that somebody has written, against those that there are.
//!
//! Pure. Promises: the work and what comes of it are bounded, whatever was written. Imports nothing
//! of the crate.

/// Bytes of a written name that is compared: twice the longest that there is.
pub(crate) const WORD_BYTES_MAX: usize = 48;

/// Names that are listed at most. More are no help to whoever has slipped; half would leave out
/// some that look alike, as those of rates do.
const CHOICES_MAX: usize = 8;

/// The names there are, as a sentence lists them: the nearest to `word` first, and not all of many.
pub(crate) fn choices(word: &str, known: impl Iterator<Item = &'static str>) -> String {
    let mut known: Vec<_> = known.collect();
    if word.len() <= WORD_BYTES_MAX {
        // Stable: of two that are as near the first one in its table comes first.
        known.sort_by_cached_key(|known| distance(&plain(word), &plain(known)));
    }
    let shown = known.len().min(CHOICES_MAX);
    let list = known[..shown].join(", ");
    match known.len() - shown {
        0 => list,
        others => format!("{list} and {others} more"),
    }
}

/// The one of `known` that `key` is a slip of, if it is near one.
pub(crate) fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    if key.len() > WORD_BYTES_MAX {
        return None;
    }
    let distance = |known: &str| distance(&plain(key), &plain(known));
    let best = known.iter().copied().min_by_key(|known| distance(known))?;
    // A third of the letters may be wrong: half would find "path" in "auth".
    (distance(best) <= best.len() / 3).then_some(best)
}

/// Without what is written in several ways.
fn plain(key: &str) -> Vec<u8> {
    key.bytes().map(|byte| byte.to_ascii_lowercase()).filter(|byte| !b"-_".contains(byte)).collect()
}

/// How many bytes have to be added, removed or changed to make one of the other (Levenshtein).
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, byte) in left.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (at, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(byte != other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_near_where_a_third_of_it_is_wrong() {
        for (key, meant) in [
            ("interval", Some("interval")),
            ("Interval", Some("interval")),
            ("inter-val", Some("interval")),
            ("intrvl", Some("interval")),
            ("rates", Some("rate")),
            ("ra", None),
            ("", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(key, &["interval", "rate"]), meant, "{key}");
        }
        assert_eq!(nearest("interval", &[]), None);
    }

    #[test]
    fn choices_are_listed_the_nearest_first_and_not_all_of_many() {
        let listed = |word: &str| choices(word, ["load", "cpu", "disks"].into_iter());
        assert_eq!(listed("disk"), "disks, load, cpu");
        assert_eq!(listed(&"x".repeat(WORD_BYTES_MAX + 1)), "load, cpu, disks");
        let many = std::iter::repeat_n("a", CHOICES_MAX + 2);
        assert!(choices("", many).ends_with("a, a and 2 more"));
        assert_eq!(choices("a", std::iter::repeat_n("a", CHOICES_MAX)).matches('a').count(), 8);
    }
}
