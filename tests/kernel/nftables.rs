//! What passes and what does not, asked with frames; and what stands in the kernel for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use pnet::packet::Packet as _;
use pnet::packet::arp::{ArpOperations, ArpPacket};
use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
use pnet::packet::icmpv6::Icmpv6Types;
use pnet::packet::icmpv6::ndp::NeighborAdvertPacket;
use pnet::packet::ipv6::Ipv6Packet;
use vipd::engine::action::{Passage, Place};
use vipd::net::{LinkIndex, Mac};
use vipd::sys::claims::Listener;
use vipd::sys::clock;
use vipd::sys::frames::Frames;
use vipd::sys::nftables::{Restrictions, Table};
use vipd::wire::checksum::Checksum;
use vipd::wire::{arp, ndp};

use crate::Test;
use crate::cable::{BOUND, Sniffer, in_peer, index, mac, place, run, wait_for};

pub(crate) const TESTS: &[Test] = &[
    ("a_quiet_ipv4_address_is_served_but_not_found", || quiet(&IPV4)),
    ("a_quiet_ipv6_address_is_served_but_not_found", || quiet(&IPV6)),
    ("a_shut_ipv4_address_is_neither_served_nor_found", || shut(&IPV4)),
    ("a_shut_ipv6_address_is_neither_served_nor_found", || shut(&IPV6)),
    ("a_quiet_address_says_nothing_of_its_own_accord", a_quiet_address_says_nothing),
    ("the_successor_is_heard_through_the_gate", the_successor_is_heard),
    ("what_nft_prints_it_reads_again", what_nft_prints_it_reads_again),
    ("other_tables_are_never_touched", other_tables_are_never_touched),
    ("a_link_made_anew_owes_nothing_to_the_old_one", a_link_made_anew),
    ("a_link_keeps_its_restrictions_under_a_new_name", a_link_with_a_new_name),
    ("a_link_that_is_gone_is_passed_over", a_link_that_is_gone),
    ("a_ruleset_that_somebody_flushed_is_made_again", a_flushed_ruleset_is_made_again),
    ("thousands_of_addresses_take_one_transaction", thousands_of_addresses),
];

/// A family's addresses: the host's own, a virtual one and another virtual one.
struct Addresses {
    own: &'static str,
    vip: &'static str,
    other: &'static str,
    peer: &'static str,
    prefix: u8,
}

const IPV4: Addresses =
    Addresses { own: "192.0.2.1", vip: "192.0.2.10", other: "192.0.2.11", peer: "192.0.2.2", prefix: 24 };
const IPV6: Addresses = Addresses {
    own: "2001:db8::1",
    vip: "2001:db8::10",
    other: "2001:db8::11",
    peer: "2001:db8::2",
    prefix: 64,
};

/// The other host's Ethernet address.
const THERE: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// Anything: nothing else runs in these namespaces.
const PORT: u16 = 5000;

/// The other host, asking for addresses and sending to them. What is asked of the own address last comes
/// last, so that when it is answered, the others were or never will be.
struct Peer {
    addresses: &'static Addresses,
    frames: Frames,
    sniffer: Sniffer,
    client: UdpSocket,
    servers: Vec<(IpAddr, UdpSocket)>,
}

impl Peer {
    /// Installs the virtual addresses, and serves them.
    fn new(addresses: &'static Addresses) -> Self {
        let Addresses { own, vip, other, peer, prefix } = addresses;
        for address in [vip, other] {
            let nodad = if *prefix == 64 { " nodad" } else { "" };
            run(&format!("ip addr add {address}/{prefix} dev va{nodad}"));
        }
        let here = mac("va");
        run(&format!("ip -n peer link set vb address {THERE}"));
        run(&format!("ip neigh replace {peer} lladdr {THERE} dev va nud permanent"));
        for address in [own, vip, other] {
            run(&format!("ip -n peer neigh replace {address} lladdr {here} dev vb nud permanent"));
        }
        let serve = |address: &str| {
            let socket = UdpSocket::bind((address, PORT)).unwrap();
            socket.set_read_timeout(Some(BOUND)).unwrap();
            (address.parse().unwrap(), socket)
        };
        let client = in_peer(|| UdpSocket::bind((*peer, PORT)).unwrap());
        client.set_read_timeout(Some(BOUND)).unwrap();
        let frames = in_peer(|| Frames::open(index("vb")).unwrap());
        let servers = [own, vip, other].map(|address| serve(address)).into();
        Self { addresses, frames, sniffer: Sniffer::new(), client, servers }
    }

