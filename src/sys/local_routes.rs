//! Local routes, each of which has the kernel accept what is sent to one address. They come and go with their addresses,
//! but not only, and IPv6's not at once:
//!
//! * Somebody may delete the route alone (`ip route del local 192.0.2.10 table local`). Then the address is there and
//!   nobody answers for it.
//! * IPv6 installs it from a work queue, after the address has been acknowledged: 30 µs later mostly, 8 ms sometimes, and
//!   whenever RTNL is free if it is not. Who is told of the address before that is told too early.
//!
//! The kernel reports all routes or none. On a router there are many, so a filter keeps the others out of the queue.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;

use netlink_packet_core::NlasIterator;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteMessage, RouteType};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use socket2::{SockFilter, SockRef};

use super::clock;
use super::filter::{ACCEPT, DROP, if_equal, load_byte, load_half};
use super::netlink::{Netlink, messages};
use super::picture::{PROTOCOL, Undecodable, address_family};
use crate::engine::action::Place;
use crate::net::{Family, IpNet, LinkIndex};
use crate::time::Duration;

const RTM_NEWROUTE: u16 = 24;
/// The kind of the message that a route is gone.
pub const RTM_DELROUTE: u16 = 25;
/// `RTMGRP_IPV4_ROUTE`.
pub(super) const IPV4_GROUP: u32 = 0x40;
/// `RTMGRP_IPV6_ROUTE`.
pub(super) const IPV6_GROUP: u32 = 0x400;
/// `RTMGRP_IPV4_RULE`, and what it would be for IPv6 (`RTNLGRP_IPV6_RULE`).
pub(super) const RULE_GROUPS: u32 = 0x80 | 1 << 18;

const ROUTE_HEADER: usize = 12;
const RTN_LOCAL: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;

/// Where the message's kind and, in a route's, the route's own kind are.
const KIND: u32 = 4;
const ROUTE_KIND: u32 = 16 + 7;
const ROUTE_PROTOCOL: u32 = 16 + 5;

const DATAGRAM: usize = 16 << 10;

/// How long routes may take: RTNL may be held by somebody else, but not for so long without everybody noticing.
const PATIENCE: Duration = Duration::from_millis(100);

/// Of the messages about routes, lets only those through that a local one or one of ours is gone.
pub(super) fn gone_filter() -> [SockFilter; 9] {
    [
        load_half(KIND),
        if_equal(in_filter(RTM_NEWROUTE), 6, 0),
        if_equal(in_filter(RTM_DELROUTE), 0, 4),
        load_byte(ROUTE_KIND),
        if_equal(u32::from(RTN_LOCAL), 2, 0),
        load_byte(ROUTE_PROTOCOL),
        if_equal(u32::from(PROTOCOL), 0, 1),
        ACCEPT,
        DROP,
    ]
}

/// Lets only the news of new local routes through.
fn new_filter() -> [SockFilter; 6] {
    [
        load_half(KIND),
        if_equal(in_filter(RTM_NEWROUTE), 0, 3),
        load_byte(ROUTE_KIND),
        if_equal(u32::from(RTN_LOCAL), 0, 1),
        ACCEPT,
        DROP,
    ]
}

/// A kind as a filter reads it, which is in network order.
fn in_filter(kind: u16) -> u32 {
    u32::from(kind.to_be())
}

/// The address that a local route is for, and its link; `None` if it is another kind of route.
pub(super) fn local_route(payload: &[u8]) -> Result<Option<Place>, Undecodable> {
    let (header, attributes) = payload.split_at_checked(ROUTE_HEADER).ok_or(Undecodable)?;
    if header.get(7) != Some(&RTN_LOCAL) {
        return Ok(None);
    }
    let (mut address, mut link) = (None, None);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(|_| Undecodable)?;
        let value = attribute.value();
        match attribute.kind() {
            RTA_DST => address = ip(value),
            RTA_OIF => link = <[u8; 4]>::try_from(value).ok().map(u32::from_ne_bytes),
            _ => {}
        }
    }
    let place = |(address, link)| Place { link: LinkIndex(link), net: IpNet::host(address) };
    Ok(address.zip(link).map(place))
}

