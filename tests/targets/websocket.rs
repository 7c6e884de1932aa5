//! The WebSocket: any bytes after an upgrade, cut into any pieces, to a reader of any width and a
//! clock that moves as it likes.
//!
//! A client that offers permessage-deflate is held against a reader of frames of this file's own,
//! which has flate2 inflate what is compressed.
//!
//! The first byte of an input sets the reader up, the second is the length of a schedule, the
//! schedule follows, and the rest is what the client sends. The same bytes are sent three times: at
//! once to a wide reader, which says what is right; by the schedule with the clock at rest, which
//! must come to the same; by the schedule with the clock, which must keep every promise and may end
//! earlier.

use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::connection::CloseReason;
use vitald::engine::connection::frame::{Envelope, Frame as Sent, Kind};
use vitald::engine::connection::head::Request;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use vitald::engine::tasks::{Owner, Run};

use super::peer::{
    BINARY, CLOSE, Frame, PING, PONG, TEXT, UPGRADE, UPGRADE_DEFLATE, WIDE, Wire, check_books,
    inflated, run_until, settle, take_frames, take_inflated_frames, take_switching,
};

/// Bytes of input that are used: several times what a message may have.
const BYTES_MAX: usize = 6 * 1024;

/// Answers of [`Probe`] hold less than half of this, so none may be refused.
const REPLY_BYTES_MAX: usize = 4096;
const BIG_REPLY: usize = 1900;
const MESSAGE_BYTES_MAX: usize = 1000;

/// Waiting beyond this is left out: each deadline has been met, and an input of waits takes its
/// time.
const WAITED_MS_MAX: u64 = 100_000;

pub fn run(data: &[u8]) {
    let data = &data[..data.len().min(BYTES_MAX)];
    let &[setup, length, ref rest @ ..] = data else { return };
    let (schedule, stream) = rest.split_at(usize::from(length).min(rest.len()));
    let setup = Setup::from(setup);
    let wide = Setup { deflates: setup.deflates, ..Setup::default() };
    let right = converse(&wide, Schedule { steps: &[], has_clock: false }, stream);
    if setup.deflates {
        let expected = messages(stream);
        // Of blocks the other reader takes any number.
        let has_many_blocks =
            right.ends == [CloseReason::TooBig] && expected.starts_with(&right.heard);
        assert!(has_many_blocks || right.heard == expected, "{expected:?}, by another reader");
    }
    let same = converse(&setup, Schedule { steps: schedule, has_clock: false }, stream);
    assert_eq!(same.heard, right.heard, "messages");
    assert_eq!(same.ends, right.ends, "the end");
    assert_eq!(same.of(CLOSE), right.of(CLOSE), "the close frame");
    assert!(same.half.is_empty(), "half a frame to a reader who took everything");
    // Without a pool an answer can be too much for a reader who was sent many at once.
    if setup.has_pool {
        assert_eq!(same.of(PONG), right.of(PONG), "pongs");
        assert_eq!(same.replies(), right.replies(), "answers");
    }
    let timed = converse(&setup, Schedule { steps: schedule, has_clock: true }, stream);
    assert!(right.heard.starts_with(&timed.heard), "messages that were never sent");
    let has_all = timed.heard == right.heard;
    assert!(has_all || timed.ends != right.ends || timed.ends == [CloseReason::PeerLeft]);
}

/// The reader and the engine.
struct Setup {
    capacity: usize,
    has_pool: bool,
    /// The first bytes come right behind the handshake.
    is_eager: bool,
    /// At the end the client falls silent, instead of ending the connection.
    is_silent: bool,
    /// The client offers permessage-deflate.
    deflates: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup { capacity: WIDE, has_pool: true, is_eager: false, is_silent: false, deflates: false }
    }
}

impl From<u8> for Setup {
    fn from(byte: u8) -> Setup {
        let capacity = [7, 60, 126, 200, 1000, 2500, 4096, WIDE][usize::from(byte & 7)];
        let [has_pool, is_eager, is_silent, deflates] = [8, 16, 32, 64].map(|bit| byte & bit != 0);
        Setup { capacity, has_pool: !has_pool, is_eager, is_silent, deflates }
    }
}

/// When what is done: each step sends, takes, or lets time pass.
#[derive(Clone, Copy)]
struct Schedule<'a> {
    steps: &'a [u8],
    has_clock: bool,
}

enum Step {
    Send(usize),
    Take(usize),
    Wait(u64),
}

impl From<u8> for Step {
    fn from(byte: u8) -> Step {
        let amount = usize::from(byte & 63);
        match byte >> 6 {
            0 => Step::Send(1 + amount),
            1 => Step::Send((1 + amount) * 48),
            2 => Step::Take(amount * amount),
            // Up to 39.7 s: longer than all but one of the deadlines.
            _ => Step::Wait((amount * amount * 10) as u64),
        }
    }
}

