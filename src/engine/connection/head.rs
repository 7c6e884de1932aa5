//! The head of an HTTP/1.1 request.
//!
//! Parsing is httparse's; what RFC 9112 asks of a server beyond the grammar is checked here: one
//! Host, no body (nothing here takes one), a version and a target we can serve. A head is parsed in
//! place, again from its start whenever more of it has come; it is at most
//! [`INPUT_BYTES_MAX`](crate::engine::limits::INPUT_BYTES_MAX) bytes, so that costs little.

mod negotiation;

use std::ops::Range;
use std::str;

pub use self::negotiation::weight;
use super::extension::{self, Agreement, Malformed};

/// Header fields of one request. Browsers send about twenty.
const HEADERS_MAX: usize = 64;

/// A complete request head. Borrows the bytes it was parsed from.
#[derive(Debug)]
pub struct Request<'a> {
    method: &'a str,
    target: &'a str,
    /// Whether it is HTTP/1.1, not 1.0.
    is_1_1: bool,
    headers: &'a [httparse::Header<'a>],
}

/// Why a head is refused. Each has its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadError {
    /// The status to answer with.
    pub status: u16,
    /// What is wrong, in words for the peer.
    pub reason: &'static str,
}

const fn refuse(status: u16, reason: &'static str) -> HeadError {
    HeadError { status, reason }
}

/// What the bytes so far amount to.
#[derive(Debug)]
pub enum Head<'a> {
    /// More bytes are needed.
    Partial,
    /// A head, and how many bytes it took.
    Complete(Request<'a>, usize),
}

/// Room for the fields of a head, lent to [`parse`].
pub struct Fields<'a>([httparse::Header<'a>; HEADERS_MAX]);

impl Fields<'_> {
    /// Room for as many fields as a head may have.
    pub fn new() -> Self {
        Fields([httparse::EMPTY_HEADER; HEADERS_MAX])
    }
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Fields::new()
    }
}

/// Parses the head at the beginning of `bytes`.
///
/// # Errors
/// The refusal that the peer is to be given; what follows in the stream cannot be trusted then.
pub fn parse<'a>(
    bytes: &'a [u8],
    fields: &'a mut Fields<'a>,
    target_bytes_max: usize,
) -> Result<Head<'a>, HeadError> {
    let target = target_so_far(bytes);
    let is_too_long = target.len() > target_bytes_max;
    // A target that is too long is refused as if nothing had come behind its first byte too many:
    // the refusal does not hang on how the head was cut on its way.
    let bytes = if is_too_long { &bytes[..target.start + target_bytes_max + 1] } else { bytes };
    let mut parsed = httparse::Request::new(&mut fields.0);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if is_too_long => return Err(TARGET_TOO_LONG),
        Ok(httparse::Status::Partial) => return Ok(Head::Partial),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(refuse(431, "too many header fields"));
        }
        Err(httparse::Error::Version) => return Err(version_error(bytes)),
        Err(_) => return Err(refuse(400, "malformed request head")),
    };
    let request = Request {
        method: parsed.method.unwrap_or_default(),
        target: parsed.path.unwrap_or_default(),
        is_1_1: parsed.version == Some(1),
        headers: parsed.headers,
    };
    request.check()?;
    Ok(Head::Complete(request, length))
}

const TARGET_TOO_LONG: HeadError = refuse(414, "request target too long");

/// The refusal when a head does not end within the bytes that a connection may hold.
pub fn overflow(bytes: &[u8]) -> HeadError {
    if bytes.contains(&b'\n') { refuse(431, "request head too large") } else { TARGET_TOO_LONG }
}

/// Where the target is, as far as it has come: what the first space and the next space or line end
/// enclose. Line ends before the request line are passed over (RFC 9112, section 2.2).
fn target_so_far(bytes: &[u8]) -> Range<usize> {
    let find = |from: usize, ends: &[u8]| {
        let found = bytes[from..].iter().position(|byte| ends.contains(byte));
        found.map_or(bytes.len(), |offset| from + offset)
    };
    let line = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(bytes.len());
    let space = find(line, b" \r\n");
    let start = bytes.len().min(space + 1);
    start..find(start, b" \r\n")
}

/// A version that begins like one is one we do not speak; anything else is not HTTP. More of it
/// than its first digit need not have come.
fn version_error(bytes: &[u8]) -> HeadError {
    let version = bytes.get(target_so_far(bytes).end + 1..).unwrap_or_default();
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, ..] if major.is_ascii_digit() => {
            refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        }
        _ => refuse(400, "malformed request line"),
    }
}

