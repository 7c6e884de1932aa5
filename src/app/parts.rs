//! Answers that are cut: rows into as many bodies as it takes, bodies into messages.
//!
//! Owns [`Cut`], into which rows are written one by one, and which never parts one; and the heads
//! of answers to `get`, alone or one of several. Promises: a body has at most the bytes that it
//! may have, whatever its rows are, and of what does not fit no more is written than it takes to
//! know. An HTTP body is one that is not cut. Pure; imports how frames are made and what the engine
//! takes for one peer.

use std::ops::Range;

use serde::Serialize;

use super::protocol::{Id, write_json};
use crate::engine::connection::frame::{Frame, Kind, OVERHEAD_BYTES};
use crate::engine::limits::{Limits, REPLIES_MAX};

/// Bytes of a message, the header of its frame included. Readers size their buffers by it.
pub const PART_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the header of a frame of up to 65,535 bytes (RFC 6455, section 5.2).
const HEADER_BYTES: usize = 4;

/// More is asked than an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// What bodies may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bodies.
    pub bodies_max: usize,
    /// Bytes of each.
    pub body_bytes_max: usize,
    /// Bytes of all together, with what each has beside it.
    pub bytes_max: usize,
    /// Bytes that each takes beside its own.
    pub bytes_beside: usize,
}

impl Bounds {
    /// Those of one body of an HTTP answer.
    pub fn of_answer(limits: &Limits) -> Bounds {
        let bytes_max = limits.reply_bytes_max;
        Bounds { bodies_max: 1, body_bytes_max: bytes_max, bytes_max, bytes_beside: 0 }
    }

    /// Those of messages that begin with `head`: what a peer that is read can be sent without being
    /// asked how much it has taken.
    pub fn of_messages(limits: &Limits, head: Head<'_>) -> Bounds {
        let head_bytes_max = head.bytes_max();
        Bounds {
            bodies_max: REPLIES_MAX,
            body_bytes_max: PART_BYTES_MAX.saturating_sub(HEADER_BYTES + head_bytes_max),
            bytes_max: limits.reply_bytes_max / 2,
            bytes_beside: HEADER_BYTES + head_bytes_max + OVERHEAD_BYTES,
        }
    }
}

/// What stands around rows.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Before the first of each body.
    pub opening: &'a [u8],
    /// Behind the last of each body.
    pub closing: &'a [u8],
    /// Behind the last of each group in a body.
    pub group_closing: &'a [u8],
    /// Between two rows of a group, and between two groups.
    pub between: &'a [u8],
}

/// Rows on their way into bodies, by groups; a group that is cut is begun again in the next body.
#[derive(Debug)]
pub struct Cut<'a> {
    bounds: Bounds,
    around: Around<'a>,
    /// Bodies that are complete, and the one that is being written.
    bodies: Vec<Vec<u8>>,
    /// Bytes of those that are complete, with what is beside them.
    bytes: usize,
    group_opening: Vec<u8>,
    /// Whether the body has a group, and that a row.
    has_group: bool,
    has_row: bool,
}

impl<'a> Cut<'a> {
    /// Nothing yet, within `bounds`.
    pub fn new(bounds: Bounds, around: Around<'a>) -> Cut<'a> {
        Cut {
            bounds,
            around,
            bodies: vec![around.opening.to_vec()],
            bytes: 0,
            group_opening: Vec::new(),
            has_group: false,
            has_row: false,
        }
    }

    /// Begins a group, whose opening `write` appends.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn group(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), TooLong> {
        self.end_group();
        self.group_opening.clear();
        write(&mut self.group_opening);
        let start = self.open_group();
        if self.is_over() {
            self.body().truncate(start);
            self.has_group = false;
            self.next_body()?;
            self.open_group();
        }
        if self.is_over() { Err(TooLong) } else { Ok(()) }
    }

