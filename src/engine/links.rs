//! The engine's picture of links and addresses: what the kernel said last.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::action::{Place, VirtualLinkId};
use super::event::{Change, Link, LinkAddress, Picture};
use super::settings::Instance;
use crate::net::{Family, IpNet, LinkIndex, Mac};

/// Links and their addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    known: BTreeMap<LinkIndex, Known>,
    /// The virtual routers' own among them.
    own: BTreeMap<VirtualLinkId, LinkIndex>,
    /// What carries our mark and is the host's own all the same.
    statics: BTreeSet<(LinkIndex, IpAddr)>,
}

#[derive(Clone, Debug)]
struct Known {
    link: Link,
    /// The operator's addresses in the kernel's order: the primary one first.
    foreign: Vec<LinkAddress>,
    /// Those with our mark, of which there may be thousands.
    ours: BTreeMap<IpNet, LinkAddress>,
}

impl Known {
    fn new(link: Link) -> Self {
        Self { link, foreign: Vec::new(), ours: BTreeMap::new() }
    }

    fn put(&mut self, address: LinkAddress) {
        if address.ours {
            self.foreign.retain(|a| a.net != address.net);
            self.ours.insert(address.net, address);
            return;
        }
        self.ours.remove(&address.net);
        match self.foreign.iter_mut().find(|a| a.net == address.net) {
            Some(old) => *old = address,
            None => self.foreign.push(address),
        }
    }
}

impl Links {
    /// Replaces everything by what a dump found.
    pub(super) fn replace(&mut self, picture: Picture) {
        self.known = picture.links.into_iter().map(|link| (link.index, Known::new(link))).collect();
        self.look_for_virtual_links();
        for address in picture.addresses {
            self.put(address);
        }
    }

    fn look_for_virtual_links(&mut self) {
        let links = self.known.values().map(|known| &known.link);
        self.own = links.filter_map(|link| Some((link.virtual_link?, link.index))).collect();
    }

