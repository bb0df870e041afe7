//! `vipctl status`: the verdict first, then a line an instance.

use super::client::{Client, Trouble};
use super::output::{Colour, Tone, age, answer, complain, say};
use super::{Exit, detail, drain, leftovers};
use crate::agent::report::{Group, Health, Instance, Report, Role};
use crate::agent::stamp::Stamp;
use crate::engine::notice::State;

/// Prints how things stand, all of it or one instance.
pub(super) async fn run(client: &Client, name: Option<&str>, json: bool) -> Exit {
    let (report, text) = match client.report().await {
        Ok(answer) => answer,
        Err(trouble) => return unreachable(client, &trouble, json),
    };
    if let Some(name) = name
        && report.instance(name).is_none()
        && report.group(name).is_none()
    {
        return unknown(name, &report);
    }
    let text = match (name, json) {
        (None, true) => format!("{}\n", String::from_utf8_lossy(&text).trim_end()),
        (Some(name), true) => only(&text, name),
        (None, false) => overview(&report, Colour::of_stdout()),
        (Some(name), false) => match (report.instance(name), report.group(name)) {
            (Some(one), _) => detail::render(one, &report, Colour::of_stdout()),
            (None, Some(group)) => detail::group(group, &report, Colour::of_stdout()),
            (None, None) => String::new(),
        },
    };
    answer(&text, exit(report.health))
}

/// The exit code that stands for a report's health.
pub(super) const fn exit(health: Health) -> Exit {
    match health {
        Health::Healthy => Exit::Ok,
        Health::Degraded => Exit::Degraded,
        Health::NoHolder => Exit::NoHolder,
        Health::DuplicateHolder => Exit::DuplicateHolder,
    }
}

/// Says that a name is none of the instances'.
pub(super) fn unknown(name: &str, report: &Report) -> Exit {
    let instances = report.instances.iter().map(|instance| instance.name.as_str());
    let known: Vec<_> = instances.chain(report.groups.iter().map(|group| group.name.as_str())).collect();
    complain(&format!("there is no instance or group '{name}'; there are: {}", known.join(", ")));
    Exit::Usage
}

/// No agent: say so, and what a dead one left behind.
fn unreachable(client: &Client, trouble: &Trouble, json: bool) -> Exit {
    let left = match trouble {
        Trouble::NotRunning(_) => leftovers::find(),
        Trouble::NotAllowed(_) | Trouble::Refused(..) | Trouble::Broken(_) => Ok(Vec::new()),
    };
    if json {
        say(&leftovers::json(client, trouble, left));
    } else {
        complain(&leftovers::text(trouble, &left));
    }
    if matches!(trouble, Trouble::NotAllowed(_)) { Exit::NotAllowed } else { Exit::Unreachable }
}

/// The report with one instance, or a group's only, whatever else a newer agent may have put into it.
pub(super) fn only(text: &[u8], name: &str) -> String {
    let Ok(mut report) = serde_json::from_slice::<serde_json::Value>(text) else { return String::new() };
    if let Some(instances) = report.get_mut("instances").and_then(|list| list.as_array_mut()) {
        let is = |one: &serde_json::Value, key| one.get(key).and_then(|value| value.as_str()) == Some(name);
        let key = if instances.iter().any(|one| is(one, "name")) { "name" } else { "group" };
        instances.retain(|one| is(one, key));
    }
    format!("{report}\n")
}

/// Everything at a glance.
pub(super) fn overview(report: &Report, colour: Colour) -> String {
    let words = report.health.words();
    let painted = colour.paint(health_tone(report.health), words);
    let mut text = report.verdict().replacen(words, &painted, 1);
    text.push('\n');
    let rows: Vec<_> = report.instances.iter().map(|instance| Row::new(instance, report)).collect();
    text.push_str(&table(&rows, colour));
    text.extend(report.groups.iter().map(|one| group(one, report, colour)));
    text.extend(report.problems.iter().map(|problem| format!("problem: {}\n", report.coded(problem))));
    text.extend(report.advice().map(|advice| format!("advice: {}\n", report.coded(advice))));
    text
}

/// A group in one line.
fn group(one: &Group, report: &Report, colour: Colour) -> String {
    let state = colour.paint(tone(one.state), &words(one.state));
    let (since, members) = (age(report.time.since(one.since)), one.members.join(", "));
    format!("group {}: {state} for {since}, with {members}\n", one.name)
}

/// One line of the overview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) state: Role,
    pub(super) since: String,
    pub(super) master: String,
    pub(super) why: String,
}

impl Row {
    pub(super) fn new(instance: &Instance, report: &Report) -> Self {
        Self {
            name: instance.name.clone(),
            state: instance.state,
            since: age(report.time.since(instance.since)),
            master: master(instance),
            why: why(instance, report.time),
        }
    }
}

