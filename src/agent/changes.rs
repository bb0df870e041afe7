//! What changed, made of the events on disk: the answer to `GET /history` and `vipctl history --json`, schema 1.
//!
//! The agent makes it of its own files, and `vipctl` makes the same of them where no agent answers.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::archive::read;
use super::history::Line;
use super::record::Record;
use super::report::Role;
use super::stamp::Stamp;

/// How many changes an answer holds, the newest.
pub const MOST: usize = 4096;

/// What changed since a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// 1.
    pub schema: u32,
    /// The host's name.
    pub node: String,
    /// When this was put together.
    pub time: Stamp,
    /// From when on.
    pub since: Stamp,
    /// The time of the oldest event on disk; none if there is none.
    pub kept_since: Option<Stamp>,
    /// Older changes since then that this does not hold, because there are too many.
    pub left_out: u64,
    /// Events of any kind since then that were not kept.
    pub lost: u64,
    /// The changes, oldest first.
    pub changes: Vec<Change>,
}

/// One change, or something to know with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub time: Stamp,
    /// The instance; none for a group or the agent as a whole.
    pub instance: Option<String>,
    /// The sync group, if it is a group's change.
    pub group: Option<String>,
    /// The state before; none if it is no change of state.
    pub from: Option<Role>,
    /// The state after.
    pub to: Option<Role>,
    /// Why, as one word.
    pub reason_kind: String,
    /// Why, in a sentence.
    pub reason: String,
    /// For how long nobody was heard as master, where that is known.
    pub gap_ms: Option<f64>,
    /// Who took over, where that is known.
    pub successor: Option<String>,
}

/// Reads the files of a state directory: what changed since then, of one instance or group or of all.
pub fn read(directory: &Path, node: String, name: Option<&str>, since: Stamp) -> io::Result<Changes> {
    let mut found = Found { name, ..Found::default() };
    let kept_since = read::each(directory, since, |line| found.hear(line))?;
    let Found { left_out, lost, changes, .. } = found;
    let (schema, time, changes) = (1, Stamp::now(), changes.into());
    Ok(Changes { schema, node, time, since, kept_since, left_out, lost, changes })
}

#[derive(Debug, Default)]
struct Found<'a> {
    name: Option<&'a str>,
    left_out: u64,
    lost: u64,
    changes: VecDeque<Change>,
}

impl Found<'_> {
    fn hear(&mut self, line: Line) {
        match &line.record {
            Record::Lost { count } => self.lost += count,
            Record::HandedOver { to, after_ms } => self.complete(&line, &to.to_string(), *after_ms),
            _ => {}
        }
        let Some(change) = change(line).filter(|change| self.is_meant(change)) else { return };
        if self.changes.len() >= MOST {
            self.changes.pop_front();
            self.left_out += 1;
        }
        self.changes.push_back(change);
    }

    /// What happened to the agent as a whole bears on every instance.
    fn is_meant(&self, change: &Change) -> bool {
        let is_general = change.instance.is_none() && change.group.is_none();
        self.name.is_none_or(|name| is_general || change.is_about(name))
    }

    /// The successor of a hand-over is known after it.
    fn complete(&mut self, line: &Line, successor: &str, after_ms: f64) {
        let left =
            |change: &&mut Change| change.instance == line.instance && change.from == Some(Role::Master);
        if let Some(change) = self.changes.iter_mut().rev().find(left) {
            change.gap_ms = Some(after_ms);
            change.successor = Some(successor.to_owned());
        }
    }
}

/// What changed on this node, before this agent and since: of files first, then of what comes.
#[derive(Debug, Default)]
pub struct Gathered {
    sequence: u64,
    found: Found<'static>,
}

impl Gathered {
    /// What the files of a state directory tell from `since` on, up to the event `first` with that number and time, which
    /// is the first of those to come; nothing if they cannot be read. Not up to its time: news of the engine are numbered
    /// when they are recorded, which may be after something that happened later.
    pub fn of(directory: &Path, since: Stamp, first: Option<(u64, Stamp)>) -> Self {
        let first = first.map(|(sequence, time)| (sequence, time.milliseconds()));
        let since_ms = since.milliseconds();
        if first.is_some_and(|(_, time)| time < since_ms) {
            return Self::default();
        }
        let mut found = Found::default();
        let mut is_over = false;
        let hear = |line: Line| {
            // A file has milliseconds only.
            is_over |= Some((line.sequence, line.time.milliseconds())) == first;
            if !is_over {
                found.hear(line);
            }
        };
        match read::each(directory, since, hear) {
            Ok(_) => Self { sequence: 0, found },
            Err(_) => Self::default(),
        }
    }

    /// Takes in an event of this agent's.
    pub fn hear(&mut self, line: Line) {
        self.sequence = line.sequence;
        self.found.hear(line);
    }

    /// The number of the newest event of this agent's that it knows.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Up to `most` changes, oldest first.
    pub fn newest(&self, most: usize) -> impl Iterator<Item = &Change> {
        let changes = &self.found.changes;
        changes.iter().skip(changes.len().saturating_sub(most))
    }
}

/// A line as a change, if it is one.
fn change(line: Line) -> Option<Change> {
    let Line { time, instance, record, text, .. } = line;
    let told = |reason_kind: &str| Change {
        time,
        instance: instance.clone(),
        group: None,
        from: None,
        to: None,
        reason_kind: reason_kind.to_owned(),
        reason: text,
        gap_ms: None,
        successor: None,
    };
    Some(match record {
        Record::Transition { from, to, reason, reason_kind, silence_ms } => {
            let (from, to) = (Some(from), Some(to));
            Change { from, to, reason, gap_ms: silence_ms, ..told(&reason_kind) }
        }
        Record::GroupTransition { group, from, to, reason, reason_kind } => {
            let (from, to, group) = (Some(from), Some(to), Some(group));
            Change { group, from, to, reason, ..told(&reason_kind) }
        }
        Record::Started { .. } => told("agent_started"),
        Record::Stopping => told("agent_stopping"),
        Record::HandedOn => told("agent_handed_on"),
        Record::Reloaded { .. } => told("reloaded"),
        Record::Asked { .. } => told("asked"),
        Record::Drill { .. } => told("drill"),
        Record::DrainOver => told("drain_over"),
        Record::Damped { .. } => told("damped"),
        Record::LeaseOver => told("lease_over"),
        Record::NearMiss { gap_ms, .. } => Change { gap_ms: Some(gap_ms), ..told("near_miss") },
        _ => return None,
    })
}

impl Change {
    /// Whether it is this instance's or this group's.
    pub fn is_about(&self, name: &str) -> bool {
        self.instance.as_deref() == Some(name) || self.group.as_deref() == Some(name)
    }

    /// Whether the addresses came or went with it: who goes on with what an agent before had is no news to anybody.
    pub fn is_of_hands(&self) -> bool {
        let is_master = |role: Option<Role>| role == Some(Role::Master);
        self.instance.is_some() && is_master(self.from) != is_master(self.to) && self.reason_kind != "adopted"
    }
}