/// The local routes that `places` should have and do not.
pub(super) fn missing(netlink: &mut Netlink, places: &[Place]) -> io::Result<Vec<Place>> {
    let mut there = BTreeSet::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        if places.iter().any(|place| place.net.family() == family) {
            there.extend(all(netlink, family)?);
        }
    }
    let route = |place: &Place| Place { link: place.link, net: IpNet::host(place.net.address()) };
    Ok(places.iter().map(route).filter(|route| !there.contains(route)).collect())
}

/// Every local route of a family, in whatever table.
fn all(netlink: &mut Netlink, family: Family) -> io::Result<Vec<Place>> {
    let mut request = RouteMessage::default();
    request.header.address_family = address_family(family);
    request.header.kind = RouteType::Local;
    let mut found = Vec::new();
    netlink.dump(&RouteNetlinkMessage::GetRoute(request), &mut found, |found, message| {
        // Kernels before 4.20 dump every route whatever was asked.
        found.extend(local_route(message.payload).ok().flatten());
    })?;
    Ok(found)
}

pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into());
    let six = || <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into());
    four().or_else(six)
}

/// Waits for the local routes of IPv6 addresses.
#[derive(Debug)]
pub(super) struct Arrivals {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Arrivals {
    /// Begins to listen.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        SockRef::from(&socket.as_fd()).attach_filter(&new_filter())?;
        socket.bind(&SocketAddr::new(0, IPV6_GROUP))?;
        Ok(Self { socket, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// Forgets what has come so far.
    pub(super) fn skip(&mut self) {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What was lost is not waited for either.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Returns when all of these have come, or after a while.
    pub(super) fn await_all(&mut self, mut missing: BTreeSet<IpAddr>) {
        let until = clock::now() + PATIENCE;
        while !missing.is_empty() {
            let left = until.since(clock::now());
            let patient = SockRef::from(&self.socket.as_fd()).set_read_timeout(Some(left));
            if left.is_zero() || patient.is_err() {
                return;
            }
            self.buffer.clear();
            if self.socket.recv(&mut self.buffer, 0).is_err() {
                continue;
            }
            for message in messages(&self.buffer).map_while(Result::ok) {
                if let Ok(Some(route)) = local_route(message.payload) {
                    missing.remove(&route.net.address());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `local 192.0.2.10 dev 2 table local` as Linux 6 reports it.
    #[rustfmt::skip]
    const LOCAL: [u8; 36] = [
        2, 32, 0, 0,  255, 2, 254, 2,  0, 0, 0, 0,
        8, 0, 15, 0,  255, 0, 0, 0,
        8, 0, 1, 0,  192, 0, 2, 10,
        8, 0, 4, 0,  2, 0, 0, 0,
    ];

    #[test]
    #[cfg(target_endian = "little")]
    fn a_local_route_names_its_address_and_link() {
        let place = Place { link: LinkIndex(2), net: "192.0.2.10/32".parse().unwrap() };
        assert_eq!(local_route(&LOCAL), Ok(Some(place)));
    }

    #[test]
    fn other_routes_and_local_ones_without_a_link_are_nobodys() {
        let mut unicast = LOCAL;
        unicast[7] = 1;
        assert_eq!(local_route(&unicast), Ok(None));
        assert_eq!(local_route(&LOCAL[..28]), Ok(None));
    }

    #[test]
    fn a_route_that_is_cut_short_is_undecodable() {
        for length in (0..12).chain([13, 22, 27, 35]) {
            assert_eq!(local_route(&LOCAL[..length]), Err(Undecodable), "{length} bytes");
        }
    }
}
