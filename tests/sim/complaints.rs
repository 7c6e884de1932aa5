//! The engine's lines of level warn and error, less those that a run calls for.
//!
//! Each thread keeps its own, because each runs its own seeds. With `SIM_LOG` set every line is
//! printed instead of being judged by its level alone.

use std::cell::RefCell;
use std::mem;
use std::sync::Once;

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Limits that are met, accepts that fail because the network says so, answers that the handler
/// keeps to itself, and tasks that were told to wind down and did not, or whose peer stayed mute.
const CALLED_FOR: [&str; 5] =
    ["limit=full ", "limit=address_full ", "limit=answer_timeout ", "accept failed ", "task="];

thread_local! {
    static COMPLAINTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Listener;

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = record.args().to_string();
        if log::max_level() > Level::Warn {
            println!("{} {line}", record.level());
        }
        let is_called_for = CALLED_FOR.iter().any(|start| line.starts_with(start));
        if record.level() <= Level::Warn && !is_called_for {
            COMPLAINTS.with_borrow_mut(|complaints| complaints.push(line));
        }
    }

    fn flush(&self) {}
}

/// Listens from now on.
pub fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        log::set_logger(&Listener).expect("no other logger is set");
        let is_asked = std::env::var_os("SIM_LOG").is_some();
        log::set_max_level(if is_asked { LevelFilter::Debug } else { LevelFilter::Warn });
    });
    take();
}

/// What this thread has heard.
pub fn take() -> Vec<String> {
    COMPLAINTS.with_borrow_mut(mem::take)
}
