//! The schema that clients are given says what the messages are: neither more nor less, field by
//! field, and so do the examples in the documents.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use support::schema::Schema;
use support::{Vitald, answer};
use vitald::app::alerts::messages::{AlertMessage, Firing};
use vitald::app::protocol::{
    ErrorCode, ErrorMessage, Gap, Hello, Id, Means, Metrics, Pong, Refusal, Subscribed,
    Unsubscribed, parse,
};
use vitald::app::terms::{Mode, Terms};
use vitald::metrics::aggregate::Aggregate;
use vitald::metrics::alerts::{Alerts, Rules, Severity, Transition};
use vitald::metrics::facts::Facts;
use vitald::metrics::history::History;
use vitald::metrics::processes::{ORDERS, Question, Row, Table};
use vitald::metrics::selection::Selection;
use vitald::metrics::snapshot::{Disk, Filesystem, Network, Snapshot, Temperature};

/// Where what begins that no type of its own writes: batches, means, and answers in parts, which are
/// judged where they come.
const UNWRITTEN: &[&str] = &[
    "#/$defs/batch/",
    "#/$defs/history/properties/part",
    "#/$defs/history/properties/parts",
    "#/$defs/processes/properties/part",
    "#/$defs/processes/properties/parts",
    "#/$defs/server/properties/part",
    "#/$defs/server/properties/parts",
];

fn sample(message: &impl Serialize) -> Value {
    serde_json::to_value(message).expect("a message is JSON")
}

/// The fields of an answer, as the message of a type that has them.
fn told(kind: &str, fields: impl Serialize) -> Value {
    let mut message: Map<String, Value> = Map::new();
    message.insert("type".to_owned(), kind.into());
    message.insert("id".to_owned(), 2.into());
    let Value::Object(fields) = sample(&fields) else { panic!("an answer is an object") };
    message.extend(fields);
    Value::Object(message)
}

/// One with a row in each list.
fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot { sequence: 7, time_ms: 1_700_000_000_000, ..Snapshot::default() };
    snapshot.cpu.usage = Some(12.5);
    snapshot.cpu.cores = vec![Some(25.0), None];
    snapshot.disks.push(Disk { name: "vda".to_owned(), ..Disk::default() });
    snapshot.filesystems.push(Filesystem { mount: "/".to_owned(), ..Filesystem::default() });
    snapshot.networks.push(Network { up: Some(true), ..Network::default() });
    snapshot.temperatures.push(Temperature::default());
    snapshot
}

/// Every message of the server in each of its forms, as far as types write them.
fn samples(own: Value) -> Vec<Value> {
    let (snapshot, everything) = (snapshot(), Selection::all());
    let metrics = |sub| Metrics { snapshot: &snapshot, sequence: 7, sub, selection: &everything };
    let mut means = Aggregate::new(&everything);
    means.add(&snapshot);
    // Every figure, so that there is one of each unit.
    let mut history = History::with_limits(Duration::from_secs(1), 1000);
    history.record(&snapshot);
    let series = history.names().filter_map(|name| history.query(name, None, None, None));
    let series: Vec<Value> = series
        .map(|series| {
            let mut told = sample(&series.head());
            told["points"] = series.points().map(|point| sample(&series.shown(point))).collect();
            told
        })
        .collect();
    let (facts, alerts) = (Facts::default(), Alerts::new(Rules::default()));
    let hello = Hello::new(&facts, 1000, metrics("default"), Some(&history), Firing(&alerts));
    let ids =
        [Some(&Id::Number(-3)), Some(&Id::Text("a".to_owned())), None].map(Option::<&Id>::cloned);
    let mut samples = vec![
        sample(&hello),
        sample(&metrics("default")),
        sample(&metrics("fast")),
        sample(&Means { means: &means, sequence: 7, sub: "fast" }),
        sample(&Gap::new(3)),
        told("history", json!({ "series": series })),
        told("server", own),
    ];
    for id in ids.iter().map(Option::as_ref) {
        for mode in [Mode::Last, Mode::Mean, Mode::Batch(5)] {
            let terms = Terms { mode, ..Terms::standard() };
            samples.push(sample(&Subscribed::new(&terms, 1000, id)));
        }
        samples.push(sample(&Unsubscribed::new("fast", id)));
        samples.push(sample(&Pong::new(id, 9)));
        for code in ErrorCode::ALL {
            samples.push(sample(&ErrorMessage::new(&Refusal::new(code, "why"), id)));
        }
    }
    samples.extend(transitions());
    samples.extend(tables());
    samples
}

