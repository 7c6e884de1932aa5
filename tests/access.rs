//! Who is let in, as an operator and visitors meet it: the real binary with a token.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use vitald::config::{Listen, Token};
use vitald::metrics::alerts::Rules;
use vitald::{Config, Server};

use support::{GUARDED, PATIENCE, Vitald, command, next, socket_path, until};
use tungstenite::Message;

const TOKEN: &str = "correct-horse+battery";
const BEARER: &str = "Authorization: Bearer correct-horse+battery\r\n";

/// A vitald with a token in a file of its own, and a log.
struct Guarded {
    vitald: Vitald,
    token: PathBuf,
    log: PathBuf,
}

impl Guarded {
    fn start(name: &str, arguments: &[&str]) -> Guarded {
        let path = socket_path(name);
        let (token, log) = (path.with_extension("token"), path.with_extension("log"));
        write_token(&token, TOKEN);
        let mut command = command();
        command.args(["-l", "127.0.0.1:0", "-i", "100ms", "--token-file"]).arg(&token);
        command.args(arguments).stdin(Stdio::null());
        command.stderr(File::create(&log).expect("a file can be made"));
        Guarded { vitald: Vitald::start_as(&mut command), token, log }
    }

    /// The status of the answer to a GET, with further fields.
    fn status(&self, target: &str, fields: &str) -> u16 {
        status(&self.vitald.get(target, fields))
    }

    /// The answer to a request of another method.
    fn send(&self, method: &str, target: &str, fields: &str) -> String {
        self.vitald.exchange(&format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{fields}\r\n",
            self.vitald.address
        ))
    }

    /// The status of the answer to a WebSocket handshake.
    fn upgrade(&self, target: &str, fields: &str) -> u16 {
        let mut stream = self.vitald.connect();
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {fields}\r\n",
            self.vitald.address
        );
        std::io::Write::write_all(&mut stream, head.as_bytes()).expect("it reads");
        status(&support::answer(&mut stream, false).0)
    }

    /// A session's `name=value`.
    fn session(&self) -> String {
        let answer = self.send("POST", "/api/v1/session", BEARER);
        assert_eq!(status(&answer), 204, "{answer}");
        let cookie = field(&answer, "Set-Cookie").expect("a session begins");
        cookie.split(';').next().expect("it has a value").to_owned()
    }

    fn reload(&self, token: &str) {
        write_token(&self.token, token);
        self.vitald.signal("-HUP");
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log is there")
    }

    fn logged(&self, part: &str) {
        until(PATIENCE, part, || self.log().contains(part).then_some(()));
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = (fs::remove_file(&self.token), fs::remove_file(&self.log));
    }
}

