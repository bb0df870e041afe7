//! What virtual addresses may still answer, as an nftables table of our own: `netdev vipd`. Other tables are
//! never touched, and the `nft` program is needed by nobody but who wants to look.
//!
//! A link gets its part of the table when something on it is first restricted, so an agent that hands nothing
//! over leaves no trace; when nothing is restricted any more, the table is deleted. For link 7, `eth0`:
//!
//! ```text
//!   table netdev vipd {
//!     set quiet4_7, quiet6_7     addresses that this node may not say it has: no ARP, no ND
//!     set shut4_7, shut6_7       addresses for which no IP passes either; they are quiet, too
//!     chain in_7                 hook ingress device "eth0" priority -500; the rules drop, the rest passes
//!     chain out_7                hook egress device "eth0" priority 500
//!   }
//! ```
//!
//! Per link, because the loopback and other legs may well use the same address. In the family `netdev`, because
//! it alone sees ARP and IP in one place, and sees what a packet socket sends. What comes in from a successor
//! who uses the address already passes: the agent has to hear it.
//!
//! A link that is renamed or made anew keeps nothing, or (Linux 6.16 and later) lends its chains to whoever gets its
//! name. So a link is known by number *and* name, and when either differs, or the kernel refuses a change, the
//! whole table is made again in one transaction, from what is wanted.
//!
//! Before Linux 5.16 there is no egress hook. There the ingress chain stands alone: nothing reaches what is shut
//! and requests for quiet IPv4 addresses are not answered, but announcements and IPv6 are not silenced.
//!
//! # Where a lease goes
//!
//! A restriction says what must not pass; a lease will say what passes only as long as adverts are sent. It
//! is one more kind of object beside these, in the same transactions: per instance a set `lease_N` with one timed element,
//! refreshed by an egress rule that matches the instance's own adverts, and the chains `held_in_N` and
//! `held_out_N`, which accept while that element lives and drop once it is gone; per link the verdict maps `holder4_7` and
//! `holder6_7` from address to chain, looked up at the end of `in_7` and `out_7`, behind the restrictions. Then
//! [`Restrictions`] becomes one field of what is wanted and the holders another, `make_link` makes the maps,
//! and the table a dead agent left is no longer deleted by [`Table::open`] but read: its leases tell whether
//! to go on as master.

mod objects;
mod rules;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use nix::libc;
use nix::net::if_::if_indextoname;

use self::transaction::{Netfilter, Transaction};
use super::netlink::Failure;
use crate::engine::action::{Passage, Place};
use crate::net::{Family, LinkIndex};

/// Which addresses may answer what, all instances together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions(BTreeMap<Set, BTreeSet<IpAddr>>);

impl Restrictions {
    /// Adds one instance's. What two instances say about the same address adds up.
    pub fn add(&mut self, passage: Passage, places: &[Place]) {
        let sets: &[Closed] = match passage {
            Passage::Open => &[],
            Passage::FramesOnly => &[Closed::Quiet],
            Passage::Shut => &[Closed::Quiet, Closed::Shut],
        };
        // What a host says to itself is nobody else's business.
        for place in places.iter().filter(|place| place.link != LOOPBACK) {
            for closed in sets {
                let set = Set { link: place.link, closed: *closed, family: place.net.family() };
                self.0.entry(set).or_default().insert(place.net.address());
            }
        }
    }

    /// Whether everything may pass.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn links(&self) -> impl Iterator<Item = LinkIndex> {
        self.0.keys().map(|set| set.link)
    }

    fn of(&self, set: Set) -> impl Iterator<Item = &IpAddr> {
        self.0.get(&set).into_iter().flatten()
    }

    fn has(&self, set: Set, address: &IpAddr) -> bool {
        self.0.get(&set).is_some_and(|addresses| addresses.contains(address))
    }
}

/// A set of addresses of one family on one link, called `quiet4_7` for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Set {
    link: LinkIndex,
    closed: Closed,
    family: Family,
}

/// What is closed to the addresses of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closed {
    /// ARP and ND.
    Quiet,
    /// IP.
    Shut,
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = match self.closed {
            Closed::Quiet => "quiet",
            Closed::Shut => "shut",
        };
        let family = match self.family {
            Family::Ipv4 => 4,
            Family::Ipv6 => 6,
        };
        write!(f, "{closed}{family}_{}", self.link)
    }
}

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
    hooks: &'static [Hook],
    /// The links that have chains, with the names they had then.
    links: BTreeMap<LinkIndex, String>,
    current: Restrictions,
    /// Whether a change failed, so that nothing is known for sure: its answer may have been lost.
    doubtful: bool,
}

impl Table {
    /// Finds out whether nftables is there for us; needs `CAP_NET_ADMIN`. What an agent before this one left is deleted.
    pub fn open() -> Result<Self, Failure> {
        let netfilter = Netfilter::open()?;
        let (links, current) = (BTreeMap::new(), Restrictions::default());
        let mut table = Self { netfilter, hooks: BOTH, links, current, doubtful: true };
        table.delete()?;
        Ok(table)
    }

    /// Brings the table to a wanted state, in one transaction; links that do not exist are passed over.
    pub fn restrict(&mut self, mut wanted: Restrictions) -> Result<(), Failure> {
        let links = names(wanted.links());
        wanted.0.retain(|set, _| links.contains_key(&set.link));
        if wanted.is_empty() {
            return if self.links.is_empty() && !self.doubtful { Ok(()) } else { self.delete() };
        }
        if !self.is_current() || self.change(&wanted, &links).is_err() {
            self.rebuild(&wanted, &links)?;
        }
        self.links.extend(links);
        self.current = wanted;
        Ok(())
    }

