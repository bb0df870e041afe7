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
