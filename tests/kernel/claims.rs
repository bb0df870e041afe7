//! Who claims which address, as heard on the wire, and what ours look like to others.

use std::net::IpAddr;

use pnet::packet::Packet as _;
use pnet::packet::arp::ArpPacket;
use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
use pnet::packet::icmpv6::ndp::NeighborAdvertPacket;
use pnet::packet::icmpv6::{Icmpv6Types, checksum};
use pnet::packet::ipv6::Ipv6Packet;
use vipd::engine::event::Claim;
use vipd::net::{LinkIndex, Mac};
use vipd::sys::claims::Listener;
use vipd::sys::frames::Frames;
use vipd::wire::{arp, ndp};

use crate::Test;
use crate::cable::{Sniffer, in_peer, index, mac, run, wait_for};

pub(crate) const TESTS: &[Test] = &[
    ("a_gratuitous_arp_of_another_host_is_heard", a_gratuitous_arp_is_heard),
    ("an_ordinary_arp_request_is_a_claim_and_a_probe_is_none", an_ordinary_arp_request_is_a_claim),
    ("an_advertisement_of_another_host_is_heard", an_advertisement_is_heard),
    ("a_forwarded_advertisement_is_not_heard", a_forwarded_advertisement_is_not_heard),
    ("our_own_announcements_are_no_claims", our_own_announcements_are_no_claims),
    ("pnet_reads_the_gratuitous_arp_on_the_wire", pnet_reads_the_gratuitous_arp),
    ("pnet_reads_the_advertisement_on_the_wire", pnet_reads_the_advertisement),
    ("frames_say_when_their_link_is_down_or_gone", frames_say_when_their_link_is_down_or_gone),
];

const STRANGER: Mac = Mac([2, 0, 0, 0, 0, 0x99]);

fn frames_there() -> Frames {
    in_peer(|| Frames::open(index("vb")).unwrap())
}

fn claim(address: &str) -> Claim {
    Claim { link: index("va"), mac: STRANGER, address: address.parse().unwrap() }
}

/// The next claim that is not the other kernel's own.
fn heard(listener: &Listener) -> Claim {
    wait_for("the claim", || listener.receive().unwrap().filter(|claim| claim.mac == STRANGER))
}

fn gratuitous(address: &str) -> [u8; 42] {
    arp::gratuitous(STRANGER, address.parse().unwrap())
}

fn a_gratuitous_arp_is_heard() {
    let listener = Listener::arp().unwrap();
    frames_there().send(&gratuitous("192.0.2.10")).unwrap();
    assert_eq!(heard(&listener), claim("192.0.2.10"));
}

fn an_ordinary_arp_request_is_a_claim() {
    let listener = Listener::arp().unwrap();
    let mut probe = gratuitous("192.0.2.10");
    probe[28..32].fill(0);
    let mut request = gratuitous("192.0.2.11");
    request[38..].copy_from_slice(&[192, 0, 2, 1]);
    let mut senseless = gratuitous("192.0.2.12");
    senseless[21] = 3;
    let frames = frames_there();
    for frame in [probe, senseless, request] {
        frames.send(&frame).unwrap();
    }
    assert_eq!(heard(&listener), claim("192.0.2.11"));
}

fn an_advertisement_is_heard() {
    let listener = Listener::ndp().unwrap();
    let frame = ndp::unsolicited(STRANGER, "2001:db8::10".parse().unwrap(), false);
    frames_there().send(&frame).unwrap();
    assert_eq!(heard(&listener), claim("2001:db8::10"));
}

fn a_forwarded_advertisement_is_not_heard() {
    let listener = Listener::ndp().unwrap();
    let frames = frames_there();
    let mut forwarded = ndp::unsolicited(STRANGER, "2001:db8::10".parse().unwrap(), false);
    forwarded[14 + 7] = 254;
    frames.send(&forwarded).unwrap();
    frames.send(&ndp::unsolicited(STRANGER, "2001:db8::11".parse().unwrap(), false)).unwrap();
    assert_eq!(heard(&listener), claim("2001:db8::11"));
}

fn our_own_announcements_are_no_claims() {
    let (arp, ndp) = (Listener::arp().unwrap(), Listener::ndp().unwrap());
    let ours = Frames::open(index("va")).unwrap();
    ours.send(&gratuitous("192.0.2.10")).unwrap();
    ours.send(&ndp::unsolicited(STRANGER, "2001:db8::10".parse().unwrap(), false)).unwrap();
    let theirs = frames_there();
    theirs.send(&gratuitous("192.0.2.11")).unwrap();
    theirs.send(&ndp::unsolicited(STRANGER, "2001:db8::11".parse().unwrap(), false)).unwrap();
    assert_eq!(heard(&arp), claim("192.0.2.11"));
    assert_eq!(heard(&ndp), claim("2001:db8::11"));
}

fn pnet_reads_the_gratuitous_arp() {
    let sniffer = Sniffer::new();
    let vip = "192.0.2.10".parse().unwrap();
    Frames::open(index("va")).unwrap().send(&arp::gratuitous(mac("va"), vip)).unwrap();
    let source = sniffer.find(|seen| {
        let ethernet = EthernetPacket::new(&seen.frame)?;
        let arp =
            (ethernet.get_ethertype() == EtherTypes::Arp).then(|| ArpPacket::new(ethernet.payload()))??;
        (arp.get_sender_proto_addr() == vip && arp.get_target_proto_addr() == vip)
            .then(|| ethernet.get_source())
    });
    assert_eq!(source.octets(), mac("va").0);
}

fn pnet_reads_the_advertisement() {
    let sniffer = Sniffer::new();
    let vip = "2001:db8::10".parse().unwrap();
    Frames::open(index("va")).unwrap().send(&ndp::unsolicited(mac("va"), vip, false)).unwrap();
    sniffer.find(|seen| {
        let ethernet = EthernetPacket::new(&seen.frame)?;
        let ipv6 =
            (ethernet.get_ethertype() == EtherTypes::Ipv6).then(|| Ipv6Packet::new(ethernet.payload()))??;
        let advert = NeighborAdvertPacket::new(ipv6.payload())?;
        if advert.get_icmpv6_type() != Icmpv6Types::NeighborAdvert || advert.get_target_addr() != vip {
            return None;
        }
        let icmpv6 = pnet::packet::icmpv6::Icmpv6Packet::new(ipv6.payload())?;
        assert_eq!(icmpv6.get_checksum(), checksum(&icmpv6, &ipv6.get_source(), &ipv6.get_destination()));
        assert_eq!(ipv6.get_hop_limit(), 255);
        assert_eq!(advert.get_options()[0].data, mac("va").0);
        Some(())
    });
    // The other kernel believes it: a listener there hears the claim.
    let listener = in_peer(|| Listener::ndp().unwrap());
    Frames::open(index("va")).unwrap().send(&ndp::unsolicited(STRANGER, vip, false)).unwrap();
    assert_eq!(heard(&listener).address, IpAddr::V6(vip));
}

fn frames_say_when_their_link_is_down_or_gone() {
    assert!(Frames::open(LinkIndex(4711)).is_err());
    let frames = Frames::open(index("va")).unwrap();
    frames.send(&gratuitous("192.0.2.10")).unwrap();
    run("ip link set va down");
    assert!(frames.send(&gratuitous("192.0.2.10")).is_err());
    run("ip link set va up");
    frames.send(&gratuitous("192.0.2.10")).unwrap();
    run("ip link del va");
    assert!(frames.send(&gratuitous("192.0.2.10")).is_err());
}
