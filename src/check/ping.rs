//! The `ping` kind: a host answers an ICMP echo request (RFC 792, RFC 4443).
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `ping` | required | an IPv4 or IPv6 address |
//! | `source` | the kernel's choice | the address to ask from |
//! | `interface` | the kernel's choice | the interface to ask through; required for a link-local address |
//!
//! One request a run, and it is answered or not: how many have to be lost is for `fall` to say. Raw sockets, because the
//! agent has the right to them (`CAP_NET_RAW`) wherever it can be master, while those for unprivileged users depend on a
//! sysctl. Answers are told from others' by eight bytes that no other run sends.
//!
//! ```text
//!    type 8/128 | code 0 | checksum (IPv6: the kernel's) | identifier | sequence | token, 8 bytes
//! ```
//!
//! Errors: `timed out after 500ms waiting for an echo reply`; `host unreachable`; `cannot ask from 192.0.2.9: ..`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::reach::{Run, lowered};
use crate::wire::checksum::Checksum;

/// Who has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The host.
    pub address: IpAddr,
    /// Where the request comes from.
    pub source: Option<IpAddr>,
    /// What it goes through.
    pub interface: Option<String>,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if let Some(source) = self.source {
            write!(f, " from {source}")?;
        }
        self.interface.as_ref().map_or(Ok(()), |interface| write!(f, " through {interface}"))
    }
}

pub(super) struct Probe {
    settings: Settings,
}

impl Probe {
    pub(super) const fn new(settings: Settings) -> Self {
        Self { settings }
    }

    pub(super) async fn run(&mut self, run: &mut Run) -> Result<String, String> {
        run.phase = " waiting for an echo reply";
        // tokio's socket for UDP sends and receives by any socket that has datagrams.
        let socket = UdpSocket::from_std(self.open()?.into()).map_err(|error| lowered(&error))?;
        let token = token();
        let request = request(self.settings.address, token);
        socket.send(&request).await.map_err(|error| lowered(&error))?;
        let mut packet = [0; LONGEST];
        loop {
            let read = socket.recv(&mut packet).await.map_err(|error| lowered(&error))?;
            if is_reply(self.settings.address, &packet[..read], token) {
                return Ok("it answers".to_owned());
            }
        }
    }

    /// A socket that sends to the host, and gets what comes from it.
    fn open(&self) -> Result<Socket, String> {
        let Settings { address, source, interface } = &self.settings;
        let (domain, protocol) = match address {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let refused = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| format!("cannot {what}: {}", lowered(&error))
        };
        let socket =
            Socket::new(domain, Type::RAW.nonblocking(), Some(protocol)).map_err(refused("open a socket"))?;
        let mut scope = 0;
        if let Some(interface) = interface {
            let failed = refused(&format!("ask through {interface}"));
            socket.bind_device(Some(interface.as_bytes())).map_err(&failed)?;
            scope = if_nametoindex(interface.as_str()).map_err(|errno| failed(errno.into()))?;
        }
        if let Some(source) = source {
            let at = endpoint(*source, scope).into();
            socket.bind(&at).map_err(refused(&format!("ask from {source}")))?;
        }
        socket.connect(&endpoint(*address, scope).into()).map_err(|error| lowered(&error))?;
        Ok(socket)
    }
}

/// An address as a socket takes it: a link-local one needs the number of its interface.
fn endpoint(address: IpAddr, scope: u32) -> SocketAddr {
    match address {
        IpAddr::V4(_) => SocketAddr::new(address, 0),
        IpAddr::V6(address) => {
            let scope = if is_link_local(address) { scope } else { 0 };
            SocketAddr::V6(SocketAddrV6::new(address, 0, 0, scope))
        }
    }
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// Eight bytes that no other run sends, in this process or another.
fn token() -> [u8; 8] {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let token = u64::from(std::process::id()) << 32 | u64::from(run);
    token.to_be_bytes()
}

/// An echo request with these eight bytes.
pub fn request(to: IpAddr, token: [u8; 8]) -> Vec<u8> {
    let kind = match to {
        IpAddr::V4(_) => ECHO_V4,
        IpAddr::V6(_) => ECHO_V6,
    };
    let [.., high, low] = token;
    let identifier = [token[2], token[3]];
    let mut message = vec![kind, 0, 0, 0, identifier[0], identifier[1], high, low];
    message.extend(token);
    if to.is_ipv4() {
        let checksum = Checksum::new().with(&message).finish().to_be_bytes();
        message[2..4].copy_from_slice(&checksum);
    }
    message
}

/// A socket that sends echo requests to a host, and gets what comes from it.
pub fn socket(to: IpAddr) -> Result<UdpSocket, String> {
    let settings = Settings { address: to, source: None, interface: None };
    let socket = Probe::new(settings).open()?;
    UdpSocket::from_std(socket.into()).map_err(|error| lowered(&error))
}

/// Whether what a socket received answers a request.
fn is_reply(from: IpAddr, packet: &[u8], token: [u8; 8]) -> bool {
    reply(from, packet) == Some(token)
}

/// The eight bytes of an echo reply that a socket received, in IPv4 with its header.
pub fn reply(from: IpAddr, packet: &[u8]) -> Option<[u8; 8]> {
    let (message, kind) = match from {
        IpAddr::V4(_) => {
            let header = packet.first().map_or(0, |first| usize::from(first & 0xf) * 4);
            (packet.get(header..).unwrap_or_default(), REPLY_V4)
        }
        IpAddr::V6(_) => (packet, REPLY_V6),
    };
    if message.get(..2) != Some(&[kind, 0]) {
        return None;
    }
    message.get(8..16)?.try_into().ok()
}

const ECHO_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const ECHO_V6: u8 = 128;
const REPLY_V6: u8 = 129;
/// An IPv4 header with all options, and the answer.
const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_request_is_built_as_the_standards_draw_it() {
        let token = [0, 0, 0x12, 0x34, 0, 0, 0xab, 0xcd];
        let message = request(ip("192.0.2.1"), token);
        let fields = [8, 0, 0x7b, 0xfc, 0x12, 0x34, 0xab, 0xcd];
        assert_eq!(message, [fields, token].concat());
        assert!(Checksum::new().with(&message).is_valid());
        assert_eq!(request(ip("2001:db8::1"), token)[..4], [128, 0, 0, 0]);
    }

    #[test]
    fn a_reply_is_told_by_its_token() {
        let token = [1, 2, 3, 4, 5, 6, 7, 8];
        let mut reply = request(ip("2001:db8::1"), token);
        assert!(!is_reply(ip("2001:db8::1"), &reply, token), "that is our own request");
        reply[0] = REPLY_V6;
        assert!(is_reply(ip("2001:db8::1"), &reply, token));
        assert!(!is_reply(ip("2001:db8::1"), &reply, [0; 8]), "somebody else's ping");
        reply[0] = REPLY_V4;
        let packet = [&[0x46; 24], reply.as_slice()].concat();
        assert!(is_reply(ip("192.0.2.1"), &packet, token));
        for length in 0..packet.len() {
            assert!(!is_reply(ip("192.0.2.1"), &packet[..length], token), "{length}");
        }
    }

    #[test]
    fn no_two_runs_have_one_token() {
        assert_ne!(token(), token());
    }
}
