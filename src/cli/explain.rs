//! `vipctl explain`: why an instance is where it is, term by term, and what would become of it.

use super::Exit;
use super::client::Client;
use super::events::failed;
use super::output::{Colour, age, answer, millis};
use super::paragraph::wrapped;
use super::status::{tone, words};
use crate::agent::explain::{Explained, Explanation, Prospect, Supposed};
use crate::agent::report::{Effect, Role, Track};

/// Prints the explanation of everything, or of one instance or group.
pub(super) async fn run(client: &Client, name: Option<&str>, json: bool) -> Exit {
    let path = name.map_or_else(|| "/explain".to_owned(), |name| format!("/explain?name={name}"));
    match client.explanation(&path).await {
        Ok((_, text)) if json => {
            answer(&format!("{}\n", String::from_utf8_lossy(&text).trim_end()), Exit::Ok)
        }
        Ok((explanation, _)) => answer(&render(&explanation, Colour::of_stdout()), Exit::Ok),
        Err(trouble) => failed(&trouble),
    }
}

pub(super) fn render(explanation: &Explanation, colour: Colour) -> String {
    let all = explanation.instances.iter().map(|one| page(one, explanation, colour));
    all.collect::<Vec<_>>().join("\n")
}

fn page(one: &Explained, explanation: &Explanation, colour: Colour) -> String {
    let it = &one.instance;
    let state = colour.paint(tone(it.state), &words(it.state));
    let (for_how_long, since) = (age(explanation.time.since(it.since)), it.since.day_and_time());
    let mut text =
        format!("{} is {state} on {} for {for_how_long}, since {since}.\n", it.name, explanation.node);
    text.push_str(&entry("why", &it.reason));
    if let (Some(master), true) = (it.master(), it.state != Role::Master) {
        let heard = millis(explanation.time.since(master.heard).as_secs_f64() * 1000.0);
        let known = format!("{} with priority {}, heard {heard} ago", master.address, master.priority);
        text.push_str(&entry("master", &known));
    }
    text.extend(sum(one, explanation));
    let heads: Vec<String> = one.prospects.iter().map(|prospect| head(&prospect.supposed)).collect();
    let width = heads.iter().map(|head| head.chars().count()).max().unwrap_or(0);
    for (prospect, head) in one.prospects.iter().zip(&heads) {
        text.push_str(&wrapped(&format!("{head:width$}  "), &outcome(prospect, it.state)));
    }
    text
}

fn entry(label: &str, text: &str) -> String {
    wrapped(&format!("  {label:8}  "), text)
}

/// The priority as the sum that it is, and what else is in its way.
fn sum(one: &Explained, explanation: &Explanation) -> Vec<String> {
    let priority = &one.instance.priority;
    let mut lines = vec![entry("priority", &format!("{:5}  {}", priority.configured, priority.origin()))];
    for track in &one.terms {
        let verdict = match (track.value, track.up) {
            (Some(value), _) => format!("is {value}"),
            (None, Some(true)) => "is up".to_owned(),
            (None, Some(false)) => "is down".to_owned(),
            (None, None) => "has no verdict yet".to_owned(),
        };
        let lasts = age(explanation.time.since(track.since));
        lines.push(entry(
            "",
            &format!("{:>5}  {} {verdict} for {lasts}{}", term(track), track.check, rule(track)),
        ));
    }
    if one.instance.stepped_down {
        lines
            .push(entry("", &format!("{:>5}  stepped down until 'vipctl resume {}'", "", one.instance.name)));
    }
    if !one.terms.is_empty() || priority.effective != priority.configured {
        lines.push(entry("", &format!("{:5}  in effect", priority.effective)));
    }
    lines
}

/// What a track adds, or that it is in the way.
fn term(track: &Track) -> String {
    match track.effect {
        Effect::Fault | Effect::FaultWhileUp if track.effective => "FAULT".to_owned(),
        Effect::Fault | Effect::FaultWhileUp => "ok".to_owned(),
        Effect::Weight { .. } | Effect::ReversedWeight { .. } | Effect::Multiply { .. } => {
            format!("{:+}", track.adds)
        }
    }
}

/// What it would do otherwise.
fn rule(track: &Track) -> String {
    if track.effective {
        return String::new();
    }
    match track.effect {
        Effect::Fault => " (FAULT while it is down)".to_owned(),
        Effect::FaultWhileUp => " (FAULT while it is up)".to_owned(),
        Effect::Weight { weight } if weight < 0 => format!(" ({weight} while it is down)"),
        Effect::Weight { weight } => format!(" ({weight:+} while it is up)"),
        Effect::ReversedWeight { weight } if weight < 0 => format!(" ({:+} while it is down)", -weight),
        Effect::ReversedWeight { weight } => format!(" ({} while it is up)", -weight),
        Effect::Multiply { by } => format!(" (its value times {by})"),
    }
}

fn head(supposed: &Supposed) -> String {
    match supposed {
        Supposed::NothingHappens => "If nothing happens:".to_owned(),
        Supposed::MasterDies { address } => format!("If {address} dies now:"),
        Supposed::ThisNodeDies => "If this node dies now:".to_owned(),
        Supposed::StepDown => "If you step it down now:".to_owned(),
        Supposed::Resume => "If you resume it now:".to_owned(),
        Supposed::CheckRecovers { check } => format!("If {check} recovers now:"),
        Supposed::CheckFails { check } => format!("If {check} fails now:"),
    }
}

