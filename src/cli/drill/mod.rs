//! `vipctl drill`: failover on purpose, with consent, and what came of it.
//!
//! | file | what it is |
//! |---|---|
//! | `guards` | when not |
//! | `hand` | the process that does the harm and takes it back, whatever becomes of this one |
//! | `course` | what happens then, step by step |
//! | `wire`, `peer` | what is seen of it: adverts here, an address from another host |
//! | `outcome` | what is said of it |

mod course;
mod guards;
pub(super) mod hand;
mod outcome;
mod peer;
mod wire;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, User, getuid};
use serde::Serialize;

use self::course::Course;
use self::outcome::{Outcome, Predicted};
use self::peer::Peer;
use super::client::{Client, Trouble};
use super::events::failed;
use super::output::{Colour, answer, complain, millis};
use super::{Exit, completion, span, status};
use crate::agent::api::Accepted;
use crate::agent::api::drill::DrillNote;
use crate::agent::explain::Supposed;
use crate::agent::report::{Instance, Report};
use crate::time::Duration;

/// What is done to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The instance is asked to step down, and to resume when somebody has taken over.
    StepDown,
    /// The agent is killed; whoever keeps it (systemd) starts it again.
    Crash,
    /// The agent is stopped, as if it hung, and goes on when somebody has taken over.
    Hang,
    /// Adverts and addresses are cut off, as if the cable were pulled, until somebody has taken over.
    Cut,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::StepDown => "step-down",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Cut => "cut",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::StepDown => "the instance steps down, and resumes afterwards",
            Self::Crash => "the agent is killed",
            Self::Hang => "the agent is stopped, and goes on afterwards",
            Self::Cut => "adverts and addresses are cut off, and joined again afterwards",
        }
    }
}

/// `drill [NAME] --kind KIND ..`.
#[derive(Debug, Args)]
pub(super) struct Request {
    /// The instance; need not be named if there is one only.
    #[arg(add = completion::instances())]
    name: Option<String>,
    /// What to do.
    #[arg(long, value_enum)]
    kind: Kind,
    /// The other node, which ssh reaches: it is asked before, and probes the address.
    #[arg(long, value_name = "ssh://HOST", value_parser = peer::parse)]
    peer: Option<Peer>,
    /// A client's host, which probes the address instead of the other node.
    #[arg(long, value_name = "ssh://HOST", value_parser = peer::parse)]
    from: Option<Peer>,
    /// Probes by connecting to this TCP port instead of echo requests.
    #[arg(long, value_name = "PORT")]
    tcp: Option<u16>,
    /// How long an outage may be: 500ms, 1s.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span::of_pace)]
    objective: Duration,
    /// For how long nothing must have happened: 60s, 1h.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = span::of_pace)]
    settle: Duration,
    /// Does not ask.
    #[arg(long)]
    yes: bool,
    /// Also writes a report, as Markdown.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Why there is no drill.
enum Stop {
    /// Not now.
    Refused(String),
    /// Not so.
    With(Exit, String),
    /// No agent, or it says no.
    Trouble(Trouble),
    /// Said already.
    Said(Exit),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// Runs a drill, if nothing and nobody is against it.
pub(super) async fn run(client: &Client, request: &Request) -> Exit {
    match drill(client, request).await {
        Ok(outcome) => finish(request, &outcome),
        Err(Stop::Refused(why)) => {
            complain(&format!("No drill now: {why}."));
            Exit::TryAgain
        }
        Err(Stop::With(exit, why)) => {
            complain(&format!("{why}."));
            exit
        }
        Err(Stop::Trouble(trouble)) => failed(&trouble),
        Err(Stop::Said(exit)) => exit,
    }
}

fn finish(request: &Request, outcome: &Outcome) -> Exit {
    let exit = if outcome.met { Exit::Ok } else { Exit::Degraded };
    let said = match serde_json::to_string(outcome) {
        Ok(json) if request.json => answer(&format!("{json}\n"), exit),
        _ => answer(&outcome.text(Colour::of_stdout()), exit),
    };
    if let Some(path) = &request.report
        && let Err(error) = std::fs::write(path, outcome.markdown())
    {
        complain(&format!("cannot write {}: {error}.", path.display()));
        return Exit::CannotCreate;
    }
    said
}

async fn drill(client: &Client, request: &Request) -> Result<Outcome, Stop> {
    if !request.yes && !io::stdin().is_terminal() {
        let why = "a drill takes addresses away for a moment: without a terminal to ask at it needs --yes";
        return Err(Stop::With(Exit::Usage, why.to_owned()));
    }
    let (report, _) = client.report().await?;
    let one = chosen(request, &report)?;
    let past = client.changes(&format!("/history?since={}", report.time.minus(request.settle))).await?;
    if let Some(why) = guards::here(&report, &one, &past, request.settle) {
        return Err(Stop::Refused(why));
    }
    let predicted = predicted(client, &one, request.kind).await?;
    let most = Duration::from_secs_f64(predicted.latest_ms / 1000.0);
    let hand = hand::Request::new(request.kind, &one, report.agent.pid, course::longest(most, &one));
    may(request.kind, &report)?;
    if let Some(peer) = &request.peer {
        let theirs = peer.report().await.map_err(Stop::Refused)?;
        if let Some(why) = guards::there(&theirs, &one, peer.name()) {
            return Err(Stop::Refused(why));
        }
    }
    consent(request, &report, &one, predicted)?;
    let adverts = wire::listen(&one).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => needs_root("a drill reads adverts off the interface"),
        _ => Stop::With(Exit::Os, format!("cannot read adverts off {}: {error}", one.interface)),
    })?;
    let mut course = Course::new(client, request, &report, one, predicted, adverts);
    course.begin_probe().await.map_err(Stop::Refused)?;
    note(client, &course.one, request.kind.word().to_owned()).await?;
    let outcome = course.run(&hand).await;
    let word = match &outcome {
        Ok(outcome) => {
            let met = if outcome.met { "met" } else { "not met" };
            let measured = outcome.measured_ms.map_or_else(|| "nobody took over".to_owned(), millis);
            format!("{} ended, objective {met}: {measured}", request.kind.word())
        }
        Err(_) => format!("{} broken off", request.kind.word()),
    };
    if let Err(trouble) = note(client, &course.one, word).await {
        complain(&format!("The end of the drill is not in the agent's history: {trouble}."));
    }
    outcome
}

