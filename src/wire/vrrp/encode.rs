//! Adverts to bytes (RFC 9568, 7.2; RFC 3768, 7.2).

use super::{
    ADVERTISEMENT, Advert, AdvertInterval, HEADER_LENGTH, Key, MOST_ADDRESSES, Sequence, TRAILER_LENGTH,
    Trailer, Version, length, only_form,
};
use crate::net::Family;
use alloc::vec::Vec;
use core::net::IpAddr;

impl Advert {
    /// The bytes of this advert as sent from `source` to `destination`, which the pseudo-header needs.
    ///
    /// What does not fit an advert is left out rather than sent wrong: addresses of another family than
    /// the source's and all beyond the 255th. An interval that the version cannot say is rounded
    /// up ([`AdvertInterval::nearest`]). A version 2 advert from an IPv6 source is nobody's: no receiver takes it.
    pub fn encode(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        self.encode_with(source, destination, None)
    }

    /// The same with a trailer of [`sign`](Self::sign), if there is one.
    pub fn encode_with(&self, source: IpAddr, destination: IpAddr, trailer: Option<&Trailer>) -> Vec<u8> {
        let family = Family::of(source);
        let mut message = self.unsummed(source);
        let pdu = message.len();
        message.extend(trailer.iter().flat_map(|trailer| trailer.encode()));
        let summed = match family {
            Family::Ipv4 => &message[..pdu],
            Family::Ipv6 => &message[..],
        };
        let form = only_form(family, self.version).unwrap_or(self.checksum);
        let checksum = form.start(source, destination, summed.len()).with(summed).finish();
        message[6..HEADER_LENGTH].copy_from_slice(&checksum.to_be_bytes());
        message
    }

    /// Signs this advert from `source`, whatever its destinations, with key number `id`.
    pub fn sign(&self, source: IpAddr, id: u8, key: &Key, sequence: Sequence) -> Trailer {
        Trailer::sign(&self.unsummed(source), source, id, key, sequence)
    }

    /// The bytes with a checksum of zero.
    fn unsummed(&self, source: IpAddr) -> Vec<u8> {
        let family = Family::of(source);
        let listed = || self.addresses.iter().filter(|a| Family::of(**a) == family).take(MOST_ADDRESSES);
        let count = listed().count();
        let [four, five] = self.middle();
        let mut message = Vec::with_capacity(length(family, self.version, count) + TRAILER_LENGTH);
        message.extend([self.version.number() << 4 | ADVERTISEMENT, self.vrid.get(), self.priority.get()]);
        message.push(u8::try_from(count).unwrap_or(u8::MAX));
        message.extend([four, five, 0, 0]);
        for address in listed() {
            match address {
                IpAddr::V4(address) => message.extend(address.octets()),
                IpAddr::V6(address) => message.extend(address.octets()),
            }
        }
        if self.version == Version::V2 {
            message.extend(self.authentication.data());
        }
        message
    }

