//! What a master has besides plain addresses on its own interface: addresses elsewhere and in a form of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use lab::vipd::Programs;
use lab::{Agent, Host, Vipd, isolated, until, wait};

const SOON: Duration = Duration::from_secs(15);

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

/// A second interface, with nothing on its other end.
fn with_eth1(host: &Host) {
    host.run("ip", &["link", "add", "eth1", "type", "veth", "peer", "name", "far1"]);
    host.run("ip", &["link", "set", "far1", "up"]);
    host.run("ip", &["link", "set", "eth1", "up"]);
    host.run("ip", &["addr", "add", "198.51.100.1/24", "dev", "eth1"]);
}

fn master(host: &Host, configuration: &str) -> Vipd {
    let vipd = Vipd::start_file(host, &programs(), configuration);
    vipd.wait_state("web", "master");
    vipd
}

const ASTRIDE: &str = "
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    advert_interval: 100ms
    addresses:
      - 192.0.2.100/24
      - { address: 198.51.100.100/24, interface: eth1, label: 'eth1:web', scope: link, advertise: false }
      - { address: '2001:db8::100/64', advertise: false, deprecated: false }
";

fn shows(host: &Host, interface: &str, what: &str) -> bool {
    host.run("ip", &["-o", "address", "show", "dev", interface]).contains(what)
}

#[test]
fn addresses_elsewhere_move_with_the_others_and_come_back_when_somebody_removes_them() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        with_eth1(&lb1);
        let mut vipd = master(&lb1, ASTRIDE);
        until("all are there", SOON, || {
            (shows(&lb1, "eth1", "198.51.100.100/32 scope link") && shows(&lb1, "eth0", "2001:db8::100/"))
                .then_some(())
        });
        assert!(shows(&lb1, "eth1", "eth1:web"));
        lb1.run("ip", &["addr", "del", "198.51.100.100/32", "dev", "eth1"]);
        until("it is back", SOON, || shows(&lb1, "eth1", "eth1:web").then_some(()));
        let (_, said, _) = vipd.vipctl(&["status", "web"]);
        assert!(said.contains("198.51.100.100/24 on eth1, not advertised  installed"), "{said}");
        vipd.process().stop();
        assert!(!shows(&lb1, "eth1", "198.51.100.100") && !shows(&lb1, "eth0", "2001:db8::100/"));
        assert!(shows(&lb1, "eth1", "198.51.100.1/24"));
    });
}

#[test]
fn the_lease_of_an_address_elsewhere_or_of_another_family_lives_and_ends_with_the_adverts() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        with_eth1(&lb1);
        let mut vipd = master(&lb1, ASTRIDE);
        let lit = |set: &str, interface: &str| {
            let (_, listed, _) = lb1.try_run("nft", &["list", "set", "netdev", "vipd", set]);
            listed.contains(&format!("\"{interface}\" timeout"))
                || listed.contains(&format!("\"{interface}\" expires"))
        };
        until("all are lit", SOON, || {
            (lit("lease4_1", "eth1") && lit("lease4_1", "eth0") && lit("lease6_1", "eth0")).then_some(())
        });
        wait::observe(Duration::from_secs(1));
        assert!(lit("lease4_1", "eth1") && lit("lease6_1", "eth0"), "adverts keep it");
        vipd.process().kill();
        until("the lease is over everywhere", Duration::from_secs(2), || {
            (!lit("lease4_1", "eth1") && !lit("lease4_1", "eth0") && !lit("lease6_1", "eth0")).then_some(())
        });
        assert!(shows(&lb1, "eth1", "198.51.100.100"), "the address is there and answers nobody");
    });
}

const ROUTED: &str = "
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    advert_interval: 100ms
    addresses: [192.0.2.100/24, '2001:db8::100/64']
    routes:
      - { to: 10.1.0.0/16, interface: eth1, table: 100 }
      - { to: default, via: 198.51.100.254, interface: eth1, source: 192.0.2.100, table: 100, mtu: 1400, mtu_lock: true, congestion_control: reno }
      - { to: 10.2.0.0/16, type: blackhole }
      - { to: 10.3.0.0/16, nexthops: [{ via: 192.0.2.251, weight: 2 }, { via: 192.0.2.252 }], metric: 50 }
      - { to: '2001:db8:5::/48', via: '2001:db8::fe', preference: high }
    rules:
      - { from: 192.0.2.100, table: 100, priority: 1000 }
      - { fwmark: 0x10/0xff, input_interface: eth7, ip_protocol: tcp, destination_port: 443, table: 100, priority: 1001 }
      - { to: '2001:db8:6::/48', action: prohibit, priority: 1000 }
      - { goto: 3000, not: true, to: 10.0.0.0/8, priority: 1002 }
";