    /// Whether the address is found by ARP or Neighbor Solicitation.
    fn finds(&self, address: &str) -> bool {
        self.ask(address);
        self.ask(self.addresses.own);
        let own: IpAddr = self.addresses.own.parse().unwrap();
        let mut found = false;
        loop {
            let answer = self.sniffer.find(|seen| answer(&seen.frame));
            if answer == own {
                return found;
            }
            found |= answer == address.parse::<IpAddr>().unwrap();
        }
    }

    fn ask(&self, address: &str) {
        let asking = self.addresses.peer.parse().unwrap();
        match (asking, address.parse().unwrap()) {
            (IpAddr::V4(asking), IpAddr::V4(address)) => {
                let mut request = arp::gratuitous(THERE, asking);
                request[38..].copy_from_slice(&address.octets());
                self.frames.send(&request).unwrap();
            }
            (IpAddr::V6(asking), IpAddr::V6(address)) => {
                self.frames.send(&solicitation(THERE, asking, address)).unwrap();
            }
            mixed => panic!("{mixed:?}"),
        }
    }

    /// Whether a datagram reaches the address.
    fn reaches(&self, address: &str) -> bool {
        for to in [address, self.addresses.own] {
            self.client.send_to(b"question", (to, PORT)).unwrap();
        }
        self.server(self.addresses.own).recv(&mut [0; 16]).unwrap();
        received(self.server(address))
    }

    /// Whether a datagram from the address arrives.
    fn hears(&self, address: &str) -> bool {
        // What is dropped on its way out may be reported to the sender.
        self.server(address).send_to(b"answer", (self.addresses.peer, PORT)).ok();
        self.server(self.addresses.own).send_to(b"last", (self.addresses.peer, PORT)).unwrap();
        let next = || {
            let (_, from) = self.client.recv_from(&mut [0; 16]).unwrap();
            from.ip()
        };
        let first = next();
        if first == address.parse::<IpAddr>().unwrap() {
            next();
            return true;
        }
        false
    }

    fn server(&self, address: &str) -> &UdpSocket {
        let address: IpAddr = address.parse().unwrap();
        &self.servers.iter().find(|(served, _)| *served == address).unwrap().1
    }

    /// Found, reached, heard.
    fn all(&self, address: &str) -> [bool; 3] {
        [self.finds(address), self.reaches(address), self.hears(address)]
    }
}

fn received(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let received = socket.recv(&mut [0; 16]).is_ok();
    socket.set_nonblocking(false).unwrap();
    received
}

/// The address that an ARP reply or a Neighbor Advertisement answers for.
fn answer(frame: &[u8]) -> Option<IpAddr> {
    let ethernet = EthernetPacket::new(frame)?;
    match ethernet.get_ethertype() {
        EtherTypes::Arp => {
            let arp = ArpPacket::new(ethernet.payload())?;
            (arp.get_operation() == ArpOperations::Reply).then(|| arp.get_sender_proto_addr().into())
        }
        EtherTypes::Ipv6 => {
            let ipv6 = Ipv6Packet::new(ethernet.payload())?;
            let advertisement = NeighborAdvertPacket::new(ipv6.payload())?;
            (advertisement.get_icmpv6_type() == Icmpv6Types::NeighborAdvert)
                .then(|| advertisement.get_target_addr().into())
        }
        _ => None,
    }
}

/// The prefix of what a solicitation for an address is sent to (RFC 4291, 2.7.1).
const SOLICITED_NODE: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0);

