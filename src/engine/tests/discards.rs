//! RFC 9568, 7.1, and RFC 3768, 7.1: each check of a received advert with its own counter, and no effect.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::driver::*;
use crate::engine::event::{Change, Event, Packet, Received};
use crate::engine::judging::AdvertFate;
use crate::engine::notice::{Discard, State, What};
use crate::engine::settings::{Instance, Preempt, Settings, Unicast};
use crate::net::{Family, Priority, Vrid};
use crate::time::Duration;
use crate::wire::checksum::Checksum;
use crate::wire::vrrp::{Advert, Authentication, ChecksumForm, Version};
use proptest::prelude::*;

/// A backup that follows whoever speaks.
fn listener() -> Instance {
    Instance { preempt: Preempt::Never, ..dual(100) }
}

fn version_2() -> Instance {
    Instance { version: Version::V2, preempt: Preempt::Never, ..instance(100) }
}

fn with_password(password: [u8; 8]) -> Instance {
    Instance { authentication: Authentication::Simple(password), ..version_2() }
}

fn advert_2() -> Advert {
    Advert { version: Version::V2, checksum: ChecksumForm::Message, ..advert(200) }
}

fn unicast() -> Instance {
    let unicast = Unicast { sources: [US, US6].into(), peers: [PEER, PEER6].map(peer).into() };
    Instance { unicast: Some(unicast), ..listener() }
}

fn to_us(advert: &Advert) -> Arriving {
    match Family::of(advert.addresses[0]) {
        Family::Ipv4 => Arriving::between(advert, PEER, US),
        Family::Ipv6 => Arriving::between(advert, PEER6, US6),
    }
}

/// An advert with some bytes changed and its checksum, without pseudo-header, made right again.
fn changed(advert: &Advert, length: usize, changes: &[(usize, u8)]) -> Arriving {
    let mut arriving = Arriving::new(advert);
    arriving.payload.truncate(length);
    for (at, byte) in changes {
        arriving.payload[*at] = *byte;
    }
    arriving.payload[6..8].fill(0);
    let checksum = Checksum::new().with(&arriving.payload).finish();
    arriving.payload[6..8].copy_from_slice(&checksum.to_be_bytes());
    arriving
}

fn received(host: &Host) -> u64 {
    host.instance().routers.iter().map(|router| router.counters.received).sum()
}

fn accepts(settings: Instance, arriving: &Arriving) {
    let mut host = Host::started(only(settings));
    host.pass(SECOND);
    assert_eq!(host.fate(arriving), AdvertFate::Accepted, "to whoever looks on");
    host.arrive(arriving);
    assert_eq!(host.discarded(), BTreeMap::new());
    assert_eq!(received(&host), 1);
}

/// Counted once, told once, and nothing else changes, whether as a backup or as a master.
fn discards(settings: &Instance, arriving: &Arriving, reason: Discard) {
    for started in [Host::started, Host::master] {
        let mut host = started(only(settings.clone()));
        host.pass(ms(500));
        let (state, due) = (host.state(), host.engine.deadline());
        assert_eq!(host.fate(arriving), AdvertFate::Discarded(reason), "to whoever looks on");
        let actions = host.arrive(arriving);
        assert_eq!(host.discarded(), BTreeMap::from([(reason, 1)]));
        assert_eq!((received(&host), host.state(), host.engine.deadline()), (0, state, due));
        let told = notices(&actions);
        assert!(matches!(&told[..], [What::Discarded { reason: told, .. }] if *told == reason), "{told:?}");
        assert_eq!(actions.len(), 1);
    }
}

// The IP header.

#[test]
fn an_advert_with_ttl_or_hop_limit_255_is_accepted() {
    accepts(listener(), &Arriving::new(&advert(200)));
    accepts(listener(), &Arriving::new(&advert6(200)));
    accepts(version_2(), &Arriving::new(&advert_2()));
}

