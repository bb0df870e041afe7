//! Neighbor Advertisements (RFC 4861, 4.4), the IPv6 counterpart of ARP: the unsolicited one by which a new
//! master says where a virtual address lives now (RFC 9568, 8.2.2), and the decoding of what others
//! advertise, so that a foreign claim on an address of ours is recognised.

use crate::net::Mac;
use crate::wire::checksum::Checksum;
use core::net::Ipv6Addr;

/// The length of the frame of an unsolicited advertisement: Ethernet, IPv6, ICMPv6, one option.
pub const FRAME_LENGTH: usize = 14 + 40 + MESSAGE_LENGTH;

/// The advertisement and its one option; in the IPv6 header, the payload length.
const PAYLOAD_LENGTH: u8 = 24 + 8;
const MESSAGE_LENGTH: usize = PAYLOAD_LENGTH as usize;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ICMPV6: u8 = 58;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
const HOP_LIMIT: u8 = 255;

/// The three flags of a Neighbor Advertisement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// R: the sender is a router.
    pub router: bool,
    /// S: it answers a Neighbor Solicitation.
    pub solicited: bool,
    /// O: it overrides what neighbours have cached.
    pub overriding: bool,
}

impl Flags {
    const fn decode(byte: u8) -> Self {
        Self { router: byte & 0x80 != 0, solicited: byte & 0x40 != 0, overriding: byte & 0x20 != 0 }
    }

    fn encode(self) -> u8 {
        u8::from(self.router) << 7 | u8::from(self.solicited) << 6 | u8::from(self.overriding) << 5
    }
}

/// A Neighbor Advertisement, as far as it matters who claims which address.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// |   Type, 136   |    Code, 0    |           Checksum            |
/// +-+-+-+---------+---------------+-------------------------------+
/// |R|S|O|                       Reserved                          |
/// +-+-+-+---------------------------------------------------------+
/// |                      Target Address (16)                      |
/// +---------------+---------------+-------------------------------+
/// | Option Type 2 | Length, 1 x 8 |  Target Link-Layer Address(6) |
/// +---------------+---------------+-------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The address that is advertised.
    pub target: Ipv6Addr,
    /// Where it is said to be; an answer to a unicast solicitation may leave it out.
    pub mac: Option<Mac>,
    /// The flags.
    pub flags: Flags,
}

/// Why an ICMPv6 message is no Neighbor Advertisement (RFC 4861, 7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Error {
    /// The message or one of its options ends too early.
    #[error("the Neighbor Advertisement is truncated")]
    Truncated,
    /// Another ICMPv6 message.
    #[error("the ICMPv6 message is no Neighbor Advertisement")]
    Type,
    /// The code is not 0.
    #[error("the code of the Neighbor Advertisement is not 0")]
    Code,
    /// The hop limit is not 255: a router has forwarded it, so no neighbour sent it.
    #[error("the hop limit of the Neighbor Advertisement is not 255")]
    HopLimit,
    /// The source is a group or no address at all.
    #[error("the source of the Neighbor Advertisement is no address of a node")]
    Source,
    /// The target is a group or no address at all.
    #[error("the target of the Neighbor Advertisement is no address of a node")]
    Target,
    /// An option has length 0.
    #[error("an option of the Neighbor Advertisement has length 0")]
    OptionLength,
}

/// Decodes an ICMPv6 message that came from `source` with `hop_limit`.
///
/// The ICMPv6 checksum is not looked at: the kernel verifies it before a raw ICMPv6 socket sees the message.
pub fn decode(message: &[u8], source: Ipv6Addr, hop_limit: u8) -> Result<Advertisement, Error> {
    let (&fixed, options) = message.split_first_chunk::<24>().ok_or(Error::Truncated)?;
    let [kind, code, _, _, flags, _, _, _, target @ ..] = fixed;
    let target = Ipv6Addr::from(target);
    if kind != NEIGHBOR_ADVERTISEMENT {
        return Err(Error::Type);
    }
    if hop_limit != HOP_LIMIT {
        return Err(Error::HopLimit);
    }
    if code != 0 {
        return Err(Error::Code);
    }
    if source.is_unspecified() || source.is_multicast() {
        return Err(Error::Source);
    }
    if target.is_unspecified() || target.is_multicast() {
        return Err(Error::Target);
    }
    Ok(Advertisement { target, mac: target_mac(options)?, flags: Flags::decode(flags) })
}

