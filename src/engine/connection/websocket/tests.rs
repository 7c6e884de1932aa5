//! What the protocol is kept to, with input in any pieces.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// A masked client frame with the mask 1, 2, 3, 4.
pub fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload, [1, 2, 3, 4])
}

fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
    frame
}

/// Reads all of `input` and gives what was received, in words, and the control lane.
fn read(socket: &mut WebSocket, input: &[u8]) -> (Vec<String>, Vec<u8>) {
    read_with(&mut Inflater::default(), socket, input)
}

/// The same, with this inflater.
pub fn read_with(
    inflater: &mut Inflater,
    socket: &mut WebSocket,
    input: &[u8],
) -> (Vec<String>, Vec<u8>) {
    let read = |socket: &mut WebSocket, input: &mut &[u8], control: &mut Vec<u8>| {
        socket.read(input, control, inflater)
    };
    read_by(read, socket, input)
}

fn read_by(
    mut read: impl FnMut(&mut WebSocket, &mut &[u8], &mut Vec<u8>) -> Received,
    socket: &mut WebSocket,
    mut input: &[u8],
) -> (Vec<String>, Vec<u8>) {
    let (mut seen, mut control) = (Vec::new(), Vec::new());
    loop {
        match read(socket, &mut input, &mut control) {
            Received::Nothing => break,
            Received::Text(text) => seen.push(format!("text {text}")),
            Received::Binary(bytes) => seen.push(format!("binary {bytes:?}")),
            Received::Control => seen.push("control".to_owned()),
            Received::Closed(code) => {
                seen.push(format!("closed {code:?}"));
                break;
            }
            Received::Failed(failure) => {
                seen.push(format!("failed {}", failure.code()));
                break;
            }
        }
    }
    (seen, control)
}

#[test]
fn a_message_may_come_in_any_pieces() {
    let mut socket = WebSocket::new(4096, false);
    let frame = client(0x81, b"hello");
    for byte in &frame[..frame.len() - 1] {
        assert!(read(&mut socket, std::slice::from_ref(byte)).0.is_empty());
    }
    let (seen, control) = read(&mut socket, &frame[frame.len() - 1..]);
    assert_eq!(seen, ["text hello"]);
    assert!(control.is_empty());
}

#[test]
fn each_ping_of_a_batch_gets_its_pong_in_order() {
    let mut socket = WebSocket::new(4096, false);
    let input = [client(0x89, b"a"), client(0x89, b"b"), client(0x81, b"x")].concat();
    let (seen, control) = read(&mut socket, &input);
    assert_eq!(seen, ["control", "control", "text x"]);
    assert_eq!(control, b"\x8a\x01a\x8a\x01b");
}

#[test]
fn nothing_follows_our_close_frame_not_even_a_pong() {
    let mut socket = WebSocket::new(4096, false);
    let (mut input, mut control) = (client(0x89, b"p"), Vec::new());
    input.extend_from_slice(&client(0x89, b"q"));
    let (mut rest, mut inflater) = (&input[..], Inflater::default());
    assert!(matches!(socket.read(&mut rest, &mut control, &mut inflater), Received::Control));
    socket.close(1001, "going away", &mut control);
    assert!(!socket.can_send());
    assert!(matches!(socket.read(&mut rest, &mut control, &mut inflater), Received::Control));
    assert_eq!(control, b"\x8a\x01p\x88\x0c\x03\xe9going away");
}

#[test]
fn the_peers_close_frame_is_answered_with_its_code() {
    let mut socket = WebSocket::new(4096, false);
    let (seen, control) = read(&mut socket, &client(0x88, &[0x03, 0xe8]));
    assert_eq!(seen, ["closed Some(1000)"]);
    assert_eq!(control, b"\x88\x02\x03\xe8");
}

#[test]
fn the_answer_to_our_close_frame_ends_the_handshake() {
    let mut socket = WebSocket::new(4096, false);
    let mut control = Vec::new();
    socket.close(1000, "", &mut control);
    let (seen, more) = read(&mut socket, &client(0x88, &[0x03, 0xe8]));
    assert_eq!(seen, ["closed Some(1000)"]);
    assert!(more.is_empty());
}

#[test]
fn what_the_protocol_forbids_is_failed_with_its_code() {
    let unmasked = b"\x81\x02hi".to_vec();
    for (input, failure) in [
        (unmasked, "failed 1002"),
        (client(0xc1, b"rsv"), "failed 1002"),
        (client(0x83, b"opcode"), "failed 1002"),
        (client(0x09, b"fragmented ping"), "failed 1002"),
        (client(0x80, b"nothing to continue"), "failed 1002"),
        (client(0x89, &[0; 126]), "failed 1002"),
        (client(0x81, b"\xff"), "failed 1007"),
        (client(0x88, b"\x03\xe8\xff"), "failed 1007"),
        (client(0x81, &[b'x'; 4097]), "failed 1009"),
    ] {
        let mut socket = WebSocket::new(4096, false);
        let (seen, control) = read(&mut socket, &input);
        assert_eq!(seen, [failure], "{input:x?}");
        assert_eq!(control[0], 0x88, "{input:x?}");
    }
}

