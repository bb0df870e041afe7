//! `vipctl history`, `drain` and `resume`: with an agent, without one, and with wrong input.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use vipd::agent::post::Request;
use vipd::engine::event::Target;
use vipd::engine::notice::{Reason, State, What};
use vipd::net::Priority;

use super::fake::{Agent, healthy, scratch, vipctl, wait_until};

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn became(agent: &Agent, from: State, to: State, reason: Reason) {
    agent.tell("web", What::Transition { from, to, reason, priority: Priority::LAST });
}

/// Two changes of hands, and a hand-over whose successor is known.
fn tell(agent: &Agent) {
    let after = Duration::from_millis(361);
    became(agent, State::Backup, State::Master, Reason::MasterSilent { after });
    became(agent, State::Master, State::Backup, Reason::HandingOver);
    agent.tell("web", What::HandedOver { to: [192, 0, 2, 2].into(), after: Duration::from_micros(4_200) });
    agent.tell("mail", What::SendRecovered);
}

/// `vipctl history --json` once it has so many changes of an instance's state.
fn changes(agent: &Agent, count: usize) -> Value {
    let mut found = Value::Null;
    wait_until("the changes are on disk", || {
        let (_, out, _) = said(&agent.vipctl(&["history", "--json"]));
        found = serde_json::from_str(&out).unwrap_or_default();
        let of_state = |one: &&Value| !one["to"].is_null();
        found["changes"].as_array().is_some_and(|all| all.iter().filter(of_state).count() == count)
    });
    found
}

