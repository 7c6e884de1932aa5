//! What the server holds at this moment, as lines of the log, for an operator who asks by a signal.
//!
//! Owns how it is written: a line for each resource of the ledger, and one each for connections by
//! state, tasks, pools and subscriptions, at the level `info`; where the ledger and what is really
//! held disagree, that is a warning. Looking changes nothing, and nothing is kept for it.

use super::App;
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::connection::State;
use crate::engine::ledger::RESOURCES;
use crate::engine::net::Net;

/// Writes the lines. Walks every connection.
pub(super) fn write<N: Net, C: Clock>(engine: &Engine<App, N, C>) {
    for resource in RESOURCES {
        let row = engine.ledger().row(resource);
        let (name, live) = (resource.name(), row.live());
        let (opened, closed, high) = (row.opened, row.closed, row.high);
        log::info!(
            "ledger resource={name} live={live} opened={opened} closed={closed} high={high}"
        );
    }
    match engine.check() {
        Ok(()) => log::info!("ledger audit=agrees"),
        Err(disagreement) => log::warn!("ledger audit=disagrees: {disagreement}"),
    }
    write_connections(engine);
    let tasks = engine.task_counts();
    log::info!(
        "tasks running={} cancelling={} cancelled={} completed={} forced={}",
        tasks.running,
        tasks.cancelling,
        tasks.cancelled,
        tasks.completed,
        tasks.forced,
    );
    let pools = engine.pools();
    let named = [("frames", pools.frames), ("inputs", pools.inputs), ("slots", pools.slots)];
    for (name, pool) in named {
        let (live, high, reused) = (pool.live, pool.high, pool.reused);
        log::info!("pool name={name} live={live} high={high} reused={reused}");
    }
    let (live, classes) = (engine.handler().subscriptions(), engine.handler().classes());
    log::info!("subscriptions live={live} classes={classes}");
}

fn write_connections<N: Net, C: Clock>(engine: &Engine<App, N, C>) {
    let mut by_state = [0_usize; State::ALL.len()];
    let mut queued_bytes = 0;
    for connection in engine.connections() {
        by_state[connection.phase.state() as usize] += 1;
        queued_bytes += connection.bytes_queued;
    }
    let [connecting, connected, disconnecting, disconnected] = by_state;
    log::info!(
        "connections live={} connecting={connecting} connected={connected} \
         disconnecting={disconnecting} disconnected={disconnected} queued_bytes={queued_bytes}",
        by_state.iter().sum::<usize>(),
    );
}
