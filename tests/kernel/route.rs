//! The route thread: promptness, order and what overtakes what.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::libc;
use pnet::packet::Packet as _;
use pnet::packet::arp::ArpPacket;
use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
use pnet::packet::icmpv6::Icmpv6Types;
use pnet::packet::icmpv6::ndp::{NeighborAdvertFlags, NeighborAdvertPacket};
use pnet::packet::ipv6::Ipv6Packet;
use vipd::agent::announce::{self, Announcer};
use vipd::agent::heartbeat::Heartbeat;
use vipd::agent::mail::{Answer, Answers, Mailbox, answers};
use vipd::agent::route;
use vipd::agent::sole::Sole;
use vipd::engine::action::{
    Announcement, Endpoint, Form, Generation, Hold, InstanceId, Listen, Paths, Place, Placement,
};
use vipd::engine::event::{Held, Opened, Picture};
use vipd::net::{Family, LinkIndex, Mac};
use vipd::sys::address::Addresses;
use vipd::sys::clock;
use vipd::sys::vrrp_socket::VrrpSocket;

use crate::Test;
use crate::cable::{Seen, Sniffer, index, mac, place, run, until, wait_for};

pub(crate) const TESTS: &[Test] = &[
    ("a_take_of_a_thousand_addresses_is_announced_batch_by_batch", a_take_of_a_thousand),
    ("a_release_overtakes_a_take_that_is_not_finished", a_release_overtakes_a_take),
    ("another_instances_release_does_not_wait_for_a_take", another_instances_release),
    ("removals_come_before_installations", removals_come_before_installations),
    ("a_paced_announcement_yields_to_a_hold", a_paced_announcement_yields_to_a_hold),
    ("sockets_are_opened_and_closed", sockets_are_opened_and_closed),
    ("a_refusal_is_answered_with_the_rest_done", a_refusal_is_answered),
    ("what_the_kernel_refuses_is_not_announced", what_the_kernel_refuses),
    ("an_interface_that_forwards_is_announced_as_a_router", an_interface_that_forwards),
    ("an_ipv6_address_is_not_announced_before_it_is_accepted", an_ipv6_address_is_accepted),
    ("the_picture_comes_after_the_addresses", the_picture_comes_after_the_addresses),
    ("the_thread_turns_when_idle_and_stops_when_done", the_thread_turns_and_stops),
];

const WEB: InstanceId = InstanceId(1);
const MAIL: InstanceId = InstanceId(2);

struct Route {
    mailbox: Arc<Mailbox>,
    answers: Answers,
    announcer: Announcer,
    heartbeat: Arc<AtomicU64>,
    thread: JoinHandle<()>,
    announcing: JoinHandle<()>,
    mac: Mac,
}

impl Route {
    fn spawn() -> Self {
        let (sender, answers) = answers().unwrap();
        let (mailbox, heartbeat) = (Mailbox::new(), Arc::new(AtomicU64::new(0)));
        let announcer = Announcer::default();
        let announcing = announce::spawn(announcer.clone(), Heartbeat::default()).unwrap();
        let (posted, announced, pulse) = (Arc::clone(&mailbox), announcer.clone(), Arc::clone(&heartbeat));
        let sole = Sole::take(&mut Vec::new());
        let thread = route::spawn(posted, sender, announced, pulse, Vec::new(), sole).unwrap();
        Self { mailbox, answers, announcer, heartbeat, thread, announcing, mac: mac("va") }
    }

    fn hold(&self, instance: InstanceId, generation: u64, remove: &[Place], install: &[Place]) {
        let install = self.placements(install);
        let generation = Generation(generation);
        self.mailbox.hold(Hold {
            instance,
            generation,
            remove: remove.to_vec(),
            install,
            paths: Paths::default(),
        });
    }

    fn placements(&self, places: &[Place]) -> Vec<Placement> {
        places
            .iter()
            .map(|place| Placement { place: *place, mac: Some(self.mac), form: Form::default() })
            .collect()
    }

    fn answer(&self) -> Answer {
        wait_for("an answer", || self.answers.drain(1).pop())
    }

