//! The nouns of the network: newtypes that cannot hold nonsense.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU8;
use core::str::FromStr;

/// An address family. One virtual router speaks exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The multicast group of VRRP: 224.0.0.18 or `ff02::12` (RFC 9568, 5.1.1.2 and 5.1.2.2).
    pub const fn group(self) -> IpAddr {
        match self {
            Self::Ipv4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
            Self::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
        }
    }

    /// The longest prefix: 32 or 128 bits.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }

    /// `ipv4` or `ipv6`, as status and the configuration write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// A virtual router identifier, 1 to 255 (RFC 9568, 5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vrid(NonZeroU8);

impl Vrid {
    /// The identifier `value`, unless it is 0.
    pub const fn new(value: u8) -> Option<Self> {
        match NonZeroU8::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number, 1 to 255.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Vrid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| format!("'{text}' is no virtual router id; write 1 to 255"))
    }
}

/// A priority as it stands in an advert (RFC 9568, 5.2.4): 0 resigns, 255 owns the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// 0: the master gives up its role.
    pub const RESIGN: Self = Self(0);
    /// 1: what `step-down` leaves a router with; it still takes over when nobody else is there.
    pub const LAST: Self = Self(1);
    /// 100: the default.
    pub const DEFAULT: Self = Self(100);
    /// 255: the router whose own interface carries the addresses.
    pub const OWNER: Self = Self(255);

    /// The priority `value`.
    pub const fn new(value: u8) -> Self {
        Self(value)
    }

    /// The number, 0 to 255.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether this is the address owner's priority.
    pub const fn is_owner(self) -> bool {
        self.0 == 255
    }

    /// This priority moved by the sum of its tracks' weights, within 1 to 254; an owner's never moves.
    pub fn weighted(self, weight: i32) -> Self {
        if self.is_owner() {
            return self;
        }
        let moved = i32::from(self.0).saturating_add(weight).clamp(1, 254);
        Self(u8::try_from(moved).unwrap_or(1))
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The virtual router's own address, 00-00-5E-00-01-{VRID} or 00-00-5E-00-02-{VRID} (RFC 9568, 7.3).
    pub const fn of_virtual_router(family: Family, vrid: Vrid) -> Self {
        let family = match family {
            Family::Ipv4 => 1,
            Family::Ipv6 => 2,
        };
        Self([0x00, 0x00, 0x5e, 0x00, family, vrid.get()])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The label of an IPv4 address, at most 15 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    bytes: [u8; Self::LONGEST],
    length: u8,
}

impl Label {
    /// How many bytes a label has at most.
    pub const LONGEST: usize = 15;

    /// The label `text`, if there is something in it and it is short enough.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::LONGEST];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).ok().filter(|length| *length > 0)?;
        Some(Self { bytes, length })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A network interface's number in its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkIndex(pub u32);

impl fmt::Display for LinkIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address with the length of its network's prefix, as `192.0.2.10/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

impl IpNet {
    /// The address with `prefix`, unless the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= Family::of(address).bits()).then_some(Self { address, prefix })
    }

    /// The address alone: /32 or /128.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, prefix: Family::of(address).bits() }
    }

    /// The address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The length of the prefix in bits.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The address's family.
    pub const fn family(self) -> Family {
        Family::of(self.address)
    }

    /// The first and the last address of this address's network.
    pub fn range(self) -> (IpAddr, IpAddr) {
        let host = u32::from(self.family().bits() - self.prefix);
        match self.address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(32 - host).unwrap_or(0);
                let bits = address.to_bits();
                (Ipv4Addr::from_bits(bits & !host).into(), Ipv4Addr::from_bits(bits | host).into())
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(128 - host).unwrap_or(0);
                let bits = address.to_bits();
                (Ipv6Addr::from_bits(bits & !host).into(), Ipv6Addr::from_bits(bits | host).into())
            }
        }
    }

    /// Whether `other` lies in this address's network.
    pub fn contains(self, other: IpAddr) -> bool {
        let (first, last) = self.range();
        Family::of(other) == self.family() && first <= other && other <= last
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for IpNet {
    type Err = String;

    /// Reads `ADDRESS/PREFIX`; without a prefix the address stands alone (/32 or /128).
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("'{text}' {what}; write ADDRESS/PREFIX, for example 192.0.2.10/24");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong("is no IP address"))?;
        match prefix {
            None => Ok(Self::host(address)),
            Some(prefix) if prefix.bytes().all(|b| b.is_ascii_digit()) => prefix
                .parse()
                .ok()
                .and_then(|prefix| Self::new(address, prefix))
                .ok_or_else(|| wrong(&format!("has a prefix longer than {}", Family::of(address).bits()))),
            Some(_) => Err(wrong("has a prefix that is no number")),
        }
    }
}

impl From<IpNet> for String {
    fn from(net: IpNet) -> Self {
        net.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_virtual_router_id_is_never_zero() {
        assert_eq!("0".parse::<Vrid>().unwrap_err(), "'0' is no virtual router id; write 1 to 255");
        assert!("256".parse::<Vrid>().is_err());
        assert_eq!("51".parse::<Vrid>().unwrap().get(), 51);
    }

    #[test]
    fn weights_stay_between_1_and_254_and_never_move_an_owner() {
        assert_eq!(Priority::new(100).weighted(-60), Priority::new(40));
        assert_eq!(Priority::new(100).weighted(-300), Priority::new(1));
        assert_eq!(Priority::new(200).weighted(100), Priority::new(254));
        assert_eq!(Priority::OWNER.weighted(-60), Priority::OWNER);
        assert_eq!(Priority::new(100).weighted(i32::MAX), Priority::new(254));
    }

    #[test]
    fn a_network_contains_what_shares_its_prefix() {
        assert!(net("192.0.2.10/24").contains("192.0.2.200".parse().unwrap()));
        assert!(!net("192.0.2.10/24").contains("192.0.3.1".parse().unwrap()));
        assert!(!net("192.0.2.10/32").contains("192.0.2.11".parse().unwrap()));
        assert!(net("0.0.0.0/0").contains("8.8.8.8".parse().unwrap()));
        assert!(net("2001:db8::1/64").contains("2001:db8::2".parse().unwrap()));
        assert!(!net("2001:db8::1/64").contains("192.0.2.1".parse().unwrap()));
        assert!(net("2001:db8::1/128").contains("2001:db8::1".parse().unwrap()));
        assert!(net("::/0").contains("2001:db8::2".parse().unwrap()));
    }

    #[test]
    fn wrong_networks_say_what_to_write() {
        for (text, what) in [
            ("192.0.2.1000", "is no IP address"),
            ("192.0.2.1/33", "has a prefix longer than 32"),
            ("192.0.2.1/x", "has a prefix that is no number"),
            ("192.0.2.1/+8", "has a prefix that is no number"),
            ("2001:db8::1/129", "has a prefix longer than 128"),
        ] {
            let said = text.parse::<IpNet>().unwrap_err();
            assert!(said.contains(what), "{text}: {said}");
        }
        assert_eq!(net("192.0.2.1"), net("192.0.2.1/32"));
    }

    #[test]
    fn the_virtual_routers_mac_carries_family_and_identifier() {
        let vrid = Vrid::new(51).unwrap();
        assert_eq!(Mac::of_virtual_router(Family::Ipv4, vrid).to_string(), "00:00:5e:00:01:33");
        assert_eq!(Mac::of_virtual_router(Family::Ipv6, vrid).to_string(), "00:00:5e:00:02:33");
    }
}
