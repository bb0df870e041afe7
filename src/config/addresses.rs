//! `addresses`: the virtual addresses, what each is like, and which addresses can be one.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::problem::{At, Spot};
use super::read::{Item, Noted, Table};
use super::scalar;
use crate::codes::Code;
use crate::engine::action::Form;
use crate::engine::settings::Address;
use crate::net::{Family, IpNet, Label};

/// What stands in an entry that is more than an address.
pub(super) const KEYS: &[&str] = &[
    "address",
    "interface",
    "label",
    "scope",
    "peer",
    "broadcast",
    "prefix_route",
    "advertise",
    "deprecated",
    "restore",
];

/// The virtual addresses as written.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) list: Vec<At<Address>>,
    /// Where they stand, if they are written.
    pub(super) spot: Option<Spot>,
    /// Nothing was left out because it was wrong.
    pub(super) whole: bool,
}

impl Addresses {
    /// Whether one of `family` is advertised.
    pub(super) fn has(&self, family: Family) -> bool {
        self.list.iter().any(|at| at.value.advertised && at.value.family() == family)
    }

    /// Whether any is advertised.
    pub(super) fn are_advertised(&self) -> bool {
        self.list.iter().any(|at| at.value.advertised)
    }
}

/// Reads the value of `addresses`.
pub(super) fn read(item: &Item<'_>) -> Option<Addresses> {
    let items = item.any_list(EXPECTED)?;
    let mut list: Vec<At<Address>> = items.iter().filter_map(entry).collect();
    let whole = list.len() == items.len();
    let mut seen = BTreeSet::new();
    list.retain(|at| {
        let address = at.value.address();
        // fe80::1 on two links is two addresses.
        let interface = at.value.interface.clone().filter(|_| is_link_local(address));
        let new = seen.insert((address, interface));
        if !new {
            item.findings.error(
                &at.spot,
                Code::WrittenTwice,
                format!("{address} is written twice; remove one"),
            );
        }
        new
    });
    Some(Addresses { list, spot: Some(item.spot.clone()), whole })
}

/// One address: alone, or with keys.
pub(super) fn entry(item: &Item<'_>) -> Option<At<Address>> {
    if !item.is_table() {
        let net = item.read(EXPECTED, virtual_address)?;
        return Some(At { spot: net.spot, value: net.value.into() });
    }
    let table = item.table("'address' and what else there is to say of it")?;
    table.only(KEYS, |_| None);
    let written = table.required("address", "192.0.2.10/24")?;
    let mut net = written.read("ADDRESS/PREFIX", virtual_address)?;
    let peer = peer(&table, net.value).ok()?;
    // The prefix of a point-to-point link is that of its other end.
    if let Some(peer) = peer {
        net.value = IpNet::new(net.value.address(), peer.prefix()).unwrap_or(net.value);
    }
    let net = net.value;
    let form = form(&table, net).ok()?;
    let interface = table.maybe("interface", |item| item.read("its name", scalar::interface)).ok()?;
    let advertised = table.or("advertise", true, Item::truth)?.value;
    let prefix_route = table.or("prefix_route", true, Item::truth)?.value;
    let restored = table.or("restore", true, Item::truth)?.value;
    let peer = peer.map(IpNet::address);
    let form = Form { peer, routeless: !prefix_route, left_alone: !restored, ..form };
    Some(item.at(Address { net, interface, advertised, form }))
}

/// What belongs to one family only.
fn form(table: &Table<'_>, net: IpNet) -> Result<Form, Noted> {
    let (keys, other) = match net.family() {
        Family::Ipv4 => (["deprecated"].as_slice(), Family::Ipv4),
        Family::Ipv6 => (["label", "scope", "broadcast"].as_slice(), Family::Ipv6),
    };
    if let Some(item) = keys.iter().find_map(|key| table.optional(key)) {
        item.error::<()>(Code::OtherFamily, format!("an {other} address has no such thing; remove it"));
        return Err(Noted);
    }
    let deprecated = table.maybe("deprecated", Item::truth)?;
    Ok(Form {
        label: table.maybe("label", |item| item.read("a label", label))?,
        scope: table.maybe("scope", |item| item.read(SCOPES, scope))?.unwrap_or(0),
        broadcast: table
            .maybe("broadcast", |item| item.read("an address, auto or none", |text| broadcast(text, net)))?
            .flatten(),
        preferred: deprecated == Some(false),
        ..Form::default()
    })
}

fn peer(table: &Table<'_>, net: IpNet) -> Result<Option<IpNet>, Noted> {
    table.maybe("peer", |item| {
        let at = item.read("an address, for example 192.0.2.1", virtual_address)?;
        let (peer, address) = (at.value.address(), net.address());
        if at.value.family() != net.family() || peer == address {
            return item
                .error(Code::OtherFamily, format!("{peer} is no other end for {address}; write another"));
        }
        if net.prefix() != net.family().bits() {
            return item.error(Code::Contradiction, "the prefix is the peer's; write 'address' without one");
        }
        Some(at)
    })
}

