//! One Ethernet segment, carrying real bytes: it loses, delays, duplicates and reorders them, and can be cut.

use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use vipd::engine::event::Claim;
use vipd::net::{Family, LinkIndex};
use vipd::time::{Duration, Instant};
use vipd::wire::checksum::Checksum;
use vipd::wire::{arp, ndp};

use crate::random::Random;

/// What a seed's network is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    /// The shortest and the longest delay.
    pub(crate) delay: (Duration, Duration),
    /// Frames lost, of a thousand.
    pub(crate) loss: u64,
    /// Frames that arrive twice, of a thousand.
    pub(crate) duplicates: u64,
    /// Whether frames overtake each other.
    pub(crate) reorders: bool,
}

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    /// Protocol 112: for IPv4 with the IP header, for IPv6 the payload.
    Vrrp { source: IpAddr, destination: IpAddr, bytes: Vec<u8> },
    /// A gratuitous ARP or an unsolicited Neighbor Advertisement, as Ethernet frames; and from which port of the switch.
    Announcement { from: usize, bytes: Vec<u8> },
}

impl Frame {
    /// An advert as its sender's kernel puts it on the wire.
    pub(crate) fn advert(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Self {
        let bytes = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
                let mut header = [0; 20];
                header[..2].copy_from_slice(&[0x45, 0xc0]);
                header[2..4].copy_from_slice(&length.to_be_bytes());
                header[8..10].copy_from_slice(&[255, 112]);
                header[12..16].copy_from_slice(&source.octets());
                header[16..].copy_from_slice(&destination.octets());
                let checksum = Checksum::new().with(&header).finish();
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
                [&header[..], payload].concat()
            }
            _ => payload.to_vec(),
        };
        Self::Vrrp { source, destination, bytes }
    }

    fn family(&self) -> Family {
        match self {
            Self::Vrrp { source, .. } => Family::of(*source),
            Self::Announcement { bytes, .. } if bytes.len() == ndp::FRAME_LENGTH => Family::Ipv6,
            Self::Announcement { .. } => Family::Ipv4,
        }
    }

    /// The claim that a listener reads from an announcement.
    pub(crate) fn claim(&self, link: LinkIndex) -> Option<Claim> {
        let Self::Announcement { bytes, .. } = self else { return None };
        if bytes.len() == ndp::FRAME_LENGTH {
            let source: [u8; 16] = bytes.get(22..38)?.try_into().ok()?;
            let read = ndp::decode(bytes.get(54..)?, Ipv6Addr::from(source), bytes[21]).ok()?;
            return Some(Claim { link, mac: read.mac?, address: read.target.into() });
        }
        let (address, mac) = arp::decode(bytes.get(14..)?).ok()?.claim()?;
        Some(Claim { link, mac, address: address.into() })
    }
}

/// The segment.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) quality: Quality,
    /// A family of which nothing passes.
    pub(crate) lost_family: Option<Family>,
    random: Random,
    /// `cut[from][to]`; the last place is the client's.
    cut: Vec<Vec<bool>>,
    /// When the last frame from one to another arrives, for a network that keeps their order.
    last: Vec<Vec<Instant>>,
}

/// What became of one frame on its way to one place.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It is not delivered.
    Lost,
    /// It arrives.
    Arrives {
        /// When; more than once if it is duplicated.
        at: Vec<Instant>,
        /// A younger frame arrives before it.
        overtaken: bool,
    },
}

impl Network {
    /// A segment with so many places, the client's included.
    pub(crate) fn new(places: usize, quality: Quality, random: Random) -> Self {
        let (cut, last) = (vec![vec![false; places]; places], vec![vec![Instant::BOOT; places]; places]);
        Self { quality, lost_family: None, random, cut, last }
    }

    /// What becomes of a frame.
    pub(crate) fn carry(&mut self, now: Instant, from: usize, to: usize, frame: &Frame) -> Fate {
        if self.lost_family == Some(frame.family())
            || self.cut[from][to]
            || self.random.chance(self.quality.loss)
        {
            return Fate::Lost;
        }
        let copies = 1 + usize::from(self.random.chance(self.quality.duplicates));
        let (low, high) = self.quality.delay;
        let (mut arrivals, mut overtaken) = (Vec::with_capacity(copies), false);
        for _ in 0..copies {
            let mut at = now + self.random.duration(low, high);
            if !self.quality.reorders {
                at = at.max(self.last[from][to]);
            }
            overtaken |= at < self.last[from][to];
            self.last[from][to] = at.max(self.last[from][to]);
            arrivals.push(at);
        }
        Fate::Arrives { at: arrivals, overtaken }
    }

    /// Cuts or mends one direction.
    pub(crate) fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        self.cut[from][to] = cut;
    }

    /// Whether a direction is cut.
    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from][to]
    }

    /// Whether everybody reaches everybody.
    pub(crate) fn is_whole(&self) -> bool {
        self.lost_family.is_none() && !self.cut.iter().flatten().any(|cut| *cut)
    }
}

/// A frame on its way to several places.
pub(crate) type Shared = Rc<Frame>;
