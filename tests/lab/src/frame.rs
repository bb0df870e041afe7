//! What the lab reads off the wire: VRRP adverts, ARP and Neighbor Advertisements.
//!
//! A decoder of its own (pnet for the layers below, the VRRP header by hand), so that it disagrees with the
//! agents' decoders when one of them is wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet::packet::Packet;
use pnet::packet::arp::{ArpOperations, ArpPacket};
use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
use pnet::packet::icmpv6::Icmpv6Types;
use pnet::packet::icmpv6::ndp::{NdpOptionTypes, NeighborAdvertFlags, NeighborAdvertPacket};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::Ipv4Packet;
use pnet::packet::ipv6::Ipv6Packet;
use pnet::util::MacAddr;

/// A frame that the lab understood.
#[derive(Clone, Debug)]
pub struct Frame {
    /// When the kernel had it, nanoseconds of `CLOCK_REALTIME`.
    pub at: u64,
    /// The Ethernet source.
    pub mac: MacAddr,
    /// What it carried.
    pub what: Seen,
    /// The whole frame, for a file that other tools read.
    pub bytes: Vec<u8>,
}

/// What a frame carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A VRRP advert.
    Advert(Advert),
    /// An ARP packet.
    Arp {
        /// Whether it is a reply.
        reply: bool,
        /// Who claims to have `sender`.
        sender_mac: MacAddr,
        /// The address spoken for.
        sender: Ipv4Addr,
        /// The address asked for.
        target: Ipv4Addr,
    },
    /// A Neighbor Advertisement.
    Neighbor {
        /// The address spoken for.
        target: Ipv6Addr,
        /// Who claims to have it, if said.
        mac: Option<MacAddr>,
        /// The Override flag.
        overrides: bool,
        /// The Solicited flag.
        solicited: bool,
    },
}

/// A VRRP advert, versions 2 and 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The IP source.
    pub source: IpAddr,
    /// The IP destination.
    pub destination: IpAddr,
    /// The IP TTL or hop limit.
    pub ttl: u8,
    /// The version.
    pub version: u8,
    /// The virtual router identifier.
    pub vrid: u8,
    /// The priority.
    pub priority: u8,
    /// The interval in the version's own unit: seconds or centiseconds.
    pub interval: u16,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
}

impl Frame {
    /// Decodes an Ethernet frame, unless it is nothing the lab cares for.
    pub fn read(at: u64, bytes: &[u8]) -> Option<Self> {
        let ethernet = EthernetPacket::new(bytes)?;
        let what = match ethernet.get_ethertype() {
            EtherTypes::Arp => arp(ethernet.payload()),
            EtherTypes::Ipv4 => ipv4(ethernet.payload()),
            EtherTypes::Ipv6 => ipv6(ethernet.payload()),
            _ => None,
        }?;
        Some(Self { at, mac: ethernet.get_source(), what, bytes: bytes.to_vec() })
    }

    /// The advert, if it is one.
    pub fn advert(&self) -> Option<&Advert> {
        match &self.what {
            Seen::Advert(advert) => Some(advert),
            Seen::Arp { .. } | Seen::Neighbor { .. } => None,
        }
    }

    /// The address announced and the Ethernet address it is announced at, if this is a gratuitous ARP or an
    /// unsolicited Neighbor Advertisement.
    pub fn announced(&self) -> Option<(IpAddr, MacAddr)> {
        match self.what {
            Seen::Arp { sender_mac, sender, target, .. } if sender == target => {
                Some((sender.into(), sender_mac))
            }
            Seen::Neighbor { target, mac, solicited: false, .. } => Some((target.into(), mac?)),
            Seen::Advert(_) | Seen::Arp { .. } | Seen::Neighbor { .. } => None,
        }
    }

    /// The address answered for and the Ethernet address given, if this is an answer to ARP or ND.
    pub fn answered(&self) -> Option<(IpAddr, MacAddr)> {
        match self.what {
            Seen::Arp { reply: true, sender_mac, sender, target } if sender != target => {
                Some((sender.into(), sender_mac))
            }
            Seen::Neighbor { target, mac, solicited: true, .. } => {
                Some((target.into(), mac.unwrap_or(self.mac)))
            }
            Seen::Advert(_) | Seen::Arp { .. } | Seen::Neighbor { .. } => None,
        }
    }
}

fn arp(bytes: &[u8]) -> Option<Seen> {
    let arp = ArpPacket::new(bytes)?;
    Some(Seen::Arp {
        reply: arp.get_operation() == ArpOperations::Reply,
        sender_mac: arp.get_sender_hw_addr(),
        sender: arp.get_sender_proto_addr(),
        target: arp.get_target_proto_addr(),
    })
}

fn ipv4(bytes: &[u8]) -> Option<Seen> {
    let ip = Ipv4Packet::new(bytes)?;
    if ip.get_next_level_protocol() != IpNextHeaderProtocols::Vrrp {
        return None;
    }
    advert(ip.get_source().into(), ip.get_destination().into(), ip.get_ttl(), ip.payload())
}

fn ipv6(bytes: &[u8]) -> Option<Seen> {
    let ip = Ipv6Packet::new(bytes)?;
    if ip.get_next_header() == IpNextHeaderProtocols::Vrrp {
        return advert(ip.get_source().into(), ip.get_destination().into(), ip.get_hop_limit(), ip.payload());
    }
    if ip.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
        return None;
    }
    let advert = NeighborAdvertPacket::new(ip.payload())?;
    if advert.get_icmpv6_type() != Icmpv6Types::NeighborAdvert {
        return None;
    }
    let options = advert.get_options();
    let mac = options.iter().find(|option| option.option_type == NdpOptionTypes::TargetLLAddr);
    let mac = mac.and_then(|option| <[u8; 6]>::try_from(option.data.get(..6)?).ok()).map(MacAddr::from);
    let flags = advert.get_flags();
    Some(Seen::Neighbor {
        target: advert.get_target_addr(),
        mac,
        overrides: flags & NeighborAdvertFlags::Override != 0,
        solicited: flags & NeighborAdvertFlags::Solicited != 0,
    })
}

fn advert(source: IpAddr, destination: IpAddr, ttl: u8, bytes: &[u8]) -> Option<Seen> {
    let &[kind, vrid, priority, count, high, low, _, _, ref rest @ ..] = bytes else {
        return None;
    };
    let version = kind >> 4;
    let interval = if version == 2 { u16::from(low) } else { u16::from_be_bytes([high & 0x0f, low]) };
    let count = usize::from(count);
    let addresses = match source {
        IpAddr::V4(_) => rest
            .chunks_exact(4)
            .take(count)
            .filter_map(|a| <[u8; 4]>::try_from(a).ok())
            .map(IpAddr::from)
            .collect(),
        IpAddr::V6(_) => rest
            .chunks_exact(16)
            .take(count)
            .filter_map(|a| <[u8; 16]>::try_from(a).ok())
            .map(IpAddr::from)
            .collect(),
    };
    Some(Seen::Advert(Advert { source, destination, ttl, version, vrid, priority, interval, addresses }))
}