/// Everything that carries our mark, a line each.
fn ours(host: &Host) -> Vec<String> {
    let mut lines = Vec::new();
    for family in ["-4", "-6"] {
        let shown = host.run("ip", &[family, "route", "show", "table", "all", "proto", "112"]);
        lines.extend(shown.lines().map(str::to_owned));
        let shown = host.run("ip", &["-details", family, "rule", "show"]);
        lines.extend(shown.lines().filter(|line| line.contains("proto 112")).map(str::to_owned));
    }
    lines.retain(|line| !line.trim_start().starts_with("nexthop"));
    lines
}

fn wait_for_paths(host: &Host, count: usize) -> Vec<String> {
    let found = wait::within(SOON, || Some(ours(host)).filter(|ours| ours.len() == count));
    found.unwrap_or_else(|| panic!("{:#?}", ours(host)))
}

#[test]
fn routes_and_rules_come_with_the_addresses_and_go_with_them() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        with_eth1(&lb1);
        lb1.run("ip", &["route", "add", "10.2.0.0/16", "via", "192.0.2.250"]);
        let mut vipd = master(&lb1, ROUTED);
        let all = wait_for_paths(&lb1, 9).join("\n");
        for part in [
            "default via 198.51.100.254 dev eth1 table 100",
            "src 192.0.2.100 mtu lock 1400 congctl reno",
            "10.1.0.0/16 dev eth1 table 100 scope link",
            "blackhole 10.2.0.0/16",
            "2001:db8:5::/48 via 2001:db8::fe dev eth0",
            "pref high",
            "1000:\tfrom 192.0.2.100 lookup 100",
            "fwmark 0x10/0xff iif eth7 [detached] ipproto tcp dport 443",
            "from all to 2001:db8:6::/48",
            "not from all to 10.0.0.0/8 goto 3000",
        ] {
            assert!(all.contains(part), "{part}\n{all}");
        }
        assert_eq!(vipd.status()["warnings"], serde_json::json!([]));
        vipd.process().stop();
        assert_eq!(ours(&lb1), [""; 0]);
        let others = lb1.run("ip", &["route", "show", "10.2.0.0/16"]);
        assert!(others.contains("via 192.0.2.250"), "the operator's own stays: {others}");
    });
}

#[test]
fn what_somebody_or_the_kernel_takes_away_is_put_back() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        with_eth1(&lb1);
        let vipd = master(&lb1, ROUTED);
        wait_for_paths(&lb1, 9);
        for gone in [
            "-4 route del 10.3.0.0/16",
            "-4 route flush table 100",
            "-4 rule del priority 1000",
            "-4 rule del priority 1001",
            "-6 rule del priority 1000",
            "-6 route del 2001:db8:5::/48",
            // The kernel says nothing of routes that go with a link or a source.
            "link set eth1 down",
            "addr del 192.0.2.100/32 dev eth0",
        ] {
            lb1.run("ip", &gone.split(' ').collect::<Vec<_>>());
            if gone.starts_with("link") {
                lb1.run("ip", &["link", "set", "eth1", "up"]);
            }
            let found = wait::within(SOON, || Some(ours(&lb1)).filter(|ours| ours.len() == 9));
            assert!(found.is_some(), "after {gone}: {:#?}\n{}", ours(&lb1), vipd.log());
        }
        let (_, events, _) = vipd.vipctl(&["events"]);
        assert!(events.contains("somebody removed the route 10.3.0.0/16"), "{events}");
    });
}

#[test]
fn a_restart_keeps_routes_and_a_flush_removes_them() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        with_eth1(&lb1);
        let mut vipd = master(&lb1, ROUTED);
        wait_for_paths(&lb1, 9);
        vipd.process().kill();
        assert_eq!(ours(&lb1).len(), 9);
        let less = ROUTED.replace("      - { from: 192.0.2.100, table: 100, priority: 1000 }\n", "");
        let other = less.replace("via: 198.51.100.254", "via: 198.51.100.253");
        let mut vipd = Vipd::start_file(&lb1, &programs(), &other);
        vipd.wait_state("web", "master");
        let all = wait_for_paths(&lb1, 8).join("\n");
        until("the changed route is there alone", SOON, || {
            let all = ours(&lb1).join("\n");
            (all.contains("198.51.100.253") && !all.contains("198.51.100.254")).then_some(())
        });
        assert!(!all.contains("1000:\tfrom 192.0.2.100"), "{all}");
        vipd.process().kill();
        let vipd = programs().vipd;
        let directory = lb1.directory().join("vipd");
        let said =
            lb1.run(&vipd.to_string_lossy(), &["flush", "--runtime-dir", &directory.to_string_lossy()]);
        assert!(said.contains("removed the route default in table 100"), "{said}");
        assert_eq!(ours(&lb1), [""; 0]);
    });
}

