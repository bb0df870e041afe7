//! Two agents on one host: whoever comes second does nothing, says why, and goes on when the first is gone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use lab::vipd::Programs;
use lab::{Agent, Host, Lab, Node, Router, Sniffer, Vipd, isolated, until};

const SOON: Duration = Duration::from_secs(15);
const FOUR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100));

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn node(priority: u8) -> Node {
    Router::new("web", 51, priority, "192.0.2.100/24").every(100).into()
}

/// A master, and another agent for the same virtual router on the same host.
fn two(lab: &Lab) -> (Host, Vipd, Vipd) {
    let host = lab.host("lb1");
    let first = Vipd::start(&host, &programs(), &node(150));
    first.wait_state("web", "master");
    until("the address is there", SOON, || host.holds(FOUR).then_some(()));
    let second = Vipd::start_beside(&host, &programs(), &node(250), "other");
    second.wait_state("web", "fault");
    (host, first, second)
}

fn ruleset(host: &Host) -> String {
    host.run("nft", &["--stateless", "list", "table", "netdev", "vipd"])
}

#[test]
fn a_second_agent_says_whose_turn_it_is_and_touches_nothing() {
    isolated(|lab| {
        let (host, first, mut second) = two(lab);
        let client = lab.host("client");
        let (since, table) = (first.instance("web")["since"].clone(), ruleset(&host));
        let sniffer = Sniffer::on(&client);
        let why = second.instance("web")["reason"].as_str().unwrap().to_owned();
        assert!(why.contains(&format!("another vipd (process {})", first.pid())), "{why}");
        assert!(second.vipctl(&["events"]).1.contains(&why));
        lab::wait::observe(Duration::from_millis(700));
        let adverts = sniffer.adverts(host.ipv4().into());
        assert!(
            !adverts.is_empty() && adverts.iter().all(|(_, advert)| advert.priority == 150),
            "{adverts:?}"
        );
        second.reload(&node(251));
        assert_eq!(second.instance("web")["state"], "fault");
        assert!(second.process().stop().success());
        assert!(host.holds(FOUR), "it takes nothing with it");
        assert_eq!((first.instance("web")["since"].clone(), ruleset(&host)), (since, table));
    });
}

#[test]
fn a_flush_with_another_runtime_directory_leaves_a_running_agent_alone() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let first = Vipd::start(&host, &programs(), &node(150));
        first.wait_state("web", "master");
        until("the address is there", SOON, || host.holds(FOUR).then_some(()));
        let elsewhere = host.directory().join("elsewhere");
        let vipd = programs().vipd;
        let flush = ["flush", "--runtime-dir", elsewhere.to_str().unwrap()];
        let (done, _, complaint) = host.try_run(vipd.to_str().unwrap(), &flush);
        assert!(!done && complaint.contains(&first.pid().to_string()), "{complaint}");
        let (done, said, _) =
            host.try_run(vipd.to_str().unwrap(), &[&flush[..], &["--after", "success"]].concat());
        assert!(done && said.contains("nothing removed"), "{said}");
        assert!(host.holds(FOUR));
    });
}

#[test]
fn a_second_agent_goes_on_when_the_first_is_killed() {
    isolated(|lab| {
        let (host, mut first, second) = two(lab);
        first.process().kill();
        second.wait_state("web", "master");
        until("the address is there", SOON, || host.holds(FOUR).then_some(()));
    });
}

#[test]
fn an_agent_that_restarts_or_is_upgraded_finds_its_place_free() {
    isolated(|lab| {
        let (host, mut first, second) = two(lab);
        for _ in 0..3 {
            let started = first.status()["agent"]["started"].clone();
            let (done, _, complaint) = first.vipctl(&["upgrade"]);
            assert!(done, "{complaint}");
            until("the new program answers", SOON, || {
                first.try_status().filter(|status| status["agent"]["started"] != started).map(drop)
            });
            assert_eq!(first.wait_state("web", "master")["state"], "master");
        }
        first.process().kill();
        let first = Vipd::start(&host, &programs(), &node(150));
        first.wait_state("web", "master");
        let why = second.instance("web")["reason"].as_str().unwrap().to_owned();
        assert_eq!(second.instance("web")["state"], "fault", "{why}");
        until("it names the new process", SOON, || {
            let why = second.instance("web")["reason"].as_str().unwrap().to_owned();
            why.contains(&first.pid().to_string()).then_some(())
        });
    });
}

#[test]
fn a_stranger_who_takes_the_name_keeps_nobody_from_working() {
    isolated(|lab| {
        let host = lab.host("lb1");
        let stranger = host.inside(|| {
            rustix::thread::set_thread_uid(rustix::thread::Uid::from_raw(65534)).unwrap();
            UnixListener::bind_addr(&SocketAddr::from_abstract_name("vipd").unwrap()).unwrap()
        });
        let vipd = Vipd::start(&host, &programs(), &node(150));
        vipd.wait_state("web", "master");
        let warnings = vipd.status()["warnings"].to_string();
        assert!(warnings.contains("@vipd") && warnings.contains("65534"), "{warnings}");
        drop(stranger);
    });
}
