//! A graceful stop: what a client sees.

use std::net::IpAddr;
use std::time::Duration;

use lab::{Kind, Node, Probe, Router, wait};

use crate::bed::{Bed, SOON, phase};
use lab::table::{Table, Target};

fn node(priority: u8) -> Node {
    Router::new("web", 51, priority, "192.0.2.100/24").into()
}

/// Stops the master and starts it again, `rounds` times each.
pub(crate) fn measure(bed: &Bed, kinds: &[Kind], rounds: usize, table: &mut Table) {
    let address = IpAddr::from([192, 0, 2, 100]);
    for block in 0..rounds.div_ceil(2) {
        for kind in kinds {
            let mut pair = bed.pair(kind, node);
            for round in block * 2..rounds.min(block * 2 + 2) {
                bed.settle(&[address]);
                let probe = Probe::start(&bed.client, address);
                probe.wait_for(&bed.lb1, 0, SOON);
                phase(round, Duration::from_secs(1));
                let from = lab::now();
                pair.lb1.process().stop();
                probe.wait_for(&bed.lb2, from, SOON);
                wait::observe(Duration::from_millis(500));
                let outage = probe.longest_gap(from, lab::now()).length.as_secs_f64() * 1e3;
                table.add(
                    "graceful stop, 1 s adverts: client outage",
                    "ms",
                    Target::Median(10.0),
                    kind.name(),
                    outage,
                );
                pair.lb1 = kind.start(&bed.lb1, &node(150));
            }
            pair.stop();
        }
    }
}
