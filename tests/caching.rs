//! What caches are told of answers, and answers in gzip: by the binary, and on a wire of the test's
//! own where a day has passed.

mod support;
#[path = "support/wire.rs"]
mod wire;

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use support::{Vitald, until};
use vitald::app::App;
use vitald::app::access::Access;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::exposition::{Exposition, Kind};
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::{Filesystem, Snapshot};
use vitald::metrics::source::Source;
use wire::{Wire, settle};

/// Whether the program was built with the feature.
const CAN_COMPRESS: bool = cfg!(feature = "compression");

const SECOND: Duration = Duration::from_secs(1);
const SECONDS: u32 = 3 * 3600;
const START_MS: u64 = 1_700_006_400_000;

/// A host with figures that do not stand still, and a mount of an odd name.
struct Restless {
    ticks: u64,
    samples: usize,
}

impl Source for Restless {
    fn read(&mut self, _: Duration, into: &mut Snapshot) {
        self.ticks += 1;
        into.memory.used = Some(1e12 + (self.ticks % 997) as f64 * 1e9);
        into.cpu.usage = Some((self.ticks % 997) as f64 / 10.0);
        into.filesystems.resize_with(1, Filesystem::default);
        into.filesystems[0].mount.replace_range(.., "/a\",b");
        into.filesystems[0].usage = Some((self.ticks % 50) as f64);
    }

    fn expose(&mut self, _: Duration, _: u64, out: &mut Exposition<'_>) {
        let family = out.family("host_sample", "One of many.", Kind::Gauge);
        for number in 0..self.samples {
            out.sample(family, &[("number", &number.to_string())], number as f64 / 7.0);
        }
    }
}

struct Host {
    server: Engine<App, Wire, Manual>,
    wire: Wire,
}

#[derive(Debug)]
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
        Answer { head, body: bytes[end + 4..].to_vec() }
    }

    fn status(&self) -> &str {
        &self.head[9..12]
    }

    /// The values of a field, in their order.
    fn field(&self, name: &str) -> String {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let values = lines.filter(|(known, _)| *known == name).map(|(_, value)| value);
        values.collect::<Vec<_>>().join(", ")
    }

    /// The body as it was before it was coded.
    fn plain(&self) -> Vec<u8> {
        match &*self.field("Content-Encoding") {
            "" => self.body.clone(),
            "gzip" => {
                let mut plain = Vec::new();
                GzDecoder::new(&self.body[..]).read_to_end(&mut plain).expect("it is gzip");
                plain
            }
            other => panic!("nobody has asked for {other}"),
        }
    }
}

const GZIP: &str = "Accept-Encoding: gzip, deflate, br\r\n";

impl Host {
    fn new(samples: usize) -> Host {
        let source = Box::new(Restless { ticks: 0, samples });
        let mut service = MetricsService::with_source(source, Facts::default(), SECOND);
        for second in 0..SECONDS {
            let wall_ms = START_MS + u64::from(second) * 1000;
            service.tick(SECOND * second, wall_ms, second.into(), |_| {});
        }
        let limits = Limits::default();
        let app = App::new(service, Access::new(&[], &[], None), limits.slots());
        let wire = Wire::new();
        wire.clock().advance(Duration::from_millis(START_MS) + SECOND * SECONDS);
        let server = Engine::with_parts(limits, wire.clone(), wire.clock(), app);
        Host { server: server.expect("the limits make sense"), wire }
    }

    fn send(&mut self, method: &str, target: &str, fields: &str) -> usize {
        let client = self.wire.connect(2 << 20);
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        self.wire.send(client, head.as_bytes());
        client
    }

    fn ask(&mut self, method: &str, target: &str, fields: &str) -> Answer {
        let client = self.send(method, target, fields);
        settle(&mut self.server);
        Answer::of(&self.wire.take(client, usize::MAX))
    }

    fn get(&mut self, target: &str, fields: &str) -> Answer {
        self.ask("GET", target, fields)
    }
}

const HISTORY: &str = "/api/v1/history?metric=cpu.usage&metric=memory.used&since=0";
const CSV: &str = "/api/v1/history?metric=cpu.usage&since=0&format=csv";

