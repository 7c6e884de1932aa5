//! What a token is known by, and what a session is.
//!
//! Owns two digests of the token and not the token itself. A session is nothing that is remembered:
//! its cookie holds a text that follows from the token. So sessions outlive a restart, and another
//! token ends them all. The text is no token: whoever gets hold of it has the sessions' access,
//! without what else the token may open, and cannot work back to a token that is random. Everything
//! is compared in a time that does not hang on where it differs. Pure; imports nothing of the crate.

use std::fmt;
use std::fmt::Write as _;
use std::hint::black_box;

use sha2::{Digest as _, Sha256};

/// Two uses of one token have different digests; neither can be had from the other.
const TOKEN: &[u8] = b"vitald token 1\0";
const SESSION: &[u8] = b"vitald session 1\0";

type Digest = [u8; 32];

/// What those who may come can show.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    token: Digest,
    /// 64 digits.
    session: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(..)")
    }
}

impl Credentials {
    /// Those of a token.
    pub fn new(token: &str) -> Credentials {
        let mut session = String::with_capacity(64);
        for byte in digest(SESSION, token) {
            // Writing to memory does not fail.
            let _ = write!(session, "{byte:02x}");
        }
        Credentials { token: digest(TOKEN, token), session }
    }

    /// Whether this is the token.
    pub fn is_token(&self, shown: &str) -> bool {
        is_same(&self.token, &digest(TOKEN, shown))
    }

    /// Whether this is the text of a session.
    pub fn is_session(&self, shown: &str) -> bool {
        is_same(self.session.as_bytes(), shown.as_bytes())
    }

    /// The text of a session.
    pub fn session(&self) -> &str {
        &self.session
    }
}

fn digest(label: &[u8], token: &str) -> Digest {
    Sha256::new().chain_update(label).chain_update(token).finalize().into()
}

/// Lengths are no secret.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && differences(one.iter().zip(other)) == 0
}

/// The bits in which any of the pairs differ. Looks at every pair, wherever they do.
fn differences<'a>(pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> u8 {
    // Or the compiler might see that the rest does not matter once there is a difference.
    pairs.fold(0, |found, (one, other)| black_box(found | (one ^ other)))
}

/// The name of the session's cookie. Browsers give a host's cookies to all its ports, so the name
/// says which is meant: the port as the browser has it, if it has one.
pub fn cookie_name(authority: &str) -> String {
    match port(authority) {
        Some(port) => format!("vitald-{port}"),
        None => "vitald".to_owned(),
    }
}

fn port(authority: &str) -> Option<&str> {
    let (_, port) = authority.rsplit_once(':')?;
    let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    is_port.then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_compared_to_the_last_wherever_they_differ() {
        let right = digest(TOKEN, "right");
        for place in 0..right.len() {
            let mut wrong = right;
            wrong[place] ^= 1;
            let mut seen = 0;
            let pairs = right.iter().zip(&wrong).inspect(|_| seen += 1);
            assert_ne!(differences(pairs), 0);
            assert_eq!(seen, right.len(), "differing at {place}");
        }
    }

    #[test]
    fn a_token_and_its_session_are_known_and_nothing_else_is() {
        let credentials = Credentials::new("hush");
        assert!(credentials.is_token("hush"));
        let session = credentials.session().to_owned();
        assert!(credentials.is_session(&session) && session.len() == 64);
        for other in ["", "hus", "hush ", "hushh", "Hush", &session] {
            assert!(!credentials.is_token(other), "{other:?}");
        }
        for other in ["", "hush", &session[1..], &format!("{session}0"), &session.to_uppercase()] {
            assert!(!credentials.is_session(other), "{other:?}");
        }
    }

    #[test]
    fn sessions_follow_from_the_token_alone() {
        // printf 'vitald session 1\0hush' | sha256sum
        let text = "2e6e432e41d20e3977cc49c569cf9f2b6f29fa43ac206a49aa04af08788b79bb";
        assert_eq!(Credentials::new("hush").session(), text);
        assert_ne!(Credentials::new("hush2").session(), text);
        assert!(!Credentials::new("hush2").is_session(text));
    }

    #[test]
    fn what_is_printed_says_nothing() {
        let credentials = Credentials::new("hush");
        let printed = format!("{credentials:?}");
        assert!(!printed.contains(credentials.session()) && printed.len() < 20);
    }

    #[test]
    fn a_cookies_name_has_the_port_and_nothing_of_what_a_peer_may_write() {
        for (authority, name) in [
            ("pi:8485", "vitald-8485"),
            ("[::1]:80", "vitald-80"),
            ("pi", "vitald"),
            ("[::1]", "vitald"),
            ("", "vitald"),
            ("pi:", "vitald"),
            ("pi:1;x", "vitald"),
            ("pi:123456", "vitald"),
        ] {
            assert_eq!(cookie_name(authority), name);
        }
    }
}
