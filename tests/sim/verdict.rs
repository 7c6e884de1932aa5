//! What each connection is held to: while it lasts, and when it is over.
//!
//! A network that makes up a reset or cannot register a connection, and a clock that jumps, excuse
//! what follows from them and nothing else. Whoever is turned away for lack of room must have been
//! told so, unless its address has had more than its share.

use std::time::Duration;

use vitald::engine::clock::{Clock, Tick};

use super::client::{Client, Expectation, Reading};
use super::show::CLOSE_CODE;
use super::{GRANULES, World};

/// How long the last words of an end have, and the end of them.
const LAST_WORDS: Duration = Duration::from_millis(2_000);

impl World {
    /// What the network may add to any wait.
    fn slack(&self, client: &Client) -> Duration {
        GRANULES + 4 * self.options.faults.delay_max + client.jumped
    }

    /// Nobody holds a connection for longer than its model may.
    pub(super) fn check_deadline(&self, client: &Client) {
        let (Some(within), Some(accepted)) =
            (client.plan.ends_within, self.net.accepted(client.id))
        else {
            return;
        };
        // A drain has a time of its own.
        if self.net.is_closed(client.id) || client.is_drained {
            return;
        }
        let held = self.clock.now().since(accepted);
        let limit = within + self.slack(client);
        assert!(
            held <= limit,
            "{} holds its connection for {held:?}: {client:?}",
            client.plan.model
        );
    }

    /// A good subscriber's newest state is at most one interval old; the newest word to one that
    /// gets none is as old as a heartbeat at most.
    pub(super) fn check_freshness(&self, client: &Client) {
        let expectation = &client.plan.expectation;
        let (true, Some(opened)) = (expectation.is_good(), client.opened_at) else { return };
        let is_over = client.is_leaving() || client.is_drained || client.is_done();
        let is_over = is_over || client.hearing.is_farewelled;
        if is_over || self.net.is_closed(client.id) || self.net.is_spoilt(client.id) {
            return;
        }
        let (newest, wait) = match expectation {
            Expectation::Stream { is_quiet: true } => {
                (client.hearing.heard_at, self.options.limits.heartbeat_after)
            }
            _ => (client.hearing.state_at, self.options.interval),
        };
        let newest = newest.unwrap_or(opened).max(opened);
        let age = self.clock.now().since(newest);
        // One window may be shut behind another, for each piece of a frame.
        let limit = wait + GRANULES + 40 * self.options.faults.delay_max;
        let limit = limit + client.jumped;
        let (id, hearing) = (client.id, &client.hearing);
        assert!(age <= limit, "client {id} hears nothing new for {age:?}: {hearing:?}");
    }

    /// Judges a connection that is over for its client.
    pub(super) fn judge(&self, client: &Client) {
        let (plan, hearing) = (&client.plan, &client.hearing);
        if client.is_gone || self.net.is_spoilt(client.id) {
            return;
        }
        let who = format!("{} (client {})", plan.model, client.id);
        if !client.jumped.is_zero() {
            return self.judge_jumped(client, &who);
        }
        if matches!(plan.reading, Reading::Never) || self.net.accepted(client.id).is_none() {
            return;
        }
        if client.is_drained {
            return self.judge_drained(client, &who);
        }
        if hearing.was_refused_with(503) {
            let is_right = self.was_crowded(client) || self.was_without_inputs(client);
            let is_expected = matches!(plan.expectation, Expectation::Refusal(503));
            assert!(is_right || is_expected, "{who} was refused where there was room");
            if is_right {
                return;
            }
        }
        // Beyond those who are told there is no place to be told in.
        if is_unheard(client) && self.had_more_than_its_share(client) {
            return;
        }
        self.judge_age(client, &who);
        // Last words have a second, which a window that is shut again and again can use up.
        let shut = self.net.shut_until(client.id);
        let was_shut = shut.is_some_and(|until| self.clock.now() < until + LAST_WORDS);
        // They may not even have begun: a refusal, or the close frame of one that was open.
        let is_without_last_words = hearing.is_mid_speech()
            || is_unheard(client)
            || (hearing.is_open && hearing.close_code.is_none());
        if was_shut && is_without_last_words && !client.is_leaving() {
            return;
        }
        match &plan.expectation {
            // Who may be dropped may be cut off.
            Expectation::Anything => return,
            Expectation::Silence => assert!(is_unheard(client), "{who} was to hear nothing"),
            Expectation::Answers(bodies) => {
                let heard = hearing.bodies();
                // Without a buffer for what follows a request, its answer is the last and says so.
                let is_cut = hearing.is_last && self.was_without_inputs(client);
                let is_right = heard == *bodies || (is_cut && bodies.starts_with(&heard));
                assert!(is_right, "{who} heard {heard:?} for {bodies:?}");
            }
            Expectation::Refusal(status) => {
                assert!(hearing.was_refused_with(*status), "{who} was not told why: {hearing:?}");
            }
            Expectation::Close(code) => {
                assert!(hearing.close_code == Some(*code), "{who} was not told why: {hearing:?}");
            }
            Expectation::Subscriber(said) => self.judge_subscriber(client, said, &who),
            Expectation::Stream { .. } => {
                let (is_open, leaves) = (hearing.is_open, client.is_leaving());
                assert!(is_open || leaves, "{who} was not let in: {hearing:?}");
                assert!(hearing.is_farewelled || leaves, "{who} was thrown out: {hearing:?}");
            }
        }
        // A WebSocket whose client says its end without a close frame is over at once.
        let has_left = hearing.is_open && hearing.close_code.is_none() && client.is_leaving();
        assert!(has_left || !hearing.is_mid_speech(), "{who} was cut off: {hearing:?}");
    }

