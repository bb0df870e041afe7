//! Gratuitous ARP and Neighbor Advertisements on the wire, counted on another host: as many as with keepalived, at the
//! same times, and no faster than a limit allows.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lab::vipd::{Programs, configuration};
use lab::{Host, Keepalived, Node, Router, Sniffer, Vipd, claim, isolated, until};
use pnet::packet::ethernet::EtherTypes;
use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::ipv4::{self, MutableIpv4Packet};
use pnet::util::MacAddr;
use vipd::net::{Priority, Vrid};
use vipd::wire::vrrp::{Advert, Authentication, ChecksumForm, Version};

const SOON: Duration = Duration::from_secs(15);
const SECOND: u64 = 1_000_000_000;

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

/// When each frame in which a host announced an address arrived, and for which.
fn announced(sniffer: &Sniffer, host: &Host) -> Vec<(u64, IpAddr)> {
    let all = sniffer.look(|frames| {
        let each = frames.iter().filter_map(|frame| Some((frame.at, frame.announced()?)));
        each.collect::<Vec<_>>()
    });
    let ours = all.into_iter().filter(|(_, (_, mac))| *mac == host.mac());
    ours.map(|(at, (address, _))| (at, address)).collect()
}

/// How many frames came around each second after the first one, up to `seconds`.
fn by_second(frames: &[(u64, IpAddr)], seconds: usize) -> Vec<usize> {
    let first = frames.first().map_or(0, |(at, _)| *at);
    let mut counts = vec![0; seconds];
    for (at, _) in frames {
        let second = usize::try_from((at - first + SECOND / 2) / SECOND).unwrap();
        if let Some(count) = counts.get_mut(second) {
            *count += 1;
        }
    }
    counts
}

#[test]
fn a_master_announces_as_often_as_keepalived_when_it_is_told_so() {
    isolated(|lab| {
        let (ours, theirs, client) = (lab.host("ours"), lab.host("theirs"), lab.host("client"));
        let router = |vrid, address: &str| {
            Router::new("web", vrid, 150, address)
                .every(200)
                .vipd("announce: { again_after: 1s, repeat: 3, refresh: 2s, refresh_repeat: 2 }")
                .keepalived("garp_master_delay 1")
                .keepalived("garp_master_repeat 3")
                .keepalived("garp_master_refresh 2")
                .keepalived("garp_master_refresh_repeat 2")
        };
        let sniffer = Sniffer::on(&client);
        let vipd = Vipd::start(&ours, &programs(), &router(51, "192.0.2.100/24").into());
        let keepalived = Keepalived::start(&theirs, &router(52, "192.0.2.101/24").into());
        let counted = |host: &Host| {
            until(&format!("{} has announced for seven seconds", host.name()), SOON, || {
                let frames = announced(&sniffer, host);
                let (first, last) = (frames.first()?.0, frames.last()?.0);
                (last - first > 6 * SECOND - SECOND / 2).then(|| by_second(&frames, 6))
            })
        };
        let (here, there) = (counted(&ours), counted(&theirs));
        println!("frames around each second: vipd {here:?}, keepalived {there:?}");
        assert_eq!(here, [3, 3, 2, 0, 2, 0]);
        assert_eq!(here, there);
        drop((vipd, keepalived));
    });
}

/// An IPv4 packet with an advert of priority 50 for virtual router `vrid`, as `host` would send it.
fn lower_advert(host: &Host, vrid: u8, address: &str) -> Vec<u8> {
    let (source, group) = (host.ipv4(), Ipv4Addr::new(224, 0, 0, 18));
    let advert = Advert {
        version: Version::V3,
        vrid: Vrid::new(vrid).unwrap(),
        priority: Priority::new(50),
        interval: vipd::time::Duration::from_millis(200),
        authentication: Authentication::None,
        addresses: vec![address.parse().unwrap()],
        checksum: ChecksumForm::PseudoHeader,
    };
    let payload = advert.encode(source.into(), group.into());
    let mut bytes = vec![0; 20 + payload.len()];
    let mut packet = MutableIpv4Packet::new(&mut bytes).unwrap();
    packet.set_version(4);
    packet.set_header_length(5);
    packet.set_total_length(u16::try_from(20 + payload.len()).unwrap());
    packet.set_ttl(255);
    packet.set_next_level_protocol(IpNextHeaderProtocol(112));
    packet.set_source(source);
    packet.set_destination(group);
    packet.set_payload(&payload);
    let sum = ipv4::checksum(&packet.to_immutable());
    packet.set_checksum(sum);
    bytes
}

