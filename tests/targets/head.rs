//! Requests: any bytes at the beginning of a connection, to the parser alone and to the whole
//! server in one piece and in several.

use vitald::app::access::{self, Access, Shown};
use vitald::app::routes;
use vitald::config::{INTERVAL_MAX, Origin, Token};
use vitald::engine::connection::head::{Fields, Head, Request, overflow, parse};
use vitald::engine::limits::INPUT_BYTES_MAX;
use vitald::engine::random::Random;

use super::peer::{CLOSE, Frame, WIDE, check_books, run_until, take_all, take_frames, vitald};

/// Bytes of a target, as vitald's limits have it.
const TARGET_BYTES_MAX: usize = 2048;

/// What the parser and the router refuse with, by the contract.
const REFUSALS: [u16; 9] = [400, 404, 405, 413, 414, 426, 431, 501, 505];

/// What the server may answer at all: the refusals, and those that need more than the head.
const ANSWERS: [u16; 17] =
    [101, 200, 204, 304, 400, 403, 404, 405, 408, 413, 414, 421, 426, 429, 431, 501, 505];

/// Its answer says how often the loop has turned: another number for the same bytes in pieces.
const PATH_OF_TURNS: &[u8] = b"/api/v1/server";

/// Bytes of input that are used: enough to overflow a head with more behind it.
const BYTES_MAX: usize = INPUT_BYTES_MAX + 1024;

pub fn run(data: &[u8]) {
    let data = &data[..data.len().min(BYTES_MAX)];
    check_parser(data);
    let whole = serve(data, &[]);
    let pieces = pieces(data);
    let parts = serve(data, &pieces);
    let tells_turns = data.windows(PATH_OF_TURNS.len()).any(|part| part == PATH_OF_TURNS);
    assert!(
        by_lane(&whole) == by_lane(&parts) || tells_turns,
        "in one piece: {}\nin pieces {pieces:?}: {}",
        String::from_utf8_lossy(&whole),
        String::from_utf8_lossy(&parts),
    );
}

/// Answers up to an upgrade, then control frames and messages apart: a pong may overtake a hello
/// that has not left, and does only if the ping came with the upgrade.
fn by_lane(bytes: &[u8]) -> (&[u8], Vec<Frame>, Vec<Frame>) {
    let upgrade = bytes.windows(13).position(|part| part == b"HTTP/1.1 101 ");
    let Some(upgrade) = upgrade else { return (bytes, Vec::new(), Vec::new()) };
    let end = bytes[upgrade..].windows(4).position(|four| four == b"\r\n\r\n");
    let (answers, frames) = bytes.split_at(upgrade + end.expect("a head ends") + 4);
    let frames = take_frames(&mut frames.to_vec());
    let (control, messages) = frames.into_iter().partition(|frame| frame.opcode >= CLOSE);
    (answers, control, messages)
}

/// What the parser makes of some bytes.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Partial,
    Complete(usize),
    Refused(u16),
}

fn verdict(bytes: &[u8], look: impl FnOnce(&Request<'_>, usize)) -> Verdict {
    match parse(bytes, &mut Fields::new(), TARGET_BYTES_MAX) {
        Ok(Head::Partial) => Verdict::Partial,
        Ok(Head::Complete(request, length)) => {
            look(&request, length);
            Verdict::Complete(length)
        }
        Err(error) => Verdict::Refused(error.status),
    }
}

fn check_parser(data: &[u8]) {
    let whole = verdict(data, |request, length| check_request(request, &data[..length]));
    if let Verdict::Refused(status) = whole {
        assert!(REFUSALS.contains(&status), "{status}");
    }
    assert!([414, 431].contains(&overflow(data).status));
    // What has been said of the first bytes holds whatever follows.
    let mut is_refused = false;
    for length in (0..data.len()).step_by(data.len() / 32 + 1) {
        let prefix = verdict(&data[..length], |_, _| {});
        match whole {
            Verdict::Complete(all) if length < all => assert_eq!(prefix, Verdict::Partial),
            Verdict::Complete(_) => assert_eq!(prefix, whole),
            Verdict::Partial => assert_eq!(prefix, Verdict::Partial),
            Verdict::Refused(_) => assert!(!matches!(prefix, Verdict::Complete(_))),
        }
        assert!(!is_refused || matches!(prefix, Verdict::Refused(_)), "refused, then {prefix:?}");
        is_refused = matches!(prefix, Verdict::Refused(_));
    }
}

/// Checks an accepted head against its bytes, read by other means: what would let a peer smuggle a
/// second request past us, and what every later step relies on.
fn check_request(request: &Request<'_>, head: &[u8]) {
    let lines: Vec<&[u8]> = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).collect();
    let count = |name: &str| {
        let named = |line: &&&[u8]| {
            let colon = line.iter().position(|&byte| byte == b':');
            colon.is_some_and(|colon| line[..colon].eq_ignore_ascii_case(name.as_bytes()))
        };
        lines.iter().filter(named).count()
    };
    let is_1_1 =
        lines.iter().find(|line| !line.is_empty()).is_some_and(|line| line.ends_with(b"1"));
    assert!(count("host") == 1 || (count("host") == 0 && !is_1_1), "Host fields");
    assert_eq!(count("transfer-encoding"), 0);
    assert!(count("content-length") <= 1);
    if request.has("content-length") {
        let length = request.header("content-length").expect("a length that was accepted is text");
        assert!(!length.is_empty() && length.bytes().all(|digit| digit == b'0'), "{length:?}");
    }
    assert_eq!(request.has("host"), count("host") > 0);
    assert!(!request.path().contains(['?', ' ', '\r', '\n']), "{:?}", request.path());
    assert!(request.path().len() + request.query().len() <= TARGET_BYTES_MAX);
    let _ = (request.accepts_gzip(), request.keeps_alive(), routes::wants_history(request.query()));
    let page = Origin::parse("https://page").expect("it is one");
    let token = Token::new("hush").expect("it is one");
    let access = Access::new(&[], &[page], Some("machine")).with_token(Some(&token));
    let host = request.header("host").unwrap_or_default();
    let origin = request.header("origin").unwrap_or_default();
    let _ = (access.allows_host(host), access.allows_origin(origin, host));
    check_shown(request, &access);
    if let Err(refusal) = routes::route(request) {
        assert!(REFUSALS.contains(&refusal.status()), "{}", refusal.status());
    }
    match request.websocket_key() {
        Ok(key) => assert!(key.len() == 24 && request.wants_websocket(), "{key:?}"),
        Err(error) => assert!([400, 426].contains(&error.status)),
    }
}

