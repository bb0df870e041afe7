//! One host: the engine, a clock that is moved by hand, and a kernel that does what it is asked unless told not to.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::engine::Engine;
use crate::engine::action::{
    Action, Announcement, Datagram, Gate, Hold, KernelWork, Lease, Listen, Passage, Place, VirtualLink,
    VirtualLinkId, VirtualLinkState,
};
use crate::engine::event::{
    Change, Claim, Event, Gated, Gating, Held, Link, LinkAddress, Linked, Opened, Packet, Picture, Received,
    Refusal,
};
use crate::engine::inheritance::Inheritance;
use crate::engine::judging::AdvertFate;
use crate::engine::notice::{Discard, Reason, State, What};
use crate::engine::settings::{
    Address, Announce, Check, CheckSource, Effect, Instance, Multicast, Peer, Preempt, Settings, Track,
};
use crate::engine::status::{InstanceStatus, RouterStatus};
use crate::net::{Family, IpNet, LinkIndex, Mac, Priority, Vrid};
use crate::proto::health::Verdict;
use crate::time::{Duration, Instant};
use crate::wire::vrrp::{self, Advert, Authentication, ChecksumForm, Version};

pub(super) const START: Instant = Instant::from_nanos(1_000_000_000_000);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const ETH0: LinkIndex = LinkIndex(2);
pub(super) const ETH1: LinkIndex = LinkIndex(3);
pub(super) const OUR_MAC: Mac = Mac([2, 0, 0, 0, 0, 5]);
pub(super) const THEIR_MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);
/// The host itself and its peer, in both families.
pub(super) const US: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 5));
pub(super) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
pub(super) const US6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5));
pub(super) const PEER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9));

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(super) fn nets(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| net(text).into()).collect()
}

pub(super) fn on_eth0(text: &str) -> Place {
    Place { link: ETH0, net: net(text) }
}

/// One address, 192.0.2.10/24, by version 3 each second, preempting at once.
pub(super) fn instance(priority: u8) -> Instance {
    Instance {
        bare_family: None,
        name: String::from("web"),
        interface: String::from("eth0"),
        vrid: Vrid::new(51).unwrap(),
        version: Version::V3,
        missed_adverts: 3,
        near_miss_percent: 80,
        priority: Priority::new(priority),
        interval: SECOND,
        addresses: nets(&["192.0.2.10/24"]),
        multicast: Multicast::default(),
        paths: Vec::new(),
        unicast: None,
        preempt: Preempt::After(Duration::ZERO),
        last_resort: false,
        damping: None,
        tracks: Vec::new(),
        authentication: Authentication::None,
        hmac: None,
        checksum: ChecksumForm::PseudoHeader,
        announce: Announce::default(),
        lease: true,
        follow_interface: true,
        accept: true,
        virtual_mac: None,
    }
}

/// A peer whose adverts may come from any distance.
pub(super) fn peer(address: IpAddr) -> Peer {
    Peer { address, ttl: 0..=255 }
}

/// The same with an IPv6 address, too.
pub(super) fn dual(priority: u8) -> Instance {
    Instance { addresses: nets(&["192.0.2.10/24", "2001:db8::10/64"]), ..instance(priority) }
}

pub(super) fn only(instance: Instance) -> Settings {
    all([instance])
}

pub(super) fn all(instances: impl IntoIterator<Item = Instance>) -> Settings {
    Settings { instances: instances.into_iter().collect(), ..Settings::default() }
}

/// Instances that track checks which are probes.
pub(super) fn tracking(instance: Instance, tracks: &[(&str, Effect)]) -> Settings {
    let track = |(check, effect): &(&str, Effect)| Track { check: check.to_string(), effect: *effect };
    let check = |(check, _): &(&str, Effect)| Check::new(check.to_string(), CheckSource::Probe);
    let checks = tracks.iter().map(check).collect();
    Settings { checks, ..only(Instance { tracks: tracks.iter().map(track).collect(), ..instance }) }
}

pub(super) fn link(index: LinkIndex, name: &str) -> Link {
    Link {
        index,
        name: String::from(name),
        mac: Some(OUR_MAC),
        mtu: 1500,
        up: true,
        set_up: true,
        virtual_link: None,
    }
}