/// A Neighbor Solicitation (RFC 4861, 4.3).
fn solicitation(mac: Mac, asking: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let low = u32::try_from(u128::from(target) & 0xff_ffff).unwrap();
    let group = Ipv6Addr::from(u128::from(SOLICITED_NODE) | u128::from(low));
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([1, 1]);
    message.extend(mac.0);
    let checksum = Checksum::pseudo_header(asking.into(), group.into(), 58, message.len());
    let checksum = checksum.with(&message).finish();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = vec![0x33, 0x33];
    frame.extend(&group.octets()[12..]);
    frame.extend(mac.0);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
    frame.extend(asking.octets());
    frame.extend(group.octets());
    frame.extend(message);
    frame
}

fn restrictions(passage: Passage, places: &[Place]) -> Restrictions {
    let mut restrictions = Restrictions::default();
    restrictions.add(passage, places);
    restrictions
}

fn vip(addresses: &Addresses) -> Place {
    place(&format!("{}/{}", addresses.vip, addresses.prefix))
}

fn quiet(addresses: &'static Addresses) {
    let (peer, mut table) = (Peer::new(addresses), Table::open().unwrap());
    assert_eq!(peer.all(addresses.vip), [true; 3], "nothing is restricted yet");
    table.restrict(restrictions(Passage::FramesOnly, &[vip(addresses)])).unwrap();
    assert_eq!(peer.all(addresses.vip), [false, true, true]);
    assert_eq!(peer.all(addresses.other), [true; 3]);
    table.restrict(Restrictions::default()).unwrap();
    assert_eq!(peer.all(addresses.vip), [true; 3], "everything passes again");
    assert_eq!(run("nft list ruleset"), "");
}

fn shut(addresses: &'static Addresses) {
    let (peer, mut table) = (Peer::new(addresses), Table::open().unwrap());
    table.restrict(restrictions(Passage::Shut, &[vip(addresses)])).unwrap();
    assert_eq!(peer.all(addresses.vip), [false; 3]);
    assert_eq!(peer.all(addresses.other), [true; 3]);
    let local = UdpSocket::bind((addresses.vip, 0)).unwrap();
    local.send_to(b"myself", (addresses.vip, PORT)).unwrap();
    peer.server(addresses.vip).recv(&mut [0; 16]).expect("the loopback is never restricted");
    table.restrict(restrictions(Passage::FramesOnly, &[vip(addresses)])).unwrap();
    assert_eq!(peer.all(addresses.vip), [false, true, true], "less is restricted");
    table.delete().unwrap();
    assert_eq!(peer.all(addresses.vip), [true; 3]);
}

/// Sends, in this order: announcements of the virtual addresses, requests that name them as the sender, and an
/// announcement of an address that is not restricted. Returns who was heard before that one.
fn talkers(sniffer: &Sniffer) -> Vec<IpAddr> {
    let (frames, here) = (Frames::open(index("va")).unwrap(), mac("va"));
    let (vip4, vip6): (Ipv4Addr, Ipv6Addr) = (IPV4.vip.parse().unwrap(), IPV6.vip.parse().unwrap());
    let last: IpAddr = IPV4.own.parse().unwrap();
    let mut request = arp::gratuitous(here, vip4);
    request[38..].copy_from_slice(&[192, 0, 2, 2]);
    // What is dropped on its way out may be reported to the sender.
    frames.send(&arp::gratuitous(here, vip4)).ok();
    frames.send(&request).ok();
    frames.send(&ndp::unsolicited(here, vip6, false)).ok();
    frames.send(&solicitation(here, vip6, IPV6.peer.parse().unwrap())).ok();
    frames.send(&arp::gratuitous(here, IPV4.own.parse().unwrap())).unwrap();
    let next = || sniffer.find(|seen| talker(&seen.frame));
    std::iter::from_fn(|| Some(next()).filter(|talker| *talker != last)).collect()
}

