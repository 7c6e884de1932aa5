//! What the operator has said, checked.
//!
//! A [`Config`] is plain data with defaults; [`Config::check`] says in one sentence what is wrong
//! with it, and [`Config::to_toml`] writes it as the file that says the same. `file` reads that
//! file into a `Draft`, which knows where each value was said; flags and the environment are
//! `cli`'s business. May import: the engine's addresses, the
//! rules of alerts.

mod alerts;
mod draft;
mod duration;
mod file;
mod listen;
mod origin;
mod printed;
mod section;
mod tls;
mod token;
mod unix;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::metrics::alerts::Rules;
use crate::metrics::history::{HistoryOptions, SERIES_LIMIT, WRITE_EVERY_MAX, WRITE_EVERY_MIN};
pub(crate) use draft::Draft;
pub use duration::{duration_text, parse_duration};
pub use file::{FILE_BYTES_MAX, PATH_DEFAULT, read_file};
pub(crate) use file::{bytes_of, read_into, text_of};
pub use listen::{Listen, SOCKET_PATH_BYTES_MAX};
pub use origin::{Origin, parse_host};
pub(crate) use tls::TlsFiles;
pub use tls::TlsSettings;
pub use token::{Secret, TOKEN_BYTES_MAX, TOKEN_BYTES_SAFE, Token, TokenFrom, is_readable_by_all};
pub use unix::{UnixSettings, parse_group, parse_mode};

/// Shortest sampling interval: below it, counters of 10 ms resolution give no meaningful rates.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Longest sampling interval.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// How many series history may keep.
pub const SERIES: RangeInclusive<usize> = 1..=SERIES_LIMIT;

/// Servers that the page may show beside its own, and pages that may frame it.
pub const DASHBOARD_ORIGINS_MAX: usize = 32;

/// Bytes of those servers together. They are in a field of the page's head, each twice, and nginx
/// takes heads of 4 KiB.
pub const DASHBOARD_HOSTS_BYTES_MAX: usize = 1024;

/// Bytes of those pages together, in the same field.
pub const FRAME_ANCESTORS_BYTES_MAX: usize = 512;

/// How often history may be written to its file.
pub const WRITE_EVERY: RangeInclusive<Duration> = WRITE_EVERY_MIN..=WRITE_EVERY_MAX;

/// The file at `path`, which must be named.
pub(crate) fn named_file(path: impl Into<PathBuf>) -> Result<PathBuf, String> {
    let path = path.into();
    match path.as_os_str().is_empty() {
        true => Err("it is empty: name a file, or leave it out".to_owned()),
        false => Ok(path),
    }
}

/// Reads the name of a level as operators write it.
///
/// # Errors
/// A sentence that says which names there are.
pub fn parse_level(text: &str) -> Result<log::LevelFilter, String> {
    match text {
        "error" | "warn" | "info" | "debug" | "trace" => {
            text.parse().map_err(|_| "not a level".to_owned())
        }
        _ => Err(format!("\"{text}\" is not a level: write error, warn, info, debug or trace")),
    }
}

/// Who is shown the command lines of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandLines {
    /// Everybody who may connect.
    Always,
    /// Viewers that have shown the token, and nobody where there is none. A peer of a Unix socket
    /// is not one of them as such: it may be a reverse proxy, which comes for anybody.
    Authenticated,
    /// Nobody: names alone.
    Never,
}

impl CommandLines {
    const ALL: [CommandLines; 3] =
        [CommandLines::Always, CommandLines::Authenticated, CommandLines::Never];

    /// The word that stands for it in the file.
    pub fn name(self) -> &'static str {
        match self {
            CommandLines::Always => "always",
            CommandLines::Authenticated => "authenticated",
            CommandLines::Never => "never",
        }
    }

    /// Reads that word.
    ///
    /// # Errors
    /// A sentence that says which words there are.
    pub fn parse(text: &str) -> Result<CommandLines, String> {
        CommandLines::ALL.into_iter().find(|each| each.name() == text).ok_or_else(|| {
            format!("\"{text}\" is not a choice: write \"always\", \"authenticated\" or \"never\"")
        })
    }
}

/// What is shown of processes: `[processes]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Who is shown command lines, which can hold secrets.
    pub commands: CommandLines,
}

/// What the page shows and who may frame it: `[dashboard]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DashboardSettings {
    /// Further servers that the page connects to, at most [`DASHBOARD_ORIGINS_MAX`].
    pub hosts: Vec<Origin>,
    /// Pages that may frame it, at most as many; none by default.
    pub frame_ancestors: Vec<Origin>,
}