    /// Applies one change.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Link(link) => self.apply_link(link),
            Change::LinkGone(index) => {
                self.known.remove(&index);
                self.own.retain(|_, link| *link != index);
            }
            Change::Address(address) => self.put(address),
            Change::RouteGone(_) | Change::PathGone(_) => {}
            Change::AddressGone(place) => {
                if let Some(known) = self.known.get_mut(&place.link) {
                    known.ours.remove(&place.net);
                    known.foreign.retain(|a| a.net != place.net);
                }
            }
        }
    }

    /// The link that gets a carrier by a change.
    pub(super) fn plugs(&self, change: &Change) -> Option<LinkIndex> {
        let Change::Link(link) = change else { return None };
        (link.up && self.get(link.index).is_some_and(|known| !known.up)).then_some(link.index)
    }

    fn apply_link(&mut self, link: Link) {
        let (before, now) = (self.get(link.index).and_then(|link| link.virtual_link), link.virtual_link);
        match self.known.get_mut(&link.index) {
            Some(known) => known.link = link,
            None => drop(self.known.insert(link.index, Known::new(link))),
        }
        if before.is_some() || now.is_some() {
            self.look_for_virtual_links();
        }
    }

    /// The virtual routers' own links, whosever.
    pub(super) fn virtual_links(&self) -> impl Iterator<Item = VirtualLinkId> + '_ {
        self.own.keys().copied()
    }

    /// A virtual router's own link, if it is there.
    pub(super) fn virtual_link(&self, id: VirtualLinkId) -> Option<&Link> {
        self.get(*self.own.get(&id)?)
    }

    fn put(&mut self, address: LinkAddress) {
        if let Some(known) = self.known.get_mut(&address.link) {
            known.put(address);
        }
    }

    /// The link with this name.
    pub(super) fn named(&self, name: &str) -> Option<&Link> {
        self.known.values().map(|known| &known.link).find(|link| link.name == name)
    }

    /// Every link.
    pub(super) fn all(&self) -> impl Iterator<Item = &Link> {
        self.known.values().map(|known| &known.link)
    }

    /// The link with this number.
    pub(super) fn get(&self, index: LinkIndex) -> Option<&Link> {
        self.known.get(&index).map(|known| &known.link)
    }

    /// Whether one of this machine's own links has this Ethernet address, and nobody else's: a virtual router's is where
    /// its master is.
    pub(super) fn is_own_mac(&self, mac: Mac) -> bool {
        self.known.values().any(|known| known.link.mac == Some(mac) && known.link.virtual_link.is_none())
    }

    /// The address at a place, if the kernel has it and it carries our mark.
    pub(super) fn ours_at(&self, place: Place) -> Option<&LinkAddress> {
        self.known.get(&place.link)?.ours.get(&place.net)
    }

    /// The addresses that carry this agent's mark.
    pub(super) fn ours(&self) -> impl Iterator<Item = &LinkAddress> {
        self.known.values().flat_map(|known| known.ours.values())
    }

    /// Says which of our addresses are the host's own.
    pub(super) fn set_statics(&mut self, statics: BTreeSet<(LinkIndex, IpAddr)>) {
        self.statics = statics;
    }

    /// Those on a link, which are there.
    fn statics_on(&self, link: LinkIndex) -> impl Iterator<Item = &LinkAddress> {
        let ours = self.known.get(&link).map(|known| known.ours.values()).into_iter().flatten();
        ours.filter(move |address| self.statics.contains(&(link, address.net.address())))
    }

    fn foreign_on(&self, link: LinkIndex) -> &[LinkAddress] {
        self.known.get(&link).map_or(&[], |known| &known.foreign)
    }

    /// The operator's own address on a link that equals `address`, whatever its prefix.
    pub(super) fn foreign(&self, link: LinkIndex, address: IpAddr) -> Option<IpNet> {
        self.foreign_on(link).iter().find(|a| a.net.address() == address).map(|a| a.net)
    }

    /// The first of the operator's own addresses on a link that is one of `addresses`, of which there may be thousands.
    pub(super) fn foreign_among(&self, link: LinkIndex, addresses: &BTreeSet<IpAddr>) -> Option<IpNet> {
        self.foreign_on(link).iter().map(|a| a.net).find(|net| addresses.contains(&net.address()))
    }

    /// Whether the operator gave an address to any link of this machine.
    pub(super) fn is_foreign(&self, address: IpAddr) -> bool {
        self.known.values().any(|known| known.foreign.iter().any(|a| a.net.address() == address))
    }

    /// Where an instance's adverts of one family come from: the configured source if this machine has it; else the
    /// interface's primary IPv4 address, its link-local IPv6 address in multicast, or in unicast a source of the
    /// scope of the first peer.
    pub(super) fn source(&self, link: LinkIndex, family: Family, settings: &Instance) -> Option<IpAddr> {
        if let Some(source) = settings.source(family) {
            let statics = self.known.keys().flat_map(|link| self.statics_on(*link));
            let mut all = self.known.values().flat_map(|known| &known.foreign).chain(statics);
            return all.any(|a| a.usable && a.net.address() == source).then_some(source);
        }
        let peer = settings.destinations(family).first().copied();
        let wants_link_local = match peer {
            Some(IpAddr::V6(peer)) => peer.is_multicast() || is_link_local(peer),
            Some(IpAddr::V4(_)) | None => false,
        };
        self.foreign_on(link)
            .iter()
            .chain(self.statics_on(link))
            .filter(|a| a.usable && a.net.family() == family)
            .map(|a| a.net.address())
            .find(|a| match a {
                IpAddr::V4(_) => true,
                IpAddr::V6(a) => is_link_local(*a) == wants_link_local,
            })
    }

    /// The form in which a virtual address goes in. One that shares its prefix with another address of the link, or
    /// with one that is installed `earlier`, goes in alone (/32, /128): otherwise, when removed, an IPv4 primary takes
    /// its secondaries with it, and the prefix's route may follow the virtual address's life instead of the host's.
    ///
    /// A virtual router's own link shares the prefixes of the one below it, but for link-local ones, which each link has
    /// for itself.
    pub(super) fn installed_form(&self, link: LinkIndex, net: IpNet, earlier: &BTreeSet<IpAddr>) -> IpNet {
        let (first, last) = net.range();
        let below = self.get(link).and_then(|link| link.virtual_link).map(|own| own.below);
        let on = match (below, net.address()) {
            (Some(_), IpAddr::V6(address)) if is_link_local(address) => link,
            (below, _) => below.unwrap_or(link),
        };
        let mut own = self.foreign_on(on).iter().chain(self.statics_on(on));
        let shared = own.any(|a| net.contains(a.net.address()) && a.net != net)
            || earlier.range(first..=last).any(|a| *a != net.address());
        if shared { IpNet::host(net.address()) } else { net }
    }
}

/// Whether it lies in `fe80::/10`.
pub(super) fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}
