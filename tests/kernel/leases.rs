//! Leases: how long what is lit stays so when adverts cease, and that nothing brings back what is over.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vipd::engine::action::{Endpoint, Lease, Passage, Place};
use vipd::net::{Family, Priority, Vrid};
use vipd::sys::clock;
use vipd::sys::vrrp_socket::VrrpSocket;
use vipd::time::Instant;
use vipd::wire::vrrp::{Advert, Authentication, ChecksumForm, Version};

use crate::cable::{index, run, until, wait_for};
use crate::peer::{Addresses, IPV4, IPV6, Orders, Peer, lease, source, vip};
use crate::{CHOSEN, Test};

pub(crate) const TESTS: &[Test] = &[
    ("a_frozen_agents_ipv4_address_is_dark_within_its_lease_and_stays_so", || frozen(&IPV4)),
    ("a_frozen_agents_ipv6_address_is_dark_within_its_lease_and_stays_so", || frozen(&IPV6)),
    ("a_killed_agents_ipv4_address_is_dark_within_its_lease", || killed(&IPV4)),
    ("a_killed_agents_ipv6_address_is_dark_within_its_lease", || killed(&IPV6)),
    ("a_late_advert_revives_nothing", a_late_advert_revives_nothing),
    ("a_late_order_revives_nothing", a_late_order_revives_nothing),
    ("only_the_routers_own_adverts_with_a_priority_keep_its_lease", only_its_own_adverts),
    ("what_is_closed_stays_closed_while_adverts_leave", what_is_closed_stays_closed),
    ("an_order_may_cut_a_lease_and_never_lengthens_it", an_order_may_cut_a_lease),
    ("a_lease_that_ended_before_it_began_does_not_begin", a_lease_that_ended_before_it_began),
    ("without_a_lease_what_is_open_stays_open", without_a_lease),
    ("a_table_made_again_keeps_only_leases_that_are_vouched_for", a_table_made_again),
];

/// The name under which this program sends adverts instead of testing.
pub(crate) const SENDER: &str = "sender of adverts";

const EXTENSION: Duration = Duration::from_millis(300);

/// Kernels count in ticks, and this machine may be busy between two looks.
const GRAIN: Duration = Duration::from_millis(5);