#[test]
fn an_advert_with_another_ttl_or_hop_limit_is_discarded() {
    for ttl in [0, 1, 64, 254] {
        for advert in [advert(200), advert6(200)] {
            let arriving = Arriving { ttl, ..Arriving::new(&advert) };
            discards(&listener(), &arriving, Discard::HopLimit);
        }
        let arriving = Arriving { ttl, ..Arriving::new(&advert_2()) };
        discards(&version_2(), &arriving, Discard::HopLimit);
    }
}

#[test]
fn an_advert_behind_ip_options_is_accepted() {
    // A router alert, RFC 2113.
    let options = Vec::from([0x94, 0x04, 0, 0]);
    accepts(listener(), &Arriving { options, ..Arriving::new(&advert(200)) });
}

#[test]
fn a_packet_without_a_whole_ip_header_is_discarded() {
    let mut host = Host::started(only(listener()));
    let whole: Vec<u8> = (0..60).collect();
    for bytes in [&whole[..0], &whole[..19], &whole[..]] {
        host.give(Event::Datagram(Received { at: host.now, link: ETH0, packet: Packet::Ipv4(bytes) }));
    }
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::IpHeader, 3)]));
}

#[test]
fn a_packet_of_another_protocol_is_discarded() {
    // 51, an authentication header in front of the advert.
    let mut bytes = Vec::from([0x45, 0xc0, 0, 20, 0, 1, 0, 0, 255, 51, 0, 0, 192, 0, 2, 9, 224, 0, 0, 18]);
    let mut host = Host::started(only(listener()));
    host.give(Event::Datagram(Received { at: host.now, link: ETH0, packet: Packet::Ipv4(&bytes) }));
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::IpHeader, 1)]));
    bytes[9] = 112;
    host.give(Event::Datagram(Received { at: host.now, link: ETH0, packet: Packet::Ipv4(&bytes) }));
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::IpHeader, 1), (Discard::Truncated, 1)]));
}

// The message.

#[test]
fn an_advert_of_another_version_than_configured_is_discarded() {
    discards(&listener(), &Arriving::new(&advert_2()), Discard::Version);
    discards(&version_2(), &Arriving::new(&advert(200)), Discard::Version);
    let short = changed(&advert(200), 12, &[(0, 0x41)]);
    discards(&listener(), &short, Discard::Version);
}

#[test]
fn who_is_not_heard_because_the_configurations_disagree_is_warned_of() {
    let mut host = Host::master(only(listener()));
    host.arrive(&Arriving::new(&advert_2()));
    let expected = "web: adverts of 192.0.2.9 are discarded, they are of another VRRP version; make the two \
                    configurations agree";
    assert_eq!(host.warnings(), [expected]);
    host.pass(SECOND * 3);
    assert_eq!(host.warnings(), [""; 0]);
    host.arrive(&Arriving { ttl: 254, ..Arriving::new(&advert(200)) });
    assert_eq!(host.warnings(), [""; 0], "it came from elsewhere");
}

#[test]
fn an_advert_of_the_version_configured_is_accepted() {
    accepts(listener(), &Arriving::new(&advert(200)));
    accepts(version_2(), &Arriving::new(&advert_2()));
}

#[test]
fn a_message_that_is_no_advertisement_is_discarded() {
    discards(&listener(), &changed(&advert(200), 12, &[(0, 0x32)]), Discard::Type);
}

#[test]
fn a_truncated_advert_is_discarded() {
    for length in 2..8 {
        let mut arriving = Arriving::new(&advert6(200));
        arriving.payload.truncate(length);
        discards(&listener(), &arriving, Discard::Truncated);
    }
    for length in [0, 1] {
        let mut arriving = Arriving::new(&advert(200));
        arriving.payload.truncate(length);
        discards(&listener(), &arriving, Discard::Truncated);
    }
}

#[test]
fn an_advert_shorter_or_longer_than_its_addresses_is_discarded() {
    discards(&listener(), &changed(&advert(200), 11, &[]), Discard::Length);
    discards(&listener(), &changed(&advert(200), 12, &[(3, 2)]), Discard::Length);
    discards(&version_2(), &changed(&advert_2(), 12, &[]), Discard::Length);
    for trailing in [4, 28] {
        let mut arriving = Arriving::new(&advert6(200));
        arriving.payload.extend(core::iter::repeat_n(0, trailing));
        discards(&listener(), &arriving, Discard::Length);
    }
}

