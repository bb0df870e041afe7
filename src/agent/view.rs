//! The road from the engine's status and the checks' results to the report.
//!
//! What counts as a problem is decided here, once, for the command line, systemd's status line and every program
//! that reads the report.

use std::collections::BTreeMap;

use super::drains::Drain;
use super::report::{
    Address, Agent, Check, Counters, Duplicate, Effect, Finding, Gap, Gaps, Group, Health, Instance, Lease,
    LinkState, Master, NearMisses, Notifier, Path, Pending, Priority, Report, Role, Router, SCHEMA, Severity,
    Track, Transitions, VirtualLink, millis, percent,
};
use super::stamp::Clocks;
use crate::codes::{Code, Warning};
use crate::engine::near;
use crate::engine::notice::{Discard, State};
use crate::engine::settings;
use crate::engine::status::{self, Status};
use crate::time::{Duration, Instant};
use crate::wire::vrrp::Version;

/// How long another master counts after it was last heard, if three of its adverts take no longer.
const LATELY: Duration = Duration::from_secs(1);

/// What the engine does not know.
#[derive(Debug)]
pub struct Surroundings {
    /// The host's name.
    pub node: String,
    /// The agent's process.
    pub agent: Agent,
    /// Every check but those the engine itself answers.
    pub checks: Vec<Check>,
    /// Whoever is told of changes.
    pub notifiers: Vec<Notifier>,
    /// Which instances are drained.
    pub drains: BTreeMap<String, Drain>,
    /// By instance, the file that says its priority.
    pub priority_files: BTreeMap<String, String>,
    /// What the agent warns of.
    pub warnings: Vec<Warning>,
    /// What the configuration warns of, which stays as it is until somebody writes it otherwise: nothing to be called for.
    pub advice: Vec<Warning>,
}

/// Puts a report together.
pub fn report(status: &Status, around: Surroundings, clocks: Clocks) -> Report {
    let Surroundings { node, agent, mut checks, notifiers, drains, mut priority_files, mut warnings, advice } =
        around;
    let instances = status.instances.iter().map(|one| {
        let drained = drains.get(&one.name).copied();
        let mut shown = instance(one, status.at, clocks);
        shown.priority.file = priority_files.remove(&one.name);
        Instance { drained, ..shown }
    });
    let instances: Vec<_> = instances.collect();
    let groups: Vec<_> = status.groups.iter().map(|one| group(one, clocks)).collect();
    complete_checks(&mut checks, &status.checks, clocks);
    warnings.extend(status.warnings.iter().cloned());
    let (health, problems) = judge(status, &instances, &checks, &warnings);
    let findings = findings(&problems, &advice);
    warnings.extend(advice);
    Report {
        schema: SCHEMA,
        node,
        time: clocks.stamp(status.at),
        health,
        problems: texts(problems),
        findings,
        agent,
        instances,
        groups,
        checks,
        notifiers,
        discarded: discarded(&status.discarded),
        warnings: texts(warnings),
    }
}

fn texts(warnings: Vec<Warning>) -> Vec<String> {
    warnings.into_iter().map(|warning| warning.text).collect()
}

fn findings(problems: &[Warning], advice: &[Warning]) -> Vec<Finding> {
    let all = |list: &[Warning], severity| {
        let finding =
            |one: &Warning| Finding { code: one.code.to_string(), severity, text: one.text.clone() };
        list.iter().map(finding).collect::<Vec<_>>()
    };
    [all(problems, Severity::Problem), all(advice, Severity::Advice)].concat()
}

fn group(one: &status::GroupStatus, clocks: Clocks) -> Group {
    Group {
        name: one.name.clone(),
        state: one.state.into(),
        since: clocks.stamp(one.since),
        reason: one.reason.to_string(),
        members: one.members.clone(),
        tracks: one.tracks.iter().map(|one| track(one, clocks)).collect(),
    }
}

