//! What one agent leaves to the next one on the same host. A value: whoever keeps it between the two, and where, is not
//! the engine's business; and what the kernel alone knows of it is filled in before it is handed over.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::action::{Datagram, InstanceId, Place};
use super::settings::Instance as Settings;
use crate::net::{Family, Vrid};
use crate::proto::health::Verdict;
use crate::time::{Duration, Instant};
use crate::wire::vrrp::Version;

/// Everything that is left.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Inheritance {
    /// Every instance, in the configuration's order.
    pub instances: Vec<Inherited>,
    /// The last word of each check.
    pub checks: BTreeMap<String, Verdict>,
    /// The last value of each check that has one.
    pub values: BTreeMap<String, i32>,
    /// Whether the agent ended on purpose, so that another one can go on.
    pub handed_on: bool,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// What makes it the same virtual router.
    pub identity: Identity,
    /// The operator's label.
    pub name: String,
    /// The number that its gates are known by.
    pub id: InstanceId,
    /// The last time as master that a lease was asked for.
    pub term: u64,
    /// Whether the operator had asked it to step down.
    pub stepped_down: bool,
    /// When it was last adopted itself from an agent that fell, the oldest first.
    pub adoptions: Vec<Instant>,
    /// What it held; none if it was not master.
    pub estate: Option<Estate>,
}

/// What makes an instance the same to the network, whatever its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The interface's name.
    pub interface: String,
    /// The virtual router identifier.
    pub vrid: Vrid,
    /// The protocol version.
    pub version: Version,
    /// The sources that unicast is configured with; none for multicast.
    pub sources: Option<Vec<IpAddr>>,
    /// The families of its addresses, IPv4 first.
    pub families: Vec<Family>,
    /// Whether its addresses are on links of its own.
    pub virtual_mac: bool,
}

/// What a master held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estate {
    /// The interval in its adverts.
    pub interval: Duration,
    /// Its addresses, where and in the form in which they were to be.
    pub places: Vec<Place>,
    /// When the lease of each family ends, as the kernel says; a family without one is not in it. Where there are no
    /// addresses nothing in the kernel knows, and it is when others stop waiting for the last advert.
    pub leases: BTreeMap<Family, Instant>,
    /// The adverts that resign in its name.
    pub resignations: Vec<Datagram>,
}

impl Identity {
    /// The identity that a configuration gives.
    pub fn of(settings: &Settings) -> Self {
        Self {
            interface: settings.interface.clone(),
            vrid: settings.vrid,
            version: settings.version,
            sources: settings.unicast.as_ref().map(|unicast| unicast.sources.clone()),
            families: settings.families().collect(),
            virtual_mac: settings.virtual_mac.is_some(),
        }
    }

    /// Whether both are one virtual router: all is the same, but for the families, of which they have one in common.
    pub fn is_same(&self, other: &Self) -> bool {
        self.interface == other.interface
            && self.vrid == other.vrid
            && self.version == other.version
            && self.sources == other.sources
            && self.virtual_mac == other.virtual_mac
            && self.families.iter().any(|family| other.families.contains(family))
    }
}