    fn held(&self) -> Held {
        match self.answer() {
            Answer::Held(held) => held,
            other => panic!("{other:?}"),
        }
    }

    fn opened(&self) -> (Opened, Option<VrrpSocket>) {
        match self.answer() {
            Answer::Opened { opened, socket } => (opened, socket),
            other => panic!("{other:?}"),
        }
    }
}

fn many(count: u8, third: u8) -> Vec<Place> {
    let va = index("va");
    let host = |n| format!("10.{third}.{}.{}/32", n / 250, n % 250 + 1);
    (0..u32::from(count) * 10).map(|n| Place { link: va, net: host(n).parse().unwrap() }).collect()
}

fn addresses(places: &[Place]) -> BTreeSet<IpAddr> {
    places.iter().map(|place| place.net.address()).collect()
}

fn present() -> BTreeSet<IpAddr> {
    let Picture { addresses, .. } = Addresses::open().unwrap().picture().unwrap();
    addresses.iter().filter(|address| address.ours).map(|address| address.net.address()).collect()
}

/// The address that a gratuitous ARP announces.
fn announced(seen: &Seen) -> Option<Ipv4Addr> {
    let ethernet = EthernetPacket::new(&seen.frame)?;
    let arp = (ethernet.get_ethertype() == EtherTypes::Arp).then(|| ArpPacket::new(ethernet.payload()))??;
    (arp.get_sender_proto_addr() == arp.get_target_proto_addr()).then(|| arp.get_sender_proto_addr())
}

/// The address that an unsolicited Neighbor Advertisement announces, and whether as a router's.
fn advertised(seen: &Seen) -> Option<(IpAddr, bool)> {
    let ethernet = EthernetPacket::new(&seen.frame)?;
    let ipv6 =
        (ethernet.get_ethertype() == EtherTypes::Ipv6).then(|| Ipv6Packet::new(ethernet.payload()))??;
    let advertisement = NeighborAdvertPacket::new(ipv6.payload())?;
    let flags = advertisement.get_flags();
    let unasked = advertisement.get_icmpv6_type() == Icmpv6Types::NeighborAdvert
        && flags & NeighborAdvertFlags::Solicited == 0;
    unasked.then(|| (advertisement.get_target_addr().into(), flags & NeighborAdvertFlags::Router != 0))
}

fn a_take_of_a_thousand() {
    let (route, sniffer) = (Route::spawn(), Sniffer::new());
    let places = many(100, 1);
    let mut waiting = addresses(&places);
    // The thread is up and waits.
    until("a turn", || route.heartbeat.load(Ordering::Relaxed) > 0);
    let asked = clock::now();
    route.hold(WEB, 1, &[], &places);
    let held = route.held();
    let answered = clock::now().since(asked);
    assert_eq!(
        held,
        Held { instance: WEB, generation: Generation(1), refused: Vec::new(), refused_paths: Vec::new() }
    );
    let (mut first, mut last) = (Duration::MAX, Duration::ZERO);
    while !waiting.is_empty() {
        let (address, at) = sniffer.find(|seen| Some((announced(seen)?, seen.at)));
        assert!(waiting.remove(&IpAddr::V4(address)), "{address} announced twice");
        first = first.min(at.since(asked));
        last = last.max(at.since(asked));
    }
    println!("  first ARP after {first:?}, last after {last:?}, answer after {answered:?}");
    let asked = clock::now();
    route.hold(WEB, 2, &places, &[]);
    assert_eq!(route.held().refused, []);
    println!("  released after {:?}", clock::now().since(asked));
    assert_eq!(present(), BTreeSet::new());
}

fn a_release_overtakes_a_take() {
    let (route, sniffer) = (Route::spawn(), Sniffer::new());
    let places = many(200, 1);
    route.hold(WEB, 1, &[], &places);
    // The take has begun.
    sniffer.find(announced);
    route.hold(WEB, 2, &places, &[]);
    let held = route.held();
    assert_eq!((held.generation, held.refused), (Generation(2), Vec::new()), "the take was given up");
    assert_eq!(present(), BTreeSet::new());
}

