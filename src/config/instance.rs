//! `instances`: one instance with everything that stands directly below its name.

use std::path::{Path, PathBuf};

use super::addresses::{self, Addresses};
use super::announce;
use super::authentication::{self, Authentication};
use super::damping;
use super::duration;
use super::multicast::{self, Multicast};
use super::notify::{self, Notify};
use super::priority_file::{PriorityFile, read_priority};
use super::problem::At;
use super::read::{Item, Table};
use super::routes;
use super::rules;
use super::scalar;
use super::track::{self, Tracks};
use super::unicast::{self, Unicast};
use super::virtual_mac::{self, VirtualMac};
use crate::engine::near;
use crate::engine::settings::{self, Announce, Damping, Preempt};
use crate::net::{Family, Priority, Vrid};
use crate::time::Duration;
use crate::wire::vrrp::{self, ChecksumForm, Version};

/// What stands under the name of an instance.
pub(super) const KEYS: &[&str] = &[
    "interface",
    "virtual_router_id",
    "addresses",
    "family",
    "routes",
    "rules",
    "priority",
    "priority_file",
    "advert_interval",
    "missed_adverts",
    "near_miss_percent",
    "version",
    "unicast",
    "multicast",
    "preempt",
    "preempt_delay",
    "last_resort",
    "damping",
    "follow_interface",
    "track",
    "authentication",
    "checksum",
    "announce",
    "lease",
    "accept",
    "virtual_mac",
    "notify",
];

/// An instance as written. What is `None` was missing or wrong, and has been noted.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) name: At<String>,
    pub(super) interface: Option<At<String>>,
    pub(super) vrid: Option<At<Vrid>>,
    pub(super) addresses: Addresses,
    /// Absent as well if the addresses say it.
    pub(super) family: Option<At<Family>>,
    /// Routes, then rules; none of either if one was wrong.
    pub(super) paths: Option<Vec<At<settings::Path>>>,
    pub(super) priority: Option<At<Priority>>,
    /// Absent as well if there is to be none; the other is what stood in it.
    pub(super) priority_file: Option<(At<PathBuf>, Result<Priority, String>)>,
    pub(super) interval: Option<At<Duration>>,
    pub(super) missed_adverts: Option<At<u32>>,
    pub(super) near_miss_percent: Option<At<u8>>,
    pub(super) version: Option<At<Version>>,
    /// Absent as well if there is to be multicast.
    pub(super) unicast: Option<At<Unicast>>,
    /// Absent as well if all is as the standards have it.
    pub(super) multicast: Option<At<Multicast>>,
    pub(super) preempt: Option<At<bool>>,
    /// Absent as well if there is to be none.
    pub(super) preempt_delay: Option<At<Duration>>,
    pub(super) last_resort: Option<At<bool>>,
    /// Absent as well if there is to be none.
    pub(super) damping: Option<At<Damping>>,
    pub(super) follow_interface: Option<At<bool>>,
    pub(super) tracks: Tracks,
    /// Absent as well if there is to be none.
    pub(super) authentication: Option<At<Authentication>>,
    /// The second is whether it was written at all.
    pub(super) checksum: Option<(At<ChecksumForm>, bool)>,
    pub(super) announce: Option<At<Announce>>,
    pub(super) lease: Option<At<bool>>,
    pub(super) accept: Option<At<bool>>,
    /// None inside if there is to be none.
    pub(super) virtual_mac: Option<At<Option<VirtualMac>>>,
    /// Absent as well if it is as all others.
    pub(super) notify: Option<At<Notify>>,
}

