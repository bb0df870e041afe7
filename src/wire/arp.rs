//! ARP over Ethernet for IPv4 (RFC 826): the gratuitous request by which a new master says where a virtual
//! address lives now (RFC 9568, 8.1.2), and the decoding of what others say, so that a foreign claim on an
//! address of ours is recognised (RFC 5227, 2.4).

use crate::net::Mac;
use core::net::Ipv4Addr;

/// The length of an ARP packet for IPv4 over Ethernet, without the Ethernet header.
pub const LENGTH: usize = 28;

/// Hardware type Ethernet, protocol type IPv4, addresses of 6 and 4 bytes.
const FORMAT: [u8; 6] = [0x00, 0x01, 0x08, 0x00, 6, 4];

/// What an ARP packet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Asks who has the target address, or announces.
    Request,
    /// Answers.
    Reply,
}

/// An ARP packet, as far as it matters who claims which address.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |   Hardware Type, 1 Ethernet   |  Protocol Type, 0x0800 IPv4   |
/// +---------------+---------------+-------------------------------+
/// |  HW Length 6  | Pr. Length 4  | Operation, 1 Request, 2 Reply |
/// +---------------+---------------+-------------------------------+
/// |   Sender Hardware Address (6), Sender Protocol Address (4)    |
/// |   Target Hardware Address (6), Target Protocol Address (4)    |
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Request or reply.
    pub operation: Operation,
    /// The hardware address that the sender gives as its own.
    pub sender_mac: Mac,
    /// The address the sender gives as its own; 0.0.0.0 in a probe (RFC 5227, 2.1.1).
    pub sender: Ipv4Addr,
    /// The address asked for, or the one answered to.
    pub target: Ipv4Addr,
}

impl Arp {
    /// The address this packet claims and the hardware address it claims it for.
    ///
    /// Requests claim as much as replies do: neighbours learn from either. Only a probe claims nothing.
    pub fn claim(&self) -> Option<(Ipv4Addr, Mac)> {
        (!self.sender.is_unspecified()).then_some((self.sender, self.sender_mac))
    }
}

/// Why bytes are no ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Error {
    /// Fewer than 28 bytes.
    #[error("the ARP packet is truncated")]
    Truncated,
    /// Another hardware or protocol type, or addresses of other lengths.
    #[error("the ARP packet is not for IPv4 over Ethernet")]
    Format,
    /// Neither request nor reply.
    #[error("the ARP operation is neither request nor reply")]
    Operation,
}

/// Decodes what follows the Ethernet header; a short frame's padding behind the packet is ignored.
pub fn decode(packet: &[u8]) -> Result<Arp, Error> {
    let packet: &[u8; LENGTH] = packet.first_chunk().ok_or(Error::Truncated)?;
    if packet[..6] != FORMAT {
        return Err(Error::Format);
    }
    let operation = match [packet[6], packet[7]] {
        [0, 1] => Operation::Request,
        [0, 2] => Operation::Reply,
        _ => return Err(Error::Operation),
    };
    Ok(Arp {
        operation,
        sender_mac: Mac([packet[8], packet[9], packet[10], packet[11], packet[12], packet[13]]),
        sender: Ipv4Addr::new(packet[14], packet[15], packet[16], packet[17]),
        target: Ipv4Addr::new(packet[24], packet[25], packet[26], packet[27]),
    })
}

/// The Ethernet frame that tells all neighbours that `address` is at `mac`.
///
/// A broadcast request whose sender and target are the address itself (RFC 9568, 8.1.2). It asks nothing, so
/// what the target hardware address holds is free; ff:ff:ff:ff:ff:ff is what keepalived fills in, and what
/// the neighbours' filters in the field have therefore seen.
pub fn gratuitous(mac: Mac, address: Ipv4Addr) -> [u8; 14 + LENGTH] {
    let mut frame = [0; 14 + LENGTH];
    frame[..6].copy_from_slice(&Mac::BROADCAST.0);
    frame[6..12].copy_from_slice(&mac.0);
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    frame[14..20].copy_from_slice(&FORMAT);
    frame[20..22].copy_from_slice(&[0, 1]);
    frame[22..28].copy_from_slice(&mac.0);
    frame[28..32].copy_from_slice(&address.octets());
    frame[32..38].copy_from_slice(&Mac::BROADCAST.0);
    frame[38..].copy_from_slice(&address.octets());
    frame
}