fn label(text: &str) -> Result<Label, String> {
    let bad = |c: char| c.is_whitespace() || c.is_control();
    Label::new(text)
        .filter(|_| !text.contains(bad))
        .ok_or_else(|| format!("'{text}' is no label; write 1 to {} bytes, such as eth0:web", Label::LONGEST))
}

/// A scope by its name in `rt_scopes`, or its number.
pub(super) fn scope(text: &str) -> Result<u8, String> {
    match text {
        "global" => Ok(0),
        "site" => Ok(200),
        "link" => Ok(253),
        "host" => Ok(254),
        "nowhere" => Ok(255),
        _ => scalar::number(text, 0, 255)
            .ok()
            .and_then(|number| u8::try_from(number).ok())
            .ok_or_else(|| format!("'{text}' is no scope; write {SCOPES}")),
    }
}

/// What scopes there are.
pub(super) const SCOPES: &str = "global, site, link, host or a number from 0 to 255";

fn broadcast(text: &str, net: IpNet) -> Result<Option<Ipv4Addr>, String> {
    match (text, net.range().1) {
        ("none", _) => Ok(None),
        ("auto", IpAddr::V4(_)) if net.prefix() > 30 => {
            Err(format!("{net} has no broadcast address; write none, or the address"))
        }
        ("auto", IpAddr::V4(last)) => Ok(Some(last)),
        _ => text
            .parse()
            .map(Some)
            .map_err(|_| format!("'{text}' is no broadcast address; write an IPv4 address, auto or none")),
    }
}

const EXPECTED: &str = "a list of addresses, for example [192.0.2.10/24]";

fn virtual_address(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text.parse()?;
    let address = net.address();
    let why = match address {
        IpAddr::V4(address) => why_not_v4(address, net.prefix()),
        IpAddr::V6(address) => why_not_v6(address, net.prefix()),
    };
    match why {
        None => Ok(net),
        Some(why) => Err(format!("{address} {why}; write an address that a host can have")),
    }
}

fn why_not_v4(address: Ipv4Addr, prefix: u8) -> Option<String> {
    let host_mask = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let host = address.to_bits() & host_mask;
    let why = if address.octets()[0] == 0 {
        "means no host"
    } else if address.is_loopback() {
        "never leaves this host"
    } else if address.is_multicast() {
        "is a multicast group"
    } else if address.is_broadcast() {
        "is the broadcast address"
    } else if prefix == 0 {
        "has the prefix 0, which is every address there is"
    } else if prefix < 31 && host == 0 {
        return Some(format!("is the network itself with the prefix {prefix}"));
    } else if prefix < 31 && host == host_mask {
        return Some(format!("is the network's broadcast address with the prefix {prefix}"));
    } else {
        return None;
    };
    Some(why.to_owned())
}

fn why_not_v6(address: Ipv6Addr, prefix: u8) -> Option<String> {
    let why = if address.is_unspecified() {
        "means no host"
    } else if address.is_loopback() {
        "never leaves this host"
    } else if address.is_multicast() {
        "is a multicast group"
    } else if address.to_ipv4_mapped().is_some() {
        "is an IPv4 address in disguise"
    } else if prefix == 0 {
        "has the prefix 0, which is every address there is"
    } else {
        return None;
    };
    Some(why.to_owned())
}

/// Whether the address means something only together with its link.
pub(super) const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_can_have_can_be_virtual() {
        for text in [
            "192.0.2.10/24",
            "192.0.2.10",
            "192.0.2.0/31",
            "192.0.2.255/32",
            "10.0.0.255/8",
            "169.254.1.1/16",
            "2001:db8::10/64",
            "fe80::1/64",
            "2001:db8::/64",
            "fd00::1",
        ] {
            assert_eq!(virtual_address(text).as_ref().map(ToString::to_string), Ok(full(text)));
        }
    }

    fn full(text: &str) -> String {
        text.parse::<IpNet>().unwrap().to_string()
    }

    #[test]
    fn what_no_host_can_have_is_refused() {
        for (text, why) in [
            ("0.0.0.0", "means no host"),
            ("0.1.2.3/8", "means no host"),
            ("127.0.0.1/8", "never leaves this host"),
            ("224.0.0.18", "is a multicast group"),
            ("255.255.255.255", "is the broadcast address"),
            ("192.0.2.1/0", "has the prefix 0"),
            ("192.0.2.0/24", "is the network itself with the prefix 24"),
            ("192.0.2.255/24", "is the network's broadcast address with the prefix 24"),
            ("::/64", "means no host"),
            ("::1", "never leaves this host"),
            ("ff02::12", "is a multicast group"),
            ("::ffff:192.0.2.1", "is an IPv4 address in disguise"),
            ("2001:db8::1/0", "has the prefix 0"),
        ] {
            let said = virtual_address(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
