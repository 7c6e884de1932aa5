//! What the service manager is told (sd_notify(3)): that vitald serves, reads its file again, stops,
//! and that its loop goes round.
//!
//! Owns the socket to tell it by and the watchdog's time. Promises: a process that nobody has asked
//! to tell anything (`NOTIFY_SOCKET`) makes no system call for it; once it has said that it is
//! ready nothing here waits; a message that cannot be sent costs a warning. The watchdog is fed by
//! whoever drives the loop, between two turns, and by nothing else: a loop that hangs feeds nobody.
//! May import: the clock.

use std::env;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use crate::engine::clock::{Clock, Monotonic, Tick, monotonic_us};

/// Bytes of a status at most, for systemd throws away whole messages of more than 4 KiB.
const STATUS_BYTES_MAX: usize = 1024;

/// How long the first message may wait for room: at the start of a host the service manager has
/// much to do, and would wait for that message much longer than this.
const READY_WAIT: Duration = Duration::from_secs(1);

/// The shortest time from one sign of life to the next: half of a watchdog that nobody can mean.
const FEED_MIN: Duration = Duration::from_millis(1);

/// The variables of the protocols; what is started from here is not to speak for this process.
pub const VARIABLES: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// Tells the service manager, if there is one that wants to know.
pub struct Notifier {
    channel: Option<Channel>,
    watchdog: Option<Watchdog>,
    /// What `systemctl status` shows while it serves.
    status: String,
    is_stopping: bool,
}

struct Channel {
    socket: UnixDatagram,
    to: SocketAddr,
}

/// When the loop is to give its next sign of life.
struct Watchdog {
    clock: Monotonic,
    every: Duration,
    due: Tick,
}

impl Notifier {
    /// One that tells whoever the environment names. What makes no sense there is warned of.
    pub fn from_environment() -> Notifier {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let channel = variable("NOTIFY_SOCKET").and_then(|name| {
            let channel = Channel::open(name.as_encoded_bytes());
            channel.map_err(|error| log::warn!("notify socket={name:?} error=\"{error}\"")).ok()
        });
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let every = channel.as_ref().and_then(|_| feed_every(text, process::id()));
        let watchdog =
            every.map(|every| Watchdog { clock: Monotonic::new(), every, due: Tick::ZERO });
        Notifier { channel, watchdog, status: String::new(), is_stopping: false }
    }

    /// Tells that vitald serves; `status` is one line about it.
    pub fn ready(&mut self, status: &str) {
        let end = status.floor_char_boundary(STATUS_BYTES_MAX);
        self.status = status[..end].replace('\n', " ");
        self.tell(&format!("READY=1\nSTATUS={}", self.status));
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.due = watchdog.clock.now() + watchdog.every;
        }
        if let Some(channel) = &self.channel
            && let Err(error) = channel.socket.set_nonblocking(true)
        {
            log::warn!("notify error=\"{error}\"");
        }
    }

    /// Tells that the configuration is being read again; [`Notifier::reloaded`] is to follow.
    pub fn reloading(&mut self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
    }

    /// Tells that it has been read, and taken over or refused.
    pub fn reloaded(&mut self, is_taken: bool) {
        let refused = "; the last reload was refused, see the log";
        let refused = if is_taken { "" } else { refused };
        self.tell(&format!("READY=1\nSTATUS={}{refused}", self.status));
    }

    /// Tells that vitald stops, once; `connections` are still there.
    pub fn stopping(&mut self, connections: usize) {
        if !self.is_stopping {
            self.is_stopping = true;
            self.tell(&format!("STOPPING=1\nSTATUS=stopping, connections to end: {connections}"));
        }
    }

    /// How long the loop may wait in its next turn; for ever without a watchdog.
    pub fn wait_max(&self) -> Option<Duration> {
        self.watchdog.as_ref().map(|watchdog| watchdog.due.since(watchdog.clock.now()))
    }

    /// Gives the loop's sign of life, if it is time. To be called between two turns.
    pub fn feed(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            let now = watchdog.clock.now();
            if now >= watchdog.due {
                watchdog.due = now + watchdog.every;
                self.tell("WATCHDOG=1");
            }
        }
    }

    fn tell(&self, message: &str) {
        if let Some(Channel { socket, to }) = &self.channel
            && let Err(error) = socket.send_to_addr(message.as_bytes(), to)
        {
            let what = message.split('\n').next().unwrap_or_default();
            log::warn!("notify message={what} error=\"{error}\" action=\"leave it unsaid\"");
        }
    }
}

