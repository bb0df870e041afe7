//! Raw sockets of protocol 112, one for each interface and family: adverts out and in (RFC 9568, 5.1).
//!
//! One socket per interface because the kernel limits the groups of a socket (`igmp_max_memberships`, 20) and
//! because `SO_BINDTODEVICE` then keeps other interfaces' adverts away.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::{clock, name_of};
use crate::engine::action::Endpoint;
use crate::engine::event::Packet;
use crate::net::{Family, LinkIndex};

/// How many bytes [`VrrpSocket::receive`] should be given: a version 3 advert with 255 IPv6 addresses is
/// 4,088 bytes long, an IPv4 header up to 60.
pub const BUFFER: usize = 8192;

const VRRP: i32 = 112;

/// Adverts must arrive with it (RFC 9568, 5.1.1.3 and 5.1.2.3).
const HOP_LIMIT: u32 = 255;

/// Internetwork control (RFC 2474): what routers mark the packets with by which they speak to each other.
const TRAFFIC_CLASS: u32 = 0xc0;

/// `TC_PRIO_CONTROL`: ahead of everything else in our own queues.
const PRIORITY: i32 = 7;

/// The default holds 256 adverts and drops the newest; at twice this size, what the kernel makes of it, a
/// stalled agent with 250 instances loses nothing for half a minute.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A raw socket of protocol 112 on one interface.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    endpoint: Endpoint,
}

/// A datagram that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// When the kernel received it, by the wall clock: see [`clock::Reading::received`].
    pub stamp: Duration,
    /// What it carried.
    pub packet: Packet<'a>,
}

impl VrrpSocket {
    /// Opens a socket on `endpoint` and joins `groups`; without any, it speaks only. May wait for RTNL; needs `CAP_NET_RAW`.
    ///
    /// An IPv6 socket hears whatever groups anybody on this host is in: the kernel asks raw sockets for their
    /// groups only when they are bound to an address (net/ipv6/raw.c). Look at the destination.
    pub fn open(endpoint: Endpoint, groups: &[IpAddr]) -> io::Result<Self> {
        let domain = match endpoint.family {
            Family::Ipv4 => Domain::IPV4,
            Family::Ipv6 => Domain::IPV6,
        };
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new(domain, kind, Some(Protocol::from(VRRP)))?;
        let this = Self { socket, endpoint };
        // Before the socket can receive: by name, for kernels before 5.1 know no other way.
        this.socket.bind_device(Some(name_of(endpoint.link).as_bytes()))?;
        this.prepare(groups)?;
        Ok(this)
    }

