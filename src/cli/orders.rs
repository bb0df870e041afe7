//! `vipctl reload`, `step-down` and `resume`: orders, and for those that give addresses away what came of it.

use std::collections::BTreeSet;

use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::Exit;
use super::client::{Client, Lines, Trouble};
use super::events::failed;
use super::output::{complain, millis, say};
use super::status::master;
use crate::agent::api::{Accepted, ReloadOrder, TargetOrder};
use crate::agent::history::Line;
use crate::agent::record::Record;
use crate::agent::report::{Instance, Report, Role};
use crate::time::Duration;

/// How long a new program may take until it answers.
const UPGRADE: Duration = Duration::from_secs(10);
/// How often it is asked.
const PAUSE: Duration = Duration::from_millis(20);

/// How long to wait for a successor beyond two adverts, within which the agent itself gives up.
const PATIENCE: Duration = Duration::from_secs(3);

/// Puts the file in force.
pub(super) async fn reload(client: &Client, force: bool) -> Exit {
    match client.order::<Accepted>("/reload", &ReloadOrder { force }).await {
        Ok(accepted) => {
            accepted.warnings.iter().for_each(|warning| complain(warning));
            Exit::Ok
        }
        Err(trouble) => {
            let exit = failed(&trouble);
            if matches!(&trouble, Trouble::Refused(_, refusal) if !refusal.dangers.is_empty()) {
                complain(
                    "Change both nodes' files first; then 'vipctl reload --force' on one after the other.",
                );
            }
            exit
        }
    }
}

/// Has another program go on, and waits until it answers.
pub(super) async fn upgrade(client: &Client) -> Exit {
    match upgraded(client).await {
        Ok(Some(version)) => {
            say(&format!("vipd {version} goes on\n"));
            Exit::Ok
        }
        Ok(None) => {
            complain("The new program does not answer.");
            Exit::Unavailable
        }
        Err(trouble) => failed(&trouble),
    }
}

/// The version of the agent that goes on, if one does in time.
async fn upgraded(client: &Client) -> Result<Option<String>, Trouble> {
    let (before, _) = client.report().await?;
    order(client, "/upgrade", &()).await?;
    let until = Instant::now() + UPGRADE;
    while Instant::now() < until {
        match client.report().await {
            Ok((after, _)) if after.agent.started != before.agent.started => {
                return Ok(Some(after.agent.version));
            }
            // Nobody listens between the two.
            Ok(_) | Err(_) => sleep(PAUSE).await,
        }
    }
    Ok(None)
}

/// Takes a step-down back.
pub(super) async fn resume(client: &Client, target: &TargetOrder) -> Exit {
    match client.order::<Accepted>("/resume", target).await {
        Ok(accepted) => {
            accepted.warnings.iter().for_each(|warning| complain(warning));
            Exit::Ok
        }
        Err(trouble) => failed(&trouble),
    }
}

/// Has instances elsewhere, and waits until they are.
pub(super) async fn step_down(client: &Client, target: &TargetOrder) -> Exit {
    give_away(client, target, "/step-down", target).await
}

/// Gives an order by which instances are to go elsewhere, and waits until they are.
pub(super) async fn give_away(
    client: &Client,
    target: &TargetOrder,
    path: &str,
    body: &impl Serialize,
) -> Exit {
    match handed_over(client, target, path, body).await {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::TryAgain,
        Err(trouble) => failed(&trouble),
    }
}

async fn order(client: &Client, path: &str, body: &impl Serialize) -> Result<u64, Trouble> {
    client.order::<Accepted>(path, body).await.map(|accepted| accepted.sequence)
}

/// Whether somebody has taken over everything that was master here.
async fn handed_over(
    client: &Client,
    target: &TargetOrder,
    path: &str,
    body: &impl Serialize,
) -> Result<bool, Trouble> {
    let (report, _) = client.report().await?;
    let sequence = order(client, path, body).await?;
    let lines = client.follow(&format!("/events?follow=true&since={sequence}")).await?;
    let mut waiting = Waiting::new(&report, target);
    let until = Instant::now() + waiting.patience;
    waiting.watch(lines, until).await?;
    if !waiting.left.is_empty() {
        let (report, _) = client.report().await?;
        waiting.settle(&report);
    }
    Ok(waiting.all_gone)
}

/// What is still to be heard of.
struct Waiting {
    /// Instances that were master and have not handed over yet.
    left: BTreeSet<String>,
    patience: Duration,
    all_gone: bool,
}

impl Waiting {
    /// Says at once what needs no waiting.
    fn new(report: &Report, target: &TargetOrder) -> Self {
        let mut left = BTreeSet::new();
        let mut slowest: f64 = 0.0;
        let name = target.instance.as_deref().unwrap_or_default();
        let group = report.instance(name).map_or(Some(name), |named| named.group.as_deref());
        let meant = |one: &&Instance| {
            target.all || one.name == name || (group.is_some() && one.group.as_deref() == group)
        };
        for one in report.instances.iter().filter(meant) {
            if one.state == Role::Master {
                left.insert(one.name.clone());
                slowest = slowest.max(one.advert_interval_ms);
            } else {
                say(&format!("{}: was not master here; the master is {}\n", one.name, master(one)));
            }
        }
        let patience = PATIENCE + Duration::from_secs_f64(slowest.min(60_000.0) * 2.0 / 1000.0);
        Self { left, patience, all_gone: true }
    }

    async fn watch(&mut self, mut lines: Lines, until: Instant) -> Result<(), Trouble> {
        while !self.left.is_empty() {
            match timeout_at(until, lines.next()).await {
                Ok(Ok(Some(line))) => {
                    if let Ok(line) = serde_json::from_str(&line) {
                        self.hear(&line);
                    }
                }
                Ok(Ok(None)) | Err(_) => return Ok(()),
                Ok(Err(trouble)) => return Err(trouble),
            }
        }
        Ok(())
    }

    fn hear(&mut self, line: &Line) {
        let Some(name) = &line.instance else { return };
        if !self.left.contains(name) {
            return;
        }
        let outcome = match &line.record {
            Record::HandedOver { to, after_ms } => format!("{to} took over after {}", millis(*after_ms)),
            Record::Transition { to: Role::Fault, reason, .. } => format!("is in FAULT now: {reason}"),
            Record::NobodyTookOver => {
                self.all_gone = false;
                "nobody took over; still master".to_owned()
            }
            _ => return,
        };
        say(&format!("{name}: {outcome}\n"));
        self.left.remove(name);
    }

    /// What can be said when time is up.
    fn settle(&mut self, report: &Report) {
        for name in std::mem::take(&mut self.left) {
            let Some(one) = report.instance(&name) else { continue };
            match (one.state, one.master()) {
                (Role::Master, _) => say(&format!("{name}: nobody took over; still master\n")),
                (_, Some(master)) => say(&format!("{name}: {} took over\n", master.address)),
                (_, None) => say(&format!("{name}: resigned, and nobody has been heard yet\n")),
            };
            self.all_gone &= one.state != Role::Master && one.master().is_some();
        }
    }
}
