//! Where an instance's addresses go: the interface that its adverts travel on, and others that some of them are
//! configured for. The first decides what becomes of the instance; one of the others that is missing only keeps its
//! own addresses, and the routes by it, away until it comes.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::links::Links;
use super::settings::Instance as Settings;
use crate::net::{LinkIndex, Mac};

/// An interface with addresses of one instance.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) name: String,
    /// The link, as long as it is there, and the Ethernet address that answers on it.
    pub(super) found: Option<(LinkIndex, Option<Mac>)>,
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// All of an instance's, that of its adverts first.
#[derive(Debug)]
pub(super) struct Sites(Vec<Site>);

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
        Self(sites)
    }

    /// Where the one with this name is.
    pub(super) fn find(&self, name: &str) -> Option<LinkIndex> {
        self.named(name)?.found.map(|(link, _)| link)
    }

    /// Looks where they are. Returns whether that is another picture than before.
    pub(super) fn locate(&mut self, links: &Links) -> bool {
        let mut moved = false;
        for site in &mut self.0 {
            let found = links.named(&site.name).map(|link| (link.index, link.mac));
            moved |= found != site.found;
            site.found = found;
        }
        moved
    }

    /// Where adverts travel.
    pub(super) fn link(&self) -> Option<LinkIndex> {
        self.0.first()?.found.map(|(link, _)| link)
    }

    /// The one with this name.
    pub(super) fn named(&self, name: &str) -> Option<&Site> {
        self.0.iter().find(|site| site.name == name)
    }

    /// The one on this link.
    pub(super) fn on(&self, link: LinkIndex) -> Option<&Site> {
        self.there().find(|(at, _)| *at == link).map(|(_, site)| site)
    }

    /// Those that are there.
    pub(super) fn there(&self) -> impl Iterator<Item = (LinkIndex, &Site)> {
        self.0.iter().filter_map(|site| Some((site.found?.0, site)))
    }

    /// Whether an address is configured for a link.
    pub(super) fn have(&self, link: LinkIndex, address: IpAddr) -> bool {
        self.on(link).is_some_and(|site| site.addresses.contains(&address))
    }
}
