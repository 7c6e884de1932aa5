//! Who watches an order of the process table, and until when.
//!
//! Owns what has been asked for an order, and forgets it. Pure.

use super::WATCHED_FOR;
use crate::engine::clock::Tick;
use crate::metrics::processes::Question;

/// Who watches an order. What they ask is kept for a window of [`WATCHED_FOR`] and for the next one,
/// so that who asked for much goes with it, however long others go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// When the window began, and what has been asked in it.
    since: Tick,
    asked: Question,
    /// What was asked in the window before.
    before: Option<Question>,
    until: Tick,
}

impl Watch {
    /// What one who asks leaves of what was kept.
    pub(super) fn renewed(kept: Option<Watch>, question: Question, now: Tick) -> Watch {
        let until = now + WATCHED_FOR;
        match kept.filter(|watch| watch.until > now) {
            None => Watch { since: now, asked: question, before: None, until },
            Some(watch) if now < watch.since + WATCHED_FOR => {
                Watch { asked: watch.asked.and(question), until, ..watch }
            }
            Some(watch) => Watch { since: now, asked: question, before: Some(watch.asked), until },
        }
    }

    /// What is still wanted.
    pub(super) fn questions(&self, now: Tick) -> impl Iterator<Item = Question> {
        let asked = Some(self.asked).filter(|_| now < self.until);
        let before = self.before.filter(|_| now < self.since + WATCHED_FOR);
        asked.into_iter().chain(before)
    }
}
