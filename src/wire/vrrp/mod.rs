//! VRRP adverts: version 2 as RFC 3768 has it (with the simple password of RFC 2338, which peers still
//! send) and version 3 as RFC 9568 has it. Here stand the values, [`decode`](decode()) and
//! [`encode`](Advert::encode) turn them from and into bytes.
//!
//! Adverts may have a [`Trailer`] behind them that signs them.
//!
//! TTL, source, destination, and whether a virtual router of ours is meant at all, are the caller's: they
//! are not in these bytes.

mod decode;
mod encode;
#[cfg(test)]
mod golden;
mod interval;
mod trailer;

pub use decode::{Malformed, decode, decode_signed, peek};
pub use interval::{AdvertInterval, IntervalError};
pub use trailer::{Key, Sequence, TRAILER_LENGTH, Trailer, split};

use crate::net::{Family, Priority, Vrid};
use crate::time::Duration;
use crate::wire::checksum::Checksum;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// The IP protocol number of VRRP.
pub const PROTOCOL: u8 = 112;

/// The TTL or hop limit that every multicast advert has (RFC 9568, 5.1.1.3 and 5.1.2.3).
pub const TTL: u8 = 255;

/// The most addresses an advert can list: their count is one byte.
pub const MOST_ADDRESSES: usize = 255;

const HEADER_LENGTH: usize = 8;
const AUTHENTICATION_LENGTH: usize = 8;
const ADVERTISEMENT: u8 = 1;

/// A version of VRRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Version 2, RFC 3768: IPv4 only, intervals in whole seconds.
    V2,
    /// Version 3, RFC 9568: IPv4 and IPv6, intervals in centiseconds.
    V3,
}

impl Version {
    /// The number in the packet, 2 or 3.
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    const fn of(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// What a version 2 advert proves its sender with; version 3 has nothing of the kind.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Type 0: nothing (RFC 3768, 5.3.6).
    #[default]
    None,
    /// Type 1: a password in clear, padded with zeros (RFC 2338, 5.3.6.2).
    Simple([u8; AUTHENTICATION_LENGTH]),
}

impl Authentication {
    const fn kind(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Simple(_) => 1,
        }
    }

    const fn data(self) -> [u8; AUTHENTICATION_LENGTH] {
        match self {
            Self::None => [0; AUTHENTICATION_LENGTH],
            Self::Simple(password) => password,
        }
    }
}

impl fmt::Debug for Authentication {
    /// Without the password: clear on the wire is no reason to be clear in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Simple(_) => "Simple(..)",
        })
    }
}

/// What the checksum of an advert covers.
///
/// For version 3 over IPv4, RFC 9568 says the message alone; RFC 5798 was read by nearly everyone as with
/// the pseudo-header, and so it is sent in the field. Version 2 has one form, `Message`, and so has IPv6,
/// `PseudoHeader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumForm {
    /// The message and a pseudo-header of the actual source and destination.
    PseudoHeader,
    /// The message alone.
    Message,
}

impl ChecksumForm {
    /// The sum to which that of the message is added.
    fn start(self, source: IpAddr, destination: IpAddr, length: usize) -> Checksum {
        match self {
            Self::PseudoHeader => Checksum::pseudo_header(source, destination, PROTOCOL, length),
            Self::Message => Checksum::new(),
        }
    }
}

/// A VRRP advert.
///
/// ```text
/// Version 3 (RFC 9568, 5.2)
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------+-------+---------------+---------------+---------------+
/// |   3   |Type, 1| Virtual Rtr ID|   Priority    |IPvX Addr Count|
/// +-------+-------+---------------+---------------+---------------+
/// |Reserve|  Max Advertise Int.   |           Checksum            |
/// +-------+-----------------------+-------------------------------+
/// |       IPvX Addr Count addresses of 4 or 16 bytes each         |
/// +---------------------------------------------------------------+
///
/// Version 2 (RFC 3768, 5.1; the authentication of RFC 2338)
/// +-------+-------+---------------+---------------+---------------+
/// |   2   |Type, 1| Virtual Rtr ID|   Priority    | Count IP Addrs|
/// +-------+-------+---------------+---------------+---------------+
/// |   Auth Type   |   Adver Int   |           Checksum            |
/// +---------------+---------------+-------------------------------+
/// |            Count IP Addrs addresses of 4 bytes each           |
/// +---------------------------------------------------------------+
/// |                  Authentication Data (8)                      |
/// +---------------------------------------------------------------+
/// ```
///
/// The reserved bits of version 3 are sent as 0 and ignored on receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The version of VRRP; version 2 exists for IPv4 only.
    pub version: Version,
    /// The virtual router that is spoken for.
    pub vrid: Vrid,
    /// The sender's priority; 0 resigns.
    pub priority: Priority,
    /// The sender's advert interval, of those that [`AdvertInterval`] admits.
    pub interval: Duration,
    /// Version 2 only; version 3 does not send it.
    pub authentication: Authentication,
    /// The virtual addresses, all of one family, in the sender's order.
    pub addresses: Vec<IpAddr>,
    /// What the checksum covers; a choice only in version 3 over IPv4.
    pub checksum: ChecksumForm,
}

