//! From what stands in the table to what is to stand there: the messages of one transaction, as few as it takes.
//!
//! A change of passage is a handful of messages however many addresses there are. Addresses cost something only
//! when their set changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Hook;
use super::objects;
use super::standing::{Light, Router, Standing};
use super::transaction::Transaction;
use crate::engine::action::RouterId;
use crate::net::{Family, LinkIndex};
use crate::time::Duration;

/// What becomes of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It begins, and ends after this unless adverts leave.
    Begin(Duration),
    /// It ends sooner, if it lives at all; otherwise the transaction is refused.
    Cut(Duration),
}

impl Turn {
    /// After how long it ends unless adverts leave.
    pub(super) fn end(self) -> Duration {
        match self {
            Self::Begin(end) | Self::Cut(end) => end,
        }
    }
}

/// The messages. `turns` are for routers that are lit afterwards.
pub(super) fn change(
    old: &Standing,
    new: &Standing,
    turns: &BTreeMap<RouterId, Turn>,
    hooks: &[Hook],
) -> Transaction {
    let mut transaction = Transaction::default();
    let out = &mut transaction;
    for (id, router) in &old.routers {
        let stays = |next: &Router| next.light == router.light && next.links == router.links;
        if router.light != Light::Dark && !new.routers.get(id).is_some_and(stays) {
            objects::empty_set(out, &objects::lease(*id));
        }
    }
    if old.links.is_empty() && !new.links.is_empty() {
        objects::make_table(out);
    }
    let stays = |link: &LinkIndex, old: &Standing, new: &Standing| {
        old.links.contains_key(link) && new.links.contains_key(link) && old.own.get(link) == new.own.get(link)
    };
    let gone = || old.links.keys().filter(|link| !stays(link, old, new));
    // Their rules are about sets that are made, and deleted, with the routers.
    for link in gone().filter(|link| old.own.contains_key(link)) {
        objects::delete_link(out, *link, hooks);
    }
    let come = || new.links.iter().filter(|(link, _)| !stays(link, old, new));
    for (link, name) in come().filter(|(link, _)| !new.own.contains_key(link)) {
        objects::make_link(out, *link, name, None, hooks);
    }
    for (id, router) in &new.routers {
        match old.routers.get(id) {
            None => objects::make_router(out, *id, router.below, hooks),
            Some(known) if known.below != router.below => {
                objects::change_router(out, *id, router.below, hooks);
            }
            Some(_) => {}
        }
    }
    for (link, name) in come().filter(|(link, _)| new.own.contains_key(link)) {
        objects::make_link(out, *link, name, new.own.get(link).copied(), hooks);
    }
    refreshes(out, old, new);
    holders(out, old, new);
    for (id, router) in &new.routers {
        lights(out, *id, old.routers.get(id), router, turns.get(id).copied());
    }
    for id in old.routers.keys().filter(|id| !new.routers.contains_key(id)) {
        objects::delete_router(out, *id);
    }
    for link in gone().filter(|link| !old.own.contains_key(link)) {
        objects::delete_link(out, *link, hooks);
    }
    transaction
}

/// What has no number is made again as a whole.
fn refreshes(out: &mut Transaction, old: &Standing, new: &Standing) {
    for link in old.links.keys().chain(new.links.keys()).collect::<BTreeSet<_>>() {
        for family in FAMILIES {
            let (before, after) = (old.refreshes(*link, family), new.refreshes(*link, family));
            if before != after {
                let existed = !before.is_empty();
                objects::make_refreshes(out, *link, family, &after, existed);
            }
        }
    }
}

fn holders(out: &mut Transaction, old: &Standing, new: &Standing) {
    let differs = |a: &Standing, b: &Standing| -> BTreeMap<(LinkIndex, Family), Vec<(IpAddr, RouterId)>> {
        let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (at, id) in a.holders.iter().filter(|(at, id)| b.holders.get(at) != Some(id)) {
            groups.entry((at.0, id.family)).or_default().push((at.1, *id));
        }
        groups
    };
    if Arc::ptr_eq(&old.holders, &new.holders) {
        return;
    }
    for ((link, family), addresses) in differs(old, new) {
        objects::remove(out, link, family, &addresses);
    }
    for ((link, family), addresses) in differs(new, old) {
        objects::add(out, link, family, &addresses);
    }
}

