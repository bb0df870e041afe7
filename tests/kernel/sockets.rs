//! Adverts across a cable: what arrives, from whom, with what hop limit and stamp.

use std::net::IpAddr;

use nix::libc;
use pnet::packet::Packet as _;
use pnet::packet::ipv4::Ipv4Packet;
use vipd::engine::action::Endpoint;
use vipd::engine::event::Packet;
use vipd::net::{Family, LinkIndex};
use vipd::sys::address::{Addresses, Known};
use vipd::sys::clock;
use vipd::sys::vrrp_socket::{BUFFER, VrrpSocket};

use crate::Test;
use crate::cable::{BOUND, in_peer, index, place, wait_for};

pub(crate) const TESTS: &[Test] = &[
    ("an_ipv4_advert_arrives_with_ttl_source_and_stamp", an_ipv4_advert_arrives),
    ("an_ipv6_advert_arrives_with_hop_limit_source_and_stamp", an_ipv6_advert_arrives),
    ("a_link_local_source_can_be_pinned", a_link_local_source_can_be_pinned),
    ("unicast_arrives_without_a_group", unicast_arrives_without_a_group),
    ("a_virtual_address_does_not_become_the_source", a_virtual_address_does_not_become_the_source),
    ("a_socket_does_not_hear_itself", a_socket_does_not_hear_itself),
    ("an_ipv4_socket_hears_its_groups_alone", an_ipv4_socket_hears_its_groups_alone),
    ("no_socket_opens_on_a_link_that_is_gone", no_socket_opens_on_a_link_that_is_gone),
    ("a_foreign_source_is_refused", a_foreign_source_is_refused),
];

const ADVERT: &[u8] = b"not looked at here";

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    payload: Vec<u8>,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn here(family: Family) -> VrrpSocket {
    VrrpSocket::open(Endpoint { link: index("va"), family }, &[family.group()]).unwrap()
}

fn there(family: Family, groups: &[IpAddr]) -> VrrpSocket {
    in_peer(|| VrrpSocket::open(Endpoint { link: index("vb"), family }, groups).unwrap())
}

fn got(socket: &VrrpSocket) -> Option<Got> {
    let mut buffer = [0; BUFFER];
    let arrived = socket.receive(&mut buffer).unwrap()?;
    let age = clock::realtime().saturating_sub(arrived.stamp);
    assert!(!arrived.stamp.is_zero() && age < BOUND, "{age:?}");
    Some(match arrived.packet {
        Packet::Ipv4(bytes) => {
            let packet = Ipv4Packet::new(bytes).unwrap();
            assert_eq!(packet.get_dscp() << 2 | packet.get_ecn(), 0xc0);
            Got {
                source: packet.get_source().into(),
                destination: packet.get_destination().into(),
                hop_limit: packet.get_ttl(),
                payload: packet.payload().to_vec(),
            }
        }
        Packet::Ipv6 { source, destination, hop_limit, payload } => {
            Got { source, destination, hop_limit, payload: payload.to_vec() }
        }
    })
}

fn crosses(family: Family, source: &str, destination: &str, groups: &[IpAddr]) {
    let (here, there) = (here(family), there(family, groups));
    here.send(ip(source), ip(destination), ADVERT).unwrap();
    let expected =
        Got { source: ip(source), destination: ip(destination), hop_limit: 255, payload: ADVERT.to_vec() };
    assert_eq!(wait_for("the advert", || got(&there)), expected);
    assert_eq!(got(&there), None);
}

fn an_ipv4_advert_arrives() {
    crosses(Family::Ipv4, "192.0.2.1", "224.0.0.18", &[Family::Ipv4.group()]);
}

fn an_ipv6_advert_arrives() {
    crosses(Family::Ipv6, "2001:db8::1", "ff02::12", &[Family::Ipv6.group()]);
}

fn link_local() -> String {
    let picture = Addresses::open().unwrap().picture().unwrap();
    let nets =
        picture.addresses.iter().filter(|address| address.link == index("va")).map(|a| a.net.address());
    nets.map(|address| address.to_string()).find(|address| address.starts_with("fe80:")).unwrap()
}

fn a_link_local_source_can_be_pinned() {
    crosses(Family::Ipv6, &link_local(), "ff02::12", &[Family::Ipv6.group()]);
}

fn unicast_arrives_without_a_group() {
    crosses(Family::Ipv4, "192.0.2.1", "192.0.2.2", &[]);
    crosses(Family::Ipv6, "2001:db8::1", "2001:db8::2", &[]);
    let peer = in_peer(|| {
        let picture = Addresses::open().unwrap().picture().unwrap();
        let mut addresses = picture.addresses.iter().map(|address| address.net.address().to_string());
        addresses.find(|address| address.starts_with("fe80:")).unwrap()
    });
    crosses(Family::Ipv6, &link_local(), &peer, &[]);
}

fn a_virtual_address_does_not_become_the_source() {
    let places = ["192.0.2.10/32", "2001:db8::10/64"].map(|net| place(net).into());
    assert!(Addresses::open().unwrap().add(&places, &mut Known::default()).iter().all(Result::is_ok));
    crosses(Family::Ipv4, "192.0.2.1", "224.0.0.18", &[Family::Ipv4.group()]);
    crosses(Family::Ipv6, "2001:db8::1", "ff02::12", &[Family::Ipv6.group()]);
}

fn a_socket_does_not_hear_itself() {
    for (family, source) in [(Family::Ipv4, "192.0.2.1"), (Family::Ipv6, "2001:db8::1")] {
        let (here, there) = (here(family), there(family, &[family.group()]));
        here.send(ip(source), family.group(), ADVERT).unwrap();
        assert_eq!(wait_for("the advert", || got(&there)).source, ip(source));
        assert_eq!(got(&here), None);
    }
}

fn an_ipv4_socket_hears_its_groups_alone() {
    let (group, other) = (Family::Ipv4.group(), ip("224.0.0.5"));
    let (here, member) = (here(Family::Ipv4), there(Family::Ipv4, &[group]));
    // Somebody in the other host is in the other group, so that its datagrams are let in.
    let (guest, outsider) = (there(Family::Ipv4, &[other]), there(Family::Ipv4, &[]));
    here.send(ip("192.0.2.1"), other, ADVERT).unwrap();
    here.send(ip("192.0.2.1"), group, ADVERT).unwrap();
    assert_eq!(wait_for("the other group's", || got(&guest)).destination, other);
    assert_eq!(wait_for("the group's", || got(&member)).destination, group);
    assert_eq!((got(&guest), got(&member), got(&outsider)), (None, None, None));
}

fn no_socket_opens_on_a_link_that_is_gone() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let error =
            VrrpSocket::open(Endpoint { link: LinkIndex(4711), family }, &[family.group()]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}

fn a_foreign_source_is_refused() {
    assert!(here(Family::Ipv4).send(ip("192.0.2.99"), ip("224.0.0.18"), ADVERT).is_err());
    assert!(here(Family::Ipv6).send(ip("2001:db8::99"), ip("ff02::12"), ADVERT).is_err());
    assert!(here(Family::Ipv4).send(ip("2001:db8::1"), ip("224.0.0.18"), ADVERT).is_err());
}