#[test]
fn a_master_that_hears_a_lower_one_announces_again_as_often_as_keepalived() {
    isolated(|lab| {
        let (ours, theirs, client) = (lab.host("ours"), lab.host("theirs"), lab.host("client"));
        let router = |vrid, address: &str| {
            Router::new("web", vrid, 150, address)
                .every(200)
                .vipd("announce: { again_after: off, refresh: off, after_lower: { again_after: 2s, repeat: 3 } }")
                .keepalived("garp_master_delay 0")
                .keepalived("garp_master_repeat 1")
                .keepalived("garp_lower_prio_delay 2")
                .keepalived("garp_lower_prio_repeat 3")
        };
        let sniffer = Sniffer::on(&client);
        let vipd = Vipd::start(&ours, &programs(), &router(51, "192.0.2.100/24").into());
        let keepalived = Keepalived::start(&theirs, &router(52, "192.0.2.101/24").into());
        let counted = |host: &Host, vrid, address: &str| {
            until(&format!("{} is master", host.name()), SOON, || {
                (!announced(&sniffer, host).is_empty()).then_some(())
            });
            let known = announced(&sniffer, host).len();
            let group = MacAddr::new(1, 0, 0x5e, 0, 0, 18);
            claim::send(&client, group, EtherTypes::Ipv4, &lower_advert(&client, vrid, address));
            let fresh = || announced(&sniffer, host).split_off(known);
            until(&format!("{} has announced twice", host.name()), SOON, || {
                let (frames, last) = (fresh(), sniffer.last_advert(host.ipv4().into())?);
                (last > frames.first()?.0 + 4 * SECOND).then(|| by_second(&frames, 5))
            })
        };
        let (here, there) = (counted(&ours, 51, "192.0.2.100"), counted(&theirs, 52, "192.0.2.101"));
        println!("frames around each second: vipd {here:?}, keepalived {there:?}");
        assert_eq!(here, [3, 0, 3, 0, 0]);
        assert_eq!(here, there);
        drop((vipd, keepalived));
    });
}

#[test]
fn a_limit_spaces_the_frames_of_a_takeover_and_the_first_goes_out_at_once() {
    isolated(|lab| {
        let (ours, theirs, client) = (lab.host("ours"), lab.host("theirs"), lab.host("client"));
        let router = |vrid, from: u8| {
            let mut router = Router::new("web", vrid, 150, &format!("192.0.2.{from}/24")).every(200);
            for number in 1..10 {
                router = router.and(&format!("192.0.2.{}/24", from + number));
            }
            router
                .vipd("announce: { again_after: off }")
                .keepalived("garp_master_delay 0")
                .keepalived("garp_master_repeat 1")
        };
        let limit = "garp_group {\n  garp_interval 0.05\n  interfaces {\n    eth0\n  }\n}";
        let sniffer = Sniffer::on(&client);
        let file = configuration(&router(51, 100).into());
        let limited = format!("announce_limits:\n  - {{ interfaces: [eth0], interval: 50ms }}\n{file}");
        let vipd = Vipd::start_file(&ours, &programs(), &limited);
        let keepalived = Keepalived::start(&theirs, &Node::from(router(52, 200)).block(limit));
        for host in [&ours, &theirs] {
            let frames = until(&format!("{} has announced ten addresses", host.name()), SOON, || {
                let frames = announced(&sniffer, host);
                (frames.len() >= 10).then_some(frames)
            });
            let gaps: Vec<u64> = frames.windows(2).map(|two| (two[1].0 - two[0].0) / 1_000_000).collect();
            println!("{}: milliseconds from frame to frame: {gaps:?}", host.name());
            // The sniffer's stamps are the kernel's: the sender is never early, but a frame may be late.
            let least = gaps.iter().min().copied();
            assert!(host.name() != ours.name() || least >= Some(45), "{gaps:?}");
            let advert = sniffer.adverts(host.ipv4().into())[0].0;
            let first = frames[0].0.saturating_sub(advert);
            println!("{}: the first one came {} us after the first advert", host.name(), first / 1000);
            assert!(host.name() != ours.name() || first < SECOND / 10, "{first}");
        }
        drop((vipd, keepalived));
    });
}