    /// Whether the table is as it was made, and the links that have chains are what they were.
    pub fn is_current(&self) -> bool {
        !self.doubtful && self.links.iter().all(|(link, name)| name_of(*link).as_ref() == Some(name))
    }

    /// Whether announcements and all of IPv6 can be silenced: whether there is an egress hook.
    pub fn silences_all(&self) -> bool {
        self.hooks.contains(&Hook::Egress)
    }

    /// Deletes the table, if it is there.
    pub fn delete(&mut self) -> Result<(), Failure> {
        let mut transaction = Transaction::default();
        objects::delete_table(&mut transaction);
        match self.commit(transaction) {
            Err(failure) if failure.errno != libc::ENOENT => return Err(failure),
            Ok(()) | Err(_) => {}
        }
        self.links.clear();
        self.current = Restrictions::default();
        self.doubtful = false;
        Ok(())
    }

    /// Changes only what differs.
    fn change(&mut self, wanted: &Restrictions, links: &BTreeMap<LinkIndex, String>) -> Result<(), Failure> {
        let mut transaction = Transaction::default();
        if self.links.is_empty() {
            objects::make_table(&mut transaction);
        }
        for (link, name) in links.iter().filter(|(link, _)| !self.links.contains_key(link)) {
            objects::make_link(&mut transaction, *link, name, self.hooks);
        }
        for set in self.current.0.keys() {
            let gone = self.current.of(*set).filter(|address| !wanted.has(*set, address));
            objects::remove(&mut transaction, *set, gone);
        }
        for set in wanted.0.keys() {
            let new = wanted.of(*set).filter(|address| !self.current.has(*set, address));
            objects::add(&mut transaction, *set, new);
        }
        self.commit(transaction)
    }

    /// Makes the table again, whatever has become of it.
    fn rebuild(&mut self, wanted: &Restrictions, links: &BTreeMap<LinkIndex, String>) -> Result<(), Failure> {
        let mut built = self.build(wanted, links, BOTH);
        self.hooks = BOTH;
        if let Err(Failure { errno: libc::EOPNOTSUPP, .. }) = built {
            built = self.build(wanted, links, &[Hook::Ingress]);
            self.hooks = if built.is_ok() { &[Hook::Ingress] } else { BOTH };
        }
        built?;
        self.links.clear();
        self.doubtful = false;
        Ok(())
    }

    fn build(
        &mut self,
        wanted: &Restrictions,
        links: &BTreeMap<LinkIndex, String>,
        hooks: &[Hook],
    ) -> Result<(), Failure> {
        let mut transaction = Transaction::default();
        // Only what is there can be deleted.
        objects::make_table(&mut transaction);
        objects::delete_table(&mut transaction);
        objects::make_table(&mut transaction);
        for (link, name) in links {
            objects::make_link(&mut transaction, *link, name, hooks);
        }
        for set in wanted.0.keys() {
            objects::add(&mut transaction, *set, wanted.of(*set));
        }
        self.commit(transaction)
    }

    fn commit(&mut self, transaction: Transaction) -> Result<(), Failure> {
        let committed = self.netfilter.commit(transaction);
        self.doubtful |= committed.is_err();
        committed
    }
}

/// The names of those links that exist.
fn names(links: impl Iterator<Item = LinkIndex>) -> BTreeMap<LinkIndex, String> {
    let links: BTreeSet<_> = links.collect();
    links.into_iter().filter_map(|link| Some((link, name_of(link)?))).collect()
}

fn name_of(link: LinkIndex) -> Option<String> {
    let name = if_indextoname(link.0).ok()?.into_string().ok()?;
    // nix takes the null pointer of a missing link for an empty name.
    (!name.is_empty()).then_some(name)
}

const BOTH: &[Hook] = &[Hook::Ingress, Hook::Egress];

/// The loopback has this number in every namespace.
const LOOPBACK: LinkIndex = LinkIndex(1);

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: LinkIndex = LinkIndex(7);

    fn place(link: LinkIndex, net: &str) -> Place {
        Place { link, net: net.parse().unwrap() }
    }

    fn sets(restrictions: &Restrictions) -> Vec<(String, Vec<String>)> {
        let texts = |set: &BTreeSet<IpAddr>| set.iter().map(ToString::to_string).collect();
        restrictions.0.iter().map(|(set, addresses)| (set.to_string(), texts(addresses))).collect()
    }

    #[test]
    fn what_is_shut_is_quiet_too() {
        let mut all = Restrictions::default();
        all.add(Passage::FramesOnly, &[place(ETH0, "192.0.2.10/24")]);
        all.add(Passage::Shut, &[place(ETH0, "192.0.2.11/32"), place(ETH0, "2001:db8::10/64")]);
        all.add(Passage::Open, &[place(ETH0, "192.0.2.12/24")]);
        let wanted = [
            ("quiet4_7", vec!["192.0.2.10", "192.0.2.11"]),
            ("quiet6_7", vec!["2001:db8::10"]),
            ("shut4_7", vec!["192.0.2.11"]),
            ("shut6_7", vec!["2001:db8::10"]),
        ];
        let wanted = wanted
            .map(|(set, addresses)| (set.to_owned(), addresses.iter().map(ToString::to_string).collect()));
        assert_eq!(sets(&all), wanted);
    }

    #[test]
    fn the_loopback_is_never_restricted() {
        let mut all = Restrictions::default();
        all.add(Passage::Shut, &[place(LOOPBACK, "192.0.2.10/32")]);
        assert!(all.is_empty());
    }
}
