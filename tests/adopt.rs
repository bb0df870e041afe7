//! A pair of vipd whose master is killed or restarted: what becomes of the addresses it had.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use lab::network::holders;
use lab::vipd::Programs;
use lab::{Agent, Host, Lab, Node, Router, Vipd, isolated, until};

const SOON: Duration = Duration::from_secs(15);
const FOUR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100));

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

/// An instance with an address of each family.
fn node(priority: u8, interval: u64) -> Node {
    let router = Router::new("web", 51, priority, "192.0.2.100/24").every(interval);
    Node::from(router.and("2001:db8::100/64"))
}

/// A master alone.
fn alone(lab: &Lab) -> (Host, Vipd) {
    let host = lab.host("lb1");
    let vipd = Vipd::start(&host, &programs(), &node(150, 100));
    until("it has the addresses", SOON, || holds(&host).then_some(()));
    (host, vipd)
}

fn holds(host: &Host) -> bool {
    !holders(&[host], FOUR).is_empty() && !holders(&[host], "2001:db8::100".parse().unwrap()).is_empty()
}

fn flush(host: &Host, arguments: &[&str]) -> (bool, String, String) {
    let directory = host.directory().join("vipd");
    let directory = directory.to_string_lossy();
    let all = [&["flush", "--runtime-dir", &directory], arguments].concat();
    host.try_run(&programs().vipd.to_string_lossy(), &all)
}

#[test]
fn a_flush_removes_what_a_dead_agent_left_and_nothing_else() {
    isolated(|lab| {
        let (host, mut vipd) = alone(lab);
        host.run("ip", &["address", "add", "192.0.2.77/24", "dev", "eth0"]);
        host.run("nft", &["add table netdev other"]);
        vipd.process().kill();
        let (left, said, _) = flush(&host, &["--after", "signal"]);
        assert!(left && said.starts_with("nothing removed: ") && holds(&host), "{said}");
        // A configuration that cannot be read is none of its business.
        let (done, said, complaint) = flush(&host, &["--config", "/nowhere"]);
        assert!(done, "{complaint}");
        let lines: Vec<_> = said.lines().collect();
        let form = |net: &str| format!("removed {net} from eth0");
        let table = "removed the nftables table 'netdev vipd'".to_owned();
        assert_eq!(lines, [form("192.0.2.100/32"), form("2001:db8::100/128"), table]);
        assert!(!holds(&host));
        let mine = ["192.0.2.1/24", "192.0.2.77/24"];
        assert!(mine.iter().all(|net| host.addresses("eth0").iter().any(|has| has == net)));
        assert_eq!(host.run("nft", &["list", "tables"]), "table netdev other\n");
        let (done, said, _) = flush(&host, &["--after", "success"]);
        assert_eq!((done, said.as_str()), (true, "nothing of an agent's is left\n"));
    });
}

#[test]
fn a_flush_refuses_beside_a_live_agent() {
    isolated(|lab| {
        let (host, _vipd) = alone(lab);
        let (done, _, complaint) = flush(&host, &[]);
        assert!(!done && complaint.contains("another agent is running in "), "{complaint}");
        assert!(holds(&host));
    });
}
