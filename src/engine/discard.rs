//! Why a datagram is discarded: a counter each, and what the sender's configuration may have to do with it.

macro_rules! discards {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a datagram was discarded; one counter each (RFC 9568, 7.1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Discard { $($(#[doc = $doc])+ $variant,)+ }

        impl Discard {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The counter's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

discards! {
    /// The IP header is incomplete or contradicts itself.
    IpHeader = "ip_header",
    /// TTL or hop limit is not 255 (multicast only).
    HopLimit = "hop_limit",
    /// Sent to an address that the instance does not listen on: unicast to a multicast instance or the reverse.
    Destination = "destination",
    /// Shorter than a VRRP header.
    Truncated = "truncated",
    /// Neither version 2 nor 3, or not the version configured.
    Version = "version",
    /// Not an advertisement.
    Type = "type",
    /// No instance on that interface and family has this virtual router identifier.
    UnknownVrid = "unknown_vrid",
    /// The count of addresses is 0.
    CountZero = "count_zero",
    /// The length does not fit the count of addresses.
    Length = "length",
    /// The checksum is wrong in every form.
    Checksum = "checksum",
    /// The advert interval is 0, or differs from ours in version 2.
    Interval = "interval",
    /// The authentication type is not the one configured.
    AuthenticationType = "authentication_type",
    /// The password is wrong.
    Authentication = "authentication",
    /// It is not signed, and has to be.
    HmacMissing = "hmac_missing",
    /// What signs it is of a type that there is not.
    HmacMalformed = "hmac_malformed",
    /// It is signed with a key number that is not configured.
    HmacUnknownKey = "hmac_unknown_key",
    /// Its signature is wrong.
    HmacInvalid = "hmac_invalid",
    /// It was signed too long before or after the time that our clock shows.
    HmacStale = "hmac_stale",
    /// Its sender has sent it before, or a later one.
    HmacReplay = "hmac_replay",
    /// Our own source address.
    OwnSource = "own_source",
    /// A unicast source that is no configured peer.
    UnknownPeer = "unknown_peer",
    /// The virtual router is in INIT or FAULT.
    NotListening = "not_listening",
}

impl Discard {
    /// In which way the sender's configuration and ours disagree, if that is what it means: then neither hears the
    /// other, and both may be master.
    pub const fn disagreement(self) -> Option<&'static str> {
        match self {
            Self::Destination => Some("one node sends multicast and the other unicast"),
            Self::UnknownPeer => Some("it is not among the unicast peers"),
            Self::Version => Some("they are of another VRRP version"),
            Self::Checksum => Some("their checksum is wrong"),
            Self::Interval => Some("their advert interval is another one"),
            Self::AuthenticationType => Some("only one of the nodes authenticates its adverts so"),
            Self::Authentication => Some("their password is another one"),
            Self::HmacMissing => Some("they are not signed"),
            Self::HmacUnknownKey => Some("the key that they are signed with is not configured"),
            Self::HmacInvalid => Some("they are signed with another key of the same number"),
            Self::HmacStale => Some("they were signed by a clock that differs by more than the time_window"),
            Self::HmacMalformed
            | Self::HmacReplay
            | Self::IpHeader
            | Self::HopLimit
            | Self::Truncated
            | Self::Type
            | Self::UnknownVrid
            | Self::CountZero
            | Self::Length
            | Self::OwnSource
            | Self::NotListening => None,
        }
    }
}

impl Discard {
    /// What is to be done about a [`disagreement`](Self::disagreement).
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::HmacStale => "set the clocks of both nodes",
            _ => "make the two configurations agree",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_discard_has_its_own_counter_name() {
        let mut names: alloc::vec::Vec<_> = Discard::ALL.iter().map(|d| d.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Discard::ALL.len());
    }
}
