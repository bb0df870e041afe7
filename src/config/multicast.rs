//! `multicast`: where adverts come from and go to, if not as the standards have it.

use std::net::IpAddr;

use super::problem::At;
use super::read::Item;
use super::unicast::address;
use crate::codes::Code;
use crate::engine::settings;
use crate::net::Family;

/// What stands under `multicast`.
pub(super) const KEYS: &[&str] = &["source", "group"];

/// The value of `multicast` as written.
#[derive(Debug, Default)]
pub(super) struct Multicast {
    pub(super) sources: Vec<At<IpAddr>>,
    pub(super) groups: Vec<At<IpAddr>>,
}

impl Multicast {
    pub(super) fn settings(&self) -> settings::Multicast {
        let plain = |list: &[At<IpAddr>]| list.iter().map(|at| at.value).collect();
        settings::Multicast { sources: plain(&self.sources), groups: plain(&self.groups) }
    }
}

/// Reads the value of `multicast`.
pub(super) fn read(item: &Item<'_>) -> Option<At<Multicast>> {
    let table = item.table("'source' or 'group'")?;
    table.only(KEYS, |_| None);
    let list = |key, expected: &str, parse: fn(&str) -> Result<IpAddr, String>| {
        let items = table.optional(key).and_then(|item| item.one_or_list(expected)).unwrap_or_default();
        let list: Vec<At<IpAddr>> = items.iter().filter_map(|item| item.read(expected, parse)).collect();
        for (index, at) in list.iter().enumerate() {
            let family = Family::of(at.value);
            if list[..index].iter().any(|other| Family::of(other.value) == family) {
                let what = format!("a second {family} {key}; write one for each family");
                item.findings.error(&at.spot, Code::WrittenTwice, what);
            }
        }
        list
    };
    let sources = list("source", "an address of this host, or one for each family", address);
    let groups = list("group", "a multicast address, or one for each family", group);
    Some(item.at(Multicast { sources, groups }))
}

/// Adverts stay on the link: of IPv6's groups only those of its scope will do.
fn group(text: &str) -> Result<IpAddr, String> {
    let wrong =
        || format!("'{text}' is no multicast group of a link; write one, for example 224.0.0.18 or ff02::12");
    let address: IpAddr = text.parse().map_err(|_| wrong())?;
    let fits = match address {
        IpAddr::V4(address) => address.is_multicast(),
        IpAddr::V6(address) => address.is_multicast() && address.segments()[0] & 0xf == 2,
    };
    if fits { Ok(address) } else { Err(wrong()) }
}
