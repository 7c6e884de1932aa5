//! A run of the simulation: one engine on a network that is drawn from a seed, with clients of
//! every kind that come and go; after each turn the checks, and at the end a drain and the books.
//!
//! Everything is drawn from the seed, the chances of faults among it: some networks are kind, some
//! are bad in one way, some in all. The same seed is the same run, byte for byte.

#![allow(dead_code, reason = "each test file uses its own part")]

mod client;
mod complaints;
#[path = "../support/frames.rs"]
mod frames;
mod hearing;
mod models;
mod show;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use client::Client;
use models::MODELS;
use show::Show;
use vitald::engine::Engine;
use vitald::engine::clock::{Clock, Manual, Tick};
use vitald::engine::connection::{CloseReason, Phase};
use vitald::engine::handle::Handle;
use vitald::engine::ledger::{RESOURCES, Resource};
use vitald::engine::limits::Limits;
use vitald::engine::net::Peer;
use vitald::engine::net::sim::{Faults, SimNet};
use vitald::engine::random::Random;
use vitald::engine::view::ConnectionView;

/// A timer may be late by a granule of the wheel, and what it leads to by another.
const GRANULES: Duration = Duration::from_millis(10);

/// Turns in a row, at one instant, that find nothing to do.
const IDLE_TURNS_MAX: u32 = 50;

/// What a run was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub fingerprint: u64,
    pub turns: u64,
    pub simulated_ms: u64,
    /// Connections that were accepted and have ended.
    pub cycles: u64,
    /// Ends by reason.
    pub ends: BTreeMap<&'static str, u64>,
    pub conflated: u64,
    pub gaps: u64,
    pub heartbeats: u64,
    pub chores: u64,
    /// Requests that were answered in a later turn.
    pub later: u64,
}

impl Summary {
    pub fn add(&mut self, other: &Summary) {
        self.turns += other.turns;
        self.simulated_ms += other.simulated_ms;
        self.cycles += other.cycles;
        self.conflated += other.conflated;
        self.gaps += other.gaps;
        self.heartbeats += other.heartbeats;
        self.chores += other.chores;
        self.later += other.later;
        for (reason, count) in &other.ends {
            *self.ends.entry(reason).or_default() += count;
        }
    }
}

/// What is drawn for a run.
struct Options {
    limits: Limits,
    faults: Faults,
    interval: Duration,
    clients: usize,
    /// Clients come in this time.
    span: Duration,
    /// The drain begins this long after the last has come.
    rest: Duration,
    /// When the clock jumps, and how far.
    jumps: Vec<(Tick, Duration)>,
}

impl Options {
    fn draw(random: &mut Random) -> Options {
        let span = Duration::from_millis(random.between(20_000, 90_000));
        let mut jumps = Vec::new();
        let jump_count = if random.below(2) == 0 { 1 + random.below(2) } else { 0 };
        for _ in 0..jump_count {
            let at = Tick::from_millis(random.between(1000, span.as_millis() as u64));
            let far = Duration::from_millis(random.between(100, 120_000));
            jumps.push((at, far));
            // A host that wakes up may soon sleep again.
            if random.below(2) == 0 {
                let soon = at + far + Duration::from_millis(random.between(0, 1000));
                jumps.push((soon, Duration::from_millis(random.between(100, 120_000))));
            }
        }
        jumps.sort();
        Options {
            limits: limits(random),
            faults: faults(random),
            interval: Duration::from_millis([100, 250, 1000][random.below(3)]),
            clients: random.between(110, 190) as usize,
            span,
            rest: Duration::from_millis(random.between(0, 60_000)),
            jumps,
        }
    }
}

/// Small tables and small budgets, so that each is met.
fn limits(random: &mut Random) -> Limits {
    Limits {
        connections_max: random.between(8, 40) as usize,
        connections_per_address_max: random.between(1, 8) as usize,
        refusals_max: random.between(1, 4) as usize,
        inputs_max: random.between(0, 12) as usize,
        reply_bytes_max: 64 * 1024,
        read_bytes_per_turn: random.between(100, 20_000) as usize,
        write_bytes_per_turn: random.between(100, 20_000) as usize,
        messages_per_turn: random.between(1, 16) as usize,
        accepts_per_turn: random.between(1, 8) as usize,
        tasks_max: random.between(1, 16) as usize,
        ..Limits::default()
    }
}

