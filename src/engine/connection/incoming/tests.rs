//! Where text is found wanting, to the byte.

use std::ops::Range;
use std::str;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::utf8::Utf8;
use super::*;

const MESSAGE_BYTES_MAX: usize = 4096;

/// Whether some text begins with `bytes`, found by trying ends: among these is one for each
/// beginning of a character, also for E0, F0, ED and F4, behind which not every byte may stand.
fn may_begin_a_text(bytes: &[u8]) -> bool {
    let ends: [&[u8]; 9] = [
        b"",
        b"\x80",
        b"\xa0",
        b"\x80\x80",
        b"\x90\x80",
        b"\xa0\x80",
        b"\x80\x80\x80",
        b"\x90\x80\x80",
        b"\xa0\x80\x80",
    ];
    ends.iter().any(|end| str::from_utf8(&[bytes, end].concat()).is_ok())
}

/// How many of `bytes` are taken, one at a time, before one is refused.
fn taken(bytes: &[u8]) -> usize {
    let mut utf8 = Utf8::default();
    let refused = bytes.iter().position(|byte| utf8.take(&[*byte], [0; 4]).is_err());
    refused.unwrap_or(bytes.len())
}

/// A client's frame of up to 125 bytes.
fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | payload.len() as u8];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[test]
fn a_byte_is_refused_when_no_character_goes_on_with_it() {
    for (bytes, good) in [
        (&b"\xf4\x90"[..], 1),
        (b"\xed\xa0", 1),
        (b"\xc0", 0),
        (b"\xff", 0),
        (b"\x80", 0),
        (b"\xf0\x9f\x98x", 3),
        (b"\xe2\x82\xac\xe2\x82(", 5),
        ("κόσμε\u{d7ff}\u{e000}\u{10ffff}".as_bytes(), 20),
    ] {
        assert_eq!(taken(bytes), good, "{bytes:x?}");
    }
}

#[test]
fn at_every_border_of_the_syntax_those_bytes_are_taken_that_a_text_may_begin_with() {
    // RFC 3629, section 4.
    let borders = [
        0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec,
        0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
    ];
    for (first, second) in borders.iter().flat_map(|first| borders.map(|second| (*first, second))) {
        for third in [0x7f, 0x80, 0xbf, 0xc0] {
            for fourth in [0x7f, 0x80, 0xbf, 0xc0] {
                let bytes = [first, second, third, fourth];
                let good = (1..=4).take_while(|end| may_begin_a_text(&bytes[..*end])).count();
                assert_eq!(taken(&bytes), good, "{bytes:x?}");
            }
        }
    }
}

#[test]
fn the_input_is_dealt_out_a_frame_at_a_time() {
    let frames = [
        frame(0x01, b"text", [1, 2, 3, 4]),
        frame(0x89, b"", [0; 4]),
        frame(0x80, &[b'x'; 125], [5, 6, 7, 8]),
        frame(0x82, b"\xff", [0; 4]),
    ];
    let stream = frames.concat();
    let (mut incoming, mut input) = (Incoming::default(), &stream[..stream.len() - 1]);
    for frame in &frames[..3] {
        assert_eq!(
            incoming.next(&mut input, MESSAGE_BYTES_MAX, &mut Inflater::default()).unwrap(),
            frame
        );
    }
    let mut inflater = Inflater::default();
    let piece = incoming.next(&mut input, MESSAGE_BYTES_MAX, &mut inflater).unwrap();
    assert_eq!(piece, &frames[3][..frames[3].len() - 1]);
    assert!(input.is_empty());
}

#[test]
fn each_message_begins_anew() {
    // The first ends within a character, which is for tungstenite to see. The last has as many
    // bytes as a message may.
    let frames = [
        frame(0x01, b"\xc3", [0; 4]),
        frame(0x80, b"\xa9\xc3", [0; 4]),
        frame(0x81, &[b'x'; 40], [0; 4]),
    ]
    .concat();
    let (mut incoming, mut input) = (Incoming::default(), &frames[..]);
    while !input.is_empty() {
        assert!(incoming.next(&mut input, 64, &mut Inflater::default()).is_ok());
    }
    let bad = frame(0x81, &[0xff; 64], [0; 4]);
    assert!(incoming.next(&mut &bad[..7], 64, &mut Inflater::default()).is_err());
}

#[test]
fn it_takes_40_bytes_of_a_connection_and_40_more_of_one_that_compresses() {
    assert!(size_of::<Incoming>() <= 40, "{}", size_of::<Incoming>());
    assert!(size_of::<Deflated>() <= 40, "{}", size_of::<Deflated>());
}

/// Parts of a text, good and bad, and halves that may or may not meet their other half.
const PARTS: &[&[u8]] = &[
    b"a",
    b"plain text",
    "é".as_bytes(),
    "漢字".as_bytes(),
    "😀".as_bytes(),
    b"\xc3",
    b"\xa9",
    b"\xf0\x9f",
    b"\x98\x80",
    b"\xed",
    b"\x80",
    b"\xf4\x90",
];

/// Deals out a stream that comes in pieces. Gives the piece in which it fails, if it does.
fn failure(stream: &[u8], piece_bytes: &[usize]) -> Option<Range<usize>> {
    let (mut incoming, mut start) = (Incoming::default(), 0);
    for length in piece_bytes.iter().cycle() {
        let end = stream.len().min(start + length);
        let mut input = &stream[start..end];
        while !input.is_empty() {
            if incoming.next(&mut input, MESSAGE_BYTES_MAX, &mut Inflater::default()).is_err() {
                return Some(start..end);
            }
        }
        start = end;
        if start == stream.len() {
            break;
        }
    }
    None
}

proptest! {
    #[test]
    fn text_fails_at_the_first_byte_that_no_text_can_have_there(
        fragments in vec((vec(select(PARTS), 0..8), any::<[u8; 4]>()), 1..6),
        has_pings in any::<bool>(),
        piece_bytes in vec(1usize..30, 1..9),
    ) {
        let (mut stream, mut text, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (parts, mask)) in fragments.iter().enumerate() {
            if has_pings {
                stream.extend(frame(0x89, b"\xff", *mask));
            }
            let is_last = index + 1 == fragments.len();
            let payload = parts.concat();
            let first = u8::from(index == 0) | if is_last { 0x80 } else { 0 };
            stream.extend(frame(first, &payload, *mask));
            places.extend(stream.len() - payload.len()..stream.len());
            text.extend(payload);
        }
        let good = (1..=text.len()).take_while(|end| may_begin_a_text(&text[..*end])).count();
        let place = places.get(good);
        prop_assert_eq!(failure(&stream, &[1]).map(|piece| piece.start), place.copied());
        for piece_bytes in [&piece_bytes[..], &[stream.len()]] {
            let piece = failure(&stream, piece_bytes);
            prop_assert_eq!(piece.is_some(), place.is_some());
            prop_assert!(piece.zip(place).is_none_or(|(piece, place)| piece.contains(place)));
        }
    }
}
