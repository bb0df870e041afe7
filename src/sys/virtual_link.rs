//! Links with a virtual router's own Ethernet address: macvlans on the interface that the router speaks on.
//!
//! ```text
//!   vrrp.51@eth0  00:00:5e:00:01:33  group 112   the virtual addresses: what is sent to them comes in here
//!   eth0          52:54:00:12:34:56              everything else, and what the addresses send
//! ```
//!
//! Everything about them is said by netlink, for which `CAP_NET_ADMIN` is enough; nothing is written to `/proc/sys`, and
//! nothing of the interface below is changed. What must not leave that one for the virtual addresses is
//! [nftables](super::nftables)' business.
//!
//! * `arp_ignore` 1: it would answer for all the host's addresses, with an Ethernet address that moves away.
//! * `rp_filter` 2: answers leave by the interface below, so a strict filter takes all that comes in for forged. The
//!   greater of this one and `all` counts, and 2 is the greatest.
//! * No IPv6 address of its own: it would be the same on every node.
//!
//! They are said again whenever such a link is set up, for programs that apply `sysctl.d` to each new link (udev does)
//! come a moment after it is made; [`VirtualLinks::repair`] is for those that come later.
//!
//! What comes in on a link belongs to the VRF that the link is in, so it is in the one of the interface below, and
//! follows that into another or out of it.
//!
//! A link is ours by its [group](picture::GROUP), which it has from the moment in which it is made, and from then on by
//! its [alias](picture::ALIAS), too, whatever name, group or Ethernet address somebody gives it.

use std::collections::BTreeMap;
use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, MacVlanMode,
};
use nix::errno::Errno;
use nix::libc;

use super::devconf::{self, Setting};
use super::name_of;
use super::netlink::{Failure, Netlink};
use super::picture::{self, ALIAS, GROUP};
use crate::engine::action::{VirtualLink, VirtualLinkId, VirtualLinkState};
use crate::engine::event::Refusal;
use crate::net::{LinkIndex, Mac};

/// Makes and removes such links.
#[derive(Debug)]
pub struct VirtualLinks {
    netlink: Netlink,
    /// Those that were set up.
    up: BTreeMap<VirtualLinkId, LinkIndex>,
    /// Those that are there, up or down.
    there: BTreeMap<VirtualLinkId, LinkIndex>,
}

