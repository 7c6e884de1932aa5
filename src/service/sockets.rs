//! Sockets that the service manager has bound and passes (systemd's socket activation,
//! sd_listen_fds(3)).
//!
//! Owns the protocol: `LISTEN_FDS` descriptors from number 3 on are ours if `LISTEN_PID` is this
//! process, and `LISTEN_FDNAMES` has what they are called. What they may be used for is for the
//! network to judge. Imports nothing of the crate.

use std::env;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::process;

use rustix::io::{FdFlags, fcntl_setfd};

/// Sockets that are taken at most: far more than there are networks to listen on, and few enough
/// that a slip of the pen does not end the start in want of memory.
pub const SOCKETS_MAX: usize = 64;

/// A socket that was passed.
#[derive(Debug)]
pub struct PassedSocket {
    /// The socket, which children do not inherit.
    pub descriptor: OwnedFd,
    /// What the service manager calls it, such as the name of its unit; often nothing.
    pub name: String,
}

impl PassedSocket {
    /// What a message calls it: its number, and its name where it has one.
    pub fn title(&self) -> String {
        let number = self.descriptor.as_raw_fd();
        match self.name.is_empty() {
            true => format!("descriptor {number}"),
            false => format!("descriptor {number} ({})", self.name.escape_debug()),
        }
    }
}

/// Takes the sockets that were passed to this process, if any were. To be called once, before
/// anything else has opened a descriptor: a number that is promised and was never passed could
/// else be somebody's.
///
/// # Errors
/// A sentence, when what the environment says makes no sense.
pub fn take() -> Result<Vec<PassedSocket>, String> {
    let variable = |name: &str| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    if count(variable, process::id())? == 0 {
        return Ok(Vec::new());
    }
    let passed = sd_listen_fds::get().map_err(|error| format!("LISTEN_FDS: {error}"))?;
    let sockets = passed.into_iter().map(|(name, descriptor)| PassedSocket {
        descriptor: descriptor.into_std(),
        name: name.unwrap_or_default(),
    });
    let sockets: Vec<PassedSocket> = sockets.collect();
    let wrong = sockets.iter().find_map(|socket| {
        let error = fcntl_setfd(&socket.descriptor, FdFlags::CLOEXEC).err()?;
        Some(format!("LISTEN_FDS: {} cannot be used: {error}", socket.title()))
    });
    let Some(wrong) = wrong else { return Ok(sockets) };
    // What is not open must not be closed.
    for socket in sockets {
        let _ = socket.descriptor.into_raw_fd();
    }
    Err(wrong)
}

/// How many sockets were passed to the process `id`.
fn count(variable: impl Fn(&str) -> Option<String>, id: u32) -> Result<usize, String> {
    // What was meant for another stays in the environment of all that it starts.
    let is_ours = variable("LISTEN_PID").is_some_and(|pid| pid.parse() == Ok(id));
    let Some(count) = variable("LISTEN_FDS").filter(|_| is_ours) else { return Ok(0) };
    match count.parse() {
        Ok(count) if count <= SOCKETS_MAX => Ok(count),
        _ => Err(format!("LISTEN_FDS: {count:?} is not a number from 0 to {SOCKETS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(pid: Option<&str>, descriptors: Option<&str>) -> Result<usize, String> {
        let variable = |name: &str| match name {
            "LISTEN_PID" => pid.map(str::to_owned),
            "LISTEN_FDS" => descriptors.map(str::to_owned),
            _ => None,
        };
        count(variable, 7)
    }

    #[test]
    fn sockets_are_ours_if_the_number_of_the_process_is() {
        assert_eq!(counted(Some("7"), Some("2")), Ok(2));
        assert_eq!(counted(Some("7"), Some("0")), Ok(0));
        assert_eq!(counted(Some("7"), None), Ok(0));
        for pid in [None, Some(""), Some("8"), Some("seven"), Some("77777777777")] {
            assert_eq!(counted(pid, Some("2")), Ok(0));
            assert_eq!(counted(pid, Some("nonsense")), Ok(0));
        }
    }

    #[test]
    fn a_count_that_makes_no_sense_is_refused() {
        assert_eq!(counted(Some("7"), Some("64")), Ok(64));
        for text in ["", "-1", "two", "65", "4294967295"] {
            let sentence = format!("LISTEN_FDS: {text:?} is not a number from 0 to 64");
            assert_eq!(counted(Some("7"), Some(text)), Err(sentence));
        }
    }
}
