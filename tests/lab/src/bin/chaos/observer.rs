//! The outside observer: asks for every address every few milliseconds, and writes down which node answered when.
//!
//! It asks in three ways. ARP and Neighbor Solicitations go to the whole segment, so every node that claims the
//! address answers. A datagram for the echo servers goes to *each* node by its Ethernet address, so every node that
//! still accepts what is sent to the address answers, whatever the clients' neighbour caches say.
//!
//! # When an answer counts
//!
//! Answers are taken at the node's own port of the switch. The port says which node it was, so nothing that is
//! written in the frame is believed. The time is the kernel's: a frame is stamped when the node's interface hands it
//! to the other end of its cable, in the sender's own context and before the switch queues it. What the switch does
//! later, when this program looks, and how busy the machine is then, changes no stamp. An answer that is in flight
//! has therefore left its node, and nothing is allowed for it: if one node's answer is stamped after another's first
//! one, it was still answering then. Questions in flight are no matter either, for the answer alone has a stamp.
//!
//! What a node wrote before it fell silent cannot leave late: the addresses' gate is the last thing on its way out, and
//! stands behind all queues but the cable. An echo server that gets the processor late answers late or not at all;
//! that makes silence look longer, never shorter, and two answers neither more nor fewer.
//!
//! Between two questions nobody is asked: two nodes that would both have answered for less than [`TICK`] can pass
//! unseen. Silence is counted from the first question without an answer, so a time when this program got no processor
//! and did not ask is not silence.

use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lab::frame::{Frame, Seen};
use lab::probe::{Echo, PORT};
use lab::{Host, Tap, Worker, claim, wait};
use pnet::datalink::{self, Channel, DataLinkSender, NetworkInterface};
use pnet::packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::{self, MutableIpv4Packet};
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::packet::udp::{self, MutableUdpPacket};
use pnet::util::MacAddr;

/// How often everything is asked in a campaign.
pub(crate) const TICK: Duration = Duration::from_millis(3);

/// A running observer.
pub(crate) struct Observer {
    record: Arc<Mutex<Record>>,
    _workers: [Worker; 2],
    _echoes: Vec<Echo>,
    _port: UdpSocket,
}

/// What it saw since it was last cleared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// When everything was asked.
    pub(crate) rounds: Vec<u64>,
    /// Who answered.
    pub(crate) answers: Vec<Answer>,
    /// The adverts of the nodes.
    pub(crate) adverts: Vec<Advert>,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// When it left the node, nanoseconds of `CLOCK_REALTIME`.
    pub(crate) at: u64,
    /// Which node: its place in the list of nodes.
    pub(crate) node: usize,
    /// Which address: its place in the list of addresses.
    pub(crate) address: usize,
    /// To which question.
    pub(crate) way: Way,
}

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// ARP or Neighbor Solicitation.
    Claim,
    /// A datagram to the node itself.
    Echo,
}

/// An advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advert {
    /// When it left the node.
    pub(crate) at: u64,
    /// Which node.
    pub(crate) node: usize,
    /// Of which virtual router.
    pub(crate) vrid: u8,
    /// Of which family.
    pub(crate) ipv6: bool,
    /// Its priority.
    pub(crate) priority: u8,
}

impl Observer {
    /// Starts asking `nodes` for `addresses` from `client`, all of them every `tick`.
    pub(crate) fn start(client: &Host, nodes: &[Host], addresses: &[IpAddr], tick: Duration) -> Self {
        let echoes = nodes.iter().map(Echo::on).collect();
        // Somebody has to take the answers, or the client would complain to the nodes.
        let port = client.inside(|| UdpSocket::bind(("::", CLIENT_PORT)).expect("bind the client's port"));
        let record = Arc::new(Mutex::new(Record::default()));
        let questions: Vec<Vec<u8>> =
            addresses.iter().flat_map(|address| questions(client, nodes, *address)).collect();
        let mut sender = sender(client);
        let (asking, mut next) = (Arc::clone(&record), Instant::now());
        let ask = Worker::repeat("ask", move || {
            let at = wait::now();
            for question in &questions {
                let sent = sender.send_to(question, None).expect("room to send");
                sent.expect("the client can send");
            }
            asking.lock().unwrap_or_else(PoisonError::into_inner).rounds.push(at);
            next = (next + tick).max(Instant::now());
            wait::observe(next.saturating_duration_since(Instant::now()));
        });
        let taps: Vec<Tap> = nodes.iter().map(Tap::at_port).collect();
        let (hearing, addresses) = (Arc::clone(&record), addresses.to_vec());
        let hear = Worker::repeat("hear", move || {
            wait::observe(Duration::from_millis(2));
            for (node, tap) in taps.iter().enumerate() {
                tap.drain(|at, bytes| hear(&hearing, node, at, bytes, &addresses));
            }
        });
        Self { record, _workers: [ask, hear], _echoes: echoes, _port: port }
    }