fn outcome(prospect: &Prospect, state: Role) -> String {
    let within = span(prospect.earliest_ms, prospect.latest_ms);
    let Prospect { reason, priority, .. } = prospect;
    match (&prospect.supposed, prospect.becomes, state) {
        (Supposed::ThisNodeDies, ..) => format!("another node takes over {within}, if one is there"),
        (Supposed::StepDown, ..) => format!("another node takes over {within}; with nobody there it stays"),
        (Supposed::NothingHappens, Some(role), Role::Fault) => {
            format!("tried again {within}, then {} if that works", words(role))
        }
        (_, Some(Role::Fault), _) => format!("FAULT {within}: {reason}"),
        (_, Some(role), _) => format!("{} {within}", words(role)),
        (Supposed::CheckFails { .. }, None, Role::Master) => {
            format!("stays MASTER with priority {priority}, unless another node has more")
        }
        (_, None, _) => format!("stays {}: {reason}", words(state)),
    }
}

/// `in 280-372 ms`, `in 1.3-2.4 s`, `at once`.
fn span(earliest: f64, latest: f64) -> String {
    let (unit, size, digits) = match latest {
        10_000.0.. => ("s", 1000.0, 0),
        1000.0.. => ("s", 1000.0, 1),
        _ => ("ms", 1.0, 0),
    };
    let grain = if digits == 0 { size } else { size / 10.0 };
    let least = (earliest / grain).floor() * grain / size;
    let most = (latest / grain).ceil() * grain / size;
    if least <= 0.0 {
        return format!("within {most:.digits$} {unit}");
    }
    format!("in {least:.digits$}-{most:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::super::specimen;
    use super::*;

    fn prospect(supposed: Supposed, becomes: Option<Role>, earliest_ms: f64, latest_ms: f64) -> Prospect {
        let reason = "192.0.2.2 has the better claim, priority 100".to_owned();
        Prospect { supposed, becomes, reason, priority: 90, earliest_ms, latest_ms }
    }

    fn explanation() -> Explanation {
        let report = specimen::report();
        let instance = report.instances[1].clone();
        let dies = Supposed::MasterDies { address: "192.0.2.2".parse().unwrap() };
        let recovers = Supposed::CheckRecovers { check: "nginx".to_owned() };
        let prospects = vec![
            prospect(dies, Some(Role::Master), 265.4, 374.6),
            prospect(recovers, Some(Role::Master), 1300.0, 2374.6),
        ];
        let one = Explained { terms: instance.tracks.clone(), instance, prospects };
        Explanation { schema: 1, node: report.node, time: report.time, instances: vec![one] }
    }

    #[test]
    fn a_backup_is_worked_out_and_looked_ahead_for() {
        let expected = "\
mail is BACKUP on lb1 for 14m, since 2026-11-21 10:11:00 UTC.
  why       192.0.2.2 has the better claim, priority 100
  master    192.0.2.2 with priority 100, heard 31 ms ago
  priority    150  configured
              -60  nginx is down for 14m
               90  in effect
If 192.0.2.2 dies now:  MASTER in 265-375 ms
If nginx recovers now:  MASTER in 1.3-2.4 s
";
        assert_eq!(render(&explanation(), Colour::Never), expected);
    }

    #[test]
    fn a_priority_that_stands_in_a_file_says_so() {
        let mut all = explanation();
        all.instances[0].instance.priority.file = Some("/etc/vipd/priority".to_owned());
        let said = sum(&all.instances[0], &all);
        assert_eq!(said[0], "  priority    150  as /etc/vipd/priority says\n");
    }

    #[test]
    fn a_fault_that_is_tried_again_says_when() {
        let again = prospect(Supposed::NothingHappens, Some(Role::Backup), 12_000.0, 12_300.0);
        assert_eq!(outcome(&again, Role::Fault), "tried again in 12-13 s, then BACKUP if that works");
    }

    #[test]
    fn what_changes_nothing_says_why() {
        let recovers = prospect(Supposed::CheckRecovers { check: "nginx".to_owned() }, None, 0.0, 0.0);
        let expected = "stays BACKUP: 192.0.2.2 has the better claim, priority 100";
        assert_eq!(outcome(&recovers, Role::Backup), expected);
        let fails = prospect(Supposed::CheckFails { check: "nginx".to_owned() }, None, 0.0, 0.0);
        let expected = "stays MASTER with priority 90, unless another node has more";
        assert_eq!(outcome(&fails, Role::Master), expected);
    }

    #[test]
    fn spans_have_one_unit() {
        let said = [(0.0, 12.3), (280.2, 361.4), (900.0, 1100.0), (40.0, 1100.0), (3000.0, 33_000.0)]
            .map(|(a, b)| span(a, b));
        assert_eq!(said, ["within 13 ms", "in 280-362 ms", "in 0.9-1.1 s", "within 1.1 s", "in 3-33 s"]);
    }
}
