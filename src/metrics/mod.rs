//! What is measured: the host's vital signs, their short history and the facts that do not change.
//!
//! Owns [`MetricsService`], which samples on each tick and answers reads between ticks from a cache
//! that lives for one interval. Promises: no clock of its own (every call takes the time), no
//! sockets, and on Linux no allocation in a steady tick. May import: nothing of `engine` or `app`.

pub mod aggregate;
pub mod alerts;
pub mod definition;
pub mod exposition;
pub mod facts;
pub mod history;
pub mod processes;
pub mod rates;
pub mod schema;
pub mod selected;
pub mod selection;
pub mod sliding;
pub mod snapshot;
pub mod source;
mod tally;

use std::fmt;
use std::time::Duration;

use exposition::{Exposition, own};
use facts::Facts;
use history::{History, HistoryOptions};
use snapshot::{Server, Snapshot};
use source::{Process, Source};

/// Samples one host.
pub struct MetricsService {
    source: Box<dyn Source + Send>,
    facts: Facts,
    interval: Duration,
    /// From one sample to the next while nobody watches; as watched when `None`.
    idle_interval: Option<Duration>,
    /// When the last base tick was that sampled; `None` before the first.
    ticked_at: Option<Duration>,
    /// The newest sample. Sources fill it in place, so that names are not allocated again.
    snapshot: Snapshot,
    /// When it was taken; `None` before the first.
    sampled_at: Option<Duration>,
    cache: CacheStatistics,
    history: History,
}

/// How often a read found a fresh sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Reads answered from the cache.
    pub hits: u64,
    /// Reads that had to sample.
    pub misses: u64,
}

impl MetricsService {
    /// The service for the host it runs on, sampled every `interval`.
    pub fn for_this_host(interval: Duration) -> MetricsService {
        MetricsService::with_source(source::for_this_host(), Facts::of_this_host(), interval)
    }

    /// A service over any source, for tests and embedding.
    pub fn with_source(
        source: Box<dyn Source + Send>,
        facts: Facts,
        interval: Duration,
    ) -> MetricsService {
        MetricsService {
            source,
            facts,
            interval,
            idle_interval: None,
            ticked_at: None,
            snapshot: Snapshot::default(),
            sampled_at: None,
            cache: CacheStatistics::default(),
            history: History::new(interval),
        }
    }

    /// Lets samples be `interval` apart while nobody watches.
    pub fn sample_when_idle(&mut self, interval: Option<Duration>) {
        self.idle_interval = interval;
    }

    /// Begins history anew as `options` have it, before the first tick; with a path it goes on from
    /// what the file holds.
    ///
    /// # Errors
    /// As [`History::open`] has them; then everything stays as it was.
    pub fn set_history(&mut self, options: &HistoryOptions) -> Result<(), history::Error> {
        self.history = History::open(options, self.interval)?;
        Ok(())
    }

    /// Writes what history holds and its file does not, for a clean stop.
    pub fn stop(&mut self) {
        self.history.flush();
    }

    /// One base tick: samples, whatever the age of the cache, has `own` fill in what the program
    /// measures of itself, and records history.
    pub fn tick(
        &mut self,
        now: Duration,
        wall_ms: u64,
        sequence: u64,
        own: impl FnOnce(&mut Server),
    ) {
        self.snapshot.sequence = sequence;
        self.ticked_at = Some(now);
        self.sample(now, wall_ms);
        own(&mut self.snapshot.server);
        self.history.record(&self.snapshot);
    }

    /// One base tick at which no sample is due: in history the newest one stands for it. Not after a
    /// sleep of the host, in which it has gone out of date.
    pub fn pass(&mut self, wall_ms: u64, sequence: u64) {
        let age_ms = wall_ms.abs_diff(self.snapshot.time_ms);
        let is_valid =
            self.idle_interval.is_some_and(|idle| u128::from(age_ms) <= idle.as_millis());
        if is_valid {
            self.history.record_at(&self.snapshot, wall_ms, sequence);
        }
    }