#[test]
fn history_says_first_how_often_hands_changed_and_then_why() {
    let agent = Agent::start(healthy());
    tell(&agent);
    let json = changes(&agent, 2);
    assert_eq!((&json["schema"], &json["node"], &json["lost"]), (&1.into(), &"lb1".into(), &0.into()));
    let states: Vec<_> =
        json["changes"].as_array().unwrap().iter().filter(|one| !one["to"].is_null()).collect();
    assert_eq!(
        (states[0]["reason_kind"].as_str(), states[0]["gap_ms"].as_f64()),
        (Some("master_no_response"), Some(361.0))
    );
    assert_eq!((states[1]["from"].as_str(), states[1]["to"].as_str()), (Some("master"), Some("backup")));
    assert_eq!(
        (states[1]["gap_ms"].as_f64(), states[1]["successor"].as_str()),
        (Some(4.2), Some("192.0.2.2"))
    );
    let (code, out, err) = said(&agent.vipctl(&["history", "web"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "web changed hands 2 times in the last 24 h.");
    assert!(lines[1].starts_with("Nothing is known from before "), "{out}");
    assert!(lines[2].starts_with("TIME (UTC)      INSTANCE  FROM    TO      REASON"), "{out}");
    assert!(out.contains("  web       BACKUP  MASTER  no master heard for 361 ms      361 ms\n"), "{out}");
    assert!(out.contains("192.0.2.2 took over"), "{out}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{out}");
    let (code, out, _) = said(&agent.vipctl(&["history", "mail", "--since", "7d"]));
    assert_eq!((code, out.lines().next()), (0, Some("mail did not change hands in the last 7 days.")));
    let (code, out, _) = said(&agent.vipctl(&["history", "--since", "2999-01-01T00:00:00Z"]));
    assert_eq!((code, out.as_str()), (0, "Nothing changed hands since 2999-01-01 00:00:00 UTC.\n"));
}

#[test]
fn without_an_agent_history_reads_the_files_if_it_may() {
    let agent = Agent::start(healthy());
    tell(&agent);
    changes(&agent, 2);
    let kept = scratch();
    fs::copy(agent.dir.join("state/history.jsonl"), kept.join("history.jsonl")).unwrap();
    drop(agent);
    let (nobody, directory) = (scratch(), kept.display().to_string());
    let history = |arguments: &[&str]| {
        let all = [&["history", "--state-directory", &directory], arguments].concat();
        said(&vipctl(&nobody, &all).output().unwrap())
    };
    let (code, out, err) = history(&[]);
    assert_eq!((code, err.as_str()), (0, "No agent answers; this is what it wrote before it ended.\n"));
    assert!(out.starts_with("web changed hands 2 times in the last 24 h.\n"), "{out}");
    let (code, _, err) = history(&["nope"]);
    assert_eq!(code, 64);
    assert!(err.contains("there is no 'nope'"), "{err}");
    fs::remove_file(kept.join("history.jsonl")).unwrap();
    let (code, out, err) = history(&[]);
    assert_eq!((code, out.as_str()), (69, ""));
    assert!(err.contains("no agent is running in ") && err.contains("cannot be read"), "{err}");
    fs::remove_dir_all(kept).unwrap();
}

#[test]
fn an_agent_whose_disk_refuses_runs_on_and_says_so() {
    let agent = Agent::start_with(healthy(), |dir| fs::write(dir.join("state"), "a file").unwrap());
    let (code, out, _) = said(&agent.vipctl(&["status"]));
    assert_eq!(code, 3);
    assert!(out.contains("problem: history is not kept in "), "{out}");
    let (code, _, err) = said(&agent.vipctl(&["history"]));
    assert_eq!(code, 75);
    assert!(err.starts_with("there is no history to read: history is not kept in "), "{err}");
    let (code, out, err) = said(&agent.vipctl(&["drain", "web"]));
    assert_eq!((code, out.as_str()), (75, ""));
    assert!(err.contains("drains.json") && err.contains("'vipctl step-down' needs no disk"), "{err}");
    assert_eq!(agent.orders_so_far().len(), 0, "nothing is half done");
}

#[test]
fn a_drain_is_on_disk_in_status_and_in_history_until_it_is_resumed() {
    let agent = Agent::start(healthy());
    let child = vipctl(&agent.dir, &["drain", "web", "--for", "30m"]).stdout(Stdio::piped()).spawn().unwrap();
    let order = agent.order(|order| matches!(order, Request::StepDown(_)));
    assert!(matches!(order, Request::StepDown(Target::Named(name)) if name == "web"));
    let kept: Value =
        serde_json::from_slice(&fs::read(agent.dir.join("state/drains.json")).unwrap()).unwrap();
    assert!(kept["drains"]["web"]["until"].is_string(), "{kept}");
    agent.tell("web", What::HandedOver { to: [192, 0, 2, 2].into(), after: Duration::from_micros(4_200) });
    let (code, out, _) = said(&child.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (0, "web: 192.0.2.2 took over after 4.2 ms\n"));
    agent.now(|status| {
        status.instances[0].stepped_down = true;
        status.instances[0].reason = Reason::SteppedDown;
    });
    agent.tell("web", What::SendRecovered);
    let (_, out, _) = said(&agent.vipctl(&["status"]));
    let row = out.lines().find(|line| line.starts_with("web ")).unwrap();
    assert!(row.contains("drained until ") && row.ends_with(" UTC"), "{row}");
    let (_, out, _) = said(&agent.vipctl(&["status", "web"]));
    assert!(out.contains(", drained from 150 by uid "), "{out}");
    wait_until("the history has it", || said(&agent.vipctl(&["history", "web"])).1.contains("drain until "));
    assert_eq!(said(&agent.vipctl(&["resume", "--all"])), (0, String::new(), String::new()));
    let kept = fs::read_to_string(agent.dir.join("state/drains.json")).unwrap();
    assert_eq!(kept, r#"{"schema":1,"drains":{}}"#);
    let report: Value = serde_json::from_str(&said(&agent.vipctl(&["status", "--json"])).1).unwrap();
    assert!(report["instances"].as_array().unwrap().iter().all(|one| one["drained"].is_null()), "{report}");
}

#[test]
fn a_drain_ends_by_itself_and_of_its_own_instance_only() {
    let agent = Agent::start(healthy());
    for (name, seconds) in [("web", 1), ("mail", 3600)] {
        let body = format!(r#"{{"instance":"{name}","for_seconds":{seconds}}}"#);
        assert_eq!(agent.http("vipd.sock", "POST", "/drain", &body).0, 200);
    }
    let order = agent.order(|order| matches!(order, Request::Resume(_)));
    assert!(matches!(order, Request::Resume(Target::Named(name)) if name == "web"));
    wait_until("it is told", || {
        said(&agent.vipctl(&["events"])).1.contains("web: its drain is over; resumed")
    });
    let names = || -> Vec<String> {
        let text = fs::read(agent.dir.join("state/drains.json")).unwrap();
        let kept: Value = serde_json::from_slice(&text).unwrap();
        kept["drains"].as_object().unwrap().keys().cloned().collect()
    };
    wait_until("the file has mail's only", || names() == ["mail"]);
}

#[test]
fn wrong_spans_and_names_get_a_sentence_and_64() {
    let agent = Agent::start(healthy());
    for (wrong, sentence) in [
        (&["drain", "web", "--for", "30"] as &[_], "write a whole number and s, m, h or d"),
        (&["drain", "web", "--for", "0s"], "at least 1s"),
        (&["drain", "web", "--for", "31d"], "at most 30d"),
        (&["drain", "nope"], "there is no instance or group 'nope'; there are: web, mail"),
        (&["drain"], "required"),
        (&["drain", "web", "--all"], "cannot be used with"),
        (&["resume", "nope"], "there is no instance or group 'nope'"),
        (&["history", "nope"], "there is no instance or group 'nope'"),
        (&["history", "no pe"], "is no instance's and no group's name"),
        (&["history", "--since", "yesterday"], "write how long ago: 30m, 24h, 7d"),
    ] {
        let (code, out, err) = said(&agent.vipctl(wrong));
        assert_eq!((code, out.as_str()), (64, ""), "{wrong:?}: {err}");
        assert!(err.contains(sentence), "{wrong:?}: {err}");
    }
    for body in [
        r#"{"instance":"web","for_seconds":0}"#,
        r#"{"all":true,"for_seconds":1e9}"#,
        r#"{"instance":"web","fro":1}"#,
    ] {
        assert_eq!(agent.http("vipd.sock", "POST", "/drain", body).0, 400, "{body}");
    }
    assert_eq!(agent.http("status.sock", "POST", "/drain", r#"{"all":true}"#).0, 403);
    assert_eq!(agent.http("status.sock", "GET", "/history?since=now", "").0, 400);
    assert_eq!(agent.orders_so_far().len(), 0);
}

#[test]
fn the_groups_members_may_read_what_others_may_not() {
    let agent = Agent::start(healthy());
    tell(&agent);
    changes(&agent, 2);
    let mode = |path: &str| fs::metadata(agent.dir.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state") & 0o027, mode("state/history.jsonl")), (0, 0o640));
}
