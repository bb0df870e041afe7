//! Bytes to adverts: the receive checks of RFC 9568, 7.1 (RFC 3768, 7.1) that need nothing but the packet.
//! Apart from the encoder, because what peers send is wider than what we do.

use super::{
    ADVERTISEMENT, Advert, AdvertInterval, Authentication, ChecksumForm, HEADER_LENGTH, TRAILER_LENGTH,
    Version, length, only_form,
};
use crate::net::{Family, Priority, Vrid};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Why a VRRP packet was discarded; in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Malformed {
    /// Shorter than the header that all versions share.
    #[error("the packet is shorter than a VRRP header")]
    Truncated,
    /// Neither version 2 nor 3, or version 2 over IPv6, which does not exist.
    #[error("the version is neither 3 nor, over IPv4, 2")]
    Version,
    /// Not an advertisement, the one type there is.
    #[error("the packet is no advertisement")]
    Type,
    /// Shorter or longer than its count of addresses makes it.
    #[error("the length does not fit the count of addresses")]
    Length,
    /// The checksum is wrong in every form that the version and family know.
    #[error("the checksum is wrong")]
    Checksum,
    /// Virtual router 0.
    #[error("the virtual router id is 0")]
    VirtualRouterId,
    /// An interval of 0 (RFC 9568, erratum 8301).
    #[error("the advert interval is 0")]
    Interval,
    /// Version 2 with a type that is neither none nor the simple password.
    #[error("the authentication type is neither 0 nor 1")]
    AuthenticationType,
}

/// The advert in `payload`, which came from `source` to `destination`, and in which form its checksum was.
///
/// First what makes the layout known (version, type, length), then the checksum, then the fields: so a packet
/// damaged on its way counts as `Checksum` and not as whatever the damage resembles, and the later reasons
/// speak of what a peer really said. Both addresses must be those of the packet: the pseudo-header of a
/// unicast advert holds the unicast destination.
///
/// An advert without addresses is one here; who may send it such is the caller's to judge (RFC 9568, erratum 8299).
pub fn decode(payload: &[u8], source: IpAddr, destination: IpAddr) -> Result<Advert, Malformed> {
    read(payload, &[], source, destination)
}

/// The advert in a message with a trailer behind it, as [`split`](super::split) found them. Whether the trailer proves
/// anything is another question.
pub fn decode_signed(
    pdu: &[u8],
    trailer: &[u8; TRAILER_LENGTH],
    source: IpAddr,
    destination: IpAddr,
) -> Result<Advert, Malformed> {
    read(pdu, trailer, source, destination)
}

fn read(payload: &[u8], trailer: &[u8], source: IpAddr, destination: IpAddr) -> Result<Advert, Malformed> {
    let family = Family::of(source);
    let header: &[u8; HEADER_LENGTH] = payload.first_chunk().ok_or(Malformed::Truncated)?;
    let [version_type, vrid, priority, count, four, five, _, _] = *header;
    let version = match (Version::of(version_type >> 4), family) {
        (Some(Version::V2), Family::Ipv6) | (None, _) => return Err(Malformed::Version),
        (Some(version), _) => version,
    };
    if version_type & 0x0f != ADVERTISEMENT {
        return Err(Malformed::Type);
    }
    // Exactly: the IP layers have cut padding off, and a trailer is not for a receiver without the key to skip.
    if payload.len() != length(family, version, usize::from(count)) {
        return Err(Malformed::Length);
    }
    let checksum = verify(payload, trailer, version, source, destination).ok_or(Malformed::Checksum)?;
    let vrid = Vrid::new(vrid).ok_or(Malformed::VirtualRouterId)?;
    let field = match version {
        Version::V2 => u16::from(five),
        Version::V3 => u16::from_be_bytes([four, five]),
    };
    let interval = AdvertInterval::decode(version, field).ok_or(Malformed::Interval)?.duration();
    let authentication = match version {
        Version::V2 => authentication(four, payload)?,
        Version::V3 => Authentication::None,
    };
    let addresses = addresses(&payload[HEADER_LENGTH..], family, usize::from(count));
    Ok(Advert {
        version,
        vrid,
        priority: Priority::new(priority),
        interval,
        authentication,
        addresses,
        checksum,
    })
}

/// The version and virtual router that a packet names, without any other check: so that a packet which is
/// discarded can be counted where it was meant to go.
pub fn peek(payload: &[u8]) -> Option<(Version, Vrid)> {
    let &[version_type, vrid] = payload.first_chunk()?;
    Some((Version::of(version_type >> 4)?, Vrid::new(vrid)?))
}

