//! What the engine is told to do: one value, compared with the last one at a reload.
//!
//! The configuration as written is a matter of floor 5; here everything is already true: names are unique,
//! every track names a check that exists, intervals suit their version.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::RangeInclusive;

use super::action::Form;
use super::event::Link;
use super::path;
use crate::net::{Family, IpNet, Priority, Vrid};
use crate::proto::health::Verdict;
use crate::time::Duration;
use crate::wire::vrrp::{Authentication, ChecksumForm, Key, Version};

/// Everything the engine is configured with.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// The instances, in the order written; names and identities are unique.
    pub instances: Vec<Instance>,
    /// The instances that move together; names are unique, among the instances' as well.
    pub groups: Vec<Group>,
    /// The checks that instances may track; names are unique.
    pub checks: Vec<Check>,
    /// How fast announcements may go out, interfaces first that are named; without one, as fast as they do.
    pub announce_limits: Vec<AnnounceLimit>,
    /// How long after the start every instance stays in INIT, deaf and silent.
    pub startup_delay: Duration,
    /// The same, counted from the machine's boot; the later of both counts.
    pub boot_delay: Duration,
    /// What is there whoever is master.
    pub statics: Statics,
}

/// A sync group: instances of which all are master, or none is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The operator's label.
    pub name: String,
    /// The names of its instances; each is in one group at most.
    pub members: Vec<String>,
    /// The checks that bear on every member.
    pub tracks: Vec<Track>,
}

/// One instance: a virtual router per address family, moving together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub struct Instance {
    /// The operator's label; renaming an instance moves nothing.
    pub name: String,
    /// The interface that adverts travel on and that holds the addresses.
    pub interface: String,
    /// The virtual router identifier, shared by both families.
    pub vrid: Vrid,
    /// The protocol version; version 2 has no IPv6.
    pub version: Version,
    /// The priority before tracks.
    pub priority: Priority,
    /// The time between adverts: whole seconds in version 2, 10 ms steps up to 40.95 s in version 3.
    pub interval: Duration,
    /// After so many intervals without an advert a master is taken for dead: by backups, and by its own kernel, where its
    /// lease ends. At least 2.
    pub missed_adverts: u32,
    /// From which share of the timer on the time between two of a master's adverts is a near miss, in hundredths.
    pub near_miss_percent: u8,
    /// The virtual addresses, in advert order.
    pub addresses: Vec<Address>,
    /// The family that it speaks if no address is advertised; there is one then.
    pub bare_family: Option<Family>,
    /// How it speaks by multicast.
    pub multicast: Multicast,
    /// The routes and rules that a master has besides, in the order in which they go in.
    pub paths: Vec<Path>,
    /// Unicast instead of multicast.
    pub unicast: Option<Unicast>,
    /// Whether, and how patiently, a lower master is replaced.
    pub preempt: Preempt,
    /// Whether checks that are down make it the last to be master, and not one that cannot be.
    pub last_resort: bool,
    /// When it has lost the role so often that others had better have it for a while.
    pub damping: Option<Damping>,
    /// The checks that bear on this instance.
    pub tracks: Vec<Track>,
    /// What version 2 adverts carry and must carry; version 3 has none.
    pub authentication: Authentication,
    /// How adverts are signed and have to be, in either version; a password and signatures exclude each other.
    pub hmac: Option<Hmac>,
    /// Which IPv4 checksum version 3 adverts are sent with.
    pub checksum: ChecksumForm,
    /// How the addresses are announced.
    pub announce: Announce,
    /// Whether the addresses answer only as long as adverts go out, whatever becomes of the agent.
    pub lease: bool,
    /// Whether an interface without a carrier is a fault, and not one that is set down alone.
    pub follow_interface: bool,
    /// Whether packets for the addresses are for this host; for an owner's they always are.
    pub accept: bool,
    /// Whether the addresses are on links with the virtual router's own Ethernet address.
    pub virtual_mac: Option<VirtualMac>,
}

impl Instance {
    /// Whether its interface is one to speak by as it is.
    pub(super) fn can_use(&self, interface: &Link) -> bool {
        interface.up || !self.follow_interface && interface.set_up
    }

    /// What the link of the virtual router's own of a family is called, if there is one.
    pub fn virtual_link_name(&self, family: Family) -> Option<String> {
        let virtual_mac = self.virtual_mac.as_ref()?;
        let first = self.housed_families().next() == Some(family);
        Some(virtual_link_name(virtual_mac.name.as_deref(), self.vrid, family, first))
    }

