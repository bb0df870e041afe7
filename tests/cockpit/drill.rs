//! `vipctl drill` on a real pair: each kind does its harm, is measured from the other node, and is taken back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use lab::{Host, Lab, Process, isolated, until};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Pair, SOON, directory, pair, programs};

/// A pair of which one reaches the other by what it takes for ssh.
pub(super) struct Site {
    pub(super) pair: Pair,
    pub(super) path: String,
}

impl Site {
    pub(super) fn new(lab: &Lab) -> Self {
        let pair = pair(lab);
        let bin = pair.lb1.directory().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let ssh = bin.join("ssh");
        let (vipctl, there) = (programs().vipctl, directory(&pair.second));
        let script = format!(
            "#!/bin/sh\nwhile [ \"$1\" = -o ]; do shift 2; done\nhost=$1; shift; eval \"set -- $*\"; shift\n\
             exec ip netns exec \"$host\" {} --runtime-dir {there} \"$@\"\n",
            vipctl.display()
        );
        fs::write(&ssh, script).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        Self { pair, path }
    }

    fn start(&self, on: &Host, directory: &str, arguments: &[&str]) -> Process {
        let all = [&["--runtime-dir", directory, "drill"], arguments].concat();
        on.spawn("drill", &programs().vipctl, &all, &[("PATH", &self.path)])
    }

    /// Its exit code and what it said.
    fn drill(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let directory = directory(&self.pair.first);
        let mut process = self.start(&self.pair.lb1, &directory, arguments);
        let before = process.log().len();
        let status = process.wait(std::time::Duration::from_secs(60));
        (status.code(), process.log()[before.min(process.log().len())..].to_owned())
    }
}

