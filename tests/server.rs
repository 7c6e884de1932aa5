//! The binary from outside: what a browser, curl and an operator see of it.

mod support;

use std::io::Write;

use support::{Vitald, close_code, next, next_of};
use tungstenite::Message;

#[test]
fn refusals_have_their_status_and_the_server_goes_on() {
    let vitald = Vitald::start();
    let host = format!("Host: {}\r\nConnection: close\r\n", vitald.address);
    let long = "x".repeat(3000);
    for (request, status) in [
        ("NONSENSE\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), 400),
        (format!("GET /nothing HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("POST / HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("PUT /api/v1/connections HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("GET /api/v1/server?audit=yes HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello"), 413),
        (format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), 414),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".to_owned(), 421),
        (format!("GET /ws HTTP/1.1\r\n{host}\r\n"), 426),
        (format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "y".repeat(9000)), 431),
        (format!("BREW / HTTP/1.1\r\n{host}\r\n"), 501),
        (format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n"), 501),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"), 505),
    ] {
        let answer = vitald.exchange(&request);
        let shown: String = request.chars().take(60).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?} gave {answer:?}");
    }
    assert!(vitald.get("/healthz", "").ends_with("\r\n\r\nok"));
}

#[test]
fn a_foreign_page_may_not_open_a_websocket() {
    let vitald = Vitald::start();
    let fields = "Origin: http://evil.example\r\nUpgrade: websocket\r\n";
    assert!(vitald.get("/ws", fields).starts_with("HTTP/1.1 403 "));
}

#[test]
fn the_page_is_served_compressed_with_its_policy_and_known_again() {
    let vitald = Vitald::start();
    let page = vitald.get("/", "Accept-Encoding: gzip\r\n");
    for field in ["Content-Encoding: gzip", "Content-Security-Policy: default-src 'none'"] {
        assert!(page.contains(field), "{field} is missing");
    }
    let etag = page.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("an ETag");
    let again = format!("Accept-Encoding: gzip\r\nIf-None-Match: {etag}\r\n");
    assert!(vitald.get("/", &again).starts_with("HTTP/1.1 304 "));
}

#[test]
fn hello_comes_first_and_then_every_sample() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws");
    let hello = next(&mut socket);
    assert_eq!((&hello["type"], &hello["protocol"]), (&"hello".into(), &1.into()));
    assert!(hello["history"]["cpu.usage"]["values"].is_array());
    assert!(hello["snapshot"]["memory"]["total"].as_f64() > Some(1e6));
    let mut seq = next(&mut socket)["seq"].as_u64().expect("a number");
    for _ in 0..5 {
        let message = next(&mut socket);
        assert_eq!(message["type"], "metrics");
        let newer = message["seq"].as_u64().expect("a number");
        assert!(newer > seq);
        seq = newer;
    }
}

#[test]
fn a_subscription_is_granted_and_kept_to_however_often_it_is_asked_for() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws?history=0");
    assert!(next(&mut socket)["history"].is_null());
    for _ in 0..3 {
        let wanted = r#"{"type":"subscribe","topics":["memory.usage"],"interval_ms":150,"id":7}"#;
        socket.send(Message::text(wanted)).expect("it reads");
        let granted = next_of(&mut socket, "subscribed");
        assert_eq!((&granted["interval_ms"], &granted["id"]), (&200.into(), &7.into()));
    }
    let message = next_of(&mut socket, "metrics");
    assert!(message["memory"]["usage"].is_number());
    assert!(message["memory"]["total"].is_null() && message["cpu"].is_null());
}

#[test]
fn a_mistake_is_answered_and_the_connection_stays() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws");
    for (text, code) in [
        ("{", "bad_json"),
        (r#"{"type":"dance"}"#, "unknown_type"),
        (r#"{"type":"subscribe","topics":["cup"]}"#, "unknown_topic"),
        (r#"{"type":"subscribe","topics":1}"#, "bad_request"),
    ] {
        socket.send(Message::text(text)).expect("it reads");
        assert_eq!(next_of(&mut socket, "error")["code"], code);
    }
    socket.send(Message::text(r#"{"type":"ping","id":3}"#)).expect("it reads");
    assert_eq!(next_of(&mut socket, "pong")["id"], 3);
}

#[test]
fn what_is_not_spoken_here_is_closed_with_its_code() {
    let vitald = Vitald::start();
    for (message, code) in
        [(Message::binary(vec![1]), 1003), (Message::text("x".repeat(5000)), 1009)]
    {
        let mut socket = vitald.websocket("/ws");
        socket.send(message).expect("it reads");
        assert_eq!(close_code(&mut socket), code);
    }
    for (bytes, code) in
        [(&b"\x81\x02hi"[..], 1002), (b"\xc1\x80\0\0\0\0", 1002), (b"\x81\x81\0\0\0\0\xff", 1007)]
    {
        let mut socket = vitald.websocket("/ws");
        socket.get_mut().write_all(bytes).expect("it reads");
        assert_eq!(close_code(&mut socket), code);
    }
    let mut socket = vitald.websocket("/ws");
    for _ in 0..21 {
        socket.send(Message::text(r#"{"type":"ping"}"#)).expect("it reads");
    }
    assert_eq!(close_code(&mut socket), 1008);
}

#[test]
fn a_stop_tells_subscribers_and_ends_well() {
    for signal in ["-TERM", "-INT"] {
        let mut vitald = Vitald::start();
        let mut socket = vitald.websocket("/ws");
        next(&mut socket);
        vitald.signal(signal);
        assert_eq!(close_code(&mut socket), 1001);
        let _ = socket.flush();
        assert!(vitald.wait().success());
    }
}

#[test]
fn wrong_use_is_one_sentence_and_its_exit_status() {
    let vitald = Vitald::start();
    let taken = vitald.address.to_string();
    for (arguments, status) in [
        (&["--nonsense"][..], 2),
        (&["-l", "nowhere"], 2),
        (&["-l", "0.0.0.0:0"], 2),
        (&["-l", &taken, "--log-level", "error"], 1),
    ] {
        let output = support::command().args(arguments).output();
        let output = output.expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?} said {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}

#[test]
fn once_prints_one_sample_with_rates() {
    let output = support::command().args(["once", "-i", "300ms"]).output();
    let output = output.expect("the binary starts");
    let sample: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(sample["type"], "metrics");
    assert!(sample["cpu"]["usage"].is_number());
}
