//! The trailer that proves where an advert comes from and that it is new: HMAC-SHA-256 as keepalived sends it since
//! 2.4.2 (draft-cassen-vrrp-auth-hmac). Here are its bytes, what the MAC covers, and the arithmetic of its sequence;
//! which keys there are, and which sequences are too old, is the caller's.
//!
//! Apart from the advert, because it stands behind it: neither its count of addresses nor, over IPv4, its checksum
//! knows of it. Over IPv6 the checksum covers it, because there the kernel computes it over the whole payload.

use super::{HEADER_LENGTH, Version, length};
use crate::net::Family;
use crate::time::Duration;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// How many bytes the trailer adds to an advert.
pub const TRAILER_LENGTH: usize = 28;

/// The one type of trailer there is: HMAC-SHA-256, cut to its first 128 bits.
const HMAC_SHA_256_128: u8 = 1;
const MAC_LENGTH: usize = 16;
/// What the MAC covers of the trailer: all before the MAC itself, which counts as zeros.
const COVERED: usize = TRAILER_LENGTH - MAC_LENGTH;

/// What signs adverts: 32 to 64 bytes that are shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// The shortest key: as long as the hash (RFC 2104, 3).
    pub const SHORTEST: usize = 32;
    /// The longest key: the block of the hash; a longer one would be hashed first and gain nothing.
    pub const LONGEST: usize = 64;

    /// The key with these bytes, if there are as many as it takes.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        (Self::SHORTEST..=Self::LONGEST).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The MAC over a message from `source` and the beginning of its trailer, so far as it goes.
    fn over(&self, pdu: &[u8], source: IpAddr, covered: &[u8; COVERED]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        mac.update(&pseudo(pdu, source));
        // The checksum holds the destination, and one signature is for all of them.
        let (before, after) = pdu.split_at(pdu.len().min(HEADER_LENGTH - 2));
        mac.update(before);
        mac.update(&[0; 2]);
        mac.update(after.get(2..).unwrap_or_default());
        mac.update(covered);
        mac.update(&[0; MAC_LENGTH]);
        mac
    }
}

impl fmt::Debug for Key {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What stands in for the IP header: family, version and virtual router, so that nothing can be passed off as
/// another's, and the sender.
fn pseudo(pdu: &[u8], source: IpAddr) -> [u8; 20] {
    let mut pseudo = [0; 20];
    let [version_type, vrid] = pdu.first_chunk().copied().unwrap_or_default();
    pseudo[1..3].copy_from_slice(&[version_type >> 4, vrid]);
    match source {
        IpAddr::V4(source) => {
            pseudo[0] = 4;
            pseudo[4..8].copy_from_slice(&source.octets());
        }
        IpAddr::V6(source) => {
            pseudo[0] = 6;
            pseudo[4..].copy_from_slice(&source.octets());
        }
    }
    pseudo
}

/// The number of a signed advert: seconds since 1970, parts of 65536 of a second, and a counter, read as one. It grows
/// with the clock, and by one where the clock does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// The sequence with these 64 bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its 64 bits.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The first one at a time since 1970, of which the seconds wrap in 2106.
    pub fn at(wall: Duration) -> Self {
        let parts = (u64::from(wall.subsec_nanos()) << 16) / 1_000_000_000;
        Self(wall.as_secs() << 32 | parts << 16)
    }

    /// The one after this.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether it comes after another one: less than half of the circle ahead of it (RFC 1982, 3.2).
    pub const fn is_after(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        ahead != 0 && ahead < 1 << 63
    }

    /// By how many whole seconds its time is ahead of `wall`; behind is less than 0.
    pub fn ahead_of(self, wall: Duration) -> i32 {
        let ahead = (self.0 >> 32).wrapping_sub(wall.as_secs()) & 0xffff_ffff;
        let [.., a, b, c, d] = ahead.to_be_bytes();
        i32::from_be_bytes([a, b, c, d])
    }

    /// As much later as that.
    pub fn later(self, by: Duration) -> Self {
        Self(self.0.wrapping_add(Self::at(by).0))
    }
}

