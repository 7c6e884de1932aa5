//! The simulation on many seeds: each draws its own limits, faults and clients.
//!
//! `SIM_SEEDS` is how many, 1000 if it is not set; `SIM_FIRST` the first of them. A failure names
//! its seed, and `SIM_SEED=n cargo test --test sim_replay` runs it again.

mod sim;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use sim::Summary;

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable);
    value.map_or(default, |value| value.parse().expect("the variable is a number"))
}

#[test]
fn every_seed_keeps_every_promise() {
    let (first, count) = (number("SIM_FIRST", 1), number("SIM_SEEDS", 1000));
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    let next = AtomicU64::new(first);
    let total = Mutex::new(Summary::default());
    let failed = Mutex::new(Vec::new());
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failed.lock().expect("no panic holds it").len() > 3
                    {
                        break;
                    }
                    match catch_unwind(|| sim::run(seed)) {
                        Ok(summary) => total.lock().expect("no panic holds it").add(&summary),
                        Err(_) => {
                            println!("SIM_SEED={seed} cargo test --test sim_replay");
                            failed.lock().expect("no panic holds it").push(seed);
                        }
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("no panic holds it");
    let seconds = began.elapsed().as_secs_f64();
    println!("{count} seeds, {:.0} cycles a second: {total:#?}", total.cycles as f64 / seconds);
    let failed = failed.into_inner().expect("no panic holds it");
    assert!(failed.is_empty(), "seeds that fail: {failed:?}");
    if count >= 1000 {
        assert!(total.cycles >= 100 * count, "{} connections are few", total.cycles);
    }
}