#[test]
fn an_advert_with_a_wrong_checksum_is_discarded() {
    for advert in [advert(200), advert6(200)] {
        let mut arriving = Arriving::new(&advert);
        arriving.payload[7] ^= 1;
        discards(&listener(), &arriving, Discard::Checksum);
    }
    let mut arriving = Arriving::new(&advert_2());
    arriving.payload[7] ^= 1;
    discards(&version_2(), &arriving, Discard::Checksum);
    // A pseudo-header is right only with the addresses that the packet has.
    let arriving = Arriving { source: ip("192.0.2.8"), ..Arriving::new(&advert(200)) };
    discards(&listener(), &arriving, Discard::Checksum);
}

#[test]
fn both_checksums_of_version_3_over_ipv4_are_accepted_and_counted_apart() {
    let mut host = Host::started(only(listener()));
    for checksum in [ChecksumForm::PseudoHeader, ChecksumForm::Message, ChecksumForm::Message] {
        host.hear(&Advert { checksum, ..advert(200) });
    }
    assert_eq!(host.router(Family::Ipv4).counters.checksum_forms, [1, 2]);
    host.hear(&advert6(200));
    assert_eq!(host.router(Family::Ipv6).counters.checksum_forms, [0, 0]);
}

#[test]
fn an_advert_without_an_address_is_discarded() {
    discards(&listener(), &changed(&advert(200), 8, &[(3, 0)]), Discard::CountZero);
    let none = changed(&advert_2(), 16, &[(3, 0), (8, 0), (9, 0), (10, 0), (11, 0)]);
    discards(&version_2(), &none, Discard::CountZero);
}

// Who is meant.

#[test]
fn an_advert_of_an_unknown_virtual_router_is_discarded() {
    let other = Advert { vrid: Vrid::new(52).unwrap(), ..advert(200) };
    discards(&listener(), &Arriving::new(&other), Discard::UnknownVrid);
    discards(&listener(), &changed(&advert(200), 12, &[(1, 0)]), Discard::UnknownVrid);
}

#[test]
fn an_advert_on_another_interface_is_discarded() {
    let arriving = Arriving { link: ETH1, ..Arriving::new(&advert(200)) };
    discards(&listener(), &arriving, Discard::UnknownVrid);
}

#[test]
fn an_advert_of_a_family_the_instance_does_not_have_is_discarded() {
    discards(&instance(100), &Arriving::new(&advert6(200)), Discard::UnknownVrid);
}

#[test]
fn an_advert_from_our_own_source_is_discarded() {
    let group = Family::Ipv4.group();
    discards(&listener(), &Arriving::between(&advert(200), US, group), Discard::OwnSource);
    let group = Family::Ipv6.group();
    discards(&listener(), &Arriving::between(&advert6(200), US6, group), Discard::OwnSource);
}

#[test]
fn a_unicast_advert_from_a_configured_peer_is_accepted_whatever_its_ttl() {
    for ttl in [255, 64, 1] {
        accepts(unicast(), &Arriving { ttl, ..to_us(&advert(200)) });
        accepts(unicast(), &Arriving { ttl, ..to_us(&advert6(200)) });
    }
}

#[test]
fn a_unicast_advert_from_anybody_else_is_discarded() {
    let stranger = Arriving::between(&advert(200), ip("192.0.2.8"), US);
    discards(&unicast(), &stranger, Discard::UnknownPeer);
    let stranger = Arriving::between(&advert6(200), ip("fe80::8"), US6);
    discards(&unicast(), &stranger, Discard::UnknownPeer);
}

#[test]
fn a_unicast_advert_to_a_multicast_instance_is_discarded() {
    discards(&listener(), &to_us(&advert(200)), Discard::Destination);
    discards(&listener(), &to_us(&advert6(200)), Discard::Destination);
}

