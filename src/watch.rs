//! `vitald watch`: a line a sample in the terminal, from a running vitald.
//!
//! A client of the WebSocket, as a page is one: it subscribes to what it shows and writes each
//! sample as a line. Promises: standard output has samples and heads alone, everything else is on
//! standard error; a server that goes away is called again; nobody who reads is the end of it; what
//! a server sends cannot speak to the terminal. Times are in UTC and their head says so: local time
//! would take a library or the reading of time zone files for one column, and lines of two hosts
//! would not compare. May import: the command line, the engine's clock, names of the
//! protocol, the table of metrics. Only the binary may import it.

mod client;
mod columns;
mod format;
mod heads;
mod patience;
mod screen;
mod target;
mod token;
mod totals;

use std::cmp::Ordering;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Stdout, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use serde_json::{Value, json};

use self::client::{Client, Received, wait};
use self::columns::{Choice, Standard};
use self::format::printable;
use self::patience::{Advice, Backoff, Patience};
use self::screen::{Screen, Size};
use self::target::Target;
use crate::app::protocol::{DEFAULT_SUBSCRIPTION, MESSAGE_BYTES_MAX, VERSION};
use crate::cli::{Place, Watch};
use crate::config::Secret;
use crate::engine::clock::{Clock, Monotonic};

/// How long a new connection may keep its greeting.
const GREETING_WAIT: Duration = Duration::from_secs(10);

/// Why it has ended before it was to.
#[derive(Debug)]
pub enum Error {
    /// What was asked makes no sense, in a sentence.
    Use(String),
    /// What was asked cannot be had, in a sentence.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Error::Use(sentence) | Error::Failed(sentence)) = self;
        formatter.write_str(sentence)
    }
}

impl std::error::Error for Error {}

/// How a connection has ended.
enum End {
    /// Nothing more is to be shown.
    Done,
    /// The server has gone, for this reason.
    Gone(String),
}

/// Watches until the lines asked for are there, or nobody reads them.
///
/// # Errors
/// A sentence: wrong use, no first connection, or what the server has refused.
pub fn run(options: &Watch) -> Result<(), Error> {
    let target = match &options.place {
        Place::Named(text) => Target::parse(text),
        Place::Configured(listen) => Target::of_listener(listen),
    };
    let target = target.map_err(|sentence| Error::Use(printable(&sentence)))?;
    let warn = |words: &str| say(&format!("vitald: {words}"));
    let token = options.token.as_ref();
    let token = token.map(|from| token::read(from, options.token_said, warn)).transpose();
    let token = token.map_err(|sentence| Error::Use(printable(&sentence)))?;
    if subscription(options, &options.topics).len() > MESSAGE_BYTES_MAX {
        let sentence = format!("--topics: more than {MESSAGE_BYTES_MAX} bytes: name whole topics");
        return Err(Error::Use(sentence));
    }
    Viewer::new(options, target, token).watch()
}

/// Writes a line to standard error. If that is gone there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

/// What is asked for: these topics, or all that are sent by default.
fn subscription(options: &Watch, topics: &[String]) -> String {
    let mut message = json!({"type": "subscribe", "sub": DEFAULT_SUBSCRIPTION, "id": 1});
    if !topics.is_empty() {
        message["topics"] = json!(topics);
    }
    if let Some(interval) = options.interval {
        message["interval_ms"] = json!(interval.as_micros().div_ceil(1000) as u64);
    }
    message.to_string()
}

/// Whoever watches.
struct Viewer<'a> {
    options: &'a Watch,
    target: Target,
    token: Option<Secret>,
    clock: Monotonic,
    screen: Screen<Stdout>,
    /// Lines that have been written.
    written: u64,
    /// The sample that has been written last, so that none is twice.
    sequence: Option<u64>,
    /// Whether the newest connection has granted what was asked for.
    is_established: bool,
}

/// What belongs to one connection.
struct Session {
    client: Client,
    patience: Patience,
    choice: Choice,
}