impl Instance {
    /// Reads an entry of `instances`.
    pub(super) fn read(item: &Item<'_>) -> Option<Self> {
        let name = item.name();
        scalar::judge_name(&name, item.findings);
        let table = item.table("the instance's keys, for example 'interface: eth0'")?;
        table
            .only(KEYS, |key| unicast::KEYS.contains(&key).then(|| "it belongs under 'unicast';".to_owned()));
        let authentication = table.optional("authentication").and_then(authentication::read);
        let interface = table.required("interface", "eth0");
        let interface = interface.and_then(|item| item.read("its name", scalar::interface));
        let id = table.required("virtual_router_id", "51").and_then(|item| item.read("1 to 255", vrid));
        let wanted = table.required("addresses", "[192.0.2.10/24]' or, to have none, 'addresses: []");
        let mut addresses = wanted.and_then(addresses::read).unwrap_or_default();
        let family = table.optional("family").map(|item| item.read("ipv4 or ipv6", family));
        // What is wrong with it has been said.
        addresses.whole &= !matches!(family, Some(None));
        let checksum = table.or("checksum", ChecksumForm::PseudoHeader, read_checksum);
        Some(Self {
            name,
            interface,
            vrid: id,
            addresses,
            family: family.flatten(),
            paths: paths(&table),
            priority: table.or("priority", Priority::DEFAULT, |item| item.read("1 to 255", priority)),
            priority_file: table.optional("priority_file").and_then(priority_file),
            interval: table.or("advert_interval", Duration::from_secs(1), |item| {
                item.read("a duration, for example 1s", duration::parse)
            }),
            missed_adverts: table.or("missed_adverts", 3, |item| item.read("2 to 100", missed_adverts)),
            near_miss_percent: table
                .or("near_miss_percent", near::THRESHOLD, |item| item.read("50 to 100", near_miss_percent)),
            version: table.or("version", Version::V3, |item| item.read("2 or 3", version)),
            unicast: table.optional("unicast").and_then(unicast::read),
            multicast: table.optional("multicast").and_then(multicast::read),
            preempt: table.or("preempt", true, Item::truth),
            preempt_delay: preempt_delay(&table),
            last_resort: table.or("last_resort", false, Item::truth),
            damping: table.optional("damping").and_then(damping::read),
            follow_interface: table.or("follow_interface", true, Item::truth),
            tracks: table.optional("track").map_or(Tracks::NONE, track::read),
            authentication,
            checksum: checksum.map(|form| (form, table.optional("checksum").is_some())),
            announce: table.or("announce", announce::DEFAULT, announce::read),
            lease: table.or("lease", true, Item::truth),
            accept: table.or("accept", true, Item::truth),
            virtual_mac: table.or("virtual_mac", None, virtual_mac::read),
            notify: table.optional("notify").and_then(notify::read),
        })
    }

    /// The families that the addresses need, IPv4 first.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> + '_ {
        [Family::Ipv4, Family::Ipv6].into_iter().filter(|family| self.speaks(*family))
    }

    /// Whether it has a virtual router of this family.
    pub(super) fn speaks(&self, family: Family) -> bool {
        let bare = self.family.as_ref().filter(|_| !self.addresses.are_advertised());
        self.addresses.has(family) || bare.is_some_and(|bare| bare.value == family)
    }

    /// The file that its priority stands in.
    pub(super) fn priority_file(&self) -> Option<PriorityFile> {
        let (path, read) = self.priority_file.as_ref()?;
        let (instance, path) = (self.name.value.clone(), path.value.clone());
        Some(PriorityFile { instance, path, trouble: read.as_ref().err().cloned() })
    }

    /// The names of the links of its own.
    pub(super) fn virtual_links(&self) -> Vec<(Family, String)> {
        let (Some(At { value: Some(virtual_mac), .. }), Some(vrid)) = (&self.virtual_mac, &self.vrid) else {
            return Vec::new();
        };
        let name = virtual_mac.name.as_ref().map(|at| at.value.as_str());
        let named = |(at, family)| (family, settings::virtual_link_name(name, vrid.value, family, at == 0));
        let here =
            |at: &At<settings::Address>, family| at.value.interface.is_none() && at.value.family() == family;
        let housed = |family: &Family| self.addresses.list.iter().any(|at| here(at, *family));
        let families = [Family::Ipv4, Family::Ipv6].into_iter().filter(housed);
        families.enumerate().map(named).collect()
    }

    /// What is true, if everything is there.
    pub(super) fn settings(self) -> Option<settings::Instance> {
        let priority = self.priority_file.and_then(|(_, read)| read.ok());
        let delay = self.preempt_delay.map_or(Duration::ZERO, |at| at.value);
        let interval = self.interval?.value;
        let authentication = self.authentication.map(|at| at.value);
        Some(settings::Instance {
            name: self.name.value,
            interface: self.interface?.value,
            vrid: self.vrid?.value,
            version: self.version?.value,
            priority: priority.or(self.priority.map(|at| at.value))?,
            interval,
            missed_adverts: self.missed_adverts?.value,
            near_miss_percent: self.near_miss_percent?.value,
            addresses: self.addresses.list.into_iter().map(|at| at.value).collect(),
            bare_family: self.family.map(|at| at.value),
            multicast: self.multicast.map(|at| at.value.settings()).unwrap_or_default(),
            paths: self.paths?.into_iter().map(|at| at.value).collect(),
            unicast: self.unicast.map(|at| at.value.settings()),
            preempt: if self.preempt?.value { Preempt::After(delay) } else { Preempt::Never },
            last_resort: self.last_resort?.value,
            damping: self.damping.map(|at| at.value),
            follow_interface: self.follow_interface?.value,
            tracks: self.tracks.list.into_iter().map(|at| at.value).collect(),
            authentication: authentication
                .as_ref()
                .map_or(vrrp::Authentication::None, Authentication::password),
            hmac: authentication.and_then(|authentication| authentication.hmac(interval)),
            checksum: self.checksum?.0.value,
            announce: self.announce?.value,
            lease: self.lease?.value,
            accept: self.accept?.value,
            virtual_mac: self.virtual_mac?.value.map(VirtualMac::settings),
        })
    }
}