    /// A socket that the program before this one had; an error if it is anything else, or its interface is gone.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        let family = match (socket.domain()?, socket.protocol()?) {
            (Domain::IPV4, Some(protocol)) if i32::from(protocol) == VRRP => Family::Ipv4,
            (Domain::IPV6, Some(protocol)) if i32::from(protocol) == VRRP => Family::Ipv6,
            _ => return Err(Errno::EPROTOTYPE.into()),
        };
        let name = socket.device()?.ok_or(Errno::ENODEV)?;
        let link = LinkIndex(if_nametoindex(name.as_slice())?);
        Ok(Self { socket, endpoint: Endpoint { link, family } })
    }

    /// Sets everything but the interface, and joins `groups`. What is so already stays so.
    pub fn prepare(&self, groups: &[IpAddr]) -> io::Result<()> {
        match self.endpoint.family {
            Family::Ipv4 => self.prepare_ipv4()?,
            Family::Ipv6 => self.prepare_ipv6()?,
        }
        self.prepare_queues()?;
        if groups.is_empty() && self.endpoint.family == Family::Ipv6 {
            // It speaks for another link, whose link-local address is none of this one's.
            self.socket.set_freebind_v6(true)?;
        }
        for group in groups {
            match self.join(*group) {
                Err(error) if error.raw_os_error() != Some(libc::EADDRINUSE) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Where this socket is.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    fn prepare_ipv4(&self) -> io::Result<()> {
        let socket = &self.socket;
        socket.set_multicast_all_v4(false)?;
        socket.set_multicast_loop_v4(false)?;
        socket.set_multicast_ttl_v4(HOP_LIMIT)?;
        socket.set_ttl_v4(HOP_LIMIT)?;
        socket.set_tos_v4(TRAFFIC_CLASS)
    }

    fn prepare_ipv6(&self) -> io::Result<()> {
        let socket = &self.socket;
        socket.set_multicast_loop_v6(false)?;
        socket.set_multicast_hops_v6(HOP_LIMIT)?;
        socket.set_unicast_hops_v6(HOP_LIMIT)?;
        socket.set_tclass_v6(TRAFFIC_CLASS)?;
        setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)?;
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        Ok(())
    }

    fn prepare_queues(&self) -> io::Result<()> {
        setsockopt(&self.socket, sockopt::ReceiveTimestampns, &true)?;
        // Without CAP_NET_ADMIN only up to net.core.rmem_max, and the kernel's own priority: less headroom,
        // but no reason to be deaf. After the traffic class, which sets the priority too.
        match setsockopt(&self.socket, sockopt::Priority, &PRIORITY) {
            Ok(()) | Err(Errno::EPERM) => {}
            Err(error) => return Err(error.into()),
        }
        match setsockopt(&self.socket, sockopt::RcvBufForce, &RECEIVE_BUFFER) {
            Ok(()) => Ok(()),
            Err(Errno::EPERM) => self.socket.set_recv_buffer_size(RECEIVE_BUFFER),
            Err(error) => Err(error.into()),
        }
    }

    fn join(&self, group: IpAddr) -> io::Result<()> {
        let LinkIndex(index) = self.endpoint.link;
        match group {
            IpAddr::V4(group) => {
                self.socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
            }
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, index),
        }
    }

    /// Takes the next datagram from the queue; `None` when the queue is empty.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<Arrived<'b>>> {
        let received = match self.endpoint.family {
            Family::Ipv4 => self.receive_as::<SockaddrIn>(buffer),
            Family::Ipv6 => self.receive_as::<SockaddrIn6>(buffer),
        };
        let header = match received {
            Ok(header) => header,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes = &buffer[..header.length.min(buffer.len())];
        let packet = match (self.endpoint.family, header.source, header.destination) {
            (Family::Ipv4, _, _) => Packet::Ipv4(bytes),
            (Family::Ipv6, Some(source), Some(destination)) => {
                Packet::Ipv6 { source, destination, hop_limit: header.hop_limit, payload: bytes }
            }
            (Family::Ipv6, _, _) => {
                return Err(io::Error::other("an IPv6 datagram came without its addresses"));
            }
        };
        Ok(Some(Arrived { stamp: header.stamp.unwrap_or_else(clock::realtime), packet }))
    }

    fn receive_as<S: SockaddrLike + Source>(&self, buffer: &mut [u8]) -> nix::Result<Header> {
        let mut control = nix::cmsg_space!(TimeSpec, libc::in6_pktinfo, libc::c_int);
        let mut io = [IoSliceMut::new(buffer)];
        let message =
            recvmsg::<S>(self.socket.as_raw_fd(), &mut io, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
        let source = message.address.as_ref().map(Source::address);
        let mut header = Header { length: message.bytes, source, ..Header::default() };
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::ScmTimestampns(stamp) => header.stamp = Some(stamp.into()),
                ControlMessageOwned::Ipv6HopLimit(limit) => {
                    header.hop_limit = u8::try_from(limit).unwrap_or(0);
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    header.destination = Some(IpAddr::V6(info.ipi6_addr.s6_addr.into()));
                }
                _ => {}
            }
        }
        Ok(header)
    }

    /// Sends one advert with TTL or hop limit 255. The kernel would rather choose a source itself, and might
    /// choose a virtual address that has just been installed: hence `source`, which must be the interface's.
    pub fn send(&self, source: IpAddr, destination: IpAddr, payload: &[u8]) -> io::Result<()> {
        let sent = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: self.index(),
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let to = SockaddrIn::from(SocketAddrV4::new(destination, 0));
                self.send_as(&to, &ControlMessage::Ipv4PacketInfo(&info), payload)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
                    ipi6_ifindex: self.endpoint.link.0,
                };
                // The kernel looks at the scope of link-local addresses and groups only.
                let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, self.endpoint.link.0));
                self.send_as(&to, &ControlMessage::Ipv6PacketInfo(&info), payload)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(Errno::EAFNOSUPPORT),
        };
        match sent {
            Ok(sent) if sent == payload.len() => Ok(()),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn send_as<S: SockaddrLike>(
        &self,
        to: &S,
        pin: &ControlMessage<'_>,
        payload: &[u8],
    ) -> nix::Result<usize> {
        let io = [IoSlice::new(payload)];
        sendmsg(self.socket.as_raw_fd(), &io, std::slice::from_ref(pin), MsgFlags::MSG_DONTWAIT, Some(to))
    }

    fn index(&self) -> i32 {
        i32::try_from(self.endpoint.link.0).unwrap_or(0)
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What came with a datagram.
#[derive(Default)]
struct Header {
    length: usize,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    hop_limit: u8,
    stamp: Option<Duration>,
}

/// A socket address with an IP address in it.
trait Source {
    fn address(&self) -> IpAddr;
}

impl Source for SockaddrIn {
    fn address(&self) -> IpAddr {
        self.ip().into()
    }
}

impl Source for SockaddrIn6 {
    fn address(&self) -> IpAddr {
        self.ip().into()
    }
}
