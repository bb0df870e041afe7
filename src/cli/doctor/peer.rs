//! `--peer`: this node and the other one side by side. A backup is silent on the wire, so that nobody knows whether it lives
//! and agrees unless it is asked.

use std::net::IpAddr;

use super::examination::Examination;
use super::facts::{Facts, Instance};
use super::finding::{Finding, Obstacle, Verdict};
use super::ssh::Destination;
use crate::agent::report::Role;
use crate::agent::stamp::Stamp;
use crate::codes::Code;

/// By how much clocks may differ, milliseconds, that nobody has set right to the millisecond.
const SECOND: f64 = 1000.0;

/// Asks the other node and compares.
pub(super) fn look(own: &Facts, destination: &Destination) -> Vec<Finding> {
    let host = destination.host.as_str();
    let unreached = |why: String| {
        let argv = destination.command();
        let (what, ssh) =
            argv.split_last().map(|(what, ssh)| (what.clone(), ssh.join(" "))).unwrap_or_default();
        vec![
            Finding::unseen(Code::PeerUnreached, host, Obstacle::Failed, why)
                .remedy(format!("{ssh} '{what}'")),
        ]
    };
    let begin = Stamp::now();
    let text = match destination.doctor() {
        Ok(text) => text,
        Err(why) => return unreached(why),
    };
    let end = Stamp::now();
    match serde_json::from_str::<Examination>(&text) {
        Ok(theirs) => compared(own, &theirs, host, (begin, end)),
        Err(error) => unreached(format!("its answer is not understood: {error}")),
    }
}

/// Both sides; the answer was made between the two moments.
fn compared(own: &Facts, theirs: &Examination, host: &str, asked: (Stamp, Stamp)) -> Vec<Finding> {
    let mut found =
        vec![Finding::good(Code::PeerUnreached, host, format!("it is {}, and answers", theirs.node))];
    found.push(if theirs.facts.agent_running {
        Finding::good(Code::PeerSilent, host, "its agent runs")
    } else {
        Finding::problem(Code::PeerSilent, host, "no agent runs there")
            .remedy(format!("ssh {host} systemctl enable --now vipd"))
    });
    found.push(versions(own, &theirs.facts, host));
    found.push(clocks(own, theirs.time, host, asked));
    for instance in &own.instances {
        match theirs.facts.instances.iter().find(|other| is_same(instance, other)) {
            Some(other) => found.extend(pair(instance, other, host)),
            None => found.push(lonely(instance, "here", host)),
        }
    }
    for other in &theirs.facts.instances {
        if !own.instances.iter().any(|instance| is_same(instance, other)) {
            found.push(lonely(other, host, "this node"));
        }
    }
    let problems = theirs.checks.iter().filter(|one| one.verdict == Verdict::Problem);
    found.extend(problems.map(|one| {
        let what = format!("{host} has a problem: {} {}: {}", one.code, one.about, one.evidence);
        let finding = Finding::problem(Code::PeerProblems, host, what);
        finding.remedy(
            one.remedy
                .as_ref()
                .map_or_else(|| format!("ssh {host} vipctl doctor"), |one| format!("ssh {host} {one}")),
        )
    }));
    found
}

/// Whether the two are one virtual router; names are labels.
fn is_same(a: &Instance, b: &Instance) -> bool {
    a.virtual_router_id == b.virtual_router_id
        && a.families.iter().any(|family| b.families.contains(family))
        && (a.name == b.name || a.addresses.iter().any(|address| b.addresses.contains(address)))
}

fn lonely(instance: &Instance, there: &str, missing: &str) -> Finding {
    let (name, vrid) = (&instance.name, instance.virtual_router_id);
    let at = if there == "here" { "here".to_owned() } else { format!("on {there}") };
    let what = format!("{name}, virtual router id {vrid}, is configured {at} and not on {missing}");
    Finding::problem(Code::PeerLacks, name, what)
        .remedy("vipctl check   # on both nodes, after adding or removing it")
}

fn versions(own: &Facts, theirs: &Facts, host: &str) -> Finding {
    if own.version == theirs.version {
        return Finding::good(Code::PeerVersion, host, format!("vipd is {} on both nodes", own.version));
    }
    let what = format!("vipd is {} here and {} on {host}", own.version, theirs.version);
    Finding::advice(Code::PeerVersion, host, what).remedy("vipctl upgrade")
}

