//! What stands in the table, or is to: links, virtual routers, and which router each address belongs to.
//! Values only; `change` makes one from another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use nix::net::if_::if_indextoname;

use crate::engine::action::{Gate, Passage, RouterId};
use crate::net::{Family, LinkIndex, Mac, Vrid};
use crate::time::Duration;

/// Everything in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The links that have chains, with the names they had then.
    pub(super) links: BTreeMap<LinkIndex, String>,
    pub(super) routers: BTreeMap<RouterId, Router>,
    /// The links that are a router's own, and whose.
    pub(super) own: BTreeMap<LinkIndex, RouterId>,
    /// Shared with what stood before, if that had the same.
    pub(super) holders: Arc<Holders>,
}

/// Which router each address belongs to.
pub(super) type Holders = BTreeMap<(LinkIndex, IpAddr), RouterId>;

/// A virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Router {
    pub(super) links: BTreeSet<LinkIndex>,
    pub(super) refresh: Option<Refresh>,
    pub(super) light: Light,
    /// No ARP and no ND passes.
    pub(super) quiet: bool,
    /// How the interface below its own link speaks ARP, if it has one: with which Ethernet address for the router's
    /// addresses, and with which address otherwise.
    pub(super) below: Option<(Mac, Option<IpAddr>)>,
}

/// Which adverts move the lease's end, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refresh {
    pub(super) vrid: Vrid,
    pub(super) source: IpAddr,
    /// By which they leave.
    pub(super) link: LinkIndex,
    pub(super) extension: Duration,
}

/// Whether the addresses answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Light {
    /// They do not.
    Dark,
    /// They do until told otherwise.
    Steady,
    /// They do as long as the lease lives.
    Leased {
        /// The term as master that it belongs to.
        term: u64,
    },
}

/// The part of an object's name that says which router it is: `4_3` for IPv4 of instance 3.
#[derive(Clone, Copy)]
pub(super) struct Label(pub(super) RouterId);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", digit(self.0.family), self.0.instance.0)
    }
}

/// 4 or 6.
pub(super) const fn digit(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 6,
    }
}

impl Standing {
    /// The rules about adverts of a family that leave by a link: whose lease they move, how, and on which other links.
    pub(super) fn refreshes(
        &self,
        link: LinkIndex,
        family: Family,
    ) -> Vec<(RouterId, Refresh, Vec<LinkIndex>)> {
        let moves = |refresh: &Refresh| refresh.link == link && Family::of(refresh.source) == family;
        let refreshed = |(id, router): (&RouterId, &Router)| {
            let refresh = router.refresh.filter(moves)?;
            Some((*id, refresh, router.links.iter().copied().filter(|other| *other != link).collect()))
        };
        self.routers.iter().filter_map(refreshed).collect()
    }
}

/// Where a lease is kept, of those links that exist: where the addresses are, and where the adverts leave that move its
/// end. What a host says to itself is nobody else's business.
pub(super) fn links_of(gate: &Gate, links: &BTreeMap<LinkIndex, String>) -> BTreeSet<LinkIndex> {
    links_named(gate).filter(|link| links.contains_key(link)).collect()
}

/// The same, whether they exist or not.
pub(super) fn links_named(gate: &Gate) -> impl Iterator<Item = LinkIndex> + '_ {
    let below = gate.virtual_link.map(|own| own.id.below);
    gate.places.iter().map(|place| place.link).chain(gate.lease.map(|lease| lease.link)).chain(below)
}

/// Which router each address belongs to: where two have the same, the one that lets more pass, or else the newer.
pub(super) fn holders(gates: &BTreeMap<RouterId, Gate>, links: &BTreeMap<LinkIndex, String>) -> Holders {
    let mut claims: BTreeMap<(LinkIndex, IpAddr), (u8, RouterId)> = BTreeMap::new();
    for (id, gate) in gates {
        let claim = (rank(gate.passage), *id);
        for place in gate.places.iter().filter(|place| links.contains_key(&place.link)) {
            // Its own link knows no addresses; the interface below does.
            let own = gate.virtual_link.filter(|own| own.link == place.link);
            let link = own.map_or(place.link, |own| own.id.below);
            let best = claims.entry((link, place.net.address())).or_insert(claim);
            *best = claim.max(*best);
        }
    }
    claims.into_iter().map(|(address, (_, id))| (address, id)).collect()
}

