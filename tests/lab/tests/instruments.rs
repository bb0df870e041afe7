//! The lab's instruments, tried on a pair of Debian's keepalived whose behaviour is known.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use lab::frr::Frr;
use lab::network::holders;
use lab::probe::Echo;
use lab::{
    Agent, Host, HttpProbe, Keepalived, Lab, Nginx, Node, Probe, Router, Sniffer, Tap, claim, isolated,
    isolated_as_root, now, until,
};
use pnet::util::MacAddr;

const SOON: Duration = Duration::from_secs(10);

fn node(priority: u8) -> Node {
    Router::new("web", 51, priority, "192.0.2.100/24").and("2001:db8::100/64").every(100).into()
}

fn vip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_cut_host_is_silent_keeps_its_carrier_and_is_heard_again_when_healed() {
    isolated(|lab: &Lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        let hears = |host: &Host, other: IpAddr| !claim::who_has(host, other).is_empty();
        assert!(hears(&a, b.ipv4().into()) && hears(&a, b.ipv6().into()));
        a.cut();
        assert!(!hears(&a, b.ipv4().into()) && !hears(&b, a.ipv6().into()));
        assert!(a.run("ip", &["link", "show", "eth0"]).contains("LOWER_UP"));
        a.heal();
        assert!(hears(&b, a.ipv4().into()));
        a.unplug();
        assert!(a.run("ip", &["link", "show", "eth0"]).contains("NO-CARRIER"));
        a.plug();
        until("the carrier is back", SOON, || {
            a.run("ip", &["link", "show", "eth0"]).contains("LOWER_UP").then_some(())
        });
    });
}

#[test]
fn a_tap_at_the_port_hears_what_the_switch_drops_and_nobody_else() {
    isolated(|lab: &Lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        let (at_port, at_b) = (Tap::at_port(&a), Tap::on(&b));
        let from = |host: &Host| host.mac().octets();
        let ask = || claim::who_has(&a, b.ipv4().into());
        a.mute();
        // What either said before.
        at_port.drain(|_, _| ());
        at_b.drain(|_, _| ());
        assert!(ask().is_empty());
        let heard = |tap: &Tap, mac: [u8; 6]| {
            let mut count = 0;
            tap.drain(|_, bytes| count += usize::from(bytes[6..12] == mac));
            count
        };
        assert!(heard(&at_port, from(&a)) > 0);
        assert_eq!(heard(&at_b, from(&a)), 0, "muted");
        a.lose(50);
        until("one of several questions is answered", SOON, || (!ask().is_empty()).then_some(()));
        // The answer left the switch by this port and did not come in by it.
        assert!(heard(&at_b, from(&a)) > 0 && heard(&at_port, from(&b)) == 0);
        a.heal();
    });
}

#[test]
fn an_interface_that_lost_its_addresses_is_set_up_again() {
    isolated(|lab: &Lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        a.run("ip", &["address", "flush", "dev", "eth0"]);
        a.run("ip", &["link", "set", "dev", "eth0", "down"]);
        a.set_up();
        until("it answers by both families", SOON, || {
            let answers = |address: IpAddr| !claim::who_has(&b, address).is_empty();
            (answers(a.ipv4().into()) && answers(a.ipv6().into())).then_some(())
        });
    });
}

#[test]
fn sniffer_probe_and_claims_agree_on_a_takeover_by_keepalived() {
    isolated(|lab: &Lab| {
        let (a, b, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let (four, six) = (vip("192.0.2.100"), vip("2001:db8::100"));
        let _echoes = [Echo::on(&a), Echo::on(&b)];
        let sniffer = Sniffer::on(&client);
        let _first = Keepalived::start(&a, &node(150));
        let mut second = Keepalived::start(&b, &node(100));
        until("lb1 holds both", SOON, || (a.holds(four) && a.holds(six)).then_some(()));
        assert_eq!(holders(&[&a, &b], four), ["lb1"]);
        assert_eq!(claim::who_has(&client, four), [a.mac()].into());
        assert_eq!(claim::who_has(&client, six), [a.mac()].into());
        let probe = Probe::start(&client, four);
        let from = probe.wait_for(&a, 0, SOON);
        a.cut();
        let to = probe.wait_for(&b, from, SOON);
        let gap = probe.longest_gap(from, to);
        assert_eq!((gap.before, gap.after), (Some(1), Some(2)));
        assert!(gap.length > Duration::from_millis(250), "{gap:?}");
        let lost = probe.lost(from, to);
        assert!(lost.count > 200 && lost.longest > Duration::from_millis(250), "{lost:?}");
        let last = sniffer.last_advert(a.ipv4().into()).unwrap();
        let taken = until("lb2 announces", SOON, || {
            let announced = sniffer.announcements(b.mac(), last);
            announced.into_iter().find(|(_, address)| *address == four)
        });
        let waited = Duration::from_nanos(taken.0 - last);
        let limit = node(100).routers[0].master_down();
        println!("taken over {:?} after the limit", waited.checked_sub(limit));
        assert!(waited > limit && waited < limit + Duration::from_millis(100), "{waited:?}");
        a.heal();
        probe.wait_for(&a, now(), SOON);
        until("lb2 has let go", SOON, || (!b.holds(four)).then_some(()));
        second.process().stop();
        assert!(second.rejections().is_empty(), "{:?}", second.rejections());
    });
}

#[test]
fn the_http_client_names_the_nginx_that_answered_and_takes_only_200_for_an_answer() {
    isolated(|lab: &Lab| {
        let (a, client) = (lab.host("lb1"), lab.host("client"));
        let mut nginx = Nginx::start(&a);
        let probe = HttpProbe::start(&client, a.ipv4().into(), &[&a]);
        let from = probe.wait_for(&a, 0, SOON);
        until("a thousand answers", SOON, || (probe.between(from, now()).len() > 1000).then_some(()));
        let answered = probe.between(from, now());
        let took = Duration::from_nanos(answered[999].at - answered[0].at);
        assert!(took < Duration::from_secs(3), "a thousand answers took {took:?}");
        nginx.process().stop();
        let stopped = now();
        let mut again = Nginx::start(&a);
        let back = probe.wait_for(&a, stopped, SOON);
        assert!(probe.longest_gap(from, back).length > Duration::from_millis(5));
        again.process().stop();
    });
}

#[test]
fn frr_takes_over_from_frr_and_its_macvlan_answers() {
    isolated_as_root(|lab: &Lab| {
        let (a, b, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let router =
            |priority| Router::new("web", 51, priority, "192.0.2.100/24").every(100).and("2001:db8::100/64");
        let mut first = Frr::start(&a, &router(150));
        let _second = Frr::start(&b, &router(100));
        let (four, six) = (MacAddr::new(0, 0, 0x5e, 0, 1, 51), MacAddr::new(0, 0, 0x5e, 0, 2, 51));
        let sniffer = Sniffer::on(&client);
        sniffer.wait_advert("lb1 is master", SOON, 0, |advert| advert.priority == 150);
        until("lb1 answers", SOON, || {
            (claim::who_has(&client, vip("192.0.2.100")) == [four].into()).then_some(())
        });
        until("lb1 answers", SOON, || {
            (claim::who_has(&client, vip("2001:db8::100")) == [six].into()).then_some(())
        });
        let stopped = now();
        first.vrrpd.stop();
        sniffer.wait_advert("lb2 is master", SOON, stopped, |advert| advert.priority == 100);
    });
}
