//! What only rows have: the user, the command line, and the traffic where it was not read before.
//!
//! Owns the steps in which they are read, a part of a row at a time. A process that has read or
//! written is looked at once more: one that has waited for a child since the scan before has the
//! child's whole traffic added to its own (wait_task_zombie in kernel/exit.c), and its rates are not
//! known. May import: the data model.

use std::fmt::Write as _;
use std::time::Duration;

use super::counters::Origin;
use super::seen::Seen;
use super::{Phase, Scan, cost, parse};
use crate::metrics::processes::{COMMAND_BYTES_MAX, NAME_BYTES_MAX, ORDERS, Row, push_text};
use crate::metrics::source::processes::{FILES_PER_STEP_MIN, Progress};

/// Parts of a row's details: the traffic, whether it is its own, who runs it and how.
pub const PARTS: usize = 3;

/// Files of the last part: the owner and the command line.
const FILES_OF_LAST: usize = 2;

const _: () = assert!(FILES_OF_LAST <= FILES_PER_STEP_MIN);

/// What a row's details are read by.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    origin: Origin,
    asked: Asked,
    threads: u32,
    reaped: u32,
}

/// Where a row's command line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// A kernel thread has none.
    Nobody,
    /// The process is asked.
    Process,
    /// The table before: a process that waits in the kernel may hold its memory locked, and whoever
    /// reads its command line then waits with it, for ever if what it waits for never comes.
    Before,
}

impl Scan {
    /// Makes rows of those that rank. In the first scan nobody does.
    pub(super) fn rank(&mut self, now: Duration) -> Progress {
        let (making, details) = (&mut self.making, &mut self.details);
        let (boot_ms, counters) = (self.boot_ms, &self.counters);
        let ms_per_tick = 1000.0 / self.units.ticks_per_s as f64;
        for (ranking, order) in self.rankings.iter_mut().zip(ORDERS) {
            ranking.take(|seen| {
                making.push(order, seen.origin.pid, |row| {
                    let start_ms = (seen.origin.start as f64 * ms_per_tick) as u64;
                    let boot_ms = boot_ms.filter(|_| counters.is_start(seen.origin));
                    row.started_ms = boot_ms.map(|boot_ms| boot_ms.saturating_add(start_ms));
                    seen.fill(row);
                    details.push(Detail::of(&seen));
                });
            });
        }
        self.phase = Phase::Detailing(0);
        self.detail_some(now, 0, 0)
    }

    /// Adds to some rows what only rows have.
    pub(super) fn detail_some(&mut self, now: Duration, mut part: usize, files: usize) -> Progress {
        let mut left = files;
        while let Some(detail) = self.details.get(part / PARTS).copied() {
            let needed = self.files_of(part, &detail);
            // What takes more than a step may has a step of its own.
            if needed > left && (left < files || files == 0) {
                break;
            }
            if needed > 0 {
                let Detail { origin: Origin { pid, start, .. }, .. } = detail;
                let origin = self.counters.origin(pid, start, now);
                self.detail(part, Detail { origin, ..detail });
            }
            left = left.saturating_sub(needed);
            part += 1;
        }
        if part < PARTS * self.details.len() {
            self.phase = Phase::Detailing(part);
            return Progress::Pending;
        }
        self.finish();
        Progress::Done
    }

    /// What a part takes, in files.
    fn files_of(&self, part: usize, detail: &Detail) -> usize {
        let row = self.making.rows().get(part / PARTS);
        let is_positive = |rate: Option<f64>| rate > Some(0.0);
        let has_traffic = row.is_some_and(|row| {
            is_positive(row.read_bytes_per_s) || is_positive(row.write_bytes_per_s)
        });
        match part % PARTS {
            0 if !self.counters.has_all_traffic => cost(detail.threads),
            1 if has_traffic => cost(detail.threads),
            2 => FILES_OF_LAST,
            _ => 0,
        }
    }

    fn detail(&mut self, part: usize, Detail { origin, asked, reaped, .. }: Detail) {
        let rates = match part % PARTS {
            0 => self.traffic(origin, reaped),
            1 => {
                let bytes = self.files.read(origin.pid, "stat");
                let reaped = bytes.and_then(|bytes| parse::stat(bytes)).map(|stat| stat.reaped);
                let before = self.before.as_ref();
                let is_own = before
                    .zip(reaped)
                    .is_some_and(|(before, reaped)| !before.has_reaped(origin, reaped));
                if is_own {
                    return;
                }
                None
            }
            _ => return self.describe(part / PARTS, origin, asked),
        };
        if let Some(row) = self.making.row_mut(part / PARTS) {
            row.read_bytes_per_s = rates.map(|[read, _]| read);
            row.write_bytes_per_s = rates.map(|[_, written]| written);
        }
    }

    /// Adds who runs it and how.
    fn describe(&mut self, place: usize, origin: Origin, asked: Asked) {
        let Some(row) = self.making.row_mut(place) else { return };
        if let Some(uid) = self.files.owner(origin.pid) {
            match self.users.name(uid) {
                Some(name) => push_text(&mut row.user, name, NAME_BYTES_MAX),
                None => write!(row.user, "{uid}").unwrap_or_default(),
            }
        }
        if !self.wanted.commands() {
            return;
        }
        match asked {
            Asked::Nobody => {}
            Asked::Process => {
                if let Some(bytes) = self.files.read(origin.pid, "cmdline") {
                    push_text(&mut row.command, parse::command(bytes), COMMAND_BYTES_MAX);
                }
            }
            Asked::Before => {
                let is_same =
                    |before: &&Row| before.pid == row.pid && before.started_ms == row.started_ms;
                if let Some(before) = self.table.rows().iter().find(is_same) {
                    row.command.push_str(&before.command);
                }
            }
        }
    }
}

impl Detail {
    fn of(seen: &Seen) -> Detail {
        let Seen { origin, threads, reaped, .. } = *seen;
        Detail { origin, asked: Asked::of(seen), threads, reaped }
    }
}

impl Asked {
    fn of(seen: &Seen) -> Asked {
        match seen.state {
            _ if seen.is_kernel => Asked::Nobody,
            b'D' => Asked::Before,
            _ => Asked::Process,
        }
    }
}
