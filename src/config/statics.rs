//! `static`: addresses, routes and rules that are there for as long as the agent runs.

use super::addresses;
use super::instance;
use super::problem::At;
use super::read::Item;
use crate::codes::Code;
use crate::engine::settings::{self, Address, Path};

/// What stands under `static`.
pub(super) const KEYS: &[&str] = &["addresses", "routes", "rules"];

/// The value of `static` as written.
#[derive(Debug, Default)]
pub(super) struct Statics {
    pub(super) addresses: Vec<At<Address>>,
    pub(super) paths: Vec<At<Path>>,
}

impl Statics {
    pub(super) fn settings(self) -> settings::Statics {
        settings::Statics {
            addresses: self.addresses.into_iter().map(|at| at.value).collect(),
            paths: self.paths.into_iter().map(|at| at.value).collect(),
        }
    }
}

/// Reads the value of `static`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Statics>> {
    let table = item.table("'addresses', 'routes' or 'rules'")?;
    table.only(KEYS, |_| None);
    let paths = instance::paths(&table);
    let list = match table.optional("addresses") {
        None => Vec::new(),
        Some(item) => {
            item.list("a list of addresses, for example [{address: 192.0.2.1/24, interface: eth0}]")?
        }
    };
    let addresses: Vec<_> = list.iter().filter_map(address).collect();
    if addresses.len() < list.len() {
        return None;
    }
    Some(item.at(Statics { addresses, paths: paths? }))
}

/// One that says where it is to be, and nothing of adverts.
fn address(item: &Item<'_>) -> Option<At<Address>> {
    let at = addresses::entry(item)?;
    if at.value.interface.is_none() {
        return item.error(
            Code::KeyMissing,
            "no instance says where it is to be; write {address: .., interface: ..}",
        );
    }
    if !at.value.advertised {
        return item.error(Code::NothingToDo, "no advert lists a static address; remove 'advertise'");
    }
    Some(at)
}
