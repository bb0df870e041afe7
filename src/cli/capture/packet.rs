//! A frame as what it says: an advert, an ARP packet, a Neighbor Advertisement. What it means is for others to say.

use std::net::{IpAddr, Ipv6Addr};

use crate::agent::capture::Fingerprint;
use crate::engine::event;
use crate::net::{Family, Mac};
use crate::sys::onlooking::{Frame, Way};
use crate::time::Duration;
use crate::wire::arp::{self, Arp};
use crate::wire::vrrp::{self, Malformed, Trailer};
use crate::wire::{ipv4, ndp};

const ETHERNET_HEADER: usize = 14;
const IPV6_HEADER: usize = 40;
const ICMPV6: u8 = 58;

/// A frame that was understood as far as its kind.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Packet {
    pub(in crate::cli) stamp: Duration,
    pub(in crate::cli) link: u32,
    pub(in crate::cli) way: Way,
    pub(in crate::cli) frame: Vec<u8>,
    pub(in crate::cli) source_mac: Mac,
    pub(in crate::cli) destination_mac: Mac,
    pub(in crate::cli) what: What,
}

/// What it is.
#[derive(Clone, Debug)]
pub(in crate::cli) enum What {
    Advert(Box<Advert>),
    Arp(Arp),
    Neighbour(Neighbour),
}

/// A datagram of protocol 112.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Advert {
    pub(in crate::cli) source: IpAddr,
    pub(in crate::cli) destination: IpAddr,
    pub(in crate::cli) hop_limit: u8,
    pub(in crate::cli) fingerprint: Fingerprint,
    /// Version, virtual router id and priority as the header has them, believable or not.
    pub(in crate::cli) header: Option<[u8; 3]>,
    pub(in crate::cli) decoded: Result<vrrp::Advert, Malformed>,
    /// The number of the key that it is signed with, if it is.
    pub(in crate::cli) key: Option<u8>,
}

/// A Neighbor Advertisement.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Neighbour {
    pub(in crate::cli) source: Ipv6Addr,
    pub(in crate::cli) destination: Ipv6Addr,
    pub(in crate::cli) target: Ipv6Addr,
    pub(in crate::cli) mac: Option<Mac>,
    pub(in crate::cli) solicited: bool,
}

impl Packet {
    /// What is in a frame; `None` if it is none of these.
    pub(in crate::cli) fn read(frame: &Frame<'_>) -> Option<Self> {
        let (header, payload) = frame.bytes.split_first_chunk::<ETHERNET_HEADER>()?;
        let mac = |at: usize| header.get(at..at + 6).and_then(|bytes| bytes.try_into().ok()).map(Mac);
        let what = match u16::from_be_bytes([header[12], header[13]]) {
            0x0806 => What::Arp(arp::decode(payload).ok()?),
            0x0800 => advert_over_ipv4(frame, payload)?,
            0x86dd => over_ipv6(frame, payload)?,
            _ => return None,
        };
        Some(Self {
            stamp: frame.stamp,
            link: frame.link.0,
            way: frame.way,
            frame: frame.bytes.to_vec(),
            source_mac: mac(6)?,
            destination_mac: mac(0)?,
            what,
        })
    }

    /// The address that it says is its sender's, and the Ethernet address it gives for it.
    pub(in crate::cli) fn claim(&self) -> Option<(IpAddr, Mac)> {
        match &self.what {
            What::Advert(_) => None,
            What::Arp(arp) => arp.claim().map(|(address, mac)| (address.into(), mac)),
            What::Neighbour(neighbour) => neighbour.mac.map(|mac| (neighbour.target.into(), mac)),
        }
    }

    /// The addresses that it is about.
    pub(in crate::cli) fn subjects(&self) -> Vec<IpAddr> {
        match &self.what {
            What::Advert(_) => Vec::new(),
            What::Arp(arp) => vec![arp.sender.into(), arp.target.into()],
            What::Neighbour(neighbour) => vec![neighbour.target.into()],
        }
    }
}

impl Advert {
    fn new(frame: &Frame<'_>, packet: &event::Packet<'_>, ends: (IpAddr, IpAddr), payload: &[u8]) -> Self {
        let (source, destination) = ends;
        let (decoded, key) = decode(payload, source, destination);
        Self {
            source,
            destination,
            hop_limit: match packet {
                event::Packet::Ipv4(bytes) => bytes.get(8).copied().unwrap_or(0),
                event::Packet::Ipv6 { hop_limit, .. } => *hop_limit,
            },
            fingerprint: Fingerprint::of(frame.link, packet),
            header: payload.first_chunk().map(|[version, vrid, priority]| [version >> 4, *vrid, *priority]),
            decoded,
            key,
        }
    }
}

/// The advert, and the key that it is signed with. Whether a signature is right only the agent knows, who has the keys.
fn decode(
    payload: &[u8],
    source: IpAddr,
    destination: IpAddr,
) -> (Result<vrrp::Advert, Malformed>, Option<u8>) {
    if let Some((pdu, bytes)) = vrrp::split(payload, Family::of(source))
        && let Some(trailer) = Trailer::decode(bytes)
    {
        return (vrrp::decode_signed(pdu, bytes, source, destination), Some(trailer.key));
    }
    (vrrp::decode(payload, source, destination), None)
}

fn advert_over_ipv4(frame: &Frame<'_>, bytes: &[u8]) -> Option<What> {
    let (header, payload) = ipv4::decode(bytes).ok()?;
    if header.protocol != vrrp::PROTOCOL {
        return None;
    }
    // Short frames are padded; sockets of the protocol never see that.
    let total = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    let packet = event::Packet::Ipv4(bytes.get(..total)?);
    let ends = (header.source.into(), header.destination.into());
    Some(What::Advert(Box::new(Advert::new(frame, &packet, ends, payload))))
}

fn over_ipv6(frame: &Frame<'_>, bytes: &[u8]) -> Option<What> {
    let (header, rest) = bytes.split_first_chunk::<IPV6_HEADER>()?;
    let address = |at: usize| -> Option<Ipv6Addr> {
        let octets: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
        Some(octets.into())
    };
    let (source, destination) = (address(8)?, address(24)?);
    let payload = rest.get(..usize::from(u16::from_be_bytes([header[4], header[5]])))?;
    let (next, hop_limit) = (header[6], header[7]);
    match next {
        vrrp::PROTOCOL => {
            let (from, to) = (source.into(), destination.into());
            let packet = event::Packet::Ipv6 { source: from, destination: to, hop_limit, payload };
            Some(What::Advert(Box::new(Advert::new(frame, &packet, (from, to), payload))))
        }
        ICMPV6 => {
            let told = ndp::decode(payload, source, hop_limit).ok()?;
            let (target, mac, solicited) = (told.target, told.mac, told.flags.solicited);
            Some(What::Neighbour(Neighbour { source, destination, target, mac, solicited }))
        }
        _ => None,
    }
}
