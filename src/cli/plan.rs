//! `vipctl plan FILE`: what a reload would do, before it does.

use std::path::Path;

use super::Exit;
use super::client::Client;
use super::events::failed;
use super::output::{answer, complain, millis};
use super::paragraph::wrapped;
use super::status::words;
use crate::agent::plan::{Change, Kind, Plan, PlanOrder};
use crate::agent::report::Role;
use crate::codes::Code;
use crate::config::LONGEST_FILE;

/// Has the agent look at the file and prints what would come of it.
pub(super) async fn run(client: &Client, file: &Path, json: bool) -> Exit {
    let text = match read(file) {
        Ok(text) => text,
        Err(why) => {
            complain(&format!("{}: {why}.", file.display()));
            return Exit::NoInput;
        }
    };
    let name = file.display().to_string();
    match client.order::<serde_json::Value>("/plan", &PlanOrder { file: name.clone(), text }).await {
        Ok(plan) if json => answer(&format!("{plan}\n"), Exit::Ok),
        Ok(plan) => match serde_json::from_value::<Plan>(plan) {
            Ok(plan) => answer(&render(&plan, &name), Exit::Ok),
            Err(error) => {
                complain(&format!("the agent does not answer as it should: {error}."));
                Exit::Unavailable
            }
        },
        Err(trouble) => failed(&trouble),
    }
}

fn read(file: &Path) -> Result<String, String> {
    let length = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if length > LONGEST_FILE {
        return Err("is longer than 1 MiB".to_owned());
    }
    std::fs::read_to_string(file).map_err(|error| error.to_string())
}

fn render(plan: &Plan, file: &str) -> String {
    let mut text = wrapped("", &format!("{file}: {}", verdict(plan)));
    let changes: Vec<&Change> = plan.instances.iter().filter(|one| is_told(one)).collect();
    let width = changes.iter().map(|one| one.name.chars().count()).max().unwrap_or(0).max(8);
    let row = |change: &str, name: &str, now: &str, then: &str, what: &str| {
        wrapped(&format!("{change:9}  {name:width$}  {now:6}  {then:6}  "), what)
    };
    if !changes.is_empty() {
        text.push_str(&row("CHANGE", "INSTANCE", "NOW", "THEN", "WHAT"));
    }
    for one in changes {
        let mut what = details(one).into_iter();
        let first = what.next().unwrap_or_default();
        text.push_str(&row(kind(one.change), &one.name, &role(one.now), &role(one.then), &first));
        text.extend(what.map(|more| wrapped(&format!("{:11}", ""), &more)));
    }
    for group in &plan.groups {
        let keys = if group.keys.is_empty() { String::new() } else { format!(": {}", group.keys.join(", ")) };
        text.push_str(&wrapped("", &format!("group {} {}{keys}", group.name, kind(group.change))));
    }
    if !plan.checks.is_empty() {
        text.push_str(&wrapped("checks: ", &plan.checks.join(", ")));
    }
    text.extend(plan.others.iter().map(|other| wrapped("besides: ", other)));
    let danger = |danger: &String| wrapped("needs --force: ", &format!("{danger} [{}]", Code::PeersDeaf));
    text.extend(plan.dangers.iter().map(danger));
    text.extend(plan.warnings.iter().map(|warning| wrapped("advice: ", warning)));
    text
}

/// Whether anything of it changes, by its own settings or by others'.
fn is_told(one: &Change) -> bool {
    one.change != Kind::Unchanged || one.now != one.then || !one.transitions.is_empty()
}

