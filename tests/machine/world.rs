//! An engine with one connection that is brought into a phase and has events happen to it.
//!
//! The client's receive buffer holds one byte. So whatever the engine has to say does not leave by
//! itself, and each phase can be looked at before its bytes are gone.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::connection::frame::{Frame, Kind};
use vitald::engine::connection::head::Request;
use vitald::engine::connection::response::Response;
use vitald::engine::connection::{CloseReason, Phase};
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Cancel, Context, Handler, Message};
use vitald::engine::limits::Limits;
use vitald::engine::tasks::{Owner, Run, TaskId};

use crate::event::{BAD, Event, GET, HALF, LAST, LATER, MISSING, STREAM, Sent, text};
use crate::frames::UPGRADE;
use crate::wire::{Wire, run_until, settle};

/// Where every client comes from: an address that has a share.
const ADDRESS: &str = "192.0.2.1:1";

/// How often the handler looks whether the test wants a close.
const LOOK: Duration = Duration::from_millis(10);

/// Answers requests, echoes messages, and closes when a message or the test says so.
#[derive(Default)]
pub struct Probe {
    /// The test's wish to close, and for what.
    pub wanted: Rc<Cell<Option<(Handle, CloseReason)>>>,
    /// Messages received.
    pub messages: usize,
    /// WebSockets and event streams opened.
    pub opened: usize,
    /// Why they are open no more.
    pub ends: Vec<CloseReason>,
    /// Frames that were taken for one that was open no more.
    pub taken_late: usize,
}

impl Probe {
    fn close_if_wanted(&mut self, context: &mut Context<'_>) {
        if let Some((handle, reason)) = self.wanted.take() {
            context.close(handle, 1000, "bye", reason);
        }
    }
}

fn frame(text: &str) -> Frame {
    Frame::new(Kind::Text, |out| out.extend_from_slice(text.as_bytes()))
}

fn some_event() -> Frame {
    Frame::new(Kind::Event, |out| out.extend_from_slice(b"data: some words\n\n"))
}

impl Handler for Probe {
    fn start(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        context.spawn_every("look", Owner::Handler, now, LOOK).expect("there is room");
    }

    fn request(&mut self, _: &mut Context<'_>, _: Handle, request: &Request<'_>) -> Answer {
        match request.path() {
            "/ws" => Answer::Upgrade { protocol: None },
            "/events" => Answer::Stream(Response::new(200)),
            "/later" => Answer::Later,
            "/missing" => Answer::Respond(Response::text(404, "nothing here")),
            path => Answer::Respond(Response::text(200, path)),
        }
    }

    fn open(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) {
        self.opened += 1;
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, message: Message<'_>) {
        self.messages += 1;
        match message {
            Message::Text("close") => context.close(handle, 1000, "bye", CloseReason::Closed),
            Message::Text(text) => assert!(context.reply(handle, frame(text)), "it is open"),
            Message::Binary(_) => {}
        }
    }

    fn closed(&mut self, context: &mut Context<'_>, handle: Handle, reason: CloseReason) {
        self.ends.push(reason);
        self.taken_late += usize::from(context.reply(handle, frame("late")));
        self.taken_late += usize::from(context.reply(handle, some_event()));
        self.taken_late += usize::from(context.publish(handle, 0, frame("late")));
    }

    fn task(&mut self, context: &mut Context<'_>, _: Run) {
        self.close_if_wanted(context);
    }

    fn cancel(&mut self, context: &mut Context<'_>, _: TaskId) -> Cancel {
        self.close_if_wanted(context);
        Cancel::Done
    }
}

/// An engine, a connection of it, and the connection's client.
pub struct World {
    pub engine: Engine<Probe, Wire, Manual>,
    pub wire: Wire,
    pub client: usize,
    wanted: Rc<Cell<Option<(Handle, CloseReason)>>>,
    /// `None` until it is accepted, and for ever if it was released in that turn.
    handle: Option<Handle>,
    /// What the client has taken since it was last looked at.
    taken: Vec<u8>,
}

