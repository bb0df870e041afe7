//! What virtual addresses may answer, as an nftables table of our own: `netdev vipd`. Other tables are never
//! touched, but for `inet vipd`, which refuses packets (`refusals`); and the `nft` program is needed by nobody but who
//! wants to look.
//!
//! For instance 3 with addresses on link 7, `eth0`, and virtual router identifier 51, in IPv4; IPv6 has the same:
//!
//! ```text
//!   table netdev vipd {
//!     set lease4_3        { type iface_index; flags dynamic,timeout; elements = { "eth0" expires 2s } }
//!     set quiet4_3        { type iface_index }
//!     map held4_7         { type ipv4_addr : verdict; elements = { 192.0.2.10 : goto router4_3 } }
//!     chain router4_3     drops unless the link is in lease4_3, and ARP if it is in quiet4_3
//!     chain adverts4_7    an advert of 51 with a priority, from the agent's own address, moves the end in
//!                         lease4_3, if it has not come
//!     chain in_7          hook ingress device "eth0" priority -500; by destination to held4_7
//!     chain out_7         hook egress device "eth0" priority 500; adverts, then by source to held4_7
//!   }
//! ```
//!
//! *The lease.* What is in the map answers only while the set beside it has an element, and that goes by itself
//! unless an advert leaves in time. So an agent that is killed, hung or starved stops answering, and no transaction
//! is needed for an advert. The element is put there once a term as master; later orders may only bring its end
//! nearer, with a removal that is refused if it has come: a late order revives nothing, and neither does a late
//! advert, for which the element is not there. Closing empties the set, before all else.
//!
//! Addresses may be on another link than the adverts, and of another family: the set then has an element for each link,
//! and the rule about the adverts moves the ends of all of them.
//!
//! A virtual router may have a link of its own, a macvlan with its Ethernet address ([`super::virtual_link`]). There the
//! lease gates everything, whatever address it is from or to, and what comes in for everybody comes in below:
//!
//! ```text
//!     chain in_8          ARP and IP for the virtual router, neighbour solicitations and queries for groups, by lease4_3
//!     chain out_8         ARP and IP, by lease4_3
//!     chain router4_3     as above, for what passes the interface below; and ARP with another Ethernet address: what
//!                         asks for a neighbour does so with the agent's own address, what answers is dropped
//! ```
//!
//! Keyed by link only within a router's own set: what one router's adverts do is nothing to another's. In the family
//! `netdev`, because it alone sees ARP and IP in one place, and sees what a packet socket sends. A frame costs one
//! lookup in a map, however many addresses and instances there are.
//!
//! A link that is renamed or made anew keeps nothing, or (Linux 6.16 and later) lends its chains to whoever gets its
//! name. So a link is known by number *and* name. When either differs, when somebody else changed the table, or when
//! the kernel refuses a change, the whole table is made again in one transaction, from what is wanted; whoever asked
//! for a lease has to say anew what it still is.
//!
//! Before Linux 5.16 there is no egress hook. There the ingress chain stands alone, and what is open is so without a
//! lease: nothing reaches what is shut and requests for quiet IPv4 addresses are not answered, but announcements and
//! IPv6 are not silenced.
//!
//! An agent that dies leaves its table, dark within the lease. The next one replaces it with its first change. A lease
//! that it adopts ([`Table::inherit`]) goes on through that change: the new element begins as the old one is taken, and
//! if that is gone by then the change is refused.

mod change;
mod objects;
mod refusals;
mod rules;
mod standing;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use netlink_packet_netfilter::nftables::{
    GenAttribute, GenMessage, ListAttribute, NfTablesMessage, RuleAttribute, SetElementAttribute,
    SetElementList,
};
use nix::libc;

use self::change::Turn;
use self::refusals::Refusals;
use self::standing::{Holders, Light, Refresh, Router, Standing};
use self::transaction::{Netfilter, Transaction};
use super::netlink::Failure;
use crate::engine::action::{Gate, Lease, Passage, Place, RouterId};
use crate::net::{Family, LinkIndex};
use crate::sys::clock;
use crate::time::Duration;

/// The newest order of each router.
pub type Gates = BTreeMap<RouterId, Gate>;

/// Where a chain sees frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    Ingress,
    Egress,
}

