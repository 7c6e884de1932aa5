//! Which extension a WebSocket handshake agrees on: permessage-deflate (RFC 7692), or none.
//!
//! [`agree`] reads what a client offers (RFC 6455, section 9.1) and takes the first offer that can
//! be kept. We ask both sides to forget each message when the next begins, so that a connection
//! holds no window: one compressor and one inflater serve all. A client that can look back only so
//! far is promised just that: what we compress refers to nothing outside its own message, so a
//! message that is not longer than the window needs no more, and a longer one goes as it is, which
//! may be done with any message (section 6). Imports nothing of the crate.

use std::fmt;

/// How far back a client can look in what it inflates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The base-2 logarithm of its bytes: 8 to 15 (RFC 7692, section 7.1.2.1).
    bits: u8,
}

impl Window {
    /// The longest that DEFLATE knows: 32 KiB.
    pub const LONGEST: Window = Window { bits: 15 };

    /// That of `bits`, the base-2 logarithm of its bytes: 8 to 15, else `None`.
    pub(super) fn of_bits(bits: u8) -> Option<Window> {
        (8..=15).contains(&bits).then_some(Window { bits })
    }

    /// Whether a message of so many bytes may be compressed for this client. The compressor keeps
    /// to the longest window by itself.
    pub fn holds(self, message_bytes: usize) -> bool {
        self == Window::LONGEST || message_bytes <= 1 << self.bits
    }
}

/// What was agreed on. As text it is the value of the answer's Sec-WebSocket-Extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The window that the client asked us to keep to, if it did.
    asked: Option<Window>,
}

impl Agreement {
    /// The window that we keep to.
    pub fn window(self) -> Window {
        self.asked.unwrap_or(Window::LONGEST)
    }
}

impl fmt::Display for Agreement {
    /// Both takeovers may be ruled out unasked (RFC 7692, sections 7.1.1.1 and 7.1.1.2). A client
    /// may use any window, which is what leaving `client_max_window_bits` out says.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("permessage-deflate; server_no_context_takeover; ")?;
        formatter.write_str("client_no_context_takeover")?;
        match self.asked {
            Some(window) => write!(formatter, "; server_max_window_bits={}", window.bits),
            None => Ok(()),
        }
    }
}

/// Offers that are none by their grammar, for which a handshake is refused (RFC 6455, section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Finds the first offer that can be kept in the values of a request's Sec-WebSocket-Extensions.
pub fn agree<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Option<Agreement>, Malformed> {
    let mut agreement = None;
    for field in fields {
        let mut rest = Rest(field);
        while let Some(offer) = rest.offer()? {
            agreement = agreement.or(offer.agreement());
        }
    }
    Ok(agreement)
}

/// One offer, as far as it has been read.
#[derive(Default)]
struct Offer {
    /// It is another extension, or has a parameter that is unknown, there twice, or wrong.
    is_declined: bool,
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    client_max_window_bits: bool,
    server_max_window_bits: Option<Window>,
}

impl Offer {
    fn agreement(self) -> Option<Agreement> {
        (!self.is_declined).then_some(Agreement { asked: self.server_max_window_bits })
    }

    /// Takes in a parameter (RFC 7692, section 7.1).
    fn take(&mut self, name: &str, value: Option<&str>) {
        let window = value.and_then(window);
        let (is_twice, is_right) = match name {
            "server_no_context_takeover" => {
                (std::mem::replace(&mut self.server_no_context_takeover, true), value.is_none())
            }
            "client_no_context_takeover" => {
                (std::mem::replace(&mut self.client_no_context_takeover, true), value.is_none())
            }
            // The client's window, of which it may leave the size to us.
            "client_max_window_bits" => {
                let is_right = value.is_none() || window.is_some();
                (std::mem::replace(&mut self.client_max_window_bits, true), is_right)
            }
            "server_max_window_bits" => (
                self.server_max_window_bits.replace(window.unwrap_or(Window::LONGEST)).is_some(),
                window.is_some(),
            ),
            _ => (false, false),
        };
        self.is_declined |= is_twice || !is_right;
    }
}

/// A decimal number from 8 to 15 without leading zeros.
fn window(value: &str) -> Option<Window> {
    let is_plain = !value.starts_with('0') && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| is_plain).and_then(Window::of_bits)
}