/// How many addresses an advert can list without its packet outgrowing `mtu`: at most 255, and 90 for IPv6
/// at an MTU of 1500, or 89 if it is signed.
pub fn most_addresses(family: Family, version: Version, mtu: u32, signed: bool) -> usize {
    let ip_header = match (family, version) {
        (Family::Ipv4, Version::V2 | Version::V3) => 20,
        (Family::Ipv6, Version::V3) => 40,
        (Family::Ipv6, Version::V2) => return 0,
    };
    let trailer = if signed { TRAILER_LENGTH } else { 0 };
    let taken = ip_header + length(family, version, 0) + trailer;
    let room = usize::try_from(mtu).unwrap_or(usize::MAX).saturating_sub(taken);
    (room / address_length(family)).min(MOST_ADDRESSES)
}

/// The length of an advert that lists `count` addresses, without anything that may be appended to it.
fn length(family: Family, version: Version, count: usize) -> usize {
    let authentication = match version {
        Version::V2 => AUTHENTICATION_LENGTH,
        Version::V3 => 0,
    };
    HEADER_LENGTH + count * address_length(family) + authentication
}

fn address_length(family: Family) -> usize {
    usize::from(family.bits() / 8)
}

/// The one form there is, or `None` where both occur.
fn only_form(family: Family, version: Version) -> Option<ChecksumForm> {
    match (family, version) {
        (_, Version::V2) => Some(ChecksumForm::Message),
        (Family::Ipv6, Version::V3) => Some(ChecksumForm::PseudoHeader),
        (Family::Ipv4, Version::V3) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn as_many_addresses_are_sent_as_fit_the_mtu_and_the_count() {
        // IPv6: 1500 - 40 - 8 = 1452 = 90 x 16 + 12.
        assert_eq!(most_addresses(Family::Ipv6, Version::V3, 1500, false), 90);
        assert_eq!(most_addresses(Family::Ipv6, Version::V3, 1280, false), 77);
        // IPv4: 1500 - 20 - 8 leaves room for 368, the count byte does not.
        assert_eq!(most_addresses(Family::Ipv4, Version::V3, 1500, false), 255);
        assert_eq!(most_addresses(Family::Ipv6, Version::V3, 9000, false), 255);
        // 576 - 20 - 8 = 548 = 137 x 4; version 2 needs 8 bytes more.
        assert_eq!(most_addresses(Family::Ipv4, Version::V3, 576, false), 137);
        assert_eq!(most_addresses(Family::Ipv4, Version::V2, 576, false), 135);
        assert_eq!(most_addresses(Family::Ipv4, Version::V2, 36, false), 0);
        assert_eq!(most_addresses(Family::Ipv4, Version::V3, 0, false), 0);
        assert_eq!(most_addresses(Family::Ipv4, Version::V3, u32::MAX, false), 255);
    }

    #[test]
    fn fewer_addresses_fit_with_a_signature() {
        // 1452 - 28 = 1424 = 89 x 16.
        assert_eq!(most_addresses(Family::Ipv6, Version::V3, 1500, true), 89);
        // 548 - 28 = 520 = 130 x 4.
        assert_eq!(most_addresses(Family::Ipv4, Version::V3, 576, true), 130);
        assert_eq!(most_addresses(Family::Ipv4, Version::V2, 60, true), 0);
    }

    #[test]
    fn version_2_carries_no_ipv6_addresses() {
        assert_eq!(most_addresses(Family::Ipv6, Version::V2, 1500, false), 0);
    }

    #[test]
    fn a_password_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Authentication::Simple(*b"secret\0\0")), "Simple(..)");
    }
}
