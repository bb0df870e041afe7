//! The control API: its answers, and what each socket is for.

use std::fs;
use std::io::Write;

use serde_json::Value;
use vipd::agent::post::Request;
use vipd::engine::event::Target;
use vipd::engine::notice::{Reason, State, What};
use vipd::net::Priority;
use vipd::proto::health::Verdict;
use vipd::sys::clock;

use super::fake::{Agent, CONFIGURATION, Lines, healthy, wait_until};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn status_has_every_key_of_its_schema() {
    let agent = Agent::start(healthy());
    let (status, body) = agent.http("status.sock", "GET", "/status", "");
    assert_eq!(status, 200);
    let report = json(&body);
    assert_eq!((report["schema"].as_u64(), report["node"].as_str()), (Some(1), Some("lb1")));
    let web = &report["instances"][0];
    for key in ["name", "state", "since", "reason", "interface", "virtual_router_id", "version", "priority"] {
        assert!(!web[key].is_null(), "{key}");
    }
    assert_eq!((web["state"].as_str(), web["version"].as_u64()), (Some("master"), Some(3)));
    assert_eq!(web["priority"], serde_json::json!({"configured": 150, "effective": 150}));
    let router = &web["routers"][0];
    assert_eq!((router["family"].as_str(), router["state"].as_str()), (Some("ipv4"), Some("master")));
    assert_eq!(router["master"]["address"].as_str(), Some("192.0.2.1"));
    assert_eq!(router["master"]["priority"].as_u64(), Some(150));
    assert!(router["counters"]["adverts_sent"].is_u64());
    let address = &web["addresses"][0];
    assert_eq!((address["address"].as_str(), address["trouble"].as_str()), (Some("192.0.2.10/24"), None));
    assert_eq!((address["installed"].as_bool(), address["advertised"].as_bool()), (Some(true), Some(true)));
    assert_eq!(web["tracks"][0]["weight"].as_i64(), Some(-60));
    assert!(report["warnings"].is_array());
    assert!(web["since"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_check_reports_its_verdict_to_the_engine_and_its_result_to_status() {
    let agent = Agent::start(healthy());
    let order = agent.order(|order| matches!(order, Request::Verdict { .. }));
    let Request::Verdict { check, verdict, why } = order else { panic!("{order:?}") };
    assert_eq!((check.as_str(), verdict), ("here", Verdict::Up), "{why}");
    let report = json(&agent.http("status.sock", "GET", "/status", "").1);
    let check = &report["checks"][0];
    assert_eq!((check["kind"].as_str(), check["up"].as_bool()), (Some("file"), Some(true)));
    assert_eq!(check["target"].as_str(), Some("/proc/self/stat"));
    assert!(check["latency_ms"].is_f64() && check["last_error"].is_null());
}

#[test]
fn the_socket_for_questions_takes_no_orders() {
    let agent = Agent::start(healthy());
    for path in ["/reload", "/step-down", "/resume"] {
        let (status, body) = agent.http("status.sock", "POST", path, r#"{"all":true}"#);
        assert_eq!(status, 403);
        assert!(json(&body)["error"].as_str().unwrap().contains("vipd.sock"));
    }
    assert!(agent.orders_so_far().is_empty());
}

#[test]
fn what_is_not_understood_is_refused_with_a_sentence() {
    let agent = Agent::start(healthy());
    for (method, path, body, status) in [
        ("GET", "/nothing", "", 404),
        ("DELETE", "/status", "", 405),
        ("GET", "/reload", "", 405),
        ("GET", "/events?sinc=1", "", 400),
        ("POST", "/step-down", "{", 400),
        ("POST", "/step-down", "", 400),
        ("POST", "/step-down", r#"{"instance":"web","all":true}"#, 400),
        ("POST", "/step-down", r#"{"instance":"nope"}"#, 404),
        ("POST", "/resume", r#"{"instances":"web"}"#, 400),
        ("POST", "/reload", &"x".repeat(20_000), 413),
    ] {
        let (got, answer) = agent.http("vipd.sock", method, path, body);
        assert_eq!(got, status, "{method} {path}: {answer}");
        assert!(!json(&answer)["error"].as_str().unwrap().is_empty());
    }
    assert!(agent.orders_so_far().is_empty());
}

#[test]
fn orders_reach_the_engine_and_history_says_whose_they_were() {
    let agent = Agent::start(healthy());
    assert_eq!(agent.http("vipd.sock", "POST", "/step-down", r#"{"instance":"web"}"#).0, 200);
    assert_eq!(agent.http("vipd.sock", "POST", "/resume", r#"{"instance":"mail"}"#).0, 200);
    let orders = agent.orders_so_far();
    let [Request::StepDown(Target::Named(down)), Request::Resume(Target::Named(up))] = orders.as_slice()
    else {
        panic!("{orders:?}")
    };
    assert_eq!((down.as_str(), up.as_str()), ("web", "mail"));
    let (_, events) = agent.http("status.sock", "GET", "/events", "");
    let asked: Vec<_> = events.lines().map(json).filter(|event| event["kind"] == "asked").collect();
    assert_eq!(asked.len(), 3, "{events}");
    assert_eq!(asked[0]["by"]["uid"].as_u64(), Some(nix::unistd::getuid().as_raw().into()));
    assert_eq!(asked[0]["by"]["pid"].as_u64(), Some(std::process::id().into()));
    assert_eq!(asked[0]["instance"].as_str(), Some("web"));
}

#[test]
fn a_protocol_thread_that_does_not_answer_makes_503_within_a_second_or_two() {
    let agent = Agent::start(healthy());
    agent.mute(true);
    // What the agent has asked before may still be fresh.
    agent.tell("web", What::SendRecovered);
    wait_until("a notice", || agent.http("status.sock", "GET", "/events", "").1.contains("send_recovered"));
    let begun = clock::now();
    let (status, body) = agent.http("status.sock", "GET", "/status", "");
    assert_eq!(status, 503);
    assert!(clock::now().since(begun).as_secs() < 4);
    assert!(json(&body)["error"].as_str().unwrap().contains("not answered"));
    agent.mute(false);
    wait_until("an answer again", || agent.http("status.sock", "GET", "/status", "").0 == 200);
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_says_each() {
    let agent = Agent::start(healthy());
    fs::write(&agent.config, CONFIGURATION.replace("id: 51", "id: 351").replace("id: 52", "id: 0")).unwrap();
    let (status, body) = agent.http("vipd.sock", "POST", "/reload", "");
    assert_eq!(status, 422);
    assert_eq!(json(&body)["problems"].as_array().unwrap().len(), 2, "{body}");
    assert!(agent.orders_so_far().is_empty());
    let (_, events) = agent.http("status.sock", "GET", "/events", "");
    assert!(events.contains("reload_refused"), "{events}");
}

#[test]
fn a_reload_that_makes_two_masters_needs_force() {
    let agent = Agent::start(healthy());
    fs::write(&agent.config, CONFIGURATION.replace("id: 51", "id: 61")).unwrap();
    let (status, body) = agent.http("vipd.sock", "POST", "/reload", "{}");
    assert_eq!(status, 409);
    assert!(json(&body)["dangers"][0].as_str().unwrap().contains("virtual_router_id"), "{body}");
    assert!(agent.orders_so_far().is_empty());
    assert_eq!(agent.http("vipd.sock", "POST", "/reload", r#"{"force":true}"#).0, 200);
    let order = agent.order(|order| matches!(order, Request::Reload(_)));
    let Request::Reload(settings) = order else { panic!("{order:?}") };
    assert_eq!(settings.instances[0].vrid.get(), 61);
}

#[test]
fn a_check_that_a_reload_leaves_alone_is_not_asked_for_its_verdict_again() {
    let agent = Agent::start(healthy());
    agent.order(|order| matches!(order, Request::Verdict { .. }));
    let more = CONFIGURATION.to_owned() + "  gone: {file: /nowhere, interval: 50ms}\n";
    fs::write(&agent.config, more.replace("priority: 150", "priority: 151")).unwrap();
    assert_eq!(agent.http("vipd.sock", "POST", "/reload", "").0, 200);
    agent.order(|order| matches!(order, Request::Reload(_)));
    let order = agent.order(|order| matches!(order, Request::Verdict { .. }));
    let Request::Verdict { check, verdict, .. } = order else { panic!("{order:?}") };
    assert_eq!((check.as_str(), verdict), ("gone", Verdict::Down), "only the new one speaks");
}

#[test]
fn followers_hear_what_happens_and_read_on_from_any_number() {
    let agent = Agent::start(healthy());
    let mut stream = agent.connect("status.sock");
    stream.write_all(b"GET /events?follow=true&since=0 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let lines = Lines::of(stream);
    lines.with(r#""kind":"started""#);
    let (from, to) = (State::Master, State::Backup);
    agent.tell("web", What::Transition { from, to, reason: Reason::SteppedDown, priority: Priority::LAST });
    let line = lines.with(r#""kind":"transition""#);
    let event = json(&line);
    assert_eq!((event["from"].as_str(), event["to"].as_str()), (Some("master"), Some("backup")));
    assert_eq!(event["text"].as_str(), Some("MASTER -> BACKUP: stepped down by the operator"));
    let since = event["sequence"].as_u64().unwrap() - 1;
    let (_, rest) = agent.http("status.sock", "GET", &format!("/events?since={since}"), "");
    assert_eq!(rest.lines().next(), Some(line.as_str()));
}
