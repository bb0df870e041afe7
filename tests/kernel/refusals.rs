//! Packets that are refused although their address is here, and what passes all the same.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV6, UdpSocket};

use pnet::packet::Packet as _;
use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
use pnet::packet::ipv4::Ipv4Packet;
use vipd::engine::action::{Passage, Place};
use vipd::net::Mac;

use crate::Test;
use crate::cable::{Sniffer, in_peer, index, mac, place, run};
use crate::peer::{Addresses, IPV4, IPV6, Orders, PORT, Peer, vip};

pub(crate) const TESTS: &[Test] = &[
    ("packets_for_a_refused_ipv4_address_are_dropped_and_it_is_found", || refused(&IPV4)),
    ("packets_for_a_refused_ipv6_address_are_dropped_and_it_is_found", || refused(&IPV6)),
    ("they_are_dropped_by_whichever_link_they_come", they_are_dropped_on_every_link),
    ("a_link_local_address_is_refused_on_its_link_alone", a_link_local_address),
    ("what_is_forwarded_passes", what_is_forwarded_passes),
    ("what_nft_prints_of_refusals_it_reads_again", what_nft_prints_it_reads_again),
    ("refusals_that_somebody_takes_away_are_missed", refusals_are_missed),
    ("thousands_of_addresses_are_refused_in_one_transaction", thousands_are_refused),
];

fn refused(addresses: &'static Addresses) {
    let (peer, mut table) = (Peer::new(addresses), Orders::new());
    table.refuse(&[vip(addresses)]);
    assert_eq!(peer.all(addresses.vip), [true, false, true]);
    assert_eq!(peer.all(addresses.other), [true; 3]);
    let local = UdpSocket::bind((addresses.vip, 0)).unwrap();
    local.send_to(b"myself", (addresses.vip, PORT)).unwrap();
    peer.server(addresses.vip).recv(&mut [0; 16]).expect("what the host says to itself arrives");
    table.gates.values_mut().for_each(|gate| gate.accept = true);
    table.table.refuse(&table.gates).unwrap();
    assert_eq!(peer.all(addresses.vip), [true; 3]);
    assert_eq!(run("nft list ruleset"), "", "where nothing is refused there is no table");
}

fn they_are_dropped_on_every_link() {
    run("ip link add vc type veth peer name vd netns peer");
    run("ip link set vc up");
    run("ip addr add 198.51.100.1/24 dev vc");
    run("ip -n peer link set vd up");
    let (peer, mut table) = (Peer::new(&IPV4), Orders::new());
    run(&format!("ip -n peer neigh replace 198.51.100.1 lladdr {} dev vd nud permanent", mac("vc")));
    run("ip -n peer route add 192.0.2.10/32 dev vd via 198.51.100.1 onlink");
    run("ip -n peer route add 192.0.2.11/32 dev vd via 198.51.100.1 onlink");
    assert!(peer.reaches(IPV4.vip));
    table.refuse(&[vip(&IPV4)]);
    assert!(!peer.reaches(IPV4.vip) && peer.reaches(IPV4.other));
}

fn a_link_local_address() {
    run("ip addr add fe80::10/64 dev va nodad");
    run("ip -n peer addr add fe80::2/64 dev vb nodad");
    run(&format!("ip -n peer neigh replace fe80::10 lladdr {} dev vb nud permanent", mac("va")));
    run("ip -6 route replace local fe80::10 dev va table local");
    let (scope, there) = (index("va").0, in_peer(|| index("vb").0));
    let address = |text: &str, scope| SocketAddrV6::new(text.parse().unwrap(), PORT, 0, scope);
    let server = UdpSocket::bind(address("fe80::10", scope)).unwrap();
    let client = in_peer(|| UdpSocket::bind(address("fe80::2", there)).unwrap());
    let arrives = || {
        client.send_to(b"question", address("fe80::10", there)).unwrap();
        // A veth delivers in the sender's own time, and the wait is for what does not come, too.
        server.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        server.recv(&mut [0; 16]).is_ok()
    };
    assert!(arrives());
    let mut table = Orders::new();
    let net = "fe80::10/64".parse().unwrap();
    table.refuse(&[Place { link: index("lo"), net }]);
    assert!(arrives(), "the same address elsewhere is another one");
    table.refuse(&[Place { link: index("va"), net }]);
    assert!(!arrives());
}