/// Whoever is let in has said what lets in, and no line of a peer's gets into a field of ours.
fn check_shown(request: &Request<'_>, access: &Access) {
    let session = access.credentials().expect("there is a token").session().to_owned();
    let fields = [request.header("authorization"), request.header("cookie")];
    let is_in = |part: &str| fields.iter().flatten().any(|value| value.contains(part));
    for takes_query in [false, true] {
        let shown = access.shown(request, takes_query).expect("a token is asked for");
        let has_said = is_in("hush") || is_in(&session) || takes_query;
        assert!(shown != Shown::Right || has_said, "{request:?}");
    }
    let fields = [access::cookie(request, &session), access::clearing(request)];
    let is_plain =
        |field: &String| field.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    assert!(fields.iter().all(is_plain), "{fields:?}");
}

/// Where `data` is cut, as its own bytes decide: a few short pieces among long ones.
fn pieces(data: &[u8]) -> Vec<usize> {
    let mut random = Random::from_bytes(data);
    // A head is parsed again with each piece, so a long input in short ones takes its time.
    let longest = if data.len() < 1000 { [3, 40, 400] } else { [200, 1000, 5000] };
    let longest = longest[random.below(3)];
    let mut pieces = Vec::new();
    let mut left = data.len();
    while left > 0 {
        let length = (1 + random.below(longest)).min(left);
        pieces.push(length);
        left -= length;
    }
    pieces
}

/// Sends `data` to vitald, in `pieces` if there are any, and falls silent; gives all that it
/// answers. It must answer by the table and end the connection in time.
fn serve(data: &[u8], pieces: &[usize]) -> Vec<u8> {
    // Samples are of no interest here, and would take most of the time.
    let (mut engine, wire) = vitald(INTERVAL_MAX);
    let client = wire.connect(WIDE);
    let (mut rest, mut answers) = (data, Vec::new());
    for &length in pieces {
        let (piece, later) = rest.split_at(length);
        rest = later;
        wire.send(client, piece);
        take_all(&mut engine, &wire, client, &mut answers);
    }
    wire.send(client, rest);
    take_all(&mut engine, &wire, client, &mut answers);
    // A head may take 5 s, its refusal and the rest of the end 1 s each.
    run_until(&mut engine, &wire, 7_100);
    take_all(&mut engine, &wire, client, &mut answers);
    let is_open = check_answers(&answers, data);
    assert!(wire.is_closed(client) || !answers.is_empty(), "a first head after 7 s");
    // A request may be 30 s away from the one before it; a WebSocket silent for 45 s.
    run_until(&mut engine, &wire, if is_open { 47_100 } else { 37_100 });
    assert!(wire.is_closed(client), "silent and not dropped");
    check_books(&engine);
    answers
}

/// Checks that `bytes` are whole answers to the requests in `data`; says whether the last one made
/// the connection a WebSocket.
fn check_answers(bytes: &[u8], data: &[u8]) -> bool {
    let (mut rest, mut requests) = (bytes, data);
    while !rest.is_empty() {
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("a head ends");
        let (head, body) = rest.split_at(end + 4);
        let head = std::str::from_utf8(head).expect("a head is text");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {head}"));
        assert!(ANSWERS.contains(&status), "{head}");
        if status == 101 {
            take_frames(&mut body.to_vec());
            return true;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(length.is_none(), matches!(status, 204 | 304), "{head}");
        let mut is_head = false;
        let taken = verdict(requests, |request, _| is_head = request.method() == "HEAD");
        let length = length.map_or(0, |length| length.parse().expect("a length is a number"));
        rest = &body[if is_head { 0 } else { length }..];
        match taken {
            Verdict::Complete(length) => requests = &requests[length..],
            _ => assert!(rest.is_empty(), "{} bytes after a refusal", rest.len()),
        }
        if head.contains("\r\nConnection: close\r\n") {
            assert!(rest.is_empty(), "{} bytes after the last answer", rest.len());
        }
    }
    false
}
