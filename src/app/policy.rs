//! What the configuration says of the page: which servers it may show beside its own, and which
//! pages may frame it.
//!
//! Owns the Content-Security-Policy in force. The page's bytes are the same whatever is configured:
//! browsers are told by the policy, and the page itself by `/dashboard.json`. Imports the page's
//! own policy.

use serde::Serialize;

use super::assets::PAGE;
use super::json;
use super::protocol::write_json;
use crate::config::{DashboardSettings, Origin};
use crate::engine::connection::frame::{Frame, Kind};
use crate::engine::connection::response::Response;

/// The policy of the page, and what it is told.
#[derive(Debug)]
pub struct Policy {
    text: String,
    hosts: Vec<Origin>,
}

#[derive(Serialize)]
struct Told<'a> {
    hosts: Vec<&'a str>,
}

impl Policy {
    /// The policy that `settings` make.
    pub fn new(settings: &DashboardSettings) -> Policy {
        let mut text = PAGE.content_security_policy.to_owned();
        let hosts = settings.hosts.iter().flat_map(connections);
        add_sources(&mut text, "connect-src 'self'", "connect-src 'self'", hosts);
        if !settings.frame_ancestors.is_empty() {
            // 'none' stands alone or not at all (CSP 3, section 6.4.2).
            let pages = settings.frame_ancestors.iter().map(ToString::to_string);
            add_sources(&mut text, "frame-ancestors 'none'", "frame-ancestors", pages);
        }
        Policy { text, hosts: settings.hosts.clone() }
    }

    /// The value of Content-Security-Policy.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the page is told.
    pub fn answer(&self) -> Response {
        let hosts = self.hosts.iter().map(Origin::as_str).collect();
        json(Frame::new(Kind::Plain, |out| write_json(&Told { hosts }, out)))
    }
}

/// What a page asks of another server: answers, and a WebSocket.
fn connections(host: &Origin) -> [String; 2] {
    let host = host.as_str();
    // https becomes wss.
    [host.to_owned(), host.replacen("http", "ws", 1)]
}

/// Puts `directive` with `sources` in the place of `old`, which stands in the policy once.
fn add_sources(
    text: &mut String,
    old: &str,
    directive: &str,
    sources: impl Iterator<Item = String>,
) {
    debug_assert_eq!(text.matches(old).count(), 1);
    let sources = sources.map(|source| format!(" {source}"));
    *text = text.replacen(old, &(directive.to_owned() + &sources.collect::<String>()), 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(texts: &[&str]) -> Vec<Origin> {
        texts.iter().map(|text| Origin::parse(text).unwrap()).collect()
    }

    #[test]
    fn without_hosts_or_frames_the_policy_is_the_pages_own() {
        let policy = Policy::new(&DashboardSettings::default());
        assert_eq!(policy.text(), PAGE.content_security_policy);
        assert!(policy.text().ends_with("frame-ancestors 'none'"));
        assert_eq!(policy.answer().body().unwrap().as_slice(), b"{\"hosts\":[]}");
    }

    #[test]
    fn a_host_may_be_asked_and_connected_to_and_a_page_that_frames_is_named() {
        let policy = Policy::new(&DashboardSettings {
            hosts: origins(&["http://pi:8485", "https://home.example"]),
            frame_ancestors: origins(&["https://a.example", "http://b:1"]),
        });
        let part = "; connect-src 'self' http://pi:8485 ws://pi:8485 https://home.example \
                    wss://home.example; ";
        assert!(policy.text().contains(part), "{}", policy.text());
        assert!(policy.text().ends_with("; frame-ancestors https://a.example http://b:1"));
        let own: Vec<&str> = PAGE.content_security_policy.split("; ").collect();
        let same = policy.text().split("; ").zip(&own).filter(|(one, other)| one == *other).count();
        assert_eq!(same, own.len() - 2, "nothing else changes: {}", policy.text());
        let told = b"{\"hosts\":[\"http://pi:8485\",\"https://home.example\"]}";
        assert_eq!(policy.answer().body().unwrap().as_slice(), told);
    }
}
