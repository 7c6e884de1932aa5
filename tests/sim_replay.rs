//! Single seeds of the simulation: those that have failed once, and one that is asked for.
//!
//! `SIM_SEED=n cargo test --test sim_replay` runs seed `n`; with `SIM_LOG` set it prints what the
//! engine logs. A seed that has found a fault goes into `tests/sim_seeds.txt` when the fault is
//! mended.

mod sim;

#[test]
fn seeds_that_have_failed_once_hold() {
    let kept = include_str!("sim_seeds.txt").lines().filter(|line| !line.starts_with('#'));
    for line in kept {
        let seed = line.split_whitespace().next().and_then(|seed| seed.parse().ok());
        sim::run(seed.unwrap_or_else(|| panic!("not a seed: {line}")));
    }
}

#[test]
fn the_seed_that_is_asked_for_holds() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        println!("{:#?}", sim::run(seed.parse().expect("SIM_SEED is a number")));
    }
}

#[test]
fn a_network_that_loses_events_does_not_go_unnoticed() {
    let is_noticed = |seed| std::panic::catch_unwind(|| sim::run_losing(seed, 50)).is_err();
    assert!((1..=10).any(is_noticed));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..=3 {
        assert_eq!(sim::run(seed), sim::run(seed));
    }
    assert_ne!(sim::run(1).fingerprint, sim::run(2).fingerprint);
}
