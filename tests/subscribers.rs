//! Subscribers over real sockets: what the protocol allows them, and what a slow one costs.

mod support;

use std::collections::HashMap;
use std::io::Write;

use support::{Vitald, next, next_of, schema, socket_path, unix_websocket};
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

/// Ticks for which the slow reader sleeps: enough to fill the socket's buffers several times, and
/// less than the time after which a reader that takes nothing is dropped.
const TICKS: u64 = 70;

#[test]
fn a_slow_reader_gets_whole_and_newest_frames_and_disturbs_nobody() {
    let path = socket_path("slow");
    let listen = format!("unix:{}", path.display());
    let vitald = Vitald::start_with(&["-l", &listen]);
    // A Unix socket's buffer does not grow, so it is full soon; four subscriptions fill it sooner.
    let mut slow = unix_websocket(&path);
    for sub in ["two", "three", "four"] {
        let wanted = format!(r#"{{"type":"subscribe","sub":"{sub}","topics":[{ALL}]}}"#);
        slow.send(Message::text(wanted)).expect("it reads");
        next_of(&mut slow, "subscribed");
    }
    let mut quick = vitald.websocket("/ws?history=0");
    let first = next_of(&mut quick, "metrics")["seq"].as_u64().expect("a number");
    let (mut seq, mut messages) = (first, 0);
    while seq < first + TICKS {
        seq = next_of(&mut quick, "metrics")["seq"].as_u64().expect("a number");
        messages += 1;
    }
    // A busy machine may make the server skip a tick for everybody; a slow reader costs others
    // none.
    assert!(messages > TICKS * 9 / 10, "the quick reader got {messages} of {TICKS}");
    let mut newest: HashMap<String, u64> = HashMap::new();
    let mut gaps: HashMap<String, u64> = HashMap::new();
    while newest.len() < 4 || newest.values().any(|newest| *newest <= first + TICKS) {
        // Reading fails unless every frame is whole.
        let message = next_of(&mut slow, "metrics");
        let sub = message["sub"].as_str().unwrap_or("default").to_owned();
        let newer = message["seq"].as_u64().expect("a number");
        if let Some(older) = newest.insert(sub.clone(), newer) {
            assert!(newer > older, "{sub} went from {older} to {newer}");
            let gap = gaps.entry(sub).or_default();
            *gap = (*gap).max(newer - older - 1);
        }
    }
    assert!(gaps.values().all(|gap| *gap > 5), "nothing was conflated: {gaps:?}");
}

const ALL: &str = r#""cpu","load","memory","pressure","disks","filesystems","networks","system""#;

#[test]
fn the_subprotocol_is_echoed_to_one_who_offers_it_and_optional() {
    let vitald = Vitald::start();
    for (offered, granted) in [("vitald.v1", true), ("other, vitald.v1", true), ("other", false)] {
        let mut request =
            format!("ws://{}/ws", vitald.address).into_client_request().expect("a URL");
        request.headers_mut().insert("Sec-WebSocket-Protocol", offered.parse().expect("a field"));
        // The client library refuses an answer without a subprotocol that it has asked for, as
        // RFC 6455 allows; the head is then looked at by hand.
        match tungstenite::client(request, vitald.connect()) {
            Ok((_, response)) => {
                assert!(granted);
                assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "vitald.v1");
            }
            Err(error) => assert!(!granted, "{error}"),
        }
    }
    next_of(&mut vitald.websocket("/ws"), "hello");
}

#[test]
fn a_message_may_come_in_fragments_with_a_ping_between_them() {
    let vitald = Vitald::start();
    let mut socket = vitald.websocket("/ws?history=0");
    // A masked {"type":"ping","id":9} in two frames; the mask is zero, so the text shows.
    let (one, two) = (br#"{"type":"#, br#""ping","id":9}"#);
    let frame =
        |first: u8, text: &[u8]| [&[first, 0x80 | text.len() as u8, 0, 0, 0, 0], text].concat();
    let bytes = [frame(0x01, one), frame(0x89, b"between"), frame(0x80, two)].concat();
    socket.get_mut().write_all(&bytes).expect("it reads");
    let mut pong = None;
    loop {
        match socket.read().expect("a message comes") {
            Message::Pong(payload) => pong = Some(payload),
            Message::Text(text) if schema::read_message(&text)["id"] == 9 => break,
            _ => {}
        }
    }
    assert_eq!(pong.as_deref(), Some(&b"between"[..]), "the pong comes before the answer");
}

#[test]
fn many_may_come_and_go_and_the_next_is_served_as_the_first() {
    let vitald = Vitald::start();
    for round in 0..300 {
        let mut socket = vitald.websocket("/ws?history=0");
        assert_eq!(next(&mut socket)["type"], "hello");
        // Every second one leaves without a word.
        if round % 2 == 0 {
            socket.close(None).expect("it is open");
        }
    }
    next_of(&mut vitald.websocket("/ws"), "metrics");
}
