//! Who lives where: the names, numbers and addresses of a simulated network, and the settings of its nodes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vipd::engine::path::{self, Hop, Route, Rule, RuleVerdict};
use vipd::engine::settings::{
    Announce, Check, CheckSource, Effect, Group, Instance, Multicast, Path, Peer, Preempt, Settings, Statics,
    Track, Unicast,
};
use vipd::net::{Family, IpNet, Mac, Priority, Vrid};
use vipd::time::Duration;
use vipd::wire::vrrp::{Authentication, ChecksumForm, Version};

use crate::kernel::{LAN, UPLINK};

/// The name of the probed check.
pub(crate) const PROBE: &str = "nginx";
/// The name of the check of the uplink.
pub(crate) const UPLINK_CHECK: &str = "uplink";

/// A node's Ethernet address.
pub(crate) fn mac(node: usize) -> Mac {
    Mac([2, 0, 0, 0, 0, small(node) + 1])
}

/// A node's own IPv4 address.
pub(crate) fn ipv4(node: usize) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, small(node) + 1).into()
}

/// A node's link-local address, whose order among the nodes is that of `rank`.
pub(crate) fn link_local(rank: usize) -> IpAddr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(small(rank)) + 1).into()
}

/// A node's global IPv6 address.
pub(crate) fn ipv6(rank: usize) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(small(rank)) + 1).into()
}

/// What the operator configured on a node's interface.
pub(crate) fn own(node: usize, rank: usize) -> Vec<IpNet> {
    let net = |address, prefix| IpNet::new(address, prefix);
    [net(ipv4(node), 24), net(link_local(rank), 64), net(ipv6(rank), 64)].into_iter().flatten().collect()
}

/// The virtual address number `number` of an instance.
pub(crate) fn vip(family: Family, instance: usize, number: usize) -> IpAddr {
    let host = 100 + small(instance) * 20 + small(number);
    match family {
        Family::Ipv4 => Ipv4Addr::new(192, 0, 2, host).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, u16::from(host)).into(),
    }
}

/// A virtual address as configured: with the prefix of its network, or alone.
pub(crate) fn net(address: IpAddr, alone: bool) -> IpNet {
    let prefix = match Family::of(address) {
        Family::Ipv4 => 24,
        Family::Ipv6 => 64,
    };
    let whole = IpNet::new(address, prefix).filter(|_| !alone);
    whole.unwrap_or(IpNet::host(address))
}

/// An instance with one IPv4 address, version 3, priority 100, 100 ms, preempting at once.
pub(crate) fn instance(number: usize) -> Instance {
    let vrid = Vrid::new(51 + small(number)).unwrap_or_else(|| unreachable!("51 is no 0"));
    Instance {
        bare_family: None,
        name: format!("i{number}"),
        interface: LAN.to_owned(),
        vrid,
        version: Version::V3,
        missed_adverts: 3,
        near_miss_percent: 80,
        priority: Priority::DEFAULT,
        interval: Duration::from_millis(100),
        addresses: vec![net(vip(Family::Ipv4, number, 0), true).into()],
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
        announce: Announce { again_after: Some(Duration::from_secs(5)), ..Announce::default() },
        lease: true,
        follow_interface: true,
        accept: true,
        virtual_mac: None,
    }
}

/// A route by the LAN, one by the uplink, and a rule that leads to them.
pub(crate) fn paths(number: usize) -> Vec<Path> {
    let table = 100 + u32::from(small(number));
    let route = |prefix: u8, interface: &str| {
        let hop = Hop { via: None, link: Some(interface.to_owned()), weight: 1, onlink: false };
        Route::new(net(Ipv4Addr::new(10, prefix, 0, 0).into(), false), vec![hop], table)
    };
    let rule = Rule {
        from: Some(IpNet::host(vip(Family::Ipv4, number, 0))),
        ..Rule::new(Family::Ipv4, table, RuleVerdict::Table(table))
    };
    let routes = [path::Path::Route(route(1, LAN)), path::Path::Route(route(2, UPLINK))];
    let all = routes.into_iter().chain([path::Path::Rule(rule)]);
    all.map(|path| Path { path, left_alone: false }).collect()
}

/// Unicast between all nodes, IPv6 by global addresses.
pub(crate) fn unicast(node: usize, ranks: &[usize]) -> Unicast {
    let others = (0..ranks.len()).filter(|other| *other != node);
    Unicast {
        sources: vec![ipv4(node), ipv6(ranks[node])],
        peers: others.flat_map(|other| [ipv4(other), ipv6(ranks[other])]).map(peer).collect(),
    }
}

fn peer(address: IpAddr) -> Peer {
    Peer { address, ttl: 0..=255 }
}

/// A node's settings: both checks are known, whoever tracks them.
pub(crate) fn settings(instances: Vec<Instance>) -> Settings {
    let check = |name: &str, source| Check::new(name.to_owned(), source);
    Settings {
        instances,
        groups: Vec::new(),
        checks: vec![
            check(PROBE, CheckSource::Probe),
            check(UPLINK_CHECK, CheckSource::Interface(UPLINK.to_owned())),
        ],
        announce_limits: Vec::new(),
        startup_delay: Duration::ZERO,
        boot_delay: Duration::ZERO,
        statics: Statics::default(),
    }
}

/// Instances that move together.
pub(crate) fn group(members: Vec<String>) -> Group {
    Group { name: "together".to_owned(), members, tracks: Vec::new() }
}

/// The instances that move with the one at `at`, and that one.
pub(crate) fn mates(settings: &Settings, at: usize) -> Vec<usize> {
    let name = &settings.instances[at].name;
    let Some(group) = settings.groups.iter().find(|group| group.members.contains(name)) else {
        return vec![at];
    };
    let instances = settings.instances.iter().enumerate();
    instances.filter(|(_, i)| group.members.contains(&i.name)).map(|(at, _)| at).collect()
}

/// The virtual router identifiers of each group.
pub(crate) fn groups(settings: &Settings) -> Vec<Vec<u8>> {
    let members = |group: &Group| {
        let instances = settings.instances.iter().filter(|i| group.members.contains(&i.name));
        instances.map(|i| i.vrid.get()).collect()
    };
    settings.groups.iter().map(members).collect()
}

/// A track.
pub(crate) fn track(check: &str, effect: Effect) -> Track {
    Track { check: check.to_owned(), effect }
}

fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
