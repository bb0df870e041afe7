//! `vipctl history`: what changed, as the agent's files on disk know it; without an agent as they are read here.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::client::{Client, Trouble};
use super::events::failed;
use super::output::{Colour, Tone, answer, complain, millis};
use super::paragraph::{self, WIDTH};
use super::span::{self, Since};
use super::status::{tone, words};
use super::{Exit, completion};
use crate::agent::archive;
use crate::agent::changes::{self, Change, Changes};
use crate::agent::stamp::Stamp;

/// What is asked for.
#[derive(Debug, Args)]
pub(super) struct Request {
    /// Only this instance, or this group.
    #[arg(add = completion::instances_and_groups())]
    name: Option<String>,
    /// From when on: 30m, 24h, 7d, or a moment as 2026-11-22T10:00:00Z.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = span::since)]
    since: Since,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Where the files are, if no agent answers.
    #[arg(long, value_name = "DIR", default_value = archive::DIRECTORY)]
    state_directory: PathBuf,
}

/// Prints what changed.
pub(super) async fn run(client: &Client, request: &Request) -> Exit {
    let since = request.since.moment(Stamp::now());
    let name = request.name.as_deref();
    if let Some(name) = name.filter(|name| !is_name(name)) {
        complain(&format!("'{name}' is no instance's and no group's name."));
        return Exit::Usage;
    }
    let about = name.map(|name| format!("name={name}&")).unwrap_or_default();
    let asked = client.changes(&format!("/history?{about}since={since}")).await;
    let (changes, has_agent) = match asked {
        Ok(changes) => (changes, true),
        Err(trouble @ Trouble::NotRunning(_)) => match found(&request.state_directory, name, since) {
            Ok(changes) => (changes, false),
            Err(error) => return unreadable(&trouble, &request.state_directory, &error),
        },
        Err(trouble) => return failed(&trouble),
    };
    if let Some(name) =
        name.filter(|name| !has_agent && !changes.changes.iter().any(|one| one.is_about(name)))
    {
        complain(&format!(
            "No agent answers, and in the files in {} there is no '{name}'.",
            request.state_directory.display()
        ));
        return Exit::Usage;
    }
    let text = if request.json {
        serde_json::to_string(&changes).map(|text| text + "\n").unwrap_or_default()
    } else {
        if !has_agent {
            complain("No agent answers; this is what it wrote before it ended.");
        }
        render(&changes, request, Colour::of_stdout())
    };
    answer(&text, Exit::Ok)
}

/// What the configuration admits as a name.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn found(directory: &Path, name: Option<&str>, since: Stamp) -> io::Result<Changes> {
    let node = nix::unistd::gethostname().map_err(io::Error::from)?;
    changes::read(directory, node.to_string_lossy().into_owned(), name, since)
}

