//! Where a vitald to watch is: an address as people write it.
//!
//! Pure. Owns the forms: `host`, `host:port`, `[v6]:port`, `http://` and `ws://` with a path
//! prefix, `unix:/path`. Promises: what is refused is one sentence that says what to write, and quotes no
//! password or token that was written into a URL. May import: the configuration's addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::Listen;

/// The port where none is written: vitald's own; of a URL with a scheme, that of HTTP (RFC 9110,
/// section 4.2.1).
const PORT_DEFAULT: u16 = 8485;
const PORT_HTTP: u16 = 80;

/// Bytes of a path prefix; a server need not take a longer target than 2 KiB.
const PREFIX_BYTES_MAX: usize = 1024;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A name or a number, without brackets, and a port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Where to connect to, and what to ask for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where to connect to.
    pub address: Address,
    /// The Host field of the request (RFC 9110, section 7.2).
    pub host: String,
    /// The path of the WebSocket, `/ws` at its end.
    pub path: String,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Address::Tcp(host, port) => {
                match host.contains(':') {
                    true => write!(formatter, "[{host}]:{port}"),
                    false => write!(formatter, "{host}:{port}"),
                }?;
                formatter.write_str(self.path.strip_suffix("/ws").unwrap_or(&self.path))
            }
        }
    }
}

impl Target {
    /// Reads an address.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub fn parse(text: &str) -> Result<Target, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(format!("\"{text}\" has no path: write unix:/path"));
            }
            return Ok(Target::unix(PathBuf::from(path)));
        }
        let (port, rest) = match text.split_once("://") {
            None => (PORT_DEFAULT, text),
            Some((scheme, rest)) => (port_of_scheme(scheme)?, rest),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // Neither is quoted: there may be a password before the one, and a token behind the other.
        if authority.contains('@') {
            return Err(
                "an address has no user name or password: give a token with --token-file, \
                        or in VITALD_TOKEN"
                    .to_owned(),
            );
        }
        if rest.contains(['?', '#']) {
            return Err("an address ends before a ? or #: leave out what follows, and give a \
                        token with --token-file, or in VITALD_TOKEN"
                .to_owned());
        }
        let (host, port) = host_and_port(authority, port).ok_or_else(|| {
            format!(
                "\"{text}\" is not an address: write host:port, [v6]:port, http://host/prefix or \
                 unix:/path"
            )
        })?;
        Ok(Target { path: socket_path(text, path)?, ..Target::tcp(host, port) })
    }

    /// The one that listens there on this host. Of an address that stands for all, that of
    /// loopback.
    ///
    /// # Errors
    /// A sentence, where the port is not known.
    pub fn of_listener(listen: &Listen) -> Result<Target, String> {
        let text = match listen {
            Listen::Unix(path) => return Ok(Target::unix(path.clone())),
            Listen::Tcp(text) => text,
        };
        let mut target = Target::parse(text).map_err(|_| {
            format!("{text} is not an address to connect to: write vitald watch host:port")
        })?;
        if let (Address::Tcp(_, port), Ok(address)) = (&target.address, text.parse::<SocketAddr>())
            && address.ip().is_unspecified()
        {
            let loopback = match address.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            target = Target::tcp(loopback.to_string(), *port);
        }
        Ok(target)
    }

    fn tcp(host: String, port: u16) -> Target {
        // A zone names an interface of this host, and means nothing to the other one.
        let name = host.split('%').next().unwrap_or(&host);
        let bracketed = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        let written = match port {
            PORT_HTTP => bracketed,
            _ => format!("{bracketed}:{port}"),
        };
        Target { address: Address::Tcp(host, port), host: written, path: "/ws".to_owned() }
    }

    fn unix(path: PathBuf) -> Target {
        let host = "localhost".to_owned();
        Target { address: Address::Unix(path), host, path: "/ws".to_owned() }
    }
}

fn port_of_scheme(scheme: &str) -> Result<u16, String> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Ok(PORT_HTTP),
        "https" | "wss" => Err(format!(
            "{scheme} is not spoken by vitald watch, which has no TLS yet: watch a plain port, or \
             reach one by ssh -L 8485:127.0.0.1:8485 HOST and watch 127.0.0.1:8485"
        )),
        _ => Err(format!("\"{scheme}://\" is not a scheme to watch by: write http://host:port")),
    }
}

/// The parts of `host:port`, without brackets.
fn host_and_port(authority: &str, port_default: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let (number, zone) = host.split_once('%').unwrap_or((host, "0"));
            number.parse::<Ipv6Addr>().ok()?;
            is_name(zone).then_some((host, port))?
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            // What can only be meant as a number is not left to a resolver to find wrong.
            let is_numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let is_right =
                if is_numeric { host.parse::<Ipv4Addr>().is_ok() } else { is_name(host) };
            is_right.then_some((host, port))?
        }
    };
    let port = match port.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
        None if port.is_empty() => port_default,
        _ => return None,
    };
    (port != 0).then(|| (host.to_owned(), port))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// The path of the WebSocket below a prefix.