fn chosen(request: &Request, report: &Report) -> Result<Instance, Stop> {
    match (&request.name, report.instances.as_slice()) {
        (Some(name), _) => match report.instance(name) {
            Some(one) => Ok(one.clone()),
            None => Err(Stop::Said(status::unknown(name, report))),
        },
        (None, [one]) => Ok(one.clone()),
        (None, all) => {
            let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
            Err(Stop::With(Exit::Usage, format!("name the instance to drill: {}", names.join(", "))))
        }
    }
}

/// What `vipctl explain` says of it.
async fn predicted(client: &Client, one: &Instance, kind: Kind) -> Result<Predicted, Stop> {
    let (explanation, _) = client.explanation(&format!("/explain?name={}", one.name)).await?;
    let prospects = explanation.instances.into_iter().filter(|each| each.instance.name == one.name);
    let fits = |supposed: &Supposed| match kind {
        Kind::StepDown => *supposed == Supposed::StepDown,
        Kind::Crash | Kind::Hang | Kind::Cut => *supposed == Supposed::ThisNodeDies,
    };
    let found = prospects.flat_map(|each| each.prospects).find(|prospect| fits(&prospect.supposed));
    found
        .map(|found| Predicted { earliest_ms: found.earliest_ms, latest_ms: found.latest_ms })
        .ok_or_else(|| Stop::Refused(format!("the agent does not say what would become of {}", one.name)))
}

fn needs_root(why: &str) -> Stop {
    Stop::With(Exit::NotAllowed, format!("{why}: become root"))
}

/// Whether this user may do that.
fn may(kind: Kind, report: &Report) -> Result<(), Stop> {
    if kind == Kind::StepDown {
        return Ok(());
    }
    let pid = i32::try_from(report.agent.pid).unwrap_or(i32::MAX);
    match kill(Pid::from_raw(pid), None) {
        Ok(()) if kind == Kind::Cut && !getuid().is_root() => Err(needs_root("a cut changes nftables")),
        Ok(()) => Ok(()),
        Err(Errno::EPERM) => Err(needs_root("this kind of drill signals the agent")),
        Err(_) => Err(Stop::Refused(format!("the agent, pid {pid}, is not to be seen from here"))),
    }
}

/// Asks whoever sits there, or takes `--yes` for it.
fn consent(request: &Request, report: &Report, one: &Instance, predicted: Predicted) -> Result<(), Stop> {
    if request.yes {
        return Ok(());
    }
    let name = &one.name;
    let what = match request.kind {
        Kind::StepDown => "has it step down".to_owned(),
        Kind::Crash => format!("kills the agent (pid {})", report.agent.pid),
        Kind::Hang => format!("stops the agent (pid {}) for a while", report.agent.pid),
        Kind::Cut => "cuts its adverts and addresses off for a while".to_owned(),
    };
    let addresses: Vec<_> = addresses(one).iter().map(ToString::to_string).collect();
    let backup = match &request.peer {
        Some(peer) => format!("{} is a living backup", peer.name()),
        None => "whether a backup lives is not known: --peer would ask it".to_owned(),
    };
    complain(&format!(
        "{name} is MASTER on {}. This drill {what}.\nIf another node takes over, it does so within {}; {backup}.\n\
         {} may not answer meanwhile. Type {name} to go on:",
        report.node,
        millis(predicted.latest_ms),
        addresses.join(", ")
    ));
    let mut typed = String::new();
    match io::stdin().lock().read_line(&mut typed) {
        Ok(_) if typed.trim() == name => Ok(()),
        Ok(_) | Err(_) => Err(Stop::Refused("that is not its name, and nothing was done".to_owned())),
    }
}

async fn note(client: &Client, one: &Instance, note: String) -> Result<(), Trouble> {
    let body = DrillNote { instance: one.name.clone(), note };
    client.order::<Accepted>("/drill", &body).await.map(drop)
}

/// An instance's addresses without their prefixes.
fn addresses(one: &Instance) -> Vec<IpAddr> {
    super::capture::addresses(one).map(|(address, _)| address).collect()
}

/// Who runs this.
fn user() -> String {
    let known = User::from_uid(getuid()).ok().flatten();
    known.map_or_else(|| format!("uid {}", getuid()), |user| user.name)
}