fn clocks(own: &Facts, theirs: Stamp, host: &str, (begin, end): (Stamp, Stamp)) -> Finding {
    let (begin, end, theirs) = (begin.milliseconds(), end.milliseconds(), theirs.milliseconds());
    // Somewhere in between it was made; what lies outside is a difference for certain.
    let off = if theirs < begin { theirs - begin } else { (theirs - end).max(0) };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century fit")]
    let off = off as f64;
    let side = if off < 0.0 { "behind" } else { "ahead" };
    let (code, said) = (Code::PeerClock, format!("its clock is {:.1} s {side}", off.abs() / SECOND));
    let window = own.instances.iter().filter_map(|one| one.time_window_ms).reduce(f64::min);
    let remedy = "timedatectl set-ntp true   # on both nodes";
    match window {
        Some(window) if off.abs() > window / 2.0 => Finding::problem(code, host, said).remedy(remedy),
        _ if off.abs() > SECOND => Finding::advice(code, host, said).remedy(remedy),
        _ => Finding::good(code, host, "its clock agrees with this one, as far as ssh lets it be seen"),
    }
}

/// One virtual router on both nodes.
fn pair(own: &Instance, theirs: &Instance, host: &str) -> Vec<Finding> {
    let name = &own.name;
    let mut found = Vec::new();
    let differs = |what: String| {
        Finding::problem(Code::PeersDisagree, name, what)
            .remedy("vipctl plan   # with the file that both are to have")
    };
    for (key, value) in &own.settings {
        let other = theirs.settings.iter().find(|(one, _)| one == key).map(|(_, value)| value);
        if let Some(other) = other.filter(|other| *other != value) {
            found.push(differs(format!("{key} is {value} here and {other} on {host}")));
        }
    }
    if own.addresses != theirs.addresses {
        let only = |a: &[IpAddr], b: &[IpAddr]| -> Vec<String> {
            a.iter().filter(|address| !b.contains(address)).map(ToString::to_string).collect()
        };
        let (here, there) =
            (only(&own.addresses, &theirs.addresses), only(&theirs.addresses, &own.addresses));
        let side =
            |list: &[String], at: &str| (!list.is_empty()).then(|| format!("{} only {at}", list.join(", ")));
        let sides: Vec<_> =
            side(&here, "here").into_iter().chain(side(&there, &format!("on {host}"))).collect();
        found.push(differs(format!("addresses differ: {}", sides.join("; "))));
    }
    if found.is_empty() {
        found.push(Finding::good(
            Code::PeersDisagree,
            name,
            "both nodes have the same settings and addresses",
        ));
    }
    found.extend(facing(own, theirs, host));
    found.push(priorities(own, theirs));
    found.extend(roles(own, theirs));
    found
}

/// With unicast each has to list the other.
fn facing(own: &Instance, theirs: &Instance, host: &str) -> Option<Finding> {
    let (code, name) = (Code::PeersApart, &own.name);
    let apart = |what: String| {
        Some(
            Finding::problem(code, name, what)
                .remedy("vipctl check   # after each 'peers' lists the other's 'source'"),
        )
    };
    let (ours, others) = match (&own.peers, &theirs.peers) {
        (None, None) => return None,
        (Some(_), None) => return apart(format!("unicast here and multicast on {host}")),
        (None, Some(_)) => return apart(format!("multicast here and unicast on {host}")),
        (Some(ours), Some(others)) => (ours, others),
    };
    if let Some(source) = theirs.sources.iter().find(|source| !ours.contains(source)) {
        return apart(format!("{host} sends from {source}, which is not among the peers here"));
    }
    if let Some(source) = own.sources.iter().find(|source| !others.contains(source)) {
        return apart(format!("this node sends from {source}, which is not among the peers on {host}"));
    }
    Some(Finding::good(code, name, "each node lists the other as a peer"))
}

fn priorities(own: &Instance, theirs: &Instance) -> Finding {
    let (code, name) = (Code::EqualPriorities, &own.name);
    if own.priority == theirs.priority {
        let what = format!("the priority is {} on both nodes", own.priority);
        Finding::advice(code, name, what).remedy("vipctl reload   # after one of them has another 'priority'")
    } else {
        Finding::good(
            code,
            name,
            format!("the priority is {} here and {} there", own.priority, theirs.priority),
        )
    }
}

