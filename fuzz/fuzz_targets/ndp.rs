//! Neighbor Advertisements as any host of the link sends them: 16 bytes of source address, one of hop limit, the
//! message.
#![no_main]

use std::net::Ipv6Addr;

use libfuzzer_sys::fuzz_target;
use vipd::net::Mac;
use vipd::wire::ndp::{decode, unsolicited};

fuzz_target!(|data: &[u8]| {
    let Some((source, rest)) = data.split_first_chunk::<16>() else { return };
    let Some((hop_limit, message)) = rest.split_first() else { return };
    let source = Ipv6Addr::from(*source);
    let Ok(read) = decode(message, source, *hop_limit) else { return };
    assert_eq!(*hop_limit, 255, "it was forwarded");
    assert!(!source.is_multicast() && !source.is_unspecified());
    assert!(!read.target.is_multicast() && !read.target.is_unspecified());
    let mac = read.mac.unwrap_or(Mac([2, 0, 0, 0, 0, 1]));
    let frame = unsolicited(mac, read.target, read.flags.router);
    let again = decode(&frame[54..], read.target, 255).expect("what is sent is read");
    assert_eq!((again.target, again.mac, again.flags.router), (read.target, Some(mac), read.flags.router));
});
