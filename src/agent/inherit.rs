//! What an earlier agent left to this one, at the start: its state file, and of each lease in it how long it still lives.
//!
//! Read before anything is changed. Without a lease that lives nothing is adopted, and what the checks said
//! last is too old to be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::state;
use crate::engine::action::RouterId;
use crate::engine::inheritance::{Estate, Inheritance, Inherited};
use crate::net::{Family, LinkIndex};
use crate::sys::clock;
use crate::sys::nftables::Table;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What is left, with the leases that live.
    pub inheritance: Inheritance,
    /// Their terms.
    pub terms: BTreeMap<RouterId, u64>,
}

impl Found {
    /// Looks in a runtime directory and in the kernel.
    pub fn look(directory: &Path) -> Self {
        let Some(inheritance) = state_in(directory) else { return Self::default() };
        let mut found = Self { inheritance, terms: BTreeMap::new() };
        let now = clock::now();
        // What was left itself, by one that has no addresses, may be over.
        let instances = found.inheritance.instances.iter_mut();
        instances.flat_map(|i| &mut i.estate).for_each(|estate| estate.leases.retain(|_, end| *end > now));
        // Where nftables is not to be had there are no leases.
        if let Ok(mut table) = Table::open() {
            for instance in &mut found.inheritance.instances {
                find_leases(&mut table, instance, &mut found.terms);
            }
        }
        if found.estates().next().is_none() {
            found.inheritance.checks.clear();
        }
        found
    }

    /// Whether there is anything that an agent could go on with.
    pub fn is_something(&self) -> bool {
        !self.inheritance.instances.is_empty()
    }

    /// Estates with a lease that lives.
    pub fn estates(&self) -> impl Iterator<Item = &Estate> {
        let estates = self.inheritance.instances.iter().filter_map(|instance| instance.estate.as_ref());
        estates.filter(|estate| !estate.leases.is_empty())
    }
}

fn state_in(directory: &Path) -> Option<Inheritance> {
    let read = clock::boot_id().map_err(state::Unusable::from);
    match read.and_then(|boot_id| state::read(directory, &boot_id, clock::now())) {
        Ok(state) => state,
        Err(why) => {
            tracing::warn!("{} is ignored: {why}", directory.join(state::NAME).display());
            None
        }
    }
}

fn find_leases(table: &mut Table, inherited: &mut Inherited, terms: &mut BTreeMap<RouterId, u64>) {
    let Some(estate) = &mut inherited.estate else { return };
    for family in [Family::Ipv4, Family::Ipv6] {
        let places = estate.places.iter().filter(|place| place.net.family() == family);
        let links: BTreeSet<LinkIndex> = places.map(|place| place.link).collect();
        if links.is_empty() {
            continue;
        }
        let id = RouterId { instance: inherited.id, family };
        let now = clock::now();
        // A table that cannot be asked proves no lease.
        if let Ok(Some(left)) = table.lease(id, &links) {
            estate.leases.insert(family, now + left);
            terms.insert(id, inherited.term);
        }
    }
}