impl World {
    /// A connection that is in `phase`, ready for `event` to happen to it.
    pub fn new(phase: Phase, event: Event) -> World {
        let probe = Probe::default();
        let wanted = Rc::clone(&probe.wanted);
        let (mut engine, wire) = Wire::engine(limits(event), probe);
        let client = wire.connect_from(ADDRESS, 1);
        settle(&mut engine);
        let handle = engine.connections().next().map(|connection| connection.handle);
        let taken = Vec::new();
        let mut world = World { engine, wire, client, wanted, handle, taken };
        world.reach(phase, event);
        if phase != Phase::Dead {
            world.prepare(phase, event);
        }
        assert_eq!(world.phase(), phase, "before {event:?}");
        world
    }

    /// Where the connection is now. What is not there is dead.
    pub fn phase(&self) -> Phase {
        let mut connections = self.engine.connections();
        let found = connections.find(|connection| Some(connection.handle) == self.handle);
        found.map_or(Phase::Dead, |connection| connection.phase)
    }

    fn reach(&mut self, phase: Phase, event: Event) {
        match phase {
            Phase::Head => {}
            Phase::Reply => self.send(&match event {
                event if event.is_while_awaiting() => LATER.to_vec(),
                Event::LastSent => LAST.to_vec(),
                Event::NextWaits => [GET, MISSING].concat(),
                _ => GET.to_vec(),
            }),
            Phase::Open => {
                self.send(UPGRADE);
                self.take_new();
            }
            Phase::Streaming => {
                self.send(STREAM);
                self.take_new();
            }
            Phase::Closing => {
                self.send(UPGRADE);
                self.take_new();
                self.send(&text("close"));
                if !matches!(event, Event::PeerEndsOwed | Event::AllSent) {
                    self.take_new();
                }
            }
            Phase::Draining => self.send(BAD),
            Phase::Lingering => {
                self.send(LAST);
                self.take_new();
            }
            // The one way to be dead from one turn to the next.
            Phase::Dead => self.engine.shutdown(),
        }
    }

    /// Makes the state of things in which `event` can happen, which is no event of its own.
    fn prepare(&mut self, phase: Phase, event: Event) {
        use Event::*;
        match (phase, event) {
            (
                Phase::Head,
                LateUpgrade | LateStream | RequestLaterInDrain | HeadCut | DrainBeginsMidHead
                | DrainEnds,
            ) => {
                self.send(HALF);
            }
            (Phase::Head, IdleLate) => {
                self.send(GET);
                self.take_new();
            }
            (Phase::Open, PeerEndsOwed | AllSent | StallLate | FrameLate) => {
                self.send(&text("some words"));
            }
            (Phase::Streaming, PeerEndsOwed | AllSent | StallLate | FrameLate) => {
                let handle = self.handle.expect("it is there");
                let is_taken = self.engine.act(|_, context| context.reply(handle, some_event()));
                assert!(is_taken, "it is open");
                settle(&mut self.engine);
            }
            (Phase::Open, SilenceLate) => {
                self.run_for(30_010);
                self.take_new();
            }
            _ => {}
        }
        if matches!(event, LateUpgrade | LateStream | RequestLaterInDrain | DrainEnds) {
            self.engine.shutdown();
            settle(&mut self.engine);
        }
    }

