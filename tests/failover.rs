//! A pair of vipd: who has the address when something goes wrong, and what a client notices.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use lab::network::holders;
use lab::probe::Echo;
use lab::vipd::Programs;
use lab::{
    Agent, Host, HttpProbe, Lab, Nginx, Node, Probe, Router, Sniffer, Vipd, claim, isolated, now, until,
};

const SOON: Duration = Duration::from_secs(15);
/// Shorter than any timer that could have run out (three adverts are 300 ms), with room for a busy machine; the
/// bench measures how short.
const HARDLY: Duration = Duration::from_millis(200);

/// Two load balancers with vipd, and a client.
struct Pair {
    lb1: Host,
    lb2: Host,
    client: Host,
    first: Vipd,
    second: Vipd,
}

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn four() -> IpAddr {
    IpAddr::from([192, 0, 2, 100])
}

fn six() -> IpAddr {
    "2001:db8::100".parse().unwrap()
}

fn router(priority: u8) -> Router {
    Router::new("web", 51, priority, "192.0.2.100/24").every(100)
}

fn checked(priority: u8) -> Node {
    let check = "{ http: \"http://127.0.0.1/healthz\", interval: 50ms, timeout: 50ms, rise: 2, fall: 2 }";
    Node::from(router(priority).track("nginx", "-60")).check("nginx", check)
}

impl Pair {
    /// Starts a pair and waits until lb1 is master and lb2 knows.
    fn start(lab: &Lab, node: impl Fn(u8) -> Node) -> Self {
        let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        Self::start_on(lb1, lb2, client, node)
    }

    fn start_on(lb1: Host, lb2: Host, client: Host, node: impl Fn(u8) -> Node) -> Self {
        let first = Vipd::start(&lb1, &programs(), &node(150));
        let second = Vipd::start(&lb2, &programs(), &node(100));
        let pair = Self { lb1, lb2, client, first, second };
        pair.wait_master(&pair.lb1);
        pair
    }

    /// Waits until `host` alone is master and has the address.
    fn wait_master(&self, host: &Host) {
        until(&format!("{} is the only master", host.name()), SOON, || {
            let states = [&self.first, &self.second]
                .map(|vipd| vipd.try_status().map(|s| s["instances"][0]["state"].clone()));
            let wanted = if host.name() == "lb1" { ["master", "backup"] } else { ["backup", "master"] };
            let agreed =
                states.iter().zip(wanted).all(|(state, wanted)| state.as_ref().is_some_and(|s| s == wanted));
            (agreed && holders(&[&self.lb1, &self.lb2], four()) == [host.name()]).then_some(())
        });
    }
}

/// An instance with an address of each family.
fn dual(priority: u8) -> Node {
    Node::from(router(priority).and("2001:db8::100/64"))
}

#[test]
fn adverts_leave_from_the_hosts_own_addresses_for_the_groups_with_ttl_255() {
    isolated(|lab| {
        let pair = Pair::start(lab, dual);
        // The master has the addresses by now, and must not speak from them.
        assert!(pair.lb1.holds(four()) && pair.lb1.holds(six()));
        let sniffer = Sniffer::on(&pair.client);
        let own = [pair.lb1.ipv4().into(), IpAddr::from(pair.lb1.link_local())];
        for source in own {
            until("three adverts are heard", SOON, || (sniffer.adverts(source).len() >= 3).then_some(()));
        }
        let groups = [IpAddr::from([224, 0, 0, 18]), "ff02::12".parse().unwrap()];
        for frame in sniffer.frames() {
            let Some(advert) = frame.advert() else { continue };
            let family = usize::from(advert.source.is_ipv6());
            let told = (advert.source, advert.destination, advert.ttl, frame.mac);
            assert_eq!(told, (own[family], groups[family], 255, pair.lb1.mac()));
        }
    });
}

#[test]
fn the_master_alone_answers_arp_and_neighbor_solicitations() {
    isolated(|lab| {
        let pair = Pair::start(lab, dual);
        for address in [four(), six()] {
            assert_eq!(claim::who_has(&pair.client, address), [pair.lb1.mac()].into(), "{address}");
        }
    });
}

#[test]
fn a_deposed_master_answers_no_more() {
    isolated(|lab| {
        let mut pair = Pair::start(lab, dual);
        pair.second.reload(&dual(200));
        pair.wait_master(&pair.lb2);
        assert!(!pair.lb1.holds(six()));
        for address in [four(), six()] {
            assert_eq!(claim::who_has(&pair.client, address), [pair.lb2.mac()].into(), "{address}");
        }
    });
}