fn write_token(path: &PathBuf, token: &str) {
    fs::write(path, format!("{token}\n")).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

fn status(answer: &str) -> u16 {
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status line: {answer}"))
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn everything_but_the_page_and_the_health_asks_for_the_token() {
    let guarded = Guarded::start("access-paths", &[]);
    for target in GUARDED.iter().chain(&["/ws"]) {
        let answer = guarded.vitald.get(target, "");
        assert_eq!(status(&answer), 401, "{target}");
        assert_eq!(field(&answer, "WWW-Authenticate"), Some("Bearer"), "{target}");
        assert!(!answer.contains("usage"), "{answer}");
    }
    assert_eq!(guarded.upgrade("/ws", ""), 401);
    assert_eq!(guarded.status("/", ""), 200);
    assert!(guarded.vitald.get("/healthz", "").ends_with("ok"));
    // The page that anybody gets is the program's, with nothing of this host in it.
    let open = Vitald::start();
    let body = |answer: String| answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    assert_eq!(body(guarded.vitald.get("/", "")), body(open.get("/", "")));
    for target in &GUARDED[1..10] {
        assert_eq!(guarded.status(target, BEARER), 200, "{target}");
    }
    assert_eq!(guarded.status("/nothing", BEARER), 404);
}

#[test]
fn a_token_comes_by_authorization_by_a_session_and_in_the_query_of_what_streams() {
    let guarded = Guarded::start("access-ways", &[]);
    let cookie = format!("Cookie: a=b; {}; c=d\r\n", guarded.session());
    let query = "token=correct-horse%2Bbattery";
    for fields in [BEARER, &cookie, &BEARER.to_lowercase().replace("bearer", "BEARER")] {
        assert_eq!(guarded.status("/api/v1/snapshot", fields), 200, "{fields}");
        assert_eq!(guarded.upgrade("/ws", fields), 101, "{fields}");
    }
    assert_eq!(guarded.upgrade(&format!("/ws?history=0&{query}"), ""), 101);
    let mut stream = guarded.vitald.connect();
    guarded.vitald.send_get(&mut stream, "GET", &format!("/events?{query}"));
    assert_eq!(status(&support::answer(&mut stream, false).0), 200);
    // A query ends up in logs and histories: nothing that can send a field is read there.
    assert_eq!(guarded.status(&format!("/api/v1/snapshot?{query}"), ""), 401);
    assert_eq!(guarded.upgrade("/ws?token=wrong", ""), 401);
    // One that is right is enough: what a proxy adds, or an old cookie, is no hindrance.
    let stale = format!("Cookie: vitald-{}=old\r\n", guarded.vitald.address.port());
    for other in ["Authorization: Basic dTpw\r\n", "Authorization: Bearer wrong\r\n"] {
        assert_eq!(guarded.status("/api/v1/alerts", &format!("{other}{cookie}")), 200, "{other}");
    }
    assert_eq!(guarded.status("/api/v1/alerts", &format!("{stale}{BEARER}")), 200);
    assert_eq!(guarded.status("/api/v1/alerts", "Authorization: Basic dTpw\r\n"), 401);
}

#[test]
fn a_session_is_a_cookie_that_no_script_reads_and_no_other_site_sends() {
    let guarded = Guarded::start("access-session", &[]);
    let address = guarded.vitald.address;
    let sign_in = |fields: &str| guarded.send("POST", "/api/v1/session", fields);
    let answer = sign_in(&format!("{BEARER}Content-Length: 0\r\nOrigin: http://{address}\r\n"));
    assert_eq!(status(&answer), 204, "{answer}");
    assert_eq!(field(&answer, "Cache-Control"), Some("no-store"));
    let cookie = field(&answer, "Set-Cookie").expect("a session begins").to_owned();
    let (pair, attributes) = cookie.split_once("; ").expect("it has attributes");
    let (name, value) = pair.split_once('=').expect("it has a value");
    assert_eq!(name, format!("vitald-{}", address.port()));
    assert_eq!(attributes, "Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict");
    assert!(!cookie.contains(TOKEN) && value.len() == 64, "{cookie}");
    // It is no token.
    let bearer = format!("Authorization: Bearer {value}\r\n");
    assert_eq!(guarded.status("/api/v1/snapshot", &bearer), 401);
    let over_tls = sign_in(&format!("{BEARER}Origin: https://{address}\r\n"));
    assert!(over_tls.contains("SameSite=Strict; Secure\r\n"), "{over_tls}");
    for (fields, expected) in [
        ("", 401),
        ("Authorization: Bearer wrong\r\n", 401),
        (&*format!("Cookie: {pair}\r\n"), 401),
        (&format!("{BEARER}Origin: http://evil.example\r\n"), 403),
        (&format!("{BEARER}Origin: null\r\n"), 403),
        (&format!("{BEARER}Content-Length: 5\r\n"), 413),
    ] {
        let answer = sign_in(fields);
        assert_eq!(status(&answer), expected, "{fields}");
        assert_eq!(field(&answer, "Set-Cookie"), None, "{answer}");
    }
    assert_eq!(status(&guarded.vitald.get("/api/v1/session", BEARER)), 405);
    let out = guarded.send("DELETE", "/api/v1/session", &format!("Cookie: {pair}\r\n"));
    assert_eq!(status(&out), 204, "{out}");
    let cleared = format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    assert_eq!(field(&out, "Set-Cookie"), Some(&*cleared));
    let foreign = guarded.send("DELETE", "/api/v1/session", "Origin: http://evil.example\r\n");
    assert_eq!(status(&foreign), 403);
    // A session that is none is forgotten, so that it is not shown again and again.
    let stale = guarded.vitald.get("/api/v1/alerts", &format!("Cookie: {name}=old\r\n"));
    assert_eq!((status(&stale), field(&stale, "Set-Cookie")), (401, Some(&*cleared)));
}

#[test]
fn a_session_outlives_a_restart_and_not_another_token() {
    let first = Guarded::start("access-restart", &[]);
    let value = first.session();
    let value = value.split_once('=').expect("it has a value").1.to_owned();
    drop(first);
    let second = Guarded::start("access-restart", &[]);
    let cookie = format!("Cookie: vitald-{}={value}\r\n", second.vitald.address.port());
    assert_eq!(second.status("/api/v1/snapshot", &cookie), 200);
    second.reload("another-token-of-some-length");
    second.logged("token=changed");
    assert_eq!(second.status("/api/v1/snapshot", &cookie), 401);
}

#[test]
fn a_reload_with_another_token_ends_what_the_old_one_has_opened() {
    let guarded = Guarded::start("access-reload", &[]);
    let url = format!("ws://{}/ws?token=correct-horse%2Bbattery", guarded.vitald.address);
    let (mut socket, _) =
        tungstenite::client(url, guarded.vitald.connect()).expect("the handshake succeeds");
    assert_eq!(next(&mut socket)["type"], "hello");
    let mut stream = guarded.vitald.connect();
    guarded.vitald.send_get(&mut stream, "GET", "/events?token=correct-horse%2Bbattery");
    assert_eq!(status(&support::answer(&mut stream, false).0), 200);
    // The same again changes nothing, and neither does what is no token.
    guarded.reload(TOKEN);
    guarded.logged("token=same");
    guarded.reload("two words");
    guarded.logged("reload refused=true");
    assert!(guarded.log().contains("--token-file: "), "{}", guarded.log());
    assert_eq!(next(&mut socket)["type"], "metrics");
    assert_eq!(guarded.status("/api/v1/snapshot", BEARER), 200);
    guarded.reload("another-token-of-some-length");
    // A close comes with the reload, or never; of the messages before it there are few.
    let close = (0..50).find_map(|_| match socket.read().expect("a message comes") {
        Message::Close(frame) => Some(frame.expect("a close code")),
        _ => None,
    });
    let close = close.expect("it is closed");
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1008, "the token has changed"));
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut rest).expect("the stream ends");
    assert_eq!(guarded.status("/api/v1/snapshot", BEARER), 401);
    let other = "Authorization: Bearer another-token-of-some-length\r\n";
    assert_eq!(guarded.status("/api/v1/snapshot", other), 200);
    assert!(!guarded.log().contains("another-token") && !guarded.log().contains(TOKEN));
}

