//! The test bed: two load balancers and a client, and a pair of agents on it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use lab::probe::Echo;
use lab::vipd::Programs;
use lab::{Agent, Host, Keepalived, Lab, Node, Sniffer, Vipd, until, wait};

/// Which agent is measured.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// vipd.
    Vipd(Programs),
    /// Debian's keepalived.
    Keepalived,
}

impl Kind {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Vipd(_) => "vipd",
            Self::Keepalived => "keepalived",
        }
    }

    /// Starts it.
    pub(crate) fn start(&self, host: &Host, node: &Node) -> Box<dyn Agent> {
        match self {
            Self::Vipd(programs) => Box::new(Vipd::start(host, programs, node)),
            Self::Keepalived => Box::new(Keepalived::start(host, node)),
        }
    }
}

/// Two load balancers and a client on one switch.
pub(crate) struct Bed {
    /// The one with the higher priority.
    pub(crate) lb1: Host,
    /// The other.
    pub(crate) lb2: Host,
    /// The client.
    pub(crate) client: Host,
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
        let sniffer = Sniffer::on(&client);
        let echoes = [Echo::on(&lb1), Echo::on(&lb2)];
        Self { lb1, lb2, client, sniffer, _echoes: echoes, _lab: lab }
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

/// Where and with what this was measured.
pub(crate) fn surroundings(kinds: &[Kind]) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let said = std::process::Command::new("keepalived").arg("--version").output();
    let said = said.map(|o| String::from_utf8_lossy(&o.stderr).into_owned()).unwrap_or_default();
    let keepalived = said.split_whitespace().nth(1).unwrap_or("?").to_owned();
    let ours = kinds.iter().find_map(|kind| match kind {
        Kind::Vipd(programs) => Some(lab::vipd::version(programs)),
        Kind::Keepalived => None,
    });
    format!(
        "Linux {}, {cores} cores, load {}; {}; keepalived {keepalived}.",
        read("/proc/sys/kernel/osrelease"),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
        ours.unwrap_or_else(|| "no vipd".to_owned()),
    )
}
