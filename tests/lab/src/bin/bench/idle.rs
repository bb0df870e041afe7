//! Processor time and memory while nothing happens.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lab::usage::{Usage, of_tree};
use lab::{Kind, Node, Router, wait};

use crate::bed::{Bed, Pair};
use lab::table::{Table, Target};

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
        let (used, _) = run(kind, pair, Duration::from_secs(1));
        table.add("resident memory, 1 instance", "MiB", Target::Median(10.0), kind.name(), mib(used));
    }
    for kind in kinds {
        let addresses: Vec<IpAddr> = (1..=INSTANCES).map(address).collect();
        let pair = bed.pair(kind, |priority| node(INSTANCES, priority));
        bed.settle(&addresses);
        // Past the second round of announcements, which belongs to taking over.
        wait::observe(Duration::from_secs(7));
        let (used, share) = run(kind, pair, stretch);
        table.add("resident memory, 250 instances", "MiB", Target::Median(12.0), kind.name(), mib(used));
        table.add(MASTER, "% of a core", Target::Rival, kind.name(), share.0);
        table.add(BACKUP, "% of a core", Target::Rival, kind.name(), share.1);
    }
}

const MASTER: &str = "idle, 250 instances, 1 s adverts: processor time of the master";
const BACKUP: &str = "idle, 250 instances, 1 s adverts: processor time of the backup";

/// Lets the pair idle for `stretch`: what the master uses in the end, and the shares of a core that master and
/// backup had, in %.
fn run(kind: &Kind, mut pair: Pair, stretch: Duration) -> (Usage, (f64, f64)) {
    let pids = [pair.lb1.process().pid(), pair.lb2.process().pid()];
    let before = pids.map(of_tree);
    let from = lab::now();
    wait::observe(stretch);
    let after = pids.map(of_tree);
    let took = Duration::from_nanos(lab::now() - from).as_secs_f64();
    let share = |node: usize| after[node].cpu.saturating_sub(before[node].cpu).as_secs_f64() / took * 100.0;
    println!("  {}: {} processes on a node", kind.name(), after[0].processes);
    pair.stop();
    (after[0], (share(0), share(1)))
}

#[expect(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^52")]
fn mib(usage: Usage) -> f64 {
    usage.resident_kib as f64 / 1024.0
}