/// The table `netdev vipd`, and what is known to stand in it.
#[derive(Debug)]
pub struct Table {
    netfilter: Netfilter,
    refusals: Refusals,
    hooks: &'static [Hook],
    standing: Standing,
    /// The places that the standing holders were worked out from, and whether two routers share one of them.
    places: BTreeMap<RouterId, Vec<Place>>,
    shared: bool,
    /// Whether nothing is known for sure: at the start, or after a change failed, whose answer may have been lost.
    doubtful: bool,
    /// The ruleset's number when this table was last known to be as it was made.
    generation: u32,
    /// The terms whose leases have run out.
    over: BTreeMap<RouterId, u64>,
    /// Whose lease was looked at last.
    looked: Option<RouterId>,
    /// The terms of an earlier agent's leases, in the table as that agent left it.
    inherited: BTreeMap<RouterId, u64>,
}

impl Table {
    /// Finds out whether nftables is there for us; needs `CAP_NET_ADMIN`. What an agent before this one left stays
    /// until the first change.
    pub fn open() -> Result<Self, Failure> {
        let mut netfilter = Netfilter::open()?;
        let generation = current_generation(&mut netfilter)?;
        let (standing, over) = (Standing::default(), BTreeMap::new());
        let (places, inherited, hooks) = (BTreeMap::new(), BTreeMap::new(), BOTH);
        Ok(Self {
            netfilter,
            refusals: Refusals::default(),
            hooks,
            standing,
            places,
            shared: false,
            doubtful: true,
            generation,
            over,
            looked: None,
            inherited,
        })
    }

    /// Leases of these terms may live in the table as it is: asked for again, they go on if they do.
    pub fn inherit(&mut self, terms: BTreeMap<RouterId, u64>) {
        self.inherited = terms;
    }

    /// How long a lease in the table as it is lives unless adverts leave; none if it is over, or not on all of `links`.
    pub fn lease(&mut self, id: RouterId, links: &BTreeSet<LinkIndex>) -> Result<Option<Duration>, Failure> {
        match self.remaining(id, links) {
            // A table that is not there lets nothing live.
            Err(Failure { errno: libc::ENOENT, .. }) => Ok(None),
            found => found,
        }
    }

    /// Brings the table to what is wanted, in one transaction; links that do not exist are passed over. A lease
    /// begins or is cut only for a `fresh` order: what an older one says of it may not be true any more.
    pub fn settle(&mut self, gates: &Gates, fresh: &BTreeSet<RouterId>) -> Result<(), Failure> {
        // A link that is another by now is seen by the next look for a loss.
        let known = if self.doubtful { &BTreeMap::new() } else { &self.standing.links };
        let links = standing::names(gates.values().flat_map(standing::links_named), known);
        if links.is_empty() {
            return if self.standing.links.is_empty() && !self.doubtful { Ok(()) } else { self.delete() };
        }
        let mut settled = self.attempt(gates, fresh, &links);
        if settled.is_err() && !(self.standing.links.is_empty() && self.inherited.is_empty()) {
            // A lease that was to be cut, or to go on, may have run out in between: then it is over, and the rest goes on.
            settled = self.attempt(gates, fresh, &links);
        }
        if settled.is_err() {
            self.close(gates);
            self.doubtful = true;
        }
        settled
    }

    fn attempt(
        &mut self,
        gates: &Gates,
        fresh: &BTreeSet<RouterId>,
        links: &BTreeMap<LinkIndex, String>,
    ) -> Result<(), Failure> {
        if self.doubtful {
            self.standing = Standing::default();
            self.hooks = BOTH;
        }
        match self.commit(gates, fresh, links) {
            Err(Failure { errno: libc::EOPNOTSUPP, .. }) if self.doubtful => {
                self.hooks = &[Hook::Ingress];
                self.commit(gates, fresh, links)
            }
            done => done,
        }
    }

