//! A reload that adds an address: whether an advert is late, and what a client of the old address sees.

use std::net::IpAddr;
use std::time::Duration;

use lab::{Kind, Node, Probe, Router, until, wait};

use crate::bed::{Bed, SOON, phase};
use lab::table::{Table, Target};

const INTERVAL: Duration = Duration::from_millis(100);

fn node(priority: u8) -> Node {
    Router::new("web", 51, priority, "192.0.2.100/24").every(100).into()
}

/// Adds an address on the master and takes it away again, `rounds` times each.
pub(crate) fn measure(bed: &Bed, kinds: &[Kind], rounds: usize, table: &mut Table) {
    let (old, new) = (IpAddr::from([192, 0, 2, 100]), IpAddr::from([192, 0, 2, 101]));
    let mut more = node(150);
    more.routers[0].addresses.push("192.0.2.101/24".to_owned());
    for block in 0..rounds.div_ceil(5) {
        for kind in kinds {
            let mut pair = bed.pair(kind, node);
            for round in block * 5..rounds.min(block * 5 + 5) {
                bed.settle(&[old]);
                let probe = Probe::start(&bed.client, old);
                probe.wait_for(&bed.lb1, 0, SOON);
                phase(round, INTERVAL);
                let from = lab::now();
                pair.lb1.reload(&more);
                // Looking for the address costs processor time, which belongs to the agent until it is done.
                wait::observe(5 * INTERVAL);
                until("the new address is there", SOON, || bed.lb1.holds(new).then_some(()));
                let outage = probe.longest_gap(from, lab::now()).length.as_secs_f64() * 1e3;
                table.add(
                    "reload that adds an address: client outage",
                    "ms",
                    Target::Median(5.0),
                    kind.name(),
                    outage,
                );
                table.add(
                    "reload that adds an address: longest time between adverts of 100 ms",
                    "ms",
                    Target::Median(102.0),
                    kind.name(),
                    longest_silence(bed, from),
                );
                pair.lb1.reload(&node(150));
                until("the new address is gone", SOON, || (!bed.lb1.holds(new)).then_some(()));
            }
            pair.stop();
        }
    }
}

/// The longest time between two adverts of lb1, from the last one before `from` on, in ms.
fn longest_silence(bed: &Bed, from: u64) -> f64 {
    let times: Vec<u64> = bed.sniffer.adverts(bed.lb1.ipv4().into()).iter().map(|(at, _)| *at).collect();
    let gaps = times.windows(2).filter(|pair| pair[1] >= from).map(|pair| pair[1] - pair[0]);
    Duration::from_nanos(gaps.max().unwrap_or(0)).as_secs_f64() * 1e3
}
