//! The handler that the simulation runs: it does all that a handler can do, and holds the engine to
//! what it promises handlers.
//!
//! Every open WebSocket and event stream gets a numbered state each tick, a second one each fifth
//! tick, and numbered events now and then; but for the quiet streams, which get nothing. A client's
//! words order replies, a task, a flood or a close; a stream, which has no words, is closed by
//! chance, and told so. Some requests are answered some ticks later, and some never. What has ended
//! is poked at later: nothing may come of it.

use std::collections::VecDeque;
use std::time::Duration;

use vitald::engine::clock::Tick;
use vitald::engine::connection::CloseReason;
use vitald::engine::connection::frame::{ENVELOPES, Envelope, Frame, Kind};
use vitald::engine::connection::head::Request;
use vitald::engine::connection::response::Response;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Cancel, Context, Handler, Message};
use vitald::engine::random::Random;
use vitald::engine::tasks::{Owner, Run, TaskId};

/// The code and the words with which a client that asks for it is closed.
pub const CLOSE_CODE: u16 = 4000;

/// Handles that have ended and are still poked at.
const STALE_MAX: usize = 8;

/// Ticks in which one has a stream closed.
const TICKS_PER_CLOSE: usize = 40;

/// Bytes of each reply to `flood`: three of them are under half of what may wait.
const FLOOD_BYTES: usize = 2000;

/// Who is open.
#[derive(Clone, Copy)]
struct Subscriber {
    handle: Handle,
    envelope: Envelope,
    is_quiet: bool,
}

pub struct Show {
    interval: Duration,
    /// Draws when events come and how long states are.
    random: Random,
    open: Vec<Subscriber>,
    stale: VecDeque<Handle>,
    tick: Option<TaskId>,
    /// A task of a client's, and whose it is.
    owned: Vec<(TaskId, Handle)>,
    winding_down: Vec<TaskId>,
    /// Requests that are answered later: whose, with what, and after how many ticks.
    waiting: Vec<(Handle, String, usize)>,
    pub sequence: u64,
    pub event: u64,
    pub opened: u64,
    pub closed: u64,
    /// Runs of clients' tasks.
    pub ran: u64,
    /// Requests that were answered in a later turn.
    pub later: u64,
    /// Replies that were too much: what the input pool cannot hold back is answered at once.
    pub refused: u64,
}

impl Show {
    pub fn new(interval: Duration, random: Random) -> Show {
        Show {
            interval,
            random,
            open: Vec::new(),
            stale: VecDeque::new(),
            tick: None,
            owned: Vec::new(),
            winding_down: Vec::new(),
            waiting: Vec::new(),
            sequence: 0,
            event: 0,
            opened: 0,
            closed: 0,
            ran: 0,
            later: 0,
            refused: 0,
        }
    }

    fn tick(&mut self, context: &mut Context<'_>, run: Run) {
        self.sequence += 1 + run.skipped;
        self.publish(context, 0, "metrics", run.due);
        if self.sequence.is_multiple_of(5) {
            self.publish(context, 1, "slow", run.due);
        }
        if self.random.below(4) == 0 {
            self.announce(context);
        }
        if self.random.below(TICKS_PER_CLOSE) == 0 {
            self.close_a_stream(context);
        }
        self.poke(context);
        self.answer_those_who_wait(context);
        for task in std::mem::take(&mut self.winding_down) {
            context.end(task);
        }
    }

    fn is_open(&self, handle: Handle) -> bool {
        self.open.iter().any(|open| open.handle == handle)
    }

    fn answer_those_who_wait(&mut self, context: &mut Context<'_>) {
        self.waiting.retain_mut(|(handle, path, ticks)| {
            if *ticks > 0 {
                *ticks -= 1;
                return true;
            }
            let awaits = context.awaits(*handle);
            let is_taken = context.respond(*handle, Response::text(200, path));
            assert_eq!(is_taken, awaits, "an answer is taken where one is awaited");
            assert!(!context.respond(*handle, Response::text(200, "poison")), "and only one");
            self.later += u64::from(is_taken);
            false
        });
    }