impl Channel {
    /// A socket of our own, to send to the one called `name`. It is not connected: the service
    /// manager may begin anew meanwhile, with another socket of that name.
    fn open(name: &[u8]) -> io::Result<Channel> {
        let to = address(name)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(READY_WAIT))?;
        Ok(Channel { socket, to })
    }
}

/// The address that is meant: a path, or an abstract name behind an `@`.
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    match name {
        [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => Err(io::Error::other("it is neither a path nor an abstract name")),
    }
}

/// How often the watchdog of the process `id` is to be fed: twice in its time. `None` if it has
/// none.
fn feed_every(variable: impl Fn(&str) -> Option<String>, id: u32) -> Option<Duration> {
    let time = variable("WATCHDOG_USEC")?;
    if variable("WATCHDOG_PID").is_some_and(|pid| pid.parse() != Ok(id)) {
        return None;
    }
    match time.parse() {
        Ok(microseconds) if microseconds > 0 => {
            Some((Duration::from_micros(microseconds) / 2).max(FEED_MIN))
        }
        _ => {
            log::warn!("notify WATCHDOG_USEC={time:?} is no number of microseconds");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(time: Option<&str>, pid: Option<&str>) -> Option<Duration> {
        let variable = |name: &str| match name {
            "WATCHDOG_USEC" => time.map(str::to_owned),
            "WATCHDOG_PID" => pid.map(str::to_owned),
            _ => None,
        };
        feed_every(variable, 7)
    }

    #[test]
    fn a_watchdog_is_fed_twice_in_its_time_if_it_is_ours() {
        assert_eq!(every(Some("30000000"), Some("7")), Some(Duration::from_secs(15)));
        assert_eq!(every(Some("30000000"), None), Some(Duration::from_secs(15)));
        assert_eq!(every(Some("1"), None), Some(FEED_MIN));
        assert!(every(Some("18446744073709551615"), None).is_some());
        for pid in ["8", "", "seven"] {
            assert_eq!(every(Some("30000000"), Some(pid)), None);
        }
        assert_eq!(every(None, Some("7")), None);
        for time in ["0", "", "-1", "1s", "18446744073709551616"] {
            assert_eq!(every(Some(time), None), None);
        }
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() {
        let path = address(b"/run/systemd/notify").unwrap();
        assert_eq!(path.as_pathname().unwrap().as_os_str(), "/run/systemd/notify");
        for name in [&b"run/notify"[..], b"vsock:2:1234", b"", &[b'/'; 200], b"/a\0b"] {
            assert!(address(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn who_is_not_asked_waits_for_ever_and_says_nothing() {
        let mut notifier =
            Notifier { channel: None, watchdog: None, status: String::new(), is_stopping: false };
        notifier.ready("it listens");
        notifier.reloading();
        notifier.reloaded(true);
        notifier.feed();
        notifier.stopping(1);
        assert_eq!(notifier.wait_max(), None);
    }

    #[test]
    fn a_status_is_one_line_that_fits_into_a_message() {
        let mut notifier =
            Notifier { channel: None, watchdog: None, status: String::new(), is_stopping: false };
        notifier.ready(&format!("a\nREADY=0{}", "\u{e4}".repeat(5000)));
        assert!(notifier.status.starts_with("a READY=0\u{e4}"));
        assert!((STATUS_BYTES_MAX - 1..=STATUS_BYTES_MAX).contains(&notifier.status.len()));
    }
}
