//! A fake kernel: links, addresses, gates. It knows nothing of processes: what a process left in it stays.
//!
//! It behaves like Linux where that has bitten somebody: an IPv4 primary address that is removed takes the
//! secondaries of its prefix with it, an interface that is set down loses its IPv6 addresses, one that vanishes
//! comes back under another number.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use vipd::engine::action::{Place, Placement, VirtualLink, VirtualLinkId};
use vipd::engine::event::{Change, Link, LinkAddress, Picture, Refusal, SeenPath};
use vipd::engine::path::{Path, PathKey};
use vipd::net::{Family, IpNet, LinkIndex, Mac};

use crate::gates::Gates;

/// The interface on the shared network.
pub(crate) const LAN: &str = "eth0";
/// An interface that is only tracked.
pub(crate) const UPLINK: &str = "eth1";

/// One machine's kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    links: Vec<Link>,
    addresses: Vec<LinkAddress>,
    pub(crate) gates: Gates,
    /// Routes and rules with our mark.
    paths: BTreeMap<PathKey, Path>,
    /// Interfaces that are set down, and those without carrier.
    down: BTreeSet<(String, &'static str)>,
    /// What the operator configured on the LAN: it comes back with the interface.
    own: Vec<IpNet>,
    mac: Mac,
    next_index: u32,
    /// Changes that the monitor has not reported yet.
    reports: Vec<Change>,
    /// So many of the next orders for an address are refused.
    pub(crate) refusals: u32,
    /// Whether adverts are refused, as by a packet filter.
    pub(crate) mute: bool,
    /// The virtual routers' own links that are set up.
    set_up: BTreeSet<LinkIndex>,
}

impl Kernel {
    /// A kernel with both interfaces up and the operator's addresses on the LAN.
    pub(crate) fn new(mac: Mac, own: Vec<IpNet>) -> Self {
        let mut kernel = Self {
            links: Vec::new(),
            addresses: Vec::new(),
            gates: Gates::default(),
            paths: BTreeMap::new(),
            down: BTreeSet::new(),
            own,
            mac,
            next_index: 2,
            reports: Vec::new(),
            refusals: 0,
            mute: false,
            set_up: BTreeSet::new(),
        };
        kernel.appear(LAN);
        kernel.appear(UPLINK);
        kernel.reports.clear();
        kernel
    }