#[test]
fn a_backup_does_not_accept_what_is_sent_to_the_addresses() {
    isolated(|lab| {
        let pair = Pair::start(lab, dual);
        let _echoes = [Echo::on(&pair.lb1), Echo::on(&pair.lb2)];
        // The backup would answer.
        Probe::start(&pair.client, pair.lb2.ipv4().into()).wait_for(&pair.lb2, 0, SOON);
        for address in [four(), six()] {
            let send_to = |host: &Host| {
                let (address, mac) = (address.to_string(), host.mac().to_string());
                let entry = ["neigh", "replace", &address, "lladdr", &mac, "dev", "eth0", "nud", "permanent"];
                pair.client.run("ip", &entry);
                now()
            };
            let probe = Probe::start(&pair.client, address);
            probe.wait_for(&pair.lb1, send_to(&pair.lb1), SOON);
            let from = send_to(&pair.lb2);
            lab::wait::observe(Duration::from_millis(300));
            let back = send_to(&pair.lb1);
            probe.wait_for(&pair.lb1, back, SOON);
            assert!(!probe.count(0, now()).contains_key(&pair.lb2.number()), "the backup serves {address}");
            let gap = probe.longest_gap(from, back);
            assert!(gap.length > Duration::from_millis(200), "the backup was asked: {gap:?}");
        }
    });
}

#[test]
fn nginx_stopped_moves_the_address_and_nginx_started_brings_it_back() {
    isolated(|lab| {
        let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let (mut nginx, _other) = (Nginx::start(&lb1), Nginx::start(&lb2));
        let pair = Pair::start_on(lb1, lb2, client, checked);
        let probe = HttpProbe::start(&pair.client, four(), &[&pair.lb1, &pair.lb2]);
        probe.wait_for(&pair.lb1, 0, SOON);
        nginx.process().stop();
        probe.wait_for(&pair.lb2, now(), SOON);
        pair.wait_master(&pair.lb2);
        let loser = pair.first.instance("web");
        assert_eq!(loser["priority"]["effective"], 90, "{loser}");
        assert_eq!(loser["routers"][0]["master"]["address"], "192.0.2.2", "{loser}");
        let winner = pair.second.instance("web");
        let why = winner["reason"].as_str().unwrap();
        assert!(why.contains("192.0.2.1") && why.contains("90"), "the new master says why: {why}");
        let (_, said, _) = pair.first.vipctl(&["status"]);
        assert!(said.contains("nginx"), "the old master names the check:\n{said}");
        let started = now();
        let _again = Nginx::start(&pair.lb1);
        let back = probe.wait_for(&pair.lb1, started, SOON);
        pair.wait_master(&pair.lb1);
        let gap = probe.longest_gap(started, back);
        assert!(gap.length < HARDLY, "the way back needs no outage: {gap:?}");
    });
}

#[test]
fn a_502_moves_the_address_while_the_page_is_still_served() {
    isolated(|lab| {
        let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let (nginx, _other) = (Nginx::start(&lb1), Nginx::start(&lb2));
        let pair = Pair::start_on(lb1, lb2, client, checked);
        let probe = HttpProbe::start(&pair.client, four(), &[&pair.lb1, &pair.lb2]);
        let broken = probe.wait_for(&pair.lb1, 0, SOON);
        nginx.break_health();
        let moved = probe.wait_for(&pair.lb2, broken, SOON);
        pair.wait_master(&pair.lb2);
        let (_, said, _) = pair.first.vipctl(&["status"]);
        assert!(said.contains("502"), "the old master quotes the answer:\n{said}");
        let gap = probe.longest_gap(broken, moved);
        assert!(gap.length < HARDLY, "nobody was without an answer: {gap:?}");
        nginx.mend_health();
        pair.wait_master(&pair.lb1);
    });
}

