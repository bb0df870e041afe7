//! `accept: false`: a master that forwards for its addresses, is found by them, and takes in nothing for them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use lab::vipd::Programs;
use lab::{Agent, Host, Vipd, claim, isolated, until, wait};

const SOON: Duration = Duration::from_secs(15);
const FOUR: &str = "192.0.2.100";
const SIX: &str = "2001:db8::100";

const REFUSING: &str = "
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    advert_interval: 100ms
    addresses: [192.0.2.100/24, '2001:db8::100/64']
    accept: false
";

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn master(host: &Host) -> Vipd {
    let vipd = Vipd::start_file(host, &programs(), REFUSING);
    vipd.wait_state("web", "master");
    for address in [FOUR, SIX] {
        let address: IpAddr = address.parse().unwrap();
        until("the address is there", SOON, || host.holds(address).then_some(()));
    }
    vipd
}

/// Whether the host that has the address says that nobody listens on a port there: then it took the packet in.
fn answers(host: &Host, address: &str) -> bool {
    let to = SocketAddr::new(address.parse().unwrap(), 9);
    let outcome = host.inside(|| TcpStream::connect_timeout(&to, Duration::from_millis(700)));
    match outcome.map_err(|error| error.kind()) {
        Err(ErrorKind::ConnectionRefused) => true,
        Err(ErrorKind::TimedOut | ErrorKind::WouldBlock) => false,
        other => panic!("{other:?}"),
    }
}

fn has_table(host: &Host) -> bool {
    host.run("nft", &["list", "tables"]).contains("table inet vipd")
}

#[test]
fn a_master_is_found_by_its_addresses_and_takes_in_nothing_for_them() {
    isolated(|lab| {
        let (lb1, client) = (lab.host("lb1"), lab.host("client"));
        let mut vipd = master(&lb1);
        for address in [FOUR, SIX] {
            assert_eq!(claim::who_has(&client, address.parse().unwrap()), [lb1.mac()].into());
            assert!(
                !answers(&client, address) && answers(&lb1, address),
                "the host itself reaches {address}"
            );
        }
        assert!(answers(&client, "192.0.2.1") && vipd.status()["warnings"] == serde_json::json!([]));
        let (_, said, _) = vipd.vipctl(&["status", "web"]);
        assert!(said.contains("no packets for its addresses"), "{said}");
        lb1.run("nft", &["flush", "ruleset"]);
        until("it refuses again", SOON, || has_table(&lb1).then_some(()));
        assert!(!answers(&client, FOUR));
        let found = wait::within(SOON, || {
            let (_, events, _) = vipd.vipctl(&["events"]);
            events.contains("the nftables table 'inet vipd'; it is made again").then_some(())
        });
        assert!(found.is_some(), "{}", vipd.vipctl(&["events"]).1);
        vipd.wait_state("web", "master");
        assert!(vipd.reload_file(&REFUSING.replace("accept: false", "accept: true")).0);
        until("it answers", SOON, || (answers(&client, FOUR) && answers(&client, SIX)).then_some(()));
        assert!(!has_table(&lb1));
        assert!(vipd.reload_file(REFUSING).0);
        until("it refuses", SOON, || has_table(&lb1).then_some(()));
        vipd.process().stop();
        assert!(!has_table(&lb1), "it goes with the rest");
    });
}

#[test]
fn refusals_stay_over_a_crash_and_an_upgrade_and_a_flush_removes_them() {
    isolated(|lab| {
        let (lb1, client) = (lab.host("lb1"), lab.host("client"));
        let mut vipd = master(&lb1);
        assert!(vipd.vipctl(&["upgrade"]).0);
        vipd.wait_state("web", "master");
        vipd.process().kill();
        assert!(has_table(&lb1));
        let mut vipd = master(&lb1);
        assert!(!answers(&client, FOUR));
        vipd.process().kill();
        let directory = lb1.directory().join("vipd");
        let flush = ["flush", "--runtime-dir", &directory.to_string_lossy()];
        let said = lb1.run(&programs().vipd.to_string_lossy(), &flush);
        assert!(said.contains("removed the nftables table 'inet vipd'"), "{said}");
        assert!(!has_table(&lb1));
    });
}
