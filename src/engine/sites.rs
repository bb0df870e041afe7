//! Where an instance's addresses go: the interface that its adverts travel on, and others that some of them are
//! configured for. The first decides what becomes of the instance; one of the others that is missing only keeps its
//! own addresses, and the routes by it, away until it comes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::action::VirtualLinkId;
use super::links::Links;
use super::settings::{Address, Instance as Settings, Statics};
use crate::net::{Family, LinkIndex, Mac};

/// An interface with addresses of one instance.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) name: String,
    /// The link, as long as it is there, and the Ethernet address that answers on it.
    pub(super) found: Option<(LinkIndex, Option<Mac>)>,
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// All of an instance's.
#[derive(Clone, Debug)]
pub(super) struct Sites {
    /// That of its adverts first.
    all: Vec<Site>,
    /// Links of the virtual router's own, which hold what the first one would, and which of them are there.
    own: BTreeMap<Family, Option<(LinkIndex, Mac)>>,
    /// One of those was not there.
    missed: bool,
}

impl Sites {
    /// Those that a configuration names; where they are is looked up later.
    pub(super) fn of(settings: &Settings) -> Self {
        let site = |name: &str| Site { name: name.into(), found: None, addresses: BTreeSet::new() };
        let mut sites = alloc::vec![site(&settings.interface)];
        for name in settings.paths.iter().flat_map(|path| path.path.links()) {
            if sites.iter().all(|site| site.name != name) {
                sites.push(site(name));
            }
        }
        for address in &settings.addresses {
            let name = settings.interface_of(address);
            let at = sites.iter().position(|site| site.name == name).unwrap_or(sites.len());
            if at == sites.len() {
                sites.push(site(name));
            }
            sites[at].addresses.insert(address.address());
        }
        Self { all: sites, own: BTreeMap::new(), missed: false }
    }

    /// Those of what is static.
    pub(super) fn of_statics(settings: &Statics) -> Self {
        let site = |name: &str| Site { name: name.into(), found: None, addresses: BTreeSet::new() };
        let names = settings.addresses.iter().filter_map(|address| address.interface.as_deref());
        let names: BTreeSet<&str> = names.chain(settings.paths.iter().flat_map(|p| p.path.links())).collect();
        let mut sites: Vec<Site> = names.into_iter().map(site).collect();
        for site in &mut sites {
            let here = |a: &&Address| a.interface.as_deref() == Some(site.name.as_str());
            site.addresses = settings.addresses.iter().filter(here).map(Address::address).collect();
        }
        Self { all: sites, own: BTreeMap::new(), missed: false }
    }

    /// Where the one with this name is.
    pub(super) fn find(&self, name: &str) -> Option<LinkIndex> {
        self.named(name)?.found.map(|(link, _)| link)
    }

    /// Looks where they are. Returns whether that is another picture than before.
    pub(super) fn locate(&mut self, links: &Links, own: &BTreeMap<Family, VirtualLinkId>) -> bool {
        let mut moved = false;
        for site in &mut self.all {
            let found = links.named(&site.name).map(|link| (link.index, link.mac));
            moved |= found != site.found;
            site.found = found;
        }
        let find = |(family, id): (&Family, &VirtualLinkId)| {
            (*family, links.virtual_link(*id).map(|link| (link.index, id.mac)))
        };
        let found: BTreeMap<_, _> = own.iter().map(find).collect();
        moved |= found != self.own;
        self.own = found;
        if self.are_awaited() {
            self.missed = true;
            return moved;
        }
        moved | core::mem::take(&mut self.missed)
    }

    /// Whether a link of the virtual router's own is not there.
    pub(super) fn are_awaited(&self) -> bool {
        self.own.values().any(Option::is_none)
    }

    /// The link of the virtual router's own of a family.
    pub(super) fn own(&self, family: Family) -> Option<LinkIndex> {
        let (link, _) = (*self.own.get(&family)?)?;
        Some(link)
    }

    /// Where an address goes, and the Ethernet address that answers for it there.
    pub(super) fn of_address(
        &self,
        address: &Address,
        settings: &Settings,
    ) -> Option<(LinkIndex, Option<Mac>)> {
        match self.own.get(&address.family()) {
            Some(own) if address.interface.is_none() => own.map(|(link, mac)| (link, Some(mac))),
            Some(_) | None => self.named(settings.interface_of(address))?.found,
        }
    }

    /// The Ethernet address that answers on a link of these.
    pub(super) fn mac_on(&self, link: LinkIndex) -> Option<Mac> {
        let own = self.own.values().flatten().find(|(at, _)| *at == link).map(|(_, mac)| *mac);
        own.or_else(|| self.on(link)?.found?.1)
    }

    /// Where adverts travel.
    pub(super) fn link(&self) -> Option<LinkIndex> {
        self.all.first()?.found.map(|(link, _)| link)
    }

    /// The one with this name.
    pub(super) fn named(&self, name: &str) -> Option<&Site> {
        self.all.iter().find(|site| site.name == name)
    }

    /// The one on this link, or below it.
    pub(super) fn on(&self, link: LinkIndex) -> Option<&Site> {
        if self.own.values().flatten().any(|(own, _)| *own == link) {
            return self.all.first();
        }
        self.there().find(|(at, _)| *at == link).map(|(_, site)| site)
    }

    /// Those that are there.
    pub(super) fn there(&self) -> impl Iterator<Item = (LinkIndex, &Site)> {
        self.all.iter().filter_map(|site| Some((site.found?.0, site)))
    }

    /// Whether an address is configured for a link.
    pub(super) fn have(&self, link: LinkIndex, address: IpAddr) -> bool {
        self.on(link).is_some_and(|site| site.addresses.contains(&address))
    }
}