#[test]
fn a_multicast_advert_to_a_unicast_instance_is_discarded() {
    discards(&unicast(), &Arriving::new(&advert(200)), Discard::Destination);
    discards(&unicast(), &Arriving::new(&advert6(200)), Discard::Destination);
}

#[test]
fn two_unicast_instances_of_one_virtual_router_id_hear_their_own_adverts() {
    let pair = |name: &str, source: IpAddr, vip: &str| Instance {
        name: name.into(),
        unicast: Some(Unicast { sources: [source].into(), peers: [PEER].map(peer).into() }),
        addresses: nets(&[vip]),
        preempt: Preempt::Never,
        ..instance(100)
    };
    let mut host =
        Host::dark(all([pair("web", US, "192.0.2.10"), pair("mail", ip("192.0.2.6"), "192.0.2.11")]));
    let mut picture = picture();
    picture.addresses.push(foreign(ETH0, "192.0.2.6/24"));
    host.give(Event::Picture(picture));
    host.arrive(&Arriving::between(&advert(200), PEER, ip("192.0.2.6")));
    assert_eq!(host.discarded(), BTreeMap::new());
    assert!(host.named("mail").routers[0].master.is_some());
    assert!(host.named("web").routers[0].master.is_none());
}

// The interval.

#[test]
fn a_version_3_advert_with_another_interval_is_accepted_and_its_interval_learned() {
    let mut host = Host::started(only(listener()));
    host.hear(&Advert { interval: SECOND * 2, ..advert(200) });
    assert_eq!(host.router(Family::Ipv4).master_interval, SECOND * 2);
    // 3 x 2 s and 2 s x 156/256.
    assert_eq!(host.router(Family::Ipv4).master_down, Duration::from_micros(7_218_750));
    assert_eq!(host.router(Family::Ipv6).master_interval, SECOND, "each family has its own master");
}

#[test]
fn a_version_2_advert_with_another_interval_is_discarded() {
    let slower = Advert { interval: SECOND * 2, ..advert_2() };
    discards(&version_2(), &Arriving::new(&slower), Discard::Interval);
}

#[test]
fn an_advert_with_an_interval_of_zero_is_discarded() {
    discards(&listener(), &changed(&advert(200), 12, &[(5, 0)]), Discard::Interval);
    discards(&version_2(), &changed(&advert_2(), 20, &[(5, 0)]), Discard::Interval);
}

// Authentication.

#[test]
fn a_version_2_advert_with_our_password_is_accepted() {
    let advert = Advert { authentication: Authentication::Simple(*b"secret\0\0"), ..advert_2() };
    accepts(with_password(*b"secret\0\0"), &Arriving::new(&advert));
}

#[test]
fn a_version_2_advert_with_a_wrong_password_is_discarded() {
    let advert = Advert { authentication: Authentication::Simple(*b"Secret\0\0"), ..advert_2() };
    discards(&with_password(*b"secret\0\0"), &Arriving::new(&advert), Discard::Authentication);
}

#[test]
fn a_version_2_advert_without_our_password_is_discarded() {
    discards(&with_password(*b"secret\0\0"), &Arriving::new(&advert_2()), Discard::AuthenticationType);
}

#[test]
fn a_version_2_advert_with_a_password_that_we_do_not_have_is_discarded() {
    let advert = Advert { authentication: Authentication::Simple(*b"secret\0\0"), ..advert_2() };
    discards(&version_2(), &Arriving::new(&advert), Discard::AuthenticationType);
}

#[test]
fn a_version_2_advert_of_an_unknown_authentication_type_is_discarded() {
    discards(&version_2(), &changed(&advert_2(), 20, &[(4, 2)]), Discard::AuthenticationType);
}

// The addresses.

