use std::io::{self, IoSlice};

use super::*;
use crate::engine::net::{Net, Stream};

fn net(faults: Faults) -> (SimNet, Manual) {
    let clock = Manual::new();
    (SimNet::new(clock.clone(), faults, Random::new(1)), clock)
}

fn peer() -> Peer {
    Peer::tcp("127.0.0.1:1".parse().unwrap())
}

/// Connects a client and opens it under slot 7.
fn open(net: &mut SimNet, window_bytes: usize) -> (ClientId, SimStream) {
    let client = net.connect(peer(), window_bytes).unwrap();
    let (mut stream, _) = net.accept().unwrap();
    net.open(&mut stream, 7).unwrap();
    poll(net);
    (client, stream)
}

/// The events of this instant.
fn poll(net: &mut SimNet) -> Vec<Event> {
    let mut events = Vec::new();
    net.poll(&mut events, Some(Duration::ZERO)).unwrap();
    events
}

fn read(stream: &mut SimStream) -> Result<usize, io::ErrorKind> {
    stream.read(&mut [0; 100]).map_err(|error| error.kind())
}

fn write(stream: &mut SimStream, bytes: &[u8]) -> Result<usize, io::ErrorKind> {
    stream.write_vectored(&[IoSlice::new(bytes)]).map_err(|error| error.kind())
}

const READABLE: Event = Event::Connection { slot: 7, readable: true, writable: false };
const WRITABLE: Event = Event::Connection { slot: 7, readable: false, writable: true };

#[test]
fn a_readiness_is_told_once_until_an_attempt_has_blocked() {
    let (mut net, _) = net(Faults::default());
    let (client, mut stream) = open(&mut net, 100);
    net.send(client, b"one");
    assert_eq!(poll(&mut net), [READABLE]);
    net.send(client, b"two");
    assert!(poll(&mut net).is_empty(), "it has not met the end of what is there");
    assert_eq!(read(&mut stream), Ok(6));
    net.send(client, b"three");
    assert!(poll(&mut net).is_empty());
    assert_eq!(read(&mut stream), Ok(5));
    assert_eq!(read(&mut stream), Err(io::ErrorKind::WouldBlock));
    net.send(client, b"four");
    assert_eq!(poll(&mut net), [READABLE]);
}

#[test]
fn a_full_window_blocks_and_tells_when_there_is_room() {
    let (mut net, _) = net(Faults::default());
    let (client, mut stream) = open(&mut net, 4);
    assert_eq!(write(&mut stream, b"12345"), Ok(4));
    assert!(poll(&mut net).is_empty());
    assert_eq!(write(&mut stream, b"5"), Err(io::ErrorKind::WouldBlock));
    assert_eq!(net.take(client, 1), b"1");
    assert_eq!(poll(&mut net), [WRITABLE]);
}

#[test]
fn a_window_that_is_shut_opens_at_its_time() {
    let faults =
        Faults { zero_window: 1000, delay_max: Duration::from_secs(9), ..Faults::default() };
    let (mut net, clock) = net(faults);
    let (_, mut stream) = open(&mut net, 4);
    assert_eq!(write(&mut stream, b"1"), Err(io::ErrorKind::WouldBlock));
    let mut events = Vec::new();
    net.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
    assert!(clock.now() > Tick::ZERO && clock.now() <= Tick::from_millis(9_000));
    net.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
    assert_eq!(events, [WRITABLE]);
}

#[test]
fn waiting_moves_the_clock_and_never_past_the_timeout() {
    let (mut net, clock) = net(Faults::default());
    net.poll(&mut Vec::new(), Some(Duration::from_secs(3))).unwrap();
    assert_eq!(clock.now(), Tick::from_millis(3_000));
}

#[test]
fn closing_with_input_unread_destroys_the_last_answer() {
    let (mut net, _) = net(Faults::default());
    let (client, mut stream) = open(&mut net, 100);
    net.send(client, b"question");
    assert_eq!(write(&mut stream, b"answer"), Ok(6));
    net.close(stream);
    assert!(net.is_client_reset(client));
    assert!(net.take(client, 100).is_empty());
}

#[test]
fn sending_to_a_server_that_has_closed_destroys_the_last_answer() {
    let (mut net, _) = net(Faults::default());
    let (client, mut stream) = open(&mut net, 100);
    assert_eq!(write(&mut stream, b"answer"), Ok(6));
    net.close(stream);
    assert!(!net.is_client_reset(client));
    net.send(client, b"more");
    assert!(net.is_client_reset(client));
    assert!(net.take(client, 100).is_empty());
}

#[test]
fn a_closed_connection_has_no_further_events() {
    let (mut net, _) = net(Faults::default());
    let (client, mut stream) = open(&mut net, 100);
    assert_eq!(read(&mut stream), Err(io::ErrorKind::WouldBlock));
    net.send(client, b"x");
    net.close(stream);
    assert!(poll(&mut net).is_empty());
}

#[test]
#[should_panic(expected = "a byte is written after the end")]
fn nothing_may_be_written_after_the_end() {
    let (mut net, _) = net(Faults::default());
    let (_, mut stream) = open(&mut net, 100);
    stream.shutdown_write().unwrap();
    let _ = write(&mut stream, b"x");
}

#[test]
fn the_same_seed_and_calls_give_the_same_run() {
    let faults = Faults { short_read: 500, short_write: 500, ..Faults::default() };
    let run = |seed| {
        let mut net = SimNet::new(Manual::new(), faults.clone(), Random::new(seed));
        let (client, mut stream) = open(&mut net, 1000);
        for _ in 0..20 {
            net.send(client, &[1; 50]);
            let _ = read(&mut stream);
            let _ = write(&mut stream, &[2; 50]);
        }
        net.fingerprint()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