impl VirtualLinks {
    /// Opens a netlink socket.
    pub fn open() -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open()?, up: BTreeMap::new(), there: BTreeMap::new() })
    }

    /// Brings a link to what is wanted. What is so already stays so.
    pub fn bring(&mut self, order: &VirtualLink) -> Result<(), Refusal> {
        self.up.remove(&order.id);
        self.there.remove(&order.id);
        match (&order.wanted, order.there) {
            (Some(state), Some(link)) => {
                if order.estranged {
                    self.mark(order.id, link, Some(order.id.mac))?;
                }
                self.set(order.id, link, state)
            }
            (Some(state), None) => self.make(order.id, state),
            (None, Some(link)) => self.remove(link),
            (None, None) => Ok(()),
        }
    }

    /// Sets it up or down, with its settings; one that is down gets its name, too.
    fn set(&mut self, id: VirtualLinkId, link: LinkIndex, state: &VirtualLinkState) -> Result<(), Refusal> {
        let doing = || format!("set {} {}", state.name, if state.up { "up" } else { "down" });
        let failed = |failure| refusal(&doing(), &failure);
        match self.one(setting(link, state.up, true), 0) {
            // A kernel without IPv6 gives no link an address.
            Err(Failure { errno: libc::EAFNOSUPPORT, .. }) => self.one(setting(link, state.up, false), 0),
            done => done,
        }
        .map_err(failed)?;
        self.there.insert(id, link);
        if state.up {
            self.up.insert(id, link);
        } else if name_of(link) != state.name {
            self.one(naming(link, &state.name), 0).map_err(failed)?;
        }
        Ok(())
    }

    fn make(&mut self, id: VirtualLinkId, state: &VirtualLinkState) -> Result<(), Refusal> {
        let below = name_of(id.below);
        let doing = || format!("make {} on {below}", state.name);
        let failed = |failure: Failure| refusal(&doing(), &failure);
        let lower = self.lower(id.below).map_err(|error| failed(error.into()))?;
        if SHARED.contains(&lower.kind.as_str()) {
            let why = format!("{}: {below} is a {} itself; use the interface below it", doing(), lower.kind);
            return Err(Refusal { errno: libc::EOPNOTSUPP, why });
        }
        match self.one(making(id, state, lower.vrf), NLM_F_CREATE | NLM_F_EXCL) {
            Err(failure) if failure.errno == libc::EEXIST => {
                // One of ours may have been made since the engine last heard.
                let links = picture::links(&mut self.netlink).map_err(|error| failed(error.into()))?;
                if !links.iter().any(|link| link.virtual_link == Some(id)) {
                    let why =
                        format!("{}: there is an interface of that name, and it is not vipd's", doing());
                    return Err(Refusal { errno: failure.errno, why });
                }
            }
            made => made.map_err(failed)?,
        }
        let links = picture::links(&mut self.netlink).map_err(|error| failed(error.into()))?;
        let made = links.iter().find(|link| link.virtual_link == Some(id));
        let made = made.ok_or_else(|| failed(Errno::ENODEV.into()))?;
        self.mark(id, made.index, None)?;
        self.set(id, made.index, state)
    }

    /// Gives it our marks, and the Ethernet address if that is another one.
    fn mark(&mut self, id: VirtualLinkId, link: LinkIndex, mac: Option<Mac>) -> Result<(), Refusal> {
        let failed = |failure| refusal(&format!("mark {} as vipd's", name_of(link)), &failure);
        self.one(marking(link, id, mac), 0).map_err(failed)
    }

    fn remove(&mut self, link: LinkIndex) -> Result<(), Refusal> {
        let doing = || format!("remove {}", name_of(link));
        // A number is a weak reason to delete something.
        let links = picture::links(&mut self.netlink).map_err(|error| refusal(&doing(), &error.into()))?;
        if !links.iter().any(|known| known.index == link && known.virtual_link.is_some()) {
            return Ok(());
        }
        match self.one(removing(link), 0) {
            Err(failure) if failure.errno == libc::ENODEV => Ok(()),
            done => done.map_err(|failure| refusal(&doing(), &failure)),
        }
    }

    /// Gives those that are up their settings again where somebody changed them, and takes all along into the VRF of the
    /// interface below.
    pub fn repair(&mut self) {
        if let Err(error) = self.follow() {
            tracing::warn!("whether an interface has moved into a VRF cannot be seen: {error}");
        }
        let is_as_set =
            |link, (setting, value): &(Setting, u32)| setting.read(link).is_none_or(|is| is == *value);
        let is_changed = |link: &LinkIndex| !SETTINGS.iter().all(|setting| is_as_set(*link, setting));
        let changed: Vec<LinkIndex> = self.up.values().copied().filter(is_changed).collect();
        for link in changed {
            let name = name_of(link);
            match self.one(setting(link, true, false), 0) {
                Ok(()) => {
                    tracing::warn!("somebody changed settings of {name} that it needs; they are as before");
                }
                Err(failure) => {
                    tracing::warn!("somebody changed settings of {name} that it needs: {failure}");
                }
            }
        }
    }

    fn follow(&mut self) -> io::Result<()> {
        if self.there.is_empty() {
            return Ok(());
        }
        let vrfs = self.facts(vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vrf)])])?;
        // Where there is none, and most hosts have none, there is nothing to follow into, and none to be left in.
        if !vrfs.iter().any(|fact| fact.kind == VRF) {
            return Ok(());
        }
        let facts = self.facts(Vec::new())?;
        for (id, link) in self.there.clone() {
            let (Some(below), Some(above)) = (Fact::of(&facts, id.below), Fact::of(&facts, link)) else {
                continue;
            };
            let (wanted, is) = (below.vrf(&facts), above.vrf(&facts));
            // Nobody else's bridge or bond is left for it.
            if wanted == is || above.master != is {
                continue;
            }
            let name = name_of(link);
            match self.one(moving(link, wanted), 0) {
                Ok(()) => {
                    tracing::info!("{name} has followed {} into its VRF or out of it", name_of(id.below));
                }
                Err(failure) => {
                    tracing::warn!("{name} does not follow {} into its VRF: {failure}", name_of(id.below));
                }
            }
        }
        Ok(())
    }

    /// Removes every link of this kind, whoever made it, and returns their names.
    pub fn remove_all(&mut self) -> Result<Vec<String>, Vec<Refusal>> {
        let links = match picture::links(&mut self.netlink) {
            Ok(links) => links,
            Err(error) => return Err(vec![refusal("list the links", &error.into())]),
        };
        let (mut removed, mut refusals) = (Vec::new(), Vec::new());
        for link in links.iter().filter(|link| link.virtual_link.is_some()) {
            match self.remove(link.index) {
                Ok(()) => removed.push(link.name.clone()),
                Err(refusal) => refusals.push(refusal),
            }
        }
        if refusals.is_empty() { Ok(removed) } else { Err(refusals) }
    }

    fn one(&mut self, request: RouteNetlinkMessage, flags: u16) -> Result<(), Failure> {
        self.netlink.batch(vec![request], flags).pop().unwrap_or(Ok(()))
    }

    fn lower(&mut self, below: LinkIndex) -> io::Result<Lower> {
        let facts = self.facts(Vec::new())?;
        let fact = Fact::of(&facts, below).ok_or(Errno::ENODEV)?;
        Ok(Lower { vrf: fact.vrf(&facts), kind: fact.kind.clone() })
    }

    /// What is to be known of all links; kernels that cannot choose (before 4.20) say it of all, whatever was asked.
    fn facts(&mut self, chosen: Vec<LinkAttribute>) -> io::Result<Vec<Fact>> {
        let mut message = LinkMessage::default();
        message.attributes = chosen;
        let mut found = Vec::new();
        let request = RouteNetlinkMessage::GetLink(message);
        self.netlink
            .dump(&request, &mut found, |found, message| found.extend(Fact::read(message.payload)))?;
        Ok(found)
    }
}

