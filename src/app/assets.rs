//! The dashboard as the binary carries it: one page, joined and compressed by `build.rs` from
//! `dashboard/`.
//!
//! Owns the bytes and the headers that belong to them. Promises that the page asks for nothing but
//! itself and `/ws`, and that the Content-Security-Policy allows exactly the script and the style
//! inside it. Imports nothing.

/// The page with its headers. Both forms are the same page; each has an ETag of its own, as RFC
/// 9110 8.8.3 asks.
#[derive(Debug)]
pub struct Page {
    /// The page as it is.
    pub identity: &'static [u8],
    /// The page for a client that accepts gzip.
    pub gzip: &'static [u8],
    /// The quoted ETag of `identity`.
    pub etag: &'static str,
    /// The quoted ETag of `gzip`.
    pub etag_gzip: &'static str,
    /// The value of the Content-Security-Policy header; `connect-src 'self'` stands in it once.
    pub content_security_policy: &'static str,
}

/// The dashboard.
pub const PAGE: Page = Page {
    identity: include_bytes!(concat!(env!("OUT_DIR"), "/dashboard.html")),
    gzip: include_bytes!(concat!(env!("OUT_DIR"), "/dashboard.html.gz")),
    etag: generated::ETAG,
    etag_gzip: generated::ETAG_GZIP,
    content_security_policy: generated::CONTENT_SECURITY_POLICY,
};

mod generated {
    include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::protocol::{MESSAGE_BYTES_MAX, Request, parse};
    use super::*;
    use crate::metrics::selection::{Selection, TOPICS};

    const DEFINITIONS: &str = include_str!("dashboard/definitions.js");
    const STYLE: &str = include_str!("dashboard/style.css");
    const TABLE: &str = include_str!("dashboard/table.js");

