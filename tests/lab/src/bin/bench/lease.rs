//! What the lease costs: the processor time that it adds to a master, by switching it off and on in one that runs.
//!
//! The time is the agent's own with all its threads. Extending the lease is in it, for that happens in the context of
//! who sends the advert, and so are the looks at the table twice a second.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lab::usage::of_tree;
use lab::{Agent, Kind, Node, Router, until, wait};

use crate::bed::{Bed, SOON};
use lab::table::{Table, Target};

const FEW: u32 = 1;
const MANY: u32 = 500;

/// How long after a reload or a start nothing is measured: announcements belong to these.
const REST: Duration = Duration::from_secs(2);

/// Measures vipd with few and with many addresses, `rounds` times for `stretch` each, with the lease and without it.
pub(crate) fn measure(bed: &Bed, kinds: &[Kind], rounds: usize, stretch: Duration, table: &mut Table) {
    for kind in kinds.iter().filter(|kind| matches!(kind, Kind::Vipd(_))) {
        let few = added(bed, kind, FEW, rounds, stretch);
        let many = added(bed, kind, MANY, rounds, stretch);
        for (few, many) in few.into_iter().zip(many) {
            let mut add = |name, most, value| table.add(name, UNIT, Target::Median(most), kind.name(), value);
            add("lease, 100 ms adverts, 1 address: processor time that it adds", 1.0, few);
            add("lease, 100 ms adverts, 500 addresses: processor time that it adds", 1.0, many);
            add("lease, 500 addresses instead of 1: processor time that they add to it", 0.2, many - few);
        }
    }
}

const UNIT: &str = "% of a core";

/// The share of a core with the lease, less that without it, in %.
fn added(bed: &Bed, kind: &Kind, count: u32, rounds: usize, stretch: Duration) -> Vec<f64> {
    let addresses: Vec<IpAddr> = (1..=count).map(|n| Ipv4Addr::from_bits(0xc612_0000 + n).into()).collect();
    let node = |lease: bool| {
        let router = Router::new("web", 51, 150, &format!("{}/32", addresses[0])).every(100);
        let router =
            addresses[1..].iter().fold(router, |router, address| router.and(&format!("{address}/32")));
        Node::from(router.vipd(&format!("lease: {lease}")).vipd("announce: { again_after: 1s }"))
    };
    let mut agent = kind.start(&bed.lb1, &node(true));
    bed.settle(&addresses);
    let with_and_without = |_| {
        let [with, without] = [true, false].map(|lease| {
            agent.reload(&node(lease));
            until("the lease is as ordered", SOON, || (is_leased(bed) == lease).then_some(()));
            wait::observe(REST);
            share(agent.as_mut(), stretch)
        });
        println!("  {count} addresses: {with:.3} % with a lease, {without:.3} % without");
        with - without
    };
    let added = (0..rounds).map(with_and_without).collect();
    agent.process().stop();
    added
}

/// Whether there is something in the table that ends by itself.
fn is_leased(bed: &Bed) -> bool {
    let (there, table, _) = bed.lb1.try_run("nft", &["list", "table", "netdev", "vipd"]);
    there && table.contains("expires")
}

/// How much of a core an agent has for `stretch`, in %.
fn share(agent: &mut dyn Agent, stretch: Duration) -> f64 {
    let pid = agent.process().pid();
    let (from, before) = (lab::now(), of_tree(pid).cpu);
    wait::observe(stretch);
    let (to, after) = (lab::now(), of_tree(pid).cpu);
    after.saturating_sub(before).as_secs_f64() / Duration::from_nanos(to - from).as_secs_f64() * 100.0
}
