//! The clients there are: good ones, slow ones, and all that strangers do.
//!
//! Each function draws one plan. What a model's clients must hear, and by when the server must be
//! rid of them, is stated with it; `mod.rs` holds every connection to it.

use std::collections::VecDeque;
use std::time::Duration;

use vitald::engine::random::Random;

use super::client::{Expectation, Plan, Reading, Step};
use super::frames::{UPGRADE, UPGRADE_DEFLATE, client_frame};

/// Draws a client's plan.
pub type Make = fn(&mut Random) -> Plan;

/// Every model, with how often it comes.
pub const MODELS: [(Make, usize); 14] = [
    (good, 6),
    (streamer, 4),
    (slow, 2),
    (mute, 1),
    (never_reads, 1),
    (slowloris, 1),
    (silent, 1),
    (flooder, 1),
    (bad_head, 2),
    (bad_frames, 2),
    (vanisher, 3),
    (half_closer, 2),
    (keeper, 2),
    (patient, 1),
];

/// A request for an event stream.
const STREAM: &[u8] = b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n";

/// One for a stream on which nothing is sent.
const QUIET_STREAM: &[u8] = b"GET /events/quiet HTTP/1.1\r\nHost: h\r\n\r\n";

const MILLISECOND: Duration = Duration::from_millis(1);

fn plan(model: &'static str, expectation: Expectation) -> Plan {
    Plan {
        model,
        steps: VecDeque::new(),
        reading: Reading::Eager,
        window_bytes: 64 << 10,
        is_polite: true,
        expectation,
        ends_within: None,
        lasts: Duration::ZERO,
    }
}

fn millis(random: &mut Random, most: u64) -> Duration {
    MILLISECOND * random.between(0, most) as u32
}

fn send(bytes: &[u8]) -> Step {
    Step::Send(bytes.to_vec())
}

fn say(words: &str) -> Step {
    Step::Send(client_frame(0x81, words.as_bytes()))
}

/// Sends `bytes` in as many pieces as chance has it, `most_ms` apart at the most.
fn in_pieces(
    steps: &mut VecDeque<(Duration, Step)>,
    random: &mut Random,
    bytes: &[u8],
    most_ms: u64,
) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = match random.below(3) {
            0 => 1 + random.below(rest.len().min(8)),
            _ => rest.len(),
        };
        steps.push_back((millis(random, most_ms), send(&rest[..length])));
        rest = &rest[length..];
    }
}

/// Subscribes, says things and leaves in one of the ways there are, or stays for the drain.
fn good(random: &mut Random) -> Plan {
    let mut said = Vec::new();
    let mut steps = VecDeque::new();
    let upgrade = if random.below(3) == 0 { UPGRADE_DEFLATE } else { UPGRADE };
    in_pieces(&mut steps, random, upgrade, 20);
    for _ in 0..random.below(8) {
        let wait = millis(random, 3000);
        let number = random.draw() % 1_000_000;
        let step = match random.below(8) {
            0 => say("task"),
            1 => say("flood"),
            2 => Step::Send(client_frame(0x89, b"are you there")),
            3 => Step::Send(client_frame(0x82, b"\0\xff")),
            _ => {
                said.push(number);
                say(&number.to_string())
            }
        };
        match step {
            Step::Send(bytes) if random.below(4) == 0 => {
                let first = steps.len();
                in_pieces(&mut steps, random, &bytes, 20);
                steps[first].0 = wait;
            }
            step => steps.push_back((wait, step)),
        }
    }
    let stay = millis(random, 20_000);
    let last = match random.below(8) {
        0 | 1 => Some(Step::Send(client_frame(0x88, &[0x03, 0xe8]))),
        2 => Some(Step::Send(client_frame(0x88, b""))),
        3 => Some(Step::End),
        4 => Some(Step::Vanish),
        5 => Some(Step::Reset),
        6 => Some(say("close")),
        _ => None,
    };
    steps.extend(last.map(|last| (stay, last)));
    Plan { steps, ..plan("good", Expectation::Subscriber(said)) }
}

/// Follows an event stream, perhaps says what nobody listens to, and leaves in one of the ways
/// there are, or stays until it is closed.
fn streamer(random: &mut Random) -> Plan {
    let is_quiet = random.below(3) == 0;
    let mut steps = VecDeque::new();
    in_pieces(&mut steps, random, if is_quiet { QUIET_STREAM } else { STREAM }, 20);
    for _ in 0..random.below(4) {
        let length = 1 + random.below(300);
        steps.push_back((millis(random, 3000), Step::Send(random.bytes(length))));
    }
    let stay = millis(random, 40_000);
    let last = match random.below(8) {
        0 => Some(Step::End),
        1 => Some(Step::Vanish),
        2 => Some(Step::Reset),
        _ => None,
    };
    steps.extend(last.map(|last| (stay, last)));
    Plan { steps, ..plan("streamer", Expectation::Stream { is_quiet }) }
}

