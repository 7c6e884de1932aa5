//! Who may ask.
//!
//! Two checks keep foreign web pages out. A request's Host must name this server, so that a page
//! whose DNS name has been pointed at us (DNS rebinding) gets nothing. The Origin of a WebSocket
//! handshake, where there is one, must be the page's own server, because browsers let any page
//! open a WebSocket anywhere (RFC 6455, section 10.2). A third asks for a token, where there is
//! one: in Authorization, in a session's cookie, or in the query of a WebSocket or an event stream,
//! whose clients in browsers can send no fields. Any that is right is enough. Owns what is allowed;
//! what has been attempted is in `attempts`. Judges requests and touches nothing.

pub mod attempts;
mod credentials;
mod grant;

use std::sync::Arc;

use form_urlencoded::parse;

pub use self::credentials::Credentials;
use self::credentials::cookie_name;
pub use self::grant::Grant;
use crate::config::{Origin, Token};
use crate::engine::connection::head::Request;

/// How long a browser keeps a session: 30 days, so that a screen on a wall signs in again after a
/// power cut. It ends before that with another token.
const SESSION_S: u32 = 30 * 24 * 60 * 60;

/// The names by which this server may be addressed, the pages from elsewhere that may connect and
/// read, and what is to be shown.
#[derive(Clone, Debug)]
pub struct Access {
    hosts: Vec<String>,
    origins: Vec<Arc<str>>,
    credentials: Option<Credentials>,
}

/// What a request has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Neither a token nor a session.
    Nothing,
    /// What is not right.
    Wrong {
        /// Whether a session was among it.
        by_cookie: bool,
    },
    /// The token or a session.
    Right,
}

impl Access {
    /// Allows `hosts` and `origins` besides what is always allowed, and the machine's own name.
    pub fn new(hosts: &[String], origins: &[Origin], machine: Option<&str>) -> Access {
        let mut hosts = hosts.to_vec();
        if let Some(machine) = machine {
            hosts.push(machine.to_owned());
            hosts.push(format!("{machine}.local"));
        }
        let origins = origins.iter().map(|origin| Arc::from(origin.as_str())).collect();
        Access { hosts, origins, credentials: None }
    }

    /// The same for those who show `token`; for everybody without one.
    #[must_use]
    pub fn with_token(mut self, token: Option<&Token>) -> Access {
        self.set_token(token);
        self
    }

    /// Changes what is to be shown; false if it is the same as before.
    pub fn set_token(&mut self, token: Option<&Token>) -> bool {
        let credentials = token.map(|token| Credentials::new(token.secret().reveal()));
        let is_other = self.credentials != credentials;
        self.credentials = credentials;
        is_other
    }

    /// What is to be shown, if anything is.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// What a request shows, if anything is to be shown; `takes_query` says whether it may be in
    /// its query.
    pub fn shown(&self, request: &Request<'_>, takes_query: bool) -> Option<Shown> {
        let credentials = self.credentials.as_ref()?;
        let (mut is_right, mut is_any) = (false, false);
        if let Some(token) = bearer(request) {
            (is_right, is_any) = (credentials.is_token(token), true);
        }
        if takes_query {
            for (_, token) in parse(request.query().as_bytes()).filter(|(key, _)| key == "token") {
                (is_right, is_any) = (is_right | credentials.is_token(&token), true);
            }
        }
        let mut by_cookie = false;
        for session in sessions(request) {
            (is_right, by_cookie) = (is_right | credentials.is_session(session), true);
        }
        Some(match (is_right, is_any || by_cookie) {
            (true, _) => Shown::Right,
            (false, true) => Shown::Wrong { by_cookie },
            (false, false) => Shown::Nothing,
        })
    }

    /// What a page of the request's origin may read of the answer.
    pub fn grant(&self, origin: Option<&str>) -> Grant {
        let allowed = origin.and_then(|origin| self.allowed(origin));
        Grant { is_varying: !self.origins.is_empty(), origin: allowed.cloned() }
    }

    fn allowed(&self, origin: &str) -> Option<&Arc<str>> {
        self.origins.iter().find(|allowed| allowed.eq_ignore_ascii_case(origin))
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
        self.allowed(origin).is_some() || self.is_own_origin(origin, authority)
    }

    /// Whether `origin` is that of the server's own page, which calls it `authority`.
    pub fn is_own_origin(&self, origin: &str, authority: &str) -> bool {
        let Some((scheme, host)) = origin.split_once("://") else { return false };
        matches!(scheme, "http" | "https")
            && without_default_port(host).eq_ignore_ascii_case(without_default_port(authority))
    }
}

/// The bearer token of a request (RFC 6750, section 2.1). Other schemes may be a proxy's.
pub fn bearer<'a>(request: &Request<'a>) -> Option<&'a str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What a request shows as its session, in however many cookies.
fn sessions<'a>(request: &Request<'a>) -> impl Iterator<Item = &'a str> {
    let name = cookie_name(request.host());
    let cookies: Vec<&str> = request.values("cookie").collect();
    let pairs = cookies.into_iter().flat_map(|cookies| cookies.split(';'));
    pairs.filter_map(move |pair| {
        let (key, session) = pair.trim().split_once('=')?;
        (key == name).then_some(session)
    })
}

/// The Set-Cookie field that begins a session. It is for connections with TLS alone where the page
/// has come over one, as its Origin says, which browsers send with every POST.
pub fn cookie(request: &Request<'_>, session: &str) -> String {
    let is_secure = request.header("origin").is_some_and(|origin| origin.starts_with("https://"));
    let secure = if is_secure { "; Secure" } else { "" };
    set_cookie(request, session, SESSION_S) + secure
}

/// The Set-Cookie field that ends a session.
pub fn clearing(request: &Request<'_>) -> String {
    set_cookie(request, "", 0)
}

fn set_cookie(request: &Request<'_>, value: &str, max_age_s: u32) -> String {
    let name = cookie_name(request.host());
    format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict")
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
        let origins = [Origin::parse("https://home.example").unwrap()];
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
