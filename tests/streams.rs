//! Event streams from outside: what curl and a browser's EventSource see of them.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{PATIENCE, Vitald, next_of, until};

/// An event as its fields, in their order. A comment is none.
#[derive(Debug, Default, PartialEq)]
struct Event {
    retry: Option<String>,
    id: Option<u64>,
    data: Value,
}

/// Asks for something, and takes the head of the answer. What should be no stream may be one, whose
/// end would never come.
fn ask(vitald: &Vitald, target: &str, fields: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = vitald.connect();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", vitald.address);
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut reader = BufReader::new(stream);
    (take_head(&mut reader), reader)
}

fn take_head(reader: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("a head comes") > 0, "{head:?}");
    }
    head
}

/// The reader of a stream.
struct Stream {
    reader: BufReader<TcpStream>,
    head: String,
}

impl Stream {
    /// Asks for a stream, and takes the head of the answer.
    fn open(vitald: &Vitald, query: &str) -> Stream {
        let (head, reader) = ask(vitald, &format!("/events{query}"), "");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head:?}");
        Stream { reader, head }
    }

    /// The next event, read as HTML's section 9.2.6 has it; `None` at the end of the stream.
    fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).expect("it goes on or ends in order") == 0 {
                assert_eq!(event, Event::default(), "the stream ends between events");
                return None;
            }
            let line = line.strip_suffix('\n').expect("a whole line");
            match line.split_once(": ") {
                Some(("retry", value)) => event.retry = Some(value.to_owned()),
                Some(("id", value)) => event.id = Some(value.parse().expect("a number")),
                Some(("data", value)) => event.data = value.parse().expect("JSON in one line"),
                None if line.is_empty() && !event.data.is_null() => return Some(event),
                None if line.is_empty() || line == ":" => {}
                _ => panic!("nobody knows such a line: {line:?}"),
            }
        }
    }

    /// The next event of a type.
    fn next_of(&mut self, kind: &str) -> Event {
        loop {
            let event = self.next().expect("the stream goes on");
            if event.data["type"] == kind {
                return event;
            }
        }
    }
}

#[test]
fn hello_comes_first_and_then_every_sample_with_its_number() {
    let vitald = Vitald::start();
    let mut stream = Stream::open(&vitald, "");
    for field in [
        "Content-Type: text/event-stream",
        "Cache-Control: no-store",
        "X-Accel-Buffering: no",
        "Connection: close",
    ] {
        assert!(stream.head.contains(&format!("\r\n{field}\r\n")), "{field}: {}", stream.head);
    }
    assert!(!stream.head.contains("Content-Length") && !stream.head.contains("Transfer-Encoding"));
    let hello = stream.next().expect("it greets");
    assert_eq!((hello.retry.as_deref(), hello.id), (Some("3000"), None));
    assert_eq!(hello.data["type"], "hello");
    assert!(hello.data["history"]["cpu.usage"]["values"].is_array());
    let first = stream.next().expect("it goes on");
    assert_eq!((&first.data["type"], first.retry), (&"metrics".into(), None));
    assert!(first.data["memory"]["total"].is_number() && first.data["server"].is_null());
    let mut seq = first.id.expect("a sample has its number");
    // A busy machine may skip a tick, for everybody; nothing else leaves one out.
    let mut skipped = 0;
    for _ in 0..20 {
        let event = stream.next_of("metrics");
        let id = event.id.expect("a sample has its number");
        assert_eq!(event.data["seq"], id);
        assert!(id > seq);
        skipped += id - seq - 1;
        seq = id;
    }
    assert!(skipped <= 5, "{skipped} of 20 samples are missing");
}

#[test]
fn the_query_decides_what_comes_and_how_often() {
    let vitald = Vitald::start();
    let query = "?topics=memory.usage,load&topics=cpu&interval_ms=150&history=0&mode=last&a=b";
    let mut stream = Stream::open(&vitald, query);
    assert!(stream.next().expect("it greets").data["history"].is_null());
    let first = stream.next().expect("it goes on");
    assert!(first.data["memory"]["usage"].is_number() && first.data["memory"]["total"].is_null());
    assert!(first.data["cpu"].is_object() && first.data["load"].is_object());
    assert!(first.data["system"].is_null() && first.data["sub"].is_null());
    let second = stream.next().expect("it goes on");
    let distance = second.id.expect("a number") - first.id.expect("a number");
    assert!(distance >= 2 && distance.is_multiple_of(2), "150 ms are two ticks, not {distance}");
}

#[test]
fn a_query_that_makes_no_sense_is_refused_in_words() {
    let vitald = Vitald::start();
    for (query, word) in [
        ("?topics=cup", "cup"),
        ("?topics=", "topics"),
        ("?topics=cpu,,load", "metric path"),
        ("?interval_ms=soon", "interval_ms"),
        ("?interval_ms=-5", "interval_ms"),
        ("?mode=loud", "mode"),
    ] {
        let (head, mut rest) = ask(&vitald, &format!("/events{query}"), "Connection: close\r\n");
        assert!(head.starts_with("HTTP/1.1 400 "), "{query}: {head}");
        assert!(head.contains("\r\nContent-Type: text/plain"), "{query}: {head}");
        let mut body = String::new();
        rest.read_to_string(&mut body).expect("it ends");
        assert!(body.contains(word), "{query}: {body}");
    }
}

