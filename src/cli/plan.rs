//! `vipctl plan FILE`: what a reload would do, before it does.

use std::path::Path;

use super::Exit;
use super::client::Client;
use super::events::failed;
use super::output::{answer, complain, millis};
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
    let mut lines = vec![format!("{file}: {}", verdict(plan))];
    let changes: Vec<&Change> = plan.instances.iter().filter(|one| one.change != Kind::Unchanged).collect();
    let width = changes.iter().map(|one| one.name.chars().count()).max().unwrap_or(0).max(8);
    let row = |change: &str, name: &str, now: &str, then: &str, what: &str| {
        format!("{change:7}  {name:width$}  {now:6}  {then:6}  {what}").trim_end().to_owned()
    };
    if !changes.is_empty() {
        lines.push(row("CHANGE", "INSTANCE", "NOW", "THEN", "WHAT"));
    }
    for one in changes {
        let mut what = details(one).into_iter();
        let first = what.next().unwrap_or_default();
        lines.push(row(kind(one.change), &one.name, &role(one.now), &role(one.then), &first));
        lines.extend(what.map(|more| row("", "", "", "", &more)));
    }
    if !plan.checks.is_empty() {
        lines.push(format!("checks: {}", plan.checks.join(", ")));
    }
    lines.extend(plan.dangers.iter().map(|danger| format!("needs --force: {danger} [{}]", Code::PeersDeaf)));
    lines.extend(plan.warnings.iter().map(|warning| format!("advice: {warning}")));
    lines.push(String::new());
    lines.join("\n")
}

/// The sentence that sums it up.
fn verdict(plan: &Plan) -> String {
    let changed = plan.instances.iter().filter(|one| one.change != Kind::Unchanged).count();
    if changed == 0 && plan.checks.is_empty() {
        return "a reload would change nothing.".to_owned();
    }
    let moved: Vec<&str> =
        plan.instances.iter().filter(|one| moves(one)).map(|one| one.name.as_str()).collect();
    let moved = match moved.as_slice() {
        [] => "no address would change hands".to_owned(),
        names => format!("{} would change hands", names.join(", ")),
    };
    let all = plan.instances.len();
    let noun = if all == 1 { "instance" } else { "instances" };
    format!("a reload would change {changed} of {all} {noun}; {moved}.")
}

/// Whether it is master now and not then, or on the way.
fn moves(one: &Change) -> bool {
    one.now == Some(Role::Master) && (one.then != Some(Role::Master) || !one.transitions.is_empty())
        || one.now != Some(Role::Master) && one.then == Some(Role::Master) && one.change != Kind::Added
}

fn details(one: &Change) -> Vec<String> {
    let mut lines = Vec::new();
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
    if let (Some(Role::Master), Some(now), Some(then)) = (one.now, one.priority_now, one.priority_then)
        && then < now
    {
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
        Kind::Unchanged => "same",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::plan::Step;
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
        Plan { schema: SCHEMA, node, time, dangers, warnings, instances, checks }
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
        let mut plan = plan(vec![web, same, ftp, mail]);
        plan.checks = vec!["nginx".to_owned()];
        plan.dangers = vec!["instance 'web': version changes".to_owned()];
        let expected = "\
new.yaml: a reload would change 3 of 4 instances; mail would change hands.
CHANGE   INSTANCE  NOW     THEN    WHAT
changed  web       MASTER  MASTER  priority 150 -> 140
                                   + 192.0.2.11/24
                                   another node with more than 140, if there is one, takes over
added    ftp       -       MASTER  + 192.0.2.30/24
                                   MASTER after 3609 ms: no master heard for 3609 ms
removed  mail      MASTER  -       - 192.0.2.20/24
checks: nginx
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