impl<'a> Request<'a> {
    /// The method, as sent.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The target's path. Not decoded. Of a target in absolute form (RFC 9112, section 3.2.2) it is
    /// what follows the authority.
    pub fn path(&self) -> &'a str {
        let target = self.target.split_once('?').map_or(self.target, |(path, _)| path);
        let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
        rest.map_or(target, |rest| rest.find('/').map_or("/", |slash| &rest[slash..]))
    }

    /// The target after the question mark. Not decoded; empty without one.
    pub fn query(&self) -> &'a str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first field called `name`, whose value is text. Names are compared without case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// The name by which the request calls this server, with a port if it has one; empty without
    /// one (RFC 9110, section 7.2).
    pub fn host(&self) -> &'a str {
        self.header("host").unwrap_or_default()
    }

    /// Whether there is a field called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.count(name) > 0
    }

    /// Every field called `name` whose value is text.
    pub(crate) fn values<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'a str> + 'b {
        let fields = self.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.filter_map(|field| str::from_utf8(field.value).ok())
    }

    fn count(&self, name: &str) -> usize {
        self.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count()
    }

    /// Whether a comma-separated field has `token` among its members, without case
    /// (RFC 9110, section 5.6.1).
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let mut members = self.values(name).flat_map(|value| value.split(','));
        members.any(|member| member.trim().eq_ignore_ascii_case(token))
    }

    /// Whether the connection may carry another request (RFC 9112, section 9.3).
    pub fn keeps_alive(&self) -> bool {
        if self.is_1_1 {
            !self.has_token("connection", "close")
        } else {
            self.has_token("connection", "keep-alive")
        }
    }

    /// Whether the peer asks for WebSocket. That it asks rightly is
    /// [`Request::websocket_key`]'s business.
    pub fn wants_websocket(&self) -> bool {
        self.has_token("upgrade", "websocket")
    }

    /// The key of a correct WebSocket handshake (RFC 6455, section 4.2.1).
    ///
    /// # Errors
    /// The refusal otherwise; 426 where another request could succeed.
    pub fn websocket_key(&self) -> Result<&'a str, HeadError> {
        if !self.wants_websocket() {
            return Err(refuse(426, "this is a WebSocket endpoint"));
        }
        if self.method != "GET" || !self.is_1_1 {
            return Err(refuse(400, "a WebSocket handshake is a GET with HTTP/1.1"));
        }
        if !self.has_token("connection", "upgrade") {
            return Err(refuse(400, "the Connection field of a handshake says Upgrade"));
        }
        match self.header("sec-websocket-version") {
            None => return Err(refuse(400, "Sec-WebSocket-Version is missing")),
            Some(version) if version.trim() != "13" => {
                return Err(refuse(426, "only WebSocket version 13 is spoken here"));
            }
            Some(_) => {}
        }
        let key = self.header("sec-websocket-key").map(str::trim).filter(|key| is_key(key));
        match (key, self.count("sec-websocket-key")) {
            (Some(key), 1) => Ok(key),
            _ => Err(refuse(400, "Sec-WebSocket-Key must be 16 bytes in base64, once")),
        }
    }

    /// The extension of a WebSocket that can be agreed on, if one is offered that we have.
    ///
    /// # Errors
    /// The refusal when what is offered is no list of extensions (RFC 6455, section 9.1).
    pub(crate) fn extension(&self) -> Result<Option<Agreement>, HeadError> {
        let offers = self.values("sec-websocket-extensions");
        extension::agree(offers)
            .map_err(|Malformed| refuse(400, "Sec-WebSocket-Extensions is malformed"))
    }

    /// What RFC 9112 asks beyond the grammar.
    fn check(&self) -> Result<(), HeadError> {
        match self.count("host") {
            0 if self.is_1_1 => return Err(refuse(400, "the Host field is missing")),
            0 | 1 => {}
            _ => return Err(refuse(400, "more than one Host field")),
        }
        if self.count("transfer-encoding") > 0 {
            return Err(refuse(501, "no transfer coding is understood here"));
        }
        match self.count("content-length") {
            0 => Ok(()),
            1 => self.check_length(),
            _ => Err(refuse(400, "more than one Content-Length field")),
        }
    }

    fn check_length(&self) -> Result<(), HeadError> {
        let length = self.header("content-length").unwrap_or_default();
        if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse(400, "Content-Length is not a number"));
        }
        if length.bytes().any(|byte| byte != b'0') {
            return Err(refuse(413, "no request body is read here"));
        }
        Ok(())
    }
}