/// Sends an advert in each family every 50 ms, until somebody ends it, and says so after the first.
pub(crate) fn send_for_ever() {
    let senders = [sender(Family::Ipv4), sender(Family::Ipv6)];
    let mut began = false;
    loop {
        for sender in &senders {
            sender.send(51, 100);
        }
        if !std::mem::replace(&mut began, true) {
            println!("sending");
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

struct Sender {
    socket: VrrpSocket,
    source: std::net::IpAddr,
    family: Family,
}

fn sender(family: Family) -> Sender {
    let socket = VrrpSocket::open(Endpoint { link: index("va"), family }, &[]).unwrap();
    Sender { socket, source: source(family), family }
}

impl Sender {
    fn send(&self, vrid: u8, priority: u8) {
        let vip = if self.family == Family::Ipv4 { IPV4.vip } else { IPV6.vip };
        let advert = Advert {
            version: Version::V3,
            vrid: Vrid::new(vrid).unwrap(),
            priority: Priority::new(priority),
            interval: Duration::from_millis(100),
            authentication: Authentication::None,
            addresses: vec![vip.parse().unwrap()],
            checksum: ChecksumForm::PseudoHeader,
        };
        let group = self.family.group();
        self.socket.send(self.source, group, &advert.encode(self.source, group)).unwrap();
    }
}

/// A process that sends adverts, as an agent does.
struct Agent(Child);

impl Agent {
    /// Starts one, and waits until it sends: that may take longer than a lease.
    fn start() -> Self {
        let program = std::env::current_exe().unwrap();
        let mut agent =
            Self(Command::new(program).env(CHOSEN, SENDER).stdout(Stdio::piped()).spawn().unwrap());
        let mut said = [0; 8];
        agent.0.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        agent
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    /// Waits until the process has been stopped, as the kernel tells.
    fn wait_stopped(&self) {
        let stat = format!("/proc/{}/stat", self.0.id());
        until("it is stopped", || {
            let stat = std::fs::read_to_string(&stat).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
        });
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A master with a peer that asks it.
fn lit(addresses: &'static Addresses) -> (Peer, Orders) {
    let (peer, mut table) = (Peer::new(addresses), Orders::new());
    assert!(table.order(Passage::Open, Some(lease()), &[vip(addresses)]));
    (peer, table)
}

/// Lit, and an agent whose adverts have been seen to keep it so.
fn kept(addresses: &'static Addresses) -> (Peer, Orders, Agent) {
    let agent = Agent::start();
    let (peer, table) = lit(addresses);
    let since = clock::now();
    until("three leases have passed", || clock::now().since(since) > EXTENSION * 3);
    assert_eq!(peer.all(addresses.vip), [true; 3], "adverts keep it lit");
    (peer, table, agent)
}

/// Asks until the address is not found any more, and returns when that was asked which was answered last: the answer may
/// be read much later. Whatever answers after that is a mistake.
fn last_found(peer: &Peer, addresses: &Addresses) -> Instant {
    let mut last = clock::now();
    loop {
        let asked = clock::now();
        if !peer.finds(addresses.vip) {
            return last;
        }
        last = asked;
    }
}

fn stays_dark(peer: &Peer, addresses: &Addresses) {
    let since = clock::now();
    while clock::now().since(since) < EXTENSION * 2 {
        assert_eq!(peer.all(addresses.vip), [false; 3]);
    }
    assert_eq!(peer.all(addresses.other), [true; 3], "other addresses are nobody's business");
}

fn frozen(addresses: &'static Addresses) {
    let (peer, mut table, agent) = kept(addresses);
    for term in 2..7 {
        agent.signal(Signal::SIGSTOP);
        agent.wait_stopped();
        let stopped = clock::now();
        let dark = last_found(&peer, addresses).since(stopped);
        println!("  dark {dark:?} after it was frozen");
        assert!(dark <= EXTENSION + GRAIN, "{dark:?}");
        stays_dark(&peer, addresses);
        assert_eq!(table.table.expired().unwrap().len(), 1);
        agent.signal(Signal::SIGCONT);
        stays_dark(&peer, addresses);
        // Only a new term is lit again.
        assert!(!table.order(Passage::Open, Some(lease()), &[vip(addresses)]) || term > 2);
        assert!(table.order(Passage::Open, Some(Lease { term, ..lease() }), &[vip(addresses)]));
        assert_eq!(peer.all(addresses.vip), [true; 3]);
    }
}

fn killed(addresses: &'static Addresses) {
    let (peer, _table, mut agent) = kept(addresses);
    agent.signal(Signal::SIGKILL);
    agent.0.wait().unwrap();
    let killed = clock::now();
    let dark = last_found(&peer, addresses).since(killed);
    assert!(dark <= EXTENSION + GRAIN, "{dark:?}");
    stays_dark(&peer, addresses);
}

fn a_late_advert_revives_nothing() {
    let (peer, _table) = lit(&IPV4);
    let sender = sender(Family::Ipv4);
    last_found(&peer, &IPV4);
    for _ in 0..10 {
        sender.send(51, 100);
    }
    stays_dark(&peer, &IPV4);
}

fn a_late_order_revives_nothing() {
    let (peer, mut table) = lit(&IPV6);
    last_found(&peer, &IPV6);
    assert!(!table.order(Passage::Open, Some(lease()), &[vip(&IPV6)]));
    assert!(!table.order(Passage::FramesOnly, Some(lease()), &[vip(&IPV6)]));
    assert!(!table.order(Passage::Open, Some(lease()), &[vip(&IPV6)]));
    stays_dark(&peer, &IPV6);
}

fn only_its_own_adverts() {
    let peer = Peer::new(&IPV4);
    run("ip addr add 192.0.2.77/24 dev va");
    let (own, others) = (IPV4.own.parse().unwrap(), "192.0.2.77".parse().unwrap());
    for (vrid, priority, source) in
        [(51, 0, own), (52, 100, own), (51, 100, source(Family::Ipv6)), (51, 100, others)]
    {
        let mut table = Orders::new();
        assert!(table.order(Passage::Open, Some(lease()), &[vip(&IPV4), vip(&IPV6)]));
        let sender = Sender { source, ..sender(Family::of(source)) };
        let since = clock::now();
        while peer.finds(IPV4.vip) {
            sender.send(vrid, priority);
            assert!(clock::now().since(since) <= EXTENSION + GRAIN, "{vrid} {priority} {source}");
        }
        table.table.delete().unwrap();
    }
}

fn what_is_closed_stays_closed() {
    let (peer, mut table, _agent) = kept(&IPV4);
    table.order(Passage::Shut, Some(lease()), &[vip(&IPV4)]);
    assert_eq!(peer.all(IPV4.vip), [false; 3], "at once");
    stays_dark(&peer, &IPV4);
}

fn expires(set: &str) -> Option<Duration> {
    let shown = run(&format!("nft list set netdev vipd {set}"));
    let text = shown.split("expires ").nth(1)?.split(['\n', ' ', ',']).next()?.to_owned();
    let (seconds, millis) = text.split_once('s').filter(|(s, _)| !s.ends_with('m')).unwrap_or(("0", &text));
    let millis = millis.trim_end_matches("ms");
    let millis = if millis.is_empty() { 0 } else { millis.parse().unwrap() };
    Some(Duration::from_millis(seconds.parse::<u64>().unwrap() * 1000 + millis))
}

fn an_order_may_cut_a_lease() {
    let mut table = Orders::new();
    let long = |from: Instant, seconds, cut| {
        let extension = Duration::from_secs(30);
        Some(Lease { until: from + Duration::from_secs(seconds), cut, extension, ..lease() })
    };
    let now = clock::now();
    let left = |seconds| {
        let expires = expires("lease4_1").unwrap();
        let wanted = Duration::from_secs(seconds);
        expires <= wanted && expires + Duration::from_secs(5) > wanted
    };
    table.order(Passage::Open, long(now, 30, false), &[vip(&IPV4)]);
    assert!(left(30), "{:?}", expires("lease4_1"));
    // An advert may have left since this was ordered.
    table.order(Passage::Open, long(now, 10, false), &[vip(&IPV4)]);
    assert!(left(30), "{:?}", expires("lease4_1"));
    table.order(Passage::Open, long(now, 20, true), &[vip(&IPV4)]);
    assert!(left(20), "{:?}", expires("lease4_1"));
    table.order(Passage::FramesOnly, long(now, 40, true), &[vip(&IPV4)]);
    assert!(left(20), "{:?}", expires("lease4_1"));
}

fn a_lease_that_ended_before_it_began() {
    let mut table = Orders::new();
    let over = Lease { until: clock::now(), ..lease() };
    assert!(!table.order(Passage::Open, Some(over), &[vip(&IPV4)]));
    assert_eq!(expires("lease4_1"), None);
    assert!(!table.order(Passage::Open, Some(lease()), &[vip(&IPV4)]), "the term is over");
    assert!(table.order(Passage::Open, Some(Lease { term: 2, ..lease() }), &[vip(&IPV4)]));
}

fn without_a_lease() {
    let (peer, mut table) = (Peer::new(&IPV4), Orders::new());
    assert!(table.order(Passage::Open, None, &[vip(&IPV4)]));
    let since = clock::now();
    until("two leases have passed", || clock::now().since(since) > EXTENSION * 2);
    assert_eq!(peer.all(IPV4.vip), [true; 3]);
    assert_eq!(table.table.expired().unwrap(), []);
    // And back: a lease that is wanted after all begins with the order.
    assert!(table.order(Passage::Open, Some(lease()), &[vip(&IPV4)]));
    wait_for("it is dark", || (!peer.finds(IPV4.vip)).then_some(()));
}

fn a_table_made_again() {
    let vips: &[Place] = &[vip(&IPV4)];
    let (peer, mut table) = lit(&IPV4);
    table.table.forget();
    assert!(table.order(Passage::Open, Some(lease()), vips), "a new order vouches for it");
    assert_eq!(peer.all(IPV4.vip), [true; 3]);
    table.table.forget();
    table.settle().unwrap();
    assert_eq!(peer.all(IPV4.vip), [false; 3], "an old one does not");
}