    fn commit(
        &mut self,
        gates: &Gates,
        fresh: &BTreeSet<RouterId>,
        links: &BTreeMap<LinkIndex, String>,
    ) -> Result<(), Failure> {
        let (mut next, mut turns) =
            (Standing { links: links.clone(), ..Standing::default() }, BTreeMap::new());
        for (id, gate) in gates {
            let on = standing::links_of(gate, links);
            if on.is_empty() {
                continue;
            }
            let lease = gate.lease.filter(|_| self.has_leases());
            let refresh = lease.map(|Lease { vrid, source, link, extension, .. }| Refresh {
                vrid,
                source,
                link,
                extension,
            });
            let known = self.standing.routers.get(id).filter(|router| router.links == on).map(|r| r.light);
            let (light, turn) = match (gate.passage, lease) {
                (Passage::Shut, _) => (Light::Dark, None),
                (Passage::Open | Passage::FramesOnly, None) => (Light::Steady, None),
                (Passage::Open | Passage::FramesOnly, Some(lease)) => {
                    self.judge(*id, lease, known, fresh.contains(id), &on)?
                }
            };
            turns.extend(turn.map(|turn| (*id, turn)));
            let quiet = gate.passage == Passage::FramesOnly;
            let below = gate.virtual_link.map(|own| (own.id.mac, own.source));
            next.routers.insert(*id, Router { links: on, refresh, light, quiet, below });
        }
        next.own = standing::own(gates, links);
        next.holders = self.holders(gates, fresh, links);
        let mut transaction = Transaction::default();
        if self.doubtful {
            for id in turns.keys().filter(|id| self.inherited.contains_key(id)) {
                objects::take(&mut transaction, &objects::lease(*id), &next.routers[id].links);
            }
            // Only what is there can be deleted.
            objects::make_table(&mut transaction);
            objects::delete_table(&mut transaction);
        }
        transaction.extend(change::change(&self.standing, &next, &turns, self.hooks));
        if !transaction.is_empty() {
            self.netfilter.commit(transaction)?;
            self.generation = self.generation.wrapping_add(1);
        }
        self.over.retain(|id, _| gates.contains_key(id));
        self.standing = next;
        self.doubtful = false;
        self.inherited.clear();
        Ok(())
    }

    /// Which router each address belongs to: worked out again only if it may have changed, for there may be thousands.
    fn holders(
        &mut self,
        gates: &Gates,
        fresh: &BTreeSet<RouterId>,
        links: &BTreeMap<LinkIndex, String>,
    ) -> Arc<Holders> {
        let as_before = |id: &RouterId| gates.get(id).map(|gate| &gate.places) == self.places.get(id);
        if !self.doubtful && !self.shared && *links == self.standing.links && fresh.iter().all(as_before) {
            return Arc::clone(&self.standing.holders);
        }
        self.places = gates.iter().map(|(id, gate)| (*id, gate.places.clone())).collect();
        let holders = standing::holders(gates, links);
        let there = |place: &&Place| links.contains_key(&place.link);
        self.shared = holders.len() < gates.values().flat_map(|gate| &gate.places).filter(there).count();
        Arc::new(holders)
    }

    /// What becomes of a lease that is wanted.
    fn judge(
        &mut self,
        id: RouterId,
        lease: Lease,
        known: Option<Light>,
        fresh: bool,
        on: &BTreeSet<LinkIndex>,
    ) -> Result<(Light, Option<Turn>), Failure> {
        let leased = Light::Leased { term: lease.term };
        let over = self.over.get(&id) == Some(&lease.term);
        let left = lease.until.since(clock::now());
        let turn = if self.doubtful && self.inherited.get(&id) == Some(&lease.term) {
            // What the kernel says counts: it knows whether the last adverts left, and whether others have since.
            let end = |lives: Duration| if lease.cut { lives.min(left) } else { lives };
            self.lease(id, on)?.map(|lives| Some(Turn::Begin(end(lives))))
        } else if known == Some(leased) {
            match (fresh, self.remaining(id, on)?) {
                (_, None) => None,
                (true, Some(lives)) if lease.cut && lives > left + SLACK => Some(Some(Turn::Cut(left))),
                (true | false, Some(_)) => Some(None),
            }
        } else {
            (fresh && !over).then_some(Some(Turn::Begin(left)))
        };
        match turn {
            Some(None) => Ok((leased, None)),
            Some(Some(turn)) if !turn.end().is_zero() => Ok((leased, Some(turn))),
            Some(Some(_)) | None => {
                self.over.insert(id, lease.term);
                Ok((Light::Dark, None))
            }
        }
    }

