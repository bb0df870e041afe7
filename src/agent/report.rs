//! The report that the control API gives and `vipctl` reads: the shape of `status --json`, schema 1.
//!
//! Keys are never renamed or removed within a schema; new ones may appear. Units are in the keys, enumerations in
//! lower case, timestamps RFC 3339 in UTC. Apart from what fills it in, because programs depend on it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use counted::{Configuration, Counters, LateTurns, Lateness, Runs, Transitions};
pub use finding::{Finding, Severity};
pub use near::{Gap, Gaps, NearMisses, percent};

use super::drains::Drain;
use super::stamp::Stamp;
use crate::engine::notice::State;
use crate::time::Duration;

mod counted;
mod finding;
mod near;

/// The version of this shape.
pub const SCHEMA: u32 = 1;

/// Everything about one agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The host's name.
    pub node: String,
    /// When the report was made.
    pub time: Stamp,
    /// The one word that a script asks for.
    pub health: Health,
    /// What is not as it should be, as sentences, the worst first.
    pub problems: Vec<String>,
    /// The same and what is advised, each with its code.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// The agent itself.
    pub agent: Agent,
    /// Every instance, in the configuration's order.
    pub instances: Vec<Instance>,
    /// Every sync group, in the configuration's order.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Every check, in the configuration's order.
    pub checks: Vec<Check>,
    /// Whoever is told of changes.
    #[serde(default)]
    pub notifiers: Vec<Notifier>,
    /// Adverts that no instance could be found for, by reason.
    pub discarded: BTreeMap<String, u64>,
    /// What the agent warns of, each a problem, too; and what the configuration warns of, which is none.
    pub warnings: Vec<String>,
}

/// How things stand, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing to say.
    Healthy,
    /// A warning that is no advice, a fault or a failing check.
    Degraded,
    /// No master is known for an instance.
    NoHolder,
    /// Another host says that it is master of an instance that is master here.
    DuplicateHolder,
}

/// The agent's process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: Stamp,
    /// How late its protocol loop was at worst since then.
    pub worst_late_ms: f64,
    /// The priority under `SCHED_FIFO` of that loop, if it has one.
    #[serde(default)]
    pub realtime_priority: Option<u8>,
    /// Whether its memory stays in memory.
    #[serde(default)]
    pub memory_locked: bool,
    /// How late the turns of that loop began.
    #[serde(default)]
    pub loop_lateness: Lateness,
    /// Log lines dropped because nobody read them.
    pub log_lines_dropped: u64,
    /// Events lost because the protocol thread told more than was taken.
    #[serde(default)]
    pub events_lost: u64,
    /// The configuration in force.
    #[serde(default)]
    pub configuration: Configuration,
    /// The newest event's number.
    pub newest_event: u64,
}

/// The state of an instance or a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the states of RFC 9568, 6.3, and FAULT")]
pub enum Role {
    Master,
    Backup,
    Fault,
    Init,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// The operator's label.
    pub name: String,
    /// Where it stands: master only if all its routers are.
    pub state: Role,
    /// Since when.
    pub since: Stamp,
    /// Why.
    pub reason: String,
    /// The sync group that it is in.
    #[serde(default)]
    pub group: Option<String>,
    /// The interface.
    pub interface: String,
    /// The virtual router identifier.
    pub virtual_router_id: u8,
    /// The protocol version.
    pub version: u8,
    /// What it bids with.
    pub priority: Priority,
    /// The time between adverts.
    pub advert_interval_ms: f64,
    /// What becomes of its addresses if the agent dies.
    #[serde(default)]
    pub lease: Lease,
    /// Whether packets for its addresses are for this host.
    #[serde(default)]
    pub accept: bool,
    /// Whether the operator has asked it to step down.
    pub stepped_down: bool,
    /// Since when and until when it is kept away from this node, if it is.
    #[serde(default)]
    pub drained: Option<Drain>,
    /// How often it became master.
    pub times_master: u64,
    /// How often it changed its state, by states and reason.
    #[serde(default)]
    pub transitions: Vec<Transitions>,
    /// Who else acts as master, if it was heard lately.
    pub duplicate: Option<Duplicate>,
    /// One a family.
    pub routers: Vec<Router>,
    /// The links of its virtual routers' own, if it has a virtual MAC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub virtual_links: Vec<VirtualLink>,
    /// The virtual addresses, in the configuration's order.
    pub addresses: Vec<Address>,
    /// The routes and rules, in the configuration's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Path>,
    /// The checks that bear on it.
    pub tracks: Vec<Track>,
}