fn another_instances_release() {
    let (route, sniffer) = (Route::spawn(), Sniffer::new());
    let mails = [place("192.0.2.10/24")];
    route.hold(MAIL, 1, &[], &mails);
    assert_eq!(route.held().instance, MAIL);
    route.hold(WEB, 2, &[], &many(200, 1));
    sniffer.find(|seen| announced(seen).filter(|address| address.octets()[0] == 10));
    route.hold(MAIL, 3, &mails, &[]);
    assert_eq!(route.held().instance, MAIL, "the shorter work is answered first");
    assert_eq!(route.held().instance, WEB);
    assert_eq!(present().len(), 2000);
}

fn removals_come_before_installations() {
    let route = Route::spawn();
    // The same IPv6 address cannot be there with two prefixes.
    let (narrow, wide) = (place("2001:db8::10/128"), place("2001:db8::10/64"));
    route.hold(WEB, 1, &[], &[narrow]);
    assert_eq!(route.held().refused, []);
    route.hold(WEB, 2, &[narrow], &[wide]);
    assert_eq!(route.held().refused, []);
    assert_eq!(present(), addresses(&[wide]));
}

fn a_paced_announcement_yields_to_a_hold() {
    let (route, sniffer) = (Route::spawn(), Sniffer::new());
    let (paced, urgent) = (many(1, 1), place("192.0.2.10/24"));
    let addresses = route.placements(&paced);
    let pace = Duration::from_millis(50);
    route.announcer.announce(Announcement { instance: WEB, addresses, repeat: 1, pace });
    let first = sniffer.find(|seen| Some((announced(seen)?, seen.at)));
    let begun = clock::now();
    route.hold(MAIL, 1, &[], &[urgent]);
    assert_eq!(route.held().instance, MAIL);
    assert!(clock::now().since(begun) < 9 * pace, "the burst takes longer than that");
    let seen: Vec<_> = (0..10).map(|_| sniffer.find(|seen| Some((announced(seen)?, seen.at)))).collect();
    let at = seen.iter().position(|(address, _)| IpAddr::V4(*address) == urgent.net.address()).unwrap();
    assert!(at < 9, "the urgent one came among the paced ones");
    assert!(seen[9].1.since(first.1) >= 8 * pace, "and the paced ones kept their pace");
}

fn sockets_are_opened_and_closed() {
    let route = Route::spawn();
    let endpoint = Endpoint { link: index("va"), family: Family::Ipv4 };
    let listen = |endpoint, generation, groups| {
        let generation = Generation(generation);
        route.mailbox.listen(Listen { endpoint, generation, groups });
        route.opened()
    };
    let (opened, socket) = listen(endpoint, 1, Some(vec![Family::Ipv4.group()]));
    assert_eq!(opened, Opened { endpoint, generation: Generation(1), refused: None });
    let member = || run("ip maddr show dev va").contains("224.0.0.18");
    assert!(member());
    route.mailbox.close(socket.unwrap());
    until("the group is left", || !member());
    let (opened, socket) = listen(endpoint, 2, None);
    assert!(opened.refused.is_none() && socket.is_none());
    let gone = Endpoint { link: LinkIndex(4711), family: Family::Ipv6 };
    let (opened, socket) = listen(gone, 3, Some(vec![Family::Ipv6.group()]));
    let refusal = opened.refused.unwrap();
    assert!(socket.is_none());
    assert_eq!(refusal.errno, libc::ENODEV);
    assert_eq!(refusal.why, "open a VRRP socket for IPv6 on link 4711: No such device");
}

fn a_refusal_is_answered() {
    run("ip addr add 192.0.2.10/24 dev va");
    let route = Route::spawn();
    let (taken, free) = (place("192.0.2.10/24"), place("192.0.2.11/24"));
    route.hold(WEB, 1, &[], &[taken, free]);
    let [(refused, refusal)] = &route.held().refused[..] else { panic!("one refusal") };
    assert_eq!((*refused, refusal.errno), (taken, libc::EEXIST));
    assert_eq!(present(), addresses(&[free]));
}