/// What has to be known of the interface below.
struct Lower {
    /// The VRF that it is in: what comes in above it belongs there, too.
    vrf: Option<LinkIndex>,
    kind: String,
}

/// A link with its master and its kind.
struct Fact {
    link: LinkIndex,
    master: Option<LinkIndex>,
    kind: String,
}

impl Fact {
    fn read(payload: &[u8]) -> Option<Self> {
        let (header, attributes) = picture::link_header(payload).ok()?;
        let (mut master, mut kind) = (None, String::new());
        for attribute in NlasIterator::new(attributes).map_while(Result::ok) {
            match attribute.kind() {
                IFLA_MASTER => master = picture::number(attribute.value()).map(LinkIndex),
                picture::IFLA_LINKINFO => kind = picture::kind_of(attribute.value()).unwrap_or_default(),
                _ => {}
            }
        }
        Some(Self { link: LinkIndex(header.index), master, kind })
    }

    fn of(facts: &[Self], link: LinkIndex) -> Option<&Self> {
        facts.iter().find(|fact| fact.link == link)
    }

    /// The VRF that it is in.
    fn vrf(&self, facts: &[Self]) -> Option<LinkIndex> {
        self.master.filter(|master| Self::of(facts, *master).is_some_and(|fact| fact.kind == VRF))
    }
}

/// Bridge mode: other macvlans on the same interface, as containers have them, reach the addresses.
fn making(id: VirtualLinkId, state: &VirtualLinkState, vrf: Option<LinkIndex>) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(state.name.clone()),
        LinkAttribute::Link(id.below.0),
        LinkAttribute::Address(id.mac.0.to_vec()),
        LinkAttribute::Group(GROUP),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::MacVlan),
            LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)])),
        ]),
    ];
    message.attributes.extend(vrf.map(|vrf| LinkAttribute::Controller(vrf.0)));
    RouteNetlinkMessage::NewLink(message)
}

fn setting(link: LinkIndex, up: bool, ipv6: bool) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    message.header.change_mask = LinkFlags::Up;
    message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    let no_address = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
    let settings = [devconf::attribute(&SETTINGS)].into_iter().chain(ipv6.then_some(no_address));
    message.attributes.push(LinkAttribute::AfSpecUnspec(settings.collect()));
    RouteNetlinkMessage::SetLink(message)
}

fn marking(link: LinkIndex, id: VirtualLinkId, mac: Option<Mac>) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    let alias = format!("{ALIAS}{}", id.mac);
    message.attributes = vec![LinkAttribute::IfAlias(alias), LinkAttribute::Group(GROUP)];
    message.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    RouteNetlinkMessage::SetLink(message)
}

fn naming(link: LinkIndex, name: &str) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    RouteNetlinkMessage::SetLink(message)
}

fn removing(link: LinkIndex) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    RouteNetlinkMessage::DelLink(message)
}

fn moving(link: LinkIndex, vrf: Option<LinkIndex>) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    message.attributes.push(LinkAttribute::Controller(vrf.map_or(0, |vrf| vrf.0)));
    RouteNetlinkMessage::SetLink(message)
}

fn refusal(doing: &str, failure: &Failure) -> Refusal {
    Refusal { errno: failure.errno, why: format!("{doing}: {failure}") }
}

/// What such a link needs, whatever the host's defaults are.
const SETTINGS: [(Setting, u32); 2] = [(Setting::ArpIgnore, 1), (Setting::ReversePathFilter, 2)];

const IFLA_MASTER: u16 = 10;
const VRF: &str = "vrf";
/// A macvlan on one of these would stand on what is below it, which may be another host's.
const SHARED: [&str; 4] = [picture::MACVLAN, "macvtap", "ipvlan", "ipvtap"];
