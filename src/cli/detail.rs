//! `vipctl status NAME`: everything about one instance.

use super::drain;
use super::output::{Colour, age, millis};
use super::paragraph::wrapped;
use super::status::{Row, master, table, terms, tone, words};
use crate::agent::report::{
    Address, Check, Counters, Effect, Gap, Gaps, Group, Instance, LinkState, NearMisses, Notifier, Path,
    Report, Role, Router, Track, VirtualLink,
};
use crate::agent::stamp::Stamp;
use crate::engine::notice::Discard;

/// The whole story of one instance.
pub(super) fn render(one: &Instance, report: &Report, colour: Colour) -> String {
    let state = colour.paint(tone(one.state), &words(one.state));
    let since = one.since.day_and_time();
    let mut page = Page { text: String::new() };
    page.line(&format!(
        "{}: {state} on {} for {}, since {since}.",
        one.name,
        report.node,
        age(report.time.since(one.since))
    ));
    page.entry("why", [one.reason.clone()]);
    page.entry("group", one.group.iter().map(|name| with(name, one, report)));
    page.entry("master", [who(one, report)]);
    page.entry("and also", one.duplicate.iter().map(|other| format!("{}!", other.who)));
    page.entry("priority", [priority(one, report.time)]);
    page.entry(
        "speaks",
        [format!(
            "VRRPv{} on {}, virtual router id {}, an advert every {}",
            one.version,
            one.interface,
            one.virtual_router_id,
            millis(one.advert_interval_ms)
        )],
    );
    page.entry("lease", [lease(one)]);
    page.entry(
        "accepts",
        (!one.accept).then(|| "no packets for its addresses, but ARP and Neighbor Discovery".to_owned()),
    );
    page.entry("links", one.virtual_links.iter().map(virtual_link));
    page.entry("addresses", one.addresses.iter().map(address));
    page.entry("routes", one.paths.iter().map(path));
    for router in &one.routers {
        page.entry(&router.family, routing(router, report));
    }
    page.entry("checks", one.tracks.iter().flat_map(|one| track(one, report)));
    page.entry("notifies", told(one, report));
    let terms = match one.times_master {
        1 => "once since the agent started".to_owned(),
        times => format!("{times} times since the agent started"),
    };
    page.entry("was master", [terms]);
    page.text
}

/// The whole story of a group.
pub(super) fn group(one: &Group, report: &Report, colour: Colour) -> String {
    let state = colour.paint(tone(one.state), &words(one.state));
    let since = one.since.day_and_time();
    let mut page = Page { text: String::new() };
    let age = age(report.time.since(one.since));
    page.line(&format!("group {}: {state} on {} for {age}, since {since}.", one.name, report.node));
    page.entry("why", [one.reason.clone()]);
    page.entry("checks", one.tracks.iter().flat_map(|one| track(one, report)));
    let members = report.instances.iter().filter(|member| member.group.as_ref() == Some(&one.name));
    let rows: Vec<_> = members.map(|member| Row::new(member, report)).collect();
    page.text.push_str(&table(&rows, colour));
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn entry(&mut self, label: &str, lines: impl IntoIterator<Item = String>) {
        let mut label = label;
        for line in lines {
            self.text.push_str(&wrapped(&format!("  {label:10}  "), &line));
            label = "";
        }
    }
}

/// A group, and who else is in it.
fn with(name: &str, one: &Instance, report: &Report) -> String {
    let group = report.group(name).map_or(&[][..], |group| &group.members);
    let others: Vec<_> = group.iter().filter(|member| **member != one.name).map(String::as_str).collect();
    if others.is_empty() { name.to_owned() } else { format!("{name}, together with {}", others.join(", ")) }
}

fn who(one: &Instance, report: &Report) -> String {
    match one.master() {
        Some(known) if one.state != Role::Master => {
            let heard = millis(report.time.since(known.heard).as_secs_f64() * 1000.0);
            format!("{}, priority {}, heard {heard} ago", known.address, known.priority)
        }
        Some(_) | None => master(one),
    }
}

