//! Any system that sysinfo knows: its processes, all at once.
//!
//! Compiled and tested on Linux too, where it is not used. sysinfo lists and reads every process in
//! one call, so a scan is one step whatever it is allowed: 5 ms for a hundred processes. Promises
//! the rows of the data model; a state or a user that sysinfo does not tell is not known, and a
//! user is a number. Command lines are read of every process, and only while somebody wants them.

use std::fmt::Write as _;
use std::time::Duration;

use sysinfo::{
    Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, RefreshKind, System, UpdateKind,
};

use crate::metrics::processes::ranking::{Key, Ranking};
use crate::metrics::processes::{
    COMMAND_BYTES_MAX, NAME_BYTES_MAX, ORDERS, Order, PROCESSES_MAX, ROWS_MAX, Row, Table, Wanted,
    push_text,
};
use crate::metrics::source::processes::{ProcessSource, Progress};
use crate::metrics::source::users::{self, Users};

/// Bytes that sysinfo keeps for a process: an estimate, of its struct and some texts.
const PROCESS_BYTES: usize = 2048;

/// Reads the processes of a host through sysinfo.
pub struct Processes {
    system: Option<System>,
    users: Users,
    began: Duration,
    /// When the scan before the newest began, and when the newest did.
    before: Option<Duration>,
    is_scanning: bool,
    wanted: Wanted,
    rankings: [Ranking<sysinfo::Pid>; ORDERS.len()],
    table: Table,
    has_table: bool,
}

impl Processes {
    /// The host this runs on.
    pub fn new() -> Processes {
        Processes {
            system: None,
            users: Users::new("/etc/passwd".into()),
            began: Duration::ZERO,
            before: None,
            is_scanning: false,
            wanted: Wanted::default(),
            rankings: Default::default(),
            table: Table::default(),
            has_table: false,
        }
    }

    fn scan(&mut self) -> Progress {
        if self.system.is_none() {
            self.system = System::new_with_specifics(RefreshKind::nothing())
                .inspect_err(|error| log::warn!("source=sysinfo error=\"{error}\""))
                .ok();
        }
        let Some(system) = &mut self.system else { return Progress::Failed };
        let mut kind = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .with_disk_usage()
            .with_user(UpdateKind::OnlyIfNotSet)
            .without_tasks();
        if self.wanted.commands() {
            kind = kind.with_cmd(UpdateKind::OnlyIfNotSet);
        }
        let refreshed = system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        let _ = refreshed;
        self.users.refresh();
        let elapsed =
            self.before.replace(self.began).map(|before| self.began.saturating_sub(before));
        let Some(elapsed_s) = elapsed.map(|elapsed| elapsed.as_secs_f64()) else {
            return Progress::Done;
        };
        self.fill(elapsed_s);
        Progress::Done
    }

    fn fill(&mut self, elapsed_s: f64) {
        let Some(system) = &self.system else { return };
        let table = &mut self.table;
        table.clear();
        table.covers = self.wanted;
        table.total = system.processes().len();
        let running = |process: &&Process| process.status() == ProcessStatus::Run;
        table.running = Some(system.processes().values().filter(running).count());
        for (ranking, order) in self.rankings.iter_mut().zip(ORDERS) {
            ranking.restart(self.wanted.rows(order));
            // No two keys are equal, so the order of the map does not show.
            for (pid, process) in system.processes() {
                let usage = Some(f64::from(process.cpu_usage()));
                let disk = process.disk_usage();
                let value = match order {
                    Order::Cpu => usage,
                    Order::Memory => Some(process.memory() as f64),
                    Order::Io => Some((disk.read_bytes + disk.written_bytes) as f64),
                };
                let key = Key::of_figure(value, process.memory(), pid.as_u32());
                ranking.offer(key, || *pid);
            }
            let (users, with_command) = (&self.users, self.wanted.commands());
            ranking.take(|pid| {
                let Some(process) = system.process(pid) else { return };
                table.push(order, pid.as_u32(), |row| {
                    fill(row, process, users, elapsed_s, with_command);
                });
            });
        }
        self.has_table = true;
    }
}