/// What one begins with who may be a subscriber of either kind.
fn opening(random: &mut Random) -> &'static [u8] {
    if random.below(3) == 0 { STREAM } else { UPGRADE }
}

/// Reads less than it is sent, or just enough.
fn slow(random: &mut Random) -> Plan {
    let mut steps = VecDeque::new();
    let opening = opening(random);
    in_pieces(&mut steps, random, opening, 20);
    let every = MILLISECOND * random.between(20, 2000) as u32;
    let reading = Reading::Slow { bytes: random.between(1, 1500) as usize, every };
    steps.push_back((millis(random, 60_000), say("flood")));
    steps.push_back((millis(random, 30_000), Step::End));
    let window_bytes = random.between(200, 4000) as usize;
    Plan { steps, reading, window_bytes, ..plan("slow", Expectation::Anything) }
}

/// Opens a WebSocket and is not heard of again, though it reads: 30 s to the ping, 15 s more.
fn mute(random: &mut Random) -> Plan {
    let mut steps = VecDeque::new();
    in_pieces(&mut steps, random, UPGRADE, 20);
    Plan {
        steps,
        is_polite: false,
        ends_within: Some(Duration::from_secs(46)),
        lasts: Duration::from_secs(45),
        ..plan("mute", Expectation::Anything)
    }
}

/// Opens a WebSocket or an event stream and takes nothing: its window fills, and 10 s later it is
/// dropped; or a WebSocket is silent for 45 s.
fn never_reads(random: &mut Random) -> Plan {
    let opening = opening(random);
    let mut steps = VecDeque::from([(millis(random, 20), send(opening))]);
    for _ in 0..random.below(6) {
        steps.push_back((millis(random, 6000), say("flood")));
    }
    Plan {
        steps,
        reading: Reading::Never,
        window_bytes: random.between(1, 3000) as usize,
        ends_within: Some(Duration::from_secs(36 + 46)),
        ..plan("never_reads", Expectation::Anything)
    }
}

/// Sends a head byte by byte, and is told 408 after 5 s however it trickles.
fn slowloris(random: &mut Random) -> Plan {
    let wait = MILLISECOND * random.between(150, 1500) as u32;
    let steps = UPGRADE[..60].iter().map(|byte| (wait, send(&[*byte]))).collect();
    Plan {
        steps,
        ends_within: Some(Duration::from_millis(7_000)),
        ..plan("slowloris", Expectation::Refusal(408))
    }
}

/// Connects and says nothing.
fn silent(_: &mut Random) -> Plan {
    Plan {
        ends_within: Some(Duration::from_secs(5)),
        lasts: Duration::from_secs(5),
        ..plan("silent", Expectation::Silence)
    }
}

/// Asks for more than it reads, as fast as it can.
fn flooder(random: &mut Random) -> Plan {
    let mut steps = VecDeque::from([(Duration::ZERO, send(opening(random)))]);
    let mut storm = Vec::new();
    for _ in 0..random.between(1, 100) {
        let frame = match random.below(3) {
            0 => client_frame(0x89, &[b'p'; 100]),
            1 => client_frame(0x81, b"flood"),
            _ => client_frame(0x82, &[b'b'; 900]),
        };
        storm.extend(frame);
    }
    for _ in 0..random.between(1, 6) {
        steps.push_back((millis(random, 2000), Step::Send(storm.clone())));
    }
    let every = MILLISECOND * random.between(10, 500) as u32;
    let reading = match random.below(2) {
        0 => Reading::Never,
        _ => Reading::Slow { bytes: random.between(100, 2000) as usize, every },
    };
    steps.push_back((millis(random, 20_000), Step::Reset));
    Plan {
        steps,
        reading,
        window_bytes: random.between(1, 8000) as usize,
        ends_within: Some(Duration::from_secs(60)),
        ..plan("flooder", Expectation::Anything)
    }
}

