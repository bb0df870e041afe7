//! What decides an election and is seen on the wire, with the real programs in network namespaces: the groups that adverts go
//! to, how far a peer's may have come, and a priority that a file holds.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use lab::vipd::Programs;
use lab::{Agent, Host, Keepalived, Lab, Node, Router, Sniffer, Vipd, isolated, now, until};

const SOON: Duration = Duration::from_secs(15);
const VIP: &str = "192.0.2.100/24";

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn router(priority: u8) -> Router {
    Router::new("web", 51, priority, VIP).every(200)
}

/// Where the adverts of a host go to.
fn destinations(sniffer: &Sniffer, host: &Host, ipv6: bool) -> Vec<IpAddr> {
    let source = if ipv6 { IpAddr::from(host.link_local()) } else { host.ipv4().into() };
    let mut all: Vec<IpAddr> = sniffer.adverts(source).iter().map(|(_, advert)| advert.destination).collect();
    all.dedup();
    all
}

/// A backup in the same groups stays one, and takes over there; who listens to the usual ones hears nobody.
fn in_groups(lab: &Lab, ipv6: bool, address: &str, group: &str) {
    let (ours, theirs, client) = (lab.host("ours"), lab.host("theirs"), lab.host("client"));
    let router = |priority| Router::new("web", 51, priority, address).every(200);
    let vip: IpAddr = address.split('/').next().unwrap().parse().unwrap();
    let sniffer = Sniffer::on(&client);
    let block = format!("global_defs {{\n  vrrp_mcast_group{} {group}\n}}", if ipv6 { 6 } else { 4 });
    let _theirs = Keepalived::start(&theirs, &Node::from(router(100)).block(&block));
    until("keepalived is master, being alone", SOON, || theirs.holds(vip).then_some(()));
    let elsewhere = router(150).vipd(&format!("multicast: {{ group: \"{group}\" }}"));
    let mut vipd = Vipd::start(&ours, &programs(), &elsewhere.into());
    vipd.wait_state("web", "master");
    until("keepalived hears it", SOON, || (!theirs.holds(vip)).then_some(()));
    let heard = vipd.instance("web")["routers"][0]["counters"]["adverts_received"].as_u64().unwrap();
    assert!(heard > 0, "it heard keepalived in that group");
    vipd.process().stop();
    until("keepalived takes over", SOON, || theirs.holds(vip).then_some(()));
    for host in [&ours, &theirs] {
        assert_eq!(destinations(&sniffer, host, ipv6), [group.parse::<IpAddr>().unwrap()]);
    }
    let usual = Vipd::start(&ours, &programs(), &router(50).into());
    usual.wait_state("web", "master");
    assert!(theirs.holds(vip), "they do not know of each other");
}

#[test]
fn adverts_go_to_the_ipv4_group_that_is_configured_and_are_heard_there() {
    isolated(|lab| in_groups(lab, false, VIP, "224.0.0.19"));
}

#[test]
fn adverts_go_to_the_ipv6_group_that_is_configured_and_are_heard_there() {
    isolated(|lab| in_groups(lab, true, "2001:db8::100/64", "ff02::13"));
}

#[test]
fn adverts_leave_from_the_source_that_is_configured() {
    isolated(|lab| {
        let (ours, theirs, client) = (lab.host("ours"), lab.host("theirs"), lab.host("client"));
        let sniffer = Sniffer::on(&client);
        for (host, vrid) in [(&ours, 51), (&theirs, 52)] {
            host.run("ip", &["address", "add", &format!("192.0.2.2{vrid}/24"), "dev", "eth0"]);
        }
        let router = |vrid: u8| {
            let source = format!("192.0.2.2{vrid}");
            Router::new("web", vrid, 150, &format!("192.0.2.1{vrid}/24"))
                .every(200)
                .vipd(&format!("multicast: {{ source: {source} }}"))
                .keepalived(&format!("mcast_src_ip {source}"))
        };
        let vipd = Vipd::start(&ours, &programs(), &router(51).into());
        let keepalived = Keepalived::start(&theirs, &router(52).into());
        for (host, vrid) in [(&ours, 51), (&theirs, 52)] {
            let source: IpAddr = format!("192.0.2.2{vrid}").parse().unwrap();
            sniffer.wait_advert(&format!("{} speaks from {source}", host.name()), SOON, 0, |advert| {
                advert.source == source && advert.vrid == vrid
            });
            assert_eq!(sniffer.adverts(host.ipv4().into()), []);
        }
        drop((vipd, keepalived));
    });
}