/// The routes and rules under `routes` and `rules`.
pub(super) fn paths(table: &Table<'_>) -> Option<Vec<At<settings::Path>>> {
    let routes = table.optional("routes").map_or(Some(Vec::new()), routes::read);
    let rules = table.optional("rules").map_or(Some(Vec::new()), rules::read);
    let mut paths = routes?;
    paths.append(&mut rules?);
    Some(paths)
}

fn vrid(text: &str) -> Result<Vrid, String> {
    // Read as every other number is: a sign or a leading zero is more likely a slip than meant.
    match scalar::number(text, 1, 255) {
        Ok(_) => text.parse(),
        Err(_) => Err(format!("'{text}' is no virtual router id; write 1 to 255")),
    }
}

fn priority(text: &str) -> Result<Priority, String> {
    scalar::number(text, 1, 255)
        .ok()
        .and_then(|number| u8::try_from(number).ok())
        .map(Priority::new)
        .ok_or_else(|| {
            format!("'{text}' is no priority; write 1 to 254, or 255 for the owner of the addresses")
        })
}

/// One could not be told from an advert that is a little late, and the lease would end before each.
fn near_miss_percent(text: &str) -> Result<u8, String> {
    let percent = scalar::number(text, 50, 100)?;
    u8::try_from(percent).map_err(|_| format!("'{text}' is no percentage"))
}

fn missed_adverts(text: &str) -> Result<u32, String> {
    scalar::number(text, 2, 100)
        .ok()
        .ok_or_else(|| format!("'{text}' is no number of adverts that a master may miss; write 2 to 100"))
}

fn priority_file(item: &Item<'_>) -> Option<(At<PathBuf>, Result<Priority, String>)> {
    let path = item.read("the path of a file that holds a priority", |text| match Path::new(text) {
        path if path.is_absolute() => Ok(path.to_owned()),
        _ => Err(format!("'{text}' is no absolute path; write one, for example /etc/vipd/priority")),
    })?;
    let read = read_priority(&path.value);
    Some((path, read))
}

fn family(text: &str) -> Result<Family, String> {
    match text {
        "ipv4" => Ok(Family::Ipv4),
        "ipv6" => Ok(Family::Ipv6),
        _ => Err(format!("'{text}' is no family; write ipv4 or ipv6")),
    }
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "2" => Ok(Version::V2),
        "3" => Ok(Version::V3),
        _ => Err(format!("'{text}' is no version of VRRP; write 2 or 3")),
    }
}

fn read_checksum(item: &Item<'_>) -> Option<At<ChecksumForm>> {
    item.read("pseudo_header or message", |text| match text {
        "pseudo_header" => Ok(ChecksumForm::PseudoHeader),
        "message" => Ok(ChecksumForm::Message),
        _ => Err(format!("'{text}' is nothing that a checksum covers; write pseudo_header or message")),
    })
}

fn preempt_delay(table: &Table<'_>) -> Option<At<Duration>> {
    table.optional("preempt_delay")?.read("a duration, for example 30s", duration::parse)
}