    /// How long a lease lives unless adverts leave; none if it is over. That its set is missing is an error: then nobody
    /// knows.
    fn remaining(&mut self, id: RouterId, on: &BTreeSet<LinkIndex>) -> Result<Option<Duration>, Failure> {
        let set = objects::lease(id);
        let mut shortest = None;
        for link in on {
            let mut expires = None;
            let asked = self.netfilter.ask(objects::ask_element(&set, *link), false, |answer| {
                expires = expires.or(expiration(&answer));
            });
            match asked {
                Err(Failure { errno: libc::ENOENT, .. }) => {
                    self.netfilter.ask(objects::ask_set(&set), false, drop)?;
                    return Ok(None);
                }
                Err(failure) => return Err(failure),
                Ok(()) => {}
            }
            let Some(expires) = expires else { return Ok(None) };
            shortest = Some(shortest.map_or(expires, |shortest: Duration| shortest.min(expires)));
        }
        Ok(shortest)
    }

    /// Ends what is not wanted, whatever else is wrong.
    fn close(&mut self, gates: &Gates) {
        for id in self.standing.routers.keys() {
            let open = gates.get(id).is_some_and(|gate| gate.passage != Passage::Shut);
            if !open {
                let mut transaction = Transaction::default();
                objects::empty_set(&mut transaction, &objects::lease(*id));
                // If the set is not there, nothing is closed that would have to be open, or the other way round.
                self.netfilter.commit(transaction).ok();
            }
        }
    }

    /// Whether it is not known what stands in the table: the next change makes everything again.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Whether anything passes for a router.
    pub fn is_lit(&self, id: RouterId) -> bool {
        !self.doubtful && self.standing.routers.get(&id).is_some_and(|router| router.light != Light::Dark)
    }

    /// Routers whose leases ran out although they are wanted. Each call looks at some, one after the other: each costs
    /// a question to the kernel, and who was late and may have lost a lease orders it anew, which looks at once.
    pub fn expired(&mut self) -> Result<Vec<RouterId>, Failure> {
        let leased = |(id, router): (&RouterId, &Router)| match router.light {
            Light::Leased { term } => Some((*id, term, router.links.clone())),
            Light::Dark | Light::Steady => None,
        };
        let routers = || self.standing.routers.iter();
        let later = routers().filter(|(id, _)| Some(**id) > self.looked);
        let earlier = routers().filter(|(id, _)| Some(**id) <= self.looked);
        let leased: Vec<_> = later.chain(earlier).filter_map(leased).take(LOOKS).collect();
        let mut expired = Vec::new();
        for (id, term, on) in leased {
            self.looked = Some(id);
            if self.remaining(id, &on)?.is_none() {
                self.over.insert(id, term);
                if let Some(router) = self.standing.routers.get_mut(&id) {
                    router.light = Light::Dark;
                }
                expired.push(id);
            }
        }
        Ok(expired)
    }

    /// What happened to the table, if it is not as it was made: then it has to be made again.
    pub fn loss(&mut self) -> Result<Option<String>, Failure> {
        if self.standing.links.is_empty() || self.doubtful {
            return Ok(None);
        }
        let moved = |(link, name): &(&LinkIndex, &String)| standing::name_of(**link).as_ref() != Some(*name);
        if let Some((_, name)) = self.standing.links.iter().find(moved) {
            return Ok(Some(format!(
                "{name} is gone or has another name, and the nftables table is without it"
            )));
        }
        let generation = current_generation(&mut self.netfilter)?;
        if generation == self.generation {
            return Ok(None);
        }
        // Somebody changed something; most likely it was something else.
        if self.count_rules()? != self.expected_rules()
            || self.count_holders()? != self.standing.holders.len()
        {
            return Ok(Some(CHANGED.to_owned()));
        }
        self.generation = generation;
        Ok(None)
    }

    fn count_rules(&mut self) -> Result<BTreeMap<String, usize>, Failure> {
        let mut counts = BTreeMap::new();
        let asked = self.netfilter.ask(objects::ask_rules(), true, |answer| {
            let NfTablesMessage::NewRule(rule) = answer else { return };
            let chain = rule.attributes.into_iter().find_map(|attribute| match attribute {
                RuleAttribute::Chain(chain) => Some(chain),
                _ => None,
            });
            *counts.entry(chain.unwrap_or_default()).or_default() += 1;
        });
        match asked {
            Err(failure) if failure.errno != libc::ENOENT => Err(failure),
            Ok(()) | Err(_) => Ok(counts),
        }
    }