    fn publish(&mut self, context: &mut Context<'_>, channel: usize, kind: &str, due: Tick) {
        let padding = "x".repeat(self.random.below(300));
        let sequence = self.sequence;
        let words = format!(r#"{{"type":"{kind}","n":{sequence},"padding":"{padding}"}}"#);
        let number = (channel == 0).then_some(sequence);
        let mut frames: [Option<Frame>; ENVELOPES] = Default::default();
        for &Subscriber { handle, envelope, .. } in self.open.iter().filter(|one| !one.is_quiet) {
            let envelope = envelope.of_payload(words.len());
            let frame = frames[envelope.index()].get_or_insert_with(|| {
                let write = |out: &mut Vec<u8>| wrap(envelope, number, &words, out);
                let frame = match envelope {
                    Envelope::Deflated(_) => {
                        context.encode_deflated(Kind::Text, Some(due), words.as_bytes())
                    }
                    _ => context.encode_due(kind_of(envelope), due, write),
                };
                frame.expect("there is room for what waits and what is begun")
            });
            context.publish(handle, channel, frame.clone());
        }
    }

    /// Says farewell to one of the streams, and closes it.
    fn close_a_stream(&mut self, context: &mut Context<'_>) {
        let streams = self.open.iter().filter(|one| one.envelope == Envelope::Event);
        let handles: Vec<Handle> = streams.map(|one| one.handle).collect();
        if !handles.is_empty() {
            let handle = handles[self.random.below(handles.len())];
            context.reply(handle, said(Envelope::Event, FAREWELL));
            context.close(handle, CLOSE_CODE, "", CloseReason::Closed);
        }
    }

    fn announce(&mut self, context: &mut Context<'_>) {
        // Sometimes more at once than any outbox holds.
        let count = if self.random.below(8) == 0 { 20 } else { 1 };
        for _ in 0..count {
            self.event += 1;
            let words = format!(r#"{{"type":"event","n":{}}}"#, self.event);
            let mut frames: [Option<Frame>; ENVELOPES] = Default::default();
            for &Subscriber { handle, envelope, .. } in self.open.iter().filter(|one| !one.is_quiet)
            {
                let envelope = envelope.of_payload(0);
                let frame = frames[envelope.index()]
                    .get_or_insert_with(|| encode(context, envelope, &words));
                context.event(handle, frame.clone(), |missed| {
                    said(envelope, &format!(r#"{{"type":"gap","n":{missed}}}"#))
                });
            }
        }
    }

    /// Nothing can be done to what has ended, whoever has its place now.
    fn poke(&mut self, context: &mut Context<'_>) {
        for &handle in &self.stale {
            let poison = text("poison");
            assert!(!context.reply(handle, poison.clone()), "a reply to what has ended");
            assert!(!context.publish(handle, 0, poison.clone()), "state for what has ended");
            assert!(!context.event(handle, poison.clone(), |_| poison), "an event for it");
            let poison = said(Envelope::Event, "poison");
            assert!(!context.reply(handle, poison), "a reply to what has ended");
            let answer = Response::text(200, "poison");
            assert!(!context.respond(handle, answer), "an answer to what has ended");
            context.close(handle, CLOSE_CODE, "poison", CloseReason::Closed);
            let owner = Owner::Connection(handle);
            if let Some(task) = context.spawn_after("poison", owner, Duration::from_secs(1)) {
                assert!(context.peer(handle).is_some(), "a task for what has ended");
                context.end(task);
            }
        }
    }

    fn say(&mut self, context: &mut Context<'_>, handle: Handle, words: &str) {
        match words {
            "close" => context.close(handle, CLOSE_CODE, "as you wish", CloseReason::Closed),
            "task" => {
                let (owner, first) = (Owner::Connection(handle), context.now() + self.interval / 3);
                let task = context.spawn_every("chore", owner, first, self.interval / 3);
                self.owned.extend(task.map(|task| (task, handle)));
            }
            "flood" => {
                let words = "f".repeat(FLOOD_BYTES);
                for _ in 0..3 {
                    let frame = text(&format!(r#"{{"type":"flood","words":"{words}"}}"#));
                    self.refused += u64::from(!context.reply(handle, frame));
                }
            }
            number => {
                let frame = text(&format!(r#"{{"type":"said","n":{number}}}"#));
                self.refused += u64::from(!context.reply(handle, frame));
            }
        }
    }
}

impl Handler for Show {
    fn start(&mut self, context: &mut Context<'_>) {
        let (first, interval) = (context.now() + self.interval, self.interval);
        self.tick = context.spawn_every("tick", Owner::Handler, first, interval);
    }

    fn request(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        request: &Request<'_>,
    ) -> Answer {
        let is_awaited = self.waiting.iter().any(|(waiting, ..)| *waiting == handle);
        assert!(!context.awaits(handle), "one request is answered at a time");
        match request.path() {
            "/ws" => Answer::Upgrade { protocol: None },
            "/never" => Answer::Later,
            "/events" | "/events/quiet" => {
                Answer::Stream(Response::new(200).with("Content-Type", "text/event-stream"))
            }
            path if path.starts_with("/later/") => {
                assert!(!is_awaited, "the next request comes after the answer");
                let ticks = self.random.below(4);
                self.waiting.push((handle, path.to_owned(), ticks));
                Answer::Later
            }
            path => Answer::Respond(Response::text(200, path)),
        }
    }

    fn open(&mut self, context: &mut Context<'_>, handle: Handle, request: &Request<'_>) {
        assert!(!self.is_open(handle), "it opens once");
        let envelope = context.envelope(handle).expect("it can be sent to");
        let is_quiet = request.path() == "/events/quiet";
        self.open.push(Subscriber { handle, envelope, is_quiet });
        self.opened += 1;
        assert!(context.reply(handle, said(envelope, r#"{"type":"hello"}"#)));
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, message: Message<'_>) {
        assert!(self.is_open(handle), "a message from what is not open");
        match message {
            Message::Text(words) => self.say(context, handle, words),
            Message::Binary(bytes) => {
                let frame = Frame::new(Kind::Binary, |out| out.extend_from_slice(bytes));
                context.reply(handle, frame);
            }
        }
    }

    fn closed(&mut self, context: &mut Context<'_>, handle: Handle, _: CloseReason) {
        let position = self.open.iter().position(|open| open.handle == handle);
        self.open.swap_remove(position.expect("what closes was open, and closes once"));
        self.closed += 1;
        for envelope in [Envelope::Message, Envelope::Event] {
            let late = said(envelope, "late");
            assert!(!context.reply(handle, late), "nothing can be sent to it now");
        }
        self.stale.push_back(handle);
        if self.stale.len() > STALE_MAX {
            self.stale.pop_front();
        }
    }

    fn task(&mut self, context: &mut Context<'_>, run: Run) {
        if self.tick == Some(run.id) {
            return self.tick(context, run);
        }
        let owner = self.owned.iter().find(|(task, _)| *task == run.id);
        let (_, handle) = owner.expect("only what was spawned runs, and not after its end");
        assert!(context.peer(*handle).is_some(), "a task runs on after its connection's end");
        self.ran += 1;
    }

    fn cancel(&mut self, _: &mut Context<'_>, task: TaskId) -> Cancel {
        self.owned.retain(|(owned, _)| *owned != task);
        match self.random.below(8) {
            // Winds down until the next tick, which may be later than it has.
            0 => {
                self.winding_down.push(task);
                Cancel::Wait
            }
            _ => Cancel::Done,
        }
    }

    fn forced(&mut self, _: &mut Context<'_>, task: TaskId) {
        self.winding_down.retain(|waiting| *waiting != task);
    }

    fn drain(&mut self, context: &mut Context<'_>) {
        for one in self.open.iter().filter(|one| one.envelope == Envelope::Event) {
            context.reply(one.handle, said(Envelope::Event, FAREWELL));
        }
    }
}

/// The last words to an event stream.
const FAREWELL: &str = r#"{"type":"farewell"}"#;

fn kind_of(envelope: Envelope) -> Kind {
    match envelope {
        Envelope::Message | Envelope::Deflated(_) => Kind::Text,
        Envelope::Event => Kind::Event,
    }
}

fn wrap(envelope: Envelope, number: Option<u64>, words: &str, out: &mut Vec<u8>) {
    let id = number.map_or(String::new(), |number| format!("id: {number}\n"));
    match envelope {
        Envelope::Message | Envelope::Deflated(_) => out.extend_from_slice(words.as_bytes()),
        Envelope::Event => out.extend_from_slice(format!("{id}data: {words}\n\n").as_bytes()),
    }
}

fn said(envelope: Envelope, words: &str) -> Frame {
    Frame::new(kind_of(envelope), |out| wrap(envelope, None, words, out))
}

fn text(words: &str) -> Frame {
    said(Envelope::Message, words)
}

fn encode(context: &mut Context<'_>, envelope: Envelope, words: &str) -> Frame {
    let frame = context.encode(kind_of(envelope), |out| wrap(envelope, None, words, out));
    frame.expect("there is room for what waits and what is begun")
}
