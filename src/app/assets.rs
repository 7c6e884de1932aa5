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
    use super::*;

    fn page() -> &'static str {
        std::str::from_utf8(PAGE.identity)
            .expect("the page is UTF-8: build.rs reads its parts as text")
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

    #[test]
    fn the_policy_forbids_everything_else() {
        let policy = PAGE.content_security_policy;
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
        assert_eq!(policy.matches("connect-src 'self'").count(), 1);
        assert!(!policy.contains("unsafe") && policy.is_ascii());
    }
}