/// Runs it to its end, with `token` in the variable.
fn run(arguments: &[&str], token: &str) -> Output {
    let mut command: Command = command();
    command.args(arguments).env("VITALD_TOKEN", token).output().expect("the binary starts")
}

#[test]
fn an_address_beyond_loopback_is_served_with_a_token_and_refused_without() {
    let refused = run(&["-l", "0.0.0.0:0"], "");
    let sentence = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{sentence}");
    for way in ["--token-file", "--no-auth", "loopback"] {
        assert!(sentence.contains(way), "{sentence}");
    }
    let mut command = command();
    command.args(["-l", "0.0.0.0:0", "--log-level", "error"]).env("VITALD_TOKEN", TOKEN);
    let vitald = Vitald::start_as(&mut command);
    assert_eq!(status(&vitald.get("/api/v1/alerts", "")), 401);
    assert_eq!(status(&vitald.get("/api/v1/alerts", BEARER)), 200);
}

#[test]
fn a_reload_opens_no_address_beyond_loopback_to_everybody() {
    // A name that stands for such an address is only known to be one when it is bound.
    let listen = vec![Listen::Tcp("0.0.0.0:0".to_owned())];
    let guarded = Config { listen, token: Token::new(TOKEN).ok(), ..Config::default() };
    let mut server = Server::bind(&guarded).expect("there is a free port");
    let open = Config { token: None, alerts: Rules::none(), ..guarded.clone() };
    let refused = server.reload(&open).expect_err("it would be open");
    assert!(refused.to_string().contains("--token-file"), "{refused}");
    assert!(server.reload(&Config { no_auth: true, ..open }).is_ok());
    assert!(server.reload(&guarded).is_ok());
}

#[test]
fn a_token_is_printed_nowhere() {
    let path = socket_path("access-print").with_extension("token");
    write_token(&path, TOKEN);
    let shown = path.to_str().expect("UTF-8");
    let checked = run(&["check", "--token-file", shown], "");
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && text.contains(&format!("token_file = \"{shown}\"")));
    let by_variable = run(&["check", "-l", "0.0.0.0:0"], TOKEN);
    assert!(by_variable.status.success());
    for output in [checked, by_variable, run(&["check"], "two words"), run(&["check"], "\u{e9}x")] {
        let all = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&all);
        assert!(!text.contains(TOKEN) && !text.contains("two words"), "{text}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let log = path.with_extension("log");
    let mut command = command();
    command.args(["-l", "127.0.0.1:0", "--log-level", "trace", "--token-file", shown]);
    command.stderr(File::create(&log).expect("a file can be made"));
    let vitald = Vitald::start_as(&mut command);
    let target = format!("/events?token={TOKEN}");
    let mut stream = vitald.connect();
    vitald.send_get(&mut stream, "GET", &target.replace('+', "%2B"));
    assert_eq!(status(&support::answer(&mut stream, false).0), 200);
    assert_eq!(status(&vitald.get(&target, "")), 401, "a plus is a space in a query");
    for target in &GUARDED[1..] {
        let answer = vitald.get(target, BEARER);
        assert!(!answer.contains(TOKEN), "{answer}");
    }
    let words = fs::read(format!("/proc/{}/cmdline", vitald.id())).expect("it runs");
    assert!(!String::from_utf8_lossy(&words).contains(TOKEN));
    drop(vitald);
    let text = fs::read_to_string(&log).expect("the log is there");
    assert!(text.contains("chmod 600") && text.contains(shown), "{text}");
    assert!(text.contains("TRACE") || text.contains("DEBUG"), "{text}");
    assert!(!text.contains(TOKEN), "{text}");
    let _ = (fs::remove_file(&path), fs::remove_file(&log));
}

