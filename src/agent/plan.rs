//! What a reload would do: `POST /plan`, which changes nothing.
//!
//! What differs is read off the two configurations (`config::differences`); what comes of it a copy of the engine says
//! that is handed the other one (`engine::foresight`). What other nodes would do is not known: backups are silent.

use serde::{Deserialize, Serialize};

use super::report::{Role, SCHEMA, millis};
use super::stamp::Stamp;
use crate::config::differences::{self, Pair};
use crate::config::{self, Config};
use crate::engine::Engine;
use crate::engine::action::InstanceId;
use crate::engine::foresight::{Foresight, Supposition};
use crate::engine::notice::{Reason, State};
use crate::engine::settings::Instance;
use crate::engine::status::Status;
use crate::time::{Duration, Instant};

/// The body of `POST /plan`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanOrder {
    /// Where the text comes from, for what is said of it.
    pub file: String,
    /// The configuration as written.
    pub text: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this shape.
    pub schema: u32,
    /// The host's name.
    pub node: String,
    /// When this was so.
    pub time: Stamp,
    /// What a reload refuses without `--force`.
    pub dangers: Vec<String>,
    /// What the configuration warns of.
    pub warnings: Vec<String>,
    /// Every instance of either configuration: those of the new one in its order, then those that go.
    pub instances: Vec<Change>,
    /// The sync groups that differ.
    #[serde(default)]
    pub groups: Vec<GroupChange>,
    /// The names of checks that would be added, removed or changed.
    pub checks: Vec<String>,
    /// The other keys that differ, with both values where these are short.
    #[serde(default)]
    pub others: Vec<String>,
}

/// What would become of a sync group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupChange {
    /// Its name.
    pub name: String,
    /// What would happen to it.
    pub change: Kind,
    /// The keys that differ.
    pub keys: Vec<String>,
}

/// What would become of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What would happen to it.
    pub change: Kind,
    /// Its state now, if it is there.
    pub now: Option<Role>,
    /// Its state when things have settled, if it is there then and no better router is heard that is silent now.
    pub then: Option<Role>,
    /// The priority it bids with now.
    pub priority_now: Option<u8>,
    /// The priority it would bid with. Another node with more, which is silent now, would take over from less.
    pub priority_then: Option<u8>,
    /// The keys that differ.
    pub keys: Vec<String>,
    /// The addresses that come.
    pub addresses_added: Vec<String>,
    /// The addresses that go.
    pub addresses_removed: Vec<String>,
    /// The changes of its state on the way.
    pub transitions: Vec<Step>,
}

/// What a reload does to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is new.
    Added,
    /// It goes.
    Removed,
    /// It goes on with other settings.
    Changed,
    /// It is given up, and another virtual router of its name begun.
    Restarted,
    /// Nothing of it differs.
    Unchanged,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// To what.
    pub to: Role,
    /// How long after the reload.
    pub after_ms: f64,
    /// Why.
    pub reason: String,
}

/// Looks at what `new` would do in the place of `old`.
pub fn plan(node: &str, old: &Config, new: &Config, engine: &Engine, now: Instant) -> Plan {
    let supposition = Supposition::Reload(Box::new(new.settings.clone()));
    let before = engine.status(now);
    let ahead = engine.foresee(now, supposition, settled_within(new));
    let numbers: Vec<(InstanceId, &str)> = engine.numbers().collect();
    let change = |pair: Pair<'_>| {
        let keys = differences::instance_keys(pair, old, new);
        let (now_is, priority_now) = pair.before().map_or((None, None), |old| standing(&before, &old.name));
        let (then, priority_then) =
            pair.after().map_or((None, None), |new| standing(&ahead.status, &new.name));
        let (addresses_added, addresses_removed) = addresses(pair);
        Change {
            name: pair.after().or(pair.before()).map_or_else(String::new, |one| one.name.clone()),
            change: kind(pair, &keys),
            now: now_is,
            then,
            priority_now,
            priority_then,
            keys,
            addresses_added,
            addresses_removed,
            transitions: steps(pair, now, &ahead, &numbers),
        }
    };
    Plan {
        schema: SCHEMA,
        node: node.to_owned(),
        time: Stamp::now(),
        dangers: config::dangerous_changes(old, new),
        warnings: new.warnings.iter().map(ToString::to_string).collect(),
        instances: differences::pairs(old, new).into_iter().map(change).collect(),
        groups: differences::groups(old, new).into_iter().map(group).collect(),
        checks: differences::checks(old, new),
        others: differences::others(old, new),
    }
}

fn kind(pair: Pair<'_>, keys: &[String]) -> Kind {
    match pair {
        Pair::Added(_) => Kind::Added,
        Pair::Removed(_) => Kind::Removed,
        Pair::Restarted(..) => Kind::Restarted,
        Pair::Same(..) if keys.is_empty() => Kind::Unchanged,
        Pair::Same(..) => Kind::Changed,
    }
}

fn group((name, was, is, keys): (String, bool, bool, Vec<String>)) -> GroupChange {
    let change = match (was, is) {
        (false, _) => Kind::Added,
        (true, false) => Kind::Removed,
        (true, true) => Kind::Changed,
    };
    GroupChange { name, change, keys }
}

fn standing(status: &Status, name: &str) -> (Option<Role>, Option<u8>) {
    let found = status.instances.iter().find(|one| one.name == name);
    found.map(|one| (Role::from(one.state), one.effective.get())).unzip()
}

/// After this nothing more comes of a reload by itself, if those that are heard go on.
fn settled_within(config: &Config) -> Duration {
    let of_one = |one: &Instance| one.preempt.delay() + (one.sign_of_life() + one.longest_skew()) * 2;
    let longest = config.settings.instances.iter().map(of_one).max().unwrap_or_default();
    longest + config.settings.startup_delay + Duration::from_secs(1)
}

/// The changes of its state, but for what passes in a moment: the start and the end of a virtual router.
fn steps(pair: Pair<'_>, now: Instant, ahead: &Foresight, numbers: &[(InstanceId, &str)]) -> Vec<Step> {
    let step = |(at, to, reason): (Instant, State, &Reason)| Step {
        to: to.into(),
        after_ms: millis(at.since(now)),
        reason: reason.to_string(),
    };
    let lasts = |(_, _, reason): &(Instant, State, &Reason)| !reason.is_passing();
    match pair {
        Pair::Same(old, _) | Pair::Removed(old) => {
            let number = numbers.iter().find(|(_, name)| *name == old.name).map(|(number, _)| *number);
            let found = number.into_iter().flat_map(|number| ahead.transitions_of(number));
            found.filter(lasts).map(step).collect()
        }
        Pair::Added(new) | Pair::Restarted(_, new) => {
            let known: Vec<InstanceId> = numbers.iter().map(|(number, _)| *number).collect();
            ahead.transitions_beside(&new.name, &known).filter(lasts).map(step).collect()
        }
    }
}

/// The addresses that come, and those that go.
fn addresses(pair: Pair<'_>) -> (Vec<String>, Vec<String>) {
    let nets = |one: Option<&Instance>| -> Vec<String> {
        one.into_iter().flat_map(|one| &one.addresses).map(|address| address.net.to_string()).collect()
    };
    let (before, after) = (nets(pair.before()), nets(pair.after()));
    let missing = |all: &[String], from: &[String]| -> Vec<String> {
        all.iter().filter(|net| !from.contains(net)).cloned().collect()
    };
    (missing(&after, &before), missing(&before, &after))
}