    /// The families of the addresses on the instance's own interface, advertised or not, IPv4 first.
    pub fn housed_families(&self) -> impl Iterator<Item = Family> + '_ {
        let here = |a: &Address, family| a.interface.is_none() && a.family() == family;
        let housed = move |family: &Family| self.addresses.iter().any(|a| here(a, *family));
        [Family::Ipv4, Family::Ipv6].into_iter().filter(housed)
    }

    /// The families that the advertised addresses need, IPv4 first: a virtual router each. Without such an address, the one
    /// that the operator chose.
    pub fn families(&self) -> impl Iterator<Item = Family> + '_ {
        let needs = |family: &Family| self.addresses.iter().any(|a| a.advertised && a.family() == *family);
        let bare = self.bare_family.filter(|_| !self.addresses.iter().any(|a| a.advertised));
        [Family::Ipv4, Family::Ipv6].into_iter().filter(move |family| needs(family) || bare == Some(*family))
    }

    /// The name of the interface that is to hold an address.
    pub fn interface_of<'a>(&'a self, address: &'a Address) -> &'a str {
        address.interface.as_deref().unwrap_or(&self.interface)
    }

    /// How long after an advert others that hear no more take its sender for alive, but for their `Skew_Time`.
    pub fn sign_of_life(&self) -> Duration {
        self.interval * self.missed_adverts
    }

    /// What no backup's `Skew_Time` reaches: an interval (RFC 9568, 6.1), in version 2 a second (RFC 3768, 6.1).
    pub fn longest_skew(&self) -> Duration {
        match self.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => self.interval,
        }
    }

    /// Whether its adverts are signed.
    pub fn signs(&self) -> bool {
        self.hmac.as_ref().is_some_and(|hmac| hmac.signer().is_some())
    }

    /// The source address that the operator chose for a family.
    pub fn source(&self, family: Family) -> Option<IpAddr> {
        let sources = self.unicast.as_ref().map_or(&self.multicast.sources, |unicast| &unicast.sources);
        sources.iter().copied().find(|a| Family::of(*a) == family)
    }

    /// The multicast group of one family: the standard's, or another that all nodes agree upon.
    pub fn group(&self, family: Family) -> IpAddr {
        let chosen = self.multicast.groups.iter().copied().find(|a| Family::of(*a) == family);
        chosen.unwrap_or(family.group())
    }

    /// The multicast group, or the peers of one family.
    pub fn destinations(&self, family: Family) -> Vec<IpAddr> {
        match &self.unicast {
            None => alloc::vec![self.group(family)],
            Some(unicast) => {
                unicast.peers.iter().map(|peer| peer.address).filter(|a| Family::of(*a) == family).collect()
            }
        }
    }
}

/// A virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address and its prefix; with a peer, the prefix is the peer's.
    pub net: IpNet,
    /// The interface that holds it, if it is not the one that adverts travel on.
    pub interface: Option<String>,
    /// Whether adverts list it. What they do not list moves with what they do, whatever its family.
    pub advertised: bool,
    /// How it goes in.
    pub form: Form,
}

impl Address {
    /// The address alone.
    pub const fn address(&self) -> IpAddr {
        self.net.address()
    }

    /// Its family.
    pub const fn family(&self) -> Family {
        self.net.family()
    }
}

impl From<IpNet> for Address {
    /// An address without options: advertised, on the instance's interface.
    fn from(net: IpNet) -> Self {
        Self { net, interface: None, advertised: true, form: Form::default() }
    }
}

/// What is there for as long as the agent runs, whoever is master.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Statics {
    /// Addresses, each with its interface.
    pub addresses: Vec<Address>,
    /// Routes and rules, in the order in which they go in.
    pub paths: Vec<Path>,
}

/// A route or rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// It, with the names of its links.
    pub path: path::Path<String>,
    /// Once somebody else has removed it, it stays away.
    pub left_alone: bool,
}

/// What the link of a virtual router's own is called, by the name that the operator wrote, if there is one; that of the
/// second family of an instance ends in `-6` then.
pub fn virtual_link_name(name: Option<&str>, vrid: Vrid, family: Family, first: bool) -> String {
    match (name, family) {
        (Some(name), _) if first => String::from(name),
        (Some(name), _) => alloc::format!("{name}-6"),
        (None, Family::Ipv4) => alloc::format!("vrrp.{vrid}"),
        (None, Family::Ipv6) => alloc::format!("vrrp6.{vrid}"),
    }
}

/// Links of the virtual router's own, one a family: `00-00-5E-00-01-{VRID}` and `00-00-5E-00-02-{VRID}` (RFC 9568, 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualMac {
    /// What the first one is called, if the operator says so.
    pub name: Option<String>,
    /// Where a master's adverts come from.
    pub adverts: Adverts,
}

/// Where a master's adverts come from if the virtual router has a link of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adverts {
    /// The virtual router's own link: its Ethernet address shows every switch where the master is.
    Virtual,
    /// The interface below it.
    Interface,
}

/// How adverts are signed, and what is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hmac {
    /// The keys whose signatures are believed, by their numbers, which are not 0.
    pub keys: BTreeMap<u8, Key>,
    /// The number of the one that signs; none: nothing is signed.
    pub active: Option<u8>,
    /// Whether adverts without a signature count; a wrong one never does.
    pub accepts_unsigned: bool,
    /// How it is known that an advert is not an old one.
    pub anti_replay: AntiReplay,
}