/// A virtual router's own link as the kernel reports it: number 101 for IPv4 on eth0, 102 for IPv6.
pub(super) fn own_link(id: VirtualLinkId, name: &str, up: bool) -> Link {
    let index = LinkIndex(100 + u32::from(id.mac.0[4]));
    Link { mac: Some(id.mac), up, virtual_link: Some(id), ..link(index, name) }
}

/// The answer to an order for such a link.
pub(super) fn linked(order: &VirtualLink, refused: Option<Refusal>) -> Linked {
    Linked { id: order.id, generation: order.generation, refused }
}

pub(super) fn foreign(link: LinkIndex, address: &str) -> LinkAddress {
    LinkAddress { link, net: net(address), ours: false, usable: true, peer: None }
}

pub(super) fn ours(place: Place) -> LinkAddress {
    LinkAddress { link: place.link, net: place.net, ours: true, usable: true, peer: None }
}

/// eth0 with 192.0.2.5/24, `fe80::5/64` and `2001:db8::5/64`, and eth1 with 198.51.100.5/24.
pub(super) fn picture() -> Picture {
    let addresses = ["192.0.2.5/24", "fe80::5/64", "2001:db8::5/64"].map(|a| foreign(ETH0, a));
    Picture {
        links: [link(ETH0, "eth0"), link(ETH1, "eth1")].into(),
        addresses: addresses.into_iter().chain([foreign(ETH1, "198.51.100.5/24")]).collect(),
    }
}

/// What the peer sends.
pub(super) fn advert(priority: u8) -> Advert {
    Advert {
        version: Version::V3,
        vrid: Vrid::new(51).unwrap(),
        priority: Priority::new(priority),
        interval: SECOND,
        authentication: Authentication::None,
        addresses: [ip("192.0.2.10")].into(),
        checksum: ChecksumForm::PseudoHeader,
    }
}

pub(super) fn advert6(priority: u8) -> Advert {
    Advert { addresses: [ip("2001:db8::10")].into(), ..advert(priority) }
}

/// A VRRP message on its way, as the peer's kernel sent it.
#[derive(Clone, Debug)]
pub(super) struct Arriving {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    pub(super) link: LinkIndex,
    pub(super) payload: Vec<u8>,
    /// IPv4 options, whole words.
    pub(super) options: Vec<u8>,
}

impl Arriving {
    /// As a socket hands it over.
    fn received<T>(&self, at: Instant, then: impl FnOnce(Received<'_>) -> T) -> T {
        let bytes;
        let packet = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                bytes = self.ipv4(source, destination);
                Packet::Ipv4(&bytes)
            }
            (source, destination) => {
                Packet::Ipv6 { source, destination, hop_limit: self.ttl, payload: &self.payload }
            }
        };
        then(Received { at, link: self.link, packet })
    }

    /// From the peer to the group of the advert's family.
    pub(super) fn new(advert: &Advert) -> Self {
        let family = advert.addresses.first().map_or(Family::Ipv4, |a| Family::of(*a));
        let source = if family == Family::Ipv4 { PEER } else { PEER6 };
        Self::between(advert, source, family.group())
    }

    pub(super) fn between(advert: &Advert, source: IpAddr, destination: IpAddr) -> Self {
        let payload = advert.encode(source, destination);
        Self { source, destination, ttl: 255, link: ETH0, payload, options: Vec::new() }
    }

    /// The IPv4 packet, padded as Ethernet does it.
    fn ipv4(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
        let header = 20 + self.options.len();
        let words = u8::try_from(header / 4).unwrap();
        let [high, low] = u16::try_from(header + self.payload.len()).unwrap().to_be_bytes();
        let mut packet = Vec::from([0x40 | words, 0xc0, high, low, 0, 1, 0, 0, self.ttl, 112, 0, 0]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        packet.extend(&self.options);
        packet.extend(&self.payload);
        packet.resize(packet.len().max(46), 0);
        packet
    }
}

/// One host.
pub(super) struct Host {
    pub(super) engine: Engine,
    pub(super) now: Instant,
    /// Answers orders at once and as asked.
    pub(super) obliging: bool,
    /// Its gates answer at once and as asked, be it obliging or not.
    pub(super) gated: bool,
    /// What carries our mark in the kernel.
    pub(super) kernel: BTreeSet<Place>,
}