fn priority(one: &Instance, now: Stamp) -> String {
    let (effective, configured) = (one.priority.effective, one.priority.configured);
    if let Some(until) = drain::until(one, now) {
        let by = one.drained.map(|drain| format!(" by {}", drain.by)).unwrap_or_default();
        return format!("{effective}, drained from {configured}{by} {until}");
    }
    if one.stepped_down {
        return format!("{effective}, stepped down from {configured} until 'vipctl resume {}'", one.name);
    }
    match terms(one).as_slice() {
        [] if one.priority.file.is_some() => format!("{effective}, {}", one.priority.origin()),
        [] => format!("{effective}"),
        terms => format!("{effective} = {configured} {}, {}", one.priority.origin(), terms.join(", ")),
    }
}

fn lease(one: &Instance) -> String {
    if one.lease.enabled {
        return format!(
            "answers for {} after an advert, whatever becomes of the agent",
            millis(one.lease.extension_ms)
        );
    }
    "none: a dead agent's addresses go on answering".to_owned()
}

fn path(one: &Path) -> String {
    match (&one.trouble, one.installed) {
        (Some(trouble), _) => format!("{}  {trouble}", one.path),
        (None, true) => format!("{}  installed", one.path),
        (None, false) => format!("{}  not here", one.path),
    }
}

fn virtual_link(one: &VirtualLink) -> String {
    let state = match one.state {
        LinkState::Up => "up",
        LinkState::Down => "down",
        LinkState::Missing => "not here",
    };
    let what = format!("{} with {}", one.name, one.mac_address);
    match &one.trouble {
        Some(trouble) => format!("{what}  {state}: {trouble}"),
        None => format!("{what}  {state}"),
    }
}

fn address(one: &Address) -> String {
    let elsewhere = one.interface.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
    let what = format!("{}{elsewhere}{}", one.address, if one.advertised { "" } else { ", not advertised" });
    match (&one.trouble, one.installed) {
        (Some(trouble), _) => format!("{what}  {trouble}"),
        (None, true) => format!("{what}  installed"),
        (None, false) => format!("{what}  not here"),
    }
}

fn routing(router: &Router, report: &Report) -> Vec<String> {
    let source = router.source.map_or_else(String::new, |source| format!(", sends from {source}"));
    let mut lines = vec![format!("{}{source}", words(router.state))];
    if let Some(master) = &router.master
        && router.state != Role::Master
    {
        lines.push(format!(
            "takes over {} after {}'s last advert, {} ago",
            millis(router.master_down_ms),
            master.address,
            millis(report.time.since(master.heard).as_secs_f64() * 1000.0)
        ));
    }
    lines.extend(counted(&router.counters));
    lines.extend(near(&router.near_misses, report.time));
    lines
}

/// How close a backup came to taking over, if it has been one.
fn near(near: &NearMisses, now: Stamp) -> Vec<String> {
    let Some(worst) = &near.worst else { return Vec::new() };
    let mut lines = Vec::new();
    let mut tell = |label: &str, gap: &Gap| {
        let ago = age(now.since(gap.time));
        lines.push(format!("{label}: {:.0} % of {}, {ago} ago", gap.percent, millis(gap.timer_ms)));
        lines.extend(gap.hint.as_ref().map(|hint| format!("  {hint}")));
    };
    tell("longest silence of a master", worst);
    for (label, gap) in [("  in the last hour", &near.worst_hour), ("  in 24 hours", &near.worst_day)] {
        if let Some(gap) = gap.as_ref().filter(|gap| *gap != worst) {
            tell(label, gap);
        }
    }
    let share = |gaps: &Gaps| match gaps.below_percent {
        Some(below) => format!("under {below} %: {}", gaps.count),
        None => format!("more: {}", gaps.count),
    };
    lines.push(format!("  {}", near.gaps.iter().map(share).collect::<Vec<_>>().join(", ")));
    if let Some(last) = &near.last {
        let times = if near.count == 1 { "once".to_owned() } else { format!("{} times", near.count) };
        let ago = age(now.since(last.time));
        lines.push(format!(
            "nearly took over {times} ({} % and more), {ago} ago last",
            near.threshold_percent
        ));
    }
    lines
}

