//! `vipctl status --watch`: the rows of `status`, one a change, across restarts of the agent.

use std::collections::BTreeMap;

use super::client::{Client, Trouble};
use super::output::{Colour, complain, say};
use super::status::{Row, only, overview, tone, unknown, words};
use super::{Exit, leftovers};
use crate::agent::report::{Report, Role};
use crate::agent::stamp::Stamp;
use crate::time::Duration;

/// The pause before asking again an agent that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches until nobody reads any more.
pub(super) async fn run(client: &Client, name: Option<&str>, json: bool) -> Exit {
    let mut watch = Watch { name, json, shown: None, complaint: None };
    loop {
        match watch.follow(client).await {
            Ok(Some(exit)) => return exit,
            Ok(None) => {}
            Err(trouble @ Trouble::NotAllowed(_)) => {
                complain(&trouble.to_string());
                return Exit::NotAllowed;
            }
            Err(trouble) => watch.lose(&trouble),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Watch<'a> {
    name: Option<&'a str>,
    json: bool,
    shown: Option<Shown>,
    /// What was said last about an agent that does not answer.
    complaint: Option<String>,
}

/// What the reader knows.
#[derive(Default)]
struct Shown {
    verdict: String,
    rows: BTreeMap<String, Row>,
    groups: BTreeMap<String, Role>,
}

impl Watch<'_> {
    /// Until the stream ends; an exit if nobody reads or nothing can be watched.
    async fn follow(&mut self, client: &Client) -> Result<Option<Exit>, Trouble> {
        let (report, text) = client.report().await?;
        if let Some(name) = self.name
            && report.instance(name).is_none()
            && report.group(name).is_none()
        {
            return Ok(Some(unknown(name, &report)));
        }
        let mut lines =
            client.follow(&format!("/events?follow=true&since={}", report.agent.newest_event)).await?;
        if self.complaint.take().is_some() {
            // The last thing said was that there is no agent.
            self.shown = None;
        }
        if !self.show(&report, &text) {
            return Ok(Some(Exit::Ok));
        }
        // However it ends, asking again will tell why.
        while let Ok(Some(_)) = lines.next().await {
            let (report, text) = client.report().await?;
            if !self.show(&report, &text) {
                return Ok(Some(Exit::Ok));
            }
        }
        Ok(None)
    }

    fn lose(&mut self, trouble: &Trouble) {
        let text = leftovers::text(trouble, &leftovers::find());
        if self.complaint.as_ref() != Some(&text) {
            complain(&text);
            self.complaint = Some(text);
        }
    }

    /// Prints what is new; answers whether anybody still reads.
    fn show(&mut self, report: &Report, json: &[u8]) -> bool {
        let (verdict, report) = (report.verdict(), watched(report, self.name));
        let rows = report.instances.iter().map(|one| (one.name.clone(), Row::new(one, &report))).collect();
        let groups = report.groups.iter().map(|group| (group.name.clone(), group.state)).collect();
        let next = Shown { verdict, rows, groups };
        let text = match (&self.shown, self.name) {
            (None, _) if !self.json => overview(&report, Colour::of_stdout()),
            (Some(shown), _) if !self.json => changes(shown, &next, report.time),
            (Some(shown), _) if !differs(shown, &next) => String::new(),
            (None | Some(_), Some(name)) => only(json, name),
            (None | Some(_), None) => format!("{}\n", String::from_utf8_lossy(json).trim_end()),
        };
        self.shown = Some(next);
        text.is_empty() || say(&text)
    }
}

/// The report with what is watched only: everything, an instance, or a group and its members.
fn watched(report: &Report, name: Option<&str>) -> Report {
    let mut part = report.clone();
    if let Some(name) = name {
        part.instances.retain(|instance| report.means(name, instance));
        part.groups.retain(|group| report.instance(name).is_none() && group.name == name);
    }
    part
}

fn differs(shown: &Shown, next: &Shown) -> bool {
    shown.verdict != next.verdict || !changes(shown, next, Stamp::now()).is_empty()
}

/// A line for each row that is not as it was, and one for a new verdict.
fn changes(shown: &Shown, next: &Shown, time: Stamp) -> String {
    let (colour, time) = (Colour::of_stdout(), time.time_of_day());
    let same = |row: &Row| {
        let is = |old: &Row| (old.state, &old.master, &old.why) == (row.state, &row.master, &row.why);
        shown.rows.get(&row.name).is_some_and(is)
    };
    let changed = next.rows.values().filter(|row| !same(row)).map(|row| {
        let state = colour.paint(tone(row.state), &format!("{:6}", words(row.state)));
        format!("{time}  {}  {state}  {}  {}\n", row.name, row.master, row.why)
    });
    let groups = next.groups.iter().filter(|(name, state)| shown.groups.get(*name) != Some(*state));
    let groups = groups.map(|(name, state)| {
        format!("{time}  group {name}  {}\n", colour.paint(tone(*state), &words(*state)))
    });
    let gone = shown.rows.keys().filter(|name| !next.rows.contains_key(*name));
    let gone = gone.map(|name| format!("{time}  {name}  is not configured any more\n"));
    let verdict = (shown.verdict != next.verdict).then(|| format!("{time}  {}\n", next.verdict));
    changed.chain(groups).chain(gone).chain(verdict).collect()
}