/// The Ethernet frame that asks all neighbours who has `address`, without claiming one for the sender: a probe (RFC 5227, 2.1.1).
pub fn question(mac: Mac, address: Ipv4Addr) -> [u8; 14 + LENGTH] {
    let mut frame = gratuitous(mac, address);
    frame[28..38].fill(0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use pnet::packet::Packet;
    use pnet::packet::arp::{ArpOperations, ArpPacket};
    use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
    use proptest::prelude::*;

    const VMAC: Mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x33]);
    const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

    #[rustfmt::skip]
    const GRATUITOUS: [u8; 42] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  0x00, 0x00, 0x5e, 0x00, 0x01, 0x33,  0x08, 0x06,
        0x00, 0x01,  0x08, 0x00,  6, 4,  0x00, 0x01,
        0x00, 0x00, 0x5e, 0x00, 0x01, 0x33,  192, 0, 2, 10,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  192, 0, 2, 10,
    ];

    #[test]
    fn a_gratuitous_request_has_these_bytes_and_they_read_back() {
        assert_eq!(gratuitous(VMAC, VIP), GRATUITOUS);
        assert_eq!(
            decode(&GRATUITOUS[14..]),
            Ok(Arp { operation: Operation::Request, sender_mac: VMAC, sender: VIP, target: VIP })
        );
    }

    #[test]
    fn a_question_claims_nothing() {
        let mut expected = GRATUITOUS;
        expected[28..38].fill(0);
        assert_eq!(question(VMAC, VIP), expected);
        let asked = decode(&expected[14..]).unwrap();
        assert_eq!((asked.claim(), asked.target), (None, VIP));
    }

    #[test]
    fn pnet_reads_the_gratuitous_request_as_meant() {
        let frame = gratuitous(VMAC, VIP);
        let ethernet = EthernetPacket::new(&frame).unwrap();
        assert!(ethernet.get_destination().is_broadcast());
        assert_eq!(ethernet.get_source().octets(), VMAC.0);
        assert_eq!(ethernet.get_ethertype(), EtherTypes::Arp);
        let arp = ArpPacket::new(ethernet.payload()).unwrap();
        assert_eq!(arp.get_operation(), ArpOperations::Request);
        assert_eq!(arp.get_sender_hw_addr().octets(), VMAC.0);
        assert!(arp.get_target_hw_addr().is_broadcast());
        assert_eq!((arp.get_sender_proto_addr(), arp.get_target_proto_addr()), (VIP, VIP));
    }

    #[test]
    fn requests_and_replies_claim_the_senders_address() {
        let mut packet = [0; LENGTH];
        packet.copy_from_slice(&GRATUITOUS[14..]);
        let request = decode(&packet).unwrap();
        assert_eq!(request.claim(), Some((VIP, VMAC)));
        packet[7] = 2;
        let reply = decode(&packet).unwrap();
        assert_eq!(reply.operation, Operation::Reply);
        assert_eq!(reply.claim(), Some((VIP, VMAC)));
    }

    #[test]
    fn a_probe_claims_nothing() {
        let mut packet = [0; LENGTH];
        packet.copy_from_slice(&GRATUITOUS[14..]);
        packet[14..18].fill(0);
        let probe = decode(&packet).unwrap();
        assert_eq!((probe.target, probe.claim()), (VIP, None));
    }

    #[test]
    fn padding_of_a_short_frame_is_ignored() {
        let padded = [&GRATUITOUS[14..], &[0; 18]].concat();
        assert_eq!(decode(&padded), decode(&GRATUITOUS[14..]));
    }

    #[test]
    fn anything_but_ipv4_over_ethernet_is_refused() {
        assert_eq!(decode(&GRATUITOUS[14..41]), Err(Error::Truncated));
        for (at, byte, error) in [
            (1, 6, Error::Format),
            (2, 0x86, Error::Format),
            (4, 8, Error::Format),
            (5, 16, Error::Format),
            (6, 1, Error::Operation),
            (7, 3, Error::Operation),
            (7, 0, Error::Operation),
        ] {
            let mut packet = [0; LENGTH];
            packet.copy_from_slice(&GRATUITOUS[14..]);
            packet[at] = byte;
            assert_eq!(decode(&packet), Err(error), "byte {at} as {byte}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(decode(&bytes).is_err() || bytes.len() >= LENGTH);
        }

        #[test]
        fn decoding_agrees_with_pnet(tail in any::<[u8; 20]>(), reply: bool) {
            let mut packet = [0; LENGTH];
            packet[..6].copy_from_slice(&FORMAT);
            packet[7] = 1 + u8::from(reply);
            packet[8..].copy_from_slice(&tail);
            let (ours, theirs) = (decode(&packet).unwrap(), ArpPacket::new(&packet).unwrap());
            prop_assert_eq!(ours.sender_mac.0, theirs.get_sender_hw_addr().octets());
            prop_assert_eq!(ours.sender, theirs.get_sender_proto_addr());
            prop_assert_eq!(ours.target, theirs.get_target_proto_addr());
            prop_assert_eq!(ours.operation == Operation::Reply, theirs.get_operation() == ArpOperations::Reply);
        }

        #[test]
        fn what_is_announced_is_what_is_claimed(mac: [u8; 6], address in 1u32..) {
            let (mac, address) = (Mac(mac), Ipv4Addr::from_bits(address));
            let frame = gratuitous(mac, address);
            prop_assert_eq!(decode(&frame[14..]).unwrap().claim(), Some((address, mac)));
        }
    }
}
