//! Adverts whose bytes are known, each read and written: worked by hand, or seen from other implementations.

use super::{
    Advert, Authentication, ChecksumForm, Key, Malformed, Sequence, Trailer, Version, decode, decode_signed,
    split,
};
use crate::net::{Family, Priority, Vrid};
use crate::time::Duration;
use crate::wire::ipv4;
use alloc::vec::Vec;
use core::net::IpAddr;
use zeroize::Zeroizing;

const V4_GROUP: &str = "224.0.0.18";
const V6_GROUP: &str = "ff02::12";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Virtual router 51, priority 200, one second, as most of the samples are.
fn advert(version: Version, checksum: ChecksumForm, addresses: &[&str]) -> Advert {
    Advert {
        version,
        vrid: Vrid::new(51).unwrap(),
        priority: Priority::new(200),
        interval: Duration::from_secs(1),
        authentication: Authentication::None,
        addresses: addresses.iter().map(|a| ip(a)).collect(),
        checksum,
    }
}

fn v2(addresses: &[&str]) -> Advert {
    advert(Version::V2, ChecksumForm::Message, addresses)
}

fn v3(addresses: &[&str]) -> Advert {
    advert(Version::V3, ChecksumForm::PseudoHeader, addresses)
}

fn both_ways(hex: &str, source: &str, destination: &str, advert: &Advert) {
    let (message, source, destination) = (bytes(hex), ip(source), ip(destination));
    assert_eq!(decode(&message, source, destination).as_ref(), Ok(advert), "reading {hex}");
    assert_eq!(advert.encode(source, destination), message, "writing {hex}");
}

#[test]
fn keepalived_version_2_with_two_addresses() {
    let advert = v2(&["10.0.0.100", "10.0.0.101"]);
    both_ways("2133c802 00010200 0a000064 0a000065 0000000000000000", "10.0.0.1", V4_GROUP, &advert);
}

#[test]
fn keepalived_version_2_with_a_simple_password() {
    let advert = Advert { authentication: Authentication::Simple(*b"abc\0\0\0\0\0"), ..v2(&["10.0.0.100"]) };
    both_ways("2133c801 01014703 0a000064 6162630000000000", "10.0.0.1", V4_GROUP, &advert);
}

#[test]
fn keepalived_version_3_by_multicast() {
    both_ways("3133c801 00641173 0a000064", "10.0.0.1", V4_GROUP, &v3(&["10.0.0.100"]));
}

#[test]
fn keepalived_version_3_with_the_checksum_of_version_2() {
    let advert = advert(Version::V3, ChecksumForm::Message, &["10.0.0.100"]);
    both_ways("3133c801 0064fc02 0a000064", "10.0.0.1", V4_GROUP, &advert);
}

#[test]
fn keepalived_version_3_by_unicast_sums_the_unicast_destination() {
    let hex = "3133c801 0064e783 0a000064";
    both_ways(hex, "10.0.0.1", "10.0.0.2", &v3(&["10.0.0.100"]));
    assert_eq!(decode(&bytes(hex), ip("10.0.0.1"), ip(V4_GROUP)), Err(Malformed::Checksum));
}

#[test]
fn keepalived_ipv6_by_multicast() {
    let hex = "3133c802 0064d9f3 fe800000000000000000000000000100 20010db8000000000000000000000100";
    both_ways(hex, "fe80::a", V6_GROUP, &v3(&["fe80::100", "2001:db8::100"]));
}

#[test]
fn keepalived_ipv6_by_unicast() {
    let hex = "3133c801 0064dd20 20010db8000000000000000000000100";
    both_ways(hex, "fd00::1", "fd00::2", &v3(&["2001:db8::100"]));
}

#[test]
fn an_ipv6_checksum_without_pseudo_header_is_wrong() {
    // 3133 + c801 + 0064 + 2001 + 0db8 + 0100 = 1_2751 -> 2752 -> !d8ad
    let message = bytes("3133c801 0064d8ad 20010db8000000000000000000000100");
    assert_eq!(decode(&message, ip("fd00::1"), ip("fd00::2")), Err(Malformed::Checksum));
}

#[test]
fn the_same_advert_has_two_checksums_in_the_field() {
    let seen = |checksum| Advert {
        vrid: Vrid::new(10).unwrap(),
        ..advert(Version::V3, checksum, &["192.0.2.1", "192.0.2.2"])
    };
    let (plain, pseudo) = (seen(ChecksumForm::Message), seen(ChecksumForm::PseudoHeader));
    both_ways("310ac802 0064828a c0000201 c0000202", "192.0.2.251", V4_GROUP, &plain);
    both_ways("310ac802 0064defb c0000201 c0000202", "192.0.2.251", V4_GROUP, &pseudo);
}

#[test]
fn holo_version_2() {
    let advert = Advert { priority: Priority::new(30), ..v2(&["10.0.1.5"]) };
    both_ways("21331e01 0001b5c5 0a000105 0000000000000000", "10.0.0.1", V4_GROUP, &advert);
}

#[test]
fn holo_version_3_over_ipv6() {
    let advert = Advert {
        vrid: Vrid::new(1).unwrap(),
        priority: Priority::new(22),
        interval: Duration::from_millis(10),
        ..v3(&["2001:db8::370:7334"])
    };
    let hex = "31011601 0001b57f 20010db8000000000000000003707334";
    both_ways(hex, "fe80::200:5eff:fe00:201", V6_GROUP, &advert);
}

