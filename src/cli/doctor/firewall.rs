//! Whether a firewall of this host drops adverts, and which rule: nftables, which is also what `iptables` of today writes, and
//! the iptables of before, if the kernel has tables of it.

use std::fs;
use std::net::IpAddr;

use serde_json::Value;

use super::command::ask;
use super::finding::{Finding, Obstacle};
use super::ruleset::{Fate, Packet, Place, judge};
use super::scene::Scene;
use crate::codes::Code;
use crate::engine::settings::Instance;
use crate::net::Family;
use crate::time::Duration;

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at what comes in and what goes out, for each instance and family.
pub(super) fn look(scene: &Scene) -> Vec<Finding> {
    let mut found = nftables(scene);
    found.extend(legacy(scene));
    found
}

fn nftables(scene: &Scene) -> Vec<Finding> {
    let unseen = |why, what: String| vec![Finding::unseen(Code::Firewall, "nftables", why, what)];
    let said = match ask(&["nft", "-j", "list", "ruleset"], PATIENCE) {
        Ok(said) => said,
        Err((Obstacle::Absent, what)) => {
            let what = format!("{what}, by which rules are read; 'apt install nftables' has it");
            return unseen(Obstacle::Absent, what);
        }
        Err((why, what)) => return unseen(why, what),
    };
    if said.code != Some(0) {
        let line = said.err.lines().next().unwrap_or("nft failed").to_owned();
        let may_not =
            line.contains("ermitted") || line.contains("ermission") || line.contains("you must be root");
        return unseen(if may_not { Obstacle::NotAllowed } else { Obstacle::Failed }, line);
    }
    let Ok(ruleset) = serde_json::from_str::<Value>(&said.out) else {
        return unseen(Obstacle::Failed, "nft does not answer in JSON".to_owned());
    };
    let each = |instance| {
        let dropped: Vec<_> =
            ways(scene, instance).iter().filter_map(|way| told(&ruleset, instance, way)).collect();
        if dropped.is_empty() {
            vec![Finding::good(Code::Firewall, &instance.name, "no rule of nftables drops its adverts")]
        } else {
            dropped
        }
    };
    scene.instances().iter().flat_map(each).collect()
}

/// The packets that have to pass: what we send and what the others do.
fn ways<'s>(scene: &'s Scene, instance: &'s Instance) -> Vec<Packet<'s>> {
    let mut ways = Vec::new();
    for family in instance.families() {
        let own = scene.source(instance, family);
        for arrives in [true, false] {
            let packet = |source: Option<IpAddr>, destination: Option<IpAddr>| Packet {
                arrives,
                interface: &instance.interface,
                family,
                source,
                destination,
            };
            for there in instance.destinations(family) {
                ways.push(match (&instance.unicast, arrives) {
                    (Some(_), true) => packet(Some(there), own),
                    (None, true) => packet(None, Some(there)),
                    (_, false) => packet(own, Some(there)),
                });
            }
        }
    }
    ways
}

fn told(ruleset: &Value, instance: &Instance, way: &Packet<'_>) -> Option<Finding> {
    let direction = if way.arrives { "arrive" } else { "leave" };
    let family = way.family;
    match judge(ruleset, way) {
        Fate::Passes => None,
        Fate::Dropped(place) => {
            let what = format!("{family} adverts cannot {direction}: {} drops them", words(&place));
            Some(Finding::problem(Code::Firewall, &instance.name, what).remedy(remedy(&place, way)))
        }
        Fate::Unsure(place) => {
            let what = format!(
                "{family} adverts may not {direction}: {} may drop them, as far as can be read",
                words(&place)
            );
            Some(Finding::advice(Code::Firewall, &instance.name, what).remedy(remedy(&place, way)))
        }
    }
}

