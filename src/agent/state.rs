//! The state file: what an agent leaves to the next one, as JSON in the runtime directory. Written whole or not at all;
//! read with suspicion: what is not exactly as this program writes it, in this boot, is no state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::libc;
use serde::{Deserialize, Serialize};

use crate::engine::action::{Datagram, Endpoint, InstanceId, Place};
use crate::engine::inheritance::{Estate, Identity, Inheritance, Inherited};
use crate::net::{Family, IpNet, LinkIndex, Vrid};
use crate::proto::health::Verdict;
use crate::time::{Duration, Instant};
use crate::wire::vrrp::Version;

/// Why there is no state although there is a file.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It is too long.
    #[error("it is longer than {} MiB", LONGEST >> 20)]
    TooLong,
    /// It is no JSON, or not of this shape.
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version of this program wrote it.
    #[error("its schema is {0}, not {SCHEMA}")]
    Schema(u64),
    /// It is of another boot: nothing in it is true any more.
    #[error("it was written before the last boot")]
    OtherBoot,
    /// It says what cannot be.
    #[error("{0} in it makes no sense")]
    Nonsense(&'static str),
}

/// Reads the state that was left in a runtime directory; none if there is no file.
pub fn read(directory: &Path, boot_id: &str, now: Instant) -> Result<Option<Inheritance>, Unusable> {
    read_file(directory, NAME)?.map(|text| decode(&text, boot_id, now)).transpose()
}

/// What stands in a file of a runtime directory; none if there is no file.
pub(super) fn read_file(directory: &Path, name: &str) -> Result<Option<Vec<u8>>, Unusable> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(directory.join(name));
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(Unusable::TooLong);
    }
    Ok(Some(text))
}

/// Puts the state in the place of what was there, whole or not at all.
pub fn write(directory: &Path, boot_id: &str, state: &Inheritance) -> io::Result<()> {
    replace(directory, NAME, &serde_json::to_vec(&Written::from_inheritance(boot_id, state))?)
}

/// Puts a file in the place of another, whole or not at all.
pub(super) fn replace(directory: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let new = directory.join(format!("{name}.new"));
    let written = create(&new).and_then(|mut file| file.write_all(text));
    written.and_then(|()| fs::rename(&new, directory.join(name)))
}