    /// Adds a row to the group, which `write` appends.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn row(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), TooLong> {
        let end = self.body().len();
        if self.has_row {
            let between = self.around.between;
            self.body().extend_from_slice(between);
        }
        let start = self.body().len();
        write(self.body());
        self.has_row = true;
        if !self.is_over() {
            return Ok(());
        }
        let row = self.body().split_off(start);
        self.body().truncate(end);
        self.end_group();
        self.next_body()?;
        self.open_group();
        self.body().extend_from_slice(&row);
        self.has_row = true;
        if self.is_over() { Err(TooLong) } else { Ok(()) }
    }

    /// The bodies.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        self.end_group();
        let closing = self.around.closing;
        self.body().extend_from_slice(closing);
        self.bodies
    }

    fn body(&mut self) -> &mut Vec<u8> {
        self.bodies.last_mut().expect("there is always one that is being written")
    }

    /// Whether the body that is being written has more than there is room for, once it is closed.
    fn is_over(&mut self) -> bool {
        let Bounds { body_bytes_max, bytes_max, bytes_beside, .. } = self.bounds;
        let body = self.body().len() + self.around.group_closing.len() + self.around.closing.len();
        body > body_bytes_max || self.bytes + body + bytes_beside > bytes_max
    }

    /// Opens the group in the body; gives where what that adds begins.
    fn open_group(&mut self) -> usize {
        let start = self.body().len();
        if self.has_group {
            let between = self.around.between;
            self.body().extend_from_slice(between);
        }
        let opening = std::mem::take(&mut self.group_opening);
        self.body().extend_from_slice(&opening);
        self.group_opening = opening;
        (self.has_group, self.has_row) = (true, false);
        start
    }

    fn end_group(&mut self) {
        if self.has_group {
            let closing = self.around.group_closing;
            self.body().extend_from_slice(closing);
        }
    }

    fn next_body(&mut self) -> Result<(), TooLong> {
        if self.bodies.len() == self.bounds.bodies_max {
            return Err(TooLong);
        }
        let (opening, closing) = (self.around.opening, self.around.closing);
        self.body().extend_from_slice(closing);
        self.bytes += self.body().len() + self.bounds.bytes_beside;
        self.bodies.push(opening.to_vec());
        (self.has_group, self.has_row) = (false, false);
        Ok(())
    }
}

/// How an answer to `get` begins.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its type.
    pub kind: &'static str,
    /// The client's name for it.
    pub id: Option<&'a Id>,
}

#[derive(Serialize)]
struct Opening<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<usize>,
}