impl Default for Processes {
    fn default() -> Processes {
        Processes::new()
    }
}

impl ProcessSource for Processes {
    fn begin(&mut self, now: Duration, wall_ms: u64, wanted: Wanted) {
        (self.began, self.wanted, self.is_scanning) = (now, wanted, true);
        self.table.time_ms = wall_ms;
    }

    fn step(&mut self, _: Duration, _: usize) -> Progress {
        match std::mem::take(&mut self.is_scanning) {
            true => self.scan(),
            false => Progress::Done,
        }
    }

    fn table(&self) -> Option<&Table> {
        self.has_table.then_some(&self.table)
    }

    fn release(&mut self) {
        *self = Processes::new();
    }

    fn memory_ceiling(&self) -> usize {
        let rows = ORDERS.len() * ROWS_MAX;
        let row = size_of::<Row>() + 2 * (2 * NAME_BYTES_MAX + COMMAND_BYTES_MAX);
        PROCESSES_MAX * PROCESS_BYTES + 2 * rows * row + users::MEMORY_BYTES_MAX
    }
}

fn fill(row: &mut Row, process: &Process, users: &Users, elapsed_s: f64, with_command: bool) {
    push_text(&mut row.name, process.name().as_encoded_bytes(), NAME_BYTES_MAX);
    if with_command {
        let mut line = Vec::new();
        for argument in process.cmd().iter().map(|argument| argument.as_encoded_bytes()) {
            if line.len() > COMMAND_BYTES_MAX {
                break;
            }
            line.extend_from_slice(argument);
            line.push(b' ');
        }
        push_text(&mut row.command, line.trim_ascii_end(), COMMAND_BYTES_MAX);
    }
    if let Some(uid) = process.user_id().map(|uid| **uid) {
        match users.name(uid) {
            Some(name) => push_text(&mut row.user, name, NAME_BYTES_MAX),
            None => write!(row.user, "{uid}").unwrap_or_default(),
        }
    }
    let disk = process.disk_usage();
    let per_second = |bytes: u64| (elapsed_s > 0.0).then(|| bytes as f64 / elapsed_s);
    row.cpu_usage = Some(f64::from(process.cpu_usage()));
    row.rss = Some(process.memory());
    row.read_bytes_per_s = per_second(disk.read_bytes);
    row.write_bytes_per_s = per_second(disk.written_bytes);
    row.state = letter(process.status());
    row.started_ms = Some(process.start_time().saturating_mul(1000)).filter(|ms| *ms > 0);
}

fn letter(status: ProcessStatus) -> Option<char> {
    Some(match status {
        ProcessStatus::Run => 'R',
        ProcessStatus::Sleep => 'S',
        ProcessStatus::Idle => 'I',
        ProcessStatus::Stop | ProcessStatus::Suspended => 'T',
        ProcessStatus::Zombie => 'Z',
        ProcessStatus::Tracing => 't',
        ProcessStatus::UninterruptibleDiskSleep | ProcessStatus::LockBlocked => 'D',
        ProcessStatus::Dead => 'X',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::processes::Question;

    #[test]
    fn the_table_of_this_host_has_this_process() {
        let mut processes = Processes::new();
        let mut wanted = Wanted::default();
        let question = Question { order: Order::Memory, limit: ROWS_MAX, with_commands: true };
        wanted.add(question);
        for second in 1..=2 {
            assert!(processes.table().is_none(), "there are no rates before the second scan");
            processes.begin(Duration::from_secs(second), second * 1000, wanted);
            assert_eq!(processes.step(Duration::from_secs(second), 3), Progress::Done);
        }
        let table = processes.table().unwrap();
        assert!(table.view(question).is_some() && table.total >= table.rows().len());
        let row = table.rows().iter().find(|row| row.pid == std::process::id()).unwrap();
        assert!(row.rss > Some(1 << 20) && !row.user.is_empty() && !row.name.is_empty());
        assert!(!row.command.is_empty() && row.started_ms > Some(1_000_000_000_000));
        processes.release();
        assert!(processes.table().is_none());
    }
}
