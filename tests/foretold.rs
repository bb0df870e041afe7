//! What `vipctl explain` foretells is what happens.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use lab::vipd::{Programs, configuration};
use lab::{Agent, Lab, Node, Router, Sniffer, Vipd, isolated, now, until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(15);

fn programs() -> Programs {
    Programs::at(env!("CARGO_BIN_EXE_vipd"), env!("CARGO_BIN_EXE_vipctl"))
}

fn router(priority: u8) -> Router {
    Router::new("web", 51, priority, "192.0.2.100/24").every(100)
}

/// What an agent says would become of its one instance, if.
fn prospect(vipd: &Vipd, supposed: &str) -> Value {
    let (done, said, complaint) = vipd.vipctl(&["explain", "web", "--json"]);
    assert!(done, "{complaint}");
    let explanation: Value = serde_json::from_str(&said).unwrap();
    let prospects = explanation["instances"][0]["prospects"].as_array().cloned().unwrap();
    let found = prospects.into_iter().find(|prospect| prospect["if"] == supposed);
    found.unwrap_or_else(|| panic!("nothing is said of {supposed}: {said}"))
}

/// The span that is foretold.
fn span(prospect: &Value) -> (f64, f64) {
    (prospect["earliest_ms"].as_f64().unwrap(), prospect["latest_ms"].as_f64().unwrap())
}

/// How late an agent was: it foretells what it knows, which is how late it has been so far.
fn lateness(vipd: &Vipd) -> f64 {
    vipd.status()["agent"]["worst_late_ms"].as_f64().unwrap()
}

/// The times since `began`, in milliseconds, that `rounds` takeovers took, each with what was foretold of it.
fn drills(lab: &Lab, rounds: usize, supposed: &str, end: impl Fn(&mut Vipd)) {
    let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
    let second = Vipd::start(&lb2, &programs(), &Node::from(router(100)));
    let sniffer = Sniffer::on(&client);
    let mut told = String::new();
    for round in 0..rounds {
        let mut first = Vipd::start(&lb1, &programs(), &Node::from(router(150)));
        first.wait_state("web", "master");
        second.wait_state("web", "backup");
        until("the backup hears the better one", SOON, || {
            (second.instance("web")["routers"][0]["master"]["priority"] == 150).then_some(())
        });
        let foretold = prospect(&second, supposed);
        assert_eq!(foretold["becomes"], "master", "{foretold}");
        let (earliest, latest) = span(&foretold);
        let began = now();
        end(&mut first);
        let source = IpAddr::from(lb2.ipv4());
        let took = until("lb2 advertises", SOON, || {
            let adverts = sniffer.adverts(source);
            let first = adverts.iter().find(|(at, advert)| *at > began && advert.priority == 100)?;
            Some(Duration::from_nanos(first.0 - began).as_secs_f64() * 1000.0)
        });
        let latest = latest + lateness(&second);
        assert!(
            took >= earliest && took <= latest,
            "round {round}: {took} ms, foretold {earliest} to {latest}"
        );
        told = format!("{took:.1} ms, foretold {earliest:.1} to {latest:.1}");
    }
    println!("{rounds} of {rounds} takeovers within what was foretold; the last took {told}");
}

/// How many times a takeover is tried; `VIPD_DRILLS` says otherwise.
fn rounds() -> usize {
    std::env::var("VIPD_DRILLS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5)
}

#[test]
fn a_crash_is_followed_within_the_time_that_is_foretold() {
    isolated(|lab| drills(lab, rounds(), "master_dies", |first| first.process().kill()));
}

#[test]
fn a_check_that_recovers_brings_the_role_back_within_the_time_that_is_foretold() {
    isolated(|lab| {
        let (lb1, lb2, client) = (lab.host("lb1"), lab.host("lb2"), lab.host("client"));
        let up = lb1.directory().join("up");
        let check = format!("{{ file: \"{}\", interval: 100ms, rise: 3, fall: 2 }}", up.display());
        let node = Node::from(router(150).track("here", "-60")).check("here", &check);
        let first = Vipd::start(&lb1, &programs(), &node);
        let _second = Vipd::start(&lb2, &programs(), &Node::from(router(100)));
        until("lb1 follows the better one", SOON, || {
            (first.instance("web")["routers"][0]["master"]["priority"] == 100).then_some(())
        });
        let foretold = prospect(&first, "check_recovers");
        assert_eq!(
            (&foretold["becomes"], &foretold["priority"]),
            (&"master".into(), &150.into()),
            "{foretold}"
        );
        let (earliest, latest) = span(&foretold);
        let sniffer = Sniffer::on(&client);
        let began = now();
        std::fs::write(&up, "").unwrap();
        let source = IpAddr::from(lb1.ipv4());
        let took = until("lb1 advertises", SOON, || {
            let first = sniffer
                .adverts(source)
                .into_iter()
                .find(|(at, advert)| *at > began && advert.priority == 150)?;
            Some(Duration::from_nanos(first.0 - began).as_secs_f64() * 1000.0)
        });
        let latest = latest + lateness(&first);
        assert!(took >= earliest && took <= latest, "{took} ms, foretold {earliest} to {latest}");
    });
}

#[test]
fn a_plan_says_what_the_reload_does_then_and_changes_nothing_itself() {
    isolated(|lab| {
        let (lb1, lb2) = (lab.host("lb1"), lab.host("lb2"));
        let first = Vipd::start(&lb1, &programs(), &Node::from(router(150)));
        let second = Vipd::start(&lb2, &programs(), &Node::from(router(100)));
        first.wait_state("web", "master");
        until("the backup hears the master", SOON, || {
            (second.instance("web")["routers"][0]["master"]["priority"] == 150).then_some(())
        });
        let mail = Router::new("mail", 52, 120, "192.0.2.101/24").every(100);
        let node = Node::from(router(150).and("192.0.2.102/24")).router(mail);
        let file = lb1.directory().join("other.yaml");
        std::fs::write(&file, configuration(&node)).unwrap();
        let before = first.instance("web");
        let (done, said, complaint) = first.vipctl(&["plan", &file.to_string_lossy(), "--json"]);
        assert!(done, "{complaint}");
        let plan: Value = serde_json::from_str(&said).unwrap();
        let [web, mail] = [0, 1].map(|at| plan["instances"][at].clone());
        assert_eq!(
            (&web["change"], &web["now"], &web["then"]),
            (&"changed".into(), &"master".into(), &"master".into())
        );
        assert_eq!(web["addresses_added"], serde_json::json!(["192.0.2.102/24"]));
        assert_eq!((&mail["change"], &mail["then"]), (&"added".into(), &"master".into()));
        let now = first.status()["instances"].as_array().cloned().unwrap();
        let addresses = now[0]["addresses"].as_array().map(Vec::len);
        assert_eq!((now.len(), addresses), (1, Some(1)), "{now:?}");
        assert!(first.reload_file(&configuration(&node)).0);
        let after = first.wait_state("mail", "master");
        assert_eq!(after["priority"]["effective"], mail["priority_then"]);
        let web = first.instance("web");
        assert_eq!((&web["state"], &web["since"]), (&before["state"], &before["since"]));
        until("the new address is in", SOON, || (web_has(&first, "192.0.2.102")).then_some(()));
    });
}

#[test]
fn a_plan_foretells_an_instance_that_is_begun_anew_and_one_that_is_renamed() {
    isolated(|lab| {
        let lb1 = lab.host("lb1");
        let vipd = Vipd::start(&lb1, &programs(), &Node::from(router(150)));
        vipd.wait_state("web", "master");
        let file = lb1.directory().join("other.yaml");
        let plan = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let (done, said, complaint) = vipd.vipctl(&["plan", &file.to_string_lossy(), "--json"]);
            assert!(done, "{complaint}");
            let plan: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(plan["instances"].as_array().map(Vec::len), Some(1), "{said}");
            plan["instances"][0].clone()
        };
        let base = configuration(&Node::from(router(150)));
        let renamed = plan(&base.replace("web:", "www:"));
        assert_eq!((&renamed["change"], &renamed["name"]), (&"changed".into(), &"www".into()));
        assert_eq!((&renamed["now"], &renamed["then"]), (&"master".into(), &"master".into()));
        assert_eq!(renamed["keys"], serde_json::json!(["name web -> www"]));
        assert_eq!(renamed["transitions"], serde_json::json!([]));
        let other = base.replace("priority:", "virtual_mac: true\n    priority:");
        let anew = plan(&other);
        assert_eq!((&anew["change"], &anew["then"]), (&"restarted".into(), &"master".into()), "{anew}");
        let steps: Vec<_> = anew["transitions"].as_array().into_iter().flatten().collect();
        let to: Vec<_> = steps.iter().map(|step| &step["to"]).collect();
        assert_eq!(to, ["backup", "master"], "{anew}");
        assert!(vipd.reload_file(&other).0);
        let after = vipd.wait_state("web", "master");
        assert_eq!(after["reason"], steps[1]["reason"]);
    });
}

fn web_has(vipd: &Vipd, address: &str) -> bool {
    let web = vipd.instance("web");
    let mut addresses = web["addresses"].as_array().into_iter().flatten();
    addresses.any(|one| {
        one["installed"] == true && one["address"].as_str().is_some_and(|a| a.starts_with(address))
    })
}