fn transitions() -> Vec<Value> {
    let rules = Rules::default();
    let rule = rules.iter().next().expect("there are rules");
    let forms =
        Severity::ALL.into_iter().flat_map(|severity| [(severity, true), (severity, false)]);
    let transitions = forms.map(|(severity, is_firing)| {
        let mut rule = rule.clone();
        rule.severity = severity;
        Transition {
            rule: Arc::new(rule),
            metric: "cpu.usage".into(),
            is_firing,
            value: is_firing.then_some(63.25),
            since_ms: 1_700_000_000_000,
        }
    });
    transitions.map(|transition| sample(&AlertMessage(&transition))).collect()
}

fn tables() -> Vec<Value> {
    let known = |row: &mut Row| {
        row.user = "root".to_owned();
        row.command = "/sbin/init".to_owned();
        (row.cpu_usage, row.rss, row.state) = (Some(0.5), Some(9 << 20), Some('S'));
    };
    let tables = ORDERS.into_iter().map(|order| {
        let question = Question { order, limit: 20, with_commands: true };
        let mut table = Table::default();
        (table.total, table.running) = (2, Some(1));
        table.covers.add(question);
        table.push(order, 1, known);
        table.push(order, 2, |_| {});
        told("processes", table.view(question).expect("it was asked for"))
    });
    tables.collect()
}

/// What `GET` gives, as JSON.
fn body(vitald: &Vitald, target: &str) -> Value {
    let answer = vitald.get(target, "");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{target}: {error}"))
}