/// The trailer of an advert.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// |    Type, 1    |    Key ID     |          Reserved, 0          |
/// +---------------+---------------+-------------------------------+
/// |              Seconds since 1970-01-01 00:00 UTC               |
/// +-------------------------------+-------------------------------+
/// |      1/65536 of a second      |            Counter            |
/// +-------------------------------+-------------------------------+
/// |           First 16 bytes of the HMAC-SHA-256                  |
/// +---------------------------------------------------------------+
/// ```
///
/// The MAC is over 20 bytes that stand in for the IP header (4 or 6, version, virtual router, 0, source address and
/// zeros), the message with its checksum as zeros, and the trailer with its MAC as zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Which of the keys that both sides know; 0 is none.
    pub key: u8,
    /// The number of the advert.
    pub sequence: Sequence,
    mac: [u8; MAC_LENGTH],
}

impl Trailer {
    /// Signs a message that `source` sends, with key number `id`.
    pub fn sign(pdu: &[u8], source: IpAddr, id: u8, key: &Key, sequence: Sequence) -> Self {
        let unsigned = Self { key: id, sequence, mac: [0; MAC_LENGTH] };
        let digest = key.over(pdu, source, &unsigned.covered()).finalize().into_bytes();
        let mut mac = [0; MAC_LENGTH];
        mac.copy_from_slice(&digest[..MAC_LENGTH]);
        Self { mac, ..unsigned }
    }

    /// Whether `source` signed the message with this key. Takes as long whether it did or not.
    pub fn is_genuine(&self, pdu: &[u8], source: IpAddr, key: &Key) -> bool {
        key.over(pdu, source, &self.covered()).verify_truncated_left(&self.mac).is_ok()
    }

    /// The trailer in these bytes, if it is of the type there is and its reserved bytes are zero.
    pub fn decode(bytes: &[u8; TRAILER_LENGTH]) -> Option<Self> {
        let ([kind, key, 0, 0, ..], Some(sequence), Some(mac)) =
            (bytes, bytes[4..].first_chunk(), bytes.last_chunk())
        else {
            return None;
        };
        let sequence = Sequence(u64::from_be_bytes(*sequence));
        (*kind == HMAC_SHA_256_128).then_some(Self { key: *key, sequence, mac: *mac })
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; TRAILER_LENGTH] {
        let mut bytes = [0; TRAILER_LENGTH];
        bytes[..COVERED].copy_from_slice(&self.covered());
        bytes[COVERED..].copy_from_slice(&self.mac);
        bytes
    }

    fn covered(&self) -> [u8; COVERED] {
        let mut bytes = [0; COVERED];
        bytes[..2].copy_from_slice(&[HMAC_SHA_256_128, self.key]);
        bytes[4..].copy_from_slice(&self.sequence.0.to_be_bytes());
        bytes
    }
}