    /// Whether to sample at this base tick: each time, unless nobody watches and samples are then
    /// to be taken less often.
    pub fn is_due(&self, now: Duration, is_watched: bool) -> bool {
        let Some(idle_interval) = self.idle_interval.filter(|_| !is_watched) else { return true };
        // Half an interval early rather than late: ticks are not exact.
        let due = |at: Duration| now + self.interval / 2 >= at + idle_interval;
        self.ticked_at.is_none_or(due)
    }

    /// What this process itself takes.
    pub fn process(&mut self, now: Duration) -> Process {
        self.source.process(now)
    }

    /// The newest sample, at most one interval old: an older one is replaced first. That one keeps
    /// the sequence of the last tick and stays out of history, which has one row a tick.
    pub fn read(&mut self, now: Duration, wall_ms: u64) -> &Snapshot {
        let fresh = self.sampled_at.is_some_and(|at| now.saturating_sub(at) < self.interval);
        self.count_read(fresh);
        if !fresh {
            self.sample(now, wall_ms);
        }
        &self.snapshot
    }

    /// The newest sample, whatever its age; an empty one before the first tick.
    pub fn latest(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Adds what a Prometheus server is told: the host at this moment, `server`, which is what the
    /// program measures of itself, and its control group as of the newest sample.
    pub fn expose(
        &mut self,
        now: Duration,
        wall_ms: u64,
        server: &Server,
        out: &mut Exposition<'_>,
    ) {
        self.source.expose(now, wall_ms, out);
        own::expose(server, &self.snapshot.cgroup, out);
    }

    /// Counts a read that was answered from something kept elsewhere, or had to be made anew.
    pub fn count_read(&mut self, is_hit: bool) {
        match is_hit {
            true => self.cache.hits += 1,
            false => self.cache.misses += 1,
        }
    }

    /// How reads fared so far.
    pub fn cache(&self) -> CacheStatistics {
        self.cache
    }

    /// The figures of the last day.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What does not change while the host is up.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The base interval.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    fn sample(&mut self, now: Duration, wall_ms: u64) {
        self.source.read(now, &mut self.snapshot);
        self.snapshot.time_ms = wall_ms;
        self.sampled_at = Some(now);
    }
}

