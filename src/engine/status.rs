//! The one picture of the engine that everybody reads: the command line, metrics, notifications and tests.
//!
//! Times are instants; whoever shows them renders them.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::near::Nearness;
use super::notice::{Discard, Reason, State};
use super::settings::Effect;
use crate::codes::Warning;
use crate::net::{Family, IpNet, Mac, Priority, Vrid};
use crate::time::{Duration, Instant};
use crate::wire::vrrp::{ChecksumForm, Version};

/// The engine at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The moment.
    pub at: Instant,
    /// Every instance, in the configuration's order.
    pub instances: Vec<InstanceStatus>,
    /// Every sync group, in the configuration's order.
    pub groups: Vec<GroupStatus>,
    /// Every check, by name.
    pub checks: Vec<CheckStatus>,
    /// Datagrams discarded before they could be attributed to an instance.
    pub discarded: BTreeMap<Discard, u64>,
    /// What someone should look at.
    pub warnings: Vec<Warning>,
}

/// One sync group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The operator's label.
    pub name: String,
    /// Where its members stand.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// Why, as the member says that it is about.
    pub reason: Reason,
    /// The names of its instances.
    pub members: Vec<String>,
    /// The checks that bear on every member.
    pub tracks: Vec<TrackStatus>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceStatus {
    /// The operator's label.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// Why.
    pub reason: Reason,
    /// The sync group that it is in.
    pub group: Option<String>,
    /// The interface's name.
    pub interface: String,
    /// The virtual router identifier.
    pub vrid: Vrid,
    /// The protocol version.
    pub version: Version,
    /// The priority as configured.
    pub configured: Priority,
    /// The priority in adverts.
    pub effective: Priority,
    /// The configured time between adverts.
    pub interval: Duration,
    /// Whether, and for how long, the addresses answer after an advert only.
    pub lease: LeaseStatus,
    /// Whether packets for the addresses are for this host; for an owner's they always are.
    pub accept: bool,
    /// Whether the operator has asked it to step down.
    pub stepped_down: bool,
    /// How often it became master.
    pub times_master: u64,
    /// How often it changed its state, by what it left, what it went to, and [`Reason::kind`].
    pub transitions: BTreeMap<(State, State, &'static str), u64>,
    /// One a family.
    pub routers: Vec<RouterStatus>,
    /// The links of the virtual routers' own, one a family, if it has any.
    pub virtual_links: Vec<VirtualLinkStatus>,
    /// The virtual addresses, in the configuration's order.
    pub addresses: Vec<AddressStatus>,
    /// The routes and rules, in the configuration's order.
    pub paths: Vec<PathStatus>,
    /// The checks that bear on it.
    pub tracks: Vec<TrackStatus>,
    /// Who else said last that it was master or had an address, while this instance was master.
    pub duplicate: Option<Duplicate>,
}

/// What becomes of the addresses if the agent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Whether they answer on a lease: configured, not an owner's, and as far as is known in force.
    pub enabled: bool,
    /// How long they answer after the last advert.
    pub extension: Duration,
}

/// Another holder of what this instance holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// When it last said so.
    pub at: Instant,
    /// Its address and priority, or the address it claims and its Ethernet address.
    pub who: String,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterStatus {
    /// Its family.
    pub family: Family,
    /// Its own state.
    pub state: State,
    /// Where its adverts come from.
    pub source: Option<IpAddr>,
    /// The master as far as it knows: itself, or who was last heard.
    pub master: Option<MasterStatus>,
    /// The interval by which it judges the master's silence.
    pub master_interval: Duration,
    /// How long a silence ends the master's role.
    pub master_down: Duration,
    /// What it counted.
    pub counters: Counters,
    /// How close it came to taking over.
    pub near: Nearness,
    /// From which share of the timer on that is a near miss, in hundredths.
    pub near_miss_percent: u8,
}

/// Who is master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MasterStatus {
    /// The source address of its adverts.
    pub address: IpAddr,
    /// The priority in them.
    pub priority: Priority,
    /// When the last one was received; for ourselves, sent.
    pub heard: Instant,
}

/// What a virtual router counted since it started.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Adverts sent, once a destination.
    pub sent: u64,
    /// Adverts accepted.
    pub received: u64,
    /// Adverts that could not be sent.
    pub send_failures: u64,
    /// Priority-0 adverts sent.
    pub resigned: u64,
    /// Priority-0 adverts received.
    pub resignations: u64,
    /// IPv4 version 3 adverts received with each checksum form: with pseudo-header, message only.
    pub checksum_forms: [u64; 2],
    /// Adverts accepted whose addresses are not ours.
    pub address_mismatches: u64,
    /// Adverts accepted for their signature, and without one, where signatures are configured.
    pub signed: [u64; 2],
    /// Adverts discarded.
    pub discarded: BTreeMap<Discard, u64>,
}

impl Counters {
    /// Counts one IPv4 version 3 advert's checksum form.
    pub fn count_form(&mut self, form: ChecksumForm) {
        match form {
            ChecksumForm::PseudoHeader => self.checksum_forms[0] += 1,
            ChecksumForm::Message => self.checksum_forms[1] += 1,
        }
    }
}

/// A link of a virtual router's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualLinkStatus {
    /// The family whose addresses are there.
    pub family: Family,
    /// What it is called, or will be.
    pub name: String,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Whether it is up; `None`: it is not there.
    pub up: Option<bool>,
    /// Why it is not as it should be.
    pub trouble: Option<String>,
}

/// One virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressStatus {
    /// As configured.
    pub net: IpNet,
    /// The interface it is configured for, if that is not the instance's.
    pub interface: Option<String>,
    /// Whether adverts list it.
    pub advertised: bool,
    /// Whether it is in the kernel, ours.
    pub installed: bool,
    /// Why it is not although it should be.
    pub trouble: Option<String>,
}

/// One route or rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStatus {
    /// It, in words.
    pub path: String,
    /// Whether it is in the kernel, ours.
    pub installed: bool,
    /// Why it is not although it should be.
    pub trouble: Option<String>,
}

/// One tracked check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackStatus {
    /// The check's name.
    pub check: String,
    /// What it does to the instance.
    pub effect: Effect,
    /// What it says; `None` until its first verdict.
    pub up: Option<bool>,
    /// Since when.
    pub since: Instant,
    /// Its value, if it has one.
    pub value: Option<i32>,
    /// What it adds to the priority now.
    pub adds: i32,
    /// Whether it bears on the instance now.
    pub effective: bool,
}

/// One check, tracked or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckStatus {
    /// Its name.
    pub name: String,
    /// What it says; `None` until its first verdict.
    pub up: Option<bool>,
    /// Since when.
    pub since: Instant,
    /// Its value, if it has one.
    pub value: Option<i32>,
    /// What it will say.
    pub pending: Option<Pending>,
}

/// A verdict that has to stand for a while before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The verdict.
    pub up: bool,
    /// When it counts if it stands until then.
    pub at: Instant,
}
