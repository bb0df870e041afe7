//! The IPv4 header (RFC 791, 3.1). A raw IPv4 socket delivers it in front of the payload, and it alone says
//! which TTL and addresses a packet had. The kernel has verified its checksum, joined fragments and, when
//! sending, writes it: so this decodes and never encodes.
//!
//! On Linux the total length arrives in network order and counts the header (other systems subtract it).

use core::net::Ipv4Addr;

/// What a receiver needs of an IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender's address.
    pub source: Ipv4Addr,
    /// The address the packet was sent to: a group or one of ours.
    pub destination: Ipv4Addr,
    /// The time to live it arrived with.
    pub ttl: u8,
    /// The protocol of the payload, 112 for VRRP.
    pub protocol: u8,
}

/// Why bytes are no IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Error {
    /// The bytes end before the header or the total length does.
    #[error("the IPv4 packet is truncated")]
    Truncated,
    /// The version is not 4.
    #[error("the IP version is not 4")]
    Version,
    /// The header length is below its minimum of 20 bytes.
    #[error("the IPv4 header length is below 20 bytes")]
    HeaderLength,
    /// The total length is below the header length.
    #[error("the IPv4 total length is below the header length")]
    TotalLength,
}

/// The header and the payload of a packet.
///
/// Options are skipped by the header length. What follows the total length is padding of a short Ethernet
/// frame and is cut off.
pub fn decode(bytes: &[u8]) -> Result<(Header, &[u8]), Error> {
    //  0                   1                   2                   3
    //  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    // +-------+-------+---------------+-------------------------------+
    // |   4   |  IHL  |      TOS      |         Total Length          |
    // +-------+-------+---------------+-----+-------------------------+
    // |         Identification        |Flags|     Fragment Offset     |
    // +---------------+---------------+-----+-------------------------+
    // |      TTL      |    Protocol   |        Header Checksum        |
    // +---------------+---------------+-------------------------------+
    // |            Source, then Destination, then Options             |
    // +---------------------------------------------------------------+
    let fixed: &[u8; 20] = bytes.first_chunk().ok_or(Error::Truncated)?;
    if fixed[0] >> 4 != 4 {
        return Err(Error::Version);
    }
    let header_length = usize::from(fixed[0] & 0x0f) * 4;
    if header_length < fixed.len() {
        return Err(Error::HeaderLength);
    }
    let total_length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if total_length < header_length {
        return Err(Error::TotalLength);
    }
    let payload = bytes.get(header_length..total_length).ok_or(Error::Truncated)?;
    let header = Header {
        source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
        destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
        ttl: fixed[8],
        protocol: fixed[9],
    };
    Ok((header, payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// 45 c0 003c | 0001 0000 | ff 70 d07d | 10.0.0.1 | 224.0.0.18, as keepalived sends it; 40 bytes follow.
    const ADVERT: [u8; 20] =
        [0x45, 0xc0, 0, 0x3c, 0, 1, 0, 0, 0xff, 0x70, 0xd0, 0x7d, 10, 0, 0, 1, 224, 0, 0, 18];

    fn packet(payload: usize) -> Vec<u8> {
        [&ADVERT[..], &(0..).take(payload).collect::<Vec<u8>>()].concat()
    }

    #[test]
    fn the_header_of_an_advert_is_read() {
        let bytes = packet(40);
        let (header, payload) = decode(&bytes).unwrap();
        assert_eq!(
            header,
            Header {
                source: Ipv4Addr::new(10, 0, 0, 1),
                destination: Ipv4Addr::new(224, 0, 0, 18),
                ttl: 255,
                protocol: 112,
            }
        );
        assert_eq!(payload, &bytes[20..]);
    }

    #[test]
    fn an_authentication_header_shows_as_protocol_51() {
        let bytes = [0x45, 0xc0, 0, 0x14, 0, 1, 0, 0, 0xff, 0x33, 0xd0, 0xb6, 10, 0, 0, 1, 224, 0, 0, 18];
        assert_eq!(decode(&bytes).unwrap().0.protocol, 51);
    }

    #[test]
    fn options_are_skipped() {
        // IHL 6: a router alert (RFC 2113) stands before the 36 remaining bytes.
        let mut bytes = packet(40);
        bytes[0] = 0x46;
        bytes[20..24].copy_from_slice(&[0x94, 0x04, 0x00, 0x00]);
        let (_, payload) = decode(&bytes).unwrap();
        assert_eq!(payload, &bytes[24..]);
    }

    #[test]
    fn ethernet_padding_is_cut_off() {
        let mut bytes = packet(40);
        bytes[3] = 32;
        let (_, payload) = decode(&bytes).unwrap();
        assert_eq!(payload, &bytes[20..32]);
    }

    #[test]
    fn a_total_length_in_host_order_is_not_assumed() {
        let mut bytes = packet(40);
        bytes[2..4].copy_from_slice(&[0x3c, 0x00]);
        assert_eq!(decode(&bytes), Err(Error::Truncated));
    }

    #[test]
    fn what_is_cut_short_or_inconsistent_is_refused() {
        let good = packet(40);
        assert_eq!(decode(&[]), Err(Error::Truncated));
        assert_eq!(decode(&good[..19]), Err(Error::Truncated));
        assert_eq!(decode(&good[..59]), Err(Error::Truncated));
        for (at, byte, error) in [
            (0, 0x65, Error::Version),
            (0, 0x44, Error::HeaderLength),
            (3, 19, Error::TotalLength),
            (3, 61, Error::Truncated),
        ] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            assert_eq!(decode(&bytes), Err(error), "byte {at} as {byte:#x}");
        }
    }

    #[test]
    fn a_packet_may_be_all_header() {
        let mut bytes = packet(0);
        bytes[3] = 20;
        assert!(decode(&bytes).unwrap().1.is_empty());
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(decode(&bytes).is_err() || bytes.len() >= 20);
        }

        #[test]
        fn a_damaged_packet_never_panics_nor_yields_more_than_it_holds(at in 0usize..60, byte: u8) {
            let mut bytes = packet(40);
            bytes[at] = byte;
            if let Ok((_, payload)) = decode(&bytes) {
                prop_assert!(payload.len() <= 40);
            }
        }
    }
}