#[test]
fn an_advert_that_lists_other_addresses_is_accepted_and_counted() {
    let lists =
        |addresses: &[&str]| Advert { addresses: addresses.iter().map(|a| ip(a)).collect(), ..advert(200) };
    let two = Instance { addresses: nets(&["192.0.2.10/24", "192.0.2.11/24"]), ..listener() };
    for (theirs, differs) in [
        (&["192.0.2.10", "192.0.2.11"][..], false),
        (&["192.0.2.11", "192.0.2.10"], false),
        (&["192.0.2.10"], true),
        (&["192.0.2.10", "192.0.2.12"], true),
        (&["192.0.2.10", "192.0.2.11", "192.0.2.12"], true),
    ] {
        let mut host = Host::started(only(two.clone()));
        host.hear(&lists(theirs));
        let counters = host.router(Family::Ipv4).counters;
        assert_eq!((counters.received, counters.address_mismatches), (1, u64::from(differs)), "{theirs:?}");
        assert_eq!(host.warnings().len(), usize::from(differs));
    }
}

// Deaf, and noisy.

#[test]
fn an_instance_in_init_or_fault_discards_every_advert() {
    let late = Settings { startup_delay: SECOND * 60, ..only(listener()) };
    let mut host = Host::started(late);
    assert_eq!(host.state(), State::Init);
    host.hear(&advert(200));
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::NotListening, 1)]));
    let mut host = Host::started(only(listener()));
    host.change(Change::AddressGone(on_eth0("192.0.2.5/24")));
    assert_eq!(host.state(), State::Fault);
    host.hear(&advert(200));
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::NotListening, 1)]));
}

#[test]
fn a_deaf_instance_tells_whom_it_overhears_while_that_is_fresh() {
    let mut host = Host::started(only(listener()));
    host.give(Event::Change(Change::AddressGone(on_eth0("192.0.2.5/24"))));
    assert_eq!((host.state(), host.router(Family::Ipv4).master), (State::Fault, None));
    let spoofed = Arriving { ttl: 254, ..Arriving::new(&advert(200)) };
    host.arrive(&spoofed);
    assert_eq!(host.router(Family::Ipv4).master, None);
    assert_eq!(outline(&host.hear(&advert(200))), [""; 0], "a fault of ours makes no peer suspicious");
    let master = host.router(Family::Ipv4).master.unwrap();
    assert_eq!((master.address, master.priority), (PEER, Priority::new(200)));
    assert_eq!(host.state(), State::Fault);
    host.pass(SECOND * 4);
    assert_eq!(host.router(Family::Ipv4).master, None, "it fell silent");
    host.hear(&advert(200));
    host.hear(&advert(0));
    assert_eq!(host.router(Family::Ipv4).master, None, "it resigned");
}

#[test]
fn discards_of_one_kind_are_told_once_a_minute_and_all_counted() {
    let mut host = Host::started(only(listener()));
    let spoofed = Arriving { ttl: 254, ..Arriving::new(&advert(200)) };
    let stray = Arriving { link: ETH1, ..Arriving::new(&advert(200)) };
    let mut told = 0;
    for _ in 0..120 {
        host.pass(SECOND);
        told += notices(&host.arrive(&spoofed)).len() + notices(&host.arrive(&stray)).len();
    }
    assert_eq!(told, 4);
    assert_eq!(host.discarded(), BTreeMap::from([(Discard::HopLimit, 120), (Discard::UnknownVrid, 120)]));
}

#[test]
fn a_resignation_is_counted() {
    let mut host = Host::started(only(listener()));
    host.hear(&advert(0));
    host.hear(&advert(1));
    assert_eq!(host.router(Family::Ipv4).counters.resignations, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn noise_is_counted_and_changes_nothing(
        packets in prop::collection::vec((any::<bool>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..80)), 1..40),
    ) {
        let mut host = Host::started(only(listener()));
        let due = host.engine.deadline();
        let sent = packets.len() as u64;
        for (six, ttl, payload) in packets {
            let like = if six { advert6(200) } else { advert(200) };
            host.arrive(&Arriving { ttl, payload, ..Arriving::new(&like) });
        }
        prop_assert_eq!(host.discarded().values().sum::<u64>(), sent);
        prop_assert_eq!(host.engine.deadline(), due);
    }
}
