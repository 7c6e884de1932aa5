//! https and wss by vitald itself.

#![cfg(feature = "tls")]

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use support::{PATIENCE, Vitald, close_code, next, next_of, until};
use tungstenite::WebSocket;

const CERTIFICATE: &str = "tests/fixtures/tls/certificate.pem";
const KEY: &str = "tests/fixtures/tls/key.pem";
const OTHER_CERTIFICATE: &str = "tests/fixtures/tls/other_certificate.pem";
const OTHER_KEY: &str = "tests/fixtures/tls/other_key.pem";

type Secured = StreamOwned<ClientConnection, TcpStream>;

/// A folder with a configuration whose certificate and key are copies of these; gone when dropped.
struct Files(PathBuf);

impl Files {
    fn new(name: &str, certificate: &str, key: &str) -> Files {
        let folder = std::env::temp_dir().join(format!("vitald-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let files = Files(folder);
        files.put(certificate, key);
        let [certificate, key] = ["certificate", "key"].map(|name| files.0.join(name));
        let text = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
        fs::write(files.config(), text).expect("a file can be written");
        files
    }

    fn put(&self, certificate: &str, key: &str) {
        for (from, name) in [(certificate, "certificate"), (key, "key")] {
            fs::copy(from, self.0.join(name)).expect("a file can be copied");
        }
    }

    fn config(&self) -> PathBuf {
        self.0.join("vitald.toml")
    }

    fn start(&self) -> Vitald {
        Vitald::start_with(&["--config", self.config().to_str().expect("it is UTF-8")])
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A connection to `vitald` that trusts the certificate in this file alone.
fn secure(vitald: &Vitald, certificate: impl AsRef<Path>) -> Secured {
    secure_with(vitald, certificate, rustls::DEFAULT_VERSIONS)
}

fn secure_with(
    vitald: &Vitald,
    certificate: impl AsRef<Path>,
    versions: &[&'static SupportedProtocolVersion],
) -> Secured {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), vitald.connect())
}

fn get(vitald: &Vitald, target: &str, certificate: &str) -> std::io::Result<String> {
    let mut stream = secure(vitald, certificate);
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn websocket(vitald: &Vitald) -> WebSocket<Secured> {
    let stream = secure(vitald, CERTIFICATE);
    tungstenite::client("wss://localhost/ws", stream).expect("the handshake succeeds").0
}

#[test]
fn pages_answers_and_websockets_come_over_tls() {
    let files = Files::new("serves", CERTIFICATE, KEY);
    let vitald = files.start();
    let page = get(&vitald, "/", CERTIFICATE).expect("it ends in order, with a word of TLS");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("</html>\n"), "the page is whole");
    let mut socket = websocket(&vitald);
    assert_eq!(next(&mut socket)["type"], "hello");
    let mut newest = next_of(&mut socket, "metrics")["seq"].as_u64().unwrap();
    for _ in 0..5 {
        let seq = next_of(&mut socket, "metrics")["seq"].as_u64().unwrap();
        assert!(seq > newest);
        newest = seq;
    }
    drop(socket);
    until(PATIENCE, "end of the connection", || {
        let answer = get(&vitald, "/api/v1/server", CERTIFICATE).unwrap();
        answer.contains("\"CONNECTED\":0").then_some(())
    });
}

#[test]
fn who_speaks_no_tls_is_let_go_and_nobody_else() {
    let files = Files::new("plain", CERTIFICATE, KEY);
    let vitald = files.start();
    let mut socket = websocket(&vitald);
    assert_eq!(next(&mut socket)["type"], "hello");
    let mut stream = vitald.connect();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut told = Vec::new();
    let ended = stream.read_to_end(&mut told);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert!(!told.windows(4).any(|bytes| bytes == b"HTTP"), "it has answered");
    assert_eq!(next_of(&mut socket, "metrics")["type"], "metrics");
    // An attempt that has failed, and no connection that has: strangers raise no alarm of errors.
    let closed = until(PATIENCE, "its end", || {
        let server = get(&vitald, "/api/v1/server", CERTIFICATE).unwrap();
        server.contains("\"bad_request\":1").then_some(server)
    });
    assert!(!closed.contains("\"failed\":1"), "{closed}");
}

#[test]
fn who_finds_it_full_is_told_so_once_the_handshake_is_done() {
    let files = Files::new("full", CERTIFICATE, KEY);
    let config = files.config();
    let vitald =
        Vitald::start_with(&["--max-connections", "1", "--config", config.to_str().unwrap()]);
    let mut socket = websocket(&vitald);
    assert_eq!(next(&mut socket)["type"], "hello");
    let answer = get(&vitald, "/", CERTIFICATE).expect("it ends in order");
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: "),
        "{answer}"
    );
}

#[test]
fn a_handshake_that_is_not_gone_on_with_ends_and_a_drain_says_goodbye() {
    let files = Files::new("stall", CERTIFICATE, KEY);
    let mut vitald = files.start();
    let mut socket = websocket(&vitald);
    let mut stalled = vitald.connect();
    // The header of a record, and the beginning of a ClientHello in it.
    stalled.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
    let mut rest = Vec::new();
    stalled.read_to_end(&mut rest).expect("it is ended");
    assert!(rest.is_empty());
    vitald.signal("-TERM");
    assert_eq!(close_code(&mut socket), 1001);
    assert!(vitald.wait().success());
}

#[test]
fn who_speaks_1_2_is_served_too() {
    let files = Files::new("older", CERTIFICATE, KEY);
    let vitald = files.start();
    let stream = secure_with(&vitald, CERTIFICATE, &[&rustls::version::TLS12]);
    let mut socket = tungstenite::client("wss://localhost/ws", stream).expect("it is spoken").0;
    assert_eq!(next(&mut socket)["type"], "hello");
}

#[test]
fn a_new_certificate_is_shown_after_a_hangup_and_a_broken_one_is_not() {
    let files = Files::new("reload", CERTIFICATE, KEY);
    let vitald = files.start();
    let mut old = websocket(&vitald);
    assert_eq!(next(&mut old)["type"], "hello");
    assert!(get(&vitald, "/healthz", OTHER_CERTIFICATE).is_err(), "it is not known yet");
    files.put(OTHER_CERTIFICATE, OTHER_KEY);
    vitald.signal("-HUP");
    until(PATIENCE, "new certificate", || get(&vitald, "/healthz", OTHER_CERTIFICATE).ok());
    assert_eq!(next_of(&mut old, "metrics")["type"], "metrics", "who was there stays");
    // This key is not its own.
    files.put(CERTIFICATE, OTHER_KEY);
    vitald.signal("-HUP");
    for _ in 0..5 {
        next_of(&mut old, "metrics");
    }
    assert!(get(&vitald, "/healthz", OTHER_CERTIFICATE).is_ok(), "what was is kept");
}

fn check(config: &Path) -> (i32, String) {
    let Output { status, stderr, .. } =
        support::command().args(["check", "--config"]).arg(config).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn what_cannot_be_shown_is_refused_with_its_file() {
    let files = Files::new("wrong", CERTIFICATE, KEY);
    assert_eq!(check(&files.config()).0, 0);
    let config = files.config().display().to_string();
    let key = files.0.join("key");
    let at_section = format!("vitald: {config}:1: [tls]: ");
    let refused = |told: String| assert_eq!(check(&files.config()), (2, told + "\n"));

    files.put(CERTIFICATE, OTHER_KEY);
    refused(format!(
        "{at_section}the key does not go with the certificate: keys may not be consistent: \
         KeyMismatch"
    ));
    files.put(KEY, KEY);
    refused(format!("{at_section}the certificate's file has no CERTIFICATE block"));
    files.put(CERTIFICATE, CERTIFICATE);
    refused(format!("{at_section}the key cannot be read: no items found"));
    fs::remove_file(&key).unwrap();
    refused(format!(
        "vitald: {config}:1: [tls]: {}: there is no such file: name one that is there",
        key.display()
    ));
    for (text, told) in [
        ("key = \"/k\"\n", "there is no certificate: name its file, in PEM"),
        ("certificate = \"/c\"\n", "there is no key: name its file, in PEM"),
    ] {
        fs::write(files.config(), format!("[tls]\n{text}")).unwrap();
        refused(format!("vitald: {config}:1: [tls]: {told}"));
    }
}