/// A link with a virtual router's own Ethernet address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualLink {
    /// `ipv4` or `ipv6`: the family whose addresses are there.
    pub family: String,
    /// What it is called, or will be.
    pub name: String,
    /// Its Ethernet address.
    pub mac_address: String,
    /// Whether it is up, as a master's, or down.
    pub state: LinkState,
    /// Why it is not as it should be.
    pub trouble: Option<String>,
}

/// The state of such a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// The addresses answer there.
    Up,
    /// Nothing is sent from there.
    Down,
    /// There is no such link.
    Missing,
}

/// Instances that are master together, or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The operator's label.
    pub name: String,
    /// Where its members stand.
    pub state: Role,
    /// Since when.
    pub since: Stamp,
    /// Why, as the member says that it is about.
    pub reason: String,
    /// The names of its instances.
    pub members: Vec<String>,
    /// The checks that bear on every member.
    pub tracks: Vec<Track>,
}

/// A route or rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// It, in words.
    pub path: String,
    /// Whether it is in the kernel.
    pub installed: bool,
    /// Why it is not although it should be.
    pub trouble: Option<String>,
}

/// Whether addresses answer only as long as adverts go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// Whether they do.
    pub enabled: bool,
    /// How long they answer after the last advert.
    pub extension_ms: f64,
}

/// A priority before and after tracks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    /// As configured, or as the file says that is.
    pub configured: u8,
    /// The file that it stands in, if that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// As adverts carry it.
    pub effective: u8,
}

/// Another host that acts as master of an instance that is master here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// Its address and priority, or its Ethernet address and the address it claims.
    pub who: String,
    /// When it was last heard.
    pub heard: Stamp,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Router {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Its own state.
    pub state: Role,
    /// Where its adverts come from.
    pub source: Option<IpAddr>,
    /// The master as far as it knows: itself, or who was last heard.
    pub master: Option<Master>,
    /// The interval by which it judges the master's silence.
    pub master_interval_ms: f64,
    /// How long a silence ends the master's role.
    pub master_down_ms: f64,
    /// What it counted since it started.
    pub counters: Counters,
    /// How close it came to taking over as a backup.
    #[serde(default)]
    pub near_misses: NearMisses,
}

/// A master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Master {
    /// The source address of its adverts.
    pub address: IpAddr,
    /// The priority in them.
    pub priority: u8,
    /// When the last one was received, or sent if it is ours.
    pub heard: Stamp,
}

/// One virtual address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// As configured, with its prefix.
    pub address: String,
    /// The interface, if it is not the instance's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Whether adverts list it.
    #[serde(default = "yes")]
    pub advertised: bool,
    /// Whether it is in the kernel and ours.
    pub installed: bool,
    /// Why it is not although it should be.
    pub trouble: Option<String>,
}

/// A check's bearing on an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The check's name.
    pub check: String,
    /// What it does.
    #[serde(flatten)]
    pub effect: Effect,
    /// What it says; none until its first verdict.
    pub up: Option<bool>,
    /// Since when.
    pub since: Stamp,
    /// Its value, if it has one.
    #[serde(default)]
    pub value: Option<i32>,
    /// What it adds to the priority now.
    #[serde(default)]
    pub adds: i32,
    /// Whether it bears on the instance now.
    pub effective: bool,
}

/// What a check does to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// FAULT while it is down, or its value is not 0.
    Fault,
    /// FAULT while it is up, or its value is 0.
    FaultWhileUp,
    /// Changes the priority: a negative weight while it is down, a positive one while it is up.
    Weight {
        /// What is added.
        weight: i16,
    },
    /// The same, but taken away instead of added.
    ReversedWeight {
        /// What is taken away.
        weight: i16,
    },
    /// Its value, times a number, is added to the priority; -254 and less is FAULT.
    Multiply {
        /// The number.
        by: i16,
    },
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The operator's name for it.
    pub name: String,
    /// `http`, `tcp`, `script`, `process`, `file`, `value_file` or `interface`.
    pub kind: String,
    /// What it looks at: a URL, a port, a command, ..
    pub target: String,
    /// Its verdict; none until the first.
    pub up: Option<bool>,
    /// Since when; none until the first.
    pub since: Option<Stamp>,
    /// Its value, if it has one.
    #[serde(default)]
    pub value: Option<i32>,
    /// The verdict that its delay keeps from counting.
    #[serde(default)]
    pub pending: Option<Pending>,
    /// When it last had a result.
    pub last_run: Option<Stamp>,
    /// Whether that result was good.
    pub last_ok: Option<bool>,
    /// What that result saw.
    pub last_result: Option<String>,
    /// What the last bad result saw, even if things are good again.
    pub last_error: Option<String>,
    /// How long the last run took.
    pub latency_ms: Option<f64>,
    /// How its runs ended.
    #[serde(default)]
    pub runs: Runs,
    /// The beginning of what a script wrote in its last run.
    pub output: Option<String>,
}

