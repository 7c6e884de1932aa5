//! Subscriptions that are served by one encoding.
//!
//! A [`Class`] owns its members, when it is due, and what its mode keeps between two messages: of a
//! batch the samples so far, as they will be sent, and of means their sums. It is stepped at each
//! base tick and emptied when its message is made. Knows no connection: members are handles.

use super::Member;
use crate::app::protocol::{DEFAULT_SUBSCRIPTION, Means, Metrics, NAME_BYTES_MAX, write_json};
use crate::app::terms::{Mode, Terms};
use crate::metrics::aggregate::Aggregate;
use crate::metrics::snapshot::Snapshot;

/// A sample on its way to the classes.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The figures.
    pub snapshot: &'a Snapshot,
    /// Its number in the sequence of base ticks.
    pub sequence: u64,
    /// Base ticks between it and the sample before, for which there is none.
    pub skipped: u64,
}

/// Subscriptions on the same terms.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) terms: Terms,
    /// It is due when the sequence number leaves this remainder. Classes of one interval have
    /// different ones, so that their encodings do not all fall on one tick.
    pub(super) phase: u64,
    pub(super) members: Vec<Member>,
    /// A message is to be made.
    pub(super) is_due: bool,
    batch: Batch,
    /// Of [`Mode::Mean`], what the samples of the interval come to so far.
    means: Option<Box<Aggregate>>,
}

/// What a class of [`Mode::Batch`] has kept: whole messages, with commas between.
#[derive(Debug, Default)]
struct Batch {
    json: Vec<u8>,
    count: u32,
    /// How much of it the next message takes, if that is decided.
    ready: Option<usize>,
    /// The newest sample fits no message, and is not in it.
    is_too_long: bool,
}

/// What a batch's message has around its samples, at most: 36 bytes, a header or the lines of an
/// event, up to 33, and the name, of which each byte may be written as six.
const BATCH_BYTES_AROUND: usize = 72 + 6 * NAME_BYTES_MAX;

/// What it has around them at the least.
const BATCH_BYTES_AROUND_LEAST: usize = br#"{"type":"batch","samples":[]}"#.len();

impl Class {
    pub(super) fn new(terms: Terms, phase: u64) -> Class {
        let means = (terms.mode == Mode::Mean).then(|| Box::new(Aggregate::new(&terms.selection)));
        let batch = Batch::default();
        Class { terms, phase, members: Vec::new(), is_due: false, batch, means }
    }

    /// Bytes that one holds at most for what it will send, if a message has at most `bytes_max`: a
    /// batch that is full and a sample that came after.
    pub(super) fn kept_bytes_max(bytes_max: usize) -> usize {
        2 * bytes_max
    }

    /// Takes note of a sample. Gives how many encodings that took.
    pub(super) fn step(
        &mut self,
        sample: Sample<'_>,
        scratch: &mut Vec<u8>,
        bytes_max: usize,
    ) -> u64 {
        // A class whose tick was skipped is due at the next there is.
        let before = sample.sequence.saturating_sub(1 + sample.skipped);
        let is_point = self.points_to(sample.sequence) > self.points_to(before);
        if let Some(means) = &mut self.means {
            means.add(sample.snapshot);
        }
        match self.terms.mode {
            Mode::Last | Mode::Mean => {
                self.is_due |= is_point;
                0
            }
            Mode::Batch(_) if !is_point => 0,
            Mode::Batch(count) => {
                scratch.clear();
                write_json(&self.metrics(sample.snapshot, sample.sequence), scratch);
                self.batch.push(scratch, count, bytes_max);
                self.is_due = self.batch.ready.is_some() || self.batch.is_too_long;
                1
            }
        }
    }

    /// How often it has been due up to a sequence number, but for a constant.
    fn points_to(&self, sequence: u64) -> u64 {
        let divisor = u64::from(self.terms.divisor);
        (sequence + divisor - self.phase) / divisor
    }