    /// What changed since this was last asked.
    pub(crate) fn take_reports(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.reports)
    }

    /// A dump of everything.
    pub(crate) fn picture(&self) -> Picture {
        Picture { links: self.links.clone(), addresses: self.addresses.clone() }
    }

    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    fn link_at(&self, index: LinkIndex) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The LAN's interface, if it is there and up.
    pub(crate) fn lan(&self) -> Option<&Link> {
        self.link(LAN).filter(|link| link.up)
    }

    /// An interface appears, with the operator's addresses if it is the LAN's.
    pub(crate) fn appear(&mut self, name: &str) {
        if self.link(name).is_some() {
            return;
        }
        let index = LinkIndex(self.next_index);
        self.next_index += 1;
        let link = Link {
            index,
            name: name.to_owned(),
            mac: Some(self.mac),
            mtu: 1500,
            up: true,
            set_up: true,
            virtual_link: None,
        };
        self.reports.push(Change::Link(link.clone()));
        self.links.push(link);
        self.configure_own(index, name, |_| true);
    }

    /// An interface vanishes, and with it its addresses.
    pub(crate) fn vanish(&mut self, name: &str) {
        let Some(index) = self.link(name).map(|link| link.index) else { return };
        let above: Vec<String> =
            self.links.iter().filter(|l| is_on(l, index)).map(|l| l.name.clone()).collect();
        for link in &above {
            self.vanish(link);
        }
        self.drop_addresses(index, |_| true);
        self.drop_routes(index);
        self.links.retain(|link| link.index != index);
        self.set_up.remove(&index);
        self.down.retain(|(link, _)| link != name);
        self.reports.push(Change::LinkGone(index));
    }

    /// A virtual router's own link, as it is wanted.
    pub(crate) fn bring(&mut self, order: &VirtualLink) -> Result<(), Refusal> {
        let there = self.links.iter().find(|link| link.virtual_link == Some(order.id)).map(|link| link.index);
        if order.wanted.is_some() && order.there.is_some() && there != order.there {
            return Err(Refusal { errno: ENODEV, why: "set it: No such device".to_owned() });
        }
        let Some(state) = &order.wanted else {
            let name = there.and_then(|index| self.link_at(index)).map(|link| link.name.clone());
            if let Some(name) = name {
                self.vanish(&name);
            }
            return Ok(());
        };
        if self.link_at(order.id.below).is_none() {
            return Err(Refusal { errno: ENODEV, why: format!("make {}: No such device", state.name) });
        }
        let index = there.unwrap_or_else(|| self.make(order.id, &state.name));
        if order.estranged {
            self.give_mac(index, order.id.mac);
        }
        if state.up {
            self.set_up.insert(index);
        } else if self.set_up.remove(&index) {
            self.drop_addresses(index, |a| a.net.family() == Family::Ipv6);
        }
        self.follow_below();
        Ok(())
    }

    fn give_mac(&mut self, index: LinkIndex, mac: Mac) {
        let Some(link) = self.links.iter_mut().find(|link| link.index == index) else { return };
        link.mac = Some(mac);
        self.reports.push(Change::Link(link.clone()));
    }

    /// Somebody gives the virtual routers' own links another Ethernet address.
    pub(crate) fn estrange(&mut self) {
        let own: Vec<LinkIndex> = self.virtual_links().map(|(link, _)| link.index).collect();
        for index in own {
            self.give_mac(index, Mac([2, 0, 0, 0, 9, 9]));
        }
    }

    /// Somebody removes them. The kernel sets down what it removes, and says so.
    pub(crate) fn unlink(&mut self) {
        let own: Vec<LinkIndex> = self.virtual_links().map(|(link, _)| link.index).collect();
        for index in own {
            self.set_up.remove(&index);
            self.follow_below();
            if let Some(name) = self.link_at(index).map(|link| link.name.clone()) {
                self.vanish(&name);
            }
        }
    }

    fn make(&mut self, id: VirtualLinkId, name: &str) -> LinkIndex {
        let index = LinkIndex(self.next_index);
        self.next_index += 1;
        let link = Link {
            index,
            name: name.to_owned(),
            mac: Some(id.mac),
            mtu: 1500,
            up: false,
            set_up: false,
            virtual_link: Some(id),
        };
        self.reports.push(Change::Link(link.clone()));
        self.links.push(link);
        index
    }

    /// A virtual router's own link has a carrier if the one below it is up.
    fn follow_below(&mut self) {
        let up: BTreeSet<LinkIndex> =
            self.links.iter().filter(|link| link.up).map(|link| link.index).collect();
        for link in &mut self.links {
            let Some(VirtualLinkId { below, .. }) = link.virtual_link else { continue };
            let is_up = self.set_up.contains(&link.index) && up.contains(&below);
            if link.up != is_up {
                link.up = is_up;
                self.reports.push(Change::Link(link.clone()));
            }
        }
    }

    /// Whether what is sent on a link leaves the machine.
    pub(crate) fn sends(&self, link: LinkIndex) -> bool {
        self.is_connected(link) && (!self.is_virtual(link) || self.gates.pass_own(link))
    }

    /// Whether a link is the LAN's, or a virtual router's own on it, and up.
    pub(crate) fn is_connected(&self, link: LinkIndex) -> bool {
        let Some(lan) = self.lan() else { return false };
        lan.index == link || self.link_at(link).is_some_and(|l| l.up && is_on(l, lan.index))
    }

    /// Virtual routers' own links, and whether each is set up.
    pub(crate) fn virtual_links(&self) -> impl Iterator<Item = (&Link, bool)> {
        let own = self.links.iter().filter(|link| link.virtual_link.is_some());
        own.map(|link| (link, self.set_up.contains(&link.index)))
    }

    /// Whether a link is a virtual router's own.
    pub(crate) fn is_virtual(&self, link: LinkIndex) -> bool {
        self.link_at(link).is_some_and(|link| link.virtual_link.is_some())
    }

    /// The carrier comes or goes; addresses stay.
    pub(crate) fn set_carrier(&mut self, name: &str, up: bool) {
        self.set(name, "carrier", up);
    }

    /// The interface is set up or down. IPv6 addresses go when it goes down; the operator's come back with it.
    pub(crate) fn set_admin(&mut self, name: &str, up: bool) {
        let Some(index) = self.link(name).map(|link| link.index) else { return };
        if !up {
            self.drop_addresses(index, |a| a.net.family() == Family::Ipv6);
            self.drop_routes(index);
        }
        self.set(name, "admin", up);
        if up {
            self.configure_own(index, name, |net| net.family() == Family::Ipv6);
        }
    }

    fn set(&mut self, name: &str, what: &'static str, up: bool) {
        if up {
            self.down.remove(&(name.to_owned(), what));
        } else {
            self.down.insert((name.to_owned(), what));
        }
        let up = !self.down.iter().any(|(link, _)| link == name);
        let set_up = !self.down.contains(&(name.to_owned(), "admin"));
        let Some(link) = self.links.iter_mut().find(|link| link.name == name) else { return };
        if (link.up, link.set_up) != (up, set_up) {
            (link.up, link.set_up) = (up, set_up);
            self.reports.push(Change::Link(link.clone()));
        }
        self.follow_below();
    }

    fn configure_own(&mut self, index: LinkIndex, name: &str, which: impl Fn(&IpNet) -> bool) {
        if name == LAN {
            for net in self.own.clone().into_iter().filter(which) {
                self.put(LinkAddress { link: index, net, ours: false, usable: true, peer: None });
            }
        }
    }

    fn drop_addresses(&mut self, index: LinkIndex, which: impl Fn(&LinkAddress) -> bool) {
        let (gone, stay) = std::mem::take(&mut self.addresses)
            .into_iter()
            .partition::<Vec<_>, _>(|a| a.link == index && which(a));
        self.addresses = stay;
        self.reports.extend(gone.iter().map(|a| Change::AddressGone(Place { link: a.link, net: a.net })));
    }

    fn at(&self, place: Place) -> Option<usize> {
        self.addresses.iter().position(|a| a.link == place.link && a.net == place.net)
    }

    fn put(&mut self, address: LinkAddress) {
        if self.at(Place { link: address.link, net: address.net }).is_none() {
            self.addresses.push(address);
            self.reports.push(Change::Address(address));
        }
    }

    fn refuse(doing: &str, place: Place, errno: i32) -> Result<(), Refusal> {
        Err(Refusal { errno, why: format!("{doing} {} on {}: errno {errno}", place.net, place.link) })
    }

    fn is_refused(&mut self) -> bool {
        let refused = self.refusals > 0;
        self.refusals = self.refusals.saturating_sub(1);
        refused
    }

    /// Adds an address with our mark, never replacing one without.
    pub(crate) fn install(&mut self, placement: &Placement) -> Result<(), Refusal> {
        let place = placement.place;
        if self.is_refused() {
            return Self::refuse("add", place, EIO);
        }
        if self.link_at(place.link).is_none() {
            return Self::refuse("add", place, ENODEV);
        }
        match self.at(place) {
            Some(at) if self.addresses[at].ours => Ok(()),
            Some(_) => Self::refuse("add", place, EEXIST),
            None => {
                self.put(LinkAddress {
                    link: place.link,
                    net: place.net,
                    ours: true,
                    usable: true,
                    peer: None,
                });
                Ok(())
            }
        }
    }

    /// Removes an address if it carries our mark.
    pub(crate) fn remove(&mut self, place: Place) -> Result<(), Refusal> {
        match self.at(place) {
            Some(at) if self.addresses[at].ours => {
                if self.is_refused() {
                    return Self::refuse("remove", place, EIO);
                }
                self.delete(place);
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The address is removed, whoever does it; an IPv4 primary takes its secondaries along.
    pub(crate) fn delete(&mut self, place: Place) {
        let same = |a: &LinkAddress| {
            a.link == place.link && a.net.prefix() == place.net.prefix() && a.net.range() == place.net.range()
        };
        let is_primary = place.net.family() == Family::Ipv4
            && self.addresses.iter().find(|a| same(a)).is_some_and(|a| a.net == place.net);
        self.drop_addresses(place.link, |a| a.net == place.net || (is_primary && same(a)));
    }

    /// Somebody else puts an address of ours on the LAN as his own, or takes it away again.
    pub(crate) fn squat(&mut self, address: IpAddr, present: bool) {
        let Some(link) = self.link(LAN).map(|link| link.index) else { return };
        let net = IpNet::host(address);
        let place = Place { link, net };
        match self.at(place) {
            None if present => self.put(LinkAddress { link, net, ours: false, usable: true, peer: None }),
            Some(at) if !present && !self.addresses[at].ours => self.delete(place),
            Some(_) | None => {}
        }
    }

    /// The kernel says nothing of routes that go with their link.
    fn drop_routes(&mut self, link: LinkIndex) {
        self.paths.retain(|_, path| match path {
            Path::Route(route) => route.hops.iter().all(|hop| hop.link != Some(link)),
            Path::Rule(_) => true,
        });
    }

    /// Puts a route or rule in. A route needs its link up.
    pub(crate) fn put_path(&mut self, path: &Path) -> Result<(), Refusal> {
        let hops = match path {
            Path::Route(route) => route.hops.as_slice(),
            Path::Rule(_) => &[],
        };
        let up = |index: LinkIndex| self.link_at(index).is_some_and(|link| self.is_set_up(&link.name));
        if !hops.iter().filter_map(|hop| hop.link).all(up) {
            return Err(Refusal { errno: ENODEV, why: format!("add {path}: errno {ENODEV}") });
        }
        self.paths.entry(path.key()).or_insert_with(|| path.clone());
        Ok(())
    }

    /// Whether an interface is there and set up, with a carrier or without.
    pub(crate) fn is_set_up(&self, name: &str) -> bool {
        self.link(name).is_some() && !self.down.contains(&(name.to_owned(), "admin"))
    }

    /// Takes a route or rule out, whoever does it.
    pub(crate) fn remove_path(&mut self, key: &PathKey) {
        if self.paths.remove(key).is_some() {
            self.reports.push(Change::PathGone(key.clone()));
        }
    }

    /// Every route and rule with our mark.
    pub(crate) fn paths(&self) -> Vec<SeenPath> {
        let seen = |(key, path): (&PathKey, &Path)| {
            let route = match path {
                Path::Route(route) => Some(route.clone()),
                Path::Rule(_) => None,
            };
            SeenPath { key: key.clone(), route }
        };
        self.paths.iter().map(seen).collect()
    }

    /// Where an address with our mark is on the LAN, or on a virtual router's own link there.
    pub(crate) fn ours(&self, address: IpAddr) -> Option<Place> {
        let lan = self.link(LAN)?.index;
        let there = |link| link == lan || self.link_at(link).is_some_and(|l| is_on(l, lan));
        let found = self.addresses.iter().find(|a| a.ours && there(a.link) && a.net.address() == address)?;
        Some(Place { link: found.link, net: found.net })
    }

    /// Whether an address of ours is there, on a link that is up.
    fn is_up(&self, address: IpAddr) -> bool {
        let link = self.ours(address).and_then(|place| self.link_at(place.link));
        link.is_some_and(|link| link.up) && self.lan().is_some()
    }

    /// Every address with our mark.
    pub(crate) fn all_ours(&self) -> impl Iterator<Item = &LinkAddress> {
        self.addresses.iter().filter(|a| a.ours)
    }

    /// Whether the machine has this address on any link, whosever it is.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|a| a.net.address() == address)
    }

    /// Whether somebody else has this address on the LAN as his own.
    pub(crate) fn is_squatted(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|a| !a.ours && a.net.address() == address)
    }

    /// The operator's addresses that are missing although their interface is up.
    pub(crate) fn missing_own(&self) -> Option<IpNet> {
        let lan = self.lan()?.index;
        let has = |net: &IpNet| self.addresses.iter().any(|a| !a.ours && a.link == lan && a.net == *net);
        self.own.iter().find(|net| !has(net)).copied()
    }

    /// Whether the machine answers ARP or ND for an address of ours.
    pub(crate) fn answers(&self, address: IpAddr) -> bool {
        self.is_up(address) && self.gates.pass(address, true)
    }

    /// Whether the machine serves what is sent to it for an address of ours.
    pub(crate) fn serves(&self, address: IpAddr) -> bool {
        self.is_up(address) && self.gates.pass(address, false)
    }
}

/// Whether a link is a virtual router's own on this one.
fn is_on(link: &Link, below: LinkIndex) -> bool {
    link.virtual_link.is_some_and(|own| own.below == below)
}

const EIO: i32 = 5;
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;