#[test]
fn the_schema_is_served_and_known_again() {
    let vitald = Vitald::start();
    let mut stream = vitald.connect();
    vitald.send_get(&mut stream, "GET", "/api/v1/schema");
    let (head, text) = answer(&mut stream, true);
    assert!(head.contains("Content-Type: application/schema+json\r\n"), "{head}");
    assert!(head.contains("Cache-Control: no-cache\r\n"), "{head}");
    let mut expected = Vec::new();
    vitald::app::schema::write(&mut expected);
    assert_eq!(text.as_bytes(), expected, "what the tests judge by is what clients are given");
    let etag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("an ETag");
    for (tag, status) in [(etag, 304), ("W/\"other\"", 200)] {
        let answer = vitald.get("/api/v1/schema", &format!("If-None-Match: {tag}\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{tag}: {answer}");
    }
}

#[test]
fn the_schema_is_one_by_the_rules_of_its_draft_and_open() {
    let mut text = Vec::new();
    vitald::app::schema::write(&mut text);
    let document: Value = serde_json::from_slice(&text).expect("a schema is JSON");
    let draft = document["$schema"].as_str().expect("it names its draft").to_owned();
    let (mut compiler, mut schemas) = (boon::Compiler::new(), boon::Schemas::new());
    let rules = compiler.compile(&draft, &mut schemas).expect("the draft is known");
    schemas.validate(&document, rules).unwrap_or_else(|complaint| panic!("{complaint}"));
    let name = document["$id"].as_str().expect("it has a name").to_owned();
    compiler.add_resource(&name, document.clone()).expect("the name is a URI");
    let whole = compiler.compile(&name, &mut schemas).expect("it is a schema");
    let later = json!({"type": "pong", "t": 1, "colour": "red"});
    schemas.validate(&later, whole).expect("a field that is not known is to be ignored");
    for wrong in [json!({"type": "pong"}), json!({"type": "dance"}), json!([])] {
        assert!(schemas.validate(&wrong, whole).is_err(), "{wrong}");
    }
    assert!(text.len() < 64 << 10, "{} bytes", text.len());
    assert!(!document.to_string().contains('<'), "a mark is left");
}

#[test]
fn an_answer_over_http_has_the_fields_of_the_message() {
    let vitald = Vitald::start();
    let schema = Schema::ours();
    schema.check_server_message(&body(&vitald, "/api/v1/snapshot"));
    schema.check_server_message(&told("server", body(&vitald, "/api/v1/server")));
    schema.check_server_message(&told("processes", body(&vitald, "/api/v1/processes")));
    let series = body(&vitald, "/api/v1/history?metric=memory.usage&metric=load.one");
    schema.check_server_message(&told("history", json!({ "series": series })));
}

#[test]
fn each_message_has_what_the_schema_has_and_nothing_else() {
    let vitald = Vitald::start();
    let own = body(&vitald, "/api/v1/server");
    let schema = Schema::ours();
    let mut seen = BTreeSet::new();
    for message in samples(own) {
        schema.check_server_message(&message);
        schema.judge("#/$defs/server_message", &message).unwrap_or_else(|error| panic!("{error}"));
        let kind = message["type"].as_str().expect("a message has a type");
        schema.see(&format!("#/$defs/{kind}"), &message, &mut seen);
    }
    let told = schema.places().into_iter().filter(|place| !is_of_a_client(schema, place));
    let unseen: Vec<String> = told.filter(|place| !seen.contains(place)).collect();
    for place in &unseen {
        let is_excused = UNWRITTEN.iter().any(|start| place.starts_with(start));
        assert!(is_excused, "the schema has {place}, which no message has");
    }
    for start in UNWRITTEN {
        assert!(unseen.iter().any(|place| place.starts_with(start)), "{start} is written now");
    }
}

#[test]
fn every_definition_and_field_of_the_schema_is_described() {
    // A group of figures is told by those in it.
    fn fields<'a>(place: &str, told: &'a Value, out: &mut Vec<(String, &'a Value)>) {
        let record = told.get("items").unwrap_or(told);
        for (name, field) in record["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            if field["properties"].is_null() {
                out.push((place.clone(), field));
            }
            fields(&place, field, out);
        }
    }
    let mut all = Vec::new();
    for (name, definition) in Schema::ours().document["$defs"].as_object().expect("there are some")
    {
        all.push((name.clone(), definition));
        fields(name, definition, &mut all);
    }
    assert!(all.len() > 200, "{}", all.len());
    let words = ["description", "const", "$ref"];
    all.retain(|(_, told)| words.iter().all(|word| told.get(word).is_none()));
    assert_eq!(all, []);
}

/// Whether a place is in a message of a client.
fn is_of_a_client(schema: &Schema, place: &str) -> bool {
    client_messages(schema).iter().any(|name| place.starts_with(&format!("{name}/")))
}

/// The definitions of what a client may send, those of `get` one by one.
fn client_messages(schema: &Schema) -> Vec<String> {
    let (unions, messages): (Vec<String>, Vec<String>) =
        members(schema, "client_message").into_iter().partition(|name| name == "#/$defs/get");
    assert_eq!(unions.len(), 1);
    messages.into_iter().chain(members(schema, "get")).collect()
}