/// The authentication of a version 2 message; its data are ignored where the type says there are none.
fn authentication(kind: u8, message: &[u8]) -> Result<Authentication, Malformed> {
    match (kind, message.last_chunk()) {
        (0, _) => Ok(Authentication::None),
        (1, Some(&password)) => Ok(Authentication::Simple(password)),
        _ => Err(Malformed::AuthenticationType),
    }
}

/// The form in which the checksum is right.
fn verify(
    message: &[u8],
    trailer: &[u8],
    version: Version,
    source: IpAddr,
    destination: IpAddr,
) -> Option<ChecksumForm> {
    let only = only_form(Family::of(source), version);
    let trailer = match Family::of(source) {
        Family::Ipv4 => &[],
        Family::Ipv6 => trailer,
    };
    let length = message.len() + trailer.len();
    [ChecksumForm::PseudoHeader, ChecksumForm::Message]
        .into_iter()
        .filter(|&form| only.is_none_or(|only| only == form))
        .find(|&form| form.start(source, destination, length).with(message).with(trailer).is_valid())
}

fn addresses(bytes: &[u8], family: Family, count: usize) -> Vec<IpAddr> {
    match family {
        Family::Ipv4 => bytes.as_chunks::<4>().0.iter().take(count).map(|&octets| octets.into()).collect(),
        Family::Ipv6 => bytes.as_chunks::<16>().0.iter().take(count).map(|&octets| octets.into()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::Checksum;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const GROUP: IpAddr = Family::Ipv4.group();

    /// VRID 51, priority 200, one second, 10.0.0.100, checksum without pseudo-header.
    const V3: [u8; 12] = [0x31, 51, 200, 1, 0, 100, 0xfc, 0x02, 10, 0, 0, 100];
    /// The same in version 2.
    const V2: [u8; 20] = [0x21, 51, 200, 1, 0, 1, 0x0c, 0x66, 10, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0];

    /// `message` with some bytes changed and its checksum made right again.
    fn changed(message: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
        let mut message = message.to_vec();
        for &(at, byte) in changes {
            message[at] = byte;
        }
        message[6..8].fill(0);
        let checksum = Checksum::new().with(&message).finish();
        message[6..8].copy_from_slice(&checksum.to_be_bytes());
        message
    }

    fn refused(message: &[u8]) -> Malformed {
        decode(message, SOURCE, GROUP).unwrap_err()
    }

    #[test]
    fn the_samples_are_well_formed() {
        assert!(decode(&V3, SOURCE, GROUP).is_ok());
        assert!(decode(&V2, SOURCE, GROUP).is_ok());
    }

    #[test]
    fn a_packet_shorter_than_a_header_is_truncated() {
        for length in 0..8 {
            assert_eq!(refused(&V3[..length]), Malformed::Truncated, "{length} bytes");
        }
    }

    #[test]
    fn versions_other_than_2_and_3_are_refused() {
        for version in [0, 1, 4, 15] {
            assert_eq!(refused(&changed(&V3, &[(0, version << 4 | 1)])), Malformed::Version, "{version}");
        }
    }

    #[test]
    fn version_2_over_ipv6_is_refused() {
        let (source, group) = ("fe80::a".parse().unwrap(), Family::Ipv6.group());
        assert_eq!(decode(&V2, source, group), Err(Malformed::Version));
    }

    #[test]
    fn types_other_than_advertisement_are_refused() {
        for kind in [0, 2, 15] {
            assert_eq!(refused(&changed(&V3, &[(0, 0x30 | kind)])), Malformed::Type, "{kind}");
        }
    }

    #[test]
    fn the_length_is_exactly_what_the_count_makes_it() {
        assert_eq!(refused(&V3[..11]), Malformed::Length);
        assert_eq!(refused(&V2[..12]), Malformed::Length, "version 2 without its authentication data");
        assert_eq!(refused(&changed(&V3, &[(3, 2)])), Malformed::Length);
        for trailing in [4, 14, 28] {
            let mut longer = V3.to_vec();
            longer.resize(V3.len() + trailing, 0);
            assert_eq!(refused(&longer), Malformed::Length, "{trailing} bytes more");
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let mut wrong = V3;
        wrong[6..8].copy_from_slice(&[0x12, 0x34]);
        assert_eq!(refused(&wrong), Malformed::Checksum);
        let mut wrong = V2;
        wrong[19] = 1;
        assert_eq!(refused(&wrong), Malformed::Checksum);
    }

    #[test]
    fn a_damaged_field_counts_as_checksum_and_not_as_what_it_looks_like() {
        for at in [1, 5] {
            let mut damaged = V3;
            damaged[at] = 0;
            assert_eq!(refused(&damaged), Malformed::Checksum, "byte {at}");
        }
    }

    #[test]
    fn version_2_knows_no_pseudo_header() {
        let mut message = V2;
        message[6..8].fill(0);
        let checksum = Checksum::pseudo_header(SOURCE, GROUP, 112, V2.len()).with(&message).finish();
        message[6..8].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(refused(&message), Malformed::Checksum);
    }

    #[test]
    fn virtual_router_0_is_refused() {
        assert_eq!(refused(&changed(&V3, &[(1, 0)])), Malformed::VirtualRouterId);
    }

    #[test]
    fn an_advert_without_addresses_is_read_as_one() {
        let (three, two) = (changed(&V3[..8], &[(3, 0)]), changed(&V2[..16], &[(3, 0), (8, 0), (11, 0)]));
        for (message, sample) in [(three, &V3[..]), (two, &V2[..])] {
            let expected = Advert { addresses: Vec::new(), ..decode(sample, SOURCE, GROUP).unwrap() };
            assert_eq!(decode(&message, SOURCE, GROUP), Ok(expected));
        }
    }

    #[test]
    fn an_interval_of_0_is_refused_whatever_the_reserved_bits() {
        assert_eq!(refused(&changed(&V3, &[(5, 0)])), Malformed::Interval);
        assert_eq!(refused(&changed(&V3, &[(4, 0xf0), (5, 0)])), Malformed::Interval);
        assert_eq!(refused(&changed(&V2, &[(5, 0)])), Malformed::Interval);
    }

    #[test]
    fn the_reserved_bits_are_ignored() {
        let advert = decode(&changed(&V3, &[(4, 0xf0)]), SOURCE, GROUP).unwrap();
        assert_eq!(advert, decode(&V3, SOURCE, GROUP).unwrap());
    }

    #[test]
    fn version_2_admits_no_authentication_and_the_simple_password_only() {
        for kind in [2, 3, 254, 255] {
            assert_eq!(refused(&changed(&V2, &[(4, kind)])), Malformed::AuthenticationType, "{kind}");
        }
    }

    #[test]
    fn authentication_data_without_a_type_is_ignored() {
        let advert = decode(&changed(&V2, &[(12, 7)]), SOURCE, GROUP).unwrap();
        assert_eq!(advert.authentication, Authentication::None);
    }

    #[test]
    fn a_packet_that_is_discarded_can_still_be_attributed() {
        let vrid = Vrid::new(51).unwrap();
        assert_eq!(peek(&V3), Some((Version::V3, vrid)));
        assert_eq!(peek(&V2[..2]), Some((Version::V2, vrid)));
        assert_eq!(peek(&[0x32, 51]), Some((Version::V3, vrid)), "of an unknown type");
        assert_eq!(peek(&[0x31]), None);
        assert_eq!(peek(&[0x31, 0]), None);
        assert_eq!(peek(&[0x41, 51]), None);
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
    }

    proptest! {
        #[test]
        fn noise_never_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            source in any_address(),
            destination in any_address(),
        ) {
            drop(decode(&bytes, source, destination));
            peek(&bytes);
        }

        #[test]
        fn noise_of_the_right_length_with_a_right_checksum_never_panics(
            two: bool,
            header: [u8; 8],
            rest in prop::collection::vec(any::<[u8; 4]>(), 0..=255),
        ) {
            prop_assume!(!two || rest.len() >= 2);
            let (start, count) = if two { (0x21, rest.len() - 2) } else { (0x31, rest.len()) };
            let message = [&header, rest.as_flattened()].concat();
            let message = changed(&message, &[(0, start), (3, u8::try_from(count).unwrap())]);
            match decode(&message, SOURCE, GROUP) {
                Ok(advert) => prop_assert_eq!(advert.addresses.len(), count),
                Err(error) => prop_assert!(error > Malformed::Checksum, "{}", error),
            }
        }

        #[test]
        fn one_changed_byte_is_always_noticed(two: bool, at in 0usize..20, byte: u8) {
            let (mut message, at) = if two { (V2.to_vec(), at) } else { (V3.to_vec(), at % 12) };
            prop_assume!(message[at] != byte);
            message[at] = byte;
            prop_assert!(decode(&message, SOURCE, GROUP).is_err());
        }
    }
}
