//! Pages from elsewhere, as browsers let them try: what they can send, read and open, with
//! `--allow-origin` and without. The real binary.

mod support;

use std::io::Write;
use std::process::Stdio;

use support::{GUARDED, Vitald, answer, command};

const TOKEN: &str = "correct-horse-battery";
const BEARER: &str = "Authorization: Bearer correct-horse-battery\r\n";
const HOME: &str = "Origin: https://home.example\r\n";
const EVIL: &str = "Origin: http://evil.example\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What is answered beside what the token guards: what is for everybody, and otherwise.
const READ: [&str; 4] = [
    "/",
    "/healthz",
    "/api/v1/history",
    // Answered in a later turn.
    "/api/v1/processes?sort=io",
];

fn start(arguments: &[&str]) -> Vitald {
    let mut command = command();
    command.args(["-l", "127.0.0.1:0", "-i", "100ms", "--log-level", "error"]).args(arguments);
    Vitald::start_as(command.env("VITALD_TOKEN", TOKEN).stdin(Stdio::null()))
}

fn allowing() -> Vitald {
    start(&["--allow-origin", "HTTPS://Home.example:443"])
}

/// The head of the answer to a request whose connection may stay open.
fn head(vitald: &Vitald, method: &str, target: &str, fields: &str) -> String {
    let mut stream = vitald.connect();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", vitald.address);
    stream.write_all(head.as_bytes()).expect("it reads");
    answer(&mut stream, false).0
}

fn is_granted(head: &str) -> bool {
    let is_granted = head.contains("\r\nAccess-Control-Allow-Origin: https://home.example\r\n");
    assert_eq!(head.contains("Access-Control-"), is_granted, "{head}");
    is_granted
}

#[test]
fn an_allowed_page_may_read_every_answer_and_others_may_read_none() {
    let vitald = allowing();
    for target in READ.into_iter().chain(GUARDED) {
        for (origin, granted) in [(HOME, true), (EVIL, false), ("", false)] {
            for token in [BEARER, ""] {
                let head = head(&vitald, "GET", target, &format!("{origin}{token}"));
                assert_eq!(is_granted(&head), granted, "{target} {head}");
                // Whoever keeps an answer for others must know that it is not for all of them.
                assert!(head.contains("\r\nVary: Origin\r\n"), "{target} {head}");
                assert!(!head.contains("Allow-Credentials"), "{head}");
            }
        }
    }
}

#[test]
fn without_allowed_origins_no_answer_has_a_word_for_pages_from_elsewhere() {
    let vitald = start(&[]);
    for target in READ.into_iter().chain(GUARDED) {
        let head = head(&vitald, "GET", target, &format!("{HOME}{BEARER}"));
        assert!(!is_granted(&head) && !head.contains("Vary: Origin"), "{head}");
    }
    let asked = format!("{HOME}Access-Control-Request-Method: GET\r\n");
    let head = head(&vitald, "OPTIONS", "/api/v1/snapshot", &asked);
    assert!(head.starts_with("HTTP/1.1 401 ") && !is_granted(&head), "{head}");
}

#[test]
fn a_browser_that_asks_beforehand_is_told_that_a_token_may_be_sent() {
    let vitald = allowing();
    let asked = "Access-Control-Request-Method: GET\r\n\
                 Access-Control-Request-Headers: authorization\r\n";
    let granted = head(&vitald, "OPTIONS", "/api/v1/snapshot", &format!("{HOME}{asked}"));
    assert!(granted.starts_with("HTTP/1.1 204 "), "{granted}");
    for line in [
        "Access-Control-Allow-Origin: https://home.example",
        "Access-Control-Allow-Methods: GET, HEAD",
        "Access-Control-Allow-Headers: Authorization",
        "Access-Control-Max-Age: 600",
        "Vary: Origin",
    ] {
        assert!(granted.lines().any(|each| each == line), "{line} is not in {granted}");
    }
    for (fields, status) in [
        (format!("{EVIL}{asked}{BEARER}"), "405"),
        (format!("{HOME}{BEARER}"), "405"),
        (format!("{asked}{BEARER}"), "405"),
        (format!("{EVIL}{asked}"), "401"),
    ] {
        let refused = head(&vitald, "OPTIONS", "/api/v1/snapshot", &fields);
        assert!(refused.starts_with(&format!("HTTP/1.1 {status} ")), "{refused}");
        assert!(!refused.contains("Allow-Methods"), "{refused}");
    }
}

#[test]
fn streams_are_opened_by_the_own_page_and_allowed_ones_alone() {
    let vitald = allowing();
    let own = format!("Origin: http://{}\r\n", vitald.address);
    for (origin, status) in [("", 200), (&*own, 200), (HOME, 200), (EVIL, 403)] {
        let stream = head(&vitald, "GET", "/events", &format!("{origin}{BEARER}"));
        assert!(stream.starts_with(&format!("HTTP/1.1 {status} ")), "{origin} {stream}");
        assert_eq!(is_granted(&stream), origin == HOME, "{stream}");
        let socket = head(&vitald, "GET", "/ws", &format!("{origin}{BEARER}{UPGRADE}"));
        let status = if status == 200 { 101 } else { status };
        assert!(socket.starts_with(&format!("HTTP/1.1 {status} ")), "{origin} {socket}");
    }
}

#[test]
fn a_page_from_elsewhere_cannot_have_its_readers_address_refused() {
    let vitald = allowing();
    for _ in 0..15 {
        for target in ["/ws?token=guess", "/events?token=guess"] {
            let refused = head(&vitald, "GET", target, &format!("{EVIL}{UPGRADE}"));
            assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
        }
    }
    let wrong = head(&vitald, "GET", "/ws?token=guess", UPGRADE);
    assert!(wrong.starts_with("HTTP/1.1 401 "), "{wrong}");
}

#[test]
fn sessions_are_not_for_allowed_pages_either() {
    let vitald = allowing();
    for method in ["POST", "DELETE"] {
        let refused = head(&vitald, method, "/api/v1/session", &format!("{HOME}{BEARER}"));
        assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
        assert!(!refused.contains("Set-Cookie"), "{refused}");
    }
}

#[test]
fn a_name_that_was_pointed_here_gets_nothing_with_the_token_or_without() {
    let vitald = allowing();
    for target in READ.iter().chain(&["/ws", "/events", "/api/v1/session"]) {
        for token in [BEARER, ""] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\n{HOME}{token}");
            let refused = vitald.exchange(&format!("{head}Connection: close\r\n\r\n"));
            assert!(refused.starts_with("HTTP/1.1 421 "), "{refused}");
            assert!(!refused.contains("Access-Control"), "{refused}");
        }
    }
}

#[test]
fn every_answer_has_the_protective_fields() {
    let vitald = start(&[]);
    for target in READ.iter().chain(&["/events", "/ws"]) {
        for token in [BEARER, ""] {
            let head = head(&vitald, "GET", target, token);
            assert!(head.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{target} {head}");
            assert!(head.contains("\r\nReferrer-Policy: no-referrer\r\n"), "{target} {head}");
            let is_page = *target == "/";
            assert_eq!(head.contains("\r\nContent-Security-Policy: "), is_page, "{target} {head}");
        }
    }
    for refused in ["GET /", "GET / HTTP/1.1\r\n\r\n", "BREW / HTTP/1.1\r\nHost: localhost\r\n"] {
        let answer = vitald.exchange(&format!("{refused}Connection: close\r\n\r\n"));
        assert!(answer.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{answer}");
    }
}
