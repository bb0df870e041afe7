//! ARP packets as any host of the link sends them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vipd::wire::arp::{LENGTH, Operation, decode, gratuitous};

fuzz_target!(|packet: &[u8]| {
    let Ok(arp) = decode(packet) else { return };
    assert!(packet.len() >= LENGTH);
    assert_eq!(arp.claim().is_none(), arp.sender.is_unspecified());
    let frame = gratuitous(arp.sender_mac, arp.sender);
    let read = decode(&frame[14..]).expect("what is sent is read");
    assert_eq!((read.sender_mac, read.sender, read.target), (arp.sender_mac, arp.sender, arp.sender));
    assert_eq!(read.operation, Operation::Request);
});
