//! `addresses`: the virtual addresses, and which addresses can be one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::problem::At;
use super::read::Item;
use crate::net::{Family, IpNet};

/// The virtual addresses as written.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) list: Vec<At<IpNet>>,
    /// Nothing was left out because it was wrong.
    pub(super) whole: bool,
}

impl Addresses {
    /// Whether there is one of `family`.
    pub(super) fn has(&self, family: Family) -> bool {
        self.list.iter().any(|at| at.value.family() == family)
    }
}

/// Reads the value of `addresses`.
pub(super) fn read(item: &Item<'_>) -> Option<Addresses> {
    let expected = "a list of addresses, for example [192.0.2.10/24]";
    let items = item.list(expected)?;
    let mut list: Vec<At<IpNet>> =
        items.iter().filter_map(|item| item.read(expected, virtual_address)).collect();
    let whole = list.len() == items.len();
    let mut seen = std::collections::BTreeSet::new();
    list.retain(|at| {
        let new = seen.insert(at.value.address());
        if !new {
            item.findings.error(&at.spot, format!("{} is written twice; remove one", at.value.address()));
        }
        new
    });
    Some(Addresses { list, whole })
}

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
