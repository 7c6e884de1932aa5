//! The client's side: vitald on a wire, and what must hold at the end.

use std::time::Duration;

use vitald::app::App;
use vitald::app::access::Access;
use vitald::engine::Engine;
use vitald::engine::clock::Manual;
use vitald::engine::handler::Handler;
use vitald::engine::ledger::{RESOURCES, Resource};
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::{Disk, Network, Snapshot};
use vitald::metrics::source::Source;

pub use super::frames::{
    BINARY, CLOSE, Frame, PING, PONG, TEXT, UPGRADE, UPGRADE_DEFLATE, client_frame, inflated,
    take_frames, take_inflated_frames, take_switching,
};
pub use super::wire::{Wire, run_until, settle};

/// A receive buffer that takes whatever is sent in one go.
pub const WIDE: usize = 1 << 20;

/// A host that never changes, so that the same input gives the same output.
struct Still;

impl Source for Still {
    fn read(&mut self, _: Duration, into: &mut Snapshot) {
        into.cpu.usage = Some(12.5);
        into.cpu.cores = vec![Some(25.0), None];
        into.memory.usage = Some(40.0);
        into.disks =
            vec![Disk { name: "vda".to_owned(), utilisation: Some(1.0), ..Disk::default() }];
        into.networks = vec![Network { name: "eth0.100".to_owned(), ..Network::default() }];
    }
}

/// vitald, with few slots, on a wire.
pub fn vitald(interval: Duration) -> (Engine<App, Wire, Manual>, Wire) {
    let limits = Limits { connections_max: 2, refusals_max: 1, inputs_max: 2, ..Limits::default() };
    let metrics = MetricsService::with_source(Box::new(Still), Facts::default(), interval);
    let app = App::new(metrics, Access::new(&[], &[], Some("machine")), limits.slots());
    Wire::engine(limits, app)
}

/// Takes all that `client` is sent at this instant.
pub fn take_all<H: Handler>(
    engine: &mut Engine<H, Wire, Manual>,
    wire: &Wire,
    client: usize,
    into: &mut Vec<u8>,
) {
    loop {
        settle(engine);
        let taken = wire.take(client, usize::MAX);
        if taken.is_empty() {
            return;
        }
        into.extend(taken);
    }
}

/// Checks that nothing is left of any connection.
pub fn check_books<H: Handler>(engine: &Engine<H, Wire, Manual>) {
    engine.audit();
    for resource in RESOURCES {
        let expected = match resource {
            Resource::Timer => engine.task_counts().running,
            _ => 0,
        };
        assert_eq!(engine.ledger().row(resource).live(), expected, "{resource:?} at the end");
    }
}
