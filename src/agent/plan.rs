//! What a reload would do: `POST /plan`, which changes nothing.
//!
//! What differs is read off the two configurations; what comes of it a copy of the engine says that is handed the other
//! one (`engine::foresight`). What other nodes would do is not known: backups are silent.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::report::{Role, SCHEMA, millis};
use super::stamp::Stamp;
use crate::config::{self, Config};
use crate::engine::Engine;
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
    /// The names of checks that would be added, removed or changed.
    pub checks: Vec<String>,
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
    let stands = |status: &Status, name: &str| {
        let found = status.instances.iter().find(|one| one.name == name);
        found.map(|one| (Role::from(one.state), one.effective.get())).unzip()
    };
    let (olds, news) = (&old.settings.instances, &new.settings.instances);
    let gone = olds.iter().filter(|old| !news.iter().any(|new| new.name == old.name));
    let pairs = news.iter().map(|new| (olds.iter().find(|old| old.name == new.name), Some(new)));
    let pairs = pairs.chain(gone.map(|old| (Some(old), None)));
    let instances = pairs.map(|(old, new)| {
        let name = new.or(old).map_or(String::new(), |one| one.name.clone());
        let (now_is, priority_now) = stands(&before, &name);
        let (then, priority_then) = if new.is_some() { stands(&ahead.status, &name) } else { (None, None) };
        let transitions = steps(&name, now, &ahead);
        let change = difference(name, old, new);
        Change { now: now_is, then, priority_now, priority_then, transitions, ..change }
    });
    Plan {
        schema: SCHEMA,
        node: node.to_owned(),
        time: Stamp::now(),
        dangers: config::dangerous_changes(old, new),
        warnings: new.warnings.iter().map(ToString::to_string).collect(),
        instances: instances.collect(),
        checks: checks(old, new),
    }
}

/// After this nothing more comes of a reload by itself, if those that are heard go on.
fn settled_within(config: &Config) -> Duration {
    let of_one = |one: &Instance| one.preempt.delay() + (one.sign_of_life() + one.longest_skew()) * 2;
    let longest = config.settings.instances.iter().map(of_one).max().unwrap_or_default();
    longest + config.settings.startup_delay + Duration::from_secs(1)
}

fn steps(name: &str, now: Instant, ahead: &Foresight) -> Vec<Step> {
    let step = |(at, to, reason): (Instant, State, &Reason)| Step {
        to: to.into(),
        after_ms: millis(at.since(now)),
        reason: reason.to_string(),
    };
    ahead.transitions(name).map(step).collect()
}

fn difference(name: String, old: Option<&Instance>, new: Option<&Instance>) -> Change {
    let nets = |one: Option<&Instance>| -> Vec<String> {
        one.into_iter().flat_map(|one| &one.addresses).map(|address| address.net.to_string()).collect()
    };
    let (before, after) = (nets(old), nets(new));
    let missing = |all: &[String], from: &[String]| -> Vec<String> {
        all.iter().filter(|net| !from.contains(net)).cloned().collect()
    };
    let keys = match (old, new) {
        (Some(old), Some(new)) => keys(old, new),
        _ => Vec::new(),
    };
    let change = match (old, new) {
        (None, _) => Kind::Added,
        (_, None) => Kind::Removed,
        (Some(old), Some(new)) if old == new => Kind::Unchanged,
        (Some(_), Some(_)) => Kind::Changed,
    };
    Change {
        name,
        change,
        now: None,
        then: None,
        priority_now: None,
        priority_then: None,
        keys,
        addresses_added: missing(&after, &before),
        addresses_removed: missing(&before, &after),
        transitions: Vec::new(),
    }
}

/// The keys, as the configuration names them, in which two instances differ; with both values where these are short.
fn keys(old: &Instance, new: &Instance) -> Vec<String> {
    let changed = |key: &str, old: String, new: String| (old != new).then(|| format!("{key} {old} -> {new}"));
    let differs = |key: &str, differs: bool| differs.then(|| key.to_owned());
    let interval = |one: &Instance| format!("{:?}", one.interval);
    let found = [
        changed("interface", old.interface.clone(), new.interface.clone()),
        changed("virtual_router_id", old.vrid.to_string(), new.vrid.to_string()),
        differs("version", old.version != new.version),
        changed("priority", old.priority.to_string(), new.priority.to_string()),
        changed("advert_interval", interval(old), interval(new)),
        changed("missed_adverts", old.missed_adverts.to_string(), new.missed_adverts.to_string()),
        differs("addresses", old.addresses != new.addresses),
        differs("multicast", old.multicast != new.multicast),
        differs("routes or rules", old.paths != new.paths),
        differs("unicast", old.unicast != new.unicast),
        differs("preempt or preempt_delay", old.preempt != new.preempt),
        differs("last_resort", old.last_resort != new.last_resort),
        differs("damping", old.damping != new.damping),
        differs("track", old.tracks != new.tracks),
        differs("authentication", old.authentication != new.authentication || old.hmac != new.hmac),
        differs("checksum", old.checksum != new.checksum),
        differs("announce", old.announce != new.announce),
        differs("lease", old.lease != new.lease),
        differs("follow_interface", old.follow_interface != new.follow_interface),
        differs("accept", old.accept != new.accept),
        differs("virtual_mac", old.virtual_mac != new.virtual_mac),
    ];
    found.into_iter().flatten().collect()
}

fn checks(old: &Config, new: &Config) -> Vec<String> {
    let same = |name: &str| {
        let of = |config: &Config| {
            let told = config.settings.checks.iter().find(|check| check.name == name).cloned();
            (told, config.checks.iter().find(|check| check.name == name).cloned())
        };
        of(old) == of(new)
    };
    let names = old.settings.checks.iter().chain(&new.settings.checks).map(|check| check.name.clone());
    let names: BTreeSet<String> = names.collect();
    names.into_iter().filter(|name| !same(name)).collect()
}
