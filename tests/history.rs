//! What survives: history and drains, over crashes, restarts and what is as good as a reboot.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::time::Duration;

use lab::vipd::Programs;
use lab::{Agent, Host, Lab, Node, Router, Vipd, isolated, until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(15);

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn node(priority: u8) -> Node {
    Router::new("web", 51, priority, "192.0.2.100/24").every(100).into()
}

/// Two load balancers, of which the first is master.
fn pair(lab: &Lab) -> (Host, Vipd, Vipd) {
    let (lb1, lb2) = (lab.host("lb1"), lab.host("lb2"));
    let first = Vipd::start(&lb1, &programs(), &node(150));
    let second = Vipd::start(&lb2, &programs(), &node(100));
    first.wait_state("web", "master");
    second.wait_state("web", "backup");
    (lb1, first, second)
}

/// Ends an agent without a word, and takes away what does not survive a reboot.
fn reboot(vipd: &mut Vipd) {
    vipd.process().kill();
    let runtime = vipd.state().parent().unwrap().to_owned();
    for name in ["state.json", "sequences.json"] {
        drop(fs::remove_file(runtime.join(name)));
    }
}

/// How many adverts of the first agent's kind the other one has heard.
fn heard(vipd: &Vipd) -> u64 {
    vipd.instance("web")["routers"][0]["counters"]["adverts_received"].as_u64().unwrap()
}

fn history(vipd: &Vipd) -> Vec<Value> {
    let (_, said, _) = vipd.vipctl(&["history", "--json"]);
    let history: Value = serde_json::from_str(&said).unwrap_or_default();
    history["changes"].as_array().cloned().unwrap_or_default()
}

/// The codes of the changes into this state.
fn reasons(vipd: &Vipd, to: &str) -> Vec<String> {
    let into = history(vipd).into_iter().filter(|one| one["to"] == to);
    into.map(|one| one["reason_kind"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_drain_survives_a_crash_and_a_reboot_until_it_is_resumed() {
    isolated(|lab| {
        let (lb1, mut first, second) = pair(lab);
        let (done, said, complaint) = first.vipctl(&["drain", "web"]);
        assert!(done && said.contains(" took over after "), "{said}{complaint}");
        let since = second.wait_state("web", "master")["since"].clone();
        reboot(&mut first);
        let mut first = Vipd::start(&lb1, &programs(), &node(150));
        let drained = |vipd: &Vipd| vipd.instance("web")["drained"]["since"].is_string();
        // Far longer than a backup of its priority would wait, or one that preempts.
        until("it has heard twenty adverts", SOON, || (heard(&first) >= 20).then_some(()));
        assert!(drained(&first));
        first.process().kill();
        let first = Vipd::start(&lb1, &programs(), &node(150));
        until("it has heard twenty adverts", SOON, || (heard(&first) >= 20).then_some(()));
        assert!(drained(&first));
        assert_eq!(second.instance("web")["since"], since, "the other one was master all the time");
        assert_eq!(reasons(&first, "master").len(), 1, "{:?}", history(&first));
        assert!(first.vipctl(&["resume", "web"]).0);
        first.wait_state("web", "master");
        assert!(!drained(&first));
    });
}

#[test]
fn a_drain_ends_when_its_time_is_over_whether_the_agent_runs_or_not() {
    isolated(|lab| {
        let (lb1, mut first, second) = pair(lab);
        assert!(first.vipctl(&["drain", "--all", "--for", "2s"]).0);
        second.wait_state("web", "master");
        first.wait_state("web", "master");
        assert!(first.instance("web")["drained"].is_null());
        until("history has the end", SOON, || {
            history(&first).iter().any(|one| one["reason_kind"] == "drain_over").then_some(())
        });

        assert!(first.vipctl(&["drain", "web", "--for", "1s"]).0);
        first.process().kill();
        let text = fs::read(first.state().join("drains.json")).unwrap();
        let kept: Value = serde_json::from_slice(&text).unwrap();
        let over = kept["drains"]["web"]["until"].as_str().unwrap().to_owned();
        until("it is over", SOON, || (second.status()["time"].as_str()? > over.as_str()).then_some(()));
        let first = Vipd::start(&lb1, &programs(), &node(150));
        first.wait_state("web", "master");
        assert!(first.instance("web")["drained"].is_null());
    });
}

#[test]
fn history_of_agents_before_is_told_by_the_next_one() {
    isolated(|lab| {
        let (lb1, mut first, second) = pair(lab);
        until("the first change is on disk", SOON, || (reasons(&first, "master").len() == 1).then_some(()));
        reboot(&mut first);
        second.wait_state("web", "master");
        until("the other one has written", SOON, || (reasons(&second, "master").len() == 1).then_some(()));
        assert_eq!(reasons(&second, "master"), ["master_no_response"]);
        let taken = history(&second).into_iter().find(|one| one["to"] == "master").unwrap();
        // Three intervals and the skew: 300 ms and 156/256 of 100 ms.
        assert!((taken["gap_ms"].as_f64().unwrap() - 360.9).abs() < 1.0, "{taken}");
        let first = Vipd::start(&lb1, &programs(), &node(150));
        first.wait_state("web", "master");
        until("the next change is on disk", SOON, || (reasons(&first, "master").len() == 2).then_some(()));
        assert_eq!(reasons(&first, "master")[1], "preempted");
        let started = history(&first).iter().filter(|one| one["reason_kind"] == "agent_started").count();
        assert_eq!(started, 2);
        let (done, said, complaint) = first.vipctl(&["history", "web"]);
        assert!(done, "{complaint}");
        assert!(said.starts_with("web changed hands 2 times in the last 24 h.\n"), "{said}");
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
        println!("{said}");
    });
}

#[test]
fn a_drained_instance_alone_serves_all_the_same() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let mut vipd = Vipd::start(&lb1, &programs(), &node(150));
        vipd.wait_state("web", "master");
        let (done, said, _) = vipd.vipctl(&["drain", "web"]);
        assert!(!done && said == "web: nobody took over; still master\n", "{said}");
        reboot(&mut vipd);
        let vipd = Vipd::start(&lb1, &programs(), &node(150));
        vipd.wait_state("web", "master");
        assert!(vipd.instance("web")["drained"].is_object(), "and it goes when another one comes");
    });
}
