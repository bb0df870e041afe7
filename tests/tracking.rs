//! What instances track, with the real programs in network namespaces: values, delays, hosts that answer, routes; and
//! that a weight weighs what it weighs with keepalived.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use lab::vipd::Programs;
use lab::{Agent, Host, Keepalived, Node, Router, Sniffer, Vipd, isolated, now, until, wait};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(15);

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn router() -> Router {
    Router::new("web", 51, 150, "192.0.2.100/24").every(100)
}

/// A virtual router that tracks `check` with `effect`, running on `host`.
fn tracking(host: &Host, effect: &str, check: &str) -> Vipd {
    let check = check.trim_end_matches(" }");
    let node = Node::from(router().track("x", effect))
        .check("x", &format!("{check}, interval: 50ms, timeout: 50ms }}"));
    Vipd::start(host, &programs(), &node)
}

/// Waits until the one check and the instance are as expected.
fn settle(vipd: &Vipd, what: &str, mut holds: impl FnMut(&Value, &Value) -> bool) {
    until(what, SOON, || {
        let status = vipd.status();
        holds(&status["checks"][0], &status["instances"][0]).then_some(())
    });
}

fn priority(instance: &Value) -> i64 {
    instance["priority"]["effective"].as_i64().unwrap()
}

#[test]
fn a_value_in_a_file_moves_the_priority_and_minus_254_is_fault() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let file = lb1.directory().join("score");
        let vipd = tracking(&lb1, "{ multiply: 2 }", &format!("{{ value_file: {} }}", file.display()));
        vipd.wait_state("web", "master");
        settle(&vipd, "no file is 0", |check, instance| check["value"] == 0 && priority(instance) == 150);
        fs::write(&file, "-20\n").unwrap();
        settle(&vipd, "-20 counts twice", |check, instance| {
            check["value"] == -20 && priority(instance) == 110
        });
        assert_eq!(vipd.instance("web")["tracks"][0]["adds"], -40);
        fs::write(&file, "much\n").unwrap();
        settle(&vipd, "nonsense is no value", |check, instance| {
            let saw = check["last_result"].as_str().unwrap_or_default();
            check["up"] == false
                && saw.contains("'much', which is no whole number")
                && priority(instance) == 110
        });
        fs::write(&file, "-127\n").unwrap();
        let fault = vipd.wait_state("web", "fault");
        assert_eq!(fault["reason"], "the value of check x is -127");
        fs::remove_file(&file).unwrap();
        vipd.wait_state("web", "master");
        let (_, events, _) = vipd.vipctl(&["events"]);
        assert!(events.contains("the value of check x changes from 0 to -20"), "{events}");
        let (_, detail, _) = vipd.vipctl(&["status", "web"]);
        assert!(detail.contains("(times 2, adds +0)"), "{detail}");
    });
}

#[test]
fn a_value_goes_on_counting_when_the_next_agent_begins() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let file = lb1.directory().join("score");
        fs::write(&file, "-20\n").unwrap();
        let check = format!("{{ value_file: {}, interval: 1s }}", file.display());
        let node = Node::from(router().track("x", "{ multiply: 2 }")).check("x", &check);
        let mut vipd = Vipd::start(&lb1, &programs(), &node);
        settle(&vipd, "it counts", |_, instance| priority(instance) == 110 && instance["state"] == "master");
        until("the state file has it", SOON, || {
            let state = fs::read_to_string(lb1.directory().join("vipd/state.json")).ok()?;
            state.contains(r#""values":{"x":-20}"#).then_some(())
        });
        vipd.process().kill();
        fs::write(&file, "nonsense\n").unwrap();
        let vipd = Vipd::start(&lb1, &programs(), &node);
        settle(&vipd, "it counts still", |check, instance| {
            assert!(check["value"].is_null() || check["value"] == -20, "{check}");
            check["up"] == false && priority(instance) == 110
        });
    });
}

