//! `vipctl` with an agent: exit codes, outcomes, and what changes while somebody watches.

use std::fs;
use std::process::{Output, Stdio};
use std::time::Duration;

use vipd::agent::post::Request;
use vipd::codes::{Code, Warning};
use vipd::engine::notice::{Reason, State, What};
use vipd::engine::status::{Duplicate, GroupStatus, Status};
use vipd::net::Priority;
use vipd::sys::clock;

use super::fake::{Agent, CONFIGURATION, Lines, healthy, instance, vipctl};

fn odd() -> Warning {
    Warning::new(Code::NotSent, "web: something is odd".to_owned())
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_exit_code_of_status_says_how_things_stand() {
    let agent = Agent::start(healthy());
    let (code, out, err) = said(&agent.vipctl(&["status"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("lb1: healthy. 1 of 2 instances is master here.\n"), "{out}");
    let changes: [(i32, &dyn Fn()); 4] = [
        (3, &|| agent.now(|status| status.warnings.push(odd()))),
        (4, &|| agent.now(|status| status.instances[1].routers[0].master = None)),
        (5, &|| {
            agent.now(|status| {
                status.instances[0].since = clock::now() - Duration::from_secs(60);
                let who = "192.0.2.9 with priority 90".to_owned();
                status.instances[0].duplicate =
                    Some(Duplicate { at: clock::now() + Duration::from_secs(60), who });
            });
        }),
        (0, &|| agent.now(|status| *status = healthy())),
    ];
    for (expected, change) in changes {
        change();
        agent.tell("web", What::SendRecovered);
        let (code, out, _) = said(&agent.vipctl(&["status"]));
        assert_eq!(code, expected, "{out}");
    }
}

#[test]
fn status_of_one_instance_tells_all_about_it_and_of_none_says_which_there_are() {
    let agent = Agent::start(healthy());
    let (code, out, _) = said(&agent.vipctl(&["status", "mail"]));
    assert_eq!(code, 0);
    assert!(out.starts_with("mail: BACKUP on lb1 for 0s, since "), "{out}");
    let (code, out, err) = said(&agent.vipctl(&["status", "nope"]));
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("there are: web, mail"), "{err}");
    let (_, out, _) = said(&agent.vipctl(&["status", "mail", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["instances"].as_array().unwrap().len(), 1);
    assert_eq!(report["instances"][0]["name"], "mail");
}

/// `web` and a third instance in a group, which `mail` is not in.
fn grouped() -> Status {
    let mut status = healthy();
    let reason = Reason::SteppedDown;
    status.instances.push(instance("db", State::Master, reason.clone()));
    for at in [0, 2] {
        status.instances[at].group = Some("site".to_owned());
    }
    status.groups.push(GroupStatus {
        name: "site".to_owned(),
        state: State::Master,
        since: clock::now(),
        reason,
        members: vec!["web".to_owned(), "db".to_owned()],
        tracks: status.instances[1].tracks.clone(),
    });
    status
}

#[test]
fn status_of_a_group_tells_all_about_it_and_its_members() {
    let agent = Agent::start(grouped());
    let (code, out, _) = said(&agent.vipctl(&["status", "site"]));
    assert_eq!(code, 0);
    let lines: Vec<_> = out.lines().map(|line| line.split_once(" for ").map_or(line, |(a, _)| a)).collect();
    assert_eq!(lines[0], "group site: MASTER on lb1");
    assert!(lines[1].ends_with("  stepped down by the operator"), "{out}");
    assert!(lines[2].ends_with("  here: up"), "{out}");
    let names: Vec<_> = lines.iter().rev().take(3).rev().map(|line| line.split(' ').next()).collect();
    assert_eq!(names, [Some("NAME"), Some("web"), Some("db")]);
    let (_, out, _) = said(&agent.vipctl(&["status", "site", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let names: Vec<_> = report["instances"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["web", "db"]);
    let (code, _, err) = said(&agent.vipctl(&["status", "nope"]));
    assert_eq!(code, 64);
    assert!(err.contains("there are: web, mail, db, site"), "{err}");
}

#[test]
fn whoever_watches_a_group_sees_it_and_its_members_and_nothing_else() {
    let agent = Agent::start(grouped());
    let watch = |arguments: &[&str]| {
        let arguments = [&["status", "site", "--watch"], arguments].concat();
        let mut child = vipctl(&agent.dir, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        (child, lines)
    };
    let (mut child, lines) = watch(&[]);
    let (mut json, objects) = watch(&["--json"]);
    assert!(lines.next().starts_with("lb1: healthy."));
    assert!(lines.next().starts_with("NAME"));
    assert!(lines.next().starts_with("web   MASTER"));
    assert!(lines.next().starts_with("db    MASTER"));
    assert!(lines.next().starts_with("group site: MASTER for "));
    let names = || {
        let report: serde_json::Value = serde_json::from_str(&objects.next()).unwrap();
        let instances = report["instances"].as_array().unwrap().clone();
        instances.iter().map(|one| format!("{} {}", one["name"], one["state"])).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(), r#""web" "master" "db" "master""#);
    // Of what is not watched there is no word: the first line that comes is of the group.
    let reason = Reason::SteppedDown;
    let became = |at: usize| {
        agent.now(|status| {
            let (name, group) = (status.instances[at].name.clone(), status.instances[at].group.clone());
            status.instances[at] = instance(&name, State::Backup, reason.clone());
            status.instances[at].group = group;
        });
        let (from, to) = (State::Master, State::Backup);
        agent.tell("web", What::Transition { from, to, reason: reason.clone(), priority: Priority::LAST });
    };
    became(1);
    agent.now(|status| status.groups[0].state = State::Backup);
    became(0);
    let line = lines.with("web");
    assert!(line.ends_with("web  BACKUP  192.0.2.2  stepped down by the operator"), "{line}");
    let line = lines.next();
    assert!(line.ends_with("group site  BACKUP"), "{line}");
    assert_eq!(names(), r#""web" "backup" "db" "master""#);
    for child in [&mut child, &mut json] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_step_down_says_who_took_over_and_after_how_long() {
    let agent = Agent::start(healthy());
    let child = vipctl(&agent.dir, &["step-down", "--all"]).stdout(Stdio::piped()).spawn().unwrap();
    agent.order(|order| matches!(order, Request::StepDown(_)));
    let to = "192.0.2.2".parse().unwrap();
    agent.tell("web", What::HandedOver { to, after: Duration::from_micros(4_200) });
    let (code, out, _) = said(&child.wait_with_output().unwrap());
    assert_eq!(
        out,
        "mail: was not master here; the master is 192.0.2.2\nweb: 192.0.2.2 took over after 4.2 ms\n"
    );
    assert_eq!(code, 0);
}

#[test]
fn a_step_down_that_finds_nobody_says_so_and_exits_75() {
    let agent = Agent::start(healthy());
    let child = vipctl(&agent.dir, &["step-down", "web"]).stdout(Stdio::piped()).spawn().unwrap();
    agent.order(|order| matches!(order, Request::StepDown(_)));
    agent.tell("web", What::NobodyTookOver);
    let (code, out, _) = said(&child.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (75, "web: nobody took over; still master\n"));
}

#[test]
fn a_reload_is_quiet_if_good_and_exits_78_with_every_reason_if_not() {
    let agent = Agent::start(healthy());
    assert_eq!(said(&agent.vipctl(&["reload"])), (0, String::new(), String::new()));
    fs::write(&agent.config, CONFIGURATION.replace("id: 51", "id: 351")).unwrap();
    let (code, out, err) = said(&agent.vipctl(&["reload"]));
    assert_eq!((code, out.as_str()), (78, ""));
    assert!(err.contains("vipd.yaml:2:") && err.contains("the configuration in force stays"), "{err}");
    fs::write(&agent.config, CONFIGURATION.replace("id: 51", "id: 61")).unwrap();
    let (code, _, err) = said(&agent.vipctl(&["reload"]));
    assert_eq!(code, 78);
    assert!(err.contains("--force"), "{err}");
    assert_eq!(said(&agent.vipctl(&["reload", "--force"])).0, 0);
}

#[test]
fn whoever_watches_sees_a_line_for_each_change_and_the_end() {
    let agent = Agent::start(healthy());
    let mut child = vipctl(&agent.dir, &["status", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = Lines::of(child.stdout.take().unwrap());
    assert!(lines.next().starts_with("lb1: healthy."));
    assert!(lines.next().starts_with("NAME"));
    assert!(lines.next().starts_with("web   MASTER"));
    assert!(lines.next().starts_with("mail  BACKUP"));
    let reason = Reason::SteppedDown;
    agent.now(|status| status.instances[0] = instance("web", State::Backup, reason.clone()));
    agent.tell(
        "web",
        What::Transition { from: State::Master, to: State::Backup, reason, priority: Priority::LAST },
    );
    let line = lines.next();
    assert!(line.ends_with("web  BACKUP  192.0.2.2  stepped down by the operator"), "{line}");
    let complaints = Lines::of(child.stderr.take().unwrap());
    drop(agent);
    complaints.with("no agent is running");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn events_read_as_sentences_with_their_time() {
    let agent = Agent::start(healthy());
    agent.tell("web", What::NobodyTookOver);
    let mut follow = vipctl(&agent.dir, &["events", "--follow"]);
    let mut child = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(child.stdout.take().unwrap());
    let line = lines.with("web: ");
    assert!(line.ends_with("Z  web: nobody took over; still master"), "{line}");
    agent.tell("mail", What::SendRecovered);
    lines.with("mail: adverts can be sent again");
    let complaints = Lines::of(child.stderr.take().unwrap());
    drop(agent);
    complaints.with("The agent has ended; waiting for the next one.");
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    child.wait().unwrap();
}
