//! The process that a command is.
//!
//! Owns [`Process`]: a child in a process group of its own, so that what it starts can be stopped
//! with it. Promises: looking and signalling do not wait for the child, and starting only until the
//! kernel has read the program; a group is signalled only while its leader has not been reaped, so
//! that the number cannot be another's by then; when the leader has ended, so has its group; what
//! is dropped has been killed and reaped, unless the kernel does not let it go. Knows no clock.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How often, and how often at most, a killed child is looked at when it must be reaped here and
/// now: a second in all. It takes a few milliseconds, unless it hangs in a device.
const REAP_EVERY: Duration = Duration::from_millis(5);
const REAPS_MAX: u32 = 200;

/// A child that has not been reaped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Pid,
    is_reaped: bool,
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has ended with this status.
    Status(ExitStatus),
    /// It has ended and another part of the program took its status.
    Unknown,
}

/// Whether a file is there that this process may run.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

impl Process {
    /// Starts `command` without input and output; what it complains of goes where our own log goes.
    pub(super) fn start(command: &mut Command) -> io::Result<Process> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn()?;
        let group = Pid::from_child(&child);
        Ok(Process { child, group, is_reaped: false })
    }

    /// Reaps the child if it has ended. What it has started and left behind ends with it: it would
    /// be beyond every limit, and nobody could tell its group from a new one of the same number.
    pub(super) fn reap(&mut self) -> Option<End> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let Ok(None) = waitid(WaitId::Pid(self.group), look) {
            return None;
        }
        // Before the leader is reaped: until then no other group can have its number.
        self.kill();
        let end = match self.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => End::Status(status),
            Err(_) => End::Unknown,
        };
        self.is_reaped = true;
        Some(end)
    }

    /// Asks the child and what it has started to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the child and what it has started.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if !self.is_reaped {
            // It fails if the whole group has ended, and then there is nothing to do.
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        self.kill();
        for _ in 0..REAPS_MAX {
            if self.reap().is_some() {
                return;
            }
            thread::sleep(REAP_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::process::getpgrp;

    use super::*;

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script])).expect("there is a shell")
    }

    /// Asks again until there is an answer; many seconds' worth of times.
    fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        for _ in 0..3_000_000 {
            if let Some(answer) = ask() {
                return answer;
            }
            thread::yield_now();
        }
        panic!("it never came to this: {what}");
    }

    #[test]
    fn a_child_leads_a_group_of_its_own_and_gives_its_status() {
        let mut process = shell("exit 3");
        assert_ne!(process.group, getpgrp());
        let end = until("it ends", || process.reap());
        assert!(matches!(end, End::Status(status) if status.code() == Some(3)), "{end:?}");
    }

    /// A shell that has started what heeds no SIGTERM, whose number is given, and does the `rest`.
    fn with_another(name: &str, rest: &str) -> (Process, String) {
        let name = format!("vitald-process-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let script = "sh -c 'trap \"\" TERM; echo $$ > $0.new; mv $0.new $0; \
                      while :; do sleep 1; done' $0 &";
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{script} {rest}")).arg(&path);
        let process = Process::start(&mut command).unwrap();
        let other = until("it is ready", || fs::read_to_string(&path).ok());
        fs::remove_file(&path).unwrap();
        (process, other.trim_end().to_owned())
    }

    fn wait_for_end_of(other: &str) {
        // Whether the dead is there still is init's business.
        until("the other ends", || {
            let stat = fs::read_to_string(format!("/proc/{other}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z ")).then_some(())
        });
    }

    #[test]
    fn what_a_stopped_child_has_started_ends_with_it() {
        let (mut process, other) = with_another("stopped", "wait");
        process.terminate();
        until("it ends", || process.reap());
        wait_for_end_of(&other);
    }

    #[test]
    fn what_a_child_leaves_behind_ends_with_it() {
        let (mut process, other) =
            with_another("left", "until [ -e $0.go ]; do :; done; rm $0.go; exit 0");
        let go = format!("vitald-process-left-{}.go", std::process::id());
        fs::write(std::env::temp_dir().join(go), "").unwrap();
        let end = until("it ends", || process.reap());
        assert!(matches!(end, End::Status(status) if status.success()), "{end:?}");
        wait_for_end_of(&other);
    }

    #[test]
    fn a_process_that_is_dropped_has_been_killed_and_reaped() {
        let process = shell("trap '' TERM; while :; do sleep 1; done");
        let leader = process.group;
        drop(process);
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        assert!(waitid(WaitId::Pid(leader), look).is_err(), "it is no child of ours any more");
    }
}
