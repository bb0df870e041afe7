//! Processor time and memory while nothing happens.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lab::usage::{Usage, of_tree};
use lab::{Node, Router, wait};

use crate::bed::{Bed, Kind};
use crate::table::{Table, Target};

/// The highest number of virtual routers measured on one interface.
const INSTANCES: u8 = 250;

/// `count` virtual routers with one address each, one second between adverts.
fn node(count: u8, priority: u8) -> Node {
    let routers =
        (1..=count).map(|n| Router::new(&format!("web{n}"), n, priority, &format!("{}/32", address(n))));
    Node { routers: routers.collect(), ..Node::default() }
}

fn address(n: u8) -> IpAddr {
    Ipv4Addr::new(198, 18, 0, n).into()
}

/// Measures both nodes of a pair for `stretch`, with many instances, and the memory with one.
pub(crate) fn measure(bed: &Bed, kinds: &[Kind], stretch: Duration, table: &mut Table) {
    for kind in kinds {
        let pair = bed.pair(kind, |priority| node(1, priority));
        bed.settle(&[address(1)]);
        wait::observe(Duration::from_secs(2));
        run(kind, pair, Duration::from_secs(1), |_, backup, _| {
            table.add("resident memory, 1 instance", "MiB", Target::Median(10.0), kind.name(), mib(backup));
        });
    }
    for kind in kinds {
        let addresses: Vec<IpAddr> = (1..=INSTANCES).map(address).collect();
        let pair = bed.pair(kind, |priority| node(INSTANCES, priority));
        bed.settle(&addresses);
        // Past the second round of announcements, which belongs to taking over.
        wait::observe(Duration::from_secs(7));
        run(kind, pair, stretch, |master, backup, share| {
            table.add(
                "resident memory, 250 instances",
                "MiB",
                Target::Median(12.0),
                kind.name(),
                mib(master),
            );
            table.add(
                "idle, 250 instances, 1 s adverts: processor time of the master",
                "% of a core",
                Target::Rival,
                kind.name(),
                share.0,
            );
            table.add(
                "idle, 250 instances, 1 s adverts: processor time of the backup",
                "% of a core",
                Target::Rival,
                kind.name(),
                share.1,
            );
            let _ = backup;
        });
    }
}

/// Lets the pair idle for `stretch` and reports the usage of master and backup, and their shares of a core in %.
fn run(
    kind: &Kind,
    mut pair: crate::bed::Pair,
    stretch: Duration,
    mut report: impl FnMut(Usage, Usage, (f64, f64)),
) {
    let pids = (pair.lb1.process().pid(), pair.lb2.process().pid());
    let before = (of_tree(pids.0), of_tree(pids.1));
    let from = lab::now();
    wait::observe(stretch);
    let after = (of_tree(pids.0), of_tree(pids.1));
    let took = Duration::from_nanos(lab::now() - from).as_secs_f64();
    let share =
        |before: Usage, after: Usage| (after.cpu.saturating_sub(before.cpu)).as_secs_f64() / took * 100.0;
    println!("  {}: {} processes on a node", kind.name(), after.0.processes);
    report(after.0, after.1, (share(before.0, after.0), share(before.1, after.1)));
    pair.stop();
}

#[expect(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^52")]
fn mib(usage: Usage) -> f64 {
    usage.resident_kib as f64 / 1024.0
}