#[test]
fn fragments_count_together_against_the_limit() {
    let mut socket = WebSocket::new(4096, false);
    let input = [client(0x01, &[b'x'; 4000]), client(0x80, &[b'x'; 100])].concat();
    assert_eq!(read(&mut socket, &input).0, ["failed 1009"]);
    let mut socket = WebSocket::new(4096, false);
    let input = [client(0x01, &[b'x'; 4000]), client(0x80, &[b'x'; 96])].concat();
    assert_eq!(read(&mut socket, &input).0.len(), 1);
}

#[test]
fn text_that_is_not_utf8_fails_before_its_frame_is_whole() {
    // F4 90 is beyond the last code point, U+10FFFF.
    let input = client(0x81, b"\xce\xba\xf4\x90\x80\x80edited");
    let good = 6 + 3;
    let mut socket = WebSocket::new(4096, false);
    assert!(read(&mut socket, &input[..good]).0.is_empty());
    let (seen, control) = read(&mut socket, &input[good..=good]);
    assert_eq!(seen, ["failed 1007"]);
    assert_eq!(control, b"\x88\x13\x03\xeftext is not UTF-8");
}

#[test]
fn a_code_point_may_be_cut_by_pieces_and_by_frames() {
    let (mut socket, mut seen) = (WebSocket::new(4096, false), Vec::new());
    let input = [
        client(0x01, b"\xf0"),
        client(0x00, b"\x9f\x98"),
        client(0x89, b"\xff"),
        client(0x80, b"\x80"),
    ];
    for byte in input.concat() {
        seen.extend(read(&mut socket, &[byte]).0);
    }
    assert_eq!(seen, ["control", "text 😀"]);
}

#[test]
fn a_frame_with_another_fault_fails_for_that_and_not_for_its_text() {
    let mut unmasked = vec![0x81, 4];
    unmasked.extend_from_slice(b"\xff\xff\xff\xff");
    let within = [client(0x01, b"a"), client(0x81, b"\xff")].concat();
    let beyond = [client(0x01, &[b'x'; 60]), client(0x80, b"\xff\xff\xff\xff\xff")].concat();
    for (input, failure) in [
        (unmasked, "failed 1002"),
        (client(0xc1, b"\xff"), "failed 1002"),
        (client(0xa1, b"\xff"), "failed 1002"),
        (client(0x91, b"\xff"), "failed 1002"),
        (client(0x80, b"\xff"), "failed 1002"),
        (within, "failed 1002"),
        (beyond, "failed 1009"),
        (client(0x81, &[0xff; 65]), "failed 1009"),
    ] {
        assert_eq!(read(&mut WebSocket::new(64, false), &input).0, [failure], "{input:x?}");
    }
}

/// Frames of every kind, allowed and not, and of messages up to somewhat over 64 bytes.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        12 => select(&[0x01, 0x81, 0x00, 0x80][..]),
        4 => select(&[0x02, 0x82, 0x89, 0x8a][..]),
        1 => any::<u8>(),
    ];
    const PARTS: &[&[u8]] =
        &[b"a", b"plain text", "é漢字😀".as_bytes(), b"\xf0\x9f", b"\x98\x80", b"\xed\xa0"];
    let payload = prop_oneof![
        9 => vec(select(PARTS), 0..6).prop_map(|parts| parts.concat()),
        1 => vec(any::<u8>(), 0..80),
    ];
    let frame = prop_oneof![
        30 => (first, payload, any::<[u8; 4]>())
            .prop_map(|(first, payload, mask)| masked(first, &payload, mask)),
        1 => vec(any::<u8>(), 0..20),
        1 => Just(client(0x88, b"\x03\xe8")),
        1 => Just(b"\x81\x03abc".to_vec()),
        1 => Just(b"\x01\xff\0\0\0\0\0\0\0\xff\0\0\0\0\xff".to_vec()),
    ];
    vec(frame, 1..10).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn looking_at_frames_early_changes_nothing_but_how_soon_text_fails(
        stream in frames(),
        piece_bytes in vec(1usize..40, 1..9),
        is_closing in any::<bool>(),
    ) {
        let (mut alone, mut socket) = (WebSocket::new(64, false), WebSocket::new(64, false));
        if is_closing {
            alone.close(1001, "", &mut Vec::new());
            socket.close(1001, "", &mut Vec::new());
        }
        let (mut right, mut right_control) =
            read_by(WebSocket::read_frame, &mut alone, &stream);
        let (mut seen, mut control) = (Vec::new(), Vec::new());
        let is_over = |seen: &[String]| {
            seen.last().is_some_and(|last| last.starts_with('f') || last.starts_with("cl"))
        };
        let (mut rest, mut sizes) = (&stream[..], piece_bytes.iter().cycle());
        while let Some(size) = sizes.next().filter(|_| !rest.is_empty() && !is_over(&seen)) {
            let (piece, later) = rest.split_at(rest.len().min(*size));
            rest = later;
            let (received, answer) = read(&mut socket, piece);
            seen.extend(received);
            control.extend(answer);
        }
        // Sooner only when nothing else could have come of the frame that is not yet whole.
        if is_over(&seen) && !is_over(&right) {
            prop_assert_eq!(seen.last().map(String::as_str), Some("failed 1007"));
            let (end, last_control) = read_by(WebSocket::read_frame, &mut alone, &[b'x'; 80]);
            right.extend(end);
            right_control.extend(last_control);
        }
        prop_assert_eq!(seen, right);
        prop_assert_eq!(control, right_control);
    }
}

#[test]
fn the_ping_is_an_empty_control_frame() {
    assert_eq!(PING, [0x89, 0x00]);
}
