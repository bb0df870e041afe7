//! The agent's process and its unit: what it may do, whether it starts at boot and comes back after a crash.

use std::collections::BTreeMap;
use std::fs;

use super::command::ask;
use super::finding::{Finding, Obstacle};
use super::scene::Scene;
use crate::codes::Code;
use crate::time::Duration;

const UNIT: &str = "vipd.service";

/// How long systemd may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at the rights of the process, if there is one, and at the unit.
pub(super) fn look(scene: &Scene) -> Vec<Finding> {
    let mut found: Vec<_> = scene.pid().map(capabilities).into_iter().collect();
    found.extend(unit());
    found
}

fn capabilities(pid: u32) -> Finding {
    let (code, about) = (Code::Capabilities, format!("process {pid}"));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(effective) = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()) else {
        return Finding::unseen(code, &about, Obstacle::Absent, "its process is not to be seen from here");
    };
    let missing = missing(effective);
    if missing.is_empty() {
        return Finding::good(code, &about, "it has CAP_NET_ADMIN and CAP_NET_RAW");
    }
    let remedy = format!("systemctl edit {UNIT}   # AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW");
    Finding::problem(code, &about, format!("it lacks {}", missing.join(" and "))).remedy(remedy)
}

/// Of those that the agent needs, by their numbers in `linux/capability.h`.
fn missing(effective: u64) -> Vec<&'static str> {
    let needed = [("CAP_NET_ADMIN", 12), ("CAP_NET_RAW", 13)];
    needed.iter().filter(|(_, bit)| effective >> bit & 1 == 0).map(|(name, _)| *name).collect()
}

fn unit() -> Vec<Finding> {
    let code = Code::Unit;
    if fs::metadata("/run/systemd/system").is_err() {
        return vec![Finding::unseen(code, UNIT, Obstacle::Absent, "systemd does not run here")];
    }
    let keys = "--property=LoadState,UnitFileState,Restart,NeedDaemonReload,DropInPaths,ActiveState,Result";
    match ask(&["systemctl", "show", UNIT, keys], PATIENCE) {
        Ok(said) if said.code == Some(0) => judged(&said.out),
        Ok(said) => vec![Finding::unseen(code, UNIT, Obstacle::Failed, said.err.trim())],
        Err((why, what)) => vec![Finding::unseen(code, UNIT, why, what)],
    }
}

/// What `systemctl show` says.
fn judged(text: &str) -> Vec<Finding> {
    let shown: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let is = |key: &str| shown.get(key).copied().unwrap_or_default();
    let code = Code::Unit;
    if is("LoadState") == "not-found" {
        let what = "it is not installed, so nothing starts the agent at boot";
        return vec![Finding::advice(code, UNIT, what).remedy("scripts/install")];
    }
    let mut found = Vec::new();
    match is("UnitFileState") {
        "enabled" | "enabled-runtime" | "static" | "generated" | "linked" => {}
        "masked" => found.push(
            Finding::problem(code, UNIT, "it is masked: nothing can start it")
                .remedy(format!("systemctl unmask {UNIT}")),
        ),
        state => found.push(
            Finding::problem(code, UNIT, format!("it is {state}: after a boot this node does not take part"))
                .remedy(format!("systemctl enable {UNIT}")),
        ),
    }
    if !matches!(is("Restart"), "always" | "on-failure") {
        let what = format!("Restart= is '{}': an agent that crashes does not come back", is("Restart"));
        let remedy = format!("systemctl edit {UNIT}   # [Service] Restart=always");
        found.push(Finding::problem(code, UNIT, what).remedy(remedy));
    }
    if is("ActiveState") == "failed" {
        let what = format!("it has failed: {}", is("Result"));
        found.push(Finding::problem(code, UNIT, what).remedy(format!("journalctl -u {UNIT} -n 20")));
    }
    if is("NeedDaemonReload") == "yes" {
        let what = "its file has changed since systemd read it";
        found.push(Finding::advice(code, UNIT, what).remedy("systemctl daemon-reload"));
    }
    if !is("DropInPaths").is_empty() {
        let what = format!("it is overridden by {}", is("DropInPaths"));
        found.push(Finding::advice(code, UNIT, what).remedy(format!("systemctl cat {UNIT}")));
    }
    if found.is_empty() {
        found.push(Finding::good(code, UNIT, "it starts at boot and comes back after a crash"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn rights_are_read_from_their_bits() {
        assert_eq!(missing(0x3000), [""; 0]);
        assert_eq!(missing(0x1000), ["CAP_NET_RAW"]);
        assert_eq!(missing(0), ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
    }

    #[test]
    fn a_unit_starts_at_boot_and_comes_back() {
        let worst = |text: &str| judged(text).iter().map(|one| one.verdict).min().unwrap();
        let good = "Restart=always\nLoadState=loaded\nActiveState=active\nDropInPaths=\nUnitFileState=enabled\nNeedDaemonReload=no\n";
        assert_eq!(worst(good), Verdict::Good);
        for (from, to, verdict) in [
            ("=enabled", "=disabled", Verdict::Problem),
            ("=enabled", "=masked", Verdict::Problem),
            ("Restart=always", "Restart=no", Verdict::Problem),
            ("ActiveState=active", "ActiveState=failed", Verdict::Problem),
            ("NeedDaemonReload=no", "NeedDaemonReload=yes", Verdict::Advice),
            ("DropInPaths=", "DropInPaths=/etc/systemd/system/vipd.service.d/a.conf", Verdict::Advice),
            ("LoadState=loaded", "LoadState=not-found", Verdict::Advice),
        ] {
            assert_eq!(worst(&good.replace(from, to)), verdict, "{to}");
        }
    }
}