/// What has not been read of a field.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// The next offer; `None` behind the last. Members of a list may be empty (RFC 9110, section
    /// 5.6.1.2).
    fn offer(&mut self) -> Result<Option<Offer>, Malformed> {
        while self.passes(',') {}
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut offer =
            Offer { is_declined: self.token()? != "permessage-deflate", ..Offer::default() };
        while self.passes(';') {
            let name = self.token()?;
            let value = if self.passes('=') { Some(self.value()?) } else { None };
            offer.take(name, value.as_deref());
        }
        if !self.passes(',') && !self.0.is_empty() {
            return Err(Malformed);
        }
        Ok(Some(offer))
    }

    /// Passes over blanks, and over `mark` if it comes then.
    fn passes(&mut self, mark: char) -> bool {
        self.0 = self.0.trim_start_matches([' ', '\t']);
        let rest = self.0.strip_prefix(mark);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A token (RFC 9110, section 5.6.2).
    fn token(&mut self) -> Result<&'a str, Malformed> {
        self.0 = self.0.trim_start_matches([' ', '\t']);
        let end = self.0.find(|character| !is_token(character)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// A token, which may stand in quotes and then with backslashes (RFC 6455, section 9.1).
    fn value(&mut self) -> Result<String, Malformed> {
        if !self.passes('"') {
            return self.token().map(str::to_owned);
        }
        let (mut value, mut characters) = (String::new(), self.0.chars());
        loop {
            match characters.next().ok_or(Malformed)? {
                '"' => break,
                '\\' => value.push(characters.next().ok_or(Malformed)?),
                character => value.push(character),
            }
        }
        self.0 = characters.as_str();
        if value.is_empty() || !value.chars().all(is_token) { Err(Malformed) } else { Ok(value) }
    }
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    /// What is answered to these fields.
    fn answer(fields: &[&str]) -> Result<String, Malformed> {
        let agreement = agree(fields.iter().copied())?;
        Ok(agreement.map_or(String::new(), |agreement| agreement.to_string()))
    }

    #[test]
    fn neither_side_takes_its_context_over_whatever_was_asked() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=9",
            " permessage-deflate ;\tclient_max_window_bits = \"15\" ",
            "permessage-deflate; client_max_window_bits=\"1\\0\"",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Ok(BOTH), "{offer}");
        }
    }

    #[test]
    fn a_window_is_granted_as_it_was_asked() {
        for bits in 8..=15 {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            assert_eq!(answer(&[&offer]), Ok(format!("{BOTH}; server_max_window_bits={bits}")));
        }
    }

    #[test]
    fn the_first_offer_that_can_be_kept_is_taken_in_whichever_field_it_is() {
        let kept = Ok(format!("{BOTH}; server_max_window_bits=10"));
        let second = "permessage-deflate; mystery, permessage-deflate; server_max_window_bits=10";
        assert_eq!(answer(&[second]), kept);
        let third = "permessage-deflate; server_max_window_bits=10, permessage-deflate";
        assert_eq!(answer(&["x-other; a=b", ", ,", third]), kept);
    }

    #[test]
    fn what_is_unknown_there_twice_or_out_of_range_is_declined() {
        for offer in [
            "x-webkit-deflate-frame",
            "Permessage-Deflate",
            "permessage-deflate; mystery",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=\"x\"",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=300",
            "permessage-deflate; client_max_window_bits=7",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Ok(""), "{offer}");
        }
    }

    #[test]
    fn what_is_no_list_of_extensions_is_malformed() {
        for field in [
            "permessage-deflate;",
            "permessage-deflate; =10",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=\"10",
            "permessage-deflate; server_max_window_bits=\"10\\",
            "permessage-deflate; server_max_window_bits=\"\"",
            "permessage-deflate; server_max_window_bits=\"1 0\"",
            "permessage-deflate server_no_context_takeover",
            "permessage-deflate, other/thing",
            "; a",
            "é",
        ] {
            assert_eq!(answer(&[field]), Err(Malformed), "{field}");
        }
    }

    #[test]
    fn a_message_that_is_longer_than_the_window_is_not_compressed() {
        let narrow = Window { bits: 8 };
        assert!(narrow.holds(256) && !narrow.holds(257));
        assert!(Window::LONGEST.holds(1 << 20));
    }
}