impl Host {
    /// Before the kernel's first picture.
    pub(super) fn dark(settings: Settings) -> Self {
        let engine = Engine::new(START, settings);
        Self { engine, now: START, obliging: true, gated: true, kernel: BTreeSet::new() }
    }

    /// Before the first picture, with what an earlier agent left.
    pub(super) fn heir(now: Instant, settings: Settings, inheritance: Inheritance) -> Self {
        let engine = Engine::inheriting(now, settings, inheritance);
        Self { engine, now, obliging: true, gated: true, kernel: BTreeSet::new() }
    }

    /// With [`picture`], and every order done.
    pub(super) fn started(settings: Settings) -> Self {
        let mut host = Self::dark(settings);
        host.give(Event::Picture(picture()));
        host
    }

    /// Started, and master after as long a silence as it takes.
    pub(super) fn master(settings: Settings) -> Self {
        let mut host = Self::started(settings);
        host.pass(SECOND * 4);
        assert_eq!(host.state(), State::Master, "{:?}", host.reason());
        host
    }

    /// Hands over an event; performs the kernel's part if it is obliging.
    pub(super) fn give(&mut self, event: Event<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        self.engine.handle(self.now, event, &mut actions);
        let mut done = 0;
        while done < actions.len() {
            let action = actions[done].clone();
            done += 1;
            if matches!(action, Action::Kernel(KernelWork::Gate(_))) && self.gated || self.obliging {
                self.oblige(&action, &mut actions);
            }
        }
        actions
    }

    fn oblige(&mut self, action: &Action, actions: &mut Vec<Action>) {
        match action {
            Action::Kernel(KernelWork::Hold(hold)) => {
                self.kernel.extend(hold.install.iter().map(|p| p.place));
                self.kernel.retain(|place| !hold.remove.contains(place));
                self.engine.handle(self.now, Event::Held(done(hold)), actions);
            }
            Action::Kernel(KernelWork::Listen(listen)) if listen.groups.is_some() => {
                self.engine.handle(self.now, Event::Opened(open(listen)), actions);
            }
            Action::Kernel(KernelWork::Gate(gate)) if self.gated && !gate.places.is_empty() => {
                self.engine.handle(self.now, Event::Gated(gated(gate)), actions);
            }
            Action::Kernel(KernelWork::Link(order)) => {
                let change = match &order.wanted {
                    Some(state) => Change::Link(own_link(order.id, &state.name, state.up)),
                    None => Change::LinkGone(own_link(order.id, "", false).index),
                };
                self.engine.handle(self.now, Event::Change(change), actions);
                self.engine.handle(self.now, Event::Linked(linked(order, None)), actions);
            }
            Action::Kernel(
                KernelWork::Listen(_) | KernelWork::Announce(_) | KernelWork::Gate(_) | KernelWork::Pace(_),
            )
            | Action::Send(_)
            | Action::Tell(_) => {}
        }
    }

    /// One turn in which nothing is read. Afterwards nothing is due: a driver would never sleep.
    pub(super) fn turn(&mut self) -> Vec<Action> {
        let mut actions = self.give(Event::Tick);
        actions.extend(self.give(Event::Silence { until: self.now }));
        let due = self.engine.deadline();
        assert!(due.is_none_or(|due| due > self.now), "due at {due:?} after a turn at {:?}", self.now);
        actions
    }