/// Each chance is off in most networks, and whatever it likes in the others.
fn faults(random: &mut Random) -> Faults {
    let is_kind = random.below(4) == 0;
    let mut chance = |most: u64| match random.below(2) {
        0 if !is_kind => random.between(1, most) as u32,
        _ => 0,
    };
    Faults {
        is_shuffled: chance(1) == 1,
        short_read: chance(500),
        short_write: chance(500),
        interrupted: chance(400),
        spurious_event: chance(200),
        duplicate_event: chance(200),
        delayed_event: chance(300),
        delay_max: Duration::from_millis(u64::from(chance(400))),
        zero_window: chance(100),
        reset: chance(3),
        accept_error: chance(200),
        open_error: chance(50),
        lost_event: 0,
    }
}

/// Runs a seed. The engine may write no warning but those that a limit or a fault of the network
/// calls for.
pub fn run(seed: u64) -> Summary {
    complaints::listen();
    let summary = World::new(seed, 0).run();
    let complaints = complaints::take();
    assert!(complaints.is_empty(), "the engine complains: {complaints:?}");
    summary
}

/// Runs a seed on a network that loses events, which none may.
pub fn run_losing(seed: u64, lost_event: u32) -> Summary {
    World::new(seed, lost_event).run()
}

struct World {
    random: Random,
    clock: Manual,
    net: SimNet,
    engine: Engine<Show, SimNet, Manual>,
    options: Options,
    /// When the clients that have not come yet will.
    arrivals: Vec<Tick>,
    clients: Vec<Client>,
    /// Since when each connection has been seen in its phase.
    phases: Vec<(Handle, Phase, Tick)>,
    idle_turns: u32,
    /// When every input buffer was last out.
    inputs_out_at: Option<Tick>,
    summary: Summary,
}

impl World {
    fn new(seed: u64, lost_event: u32) -> World {
        let mut random = Random::new(seed);
        let options = Options::draw(&mut random);
        let faults = Faults { lost_event, ..options.faults.clone() };
        let clock = Manual::new();
        let net = SimNet::new(clock.clone(), faults, Random::new(random.draw()));
        let show = Show::new(options.interval, Random::new(random.draw()));
        let engine = Engine::with_parts(options.limits.clone(), net.clone(), clock.clone(), show);
        let span = options.span.as_millis() as u64;
        let mut arrivals: Vec<Tick> =
            (0..options.clients).map(|_| Tick::from_millis(random.between(0, span))).collect();
        arrivals.sort_by_key(|arrival| std::cmp::Reverse(*arrival));
        World {
            random,
            clock,
            net,
            engine: engine.expect("the limits make sense"),
            options,
            arrivals,
            clients: Vec::new(),
            phases: Vec::new(),
            idle_turns: 0,
            inputs_out_at: None,
            summary: Summary::default(),
        }
    }

    fn run(mut self) -> Summary {
        let end = Tick::ZERO + self.options.span + self.options.rest;
        while self.clock.now() < end {
            self.step(end);
        }
        self.drain();
        self.close_books()
    }

    /// The clients act, then the engine has a turn, then everything is checked.
    fn step(&mut self, until: Tick) -> bool {
        self.jump();
        let now = self.clock.now();
        while self.arrivals.last().is_some_and(|arrival| *arrival <= now) {
            self.arrivals.pop();
            self.arrive();
        }
        for client in &mut self.clients {
            if client.next().is_some_and(|next| next <= now) || self.net.has_news(client.id) {
                client.act(&self.net, now);
            }
        }
        self.dismiss();
        let own = self.clients.iter().filter_map(Client::next).chain(self.arrivals.last().copied());
        let next = own.min().unwrap_or(until).min(until);
        let before = self.engine.ledger().row(Resource::Input);
        let turn = self.engine.turn(Some(next.since(now))).expect("this network can be waited for");
        // Within a turn some may be taken and given back.
        let taken = self.engine.ledger().row(Resource::Input).opened - before.opened;
        if before.live() + taken >= self.options.limits.inputs_max as u64 {
            self.inputs_out_at = Some(self.clock.now());
        }
        let has_moved = self.clock.now() > now || turn.worked || next <= now;
        self.idle_turns = if has_moved { 0 } else { self.idle_turns + 1 };
        assert!(self.idle_turns < IDLE_TURNS_MAX, "the loop spins: turns that find nothing to do");
        self.check();
        turn.finished
    }

    fn jump(&mut self) {
        let Some(&(at, far)) = self.options.jumps.first() else { return };
        if at <= self.clock.now() {
            self.options.jumps.remove(0);
            self.clock.advance(far);
            self.clients.iter_mut().for_each(|client| client.note_jump(far));
        }
    }