#[test]
fn a_host_that_answers_is_up_over_ipv4_and_ipv6_and_by_its_link_local_address() {
    isolated(|lab| {
        let (lb1, gateway) = (lab.host("lb1"), lab.host("gateway"));
        let checks = [
            ("four", format!("{{ ping: {} }}", gateway.ipv4())),
            ("six", format!("{{ ping: '{}', source: '{}' }}", gateway.ipv6(), lb1.ipv6())),
            ("local", format!("{{ ping: '{}', interface: eth0 }}", gateway.link_local())),
            ("through", format!("{{ ping: {}, interface: eth0, source: {} }}", gateway.ipv4(), lb1.ipv4())),
            ("foreign", format!("{{ ping: {}, source: 198.51.100.77 }}", gateway.ipv4())),
            ("nobody", "{ ping: 192.0.2.222 }".to_owned()),
        ];
        let mut node = Node::from(router());
        for (name, check) in checks {
            node.routers[0] = node.routers[0].clone().track(name, "-10");
            node = node.check(name, &check.replace(" }", ", interval: 200ms, timeout: 100ms }"));
        }
        let vipd = Vipd::start(&lb1, &programs(), &node);
        let said = |name: &str| {
            let status = vipd.status();
            let checks = status["checks"].as_array().unwrap().clone();
            checks.into_iter().find(|check| check["name"] == name).unwrap()
        };
        for name in ["four", "six", "local", "through"] {
            until(&format!("{name} is up"), SOON, || (said(name)["up"] == true).then_some(()));
        }
        for (name, why) in [("foreign", "cannot ask from 198.51.100.77"), ("nobody", "")] {
            until(&format!("{name} is down"), SOON, || (said(name)["up"] == false).then_some(()));
            assert!(said(name)["last_result"].as_str().unwrap().contains(why), "{}", said(name));
        }
        gateway.run("ip", &["link", "set", "eth0", "down"]);
        for name in ["four", "six", "local", "through"] {
            until(&format!("{name} is down"), SOON, || (said(name)["up"] == false).then_some(()));
        }
    });
}

#[test]
fn a_route_has_to_be_there_and_to_lead_somewhere() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let route = |arguments: &[&str]| drop(lb1.run("ip", &[&["route"], arguments].concat()));
        route(&["add", "default", "via", "192.0.2.254", "metric", "10"]);
        let vipd = tracking(&lb1, "fault", "{ route: default, via: 192.0.2.254, interface: eth0 }");
        vipd.wait_state("web", "master");
        route(&["replace", "default", "via", "192.0.2.253", "metric", "10"]);
        settle(&vipd, "the route is another one", |check, instance| {
            check["last_result"] == "no route to 0.0.0.0/0 in table 254 via 192.0.2.254 through eth0"
                && instance["state"] == "fault"
        });
        route(&[
            "replace",
            "default",
            "metric",
            "10",
            "nexthop",
            "via",
            "192.0.2.253",
            "nexthop",
            "via",
            "192.0.2.254",
        ]);
        vipd.wait_state("web", "master");
        route(&["replace", "blackhole", "default", "metric", "10"]);
        vipd.wait_state("web", "fault");
        drop(vipd);
        route(&["add", "2001:db8:99::/48", "via", "2001:db8::fe", "table", "1000"]);
        let vipd = tracking(&lb1, "fault", "{ route: '2001:db8:99::/48', table: 1000 }");
        vipd.wait_state("web", "master");
        lb1.run("ip", &["-6", "route", "flush", "table", "1000"]);
        vipd.wait_state("web", "fault");
    });
}

#[test]
fn an_interface_that_flaps_moves_nothing_until_it_has_been_down_for_long_enough() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        lb1.run("ip", &["link", "add", "up0", "type", "veth", "peer", "name", "up1"]);
        let set = |state: &str| drop(lb1.run("ip", &["link", "set", "up1", state]));
        lb1.run("ip", &["link", "set", "up0", "up"]);
        set("up");
        let check = "{ interface: up0, down_delay: 1s, up_delay: 300ms }";
        let node = Node::from(router().track("x", "fault")).check("x", check);
        let vipd = Vipd::start(&lb1, &programs(), &node);
        let since = vipd.wait_state("web", "master")["since"].clone();
        for _ in 0..10 {
            set("down");
            settle(&vipd, "it waits", |check, _| check["pending"]["up"] == false);
            set("up");
            settle(&vipd, "it does not wait", |check, _| check["pending"].is_null());
        }
        assert_eq!(vipd.instance("web")["since"], since, "it was master all the time");
        let begun = now();
        set("down");
        vipd.wait_state("web", "fault");
        assert!(now() - begun >= 1_000_000_000);
        let begun = now();
        set("up");
        vipd.wait_state("web", "backup");
        assert!(now() - begun >= 300_000_000);
    });
}

