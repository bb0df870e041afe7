//! VRRP packets as raw sockets deliver them: over IPv4 with the IP header, over IPv6 the payload alone.
//!
//! The first byte chooses the family and whether the checksum is put right, for noise hardly ever has a right one.
//! IPv6: 16 bytes of source, 16 of destination, the message. What may be signed is read as that, too.
#![no_main]

use std::net::{IpAddr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use vipd::net::Family;
use vipd::wire::checksum::Checksum;
use vipd::wire::ipv4;
use vipd::wire::vrrp::{PROTOCOL, Trailer, Version, decode, decode_signed, peek, split};

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let put_right = choice & 2 != 0;
    if choice & 1 == 0 {
        let Ok((header, payload)) = ipv4::decode(data) else { return };
        assert!(payload.len() + 20 <= data.len());
        read_signed(payload, header.source.into(), header.destination.into());
        read(payload, header.source.into(), header.destination.into(), put_right);
    } else if let Some((source, rest)) = data.split_first_chunk::<16>()
        && let Some((destination, payload)) = rest.split_first_chunk::<16>()
    {
        let (source, destination) = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination));
        read_signed(payload, source.into(), destination.into());
        read(payload, source.into(), destination.into(), put_right);
    }
});

fn read_signed(payload: &[u8], source: IpAddr, destination: IpAddr) {
    let Some((pdu, bytes)) = split(payload, Family::of(source)) else { return };
    assert!(decode(payload, source, destination).is_err(), "one payload is not both");
    let Some(trailer) = Trailer::decode(bytes) else { return };
    assert_eq!(trailer.encode(), *bytes);
    let Ok(advert) = decode_signed(pdu, bytes, source, destination) else { return };
    let written = advert.encode_with(source, destination, Some(&trailer));
    assert_eq!((written.len(), written.last_chunk()), (payload.len(), Some(bytes)));
}

fn read(payload: &[u8], source: IpAddr, destination: IpAddr, put_right: bool) {
    let mut payload = payload.to_vec();
    if put_right && let Some(sum) = payload.get_mut(6..8) {
        sum.fill(0);
        let start = match (source, payload[0] >> 4) {
            (IpAddr::V4(_), 2) => Checksum::new(),
            _ => Checksum::pseudo_header(source, destination, PROTOCOL, payload.len()),
        };
        let sum = start.with(&payload).finish();
        payload[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    let Ok(advert) = decode(&payload, source, destination) else { return };
    assert_eq!(peek(&payload), Some((advert.version, advert.vrid)));
    let written = advert.encode(source, destination);
    // Whatever was ignored when it was read (reserved bits, unused authentication data) is sent as zero.
    let mut again = decode(&written, source, destination).expect("what is sent is read");
    if Checksum::pseudo_header(source, destination, PROTOCOL, written.len()).is_valid() {
        // Both forms are right then, and the sender's cannot be told.
        again.checksum = advert.checksum;
    }
    assert_eq!(again, advert);
    let addresses = written.len() - if advert.version == Version::V2 { 8 } else { 0 };
    assert_eq!(written.len(), payload.len());
    assert_eq!(written[8..addresses], payload[8..addresses]);
}
