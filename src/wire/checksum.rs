//! The Internet checksum (RFC 1071), summed slice by slice, and the pseudo-headers that VRRP version 3 and
//! ICMPv6 put in front of it. Apart, because VRRP, ICMPv6 and the tests of both need the same arithmetic.

use core::net::IpAddr;

/// A one's complement sum in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// Wide enough to never overflow: the carries are folded only at the end.
    sum: u64,
    /// An odd number of bytes has been added, so the next one is the low half of a word.
    odd: bool,
}

impl Checksum {
    /// The sum of nothing.
    pub const fn new() -> Self {
        Self { sum: 0, odd: false }
    }

    /// The sum of the pseudo-header for a packet of `length` bytes of `protocol`, which does not itself
    /// travel (RFC 9293, 3.1 for IPv4; RFC 8200, 8.1 for IPv6).
    pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Self {
        let mut checksum = Self::new().with_address(source).with_address(destination);
        // Both families put the same four values in, IPv6 in wider fields. That makes no difference to the
        // sum: a carry out of 16 bits comes back in at the low end, so a number counts as its halves do.
        checksum.sum += u64::from(protocol) + length as u64;
        checksum
    }

    /// The sum with `bytes` appended to what was summed so far.
    pub fn with(mut self, bytes: &[u8]) -> Self {
        for &byte in bytes {
            self.sum += if self.odd { u64::from(byte) } else { u64::from(byte) << 8 };
            self.odd = !self.odd;
        }
        self
    }

    /// The checksum to write into a field that was summed as zero.
    pub fn finish(self) -> u16 {
        !self.folded()
    }

    /// Whether what was summed, its checksum field included, arrived as it was sent.
    pub fn is_valid(self) -> bool {
        self.folded() == 0xffff
    }

    fn with_address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.with(&address.octets()),
            IpAddr::V6(address) => self.with(&address.octets()),
        }
    }

    fn folded(self) -> u16 {
        let mut sum = self.sum;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        u16::try_from(sum).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Checksum::new().with(&bytes).finish(), !0xddf2);
    }

    #[test]
    fn an_ipv4_header_on_the_wire_is_valid_and_one_flipped_bit_is_not() {
        let mut header =
            [0x45, 0xc0, 0, 0x3c, 0, 1, 0, 0, 0xff, 0x70, 0xd0, 0x7d, 10, 0, 0, 1, 224, 0, 0, 18];
        assert!(Checksum::new().with(&header).is_valid());
        header[8] ^= 1;
        assert!(!Checksum::new().with(&header).is_valid());
    }

    #[test]
    fn an_odd_last_byte_is_padded_on_the_right() {
        let (odd, padded) = ([0x12, 0x34, 0x56], [0x12, 0x34, 0x56, 0x00]);
        assert_eq!(Checksum::new().with(&odd).finish(), Checksum::new().with(&padded).finish());
        assert_eq!(Checksum::new().with(&[1]).finish(), !0x0100);
    }

    #[test]
    fn a_pseudo_header_counts_as_its_bytes_do() {
        let (source, destination) = (Ipv4Addr::new(192, 0, 2, 251), Ipv4Addr::new(224, 0, 0, 18));
        let spelled = [192, 0, 2, 251, 224, 0, 0, 18, 0, 112, 0, 16];
        assert_eq!(
            Checksum::pseudo_header(source.into(), destination.into(), 112, 16).finish(),
            Checksum::new().with(&spelled).finish()
        );
        let (source, destination) = (Ipv6Addr::LOCALHOST, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12));
        let mut spelled: Vec<u8> = [source.octets(), destination.octets()].concat();
        spelled.extend([0x00, 0x01, 0x00, 0x05, 0, 0, 0, 112]);
        assert_eq!(
            Checksum::pseudo_header(source.into(), destination.into(), 112, 0x1_0005).finish(),
            Checksum::new().with(&spelled).finish()
        );
    }

    proptest! {
        #[test]
        fn slices_sum_as_their_concatenation(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let (front, back) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(Checksum::new().with(front).with(back), Checksum::new().with(&bytes));
        }

        #[test]
        fn the_sum_agrees_with_pnets(bytes in prop::collection::vec(any::<u8>(), 2..200)) {
            // pnet skips one word, where the checksum stands; word 0 is zero here, so it makes no difference.
            let bytes = [&[0, 0], &bytes[..]].concat();
            prop_assert_eq!(Checksum::new().with(&bytes).finish(), pnet::packet::util::checksum(&bytes, 0));
        }
    }
}
