//! Listening for what others say by ARP (RFC 826) and Neighbor Advertisement (RFC 4861, 4.4): which address
//! is whose. What it means that somebody claims a virtual address is for the engine to say.
//!
//! Every ARP packet that names a sender is a claim, ordinary requests too (RFC 5227, 2.4): a node that holds
//! an address without knowing it any more announces nothing, but asks for its neighbours with that address
//! as the sender. Filters in the kernel leave out our own frames and everything else that is none.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, SockaddrIn6, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::filter::{ACCEPT, DROP, if_equal, load_byte, load_half, load_word};
use crate::engine::event::Claim;
use crate::net::{LinkIndex, Mac};
use crate::wire::{arp, ndp};

/// Datagrams that are no claims are skipped, but no more than this in one call.
const SKIPS: usize = 64;

/// Enough for an ARP packet and for an advertisement with all the options hosts send.
const BUFFER: usize = 512;

/// Bounds what a storm of ARP may cost in memory; what does not fit is lost, and claims are repeated.
const RECEIVE_BUFFER: usize = 256 << 10;

const ETHERTYPE_ARP: u16 = 0x0806;
const NEIGHBOR_ADVERTISEMENT: u32 = 136;

/// A socket that hears claims, on all interfaces.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    protocol: Heard,
}

#[derive(Clone, Copy, Debug)]
enum Heard {
    Arp,
    Ndp,
}

impl Listener {
    /// Listens for IPv4 claims; needs `CAP_NET_RAW`.
    pub fn arp() -> io::Result<Self> {
        // Datagram: the Ethernet header stays off.
        let kind = Type::DGRAM.nonblocking().cloexec();
        let protocol = Protocol::from(i32::from(ETHERTYPE_ARP.to_be()));
        let socket = Socket::new(Domain::PACKET, kind, Some(protocol))?;
        Self { socket, protocol: Heard::Arp }.prepare(&arp_filter())
    }

    /// Listens for IPv6 claims; needs `CAP_NET_RAW`.
    ///
    /// Advertisements that answer somebody else's solicitation go to that host alone and are not heard.
    pub fn ndp() -> io::Result<Self> {
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new(Domain::IPV6, kind, Some(Protocol::ICMPV6))?;
        setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        Self { socket, protocol: Heard::Ndp }.prepare(&ndp_filter())
    }

    /// Puts the filter in place and empties the queue of what came before it.
    fn prepare(self, filter: &[SockFilter]) -> io::Result<Self> {
        self.socket.attach_filter(filter)?;
        match setsockopt(&self.socket, sockopt::RcvBufForce, &RECEIVE_BUFFER) {
            Ok(()) => {}
            Err(Errno::EPERM) => self.socket.set_recv_buffer_size(RECEIVE_BUFFER)?,
            Err(error) => return Err(error.into()),
        }
        for _ in 0..SKIPS {
            if let Err(Errno::EAGAIN) = self.next() {
                break;
            }
        }
        Ok(self)
    }

    /// The next claim; `None` when there is none for now.
    pub fn receive(&self) -> io::Result<Option<Claim>> {
        for _ in 0..SKIPS {
            match self.next() {
                Ok(None) | Err(Errno::EINTR) => {}
                Ok(Some(claim)) => return Ok(Some(claim)),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        // More may be waiting: the descriptor is still readable and the caller will be back.
        Ok(None)
    }

    /// One datagram's claim, if it is one.
    fn next(&self) -> nix::Result<Option<Claim>> {
        let mut buffer = [0; BUFFER];
        match self.protocol {
            Heard::Arp => self.next_arp(&mut buffer),
            Heard::Ndp => self.next_ndp(&mut buffer),
        }
    }

    fn next_arp(&self, buffer: &mut [u8]) -> nix::Result<Option<Claim>> {
        let mut io = [IoSliceMut::new(buffer)];
        let message = recvmsg::<LinkAddr>(self.socket.as_raw_fd(), &mut io, None, MsgFlags::MSG_DONTWAIT)?;
        let (length, from) = (message.bytes, message.address);
        let Some(link) = from.and_then(|from| u32::try_from(from.ifindex()).ok()) else { return Ok(None) };
        let Ok(packet) = arp::decode(&buffer[..length.min(BUFFER)]) else { return Ok(None) };
        Ok(packet.claim().map(|(address, mac)| Claim { link: LinkIndex(link), mac, address: address.into() }))
    }

    fn next_ndp(&self, buffer: &mut [u8]) -> nix::Result<Option<Claim>> {
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let mut io = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrIn6>(
            self.socket.as_raw_fd(),
            &mut io,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let (mut link, mut hop_limit) = (None, 0);
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::Ipv6PacketInfo(info) => link = Some(LinkIndex(info.ipi6_ifindex)),
                ControlMessageOwned::Ipv6HopLimit(limit) => hop_limit = u8::try_from(limit).unwrap_or(0),
                _ => {}
            }
        }
        let (length, from) = (message.bytes, message.address);
        let (Some(link), Some(from)) = (link, from) else { return Ok(None) };
        Ok(advertised(&buffer[..length.min(BUFFER)], from.ip(), hop_limit).map(|(address, mac)| Claim {
            link,
            mac,
            address,
        }))
    }
}

fn advertised(message: &[u8], source: Ipv6Addr, hop_limit: u8) -> Option<(IpAddr, Mac)> {
    let advertisement = ndp::decode(message, source, hop_limit).ok()?;
    Some((advertisement.target.into(), advertisement.mac?))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Requests and replies that name a sender and that we did not send ourselves.
fn arp_filter() -> [SockFilter; 9] {
    /// `SKF_AD_OFF + SKF_AD_PKTTYPE`: whether the packet came in or went out.
    const PACKET_TYPE: u32 = 0xffff_f000 + 4;
    const PACKET_OUTGOING: u32 = 4;
    const OPERATION: u32 = 6;
    const SENDER: u32 = 14;
    [
        load_byte(PACKET_TYPE),
        if_equal(PACKET_OUTGOING, 6, 0),
        load_half(OPERATION),
        if_equal(1, 1, 0),
        if_equal(2, 0, 3),
        load_word(SENDER),
        if_equal(0, 1, 0),
        ACCEPT,
        DROP,
    ]
}

/// Neighbor Advertisements. For a raw IPv6 socket the packet begins with the ICMPv6 header.
fn ndp_filter() -> [SockFilter; 4] {
    [load_byte(0), if_equal(NEIGHBOR_ADVERTISEMENT, 0, 1), ACCEPT, DROP]
}
