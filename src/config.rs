//! What the operator has said, checked.
//!
//! A [`Config`] is plain data with defaults; [`Config::check`] says in one sentence what is wrong
//! with it. Where values come from (flags, environment) is `cli`'s business.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::net::ListenAddress;

/// Shortest sampling interval: below it, counters of 10 ms resolution give no meaningful rates.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Longest sampling interval.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// An address as an operator writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `host:port` or `[v6]:port`.
    Tcp(String),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Listen {
    /// Reads an address.
    ///
    /// # Errors
    /// A sentence that says what an address looks like.
    pub fn parse(text: &str) -> Result<Listen, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(format!("\"{text}\" has no path: write unix:/path"));
            }
            return Ok(Listen::Unix(PathBuf::from(path)));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or_default();
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        // What can only be meant as a number is not left to a resolver to find wrong.
        let is_numeric = is_bracketed || host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let is_wrong = match is_numeric {
            true => text.parse::<SocketAddr>().is_err(),
            false => host.contains(':') || port.parse::<u16>().is_err(),
        };
        if is_wrong {
            return Err(format!(
                "\"{text}\" is not an address: write host:port, [v6]:port or unix:/path"
            ));
        }
        Ok(Listen::Tcp(text.to_owned()))
    }

    /// The addresses that it stands for.
    ///
    /// # Errors
    /// A sentence, when a name cannot be resolved.
    pub fn resolve(&self) -> Result<Vec<ListenAddress>, String> {
        match self {
            Listen::Unix(path) => Ok(vec![ListenAddress::Unix(path.clone())]),
            Listen::Tcp(text) => {
                let addresses = text
                    .to_socket_addrs()
                    .map_err(|error| format!("the name cannot be resolved: {error}"))?;
                Ok(addresses.map(ListenAddress::Tcp).collect())
            }
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(text) => formatter.write_str(text),
            Listen::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// The base sampling interval.
    pub interval: Duration,
    /// Serve addresses beyond loopback although nobody is asked for a token.
    pub no_auth: bool,
    /// Connections of every kind at a time.
    pub connections_max: usize,
    /// Host names by which requests may address this server, besides its own.
    pub allow_hosts: Vec<String>,
    /// Origins of foreign pages that may open a WebSocket.
    pub allow_origins: Vec<String>,
    /// What is logged.
    pub log_level: log::LevelFilter,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![Listen::Tcp("127.0.0.1:8485".to_owned())],
            interval: Duration::from_secs(1),
            no_auth: false,
            connections_max: 256,
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            log_level: log::LevelFilter::Info,
        }
    }
}

impl Config {
    /// Whether the values can be served, or a sentence that names the one that cannot.
    pub fn check(&self) -> Result<(), String> {
        if self.listen.is_empty() {
            return Err("there is no address to listen on".to_owned());
        }
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&self.interval) {
            return Err(format!(
                "interval is {:?}: it must be between 100ms and 1h",
                self.interval
            ));
        }
        if self.connections_max == 0 || self.connections_max > 1_000_000 {
            return Err(format!(
                "max-connections is {}: it must be between 1 and 1000000",
                self.connections_max
            ));
        }
        Ok(())
    }

    /// Whether `address` may be served as things are set, or a sentence that says what to do.
    pub fn check_access(&self, address: &SocketAddr) -> Result<(), String> {
        if self.no_auth || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(format!(
            "{address} can be reached from other hosts and nobody is asked for a token: listen on \
             a loopback address, or pass --no-auth if everyone there may look"
        ))
    }
}

/// Reads a duration as people write it: `500ms`, `1s`, `2m`, `1h`, `1.5s`.
///
/// # Errors
/// A sentence that says what a duration looks like.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = number.parse::<f64>().unwrap_or(f64::NAN) * unit_seconds;
    match Duration::try_from_secs_f64(seconds) {
        // To the nearest microsecond, so that 0.1 s is 100 ms.
        Ok(duration) if is_plain => {
            Ok(Duration::from_micros((duration.as_nanos() as f64 / 1000.0).round() as u64))
        }
        _ => Err(format!("\"{text}\" is not a duration: write 500ms, 1s, 2m or 1h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["127.0.0.1:8485", "[::1]:0", "localhost:80", "unix:/run/vitald.sock"] {
            assert_eq!(Listen::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "8485",
            "127.0.0.1",
            "::1:80",
            ":80",
            "h:70000",
            "unix:",
            "",
            "256.0.0.1:80",
            "[::g]:80",
            "[]:80",
            "1.2.3:80",
        ] {
            assert!(Listen::parse(text).unwrap_err().contains("write "), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (text, milliseconds) in
            [("100ms", 100), ("1s", 1000), ("1.5s", 1500), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "1", "s", "-1s", "1d", "1 s", "infs", "1e3s", "nan s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        let config = |interval| Config { interval, ..Config::default() };
        assert!(config(Duration::from_millis(100)).check().is_ok());
        assert!(config(Duration::from_millis(99)).check().unwrap_err().contains("interval"));
        let config = Config { connections_max: 0, ..Config::default() };
        assert!(config.check().unwrap_err().contains("max-connections"));
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
        }
    }
}