/// What came of a conversation.
struct Outcome {
    heard: Vec<Vec<u8>>,
    ends: Vec<CloseReason>,
    frames: Vec<Frame>,
    /// Half a frame, at the end of what the client was sent.
    half: Vec<u8>,
}

impl Outcome {
    fn of(&self, opcode: u8) -> Vec<&Frame> {
        self.frames.iter().filter(|frame| frame.opcode == opcode).collect()
    }

    fn replies(&self) -> Vec<&Frame> {
        let is_reply = |frame: &&Frame| frame.opcode <= BINARY && frame.payload[0] == b'E';
        self.frames.iter().filter(is_reply).collect()
    }
}

fn converse(setup: &Setup, schedule: Schedule<'_>, stream: &[u8]) -> Outcome {
    let limits = Limits {
        connections_max: 2,
        refusals_max: 1,
        inputs_max: if setup.has_pool { 2 } else { 0 },
        message_bytes_max: MESSAGE_BYTES_MAX,
        reply_bytes_max: REPLY_BYTES_MAX,
        control_bytes_max: 300,
        ..Limits::default()
    };
    let probe = Probe { has_pool: setup.has_pool, ..Probe::default() };
    let (mut engine, wire) = Wire::engine(limits, probe);
    let client = wire.connect(setup.capacity);
    let mut talk = Talk { engine: &mut engine, wire: &wire, client, taken: Vec::new() };
    talk.go(setup, schedule, stream);
    let mut taken = talk.taken;
    // A narrow reader may be gone before it has the whole handshake.
    let is_whole = take_switching(&mut taken);
    let take = if setup.deflates { take_inflated_frames } else { take_frames };
    let frames = if is_whole { take(&mut taken) } else { Vec::new() };
    check_books(&engine);
    let probe = engine.handler();
    assert_eq!(probe.opened, 1);
    assert_eq!(probe.ends.len(), 1, "told of the end once: {:?}", probe.ends);
    for frame in &frames {
        let is_known = match frame.opcode {
            PING => schedule.has_clock && frame.payload.is_empty(),
            PONG | CLOSE => true,
            _ => matches!(frame.payload.first(), Some(b'E' | b'S')),
        };
        assert!(is_known, "{frame:?}");
    }
    Outcome { heard: probe.heard.clone(), ends: probe.ends.clone(), frames, half: taken }
}

/// One conversation of a client.
struct Talk<'a> {
    engine: &'a mut Engine<Probe, Wire, Manual>,
    wire: &'a Wire,
    client: usize,
    taken: Vec<u8>,
}

impl Talk<'_> {
    fn go(&mut self, setup: &Setup, schedule: Schedule<'_>, stream: &[u8]) {
        let mut rest = stream;
        let mut first = if setup.deflates { UPGRADE_DEFLATE } else { UPGRADE }.to_vec();
        if setup.is_eager {
            first.extend_from_slice(rest);
            rest = &[];
        }
        self.wire.send(self.client, &first);
        settle(self.engine);
        for step in schedule.steps.iter().map(|step| Step::from(*step)) {
            match step {
                Step::Send(length) => {
                    let (piece, later) = rest.split_at(length.min(rest.len()));
                    rest = later;
                    self.wire.send(self.client, piece);
                }
                Step::Take(length) => self.taken.extend(self.wire.take(self.client, length)),
                Step::Wait(duration_ms)
                    if schedule.has_clock && self.wire.now_ms() < WAITED_MS_MAX =>
                {
                    run_until(self.engine, self.wire, self.wire.now_ms() + duration_ms);
                }
                Step::Wait(_) => {}
            }
            settle(self.engine);
        }
        self.wire.send(self.client, rest);
        settle(self.engine);
        self.finish(setup, schedule.has_clock);
    }

    /// The client goes, in one way or the other, and must be forgotten in time.
    fn finish(&mut self, setup: &Setup, has_clock: bool) {
        if !has_clock {
            self.take_all();
            self.wire.end(self.client);
            settle(self.engine);
        } else {
            if !setup.is_silent {
                self.wire.end(self.client);
            }
            // 45 s of silence, and a second for each of the three steps of an end.
            let end_ms = self.wire.now_ms() + 48_100;
            run_until(self.engine, self.wire, end_ms);
        }
        assert!(self.wire.is_closed(self.client), "gone and not forgotten");
        self.take_all();
    }

    fn take_all(&mut self) {
        super::peer::take_all(self.engine, self.wire, self.client, &mut self.taken);
    }
}