/// The first target link-layer address among the options; all of them must be well formed.
fn target_mac(mut options: &[u8]) -> Result<Option<Mac>, Error> {
    let mut mac = None;
    while !options.is_empty() {
        let [kind, units, ..] = *options else { return Err(Error::Truncated) };
        if units == 0 {
            return Err(Error::OptionLength);
        }
        let (option, rest) = options.split_at_checked(usize::from(units) * 8).ok_or(Error::Truncated)?;
        if let (TARGET_LINK_LAYER_ADDRESS, &[_, _, a, b, c, d, e, f], None) = (kind, option, mac) {
            mac = Some(Mac([a, b, c, d, e, f]));
        }
        options = rest;
    }
    Ok(mac)
}

/// The Ethernet frame that tells all nodes of the link that `address` is at `mac`.
///
/// Sent from the address itself to all nodes (`ff02::1`) with S clear and O set; `router` is R, to be set only by a node
/// that forwards, for hosts take a router whose R is clear off their list of default routers.
pub fn unsolicited(mac: Mac, address: Ipv6Addr, router: bool) -> [u8; FRAME_LENGTH] {
    let message = unsolicited_message(mac, address, router);
    let mut frame = [0; FRAME_LENGTH];
    frame[..6].copy_from_slice(&ALL_NODES_MAC);
    frame[6..12].copy_from_slice(&mac.0);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, PAYLOAD_LENGTH, ICMPV6, HOP_LIMIT]);
    frame[22..38].copy_from_slice(&address.octets());
    frame[38..54].copy_from_slice(&ALL_NODES.octets());
    frame[54..].copy_from_slice(&message);
    frame
}

fn unsolicited_message(mac: Mac, address: Ipv6Addr, router: bool) -> [u8; MESSAGE_LENGTH] {
    let mut message = [0; MESSAGE_LENGTH];
    message[0] = NEIGHBOR_ADVERTISEMENT;
    message[4] = Flags { router, solicited: false, overriding: true }.encode();
    message[8..24].copy_from_slice(&address.octets());
    message[24..26].copy_from_slice(&[TARGET_LINK_LAYER_ADDRESS, 1]);
    message[26..].copy_from_slice(&mac.0);
    let checksum = Checksum::pseudo_header(address.into(), ALL_NODES.into(), ICMPV6, MESSAGE_LENGTH);
    let checksum = checksum.with(&message).finish();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// How long a solicitation without options is.
const QUESTION_LENGTH: usize = 24;

/// The Ethernet frame that asks who has `address`, without claiming one for the sender: the answer goes to all nodes
/// (RFC 4861, 4.3 and 7.2.4; RFC 4862, 5.4.2).
pub fn question(mac: Mac, address: Ipv6Addr) -> [u8; 54 + QUESTION_LENGTH] {
    let own = address.octets();
    let mut group = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
    group[13..].copy_from_slice(&own[13..]);
    let group = Ipv6Addr::from(group);
    let mut message = [0; QUESTION_LENGTH];
    message[0] = NEIGHBOR_SOLICITATION;
    message[8..].copy_from_slice(&address.octets());
    let checksum =
        Checksum::pseudo_header(Ipv6Addr::UNSPECIFIED.into(), group.into(), ICMPV6, QUESTION_LENGTH);
    let checksum = checksum.with(&message).finish();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = [0; 54 + QUESTION_LENGTH];
    frame[..2].copy_from_slice(&[0x33, 0x33]);
    frame[2..6].copy_from_slice(&group.octets()[12..]);
    frame[6..12].copy_from_slice(&mac.0);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, 24, ICMPV6, HOP_LIMIT]);
    frame[38..54].copy_from_slice(&group.octets());
    frame[54..].copy_from_slice(&message);
    frame
}