/// Whom an ARP packet or an ICMPv6 message comes from.
fn talker(frame: &[u8]) -> Option<IpAddr> {
    let ethernet = EthernetPacket::new(frame)?;
    match ethernet.get_ethertype() {
        EtherTypes::Arp => ArpPacket::new(ethernet.payload()).map(|arp| arp.get_sender_proto_addr().into()),
        EtherTypes::Ipv6 => {
            let source = Ipv6Packet::new(ethernet.payload())?.get_source();
            (source.segments()[0] == 0x2001).then(|| source.into())
        }
        _ => None,
    }
}

fn a_quiet_address_says_nothing() {
    let (sniffer, mut table) = (Sniffer::new(), Table::open().unwrap());
    let (vip4, vip6): (IpAddr, IpAddr) = (IPV4.vip.parse().unwrap(), IPV6.vip.parse().unwrap());
    assert_eq!(talkers(&sniffer), [vip4, vip4, vip6, vip6]);
    table.restrict(restrictions(Passage::FramesOnly, &[vip(&IPV4), vip(&IPV6)])).unwrap();
    assert_eq!(talkers(&sniffer), [] as [IpAddr; 0]);
}

fn the_successor_is_heard() {
    const SUCCESSOR: Mac = Mac([2, 0, 0, 0, 0, 0x99]);
    let mut table = Table::open().unwrap();
    for address in [vip(&IPV4), vip(&IPV6)] {
        run(&format!("ip addr add {} dev va", address.net));
    }
    let listeners = [Listener::arp().unwrap(), Listener::ndp().unwrap()];
    let there = in_peer(|| Frames::open(index("vb")).unwrap());
    for passage in [Passage::FramesOnly, Passage::Shut] {
        table.restrict(restrictions(passage, &[vip(&IPV4), vip(&IPV6)])).unwrap();
        there.send(&arp::gratuitous(SUCCESSOR, IPV4.vip.parse().unwrap())).unwrap();
        there.send(&ndp::unsolicited(SUCCESSOR, IPV6.vip.parse().unwrap(), false)).unwrap();
        for (listener, addresses) in listeners.iter().zip([IPV4, IPV6]) {
            let heard = || listener.receive().unwrap().filter(|claim| claim.mac == SUCCESSOR);
            assert_eq!(wait_for("the claim", heard).address, vip(&addresses).net.address());
        }
    }
}

fn what_nft_prints_it_reads_again() {
    let mut table = Table::open().unwrap();
    table.restrict(restrictions(Passage::Shut, &[vip(&IPV4), vip(&IPV6)])).unwrap();
    let printed = run("nft list ruleset");
    std::fs::write("/run/printed.nft", &printed).unwrap();
    run("nft flush ruleset");
    run("nft -f /run/printed.nft");
    assert_eq!(run("nft list ruleset"), printed);
    let link = index("va");
    for expected in [
        format!("set quiet4_{link} {{"),
        "type ipv4_addr".into(),
        "elements = { 192.0.2.10 }".into(),
        "elements = { 2001:db8::10 }".into(),
        "type filter hook ingress device \"va\" priority -500; policy accept;".into(),
        format!("arp operation request arp saddr ip != @quiet4_{link} arp daddr ip @quiet4_{link} drop"),
        "type filter hook egress device \"va\" priority 500; policy accept;".into(),
        format!("ip6 saddr @quiet6_{link} icmpv6 type nd-neighbor-advert drop"),
        format!("ip6 saddr @shut6_{link} drop"),
    ] {
        assert!(printed.contains(&expected), "{expected}");
    }
}

fn other_tables_are_never_touched() {
    run("nft add table netdev firewall");
    run("nft add chain netdev firewall in { type filter hook ingress device va priority 0 ; }");
    run("nft add rule netdev firewall in ip saddr 198.51.100.1 drop");
    run("nft add table inet vipd");
    run("nft add set inet vipd quiet4 { type ipv4_addr ; elements = { 192.0.2.10 } ; }");
    let theirs = run("nft list ruleset");
    let mut table = Table::open().unwrap();
    assert_eq!(run("nft list ruleset"), theirs, "nothing is made before it is needed");
    table.restrict(restrictions(Passage::Shut, &[vip(&IPV4)])).unwrap();
    assert!(run("nft list ruleset").starts_with(&theirs));
    table.restrict(Restrictions::default()).unwrap();
    assert_eq!(run("nft list ruleset"), theirs);
}

