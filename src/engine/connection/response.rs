//! An HTTP/1.1 answer.
//!
//! A handler says what to answer; the head is written here, in one place, so that every answer has
//! its date and the same protective fields. A body is a [`Frame`], shared where many ask for the
//! same bytes. Bodies are whole, and an answer states its body's length; only an event stream has
//! none, and its body ends with the connection.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::SystemTime;

use super::extension::Agreement;
use super::frame::{Frame, Kind};

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct Response {
    status: u16,
    /// Further fields as they go to the wire, each with its line end.
    fields: String,
    body: Option<Frame>,
}

impl Response {
    /// An answer without a body.
    pub fn new(status: u16) -> Response {
        Response { status, fields: String::new(), body: None }
    }

    /// An answer in plain text with a line end, uncached: refusals and the like.
    pub fn text(status: u16, text: &str) -> Response {
        let body = Frame::new(Kind::Plain, |bytes| {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(b'\n');
        });
        let response = Response::new(status).with("Cache-Control", "no-store");
        response.with_body("text/plain; charset=utf-8", body)
    }

    /// Adds a field.
    ///
    /// # Panics
    /// If `value` holds a line end: what a peer sent must never become a field unchecked.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Response {
        assert!(!value.contains(['\r', '\n']), "the value of {name} holds a line end");
        self.fields.push_str(name);
        self.fields.push_str(": ");
        self.fields.push_str(value);
        self.fields.push_str("\r\n");
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(self, content_type: &str, body: Frame) -> Response {
        let mut response = self.with("Content-Type", content_type);
        response.body = Some(body);
        response
    }

    /// Puts a coded form of its body in the body's place (RFC 9110, section 8.4).
    #[must_use]
    pub fn coded(self, coding: &str, body: Frame) -> Response {
        let mut response = self.with("Content-Encoding", coding);
        response.body = Some(body);
        response
    }

    /// The body, if it has one.
    pub fn body(&self) -> Option<&Frame> {
        self.body.as_ref()
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body's length in bytes.
    pub fn body_len(&self) -> usize {
        self.body.as_ref().map_or(0, Frame::len)
    }

    /// Whether its bytes are counted by a pool, and not for this connection.
    pub(crate) fn is_body_pooled(&self) -> bool {
        self.body.as_ref().is_some_and(Frame::is_pooled)
    }

    /// Writes the head to `out` and gives the body.
    pub(crate) fn write_head(
        self,
        out: &mut Vec<u8>,
        keep_alive: bool,
        wall: SystemTime,
    ) -> Option<Frame> {
        // A 304 describes a body that is not sent; its length is left out (RFC 9110, 15.4.5), and
        // 204 has none (RFC 9110, 8.6).
        let length = (!matches!(self.status, 204 | 304)).then_some(self.body_len());
        self.write_fields(out, length, keep_alive, wall);
        self.body
    }

    /// Writes the head of an answer whose body goes on until the connection ends (RFC 9112, section
    /// 6.3). A body that it has is left out.
    pub(crate) fn write_stream_head(self, out: &mut Vec<u8>, wall: SystemTime) {
        self.write_fields(out, None, false, wall);
    }

    fn write_fields(
        &self,
        out: &mut Vec<u8>,
        length: Option<usize>,
        keep_alive: bool,
        wall: SystemTime,
    ) {
        write_status_line(out, self.status);
        out.extend_from_slice(self.fields.as_bytes());
        if let Some(length) = length {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        let mut date = String::with_capacity(29);
        let _ = write!(date, "{}", httpdate::HttpDate::from(wall));
        let _ = write!(out, "Date: {date}\r\n");
        out.extend_from_slice(b"X-Content-Type-Options: nosniff\r\n");
        out.extend_from_slice(b"Referrer-Policy: no-referrer\r\n");
        if !keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes the answer that turns the connection into a WebSocket (RFC 6455, section 4.2.2).
pub(crate) fn write_switching(
    out: &mut Vec<u8>,
    key: &str,
    protocol: Option<&str>,
    extension: Option<Agreement>,
) {
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    write_status_line(out, 101);
    let _ = write!(out, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    let _ = write!(out, "Sec-WebSocket-Accept: {accept}\r\n");
    if let Some(protocol) = protocol {
        let _ = write!(out, "Sec-WebSocket-Protocol: {protocol}\r\n");
    }
    if let Some(extension) = extension {
        let _ = write!(out, "Sec-WebSocket-Extensions: {extension}\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(out: &mut Vec<u8>, status: u16) {
    let _ = write!(out, "HTTP/1.1 {status} {}\r\n", reason_phrase(status));
}

/// The customary words for a status (RFC 9110, section 15; RFC 6585).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(response: Response, keep_alive: bool) -> (String, Option<Frame>) {
        let mut out = Vec::new();
        let body = response.write_head(&mut out, keep_alive, SystemTime::UNIX_EPOCH);
        (String::from_utf8(out).unwrap(), body)
    }

    #[test]
    fn an_answer_has_length_date_and_protective_fields() {
        let (head, body) = head(Response::text(404, "nothing here"), true);
        assert_eq!(
            head,
            "HTTP/1.1 404 Not Found\r\nCache-Control: no-store\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\
             Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\n\r\n"
        );
        assert_eq!(body.unwrap().as_slice(), b"nothing here\n");
    }

    #[test]
    fn the_last_answer_of_a_connection_says_so() {
        assert!(head(Response::new(200), false).0.contains("\r\nConnection: close\r\n"));
    }

    #[test]
    fn the_head_of_a_stream_has_no_length_and_says_that_the_connection_ends_with_it() {
        let mut out = Vec::new();
        let response = Response::new(200).with("Content-Type", "text/event-stream");
        response.write_stream_head(&mut out, SystemTime::UNIX_EPOCH);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn an_unmodified_answer_claims_no_length() {
        assert!(!head(Response::new(304), true).0.contains("Content-Length"));
    }

    #[test]
    #[should_panic(expected = "line end")]
    fn a_field_cannot_be_smuggled() {
        let _ = Response::new(200).with("X", "a\r\nSet-Cookie: b");
    }

    #[test]
    fn the_accept_key_is_that_of_rfc_6455_section_1_3() {
        let mut out = Vec::new();
        write_switching(&mut out, "dGhlIHNhbXBsZSBub25jZQ==", Some("vitald.v1"), None);
        let head = String::from_utf8(out).unwrap();
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(head.contains("Sec-WebSocket-Protocol: vitald.v1\r\n"));
        assert!(!head.contains("Sec-WebSocket-Extensions"), "none was offered");
    }
}