/// A verdict that has to stand for a while before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The verdict.
    pub up: bool,
    /// When it counts if it stands until then.
    pub at: Stamp,
}

/// One notifier: a program, a FIFO, a server, or the mail server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifier {
    /// `script`, `command`, `fifo`, `webhook` or `mail`.
    pub kind: String,
    /// Where the news go: a command line, a path, a server.
    pub target: String,
    /// The instance whose changes it is told, if it is one's.
    pub instance: Option<String>,
    /// The group, if it is one's.
    pub group: Option<String>,
    /// How many news it took since the agent started.
    pub delivered: u64,
    /// How many it did not.
    pub failed: u64,
    /// How many were not told because too many waited.
    pub dropped: u64,
    /// How many wait, with the one that is being told.
    pub waiting: usize,
    /// What was last told, or not.
    pub last: Option<Told>,
}

/// The end of one piece of news.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whom it was about.
    pub about: String,
    /// `MASTER`, `BACKUP`, ..
    pub state: String,
    /// When.
    pub time: Stamp,
    /// Whether it was taken.
    pub ok: bool,
    /// What came of it: an exit status and the last line, a status, a reason.
    pub result: String,
}

impl Report {
    /// The first line of `vipctl status`.
    pub fn verdict(&self) -> String {
        let all = self.instances.len();
        let masters = self.instances.iter().filter(|i| i.state == Role::Master).count();
        let tally = match (masters, all) {
            (_, 0) => "No instances are configured.".to_owned(),
            (1, 1) => "The one instance is master here.".to_owned(),
            (0, 1) => "The one instance is not master here.".to_owned(),
            (1, all) => format!("1 of {all} instances is master here."),
            (masters, all) => format!("{masters} of {all} instances are master here."),
        };
        let problems = match self.problems.len() {
            0 => String::new(),
            1 => " There is 1 problem.".to_owned(),
            n => format!(" There are {n} problems."),
        };
        format!("{}: {}. {tally}{problems}", self.node, self.health.words())
    }

    /// What is as it should not be until the configuration is written otherwise, but calls for nobody now.
    pub fn advice(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().filter(|warning| !self.problems.contains(warning))
    }

    /// How many instances are master here, for systemd: `2 of 3 masters`.
    pub fn tally(&self) -> String {
        let masters = self.instances.iter().filter(|i| i.state == Role::Master).count();
        format!("{masters} of {} masters", self.instances.len())
    }

    /// The sync group with this name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// Whether an instance is what `name` names: it, or else the group that it is in.
    pub fn means(&self, name: &str, instance: &Instance) -> bool {
        match self.instance(name) {
            Some(named) => named.name == instance.name,
            None => instance.group.as_deref() == Some(name),
        }
    }

    /// The instance called `name`.
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.name == name)
    }
}

impl Priority {
    /// Where the one before tracks comes from.
    pub fn origin(&self) -> String {
        self.file.as_ref().map_or_else(|| "configured".to_owned(), |file| format!("as {file} says"))
    }
}

impl Health {
    /// As the verdict says it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::NoHolder => "no holder",
            Self::DuplicateHolder => "duplicate holder",
        }
    }
}

impl Instance {
    /// The master's address as far as any of its routers knows.
    pub fn master(&self) -> Option<&Master> {
        self.routers.iter().find_map(|router| router.master.as_ref())
    }
}

impl From<State> for Role {
    fn from(state: State) -> Self {
        match state {
            State::Init => Self::Init,
            State::Backup => Self::Backup,
            State::Master => Self::Master,
            State::Fault => Self::Fault,
        }
    }
}

impl From<Role> for State {
    fn from(role: Role) -> Self {
        match role {
            Role::Init => Self::Init,
            Role::Backup => Self::Backup,
            Role::Master => Self::Master,
            Role::Fault => Self::Fault,
        }
    }
}

/// What reports of older agents leave out.
const fn yes() -> bool {
    true
}

/// A duration in milliseconds with three decimals.
pub fn millis(duration: Duration) -> f64 {
    // A report shows at most hours: 2^52 microseconds are 142 years.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^52 microseconds")]
    let micros = duration.as_micros() as f64;
    micros / 1000.0
}