#[test]
fn a_check_that_many_instances_track_runs_once() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let runs = lb1.directory().join("runs");
        let shell = format!("echo run >> {}", runs.display());
        let mut node =
            Node::default().check("x", &format!("{{ shell: '{shell}', interval: 100ms, timeout: 100ms }}"));
        for number in 0..5_u8 {
            let name = format!("web{number}");
            let address = format!("192.0.2.{}/24", 100 + number);
            node = node.router(Router::new(&name, 51 + number, 150, &address).every(100).track("x", "fault"));
        }
        let begun = now();
        let vipd = Vipd::start(&lb1, &programs(), &node);
        for number in 0..5 {
            vipd.wait_state(&format!("web{number}"), "master");
        }
        let count = until("it ran some times", SOON, || {
            let count = fs::read_to_string(&runs).ok()?.lines().count();
            (count >= 10).then_some(count)
        });
        let beats = (now() - begun) / 100_000_000 + 1;
        assert!(count as u64 <= beats, "{count} runs in {beats} intervals");
    });
}

/// What is tracked in one way by both programs, and what it does while the thing is there.
const WEIGHTS: [(&str, &str, &str); 12] = [
    ("interface", "weight 20", "20"),
    ("interface", "weight -20", "-20"),
    ("interface", "weight 20 reverse", "{ weight: 20, reverse: true }"),
    ("interface", "weight -20 reverse", "{ weight: -20, reverse: true }"),
    ("interface", "", "fault"),
    ("interface", "weight 0 reverse", "{ fault: true, reverse: true }"),
    ("script", "weight 30", "30"),
    ("script", "weight -30 reverse", "{ weight: -30, reverse: true }"),
    ("file", "weight 1", "{ multiply: 1 }"),
    ("file", "weight -3", "{ multiply: -3 }"),
    ("file", "weight 2 reverse", "{ multiply: -2 }"),
    ("file", "weight 0", "fault"),
];

#[test]
fn every_weight_weighs_what_it_does_with_keepalived() {
    isolated(|lab| {
        let (ours, theirs, client) = (lab.host("ours"), lab.host("theirs"), lab.host("client"));
        for host in [&ours, &theirs] {
            host.run("ip", &["link", "add", "up0", "type", "veth", "peer", "name", "up1"]);
            host.run("ip", &["link", "set", "up0", "up"]);
        }
        let set = |up: bool, value: i32| {
            for host in [&ours, &theirs] {
                host.run("ip", &["link", "set", "up1", if up { "up" } else { "down" }]);
                fs::write(host.directory().join("value"), format!("{value}\n")).unwrap();
                fs::write(host.directory().join("state"), if up { "0" } else { "1" }).unwrap();
            }
        };
        set(true, 0);
        let vipd = Vipd::start(&ours, &programs(), &weighed(&ours, 100));
        let mut keepalived = Keepalived::start(&theirs, &weighed(&theirs, 0));
        let sniffer = Sniffer::on(&client);
        let mut rows = vec!["interface up, value: the priorities of keepalived and of vipd".to_owned()];
        for (up, value) in [
            (true, 0),
            (false, 0),
            (true, 7),
            (true, -100),
            (true, -253),
            (true, -254),
            (false, 300),
            (true, 0),
        ] {
            set(up, value);
            let agreed = until(&format!("both say the same with {up} and {value}"), SOON, || {
                let from = now();
                lab::wait::observe(Duration::from_millis(1500));
                let said = |host: &Host, offset: u8| priorities(&sniffer, host, from, offset);
                let (here, there) = (said(&ours, 100), said(&theirs, 0));
                if here != there {
                    eprintln!("{up} {value}: vipd {here:?}, keepalived {there:?}");
                    eprintln!("{}", keepalived.process().log());
                }
                (here == there).then_some(here)
            });
            rows.push(format!("{up:5} {value:5}: {agreed:?}"));
        }
        println!("{}", rows.join("\n"));
        drop(vipd);
    });
}