#[test]
fn a_master_that_is_cut_off_is_replaced_within_the_limit_and_healing_leaves_one() {
    isolated(|lab| {
        let pair = Pair::start(lab, dual);
        let _echoes = [Echo::on(&pair.lb1), Echo::on(&pair.lb2)];
        let sniffer = Sniffer::on(&pair.client);
        let probe = Probe::start(&pair.client, four());
        probe.wait_for(&pair.lb1, 0, SOON);
        let (from, _) =
            sniffer.wait_advert("lb1 is heard", SOON, 0, |advert| advert.source == pair.lb1.ipv4());
        pair.lb1.cut();
        probe.wait_for(&pair.lb2, from, SOON);
        let last = sniffer.last_advert(pair.lb1.ipv4().into()).unwrap();
        let announced = until("both addresses are announced", SOON, || {
            let announced = sniffer.announcements(pair.lb2.mac(), last);
            let both =
                [four(), six()].iter().all(|address| announced.iter().any(|(_, other)| other == address));
            both.then_some(announced)
        });
        let limit = router(100).master_down();
        let waited = Duration::from_nanos(announced[0].0 - last);
        // An advert of the other family may have restarted the timer up to an interval later.
        assert!(waited >= limit && waited < limit + HARDLY, "{waited:?} of {limit:?}");
        let healed = now();
        pair.lb1.heal();
        pair.wait_master(&pair.lb1);
        let back = probe.wait_for(&pair.lb1, now(), SOON);
        let gap = probe.longest_gap(healed, back);
        assert!(gap.length < HARDLY, "clients are back at once: {gap:?}");
        assert_eq!(claim::who_has(&pair.client, four()), [pair.lb1.mac()].into());
        assert_eq!(claim::who_has(&pair.client, six()), [pair.lb1.mac()].into());
    });
}

#[test]
fn a_master_that_is_stopped_hands_over_before_it_lets_go() {
    isolated(|lab| {
        let mut pair = Pair::start(lab, |priority| Router::new("web", 51, priority, "192.0.2.100/24").into());
        let _echoes = [Echo::on(&pair.lb1), Echo::on(&pair.lb2)];
        let sniffer = Sniffer::on(&pair.client);
        let probe = Probe::start(&pair.client, four());
        let from = probe.wait_for(&pair.lb1, 0, SOON);
        let ended = pair.first.process().stop();
        assert!(ended.success(), "{ended}");
        probe.wait_for(&pair.lb2, from, SOON);
        let gap = probe.longest_gap(from, now());
        assert!(gap.length < HARDLY, "{gap:?}");
        assert!(!pair.lb1.holds(four()), "it takes the address with it");
        until("its last word is priority 0", SOON, || {
            let said = sniffer.adverts(pair.lb1.ipv4().into());
            said.last().filter(|(_, advert)| advert.priority == 0).map(drop)
        });
        let (done, said, complaint) = pair.first.vipctl(&["status"]);
        let words = format!("{said}{complaint}");
        assert!(!done && words.contains("no agent is running"), "without the agent status says so:\n{words}");
    });
}

#[test]
fn step_down_gives_the_address_away_until_resume() {
    isolated(|lab| {
        let pair = Pair::start(lab, |priority| router(priority).into());
        let (done, _, complaint) = pair.first.vipctl(&["step-down", "web"]);
        assert!(done, "{complaint}");
        pair.wait_master(&pair.lb2);
        assert_eq!(pair.first.instance("web")["stepped_down"], true);
        assert!(pair.first.vipctl(&["reload"]).0);
        assert_eq!(pair.first.instance("web")["stepped_down"], true, "a reload does not end it");
        let (done, _, complaint) = pair.first.vipctl(&["resume", "web"]);
        assert!(done, "{complaint}");
        pair.wait_master(&pair.lb1);
    });
}

#[test]
fn a_step_down_that_finds_nobody_keeps_the_address_and_says_so() {
    isolated(|lab| {
        let alone = lab.host("lb1");
        let vipd = Vipd::start(&alone, &programs(), &router(150).into());
        vipd.wait_state("web", "master");
        vipd.vipctl(&["step-down", "web"]);
        until("it is master again", SOON, || {
            let instance = vipd.instance("web");
            (instance["state"] == "master" && instance["stepped_down"] == true).then_some(())
        });
        assert!(alone.holds(four()));
    });
}

#[test]
fn a_pulled_cable_is_a_fault_that_ends_when_it_is_plugged_in() {
    isolated(|lab| {
        let pair = Pair::start(lab, |priority| router(priority).into());
        pair.lb1.unplug();
        let fault = pair.first.wait_state("web", "fault");
        assert!(fault["reason"].as_str().unwrap().contains("eth0"), "{fault}");
        assert!(!pair.lb1.holds(four()), "a master in fault lets go");
        pair.second.wait_state("web", "master");
        pair.lb1.plug();
        pair.wait_master(&pair.lb1);
    });
}

#[test]
fn without_preemption_a_returning_master_lets_the_other_stay() {
    isolated(|lab| {
        let mut pair = Pair::start(lab, |priority| router(priority).patient().into());
        pair.first.process().stop();
        pair.second.wait_state("web", "master");
        pair.first = Vipd::start(&pair.lb1, &programs(), &router(150).patient().into());
        until("lb1 knows the master", SOON, || {
            let master = pair.first.instance("web")["routers"][0]["master"]["address"].clone();
            (master == "192.0.2.2").then_some(())
        });
        // Twice as long as lb1 would wait for a silent master.
        lab::wait::observe(2 * router(150).master_down());
        pair.wait_master(&pair.lb2);
    });
}