    fn judge_subscriber(&self, client: &Client, said: &[u64], who: &str) {
        let hearing = &client.hearing;
        let leaves = client.is_leaving();
        assert!(hearing.is_open || leaves, "{who} was not let in: {hearing:?}");
        let asked_for = hearing.close_code == Some(CLOSE_CODE);
        assert!(leaves || asked_for, "{who} was thrown out: {hearing:?}");
        if self.engine.handler().refused == 0 {
            // One that ends its connection may have gone before its last answers.
            let heard = &hearing.said;
            assert!(said.starts_with(heard), "{who} said {said:?} and heard {heard:?}");
            let is_orderly = hearing.close_code.is_some();
            assert!(!is_orderly || heard == said, "{who} said {said:?} and heard {heard:?}");
        }
    }

    /// A pause of the whole host is not held against a subscriber who was settled.
    fn judge_jumped(&self, client: &Client, who: &str) {
        let is_good = client.plan.expectation.is_good();
        let is_prompt = self.options.faults.delay_max.is_zero();
        if is_good && is_prompt && client.is_settled {
            let hearing = &client.hearing;
            let is_closed = matches!(hearing.close_code, Some(CLOSE_CODE | 1001));
            let is_told = is_closed || hearing.is_farewelled;
            assert!(client.is_leaving() || is_told, "{who} was thrown out by a pause: {hearing:?}");
        }
    }

    /// Who was there when the drain began is told so, if there was anything to tell.
    fn judge_drained(&self, client: &Client, who: &str) {
        let hearing = &client.hearing;
        let is_good = client.plan.expectation.is_good();
        if is_good && client.opened_at.is_some() && !client.was_leaving {
            let code = hearing.close_code;
            let is_told = matches!(code, Some(1001 | CLOSE_CODE)) || hearing.is_farewelled;
            assert!(is_told && !hearing.is_mid_speech(), "{who} heard {hearing:?}");
        }
    }

    /// What may last must last.
    fn judge_age(&self, client: &Client, who: &str) {
        let accepted = self.net.accepted(client.id).unwrap_or(Tick::ZERO);
        let age = self.clock.now().since(accepted);
        assert!(age >= client.plan.lasts, "{who} was ended after {age:?}: {client:?}");
    }

    /// Whether a limit on connections was passed when it came.
    fn was_crowded(&self, client: &Client) -> bool {
        let (all, _) = self.net.crowd_at_accept(client.id);
        all > self.options.limits.connections_max || self.had_more_than_its_share(client)
    }

    fn had_more_than_its_share(&self, client: &Client) -> bool {
        let (_, same) = self.net.crowd_at_accept(client.id);
        let is_exempt = client.is_loopback;
        !is_exempt && same > self.options.limits.connections_per_address_max
    }

    /// Whether every input buffer was out at some time since it came.
    fn was_without_inputs(&self, client: &Client) -> bool {
        self.options.limits.inputs_max == 0
            || self.inputs_out_at.is_some_and(|at| Some(at) >= self.net.accepted(client.id))
    }
}

fn is_unheard(client: &Client) -> bool {
    let hearing = &client.hearing;
    hearing.answers.is_empty() && !hearing.is_open && !hearing.is_mid_speech()
}
