//! What a subscription asks for, in one form that can be compared.
//!
//! Owns the rules of a subscription's fields, whether they come in a message or in a query:
//! [`Asked`] is what was said, [`Terms`] what it comes to, with defaults filled in and the interval
//! rounded up. Subscriptions with equal terms are served by one encoding. Pure.

use serde::{Deserialize, Serialize};

use super::protocol::{
    BATCH_MAX, BATCH_MIN, DEFAULT_SUBSCRIPTION, DIVISORS, ErrorCode, NAME_BYTES_MAX, Refusal,
};
use crate::metrics::selection::Selection;

/// How the samples of an interval become a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The newest one is sent.
    Last,
    /// Their means are sent, with the least and the largest of each figure.
    Mean,
    /// The newest one is kept, until so many are there to be sent at once.
    Batch(u32),
}

impl Mode {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Last => "last",
            Mode::Mean => "mean",
            Mode::Batch(_) => "batch",
        }
    }

    /// How many samples come at once, where they come in batches.
    pub fn batch(self) -> Option<u32> {
        match self {
            Mode::Batch(count) => Some(count),
            Mode::Last | Mode::Mean => None,
        }
    }
}

/// What the members of a class have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The subscription's name, which is in the message.
    pub sub: String,
    /// What of a sample is sent.
    pub selection: Selection,
    /// Base ticks from one sample of the subscription to the next.
    pub divisor: u32,
    /// How samples become messages.
    pub mode: Mode,
}

impl Terms {
    /// Those of the subscription that every connection begins with.
    pub fn standard() -> Terms {
        Terms {
            sub: DEFAULT_SUBSCRIPTION.to_owned(),
            selection: Selection::standard(),
            divisor: 1,
            mode: Mode::Last,
        }
    }

    /// Whether who asks for `other` gets all of it by these terms, at that interval or a smaller
    /// one, and under the same name.
    pub fn cover(&self, other: &Terms) -> bool {
        self.sub == other.sub
            && self.mode == other.mode
            && self.divisor <= other.divisor
            && self.selection.covers(&other.selection)
    }

    /// Bytes of heap that terms take at most which one message has asked for. The shortest path of
    /// a row has ten bytes with its quotes and comma and is kept as a text and a mask, in a list
    /// that grows by doubling: 64 bytes for ten, and the text.
    pub fn bytes_max(message_bytes_max: usize) -> usize {
        8 * message_bytes_max + 512
    }
}

/// What a client has said of a subscription, all of it optional.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Asked {
    /// Its name: `"default"` if there is none.
    pub sub: Option<String>,
    /// Paths: all but the server's own figures if there are none.
    pub topics: Option<Vec<String>>,
    /// Milliseconds from one sample to the next: the base interval if nothing is said.
    pub interval_ms: Option<u64>,
    /// `"last"` if nothing is said.
    pub mode: Option<String>,
    /// Samples of a batch; of no meaning in another mode.
    pub batch: Option<u64>,
}

impl Asked {
    /// What it comes to at this base interval.
    ///
    /// # Errors
    /// A refusal that names the field: `unknown_topic` for a path that cannot exist, `bad_request`
    /// for the rest.
    pub fn terms(self, base_interval_ms: u64) -> Result<Terms, Refusal> {
        let sub = name(self.sub)?;
        let mode = mode(self.mode.as_deref(), self.batch)?;
        let selection = match self.topics {
            None => Selection::standard(),
            Some(topics) if topics.is_empty() => return Err(bad("topics is empty")),
            Some(topics) => Selection::parse(topics.iter().map(String::as_str))
                .map_err(|unknown| Refusal::new(ErrorCode::UnknownTopic, unknown))?,
        };
        let divisor = divisor(self.interval_ms.unwrap_or(0), base_interval_ms);
        Ok(Terms { sub, selection, divisor, mode })
    }
}

fn bad(message: impl std::fmt::Display) -> Refusal {
    Refusal::new(ErrorCode::BadRequest, message)
}

/// The name that a message gives a subscription.
///
/// # Errors
/// When it is empty or too long.
pub fn name(sub: Option<String>) -> Result<String, Refusal> {
    let sub = sub.unwrap_or_else(|| DEFAULT_SUBSCRIPTION.to_owned());
    if sub.is_empty() || sub.len() > NAME_BYTES_MAX {
        return Err(bad(format_args!("sub must have 1 to {NAME_BYTES_MAX} bytes")));
    }
    Ok(sub)
}