#[test]
fn a_peer_that_is_farther_away_than_allowed_is_not_heard_and_counted() {
    isolated(|lab| {
        let (ours, theirs, client) = (lab.host("ours"), lab.host("theirs"), lab.host("client"));
        let peers = |a: &Host, b: &Host| {
            let mut router = router(100);
            router.unicast = Some((vec![a.ipv4().into()], vec![b.ipv4().into()]));
            router
        };
        let mut better = peers(&theirs, &ours).keepalived("unicast_ttl 250");
        better.priority = 150;
        let _theirs = Keepalived::start(&theirs, &better.into());
        until("keepalived is master", SOON, || theirs.holds("192.0.2.100".parse().unwrap()).then_some(()));
        let file = |ttl: &str| {
            lab::vipd::configuration(&peers(&ours, &theirs).into()).replace(
                &format!("peers: [\"{}\"]", theirs.ipv4()),
                &format!("peers: [{{ address: {}, ttl: {ttl} }}]", theirs.ipv4()),
            )
        };
        let sniffer = Sniffer::on(&theirs);
        let vipd = Vipd::start_file(&ours, &programs(), &file("250-255"));
        vipd.wait_state("web", "backup");
        let router = || vipd.instance("web")["routers"][0].clone();
        until("it hears keepalived", SOON, || {
            (router()["master"]["address"] == theirs.ipv4().to_string()).then_some(())
        });
        assert_eq!(router()["counters"]["discarded"], serde_json::json!({}));
        assert!(vipd.reload_file(&file("251-255")).0);
        vipd.wait_state("web", "master");
        until("what came too far is counted", SOON, || {
            (router()["counters"]["discarded"]["hop_limit"].as_u64()? > 3).then_some(())
        });
        let sent = sniffer.adverts(ours.ipv4().into());
        assert!(!sent.is_empty() && sent.iter().all(|(_, advert)| advert.ttl == 255), "{sent:?}");
        assert!(vipd.reload_file(&file("250")).0);
        vipd.wait_state("web", "backup");
        drop(client);
    });
}

#[test]
fn a_priority_written_to_its_file_moves_the_master() {
    isolated(|lab| {
        let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let path = lb1.directory().join("priority");
        fs::write(&path, "150\n").unwrap();
        let sniffer = Sniffer::on(&client);
        let filed = router(10).vipd(&format!("priority_file: {}", path.display()));
        let first = Vipd::start(&lb1, &programs(), &filed.into());
        first.wait_state("web", "master");
        let second = Vipd::start(&lb2, &programs(), &router(100).into());
        second.wait_state("web", "backup");
        let bids = |host: &Host, priority: u8| {
            let (source, after) = (IpAddr::from(host.ipv4()), now());
            let what = format!("{} bids {priority}", host.name());
            sniffer.wait_advert(&what, SOON, after, |advert| {
                advert.source == source && advert.priority == priority
            });
        };
        bids(&lb1, 150);
        fs::write(&path, "60\n").unwrap();
        second.wait_state("web", "master");
        first.wait_state("web", "backup");
        bids(&lb2, 100);
        fs::write(&path, "200\n").unwrap();
        first.wait_state("web", "master");
        second.wait_state("web", "backup");
        bids(&lb1, 200);
        fs::write(&path, "much\n").unwrap();
        until("nonsense is told", SOON, || first.vipctl(&["events"]).1.contains("priority").then_some(()));
        fs::remove_file(&path).unwrap();
        bids(&lb1, 200);
        assert_eq!(first.instance("web")["priority"]["effective"], 200);
        let gone = format!("{}: No such file or directory", path.display());
        let health = || {
            let status = first.status();
            (status["health"] == "degraded", status["problems"].to_string().contains(&gone))
        };
        until("somebody must look", SOON, || (health() == (true, true)).then_some(()));
        fs::write(&path, "200\n").unwrap();
        until("nobody must any more", SOON, || (health() == (false, false)).then_some(()));
    });
}

/// What a host says of its virtual router, and nothing else: who is master in version 2, by adverts without addresses.
fn bare(priority: u8) -> Router {
    router(priority).version(2).every(1000).bare()
}