/// A payload as message and trailer, if it is exactly as much longer than its count of addresses makes it.
pub fn split(payload: &[u8], family: Family) -> Option<(&[u8], &[u8; TRAILER_LENGTH])> {
    let &[version_type, _, _, count, ..] = payload.first_chunk::<HEADER_LENGTH>()?;
    let (pdu, trailer) = payload.split_last_chunk()?;
    let version = Version::of(version_type >> 4)?;
    (pdu.len() == length(family, version, usize::from(count))).then_some((pdu, trailer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;

    fn key(byte: u8) -> Key {
        Key::new(Zeroizing::new([byte; 32].into())).unwrap()
    }

    #[test]
    fn a_key_has_32_to_64_bytes() {
        for (length, good) in [(0, false), (31, false), (32, true), (64, true), (65, false)] {
            assert_eq!(Key::new(Zeroizing::new(alloc::vec![7; length])).is_some(), good, "{length}");
        }
    }

    #[test]
    fn a_key_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", key(b'k')), "Key(..)");
    }

    #[test]
    fn a_sequence_is_the_time_and_grows_where_the_time_does_not() {
        let at = Sequence::at(Duration::new(0x6800_0000, 500_000_000));
        assert_eq!(at.to_bits(), 0x6800_0000_8000_0000);
        assert_eq!(at.next().to_bits(), 0x6800_0000_8000_0001);
        assert_eq!(Sequence::from_bits(0x1_0000_ffff).next().to_bits(), 0x1_0001_0000, "the counter carries");
        assert_eq!(at.later(Duration::from_millis(1500)).to_bits(), 0x6800_0002_0000_0000);
    }

    #[test]
    fn sequences_are_compared_on_a_circle() {
        let [zero, one] = [0, 1].map(Sequence::from_bits);
        let last = Sequence::from_bits(u64::MAX);
        assert!(one.is_after(zero) && zero.is_after(last) && !last.is_after(zero));
        assert!(!one.is_after(one) && !zero.is_after(one));
        // Half a circle apart neither is after the other (RFC 1982, 3.2, leaves it open).
        let half = Sequence::from_bits(1 << 63);
        assert!(!half.is_after(zero) && !zero.is_after(half));
    }

    #[test]
    fn a_sequence_knows_how_far_it_is_from_a_clock_across_the_year_2106() {
        let at = |seconds| Sequence::at(Duration::from_secs(seconds));
        assert_eq!(at(1000).ahead_of(Duration::from_secs(990)), 10);
        assert_eq!(at(990).ahead_of(Duration::from_secs(1000)), -10);
        assert_eq!(at(0x1_0000_0002).ahead_of(Duration::from_secs(0xffff_ffff)), 3);
    }

    #[test]
    fn other_types_and_reserved_bytes_are_no_trailer() {
        let mut bytes = Trailer { key: 1, sequence: Sequence(7), mac: [9; 16] }.encode();
        assert!(Trailer::decode(&bytes).is_some());
        for at in [0, 2, 3] {
            let good = bytes[at];
            bytes[at] = 2;
            assert_eq!(Trailer::decode(&bytes), None, "byte {at}");
            bytes[at] = good;
        }
    }

    #[test]
    fn a_trailer_is_told_by_the_exact_length() {
        let v3 = [&[0x31, 51, 200, 1, 0, 100, 0, 0, 10, 0, 0, 100][..], &[1; TRAILER_LENGTH]].concat();
        assert_eq!(split(&v3, Family::Ipv4), Some((&v3[..12], &[1; TRAILER_LENGTH])));
        assert_eq!(split(&v3, Family::Ipv6), None, "one address is longer there");
        assert_eq!(split(&v3[..39], Family::Ipv4), None);
        assert_eq!(split(&v3[..12], Family::Ipv4), None);
        assert_eq!(split(&[], Family::Ipv4), None);
    }

    proptest! {
        #[test]
        fn what_is_signed_is_genuine_and_nothing_else_is(
            pdu in prop::collection::vec(any::<u8>(), 8..100),
            six: bool,
            sequence: u64,
            id: u8,
            at in 0usize..200,
            flip in 1u8..,
        ) {
            let source: IpAddr =
                if six { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
            let trailer = Trailer::sign(&pdu, source, id, &key(1), Sequence(sequence));
            prop_assert_eq!(Trailer::decode(&trailer.encode()), Some(trailer));
            prop_assert!(trailer.is_genuine(&pdu, source, &key(1)));
            prop_assert!(!trailer.is_genuine(&pdu, source, &key(2)));
            prop_assert!(!trailer.is_genuine(&pdu, Ipv4Addr::new(127, 0, 0, 2).into(), &key(1)));
            let at = at % pdu.len();
            let mut other = pdu.clone();
            other[at] ^= flip;
            // The type, which is not in the pseudo-header, is in the message.
            prop_assert_eq!(trailer.is_genuine(&other, source, &key(1)), at == 6 || at == 7, "byte {}", at);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), six: bool) {
            let family = if six { Family::Ipv6 } else { Family::Ipv4 };
            if let Some((pdu, trailer)) = split(&bytes, family)
                && let Some(trailer) = Trailer::decode(trailer)
            {
                prop_assert!(!trailer.is_genuine(pdu, Ipv6Addr::LOCALHOST.into(), &key(1)));
            }
            if let Some(trailer) = bytes.last_chunk().and_then(Trailer::decode) {
                prop_assert!(!trailer.is_genuine(&bytes, Ipv4Addr::LOCALHOST.into(), &key(1)));
            }
        }
    }
}