fn a_link_made_anew() {
    let (mut table, old) = (Table::open().unwrap(), vip(&IPV4));
    table.restrict(restrictions(Passage::Shut, &[old])).unwrap();
    run("ip link del va");
    assert!(!table.is_current());
    run("ip link add va type veth peer name vb netns peer");
    run("ip link set va up");
    assert!(!table.is_current(), "another link of the same name");
    let new = vip(&IPV4);
    assert_ne!(new, old);
    table.restrict(restrictions(Passage::Shut, &[old, new])).unwrap();
    assert!(table.is_current());
    let ruleset = run("nft list ruleset");
    assert!(ruleset.contains(&format!("quiet4_{}", new.link)), "{ruleset}");
    assert!(!ruleset.contains(&format!("quiet4_{} ", old.link)), "{ruleset}");
}

fn a_link_with_a_new_name() {
    let (peer, mut table) = (Peer::new(&IPV4), Table::open().unwrap());
    let wanted = restrictions(Passage::FramesOnly, &[vip(&IPV4)]);
    table.restrict(wanted.clone()).unwrap();
    // Older kernels rename only what is down.
    run("ip link set va down");
    run("ip link set va name uplink");
    run("ip link set uplink up");
    assert!(!table.is_current());
    table.restrict(wanted).unwrap();
    assert!(table.is_current());
    assert!(!peer.finds(IPV4.vip));
    assert!(peer.finds(IPV4.other));
}

fn a_link_that_is_gone() {
    let mut table = Table::open().unwrap();
    let gone = Place { link: LinkIndex(4711), net: "192.0.2.10/24".parse().unwrap() };
    table.restrict(restrictions(Passage::Shut, &[gone])).unwrap();
    assert_eq!(run("nft list ruleset"), "");
    table.restrict(restrictions(Passage::Shut, &[gone, vip(&IPV4)])).unwrap();
    run("ip link del va");
    table.restrict(restrictions(Passage::Shut, &[gone])).unwrap();
    assert_eq!(run("nft list ruleset"), "");
}

fn a_flushed_ruleset_is_made_again() {
    let mut table = Table::open().unwrap();
    table.restrict(restrictions(Passage::FramesOnly, &[vip(&IPV4)])).unwrap();
    run("nft flush ruleset");
    table.restrict(restrictions(Passage::Shut, &[vip(&IPV4)])).unwrap();
    let ruleset = run("nft list ruleset");
    assert_eq!(ruleset.matches("elements = { 192.0.2.10 }").count(), 2, "{ruleset}");
    run("nft flush ruleset");
    table.restrict(Restrictions::default()).unwrap();
}

fn thousands_of_addresses() {
    let mut table = Table::open().unwrap();
    let link = index("va");
    for count in [1_u32, 100, 1_000, 10_000] {
        let places: Vec<Place> = (0..count)
            .map(|n| Ipv6Addr::from(0x2001_0db8_0001 << 80 | u128::from(n)))
            .map(|address| Place { link, net: address.to_string().parse().unwrap() })
            .collect();
        let timed = |table: &mut Table, passage| {
            let wanted = restrictions(passage, &places);
            let asked = clock::now();
            table.restrict(wanted).unwrap();
            clock::now().since(asked)
        };
        let first: Duration = timed(&mut table, Passage::FramesOnly);
        let further = timed(&mut table, Passage::Shut);
        let set = run(&format!("nft list set netdev vipd shut6_{link}"));
        assert_eq!(set.matches("2001:db8:1:").count(), places.len());
        let last = timed(&mut table, Passage::Open);
        println!("  {count} addresses: made and quiet {first:?}, shut {further:?}, deleted {last:?}");
        assert_eq!(run("nft list ruleset"), "");
    }
}
