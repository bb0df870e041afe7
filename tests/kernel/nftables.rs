//! What passes and what does not, asked with frames; and what stands in the kernel for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use pnet::packet::Packet as _;
use pnet::packet::arp::ArpPacket;
use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
use pnet::packet::ipv6::Ipv6Packet;
use vipd::engine::action::{Passage, Place};
use vipd::net::{Family, LinkIndex, Mac};
use vipd::sys::claims::Listener;
use vipd::sys::clock;
use vipd::sys::frames::Frames;
use vipd::wire::{arp, ndp};

use crate::Test;
use crate::cable::{Sniffer, in_peer, index, mac, run, wait_for};
use crate::peer::{Addresses, IPV4, IPV6, Orders, PORT, Peer, lease, solicitation, source, vip};

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
    ("a_change_that_is_refused_still_closes_what_is_to_be_closed", a_refused_change_still_closes),
    ("thousands_of_addresses_take_one_transaction", thousands_of_addresses),
];

fn quiet(addresses: &'static Addresses) {
    let (peer, mut table) = (Peer::new(addresses), Orders::new());
    assert_eq!(peer.all(addresses.vip), [true; 3], "nothing is restricted yet");
    table.order(Passage::FramesOnly, None, &[vip(addresses)]);
    assert_eq!(peer.all(addresses.vip), [false, true, true]);
    assert_eq!(peer.all(addresses.other), [true; 3]);
    table.order(Passage::Open, None, &[]);
    assert_eq!(peer.all(addresses.vip), [true; 3], "everything passes again");
    assert_eq!(run("nft list ruleset"), "");
}

fn shut(addresses: &'static Addresses) {
    let (peer, mut table) = (Peer::new(addresses), Orders::new());
    table.order(Passage::Shut, None, &[vip(addresses)]);
    assert_eq!(peer.all(addresses.vip), [false; 3]);
    assert_eq!(peer.all(addresses.other), [true; 3]);
    let local = UdpSocket::bind((addresses.vip, 0)).unwrap();
    local.send_to(b"myself", (addresses.vip, PORT)).unwrap();
    peer.server(addresses.vip).recv(&mut [0; 16]).expect("the loopback is never restricted");
    table.order(Passage::FramesOnly, None, &[vip(addresses)]);
    assert_eq!(peer.all(addresses.vip), [false, true, true], "less is restricted");
    table.table.delete().unwrap();
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
    let (sniffer, mut table) = (Sniffer::new(), Orders::new());
    let (vip4, vip6): (IpAddr, IpAddr) = (IPV4.vip.parse().unwrap(), IPV6.vip.parse().unwrap());
    assert_eq!(talkers(&sniffer), [vip4, vip4, vip6, vip6]);
    table.order(Passage::FramesOnly, None, &[vip(&IPV4), vip(&IPV6)]);
    assert_eq!(talkers(&sniffer), [] as [IpAddr; 0]);
}

fn the_successor_is_heard() {
    const SUCCESSOR: Mac = Mac([2, 0, 0, 0, 0, 0x99]);
    let mut table = Orders::new();
    for address in [vip(&IPV4), vip(&IPV6)] {
        run(&format!("ip addr add {} dev va", address.net));
    }
    let listeners = [Listener::arp().unwrap(), Listener::ndp().unwrap()];
    let there = in_peer(|| Frames::open(index("vb")).unwrap());
    for passage in [Passage::FramesOnly, Passage::Shut] {
        table.order(passage, None, &[vip(&IPV4), vip(&IPV6)]);
        there.send(&arp::gratuitous(SUCCESSOR, IPV4.vip.parse().unwrap())).unwrap();
        there.send(&ndp::unsolicited(SUCCESSOR, IPV6.vip.parse().unwrap(), false)).unwrap();
        for (listener, addresses) in listeners.iter().zip([IPV4, IPV6]) {
            let heard = || listener.receive().unwrap().filter(|claim| claim.mac == SUCCESSOR);
            assert_eq!(wait_for("the claim", heard).address, vip(&addresses).net.address());
        }
    }
}