fn socket_path(text: &str, prefix: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    if prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(is_plain) {
        return Err(format!(
            "\"{text}\" has a path that no URL has: write other letters as %XX, {PREFIX_BYTES_MAX} \
             bytes at most"
        ));
    }
    let prefix = prefix.trim_end_matches('/');
    Ok(match prefix.ends_with("/ws") {
        true => prefix.to_owned(),
        false => format!("{prefix}/ws"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> (String, String, String) {
        let target = Target::parse(text).unwrap();
        (target.to_string(), target.host, target.path)
    }

    #[test]
    fn each_form_says_where_to_connect_and_what_to_ask_for() {
        for (text, address, host, path) in [
            ("pi", "pi:8485", "pi:8485", "/ws"),
            ("pi.local:81", "pi.local:81", "pi.local:81", "/ws"),
            ("10.0.0.7", "10.0.0.7:8485", "10.0.0.7:8485", "/ws"),
            ("[::1]:81", "[::1]:81", "[::1]:81", "/ws"),
            ("[fe80::1%eth0]", "[fe80::1%eth0]:8485", "[fe80::1]:8485", "/ws"),
            ("http://pi", "pi:80", "pi", "/ws"),
            ("HTTP://pi:8485/", "pi:8485", "pi:8485", "/ws"),
            ("http://h/vitald/", "h:80/vitald", "h", "/vitald/ws"),
            ("http://h/vitald", "h:80/vitald", "h", "/vitald/ws"),
            ("ws://h:1/a/b%20c/", "h:1/a/b%20c", "h:1", "/a/b%20c/ws"),
            ("ws://[::1]/ws", "[::1]:80", "[::1]", "/ws"),
            ("ws://h/vitald/ws", "h:80/vitald", "h", "/vitald/ws"),
            ("h:81/vitald/", "h:81/vitald", "h:81", "/vitald/ws"),
            ("unix:/run/vitald.sock", "unix:/run/vitald.sock", "localhost", "/ws"),
        ] {
            let expected = (address.to_owned(), host.to_owned(), path.to_owned());
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write() {
        let long = format!("http://h/{}", "x".repeat(PREFIX_BYTES_MAX));
        for text in [
            "",
            ":8485",
            "8485",
            "h:",
            "h:0",
            "h:70000",
            "h:+1",
            "::1",
            "[::1",
            "[::g]:1",
            "[::1]x",
            "256.0.0.1",
            "a b",
            "h\n",
            "h:1:2",
            "http://",
            "http:///x",
            "ftp://h",
            "unix:",
            "http://h/a b",
            "http://h/\u{e9}",
            "[::1%]:1",
            "[::1%a b]:1",
            &long,
        ] {
            let sentence = Target::parse(text).unwrap_err();
            assert!(sentence.contains("write "), "{text}: {sentence}");
        }
    }

    #[test]
    fn tls_is_refused_with_a_way_round() {
        for text in ["https://h", "wss://h/ws", "HTTPS://h"] {
            assert!(Target::parse(text).unwrap_err().contains("ssh -L"), "{text}");
        }
    }

    #[test]
    fn a_refusal_quotes_no_secret_of_a_url() {
        for text in ["http://me:hush@h/", "h/ws?token=hush", "http://h#hush", "me:hush@h"] {
            let sentence = Target::parse(text).unwrap_err();
            assert!(!sentence.contains("hush") && sentence.contains("--token-file"), "{sentence}");
        }
    }

    #[test]
    fn a_listener_is_reached_where_it_listens_or_on_loopback() {
        let reached = |text: &str| Target::of_listener(&Listen::parse(text).unwrap());
        for (listen, expected) in [
            ("127.0.0.1:8485", "127.0.0.1:8485"),
            ("0.0.0.0:8485", "127.0.0.1:8485"),
            ("[::]:81", "[::1]:81"),
            ("localhost:82", "localhost:82"),
            ("unix:/run/v", "unix:/run/v"),
        ] {
            assert_eq!(reached(listen).unwrap().to_string(), expected);
        }
        assert!(reached("127.0.0.1:0").unwrap_err().contains("write vitald watch"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in ".{0,40}", scheme in "(http://|ws://|unix:|)") {
            if let Ok(target) = Target::parse(&(scheme + &text)) {
                prop_assert!(target.path.ends_with("/ws") && target.path.is_ascii());
                prop_assert!(target.host.is_ascii() && !target.host.contains([' ', '\r', '\n']));
            }
        }
    }
}
