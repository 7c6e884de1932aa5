//! An address to listen on, as an operator writes it.
//!
//! Promises: one that is accepted has the form of an address, and can be bound as far as its form
//! tells. May import: the engine's addresses.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use super::parse_host;
use crate::engine::net::ListenAddress;

/// Bytes of a Unix listener's path: those of `sun_path`, without the NUL behind it (unix(7)).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

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
            check_socket_path(path)?;
            return Ok(Listen::Unix(PathBuf::from(path)));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or_default();
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        // What can only be meant as a number is not left to a resolver to find wrong.
        let is_numeric = is_bracketed || host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let is_wrong = match is_numeric {
            true => text.parse::<SocketAddr>().is_err(),
            false => {
                host.contains(':') || parse_host(host).is_err() || port.parse::<u16>().is_err()
            }
        };
        if is_wrong {
            return Err(format!(
                "\"{text}\" is not an address: write host:port, [v6]:port or unix:/path"
            ));
        }
        Ok(Listen::Tcp(text.to_owned()))
    }

    /// Whether only one of the two can be bound, as far as that can be told without a resolver. Of
    /// port 0 each gets a free one.
    pub(super) fn is_same(&self, other: &Listen) -> bool {
        match (self, other) {
            (Listen::Tcp(one), Listen::Tcp(other)) if !one.ends_with(":0") => {
                match (one.parse::<SocketAddr>(), other.parse::<SocketAddr>()) {
                    (Ok(one), Ok(other)) => one == other,
                    _ => one.eq_ignore_ascii_case(other),
                }
            }
            (Listen::Unix(one), Listen::Unix(other)) => one == other,
            _ => false,
        }
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

/// Whether a Unix listener can be bound at a path, which must say the same whatever folder vitald
/// is started in.
fn check_socket_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(format!("\"unix:{path}\" names no file by its whole path: write unix:/path"));
    }
    if path.len() > SOCKET_PATH_BYTES_MAX {
        return Err(format!(
            "the path of the socket has {} bytes: write {SOCKET_PATH_BYTES_MAX} at most",
            path.len()
        ));
    }
    match path.contains('\0') {
        true => Err("the path of the socket holds a NUL byte: leave it out".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
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
            "unix:run/vitald.sock",
            "unix:/run/",
            "unix:/",
            "*:80",
            "a b:80",
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
    fn a_socket_has_a_path_that_the_kernel_takes() {
        let path = |bytes: usize| format!("unix:/{}", "x".repeat(bytes - 1));
        let longest = path(SOCKET_PATH_BYTES_MAX);
        assert!(Listen::parse(&longest).is_ok());
        let socket = std::os::unix::net::SocketAddr::from_pathname;
        assert!(socket(&longest["unix:".len()..]).is_ok());
        let longer = path(SOCKET_PATH_BYTES_MAX + 1);
        assert!(socket(&longer["unix:".len()..]).is_err());
        let sentence = "the path of the socket has 108 bytes: write 107 at most";
        assert_eq!(Listen::parse(&longer), Err(sentence.to_owned()));
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        let is_same = |one, other| {
            let [one, other] = [one, other].map(|text| Listen::parse(text).unwrap());
            let listen = vec![one, Listen::parse("127.0.0.1:9").unwrap(), other];
            Config { listen, ..Config::default() }.check().is_err()
        };
        for (one, other) in
            [("[::1]:80", "[0:0::1]:80"), ("Box:80", "box:80"), ("unix:/a//b", "unix:/a/b")]
        {
            assert!(is_same(one, other), "{one} {other}");
        }
        for (one, other) in [("[::1]:0", "[::1]:0"), ("box:80", "box:81"), ("unix:/a", "unix:/b")] {
            assert!(!is_same(one, other), "{one} {other}");
        }
    }
}
