//! The status page as it is served: its head, its first state, its news, its limits. `browser` sees what becomes of it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::Value;
use vipd::codes::{Code, Warning};
use vipd::engine::notice::{Reason, State, What};

use super::fake::{Agent, Lines, answer, healthy, instance, wait_until};

/// A request whose answer is read as it comes.
fn asked(agent: &Agent, request: &str) -> UnixStream {
    let mut stream = agent.connect("status.sock");
    // Without a place for it, the agent may have hung up.
    drop(write!(stream, "{request} HTTP/1.1\r\nHost: x\r\n\r\n"));
    stream
}

fn whole(agent: &Agent, request: &str) -> String {
    let mut text = String::new();
    asked(agent, request).read_to_string(&mut text).unwrap();
    text
}

/// The next state that a page is sent.
fn state(lines: &Lines) -> Value {
    let line = lines.with("data: ");
    serde_json::from_str(line.split_once("data: ").unwrap().1).unwrap()
}

fn resigned() -> What {
    let (from, to, reason) = (State::Master, State::Backup, Reason::SteppedDown);
    What::Transition { from, to, reason, priority: vipd::net::Priority::new(150) }
}

#[test]
fn the_page_says_how_things_stand_and_what_a_browser_may_do_with_it() {
    let agent = Agent::start(healthy());
    let odd = Warning::new(Code::NotInstalled, "<b>odd</b> & \"odder\"".to_owned());
    agent.now(|status| status.warnings.push(odd));
    for socket in ["vipd.sock", "status.sock"] {
        let (status, body) = agent.http(socket, "GET", "/", "");
        assert_eq!(status, 200);
        for part in ["<!doctype html>", "<th scope=\"row\">web</th><td>MASTER</td>", "<td>192.0.2.2</td>"] {
            assert!(body.contains(part), "{part} is not in\n{body}");
        }
        assert!(body.contains("problem: &lt;b&gt;odd&lt;/b&gt; &amp; &quot;odder&quot;</p>"), "{body}");
        assert_eq!(agent.http(socket, "POST", "/", "").0, 405);
    }
    let text = whole(&agent, "GET /").to_lowercase();
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
        "x-frame-options: deny",
    ] {
        assert!(text.contains(&format!("\r\n{header}")), "{header} is not in\n{text}");
    }
    assert!(!text.contains("unsafe-inline"));
    let head = whole(&agent, "HEAD /");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn a_page_without_an_answer_says_why_and_does_not_pass_for_a_good_one() {
    let agent = Agent::start(healthy());
    agent.mute(true);
    let refused = || {
        let (status, body) = agent.http("status.sock", "GET", "/", "");
        status == 503 && body.contains("<p>There is no state to show: the protocol thread has not answered")
    };
    wait_until("it says that nobody answers", refused);
}

#[test]
fn who_watches_learns_of_a_change_and_of_those_before() {
    let agent = Agent::start(healthy());
    agent.tell("mail", resigned());
    wait_until("it is known", || agent.http("status.sock", "GET", "/events", "").1.contains("\"mail\""));
    let stream = asked(&agent, "GET /live");
    let lines = Lines::of(stream);
    assert_eq!(lines.with("content-type"), "content-type: text/event-stream");
    assert_eq!(lines.with("event: "), "event: state");
    let first = state(&lines);
    assert_eq!((&first["schema"], &first["report"]["node"]), (&1.into(), &"lb1".into()));
    assert!(first["verdict"].as_str().unwrap().starts_with("lb1: "), "{first}");
    let kinds = |state: &Value| -> Vec<String> {
        let changes = state["changes"].as_array().unwrap().iter();
        changes.map(|change| change["reason_kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&first), ["agent_started", "stepped_down"], "once each, from the disk or from memory");
    agent.now(|status| status.instances[0] = instance("web", State::Backup, Reason::SteppedDown));
    agent.tell("web", resigned());
    let changed = loop {
        let next = state(&lines);
        if next["report"]["instances"][0]["state"] == "backup" && kinds(&next).len() == 3 {
            break next;
        }
    };
    let last = &changed["changes"][2];
    assert_eq!(
        (&last["instance"], &last["from"], &last["to"]),
        (&"web".into(), &"master".into(), &"backup".into())
    );
}

#[test]
fn a_page_is_not_told_what_checks_look_at_and_what_scripts_wrote() {
    let agent = Agent::start(healthy());
    let lines = Lines::of(asked(&agent, "GET /live"));
    let check = loop {
        let state = state(&lines);
        let check = &state["report"]["checks"][0];
        if check["up"] == true {
            break check.clone();
        }
    };
    assert_eq!(
        (&check["name"], &check["target"], &check["output"]),
        (&"here".into(), &"".into(), &Value::Null)
    );
}

#[test]
fn only_so_many_watch_at_once_and_the_page_is_served_all_the_same() {
    let agent = Agent::start(healthy());
    let mut watching: Vec<_> = (0..32).map(|_| asked(&agent, "GET /live")).collect();
    for stream in &mut watching {
        let mut begin = [0; 15];
        stream.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 OK");
    }
    let (status, body) = answer(asked(&agent, "GET /live"));
    assert_eq!((status, body.contains("32 clients follow events already")), (503, true), "{body}");
    assert_eq!(agent.http("status.sock", "GET", "/", "").0, 200);
    watching.pop();
    let watches = || {
        let mut begin = [0; 15];
        asked(&agent, "GET /live").read_exact(&mut begin).is_ok() && &begin == b"HTTP/1.1 200 OK"
    };
    wait_until("there is a place again", watches);
}
