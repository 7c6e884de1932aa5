//! How often the host is sampled while nobody watches, on a clock of the test's own.

#[path = "support/frames.rs"]
mod frames;
#[path = "support/wire.rs"]
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use frames::UPGRADE_WITHOUT_HISTORY;
use vitald::app::App;
use vitald::app::access::Access;
use vitald::engine::limits::Limits;
use vitald::metrics::MetricsService;
use vitald::metrics::facts::Facts;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use wire::{Wire, run_until, settle};

const WIDE: usize = 1 << 20;

/// Counts its readings.
struct Counting(Arc<AtomicU32>);

impl Source for Counting {
    fn read(&mut self, _: Duration, into: &mut Snapshot) {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        into.load.one = Some(f64::from(count));
    }
}

/// Readings in a minute without a viewer, then in a minute with one, then in one without again.
fn readings(idle_interval: Option<Duration>) -> [u32; 3] {
    let count = Arc::new(AtomicU32::new(0));
    let source = Box::new(Counting(Arc::clone(&count)));
    let mut metrics = MetricsService::with_source(source, Facts::default(), Duration::from_secs(1));
    metrics.sample_when_idle(idle_interval);
    let limits = Limits::default();
    let app = App::new(metrics, Access::new(&[], &[], None), limits.slots());
    let (mut server, wire) = Wire::engine(limits, app);
    settle(&mut server);
    let mut viewer = None;
    [1, 2, 3].map(|minute| {
        match minute {
            2 => {
                let client = wire.connect(WIDE);
                wire.send(client, UPGRADE_WITHOUT_HISTORY);
                viewer = Some(client);
            }
            3 => wire.end(viewer.expect("there is one")),
            _ => {}
        }
        settle(&mut server);
        let before = count.load(Ordering::Relaxed);
        // A viewer has to answer pings; half a minute of silence is not asked after yet.
        let until_ms = if minute == 2 { 60_000 + 25_500 } else { minute * 60_000 + 500 };
        run_until(&mut server, &wire, until_ms);
        count.load(Ordering::Relaxed) - before
    })
}

#[test]
fn sampling_goes_on_at_full_rate_when_nobody_watches() {
    assert_eq!(readings(None), [60, 25, 95]);
}

#[test]
fn it_is_slower_then_if_so_configured_and_at_full_rate_for_a_viewer() {
    let [idle, watched, idle_again] = readings(Some(Duration::from_secs(10)));
    assert_eq!((idle, watched), (6, 25));
    assert!((9..=10).contains(&idle_again), "95 s, one each ten: {idle_again}");
}