/// The definitions that a union is of.
fn members(schema: &Schema, name: &str) -> Vec<String> {
    let union = schema.document["$defs"][name]["oneOf"].as_array().expect("a union");
    union.iter().map(|member| member["$ref"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn the_parser_reads_every_field_that_a_client_may_send() {
    let schema = Schema::ours();
    for name in client_messages(schema) {
        let definition = &schema.document["$defs"][name.rsplit('/').next().expect("a name")];
        let properties = definition["properties"].as_object().expect("a message has fields");
        let constant = |name: &String| properties[name]["const"].as_str().map(str::to_owned);
        let base: Map<String, Value> = properties
            .keys()
            .filter_map(|name| Some((name.clone(), constant(name)?.into())))
            .collect();
        for property in properties.keys() {
            let mut message = base.clone();
            let is_id = property == "id";
            message.insert(property.clone(), if is_id { "x".into() } else { json!({}) });
            let message = Value::Object(message);
            let (id, request) = parse(&message.to_string(), 1000);
            match is_id {
                true => assert_eq!(id, Some(Id::Text("x".to_owned())), "{message}"),
                false => assert_eq!(request.unwrap_err().code, ErrorCode::BadRequest, "{message}"),
            }
        }
    }
}

#[test]
fn the_schema_takes_what_the_parser_takes_and_refuses_what_it_refuses() {
    let schema = Schema::ours();
    for (fields, is_right) in [
        (json!({}), true),
        (json!({"sub": "fast", "topics": ["cpu", "disks.vda.utilisation"], "id": "a"}), true),
        (json!({"interval_ms": 0, "mode": "last"}), true),
        (json!({"mode": "mean", "interval_ms": 60000}), true),
        (json!({"mode": "batch", "batch": 2}), true),
        (json!({"mode": "batch", "batch": 60, "id": -1}), true),
        (json!({"mode": "last", "batch": 5}), true),
        (json!({"mode": "batch"}), false),
        (json!({"mode": "batch", "batch": 1}), false),
        (json!({"mode": "batch", "batch": 61}), false),
        (json!({"mode": "loud"}), false),
        (json!({"sub": ""}), false),
        (json!({"sub": "x".repeat(33)}), false),
        (json!({"topics": []}), false),
        (json!({"topics": "cpu"}), false),
        (json!({"interval_ms": -1}), false),
    ] {
        let mut message = fields.clone();
        message["type"] = "subscribe".into();
        let judged = schema.judge("#/$defs/client_message", &message);
        assert_eq!(judged.is_ok(), is_right, "{message}: {judged:?}");
        let parsed = parse(&message.to_string(), 1000).1;
        assert_eq!(parsed.is_ok(), is_right, "{message}: {parsed:?}");
    }
}

/// The part of the README that is about the protocol.
fn readme() -> &'static str {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("\n## The protocol\n").expect("the README has the section");
    rest.split("\n## ").next().unwrap_or_default()
}

/// The documentation of `vitald::protocol`.
fn manual() -> String {
    let source = include_str!("../src/protocol.rs");
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

/// Each JSON text of the examples in a document: all of a block of JSON, and of any other block
/// what is said, heard or is the data of an event.
fn examples(document: &str) -> Vec<Value> {
    let mut examples = Vec::new();
    for block in document.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').expect("a block has lines");
        let json: String = match language {
            "json" => text.to_owned(),
            _ => {
                let starts = ["> ", "< ", "data: "];
                let said = |line| starts.iter().find_map(|start| str::strip_prefix(line, start));
                text.lines().filter_map(said).collect()
            }
        };
        let values = serde_json::Deserializer::from_str(&json).into_iter();
        examples
            .extend(values.map(|value| value.unwrap_or_else(|error| panic!("{error}: {json}"))));
    }
    examples
}

#[test]
fn the_examples_in_the_documents_are_messages() {
    let schema = Schema::ours();
    for message in [examples(readme()), examples(&manual())].concat() {
        let kind = message["type"].as_str().unwrap_or_default();
        if !["subscribe", "unsubscribe", "get", "ping"].contains(&kind) {
            schema.check_server_message(&message);
            continue;
        }
        schema.check_client_message(&message);
        let (id, request) = parse(&message.to_string(), 1000);
        assert_eq!(sample(&id), message["id"], "{message}");
        // One is there to show an error.
        let is_right = message["topics"] != json!(["cup"]);
        assert_eq!(request.is_ok(), is_right, "{message}: {request:?}");
    }
}

#[test]
fn the_manual_shows_every_message_and_the_readme_most() {
    let kinds = |document: &str| -> BTreeSet<String> {
        let kind = |message: Value| message["type"].as_str().unwrap_or_default().to_owned();
        examples(document).into_iter().map(kind).collect()
    };
    let all: BTreeSet<String> = ["server_message", "client_message"]
        .into_iter()
        .flat_map(|union| members(Schema::ours(), union))
        .map(|name| name.trim_start_matches("#/$defs/").to_owned())
        .collect();
    assert_eq!(kinds(&manual()), all);
    let untold: Vec<String> = all.difference(&kinds(readme())).cloned().collect();
    assert_eq!(untold, ["gap", "ping", "pong", "server"], "the README leaves these to the manual");
}