fn what_nft_prints_it_reads_again() {
    let mut table = Orders::new();
    table.put(1, Passage::Open, Some(lease()), &[vip(&IPV4), vip(&IPV6)]);
    table.put(2, Passage::FramesOnly, None, &[other(&IPV4)]);
    table.settle().unwrap();
    let printed = run("nft list ruleset");
    let kept = without_leases(&printed);
    std::fs::write("/run/printed.nft", &kept).unwrap();
    run("nft flush ruleset");
    run("nft -f /run/printed.nft");
    assert_eq!(run("nft list ruleset"), kept);
    let link = index("va");
    for expected in [
        "set lease4_1 {\n\t\ttype iface_index\n".into(),
        "flags dynamic,timeout".into(),
        "elements = { \"va\" }".into(),
        format!("map held4_{link} {{\n\t\ttype ipv4_addr : verdict\n"),
        "192.0.2.10 : goto router4_1".into(),
        "elements = { 2001:db8::10 : goto router6_1 }".into(),
        "meta protocol arp oif @quiet4_1 drop".into(),
        "icmpv6 type nd-neighbor-advert oif @quiet6_1 drop".into(),
        "iif @lease4_1 accept".into(),
        "type filter hook ingress device \"va\" priority -500; policy accept;".into(),
        format!("ip6 daddr vmap @held6_{link}"),
        "type filter hook egress device \"va\" priority 500; policy accept;".into(),
        format!("ip protocol vrrp jump adverts4_{link}"),
        format!("arp saddr ip vmap @held4_{link}"),
        format!(
            "ip6 saddr {} @th,8,8 0x33 @th,16,8 != 0x0 oif @lease6_1 update @lease6_1 {{ oif timeout 300ms }}",
            source(Family::Ipv6)
        ),
    ] {
        assert!(printed.contains(&expected), "{expected}:\n{printed}");
    }
    assert!(printed.contains("elements = { \"va\" timeout "), "{printed}");
}

/// Without the elements that end by themselves, which nobody prints twice.
fn without_leases(printed: &str) -> String {
    printed
        .lines()
        .filter(|line| !line.contains("expires"))
        .fold(String::new(), |all, line| all + line + "\n")
}

fn other(addresses: &Addresses) -> Place {
    crate::cable::place(&format!("{}/{}", addresses.other, addresses.prefix))
}

fn other_tables_are_never_touched() {
    run("nft add table netdev firewall");
    run("nft add chain netdev firewall in { type filter hook ingress device va priority 0 ; }");
    run("nft add rule netdev firewall in ip saddr 198.51.100.1 drop");
    run("nft add table inet vipd");
    run("nft add set inet vipd lease4_1 { type ipv4_addr ; elements = { 192.0.2.10 } ; }");
    let theirs = run("nft list ruleset");
    let mut table = Orders::new();
    assert_eq!(run("nft list ruleset"), theirs, "nothing is made before it is needed");
    table.order(Passage::Open, Some(lease()), &[vip(&IPV4)]);
    assert!(run("nft list ruleset").starts_with(&theirs));
    table.order(Passage::Shut, Some(lease()), &[vip(&IPV4)]);
    table.order(Passage::Open, None, &[]);
    assert_eq!(run("nft list ruleset"), theirs);
}

fn a_link_made_anew() {
    let (mut table, old) = (Orders::new(), vip(&IPV4));
    table.order(Passage::Shut, None, &[old]);
    run("ip link del va");
    let why = table.table.loss().unwrap().unwrap();
    assert!(why.starts_with("va is gone or has another name"), "{why}");
    run("ip link add va type veth peer name vb netns peer");
    run("ip link set va up");
    assert!(table.table.loss().unwrap().is_some(), "another link of the same name");
    let new = vip(&IPV4);
    assert_ne!(new, old);
    table.table.forget();
    table.order(Passage::Shut, None, &[old, new]);
    assert_eq!(table.table.loss(), Ok(None));
    let ruleset = run("nft list ruleset");
    assert!(ruleset.contains(&format!("held4_{}", new.link)), "{ruleset}");
    assert!(!ruleset.contains(&format!("held4_{} ", old.link)), "{ruleset}");
}