#[test]
fn each_answer_says_what_caches_may_do_with_it() {
    let vitald = Vitald::start();
    let coded = if CAN_COMPRESS { "Accept-Encoding" } else { "" };
    let exposed = if CAN_COMPRESS { "Accept, Accept-Encoding" } else { "Accept" };
    for (target, status, cache_control, vary) in [
        ("/", "200", "no-cache", "Accept-Encoding"),
        ("/api/v1/snapshot", "200", "no-cache", coded),
        ("/metrics", "200", "no-store", exposed),
        ("/api/v1/history?metric=cpu.usage", "200", "no-store", coded),
        ("/api/v1/alerts", "200", "no-store", coded),
        ("/api/v1/server", "200", "no-store", coded),
        ("/api/v1/connections", "200", "no-store", coded),
        ("/api/v1/processes", "200", "no-store", coded),
        ("/healthz", "200", "no-store", ""),
        ("/nothing", "404", "no-store", ""),
        ("/api/v1/history", "400", "no-store", ""),
    ] {
        // A first figure of the processor takes two samples.
        let answer = until(support::PATIENCE, target, || {
            let answer = Answer::of(vitald.get(target, "").as_bytes());
            (answer.status() == status).then_some(answer)
        });
        let told = (answer.field("Cache-Control"), answer.field("Vary"));
        assert_eq!(told, (cache_control.to_owned(), vary.to_owned()), "{target}");
        let has_tag = ["/", "/api/v1/snapshot"].contains(&target);
        assert_eq!(!answer.field("ETag").is_empty(), has_tag, "{target}");
    }
}

#[test]
fn a_snapshot_that_is_known_is_not_sent_again_until_there_is_another() {
    let mut host = Host::new(0);
    let first = host.get("/api/v1/snapshot", "");
    let etag = first.field("ETag");
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 4, "{etag}");
    for (method, tags) in
        [("GET", etag.clone()), ("HEAD", format!("\"other\", W/{etag}")), ("GET", "*".to_owned())]
    {
        let fields = format!("If-None-Match: {tags}\r\n");
        let answer = host.ask(method, "/api/v1/snapshot", &fields);
        assert_eq!((answer.status(), answer.body.len()), ("304", 0), "{tags}");
        let told = (answer.field("ETag"), answer.field("Cache-Control"), answer.field("Vary"));
        assert_eq!(told, (etag.clone(), "no-cache".to_owned(), first.field("Vary")));
    }
    let field = format!("If-None-Match: {etag}\r\n");
    host.wire.clock().advance(SECOND);
    let next = host.get("/api/v1/snapshot", &field);
    assert_eq!(next.status(), "200");
    assert_ne!((next.field("ETag"), &next.body), (etag, &first.body));
}

#[test]
fn a_schema_that_is_known_is_not_sent_again_and_says_what_it_hangs_on() {
    let mut host = Host::new(0);
    let first = host.get("/api/v1/schema", "");
    let etag = first.field("ETag");
    let strong = etag.strip_prefix("W/").expect("it stands for each form");
    let shouted = strong.to_ascii_uppercase();
    for (tags, status) in [
        (etag.clone(), "304"),
        (format!("\"a,b\", {strong}"), "304"),
        ("*".to_owned(), "304"),
        (shouted, "200"),
        (format!("{etag}, *"), "304"),
        ("\"other\", *".to_owned(), "200"),
    ] {
        let answer = host.get("/api/v1/schema", &format!("If-None-Match: {tags}\r\n"));
        assert_eq!(answer.status(), status, "{tags}");
        let told = ["ETag", "Cache-Control", "Vary"].map(|name| answer.field(name));
        assert_eq!(told, ["ETag", "Cache-Control", "Vary"].map(|name| first.field(name)));
    }
}

#[test]
fn each_form_of_a_snapshot_has_a_tag_of_its_own() {
    let mut host = Host::new(0);
    let plain = host.get("/api/v1/snapshot", "");
    let coded = host.get("/api/v1/snapshot", GZIP);
    assert!(plain.body.len() > 1024, "{} bytes", plain.body.len());
    assert_eq!(coded.plain(), plain.body);
    assert_eq!(coded.body.len() < plain.body.len(), CAN_COMPRESS);
    let (plain, coded) = (plain.field("ETag"), coded.field("ETag"));
    assert_eq!(plain != coded, CAN_COMPRESS, "{plain} {coded}");
    let known = |tag: &str| format!("{GZIP}If-None-Match: {tag}\r\n");
    assert_eq!(host.get("/api/v1/snapshot", &known(&coded)).status(), "304");
    let expected = if CAN_COMPRESS { "200" } else { "304" };
    assert_eq!(host.get("/api/v1/snapshot", &known(&plain)).status(), expected);
}