#[test]
fn the_page_is_the_same_whatever_servers_it_may_show_and_its_policy_names_them() {
    let path = socket_path("access-dashboard").with_extension("toml");
    let text = "[dashboard]\nhosts = [\"http://pi:8485\", \"https://box.example\"]\n\
                frame_ancestors = \"https://home.example\"\n";
    fs::write(&path, text).expect("a file can be written");
    let shown = path.to_str().expect("UTF-8");
    let (named, plain) = (Vitald::start_with(&["--config", shown]), Vitald::start());
    let policy = |vitald: &Vitald| {
        let answer = vitald.get("/", "");
        let policy = field(&answer, "Content-Security-Policy").expect("there is one").to_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (policy, field(head, "ETag").expect("there is one").to_owned(), body.to_owned())
    };
    let (named_policy, named_etag, named_page) = policy(&named);
    let (plain_policy, plain_etag, plain_page) = policy(&plain);
    assert_eq!((named_etag, named_page), (plain_etag, plain_page));
    let sources = "connect-src 'self' http://pi:8485 ws://pi:8485 https://box.example \
                   wss://box.example;";
    assert!(named_policy.contains(sources), "{named_policy}");
    assert!(named_policy.ends_with("frame-ancestors https://home.example"), "{named_policy}");
    assert!(plain_policy.contains("connect-src 'self';"), "{plain_policy}");
    assert!(plain_policy.ends_with("frame-ancestors 'none'"), "{plain_policy}");
    // A page that is known is told of a policy that has changed with its 304.
    let etag = field(&named.get("/", ""), "ETag").expect("there is one").to_owned();
    let known = named.get("/", &format!("If-None-Match: {etag}\r\n"));
    assert!(status(&known) == 304 && known.contains(sources), "{known}");
    let hosts = "{\"hosts\":[\"http://pi:8485\",\"https://box.example\"]}";
    assert!(named.get("/dashboard.json", "").ends_with(hosts));
    assert!(plain.get("/dashboard.json", "").ends_with("{\"hosts\":[]}"));
    let _ = fs::remove_file(&path);
}

#[test]
fn a_short_token_is_warned_of() {
    let guarded = Guarded::start("access-short", &[]);
    assert!(!guarded.log().contains("token=short"));
    guarded.reload("short");
    guarded.logged("token=short");
}

#[test]
fn wrong_tokens_end_in_429_and_the_right_one_passes_all_the_same() {
    let guarded = Guarded::start("access-wrong", &[]);
    let wrong = "Authorization: Bearer guess\r\n";
    for _ in 0..10 {
        let answer = guarded.vitald.get("/api/v1/alerts", wrong);
        assert_eq!(status(&answer), 401);
        let challenge = "Bearer error=\"invalid_token\"";
        assert_eq!(field(&answer, "WWW-Authenticate"), Some(challenge));
    }
    for _ in 0..20 {
        let answer = guarded.vitald.get("/api/v1/alerts", wrong);
        assert_eq!(status(&answer), 429);
        let wait: u32 = field(&answer, "Retry-After").expect("a time").parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{answer}");
    }
    assert_eq!(status(&guarded.send("POST", "/api/v1/session", wrong)), 429);
    assert_eq!(guarded.upgrade("/ws?token=guess", ""), 429);
    assert_eq!(guarded.status("/api/v1/alerts", BEARER), 200);
    assert_eq!(guarded.status("/api/v1/alerts", ""), 401, "nothing was guessed");
    assert_eq!(status(&guarded.send("POST", "/api/v1/session", BEARER)), 204);
    assert_eq!(guarded.log().matches("limit=wrong_tokens").count(), 1, "{}", guarded.log());
}

#[test]
fn watching_shows_the_token() {
    let guarded = Guarded::start("access-watch", &[]);
    let address = guarded.vitald.address.to_string();
    let token = guarded.token.to_str().expect("UTF-8");
    let watch = ["watch", &address, "--count", "2"];
    let shown = run(&[&watch[..], &["--token-file", token]].concat(), "");
    assert!(shown.status.success(), "{shown:?}");
    assert!(run(&watch, TOKEN).status.success());
    for (token, part) in [("", "asks for a token"), ("wrong", "has refused the token")] {
        let refused = run(&watch, token);
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(part), "{refused:?}");
    }
}
