//! The engine under virtual time: nodes that run it as the agent does, on a lossy network, on fake kernels, through
//! crashes, cuts, stalls and reloads; and oracles that look at what comes of it.
//!
//! ```text
//! SIM_SEEDS=5000 cargo test --profile lab --test sim      more seeds
//! SIM_SEED=123 cargo test --test sim -- --nocapture       one seed, with everything that happened
//! ```
//!
//! | file | what lives there |
//! |---|---|
//! | `plan` `incidents` `topology` | what a seed means |
//! | `world` `faults` | virtual time, and what goes wrong in it |
//! | `node` `turn` | a machine, its agent, and the agent's five steps |
//! | `kernel` `workers` `network` | the fakes |
//! | `signatures` | clocks that are set, recordings sent again, and what is promised of signed adverts |
//! | `watch` `oracles` | what is promised, and what must be remembered to judge it |
//! | `scenarios` | named stories with figures |
//! | `patience` | a check whose word has to stand for a while |
//! | `planted` | bugs that the oracles must find |

mod faults;
mod gates;
mod incidents;
mod kernel;
mod network;
mod node;
mod oracles;
mod patience;
mod plan;
mod planted;
mod random;
mod scenarios;
mod signatures;
mod topology;
mod trace;
mod turn;
mod watch;
mod workers;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plan::Plan;
use trace::Trace;
use world::World;

/// What came of many seeds.
#[derive(Debug, Default)]
struct Outcome {
    failures: BTreeMap<u64, String>,
    counts: BTreeMap<&'static str, u64>,
}

#[test]
fn every_promise_is_kept_whatever_the_seed() {
    if let Some(seed) = number("SIM_SEED") {
        let world = World::new(Plan::of(seed), None, Trace::kept()).run();
        println!("{}", world.trace);
        assert_eq!(world.violation, None, "seed {seed}");
        return;
    }
    let first = number("SIM_FIRST").unwrap_or(1);
    let seeds = number("SIM_SEEDS").unwrap_or(if cfg!(debug_assertions) { 1000 } else { 5000 });
    let outcome = run(first..first + seeds);
    println!("{seeds} seeds: {:?}", outcome.counts);
    for (seed, what) in outcome.failures.iter().take(40) {
        println!("seed {seed}: {what}\n    SIM_SEED={seed} cargo test --test sim -- --nocapture");
    }
    assert!(outcome.failures.is_empty(), "{} of {seeds} seeds failed", outcome.failures.len());
    for what in [
        "takes",
        "hand-overs",
        "crashes",
        "freezes",
        "partitions",
        "refusals",
        "repairs",
        "reloads",
        "adoptions",
        "delayed verdicts",
        "clocks set",
        "replays",
    ] {
        let count = outcome.counts.get(what).copied().unwrap_or_default();
        assert!(count >= seeds / 25, "{count} {what} in {seeds} seeds prove nothing");
    }
}

/// Runs seeds on all processors.
fn run(seeds: std::ops::Range<u64>) -> Outcome {
    let next = AtomicU64::new(seeds.start);
    let outcome = Mutex::new(Outcome::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let world = || World::new(Plan::of(seed), None, Trace::default()).run();
            let ended = catch_unwind(AssertUnwindSafe(world));
            let mut outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match ended {
                Ok(world) => {
                    outcome.failures.extend(world.violation.map(|violation| (seed, violation.to_string())));
                    for (what, count) in world.watch.counts {
                        *outcome.counts.entry(what).or_default() += count;
                    }
                }
                Err(_) => drop(outcome.failures.insert(seed, "panics".to_owned())),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
