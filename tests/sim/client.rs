//! A simulated client: what it sends and when, how it reads, how it behaves, and what it must have
//! heard in the end. Which clients there are stands in `models.rs`.

use std::collections::VecDeque;
use std::time::Duration;

use vitald::engine::clock::Tick;
use vitald::engine::net::sim::{ClientId, SimNet};

use super::frames::{CLOSE, client_frame};
use super::hearing::Hearing;

/// What a client does next.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// Says that it will send no more, and reads on.
    End,
    /// Its process is gone.
    Vanish,
    Reset,
}

/// How a client reads.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    /// Whatever is there, at once.
    Eager,
    Slow {
        bytes: usize,
        every: Duration,
    },
    Never,
}

/// What a client must have heard when its connection is over.
#[derive(Clone, Debug)]
pub enum Expectation {
    /// Nothing in particular: what it has heard was in order.
    Anything,
    /// Not a byte.
    Silence,
    /// Answers with these bodies, in order, and no others.
    Answers(Vec<String>),
    /// A whole refusal with this status, last of all.
    Refusal(u16),
    /// A close frame with this code.
    Close(u16),
    /// Every state in time, while it is open; these numbers said back, in order; an end in order.
    Subscriber(Vec<u64>),
    /// Every state in time, or if it is a quiet one comments in time, and a farewell before the
    /// end.
    Stream { is_quiet: bool },
}

impl Expectation {
    /// Whether it is a subscriber who does all that it should.
    pub fn is_good(&self) -> bool {
        matches!(self, Expectation::Subscriber(_) | Expectation::Stream { .. })
    }
}

/// A model's make of a client.
#[derive(Clone, Debug)]
pub struct Plan {
    pub model: &'static str,
    /// Each with the time to wait before it.
    pub steps: VecDeque<(Duration, Step)>,
    pub reading: Reading,
    pub window_bytes: usize,
    /// Answers pings and a close frame.
    pub is_polite: bool,
    pub expectation: Expectation,
    /// The server must have closed by then, counted from its accept.
    pub ends_within: Option<Duration>,
    /// And not before.
    pub lasts: Duration,
}

#[derive(Debug)]
pub struct Client {
    pub id: ClientId,
    pub plan: Plan,
    pub hearing: Hearing,
    step_at: Tick,
    read_at: Tick,
    /// What the network has not yet taken.
    unsent: Vec<u8>,
    answered_pings: u64,
    has_sent_close: bool,
    has_ended: bool,
    /// It has left without waiting for an end.
    pub is_gone: bool,
    /// It has heard the end, or a reset.
    pub is_over: bool,
    /// It was there when the clock jumped, by this much in all.
    pub jumped: Duration,
    /// It was there when the drain began.
    pub is_drained: bool,
    /// It had begun to leave when the drain began.
    pub was_leaving: bool,
    /// Its address is not counted.
    pub is_loopback: bool,
    /// It was open and had no wish to leave when the clock last jumped.
    pub is_settled: bool,
    pub opened_at: Option<Tick>,
}

impl Client {
    pub fn new(id: ClientId, plan: Plan, now: Tick) -> Client {
        let first = plan.steps.front().map_or(Duration::ZERO, |(wait, _)| *wait);
        Client {
            id,
            plan,
            hearing: Hearing::default(),
            step_at: now + first,
            read_at: now,
            unsent: Vec::new(),
            answered_pings: 0,
            has_sent_close: false,
            has_ended: false,
            is_gone: false,
            is_over: false,
            jumped: Duration::ZERO,
            is_drained: false,
            was_leaving: false,
            is_loopback: false,
            is_settled: false,
            opened_at: None,
        }
    }

    /// Whether it takes no more part.
    pub fn is_done(&self) -> bool {
        self.is_gone || self.is_over
    }

    /// When it acts of itself; `None` for never.
    pub fn next(&self) -> Option<Tick> {
        let step = (!self.plan.steps.is_empty()).then_some(self.step_at);
        let read = matches!(self.plan.reading, Reading::Slow { .. }).then_some(self.read_at);
        [step, read].into_iter().flatten().min()
    }

    /// Does what it is time for.
    pub fn act(&mut self, net: &SimNet, now: Tick) {
        self.read(net, now);
        self.behave();
        while !self.is_gone && !self.plan.steps.is_empty() && self.step_at <= now {
            let (_, step) = self.plan.steps.pop_front().expect("there is one");
            self.take(step, net);
            let wait = self.plan.steps.front().map_or(Duration::ZERO, |(wait, _)| *wait);
            self.step_at = now + wait;
        }
        self.flush(net);
        self.look_for_end(net);
    }

    fn read(&mut self, net: &SimNet, now: Tick) {
        let bytes = match self.plan.reading {
            Reading::Eager => usize::MAX,
            Reading::Slow { bytes, every } if self.read_at <= now => {
                self.read_at = now + every;
                bytes
            }
            _ => return,
        };
        self.hearing.hear(&net.take(self.id, bytes), now);
        if self.hearing.is_open {
            self.opened_at.get_or_insert(now);
        }
    }

    /// Answers what a client should answer.
    fn behave(&mut self) {
        if !self.plan.is_polite {
            return;
        }
        while self.answered_pings < self.hearing.pings && !self.has_sent_close {
            self.answered_pings += 1;
            self.unsent.extend(client_frame(0x8a, b""));
        }
        if let Some(code) = self.hearing.close_code
            && !self.has_sent_close
        {
            self.has_sent_close = true;
            self.plan.steps.clear();
            self.unsent.extend(client_frame(0x88, &code.to_be_bytes()));
        }
    }

    fn take(&mut self, step: Step, net: &SimNet) {
        match step {
            Step::Send(bytes) => {
                self.has_sent_close |= self.plan.is_polite && is_close(&bytes);
                self.unsent.extend(bytes);
            }
            Step::End => {
                self.flush(net);
                self.has_ended = true;
                net.end(self.id);
            }
            Step::Vanish => {
                self.is_gone = true;
                net.vanish(self.id);
            }
            Step::Reset => {
                self.is_gone = true;
                net.reset(self.id);
            }
        }
    }

    fn flush(&mut self, net: &SimNet) {
        if !self.unsent.is_empty() && !self.is_gone && !self.has_ended {
            let sent = net.send(self.id, &self.unsent);
            self.unsent.drain(..sent);
        }
    }

    /// A client that has read to the end ends too.
    fn look_for_end(&mut self, net: &SimNet) {
        let is_reset = net.is_client_reset(self.id);
        let is_at_end = net.is_at_end(self.id) && !self.is_gone;
        if is_reset || is_at_end {
            self.is_over = true;
            if !self.has_ended {
                net.end(self.id);
            }
        }
    }

    /// Takes note that the clock has jumped.
    pub fn note_jump(&mut self, far: Duration) {
        self.jumped += far;
        self.is_settled = self.opened_at.is_some() && !self.is_leaving();
    }

    /// Takes note of the drain.
    pub fn note_drain(&mut self) {
        self.is_drained = true;
        self.was_leaving = self.is_leaving();
    }

    /// Whether it has begun to leave by itself.
    pub fn is_leaving(&self) -> bool {
        self.has_sent_close || self.has_ended || self.is_gone
    }
}

/// Whether these bytes are one close frame.
fn is_close(bytes: &[u8]) -> bool {
    bytes.first() == Some(&(0x80 | CLOSE))
}