fn lights(out: &mut Transaction, id: RouterId, old: Option<&Router>, new: &Router, turn: Option<Turn>) {
    let (lease, quiet) = (objects::lease(id), objects::quiet(id));
    let moved = old.is_none_or(|old| old.links != new.links);
    let relit = moved || old.is_none_or(|old| old.light != new.light);
    match (new.light, turn) {
        (Light::Leased { .. }, Some(Turn::Begin(timeout))) => {
            objects::put(out, &lease, &new.links, Some(timeout));
        }
        (Light::Leased { .. }, Some(Turn::Cut(timeout))) => {
            objects::take(out, &lease, &new.links);
            objects::put(out, &lease, &new.links, Some(timeout));
        }
        (Light::Steady, _) if relit => objects::put(out, &lease, &new.links, None),
        (Light::Dark | Light::Leased { .. } | Light::Steady, _) => {}
    }
    let was_quiet = old.is_some_and(|old| old.quiet);
    if was_quiet && (moved || !new.quiet) {
        objects::empty_set(out, &quiet);
    }
    if new.quiet && (moved || !was_quiet) {
        objects::put(out, &quiet, &new.links, None);
    }
}

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::action::InstanceId;
    use crate::net::Vrid;
    use crate::sys::nftables::standing::Refresh;
    use std::net::Ipv4Addr;

    const WEB: RouterId = RouterId { instance: InstanceId(3), family: Family::Ipv4 };
    const ETH0: LinkIndex = LinkIndex(7);

    /// A router with so many addresses.
    fn standing(light: Light, addresses: u32) -> Standing {
        let refresh = Refresh {
            vrid: Vrid::new(51).unwrap(),
            source: Ipv4Addr::new(192, 0, 2, 1).into(),
            link: ETH0,
            extension: Duration::from_secs(3),
        };
        let links = BTreeSet::from([ETH0]);
        let router = Router { links, refresh: Some(refresh), light, quiet: false, below: None };
        let address = |n| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n));
        Standing {
            links: BTreeMap::from([(ETH0, "eth0".to_owned())]),
            routers: BTreeMap::from([(WEB, router)]),
            own: BTreeMap::new(),
            holders: Arc::new((0..addresses).map(|n| ((ETH0, address(n)), WEB)).collect()),
        }
    }

    fn messages(old: &Standing, new: &Standing, turn: Option<Turn>) -> usize {
        let turns = turn.map(|turn| (WEB, turn)).into_iter().collect();
        change(old, new, &turns, &[Hook::Ingress, Hook::Egress]).len()
    }

    #[test]
    fn a_change_of_passage_takes_as_many_messages_for_one_address_as_for_thousands() {
        let (leased, turn) = (Light::Leased { term: 1 }, Turn::Begin(Duration::from_secs(3)));
        for addresses in [1, 10_000] {
            let (dark, lit) = (standing(Light::Dark, addresses), standing(leased, addresses));
            assert_eq!(messages(&dark, &lit, Some(turn)), 1);
            assert_eq!(messages(&lit, &dark, None), 1);
            assert_eq!(messages(&lit, &lit, None), 0, "what is as it should be takes no transaction");
        }
    }

    #[test]
    fn a_new_term_empties_the_set_before_it_fills_it() {
        let (first, second) =
            (standing(Light::Leased { term: 1 }, 1), standing(Light::Leased { term: 2 }, 1));
        assert_eq!(messages(&first, &second, Some(Turn::Begin(Duration::from_secs(3)))), 2);
    }

    #[test]
    fn one_address_more_takes_one_message_more() {
        let (few, more) = (standing(Light::Dark, 5_000), standing(Light::Dark, 5_001));
        assert_eq!(messages(&few, &more, None), 1);
    }
}