/// Whose own each link is: where two say so, that of the one that lets more pass, or else of the newer.
pub(super) fn own(
    gates: &BTreeMap<RouterId, Gate>,
    links: &BTreeMap<LinkIndex, String>,
) -> BTreeMap<LinkIndex, RouterId> {
    let mut claims: BTreeMap<LinkIndex, (u8, RouterId)> = BTreeMap::new();
    for (id, gate) in gates {
        let Some(own) = gate.virtual_link.filter(|own| links.contains_key(&own.link)) else { continue };
        let claim = (rank(gate.passage), *id);
        let best = claims.entry(own.link).or_insert(claim);
        *best = claim.max(*best);
    }
    claims.into_iter().map(|(link, (_, id))| (link, id)).collect()
}

fn rank(passage: Passage) -> u8 {
    match passage {
        Passage::Shut => 0,
        Passage::FramesOnly => 1,
        Passage::Open => 2,
    }
}

/// The names of those links that exist, without the loopback. Who is in `known` is not asked again.
pub(super) fn names(
    links: impl Iterator<Item = LinkIndex>,
    known: &BTreeMap<LinkIndex, String>,
) -> BTreeMap<LinkIndex, String> {
    let links: BTreeSet<_> = links.filter(|link| *link != LOOPBACK).collect();
    let name = |link| Some((link, known.get(&link).cloned().or_else(|| name_of(link))?));
    links.into_iter().filter_map(name).collect()
}

/// What a link is called, if it is there.
pub(super) fn name_of(link: LinkIndex) -> Option<String> {
    let name = if_indextoname(link.0).ok()?.into_string().ok()?;
    // nix takes the null pointer of a missing link for an empty name.
    (!name.is_empty()).then_some(name)
}

/// The loopback has this number in every namespace.
pub(super) const LOOPBACK: LinkIndex = LinkIndex(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::action::{Generation, InstanceId, Place};

    const ETH0: LinkIndex = LinkIndex(7);

    fn gate(instance: u32, passage: Passage, nets: &[&str]) -> (RouterId, Gate) {
        let router = RouterId { instance: InstanceId(instance), family: Family::Ipv4 };
        let places = nets.iter().map(|net| Place { link: ETH0, net: net.parse().unwrap() }).collect();
        (
            router,
            Gate {
                router,
                generation: Generation(1),
                passage,
                lease: None,
                places,
                accept: true,
                virtual_link: None,
            },
        )
    }

    fn holder_of(gates: impl IntoIterator<Item = (RouterId, Gate)>) -> u32 {
        let links = BTreeMap::from([(ETH0, "eth0".to_owned())]);
        let holders = holders(&gates.into_iter().collect(), &links);
        assert_eq!(holders.len(), 1);
        holders.first_key_value().unwrap().1.instance.0
    }

    #[test]
    fn an_address_that_moves_belongs_to_whoever_lets_more_pass() {
        let net = &["192.0.2.10/24"];
        assert_eq!(holder_of([gate(1, Passage::Open, net), gate(2, Passage::Shut, net)]), 1);
        assert_eq!(holder_of([gate(1, Passage::FramesOnly, net), gate(2, Passage::Open, net)]), 2);
        assert_eq!(holder_of([gate(1, Passage::Shut, net), gate(2, Passage::Shut, net)]), 2);
        // In another form it is the same address.
        assert_eq!(holder_of([gate(1, Passage::Open, net), gate(2, Passage::Shut, &["192.0.2.10/32"])]), 1);
    }

    #[test]
    fn the_loopback_is_never_gated() {
        let (_, gate) = gate(1, Passage::Shut, &["192.0.2.10/32"]);
        let links = names([LOOPBACK].into_iter(), &BTreeMap::new());
        assert!(links.is_empty());
        assert!(links_of(&gate, &links).is_empty());
    }
}
