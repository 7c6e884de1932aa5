//! HTTP/1.1 as clients use it: kept connections, pipelining, HEAD, odd timing, half-closed ends.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;

use serde_json::Value;
use support::{Vitald, answer};

#[test]
fn a_connection_serves_one_request_after_another() {
    let vitald = Vitald::start();
    let mut stream = vitald.connect();
    for target in ["/healthz", "/nothing", "/api/v1/snapshot", "/healthz"] {
        vitald.send_get(&mut stream, "GET", target);
        let (head, body) = answer(&mut stream, true);
        let status = if target == "/nothing" { "404" } else { "200" };
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
        assert!(!body.is_empty(), "{target}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let vitald = Vitald::start();
    let mut stream = vitald.connect();
    let targets = ["/healthz", "/nothing", "/api/v1/snapshot"];
    for index in 0..60 {
        vitald.send_get(&mut stream, "GET", targets[index % 3]);
    }
    for index in 0..60 {
        let (head, body) = answer(&mut stream, true);
        let is_in_order = match index % 3 {
            0 => body == "ok",
            1 => head.contains(" 404 "),
            _ => body.starts_with("{\"type\":\"metrics\""),
        };
        assert!(is_in_order, "{index}: {head}{body}");
    }
}

#[test]
fn a_health_probe_in_http_1_0_is_answered_with_and_without_a_host() {
    let vitald = Vitald::start();
    let host = format!("Host: {}\r\n", vitald.address);
    for method in ["GET", "HEAD"] {
        for fields in ["", &host, "Connection: close\r\nUser-Agent: probe\r\n"] {
            // Until its end, which is ours: nobody has asked for more.
            let answer = vitald.exchange(&format!("{method} /healthz HTTP/1.0\r\n{fields}\r\n"));
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.starts_with("HTTP/1.1 200 "), "{method} {fields:?}: {head}");
            assert!(head.contains("\r\nContent-Length: 2") && head.contains("Connection: close"));
            assert_eq!(body, if method == "GET" { "ok" } else { "" }, "{fields:?}");
        }
    }
    let mut stream = vitald.connect();
    let asking = b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    for _ in 0..2 {
        stream.write_all(asking).expect("it reads");
        assert_eq!(answer(&mut stream, true).1, "ok");
    }
    let foreign = vitald.exchange("GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n");
    assert!(foreign.starts_with("HTTP/1.1 421 "), "{foreign}");
}

#[test]
fn head_gives_the_fields_of_get_and_no_body() {
    let vitald = Vitald::start();
    let mut stream = vitald.connect();
    for target in ["/", "/healthz", "/nothing"] {
        vitald.send_get(&mut stream, "HEAD", target);
        let (head, _) = answer(&mut stream, false);
        vitald.send_get(&mut stream, "GET", target);
        let (get, _) = answer(&mut stream, true);
        let fields = |head: &str| {
            let lines = head.lines().filter(|line| !line.starts_with("Date: "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(fields(&head), fields(&get));
    }
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let vitald = Vitald::start();
    let mut stream = vitald.connect();
    stream.set_nodelay(true).expect("an option can be set");
    let head = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", vitald.address);
    for byte in head.as_bytes() {
        stream.write_all(&[*byte]).expect("it reads");
    }
    assert_eq!(answer(&mut stream, true).1, "ok");
}

#[test]
fn a_client_that_has_said_all_it_wants_is_still_answered() {
    let vitald = Vitald::start();
    let mut stream = vitald.connect();
    vitald.send_get(&mut stream, "GET", "/api/v1/snapshot");
    stream.shutdown(Shutdown::Write).expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer comes and then an end");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with('}'), "{answer}");
}

#[test]
fn one_who_is_refused_while_still_sending_can_read_why() {
    let vitald = Vitald::start();
    let mut stream = vitald.connect();
    let head = format!(
        "POST /api/v1/snapshot HTTP/1.1\r\nHost: {}\r\nContent-Length: 40000\r\n\r\n",
        vitald.address
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    for _ in 0..40 {
        stream.write_all(&[b'x'; 1000]).expect("it does not reset the connection");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the reason arrives, not a reset");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn a_head_that_does_not_end_is_answered_with_408() {
    let vitald = Vitald::start();
    let answer = vitald.exchange("GET / HTTP/1.1\r\nHost: ");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[test]
fn history_comes_as_points_and_as_csv() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws");
    while support::next_of(&mut socket, "metrics")["seq"].as_u64() < Some(8) {}
    let target = "/api/v1/history?metric=memory.usage&metric=cpu.usage&points=5";
    let answer = vitald.get(target, "");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let series: Value = serde_json::from_str(body).expect("it is JSON");
    let (memory, cpu) = (&series[0], &series[1]);
    assert_eq!((&memory["metric"], &cpu["metric"]), (&"memory.usage".into(), &"cpu.usage".into()));
    assert_eq!(memory["unit"], "percent");
    let points = memory["points"].as_array().expect("points");
    assert!((1..=5).contains(&points.len()), "{points:?}");
    for point in points {
        let figures: Vec<f64> =
            point.as_array().expect("a point").iter().filter_map(Value::as_f64).collect();
        assert!(figures.len() == 4 && figures[1] <= figures[2] && figures[2] <= figures[3]);
    }
    let csv = vitald.get("/api/v1/history?metric=memory.usage&format=csv", "");
    assert!(csv.contains("Content-Type: text/csv") && csv.contains("memory.usage"), "{csv}");
    let unknown = vitald.get("/api/v1/history?metric=memory.colour", "");
    assert!(unknown.starts_with("HTTP/1.1 404 ") && unknown.contains("memory.colour"));
}