    /// Lets time pass, with a turn whenever one is due.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Action> {
        let end = self.now + time;
        let mut actions = Vec::new();
        while let Some(due) = self.engine.deadline().filter(|due| *due < end) {
            self.now = self.now.max(due);
            actions.extend(self.turn());
        }
        self.now = end;
        actions.extend(self.turn());
        actions
    }

    /// Lets time pass until so long after the start.
    pub(super) fn until(&mut self, after_start: Duration) -> Vec<Action> {
        let time = (START + after_start).since(self.now);
        self.pass(time)
    }

    pub(super) fn arrive(&mut self, arriving: &Arriving) -> Vec<Action> {
        self.arrive_at(self.now, arriving)
    }

    /// The same, which the kernel received earlier.
    pub(super) fn arrive_at(&mut self, at: Instant, arriving: &Arriving) -> Vec<Action> {
        arriving.received(at, |received| self.give(Event::Datagram(received)))
    }

    /// What is said of it beforehand.
    pub(super) fn fate(&self, arriving: &Arriving) -> AdvertFate {
        arriving.received(self.now, |received| self.engine.fate_of_advert(&received))
    }

    /// The peer's advert, to the group.
    pub(super) fn hear(&mut self, advert: &Advert) -> Vec<Action> {
        self.arrive(&Arriving::new(advert))
    }

    /// The peer claims an address by ARP or ND.
    pub(super) fn claim(&mut self, address: &str) -> Vec<Action> {
        self.give(Event::Claim(Claim { link: ETH0, mac: THEIR_MAC, address: ip(address) }))
    }

    pub(super) fn change(&mut self, change: Change) -> Vec<Action> {
        self.give(Event::Change(change))
    }

    /// Somebody else removes an address of ours.
    pub(super) fn delete(&mut self, address: &str) -> Vec<Action> {
        let place = on_eth0(address);
        self.kernel.remove(&place);
        self.change(Change::AddressGone(place))
    }

    /// The kernel reports an address of ours, as it does for each it installed.
    pub(super) fn report(&mut self, address: &str) -> Vec<Action> {
        self.change(Change::Address(ours(on_eth0(address))))
    }

    pub(super) fn verdict(&mut self, check: &str, verdict: Verdict) -> Vec<Action> {
        self.give(Event::Verdict { check, verdict, why: "it said so" })
    }

    pub(super) fn value(&mut self, check: &str, value: i32) -> Vec<Action> {
        self.give(Event::Value { check, value })
    }

    pub(super) fn send_failed(&mut self) -> Vec<Action> {
        let instance = self.engine.instances[0].id;
        let refusal = refusal("send an advert: Operation not permitted");
        self.give(Event::SendFailed { instance, family: Family::Ipv4, refusal })
    }

    /// What it warns of, without the codes.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.engine.status(self.now).warnings.into_iter().map(|warning| warning.text).collect()
    }

    pub(super) fn instance(&self) -> InstanceStatus {
        self.named("web")
    }

    pub(super) fn named(&self, name: &str) -> InstanceStatus {
        let status = self.engine.status(self.now);
        status.instances.into_iter().find(|instance| instance.name == name).unwrap()
    }

    pub(super) fn state(&self) -> State {
        self.instance().state
    }

    pub(super) fn reason(&self) -> Reason {
        self.instance().reason
    }

    pub(super) fn router(&self, family: Family) -> RouterStatus {
        self.instance().routers.into_iter().find(|router| router.family == family).unwrap()
    }

    /// Everything discarded, attributed or not.
    pub(super) fn discarded(&self) -> BTreeMap<Discard, u64> {
        let status = self.engine.status(self.now);
        let routers = status.instances.into_iter().flat_map(|instance| instance.routers);
        let mut sum = status.discarded;
        for (reason, count) in routers.flat_map(|router| router.counters.discarded) {
            *sum.entry(reason).or_default() += count;
        }
        sum
    }

    /// Our addresses in the kernel, as text.
    pub(super) fn held(&self) -> Vec<String> {
        self.kernel.iter().map(|place| place.net.to_string()).collect()
    }
}

pub(super) fn refusal(why: &str) -> Refusal {
    Refusal { errno: 1, why: String::from(why) }
}

pub(super) fn done(hold: &Hold) -> Held {
    Held {
        instance: hold.instance,
        generation: hold.generation,
        refused: Vec::new(),
        refused_paths: Vec::new(),
    }
}

/// The answer of a gate that does as it is told.
pub(super) fn gated(gate: &Gate) -> Gated {
    let state = if gate.passage == Passage::Shut { Gating::Dark } else { Gating::Open };
    Gated { router: gate.router, generation: gate.generation, state }
}

/// The answer that refuses everything in an order.
pub(super) fn refused(hold: &Hold) -> Held {
    let places = hold.install.iter().map(|p| p.place).chain(hold.remove.iter().copied());
    Held { refused: places.map(|place| (place, refusal("no"))).collect(), ..done(hold) }
}

pub(super) fn open(listen: &Listen) -> Opened {
    Opened { endpoint: listen.endpoint, generation: listen.generation, refused: None }
}