fn what_is_forwarded_passes() {
    let (peer, mut table) = (Peer::new(&IPV4), Orders::new());
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    run("ip route add 203.0.113.0/24 via 192.0.2.2 dev va");
    run("ip -n peer route add 203.0.113.0/24 via 192.0.2.10 dev vb");
    table.refuse(&[vip(&IPV4)]);
    assert!(!peer.reaches(IPV4.vip));
    let (sniffer, here) = (Sniffer::new(), mac("va"));
    let client = in_peer(|| UdpSocket::bind((IPV4.peer, 0)).unwrap());
    client.send_to(b"farther", ("203.0.113.9", PORT)).unwrap();
    sniffer.find(|seen| (forwarded(&seen.frame, here)? == Ipv4Addr::new(203, 0, 113, 9)).then_some(()));
}

/// Where a packet goes that the host has sent on.
fn forwarded(frame: &[u8], by: Mac) -> Option<Ipv4Addr> {
    let ethernet = EthernetPacket::new(frame)?;
    let sent_on = ethernet.get_ethertype() == EtherTypes::Ipv4 && ethernet.get_source().octets() == by.0;
    sent_on.then_some(())?;
    Ipv4Packet::new(ethernet.payload()).map(|packet| packet.get_destination())
}

fn what_nft_prints_it_reads_again() {
    let mut table = Orders::new();
    table.refuse(&[vip(&IPV4), vip(&IPV6), place("fe80::10/64")]);
    let printed = run("nft list ruleset");
    std::fs::write("/run/printed.nft", &printed).unwrap();
    run("nft flush ruleset");
    run("nft -f /run/printed.nft");
    assert_eq!(run("nft list ruleset"), printed);
    for expected in [
        "table inet vipd {",
        "type ipv6_addr . iface_index",
        "elements = { 192.0.2.10 }",
        "elements = { 2001:db8::10 }",
        "elements = { fe80::10 . \"va\" }",
        "type filter hook input priority filter; policy accept;",
        "iif \"lo\" accept",
        "icmpv6 type nd-neighbor-solicit accept",
        "icmpv6 type nd-neighbor-advert accept",
        "ip daddr @refused4 drop",
        "ip6 daddr @refused6 drop",
        "ip6 daddr . iif @refused6on drop",
    ] {
        assert!(printed.contains(expected), "{expected}\n{printed}");
    }
}

fn refusals_are_missed() {
    let (peer, mut table) = (Peer::new(&IPV4), Orders::new());
    run("nft add table inet mine");
    for harm in [
        "nft flush ruleset",
        "nft delete table inet vipd",
        "nft flush chain inet vipd input",
        "nft delete element inet vipd refused4 { 192.0.2.10 }",
    ] {
        table.refuse(&[vip(&IPV4)]);
        assert!(!table.table.refusals_are_lost().unwrap() && !peer.reaches(IPV4.vip));
        run("nft add table inet other");
        assert!(!table.table.refusals_are_lost().unwrap(), "that was somebody else's");
        run(harm);
        assert!(peer.reaches(IPV4.vip) && table.table.refusals_are_lost().unwrap(), "{harm}");
    }
    table.refuse(&[vip(&IPV4)]);
    assert!(!peer.reaches(IPV4.vip));
    assert!(table.table.delete_refusals().unwrap() && !table.table.delete_refusals().unwrap());
    assert_eq!(run("nft list tables"), "table inet other\n");
}

fn thousands_are_refused() {
    let many = |n: u32| -> Vec<Place> {
        let address = |at| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + at));
        (1..=n).map(|at| place(&format!("{}/32", address(at)))).collect()
    };
    let mut table = Orders::new();
    table.refuse(&many(4000));
    assert!(!table.table.refusals_are_lost().unwrap());
    table.put(1, Passage::Open, None, &[]);
    table.table.refuse(&table.gates).unwrap();
    assert_eq!(run("nft list ruleset"), "");
}