fn a_link_with_a_new_name() {
    let (peer, mut table) = (Peer::new(&IPV4), Orders::new());
    table.order(Passage::FramesOnly, None, &[vip(&IPV4)]);
    // Older kernels rename only what is down.
    run("ip link set va down");
    run("ip link set va name uplink");
    run("ip link set uplink up");
    assert!(table.table.loss().unwrap().is_some());
    table.table.forget();
    table.settle().unwrap();
    assert_eq!(table.table.loss(), Ok(None));
    assert!(!peer.finds(IPV4.vip));
    assert!(peer.finds(IPV4.other));
}

fn a_link_that_is_gone() {
    let mut table = Orders::new();
    let gone = Place { link: LinkIndex(4711), net: "192.0.2.10/24".parse().unwrap() };
    assert!(!table.order(Passage::Open, None, &[gone]));
    assert_eq!(run("nft list ruleset"), "");
    assert!(table.order(Passage::Open, None, &[gone, vip(&IPV4)]));
    run("ip link del va");
    table.order(Passage::Shut, None, &[gone]);
    assert_eq!(run("nft list ruleset"), "");
}

fn a_flushed_ruleset_is_made_again() {
    let mut table = Orders::new();
    table.order(Passage::Shut, None, &[vip(&IPV4)]);
    assert_eq!(table.table.loss(), Ok(None));
    run("nft add table inet mine");
    assert_eq!(table.table.loss(), Ok(None), "what others change is theirs");
    for harm in [
        "nft flush ruleset",
        "nft flush table netdev vipd",
        "nft flush chain netdev vipd router4_1",
        "nft add rule netdev vipd router4_1 accept",
    ] {
        run(harm);
        let why = table.table.loss().unwrap().expect(harm);
        assert_eq!(why, "somebody removed or changed the nftables table 'netdev vipd'");
        table.table.forget();
        table.settle().unwrap();
        assert_eq!(table.table.loss(), Ok(None));
        let ruleset = run("nft list ruleset");
        assert_eq!(ruleset.matches("192.0.2.10 : goto router4_1").count(), 1, "{ruleset}");
    }
    run("nft flush ruleset");
    table.order(Passage::Open, None, &[]);
}

fn a_refused_change_still_closes() {
    let mut table = Orders::new();
    table.order(Passage::Open, Some(lease()), &[vip(&IPV4)]);
    // Whatever is asked for at the same time cannot be had.
    run("nft delete chain netdev vipd out_LINK".replace("LINK", &index("va").to_string()).as_str());
    run("nft flush chain netdev vipd adverts4_LINK".replace("LINK", &index("va").to_string()).as_str());
    run("nft delete chain netdev vipd adverts4_LINK".replace("LINK", &index("va").to_string()).as_str());
    table.put(1, Passage::Shut, Some(lease()), &[vip(&IPV4)]);
    table.put(2, Passage::Shut, Some(lease()), &[other(&IPV4)]);
    table.settle().unwrap_err();
    assert!(!run("nft list set netdev vipd lease4_1").contains("expires"));
    table.settle().unwrap();
    assert_eq!(table.table.loss(), Ok(None));
}

fn thousands_of_addresses() {
    let mut table = Orders::new();
    let link = index("va");
    for count in [1_u32, 100, 1_000, 10_000] {
        let places: Vec<Place> = (0..count)
            .map(|n| Ipv6Addr::from(0x2001_0db8_0001 << 80 | u128::from(n)))
            .map(|address| Place { link, net: address.to_string().parse().unwrap() })
            .collect();
        let timed = |table: &mut Orders, passage, places: &[Place]| {
            table.put(1, passage, Some(lease()), places);
            let asked = clock::now();
            table.settle().unwrap();
            clock::now().since(asked)
        };
        let made: Duration = timed(&mut table, Passage::Shut, &places);
        let map = run(&format!("nft list map netdev vipd held6_{link}"));
        assert_eq!(map.matches("2001:db8:1:").count(), places.len());
        let opened = timed(&mut table, Passage::Open, &places);
        let quiet = timed(&mut table, Passage::FramesOnly, &places);
        let closed = timed(&mut table, Passage::Shut, &places);
        let deleted = timed(&mut table, Passage::Shut, &[]);
        println!(
            "  {count} addresses: made {made:?}, opened {opened:?}, quiet {quiet:?}, closed {closed:?}, deleted {deleted:?}"
        );
        assert_eq!(run("nft list ruleset"), "");
        table = Orders::new();
    }
}