/// An advert as its receivers read it, signed or not.
pub(super) fn read(sent: &Datagram) -> Advert {
    let Datagram { source, destination, payload, .. } = sent;
    let read = match vrrp::split(payload, Family::of(*source)) {
        Some((pdu, trailer)) => vrrp::decode_signed(pdu, trailer, *source, *destination),
        None => vrrp::decode(payload, *source, *destination),
    };
    read.unwrap()
}

/// The adverts among actions, read back.
pub(super) fn adverts(actions: &[Action]) -> Vec<Advert> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(sent) => Some(read(sent)),
            Action::Kernel(_) | Action::Tell(_) => None,
        })
        .collect()
}

pub(super) fn holds(actions: &[Action]) -> Vec<Hold> {
    let hold = |action: &Action| match action {
        Action::Kernel(KernelWork::Hold(hold)) => Some(hold.clone()),
        _ => None,
    };
    actions.iter().filter_map(hold).collect()
}

pub(super) fn gates(actions: &[Action]) -> Vec<Gate> {
    let gate = |action: &Action| match action {
        Action::Kernel(KernelWork::Gate(gate)) => Some(gate.clone()),
        _ => None,
    };
    actions.iter().filter_map(gate).collect()
}

/// The leases that gates are ordered with.
pub(super) fn leases(actions: &[Action]) -> Vec<Lease> {
    gates(actions).into_iter().filter_map(|gate| gate.lease).collect()
}

pub(super) fn listens(actions: &[Action]) -> Vec<Listen> {
    let listen = |action: &Action| match action {
        Action::Kernel(KernelWork::Listen(listen)) => Some(listen.clone()),
        _ => None,
    };
    actions.iter().filter_map(listen).collect()
}

pub(super) fn notices(actions: &[Action]) -> Vec<What> {
    let told = |action: &Action| match action {
        Action::Tell(notice) => Some(notice.what.clone()),
        _ => None,
    };
    actions.iter().filter_map(told).collect()
}

/// The states that instances were told to be in, in order.
pub(super) fn transitions(actions: &[Action]) -> Vec<State> {
    let to = |what: What| match what {
        What::Transition { to, .. } => Some(to),
        _ => None,
    };
    notices(actions).into_iter().filter_map(to).collect()
}

/// What happens to wire and kernel, in order, a line an action.
pub(super) fn outline(actions: &[Action]) -> Vec<String> {
    actions.iter().flat_map(lines).collect()
}

fn lines(action: &Action) -> Vec<String> {
    let listed = |verb: &str, nets: Vec<IpNet>| {
        nets.iter().fold(String::from(verb), |line, net| alloc::format!("{line} {net}"))
    };
    match action {
        Action::Send(sent) => {
            let advert = read(sent);
            [alloc::format!("{} advert {}", Family::of(sent.source), advert.priority)].into()
        }
        Action::Kernel(KernelWork::Hold(Hold { install, remove, .. })) => {
            let install = listed("install", install.iter().map(|p| p.place.net).collect());
            let remove = listed("remove", remove.iter().map(|place| place.net).collect());
            [install, remove].into_iter().filter(|line| line.contains(' ')).collect()
        }
        Action::Kernel(KernelWork::Announce(Announcement { addresses, .. })) => {
            [listed("announce", addresses.iter().map(|p| p.place.net).collect())].into()
        }
        Action::Kernel(KernelWork::Gate(Gate { passage, places, .. })) => {
            let verb = match passage {
                _ if places.is_empty() => "forget",
                Passage::Open => "open",
                Passage::FramesOnly => "frames-only",
                Passage::Shut => "shut",
            };
            [listed(verb, places.iter().map(|place| place.net).collect())].into()
        }
        Action::Kernel(KernelWork::Link(VirtualLink { wanted, .. })) => [match wanted {
            None => String::from("unlink"),
            Some(VirtualLinkState { name, up: true }) => alloc::format!("up {name}"),
            Some(VirtualLinkState { name, up: false }) => alloc::format!("down {name}"),
        }]
        .into(),
        Action::Kernel(KernelWork::Listen(_) | KernelWork::Pace(_)) | Action::Tell(_) => Vec::new(),
    }
}