/// The rule as it was written, if nft shows it, or the policy.
fn words(place: &Place) -> String {
    let Place { family, table, chain, handle } = place;
    let Some(handle) = handle else { return format!("the policy of '{family} {table} {chain}'") };
    let listed = ask(&["nft", "-a", "list", "chain", family, table, chain], PATIENCE).unwrap_or_default();
    let end = format!(" # handle {handle}");
    let rule = listed.out.lines().find_map(|line| line.strip_suffix(&end)).map(str::trim);
    match rule {
        Some(rule) => format!("the rule '{rule}' of '{family} {table} {chain}'"),
        None => format!("rule {handle} of '{family} {table} {chain}'"),
    }
}

fn remedy(place: &Place, way: &Packet<'_>) -> String {
    let protocol = match (place.family.as_str(), way.family) {
        ("ip", _) | ("netdev", Family::Ipv4) => "ip protocol 112",
        ("ip6", _) | ("netdev", Family::Ipv6) => "ip6 nexthdr 112",
        _ => "meta l4proto 112",
    };
    format!("nft insert rule {} {} {} {protocol} accept", place.family, place.table, place.chain)
}

/// The iptables of before nftables, of which the kernel says whether it has tables at all.
fn legacy(scene: &Scene) -> Vec<Finding> {
    let mut found = Vec::new();
    for (family, names, program) in [
        (Family::Ipv4, "/proc/net/ip_tables_names", "iptables-legacy-save"),
        (Family::Ipv6, "/proc/net/ip6_tables_names", "ip6tables-legacy-save"),
    ] {
        let spoken = scene.instances().iter().any(|i| i.families().any(|one| one == family));
        let tables = fs::read_to_string(names).unwrap_or_default();
        if !spoken || !tables.lines().any(|table| table == "filter") {
            continue;
        }
        found.push(match ask(&[program, "-t", "filter"], PATIENCE) {
            Ok(said) if said.code == Some(0) => legacy_rules(&said.out, program),
            Ok(said) => Finding::unseen(Code::Firewall, program, Obstacle::Failed, said.err.trim()),
            Err((why, what)) => Finding::unseen(Code::Firewall, program, why, what),
        });
    }
    found
}

/// The first rule that is about protocol 112, or the policy if there is none.
fn legacy_rules(text: &str, program: &str) -> Finding {
    let code = Code::Firewall;
    for chain in ["INPUT", "OUTPUT"] {
        let about = |line: &&str| {
            let words: Vec<_> = line.split(' ').collect();
            let protocol = words.iter().position(|word| *word == "-p").and_then(|at| words.get(at + 1));
            line.starts_with(&format!("-A {chain} "))
                && (protocol.is_some_and(|p| ["112", "vrrp"].contains(p))
                    || words.len() == 4 && words[2] == "-j")
        };
        let first = text.lines().find(about);
        let closed = text.lines().any(|line| line.starts_with(&format!(":{chain} DROP")));
        let tool = program.trim_end_matches("-save");
        let remedy = format!("{tool} -I {chain} -p 112 -j ACCEPT");
        match first {
            Some(rule) if rule.ends_with("-j DROP") || rule.contains("-j REJECT") => {
                return Finding::problem(code, tool, format!("the rule '{rule}' drops adverts"))
                    .remedy(remedy);
            }
            None if closed => {
                let what = format!("the policy of {chain} is DROP, and no rule is about protocol 112");
                return Finding::problem(code, tool, what).remedy(remedy);
            }
            _ => {}
        }
    }
    Finding::good(code, program.trim_end_matches("-save"), "no rule drops adverts")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn rules_of_the_iptables_of_before_are_read() {
        let judged = |rules: &str| legacy_rules(rules, "iptables-legacy-save").verdict;
        let open = ":INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n";
        assert_eq!(judged(open), Verdict::Good);
        assert_eq!(judged(&format!("{open}-A INPUT -p vrrp -j DROP\n")), Verdict::Problem);
        assert_eq!(judged(&format!("{open}-A OUTPUT -d 224.0.0.18/32 -p vrrp -j DROP\n")), Verdict::Problem);
        assert_eq!(
            judged(":INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"),
            Verdict::Problem
        );
        assert_eq!(judged(":INPUT DROP [0:0]\n-A INPUT -p 112 -j ACCEPT\n"), Verdict::Good);
    }
}
