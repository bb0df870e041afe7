//! What would be made of a packet, without making anything of it: for whoever looks on while packets arrive.
//!
//! Apart from `hear`, which it asks: what is told to somebody who captures packets is found by the code that
//! decides, on the state that it decides on, and never by a second opinion.

use super::Engine;
use super::event::{Claim, Received};
use super::hear::{Finding, Message};
use super::instance::Instance;
use super::notice::{Discard, State};
use crate::net::Vrid;

/// What becomes of an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvertFate {
    /// It counts.
    Accepted,
    /// It would count, but its instance does not take part now.
    Overheard,
    /// It does not count.
    Discarded(Discard),
    /// It came by a link of our own making, whose adverts are read on the interface below.
    ReadBelow,
}

/// What becomes of an ARP packet or a Neighbor Advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFate {
    /// It is this host's own.
    Own,
    /// The address is no virtual one of ours there.
    NotOurs,
    /// Whoever holds the address may say so: it is not held here.
    NotHeld,
    /// The address is being handed over, and this says that the successor has it.
    Successor,
    /// The address is held here: a second holder, against whom it is announced again.
    Contested,
    /// It came by a link of our own making, and is read on the interface below.
    ReadBelow,
}

impl Engine {
    /// What [`handle`](Self::handle) would make of a datagram now.
    pub fn fate_of_advert(&self, received: &Received<'_>) -> AdvertFate {
        if self.is_heard_below(received.link) {
            return AdvertFate::ReadBelow;
        }
        let message = match Message::read(received) {
            Ok(message) => message,
            Err(reason) => return AdvertFate::Discarded(reason),
        };
        match message.vrid().map(|vrid| self.examine(&message, vrid)) {
            Ok(None) => AdvertFate::Discarded(Discard::UnknownVrid),
            Ok(Some((_, Finding::Counts(_)))) => AdvertFate::Accepted,
            Ok(Some((_, Finding::Overheard(_)))) => AdvertFate::Overheard,
            Err(reason) | Ok(Some((_, Finding::Discarded(reason)))) => AdvertFate::Discarded(reason),
        }
    }

    /// What [`handle`](Self::handle) would make of a claim now.
    pub fn fate_of_claim(&self, claim: &Claim) -> ClaimFate {
        if self.world.links.is_own_mac(claim.mac) {
            return ClaimFate::Own;
        }
        if self.is_heard_below(claim.link) {
            return ClaimFate::ReadBelow;
        }
        let mut fate = ClaimFate::NotOurs;
        for instance in self.instances.iter().filter(|one| one.sites.have(claim.link, claim.address)) {
            if instance.handover.is_some() {
                return ClaimFate::Successor;
            }
            if instance.state == State::Master {
                return ClaimFate::Contested;
            }
            fate = ClaimFate::NotHeld;
        }
        fate
    }

    /// The instance that an advert speaks of, and what becomes of it there.
    pub(super) fn examine(&self, message: &Message<'_>, vrid: Vrid) -> Option<(usize, Finding)> {
        let family = message.family();
        let speaks = |one: &Instance| one.speaks(message.link, vrid, family);
        let mut speakers = self.instances.iter().enumerate().filter(|(_, one)| speaks(one));
        // More than one has the number where one is being replaced, or they send from different addresses.
        let first = speakers.clone().next();
        let addressed = speakers.find(|(_, one)| message.is_addressed_to(one));
        let (at, instance) = addressed.or(first)?;
        let found = match message.check(instance) {
            Ok(accepted) if addressed.is_some() && !instance.is_listening(family) => {
                Finding::Overheard(accepted)
            }
            _ if !instance.is_listening(family) => Finding::Discarded(Discard::NotListening),
            _ if addressed.is_none() => Finding::Discarded(Discard::Destination),
            Ok(accepted) => Finding::Counts(accepted),
            Err(reason) => Finding::Discarded(reason),
        };
        Some((at, found))
    }
}

impl Discard {
    /// Why, in words that follow "discarded:".
    pub const fn words(self) -> &'static str {
        match self {
            Self::IpHeader => "the IP header is incomplete or contradicts itself",
            Self::HopLimit => "its TTL is not the one that it must have",
            Self::Destination => "sent to unicast where multicast is configured, or the reverse",
            Self::Truncated => "shorter than a VRRP header",
            Self::Version => "not the VRRP version that is configured",
            Self::Type => "not an advertisement",
            Self::UnknownVrid => "no instance has this virtual router id there",
            Self::CountZero => "it lists no addresses",
            Self::Length => "its length does not fit its count of addresses",
            Self::Checksum => "the checksum is wrong in every form",
            Self::Interval => "its advert interval is 0, or another one than ours",
            Self::AuthenticationType => "not the authentication that is configured",
            Self::Authentication => "the password is wrong",
            Self::HmacMissing => "it is not signed, and has to be",
            Self::HmacMalformed => "its signature is of an unknown type",
            Self::HmacUnknownKey => "it is signed with a key that is not configured",
            Self::HmacInvalid => "its signature is wrong",
            Self::HmacStale => "it was signed too long ago, or in the future",
            Self::HmacReplay => "sent again: this one or a later one has been heard",
            Self::OwnSource => "it comes from our own address",
            Self::UnknownPeer => "it comes from none of the unicast peers",
            Self::NotListening => "the instance is in FAULT, or not started yet",
        }
    }

    /// Which text demands it; none where only our configuration does.
    pub const fn clause(self) -> Option<&'static str> {
        Some(match self {
            Self::IpHeader => "RFC 1122, 3.2.1",
            Self::Truncated | Self::Version | Self::UnknownVrid | Self::Length => "RFC 9568, 7.1",
            Self::HopLimit => "RFC 9568, 5.1.1.3",
            Self::Type => "RFC 9568, 5.2.2",
            Self::CountZero => "RFC 9568, 5.2.5",
            Self::Checksum => "RFC 9568, 5.2.8",
            Self::Interval => "RFC 9568, 5.2.7; RFC 3768, 7.1",
            Self::AuthenticationType => "RFC 3768, 7.1",
            Self::Authentication => "RFC 2338, 7.1",
            Self::HmacMissing
            | Self::HmacMalformed
            | Self::HmacUnknownKey
            | Self::HmacInvalid
            | Self::HmacStale
            | Self::HmacReplay => "draft-cassen-vrrp-auth-hmac",
            Self::NotListening => "RFC 9568, 6.4.1",
            Self::Destination | Self::OwnSource | Self::UnknownPeer => return None,
        })
    }
}