#[test]
fn what_the_kernel_refuses_is_named_and_comes_when_it_can() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let file = "
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    advert_interval: 100ms
    addresses: [192.0.2.100/24]
    routes:
      - { to: 10.1.0.0/16, via: 203.0.113.1 }
      - { to: 10.2.0.0/16, interface: eth1 }
";
        let vipd = master(&lb1, file);
        let warned = until("both are named", SOON, || {
            let warnings = vipd.status()["warnings"].to_string();
            (warnings.contains("unreachable") && warnings.contains("interface eth1 does not exist"))
                .then_some(warnings)
        });
        assert!(warned.contains("web: the route 10.1.0.0/16 via 203.0.113.1 is not installed"), "{warned}");
        assert_eq!(vipd.instance("web")["state"], "master");
        with_eth1(&lb1);
        lb1.run("ip", &["addr", "add", "203.0.113.2/24", "dev", "eth1"]);
        wait_for_paths(&lb1, 2);
        until("nothing is wrong any more", SOON, || {
            (vipd.status()["warnings"] == serde_json::json!([])).then_some(())
        });
    });
}

const STATIC: &str = "
static:
  addresses: [{ address: 198.51.100.5/24, interface: eth1 }]
  routes: [{ to: 10.9.0.0/16, via: 198.51.100.254 }]
  rules: [{ from: 198.51.100.5, table: main, priority: 900 }]
instances:
  web:
    interface: eth1
    virtual_router_id: 51
    advert_interval: 100ms
    addresses: [198.51.100.100/24]
";

#[test]
fn what_is_static_is_there_whoever_is_master_and_goes_with_the_agent() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        with_eth1(&lb1);
        // Adverts have no other address to come from.
        lb1.run("ip", &["addr", "del", "198.51.100.1/24", "dev", "eth1"]);
        let mut vipd = master(&lb1, STATIC);
        assert_eq!(wait_for_paths(&lb1, 2).len(), 2);
        assert_eq!(vipd.instance("web")["routers"][0]["source"], "198.51.100.5");
        lb1.run("ip", &["addr", "del", "198.51.100.5/24", "dev", "eth1"]);
        lb1.run("ip", &["rule", "del", "priority", "900"]);
        until("the address is back", SOON, || shows(&lb1, "eth1", "198.51.100.5/24").then_some(()));
        wait_for_paths(&lb1, 2);
        vipd.wait_state("web", "master");
        vipd.process().kill();
        let mut vipd = Vipd::start_file(&lb1, &programs(), &STATIC.replace("10.9.0.0", "10.8.0.0"));
        until("the changed route is there alone", SOON, || {
            let all = ours(&lb1).join(" ");
            (all.contains("10.8.0.0") && !all.contains("10.9.0.0")).then_some(())
        });
        assert!(shows(&lb1, "eth1", "198.51.100.5/24"));
        vipd.wait_state("web", "master");
        vipd.process().stop();
        assert_eq!(ours(&lb1), [""; 0]);
        assert!(!shows(&lb1, "eth1", "198.51.100."));
    });
}

#[test]
fn an_upgrade_and_a_reload_leave_what_is_static_alone_and_a_flush_removes_it() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        with_eth1(&lb1);
        lb1.run("ip", &["addr", "del", "198.51.100.1/24", "dev", "eth1"]);
        let mut vipd = master(&lb1, STATIC);
        wait_for_paths(&lb1, 2);
        let mut monitor = lb1.spawn("monitor", "ip", &["-o", "monitor", "address", "route", "rule"], &[]);
        let mark = |name: &str| {
            until("the monitor listens", SOON, || {
                lb1.run("ip", &["addr", "replace", name, "dev", "eth0"]);
                monitor.log().contains(name).then_some(())
            });
        };
        mark("192.0.2.71/32");
        assert!(vipd.vipctl(&["upgrade"]).0);
        vipd.wait_state("web", "master");
        let more =
            STATIC.replace("}]\ninstances", "}, { to: 10.0.0.0/8, table: main, priority: 901 }]\ninstances");
        let (done, _, complaint) = vipd.reload_file(&more);
        assert!(done, "{complaint}");
        wait_for_paths(&lb1, 3);
        mark("192.0.2.72/32");
        assert!(!monitor.log().contains("Deleted"), "{}", monitor.log());
        assert!(vipd.reload_file(STATIC).0);
        wait_for_paths(&lb1, 2);
        vipd.process().kill();
        let directory = lb1.directory().join("vipd");
        let flush = ["flush", "--runtime-dir", &directory.to_string_lossy()];
        let said = lb1.run(&programs().vipd.to_string_lossy(), &flush);
        assert!(said.contains("removed the IPv4 rule 900") && said.contains("198.51.100.5/24"), "{said}");
        assert_eq!(ours(&lb1), [""; 0]);
        assert!(!shows(&lb1, "eth1", "198.51.100."));
        monitor.kill();
    });
}