#[test]
fn long_answers_come_in_gzip_to_those_who_take_it_and_say_the_same() {
    let mut host = Host::new(2000);
    for target in ["/api/v1/snapshot", HISTORY, CSV, "/metrics"] {
        let plain = host.get(target, "Accept-Encoding: gzip;q=0, *\r\n");
        assert_eq!(plain.field("Content-Encoding"), "", "{target}");
        let coded = host.get(target, GZIP);
        assert_eq!(!coded.field("Content-Encoding").is_empty(), CAN_COMPRESS, "{target}");
        assert_eq!(coded.plain(), plain.body, "{target}");
        assert!(!CAN_COMPRESS || coded.body.len() * 2 < plain.body.len(), "{target}");
        assert_eq!(coded.field("Content-Type"), plain.field("Content-Type"));
        assert_eq!(coded.field("Content-Length"), coded.body.len().to_string());
    }
}

#[test]
fn the_binary_compresses_what_is_true_of_the_moment_too() {
    let vitald = Vitald::start();
    for target in ["/api/v1/server", "/api/v1/alerts", "/api/v1/processes", "/metrics"] {
        let mut stream = vitald.connect();
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{GZIP}\r\n",
            vitald.address
        );
        std::io::Write::write_all(&mut stream, head.as_bytes()).expect("it reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("it answers and ends");
        let answer = Answer::of(&bytes);
        assert_eq!(answer.status(), "200", "{}", answer.head);
        let plain = String::from_utf8(answer.plain()).expect("it is text");
        let is_coded = CAN_COMPRESS && plain.len() >= 1024;
        assert_eq!(!answer.field("Content-Encoding").is_empty(), is_coded, "{target}");
        assert!(plain.starts_with(['{', '#']), "{target}: {plain}");
    }
}

#[test]
fn an_answer_that_is_short_goes_as_it_is() {
    let mut host = Host::new(0);
    let answer = host.get("/api/v1/history?metric=cpu.usage&points=5", GZIP);
    assert_eq!((answer.status(), &*answer.field("Content-Encoding")), ("200", ""));
}

#[test]
fn head_has_the_fields_of_get() {
    let mut host = Host::new(100);
    for target in ["/", "/api/v1/snapshot", HISTORY, "/metrics"] {
        for fields in ["", GZIP] {
            let get = host.get(target, fields);
            let head = host.ask("HEAD", target, fields);
            assert_eq!((head.head, head.body.len()), (get.head, 0), "{target} {fields}");
        }
    }
}

#[test]
fn what_a_turn_has_no_time_for_goes_as_it_is() {
    let mut host = Host::new(0);
    // All in one turn, as no time passes between.
    let clients: Vec<usize> = (0..8).map(|_| host.send("GET", HISTORY, GZIP)).collect();
    settle(&mut host.server);
    let answers: Vec<Answer> =
        clients.into_iter().map(|client| Answer::of(&host.wire.take(client, usize::MAX))).collect();
    let coded =
        answers.iter().filter(|answer| !answer.field("Content-Encoding").is_empty()).count();
    let length = answers[0].plain().len();
    assert_eq!(coded, if CAN_COMPRESS { 640 * 1024 / length } else { 0 });
    assert!(coded < answers.len(), "there was time for all of them");
    assert!(answers.iter().all(|answer| answer.plain().len() == length));
    let after = host.get(HISTORY, GZIP);
    assert_eq!(!after.field("Content-Encoding").is_empty(), CAN_COMPRESS);
}

#[test]
fn a_download_quotes_a_mount_of_an_odd_name() {
    let mut host = Host::new(0);
    let metric = "filesystems.%2Fa%22%2Cb.usage";
    let answer = host.get(&format!("/api/v1/history?metric={metric}&format=csv"), "");
    assert_eq!(answer.field("Content-Type"), "text/csv; charset=utf-8; header=present");
    let disposition = answer.field("Content-Disposition");
    assert_eq!(disposition, "attachment; filename=\"vitald-history.csv\"");
    let text = String::from_utf8(answer.body).expect("it is text");
    let mut lines = text.split("\r\n");
    assert_eq!(lines.next(), Some("metric,t,min,mean,max"));
    let line = lines.next().expect("there is a point");
    let figures = line.strip_prefix("\"filesystems./a\"\",b.usage\",").expect(line);
    assert_eq!(figures.split(',').count(), 4, "{line}");
}