fn mode(name: Option<&str>, batch: Option<u64>) -> Result<Mode, Refusal> {
    match name.unwrap_or("last") {
        "last" => Ok(Mode::Last),
        "mean" => Ok(Mode::Mean),
        "batch" => {
            let count = batch.and_then(|count| u32::try_from(count).ok());
            let count = count.filter(|count| (BATCH_MIN..=BATCH_MAX).contains(count));
            let message = format_args!("batch must be from {BATCH_MIN} to {BATCH_MAX}");
            count.map(Mode::Batch).ok_or_else(|| bad(message))
        }
        _ => Err(bad("mode must be \"last\", \"mean\" or \"batch\"")),
    }
}

/// The smallest of [`DIVISORS`] that gives at least `interval_ms`, or the largest.
fn divisor(interval_ms: u64, base_interval_ms: u64) -> u32 {
    let wanted = interval_ms.div_ceil(base_interval_ms.max(1));
    let fits = DIVISORS.into_iter().find(|&divisor| u64::from(divisor) >= wanted);
    fits.unwrap_or(DIVISORS[DIVISORS.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(mode: &str, batch: Option<u64>) -> Result<Mode, ErrorCode> {
        let asked = Asked { mode: Some(mode.to_owned()), batch, ..Asked::default() };
        asked.terms(1000).map(|terms| terms.mode).map_err(|refusal| refusal.code)
    }

    #[test]
    fn who_says_nothing_asks_for_what_every_connection_begins_with() {
        assert_eq!(Asked::default().terms(1000), Ok(Terms::standard()));
    }

    #[test]
    fn an_interval_is_rounded_up_to_a_multiple_of_the_base() {
        for (interval_ms, expected) in
            [(0, 1), (1, 1), (1000, 1), (1001, 2), (3000, 5), (59_000, 60), (u64::MAX, 60)]
        {
            assert_eq!(divisor(interval_ms, 1000), expected, "{interval_ms}");
        }
    }

    #[test]
    fn a_batch_has_a_size_within_its_bounds_and_another_mode_none() {
        for (batch, expected) in [
            (None, Err(ErrorCode::BadRequest)),
            (Some(0), Err(ErrorCode::BadRequest)),
            (Some(1), Err(ErrorCode::BadRequest)),
            (Some(2), Ok(Mode::Batch(2))),
            (Some(60), Ok(Mode::Batch(60))),
            (Some(61), Err(ErrorCode::BadRequest)),
            (Some(1 << 32 | 5), Err(ErrorCode::BadRequest)),
        ] {
            assert_eq!(asked("batch", batch), expected, "{batch:?}");
            assert_eq!(asked("last", batch), Ok(Mode::Last));
            assert_eq!(asked("mean", batch), Ok(Mode::Mean));
        }
        assert_eq!(asked("Last", None), Err(ErrorCode::BadRequest));
    }

    #[test]
    fn terms_cover_those_that_ask_for_no_more_and_no_more_often() {
        let terms = |sub: &str, topics: &[&str], divisor, mode| Terms {
            sub: sub.to_owned(),
            selection: Selection::parse(topics.iter().copied()).unwrap(),
            divisor,
            mode,
        };
        let all = terms("a", &["cpu", "memory"], 2, Mode::Last);
        assert!(all.cover(&all));
        assert!(all.cover(&terms("a", &["memory.usage"], 5, Mode::Last)));
        assert!(!all.cover(&terms("a", &["memory.usage"], 1, Mode::Last)), "more often");
        assert!(!all.cover(&terms("a", &["load"], 5, Mode::Last)), "something else");
        assert!(!all.cover(&terms("b", &["cpu"], 5, Mode::Last)), "another name");
        assert!(!all.cover(&terms("a", &["cpu"], 5, Mode::Mean)), "another mode");
        assert!(!all.cover(&terms("a", &["cpu"], 2, Mode::Batch(2))), "another mode");
    }

    proptest! {
        #[test]
        fn a_divisor_never_makes_the_interval_shorter_than_asked(
            interval_ms in 0u64..60_000, base in 100u64..10_000
        ) {
            let granted = u64::from(divisor(interval_ms, base)) * base;
            prop_assert!(granted >= interval_ms || granted == 60 * base);
        }
    }
}