const NEIGHBOR_SOLICITATION: u8 = 135;

#[cfg(test)]
mod tests {
    use super::*;
    use pnet::packet::Packet;
    use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
    use pnet::packet::icmpv6::ndp::{NdpOptionTypes, NeighborAdvertFlags, NeighborAdvertPacket};
    use pnet::packet::icmpv6::{Icmpv6Code, Icmpv6Packet, Icmpv6Types, checksum};
    use pnet::packet::ip::IpNextHeaderProtocols;
    use pnet::packet::ipv6::Ipv6Packet;
    use proptest::prelude::*;

    const VMAC: Mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x02, 0x33]);
    const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
    const PEER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xa);

    #[rustfmt::skip]
    const UNSOLICITED: [u8; 86] = [
        0x33, 0x33, 0, 0, 0, 1,  0x00, 0x00, 0x5e, 0x00, 0x02, 0x33,  0x86, 0xdd,
        0x60, 0, 0, 0,  0, 32,  58,  255,
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x00,
        0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        136,  0,  0x18, 0xfa,  0xa0, 0, 0, 0,
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x00,
        2,  1,  0x00, 0x00, 0x5e, 0x00, 0x02, 0x33,
    ];

    /// The ICMPv6 message of the frame above.
    fn message() -> [u8; 32] {
        *UNSOLICITED[54..].first_chunk().unwrap()
    }

    #[test]
    fn an_unsolicited_advertisement_has_these_bytes_and_they_read_back() {
        assert_eq!(unsolicited(VMAC, VIP, true), UNSOLICITED);
        assert_eq!(
            decode(&UNSOLICITED[54..], VIP, 255),
            Ok(Advertisement {
                target: VIP,
                mac: Some(VMAC),
                flags: Flags { router: true, solicited: false, overriding: true },
            })
        );
    }

    #[test]
    fn a_question_is_a_solicitation_to_the_address_s_own_group() {
        let frame = question(Mac([2, 0, 0, 0, 0, 1]), VIP);
        assert_eq!((&frame[..6], frame[20], frame[21]), (&[0x33, 0x33, 0xff, 0, 1, 0][..], 58, 255));
        let ip = Ipv6Packet::new(&frame[14..]).unwrap();
        let (source, group) = (ip.get_source(), ip.get_destination());
        assert_eq!((source, group.to_string().as_str()), (Ipv6Addr::UNSPECIFIED, "ff02::1:ff00:100"));
        let icmp = Icmpv6Packet::new(&frame[54..]).unwrap();
        assert_eq!(icmp.get_icmpv6_type(), Icmpv6Types::NeighborSolicit);
        assert_eq!(icmp.get_checksum(), checksum(&icmp, &source, &group));
        assert_eq!(&frame[62..], VIP.octets());
    }

    #[test]
    fn a_host_clears_the_router_flag() {
        let frame = unsolicited(Mac([2, 0, 0, 0, 0, 1]), "fe80::100".parse().unwrap(), false);
        assert_eq!((frame[58], &frame[56..58]), (0x20, &[0x55, 0x9d][..]));
    }

    #[test]
    fn pnet_reads_the_unsolicited_advertisement_as_meant() {
        let frame = unsolicited(VMAC, VIP, true);
        let ethernet = EthernetPacket::new(&frame).unwrap();
        assert_eq!(ethernet.get_destination().octets(), ALL_NODES_MAC);
        assert_eq!(ethernet.get_source().octets(), VMAC.0);
        assert_eq!(ethernet.get_ethertype(), EtherTypes::Ipv6);
        let ipv6 = Ipv6Packet::new(ethernet.payload()).unwrap();
        assert_eq!((ipv6.get_version(), ipv6.get_hop_limit()), (6, 255));
        assert_eq!(ipv6.get_next_header(), IpNextHeaderProtocols::Icmpv6);
        assert_eq!((ipv6.get_source(), ipv6.get_destination()), (VIP, ALL_NODES));
        assert_eq!(usize::from(ipv6.get_payload_length()), MESSAGE_LENGTH);
        let icmpv6 = Icmpv6Packet::new(ipv6.payload()).unwrap();
        assert_eq!(icmpv6.get_checksum(), checksum(&icmpv6, &VIP, &ALL_NODES));
        let advert = NeighborAdvertPacket::new(ipv6.payload()).unwrap();
        assert_eq!(advert.get_icmpv6_type(), Icmpv6Types::NeighborAdvert);
        assert_eq!(advert.get_icmpv6_code(), Icmpv6Code(0));
        assert_eq!(advert.get_flags(), NeighborAdvertFlags::Router | NeighborAdvertFlags::Override);
        assert_eq!(advert.get_target_addr(), VIP);
        let [option] = &advert.get_options()[..] else { panic!("one option is expected") };
        assert_eq!((option.option_type, option.length), (NdpOptionTypes::TargetLLAddr, 1));
        assert_eq!(option.data, VMAC.0);
    }

    #[test]
    fn the_link_layer_address_may_be_absent_or_behind_other_options() {
        let plain = message();
        assert_eq!(decode(&plain[..24], PEER, 255).unwrap().mac, None);
        let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
        let behind = [&plain[..24], &nonce, &plain[24..]].concat();
        assert_eq!(decode(&behind, PEER, 255).unwrap().mac, Some(VMAC));
        // 16 bytes are a link-layer address of some other kind of link.
        let longer = [&plain[..24], &[2, 2], &[0; 14]].concat();
        assert_eq!(decode(&longer, PEER, 255).unwrap().mac, None);
    }

    #[test]
    fn a_forwarded_advertisement_is_refused() {
        assert_eq!(decode(&message(), PEER, 254), Err(Error::HopLimit));
    }

    #[test]
    fn a_source_that_is_no_nodes_is_refused() {
        assert_eq!(decode(&message(), Ipv6Addr::UNSPECIFIED, 255), Err(Error::Source));
        assert_eq!(decode(&message(), ALL_NODES, 255), Err(Error::Source));
    }

    #[test]
    fn malformed_advertisements_are_refused() {
        for (at, byte, error) in [
            (0, 135, Error::Type),
            (1, 1, Error::Code),
            (8, 0xff, Error::Target),
            (25, 0, Error::OptionLength),
            (25, 2, Error::Truncated),
        ] {
            let mut bytes = message();
            bytes[at] = byte;
            assert_eq!(decode(&bytes, PEER, 255), Err(error), "byte {at} as {byte}");
        }
        let mut nowhere = message();
        nowhere[8..24].fill(0);
        assert_eq!(decode(&nowhere, PEER, 255), Err(Error::Target));
        for length in (0..24).chain(25..32) {
            assert_eq!(decode(&message()[..length], PEER, 255), Err(Error::Truncated), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), source: u128, hop_limit: u8) {
            let read = decode(&bytes, Ipv6Addr::from_bits(source), hop_limit);
            prop_assert!(read.is_err() || hop_limit == 255);
        }

        #[test]
        fn noise_behind_a_valid_header_never_panics(options in prop::collection::vec(any::<u8>(), 0..64)) {
            let read = decode(&[&message()[..24], &options].concat(), PEER, 255);
            prop_assert!(read.is_ok() || matches!(read, Err(Error::Truncated | Error::OptionLength)));
        }

        #[test]
        fn what_is_announced_is_what_is_read(mac: [u8; 6], host: u64, router: bool) {
            let (mac, address) = (Mac(mac), Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(host)));
            let frame = unsolicited(mac, address, router);
            let read = decode(&frame[54..], address, 255).unwrap();
            prop_assert_eq!((read.target, read.mac, read.flags.router), (address, Some(mac), router));
            let checksum = Checksum::pseudo_header(address.into(), ALL_NODES.into(), 58, 32);
            prop_assert!(checksum.with(&frame[54..]).is_valid());
        }
    }
}