fn instance(one: &status::InstanceStatus, now: Instant, clocks: Clocks) -> Instance {
    let state = Role::from(one.state);
    Instance {
        name: one.name.clone(),
        state,
        since: clocks.stamp(one.since),
        reason: one.reason.to_string(),
        group: one.group.clone(),
        interface: one.interface.clone(),
        virtual_router_id: one.vrid.get(),
        version: match one.version {
            Version::V2 => 2,
            Version::V3 => 3,
        },
        priority: Priority { configured: one.configured.get(), file: None, effective: one.effective.get() },
        advert_interval_ms: millis(one.interval),
        lease: Lease { enabled: one.lease.enabled, extension_ms: millis(one.lease.extension) },
        accept: one.accept,
        stepped_down: one.stepped_down,
        drained: None,
        times_master: one.times_master,
        transitions: transitions(one),
        duplicate: duplicate(one, now, clocks),
        routers: one.routers.iter().map(|one| router(one, now, clocks)).collect(),
        virtual_links: one.virtual_links.iter().map(virtual_link).collect(),
        addresses: one
            .addresses
            .iter()
            .map(|one| Address {
                address: one.net.to_string(),
                interface: one.interface.clone(),
                advertised: one.advertised,
                installed: one.installed,
                trouble: one.trouble.clone(),
            })
            .collect(),
        paths: one.paths.iter().map(path).collect(),
        tracks: one.tracks.iter().map(|one| track(one, clocks)).collect(),
    }
}

fn transitions(one: &status::InstanceStatus) -> Vec<Transitions> {
    let shown = |((from, to, kind), count): (&(State, State, &str), &u64)| Transitions {
        from: (*from).into(),
        to: (*to).into(),
        reason_kind: (*kind).to_owned(),
        count: *count,
    };
    one.transitions.iter().map(shown).collect()
}

/// The other master, if this instance is master and the other was heard within its last few adverts.
///
/// Whoever is replaced sends a last advert within our first interval: that is no second master.
fn duplicate(one: &status::InstanceStatus, now: Instant, clocks: Clocks) -> Option<Duplicate> {
    let other = one.duplicate.as_ref().filter(|_| one.state == State::Master)?;
    let lately = LATELY.max(one.interval.saturating_mul(3));
    let counts = now.since(other.at) < lately && other.at.since(one.since) > one.interval;
    counts.then(|| Duplicate { who: other.who.clone(), heard: clocks.stamp(other.at) })
}

fn router(one: &status::RouterStatus, now: Instant, clocks: Clocks) -> Router {
    Router {
        family: one.family.as_str().to_owned(),
        state: one.state.into(),
        source: one.source,
        master: one.master.map(|master| Master {
            address: master.address,
            priority: master.priority.get(),
            heard: clocks.stamp(master.heard),
        }),
        master_interval_ms: millis(one.master_interval),
        master_down_ms: millis(one.master_down),
        counters: counters(&one.counters),
        near_misses: near_misses(one, now, clocks),
    }
}

fn near_misses(one: &status::RouterStatus, now: Instant, clocks: Clocks) -> NearMisses {
    let near = &one.near;
    let gap = |gap: near::Gap| Gap {
        time: clocks.stamp(gap.at),
        gap_ms: millis(gap.length),
        timer_ms: millis(gap.timer),
        percent: percent(gap.permille()),
        cause: gap.cause.map(|cause| cause.as_str().to_owned()),
        hint: gap.cause.map(|cause| cause.to_string()),
    };
    let below = near::SHARES.into_iter().map(Some).chain([None]);
    NearMisses {
        threshold_percent: one.near_miss_percent,
        count: near.misses,
        gaps: below.zip(near.counts).map(|(below_percent, count)| Gaps { below_percent, count }).collect(),
        total_percent: percent(near.total_permille),
        last: near.last.map(gap),
        worst: near.worst.map(gap),
        worst_hour: near.worst_of_hour(now).map(gap),
        worst_day: near.worst_of_day(now).map(gap),
    }
}