/// 16 bytes in base64 are 22 characters and two of padding.
fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else { return false };
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    digits.len() == 22 && digits.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Parses a whole head and gives what `look` sees in it.
    fn with<R>(text: &str, look: impl FnOnce(&Request<'_>) -> R) -> Result<R, HeadError> {
        match parse(text.as_bytes(), &mut Fields::new(), 2048)? {
            Head::Complete(request, length) => {
                assert_eq!(length, text.len());
                Ok(look(&request))
            }
            Head::Partial => panic!("partial: {text:?}"),
        }
    }

    fn status(text: &str) -> u16 {
        with(text, |_| 200).unwrap_or_else(|error| error.status)
    }

    #[test]
    fn a_target_is_split_into_path_and_query() {
        let text = "GET /a/b?c=d?e HTTP/1.1\r\nHost: h\r\n\r\n";
        let parts = with(text, |request| (request.path().to_owned(), request.query().to_owned()));
        assert_eq!(parts, Ok(("/a/b".to_owned(), "c=d?e".to_owned())));
    }

    #[test]
    fn a_target_in_absolute_form_has_a_path_too() {
        let path = |target: &str| {
            let text = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            with(&text, |request| request.path().to_owned()).unwrap()
        };
        assert_eq!(path("http://h:1/a/b?c"), "/a/b");
        assert_eq!(path("http://h"), "/");
    }

    #[test]
    fn a_head_in_pieces_is_partial_until_its_last_byte() {
        let text = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        for length in 0..text.len() {
            let mut fields = Fields::new();
            let head = parse(&text[..length], &mut fields, 2048);
            assert!(matches!(head, Ok(Head::Partial)), "{length} bytes: {head:?}");
        }
    }

    #[test]
    fn pipelined_bytes_are_left_alone() {
        let text = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\n";
        let mut fields = Fields::new();
        let Ok(Head::Complete(_, length)) = parse(text, &mut fields, 2048) else { panic!() };
        assert_eq!(&text[length..], b"GET /next HTTP/1.1\r\n");
    }

    #[test]
    fn refusals_have_their_status() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(2048));
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(64));
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 400),
            ("\u{1}\r\n\r\n", 400),
            ("GET / SPDY/3\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET / HTTP/1.0\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 413),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
            (&long, 414),
            (&many, 431),
        ] {
            assert_eq!(status(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_target_that_never_ends_is_refused_before_the_buffer_is_full() {
        let text = format!("GET /{}", "x".repeat(3000));
        let mut fields = Fields::new();
        assert_eq!(parse(text.as_bytes(), &mut fields, 2048).unwrap_err().status, 414);
    }

    #[test]
    fn the_refusal_does_not_hang_on_how_the_head_was_cut() {
        let long = "x".repeat(2048);
        for (text, status) in [
            ("GET / HTT HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/2.0x\r\n\r\n".to_owned(), 505),
            (format!("GET /{long} HTTP/2.0\r\n\r\n"), 414),
            (format!("GET /{long}\x01 HTTP/1.1\r\n\r\n"), 414),
            (format!("GET /\x01{long} HTTP/1.1\r\n\r\n"), 400),
            (format!("\r\nGET /{long} HTTP/1.1\r\nX\r\n\r\n"), 414),
        ] {
            for length in 0..=text.len() {
                match parse(&text.as_bytes()[..length], &mut Fields::new(), 2048) {
                    Ok(Head::Partial) => assert!(length < text.len(), "{text:?} is partial"),
                    Ok(head) => panic!("{head:?}"),
                    Err(error) => assert_eq!(error.status, status, "{length} bytes of {text:?}"),
                }
            }
        }
    }

    #[test]
    fn a_full_buffer_is_a_long_target_or_a_large_head() {
        assert_eq!(overflow(b"GET /xxxxx").status, 414);
        assert_eq!(overflow(b"GET / HTTP/1.1\r\nX: yyyy").status, 431);
    }

    #[test]
    fn a_connection_is_kept_as_the_version_and_the_field_say() {
        let keeps = |text: &str| with(text, |request| request.keeps_alive()).unwrap();
        assert!(keeps("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive, Close\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
        assert!(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    }

    fn handshake(change: impl Fn(&str) -> String) -> Result<String, u16> {
        let text = change(
            "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let key = with(&text, |request| request.websocket_key().map(str::to_owned));
        key.unwrap().map_err(|error| error.status)
    }

    #[test]
    fn a_handshake_needs_each_of_its_six_parts() {
        assert_eq!(handshake(str::to_owned), Ok("dGhlIHNhbXBsZSBub25jZQ==".to_owned()));
        for (from, to, status) in [
            ("Upgrade: websocket", "Upgrade: h2c", 426),
            ("GET /ws", "HEAD /ws", 400),
            ("/ws HTTP/1.1", "/ws HTTP/1.0", 400),
            ("keep-alive, Upgrade", "keep-alive", 400),
            ("Version: 13", "Version: 8", 426),
            ("Sec-WebSocket-Version: 13\r\n", "", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 400),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ] {
            assert_eq!(handshake(|text| text.replace(from, to)), Err(status), "{from} -> {to}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut fields = Fields::new();
            if let Ok(Head::Complete(request, length)) = parse(&bytes, &mut fields, 64) {
                prop_assert!(length <= bytes.len());
                let _ = (request.path(), request.query(), request.websocket_key());
            }
        }
    }
}
