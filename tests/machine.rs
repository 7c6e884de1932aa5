//! The connection machine: every phase with every event, against one table, and that table against
//! the docs. The engine audits its books after each turn of these tests.

#[path = "machine/event.rs"]
mod event;
#[path = "support/frames.rs"]
mod frames;
#[path = "machine/table.rs"]
mod table;
#[path = "support/wire.rs"]
mod wire;
#[path = "machine/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::panic::catch_unwind;

use event::{BAD, Event, GET, Sent};
use table::{CELLS, Cell, PHASES};
use vitald::engine::connection::{CloseReason, Phase};
use vitald::engine::limits::Limits;
use wire::{Wire, settle};
use world::{Probe, World};

/// Where the docs have the table.
const DOCS: &str = include_str!("../src/engine/connection/phase.rs");

fn cell(phase: Phase, event: Event) -> Cell {
    let mut cells = CELLS.iter().filter(|(of, at, _)| (*of, *at) == (phase, event));
    cells.next().unwrap_or_else(|| panic!("no line for {phase:?} and {event:?}")).2
}

/// What a connection in this phase counts as in the end, where that is decided.
fn decided(phase: Phase) -> Option<CloseReason> {
    match phase {
        Phase::Head | Phase::Reply | Phase::Open | Phase::Streaming => None,
        Phase::Closing => Some(CloseReason::Closed),
        Phase::Draining => Some(CloseReason::BadRequest),
        Phase::Lingering => Some(CloseReason::Finished),
        Phase::Dead => Some(CloseReason::Shutdown),
    }
}

/// What a peer is owed that a connection has been brought into this phase with, for this event.
fn owed(phase: Phase, event: Event) -> Sent {
    match (phase, event) {
        (Phase::Reply, event) if event.is_while_awaiting() => Sent::Nothing,
        (Phase::Reply, _) => Sent::Status(200),
        (Phase::Draining, _) => Sent::Status(400),
        (Phase::Open | Phase::Streaming, Event::AllSent) => Sent::Message,
        (Phase::Closing, Event::AllSent) => Sent::Close(1000),
        _ => Sent::Nothing,
    }
}