#[test]
fn the_extremes_of_every_field() {
    // 31ff + ff01 + 0fff + 0a00 + 0001 = 1_4b00 -> 4b01 -> !b4fe
    let extreme = Advert {
        vrid: Vrid::new(255).unwrap(),
        priority: Priority::OWNER,
        interval: Duration::from_millis(40_950),
        ..advert(Version::V3, ChecksumForm::Message, &["10.0.0.1"])
    };
    both_ways("31ffff01 0fffb4fe 0a000001", "10.0.0.1", V4_GROUP, &extreme);
    // 2101 + 0001 + 00ff + 0a00 + 0001 = 2c02 -> !d3fd
    let resigning = Advert {
        vrid: Vrid::new(1).unwrap(),
        priority: Priority::RESIGN,
        interval: Duration::from_secs(255),
        ..v2(&["10.0.0.1"])
    };
    both_ways("21010001 00ffd3fd 0a000001 0000000000000000", "10.0.0.1", V4_GROUP, &resigning);
}

/// The key of all signed samples: 00 to 1f.
fn key() -> Key {
    Key::new(Zeroizing::new((0..32).collect())).unwrap()
}

/// A signed advert, read, verified, and written the same again.
fn signed_both_ways(hex: &str, source: &str, destination: &str, advert: &Advert) {
    let (message, source, destination) = (bytes(hex), ip(source), ip(destination));
    let (pdu, trailer) = split(&message, Family::of(source)).unwrap();
    assert_eq!(decode_signed(pdu, trailer, source, destination).as_ref(), Ok(advert), "reading {hex}");
    let trailer = Trailer::decode(trailer).unwrap();
    assert!(trailer.is_genuine(pdu, source, &key()), "{hex}");
    let again = advert.sign(source, 1, &key(), trailer.sequence);
    assert_eq!(again, trailer, "signing {hex}");
    assert_eq!(advert.encode_with(source, destination, Some(&again)), message, "writing {hex}");
    assert_eq!(decode(&message, source, destination), Err(Malformed::Length), "unsigned is another length");
}

#[test]
fn the_signed_sample_of_the_draft_over_ipv4() {
    let pdu = "3133c801 00644402 c0000264";
    let trailer = "01010000 68000000 80000000 1b84bc4e8e43892dc6d98448f8ee2265";
    let advert = advert(Version::V3, ChecksumForm::Message, &["192.0.2.100"]);
    signed_both_ways(&[pdu, trailer].concat(), "198.51.100.10", V4_GROUP, &advert);
}

#[test]
fn the_signed_sample_of_the_draft_over_ipv6() {
    // Without a right checksum: the sample is for the signature, which does not cover it.
    let pdu = bytes("3133c801 0064a2e9 fe800000000000000000000000000100");
    let trailer = bytes("01010000 68000000 80000000 c8c56146ebfd66ee10ec4d8186461b78");
    let trailer = Trailer::decode(trailer.first_chunk().unwrap()).unwrap();
    assert!(trailer.is_genuine(&pdu, ip("fe80::10"), &key()));
    let sequence = Sequence::from_bits(0x6800_0000_8000_0000);
    assert_eq!(v3(&["fe80::100"]).sign(ip("fe80::10"), 1, &key(), sequence), trailer);
}

#[test]
fn keepalived_version_3_signed() {
    let hex = "3133c801 00641173 0a000064
               01010000 6b0157a0 7c9d0000 6ec1e77ee36a7d658849009077be5538";
    signed_both_ways(hex, "10.0.0.1", V4_GROUP, &v3(&["10.0.0.100"]));
}

#[test]
fn keepalived_version_2_signed() {
    let hex = "2133c801 00010c66 0a000064 0000000000000000
               01010000 6b0157a7 be2b0000 2dd5f8c0fccf25a64028d7ec8da7a1c4";
    signed_both_ways(hex, "10.0.0.1", V4_GROUP, &v2(&["10.0.0.100"]));
}

#[test]
fn keepalived_ipv6_signed_with_a_checksum_that_covers_the_trailer() {
    let hex = "3133c801 006428c5 fe800000000000000000000000000100
               01010000 6b0157af 03de0000 447ccb04c945e9b99d2ff2f4216aa43d";
    signed_both_ways(hex, "fe80::a", V6_GROUP, &v3(&["fe80::100"]));
    let message = bytes(hex);
    let (pdu, trailer) = split(&message, Family::Ipv6).unwrap();
    let mut other = *trailer;
    other[27] ^= 1;
    let read = decode_signed(pdu, &other, ip("fe80::a"), ip(V6_GROUP));
    assert_eq!(read, Err(Malformed::Checksum));
}

#[test]
fn a_signed_packet_from_the_wire_is_read_through_both_layers() {
    let packet = bytes(
        "45c0003c 00010000 ff70d07d 0a000001 e0000012 3133c801 00641173 0a000064
         01010000 6b0157a0 7c9d0000 6ec1e77ee36a7d658849009077be5538",
    );
    let (header, payload) = ipv4::decode(&packet).unwrap();
    assert_eq!((header.ttl, header.protocol, payload.len()), (super::TTL, super::PROTOCOL, 12 + 28));
    let (pdu, trailer) = split(payload, Family::Ipv4).unwrap();
    assert!(Trailer::decode(trailer).unwrap().is_genuine(pdu, header.source.into(), &key()));
}

#[test]
fn an_advert_inside_an_authentication_header_is_not_ours_to_read() {
    let packet = bytes(
        "45c00040 00010000 ff33d0b6 0a000001 e0000012 70040000 0a000001 00000001 0feea5e3295dab3515d3ed28
         2133c801 02010a66 0a000064 0000000000000000",
    );
    let (header, payload) = ipv4::decode(&packet).unwrap();
    assert_eq!((header.protocol, payload.len()), (51, 24 + 20));
    let inner = decode(&payload[24..], header.source.into(), header.destination.into());
    assert_eq!(inner, Err(Malformed::AuthenticationType));
}