#[test]
fn addresses_of_both_families_move_together_when_one_family_is_not_heard() {
    isolated(|lab| {
        let pair = Pair::start(lab, dual);
        let mangle = "table netdev quiet { chain in { type filter hook ingress device \"eth0\" priority 0; meta protocol ip6 drop; }; }";
        pair.lb2.run("nft", &[mangle]);
        // IPv4 is still heard, so nothing moves, in either family.
        lab::wait::observe(3 * router(100).master_down());
        pair.wait_master(&pair.lb1);
        assert_eq!(holders(&[&pair.lb1, &pair.lb2], six()), ["lb1"]);
        pair.lb2.run("nft", &["delete table netdev quiet"]);
    });
}

#[test]
fn rubbish_on_the_wire_is_counted_and_changes_nothing() {
    isolated(|lab| {
        let pair = Pair::start(lab, |priority| router(priority).into());
        let before =
            (pair.first.instance("web")["since"].clone(), pair.second.instance("web")["since"].clone());
        let log_before = pair.second.log().len();
        for packet in rubbish(&pair.client) {
            for _ in 0..50 {
                let group = pnet::util::MacAddr::new(1, 0, 0x5e, 0, 0, 0x12);
                claim::send(&pair.client, group, pnet::packet::ethernet::EtherTypes::Ipv4, &packet);
            }
        }
        let counted = |vipd: &Vipd| {
            let status = vipd.status();
            let router = status["instances"][0]["routers"][0]["counters"]["discarded"].clone();
            [router, status["discarded"].clone()]
                .iter()
                .filter_map(|c| {
                    Some(c.as_object()?.values().filter_map(serde_json::Value::as_u64).sum::<u64>())
                })
                .sum::<u64>()
        };
        let sent = 50 * u64::try_from(rubbish(&pair.client).len()).unwrap();
        for vipd in [&pair.first, &pair.second] {
            let all = lab::wait::within(SOON, || (counted(vipd) >= sent).then_some(()));
            assert!(all.is_some(), "{} of {sent} are counted: {}", counted(vipd), vipd.status());
        }
        assert_eq!(
            before,
            (pair.first.instance("web")["since"].clone(), pair.second.instance("web")["since"].clone())
        );
        let lines = pair.second.log()[log_before..].lines().count();
        assert!(lines < 40, "{sent} bad packets made {lines} log lines");
    });
}

/// IPv4 packets of protocol 112 that are wrong, each in one way.
fn rubbish(client: &Host) -> Vec<Vec<u8>> {
    let advert = [0x31, 51, 200, 1, 0, 10, 0, 0, 192, 0, 2, 100];
    let with = |at: usize, byte: u8| {
        let mut changed = advert;
        changed[at] = byte;
        packet(client, 255, &checksummed(client, &changed))
    };
    let mut flipped = checksummed(client, &advert);
    flipped[6] ^= 0xff;
    vec![
        packet(client, 254, &checksummed(client, &advert)),
        packet(client, 255, &flipped),
        packet(client, 255, &[0x31, 51]),
        with(0, 0x41),
        with(0, 0x32),
        with(1, 77),
        with(3, 9),
        packet(client, 255, &[]),
    ]
}

fn packet(from: &Host, ttl: u8, payload: &[u8]) -> Vec<u8> {
    use pnet::packet::ipv4::{MutableIpv4Packet, checksum};
    let mut bytes = vec![0; 20 + payload.len()];
    let mut ip = MutableIpv4Packet::new(&mut bytes).unwrap();
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_total_length(u16::try_from(20 + payload.len()).unwrap());
    ip.set_ttl(ttl);
    ip.set_next_level_protocol(pnet::packet::ip::IpNextHeaderProtocols::Vrrp);
    ip.set_source(from.ipv4());
    ip.set_destination([224, 0, 0, 18].into());
    ip.set_payload(payload);
    let sum = checksum(&ip.to_immutable());
    ip.set_checksum(sum);
    bytes
}

/// The advert with the checksum of version 3, the pseudo-header included.
fn checksummed(from: &Host, advert: &[u8]) -> Vec<u8> {
    let protocol = pnet::packet::ip::IpNextHeaderProtocols::Vrrp;
    let sum =
        pnet::packet::util::ipv4_checksum(advert, 3, &[], &from.ipv4(), &[224, 0, 0, 18].into(), protocol);
    let mut bytes = advert.to_vec();
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}