fn counted(counters: &Counters) -> Vec<String> {
    let mut lines = vec![format!(
        "adverts: {} sent, {} received; resignations: {} sent, {} received",
        counters.adverts_sent,
        counters.adverts_received,
        counters.resignations_sent,
        counters.resignations_received
    )];
    if counters.pseudo_header_checksums + counters.message_checksums > 0 {
        lines.push(format!(
            "checksums received: {} with pseudo-header, {} of the message alone",
            counters.pseudo_header_checksums, counters.message_checksums
        ));
    }
    if counters.signed_adverts + counters.unsigned_adverts > 0 {
        lines.push(format!(
            "signatures received: {} adverts with one, {} without",
            counters.signed_adverts, counters.unsigned_adverts
        ));
    }
    if counters.send_failures > 0 {
        lines.push(format!("{} adverts could not be sent", counters.send_failures));
    }
    if counters.address_mismatches > 0 {
        lines.push(format!("{} adverts received carried other addresses", counters.address_mismatches));
    }
    lines.extend(counters.discarded.iter().map(|(reason, count)| discarded(reason, *count)));
    lines
}

/// `discarded: 2 hop_limit, its TTL is not the one that it must have (RFC 9568, 5.1.1.3)`.
fn discarded(reason: &str, count: u64) -> String {
    let told = Discard::ALL.iter().find(|one| one.as_str() == reason).map(|one| {
        let clause = one.clause().map(|clause| format!(" ({clause})")).unwrap_or_default();
        format!(", {}{clause}", one.words())
    });
    format!("discarded: {count} {reason}{}", told.unwrap_or_default())
}

fn track(one: &Track, report: &Report) -> Vec<String> {
    let effect = match one.effect {
        Effect::Fault if one.value.is_some() => "fault unless 0".to_owned(),
        Effect::FaultWhileUp if one.value.is_some() => "fault while 0".to_owned(),
        Effect::Fault => "fault while down".to_owned(),
        Effect::FaultWhileUp => "fault while up".to_owned(),
        Effect::Weight { weight: weight @ ..0 } => format!("{weight} while down"),
        Effect::Weight { weight } => format!("{weight:+} while up"),
        Effect::ReversedWeight { weight: weight @ ..0 } => format!("{:+} while down", -weight),
        Effect::ReversedWeight { weight } => format!("{} while up", -weight),
        Effect::Multiply { by } => format!("times {by}, adds {:+}", one.adds),
    };
    let up = match one.up {
        _ if let Some(value) = one.value => format!("{value} for {}", age(report.time.since(one.since))),
        Some(true) => format!("up for {}", age(report.time.since(one.since))),
        Some(false) => format!("down for {}", age(report.time.since(one.since))),
        None => "no verdict yet".to_owned(),
    };
    let mut lines = vec![format!("{}: {up} ({effect})", one.check)];
    if let Some(check) = report.checks.iter().find(|check| check.name == one.check) {
        lines.extend(result(check, report).into_iter().map(|line| format!("  {line}")));
    }
    lines
}

/// Who is told of it, and of what last.
fn told(one: &Instance, report: &Report) -> Vec<String> {
    let concerns = |notifier: &&Notifier| {
        let last = notifier.last.as_ref().is_some_and(|last| last.about == one.name);
        let shared = notifier.instance.is_none() && notifier.group.is_none();
        notifier.instance.as_ref() == Some(&one.name) || shared && last
    };
    let lines = |notifier: &Notifier| {
        let Notifier { kind, target, delivered, failed, dropped, waiting, .. } = notifier;
        let counts =
            [(delivered, "told"), (failed, "failed"), (dropped, "dropped"), (&(*waiting as u64), "waiting")];
        let counts = counts.into_iter().filter(|(count, _)| **count > 0);
        let counts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        let counts = if counts.is_empty() { "nothing told yet".to_owned() } else { counts.join(", ") };
        let mut lines = vec![format!("{kind} {target}: {counts}")];
        if let Some(last) = &notifier.last {
            let ago = age(report.time.since(last.time));
            lines.push(format!("  {} {ago} ago: {}", last.state, last.result));
        }
        lines
    };
    report.notifiers.iter().filter(concerns).flat_map(lines).collect()
}

