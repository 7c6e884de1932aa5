//! Who may ask.
//!
//! Two checks keep foreign web pages out. A request's Host must name this server, so that a page
//! whose DNS name has been pointed at us (DNS rebinding) gets nothing. The Origin of a WebSocket
//! handshake, where there is one, must be the page's own server, because browsers let any page
//! open a WebSocket anywhere (RFC 6455, section 10.2). Pure functions of strings.

/// The names by which this server may be addressed, and the pages that may open a WebSocket.
#[derive(Clone, Debug)]
pub struct Access {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Access {
    /// Allows `hosts` and `origins` besides what is always allowed, and the machine's own name.
    pub fn new(hosts: &[String], origins: &[String], machine: Option<&str>) -> Access {
        let mut hosts = hosts.to_vec();
        if let Some(machine) = machine {
            hosts.push(machine.to_owned());
            hosts.push(format!("{machine}.local"));
        }
        Access { hosts, origins: origins.to_vec() }
    }

    /// Whether a Host field names this server: an IP literal, a loopback name, the machine's name
    /// or an allowed one, with any port.
    pub fn allows_host(&self, authority: &str) -> bool {
        let host = without_port(authority);
        let name = host.strip_suffix('.').unwrap_or(host);
        is_ip_literal(host)
            || name.eq_ignore_ascii_case("localhost")
            || ends_with_ignoring_case(name, ".localhost")
            || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    /// Whether a page of `origin` may open a WebSocket to the server it calls `authority`. The
    /// scheme may differ: a proxy in front may speak TLS.
    pub fn allows_origin(&self, origin: &str, authority: &str) -> bool {
        if self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
            return true;
        }
        let Some((scheme, host)) = origin.split_once("://") else { return false };
        matches!(scheme, "http" | "https")
            && without_default_port(host).eq_ignore_ascii_case(without_default_port(authority))
    }
}

fn without_port(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or(authority);
    }
    authority.split(':').next().unwrap_or(authority)
}

fn without_default_port(authority: &str) -> &str {
    let stripped = authority.strip_suffix(":80").or_else(|| authority.strip_suffix(":443"));
    stripped.unwrap_or(authority)
}

fn is_ip_literal(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match v6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

fn ends_with_ignoring_case(text: &str, end: &str) -> bool {
    let at = text.len().checked_sub(end.len());
    at.and_then(|at| text.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let origins = ["https://home.example".to_owned()];
        Access::new(&["vitals.example".to_owned()], &origins, Some("pi"))
    }

    #[test]
    fn a_host_is_a_literal_a_loopback_name_ours_or_allowed() {
        for host in [
            "127.0.0.1",
            "192.168.1.7:8485",
            "[::1]:8485",
            "[fe80::1]",
            "localhost",
            "LOCALHOST:1",
            "a.localhost",
            "pi",
            "pi.local:8485",
            "PI.",
            "vitals.example:443",
        ] {
            assert!(access().allows_host(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "pi.evil.example",
            "notlocalhost",
            "",
            "[::1",
            "[evil]",
            "@127.0.0.1",
        ] {
            assert!(!access().allows_host(host), "{host}");
        }
    }

    #[test]
    fn an_origin_is_the_requests_own_or_allowed() {
        for (origin, host) in [
            ("http://127.0.0.1:8485", "127.0.0.1:8485"),
            ("https://pi.local", "pi.local"),
            ("https://pi.local", "pi.local:443"),
            ("http://PI.local:80", "pi.LOCAL"),
            ("https://home.example", "127.0.0.1:8485"),
        ] {
            assert!(access().allows_origin(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "127.0.0.1:8485"),
            ("http://127.0.0.1:1", "127.0.0.1:2"),
            ("null", "127.0.0.1:8485"),
            ("file://127.0.0.1", "127.0.0.1"),
            ("https://home.example.evil", "127.0.0.1"),
            ("", ""),
        ] {
            assert!(!access().allows_origin(origin, host), "{origin} {host}");
        }
    }
}
