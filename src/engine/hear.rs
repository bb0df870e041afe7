//! From a datagram to an advert that counts: every check of RFC 9568, 7.1, and RFC 3768, 7.1, each with its own
//! reason to discard. Signatures are checked before anything that they cover is believed (`signing`).

use core::net::IpAddr;

use super::event::{Packet, Received};
use super::instance::Instance;
use super::notice::Discard;
use crate::net::{Family, LinkIndex, Vrid};
use crate::proto::vrrp::Heard;
use crate::time::Instant;
use crate::wire::ipv4;
use crate::wire::vrrp::{self, Advert, Authentication, ChecksumForm, Malformed, Sequence, Trailer, Version};

/// A datagram with its IP header understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) at: Instant,
    pub(super) link: LinkIndex,
    pub(super) source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    payload: &'a [u8],
}

/// An advert that passed every check.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) heard: Heard,
    /// Which checksum it had, where there is a choice.
    pub(super) form: Option<ChecksumForm>,
    /// Whether it lists the addresses that we would.
    pub(super) same_addresses: bool,
    /// The sequence that it was signed with, if it was.
    pub(super) sequence: Option<Sequence>,
}

/// What becomes of a datagram that speaks of one of our virtual routers.
#[derive(Debug)]
pub(super) enum Finding {
    /// It counts.
    Counts(Accepted),
    /// It would count if its virtual router took part; what it says is kept in mind.
    Overheard(Accepted),
    /// It does not.
    Discarded(Discard),
}

impl<'a> Message<'a> {
    /// Reads the IP header, or what the socket said in its place.
    pub(super) fn read(received: &Received<'a>) -> Result<Self, Discard> {
        let (source, destination, hop_limit, payload) = match received.packet {
            Packet::Ipv4(bytes) => {
                let (header, payload) = ipv4::decode(bytes).map_err(|_| Discard::IpHeader)?;
                if header.protocol != vrrp::PROTOCOL {
                    return Err(Discard::IpHeader);
                }
                (header.source.into(), header.destination.into(), header.ttl, payload)
            }
            Packet::Ipv6 { source, destination, hop_limit, payload } => {
                (source, destination, hop_limit, payload)
            }
        };
        Ok(Self { at: received.at, link: received.link, source, destination, hop_limit, payload })
    }

    /// The virtual router it speaks of; nothing else is believed yet.
    pub(super) fn vrid(&self) -> Result<Vrid, Discard> {
        match vrrp::peek(self.payload) {
            Some((_, vrid)) => Ok(vrid),
            None => Err(self.decode().err().unwrap_or(Discard::UnknownVrid)),
        }
    }

    /// The address family it travelled by.
    pub(super) fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// Whether it was sent to where an instance listens.
    pub(super) fn is_addressed_to(&self, instance: &Instance) -> bool {
        match &instance.settings.unicast {
            None => self.destination == instance.settings.group(self.family()),
            Some(_) => instance.speaks_as(self.family()) == Some(self.destination),
        }
    }

    /// Checks it for the instance that it is addressed to.
    pub(super) fn check(&self, instance: &Instance) -> Result<Accepted, Discard> {
        let settings = &instance.settings;
        if settings.unicast.is_none() && self.hop_limit != vrrp::TTL {
            return Err(Discard::HopLimit);
        }
        if instance.speaks_as(self.family()) == Some(self.source) {
            return Err(Discard::OwnSource);
        }
        if let Some(unicast) = &settings.unicast {
            let peer = unicast.peers.iter().find(|peer| peer.address == self.source);
            let peer = peer.ok_or(Discard::UnknownPeer)?;
            if !peer.ttl.contains(&self.hop_limit) {
                return Err(Discard::HopLimit);
            }
        }
        let (advert, sequence) = self.open(instance)?;
        // Nobody who has addresses can be spoken for without any (RFC 9568, erratum 8299).
        if advert.addresses.is_empty() && settings.addresses.iter().any(|a| a.advertised) {
            return Err(Discard::CountZero);
        }
        if advert.version != settings.version {
            return Err(Discard::Version);
        }
        if advert.version == Version::V2 {
            authenticate(advert.authentication, settings.authentication)?;
            if advert.interval != settings.interval {
                return Err(Discard::Interval);
            }
        }
        Ok(Accepted {
            heard: Heard {
                at: self.at,
                source: self.source,
                priority: advert.priority,
                interval: advert.interval,
            },
            form: (self.family() == Family::Ipv4 && advert.version == Version::V3).then_some(advert.checksum),
            same_addresses: instance.lists_same(self.family(), &advert.addresses),
            sequence,
        })
    }

    /// The advert, and with which sequence it is signed. Where signatures are configured, a wrong one never counts, and
    /// before it is known to be right nothing in the advert does.
    fn open(&self, instance: &Instance) -> Result<(Advert, Option<Sequence>), Discard> {
        let version = instance.settings.version;
        let split = vrrp::split(self.payload, self.family());
        match (&instance.settings.hmac, split) {
            (None, Some((_, trailer))) if Trailer::decode(trailer).is_some() => {
                Err(Discard::AuthenticationType)
            }
            (None, Some(_) | None) => Ok((self.decode()?, None)),
            (Some(_), Some((pdu, _))) if vrrp::peek(pdu).is_none_or(|(theirs, _)| theirs != version) => {
                Err(Discard::Version)
            }
            (Some(hmac), Some((pdu, trailer))) => {
                let member = instance.members.iter().find(|member| member.family == self.family());
                let signatures = member.map(|member| &member.signatures).ok_or(Discard::UnknownVrid)?;
                let sequence = signatures.verify(self.at, self.source, pdu, trailer, hmac)?;
                let read = vrrp::decode_signed(pdu, trailer, self.source, self.destination);
                Ok((read.map_err(discard)?, Some(sequence)))
            }
            (Some(hmac), None) => {
                let advert = self.decode()?;
                if advert.version == version && !hmac.accepts_unsigned {
                    return Err(Discard::HmacMissing);
                }
                Ok((advert, None))
            }
        }
    }

    fn decode(&self) -> Result<Advert, Discard> {
        vrrp::decode(self.payload, self.source, self.destination).map_err(discard)
    }
}

const fn discard(malformed: Malformed) -> Discard {
    match malformed {
        Malformed::Truncated => Discard::Truncated,
        Malformed::Version => Discard::Version,
        Malformed::Type => Discard::Type,
        Malformed::Length => Discard::Length,
        Malformed::Checksum => Discard::Checksum,
        Malformed::VirtualRouterId => Discard::UnknownVrid,
        Malformed::Interval => Discard::Interval,
        Malformed::AuthenticationType => Discard::AuthenticationType,
    }
}

/// The type must be the one configured, and so must the password (RFC 3768, 7.1). A router without a password takes
/// adverts of type 0 whatever their data is.
fn authenticate(theirs: Authentication, ours: Authentication) -> Result<(), Discard> {
    match (theirs, ours) {
        (Authentication::None, Authentication::None) => Ok(()),
        (Authentication::Simple(theirs), Authentication::Simple(ours)) if theirs == ours => Ok(()),
        (Authentication::Simple(_), Authentication::Simple(_)) => Err(Discard::Authentication),
        (Authentication::None, Authentication::Simple(_))
        | (Authentication::Simple(_), Authentication::None) => Err(Discard::AuthenticationType),
    }
}
