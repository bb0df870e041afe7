//! Who claims an address: asking the whole segment by ARP or Neighbor Solicitation and collecting answers.
//!
//! Unicast probes reach one holder only, the one in the client's neighbour cache; this finds two.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use pnet::datalink::{self, Channel, NetworkInterface};
use pnet::packet::Packet;
use pnet::packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet::packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet::packet::icmpv6::ndp::{MutableNeighborSolicitPacket, NdpOption, NdpOptionTypes};
use pnet::packet::icmpv6::{self, Icmpv6Packet, Icmpv6Types};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::util::MacAddr;

use crate::network::Host;
use crate::sniffer::Sniffer;
use crate::wait;

/// Asks once, from `host`, who has `address`, and collects the Ethernet addresses that answer within 100 ms.
pub fn who_has(host: &Host, address: IpAddr) -> BTreeSet<MacAddr> {
    let sniffer = Sniffer::on(host);
    let asked = wait::now();
    let (destination, ethertype, payload) = question(host, address);
    send(host, destination, ethertype, &payload);
    wait::observe(Duration::from_millis(100));
    sniffer.look(|frames| {
        let answers =
            frames.iter().filter(|frame| frame.at > asked).filter_map(super::frame::Frame::answered);
        answers.filter(|(about, _)| *about == address).map(|(_, mac)| mac).collect()
    })
}

/// The question to the whole segment who has `address`, as `host` asks it: destination, type and payload.
pub fn question(host: &Host, address: IpAddr) -> (MacAddr, EtherType, Vec<u8>) {
    match address {
        IpAddr::V4(target) => (MacAddr::broadcast(), EtherTypes::Arp, arp_request(host, target)),
        IpAddr::V6(target) => {
            let [.., d, e, f] = target.octets();
            (MacAddr::new(0x33, 0x33, 0xff, d, e, f), EtherTypes::Ipv6, solicitation(host, target))
        }
    }
}

fn arp_request(host: &Host, target: std::net::Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0; 28];
    let mut arp = MutableArpPacket::new(&mut bytes).expect("28 bytes hold an ARP packet");
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(ArpOperations::Request);
    arp.set_sender_hw_addr(host.mac());
    arp.set_sender_proto_addr(host.ipv4());
    arp.set_target_proto_addr(target);
    bytes
}

fn solicitation(host: &Host, target: Ipv6Addr) -> Vec<u8> {
    let [.., d, e, f] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, d, e, f]);
    let mut icmp = vec![0; 32];
    {
        let mut ask = MutableNeighborSolicitPacket::new(&mut icmp).expect("32 bytes hold a solicitation");
        ask.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
        ask.set_target_addr(target);
        let data = host.mac().octets().to_vec();
        ask.set_options(&[NdpOption { option_type: NdpOptionTypes::SourceLLAddr, length: 1, data }]);
        let sum = Icmpv6Packet::new(ask.packet()).map(|p| icmpv6::checksum(&p, &host.ipv6(), &group));
        ask.set_checksum(sum.expect("32 bytes hold an ICMPv6 packet"));
    }
    let mut bytes = vec![0; 40 + icmp.len()];
    let mut ip = MutableIpv6Packet::new(&mut bytes).expect("72 bytes hold an IPv6 packet");
    ip.set_version(6);
    ip.set_payload_length(32);
    ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
    ip.set_hop_limit(255);
    ip.set_source(host.ipv6());
    ip.set_destination(group);
    ip.set_payload(&icmp);
    bytes
}

/// Sends one frame out of the host's `eth0`.
pub fn send(host: &Host, destination: MacAddr, ethertype: EtherType, payload: &[u8]) {
    let mut frame = vec![0; 14 + payload.len()];
    let mut ethernet = MutableEthernetPacket::new(&mut frame).expect("a frame holds its header");
    ethernet.set_destination(destination);
    ethernet.set_source(host.mac());
    ethernet.set_ethertype(ethertype);
    ethernet.set_payload(payload);
    host.inside(|| {
        let eth0: NetworkInterface =
            datalink::interfaces().into_iter().find(|i| i.name == "eth0").expect("the host has eth0");
        let Ok(Channel::Ethernet(mut sender, _)) = datalink::channel(&eth0, datalink::Config::default())
        else {
            panic!("no packet socket on {}", host.name());
        };
        let sent = sender.send_to(&frame, None).expect("room to send");
        sent.unwrap_or_else(|e| panic!("send a frame from {}: {e}", host.name()));
    });
}
