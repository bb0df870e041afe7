//! The lab's instruments, tried on a pair of Debian's keepalived whose behaviour is known.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use lab::network::holders;
use lab::probe::Echo;
use lab::{Agent, Host, Keepalived, Lab, Node, Probe, Router, Sniffer, claim, isolated, now, until};

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
        let last = sniffer.last_advert(a.ipv4().into()).unwrap();
        let taken =
            sniffer.announcements(b.mac(), last).into_iter().find(|(_, address)| *address == four).unwrap();
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