#[test]
fn foreign_pages_and_foreign_names_are_refused() {
    let vitald = Vitald::start();
    let foreign = "Origin: http://evil.example\r\n";
    assert!(ask(&vitald, "/events", foreign).0.starts_with("HTTP/1.1 403 "));
    let own = format!("Origin: http://{}\r\n", vitald.address);
    assert!(ask(&vitald, "/events", &own).0.starts_with("HTTP/1.1 200 "));
    let mut stream = vitald.connect();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: evil.example\r\n\r\n").expect("it reads");
    assert!(take_head(&mut BufReader::new(stream)).starts_with("HTTP/1.1 421 "));
    let posted = format!("POST /events HTTP/1.1\r\nHost: {}\r\n", vitald.address);
    let answer = vitald.exchange(&(posted + "Connection: close\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[test]
fn head_gets_the_head_alone_and_the_end() {
    let vitald = Vitald::start();
    let request = format!("HEAD /events HTTP/1.1\r\nHost: {}\r\n\r\n", vitald.address);
    let answer = vitald.exchange(&request);
    assert!(answer.contains("\r\nContent-Type: text/event-stream\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n") && !answer.contains("data:"), "{answer}");
}

#[test]
fn a_stream_is_shown_as_connected_and_its_events_are_counted() {
    let vitald = Vitald::start();
    let body = |path: &str| -> Value {
        let answer = vitald.get(path, "");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
        body.parse().expect("JSON")
    };
    let mut stream = Stream::open(&vitald, "?history=0");
    for _ in 0..5 {
        stream.next().expect("it goes on");
    }
    let rows = body("/api/v1/connections");
    let row = rows.as_array().expect("a list").iter().find(|row| row["phase"] == "streaming");
    let row = row.unwrap_or_else(|| panic!("no stream among {rows}"));
    assert_eq!(row["state"], "CONNECTED");
    let messages = body("/api/v1/server")["messages"].clone();
    assert!(messages["sent"].as_u64() >= Some(5), "{messages}");
    assert!(messages["latency_ms"]["p99"].is_number(), "{messages}");
    drop(stream);
    until(PATIENCE, "its leaving is noticed", || {
        let rows = body("/api/v1/connections");
        let rows = rows.as_array().expect("a list").clone();
        rows.iter().all(|row| row["phase"] != "streaming").then_some(())
    });
}

#[test]
fn a_stop_ends_streams_in_order_and_without_delay() {
    let mut vitald = Vitald::start();
    let mut stream = Stream::open(&vitald, "");
    assert_eq!(stream.next().expect("it greets").data["type"], "hello");
    let began = Instant::now();
    vitald.signal("-TERM");
    while stream.next().is_some() {}
    drop(stream);
    assert!(vitald.wait().success());
    let seconds = began.elapsed().as_secs_f64();
    assert!(seconds < 4.0, "after {seconds:.1} s, where after 5 s it would have been by force");
}

#[test]
fn an_alert_comes_as_an_event_without_a_number() {
    let configuration = std::env::temp_dir();
    let path = configuration.join(format!("vitald-streams-{}.toml", std::process::id()));
    let rule =
        "[[alert]]\nname = \"always\"\nmetric = \"system.uptime_s\"\nabove = 0\nhold = \"1s\"\n";
    std::fs::write(&path, rule).expect("a file can be written");
    let mut command = support::command();
    command.args(["-l", "127.0.0.1:0", "-i", "100ms", "--log-level", "error", "-c"]).arg(&path);
    let vitald = Vitald::start_as(&mut command);
    let mut stream = Stream::open(&vitald, "");
    let mut socket = vitald.websocket("/ws");
    let alert = stream.next_of("alert");
    assert_eq!((&alert.data["rule"], &alert.data["state"]), (&"always".into(), &"firing".into()));
    assert_eq!((alert.id, alert.retry), (None, None));
    assert_eq!(next_of(&mut socket, "alert"), alert.data, "the same as to a WebSocket");
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn a_reader_that_does_not_keep_up_gets_whole_events_and_newer_ones() {
    let vitald = Vitald::start();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("there are descriptors");
    // Small segments make the server's kernel hold little for a peer that does not read.
    socket.set_tcp_mss(536).expect("an option can be set");
    socket.set_recv_buffer_size(1).expect("the kernel rounds up");
    socket.connect(&vitald.address.into()).expect("it accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut stream: TcpStream = socket.into();
    vitald.send_get(&mut stream, "GET", "/events?history=0");
    let mut watcher = Stream::open(&vitald, "?topics=load&history=0");
    let first = watcher.next_of("metrics").id.expect("a number");
    let conflated = || {
        let answer = vitald.get("/api/v1/server", "");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let server: Value = body.parse().expect("JSON");
        server["messages"]["conflated"].as_u64().expect("a number")
    };
    let newest = until(Duration::from_secs(30), "states are replaced", || {
        let newest = watcher.next_of("metrics").id;
        (conflated() >= 5).then_some(newest.expect("a number"))
    });
    let mut reader = BufReader::new(stream);
    let mut slow = Stream { head: take_head(&mut reader), reader };
    assert_eq!(slow.next().expect("it greets").data["type"], "hello");
    let (mut seq, mut heard) = (0, 0);
    while seq < newest {
        let id = slow.next_of("metrics").id.expect("a number");
        assert!(id > seq);
        heard += u64::from(id >= first);
        seq = id;
    }
    let missing = seq + 1 - first - heard;
    assert!(missing >= 4, "{missing} of what was replaced are missing");
}