/// A virtual router for each of [`WEIGHTS`].
fn weighed(host: &Host, offset: u8) -> Node {
    let at = |name: &str| host.directory().join(name).display().to_string();
    let script = format!("/usr/bin/grep -q 0 {}", at("state"));
    let fast = "interval: 100ms, timeout: 100ms";
    let mut node = Node::default()
        .check("interface", "{ interface: up0 }")
        .check("script", &format!("{{ script: [{}], {fast} }}", script.replace(' ', ", ")))
        .check("file", &format!("{{ value_file: {}, {fast} }}", at("value")))
        .script("script", &format!("script \"{script}\"\n  interval 1\n  rise 1\n  fall 1\n  user root"))
        .block(&format!("track_file file {{\n  file {}\n}}", at("value")));
    for (number, (kind, weight, effect)) in (1_u8..).zip(WEIGHTS) {
        let thing = if kind == "interface" { "up0" } else { kind };
        let address = format!("192.0.2.{}/32", 50 + offset + number);
        let router = Router::new(&format!("r{number}"), offset + number, 100, &address)
            .every(200)
            .vipd(&format!("track: {{ {kind}: {effect} }}"))
            .keepalived(&format!("track_{kind} {{\n    {thing} {weight}\n  }}"));
        node = node.router(router);
    }
    node
}

/// The last priority in the adverts of a host since some moment, by virtual router; resignations are none.
fn priorities(sniffer: &Sniffer, host: &Host, from: u64, offset: u8) -> BTreeMap<u8, u8> {
    let adverts = sniffer.adverts(host.ipv4().into());
    let mut last = BTreeMap::new();
    for (_, advert) in adverts.iter().filter(|(at, _)| *at >= from) {
        last.insert(advert.vrid - offset, advert.priority);
    }
    last.retain(|_, priority| *priority != 0);
    last
}

const UNFOLLOWING: &str = "
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    advert_interval: 100ms
    addresses: [192.0.2.100/24, '2001:db8::100/64']
    follow_interface: false
";

#[test]
fn an_instance_that_does_not_follow_its_interface_goes_on_without_a_carrier_and_says_so_when_it_is_back() {
    isolated(|lab| {
        let (lb1, client) = (lab.host("lb1"), lab.host("client"));
        let mut vipd = Vipd::start_file(&lb1, &programs(), UNFOLLOWING);
        vipd.wait_state("web", "master");
        let vip = IpAddr::from([192, 0, 2, 100]);
        until("the address is there", SOON, || lb1.holds(vip).then_some(()));
        lb1.unplug();
        // Three terms of a lease: what could end it would have.
        wait::observe(Duration::from_millis(1200));
        // On a busy machine the agent may have been late, but an interface was no reason to end.
        vipd.wait_state("web", "master");
        assert!(lb1.holds(vip) && !vipd.log().contains("FAULT"), "{}", vipd.log());
        let sniffer = Sniffer::on(&client);
        let plugged = now();
        lb1.plug();
        until("it is announced again", Duration::from_secs(2), || {
            sniffer.announcements(lb1.mac(), plugged).iter().any(|(_, address)| *address == vip).then_some(())
        });
        assert!(!vipd.log().contains("FAULT"), "{}", vipd.log());
        lb1.run("ip", &["link", "set", "eth0", "down"]);
        vipd.wait_state("web", "fault");
        until("the address is gone", SOON, || (!lb1.holds(vip)).then_some(()));
        vipd.process().stop();
    });
}

#[test]
fn a_carrier_may_be_away_for_as_long_as_a_check_of_the_interface_is_patient() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let checks = "    track: { link: fault }\nchecks: { link: { interface: eth0, down_delay: 2s } }\n";
        let mut vipd = Vipd::start_file(&lb1, &programs(), &format!("{UNFOLLOWING}{checks}"));
        vipd.wait_state("web", "master");
        lb1.unplug();
        wait::observe(Duration::from_millis(800));
        lb1.plug();
        wait::observe(Duration::from_millis(1500));
        assert!(!vipd.log().contains("FAULT"), "{}", vipd.log());
        lb1.unplug();
        let away = now();
        vipd.wait_state("web", "fault");
        assert!(now() - away > 1_900_000_000, "{} ns", now() - away);
        lb1.plug();
        vipd.wait_state("web", "master");
        vipd.process().stop();
    });
}