fn create(path: &Path) -> io::Result<File> {
    remove_file(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Removes the state, if there is any.
pub fn remove(directory: &Path) -> io::Result<()> {
    remove_file(&directory.join(NAME))
}

/// Removes a file, if there is one.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn decode(text: &[u8], boot_id: &str, now: Instant) -> Result<Inheritance, Unusable> {
    // The schema first: what follows may be of another shape.
    let Versioned { schema } = serde_json::from_slice(text)?;
    if schema != SCHEMA {
        return Err(Unusable::Schema(schema));
    }
    let written: Written = serde_json::from_slice(text)?;
    if written.boot_id != boot_id {
        return Err(Unusable::OtherBoot);
    }
    written.into_inheritance(now).map_err(Unusable::Nonsense)
}

#[derive(Deserialize)]
struct Versioned {
    schema: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: u64,
    boot_id: String,
    handed_on: bool,
    instances: Vec<WrittenInstance>,
    checks: BTreeMap<String, bool>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    values: BTreeMap<String, i32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenInstance {
    name: String,
    number: u32,
    term: u64,
    interface: String,
    virtual_router_id: u8,
    version: u8,
    families: Vec<WrittenFamily>,
    sources: Option<Vec<IpAddr>>,
    #[serde(default)]
    virtual_mac: bool,
    stepped_down: bool,
    adoptions_ns: Vec<u64>,
    estate: Option<WrittenEstate>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenFamily {
    Ipv4,
    Ipv6,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEstate {
    interval_ms: u64,
    addresses: Vec<WrittenPlace>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    alive_until_ns: Vec<(WrittenFamily, u64)>,
    resignations: Vec<WrittenDatagram>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlace {
    link: u32,
    address: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDatagram {
    link: u32,
    source: IpAddr,
    destination: IpAddr,
    payload: Vec<u8>,
}

impl Written {
    fn from_inheritance(boot_id: &str, state: &Inheritance) -> Self {
        let checks = state.checks.iter();
        Self {
            schema: SCHEMA,
            boot_id: boot_id.to_owned(),
            handed_on: state.handed_on,
            instances: state.instances.iter().map(WrittenInstance::from_inherited).collect(),
            checks: checks.map(|(name, verdict)| (name.clone(), *verdict == Verdict::Up)).collect(),
            values: state.values.clone(),
        }
    }

    fn into_inheritance(self, now: Instant) -> Result<Inheritance, &'static str> {
        let numbers: BTreeSet<u32> = self.instances.iter().map(|instance| instance.number).collect();
        if numbers.len() < self.instances.len() || numbers.range(1..LAST_NUMBER).count() < numbers.len() {
            return Err("an instance's number");
        }
        let instances = self.instances.into_iter().map(|instance| instance.into_inherited(now));
        let verdict = |up| if up { Verdict::Up } else { Verdict::Down };
        let checks = self.checks.into_iter().map(|(name, up)| (name, verdict(up))).collect();
        let instances = instances.collect::<Result<_, _>>()?;
        Ok(Inheritance { instances, checks, values: self.values, handed_on: self.handed_on })
    }
}

impl WrittenInstance {
    fn from_inherited(inherited: &Inherited) -> Self {
        let identity = &inherited.identity;
        Self {
            name: inherited.name.clone(),
            number: inherited.id.0,
            term: inherited.term,
            interface: identity.interface.clone(),
            virtual_router_id: identity.vrid.get(),
            version: identity.version.number(),
            families: identity.families.iter().map(|family| WrittenFamily::from(*family)).collect(),
            sources: identity.sources.clone(),
            virtual_mac: identity.virtual_mac,
            stepped_down: inherited.stepped_down,
            adoptions_ns: inherited.adoptions.iter().map(|at| at.as_nanos()).collect(),
            estate: inherited.estate.as_ref().map(WrittenEstate::from_estate),
        }
    }

    fn into_inherited(self, now: Instant) -> Result<Inherited, &'static str> {
        let id = InstanceId(self.number);
        if self.adoptions_ns.iter().any(|at| Instant::from_nanos(*at) > now) {
            return Err("the time of an adoption");
        }
        if self.term >= LAST_TERM {
            return Err("a term");
        }
        let families: BTreeSet<Family> = self.families.iter().map(|family| Family::from(*family)).collect();
        let version = match self.version {
            2 => Version::V2,
            3 => Version::V3,
            _ => return Err("a version"),
        };
        let identity = Identity {
            interface: self.interface,
            vrid: Vrid::new(self.virtual_router_id).ok_or("a virtual router identifier")?,
            version,
            sources: self.sources,
            families: families.into_iter().collect(),
            virtual_mac: self.virtual_mac,
        };
        Ok(Inherited {
            identity,
            name: self.name,
            id,
            term: self.term,
            stepped_down: self.stepped_down,
            adoptions: self.adoptions_ns.into_iter().map(Instant::from_nanos).collect(),
            estate: self.estate.map(|estate| estate.into_estate(id, now)).transpose()?,
        })
    }
}

impl WrittenEstate {
    fn from_estate(estate: &Estate) -> Self {
        let place = |place: &Place| WrittenPlace { link: place.link.0, address: place.net.to_string() };
        let datagram = |datagram: &Datagram| WrittenDatagram {
            link: datagram.endpoint.link.0,
            source: datagram.source,
            destination: datagram.destination,
            payload: datagram.payload.clone(),
        };
        let alive = |(family, end): (&Family, &Instant)| ((*family).into(), end.as_nanos());
        Self {
            interval_ms: u64::try_from(estate.interval.as_millis()).unwrap_or(u64::MAX),
            addresses: estate.places.iter().map(place).collect(),
            // With addresses there is a lease, which the kernel knows better.
            alive_until_ns: estate.leases.iter().filter(|_| estate.places.is_empty()).map(alive).collect(),
            resignations: estate.resignations.iter().map(datagram).collect(),
        }
    }

    fn into_estate(self, instance: InstanceId, now: Instant) -> Result<Estate, &'static str> {
        if !INTERVALS.contains(&self.interval_ms) {
            return Err("an interval");
        }
        let alive = self.alive_until_ns;
        let latest = (now + Duration::from_millis(self.interval_ms) * MOST_MISSED).as_nanos();
        // Whoever has addresses has a lease on them, which the kernel keeps.
        if !alive.is_empty() && !self.addresses.is_empty() || alive.iter().any(|(_, end)| *end > latest) {
            return Err("until when it is alive");
        }
        let place = |written: WrittenPlace| {
            let net: IpNet = written.address.parse().map_err(|_| "an address")?;
            Ok(Place { link: LinkIndex(written.link), net })
        };
        let datagram = |written: WrittenDatagram| Datagram {
            instance,
            endpoint: Endpoint { link: LinkIndex(written.link), family: Family::of(written.source) },
            source: written.source,
            destination: written.destination,
            payload: written.payload,
        };
        Ok(Estate {
            interval: Duration::from_millis(self.interval_ms),
            places: self.addresses.into_iter().map(place).collect::<Result<_, &'static str>>()?,
            leases: alive.into_iter().map(|(f, end)| (Family::from(f), Instant::from_nanos(end))).collect(),
            resignations: self.resignations.into_iter().map(datagram).collect(),
        })
    }
}

impl From<Family> for WrittenFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Ipv4,
            Family::Ipv6 => Self::Ipv6,
        }
    }
}

impl From<WrittenFamily> for Family {
    fn from(family: WrittenFamily) -> Self {
        match family {
            WrittenFamily::Ipv4 => Self::Ipv4,
            WrittenFamily::Ipv6 => Self::Ipv6,
        }
    }
}

/// The file's name in the runtime directory.
pub const NAME: &str = "state.json";
const SCHEMA: u64 = 1;
/// A hundred bytes an address, and ten thousands of them.
const LONGEST: u64 = 16 << 20;
/// Numbers are counted from 1 and never used twice; these would take centuries.
const LAST_NUMBER: u32 = u32::MAX / 2;
const LAST_TERM: u64 = u64::MAX / 2;
/// The most adverts that a master may miss.
const MOST_MISSED: u32 = 100;
/// The shortest of version 3 and the longest of version 2, in milliseconds.
const INTERVALS: std::ops::RangeInclusive<u64> = 10..=255_000;

#[cfg(test)]
mod tests;