#[test]
fn keepalived_and_vipd_elect_a_master_without_addresses() {
    isolated(|lab| {
        let (ours, theirs, client) = (lab.host("ours"), lab.host("theirs"), lab.host("client"));
        let sniffer = Sniffer::on(&client);
        let mut keepalived = Keepalived::start(&theirs, &bare(100).into());
        let entered = |keepalived: &mut Keepalived, state: &str, times: usize| {
            until(&format!("keepalived enters {state}"), SOON, || {
                let log = keepalived.process().log();
                (log.matches(&format!("Entering {state} STATE")).count() >= times).then_some(())
            });
        };
        entered(&mut keepalived, "MASTER", 1);
        let mut vipd = Vipd::start(&ours, &programs(), &bare(150).into());
        vipd.wait_state("web", "master");
        entered(&mut keepalived, "BACKUP", 2);
        vipd.process().stop();
        entered(&mut keepalived, "MASTER", 2);
        let vipd = Vipd::start(&ours, &programs(), &bare(50).into());
        let web = vipd.wait_state("web", "backup");
        until("it hears keepalived", SOON, || {
            let master = vipd.instance("web")["routers"][0]["master"]["address"].clone();
            (master == theirs.ipv4().to_string()).then_some(())
        });
        assert_eq!(web["addresses"], serde_json::json!([]));
        let counters = vipd.instance("web")["routers"][0]["counters"].clone();
        assert_eq!(
            (&counters["discarded"], &counters["address_mismatches"]),
            (&serde_json::json!({}), &0.into())
        );
        keepalived.process().kill();
        vipd.wait_state("web", "master");
        assert_eq!(vipd.status()["health"], "healthy");
        for host in [&ours, &theirs] {
            let sent = sniffer.adverts(host.ipv4().into());
            assert!(
                !sent.is_empty() && sent.iter().all(|(_, advert)| advert.addresses.is_empty()),
                "{sent:?}"
            );
        }
        assert!(keepalived.rejections().is_empty(), "{:?}", keepalived.rejections());
    });
}

#[test]
fn an_upgrade_keeps_the_role_of_an_instance_without_addresses() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let vipd = Vipd::start(&lb1, &programs(), &bare(150).into());
        vipd.wait_state("web", "master");
        let (done, said, complaint) = vipd.vipctl(&["upgrade"]);
        assert!(done, "{said}{complaint}");
        let web = vipd.wait_state("web", "master");
        assert!(web["reason"].as_str().unwrap().contains("adopted from an agent before this one"), "{web}");
    });
}

#[test]
fn what_is_said_of_a_password_is_advice_and_no_problem() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let vipd =
            Vipd::start(&lb1, &programs(), &router(150).version(2).every(1000).password("secret").into());
        vipd.wait_state("web", "master");
        until("all is well", SOON, || (vipd.status()["health"] == "healthy").then_some(()));
        let (done, said, complaint) = vipd.vipctl(&["status"]);
        assert!(done, "{said}{complaint}");
        let advice: Vec<_> = said.lines().filter(|line| line.starts_with("advice: ")).collect();
        assert!(advice.len() == 2 && !said.contains("problem"), "{said}");
        assert!(advice.iter().all(|line| line.contains("instances.web.authentication")), "{said}");
        assert_eq!(vipd.status()["warnings"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn a_backup_that_misses_two_adverts_in_a_row_reports_a_near_miss_and_stays_one() {
    isolated(|lab| {
        let (lb1, lb2) = (lab.host("lb1"), lab.host("lb2"));
        let router = |priority| Router::new("web", 51, priority, VIP).every(500);
        let _master = Vipd::start(&lb1, &programs(), &Node::from(router(150)));
        let backup = Vipd::start(&lb2, &programs(), &Node::from(router(100)));
        let near = || backup.instance("web")["routers"][0]["near_misses"].clone();
        until("some adverts are heard", SOON, || (near()["gaps"][0]["count"].as_u64()? >= 3).then_some(()));
        assert_eq!((&near()["count"], &near()["threshold_percent"]), (&0.into(), &80.into()));
        assert!(near()["worst"]["percent"].as_f64().unwrap() < 50.0, "{}", near());
        let drop = "add table netdev quiet; add chain netdev quiet in { type filter hook ingress device eth0 priority 0; }; \
            add rule netdev quiet in ip protocol 112 limit rate 1/hour burst 2 packets drop";
        lb2.run("nft", &[drop]);
        until("the gap is measured", SOON, || (near()["count"] == 1).then_some(()));
        let near = near();
        let last = &near["last"];
        // 3 of 3 + 156/256 intervals.
        let percent = last["percent"].as_f64().unwrap();
        assert!((80.0..90.0).contains(&percent), "{near}");
        assert_eq!((&near["worst"], &near["worst_hour"], &near["worst_day"]), (last, last, last));
        assert_eq!(last["cause"], "lost_adverts", "{near}");
        assert_eq!(last["hint"], "2 adverts in a row did not arrive");
        assert_eq!(near["gaps"][2], serde_json::json!({ "below_percent": 90, "count": 1 }));
        let web = backup.instance("web");
        assert_eq!((&web["state"], &web["times_master"]), (&"backup".into(), &0.into()));
        let (_, told, _) = backup.vipctl(&["status", "web"]);
        assert!(told.contains("nearly took over once (80 % and more)"), "{told}");
        let (_, metrics, _) = backup.vipctl(&["metrics"]);
        assert!(
            metrics.lines().any(|line| line.starts_with("vipd_near_misses_total{") && line.ends_with(" 1")),
            "{metrics}"
        );
        let (_, history, _) = backup.vipctl(&["history", "--json"]);
        assert!(
            history.contains("near_miss") && history.contains("2 adverts in a row did not arrive"),
            "{history}"
        );
    });
}