fn unreadable(trouble: &Trouble, directory: &Path, error: &io::Error) -> Exit {
    complain(&format!("{trouble}, and its files in {} cannot be read: {error}.", directory.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NotAllowed,
        _ => Exit::Unavailable,
    }
}

fn render(changes: &Changes, request: &Request, colour: Colour) -> String {
    let mut text = verdict(&changes.changes, request.name.as_deref(), request.since);
    if let Some(from) = changes.kept_since.filter(|from| *from > changes.since) {
        writeln!(text, "Nothing is known from before {}.", from.day_and_time()).unwrap_or_default();
    }
    if changes.left_out > 0 {
        writeln!(text, "{} older changes are not shown.", changes.left_out).unwrap_or_default();
    }
    if changes.lost > 0 {
        writeln!(text, "{} events were too many, or the disk refused them, and are lost.", changes.lost)
            .unwrap_or_default();
    }
    text.push_str(&table(&changes.changes, colour));
    text
}

/// Who changed hands, and how often.
fn verdict(changes: &[Change], name: Option<&str>, since: Since) -> String {
    let since = since.words();
    let of = |name: &str| {
        changes.iter().filter(|one| one.is_of_hands() && one.instance.as_deref() == Some(name)).count()
    };
    let mut names: Vec<_> =
        changes.iter().filter(|one| one.is_of_hands()).filter_map(|one| one.instance.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    match (name, names.as_slice()) {
        (Some(name), []) => format!("{name} did not change hands {since}.\n"),
        (None, []) => format!("Nothing changed hands {since}.\n"),
        (_, [one]) => format!("{one} changed hands {} {since}.\n", times(of(one))),
        (_, several) => {
            let each: Vec<_> = several.iter().map(|one| format!("{one} {}", times(of(one)))).collect();
            let whole = format!("Changed hands {since}: {}.\n", each.join(", "));
            if whole.len() <= WIDTH + 1 {
                return whole;
            }
            let count: usize = several.iter().map(|one| of(one)).sum();
            format!("{} instances changed hands {since}, together {}.\n", several.len(), times(count))
        }
    }
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn table(changes: &[Change], colour: Colour) -> String {
    let Some((first, last)) = changes.first().zip(changes.last()) else { return String::new() };
    let has_years = year(first.time) != year(last.time);
    let about = |one: &Change| match (&one.instance, &one.group) {
        (Some(name), _) => name.clone(),
        (None, Some(group)) => format!("group {group}"),
        (None, None) => "-".to_owned(),
    };
    let gap = |one: &Change| one.gap_ms.map_or_else(|| "-".to_owned(), millis);
    let widest = |header: &str, cell: &dyn Fn(&Change) -> String| {
        changes.iter().map(|one| cell(one).chars().count()).max().unwrap_or(0).max(header.len())
    };
    let time = if has_years { 19 } else { 14 };
    let (name, gaps) = (widest("INSTANCE", &about), widest("GAP", &gap));
    let left = time + name + gaps + 2 * STATE + 10;
    let reason = WIDTH.saturating_sub(left).max(NARROWEST);
    let header = format!(
        "{:time$}  {:name$}  {:STATE$}  {:STATE$}  {:reason$}  GAP",
        "TIME (UTC)", "INSTANCE", "FROM", "TO", "REASON"
    );
    let mut text = colour.paint(Tone::Quiet, &header) + "\n";
    for one in changes {
        let state = |role| match role {
            None => format!("{:STATE$}", "-"),
            Some(role) => colour.paint(tone(role), &format!("{:STATE$}", words(role))),
        };
        let shown = one.time.to_string().replace('T', " ");
        let shown = shown.get(if has_years { 0..19 } else { 5..19 }).unwrap_or_default();
        let mut sentence = paragraph::lines(&sentence(one), reason).into_iter();
        let line = format!(
            "{shown}  {:name$}  {}  {}  {:reason$}  {}",
            about(one),
            state(one.from),
            state(one.to),
            sentence.next().unwrap_or_default(),
            gap(one)
        );
        text.push_str(line.trim_end());
        text.push('\n');
        for rest in sentence {
            let before = left - gaps - 2;
            writeln!(text, "{:before$}{rest}", "").unwrap_or_default();
        }
    }
    text
}

/// Why, and who has it now.
fn sentence(one: &Change) -> String {
    match &one.successor {
        Some(successor) => format!("{}; {successor} took over", one.reason),
        None => one.reason.clone(),
    }
}

fn year(time: Stamp) -> String {
    time.to_string().chars().take(4).collect()
}

/// `MASTER`, `BACKUP`.
const STATE: usize = 6;
/// Below this a reason cannot be read.
const NARROWEST: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::report::Role;

    fn change(time: &str, from: Role, to: Role, reason: &str, gap_ms: Option<f64>) -> Change {
        Change {
            time: time.parse().unwrap(),
            instance: Some("web".to_owned()),
            group: None,
            from: Some(from),
            to: Some(to),
            reason_kind: "x".to_owned(),
            reason: reason.to_owned(),
            gap_ms,
            successor: None,
        }
    }

    #[test]
    fn the_verdict_comes_first_and_nothing_is_wider_than_a_terminal() {
        let mut changes = vec![
            change(
                "2026-11-22T01:50:12.123Z",
                Role::Backup,
                Role::Master,
                "no master heard for 361 ms",
                Some(361.0),
            ),
            change(
                "2026-11-22T02:10:00Z",
                Role::Master,
                Role::Backup,
                "handing over: serving until the successor is heard",
                Some(4.2),
            ),
        ];
        changes[1].successor = Some("192.0.2.2".to_owned());
        let since = Since::Ago(crate::time::Duration::from_secs(86_400));
        assert_eq!(verdict(&changes, None, since), "web changed hands 2 times in the last 24 h.\n");
        let expected = "\
TIME (UTC)      INSTANCE  FROM    TO      REASON                          GAP
11-22 01:50:12  web       BACKUP  MASTER  no master heard for 361 ms      361 ms
11-22 02:10:00  web       MASTER  BACKUP  handing over: serving until     4.2 ms
                                          the successor is heard;
                                          192.0.2.2 took over
";
        let table = table(&changes, Colour::Never);
        assert_eq!(table, expected);
        assert!(table.lines().all(|line| line.len() <= WIDTH), "{table}");
    }

    #[test]
    fn what_did_not_change_hands_is_said_and_many_are_counted() {
        let since = Since::Moment("2026-11-22T00:00:00Z".parse().unwrap());
        assert_eq!(
            verdict(&[], Some("web"), since),
            "web did not change hands since 2026-11-22 00:00:00 UTC.\n"
        );
        assert_eq!(verdict(&[], None, since), "Nothing changed hands since 2026-11-22 00:00:00 UTC.\n");
        let changes: Vec<_> = (0..20)
            .map(|number| Change {
                instance: Some(format!("instance-{number}")),
                ..change("2026-11-22T01:50:12Z", Role::Backup, Role::Master, "", None)
            })
            .collect();
        let said = verdict(&changes, None, since);
        assert_eq!(said, "20 instances changed hands since 2026-11-22 00:00:00 UTC, together 20 times.\n");
        assert_eq!(verdict(&changes[..2], None, since).matches(" once").count(), 2);
    }
}
