//! Floor 1: bytes to structs and back. No state, no clock, no socket; every decoder takes any bytes
//! whatever without a panic and says in a small `Copy` error why it refused them, one counter for each.
//!
//! | module | format | sent | received |
//! |---|---|---|---|
//! | [`vrrp`] | VRRP adverts, version 2 (RFC 3768) and 3 (RFC 9568), signed or not (draft-cassen-vrrp-auth-hmac) | yes | yes |
//! | [`ipv4`] | the IPv4 header in front of what a raw socket delivers (RFC 791) | no, the kernel does | yes |
//! | [`arp`] | gratuitous ARP and foreign claims on an address (RFC 826, RFC 5227) | yes | yes |
//! | [`ndp`] | Neighbor Advertisements, the same for IPv6 (RFC 4861) | yes | yes |
//! | [`pcap`] | files of captured frames | written | no |
//! | [`checksum`] | the Internet checksum that the others share (RFC 1071) | | |

pub mod arp;
pub mod checksum;
pub mod ipv4;
pub mod ndp;
pub mod pcap;
pub mod vrrp;