fn what_the_kernel_refuses() {
    run("ip addr add 192.0.2.10/24 dev va");
    run("ip addr add 2001:db8::10/64 dev va nodad");
    let (route, sniffer) = (Route::spawn(), Sniffer::new());
    let [taken4, free4, taken6, free6] =
        ["192.0.2.10/24", "192.0.2.11/24", "2001:db8::10/64", "2001:db8::11/64"].map(place);
    route.hold(WEB, 1, &[], &[taken4, free4, taken6, free6]);
    let refused: Vec<_> = route.held().refused.into_iter().map(|(place, _)| place).collect();
    assert_eq!(refused, [taken4, taken6]);
    let either = |seen: &Seen| announced(seen).map(IpAddr::V4).or(advertised(seen).map(|(vip, _)| vip));
    assert_eq!([sniffer.find(either), sniffer.find(either)], [free4, free6].map(|p| p.net.address()));
    // Whatever else was announced would have come before this.
    let last = place("192.0.2.12/24");
    route.hold(MAIL, 2, &[], &[last]);
    assert_eq!(sniffer.find(either), last.net.address());
}

fn an_interface_that_forwards() {
    let (route, sniffer) = (Route::spawn(), Sniffer::new());
    for (generation, forwarding) in [(1, "0"), (3, "1")] {
        std::fs::write("/proc/sys/net/ipv6/conf/va/forwarding", forwarding).unwrap();
        let vip = place("2001:db8::10/64");
        route.hold(WEB, generation, &[], &[vip]);
        let (address, router) = sniffer.find(advertised);
        assert_eq!((address, router), (vip.net.address(), forwarding == "1"));
        route.hold(WEB, generation + 1, &[vip], &[]);
        assert_eq!([route.held().refused, route.held().refused], [const { Vec::new() }; 2]);
    }
}

/// Whether the kernel takes packets to this address for its own: then one that we send is there at once.
fn accepted(server: &UdpSocket, address: IpAddr) -> bool {
    let port = server.local_addr().unwrap().port();
    UdpSocket::bind("[::]:0").unwrap().send_to(&[0], (address, port)).unwrap();
    server.recv(&mut [0]).is_ok()
}

fn an_ipv6_address_is_accepted() {
    let (route, sniffer) = (Route::spawn(), Sniffer::new());
    let busy = Arc::new(AtomicBool::new(true));
    let others = {
        let busy = Arc::clone(&busy);
        // Somebody else who keeps RTNL from the kernel's own work, for milliseconds at a time.
        std::thread::spawn(move || {
            while busy.load(Ordering::Relaxed) {
                run("ip link add busy0 type veth peer name busy1");
                run("ip link del busy0");
            }
        })
    };
    let server = UdpSocket::bind("[::]:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let early = (1..=100).filter(|n| {
        let place = place(&format!("2001:db8::1:{n:x}/128"));
        let address = place.net.address();
        route.hold(WEB, *n, &[], &[place]);
        sniffer.find(|seen| advertised(seen).filter(|(about, _)| *about == address));
        let early = !accepted(&server, address);
        route.held();
        early
    });
    let early = early.count();
    busy.store(false, Ordering::Relaxed);
    others.join().unwrap();
    assert_eq!(early, 0, "of 100 were announced too early");
}

fn the_picture_comes_after_the_addresses() {
    let route = Route::spawn();
    let places = many(100, 1);
    route.hold(WEB, 1, &[], &places);
    route.mailbox.dump();
    assert_eq!(route.held().refused, []);
    let Answer::Picture(picture) = route.answer() else { panic!("a picture") };
    assert_eq!(picture.addresses.iter().filter(|address| address.ours).count(), places.len());
}

fn the_thread_turns_and_stops() {
    let route = Route::spawn();
    let turns = route.heartbeat.load(Ordering::Relaxed);
    until("two idle turns", || route.heartbeat.load(Ordering::Relaxed) >= turns + 2);
    let places = many(100, 1);
    route.hold(WEB, 1, &[], &places);
    route.mailbox.stop();
    route.thread.join().unwrap();
    route.announcer.stop();
    route.announcing.join().unwrap();
    assert_eq!(present().len(), places.len(), "what was asked for before is done first");
}