/// The sentence that sums it up.
fn verdict(plan: &Plan) -> String {
    let of = |kind: Kind| plan.instances.iter().filter(|one| one.change == kind).count();
    let settings = plan.groups.len() + plan.checks.len() + plan.others.len();
    let kinds = [
        ("add", Kind::Added),
        ("remove", Kind::Removed),
        ("restart", Kind::Restarted),
        ("change", Kind::Changed),
    ];
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let instances = kinds.into_iter().map(|(verb, kind)| (verb, of(kind), "instance"));
    let told: Vec<String> = instances
        .chain([("change", settings, "other setting")])
        .filter(|(_, count, _)| *count > 0)
        .map(|(verb, count, noun)| format!("{verb} {}", counted(count, noun)))
        .collect();
    let all = match told.split_last() {
        None => return "a reload would change nothing.".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    };
    let named = |what: Outcome| -> Vec<&str> {
        plan.instances.iter().filter(|one| outcome(one) == what).map(|one| one.name.as_str()).collect()
    };
    let outcomes = [
        (named(Outcome::GivenUp), "would be given up"),
        (named(Outcome::Moved), "would change hands"),
        (named(Outcome::Contested), "would change hands if another node has the better claim then"),
        (named(Outcome::Interrupted), "would be interrupted"),
    ];
    let told: Vec<String> = outcomes
        .into_iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| format!("{} {what}", names.join(", ")))
        .collect();
    let moved = if told.is_empty() { "no address would change hands".to_owned() } else { told.join(", ") };
    format!("a reload would {all}; {moved}.")
}

/// What comes of it for whoever uses the addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nobody notices.
    Nothing,
    /// This node holds them, and they go.
    GivenUp,
    /// This node holds them and will not, or the reverse.
    Moved,
    /// This node holds them, with less priority than before.
    Contested,
    /// This node holds them, then does not, then does again.
    Interrupted,
}

fn outcome(one: &Change) -> Outcome {
    let (holds, will) = (one.now == Some(Role::Master), one.then == Some(Role::Master));
    let leaves = one.transitions.iter().any(|step| step.to != Role::Master);
    match one.change {
        Kind::Removed if holds => Outcome::GivenUp,
        Kind::Restarted | Kind::Changed | Kind::Unchanged if holds != will => Outcome::Moved,
        Kind::Restarted | Kind::Changed | Kind::Unchanged if holds && leaves => Outcome::Interrupted,
        Kind::Changed | Kind::Unchanged if holds && lowered(one).is_some() => Outcome::Contested,
        Kind::Added | Kind::Removed | Kind::Restarted | Kind::Changed | Kind::Unchanged => Outcome::Nothing,
    }
}

/// Its priority, if it is less than before.
fn lowered(one: &Change) -> Option<u8> {
    let (now, then) = one.priority_now.zip(one.priority_then)?;
    (then < now).then_some(then)
}

fn details(one: &Change) -> Vec<String> {
    let mut lines = Vec::new();
    if one.change == Kind::Restarted {
        lines.push("given up, then begun anew as a backup".to_owned());
    }
    // Keys that are told of below are not named twice.
    let keys: Vec<&str> = one.keys.iter().map(String::as_str).filter(|key| *key != "addresses").collect();
    if !keys.is_empty() {
        lines.push(keys.join(", "));
    }
    lines.extend(one.addresses_removed.iter().map(|address| format!("- {address}")));
    lines.extend(one.addresses_added.iter().map(|address| format!("+ {address}")));
    if lines.is_empty() && one.keys.iter().any(|key| key == "addresses") {
        lines.push("how or where addresses go in".to_owned());
    }
    if let (Some(Role::Master), Some(then)) = (one.now, lowered(one)) {
        lines.push(format!("another node with more than {then}, if there is one, takes over"));
    }
    for step in &one.transitions {
        lines.push(format!("{} {}: {}", words(step.to), after(step.after_ms), step.reason));
    }
    lines
}

fn after(ms: f64) -> String {
    if ms < 1.0 { "at once".to_owned() } else { format!("after {}", millis(ms)) }
}