/// The messages of a client that may compress them, as far as it keeps to the protocol, and until
/// it asks for a close.
fn messages(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut messages, mut rest) = (Vec::new(), stream);
    let mut begun: Option<Begun> = None;
    while let Some((first, payload)) = first_client_frame(&mut rest) {
        let (is_final, is_deflated, opcode) = (first & 0x80 != 0, first & 0x40 != 0, first & 0x0f);
        let is_control = opcode >= CLOSE;
        let is_right = match opcode {
            0 => begun.is_some() && !is_deflated,
            TEXT | BINARY => begun.is_none(),
            CLOSE | PING | PONG => is_final && !is_deflated && payload.len() <= 125,
            _ => false,
        };
        if !is_right || first & 0x30 != 0 || opcode == CLOSE {
            break;
        }
        if is_control {
            continue;
        }
        let message = begun.get_or_insert(Begun { opcode, is_deflated, bytes: Vec::new() });
        message.bytes.extend(payload);
        let is_too_big = message.bytes.len() > MESSAGE_BYTES_MAX;
        if is_too_big {
            break;
        }
        if !is_final {
            continue;
        }
        let Some(Begun { opcode, is_deflated, bytes }) = begun.take() else { break };
        let whole = if is_deflated { inflated(&bytes) } else { Some(bytes) };
        let is_good = |whole: &Vec<u8>| {
            whole.len() <= MESSAGE_BYTES_MAX
                && (opcode == BINARY || std::str::from_utf8(whole).is_ok())
        };
        let Some(whole) = whole.filter(is_good) else { break };
        messages.push(whole);
        if messages.last().is_some_and(|message| message.first() == Some(&b'c')) {
            break;
        }
    }
    messages
}

/// A message that is not whole.
struct Begun {
    opcode: u8,
    is_deflated: bool,
    bytes: Vec<u8>,
}

/// Takes a whole masked frame off the front: its first byte, and what it carries.
fn first_client_frame(bytes: &mut &[u8]) -> Option<(u8, Vec<u8>)> {
    let &[first, second, ref rest @ ..] = *bytes else { return None };
    let (length, rest) = match second & 0x7f {
        126 => {
            rest.split_first_chunk().map(|(be, rest)| (u64::from(u16::from_be_bytes(*be)), rest))?
        }
        127 => rest.split_first_chunk().map(|(be, rest)| (u64::from_be_bytes(*be), rest))?,
        short => (u64::from(short), rest),
    };
    let (mask, rest) = rest.split_first_chunk::<4>().filter(|_| second & 0x80 != 0)?;
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Some((first, payload.collect()))
}

/// Answers each message, as its first byte says, and publishes a state each second.
#[derive(Default)]
struct Probe {
    has_pool: bool,
    heard: Vec<Vec<u8>>,
    open: Vec<Handle>,
    opened: usize,
    ends: Vec<CloseReason>,
}

impl Probe {
    fn reply(&self, context: &mut Context<'_>, handle: Handle, kind: Kind, payload: &[u8]) {
        let frame = Sent::new(kind, |out| {
            out.push(b'E');
            out.extend_from_slice(payload);
        });
        let deflates = |envelope: Envelope| envelope.deflates(frame.payload().len());
        let frame = if context.envelope(handle).is_some_and(deflates) {
            context.deflated(&frame)
        } else {
            frame
        };
        let is_taken = context.reply(handle, frame);
        assert!(is_taken || !self.has_pool, "an answer of at most half the limit was refused");
    }

    fn publish(&self, context: &mut Context<'_>, handle: Handle, channel: usize) {
        let state = context.encode(Kind::Text, |out| out.resize(out.len() + 200, b'S'));
        context.publish(handle, channel, state.expect("there is room for each connection"));
    }
}

impl Handler for Probe {
    fn start(&mut self, context: &mut Context<'_>) {
        let second = std::time::Duration::from_secs(1);
        let task = context.spawn_every("state", Owner::Handler, context.now() + second, second);
        assert!(task.is_some());
    }

    fn request(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) -> Answer {
        Answer::Upgrade { protocol: None }
    }

    fn open(&mut self, _: &mut Context<'_>, handle: Handle, _: &Request<'_>) {
        self.opened += 1;
        self.open.push(handle);
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, message: Message<'_>) {
        assert!(self.open.contains(&handle), "a message before the opening or after the end");
        let (kind, bytes) = match message {
            Message::Text(text) => (Kind::Text, text.as_bytes()),
            Message::Binary(bytes) => (Kind::Binary, bytes),
        };
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        self.heard.push(bytes.to_vec());
        match bytes.first() {
            Some(b'b') => self.reply(context, handle, kind, &[b'x'; BIG_REPLY]),
            Some(b'c') => context.close(handle, 1000, "bye", CloseReason::Closed),
            Some(b'p') => self.publish(context, handle, 0),
            Some(b'r') => context.retract(handle, 0),
            _ => self.reply(context, handle, kind, bytes),
        }
    }

    fn closed(&mut self, _: &mut Context<'_>, handle: Handle, reason: CloseReason) {
        self.open.retain(|open| *open != handle);
        self.ends.push(reason);
    }

    fn task(&mut self, context: &mut Context<'_>, _: Run) {
        for &handle in &self.open {
            self.publish(context, handle, 1);
        }
    }
}
