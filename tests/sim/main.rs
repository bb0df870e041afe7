//! The engine under virtual time: nodes that run it as the agent does, on a lossy network, on fake kernels, through
//! crashes, cuts, stalls and reloads; and oracles that look at what comes of it.
#![expect(clippy::unreachable, reason = "constants that cannot be wrong")]

mod faults;
mod incidents;
mod kernel;
mod network;
mod node;
mod oracles;
mod plan;
mod planted;
mod random;
mod topology;
mod trace;
mod turn;
mod watch;
mod workers;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use plan::Plan;
use trace::Trace;
use world::World;

#[test]
fn every_promise_is_kept_whatever_the_seed() {
    if let Some(seed) = number("SIM_SEED") {
        let world = World::new(Plan::of(seed), None, Trace::kept()).run();
        println!("{}", world.trace.tail(usize::MAX));
        println!("{:#?}", world.watch.counts);
        assert_eq!(world.violation, None, "seed {seed}");
        return;
    }
    let first = number("SIM_FIRST").unwrap_or(1);
    let seeds = number("SIM_SEEDS").unwrap_or(2000);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<(u64, oracles::Violation)> = std::thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + seeds {
                    return failures;
                }
                let world = World::new(Plan::of(seed), None, Trace::default()).run();
                failures.extend(world.violation.map(|violation| (seed, violation)));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    for (seed, violation) in failures.iter().take(40) {
        println!("seed {seed}: {:?} {}: {}", violation.at, violation.promise, violation.what);
    }
    assert!(failures.is_empty(), "{} seeds failed", failures.len());
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
