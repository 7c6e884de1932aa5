//! One vitald makes way for the next: the address is free as soon as the old one is told to stop,
//! while it still drains, and who was connected is so again within two seconds.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use support::{Vitald, close_code, next, socket_path, unix_websocket, until};
use tungstenite::WebSocket;

/// From the signal to the last client's first message.
const AWAY_MAX: Duration = Duration::from_secs(2);

/// Takes in the server's close frame without answering it, so that the drain goes on.
fn hear_close<S: Read + Write>(socket: &mut WebSocket<S>) {
    assert_eq!(close_code(socket), 1001);
}

#[test]
fn a_successor_binds_the_port_during_the_drain_and_clients_are_back_within_two_seconds() {
    let mut old = Vitald::start();
    let address = old.address;
    let mut clients: Vec<_> = (0..4).map(|_| old.websocket("/ws")).collect();
    for client in &mut clients {
        assert_eq!(next(client)["type"], "hello");
    }
    let begun = Instant::now();
    old.signal("-TERM");
    // Whoever has been told to go knows that the listeners are closed: they are first.
    hear_close(&mut clients[0]);
    let mut command = support::command();
    let arguments = ["-l", &address.to_string(), "-i", "100ms", "--log-level", "warn"];
    let new = Vitald::start_as(command.args(arguments));
    assert_eq!(new.address, address);
    clients[1..].iter_mut().for_each(hear_close);
    for _ in &clients {
        let mut client = new.websocket("/ws");
        assert_eq!(next(&mut client)["type"], "hello");
    }
    let away = begun.elapsed();
    assert!(away < AWAY_MAX, "{away:?}");
    for client in &mut clients {
        let _ = client.flush();
    }
    assert!(old.wait().success());
    // Nor has its end taken anything from the new one.
    assert!(new.get("/healthz", "").ends_with("ok"));
}

#[test]
fn a_successor_binds_the_path_during_the_drain_and_keeps_its_file() {
    let path = socket_path("upgrade");
    let listen = format!("unix:{}", path.display());
    let mut old = Vitald::start_with(&["-l", &listen]);
    let mut client = unix_websocket(&path);
    assert_eq!(next(&mut client)["type"], "hello");
    let begun = Instant::now();
    old.signal("-TERM");
    hear_close(&mut client);
    assert!(!path.exists(), "who connects meanwhile is refused, not left to wait");
    let mut new = Vitald::start_with(&["-l", &listen]);
    let mut again = until(AWAY_MAX, "it listens", || {
        UnixStream::connect(&path).ok().map(|_| unix_websocket(&path))
    });
    assert_eq!(next(&mut again)["type"], "hello");
    let away = begun.elapsed();
    assert!(away < AWAY_MAX, "{away:?}");
    let _ = client.flush();
    assert!(old.wait().success());
    assert_eq!(next(&mut unix_websocket(&path))["type"], "hello");
    new.signal("-TERM");
    hear_close(&mut again);
    let _ = again.flush();
    assert!(new.wait().success());
    assert!(!path.exists());
}