impl Hmac {
    /// The key that signs, and its number.
    pub fn signer(&self) -> Option<(u8, &Key)> {
        let id = self.active?;
        Some((id, self.keys.get(&id)?))
    }
}

/// How it is known that a signed advert is not an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AntiReplay {
    /// By the sequence, which has to agree with the clock.
    Time {
        /// By so many whole seconds it may be off.
        window: Duration,
    },
    /// By the sequence alone.
    Monotonic,
}

/// Adverts to named peers instead of the multicast group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unicast {
    /// Where adverts come from, at most one a family; without one the interface's own address is taken.
    pub sources: Vec<IpAddr>,
    /// Where adverts go; adverts from anybody else are discarded.
    pub peers: Vec<Peer>,
}

/// A unicast peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The TTLs or hop limits that its adverts may arrive with.
    pub ttl: RangeInclusive<u8>,
}

/// What of multicast is not as the standards have it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Multicast {
    /// Where adverts come from, at most one a family; without one the interface's own address is taken.
    pub sources: Vec<IpAddr>,
    /// Where they go, at most one a family.
    pub groups: Vec<IpAddr>,
}

/// What a backup does about a master of lower priority (RFC 9568, 6.1, `Preempt_Mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preempt {
    /// Lets it stay.
    Never,
    /// Replaces it once it has been seen for this long.
    After(Duration),
}

impl Preempt {
    /// How long a lower master is seen before it is replaced, if ever.
    pub const fn delay(self) -> Duration {
        match self {
            Self::Never => Duration::ZERO,
            Self::After(delay) => delay,
        }
    }
}

/// A bound to how often the role may be taken only to be lost again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damping {
    /// So many losses,
    pub changes: u32,
    /// within so long,
    pub within: Duration,
    /// and for so long it takes the role only if nobody else does.
    pub hold: Duration,
}

/// A check's bearing on an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// The check's name.
    pub check: String,
    /// What it does to the instance.
    pub effect: Effect,
}

/// What a tracked check does to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Negative: added to the priority while the check is down; positive: while it is up.
    Weight(i16),
    /// Negative: taken from the priority while the check is down, which raises it; positive: while it is up.
    ReversedWeight(i16),
    /// A value, times this, is added to the priority; -254 and less is FAULT.
    Multiply(i16),
    /// FAULT while the check is down, or its value is not 0.
    Fault,
    /// FAULT while the check is up, or its value is 0.
    FaultWhileUp,
}

impl Effect {
    /// What it adds to the priority when it bears, if that can be said beforehand.
    pub const fn weight(self) -> Option<i16> {
        match self {
            Self::Weight(weight) => Some(weight),
            Self::ReversedWeight(weight) => Some(-weight),
            Self::Multiply(_) | Self::Fault | Self::FaultWhileUp => None,
        }
    }
}

/// A check as the engine knows it: a name and where its verdict comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The operator's name for it.
    pub name: String,
    /// Where the verdict comes from.
    pub source: CheckSource,
    /// How long it has to say that it is up before that counts.
    pub up_delay: Duration,
    /// How long it has to say that it is down before that counts.
    pub down_delay: Duration,
}

impl Check {
    /// A check whose word counts at once.
    pub const fn new(name: String, source: CheckSource) -> Self {
        Self { name, source, up_delay: Duration::ZERO, down_delay: Duration::ZERO }
    }

    /// How long a verdict has to stand before it counts.
    pub const fn delay(&self, verdict: Verdict) -> Duration {
        match verdict {
            Verdict::Up => self.up_delay,
            Verdict::Down => self.down_delay,
        }
    }
}

/// Where a check's verdict comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckSource {
    /// Probes outside the engine, which send an event at each edge.
    Probe,
    /// Probes, which send a value besides whenever it changes.
    Value,
    /// The engine's own picture of an interface: up while it exists, is up and has carrier.
    Interface(String),
}

/// When addresses are announced besides the first burst, which goes out as they are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce {
    /// How long after taking the addresses a second burst follows.
    pub again_after: Option<Duration>,
    /// How often each address is announced in each of these two bursts.
    pub repeat: u32,
    /// How often a master announces for as long as it is one.
    pub refresh: Option<Duration>,
    /// How often each address is announced then.
    pub refresh_repeat: u32,
    /// How long after a burst that followed another master's advert or claim a second one follows.
    pub lower_again_after: Option<Duration>,
    /// How often each address is announced in each of these two bursts.
    pub lower_repeat: u32,
}

impl Default for Announce {
    /// One burst, each address once.
    fn default() -> Self {
        let (again_after, refresh, lower_again_after) = (None, None, None);
        Self { again_after, repeat: 1, refresh, refresh_repeat: 1, lower_again_after, lower_repeat: 1 }
    }
}

/// How fast announcements may go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceLimit {
    /// The interfaces that share this rate; none: every other interface, each with the rate for itself.
    pub interfaces: Option<Vec<String>>,
    /// The time between two frames.
    pub interval: Duration,
}
