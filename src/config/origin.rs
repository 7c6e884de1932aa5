//! An origin: the part of an address that browsers tell servers apart by; and the host in one.
//!
//! Promises: what is one is in the form in which browsers send it (RFC 6454, section 6.2), and has
//! no character that would mean something else in a header. Imports nothing.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of a host name (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// `http` or `https`, a host, and a port unless it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Reads an origin. Letters become small, and a port goes that the scheme has anyway.
    ///
    /// # Errors
    /// A sentence that says what an origin looks like.
    pub fn parse(text: &str) -> Result<Origin, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not an origin: write http:// or https://, a host and a port, as in \
                 http://pi:8485, and nothing behind them"
            )
        };
        let small = text.to_ascii_lowercase();
        let (scheme, authority) = small.split_once("://").ok_or_else(wrong)?;
        let port_default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(wrong()),
        };
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'))
        {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        if !is_host(host) {
            return Err(wrong());
        }
        match port.map(read_port) {
            None => Ok(Origin(format!("{scheme}://{host}"))),
            Some(Some(port)) if port == port_default => Ok(Origin(format!("{scheme}://{host}"))),
            Some(Some(port)) => Ok(Origin(format!("{scheme}://{host}:{port}"))),
            Some(None) => Err(wrong()),
        }
    }

    /// Whether its host is a v6 address, which has no place in a policy (CSP 3, section 2.3.1).
    pub fn is_v6(&self) -> bool {
        self.0.ends_with(']') || self.0.contains("]:")
    }

    /// As browsers send it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Reads a host: a name or an IP address, without a port. A dot at the end of a name goes, which
/// says no more than its absence.
///
/// # Errors
/// A sentence that says what a host looks like.
pub fn parse_host(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    // Of a name that begins with a dot a whole domain would be expected.
    let is_name = || is_host(name) && name.split('.').all(|label| !label.is_empty());
    match is_name() || text.parse::<Ipv6Addr>().is_ok() {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "\"{text}\" is not a host: write a name or an IP address, as in box.example, without \
             http:// and port"
        )),
    }
}

fn read_port(text: &str) -> Option<u16> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| is_digits && port > 0)
}

fn is_host(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok());
    }
    // What ends in a number is one, or browsers refuse it.
    let is_numeric = host
        .rsplit('.')
        .next()
        .is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match is_numeric {
        true => host.parse::<Ipv4Addr>().is_ok(),
        false => !host.is_empty() && host.len() <= NAME_BYTES_MAX && host.bytes().all(is_letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_send_it() {
        for (text, origin) in [
            ("http://pi:8485", "http://pi:8485"),
            ("HTTPS://Home.Example", "https://home.example"),
            ("https://home.example:443", "https://home.example"),
            ("http://home.example:443", "http://home.example:443"),
            ("http://192.168.1.2:80", "http://192.168.1.2"),
            ("http://[FE80::1]:1", "http://[fe80::1]:1"),
            ("http://[::1]", "http://[::1]"),
            ("http://box_1.local:08485", "http://box_1.local:8485"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), origin);
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_alone() {
        for (text, host) in [
            ("box", "box"),
            ("Box_1.Example.", "Box_1.Example"),
            ("192.168.1.2", "192.168.1.2"),
            ("[fe80::1]", "[fe80::1]"),
            ("fe80::1", "fe80::1"),
        ] {
            assert_eq!(parse_host(text).as_deref(), Ok(host));
        }
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for text in [
            "",
            ".",
            "*",
            "*.example",
            ".example",
            "a..b",
            "a b",
            "http://box",
            "box:8485",
            "[fe80::1]:8485",
            "[box]",
            "box/",
            "user@box",
            "256.1.1.1",
            "1.2.3",
            "b\u{f6}x",
            "box\r\n",
            &long,
        ] {
            let sentence = format!(
                "\"{text}\" is not a host: write a name or an IP address, as in box.example, \
                 without http:// and port"
            );
            assert_eq!(parse_host(text), Err(sentence));
        }
    }

    #[test]
    fn a_v6_address_is_told_apart() {
        for (text, is_v6) in
            [("http://[::1]", true), ("https://[::1]:1", true), ("http://1.2.3.4:1", false)]
        {
            assert_eq!(Origin::parse(text).unwrap().is_v6(), is_v6, "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_with_a_word_about_what_is_one() {
        let long = format!("http://{}", "x".repeat(NAME_BYTES_MAX + 1));
        for text in [
            "",
            "*",
            "null",
            "pi",
            "pi:8485",
            "ws://pi",
            "ftp://pi",
            "http://",
            "http://pi/",
            "http://pi/vitald",
            "http://pi?",
            "http://user@pi",
            "http://pi:",
            "http://pi:0",
            "http://pi:65536",
            "http://pi:+1",
            "http://pi:1:2",
            "http://*.example",
            "http://a b",
            "http://a;script-src",
            "http://a,b",
            "http://a'b",
            "http://p\u{ef}",
            "http://pi\r\nX: y",
            "http://[::1",
            "http://[::g]",
            "http://::1",
            "http://256.1.1.1",
            "http://1.2.3",
            &long,
        ] {
            assert!(Origin::parse(text).unwrap_err().contains("http://pi:8485"), "{text}");
        }
    }
}