    /// Lets `event` happen in `phase`.
    pub fn happen(&mut self, phase: Phase, event: Event) {
        use Event::*;
        match event {
            LateUpgrade if phase == Phase::Head => self.send(&UPGRADE[HALF.len()..]),
            LateStream if phase == Phase::Head => self.send(&STREAM[HALF.len()..]),
            RequestLaterInDrain if phase == Phase::Head => self.send(&LATER[HALF.len()..]),
            AnswerComes => self.answer(),
            PeerEnds | PeerEndsOwed | PeerEndsAwaiting => self.wire.end(self.client),
            PeerResets | PeerResetsAwaiting => {
                self.wire.fail(self.client, ErrorKind::ConnectionReset)
            }
            SocketFails => self.wire.fail(self.client, ErrorKind::TimedOut),
            AllSent | LastSent => self.take_all(),
            NextWaits => {
                while Sent::first(&self.taken) == Sent::Nothing && self.take_one() {}
                self.taken.clear();
            }
            HandlerCloses => self.ask_close(CloseReason::Closed),
            HeadLate | HeadCut => self.run_for(5_010),
            StallLate | AnswerLate => self.run_for(10_010),
            FrameLate => {
                for _ in 0..3 {
                    self.run_for(9_000);
                    self.take_one();
                }
                self.run_for(3_010);
            }
            IdleLate | PingDue => self.run_for(30_010),
            SilenceLate | HeartbeatDue => self.run_for(15_010),
            CloseLate => self.run_for(1_010),
            DrainBegins | DrainBeginsAwaiting | DrainBeginsMidHead => self.engine.shutdown(),
            DrainEnds => self.run_for(410),
            TurnedFull | TurnedAddress | TurnedUntold => self.connect_another(),
            _ => self.send(&event.bytes()),
        }
        settle(&mut self.engine);
    }

    /// Lets the handler ask for a close, which the next turn is to carry out.
    pub fn ask_close(&mut self, reason: CloseReason) {
        self.wanted.set(self.handle.map(|handle| (handle, reason)));
        for _ in 0..2 {
            self.engine.turn(Some(LOOK)).expect("the wire does not fail");
            if self.wanted.get().is_none() {
                return;
            }
        }
        panic!("the handler does not look");
    }

    /// The handler answers now, if the connection awaits it.
    fn answer(&mut self) {
        let Some(handle) = self.handle else { return };
        let is_taken = self.engine.act(|_, context| {
            let awaits = context.awaits(handle);
            (awaits, context.respond(handle, Response::text(200, "at last")))
        });
        assert_eq!(is_taken.0, is_taken.1, "an answer is taken exactly where one is awaited");
        settle(&mut self.engine);
    }

    /// From now on the world is about a connection that comes now.
    fn connect_another(&mut self) {
        let first = self.handle;
        self.client = self.wire.connect_from(ADDRESS, 1);
        settle(&mut self.engine);
        let mut handles = self.engine.connections().map(|connection| connection.handle);
        self.handle = handles.find(|handle| Some(*handle) != first);
    }

    /// The peer's end, after it has taken everything that came; an answer that it awaits included.
    pub fn finish(&mut self) {
        self.answer();
        self.take_all();
        self.wire.end(self.client);
        self.take_all();
    }

    /// The client takes what comes until nothing more does: what has come since the last call.
    pub fn take_new(&mut self) -> Vec<u8> {
        self.take_all();
        std::mem::take(&mut self.taken)
    }

    fn take_all(&mut self) {
        settle(&mut self.engine);
        while self.take_one() {}
    }

    /// The client takes a byte, if there is one, and the engine another turn.
    fn take_one(&mut self) -> bool {
        let taken = self.wire.take(self.client, 1);
        self.taken.extend(&taken);
        settle(&mut self.engine);
        !taken.is_empty()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.wire.send(self.client, bytes);
        settle(&mut self.engine);
    }

    fn run_for(&mut self, ms: u64) {
        run_until(&mut self.engine, &self.wire, self.wire.now_ms() + ms);
    }
}

/// Limits under which `event` can happen.
fn limits(event: Event) -> Limits {
    let base = Limits::default();
    match event {
        Event::RequestsNoRoom | Event::HalfHeadNoRoom => Limits { inputs_max: 0, ..base },
        // Shorter than the deadlines that would else come first.
        Event::DrainEnds => Limits { drain_timeout: Duration::from_millis(400), ..base },
        Event::TurnedFull => Limits { connections_max: 1, ..base },
        Event::TurnedAddress => Limits { connections_per_address_max: 1, ..base },
        Event::TurnedUntold => Limits { connections_per_address_max: 1, refusals_max: 0, ..base },
        _ => base,
    }
}
