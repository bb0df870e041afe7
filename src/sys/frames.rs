//! Sending whole Ethernet frames on one link: gratuitous ARP and unsolicited Neighbor Advertisements, whose
//! sender is the virtual address and whose hardware address may be the virtual router's own.
//!
//! Apart because of how the socket is made: only pnet binds an `AF_PACKET` socket without unsafe code.

use std::io::{self, Write};
use std::os::fd::IntoRawFd;
use std::time::Duration;

use pnet::datalink::{self, ChannelType, NetworkInterface};
use socket2::{Domain, Protocol, Socket, Type};

use super::name_of;
use crate::net::LinkIndex;

/// How long a frame waits for room in the send buffer before it is given up. Frames leave a running link in
/// microseconds; a link that takes longer is stuck, and the next frame would wait as long again.
const PATIENCE: Duration = Duration::from_millis(20);

/// A socket that sends frames on one link and receives nothing.
#[derive(Debug)]
pub struct Frames {
    socket: Socket,
}

impl Frames {
    /// Opens a socket on `link`; needs `CAP_NET_RAW`.
    pub fn open(link: LinkIndex) -> io::Result<Self> {
        // Protocol 0 receives nothing at all.
        let kind = Type::RAW.cloexec();
        let socket = Socket::new(Domain::PACKET, kind, Some(Protocol::from(0)))?;
        let config = datalink::Config {
            socket_fd: Some(socket.try_clone()?.into_raw_fd()),
            channel_type: ChannelType::Layer3(0),
            promiscuous: false,
            ..Default::default()
        };
        let interface = NetworkInterface {
            name: name_of(link),
            description: String::new(),
            index: link.0,
            mac: None,
            ips: Vec::new(),
            flags: 0,
        };
        // pnet binds the open socket to the interface and closes its own descriptor of it.
        drop(datalink::channel(&interface, config)?);
        // pnet has made the open file non-blocking.
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket })
    }

    /// Sends one frame, waiting up to 20 ms for room.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        loop {
            match (&self.socket).write(frame) {
                Ok(sent) if sent == frame.len() => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
