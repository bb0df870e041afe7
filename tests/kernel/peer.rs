//! The other host, asking for virtual addresses and sending to them; and the orders to the table that it tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use pnet::packet::Packet as _;
use pnet::packet::arp::{ArpOperations, ArpPacket};
use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
use pnet::packet::icmpv6::Icmpv6Types;
use pnet::packet::icmpv6::ndp::NeighborAdvertPacket;
use pnet::packet::ipv6::Ipv6Packet;
use vipd::engine::action::{Gate, Generation, InstanceId, Lease, Passage, Place, RouterId};
use vipd::net::{Family, Mac, Vrid};
use vipd::sys::clock;
use vipd::sys::frames::Frames;
use vipd::sys::netlink::Failure;
use vipd::sys::nftables::{Gates, Table};
use vipd::wire::arp;
use vipd::wire::checksum::Checksum;

use crate::cable::{BOUND, Sniffer, in_peer, index, mac, place, run};

/// A family's addresses: the host's own, a virtual one and another virtual one.
pub(crate) struct Addresses {
    pub(crate) own: &'static str,
    pub(crate) vip: &'static str,
    pub(crate) other: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) prefix: u8,
}

pub(crate) const IPV4: Addresses =
    Addresses { own: "192.0.2.1", vip: "192.0.2.10", other: "192.0.2.11", peer: "192.0.2.2", prefix: 24 };
pub(crate) const IPV6: Addresses = Addresses {
    own: "2001:db8::1",
    vip: "2001:db8::10",
    other: "2001:db8::11",
    peer: "2001:db8::2",
    prefix: 64,
};

/// The other host's Ethernet address.
pub(crate) const THERE: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// Anything: nothing else runs in these namespaces.
pub(crate) const PORT: u16 = 5000;

/// The other host, asking for addresses and sending to them. What is asked of the own address last comes
/// last, so that when it is answered, the others were or never will be.
pub(crate) struct Peer {
    addresses: &'static Addresses,
    pub(crate) frames: Frames,
    sniffer: Sniffer,
    client: UdpSocket,
    servers: Vec<(IpAddr, UdpSocket)>,
}

impl Peer {
    /// Installs the virtual addresses, and serves them.
    pub(crate) fn new(addresses: &'static Addresses) -> Self {
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
    pub(crate) fn finds(&self, address: &str) -> bool {
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

    pub(crate) fn ask(&self, address: &str) {
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
    pub(crate) fn reaches(&self, address: &str) -> bool {
        for to in [address, self.addresses.own] {
            self.client.send_to(b"question", (to, PORT)).unwrap();
        }
        self.server(self.addresses.own).recv(&mut [0; 16]).unwrap();
        received(self.server(address))
    }

    /// Whether a datagram from the address arrives.
    pub(crate) fn hears(&self, address: &str) -> bool {
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

    pub(crate) fn server(&self, address: &str) -> &UdpSocket {
        let address: IpAddr = address.parse().unwrap();
        &self.servers.iter().find(|(served, _)| *served == address).unwrap().1
    }

    /// Found, reached, heard.
    pub(crate) fn all(&self, address: &str) -> [bool; 3] {
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
pub(crate) fn solicitation(mac: Mac, asking: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
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

/// The virtual address of a family.
pub(crate) fn vip(addresses: &Addresses) -> Place {
    place(&format!("{}/{}", addresses.vip, addresses.prefix))
}

/// A lease of 300 ms, which IPv4 adverts of virtual router 51 move, in term 1.
pub(crate) fn lease() -> Lease {
    let (extension, vrid) = (Duration::from_millis(300), Vrid::new(51).unwrap());
    let source = IPV4.own.parse().unwrap();
    Lease { until: clock::now() + extension, cut: false, extension, vrid, source, link: index("va"), term: 1 }
}

/// Where adverts come from; of IPv6, the link-local address if there is one.
pub(crate) fn source(family: Family) -> IpAddr {
    let shown = run("ip -6 -o addr show dev va scope link");
    let link_local = shown.split_whitespace().find(|word| word.starts_with("fe80"));
    match family {
        Family::Ipv4 => IPV4.own.parse().unwrap(),
        Family::Ipv6 => link_local.map_or(IPV6.own, |net| net.split('/').next().unwrap()).parse().unwrap(),
    }
}

/// The table, and what it was ordered.
pub(crate) struct Orders {
    pub(crate) table: Table,
    pub(crate) gates: Gates,
    fresh: BTreeSet<RouterId>,
}

impl Orders {
    pub(crate) fn new() -> Self {
        Self { table: Table::open().unwrap(), gates: BTreeMap::new(), fresh: BTreeSet::new() }
    }

    /// Puts an order for each family that has places.
    pub(crate) fn put(&mut self, instance: u32, passage: Passage, lease: Option<Lease>, places: &[Place]) {
        for family in [Family::Ipv4, Family::Ipv6] {
            let of_family = places.iter().filter(|place| place.net.family() == family);
            let places: Vec<Place> = of_family.copied().collect();
            let router = RouterId { instance: InstanceId(instance), family };
            self.fresh.insert(router);
            let lease = lease.map(|lease| Lease { source: source(family), ..lease });
            if places.is_empty() {
                self.gates.remove(&router);
            } else {
                let gate = Gate {
                    router,
                    generation: Generation(1),
                    passage,
                    lease,
                    places,
                    accept: true,
                    virtual_link: None,
                };
                self.gates.insert(router, gate);
            }
        }
    }

    /// Has packets for all of these refused, whatever else was ordered.
    pub(crate) fn refuse(&mut self, places: &[Place]) {
        self.put(1, Passage::Open, None, places);
        self.gates.values_mut().for_each(|gate| gate.accept = false);
        self.table.refuse(&self.gates).unwrap();
    }

    /// Brings the table to what is ordered.
    pub(crate) fn settle(&mut self) -> Result<(), Failure> {
        self.table.settle(&self.gates, &std::mem::take(&mut self.fresh))
    }

    /// Both, for instance 1, which must succeed. Returns whether anything passes afterwards.
    pub(crate) fn order(&mut self, passage: Passage, lease: Option<Lease>, places: &[Place]) -> bool {
        self.put(1, passage, lease, places);
        self.settle().unwrap();
        self.gates.keys().any(|router| self.table.is_lit(*router))
    }
}