impl Head<'_> {
    /// Makes bodies into messages. Each is what follows a head: entries, which begin with a comma,
    /// and the end of the object.
    pub fn messages(&self, bodies: &[Vec<u8>]) -> Vec<Frame> {
        let messages = bodies.iter().zip(1..).map(|(body, part)| {
            let place = (bodies.len() > 1).then_some((part, bodies.len()));
            Frame::new(Kind::Text, |out| {
                self.write(place, out);
                out.extend_from_slice(body);
            })
        });
        messages.collect()
    }

    /// An answer of one message with the entries of `record`.
    pub fn message(&self, record: &impl Serialize) -> Frame {
        Frame::new(Kind::Text, |out| {
            self.write(None, out);
            write_entries(record, out);
            out.push(b'}');
        })
    }

    /// Writes the head, without an end, of one that is alone or the `place.0`th of `place.1`.
    fn write(&self, place: Option<(usize, usize)>, out: &mut Vec<u8>) {
        let (part, parts) = place.unzip();
        write_json(&Opening { r#type: self.kind, id: self.id, part, parts }, out);
        out.pop();
    }

    fn bytes_max(&self) -> usize {
        let mut out = Vec::new();
        self.write(Some((REPLIES_MAX, REPLIES_MAX)), &mut out);
        out.len()
    }
}

/// Appends the entries of an object that has some, each behind a comma.
pub fn write_entries(record: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    write_json(record, out);
    let Range { start, end } = start..out.len();
    debug_assert!(end - start > 2 && out[start] == b'{', "an object with entries");
    out[start] = b',';
    out.truncate(end - 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const AROUND: Around<'static> =
        Around { opening: b",\"g\":[", closing: b"]}", group_closing: b"]}", between: b"," };

    /// Cuts groups of rows of such lengths; each row is a text of its number.
    fn cut(bounds: Bounds, groups: &[Vec<usize>]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut cut = Cut::new(bounds, AROUND);
        for (name, rows) in groups.iter().enumerate() {
            cut.group(|out| out.extend_from_slice(format!("{{\"n\":{name},\"r\":[").as_bytes()))?;
            for (number, length) in rows.iter().enumerate() {
                cut.row(|out| out.extend_from_slice(row(number, *length).as_bytes()))?;
            }
        }
        Ok(cut.finish())
    }

    fn row(number: usize, length: usize) -> String {
        format!("\"{number:0>length$}\"")
    }

    fn bounds(body_bytes_max: usize) -> Bounds {
        Bounds { bodies_max: 1000, body_bytes_max, bytes_max: usize::MAX, bytes_beside: 0 }
    }

    /// Puts the rows of each group together again, as a reader does.
    fn together(bodies: &[Vec<u8>]) -> Vec<(u64, Vec<String>)> {
        let head = Head { kind: "x", id: None };
        let mut groups: Vec<(u64, Vec<String>)> = Vec::new();
        for (frame, part) in head.messages(bodies).iter().zip(1..) {
            let bytes = frame.as_slice();
            let start = bytes.windows(2).position(|two| two == b"{\"").unwrap();
            let message: Value = serde_json::from_slice(&bytes[start..]).unwrap();
            if bodies.len() > 1 {
                assert_eq!(
                    (&message["part"], &message["parts"]),
                    (&json!(part), &json!(bodies.len()))
                );
            }
            for group in message["g"].as_array().unwrap() {
                let name = group["n"].as_u64().unwrap();
                let rows = group["r"].as_array().unwrap();
                let rows = rows.iter().map(|row| row.as_str().unwrap().to_owned());
                match groups.last_mut().filter(|known| known.0 == name) {
                    Some(known) => known.1.extend(rows),
                    None => groups.push((name, rows.collect())),
                }
            }
        }
        groups
    }

    #[test]
    fn a_body_that_is_full_to_the_last_byte_is_not_cut() {
        let one = cut(bounds(usize::MAX), &[vec![3, 4]]).unwrap();
        let length = one[0].len();
        assert_eq!(cut(bounds(length), &[vec![3, 4]]), Ok(one));
        assert_eq!(cut(bounds(length - 1), &[vec![3, 4]]).unwrap().len(), 2);
    }

    #[test]
    fn a_row_that_no_body_holds_is_too_long_and_so_is_one_body_too_many() {
        assert_eq!(cut(bounds(40), &[vec![40]]), Err(TooLong));
        let two = Bounds { bodies_max: 2, ..bounds(40) };
        assert_eq!(cut(two, &[vec![14, 14]]).unwrap().len(), 2);
        assert_eq!(cut(two, &[vec![14, 14, 14]]), Err(TooLong));
    }

    #[test]
    fn what_is_beside_a_body_counts_for_all_together() {
        let bodies = cut(bounds(40), &[vec![14, 14]]).unwrap();
        let bytes: usize = bodies.iter().map(Vec::len).sum();
        let enough = Bounds { bytes_max: bytes + 20, bytes_beside: 10, ..bounds(40) };
        assert!(cut(enough, &[vec![14, 14]]).is_ok());
        let less = Bounds { bytes_max: bytes + 19, ..enough };
        assert_eq!(cut(less, &[vec![14, 14]]), Err(TooLong));
    }

    #[test]
    fn an_answer_says_its_part_right_after_the_id() {
        let id = Id::Text("a\"b".to_owned());
        let head = Head { kind: "history", id: Some(&id) };
        let messages = head.messages(&[b",\"a\":1}".to_vec(), b",\"a\":2}".to_vec()]);
        let text = |frame: &Frame| String::from_utf8(frame.as_slice()[2..].to_vec()).unwrap();
        assert_eq!(
            text(&messages[1]),
            r#"{"type":"history","id":"a\"b","part":2,"parts":2,"a":2}"#
        );
        let alone = Head { kind: "history", id: None }.messages(&[b",\"a\":1}".to_vec()]);
        assert_eq!(text(&alone[0]), r#"{"type":"history","a":1}"#);
    }

    #[test]
    fn the_longest_part_has_64_kib_with_its_header() {
        let head = Head { kind: "history", id: Some(&Id::Number(-1)) };
        let bounds = Bounds::of_messages(&Limits::default(), head);
        let frames = head.messages(&vec![vec![b'x'; bounds.body_bytes_max]; 2]);
        assert!(frames.iter().all(|frame| frame.len() == PART_BYTES_MAX));
        let bodies: usize =
            frames.iter().map(|_| bounds.body_bytes_max + bounds.bytes_beside).sum();
        let held: usize = frames.iter().map(Frame::memory_bytes).sum();
        assert!(held <= bodies, "{held} of {bodies}");
    }

    proptest! {
        #[test]
        fn what_is_cut_is_whole_when_it_is_put_together(
            groups in prop::collection::vec(prop::collection::vec(1..30usize, 0..20), 0..6),
            body_bytes_max in 60..200usize,
        ) {
            let bodies = cut(bounds(body_bytes_max), &groups).unwrap();
            prop_assert!(bodies.iter().all(|body| body.len() <= body_bytes_max));
            let rows = |rows: &Vec<usize>| -> Vec<String> {
                let rows = rows.iter().enumerate();
                rows.map(|(number, length)| format!("{number:0>length$}")).collect()
            };
            let expected: Vec<_> =
                groups.iter().zip(0..).map(|(group, name)| (name, rows(group))).collect();
            prop_assert_eq!(together(&bodies), expected);
        }
    }
}
