//! Frames as they pass an interface, in and out: adverts, ARP and Neighbor Advertisements, for whoever captures them.
//!
//! The socket sees what arrives before any firewall does, and what leaves after it. A filter in the kernel leaves out
//! everything else, and what belongs to a VLAN of the interface, which has an interface of its own.

use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::clock;
use super::filter::{ACCEPT, DROP, if_equal, load_byte, load_half};
use crate::net::LinkIndex;

/// The longest frame that is read whole: jumbo frames, and then some.
pub const LONGEST: usize = 16 << 10;

/// Every protocol, in both directions.
const EVERYTHING: u16 = 0x0003;
/// Seconds of what the filter lets through, on any network.
const RECEIVE_BUFFER: usize = 4 << 20;
/// How long to wait for a frame, so that whoever reads looks up at times.
const PATIENCE: Duration = Duration::from_millis(100);
/// How much may be left over from before the filter was there.
const LEFT_OVER: usize = 65_536;
/// Link layers with Ethernet's header: Ethernet's own, and the loopback's.
const ETHERNET: [u16; 2] = [1, 772];

/// A socket that sees frames on all interfaces and sends none.
#[derive(Debug)]
pub struct Onlooking(Socket);

/// A frame that passed.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When, by the wall clock.
    pub stamp: Duration,
    /// Where.
    pub link: LinkIndex,
    /// In which direction.
    pub way: Way,
    /// All of it, from the Ethernet header on.
    pub bytes: &'a [u8],
}

/// Whether a frame came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It came for this host.
    In,
    /// It came, but is for another host.
    Past,
    /// It left.
    Out,
}

impl Onlooking {
    /// Opens the socket; needs `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(EVERYTHING.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW.cloexec(), Some(protocol))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.attach_filter(&filter())?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        match setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER) {
            Ok(()) => {}
            Err(Errno::EPERM) => socket.set_recv_buffer_size(RECEIVE_BUFFER)?,
            Err(error) => return Err(error.into()),
        }
        let this = Self(socket);
        let mut buffer = [0; 64];
        for _ in 0..LEFT_OVER {
            if let Err(Errno::EAGAIN) = this.next(&mut buffer, MsgFlags::MSG_DONTWAIT) {
                break;
            }
        }
        Ok(this)
    }

    /// The next frame, for which it waits up to 100 ms; `None` if there was none, or it was none of Ethernet's.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<Frame<'b>>> {
        match self.next(buffer, MsgFlags::empty()) {
            Ok(Some((length, stamp, link, way))) => {
                Ok(Some(Frame { stamp, link, way, bytes: &buffer[..length] }))
            }
            Ok(None) | Err(Errno::EINTR | Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn next(
        &self,
        buffer: &mut [u8],
        flags: MsgFlags,
    ) -> nix::Result<Option<(usize, Duration, LinkIndex, Way)>> {
        let room = buffer.len();
        let mut control = nix::cmsg_space!(TimeSpec);
        let mut io = [IoSliceMut::new(buffer)];
        let message = recvmsg::<LinkAddr>(self.0.as_raw_fd(), &mut io, Some(&mut control), flags)?;
        let mut stamp = None;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmTimestampns(at) = control {
                stamp = Some(at.into());
            }
        }
        let Some(from) = message.address else { return Ok(None) };
        let Ok(index) = u32::try_from(from.ifindex()) else { return Ok(None) };
        if !ETHERNET.contains(&from.hatype()) {
            return Ok(None);
        }
        let way = match from.pkttype() {
            PACKET_OTHERHOST => Way::Past,
            PACKET_OUTGOING => Way::Out,
            _ => Way::In,
        };
        let stamp = stamp.unwrap_or_else(clock::realtime);
        Ok(Some((message.bytes.min(room), stamp, LinkIndex(index), way)))
    }
}

const PACKET_OTHERHOST: u8 = 3;
const PACKET_OUTGOING: u8 = 4;

/// Untagged ARP, protocol 112 over IPv4 and IPv6, and Neighbor Advertisements.
fn filter() -> [SockFilter; 15] {
    /// `SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT`.
    const TAGGED: u32 = 0xffff_f000 + 48;
    const TYPE: u32 = 12;
    const IPV4_PROTOCOL: u32 = 14 + 9;
    const IPV6_NEXT_HEADER: u32 = 14 + 6;
    const ICMPV6_TYPE: u32 = 14 + 40;
    [
        load_byte(TAGGED),
        if_equal(0, 0, 12),
        load_half(TYPE),
        if_equal(0x0806, 9, 0),
        if_equal(0x0800, 4, 0),
        if_equal(0x86dd, 0, 8),
        load_byte(IPV6_NEXT_HEADER),
        if_equal(112, 5, 0),
        if_equal(58, 2, 5),
        load_byte(IPV4_PROTOCOL),
        if_equal(112, 2, 3),
        load_byte(ICMPV6_TYPE),
        if_equal(136, 0, 1),
        ACCEPT,
        DROP,
    ]
}