/// How often a connection ended as each reason.
fn ends(world: &World) -> Vec<(CloseReason, u64)> {
    let counts =
        CloseReason::ALL.iter().map(|&reason| (reason, world.engine.stats().closes(reason)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Makes `event` happen in `phase`, and compares what comes of it. Gives what differs, and the
/// world as it is in the end.
fn compare(phase: Phase, event: Event) -> (Vec<String>, Option<World>) {
    let (next, sent, reason) = match cell(phase, event) {
        Cell::Never(_) => return (Vec::new(), None),
        Cell::Goes(next, sent, reason) => (next, sent, reason),
        Cell::Stays => (phase, owed(phase, event), decided(phase)),
        Cell::As(other) => match cell(phase, other) {
            Cell::Goes(next, sent, reason) => (next, sent, reason),
            Cell::Stays => (phase, owed(phase, event), decided(phase)),
            like => panic!("{phase:?} and {event:?} cannot be like {like:?}"),
        },
    };
    let mut world = World::new(phase, event);
    let messages = world.engine.handler().messages;
    world.happen(phase, event);
    let seen = world.phase();
    let ended = ends(&world);
    let heard = world.engine.handler().messages - messages;
    let first = Sent::first(&world.take_new());
    world.finish();

    let mut wrong = Vec::new();
    let mut expect = |what: &str, seen: String, expected: String| {
        if seen != expected {
            wrong.push(format!("{phase:?} x {event:?}: {what} {seen}, not {expected}"));
        }
    };
    // Nothing being owed, all is sent at once.
    let next = match (next, sent) {
        (Phase::Draining, Sent::Nothing) => Phase::Lingering,
        _ => next,
    };
    expect("phase", format!("{seen:?}"), format!("{next:?}"));
    expect("sent", format!("{first:?}"), format!("{sent:?}"));
    let is_heard = matches!(
        (phase, event),
        (Phase::Open, Event::TextFrame) | (Phase::Head, Event::UpgradeAndMore)
    );
    expect("messages", heard.to_string(), usize::from(is_heard).to_string());
    expect("ended", (!ended.is_empty()).to_string(), (next == Phase::Dead).to_string());
    // What else Reply finds when it reads again decides how it ends.
    if (phase, next, reason) != (Phase::Reply, Phase::Reply, None) {
        let reason = reason.unwrap_or(CloseReason::PeerLeft);
        expect("ends", format!("{:?}", ends(&world)), format!("{:?}", [(reason, 1)]));
    }
    let handler = world.engine.handler();
    expect("told of ends", handler.ends.len().to_string(), handler.opened.to_string());
    expect("taken late", handler.taken_late.to_string(), "0".to_owned());
    (wrong, Some(world))
}

#[test]
fn every_pair_of_phase_and_event() {
    let mut wrong = Vec::new();
    for phase in PHASES {
        for &event in Event::ALL {
            // A panic, of the engine's own assertions maybe, is a difference like another.
            wrong.extend(match catch_unwind(|| compare(phase, event).0) {
                Ok(wrong) => wrong,
                Err(_) => vec![format!("{phase:?} x {event:?}: panics")],
            });
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_table_has_one_line_for_each_pair() {
    assert_eq!(CELLS.len(), PHASES.len() * Event::ALL.len());
    for phase in PHASES {
        for &event in Event::ALL {
            if let Cell::Never(why) = cell(phase, event) {
                assert!(
                    !why.is_empty(),
                    "{phase:?} and {event:?} cannot happen, and nobody says why"
                );
            }
        }
    }
}

#[test]
fn the_docs_have_the_rows_of_the_table_and_no_others() {
    let of_table: BTreeSet<String> = CELLS
        .iter()
        .filter_map(|&(phase, event, cell)| {
            let Cell::Goes(next, sent, reason) = cell else { return None };
            // Its last bytes, whatever they are.
            let sent = if phase == Phase::Draining { "the rest" } else { &sent.name() };
            let sent = if next == Phase::Dead { "nothing" } else { sent };
            // Those on the way out have their cause.
            let reason = reason.filter(|_| decided(phase).is_none());
            let reason = reason.map(|reason| format!("{reason:?}")).unwrap_or_default();
            Some(format!("{phase:?} | {} | {sent} | {next:?} | {reason}", event.name()))
        })
        .collect();
    let rows = DOCS.lines().filter_map(|line| line.strip_prefix("/// | ")?.strip_suffix('|'));
    let of_docs: Vec<String> = rows
        .map(|row| row.split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|columns| PHASES.iter().any(|phase| columns[0] == format!("{phase:?}")))
        .map(|columns| {
            // What is sent; what else is done is behind the semicolon.
            let sent = columns[2].split(';').next().unwrap_or_default();
            let columns = [columns[0], columns[1], sent, columns[3], columns[4]];
            columns.join(" | ")
        })
        .collect();
    let missing: Vec<_> = of_table.iter().filter(|row| !of_docs.contains(row)).collect();
    let surplus: Vec<_> = of_docs.iter().filter(|row| !of_table.contains(*row)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:#?}, surplus {surplus:#?}");
    assert_eq!(of_docs.len(), of_table.len(), "a row is there twice");
}

#[test]
fn every_reason_to_end_is_counted_somewhere() {
    let mut seen = BTreeSet::new();
    let mut note = |world: &World| seen.extend(ends(world).iter().map(|(reason, _)| reason.name()));
    for phase in PHASES {
        for &event in Event::ALL {
            if let (_, Some(world)) = compare(phase, event) {
                note(&world);
            }
        }
    }
    // The handler's own reason, of which the table has one.
    let mut world = World::new(Phase::Open, Event::HandlerCloses);
    world.ask_close(CloseReason::Policy);
    world.finish();
    note(&world);
    let all: BTreeSet<_> = CloseReason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(seen, all);
}

#[test]
fn what_was_noted_for_the_dead_does_not_reach_their_successor() {
    let limits = Limits { connections_max: 1, refusals_max: 0, ..Limits::default() };
    let (mut engine, wire) = Wire::engine(limits, Probe::default());
    let first = wire.connect(1 << 20);
    settle(&mut engine);
    let handle = engine.connections().next().expect("it is there").handle;
    // One batch: the end of one, more of it than a turn would need, and its successor.
    wire.fail(first, std::io::ErrorKind::ConnectionReset);
    wire.send(first, BAD);
    wire.end(first);
    let second = wire.connect(1 << 20);
    wire.send(first, GET);
    settle(&mut engine);
    let successor = engine.connections().next().expect("it is there");
    assert_eq!((handle.slot(), Phase::Head), (successor.handle.slot(), successor.phase));
    assert_ne!(handle, successor.handle);
    assert!(wire.is_closed(first) && !wire.is_closed(second));
    assert_eq!((wire.text(first), wire.text(second)), (String::new(), String::new()));
    wire.send(second, GET);
    settle(&mut engine);
    assert!(wire.text(second).starts_with("HTTP/1.1 200 "));
    assert_eq!(engine.stats().closes(CloseReason::Reset), 1);
}

#[test]
fn a_close_that_the_handler_asked_for_before_a_drain_is_the_one_that_is_carried_out() {
    let mut world = World::new(Phase::Open, Event::HandlerCloses);
    world.ask_close(CloseReason::Policy);
    world.engine.shutdown();
    assert_eq!(Sent::first(&world.take_new()), Sent::Close(1000));
    world.finish();
    assert_eq!(ends(&world), [(CloseReason::Policy, 1)]);
}