    /// The two bytes before the checksum: authentication type and seconds, or centiseconds.
    fn middle(&self) -> [u8; 2] {
        let [high, low] = AdvertInterval::nearest(self.version, self.interval).units().to_be_bytes();
        match self.version {
            Version::V2 => [self.authentication.kind(), low],
            Version::V3 => [high, low],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Priority, Vrid};
    use crate::time::Duration;
    use crate::wire::checksum::Checksum;
    use crate::wire::vrrp::{Authentication, ChecksumForm, Malformed, PROTOCOL, decode};
    use alloc::vec;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));

    fn sample() -> Advert {
        Advert {
            version: Version::V3,
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::DEFAULT,
            interval: Duration::from_secs(1),
            authentication: Authentication::None,
            addresses: vec![VIP],
            checksum: ChecksumForm::PseudoHeader,
        }
    }

    fn there_and_back(advert: &Advert) -> Result<Advert, Malformed> {
        let group = Family::of(SOURCE).group();
        decode(&advert.encode(SOURCE, group), SOURCE, group)
    }

    #[test]
    fn no_more_than_255_addresses_are_sent() {
        let many: Vec<IpAddr> = (0..300).map(|n| Ipv4Addr::from_bits(0xc000_0200 + n).into()).collect();
        let sent = there_and_back(&Advert { addresses: many.clone(), ..sample() }).unwrap();
        assert_eq!(sent.addresses, many[..255]);
    }

    #[test]
    fn addresses_of_the_other_family_are_left_out() {
        let mixed = vec![IpAddr::V6(Ipv6Addr::LOCALHOST), VIP];
        assert_eq!(there_and_back(&Advert { addresses: mixed, ..sample() }), Ok(sample()));
    }

    #[test]
    fn an_interval_the_version_cannot_say_is_rounded_up() {
        let interval = Duration::from_millis(1001);
        let sent = there_and_back(&Advert { interval, ..sample() }).unwrap();
        assert_eq!(sent.interval, Duration::from_millis(1010));
        let sent = there_and_back(&Advert { interval, version: Version::V2, ..sample() }).unwrap();
        assert_eq!(sent.interval, Duration::from_secs(2));
    }

    #[test]
    fn version_3_sends_no_password() {
        let authentication = Authentication::Simple(*b"password");
        assert_eq!(there_and_back(&Advert { authentication, ..sample() }), Ok(sample()));
    }

    #[test]
    fn where_there_is_one_checksum_form_it_is_sent_whatever_was_asked_for() {
        let sent = there_and_back(&Advert { version: Version::V2, ..sample() }).unwrap();
        assert_eq!(sent.checksum, ChecksumForm::Message);
        let (source, group) = (IpAddr::V6(Ipv6Addr::LOCALHOST), Family::Ipv6.group());
        let advert = Advert { addresses: vec![source], checksum: ChecksumForm::Message, ..sample() };
        let sent = decode(&advert.encode(source, group), source, group).unwrap();
        assert_eq!(sent.checksum, ChecksumForm::PseudoHeader);
    }

    #[test]
    fn version_2_from_an_ipv6_source_is_taken_by_nobody() {
        let (source, group) = (IpAddr::V6(Ipv6Addr::LOCALHOST), Family::Ipv6.group());
        let advert = Advert { version: Version::V2, addresses: vec![source], ..sample() };
        assert_eq!(decode(&advert.encode(source, group), source, group), Err(Malformed::Version));
    }

    /// Any advert that a version and family can say, with its source and destination.
    fn any_advert() -> impl Strategy<Value = (Advert, IpAddr, IpAddr)> {
        let v4 = || any::<[u8; 4]>().prop_map(IpAddr::from);
        let v6 = || any::<[u8; 16]>().prop_map(IpAddr::from);
        let routed = prop_oneof![
            (Just(Version::V2), v4(), v4(), prop::collection::vec(v4(), 0..=255)),
            (Just(Version::V3), v4(), v4(), prop::collection::vec(v4(), 0..=255)),
            (Just(Version::V3), v6(), v6(), prop::collection::vec(v6(), 0..=255)),
        ];
        (routed, 1u8.., any::<u8>(), 1u16..=4095, any::<Option<[u8; 8]>>(), any::<bool>()).prop_map(
            |((version, source, destination, addresses), vrid, priority, units, password, plain)| {
                let checksum = if plain { ChecksumForm::Message } else { ChecksumForm::PseudoHeader };
                let advert = Advert {
                    version,
                    vrid: Vrid::new(vrid).unwrap(),
                    priority: Priority::new(priority),
                    interval: AdvertInterval::decode(version, units)
                        .unwrap_or(AdvertInterval::nearest(version, Duration::ZERO))
                        .duration(),
                    authentication: match (version, password) {
                        (Version::V2, Some(password)) => Authentication::Simple(password),
                        _ => Authentication::None,
                    },
                    addresses,
                    checksum: only_form(Family::of(source), version).unwrap_or(checksum),
                };
                (advert, source, destination)
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read((advert, source, destination) in any_advert()) {
            let message = advert.encode(source, destination);
            prop_assert_eq!(message.len(), length(Family::of(source), advert.version, advert.addresses.len()));
            let mut read = decode(&message, source, destination).unwrap();
            // One pair of addresses in 65535 has a pseudo-header that sums to zero: then both forms are right.
            let pseudo_header = Checksum::pseudo_header(source, destination, PROTOCOL, message.len());
            if pseudo_header.is_valid() {
                read.checksum = advert.checksum;
            }
            prop_assert_eq!(read, advert);
        }
    }
}