    /// Appends the message that is due, which is due no more. Gives how many encodings that took.
    pub(super) fn take(&mut self, snapshot: &Snapshot, sequence: u64, out: &mut Vec<u8>) -> u64 {
        self.is_due = false;
        if let Some(means) = &mut self.means {
            write_json(&Means { means, sequence, sub: &self.terms.sub }, out);
            means.clear();
            return 1;
        }
        match self.terms.mode {
            Mode::Last | Mode::Mean => {
                write_json(&self.metrics(snapshot, sequence), out);
                1
            }
            Mode::Batch(_) => {
                out.extend_from_slice(br#"{"type":"batch""#);
                if self.terms.sub != DEFAULT_SUBSCRIPTION {
                    out.extend_from_slice(br#","sub":"#);
                    write_json(&self.terms.sub, out);
                }
                out.extend_from_slice(br#","samples":["#);
                let is_kept = self.batch.take(out);
                if !is_kept {
                    // Whoever would get it is told that it is too long.
                    write_json(&self.metrics(snapshot, sequence), out);
                }
                out.extend_from_slice(b"]}");
                u64::from(!is_kept)
            }
        }
    }

    fn metrics<'a>(&'a self, snapshot: &'a Snapshot, sequence: u64) -> Metrics<'a> {
        // Of a batch the message says whose it is, and not each sample.
        let sub = match self.terms.mode {
            Mode::Batch(_) => DEFAULT_SUBSCRIPTION,
            Mode::Last | Mode::Mean => &self.terms.sub,
        };
        Metrics { snapshot, sequence, sub, selection: &self.terms.selection }
    }
}

impl Batch {
    /// Keeps a sample, unless it fits no message. A message is ready when `count` are there, or when
    /// this one did not fit with those before it. One that was ready and has not been sent by then
    /// gives way.
    fn push(&mut self, sample: &[u8], count: u32, bytes_max: usize) {
        self.is_too_long = sample.len() + BATCH_BYTES_AROUND_LEAST > bytes_max;
        if self.is_too_long {
            return;
        }
        let begun_bytes = self.json.len() - self.ready.unwrap_or(0);
        if self.count > 0 && begun_bytes + sample.len() + BATCH_BYTES_AROUND > bytes_max {
            self.make_ready();
        }
        let comma = usize::from(!self.json.is_empty());
        self.json.reserve_exact(comma + sample.len());
        self.json.extend_from_slice(&b","[..comma]);
        self.json.extend_from_slice(sample);
        self.count += 1;
        if self.count >= count {
            self.make_ready();
        }
    }

    fn make_ready(&mut self) {
        self.drop_ready();
        self.ready = Some(self.json.len());
        self.count = 0;
    }

    /// Appends what is ready and forgets it; false if nothing is.
    fn take(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(ready) = self.ready else { return false };
        out.extend_from_slice(&self.json[..ready]);
        self.drop_ready();
        true
    }

    fn drop_ready(&mut self) {
        let Some(ready) = self.ready.take() else { return };
        // The comma before what follows goes as well.
        let end = self.json.len().min(ready + 1);
        self.json.drain(..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::terms::Asked;
    use crate::metrics::definition::Filesystem;
    use crate::metrics::selection::Selection;
    use serde_json::Value;

    fn class(mode: &str, batch: Option<u64>, interval_ms: u64, phase: u64) -> Class {
        let asked = Asked {
            sub: Some("s".to_owned()),
            topics: Some(vec!["load.one".to_owned()]),
            interval_ms: Some(interval_ms),
            mode: Some(mode.to_owned()),
            batch,
        };
        Class::new(asked.terms(1000).unwrap(), phase)
    }

    /// The messages that a class makes of ticks with these numbers, in which the load is as large.
    fn messages(class: &mut Class, ticks: &[u64], bytes_max: usize) -> Vec<Value> {
        let (mut scratch, mut seen, mut before) = (Vec::new(), Vec::new(), ticks[0] - 1);
        for &sequence in ticks {
            let mut snapshot = Snapshot::default();
            snapshot.load.one = Some(sequence as f64);
            let sample = Sample { snapshot: &snapshot, sequence, skipped: sequence - before - 1 };
            before = sequence;
            class.step(sample, &mut scratch, bytes_max);
            if class.is_due {
                let mut out = Vec::new();
                class.take(&snapshot, sequence, &mut out);
                seen.push(serde_json::from_slice(&out).unwrap());
            }
        }
        seen
    }

    fn sequences(messages: &[Value]) -> Vec<u64> {
        messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect()
    }

    fn batches(messages: &[Value]) -> Vec<Vec<u64>> {
        let samples = messages.iter().map(|message| message["samples"].as_array().unwrap());
        samples.map(|samples| sequences(samples)).collect()
    }

    #[test]
    fn a_class_is_due_once_in_its_interval_at_its_phase() {
        let ticks: Vec<u64> = (100..120).collect();
        let mut class = class("last", None, 5000, 3);
        assert_eq!(sequences(&messages(&mut class, &ticks, 1000)), [103, 108, 113, 118]);
    }

    #[test]
    fn a_tick_that_was_skipped_does_not_cost_an_interval() {
        let mut class = class("last", None, 5000, 3);
        let seen = messages(&mut class, &[101, 102, 105, 106, 108, 109, 130, 131, 133], 1000);
        assert_eq!(sequences(&seen), [105, 108, 130, 133]);
    }

    #[test]
    fn means_are_those_of_the_interval_with_the_least_and_the_most_beside_them() {
        let ticks: Vec<u64> = (1..=10).collect();
        let mut class = class("mean", None, 5000, 0);
        let seen = messages(&mut class, &ticks, 1000);
        assert_eq!(sequences(&seen), [5, 10]);
        let figures = |message: &Value| {
            [message, &message["min"], &message["max"]].map(|part| part["load"]["one"].clone())
        };
        assert_eq!(figures(&seen[0]), [3, 1, 5].map(Value::from));
        assert_eq!(figures(&seen[1]), [8, 6, 10].map(Value::from), "and of no other");
        assert_eq!(seen[0]["sub"], "s");
    }

    #[test]
    fn a_batch_is_every_so_many_samples_of_its_interval_oldest_first() {
        let ticks: Vec<u64> = (1..=20).collect();
        let mut every = class("batch", Some(3), 1000, 0);
        let seen = messages(&mut every, &ticks[..7], 10_000);
        assert_eq!(batches(&seen), [[1, 2, 3], [4, 5, 6]]);
        assert_eq!((&seen[0]["type"], &seen[0]["sub"]), (&"batch".into(), &"s".into()));
        assert_eq!(seen[0]["samples"][1]["type"], "metrics");
        assert_eq!(seen[0]["samples"][1]["load"]["one"], 2);
        assert!(seen[0]["samples"][1].get("sub").is_none());
        let mut fifth = class("batch", Some(2), 5000, 1);
        assert_eq!(batches(&messages(&mut fifth, &ticks, 10_000)), [[1, 6], [11, 16]]);
    }

    #[test]
    fn a_batch_that_would_not_fit_is_sent_with_what_is_there() {
        let ticks: Vec<u64> = (10..=20).collect();
        let sample = r#"{"type":"metrics","seq":10,"t":0,"load":{"one":10}}"#.len();
        let mut class = class("batch", Some(60), 1000, 0);
        let seen = messages(&mut class, &ticks, 4 * (sample + 1) + BATCH_BYTES_AROUND);
        assert_eq!(batches(&seen), [[10, 11, 12, 13], [14, 15, 16, 17]]);
    }

    #[test]
    fn a_batch_fits_its_message_whatever_its_subscription_is_called() {
        for sub in ["s".to_owned(), "\u{1}".repeat(NAME_BYTES_MAX)] {
            let mut class = class("batch", Some(60), 1000, 0);
            class.terms.sub = sub;
            for bytes_max in 1000..1100 {
                for message in messages(&mut class, &[10, 11, 12, 13, 14, 15, 16, 17], bytes_max) {
                    let bytes = message.to_string().len();
                    assert!(bytes <= bytes_max, "{bytes} of {bytes_max}");
                }
            }
        }
    }

    #[test]
    fn a_sample_that_fits_no_message_is_not_kept_and_still_refused_for_its_length() {
        let mut class = class("batch", Some(2), 1000, 0);
        class.terms.selection = Selection::parse(["filesystems"]).unwrap();
        let mut sequence = 0;
        let mut sent = |path_bytes: usize| {
            let mount = "x".repeat(path_bytes);
            let filesystems = vec![Filesystem { mount, ..Filesystem::default() }];
            let snapshot = Snapshot { filesystems, ..Snapshot::default() };
            sequence += 1;
            class.step(Sample { snapshot: &snapshot, sequence, skipped: 0 }, &mut Vec::new(), 2000);
            let (is_due, mut out) = (class.is_due, Vec::new());
            if is_due {
                class.take(&snapshot, sequence, &mut out);
                let _: Value = serde_json::from_slice(&out).unwrap();
            }
            (is_due.then_some(out.len()), class.batch.json.capacity())
        };
        assert_eq!(sent(10).0, None, "the first of two");
        for _ in 0..3 {
            let (bytes, kept) = sent(10_000);
            assert!(bytes.is_some_and(|bytes| bytes > 10_000), "{bytes:?}");
            assert!(kept <= Class::kept_bytes_max(2000), "{kept} are kept");
        }
        assert!(sent(10).0.is_some_and(|bytes| bytes < 1000), "the second of two");
    }

    #[test]
    fn a_batch_that_could_not_be_sent_gives_way_to_newer_samples() {
        let (snapshot, mut scratch) = (Snapshot::default(), Vec::new());
        let mut class = class("batch", Some(2), 1000, 0);
        for sequence in 1..=5 {
            let sample = Sample { snapshot: &snapshot, sequence, skipped: 0 };
            class.step(sample, &mut scratch, 1000);
        }
        let mut out = Vec::new();
        class.take(&snapshot, 5, &mut out);
        assert_eq!(batches(&[serde_json::from_slice(&out).unwrap()]), [[3, 4]]);
        assert_eq!(class.batch.json.first(), Some(&b'{'), "the fifth waits for the sixth");
        let at_most = Class::kept_bytes_max(1000);
        assert!(class.batch.json.capacity() <= at_most, "{}", class.batch.json.capacity());
    }
}
