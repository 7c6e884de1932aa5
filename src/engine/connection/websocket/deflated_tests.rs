//! What compressed messages come to, on a WebSocket that agreed on them.

use std::iter;

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{client, read_with};
use super::*;
use crate::engine::compressor::Compressor;

const MESSAGE_BYTES_MAX: usize = 4096;

/// The first byte of frames: whole messages, and fragments.
const TEXT: u8 = 0xc1;
const BINARY: u8 = 0xc2;
const TEXT_BEGINS: u8 = 0x41;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(Compressor::default().raw(payload, &mut out));
    out
}

/// Reads all of `input` on a new WebSocket.
fn read(input: &[u8]) -> (Vec<String>, Vec<u8>) {
    read_in(&mut WebSocket::new(MESSAGE_BYTES_MAX, true), input)
}

fn read_in(socket: &mut WebSocket, input: &[u8]) -> (Vec<String>, Vec<u8>) {
    read_with(&mut Inflater::default(), socket, input)
}

/// The examples of RFC 7692, sections 7.2.3.1 to 7.2.3.6: one block, two fragments, a block that is
/// not compressed, one that is marked as the last, two blocks, and nothing.
#[test]
fn the_examples_of_rfc_7692_are_understood() {
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let fragments = [client(TEXT_BEGINS, &hello[..3]), client(ENDS, &hello[3..])].concat();
    for (input, text) in [
        (client(TEXT, hello), "text Hello"),
        (fragments, "text Hello"),
        (client(TEXT, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "text Hello"),
        (client(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "text Hello"),
        (client(TEXT, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "text Hello"),
        (client(TEXT, b"\x00"), "text "),
    ] {
        assert_eq!(read(&input), (vec![text.to_owned()], Vec::new()), "{input:x?}");
    }
}

#[test]
fn what_clients_send_that_do_not_quite_follow_is_taken_too() {
    for (payload, text) in [
        // A last block, and no byte of zeros behind it.
        (&b"\xf3\x48\xcd\xc9\xc9\x07\x00"[..], "text Hello"),
        // Two of them.
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "text HelloHello"),
        // What zlib makes of nothing behind another flush.
        (b"", "text "),
    ] {
        assert_eq!(read(&client(TEXT, payload)).0, [text], "{payload:x?}");
    }
}

#[test]
fn a_ping_between_fragments_is_answered_before_the_message_is_whole() {
    let payload = compressed(b"in three pieces");
    let mut socket = WebSocket::new(MESSAGE_BYTES_MAX, true);
    let begin = [client(TEXT_BEGINS, &payload[..2]), client(0x89, b"p")].concat();
    assert_eq!(read_in(&mut socket, &begin), (vec!["control".to_owned()], b"\x8a\x01p".to_vec()));
    let end = [client(GOES_ON, &payload[2..9]), client(0x8a, b""), client(ENDS, &payload[9..])];
    assert_eq!(read_in(&mut socket, &end.concat()).0, ["control", "text in three pieces"]);
}

#[test]
fn messages_that_are_not_compressed_come_between_those_that_are() {
    let input = [
        client(0x81, b"plain"),
        client(TEXT, &compressed(b"compressed")),
        client(0x01, b"in "),
        client(ENDS, b"two"),
        client(BINARY, &compressed(b"\xff\x00")),
    ];
    let seen = ["text plain", "text compressed", "text in two", "binary b\"\\xff\\0\""];
    assert_eq!(read(&input.concat()).0, seen);
}

#[test]
fn what_would_be_too_long_is_refused_and_no_more_of_it_inflated() {
    let mut inflater = Inflater::default();
    for (bytes, is_taken) in
        [(MESSAGE_BYTES_MAX, true), (MESSAGE_BYTES_MAX + 1, false), (16 << 20, false)]
    {
        let payload = compressed(&vec![b'x'; bytes]);
        let frames: Vec<Vec<u8>> = payload.chunks(100).map(|part| client(GOES_ON, part)).collect();
        let mut stream = frames.concat();
        // A bomb of 16 MiB has 16 KiB: only its beginning is sent, as much as may be.
        stream.truncate(39 * 106);
        stream[0] = TEXT_BEGINS;
        stream.extend(client(ENDS, b""));
        let mut socket = WebSocket::new(MESSAGE_BYTES_MAX, true);
        let (seen, _) = read_with(&mut inflater, &mut socket, &stream);
        let is_text = seen.first().is_some_and(|seen| seen.starts_with("text xxx"));
        assert_eq!(is_text, is_taken, "{seen:?}");
        assert!(is_taken || seen == ["failed 1009"], "{seen:?}");
    }
    // One byte too many is where it stops.
    let most = Inflater::memory_ceiling(MESSAGE_BYTES_MAX);
    assert!(most < 20 << 10, "{most}");
}

#[test]
fn so_many_blocks_are_taken_as_pieces_that_are_flushed_have_and_no_endless_number() {
    // A block with nothing in it that is marked as the last, and the rest of its second byte.
    let empty = |count| client(TEXT, &b"\x03\x00".repeat(count));
    assert_eq!(read(&empty(60)).0, ["text "]);
    assert_eq!(read(&empty(2000)).0, ["failed 1009"]);
    let mut compress = flate2::Compress::new(flate2::Compression::fast(), false);
    let mut pieces = Vec::with_capacity(1000);
    for _ in 0..30 {
        let flush = flate2::FlushCompress::Sync;
        compress.compress_vec(b"piece ", &mut pieces, flush).expect("there is room");
    }
    pieces.truncate(pieces.len() - 4);
    assert_eq!(read(&client(TEXT, &pieces)).0, [format!("text {}", "piece ".repeat(30))]);
}

#[test]
fn compressed_bytes_count_against_the_limit_as_they_are_announced() {
    let fragments = [client(TEXT_BEGINS, &[0; 4000]), client(GOES_ON, &[0; 100])].concat();
    // The second one's payload need not have come.
    assert_eq!(read(&fragments[..4008 + 6]).0, ["failed 1009"]);
    assert_eq!(read(&client(TEXT, &[0; 4097])[..8]).0, ["failed 1009"]);
}

#[test]
fn what_cannot_be_inflated_is_no_message() {
    let whole = compressed(&[b'a'; 1000].map(|byte| byte + 7).repeat(3));
    for payload in [
        // A kind of block that is not defined; a length that is not as its complement has it.
        &b"\x07"[..],
        b"\x00\x05\x00\x00\x00Hello\x00",
        // Further back than the message has bytes.
        b"\xf2\x48\x05\x13\x00",
        // Without its end.
        &whole[..whole.len() - 2],
    ] {
        let (seen, control) = read(&client(TEXT, payload));
        assert_eq!(seen, ["failed 1007"], "{payload:x?}");
        assert_eq!(control, b"\x88\x1c\x03\xefmessage cannot be inflated", "{payload:x?}");
    }
}

#[test]
fn text_is_utf8_when_it_is_inflated_too() {
    assert_eq!(read(&client(TEXT, &compressed(b"\xff"))).0, ["failed 1007"]);
    assert_eq!(read(&client(BINARY, &compressed(b"\xff"))).0, ["binary b\"\\xff\""]);
}

#[test]
fn the_bit_stands_on_the_first_frame_of_a_message_alone() {
    let begun = client(TEXT_BEGINS, b"\xf2");
    let plain_begun = client(0x01, b"a");
    let mut unmasked = vec![TEXT, 1, 0];
    unmasked.extend([0; 3]);
    for input in [
        client(0xc9, b"ping"),
        client(0xc8, b"\x03\xe8"),
        [begun.clone(), client(0xc0, b"\x48")].concat(),
        [plain_begun.clone(), client(0xc0, b"b")].concat(),
        // A message within another.
        [begun.clone(), client(0x81, b"plain")].concat(),
        [begun, client(TEXT, b"\x00")].concat(),
        [plain_begun, client(TEXT, b"\x00")].concat(),
        // Other bits, that nothing was agreed on for.
        client(0xe1, b"\x00"),
        client(0xd1, b"\x00"),
        // Bits of a frame that is none.
        client(0xc3, b"\x00"),
        client(0xc0, b"\x00"),
        unmasked,
    ] {
        assert_eq!(read(&input).0, ["failed 1002"], "{input:x?}");
    }
}

#[test]
fn nothing_is_inflated_for_one_who_did_not_agree() {
    let mut socket = WebSocket::new(MESSAGE_BYTES_MAX, false);
    assert_eq!(read_in(&mut socket, &client(TEXT, b"\x00")).0, ["failed 1002"]);
}

proptest! {
    #[test]
    fn messages_are_the_same_however_they_are_compressed_cut_and_sent(
        messages in vec(
            (vec(any::<u8>(), 0..300), any::<bool>(), vec(1usize..40, 1..4), any::<bool>()),
            1..6,
        ),
        piece_bytes in vec(1usize..40, 1..9),
    ) {
        let (mut stream, mut right) = (Vec::new(), Vec::new());
        for (payload, is_compressed, fragment_bytes, is_pinged) in &messages {
            right.push(format!("binary {:?}", Bytes::copy_from_slice(payload)));
            let wire = if *is_compressed { compressed(payload) } else { payload.clone() };
            let mut parts = Vec::new();
            let (mut rest, mut sizes) = (&wire[..], fragment_bytes.iter().cycle());
            while let Some(size) = sizes.next().filter(|size| rest.len() > **size) {
                parts.push(&rest[..*size]);
                rest = &rest[*size..];
            }
            parts.push(rest);
            for (index, part) in parts.iter().enumerate() {
                let bits = if index == 0 { 0x02 | u8::from(*is_compressed) << 6 } else { 0 };
                let is_last = index + 1 == parts.len();
                stream.extend(client(bits | u8::from(is_last) << 7, part));
                if *is_pinged && !is_last {
                    stream.extend(client(0x89, b""));
                }
            }
        }
        let (mut socket, mut inflater) =
            (WebSocket::new(MESSAGE_BYTES_MAX, true), Inflater::default());
        let (mut seen, mut rest) = (Vec::new(), &stream[..]);
        for size in piece_bytes.iter().cycle() {
            let (piece, later) = rest.split_at(rest.len().min(*size));
            seen.extend(read_with(&mut inflater, &mut socket, piece).0);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        seen.retain(|seen| seen != "control");
        prop_assert_eq!(seen, right);
    }

    #[test]
    fn no_bytes_are_inflated_otherwise_than_flate2_does(
        parts in vec(prop_oneof![
            Just(compressed(b"words and words and words")),
            vec(any::<u8>(), 0..30),
            Just(b"\x03\x00".to_vec()),
        ], 0..4),
    ) {
        let payload = parts.concat();
        let expected = inflated(&payload);
        let (seen, _) = read(&client(BINARY, &payload));
        match expected {
            Some(bytes) => {
                prop_assert_eq!(seen, [format!("binary {:?}", Bytes::from(bytes))]);
            }
            None => prop_assert_eq!(seen, ["failed 1007"]),
        }
    }
}

/// A message, inflated by flate2: streams one behind another, the last of which may go on.
fn inflated(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.is_empty() {
        return Some(Vec::new());
    }
    let input: Vec<u8> =
        payload.iter().copied().chain(*b"\x00\x00\xff\xff\x01\x00\x00\xff\xff").collect();
    let (mut out, mut read) = (Vec::with_capacity(1 << 20), 0);
    for mut decompress in iter::repeat_with(|| flate2::Decompress::new(false)) {
        let flush = flate2::FlushDecompress::Finish;
        let status = decompress.decompress_vec(&input[read..], &mut out, flush).ok()?;
        read += decompress.total_in() as usize;
        match status {
            flate2::Status::StreamEnd if read >= payload.len() => break,
            flate2::Status::StreamEnd => {}
            flate2::Status::Ok | flate2::Status::BufError => return None,
        }
    }
    Some(out)
}
