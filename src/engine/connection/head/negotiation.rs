//! What a request says of the answer that it wants: its coding, and whether it has it already.
//!
//! Promises: what is malformed is passed over, as if it had not been sent. Pure.

use super::Request;

impl Request<'_> {
    /// Whether the peer would rather have an answer in gzip than as it is (RFC 9110, section
    /// 12.5.3). Where it gives both the same weight, or none to what is uncoded, it would.
    pub fn accepts_gzip(&self) -> bool {
        let (mut gzip, mut identity, mut others) = (None, None, None);
        for member in self.values("accept-encoding").flat_map(|value| value.split(',')) {
            let mut parts = member.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default();
            let weight = parts.next().map_or(Some(1000), |part| {
                let (name, value) = part.split_once('=')?;
                name.trim().eq_ignore_ascii_case("q").then(|| weight(value.trim()))?
            });
            // RFC 9110, section 8.4.1.3: x-gzip is another name for it.
            let place = match coding {
                "*" => &mut others,
                _ if ["gzip", "x-gzip"].iter().any(|name| coding.eq_ignore_ascii_case(name)) => {
                    &mut gzip
                }
                _ if coding.eq_ignore_ascii_case("identity") => &mut identity,
                _ => continue,
            };
            *place = place.or(weight);
        }
        let identity = identity.or(others).unwrap_or(0);
        gzip.or(others).is_some_and(|gzip| gzip > 0 && gzip >= identity)
    }

    /// Whether the peer has what goes by this quoted tag, or would have whatever there is, by its
    /// If-None-Match (RFC 9110, section 13.1.2). Weak tags stand for strong ones there.
    pub fn knows(&self, etag: &str) -> bool {
        let mut values = self.values("if-none-match");
        values.any(|value| value.trim() == "*" || tags(value).any(|tag| tag == etag))
    }
}

/// The quoted tags of a list, the marks of weak ones left out, up to what is no tag. A tag can hold
/// a comma (RFC 9110, section 8.8.3).
fn tags(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = value;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        rest = rest.strip_prefix("W/").unwrap_or(rest);
        let end = rest.strip_prefix('"')?.find('"')?;
        let (tag, more) = rest.split_at(end + 2);
        rest = more;
        Some(tag)
    })
}

/// A weight (RFC 9110, section 12.4.2), in thousandths: 0 to 1 with at most three decimals.
pub fn weight(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let decimals: u32 = format!("{decimals:0<3}").parse().ok().filter(|_| is_digits)?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fields, Head, parse};

    /// What `look` sees in a request with these fields.
    fn with<R>(fields: &str, look: impl FnOnce(&super::Request<'_>) -> R) -> R {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        match parse(text.as_bytes(), &mut Fields::new(), 2048) {
            Ok(Head::Complete(request, _)) => look(&request),
            other => panic!("{other:?}"),
        }
    }

    fn accepts(value: &str) -> bool {
        with(&format!("Accept-Encoding: {value}\r\n"), |request| request.accepts_gzip())
    }

    #[test]
    fn gzip_is_taken_unless_it_is_refused_or_nothing_is_said() {
        for value in [
            "gzip",
            "gzip, deflate, br",
            "br;q=1.0, GZIP;q=0.5",
            "x-gzip",
            "*",
            "gzip;q=0.001, *;q=0",
            "identity;q=0.5, *",
            "gzip;q=0.5, identity;q=0.5",
            " , gzip ; Q=0.8 ,",
        ] {
            assert!(accepts(value), "{value}");
        }
        for value in [
            "",
            "identity",
            "br, deflate",
            "gzip;q=0",
            "gzip; q=0.000",
            "gzip;q=0, *",
            "*, gzip;q=0",
            "*;q=0",
            "gzip;q=2",
            "gzip;q=0.0001",
            "gzip;q=",
            "gzip;level=9",
            "gzipped",
        ] {
            assert!(!accepts(value), "{value}");
        }
        assert!(!with("", |request| request.accepts_gzip()));
    }

    #[test]
    fn what_is_uncoded_is_given_to_one_who_likes_it_better() {
        assert!(!accepts("gzip;q=0.5, identity"));
        assert!(!accepts("identity;q=0.6, *;q=0.5"));
        assert!(!accepts("gzip;q=0.5, *;q=1"));
    }

    #[test]
    fn several_fields_are_one_list() {
        let fields = "Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n";
        assert!(with(fields, |request| request.accepts_gzip()));
    }

    fn knows(value: &str) -> bool {
        with(&format!("If-None-Match: {value}\r\n"), |request| request.knows("\"a-1\""))
    }

    #[test]
    fn a_tag_is_known_in_any_place_of_the_list_weak_or_strong() {
        for value in [
            "\"a-1\"",
            "W/\"a-1\"",
            "\"x\", \"a-1\"",
            "\"x\",W/\"y\" ,\t\"a-1\"",
            ", \"a,b\", \"a-1\",",
            "*",
            " * ",
        ] {
            assert!(knows(value), "{value}");
        }
        for value in [
            "",
            "\"a-2\"",
            "a-1",
            "\"A-1\"",
            "w/\"a-1\"",
            "\"x, \"a-1\"",
            "\"a-1",
            "x \"a-1\"",
            "\"*\"",
            "*, \"b\"",
        ] {
            assert!(!knows(value), "{value}");
        }
        assert!(!with("", |request| request.knows("\"a-1\"")));
    }
}