pub(super) fn table(rows: &[Row], colour: Colour) -> String {
    let width = |header: &str, of: fn(&Row) -> &str| {
        rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0).max(header.len())
    };
    let name = width("NAME", |row| &row.name);
    let since = width("SINCE", |row| &row.since);
    let master = width("MASTER", |row| &row.master);
    if rows.is_empty() {
        return String::new();
    }
    let header = format!("{:name$}  {:6}  {:since$}  {:master$}  WHY", "NAME", "STATE", "SINCE", "MASTER");
    let mut text = colour.paint(Tone::Quiet, &header);
    text.push('\n');
    for row in rows {
        let state = colour.paint(tone(row.state), &format!("{:6}", words(row.state)));
        let line =
            format!("{:name$}  {state}  {:since$}  {:master$}  {}", row.name, row.since, row.master, row.why);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `MASTER`, `BACKUP`, ..
pub(super) fn words(state: Role) -> String {
    State::from(state).to_string()
}

pub(super) const fn tone(state: Role) -> Tone {
    match state {
        Role::Master => Tone::Good,
        Role::Backup => Tone::Plain,
        Role::Fault => Tone::Bad,
        Role::Init => Tone::Quiet,
    }
}

const fn health_tone(health: Health) -> Tone {
    match health {
        Health::Healthy => Tone::Good,
        Health::Degraded | Health::NoHolder | Health::DuplicateHolder => Tone::Bad,
    }
}

/// Who is master, as one word.
pub(super) fn master(instance: &Instance) -> String {
    match (instance.state, instance.master()) {
        (Role::Master, _) => "here".to_owned(),
        (_, Some(master)) => master.address.to_string(),
        (_, None) => "nobody".to_owned(),
    }
}

/// Why it is in its state, with what moved its priority.
fn why(instance: &Instance, now: Stamp) -> String {
    let (reason, priority) = (&instance.reason, &instance.priority);
    if let Some(until) = drain::until(instance, now) {
        let is_all = reason.contains("stepped down");
        return if is_all { format!("drained {until}") } else { format!("{reason}; drained {until}") };
    }
    match (instance.stepped_down, terms(instance).as_slice()) {
        (true, _) if reason.contains("stepped down") => reason.clone(),
        (true, _) => format!("{reason}; stepped down"),
        (false, []) => reason.clone(),
        (false, terms) => {
            let terms = terms.join(", ");
            format!("{reason}; priority {} of {}: {terms}", priority.effective, priority.configured)
        }
    }
}

/// What bears on the priority now, as `nginx -60`.
pub(super) fn terms(instance: &Instance) -> Vec<String> {
    let weighs = instance.tracks.iter().filter(|track| track.adds != 0);
    weighs.map(|track| format!("{} {:+}", track.check, track.adds)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::specimen;
    use super::*;
    use crate::agent::drains::Drain;
    use crate::agent::record::Peer;

    #[test]
    fn the_overview_says_the_verdict_then_a_line_an_instance_then_what_is_wrong() {
        let expected = "\
lb1: degraded. 1 of 2 instances is master here. There is 1 problem.
NAME  STATE   SINCE   MASTER     WHY
web   MASTER  3h 12m  here       no master heard for 3609 ms
mail  BACKUP  14m     192.0.2.2  192.0.2.2 has the better claim, priority 100; priority 90 of 150: nginx -60
problem: check nginx is down (connection refused) [V0706]
";
        assert_eq!(overview(&specimen::report(), Colour::Never), expected);
    }

    #[test]
    fn a_drained_instance_says_until_when() {
        let mut report = specimen::report();
        let mail = &mut report.instances[1];
        let (by, since) = (Peer { uid: 0, pid: None }, mail.since);
        (mail.stepped_down, mail.reason) = (true, "stepped down by the operator".to_owned());
        let mut said = |until: Option<&str>| {
            let until = until.map(|text| text.parse().unwrap());
            report.instances[1].drained = Some(Drain { since, until, by });
            Row::new(&report.instances[1], &report).why
        };
        assert_eq!(said(Some("2026-11-21T12:30:00Z")), "drained until 12:30 UTC");
        assert_eq!(said(Some("2026-11-23T12:30:00Z")), "drained until 2026-11-23 12:30:00 UTC");
        assert_eq!(said(None), "drained until 'vipctl resume mail'");
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let painted = overview(&specimen::report(), Colour::Ansi);
        let mut plain = painted.clone();
        for code in ["\x1b[1;32m", "\x1b[1;31m", "\x1b[2m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_ne!(painted, plain);
        assert_eq!(plain, overview(&specimen::report(), Colour::Never));
    }

    #[test]
    fn a_group_has_a_line_with_its_members() {
        let mut report = specimen::report();
        let members = vec!["web".to_owned(), "mail".to_owned()];
        let (since, reason) = (report.instances[0].since, String::new());
        let (name, tracks) = ("site".to_owned(), Vec::new());
        report.groups.push(Group { name, state: Role::Master, since, reason, members, tracks });
        let text = overview(&report, Colour::Never);
        assert!(text.contains("\ngroup site: MASTER for 3h 12m, with web, mail\nproblem: "), "{text}");
    }

    #[test]
    fn advice_has_a_line_of_its_own_and_is_no_problem() {
        let mut report = specimen::report();
        report.warnings = vec!["web: something is odd".to_owned(), "5:3: write it otherwise".to_owned()];
        report.problems.push("web: something is odd".to_owned());
        let text = overview(&report, Colour::Never);
        assert!(
            text.ends_with("\nproblem: web: something is odd\nadvice: 5:3: write it otherwise\n"),
            "{text}"
        );
        assert!(text.contains("There are 2 problems."), "{text}");
    }

    #[test]
    fn a_node_without_instances_says_so() {
        let mut report = specimen::report();
        report.instances.clear();
        report.problems.clear();
        report.health = Health::Healthy;
        assert_eq!(overview(&report, Colour::Never), "lb1: healthy. No instances are configured.\n");
    }

    #[test]
    fn one_instance_as_json_keeps_what_this_tool_does_not_know() {
        let json = br#"{"schema":1,"new":7,"instances":[{"name":"a"},{"name":"b","newer":1}]}"#;
        let one: serde_json::Value = serde_json::from_str(&only(json, "b")).unwrap();
        let expected = serde_json::json!({"schema": 1, "new": 7, "instances": [{"name": "b", "newer": 1}]});
        assert_eq!(one, expected);
    }
}