impl fmt::Debug for MetricsService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MetricsService")
            .field("interval", &self.interval)
            .field("sampled_at", &self.sampled_at)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Counts its reads in `load.one`.
    struct Counting(f64);

    impl Source for Counting {
        fn read(&mut self, _now: Duration, into: &mut Snapshot) {
            self.0 += 1.0;
            into.load.one = Some(self.0);
        }
    }

    fn counting() -> MetricsService {
        MetricsService::with_source(Box::new(Counting(0.0)), Facts::default(), SECOND)
    }

    #[test]
    fn a_read_within_the_interval_is_a_hit_and_one_at_its_end_a_miss() {
        let mut service = counting();
        service.tick(SECOND, 1000, 1, |_| {});
        assert_eq!(service.read(SECOND * 2 - Duration::from_nanos(1), 1999).load.one, Some(1.0));
        assert_eq!(service.latest().time_ms, 1000);
        assert_eq!(service.read(SECOND * 2, 2000).load.one, Some(2.0));
        assert_eq!(service.latest().time_ms, 2000);
        assert_eq!(service.cache(), CacheStatistics { hits: 1, misses: 1 });
    }

    #[test]
    fn a_refresh_keeps_the_sequence_and_leaves_history_alone() {
        let mut service = counting();
        service.tick(SECOND, 1000, 7, |_| {});
        service.read(SECOND * 5, 5000);
        assert_eq!(service.latest().sequence, 7);
        let recent = serde_json::to_value(service.history().recent("load.one").unwrap()).unwrap();
        assert_eq!(recent["values"], serde_json::json!([1]));
    }

    #[test]
    fn history_is_as_its_options_have_it_or_stays_as_it_was() {
        let mut service = counting();
        let limited = |series_max| HistoryOptions { series_max, ..HistoryOptions::default() };
        service.set_history(&limited(2)).unwrap();
        service.set_history(&limited(0)).unwrap_err();
        service.tick(SECOND, 1000, 1, |_| {});
        service.stop();
        assert_eq!(service.history().names().count(), 2);
    }

    #[test]
    fn a_read_before_the_first_tick_samples() {
        let mut service = counting();
        assert_eq!(service.latest().load.one, None);
        assert_eq!(service.read(Duration::ZERO, 5).load.one, Some(1.0));
        assert_eq!(service.cache(), CacheStatistics { hits: 0, misses: 1 });
    }

    #[test]
    fn a_tick_samples_even_when_the_cache_is_fresh() {
        let mut service = counting();
        service.tick(SECOND, 1000, 1, |_| {});
        service.tick(SECOND, 1000, 2, |_| {});
        assert_eq!(service.latest().load.one, Some(2.0));
    }

    #[test]
    fn this_host_has_plausible_figures_on_the_second_tick() {
        let mut service = MetricsService::for_this_host(SECOND);
        service.tick(SECOND, 1000, 1, |_| {});
        assert_eq!(service.latest().cpu.usage, None, "no rate on the first tick");
        // The processors have to spend time, and the source takes the clock's word for how long.
        let busy = (0..200_000_000u64).fold(0, |sum, step| std::hint::black_box(sum ^ step));
        std::hint::black_box(busy);
        service.tick(SECOND * 2, 2000, 2, |_| {});
        let snapshot = service.latest();
        assert!(snapshot.memory.total.unwrap() > 0.0);
        assert!((0.0..=100.0).contains(&snapshot.memory.usage.unwrap()));
        assert!((0.0..=100.0).contains(&snapshot.cpu.usage.unwrap()), "{:?}", snapshot.cpu);
        assert!(!snapshot.cpu.cores.is_empty());
        assert!(snapshot.system.uptime_s.unwrap() > 0.0);
        assert!(snapshot.system.processes.unwrap() >= 1.0);
        assert!(service.facts().memory_total.unwrap() > 0);
    }

    #[test]
    fn a_tick_is_due_each_time_unless_nobody_watches_and_less_will_do() {
        let mut service = counting();
        service.tick(SECOND, 1000, 1, |_| {});
        assert!(service.is_due(SECOND * 2, false), "at full rate unless told otherwise");
        service.sample_when_idle(Some(SECOND * 10));
        assert!(service.is_due(SECOND * 2, true), "somebody watches");
        let due: Vec<u32> = (2..40)
            .filter(|&second| {
                // A tick comes a little early or late.
                let now = SECOND * second + Duration::from_millis(u64::from(second % 3));
                let is_due = service.is_due(now, false);
                if is_due {
                    service.tick(now, 1000, 1, |_| {});
                }
                is_due
            })
            .collect();
        assert_eq!(due, [11, 21, 31]);
    }

    #[test]
    fn a_tick_that_was_not_to_be_sampled_keeps_the_figures_and_a_missed_one_is_a_gap() {
        let mut service = counting();
        service.sample_when_idle(Some(SECOND * 3));
        service.tick(SECOND, 1000, 1, |_| {});
        service.pass(2000, 2);
        service.pass(3000, 3);
        service.tick(SECOND * 4, 4000, 4, |_| {});
        // The tick with number 5 was missed.
        service.pass(6000, 6);
        // The host has slept for an hour.
        service.pass(3_607_000, 7);
        let recent = serde_json::to_value(service.history().recent("load.one").unwrap()).unwrap();
        assert_eq!(recent["values"], serde_json::json!([1, 1, 1, 2, null, 2]));
        let day = service.history().query("load.one", Some(0), None, None).unwrap();
        assert_eq!(day.points().count(), 5);
    }

    #[test]
    fn what_the_program_measures_of_itself_is_in_the_sample_and_in_history() {
        let mut service = counting();
        service.tick(SECOND, 1000, 1, |server| server.connections_active = Some(3.0));
        let path = "server.connections.active";
        assert_eq!(service.latest().value(path), Some(3.0));
        assert!(service.history().recent(path).is_some());
        assert!(service.history().recent("server.connections.opened").is_none(), "a mere count");
    }
}