/// Everything that can be set. Durations count to the microsecond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Who may connect to those of them that are files.
    pub unix: UnixSettings,
    /// The base sampling interval; [`INTERVAL_MIN`] to [`INTERVAL_MAX`].
    pub interval: Duration,
    /// The sampling interval while nobody watches; from the base interval to [`INTERVAL_MAX`].
    /// Without one, the base interval always.
    pub sample_when_idle: Option<Duration>,
    /// Serve addresses beyond loopback although nobody is asked for a token.
    pub no_auth: bool,
    /// What every request has to show; without one nobody is asked.
    pub token: Option<Token>,
    /// What is shown to those who come by TCP, who then speak TLS; only with the feature `tls`.
    pub tls: Option<Box<TlsSettings>>,
    /// Connections of every kind at a time; 1 to 1,000,000.
    pub connections_max: usize,
    /// Host names by which requests may address this server, besides its own.
    pub allow_hosts: Vec<String>,
    /// Origins of foreign pages that may open a WebSocket and read answers.
    pub allow_origins: Vec<Origin>,
    /// What is logged: error to trace.
    pub log_level: log::LevelFilter,
    /// What is remembered.
    pub history: HistoryOptions,
    /// What is shown of processes.
    pub processes: ProcessSettings,
    /// What the page shows and who may frame it.
    pub dashboard: DashboardSettings,
    /// The alerts, the built-in ones among them.
    pub alerts: Rules,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![Listen::Tcp("127.0.0.1:8485".to_owned())],
            unix: UnixSettings::default(),
            interval: Duration::from_secs(1),
            sample_when_idle: None,
            no_auth: false,
            token: None,
            tls: None,
            connections_max: 256,
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            log_level: log::LevelFilter::Info,
            history: HistoryOptions::default(),
            processes: ProcessSettings { commands: CommandLines::Authenticated },
            dashboard: DashboardSettings::default(),
            alerts: Rules::default(),
        }
    }
}

/// A value that cannot be served.
struct Fault {
    /// The key, as messages name it: `interval`, `[history] series`.
    key: &'static str,
    sentence: String,
}

impl Config {
    /// Whether the values can be served, or a sentence that names the one that cannot.
    pub fn check(&self) -> Result<(), String> {
        self.check_values().map_err(|fault| format!("{}: {}", fault.key, fault.sentence))
    }

    /// The keys, or sections, in which `new` differs and that are only read at a start: all but
    /// `alert`, `log_level`, `token_file` and what is in the files of `tls`.
    pub fn needing_restart(&self, new: &Config) -> Vec<&'static str> {
        let Config {
            listen,
            unix,
            interval,
            sample_when_idle,
            no_auth,
            token: _,
            tls,
            connections_max,
            allow_hosts,
            allow_origins,
            log_level: _,
            history,
            processes,
            dashboard,
            alerts: _,
        } = self;
        let same = [
            ("listen", *listen == new.listen),
            ("unix_mode", unix.mode == new.unix.mode),
            ("unix_group", unix.group == new.unix.group),
            ("interval", *interval == new.interval),
            ("sample_when_idle", *sample_when_idle == new.sample_when_idle),
            ("no_auth", *no_auth == new.no_auth),
            // Another certificate in the place of one is taken over.
            ("tls", tls.is_some() == new.tls.is_some()),
            ("max_connections", *connections_max == new.connections_max),
            ("allow_host", *allow_hosts == new.allow_hosts),
            ("allow_origin", *allow_origins == new.allow_origins),
            ("history", *history == new.history),
            ("processes", *processes == new.processes),
            ("dashboard", *dashboard == new.dashboard),
        ];
        same.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
    }

    fn check_values(&self) -> Result<(), Fault> {
        let fault = |key, sentence| Err(Fault { key, sentence });
        if self.listen.is_empty() {
            return fault("listen", "there is no address: write one at least".to_owned());
        }
        let mut rest = self.listen.as_slice();
        while let [first, others @ ..] = rest {
            if others.iter().any(|other| first.is_same(other)) {
                return fault("listen", format!("\"{first}\" is there twice: write it once"));
            }
            rest = others;
        }
        check_duration("interval", self.interval, INTERVAL_MIN..=INTERVAL_MAX)?;
        if let Some(idle) = self.sample_when_idle {
            check_duration("sample_when_idle", idle, self.interval..=INTERVAL_MAX)?;
        }
        check_count("max_connections", self.connections_max, 1..=1_000_000)?;
        check_count("[history] series", self.history.series_max, SERIES)?;
        check_duration("[history] write_every", self.history.write_every, WRITE_EVERY)?;
        let DashboardSettings { hosts, frame_ancestors } = &self.dashboard;
        check_sources("[dashboard] hosts", hosts, DASHBOARD_HOSTS_BYTES_MAX)?;
        let key = "[dashboard] frame_ancestors";
        check_sources(key, frame_ancestors, FRAME_ANCESTORS_BYTES_MAX)?;
        self.history.path.as_deref().map_or(Ok(()), check_history_path)
    }

    /// Whether `address` may be served as things are set, or a sentence that says what to do.
    pub fn check_access(&self, address: &SocketAddr) -> Result<(), String> {
        let is_guarded = self.no_auth || self.token.is_some();
        if is_guarded || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(format!(
            "{address} can be reached from other hosts and nobody is asked for a token: give one \
             with --token-file, listen on a loopback address, or pass --no-auth if everyone there \
             may look"
        ))
    }
}