fn json(said: &str) -> Value {
    let line = said.lines().rfind(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{said}"));
    serde_json::from_str(line).unwrap()
}

/// Runs one kind from end to end.
fn tried(lab: &Lab, kind: &str) {
    let site = Site::new(lab);
    let report = site.pair.lb1.directory().join("drill.md");
    let report = report.to_string_lossy().into_owned();
    let arguments = ["web", "--kind", kind, "--peer", "ssh://lb2", "--settle", "1ms", "--objective", "3s"];
    let more = ["--yes", "--json", "--report", &report];
    let (code, said) = site.drill(&[&arguments[..], &more].concat());
    assert_eq!(code, Some(0), "{said}");
    let outcome = json(&said);
    println!("{kind}: {outcome}");
    assert_eq!((&outcome["met"], &outcome["measured_by"]), (&true.into(), &"probe".into()), "{outcome}");
    assert_eq!(outcome["successor"], "192.0.2.2", "{outcome}");
    assert_eq!(outcome["came_back"], true, "{outcome}");
    assert!(outcome["probe"]["answered"].as_u64().unwrap() > 10, "{outcome}");
    assert!(outcome["measured_ms"].as_f64().unwrap() < 3000.0);
    assert!(fs::read_to_string(&report).unwrap().starts_with("# Failover drill of web on lb1"));

    let web = site.pair.first.wait_state("web", "master");
    assert_eq!(web["stepped_down"], false);
    assert!(!site.pair.lb1.run("nft", &["list", "tables"]).contains("drill"));
    let (_, history, _) = site.pair.first.vipctl(&["history", "--json"]);
    let history: Value = serde_json::from_str(&history).unwrap();
    let drills = history["changes"].as_array().unwrap().iter().filter(|one| one["reason_kind"] == "drill");
    assert_eq!(drills.count(), 2, "its beginning and its end: {history}");

    let (code, said) = site.drill(&["web", "--kind", kind, "--yes"]);
    assert_eq!(code, Some(75), "a minute has not passed: {said}");
    assert!(said.contains("No drill now: "), "{said}");
}

#[test]
fn a_step_down_is_tried_and_resumed() {
    isolated(|lab| tried(lab, "step-down"));
}

#[test]
fn a_hang_is_tried_and_ended() {
    isolated(|lab| tried(lab, "hang"));
}

#[test]
fn a_cut_is_tried_and_joined_again() {
    isolated(|lab| tried(lab, "cut"));
}

#[test]
fn a_crash_that_nobody_mends_is_a_takeover_without_a_return() {
    isolated(|lab| {
        let site = Site::new(lab);
        let (code, said) =
            site.drill(&["--kind", "crash", "--settle", "1ms", "--objective", "1ms", "--yes", "--json"]);
        assert_eq!(code, Some(3), "nobody takes over within a millisecond: {said}");
        let outcome = json(&said);
        assert_eq!((&outcome["successor"], &outcome["came_back"]), (&"192.0.2.2".into(), &false.into()));
        assert_eq!((&outcome["met"], &outcome["measured_by"]), (&false.into(), &"adverts".into()));
        assert!(said.contains("is not in the agent's history"), "{said}");
    });
}

#[test]
fn what_speaks_against_a_drill_is_said_and_nothing_is_done() {
    isolated(|lab| {
        let site = Site::new(lab);
        let refused = |arguments: &[&str], code: i32, why: &str| {
            let (found, said) = site.drill(arguments);
            assert_eq!(found, Some(code), "{arguments:?}: {said}");
            assert!(said.contains(why), "{arguments:?}: {said}");
        };
        let hang = ["web", "--kind", "hang", "--settle", "1ms"];
        let with = |more: &[&'static str]| [&hang[..], more].concat();
        refused(&with(&[]), 64, "needs --yes");
        refused(&["web", "--yes"], 64, "--kind");
        refused(&["mail", "--kind", "hang", "--yes"], 64, "there is no instance or group 'mail'");
        refused(&["web", "--kind", "hang", "--yes"], 75, "it takes 1m of quiet");
        refused(&with(&["--yes", "--peer", "lb2"]), 64, "write ssh://HOST");
        let on_backup = ["drill", "web", "--kind", "hang", "--yes"];
        let (done, _, complaint) = site.pair.second.vipctl(&on_backup);
        assert!(!done && complaint.contains("web is BACKUP here"), "{complaint}");
        assert!(site.pair.second.vipctl(&["drain", "web"]).0);
        refused(&with(&["--yes", "--peer", "ssh://lb2"]), 75, "is kept away from lb2");
        assert!(site.pair.second.vipctl(&["resume", "web"]).0);
        assert_eq!(site.pair.first.instance("web")["state"], "master", "nothing was done");
        assert_eq!(site.pair.first.instance("web")["times_master"], 1);
    });
}

fn state_of(pid: u32) -> String {
    let status = fs::read_to_string(PathBuf::from("/proc").join(pid.to_string()).join("status")).unwrap();
    status.lines().find(|line| line.starts_with("State:")).unwrap().to_owned()
}

#[test]
fn a_drill_that_is_interrupted_leaves_nothing_behind() {
    isolated(|lab| {
        let site = Site::new(lab);
        // Nobody takes over: there is time to interrupt it.
        assert!(site.pair.second.vipctl(&["drain", "web"]).0);
        let (first, pid) = (directory(&site.pair.first), site.pair.first.pid());
        let start = |kind: &str| {
            site.start(&site.pair.lb1, &first, &["web", "--kind", kind, "--settle", "1ms", "--yes"])
        };
        let mut hang = start("hang");
        until("the agent is stopped", SOON, || state_of(pid).contains("stopped").then_some(()));
        hang.kill();
        until("the agent goes on", SOON, || (!state_of(pid).contains("stopped")).then_some(()));
        site.pair.first.wait_state("web", "master");

        let tables = || site.pair.lb1.run("nft", &["list", "tables"]);
        let mut cut = start("cut");
        until("adverts are cut off", SOON, || tables().contains("vipd_drill").then_some(()));
        cut.signal(Signal::SIGTERM);
        assert_eq!(cut.wait(SOON).code(), Some(75));
        assert!(!tables().contains("vipd_drill"), "{}", tables());
        assert!(
            cut.log().contains("The drill was interrupted; what was done is taken back"),
            "{}",
            cut.log()
        );
        until("it is master still, or again", SOON, || {
            (site.pair.first.instance("web")["state"] == "master").then_some(())
        });

        let mut step_down = start("step-down");
        until("it is stepped down", SOON, || {
            (site.pair.first.instance("web")["stepped_down"] == true).then_some(())
        });
        step_down.kill();
        until("it is resumed", SOON, || {
            (site.pair.first.instance("web")["stepped_down"] == false).then_some(())
        });
        site.pair.first.wait_state("web", "master");
    });
}