fn counters(counted: &status::Counters) -> Counters {
    let [pseudo_header_checksums, message_checksums] = counted.checksum_forms;
    let [signed_adverts, unsigned_adverts] = counted.signed;
    Counters {
        adverts_sent: counted.sent,
        adverts_received: counted.received,
        send_failures: counted.send_failures,
        resignations_sent: counted.resigned,
        resignations_received: counted.resignations,
        pseudo_header_checksums,
        message_checksums,
        address_mismatches: counted.address_mismatches,
        signed_adverts,
        unsigned_adverts,
        discarded: discarded(&counted.discarded),
    }
}

fn discarded(counted: &BTreeMap<Discard, u64>) -> BTreeMap<String, u64> {
    counted.iter().map(|(reason, count)| (reason.as_str().to_owned(), *count)).collect()
}

fn virtual_link(one: &status::VirtualLinkStatus) -> VirtualLink {
    VirtualLink {
        family: one.family.as_str().to_owned(),
        name: one.name.clone(),
        mac_address: one.mac.to_string(),
        state: match one.up {
            Some(true) => LinkState::Up,
            Some(false) => LinkState::Down,
            None => LinkState::Missing,
        },
        trouble: one.trouble.clone(),
    }
}

fn path(one: &status::PathStatus) -> Path {
    Path { path: one.path.clone(), installed: one.installed, trouble: one.trouble.clone() }
}

fn track(one: &status::TrackStatus, clocks: Clocks) -> Track {
    Track {
        check: one.check.clone(),
        effect: match one.effect {
            settings::Effect::Weight(weight) => Effect::Weight { weight },
            settings::Effect::ReversedWeight(weight) => Effect::ReversedWeight { weight },
            settings::Effect::Multiply(by) => Effect::Multiply { by },
            settings::Effect::Fault => Effect::Fault,
            settings::Effect::FaultWhileUp => Effect::FaultWhileUp,
        },
        up: one.up,
        value: one.value,
        adds: one.adds,
        since: clocks.stamp(one.since),
        effective: one.effective,
    }
}

/// What counts is what the engine knows: a verdict may have to stand for a while, and of an interface it alone knows.
fn complete_checks(checks: &mut [Check], known: &[status::CheckStatus], clocks: Clocks) {
    for check in checks {
        let Some(one) = known.iter().find(|one| one.name == check.name) else { continue };
        check.up = one.up;
        check.since = one.up.map(|_| clocks.stamp(one.since));
        check.value = one.value;
        check.pending = one.pending.map(|wait| Pending { up: wait.up, at: clocks.stamp(wait.at) });
    }
}

/// What is wrong, the worst first.
fn judge(
    status: &Status,
    instances: &[Instance],
    checks: &[Check],
    warnings: &[Warning],
) -> (Health, Vec<Warning>) {
    let mut found = Vec::new();
    let mut note = |health, code, text| found.push((health, Warning::new(code, text)));
    for (known, instance) in status.instances.iter().zip(instances) {
        let name = &instance.name;
        if let Some(other) = &instance.duplicate {
            let sentence = format!("{name} has a second master, heard lately: {}", other.who);
            note(Health::DuplicateHolder, Code::SecondMaster, sentence);
        }
        if instance.state == Role::Fault {
            let sentence = format!("{name} is in FAULT: {}", instance.reason);
            note(Health::Degraded, known.reason.code(), sentence);
        }
        if let Some((health, code, sentence)) = unheld(instance, instances) {
            note(health, code, sentence);
        }
        // With trouble it is among the engine's warnings.
        let missing = instance.addresses.iter().filter(|one| !one.installed && one.trouble.is_none());
        for address in missing.filter(|_| instance.state == Role::Master) {
            let sentence = format!("{name}: {} is not installed yet", address.address);
            note(Health::Degraded, Code::NotInstalled, sentence);
        }
    }
    for check in checks.iter().filter(|check| check.up == Some(false)) {
        let saw = check.last_result.as_deref().map(|saw| format!(" ({saw})")).unwrap_or_default();
        note(Health::Degraded, Code::CheckDown, format!("check {} is down{saw}", check.name));
    }
    found.extend(warnings.iter().map(|warning| (Health::Degraded, warning.clone())));
    // Stable: within one gravity the configuration's order stays.
    found.sort_by_key(|(health, _)| std::cmp::Reverse(*health));
    let worst = found.first().map_or(Health::Healthy, |(health, _)| *health);
    (worst, found.into_iter().map(|(_, warning)| warning).collect())
}