/// Whether history can be kept at a path. What is there is only seen when it is opened.
fn check_history_path(path: &Path) -> Result<(), Fault> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let wrong = match path.is_absolute() {
        false => "is not absolute: begin it with /",
        true if bytes.ends_with(b"/") || path.file_name().is_none() => {
            "is a folder: name a file in it"
        }
        true if bytes.contains(&0) => "holds a NUL byte: leave it out",
        true => return Ok(()),
    };
    Err(Fault { key: "[history] path", sentence: format!("\"{}\" {wrong}", path.display()) })
}

fn check_duration(
    key: &'static str,
    duration: Duration,
    range: RangeInclusive<Duration>,
) -> Result<(), Fault> {
    if range.contains(&duration) {
        return Ok(());
    }
    let [it, first, last] = [duration, *range.start(), *range.end()].map(duration_text);
    Err(Fault { key, sentence: format!("{it} is out of range: write {first} to {last}") })
}

fn check_count(key: &'static str, count: usize, range: RangeInclusive<usize>) -> Result<(), Fault> {
    if range.contains(&count) {
        return Ok(());
    }
    let (first, last) = (range.start(), range.end());
    Err(Fault { key, sentence: format!("{count} is out of range: write {first} to {last}") })
}

/// Whether origins can be written into a policy.
fn check_sources(key: &'static str, origins: &[Origin], bytes_max: usize) -> Result<(), Fault> {
    let fault = |sentence| Err(Fault { key, sentence });
    if origins.len() > DASHBOARD_ORIGINS_MAX {
        return fault(format!(
            "there are {}: write {DASHBOARD_ORIGINS_MAX} at most",
            origins.len()
        ));
    }
    let bytes: usize = origins.iter().map(|origin| origin.as_str().len()).sum();
    if bytes > bytes_max {
        return fault(format!("they have {bytes} bytes together: write {bytes_max} at most"));
    }
    match origins.iter().find(|origin| origin.is_v6()) {
        Some(origin) => fault(format!(
            "\"{origin}\" is a v6 address, which browsers take in no policy: give it a name"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        let config = |interval| Config { interval, ..Config::default() };
        assert!(config(Duration::from_millis(100)).check().is_ok());
        assert!(config(Duration::from_millis(99)).check().unwrap_err().contains("interval"));
        let config = Config { connections_max: 0, ..Config::default() };
        assert!(config.check().unwrap_err().contains("max_connections"));
    }

    #[test]
    fn what_needs_a_restart_is_all_but_alerts_the_level_and_the_token() {
        let old = Config::default();
        let mut new = Config { log_level: log::LevelFilter::Trace, ..Config::default() };
        new.alerts = Rules::none();
        new.token = Token::new("hush").ok();
        assert_eq!(old.needing_restart(&new), [""; 0]);
        new.history.series_max += 1;
        new.interval *= 2;
        assert_eq!(old.needing_restart(&new), ["interval", "history"]);
    }

    #[test]
    fn only_loopback_is_served_unasked() {
        let config = Config::default();
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(config.check_access(&address.parse().unwrap()).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:1", "[::]:1", "192.168.1.2:1"] {
            let refusal = config.check_access(&address.parse().unwrap()).unwrap_err();
            assert!(refusal.contains("--no-auth"), "{address}");
            let open = Config { no_auth: true, ..Config::default() };
            assert!(open.check_access(&address.parse().unwrap()).is_ok());
            let guarded = Config { token: Token::new("hush").ok(), ..Config::default() };
            assert!(guarded.check_access(&address.parse().unwrap()).is_ok());
        }
    }
}