    /// How many addresses stand in the maps.
    fn count_holders(&mut self) -> Result<usize, Failure> {
        let mut count = 0;
        let maps = self.standing.holders.keys().map(|(link, address)| (*link, Family::of(*address)));
        for (link, family) in maps.collect::<BTreeSet<_>>() {
            let asked =
                self.netfilter.ask(objects::ask_elements(&objects::held(link, family)), true, |answer| {
                    let NfTablesMessage::NewSetElement(message) = answer else { return };
                    count += message.attributes.iter().map(elements_in).sum::<usize>();
                });
            match asked {
                Err(failure) if failure.errno != libc::ENOENT => return Err(failure),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(count)
    }

    fn expected_rules(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let has_egress = self.has_leases();
        for link in self.standing.links.keys() {
            for hook in self.hooks {
                let rules = rules::at(*hook, *link, self.standing.own.get(link).copied(), has_egress);
                counts.insert(objects::base(*hook, *link), rules.len());
            }
            for family in [Family::Ipv4, Family::Ipv6] {
                let refreshes = self.standing.refreshes(*link, family).len();
                counts.insert(objects::adverts(*link, family), refreshes);
            }
        }
        for (id, router) in &self.standing.routers {
            counts.insert(objects::router_chain(*id), rules::router(*id, router.below, self.hooks).len());
        }
        counts.retain(|_, count| *count > 0);
        counts
    }

    /// Knows nothing any more: the next change makes everything again.
    pub fn forget(&mut self) {
        self.doubtful = true;
    }

    /// Whether there can be leases, and announcements and all of IPv6 can be silenced: whether there is an egress hook.
    pub fn has_leases(&self) -> bool {
        self.hooks.contains(&Hook::Egress)
    }

    /// Has packets refused as it is wanted, and no others.
    pub fn refuse(&mut self, gates: &Gates) -> Result<(), Failure> {
        self.refusals.settle(&mut self.netfilter, gates)
    }

    /// Whether somebody keeps packets from being refused; it is to be asked for again then.
    pub fn refusals_are_lost(&mut self) -> Result<bool, Failure> {
        self.refusals.are_lost(&mut self.netfilter)
    }

    /// Refuses nothing any more. Says whether there was a table for that.
    pub fn delete_refusals(&mut self) -> Result<bool, Failure> {
        self.refusals.delete(&mut self.netfilter)
    }

    /// Whether the table is there, whoever made it.
    pub fn exists(&mut self) -> Result<bool, Failure> {
        match self.netfilter.ask(objects::ask_table(), false, drop) {
            Ok(()) => Ok(true),
            Err(failure) if failure.errno == libc::ENOENT => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Deletes the table, if it is there.
    pub fn delete(&mut self) -> Result<(), Failure> {
        let mut transaction = Transaction::default();
        objects::make_table(&mut transaction);
        objects::delete_table(&mut transaction);
        self.netfilter.commit(transaction)?;
        self.standing = Standing::default();
        self.doubtful = false;
        Ok(())
    }
}

/// The number of the ruleset of this network namespace: another one after every change, whoever made it.
fn current_generation(netfilter: &mut Netfilter) -> Result<u32, Failure> {
    let mut generation = 0;
    netfilter.ask(NfTablesMessage::GetGen(GenMessage { attributes: Vec::new() }), false, |answer| {
        let NfTablesMessage::NewGen(message) = answer else { return };
        for attribute in message.attributes {
            if let GenAttribute::Id(id) = attribute {
                generation = id;
            }
        }
    })?;
    Ok(generation)
}

/// When the element in an answer expires.
fn expiration(answer: &NfTablesMessage) -> Option<Duration> {
    let NfTablesMessage::NewSetElement(message) = answer else { return None };
    message.attributes.iter().find_map(|attribute| {
        let SetElementList::Elements(elements) = attribute else { return None };
        elements.iter().find_map(|element| {
            let ListAttribute::Element(attributes) = element else { return None };
            attributes.iter().find_map(|attribute| match attribute {
                SetElementAttribute::Expiration(millis) => Some(Duration::from_millis(*millis)),
                _ => None,
            })
        })
    })
}

/// What has happened to a table that is not as it was made.
pub const CHANGED: &str = "somebody removed or changed the nftables table 'netdev vipd'";

fn elements_in(list: &SetElementList) -> usize {
    if let SetElementList::Elements(elements) = list { elements.len() } else { 0 }
}

const BOTH: &[Hook] = &[Hook::Ingress, Hook::Egress];

/// How many leases one look is for.
const LOOKS: usize = 16;

/// A lease that ends by so much later than it should is left alone: kernels count in ticks.
const SLACK: Duration = Duration::from_millis(4);
