//! A master that is cut off, with one address and with a thousand, and the partition that heals.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lab::{Kind, Node, Probe, Router, until, wait};

use crate::bed::{Bed, SOON, phase};
use lab::table::{Table, Target};

/// The time between adverts.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// Rounds with one pair before the other agent has its turn.
pub(crate) const BLOCK: usize = 5;
/// How long clients are watched after healing, when lb1 does not have them back before.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long they are watched from then on.
const WATCHED: Duration = Duration::from_millis(1500);

fn node(priority: u8) -> Node {
    Router::new("web", 51, priority, "192.0.2.100/24").every(100).into()
}

/// One address: last advert to first announcement, and what a client sees when the partition heals.
pub(crate) fn single(bed: &Bed, kinds: &[Kind], rounds: usize, table: &mut Table) {
    let address = IpAddr::from([192, 0, 2, 100]);
    for block in 0..rounds.div_ceil(BLOCK) {
        for kind in kinds {
            let pair = bed.pair(kind, node);
            for round in block * BLOCK..rounds.min((block + 1) * BLOCK) {
                bed.settle(&[address]);
                let probe = Probe::start(&bed.client, address);
                probe.wait_for(&bed.lb1, 0, SOON);
                phase(round, INTERVAL);
                let takeover = cut(bed, &[address], node(100).routers[0].master_down());
                table.add(
                    "master cut off, 100 ms adverts: first gratuitous ARP over the protocol's limit",
                    "ms",
                    Target::MedianAndRival(0.5),
                    kind.name(),
                    takeover.over(takeover.first),
                );
                probe.wait_for(&bed.lb2, lab::now(), SOON);
                phase(round, INTERVAL);
                let healed = lab::now();
                bed.lb1.heal();
                wait::within(PATIENCE, || probe.latest().filter(|answer| answer.host == bed.lb1.number()));
                wait::observe(WATCHED);
                let outage = probe.longest_gap(healed, lab::now()).length.as_secs_f64() * 1e3;
                table.add(
                    "partition that heals: client outage",
                    "ms",
                    Target::Every(100.0),
                    kind.name(),
                    outage,
                );
            }
            pair.stop();
        }
    }
}

/// A thousand addresses: first and last announcement.
pub(crate) fn thousand(bed: &Bed, kinds: &[Kind], rounds: usize, table: &mut Table) {
    let addresses = thousand_addresses();
    let node = |priority| {
        let router = Router::new("web", 51, priority, &format!("{}/32", addresses[0])).every(100);
        Node::from(addresses[1..].iter().fold(router, |router, address| router.and(&format!("{address}/32"))))
    };
    for block in 0..rounds.div_ceil(BLOCK) {
        for kind in kinds {
            let pair = bed.pair(kind, node);
            for round in block * BLOCK..rounds.min((block + 1) * BLOCK) {
                bed.settle(&addresses);
                bed.sniffer.clear();
                bed.settle(&addresses);
                phase(round, INTERVAL);
                let takeover = cut(bed, &addresses, node(100).routers[0].master_down());
                table.add(
                    "1,000 addresses: first gratuitous ARP over the limit",
                    "ms",
                    Target::Median(2.0),
                    kind.name(),
                    takeover.over(takeover.first),
                );
                table.add(
                    "1,000 addresses: last gratuitous ARP over the limit",
                    "ms",
                    Target::MedianAsRival(15.0, 18.0),
                    kind.name(),
                    takeover.over(takeover.last),
                );
                bed.lb1.heal();
            }
            bed.settle(&addresses);
            pair.stop();
        }
    }
}

/// 198.18.0.1 and those after it.
pub(crate) fn thousand_addresses() -> Vec<IpAddr> {
    (0..1000_u32).map(|n| Ipv4Addr::from_bits(0xc612_0001 + n).into()).collect()
}

/// A backup that took over.
pub(crate) struct Takeover {
    /// When it was to take over, at the earliest.
    due: u64,
    /// When it announced the first address.
    pub(crate) first: u64,
    /// And when the last.
    pub(crate) last: u64,
}

impl Takeover {
    /// How long after the protocol's limit a moment is, in ms.
    pub(crate) fn over(&self, at: u64) -> f64 {
        let [at, due] = [at, self.due].map(|nanos| Duration::from_nanos(nanos).as_secs_f64());
        (at - due) * 1e3
    }
}

/// Cuts lb1 off and waits until lb2 has announced everything, where the protocol wants `limit` of silence.
pub(crate) fn cut(bed: &Bed, addresses: &[IpAddr], limit: Duration) -> Takeover {
    // Before: on a busy machine this program may go on only when lb2 has announced everything.
    let cut = lab::now();
    bed.lb1.cut();
    // Looking for the answer costs processor time, which belongs to the agents until they are done.
    wait::observe(limit + Duration::from_millis(200));
    let announced = until("lb2 has announced all addresses", SOON, || {
        let announced = bed.sniffer.announcements(bed.lb2.mac(), cut);
        (announced.iter().filter(|(_, address)| addresses.contains(address)).count() == addresses.len())
            .then_some(announced)
    });
    let last = bed.sniffer.last_advert(bed.lb1.ipv4().into()).expect("lb1 was heard");
    let due = last + u64::try_from(limit.as_nanos()).expect("it is short");
    Takeover { due, first: announced[0].0, last: announced[announced.len() - 1].0 }
}
