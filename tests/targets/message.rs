//! Messages of a client: lines of text, each sent to vitald as one message.

use std::time::Duration;

use serde_json::Value;
use vitald::app::protocol::{DIVISORS, SUBSCRIPTIONS_MAX, parse};
use vitald::metrics::selection::Selection;

use super::peer::{
    TEXT, UPGRADE, WIDE, check_books, client_frame, run_until, take_all, take_frames,
    take_switching, vitald,
};

/// Messages of one input; those beyond are left out.
const MESSAGES_MAX: usize = 24;

/// Messages in a second: below what a connection is closed for.
const MESSAGES_PER_SECOND: usize = 8;

const CODES: [&str; 5] = ["bad_json", "bad_request", "unknown_type", "unknown_topic", "limit"];

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (mut engine, wire) = vitald(Duration::from_secs(1));
    let client = wire.connect(WIDE);
    wire.send(client, UPGRADE);
    let mut bytes = Vec::new();
    take_all(&mut engine, &wire, client, &mut bytes);
    assert!(take_switching(&mut bytes));
    let mut session = Session { subs: vec!["default".to_owned()], ..Session::default() };
    assert_eq!(session.take_answers(&mut bytes)[0]["type"], "hello");
    let lines = text.split('\n').filter(|line| line.len() <= 4096).take(MESSAGES_MAX);
    // The last one shows that the connection still serves.
    let lines: Vec<&str> = lines.chain([r#"{"type":"ping","id":"last"}"#]).collect();
    for second in lines.chunks(MESSAGES_PER_SECOND) {
        for line in second {
            for base_interval_ms in [0, 1000, u64::MAX] {
                let _ = parse(line, base_interval_ms);
            }
            wire.send(client, &client_frame(0x81, line.as_bytes()));
            take_all(&mut engine, &wire, client, &mut bytes);
            let mut answers = session.take_answers(&mut bytes);
            if answers.is_empty() {
                // The process table is told of when it has been looked at.
                let soon = wire.now_ms() + 10;
                run_until(&mut engine, &wire, soon);
                take_all(&mut engine, &wire, client, &mut bytes);
                answers = session.take_answers(&mut bytes);
            }
            assert_eq!(answers.len(), 1, "{line:?} gave {answers:?}");
            session.check(line, &answers[0]);
        }
        let next_second = wire.now_ms() + 1000;
        run_until(&mut engine, &wire, next_second);
        take_all(&mut engine, &wire, client, &mut bytes);
        assert!(session.take_answers(&mut bytes).is_empty(), "answers to nothing");
    }
    wire.end(client);
    take_all(&mut engine, &wire, client, &mut bytes);
    assert!(wire.is_closed(client));
    check_books(&engine);
}

/// Whose a message is.
fn sub_of(message: &Value) -> &str {
    message.get("sub").map_or(Some("default"), Value::as_str).expect("a name")
}

/// What a client knows of its own connection.
#[derive(Default)]
struct Session {
    subs: Vec<String>,
    /// The newest sequence number of each subscription that has been sent.
    sequences: Vec<(String, u64)>,
    /// What each subscription was granted of every row, as topic and field.
    of_every_row: Vec<(String, Vec<(String, String)>)>,
}

impl Session {
    /// Takes what has come; checks the samples and gives the rest.
    fn take_answers(&mut self, bytes: &mut Vec<u8>) -> Vec<Value> {
        let frames = take_frames(bytes);
        assert!(bytes.is_empty(), "half a frame to a reader with room");
        let mut answers = Vec::new();
        for frame in frames {
            assert_eq!(frame.opcode, TEXT, "{frame:?}");
            assert!(frame.payload.starts_with(br#"{"type":""#), "type comes first");
            let message: Value = serde_json::from_slice(&frame.payload).expect("it is JSON");
            match message["type"].as_str() {
                Some("metrics") => self.note_sample(sub_of(&message), &message),
                Some("batch") => {
                    let samples = message["samples"].as_array().expect("a list");
                    assert!((1..=60).contains(&samples.len()), "{} samples", samples.len());
                    samples.iter().for_each(|sample| self.note_sample(sub_of(&message), sample));
                }
                _ => answers.push(message),
            }
        }
        answers
    }

    fn note_sample(&mut self, sub: &str, message: &Value) {
        assert!(self.subs.iter().any(|known| known == sub), "{sub:?} is not subscribed");
        let sequence = message["seq"].as_u64().expect("a number");
        let newest = self.sequences.iter_mut().find(|(known, _)| known == sub);
        match newest {
            Some((_, newest)) => {
                assert!(sequence > *newest, "{sub:?}: {sequence} after {newest}");
                *newest = sequence;
            }
            None => self.sequences.push((sub.to_owned(), sequence)),
        }
        for (_, paths) in self.of_every_row.iter().filter(|(known, _)| known == sub) {
            for (topic, field) in paths {
                let rows = message[topic].as_array().expect("a topic that was granted");
                assert!(rows.iter().all(|row| row.get(field).is_some()), "{topic}.*.{field}");
            }
        }
    }

    /// Checks that `answer` is one that the contract has for `request`.
    fn check(&mut self, request: &str, answer: &Value) {
        let asked: Result<Value, _> = serde_json::from_str(request);
        let kind = answer["type"].as_str().expect("a type");
        if let Some(id) = answer.get("id") {
            let is_name = id.as_str().is_some_and(|id| id.len() <= 64);
            assert!(id.is_i64() || is_name, "{id}");
            // A value that serde_json cannot hold may still have an id that it can.
            assert!(asked.as_ref().map_or(true, |asked| asked.get("id") == Some(id)), "{id}");
        }
        match kind {
            "error" => {
                let code = answer["code"].as_str().expect("a code");
                assert!(CODES.contains(&code), "{code}");
                assert!(answer["message"].as_str().is_some_and(|words| !words.is_empty()));
                assert!(code != "bad_json" || asked.is_err(), "{request:?} is JSON");
            }
            "pong" => assert!(answer["t"].is_u64()),
            "history" => assert!(answer["series"].is_array()),
            "server" => assert!(answer["ledger"].is_object()),
            "subscribed" => self.note_subscribed(answer),
            "unsubscribed" => {
                let sub = answer["sub"].as_str().expect("a name");
                assert!(self.subs.iter().any(|known| known == sub), "{sub:?} was not there");
                self.subs.retain(|known| known != sub);
            }
            other => panic!("{other} is no answer to {request:?}"),
        }
        if let Ok(asked) = &asked
            && kind != "error"
        {
            let expected = ["get", "ping", "subscribe", "unsubscribe"]
                .contains(&asked["type"].as_str().unwrap_or_default());
            assert!(expected, "{request:?} gave {answer}");
        }
    }

    fn note_subscribed(&mut self, answer: &Value) {
        let sub = answer["sub"].as_str().expect("a name");
        assert!((1..=32).contains(&sub.len()), "{sub:?}");
        if !self.subs.iter().any(|known| known == sub) {
            self.subs.push(sub.to_owned());
        }
        assert!(self.subs.len() <= SUBSCRIPTIONS_MAX, "{:?}", self.subs);
        let interval_ms = answer["interval_ms"].as_u64().expect("a number");
        assert!(DIVISORS.iter().any(|&divisor| u64::from(divisor) * 1000 == interval_ms));
        let batch = answer.get("batch").map(|batch| batch.as_u64().expect("a number"));
        match answer["mode"].as_str().expect("a mode") {
            "batch" => assert!(batch.is_some_and(|batch| (2..=60).contains(&batch)), "{batch:?}"),
            mode => assert!(["last", "mean"].contains(&mode) && batch.is_none(), "{mode}"),
        }
        let topics = answer["topics"].as_array().expect("a list");
        let topics: Vec<&str> =
            topics.iter().map(|topic| topic.as_str().expect("a path")).collect();
        let granted = Selection::parse(topics.iter().copied()).expect("what is granted exists");
        assert!(!granted.is_empty() && granted.names() == topics, "{topics:?} is not canonical");
        let pairs = topics.iter().filter_map(|path| path.split_once(".*."));
        let lists = pairs.filter(|(_, field)| !field.contains('.'));
        let paths = lists.map(|(topic, field)| (topic.to_owned(), field.to_owned())).collect();
        self.of_every_row.retain(|(known, _)| known != sub);
        self.of_every_row.push((sub.to_owned(), paths));
    }
}