impl<'a> Viewer<'a> {
    fn new(options: &'a Watch, target: Target, token: Option<Secret>) -> Viewer<'a> {
        let (clock, screen) = (Monotonic::new(), Screen::new(io::stdout()));
        Viewer {
            options,
            target,
            token,
            clock,
            screen,
            written: 0,
            sequence: None,
            is_established: false,
        }
    }

    fn watch(&mut self) -> Result<(), Error> {
        let client = Client::connect(&self.target, self.token.as_ref());
        let client = client.map_err(|failure| Error::Failed(printable(&failure.sentence)))?;
        let mut end = self.follow(client)?;
        let mut backoff = Backoff::new();
        let mut is_first = true;
        while let End::Gone(reason) = end {
            // Who has shown something has been a vitald, and may be one again.
            if is_first && !self.is_established && self.written == 0 {
                return Err(Error::Failed(printable(&format!("{}: {reason}", self.target))));
            }
            is_first = false;
            say(&format!("vitald: {} is gone: {reason}; trying again", self.target));
            // Who answers and leaves at once is called ever more rarely all the same.
            if self.is_established {
                backoff = Backoff::new();
            }
            let Some(client) = self.call_again(&mut backoff)? else { return Ok(()) };
            say(&format!("vitald: {} is back", self.target));
            self.screen.forget_head();
            self.sequence = None;
            end = self.follow(client)?;
        }
        Ok(())
    }

    /// Calls until somebody answers; nothing if nobody reads any more.
    fn call_again(&self, backoff: &mut Backoff) -> Result<Option<Client>, Error> {
        loop {
            if wait(None, io::stdout().as_fd(), backoff.wait()) {
                return Ok(None);
            }
            match Client::connect(&self.target, self.token.as_ref()) {
                Ok(client) => return Ok(Some(client)),
                Err(failure) if failure.is_final => {
                    return Err(Error::Failed(printable(&failure.sentence)));
                }
                Err(_) => {}
            }
        }
    }

    /// Shows what comes on a connection, to its end.
    fn follow(&mut self, mut client: Client) -> Result<End, Error> {
        self.is_established = false;
        let hello = match client.receive(GREETING_WAIT, io::stdout().as_fd()) {
            Received::Text(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
            Received::Gone(reason) => return Ok(End::Gone(reason)),
            Received::OutputClosed => return Ok(End::Done),
            Received::Life | Received::Nothing => {
                return Ok(End::Gone("it does not greet: see whether it is a vitald".to_owned()));
            }
        };
        self.check_greeting(&hello)?;
        hello["alerts"].as_array().into_iter().flatten().for_each(tell_alert);
        let mut session = self.begin(client, &hello);
        if !self.options.json
            && self.holds_all(&hello["snapshot"])
            && self.show(&hello["snapshot"], &mut session.choice)?
        {
            session.client.close();
            return Ok(End::Done);
        }
        let end = self.listen(&mut session)?;
        session.client.close();
        Ok(end)
    }

    fn check_greeting(&self, hello: &Value) -> Result<(), Error> {
        let protocol = hello["protocol"].as_u64();
        match (hello["type"] == "hello", protocol) {
            (true, Some(version)) if version == u64::from(VERSION) => Ok(()),
            (true, Some(version)) => Err(Error::Failed(format!(
                "{} speaks version {version} of the protocol and this vitald version {VERSION}: \
                 take the same vitald on both sides",
                self.target
            ))),
            _ => Err(Error::Failed(format!(
                "{} does not greet as a vitald does: see whether it is one",
                self.target
            ))),
        }
    }

    /// Subscribes to what is to be shown.
    fn begin(&self, mut client: Client, hello: &Value) -> Session {
        let (choice, topics) = match (&self.options.topics[..], self.options.json) {
            ([], true) => (Choice::Paths(Vec::new()), Vec::new()),
            ([], false) => {
                let standard = Standard::of(&hello["snapshot"]);
                let paths = standard.paths();
                (Choice::Standard(standard), paths)
            }
            (paths, _) => (Choice::Paths(paths.to_vec()), paths.to_vec()),
        };
        client.send(&subscription(self.options, &topics));
        let interval = Duration::from_millis(hello["interval_ms"].as_u64().unwrap_or(1000));
        let patience = Patience::new(interval, self.clock.now());
        Session { client, patience, choice }
    }

    /// Whether the sample of a greeting has every topic that is to be shown: then it is the first
    /// line, and nobody waits an interval for it.
    fn holds_all(&self, snapshot: &Value) -> bool {
        let topic = |path: &String| path.split('.').next().is_some_and(|t| !snapshot[t].is_null());
        snapshot["t"].is_u64() && self.options.topics.iter().all(topic)
    }

    fn listen(&mut self, session: &mut Session) -> Result<End, Error> {
        loop {
            let left = match session.patience.advice(self.clock.now()) {
                Advice::Listen(left) => left,
                Advice::GiveUp => return Ok(End::Gone("it has fallen silent".to_owned())),
                Advice::Ping => {
                    session.client.ping();
                    session.patience.pinged(self.clock.now());
                    continue;
                }
            };
            match session.client.receive(left, io::stdout().as_fd()) {
                Received::Text(text) => {
                    session.patience.message(self.clock.now());
                    if let Some(end) = self.take(&text, session)? {
                        return Ok(end);
                    }
                }
                Received::Life => session.patience.life(self.clock.now()),
                Received::Nothing => {}
                Received::Gone(reason) => return Ok(End::Gone(reason)),
                Received::OutputClosed => return Ok(End::Done),
            }
        }
    }

    /// Does what a message asks for.
    fn take(&mut self, text: &str, session: &mut Session) -> Result<Option<End>, Error> {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return Ok(Some(End::Gone("it has sent what is not JSON".to_owned())));
        };
        match message["type"].as_str() {
            Some("subscribed") => {
                self.is_established = true;
                if let Some(interval_ms) = message["interval_ms"].as_u64() {
                    session.patience.set_interval(Duration::from_millis(interval_ms));
                }
            }
            // What came before that was not asked for.
            Some("metrics") if self.is_established => {
                let is_over = match self.options.json {
                    true => self.print(text)?,
                    false => self.show(&message, &mut session.choice)?,
                };
                return Ok(is_over.then_some(End::Done));
            }
            Some("alert") => tell_alert(&message),
            Some("error") => {
                let words = message["message"].as_str().unwrap_or("it does not say what is wrong");
                return Err(Error::Failed(printable(&format!("{}: {words}", self.target))));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Prints a message as it has come; true if that was all.
    fn print(&mut self, text: &str) -> Result<bool, Error> {
        let line = format::json_line(text);
        self.count_line(|screen| screen.line(&line))
    }

    /// Writes the line of a sample; true if that was all.
    fn show(&mut self, sample: &Value, choice: &mut Choice) -> Result<bool, Error> {
        let sequence = sample["seq"].as_u64();
        if sequence.is_some() && sequence == self.sequence {
            return Ok(false);
        }
        self.sequence = sequence;
        let columns = choice.columns(sample);
        if columns.is_empty() {
            let topics = self.options.topics.join(",");
            return Err(Error::Failed(printable(&format!(
                "{} has no figures of {topics}: name something else, or see all with --json",
                self.target
            ))));
        }
        let size = terminal();
        self.count_line(|screen| screen.sample(sample, &columns, size))
    }

    /// Writes what is a line; true if it was the last one, or nobody reads any more.
    fn count_line(
        &mut self,
        write: impl FnOnce(&mut Screen<Stdout>) -> io::Result<()>,
    ) -> Result<bool, Error> {
        match write(&mut self.screen) {
            Ok(()) => {
                self.written += 1;
                Ok(self.options.count.is_some_and(|count| self.written >= count))
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(true),
            Err(error) => Err(Error::Failed(format!("standard output: {error}"))),
        }
    }
}

/// The size of the terminal that standard output is, if it is one.
fn terminal() -> Option<Size> {
    let out = io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok());
    size.flatten().map(|size| Size { rows: size.ws_row, columns: size.ws_col })
}

/// Says on standard error that an alert fires, or has resolved.
fn tell_alert(alert: &Value) {
    say(&alert_words(alert));
}

fn alert_words(alert: &Value) -> String {
    let word = |name: &str| alert[name].as_str().unwrap_or(format::NONE);
    let (value, threshold) = (&alert["value"], &alert["threshold"]);
    let number = |value: &Value| match value {
        Value::Number(number) => number.to_string(),
        _ => format::NONE.to_owned(),
    };
    let order = value.as_f64().partial_cmp(&threshold.as_f64());
    let sign = match order {
        Some(Ordering::Less) => "<",
        Some(Ordering::Equal) => "=",
        _ => ">",
    };
    format!(
        "alert {} {}: {} {} {sign} {}",
        word("rule"),
        word("state"),
        word("metric"),
        number(value),
        number(threshold)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_one_line_of_words() {
        let alert = |value: Value| {
            let metric = "cpu.usage";
            alert_words(&json!({"rule": "cpu", "state": "firing", "metric": metric, "value": value,
                "threshold": 90}))
        };
        assert_eq!(alert(json!(93.5)), "alert cpu firing: cpu.usage 93.5 > 90");
        assert_eq!(alert(json!(4)), "alert cpu firing: cpu.usage 4 < 90");
        assert_eq!(alert(json!(90)), "alert cpu firing: cpu.usage 90 = 90");
        assert_eq!(alert_words(&json!({"rule": 1})), "alert - -: - - = -");
    }
}
