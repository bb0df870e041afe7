//! What packets the host refuses although it has their address (RFC 9568, 6.1: `Accept_Mode` is false), as an nftables
//! table of its own, `inet vipd`: apart from the gate's, which sees what passes one link, for packets for an address may
//! come by any link; and so that a kernel that has only one of the two families has half.
//!
//! ```text
//!   table inet vipd {
//!     set refused4    { type ipv4_addr; elements = { 192.0.2.10 } }
//!     set refused6    { type ipv6_addr; elements = { 2001:db8::10 } }
//!     set refused6on  { type ipv6_addr . iface_index; elements = { fe80::10 . "eth0" } }
//!     chain input     hook input priority 0; drops what is for one of these, but for neighbour solicitations and
//!                     advertisements, and but for what the host says to itself
//!   }
//! ```
//!
//! What is forwarded does not come by here. Any change makes the whole table again, in one transaction: it is one of
//! the configuration, not of who is master.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_netfilter::nftables::NfTablesMessage;
use nix::libc;

use super::objects;
use super::rules;
use super::transaction::{Netfilter, Transaction};
use super::{Gates, current_generation, elements_in};
use crate::net::LinkIndex;
use crate::sys::netlink::Failure;

/// The table `inet vipd`, and what is known to stand in it.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// `None` while nothing is known for sure.
    standing: Option<Refused>,
    /// The ruleset's number when it was last known to be as it was made.
    generation: u32,
}

/// The addresses. Link-local ones are only on their link.
#[derive(Debug, Default, PartialEq, Eq)]
struct Refused {
    ipv4: BTreeSet<Ipv4Addr>,
    ipv6: BTreeSet<Ipv6Addr>,
    on_links: BTreeSet<(Ipv6Addr, LinkIndex)>,
}

impl Refusals {
    /// Brings the table to what is wanted.
    pub(super) fn settle(&mut self, netfilter: &mut Netfilter, gates: &Gates) -> Result<(), Failure> {
        let wanted = Refused::of(gates);
        if self.standing.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let there = match &self.standing {
            Some(standing) => !standing.is_empty(),
            None => exists(netfilter)?,
        };
        let mut transaction = Transaction::for_packets();
        if there {
            // Somebody may have deleted it, and only what is there can be deleted.
            objects::make_table(&mut transaction);
            objects::delete_table(&mut transaction);
        }
        if !wanted.is_empty() {
            wanted.make(&mut transaction);
        }
        self.standing = None;
        netfilter.commit(transaction)?;
        self.standing = Some(wanted);
        self.generation = current_generation(netfilter)?;
        Ok(())
    }

    /// Whether somebody changed the table: then it has to be made again.
    pub(super) fn are_lost(&mut self, netfilter: &mut Netfilter) -> Result<bool, Failure> {
        let Some(standing) = self.standing.as_ref().filter(|standing| !standing.is_empty()) else {
            return Ok(false);
        };
        let generation = current_generation(netfilter)?;
        if generation == self.generation {
            return Ok(false);
        }
        let there = standing.counts()
            == [count(netfilter, IPV4)?, count(netfilter, IPV6)?, count(netfilter, ON_LINKS)?]
            && count_rules(netfilter)? == rules::refusing().len();
        if there {
            self.generation = generation;
        } else {
            self.standing = None;
        }
        Ok(!there)
    }

    /// Deletes the table. Says whether it was there.
    pub(super) fn delete(&mut self, netfilter: &mut Netfilter) -> Result<bool, Failure> {
        let there = exists(netfilter)?;
        if there {
            let mut transaction = Transaction::for_packets();
            objects::delete_table(&mut transaction);
            netfilter.commit(transaction)?;
        }
        self.standing = Some(Refused::default());
        Ok(there)
    }
}

impl Refused {
    fn of(gates: &Gates) -> Self {
        let mut refused = Self::default();
        for place in gates.values().filter(|gate| !gate.accept).flat_map(|gate| &gate.places) {
            match place.net.address() {
                IpAddr::V4(address) => refused.ipv4.insert(address),
                IpAddr::V6(address) if address.is_unicast_link_local() => {
                    refused.on_links.insert((address, place.link))
                }
                IpAddr::V6(address) => refused.ipv6.insert(address),
            };
        }
        refused
    }

    fn is_empty(&self) -> bool {
        self.counts() == [0; 3]
    }

    fn counts(&self) -> [usize; 3] {
        [self.ipv4.len(), self.ipv6.len(), self.on_links.len()]
    }

    fn make(&self, transaction: &mut Transaction) {
        objects::make_table(transaction);
        objects::make_refusals(transaction, [IPV4, IPV6, ON_LINKS], rules::refusing());
        let ipv4 = self.ipv4.iter().map(|address| address.octets().to_vec());
        let ipv6 = self.ipv6.iter().map(|address| address.octets().to_vec());
        let on_links = self
            .on_links
            .iter()
            .map(|(address, link)| address.octets().into_iter().chain(objects::link_key(*link)).collect());
        objects::fill(transaction, IPV4, ipv4);
        objects::fill(transaction, IPV6, ipv6);
        objects::fill(transaction, ON_LINKS, on_links);
    }
}

/// Whether the table is there, whoever made it.
pub(super) fn exists(netfilter: &mut Netfilter) -> Result<bool, Failure> {
    match netfilter.ask_for_packets(objects::ask_table(), false, drop) {
        Ok(()) => Ok(true),
        Err(failure) if failure.errno == libc::ENOENT => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn count(netfilter: &mut Netfilter, set: &str) -> Result<usize, Failure> {
    let mut count = 0;
    let asked = netfilter.ask_for_packets(objects::ask_elements(set), true, |answer| {
        let NfTablesMessage::NewSetElement(message) = answer else { return };
        count += message.attributes.iter().map(elements_in).sum::<usize>();
    });
    unless_missing(asked).map(|()| count)
}

fn count_rules(netfilter: &mut Netfilter) -> Result<usize, Failure> {
    let mut count = 0;
    let asked = netfilter.ask_for_packets(objects::ask_rules(), true, |answer| {
        count += usize::from(matches!(answer, NfTablesMessage::NewRule(_)));
    });
    unless_missing(asked).map(|()| count)
}

fn unless_missing(asked: Result<(), Failure>) -> Result<(), Failure> {
    match asked {
        Err(failure) if failure.errno != libc::ENOENT => Err(failure),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The names of the sets.
pub(super) const IPV4: &str = "refused4";
pub(super) const IPV6: &str = "refused6";
pub(super) const ON_LINKS: &str = "refused6on";
