//! `virtual_mac`: whether the addresses are on a link with the virtual router's own Ethernet address.

use super::problem::At;
use super::read::Item;
use super::scalar;
use crate::engine::settings::{self, Adverts};

/// What stands under `virtual_mac`, if it is no mere `true`.
pub(super) const KEYS: &[&str] = &["name", "adverts"];

/// The value of `virtual_mac` as written.
#[derive(Debug)]
pub(super) struct VirtualMac {
    pub(super) name: Option<At<String>>,
    pub(super) adverts: Option<At<Adverts>>,
}

impl VirtualMac {
    pub(super) fn settings(self) -> settings::VirtualMac {
        let adverts = self.adverts.map_or(Adverts::Virtual, |at| at.value);
        settings::VirtualMac { name: self.name.map(|at| at.value), adverts }
    }
}

/// Reads the value of `virtual_mac`; none inside if there is to be none.
pub(super) fn read(item: &Item<'_>) -> Option<At<Option<VirtualMac>>> {
    if !item.is_table() {
        let wanted = item.read("true or false, or a map of 'name' and 'adverts'", |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!(
                "'{text}' is not true or false; write true or false, or a map of 'name' and 'adverts'"
            )),
        })?;
        return Some(item.at(wanted.value.then_some(VirtualMac { name: None, adverts: None })));
    }
    let table = item.table("'name' or 'adverts'")?;
    table.only(KEYS, |_| None);
    let name = table.optional("name").map(|item| item.read("a name for the link", scalar::interface));
    let adverts = table.optional("adverts").map(|item| item.read("virtual or interface", adverts));
    // What is wrong has been noted, and is not what is missing.
    if matches!(name, Some(None)) || matches!(adverts, Some(None)) {
        return None;
    }
    Some(item.at(Some(VirtualMac { name: name.flatten(), adverts: adverts.flatten() })))
}

fn adverts(text: &str) -> Result<Adverts, String> {
    match text {
        "virtual" => Ok(Adverts::Virtual),
        "interface" => Ok(Adverts::Interface),
        _ => Err(format!("'{text}' is nowhere that adverts come from; write virtual or interface")),
    }
}