/// That nobody, or nobody of a family, is known as master. An address that is still in the kernel is served from here
/// until it is handed over. What moves with others is where they are.
fn unheld(instance: &Instance, all: &[Instance]) -> Option<(Health, Code, String)> {
    let name = &instance.name;
    let served = instance.state == Role::Master || instance.addresses.iter().any(|one| one.installed);
    let silent: Vec<_> = instance.routers.iter().filter(|router| router.master.is_none()).collect();
    match silent.first() {
        Some(_) if served => None,
        Some(_) if silent.len() == instance.routers.len() => {
            let fellows = all.iter().filter(|one| instance.group.is_some() && one.group == instance.group);
            let mut backups = fellows.filter(|one| one.state == Role::Backup);
            if let Some((fellow, master)) = backups.find_map(|one| Some((&one.name, one.master()?.address))) {
                let what = format!(
                    "no adverts of {name}'s master are heard, but those of {master} for {fellow}, with which it moves"
                );
                return Some((Health::Degraded, Code::FamilyUnheard, what));
            }
            Some((Health::NoHolder, Code::NoHolder, format!("nobody is known to hold {name}")))
        }
        Some(router) => {
            let family = &router.family;
            let sentence = format!("no {family} adverts of {name}'s master are heard");
            Some((Health::Degraded, Code::FamilyUnheard, sentence))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::report::{Configuration, Lateness};
    use crate::engine::notice::Reason;
    use crate::net::{Family, Vrid};

    const NOW: Instant = Instant::from_nanos(100_000_000_000);
    const ADVICE: &str = "3:5: instances.web.authentication: everybody can read it";

    fn status(state: State) -> Status {
        let router = status::RouterStatus {
            family: Family::Ipv4,
            state,
            source: None,
            master: Some(status::MasterStatus {
                address: "192.0.2.1".parse().unwrap(),
                priority: crate::net::Priority::DEFAULT,
                heard: NOW,
            }),
            master_interval: Duration::from_secs(1),
            master_down: Duration::from_millis(3609),
            counters: status::Counters::default(),
            near: near::Nearness::default(),
            near_miss_percent: near::THRESHOLD,
        };
        let instance = status::InstanceStatus {
            name: "web".to_owned(),
            state,
            since: NOW - Duration::from_secs(60),
            reason: Reason::Listening,
            group: None,
            interface: "eth0".to_owned(),
            vrid: Vrid::new(51).unwrap(),
            version: Version::V3,
            configured: crate::net::Priority::DEFAULT,
            effective: crate::net::Priority::DEFAULT,
            interval: Duration::from_secs(1),
            lease: status::LeaseStatus { enabled: true, extension: Duration::from_secs(3) },
            accept: true,
            stepped_down: false,
            times_master: 1,
            transitions: BTreeMap::new(),
            routers: vec![router],
            virtual_links: Vec::new(),
            addresses: Vec::new(),
            paths: Vec::new(),
            tracks: Vec::new(),
            duplicate: None,
        };
        Status {
            at: NOW,
            instances: vec![instance],
            groups: Vec::new(),
            checks: Vec::new(),
            discarded: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    fn judged(status: &Status, checks: Vec<Check>) -> (Health, Vec<String>) {
        let clocks = Clocks::new("2026-11-21T10:25:00Z".parse().unwrap(), NOW);
        let agent = Agent {
            version: String::new(),
            pid: 1,
            started: clocks.wall(),
            worst_late_ms: 0.0,
            loop_lateness: Lateness::default(),
            events_lost: 0,
            configuration: Configuration::default(),
            realtime_priority: None,
            memory_locked: false,
            log_lines_dropped: 0,
            newest_event: 0,
        };
        let (notifiers, warnings, advice) =
            (Vec::new(), Vec::new(), vec![Warning::new(Code::SecretExposed, ADVICE.to_owned())]);
        let (node, drains) = ("lb1".to_owned(), BTreeMap::new());
        let around = Surroundings {
            node,
            agent,
            checks,
            notifiers,
            drains,
            priority_files: BTreeMap::new(),
            warnings,
            advice,
        };
        let report = report(status, around, clocks);
        assert_eq!(report.advice().collect::<Vec<_>>(), [ADVICE]);
        (report.health, report.problems)
    }

    fn duplicate_heard(ago: Duration) -> Status {
        let mut status = status(State::Master);
        let who = "192.0.2.2 with priority 90".to_owned();
        status.instances[0].duplicate = Some(status::Duplicate { at: NOW - ago, who });
        status
    }

    #[test]
    fn a_second_master_counts_while_its_adverts_are_fresh() {
        let (health, problems) = judged(&duplicate_heard(Duration::from_secs(2)), Vec::new());
        assert_eq!(health, Health::DuplicateHolder);
        assert_eq!(problems, ["web has a second master, heard lately: 192.0.2.2 with priority 90"]);
        assert_eq!(judged(&duplicate_heard(Duration::from_secs(3)), Vec::new()).0, Health::Healthy);
    }

    #[test]
    fn the_last_advert_of_whoever_was_replaced_is_no_second_master() {
        let mut status = duplicate_heard(Duration::from_millis(500));
        status.instances[0].since = NOW - Duration::from_secs(1);
        assert_eq!(judged(&status, Vec::new()).0, Health::Healthy);
    }

    #[test]
    fn a_master_of_one_family_is_a_holder_that_is_not_heard_well() {
        let mut status = status(State::Backup);
        let deaf = status::RouterStatus {
            family: Family::Ipv6,
            master: None,
            ..status.instances[0].routers[0].clone()
        };
        status.instances[0].routers.push(deaf);
        let (health, problems) = judged(&status, Vec::new());
        assert_eq!(
            (health, problems),
            (Health::Degraded, vec!["no ipv6 adverts of web's master are heard".to_owned()])
        );
    }

    #[test]
    fn what_moves_with_others_is_where_they_are() {
        let mut status = status(State::Backup);
        let known = status.instances[0].clone();
        status.instances[0].routers[0].master = None;
        status.instances.push(status::InstanceStatus { name: "db".to_owned(), ..known });
        assert_eq!(judged(&status, Vec::new()).0, Health::NoHolder);
        for instance in &mut status.instances {
            instance.group = Some("site".to_owned());
        }
        let (health, problems) = judged(&status, Vec::new());
        let what = "no adverts of web's master are heard, but those of 192.0.2.1 for db, with which it moves";
        assert_eq!((health, problems), (Health::Degraded, vec![what.to_owned()]));
    }

    #[test]
    fn who_hands_over_holds_until_it_is_done() {
        let mut status = status(State::Backup);
        status.instances[0].routers[0].master = None;
        let net = "192.0.2.10/24".parse().unwrap();
        for (installed, health) in [(true, Health::Healthy), (false, Health::NoHolder)] {
            status.instances[0].addresses = vec![status::AddressStatus {
                net,
                interface: None,
                advertised: true,
                installed,
                trouble: None,
            }];
            assert_eq!(judged(&status, Vec::new()).0, health, "{installed}");
        }
    }

    #[test]
    fn what_the_configuration_warns_of_is_no_problem() {
        assert_eq!(judged(&status(State::Master), Vec::new()), (Health::Healthy, Vec::new()));
    }

    #[test]
    fn the_worst_comes_first() {
        let mut status = status(State::Fault);
        status.instances[0].routers[0].master = None;
        let sentence = "web: IPv4 adverts cannot be sent".to_owned();
        status.warnings.push(Warning::new(Code::NotSent, sentence));
        let (health, problems) = judged(&status, Vec::new());
        assert_eq!(health, Health::NoHolder);
        let expected = [
            "nobody is known to hold web",
            "web is in FAULT: listening for a master",
            "web: IPv4 adverts cannot be sent",
        ];
        assert_eq!(problems, expected);
    }
}