    /// Forgets what was seen before `moment`.
    pub(crate) fn forget(&self, moment: u64) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.rounds.retain(|at| *at >= moment);
        record.answers.retain(|answer| answer.at >= moment);
        record.adverts.retain(|advert| advert.at >= moment);
    }

    /// What was seen so far, in order of time.
    pub(crate) fn record(&self) -> Record {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The taps are emptied in turn.
        record.answers.sort_by_key(|answer| answer.at);
        record.adverts.sort_by_key(|advert| advert.at);
        record
    }

    /// Looks at what was seen so far, the newest of each node last, without copying it.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Record) -> T) -> T {
        at(&self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where the client asks from.
const CLIENT_PORT: u16 = 7008;

fn sender(client: &Host) -> Box<dyn DataLinkSender> {
    client.inside(|| {
        let eth0: NetworkInterface =
            datalink::interfaces().into_iter().find(|i| i.name == "eth0").expect("the client has eth0");
        match datalink::channel(&eth0, datalink::Config::default()) {
            Ok(Channel::Ethernet(sender, _)) => sender,
            Ok(_) | Err(_) => panic!("no packet socket on {}", client.name()),
        }
    })
}

/// All frames that ask for one address.
fn questions(client: &Host, nodes: &[Host], address: IpAddr) -> Vec<Vec<u8>> {
    let (to, ethertype, payload) = claim::question(client, address);
    let mut frames = vec![frame(client, to, ethertype, &payload)];
    for node in nodes {
        let (ethertype, packet) = match address {
            IpAddr::V4(_) => (EtherTypes::Ipv4, datagram4(client, address)),
            IpAddr::V6(_) => (EtherTypes::Ipv6, datagram6(client, address)),
        };
        frames.push(frame(client, node.mac(), ethertype, &packet));
    }
    frames
}

fn frame(
    client: &Host,
    to: MacAddr,
    ethertype: pnet::packet::ethernet::EtherType,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; 14 + payload.len()];
    let mut ethernet = MutableEthernetPacket::new(&mut bytes).expect("a frame holds its header");
    ethernet.set_destination(to);
    ethernet.set_source(client.mac());
    ethernet.set_ethertype(ethertype);
    ethernet.set_payload(payload);
    bytes
}

fn datagram4(client: &Host, address: IpAddr) -> Vec<u8> {
    let IpAddr::V4(address) = address else { unreachable!("asked for IPv4") };
    let mut bytes = vec![0; 20 + 9];
    let mut ip = MutableIpv4Packet::new(&mut bytes).expect("29 bytes hold a datagram");
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_total_length(29);
    ip.set_ttl(64);
    ip.set_next_level_protocol(IpNextHeaderProtocols::Udp);
    ip.set_source(client.ipv4());
    ip.set_destination(address);
    ip.set_payload(&udp_header(|header| udp::ipv4_checksum(header, &client.ipv4(), &address)));
    let sum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(sum);
    bytes
}

fn datagram6(client: &Host, address: IpAddr) -> Vec<u8> {
    let IpAddr::V6(address) = address else { unreachable!("asked for IPv6") };
    let mut bytes = vec![0; 40 + 9];
    let mut ip = MutableIpv6Packet::new(&mut bytes).expect("49 bytes hold a datagram");
    ip.set_version(6);
    ip.set_payload_length(9);
    ip.set_next_header(IpNextHeaderProtocols::Udp);
    ip.set_hop_limit(64);
    ip.set_source(client.ipv6());
    ip.set_destination(address);
    ip.set_payload(&udp_header(|header| udp::ipv6_checksum(header, &client.ipv6(), &address)));
    bytes
}

/// A UDP header and one byte.
fn udp_header(checksum: impl FnOnce(&udp::UdpPacket) -> u16) -> [u8; 9] {
    let mut bytes = [0; 9];
    let mut header = MutableUdpPacket::new(&mut bytes).expect("9 bytes hold a header");
    header.set_source(CLIENT_PORT);
    header.set_destination(PORT);
    header.set_length(9);
    let sum = checksum(&header.to_immutable());
    header.set_checksum(sum);
    bytes
}

/// Writes down one frame of `node`.
fn hear(record: &Mutex<Record>, node: usize, at: u64, bytes: &[u8], addresses: &[IpAddr]) {
    let place = |address: IpAddr| addresses.iter().position(|known| *known == address);
    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(source) = echoed(bytes) {
        if let Some(address) = place(source) {
            record.answers.push(Answer { at, node, address, way: Way::Echo });
        }
        return;
    }
    let Some(frame) = Frame::read(at, bytes) else { return };
    if let Seen::Advert(advert) = &frame.what {
        let (vrid, ipv6, priority) = (advert.vrid, advert.source.is_ipv6(), advert.priority);
        record.adverts.push(Advert { at, node, vrid, ipv6, priority });
    } else if let Some(address) = frame.answered().and_then(|(address, _)| place(address)) {
        record.answers.push(Answer { at, node, address, way: Way::Claim });
    }
}

/// The source of an echo server's answer.
fn echoed(frame: &[u8]) -> Option<IpAddr> {
    let (udp, source) = match frame.get(12..15)? {
        [0x08, 0x00, 0x45] if *frame.get(23)? == 17 => {
            (34, IpAddr::from(<[u8; 4]>::try_from(frame.get(26..30)?).ok()?))
        }
        [0x86, 0xdd, _] if *frame.get(20)? == 17 => {
            (54, IpAddr::from(<[u8; 16]>::try_from(frame.get(22..38)?).ok()?))
        }
        _ => return None,
    };
    (frame.get(udp..udp + 2)? == PORT.to_be_bytes()).then_some(source)
}