/// Sends what is no request and goes on talking; the reason must reach it all the same.
fn bad_head(random: &mut Random) -> Plan {
    let (mut head, status) = match random.below(5) {
        0 => (b"NONSENSE\r\n\r\n".to_vec(), 400),
        1 => (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400),
        2 => ([&b"GET /"[..], &[b'x'; 3000], b" HTTP/1.1\r\n\r\n"].concat(), 414),
        3 => (b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n".to_vec(), 400),
        _ => (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n".to_vec(), 413),
    };
    let mut steps = VecDeque::new();
    let length = random.below(6000);
    head.extend(random.bytes(length));
    steps.push_back((millis(random, 20), Step::Send(head)));
    for _ in 0..random.below(6) {
        let length = 1 + random.below(6000);
        steps.push_back((millis(random, 60), Step::Send(random.bytes(length))));
    }
    Plan {
        steps,
        ends_within: Some(Duration::from_secs(7)),
        ..plan("bad_head", Expectation::Refusal(status))
    }
}

/// Breaks the WebSocket protocol and goes on talking.
fn bad_frames(random: &mut Random) -> Plan {
    let mut steps = VecDeque::new();
    in_pieces(&mut steps, random, UPGRADE, 20);
    let (bad, code): (Vec<u8>, u16) = match random.below(6) {
        0 => (b"\x81\x02hi".to_vec(), 1002),
        1 => (client_frame(0xc1, b"reserved"), 1002),
        2 => (client_frame(0x83, b"opcode"), 1002),
        3 => (client_frame(0x81, b"\xff\xff"), 1007),
        4 => (client_frame(0x80, b"nothing to continue"), 1002),
        _ => (client_frame(0x82, &[0; 5000]), 1009),
    };
    steps.push_back((millis(random, 3000), Step::Send(bad)));
    for _ in 0..random.below(6) {
        let length = 1 + random.below(3000);
        steps.push_back((millis(random, 60), Step::Send(random.bytes(length))));
    }
    Plan {
        steps,
        is_polite: false,
        ends_within: Some(Duration::from_secs(16)),
        ..plan("bad_frames", Expectation::Close(code))
    }
}

/// Does as another model does, and is gone at some byte of it.
fn vanisher(random: &mut Random) -> Plan {
    let make: Make = match random.below(6) {
        0 => good,
        1 => slow,
        2 => keeper,
        3 => flooder,
        4 => streamer,
        _ => half_closer,
    };
    let mut plan = make(random);
    let kept = random.below(plan.steps.len() + 1);
    plan.steps.truncate(kept);
    if let Some((_, Step::Send(bytes))) = plan.steps.back_mut() {
        bytes.truncate(random.below(bytes.len() + 1));
    }
    let last = if random.below(2) == 0 { Step::Vanish } else { Step::Reset };
    plan.steps.push_back((millis(random, 5000), last));
    Plan { model: "vanisher", expectation: Expectation::Anything, ..plan }
}

/// A request for some number, answered at once or later; the body says its path again.
fn request(random: &mut Random, is_last: bool) -> (String, String) {
    let last = if is_last { "Connection: close\r\n" } else { "" };
    let folder = if random.below(3) == 0 { "/later" } else { "" };
    let path = format!("{folder}/{}", random.draw() % 1000);
    (format!("GET {path} HTTP/1.1\r\nHost: h\r\n{last}\r\n"), format!("{path}\n"))
}

/// Sends all its requests, says that it will send no more, and must get every answer.
fn half_closer(random: &mut Random) -> Plan {
    let mut steps = VecDeque::new();
    let (mut heads, mut bodies) = (String::new(), Vec::new());
    for _ in 0..random.between(1, 30) {
        let (head, body) = request(random, false);
        heads.push_str(&head);
        bodies.push(body);
    }
    in_pieces(&mut steps, random, heads.as_bytes(), 20);
    steps.push_back((millis(random, 20), Step::End));
    let reading = match random.below(2) {
        0 => Reading::Eager,
        _ => Reading::Slow { bytes: 1 + random.below(2000), every: MILLISECOND * 20 },
    };
    let window_bytes = random.between(600, 20_000) as usize;
    Plan { steps, reading, window_bytes, ..plan("half_closer", Expectation::Answers(bodies)) }
}

/// Keeps a connection for requests with pauses between them; at last it says so, or idles until it
/// is dropped.
fn keeper(random: &mut Random) -> Plan {
    let mut steps = VecDeque::new();
    let mut bodies = Vec::new();
    let count = random.between(1, 5);
    let says_so = random.below(2) == 0;
    for index in 1..=count {
        let (head, body) = request(random, says_so && index == count);
        bodies.push(body);
        let first = steps.len();
        in_pieces(&mut steps, random, head.as_bytes(), 20);
        steps[first].0 = if index == 1 { millis(random, 20) } else { millis(random, 25_000) };
    }
    Plan {
        steps,
        ends_within: Some(Duration::from_secs(25 * 5 + 60)),
        ..plan("keeper", Expectation::Answers(bodies))
    }
}

/// Asks for what is never answered, and is told 503 after 10 s, whatever it sends meanwhile.
fn patient(random: &mut Random) -> Plan {
    let mut steps = VecDeque::new();
    in_pieces(&mut steps, random, b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n", 20);
    for _ in 0..random.below(4) {
        steps.push_back((millis(random, 4_000), Step::Send(request(random, false).0.into())));
    }
    if random.below(2) == 0 {
        steps.push_back((millis(random, 20), Step::End));
    }
    Plan {
        steps,
        ends_within: Some(Duration::from_secs(13)),
        lasts: Duration::from_secs(10),
        ..plan("patient", Expectation::Refusal(503))
    }
}