    fn page() -> &'static str {
        std::str::from_utf8(PAGE.identity)
            .expect("the page is UTF-8: build.rs reads its parts as text")
    }

    /// The paths in quotes between `start` and `end`, wherever the page's definitions have them.
    fn declared(start: &str, end: char) -> Vec<&'static str> {
        let lists = DEFINITIONS.split(start).skip(1).filter_map(|rest| rest.split(end).next());
        lists.flat_map(|list| list.split('"').skip(1).step_by(2)).collect()
    }

    fn asked() -> [Vec<&'static str>; 2] {
        let fast = [declared(" fast: [", ']'), declared("{ path: ", ',')].concat();
        [fast, declared(" slow: [", ']')]
    }

    #[test]
    fn the_server_grants_what_the_page_asks_for() {
        for paths in asked() {
            assert!(paths.len() > 10, "the declarations are read: {paths:?}");
            let text = format!(r#"{{"type":"subscribe","sub":"slow","topics":{paths:?}}}"#);
            assert!(text.len() < MESSAGE_BYTES_MAX / 2);
            let request = parse(&text, 1000).1;
            assert!(matches!(request, Ok(Request::Subscribe { .. })), "{request:?}");
        }
    }

    /// Field names behind `start`, which may be unknown to the page itself: `?.name` or `.name`.
    fn read_behind<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(start).skip(1).filter_map(|rest| {
            let rest = rest.strip_prefix('?').unwrap_or(rest).strip_prefix('.')?;
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
            Some(&rest[..end])
        })
    }

    #[test]
    fn the_page_asks_for_what_it_reads() {
        let mut read = Vec::new();
        for topic in TOPICS {
            let record = format!("sample.{topic}");
            for text in [DEFINITIONS, TABLE] {
                read.extend(read_behind(text, &record).map(|field| format!("{topic}.{field}")));
            }
        }
        read.extend(read_behind(DEFINITIONS, "known(cgroup").map(|name| format!("cgroup.{name}")));
        for (row, topic) in [("root(sample)", "filesystems"), ("hottest(sample)", "temperatures")] {
            read.extend(read_behind(DEFINITIONS, row).map(|field| format!("{topic}.*.{field}")));
        }
        for table in DEFINITIONS.split(" topic: \"").skip(1) {
            let (topic, rest) = table.split_once('"').expect("the text has an end");
            let columns = rest.split("title:").next().unwrap_or_default();
            let columns = columns.split("\n];").next().unwrap_or_default();
            read.extend(read_behind(columns, "one").map(|field| format!("{topic}.*.{field}")));
        }
        assert!(read.len() > 40, "the readers are seen: {read:?}");
        let asked = asked().concat();
        let all = Selection::parse(asked.iter().copied()).unwrap();
        for path in &read {
            let more = Selection::parse(asked.iter().copied().chain([path.as_str()]));
            assert_eq!(more.as_ref(), Ok(&all), "{path}");
        }
    }

    #[test]
    fn the_page_names_no_other_host() {
        // The one exception is a name, not an address: an SVG icon must carry its namespace.
        let rest = page().replace("http://www.w3.org/2000/svg", "");
        for reference in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!rest.contains(reference), "the page refers to something by {reference}");
        }
    }

    #[test]
    fn the_page_has_no_inline_handlers_or_style_attributes() {
        let (markup, _) = page().split_once("<style>").expect("the style is inline");
        let (_, body) = page().split_once("</script>").expect("the script is inline");
        for tag in [markup, body].iter().flat_map(|part| part.split('<')) {
            for attribute in tag.split_whitespace().skip(1) {
                assert!(
                    !attribute.starts_with("on") && !attribute.starts_with("style="),
                    "in <{tag}"
                );
            }
        }
    }

    #[test]
    fn the_page_takes_no_markup_from_data() {
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!page().contains(word), "the page uses {word}");
        }
    }

    #[test]
    fn the_page_is_small_enough_for_a_slow_link() {
        assert!(PAGE.gzip.len() < 30 * 1024, "{} bytes compressed", PAGE.gzip.len());
        assert!(PAGE.gzip.starts_with(&[0x1f, 0x8b, 8]));
    }

    #[test]
    fn the_compressed_page_carries_no_time_and_has_the_length_of_the_page() {
        // RFC 1952 2.3: MTIME at 4..8, ISIZE in the last four bytes.
        assert_eq!(PAGE.gzip[4..8], [0; 4]);
        let length = u32::try_from(PAGE.identity.len()).expect("the page is well below 4 GiB");
        assert_eq!(PAGE.gzip[PAGE.gzip.len() - 4..], length.to_le_bytes());
    }

    #[test]
    fn the_etags_are_quoted_and_differ() {
        for etag in [PAGE.etag, PAGE.etag_gzip] {
            assert!(etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'));
        }
        assert_ne!(PAGE.etag, PAGE.etag_gzip);
    }

    /// The sheet's palettes: light, dark by the system's setting, dark by the page's.
    fn palettes() -> Vec<BTreeMap<&'static str, [f64; 3]>> {
        let blocks = STYLE.split('{').filter_map(|rest| rest.split('}').next());
        let blocks = blocks.filter(|block| block.contains("--ground: #"));
        let colors = blocks.map(|block| {
            let lines = block.split(';').filter_map(|line| line.trim().strip_prefix("--"));
            lines.filter_map(|line| line.split_once(": #")).map(|(name, hex)| (name, rgb(hex)))
        });
        colors.map(Iterator::collect).collect()
    }

    fn rgb(hex: &str) -> [f64; 3] {
        let long = hex.len() == 6;
        [0, 1, 2].map(|index| {
            let digits = if long { &hex[2 * index..2 * index + 2] } else { &hex[index..=index] };
            let value = u8::from_str_radix(digits, 16).expect("a colour is #rgb or #rrggbb");
            f64::from(if long { value } else { 17 * value }) / 255.0
        })
    }

    /// The contrast ratio of WCAG 2.
    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let luminance = |color: [f64; 3]| {
            let linear = color.map(|part| match part {
                part if part <= 0.04045 => part / 12.92,
                part => ((part + 0.055) / 1.055).powf(2.4),
            });
            0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        };
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn text_and_lines_stand_out_in_light_and_dark() {
        let palettes = palettes();
        assert_eq!(palettes.len(), 3);
        assert_eq!(palettes[1], palettes[2], "both ways to dark give the same");
        for palette in palettes {
            let card = palette["card"];
            // An alert shades a card with its own colour (style.css mixes in up to 9 %).
            let shaded = ["s1", "good", "warn", "bad", "muted"].map(|name| {
                let sign = palette[name];
                [0, 1, 2].map(|index| 0.09 * sign[index] + 0.91 * card[index])
            });
            for ground in [card, palette["ground"]].into_iter().chain(shaded) {
                for name in ["text", "muted"] {
                    assert!(contrast(palette[name], ground) >= 4.5, "{name} on {ground:?}");
                }
                for name in ["s1", "s2", "s3", "s4", "good", "warn", "bad"] {
                    assert!(contrast(palette[name], ground) >= 3.0, "{name} on {ground:?}");
                }
            }
            for name in ["s1", "warn", "bad"] {
                assert!(contrast(palette[name], palette["track"]) >= 3.0, "{name} on its track");
            }
        }
    }

    #[test]
    fn the_policy_forbids_everything_else() {
        let policy = PAGE.content_security_policy;
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
        assert_eq!(policy.matches("connect-src 'self'").count(), 1);
        assert!(!policy.contains("unsafe") && policy.is_ascii());
    }
}