    fn arrive(&mut self) {
        let total = MODELS.iter().map(|(_, share)| share).sum();
        let mut drawn = self.random.below(total);
        let model = MODELS.iter().find(|(_, share)| match drawn.checked_sub(*share) {
            Some(rest) => {
                drawn = rest;
                false
            }
            None => true,
        });
        let (make, _) = model.expect("the shares add up");
        let plan = make(&mut self.random);
        let address = match self.random.below(3) {
            0 => format!("192.0.2.{}:1", self.random.below(6)),
            _ => "127.0.0.1:1".to_owned(),
        };
        let peer = Peer::tcp(address.parse().expect("an address"));
        if let Some(id) = self.net.connect(peer, plan.window_bytes) {
            let mut client = Client::new(id, plan, self.clock.now());
            client.is_loopback = address.starts_with("127.");
            self.clients.push(client);
        }
    }

    /// Judges the clients that are done, and lets them go.
    fn dismiss(&mut self) {
        while let Some(place) = self.clients.iter().position(Client::is_done) {
            let client = self.clients.swap_remove(place);
            self.judge(&client);
            self.summary.gaps += client.hearing.gaps;
            self.summary.heartbeats += client.hearing.heartbeats;
        }
    }

    fn check(&mut self) {
        if !cfg!(debug_assertions) {
            self.engine.audit();
        }
        self.check_phases();
        for client in &self.clients {
            self.check_deadline(client);
            self.check_freshness(client);
        }
    }

    /// No step of an end outlives its second.
    fn check_phases(&mut self) {
        let now = self.clock.now();
        let limit = self.options.limits.close_timeout + GRANULES;
        let before = std::mem::take(&mut self.phases);
        for ConnectionView { handle, phase, .. } in self.engine.connections() {
            if !matches!(phase, Phase::Closing | Phase::Draining | Phase::Lingering) {
                continue;
            }
            let seen = before.iter().find(|(of, seen, _)| (*of, *seen) == (handle, phase));
            let since = seen.map_or(now, |(_, _, since)| *since);
            assert!(now.since(since) <= limit, "{handle} is {phase:?} for {:?}", now.since(since));
            self.phases.push((handle, phase, since));
        }
    }

    /// Stops the server: it must be done in its time, whatever the clients do.
    fn drain(&mut self) {
        self.net.be_kind();
        self.arrivals.clear();
        self.options.jumps.clear();
        let now = self.clock.now();
        self.clients.iter_mut().for_each(Client::note_drain);
        self.engine.shutdown();
        assert!(!self.net.is_listening(), "a successor can bind at once");
        let end = now + self.options.limits.drain_timeout + Duration::from_secs(1) + GRANULES;
        while !self.step(end) {
            assert!(self.clock.now() < end, "the drain is not over in its time");
        }
        let now = self.clock.now();
        for client in &mut self.clients {
            client.act(&self.net, now);
        }
        for client in std::mem::take(&mut self.clients) {
            self.judge(&client);
        }
    }

    /// Everything that was taken has been given back.
    fn close_books(mut self) -> Summary {
        self.engine.audit();
        for resource in RESOURCES {
            let live = self.engine.ledger().row(resource).live();
            assert!(live == 0, "{live} of {resource:?} are left");
        }
        let frames = self.engine.pools().frames.live;
        assert!(frames == 0, "{frames} shared frames are held by nobody");
        let tasks = self.engine.task_counts();
        assert!((tasks.running, tasks.cancelling) == (0, 0), "a task is left: {tasks:?}");
        let show = self.engine.handler();
        assert!(show.opened == show.closed, "each opening has its closing");
        let stats = self.engine.stats();
        let summary = &mut self.summary;
        summary.fingerprint = self.net.fingerprint();
        summary.turns = stats.turns;
        summary.simulated_ms = self.clock.now().since_origin().as_millis() as u64;
        summary.cycles = stats.accepted;
        summary.conflated = stats.frames_conflated;
        summary.chores = show.ran;
        summary.later = show.later;
        for reason in CloseReason::ALL {
            *summary.ends.entry(reason.name()).or_default() += stats.closes(*reason);
        }
        assert!(summary.ends.values().sum::<u64>() == stats.accepted, "each end has one reason");
        assert!(stats.ended == stats.accepted, "each end is counted once");
        assert!(stats.attempts_failed <= stats.attempts, "more fail than there were");
        let measured = self.engine.measured();
        assert!(measured.lifetimes().count() == stats.ended, "each had its lifetime");
        assert!(measured.queued_bytes() == 0, "bytes wait for nobody");
        let sent = measured.latency_total().count;
        assert!(sent <= stats.frames_published, "state is measured more than once");
        self.summary
    }
}