fn result(check: &Check, report: &Report) -> Vec<String> {
    let mut lines = vec![format!("{} {}", check.kind, check.target)];
    if let Some(pending) = &check.pending {
        let verdict = if pending.up { "up" } else { "down" };
        let left = millis(pending.at.since(report.time).as_secs_f64() * 1000.0);
        lines.push(format!("{verdict}, which counts in {left}"));
    }
    if let (Some(saw), Some(run)) = (&check.last_result, check.last_run) {
        let took = check.latency_ms.map(|ms| format!(", took {}", millis(ms))).unwrap_or_default();
        lines.push(format!("{saw} ({} ago{took})", age(report.time.since(run))));
    }
    if let Some(error) = check.last_error.as_ref().filter(|_| check.last_ok == Some(true)) {
        lines.push(format!("last trouble: {error}"));
    }
    lines.extend(
        check.output.iter().flat_map(|output| output.lines().take(5)).map(|line| format!("| {line}")),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::super::specimen;
    use super::*;

    #[test]
    fn links_with_a_virtual_mac_are_shown_as_they_stand() {
        let mut report = specimen::report();
        let own = |family: &str, name: &str, state, trouble: Option<&str>| VirtualLink {
            family: family.to_owned(),
            name: name.to_owned(),
            mac_address: "00:00:5e:00:01:34".to_owned(),
            state,
            trouble: trouble.map(str::to_owned),
        };
        report.instances[1].virtual_links = vec![
            own("ipv4", "vrrp.52", LinkState::Down, None),
            own("ipv6", "vrrp6.52", LinkState::Missing, Some("another program keeps removing it")),
        ];
        let text = render(&report.instances[1], &report, Colour::Never);
        let expected = "
  links       vrrp.52 with 00:00:5e:00:01:34  down
              vrrp6.52 with 00:00:5e:00:01:34  not here: another program keeps
              removing it
  addresses   ";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_backup_tells_its_priority_its_master_and_its_checks() {
        let report = specimen::report();
        let expected = "\
mail: BACKUP on lb1 for 14m, since 2026-11-21 10:11:00 UTC.
  why         192.0.2.2 has the better claim, priority 100
  master      192.0.2.2, priority 100, heard 31 ms ago
  priority    90 = 150 configured, nginx -60
  speaks      VRRPv3 on eth0, virtual router id 52, an advert every 100 ms
  lease       answers for 3000 ms after an advert, whatever becomes of the agent
  addresses   192.0.2.20/24  not here
              192.0.2.21/24  not here
  ipv4        BACKUP, sends from 192.0.2.1
              takes over 365 ms after 192.0.2.2's last advert, 31 ms ago
              adverts: 120 sent, 3 received; resignations: 1 sent, 0 received
              checksums received: 3 with pseudo-header, 0 of the message alone
              discarded: 2 checksum, the checksum is wrong in every form (RFC
              9568, 5.2.8)
              longest silence of a master: 82 % of 365 ms, 1m ago
                2 adverts in a row did not arrive
                in the last hour: 27 % of 365 ms, 1m ago
                under 50 %: 9000, under 75 %: 2, under 90 %: 1, more: 0
              nearly took over once (80 % and more), 1m ago last
  checks      nginx: down for 14m (-60 while down)
                http http://127.0.0.1/
                connection refused (2s ago, took 0.4 ms)
  notifies    script /etc/vipd/notify: 2 told, 1 failed
                BACKUP 14m ago: exit status 3: no such route
  was master  2 times since the agent started
";
        assert_eq!(render(&report.instances[1], &report, Colour::Never), expected);
    }

    #[test]
    fn a_group_tells_why_its_checks_and_its_members() {
        let mut report = specimen::report();
        report.instances[1].group = Some("site".to_owned());
        let one = Group {
            name: "site".to_owned(),
            state: Role::Backup,
            since: report.instances[1].since,
            reason: "mail: 192.0.2.2 has the better claim, priority 100".to_owned(),
            members: vec!["mail".to_owned()],
            tracks: report.instances[1].tracks.clone(),
        };
        let expected = "\
group site: BACKUP on lb1 for 14m, since 2026-11-21 10:11:00 UTC.
  why         mail: 192.0.2.2 has the better claim, priority 100
  checks      nginx: down for 14m (-60 while down)
                http http://127.0.0.1/
                connection refused (2s ago, took 0.4 ms)
NAME  STATE   SINCE  MASTER     WHY
mail  BACKUP  14m    192.0.2.2  192.0.2.2 has the better claim, priority 100; priority 90 of 150: nginx -60
";
        assert_eq!(group(&one, &report, Colour::Never), expected);
    }

    #[test]
    fn a_stepped_down_instance_says_how_to_take_it_back() {
        let mut report = specimen::report();
        report.instances[1].stepped_down = true;
        report.instances[1].priority.effective = 1;
        let text = render(&report.instances[1], &report, Colour::Never);
        assert!(text.contains("priority    1, stepped down from 150 until 'vipctl resume mail'\n"), "{text}");
    }
}