fn role(role: Option<Role>) -> String {
    role.map_or_else(|| "-".to_owned(), words)
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Added => "added",
        Kind::Removed => "removed",
        Kind::Changed => "changed",
        Kind::Restarted => "restarted",
        Kind::Unchanged => "same",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::plan::{GroupChange, Step};
    use crate::agent::report::SCHEMA;
    use crate::agent::stamp::Stamp;

    fn change(name: &str, change: Kind, now: Option<Role>, then: Option<Role>) -> Change {
        let (name, priority) = (name.to_owned(), now.map(|_| 150));
        Change {
            name,
            change,
            now,
            then,
            priority_now: priority,
            priority_then: priority,
            keys: Vec::new(),
            addresses_added: Vec::new(),
            addresses_removed: Vec::new(),
            transitions: Vec::new(),
        }
    }

    fn plan(instances: Vec<Change>) -> Plan {
        let (node, time) = ("lb1".to_owned(), Stamp::now());
        let (dangers, warnings, checks) = (Vec::new(), Vec::new(), Vec::new());
        let (groups, others) = (Vec::new(), Vec::new());
        Plan { schema: SCHEMA, node, time, dangers, warnings, instances, groups, checks, others }
    }

    #[test]
    fn what_changes_is_told_instance_by_instance() {
        let master = Some(Role::Master);
        let web = Change {
            keys: vec!["priority 150 -> 140".to_owned(), "addresses".to_owned()],
            addresses_added: vec!["192.0.2.11/24".to_owned()],
            priority_then: Some(140),
            ..change("web", Kind::Changed, master, master)
        };
        let reason = "no master heard for 3609 ms".to_owned();
        let ftp = Change {
            addresses_added: vec!["192.0.2.30/24".to_owned()],
            transitions: vec![Step { to: Role::Master, after_ms: 3609.4, reason }],
            ..change("ftp", Kind::Added, None, master)
        };
        let mail = Change {
            addresses_removed: vec!["192.0.2.20/24".to_owned()],
            ..change("mail", Kind::Removed, master, None)
        };
        let same = change("dns", Kind::Unchanged, master, master);
        let vpn = Change {
            keys: vec!["virtual_router_id 51 -> 61".to_owned()],
            transitions: vec![
                Step { to: Role::Backup, after_ms: 0.0, reason: "listening for a master".to_owned() },
                Step { to: Role::Master, after_ms: 3609.4, reason: "no master heard for 3609 ms".to_owned() },
            ],
            ..change("vpn", Kind::Restarted, master, master)
        };
        let ntp = change("ntp", Kind::Unchanged, master, Some(Role::Backup));
        let mut plan = plan(vec![web, same, ftp, vpn, ntp, mail]);
        plan.checks = vec!["nginx".to_owned()];
        plan.others = vec!["metrics.listen none -> 127.0.0.1:9113".to_owned()];
        let keys = vec!["members + web".to_owned(), "track".to_owned()];
        plan.groups = vec![GroupChange { name: "site".to_owned(), change: Kind::Changed, keys }];
        plan.dangers = vec!["instance 'web': version changes".to_owned()];
        let expected = "\
new.yaml: a reload would add 1 instance, remove 1 instance, restart 1 instance,
change 1 instance and change 3 other settings; mail would be given up, ntp would
change hands, web would change hands if another node has the better claim then,
vpn would be interrupted.
CHANGE     INSTANCE  NOW     THEN    WHAT
changed    web       MASTER  MASTER  priority 150 -> 140
           + 192.0.2.11/24
           another node with more than 140, if there is one, takes over
added      ftp       -       MASTER  + 192.0.2.30/24
           MASTER after 3609 ms: no master heard for 3609 ms
restarted  vpn       MASTER  MASTER  given up, then begun anew as a backup
           virtual_router_id 51 -> 61
           BACKUP at once: listening for a master
           MASTER after 3609 ms: no master heard for 3609 ms
same       ntp       MASTER  BACKUP
removed    mail      MASTER  -       - 192.0.2.20/24
group site changed: members + web, track
checks: nginx
besides: metrics.listen none -> 127.0.0.1:9113
needs --force: instance 'web': version changes [V0601]
";
        assert_eq!(render(&plan, "new.yaml"), expected);
    }

    #[test]
    fn a_file_that_says_the_same_changes_nothing() {
        let plan = plan(vec![change("web", Kind::Unchanged, Some(Role::Master), Some(Role::Master))]);
        assert_eq!(render(&plan, "new.yaml"), "new.yaml: a reload would change nothing.\n");
    }
}
