//! The test bed: two load balancers, a client and a stranger, and a pair of agents on it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use lab::probe::Echo;
use lab::{Agent, Host, Kind, Lab, Node, Sniffer, until, wait};

/// Two load balancers, a client and a stranger on one switch.
pub(crate) struct Bed {
    /// The one with the higher priority.
    pub(crate) lb1: Host,
    /// The other.
    pub(crate) lb2: Host,
    /// The client.
    pub(crate) client: Host,
    /// Somebody else.
    pub(crate) stranger: Host,
    /// What the client's interface hears.
    pub(crate) sniffer: Sniffer,
    _echoes: [Echo; 2],
    _lab: Lab,
}

/// How long anything may take that is not measured.
pub(crate) const SOON: Duration = Duration::from_secs(30);

impl Bed {
    /// Builds it.
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let stranger = lab.host("stranger");
        let sniffer = Sniffer::on(&client);
        let echoes = [Echo::on(&lb1), Echo::on(&lb2)];
        Self { lb1, lb2, client, stranger, sniffer, _echoes: echoes, _lab: lab }
    }

    /// Starts a pair: the first with priority 150, the second with 100.
    pub(crate) fn pair(&self, kind: &Kind, node: impl Fn(u8) -> Node) -> Pair {
        let lb1 = kind.start(&self.lb1, &node(150));
        let lb2 = kind.start(&self.lb2, &node(100));
        Pair { lb1, lb2 }
    }

    /// Waits until lb1 is the only master, has all of `addresses`, and has been heard three times in a row.
    pub(crate) fn settle(&self, addresses: &[IpAddr]) {
        let wanted: BTreeSet<IpAddr> = addresses.iter().copied().collect();
        let held = |host: &Host| -> usize {
            let nets = host.addresses("eth0");
            let bare = nets.iter().filter_map(|net| net.split('/').next()?.parse().ok());
            bare.filter(|address| wanted.contains(address)).count()
        };
        until("lb1 has the addresses, lb2 has none", SOON, || {
            (held(&self.lb1) == wanted.len() && held(&self.lb2) == 0).then_some(())
        });
        let since = lab::now();
        until("lb1 is the only master", SOON, || {
            let heard = self.sniffer.adverts(self.lb1.ipv4().into());
            let heard = heard.iter().rev().take_while(|(at, _)| *at > since).count();
            let other = self.sniffer.last_advert(self.lb2.ipv4().into());
            let quiet = other.is_none_or(|at| {
                self.sniffer
                    .adverts(self.lb1.ipv4().into())
                    .iter()
                    .rev()
                    .nth(2)
                    .is_some_and(|(third, _)| *third > at)
            });
            (heard >= 3 && quiet).then_some(())
        });
    }
}

/// A pair of agents.
pub(crate) struct Pair {
    /// On lb1.
    pub(crate) lb1: Box<dyn Agent>,
    /// On lb2.
    pub(crate) lb2: Box<dyn Agent>,
}

impl Pair {
    /// Stops both, so that the addresses are gone.
    pub(crate) fn stop(mut self) {
        self.lb2.process().stop();
        self.lb1.process().stop();
    }
}

/// A moment within `interval` that differs from round to round, so that no phase is preferred.
pub(crate) fn phase(round: usize, interval: Duration) {
    let golden = u32::try_from(round * 618 % 1000).expect("less than 1000");
    wait::observe(interval * golden / 1000);
}