fn roles(own: &Instance, theirs: &Instance) -> Option<Finding> {
    let (code, name) = (Code::TwoMasters, &own.name);
    Some(match (own.state? == Role::Master, theirs.state? == Role::Master) {
        (true, true) => Finding::problem(code, name, "both nodes are master").remedy("vipctl explain"),
        (false, false) => Finding::problem(code, name, "neither node is master").remedy("vipctl explain"),
        _ => Finding::good(code, name, "one of the two nodes is master"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        Instance {
            name: "web".to_owned(),
            virtual_router_id: 51,
            families: vec!["IPv4".to_owned()],
            addresses: vec!["192.0.2.10".parse().unwrap()],
            state: Some(Role::Master),
            priority: 150,
            sources: vec!["192.0.2.1".parse().unwrap()],
            peers: Some(vec!["192.0.2.2".parse().unwrap()]),
            settings: vec![("version".to_owned(), "3".to_owned())],
            time_window_ms: None,
        }
    }

    fn other() -> Instance {
        Instance {
            state: Some(Role::Backup),
            priority: 100,
            sources: vec!["192.0.2.2".parse().unwrap()],
            peers: Some(vec!["192.0.2.1".parse().unwrap()]),
            ..instance()
        }
    }

    fn at(milliseconds: &str) -> Stamp {
        format!("2026-11-21T10:25:0{milliseconds}Z").parse().unwrap()
    }

    fn said(change: impl FnOnce(&mut Instance)) -> Vec<(Verdict, String)> {
        let mut theirs = other();
        change(&mut theirs);
        let facts =
            |instance| Facts { version: "0.1.0".to_owned(), agent_running: true, instances: vec![instance] };
        let theirs = Examination {
            schema: 1,
            node: "lb2".to_owned(),
            time: at("1.0"),
            configuration: String::new(),
            probed: false,
            checks: Vec::new(),
            facts: facts(theirs),
        };
        let found = compared(&facts(instance()), &theirs, "lb2", (at("0.9"), at("1.1")));
        let bad = found.into_iter().filter(|one| one.verdict != Verdict::Good);
        bad.map(|one| (one.verdict, one.evidence)).collect()
    }

    #[test]
    fn two_nodes_that_agree_leave_nothing_to_say() {
        assert_eq!(said(|_| {}), []);
    }

    #[test]
    fn each_difference_is_told() {
        let problem = |text: &str| vec![(Verdict::Problem, text.to_owned())];
        assert_eq!(said(|i| i.settings[0].1 = "2".to_owned()), problem("version is 3 here and 2 on lb2"));
        assert_eq!(
            said(|i| i.addresses.push("192.0.2.11".parse().unwrap())),
            problem("addresses differ: 192.0.2.11 only on lb2")
        );
        assert_eq!(said(|i| i.peers = None), problem("unicast here and multicast on lb2"));
        let apart = "lb2 sends from 192.0.2.3, which is not among the peers here";
        assert_eq!(said(|i| i.sources = vec!["192.0.2.3".parse().unwrap()]), problem(apart));
        assert_eq!(said(|i| i.state = Some(Role::Master)), problem("both nodes are master"));
        let equal = (Verdict::Advice, "the priority is 150 on both nodes".to_owned());
        assert_eq!(said(|i| i.priority = 150), [equal]);
        let lonely = said(|i| i.virtual_router_id = 52);
        assert_eq!(
            lonely.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            [
                "web, virtual router id 51, is configured here and not on lb2",
                "web, virtual router id 52, is configured on lb2 and not on this node"
            ]
        );
    }

    #[test]
    fn a_clock_is_wrong_only_for_certain() {
        let facts = Facts { version: String::new(), agent_running: true, instances: Vec::new() };
        let judged = |theirs, end| clocks(&facts, at(theirs), "lb2", (at("1.0"), at(end)));
        assert_eq!(judged("4.0", "5.0").verdict, Verdict::Good, "ssh took four seconds");
        assert_eq!(judged("4.0", "1.2").evidence, "its clock is 2.8 s ahead");
        assert_eq!(judged("0.0", "1.2").verdict, Verdict::Good, "one second");
    }
}
